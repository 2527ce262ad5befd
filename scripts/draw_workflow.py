#!/usr/bin/env python3
"""Draw an experiment's workflow as Snakemake plans it from nothing, with the number of jobs of each rule.

python scripts/draw_workflow.py examples/wmt17_ende/config.yaml examples/wmt17_ende/workflow.svg

needs the `workflow` extra and Graphviz (``dot`` and ``tred``).
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ednd_nmt.errors import UserError, exit_status
from ednd_nmt.files import atomic_writer

SNAKEFILE = Path(__file__).resolve().parents[1] / "examples" / "debian_ende" / "Snakefile"
STYLE = ["-Granksep=0.2", "-Gnodesep=0.15", "-Nheight=0.3", "-Earrowsize=0.7"]


def job_counts(plan: str) -> dict[str, int]:
    """Jobs by rule, from the table in what a dry run prints."""
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", plan, re.MULTILINE)}


def labelled(graph: str, counts: Mapping[str, int]) -> str:
    """A graph of rules, with ``name ×jobs`` in place of the name of a rule of several jobs, all in one colour."""

    def label(found: re.Match[str]) -> str:
        name, jobs = found[1], counts.get(found[1], 1)
        return f'label = "{name.replace("_", " ")}{f" ×{jobs}" if jobs > 1 else ""}"'

    graph = re.sub(r'label = "(\w+)"', label, graph)
    return re.sub(r'color = "[\d. ]+"', 'color = "0.58 0.5 0.6"', graph)


def picture(graph: str) -> str:
    """The graph without the edges that others imply, as SVG."""
    reduced = subprocess.run(["tred"], input=graph, capture_output=True, text=True, check=True).stdout
    return subprocess.run(
        ["dot", "-Tsvg", *STYLE], input=reduced, capture_output=True, text=True, check=True
    ).stdout


def snakemake(config: Path, *arguments: str) -> str:
    """What Snakemake prints on the workflow in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(SNAKEFILE),
            "--configfile",
            str(config),
        ]
        command += ["--config", "gpu=true", "--directory", folder, "--cores", "1", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise UserError(f"Snakemake cannot plan {config}: {result.stderr.strip().splitlines()[-1]}")
    return result.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 2 for what the user can mend."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="configuration of the workflow")
    parser.add_argument("output", type=Path, help="picture to write (SVG)")
    options = parser.parse_args(arguments)
    return exit_status(partial(_draw, options.config.resolve(), options.output))


def _draw(config: Path, output: Path) -> None:
    for tool in ("dot", "tred"):
        if shutil.which(tool) is None:
            raise UserError(f"There is no {tool} on this machine; install Graphviz.")
    counts = job_counts(snakemake(config, "--dry-run", "--quiet", "rules"))
    graph = snakemake(config, "--rulegraph", "dot")
    with atomic_writer(output) as stream:
        stream.write(picture(labelled(graph, counts)))


if __name__ == "__main__":
    sys.exit(main())
