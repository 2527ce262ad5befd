"""A model in two halves: its last hidden layer, and the logits that are made of a few rows of it at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import Linear


def halves(model: Any) -> tuple[Callable[..., Tensor], Callable[[Tensor], Tensor]]:
    """What makes the last hidden layer [sentences, tokens, d] of a batch, and what makes logits [..., K] of rows of it.

    A decoder that shows no hidden layer, as fairseq's convolutional ones, has all its logits in place of it, which is
    right as well, but takes the memory of the whole batch times the vocabulary.

    Args:
        model: an encoder-decoder model of fairseq without an adaptive softmax.

    Returns:
        A function of the batch's ``net_input`` as keywords, and one of features.
    """
    if not shows_last_layer(model.decoder):
        return (lambda **net_input: model(**net_input)[0]), (lambda logits: logits)
    return (lambda **net_input: model.extract_features(**net_input)[0]), model.output_layer


def linear_output(model: Any) -> Linear | None:
    """The layer that makes logits of the last hidden layer, if it is linear and nothing else happens there; else None."""
    # Here for the reason below.
    from fairseq.models.transformer import TransformerDecoderBase

    decoder = model.decoder
    projection = getattr(decoder, "output_projection", None)
    if type(projection) is not Linear or not shows_last_layer(decoder):
        return None
    usual = getattr(type(decoder), "output_layer", None) is TransformerDecoderBase.output_layer
    return (
        projection if usual and not projection._forward_pre_hooks and not projection._forward_hooks else None
    )


def shows_last_layer(decoder: Any) -> bool:
    """Whether a decoder of fairseq gives its last hidden layer to whoever asks for it."""
    # Here, since the criterions, which are imported with fairseq, want this module whole.
    from fairseq.models import FairseqDecoder, FairseqIncrementalDecoder

    unwritten = (FairseqDecoder.extract_features, FairseqIncrementalDecoder.extract_features)
    return getattr(type(decoder), "extract_features", None) not in unwritten
