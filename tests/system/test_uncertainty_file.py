"""The file that ``--uncertainty-output`` writes, for every kind of system: valid, and the same in every format."""

from __future__ import annotations

import csv
import gc
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonschema import Draft202012Validator
from random_models import RandomModels
from toy_reversal import ToyReversal

from ednd_nmt.errors import UserError
from ednd_nmt.formats import FORMATS
from ednd_nmt.record_reader import read_records
from ednd_nmt.records import Header, Sentence, json_schema
from ednd_nmt.sequence_generator import UncertaintySequenceGenerator

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?")
KINDS = {
    "single": (["transformer"], []),
    "ensemble-pe": (["transformer"] * 2, []),
    "ensemble-ep": (["transformer"] * 2, ["--ensemble-combination", "ep"]),
    "student": (["dirichlet_transformer"], []),
    "student-pe": (["dirichlet_transformer"] * 2, []),
}


def write(
    toy: ToyReversal, path: Path, kind: str, *flags: str, killed_after: int | None = None, first_seed: int = 0
) -> list[int]:
    """Translate some of the test set with random models, as ``fairseq-generate`` does; the ids of what was translated."""
    archs, own = KINDS[kind]
    gc.collect()  # an earlier run holds its file as long as its objects are there, and a process that was killed has none
    random = RandomModels(
        toy.data, path, flags=[*own, *flags, "--beam", "3", "--nbest", "2", "--max-len-b", "5"]
    )
    models = [random.model(seed, arch) for seed, arch in enumerate(archs, start=first_seed)]
    for model in models:
        model.prepare_for_inference_(random.config)
    torch.manual_seed(random.config.common.seed)
    batches: Any = random.task.get_batch_iterator(
        random.task.dataset("test"), max_sentences=4, num_shards=1 if "--num-shards" in flags else 20
    ).next_epoch_itr(shuffle=False)
    generator = random.task.build_generator(models, random.config.generation)
    translated = []
    for number, batch in enumerate(batches):
        if number == killed_after:
            break
        random.task.inference_step(generator, models, batch)
        translated += batch["id"].tolist()
    return translated


def read(path: Path) -> tuple[Header, list[Sentence]]:
    header, sentences = read_records(path)
    return header, list(sentences)


@pytest.mark.parametrize("flags", [[], ["--score-reference"]], ids=["search", "score"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_line_is_valid_by_the_schema(
    toy: ToyReversal, tmp_path: Path, kind: str, flags: list[str]
) -> None:
    path = tmp_path / "out.jsonl"
    write(toy, path, kind, *flags)
    validator = Draft202012Validator(json_schema())
    lines = path.read_text(encoding="utf-8").splitlines()
    for line in lines:
        validator.validate(json.loads(line))
    header, sentences = read(path)
    assert len(sentences) == len(lines) - 1 > 3
    assert header.system == kind.partition("-")[0]
    assert header.combination == (kind.partition("-")[2] or None)
    assert header.nbest == len(sentences[0].hypotheses) == (1 if flags else 2)
    for hypothesis in (hypothesis for sentence in sentences for hypothesis in sentence.hypotheses):
        assert (
            hypothesis.tokens.index("</s>") == len(hypothesis.tokens) - 1
        )  # once, and counted like any other token
        sums = {
            name: sum(values) / len(hypothesis.tokens) for name, values in hypothesis.token_measures.items()
        }
        averages = {"TU", "DU", "MI", "EPKL", "MKL", "sMKL"}
        assert averages & hypothesis.measures.keys() == averages & sums.keys() >= {"TU"}
        for name in averages & sums.keys():
            assert hypothesis.measures[name] == pytest.approx(sums[name], rel=1e-5, abs=1e-6)
        assert hypothesis.measures["sTU"] == pytest.approx(-sums["log_probability"], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - {"jsonl"}))
def test_another_format_holds_what_the_records_hold(toy: ToyReversal, tmp_path: Path, name: str) -> None:
    write(toy, tmp_path / "out.jsonl", "student")
    write(toy, tmp_path / "out", "student", "--uncertainty-format", name, "--uncertainty-measure", "EPKL")
    header, sentences = read(tmp_path / "out.jsonl")
    output_format = FORMATS[name](header, "EPKL")
    expected = output_format.head(sentences[0]) + "".join(map(output_format.sentence, sentences))
    written = (tmp_path / "out").read_text(encoding="utf-8")
    if name in ("fairseq", "shifts"):  # they compute numbers from those that the records have rounded
        assert NUMBER.sub("#", written) == NUMBER.sub("#", expected)
        numbers = [list(map(float, NUMBER.findall(text))) for text in (written, expected)]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-5, abs=1.1e-4)
    else:
        assert written == expected
    if name == "tsv":
        with open(tmp_path / "out", encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
        hypotheses = [hypothesis for sentence in sentences for hypothesis in sentence.hypotheses]
        assert [float(row["EPKL"]) for row in rows] == [h.measures["EPKL"] for h in hypotheses]


def test_an_unknown_measure_names_the_nearest_and_leaves_no_file(toy: ToyReversal, tmp_path: Path) -> None:
    for name in ("text", "jsonl"):
        flags = ("--uncertainty-format", name, "--uncertainty-measure", "EPLK")
        with pytest.raises(UserError, match=r"no measure 'EPLK' \(did you mean 'EPKL'"):
            write(toy, tmp_path / "out", "student", *flags)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--sampling", "--sampling-topp", "0.9", "--seed", "7"],
        ["--retain-dropout", "--seed", "7"],
    ],
    ids=str,
)
def test_an_interrupted_run_ends_with_the_same_bytes(
    toy: ToyReversal, tmp_path: Path, flags: list[str]
) -> None:
    """What is recorded is not translated again, and what is not, is; other models are told apart."""
    whole, path = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    everything = write(toy, whole, "student", *flags)
    first = write(toy, path, "student", *flags, killed_after=2)
    assert not path.exists()
    with pytest.raises(UserError, match="left by a run with another models; give that command again"):
        write(toy, path, "student", *flags, first_seed=5)
    rest = write(toy, path, "student", *flags)
    assert sorted(first + rest) == sorted(everything)
    assert path.read_bytes() == whole.read_bytes()
    assert sorted(tmp_path.iterdir()) == [path, whole]


