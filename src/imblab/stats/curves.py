"""Precision-recall, ROC, gain and decision curves: areas, measures of a ranking, means over folds; and chance control.

``y`` holds 0 and 1, ``values`` finite predicted probabilities or decision values, both of shape (n_rows,). A curve has
one point per distinct value, from the highest down; nothing is interpolated between the points of a precision-recall
curve, since no threshold reaches what lies there (Davis and Goadrich 2006). Undefined values are NaN.

Chance control is by labels without information: the score that chance gives, and the rule that raises an alarm.

References
----------
Davis and Goadrich (2006), The relationship between precision-recall and ROC curves, ICML, 233-240.
Hanley and McNeil (1982), The meaning and use of the area under a ROC curve, Radiology 143, 29-36.
McSherry and Najork (2008), Computing information retrieval performance measures efficiently in the presence of tied
scores, ECIR, 414-421.
Bestgen (2015), Exact expected average precision of the random baseline, Prague Bulletin of Mathematical Linguistics
103, 131-138.
Fawcett (2006), An introduction to ROC analysis, Pattern Recognition Letters 27, 861-874.
Vickers and Elkin (2006), Decision curve analysis: a novel method for evaluating prediction models, Medical Decision
Making 26, 565-574.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from imblab.stats.counts import ConfusionCounts, ratio

#: Thresholds at which :meth:`FoldCounts.from_predictions` keeps exact counts.
HUNDREDTHS = tuple(i / 100 for i in range(1, 100))
#: Numbers of bits that a shortened threshold may have, the fewest first.
_MANTISSA_BITS = (4, 8, 12, 16, 20, 28, 36, 44)
#: Chance by measure, as a function of the shares of the classes; the last of two is the positive one.
CHANCE_LEVELS: dict[str, Callable[[np.ndarray], float | None]] = {
    "mcc": lambda shares: 0.0,
    "roc_auc": lambda shares: 0.5,
    "balanced_accuracy": lambda shares: 1 / len(shares),
    "pr_auc": lambda shares: float(shares[-1]) if len(shares) == 2 else 1 / len(shares),
    # The F1 score of calling every row positive, the best without information.
    "f1": lambda shares: float(2 * shares[-1] / (1 + shares[-1])) if len(shares) == 2 else None,
    "accuracy": lambda shares: float(shares.max()),
}
#: An alarm is raised where the mean score without information exceeds chance by so much, and by so many standard
#: errors. docs/audit.md has the rate of false alarms.
ALARM_MARGIN, ALARM_T = 0.05, 3.0
#: From so much on an excess below the margin is a caution; the standard errors are the same.
CAUTION_MARGIN = 0.02
#: Folds that a procedure is supposed to have where it does not say.
SUPPOSED_FOLDS = 10


@dataclass(frozen=True, slots=True, eq=False)
class FoldCounts:
    """Counts of one test part at its thresholds, from the highest threshold down."""

    thresholds: np.ndarray  # (n_thresholds,): A row is called positive iff its value >= threshold
    #: (n_thresholds,): false and true positives
    fp: np.ndarray
    tp: np.ndarray
    #: rows of each class
    negatives: float
    positives: float

    @property
    def prevalence(self) -> float:
        """Share of positive rows."""
        return self.positives / (self.positives + self.negatives)

    @classmethod
    def from_predictions(
        cls, y: np.ndarray, values: np.ndarray, is_probability: bool = True, thresholds: Sequence[float] = HUNDREDTHS
    ) -> FoldCounts:
        """Reduce predictions to the points that both curves need.

        Kept are the first and last distinct value, each one that gains a true positive and its neighbour above, and the
        one that answers each of some thresholds. Between two kept points no true positive is gained, so that both
        curves, the areas under them and the counts at the thresholds stay exact. A kept threshold is the number with
        the fewest bits that calls the same rows positive. Ascending ``thresholds`` are compared with
        ``1 / (1 + exp(-value))`` where values are decision values.

        Examples
        --------
        >>> y, proba = np.array([0, 1, 0, 0, 1]), np.array([0.75, 0.5, 0.25, 0.125, 0.125])
        >>> counts = FoldCounts.from_predictions(y, proba, thresholds=[0.3])
        >>> counts.thresholds.tolist(), counts.fp.tolist(), counts.tp.tolist()
        ([0.75, 0.5, 0.25, 0.125], [1, 1, 2, 3], [0, 1, 1, 2])
        """
        distinct, index = np.unique(values, return_inverse=True)
        # The logistic may round two neighbours in the wrong order.
        scale = distinct if is_probability else np.maximum.accumulate(expit(distinct))
        positives = np.bincount(index, weights=y, minlength=len(distinct)).astype(np.int64)
        n_rows = np.bincount(index, minlength=len(distinct))
        tp, called = np.cumsum(positives[::-1])[::-1], np.cumsum(n_rows[::-1])[::-1]
        gains = np.flatnonzero(positives)
        answers = np.searchsorted(scale, np.asarray(thresholds))
        last = len(distinct) - 1
        kept = np.unique(np.concatenate([[0, last], gains, gains + 1, answers]))
        kept = kept[kept <= last][::-1]
        shortened = _shorten_thresholds(scale, kept, np.asarray(thresholds))
        return cls(shortened, called[kept] - tp[kept], tp[kept], called[0] - tp[0], tp[0])

    def thinned(self, n_recalls: int) -> FoldCounts:
        """Keep the points that :meth:`precision_at_recall` needs at recalls ``i / n_recalls``, and the lowest one.

        Examples
        --------
        >>> counts = FoldCounts(*np.array([[0.9, 0.8, 0.7, 0.6], [0, 0, 1, 2], [1, 2, 2, 3]]), 2, 3)
        >>> counts.thinned(1).thresholds.tolist(), counts.thinned(3).thresholds.tolist()
        ([0.6], [0.9, 0.8, 0.6])
        """
        at = np.searchsorted(self.tp, _whole_positives(np.arange(1, n_recalls + 1) / n_recalls, self.positives))
        kept = np.unique(np.append(at, len(self.tp) - 1))
        return FoldCounts(self.thresholds[kept], self.fp[kept], self.tp[kept], self.negatives, self.positives)

    def at(self, thresholds: Any) -> ConfusionCounts:
        """Confusion counts at thresholds: those of the lowest point that is not below.

        Examples
        --------
        >>> counts = FoldCounts(*np.array([[0.9, 0.5], [0, 1], [1, 2]]), 5, 2).at(np.array([0.6, 0.95]))
        >>> [c.tolist() for c in counts]
        [[5.0, 5.0], [0.0, 0.0], [1.0, 2.0], [1.0, 0.0]]
        """
        reached = np.searchsorted(-self.thresholds, -np.asarray(thresholds, dtype=float), side="right")
        fp, tp = np.append(0.0, self.fp)[reached], np.append(0.0, self.tp)[reached]
        return ConfusionCounts(self.negatives - fp, fp, self.positives - tp, tp)

    def precision_at_recall(self, recalls: np.ndarray) -> np.ndarray:
        """Precision at the highest threshold that reaches each recall; NaN where none does."""
        needed = _whole_positives(recalls, self.positives)
        at = np.minimum(np.searchsorted(self.tp, needed), len(self.tp) - 1)
        return np.asarray(np.where(self.tp[at] >= needed, self.tp[at] / (self.tp[at] + self.fp[at]), np.nan))

    def recall_at_false_positive_rate(self, false_positive_rates: np.ndarray) -> np.ndarray:
        """Recall at false positive rates, linear between points and the highest where the curve rises at one rate."""
        x, y = np.append(0.0, self.fp) / self.negatives, np.append(0.0, self.tp) / self.positives
        # Both ends of a rise at one rate are points of the curve: before it the lower one counts, at it the higher one.
        return np.asarray(np.interp(false_positive_rates, x, y))

    def recall_at_share(self, shares: np.ndarray) -> np.ndarray:
        """Expected recall when the top share of the rows is inspected, as :func:`recall_at`; NaN without positives."""
        # Between two kept points no positive is gained, or rows tie: the expectation is linear in both cases.
        called, tp = np.append(0.0, self.fp + self.tp), np.append(0.0, self.tp)
        return ratio(np.interp(shares * (self.negatives + self.positives), called, tp), self.positives)

    def areas(self) -> tuple[float, float]:
        """Areas under the precision-recall and the ROC curve."""
        return _precision_recall_area(self.tp, self.fp), _roc_area(self.tp, self.fp)


def _whole_positives(recalls: np.ndarray, positives: float) -> np.ndarray:
    """The least number of true positives that reaches each recall; rounding must not ask for one more."""
    return np.asarray(np.ceil(recalls * positives - 1e-9))


def _shorten_thresholds(distinct: np.ndarray, kept: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Thresholds with as few bits as call the same rows positive and answer the same thresholds."""
    exact = distinct[kept]
    above = np.where(kept > 0, distinct[np.maximum(kept - 1, 0)], -np.inf)
    index = np.searchsorted(thresholds, exact, side="right")
    lowest = np.where(index > 0, thresholds[np.maximum(index - 1, 0)], -np.inf)
    shortened = exact.copy()
    for bits in reversed(_MANTISSA_BITS):
        mantissa, exponent = np.frexp(exact)
        rounded = np.ldexp(np.floor(np.ldexp(mantissa, bits)), exponent - bits)
        shortened = np.where((rounded > above) & (rounded >= lowest), rounded, shortened)
    return np.asarray(shortened)


