"""Columns that give the label away: planted ones are found, by each of their signs, and honest ones are not."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from imblab.core.table_clues import telling_columns
from imblab.edges import datasets
from imblab.study import Dataset


def table(y, classes=("no", "yes"), **columns):
    frame = pd.DataFrame(columns)
    categorical = tuple(name for name in frame if frame[name].dtype == "category")
    return Dataset("d", frame, y, classes, categorical)


def kinds(data):
    return {clue.column: clue.kind for clue in telling_columns(data)}


RNG = np.random.default_rng(0)
Y = RNG.permutation(np.r_[np.ones(60), np.zeros(540)]).astype(int)
NOISE = RNG.normal(size=600)
DAYS = pd.date_range("2022-01-01", periods=600, freq="D")


def test_honest_columns_are_not_named():
    texts = pd.Series(RNG.integers(0, 80, size=600).astype(str)).astype("category")
    gaps = np.where(RNG.random(600) < 0.3, np.nan, NOISE)
    data = table(Y, noise=NOISE, good=NOISE + 2 * Y, texts=texts, gaps=gaps, whole=RNG.permutation(600) * 3.0)
    assert kinds(data) == {}


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (NOISE + 8 * Y, "ranking"),
        (NOISE - 8 * Y, "ranking"),
        (5.0 - Y, "function"),
        (pd.Series(np.where(Y == 1, "closed", "open")).astype("category"), "function"),
        (np.where(Y == 1, RNG.integers(0, 3, 600) * 2, RNG.integers(0, 3, 600) * 2 + 1).astype(float), "function"),
        (np.where(Y == 1, NOISE, np.nan), "missing"),
        (np.where((Y == 1) | (RNG.random(600) < 0.01), np.nan, NOISE), "missing"),
        (np.arange(600.0) + 1, "row numbers"),
        (RNG.permutation(600) + 1000.0, "row numbers"),
        (np.sort(NOISE), "row order"),
        (RNG.permutation(DAYS.strftime("%Y%m%d").astype(float).to_numpy()), "dates"),
        (RNG.permutation(DAYS.to_numpy().astype("datetime64[s]").astype(float)), "dates"),
        (RNG.permutation(DAYS.to_numpy().astype("datetime64[ms]").astype(float)), "dates"),
    ],
)
def test_a_planted_column_is_named_with_its_sign(column, kind):
    assert kinds(table(Y, noise=NOISE, planted=column)) == {"planted": kind}


def test_a_category_that_ranks_almost_perfectly_is_found_by_rates_of_other_rows():
    leak = np.where(RNG.random(600) < 0.002, 1 - Y, Y)
    texts = pd.Series(np.char.add(np.where(leak == 1, "p", "n"), RNG.integers(0, 8, 600).astype(str))).astype(
        "category"
    )
    clues = telling_columns(table(Y, noise=NOISE, planted=texts))
    assert [(clue.column, clue.kind, clue.label) for clue in clues] in (
        [("planted", "ranking", "yes")],
        [("planted", "function", "")],
    )


def test_the_area_is_that_of_scikit_learn():
    column = NOISE - 5 * Y
    (clue,) = telling_columns(table(Y, planted=column))
    assert clue.auc == pytest.approx(roc_auc_score(Y, -column))


def test_many_levels_of_noise_tell_nothing():
    """Rates of the same rows would rank perfectly."""
    texts = pd.Series([f"level{i}" for i in RNG.permutation(np.arange(600) // 6)]).astype("category")
    assert kinds(table(Y, texts=texts)) == {}


def test_with_several_classes_the_class_is_named():
    y = np.repeat([0, 1, 2], 100)
    data = table(y, ("a", "b", "c"), partial=NOISE[:300] + 9 * (y == 1), label=y * 1.0 + 4)
    assert {clue.column: (clue.kind, clue.label) for clue in telling_columns(data)} == {
        "partial": ("ranking", "b"),
        "label": ("function", ""),
    }


def test_what_the_bundled_tables_give_away():
    """``erl`` of yeast is the signal by which proteins stay in the endoplasmic reticulum, class ERL."""
    found = {}
    for name in ("ecoli3", "yeast4", "abalone19", "hypothyroid", "yeast", "glass"):
        clues = kinds(datasets.read_dataset({"kind": "bundled", "table": name}, name))
        found |= {name: clues} if clues else {}
    assert found == {"yeast": {"erl": "ranking"}}
