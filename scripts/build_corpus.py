#!/usr/bin/env python3
"""Build the parallel corpus: Debian's own documentation, or your own files, cleaned and split by document.

python scripts/build_corpus.py --profile quick --out runs/corpus
python scripts/build_corpus.py --source-files my.en --target-files my.de --out runs/corpus
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ednd_nmt.errors import UserError
from ednd_nmt.option_types import at_least
from scripts.corpus.build import build_debian, build_parallel, debian_files, parallel_files
from scripts.corpus.errors import FetchError
from scripts.corpus.profiles import PROFILES
from scripts.corpus.split import Sizes

DEFAULT_PROFILE = "quick"


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    default_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ednd_nmt" / "corpus"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the corpus and its manifest.json")
    parser.add_argument(
        "--profile", choices=sorted(PROFILES), help=f"how much is fetched (default: {DEFAULT_PROFILE})"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=default_cache,
        help="folder for package lists and packages; delete it to get newer packages (default: %(default)s)",
    )
    parser.add_argument("--jobs", type=at_least(1), default=1, help="processes (default: %(default)s)")
    own = parser.add_argument_group("your own parallel text, one segment per line, in place of the fetch")
    own.add_argument("--source-files", type=Path, nargs="+", default=[], metavar="FILE")
    own.add_argument("--target-files", type=Path, nargs="+", default=[], metavar="FILE")
    own.add_argument("--source-lang", default="en", help="default: %(default)s")
    own.add_argument("--target-lang", default="de", help="default: %(default)s")
    own.add_argument("--valid-size", type=at_least(1), default=1200, help="at most (default: %(default)s)")
    own.add_argument("--test-size", type=at_least(1), default=1500, help="at most (default: %(default)s)")
    return parser.parse_args(arguments)


def file_names(arguments: Sequence[str]) -> set[str]:
    """Names of the files that a corpus may have with these arguments; a set for which there is no text is left out."""
    options = parse_arguments(arguments)
    if options.source_files or options.target_files:
        return parallel_files((options.source_lang, options.target_lang))
    return debian_files(PROFILES[options.profile or DEFAULT_PROFILE])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 2 for what the user can mend, 1 for a failure of the machine or the mirror."""
    options = parse_arguments(arguments)
    try:
        if options.source_files or options.target_files:
            if options.profile is not None:
                raise UserError(
                    "A profile says what is fetched, and your own files come in its place; leave out --profile."
                )
            languages = (options.source_lang, options.target_lang)
            sizes = Sizes(options.valid_size, options.test_size)
            build_parallel(options.source_files, options.target_files, languages, sizes, options.out)
        else:
            build_debian(
                PROFILES[options.profile or DEFAULT_PROFILE], options.out, options.cache, options.jobs
            )
    except (UserError, FetchError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1
    except KeyboardInterrupt:
        print("error: interrupted; what was fetched is kept, so the same command continues", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
