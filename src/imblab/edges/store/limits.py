"""Sizes of the prediction store: the bytes that predictions take in its file, and the limit of the file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from math import ceil
from pathlib import Path

#: A larger file loses its oldest predictions when a study ends, unless a study has raised the limit.
MAX_STORE_BYTES = 4 * 2**30
#: The share of the limit that is kept where a file is larger, so that the next study does not have to prune again.
KEPT_SHARE = 0.9
#: A study that needs more raises the limit.
MAX_STUDY_BYTES = int(KEPT_SHARE * MAX_STORE_BYTES)
#: Free space of the disk that no raised limit takes.
MIN_FREE_BYTES = 2**30
#: Bytes of a page of the file.
PAGE_BYTES = 16384
#: Bytes of a row next to its values: address, facts as JSON, time, and the header.
_ROW_BYTES = 16 + 120 + 8 + 8
#: Bytes of an entry in the index of addresses, whose pages are two thirds full.
_INDEX_BYTES = 36
#: Bytes of a row in its page next to its content, and of the link to its further pages.
_CELL_BYTES, _LINK_BYTES = 8, 4
#: Pages of an empty file.
_EMPTY_PAGES = 3


def stored_bytes(predictions: Mapping[int, int]) -> int:
    """Estimate the bytes of a file that holds some predictions.

    SQLite fills its pages one after the other; a row that is larger than a page has pages of its own. A prediction of
    1,500 rows takes its 12 kB, since a page holds one of them, and another third.

    Parameters
    ----------
    predictions : mapping of int to int
        Number of predictions by the number of their values, 8 bytes each.

    Examples
    --------
    >>> stored_bytes({100: 1000, 1500: 1000}) // 10**6
    17
    """
    used = sum(count * (_table_bytes(n_values) + _INDEX_BYTES) for n_values, count in predictions.items())
    return ceil(used) + _EMPTY_PAGES * PAGE_BYTES


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

    So much that they stay when the oldest are deleted, as far as a gigabyte of the disk stays free.

    Parameters
    ----------
    needed : int
        Bytes of all predictions of the study.
    limit, size : int
        Limit and size of the store so far, in bytes.
    free : int
        Free bytes of the disk.

    Examples
    --------
    >>> gigabyte = 2**30
    >>> raised_limit(gigabyte, 4 * gigabyte, 0, 100 * gigabyte) / gigabyte
    4.0
    >>> raised_limit(9 * gigabyte, 4 * gigabyte, 0, 100 * gigabyte) / gigabyte
    10.0
    >>> raised_limit(9 * gigabyte, 4 * gigabyte, 2 * gigabyte, 5 * gigabyte) / gigabyte
    6.0
    """
    if needed <= KEPT_SHARE * limit:
        return limit
    affordable = size + max(0, free - MIN_FREE_BYTES)
    return max(limit, min(ceil(needed / KEPT_SHARE), affordable))


def free_bytes(path: Path) -> int:
    """Return the free bytes of the disk of a path, which need not exist."""
    existing = next(folder for folder in (path, *path.resolve().parents) if folder.exists())
    return shutil.disk_usage(existing).free
