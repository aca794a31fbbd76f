"""A client of an MLflow store: made alone, with explicit ids, and one message where nobody answers."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from imblab.edges import files
from imblab.edges.files import locks
from imblab.edges.mlflow.addresses import (
    absolute_uri,
    brief_reason,
    check_regular_file,
    check_store_uri,
    is_database,
    sqlite_path,
    sqlite_uri,
)
from imblab.errors import ImblabError, StudyError, presentable
from imblab.redaction import hiding, install

#: MLflow tries for four minutes where nobody answers; whoever sets these variables is obeyed.
HTTP_LIMITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
#: SQLite files of runs that this process writes to.
_FAST_FILES: set[str] = set()


@contextmanager
def open_client(uri: str, way_out: str) -> Iterator[Any]:
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
    check_store_uri(uri)
    with store_errors(uri, way_out):
        with locked_store(uri):
            client = connect(uri)
        yield client


def connect(uri: str) -> Any:
    """A client of the store, which is made where it is a fresh SQLite file; call it :func:`alone`."""
    install()
    os.environ.update(quiet_environment())
    for name, value in HTTP_LIMITS.items():
        os.environ.setdefault(name, value)
    for chatty in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    if is_database(uri):
        prepare_tables(uri)
    if (path := sqlite_path(uri)) is not None:
        _write_ahead(path)
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=absolute_uri(uri))
    client.search_experiments(max_results=1)
    return client


@contextmanager
def store_errors(uri: str, way_out: str) -> Iterator[None]:
    """Whatever MLflow, its database driver or the network raises becomes one message without a password."""
    with hiding(uri):
        try:
            yield
        except ImblabError:
            raise
        except Exception as error:
            reason = f"does not answer ({brief_reason(error)})"
            raise StudyError(f"the MLflow store {presentable(uri)!r} {reason}; {way_out}") from None


@contextmanager
def locked_store(uri: str) -> Iterator[None]:
    """One process at a time: several that create one SQLite store at once destroy it."""
    path = sqlite_path(uri)
    if path is None:
        yield
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(locks.lock(path, f"{path.name}.lock"))
        except StudyError as error:
            # What the system refuses is a store that does not answer, with that way out.
            raise error.__cause__ if isinstance(error.__cause__, OSError) else error from None
        yield


@contextmanager
def locked_study(folder: Path) -> Iterator[None]:
    """One writer a study at a time, across processes; the lock ends with the process."""
    with locks.lock(folder, f".{folder.name}.mlflow.lock"):
        yield


def analyze_tables(uri: str) -> None:
    """Let SQLite know how its tables are filled: sorting runs by a metric is many times quicker then."""
    path = sqlite_path(uri)
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
    _FAST_FILES.add(str(path))
    if not event.contains(Engine, "connect", _relax_synchronisation):
        event.listen(Engine, "connect", _relax_synchronisation)


def _relax_synchronisation(connection: Any, _: Any) -> None:
    """Let a new connection to one of our files leave the disk to SQLite's checkpoints; others stay as they are."""
    import sqlite3

    if (
        isinstance(connection, sqlite3.Connection)
        and connection.execute("PRAGMA database_list").fetchone()[2] in _FAST_FILES
    ):
        connection.execute("PRAGMA synchronous=NORMAL")


