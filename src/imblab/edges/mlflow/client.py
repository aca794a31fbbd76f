"""A client of an MLflow store: made alone, with explicit ids, and one message where nobody answers."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from imblab.edges import files
from imblab.edges.mlflow import schema
from imblab.edges.mlflow.address import brief, check_writable, file, is_database, resolved
from imblab.errors import ImblabError, StudyError, presentable
from imblab.redaction import hiding, install

#: MLflow tries for four minutes where nobody answers; whoever sets these variables is obeyed.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
#: SQLite files of runs that this process writes to.
_HASTY: set[str] = set()


@contextmanager
def session(uri: str, way_out: str) -> Iterator[Any]:
    """A client of a store that may be written to.

    Parameters
    ----------
    uri : str
        A tracking server or ``sqlite:///...``, relative to the current directory; the file is made where it is not.
    way_out : str
        How the message ends where the store does not answer.

    Yields
    ------
    mlflow.MlflowClient

    Raises
    ------
    StudyError
        For whatever MLflow, its database driver or the network raises meanwhile.
    """
    check_writable(uri)
    with answering(uri, way_out):
        with alone(uri):
            client = connect(uri)
        yield client


def connect(uri: str) -> Any:
    """A client of the store, which is made where it is a fresh SQLite file; call it :func:`alone`."""
    install()
    os.environ.update(quiet())
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    for chatty in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    if is_database(uri):
        schema.prepare(uri)
    if (path := file(uri)) is not None:
        _write_ahead(path)
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=resolved(uri))
    client.search_experiments(max_results=1)
    return client


@contextmanager
def answering(uri: str, way_out: str) -> Iterator[None]:
    """Whatever MLflow, its database driver or the network raises becomes one message without a password."""
    with hiding(uri):
        try:
            yield
        except ImblabError:
            raise
        except Exception as error:
            reason = f"does not answer ({brief(error)})"
            raise StudyError(f"the MLflow store {presentable(uri)!r} {reason}; {way_out}") from None


@contextmanager
def alone(uri: str) -> Iterator[None]:
    """One process at a time: several that create one SQLite store at once destroy it."""
    path = file(uri)
    if path is None:
        yield
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(files.locked(path, f"{path.name}.lock"))
        except StudyError as error:
            # What the system refuses is a store that does not answer, with that way out.
            raise error.__cause__ if isinstance(error.__cause__, OSError) else error from None
        yield


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """One writer a study at a time, across processes; the lock ends with the process."""
    with files.locked(folder, f".{folder.name}.mlflow.lock"):
        yield


def analyze(uri: str) -> None:
    """Let SQLite know how its tables are filled: sorting runs by a metric is many times quicker then."""
    path = file(uri)
    if path is None:
        return
    import sqlite3

    with sqlite3.connect(path, timeout=20) as connection:
        connection.execute("ANALYZE")
    connection.close()


def _write_ahead(path: Path) -> None:
    """Readers and the writer do not block each other, which stays with the file; MLflow here waits for no disk.

    MLflow commits several times a run. In write-ahead mode a machine that loses its power loses the last commits and
    nothing else: ``imblab sync`` writes them again.
    """
    import sqlite3

    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    with sqlite3.connect(path, timeout=20) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    _HASTY.add(str(path))
    if not event.contains(Engine, "connect", _hasten):
        event.listen(Engine, "connect", _hasten)


def _hasten(connection: Any, _: Any) -> None:
    """Let a new connection to one of our files leave the disk to SQLite's checkpoints; others stay as they are."""
    import sqlite3

    if (
        isinstance(connection, sqlite3.Connection)
        and connection.execute("PRAGMA database_list").fetchone()[2] in _HASTY
    ):
        connection.execute("PRAGMA synchronous=NORMAL")


def quiet() -> dict[str, str]:
    """No telemetry, and no addresses on standard output: they hold the password, and break ``--json``."""
    silent = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
    return {**silent, "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
