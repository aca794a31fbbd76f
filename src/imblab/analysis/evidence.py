"""What a ledger lacks: the counts at the cuts of every test part, calibration, chance lines, where synthetic rows fall.

One long frame a study, with the columns of :data:`COLUMNS`; what ``name``, ``x``, ``y`` and ``z`` mean depends on
``kind``:

=============== ====================== =========================== ======================= =====================
kind            name                   x                           y                       z
=============== ====================== =========================== ======================= =====================
``cut``         null                   threshold (p >= x is        false positives         true positives
                                       positive)
``chance``      ``pr_auc``             expected value of a random  null                    null
                                       ranking
``bin``         number of the bin      rows                        sum of the risks        positives
``calibration`` statistic              value                       null                    null
``prior``       statistic              value after prior           null                    null
                                       correction
``synthetic``   ``nearer_to_majority`` share of the rows made      number of rows made     null
=============== ====================== =========================== ======================= =====================

``bin``, ``calibration`` and ``prior`` pool the outer test rows of a repeat and have fold -1; the others belong to one
outer cell. Of the distinct cuts those are kept that make precision-recall and ROC curves, the areas under both and the
counts at i/100 exact; a kept threshold is the shortest number that calls the same rows positive. Decision values d are
cut one by one, from the highest down, and x is ``1 / (1 + exp(-d))``: one number for several cuts where d is large.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.special import expit

from imblab.stats import scoring_rules
from imblab.stats.curves import chance_average_precision_of

COORDINATES = ("dataset", "learner", "strategy", "repeat", "fold")
COLUMNS = (*COORDINATES, "kind", "name", "x", "y", "z")
KINDS = ("cut", "chance", "bin", "calibration", "prior", "synthetic")
#: The fold of what all folds of a repeat say together.
POOLED = -1
#: The thresholds at which counts are exact.
HUNDREDTHS = tuple(i / 100 for i in range(1, 100))
#: Bits of a mantissa that are tried, the fewest first.
_BITS = (4, 8, 12, 16, 20, 28, 36, 44)

#: ``(dataset, learner, strategy, repeat)``
Group = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The outer test rows of one cell.

    Attributes
    ----------
    fold : int
    y : ndarray of shape (n_test,)
    values : ndarray of shape (n_test,)
        Predicted probabilities, or decision values.
    prevalence : float
        Share of positives in the outer training rows.
    is_probability : bool
        Which of the two ``values`` are.
    corrected : ndarray of shape (n_test,) or None
        ``values`` after prior correction, where that applies.
    synthetic : tuple of (float, int) or None
        Share of the synthetic rows that are nearer to the majority, and their number.
    """

    fold: int
    y: np.ndarray
    values: np.ndarray
    prevalence: float
    is_probability: bool = True
    corrected: np.ndarray | None = None
    synthetic: tuple[float, int] | None = None


def build(found: Iterable[tuple[Group, Sequence[Part], bool]]) -> pd.DataFrame:
    """The evidence of strategies, each in one repeat.

    Parameters
    ----------
    found : iterable of (group, parts, whole)
        Data set, learner, strategy and repeat; a sequence of Part; whether these are all folds of the repeat: only then
        anything is pooled.

    Returns
    -------
    DataFrame
        In the order of :func:`merge`.
    """
    columns: dict[str, list[object]] = {name: [] for name in COLUMNS}
    for group, parts, whole in found:
        blocks = [block for part in parts for block in _of_fold(part)]
        if whole and parts and all(part.is_probability for part in parts):
            blocks += _pooled(parts)
        for fold, kind, names, *values in blocks:
            for column, value in zip((*COORDINATES, "kind"), (*group, fold, kind), strict=True):
                columns[column] += [value] * len(names)
            for column, items in zip(("name", "x", "y", "z"), (names, *values), strict=True):
                columns[column] += items
    return merge(empty(), _typed(pd.DataFrame(columns)))


_Block = tuple[int, str, Sequence[str | None], Sequence[float], Sequence[float], Sequence[float]]


def _of_fold(part: Part) -> Iterable[_Block]:
    x, fp, tp = cuts(part.y, part.values, part.is_probability)
    yield part.fold, "cut", [None] * len(x), x.tolist(), fp.tolist(), tp.tolist()
    expected = chance_average_precision_of(part.values, int(part.y.sum()))
    yield _one(part.fold, "chance", "pr_auc", expected)
    if part.synthetic is not None:
        yield _one(part.fold, "synthetic", "nearer_to_majority", *part.synthetic)


def _pooled(parts: Sequence[Part]) -> list[_Block]:
    y, p = (np.concatenate([getattr(part, name) for part in parts]) for name in ("y", "values"))
    base = np.concatenate([np.full(len(part.y), part.prevalence) for part in parts])
    rows = scoring_rules.bins(y, p)
    number, n, risk, positives = (list(column) for column in zip(*rows, strict=True))
    blocks: list[_Block] = [(POOLED, "bin", [str(i) for i in number], n, risk, positives)]
    blocks += [_one(POOLED, "calibration", *item) for item in scoring_rules.statistics(y, p, base).items()]
    if all(part.corrected is not None for part in parts):
        q = np.concatenate([part.corrected for part in parts if part.corrected is not None])
        blocks += [_one(POOLED, "prior", *item) for item in scoring_rules.statistics(y, q, base).items()]
    return blocks


