"""Shift between training and test rows: a classifier that tells the two parts apart (a classifier two-sample test).

References
----------
Lopez-Paz and Oquab (2017), Revisiting classifier two-sample tests, ICLR: a classifier is trained on one half of both
samples; where they are of one distribution, its answers on the other half do not depend on the sample. Their binomial
test would be too liberal here: the numbers of rows of both parts are fixed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom
from sklearn.ensemble import RandomForestClassifier

from imblab.core.preparation import PreparedRows
from imblab.study import Dataset, Split

#: Rows that are drawn of each part at most, and that it must have.
MAX_DRAWN_ROWS, MIN_DRAWN_ROWS = 1000, 20
#: The forest that tells the parts apart.
N_TREES, MIN_LEAF_ROWS = 50, 5


@dataclass(frozen=True, slots=True)
class PartShift:
    """How well training and test rows of one split are told apart.

    Attributes
    ----------
    dataset : str
        Name of the table.
    repeat, fold : int
        Of the split.
    accuracy : float
        On rows that the classifier did not see, as many of each part; .5 is chance.
    rows : int
        Number of these rows.
    p : float
        Of Fisher's exact test, one-sided: the probability of so many correct answers if they do not depend on the part.
    rarest_in_train, rarest_in_test : float
        Shares of the rarest class, or the positive one of two.
    """

    dataset: str
    repeat: int
    fold: int
    accuracy: float
    rows: int
    p: float
    rarest_in_train: float
    rarest_in_test: float


def part_shift(dataset: Dataset, split: Split, seed: int = 0) -> PartShift | None:
    """Try to tell the training rows of a split from its test rows by their features.

    Parameters
    ----------
    dataset : Dataset
        The complete table.
    split : Split
        An outer split.
    seed : int, default=0
        Draws the rows and the forest.

    Returns
    -------
    PartShift or None
        None if a part has fewer than 20 rows.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"a": np.r_[np.zeros(100), np.ones(100)] + np.linspace(0, 0.1, 200)})
    >>> data = Dataset("d", X, np.arange(200) % 2, ("no", "yes"))
    >>> part_shift(data, Split(0, 0, np.arange(100), np.arange(100, 200), "")).accuracy
    1.0
    """
    generator = np.random.default_rng([seed, split.repeat, split.fold])
    drawn = min(MAX_DRAWN_ROWS, len(split.train), len(split.test))
    if drawn < MIN_DRAWN_ROWS:
        return None
    parts = [generator.choice(part, drawn, replace=False) for part in (split.train, split.test)]
    half = drawn // 2
    learned = np.concatenate([part[:half] for part in parts])
    judged = np.concatenate([part[half:] for part in parts])
    prepared = PreparedRows(dataset, learned)
    forest = RandomForestClassifier(N_TREES, min_samples_leaf=MIN_LEAF_ROWS, random_state=seed, n_jobs=1)
    forest.fit(prepared.transform(learned), np.repeat([0, 1], half))
    predicted, is_test = forest.predict(prepared.transform(judged)), np.repeat([0, 1], drawn - half)
    correct, hits = int((predicted == is_test).sum()), int((predicted & is_test).sum())
    rarest = len(dataset.classes) - 1
    shares = (float((dataset.y[part] == rarest).mean()) for part in (split.train, split.test))
    p = float(hypergeom.sf(hits - 1, len(judged), drawn - half, int(predicted.sum())))
    return PartShift(dataset.name, split.repeat, split.fold, correct / len(judged), len(judged), p, *shares)
