"""Tables in files: one content has one fingerprint in every format, and what has two meanings is a question."""

import bz2
import gzip
import itertools
import lzma
import re
import shlex
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from imblab import dataset
from imblab.commands import python_runs, running
from imblab.edges import datasets
from imblab.edges.datasets import columns, formats, inspection, notation, table_files
from imblab.errors import ConfigError, DataError, ImblabError
from imblab.study import MAX_LEVELS
from imblab.text import to_override

ROWS = 40
LABELS = ["yes"] * 8 + ["no"] * (ROWS - 8)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(path="t.csv", **more):
    return datasets.read_dataset({"kind": "table", "path": str(path), "target": "left", **more}, "table")


def said(path="t.csv", **more):
    """What a refusal says; one problem a line."""
    with pytest.raises(ImblabError) as refusal:
        load(path, **more)
    text = str(refusal.value)
    assert text.count("\n") in (0, len(refusal.value.problems), len(refusal.value.problems) + 1)
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
    assert paste == to_override("dataset.table.missing", [mark])
    assert load(missing=[mark]).fingerprint == twin(1.5, 2, 3, None)
    assert load(missing=mark).fingerprint == twin(1.5, 2, 3, None)
    assert load(categorical=["x"]).X.x.cat.categories.size == 4


def test_every_column_with_a_question_is_named():
    put("a,b,c,left\n" + "1,NA,True,no\n?,2,NA,no\n3,4,False,yes\n" * 9)
    text = said()
    for name in "abc":
        assert f"{name!r} (" in text
    assert load(missing=["NA", "?"]).X.isna().sum().tolist() == [9, 9, 9]


def test_what_is_wrong_with_texts_and_with_roles_is_said_at_once():
    put("a,b,c,left\n" + "1,NA,$1,no\n?,2,2%,no\n3,4,3,yes\n" * 9)
    text = said(missing=["-"], drop=["x"], positive="maybe")
    assert text.startswith("5 problems:")
    paste = text.splitlines()[-1]
    assert '\'dataset.table.missing=["-","?","NA"]\'' in paste.replace("NA]", '"NA"]').replace(',NA"', ',"NA"')
    assert "dataset.table.drop=[c]" in paste.replace("'", "")
    assert "dataset.table.positive=" in paste
    assert load(missing=["-", "?", "NA"], drop=["c"], positive="yes").X.isna().sum().tolist() == [9, 9]


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


def test_levels_that_are_all_rare_are_not_grouped_into_one():
    names = [f"bird{i}" for i in range(MAX_LEVELS + 20) for _ in range(2)]
    frame = pd.DataFrame({"bird": names, "x": range(len(names)), "left": [*["yes"] * 40, *["no"] * (len(names) - 40)]})
    with pytest.raises(DataError, match="levels in column 'bird', each in at most 2 rows") as said:
        dataset(frame, "left")
    assert "groups='bird'" in str(said.value)
    often = pd.concat([frame, frame.assign(bird="common", x=-1.0)])
    with pytest.raises(DataError, match="Group rare levels: rare="):
        dataset(often, "left")


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
    assert "Set 'dataset.table.positive=\" positive\"'." in said(positive="positive")
    put("x,left\n" + "1,positive\n2,negative\n3,negative\n" * 9)
    assert "Set dataset.table.positive=positive." in said(positive=" Positive")
    assert "Set dataset.table.positive=positive." in said(positive="postive")


def test_a_role_is_named_without_the_blanks_of_its_header():
    put(" x , left\n" + "1,yes\n2,no\n3,no\n" * 9)
    data = load(categorical="x")
    assert data.categorical == tuple(data.X.columns) == (" x ",)


# One content, one fingerprint -----------------------------------------------------------------------------------------

#: Texts that readers of tables like to misread, and some that they like to break at.
WORDS = [
    "None",
    "NA",
    "nan",
    "inf",
    "1e5",
    "007",
    "true",
    "1,5",
    "1.234",
    "a;b",
    'say "x"',
    " x",
    "x ",
    "ü€",
    "two\nlines",
]
letters = st.text(st.characters(blacklist_categories=["C", "Zl", "Zp"]), max_size=6)
# To a writer of Excel files a text that begins with '=' is a formula.
texts = st.one_of(st.sampled_from(WORDS), letters.filter(lambda text: not text.startswith("=")))
values = {
    "float": st.floats(-1e37, 1e37),
    "cents": st.decimals(-999, 999, places=2).map(float),
    "mils": st.integers(-(10**6), 10**6).map(lambda n: n / 1000),
    "whole": st.integers(-(2**53), 2**53),
    "flag": st.booleans(),
    "text": texts,
    "code": st.sampled_from(["007", "00123", "01"]),
    "zip": st.integers(0, 20).map(str),
    "category": st.sampled_from(["low", "high"]),
}


