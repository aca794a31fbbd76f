"""The SQLite file of the prediction store: opened, or set aside where it is damaged; its rows, size, limit and journal.

In a *journal* predictions are on their way into the store: appended to a file in a few microseconds. A commit for each
fit took as long as a draw of SMOTE. Written bytes belong to the kernel, so that a killed process loses nothing, and
many predictions enter the database at once. The lock on the file ends with its process; the next process that opens the
store takes the rows over.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sqlite3
import struct
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import accumulate, pairwise
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from imblab import fields
from imblab.core.fitting import Prediction
from imblab.edges import files
from imblab.edges.files import locks
from imblab.errors import StudyError, presentable

#: Seconds to wait for another process.
LOCK_SECONDS = 60
#: The one table, and the types of its columns.
TABLE_COLUMNS = {"address": "TEXT", "p": "BLOB", "facts": "TEXT", "made": "REAL"}
_CREATE_TABLE = "CREATE TABLE IF NOT EXISTS answers (address TEXT PRIMARY KEY, p BLOB, facts TEXT, made REAL)"
_FILE_ENDINGS = ("", "-wal", "-shm")
#: A larger file loses its oldest predictions when a study ends, unless a study has raised the limit.
MAX_STORE_BYTES = 4 * 2**30
#: The share of the limit that is kept where a file is larger, so that the next study does not have to prune again.
KEPT_SHARE = 0.9
#: A study that needs more raises the limit.
MAX_STUDY_BYTES = int(KEPT_SHARE * MAX_STORE_BYTES)
#: Free space of the disk that no raised limit takes.
MIN_FREE_BYTES = 2**30
PAGE_BYTES = 16384
#: Bytes of a row next to its values: address, facts as JSON, time, and the header.
_ROW_BYTES = 16 + 120 + 8 + 8
#: Bytes of an entry in the index of addresses, whose pages are two thirds full.
_INDEX_BYTES = 36
#: Bytes of a row in its page next to its content, and of the link to its further pages.
_CELL_BYTES, _LINK_BYTES = 8, 4
#: Pages of an empty file.
_EMPTY_PAGES = 3
#: Address, values as bytes, facts as JSON, time.
JournalRow = tuple[str, bytes | None, str, float]
JOURNAL_SUFFIX = ".journal"
_GROUP = struct.Struct("<Q")
_ROW = struct.Struct("<IqId")


def warn_about_store(message: str) -> None:
    """Print a message about the store on standard error."""
    print(presentable(message), file=sys.stderr)


def open_database(path: Path) -> sqlite3.Connection:
    """Open the database; a damaged one is set aside and replaced, that of another program refused by a StudyError."""
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
            base.execute(f"PRAGMA page_size={PAGE_BYTES}")
            for line in ("journal_mode=WAL", "synchronous=NORMAL", "journal_size_limit=67108864"):
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


def check_database(
    base: sqlite3.Connection, path: Path, way_out: str = "Move that file away, or run with runner.store=false"
) -> None:
    """Refuse a database of another program; a table of other columns counts as damaged, a fresh file has none yet."""
    query = "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
    names = [str(name) for (name,) in base.execute(query)]
    if not names:
        return
    if "answers" not in names:
        raise StudyError(
            f"the prediction store {str(path)!r} is the database of another program (it holds {', '.join(names[:3])}); "
            f"the store is a file of its own. {way_out}."
        )
    columns = {str(row[1]): str(row[2]) for row in base.execute("PRAGMA table_info(answers)")}
    if len(names) > 1:
        raise sqlite3.DatabaseError(f"it holds {', '.join(names[:3])}")
    if columns != TABLE_COLUMNS:
        raise sqlite3.DatabaseError(f"its predictions have the columns {', '.join(columns)}")


def _file_identity(path: Path) -> tuple[int, int] | None:
    with suppress(FileNotFoundError):
        stat = path.stat()
        return stat.st_dev, stat.st_ino
    return None


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


def stored_bytes(predictions: Mapping[int, int]) -> int:
    """Estimate the bytes of a file that holds some predictions, counted by the number of their values of 8 bytes.

    SQLite fills its pages one after the other; a row that is larger than a page has pages of its own.
    """
    used = sum(count * row_bytes(n_values) for n_values, count in predictions.items())
    return ceil(used) + _EMPTY_PAGES * PAGE_BYTES


def row_bytes(n_values: int) -> float:
    """Estimate the bytes of a prediction of some values in the file, with its entry in the index of addresses."""
    return _table_bytes(n_values) + _INDEX_BYTES


def _table_bytes(n_values: int) -> float:
    """Bytes of a row, with its share of what stays empty in its pages; as SQLite's file format lays them out."""
    payload, largest = 8 * n_values + _ROW_BYTES, PAGE_BYTES - 35
    if payload <= largest:
        return PAGE_BYTES / ((PAGE_BYTES - 8) // (payload + _CELL_BYTES))
    least = (PAGE_BYTES - 12) * 32 // 255 - 23
    local = least + (payload - least) % (PAGE_BYTES - _LINK_BYTES)
    local = local if local <= largest else least
    n_further = ceil((payload - local) / (PAGE_BYTES - _LINK_BYTES))
    return PAGE_BYTES * (1 / ((PAGE_BYTES - 8) // (local + _LINK_BYTES + _CELL_BYTES)) + n_further)


def raised_limit(needed: int, limit: int, size: int, free: int) -> int:
    """Return the limit of a store for a study whose predictions need some bytes; it is never lowered.

    So much that they stay when the oldest are deleted, as far as a gigabyte of the disk stays free. ``limit`` and
    ``size`` are those of the store so far, ``free`` that of the disk, all in bytes.
    """
    if needed <= KEPT_SHARE * limit:
        return limit
    affordable = size + max(0, free - MIN_FREE_BYTES)
    return max(limit, min(ceil(needed / KEPT_SHARE), affordable))


def free_bytes(path: Path) -> int:
    """Return the free bytes of the disk of a path, which need not exist."""
    existing = next(folder for folder in (path, *path.resolve().parents) if folder.exists())
    return shutil.disk_usage(existing).free


def to_columns(prediction: Prediction) -> tuple[bytes, str]:
    """Return the bytes of the values and a line of JSON with everything else."""
    columns = None if prediction.values.ndim == 1 else prediction.values.shape[1]
    facts = _facts_text(prediction.is_probability, tuple(prediction.reached.items()), prediction.notes, columns)
    return np.ascontiguousarray(prediction.values, dtype="<f8").tobytes(), facts


@lru_cache(maxsize=256)
def _facts_text(
    is_probability: bool, reached: tuple[tuple[str, Any], ...], notes: tuple[str, ...], columns: int | None
) -> str:
    facts = {"calibrated": is_probability, "reached": dict(reached), "notes": list(notes)}
    return json.dumps(facts if columns is None else {**facts, "columns": columns})


_ROWS = fields.integer_check()
_FACTS_FORMAT = fields.record_check(
    {
        "calibrated": fields.check_flag,
        "reached": fields.mapping_check(
            fields.check_scalar, {"negative": _ROWS, "positive": _ROWS, "classes": fields.list_check(_ROWS)}
        ),
        "notes": fields.list_check(fields.check_text),
        # Of predictions with one column per class; those of two classes are one.
        "columns": fields.integer_check(3),
    },
    ("calibrated", "reached", "notes"),
)


@lru_cache(maxsize=256)
def _parse_facts(line: str) -> dict[str, Any] | None:
    try:
        facts: dict[str, Any] = _FACTS_FORMAT(fields.parse_json(line), "")
    except (ValueError, RecursionError):
        return None
    return facts


def from_columns(p: Any, facts_text: Any) -> Prediction | None:
    """Return the prediction in a row; None if the row is damaged."""
    if type(p) is not bytes or type(facts_text) is not str or not p or len(p) % 8:
        return None
    facts, values = _parse_facts(facts_text), np.frombuffer(p, dtype="<f8")
    if facts is None or not np.isfinite(values).all():
        return None
    if facts["calibrated"] and not (values.min() >= 0 and values.max() <= 1):
        return None
    if columns := facts.get("columns"):
        if len(values) % columns:
            return None
        values = values.reshape(-1, columns)
    return Prediction(values, facts["calibrated"], dict(facts["reached"]), facts["notes"])


class Journal:
    """The rows of one process, or of one job in a worker, that the database in the same folder does not have yet."""

    def __init__(self, database: Path) -> None:
        self._prefix = f"{database.name}."
        self._folder = database.parent.resolve()
        self._name: str | None = None
        self._end = 0

    def append(self, rows: Sequence[JournalRow]) -> bool:
        """Write rows, all or none; False if the disk is full."""
        if self._name is None:
            self._file, self._name = locks.create_locked(self._folder, self._prefix, JOURNAL_SUFFIX)
        data = b"".join(map(_pack_row, rows))
        group = _GROUP.pack(len(data)) + data
        try:
            written = os.pwrite(self._file, group, self._end)
        except OSError:
            written = -1
        if written < len(group):
            os.ftruncate(self._file, self._end)
            return False
        self._end += written
        return True

    def put(self, predictions: Iterable[tuple[str, Prediction]]) -> None:
        """Append predictions by their addresses; on a full disk they are kept by the run alone."""
        if rows := prediction_rows(predictions):
            self.append(rows)

    def close(self) -> None:
        """Remove the file, once the database holds its rows."""
        if self._name is not None:
            files.remove(self._folder, self._name)
            self.release()

    def release(self) -> str | None:
        """Unlock the file and leave it to another process; returns its name, or None if there is none."""
        name = self._name
        if name is not None:
            os.close(self._file)
            self._name, self._end = None, 0
        return name


def prediction_rows(predictions: Iterable[tuple[str, Prediction]]) -> list[JournalRow]:
    """Predictions by their addresses as rows of now."""
    now = time.time()
    return [(address, *to_columns(prediction), now) for address, prediction in predictions]


def orphaned_rows(database: Path) -> Iterator[list[JournalRow]]:
    """Yield the rows of processes that died; each journal is removed once its rows are taken."""
    folder = database.parent.resolve()
    for name in files.file_names(folder):
        if not (name.startswith(f"{database.name}.") and name.endswith(JOURNAL_SUFFIX)):
            continue
        with suppress(FileNotFoundError, locks.LockHeld), locks.open_unlocked(folder, name) as file:
            yield _undamaged_rows(file.read())
            files.remove(folder, name)


def _pack_row(row: JournalRow) -> bytes:
    address, values, facts, timestamp = row
    parts = address.encode(), values or b"", facts.encode()
    lengths = len(parts[0]), -1 if values is None else len(values), len(parts[2])
    return _ROW.pack(*lengths, timestamp) + b"".join(parts)


def _undamaged_rows(data: bytes) -> list[JournalRow]:
    """Return the rows before the first damaged one: the others are fitted again."""
    rows, at = list[JournalRow](), 0
    with suppress(struct.error, UnicodeDecodeError):
        while at + _GROUP.size <= len(data):
            at += _GROUP.size
            end = at + _GROUP.unpack_from(data, at - _GROUP.size)[0]
            if end > len(data):  # cut short: it was never there
                break
            while at < end:
                first, second, third, timestamp = _ROW.unpack_from(data, at)
                edges = list(accumulate((first, max(second, 0), third), initial=at + _ROW.size))
                address, values, facts = (data[a:b] for a, b in pairwise(edges))
                moment = timestamp if math.isfinite(timestamp) else 0.0
                rows.append((address.decode(), None if second < 0 else values, facts.decode(), moment))
                at = edges[-1]
    return rows
