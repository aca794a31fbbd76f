"""What inner tuning saw, what it chose, and what its values were worth on rows it never saw."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from imblab.result import Evaluation
from imblab.study import Scalar, in_declared_order


def response(rows: Iterable[Evaluation]) -> pd.DataFrame:
    """The inner value of every candidate, averaged over the outer cells of its data set, learner and strategy.

    Parameters
    ----------
    rows : iterable of Evaluation

    Returns
    -------
    DataFrame
        ``dataset learner strategy``, ``params`` (a mapping), ``value`` (mean of the inner values), ``cells`` (how many
        have one), ``of`` (how many were searched), ``chosen`` (in how many it won). A mean over fewer cells than were
        searched does not compare with the others; ``cells < of`` marks it.

    Examples
    --------
    >>> response([]).columns.tolist()
    ['dataset', 'learner', 'strategy', 'params', 'value', 'cells', 'of', 'chosen']
    """
    found: dict[tuple[str, str, str], dict[tuple[tuple[str, Scalar], ...], list[float]]] = {}
    won: Counter[Any] = Counter()
    searched: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        arm = (row.dataset, row.learner, row.strategy)
        values = {_key(t.params): t.value for t in row.trials if t.status == "ok" and t.value is not None and t.params}
        if not values:
            continue
        searched[arm] += 1
        if row.status == "ok":
            won[arm, _key(row.params)] += 1
        for params, value in values.items():
            found.setdefault(arm, {}).setdefault(params, []).append(value)
    columns = ["dataset", "learner", "strategy", "params", "value", "cells", "of", "chosen"]
    records = [
        (*arm, dict(params), float(np.mean(values)), len(values), searched[arm], won[arm, params])
        for arm, candidates in found.items()
        for params, values in candidates.items()
    ]
    return pd.DataFrame(records, columns=columns)


def along(
    candidates: pd.DataFrame, axis: str, by: str | None = None, greater_is_better: bool = True
) -> dict[Scalar | None, tuple[list[float], list[float]]]:
    """Curves over one knob: the best mean value at each of its values, for each value of another knob.

    Parameters
    ----------
    candidates : DataFrame
        The rows of one arm, from :func:`response`; those without a value in every cell are left out.
    axis : str
        A knob that takes numbers.
    by : str, optional
        Another knob.
    greater_is_better : bool, default=True

    Returns
    -------
    dict
        Sorted ``(values of axis, mean values)`` by value of ``by``; None where there is no such knob.
    """
    better = max if greater_is_better else min
    best: dict[Scalar | None, dict[float, float]] = {}
    for item in candidates.to_dict("records"):
        params, value = item["params"], float(item["value"])
        at = params.get(axis)
        if item["cells"] < item["of"] or isinstance(at, (str, bool)) or at is None:
            continue
        line = best.setdefault(params.get(by) if by else None, {})
        line[float(at)] = better(value, line.get(float(at), value))
    return {key: (sorted(line), [line[v] for v in sorted(line)]) for key, line in best.items()}


def scattered(rows: Iterable[Evaluation], axis: str) -> tuple[list[float], list[float]]:
    """The inner values of all candidates of an arm against one knob, cell by cell, not averaged.

    Parameters
    ----------
    rows : iterable of Evaluation
        Of one data set, learner and strategy.
    axis : str
        A knob that takes numbers.

    Returns
    -------
    tuple of (list of float, list of float)
        Values of the knob and inner values: for searches whose candidates differ from cell to cell.
    """
    found = [
        (float(t.params[axis]), t.value)
        for row in rows
        for t in row.trials
        if t.status == "ok" and t.value is not None and isinstance(t.params.get(axis), (int, float))
    ]
    return [x for x, _ in found], [y for _, y in found]


def optimism(frame: pd.DataFrame, primary: str, pooled: Callable[..., Any] | None) -> pd.DataFrame:
    """The inner value of the winners beside the outer score of the same kind.

    Parameters
    ----------
    frame : DataFrame
        As :func:`imblab.analysis.table.tidy` gives it.
    primary : str
        The measure that was tuned.
    pooled : callable or None
        ``f(tn, fp, fn, tp)`` of a measure of counts. Its inner values rest on counts summed over folds, so the outer
        counts of a repeat are summed too; a mean of fold scores would differ without any optimism. None for other
        measures, which are averaged over folds on both sides.

    Returns
    -------
    DataFrame
        ``dataset learner strategy inner outer optimism cells``; arms that tuned nothing have no row.
    """
    records = []
    for arm, rows in frame[frame.status == "ok"].groupby(["dataset", "learner", "strategy"], sort=False):
        if rows.value.isna().any():
            continue
        inner = float(rows.value.mean())
        outer = float(rows[primary].mean()) if pooled is None else _pooled(rows, pooled)
        records.append((*arm, inner, outer, inner - outer, len(rows)))
    return pd.DataFrame(records, columns=["dataset", "learner", "strategy", "inner", "outer", "optimism", "cells"])


def chosen(frame: pd.DataFrame) -> pd.DataFrame:
    """How often every value of a knob was chosen.

    Parameters
    ----------
    frame : DataFrame
        As :func:`imblab.analysis.table.tidy` gives it.

    Returns
    -------
    DataFrame
        ``dataset learner strategy knob``, ``values`` (pairs of value and count, the most frequent first, ties by
        value), ``agreement`` (share of the cells that chose the most frequent one), ``cells``. Knobs that took one
        value where one candidate was all there was are left out: nothing was chosen.
    """
    records = []
    for arm, rows in frame[frame.status == "ok"].groupby(["dataset", "learner", "strategy"], sort=False):
        if rows.candidates.max() <= 1:
            continue
        for knob in in_declared_order({name for params in rows.params for name in params}):
            counts = Counter(params[knob] for params in rows.params if knob in params)
            values = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
            records.append((*arm, knob, tuple(values), values[0][1] / len(rows), len(rows)))
    return pd.DataFrame(records, columns=["dataset", "learner", "strategy", "knob", "values", "agreement", "cells"])


def received(rows: Sequence[Evaluation]) -> float:
    """The ratio of positives to negatives that the learner received, weights included; the mean over cells.

    ``balanced`` weighs both classes alike, which is the ratio 1. NaN where no row says what was received.

    Examples
    --------
    >>> row = Evaluation("d", "l", "s", 0, 0, {"weight": 10.0}, 0.5, {}, {}, 0.1, "ok", None, "f",
    ...                  reached={"negative": 900, "positive": 30})
    >>> received([row])
    0.3333333333333333
    """
    ratios = [_received(row) for row in rows if row.status == "ok" and row.reached.get("negative")]
    return float(np.mean(ratios)) if ratios else math.nan


def _received(row: Evaluation) -> float:
    weight = row.params.get("weight", 1.0)
    if weight == "balanced":
        return 1.0
    return float(float(weight) * row.reached["positive"] / row.reached["negative"])


def _pooled(rows: pd.DataFrame, function: Callable[..., Any]) -> float:
    sums = rows.groupby("repeat")[["tn", "fp", "fn", "tp"]].sum()
    values = np.asarray(function(*(sums[c].to_numpy() for c in ("tn", "fp", "fn", "tp"))), dtype=float)
    return float(values.mean())


def _key(params: Any) -> tuple[tuple[str, Scalar], ...]:
    return tuple((name, params[name]) for name in in_declared_order(params))
