"""imblab compared with the ways of today: same tables, folds and candidates, one machine, one run; `make bench` writes.

The clock runs from the first fit to the last line of the ledger and, where MLflow is written, to the last run there;
imports, the start of workers and the creation of the database are outside of it, for everyone. Everyone logs to one and
the same SQLite store, or nobody does. Ratios are taken pair by pair, repeat by repeat.
"""

# ruff: noqa: E402 (the number of threads is read when numpy is imported)

import json
import os
import sys
import tempfile
import time
from functools import wraps
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import matplotlib
import mlflow
import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

import imblab
import peers
import startup
from imblab.commands import python_runs, running
from imblab.edges import ledger, runner

matplotlib.use("Agg")
HERE = Path(__file__).parent
LEARNERS = {
    "logistic": lambda seed: LogisticRegression(solver="newton-cholesky", random_state=seed),
    "lightgbm": lambda seed: LGBMClassifier(n_jobs=1, verbosity=-1, random_state=seed),
}
REPEATS = int(os.environ.get("REPEATS", "5"))


def table(name):
    """A bundled table, or 100,000 rows with 30 columns and 5 % positives."""
    if name == "rows_100k":
        X, y = make_classification(
            100_000, 30, n_informative=12, weights=[0.95], class_sep=0.8, flip_y=0.01, random_state=0
        )
        return X, y
    frame = pd.read_parquet(HERE.parent / "src" / "imblab" / "data" / f"{name}.parquet")
    target = frame.pop("target")
    return frame.to_numpy(dtype=np.float64), (target == target.value_counts().idxmin()).to_numpy().astype(int)


def timed(work):
    """Wall and CPU seconds of some work, and what it gave."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return time.perf_counter() - wall, time.process_time() - cpu, found


def study(name, learner, strategy, ratios, ks, outer, inner, seed):
    """The same question for imblab, its data in memory."""
    X, y = table(name)
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])]).assign(target=y)
    data = imblab.dataset(frame, "target", name=name)
    asked = imblab.compose(
        f"name={name}",
        f"seed={seed}",
        f"learner=[{learner}]",
        f"strategy=[{strategy}]",
        f"protocol.outer_folds={outer}",
        "protocol.inner=shared" if inner is None else f"protocol.inner_folds={inner}",
        f"strategy.{strategy}.space.ratio=choice({','.join(map(str, ratios))})",
        f"strategy.{strategy}.space.k=choice({','.join(map(str, ks))})",
    )
    return asked, data


class Clock:
    """When imblab made its first fit and wrote its last line, and the CPU seconds inside of the learners meanwhile."""

    def __init__(self):
        self.begin = self.end = self.cpu = self.inside = self._cpu = 0.0
        self._depth = 0
        self._started, self._appended = runner.run, ledger.Ledger.append
        for learner in (LogisticRegression, LGBMClassifier):
            for name in ("fit", "predict_proba"):
                self._watch(learner, name)

    def _watch(self, learner, name):
        method = getattr(learner, name)

        @wraps(method)  # imblab reads in the signature whether a fit takes weights
        def watched(*args, **kwargs):
            self._depth += 1
            cpu = time.process_time()
            try:
                return method(*args, **kwargs)
            finally:
                self._depth -= 1
                self.inside += time.process_time() - cpu if self._depth == 0 else 0.0

        setattr(learner, name, watched)

    def run(self, *args):
        """Instead of the runner's."""
        self.inside, self.begin, self._cpu = 0.0, time.perf_counter(), time.process_time()
        return self._started(*args)

    def append(self, book, row):
        """Instead of the ledger's."""
        self._appended(book, row)
        self.end, self.cpu = time.perf_counter(), time.process_time() - self._cpu


CLOCK = Clock()
running.runner.run = CLOCK.run
ledger.Ledger.append = lambda book, row: CLOCK.append(book, row)


def ours(asked, data, n_jobs, store, uri=None):
    """A study of imblab into a fresh folder: wall seconds, share of CPU inside of the learner, mean MCC."""
    with tempfile.TemporaryDirectory() as folder:
        where = {"data": [data], "store_path": store, "tracking_uri": uri}
        frame = python_runs.run_in_folder(asked, n_jobs, Path(folder) / asked.name, **where).to_frame()
        done = time.perf_counter()
    assert (frame.status == "ok").all()
    wall = (done if uri else CLOCK.end) - CLOCK.begin
    return wall, CLOCK.inside / CLOCK.cpu, float(frame.mcc.mean())