@st.composite
def frames(draw):
    """A table of columns of every kind, and what a text file must be told of it."""
    kinds = draw(st.lists(st.sampled_from(sorted(values)), min_size=1, max_size=4))
    gaps = draw(st.booleans())
    columns = {}
    for i, kind in enumerate(kinds):
        cells = draw(st.lists(values[kind], min_size=12, max_size=12))
        if kind == "text":  # of digits alone a text file cannot know
            cells[:2] = ["paved", "gravel"]
        if gaps and kind != "category":
            cells[3] = None
        columns[f"{kind} {i}"] = pd.Categorical(cells) if kind == "category" else cells
    frame = pd.DataFrame({**columns, "left": ["yes", "no", "no"] * 4})
    return frame, [name for name in columns if name.startswith("zip")]


def write(frame, path):
    """The table in the format that the ending of the path names."""
    ending = path.split(".", 1)[1]
    if ending in ("parquet", "feather"):
        getattr(frame, f"to_{ending}")(path)
    elif ending == "xlsx":
        frame.to_excel(path, index=False)
    else:
        mark, decimal, encoding = {
            "csv": (",", ".", "utf-8"),
            "csv.gz": (",", ".", "utf-8-sig"),
            "tsv": ("\t", ".", "utf-8"),
            "txt.zip": ("|", ".", "utf-16"),
            "txt": (";", ",", "utf-8"),
        }[ending]
        frame.to_csv(path, index=False, sep=mark, decimal=decimal, encoding=encoding)
    return path


@pytest.mark.sampled(3)
@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv", "txt.zip", "txt", "xlsx", "feather"])
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=frames())
def test_one_content_has_one_fingerprint_in_every_format(ending, made):
    frame, categorical = made
    if ending == "xlsx":  # Excel has 15 digits and one zero
        frame = frame.apply(lambda c: c.map(lambda v: float(f"{v:.15g}") + 0.0) if c.dtype == float else c)
    options = {"decimal": "comma"} if ending == "txt" else {}
    there = load(write(frame, "t.parquet"), categorical=categorical)
    here = load(write(frame, f"t.{ending}"), categorical=categorical, **options)
    assert here.fingerprint == there.fingerprint == datasets.dataset(frame, "left", categorical=categorical).fingerprint


# Numbers --------------------------------------------------------------------------------------------------------------

