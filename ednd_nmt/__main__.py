"""``python -m ednd_nmt`` is ``ednd-nmt``."""

import sys

from ednd_nmt.cli import main

if __name__ == "__main__":
    # A process that fairseq spawns for a further GPU runs the main file again, and so registers what is here, but not that
    # of a module called __main__.
    __spec__ = None  # type: ignore[assignment]
    sys.exit(main())
