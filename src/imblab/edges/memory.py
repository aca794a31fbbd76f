"""Memory that the allocator keeps for later: returned to the system after work that took much of it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import lru_cache


def trim() -> None:
    """Return free memory to the system: hundreds of megabytes after a fit on a large table.

    Does nothing where the C library has no ``malloc_trim``, which is of the GNU library.
    """
    release = _find_release()
    if release is not None:
        release(0)


@lru_cache(maxsize=1)
def _find_release() -> Callable[[int], int] | None:
    return None if os.name != "posix" else getattr(ctypes.CDLL(None), "malloc_trim", None)
