"""Labels into classes: how they are numbered, merged and left out, and which columns hold no classes."""

import datetime
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from imblab.edges import datasets
from imblab.errors import DataError

SITES = {"cyt": 30, "nuc": 20, "mit": 12, "pox": 12, "vac": 6}


def table(rows=SITES, seed=0, **columns):
    """A number and a label, with so many rows of each, shuffled."""
    left = [label for label, n in rows.items() for _ in range(n)]
    frame = pd.DataFrame({"a": np.arange(float(len(left))), "left": pd.Series(left, dtype=object), **columns})
    return frame.sample(frac=1, random_state=seed).reset_index(drop=True)


def read(frame, key=None, **how):
    return datasets.dataset(frame, "left", name="churn", key=key, **how)


def rows_of(data):
    return dict(zip(data.classes, np.bincount(data.y, minlength=len(data.classes)).tolist(), strict=True))


def message(frame, **how):
    with pytest.raises(DataError) as said:
        read(frame, **how)
    return said.value


# Numbering ------------------------------------------------------------------------------------------------------------


def test_classes_are_numbered_by_falling_frequency_and_ties_by_label():
    data = read(table())
    assert rows_of(data) == SITES
    assert data.classes == ("cyt", "nuc", "mit", "pox", "vac")
    assert data.y.dtype == np.int64
    assert [data.classes[c] for c in data.y] == table().left.tolist()


@given(
    rows=st.dictionaries(st.text("ab1", min_size=1, max_size=3), st.integers(2, 9), min_size=3, max_size=6),
    seed=st.integers(0, 99),
)
def test_the_numbers_of_classes_do_not_depend_on_the_order_of_rows(rows, seed):
    data, other = read(table(rows)), read(table(rows, seed))
    assert data.classes == other.classes
    assert rows_of(data) == rows_of(other) == rows
    by_row = dict(zip(data.X.a, data.y, strict=True))
    assert [by_row[a] for a in other.X.a] == other.y.tolist()


