"""Make fairseq's binarised data of texts in pieces, with one dictionary for both sides or two, and count the lines.

    python -m scripts.workflow.binarise --dictionary dict.txt [--target-dictionary dict.de.txt] --source-lang en \\
        --target-lang de --output DIR [--train PREFIX] [--valid PREFIX] [--test PREFIX]

``PREFIX.en`` and ``PREFIX.de`` are the two sides. A test set may lack the second: it is binarised as a source
alone, under the names with which fairseq's translation task finds a data set without references.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ednd_nmt.errors import UserError, exit_status
from ednd_nmt.files import whole_file
from ednd_nmt.option_types import at_least

SPLITS = ("train", "valid", "test")


def count_lines(path: Path) -> int:
    """Number of lines of a text file (the last needs no line end)."""
    with open(path, encoding="utf-8", newline="\n") as stream:
        return sum(1 for _ in stream)


def binarised_counts(log: str) -> dict[str, int]:
    """Sentences that ``fairseq-preprocess`` says it has written, by input file."""
    return {name: int(count) for name, count in re.findall(r"\] (\S.*): (\d+) sents, ", log)}


def check(log: str, files: Sequence[Path]) -> None:
    """Raise ``UserError`` unless every file has lines and every line has been binarised."""
    counts = binarised_counts(log)
    for path in files:
        expected = count_lines(path)
        if not expected:
            raise UserError(f"{path} is empty; the corpus is too small, give more text.")
        if counts.get(str(path)) != expected:
            raise UserError(
                f"{path} has {expected} lines, but fairseq-preprocess wrote {counts.get(str(path), 'none')}; "
                "look for line ends inside of the text."
            )


def binarise(
    dictionary: Path,
    languages: tuple[str, str],
    prefixes: Mapping[str, str],
    output: Path,
    target_dictionary: Path | None = None,
    workers: int = 1,
) -> None:
    """Write ``output/<split>.<source>-<target>.<language>.{bin,idx}`` and both dictionaries.

    Args:
        target_dictionary: that of the target side, if it does not share ``dictionary``.
        workers: processes.

    Raises:
        UserError: a file is missing (the target side may be missing in all sets), fairseq-preprocess failed, or lines are
            missing in what it wrote.
    """
    source, target = languages
    sources, targets = (
        [Path(f"{prefix}.{side}") for prefix in prefixes.values()] for side in (source, target)
    )
    dictionaries = [path for path in (dictionary, target_dictionary) if path is not None]
    source_only = not any(path.exists() for path in targets)
    for path in [*dictionaries, *sources, *([] if source_only else targets)]:
        if not path.is_file():
            raise UserError(f"There is no file {path}; check this path.")
    files = sources if source_only else [*sources, *targets]
    output.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(output) as folder:
        folder.mkdir()
        _preprocess(dictionary, languages, prefixes, files, folder, source_only, target_dictionary, workers)


def _preprocess(
    dictionary: Path,
    languages: tuple[str, str],
    prefixes: Mapping[str, str],
    files: Sequence[Path],
    output: Path,
    source_only: bool,
    target_dictionary: Path | None,
    workers: int,
) -> None:
    source, target = languages
    command = ["fairseq-preprocess", "--source-lang", source, "--target-lang", target]
    for split, prefix in prefixes.items():
        command += [f"--{split}pref", prefix]
    command += ["--srcdict", str(dictionary)]
    command += ["--tgtdict", str(target_dictionary)] if target_dictionary else ["--joined-dictionary"]
    command += ["--destdir", str(output), "--workers", str(workers)]
    if source_only:
        command.append("--only-source")
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode:
        raise UserError(f"fairseq-preprocess failed:\n{result.stdout[-2000:]}")
    check(result.stdout, files)
    if source_only:
        for path in sorted(output.glob(f"*.{source}-None.{source}.*")):
            path.rename(output / path.name.replace(f".{source}-None.", f".{source}-{target}."))
        shutil.copyfile(target_dictionary or output / f"dict.{source}.txt", output / f"dict.{target}.txt")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dictionary", type=Path, required=True, help="fairseq dictionary of both sides")
    parser.add_argument("--target-dictionary", type=Path, help="of the target side, if it is another")
    parser.add_argument("--workers", type=at_least(1), default=1, help="processes (default: %(default)s)")
    parser.add_argument("--source-lang", required=True)
    parser.add_argument("--target-lang", required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder, made anew")
    for split in SPLITS:
        parser.add_argument(f"--{split}", help=f"prefix of the two files of the {split} set")
    options = parser.parse_args()
    prefixes = {split: getattr(options, split) for split in SPLITS if getattr(options, split)}
    if not prefixes:
        parser.error("name at least one of --train, --valid and --test")
    return exit_status(
        lambda: binarise(
            options.dictionary,
            (options.source_lang, options.target_lang),
            prefixes,
            options.output,
            options.target_dictionary,
            options.workers,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