#: How a column is written, and the numbers it holds.
WRITTEN = {
    "thousands": (['"1,234"', '"12,345.5"', "7"], [1234, 12345.5, 7]),
    "millions": (['"1,234,567"', "2"], [1234567, 2]),
    "percent": (["12.3%", "5 %", "-1%"], [0.123, 0.05, -0.01]),
    "dollars": (["$3.00", "-$1.50", '"$1,000"'], [3, -1.5, 1000]),
    "euros-behind": (["3.00 €", "4.5€"], [3, 4.5]),
    "currency-code": (["EUR 3.50", "EUR 4"], [3.5, 4]),
    "brackets": (["(5)", "7", "(1.5)"], [-5, 7, -1.5]),
    "blanks-around": ([" 12 ", "3 ", " 4"], [12, 3, 4]),
    "exponents": (["1e5", "1.5E-3", "2e+2"], [1e5, 1.5e-3, 200]),
    "plus": (["+3", "-2", "1"], [3, -2, 1]),
    "minus-sign": (["−5", "5", "−0.5"], [-5, 5, -0.5]),
    "no-zero": ([".5", "-.25", "3."], [0.5, -0.25, 3]),
    "swiss": (["1'234.50", "12’345"], [1234.5, 12345]),
    "blank-groups": (["1 234", "1\u00a0234\u202f567", "12.5"], [1234, 1234567, 12.5]),
    "quoted": (['"1.5"', '"2"'], [1.5, 2]),
    "seventeen-digits": (["0.1000000000000000055511151231257827", "0.30000000000000004"], [0.1, 0.30000000000000004]),
    "with-gaps": (["$3.00", "", "$4"], [3, None, 4]),
    "flags": (["True", "false", "TRUE"], [True, False, True]),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_numbers_are_read_as_people_write_them(case):
    cells, numbers = WRITTEN[case]
    put(rows("x", *cells))
    data = load()
    assert data.categorical == ()
    assert data.fingerprint == twin(*numbers)


@pytest.mark.parametrize("case", ["thousands", "percent", "dollars", "euros-behind", "brackets", "swiss", "minus-sign"])
def test_what_was_read_otherwise_than_a_program_would_is_said(case):
    put(rows("x", *WRITTEN[case][0]))
    assert any(re.search(r"reads ['\"].*['\"] in column 'x' as the number -?[\d.]+$", note) for note in load().notes)


def test_plain_numbers_are_read_without_a_word():
    put(rows("x", "1.5", "-2", "3e5"))
    assert load().notes == ()


EUROPEAN = {
    "decimals": (["1,5", "-2,25", "3"], [1.5, -2.25, 3]),
    "thousands": (["1.234,5", "2", "1.234.567"], [1234.5, 2, 1234567]),
    "percent": (["12,3 %", "5%"], [0.123, 0.05]),
    "euros": (["3,00 €", "1.000,50 €"], [3, 1000.5]),
    "blank-groups": (["1\u00a0234,5", "7"], [1234.5, 7]),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("case", EUROPEAN)
def test_what_excel_writes_in_europe_is_read_and_said(case, encoding):
    cells, numbers = EUROPEAN[case]
    put(rows("x", *cells, separator=";").replace("number", "Größe"), encoding=encoding)
    data = load()
    assert list(data.X.columns) == ["x", "Größe"]
    put(rows("x", *map(str, numbers)).replace("number", "Größe"), "plain.csv")
    assert data.fingerprint == load("plain.csv").fingerprint
    said = data.notes[0]
    assert said.startswith("is read with separator semicolon")
    assert ("encoding cp1252" in said) == (encoding == "cp1252")
    assert "decimal comma (as in '" in said


AMBIGUOUS = {
    "semicolons-and-three-decimals": ([("1,234", "5,678")], ";", "decimal"),
    "semicolons-and-points": ([("1.234", "5.678")], ";", "decimal"),
    "tabs-and-commas": ([("1,234", "5,678")], "\t", "decimal"),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_one_mark_that_may_be_decimal_or_thousands_is_a_question(case):
    [cells], separator, _ = AMBIGUOUS[case]
    put(rows("x", *cells, separator=separator))
    text = said()
    assert "nothing in the file tells" in text
    assert "dataset.table.decimal=point or dataset.table.decimal=comma" in text
    mark = "," if "," in cells[0] else "."
    decimals, whole = ("comma", "point") if mark == "," else ("point", "comma")
    assert load(decimal=decimals).fingerprint == twin(1.234, 5.678)
    assert load(decimal=whole).fingerprint == twin(1234, 5678)
    assert load(thousands=mark).fingerprint == twin(1234, 5678)


def test_another_column_tells_what_one_does_not():
    put("x;y;left\n" + "1,234;0,5;no\n2,345;1,5;no\n3,456;7;yes\n" * 9)
    assert load().X.x[0] == 1.234
    put("x;y;left\n" + "1,234;0.5;no\n2,345;1.5;no\n3,456;7;yes\n" * 9)
    assert load().X.x[0] == 1234
    put("x;left\n" + "0,234;no\n2,345;no\n3,456;yes\n" * 9)
    assert load().X.x[0] == 0.234


def test_two_notations_in_one_file_are_a_question():
    put("x;y;left\n" + "1,5;0.5;no\n2,5;1.5;no\n3,5;7.5;yes\n" * 9)
    text = said()
    assert "('0.5' in 'y' and '1,5' in 'x')" in text
    assert load(decimal=",").categorical == ("y",)
    assert load(decimal=".").categorical == ("x",)


def test_two_notations_in_one_column_are_a_question():
    put("x;left\n" + "1,5;no\n2.5;no\n3,5;yes\n" * 9)
    assert "in column 'x' (such as '2.5' and '1,5')" in said()


@pytest.mark.parametrize(
    ("cells", "shown"), [(["$3", "€4"], "in '$' and in '€'"), (["3%", "4"], "without a unit and in '%'")]
)
def test_two_units_in_one_column_are_refused(cells, shown):
    put(rows("x", *cells))
    assert f"has numbers {shown} in column 'x'" in said()
    assert load(drop=["x"]).X.shape[1] == 1


def test_codes_with_leading_zeros_stay_text_and_it_is_said():
    put(rows("zip", "00123", "98765", "10115"))
    data = load()
    assert list(data.X["zip"].cat.categories) == ["00123", "10115", "98765"]
    assert "because some of its whole numbers begin with 0; as numbers: 'dataset.table.numeric=[zip]'" in data.notes[0]
    assert load(numeric=["zip"]).X["zip"][0] == 123.0
    put(rows("x", "0", "0.5", "-0.25", "00.5"))
    assert load().fingerprint == twin(0, 0.5, -0.25, 0.5)


def test_a_category_of_digits_is_that_of_parquet_whether_text_or_number():
    digits = [10, 9, 2, 11]
    put(rows("x", *map(str, digits)))
    assert load(categorical="x").fingerprint == twin(*digits, categorical="x") == twin(*map(str, digits))


def test_texts_of_numbers_become_numbers_where_that_is_said():
    frame = pd.DataFrame({"x": ["1.5", "2", "1,000", None] * 10, "left": LABELS})
    frame.to_parquet("t.parquet")
    assert load("t.parquet").categorical == ("x",)
    assert load("t.parquet", numeric="x").X.x[:3].tolist() == [1.5, 2, 1000]
    frame.assign(x=["1.5", "2", "err", None] * 10).to_parquet("t.parquet")
    assert "has a column of numbers with other texts, 'x' ('err' in 10 rows)" in said("t.parquet", numeric="x")
    assert load("t.parquet", numeric="x", missing="err").X.x.isna().sum() == 20


def test_a_column_is_not_numeric_and_categorical():
    put(rows("x", "1", "2"))
    assert "names 'x' under numeric and under categorical" in said(numeric="x", categorical="x")


LONG = "1234567890123456789"


@pytest.mark.parametrize("ending", ["csv", "parquet", "memory"])
def test_whole_numbers_that_floats_cannot_hold_are_refused_as_features(ending):
    frame = pd.DataFrame({"card": [int(LONG) + i for i in range(ROWS)], "x": range(ROWS), "left": LABELS})
    frame.to_csv("t.csv", index=False)
    frame.to_parquet("t.parquet")
    if ending == "memory":
        with pytest.raises(DataError, match="has whole numbers such as 123"):
            datasets.dataset(frame, "left")
        return
    text = said(f"t.{ending}")
    assert f"has whole numbers such as {LONG} in column 'card'" in text
    assert "'dataset.table.drop=[card]'" in text
    assert "dataset.table.id=card" in text
    assert load(f"t.{ending}", id="card").id.tolist() == frame.card.tolist()
    grouped = load(f"t.{ending}", groups="card").groups
    assert grouped.tolist() == list(range(ROWS))


def test_large_measurements_are_numbers():
    put(rows("x", "1e20", "100000000000000000000", "2.5e30"))
    assert load().X.x[1] == 1e20


# Dates ----------------------------------------------------------------------------------------------------------------

DAYS = pd.date_range("2024-01-20", periods=ROWS)
FORMS = {
    "iso": "%Y-%m-%d",
    "iso-hours": "%Y-%m-%dT%H:%M:%S",
    "iso-blank": "%Y-%m-%d %H:%M",
    "slashes-year-first": "%Y/%m/%d",
    "dots": "%d.%m.%Y",
    "dots-hours": "%d.%m.%Y %H:%M",
    "day-first": "%d/%m/%Y",
    "month-first": "%m/%d/%Y",
    "month-first-hours": "%m/%d/%Y %I:%M %p",
    "dashes": "%d-%m-%Y",
    "names": "%d %b %Y",
    "american-names": "%B %d, %Y",
}


def dated(form, days=DAYS):
    frame = pd.DataFrame({"day": days.strftime(form), "x": range(ROWS), "left": LABELS})
    frame.to_csv("t.csv", index=False)
    frame.to_parquet("texts.parquet")
    frame.assign(day=days).to_parquet("t.parquet")


@pytest.mark.parametrize("form", FORMS)
def test_dates_are_those_of_parquet(form):
    dated(FORMS[form])
    for path in ("t.csv", "t.parquet", "texts.parquet"):
        assert "has the date column 'day' among its features" in said(path)
    wanted = load("t.parquet", time="day")
    for path in ("t.csv", "texts.parquet"):
        np.testing.assert_array_equal(load(path, time="day").time, DAYS.to_numpy(dtype="datetime64[ns]"))
        assert load(path, time="day").fingerprint == wanted.fingerprint
    assert load(time="day", time_format=FORMS[form]).fingerprint == wanted.fingerprint
    assert load(categorical=["day"]).X.day.cat.categories.size == ROWS


@pytest.mark.parametrize("form", ["%d/%m/%Y", "%m-%d-%Y"])
def test_an_order_of_day_and_month_that_was_inferred_is_said(form):
    dated(form)
    text = load(time="day").notes[0]
    first = "day, month, year" if form[1] == "d" else "month, day, year"
    assert text.startswith(f"reads the times in 'day' as {first}, because of '")


def test_a_day_that_may_be_a_month_is_a_question():
    dated("%d/%m/%Y", pd.to_datetime([f"2024-{i % 12 + 1}-{i // 12 + 1}" for i in range(ROWS)]))
    text = said(time="day")
    assert "nothing tells the day from the month" in text
    assert "'dataset.table.time_format=\"%d/%m/%Y\"' or 'dataset.table.time_format=\"%m/%d/%Y\"'" in text
    assert load(time="day", time_format="%d/%m/%Y").time[1] == np.datetime64("2024-02-01")
    assert load(time="day", time_format="%m/%d/%Y").time[1] == np.datetime64("2024-01-02")


@pytest.mark.parametrize("form", ["%d.%m.%y", "%m/%d/%y"])
def test_years_of_two_digits_are_a_question(form):
    dated(form)
    assert "a year needs four digits" in said(time="day")
    assert load(time="day", time_format=form).time[0] == np.datetime64("2024-01-20")


def test_a_time_format_that_is_none_is_refused():
    dated("%d/%m/%Y")
    assert "has the time format '%q'" in said(time="day", time_format="%q")
    assert "without a readable time in 'day' (such as '" in said(time="day", time_format="%Y-%m-%d")


def test_an_unreadable_time_is_shown():
    put("day,x,left\n" + "31.01.2024,1,no\n32.01.2024,2,no\n01.02.2024,3,yes\n" * 9)
    assert "has 9 rows without a readable time in 'day' (such as '32.01.2024')" in said(time="day")


@pytest.mark.parametrize(
    ("kind", "cells"), [("time-of-day", ["10:30:00", "11:00:00"]), ("duration", ["1 days", "2 days 10:00:00"])]
)
def test_hours_and_spans_are_no_features_as_in_parquet(kind, cells):
    put(rows("x", *cells))
    text = said()
    assert f"has the {kind} column 'x' among its features" in text
    assert "Give it as a number, such as seconds, or leave it out: 'dataset.table.drop=[x]'." in text
    assert "dataset.table.time=" not in text, "it is no time to split rows by"


@pytest.mark.parametrize("dtype", ["timedelta64[s]", object])
def test_a_column_of_durations_is_told_as_such(dtype):
    spans = pd.Series(pd.to_timedelta(np.arange(ROWS), unit="s")).astype(dtype)
    frame = pd.DataFrame({"dur": spans, "number": np.arange(ROWS), "left": list(itertools.islice(LABELS, ROWS))})
    with pytest.raises(DataError) as refusal:
        datasets.dataset(frame, "left")
    assert str(refusal.value) == (
        "data set 'table' has the duration column 'dur' among its features; a learner reads numbers and categories. "
        "Give it as a number, such as seconds, or leave it out: drop=['dur']."
    )
    assert list(datasets.dataset(frame, "left", drop=["dur"]).X) == ["number"]
    seconds = frame.assign(dur=pd.to_timedelta(frame["dur"]).dt.total_seconds())
    assert list(datasets.dataset(seconds, "left").X) == ["dur", "number"]


def test_groups_of_dates_are_numbered_in_their_order():
    dated("%d.%m.%Y")
    assert load(groups="day").fingerprint == load("t.parquet", groups="day").fingerprint


# Files ----------------------------------------------------------------------------------------------------------------


def packed(text, path):
    data = text.encode()
    ending = path.rsplit(".", 1)[-1].lower()
    if ending == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inside.csv", data)
            archive.writestr("__MACOSX/._inside.csv", b"\x00")
    else:
        Path(path).write_bytes({"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[ending](data))
    return path


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zip", "GZ", "Zip"])
def test_a_compressed_file_is_the_file(ending):
    text = rows("x", "1.5", "2")
    data = load(packed(text, f"customers.CSV.{ending}"))
    assert data.fingerprint == twin(1.5, 2)
    assert data.name == "customers"


def test_a_compressed_parquet_or_sheet_is_read_too():
    frame = pd.DataFrame({"x": range(ROWS), "left": LABELS})
    frame.to_parquet("t.pq")
    frame.to_excel("t.xlsx", index=False)
    made = []
    for path in ("t.pq", "t.xlsx"):
        Path(f"{path}.gz").write_bytes(gzip.compress(Path(path).read_bytes()))
        made += [load(path), load(f"{path}.gz")]
    assert len({data.fingerprint for data in made}) == 1


def test_a_zip_of_two_tables_is_a_question():
    with zipfile.ZipFile("t.zip", "w") as archive:
        archive.writestr("a.csv", "x")
        archive.writestr("b.csv", "x")
    assert "holds 2 files ('a.csv', 'b.csv'); a zip holds one table" in said("t.zip")


def test_a_file_that_expands_without_end_is_refused(monkeypatch):
    monkeypatch.setattr("imblab.edges.datasets.table_files.MAX_UNPACKED_BYTES", 1000)
    monkeypatch.setattr("imblab.edges.datasets.table_files.MAX_UNPACKED_TIMES", 2)
    for ending in ("gz", "zip", "xz"):
        assert "expands to more than 1000 bytes" in said(packed("x" * 100_000, f"t.csv.{ending}"))


PACKED = ["t.csv.gz", "t.csv.zip", "t.csv.xz", "t.csv.bz2", "t.parquet", "t.feather", "t.xlsx", "t.pq"]
BROKEN = [b"", b"neither", b"PK\x03\x04half", b"\x1f\x8b\x08half", b"PAR1PAR1", b"ARROW1\0\0", b"\xfd7zXZ\0"]


@pytest.mark.parametrize("path", PACKED)
@pytest.mark.parametrize("data", BROKEN)
def test_a_damaged_file_is_named(path, data):
    Path(path).write_bytes(data)
    text = said(path)
    assert f"the file {path!r} " in text
    assert "Repair the file" in text or "Unpack" in text


def test_a_home_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    put(rows("x", "1", "2"), tmp_path / "deep.csv")
    monkeypatch.chdir("/")
    data = load("~/deep.csv")
    assert data.fingerprint == twin(1, 2)
    assert data.name == "deep"


def test_a_path_that_is_missing_is_answered_with_the_nearest_names():
    put("x", "customers.csv")
    assert "Did you mean 'customers.csv'?" in said("custmers.csv")
    Path("data").mkdir()
    put("x", "data/churn.csv")
    put("x", "data/notes.md")
    text = said("data")
    assert "has the path 'data', which is a directory" in text
    assert "Did you mean 'data/churn.csv'?" in text
    assert "Did you mean 'data/churn.csv'?" in said("data/chrun.csv")
    assert "cannot be opened" in said("x" * 5000) or "is not a file" in said("x" * 5000)
    assert "is not a file" in said("no/such/place.csv")
    assert "cannot be opened" in said("a\0b.csv") or "is not a file" in said("a\0b.csv")


@pytest.mark.parametrize("ending", [".xls", ".ods", ".json", ".sav", ""])
def test_an_ending_that_is_not_read_is_told_what_is(ending):
    put("x", f"t{ending}")
    text = said(f"t{ending}")
    assert ".parquet" in text
    assert ("Save it as .xlsx." in text) == (ending in (".xls", ".ods"))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["csv", "tsv", "txt"])
def test_any_separator_is_found_in_any_text_file_and_said(separator, ending):
    put(rows("x", "1.5", "2.25", separator=separator), f"t.{ending}")
    data = load(f"t.{ending}")
    assert data.fingerprint == twin(1.5, 2.25)
    usual = separator == ("\t" if ending == "tsv" else ",")
    assert (data.notes == ()) == usual
    name = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}[separator]
    assert load(f"t.{ending}", sep=name).notes == load(f"t.{ending}", sep=separator).notes == ()


def test_the_first_line_of_excel_names_the_separator():
    put("sep=;\r\n" + rows("x", "1.5", "2.25", separator=";"))
    assert load().fingerprint == twin(1.5, 2.25)


def test_what_is_quoted_is_no_separator():
    put('x,"a;b",left\n' + '1,"p;q",no\n2,"r, s",no\n3,"say ""hi""\nagain",yes\n' * 9)
    data = load()
    assert list(data.X["a;b"].cat.categories) == ["p;q", "r, s", 'say "hi"\nagain']
    assert data.notes == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a,b;left\n1,2;yes\n", "can be split at comma (2 columns) and semicolon (2 columns)"),
        ("a b left\n1 2 yes\n", "has the one column 'a b left'"),
        ("a,left\n1,yes\n2\n", "has 1 field in row 3 and 2 names in its header"),
        ("a,left\n1,yes\n2,3,no\n", "has 3 fields in row 3 and 2 names in its header"),
        ('a,left\n1,yes\n2,"no\n3,no\n', "has a quoted field that does not end"),
        ('a,b,left\n1,"x,yes\n2,y,no\n3,"z,no\n', "has "),
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a\tleft\n", "has no row"),
    ],
)
def test_a_text_that_has_no_or_two_readings_is_refused(text, found):
    put(text)
    assert found in said().replace("holds 0 rows", "has no row")


def test_an_encoding_is_read_as_it_is_named():
    put("größe,left\n" + "1,no\n2,no\n3,süß\n" * 9, encoding="mac_roman")
    assert list(load(encoding="mac_roman").X.columns) == ["größe"]
    assert "is not text in 'utf-8'" in said(encoding="utf-8")
    assert "encodings are known by Python's names" in said(encoding="latin9000")
    put("größe,left\n" + "1,no\n2,no\n3,süß\n" * 9, encoding="utf-16-le")
    assert load().classes == ("no", "süß")


@pytest.mark.parametrize(
    "options", [{"sep": "ab"}, {"decimal": "x"}, {"decimal": ".", "thousands": "."}, {"thousands": "xy"}]
)
def test_an_option_that_cannot_be_is_refused(options):
    put(rows("x", "1"))
    with pytest.raises(ConfigError, match=r"^'dataset\.table\."):
        load(**options)


# Excel ----------------------------------------------------------------------------------------------------------------


def test_a_workbook_with_two_tables_is_a_question():
    frame = pd.DataFrame({"x": range(ROWS), "left": LABELS})
    with pd.ExcelWriter("t.xlsx") as book:
        frame.to_excel(book, sheet_name="Data 2024", index=False)
        pd.DataFrame().to_excel(book, sheet_name="empty")
        frame.assign(x=1.5).to_excel(book, sheet_name="old", index=False)
    text = said("t.xlsx")
    assert "has 2 sheets with cells ('Data 2024', 'old')" in text
    assert "'dataset.table.sheet=\"Data 2024\"' or dataset.table.sheet=old" in text
    assert load("t.xlsx", sheet="old").X.x[0] == 1.5
    assert load("t.xlsx", sheet=3).X.x[0] == 1.5
    assert "has no sheet 'new'" in said("t.xlsx", sheet="new")


def test_cells_of_several_types_are_read_as_text_would_be():
    frame = pd.DataFrame({"x": [1.5, 2, "NA", 4] * 10, "zip": [12345, "00123"] * 20, "left": LABELS})
    frame.to_excel("t.xlsx", index=False)
    frame.to_csv("t.csv", index=False)
    assert "has a column of numbers with other texts, 'x' ('NA' in 10 rows)" in said("t.xlsx")
    assert load("t.xlsx", missing="NA").fingerprint == load("t.csv", missing="NA").fingerprint
    assert load("t.xlsx", missing="NA").categorical == ("zip",)


def test_dates_of_excel_are_dates():
    pd.DataFrame({"day": DAYS, "x": range(ROWS), "left": LABELS}).to_excel("t.xlsx", index=False)
    assert "has the date column 'day' among its features" in said("t.xlsx")
    np.testing.assert_array_equal(load("t.xlsx", time="day").time, DAYS.to_numpy(dtype="datetime64[ns]"))
    cells = [*DAYS[:-1].to_pydatetime(), "NA"]
    pd.DataFrame({"day": cells, "x": range(ROWS), "left": LABELS}).to_excel("t.xlsx", index=False)
    assert "has the date column 'day' among its features" in said("t.xlsx")


def test_a_formula_without_a_value_is_refused():
    frame = pd.DataFrame({"x": ["=A1+1"] * ROWS, "left": LABELS})
    frame.to_excel("t.xlsx", index=False)
    assert "has the formula '=A1+1' without a value in sheet 'Sheet1'" in said("t.xlsx")


def test_without_its_package_excel_says_how_to_install_it(monkeypatch):
    pd.DataFrame({"x": range(ROWS), "left": LABELS}).to_excel("t.xlsx", index=False)
    monkeypatch.setattr("imblab.edges.datasets.table_files.find_spec", lambda name: None)
    assert said("t.xlsx").endswith("Install it with: pip install 'imblab[excel]'.")


# The page -------------------------------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"
COMMANDS = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("imblab plan ")]


