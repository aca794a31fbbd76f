"""Chance control: labels without information, the score that chance gives, and the rule that raises an alarm."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from imblab.stats.curves import expected_average_precision

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


def chance_level(measure: str, counts: Sequence[int] | np.ndarray) -> float | None:
    """Return the score that a measure gives without information.

    Parameters
    ----------
    measure : str
        A key of :data:`CHANCE_LEVELS`.
    counts : sequence of int
        Rows of each class; the last of two is the positive one.

    Returns
    -------
    float or None
        None for other measures, and for F1 with more than two classes.

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

    Only the average precision has such an excess: see :func:`imblab.stats.curves.expected_average_precision`.

    Parameters
    ----------
    measure : str
        A key of :data:`CHANCE_LEVELS`.
    counts : sequence of int
        Rows of each class; the last of two is the positive one, of more the mean over classes is taken.
    folds : int, default=1
        A test part holds the rows divided by this number.

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
    """Exchange labels at random: between rows, between whole units, or within blocks.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Labels of any type.
    generator : numpy.random.Generator
        Draws the permutation.
    units : ndarray of shape (n_rows,), optional
        Rows with the same value get the same new label; they must have the same one now.
    blocks : ndarray of shape (n_rows,), optional
        Labels stay inside their block; ``units`` are ignored then.

    Returns
    -------
    ndarray of shape (n_rows,)
        With units of different size the numbers of labels change.

    Raises
    ------
    ValueError
        If the labels differ within a unit.

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
    """Compare scores of runs without information with chance.

    Parameters
    ----------
    scores : sequence of float
        Per run.
    chances : sequence of float
        The chance level of each run.
    allowance : float, default=0.0
        Added to the margin; see :func:`small_part_excess`.

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
