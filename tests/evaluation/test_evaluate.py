"""All figures of several systems, against the public functions one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import sacrebleu

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation import kendall, prediction_rejection_ratio, roc_auc
from ednd_nmt.evaluation.calibration import (
    brier_score,
    expected_calibration_error,
    fit_calibration,
    is_bad,
    reliability,
)
from ednd_nmt.evaluation.columns import Columns, read_columns
from ednd_nmt.evaluation.evaluate import Evaluation, Key, Settings, evaluate
from ednd_nmt.evaluation.quality import sentence_metric
from ednd_nmt.evaluation.tables import legend, render_terminal, shown_measures, tables

SETTINGS = Settings(resamples=50)


@pytest.fixture(scope="module")
def systems(runs: Path) -> dict[str, dict[str, Columns]]:
    return {
        name: {path.stem: read_columns(path) for path in sorted((runs / name).glob("*.jsonl"))}
        for name in ("single", "ensemble", "student")
    }


@pytest.fixture(scope="module")
def evaluation(systems: dict[str, dict[str, Columns]]) -> Evaluation:
    return evaluate(systems, settings=SETTINGS)


def test_figures_are_those_of_the_public_functions(
    systems: dict[str, dict[str, Columns]], evaluation: Evaluation
) -> None:
    test, german = systems["student"]["test"], systems["student"]["german"]
    assert test.references is not None
    bleu = sacrebleu.corpus_bleu(test.translations, [test.references])
    assert evaluation.scores[Key("student", "test", None, "BLEU")].score == pytest.approx(bleu.score)
    error = sentence_metric("bleu").sentence_errors(test.translations, test.references)
    for measure, values in test.measures.items():
        for figure, expected in (
            (Key("student", "test", measure, "PRR"), prediction_rejection_ratio(error, values)),
            (Key("student", "test", measure, "Kendall"), kendall(error, values)),
            (Key("student", "german", measure, "ROC-AUC"), roc_auc(values, german.measures[measure])),
        ):
            assert evaluation.scores[figure].score == pytest.approx(expected)


def test_every_figure_has_a_signature_and_an_interval(evaluation: Evaluation) -> None:
    for key, score in evaluation.scores.items():
        signature = score.signature.format()
        assert score.interval is not None
        assert score.interval.low <= score.interval.high
        assert "|bs:50|seed:12345|ednd_nmt:" in signature
        if key.measure is not None:
            assert (
                f"measure:{key.measure}|level:sentence|set:test|sentences:60|nbest:3|weighting:" in signature
            )


def test_a_measure_that_a_system_lacks_has_no_figure(evaluation: Evaluation) -> None:
    assert {key.measure for key in evaluation.scores if key.system == "single"} == {None, "TU", "sTU"}
    assert not any(key.set == "german" and key.figure == "BLEU" for key in evaluation.scores)


def test_comparisons_are_with_the_baseline_on_the_figures_that_both_have(evaluation: Evaluation) -> None:
    assert list(evaluation.comparisons) == ["single"]
    comparisons = evaluation.comparisons["single"]
    assert {key.system for key in comparisons} == {"ensemble", "student"}
    key = Key("student", "test", "TU", "PRR")
    difference = evaluation.scores[key].score - evaluation.scores[Key("single", "test", "TU", "PRR")].score
    assert comparisons[key].difference == pytest.approx(difference)
    assert 0 < comparisons[key].p_value <= 1
    assert Key("student", "test", "MI", "PRR") not in comparisons


def test_several_baselines_are_each_as_if_alone(
    systems: dict[str, dict[str, Columns]], evaluation: Evaluation
) -> None:
    both = evaluate(systems, settings=replace(SETTINGS, baselines=("ensemble", "single", "ensemble")))
    alone = evaluate(systems, settings=replace(SETTINGS, baselines=("ensemble",)))
    assert both.comparisons == alone.comparisons | evaluation.comparisons
    assert both.baseline == "ensemble"
    assert render_terminal(both) == render_terminal(alone)  # the first decides what is marked
    entries = both.as_dict()["comparisons"]
    assert {(entry["system"], entry["baseline"]) for entry in entries} == {
        ("single", "ensemble"), ("student", "ensemble"), ("ensemble", "single"), ("student", "single")
    }  # fmt: skip


def test_the_same_file_twice_is_never_different(systems: dict[str, dict[str, Columns]]) -> None:
    twice = {"a": systems["single"], "b": systems["single"]}
    result = evaluate(twice, settings=SETTINGS)
    assert {comparison.p_value for comparison in result.comparisons["a"].values()} == {1.0}


def test_seed_and_resamples_decide_the_interval_and_nothing_else_does(
    systems: dict[str, dict[str, Columns]], evaluation: Evaluation
) -> None:
    key = Key("student", "test", "TU", "PRR")
    alone = evaluate({"student": {"test": systems["student"]["test"]}}, settings=SETTINGS)
    assert alone.scores[key] == evaluation.scores[key]
    other = evaluate({"student": systems["student"]}, settings=Settings(resamples=50, seed=1))
    assert other.scores[key].interval != evaluation.scores[key].interval


def test_equal_errors_are_a_note_and_no_figure(systems: dict[str, dict[str, Columns]]) -> None:
    test = systems["single"]["test"]
    perfect = Columns(**{**vars(test), "translations": list(test.references or [])})
    result = evaluate({"x": {"test": perfect}}, settings=SETTINGS)
    assert Key("x", "test", "TU", "PRR") not in result.scores
    assert result.scores[Key("x", "test", "TU", "R-AUC")].score == pytest.approx(0, abs=1e-9)
    reason = (
        "not defined, because there are too few sentences, or all have the same error or the same uncertainty"
    )
    assert f"x, TU: {reason}: PRR, truncated PRR, Spearman, Kendall, Pearson." in result.notes


def test_one_sentence_has_the_figures_that_are_defined_for_it(systems: dict[str, dict[str, Columns]]) -> None:
    test = systems["single"]["test"]
    lists = ("ids", "sources", "translations", "references")
    one = replace(
        test,
        measures={name: values[:1] for name, values in test.measures.items()},
        **{name: getattr(test, name)[:1] for name in lists},
    )
    result = evaluate({"x": {"test": one, "other": systems["single"]["german"]}}, settings=SETTINGS)
    error = result.errors["x"][0]
    assert result.scores[Key("x", "test", "TU", "R-AUC")].score == pytest.approx(error / 2)
    assert Key("x", "other", "TU", "ROC-AUC") in result.scores
    assert Key("x", "test", "TU", "PRR") not in result.scores
    assert len(result.notes) == 2  # one for each measure


def test_without_references_shifted_sets_are_still_told_apart(systems: dict[str, dict[str, Columns]]) -> None:
    bare = {
        name: Columns(**{**vars(columns), "references": None}) for name, columns in systems["single"].items()
    }
    result = evaluate({"x": bare}, settings=SETTINGS)
    assert Key("x", "german", "TU", "ROC-AUC") in result.scores
    assert any("no references" in note for note in result.notes)


def test_faulty_choices_are_one_clear_sentence(systems: dict[str, dict[str, Columns]]) -> None:
    for settings, message in (
        (Settings(measures=("XY",)), "No file has the measure 'XY'; they have DU, EPKL"),
        (
            Settings(baselines=("single", "none")),
            "The baseline 'none' is not one of the systems: single, ensemble, student",
        ),
    ):
        with pytest.raises(UserError, match=message):
            evaluate(systems, settings=settings)


def test_a_system_is_measured_alike_in_all_sets(systems: dict[str, dict[str, Columns]]) -> None:
    student = systems["student"]
    for changed, other in (
        ({"offset": 0.0}, "student,decoding=mode,offset=0"),
        ({"members": 2}, "student,members=2,decoding=mode"),
    ):
        german = replace(student["german"], header=replace(student["german"].header, **changed))
        with pytest.raises(UserError) as refused:
            evaluate({"student": {**student, "german": german}}, settings=SETTINGS)
        assert str(refused.value).startswith(
            f"System 'student' is student,decoding=mode in test and {other} in german, so that its measures"
        )
        assert evaluate({"student": {**student, "german": german}}, shifted=["permuted"], settings=SETTINGS)
    narrow = replace(student["german"], header=replace(student["german"].header, beam=1))
    with pytest.raises(
        UserError, match=r"is beam=5,nbest=3.* in test and beam=1,nbest=3.* in german, so that"
    ):
        evaluate({"student": {**student, "german": narrow}}, settings=SETTINGS)


def test_signatures_say_how_the_translations_came_about(systems: dict[str, dict[str, Columns]]) -> None:
    """Of every kind of figure: another search gives other translations, tokens and uncertainties."""
    usual = {name: systems["student"][name] for name in ("test", "german")}
    header = replace(
        usual["test"].header,
        beam=10,
        decoding="mean",
        offset=0.0,
        search="lenpen=1.2",
        decision="rerank[MI*1]",
    )
    unusual = {name: replace(columns, header=header) for name, columns in usual.items()}
    settings = Settings(resamples=10, token_level=True)
    result = evaluate({"usual": usual, "unusual": unusual}, settings=settings)
    of_files = "|offset:0|decoding:mean|beam:10|search:lenpen=1.2|decision:rerank[MI*1]|"
    figures = [("test", None, "BLEU"), *(("test", "MI", figure) for figure in ("PRR", "AURC", "token AP"))]
    for place in (*figures, ("german", "MI", "ROC-AUC")):
        ordinary, other = (
            result.scores[Key(system, *place)].signature.format() for system in ("usual", "unusual")
        )
        assert of_files in other
        assert other.replace(of_files, "|") == ordinary


def test_what_tables_do_not_show_of_a_file_is_noted(systems: dict[str, dict[str, Columns]]) -> None:
    student = systems["student"]["test"]
    acted = replace(student, header=replace(student.header, decision="abstain[sTU above 1]", beam=2))
    calibration = fit_calibration(systems["single"]["test"], ["sTU"], threshold=50)
    settings = replace(SETTINGS, calibrations={"acted": calibration})
    notes = evaluate({"student": {"test": student}, "acted": {"test": acted}}, settings=settings).notes
    assert [note for note in notes if note.startswith("acted: ")] == [
        f"acted: {acted.header.conditions}; student: {student.header.conditions}.",
        "acted: abstain[sTU above 1]; figures are of all sentences, those abstained from as well.",
        "acted: the calibration was fitted on single, not student,decoding=mode: p_bad may be less true.",
    ]


def test_tables_show_the_principal_measures_and_the_figures_have_all(evaluation: Evaluation) -> None:
    assert "sDU" in evaluation.measures
    assert "logvar" in evaluation.measures
    assert shown_measures(evaluation) == ["TU", "DU", "MI", "EPKL", "MKL", "sTU", "sMKL"]
    assert "Measured but not shown: sDU, logvar (--measures all)." in legend(evaluation)
    for wanted, shown in (
        (("sTU", "MI"), ["sTU", "MI"]),
        (("all",), ["TU", "DU", "MI", "EPKL", "MKL", "sTU", "sMKL", "sDU", "logvar"]),
    ):
        chosen = replace(evaluation, settings=replace(SETTINGS, measures=wanted))
        assert shown_measures(chosen) == shown
        table = next(table for table in tables(chosen) if "PRR" in table.title)
        assert [name for name, _, _ in table.rows] == shown
        assert len(chosen.as_dict()["scores"]) == len(evaluation.scores)


def test_only_other_measures_are_all_shown(systems: dict[str, dict[str, Columns]]) -> None:
    test = systems["student"]["test"]
    other = replace(test, measures={"mine": test.measures["TU"]})
    assert shown_measures(evaluate({"x": {"test": other}}, settings=Settings(resamples=10))) == ["mine"]


@pytest.mark.parametrize("threshold", [50.0, 20.0])
def test_calibrations_are_compared_where_bad_means_the_same(
    systems: dict[str, dict[str, Columns]], threshold: float
) -> None:
    """Where bad translations are rare, the Brier score is small whatever the measure."""
    kept = {name: {"test": systems[name]["test"]} for name in ("student", "ensemble")}
    calibrations = {
        name: fit_calibration(kept[name]["test"], ["sTU"], threshold=least)
        for name, least in (("student", 50.0), ("ensemble", threshold))
    }
    result = evaluate(kept, settings=Settings(resamples=20, calibrations=calibrations))
    compared = {key.figure for key in result.comparisons["student"] if key.measure == "p_bad"}
    table = next(table for table in tables(result) if "Calibration" in table.title)
    same = threshold == 50.0
    assert {"PRR", "Spearman"} < compared
    assert ({"ECE", "Brier"} <= compared) == same == any(c.best for *_, row in table.rows for c in row)
    assert len(table.rows) == len(table.columns) == 2
    what = "below 50" if same else "below 50 (student); sentence BLEU below 20 (ensemble)"
    assert table.note.endswith(f"; bad: sentence BLEU {what}")


def test_a_calibrated_system_has_p_bad_its_error_and_its_reliability(
    systems: dict[str, dict[str, Columns]],
) -> None:
    calibration = fit_calibration(systems["student"]["permuted"], ["TU", "sMKL"], threshold=40)
    settings = Settings(resamples=20, calibrations={"student": calibration})
    result = evaluate(systems, settings=settings)
    test = systems["student"]["test"]
    probability, bad = calibration.probability(test.measures), is_bad(test, "bleu", 40)
    place = Key("student", "test", "p_bad")
    ece, brier, prr = (result.scores[replace(place, figure=name)] for name in ("ECE", "Brier", "PRR"))
    assert ece.score == pytest.approx(100 * expected_calibration_error(probability, bad))
    assert brier.score == pytest.approx(brier_score(probability, bad))
    error = sentence_metric("bleu").sentence_errors(test.translations, test.references or [])
    assert prr.score == pytest.approx(prediction_rejection_ratio(error, probability))
    assert "measure:p_bad|of:TU+sMKL|" in prr.signature.format()
    assert "|bad:sentence BLEU below 40|" in ece.signature.format()
    assert Key("student", "german", "p_bad", "ROC-AUC") in result.scores
    assert Key("single", "test", "p_bad", "PRR") not in result.scores

    assert result.reliability == {"student": reliability(probability, bad)}
    (saved,) = result.as_dict()["reliability"]
    assert (saved["system"], saved["set"], saved["bad"]) == ("student", "test", "sentence BLEU below 40")
    assert sum(point["count"] for point in saved["bins"]) == 60
    table = next(table for table in tables(result) if "Calibration" in table.title)
    assert (table.columns, [name for name, _, _ in table.rows]) == (["student"], ["ECE", "Brier"])


def test_a_calibration_that_does_not_fit_is_refused(systems: dict[str, dict[str, Columns]]) -> None:
    calibration = fit_calibration(systems["student"]["test"], ["MI"], threshold=40)
    for system, message in (
        ("single", "The calibration needs the measure 'MI', which this system does not have"),
        ("none", "There is a calibration for 'none', but the systems are single, ensemble, student"),
    ):
        with pytest.raises(UserError, match=message):
            evaluate(systems, settings=Settings(calibrations={system: calibration}))
