"""The runner: fewer fits and more processes change no row; a dying, slow or failing fit is a row with its reason."""

import functools
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from imblab.core import design, evaluate, splits
from imblab.edges import config, memory, runner
from imblab.edges.runner import bundle_evaluator, pools, processes, worker
from imblab.edges.store import SqliteStore
from imblab.study import Choice, Dataset, Learner, Protocol, Strategy, Study, Tuning

MEASURES = config.compose_request(["name=x", "dataset=[ecoli3]"]).study.measures
LOGISTIC = Learner("logistic", {"_target_": "sklearn.linear_model.LogisticRegression", "max_iter": 2000})
SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
STRATEGIES = (
    Strategy("none"),
    Strategy("threshold", threshold="tuned"),
    Strategy("smote", SMOTE, space={"ratio": Choice((0.4, 1.0)), "k": Choice((3, 5))}),
    Strategy("smote_threshold", SMOTE, threshold="tuned", space={"ratio": Choice((0.4, 1.0)), "k": Choice((3, 5))}),
)


def toy(n=240, positives=48, seed=0):
    rng = np.random.default_rng(seed)
    y = np.zeros(n, dtype=np.int64)
    y[rng.permutation(n)[:positives]] = 1
    X = pd.DataFrame({"a": rng.normal(size=n) + 1.5 * y, "b": rng.normal(size=n)})
    return Dataset("toy", X, y, ("no", "yes"), fingerprint=f"{seed:032d}")


def study(learners=(LOGISTIC,), strategies=STRATEGIES, **protocol):
    asked = {"outer_folds": 3, "inner_folds": 2, **protocol}
    return Study("toy", 0, {}, tuple(learners), tuple(strategies), MEASURES, Protocol(**asked))


def answered(question, data, engine):
    plans = {"toy": splits.plan(data, question.protocol, question.seed)}
    cells = design.expand_cells(question, plans)
    rows = []
    tally = runner.run({"toy": data}, runner.make_bundles(question, plans, cells), engine, [rows.append])
    assert len(rows) == len({r.key for r in rows}) == len(cells)
    return {r.key: r for r in rows}, tally


def content(rows):
    return {key: replace(row, seconds=0.0) for key, row in rows.items()}


@pytest.fixture
def opener(tmp_path):
    return functools.partial(SqliteStore, tmp_path / "p.sqlite")


@pytest.fixture(scope="module")
def alone():
    return answered(study(), toy(), runner.Engine(1))


@pytest.mark.slow
def test_a_store_and_processes_change_no_row(alone, opener):
    for engine in (runner.Engine(2), runner.Engine(1, opener), runner.Engine(2, opener)):
        rows, _ = answered(study(), toy(), engine)
        assert content(rows) == content(alone[0])


def test_no_fit_is_made_twice_in_however_many_processes(alone, opener):
    rows, tally = answered(study(), toy(), runner.Engine(2, opener))
    assert tally.fitted == alone[1].fitted
    again, reused = answered(study(), toy(), runner.Engine(2, opener))
    assert reused.fitted == 0
    assert content(again) == content(rows)


def test_reused_fits_are_counted_per_run_and_each_evaluation_has_its_seconds(alone, opener):
    for engine in (runner.Engine(1), runner.Engine(2, opener)):
        rows, counts = answered(study(), toy(), engine)
        assert 0 < counts.fitted < sum(row.fits for row in rows.values())
        assert counts.from_store == 0
        assert all(row.seconds > 0 for row in rows.values())
    assert answered(study(), toy(), runner.Engine(1, opener))[1].from_store > 0


