"""Putting the corpus together: training and validation text, test sets, and what the paper calls out of distribution."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ednd_nmt.errors import UserError, nearest
from ednd_nmt.files import atomic_writer
from scripts.corpus.manifest import file_entries, write_manifest
from scripts.corpus.progress import say

from .archives import Archive
from .download import describe, fetch
from .texts import clean, member_lines, parallel, segments, transcripts

LANGUAGES = ("en", "de")
VALID_EVERY = 100  # every hundredth pair is held out, as in fairseq's preparation

TRAINING = {
    "europarl": "training/europarl-v7.de-en",
    "commoncrawl": "commoncrawl.de-en",
    "news-commentary": "training/news-commentary-v12.de-en",
}
"""Archives of the training text, in the order of fairseq's preparation, with the prefix of their two files."""

HELD_OUT = {
    "test": (
        "newstest2014",
        "test-full/newstest2014-deen-src.en.sgm",
        "test-full/newstest2014-deen-ref.de.sgm",
    ),
    "newstest2013": ("newstest2013", "test/newstest2013-src.en.sgm", "test/newstest2013-src.de.sgm"),
    "newstest2017": (
        "newstest2017",
        "test/newstest2017-ende-src.en.sgm",
        "test/newstest2017-ende-ref.de.sgm",
    ),
}
"""Held-out sets: their archive and its two files."""

FRENCH = "test-full/newstest2014-fren-ref.fr.sgm"
KHRESMOI = "khresmoi-summary-test-set/khresmoi-summary-{part}.{language}.sgm"
SHIFTED = {
    "khresmoi": "khresmoi",
    "german": "newstest2014",
    "french": "newstest2014",
    "permuted": "newstest2014",
    "librispeech": "librispeech",
}
"""The paper's shifted sets, with the archive that each is from."""
WITH_REFERENCES = ("khresmoi", "permuted")


def build(
    archives: Mapping[str, Archive], shifted: Sequence[str], out: Path, cache: Path, mirrors: Sequence[str]
) -> dict[str, Any]:
    """Fetch all archives, then write the corpus; returns its manifest.

    Raises:
        UserError: an archive is not in the table, or there is no such shifted set.
        FetchError: an archive cannot be had, or is not what it should be.
    """
    for name in shifted:
        if name not in SHIFTED:
            raise UserError(
                f"There is no shifted set {name!r}{nearest(name, SHIFTED)}; known: {', '.join(SHIFTED)}."
            )
    names = [*TRAINING, *(archive for archive, *_ in HELD_OUT.values()), *(SHIFTED[name] for name in shifted)]
    missing = [name for name in names if name not in archives]
    if missing:
        raise UserError(f"The table of archives lacks {missing[0]}, which this corpus needs.")
    # All of them before the first is read: a fetch that fails does so before hours have gone into anything else.
    paths = {name: fetch(archives[name], cache, mirrors) for name in dict.fromkeys(names)}
    return _write(out, paths, shifted, {name: describe(archives[name], path) for name, path in paths.items()})


def _write(
    out: Path, paths: Mapping[str, Path], shifted: Sequence[str], sources: Mapping[str, Any]
) -> dict[str, Any]:
    faults: Counter[str] = Counter()
    (out / "manifest.json").unlink(missing_ok=True)  # a folder with a manifest is a whole one
    counts = _write_training(out, paths, faults)
    files = [f"{part}.{language}" for part in ("train", "valid") for language in LANGUAGES]
    for name, (archive, *sides) in HELD_OUT.items():
        texts = [list(segments(member_lines(paths[archive], side), faults)) for side in sides]
        files += _write_set(out, name, texts)
    for name in shifted:
        files += _write_set(out, f"shifted/{name}", _shifted(name, paths[SHIFTED[name]], faults))
    manifest: dict[str, Any] = {
        "profile": "wmt17",
        "languages": list(LANGUAGES),
        "archives": sources,
        "pairs": counts,
        "faults": dict(faults),
        "files": file_entries(out, files),
    }
    write_manifest(out / "manifest.json", manifest)
    for file, entry in manifest["files"].items():
        say(f"{file}: {entry['lines']} lines")
    return manifest


def _write_training(out: Path, paths: Mapping[str, Path], faults: Counter[str]) -> dict[str, int]:
    """Write the pairs of all archives, every hundredth to the validation text; how many each has."""
    counts: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        streams: dict[str, list[IO[str]]] = {
            part: [stack.enter_context(atomic_writer(out / f"{part}.{language}")) for language in LANGUAGES]
            for part in ("train", "valid")
        }
        for name, pair in _training_pairs(paths):
            counts[name] += 1
            part = "train" if counts.total() % VALID_EVERY else "valid"
            for stream, line in zip(streams[part], pair, strict=True):
                stream.write(clean(line, faults) + "\n")
    return dict(counts)


def _training_pairs(paths: Mapping[str, Path]) -> Iterator[tuple[str, tuple[bytes, bytes]]]:
    for name, prefix in TRAINING.items():
        say(f"{name}: reading ...")
        source, target = (member_lines(paths[name], f"{prefix}.{language}") for language in LANGUAGES)
        for pair in parallel(source, target, prefix):
            yield name, pair


def _shifted(name: str, archive: Path, faults: Counter[str]) -> list[list[str]]:
    """Sources and, where there are any, references of a shifted set."""

    def read(member: str) -> list[str]:
        return list(segments(member_lines(archive, member), faults))

    if name == "khresmoi":
        return [
            [
                *read(KHRESMOI.format(part="dev", language=language)),
                *read(KHRESMOI.format(part="test", language=language)),
            ]
            for language in LANGUAGES
        ]
    if name == "german":
        return [read(HELD_OUT["test"][2])]
    if name == "french":
        return [read(FRENCH)]
    if name == "permuted":  # it is its pieces that will be permuted
        return [read(member) for member in HELD_OUT["test"][1:]]
    return [list(transcripts(archive, faults))]


def _write_set(out: Path, name: str, sides: Sequence[Iterable[str]]) -> list[str]:
    """Write a set of one or two sides, line by line each other's translations; the names of its files."""
    files = [f"{name}.{language}" for language, _ in zip(LANGUAGES, sides, strict=False)]
    lengths = {len(list(side)) for side in sides}
    if len(lengths) > 1 or 0 in lengths:
        raise UserError(
            f"{name} has sides of {' and '.join(map(str, sorted(lengths)))} lines; the archive is not the right one."
        )
    for file, side in zip(files, sides, strict=True):
        with atomic_writer(out / file) as stream:
            stream.writelines(line + "\n" for line in side)
    return files
