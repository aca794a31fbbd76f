"""Splits: the rule itself, by scikit-learn's own splitters and by brute force."""

import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from imblab.core import classes, group_folds, splits
from imblab.core.classes import number_classes
from imblab.core.group_folds import assign_group_folds
from imblab.errors import ConfigError, DataError
from imblab.study import Dataset, Protocol


def table(y, **columns):
    y = np.asarray(y, dtype=np.int64)
    return Dataset("toy", pd.DataFrame({"a": np.arange(float(len(y)))}), y, ("no", "yes"), **columns)


def labels(n=120, positives=30, seed=0):
    y = np.zeros(n, dtype=np.int64)
    y[np.random.default_rng(seed).permutation(n)[:positives]] = 1
    return y


def test_outer_and_inner_splits_are_scikit_learns_own():
    data, protocol = table(labels()), Protocol(outer_folds=4, inner_folds=3, repeats=2)
    plan = splits.plan(data, protocol, seed=7)
    for repeat in range(2):
        outer = StratifiedKFold(4, shuffle=True, random_state=7 + repeat)
        for fold, (train, test) in enumerate(outer.split(np.zeros(120), data.y)):
            split = plan[repeat * 4 + fold]
            np.testing.assert_array_equal(split.train, train)
            np.testing.assert_array_equal(split.test, test)
            own = StratifiedKFold(3, shuffle=True, random_state=7 + repeat).split(train, data.y[train])
            for (fit, validate), (a, b) in zip(splits.inner_pairs(data, protocol, 7, split, plan), own, strict=True):
                np.testing.assert_array_equal(fit, train[a])
                np.testing.assert_array_equal(validate, train[b])


def test_groups_never_straddle_and_follow_scikit_learn():
    groups = np.repeat(np.arange(30), 4)
    data, protocol = table(labels(), groups=groups), Protocol(outer_folds=3, inner_folds=2)
    plan = splits.plan(data, protocol, seed=1)
    expected = StratifiedGroupKFold(3, shuffle=True, random_state=1).split(np.zeros(120), data.y, groups)
    for split, (train, test) in zip(plan, expected, strict=True):
        np.testing.assert_array_equal(split.test, test)
        np.testing.assert_array_equal(split.train, train)
        for fit, validate in splits.inner_pairs(data, protocol, 1, split, plan):
            assert not set(groups[fit]) & set(groups[validate])


def test_a_message_numbers_no_shared_inner_folds():
    with pytest.raises(DataError, match="too small for 5 outer folds that serve as inner folds too: "):
        splits.plan(table(labels(positives=3)), Protocol(outer_folds=5, inner="shared"), seed=0)
    with pytest.raises(DataError, match="too small for 6 outer x 3 inner folds: "):
        splits.plan(table(labels(positives=3)), Protocol(outer_folds=6), seed=0)


def test_shared_inner_folds_are_the_other_outer_folds():
    data, protocol = table(labels()), Protocol(outer_folds=4, inner="shared", repeats=2)
    plan = splits.plan(data, protocol, seed=3)
    for split in plan:
        others = [s for s in plan if s.repeat == split.repeat and s.fold != split.fold]
        for other, (fit, validate) in zip(others, splits.inner_pairs(data, protocol, 3, split, plan), strict=True):
            np.testing.assert_array_equal(validate, other.test)
            assert set(fit) == set(range(120)) - set(split.test) - set(other.test)
            assert (np.diff(fit) > 0).all()


