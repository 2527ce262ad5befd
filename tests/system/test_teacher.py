"""Members that cannot teach the student are refused in one sentence, before any training."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from random_models import RandomModels
from toy_reversal import ToyReversal

from ednd_nmt.ensemble import ensemble_statistics
from ednd_nmt.errors import UserError
from ednd_nmt.teacher import Teacher, split_paths


@pytest.fixture(scope="module")
def member(toy: ToyReversal) -> Path:
    return toy.train("member", "--arch", "transformer", "--criterion", "cross_entropy", updates=2)


@pytest.fixture(scope="module")
def student(toy: ToyReversal, member: Path) -> Path:
    toy.members = [member]
    return toy.train_student("student", "--criterion", "rkl_dirichlet_proxy_distillation", updates=2)


TRAIN = ("train", "--save-dir", "refused", "--optimizer", "adam")
GENERATE = ("generate", "--uncertainty-output", "refused/out.jsonl")


def refusal(toy: ToyReversal, *arguments: str | Path, command: tuple[str, ...] = TRAIN) -> str:
    """What a training that must not begin says, or a translation."""
    name, *own = command
    words = [sys.executable, "-m", "ednd_nmt", name, toy.data, "--source-lang", "src", "--target-lang", "tgt",
             "--task", "distillation", "--max-tokens", "500", "--cpu", *own, *arguments]  # fmt: skip
    process = subprocess.run([str(part) for part in words], capture_output=True, text=True, cwd=toy.folder)
    assert process.returncode == 2, process.stderr[-2000:]
    assert "Traceback" not in process.stderr
    assert not list(toy.folder.glob("refused/*"))
    return process.stderr.strip().splitlines()[-1]


STUDENT = ("--criterion", "rkl_dirichlet_proxy_distillation", "--arch", "dirichlet_transformer_tiny")


def with_other_symbols(folder: Path, symbols: str) -> ToyReversal:
    """The toy's text with ``symbols`` in place of one symbol of the source."""
    folder.mkdir()
    other = ToyReversal(folder)
    other.write_text()
    text = (folder / "train.src").read_text()
    (folder / "train.src").write_text(text.replace("b", symbols))
    other.binarise()
    return other


@pytest.mark.slow
def test_refusals(toy: ToyReversal, member: Path, student: Path, tmp_path: Path) -> None:
    assert "There is no ensemble member at nowhere.pt" in refusal(
        toy, *STUDENT, "--ensemble-paths", "nowhere.pt"
    )
    assert "give --ensemble-paths" in refusal(toy, *STUDENT)
    paths = f"{member},{student}"
    assert "is a Dirichlet student, not an ensemble member" in refusal(
        toy, *STUDENT, "--ensemble-paths", paths
    )
    contradiction = refusal(toy, *STUDENT, "--ensemble-paths", member, "--model-offset", "2")
    assert "contradicts the model" in contradiction
    plain = ("--criterion", "forward_kl_mean_distillation", "--arch", "dirichlet_transformer_tiny")
    assert "trains a plain softmax" in refusal(toy, *plain, "--ensemble-paths", member)
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(member.read_bytes()[:1000])
    assert "damaged" in refusal(toy, *STUDENT, "--ensemble-paths", damaged)

    other = with_other_symbols(tmp_path / "other", "y z")  # another order
    sentence = refusal(other, *STUDENT, "--ensemble-paths", member)
    assert "symbols" in sentence
    assert "fairseq-preprocess --srcdict" in sentence
    sentence = refusal(other, "--path", f"{member}:{member}", command=GENERATE)
    assert (
        f"dictionary of the checkpoint {member} ({toy.data}/dict.src.txt) orders its symbols unlike"
        in sentence
    )
    larger = with_other_symbols(tmp_path / "larger", " ".join(f"b{number}" for number in range(20)))
    sentence = refusal(larger, "--path", member, command=GENERATE)
    assert "does not fit the dictionaries of the data" in sentence

    backwards = ("--source-lang", "tgt", "--target-lang", "src")
    sentence = refusal(toy, "--path", f"{member}:{member}", *backwards, command=GENERATE)
    assert "translates src-tgt, but tgt-src is asked for" in sentence
    sentence = refusal(toy, *STUDENT, "--ensemble-paths", member, *backwards)
    assert "translates src-tgt, but tgt-src is asked for" in sentence

    state = torch.load(student, weights_only=False)
    del state["cfg"]["model"].dirichlet_offset
    torch.save(state, tmp_path / "without.pt")
    assert "lacks dirichlet_offset" in refusal(toy, "--path", tmp_path / "without.pt", command=GENERATE)
    assert "max_positions=(5, " in refusal(
        toy, "--path", student, "--max-source-positions", "5", command=GENERATE
    )


def test_paths_are_split_both_ways() -> None:
    assert split_paths("a.pt:b.pt,c.pt") == ["a.pt", "b.pt", "c.pt"]
    assert split_paths("") == []


def test_streamed_logits_are_the_members_own(random_models: RandomModels) -> None:
    """Features first, projection chunk by chunk: the same statistics as from the members' plain outputs."""
    members = [random_models.model(seed) for seed in (1, 2, 3)]
    sample = random_models.batch([0, 5, 9])
    selection = sample["target"].ne(random_models.task.target_dictionary.pad())
    plain = ensemble_statistics([m(**sample["net_input"])[0][selection].float() for m in members])
    positions = selection.flatten().nonzero().squeeze(1)
    member_logits = Teacher(members, torch.device("cpu")).decode(sample, positions)
    chunk = slice(3, 11)
    streamed = ensemble_statistics(member_logits(chunk))
    torch.testing.assert_close(streamed.mean, plain.mean[chunk])
    torch.testing.assert_close(streamed.mkl, plain.mkl[chunk])
    assert not any(parameter.requires_grad for m in members for parameter in m.parameters())
    with pytest.raises(UserError, match="at least one member"):
        ensemble_statistics(iter([]))
