"""What a configuration of the workflow may hold; all else is refused before the first job.

A misspelt key would be passed over in silence, a misspelt word taken for another one, and a number that makes no sense found
by a stage hours later.
"""

from __future__ import annotations

import importlib
import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ednd_nmt.errors import UserError, nearest

Place = tuple[str, ...]
"""Keys from the outermost section to a value."""

SWITCH = (True, False)
KEPT = ("best", "last")
TRAINING = ("threads", "keep", "options")
STARTS = "study/starts/"
"""Where ``ednd-nmt grow`` puts what a student of another shape begins with."""
RULES = (
    "piece_model", "dictionary_of_side", "encode", "limits", "training_data", "held_out_data", "member", "shard",
    "transfer_text", "transfer_data", "stored_targets", "student", "translate", "evaluate",
)  # fmt: skip
"""Those whose resources can be chosen; what there are of these, the scheduler decides."""
SECTIONS: Mapping[Place, tuple[Collection[str], Collection[str]]] = {
    (): (
        ("languages", "corpus", "shifted", "pieces", "members", "member", "transfer", "student", "translate"),
        ("acting", "resources", "gpu", "study"),  # the last is of examples/study, which looks into it
    ),
    ("corpus",): (("options",), ("script",)),
    ("pieces",): (
        ("size", "moses_normalisation"),
        ("kind", "sample", "tokenizer", "dictionaries", "limits", "processes", "plain_punctuation"),
    ),
    ("pieces", "limits"): (("length", "ratio"), ()),
    ("member",): (TRAINING, ()),
    ("transfer",): (("threads", "shards", "hypotheses", "references", "store_top_k", "options"), ()),
    ("student",): (TRAINING, ()),
    ("translate",): (("threads", "options"), ()),
    ("acting",): ((), ("calibrate", "fit")),
    ("resources",): ((), RULES),
}
"""The keys that a section must have, and those that it may have."""
CHOICES: Mapping[Place, Sequence[Any]] = {
    ("pieces", "kind"): ("unigram", "bpe"),
    ("pieces", "tokenizer"): ("none", "moses"),
    ("pieces", "dictionaries"): ("joined", "separate"),
    ("pieces", "moses_normalisation"): SWITCH,
    ("pieces", "plain_punctuation"): SWITCH,
    ("member", "keep"): KEPT,
    ("transfer", "references"): ("drop", "mix", "only"),
    ("student", "keep"): KEPT,
}
WHOLE_NUMBERS: Mapping[Place, int] = {
    ("members",): 1,
    ("pieces", "size"): 1,
    ("pieces", "sample"): 0,
    ("pieces", "processes"): 1,
    ("pieces", "limits", "length"): 1,
    ("member", "threads"): 1,
    ("transfer", "threads"): 1,
    ("transfer", "shards"): 1,
    ("transfer", "hypotheses"): 1,
    ("transfer", "store_top_k"): 0,
    ("student", "threads"): 1,
    ("translate", "threads"): 1,
}
"""The least that each may be."""
OPTIONS: Collection[Place] = (
    ("corpus", "options"),
    ("member", "options"),
    ("transfer", "options"),
    ("student", "options"),
    ("translate", "options"),
    ("acting", "calibrate"),
    ("acting", "fit"),
)

_ABSENT = object()


def check(config: Any) -> None:
    """Refuse a configuration that the workflow cannot follow to its end.

    Raises:
        UserError: a key is unknown or missing, or a value is none of those that its key may have.
    """
    for place, (required, optional) in SECTIONS.items():
        check_keys(config, place, required, optional)
    for rule in config.get("resources", ()):
        _check_mapping(config, ("resources", rule))
    _check_mapping(config, ("shifted",))
    for name in config["shifted"]:
        check_keys(config, ("shifted", name), ("reference",), ("permute_pieces",))
        for switch in ("reference", "permute_pieces"):
            check_choice(config, ("shifted", name, switch), SWITCH)
    for place, allowed in CHOICES.items():
        check_choice(config, place, allowed)
    gpu = config.get("gpu", False)
    if str(gpu).lower() not in ("true", "false"):  # on the command line it is a word
        raise _refusal(gpu, ("gpu",), "choose one of: true, false")
    for place, least in WHOLE_NUMBERS.items():
        check_whole_number(config, place, least)
    ratio = _value(config, ("pieces", "limits", "ratio"))
    if ratio is not _ABSENT and (type(ratio) not in (int, float) or not ratio >= 1):
        raise _refusal(ratio, ("pieces", "limits", "ratio"), "give a number from 1 on")
    for place in OPTIONS:
        check_options(config, place)
    languages = config["languages"]
    if not isinstance(languages, list) or [type(name) for name in languages] != [str, str]:
        wanted = 'give two, as in [en, de]; "no" needs the quotation marks'  # YAML takes it for false
        raise _refusal(languages, ("languages",), wanted)
    if languages[0] == languages[1]:
        raise _refusal(languages, ("languages",), "give two that differ")


def check_corpus(config: Any, wanted: Collection[str]) -> None:
    """Refuse a corpus that is not going to have what the workflow wants of it.

    Args:
        wanted: names of files in the folder of the corpus.

    Raises:
        UserError: its script has no such file with these options, or does not know the options.
    """
    script = config["corpus"].get("script", "build_corpus")
    words = [word for line in config["corpus"]["options"] for word in shlex.split(line)]
    try:
        file_names = importlib.import_module(f"scripts.{script}").file_names
    except (ImportError, AttributeError):
        return  # a script of the user's own, which does not tell
    try:
        known = file_names([*words, "--out", "corpus"])
    except SystemExit as error:  # argparse has said why
        raise UserError(
            f"The configuration has options of corpus that scripts/{script}.py does not take; see above."
        ) from error
    if missing := [name for name in wanted if name not in known]:
        sets = sorted({Path(name).stem for name in known if name.startswith("shifted/")})
        raise UserError(
            f"With its options the corpus has no {', no '.join(missing)} (its shifted sets: {', '.join(sets) or 'none'}); "
            "take the set out of 'shifted' (or give it reference: false), or make 'languages' and the options of "
            "'corpus' agree."
        )


