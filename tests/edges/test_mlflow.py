"""MLflow shows the ledger: the same numbers, once, in the experiment of the study, and never in its way."""

import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from imblab.cli import main
from imblab.commands import results
from imblab.edges import config, ledger, mlflow, provenance
from imblab.edges.mlflow.client import HTTP_LIMITS
from imblab.edges.mlflow.ui import ui_command
from imblab.errors import StudyError, brief_reason, storage_errors
from imblab.study import Measure

ASKED = ("dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,threshold,smote]", "protocol=smoke")
SMALL = ("name=small", *ASKED, "runner.n_jobs=1")
HOME = Path("experiments/small")
STRATEGIES = ("none", "threshold", "smote")
#: A run for the study, three cells, eight candidates below smote.
ALL = 12


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with a finished study and its MLflow store."""
    home = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main(["run", *SMALL]) == 0
    return home


@pytest.fixture
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(scope="module")
def client(place):
    return MlflowClient(f"sqlite:///{place}/mlruns/mlflow.db")


@pytest.fixture(scope="module")
def study():
    return config.compose_request(SMALL).study


@pytest.fixture(scope="module")
def rows(place):
    return ledger.read_evaluations(place / HOME)


def log(study, rows, uri=mlflow.DEFAULT_URI):
    owner = mlflow.ExperimentOwner(study.name, provenance.keep_identity(HOME, {}, {}).now)
    runs = mlflow.describe_runs(results.result_of(study, rows), config.to_mapping(study))
    mlflow.log_study(study, runs, mlflow.folder_artifacts(HOME), HOME, uri, owner)


def runs_of(client, name, role=None):
    found = client.search_runs([client.get_experiment_by_name(name).experiment_id], max_results=1000)
    return [run for run in found if role is None or run.data.tags["imblab.role"] == role]


def cells_of(client, name):
    found = {run.data.tags["imblab.key"]: run for run in runs_of(client, name, "cell")}
    assert len(found) == len(runs_of(client, name, "cell"))
    return found


def ids(client, name):
    return {run: found.info.run_id for run, found in cells_of(client, name).items()}


# What is there


@pytest.mark.usefixtures("here")
def test_one_run_for_the_study_and_one_for_each_strategy_below_it(client):
    (above,) = runs_of(client, "small", "study")
    assert above.info.run_name == "small"
    assert above.info.status == "FINISHED"
    cells = cells_of(client, "small")
    assert set(cells) == {f"ecoli3/logistic/{name}" for name in STRATEGIES}
    for run in cells.values():
        assert run.data.tags["mlflow.parentRunId"] == above.info.run_id
        assert run.info.status == "FINISHED"
    below = runs_of(client, "small", "candidate")
    assert {run.data.tags["mlflow.parentRunId"] for run in below} == {cells["ecoli3/logistic/smote"].info.run_id}
    assert len(runs_of(client, "small")) == ALL == 4 + len(below)
    # Pages show the newest first: the strategies of a study in its order.
    shown = [run.info.run_name for run in runs_of(client, "small") if run.data.tags["imblab.role"] == "cell"]
    assert shown == list(STRATEGIES)  # what all share is left out


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.usefixtures("here")
def test_metrics_are_the_numbers_of_the_ledger(client, rows, study, strategy):
    run = cells_of(client, "small")[f"ecoli3/logistic/{strategy}"]
    mine = [row for row in rows if row.strategy == strategy]
    assert len(mine) == 3
    for measure in study.measures:
        values = {row.fold: v for row in mine if (v := row.scores[measure.name]) is not None}
        assert run.data.metrics[measure.name] == pytest.approx(mean(values.values()), rel=1e-12)
        assert run.data.metrics[f"{measure.name}_std"] == pytest.approx(stdev(values.values()), rel=1e-9, abs=1e-15)
        history = client.get_metric_history(run.info.run_id, f"fold/{measure.name}")
        assert {point.step: point.value for point in history} == values
        assert len(history) == len(values)
    assert run.data.metrics["fits"] == sum(row.fits for row in mine)
    assert run.data.metrics["n_ok"] == 3
    assert run.data.metrics["n_failed"] == run.data.metrics["n_inapplicable"] == 0


@pytest.mark.usefixtures("here")
def test_params_hold_the_knobs_and_tags_the_coordinates(client, rows, study):
    cells = cells_of(client, "small")
    smote, none, threshold = (cells[f"ecoli3/logistic/{name}"] for name in ("smote", "none", "threshold"))
    params = smote.data.params
    assert params["sampler"] == "imblearn.over_sampling.SMOTE"
    assert (params["ratio"], params["k"]) == ("choice(0.1,0.25,0.5,1.0)", "choice(3,5)")
    chosen = [row for row in rows if row.strategy == "smote"]
    assert params["chosen.ratio"] == ", ".join(f"{row.params['ratio']:g}" for row in chosen)
    assert params["chosen.k"] == ", ".join(str(row.params["k"]) for row in chosen)
    assert (params["dataset"], params["learner"], params["strategy"]) == ("ecoli3", "logistic", "smote")
    assert json.loads(params["learner.make"])["_target_"] == "sklearn.linear_model.LogisticRegression"
    assert none.data.params["threshold"] == "0.5"
    assert threshold.data.params["threshold"] == "tuned"
    assert not {"sampler", "ratio", "k", "weight"} & set(none.data.params)
    for name, run in zip(("smote", "none"), (smote, none), strict=True):
        tags = run.data.tags
        assert [tags[f"imblab.{key}"] for key in ("study", "dataset", "learner", "strategy", "primary")] == [
            "small", "ecoli3", "logistic", name, "mcc"
        ]  # fmt: skip
        assert tags["imblab.data_fingerprint"] == rows[0].data_fingerprint
        assert re.fullmatch("[0-9a-f]{16,64}", tags["imblab.split_fingerprint"])
        assert {"version.imblab", "version.scikit-learn", "version.imbalanced-learn", "version.optuna"} <= set(tags)
    # Strategies are paired: their splits have one fingerprint, their rows have not.
    assert len({run.data.tags["imblab.split_fingerprint"] for run in cells.values()}) == 1
    assert len({run.data.tags["imblab.rows"] for run in cells.values()}) == 3


def test_the_question_and_the_rows_are_artifacts_beside_the_database(client, place):
    (above,) = runs_of(client, "small", "study")
    in_folder = ["evidence.parquet", "ledger.jsonl", "origin.json", "search.parquet", "study.yaml"]
    for name in in_folder:
        (found,) = (place / "mlruns/artifacts").rglob(name)
        assert found.read_bytes() == (place / HOME / name).read_bytes()
        assert above.info.run_id in found.parts
    sent = {item.path for item in client.list_artifacts(above.info.run_id)}
    assert {*in_folder, "predictions.parquet"} <= sent
    assert sorted(p.name for p in (place / "mlruns").iterdir() if p.is_dir()) == ["artifacts"]


def test_artifacts_lie_beside_a_database_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    there = tmp_path / "shared"
    command, environment = ui_command(f"sqlite:///{there}/team.db", 5001)
    assert command[command.index("--artifacts-destination") + 1] == (there / "artifacts").as_uri()
    assert environment["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{there}/team.db"


# Writing again


def everything(client, name):
    """All that MLflow holds of a study, times included."""
    return {run.info.run_id: run.to_dictionary() for run in runs_of(client, name)}


@pytest.mark.usefixtures("here")
def test_logging_twice_changes_nothing(client, place, capsys):
    before = everything(client, "small"), files(place)
    assert main(["sync", "small"]) == 0
    assert "0 runs of study 'small' were written" in capsys.readouterr().out
    assert main(["run", *SMALL]) == 0
    kept = Path("predictions.kept")
    Path("mlruns/predictions.sqlite").rename(kept)  # what was made from the store once is not lost with it
    assert main(["sync", "small"]) == 0
    kept.rename("mlruns/predictions.sqlite")
    assert (everything(client, "small"), files(place)) == before
    found = client.search_runs([client.get_experiment_by_name("small").experiment_id], run_view_type=ViewType.ALL)
    assert len(found) == ALL


def files(place):
    """The artifacts of the place with the time of their last writing."""
    return {p: p.stat().st_mtime_ns for p in (place / "mlruns/artifacts").rglob("*") if p.is_file()}


def test_the_order_of_the_rows_changes_nothing(client, fresh, rows):
    before = everything(client, fresh.name)
    log(fresh, rows[::-1])
    assert everything(client, fresh.name) == before


@pytest.fixture
def fresh(here, study, rows, client, request):
    """A study of its own in the shared store, logged once."""
    mine = replace(study, name=re.sub(r"\W", "_", request.node.name))
    log(mine, rows)
    return mine


def test_a_half_written_run_is_written_anew(client, fresh, rows):
    before = ids(client, fresh.name)
    torn = before["ecoli3/logistic/smote"]
    client.update_run(torn, status="RUNNING")
    log(fresh, rows)
    after = cells_of(client, fresh.name)
    assert {name for name in before if after[name].info.run_id != before[name]} == {"ecoli3/logistic/smote"}
    assert after["ecoli3/logistic/smote"].info.status == "FINISHED"
    assert after["ecoli3/logistic/smote"].data.metrics["n_ok"] == 3
    assert client.get_run(torn).info.lifecycle_stage == "deleted"


def test_a_run_that_is_there_twice_is_kept_once(client, fresh, rows):
    first = ids(client, fresh.name)
    known = client.get_run(first["ecoli3/logistic/none"])
    tags = {**known.data.tags, "imblab.content": "other"}
    double = client.create_run(known.info.experiment_id, tags=tags, run_name=known.info.run_name).info.run_id
    client.set_terminated(double)
    log(fresh, rows)
    log(fresh, rows)
    assert set(cells_of(client, fresh.name)) == set(first)
    assert cells_of(client, fresh.name)["ecoli3/logistic/none"].data.metrics["n_ok"] == 3


def test_a_changed_row_replaces_its_run_and_no_other(client, fresh, rows):
    before = ids(client, fresh.name)
    changed = [replace(r, scores={**r.scores, "mcc": 0.125}) if r.strategy == "smote" else r for r in rows]
    log(fresh, changed)
    after = ids(client, fresh.name)
    assert {name for name in before if after[name] != before[name]} == {"ecoli3/logistic/smote"}
    assert cells_of(client, fresh.name)["ecoli3/logistic/smote"].data.metrics["mcc"] == 0.125
    # What stood below it stands below the new run.
    above = {run.data.tags["mlflow.parentRunId"] for run in runs_of(client, fresh.name, "candidate")}
    assert above == {after["ecoli3/logistic/smote"]}
    slower = [replace(r, seconds=r.seconds + 1) for r in changed]
    log(fresh, slower)
    assert ids(client, fresh.name) == after


def test_added_rows_extend_a_run_or_make_one(client, fresh, rows):
    smote = next(s for s in fresh.strategies if s.name == "smote")
    strategies = (*fresh.strategies, replace(smote, name="smote_too"))
    wider = replace(fresh, strategies=strategies, protocol=replace(fresh.protocol, repeats=2))
    more = [replace(r, strategy="smote_too") for r in rows if r.strategy == "smote"]
    repeated = [replace(r, repeat=1) for r in rows if r.strategy == "none"]
    log(wider, [*rows, *more, *repeated])
    after = cells_of(client, fresh.name)
    assert set(after) == {f"ecoli3/logistic/{name}" for name in (*STRATEGIES, "smote_too")}
    history = client.get_metric_history(after["ecoli3/logistic/none"].info.run_id, "fold/mcc")
    assert sorted(point.step for point in history) == [0, 1, 2, 3, 4, 5]
    (above,) = runs_of(client, fresh.name, "study")
    assert above.info.status == "FINISHED"


def test_a_deleted_experiment_comes_back_with_one_run_each(client, fresh, rows):
    changed = [replace(r, threshold=0.4) for r in rows]
    log(fresh, changed)
    kept = ids(client, fresh.name)
    client.delete_experiment(client.get_experiment_by_name(fresh.name).experiment_id)
    log(fresh, changed)
    assert set(cells_of(client, fresh.name)) == set(kept)
    assert {r.data.params["chosen.threshold"] for r in runs_of(client, fresh.name, "cell")} == {"0.4, 0.4, 0.4"}


def test_more_values_than_one_batch_holds_all_arrive(client, fresh, rows):
    many = [replace(r, repeat=repeat) for repeat in range(40) for r in rows if r.strategy == "none"]
    wider = replace(fresh, protocol=replace(fresh.protocol, repeats=40))
    log(wider, [*many, *(r for r in rows if r.strategy != "none")])
    run = cells_of(client, fresh.name)["ecoli3/logistic/none"]
    held = {name: len(client.get_metric_history(run.info.run_id, f"fold/{name}")) for name in ("mcc", "log_loss")}
    assert held == {"mcc": 120, "log_loss": 120}
    last = study_measures(fresh)[-1]
    assert len(client.get_metric_history(run.info.run_id, f"fold/{last}")) == 120
    assert run.data.metrics["n_ok"] == 120


def study_measures(study):
    return [measure.name for measure in study.measures]


def test_undefined_scores_and_failures_are_left_out_and_counted(client, fresh, rows):
    gone = {"scores": dict.fromkeys(rows[0].scores), "status": "failed", "error": "ValueError: no", "threshold": None}
    made = [replace(r, **gone, params={}, counts={}) if r.fold else r for r in rows]
    made = [replace(r, scores={**r.scores, "precision": None}) for r in made]
    log(fresh, made)
    for run in cells_of(client, fresh.name).values():
        assert "precision" not in run.data.metrics
        assert "mcc" in run.data.metrics
        assert "mcc_std" not in run.data.metrics
        assert (run.data.metrics["n_ok"], run.data.metrics["n_failed"]) == (1, 2)


def test_names_that_mlflow_does_not_take_are_written_with_underscores(client, fresh, rows):
    odd = Measure("mcc+cost", "imblab.core.measures.mcc", "label")
    wider = replace(fresh, measures=(*fresh.measures, odd))
    log(wider, [replace(r, scores={**r.scores, "mcc+cost": 0.25}) for r in rows])
    for run in cells_of(client, fresh.name).values():
        assert run.data.metrics["mcc_cost"] == 0.25


@pytest.mark.usefixtures("here")
def test_a_narrower_question_leaves_the_runs_of_the_whole_study_alone(client):
    words = ("name=grown", *ASKED[:2], "strategy=[none]", ASKED[3], "runner.n_jobs=1")
    assert main(["run", *words, "protocol.repeats=2"]) == 0
    before = everything(client, "grown")
    assert main(["run", *words]) == 0
    assert everything(client, "grown") == before


def test_nothing_ever_goes_to_experiment_zero(client, fresh, rows):
    with pytest.raises(StudyError, match="'Default' can be neither found nor created for a study"):
        log(replace(fresh, name="Default"), rows)
    assert client.get_experiment("0").name == "Default"
    assert list(client.search_runs(["0"], run_view_type=ViewType.ALL)) == []


# Several at once

AT_ONCE = """
import pickle, sys, time
from pathlib import Path
import mlflow.store.tracking.sqlalchemy_store
from imblab.commands import results
from imblab.edges import mlflow as tracking
study, mapping, rows, home = pickle.loads(Path(sys.argv[1]).read_bytes())
print("ready", flush=True)
while not Path("go").exists():
    time.sleep(0.005)
