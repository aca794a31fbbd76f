"""Locks between processes, and temporary files and folders that end with their process."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from imblab.edges import files
from imblab.edges.files.posix import lock_file, require_posix
from imblab.errors import StudyError

#: First characters of the names of folders for large temporary data.
SCRATCH_PREFIX = "imblab-"


class LockHeld(Exception):
    """Another process holds a lock; the text is what that process wrote into it."""


@contextmanager
def lock(path: Path, name: str, wait: bool = True) -> Iterator[BinaryIO]:
    """Lock a file or folder between processes until the block or the process ends.

    The lock file ``name`` is put next to ``path``; it is given, for a note on who holds it. Raises LockHeld with that
    note if another process holds the lock and ``wait`` is false, and StudyError if the lock file is a link.
    """
    lock_path = path.with_name(name)
    require_posix(lock_path)
    with files.four_part_errors(lock_path, "locked"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.open_parent(lock_path, "", "locked") as (parent, last):
            descriptor = files.open_appending(parent, last, lock_path)
    with os.fdopen(descriptor, "r+b", buffering=0) as stream:
        try:
            with files.four_part_errors(lock_path, "locked"):
                lock_file(stream, wait)
        except StudyError as error:
            if isinstance(error.__cause__, BlockingIOError):
                stream.seek(0)
                raise LockHeld(stream.read(200).decode("utf-8", "replace").strip()) from None
            raise
        yield stream


def create_locked(folder: Path, prefix: str, suffix: str) -> tuple[int, str]:
    """Create a file with random digits in its name, locked until it is closed; return its descriptor and name."""
    name = f"{prefix}{secrets.token_hex(8)}{suffix}"
    with files.open_parent(folder, name, "written") as (parent, last):
        temporary = files.temporary_name(last)
        descriptor = os.open(temporary, files.CREATE_FLAGS, 0o600, dir_fd=parent)
        lock_file(descriptor)
        # It gets its name only when it is locked: another process may be looking for unlocked files.
        os.rename(temporary, last, src_dir_fd=parent, dst_dir_fd=parent)
        return descriptor, name


@contextmanager
def open_unlocked(folder: Path, name: str) -> Iterator[BinaryIO]:
    """Lock and open a file for reading; raises LockHeld if a living process holds the lock."""
    with files.open_file(folder, name) as stream:
        try:
            lock_file(stream)
        except BlockingIOError:
            raise LockHeld(name) from None
        yield stream


@contextmanager
def scratch_folder(kind: str) -> Iterator[Path]:
    """Make a folder for large temporary data, removed at the end; folders of killed processes are removed first."""
    for leftover in Path(tempfile.gettempdir()).glob(f"{SCRATCH_PREFIX}{kind}-*"):
        with suppress(OSError), _lock_folder(leftover):
            shutil.rmtree(leftover)
    folder = Path(tempfile.mkdtemp(prefix=f"{SCRATCH_PREFIX}{kind}-"))
    try:
        with _lock_folder(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def link_to_unnamed_file(path: Path) -> int | None:
    """Make a link to an empty file that ends with this process; return its descriptor, None where there are none."""
    try:
        descriptor = os.open(path.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except (AttributeError, OSError):  # not Linux, or not supported by the file system
        descriptor, name = tempfile.mkstemp(dir=path.parent)
        os.unlink(name)
    entry = Path(f"/proc/{os.getpid()}/fd/{descriptor}")
    if not entry.exists():
        os.close(descriptor)
        return None
    path.symlink_to(entry)
    return descriptor


@contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Lock a folder of this user; raises OSError if another process holds it."""
    descriptor = os.open(folder, files.FOLDER_FLAGS)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(folder))
        lock_file(descriptor)
        yield
    finally:
        os.close(descriptor)
