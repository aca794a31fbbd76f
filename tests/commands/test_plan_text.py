"""The text of a plan: its price first, one line per data set beyond five, details on request."""

import re
from dataclasses import asdict, replace

import pytest

from imblab.analysis.claims import FamilyPower
from imblab.commands.plan_text import MAX_LINES, plan_text
from imblab.stats.paired_tests import FoldSpread

CLASS_ROW = re.compile(r"^class_\d+ +\d[\d,]* +[\d,]+(?:-[\d,]+)? ", re.MULTILINE)
CLASS_IN_FOLDS = re.compile(r"^class_\d+ +\d[\d,]* \+ ", re.MULTILINE)
PRICE = {"seconds": 360.0, "n_jobs": 2, "bytes": 2**30, "untimed": []}
FAMILY = FamilyPower(
    "a", "logistic", "primary", 1, None, 2.5, 2.4, FoldSpread(0.1, 0.05, 0.2), 0.25, 0.125, 0.5, 0.24, 0.02
)


def plan(n_tables, warnings=0, **changes):
    names = [f"keel_ecoli_0_1_3_7_vs_2_{i}" for i in range(n_tables)]
    folds = [{"train": 80, "train_pos": 16, "test": 20, "test_pos": 4}] * 5
    facts = {"rows": 100, "features": 4, "positives": 20, "ratio": 4.0, "folds": folds}
    facts["warnings"] = [f"A long warning about this table, number {i}, " + "with words " * 9 for i in range(warnings)]
    family = replace(FAMILY, **changes)
    return {
        "study": "many",
        "cells": 7_500,
        "fits": 123_456,
        "protocol": {"repeats": 1, "outer_folds": 5},
        "measure": "mcc",
        "price": PRICE,
        "datasets": [{"name": name, **facts} for name in names],
        "learners": ["logistic", "lightgbm"],
        "strategies": [{"name": f"strategy_{i}", "candidates": 3} for i in range(17)],
        "contrasts": [{"contrast": "a - b", "family": "primary", "applicable": 1, "families": 1}],
        "inapplicable": [
            {"dataset": name, "strategy": "adasyn", "value": "any value", "reason": "no form", "folds": 5}
            for name in names
        ],
        "power": [asdict(replace(family, dataset=n, learner=m)) for n in names for m in ("logistic", "lightgbm")],
    }


@pytest.mark.parametrize("n_tables", [6, 20, 30, 120])
def test_many_tables_have_one_line_each_and_at_most_forty_in_all(n_tables):
    lines = plan_text(plan(n_tables, warnings=2), 80).splitlines()
    assert len(lines) <= MAX_LINES
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("About 6.0 min on 2 processes")
    listed = [line for line in lines if line.startswith("keel_")]
    assert all("0.25 [0.12, 0.50]" in line for line in listed)
    if n_tables > len(listed):
        assert f"and {n_tables - len(listed)} more: --full" in lines
    assert len(listed) >= min(n_tables, 25)


def test_with_full_every_table_its_warnings_and_every_family_are_there():
    text = plan_text(plan(8, warnings=1), 80, full=True)
    assert text.count("A long warning") == 8
    assert text.count("primary") >= 16
    assert max(map(len, text.splitlines())) <= 80


def test_candidates_that_are_not_applicable_stand_apart():
    facts = {"dataset": "t", "strategy": "smote", "folds": 5, "learners": ["knn"], "reason": "too few rows"}
    made = plan(1) | {"inapplicable": [{**facts, "value": f"ratio=0.1, k={k}"} for k in (3, 5)]}
    text = " ".join(plan_text(made, 80).split())
    assert "left out: t, knn, smote with ratio=0.1, k=3; ratio=0.1, k=5: too few rows (folds: 5)" in text


def test_up_to_five_tables_are_described_and_what_is_wrong_comes_before_them():
    text = plan_text(plan(5, warnings=1), 80)
    assert text.index("About 6.0 min") < text.index("A long warning") < text.index("100 rows, 4 features")
    assert "train rows" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"is_reached": True}, "as it is"),
        ({"repeats_needed": 12, "positives_needed": 4_381}, "12 repeats"),
        ({"folds_needed": 10, "positives_needed": 4_381}, "10 folds"),
        ({"positives_needed": 4_381}, "4,400 positives"),
        ({"detectable": None, "spread": None, "equivalence": None, "region": None}, "2.5 sd"),
        ({"reason": "no test, since folds follow the time"}, "no test"),
    ],
)
def test_a_line_says_what_is_found_and_what_equivalence_needs(changes, words):
    lines = plan_text(plan(1, **changes), 80).splitlines()
    assert any(words in line for line in lines if line.startswith("keel_ecoli_0_1_3_7_vs_2_0  "))


