"""Opens MLflow stores: tables brought up to date, one process at a time, explicit ids, one message on any failure.

MLflow's migrations of a fresh SQLite file fail when several processes start at once. Tables are therefore created
under a lock and another name, completely or not at all, and migrated only after the file was copied.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from imblab.edges import files
from imblab.edges.files import locks
from imblab.edges.mlflow.addresses import (
    absolute_uri,
    check_regular_file,
    check_store_uri,
    is_database,
    sqlite_path,
    sqlite_uri,
)
from imblab.errors import StudyError, brief_reason, presentable, storage_errors
from imblab.redaction import install

#: Environment variables that are set unless the user has set them: MLflow retries a dead server for four minutes.
HTTP_LIMITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
#: Seconds that a database server, or another process that holds a file, has to answer.
CONNECT_TIMEOUT_SECONDS = 10
#: Seconds that SQLite waits for another process.
BUSY_TIMEOUT_SECONDS = 20
LOG_ELSEWHERE = "Or log elsewhere with tracking.uri=..., or nowhere with tracking=none."
#: Tables of every MLflow store since the first release.
_CORE_TABLES = {"experiments", "runs"}
#: SQLite files whose connections do not wait for the disk at each commit.
_FAST_FILES: set[str] = set()


@contextmanager
def open_client(uri: str, way_out: str) -> Iterator[Any]:
    """Open a store for writing; any failure of it meanwhile becomes a StudyError that ends with ``way_out``."""
    check_store_uri(uri)
    with storage_errors("MLflow store", uri, way_out):
        with locked_store(uri):
            client = connect(uri)
        yield client


def connect(uri: str) -> Any:
    """Connect to a store, with its tables up to date; the caller holds :func:`locked_store`."""
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


def get_or_none(get: Callable[..., Any], *arguments: str) -> Any:
    """Call a method of an ``MlflowClient``; None where the store does not have what is named."""
    from mlflow.exceptions import MlflowException

    try:
        return get(*arguments)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


@contextmanager
def locked_store(uri: str) -> Iterator[None]:
    """Hold the lock of an SQLite store; other stores need none."""
    path = sqlite_path(uri)
    with ExitStack() as stack:
        if path is not None:
            try:
                stack.enter_context(locks.lock(path, f"{path.name}.lock"))
            except StudyError as error:
                # A store that the operating system refuses is one that does not answer.
                raise error.__cause__ if isinstance(error.__cause__, OSError) else error from None
        yield


@contextmanager
def locked_study(folder: Path) -> Iterator[None]:
    """Hold the lock of the one process that writes the runs of a study, until it ends; who has to wait says so once."""
    with ExitStack() as stack:
        hold = partial(locks.lock, folder, f".{folder.name}.mlflow.lock")
        try:
            stream = stack.enter_context(hold(wait=False))
        except locks.LockHeld as held:
            print(
                f"Process {str(held) or 'unknown'} writes the MLflow runs of study {folder.name!r}; waiting for it.",
                file=sys.stderr,
            )
            stream = stack.enter_context(hold())
        stream.truncate(0)
        stream.write(str(os.getpid()).encode())
        yield


def analyze_tables(uri: str) -> None:
    """Let SQLite gather statistics of its tables: MLflow sorts runs by a metric many times faster with them."""
    if (path := sqlite_path(uri)) is not None:
        _execute(path, "ANALYZE")


def quiet_environment() -> dict[str, str]:
    """Variables against telemetry, bars of progress, and addresses on standard output: these break JSON."""
    silent = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
    silent["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    return {**silent, "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}


def prepare_tables(uri: str) -> None:
    """Bring the tables of a database to the schema of the installed MLflow; the caller holds :func:`locked_store`.

    A missing SQLite file is created; one of an older MLflow is copied, then migrated. Tables of a newer MLflow, of
    another program, or of an older MLflow at a database server are refused.
    """
    path = sqlite_path(uri)
    check_regular_file(path, uri)
    if path is not None and (not path.exists() or path.stat().st_size == 0):
        _create_database(path)
        return
    with _engine(absolute_uri(uri)) as engine, engine.connect() as connection:
        tables, revision = _tables_and_revision(connection)
    if not tables:  # MLflow creates them
        return
    revisions = _known_revisions()
    if revision == revisions[0]:
        return
    if revision not in revisions and (revision is not None or not tables >= _CORE_TABLES):
        raise _unknown_schema(uri, revision)
    if path is None:
        raise StudyError(
            f"the MLflow store {presentable(uri)!r} has the tables of an older MLflow (schema {revision!r}); MLflow "
            f"{version('mlflow')} needs {revisions[0]!r}, and a study does not migrate a database that others may use. "
            f"Make a backup, then: mlflow db upgrade {presentable(uri)!r}. {LOG_ELSEWHERE}"
        )
    _migrate_database(path, str(revision), revisions[0])


def _create_database(path: Path) -> None:
    """Create a store under a temporary name, and rename it when it is complete."""
    from mlflow.store.db import utils

    files.remove_stale_files(path.parent)
    unsynchronised = ("journal_mode=MEMORY", "synchronous=OFF")  # nothing counts before the file is complete
    with (
        files.replacement_path(path) as temporary,
        _engine(sqlite_uri(temporary), *unsynchronised) as engine,
        _alembic_silenced(),
    ):
        utils._initialize_tables(engine)


def _migrate_database(path: Path, revision: str, target: str) -> None:
    """Migrate a file after copying it; a failed migration restores the copy."""
    from mlflow.store.db import utils

    copy = _back_up(path, revision)
    print(
        f"The MLflow store {str(path)!r} has the tables of an older MLflow (schema {revision}) and is migrated to "
        f"schema {target} of MLflow {version('mlflow')}. As it was: {str(copy)!r}",
        file=sys.stderr,
    )
    try:
        with _engine(sqlite_uri(path), "journal_mode=WAL", "synchronous=NORMAL") as engine, _alembic_silenced():
            utils._initialize_tables(engine)
    except Exception as error:  # a migration may raise anything
        _copy_database(copy, path)
        raise StudyError(
            f"the MLflow store {str(path)!r} of an older MLflow (schema {revision!r}) cannot be migrated "
            f"({brief_reason(error)}); it is as it was, and its copy is {str(copy)!r}. Migrate it with the MLflow that "
            f"wrote it. {LOG_ELSEWHERE}"
        ) from error


def _back_up(path: Path, revision: str) -> Path:
    """Copy a store to a free name next to it."""
    number, copy = 1, path.with_name(f"{path.name}.{revision}.bak")
    while os.path.lexists(copy):
        number += 1
        copy = path.with_name(f"{path.name}.{revision}-{number}.bak")
    try:
        os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, stat.S_IMODE(path.stat().st_mode)))
        _copy_database(path, copy)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            copy.unlink(missing_ok=True)
        raise StudyError(
            f"the MLflow store {str(path)!r} of an older MLflow (schema {revision!r}) is left as it is, since no copy "
            f"of it can be made ({brief_reason(error)}); it is migrated only after that. Make room. {LOG_ELSEWHERE}"
        ) from error
    return copy


def _copy_database(original: Path, copy: Path) -> None:
    with closing(sqlite3.connect(original)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def _unknown_schema(uri: str, revision: str | None) -> StudyError:
    schema = f"schema {revision!r}" if revision else "tables but no schema of MLflow"
    return StudyError(
        f"the MLflow store {presentable(uri)!r} has {schema}, which MLflow {version('mlflow')} does not know; a newer "
        "MLflow or another program has made it. Install the MLflow that wrote it (pip install --upgrade mlflow), or, "
        f"where it is newer than that, bring it to its release with: mlflow db upgrade {presentable(uri)!r}. "
        f"{LOG_ELSEWHERE}"
    )


def _tables_and_revision(connection: Any) -> tuple[set[str], str | None]:
    """The tables of a database, and the revision of its schema where alembic has noted one."""
    import sqlalchemy
    from alembic.migration import MigrationContext

    tables = set(sqlalchemy.inspect(connection).get_table_names())
    revisions: Collection[str] = MigrationContext.configure(connection).get_current_heads()
    return {name for name in tables if not name.startswith("alembic_")}, "+".join(sorted(revisions)) or None


def _known_revisions() -> list[str]:
    """The schema revisions that the installed MLflow knows, the newest first."""
    import mlflow.store.db_migrations as migrations
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(Path(next(iter(migrations.__path__)))))
    return [each.revision for each in script.walk_revisions()]


@contextmanager
def _engine(uri: str, *pragmas: str) -> Iterator[Any]:
    """A SQLAlchemy engine with a short timeout; MLflow's own tries a silent database for two minutes."""
    import sqlalchemy

    at_server = uri.startswith(("postgresql", "mysql"))
    engine = sqlalchemy.create_engine(
        uri, connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS} if at_server else {}
    )

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
def _alembic_silenced() -> Iterator[None]:
    """Disable the loggers that name every step; alembic's configuration resets their levels."""
    loggers = [logging.getLogger(name) for name in ("mlflow.store.db.utils", "alembic", "alembic.runtime.migration")]
    before = [(each, each.disabled) for each in loggers]
    for each in loggers:
        each.disabled = True
    try:
        yield
    finally:
        for each, disabled in before:
            each.disabled = disabled


def _write_ahead(path: Path) -> None:
    """Put a file into write-ahead mode, which it keeps, and let this process's connections not wait for the disk.

    MLflow commits several times per run. In write-ahead mode a machine that loses its power loses the last commits and
    nothing else; ``imblab sync`` writes them again.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    _execute(path, "PRAGMA journal_mode=WAL")
    _FAST_FILES.add(str(path))
    if not event.contains(Engine, "connect", _relax_synchronisation):
        event.listen(Engine, "connect", _relax_synchronisation)


def _relax_synchronisation(connection: Any, _: Any) -> None:
    is_sqlite = isinstance(connection, sqlite3.Connection)
    if is_sqlite and connection.execute("PRAGMA database_list").fetchone()[2] in _FAST_FILES:
        connection.execute("PRAGMA synchronous=NORMAL")


def _execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS)) as connection, connection:
        connection.execute(statement)
