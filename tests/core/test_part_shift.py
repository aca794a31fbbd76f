"""The classifier two-sample test: its errors of both kinds."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact

from imblab.core import table_clues as module
from imblab.core.table_clues import MAX_DRAWN_ROWS, part_shift
from imblab.study import Dataset, Split


def shift(seed, drift, n=240, n_test=80):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=list("abc"))
    X["level"] = pd.Series(rng.integers(0, 3, n).astype(str)).astype("category")
    X.loc[X.index >= n - n_test, "a"] += drift
    X.loc[rng.random(n) < 0.1, "b"] = np.nan
    data = Dataset("d", X, (rng.random(n) < 0.2).astype(int), ("no", "yes"), ("level",))
    return part_shift(data, Split(0, 2, np.arange(n - n_test), np.arange(n - n_test, n), ""), seed)


@pytest.mark.slow
def test_without_a_shift_p_values_are_not_small_more_often_than_stated():
    p = np.array([shift(seed, 0.0).p for seed in range(40)])
    assert (p < 0.05).mean() <= 0.125
    assert (p < 0.01).mean() <= 0.05


def test_a_shift_is_found():
    assert all(shift(seed, 3.0).p < 1e-4 for seed in range(3))


def test_what_is_reported():
    found = shift(0, 3.0)
    assert (found.dataset, found.repeat, found.fold, found.rows) == ("d", 0, 2, 80)
    assert 0.8 < found.accuracy <= 1
    assert 0 < found.rarest_in_train < 0.5
    assert shift(0, 3.0) == found


def test_few_rows_are_not_judged_and_many_are_drawn():
    assert shift(0, 0.0, n_test=19) is None
    found = shift(0, 0.0, n=2 * MAX_DRAWN_ROWS + 100, n_test=MAX_DRAWN_ROWS + 50)
    assert found.rows == MAX_DRAWN_ROWS
    assert found.p > 0.001


class ByFirstColumn:
    """Tells the parts apart by the sign of a column, and notes its answers."""

    answers: list

    def __init__(self, *args, **options):
        pass

    def fit(self, X, y):
        return self

    def predict(self, X):
        self.answers.append((X[:, 0] > 0).astype(int))
        return self.answers[-1]


def test_p_is_that_of_fishers_exact_test(monkeypatch):
    monkeypatch.setattr(module, "RandomForestClassifier", ByFirstColumn)
    for drift in (-1.0, 0.0, 1.0):
        monkeypatch.setattr(ByFirstColumn, "answers", [], raising=False)
        found, (predicted,) = shift(3, drift), ByFirstColumn.answers
        is_test = np.repeat([0, 1], len(predicted) // 2)
        table = [[((predicted == a) & (is_test == b)).sum() for b in (1, 0)] for a in (1, 0)]
        assert found.p == pytest.approx(fisher_exact(table, alternative="greater").pvalue)
        assert found.accuracy == (predicted == is_test).mean()
