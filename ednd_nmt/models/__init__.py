"""fairseq models of this package; importing it registers them."""

from ednd_nmt.models.dirichlet_transformer import DirichletTransformer

__all__ = ["DirichletTransformer"]
