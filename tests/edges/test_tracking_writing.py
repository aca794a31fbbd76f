"""A store that breaks, hangs or is shared never stops a study; writing again repairs what was cut short."""

import pickle
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from imblab.cli import main
from imblab.edges import ledger, tracking
from imblab.edges.tracking import client as clients
from imblab.edges.tracking import writing
from imblab.errors import StudyError
from imblab.records import Evaluation, Measure, Protocol, Strategy, Study, Trial

URI = "sqlite:///mlruns/mlflow.db"
ASKED = ("name=real", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,smote]", "protocol=smoke")
MCC = Measure("mcc", "imblab.core.measures.mcc", "label")


def small(name, strategies=2, candidates=3):
    """A study with its rows, made up: one run, so many cells, so many candidates below each."""
    names = [f"s{i}" for i in range(strategies)]
    arms = tuple(Strategy(each) for each in names)
    study = replace(Study(name, 0, {}, (), arms, (MCC,)), protocol=Protocol(3, 2))
    rows = [
        Evaluation(
            "toy",
            "logistic",
            each,
            0,
            fold,
            {"ratio": 0.5},
            0.5,
            {"mcc": 0.1 * i + 0.01 * fold},
            {},
            0.1,
            "ok",
            None,
            "f",
            trials=tuple(Trial({"ratio": 0.5 + j}, 0.3 - 0.1 * j, 0.5) for j in range(candidates)),
            n_train=20,
            n_test=10,
        )
        for i, each in enumerate(names)
        for fold in range(3)
    ]
    return study, rows


def store(path="mlruns/mlflow.db"):
    return MlflowClient(f"sqlite:///{Path(path).resolve()}")


def experiment(name, path="mlruns/mlflow.db"):
    return store(path).get_experiment_by_name(name).experiment_id


def ids(name):
    return {run.data.tags["imblab.key"]: run.info.run_id for run in store().search_runs([experiment(name)])}


def held(name, path="mlruns/mlflow.db"):
    """What a store holds of a study, without ids and times; nothing twice."""
    runs = list(store(path).search_runs([experiment(name, path)], max_results=5000))
    keys = {run.info.run_id: run.data.tags["imblab.key"] for run in runs}
    assert len(set(keys.values())) == len(runs)
    return {
        keys[run.info.run_id]: (
            run.info.status,
            dict(run.data.params),
            dict(run.data.metrics),
            keys.get(run.data.tags.get("mlflow.parentRunId")),
        )
        for run in runs
    }


def picture(runs):
    """The same from the description alone."""
    return {
        run.key: ("FINISHED", dict(run.params), {name: value for name, value, _ in run.metrics}, run.parent)
        for run in runs
    }


WHOLE = picture(tracking.describe(*small("cut"), {}))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty directory."""
    monkeypatch.chdir(tmp_path)
    Path("experiments").mkdir()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store that exists, to be copied: making one takes seconds."""
    home = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        tracking.log(*_first(small("first")), Path("nowhere/first"), URI)
    return home / "mlruns"


def _first(both):
    study, rows = both
    return study, {}, rows


@pytest.fixture
def place(here, made):
    """A directory with a store; gives the folder of a study."""
    shutil.copytree(made, "mlruns")
    return Path("experiments/cut")


class Failing:
    """A client that breaks at its n-th call."""

    def __init__(self, client, calls):
        self._client, self.left = client, calls

    def __getattr__(self, name):
        method = getattr(self._client, name)

        def called(*args, **kwargs):
            self.left -= 1
            if self.left < 0:
                raise ConnectionError("the server is gone")
            return method(*args, **kwargs)

        return called


@pytest.fixture
def breaks(monkeypatch):
    """Let every client break after so many calls; None lets it be."""

    def after(calls):
        real = clients.connect
        monkeypatch.setattr(clients, "connect", lambda uri: Failing(real(uri), calls))
        return lambda: monkeypatch.setattr(clients, "connect", real)

    return after


