"""The prediction store: what a fit answered, by the address of everything that decides the answer.

One SQLite file in WAL mode, many processes, and a journal for each that writes: what was put survives the death of its
process, a transaction that was cut short was never there. It holds probabilities and counts only, no row of any table,
and may be deleted at any time: what is missing is fitted again.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from imblab.core.fitting import Prediction
from imblab.edges import files
from imblab.edges.files import locks
from imblab.edges.store.journal import Journal, JournalRow, orphaned_rows
from imblab.errors import StudyError, explain_os_error, presentable
from imblab.fields import (
    check_flag,
    check_scalar,
    check_text,
    integer_check,
    list_check,
    mapping_check,
    parse_json,
    record_check,
)

DEFAULT_PATH = Path("mlruns") / "predictions.sqlite"
#: A file larger than this loses its oldest answers when a study ends.
MAX_STORE_BYTES = 4 * 2**30
#: Seconds after which answers in the journal enter the database.
FLUSH_SECONDS = 0.5
#: Addresses in one question; SQLite takes 999 at least.
_MAX_SQL_ADDRESSES = 500
#: Bytes of an answer, roughly.
_SIZE = "coalesce(length(p), 0) + coalesce(length(facts), 0) + 200"
_AGES = "SELECT min(made), max(made) FROM answers WHERE typeof(made) = 'real' AND abs(made) < 1e11"
#: A failure, which older versions kept, gives way, and so does an answer to another number of rows.
_INSERT = """
INSERT INTO answers VALUES (?, ?, ?, ?) ON CONFLICT (address)
DO UPDATE SET p = excluded.p, facts = excluded.facts, made = excluded.made
WHERE answers.p IS NULL OR length(answers.p) <> length(excluded.p)
"""


class SqliteStore:
    """A store of answers.

    Parameters
    ----------
    path : Path
        Made where it does not exist.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(Path(folder) / "p.sqlite")
    ...     store.put([("a1", Prediction(np.array([0.25]), True, {"positive": 3}))])
    ...     found = store.get("a1")
    ...     store.close()
    >>> found.values.tolist(), found.reached
    ([0.25], {'positive': 3})
    """

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
            for rows in orphaned_rows(path):
                self._insert(rows)
        except sqlite3.DatabaseError as error:
            raise StudyError(
                f"the prediction store {str(path)!r} cannot be opened ({error}); it is one SQLite file that this user "
                f"may write. {_suggest_repair(str(error))}"
            ) from error

    def get(self, address: str) -> Prediction | None:
        """What is known of an address."""
        return self.recall([address]).get(address)

    def recall(self, addresses: Sequence[str]) -> dict[str, Prediction]:
        """What is known of many addresses, asked at once: one by one took longer than a fit's share of all else.

        Failures that older versions kept are not answers, and neither are rows that are damaged: both are fitted anew.
        """
        rows = [(a, *self._waiting[a]) for a in addresses if a in self._waiting]
        for at in range(0, len(addresses), _MAX_SQL_ADDRESSES):
            rows += self._selected(addresses[at : at + _MAX_SQL_ADDRESSES])
        found = {address: _from_columns(p, facts) for address, p, facts in rows if p is not None}
        self._forget([address for address, answer in found.items() if answer is None])
        return {address: answer for address, answer in found.items() if answer is not None}

    def _selected(self, addresses: Sequence[str]) -> list[tuple[str, Any, Any]]:
        marks = ", ".join("?" * len(addresses))
        asked = f"SELECT address, p, facts FROM answers WHERE address IN ({marks})"
        try:
            return [] if self._is_damaged else self._base.execute(asked, addresses).fetchall()
        except sqlite3.OperationalError as error:
            raise self._refused(error) from error
        except sqlite3.DatabaseError as error:
            self._do_without(error)
            return []

    def _refused(self, error: sqlite3.Error) -> StudyError:
        return StudyError(
            f"the prediction store {str(self.path)!r} cannot be used ({error}); it is one SQLite file that this user "
            f"may write. {_suggest_repair(str(error))}"
        )

    def _forget(self, addresses: Sequence[str]) -> None:
        """Delete rows that are damaged, so that the answers of new fits take their places."""
        for address in addresses:
            self._waiting.pop(address, None)
            with suppress(sqlite3.Error):  # where it cannot be deleted, it is fitted again the next time too
                self._base.execute("DELETE FROM answers WHERE address = ?", (address,))

    def _do_without(self, error: sqlite3.Error) -> None:
        """Neither read nor write a file in which a page is damaged: it only saves time."""
        if not self._is_damaged:
            warn_about_store(
                f"The prediction store {str(self.path)!r} is damaged ({error}); it only saves time, and the rest of "
                "this run does without it. Delete it: what is needed is fitted again."
            )
        self._is_damaged = True

    def put(self, answers: Iterable[tuple[str, Prediction]]) -> None:
        """Keep some answers, all or none. A failure is a row of its study, never an answer.

        They outlive this process at once; other processes see them after :meth:`flush`, at most a second later.
        """
        now = time.time()
        rows = [(address, *_to_columns(answer), now) for address, answer in answers]
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
        """Let other processes see every answer."""
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
            self._do_without(error)

    def facts(self) -> dict[str, Any]:
        """How much is there: ``path``, ``answers``, ``bytes``, the ages of the oldest and newest in days."""
        self.flush()
        with self._readable():
            (count,) = self._base.execute("SELECT count(*) FROM answers").fetchone()
            first, last = self._base.execute(_AGES).fetchone()
        now = time.time()
        ages = {} if first is None else {"oldest_days": (now - first) / 86400, "newest_days": (now - last) / 86400}
        return {"path": str(self.path), "answers": count, "bytes": self.size(), **ages}

    def size(self) -> int:
        """Bytes of the file and its log."""
        files = [self.path, self.path.with_name(f"{self.path.name}-wal")]
        return sum(f.stat().st_size for f in files if f.exists())

    def prune(self, most: int = MAX_STORE_BYTES) -> int:
        """Delete the oldest answers until the file holds at most so many bytes.

        Parameters
        ----------
        most : int
            0 empties the store.

        Returns
        -------
        int
            How many answers went.
        """
        self.flush()
        if self.size() <= most or self._is_damaged:
            return 0
        with self._readable():
            return self._pruned(most)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """A page that is damaged is a message."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise self._refused(error) from error
        except sqlite3.DatabaseError as error:
            raise StudyError(
                f"the prediction store {str(self.path)!r} is damaged ({error}); it only saves time. Delete it: what is "
                "needed is fitted again."
            ) from error

    def _pruned(self, most: int) -> int:
        total = self._base.execute(f"SELECT count(*), coalesce(sum({_SIZE}), 0) FROM answers")
        count, held = total.fetchone()
        # A little more than asked, so that the next study does not have to prune again.
        excess = held if most == 0 else max(0, held - int(0.9 * most))
        gone = 0
        for rowid, size in self._base.execute(f"SELECT rowid, {_SIZE} FROM answers ORDER BY made, rowid").fetchall():
            if excess <= 0:
                break
            self._base.execute("DELETE FROM answers WHERE rowid = ?", (rowid,))
            excess, gone = excess - size, gone + 1
        self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._base.execute("VACUUM")
        self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return int(min(gone, count))

    def close(self) -> None:
        """Release the file; if its answers cannot be written, they wait in the journal."""
        try:
            self.flush()
        finally:
            self._base.close()


