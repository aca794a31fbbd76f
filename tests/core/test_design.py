"""The design: the cross product, the address of a row, and what imbalanced-learn really refuses."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from imblearn.combine import SMOTEENN
from imblearn.over_sampling import ADASYN, SMOTE, SMOTEN, SMOTENC, SVMSMOTE, BorderlineSMOTE, RandomOverSampler
from imblearn.under_sampling import EditedNearestNeighbours, NearMiss, RandomUnderSampler, TomekLinks

import imblab
from imblab.core import design, splits
from imblab.core.classes import class_targets
from imblab.core.design import ClassCounts
from imblab.core.estimator_specs import with_traits
from imblab.study import Choice, Claims, Dataset, Interval, Learner, Protocol, Split, Strategy, Tuning

LOGISTIC = Learner("logistic", {"_target_": "sklearn.linear_model.LogisticRegression"}, {"C": Choice((0.1, 1.0))})
KNN = with_traits(Learner("knn", {"_target_": "sklearn.neighbors.KNeighborsClassifier"}))
SVM = with_traits(Learner("svm", {"_target_": "sklearn.svm.SVC"}))
SMOTE_TEXT = {"_target_": "imblearn.over_sampling.SMOTE", "_mixed_": {"_target_": "imblearn.over_sampling.SMOTENC"}}


def table(n=60, positives=24, **columns):
    y = np.zeros(n, dtype=np.int64)
    y[np.random.default_rng(0).permutation(n)[:positives]] = 1
    X = pd.DataFrame({"a": np.arange(float(n)), "b": pd.Categorical(["x", "y"] * (n // 2))})
    X = X if columns.get("categorical") else X[["a"]]
    return Dataset("toy", X, y, ("no", "yes"), fingerprint="toy", **columns)


@cache
def measures():
    return {m.name: m for m in imblab.compose("name=x", "dataset=[ecoli3]").measures}


@cache
def question():
    study = imblab.compose("name=x", "dataset=[ecoli3]", "protocol=smoke")
    strategies = (
        Strategy("none"),
        Strategy("smote", SMOTE_TEXT, space={"ratio": Choice((0.8, 1.0)), "k": Choice((3,))}),
    )
    return replace(study, datasets={}, learners=(LOGISTIC, KNN), strategies=strategies)


# ----------------------------------------------------------------------------------------------- the cross product


def test_the_design_is_the_cross_product_in_the_order_data_learner_split_strategy():
    study = replace(question(), protocol=Protocol(3, 2, repeats=2))
    plans = {name: splits.plan(table(), study.protocol, 0) for name in ("one", "two")}
    cells = design.expand_cells(study, plans)
    expected = [
        f"{data}/{learner}/{strategy}/{repeat}/{fold}"
        for data in ("one", "two")
        for learner in ("logistic", "knn")
        for repeat in range(2)
        for fold in range(3)
        for strategy in ("none", "smote")
    ]
    assert [cell.key for cell in cells] == expected
    assert len(set(expected)) == len(cells) == 2 * 2 * 6 * 2


def test_parts_are_the_inner_fit_parts_and_the_training_part_counted_by_rarity():
    data = table(60, 45)  # the positive class is the frequent one: a minority is the rarer class
    plan = splits.plan(data, question().protocol, 0)
    pairs = splits.inner_pairs(data, question().protocol, 0, plan[0], plan)
    found = design.fitted_parts(data, plan[0], pairs)
    assert [part.name for part in found] == ["inner fit part 0", "inner fit part 1", "the outer training part"]
    for part, rows in zip(found, [*(fit for fit, _ in pairs), plan[0].train], strict=True):
        assert (part.minority, part.majority) == ((data.y[rows] == 0).sum(), (data.y[rows] == 1).sum())


# ------------------------------------------------------------------------------------------------------ the address


def addresses(study, data=None):
    data = data or table()
    plan = splits.plan(data, study.protocol, study.seed)
    return {cell.key: design.cell_address(cell, study, data) for cell in design.expand_cells(study, {"toy": plan})}


def changed(study, which, /, **what):
    """The study with one of its strategies or learners changed."""
    swap = {s.name: s for s in (*study.strategies, *study.learners)}[which]
    other = replace(swap, **what)
    pick = lambda found: tuple(other if s is swap else s for s in found)  # noqa: E731
    return replace(study, strategies=pick(study.strategies), learners=pick(study.learners))


def test_every_cell_has_its_own_address_but_names_are_no_part_of_it():
    found = addresses(question())
    assert len(set(found.values())) == len(found)
    renamed = addresses(replace(changed(question(), "smote", name="other"), name="another study"))
    assert set(renamed.values()) == set(found.values())


@pytest.mark.parametrize(
    ("what", "moved"),
    [
        (lambda s: replace(s, claims=Claims(alpha=0.1, rope={})), ""),
        (lambda s: replace(s, strategies=(*s.strategies, Strategy("threshold", threshold="tuned"))), ""),
        (lambda s: replace(s, learners=(LOGISTIC, KNN, SVM)), ""),
        (lambda s: replace(s, strategies=s.strategies[::-1]), ""),
        (lambda s: replace(s, datasets={"table": {"kind": "bundled"}}), ""),
        (lambda s: replace(s, seed=1), "all"),
        (lambda s: replace(s, primary="f1"), "all"),
        (lambda s: replace(s, measures=s.measures[:-1]), "all"),
        (lambda s: replace(s, protocol=replace(s.protocol, inner_folds=3)), "all"),
        (lambda s: replace(s, protocol=replace(s.protocol, inner="shared")), "all"),
        (lambda s: replace(s, protocol=replace(s.protocol, thresholds=(0.5,))), "all"),
        (lambda s: replace(s, protocol=replace(s.protocol, threshold_measure="f1")), "all"),
        (lambda s: replace(s, tuning=Tuning("random", 7)), "all"),
        (lambda s: replace(s, tuning=Tuning(tune_learner=True)), "logistic"),
        (lambda s: changed(s, "knn", make={**KNN.make, "n_neighbors": 3}), "knn"),
        (lambda s: changed(s, "smote", threshold=0.4), "smote"),
        (lambda s: changed(s, "smote", weight=2.0), "smote"),
        (lambda s: changed(s, "smote", space={"ratio": Choice((0.8, 0.9)), "k": Choice((3,))}), "smote"),
        (lambda s: changed(s, "smote", space={"ratio": Choice((0.8, 1.0))}, k=3), "smote"),
        (lambda s: changed(s, "smote", sampler={"_target_": "imblearn.over_sampling.BorderlineSMOTE"}), "smote"),
    ],
)
def test_a_row_moves_only_if_something_that_may_change_it_does(what, moved):
    before, after = addresses(question()), addresses(what(question()))
    for key in before.keys() & after.keys():
        assert (before[key] != after[key]) is (moved == "all" or moved in key.split("/")), key
    assert len(before.keys() & after.keys()) == len(before)


def test_other_rows_or_another_table_are_another_address():
    before = addresses(question())
    assert not set(before.values()) & set(addresses(question(), replace(table(), fingerprint="other")).values())


# ------------------------------------------------------------------------------------------------- what does not apply


def test_barriers_are_said_in_words_whatever_the_knobs():
    mixed, numeric = table(categorical=("b",)), table()
    mcc, brier = measures()["mcc"], measures()["brier"]
    smote, adasyn = Strategy("smote", SMOTE_TEXT), Strategy("adasyn", {"_target_": "imblearn.over_sampling.ADASYN"})
    weights = (
        Strategy("w", weight=2.0),
        Strategy("w", weight="balanced"),
        Strategy("w", space={"weight": Choice((2,))}),
    )
    assert design.cell_inapplicable_reason(adasyn, LOGISTIC, numeric, mcc) is None
    assert "ADASYN measures distances" in design.cell_inapplicable_reason(adasyn, LOGISTIC, mixed, mcc)
    assert design.cell_inapplicable_reason(smote, LOGISTIC, mixed, mcc) is None
    for path in ("jit.Jitter", "imblearn.under_sampling.InstanceHardnessThreshold"):
        assert design.cell_inapplicable_reason(Strategy("s", {"_target_": path}), LOGISTIC, mixed, mcc) == (
            f"{path.rpartition('.')[2]} has no form for the categorical columns of {mixed.name!r}"
        )
    assert "SMOTE measures distances" in design.cell_inapplicable_reason(
        smote, LOGISTIC, replace(mixed, X=mixed.X[["b"]]), mcc
    )
    for weighted in weights:
        assert design.cell_inapplicable_reason(weighted, LOGISTIC, numeric, mcc) is None
        assert (
            design.cell_inapplicable_reason(weighted, KNN, numeric, mcc)
            == "the fit of learner 'knn' takes no sample_weight"
        )
    assert design.cell_inapplicable_reason(Strategy("none"), SVM, numeric, measures()["pr_auc"]) is None
    assert "gives decision values only" in design.cell_inapplicable_reason(Strategy("none"), SVM, numeric, brier)


def sample(cls, minority, majority, ratio, k=None, **more):
    """How many rows imbalanced-learn really adds or drops; None where it refuses."""
    y = np.repeat([0, 1], [majority, minority])
    X = np.random.default_rng(0).integers(0, 4, size=(len(y), 2)) + 0.5 * y[:, None]
    known = cls._get_param_names()
    neighbours = "k_neighbors" if "k_neighbors" in known else "n_neighbors"
    knobs = {"sampling_strategy": ratio} | ({} if k is None else {neighbours: k})
    random = {"random_state": 0} if "random_state" in known else {}
    try:
        _, found = cls(**knobs, **random, **more).fit_resample(X, y)
    except ValueError:
        return None
    return abs(len(found) - len(y))


def obstacle(cls, minority, majority, ratio, k=None):
    params = {"ratio": ratio} | ({} if k is None else {"k": k})
    text = {"_target_": f"{cls.__module__.rsplit('._', 1)[0]}.{cls.__name__}"}
    return design.candidate_inapplicable_reason(
        params, text, [ClassCounts("the outer training part", (majority, minority))]
    )


counts = {"minority": st.integers(2, 25), "more": st.integers(0, 100)}
fractions = st.builds(lambda a, b: min(a, b) / max(a, b), st.integers(1, 125), st.integers(1, 125))
ratios = {"ratio": st.one_of(fractions, st.floats(0.01, 1.0), st.sampled_from([0.1, 0.25, 0.5, 1.0]))}
# The sizes of a part are often in the very ratio that is asked for: the boundary is what the law is about.
here = {"at": st.booleans()}


@given(**counts, **ratios, **here)
def test_random_over_sampling_is_inapplicable_exactly_where_imbalanced_learn_makes_no_row(minority, more, ratio, at):
    majority = minority + more
    ratio = minority / majority if at else ratio
    real = sample(RandomOverSampler, minority, majority, ratio)
    assert (obstacle(RandomOverSampler, minority, majority, ratio) is None) == bool(real)
    assert real is None or real >= 1


@given(**counts, **ratios, **here)
def test_random_under_sampling_is_inapplicable_exactly_where_imbalanced_learn_drops_no_row(minority, more, ratio, at):
    majority = minority + more
    ratio = minority / majority if at else ratio
    real = sample(RandomUnderSampler, minority, majority, ratio)
    assert (obstacle(RandomUnderSampler, minority, majority, ratio) is None) == bool(real)


@given(**counts, **ratios, **here, k=st.integers(1, 27))
@pytest.mark.parametrize(("cls", "more_knobs"), [(SMOTE, {}), (SMOTENC, {"categorical_features": [1]}), (SMOTEN, {})])
def test_smote_is_inapplicable_exactly_where_imbalanced_learn_refuses(cls, more_knobs, minority, more, ratio, at, k):
    majority = minority + more
    ratio = minority / majority if at else ratio
    real = sample(cls, minority, majority, ratio, k, **more_knobs)
    assert (obstacle(cls, minority, majority, ratio, k) is None) == bool(real)


@settings(max_examples=50)
@given(**counts, **ratios, k=st.integers(1, 27))
@pytest.mark.parametrize("cls", [BorderlineSMOTE, SVMSMOTE, ADASYN])
@pytest.mark.filterwarnings("ignore")
def test_what_is_called_inapplicable_would_have_made_no_row(cls, minority, more, ratio, k):
    """These may find nothing to do elsewhere too: that is a failed fit with its reason."""
    if obstacle(cls, minority, minority + more, ratio, k) is not None:
        assert not sample(cls, minority, minority + more, ratio, k)


@given(**counts, **ratios, k=st.integers(1, 27))
def test_near_miss_works_wherever_it_is_applicable(minority, more, ratio, k):
    if obstacle(NearMiss, minority, minority + more, ratio, k) is None:
        assert sample(NearMiss, minority, minority + more, ratio, k) >= 1


def test_a_combination_is_judged_as_the_over_sampler_inside_it():
    assert "ratio=0.2" in obstacle(SMOTEENN, 20, 100, 0.2, 5)
    assert "k=20" in obstacle(SMOTEENN, 20, 100, 0.5, 20)
    assert obstacle(SMOTEENN, 20, 100, 0.5, 19) is None


def test_the_first_part_that_a_candidate_does_not_suit_is_named_with_its_numbers():
    parts = [
        ClassCounts("inner fit part 0", (100, 12)),
        ClassCounts("inner fit part 1", (100, 11)),
        ClassCounts("the outer training part", (90, 20)),
    ]
    assert design.candidate_inapplicable_reason({"ratio": 0.5, "k": 5}, SMOTE_TEXT, parts) is None
    said = design.candidate_inapplicable_reason({"ratio": 0.5, "k": 11}, SMOTE_TEXT, parts)
    assert said == "k=11 needs more than 11 minority rows, and inner fit part 1 holds 11"
    said = design.candidate_inapplicable_reason({"ratio": 0.2, "k": 5}, SMOTE_TEXT, parts)
    assert said.startswith("ratio=0.2 is")
    assert "0.222 (20 to 90 rows)" in said
    assert said.endswith("the outer training part")


def test_without_a_sampler_nothing_stands_in_the_way():
    assert design.candidate_inapplicable_reason({"weight": 5}, None, [ClassCounts("inner fit part 0", (3, 2))]) is None
    assert design.candidate_inapplicable_reason({}, SMOTE_TEXT, [ClassCounts("inner fit part 0", (3, 2))]) is None
    searched = Strategy("s", SMOTE_TEXT, space={"k": Interval(1, 9, integer=True)})
    assert design.cell_inapplicable_reason(searched, LOGISTIC, table(), measures()["mcc"]) is None


LABELS = ("cyt", "nuc", "mit", "erl")


def several(sampler, *rows, **params):
    """The reason for a candidate in a part with these rows of four classes."""
    text = {"_target_": f"{sampler.__module__.rsplit('._', 1)[0]}.{sampler.__name__}"}
    return design.candidate_inapplicable_reason(params, text, [ClassCounts("inner fit part 1", rows, LABELS)])


@pytest.mark.parametrize("sampler", [SMOTE, BorderlineSMOTE, SVMSMOTE, ADASYN, RandomOverSampler, SMOTEENN])
def test_with_more_classes_a_ratio_applies_where_it_raises_any_class(sampler):
    assert several(sampler, 90, 40, 20, 12, ratio=0.2) is None
    assert several(sampler, 90, 40, 20, 12, ratio=0.14) == (
        "ratio=0.14 adds no row: the ratio of 'erl' to 'cyt' is 0.133 (12 to 90 rows) in inner fit part 1"
    )
    assert several(sampler, 20, 20, 20, 20, ratio=1.0) is not None


@pytest.mark.parametrize("sampler", [RandomUnderSampler, NearMiss])
def test_with_more_classes_a_ratio_applies_where_it_cuts_any_class(sampler):
    assert several(sampler, 90, 40, 20, 12, ratio=0.14) is None
    assert several(sampler, 12, 40, 20, 90, ratio=0.13) == (
        "ratio=0.13 drops no row: the ratio of 'cyt' to 'erl' is 0.133 (12 to 90 rows) in inner fit part 1"
    )


@pytest.mark.parametrize("sampler", [SMOTE, SMOTENC, ADASYN, SMOTEENN, NearMiss])
def test_with_more_classes_k_is_below_the_rarest_that_is_raised_and_the_reason_names_it(sampler):
    assert several(sampler, 90, 40, 20, 12, ratio=0.5, k=11) is None
    assert several(sampler, 90, 12, 20, 40, ratio=0.5, k=12) == (
        "k=12 needs more than 12 rows of class 'nuc', and inner fit part 1 holds 12"
    )
    assert several(sampler, 90, 12, 12, 40, k=12).count("'mit'") == 1  # the last of equals


def test_with_more_classes_cleaning_has_no_ratio_and_searches_among_all_rows():
    assert several(TomekLinks, 90, 40, 20, 2, ratio=0.01) is None
    assert several(EditedNearestNeighbours, 90, 40, 20, 2, k=3) is None


@given(
    rows=st.lists(st.integers(2, 30), min_size=3, max_size=5),
    ratio=st.floats(0.01, 1) | st.sampled_from([0.25, 0.5, 1.0]),
    k=st.integers(1, 32),
)
def test_with_more_classes_smote_is_inapplicable_exactly_where_imbalanced_learn_refuses_or_makes_no_row(rows, ratio, k):
    y = np.repeat(np.arange(len(rows)), rows)
    X = np.random.default_rng(0).normal(size=(len(y), 2))
    counts = ClassCounts("the outer training part", tuple(rows), (*LABELS, "pox"))
    asked = class_targets(rows, ratio, "over-sampling")
    try:
        _, found = SMOTE(sampling_strategy=asked, k_neighbors=k, random_state=0).fit_resample(X, y)
        works = len(found) > len(y)
    except ValueError:
        works = False
    reason = design.candidate_inapplicable_reason({"ratio": ratio, "k": k}, SMOTE_TEXT, [counts])
    assert (reason is None) == works


@pytest.mark.parametrize("weight", [2, 7.5])
def test_a_number_as_a_weight_is_for_two_classes_and_a_rule_for_any_number(weight):
    two, four = ClassCounts("inner fit part 0", (40, 10)), ClassCounts("inner fit part 0", (40, 10, 8, 6), LABELS)
    assert design.candidate_inapplicable_reason({"weight": weight}, None, [two]) is None
    reason = design.candidate_inapplicable_reason({"weight": weight}, SMOTE_TEXT, [four])
    assert reason == (
        "a plain weight is that of a positive row, and there are 4 classes; weigh them by balanced or {power: 0.5}"
    )
    for rule in ("balanced", "power 0.5", None):
        assert design.candidate_inapplicable_reason({"weight": rule}, None, [four]) is None


def test_parts_of_several_classes_count_each_of_them():
    data = replace(table(), y=np.arange(60) % 4, classes=LABELS)
    split = Split(0, 0, np.arange(40), np.arange(40, 60), "f")
    parts = design.fitted_parts(data, split, [(np.arange(0, 40, 4), np.arange(1, 40, 4))])
    assert [part.counts for part in parts] == [(10, 0, 0, 0), (10, 10, 10, 10)]
    assert {part.classes for part in parts} == {LABELS}


def test_a_ratio_just_above_the_present_one_is_not_called_at_or_below_it():
    said = design.candidate_inapplicable_reason(
        {"ratio": 0.205}, SMOTE_TEXT, [ClassCounts("the outer training part", (100, 20))]
    )
    assert said is not None
    assert "at or below the ratio 0.2 " not in said
