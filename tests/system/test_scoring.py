"""Scoring given targets: the same columns as the search attaches, whatever the batch."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from random_models import OTHER_ARCHITECTURES, RandomModels
from search_definitions import IDS, check, search
from torch import Tensor
from toy_reversal import ToyReversal
from training import Training, member

from ednd_nmt.errors import UserError
from ednd_nmt.record_reader import read_records
from ednd_nmt.scoring import UncertaintyScorer, pair_dataset
from ednd_nmt.system import System

KINDS = ["single", "ensemble", "student", "mixed"]


def systems_of(random_models: RandomModels, kind: str) -> list[Any]:
    if kind == "mixed":
        return [
            random_models.model(seed, arch) for seed, arch in enumerate(["transformer", *OTHER_ARCHITECTURES])
        ]
    seeds, arch = {
        "single": ((1,), "transformer"),
        "ensemble": ((1, 2, 3), "transformer"),
        "student": ((1,), "dirichlet_transformer"),
    }[kind]
    return [random_models.model(seed, arch) for seed in seeds]


def scored(
    models: RandomModels, systems: list[Any], sample: dict[str, Any], **options: Any
) -> list[list[dict[str, Any]]]:
    scorer, _ = models.task.build_recording_generator(
        systems, Namespace(score_reference=True, nbest=1, **options)
    )
    return models.task.inference_step(scorer, systems, sample)


@pytest.mark.parametrize("kind", KINDS)
def test_references_equal_teacher_forced(random_models: RandomModels, kind: str) -> None:
    systems = systems_of(random_models, kind)
    sample = random_models.batch(IDS)
    found = scored(random_models, systems, sample)
    pad = random_models.task.target_dictionary.pad()
    for row, (hypothesis,) in enumerate(found):
        assert torch.equal(hypothesis["tokens"], sample["target"][row][sample["target"][row] != pad])
    check(systems, sample, found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options", [{}, {"lenpen": 0.6, "temperature": 1.5}, {"unnormalized": True}], ids=str
)
def test_a_search_result_scores_as_it_was_found(
    random_models: RandomModels, kind: str, options: dict[str, Any]
) -> None:
    """Scores and columns of every hypothesis of the search, from its text alone."""
    systems = systems_of(random_models, kind)
    sample, found = search(random_models, systems, IDS, max_len_b=12, **options)
    sources: list[Tensor] = []
    hypotheses = []
    for row, nbest in enumerate(found):
        source = sample["net_input"]["src_tokens"][row, -sample["net_input"]["src_lengths"][row] :]
        sources += [source] * len(nbest)
        hypotheses += nbest
    dataset = pair_dataset(random_models.task, sources, [h["tokens"].clone() for h in hypotheses])
    for size in (1, 16):
        seen: dict[int, list[dict[str, Any]]] = {}
        batches = random_models.task.get_batch_iterator(dataset, max_sentences=size).next_epoch_itr(
            shuffle=True
        )
        for batch in batches:
            seen.update(
                zip(batch["id"].tolist(), scored(random_models, systems, batch, **options), strict=True)
            )
        assert seen.keys() == set(range(len(hypotheses)))
        for index, hypothesis in enumerate(hypotheses):
            (again,) = seen[index]
            assert torch.equal(again["tokens"], hypothesis["tokens"])
            for name in ("score", "positional_scores"):
                torch.testing.assert_close(again[name], hypothesis[name].float(), rtol=1e-5, atol=1e-5)
            assert again["uncertainty"].keys() == hypothesis["uncertainty"].keys()
            for name, values in hypothesis["uncertainty"].items():
                torch.testing.assert_close(again["uncertainty"][name], values, rtol=1e-5, atol=1e-5)


def test_models_without_logits_are_refused(toy: ToyReversal) -> None:
    flags = ("--arch", "transformer", "--adaptive-softmax-cutoff", "6", "--ddp-backend", "legacy_ddp")
    model = Training(toy.data, *flags, criterion="adaptive_loss").model
    with pytest.raises(UserError, match="has an adaptive softmax and so no logits of the whole vocabulary"):
        System.of_models([model])


def test_what_cannot_be_scored(random_models: RandomModels) -> None:
    systems = systems_of(random_models, "student")
    sample = random_models.batch(IDS)
    eos = random_models.task.target_dictionary.eos()
    with pytest.raises(UserError, match="end-of-sentence"):
        scored(
            random_models, systems, {**sample, "target": sample["target"].where(sample["target"] != eos, 5)}
        )
    with pytest.raises(UserError, match="no target side"):
        scored(random_models, systems, {**sample, "target": None})


@pytest.mark.slow(seconds=15)
def test_score_reference_of_fairseq_generate(toy: ToyReversal, tmp_path: Path) -> None:
    """The whole command: every reference is in the file, with fairseq's own score of it."""
    model = member(toy.data, tmp_path / "member.pt")
    toy.generate([model], "test", tmp_path / "scores.jsonl", "--score-reference", "--batch-size", "16")
    printed = toy.run(
        "generate", toy.data, "--source-lang", "src", "--target-lang", "tgt", "--cpu", "--path", model,
        "--gen-subset", "test", "--score-reference", "--no-progress-bar",
    )  # fmt: skip
    header, sentences = read_records(tmp_path / "scores.jsonl")
    assert (header.system, header.beam, header.nbest) == ("single", None, 1)
    scores = {}
    for line in printed.splitlines():
        if line.startswith("H-"):
            identifier, score, _ = line.removeprefix("H-").split("\t")
            scores[int(identifier)] = float(score) * torch.tensor(2.0).log().item()  # fairseq prints base 2
    references = (toy.folder / "test.tgt").read_text().splitlines()
    seen = 0
    for sentence in sentences:
        (hypothesis,) = sentence.hypotheses
        assert hypothesis.text == references[sentence.id]
        assert hypothesis.score == pytest.approx(scores[sentence.id], abs=1e-4)
        assert hypothesis.measures["sTU"] == pytest.approx(-hypothesis.score, rel=1e-5)
        seen += 1
    assert seen == len(references)


def test_scorer_is_built_from_fairseqs_options(random_models: RandomModels) -> None:
    scorer, _ = random_models.task.build_recording_generator(
        systems_of(random_models, "single"), Namespace(score_reference=True, nbest=5)
    )
    assert isinstance(scorer, UncertaintyScorer)
