"""The corpus of the paper's translation experiment, WMT17 English-German. Run through ``scripts/build_wmt17.py``."""
