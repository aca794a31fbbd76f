"""What every engine must do: this process, processes of this machine, Dask's workers give the same rows."""

import functools
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pandas as pd
import psutil
import pytest
from sklearn.linear_model import LogisticRegression

from imblab.core import design, splits
from imblab.edges import config, runner
from imblab.edges.store import SqliteStore
from imblab.study import Choice, Dataset, Learner, Protocol, Strategy, Study, Tuning

Client = pytest.importorskip("distributed").Client

MEASURES = config.compose_request(["name=x", "dataset=[ecoli3]"]).study.measures
LOGISTIC = Learner("logistic", {"_target_": f"sklearn.linear_model.{LogisticRegression.__name__}", "max_iter": 2000})
TREE = Learner("tree", {"_target_": "sklearn.tree.DecisionTreeClassifier", "max_depth": 4})
SVM = Learner("svm", {"_target_": "sklearn.svm.LinearSVC"})
SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
SPACE = {"ratio": Choice((0.4, 1.0)), "k": Choice((3, 5))}
STRATEGIES = (
    Strategy("none"),
    Strategy("threshold", threshold="tuned"),
    Strategy("smote", SMOTE, space=SPACE),
    Strategy("smote_threshold", SMOTE, threshold="tuned", space=SPACE),
    Strategy("isotonic", threshold="tuned", calibration="isotonic"),
)


def table(n=240, positives=48, seed=0, words=False):
    rng = np.random.default_rng(seed)
    y = np.zeros(n, dtype=np.int64)
    y[rng.permutation(n)[:positives]] = 1
    X = pd.DataFrame({"a": rng.normal(size=n) + 1.5 * y, "b": rng.normal(size=n)})
    if words:
        X = X.assign(word=pd.Categorical(rng.choice(["u", "v", None], n), ["u", "v"]))
    return Dataset("toy", X, y, ("no", "yes"), ("word",) if words else (), fingerprint=f"{seed:031d}{int(words)}")


def ask(learners=(LOGISTIC,), strategies=STRATEGIES, tuning=None, **protocol):
    asked = {"outer_folds": 3, "inner_folds": 2, **protocol}
    question = Study("toy", 0, {}, tuple(learners), tuple(strategies), MEASURES, Protocol(**asked))
    return question if tuning is None else replace(question, tuning=tuning)


def answers(question, data, engine, kept=None):
    plans = {"toy": splits.plan(data, question.protocol, question.seed)}
    cells = design.expand_cells(question, plans)
    rows = []
    bundles = runner.make_bundles(question, plans, cells)
    counts = runner.run({"toy": data}, bundles, engine, [rows.append], kept)
    assert len(rows) == len({row.key for row in rows}) == len(cells)
    return {row.key: replace(row, seconds=0.0) for row in rows}, counts


QUESTIONS = {
    "grid": (ask([LOGISTIC, TREE]), table()),
    "shared": (ask([LOGISTIC], inner="shared", outer_folds=4), table(seed=1)),
    "decision_values": (ask([SVM], STRATEGIES[:3]), table(seed=2)),
    "words": (ask([TREE], STRATEGIES[:2]), table(seed=3, words=True)),
    "tpe": (ask([LOGISTIC], STRATEGIES[2:3], tuning=Tuning("tpe", 4)), table(seed=4)),
}


@functools.cache
def expected(name):
    return answers(*QUESTIONS[name], runner.Engine(1))


class Dask:
    """A scheduler and two workers of their own, as on another machine."""

    def __init__(self, folder, workers=2, *, nanny=True):
        self.file, self.folder, self.processes = folder / "scheduler.json", folder, []
        self.start_scheduler()
        for n in range(workers):
            self.start_worker(n, nanny=nanny)

    def start_scheduler(self):
        self.scheduler = self.start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"
        )

    def start_worker(self, n, *more, nanny=True):
        home = self.folder / f"host{n}"
        home.mkdir(exist_ok=True)
        words = ["worker", "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0", "--nthreads", "1"]
        self.start(*words, "--local-directory", str(home), "--nanny" if nanny else "--no-nanny", *more)

    def start(self, kind, *words):
        env = os.environ | {"PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *filter(None, sys.path)])}
        command = [sys.executable, "-m", "distributed.cli.dask_" + ("scheduler" if kind == "scheduler" else "worker")]
        with open(self.folder / f"log{len(self.processes)}", "wb") as log:
            process = subprocess.Popen(
                [*command, "--scheduler-file", str(self.file), *words], env=env, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def wait(self):
        """Until the scheduler has written its file."""
        while not self.file.exists():
            assert self.scheduler.poll() is None, self.folder
            time.sleep(0.05)

    def ready(self, workers):
        """Until so many workers are there."""
        self.wait()
        with Client(scheduler_file=str(self.file), set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=120)

    def engine(self, opener=None, fit_timeout=None, **options):
        return runner.Engine(512, opener, fit_timeout, cluster=runner.Cluster(f"file:{self.file}", **options))

    def stop(self):
        for process in self.processes:
            for child in [*psutil.Process(process.pid).children(recursive=True)] if process.poll() is None else []:
                child.kill()
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    cluster = Dask(tmp_path_factory.mktemp("dask"))
    cluster.wait()
    yield cluster
    cluster.stop()


@pytest.fixture(params=["processes", "standard", "dask"])
def engine(request):
    """Makes the engine of two workers with a store, or without one."""
    if request.param == "dask":
        return request.getfixturevalue("dask").engine
    if request.param == "standard":
        return functools.partial(runner.Engine, 2, executor=lambda n: ProcessPoolExecutor(n, get_context("spawn")))
    return functools.partial(runner.Engine, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", QUESTIONS)
def test_every_engine_gives_the_rows_of_one_process(engine, name, tmp_path):
    rows, counts = expected(name)
    opener = functools.partial(SqliteStore, tmp_path / "p.sqlite")
    found, made = answers(*QUESTIONS[name], engine(opener))
    assert found == rows
    assert (made.fitted, made.from_store) == (counts.fitted, 0)
    again, reused = answers(*QUESTIONS[name], engine(opener))
    assert again == rows
    assert reused.fitted == 0


@pytest.mark.slow
def test_every_engine_gives_the_same_rows_and_evidence_without_a_store(engine):
    rows, counts = expected("grid")
    alone, kept = {}, {}
    answers(*QUESTIONS["grid"], runner.Engine(1), alone)
    found, made = answers(*QUESTIONS["grid"], engine(), kept)
    assert found == rows
    assert made.fitted == counts.fitted
    assert kept.keys() == alone.keys()
    assert all(np.array_equal(kept[key].values, alone[key].values) for key in alone)
