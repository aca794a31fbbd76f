"""A store that breaks, hangs or is shared never stops a study; writing again repairs what was cut short."""

import getpass
import json
import pickle
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from imblab.analysis.results import build_result
from imblab.cli import main
from imblab.commands import syncing
from imblab.edges import ledger, mlflow
from imblab.edges.mlflow import addresses, client as clients
from imblab.edges.mlflow.addresses import ExperimentConflict
from imblab.edges.mlflow.runs import ADDRESSES_TAG, addresses_of, comparable_addresses
from imblab.edges.runner import bundle_evaluator
from imblab.errors import DataError, StudyError
from imblab.result import Evaluation, Trial
from imblab.study import Learner, Measure, Protocol, Strategy, Study, fingerprint

URI = "sqlite:///mlruns/mlflow.db"
ASKED = ("name=real", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,smote]", "protocol=smoke")
#: Of a study that is logged without one.
FIRST = fingerprint({})
MCC = Measure("mcc", "imblab.core.measures.mcc", "label")


def described(study, rows, question=None, details=None):
    """The runs of made-up rows."""
    return mlflow.describe_runs(build_result(study, rows), question or {}, details)


def log_rows(study, question, rows, folder, uri, details=None, owner=None):
    """Write the runs of made-up rows and the files of a folder at once."""
    owner = owner or mlflow.ExperimentOwner(study.name, fingerprint(dict(question)), ledgers=lambda: [rows])
    runs = described(study, rows, question, details)
    return mlflow.log_study(study, runs, mlflow.folder_artifacts(folder), folder, uri, owner)


def small(name, strategies=2, candidates=3):
    """A study with its rows, made up: one run, so many cells, so many candidates below each."""
    names = [f"s{i}" for i in range(strategies)]
    arms = tuple(Strategy(each) for each in names)
    study = replace(Study(name, 0, {}, (Learner("logistic", {}),), arms, (MCC,)), protocol=Protocol(3, 2))
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


def owner(study, identity=FIRST, former=(), experiment=None, rows=()):
    return mlflow.ExperimentOwner(study.name, identity, former, experiment, lambda: [rows])


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


def logged_runs(runs):
    """The same from the description alone."""
    return {
        run.key: ("FINISHED", dict(run.params), {name: value for name, value, _ in run.metrics}, run.parent)
        for run in runs
    }


WHOLE = logged_runs(described(*small("cut"), {}))


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
        log_rows(*_first(small("first")), Path("nowhere/first"), URI)
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


@pytest.mark.sampled(2)
@pytest.mark.parametrize("calls", [0, 1, 2, 3, 4, 6, 9, 12, 17, 25, 33])
@pytest.mark.parametrize("background", [False, True], ids=["at once", "begun early"])
def test_wherever_a_server_dies_writing_again_repairs(place, breaks, calls, background):
    study, rows = small("cut")
    mend = breaks(calls)
    with pytest.raises(StudyError, match=r"not answer \(ConnectionError: the server is gone\).*`imblab sync cut`"):
        (in_two if background else log_rows)(study, {}, rows, place, URI)
    mend()
    log_rows(study, {}, rows, place, URI)
    assert held("cut") == WHOLE
    assert log_rows(study, {}, rows, place, URI) == 0


def in_two(study, mapping, rows, folder, uri):
    """Begin with what is known early, in a thread, then complete."""
    work = mlflow.BackgroundWriter(partial(mlflow.open_writer, study, folder, uri, partial(owner, study)))
    runs = described(study, rows, mapping)
    early = [replace(run, metrics=run.metrics[:2]) if run.role == "cell" else run for run in runs]
    work.put(lambda writer: writer.begin(early))
    work.put(lambda writer: writer.write(runs))
    work.put(lambda writer: writer.send(mlflow.folder_artifacts(folder)))
    work.close(60)


def test_what_was_begun_is_completed_in_place(place):
    study, rows = small("early")
    begun = {}

    def begin(writer):
        writer.begin([run for run in early if run.role != "trial"])
        begun.update(ids("early"))

    work = mlflow.BackgroundWriter(partial(mlflow.open_writer, study, place, URI, partial(owner, study)))
    runs = described(study, rows, {})
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
    runs = described(study, rows, {})
    early = [replace(run, params={"k": "9"}) if run.role == "cell" else run for run in runs]
    work = mlflow.BackgroundWriter(partial(mlflow.open_writer, study, place, URI, partial(owner, study)))
    work.put(lambda writer: writer.begin(early))
    work.put(lambda writer: writer.write(runs))
    work.close(60)
    assert held("odd") == WHOLE


