"""A folder may be called anything: path -> address -> the file that SQLAlchemy, SQLite and MLflow really open."""

import os
import shlex
import shutil
import sqlite3
import string
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st
from mlflow import MlflowClient
from sqlalchemy import create_engine, make_url, text

from imblab.edges import config, mlflow
from imblab.edges.mlflow import addresses, client, ui
from imblab.errors import StudyError

#: Every printable character that a file may have in its name, and sequences that mean something in an address.
NAMES = st.lists(
    st.one_of(
        st.sampled_from([*set(string.printable) - set("/\x0b\x0c"), *"éß漢\u202e🙂"]),
        st.sampled_from(["%41", "%2F", "%20", "%25", "%zz", "?x=1", "#a", "&b", "..%2f", "${x}", "{0}", "file:", "%"]),
    ),
    min_size=1,
    max_size=12,
).map("".join)
FOLDERS = NAMES.filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)
TWINS = [("My%20Project", "My Project"), ("what?", "what"), ("a%41", "aA"), ("c#d", "c"), ("e?x=1&y", "e")]


@given(FOLDERS)
@example("My%20Project")
@example("what?")
@example(" a%2Fb\n")
def test_the_address_of_a_file_names_that_file(name):
    path = Path("/somewhere") / name / "mlflow.db"
    uri = addresses.sqlite_uri(path)
    assert make_url(uri).database == str(path)
    assert not make_url(uri).query
    assert addresses.sqlite_path(uri) == path
    # MLflow makes this folder, whatever it is: it must be one that is there, or the right one.
    assert Path(uri.removeprefix("sqlite:///")).parent in (Path(), path.parent)
    assert addresses.file_uri_path(addresses.file_uri(path)) == path


@given(FOLDERS)
def test_sqlite_opens_it_and_makes_nothing_else(tmp_path_factory, name):
    place = tmp_path_factory.mktemp("open")
    path = place / name / "mlflow.db"
    path.parent.mkdir()
    engine = create_engine(addresses.sqlite_uri(path))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE here (x)"))
    engine.dispose()
    with sqlite3.connect(path) as base:
        assert base.execute("SELECT name FROM sqlite_master").fetchall() == [("here",)]
    base.close()
    assert os.listdir(place) == [name]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A store that exists, to be copied: making one takes seconds."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.mark.slow
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FOLDERS)
@example("My%20Project")
@example("what?")
@example("a%2Fb#c;d")
@example("%41")
def test_mlflow_writes_runs_and_files_there_and_nowhere_else(tmp_path_factory, template, name):
    place = tmp_path_factory.mktemp("mlflow")
    home = place / name
    (home / "mlruns").mkdir(parents=True)
    shutil.copy(template, home / "mlruns" / "mlflow.db")
    (place / "sent.txt").write_text("held", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        store = client.connect(mlflow.DEFAULT_URI)
        number = addresses.claim_experiment(store, mlflow.ExperimentOwner("here", "a" * 16), mlflow.DEFAULT_URI)
        run = store.create_run(number).info.run_id
        store.log_artifact(run, str(place / "sent.txt"), "figures")
        assert [item.path for item in store.list_artifacts(run, "figures")] == ["figures/sent.txt"]
        got = store.download_artifacts(run, "figures/sent.txt", str(place))
    assert Path(got).read_text(encoding="utf-8") == "held"
    with sqlite3.connect(home / "mlruns" / "mlflow.db") as base:
        assert base.execute("SELECT count(*) FROM experiments WHERE name = 'here'").fetchone() == (1,)
    base.close()
    assert list((home / "mlruns" / "artifacts").rglob("sent.txt"))
    assert sorted(os.listdir(place)) == sorted({name, "sent.txt"})
    assert os.listdir(home) == ["mlruns"]


@pytest.mark.parametrize(("name", "twin"), TWINS)
def test_a_neighbour_with_the_decoded_name_is_left_alone(tmp_path, monkeypatch, template, name, twin):
    for each in (name, twin):
        (tmp_path / each / "mlruns").mkdir(parents=True)
        shutil.copy(template, tmp_path / each / "mlruns")
    before = (tmp_path / twin / "mlruns/mlflow.db").read_bytes()
    monkeypatch.chdir(tmp_path / name)
    addresses.claim_experiment(
        client.connect(mlflow.DEFAULT_URI), mlflow.ExperimentOwner("mine", "a" * 16), mlflow.DEFAULT_URI
    )
    assert (tmp_path / twin / "mlruns/mlflow.db").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == sorted({name, twin})


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:////data/My%20Project/m.db", "/data/My Project/m.db"),
        ("sqlite:////data/m.db?timeout=9", "/data/m.db"),
        ("sqlite+pysqlite:////data/m.db", "/data/m.db"),
        ("sqlite:///file:/data/a%2520b/m.db?mode=rw&uri=true", "/data/a b/m.db"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("sqlite:///file::memory:?cache=shared&uri=true&mode=memory", None),
        ("postgresql://me@host/sqlite:///x", None),
        ("http://host:5000/sqlite:///x", None),
    ],
)
def test_what_a_user_writes_means_what_sqlalchemy_makes_of_it(uri, path):
    assert addresses.sqlite_path(uri) == (None if path is None else Path(path))
    assert addresses.absolute_uri(uri) == uri


