"""MLflow, the picture of a study: the only module that knows it.

What to log is described as values (:func:`describe`) and written in one small place. Explicit ids and batches, never
the fluent state; the ledger is the fact, so the runs of a study can be written again at any time.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from imblab.errors import ImblabError, StudyError
from imblab.records import Evaluation, Study, fingerprint

SQLITE, DEFAULT = "sqlite:///", "mlruns/mlflow.db"
DEFAULT_URI = SQLITE + DEFAULT
PARENT = "mlflow.parentRunId"
#: MLflow's limits: entries a batch, characters of a parameter and of a tag.
METRICS, PARAMS, TEXT = 1000, 100, 5000
#: MLflow tries for four minutes where nobody answers; whoever sets these variables is obeyed.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


@dataclass(frozen=True, slots=True)
class Run:
    """What one run shall hold.

    Attributes
    ----------
    name : str
    tags, params : mapping of str to str
    metrics : tuple of (key, value, step)
    """

    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[tuple[str, float, int], ...] = ()


def log(study: Study, mapping: Mapping[str, Any], rows: Sequence[Evaluation], folder: Path, uri: str) -> None:
    """Write the runs of a study: one for the study, below it one for each data set, learner and strategy.

    Runs whose rows have not changed since are left alone; others are written anew. Writing twice changes nothing.

    Parameters
    ----------
    study : Study
    mapping : mapping
        The resolved question.
    rows : sequence of Evaluation
    folder : Path
        Of the study; its question and rows become artifacts.
    uri : str
        A tracking server or ``sqlite:///...``, relative to the current directory.

    Raises
    ------
    StudyError
        If the store does not answer. The rows are safe in the folder.
    """
    way_out = "runs are written there after a study. The rows are safe in the ledger: run the same command again later."
    _writable(uri)
    with _answering(uri, way_out), _alone(uri):
        client = _client(uri)
        experiment = _experiment(client, study.name, uri)
        parent = _study_run(client, experiment, study, mapping)
        known = _known(client, experiment, parent)
        for run in describe(study, rows, mapping):
            old = known.get(run.name)
            if old is None or old.data.tags.get("imblab.rows") != run.tags["imblab.rows"]:
                if old is not None:
                    client.delete_run(old.info.run_id)
                _write(client, experiment, run, parent)
        for path in sorted(folder.glob("*.*")):
            if path.suffix in (".yaml", ".jsonl"):
                client.log_artifact(parent, str(path))
        if client.get_run(parent).info.status != "FINISHED":
            client.set_terminated(parent)


def describe(study: Study, rows: Sequence[Evaluation], mapping: Mapping[str, Any]) -> Iterator[Run]:
    """The runs that teams compare, as values.

    Parameters
    ----------
    study : Study
    rows : sequence of Evaluation
    mapping : mapping

    Yields
    ------
    Run
        One a data set, learner and strategy: the mean of every measure under its plain name, ``<measure>_std``, fold
        values under ``fold/<measure>`` with step = repeat * folds + fold; what was asked as params, what was chosen as
        ``chosen.*``; coordinates and fingerprints as tags. Undefined values are left out.
    """
    groups: dict[tuple[str, str, str], list[Evaluation]] = {}
    for row in sorted(rows, key=lambda row: (row.repeat, row.fold)):
        groups.setdefault((row.dataset, row.learner, row.strategy), []).append(row)
    shared = {
        "imblab.role": "cell",
        "imblab.study": study.name,
        "imblab.config": fingerprint(mapping),
        **{f"version.{name}": version(name) for name in ("imblab", "scikit-learn", "imbalanced-learn", "optuna")},
    }
    for (dataset, learner, strategy), members in groups.items():
        tags = {
            **shared,
            "imblab.dataset": dataset,
            "imblab.learner": learner,
            "imblab.strategy": strategy,
            "imblab.data_fingerprint": members[0].data_fingerprint,
            "imblab.split_fingerprint": fingerprint([row.split_fingerprint for row in members]),
            "imblab.rows": fingerprint([_content(row) for row in members]),
            "imblab.primary": study.primary,
        }
        metrics = (*_metrics(members, study), *_costs(members))
        yield Run(f"{dataset}/{learner}/{strategy}", tags, _params(study, members), metrics)


def serve(uri: str, port: int | None, say: Callable[[str], None]) -> int:
    """Serve MLflow's pages on loopback until interrupted.

    Parameters
    ----------
    uri : str
        A database that exists.
    port : int or None
        The first free one from 5000 on by default.
    say : callable
        Receives the address.

    Returns
    -------
    int
        The exit code of the server; 0 after Ctrl-C.

    Raises
    ------
    StudyError
        If there is no such store, or the port is taken.
    """
    _servable(uri)
    chosen = _free_port(port)
    way_out = "its runs are what the page shows. Start the database, or name another store with --uri."
    with _answering(uri, way_out), _alone(uri):
        _client(uri)
    command, environment = ui_command(uri, chosen)
    say(f"MLflow starts on http://127.0.0.1:{chosen} (Ctrl-C ends it)")
    with subprocess.Popen(command, env={**os.environ, **environment}) as server:
        before = signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        try:
            return server.wait()
        except KeyboardInterrupt:
            server.terminate()
            return 0
        finally:
            signal.signal(signal.SIGTERM, before)


def ui_command(uri: str, port: int) -> tuple[list[str], dict[str, str]]:
    """The command and environment of a light server: one worker, no job runner, loopback only.

    Plain ``mlflow ui`` ignores ``MLFLOW_TRACKING_URI`` and starts 15 processes. The address of the store may hold a
    password, so it stands in the environment, where other users do not see it.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--artifacts-destination", _artifacts(uri).as_uri()]
    store = {"MLFLOW_BACKEND_STORE_URI": _resolved(uri)}
    return command, {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **store, **_quiet()}