def _one(fold: int, kind: str, name: str, x: float | None, y: float | None = None) -> _Block:
    nothing = float("nan")
    return fold, kind, [name], [nothing if x is None else x], [nothing if y is None else y], [nothing]


def cuts(
    y: np.ndarray, values: np.ndarray, is_probability: bool = True, thresholds: Sequence[float] = HUNDREDTHS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cuts that a curve needs, from the highest threshold down.

    Kept are the first and last distinct score, every one that gains a true positive and its neighbour above, and the
    one that answers each of some thresholds. Between two kept cuts no true positive is gained, so that both curves and
    the areas under them are exact.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
    values : ndarray of shape (n_rows,)
        Predicted probabilities, or decision values: these rank the rows, thresholds are compared with their logistic.
    is_probability : bool, default=True
    thresholds : sequence of float, default=i/100

    Returns
    -------
    threshold, fp, tp : ndarray of shape (n_cuts,)
        Rows at or above ``threshold`` are ``fp`` negatives and ``tp`` positives.

    Examples
    --------
    >>> y, p = np.array([0, 1, 0, 0, 1]), np.array([0.75, 0.5, 0.25, 0.125, 0.125])
    >>> [part.tolist() for part in cuts(y, p, thresholds=[0.3])]
    [[0.75, 0.5, 0.25, 0.125], [1, 1, 2, 3], [0, 1, 1, 2]]
    """
    distinct, where = np.unique(values, return_inverse=True)
    # The logistic may round two neighbours in the wrong order.
    place = distinct if is_probability else np.maximum.accumulate(expit(distinct))
    positives = np.bincount(where, weights=y, minlength=len(distinct)).astype(np.int64)
    rows = np.bincount(where, minlength=len(distinct))
    tp = np.cumsum(positives[::-1])[::-1]
    called = np.cumsum(rows[::-1])[::-1]
    gains = np.flatnonzero(positives)
    answers = np.searchsorted(place, np.asarray(thresholds))
    last = len(distinct) - 1
    kept = np.unique(np.concatenate([[0, last], gains, gains + 1, answers]))
    kept = kept[kept <= last][::-1]
    return _shortened(place, kept, np.asarray(thresholds)), called[kept] - tp[kept], tp[kept]


def _shortened(distinct: np.ndarray, kept: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Thresholds with as few bits as call the same rows positive and answer the same thresholds."""
    exact = distinct[kept]
    above = np.where(kept > 0, distinct[np.maximum(kept - 1, 0)], -np.inf)
    index = np.searchsorted(thresholds, exact, side="right")
    least = np.where(index > 0, thresholds[np.maximum(index - 1, 0)], -np.inf)
    short = exact.copy()
    for bits in reversed(_BITS):
        mantissa, exponent = np.frexp(exact)
        rounded = np.ldexp(np.floor(np.ldexp(mantissa, bits)), exponent - bits)
        short = np.where((rounded > above) & (rounded >= least), rounded, short)
    return np.asarray(short)


def empty() -> pd.DataFrame:
    """Evidence of nothing."""
    return _typed(pd.DataFrame({column: [] for column in COLUMNS}))


def merge(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Evidence in one order, whichever was gathered first; groups of ``new`` take the place of those of ``old``.

    Parameters
    ----------
    old, new : DataFrame

    Returns
    -------
    DataFrame
        Sorted by data set, learner, strategy, repeat, fold and kind.
    """
    fresh = set(groups(new))
    keys = list(COORDINATES[:4])
    stays = [group not in fresh for group in old[keys].itertuples(index=False, name=None)]
    both = [frame.astype({c: "object" for c in COORDINATES[:3]}) for frame in (old[stays], new) if len(frame)]
    if not both:
        return empty()
    frame = pd.concat(both, ignore_index=True)
    order = [frame[column].to_numpy() for column in COORDINATES]
    rank = frame.kind.astype("object").map({kind: i for i, kind in enumerate(KINDS)}).to_numpy()
    # Stable: the rows of one kind stay as they were built.
    position = pd.DataFrame({i: values for i, values in enumerate([*order, rank])})
    return _typed(frame.loc[position.sort_values(list(position.columns), kind="stable").index])


def groups(frame: pd.DataFrame) -> dict[Group, set[int]]:
    """The folds that have cuts, by data set, learner, strategy and repeat.

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    dict
    """
    found: dict[Group, set[int]] = {}
    cells = frame.loc[frame.kind == "cut", list(COORDINATES)].drop_duplicates()
    for dataset, learner, strategy, repeat, fold in cells.itertuples(index=False, name=None):
        found.setdefault((str(dataset), str(learner), str(strategy), int(repeat)), set()).add(int(fold))
    return found


def select(frame: pd.DataFrame, kind: str, **where: str) -> pd.DataFrame:
    """The rows of one kind, and of one ``dataset``, ``learner``, ``strategy`` or ``name``.

    Parameters
    ----------
    frame : DataFrame
    kind : str
    **where : str

    Returns
    -------
    DataFrame
    """
    mask = frame.kind == kind
    for column, value in where.items():
        mask &= frame[column] == value
    return frame[mask].reset_index(drop=True)


def curves(frame: pd.DataFrame, dataset: str, learner: str, strategy: str) -> pd.DataFrame:
    """The points of the precision-recall and ROC curves of every fold.

    Parameters
    ----------
    frame : DataFrame
    dataset, learner, strategy : str

    Returns
    -------
    DataFrame
        ``repeat fold threshold fp tp precision recall fpr``, from the highest threshold down.
    """
    found = select(frame, "cut", dataset=dataset, learner=learner, strategy=strategy)
    found = found[["repeat", "fold", "x", "y", "z"]].rename(columns={"x": "threshold", "y": "fp", "z": "tp"})
    by_fold = found.groupby(["repeat", "fold"], sort=False)
    return found.assign(
        precision=found.tp / (found.tp + found.fp),
        recall=found.tp / by_fold.tp.transform("last"),
        fpr=found.fp / by_fold.fp.transform("last"),
    )


def areas(frame: pd.DataFrame) -> pd.DataFrame:
    """The areas under both curves of every outer cell.

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    DataFrame
        ``dataset learner strategy repeat fold pr_auc roc_auc``: average precision, and the area with ties half.
    """
    rows = [
        (*cell, *_areas(part.y.to_numpy(), part.z.to_numpy()))
        for cell, part in select(frame, "cut").groupby(list(COORDINATES), sort=False, observed=True)
    ]
    return pd.DataFrame(rows, columns=[*COORDINATES, "pr_auc", "roc_auc"])


def _areas(fp: np.ndarray, tp: np.ndarray) -> tuple[float, float]:
    gained = np.diff(tp, prepend=0)
    precision = float(np.sum(gained * (tp / (tp + fp))) / tp[-1])
    return precision, float(np.sum(np.diff(fp, prepend=0) * (2 * tp - gained)) / (2 * tp[-1] * fp[-1]))


def counts_at(frame: pd.DataFrame, thresholds: Sequence[float] = HUNDREDTHS) -> pd.DataFrame:
    """Confusion counts of every outer cell at hundredths.

    Parameters
    ----------
    frame : DataFrame
    thresholds : sequence of float, default=i/100 for i = 1..99

    Returns
    -------
    DataFrame
        ``dataset learner strategy repeat fold threshold tn fp fn tp``, whole numbers, cells in the order of the frame.

    Raises
    ------
    ValueError
        For any other threshold: its counts are not kept.
    """
    asked = np.asarray(thresholds, dtype=np.float64)
    if not np.isin(asked, HUNDREDTHS).all():
        raise ValueError(f"thresholds {asked.tolist()}: evidence holds the counts at i/100 for i = 1..99 only")
    found = select(frame, "cut")
    number = found.groupby(list(COORDINATES), sort=False, observed=True).ngroup().to_numpy()
    # Stable: cells in the order of the frame, their cuts from the highest down as they were built.
    order = np.argsort(number, kind="stable")
    first = np.searchsorted(number[order], np.arange(number.max(initial=-1) + 1))
    x, fp, tp = (found[name].to_numpy()[order] for name in ("x", "y", "z"))
    counts = np.empty((4, len(first), len(asked)), dtype=np.int64)
    for i, (begin, end) in enumerate(pairwise([*first, len(x)])):
        at = np.searchsorted(x[begin:end][::-1], asked)
        wrong, right = (np.append(values[begin:end][::-1], 0)[at] for values in (fp, tp))
        counts[:, i] = fp[end - 1] - wrong, wrong, tp[end - 1] - right, right
    plain = {**dict.fromkeys(COORDINATES[:3], "str"), "repeat": "int64", "fold": "int64"}
    cells = found.iloc[order[first]][list(COORDINATES)].astype(plain)
    columns = dict(zip(("tn", "fp", "fn", "tp"), counts.reshape(4, -1), strict=True))
    every = cells.iloc[np.arange(len(first)).repeat(len(asked))].reset_index(drop=True)
    return every.assign(threshold=np.tile(asked, len(first)), **columns)


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    texts: Mapping[str, str] = dict.fromkeys(("dataset", "learner", "strategy", "kind", "name"), "category")
    whole, numbers = dict.fromkeys(("repeat", "fold"), "int16"), dict.fromkeys(("x", "y", "z"), "float64")
    frame = frame[list(COLUMNS)].astype({**dict.fromkeys(texts, "object"), **whole, **numbers})
    return frame.astype(texts).reset_index(drop=True)