def _ranking_points(y: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cumulative true and false positives at every distinct value, from the highest down."""
    if not (values[1:] <= values[:-1]).all():  # rows may be sorted already
        order = np.argsort(-values, kind="stable")
        y, values = y[order], values[order]
    last = np.append(np.flatnonzero(values[1:] != values[:-1]), len(values) - 1)
    tp = np.cumsum(y, dtype=np.int64)[last]
    return tp, last + 1 - tp


def _precision_recall_area(tp: np.ndarray, fp: np.ndarray) -> float:
    return float(ratio(np.sum(np.diff(tp, prepend=0) * (tp / (tp + fp))), tp[-1]))


def _roc_area(tp: np.ndarray, fp: np.ndarray) -> float:
    area = np.sum(np.diff(fp, prepend=0) * (2 * tp - np.diff(tp, prepend=0)))
    return float(ratio(area, 2 * tp[-1] * fp[-1]))


def average_precision(y: np.ndarray, values: np.ndarray) -> float:
    """Area under the precision-recall curve, ``sum (R_n - R_(n-1)) P_n``; undefined without positives.

    scikit-learn's ``average_precision_score``.

    Examples
    --------
    >>> average_precision(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])).__round__(4)
    0.8333
    """
    return _precision_recall_area(*_ranking_points(y, values))


def roc_auc(y: np.ndarray, values: np.ndarray) -> float:
    """Probability that a positive outranks a negative, ties counted half; undefined where a class is absent."""
    return _roc_area(*_ranking_points(y, values))


def recall_at(y: np.ndarray, values: np.ndarray, share: float) -> float:
    """Recall when the top share of the rows is inspected; undefined without positives.

    Inspected are ``share * n_rows`` rows from the highest value down: a real number, not rounded, so that the last row
    may be inspected in part. Rows that tie at the limit are taken in random order and the expectation is reported
    (McSherry and Najork 2008): the true positives grow linearly between two distinct values.

    Parameters
    ----------
    y, values : ndarray of shape (n_rows,)
        Labels, and predicted probabilities or decision values.
    share : float
        In (0, 1].

    Returns
    -------
    float
        At most ``min(1, share * n_rows / n_positives)``.

    Examples
    --------
    >>> recall_at(np.array([1, 1, 0, 0]), np.array([0.9, 0.1, 0.1, 0.1]), 0.5).__round__(4)
    0.6667
    """
    return float(ratio(_expected_hits(y, values, share)[0], np.sum(y)))


def precision_at(y: np.ndarray, values: np.ndarray, share: float) -> float:
    """Precision when the top share of the rows is inspected; rows and ties as in :func:`recall_at`."""
    return float(ratio(*_expected_hits(y, values, share)))


def _expected_hits(y: np.ndarray, values: np.ndarray, share: float) -> tuple[float, float]:
    """Expected true positives among the ``share * n_rows`` highest values, and that number of rows."""
    tp, fp = _ranking_points(y, values)
    n_inspected = _checked_share("share", share) * len(y)
    hits = float(np.interp(n_inspected, np.append(0, tp + fp), np.append(0, tp))) if tp[-1] else float("nan")
    return hits, n_inspected


def recall_at_precision(y: np.ndarray, values: np.ndarray, level: float) -> float:
    """The largest recall among the thresholds whose precision reaches a level; undefined without positives.

    Parameters
    ----------
    y, values : ndarray of shape (n_rows,)
        Labels, and predicted probabilities or decision values.
    level : float
        In (0, 1].

    Returns
    -------
    float
        0 where no threshold reaches the level.

    Examples
    --------
    >>> recall_at_precision(np.array([0, 1, 1]), np.array([0.5, 0.4, 0.9]), 0.9)
    0.5
    """
    tp, fp = _ranking_points(y, values)
    reached = tp / (tp + fp) >= _checked_share("level", level)  # as a quotient: level * called may round above tp
    return float(ratio(np.max(tp, where=reached, initial=0), tp[-1]))


def _checked_share(name: str, value: float) -> float:
    if not 0 < value <= 1:
        raise ValueError(f"{name} is {value!r}; it must lie in (0, 1]")
    return value


def expected_average_precision(values: np.ndarray, positives: int) -> float:
    """The chance level of the average precision: its expectation with m positive rows assigned at random.

    The mean over all permutations of the labels, ties included: a distinct value with g rows, c rows at or above it,
    adds ``g / c (1 + (c - 1) (m - 1) / (n - 1)) / n``, since a pair of rows holds two positives with probability
    ``m (m - 1) / (n (n - 1))``. Without ties this is the sum of Bestgen (2015),
    ``(H_n + (m - 1) / (n - 1) (n - H_n)) / n`` with the harmonic number ``H_n``: more than the prevalence ``m / n``,
    visibly so in small test parts. With all values tied it is the prevalence. NaN without positives.

    Examples
    --------
    >>> expected_average_precision(np.array([0.5, 0.5, 0.5, 0.5]), 1), expected_average_precision(np.arange(2), 1)
    (0.25, 0.75)
    """
    n_rows = len(values)
    if not 0 < positives <= n_rows:
        return float("nan")
    tied = np.unique(values, return_counts=True)[1][::-1]
    called = np.cumsum(tied)
    together = (positives - 1) / (n_rows - 1) if n_rows > 1 else 0.0
    return float(np.sum(tied / called * (1 + (called - 1) * together)) / n_rows)


@dataclass(frozen=True, slots=True, eq=False)
class MeanCurve:
    """A curve averaged vertically over folds."""

    x: np.ndarray  # (n_places,): recalls, false positive rates or thresholds
    mean: np.ndarray  # (n_places,): mean over folds; NaN where no fold has a value
    #: (n_places,): first and third quartile of the folds: between them lies the middle half. Linear between two folds,
    #: as the default of NumPy.
    low: np.ndarray
    high: np.ndarray


def mean_precision_recall(folds: Sequence[FoldCounts], recalls: np.ndarray) -> MeanCurve:
    """Mean precision at the highest threshold that reaches each recall in (0, 1], over folds with a positive each.

    Examples
    --------
    >>> fold = FoldCounts(*np.array([[0.9, 0.5], [1, 1], [1, 2]]), 5, 2)
    >>> mean_precision_recall([fold], np.array([0.5, 1.0])).mean.round(3).tolist()
    [0.5, 0.667]
    """
    return _average_over_folds(recalls, [fold.precision_at_recall(recalls) for fold in folds])


def mean_roc(folds: Sequence[FoldCounts], rates: np.ndarray) -> MeanCurve:
    """Mean true positive rate at false positive rates, over folds with both classes (Fawcett 2006, algorithm 4).

    Examples
    --------
    >>> fold = FoldCounts(*np.array([[0.9, 0.5, 0.4], [0, 4, 4], [1, 1, 2]]), 4, 2)
    >>> mean_roc([fold], np.array([0.0, 0.99, 1.0])).mean.tolist()
    [0.5, 0.5, 1.0]
    """
    return _average_over_folds(rates, [fold.recall_at_false_positive_rate(rates) for fold in folds])


def mean_over_thresholds(
    folds: Sequence[FoldCounts], thresholds: np.ndarray, function: Callable[..., Any]
) -> MeanCurve:
    """Mean of ``f(tn, fp, fn, tp)`` at thresholds in any order, over the folds where it is defined there."""
    return _average_over_folds(thresholds, [np.asarray(function(*fold.at(thresholds)), dtype=float) for fold in folds])


def _net_benefit(counts: ConfusionCounts, threshold: Any) -> np.ndarray:
    """Net benefit of calling positive at a threshold (Vickers and Elkin 2006): true positives per row, less false ones.

    ``tp / n - fp / n * t / (1 - t)``: to act from a probability t on, in [0, 1), means that one false positive costs t
    / (1 - t) of what one true positive is worth. With the prevalence m, calling nothing has a net benefit of 0, calling
    all rows one of ``m - (1 - m) t / (1 - t)``, and none can exceed m. NaN without rows.
    """
    odds = np.asarray(threshold, dtype=float) / (1 - np.asarray(threshold, dtype=float))
    return ratio(counts.tp - counts.fp * odds, sum(counts))


def mean_net_benefit(folds: Sequence[FoldCounts], thresholds: np.ndarray) -> MeanCurve:
    """Decision curve: mean net benefit over folds at thresholds in [0, 1).

    Probabilities have to be on the scale of the costs. Between the thresholds for which the counts were kept, false
    positives may be too few.

    Examples
    --------
    >>> fold = FoldCounts(*np.array([[0.9, 0.5], [0, 1], [1, 2]]), 6, 2)
    >>> mean_net_benefit([fold], np.array([0.5, 0.8])).mean.tolist()
    [0.125, 0.125]
    """
    return _average_over_folds(thresholds, [_net_benefit(fold.at(thresholds), thresholds) for fold in folds])


def net_benefit_of_all(folds: Sequence[FoldCounts], thresholds: np.ndarray) -> np.ndarray:
    """Mean net benefit over folds of calling every row positive, at thresholds in [0, 1)."""
    everything = [ConfusionCounts(0.0, fold.negatives, 0.0, fold.positives) for fold in folds]
    values = [_net_benefit(counts, thresholds) for counts in everything]
    return np.asarray(np.mean(values, axis=0))


def mean_gain(folds: Sequence[FoldCounts], shares: np.ndarray) -> MeanCurve:
    """Cumulative gain: mean recall over folds when the top share of the rows, in [0, 1], is inspected.

    A random order gives the shares themselves.

    Examples
    --------
    >>> fold = FoldCounts(*np.array([[0.9, 0.5], [1, 2], [1, 2]]), 2, 2)
    >>> mean_gain([fold], np.array([0.0, 0.5, 0.75])).mean.tolist()
    [0.0, 0.5, 0.75]
    """
    return _average_over_folds(shares, [fold.recall_at_share(shares) for fold in folds])


def _average_over_folds(x: np.ndarray, values: Sequence[np.ndarray]) -> MeanCurve:
    table = np.asarray(values, dtype=float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a place without any value is NaN
        quartiles, has_gap = np.quantile(table, [0.25, 0.75], axis=0), np.isnan(table).any(axis=0)
        if has_gap.any():  # nanquantile goes place by place
            quartiles[:, has_gap] = np.nanquantile(table[:, has_gap], [0.25, 0.75], axis=0)
        return MeanCurve(x, np.nanmean(table, axis=0), *quartiles)


def chance_level(measure: str, counts: Sequence[int] | np.ndarray) -> float | None:
    """Return the score that a measure gives without information, from the numbers of rows of each class.

    The last of two classes is the positive one. None for measures without an entry in :data:`CHANCE_LEVELS`, and for F1
    with more than two classes.

    Examples
    --------
    >>> chance_level("f1", [75, 25]), chance_level("accuracy", [75, 25]), chance_level("recall", [75, 25])
    (0.4, 0.75, None)
    """
    level = CHANCE_LEVELS.get(measure)
    rows = np.asarray(counts, dtype=np.float64)
    return level(rows / rows.sum()) if level is not None else None


def small_part_excess(measure: str, counts: Sequence[int] | np.ndarray, folds: int = 1) -> float:
    """Return by how much the expected score of a random ranking exceeds chance, because test parts are small.

    Only the average precision has such an excess: see :func:`expected_average_precision`. A test part holds the
    ``counts`` of the classes divided by ``folds``; the last of two classes is the positive one, of more the mean over
    classes is taken.

    Examples
    --------
    >>> small_part_excess("mcc", [285, 15]), round(small_part_excess("pr_auc", [285, 15], folds=10), 3)
    (0.0, 0.096)
    """
    if measure != "pr_auc":
        return 0.0
    rows = max(1, int(sum(counts)) // folds)
    positives = [min(rows, max(1, round(n / folds))) for n in (counts[-1:] if len(counts) == 2 else counts)]
    excess = [expected_average_precision(np.arange(rows), n) - n / rows for n in positives]
    return float(np.mean(excess))


def permute_labels(
    y: np.ndarray, generator: np.random.Generator, units: np.ndarray | None = None, blocks: np.ndarray | None = None
) -> np.ndarray:
    """Exchange labels at random: between rows, between whole units, or within blocks, where ``units`` are ignored.

    Rows of one unit get one label; where units differ in size, the numbers of labels change. ValueError if the labels
    differ within a unit now.

    Examples
    --------
    >>> permute_labels(np.array([0, 0, 1, 1]), np.random.default_rng(2), units=np.array([5, 5, 7, 7])).tolist()
    [0, 0, 1, 1]
    >>> permute_labels(np.array([0, 0, 1, 1]), np.random.default_rng(2), blocks=np.array([5, 5, 7, 7])).tolist()
    [0, 0, 1, 1]
    """
    if blocks is not None:
        permuted = y.copy()
        for block in np.unique(blocks):
            rows = np.flatnonzero(blocks == block)
            permuted[rows] = y[generator.permutation(rows)]
        return permuted
    if units is None:
        return y[generator.permutation(len(y))]
    if not is_constant_within(y, units):
        raise ValueError("labels differ within a unit; whole units cannot exchange them")
    _, first, codes = np.unique(units, return_index=True, return_inverse=True)
    return y[first[generator.permutation(len(first))]][codes]


def is_constant_within(y: np.ndarray, units: np.ndarray) -> bool:
    """Return whether all rows of a unit have the same label.

    Examples
    --------
    >>> is_constant_within(np.array([0, 0, 1]), np.array([5, 5, 7]))
    True
    """
    _, first, codes = np.unique(units, return_index=True, return_inverse=True)
    return bool(np.all(y[first][codes] == y))


def time_blocks(time: np.ndarray, n_blocks: int) -> np.ndarray:
    """Return the block of each row in time; equal times are in one block, as in the folds of a study.

    Examples
    --------
    >>> time_blocks(np.array([3, 1, 1, 2]), 2).tolist()
    [1, 0, 0, 1]
    """
    ordered = np.sort(time)
    blocks: np.ndarray = np.searchsorted(ordered, time, side="left") * n_blocks // len(time)
    return blocks


@dataclass(frozen=True, slots=True)
class ChanceControl:
    """Scores of runs without information, against chance."""

    #: of the scores
    mean: float
    sd: float
    chance: float  # mean chance level of the runs
    excess: float  # mean difference between score and chance
    t: float  # the excess in its standard errors over the runs
    margin: float  # the excess from which on an alarm is raised
    runs: int  # number of scores

    @property
    def alarms(self) -> bool:
        """Whether a procedure scores above chance where there is nothing to learn."""
        return self.excess > self.margin and self.t >= ALARM_T

    @property
    def is_doubtful(self) -> bool:
        """Whether the excess is below the margin, and not by chance."""
        return not self.alarms and self.excess > self.margin - ALARM_MARGIN + CAUTION_MARGIN and self.t >= ALARM_T


def control_chance(
    scores: Sequence[float] | np.ndarray, chances: Sequence[float] | np.ndarray, allowance: float = 0.0
) -> ChanceControl:
    """Compare scores of runs without information with the chance level of each run.

    ``allowance`` is added to the margin; see :func:`small_part_excess`.

    Examples
    --------
    >>> control_chance([0.93, 0.95, 0.94], [0.11, 0.11, 0.11]).alarms
    True
    >>> control_chance([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]).alarms
    False
    """
    values, levels = np.asarray(scores, dtype=np.float64), np.asarray(chances, dtype=np.float64)
    excess = values - levels
    mean, sd = float(excess.mean()), float(excess.std(ddof=1)) if len(excess) > 1 else 0.0
    error = sd / math.sqrt(len(excess))
    t = mean / error if error > 0 else math.copysign(math.inf, mean) if mean else 0.0
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return ChanceControl(
        float(values.mean()), spread, float(levels.mean()), mean, t, ALARM_MARGIN + allowance, len(values)
    )
