"""Answers on their way into the store: appended to a file that outlives the process, in a few microseconds.

A commit for each fit took as long as a draw of SMOTE. An answer is appended to a file instead: what is written is the
kernel's, so that a killed process loses nothing, and enters the database with many others at once. The lock on the file
ends with its process, however that ends; whoever opens the store next takes over.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import accumulate, pairwise
from pathlib import Path

from imblab.edges import files
from imblab.edges.files import locks

#: Address, probabilities, facts as JSON, time.
JournalRow = tuple[str, bytes | None, str, float]
#: How the name of a journal ends.
JOURNAL_SUFFIX = ".journal"
_GROUP = struct.Struct("<Q")
_ROW = struct.Struct("<IqId")


class Journal:
    """The rows of one process that are not in the database yet.

    Parameters
    ----------
    beside : Path
        Of the database.
    """

    def __init__(self, beside: Path) -> None:
        self._beside = beside
        self._folder = beside.parent.resolve()
        self._name: str | None = None
        self._end = 0

    def append(self, rows: Sequence[JournalRow]) -> bool:
        """Keep some rows, all or none.

        Returns
        -------
        bool
            False where the disk has no room for them.
        """
        if self._name is None:
            self._file, self._name = locks.create_locked(self._folder, f"{self._beside.name}.", JOURNAL_SUFFIX)
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
        """Remove the file: the database holds what it held."""
        if self._name is not None:
            files.remove(self._folder, self._name)
            os.close(self._file)
            self._name, self._end = None, 0


def orphaned_rows(beside: Path) -> Iterator[list[JournalRow]]:
    """The rows of processes that died; a journal is removed when its rows were taken.

    Parameters
    ----------
    beside : Path
        Of the database.
    """
    folder = beside.parent.resolve()
    for name in files.file_names(folder):
        if not (name.startswith(f"{beside.name}.") and name.endswith(JOURNAL_SUFFIX)):
            continue
        with suppress(FileNotFoundError, locks.LockHeld), locks.open_unlocked(folder, name) as file:
            yield _undamaged_rows(file.read())
            files.remove(folder, name)


def _pack_row(row: JournalRow) -> bytes:
    address, p, facts, made = row
    where, said = address.encode(), facts.encode()
    return _ROW.pack(len(where), -1 if p is None else len(p), len(said), made) + where + (p or b"") + said


def _undamaged_rows(data: bytes) -> list[JournalRow]:
    """The rows before the first that is damaged: what follows is fitted again."""
    found: list[JournalRow] = []
    with suppress(struct.error, UnicodeDecodeError):
        for row in _unpack_rows(data):
            found.append(row)
    return found


def _unpack_rows(data: bytes) -> Iterator[JournalRow]:
    at = 0
    while at + _GROUP.size <= len(data):
        at += _GROUP.size
        end = at + _GROUP.unpack_from(data, at - _GROUP.size)[0]
        if end > len(data):  # cut short: it was never there
            return
        while at < end:
            first, second, third, made = _ROW.unpack_from(data, at)
            at += _ROW.size
            cuts = list(accumulate((first, max(second, 0), third), initial=at))
            where, p, said = (data[a:b] for a, b in pairwise(cuts))
            yield where.decode(), None if second < 0 else p, said.decode(), made if math.isfinite(made) else 0.0
            at = cuts[-1]
