"""The student: a Transformer whose decoder emits the concentrations of a Dirichlet for every target token."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from fairseq.models import register_model, register_model_architecture
from fairseq.models.transformer import (
    TransformerModel,
    base_architecture,
    tiny_architecture,
    transformer_iwslt_de_en,
    transformer_vaswani_wmt_en_de_big,
    transformer_vaswani_wmt_en_fr_big,
    transformer_wmt_en_de,
    transformer_wmt_en_de_big,
    transformer_wmt_en_de_big_t2t,
)

from ednd_nmt.settings import PARAMETRIZATIONS, DirichletSettings


# Registered without a dataclass: a dataclass derived from fairseq's TransformerConfig makes the legacy command line
# ignore --encoder-embed-dim and its like, or crash, depending on the fairseq distribution.
@register_model("dirichlet_transformer")
class DirichletTransformerModel(TransformerModel):
    """fairseq's Transformer with concentrations ``alpha = exp(z) + offset`` for decoder logits ``z`` [tokens, K].

    The network is fairseq's to the letter, so a member's weights load into a student and back. What differs is what the
    logits mean, and that is recorded in the model's configuration and thus in its checkpoint (see
    :class:`ednd_nmt.settings.DirichletSettings`). ``softmax(z)``, which fairseq's search uses, is the mode of the
    Dirichlet when the offset is 1. Source: arXiv 2105.06987, section 4.
    """

    @classmethod
    def add_args(cls, parser: argparse.ArgumentParser) -> None:
        """Add fairseq's Transformer options and the student's own to ``parser``."""
        super().add_args(parser)
        parser.add_argument(
            "--dirichlet-offset",
            type=float,
            metavar="C",
            help="added to exp(logits) to give the concentrations; saved in the checkpoint (default: 1)",
        )
        parser.add_argument(
            "--dirichlet-parametrization",
            choices=PARAMETRIZATIONS,
            help="map from logits to concentrations; saved in the checkpoint (default: exp)",
        )

    @classmethod
    def build_model(cls, args: Any, task: Any) -> DirichletTransformerModel:
        """Build the student; the settings are checked here, before any training.

        Raises:
            UserError: the offset or the parametrization makes no sense.
        """
        add_dirichlet_defaults(args)
        DirichletSettings.of_model(args)
        return super().build_model(args, task)


def add_dirichlet_defaults(args: Any) -> None:
    """Fill in the settings that the command line left open."""
    args.dirichlet_offset = getattr(args, "dirichlet_offset", 1.0)
    args.dirichlet_parametrization = getattr(args, "dirichlet_parametrization", "exp")


def small_architecture(args: Any) -> None:
    """2 + 2 layers of width 128 with all embeddings shared: learns real text within minutes on a CPU core."""
    args.encoder_embed_dim = getattr(args, "encoder_embed_dim", 128)
    args.encoder_ffn_embed_dim = getattr(args, "encoder_ffn_embed_dim", 512)
    args.encoder_layers = getattr(args, "encoder_layers", 2)
    args.encoder_attention_heads = getattr(args, "encoder_attention_heads", 4)
    args.decoder_layers = getattr(args, "decoder_layers", 2)
    args.decoder_attention_heads = getattr(args, "decoder_attention_heads", 4)
    args.share_all_embeddings = getattr(args, "share_all_embeddings", True)
    base_architecture(args)


ARCHITECTURES: dict[str, Callable[[Any], None]] = {
    "dirichlet_transformer": base_architecture,
    "dirichlet_transformer_tiny": tiny_architecture,
    "dirichlet_transformer_small": small_architecture,
    "dirichlet_transformer_iwslt_de_en": transformer_iwslt_de_en,
    "dirichlet_transformer_wmt_en_de": transformer_wmt_en_de,
    "dirichlet_transformer_vaswani_wmt_en_de_big": transformer_vaswani_wmt_en_de_big,
    "dirichlet_transformer_vaswani_wmt_en_fr_big": transformer_vaswani_wmt_en_fr_big,
    "dirichlet_transformer_wmt_en_de_big": transformer_wmt_en_de_big,
    "dirichlet_transformer_wmt_en_de_big_t2t": transformer_wmt_en_de_big_t2t,
}


def _register(name: str, architecture: Callable[[Any], None]) -> None:
    def dirichlet_architecture(args: Any) -> None:
        architecture(args)
        add_dirichlet_defaults(args)

    register_model_architecture("dirichlet_transformer", name)(dirichlet_architecture)


for _name, _architecture in ARCHITECTURES.items():
    _register(_name, _architecture)
