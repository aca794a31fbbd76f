"""Tables in files: one content has one fingerprint in every format, and what has two meanings is a question."""

import itertools
import re
from pathlib import Path

import pandas as pd
import pytest

from imblab.edges import datasets
from imblab.errors import DataError, ImblabError

ROWS = 40
LABELS = ["yes"] * 8 + ["no"] * (ROWS - 8)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(path="t.csv", **more):
    return datasets.load({"kind": "table", "path": str(path), "target": "left", **more}, "table")


def said(path="t.csv", **more):
    """What a refusal says; it ends, and holds no line break."""
    with pytest.raises(ImblabError) as refusal:
        load(path, **more)
    text = str(refusal.value)
    assert "\n" not in text
    assert "  " not in text
    return text


def put(text, path="t.csv", encoding="utf-8"):
    Path(path).write_bytes(text.encode(encoding))
    return path


def rows(header, *cells, separator=","):
    """A text file: one column of cells, a number and the labels."""
    lines = [separator.join([header, "number", "left"])]
    for cell, number, label in zip(itertools.cycle(cells), range(ROWS), LABELS, strict=False):
        lines.append(separator.join([cell, str(number * 7 % 11), label]))
    return "\n".join(lines) + "\n"


def twin(*values, **more):
    """The same table in memory."""
    cells = [value for value, _ in zip(itertools.cycle(values), range(ROWS), strict=False)]
    frame = pd.DataFrame({"x": cells, "number": [n * 7 % 11 for n in range(ROWS)], "left": LABELS})
    return datasets.dataset(frame, "left", **more).fingerprint


# Missing values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["None", "NA", "nan", "null", "n/a", "N/A", "NULL", "<NA>", "#N/A", "NaN", "-", "?"])
def test_in_a_text_file_only_the_empty_field_is_missing(level):
    frame = pd.DataFrame({"road": [level, "paved", ""] * 10, "left": ["yes"] * 6 + ["no"] * 24})
    frame.to_csv("t.csv", index=False)
    data = load()
    assert sorted(data.X.road.cat.categories) == sorted([level, "paved"])
    assert data.X.road.isna().sum() == 10
    frame["road"] = frame.road.replace("", None)
    frame.to_parquet("t.parquet")
    assert load("t.parquet").fingerprint == data.fingerprint
    assert any(repr(level) in note for note in data.notes)


def test_labels_called_none_are_labels():
    put("a,left\n" + "1,None\n2,sick\n3,None\n" * 9)
    data = load()
    assert (data.classes, data.y.sum()) == (("None", "sick"), 9)


def test_a_quoted_empty_field_is_missing_too():
    put("a,b,left\n" + 'x,"",no\ny,z,no\n"",,yes\n' * 9)
    assert load().X.isna().sum().tolist() == [9, 18]


@pytest.mark.parametrize("mark", ["NA", "?", "-", "null", "nan", "None", "n/a", "#N/A", ".", "NULL", " ", "N/A"])
def test_numbers_with_a_text_that_often_means_missing_are_a_question(mark):
    put(rows("x", "1.5", "2", "3", mark))
    text = said()
    assert f"has a column of numbers with other texts, 'x' ({mark!r} in 10 rows)" in text
    paste = re.search(r"'?dataset\.table\.missing=\[[^]]*\]'?", text).group()
    assert paste == f"'dataset.table.missing=[\"{mark}\"]'"
    assert load(missing=[mark]).fingerprint == twin(1.5, 2, 3, None)
    assert load(missing=mark).fingerprint == twin(1.5, 2, 3, None)
    assert load(categorical=["x"]).X.x.cat.categories.size == 4


def test_every_column_with_a_question_is_named():
    put("a,b,c,left\n" + "1,NA,True,no\n?,2,NA,no\n3,4,False,yes\n" * 9)
    text = said()
    for name in "abc":
        assert f"{name!r} (" in text
    assert load(missing=["NA", "?"]).X.isna().sum().tolist() == [9, 9, 9]


def test_missing_means_the_same_in_every_format():
    frame = pd.DataFrame(
        {"a": [1.0, -999, 3, 4] * 10, "b": ["x", " ?", "y", "x"] * 10, "c": [1, 2, -999, 5] * 10, "left": LABELS}
    )
    frame.to_csv("t.csv", index=False)
    frame.to_parquet("t.parquet")
    frame.to_excel("t.xlsx", index=False)
    made = [load(path, missing=[-999, "?"]) for path in ("t.csv", "t.parquet", "t.xlsx")]
    made.append(datasets.dataset(frame, "left", missing=[-999, "?"]))
    assert len({data.fingerprint for data in made}) == 1
    assert made[0].X.isna().sum().tolist() == [10, 10, 10]