def test_a_slow_store_is_waited_for_so_long_and_no_longer(place):
    study, _ = small("slow")
    ended = threading.Event()
    work = mlflow.BackgroundWriter(partial(mlflow.open_writer, study, place, URI, partial(owner, study)))
    work.put(lambda _: ended.wait(20))
    begin = time.monotonic()
    with pytest.raises(StudyError, match=r"not taken all runs within tracking\.timeout=0\.5 s; .* `imblab sync"):
        work.close(0.5)
    assert time.monotonic() - begin < 5
    ended.set()


@pytest.mark.parametrize("error", [StudyError("no answer"), ExperimentConflict("another study")])
def test_only_the_experiment_of_another_study_stops_a_study_at_its_start(error):
    def refuse():
        raise error

    work = mlflow.BackgroundWriter(refuse)
    stops = isinstance(error, ExperimentConflict)
    with pytest.raises(ExperimentConflict) if stops else nullcontext():
        work.wait_until_open(20)
    with pytest.raises(StudyError, match=str(error)):
        work.close(20)


def test_the_start_of_a_study_waits_for_a_slow_store_so_long_and_no_longer():
    answered = threading.Event()
    work = mlflow.BackgroundWriter(lambda: answered.wait(20) and nullcontext())
    begin = time.monotonic()
    work.wait_until_open(0.2)
    assert time.monotonic() - begin < 5
    answered.set()


@pytest.mark.usefixtures("place")
def test_the_first_fits_do_not_wait_for_the_store_and_the_first_row_does(monkeypatch):
    events = []
    fitted, fit, opener, append = (
        threading.Event(),
        bundle_evaluator.fit_predict_many,
        mlflow.open_writer,
        ledger.Ledger.append,
    )

    def fits(*args):
        fitted.set()
        return fit(*args)

    def opens(*args):
        events.append(f"store opened, {'after' if fitted.wait(8) else 'before'} the first fit")
        return opener(*args)

    monkeypatch.setattr(bundle_evaluator, "fit_predict_many", fits)
    monkeypatch.setattr(mlflow, "open_writer", opens)
    monkeypatch.setattr(ledger.Ledger, "append", lambda book, row: events.append("row") or append(book, row))
    assert main(["run", *ASKED, "runner.n_jobs=1"]) == 0
    assert events[:2] == ["store opened, after the first fit", "row"]


def test_an_abandoned_writer_ends_and_the_next_one_repairs(place):
    study, rows = small("left")
    runs = described(study, rows, {})
    work = mlflow.BackgroundWriter(partial(mlflow.open_writer, study, place, URI, partial(owner, study)))
    work.put(lambda writer: writer.begin(runs))
    work.abandon()
    log_rows(study, {}, rows, place, URI)  # waits for the lock
    assert held("left") == WHOLE


def test_a_study_whose_store_dies_midway_goes_on_and_says_so(place, breaks, capfd):
    mend = breaks(20)
    assert main(["run", *ASKED, "runner.n_jobs=1"]) == 0
    said = " ".join(capfd.readouterr().err.split())
    assert "Not logged: the MLflow store" in said
    assert "`imblab sync real` writes the rest" in said
    rows = ledger.read_evaluations(Path("experiments/real"))
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
    log_rows(study, {}, rows, place, URI)
    assert held("race") == WHOLE
    assert list(store().search_runs(["0"], run_view_type=ViewType.ALL)) == []


def test_runs_of_other_people_are_left_alone(place):
    study, rows = small("shared")
    log_rows(study, {}, rows, place, URI)
    mine = store().create_run(experiment("shared"), run_name="mine").info.run_id
    log_rows(study, {}, rows, place, URI)
    assert store().get_run(mine).info.lifecycle_stage == "active"
    assert store().get_run(mine).info.status == "RUNNING"


