"""Two studies side by side: what differs in their questions, and their scores on the same folds."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import imblab
from imblab.analysis.reproduction import StudyPair, differing_keys, pair_studies
from imblab.cli import main
from imblab.commands import comparing, results
from imblab.edges import config, ledger
from imblab.errors import ConfigError, StudyError
from imblab.stats.paired_tests import corrected_t
from imblab.study import Measure

HERE = ("runner.n_jobs=1", "runner.report=false", "tracking=none")
ASKED = ("dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,threshold,smote]", "protocol=smoke", *HERE)


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Return a folder with studies of the same folds, of other folds, and of another table."""
    place = tmp_path_factory.mktemp("pairs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main(["run", "name=first", *ASKED]) == 0
        other = ("strategy=[none,smote,class_weight]", "strategy.smote.ratio=0.3")
        assert main(["run", "name=second", *ASKED, *other]) == 0
        assert main(["run", "name=seeded", *ASKED, "seed=1"]) == 0
        assert main(["run", "name=elsewhere", *ASKED, "dataset=[yeast4]"]) == 0
    return place


@pytest.fixture(autouse=True)
def inside(studies, monkeypatch):
    monkeypatch.chdir(studies)


def test_scores_of_the_same_folds_are_paired(capsys):
    pair = imblab.compare("first", "second")
    assert isinstance(pair, StudyPair)
    assert [each.strategy for each in pair.scores] == ["none", "smote"]
    rows = [
        {(e.strategy, e.repeat, e.fold): e for e in ledger.read_evaluations(Path("experiments") / name)}
        for name in ("first", "second")
    ]
    folds = sorted(key[1:] for key in rows[0] if key[0] == "smote")
    scores = [np.array([r["smote", *fold].scores["mcc"] for fold in folds]) for r in rows]
    evaluations = [rows[0]["smote", *fold] for fold in folds]
    witness = corrected_t(scores[1] - scores[0], [e.n_train for e in evaluations], [e.n_test for e in evaluations])
    none, smote = pair.scores
    assert (smote.first, smote.second) == (scores[0].mean(), scores[1].mean())
    assert (smote.low, smote.high, smote.folds) == (witness.low, witness.high, 3)
    assert smote.difference == pytest.approx(witness.mean, abs=1e-15)
    assert (none.is_equal, none.difference, smote.is_equal) == (True, 0, False)
    assert pair.to_frame().loc[1, ["strategy", "difference"]].tolist() == ["smote", smote.difference]
    capsys.readouterr()
    assert main(["compare", "first", "second", "--full"]) == 0
    assert repr(pair).split() == capsys.readouterr().out.split()
    with pytest.raises(ConfigError, match=r"'imblab\.compare' names 'first' twice; it puts two studies side by side"):
        imblab.compare("first", "first")
    assert pair.only_first == ("ecoli3/logistic/threshold",)
    assert pair.only_second == ("ecoli3/logistic/class_weight",)
    differences = {each.key: (each.first, each.second) for each in pair.differences}
    assert differences["strategy.smote.ratio"][1] == 0.3
    assert differences["strategy.threshold"][1] is None
    assert not {"name", "claims.registered"} & differences.keys()
    capsys.readouterr()
    assert main(["compare", "first", "second"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "In first alone: ecoli3/logistic/threshold." in text
    assert [line.split()[-1] for line in text.splitlines() if line.startswith("none ")] == ["equal"]
    assert f"{smote.first:.3f}" in text
    assert main(["compare", "first", "second", "--measure", "recall", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["measure"], told["studies"], set(told["answers"])) == (
        "recall",
        ["first", "second"],
        {"first", "second"},
    )


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["first", "seeded"], r"differ in the rows of 'ecoli3' \(other folds\)"),
        (["first", "elsewhere"], "have no data set, learner and strategy in common"),
        (["first", "first"], "names 'first' twice"),
        (["first", "second", "seeded"], r"names 3 studies \(first, second and seeded\)"),
        (["first", "secnd"], "Did you mean 'second'"),
        (["first", "second", "--measure", "kappa"], "measure 'kappa'"),
        (["first", "second", "--family", "yeast4"], "family 'yeast4'"),
    ],
)
def test_what_cannot_be_compared_is_refused(words, reason, capsys):
    import re

    assert main(["compare", *words]) == 2
    assert re.search(reason, capsys.readouterr().err)


def test_the_function_reads_one_study_or_two():
    result = imblab.compare("first")
    assert isinstance(result, imblab.StudyResult)
    assert imblab.compare("first", measure="recall").record.study.primary == "recall"
    with pytest.raises(StudyError, match="other folds"):
        imblab.compare("first", "seeded")
    with pytest.raises(StudyError, match="elsewhere"):
        imblab.compare("elsewhere", experiments="nowhere")


@pytest.mark.parametrize(
    ("words", "absent"),
    [(["--full"], "--full"), (["--family", "ecoli3"], "--family"), (["--measure", "recall"], "--measure")],
)
def test_what_is_shown_is_no_next_step(words, absent, capsys):
    assert main(["compare", "first", *words]) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if "imblab compare first" in line]
    assert len(shown) == 2
    assert not any(absent in line for line in shown)


