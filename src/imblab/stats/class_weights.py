"""Class weights that fall with a power of the class count.

References
----------
King and Zeng (2001), Logistic regression in rare events data, Political Analysis 9, 137-163: balanced weights.
Mahajan et al. (2018), Exploring the limits of weakly supervised pretraining, ECCV: square roots of inverse counts.
"""

from __future__ import annotations

import numpy as np


def power_weights(counts: np.ndarray, power: float) -> np.ndarray:
    """Return the weight of a row of every class: its count to the power ``-power``, with mean 1 over all rows.

    ``w_c = n n_c^-a / sum_d n_d^(1 - a)`` for n rows, n_c of them in class c, and the power a. With a = 0 every row
    weighs 1, with a = 1 every class has the same total (scikit-learn's ``balanced``), a = .5 lies between, and beyond 1
    rare classes outweigh frequent ones.

    Parameters
    ----------
    counts : ndarray of shape (n_classes,)
        Rows of each class, at least 1.
    power : float
        At least 0. Where it is so large that a weight is smaller than the smallest float, that weight is 0.

    Returns
    -------
    ndarray of shape (n_classes,), float64
        In the order of the counts.

    Examples
    --------
    >>> power_weights(np.array([90, 10]), 1.0).tolist()
    [0.5555555555555556, 5.0]
    >>> power_weights(np.array([90, 10]), 0.5).round(3).tolist()
    [0.833, 2.5]
    """
    rows = np.asarray(counts, dtype=np.float64)
    # Relative to the rarest class no weight overflows, however large the power.
    relative = (rows.min() / rows) ** power
    return np.asarray(relative * (rows.sum() / (rows @ relative)))


def relative_weight(negatives: float, positives: float, power: float) -> float:
    """Return the weight of a positive relative to a negative row; see :func:`power_weights`.

    Examples
    --------
    >>> relative_weight(90, 10, 0.5), relative_weight(90, 10, 1)
    (3.0, 9.0)
    """
    return float((negatives / positives) ** power)