@pytest.mark.parametrize(
    ("flags", "search"),
    [
        ([], "max_len_b=5"),
        (["--lenpen", "0.6"], "max_len_b=5,lenpen=0.6"),
        (["--sampling", "--seed", "7"], "max_len_b=5,sampling=True,seed=7"),
        (["--retain-dropout", "--seed", "7"], "max_len_b=5,retain_dropout=True,seed=7"),
        (
            ["--uncertainty-penalty", "0.5", "--penalty-measure", "TU"],
            "max_len_b=5,uncertainty_penalty=0.5,penalty_measure=TU",
        ),
        (
            ["--lm-path", "news/best.pt", "--lm-weight", "0.3"],
            "max_len_b=5,lm_path=news/best.pt,lm_weight=0.3",
        ),
        (["--score-reference"], None),
        (["--score-reference", "--retain-dropout", "--seed", "7"], "retain_dropout=True,seed=7"),
        (
            ["--score-reference", "--lenpen", "0.6", "--temperature", "2", "--sampling"],  # nothing is drawn
            "lenpen=0.6,temperature=2.0",
        ),
        (["--score-reference", "--unnormalized"], "unnormalized=True"),
    ],
    ids=str,
)
def test_the_header_names_the_search(
    toy: ToyReversal, tmp_path: Path, flags: list[str], search: str | None
) -> None:
    write(toy, tmp_path / "out.jsonl", "single", *flags)
    assert read(tmp_path / "out.jsonl")[0].search == search


def test_dropout_that_is_kept_acts_on_scores_and_is_told(toy: ToyReversal, tmp_path: Path) -> None:
    """So that sets scored with it and without are not taken for measured alike."""
    found = {}
    for name, flags in (("plain", []), ("dropout", ["--retain-dropout"])):
        write(toy, tmp_path / f"{name}.jsonl", "single", "--score-reference", *flags)
        found[name] = read(tmp_path / f"{name}.jsonl")
    plain, dropout = found["plain"], found["dropout"]
    assert plain[1][0].measures["TU"] != pytest.approx(dropout[1][0].measures["TU"], rel=1e-3)
    assert plain[0].conditions != dropout[0].conditions


