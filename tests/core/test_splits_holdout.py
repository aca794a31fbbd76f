"""Hold-out and predefined folds: the rule itself, by scikit-learn's own functions and by brute force."""

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from sklearn.model_selection import PredefinedSplit, StratifiedGroupKFold, StratifiedKFold, train_test_split

from imblab.core import classes, splits
from imblab.errors import ConfigError, DataError, ImblabError
from imblab.study import Dataset, Protocol

HOLDOUT = Protocol(test_size=0.3, inner_folds=2)


def labels(n=120, positives=30, seed=0):
    y = np.zeros(n, dtype=np.int64)
    y[np.random.default_rng(seed).permutation(n)[:positives]] = 1
    return y


def table(y, **columns):
    y = np.asarray(y, dtype=np.int64)
    classes = ("no", "yes") if y.max() == 1 else tuple(f"class_{i}" for i in range(y.max() + 1))
    if "folds" in columns:
        names, codes = np.unique(columns.pop("folds"), return_inverse=True)
        columns |= {"folds": codes.astype(np.int64), "fold_names": tuple(map(str, names))}
    return Dataset("toy", pd.DataFrame({"a": np.arange(float(len(y)))}), y, classes, **columns)


def message(data, protocol, seed=0):
    with pytest.raises(ImblabError) as said:
        splits.plan(data, protocol, seed, key=data.name)
    return str(said.value)


# Hold-out -------------------------------------------------------------------------------------------------------------


