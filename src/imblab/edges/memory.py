"""Memory: given back by the allocator, exchanged for a file, and not searched for garbage where there is none."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    import pandas as pd

#: Size of a table from which its memory is returned to the system as soon as it can be.
LARGE_TABLE_BYTES = 64 * 2**20
#: Size from which an array next to a large table is a block of its own for the system.
LARGE_BLOCK_BYTES = 2**20
#: Of ``mallopt`` in the GNU library.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
#: The values of both that the GNU library itself reaches after a large array was freed: its upper limit, and twice it.
REUSED_BLOCK_BYTES = 32 * 2**20
#: The files behind tables of this process.
_TABLE_FILES: WeakSet[mmap.mmap] = WeakSet()


def trim() -> None:
    """Return free memory to the system, hundreds of megabytes after a fit on a large table, where the C library can."""
    for table in list(_TABLE_FILES):
        table.madvise(mmap.MADV_DONTNEED)
    if (release := _find_in_c_library("malloc_trim")) is not None:
        release(0)


@lru_cache(maxsize=1)
def return_large_blocks() -> None:
    """Return every large array to the system as soon as it is freed, from now to the end of this process.

    The GNU library does so until a large block is freed, and then serves blocks of up to 32 MB from its heap, which
    keeps what lies below the last one in use: 7 % of the peak of a study of 1,000,000 rows.
    """
    _set_allocator({M_MMAP_THRESHOLD: LARGE_BLOCK_BYTES})


@lru_cache(maxsize=1)
def reuse_freed_blocks() -> None:
    """Serve arrays up to 32 MB from what was freed before, from now to the end of this process.

    So does the GNU library by itself, unless a variable of the environment sets one of its thresholds: Dask sets
    ``MALLOC_TRIM_THRESHOLD_`` for its workers, and each array of a fit is then fetched from the system anew, page by
    page: 3,000,000 page faults per worker in place of 80,000 in the study of ``benchmarks/engines.py``.
    """
    _set_allocator({M_MMAP_THRESHOLD: REUSED_BLOCK_BYTES, M_TRIM_THRESHOLD: 2 * REUSED_BLOCK_BYTES})


def _set_allocator(options: Mapping[int, int]) -> None:
    if (set_option := _find_in_c_library("mallopt")) is not None:
        for option, n_bytes in options.items():
            set_option(option, n_bytes)


@contextmanager
def keeping_objects() -> Iterator[None]:
    """Let everything that is created stay to the end of the process, as modules do: no search for garbage visits it."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@lru_cache(maxsize=2)
def _find_in_c_library(name: str) -> Callable[..., int] | None:
    return None if os.name != "posix" else getattr(ctypes.CDLL(None), name, None)


def move_to_file(frame: pd.DataFrame) -> pd.DataFrame:
    """Move the columns of float64 of a large table to a temporary file, which is read where they are used.

    Returns an equal, read-only frame, whose file has no name and ends with it; the caller drops the one given. That one
    is returned if it is small, or if the file finds no room.
    """
    import numpy as np  # not at the start: workers begin before this process imports it
    import pandas as pd

    numeric = [name for name, kind in frame.dtypes.items() if kind == np.float64]
    if not numeric or 8 * len(frame) * len(numeric) < LARGE_TABLE_BYTES or not hasattr(mmap, "MADV_DONTNEED"):
        return frame
    return_large_blocks()
    try:
        with tempfile.TemporaryFile(prefix="imblab-") as file:
            for name in numeric:
                frame[name].to_numpy().tofile(file)
            file.flush()
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError:  # the disk is full
        return frame
    _TABLE_FILES.add(mapped)
    numbers = np.frombuffer(mapped, dtype=np.float64).reshape(len(numeric), len(frame))
    columns = dict(zip(numeric, numbers, strict=True))
    moved = {name: pd.Series(columns.get(name, frame[name]), index=frame.index, copy=False) for name in frame.columns}
    return pd.DataFrame(moved, copy=False)
