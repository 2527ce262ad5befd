"""One self-contained HTML page to look at an evaluation, sentence by sentence."""
