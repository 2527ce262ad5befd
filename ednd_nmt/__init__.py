"""Uncertainty in machine translation with ensembles and their distillation, as an extension of fairseq.

Importing this package is light (neither torch nor fairseq is imported) and silent, and works without fairseq.
"""

from ednd_nmt.plugin import install as _install
from ednd_nmt.version import __version__

__all__ = ["__version__"]

_install()
