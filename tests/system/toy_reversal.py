"""A real task small enough for a test: reverse a sequence of letters, with real fairseq commands on real checkpoints."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from own_process import ednd_nmt

IN_DOMAIN = "abcdefghijklmnop"
SHIFTED = "qrstuvwx"  # known to the dictionary, seen rarely in training and never reversed there


@dataclass
class ToyReversal:
    """Data, members and student of the toy task in one folder."""

    folder: Path
    members: list[Path] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.folder / "data-bin"

    def run(self, command: str, *arguments: str | Path) -> str:
        """Run ``ednd-nmt <command>`` in a process of its own; its output. Fails loudly."""
        process = ednd_nmt(command, *arguments, folder=self.folder)
        assert process.returncode == 0, (
            f"{command} failed:\n{process.stdout[-3000:]}\n{process.stderr[-3000:]}"
        )
        return process.stdout

    def write_text(self) -> None:
        generator = random.Random(1)
        for split, count, letters in (
            ("train", 4000, IN_DOMAIN),
            ("valid", 100, IN_DOMAIN),
            ("test", 203, IN_DOMAIN),
            ("shifted", 203, SHIFTED),
        ):
            sources = [generator.choices(letters, k=generator.randint(2, 7)) for _ in range(count)]
            if split == "train":  # the shifted letters exist, but only as one-letter words
                sources += [[letter] for letter in SHIFTED for _ in range(5)]
            (self.folder / f"{split}.src").write_text("".join(" ".join(s) + "\n" for s in sources))
            (self.folder / f"{split}.tgt").write_text("".join(" ".join(reversed(s)) + "\n" for s in sources))

    def binarise(self) -> None:
        self.run(
            "preprocess", "--source-lang", "src", "--target-lang", "tgt", "--joined-dictionary",
            "--trainpref", "train", "--validpref", "valid", "--testpref", "test,shifted", "--destdir", self.data,
        )  # fmt: skip

    def train(self, name: str, *arguments: str | Path, updates: int) -> Path:
        """Train a model into its own folder; the final checkpoint."""
        folder = self.folder / name
        self.run(
            "train", self.data, "--source-lang", "src", "--target-lang", "tgt", "--save-dir", folder,
            "--encoder-layers", "2", "--decoder-layers", "2", "--encoder-embed-dim", "64", "--encoder-ffn-embed-dim", "128",
            "--encoder-attention-heads", "4", "--decoder-attention-heads", "4", "--share-all-embeddings", "--dropout", "0.1",
            "--optimizer", "adam", "--adam-betas", "(0.9, 0.98)", "--lr", "3e-3", "--lr-scheduler", "inverse_sqrt",
            "--warmup-updates", "100", "--clip-norm", "1.0", "--max-tokens", "1000", "--max-update", str(updates),
            "--no-epoch-checkpoints", "--no-progress-bar", "--cpu",
            "--num-workers", "0", "--log-interval", "100", *arguments,
        )  # fmt: skip
        return folder / "checkpoint_last.pt"

    def train_members(self, count: int, *arguments: str | Path, updates: int) -> None:
        for seed in range(1, count + 1):
            member = self.train(
                f"member{seed}", "--arch", "transformer", "--criterion", "label_smoothed_cross_entropy",
                "--seed", str(seed), *arguments, updates=updates,
            )  # fmt: skip
            self.members.append(member)

    def train_student(
        self, name: str, *arguments: str | Path, updates: int, arch: str = "dirichlet_transformer"
    ) -> Path:
        return self.train(
            name, "--task", "distillation", "--ensemble-paths", ":".join(map(str, self.members)), "--arch", arch,
            "--seed", "7", *arguments, updates=updates,
        )  # fmt: skip

    def generate(self, models: list[Path], subset: str, output: Path, *arguments: str | Path) -> str:
        """Translate ``test`` (in domain) or ``test1`` (shifted) with uncertainties; fairseq's printed lines."""
        return self.run(
            "generate", self.data, "--source-lang", "src", "--target-lang", "tgt", "--task", "distillation", "--cpu",
            "--path", ":".join(map(str, models)), "--gen-subset", subset, "--beam", "5", "--nbest", "5",
            "--uncertainty-output", output, "--no-progress-bar", *arguments,
        )  # fmt: skip
