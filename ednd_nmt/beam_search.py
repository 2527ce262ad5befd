"""fairseq's beam search with the same candidates, found sooner on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from fairseq.search import BeamSearch
from torch import Tensor

_CLASSES_PER_GROUP = 16


class GroupedBeamSearch(BeamSearch):
    """Looks for a sentence's best candidates in the few groups of classes whose best ones are the best.

    ``torch.topk`` takes several times as long for each class as a maximum does. The k best of all candidates are among those
    of the k groups with the highest maxima: were one in another group, these k maxima would all be better than it.
    """

    def step(
        self,
        step: int,
        lprobs: Tensor,
        scores: Tensor | None,
        prev_output_tokens: Tensor | None = None,
        original_batch_idxs: Tensor | None = None,
        candidate_multiple: int = 2,
    ) -> Any:
        """Scores, tokens and beams of the best candidates, [sentences, candidate_multiple * beams] each, best first."""
        sentences, beams, classes = lprobs.shape
        wanted = candidate_multiple * beams
        groups = classes // _CLASSES_PER_GROUP  # classes g, g + groups, g + 2 groups ... are group g
        if step == 0 or lprobs.device.type != "cpu" or beams * groups < wanted:
            return super().step(
                step, lprobs, scores, prev_output_tokens, original_batch_idxs, candidate_multiple
            )
        assert scores is not None
        before = scores[:, :, step - 1]
        grouped = groups * _CLASSES_PER_GROUP
        best = lprobs[:, :, :grouped].unflatten(2, (-1, groups)).amax(2) + before.unsqueeze(-1)
        chosen = best.view(sentences, -1).topk(wanted, sorted=False).indices
        first = chosen // groups * classes + chosen % groups
        places = (first.unsqueeze(-1) + torch.arange(0, grouped, groups)).view(sentences, -1)
        rest = torch.arange(beams).unsqueeze(1) * classes + torch.arange(grouped, classes)  # in no group
        places = torch.cat([places, rest.view(1, -1).expand(sentences, -1)], dim=1)
        values = lprobs.view(sentences, -1).gather(1, places) + before.gather(1, places // classes)
        top, at = values.topk(wanted)
        places = places.gather(1, at)
        return top, places % classes, places // classes
