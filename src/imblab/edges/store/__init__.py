"""The prediction store: one SQLite file in WAL mode for many processes, and a journal for each that writes.

What was stored survives the death of its process; a transaction that was cut short was never there. The store holds
predictions and counts only, no row of any table, and may be deleted at any time: missing predictions are fitted again.
A damaged file is set aside, since it only saves time.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

from imblab.core.fitting import Prediction
from imblab.edges import files
from imblab.edges.store.database import (
    KEPT_SHARE,
    LOCK_SECONDS,
    MAX_STORE_BYTES as MAX_STORE_BYTES,
    MAX_STUDY_BYTES as MAX_STUDY_BYTES,
    Journal,
    JournalRow,
    check_database,
    free_bytes as free_bytes,
    from_columns,
    open_database,
    orphaned_rows,
    prediction_rows,
    raised_limit as raised_limit,
    row_bytes,
    stored_bytes as stored_bytes,
    warn_about_store,
)
from imblab.errors import StudyError, explain_os_error

DEFAULT_PATH = Path("mlruns") / "predictions.sqlite"
#: Seconds after which predictions in the journal enter the database.
FLUSH_SECONDS = 0.5
#: Addresses in one query; SQLite accepts 999 at least.
_MAX_SQL_ADDRESSES = 500
#: Bytes in which the file keeps a raised limit, and the largest number of them.
_LIMIT_UNIT, _MAX_LIMIT = 2**20, 2**31 - 1
_AGES = "SELECT min(made), max(made) FROM answers WHERE typeof(made) = 'real' AND abs(made) < 1e11"
#: Failures, which older versions stored, are replaced, and so is a prediction of another number of rows.
_INSERT = """
INSERT INTO answers VALUES (?, ?, ?, ?) ON CONFLICT (address)
DO UPDATE SET p = excluded.p, facts = excluded.facts, "made"=excluded.made
WHERE answers.p IS NULL OR length(answers.p) <> length(excluded.p)
"""


class SqliteStore:
    """A store of predictions in a file, created if it does not exist."""

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

    def journal_opener(self) -> Callable[[], Journal]:
        """Return an opener of journals for other processes of this machine; it can be pickled."""
        return partial(Journal, self.path)

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
        """Store predictions by their addresses, the first of each; other processes see them after :meth:`flush`."""
        rows = prediction_rows(predictions)
        if not rows or self._is_damaged:
            return
        if not self._journal.append(rows):
            self.flush()
            self._insert(rows)
            return
        for address, p, facts, _ in rows:
            self._waiting.setdefault(address, (p, facts))
        self._rows += rows
        if time.time() - self._flushed > FLUSH_SECONDS:
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
        """Take over what another store has and this one lacks, and a larger limit; returns how many predictions."""
        self.flush()
        try:
            source = sqlite3.connect(f"{other.resolve().as_uri()}?mode=ro", uri=True, timeout=LOCK_SECONDS)
            with closing(source):
                check_database(source, other, "Correct the path")
                before = self._base.total_changes
                rows = source.execute("SELECT address, p, facts, made FROM answers WHERE p IS NOT NULL")
                while chunk := rows.fetchmany(_MAX_SQL_ADDRESSES):
                    self._insert([row for row in chunk if from_columns(row[1], row[2]) is not None])
                if (limit := source.execute("PRAGMA user_version").fetchone()[0] * _LIMIT_UNIT) > self.limit():
                    self._set_limit(limit)
        except sqlite3.DatabaseError as error:
            raise StudyError(
                f"{str(other)!r} cannot be merged ({error}); it is the file of a prediction store, such as "
                "mlruns/predictions.sqlite of another machine. Correct the path, or copy the file again once no run "
                "writes it."
            ) from error
        return self._base.total_changes - before

    def facts(self) -> dict[str, Any]:
        """Return ``path``, ``predictions``, ``bytes``, ``limit``, and the ages of the oldest and newest in days."""
        self.flush()
        with self._damage_as_error():
            (count,) = self._base.execute("SELECT count(*) FROM answers").fetchone()
            first, last = self._base.execute(_AGES).fetchone()
        now = time.time()
        ages = {} if first is None else {"oldest_days": (now - first) / 86400, "newest_days": (now - last) / 86400}
        return {"path": str(self.path), "predictions": count, "bytes": self.size(), "limit": self.limit(), **ages}

    def size(self) -> int:
        """Return the bytes of the file and its log."""
        parts = [self.path, self.path.with_name(f"{self.path.name}-wal")]
        return sum(part.stat().st_size for part in parts if part.exists())

    def limit(self) -> int:
        """Return the bytes beyond which the oldest predictions are deleted when a study ends."""
        with self._damage_as_error():
            (raised,) = self._base.execute("PRAGMA user_version").fetchone()
        return max(MAX_STORE_BYTES, int(raised) * _LIMIT_UNIT)

    def raise_limit(self, needed: int) -> int:
        """Raise the limit for a study, as far as the disk is free, until :meth:`prune` is given a size; return it."""
        self.flush()
        before = self.limit()
        limit = raised_limit(needed, before, self.size(), free_bytes(self.path))
        if limit > before and not self._is_damaged:
            self._set_limit(limit)
        return self.limit()

    def _set_limit(self, limit: int) -> None:
        """Keep a limit in the header of the file, where older versions read nothing."""
        with self._damage_as_error():
            self._base.execute(f"PRAGMA user_version = {min(ceil(limit / _LIMIT_UNIT), _MAX_LIMIT)}")

    def prune(self, max_bytes: int | None = None) -> int:
        """Delete the oldest predictions until the file fits a size, its limit by default; 0 empties it.

        A raised limit is lowered to the size. Returns the number deleted.
        """
        self.flush()
        if self._is_damaged:
            return 0
        limit = self.limit()
        if max_bytes is None:
            max_bytes = limit
        elif max_bytes < limit > MAX_STORE_BYTES:
            self._set_limit(max_bytes)
        if self.size() <= max_bytes:
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
        # What waits in the log takes space of its own.
        self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if self.size() <= max_bytes:
            return 0
        query = "SELECT rowid, coalesce(length(p), 0) / 8 FROM answers ORDER BY made, rowid"
        rows = self._base.execute(query).fetchall()
        sizes = {n_values: row_bytes(n_values) for n_values in {n_values for _, n_values in rows}}
        pages, free_pages, page_bytes = (
            self._base.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        # The file knows best how much all rows take together.
        used = (pages - free_pages) * page_bytes
        scale = used / max(1.0, sum(sizes[n_values] for _, n_values in rows))
        excess = used if max_bytes == 0 else used - KEPT_SHARE * max_bytes
        deleted = 0
        for rowid, n_values in rows:
            if excess <= 0 < max_bytes:
                break
            self._base.execute("DELETE FROM answers WHERE rowid = ?", (rowid,))
            excess, deleted = excess - scale * sizes[n_values], deleted + 1
        if not deleted and not free_pages:
            return 0
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
