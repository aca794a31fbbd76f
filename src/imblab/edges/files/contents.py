"""Files below a folder that may come from somebody else: read, replaced, appended to and removed."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from imblab.edges.files.paths import (
    FRESH,
    TEMPORARY,
    anchored,
    check_regular,
    check_replaceable,
    odd,
    open_appending,
    opened_folder,
    refusing,
    step_to,
    temporary_name,
)
from imblab.errors import StudyError

#: Seconds without a change after which a temporary file belongs to a process that has died.
STALE_SECONDS = 3600
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def exists(folder: Path, name: str) -> bool:
    """Whether there is something under a name, be it a link.

    Parameters
    ----------
    folder : Path
        Of a study.
    name : str
        Of the file below it, such as ``"tables/scores.csv"``.

    Returns
    -------
    bool
    """
    with suppress(FileNotFoundError), refusing(folder / name, "read"), step_to(folder, name) as (parent, last):
        os.stat(last, dir_fd=parent, follow_symlinks=False)
        return True
    return False


@contextmanager
def opened(folder: Path, name: str, alone: bool = False) -> Iterator[BinaryIO]:
    """Open a regular file for reading.

    Parameters
    ----------
    folder : Path
        Of a study.
    name : str
        Of the file below it.
    alone : bool, default=False
        Whether a file with further hard links is refused: its content may belong elsewhere.

    Yields
    ------
    BinaryIO

    Raises
    ------
    StudyError
        If a link, a pipe, a device or a folder stands there, or the file cannot be read.
    FileNotFoundError
        If there is no such file.
    """
    with refusing(folder / name, "read"):
        with step_to(folder, name) as (parent, last):
            descriptor = os.open(last, _READ, dir_fd=parent)
        try:
            check_regular(descriptor, folder / name, alone)
        except StudyError:
            os.close(descriptor)
            raise
        with os.fdopen(descriptor, "rb") as stream:
            yield stream


def read(folder: Path, name: str, alone: bool = False, most: int = -1) -> bytes:
    """The content of a file; see :func:`opened`.

    Parameters
    ----------
    folder : Path
        Of a study.
    name : str
        Of the file below it.
    alone : bool, default=False
        Whether a file with further hard links is refused.
    most : int, default=-1
        Bytes to read at most; all of them by default.

    Returns
    -------
    bytes
    """
    with opened(folder, name, alone) as stream:
        return stream.read(most)


@contextmanager
def replacing(folder: Path, name: str) -> Iterator[BinaryIO]:
    """Write a file in one step: if anything fails, the old content stays.

    Parameters
    ----------
    folder : Path
        Of a study.
    name : str
        Of the file below it.

    Yields
    ------
    BinaryIO
        The new content, which takes the place of the old one when the block ends.

    Raises
    ------
    StudyError
        If it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with replacing(Path(place), "a.txt") as stream:
    ...         _ = stream.write(b"new")
    ...     read(Path(place), "a.txt")
    b'new'
    """
    with refusing(folder / name, "written"), step_to(folder, name) as (parent, last):
        check_replaceable(parent, last, folder / name)
        fresh = temporary_name(last)
        descriptor = os.open(fresh, FRESH, 0o644, dir_fd=parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                _hold(descriptor)
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(fresh, last, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            with suppress(OSError):
                os.unlink(fresh, dir_fd=parent)
            raise


def replace(folder: Path, name: str, content: bytes) -> None:
    """Write a file in one step; see :func:`replacing`.

    Parameters
    ----------
    folder : Path
        Of a study.
    name : str
        Of the file below it.
    content : bytes
    """
    with replacing(folder, name) as stream:
        stream.write(content)


def replace_all(folder: Path, contents: dict[str, bytes]) -> None:
    """Write several files that can be made again: none changes before all of them are written.

    Parameters
    ----------
    folder : Path
        Of a study.
    contents : dict of str to bytes
        By name below the folder; they change places in this order.
    """
    waiting: dict[str, str] = {}
    try:
        for name, content in contents.items():
            with refusing(folder / name, "written"), step_to(folder, name) as (parent, last):
                check_replaceable(parent, last, folder / name)
                temporary = temporary_name(last)
                descriptor = os.open(temporary, FRESH, 0o644, dir_fd=parent)
                waiting[name] = temporary
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(content)
        for name, temporary in [*waiting.items()]:
            with refusing(folder / name, "written"), step_to(folder, name) as (parent, last):
                os.replace(temporary, last, src_dir_fd=parent, dst_dir_fd=parent)
            del waiting[name]
    finally:
        for name, temporary in waiting.items():
            with suppress(OSError, StudyError), step_to(folder, name) as (parent, _):
                os.unlink(temporary, dir_fd=parent)


def appended(folder: Path, name: str) -> int:
    """Open a file for reading and appending; it is made where it does not exist.

    Parameters
    ----------
    folder : Path
        Of a study.
    name : str
        Of the file below it.

    Returns
    -------
    int
        A file descriptor, which the caller closes.

    Raises
    ------
    StudyError
        If it is no regular file, has further hard links, or cannot be written.
    """
    with refusing(folder / name, "written"), step_to(folder, name) as (parent, last):
        return open_appending(parent, last, folder / name)


def remove(folder: Path, name: str) -> None:
    """Remove a file, or the link that stands in its place; nothing where there is none.

    Parameters
    ----------
    folder : Path
        Of a study.
    name : str
        Of the file below it.
    """
    with refusing(folder / name, "removed"), suppress(FileNotFoundError), step_to(folder, name) as (parent, last):
        os.unlink(last, dir_fd=parent)


def remove_tree(folder: Path, name: str) -> None:
    """Remove a folder with everything in it, and nothing that a link in it points to.

    Parameters
    ----------
    folder : Path
        Of a study.
    name : str
        Of the folder below it.
    """
    with refusing(folder / name, "removed"), suppress(FileNotFoundError), step_to(folder, name) as (parent, last):
        shutil.rmtree(last, dir_fd=parent)


def replace_tree(folder: Path, name: str, source: Path) -> None:
    """Put a copy of a folder in place of the one that is there; until it is whole, the old one stays.

    Parameters
    ----------
    folder : Path
        Of a study.
    name : str
        Of the folder below it.
    source : Path
        A folder of this process, with regular files and folders in it.
    """
    above, _, last = name.rpartition("/")
    prefix = f"{above}/" if above else ""
    new, old = (prefix + temporary_name(last) for _ in range(2))
    make(folder, new)
    try:
        for path in sorted(source.rglob("*")):
            place = f"{new}/{path.relative_to(source).as_posix()}"
            if path.is_dir():
                make(folder, place)
            else:
                replace(folder, place, path.read_bytes())
        if exists(folder, name):
            _rename(folder, name, old)
        _rename(folder, new, name)
    finally:
        for left in (new, old):
            remove_tree(folder, left)


def _rename(folder: Path, old: str, new: str) -> None:
    with refusing(folder / new, "written"), step_to(folder, old) as (parent, last):
        os.rename(last, new.rpartition("/")[2], src_dir_fd=parent, dst_dir_fd=parent)


def make(folder: Path, name: str = "") -> None:
    """Make a folder, with those above it, where it does not exist.

    Parameters
    ----------
    folder : Path
        Of a study.
    name : str, default=""
        Of a folder below it.

    Raises
    ------
    StudyError
        If a link or a file is in its place, or it cannot be made.
    """
    anchor, steps = anchored(folder, name)
    with refusing(folder / name, "made"):
        anchor.mkdir(parents=True, exist_ok=True)
        for at in range(len(steps)):
            with opened_folder(anchor, steps[:at]) as parent, suppress(FileExistsError):
                os.mkdir(steps[at], dir_fd=parent)
        with opened_folder(anchor, steps):
            pass


def names(folder: Path, name: str = "") -> list[str]:
    """The names of the regular files in a folder, sorted; what is a link or a pipe is none.

    Parameters
    ----------
    folder : Path
        Of a study.
    name : str, default=""
        Of a folder below it; one that does not exist is empty.

    Returns
    -------
    list of str
        Names below ``folder``.
    """
    anchor, steps = anchored(folder, name)
    with suppress(FileNotFoundError), refusing(folder / name, "read"), opened_folder(anchor, steps) as descriptor:
        with os.scandir(descriptor) as entries:
            found = sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
        return [f"{name}/{each}" if name else each for each in found]
    return []


def check(folder: Path, below: tuple[str, ...] = ()) -> None:
    """Refuse a folder that holds links, pipes or devices, before anything of it is used.

    Parameters
    ----------
    folder : Path
        Of a study; one that does not exist is in order.
    below : tuple of str, default=()
        The folders in it that are looked through to the bottom.

    Raises
    ------
    StudyError
        Naming the first.
    """
    with suppress(FileNotFoundError):
        _check_entries(folder, "", below)


def sweep(folder: Path, name: str = "") -> None:
    """Remove temporary files whose process has died.

    Parameters
    ----------
    folder : Path
        Of a study.
    name : str, default=""
        Of a folder below it.
    """
    for each in names(folder, name):
        last = each.rpartition("/")[2]
        random = last.removesuffix(TEMPORARY[1]).rpartition(".")[2]
        if last.startswith(TEMPORARY[0]) and last.endswith(TEMPORARY[1]) and len(random) == 16:
            with suppress(OSError, StudyError), opened(folder, each) as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the process that writes it holds it
                if time.time() - os.fstat(stream.fileno()).st_mtime > STALE_SECONDS:
                    remove(folder, each)


def _check_entries(folder: Path, name: str, below: tuple[str, ...]) -> None:
    anchor, steps = anchored(folder, name)
    with refusing(folder / name, "read"), opened_folder(anchor, steps) as descriptor:
        with os.scandir(descriptor) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            mode = entry.stat(follow_symlinks=False).st_mode
            place = f"{name}/{entry.name}" if name else entry.name
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise odd(descriptor, entry.name, folder / place, "a file")
            if stat.S_ISDIR(mode) and (name or entry.name in below):
                _check_entries(folder, place, below)


def _hold(descriptor: int) -> None:
    """Mark a temporary file as alive, where the file system can."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