@pytest.fixture
def tables_of_the_page(here):
    rng = np.random.default_rng(0)
    zips, numbers = rng.integers(10000, 10009, 60), rng.normal(size=60).round(2)
    frame = pd.DataFrame({"zip": zips, "x": numbers, "left": LABELS + LABELS[:20]})
    frame.to_csv("churn.csv", index=False)
    european = frame.rename(columns={"left": "Kündigung"})
    european.to_csv("kunden.csv", index=False, sep=";", decimal=",", encoding="cp1252")
    calls = frame.assign(y=["NA", "?", "1.5"] * 20)
    calls.to_csv("calls.tsv.gz", index=False, sep="\t")
    days = pd.Series(pd.date_range("2024-01-01", periods=60).strftime("%d/%m/%Y")).sample(frac=1, random_state=0)
    calls.assign(day=days.to_numpy()).to_csv("visits.tsv.gz", index=False, sep="\t")
    sites = ["CYT"] * 20 + ["NUC"] * 12 + ["MIT"] * 8 + ["ME2"] * 8 + ["POX"] * 6 + ["ERL"] * 6
    frame.drop(columns="left").assign(site=sites).to_csv("cells.csv", index=False)
    with pd.ExcelWriter("survey.xlsx") as book:
        frame.to_excel(book, sheet_name="2024", index=False)
        frame.to_excel(book, sheet_name="2023", index=False)
    with closing(sqlite3.connect("shop.db")) as connection:
        frame.assign(id=range(60)).to_sql("customers", connection, index=False)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_every_command_of_the_page_runs(command, tables_of_the_page, monkeypatch):
    monkeypatch.setenv("SHOP_DB", "sqlite:///shop.db")
    _, _, *words = shlex.split(command)
    study = python_runs.compose(*words, "learner=[logistic]", "strategy=[none]", "protocol=smoke")
    [(key, spec)] = study.datasets.items()
    data = datasets.read_dataset(spec, key)
    assert len(data.X) == (54 if data.dropped_classes else 60)
    assert (data.time is not None) == ("time=day" in command)
    assert running.lay_out(study).cells


