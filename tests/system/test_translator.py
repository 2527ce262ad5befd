"""Raw text through a model folder: the Python interface and the commands over it."""

from __future__ import annotations

import gc
import io
import itertools
import json
import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonschema import Draft202012Validator
from own_process import ednd_nmt, python
from toy_reversal import ToyReversal

from ednd_nmt.cli import main
from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.calibration import Calibration
from ednd_nmt.model_folder import Preparation, pack
from ednd_nmt.record_reader import read_records
from ednd_nmt.records import Sentence, json_schema
from ednd_nmt.search_options import SearchOptions
from ednd_nmt.translator import DirichletTransformer

LINES = ["a b c d", "", "e f", "p o n m l", "a", "h g f e d c b"]


@pytest.fixture(scope="module")
def folder(toy: ToyReversal, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder around a checkpoint of the real ``fairseq-train``."""
    checkpoint = toy.train(
        "translator", "--arch", "transformer", "--criterion", "label_smoothed_cross_entropy", updates=20
    )
    dictionaries = [toy.data / "dict.src.txt", toy.data / "dict.tgt.txt"]
    output = tmp_path_factory.mktemp("models") / "student"
    pack(checkpoint, dictionaries, None, Preparation("src", "tgt", pieces=False), output)
    return output


@pytest.fixture(scope="module")
def model(folder: Path) -> DirichletTransformer:
    return DirichletTransformer.from_pretrained(folder)


@pytest.mark.slow(seconds=20)
def test_nothing_is_kept_of_the_lines_before(model: DirichletTransformer) -> None:
    def tensors() -> int:
        gc.collect()
        return sum(isinstance(found, torch.Tensor) for found in gc.get_objects())

    lines = model.translate_lines(["a b c"] * 60, buffer=2)
    early, late = [tensors() for number, _ in enumerate(lines) if number in (19, 59)]
    assert late < early + 20


@pytest.mark.slow
def test_order_and_measures_do_not_depend_on_the_batch(model: DirichletTransformer) -> None:
    together = model.translate(LINES, uncertainty=True)
    alone = [model.translate([line], uncertainty=True)[0] for line in LINES]
    assert [sentence.source for sentence in together] == LINES
    assert [sentence.text for sentence in together] == [sentence.text for sentence in alone]
    assert together[1].text == ""
    assert set(together[1].measures.values()) == {0.0}
    for ours, theirs in zip(together, alone, strict=True):
        assert ours.measures == pytest.approx(theirs.measures, abs=1e-5)
    assert model.translate(LINES) == [sentence.text for sentence in together]


@pytest.mark.slow
def test_scoring_a_translation_gives_what_the_search_saw(model: DirichletTransformer) -> None:
    found = [s for s in model.translate(LINES, uncertainty=True, beam=3) if s.source]
    texts = [s.source for s in found], [s.text for s in found]
    scored = model.score(*texts)
    for ours, theirs in zip(found, scored, strict=True):
        assert theirs.text == ours.text
        assert theirs.measures == pytest.approx(ours.measures, abs=1e-5)
    assert (
        model.score(*texts, temperature=2.0) == scored
    )  # it is that of the n-best weights, not of the logits


@pytest.mark.slow
def test_the_command_prints_what_the_interface_returns(folder: Path, model: DirichletTransformer) -> None:
    process = ednd_nmt("translate", "--model", folder, "--format", "jsonl", text="\n".join(LINES) + "\n")
    assert process.returncode == 0, process.stderr
    header, *records = map(json.loads, io.StringIO(process.stdout))
    for line in (header, *records):
        Draft202012Validator(json_schema()).validate(line)
    assert [record["hypotheses"][0]["text"] for record in records] == model.translate(LINES)
    assert "sentences in" in process.stderr


@pytest.mark.slow
def test_scored_records_are_valid_by_the_schema(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("a b c\n\nd e\n")
    target.write_text("c b a\n\n\n")
    texts = ["--source", str(source), "--target", str(target)]
    for models in (str(folder), f"{folder}:{folder}"):
        capsys.readouterr()
        assert main(["score", "--model", models, "--format", "jsonl", *texts]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 4
        for line in lines:
            Draft202012Validator(json_schema()).validate(json.loads(line))


@pytest.mark.slow
def test_acting_while_translating_is_acting_on_the_file(folder: Path, tmp_path: Path) -> None:
    """Reranked, calibrated and abstained on in a stream: the records that ``ednd-nmt rerank`` makes afterwards."""
    calibrator = tmp_path / "calibration.json"
    calibrator.write_text(Calibration(("TU",), (1.0,), (1.0,), (1.0,), 0.0, "bleu", 30.0, 10).to_json())
    options = ["--measure", "disagreement", "--penalty", "20", "--abstain-above", "0.3", "--calibrator"]
    options.append(str(calibrator))
    plain, acted, afterwards = (tmp_path / name for name in ("plain", "acted", "afterwards"))
    by_the_command(folder, plain, "--nbest", "3")
    by_the_command(folder, acted, "--nbest", "3", *options)
    assert main(["rerank", str(plain), "--output", str(afterwards), *options]) == 0
    (header, streamed), (expected_header, expected) = read_records(acted), read_records(afterwards)
    assert header == expected_header
    assert header.decision == "rerank[disagreement*20],abstain[disagreement>0.3]"
    _, before = read_records(plain)
    found = list(streamed)
    for ours, theirs in zip(found, expected, strict=True):
        assert [h.text for h in ours.hypotheses] == [h.text for h in theirs.hypotheses]
        assert ours.abstained == theirs.abstained
        assert ours.measures == pytest.approx(theirs.measures, abs=1e-6)
    assert [sentence.text for sentence in found] != [sentence.text for sentence in before]
    assert {sentence.abstained for sentence in found} == {True, False}


@pytest.mark.slow
def test_scoring_can_tell_the_probability_of_a_bad_translation(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrator, source, target = (tmp_path / name for name in ("calibration.json", "source", "target"))
    calibrator.write_text(Calibration(("sTU",), (1.0,), (1.0,), (1.0,), 0.0, "bleu", 30.0, 10).to_json())
    source.write_text("a b c\n")
    target.write_text("c b a\n")
    files = ["--source", str(source), "--target", str(target), "--calibrator", str(calibrator)]
    capsys.readouterr()
    assert main(["score", "--model", str(folder), *files]) == 0
    uncertainty, probability, text = capsys.readouterr().out.split("\t")
    assert text == "c b a\n"
    assert float(probability) == pytest.approx(1 / (1 + math.exp(1 - float(uncertainty))), abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--abstain-share", "0.1"], "known only at its end"),
        (["--decision", "missing.json"], "Cannot read missing.json"),
    ],
)
def test_what_a_stream_cannot_have_is_said_before_the_model_is_loaded(
    capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["translate", "--model", "none", *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_sentence_beyond_the_positions_is_one_sentence_and_no_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, output = tmp_path / "text", tmp_path / "out.txt"
    text.write_text("a b\n" + "a " * 100_000 + "\n")
    assert main(["translate", "--model", str(folder), "--input", str(text), "--output", str(output)]) == 2
    assert "line 2 has 100,001 pieces" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [text]


@pytest.mark.slow
def test_the_combination_of_several_models_is_chosen(folder: Path) -> None:
    """A model with itself says what it says alone, in either combination; a single one has nothing to combine."""
    found = {}
    for combination in ("pe", "ep"):
        twice = DirichletTransformer.from_pretrained(f"{folder}:{folder}", combination=combination)
        assert twice.header().combination == combination
        found[combination] = twice.translate(LINES, uncertainty=True)
    for pe, ep in zip(found["pe"], found["ep"], strict=True):
        assert pe.text == ep.text
        assert pe.measures == pytest.approx(ep.measures, abs=1e-5)
    with pytest.raises(UserError, match="needs several models"):
        DirichletTransformer.from_pretrained(folder, combination="ep")


def test_one_string_is_no_list_of_sentences(model: DirichletTransformer) -> None:
    for call in (lambda: model.translate("a b c"), lambda: model.score("a b c", "c b a")):
        with pytest.raises(UserError, match="this is one string; put it into a list"):
            call()


@pytest.mark.slow
def test_an_empty_line_is_least_uncertain_by_every_measure(folder: Path) -> None:
    ensemble = DirichletTransformer.from_pretrained(f"{folder}:{folder}")
    (empty, something) = ensemble.translate(["", "a b c"], uncertainty=True)
    assert empty.measures.keys() == something.measures.keys()
    assert {name for name, value in empty.measures.items() if value} == {"varcombo", "logcombo"}
    assert all(empty.measures[name] <= value for name, value in something.measures.items())


@pytest.mark.slow
def test_weights_that_are_not_finite_are_named(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    state = torch.load(broken / "model.pt", weights_only=False)
    state["model"]["decoder.layers.0.fc1.weight"][0, 0] = math.nan
    torch.save(state, broken / "model.pt")
    with pytest.raises(UserError, match=r"The weight decoder.layers.0.fc1.weight of .*model.pt holds NaN"):
        DirichletTransformer.from_pretrained(broken)


def test_unequal_numbers_of_sources_and_translations_are_refused(model: DirichletTransformer) -> None:
    with pytest.raises(UserError, match="2 sources and 1 translations"):
        model.score(["a", "b"], ["a"])


@pytest.mark.slow(seconds=20)
def test_killed_at_any_moment_the_next_run_ends_with_the_same_bytes(
    folder: Path, toy: ToyReversal, tmp_path: Path
) -> None:
    script = Path(__file__).parents[2] / "scripts" / "check_crash_safety.py"
    process = python(
        script, "--model", folder, "--source", toy.folder / "test.src", "--target", toy.folder / "test.tgt",
        "--folder", tmp_path, "--stages", "translate,shift", "--kills", "2",
    )  # fmt: skip
    assert process.returncode == 0, process.stdout + process.stderr
    assert "translate: the same 1 files" in process.stdout
    assert "shift: the same 3 files" in process.stdout  # the toy's text is spoken as it is


def by_the_command(folder: Path, output: Path, *options: str, lines: list[str] = LINES) -> list[Sentence]:
    """What ``ednd-nmt translate`` records, in this process."""
    text = output.with_suffix(".txt")
    text.write_text("\n".join(lines) + "\n")
    words = ["translate", "--model", str(folder), "--input", str(text), "--quiet", "--format", "jsonl"]
    assert main([*words, "--output", str(output), *options]) == 0
    for line in output.read_text(encoding="utf-8").splitlines():
        Draft202012Validator(json_schema()).validate(json.loads(line))
    return list(read_records(output)[1])


@pytest.mark.slow
@pytest.mark.parametrize("order", ["ordered", "unordered"])
def test_translations_hold_the_phrases_of_their_lines(folder: Path, tmp_path: Path, order: str) -> None:
    """And their measures are what scoring the translation gives."""
    lines = ["a b c d\tp o\tk", "", "e f", "\ta", "h g f e\tb"]
    options = ["--constraints", order, "--beam", "4", "--nbest", "2", "--uncertainty-weighting", "best"]
    found = by_the_command(folder, tmp_path / "out.jsonl", *options, lines=lines)
    assert [sentence.source for sentence in found] == ["a b c d", "", "e f", "", "h g f e"]
    assert "p o" in found[0].text
    assert "k" in found[0].text.partition("p o")[2] if order == "ordered" else "k" in found[0].text
    assert found[3].text == ""
    assert "b" in found[4].text
    scored = DirichletTransformer.from_pretrained(folder).score(
        [found[0].source, found[4].source], [found[0].text, found[4].text]
    )
    for ours, theirs in zip((found[0], found[4]), scored, strict=True):
        assert ours.measures == pytest.approx(theirs.measures, abs=1e-5)


@pytest.mark.slow
def test_what_is_sampled_depends_on_the_seed_alone(
    folder: Path, model: DirichletTransformer, tmp_path: Path
) -> None:
    """Not on what was sampled before: a run that goes on after an interruption draws the same."""
    options = ["--sampling", "--sampling-topp", "0.9", "--beam", "3", "--nbest", "3", "--buffer-size", "2"]
    found = by_the_command(folder, tmp_path / "out.jsonl", *options)
    settings = SearchOptions(sampling=True, sampling_topp=0.9, beam=3, nbest=3)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    rest = list(model.translate_lines(LINES[2:], settings, buffer=2, first=2))
    assert torch.equal(torch.get_rng_state(), before)

    def texts(sentences: list[Sentence]) -> list[list[str]]:
        return [[hypothesis.text for hypothesis in sentence.hypotheses] for sentence in sentences]

    assert texts(rest) == texts(found[2:])
    others = model.translate(LINES[2:], uncertainty=True, sampling=True, beam=3, nbest=3, seed=2)
    assert texts(others) != texts(rest)


@pytest.mark.slow
def test_options_of_the_search_reach_it(folder: Path, model: DirichletTransformer, tmp_path: Path) -> None:
    plain = model.translate(LINES, uncertainty=True, beam=4, nbest=4)
    groups = ["--diverse-beam-groups", "2", "--diverse-beam-strength", "5"]
    diverse = by_the_command(folder, tmp_path / "diverse.jsonl", "--beam", "4", "--nbest", "4", *groups)
    named = "max_len_a=1.5,max_len_b=10,diverse_beam_groups=2,diverse_beam_strength=5.0"
    assert read_records(tmp_path / "diverse.jsonl")[0].search == named
    assert {h.text for s in diverse for h in s.hypotheses} != {h.text for s in plain for h in s.hypotheses}
    limits = ["--beam", "2", "--min-len", "5", "--no-repeat-ngram-size", "2"]
    limited = by_the_command(folder, tmp_path / "limited.jsonl", *limits)
    assert "min_len=5" in (read_records(tmp_path / "limited.jsonl")[0].search or "")
    for tokens in (sentence.hypotheses[0].tokens for sentence in limited if sentence.source):
        assert len(tokens) > 5
        assert max(Counter(itertools.pairwise(tokens)).values()) == 1
    penalty = ["--uncertainty-penalty", "2", "--penalty-measure", "TU"]
    penalised = by_the_command(folder, tmp_path / "penalised.jsonl", "--beam", "1", *penalty)
    for (
        sentence
    ) in penalised:  # a greedy search has nothing to choose from: only the score changes, by 2 x TU a token
        (hypothesis,) = sentence.hypotheses
        expected = hypothesis.log_probability / len(hypothesis.tokens) - 2 * hypothesis.measures["TU"]
        assert hypothesis.score == pytest.approx(expected, abs=1e-4)
    uniform = by_the_command(
        folder,
        tmp_path / "uniform.jsonl",
        "--beam",
        "4",
        "--nbest",
        "4",
        "--uncertainty-weighting",
        "uniform",
    )
    hot = by_the_command(
        folder, tmp_path / "hot.jsonl", "--beam", "4", "--nbest", "4", "--uncertainty-temperature", "1e6"
    )
    for ours, theirs, sure in zip(uniform, hot, plain, strict=True):
        mean = sum(hypothesis.measures["TU"] for hypothesis in ours.hypotheses) / len(ours.hypotheses)
        assert ours.measures["TU"] == pytest.approx(mean, abs=1e-5)
        assert theirs.measures["TU"] == pytest.approx(mean, abs=1e-4)
        assert theirs.hypotheses[0].score == pytest.approx(sure.hypotheses[0].score, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sampling": True, "nbest": 5, "diverse_beam_groups": 5},
            "sampling and diverse_beam_groups do not go together",
        ),
        ({"sampling": True, "nbest": 2}, r"make beam \(5\) and nbest \(2\) the same"),
        ({"sampling_topk": 3}, "add sampling"),
        ({"sampling": True, "nbest": 5, "sampling_topp": 1.5}, "sampling_topp up to 1"),
        ({"sampling": True, "nbest": 5, "sampling_topk": 0}, "sampling_topk from 1"),
        ({"diverse_beam_strength": float("inf")}, "must be a finite number"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"diverse_beam_groups": 2}, "2 groups do not share a beam of 5"),
        ({"constraints": "any"}, "ordered or unordered, not 'any'"),
        ({"constraints": "ordered", "no_repeat_ngram_size": 3}, "a phrase may be what is forbidden"),
        ({"temperature": 0.0}, "must be above 0"),
        ({"min_len": 0}, "min_len is 0 and no_repeat_ngram_size 0; give at least 1 and 0"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size -1"),
    ],
)
def test_options_that_cannot_be_are_one_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SearchOptions(**options)


@pytest.mark.parametrize(
    ("line", "options", "message"),
    [
        (
            "a b\tc µ",
            {"constraints": "ordered"},
            "does not know all pieces of 'c µ', which the translation of line 2",
        ),
        (
            "a b\tc d e",
            {"constraints": "ordered", "max_len_a": 0, "max_len_b": 2},
            "3 pieces, but .* at most 2",
        ),
        ("a b", {"uncertainty_penalty": 1.0, "penalty_measure": "MI"}, "it has TU"),
        ("a b", {"sampling": True, "nbest": 5, "sampling_topk": 1000}, "may not be above"),
    ],
)
def test_what_a_search_cannot_do_is_one_sentence(
    model: DirichletTransformer, line: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        model.translate(["a", line], **options)


MEASURE_OF_ONES_OWN = '''
import numpy as np

from ednd_nmt.formats import OutputFormat, register_format
from ednd_nmt.measures import SequenceMeasure, register_measure


@register_format("shouted")
class Shouted(OutputFormat):
    """The translation in capitals, and how uncertain it is."""

    def sentence(self, sentence):
        return f"{sentence.text.upper()}!{self.uncertainty(sentence):.3g}\\n"


@register_measure("worst-token")
class WorstToken(SequenceMeasure):
    """The least probable token, which an average hides."""

    columns = ("log_probability",)

    def of_hypothesis(self, columns):
        return float(-np.min(columns["log_probability"]))
'''


@pytest.mark.slow(seconds=25)
def test_a_measure_and_a_format_from_a_folder_of_the_users(
    folder: Path, toy: ToyReversal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is in the files of ``translate`` and of fairseq's own command, and what acts on measures acts on it."""
    mine = tmp_path / "my_measures"
    mine.mkdir()
    (mine / "__init__.py").write_text(MEASURE_OF_ONES_OWN)
    files = tmp_path / "translated.jsonl", tmp_path / "generated.jsonl"
    options = ["--format", "jsonl", "--measure", "worst-token", "--nbest", "2"]
    process = ednd_nmt(
        "translate", "--model", folder, *options, "--user-dir", mine, "--output", files[0],
        text="\n".join(LINES) + "\n",
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    toy.generate([folder / "model.pt"], "test", files[1], "--user-dir", mine, "--num-shards", "10")
    for path in files:
        _, sentences = read_records(path)
        for sentence in sentences:
            for hypothesis in sentence.hypotheses:
                worst = -min(hypothesis.token_measures["log_probability"])
                assert hypothesis.measures["worst-token"] == pytest.approx(worst, rel=1e-6)
            assert "worst-token" in sentence.measures
    shouted = "--uncertainty-format", "shouted", "--uncertainty-measure", "worst-token"
    lines = tmp_path / "lines"
    toy.generate([folder / "model.pt"], "test", lines, "--user-dir", mine, "--num-shards", "10", *shouted)
    assert lines.read_text(encoding="utf-8").splitlines() == [
        f"{sentence.text.upper()}!{sentence.measures['worst-token']:.3g}"
        for sentence in read_records(files[1])[1]
    ]
    options = ["--format", "shouted", "--measure", "worst-token", "--user-dir", str(mine)]
    process = ednd_nmt("translate", "--model", folder, *options, text=LINES[0] + "\n")
    assert process.stdout.startswith(f"{next(read_records(files[0])[1]).text.upper()}!")
    process = ednd_nmt("translate", "--model", folder, "--format", "shoutd", "--user-dir", mine)
    assert process.returncode == 2
    assert "Unknown format 'shoutd' (did you mean 'shouted'?); choose one of: text, jsonl," in process.stderr
    output = tmp_path / "acted.jsonl"
    acting = ["--measure", "worst-token", "--penalty", "1", "--abstain-share", "0.2"]
    assert main(["rerank", str(files[1]), "--output", str(output), *acting]) == 0
    assert any(sentence.abstained for sentence in read_records(output)[1])
    assert main(["translate", "--model", str(folder), "--user-dir", str(tmp_path / "none")]) == 2
    assert "none cannot be imported" in capsys.readouterr().err
