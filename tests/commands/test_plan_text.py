"""The text of a plan: its price first, one line per data set beyond five, details on request."""

from dataclasses import asdict, replace

import pytest

from imblab.analysis.planned_power import FamilyPower, FoldSpread
from imblab.commands.plan_text import MAX_LINES, plan_text

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