def quiet_environment() -> dict[str, str]:
    """No telemetry, and no addresses on standard output: they hold the password, and break ``--json``."""
    silent = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
    return {**silent, "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}


#: Seconds that a database server, or another process on a file, has to answer.
CONNECT_TIMEOUT_SECONDS = 10
#: What every MLflow store has had since the first release.
_CORE_TABLES = {"experiments", "runs"}
LOG_ELSEWHERE = "Or log elsewhere with tracking.uri=..., or nowhere with tracking=none."


def prepare_tables(uri: str) -> None:
    """Bring the tables of a database to what the installed MLflow needs; call it alone.

    Parameters
    ----------
    uri : str
        A database. An SQLite file that is not there is made in one step, so that a killed process leaves none behind;
        one of an older MLflow is copied and migrated, and that is said.

    Raises
    ------
    StudyError
        If the tables are those of a newer MLflow or of another program, or of an older one at a database server.
    """
    path = sqlite_path(uri)
    check_regular_file(path, uri)
    if path is not None and (not path.exists() or path.stat().st_size == 0):
        _create_database(path)
        return
    with _connected(uri) as connection:
        tables, revision = _tables_and_revision(connection)
    if not tables:  # MLflow makes them
        return
    revisions = _revisions()
    if revision == revisions[0]:
        return
    if revision not in revisions and (revision is not None or not tables >= _CORE_TABLES):
        raise _unknown_schema(uri, revision)
    if path is None:
        raise StudyError(
            f"the MLflow store {presentable(uri)!r} has the tables of an older MLflow (schema {revision!r}); MLflow "
            f"{_mlflow()} needs {revisions[0]!r}, and a database that others may use is not migrated by a study. "
            f"Make a backup, then: mlflow db upgrade {presentable(uri)!r}. {LOG_ELSEWHERE}"
        )
    _migrate_database(path, str(revision), revisions[0])


def _create_database(path: Path) -> None:
    """Make a store under a temporary name, which it changes when it is complete."""
    from mlflow.store.db import utils

    files.remove_stale_files(path.parent)
    unsynchronized = ("journal_mode=MEMORY", "synchronous=OFF")  # no statement waits for the disk before it is complete
    with (
        files.replacement_path(path) as temporary,
        _engine(sqlite_uri(temporary), *unsynchronized) as engine,
        _silent(),
    ):
        utils._initialize_tables(engine)


def _migrate_database(path: Path, revision: str, wanted: str) -> None:
    """Migrate a file after it was copied; where that fails it is as it was."""
    from mlflow.store.db import utils

    copy = _back_up(path, revision)
    print(
        f"The MLflow store {str(path)!r} has the tables of an older MLflow (schema {revision}) and is migrated to "
        f"schema {wanted} of MLflow {_mlflow()}. As it was: {str(copy)!r}",
        file=sys.stderr,
    )
    try:
        with _engine(sqlite_uri(path), "journal_mode=WAL", "synchronous=NORMAL") as engine, _silent():
            utils._initialize_tables(engine)
    except Exception as error:  # a migration may raise anything; the store is given back
        with closing(sqlite3.connect(copy)) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)
        raise StudyError(
            f"the MLflow store {str(path)!r} of an older MLflow (schema {revision!r}) cannot be migrated "
            f"({brief_reason(error)}); it is as it was, and its copy is {str(copy)!r}. Migrate it with the MLflow that "
            f"wrote it. {LOG_ELSEWHERE}"
        ) from error


def _back_up(path: Path, revision: str) -> Path:
    """A copy of a store next to it, under a name that is free."""
    number, copy = 1, path.with_name(f"{path.name}.{revision}.bak")
    while os.path.lexists(copy):
        number += 1
        copy = path.with_name(f"{path.name}.{revision}-{number}.bak")
    try:
        os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, stat.S_IMODE(path.stat().st_mode)))
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            copy.unlink(missing_ok=True)
        raise StudyError(
            f"the MLflow store {str(path)!r} of an older MLflow (schema {revision!r}) is left as it is, since no copy "
            f"of it can be made ({brief_reason(error)}); it is migrated only after that. Make room. {LOG_ELSEWHERE}"
        ) from error
    return copy


def _unknown_schema(uri: str, revision: str | None) -> StudyError:
    found = f"schema {revision!r}" if revision else "tables but no schema of MLflow"
    return StudyError(
        f"the MLflow store {presentable(uri)!r} has {found}, which MLflow {_mlflow()} does not know; a newer MLflow or "
        "another program has made it. Install the MLflow that wrote it (pip install --upgrade mlflow), or, where it is "
        f"newer than that, bring it to its release with: mlflow db upgrade {presentable(uri)!r}. {LOG_ELSEWHERE}"
    )


def _tables_and_revision(connection: Any) -> tuple[set[str], str | None]:
    """The tables of a database and the revision of its schema."""
    import sqlalchemy
    from alembic.migration import MigrationContext

    tables = set(sqlalchemy.inspect(connection).get_table_names())
    revisions: Collection[str] = MigrationContext.configure(connection).get_current_heads()
    return {name for name in tables if not name.startswith("alembic_")}, "+".join(sorted(revisions)) or None


def _revisions() -> list[str]:
    """The revisions that the installed MLflow knows, the newest first."""
    import mlflow.store.db_migrations as migrations
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(Path(next(iter(migrations.__path__)))))
    return [each.revision for each in script.walk_revisions()]


@contextmanager
def _connected(uri: str) -> Iterator[Any]:
    with _engine(absolute_uri(uri)) as engine, engine.connect() as connection:
        yield connection


@contextmanager
def _engine(uri: str, *pragmas: str) -> Iterator[Any]:
    """An engine with few connections. MLflow itself tries ten times, for two minutes, where a database is silent."""
    import sqlalchemy

    patient = uri.startswith(("postgresql", "mysql"))
    engine = sqlalchemy.create_engine(uri, connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS} if patient else {})

    def set_pragmas(connection: Any, _: Any) -> None:
        for each in pragmas:
            connection.execute(f"PRAGMA {each}")

    if pragmas:
        sqlalchemy.event.listen(engine, "connect", set_pragmas)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _silent() -> Iterator[None]:
    """Alembic names every step, and its configuration sets levels of its own."""
    loggers = [logging.getLogger(name) for name in ("mlflow.store.db.utils", "alembic", "alembic.runtime.migration")]
    before = [(each, each.disabled) for each in loggers]
    for each in loggers:
        each.disabled = True
    try:
        yield
    finally:
        for each, was in before:
            each.disabled = was


def _mlflow() -> str:
    from importlib.metadata import version

    return version("mlflow")