@given(
    times=st.lists(st.integers(0, 40), min_size=80, max_size=120),
    gap=st.sampled_from([None, 0, 1, 3]),
    folds=st.integers(2, 4),
)
def test_time_blocks_follow_the_rule_by_brute_force(times, gap, folds):
    when = np.array(times, dtype=np.float64)
    pairs = splits._windows(when, np.arange(len(when)), folds, gap)
    n = len(when)
    block = [sum(u < t for u in when) * (folds + 1) // n for t in when]
    for i, (train, test) in enumerate(pairs, start=1):
        assert set(test) == {r for r in range(n) if block[r] == i}
        first = min((when[r] for r in test), default=None)
        assert set(train) == {
            r for r in range(n) if block[r] < i and (not gap or first is None or when[r] + gap <= first)
        }
        assert (np.diff(when[train]) >= 0).all()
        if len(train) and len(test):
            assert when[train].max() + (gap or 0) <= when[test].min()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("gap", ["7D", "7d", "168h", "168H", "7 days"])
def test_every_spelling_of_a_duration_is_read_without_a_warning(gap):
    when = np.arange("2024-01-01", "2024-03-01", dtype="datetime64[D]").astype("datetime64[ns]")
    pairs, expected = (splits._windows(when, np.arange(len(when)), 3, each) for each in (gap, "7D"))
    assert [pair[0].tolist() for pair in pairs] == [pair[0].tolist() for pair in expected]


def test_time_ordered_inner_splits_keep_the_gap_too():
    when = np.arange("2020-01-01", "2020-07-19", dtype="datetime64[D]").astype("datetime64[ns]")
    rng = np.random.default_rng(0)
    data = table(rng.integers(0, 2, len(when)), time=when[rng.permutation(len(when))])
    protocol = Protocol(outer_folds=3, inner_folds=2, gap="5D")
    plan = splits.plan(data, protocol, seed=0)
    assert len(plan) == 3
    gap = np.timedelta64(5, "D")
    for split in plan:
        assert data.time[split.train].max() + gap <= data.time[split.test].min()
        for fit, validate in splits.inner_pairs(data, protocol, 0, split, plan):
            assert data.time[fit].max() + gap <= data.time[validate].min()
            assert set(fit) | set(validate) <= set(split.train)


@given(n=st.integers(60, 200), share=st.floats(0.2, 0.5), folds=st.integers(2, 5), seed=st.integers(0, 9))
def test_every_row_is_judged_once_a_repeat_and_never_by_itself(n, share, folds, seed):
    data = table(labels(n, int(n * share), seed))
    plan = splits.plan(data, Protocol(outer_folds=folds, inner_folds=2), seed)
    assert sorted(np.concatenate([s.test for s in plan])) == list(range(n))
    assert all(not set(s.train) & set(s.test) for s in plan)


def test_too_few_positives_are_refused_with_the_number_that_would_do(snapshot):
    with pytest.raises(DataError) as said:
        splits.plan(table(labels(100, 7)), Protocol(outer_folds=8, inner_folds=2), seed=0)
    assert str(said.value) == snapshot
    splits.plan(table(labels(100, 7)), Protocol(outer_folds=7, inner_folds=2), seed=0)


def test_a_table_that_no_number_of_folds_can_serve(snapshot):
    with pytest.raises(DataError) as said:
        splits.plan(table(labels(100, 3)), Protocol(), seed=0)
    assert str(said.value) == snapshot


@pytest.mark.parametrize(
    ("columns", "protocol"),
    [
        ({"time": np.arange(120.0)}, Protocol(repeats=2)),
        ({"time": np.arange(120.0)}, Protocol(inner="shared")),
        ({"time": np.arange(120.0), "groups": np.arange(120)}, Protocol()),
        ({}, Protocol(gap=3)),
        ({"time": np.arange(120.0)}, Protocol(gap="30D")),
        ({"time": np.arange(120).astype("datetime64[D]")}, Protocol(gap="soon")),
        ({"time": np.arange(120).astype("datetime64[D]")}, Protocol(gap=5)),
    ],
    ids=[
        "repeats",
        "shared",
        "groups",
        "gap-without-time",
        "gap-not-a-number",
        "gap-not-a-duration",
        "gap-without-unit",
    ],
)
def test_clashing_wishes_about_time_are_refused(columns, protocol, snapshot):
    with pytest.raises(ConfigError) as said:
        splits.plan(table(labels(), **columns), protocol, seed=0, key="toy")
    assert str(said.value) == snapshot


def test_positives_that_come_late_are_not_helped_by_more_of_them():
    data = table(np.arange(120) >= 90, time=np.arange(120.0))
    with pytest.raises(DataError, match=r"0 positive .* folds follow the time, .* or set dataset\.toy\.time=null if"):
        splits.plan(data, Protocol(), seed=0, key=data.name)


def test_cautions_name_the_numbers():
    few = table(labels(200, 15))
    said = classes.cautions(few, splits.plan(few, Protocol(), seed=0))
    assert len(said) == 2
    assert "3 positives" in said[0]
    assert "12 positives" in said[1]
    many = table(labels(400, 100))
    assert classes.cautions(many, splits.plan(many, Protocol(), seed=0)) == ()


def reference(y, groups, folds, state):
    found = np.full(len(y), -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        pairs = StratifiedGroupKFold(folds, shuffle=True, random_state=state).split(np.zeros(len(y)), y, groups)
        for fold, (_, test) in enumerate(pairs):
            found[test] = fold
    return found


@given(
    seed=st.integers(0, 2**31 - 1),
    rows=st.integers(6, 200),
    distinct=st.integers(1, 60),
    classes=st.integers(2, 12),
    folds=st.integers(2, 12),
    rare=st.floats(0.01, 0.5),
)
def test_the_folds_are_those_of_scikit_learn(seed, rows, distinct, classes, folds, rare):
    random = np.random.default_rng(seed)
    y = np.where(random.random(rows) < rare, random.integers(1, classes, rows), 0)
    groups = random.integers(0, distinct, rows) * 3 - 7
    state = seed % 1000
    if folds > len(np.unique(groups)):  # scikit-learn refuses it from 1.9 on
        with pytest.raises(ValueError, match=r"number of (groups|members)"):
            assign_group_folds(y, groups, folds, state)
        return
    try:
        expected = reference(y, groups, folds, state)
    except ValueError:
        with pytest.raises(ValueError):
            assign_group_folds(y, groups, folds, state)
        return
    np.testing.assert_array_equal(assign_group_folds(y, groups, folds, state), expected)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_ties_fall_as_in_scikit_learn(size):
    """Groups of equal counts: every choice of a fold is a tie that rounding may break."""
    y = np.tile([0] * 7 * size + [1] * size, 30)
    groups = np.arange(len(y)) // size
    for folds in (2, 3, 5, 10):
        np.testing.assert_array_equal(assign_group_folds(y, groups, folds, 1), reference(y, groups, folds, 1))


def test_an_assignment_is_made_once(monkeypatch):
    y, groups = np.arange(40) % 2, np.arange(40) // 4
    first = assign_group_folds(y, groups, 4, 77)
    monkeypatch.setattr(group_folds, "_assign_groups", None)
    assert assign_group_folds(y, groups, 4, 77) is first


# More than two classes ------------------------------------------------------------------------------------------------


def many(*rows, **columns):
    """A table with so many rows of each class, shuffled."""
    y = np.random.default_rng(3).permutation(np.repeat(np.arange(len(rows)), rows))
    names = tuple(f"class_{i}" for i in range(len(rows)))
    return Dataset("toy", pd.DataFrame({"a": np.arange(float(len(y)))}), y.astype(np.int64), names, **columns)


def test_splits_of_more_classes_are_those_of_scikit_learn():
    data, protocol = many(60, 30, 15, 12), Protocol(outer_folds=4, inner_folds=3, repeats=2)
    plan = splits.plan(data, protocol, seed=7)
    for repeat in range(2):
        folds = StratifiedKFold(4, shuffle=True, random_state=7 + repeat).split(data.X, data.y)
        for split, (train, test) in zip(plan[4 * repeat :], folds, strict=False):
            np.testing.assert_array_equal(split.train, train)
            np.testing.assert_array_equal(split.test, test)
            inner = StratifiedKFold(3, shuffle=True, random_state=7 + repeat).split(train, data.y[train])
            pairs = splits.inner_pairs(data, protocol, 7, split, plan)
            for (fit, validate), (a, b) in zip(pairs, inner, strict=True):
                np.testing.assert_array_equal(fit, train[a])
                np.testing.assert_array_equal(validate, train[b])


@given(
    rows=st.lists(st.integers(1, 14), min_size=3, max_size=6),
    outer=st.integers(2, 5),
    inner=st.integers(2, 4),
    how=st.sampled_from(["plain", "groups", "time", "shared"]),
    seed=st.integers(0, 5),
)
def test_a_plan_of_more_classes_has_every_class_in_every_part_or_is_refused(rows, outer, inner, how, seed):
    """What is said to do does, and what was planned has each class in every part, two rows of it in every fit part."""
    rows = sorted(rows, reverse=True)
    n = sum(rows)
    columns = {"groups": {"groups": np.arange(n) % max(n // 2, 1)}, "time": {"time": np.arange(float(n))}}.get(how, {})
    protocol = Protocol(outer_folds=outer, inner_folds=inner, inner="shared" if how == "shared" else "own")
    data = many(*rows, **columns)
    try:
        plan = splits.plan(data, protocol, seed, key=data.name)
    except DataError as error:
        for key, value in error.overrides.items():
            section, _, name = key.rpartition(".")
            if section == "protocol":
                protocol = replace(protocol, **{name: value})
            else:
                assert name == "merge"
                (together,) = value.values()
                left = ["other" if data.classes[c] in together else data.classes[c] for c in data.y]
                classes = number_classes(Counter(left))
                data = replace(data, y=np.array([classes.index(label) for label in left]), classes=classes)
        if not error.overrides:
            return
        plan = splits.plan(data, protocol, seed)
    n_classes = len(data.classes)
    for split in plan:
        pairs = splits.inner_pairs(data, protocol, seed, split, plan)
        for part in (split.test, *(validate for _, validate in pairs)):
            assert np.bincount(data.y[part], minlength=n_classes).min() >= 1
        for part in (split.train, *(fit for fit, _ in pairs)):
            assert np.bincount(data.y[part], minlength=n_classes).min() >= (2 if n_classes > 2 else 1)


REFUSED = {
    "fewer-folds": (many(60, 40, 7), Protocol(outer_folds=10)),
    "more-inner-folds": (many(60, 40, 5), Protocol(outer_folds=3, inner_folds=2)),
    "merge-with-the-next": (many(60, 40, 20, 2), Protocol()),
    "two-small-ones": (many(60, 40, 3, 2), Protocol()),
    "merged-before": (replace(many(60, 40, 3, 2), merged={"class_2": ("x", "y")}, dropped_classes=("z",)), Protocol()),
    "nothing-does": (many(8, 1, 1), Protocol()),
}


def test_a_table_in_memory_is_answered_with_arguments():
    data, protocol = REFUSED["merged-before"]
    with pytest.raises(DataError) as said:
        splits.plan(data, protocol, seed=0)
    assert "dataset." not in str(said.value)
    assert not said.value.overrides
    assert str(said.value).endswith(
        "Merge classes: merge={'class_2': [], 'other': ['x', 'y', 'class_3']}. Or leave out classes: "
        "drop_classes=['z', 'x', 'y', 'class_3'], merge={'class_2': []}."
    )


@pytest.mark.parametrize("what", REFUSED)
def test_classes_with_too_few_rows_are_named_with_what_to_do(what, snapshot):
    data, protocol = REFUSED[what]
    with pytest.raises(DataError) as said:
        splits.plan(data, protocol, seed=0, key=data.name)
    assert (str(said.value), said.value.overrides) == snapshot


def test_a_caution_on_more_classes_is_one_line_with_all_of_them(snapshot):
    data = many(200, 60, 40, 20)
    (said,) = classes.cautions(data, splits.plan(data, Protocol(), seed=0))
    assert said == snapshot
    enough = many(200, 60, 50)
    assert classes.cautions(enough, splits.plan(enough, Protocol(), seed=0)) == ()


def test_two_classes_need_one_negative_row_where_more_need_two_of_each():
    """Rule 10 for two classes: two positives in a fit part, one row of the other class."""
    y = np.zeros(12, dtype=np.int64)
    y[:9] = 1
    pair = Dataset("toy", pd.DataFrame({"a": np.arange(12.0)}), y, ("no", "yes"))
    splits.plan(pair, Protocol(outer_folds=3, inner_folds=2), seed=0)
    more = replace(pair, y=np.where(np.arange(12) < 3, 2, np.arange(12) % 2), classes=("a", "b", "c"))
    with pytest.raises(DataError, match=r"holds 1 row of 'c'"):
        splits.plan(more, Protocol(outer_folds=3, inner_folds=2), seed=0, key=more.name)
