"""CPU time of choosing a threshold for every class: one cumulative sum per class compared with a loop over thresholds.

``python benchmarks/class_thresholds.py`` draws rows of several classes, searches the thresholds i/100 of the best R_K
in both ways, five rounds each, and checks that the confusion matrices of every step are equal. The loop decides all
rows at once for each threshold, as one would write it with NumPy.
"""

import os
import sys
import time
from functools import partial
from statistics import median

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from imblab.stats.counts import best_threshold_index, class_mcc, confusion_matrices
from imblab.stats.probabilities import _sweep_class_threshold

GRID = np.arange(1, 100) / 100
ROUNDS, REPEATS = 5, 5
#: Rows and classes.
SIZES = ((1_000, 3), (1_000, 10), (1_000, 20), (10_000, 10), (100_000, 10))


def draw(n_rows, n_classes, seed=0):
    """Classes that are rarer by a third each, and probabilities that know something of them."""
    rng = np.random.default_rng(seed)
    shares = 1.5 ** -np.arange(n_classes)
    y = rng.choice(n_classes, n_rows, p=shares / shares.sum())
    proba = np.exp(rng.normal(size=(n_rows, n_classes)) + 2 * np.eye(n_classes)[y]) * shares
    return y, proba / proba.sum(axis=1, keepdims=True)


def loop(y, proba, thresholds, class_index, grid):
    """A confusion matrix per threshold, each from the decisions of all rows."""
    n_classes, matrices = proba.shape[1], []
    for threshold in grid:
        changed = thresholds.copy()
        changed[class_index] = threshold
        weighted = proba * ((1 - changed) / changed)
        decided = n_classes - 1 - np.argmax(weighted[:, ::-1], axis=1)
        matrices.append(np.bincount(y * n_classes + decided, minlength=n_classes**2).reshape(n_classes, n_classes))
    return np.array(matrices)


def search(y, proba, sweep):
    """Five rounds over all classes, also where a round improves nothing; what every step has counted."""
    thresholds, counted = np.full(proba.shape[1], 0.5), []
    for _ in range(ROUNDS):
        for c in range(proba.shape[1]):
            matrices = sweep(y, proba, thresholds, c, GRID)
            thresholds[c] = GRID[best_threshold_index(class_mcc(matrices), GRID)]
            counted.append(matrices)
    return thresholds, counted


def milliseconds(work, repeats):
    """Median CPU milliseconds of some work, which other programs do not change, and what it gave."""
    spent = []
    for _ in range(repeats):
        begin = time.process_time()
        found = work()
        spent.append(1000 * (time.process_time() - begin))
    return median(spent), found


def main():
    """Print the table."""
    print(f"{ROUNDS} rounds, {len(GRID)} thresholds, CPU milliseconds on one core")
    print("|   rows | classes |  loop | imblab | ratio |")
    print("|--:|--:|--:|--:|--:|")
    for n_rows, n_classes in SIZES:
        sample = draw(n_rows, n_classes)
        fast, (thresholds, counted) = milliseconds(partial(search, *sample, _sweep_class_threshold), REPEATS)
        slow, (expected, witness) = milliseconds(partial(search, *sample, loop), 1)
        assert (thresholds == expected).all()
        assert all((a == b).all() for a, b in zip(counted, witness, strict=True))
        assert (counted[-1].sum(axis=2) == confusion_matrices(sample[0], sample[0], n_classes).sum(axis=1)).all()
        print(f"| {n_rows:,} | {n_classes} | {slow:,.0f} | {fast:.1f} | {slow / fast:.0f} x |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