@pytest.mark.parametrize("kind", ["student", "student-pe"])
def test_without_its_offset_a_student_measures_what_it_searches_with(
    toy: ToyReversal, tmp_path: Path, kind: str
) -> None:
    """The translations stay, and their scores and total uncertainty are those of softmax(z), with no tail."""
    found = {}
    for name, flags in (("own", []), ("none", ["--uncertainty-offset", "0"])):
        write(toy, tmp_path / f"{name}.jsonl", kind, *flags)
        found[name] = read(tmp_path / f"{name}.jsonl")
    assert [found[name][0].offset for name in found] == [1, 0]
    assert [found[name][0].predictive.rpartition(",")[2] for name in found] == ["decoding=mode", "offset=0"]
    for own, none in zip(found["own"][1], found["none"][1], strict=True):
        assert [h.text for h in own.hypotheses] == [h.text for h in none.hypotheses]
        for hypothesis in none.hypotheses:
            assert hypothesis.measures["sTU"] == pytest.approx(-hypothesis.score, rel=1e-5)
        assert own.measures["TU"] > none.measures["TU"]


@pytest.mark.parametrize("dropout", [False, True])
def test_one_model_with_dropout_is_an_ensemble(toy: ToyReversal, tmp_path: Path, dropout: bool) -> None:
    """Monte-Carlo dropout: the same checkpoint several times in --path, with fairseq's --retain-dropout."""
    path = tmp_path / "out.jsonl"
    flags = ["--retain-dropout"] if dropout else []
    random = RandomModels(toy.data, path, flags=[*flags, "--max-len-b", "5"])
    model = random.model(0)
    model.prepare_for_inference_(random.config)
    batches: Any = random.task.get_batch_iterator(random.task.dataset("test"), num_shards=20).next_epoch_itr(
        shuffle=False
    )
    generator = random.task.build_generator([model] * 3, random.config.generation)
    for batch in batches:
        random.task.inference_step(generator, [model] * 3, batch)
    header, sentences = read(path)
    assert (header.system, header.members) == ("ensemble", 3)
    disagreement = [sentence.measures["MI"] for sentence in sentences]
    assert min(disagreement) > 1e-3 if dropout else max(disagreement) < 1e-6


def test_shards_are_told_by_fairseqs_own_flags(toy: ToyReversal, tmp_path: Path) -> None:
    """``--num-shards`` and ``--shard-id``, which fairseq-generate itself reads and forgets."""
    ids = [
        write(toy, tmp_path / f"{n}.jsonl", "single", "--num-shards", "2", "--shard-id", str(n))
        for n in (0, 1)
    ]
    assert sorted(ids[0] + ids[1]) == list(range(203))
    assert [s.id for s in read(tmp_path / "1.jsonl")[1]] == sorted(ids[1])
    with pytest.raises(UserError, match="use fewer shards"):
        write(toy, tmp_path / "60.jsonl", "single", "--num-shards", "60", "--shard-id", "59")


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--ensemble-combination", "ep"), ("--uncertainty-penalty", "5"), ("--dirichlet-decoding", "mean")],
)
def test_options_of_the_search_act_without_a_file(toy: ToyReversal, flag: str, value: str) -> None:
    """Nobody who compares translations by them needs to ask for a file."""
    random = RandomModels(toy.data, flags=[flag, value, "--penalty-measure", "TU"])
    arch = "dirichlet_transformer" if flag == "--dirichlet-decoding" else "transformer"
    models = [random.model(seed, arch) for seed in (1, 2)]
    sample = random.batch(list(range(0, 40, 4)))

    def found(changed: bool) -> list[Any]:
        if not changed:
            random.task.cfg.ensemble_combination, random.task.cfg.dirichlet_decoding = "pe", "mode"
            random.task.cfg.uncertainty_penalty = 0.0
        generator = random.task.build_generator(models, random.config.generation)
        assert isinstance(generator, UncertaintySequenceGenerator) is changed
        hypotheses = random.task.inference_step(generator, models, sample)
        return [(best["tokens"].tolist(), float(best["score"])) for best, *_ in hypotheses]

    assert found(True) != found(False)


def test_no_alignment_where_the_search_is_ours(toy: ToyReversal) -> None:
    random = RandomModels(toy.data, flags=["--uncertainty-penalty", "1", "--print-alignment"])
    with pytest.raises(UserError, match="A search with --uncertainty-penalty records no alignment"):
        random.task.build_generator([random.model(1)], random.config.generation)


def test_what_fairseq_interactive_alone_can_do_or_cannot_do(toy: ToyReversal, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="hold no constraints"):
        write(toy, tmp_path / "out", "single", "--constraints")
    random = RandomModels(toy.data, tmp_path / "out")
    with pytest.raises(
        UserError, match="ednd-nmt translate"
    ):  # it builds its generator before it has read anything
        random.task.build_generator([random.model(1)], random.config.generation)
