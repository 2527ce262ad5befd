"""A model folder: a checkpoint with everything that raw text needs to get into it and out of it again.

    model.pt         the checkpoint that fairseq-train saved, or in its place
    model.safetensors and settings.json    the same without pickles (:mod:`ednd_nmt.safe_weights`)
    dict.en.txt      fairseq's dictionary of the source side (named after the language)
    dict.de.txt      that of the target side
    spm.model        the sentencepiece model, if the text was cut into pieces
    model.json       how the text was prepared (a :class:`Preparation`), and as ``weights`` the name of the model's file;
                     older folders lack the name, and there model.pt comes first

``ednd-nmt pack`` makes one. Neither torch nor fairseq is needed to read one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ednd_nmt.errors import UserError
from ednd_nmt.files import atomic_writer, checksum, is_disk_fault, whole_file

FORMAT = "ednd-nmt.model"
VERSION = 1
MANIFEST = "model.json"
CHECKPOINT = "model.pt"
SAFE_WEIGHTS, SETTINGS = "model.safetensors", "settings.json"
PIECES = "spm.model"
TOKENIZERS = ("none", "moses")


@dataclass(frozen=True)
class Preparation:
    """How the training text was made, step by step; detokenising undoes it in the other order."""

    source_lang: str
    target_lang: str
    normalise_punctuation: bool = False  # sacremoses, before the tokens
    tokenizer: str = "none"  # one of TOKENIZERS
    pieces: bool = True  # cut by the sentencepiece model in the folder
    plain_punctuation: bool = False  # ednd_nmt.punctuation, before everything else


@dataclass(frozen=True)
class ModelFolder:
    """One model folder; ``checkpoint`` may be any checkpoint in it, or ``model.safetensors``."""

    path: Path
    checkpoint: Path
    preparation: Preparation

    @property
    def pieces(self) -> Path | None:
        return self.path / PIECES if self.preparation.pieces else None

    def dictionary(self, language: str) -> Path:
        return self.path / f"dict.{language}.txt"

    @property
    def files(self) -> list[Path]:
        """The files that a translation depends on."""
        languages = (self.preparation.source_lang, self.preparation.target_lang)
        pieces = [self.pieces] if self.pieces is not None else []
        settings = [self.path / SETTINGS] if self.checkpoint.suffix == ".safetensors" else []
        return [self.path / MANIFEST, self.checkpoint, *settings, *map(self.dictionary, languages), *pieces]

    def digest(self) -> bytes:
        """SHA-256 over the contents of the files."""
        return hashlib.sha256("".join(map(checksum, self.files)).encode()).digest()


def read_model_folders(models: str | os.PathLike[str]) -> list[ModelFolder]:
    """The folders that ``A:B:...`` names, each a model folder or a checkpoint in one; several are an ensemble.

    Raises:
        UserError: a path does not exist, a file is missing or faulty, or the members differ in their preparation,
            dictionaries or pieces.
    """
    folders = [_read(Path(name)) for name in os.fspath(models).split(":") if name]
    if not folders:
        raise UserError("No model is given; name a model folder, as in --model runs/quick/student.")
    for other in folders[1:]:
        _check_alike(folders[0], other)
    return folders


def pack(
    checkpoint: Path,
    dictionaries: Sequence[Path],
    pieces: Path | None,
    preparation: Preparation,
    output: Path,
    safetensors: bool | None = None,
) -> ModelFolder:
    """Put a checkpoint and what belongs to it into ``output``; the manifest comes last, so that it vouches for the rest.

    Files that are in place already stay, but for the manifest of another model, which goes first.

    Args:
        checkpoint: the model, as a checkpoint or in safetensors.
        dictionaries: of source and target.
        pieces: the sentencepiece model, if there is one.
        preparation: how the text was prepared.
        output: the folder.
        safetensors: True writes the model in safetensors, False a checkpoint that holds nothing of the training; None
            copies a checkpoint as it is.

    Raises:
        UserError: a file is missing, or the folder cannot be written.
    """
    names = [f"dict.{preparation.source_lang}.txt", f"dict.{preparation.target_lang}.txt"]
    wanted = list(zip(dictionaries, names, strict=True))
    if safetensors is None:
        wanted.insert(0, (checkpoint, CHECKPOINT))
    if pieces is not None:
        wanted.append((pieces, PIECES))
    for source, _ in wanted:
        if not source.is_file():
            raise UserError(f"There is no file {source}; check its path.")
    write_model = _model_writer(checkpoint, preparation, safetensors)
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / MANIFEST).unlink(missing_ok=True)
        write_model(output)
        for source, name in wanted:
            if source.resolve() != (output / name).resolve():
                with whole_file(output / name) as partial:
                    shutil.copyfile(source, partial)
    except OSError as error:
        if is_disk_fault(error):
            raise
        raise UserError(f"Cannot write to {output}: {error.strerror}; choose another folder.") from error
    weights = SAFE_WEIGHTS if safetensors else CHECKPOINT
    with atomic_writer(output / MANIFEST) as stream:
        record = {"format": FORMAT, "version": VERSION, **asdict(preparation), "weights": weights}
        json.dump(record, stream, indent=1)
        stream.write("\n")
    return _read(output)


def _model_writer(
    checkpoint: Path, preparation: Preparation, safetensors: bool | None
) -> Callable[[Path], None]:
    """What puts the model, which is read at once, into a folder; nothing if it is copied with the other files."""
    if safetensors is None:
        return lambda folder: None
    from ednd_nmt.safe_weights import read_state, write_checkpoint, write_safetensors

    state = read_state(checkpoint)
    if safetensors:
        return lambda folder: write_safetensors(state, folder)
    languages = (preparation.source_lang, preparation.target_lang)
    return lambda folder: write_checkpoint(state, languages, folder / CHECKPOINT)


def _read(path: Path) -> ModelFolder:
    if not os.path.exists(path):
        raise UserError(f"There is no model at {path}; give a model folder or a checkpoint in one.")
    folder = path if path.is_dir() else path.parent
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise UserError(
            f"{folder} has no {MANIFEST}, which says how its text was prepared; make a model folder with ednd-nmt pack."
        )
    preparation, weights = _described(manifest)
    model = ModelFolder(folder, folder / weights if path.is_dir() else path, preparation)
    for file in model.files:
        if not file.is_file():
            raise UserError(f"The model folder {folder} lacks {file.name}; make it again with ednd-nmt pack.")
    return model


def _described(manifest: Path) -> tuple[Preparation, str]:
    """What the manifest says: how the text was prepared, and which file holds the model."""
    try:
        record: Any = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{manifest} is not valid JSON ({error}); make it again with ednd-nmt pack."
        ) from error
    if not isinstance(record, dict) or (record.pop("format", None), record.pop("version", None)) != (
        FORMAT,
        VERSION,
    ):
        raise UserError(
            f"{manifest} does not describe a model folder of version {VERSION}; use ednd-nmt pack."
        )
    names = (CHECKPOINT, SAFE_WEIGHTS)
    there = [name for name in names if (manifest.parent / name).is_file()]
    weights = record.pop("weights", there[0] if there else CHECKPOINT)
    if weights not in names:
        raise UserError(
            f"{manifest}: the weights must be {' or '.join(names)}, not {weights!r}; make it again with ednd-nmt pack."
        )
    kinds = {
        "source_lang": str,
        "target_lang": str,
        "normalise_punctuation": bool,
        "tokenizer": str,
        "pieces": bool,
        "plain_punctuation": bool,
    }
    record.setdefault("plain_punctuation", False)  # older folders lack it
    if record.keys() != kinds.keys() or any(type(record[name]) is not kind for name, kind in kinds.items()):
        raise UserError(f"{manifest} has a wrong, missing or unknown field; it must have {', '.join(kinds)}.")
    if record["tokenizer"] not in TOKENIZERS:
        raise UserError(
            f"{manifest}: unknown tokenizer {record['tokenizer']!r}; known: {', '.join(TOKENIZERS)}."
        )
    return Preparation(**record), str(weights)


def _check_alike(first: ModelFolder, other: ModelFolder) -> None:
    if first.preparation != other.preparation:
        raise UserError(
            f"{first.path} and {other.path} prepare their text differently; they are no ensemble."
        )
    languages = (first.preparation.source_lang, first.preparation.target_lang)
    pairs = [(first.dictionary(language), other.dictionary(language)) for language in languages]
    if first.pieces is not None and other.pieces is not None:
        pairs.append((first.pieces, other.pieces))
    for ours, theirs in pairs:
        if ours.read_bytes() != theirs.read_bytes():
            raise UserError(f"{ours} and {theirs} differ; the members of an ensemble must share them.")