@pytest.mark.parametrize("calls", [0, 1, 2, 3, 4, 6, 9, 12, 17, 25, 33])
@pytest.mark.parametrize("background", [False, True], ids=["at once", "begun early"])
def test_wherever_a_server_dies_writing_again_repairs(place, breaks, calls, background):
    study, rows = small("cut")
    mend = breaks(calls)
    with pytest.raises(StudyError, match=r"not answer \(ConnectionError: the server is gone\).*`imblab sync cut`"):
        (in_two if background else tracking.log)(study, {}, rows, place, URI)
    mend()
    tracking.log(study, {}, rows, place, URI)
    assert held("cut") == WHOLE
    assert tracking.log(study, {}, rows, place, URI) == 0


def in_two(study, mapping, rows, folder, uri):
    """Begin with what is known early, in a thread, then complete."""
    work = tracking.Background(partial(tracking.open_writer, study, folder, uri))
    runs = tracking.describe(study, rows, mapping)
    early = [replace(run, metrics=run.metrics[:2]) if run.role == "cell" else run for run in runs]
    work.put(lambda writer: writer.begin(early))
    work.put(lambda writer: writer.write(runs))
    work.put(lambda writer: writer.send(tracking.in_folder(folder)))
    work.close(60)


def test_what_was_begun_is_completed_in_place(place):
    study, rows = small("early")
    begun = {}

    def begin(writer):
        writer.begin([run for run in early if run.role != "trial"])
        begun.update(ids("early"))

    work = tracking.Background(partial(tracking.open_writer, study, place, URI))
    runs = tracking.describe(study, rows, {})
    early = [replace(run, metrics=run.metrics[:2]) if run.role == "cell" else run for run in runs]
    work.put(begin)
    work.put(lambda writer: writer.write(runs))
    work.close(60)
    assert held("early") == WHOLE
    assert ids("early") == begun
    every = store().search_runs([experiment("early")], run_view_type=ViewType.ALL)
    assert len(every) == len(WHOLE)


def test_what_was_begun_otherwise_is_written_anew(place):
    study, rows = small("odd")
    runs = tracking.describe(study, rows, {})
    early = [replace(run, params={"k": "9"}) if run.role == "cell" else run for run in runs]
    work = tracking.Background(partial(tracking.open_writer, study, place, URI))
    work.put(lambda writer: writer.begin(early))
    work.put(lambda writer: writer.write(runs))
    work.close(60)
    assert held("odd") == WHOLE


def test_a_slow_store_is_waited_for_so_long_and_no_longer(place):
    study, _ = small("slow")
    ended = threading.Event()
    work = tracking.Background(partial(tracking.open_writer, study, place, URI))
    work.put(lambda _: ended.wait(20))
    begin = time.monotonic()
    with pytest.raises(StudyError, match=r"not taken all runs within tracking\.timeout=0\.5 s; .* `imblab sync"):
        work.close(0.5)
    assert time.monotonic() - begin < 5
    ended.set()


def test_an_abandoned_writer_ends_and_the_next_one_repairs(place):
    study, rows = small("left")
    runs = tracking.describe(study, rows, {})
    work = tracking.Background(partial(tracking.open_writer, study, place, URI))
    work.put(lambda writer: writer.begin(runs))
    work.abandon()
    tracking.log(study, {}, rows, place, URI)  # waits for the lock
    assert held("left") == WHOLE


def test_a_study_whose_store_dies_midway_goes_on_and_says_so(place, breaks, capfd):
    mend = breaks(20)
    assert main(["run", *ASKED]) == 0
    said = " ".join(capfd.readouterr().err.split())
    assert "Not logged: the MLflow store" in said
    assert "`imblab sync real` writes the rest" in said
    rows = ledger.read_rows(Path("experiments/real"))
    assert len(rows) == 6
    mend()
    assert main(["sync", "real"]) == 0
    found = held("real")
    assert len(found) == 1 + 2 + 8
    assert {status for status, *_ in found.values()} == {"FINISHED"}
    capfd.readouterr()
    assert main(["sync", "real"]) == 0
    assert "0 runs of study 'real' were written" in capfd.readouterr().out


def test_a_lost_race_to_make_the_experiment_sends_no_run_astray(place, monkeypatch):
    """What is asked for is made by somebody else between the look and the making."""
    study, rows = small("race")
    real = MlflowClient.create_experiment

    def slower(self, name, **how):
        real(self, name, **how)
        raise MlflowException(f"Experiment(name={name}) already exists.")

    monkeypatch.setattr(MlflowClient, "create_experiment", slower)
    tracking.log(study, {}, rows, place, URI)
    assert held("race") == WHOLE
    assert list(store().search_runs(["0"], run_view_type=ViewType.ALL)) == []