#: table, learner, peer, strategy, ratios, ks, outer, inner: few candidates for the nested way, 18 fits each; no number
#: of inner folds where the other outer folds serve, of which imblab fits each pair once.
SEARCHES = [
    ("yeast4", "logistic", "nested", "smote_threshold", [0.5], [3, 5], 2, 3),
    ("yeast4", "lightgbm", "nested", "smote_threshold", [0.5], [3, 5], 2, 3),
    ("yeast4", "logistic", "by_hand", "smote", [0.1, 0.2, 0.4, 0.7, 1.0], [2, 3, 5, 7], 5, 3),
    ("yeast4", "lightgbm", "by_hand", "smote", [0.1, 0.4, 1.0], [3, 5], 5, 3),
    ("page_blocks0", "logistic", "by_hand", "smote", [0.2, 0.4, 0.7, 1.0], [3, 5], 5, 3),
    ("yeast4", "logistic", "by_hand", "smote", [0.1, 0.2, 0.4, 0.7, 1.0], [2, 3, 5, 7], 5, None),
    ("yeast4", "lightgbm", "by_hand", "smote", [0.1, 0.4, 1.0], [3, 5], 5, None),
]
#: Once each: their fits take more than a minute.
LARGE = [
    ("rows_100k", "logistic", "by_hand", "smote", [0.2, 1.0], [3, 5], 3, 2),
    ("rows_100k", "lightgbm", "by_hand", "smote", [0.2, 0.5, 1.0], [3, 5], 3, 2),
]


def compared(search, repeats, uri):
    """One row a repeat: seconds of everyone."""
    name, learner, peer, strategy, ratios, ks, outer, inner = search
    X, y = table(name)
    rows = []
    for seed in range(repeats):
        asked, data = study(name, learner, strategy, ratios, ks, outer, inner, seed)
        question = (X, y, LEARNERS[learner], ratios, ks, outer, inner, seed)
        with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
            stores = (Path(folder) / f"{i}.sqlite" for i in range(9))
            first = next(stores)
            theirs = timed(lambda q=question: getattr(peers, peer)(*q))
            one = ours(asked, data, 1, first)
            warm = ours(asked, data, 1, first)
            two = ours(asked, data, 2, next(stores))
            row = {
                "table": name,
                "learner": learner,
                "peer": peer if inner else f"{peer}, shared folds",
                "candidates": len(ratios) * len(ks),
                "fits": outer * (len(ratios) * len(ks) * (inner or outer - 1) + 1),
                "share": one[1],
                "peer_wall": theirs[0],
                "ours_wall": one[0],
                "two_wall": two[0],
                "warm_wall": warm[0],
                "peer_mcc": theirs[2],
                "ours_mcc": one[2],
            }
            if peer == "by_hand":
                mlflow.set_experiment(f"by hand {name} {learner} {inner} {seed}")
                row |= {
                    "peer_logged": timed(lambda q=question: peers.by_hand(*q, logs=True))[0],
                    "ours_logged": ours(asked, data, 1, next(stores), uri)[0],
                    "two_logged": ours(asked, data, 2, next(stores), uri)[0],
                }
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def spread(ratios):
    """Median with the range over repeats."""
    low, middle, high = min(ratios), float(np.median(ratios)), max(ratios)
    return f"{middle:.1f}" if len(ratios) == 1 else f"{middle:.1f} ({low:.1f}-{high:.1f})"


