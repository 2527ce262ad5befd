"""A start for a student wider than its members: the function of one of them, computed by a Transformer of n times the width.

    python -m examples.study.widen members/1/model.pt --times 2 --seed 1 --output wider.pt

Every vector x of the member becomes n copies of itself, every matrix W of its linear layers n x n blocks,

    [W/n + N_11 ... W/n + N_1n; ...; W/n + N_n1 ... W/n + N_nn] [x; ...; x] = [W x; ...; W x],    sum over j of N_ij = 0,

whatever the noise N; it is there so that the copies get different gradients, and part (function-preserving growth: Chen,
Goodfellow and Shlens, "Net2Net", ICLR 2016). Layer normalisation over copies has the mean and the variance of one of them;
attention has n times as many heads, as wide as before. Embeddings are divided by sqrt(n), since fairseq multiplies them by
the square root of the width, and the decoder's last layer normalisation likewise, since the logits are sums over n copies.
Sinusoidal positions of another width are no copies of the old ones: they become learned ones that begin as copies.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ednd_nmt.errors import UserError, exit_status
from examples.study.growth import SIDES, grow_positions, grown, read_member, write_start


def widen(
    weights: Mapping[str, torch.Tensor], settings: Mapping[str, Any], times: int, generator: torch.Generator
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Weights and settings of a Transformer that is ``times`` as wide and computes the same function.

    Args:
        weights: a fairseq Transformer's, by their names, of a kind that :func:`~examples.study.growth.require_plain` takes.
        settings: its settings by fairseq's names.
        times: n, at least 1.
        generator: of the noise, whose standard deviation is that of W/n.
    """
    last = f"decoder.layers.{settings['decoder_layers'] - 1}.final_layer_norm."
    wider: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        if name.endswith(("version", "_float_tensor")):
            wider[name] = tensor
        elif name.endswith(("embed_tokens.weight", "output_projection.weight")):
            wider[name] = tensor.tile(1, times) / math.sqrt(times)
        elif tensor.ndim == 2:
            wider[name] = _blocks(tensor, times, generator)
        else:
            wider[name] = tensor.tile(times) / (math.sqrt(times) if name.startswith(last) else 1)
    sides = dict.fromkeys(SIDES, times)
    grow_positions(wider, settings, sides)
    return wider, grown(settings, sides)


def _blocks(matrix: torch.Tensor, times: int, generator: torch.Generator) -> torch.Tensor:
    rows, columns = matrix.shape
    noise = torch.randn(times * rows, times, columns, generator=generator, dtype=torch.float64)
    noise = (noise - noise.mean(1, keepdim=True)).flatten(1) * (matrix.double().std() / times)
    return (matrix.double().tile(times, times) / times + noise).to(matrix.dtype)


def main(arguments: list[str] | None = None) -> int:
    """``python -m examples.study.widen``."""
    parser = argparse.ArgumentParser(
        description="Write a wider Transformer that computes the function of another."
    )
    parser.add_argument("member", type=Path, metavar="CHECKPOINT")
    parser.add_argument("--times", type=int, default=2, metavar="N", help="how many times as wide (2)")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of the noise between the copies (1)"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="CHECKPOINT")
    options = parser.parse_args(arguments)

    def run() -> None:
        if options.times < 1:
            raise UserError(f"--times is {options.times}; give at least 1.")
        state, settings = read_member(options.member)
        generator = torch.Generator().manual_seed(options.seed)
        weights, changed = widen(state["model"], settings, options.times, generator)
        millions = write_start(state, weights, changed, options.output)
        print(
            f"{options.output}: {options.times} times as wide as {options.member}, {millions:.2f} million parameters"
        )

    return exit_status(run)


if __name__ == "__main__":
    sys.exit(main())
