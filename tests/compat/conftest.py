"""The tests of the repairs run on a repaired fairseq, whichever of them is alone."""

import ednd_nmt  # noqa: F401 - before fairseq: official releases cannot be imported without it