def test_a_label_that_is_missing_is_refused_whatever_says_so():
    put("a,left\n" + "1,?\n2,sick\n3,well\n4,well\n" * 9)
    assert "has 9 rows without a label in 'left'" in said(missing="?")
    put("a,left\n" + "1,\n2,sick\n3,well\n4,well\n" * 9)
    assert "has 9 rows without a label in 'left'" in said()


def test_an_unquoted_null_is_the_text_null():
    put(rows("x", "1", "2", "null"))
    assert load(missing=[None]).fingerprint == twin(1, 2, None)
    assert load(missing=None, categorical="x").X.x.isna().sum() == 0


def test_many_numbers_with_a_few_other_texts_are_a_question():
    put("x,left\n" + "".join(f"{i}.5,{'no' if i % 5 else 'yes'}\n" for i in range(40)) + "err,no\nerr,no\nlow,no\n")
    assert "'x' ('err' in 2 rows, 'low' in 1 row)" in said()
    assert load(missing=["err", "low"]).X.x.isna().sum() == 3


def test_a_few_digits_among_texts_are_levels():
    put(rows("doors", "2", "3", "4", "5more"))
    assert list(load().X.doors.cat.categories) == ["2", "3", "4", "5more"]


# Labels ---------------------------------------------------------------------------------------------------------------

ONE_TEXT = {
    "number-and-text": ([1, "1", 0], "1 (number) and '1' (text)"),
    "text-and-number": (["0", 1, 0], "'0' (text) and 0 (number)"),
    "flag-and-number": ([True, 1, 0], "True (flag) and 1 (number)"),
    "flag-and-text": ([True, "True", False], "True (flag) and 'True' (text)"),
    "flag-and-other-case": ([True, False, "true"], "True (flag) and 'true' (text)"),
    "float-and-text": ([1.0, "1", 0], "1.0 (number) and '1' (text)"),
    "blanks": ([" a", "a", "b"], "' a' and 'a'"),
    "blanks-alone": (["a ", "a"], "'a' and 'a '"),
}


@pytest.mark.parametrize("case", ONE_TEXT)
def test_labels_that_read_alike_are_refused_and_both_are_named(case):
    values, shown = ONE_TEXT[case]
    frame = pd.DataFrame({"x": range(40), "left": pd.Series((values * 40)[:40], dtype=object)})
    with pytest.raises(DataError, match=re.escape(f"has the labels {shown} in 'left', which ")):
        datasets.dataset(frame, "left")


@pytest.mark.parametrize("case", [case for case in ONE_TEXT if "blanks" not in case])
def test_levels_and_groups_that_read_alike_are_refused(case):
    values, shown = ONE_TEXT[case]
    frame = pd.DataFrame({"x": range(40), "c": pd.Series((values * 40)[:40], dtype=object), "left": LABELS})
    with pytest.raises(DataError, match=re.escape(f"has the levels {shown} in column 'c'")):
        datasets.dataset(frame, "left", categorical="c")
    with pytest.raises(DataError, match=re.escape(f"has the groups {shown} in 'c'")):
        datasets.dataset(frame, "left", groups="c")


def test_a_number_is_one_label_however_it_is_held():
    frame = pd.DataFrame({"x": range(40), "left": pd.Series([1, 1.0, 0, 0.0, 0, 0, 0, 0] * 5, dtype=object)})
    assert datasets.dataset(frame, "left").classes == ("0", "1")


@pytest.mark.parametrize("label", [" positive", "b'true'", "yes ", ">50K", "Kündigung", '"quoted"', "a,b", "{x: 1}"])
def test_labels_work_as_they_stand(label):
    pd.DataFrame({"x": range(40), "left": [label] * 8 + ["other"] * 32}).to_csv("t.csv", index=False)
    assert load(positive=label).classes == ("other", label)


def test_a_positive_with_other_blanks_is_answered_with_the_label():
    put("x,left\n" + "1, positive\n2, negative\n3, negative\n" * 9)
    assert "Did you mean 'dataset.table.positive=\" positive\"'?" in said(positive="positive")
    put("x,left\n" + "1,positive\n2,negative\n3,negative\n" * 9)
    assert "Did you mean dataset.table.positive=positive?" in said(positive=" Positive")
    assert "Did you mean dataset.table.positive=positive?" in said(positive="postive")


def test_a_role_is_named_without_the_blanks_of_its_header():
    put(" x , left\n" + "1,yes\n2,no\n3,no\n" * 9)
    data = load(categorical="x")
    assert data.categorical == tuple(data.X.columns) == (" x ",)
