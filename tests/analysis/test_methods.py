"""The methods paragraph says what the configuration says, and nothing it does not."""

from dataclasses import replace

import pytest

from imblab.analysis import methods
from imblab.commands import python_runs


@pytest.fixture(scope="module")
def study():
    return python_runs.compose("experiment=quickstart")


def test_the_question_names_what_isolates_resampling(study):
    said = methods.describe_question(study)
    assert said.startswith("On yeast6, hypothyroid and page_blocks0 with lightgbm: does resampling help by MCC")
    alone = tuple(s for s in study.strategies if s.name in ("none", "class_weight"))
    assert "how do none and class_weight compare by MCC" in methods.describe_question(replace(study, strategies=alone))


def test_paragraphs_follow_the_configuration(study):
    said = " ".join(methods.describe_methods(study))
    assert "5-fold nested cross-validation, repeated 3 times, stratified and shuffled with random state 0 + r" in said
    assert "SMOTE (ratio of 0.1, 0.25, 0.5, 1, k of 3, 5), tuned threshold" in said
    assert "every candidate of the grid was tried" in said
    assert "alpha 0.05" in said
    assert "Primary, a strategy that resamples and its counterpart that does not: smote_threshold − threshold." in said
    assert "Secondary: threshold − none, class_weight − none, smote − none and smote_threshold − none." in said
    assert "expected difference in MCC over training sets of this size from this population" in said
    assert "over the primary contrasts, and over the secondary ones, of a data set and learner" in said
    assert "equivalent within ±0.02 when two one-sided tests" in said


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["protocol=repeated_5x5x3"], "cross-validation, repeated 5 times, stratified"),
        (["protocol.inner=shared"], "The other outer folds served as inner folds"),
        (["search=tpe", "search.n_trials=7"], "7 candidates were proposed by the tree-structured Parzen estimator"),
        (["search=random", "search.n_trials=7", "search.tune_learner=true"], "Knobs and parameters of the learners"),
        (["primary=pr_auc"], "by the inner PR-AUC, averaged over the inner validation folds"),
        (["primary=pr_auc"], "that maximised MCC over the summed inner counts"),
        (["dataset.hypothyroid.rare={min_rows:20}"], "were made one level (hypothyroid: 20 rows)"),
        (["primary=recall"], "The primary measure was recall"),
    ],
)
def test_what_is_asked_otherwise_is_said_otherwise(overrides, expected):
    assert expected in " ".join(methods.describe_methods(python_runs.compose("experiment=quickstart", *overrides)))


def test_a_loss_is_minimised_by_a_tuned_threshold():
    loss = python_runs.compose("experiment=quickstart", "primary=expected_cost", "measures=[mcc,expected_cost]")
    assert "that minimised expected cost over the summed" in " ".join(methods.describe_methods(loss))


def test_folds_without_repeats_are_not_called_repeated():
    once = python_runs.compose("experiment=quickstart", "protocol=nested_5x3")
    said = " ".join(methods.describe_methods(once))
    assert "5-fold nested cross-validation, stratified and shuffled" in said
    assert "repeated" not in said


def test_without_a_region_nothing_is_called_equivalent(study):
    said = " ".join(methods.describe_methods(replace(study, claims=replace(study.claims, rope={}))))
    assert "equivalent" not in said
