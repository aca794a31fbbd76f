"""The steps of a path below a folder that may come from somebody else, none of which is a link."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from imblab.errors import StudyError, refusal

#: Below the folder of a study: rescored studies, one folder a label.
RESCORED = "rescored"
#: How the name of a temporary file begins and ends; between them stand the name of its file and 16 random digits.
TEMPORARY = (".", ".new")
#: How a file is made that must not exist before.
FRESH = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: How a folder is opened, which is not to be a link.
FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_DIRECTORY
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def anchored(folder: Path, name: str) -> tuple[Path, tuple[str, ...]]:
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
def opened_folder(anchor: Path, steps: tuple[str, ...]) -> Iterator[int]:
    """A folder, opened step by step."""
    descriptor = os.open(anchor, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        for number, step in enumerate(steps):
            try:
                inner = os.open(step, FOLDER, dir_fd=descriptor)
            except OSError as error:
                if error.errno in (errno.ENOTDIR, errno.ELOOP):
                    raise odd(descriptor, step, anchor.joinpath(*steps[: number + 1]), "a folder") from error
                raise
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def step_to(folder: Path, name: str) -> Iterator[tuple[int, str]]:
    """The opened folder of a file and the last part of its name."""
    anchor, steps = anchored(folder, name)
    with opened_folder(anchor, steps[:-1]) as parent:
        yield parent, steps[-1] if steps else "."


@contextmanager
def refusing(path: Path, act: str) -> Iterator[None]:
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


def temporary_name(name: str) -> str:
    """A name that cannot be foreseen; long names are cut, since one part of a path has 255 bytes."""
    return f"{TEMPORARY[0]}{name[:40]}.{secrets.token_hex(8)}{TEMPORARY[1]}"


def open_appending(parent: int, last: str, path: Path) -> int:
    """Open a regular file with one name for reading and appending, made where it does not exist."""
    how = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(last, how, 0o644, dir_fd=parent)
    try:
        check_regular(descriptor, path, alone=True)
    except StudyError:
        os.close(descriptor)
        raise
    return descriptor


def check_replaceable(parent: int, last: str, path: Path) -> None:
    """Refuse to replace anything but a regular file."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(last, dir_fd=parent, follow_symlinks=False).st_mode):
            raise odd(parent, last, path, "a file")


def check_regular(descriptor: int, path: Path, alone: bool) -> None:
    """Refuse an open file that is none, or that has further names where it must be alone."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise _unexpected(path, found.st_mode, "a file")
    if alone and found.st_nlink > 1:
        raise StudyError(
            f"{str(path)!r} has {found.st_nlink} names (hard links); the others may lie outside the study, so that it "
            f"is neither appended to nor uploaded. Replace it with a copy: cp {path.name} copy && mv copy {path.name}"
        )


def odd(parent: int, last: str, path: Path, wanted: str) -> StudyError:
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
