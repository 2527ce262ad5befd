"""Acting on a file from the command line, and how every format shows it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ednd_nmt.cli import main
from ednd_nmt.decisions import Abstention, Decision, Reranking
from ednd_nmt.evaluation import sentence_measures
from ednd_nmt.evaluation.calibration import Calibration
from ednd_nmt.record_reader import read_records
from ednd_nmt.records import Header, Hypothesis, Sentence, header_to_json, sentence_to_json

HEADER = Header("student", members=1, nbest=2, beam=2)
DOUBTS = [0.5, 3.0, 1.0, 2.0]  # sTU of the sentences


def make_sentence(number: int, doubt: float) -> Sentence:
    """The second hypothesis has less EPKL: with a penalty of 1 it comes first where the doubt is above 1."""
    pair = tuple(
        Hypothesis(text, ("▁x", "</s>"), score, 2 * score, {"sTU": doubt, "EPKL": epkl}, {"TU": (0.5, 0.25)})
        for text, score, epkl in ((f"eins {number}", -1.0, doubt), (f"zwei {number}", -1.5, 0.5))
    )
    return Sentence(number, f"source {number}", pair, sentence_measures(pair), f"Satz {number}")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    lines = [sentence_to_json(make_sentence(number, doubt)) for number, doubt in enumerate(DOUBTS)]
    path = tmp_path / "test.jsonl"
    path.write_text("\n".join([header_to_json(HEADER), *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def calibrator(tmp_path: Path) -> Path:
    """p_bad = 1 / (1 + exp(2 - sTU))"""
    path = tmp_path / "calibration.json"
    path.write_text(Calibration(("sTU",), (2.0,), (1.0,), (1.0,), 0.0, "bleu", 30.0, 10).to_json())
    return path


def rerank(file: Path, *options: str | Path) -> Path:
    output = file.with_name("new")
    assert main(["rerank", str(file), "--output", str(output), *map(str, options)]) == 0
    return output


def test_reranking_writes_an_uncertainty_file_again(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header, sentences = read_records(rerank(file, "--measure", "EPKL", "--penalty", "1"))
    assert header.decision == "rerank[EPKL*1]"
    found = list(sentences)
    assert [sentence.text for sentence in found] == ["eins 0", "zwei 1", "eins 2", "zwei 3"]
    assert all(len(sentence.hypotheses) == 2 and sentence.abstained is None for sentence in found)
    assert "4 sentences, 2 with another translation, 0 abstained" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ["rerank", "--measure", "EPKL", "--penalty", "1"],
        ["fit", "--measure", "EPKL", "--resamples", "10", "--test", "test.jsonl"],
        ["calibrate", "--quality", "chrf", "--threshold", "60", "--test", "test.jsonl"],
    ],
)
def test_nothing_but_the_output_is_on_a_standard_output_that_it_goes_to(
    file: Path, options: list[str]
) -> None:
    one_is_right = file.read_text(encoding="utf-8").replace("Satz 0", "eins 0")
    file.write_text(one_is_right, encoding="utf-8")
    command = [sys.executable, "-m", "ednd_nmt", options[0], file.name, *options[1:], "--output"]
    beside, within = (
        subprocess.run([*command, output], cwd=file.parent, capture_output=True, text=True, check=True)
        for output in ("written", "/dev/stdout")
    )
    assert within.stdout == file.with_name("written").read_text(encoding="utf-8")
    said = beside.stderr if options[0] == "rerank" else beside.stdout
    assert within.stderr == said.replace("written", "/dev/stdout") != ""


@pytest.mark.parametrize(
    ("options", "abstained"),
    [
        (["--abstain-above", "1.0"], [False, True, False, True]),
        (["--abstain-share", "0.25"], [False, True, False, False]),
        (["--abstain-share", "0.7"], [False, True, False, True]),
        (["--abstain-share", "0.2"], [False] * 4),
        (["--measure", "disagreement", "--abstain-share", "0.5"], [False] * 4),  # all alike: none or all
    ],
)
def test_abstention(file: Path, options: list[str], abstained: list[bool]) -> None:
    _, sentences = read_records(rerank(file, *options))
    assert [sentence.abstained for sentence in sentences] == abstained


def test_a_decision_with_a_calibration_may_abstain_by_p_bad(file: Path, calibrator: Path) -> None:
    decision = Decision(Reranking("EPKL", 1.0), Abstention("p_bad", 0.5))
    saved = file.with_name("decision.json")
    saved.write_text(decision.to_json())
    header, sentences = read_records(rerank(file, "--decision", saved, "--calibrator", calibrator))
    found = list(sentences)
    assert [sentence.abstained for sentence in found] == [False, True, False, False]
    assert found[3].measures["p_bad"] == 0.5
    assert header.decision == "rerank[EPKL*1],abstain[p_bad>0.5]"


def test_a_calibration_of_another_system_or_search_is_warned_of(
    file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = dataclasses.replace(
        HEADER, beam=None, nbest=1
    )  # nothing was searched for, so no search can differ
    for predictive, conditions, said in (
        ("", "", None),
        (HEADER.predictive, HEADER.conditions, None),
        (HEADER.predictive, "beam=9", "beam=9, not beam=2,nbest=2"),
        ("ensemble,members=3", HEADER.conditions, "ensemble,members=3, not student"),
    ):
        path = tmp_path / "other.json"
        fitted = Calibration(
            ("sTU",), (2.0,), (1.0,), (1.0,), 0.0, "bleu", 30.0, 10, predictive, conditions
        )  # fmt: skip
        path.write_text(fitted.to_json())
        caplog.clear()
        rerank(file, "--calibrator", path)
        assert (said is None) == (not caplog.messages)
        assert said is None or said in caplog.text
        assert (fitted.mismatch(given) is None) == (predictive in ("", HEADER.predictive))


def test_the_disagreement_can_be_added_to_a_file(file: Path) -> None:
    _, sentences = read_records(rerank(file, "--measure", "disagreement"))
    for sentence in sentences:
        assert 0 < sentence.measures["disagreement"] < 1
        assert "disagreement" in sentence.hypotheses[1].measures


FORMATS = {
    "text": "3.0000\t0.7311\tabstained\teins 1\n",
    "tsv": (
        "1\t1\t-1\t-2\t3\t3\t0.7310586\t1\tsource 1\teins 1\n"
        "1\t2\t-1.5\t-3\t3\t0.5\t0.7310586\t1\tsource 1\tzwei 1\n"
    ),
    "moses": (
        "1 ||| eins 1 ||| sTU= 3 EPKL= 3 p_bad= 0.7310586 abstained= 1 ||| -1\n"
        "1 ||| zwei 1 ||| sTU= 3 EPKL= 0.5 p_bad= 0.7310586 abstained= 1 ||| -1.5\n"
    ),
    "shifts": (
        '{"id": 1, "uncertainty": 3.0, "p_bad": 0.7310586, "abstained": true, "hypos": '
        '[{"text": "eins 1", "confidence": 0.7310586}, {"text": "zwei 1", "confidence": 0.2689414}]}\n'
    ),
    "fairseq": (
        "S-1\tsource 1\nT-1\tSatz 1\n"
        "H-1\t-1.442695\t▁x\nD-1\t-1.442695\teins 1\nP-1\t\nU-1\tsTU=3 EPKL=3 p_bad=0.7310586 abstained=1\n"
        "H-1\t-2.164043\t▁x\nD-1\t-2.164043\tzwei 1\nP-1\t\nU-1\tsTU=3 EPKL=0.5 p_bad=0.7310586 abstained=1\n"
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_a_place_for_what_was_decided(file: Path, calibrator: Path, name: str) -> None:
    options = ("--format", name, "--calibrator", calibrator, "--abstain-above", "2")
    written = rerank(file, *options).read_text(encoding="utf-8")
    assert FORMATS[name] in written
    assert written.count("source 0") == FORMATS[name].count("source 1")
    kept = {"text": "\tkept\t", "tsv": "\t0\tsource 0", "moses": "abstained= 0", "shifts": "false"}
    assert kept.get(name, "abstained=0") in written
    if name == "tsv":
        head = "id rank score log_probability sTU EPKL p_bad abstained source translation"
        assert written.startswith("\t".join(head.split()) + "\n")


def test_json_lines_say_it_in_the_record(file: Path, calibrator: Path) -> None:
    written = rerank(file, "--calibrator", calibrator, "--abstain-above", "2").read_text(encoding="utf-8")
    record = json.loads(written.splitlines()[2])
    assert record["abstained"] is True
    assert record["measures"] == {"sTU": 3.0, "EPKL": pytest.approx(2.327646), "p_bad": 0.7310586}
    assert "abstained" not in json.loads(file.read_text(encoding="utf-8").splitlines()[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Nothing is to be done"),
        (["--abstain-share", "1"], "from 0 to below 1"),
        (["--abstain-share", "0.1", "--abstain-above", "1"], "either --abstain-above or --abstain-share"),
        (["--decision", "d.json", "--penalty", "1"], "--decision already says"),
        (["--penalty", "-1"], "must be a number from 0"),
        (["--penalty", "1", "--measure", "MI"], "no measure 'MI'"),
        (["--calibrator", "missing.json"], "Cannot read missing.json"),
    ],
)
def test_a_mistake_is_one_sentence_and_no_file(
    file: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    output = file.with_name("new")
    assert main(["rerank", str(file), "--output", str(output), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert list(file.parent.iterdir()) == [file]
