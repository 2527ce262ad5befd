"""fairseq models of this package; importing it registers them."""

from ednd_nmt.models.dirichlet_transformer import DirichletTransformerModel

__all__ = ["DirichletTransformerModel"]
