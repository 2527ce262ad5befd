"""What a system of the study costs, as a table of the JSON of ``scripts/benchmark_decoding.py``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from examples.reporting import markdown_table


def table(found: Mapping[str, Any]) -> str:
    """A row per system: its models and their parameters, and the processor time of a search in that of the first row."""
    plain, *systems = found["systems"]
    rows = [
        [
            entry["system"],
            str(entry["models"]),
            f"{entry['parameters'] / 1e6:.2f}",
            "{:.2f} ({:.2f}–{:.2f})".format(*entry["processor"]),
        ]
        for entry in systems
    ]
    header = ["", "models", "parameters, millions", f"search, times that of {plain['system']} (range)"]
    return f"{markdown_table(header, rows)}\n{found['setting']}\n"
