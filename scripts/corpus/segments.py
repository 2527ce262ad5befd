"""From blocks to segments: normalise, align sentences, clean, remove duplicates, count what was dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ednd_nmt.punctuation import plain_punctuation

from .align import align_block
from .clean import pair_problem
from .units import Block, Segment


def make_segments(
    blocks: Iterable[Block],
    languages: tuple[str, str] = ("en", "de"),
    *,
    sentences: bool = True,
    drops: Counter[str] | None = None,
) -> list[Segment]:
    """Cleaned segments in the order of the blocks; the same pair (whatever its case) is kept once.

    Args:
        blocks: aligned blocks.
        languages: of the source and the target side, as ISO 639-1 codes.
        sentences: whether to split blocks into sentences; False keeps each block as it is.
        drops: counts of the reasons for dropping, added to.
    """
    drops = Counter() if drops is None else drops
    segments, seen = [], set()
    for block in blocks:
        source, target = plain_punctuation(block.source), plain_punctuation(block.target)
        for pair in align_block(source, target) if sentences else [(source, target)]:
            problem = pair_problem(*pair, *languages)
            key = (pair[0].casefold(), pair[1].casefold())
            if problem is None and key in seen:
                problem = "duplicate"
            if problem is not None:
                drops[problem] += 1
                continue
            seen.add(key)
            segments.append(Segment(block.document, *pair))
    return segments