def _suggest_repair(said: str) -> str:
    if "readonly" in said or "unable to open" in said:
        return "Give this user the right to write there, or work without it: runner.store=false."
    if "full" in said or "I/O" in said:
        return "Make room on the disk and run the same command again."
    return "Delete it (nothing is lost but time), or free the disk."


def _to_columns(answer: Prediction) -> tuple[bytes, str]:
    facts = _facts_text(answer.is_probability, tuple(answer.reached.items()), answer.notes)
    return np.ascontiguousarray(answer.values, dtype="<f8").tobytes(), facts


@lru_cache(maxsize=256)
def _facts_text(is_probability: bool, reached: tuple[tuple[str, Any], ...], notes: tuple[str, ...]) -> str:
    """What few answers differ in, as text."""
    return json.dumps({"calibrated": is_probability, "reached": dict(reached), "notes": list(notes)})


def _from_columns(p: Any, text: Any) -> Prediction | None:
    """The prediction behind a row; None for a row that is damaged."""
    if type(p) is not bytes or type(text) is not str or not p or len(p) % 8:
        return None
    facts, values = _read_facts(text), np.frombuffer(p, dtype="<f8")
    if facts is None or not np.isfinite(values).all():
        return None
    if facts["calibrated"] and not (values.min() >= 0 and values.max() <= 1):
        return None
    return Prediction(values, facts["calibrated"], dict(facts["reached"]), facts["notes"])


