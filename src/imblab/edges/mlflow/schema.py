"""The tables of a store: made whole or not at all, and migrated only where a copy was made before."""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
import stat
import sys
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from imblab.edges import files
from imblab.edges.mlflow.address import brief, check_kind, file, resolved, sqlite_uri
from imblab.errors import StudyError, presentable

#: Seconds that a database server, or another process on a file, has to answer.
WAIT_SECONDS = 10
#: What every MLflow store has had since the first release.
_TABLES = {"experiments", "runs"}
ELSEWHERE = "Or log elsewhere with tracking.uri=..., or nowhere with tracking=none."


def prepare(uri: str) -> None:
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
    path = file(uri)
    check_kind(path, uri)
    if path is not None and (not path.exists() or path.stat().st_size == 0):
        _make(path)
        return
    with _connected(uri) as connection:
        tables, revision = _seen(connection)
    if not tables:  # MLflow makes them
        return
    revisions = _revisions()
    if revision == revisions[0]:
        return
    if revision not in revisions and (revision is not None or not tables >= _TABLES):
        raise _unknown(uri, revision)
    if path is None:
        raise StudyError(
            f"the MLflow store {presentable(uri)!r} has the tables of an older MLflow (schema {revision!r}); MLflow "
            f"{_mlflow()} needs {revisions[0]!r}, and a database that others may use is not migrated by a study. "
            f"Make a backup, then: mlflow db upgrade {presentable(uri)!r}. {ELSEWHERE}"
        )
    _migrate(path, str(revision), revisions[0])


def _make(path: Path) -> None:
    """Make a store under another name; it takes its own one when it is whole."""
    from mlflow.store.db import utils

    files.sweep(path.parent)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        # Nothing of it counts before it is whole, so that no statement waits for the disk.
        with _engine(sqlite_uri(fresh), "journal_mode=MEMORY", "synchronous=OFF") as engine, _silent():
            utils._initialize_tables(engine)
        with fresh.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def _migrate(path: Path, revision: str, wanted: str) -> None:
    """Migrate a file after it was copied; where that fails it is as it was."""
    from mlflow.store.db import utils

    copy = _copy(path, revision)
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
            f"({brief(error)}); it is as it was, and its copy is {str(copy)!r}. Migrate it with the MLflow that wrote "
            f"it. {ELSEWHERE}"
        ) from error


def _copy(path: Path, revision: str) -> Path:
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
            f"of it can be made ({brief(error)}); it is migrated only after that. Make room. {ELSEWHERE}"
        ) from error
    return copy


def _unknown(uri: str, revision: str | None) -> StudyError:
    found = f"schema {revision!r}" if revision else "tables but no schema of MLflow"
    return StudyError(
        f"the MLflow store {presentable(uri)!r} has {found}, which MLflow {_mlflow()} does not know; a newer MLflow or "
        "another program has made it. Install the MLflow that wrote it (pip install --upgrade mlflow), or, where it is "
        f"newer than that, bring it to its release with: mlflow db upgrade {presentable(uri)!r}. {ELSEWHERE}"
    )


def _seen(connection: Any) -> tuple[set[str], str | None]:
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
    with _engine(resolved(uri)) as engine, engine.connect() as connection:
        yield connection


@contextmanager
def _engine(uri: str, *pragmas: str) -> Iterator[Any]:
    """An engine with few connections. MLflow itself tries ten times, for two minutes, where a database is silent."""
    import sqlalchemy

    patient = uri.startswith(("postgresql", "mysql"))
    engine = sqlalchemy.create_engine(uri, connect_args={"connect_timeout": WAIT_SECONDS} if patient else {})

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
