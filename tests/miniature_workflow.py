"""The workflow in miniature: a configuration of some seconds, text of one's own for it, and Snakemake to run it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from own_process import PATIENCE

ROOT = Path(__file__).resolve().parents[1]
SNAKEFILE = ROOT / "examples" / "debian_ende" / "Snakefile"

needs_snakemake = pytest.mark.skipif(
    importlib.util.find_spec("snakemake") is None, reason="the extra `workflow` is not installed"
)

MINIATURE = """
languages: [en, de]
corpus: {options: ["--source-files own.en --target-files own.de"]}
shifted: {german: {reference: false}, permuted: {reference: true, permute_pieces: true}}
pieces:
  size: 400
  kind: bpe
  sample: 2000
  plain_punctuation: true
  moses_normalisation: true
  tokenizer: moses
  dictionaries: separate
  limits: {length: 60, ratio: 1.075}
  processes: 2
members: 2
member:
  threads: 1
  keep: last
  options:
    - --arch transformer --criterion cross_entropy --optimizer adam --lr 1e-2 --max-tokens 1000 --max-update 4
    - &size --encoder-layers 1 --encoder-embed-dim 16 --encoder-ffn-embed-dim 16 --encoder-attention-heads 2
    - &sizes --decoder-layers 1 --decoder-embed-dim 16 --decoder-ffn-embed-dim 16 --decoder-attention-heads 2
    - &rest --share-decoder-input-output-embed --no-epoch-checkpoints --num-workers 0
transfer: {threads: 1, shards: 2, hypotheses: 2, references: mix, store_top_k: 16, options: [--beam 2 --max-len-b 5]}
student:
  threads: 1
  keep: best
  options:
    - --arch dirichlet_transformer --criterion rkl_dirichlet_proxy_distillation --target-concentration mkl
    - --optimizer adam --lr 1e-2 --max-tokens 1000 --max-update 4
    - *size
    - *sizes
    - *rest
translate: {threads: 1, options: [--beam 2 --nbest 2 --max-len-b 5]}
"""
NOUNS = ["Haus", "Baum", "Tisch", "Hund", "Fisch", "Brief", "Ball", "Stein", "Turm", "Berg", "Fluss", "Wald"]
VERBS = ["sieht", "findet", "kennt", "sucht", "ruft", "malt", "holt"]


def own_text(folder: Path) -> None:
    """3,000 sentences that differ, and their "translations"."""
    german = [
        f"Der {NOUNS[n % 12]} {VERBS[n % 7]} am Tag {n} den {NOUNS[n * 5 % 11]} und auch den {NOUNS[n // 12 % 12]}."
        for n in range(3000)
    ]
    english = [line.replace("Der", "The").replace("den", "the").replace("und auch", "and") for line in german]
    for name, text in (("own.de", german), ("own.en", english)):
        (folder / name).write_text("\n".join(text) + "\n", encoding="utf-8")


def snakemake(
    folder: Path, configuration: Path, *arguments: str, snakefile: Path = SNAKEFILE
) -> subprocess.CompletedProcess[str]:
    """Run the workflow in ``folder``, on two cores; the first arguments may be further configurations."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--cores", "2"]
    command += ["--directory", str(folder), "--configfile", str(configuration), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)


def planned(result: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """How many jobs of each rule Snakemake would run, after ``--dry-run``."""
    assert result.returncode == 0, result.stderr
    table = (result.stdout + result.stderr).partition("Job stats:")[2].partition("\ntotal")[0]
    lines = map(str.split, table.splitlines())
    return {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdigit()}
