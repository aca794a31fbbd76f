"""CPU time of MLflow logging: imblab's writer compared with the fluent API, into the same store.

``python benchmarks/tracking.py`` takes some seconds; a number behind it also fills one experiment with so many runs and
asks for the first page sorted by MCC, as the run table does.
"""

import os
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")

import imblab
from imblab.analysis.results import build_result
from imblab.edges import mlflow as tracking
from imblab.result import Evaluation, Trial

CELLS, CANDIDATES, REPEATS = 4, 8, 3


def study(name, cells, candidates):
    """The measures of a composed study, its rows made up."""
    asked = imblab.compose(f"name={name}", "dataset=[yeast4]", "learner=[logistic]", "strategy=[none]")
    arms = tuple(replace(asked.strategies[0], name=f"arm{i}") for i in range(cells))
    trials = tuple(Trial({"ratio": 0.1 + 0.01 * j, "k": 5}, 0.4 - 0.001 * j, 0.5) for j in range(candidates))
    rows = []
    for i, arm in enumerate(arms):
        for fold in range(5):
            scores = {m.name: 0.3 + 0.01 * i + 0.001 * fold + 0.0001 * n for n, m in enumerate(asked.measures)}
            counts = {"tn": 250, "fp": 30 + i, "fn": 4, "tp": 6}
            row = Evaluation("yeast4", "logistic", arm.name, 0, fold, trials[0].params, 0.5, scores, counts, 1.0, "ok",
                             None, "f", n_train=1187, n_test=297, trials=trials)  # fmt: skip
            rows.append(row)
    return replace(asked, strategies=arms), rows


def log_rows(asked, rows, folder, uri):
    """Describe and write the runs of a study, as ``imblab sync`` does."""
    runs = tracking.describe_runs(build_result(asked, rows), {})
    owner = tracking.ExperimentOwner(asked.name, asked.name)
    return tracking.log_study(asked, runs, tracking.folder_artifacts(folder), folder, uri, owner)


def fluent(runs, name):
    """One call a tag, a param, a metric."""
    import mlflow

    mlflow.set_experiment(name)
    for run in runs:
        with mlflow.start_run(run_name=run.name):
            for key, value in run.tags.items():
                mlflow.set_tag(key, value)
            for key, value in run.params.items():
                mlflow.log_param(key, value)
            for key, value, step in run.metrics:
                mlflow.log_metric(key, value, step=step)


def seconds(work):
    """CPU seconds of some work, which other programs do not change; the wall shows at least as much."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def compared(uri, folder):
    """CPU milliseconds a run, of the writer and of the fluent way."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    found = {"writer": [], "fluent": []}
    for repeat in range(REPEATS):
        asked, rows = study(f"one{repeat}", CELLS, CANDIDATES)
        runs = tracking.describe_runs(build_result(asked, rows), {})
        found["writer"].append(seconds(partial(log_rows, asked, rows, folder, uri)) / len(runs))
        few = [run for run in runs if run.role == "cell"][:1] + [r for r in runs if r.role == "candidate"][:8]
        found["fluent"].append(seconds(lambda f=few, n=repeat: fluent(f, f"two{n}")) / len(few))
    return {name: 1000 * median(values) for name, values in found.items()}


def paged(uri, folder, runs):
    """Seconds to write so many runs, and until the first hundred are there sorted by MCC, before and after ANALYZE."""
    import sqlite3

    import mlflow

    asked, rows = study("many", runs // 10, 9)
    writing = seconds(lambda: log_rows(asked, rows, folder, uri))
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("many").experiment_id

    def page():
        found = client.search_runs(
            [experiment], "tags.`imblab.role` = 'cell'", order_by=["metrics.mcc DESC"], max_results=100
        )
        assert len(found) == 100

    def every():
        found = client.search_runs([experiment], order_by=["metrics.`inner/mcc` DESC"], max_results=100)
        assert len(found) == 100

    page()
    after = {"cells by mcc": seconds(page), "all by inner/mcc": seconds(every)}
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as base:
        base.execute("DELETE FROM sqlite_stat1")
    base.close()
    client = mlflow.MlflowClient(f"sqlite:////{uri.removeprefix('sqlite:///')}")  # a fresh connection
    before = {"cells by mcc": seconds(page), "all by inner/mcc": seconds(every)}
    return writing, before, after


def main(many):
    """Print the tables."""
    with tempfile.TemporaryDirectory() as place:
        uri, folder = f"sqlite:///{place}/mlflow.db", Path(place) / "experiments" / "bench"
        print("CPU seconds, which are the least that a clock on the wall can show")
        print(f"import of mlflow {seconds(lambda: __import__('mlflow')):.1f} s")
        first = partial(log_rows, *study("zero", 1, 1), folder, uri)
        print(f"first creation {seconds(first):.1f} s")
        found = compared(uri, folder)
        print(f"writer {found['writer']:.0f} ms a run, fluent {found['fluent']:.0f} ms a run: "
              f"{found['fluent'] / found['writer']:.1f} x")  # fmt: skip
        if many:
            writing, before, after = paged(uri, folder, many)
            print(f"{many} runs written in {writing:.0f} s")
            for name in after:
                print(f"first page, {name}: {before[name]:.2f} s without, {after[name]:.2f} s with ANALYZE")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