@pytest.mark.parametrize("inner", ["own", "shared"])
@pytest.mark.parametrize("parts", [1, 2, 3, 5, 7, 12, 40])
def test_parts_hold_every_fit_once(inner, parts):
    question, data = study(inner=inner, outer_folds=4), toy()
    plan = splits.plan(data, question.protocol, question.seed)
    cells = design.expand_cells(question, {"toy": plan})
    for bundle in runner.make_bundles(question, {"toy": plan}, cells):
        work = bundle_evaluator.BundleEvaluator(bundle, bundle_evaluator.DatasetContext.of(data))
        fitted = [
            work.cache.sharing.fit_for(request)[0].address
            for part in range(parts)
            for request in work.inner_fits(part, parts)
        ]
        asked = {
            work.cache.sharing.fit_for(request)[0].address
            for cell in bundle.cells
            for request in evaluate.inner_requests(work.task(cell))
        }
        assert set(fitted) == asked
        assert parts == 1 or len(fitted) == len(asked)


def test_a_finer_threshold_and_another_cost_take_no_fit(opener):
    rows, _ = answered(study(), toy(), runner.Engine(1, opener))
    finer = study(thresholds=tuple(i / 1000 for i in range(1, 1000)))
    again, tally = answered(finer, toy(), runner.Engine(1, opener))
    moved = sum(again[key].params != rows[key].params for key in rows)
    assert tally.fitted == moved
    cost = study(strategies=[Strategy("threshold", threshold={"cost": {"fn": 9, "fp": 1}})])
    assert answered(cost, toy(), runner.Engine(1, opener))[1].fitted == 0


def test_another_primary_makes_a_refit_for_each_winner_that_moved_and_no_more(opener):
    rows, _ = answered(study(), toy(), runner.Engine(1, opener))
    other, tally = answered(replace(study(), primary="recall"), toy(), runner.Engine(1, opener))
    moved = {(k.rsplit("/", 1)[1], tuple(other[k].params.items())) for k in rows if other[k].params != rows[k].params}
    known = {(k.rsplit("/", 1)[1], tuple(rows[k].params.items())) for k in rows}
    assert tally.fitted == len(moved - known)


def test_one_more_value_computes_that_value_alone(opener):
    answered(study(), toy(), runner.Engine(1, opener))
    more = Strategy("smote", SMOTE, space={"ratio": Choice((0.4, 0.7, 1.0)), "k": Choice((3, 5))})
    rows, tally = answered(study(strategies=[more]), toy(), runner.Engine(1, opener))
    new = sum(row.params["ratio"] == 0.7 for row in rows.values())
    assert tally.fitted == 3 * 2 * 2 + new


def test_drawn_searches_are_fitted_ahead_and_change_no_row(opener):
    for method in ("random", "qmc", "tpe"):
        question = replace(study(), tuning=Tuning(method, 4))
        one, few = answered(question, toy(), runner.Engine(1))
        two, _ = answered(
            question, toy(), runner.Engine(2, functools.partial(SqliteStore, opener.args[0].with_name(method)))
        )
        assert content(one) == content(two)
        assert few.fitted <= sum(row.fits for row in one.values())


@pytest.mark.slow
def test_any_executor_of_the_standard_protocol_will_do(alone, opener):
    made = []

    def pool(workers):
        made.append(ProcessPoolExecutor(workers, get_context("spawn")))
        return made[-1]

    rows, _ = answered(study(), toy(), runner.Engine(2, opener, executor=pool))
    made[0].shutdown()
    assert len(made) == 1
    assert content(rows) == content(alone[0])


class Here(Executor):
    """Does every job at once in this process."""

    def submit(self, fn, /, *args, **kwargs):
        made = Future()
        made.set_result(fn(*args, **kwargs))
        return made


@pytest.mark.parametrize("words", [False, True])
def test_the_pages_of_a_large_table_are_given_back_and_no_row_changes(words, opener, monkeypatch):
    data, given = toy(), []
    if words:
        rng = np.random.default_rng(1)
        column = pd.Categorical(rng.choice(["u", "v", None], len(data.y)), ["u", "v"])
        data = replace(data, X=data.X.assign(word=column), categorical=("word",), fingerprint="f" * 32)
    # SMOTENC's text stands in conf/strategy; what is read from the table is the same for every sampler.
    question = study(strategies=(Strategy("none"), Strategy("threshold", threshold="tuned")))
    monkeypatch.setattr(memory, "LARGE_TABLE_BYTES", 0)
    monkeypatch.setattr(worker, "COPY_BLOCK_ROWS", 7)
    lean = worker.trim_after_fit
    monkeypatch.setattr(worker, "trim_after_fit", lambda guard: given.append(guard) or lean(guard))
    rows, _ = answered(question, data, runner.Engine(2, opener, executor=lambda n: Here()))
    assert given
    assert content(rows) == content(answered(question, data, runner.Engine(1))[0])


