"""Journal of predictions on their way into the store: appended to a file in a few microseconds.

A commit for each fit took as long as a draw of SMOTE. Written bytes belong to the kernel, so that a killed process
loses nothing, and many predictions enter the database at once. The lock on the file ends with its process; the next
process that opens the store takes the rows over.
"""

from __future__ import annotations

import math
import os
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate, pairwise
from pathlib import Path

from imblab.core.fitting import Prediction
from imblab.edges import files
from imblab.edges.files import locks
from imblab.edges.store.database import to_columns

#: Address, values as bytes, facts as JSON, time.
JournalRow = tuple[str, bytes | None, str, float]
#: The end of a journal's name.
JOURNAL_SUFFIX = ".journal"
_GROUP = struct.Struct("<Q")
_ROW = struct.Struct("<IqId")


class Journal:
    """The rows of one process that are not in the database yet.

    Parameters
    ----------
    database : Path
        The journal is written into its folder.
    """

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


class JobJournal:
    """The predictions of one job in a worker, until the run has them: it ends with the job, its file does not.

    Parameters
    ----------
    database : Path
        Of the store that the run writes.
    """

    def __init__(self, database: Path) -> None:
        self._journal = Journal(database)

    def put(self, predictions: Iterable[tuple[str, Prediction]]) -> None:
        """Append predictions by their addresses; on a full disk they are kept by the run alone."""
        now = time.time()
        if rows := [(address, *to_columns(prediction), now) for address, prediction in predictions]:
            self._journal.append(rows)

    def release(self) -> str | None:
        """End writing; returns the name of the file, which stays, or None if there is none."""
        return self._journal.release()


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
    rows: list[JournalRow] = []
    with suppress(struct.error, UnicodeDecodeError):
        for row in _unpack_rows(data):
            rows.append(row)
    return rows


def _unpack_rows(data: bytes) -> Iterator[JournalRow]:
    at = 0
    while at + _GROUP.size <= len(data):
        at += _GROUP.size
        end = at + _GROUP.unpack_from(data, at - _GROUP.size)[0]
        if end > len(data):  # cut short: it was never there
            return
        while at < end:
            first, second, third, timestamp = _ROW.unpack_from(data, at)
            at += _ROW.size
            edges = list(accumulate((first, max(second, 0), third), initial=at))
            address, values, facts = (data[a:b] for a, b in pairwise(edges))
            yield (
                address.decode(),
                None if second < 0 else values,
                facts.decode(),
                timestamp if math.isfinite(timestamp) else 0.0,
            )
            at = edges[-1]
