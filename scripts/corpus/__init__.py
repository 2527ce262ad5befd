"""The Debian documentation corpus: fetch, align, clean, split. Run through ``scripts/build_corpus.py``."""
