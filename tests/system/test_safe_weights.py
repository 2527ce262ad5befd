"""A model in safetensors and JSON is the model: the same translations, there and back again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from own_process import python
from toy_reversal import ToyReversal
from training import Training

from ednd_nmt.cli import main
from ednd_nmt.errors import UserError
from ednd_nmt.model_folder import read_model_folders
from ednd_nmt.safe_weights import read_state, write_safetensors
from ednd_nmt.translator import DirichletTransformer

LINES = ["a b c d", "e f", "p o n m l"]


@pytest.fixture(scope="module")
def checkpoint(toy: ToyReversal, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that fairseq's trainer saved, with an offset of its own."""
    path = tmp_path_factory.mktemp("safe") / "checkpoint.pt"
    Training(toy.data, "--dirichlet-offset", "0.5").save(path)
    return path


@pytest.fixture(scope="module")
def folder(checkpoint: Path, toy: ToyReversal) -> Path:
    """The same in safetensors."""
    return packed(checkpoint, toy, "safetensors")


def packed(model: Path, toy: ToyReversal, weights: str, output: str | None = None) -> Path:
    folder = model.parent / (output or weights)
    words = [
        "pack",
        "--checkpoint",
        str(model),
        "--data",
        str(toy.data),
        "--weights",
        weights,
        "--output",
        str(folder),
    ]
    assert main([*words, "--source-lang", "src", "--target-lang", "tgt"]) == 0
    return folder


def test_the_same_translations_there_and_back(checkpoint: Path, folder: Path, toy: ToyReversal) -> None:
    copied = packed(checkpoint, toy, "copy")
    back = packed(folder / "model.safetensors", toy, "checkpoint", str(checkpoint.parent / "back"))
    assert sorted(path.name for path in folder.iterdir()) == [
        "dict.src.txt", "dict.tgt.txt", "model.json", "model.safetensors", "settings.json",
    ]  # fmt: skip
    expected = DirichletTransformer.from_pretrained(copied)
    assert expected.header().offset == 0.5
    for model in map(DirichletTransformer.from_pretrained, (folder, back)):
        assert model.header() == expected.header()
        assert model.translate(LINES, uncertainty=True) == expected.translate(LINES, uncertainty=True)


def test_a_folder_packed_anew_holds_the_model_that_was_packed_last(
    checkpoint: Path, folder: Path, toy: ToyReversal, tmp_path: Path
) -> None:
    for weights, name in (
        ("copy", "model.pt"),
        ("safetensors", "model.safetensors"),
        ("checkpoint", "model.pt"),
    ):
        packed(checkpoint, toy, weights, str(tmp_path / "anew"))
        (found,) = read_model_folders(tmp_path / "anew")
        assert found.checkpoint.name == name


def test_every_weight_is_there_and_shared_ones_once(checkpoint: Path, folder: Path) -> None:
    from safetensors import safe_open

    before, after = (read_state(path)["model"] for path in (checkpoint, folder / "model.safetensors"))
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert tensor.dtype == after[name].dtype
        assert torch.equal(tensor, after[name])
    shared = json.loads((folder / "settings.json").read_text())["shared"]
    assert "decoder.output_projection.weight" in shared  # this architecture has all embeddings in one tensor
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert sorted([*file.keys(), *shared]) == sorted(before)


@pytest.mark.slow
def test_fairseqs_own_command_takes_the_checkpoint_that_came_back(
    folder: Path, toy: ToyReversal, tmp_path: Path
) -> None:
    back = packed(folder / "model.safetensors", toy, "checkpoint", str(tmp_path / "back"))
    toy.generate([back / "model.pt"], "test", tmp_path / "out.jsonl", "--max-len-b", "5")
    assert '"offset":0.5' in (tmp_path / "out.jsonl").read_text().partition("\n")[0]


def test_a_model_folder_depends_on_the_settings(folder: Path) -> None:
    (found,) = read_model_folders(folder)
    assert {path.name for path in found.files} >= {"model.safetensors", "settings.json"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: flip(folder / "model.safetensors"), "is damaged, or of another model"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "is damaged, or of another model"),
        (lambda folder: (folder / "settings.json").unlink(), "lacks settings.json"),
        (lambda folder: (folder / "settings.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "settings.json").write_text("{}"), "does not describe a model"),
        (lambda folder: change(folder / "settings.json", "model", []), "does not describe a model"),
        (lambda folder: change(folder / "settings.json", "shared", {"a": "b"}), "lacks the tensor 'b'"),
        (lambda folder: change(folder / "settings.json", "model", {"arch": "x"}), "cannot be loaded"),
    ],
)
def test_what_is_damaged_is_one_sentence(
    checkpoint: Path, toy: ToyReversal, tmp_path: Path, damage: object, message: str
) -> None:
    folder = packed(checkpoint, toy, "safetensors", str(tmp_path / "damaged"))
    assert callable(damage)
    damage(folder)
    with pytest.raises(UserError, match=message) as refusal:
        DirichletTransformer.from_pretrained(folder)
    assert "\n" not in str(refusal.value)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def change(path: Path, name: str, value: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))


def test_settings_that_are_code_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    state = read_state(checkpoint)
    state["cfg"].model.callback = print
    with pytest.raises(UserError, match="more than plain values"):
        write_safetensors(state, tmp_path)
    assert not (tmp_path / "settings.json").exists()


def test_safetensors_are_not_copied_as_a_checkpoint(
    folder: Path, toy: ToyReversal, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "pack",
        "--checkpoint",
        str(folder / "model.safetensors"),
        "--data",
        str(toy.data),
        "--output",
        "nowhere",
    ]
    assert main([*words, "--source-lang", "src", "--target-lang", "tgt"]) == 2
    assert "give --weights" in capsys.readouterr().err


def test_nothing_but_a_reader_of_json_and_safetensors_is_needed(folder: Path) -> None:
    """As another program would read it: neither torch's pickles nor fairseq nor this package."""
    code = (
        "import json, sys; from safetensors.numpy import load_file; w = load_file(sys.argv[1]);"
        "s = json.load(open(sys.argv[2])); print(s['model']['dirichlet_offset'], w['decoder.embed_tokens.weight'].ndim"
        " if 'decoder.embed_tokens.weight' in w else s['shared']['decoder.embed_tokens.weight'], 'torch' in sys.modules)"
    )
    ended = python("-c", code, folder / "model.safetensors", folder / "settings.json")
    assert ended.stdout == "0.5 encoder.embed_tokens.weight False\n", ended.stderr
