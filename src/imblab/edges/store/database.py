"""The SQLite file of the prediction store: opened, created, and set aside where it is damaged."""

from __future__ import annotations

import sqlite3
import sys
import time
from pathlib import Path

from imblab.edges import files
from imblab.edges.files import locks
from imblab.edges.store.limits import PAGE_BYTES
from imblab.errors import StudyError, presentable

#: Seconds to wait for another process.
LOCK_SECONDS = 60
#: The one table, and the types of its columns.
TABLE_COLUMNS = {"address": "TEXT", "p": "BLOB", "facts": "TEXT", "made": "REAL"}
_CREATE_TABLE = "CREATE TABLE IF NOT EXISTS answers (address TEXT PRIMARY KEY, p BLOB, facts TEXT, made REAL)"
#: The files that SQLite keeps for a database.
_FILE_ENDINGS = ("", "-wal", "-shm")


def warn_about_store(message: str) -> None:
    """Print a message about the store on standard error."""
    print(presentable(message), file=sys.stderr)


def open_database(path: Path) -> sqlite3.Connection:
    """Open the database of predictions; a damaged one is set aside and replaced by a fresh one.

    Raises StudyError if the file is a database of another program, and sqlite3.OperationalError if it cannot be opened
    or written.
    """
    for _ in range(2):
        seen = _file_identity(path)
        try:
            return _open_connection(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            damage = str(error)
        _set_aside(path, seen, damage)
    return _open_connection(path)


def _open_connection(path: Path) -> sqlite3.Connection:
    """Connect to the file, created if need be; if several processes create it at once, the others wait."""
    base = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
    begin = time.monotonic()
    while True:
        try:
            # Before anything is written: a database of another program stays as it is.
            check_database(base, path)
            # Without a commit to disk each time: a killed process loses nothing, a dead machine at most the last fits.
            # Pages that hold a prediction of some hundred rows whole.
            for line in (
                f"page_size={PAGE_BYTES}",
                "journal_mode=WAL",
                "synchronous=NORMAL",
                "journal_size_limit=67108864",
            ):
                base.execute(f"PRAGMA {line}")
            base.execute(_CREATE_TABLE)
            return base
        except sqlite3.OperationalError as error:
            # The change to WAL does not wait for a lock by itself.
            if "locked" not in str(error) or time.monotonic() - begin > LOCK_SECONDS:
                base.close()
                raise
            time.sleep(0.02)
        except BaseException:
            base.close()
            raise


def check_database(base: sqlite3.Connection, path: Path) -> None:
    """Refuse a database of another program; a table of other columns counts as damaged, a fresh file has none yet."""
    query = "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
    names = [str(name) for (name,) in base.execute(query)]
    if not names:
        return
    if "answers" not in names:
        raise StudyError(
            f"the prediction store {str(path)!r} is the database of another program (it holds {', '.join(names[:3])}); "
            "the store is a file of its own. Move that file away, or run with runner.store=false."
        )
    columns = {str(row[1]): str(row[2]) for row in base.execute("PRAGMA table_info(answers)")}
    if len(names) > 1:
        raise sqlite3.DatabaseError(f"it holds {', '.join(names[:3])}")
    if columns != TABLE_COLUMNS:
        raise sqlite3.DatabaseError(f"its predictions have the columns {', '.join(columns)}")


def _file_identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_dev, stat.st_ino


def _set_aside(path: Path, seen: tuple[int, int] | None, damage: str) -> None:
    """Rename a damaged file; if another process was quicker, its fresh one stays."""
    with locks.lock(path, f".{path.name}.lock"):
        if seen is None or _file_identity(path) != seen:
            return
        aside = files.free_path(path, ".damaged-")
        for ending in _FILE_ENDINGS:
            if (old := path.with_name(path.name + ending)).exists():
                old.rename(aside.with_name(aside.name + ending))
    warn_about_store(
        f"The prediction store {str(path)!r} is damaged ({damage}); it only saves time, and is set aside as "
        f"{aside.name!r}. A fresh one is made: missing predictions are fitted again."
    )
