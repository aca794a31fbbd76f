"""Files below a folder that may come from somebody else: read, replaced, appended to, removed and locked.

Inside such a folder no link is followed, at any depth: every step of a path is opened by its own name below the step
before, so that a link put there between a check and its use changes nothing. A file is replaced in one step, through a
temporary file whose name cannot be foreseen.

The path of the folder itself may run through links: the user chose it. Its last part may not, nor may the parts from
the outer study on where the folder holds a rescoring.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from imblab.errors import StudyError, refusal

#: Below the folder of a study: rescored studies, one folder a label.
RESCORED = "rescored"
#: How the name of a temporary file begins and ends; between them stand the name of its file and 16 random digits.
TEMPORARY = (".", ".new")
#: Seconds without a change after which a temporary file belongs to a process that has died.
STALE_SECONDS = 3600
#: Of folders for large temporary data.
SCRATCH = "imblab-"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_DIRECTORY
_FRESH = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


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
    with suppress(FileNotFoundError), _refusing(folder / name, "read"), _step(folder, name) as (parent, last):
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
    with _refusing(folder / name, "read"):
        with _step(folder, name) as (parent, last):
            descriptor = os.open(last, _READ, dir_fd=parent)
        with os.fdopen(descriptor, "rb") as stream:
            _check_regular(descriptor, folder / name, alone)
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
    """Write a file in one step: whatever goes wrong meanwhile, the old content stays.

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
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with replacing(Path(place), "a.txt") as stream:
    ...         _ = stream.write(b"new")
    ...     read(Path(place), "a.txt")
    b'new'
    """
    with _refusing(folder / name, "written"), _step(folder, name) as (parent, last):
        _check_replaceable(parent, last, folder / name)
        fresh = _temporary(last)
        descriptor = os.open(fresh, _FRESH, 0o644, dir_fd=parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                _lock(descriptor)
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
    with _refusing(folder, "written"):
        fresh: list[tuple[str, str]] = []
        try:
            for name, content in contents.items():
                with _step(folder, name) as (parent, last):
                    _check_replaceable(parent, last, folder / name)
                    temporary = _temporary(last)
                    descriptor = os.open(temporary, _FRESH, 0o644, dir_fd=parent)
                    fresh.append((name, temporary))
                    with os.fdopen(descriptor, "wb") as stream:
                        stream.write(content)
            while fresh:
                name, temporary = fresh[0]
                with _step(folder, name) as (parent, last):
                    os.replace(temporary, last, src_dir_fd=parent, dst_dir_fd=parent)
                del fresh[0]
        finally:
            for name, temporary in fresh:
                with suppress(OSError, StudyError), _step(folder, name) as (parent, _):
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
    with _refusing(folder / name, "written"), _step(folder, name) as (parent, last):
        return _appended(parent, last, folder / name)


def _appended(parent: int, last: str, path: Path) -> int:
    how = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(last, how, 0o644, dir_fd=parent)
    try:
        _check_regular(descriptor, path, alone=True)
    except StudyError:
        os.close(descriptor)
        raise
    return descriptor


def remove(folder: Path, name: str) -> None:
    """Remove a file, or the link that stands in its place; nothing where there is none.

    Parameters
    ----------
    folder : Path
        Of a study.
    name : str
        Of the file below it.
    """
    with _refusing(folder / name, "removed"), suppress(FileNotFoundError), _step(folder, name) as (parent, last):
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
    with _refusing(folder / name, "removed"), suppress(FileNotFoundError), _step(folder, name) as (parent, last):
        shutil.rmtree(last, dir_fd=parent)


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
    anchor, steps = _anchored(folder, name)
    with _refusing(folder / name, "made"):
        anchor.mkdir(parents=True, exist_ok=True)
        for at in range(len(steps)):
            with _opened_folder(anchor, steps[:at]) as parent, suppress(FileExistsError):
                os.mkdir(steps[at], dir_fd=parent)
        with _opened_folder(anchor, steps):
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
    anchor, steps = _anchored(folder, name)
    with suppress(FileNotFoundError), _refusing(folder / name, "read"), _opened_folder(anchor, steps) as descriptor:
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


@contextmanager
def locked(path: Path, name: str, wait: bool = True) -> Iterator[BinaryIO]:
    """Hold a lock across processes; it ends with the block or the process, however that ends.

    Parameters
    ----------
    path : Path
        Of the folder or file that is locked; the folder above it is made where it does not exist.
    name : str
        Of the file of the lock, which lies beside it.
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
    with _refusing(place, "locked"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _step(path, "") as (parent, _):
            descriptor = _appended(parent, name, place)
    with os.fdopen(descriptor, "r+b", buffering=0) as stream:
        try:
            with _refusing(place, "locked"):
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
    with _refusing(folder / name, "written"), _step(folder, name) as (parent, last):
        temporary = _temporary(last)
        descriptor = os.open(temporary, _FRESH, 0o600, dir_fd=parent)
        _lock(descriptor)
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


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder; raises where another process does."""
    descriptor = os.open(folder, _FOLDER)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(folder))
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Mark a temporary file as alive, where the file system can."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _temporary(name: str) -> str:
    """A name that cannot be foreseen; long names are cut, since one part of a path has 255 bytes."""
    return f"{TEMPORARY[0]}{name[:40]}.{secrets.token_hex(8)}{TEMPORARY[1]}"


def _anchored(folder: Path, name: str) -> tuple[Path, tuple[str, ...]]:
    """The folder that the user chose, and the steps below it in which no link is followed."""
    folder = Path(os.path.normpath(folder))
    depth = 3 if folder.parent.name == RESCORED else 1
    steps = folder.parts[-depth:] if folder.name not in ("", "..") else ()
    anchor = Path(*folder.parts[: len(folder.parts) - len(steps)])
    below = tuple(part for part in name.split("/") if part)
    if ".." in below:
        raise StudyError(f"{name!r} leads out of {str(folder)!r}; a study has files below its folder only. Remove it.")
    return anchor, (*steps, *below)


@contextmanager
def _opened_folder(anchor: Path, steps: tuple[str, ...]) -> Iterator[int]:
    """A folder, opened step by step."""
    descriptor = os.open(anchor, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        for number, step in enumerate(steps):
            try:
                inner = os.open(step, _FOLDER, dir_fd=descriptor)
            except OSError as error:
                if error.errno in (errno.ENOTDIR, errno.ELOOP):
                    raise _odd(descriptor, step, anchor.joinpath(*steps[: number + 1]), "a folder") from error
                raise
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _step(folder: Path, name: str) -> Iterator[tuple[int, str]]:
    """The opened folder of a file and the last part of its name."""
    anchor, steps = _anchored(folder, name)
    with _opened_folder(anchor, steps[:-1]) as parent:
        yield parent, steps[-1] if steps else "."


@contextmanager
def _refusing(path: Path, act: str) -> Iterator[None]:
    """Turn what the operating system refuses into four parts; a missing file stays one where it is read."""
    try:
        yield
    except FileNotFoundError as error:
        if act == "read":
            raise
        raise StudyError(refusal(error, str(path), act)) from error
    except OSError as error:
        if error.errno == errno.ELOOP:  # the last part of the path, which is not to be a link
            raise _linked(path) from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            for above in reversed(path.parents):
                if above.exists() and not above.is_dir():
                    raise _unexpected(above, above.stat().st_mode, "a folder") from error
        raise StudyError(refusal(error, str(path), act)) from error


def _check_replaceable(parent: int, last: str, path: Path) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(last, dir_fd=parent, follow_symlinks=False).st_mode):
            raise _odd(parent, last, path, "a file")


def _check_regular(descriptor: int, path: Path, alone: bool) -> None:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise _unexpected(path, found.st_mode, "a file")
    if alone and found.st_nlink > 1:
        raise StudyError(
            f"{str(path)!r} has {found.st_nlink} names (hard links); the others may lie outside the study, so that it "
            f"is neither appended to nor uploaded. Replace it with a copy: cp {path.name} copy && mv copy {path.name}"
        )


def _check_entries(folder: Path, name: str, below: tuple[str, ...]) -> None:
    anchor, steps = _anchored(folder, name)
    with _refusing(folder / name, "read"), _opened_folder(anchor, steps) as descriptor:
        with os.scandir(descriptor) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            mode = entry.stat(follow_symlinks=False).st_mode
            place = f"{name}/{entry.name}" if name else entry.name
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise _odd(descriptor, entry.name, folder / place, "a file")
            if stat.S_ISDIR(mode) and (name or entry.name in below):
                _check_entries(folder, place, below)


def _odd(parent: int, last: str, path: Path, wanted: str) -> StudyError:
    """Why something is not what is wanted under its name."""
    mode = os.stat(last, dir_fd=parent, follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        return _linked(path, os.readlink(last, dir_fd=parent))
    return _unexpected(path, mode, wanted)


def _linked(path: Path, target: str = "another place") -> StudyError:
    return StudyError(
        f"{str(path)!r} is a link to {target!r}; inside the folder of a study no link is followed. Replace the link "
        "with a copy of what it points to, or remove it."
    )


def _unexpected(path: Path, mode: int, wanted: str) -> StudyError:
    kind = _KINDS.get(stat.S_IFMT(mode), "a file")
    return StudyError(
        f"{str(path)!r} is {kind}; {wanted} is expected there. Rename or remove it and run the same command again."
    )
