"""Locks across processes, which end with their process, and temporary data that does."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from imblab.edges.files.contents import opened
from imblab.edges.files.paths import FOLDER, FRESH, open_appending, refusing, step_to, temporary_name
from imblab.errors import StudyError

#: Of folders for large temporary data.
SCRATCH = "imblab-"


@contextmanager
def locked(path: Path, name: str, wait: bool = True) -> Iterator[BinaryIO]:
    """Hold a lock across processes; it ends with the block or the process, however that ends.

    Parameters
    ----------
    path : Path
        Of the folder or file that is locked; the folder above it is made where it does not exist.
    name : str
        Of the file of the lock, which lies next to it.
    wait : bool, default=True
        Whether to wait for the process that holds it.

    Yields
    ------
    BinaryIO
        The file of the lock, for a note on who holds it.

    Raises
    ------
    Held
        If another process holds it and this one does not wait.
    StudyError
        If the file of the lock is a link or cannot be made.
    """
    place = path.with_name(name)
    with refusing(place, "locked"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with step_to(path, "") as (parent, _):
            descriptor = open_appending(parent, name, place)
    with os.fdopen(descriptor, "r+b", buffering=0) as stream:
        try:
            with refusing(place, "locked"):
                fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except StudyError as error:
            if isinstance(error.__cause__, BlockingIOError):
                stream.seek(0)
                raise Held(stream.read(200).decode("utf-8", "replace").strip()) from None
            raise
        yield stream


def fresh(folder: Path, prefix: str, suffix: str) -> tuple[int, str]:
    """Make a file under a new name and hold its lock until it is closed.

    Parameters
    ----------
    folder : Path
    prefix, suffix : str
        Of its name; random digits stand between them.

    Returns
    -------
    descriptor : int
    name : str
        Of the file below the folder.
    """
    name = f"{prefix}{secrets.token_hex(8)}{suffix}"
    with refusing(folder / name, "written"), step_to(folder, name) as (parent, last):
        temporary = temporary_name(last)
        descriptor = os.open(temporary, FRESH, 0o600, dir_fd=parent)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Under its own name only once it is held: somebody else may be looking for files that nobody holds.
        os.rename(temporary, last, src_dir_fd=parent, dst_dir_fd=parent)
        return descriptor, name


@contextmanager
def taken(folder: Path, name: str) -> Iterator[BinaryIO]:
    """Open a file that no living process holds.

    Parameters
    ----------
    folder : Path
    name : str

    Yields
    ------
    BinaryIO

    Raises
    ------
    Held
        If a process holds it.
    FileNotFoundError
    """
    with opened(folder, name) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Held(name) from None
        yield stream


class Held(Exception):
    """Another process holds a lock; its text is what that process noted."""


@contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """A folder for large temporary data, removed at the end; the next call removes those of killed processes.

    Parameters
    ----------
    kind : str
        A word in its name.

    Yields
    ------
    Path
    """
    place = Path(tempfile.gettempdir())
    for old in place.glob(f"{SCRATCH}{kind}-*"):
        with suppress(OSError), _held(old):
            shutil.rmtree(old)
    folder = Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{kind}-"))
    try:
        with _held(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def nameless(path: Path) -> int | None:
    """Let a path stand for an empty file that ends with this process, however that ends.

    Parameters
    ----------
    path : Path
        Becomes a link to the open file, through which processes of this user write and read it.

    Returns
    -------
    int or None
        The descriptor that keeps the file; None where the system has no such files, and nothing was made.
    """
    try:
        descriptor = os.open(path.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except (AttributeError, OSError):  # not Linux, or a file system that cannot
        descriptor, name = tempfile.mkstemp(dir=path.parent)
        os.unlink(name)
    entry = Path(f"/proc/{os.getpid()}/fd/{descriptor}")
    if not entry.exists():
        os.close(descriptor)
        return None
    path.symlink_to(entry)
    return descriptor


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder; raises where another process does."""
    descriptor = os.open(folder, FOLDER)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(folder))
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