def test_the_page_names_every_option():
    page = PAGE.read_text(encoding="utf-8")
    for option in (
        *table_files.FILE_OPTIONS,
        "missing",
        "numeric",
        "categorical",
        "time_format",
        "url_env",
        "positive",
        "merge",
        "drop_classes",
    ):
        assert re.search(rf"\b{option}\b", page), option


def test_a_table_is_named_by_its_file_without_endings():
    assert [*map(table_files.table_name, map(Path, ("data/churn.CSV.gz", "v1.2.parquet")))] == ["churn", "v1.2"]
    assert [*map(table_files.is_table, map(Path, ("data/churn.csv.gz", "smote")))] == [True, False]


def test_decimal_commas_are_no_separators():
    table = formats.read_delimited(b"a;b\n1,5;x\n", is_tab_file=False)
    assert (table.names, table.separator) == (["a", "b"], ";")
    assert [column.to_pylist() for column in table.columns] == [["1,5"], ["x"]]


def test_names_that_are_nearly_right_are_known():
    names = ("lft", ["a", "left"]), ("Kundigung", ["Kündigung"]), ("x", ["left"])
    assert [notation.nearest_name(*each) for each in names] == ["left", "Kündigung", None]
    assert [notation.column_named(name, ["age", " left"]) for name in ("left", "lft")] == [" left", "lft"]
    texts = ("id, age", "id,aeg", "id")
    assert [notation.comma_parts(text, ["age", "id"]) for text in texts] == [["id", "age"], [], []]


def test_texts_are_numbers_dates_or_missing():
    assert [*map(notation.is_missing_marker, (" NA ", "paved", "?"))] == [True, False, True]
    numbers = map(notation.canonical_number, ("12", "1.5", "1.50", "007", "1e5"))
    assert [*numbers] == [12, 1.5, None, None, None]
    dates = (["2024-01-31", "2024-02-01 10:30"], ["31.01.2024"], ["1.2.3"])
    assert [*map(notation.date_form, dates)] == ["year first", "dots", None]


def test_values_of_two_types_and_one_text_are_known():
    assert columns.values_of_one_text([1, "1", 2]) == "1 (number) and '1' (text)"
    assert columns.values_of_one_text([True, 0, 1]) == "True (flag) and 1 (number)"
    assert columns.values_of_one_text(["a", 1, 1.0]) is None


def test_columns_of_repeated_ids_are_counted():
    ids = pd.Series(np.arange(60) // 3)
    names = ("patientId", "order_id", "age", "customer_age")
    assert [inspection._count_repeated_ids(name, ids) for name in names] == [20, 20, 0, 0]
