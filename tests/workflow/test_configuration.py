"""Whatever is misspelt in a configuration of the workflow is one sentence before the first job."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from miniature_workflow import MINIATURE, SNAKEFILE

from ednd_nmt.errors import UserError
from scripts.workflow.configuration import RULES, SECTIONS, check, check_corpus, check_study

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SHIPPED = [
    *sorted((EXAMPLES / "debian_ende" / "config").glob("*.yaml")),
    EXAMPLES / "wmt17_ende" / "config.yaml",
]


def everything() -> dict[str, Any]:
    """A configuration that says all that there is to say."""
    content: dict[str, Any] = yaml.safe_load(MINIATURE)
    content["corpus"]["script"] = "build_corpus"
    content["acting"] = {"calibrate": ["--threshold 30"], "fit": []}
    content["resources"] = {"member": {"mem_mb": 1000, "slurm_partition": "gpu"}}
    return {**content, "gpu": False}


def sections(content: dict[str, Any], *place: str) -> Iterator[tuple[str, ...]]:
    """The places of all sections whose keys have a meaning."""
    if place[:1] != ("resources",) or len(place) == 1:
        yield place
        for name, value in content.items():
            if isinstance(value, dict):
                yield from sections(value, *place, name)


def at(content: dict[str, Any], place: tuple[str, ...]) -> dict[str, Any]:
    for name in place:
        content = content[name]
    return content


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_is_shipped_is_accepted(path: Path) -> None:
    check(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_all_that_there_is_to_say_is_accepted() -> None:
    whole = everything()
    check(whole)
    for place in SECTIONS:  # and there is no more to say
        if place != ("resources",):
            required, optional = SECTIONS[place]
            assert {*required, *optional} - {"study"} == at(whole, place).keys()


def test_every_misspelt_key_is_refused_with_the_right_one() -> None:
    whole = everything()
    tried = 0
    for place in sections(whole):
        if place == ("shifted",):  # names of the user's own
            continue
        for key in at(whole, place):
            changed = copy.deepcopy(whole)
            section = at(changed, place)
            section[key + "e"] = section.pop(key)
            of = f" of {re.escape('.'.join(place))}" if place else ""
            with pytest.raises(
                UserError,
                match=rf"^The configuration has an unknown key {key}e{of} \(did you mean '{key}'\?\); ",
            ):
                check(changed)
            tried += 1
    assert tried > 40


def test_every_missing_key_is_told() -> None:
    whole = everything()
    for place, (required, _) in SECTIONS.items():
        for key in required:
            changed = copy.deepcopy(whole)
            del at(changed, place)[key]
            of = f" of {'.'.join(place)}" if place else ""
            with pytest.raises(
                UserError, match=rf"^The configuration has no {key}{of}; add what is missing\.$"
            ):
                check(changed)


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        ("pieces.dictionaries", "seperate", 'for dictionaries of pieces; choose one of: "joined", "separate".'),
        ("transfer.references", "mixed", 'has "mixed" for references of transfer; choose one of: "drop", "mix", "only".'),
        ("member.keep", "Best", 'has "Best" for keep of member; choose one of: "best", "last".'),
        ("student.keep", None, 'has null for keep of student; choose one of: "best", "last".'),
        ("pieces.tokenizer", "mosses", 'has "mosses" for tokenizer of pieces; choose one of: "none", "moses".'),
        ("pieces.moses_normalisation", 1, "has 1 for moses_normalisation of pieces; choose one of: true, false."),
        ("shifted.german.reference", "no", 'has "no" for reference of shifted.german; choose one of: true, false.'),
        ("gpu", "yess", 'has "yess" for gpu; choose one of: true, false.'),
        ("members", 0, "has 0 for members; give a whole number from 1 on."),
        ("members", True, "has true for members; give a whole number from 1 on."),
        ("transfer.hypotheses", 0, "has 0 for hypotheses of transfer; give a whole number from 1 on."),
        ("transfer.store_top_k", -1, "has -1 for store_top_k of transfer; give a whole number from 0 on."),
        ("transfer.shards", "six", 'has "six" for shards of transfer; give a whole number from 1 on.'),
        ("pieces.limits.length", 2.5, "has 2.5 for length of pieces.limits; give a whole number from 1 on."),
        ("pieces.limits.ratio", 0.5, "has 0.5 for ratio of pieces.limits; give a number from 1 on."),
        ("pieces.limits.ratio", float("nan"), "has NaN for ratio of pieces.limits; give a number from 1 on."),
        ("corpus.options", "--profile quick", "for options of corpus; give a list of lines of options."),
        ("acting.fit", {"--measure": "MI"}, "for fit of acting; give a list of lines of options."),
        ("member.options", ["--adam-betas '(0.9"], "of member; a shell could not split it (No closing quotation)."),
        ("languages", ["en", False], 'for languages; give two, as in [en, de]; "no" needs the quotation marks.'),
        ("languages", "en-de", "for languages; give two"),
        ("languages", ["en", "en"], "for languages; give two that differ."),
        ("corpus", None, "has null for corpus; give keys and their values."),
        ("acting", None, "has null for acting; give keys and their values."),
        ("shifted", ["german"], 'has ["german"] for shifted; give keys and their values.'),
        ("shifted.german", True, "has true for german of shifted; give keys and their values."),
        ("resources.member", 1000, "has 1000 for member of resources; give keys and their values."),
        ("", ["languages"], "for all; give keys and their values."),
    ],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_refused(place: str, value: Any, sentence: str) -> None:
    content: Any = everything()
    *outer, name = place.split(".")
    if name:
        at(content, tuple(outer))[name] = value
    else:
        content = value
    with pytest.raises(UserError) as refused:
        check(content)
    assert str(refused.value).startswith("The configuration has ")
    assert sentence in str(refused.value)


def test_a_word_of_the_command_line_switches_the_gpu() -> None:
    for word in ("true", "False", "TRUE"):
        check({**everything(), "gpu": word})


def test_resources_are_those_of_the_rules_that_ask_for_any() -> None:
    asking = re.findall(r'\*\*needs\(\s*"(\w+)"', SNAKEFILE.read_text(encoding="utf-8"))
    assert sorted(asking) == sorted(RULES)


STUDIES = EXAMPLES / "study" / "config"


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        ("study.seed", [1], "has an unknown key seed of study (did you mean 'seeds'?); there are: seeds,"),
        ("study.seeds", 1, "has 1 for seeds of study; give a list of at least one."),
        ("study.only", [], "has [] for only of study; give a list of at least one."),
        ("study.keep", "first", 'has "first" for keep of study; choose one of: "best", "last".'),
        ("study.threads", 0, "has 0 for threads of study; give a whole number from 1 on."),
        ("study.common", "--lr 1", "for common of study; give a list of lines of options."),
        ("study.baselines", [1], "has [1] for baselines of study; give keys and their values."),
        (
            "study.baselines.mc_dropout.members",
            [0],
            "has [0] for members of study.baselines.mc_dropout; give a list of numbers from 1 to 3.",
        ),
        ("study.baselines.mc_dropout.member", [1], "has an unknown key member of study.baselines.mc_dropout"),
        ("study.students.end", "--arch x", "for end of study.students; give a list of lines of options."),
        ("study.students", ["end"], 'has ["end"] for students of study; give keys and their values.'),
        ("study.starts.pair.members", [4], "for members of study.starts.pair; give a list of numbers from 1 to 3."),
        ("study.starts.pair.seed", 1, "has an unknown key seed of study.starts.pair"),
        ("study.starts.pair.options", "--times 2", "for options of study.starts.pair; give a list of lines of options."),
        ("study.again.none.student", "ende", 'has "ende" for student of study.again.none; choose one of: "end",'),
        ("study.again.none.option", [], "has an unknown key option of study.again.none"),
        ("study.again.none.options", "--beam 1", "for options of study.again.none; give a list of lines of options."),
        ("study.again.end", {"student": "end", "options": []}, 'has "end" for again of study; give it a name that no'),
        (
            "study.students.end",
            ["--finetune-from-model study/starts/pairs.pt"],
            'has "study/starts/pairs.pt" for end of study.students; choose from study/starts/wide.pt, study/starts/pair.pt,',
        ),
        ("study.starts", None, "has null for starts of study; give keys and their values."),
        ("study", None, "has null for study; give keys and their values."),
    ],
)  # fmt: skip
def test_a_study_that_makes_no_sense_is_refused(place: str, value: Any, sentence: str) -> None:
    content = {"members": 3, **yaml.safe_load((STUDIES / "quick.yaml").read_text(encoding="utf-8"))}
    longer = yaml.safe_load((STUDIES / "longer.yaml").read_text(encoding="utf-8"))
    content["study"]["starts"] = longer["study"]["starts"]
    content["study"]["again"] = {"none": {"student": "end", "options": ["--beam 1"]}}
    check_study(content)
    *outer, name = place.split(".")
    at(content, tuple(outer))[name] = value
    with pytest.raises(UserError) as refused:
        check_study(content)
    assert str(refused.value).startswith("The configuration has ")
    assert sentence in str(refused.value)


def test_a_start_that_is_made_nowhere_is_refused() -> None:
    content: Any = {"members": 3, **yaml.safe_load((STUDIES / "longer.yaml").read_text(encoding="utf-8"))}
    check_study(content)
    del content["study"]["starts"]
    with pytest.raises(UserError, match=r"choose from nothing, since study\.starts is empty"):
        check_study(content)


def test_a_study_needs_its_own_configuration() -> None:
    with pytest.raises(UserError, match="has no study; give one of examples/study/config as well"):
        check_study(everything())


@pytest.mark.parametrize(
    ("script", "options", "wanted", "missing"),
    [
        ("build_corpus", "", ["train.en", "shifted/ding.de", "shifted/german.en"], []),
        ("build_corpus", "", ["train.fr", "shifted/german.de"], ["train.fr", "shifted/german.de"]),
        ("build_corpus", "--profile full", ["shifted/french.en", "shifted/ding.de"], []),
        ("build_corpus", "--source-files a --target-files b", ["train.de", "shifted/german.en"], []),
        ("build_corpus", "--source-files a --target-files b", ["shifted/ding.en"], ["shifted/ding.en"]),
        ("build_corpus", "--source-files a --target-files b --source-lang fr", ["train.fr", "valid.de"], []),
        ("build_wmt17", "", ["test.de", "shifted/french.en", "shifted/khresmoi.de"], []),
        ("build_wmt17", "--shifted german", ["shifted/french.en"], ["shifted/french.en"]),
        ("plan_experiment", "", ["anything"], []),  # these do not tell
        ("of_ones_own", "", ["anything"], []),
    ],
)
def test_files_that_the_corpus_will_not_have_are_named(
    script: str, options: str, wanted: list[str], missing: list[str]
) -> None:
    content = {**everything(), "corpus": {"script": script, "options": [options]}}
    if not missing:
        check_corpus(content, wanted)
        return
    with pytest.raises(UserError) as refused:
        check_corpus(content, wanted)
    assert f"the corpus has no {', no '.join(missing)} (its shifted sets: " in str(refused.value)


def test_the_sets_that_the_corpus_has_are_named_beside_the_one_that_it_has_not() -> None:
    """A language that has no name among the sets stands under its code there."""
    options = "--source-files a --target-files b --target-lang es"
    content = {**everything(), "corpus": {"options": [options]}}
    with pytest.raises(
        UserError, match=r"no shifted/spanish\.en \(its shifted sets: es, permuted, spoken\); take"
    ):
        check_corpus(content, ["train.es", "shifted/spanish.en"])


def test_options_that_the_corpus_does_not_take_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    content = {**everything(), "corpus": {"options": ["--jobs 0"]}}
    with pytest.raises(
        UserError, match=r"^The configuration has options of corpus that scripts/build_corpus\.py"
    ):
        check_corpus(content, ["train.en"])
    assert "argument --jobs: give at least 1, not 0" in capsys.readouterr().err
