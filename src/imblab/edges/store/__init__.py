"""The prediction store: one SQLite file in WAL mode for many processes, and a journal for each that writes.

What was stored survives the death of its process; a transaction that was cut short was never there. The store holds
predictions and counts only, no row of any table, and may be deleted at any time: missing predictions are fitted again.
A damaged file is set aside, since it only saves time.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from imblab.core.fitting import Prediction
from imblab.edges import files
from imblab.edges.files import locks
from imblab.edges.store.columns import from_columns, to_columns
from imblab.edges.store.journal import JobJournal, Journal, JournalRow, orphaned_rows
from imblab.errors import StudyError, explain_os_error, presentable

DEFAULT_PATH = Path("mlruns") / "predictions.sqlite"
#: A larger file loses its oldest predictions when a study ends.
MAX_STORE_BYTES = 4 * 2**30
#: Seconds after which predictions in the journal enter the database.
FLUSH_SECONDS = 0.5
#: Seconds to wait for another process.
LOCK_SECONDS = 60
#: Addresses in one query; SQLite accepts 999 at least.
_MAX_SQL_ADDRESSES = 500
#: The one table, and the types of its columns.
TABLE_COLUMNS = {"address": "TEXT", "p": "BLOB", "facts": "TEXT", "made": "REAL"}
_CREATE_TABLE = "CREATE TABLE IF NOT EXISTS answers (address TEXT PRIMARY KEY, p BLOB, facts TEXT, made REAL)"
#: Bytes of a prediction, roughly.
_SIZE = "coalesce(length(p), 0) + coalesce(length(facts), 0) + 200"
_AGES = "SELECT min(made), max(made) FROM answers WHERE typeof(made) = 'real' AND abs(made) < 1e11"
#: Failures, which older versions stored, are replaced, and so is a prediction of another number of rows.
_INSERT = """
INSERT INTO answers VALUES (?, ?, ?, ?) ON CONFLICT (address)
DO UPDATE SET p = excluded.p, facts = excluded.facts, "made"=excluded.made
WHERE answers.p IS NULL OR length(answers.p) <> length(excluded.p)
"""
#: The files that SQLite keeps for a database.
_FILE_ENDINGS = ("", "-wal", "-shm")


class SqliteStore:
    """A store of predictions in a file.

    Parameters
    ----------
    path : Path
        Created if it does not exist.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = SqliteStore(Path(folder) / "p.sqlite")
    ...     store.put([("a1", Prediction(np.array([0.25]), True, {"positive": 3}))])
    ...     prediction = store.get("a1")
    ...     store.close()
    >>> prediction.values.tolist(), prediction.reached
    ([0.25], {'positive': 3})
    """

    is_lasting = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_damaged = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StudyError(explain_os_error(error, str(path.parent), "made")) from error
        try:
            self._base = open_database(path)
            self._journal = Journal(path)
            self._rows: list[JournalRow] = []
            self._waiting: dict[str, tuple[bytes | None, str]] = {}
            self._flushed = time.time()
            self.adopt_journals()
        except sqlite3.DatabaseError as error:
            raise self._unusable(error, "opened") from error

    def is_empty(self) -> bool:
        """Whether nothing is stored."""
        if self._rows or self._is_damaged:
            return not self._rows
        try:
            return self._base.execute("SELECT 1 FROM answers LIMIT 1").fetchone() is None
        except sqlite3.DatabaseError as error:
            self._continue_without(error)
            return True

    def journal_opener(self) -> Callable[[], JobJournal]:
        """Return an opener of journals for other processes of this machine; it can be pickled."""
        return partial(JobJournal, self.path)

    def adopt_journals(self) -> dict[str, Prediction]:
        """Store what is in the journals of processes that died, and return it."""
        adopted: dict[str, Prediction | None] = {}
        for rows in orphaned_rows(self.path):
            self._insert(rows)
            adopted |= {address: from_columns(p, facts) for address, p, facts, _ in rows}
        return {address: prediction for address, prediction in adopted.items() if prediction is not None}

    def remove_journal(self, name: str) -> None:
        """Delete a journal whose predictions are stored."""
        files.remove(self.path.parent.resolve(), name)

    def get(self, address: str) -> Prediction | None:
        """Return the stored prediction for an address, or None."""
        return self.get_many([address]).get(address)

    def get_many(self, addresses: Sequence[str]) -> dict[str, Prediction]:
        """Return the stored predictions among many addresses; one query for each took longer than a fit's overhead.

        Failures that older versions stored are not predictions, and damaged rows are deleted: both are fitted anew.
        """
        rows = [(a, *self._waiting[a]) for a in addresses if a in self._waiting]
        for at in range(0, len(addresses), _MAX_SQL_ADDRESSES):
            rows += self._select(addresses[at : at + _MAX_SQL_ADDRESSES])
        predictions = {address: from_columns(p, facts) for address, p, facts in rows if p is not None}
        for address, prediction in predictions.items():
            if prediction is None:
                self._waiting.pop(address, None)
                with suppress(sqlite3.Error):  # if it cannot be deleted, it is fitted again the next time too
                    self._base.execute("DELETE FROM answers WHERE address = ?", (address,))
        return {address: prediction for address, prediction in predictions.items() if prediction is not None}

    def _select(self, addresses: Sequence[str]) -> list[tuple[str, Any, Any]]:
        marks = ", ".join("?" * len(addresses))
        query = f"SELECT address, p, facts FROM answers WHERE address IN ({marks})"
        try:
            return [] if self._is_damaged else self._base.execute(query, addresses).fetchall()
        except sqlite3.OperationalError as error:
            raise self._unusable(error) from error
        except sqlite3.DatabaseError as error:
            self._continue_without(error)
            return []

    def _unusable(self, error: sqlite3.Error, what: str = "used") -> StudyError:
        return StudyError(
            f"the prediction store {str(self.path)!r} cannot be {what} ({error}); it is one SQLite file that this user "
            f"may write. {_suggest_repair(str(error))}"
        )

    def _continue_without(self, error: sqlite3.Error) -> None:
        """Neither read nor write a file with a damaged page from now on: it only saves time."""
        if not self._is_damaged:
            warn_about_store(
                f"The prediction store {str(self.path)!r} is damaged ({error}); it only saves time, and this run "
                "continues without it. Delete it: missing predictions are fitted again."
            )
        self._is_damaged = True

    def put(self, predictions: Iterable[tuple[str, Prediction]]) -> None:
        """Store predictions by their addresses; an address that has one keeps it.

        They survive the process at once; other processes see them after :meth:`flush`, at most a second later.
        """
        now = time.time()
        rows = [(address, *to_columns(prediction), now) for address, prediction in predictions]
        if not rows or self._is_damaged:
            return
        if not self._journal.append(rows):
            self.flush()
            self._insert(rows)
            return
        for address, p, facts, _ in rows:
            self._waiting.setdefault(address, (p, facts))
        self._rows += rows
        if now - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Make everything stored visible to other processes."""
        if self._rows:
            self._insert(self._rows)
            self._journal.close()
            self._rows.clear()
            self._waiting.clear()
        self._flushed = time.time()

    def _insert(self, rows: Sequence[JournalRow]) -> None:
        if not rows or self._is_damaged:
            return
        try:
            self._base.execute("BEGIN IMMEDIATE")
            self._base.executemany(_INSERT, rows)
            self._base.execute("COMMIT")
        except sqlite3.OperationalError as error:
            with suppress(sqlite3.Error):
                self._base.execute("ROLLBACK")
            raise StudyError(
                f"the prediction store {str(self.path)!r} cannot be written ({error}); every finished fit is kept "
                "there. Free the disk and run the same command again: it continues where it stood."
            ) from error
        except sqlite3.DatabaseError as error:
            self._continue_without(error)
        except BaseException:  # Ctrl-C: closing the store writes the rows in a transaction of its own
            with suppress(sqlite3.Error):
                self._base.execute("ROLLBACK")
            raise

    def merge(self, other: Path) -> int:
        """Take over the predictions of another store that this one lacks; damaged ones stay there.

        Returns their number. StudyError if the file is not a store.
        """
        self.flush()
        try:
            source = sqlite3.connect(f"{other.resolve().as_uri()}?mode=ro", uri=True, timeout=LOCK_SECONDS)
            with closing(source):
                _check_database(source, other)
                before = self._base.total_changes
                rows = source.execute("SELECT address, p, facts, made FROM answers WHERE p IS NOT NULL")
                while chunk := rows.fetchmany(_MAX_SQL_ADDRESSES):
                    self._insert([row for row in chunk if from_columns(row[1], row[2]) is not None])
        except sqlite3.DatabaseError as error:
            raise StudyError(
                f"{str(other)!r} cannot be merged ({error}); it is the file of a prediction store, such as "
                "mlruns/predictions.sqlite of another machine. Correct the path, or copy the file again once no run "
                "writes it."
            ) from error
        return self._base.total_changes - before

    def facts(self) -> dict[str, Any]:
        """Return ``path``, ``predictions``, ``bytes``, and the ages of the oldest and newest in days."""
        self.flush()
        with self._damage_as_error():
            (count,) = self._base.execute("SELECT count(*) FROM answers").fetchone()
            first, last = self._base.execute(_AGES).fetchone()
        now = time.time()
        ages = {} if first is None else {"oldest_days": (now - first) / 86400, "newest_days": (now - last) / 86400}
        return {"path": str(self.path), "predictions": count, "bytes": self.size(), **ages}

    def size(self) -> int:
        """Return the bytes of the file and its log."""
        parts = [self.path, self.path.with_name(f"{self.path.name}-wal")]
        return sum(part.stat().st_size for part in parts if part.exists())

    def prune(self, max_bytes: int = MAX_STORE_BYTES) -> int:
        """Delete the oldest predictions until the file fits a size; 0 empties it. Returns the number deleted."""
        self.flush()
        if self.size() <= max_bytes or self._is_damaged:
            return 0
        with self._damage_as_error():
            return self._delete_oldest(max_bytes)

    @contextmanager
    def _damage_as_error(self) -> Iterator[None]:
        """Turn a damaged page into a message."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise self._unusable(error) from error
        except sqlite3.DatabaseError as error:
            raise StudyError(
                f"the prediction store {str(self.path)!r} is damaged ({error}); it only saves time. Delete it: missing "
                "predictions are fitted again."
            ) from error

    def _delete_oldest(self, max_bytes: int) -> int:
        (held,) = self._base.execute(f"SELECT coalesce(sum({_SIZE}), 0) FROM answers").fetchone()
        # A little more than asked, so that the next study does not have to prune again.
        excess = held if max_bytes == 0 else max(0, held - int(0.9 * max_bytes))
        deleted = 0
        for rowid, size in self._base.execute(f"SELECT rowid, {_SIZE} FROM answers ORDER BY made, rowid").fetchall():
            if excess <= 0:
                break
            self._base.execute("DELETE FROM answers WHERE rowid = ?", (rowid,))
            excess, deleted = excess - size, deleted + 1
        self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._base.execute("VACUUM")
        self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return deleted

    def close(self) -> None:
        """Close the file; predictions that cannot be written wait in the journal."""
        try:
            self.flush()
        finally:
            self._base.close()


def _suggest_repair(error: str) -> str:
    if "readonly" in error or "unable to open" in error:
        return "Give this user the right to write there, or work without it: runner.store=false."
    if "full" in error or "I/O" in error:
        return "Make room on the disk and run the same command again."
    return "Delete it (nothing is lost but time), or free the disk."


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
            _check_database(base, path)
            # Without a commit to disk each time: a killed process loses nothing, a dead machine at most the last fits.
            # Pages that hold a prediction of some hundred rows whole.
            for line in ("page_size=16384", "journal_mode=WAL", "synchronous=NORMAL", "journal_size_limit=67108864"):
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


def _check_database(base: sqlite3.Connection, path: Path) -> None:
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