@lru_cache(maxsize=256)
def _read_facts(text: str) -> dict[str, Any] | None:
    """What few answers differ in, from its text; None where that is damaged."""
    try:
        found: dict[str, Any] = _FACTS_FORMAT(parse_json(text), "")
    except (ValueError, RecursionError):
        return None
    return found


_FACTS_FORMAT = record_check(
    {
        "calibrated": check_flag,
        "reached": mapping_check(check_scalar, dict.fromkeys(("negative", "positive"), integer_check())),
        "notes": list_check(check_text),
    },
    ("calibrated", "reached", "notes"),
)


#: Seconds to wait for another process.
LOCK_SECONDS = 60
#: The one table, and the types of its columns.
TABLE_COLUMNS = {"address": "TEXT", "p": "BLOB", "facts": "TEXT", "made": "REAL"}
_CREATE_TABLE = "CREATE TABLE IF NOT EXISTS answers (address TEXT PRIMARY KEY, p BLOB, facts TEXT, made REAL)"
#: The files that SQLite keeps next to a database.
_BESIDE = ("", "-wal", "-shm")


def open_database(path: Path) -> sqlite3.Connection:
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
            return _open_connection(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            wrong = str(error)
        _set_aside(path, seen, wrong)
    return _open_connection(path)


def warn_about_store(text: str) -> None:
    """Say on standard error what became of the store."""
    print(presentable(text), file=sys.stderr)


def _open_connection(path: Path) -> sqlite3.Connection:
    """A connection to the file, made if need be; where several processes make it at once, the others wait."""
    base = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
    begin = time.monotonic()
    while True:
        try:
            # Before anything is written: another program's database stays as it is.
            _check_database(base, path)
            # Without a commit to disk each time: a killed process loses nothing, a dead machine at most the last fits.
            # Pages that hold an answer of some hundred rows whole.
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


def _table_names(base: sqlite3.Connection) -> list[str]:
    return [str(name) for (name,) in base.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")]


def _check_database(base: sqlite3.Connection, path: Path) -> None:
    """Refuse a database of something else, and one whose answers are not the store's; a fresh one has nothing yet."""
    if not (found := _table_names(base)):
        return
    if "answers" not in found:
        raise StudyError(
            f"the prediction store {str(path)!r} is the database of something else (it holds {', '.join(found[:3])}); "
            "the store is a file of its own. Move that file away, or run with runner.store=false."
        )
    columns = {str(row[1]): str(row[2]) for row in base.execute("PRAGMA table_info(answers)")}
    if len(found) > 1:
        raise sqlite3.DatabaseError(f"it holds {', '.join(found[:3])}")
    if columns != TABLE_COLUMNS:
        raise sqlite3.DatabaseError(f"its answers have the columns {', '.join(columns)}")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _set_aside(path: Path, seen: tuple[int, int] | None, wrong: str) -> None:
    """Rename a damaged file; where another process was quicker, its fresh one stays."""
    with locks.lock(path, f".{path.name}.lock"):
        if seen is None or _identity(path) != seen:
            return
        aside = files.free_path(path, ".damaged-")
        for end in _BESIDE:
            if (old := path.with_name(path.name + end)).exists():
                old.rename(aside.with_name(aside.name + end))
    warn_about_store(
        f"The prediction store {str(path)!r} is damaged ({wrong}); it only saves time, and is set aside as "
        f"{aside.name!r}. A fresh one is made: what is needed is fitted again."
    )
