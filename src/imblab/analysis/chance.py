"""What a ranking without any knowledge would reach."""

from __future__ import annotations

import numpy as np


def average_precision(rows: int, positives: int) -> float:
    """Expected average precision of a random order without ties.

    ``(H_n + (m - 1) / (n - 1) (n - H_n)) / n`` with n rows, m positives and the harmonic number ``H_n``: more than the
    prevalence ``m / n``, visibly so in small test parts (Bestgen 2015, *Prague Bulletin of Mathematical Linguistics*
    103, 131-138).

    Parameters
    ----------
    rows, positives : int

    Returns
    -------
    float
        NaN without positives.

    Examples
    --------
    >>> average_precision(2, 1), average_precision(10, 10)
    (0.75, 1.0)
    """
    return average_precision_of(np.arange(rows), positives)


def average_precision_of(p: np.ndarray, positives: int) -> float:
    """Expected average precision of these scores if the labels were dealt at random.

    The mean over all permutations of the labels, ties included: a distinct score with g rows, c rows at or above it,
    adds ``g / c (1 + (c - 1) (m - 1) / (n - 1)) / n``, since a pair of rows holds two positives with probability
    ``m (m - 1) / (n (n - 1))``. Without ties this is Bestgen's (2015) sum; with all scores tied it is the prevalence.

    Parameters
    ----------
    p : ndarray of shape (n_rows,)
    positives : int

    Returns
    -------
    float
        NaN without positives.

    Examples
    --------
    >>> average_precision_of(np.array([0.5, 0.5, 0.5, 0.5]), 1)
    0.25
    """
    n = len(p)
    if not 0 < positives <= n:
        return float("nan")
    tied = np.unique(p, return_counts=True)[1][::-1]
    called = np.cumsum(tied)
    together = (positives - 1) / (n - 1) if n > 1 else 0.0
    return float(np.sum(tied / called * (1 + (called - 1) * together)) / n)