def check_study(config: Any) -> None:
    """Refuse what the section of ``examples/study`` cannot mean.

    Raises:
        UserError: as for :func:`check`, about this section.
    """
    if "study" not in config:
        raise UserError("The configuration has no study; give one of examples/study/config as well.")
    check_keys(
        config,
        ("study",),
        ("seeds", "threads", "keep", "common", "students"),
        ("only", "baselines", "starts", "again", "uncalibrated"),
    )
    check_choice(config, ("study", "keep"), KEPT)
    check_whole_number(config, ("study", "threads"), 1)
    for name in ("seeds", "only", "uncalibrated"):
        value = _value(config, ("study", name))
        if value is not _ABSENT and (not isinstance(value, list) or not value):
            raise _refusal(value, ("study", name), "give a list of at least one")
    _check_mapping(config, ("study", "students"))
    for place in (
        ("study", "common"),
        *(("study", "students", name) for name in config["study"]["students"]),
    ):
        check_options(config, place)
    for section in ("baselines", "starts"):
        _check_mapping(config, ("study", section))
        for name in config["study"].get(section, ()):
            place = ("study", section, name)
            check_keys(config, place, ("members",), ("options",))
            check_options(config, (*place, "options"))
            members, known = _value(config, (*place, "members")), range(1, config["members"] + 1)
            if not isinstance(members, list) or not members or not all(one in known for one in members):
                raise _refusal(
                    members, (*place, "members"), f"give a list of numbers from 1 to {config['members']}"
                )
    _check_mapping(config, ("study", "again"))
    for name in config["study"].get("again", ()):
        place = ("study", "again", name)
        check_keys(config, place, ("student", "options"), ())
        check_choice(config, (*place, "student"), list(config["study"]["students"]))
        check_options(config, (*place, "options"))
        if name in config["study"]["students"]:
            raise _refusal(name, ("study", "again"), "give it a name that no student has")
    starts = [f"{STARTS}{name}.pt" for name in config["study"].get("starts", ())]
    for name, options in config["study"]["students"].items():
        for start in starts_named(options):
            if start not in starts:
                there = ", ".join(starts) or "nothing, since study.starts is empty"
                raise _refusal(start, ("study", "students", name), f"choose from {there}")


def starts_named(options: Sequence[str]) -> list[str]:
    """The files that a student's options name in the folder of what students of a study begin with."""
    return [word for line in options for word in shlex.split(line) if word.startswith(STARTS)]


def check_choice(config: Any, place: Place, allowed: Sequence[Any]) -> None:
    """Refuse the value at ``place`` if it is there and not one of ``allowed``.

    Raises:
        UserError: the sentence about it.
    """
    value = _value(config, place)
    if value is not _ABSENT and not any(type(value) is type(one) and value == one for one in allowed):
        raise _refusal(value, place, f"choose one of: {', '.join(map(json.dumps, allowed))}")


def check_whole_number(config: Any, place: Place, least: int) -> None:
    """Refuse the value at ``place`` if it is there and no whole number from ``least`` on.

    Raises:
        UserError: the sentence about it.
    """
    value = _value(config, place)
    if value is not _ABSENT and (type(value) is not int or value < least):
        raise _refusal(value, place, f"give a whole number from {least} on")


def check_keys(config: Any, place: Place, required: Collection[str], optional: Collection[str]) -> None:
    """Refuse the section at ``place`` if it is there and has an unknown key, or lacks a required one.

    Raises:
        UserError: the sentence about it.
    """
    _check_mapping(config, place)
    section = _value(config, place)
    if section is _ABSENT:
        return
    known = [*required, *optional]
    of = f" of {'.'.join(place)}" if place else ""
    for key in section:
        if key not in known:
            raise UserError(
                f"The configuration has an unknown key {key}{of}{nearest(str(key), known)}; "
                f"there are: {', '.join(known)}."
            )
    if missing := [key for key in required if key not in section]:
        raise UserError(f"The configuration has no {' and no '.join(missing)}{of}; add what is missing.")


def _check_mapping(config: Any, place: Place) -> None:
    section = _value(config, place)
    if section is not _ABSENT and not isinstance(section, Mapping):
        raise _refusal(section, place, "give keys and their values")


def check_options(config: Any, place: Place) -> None:
    """Refuse what is at ``place`` if it is there and no list of lines of options.

    Raises:
        UserError: the sentence about it.
    """
    lines = _value(config, place)
    if lines is _ABSENT:
        return
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise _refusal(lines, place, "give a list of lines of options")
    for line in lines:
        try:
            shlex.split(line)
        except ValueError as error:
            raise _refusal(line, place, f"a shell could not split it ({error})") from error


def _value(config: Any, place: Place) -> Any:
    """What is at ``place``, or ``_ABSENT``."""
    for key in place:
        if not isinstance(config, Mapping) or key not in config:
            return _ABSENT
        config = config[key]
    return config


def _refusal(value: Any, place: Place, wanted: str) -> UserError:
    *sections, name = place or ("all",)
    of = f" of {'.'.join(sections)}" if sections else ""
    return UserError(f"The configuration has {json.dumps(value, default=str)} for {name}{of}; {wanted}.")
