"""The steps of the workflows in ``examples/``, each a command: ``python -m scripts.workflow.<step>``."""
