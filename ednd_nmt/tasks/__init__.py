"""fairseq tasks of this package; importing it registers them."""

from ednd_nmt.tasks.distillation import DistillationTask

__all__ = ["DistillationTask"]
