"""The last linear layer of a model, in memory that is used again."""

from __future__ import annotations

import torch
from torch import Tensor

from ednd_nmt.large_pages import in_large_pages


@torch.no_grad()
def linear_logits(
    features: Tensor, weight: Tensor, bias: Tensor | None = None, into: Tensor | None = None
) -> Tensor:
    """``features @ weight.T + bias`` without a graph, in the memory of ``into`` where that is of the result's kind.

    The logits of the next member may go where those of the last one were. Fresh memory costs as much as a third of such a
    product: a tensor of this size is given back to the system when it is freed, and handed over anew page by page.

    Args:
        features: [tokens, D].
        weight: [K, D], of the features' dtype.
        bias: [K], or None.
        into: logits that nobody needs any more. Those of another shape, dtype or device are left alone.

    Returns:
        [tokens, K] in the features' dtype.

    >>> memory = linear_logits(torch.ones(2, 3), torch.eye(4, 3))
    >>> linear_logits(2 * torch.ones(2, 3), torch.eye(4, 3), into=memory) is memory
    True
    >>> memory
    tensor([[2., 2., 2., 0.],
            [2., 2., 2., 0.]])
    """
    shape = (len(features), len(weight))
    if into is None or into.shape != shape or (into.dtype, into.device) != (features.dtype, features.device):
        into = in_large_pages(features.new_empty(*shape))
    torch.mm(features, weight.t(), out=into)
    if bias is not None:
        into += bias.to(into.dtype)
    return into
