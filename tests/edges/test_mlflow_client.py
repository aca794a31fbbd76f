"""The tables of a store: made whole or not at all, copied before they are migrated, refused where they are not ours."""

import os
import signal
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
import sqlalchemy
from alembic import command
from mlflow.store.db import utils
from mlflow.store.tracking.dbmodels.initial_models import Base

from imblab.edges.mlflow import client, ui
from imblab.errors import StudyError

#: The newest schemas of MLflow 1.0 and of 2.9.2, and one of this year.
OLD = {"1.0": "df50e92ffc5e", "2.9.2": "acf3f17fdcc7"}
HEAD = client._known_revisions()[0]


def old_store(path, revision):
    """A store as an older MLflow made it, with an experiment, a run and a metric."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as base:
        base.execute("PRAGMA synchronous=OFF")
    Base.metadata.create_all(engine)
    config = utils._get_alembic_config(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA synchronous=OFF")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    with closing(sqlite3.connect(path)) as base:
        base.execute("INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (1, 'mine', 'active')")
        base.execute(
            "INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, end_time, experiment_id, "
            "lifecycle_stage, artifact_uri) VALUES ('r1', 'kept', 'LOCAL', 'me', 'FINISHED', 1, 2, 1, 'active', 'file:///x')"
        )
        base.commit()


def revision_of(path):
    with closing(sqlite3.connect(path)) as base:
        return base.execute("SELECT version_num FROM alembic_version").fetchone()[0]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Stores of older releases, to be copied."""
    home = tmp_path_factory.mktemp("old")
    for name, revision in OLD.items():
        old_store(home / f"{name}.db", revision)
    return home


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mlruns").mkdir()
    return tmp_path / "mlruns"


URI = "sqlite:///mlruns/mlflow.db"


@pytest.mark.parametrize("release", OLD)
def test_a_file_of_an_older_mlflow_is_copied_said_and_migrated(release, stores, place, capfd):
    path = place / "mlflow.db"
    path.write_bytes((stores / f"{release}.db").read_bytes())
    found = client.connect(URI)
    assert [run.info.run_name for run in found.search_runs(["1"])] == ["kept"]
    assert revision_of(path) == HEAD
    copy = place / f"mlflow.db.{OLD[release]}.bak"
    said = capfd.readouterr().err
    assert str(copy) in said
    assert f"schema {OLD[release]}) and is migrated to schema {HEAD} of MLflow {mlflow.__version__}" in said
    assert "Running upgrade" not in said
    assert revision_of(copy) == OLD[release]
    with closing(sqlite3.connect(copy)) as base:
        assert base.execute("SELECT name FROM runs").fetchall() == [("kept",)]
    client.connect(URI)
    assert capfd.readouterr().err == ""
    assert sorted(p.name for p in place.glob("*.bak")) == [copy.name]


def test_a_second_copy_takes_the_place_of_none(stores, place):
    path, first = place / "mlflow.db", place / f"mlflow.db.{OLD['2.9.2']}.bak"
    first.symlink_to(place / "elsewhere")
    path.write_bytes((stores / "2.9.2.db").read_bytes())
    client.prepare_tables(URI)
    assert first.is_symlink()
    assert not (place / "elsewhere").exists()
    assert revision_of(place / f"mlflow.db.{OLD['2.9.2']}-2.bak") == OLD["2.9.2"]


def test_a_migration_that_fails_leaves_the_store_as_it_was(stores, place, monkeypatch):
    path = place / "mlflow.db"
    path.write_bytes((stores / "2.9.2.db").read_bytes())

    def halfway(engine):
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE runs")
        raise RuntimeError("duplicate column name: step")

    monkeypatch.setattr(utils, "_initialize_tables", halfway)
    with pytest.raises(StudyError, match=r"cannot be migrated \(RuntimeError: duplicate .*it is as it was, and its"):
        client.prepare_tables(URI)
    assert revision_of(path) == OLD["2.9.2"]
    with closing(sqlite3.connect(path)) as base:
        assert base.execute("SELECT name FROM runs").fetchall() == [("kept",)]


