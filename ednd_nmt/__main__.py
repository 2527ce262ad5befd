"""``python -m ednd_nmt`` is ``ednd-nmt``."""

import sys

from ednd_nmt.cli import main

sys.exit(main())
