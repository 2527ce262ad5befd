"""Putting the corpus together and writing it."""

from __future__ import annotations

import concurrent.futures
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ednd_nmt.errors import UserError
from ednd_nmt.files import atomic_writer

from . import shifted
from .apt import Package, PackageList, PrivateApt, alone
from .collect import SOURCES, fetch, read
from .manifest import file_entries, list_entries, package_entries, write_manifest
from .parallel import blocks as parallel_blocks
from .profiles import Profile
from .progress import say
from .segments import make_segments
from .shifted import ShiftedSet
from .split import Sizes, Splits, document_order, hold_out, is_long_enough, split_by_document
from .units import Segment

LANGUAGE_NAMES = {"de": "german", "en": "english", "fr": "french"}
# Of the user's own text a twentieth each is held out, up to the sizes of the profile.
HELD_OUT_SHARE = 20
REASONS_NAMED = 3  # when nothing is left


def debian_files(profile: Profile) -> set[str]:
    """Names of the files that :func:`build_debian` writes, if there is text for all of them."""
    references = {
        **dict.fromkeys(profile.shifted_sources, True),
        **{name: name != "german" for name in profile.derived},
        **({"french": False} if profile.french else {}),
    }
    return corpus_files(("en", "de"), references)


def parallel_files(languages: tuple[str, str]) -> set[str]:
    """Names of the files that :func:`build_parallel` writes."""
    target_name = LANGUAGE_NAMES.get(languages[1], languages[1])
    return corpus_files(languages, {target_name: False, "permuted": True, "spoken": True})


def corpus_files(languages: Sequence[str], references: Mapping[str, bool]) -> set[str]:
    """Names of the files of a corpus whose shifted sets have references or not."""
    both = ["train", "valid", "test", *(f"shifted/{name}" for name, has in references.items() if has)]
    alone = {f"shifted/{name}.{languages[0]}" for name in references}
    return {f"{name}.{language}" for name in both for language in languages} | alone


def build_debian(profile: Profile, out: Path, cache: Path, jobs: int = 1) -> dict[str, Any]:
    """Fetch, align, clean, split and write the Debian documentation corpus; returns the manifest."""
    names = [*profile.sources, *profile.shifted_sources.values(), *(["lohelp-fr"] if profile.french else [])]
    with alone(cache):
        apt = PrivateApt(cache / profile.name, cache / "packages", ("en", "de"), profile.extra_suites)
        apt.update()
        packages, lists = fetch(apt, names), apt.translation_lists()
    sources = _read_all(packages, lists, jobs)
    for name, (segments, drops) in sources.items():
        _report(name, segments, drops)
    splits = split_by_document({name: sources[name][0] for name in profile.sources}, profile.sizes)
    sets = derived_sets(profile.derived, splits.test, "german")
    for name, source in profile.shifted_sources.items():
        candidates = sorted(sources[source][0], key=lambda segment: document_order(segment.document))
        held_out = hold_out({name: candidates}, [*splits.train, *splits.test], {name: profile.shifted_size})
        sets[name] = shifted.with_references(held_out)
    if profile.french:
        documents = {segment.document for segment in [*splits.valid, *splits.test]}
        french = [
            each for each in sources["lohelp-fr"][0] if each.document in documents and is_long_enough(each)
        ]
        sets["french"] = shifted.target_as_source(french[: profile.shifted_size])
    content = {
        "profile": profile.name,
        "suite": apt.source.suite,
        "packages": package_entries(package for of_source in packages.values() for package in of_source),
        "lists": list_entries(lists),
        "sources": _counts(sources),
    }
    return write_corpus(out, splits, sets, content)


def build_parallel(
    source_files: Sequence[Path],
    target_files: Sequence[Path],
    languages: tuple[str, str],
    sizes: Sizes,
    out: Path,
) -> dict[str, Any]:
    """Clean, split and write the user's own parallel text; returns the manifest."""
    drops: Counter[str] = Counter()
    blocks = parallel_blocks(source_files, target_files)
    segments = make_segments(blocks, languages, sentences=False, drops=drops)
    _report("own files", segments, drops)
    limit = len(segments) // HELD_OUT_SHARE
    sizes = Sizes(min(sizes.valid, limit), min(sizes.test, limit))
    splits = split_by_document({"own": segments}, {"own": sizes})
    target_name = LANGUAGE_NAMES.get(languages[1], languages[1])
    sets = derived_sets((target_name, "permuted", "spoken"), splits.test, target_name)
    content = {"profile": "own", "sources": _counts({"own": (segments, drops)})}
    return write_corpus(out, splits, sets, content, languages)