def _client(uri: str) -> Any:
    """A client of the store, which is made where it is a fresh SQLite file; call it :func:`_alone`."""
    os.environ.update(_quiet())
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    for chatty in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=_resolved(uri))
    client.search_experiments(max_results=1)
    if (path := _file(uri)) is not None:
        _write_ahead(path)
    return client


def _experiment(client: Any, name: str, uri: str) -> str:
    """The id of the experiment of a study; a lost race to create it is won by looking again."""
    from mlflow.exceptions import MlflowException

    for _ in range(3):
        found = client.get_experiment_by_name(name)
        if found is not None and found.experiment_id == "0":
            break
        if found is not None and found.lifecycle_stage == "active":
            return str(found.experiment_id)
        if found is not None:
            client.restore_experiment(found.experiment_id)
            continue
        artifacts = _artifacts(uri).as_uri() if _is_database(uri) else None
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except MlflowException:
            time.sleep(0.2)
    raise StudyError(
        f"the MLflow experiment {name!r} can be neither found nor created as one of imblab's; a study logs to the "
        "experiment of its name. Look at it with `imblab ui`, or choose another name=..."
    )


def _study_run(client: Any, experiment: str, study: Study, mapping: Mapping[str, Any]) -> str:
    """The run above the others, found again or made."""
    found = client.search_runs([experiment], "tags.`imblab.role` = 'study'", max_results=1)
    tags = {"imblab.role": "study", "imblab.study": study.name, "imblab.config": fingerprint(mapping)}
    if found:
        for key, value in tags.items():
            client.set_tag(found[0].info.run_id, key, value)
        return str(found[0].info.run_id)
    created = client.create_run(experiment, tags=tags, run_name=study.name)
    return str(created.info.run_id)


def _known(client: Any, experiment: str, parent: str) -> dict[str, Any]:
    """The runs below the study run, by name: the latest of each; those that were cut short or doubled are deleted."""
    below = f"tags.`{PARENT}` = '{parent}'"
    page = client.search_runs([experiment], below, max_results=1000)
    found = list(page)
    while page.token:
        page = client.search_runs([experiment], below, max_results=1000, page_token=page.token)
        found += page
    runs: dict[str, Any] = {}
    for run in found:
        if run.info.status == "FINISHED" and run.info.run_name not in runs:
            runs[run.info.run_name] = run
        else:
            client.delete_run(run.info.run_id)
    return runs


def _write(client: Any, experiment: str, run: Run, parent: str) -> None:
    from mlflow.entities import Metric, Param

    tags = {key: value[:TEXT] for key, value in {**run.tags, PARENT: parent}.items()}
    run_id = client.create_run(experiment, tags=tags, run_name=run.name).info.run_id
    now = int(time.time() * 1000)
    metrics = [Metric(_key(key), value, now, step) for key, value, step in run.metrics]
    params = [Param(_key(key), value[:TEXT]) for key, value in run.params.items()]
    for start in range(0, max(len(metrics), 1), METRICS - PARAMS):
        batch = params[:PARAMS] if start == 0 else []
        client.log_batch(run_id, metrics=metrics[start : start + METRICS - PARAMS], params=batch)
    client.set_terminated(run_id)


def _metrics(members: Sequence[Evaluation], study: Study) -> Iterator[tuple[str, float, int]]:
    folds = study.protocol.outer_folds
    for measure in study.measures:
        values = [
            (row.repeat * folds + row.fold, v) for row in members if (v := row.scores.get(measure.name)) is not None
        ]
        if not values:
            continue
        yield measure.name, float(np.mean([v for _, v in values])), 0
        if len(values) > 1:
            yield f"{measure.name}_std", float(np.std([v for _, v in values], ddof=1)), 0
        for step, value in sorted(values):
            yield f"fold/{measure.name}", value, step


def _costs(members: Sequence[Evaluation]) -> Iterator[tuple[str, float, int]]:
    yield "seconds", float(sum(row.seconds for row in members)), 0
    yield "fits", float(sum(row.fits for row in members)), 0
    yield "fits_spared", float(sum(row.spared for row in members)), 0
    for status in ("ok", "failed", "inapplicable"):
        yield f"n_{status}", float(sum(row.status == status for row in members)), 0


