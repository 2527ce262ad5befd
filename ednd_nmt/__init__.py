"""Uncertainty in machine translation with ensembles and their distribution distillation, as an extension of fairseq.

Importing this package is light (neither torch nor fairseq is imported) and silent, and works without fairseq. The functions
below are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ednd_nmt.plugin import install as _install
from ednd_nmt.version import __version__

if TYPE_CHECKING:
    from ednd_nmt.dirichlet import DirichletUncertainty, dirichlet_uncertainty
    from ednd_nmt.ensemble import EnsembleStatistics, ensemble_statistics
    from ednd_nmt.errors import UserError
    from ednd_nmt.objectives.forward_kl import forward_kl_loss
    from ednd_nmt.objectives.likelihood import dirichlet_likelihood_loss
    from ednd_nmt.objectives.mean_kl import mean_kl_loss
    from ednd_nmt.objectives.reverse_kl import reverse_kl_loss
    from ednd_nmt.proxy import ProxyTarget, proxy_target
    from ednd_nmt.record_reader import read_records
    from ednd_nmt.translator import DirichletTransformer

__all__ = [
    "DirichletTransformer",
    "DirichletUncertainty",
    "EnsembleStatistics",
    "ProxyTarget",
    "UserError",
    "__version__",
    "dirichlet_likelihood_loss",
    "dirichlet_uncertainty",
    "ensemble_statistics",
    "forward_kl_loss",
    "mean_kl_loss",
    "proxy_target",
    "read_records",
    "reverse_kl_loss",
]

_HOMES = {
    "DirichletTransformer": "translator",
    "DirichletUncertainty": "dirichlet",
    "EnsembleStatistics": "ensemble",
    "ProxyTarget": "proxy",
    "UserError": "errors",
    "dirichlet_likelihood_loss": "objectives.likelihood",
    "dirichlet_uncertainty": "dirichlet",
    "ensemble_statistics": "ensemble",
    "forward_kl_loss": "objectives.forward_kl",
    "mean_kl_loss": "objectives.mean_kl",
    "proxy_target": "proxy",
    "read_records": "record_reader",
    "reverse_kl_loss": "objectives.reverse_kl",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


_install()
