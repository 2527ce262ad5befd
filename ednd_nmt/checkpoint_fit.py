"""Whether a checkpoint has the languages and the dictionaries of the task that uses it, or of another checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fairseq.data import Dictionary
from fairseq.dataclass.utils import convert_namespace_to_omegaconf

from ednd_nmt.errors import UserError


def configuration(state: dict[str, Any]) -> Any:
    """The configuration in a checkpoint; one of before fairseq 0.10 holds a namespace in its place."""
    return state["cfg"] if state.get("cfg") is not None else convert_namespace_to_omegaconf(state["args"])


def check_fit(path: str, state: dict[str, Any], task: Any) -> None:
    """Refuse a checkpoint that takes or gives other symbols than those of the task under the same numbers.

    A checkpoint holds no dictionary. Its symbols are compared where they can be known (:func:`_own_dictionary`), unless
    they are not as many: then the weights do not fit, or what was found is not the checkpoint's.

    Args:
        path: the checkpoint, to name it and to find its dictionaries.
        state: what it holds.
        task: a translation task (languages and dictionaries).

    Raises:
        UserError: the checkpoint is of other languages, or its dictionaries have another order.
    """
    config = configuration(state)
    theirs = _languages(config)
    ours = (task.cfg.source_lang, task.cfg.target_lang)
    if None not in theirs and theirs != ours:
        raise UserError(
            f"The checkpoint {path} translates {theirs[0]}-{theirs[1]}, but {ours[0]}-{ours[1]} is asked for; "
            "give models of these languages."
        )
    for language, dictionary in zip(ours, (task.source_dictionary, task.target_dictionary), strict=True):
        own = _own_dictionary(path, config, language)
        symbols = task.load_dictionary(str(own)).symbols if own is not None else dictionary.symbols
        if len(symbols) == len(dictionary) and symbols != dictionary.symbols:
            raise UserError(
                f"The {language} dictionary of the checkpoint {path} ({own}) orders its symbols unlike that of the data; "
                "binarise the data with the dictionaries of the models (fairseq-preprocess --srcdict --tgtdict)."
            )


def check_fit_beside(path: str, state: dict[str, Any], first_path: str, first_state: dict[str, Any]) -> None:
    """Refuse a checkpoint that takes or gives other symbols than another one under the same numbers.

    Both are known by their files only: what cannot be found of either is not compared.

    Raises:
        UserError: they are of other languages, or their dictionaries have another order.
    """
    config, first_config = configuration(state), configuration(first_state)
    theirs, ours = _languages(config), _languages(first_config)
    if None not in (*theirs, *ours) and theirs != ours:
        raise UserError(
            f"The checkpoint {path} translates {theirs[0]}-{theirs[1]}, but {first_path} {ours[0]}-{ours[1]}; "
            "give models of the same languages."
        )
    for language in filter(None, ours):
        own, first = (
            _own_dictionary(path, config, language),
            _own_dictionary(first_path, first_config, language),
        )
        if own is None or first is None:
            continue
        if Dictionary.load(str(own)).symbols != Dictionary.load(str(first)).symbols:
            raise UserError(
                f"The {language} dictionaries of the checkpoints {path} ({own}) and {first_path} ({first}) differ; "
                "give models that were trained with the same one."
            )


def _own_dictionary(path: str, config: Any, language: str) -> Path | None:
    """The dictionary of a checkpoint: beside it, as in a model folder, or in the data that it was trained on.

    A relative path of the data was one from the folder of the training. Only for a checkpoint below the working
    directory is that taken for the same one: elsewhere data of the same name are likely those of another training.
    """
    name = f"dict.{language}.txt"
    data = Path(str(_setting(config, "data") or "").split(os.pathsep)[0])
    found = [Path(path).parent / name]
    if data.is_absolute() or Path(os.path.abspath(path)).is_relative_to(Path.cwd()):
        found.append(data / name)
    return next((file for file in found if file.is_file()), None)


def _languages(config: Any) -> tuple[str | None, str | None]:
    return _setting(config, "source_lang"), _setting(config, "target_lang")


def _setting(config: Any, name: str) -> Any:
    """A setting of the task, which a model that the command line configured repeats."""
    sections = (getattr(config, section, None) for section in ("task", "model"))
    return next((value for section in sections if (value := getattr(section, name, None)) is not None), None)