KINDS = {
    "text": ("low", "middle", "high"),
    "digits": ("10", "9", "x"),
    "integers": (10, 9, -1),
    "numbers": (2.5, 1.0, 0.1),
    "dates": tuple(pd.to_datetime(["2024-01-31", "2024-02-29", "2024-03-31"])),
    "days": tuple(datetime.date(2024, month, 1) for month in (1, 2, 3)),
    "mixed": (1, "two", 3.5),
    "bytes-as-text": ("b'1'", "b'2'", "b'3'"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_any_kind_are_known_by_their_text(kind):
    first, second, third = KINDS[kind]
    data = read(table({second: 20, third: 10, first: 30}))
    assert np.bincount(data.y).tolist() == [30, 20, 10]
    assert data.classes == tuple(str(int(v)) if v == 1.0 else str(v) for v in (first, second, third))
    assert data.fingerprint == read(table({"b": 20, "c": 10, "a": 30})).fingerprint
    assert np.bincount(read(table({second: 20, third: 10, first: 30}), drop_classes=[data.classes[1]]).y).tolist() == [
        30,
        10,
    ]


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet", ".xlsx", ".feather"])
def test_files_of_every_format_have_the_same_classes(ending, tmp_path):
    frame = table({1: 30, 2: 20, 3: 10}).astype({"left": int})
    path = tmp_path / f"t{ending}"
    if ending.startswith(".csv"):
        frame.to_csv(path, index=False)
    else:
        getattr(frame, {".parquet": "to_parquet", ".xlsx": "to_excel", ".feather": "to_feather"}[ending])(
            path, **({"index": False} if ending == ".xlsx" else {})
        )
    spec = {"kind": "table", "path": str(path), "target": "left", "merge": {"few": [2, "3"]}, "positive": "few"}
    assert datasets.read_dataset({**spec, "merge": None, "positive": None}, "t").classes == ("1", "2", "3")
    spec["allow_majority_positive"] = True
    assert rows_of(datasets.read_dataset(spec, "t")) == {"1": 30, "few": 30}


def test_two_classes_are_numbered_as_ever_whatever_was_merged():
    """The rarer one is positive; of equals the last label, in the order of numbers and then of texts."""
    assert read(table({"yes": 6, "no": 30})).classes == ("no", "yes")
    assert read(table({9: 10, 10: 10})).classes == ("9", "10")
    assert read(table({"yes": 6, "no": 30, "maybe": 6}), drop_classes="maybe").classes == ("no", "yes")
    assert read(table({"yes": 6, "no": 20, "maybe": 6}), merge={"not no": ["yes", "maybe"]}).classes == ("no", "not no")
    data = read(table({"yes": 6, "no": 20, "maybe": 20}), merge={"rest": ["no", "maybe"]}, positive="yes")
    assert rows_of(data) == {"rest": 40, "yes": 6}


# Merging and dropping -------------------------------------------------------------------------------------------------


@given(data=st.data(), seed=st.integers(0, 9))
def test_merged_and_dropped_labels_give_the_table_that_was_written_so(data, seed):
    """``merge`` is renaming, ``drop_classes`` is filtering, of the file itself."""
    labels = list(SITES)
    dropped = data.draw(st.lists(st.sampled_from(labels), max_size=2, unique=True))
    members = data.draw(st.lists(st.sampled_from([s for s in labels if s not in dropped]), max_size=2, unique=True))
    name = data.draw(st.sampled_from(["other", "zzz", *members]))
    frame = table(seed=seed)
    written = frame[~frame.left.isin(dropped)].replace({"left": dict.fromkeys(members, name)})
    expected = read(written.reset_index(drop=True))
    regrouped = read(frame, merge={name: members} if members else None, drop_classes=dropped)
    assert regrouped.classes == expected.classes
    assert regrouped.fingerprint == expected.fingerprint
    np.testing.assert_array_equal(regrouped.y, expected.y)
    pd.testing.assert_frame_equal(regrouped.X, expected.X)
    assert sorted(regrouped.dropped_classes) == sorted(dropped)
    assert {key: sorted(value) for key, value in regrouped.merged.items()} == (
        {name: sorted(members)} if members else {}
    )


def test_rows_that_are_left_out_leave_every_role_and_level():
    frame = table()
    frame = frame.assign(
        team=np.arange(len(frame)) % 9,
        paid=np.where(frame.left == "vac", np.nan, 1.5),
        day=[None if left == "vac" else "2024-01-31" for left in frame.left],
        word=["rare" if left == "vac" else "usual" for left in frame.left],
    )
    data = read(frame, drop_classes=["vac"], groups="team", amount="paid", time="day")
    assert len(data.X) == len(data.y) == len(data.groups) == len(data.amount) == len(data.time) == 74
    assert list(data.X.word.cat.categories) == ["usual"]
    assert data.notes == ("is studied without the 6 rows labelled 'vac'",)


def test_a_merge_may_keep_a_label_or_join_one():
    assert rows_of(read(table(), merge={"vac": ["vac", "pox"]})) == {"cyt": 30, "nuc": 20, "vac": 18, "mit": 12}
    assert rows_of(read(table(), merge={"vac": ["pox"]})) == {"cyt": 30, "nuc": 20, "vac": 18, "mit": 12}
    data = read(table(), merge={"few": ["vac", "pox"]})
    assert data.notes == ("has 'pox' (12 rows) and 'vac' (6 rows) merged into the class 'few'",)


@pytest.mark.parametrize("nothing", [None, {}, {"few": []}, {"few": None}])
def test_a_merge_without_labels_is_none(nothing):
    assert read(table(), merge=nothing).fingerprint == read(table()).fingerprint
    assert read(table(), merge=nothing).merged == {}


def test_flags_are_named_in_any_case():
    frame = table({True: 30, False: 20, "unknown": 10})
    assert rows_of(read(frame, drop_classes=["true"])) == {"False": 20, "unknown": 10}
    assert rows_of(read(frame, merge={"other": [False, "unknown"]}, positive="other")) == {"True": 30, "other": 30}


WRONG = {
    "positive-of-many": {"positive": "vac"},
    "misspelt-positive-of-many": {"positive": "vacc"},
    "positive-of-many-merged": {"positive": "nuc", "merge": {"few": ["vac", "pox"]}},
    "unknown-in-merge": {"merge": {"other": ["vacc", "pox"]}},
    "unknown-to-drop": {"drop_classes": ["vac", "POX"]},
    "nothing-near": {"drop_classes": ["quite another"]},
    "several-unknown": {"merge": {"a": ["vacc"], "b": ["nucc", "mit"]}},
    "truth-value": {"drop_classes": [False]},
    "no-mapping": {"merge": ["vac", "pox"]},
    "no-name": {"merge": {" ": ["vac", "pox"]}},
    "mapping-to-drop": {"drop_classes": {"vac": True}},
    "merged-twice": {"merge": {"a": ["vac", "pox"], "b": ["pox"]}},
    "merged-and-dropped": {"merge": {"a": ["vac", "pox"]}, "drop_classes": "vac"},
    "into-a-merged-one": {"merge": {"nuc": ["vac"], "rest": ["nuc", "pox"]}},
    "into-a-dropped-one": {"merge": {"vac": ["pox", "mit"]}, "drop_classes": "vac"},
    "blanks": {"merge": {"nuc ": ["vac", "pox"]}},
    "one-class-left": {"merge": {"all": list(SITES)}},
    "one-class-kept": {"drop_classes": ["cyt", "nuc", "mit", "pox"]},
    "none-kept": {"drop_classes": list(SITES)},
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_merged_or_left_out_is_refused_with_a_way_out(what, snapshot):
    error = message(table(), key="t", **WRONG[what])
    assert (str(error), error.overrides) == snapshot
    if error.overrides:
        changes = {key.removeprefix("dataset.t."): value for key, value in error.overrides.items()}
        assert len(read(table(), **{**WRONG[what], **changes}).classes) >= 2
    assert "dataset." not in str(message(table(), **WRONG[what])), "there is no configuration behind a table in memory"


NO_CLASSES = {
    "a-number": table({n / 7: 1 for n in range(60)}),
    "an-amount": table({n: 9 for n in range(160)}),
    "an-identifier": table({f"customer {n}": 1 for n in range(60)}),
    "days": table({day: 1 for day in pd.date_range("2024-01-01", periods=60)}),
    "lists": pd.DataFrame({"a": [1.0, 2, 3], "left": [[1], [2], [1]]}),
    "missing": table({"a": 20, "b": 10, None: 5, "c": 9}),
    "all-missing": table({None: 20}),
    "blanks": table({"a": 20, "a ": 10, "c": 9}),
    "one-text": table({1: 20, "1": 10, "c": 9}),
}


@pytest.mark.parametrize("what", NO_CLASSES)
def test_columns_that_hold_no_classes_are_refused(what, snapshot):
    assert str(message(NO_CLASSES[what], key="t")) == snapshot


def test_a_hundred_classes_are_studied_and_one_more_is_not():
    assert len(read(table({f"c{n}": 3 for n in range(100)})).classes) == 100
    many = table({f"c{n}": 3 for n in range(101)})
    assert "101 different labels" in str(message(many))
    assert len(read(many, merge={"other": ["c1", "c2"]}).classes) == 100


# Facts and warnings ---------------------------------------------------------------------------------------------------


def test_facts_of_more_classes_have_the_rows_of_each():
    facts = datasets.dataset_facts(read(table(), merge={"few": ["vac", "pox"]}, drop_classes="mit"))
    assert (facts["classes"], facts["class_rows"], facts["ratio"]) == (["cyt", "nuc", "few"], [30, 20, 18], 30 / 18)
    assert facts["merged"] == {"few": ["pox", "vac"]}
    assert facts["dropped_classes"] == ["mit"]
    assert "positives" not in facts


@pytest.mark.parametrize(
    ("column", "is_told"),
    [
        (lambda y: y * 2.0, True),
        (lambda y: np.array(["u", "v", "w"])[y], True),
        (lambda y: np.minimum(y, 1) * 2.0, False),
        (lambda y: np.array(["u", "v", "v"])[y], False),
        (lambda y: np.where(np.arange(len(y)) == 0, 9.0, y), False),
    ],
    ids=["numbers", "levels", "numbers-of-two", "levels-of-two", "one-row-apart"],
)
def test_a_column_that_tells_all_classes_apart_is_warned_of(column, is_told):
    left = np.repeat(["x", "y", "z"], [30, 20, 10])
    y = np.repeat([0, 1, 2], [30, 20, 10])
    frame = pd.DataFrame({"a": np.random.default_rng(0).normal(size=60), "leak": column(y), "left": left})
    warnings = datasets.dataset_warnings(read(frame), ())
    assert any("'leak', which separates the classes" in text for text in warnings) == is_told


def test_the_table_keeps_its_labels_for_others_to_read():
    """``classes`` at the indices in ``y`` are the labels of the file."""
    frame = table({1: 30, 2: 20, 3: 10})
    data = read(frame)
    assert Counter(data.classes[c] for c in data.y) == Counter(map(str, frame.left))


@pytest.mark.parametrize("positive", [1.0, "1.0", "1", 1])
def test_a_positive_number_is_known_in_every_spelling(positive):
    assert read(table({0.0: 30, 1.0: 10}), positive=positive).classes == ("0", "1")


def test_texts_of_one_number_are_told_apart():
    assert read(table({"1": 30, "1.0": 10}), positive="1.0").classes == ("1", "1.0")


def test_labels_that_differ_only_in_case_are_noted():
    data = read(table({"no": 30, "yes": 10, "Yes": 10}))
    assert any("'Yes' and 'yes' in 'left', which differ only in case" in note for note in data.notes), data.notes
    assert rows_of(read(table({"no": 30, "yes": 10, "Yes": 10}), merge={"Yes": ["Yes", "yes"]})) == {
        "no": 30,
        "Yes": 20,
    }
