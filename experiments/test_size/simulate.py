"""Simulate size, coverage and power of tests between two strategies under nested cross-validation.

``python experiments/test_size/simulate.py --jobs 2`` draws samples until every scenario has its number; what is there
already is not drawn again, so it may be stopped at any time. ``tabulate.py`` packs the samples and makes the tables.

A sample is a table of n rows with a fixed number of positives. Each strategy is scored by 5 x 5-fold cross-validation
with inner folds shared (``protocol.inner: shared``) and a threshold tuned for MCC, as imblab does it; one repeat is the
first of the five, three are the first three. The contrasts are:

over, under, smote
    Null: random over-sampling, random under-sampling or SMOTE with two seeds. The strategies are exchangeable.
column
    A known difference: random under-sampling with and without the first column.
weight
    A known difference: balanced class weights against none.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from learners import LEARNERS, N_NEIGHBORS
from scipy import stats
from scipy.spatial import cKDTree
from sklearn.model_selection import StratifiedKFold

from imblab.stats import counts, curves
from imblab.stats.standard_errors import (
    average_precision_changes,
    count_changes,
    mean_changes,
    roc_auc_changes,
    row_covariance,
)

HERE = Path(__file__).parent
FOLDS, REPEATS = 5, 5
RATIO = 0.5
N_FEATURES = 4
THRESHOLDS = np.arange(1, 100) / 100
#: Ties go to the threshold nearest .5, then to the lower one.
TIE_RANK = np.abs(np.arange(1, 100) - 50) + 0.25 * (np.arange(1, 100) > 50)
MISS_COST = 10.0
MEASURES = ("mcc", "pr_auc", "roc_auc", "brier", "cost")
CONTRASTS = {
    "over": ("over1", "over2"),
    "smote": ("smote1", "smote2"),
    "under": ("under1", "under2"),
    "column": ("under1", "column"),
    "weight": ("weight", "none"),
}
#: Further contrasts of the first samples of cheap scenarios. Copies of a row are one neighbour many times, so that
#: over-sampling with two seeds is the same for knn, which takes no weights.
EXTRA_CONTRASTS = {"logistic": ("over", "weight"), "knn": ("smote",), "decision_tree": ("over", "weight")}
N_EXTRA, MAX_EXTRA_ROWS = 200, 1000
#: Random streams; strategies that are to differ in nothing else share one.
STREAMS = {
    "over1": 0,
    "over2": 1,
    "smote1": 0,
    "smote2": 1,
    "under1": 2,
    "column": 2,
    "under2": 3,
    "weight": 4,
    "none": 4,
}
#: Strategies of the known differences.
TRUTH_OF = ("under1", "column", "weight", "none")
CHEAP = ("logistic", "knn", "decision_tree")
#: Samples drawn at once, and written as one file.
CHUNK = 50
#: Samples whose models are also scored on the population; bootstrap and 5x2 cross-validation are made for these too.
N_TRUTH = 100
POPULATION = (2_000, 10_000)


class Scenario(NamedTuple):
    """A learner kind, the rows of a sample and the positives among them."""

    kind: str
    n: int
    positives: int

    @property
    def samples(self) -> int:
        """How many samples are drawn."""
        return 1000 if self.kind in CHEAP else 400


def scenarios() -> Iterator[Scenario]:
    """Yield every scenario, the cheap ones first."""
    for n in (500, 1000, 5000):
        for kind in LEARNERS:
            if kind in CHEAP or n <= 1000:
                yield from (Scenario(kind, n, positives) for positives in (20, 50, 200))


def draw(rng: np.random.Generator, positives: int, negatives: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a table: negatives are standard normal, two thirds of the positives lie to one side, a third to another."""
    X = rng.normal(size=(positives + negatives, N_FEATURES))
    near = rng.random(positives) < 2 / 3
    X[:positives] += np.where(near[:, None], (1.2, 1.4, 0.6, 0.0), (1.2, -0.8, 0.0, 1.5))
    y = np.zeros(len(X), dtype=np.int64)
    y[:positives] = 1
    order = rng.permutation(len(X))
    return X[order], y[order]