def test_a_shipped_table_has_no_name_that_could_outlive_the_run(tmp_path):
    data = toy()
    plan = splits.plan(data, study().protocol, 0)
    pool = pools.LocalPool(2, processes.loky_executor, tmp_path, None)
    path = pool.send(data, plan)
    if not os.path.exists("/proc/self/fd"):
        pytest.skip("a table lies in a named file where the system has no other way")
    assert [p.is_symlink() for p in tmp_path.iterdir()] == [True]
    read = "import joblib, sys; print(joblib.load(sys.argv[1], mmap_mode='r')[1].numeric.sum())"
    said = subprocess.run([sys.executable, "-c", read, path], capture_output=True, text=True, check=True).stdout
    assert float(said) == pytest.approx(float(np.sum(data.X.to_numpy())))
    pool.end(now=False)
    assert not os.path.exists(path)


# ------------------------------------------------------------------------------------------- fits that end badly


class Awkward(ClassifierMixin, BaseEstimator):
    """Learns nothing; with `on` rows of resampled data it dies, hangs in Python, hangs outside of it, or raises."""

    def __init__(self, way="raise", on=0, flag=""):
        self.way, self.on, self.flag = way, on, flag

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        if self.on < int(np.sum(y)):
            _WAYS[self.way](self.flag)
        return self

    def predict_proba(self, X):
        p = 1 / (1 + np.exp(-X[:, 0]))
        return np.column_stack([1 - p, p])


def _die(flag):
    os.kill(os.getpid(), signal.SIGKILL)


def _die_once(flag):
    if not os.path.exists(flag):
        open(flag, "w").close()
        _die(flag)


def _wait(flag):
    while True:
        time.sleep(0.01)


def _block(flag):
    # A wait that no Python signal handler interrupts: the handler runs only after it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    time.sleep(600)


def _raise(flag):
    raise ValueError("singular matrix")


def _no_memory(flag):
    raise MemoryError("Unable to allocate 8.0 GiB")


class Odd(BaseException):
    """No Exception, so that `except Exception` does not catch it."""


class Mute(Exception):
    """An error whose text raises."""

    def __str__(self):
        sys.exit(5)


def _leave(flag):
    sys.exit("the licence has ended")


def _odd(flag):
    raise Odd("odd")


def _mute(flag):
    raise Mute


def _interrupt(flag):
    raise KeyboardInterrupt


_WAYS = {
    f.__name__.lstrip("_"): f
    for f in (_die, _die_once, _wait, _block, _raise, _no_memory, _leave, _odd, _mute, _interrupt)
}

#: Positives that only SMOTE to 1:1 gives in an inner fit of two outer and two inner folds: 48, elsewhere 38 at most.
MANY = 40


@pytest.fixture
def importable(monkeypatch):
    """Workers import this file by its name."""
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(__file__), prepend=os.pathsep)
    monkeypatch.syspath_prepend(os.path.dirname(__file__))


def awkward(way, flag=""):
    return Learner("awkward", {"_target_": "test_runner.Awkward", "way": way, "on": MANY, "flag": str(flag)})


def bad_rows(rows):
    """Candidates with ratio 1 that failed, by reason."""
    return [t.reason for r in rows.values() for t in r.trials if t.status == "failed"]


def fresh_loky(workers):
    """Processes that know this file."""
    from joblib.externals.loky import get_reusable_executor

    return get_reusable_executor(workers, timeout=20, reuse=False, env={"PYTHONPATH": os.path.dirname(__file__)})