def test_a_relative_store_follows_the_current_directory_once(tmp_path, monkeypatch):
    home = tmp_path / "50%3F"
    home.mkdir()
    monkeypatch.chdir(home)
    wanted = "sqlite:///" + quote(str(home / "my runs/m.db"), safe="") + "?timeout=9"
    assert addresses.absolute_uri("sqlite:///my%20runs/m.db?timeout=9") == wanted
    assert make_url(wanted).database == str(home / "my runs/m.db")
    command, environment = ui.ui_command(mlflow.DEFAULT_URI, 5000)
    assert make_url(environment["MLFLOW_BACKEND_STORE_URI"]).database == str(home / "mlruns/mlflow.db")
    where = command[command.index("--artifacts-destination") + 1]
    assert addresses.file_uri_path(where) == home / "mlruns/artifacts"


def test_a_folder_that_no_address_names_is_refused_before_anything_is_written(tmp_path):
    home = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(home)
    before = os.getcwd()
    os.chdir(home)
    try:
        with pytest.raises(StudyError, match=r"has no address; .* UTF-8\. Rename the folder, or .*tracking=none"):
            mlflow.check_store_uri(mlflow.DEFAULT_URI)
        assert os.listdir(home) == []
    finally:
        os.chdir(before)


def test_a_release_of_sqlalchemy_that_does_not_decode_is_refused(monkeypatch):
    def as_written(uri):
        return make_url("sqlite://").set(database=uri.removeprefix("sqlite:///"))

    monkeypatch.setattr("sqlalchemy.make_url", as_written)
    with pytest.raises(StudyError, match=r"'/what\?' has no address; .*Install sqlalchemy>=2\.1"):
        addresses.sqlite_uri(Path("/what?/mlflow.db"))


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", ["My%20Project", "what?", "a#b", "c=[d],e", "f'g", "h\\i", "j k"])
def test_folders_of_groups_are_found_whatever_they_are_called(tmp_path, name):
    groups = tmp_path / name
    (groups / "experiment").mkdir(parents=True)
    (groups / "experiment" / "own.yaml").write_text(
        "# @package _global_\ndefaults: [{override /dataset: [ecoli3]}]\nseed: 77\n", encoding="utf-8"
    )
    assert config.compose_request(["experiment=own"], [groups]).study.seed == 77


def test_what_is_printed_to_be_pasted_survives_a_shell():
    uri = "sqlite:////what?/a b/mlflow.db"
    assert shlex.split(f"MLFLOW_TRACKING_URI={shlex.quote(uri)} mlflow")[0] == f"MLFLOW_TRACKING_URI={uri}"


@pytest.mark.parametrize(
    "check", [addresses.check_store_uri, addresses.check_servable, addresses.absolute_uri, addresses.artifact_folder]
)
def test_a_null_byte_in_an_address_is_refused(check):
    """`%00` was a `ValueError` of the operating system."""
    for uri in ("sqlite:///a%00b.db", "sqlite+pysqlite:////data/%00?x=1", "sqlite:///file:a%00b?uri=true"):
        with pytest.raises(StudyError, match="null byte"):
            check(uri)


@pytest.mark.parametrize("check", [addresses.check_store_uri, client.prepare_tables])
def test_a_store_is_a_file_and_no_pipe_device_or_folder(check, tmp_path):
    """A new store takes its name in one step: `sqlite:////dev/null`, for a user who may, made a file of the device."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, kind in (("pipe", Path.is_fifo), ("folder", Path.is_dir)):
        with pytest.raises(StudyError, match="a folder, a pipe or a device"):
            check(f"sqlite:///{tmp_path / name}")
        assert kind(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe"]


def test_a_device_is_no_store():
    with pytest.raises(StudyError, match="a folder, a pipe or a device"):
        addresses.check_store_uri("sqlite:////dev/null")
