"""The Proxy-Dirichlet in an ensemble's place, from its uncertainty files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.special import digamma, polygamma

from ednd_nmt.record_reader import read_records
from examples.study.proxy import main

CLASSES = 50


@pytest.mark.parametrize("offset", [0.0, 0.5, 1.0])
def test_a_token_has_the_measures_of_its_dirichlet(runs: Path, tmp_path: Path, offset: float) -> None:
    arguments = [str(runs / "ensemble"), "--classes", str(CLASSES), "--offset", str(offset)]
    assert main([*arguments, "--output", str(tmp_path)]) == 0
    names = sorted(path.name for path in (runs / "ensemble").glob("*.jsonl"))
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name in names:
        _, before = read_records(runs / "ensemble" / name)
        header, after = read_records(tmp_path / name)
        assert (header.system, header.members, header.offset) == ("student", 1, offset)
        for ensemble, proxy in zip(before, after, strict=True):
            assert proxy.text == ensemble.text
            found = proxy.hypotheses[0].token_measures
            columns = {key: np.array(value) for key, value in ensemble.hypotheses[0].token_measures.items()}
            beta0 = (CLASSES - 1) / (2 * columns["MKL"])
            alpha, alpha0 = beta0 * np.exp(columns["log_probability"]) + offset, beta0 + CLASSES * offset
            np.testing.assert_allclose(found["log_probability"], np.log(alpha / alpha0), rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(found["EPKL"], (CLASSES - 1) / alpha0, rtol=1e-4)
            gap = np.log(alpha / alpha0) - digamma(alpha) + digamma(alpha0)
            np.testing.assert_allclose(found["sMKL"], gap, rtol=1e-4, atol=1e-6)
            variance = polygamma(1, alpha) - polygamma(1, alpha0)
            np.testing.assert_allclose(found["logvar"], variance, rtol=1e-4, atol=1e-6)
            assert proxy.hypotheses[0].measures["sMKL"] == pytest.approx(gap.mean(), rel=1e-4, abs=1e-6)


def test_faulty_input_is_one_sentence(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "proxy"
    for folder, classes, offset, sentence in (
        (runs / "student", "50", "1", "is of a student; give the uncertainty files of an ensemble."),
        (tmp_path, "50", "1", "has no uncertainty file (*.jsonl)."),
        (runs / "ensemble", "1", "1", "--classes must be at least 2"),
        (runs / "ensemble", "50", "-1", "--offset a finite number from 0"),
        (runs / "ensemble", "50", "nan", "--offset a finite number from 0"),
    ):
        arguments = [str(folder), "--classes", classes, "--offset", offset, "--output", str(output)]
        assert main(arguments) == 2
        assert sentence in capsys.readouterr().err
    assert not list(output.glob("*"))


def test_the_ensembles_own_files_stay(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(runs / "ensemble", tmp_path / "ensemble")
    assert main([str(folder), "--classes", str(CLASSES), "--output", str(folder)]) == 2
    assert "is read by the same command" in capsys.readouterr().err
    for path in (runs / "ensemble").iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