def test_cells_of_a_study_that_was_replaced_are_deleted_and_may_be_restored(place):
    study, rows = small("over", strategies=3)
    log_rows(study, {}, rows, place, URI, owner=owner(study, "a" * 16))
    old = ids("over")
    fewer = [row for row in rows if row.strategy != "s2"]
    anew = owner(study, "b" * 16, ("a" * 16,))
    log_rows(study, {}, fewer, place, URI, owner=anew)
    assert held("over") == logged_runs(described(study, fewer, {}))
    gone = store().get_run(old["toy/logistic/s2"])
    assert (gone.info.lifecycle_stage, gone.data.tags["imblab.stale"]) == ("deleted", "true")
    left = {key for key in old if store().get_run(old[key]).info.lifecycle_stage == "active"}
    assert not any(key.startswith("toy/logistic/s2") for key in left)
    # Whoever wants it back keeps it, beside a study that has no such cell or has one again.
    store().restore_run(gone.info.run_id)
    assert log_rows(study, {}, fewer, place, URI, owner=anew) == 0
    log_rows(study, {}, rows, place, URI, owner=anew)
    active = store().search_runs([experiment("over")], "tags.`imblab.key` = 'toy/logistic/s2'")
    assert len(active) == 2
    assert sorted("imblab.stale" in run.data.tags for run in active) == [False, True]


def test_only_the_files_that_runs_are_written_to_are_spared_the_wait_for_the_disk(place):
    """What is asked of SQLite is what its connections have."""
    from sqlalchemy import create_engine, text

    study, rows = small("quick")
    log_rows(study, {}, rows, place, URI)
    kept = []
    for path in ("mlruns/mlflow.db", "other.db"):
        with create_engine(f"sqlite:///{Path(path).resolve()}").connect() as connection:
            kept.append(connection.execute(text("PRAGMA synchronous")).scalar())
    assert kept == [1, 2]  # NORMAL, FULL


def test_a_rank_that_other_runs_change_is_updated_in_place(place):
    study, rows = small("ranked", strategies=3)
    first = [row for row in rows if row.strategy != "s2"]
    log_rows(study, {}, first, place, URI)
    before = ids("ranked")
    assert [held("ranked")[f"toy/logistic/s{i}"][2]["rank/mcc"] for i in range(2)] == [2, 1]
    log_rows(study, {}, rows, place, URI, owner=owner(study))
    assert {key: ids("ranked")[key] for key in before} == before
    assert [held("ranked")[f"toy/logistic/s{i}"][2]["rank/mcc"] for i in range(3)] == [3, 2, 1]
    # A second change counts too, and the way back.
    for shown, expected in ((first, [2, 1]), (rows, [3, 2])):
        log_rows(study, {}, shown, place, URI, owner=owner(study))
        assert [held("ranked")[f"toy/logistic/s{i}"][2]["rank/mcc"] for i in range(2)] == expected
    assert log_rows(study, {}, rows, place, URI, owner=owner(study)) == 0


def test_the_description_of_the_experiment_links_to_the_answer(place):
    study, rows = small("linked")
    log_rows(study, {}, rows, place, URI)
    held_by = store().get_experiment(experiment("linked"))
    note = held_by.tags["mlflow.note.content"]
    link = re.match(r"\[Answer\]\(#/experiments/(\d+)/runs\?(.*?)\): \*\*", note)
    assert link[1] == held_by.experiment_id
    assert "viewStateShareKey=imblab-answer" in link[2]
    assert note.endswith(described(study, rows)[0].note.partition("\n\n")[2])