def class_facts(name, n_classes, label="class"):
    """A table with more than two classes, in five folds whose parts differ by a row."""
    rows = [40 * (n_classes - i) + 5 for i in range(n_classes)]
    folds = []
    for fold in range(5):
        test = [n // 5 + (fold < n % 5 + 1) for n in rows]
        train = [n - t for n, t in zip(rows, test, strict=True)]
        parts = {"train": sum(train), "train_class_rows": train, "test": sum(test), "test_class_rows": test}
        folds.append({"repeat": 0, "fold": fold, **parts})
    classes = [f"{label}_{i}" for i in range(n_classes)]
    facts = {"rows": sum(rows), "features": 4, "class_rows": rows, "classes": classes, "ratio": rows[0] / rows[-1]}
    return {"name": name, **facts, "folds": folds, "warnings": [f"{name!r} has few rows of some classes."]}


def with_classes(*tables, n_pairs=0):
    made = plan(n_pairs)
    made["strategies"] = made["strategies"][:6]
    made["datasets"] = [*made["datasets"], *(class_facts(f"table_{i}", n) for i, n in enumerate(tables))]
    return made


def test_a_table_of_more_classes_has_a_row_per_class():
    lines = plan_text(with_classes(4), 80).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("class "))
    assert lines[start - 1] == "table_0: 420 rows, 4 features, 4 classes (1 to 3.67)"
    assert lines[start].split("  ")[0] == "class"
    assert [line.split() for line in lines[start + 2 : start + 7]] == [
        ["all", "420", "332-336", "84-88"],
        ["class_0", "165", "131-132", "33-34"],
        ["class_1", "125", "99-100", "25-26"],
        ["class_2", "85", "67-68", "17-18"],
        ["class_3", "45", "35-36", "9-10"],
    ]


def test_with_full_every_fold_has_the_rows_of_each_class():
    made = with_classes(4)
    lines = plan_text(made, 80, full=True).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("training + test"))
    assert lines[start].split()[3:] == [word for i in range(5) for word in ("fold", str(i))]
    folds = made["datasets"][0]["folds"]
    for number in range(4):
        cells = [f"{f['train_class_rows'][number]} + {f['test_class_rows'][number]}" for f in folds]
        assert " ".join(lines[start + 2 + number].split()) == f"class_{number} {' '.join(cells)}"


def test_with_repeats_the_tables_of_folds_say_which_and_keep_to_the_width():
    made = with_classes(6)
    folds = made["datasets"][0]["folds"]
    made["datasets"][0]["folds"] = [{**fold, "repeat": repeat} for repeat in range(3) for fold in folds]
    text = plan_text(made, 80, full=True)
    assert all(text.count(f"repeat {repeat}, fold {fold}") == 1 for repeat in range(3) for fold in range(5))
    assert max(map(len, text.splitlines())) <= 80


def test_names_of_predefined_folds_and_labels_of_any_length_are_shown():
    made = with_classes(3)
    made["datasets"][0] |= {"fold_names": [f"centre {i} " + "x" * 20 * i for i in range(5)]}
    made["datasets"][0]["classes"] = ["a" * 100, "b", "c d " * 30]
    text = plan_text(made, 80, full=True)
    assert max(map(len, text.splitlines())) <= 80
    assert text.replace("\n", "").replace(" ", "").count("x") >= 200


@pytest.mark.sampled(5)
@pytest.mark.parametrize("tables", [(3,), (10,), (20,), (100,), (10, 6, 5), (5, 5, 5, 5, 5), (20,) * 6, (8,) * 30])
@pytest.mark.parametrize("n_pairs", [0, 1, 8])
def test_a_plan_with_more_classes_has_at_most_forty_lines_and_the_rarest_classes(tables, n_pairs):
    lines = plan_text(with_classes(*tables, n_pairs=n_pairs), 80).splitlines()
    assert len(lines) <= MAX_LINES
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    if len(tables) <= 5:
        assert all(f"class_{n - 1} " in text for n in tables), "the rarest class is always there"
    if text.count("class_") < sum(tables):
        assert "--full" in text
    everything = plan_text(with_classes(*tables, n_pairs=n_pairs), 80, full=True)
    described, per_fold = (pattern.findall(everything) for pattern in (CLASS_ROW, CLASS_IN_FOLDS))
    assert len(described) == sum(tables)
    assert len(per_fold) >= sum(tables)
    assert max(map(len, everything.splitlines())) <= 80


def test_next_to_more_classes_a_table_of_two_shows_its_rarer_one():
    lines = plan_text(with_classes(10, 6, 5, n_pairs=3), 80).splitlines()
    header = next(line for line in lines if line.startswith("data set"))
    assert "rarest / fold" in header
    assert any(line.split()[:4] == ["table_0", "45", "/", "9"] for line in lines)
    assert any(line.startswith("keel_") and "20 / 4" in line for line in lines)