def derived_sets(names: Iterable[str], test: Sequence[Segment], target_name: str) -> dict[str, ShiftedSet]:
    """Those shifted sets of ``names`` that are made from the test set alone."""
    makers = {
        target_name: shifted.target_as_source,
        "permuted": shifted.permuted,
        "spoken": shifted.spoken,
    }
    return {name: makers[name](test) for name in names if name in makers}


def write_corpus(
    out: Path,
    splits: Splits,
    sets: dict[str, ShiftedSet],
    content: dict[str, Any],
    languages: tuple[str, str] = ("en", "de"),
) -> dict[str, Any]:
    """Write all files under ``out``, the manifest last; returns the manifest's content.

    Raises:
        UserError: nothing is left to train on.
    """
    if not splits.train:
        drops = sum((Counter(source["dropped"]) for source in content["sources"].values()), Counter[str]())
        reasons = ", ".join(f"{reason} {count}" for reason, count in drops.most_common(REASONS_NAMED))
        raise UserError(
            f"No training text is left after cleaning and splitting (most lines dropped for: {reasons or 'no reason'}); "
            "give more text, or text without these faults."
        )
    files: dict[str, list[str]] = {}
    for name, segments in (("train", splits.train), ("valid", splits.valid), ("test", splits.test)):
        files[f"{name}.{languages[0]}"] = [segment.source for segment in segments]
        files[f"{name}.{languages[1]}"] = [segment.target for segment in segments]
    for name, shifted_set in sorted(sets.items()):
        if not shifted_set.sources:
            say(f"shifted set {name}: no text for it; left out")
            continue
        files[f"shifted/{name}.{languages[0]}"] = shifted_set.sources
        if shifted_set.references is not None:
            files[f"shifted/{name}.{languages[1]}"] = shifted_set.references
    (out / "manifest.json").unlink(missing_ok=True)  # a folder with a manifest is a whole one
    for file, lines in files.items():
        with atomic_writer(out / file) as stream:
            stream.writelines(line + "\n" for line in lines)
    manifest = {**content, "languages": list(languages), "files": file_entries(out, files)}
    write_manifest(out / "manifest.json", manifest)
    for file, entry in manifest["files"].items():
        say(f"{file}: {entry['lines']} lines")
    return manifest


def _read_all(
    packages: Mapping[str, Sequence[Package]], lists: Sequence[PackageList], jobs: int
) -> dict[str, tuple[list[Segment], Counter[str]]]:
    """Segments and dropping counts of every source, on ``jobs`` processes."""
    tasks = [(name, of_source, lists) for name, of_source in packages.items()]
    if jobs == 1:
        return dict(zip(packages, map(_read_one, tasks), strict=True))
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        return dict(zip(packages, pool.map(_read_one, tasks), strict=True))


def _read_one(
    task: tuple[str, Sequence[Package], Sequence[PackageList]],
) -> tuple[list[Segment], Counter[str]]:
    name, packages, lists = task
    say(f"{name}: reading ...")
    drops: Counter[str] = Counter()
    blocks = read(name, packages, lists)
    languages = ("en", "fr") if name == "lohelp-fr" else ("en", "de")
    return make_segments(blocks, languages, sentences=SOURCES[name].sentences, drops=drops), drops


def _report(name: str, segments: Sequence[Segment], drops: Counter[str]) -> None:
    dropped = ", ".join(f"{reason} {count}" for reason, count in drops.most_common())
    say(f"{name}: {len(segments)} segments kept; dropped: {dropped or 'none'}")


def _counts(sources: Mapping[str, tuple[list[Segment], Counter[str]]]) -> dict[str, Any]:
    return {
        name: {"segments": len(segments), "dropped": dict(drops)}
        for name, (segments, drops) in sources.items()
    }