SLOWER = [pytest.param(way, marks=pytest.mark.slow) for way in ("die", "block")]


@pytest.mark.sampled(1)
@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize("way", ["raise", "leave", "no_memory", "wait", *SLOWER])
def test_a_fit_that_ends_badly_is_a_failed_candidate_and_the_rest_goes_on(way, opener):
    smote = Strategy("smote", SMOTE, space={"ratio": Choice((0.4, 1.0))}, k=3)
    question = study([awkward(way), LOGISTIC], [Strategy("none"), smote], outer_folds=2)
    limit = 1.0 if way in ("wait", "block") else None
    rows, _ = answered(question, toy(), runner.Engine(2, opener, limit, executor=fresh_loky))
    assert {r.status for r in rows.values()} == {"ok"}
    said = bad_rows({k: r for k, r in rows.items() if "awkward" in k})
    assert len(said) == 2
    reason = {
        "die": "the worker process died in this fit",
        "raise": "ValueError: singular matrix",
        "leave": "SystemExit: the licence has ended",
        "no_memory": "MemoryError: Unable to allocate",
        "wait": "took longer than runner.fit_timeout=1 s",
        "block": "took longer than runner.fit_timeout=1 s",
    }[way]
    assert all(reason in text for text in said)
    assert {r.params["ratio"] for k, r in rows.items() if "awkward/smote" in k} == {0.4}
    store = opener()
    failures = store._base.execute("SELECT count(*) FROM answers WHERE p IS NULL").fetchone()[0]
    store.close()
    assert failures == 0


@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("leave", "SystemExit: the licence has ended"),
        ("odd", "Odd: odd"),
        ("mute", "Mute: its message cannot be read (SystemExit)"),
    ],
)
def test_whatever_a_learner_raises_is_a_failed_row(way, reason):
    question = study([Learner("awkward", awkward(way).make | {"on": 0})], [Strategy("none")], outer_folds=2)
    rows, _ = answered(question, toy(), runner.Engine(1))
    assert {r.status for r in rows.values()} == {"failed"}
    assert all(reason in r.error for r in rows.values())


@pytest.mark.usefixtures("importable")
def test_a_keyboard_interrupt_stops_a_study_whoever_raises_it():
    question = study([Learner("awkward", awkward("interrupt").make | {"on": 0})], [Strategy("none")], outer_folds=2)
    with pytest.raises(KeyboardInterrupt):
        answered(question, toy(), runner.Engine(1))


@pytest.mark.usefixtures("importable")
@pytest.mark.slow
def test_a_worker_that_dies_by_accident_costs_nothing_but_time(opener, tmp_path):
    smote = Strategy("smote", SMOTE, space={"ratio": Choice((0.4, 1.0))}, k=3)
    question = study([awkward("die_once", tmp_path / "died")], [Strategy("none"), smote], outer_folds=2)
    rows, _ = answered(question, toy(), runner.Engine(2, opener, executor=fresh_loky))
    assert (tmp_path / "died").exists()
    assert {r.status for r in rows.values()} == {"ok"}
    assert not bad_rows(rows)


@pytest.mark.usefixtures("importable")
@pytest.mark.slow
def test_where_every_fit_dies_the_cells_are_failed_rows(opener):
    deadly = Learner("deadly", {"_target_": "test_runner.Awkward", "way": "die", "on": 0})
    rows, _ = answered(
        study([deadly], [Strategy("none")], outer_folds=2), toy(), runner.Engine(2, opener, executor=fresh_loky)
    )
    assert {r.status for r in rows.values()} == {"failed"}
    assert all("the worker process died in this fit" in r.error for r in rows.values())


def test_a_process_that_ended_before_its_first_status_is_no_suspect(tmp_path):
    (tmp_path / "status-1").touch()
    (tmp_path / "status-2").write_text(f"{7:8d}|{'abc':16s}|{'late':4s}")
    assert {number: (loss.fit, loss.is_late) for number, loss in pools.read_losses(tmp_path).items()} == {
        7: ("abc", True)
    }
