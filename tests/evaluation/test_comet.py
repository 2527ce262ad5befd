"""COMET as a quality metric: the real package on a tiny random model where it is installed, a stand-in elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ednd_nmt.cli import main
from ednd_nmt.errors import UserError
from ednd_nmt.evaluation import comet
from ednd_nmt.evaluation.quality import sentence_metric

INSTALLED = find_spec("comet") is not None
SOURCES = ["the new file", "the user can remove the directory", "a"]
HYPOTHESES = ["die neue Datei", "der Benutzer", "ein"]
REFERENCES = ["die neue Datei", "der Benutzer kann das Verzeichnis entfernen", "eine"]


@pytest.fixture(autouse=True)
def _no_model_is_kept() -> Iterator[None]:
    comet._loaded.cache_clear()
    yield
    comet._loaded.cache_clear()


class StandIn(ModuleType):
    """Has COMET's public calls; a score is the length of the three texts, and every call is kept."""

    def __init__(self) -> None:
        super().__init__("comet")
        self.calls: list[Any] = []

    def download_model(self, model: str) -> str:
        if model == "unknown":
            raise KeyError(f"Model {model!r} not supported by COMET.")
        return f"/downloaded/{model}"

    def load_from_checkpoint(self, checkpoint_path: str) -> StandIn:
        self.calls.append(checkpoint_path)
        return self

    def predict(
        self, samples: list[dict[str, str]], batch_size: int = 16, gpus: int = 1, progress_bar: bool = True
    ) -> SimpleNamespace:
        self.calls.append((samples, batch_size, gpus, progress_bar))
        return SimpleNamespace(scores=[len("".join(sample.values())) / 100 for sample in samples])


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    module = StandIn()
    monkeypatch.setitem(sys.modules, "comet", module)
    return module


def test_scores_are_comets_times_100_and_the_model_is_loaded_once(stand_in: StandIn) -> None:
    metric = sentence_metric("comet")
    scores = metric.sentence_scores(HYPOTHESES, REFERENCES, SOURCES)
    texts = list(zip(SOURCES, HYPOTHESES, REFERENCES, strict=True))
    assert scores.tolist() == pytest.approx([len("".join(text)) for text in texts])
    errors = sentence_metric("comet").sentence_errors(HYPOTHESES, REFERENCES, SOURCES)
    assert errors.tolist() == pytest.approx((100 - scores).tolist())
    path, (samples, _, _, progress_bar), _ = stand_in.calls
    assert path == "/downloaded/Unbabel/wmt22-comet-da"
    assert samples == [{"src": s, "mt": h, "ref": r} for s, h, r in texts]
    assert not progress_bar


def test_the_model_is_a_parameter(stand_in: StandIn, tmp_path: Path) -> None:
    file = tmp_path / "model.ckpt"
    file.touch()
    for model, path in (("Unbabel/other", "/downloaded/Unbabel/other"), (str(file), str(file))):
        sentence_metric(f"comet:{model}").sentence_scores(HYPOTHESES, REFERENCES, SOURCES)
        assert path in stand_in.calls
    with pytest.raises(UserError, match=r"COMET cannot load the model 'unknown' .*not supported"):
        sentence_metric("comet:unknown").sentence_scores(HYPOTHESES, REFERENCES, SOURCES)


def test_the_sources_are_needed() -> None:
    for sources in (None, SOURCES[:2]):
        with pytest.raises(UserError, match="COMET needs the source of every translation"):
            sentence_metric("comet").sentence_scores(HYPOTHESES, REFERENCES, sources)


def test_without_the_package_there_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "comet", None)
    with pytest.raises(UserError, match=r"COMET is not installed: pip install 'unbabel-comet"):
        sentence_metric("comet").sentence_scores(HYPOTHESES, REFERENCES, SOURCES)


@pytest.mark.parametrize("name", ["evaluate", "report", "calibrate"])
def test_without_the_package_no_command_reads_a_file(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "comet", None)
    (tmp_path / "test.jsonl").write_text("not an uncertainty file\n", encoding="utf-8")
    output = ["--output", str(tmp_path / "out")] if name != "evaluate" else []
    assert main([name, str(tmp_path / "test.jsonl"), "--quality", "comet:any", *output]) == 2
    assert (
        capsys.readouterr().err
        == "error: COMET is not installed: pip install 'unbabel-comet>=2.2,<3' 'setuptools<81'.\n"
    )


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    """A checkpoint of COMET's own regression model, with a random encoder of two small layers."""
    import torch
    from comet.models import RegressionMetric
    from transformers import BertConfig

    encoder = tmp_path / "encoder"
    words = sorted({word.lower() for text in SOURCES + HYPOTHESES + REFERENCES for word in text.split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
    ).save_pretrained(encoder)
    (encoder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    torch.manual_seed(0)
    model = RegressionMetric(
        encoder_model="BERT", pretrained_model=str(encoder), load_pretrained_weights=False, hidden_sizes=[8]
    )
    checkpoint = tmp_path / "model/checkpoints/model.ckpt"
    checkpoint.parent.mkdir(parents=True)
    (tmp_path / "model/hparams.yaml").write_text("class_identifier: regression_metric\n", encoding="utf-8")
    state = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    torch.save({**state, "pytorch-lightning_version": "2.0.0"}, checkpoint)
    return checkpoint


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="unbabel-comet is not installed")
def test_the_real_package_scores_each_sentence_as_alone(tiny_model: Path) -> None:
    from comet import load_from_checkpoint

    metric = sentence_metric(f"comet:{tiny_model}")
    scores = metric.sentence_scores(HYPOTHESES, REFERENCES, SOURCES)
    model = load_from_checkpoint(str(tiny_model)).eval()
    for source, hypothesis, reference, score in zip(SOURCES, HYPOTHESES, REFERENCES, scores, strict=True):
        inputs = model.prepare_sample([{"src": source, "mt": hypothesis, "ref": reference}], "predict")
        assert score == pytest.approx(100 * float(model(**inputs).score), rel=1e-4)
    assert len(set(scores.tolist())) == len(scores)
    assert metric.signature.startswith(f"nrefs:1|model:{tiny_model}|version:2.")
