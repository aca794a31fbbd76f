"""The prediction store: what a fit answered, by the address of everything that decides the answer.

One SQLite file in WAL mode, many processes, and a journal for each that writes: what was put survives the death of its
process, a transaction that was cut short was never there. It holds probabilities and counts only, no row of any table,
and may be deleted at any time: what is missing is fitted again.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from imblab.core.pipelines import Prediction
from imblab.edges.store.journal import Journal, Row, orphans
from imblab.errors import StudyError, refusal

DEFAULT = Path("mlruns") / "predictions.sqlite"
#: A file larger than this loses its oldest answers when a study ends.
MOST_BYTES = 4 * 2**30
#: Seconds to wait for another process.
PATIENCE = 60
#: Seconds after which answers in the journal enter the database.
DELAY = 0.5
#: Addresses in one question; SQLite takes 999 at least.
_AT_ONCE = 500
#: A failure, which older versions kept, gives way.
_INSERT = """
INSERT INTO answers VALUES (?, ?, ?, ?) ON CONFLICT (address)
DO UPDATE SET p = excluded.p, facts = excluded.facts, made = excluded.made WHERE answers.p IS NULL
"""


class Store:
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
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StudyError(refusal(error, str(path.parent), "made")) from error
        try:
            self._base = _opened(path)
            self._journal = Journal(path)
            self._rows: list[Row] = []
            self._waiting: dict[str, tuple[bytes | None, str]] = {}
            self._flushed = time.time()
            for rows in orphans(path):
                self._insert(rows)
        except sqlite3.DatabaseError as error:
            raise StudyError(
                f"the prediction store {str(path)!r} cannot be opened ({error}); it is one SQLite file that this user "
                f"may write. {_way_out(str(error))}"
            ) from error

    def get(self, address: str) -> Prediction | None:
        """What is known of an address."""
        return self.recall([address]).get(address)

    def recall(self, addresses: Sequence[str]) -> dict[str, Prediction]:
        """What is known of many addresses, asked at once: one by one took longer than a fit's share of all else.

        Failures that older versions kept are not answers.
        """
        rows = [(a, *self._waiting[a]) for a in addresses if a in self._waiting]
        for at in range(0, len(addresses), _AT_ONCE):
            some = addresses[at : at + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            rows += self._base.execute(f"SELECT address, p, facts FROM answers WHERE address IN ({marks})", some)
        return {address: _answer(p, facts) for address, p, facts in rows if p is not None}

    def put(self, answers: Iterable[tuple[str, Prediction]]) -> None:
        """Keep some answers, all or none. A failure is a row of its study, never an answer.

        They outlive this process at once; other processes see them after :meth:`flush`, at most a second later.
        """
        now = time.time()
        rows = [(address, *_row(answer), now) for address, answer in answers]
        if not rows:
            return
        if not self._journal.append(rows):
            self.flush()
            self._insert(rows)
            return
        for address, p, facts, _ in rows:
            self._waiting.setdefault(address, (p, facts))
        self._rows += rows
        if now - self._flushed > DELAY:
            self.flush()

    def flush(self) -> None:
        """Let other processes see every answer."""
        if self._rows:
            self._insert(self._rows)
            self._journal.close()
            self._rows.clear()
            self._waiting.clear()
        self._flushed = time.time()

    def _insert(self, rows: Sequence[Row]) -> None:
        if not rows:
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

    def facts(self) -> dict[str, Any]:
        """How much is there: ``path``, ``answers``, ``bytes``, the ages of the oldest and newest in days."""
        self.flush()
        count, first, last = self._base.execute("SELECT count(*), min(made), max(made) FROM answers").fetchone()
        now = time.time()
        ages = {"oldest_days": (now - first) / 86400, "newest_days": (now - last) / 86400} if count else {}
        return {"path": str(self.path), "answers": count, "bytes": self.size(), **ages}

    def size(self) -> int:
        """Bytes of the file and its log."""
        files = [self.path, self.path.with_name(f"{self.path.name}-wal")]
        return sum(f.stat().st_size for f in files if f.exists())

    def prune(self, most: int = MOST_BYTES) -> int:
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
        if self.size() <= most:
            return 0
        total = self._base.execute("SELECT count(*), coalesce(sum(length(p) + length(facts) + 200), 0) FROM answers")
        count, held = total.fetchone()
        # A little more than asked, so that the next study does not have to prune again.
        excess = held if most == 0 else max(0, held - int(0.9 * most))
        gone = 0
        for rowid, size in self._base.execute(
            "SELECT rowid, length(p) + length(facts) + 200 FROM answers ORDER BY made, rowid"
        ).fetchall():
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


def _way_out(said: str) -> str:
    if "readonly" in said or "unable to open" in said:
        return "Give this user the right to write there, or work without it: runner.store=false."
    if "full" in said or "I/O" in said:
        return "Make room on the disk and run the same command again."
    return "Delete it (nothing is lost but time), or free the disk."


def _opened(path: Path) -> sqlite3.Connection:
    """A connection to the file, made if need be; where several processes make it at once, the others wait."""
    base = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    begin = time.monotonic()
    while True:
        try:
            # Without a commit to disk each time: a killed process loses nothing, a dead machine at most the last fits.
            # Pages that hold an answer of some hundred rows whole.
            for line in ("page_size=16384", "journal_mode=WAL", "synchronous=NORMAL", "journal_size_limit=67108864"):
                base.execute(f"PRAGMA {line}")
            base.execute("CREATE TABLE IF NOT EXISTS answers (address TEXT PRIMARY KEY, p BLOB, facts TEXT, made REAL)")
            return base
        except sqlite3.OperationalError as error:
            # The change to WAL does not wait for a lock by itself.
            if "locked" not in str(error) or time.monotonic() - begin > PATIENCE:
                raise
            time.sleep(0.02)


def _row(answer: Prediction) -> tuple[bytes, str]:
    facts = _facts(answer.is_probability, tuple(answer.reached.items()), answer.notes)
    return np.ascontiguousarray(answer.values, dtype="<f8").tobytes(), facts


@lru_cache(maxsize=256)
def _facts(is_probability: bool, reached: tuple[tuple[str, Any], ...], notes: tuple[str, ...]) -> str:
    """What few answers differ in, as text."""
    return json.dumps({"calibrated": is_probability, "reached": dict(reached), "notes": list(notes)})


def _answer(p: bytes, text: str) -> Prediction:
    facts = json.loads(text)
    return Prediction(np.frombuffer(p, dtype="<f8"), facts["calibrated"], facts["reached"], tuple(facts["notes"]))
