"""What files need of POSIX: locks, and flags of open. Systems without it can start, list and help."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

from imblab.errors import StudyError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: Flags of :func:`os.open`; 0 where a system has none, which :func:`require_posix` refuses before they are used.
NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
NO_WAIT = getattr(os, "O_NONBLOCK", 0)
FOLDER = getattr(os, "O_DIRECTORY", 0)


def require_posix(path: Path) -> None:
    """Raise StudyError on a system without file locks and handles of folders, before a path is opened."""
    if fcntl is None or not FOLDER:
        raise StudyError(
            f"{str(path)!r} cannot be opened on {sys.platform!r}: imblab keeps studies safe by the file locks and "
            "folder handles of POSIX, which Linux and macOS have. Run it there, in WSL or in a container."
        )


def lock_file(file: int | BinaryIO, wait: bool = False) -> None:
    """Lock an open file for this process; BlockingIOError if another one holds it and ``wait`` is false."""
    fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