runs = tracking.describe_runs(results.result_of(study, rows), mapping)
owner = tracking.ExperimentOwner(study.name, "a" * 16)
tracking.log_study(study, runs, tracking.folder_artifacts(home), home, "sqlite:///fresh/deep/mlflow.db", owner)
"""


@pytest.mark.usefixtures("here")
@pytest.mark.slow
def test_four_processes_that_make_one_store_at_once_all_succeed(place, study, rows):
    for name in ("one", "two", "three"):
        mine = replace(study, name=name)
        Path(name).write_bytes(pickle.dumps((mine, config.to_mapping(mine), rows, HOME)))
    command = [sys.executable, "-c", AT_ONCE]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    found = [subprocess.Popen([*command, name], **pipes) for name in ("one", "one", "two", "three")]
    assert [process.stdout.readline() for process in found] == ["ready\n"] * 4
    Path("go").touch()
    said = [process.communicate(timeout=120) for process in found]
    assert [process.returncode for process in found] == [0] * 4, said
    fresh = MlflowClient(f"sqlite:///{place}/fresh/deep/mlflow.db")
    for name in ("one", "two", "three"):
        assert set(cells_of(fresh, name)) == {f"ecoli3/logistic/{s}" for s in STRATEGIES}
        assert len(runs_of(fresh, name, "study")) == 1
    assert list(fresh.search_runs(["0"])) == []
    assert {p.name for p in Path("fresh/deep").iterdir() if p.is_dir()} == {"artifacts"}


# A store that does not answer

SECRET = "hunter2x"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def assert_secret_is_nowhere(folder, *texts):
    for text in texts:
        assert SECRET not in text
    for path in (p for p in folder.rglob("*") if p.is_file()):
        assert SECRET.encode() not in path.read_bytes()


def test_a_store_that_does_not_answer_never_stops_a_study(tmp_path, monkeypatch, capfd):
    """Nor does it keep one waiting, nor make it tell the password in the address."""
    monkeypatch.chdir(tmp_path)
    for name in HTTP_LIMITS:
        monkeypatch.delenv(name, raising=False)
    address = f"127.0.0.1:{free_port()}"
    begin = time.monotonic()
    assert main(["run", *SMALL, f"tracking.uri=http://me:{SECRET}@{address}"]) == 0
    assert time.monotonic() - begin < 30
    out, err = capfd.readouterr()
    assert f"Not logged: the MLflow store 'http://...@{address}' does not answer" in " ".join(err.split())
    assert "The rows are safe in the ledger" in " ".join(err.split())
    assert len(ledger.read_evaluations(HOME)) == 9
    assert "Traceback" not in out + err
    assert not list(tmp_path.rglob("mlflow.db*"))
    assert_secret_is_nowhere(tmp_path, out, err)


@pytest.mark.parametrize("uri", ["sqlite:///broken/mlflow.db", "sqlite:////proc/none/mlflow.db", "ftp://me:pw@host/x"])
def test_whatever_is_wrong_with_a_store_is_one_message(uri, tmp_path, monkeypatch, study, rows):
    monkeypatch.chdir(tmp_path)
    Path("broken").mkdir()
    Path("broken/mlflow.db").write_bytes(b"this is no database" * 500)
    with pytest.raises(StudyError, match=r"^the MLflow store '.*' does not answer \(.*\); runs are written") as refusal:
        log(study, rows, uri)
    assert "\n" not in str(refusal.value)
    assert "me:pw" not in str(refusal.value)


@pytest.mark.parametrize("uri", ["mlruns", "None", "file:///tmp/mlruns", "./mlruns"])
def test_a_folder_is_no_store(uri, study, rows):
    with pytest.raises(StudyError, match=r"is a folder at best; .* tracking\.uri=sqlite:///mlruns/mlflow\.db or"):
        log(study, rows, uri)


@pytest.mark.usefixtures("here")
def test_who_sets_the_patience_of_mlflow_is_obeyed(monkeypatch, study, rows):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    log(study, rows)
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "5"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == HTTP_LIMITS["MLFLOW_HTTP_REQUEST_TIMEOUT"]


# The page


def test_the_command_of_the_page_stays_on_loopback_and_tells_no_password():
    command, environment = ui_command(f"postgresql://me:{SECRET}@db.example/mlflow", 5001)
    assert SECRET not in " ".join(command)
    assert environment["MLFLOW_BACKEND_STORE_URI"] == f"postgresql://me:{SECRET}@db.example/mlflow"
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--workers") + 1] == "1"


def test_a_page_without_a_store_or_a_port_is_refused(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["ui"]) == 2
    assert (
        "the MLflow store 'sqlite:///mlruns/mlflow.db' does not exist, seen from this directory"
        in capsys.readouterr().err
    )
    assert main(["ui", "--uri", f"http://me:{SECRET}@127.0.0.1:1"]) == 2
    said = capsys.readouterr().err
    assert "'http://...@127.0.0.1:1' is not a database; a tracking server has its own page" in said
    assert SECRET not in said
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["ui", "--uri", f"sqlite:///{place}/mlruns/mlflow.db", "--port", str(port)]) == 2
    assert f"port {port} is taken" in capsys.readouterr().err
    Path("no.db").write_bytes(b"this is no database" * 500)
    assert main(["ui", "--uri", "sqlite:///no.db"]) == 2
    assert "StudyError: the MLflow store 'sqlite:///no.db' does not answer" in capsys.readouterr().err


@contextmanager
def page(words, port, ending):
    """``imblab ui`` in a process of its own, ended by a signal to that process alone."""
    command = [sys.executable, "-m", "imblab", "ui", "--port", str(port), *words]
    heed = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, **heed) as process:
        try:
            assert process.stdout.readline() == f"MLflow starts on http://127.0.0.1:{port} (Ctrl-C ends it)\n"
            end = time.monotonic() + 90
            while not answers(port):
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.2)
            yield
        finally:
            process.send_signal(ending)
            process.communicate(timeout=30)
    assert process.returncode == 0
    assert not answers(port)


def answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def ask(port, path, **body):
    address = f"http://127.0.0.1:{port}/api/2.0/mlflow/{path}"
    data, kind = json.dumps(body).encode(), {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(address, data, kind), timeout=20) as answer:
        return json.loads(answer.read())


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_the_page_serves_the_store_and_ctrl_c_ends_it():
    port = free_port()
    with page([], port, signal.SIGINT):
        found = {e["name"]: e["experiment_id"] for e in ask(port, "experiments/search", max_results=100)["experiments"]}
        assert "small" in found
        runs = ask(port, "runs/search", experiment_ids=[found["small"]], max_results=100)["runs"]
        assert len(runs) == ALL
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
            assert b"<html" in answer.read().lower()


@pytest.mark.slow
def test_a_study_logs_to_a_server_and_tells_it_no_password(place, tmp_path, monkeypatch, capfd, client):
    monkeypatch.chdir(tmp_path)
    port = free_port()
    with page(["--uri", f"sqlite:///{place}/mlruns/mlflow.db"], port, signal.SIGTERM):
        words = ("name=remote", *ASKED, "runner.n_jobs=1", f"tracking.uri=http://me:{SECRET}@127.0.0.1:{port}")
        assert main(["run", *words, "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["study"] == "remote"
    cells = cells_of(client, "remote")
    assert set(cells) == {f"ecoli3/logistic/{name}" for name in STRATEGIES}
    (above,) = runs_of(client, "remote", "study")
    # The server keeps them beside its database, not where the study ran.
    kept = [p for p in (place / "mlruns/artifacts").rglob("*.*") if above.info.run_id in p.parts]
    sent = ["evidence.parquet", "ledger.jsonl", "origin.json", "predictions.parquet", "search.parquet", "study.yaml"]
    assert set(sent) <= {p.name for p in kept}
    assert not list(tmp_path.rglob("artifacts"))
    assert SECRET not in json.dumps([run.to_dictionary() for run in runs_of(client, "remote")])
    assert_secret_is_nowhere(tmp_path, out, err)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("no server", "ValueError: no server"),
        ("", "ValueError: no message"),
        ("at http://me:secret@host\nand more", "ValueError: at http://...@host"),
        (
            f"API request to https://host/{'x' * 200} failed (Caused by SSLError('certificate verify failed'))",
            "ValueError: SSLError('certificate verify failed')",
        ),
    ],
)
def test_an_error_is_told_by_its_cause_without_a_password(said, kept):
    assert brief_reason(ValueError(said)) == kept


@pytest.mark.parametrize(
    ("error", "words"), [(TypeError("float + str"), "met an error of imblab"), (OSError("refused"), "does not answer")]
)
def test_an_error_of_code_is_not_told_as_a_connection_that_failed(error, words):
    with pytest.raises(StudyError, match=words), storage_errors("MLflow store", "sqlite:///a.db", "the rows are safe."):
        raise error
