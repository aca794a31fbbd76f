"""The database of the prediction store: opened, made, and set aside where it is damaged, since it only saves time."""

from __future__ import annotations

import sqlite3
import sys
import time
from pathlib import Path

from imblab.edges import files
from imblab.errors import StudyError, presentable

#: Seconds to wait for another process.
PATIENCE = 60
#: The one table, and the types of its columns.
COLUMNS = {"address": "TEXT", "p": "BLOB", "facts": "TEXT", "made": "REAL"}
_TABLE = "CREATE TABLE IF NOT EXISTS answers (address TEXT PRIMARY KEY, p BLOB, facts TEXT, made REAL)"
#: The files that SQLite keeps next to a database.
_BESIDE = ("", "-wal", "-shm")


def connected(path: Path) -> sqlite3.Connection:
    """Open the database of answers; one that is damaged is set aside, and a fresh one is made.

    Parameters
    ----------
    path : Path
        Of the file; made where it does not exist.

    Returns
    -------
    Connection

    Raises
    ------
    StudyError
        If the file is the database of something else.
    sqlite3.OperationalError
        If the file cannot be opened or written.
    """
    for _ in range(2):
        seen = _identity(path)
        try:
            return _opened(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            wrong = str(error)
        _set_aside(path, seen, wrong)
    return _opened(path)


def say(text: str) -> None:
    """Say on standard error what became of the store."""
    print(presentable(text), file=sys.stderr)


def _opened(path: Path) -> sqlite3.Connection:
    """A connection to the file, made if need be; where several processes make it at once, the others wait."""
    base = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    begin = time.monotonic()
    while True:
        try:
            # Before anything is written: another program's database stays as it is.
            _check(base, path)
            # Without a commit to disk each time: a killed process loses nothing, a dead machine at most the last fits.
            # Pages that hold an answer of some hundred rows whole.
            for line in ("page_size=16384", "journal_mode=WAL", "synchronous=NORMAL", "journal_size_limit=67108864"):
                base.execute(f"PRAGMA {line}")
            base.execute(_TABLE)
            return base
        except sqlite3.OperationalError as error:
            # The change to WAL does not wait for a lock by itself.
            if "locked" not in str(error) or time.monotonic() - begin > PATIENCE:
                base.close()
                raise
            time.sleep(0.02)
        except BaseException:
            base.close()
            raise


def _names(base: sqlite3.Connection) -> list[str]:
    return [str(name) for (name,) in base.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")]


def _check(base: sqlite3.Connection, path: Path) -> None:
    """Refuse a database of something else, and one whose answers are not the store's; a fresh one has nothing yet."""
    if not (found := _names(base)):
        return
    if "answers" not in found:
        raise StudyError(
            f"the prediction store {str(path)!r} is the database of something else (it holds {', '.join(found[:3])}); "
            "the store is a file of its own. Move that file away, or run with runner.store=false."
        )
    columns = {str(row[1]): str(row[2]) for row in base.execute("PRAGMA table_info(answers)")}
    if len(found) > 1:
        raise sqlite3.DatabaseError(f"it holds {', '.join(found[:3])}")
    if columns != COLUMNS:
        raise sqlite3.DatabaseError(f"its answers have the columns {', '.join(columns)}")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _set_aside(path: Path, seen: tuple[int, int] | None, wrong: str) -> None:
    """Rename a damaged file; where another process was quicker, its fresh one stays."""
    with files.locked(path, f".{path.name}.lock"):
        if seen is None or _identity(path) != seen:
            return
        number = 1
        while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
            number += 1
        for end in _BESIDE:
            if (old := path.with_name(path.name + end)).exists():
                old.rename(aside.with_name(aside.name + end))
    say(
        f"The prediction store {str(path)!r} is damaged ({wrong}); it only saves time, and is set aside as "
        f"{aside.name!r}. A fresh one is made: what is needed is fitted again."
    )
