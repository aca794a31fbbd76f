"""The inner searches: a run a candidate, a winner or a trial, and the whole of them as one table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import pandas as pd

from imblab.edges.mlflow.cell_runs import knob_text
from imblab.result import Evaluation, Trial
from imblab.study import FITTED_KNOBS, Scalar, Study, fingerprint

#: What a candidate scored on the inner folds, beside the value of the primary measure.
INNER_MEASURES = ("mcc", "pr_auc", "recall")
Inner = Mapping[str, Sequence[Mapping[str, float]]]
Metric = tuple[str, float, int]


@dataclass(frozen=True, slots=True)
class Searched:
    """One run below that of a cell.

    Attributes
    ----------
    address : str
        Below the cell.
    name : str
    role : {"candidate", "winner", "trial"}
    tags, params : mapping of str to str
    metrics : tuple of (key, value, step)
    seconds : float
        What it took, where that is recorded: the row of a winner.
    """

    address: str
    name: str
    role: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: tuple[Metric, ...]
    seconds: float = 0.0


def coordinate_tags(row: Evaluation) -> dict[str, str]:
    """Where a run stands, as tags."""
    return {f"imblab.{name}": getattr(row, name) for name in ("dataset", "learner", "strategy")}


def describe_search(study: Study, members: Sequence[Evaluation], inner: Inner, mode: str) -> list[Searched]:
    """The runs below that of a cell; none where nothing was searched.

    Parameters
    ----------
    study : Study
    members : sequence of Evaluation
        The rows of one data set, learner and strategy.
    inner : mapping of str to sequence of mapping
        By the key of a row, what every trial scored on the inner folds, as far as it is known.
    mode : {"candidates", "winners", "trials", "none"}
        ``candidates``: where the outer folds of a repeat judged the same candidates, one run a candidate, averaged over
        these folds (over all repeats where all judged the same); elsewhere ``winners``: one run an outer fold.
        ``trials``: one run a candidate and outer fold.

    Returns
    -------
    list of Searched
    """
    if mode == "none" or len({_key(t.params) for row in members for t in row.trials}) < 2:
        return []
    if mode == "trials":
        return [_trial(study, row, i, t, inner) for row in members for i, t in enumerate(row.trials)]
    parts = _alike(members) if mode == "candidates" else None
    if parts is None:
        return [found for row in members if (found := _winner(study, row, inner)) is not None]
    return [run for name, rows in parts for run in _candidates(study, rows, name, inner)]


def search_table(rows: Sequence[Evaluation], inner: Inner) -> pd.DataFrame:
    """Every trial of every search, a row each.

    Parameters
    ----------
    rows : sequence of Evaluation
    inner : mapping of str to sequence of mapping

    Returns
    -------
    DataFrame
        ``dataset learner strategy repeat fold trial status params`` (JSON) ``ratio k weight threshold value chosen``,
        the scores of :data:`INNER` where they are known, and ``reason``.
    """
    records = []
    for row in rows:
        known = inner.get(row.key, ())
        for i, trial in enumerate(row.trials):
            knobs = {k: trial.params.get(k) for k in FITTED_KNOBS}
            scores = known[i] if i < len(known) else {}
            records.append(
                {
                    **{n: getattr(row, n) for n in ("dataset", "learner", "strategy", "repeat", "fold")},
                    **{"trial": i, "status": trial.status, "params": json.dumps(dict(trial.params))},
                    **{k: None if v is None else str(v) for k, v in knobs.items()},
                    **{"threshold": trial.threshold, "value": trial.value, "chosen": _is_chosen(row, trial)},
                    **{f"inner_{name}": scores.get(name) for name in INNER_MEASURES},
                    "reason": trial.reason,
                }
            )
    numbers = ("threshold", "value", *(f"inner_{name}" for name in INNER_MEASURES))
    columns = ["dataset", "learner", "strategy", "repeat", "fold", "trial", "status", "params", *FITTED_KNOBS]
    frame = pd.DataFrame(records, columns=[*columns, *numbers[:2], "chosen", *numbers[2:], "reason"])
    return frame.astype(dict.fromkeys(numbers, "float64"))


def read_inner_scores(frame: pd.DataFrame, rows: Sequence[Evaluation]) -> dict[str, list[dict[str, float]]]:
    """What :func:`whole` holds of the inner scores, as it was given.

    Parameters
    ----------
    frame : DataFrame
    rows : sequence of Evaluation

    Returns
    -------
    dict of str to list of dict
    """
    where = ["dataset", "learner", "strategy", "repeat", "fold"]
    found: dict[str, list[dict[str, float]]] = {}
    for *at, mcc, pr_auc, recall in frame[[*where, *(f"inner_{n}" for n in INNER_MEASURES)]].itertuples(
        index=False, name=None
    ):
        scores = {n: v for n, v in zip(INNER_MEASURES, (mcc, pr_auc, recall), strict=True) if v == v}
        found.setdefault("/".join(map(str, at)), []).append(scores)
    return {row.key: found[row.key] for row in rows if any(found.get(row.key, ()))}


def invalid_table_reason(frame: pd.DataFrame) -> str | None:
    """What of a frame is not as :func:`whole` makes it, in words; None where all is.

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    str or None
    """
    for column in ("dataset", "learner", "strategy", "repeat", "fold"):
        if column not in frame:
            return f"column {column!r} is missing"
    for column in (f"inner_{name}" for name in INNER_MEASURES):
        if column not in frame or frame[column].dtype.kind != "f" or np.isinf(frame[column]).any():
            return f"column {column!r} is missing, or holds more than finite numbers"
    return None


def _alike(members: Sequence[Evaluation]) -> list[tuple[str, list[Evaluation]]] | None:
    """Rows that judged the same candidates: all of them, or those of each repeat; None where folds of one differ."""
    repeats: dict[int, list[Evaluation]] = {}
    for row in members:
        if row.trials:
            repeats.setdefault(row.repeat, []).append(row)
    judged = {n: {frozenset(_key(t.params) for t in row.trials) for row in rows} for n, rows in repeats.items()}
    if any(len(found) > 1 for found in judged.values()):
        return None
    if len({next(iter(found)) for found in judged.values()}) == 1:
        return [("all", [row for row in members if row.trials])]
    return [(str(n), rows) for n, rows in repeats.items()]


def _candidates(study: Study, rows: Sequence[Evaluation], part: str, inner: Inner) -> Iterator[Searched]:
    order = list(dict.fromkeys(_key(t.params) for t in rows[0].trials))
    for key in order:
        found = [(row, i, t) for row in rows for i, t in enumerate(row.trials) if _key(t.params) == key]
        first = {(row.repeat, row.fold): (row, i, t) for row, i, t in reversed(found)}  # a repeated one counts once
        judged = [item for item in first.values() if item[2].value is not None]
        params = found[0][2].params
        scores = [_scores(study, *item, inner) for item in judged]
        metrics = {
            n: float(np.mean([s[n] for s in scores if n in s])) for n in dict.fromkeys(k for s in scores for k in s)
        }
        metrics |= {
            "n_folds": float(len(judged)),
            "n_chosen": float(sum(_is_chosen(r, t) for r, _, t in first.values())),
        }
        cuts = [t.threshold for _, _, t in judged if t.threshold is not None]
        cut = float(median(cuts)) if cuts else None
        yield Searched(
            f"{part}/{fingerprint(dict(params))[:8]}",
            _name(params) if part == "all" else f"{_name(params)} (repeat {part})",
            "candidate",
            {"imblab.repeat": part, "imblab.status": _status(t for _, _, t in found)},
            _params(rows[0], params, cut),
            tuple((name, value, 0) for name, value in metrics.items()),
        )


def _status(trials: Iterable[Trial]) -> str:
    """``ok`` where a candidate was judged in any fold, else why not."""
    found = [trial.status for trial in trials]
    return "ok" if {"ok", "repeated"} & set(found) else found[0]


def _winner(study: Study, row: Evaluation, inner: Inner) -> Searched | None:
    chosen = next(((i, t) for i, t in enumerate(row.trials) if _is_chosen(row, t)), None)
    if chosen is None:
        return None
    step = row.repeat * study.protocol.outer_folds + row.fold
    outer = [(f"fold/{name}", value, step) for name, value in row.scores.items() if value is not None]
    metrics = (*((n, v, 0) for n, v in _scores(study, row, *chosen, inner).items()), *outer)
    name = f"repeat {row.repeat} fold {row.fold}: {_name(row.params)}"
    where = {"imblab.repeat": str(row.repeat), "imblab.fold": str(row.fold)}
    params = _params(row, row.params, row.threshold)
    return Searched(f"{row.repeat}/{row.fold}", name, "winner", where, params, metrics, row.seconds)


def _trial(study: Study, row: Evaluation, i: int, trial: Trial, inner: Inner) -> Searched:
    where = {"imblab.repeat": str(row.repeat), "imblab.fold": str(row.fold), "imblab.status": trial.status}
    where |= {"imblab.reason": trial.reason} if trial.reason else {}
    metrics = tuple((n, v, 0) for n, v in _scores(study, row, i, trial, inner).items())
    name = f"repeat {row.repeat} fold {row.fold} trial {i}: {_name(trial.params)}"
    address = f"{row.repeat}/{row.fold}/{i}"
    return Searched(address, name, "trial", where, _params(row, trial.params, trial.threshold), metrics)


def _scores(study: Study, row: Evaluation, i: int, trial: Trial, inner: Inner) -> dict[str, float]:
    """What a trial scored on the inner folds, with the cut it was judged at."""
    known = inner.get(row.key, ())
    found = {f"inner/{name}": value for name, value in (known[i] if i < len(known) else {}).items()}
    found |= {f"inner/{study.primary}": trial.value} if trial.value is not None else {}
    return found | ({"inner/threshold": trial.threshold} if trial.threshold is not None else {})


def _is_chosen(row: Evaluation, trial: Trial) -> bool:
    """Whether a trial is the one that was refit; a repeated one is not."""
    return (trial.status, dict(trial.params), trial.threshold) == ("ok", dict(row.params), row.threshold)


def _params(row: Evaluation, params: Mapping[str, Scalar], threshold: float | None) -> dict[str, str]:
    found = {"dataset": row.dataset, "learner": row.learner, "strategy": row.strategy}
    found |= {name: knob_text(value) for name, value in params.items()}
    return found | ({} if threshold is None else {"threshold": knob_text(threshold)})


def _name(params: Mapping[str, Scalar]) -> str:
    return " ".join(f"{name}={knob_text(value)}" for name, value in params.items()) or "no knobs"


def _key(params: Mapping[str, Scalar]) -> str:
    return json.dumps(dict(params), sort_keys=True)