def test_without_room_for_a_copy_nothing_is_migrated(stores, place, monkeypatch):
    path = place / "mlflow.db"
    path.write_bytes((stores / "2.9.2.db").read_bytes())
    before = path.read_bytes()
    monkeypatch.setattr(os, "open", _full(os.open))
    with pytest.raises(StudyError, match=r"left as it is, since no copy .*No space left.*Make room\. Or log elsewhere"):
        client.prepare_tables(URI)
    assert path.read_bytes() == before
    assert [p.name for p in place.iterdir()] == ["mlflow.db"]


def _full(real):
    def opened(path, *args, **kwargs):
        if str(path).endswith(".bak"):
            raise OSError(28, "No space left on device")
        return real(path, *args, **kwargs)

    return opened


@pytest.mark.parametrize(
    ("made", "found"),
    [
        ("CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('f00dfeed0001');"
         "CREATE TABLE experiments (x); CREATE TABLE runs (x);", "has schema 'f00dfeed0001', which MLflow"),
        ("CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('v3.0.0.a');"
         "CREATE TABLE studies (x);", "has schema 'v3.0.0.a', which MLflow"),
        ("CREATE TABLE answers (address TEXT)", "has tables but no schema of MLflow, which MLflow"),
    ],
    ids=["newer", "optuna", "another program"],
)  # fmt: skip
def test_what_is_newer_or_not_mlflows_is_refused_whole_with_the_command(made, found, place):
    with closing(sqlite3.connect("mlruns/mlflow.db")) as base:
        base.executescript(made)
    before = Path("mlruns/mlflow.db").read_bytes()
    for act in (lambda: client.connect(URI), lambda: ui.serve(URI, 5999, print)):
        with pytest.raises(StudyError) as refused:
            act()
        said = str(refused.value)
        assert f"'{URI}' {found} {mlflow.__version__} does not know" in said
        assert f"mlflow db upgrade '{URI}'" in said
        assert "pip install --upgrade mlflow" in said
        assert said.endswith("tracking=none.")
    assert Path("mlruns/mlflow.db").read_bytes() == before


def test_a_database_of_a_team_is_never_migrated(stores, place, monkeypatch):
    """A server's database, by its address: here a file that does not look like one."""
    path = place / "team.db"
    path.write_bytes((stores / "2.9.2.db").read_bytes())
    monkeypatch.setattr(client, "sqlite_path", lambda uri: None)
    monkeypatch.setattr(client, "absolute_uri", lambda uri: f"sqlite:///{path}")
    with pytest.raises(StudyError) as refused:
        client.prepare_tables("postgresql://me:secret@db.example/mlflow")
    said = str(refused.value)
    assert "mlflow db upgrade 'postgresql://...@db.example/mlflow'" in said
    assert "Make a backup" in said
    assert "secret" not in said
    assert revision_of(path) == OLD["2.9.2"]
    assert [p.name for p in place.iterdir()] == ["team.db"]


def test_a_process_killed_while_it_makes_a_store_leaves_none_behind(place, monkeypatch):
    real = utils._upgrade_db

    def midway(engine):
        real(engine)
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(utils, "_upgrade_db", midway)
        try:
            client.prepare_tables(URI)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert not (place / "mlflow.db").exists()
    assert len(list(place.iterdir())) == 1  # unfinished, and never opened
    client.connect(URI)
    assert revision_of(place / "mlflow.db") == HEAD


def test_an_empty_file_becomes_a_store(place):
    (place / "mlflow.db").touch()
    assert [found.name for found in client.connect(URI).search_experiments()] == ["Default"]


def test_mlflow_draws_no_bars():
    assert client.quiet_environment()[mlflow.environment_variables.MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.name] == "false"


@pytest.mark.usefixtures("place")
def test_who_waits_for_another_process_says_so_once(capfd):
    folder = Path("experiments/mine")
    waits = threading.Event()

    def second():
        waits.set()
        with client.locked_study(folder):
            events.append("second")

    events, thread = [], threading.Thread(target=second)
    with client.locked_study(folder):
        thread.start()
        waits.wait(20)
        limit, said = time.monotonic() + 20, ""
        while not said.endswith("\n") and time.monotonic() < limit:
            time.sleep(0.01)
            said += capfd.readouterr().err
        events.append("first")
    thread.join(20)
    assert events == ["first", "second"]
    assert said == f"Process {os.getpid()} writes the MLflow runs of study 'mine'; waiting for it.\n"
    with client.locked_study(folder):
        assert capfd.readouterr().err == ""