def treat(
    strategy: str, X: np.ndarray, y: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training rows under a strategy: features, labels, and copies or weights."""
    copies = np.ones(len(y))
    positive, negative = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    ratio = RATIO if len(positive) < RATIO * len(negative) else 1.0
    missing = int(len(negative) * ratio) - len(positive)
    if strategy in ("under1", "under2", "column"):
        copies[rng.permutation(negative)[int(len(positive) / ratio) :]] = 0.0
    elif strategy == "weight":
        copies = len(y) / (2 * np.bincount(y))[y]
    elif strategy in ("over1", "over2"):
        copies += np.bincount(rng.choice(positive, missing), minlength=len(y))
    elif strategy in ("smote1", "smote2"):
        near = cKDTree(X[positive]).query(X[positive], k=N_NEIGHBORS + 1)[1][:, 1:]
        base = rng.integers(len(positive), size=missing)
        other = near[base, rng.integers(N_NEIGHBORS, size=missing)]
        start, end = X[positive[base]], X[positive[other]]
        X = np.vstack([X, start + rng.random((missing, 1)) * (end - start)])
        y, copies = np.append(y, np.ones(missing, dtype=y.dtype)), np.ones(len(y) + missing)
    return X, y, copies


def best_threshold(y: np.ndarray, proba: np.ndarray) -> float:
    """The threshold with the best MCC; ties as in imblab."""
    n_below = np.searchsorted(THRESHOLDS, proba, side="right")
    called = [np.bincount(n_below[y == c], minlength=100)[::-1].cumsum()[::-1][1:] for c in (0, 1)]
    n = np.bincount(y, minlength=2)
    values = counts.mcc(n[0] - called[0], called[0], n[1] - called[1], called[1])
    tied = values >= values.max() - 1e-12
    return float(THRESHOLDS[np.argmin(np.where(tied, TIE_RANK, np.inf))])


#: Scores by repeat and fold, and their changes without each row by repeat and row.
Scored = tuple[np.ndarray, np.ndarray]


class Outer(NamedTuple):
    """Outer test predictions of a strategy: per repeat and row; and the models, with their thresholds, of repeat 0."""

    proba: np.ndarray
    called: np.ndarray
    models: list[tuple[Any, float]]


def evaluate(scenario: Scenario, strategy: str, X: np.ndarray, y: np.ndarray, folds: np.ndarray, seed: int) -> Outer:
    """Nested cross-validation of one strategy with shared inner folds; ``folds`` has shape (repeats, rows)."""
    fit = LEARNERS[scenario.kind]
    if strategy == "column":
        X = X[:, 1:]
    stream = STREAMS[strategy]
    proba, called, models = np.empty(folds.shape), np.empty(folds.shape, dtype=np.int64), []
    for repeat, fold in enumerate(folds):
        n_folds = fold.max() + 1

        def model(left_out: tuple[int, ...], repeat: int = repeat, fold: np.ndarray = fold) -> Any:
            rows = np.flatnonzero(~np.isin(fold, left_out))
            rng = np.random.default_rng([seed, stream, repeat, *left_out])
            return fit(*treat(strategy, X[rows], y[rows], rng), stream)

        inner = np.full((n_folds, len(y)), np.nan)  # [outer fold, row of another fold]
        if n_folds > 2:
            for f, g in combinations(range(n_folds), 2):
                predict = model((f, g))
                inner[f, fold == g], inner[g, fold == f] = predict(X[fold == g]), predict(X[fold == f])
        for f in range(n_folds):
            test, train = fold == f, fold != f
            predict = model((f,))
            threshold = best_threshold(y[train], inner[f, train])
            proba[repeat, test] = predict(X[test])
            called[repeat, test] = proba[repeat, test] >= threshold
            if repeat == 0:
                models.append((predict, threshold))
    return Outer(proba, called, models)


def cost(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Mean cost of a row where a missed positive costs ten false alarms."""
    tn, fp, fn, tp = (np.asarray(c, dtype=np.float64) for c in (tn, fp, fn, tp))
    return np.asarray((fp + MISS_COST * fn) / (tn + fp + fn + tp))


def fold_scores(y: np.ndarray, proba: np.ndarray, called: np.ndarray) -> dict[str, tuple[float, np.ndarray]]:
    """Score, and its change without each row, of every measure in one test fold."""
    table = counts.counts_at(y, called, 0.5)
    return {
        "mcc": (float(counts.mcc(*table)), count_changes(counts.mcc, y, called)),
        "pr_auc": (curves.average_precision(y, proba), average_precision_changes(y, proba)),
        "roc_auc": (curves.roc_auc(y, proba), roc_auc_changes(y, proba)),
        "brier": (float(np.mean((proba - y) ** 2)), mean_changes((proba - y) ** 2)),
        "cost": (float(cost(*table)), mean_changes(np.where(y == 1, MISS_COST * (1 - called), called))),
    }


def score(y: np.ndarray, folds: np.ndarray, outer: Outer) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By measure: scores of shape (repeats, folds), and changes without each row of shape (repeats, rows)."""
    scores = {m: np.empty((len(folds), FOLDS)) for m in MEASURES}
    changes = {m: np.empty((len(folds), len(y))) for m in MEASURES}
    for repeat, fold in enumerate(folds):
        for f in range(FOLDS):
            test = fold == f
            parts = fold_scores(y[test], outer.proba[repeat, test], outer.called[repeat, test])
            for m, (value, change) in parts.items():
                scores[m][repeat, f], changes[m][repeat, test] = value, change
    return {m: (scores[m], changes[m] / FOLDS) for m in MEASURES}


def compare(y: np.ndarray, a: Scored, b: Scored) -> Iterator[dict[str, float]]:
    """The parts of every standard error, for one repeat, for three and for all of them."""
    difference, change = a[0] - b[0], a[1] - b[1]
    for repeats in (1, 3, len(difference)):
        d = difference[:repeats]
        yield {
            "folds": float(d.size),
            "effect": float(d.mean()),
            "s2": float(d.var(ddof=1)),
            "w_change": float(row_covariance(change[:repeats].mean(axis=0)[None], y)[0, 0]),
            "between": float(d.mean(axis=1).var(ddof=1)) if repeats > 1 else np.nan,
        }


def population_scores(outer: Outer, X: np.ndarray, y: np.ndarray, prevalence: float, column: bool) -> dict[str, float]:
    """Mean score of the models of repeat 0 on a large population with the prevalence of the sample."""
    weight = np.where(y == 1, prevalence / y.mean(), (1 - prevalence) / (1 - y.mean()))
    rows: dict[str, list[float]] = {m: [] for m in MEASURES}
    for predict, threshold in outer.models:
        p = predict(X[:, 1:] if column else X)
        called = p >= threshold
        table = [float(weight[(y == c) & (called == k)].sum()) for c, k in ((0, 0), (0, 1), (1, 0), (1, 1))]
        rows["mcc"].append(float(counts.mcc(*table)))
        order = np.argsort(-p, kind="stable")
        last = np.append(np.diff(p[order]) != 0, True)
        tp, fp = (np.cumsum(weight[order] * (y[order] == c))[last] for c in (1, 0))
        rows["pr_auc"].append(float(np.diff(tp, prepend=0.0) @ (tp / (tp + fp)) / tp[-1]))
        rows["roc_auc"].append(curves.roc_auc(y, p))
        rows["brier"].append(float(np.average((p - y) ** 2, weights=weight)))
        rows["cost"].append(float(cost(*table)))
    return {m: float(np.mean(values)) for m, values in rows.items()}


def bootstrap_interval(y: np.ndarray, folds: np.ndarray, a: Outer, b: Outer, seed: int) -> tuple[float, float]:
    """Paired stratified bootstrap of the fold-averaged MCC difference: rows are drawn within their class (scipy)."""
    cells = [
        np.stack(
            [
                (fold == f) & (2 * y + o.called[r] == c)
                for r, fold in enumerate(folds)
                for f in range(FOLDS)
                for c in range(4)
            ]
        )
        for o in (a, b)
    ]
    cells = [c.astype(np.float32) for c in cells]
    classes = [np.flatnonzero(y == c) for c in (0, 1)]

    def statistic(negative: np.ndarray, positive: np.ndarray, axis: int = -1) -> np.ndarray:
        rows = np.concatenate([np.atleast_2d(negative), np.atleast_2d(positive)], axis=-1).astype(np.intp)
        copies = np.stack([np.bincount(row, minlength=len(y)) for row in rows]).astype(np.float32)
        tables = [(copies @ c.T).reshape(len(copies), -1, 4) for c in cells]
        values = [counts.mcc(*np.moveaxis(t, -1, 0)).mean(axis=-1) for t in tables]
        difference = values[0] - values[1]
        return difference if np.ndim(negative) > 1 else difference[0]

    result = stats.bootstrap(
        classes, statistic, n_resamples=499, vectorized=True, method="percentile", rng=np.random.default_rng(seed)
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def five_by_two(scenario: Scenario, pair: tuple[str, str], X: np.ndarray, y: np.ndarray, seed: int) -> float:
    """Give p of the combined 5x2cv F test (Alpaydin 1999) on MCC; thresholds are tuned within the training half."""
    differences = np.empty((5, 2))
    fit = LEARNERS[scenario.kind]
    for repeat in range(5):
        halves = [test for _, test in StratifiedKFold(2, shuffle=True, random_state=100 + repeat).split(X, y)]
        for half in range(2):
            train, test = halves[1 - half], halves[half]
            scores = []
            for strategy in pair:
                stream = STREAMS[strategy]
                rng = np.random.default_rng([seed, 50 + stream, repeat, half])
                inner = np.empty(len(train))
                for fit_rows, validation in StratifiedKFold(2, shuffle=True, random_state=repeat).split(
                    X[train], y[train]
                ):
                    rows = train[fit_rows]
                    inner[validation] = fit(*treat(strategy, X[rows], y[rows], rng), stream)(X[train[validation]])
                predict = fit(*treat(strategy, X[train], y[train], rng), stream)
                called = predict(X[test]) >= best_threshold(y[train], inner)
                scores.append(float(counts.mcc(*counts.counts_at(y[test], called.astype(float), 0.5))))
            differences[repeat, half] = scores[0] - scores[1]
    variance = ((differences - differences.mean(axis=1, keepdims=True)) ** 2).sum()
    if variance == 0:
        return 1.0 if not differences.any() else 0.0
    return float(stats.f.sf((differences**2).sum() / (2 * variance), 10, 5))


def simulate_sample(scenario: Scenario, number: int) -> list[dict[str, Any]]:
    """Draw one sample and return the parts of every estimator for every contrast and measure."""
    seed = int(
        np.random.SeedSequence(
            [list(LEARNERS).index(scenario.kind), scenario.n, scenario.positives, number]
        ).generate_state(1)[0]
    )
    rng = np.random.default_rng(seed)
    X, y = draw(rng, scenario.positives, scenario.n - scenario.positives)
    folds = np.empty((REPEATS, scenario.n), dtype=np.int64)
    for repeat in range(REPEATS):
        for f, (_, test) in enumerate(StratifiedKFold(FOLDS, shuffle=True, random_state=repeat).split(X, y)):
            folds[repeat, test] = f
    is_extra = number < N_EXTRA and scenario.n <= MAX_EXTRA_ROWS
    extra = EXTRA_CONTRASTS.get(scenario.kind, ()) if is_extra else ()
    contrasts = {name: CONTRASTS[name] for name in ("under", "column", *extra)}
    strategies = dict.fromkeys(name for pair in contrasts.values() for name in pair)
    outer = {name: evaluate(scenario, name, X, y, folds, seed) for name in strategies}
    scored = {name: score(y, folds, each) for name, each in outer.items()}
    truth: dict[str, dict[str, float]] = {}
    if number < N_TRUTH:
        XP, yp = draw(np.random.default_rng(7), *POPULATION)
        truth = {n: population_scores(o, XP, yp, y.mean(), n == "column") for n, o in outer.items() if n in TRUTH_OF}
    rows = []
    for name, (a, b) in contrasts.items():
        for measure in MEASURES:
            for parts in compare(y, scored[a][measure], scored[b][measure]):
                row = {"sample": number, "contrast": name, "measure": measure, **parts}
                if truth and name in ("column", "weight"):
                    row["truth"] = truth[a][measure] - truth[b][measure]
                is_whole = measure == "mcc" and parts["folds"] == FOLDS * REPEATS
                if is_whole and number < N_TRUTH and name in ("under", "column"):
                    row["low"], row["high"] = bootstrap_interval(y, folds, outer[a], outer[b], seed)
                    if name == "under":
                        row["p_5x2"] = five_by_two(scenario, (a, b), X, y, seed)
                rows.append(row)
    return rows


def simulate_chunk(scenario: Scenario, first: int) -> Path:
    """Draw the samples of one file, and write it in one step."""
    path = chunk_path(scenario, first)
    rows = [row for number in range(first, first + CHUNK) for row in simulate_sample(scenario, number)]
    frame = pd.DataFrame(rows)
    floats = frame.select_dtypes("float64").columns
    frame = frame.astype(
        {**dict.fromkeys(floats, "float32"), "contrast": "category", "measure": "category", "sample": "int16"}
    )
    path.parent.mkdir(exist_ok=True, parents=True)
    partial = path.with_suffix(".partial")
    frame.to_parquet(partial, compression="zstd")
    partial.replace(path)
    return path


def chunk_path(scenario: Scenario, first: int) -> Path:
    """Where a file of samples lies."""
    return HERE / "parts" / f"{scenario.kind}-{scenario.n}-{scenario.positives}" / f"{first:04d}.parquet"


def packed_samples() -> set[tuple[str, int, int, int]]:
    """Kind, rows, positives and number of the samples that are packed already."""
    packed: set[tuple[str, int, int, int]] = set()
    for path in (HERE / "samples").glob("*.parquet"):
        frame = pd.read_parquet(path, columns=["n", "positives", "sample"]).drop_duplicates()
        packed |= {(path.stem, int(n), int(p), int(i)) for n, p, i in frame.itertuples(index=False)}
    return packed


def main() -> None:
    """Draw what is missing, in rounds: every scenario gets its first samples before any gets more."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kinds", nargs="*", default=list(LEARNERS), choices=list(LEARNERS))
    parser.add_argument("--rows", type=int, nargs="*", default=[500, 1000, 5000])
    parser.add_argument("--samples", type=int, default=1000, help="at most so many samples of each scenario")
    options = parser.parse_args()
    chosen = [s for s in scenarios() if s.kind in options.kinds and s.n in options.rows]
    work = [(s, first) for first in range(0, options.samples, CHUNK) for s in chosen if first < s.samples]
    packed = packed_samples()
    missing = [(s, first) for s, first in work if (*s, first) not in packed and not chunk_path(s, first).exists()]
    print(f"{len(missing)} of {len(work)} files of {CHUNK} samples are missing", flush=True)
    with ProcessPoolExecutor(options.jobs) as pool:
        for done in as_completed([pool.submit(simulate_chunk, *each) for each in missing]):
            print(done.result().relative_to(HERE), flush=True)


if __name__ == "__main__":
    main()