def _params(study: Study, members: Sequence[Evaluation]) -> dict[str, str]:
    """What was asked under the knob's name, what was chosen under ``chosen.*``."""
    strategy = next((s for s in study.strategies if s.name == members[0].strategy), None)
    learner = next((item for item in study.learners if item.name == members[0].learner), None)
    params = {"dataset": members[0].dataset, "learner": members[0].learner, "strategy": members[0].strategy}
    if strategy is not None:
        for knob in ("ratio", "k", "weight", "threshold"):
            value = strategy.space[knob].text() if knob in strategy.space else getattr(strategy, knob)
            if value is not None:
                params[knob] = value if isinstance(value, str) else json.dumps(value, default=dict)
        if strategy.sampler is not None:
            params["sampler"] = str(strategy.sampler["_target_"])
    if learner is not None:
        params["learner.make"] = json.dumps(learner.make, default=dict)
    chosen: dict[str, list[str]] = {}
    for row in members:
        for name, value in {**row.params, "threshold": row.threshold}.items():
            if value is not None:
                chosen.setdefault(f"chosen.{name}", []).append(f"{value:g}" if isinstance(value, float) else str(value))
    return params | {name: ", ".join(values) for name, values in chosen.items()}


def _content(row: Evaluation) -> dict[str, Any]:
    """What a row says, but for what differs from run to run."""
    content: dict[str, Any] = json.loads(row.to_json())
    return {key: value for key, value in content.items() if key not in ("seconds", "spared")}


def _key(name: str) -> str:
    """A name as MLflow takes it: letters, digits and ``_ - . / :`` and blanks."""
    return re.sub(r"[^\w\-./: ]", "_", name)


def _file(uri: str) -> Path | None:
    """The file behind an SQLite address; a relative one follows the current directory and is made absolute, once."""
    return Path(uri.removeprefix(SQLITE)).resolve() if uri.startswith(SQLITE) else None


def _resolved(uri: str) -> str:
    path = _file(uri)
    return uri if path is None else f"{SQLITE}{path}"


def _is_database(uri: str) -> bool:
    return uri.split(":")[0].split("+")[0] in ("sqlite", "postgresql", "mysql", "mssql")


def _artifacts(uri: str) -> Path:
    """Where the files of runs lie: beside the SQLite file, or in this directory's ``mlruns``."""
    return ((_file(uri) or Path(DEFAULT).resolve()).parent / "artifacts").resolve()


def _writable(uri: str) -> None:
    if (":" not in uri and uri != "databricks") or uri.startswith("file:"):
        raise StudyError(
            f"the MLflow store {uri!r} is a folder at best; MLflow keeps runs in a database or at a server. Write for "
            f"example tracking.uri={DEFAULT_URI} or tracking.uri=http://host:5000."
        )


def _servable(uri: str) -> None:
    path = _file(uri)
    if path is not None and not path.is_file():
        raise StudyError(
            f"there is no MLflow store {uri!r} seen from this directory; it is made by the first study that is logged. "
            "Run one: imblab run experiment=quickstart, or name another store with --uri."
        )
    if not _is_database(uri):
        raise StudyError(
            f"the MLflow store {_shown(uri)!r} is no database; a tracking server has its own page. Open its address in "
            "a browser, or name a database with --uri."
        )


@contextmanager
def _answering(uri: str, way_out: str) -> Iterator[None]:
    """Whatever MLflow, its database driver or the network raises becomes one message without a password."""
    try:
        yield
    except ImblabError:
        raise
    except Exception as error:
        raise StudyError(f"the MLflow store {_shown(uri)!r} does not answer ({_brief(error)}); {way_out}") from None


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """One process at a time: several that create one SQLite store at once destroy it."""
    path = _file(uri)
    if path is None:
        yield
        return
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _write_ahead(path: Path) -> None:
    """Readers and the writer do not block each other; the setting stays with the file."""
    import sqlite3

    with sqlite3.connect(path, timeout=20) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def _quiet() -> dict[str, str]:
    """No telemetry, and no addresses on standard output: they hold the password, and break ``--json``."""
    silent = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
    return {**silent, "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}


def _free_port(port: int | None) -> int:
    import socket

    for candidate in (port,) if port else range(5000, 5100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", candidate)) != 0:
                return candidate
    taken = f"port {port} is" if port else "ports 5000 to 5099 are all"
    raise StudyError(f"{taken} taken; the page needs one of its own. Choose another with --port.")


def _brief(error: Exception) -> str:
    lines = str(error).splitlines() or ["no message"]
    return f"{type(error).__name__}: {_shown(lines[0])[:150]}"


def _shown(text: str) -> str:
    """Text whose addresses have lost their user and password."""
    return re.sub(r"(://)[^/\s]*(?=@)|(password=)[^&\s]*", r"\1\2...", text)
