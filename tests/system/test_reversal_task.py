"""The whole job on a task that a CPU learns within minutes: it must be learned, and the unknown must be known as such."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sacrebleu
from sklearn.metrics import roc_auc_score
from toy_reversal import ToyReversal

from ednd_nmt.record_reader import read_records
from ednd_nmt.records import Sentence

SHALLOW = ("--encoder-layers", "1", "--decoder-layers", "1")
SHORT = ("--max-len-b", "10")  # for students of a few updates, which do not know when to end
MEASURES = ("TU", "DU", "MI", "EPKL", "MKL", "sTU", "sMKL", "sDU")

pytestmark = pytest.mark.slow(seconds=40)


@pytest.fixture(scope="module")
def members(toy: ToyReversal) -> ToyReversal:
    toy.train_members(2, *SHALLOW, updates=450)
    return toy


@pytest.fixture(scope="module")
def student(members: ToyReversal) -> Path:
    return members.train_student(
        "student",
        "--criterion",
        "rkl_dirichlet_proxy_distillation",
        "--target-concentration",
        "mkl",
        *SHALLOW,
        updates=500,
    )


def translate(toy: ToyReversal, models: list[Path], subset: str, *arguments: str) -> list[Sentence]:
    output = toy.folder / f"{'-'.join(model.parent.name for model in models)}.{subset}.jsonl"
    toy.generate(models, subset, output, *arguments)
    _, sentences = read_records(output)
    return list(sentences)


def bleu(sentences: list[Sentence]) -> float:
    return sacrebleu.corpus_bleu(
        [s.hypotheses[0].text for s in sentences], [[s.reference or "" for s in sentences]], tokenize="none"
    ).score


def test_student_learns_and_knows_what_it_does_not_know(members: ToyReversal, student: Path) -> None:
    known, unknown = (translate(members, [student], subset) for subset in ("test", "test1"))
    ensemble_known, ensemble_unknown = (
        translate(members, members.members, subset) for subset in ("test", "test1")
    )
    assert [s.id for s in known] == list(range(203))  # 203 is no multiple of 8, and nothing is lost
    assert bleu(ensemble_known) > 85
    assert bleu(known) > 80
    labels = [0] * len(known) + [1] * len(unknown)
    for name in MEASURES:
        values = [s.measures[name] for s in [*known, *unknown]]
        assert roc_auc_score(labels, values) > 0.9, name
    teacher = [s.measures["EPKL"] for s in [*ensemble_known, *ensemble_unknown]]
    assert roc_auc_score(labels, teacher) > 0.9


def test_batch_size_changes_nothing(members: ToyReversal, student: Path) -> None:
    """On trained checkpoints, through the file: the same texts, and measures equal to 1e-5."""
    systems = {"student": [student], "ensemble": members.members, "students": [student, student]}
    for name, models in systems.items():
        files = []
        for batch_size in (1, 16):
            output = members.folder / f"{name}.batch{batch_size}.jsonl"
            members.generate(models, "valid", output, "--batch-size", str(batch_size))
            files.append(list(read_records(output)[1]))
        for one, many in zip(*files, strict=True):
            assert [h.text for h in one.hypotheses] == [h.text for h in many.hypotheses]
            for first, second in zip(one.hypotheses, many.hypotheses, strict=True):
                for column, values in first.token_measures.items():
                    np.testing.assert_allclose(values, second.token_measures[column], rtol=1e-4, atol=1e-5)


def test_published_command_on_a_stock_architecture(members: ToyReversal) -> None:
    """``--arch transformer --model-offset 1 --target-offset 1``: the checkpoint remembers what it is."""
    stock = members.train_student(
        "stock", "--criterion", "rkl_dirichlet_proxy_distillation", "--target-concentration", "mkl",
        "--model-offset", "1", "--target-offset", "1", updates=20, arch="transformer",
    )  # fmt: skip
    sentences = translate(members, [stock], "test", *SHORT)
    assert {"EPKL", "MI", "logvar"} <= sentences[0].measures.keys()
    header, _ = read_records(members.folder / "stock.test.jsonl")
    assert (header.system, header.offset) == ("student", 1.0)


@pytest.mark.parametrize(
    "criterion",
    ["sequence_distribution_distillation", "dirichlet_proxy_distillation", "forward_kl_mean_distillation"],
)
def test_other_criterions_train_and_translate(members: ToyReversal, criterion: str) -> None:
    dirichlet = criterion != "forward_kl_mean_distillation"
    model = members.train_student(
        criterion, "--criterion", criterion, "--target-concentration", "mkl", updates=20,
        arch="dirichlet_transformer" if dirichlet else "transformer",
    )  # fmt: skip
    measures = translate(members, [model], "test", *SHORT)[0].measures
    assert ("EPKL" in measures) == dirichlet
    assert {"TU", "sTU"} <= measures.keys()
