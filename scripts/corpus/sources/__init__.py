"""One module per source of parallel text; each turns the files of some packages into aligned blocks."""