def test_runs_of_other_people_are_left_alone(place):
    study, rows = small("shared")
    tracking.log(study, {}, rows, place, URI)
    mine = store().create_run(experiment("shared"), run_name="mine").info.run_id
    tracking.log(study, {}, rows, place, URI)
    assert store().get_run(mine).info.lifecycle_stage == "active"
    assert store().get_run(mine).info.status == "RUNNING"


def test_cells_that_a_study_no_longer_holds_are_deleted_and_may_be_restored(place):
    study, rows = small("over", strategies=3)
    tracking.log(study, {}, rows, place, URI)
    old = ids("over")
    fewer = [row for row in rows if row.strategy != "s2"]
    tracking.log(study, {}, fewer, place, URI)
    assert held("over") == picture(tracking.describe(study, fewer, {}))
    gone = store().get_run(old["toy/logistic/s2"])
    assert (gone.info.lifecycle_stage, gone.data.tags["imblab.stale"]) == ("deleted", "true")
    left = {key for key in old if store().get_run(old[key]).info.lifecycle_stage == "active"}
    assert not any(key.startswith("toy/logistic/s2") for key in left)
    # Whoever wants it back keeps it, beside a study that has no such cell or has one again.
    store().restore_run(gone.info.run_id)
    assert tracking.log(study, {}, fewer, place, URI) == 0
    tracking.log(study, {}, rows, place, URI)
    active = store().search_runs([experiment("over")], "tags.`imblab.key` = 'toy/logistic/s2'")
    assert len(active) == 2
    assert sorted("imblab.stale" in run.data.tags for run in active) == [False, True]


def test_only_the_files_that_runs_are_written_to_are_spared_the_wait_for_the_disk(place):
    """What is asked of SQLite is what its connections have."""
    from sqlalchemy import create_engine, text

    study, rows = small("quick")
    tracking.log(study, {}, rows, place, URI)
    kept = []
    for path in ("mlruns/mlflow.db", "other.db"):
        with create_engine(f"sqlite:///{Path(path).resolve()}").connect() as connection:
            kept.append(connection.execute(text("PRAGMA synchronous")).scalar())
    assert kept == [1, 2]  # NORMAL, FULL


PROCESSES, RUNS = 8, 200
AT_ONCE = """
import pickle, sys, time
from pathlib import Path
import mlflow.store.tracking.sqlalchemy_store
from imblab.edges import tracking
study, rows = pickle.loads(Path(sys.argv[1]).read_bytes())
print("ready", flush=True)
while not Path("go").exists():
    time.sleep(0.005)
tracking.log(study, {}, rows, Path("experiments") / study.name, "sqlite:///fresh/mlflow.db")
"""


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_eight_processes_write_two_hundred_runs_each_into_a_fresh_file():
    names = [f"many{number}" for number in range(PROCESSES)]
    for name in names:
        Path(name).write_bytes(pickle.dumps(small(name, strategies=RUNS // 4, candidates=3)))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    found = [subprocess.Popen([sys.executable, "-c", AT_ONCE, name], **pipes) for name in names]
    assert [process.stdout.readline() for process in found] == ["ready\n"] * PROCESSES
    Path("go").touch()
    said = [process.communicate(timeout=900) for process in found]
    assert [process.returncode for process in found] == [0] * PROCESSES, said
    assert not any("locked" in err for _, err in said)
    for name in names:
        runs = tracking.describe(*small(name, strategies=RUNS // 4, candidates=3), {})
        assert len(runs) == 1 + RUNS
        assert held(name, "fresh/mlflow.db") == picture(runs)
    assert list(store("fresh/mlflow.db").search_runs(["0"])) == []


def test_on_a_server_the_cells_of_a_colleague_stay(place):
    study, rows = small("team", strategies=3)
    tracking.log(study, {}, rows, place, URI)
    fewer = [row for row in rows if row.strategy != "s2"]
    described = tracking.describe(study, fewer, {})
    writing.Writer(store(), experiment("team"), study).write(described)
    assert store().get_run(ids("team")["toy/logistic/s2"]).info.lifecycle_stage == "active"