def page(rows, apart):
    """The table that the README shows."""
    frame = pd.DataFrame(rows)
    lines = [
        "# Benchmarks",
        "",
        f"`make bench`: {REPEATS} repeats (one for 100,000 rows), {os.cpu_count()} cores, one thread per fit. Ratios",
        "are wall seconds of the peer over those of imblab on the same candidates and folds, median (range) over",
        "repeats.",
        "The share is CPU time inside the learner's `fit` and `predict_proba` over all CPU time, first fit to last",
        f"line of the ledger. Not timed, once per process: {apart}.",
        "",
        "| table | learner | peer | cand. | fits | peer s | imblab s | one core | two cores | store warm | share |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for (name, learner, peer), own in frame.groupby(["table", "learner", "peer"], sort=False):
        one, two, warm = (list(own.peer_wall / own[c]) for c in ("ours_wall", "two_wall", "warm_wall"))
        seconds = f"{own.peer_wall.median():.1f} | {own.ours_wall.median():.2f}"
        size = f"{own.candidates.iloc[0]} | {own.fits.iloc[0]} | {seconds}"
        times = " | ".join(f"{spread(ratios)} x" for ratios in (one, two, warm))
        lines.append(f"| {name} | {learner} | {peer} | {size} | {times} | {100 * own.share.median():.0f} % |")
    lines += [
        "",
        "With MLflow, all in the same SQLite store: the hand-written loop logs one run per trial, imblab its",
        "whole tree (study, strategy, candidates, curves, artifacts):",
        "",
        "| table | learner | peer | peer s | imblab s | one core | two cores |",
        "|---|---|---|--:|--:|--:|--:|",
    ]
    logged = frame[frame.peer != "nested"]
    for (name, learner, peer), own in logged.groupby(["table", "learner", "peer"], sort=False):
        one, two = (list(own.peer_logged / own[c]) for c in ("ours_logged", "two_logged"))
        seconds = f"{own.peer_logged.median():.1f} | {own.ours_logged.median():.2f}"
        lines.append(f"| {name} | {learner} | {peer} | {seconds} | {spread(one)} x | {spread(two)} x |")
    lines += ["", "Two cores compared with one, imblab alone:", ""]
    for (name, learner, peer), own in frame.groupby(["table", "learner", "peer"], sort=False):
        lines.append(f"- {name}, {learner}, {peer}: {spread(list(own.ours_wall / own.two_wall))} x")
    lines += ["", "Outer MCC, mean over repeats (peer, imblab):", ""]
    for (name, learner, peer), own in frame.groupby(["table", "learner", "peer"], sort=False):
        lines.append(f"- {name}, {learner}, {peer}: {own.peer_mcc.mean():.3f}, {own.ours_mcc.mean():.3f}")
    lines += [
        "",
        "`python benchmarks/growth.py` measures how cost grows with rows, strategies, data sets, repeats, workers.",
    ]
    return "\n".join(lines) + "\n"


def figure(rows, path):
    """Bars of the ratios on a logarithmic axis."""
    from matplotlib import pyplot as plt

    frame = pd.DataFrame(rows)
    groups = list(frame.groupby(["table", "learner", "peer"], sort=False))
    fig, axes = plt.subplots(figsize=(8, 0.62 * len(groups) + 1.2), layout="constrained")
    for i, ((_, _, _), own) in enumerate(groups):
        for j, (column, colour) in enumerate((("ours_wall", "#0072b2"), ("two_wall", "#56b4e9"))):
            ratios = own.peer_wall / own[column]
            axes.barh(i + 0.36 * j, ratios.median(), 0.34, color=colour)
            axes.text(ratios.median() * 1.03, i + 0.36 * j, f"{ratios.median():.1f} x", va="center", fontsize=8)
    axes.set_yticks([i + 0.18 for i in range(len(groups))], [", ".join(key) for key, _ in groups], fontsize=8)
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.axvline(1, color="#444", lw=0.8)
    axes.set_xlabel("times faster than the peer (dark: one core, light: two)")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    fig.savefig(path, metadata={"Date": None})


def main():
    """Measure, write the page, the figure and the raw seconds."""
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        # The first study of two processes starts the workers, the first that is logged makes the database.
        first = study("yeast4", "logistic", "smote", [0.5], [3, 5], 2, 2, 0)
        workers = timed(lambda: ours(*first, 2, None))[0]
        made = timed(lambda: ours(*first, 1, None, uri))[0]
        mlflow.set_tracking_uri(uri)
        apart = f"start of two workers {workers:.1f} s, creation of the MLflow database {made:.1f} s"
        rows = [row for search in SEARCHES for row in compared(search, REPEATS, uri)]
        rows += [row for search in LARGE for row in compared(search, 1, uri)]
    begun = startup.measured()
    (HERE / "results.json").write_text(json.dumps({"rows": rows, "startup": begun}, indent=1) + "\n")
    text = f"{page(rows, apart)}\n{startup.page(begun)}"
    (HERE / "README.md").write_text(text)
    figure(rows, HERE / "results.svg")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