PROCESSES, RUNS = 8, 200
AT_ONCE = """
import pickle, sys, time
from pathlib import Path
import mlflow.store.tracking.sqlalchemy_store
from imblab.analysis.results import build_result
from imblab.edges import mlflow as tracking
study, rows = pickle.loads(Path(sys.argv[1]).read_bytes())
print("ready", flush=True)
while not Path("go").exists():
    time.sleep(0.005)
runs = tracking.describe_runs(build_result(study, rows), {})
folder, owner = Path("experiments") / study.name, tracking.ExperimentOwner(study.name, "a" * 16)
tracking.log_study(study, runs, [], folder, "sqlite:///fresh/mlflow.db", owner)
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
        runs = described(*small(name, strategies=RUNS // 4, candidates=3), {})
        assert len(runs) == 1 + RUNS
        assert held(name, "fresh/mlflow.db") == logged_runs(runs)
    assert list(store("fresh/mlflow.db").search_runs(["0"])) == []


# When runs began and ended


def rows_of(name, seconds=0.4):
    study, rows = small(name)
    return study, [replace(row, seconds=seconds * (i + 1)) for i, row in enumerate(rows)]


def check(name, rows):
    """Every run of a store against the seconds of the rows."""
    runs = {run.data.tags["imblab.key"]: run for run in store().search_runs([experiment(name)])}
    assert len(runs) == 1 + 2 + 6
    wanted = {"": sum(row.seconds for row in rows)}
    for row in rows:
        key = f"{row.dataset}/{row.learner}/{row.strategy}"
        wanted[key] = wanted.get(key, 0) + row.seconds
    for key, run in runs.items():
        length = run.info.end_time - run.info.start_time
        assert length >= 0
        assert abs(length - 1000 * wanted.get(key, 0)) <= 2, key
        if key:
            above = next(r for r in runs.values() if r.info.run_id == run.data.tags["mlflow.parentRunId"])
            assert above.info.start_time <= run.info.start_time
            assert run.info.end_time <= above.info.end_time
    return runs


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("background", [False, True], ids=["at once", "begun early"])
def test_every_run_of_a_store_lasts_what_its_rows_took(background):
    study, rows = rows_of("long")
    asked = owner(study)
    runs = described(study, rows, {})
    with mlflow.open_writer(study, Path("experiments/long"), URI, lambda: asked) as writer:
        if background:
            writer.begin(runs)
        writer.write(runs)
    first = check("long", rows)
    assert log_rows(study, {}, rows, Path("experiments/long"), URI) == 0
    # More rows: what stands keeps its beginning, and the study its id.
    more = [*rows, *(replace(row, repeat=1) for row in rows)]
    log_rows(replace(study, protocol=replace(study.protocol, repeats=2)), {}, more, Path("experiments/long"), URI)
    again = check("long", more)
    assert again[""].info.run_id == first[""].info.run_id
    assert again[""].info.start_time == first[""].info.start_time


@pytest.mark.usefixtures("place")
def test_families_that_end_one_after_the_other_lie_within_a_study_that_goes_on():
    study, rows = rows_of("parts")
    parts = [[row for row in rows if row.strategy == name] for name in ("s0", "s1")]
    with mlflow.open_writer(study, Path("experiments/parts"), URI, lambda: owner(study)) as writer:
        for part in parts:
            writer.begin(described(study, part, {}))
        writer.write(described(study, rows, {}))
    check("parts", rows)


@pytest.mark.usefixtures("place")
def test_runs_of_an_older_imblab_that_end_before_they_begin_are_written_anew():
    study, rows = rows_of("old")
    log_rows(study, {}, rows, Path("experiments/old"), URI)
    for run in store().search_runs([experiment("old")]):
        store().set_terminated(run.info.run_id, end_time=run.info.start_time - 5)
    assert log_rows(study, {}, rows, Path("experiments/old"), URI) == 9
    check("old", rows)
    assert log_rows(study, {}, rows, Path("experiments/old"), URI) == 0


def test_a_winner_lasts_what_its_row_took():
    study, rows = small("won")
    # Each fold judged other candidates.
    rows = [
        replace(r, seconds=i, trials=(*r.trials, Trial({"ratio": 9.0 + r.fold}, 0.1, 0.5))) for i, r in enumerate(rows)
    ]
    winners = [run for run in described(study, rows) if run.role == "winner"]
    assert [run.seconds for run in winners] == [row.seconds for row in rows]


# Whose experiment it is

MINE, OTHER = "1" * 16, "2" * 16


def logged(study, rows, identity=MINE, folder="experiments/own", **how):
    return log_rows(study, {}, rows, Path(folder), URI, owner=owner(study, identity, rows=rows, **how))


def everything(name):
    """The runs of an experiment, deleted ones too, with all that they say."""
    runs = store().search_runs([experiment(name)], run_view_type=ViewType.ALL)
    return {run.info.run_id: (run.info.lifecycle_stage, run.data.to_dictionary()) for run in runs}


def forget(name):
    """Leave an experiment as an older imblab left it."""
    store().delete_experiment_tag(experiment(name), "imblab.identity")
    for run in store().search_runs([experiment(name)]):
        for tag in ("imblab.identity", "imblab.addresses", "imblab.host", "imblab.writer"):
            if tag in run.data.tags:
                store().delete_tag(run.info.run_id, tag)


@pytest.mark.usefixtures("place")
def test_another_study_of_the_same_name_is_refused_and_finds_a_place_of_its_own():
    study, rows = small("same")
    logged(study, rows)
    before = everything("same")
    others = [replace(row, data_fingerprint="other", scores={"mcc": 0.9}) for row in rows[:3]]
    with pytest.raises(StudyError) as refused:
        logged(study, others, OTHER)
    said = str(refused.value)
    assert f"holds another study of '{getpass.getuser()}' on '{socket.gethostname()}' (identity '{MINE}'" in said
    assert "Add tracking.experiment=same-222222 to the command" in said
    logged(study, others, OTHER, experiment="same-222222")
    assert held("same-222222") == logged_runs(described(study, others, {}))
    # From then on it is found without being named.
    assert logged(study, others, OTHER) == 0
    logged(study, [], OTHER)
    assert everything("same") == before


@pytest.mark.usefixtures("place")
def test_an_experiment_that_was_renamed_is_found():
    study, rows = small("called")
    logged(study, rows)
    store().rename_experiment(experiment("called"), "called otherwise")
    assert logged(study, rows) == 0
    assert store().get_experiment_by_name("called") is None
    # A renamed copy is another study, and gets another experiment.
    logged(replace(study, name="copied"), rows)
    assert len(held("copied")) == len(held("called otherwise"))


@pytest.mark.usefixtures("place")
def test_a_deleted_experiment_of_another_study_stays_deleted():
    study, rows = small("gone")
    logged(study, rows)
    number = experiment("gone")
    store().delete_experiment(number)
    with pytest.raises(StudyError, match="holds another study"):
        logged(study, rows, OTHER)
    assert store().get_experiment(number).lifecycle_stage == "deleted"
    logged(study, rows)
    assert store().get_experiment(number).lifecycle_stage == "active"
    assert held("gone") == logged_runs(described(study, rows, {}))


@pytest.mark.usefixtures("place")
def test_an_experiment_of_an_older_imblab_is_taken_over_by_the_study_of_its_rows():
    study, rows = small("older")
    logged(study, rows)
    forget("older")
    before = everything("older")
    for change in ({"data_fingerprint": "x"}, {"split_fingerprint": "x"}, {"strategy": "s9"}):
        with pytest.raises(StudyError, match="other rows, logged by an older imblab"):
            logged(study, [replace(row, **change) for row in rows], OTHER)
    with pytest.raises(StudyError, match="other rows, logged by an older imblab"):
        logged(study, [], OTHER)
    assert everything("older") == before
    more = [*rows, *(replace(row, repeat=1) for row in rows)]  # grown since it was logged
    logged(study, more)
    assert held("older") == logged_runs(described(study, more, {}))
    assert store().get_experiment(experiment("older")).tags["imblab.identity"] == MINE
    with pytest.raises(StudyError, match="holds another study"):
        logged(study, more, OTHER)


@pytest.mark.usefixtures("place")
def test_copies_of_a_folder_share_an_experiment_until_their_rows_differ():
    study, rows = small("copy", strategies=3)
    rows = [replace(row, fingerprint=f"{i:08x}ff") for i, row in enumerate(rows)]
    first, second = ([row for row in rows if row.strategy != name] for name in ("s1", "s2"))
    logged(study, first)
    logged(study, second, folder="copies/own")  # grown by another strategy
    assert set(ids("copy")) >= {"toy/logistic/s0", "toy/logistic/s1", "toy/logistic/s2"}
    logged(study, first)
    before = everything("copy")
    logged(study, second[:2], folder="copies/own")  # one copy has fewer rows of a cell than was logged
    for key in ("toy/logistic/s0", "toy/logistic/s2"):
        assert before[ids("copy")[key]] == everything("copy")[ids("copy")[key]]
    odd = [replace(row, fingerprint="0ddba11f00") if row.strategy == "s2" else row for row in first]
    before = everything("copy")
    with pytest.raises(StudyError, match=r"cell 'toy/logistic/s2' .* holds other rows .*tracking\.experiment=copy-2"):
        logged(study, odd)
    assert everything("copy") == before


@pytest.mark.usefixtures("place")
def test_a_race_to_make_one_experiment_is_won_by_one_study(monkeypatch):
    study, rows = small("both")
    real, lost = MlflowClient.create_experiment, []

    def later(self, name, **how):
        lost.append(real(self, name, **{**how, "tags": {"imblab.identity": OTHER}}))
        return real(self, name, **how)

    monkeypatch.setattr(MlflowClient, "create_experiment", later)
    with pytest.raises(StudyError, match=f"holds another study .identity '{OTHER}'"):
        logged(study, rows)
    assert len(lost) == 1
    assert list(store().search_runs(lost, run_view_type=ViewType.ALL)) == []


@pytest.mark.usefixtures("place")
def test_what_a_copy_has_begun_is_not_taken_from_it():
    study, rows = small("begun")
    runs = described(study, rows, {})
    asked = owner(study, MINE)
    with mlflow.open_writer(study, Path("copies/begun"), URI, lambda: asked) as writer:
        writer.begin(runs)
        logged(study, rows)
        writer.write(runs)
    logged(study, rows)
    assert held("begun") == logged_runs(runs)


@pytest.mark.usefixtures("place")
def test_a_run_says_whose_it_is_as_mlflow_does(monkeypatch):
    study, rows = small("who")
    monkeypatch.setattr(sys, "argv", ["/usr/bin/imblab", "run"])
    logged(study, rows)
    for run in store().search_runs([experiment("who")]):
        tags = run.data.tags
        assert tags["mlflow.user"] == run.info.user_id == getpass.getuser()
        assert (tags["mlflow.source.name"], tags["mlflow.source.type"]) == ("/usr/bin/imblab", "LOCAL")
        assert tags["imblab.host"] == socket.gethostname()
    # Whoever repairs it later does not become its owner.
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    assert logged(study, rows) == 0
    assert {run.data.tags["mlflow.user"] for run in store().search_runs([experiment("who")])} == {getpass.getuser()}
    logged(replace(study, name="hers"), rows)
    assert {run.data.tags["mlflow.user"] for run in store().search_runs([experiment("hers")])} == {"ada"}


def nameless():
    raise KeyError("getpwuid(): uid not found: 4711")


def test_a_user_without_a_name_has_none(monkeypatch):
    monkeypatch.setattr("mlflow.tracking.context.default_context._get_user", nameless)
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    assert addresses.user_tags()["mlflow.user"] == "unknown"


@pytest.mark.slow
def test_two_folders_with_other_rows_leave_each_other_alone(place, tmp_path, monkeypatch, capfd):
    """From the command line: the second one is refused before its first fit, and has a way out."""
    shared = f"tracking.uri=sqlite:///{tmp_path}/mlruns/mlflow.db"
    asked = ["run", "name=real", "learner=[logistic]", "strategy=[none]", "protocol=smoke", "runner.n_jobs=1", shared]
    for name, table, code in (("a", "ecoli3", 0), ("b", "yeast4", 2)):
        Path(name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert main([*asked, f"dataset=[{table}]"]) == code
        monkeypatch.chdir(tmp_path)
    said = " ".join(capfd.readouterr().err.split())
    assert "the MLflow experiment 'real' holds another study" in said
    assert ledger.read_evaluations(Path("b/experiments/real")) == []
    way_out = re.search(r"Add (tracking\.experiment=real-\w{6})", said)[1]
    before = everything("real")
    monkeypatch.chdir(tmp_path / "b")
    assert main([*asked, "dataset=[yeast4]", "tracking=none"]) == 0
    assert main(["sync", "real", shared]) == 2
    assert main([*asked, "dataset=[yeast4]", way_out]) == 0
    assert main(["sync", "real", shared, way_out]) == 0
    monkeypatch.chdir(tmp_path)
    assert {key.split("/")[0] for key in held("real") if key} == {"ecoli3"}
    assert {key.split("/")[0] for key in held(way_out.partition("=")[2]) if key} == {"yeast4"}
    assert everything("real") == before
    # Starting over with other rows in the folder that owns it replaces its cells, and nothing else is asked.
    monkeypatch.chdir(tmp_path / "a")
    assert main([*asked, "dataset=[yeast6]", "overwrite=true"]) == 0
    monkeypatch.chdir(tmp_path)
    assert "Not logged" not in capfd.readouterr().err
    assert {key.split("/")[0] for key in held("real") if key} == {"yeast6"}


@pytest.mark.parametrize(
    ("mine", "theirs", "relation"),
    [
        ("a b", "a b!", "equal"),  # tried again, for a cause outside its address
        ("a c", "a b!", "more"),  # tried again with a repaired class
        ("a b!", "a c", "less"),  # a copy of the folder that did not
        ("a b!", "a b", "equal"),  # answered anew, and failed
        ("a b", "a c", "neither"),
    ],
)
def test_a_failed_row_is_no_other_way_of_a_copy(mine, theirs, relation):
    sides = (addresses_of({ADDRESSES_TAG: text}) for text in (mine, theirs))
    here, there = comparable_addresses(*sides)
    found = {"equal": here == there, "more": here > there, "less": here < there}
    assert next((name for name, holds in found.items() if holds), "neither") == relation


# Predictions


def real(*words, strategy="[none,threshold]", dataset="[ecoli3]"):
    fixed = ("name=real", "learner=[logistic]", "protocol=smoke", "runner.n_jobs=1")
    assert main(["run", *fixed, f"dataset={dataset}", f"strategy={strategy}", *words]) == 0


def sent_predictions():
    """What the run of the study holds: data set, strategy and number of evaluations."""
    run_id = ids("real")[""]
    frame = pd.read_parquet(store().download_artifacts(run_id, "predictions.parquet"))
    tests = frame[frame.part == "test"].drop_duplicates(["dataset", "strategy", "fold"])
    return {(data, strategy): len(part) for (data, strategy), part in tests.groupby(["dataset", "strategy"])}


@pytest.mark.usefixtures("place")
def test_predictions_of_strategies_that_are_not_named_again_stay():
    real()
    real(strategy="[smote]")
    assert sent_predictions() == {("ecoli3", name): 3 for name in ("none", "threshold", "smote")}


@pytest.mark.usefixtures("place")
def test_predictions_of_a_data_set_that_is_not_named_again_stay():
    real(strategy="[none]")
    real(strategy="[none]", dataset="[yeast4]")
    both = {("ecoli3", "none"): 3, ("yeast4", "none"): 3}
    assert sent_predictions() == both

    def gone(*_):
        raise DataError("the table is gone. Restore it.")

    # The evaluations of one data set only can be found: those of the other one that were sent stay.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(syncing, "lay_out_recorded", gone)
        real(strategy="[threshold]", dataset="[ecoli3]")
    more = {**both, ("ecoli3", "threshold"): 3}
    assert sent_predictions() == more
    run_id, name = ids("real")[""], "predictions.parquet"
    joined = pd.read_parquet(store().download_artifacts(run_id, name))
    assert main(["sync", "real"]) == 0
    assert sent_predictions() == more
    whole = pd.read_parquet(store().download_artifacts(run_id, name))
    assert list(whole.columns) == list(joined.columns)
    places = list(whole.columns[:8])
    pd.testing.assert_frame_equal(
        *(
            frame.astype(dict.fromkeys([*places[:3], "part"], str)).sort_values(places, ignore_index=True)
            for frame in (whole, joined)
        )
    )


@pytest.mark.usefixtures("place")
def test_a_part_of_the_predictions_is_sent_until_there_are_more_and_repaired_by_a_sync():
    real()
    run_id, every = ids("real")[""], {("ecoli3", name): 3 for name in ("none", "threshold")}
    assert sent_predictions() == every
    # An older imblab has sent a part, with the hash of all.
    part = Path("part/predictions.parquet")
    part.parent.mkdir()
    frame = pd.read_parquet(store().download_artifacts(run_id, part.name))
    frame[frame.strategy == "none"].to_parquet(part)
    store().log_artifact(run_id, str(part))
    notes = json.loads(store().get_run(run_id).data.tags["imblab.files"])
    rows = sorted(row.fingerprint for row in ledger.read_evaluations(Path("experiments/real")))
    store().set_tag(run_id, "imblab.files", json.dumps({**notes, part.name: fingerprint(rows)[:8]}))
    assert main(["sync", "real"]) == 0
    assert sent_predictions() == every
    # The prediction store has lost some, here all: nothing takes the place of the file, and new ones are added to it.
    Path("mlruns/predictions.sqlite").unlink()
    assert main(["sync", "real"]) == 0
    assert sent_predictions() == every
    real(strategy="[smote]")
    assert sent_predictions() == {**every, ("ecoli3", "smote"): 3}
    before = store().get_run(run_id).data.tags["imblab.files"]
    assert main(["sync", "real"]) == 0
    assert store().get_run(run_id).data.tags["imblab.files"] == before


# Files


def send_files(study, rows, folder, owned=None):
    """Log a study with the files of its folder; gives the paths that were sent."""
    sent, write = [], MlflowClient.log_artifact

    def log_artifact(client, run_id, path, below=None):
        sent.append("/".join(filter(None, [below, Path(path).name])))
        write(client, run_id, path, below)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifact", log_artifact)
        log_rows(study, {}, rows, folder, URI, owner=owned or owner(study))
    return sorted(sent)


def test_many_files_are_sent_once(place):
    study, rows = small("cut")
    below = place / "tables"
    below.mkdir(parents=True)
    names = sorted(f"{'x' * 60}-{i}.csv" for i in range(150))
    for name in names:
        (below / name).write_text(name)
    assert send_files(study, rows, place) == [f"tables/{name}" for name in names]
    tags = store().get_run(ids("cut")[""]).data.tags
    assert max(map(len, tags.values())) <= 5000
    assert len([name for name in tags if name.startswith("imblab.files")]) > 1
    assert send_files(study, rows, place) == []
    (below / names[70]).write_text("changed")
    assert send_files(study, rows, place) == [f"tables/{names[70]}"]
    assert send_files(study, rows, place) == []


def test_the_one_tag_of_an_older_imblab_is_read(place):
    study, rows = small("cut")
    place.mkdir(parents=True)
    (place / "study.yaml").write_text("name: cut")
    assert send_files(study, rows, place) == ["study.yaml"]
    assert json.loads(store().get_run(ids("cut")[""]).data.tags["imblab.files"]).keys() == {"study.yaml"}
    # Tags that are not needed any more go.
    store().set_tag(ids("cut")[""], "imblab.files.1", json.dumps({"gone.html": "0123abcd"}))
    store().set_tag(ids("cut")[""], "imblab.files.2", "{")
    assert send_files(study, rows, place) == []
    notes = json.loads(store().get_run(ids("cut")[""]).data.tags["imblab.files"])
    assert notes.keys() == {"study.yaml", "gone.html"}
    tags = store().get_run(ids("cut")[""]).data.tags
    assert not {"imblab.files.1", "imblab.files.2"} & tags.keys()


@pytest.mark.parametrize("background", [False, True], ids=["at once", "begun early"])
def test_files_of_a_study_that_was_replaced_are_not_those_of_its_successor(place, background):
    study, rows = small("cut")
    place.mkdir(parents=True)
    for name in ("study.yaml", "report.html"):
        (place / name).write_text(name)
    assert send_files(study, rows, place, owner(study, "a" * 16)) == ["report.html", "study.yaml"]
    former = ids("cut")[""]
    (place / "report.html").unlink()
    anew = owner(study, "b" * 16, ("a" * 16,))
    if background:
        work = mlflow.BackgroundWriter(partial(mlflow.open_writer, study, place, URI, lambda: anew))
        work.put(lambda writer: writer.begin(described(study, rows[:3], {})))
        work.close(60)
    assert send_files(study, rows, place, anew) == ["study.yaml"]
    assert held("cut") == WHOLE
    now = ids("cut")[""]
    assert [each.path for each in store().list_artifacts(now)] == ["study.yaml"]
    gone = store().get_run(former)
    assert (gone.info.lifecycle_stage, gone.data.tags["imblab.stale"]) == ("deleted", "true")
    assert send_files(study, rows, place, anew) == []
    assert ids("cut")[""] == now
