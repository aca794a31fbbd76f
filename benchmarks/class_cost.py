"""CPU time of a study by the number of classes, compared with that of its learner alone.

``python benchmarks/class_cost.py`` cuts one score of the same 2,000 rows into 2, 3, 5 and 10 classes, each a third
rarer than the one before, and evaluates three strategies with each learner. The ratio is CPU time of the whole study
over CPU time inside the learner's ``fit`` and ``predict_proba``, in the same run and process: 1 would be a study that
costs no more than its fits.
"""

import os
import sys
import time
import warnings
from dataclasses import replace
from functools import wraps
from statistics import median

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

import imblab

CLASSES, N_ROWS = (2, 3, 5, 10), 2_000
REPEATS = int(os.environ.get("REPEATS", "3"))
#: Every learner, and what keeps its fits short.
LEARNERS = {
    "logistic": (LogisticRegression, []),
    "decision_tree": (DecisionTreeClassifier, []),
    "lightgbm": (LGBMClassifier, ["learner.lightgbm.make.n_estimators=20"]),
}
STRATEGIES = ["strategy=[none,threshold,smote_threshold]", "strategy.smote_threshold.space.ratio=choice(0.8,1.0)"]
STRATEGIES += ["strategy.smote_threshold.k=3"]


def table(n_classes):
    """Ten columns, and classes that are intervals of a noisy score; the columns are the same for any number of them."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 10))
    score = X @ np.linspace(1, 0, 10) + rng.normal(size=N_ROWS)
    shares = 1.5 ** -np.arange(n_classes)
    cuts = np.quantile(score, np.cumsum(shares / shares.sum())[:-1])
    y = [f"class {c}" for c in np.searchsorted(cuts, score)]
    return imblab.dataset(pd.DataFrame(X, columns=list("abcdefghij")).assign(y=y), "y", name=f"classes{n_classes}")


class Clock:
    """CPU seconds inside of the learners, and how many of their models were fitted."""

    def __init__(self):
        self.inside, self.fits, self._depth = 0.0, 0, 0
        for learner, _ in LEARNERS.values():
            for name in ("fit", "predict_proba"):
                self._watch(learner, name)

    def _watch(self, learner, name):
        method = getattr(learner, name)

        @wraps(method)  # imblab reads in the signature whether a fit takes weights
        def watched(*args, **kwargs):
            self._depth += 1
            begin = time.process_time()
            try:
                return method(*args, **kwargs)
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self.inside += time.process_time() - begin
                    self.fits += name == "fit"

        setattr(learner, name, watched)


def measured(clock, study, data):
    """Fits, CPU seconds of the learner and of the study."""
    clock.inside, clock.fits, begin = 0.0, 0, time.process_time()
    rows = imblab.evaluate(study, [data])
    spent = time.process_time() - begin
    assert (rows.status == "ok").all()
    return clock.fits, clock.inside, spent


def main():
    """Print the table."""
    warnings.simplefilter("ignore", UserWarning)  # watched methods, and a small rarest class
    clock = Clock()
    print(f"{N_ROWS:,} rows, medians of {REPEATS} repeats, CPU seconds on one core")
    print("| learner | classes | fits | learner s | imblab s | ratio | ratio to that of 2 classes |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, (_, overrides) in LEARNERS.items():
        study = imblab.compose("name=c", "dataset=[ecoli3]", f"learner=[{name}]", *STRATEGIES, *overrides)
        study, first = replace(study, datasets={}), None
        measured(clock, study, table(2))  # what is imported and found once
        for n_classes in CLASSES:
            runs = [measured(clock, study, table(n_classes)) for _ in range(REPEATS)]
            fits, inside, spent = (median(column) for column in zip(*runs, strict=True))
            ratio = median(total / learner for _, learner, total in runs)
            first = first or ratio
            cells = f"{fits} | {inside:.2f} | {spent:.2f} | {ratio:.2f} | {ratio / first:.2f}"
            print(f"| {name} | {n_classes} | {cells} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
