#!/usr/bin/env python3
"""Build the corpus of the paper's translation experiment: WMT17 English-German with its five shifted sets.

python scripts/build_wmt17.py --out runs/wmt17/corpus

fetches 2.1 GB from statmt.org and openslr.org, verifies it, and writes raw text: training pairs (Europarl v7, Common
Crawl, News Commentary v12), every hundredth of them for validation, newstest2014 as test, newstest2013 and 2017, and the
shifted sets. Interrupted, the same command goes on where it was. Punctuation, tokens, pieces and the limits of length and
ratio are the workflow's next steps.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ednd_nmt.errors import UserError
from scripts.corpus.build import corpus_files
from scripts.corpus.errors import FetchError
from scripts.wmt17.archives import TABLE, read_table
from scripts.wmt17.build import LANGUAGES, SHIFTED, WITH_REFERENCES, build


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    default_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ednd_nmt" / "wmt17"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the corpus and its manifest.json")
    parser.add_argument(
        "--cache", type=Path, default=default_cache, help="folder for the archives (default: %(default)s)"
    )
    parser.add_argument(
        "--mirror",
        action="append",
        default=[],
        metavar="URL",
        help="place to fetch from instead, with the same paths (URL/wmt13/training-parallel-europarl-v7.tgz); may be "
        "given several times, and the first that has the right file serves",
    )
    parser.add_argument(
        "--archives",
        type=Path,
        default=TABLE,
        help="another table of addresses and checksums (default: %(default)s)",
    )
    parser.add_argument(
        "--shifted", nargs="*", default=list(SHIFTED), metavar="NAME", help=f"default: {' '.join(SHIFTED)}"
    )
    return parser.parse_args(arguments)


def file_names(arguments: Sequence[str]) -> set[str]:
    """Names of the files that a workflow may ask of the corpus with these arguments."""
    options = parse_arguments(arguments)
    return corpus_files(LANGUAGES, {name: name in WITH_REFERENCES for name in options.shifted})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 2 for what the user can mend, 1 for a failure of the machine or of a place on the network."""
    options = parse_arguments(arguments)
    try:
        build(read_table(options.archives), options.shifted, options.out, options.cache, options.mirror)
    except (UserError, FetchError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1
    except KeyboardInterrupt:
        print("error: interrupted; what was fetched is kept, so the same command continues", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