def test_keys_that_one_question_lacks_are_named_once():
    first = {"name": "a", "strategy": {"smote": {"k": 5, "ratio": 1.0}}, "claims": {"registered": {"at": 1}}}
    second = {"name": "b", "strategy": {"none": {"threshold": 0.5}, "smote": {"k": 3, "ratio": 1.0}}}
    keys = [each.key for each in differing_keys(first, second)]
    assert keys == ["strategy.smote.k", "strategy.none", "claims"]
    assert differing_keys(first, first) == ()


def test_a_short_section_is_written_out():
    assert comparing._value({"cost_optimal": {"fn": 50, "fp": 1}}) == "{cost_optimal: {fn: 50, fp: 1}}"
    assert comparing._value({str(n): n for n in range(20)}) == "as defined"


def test_long_names_leave_the_differences_in_the_table():
    pair = imblab.compare("first", "second")
    name = "first.strategy.threshold.threshold-cost-fn-50-fp-1"
    page = comparing.pair_text(replace(pair, second=name), ["", ""], width=80)
    assert "difference [95 %]" in page
    assert all(" [" in line for line in page.splitlines() if line.startswith("smote "))


def test_a_page_lists_so_many_keys_and_says_how_many_there_are():
    keys = differing_keys({f"k{i}": i for i in range(20)}, {f"k{i}": -i - 1 for i in range(20)})
    pair = StudyPair("a", "b", "mcc", keys, (), (), ())
    text = comparing.pair_text(pair, ["A.", "B."], max_keys=5, width=80)
    assert "differ in 20 keys" in text
    assert "15 more with --full." in text
    assert "more with" not in comparing.pair_text(pair, ["A.", "B."], width=80)


def read(name):
    home = Path("experiments") / name
    return results.read_result(home, config.load_request(home / ledger.STUDY_FILE).study)


def test_folds_that_follow_the_time_have_no_interval():
    first, second = read("first"), read("second")
    timed = replace(second, study=replace(second.study, datasets={"ecoli3": {"time": "t"}}))
    for pair in (pair_studies(first, timed), pair_studies(timed, first)):
        assert all(np.isnan([each.low, each.high]).all() for each in pair.scores)
        assert [each.folds for each in pair.scores] == [3, 3]
        text = " ".join(comparing.pair_text(pair, ["A.", "B."], width=80).split())
        assert "corrected resampled t" not in text
        assert text.endswith("Differences on ecoli3 have no interval: the folds follow the time.")


def test_a_measure_with_other_parameters_is_another_measure():
    first, second = read("first"), read("second")
    at_5, at_20 = (
        replace(result, study=replace(result.study, measures=(*result.study.measures, cost), primary="cost"))
        for result, cost in zip(
            (first, second),
            (Measure("cost", "imblab.core.costs.expected_cost", "label", parameters={"fn": fn}) for fn in (5, 20)),
            strict=True,
        )
    )
    with pytest.raises(
        StudyError, match=r"'cost' .*'first' and 'second' has other parameters .*--measure \(mcc, .*rescore"
    ):
        pair_studies(at_5, at_20)
    assert pair_studies(at_5, at_20, measure="mcc").scores


def test_a_copied_folder_is_called_by_its_name(capsys):
    shutil.copytree("experiments/first", "experiments/copied")
    assert main(["compare", "first", "copied", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["studies"], [*told["answers"]], [*told["only"]]) == (["first", "copied"],) * 3
    assert main(["compare", "first", "copied"]) == 0
    assert "\ncopied: " in capsys.readouterr().out
    shutil.rmtree("experiments/copied")
