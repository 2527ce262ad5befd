"""What the report holds and that nothing in it can become code."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.columns import read_columns
from ednd_nmt.evaluation.evaluate import Settings, evaluate
from ednd_nmt.evaluation.rejection import rejection_curve
from ednd_nmt.evaluation.report import command
from ednd_nmt.evaluation.report.data import report_data
from ednd_nmt.evaluation.report.page import embedded_json, render_page


@pytest.fixture(scope="module")
def data(runs: Path) -> dict[str, Any]:
    systems = {
        name: {path.stem: read_columns(path) for path in sorted((runs / name).glob("*.jsonl"))}
        for name in ("single", "student")
    }
    return report_data(evaluate(systems, settings=Settings(resamples=10)), "A <title> & %%DATA%%", 20)


def test_the_same_sentences_of_every_system_half_of_them_the_least_sure(
    data: dict[str, Any], runs: Path
) -> None:
    listed = data["sentences"]["test"]
    ids = [[sentence["id"] for sentence in listed[system]] for system in ("single", "student")]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 20
    columns = [read_columns(runs / f"{name}/test.jsonl").measures["TU"] for name in ("single", "student")]
    ranks = sum(np.argsort(np.argsort(values)) for values in columns)
    assert set(np.argsort(-ranks)[:8].tolist()) <= set(ids[0])


def test_numbers_are_those_of_the_file(data: dict[str, Any], runs: Path) -> None:
    records = [
        json.loads(line) for line in (runs / "student/test.jsonl").read_text("utf-8").split("\n")[1:-1]
    ]
    for sentence in data["sentences"]["test"]["student"]:
        record = records[sentence["id"]]
        assert sentence["measures"] == record["measures"]
        best = record["hypotheses"][0]
        assert {name: list(v) for name, v in sentence["token_measures"].items()} == best["token_measures"]
        assert list(sentence["tokens"]) == best["tokens"]


def test_curves_are_thinned_and_keep_their_ends(runs: Path) -> None:
    columns = read_columns(runs / "single/test.jsonl")
    evaluation = evaluate({"x": {"test": columns}}, settings=Settings(resamples=10))
    drawn = report_data(evaluation, "", 1)["rejection"]["x"]
    curve = rejection_curve(evaluation.errors["x"], columns.measures["TU"])
    assert drawn["measures"]["TU"] == pytest.approx(curve.curve, rel=1e-4)
    assert (drawn["rejected"][0], drawn["rejected"][-1]) == (0.0, 1.0)


def test_the_page_holds_one_data_element_that_no_string_can_close(data: dict[str, Any]) -> None:
    page = render_page(data)
    assert page.count("</script>") == 2  # the data and the program
    assert "<title>A &lt;title&gt; &amp; %%DATA%%</title>" in page
    embedded = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert embedded is not None
    assert json.loads(embedded[1]) == json.loads(json.dumps(data))


def test_the_page_asks_for_nothing_from_the_network(data: dict[str, Any]) -> None:
    page = render_page(data)
    assert "default-src &#x27;none&#x27;" in page
    shell = re.sub(r'<script type="application/json".*?</script>', "", page, flags=re.DOTALL)
    addresses = set(re.findall(r"https?://[^\s\"']+", shell))
    assert addresses == {"http://www.w3.org/2000/svg"}  # the name of SVG, not a request


def test_embedded_json_survives_what_breaks_html() -> None:
    hostile = '</script><!-- <script> &amp; \u2028 \u2029 ]]> "quote" \\'
    text = embedded_json([hostile])
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == [hostile]


def test_a_report_of_no_sentence_is_refused(runs: Path, tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = parser.parse_args([str(runs / "single"), "--sentences", "0", "--output", str(tmp_path / "r.html")])
    with pytest.raises(UserError, match="--sentences must be at least 1"):
        command.run(args)