@given(
    n=st.integers(40, 200),
    share=st.floats(0.2, 0.5),
    test_size=st.sampled_from([0.1, 0.2, 0.25, 0.3, 0.5, 0.7]),
    repeats=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_a_hold_out_is_scikit_learns_own(n, share, test_size, repeats, seed):
    data = table(labels(n, max(int(n * share), 12), seed))
    protocol = Protocol(test_size=test_size, repeats=repeats, inner_folds=2)
    try:
        plan = splits.plan(data, protocol, seed)
    except DataError:  # a part has too few positives
        return
    assert [(s.repeat, s.fold) for s in plan] == [(r, 0) for r in range(repeats)]
    for r, split in enumerate(plan):
        train, test = train_test_split(np.arange(n), test_size=test_size, stratify=data.y, random_state=seed + r)
        np.testing.assert_array_equal(split.train, np.sort(train))
        np.testing.assert_array_equal(split.test, np.sort(test))
        assert sorted([*split.train, *split.test]) == list(range(n))
        own = StratifiedKFold(2, shuffle=True, random_state=seed + r).split(split.train, data.y[split.train])
        for (fit, validate), (a, b) in zip(splits.inner_pairs(data, protocol, seed, split, plan), own, strict=True):
            np.testing.assert_array_equal(fit, split.train[a])
            np.testing.assert_array_equal(validate, split.train[b])


@pytest.mark.parametrize(("test_size", "folds"), [(0.3, 3), (0.25, 4), (0.1, 10), (0.7, 2), (0.4, 2)])
def test_a_hold_out_of_groups_is_the_first_of_their_folds(test_size, folds):
    groups = np.repeat(np.arange(40), 5)
    data = table(labels(200, 60), groups=groups)
    protocol = Protocol(test_size=test_size, repeats=2, inner_folds=2)
    plan = splits.plan(data, protocol, seed=4)
    assert folds == max(2, round(1 / test_size))
    for r, split in enumerate(plan):
        cv = StratifiedGroupKFold(folds, shuffle=True, random_state=4 + r)
        train, test = next(iter(cv.split(np.zeros(200), data.y, groups)))
        np.testing.assert_array_equal(split.train, train)
        np.testing.assert_array_equal(split.test, test)
        for fit, validate in splits.inner_pairs(data, protocol, 4, split, plan):
            assert not set(groups[fit]) & set(groups[validate])
            assert not set(groups[fit]) & set(groups[split.test])


@given(
    times=st.lists(st.integers(0, 40), min_size=30, max_size=90),
    test_size=st.sampled_from(["0.1", "0.29", "0.3", "0.5", "0.7"]),
    gap=st.sampled_from([None, 0, 1, 3]),
)
def test_a_hold_out_in_time_follows_the_rule_by_brute_force(times, test_size, gap):
    when, n = np.array(times, dtype=np.float64), len(times)
    train, test = splits._latest_rows(when, np.arange(n), float(test_size), gap)
    before = [sum(u < t for u in times) for t in times]
    assert set(test) == {r for r in range(n) if before[r] >= (1 - Fraction(test_size)) * n}
    first = min((when[r] for r in test), default=None)
    assert set(train) == {r for r in set(range(n)) - set(test) if not gap or first is None or when[r] + gap <= first}
    assert (np.diff(when[train]) >= 0).all()
    assert (np.diff(when[test]) >= 0).all()


def test_a_hold_out_in_time_has_inner_windows_and_no_row_of_the_test_part():
    when = np.random.default_rng(3).permutation(200).astype(np.float64)
    data = table(labels(200, 80), time=when)
    protocol = Protocol(test_size=0.25, inner_folds=2, gap=5)
    (split,) = splits.plan(data, protocol, seed=0)
    assert sorted(when[split.test]) == list(range(150, 200))
    assert when[split.train].max() == 145
    for fit, validate in splits.inner_pairs(data, protocol, 0, split, (split,)):
        assert set(fit) | set(validate) <= set(split.train)
        assert when[fit].max() + 5 <= when[validate].min()


def test_a_share_is_meant_as_it_is_written():
    """(1 - .7) 10 is above 3 in floating point; the row with three rows before it is tested all the same."""
    _, test = splits._latest_rows(np.arange(10.0), np.arange(10), 0.7, None)
    assert test.tolist() == list(range(3, 10))


def test_hold_outs_of_more_classes_are_stratified():
    y = np.random.default_rng(1).permutation(np.repeat([0, 1, 2], [80, 40, 20]))
    (split,) = splits.plan(table(y), HOLDOUT, seed=5)
    assert np.bincount(y[split.test]).tolist() == [24, 12, 6]


def test_the_other_folds_of_a_k_fold_plan_are_those_of_before():
    """The fields of hold-out and of predefined folds change nothing where they are not used."""
    data = table(labels())
    assert splits.plan(data, Protocol(), 3)[4].fingerprint == "c005fa9acf57e3ff"


@pytest.mark.parametrize(
    ("columns", "protocol"),
    [
        ({}, Protocol(test_size=0.3, inner="shared")),
        ({"time": np.arange(120.0)}, Protocol(test_size=0.3, repeats=2)),
        ({"time": np.arange(120.0), "groups": np.arange(120)}, Protocol(test_size=0.3)),
        ({}, Protocol(test_size=0.3, gap=3)),
        ({"folds": np.arange(120) % 4}, Protocol(test_size=0.3)),
    ],
    ids=["shared", "time-repeats", "time-groups", "gap-without-time", "folds"],
)
def test_clashing_wishes_about_a_hold_out_are_refused(columns, protocol, snapshot):
    assert message(table(labels(), **columns), protocol) == snapshot


def test_all_clashes_are_said_at_once():
    columns = {"time": np.arange(120.0), "folds": np.arange(120) % 4}
    said = message(table(labels(), **columns), Protocol(test_size=0.3, inner="shared", repeats=2))
    assert "protocol.inner" in said
    assert "protocol.repeats" in said
    assert "protocol.test_size" in said
    assert "dataset.toy.time" in said


def test_a_hold_out_with_too_few_positives_names_a_share_that_would_do(snapshot):
    data, protocol = table(labels(100, 7)), Protocol(test_size=0.05, inner_folds=2)
    with pytest.raises(DataError) as said:
        splits.plan(data, protocol, seed=0, key=data.name)
    assert (str(said.value), said.value.overrides) == snapshot
    splits.plan(data, Protocol(inner_folds=2, **{k.partition(".")[2]: v for k, v in said.value.overrides.items()}), 0)


def test_a_hold_out_without_enough_positives_for_any_share(snapshot):
    assert message(table(labels(100, 3)), Protocol(test_size=0.3)) == snapshot


def test_a_hold_out_of_one_time_is_refused(snapshot):
    assert message(table(labels(), time=np.zeros(120)), HOLDOUT) == snapshot


def test_a_hold_out_of_one_group_is_refused(snapshot):
    assert message(table(labels(), groups=np.zeros(120)), HOLDOUT) == snapshot


def test_a_test_part_far_from_its_share_is_cautioned(snapshot):
    data = table(labels(200, 80), groups=np.repeat(np.arange(40), 5))
    said = classes.cautions(data, splits.plan(data, Protocol(test_size=0.9, inner_folds=2), 0), 0.9)
    assert said == snapshot
    plain = table(labels(400, 100))
    assert classes.cautions(plain, splits.plan(plain, HOLDOUT, 0), 0.3) == ()


# Predefined folds -----------------------------------------------------------------------------------------------------


@given(
    folds=st.lists(st.sampled_from(["b", "a", "d", "c"]), min_size=60, max_size=120),
    seed=st.integers(0, 5),
    inner=st.sampled_from(["own", "shared"]),
)
def test_predefined_folds_are_those_of_the_column(folds, seed, inner):
    n = len(folds)
    data = table(labels(n, n // 2, seed), folds=folds)
    protocol = Protocol(inner_folds=2, inner=inner)
    try:
        plan = splits.plan(data, protocol, seed)
    except DataError:
        return
    names = sorted(set(folds))
    assert [s.fold for s in plan] == list(range(len(names)))
    assert sorted(np.concatenate([s.test for s in plan])) == list(range(n))
    own = PredefinedSplit([names.index(f) for f in folds]).split()
    for split, name, (train, test) in zip(plan, names, own, strict=True):
        assert {folds[r] for r in split.test} == {name}
        np.testing.assert_array_equal(split.train, train)
        np.testing.assert_array_equal(split.test, test)
        pairs = splits.inner_pairs(data, protocol, seed, split, plan)
        if inner == "shared":
            assert [set(v) for _, v in pairs] == [set(s.test) for s in plan if s.fold != split.fold]
            continue
        cv = StratifiedKFold(2, shuffle=True, random_state=seed).split(train, data.y[train])
        for (fit, validate), (a, b) in zip(pairs, cv, strict=True):
            np.testing.assert_array_equal(fit, train[a])
            np.testing.assert_array_equal(validate, train[b])


def test_groups_within_predefined_folds_stay_whole_in_the_inner_folds_too():
    groups = np.repeat(np.arange(30), 4)
    data = table(labels(120, 50), folds=groups % 3, groups=groups)
    protocol = Protocol(inner_folds=2)
    plan = splits.plan(data, protocol, seed=1)
    for split in plan:
        train = split.train
        cv = StratifiedGroupKFold(2, shuffle=True, random_state=1).split(train, data.y[train], groups[train])
        for (fit, validate), (a, b) in zip(splits.inner_pairs(data, protocol, 1, split, plan), cv, strict=True):
            np.testing.assert_array_equal(fit, train[a])
            np.testing.assert_array_equal(validate, train[b])


@pytest.mark.parametrize(
    ("columns", "protocol"),
    [
        ({"folds": np.arange(120) % 4, "groups": np.arange(120) // 3}, Protocol()),
        ({"folds": np.arange(120) % 4, "time": np.arange(120.0)}, Protocol()),
        ({"folds": np.arange(120) % 4}, Protocol(repeats=3)),
        ({"folds": np.where(np.arange(120) < 7, "a", "b")}, Protocol()),
        ({"folds": np.repeat(["a", "b", "c", "d"], [100, 5, 5, 10])}, Protocol()),
    ],
    ids=["groups-span-folds", "time", "repeats", "a-fold-without-positives", "several-folds-without-positives"],
)
def test_predefined_folds_that_cannot_be_used_are_refused(columns, protocol, snapshot):
    y = np.zeros(120, dtype=np.int64)
    y[30:60] = 1
    assert message(table(y, **columns), protocol) == snapshot


def test_inner_folds_too_many_for_predefined_folds_are_lowered(snapshot):
    y = np.zeros(120, dtype=np.int64)
    y[:8] = 1
    data = table(y, folds=np.arange(120) % 4)
    with pytest.raises(DataError) as said:
        splits.plan(data, Protocol(inner_folds=9), 0, key=data.name)
    assert (str(said.value), said.value.overrides) == snapshot
    splits.plan(data, Protocol(inner_folds=said.value.overrides["protocol.inner_folds"]), 0)


def test_a_class_that_a_predefined_fold_lacks_is_named_with_what_to_do(snapshot):
    y = np.repeat([0, 1, 2], [60, 40, 20])
    data = table(y, folds=np.where(y == 2, 0, np.arange(120) % 3))
    with pytest.raises(DataError) as said:
        splits.plan(data, Protocol(inner_folds=2), 0, key=data.name)
    assert (str(said.value), said.value.overrides) == snapshot


def test_refusals_are_config_errors_where_the_question_is_wrong():
    with pytest.raises(ConfigError):
        splits.plan(table(labels(), folds=np.arange(120) % 4), Protocol(repeats=2), 0)


def test_half_of_a_row_counts_as_scikit_learn_counts_it():
    """The number of test rows is that of train_test_split, rounded up."""
    data = table(labels(101, 40))
    (split,) = splits.plan(data, Protocol(test_size=0.25, inner_folds=2), 0)
    assert len(split.test) == math.ceil(101 * 0.25)
