"""Decisions between more than two classes, and that two classes through them are decided as two classes are."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import confusion_matrix, matthews_corrcoef

from imblab.core import decisions, design, measures
from imblab.core.class_decisions import SeveralClassDecisions, rule_problem
from imblab.core.task_decisions import TwoClassDecisions, decision_problems
from imblab.errors import ConfigError
from imblab.study import Cell, Choice, Dataset, Learner, LearnerTraits, Measure, Protocol, Split, Strategy, Study

MCC = Measure("mcc", "imblab.core.measures.mcc", "label")
HUNDREDTHS = Protocol().thresholds
ABC = ("a", "b", "c")
COSTS = [[0, 1, 2], [5, 0, 1], [20, 3, 0]]


def measure(name, needs="label", function=None, **parameters):
    return Measure(name, f"imblab.core.{function or f'measures.{name}'}", needs, parameters=parameters)


ALL = (
    MCC,
    measure("recall"),
    measure("precision"),
    measure("f1", function="measures.f_beta"),
    measure("pr_auc", "score", "measures.average_precision"),
    measure("roc_auc", "score"),
    measure("brier", "probability"),
    measure("top", "score", "measures.recall_at", share=0.1),
    measure("cost", function="costs.expected_cost", costs={"fn": 5, "fp": 1}),
)


def sample(seed=0, n=300, shares=(0.7, 0.2, 0.1)):
    rng = np.random.default_rng(seed)
    y = rng.choice(len(shares), n, p=shares)
    p = rng.dirichlet(np.ones(len(shares)), n) + 0.7 * np.eye(len(shares))[y] * rng.random((n, 1))
    return y, p / p.sum(axis=1, keepdims=True)


# ----------------------------------------------------------------------------------------------------- what is asked


@pytest.mark.parametrize(
    ("rule", "grid", "reason"),
    [
        (0.5, HUNDREDTHS, None),
        ("tuned", HUNDREDTHS, None),
        ({"min_recall": {"class": "c", "value": 0.5}}, HUNDREDTHS, None),
        ({"cost_optimal": COSTS}, HUNDREDTHS, None),
        ({"cost_optimal": COSTS}, "observed", None),  # no threshold is chosen
        (0, HUNDREDTHS, "0 is not above 0 and below 1, as the threshold of a class is"),
        ({"min_precision": 0.5}, HUNDREDTHS, "with more than two classes min_precision names the class that it hold"),
        ({"alert_rate": 0.5}, HUNDREDTHS, "alert_rate is for two classes"),
        ({"cost": {"fn": 2, "fp": 1}}, HUNDREDTHS, "cost is for two classes"),
        ({"cost_optimal": {"fn": 2, "fp": 1}}, HUNDREDTHS, "a cost matrix of 3 classes is a list of 3 rows by true"),
        ("tuned", "observed", "thresholds that are observed are for two classes"),
        ("tuned", (0.1, 0.4), "thresholds of classes lie above 0 and below 1, and 0.5, where their search starts"),
        ("tuned", (0.0, 0.5), "thresholds of classes lie above 0 and below 1"),
    ],
)
def test_a_rule_for_two_classes_is_refused_with_its_reason(rule, grid, reason):
    found = rule_problem(rule, grid, ABC)
    assert found is None if reason is None else found.startswith(reason)


@pytest.mark.parametrize(
    ("rule", "where"),
    [
        ({"min_recall": {"class": "c"}}, "a class and a value in (0, 1]"),
        ({"min_recall": {"class": "c", "value": 2}}, "a class and a value in (0, 1]"),
        ({"cost_optimal": [[0, 1], [1]]}, "of n costs each by decided class"),
        ({"alert_rate": [0.1]}, "it takes no list"),
    ],
)
def test_a_rule_of_classes_is_checked_where_it_is_written(rule, where):
    with pytest.raises(ConfigError) as error:
        decisions.check_rule(rule, "strategy.desk.threshold")
    assert where in str(error.value)
    assert "Write for example 'strategy.desk.threshold={" in str(error.value)


def test_rules_of_classes_pass_where_they_are_written_and_are_refused_for_two():
    for rule in ({"min_recall": {"class": "c", "value": 0.5}}, {"cost_optimal": COSTS}):
        decisions.check_rule(rule, "strategy.desk.threshold")
        assert "for more than two classes" in decisions.two_class_problem(rule)
    for rule in ("tuned", 0.5, {"min_recall": 0.5}, {"cost_optimal": {"fn": 2, "fp": 1}}):
        assert decisions.two_class_problem(rule) is None


def test_every_rule_and_tuned_measure_that_does_not_fit_a_table_is_an_error_of_four_parts():
    strategies = (
        Strategy("good", threshold="tuned"),
        Strategy("desk", threshold={"alert_rate": 0.1}),
        Strategy("listed", threshold="tuned", space={"threshold": Choice((0.1, 0.2))}),
        Strategy("named", threshold={"min_recall": {"class": 2, "value": 0.5}}),
    )
    study = Study("s", 0, {}, (), strategies, ALL, primary="top", protocol=Protocol(threshold_measure="cost"))
    table = Dataset("mine", pd.DataFrame(), np.zeros(0, dtype=int), ("1", "2", "3"))
    texts = list(map(str, decision_problems(study, table)))
    assert len(texts) == 4
    assert texts[0].endswith(
        "3 classes; alert_rate is for two classes. Write for example strategy.desk.threshold=tuned."
    )
    assert "'listed' has the threshold 'tuned'" in texts[1]
    assert "'strategy.listed.space.threshold=range(0.01,1,0.01)'" in texts[1]
    assert texts[2].startswith("'primary' is 'top', and data set 'mine' has 3 classes")
    assert texts[3].startswith("'protocol.threshold_measure' is 'cost'")
    (text,) = map(str, decision_problems(study, Dataset("two", pd.DataFrame(), np.zeros(0, dtype=int), ("n", "y"))))
    assert text.startswith("strategy 'named'")
    assert text.endswith("Write for example 'strategy.named.threshold={min_recall:0.5}'.")
    desk = replace(study, strategies=(Strategy("desk", threshold={"min_recall": 0.7}),), primary="mcc")
    (text, *_) = map(
        str, decision_problems(desk, Dataset("t", pd.DataFrame(), np.zeros(0, dtype=int), ("a", "b c", "d")))
    )
    assert text.endswith("Write for example 'strategy.desk.threshold={min_recall:{class:d,value:0.7}}'.")


# ------------------------------------------------------------------------------------------------- what is decided


def test_a_number_is_the_threshold_of_all_classes_but_the_most_frequent():
    y, p = sample()
    choice = SeveralClassDecisions(ABC).choose_threshold(0.2, [(y, p)], HUNDREDTHS, MCC)
    assert choice.threshold == (0.5, 0.2, 0.2)
    decided = np.argmax(p * [1, 4, 4], axis=1)
    assert choice.value == pytest.approx(matthews_corrcoef(y, decided), abs=1e-12)


def test_tuned_thresholds_are_those_of_all_folds_taken_together_in_any_order():
    y, p = sample(1)
    between = SeveralClassDecisions(ABC)
    folds = [(y[i::3], p[i::3]) for i in range(3)]
    choice = between.choose_threshold("tuned", folds, HUNDREDTHS, MCC)
    assert choice == between.choose_threshold("tuned", [(y[::-1], p[::-1])], HUNDREDTHS, MCC)
    argmax = between.choose_threshold(0.5, folds, HUNDREDTHS, MCC)
    assert choice.value > argmax.value
    assert choice.fold_thresholds == ()


def test_a_bound_holds_for_its_class_and_is_not_met_by_force():
    y, p = sample(2)
    between = SeveralClassDecisions(ABC)

    def recall_of_c(choice):
        decided = np.argmax(p * [(1 - t) / t for t in choice.threshold], axis=1)
        return np.mean(decided[y == 2] == 2)

    free = between.choose_threshold("tuned", [(y, p)], HUNDREDTHS, MCC)
    bound = between.choose_threshold({"min_recall": {"class": "c", "value": 0.95}}, [(y, p)], HUNDREDTHS, MCC)
    assert recall_of_c(free) < 0.95 <= recall_of_c(bound)
    out_of_reach = {"min_precision": {"class": "c", "value": 1.0}}
    assert between.choose_threshold(out_of_reach, [(np.array([0, 1, 0]), p[:3])], HUNDREDTHS, MCC) is None


def test_costs_decide_without_a_threshold():
    y, p = sample(3)
    between, rule = SeveralClassDecisions(ABC), {"cost_optimal": COSTS}
    choice = between.choose_threshold(rule, [(y, p)], "observed", MCC)
    decided = np.argmin(p @ np.array(COSTS, dtype=float), axis=1)
    assert choice.threshold is None
    assert choice.value == pytest.approx(matthews_corrcoef(y, decided), abs=1e-12)
    fields = between.score(ALL, rule, None, y, p, p, True, None)
    np.testing.assert_array_equal(fields["confusion"], confusion_matrix(y, decided))


def test_the_edge_is_that_of_named_classes():
    between = SeveralClassDecisions(ABC)
    sentence = between.describe_edge((0.5, 0.01, 0.99), HUNDREDTHS)
    assert sentence == "the thresholds of 'b' and 'c' are the first or last it could be"
    assert between.describe_edge((0.5, 0.01, 0.3), HUNDREDTHS).startswith("the threshold of 'b' is the first or last")


def test_no_candidate_is_dropped_before_its_last_fold():
    y, p = sample()
    assert SeveralClassDecisions(ABC).best_reachable_value("tuned", [(y, p)], y, MCC) == math.inf


# ---------------------------------------------------------------------------------------------------- what is scored


def test_a_measure_for_two_classes_is_null_and_the_others_have_values_by_class():
    y, p = sample(4)
    fields = SeveralClassDecisions(ABC).score(ALL, 0.5, (0.5, 0.5, 0.5), y, p, p, True, None)
    scores, by_class = fields["scores"], fields["class_scores"]
    assert scores["top"] is scores["cost"] is None
    assert set(by_class) == {"recall", "precision", "f1", "pr_auc", "roc_auc"}
    for name, values in by_class.items():
        assert scores[name] == pytest.approx(np.mean(values), abs=1e-12)


def test_a_class_never_decided_for_has_no_precision_and_counts_0_in_the_mean():
    y, p = np.array([0, 1, 2, 0]), np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.5, 0.4, 0.1], [0.3, 0.6, 0.1]])
    fields = SeveralClassDecisions(ABC).score(ALL, 0.5, (0.5, 0.5, 0.5), y, p, p, True, None)
    assert fields["class_scores"]["precision"] == (0.5, 0.5, None)
    assert fields["scores"]["precision"] == pytest.approx(1 / 3)
    without_c = SeveralClassDecisions(ABC).score(ALL, 0.5, (0.5, 0.5, 0.5), y[:2], p[:2], p[:2], True, None)
    assert without_c["scores"]["recall"] is None
    assert without_c["class_scores"]["recall"] == (1.0, 1.0, None)


def test_decision_values_have_ranks_and_no_probability_measures():
    y, p = sample(5)
    d = np.log(p) * 40
    fields = SeveralClassDecisions(ABC).score(ALL, 0.5, (0.5, 0.5, 0.5), y, d, 1 / (1 + np.exp(-d)), False, None)
    assert fields["scores"]["brier"] is None
    assert 0 < fields["scores"]["pr_auc"] < 1


# ------------------------------------------------------------------------------- two classes, as if they were several


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [0.5, 0.2, 0.83])
def test_two_classes_are_scored_alike(seed, threshold):
    """(1 - t) / t times p against 1 - p is p against t, but for rounding where p is t."""
    y, p = sample(seed, shares=(0.8, 0.2))
    two, several = TwoClassDecisions(), SeveralClassDecisions(("no", "yes"))
    of_two = two.score(ALL, threshold, threshold, y, p[:, 1], p[:, 1], True, None)
    of_several = several.score(ALL, threshold, (0.5, threshold), y, p, p, True, None)
    (tn, fp), (fn, tp) = of_several["confusion"]
    assert of_two["counts"] == {"tn": tn, "fp": fp, "fn": fn, "tp": tp}
    assert of_several["scores"]["mcc"] == of_two["scores"]["mcc"]
    assert of_several["scores"]["brier"] == pytest.approx(2 * of_two["scores"]["brier"], abs=1e-12)
    for name in ("recall", "precision", "f1", "pr_auc", "roc_auc"):
        assert of_several["class_scores"][name][1] == pytest.approx(of_two["scores"][name], abs=1e-12)
    assert of_several["scores"]["roc_auc"] == pytest.approx(of_two["scores"]["roc_auc"], abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_two_tuned_classes_are_at_least_as_good_as_one_threshold(seed):
    """The first sweep sets class 0, the second class 1: together they reach what one threshold does, and ratios."""
    y, p = sample(seed, shares=(0.8, 0.2))
    two = TwoClassDecisions().choose_threshold("tuned", [(y, p[:, 1])], HUNDREDTHS, MCC)
    several = SeveralClassDecisions(("no", "yes")).choose_threshold("tuned", [(y, p)], HUNDREDTHS, MCC)
    assert several.value >= two.value - 1e-12


@pytest.mark.parametrize("weight", [None, "balanced", "power 0.5"])
def test_the_prior_correction_of_two_classes_is_that_of_several(weight):
    y, p = sample(6, shares=(0.8, 0.2))
    negative, positive = np.bincount(y).tolist()
    two = TwoClassDecisions().correct_fit(p[:, 1], y, {"negative": negative, "positive": 3 * positive}, weight)
    several = SeveralClassDecisions(("n", "y")).correct_fit(p, y, {"classes": (negative, 3 * positive)}, weight)
    np.testing.assert_allclose(several[:, 1], two, rtol=0, atol=1e-12)
    np.testing.assert_allclose(several.sum(axis=1), 1)


def test_what_a_fit_received_unchanged_needs_no_correction():
    y, p = sample(6)
    counts = tuple(np.bincount(y).tolist())
    for weight in (None, "power 0"):
        np.testing.assert_array_equal(SeveralClassDecisions(ABC).correct_fit(p, y, {"classes": counts}, weight), p)


@pytest.mark.parametrize("kind", ["sigmoid", "isotonic"])
def test_a_calibration_is_one_map_per_class_normalised(kind):
    y, p = sample(7)
    between = SeveralClassDecisions(ABC)
    found = decisions.apply_map(between.fit_map(kind, [(y[:150], p[:150]), (y[150:200], p[150:200])]), kind, p[200:])
    columns = [decisions.fit_scores(kind, p[:200, c], (y[:200] == c).astype(int))(p[200:, c]) for c in range(3)]
    expected = np.column_stack(columns)
    np.testing.assert_allclose(found, expected / expected.sum(axis=1, keepdims=True), atol=1e-12)
    folds = [(y[i::3], p[i::3]) for i in range(3)]
    held_out = decisions.cross_fit(kind, folds, 0, between.fit_map)
    np.testing.assert_array_equal(held_out[0][1], between.fit_map(kind, folds[1:])(folds[0][1]))


def test_every_class_needs_the_rows_that_isotonic_needs():
    learner, strategy = Learner("l", {}), Strategy("i", calibration="isotonic")
    y = np.repeat([0, 1, 2], [80, 60, 49])
    reason = SeveralClassDecisions(ABC).inapplicable_reason(strategy, learner, y)
    assert reason.endswith("needs 50 training rows of each class, and the outer training part holds 49 of 'c'")
    assert SeveralClassDecisions(ABC).inapplicable_reason(strategy, learner, np.append(y, 2)) is None
    forest = Learner("forest", {}, traits=LearnerTraits(rebalances=True))
    assert "rebalances" in SeveralClassDecisions(ABC).inapplicable_reason(Strategy("p", calibration="prior"), forest, y)


def test_both_implementations_have_what_the_kernel_asks():
    two, several = (
        {name for name in vars(implementation) if not name.startswith("_")}
        for implementation in (TwoClassDecisions, SeveralClassDecisions)
    )
    assert {"choose_threshold", "score"} <= two == several - {"classes"}


def test_a_map_reads_the_log_odds_of_each_column():
    _, p = sample(8)
    scores = decisions.scores_for_map(p, {"_target_": "sklearn.linear_model.LogisticRegression"})
    np.testing.assert_allclose(1 / (1 + np.exp(-scores)), p, atol=1e-12)


def test_the_class_that_a_rule_names_is_in_the_address_and_no_other_label():
    """Labels of equal rows may be exchanged: the rule then holds for another class, and its evaluations are others."""
    table = Dataset("toy", pd.DataFrame({"a": np.arange(9.0)}), np.repeat([0, 1, 2], 3), ABC, fingerprint="f")
    split = Split(0, 0, np.arange(6), np.arange(6, 9), "s")
    study = Study("s", 0, {}, (), (), (MCC,))

    def address(rule, classes):
        cell = Cell("toy", Learner("l", {"_target_": "sklearn.svm.SVC"}), Strategy("desk", threshold=rule), split)
        return design.cell_address(cell, study, replace(table, classes=classes))

    named = {"min_recall": {"class": "b", "value": 0.5}}
    assert address(named, ABC) == address(named, ("z", "b", "c")) != address(named, ("b", "a", "c"))
    assert address("tuned", ABC) == address("tuned", ("b", "a", "c"))


def test_a_matrix_of_costs_is_a_measure_of_several_classes_and_refused_for_two():
    y, p = sample(9)
    cost = measure("cost", function="costs.expected_cost", costs=COSTS)
    assert measures.function_of(cost) is not None  # what a configuration asks
    fields = SeveralClassDecisions(ABC).score((cost,), 0.5, (0.5, 0.5, 0.5), y, p, p, True, None)
    matrix = confusion_matrix(y, p.argmax(axis=1))
    assert fields["scores"]["cost"] == pytest.approx(np.sum(matrix * np.array(COSTS)) / len(y))
    study = Study("s", 0, {}, (), (), (cost,), primary="cost")
    tables = {n: Dataset("t", pd.DataFrame(), np.zeros(0, dtype=int), tuple("abcd"[:n])) for n in (2, 3, 4)}
    assert not list(decision_problems(study, tables[3]))
    (of_two,), (of_four,) = ([str(each) for each in decision_problems(study, tables[n])] for n in (2, 4))
    assert of_two.startswith("measure 'cost' has a matrix of costs, and data set 't' has 2 classes; with two classes")
    assert "a cost matrix of 4 classes is a list of 4 rows" in of_four
    assert "'measures.cost.parameters.costs=[[0,1,1,1],[1,0,1,1],[1,1,0,1],[5,5,5,0]]'" in of_four
    other = replace(study, measures=(measure("mcc"), cost), primary="mcc")
    (of_four,) = map(str, decision_problems(other, tables[4]))
    assert of_four.startswith("measure 'cost' has a matrix of costs, and data set 't' has 4 classes; a cost matrix of")
    with pytest.raises(ConfigError, match="fails on two rows"):
        measures.function_of(measure("cost", function="costs.expected_cost", costs=[[0, 1], [0]]))


def test_a_function_from_outside_is_the_mean_over_classes_against_the_rest():
    y, p = sample(10)
    ours, theirs = measure("ours", "score", "measures.average_precision"), "sklearn.metrics.average_precision_score"
    fields = SeveralClassDecisions(ABC).score(
        (ours, Measure("theirs", theirs, "score")), 0.5, (0.5, 0.5, 0.5), y, p, p, True, None
    )
    np.testing.assert_allclose(*fields["class_scores"].values(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(*fields["scores"].values(), rtol=0, atol=1e-12)


def test_a_calibration_from_outside_is_fitted_once_per_class():
    y, p = sample(11)
    between, path = SeveralClassDecisions(ABC), "sklearn.isotonic.IsotonicRegression"
    found = decisions.apply_map(between.fit_map(path, [(y, p)]), path, p)
    columns = [IsotonicRegression().fit(p[:, c], y == c).predict(p[:, c]) for c in range(3)]
    total = np.sum(columns, axis=0)
    np.testing.assert_allclose(found[:, 1], columns[1] / total, rtol=0, atol=1e-12)
