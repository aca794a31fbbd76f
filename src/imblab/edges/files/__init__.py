"""Files below a study folder: opened without following links, replaced in one step, appended to, removed.

Every step of a path is opened by its own name relative to the step before, so that a link placed there between a check
and its use has no effect. The path up to the study folder may contain links, because the user chose it; the folder
itself may not, nor, for a rescored study, the two folders above it.

A ``study.yaml`` may come from a colleague. It is read as plain JSON data: tags that build objects, aliases with which a
kilobyte expands to gigabytes, doubled keys and deep nesting are refused with their line; dates stay text.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import yaml

from imblab.edges.files.posix import FOLDER, NO_LINK, NO_WAIT, lock_file, require_posix
from imblab.errors import StudyError, explain_os_error

#: Folder of a study that holds its rescored studies, one folder per label.
RESCORED_FOLDER = "rescored"
#: First and last characters of the name of a temporary file.
TEMPORARY_AFFIXES = (".", ".new")
#: Age from which on an unlocked temporary file belongs to a process that has died.
STALE_SECONDS = 3600
CREATE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINK
FOLDER_FLAGS = os.O_RDONLY | NO_LINK | FOLDER
_READ_FLAGS = os.O_RDONLY | NO_LINK | NO_WAIT
_APPEND_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | NO_LINK | NO_WAIT
_FILE_TYPES = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
_FILE_TYPES |= dict.fromkeys((stat.S_IFCHR, stat.S_IFBLK), "a device")


def exists(folder: Path, name: str) -> bool:
    """Return whether anything has this name below a study folder, a broken link included."""
    with suppress(FileNotFoundError), open_parent(folder, name, "read") as (parent, last):
        os.stat(last, dir_fd=parent, follow_symlinks=False)
        return True
    return False


@contextmanager
def open_file(folder: Path, name: str, single_link: bool = False) -> Iterator[BinaryIO]:
    """Open a regular file for reading, no link, pipe or device; ``single_link`` refuses one with further hard links."""
    with four_part_errors(folder / name, "read"):
        with open_parent(folder, name, "read") as (parent, last):
            descriptor = os.open(last, _READ_FLAGS, dir_fd=parent)
        try:
            _check_regular(descriptor, folder / name, single_link)
        except StudyError:
            os.close(descriptor)
            raise
        with os.fdopen(descriptor, "rb") as stream:
            yield stream


def read_bytes(folder: Path, name: str, single_link: bool = False, max_bytes: int = -1) -> bytes:
    """Read a file as :func:`open_file` opens it, at most ``max_bytes`` of it."""
    with open_file(folder, name, single_link) as stream:
        return stream.read(max_bytes)


@contextmanager
def open_replacement(folder: Path, name: str) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces ``name`` when the block ends; after an error the old content stays."""
    with open_parent(folder, name, "written") as (parent, last):
        temporary, descriptor = _create_temporary(parent, last, folder / name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                with suppress(OSError):  # where the file system can: the lock marks the file as in use
                    lock_file(descriptor)
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, last, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=parent)
            raise


@contextmanager
def replacement_path(path: Path) -> Iterator[Path]:
    """Give a temporary path for a library to write to; the file replaces ``path`` when the block ends."""
    temporary = path.with_name(temporary_name(path.name))
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def free_path(path: Path, separator: str) -> Path:
    """Return the first of ``path<separator>1``, ``path<separator>2``, ... that does not exist."""
    candidates = (path.with_name(f"{path.name}{separator}{number}") for number in count(1))
    return next(candidate for candidate in candidates if not os.path.lexists(candidate))


def replace(folder: Path, name: str, content: bytes) -> None:
    """Write a file in one step; see :func:`open_replacement`."""
    with open_replacement(folder, name) as stream:
        stream.write(content)


def replace_all(folder: Path, contents: Iterable[tuple[str, Iterable[bytes]]]) -> set[str]:
    """Write several derived files, given in parts by name, none before all are complete; return their names."""
    temporaries: dict[str, str] = {}
    try:
        for name, parts in contents:
            with open_parent(folder, name, "written") as (parent, last):
                temporaries[name], descriptor = _create_temporary(parent, last, folder / name)
                with os.fdopen(descriptor, "wb") as stream:
                    stream.writelines(parts)
        written = set(temporaries)
        for name, temporary in [*temporaries.items()]:
            with open_parent(folder, name, "written") as (parent, last):
                os.replace(temporary, last, src_dir_fd=parent, dst_dir_fd=parent)
            del temporaries[name]
        return written
    finally:
        for name, temporary in temporaries.items():
            with suppress(OSError, StudyError), open_parent(folder, name, "removed") as (parent, _):
                os.unlink(temporary, dir_fd=parent)


def replace_tree(folder: Path, name: str, source: Path) -> None:
    """Replace a folder by a copy of another folder; until the copy is complete, the old one stays."""
    above, _, last = name.rpartition("/")
    new, old = (f"{above}/{temporary_name(last)}".lstrip("/") for _ in range(2))
    make_folder(folder, new)
    try:
        for path in sorted(source.rglob("*")):
            target = f"{new}/{path.relative_to(source).as_posix()}"
            if path.is_dir():
                make_folder(folder, target)
            else:
                replace(folder, target, path.read_bytes())
        for origin, destination in ((name, old), (new, name)):
            if exists(folder, origin):
                with open_parent(folder, origin, "written") as (parent, step):
                    os.rename(step, destination.rpartition("/")[2], src_dir_fd=parent, dst_dir_fd=parent)
    finally:
        for leftover in (new, old):
            remove_tree(folder, leftover)


def open_for_append(folder: Path, name: str) -> int:
    """Open a file for reading and appending, creating it if necessary; the caller closes the descriptor."""
    with open_parent(folder, name, "written") as (parent, last):
        return open_appending(parent, last, folder / name)


def remove(folder: Path, name: str) -> None:
    """Remove a file, or the link in its place, if it exists."""
    with suppress(FileNotFoundError), open_parent(folder, name, "removed") as (parent, last):
        os.unlink(last, dir_fd=parent)


def remove_tree(folder: Path, name: str) -> None:
    """Remove a folder and its content, if it exists; targets of links in it stay."""
    with suppress(FileNotFoundError), open_parent(folder, name, "removed") as (parent, last):
        shutil.rmtree(last, dir_fd=parent)


def make_folder(folder: Path, name: str = "") -> None:
    """Make a folder and the missing ones above it; raises StudyError if a link or a file is in its place."""
    anchor, steps = _split_anchor(folder, name)
    with four_part_errors(folder / name, "made"):
        anchor.mkdir(parents=True, exist_ok=True)
        for depth in range(len(steps)):
            with _open_folder(anchor, steps[:depth]) as parent, suppress(FileExistsError):
                os.mkdir(steps[depth], dir_fd=parent)
        with _open_folder(anchor, steps):
            pass


def file_names(folder: Path, name: str = "") -> list[str]:
    """List the regular files in ``name``, sorted, as names below ``folder``; empty where there is no such folder."""
    with (
        suppress(FileNotFoundError),
        four_part_errors(folder / name, "read"),
        _open_folder(*_split_anchor(folder, name)) as descriptor,
    ):
        with os.scandir(descriptor) as entries:
            regular = sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
        return [f"{name}/{each}" if name else each for each in regular]
    return []


def refuse_special_files(folder: Path, subfolders: tuple[str, ...] = ()) -> None:
    """Raise StudyError for links, pipes or devices in a study folder itself or anywhere below ``subfolders``."""
    with suppress(FileNotFoundError):
        _refuse_special_entries(folder, "", subfolders)


def remove_stale_files(folder: Path, name: str = "") -> None:
    """Remove temporary files left by processes that have died."""
    for each in file_names(folder, name):
        last = each.rpartition("/")[2]
        digits = last.removesuffix(TEMPORARY_AFFIXES[1]).rpartition(".")[2]
        if last.startswith(TEMPORARY_AFFIXES[0]) and last.endswith(TEMPORARY_AFFIXES[1]) and len(digits) == 16:
            with suppress(OSError, StudyError), open_file(folder, each) as stream:
                lock_file(stream)  # held by a process that still writes the file
                if time.time() - os.fstat(stream.fileno()).st_mtime > STALE_SECONDS:
                    remove(folder, each)


def _refuse_special_entries(folder: Path, name: str, subfolders: tuple[str, ...]) -> None:
    with four_part_errors(folder / name, "read"), _open_folder(*_split_anchor(folder, name)) as descriptor:
        with os.scandir(descriptor) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        for entry in entries:
            mode = entry.stat(follow_symlinks=False).st_mode
            path = f"{name}/{entry.name}" if name else entry.name
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise _unexpected_type(descriptor, entry.name, folder / path, "a file")
            if stat.S_ISDIR(mode) and (name or entry.name in subfolders):
                _refuse_special_entries(folder, path, subfolders)


def _split_anchor(folder: Path, name: str) -> tuple[Path, tuple[str, ...]]:
    """Split a path into the part that the user chose and the steps below it in which no link is followed."""
    folder = Path(os.path.normpath(folder))
    depth = 3 if folder.parent.name == RESCORED_FOLDER else 1
    steps = folder.parts[-depth:] if folder.name not in ("", "..") else ()
    anchor = Path(*folder.parts[: len(folder.parts) - len(steps)])
    below = tuple(part for part in name.split("/") if part)
    if ".." in below:
        raise StudyError(f"{name!r} leads out of {str(folder)!r}; a study has files below its folder only. Remove it.")
    return anchor, (*steps, *below)


@contextmanager
def _open_folder(anchor: Path, steps: tuple[str, ...]) -> Iterator[int]:
    require_posix(anchor.joinpath(*steps))
    descriptor = os.open(anchor, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        for number, step in enumerate(steps, 1):
            try:
                inner = os.open(step, FOLDER_FLAGS, dir_fd=descriptor)
            except OSError as error:
                if error.errno in (errno.ENOTDIR, errno.ELOOP):
                    raise _unexpected_type(descriptor, step, anchor.joinpath(*steps[:number]), "a folder") from error
                raise
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def open_parent(folder: Path, name: str, act: str) -> Iterator[tuple[int, str]]:
    """Open the folder that holds ``name`` and give it with the last part of the name, for an act as in a message."""
    anchor, steps = _split_anchor(folder, name)
    with four_part_errors(folder / name, act), _open_folder(anchor, steps[:-1]) as parent:
        yield parent, steps[-1] if steps else "."


@contextmanager
def four_part_errors(path: Path, act: str) -> Iterator[None]:
    """Turn errors of the operating system into a StudyError; a missing file stays one if it is read or removed."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError) and act in ("read", "removed"):
            raise
        if error.errno == errno.ELOOP:  # the last part of the path, which must not be a link
            raise _link_error(path) from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            for above in reversed(path.parents):
                if above.exists() and not above.is_dir():
                    raise _wrong_type_error(above, above.stat().st_mode, "a folder") from error
        raise StudyError(explain_os_error(error, str(path), act)) from error


def temporary_name(name: str) -> str:
    """Return an unpredictable name; long names are cut, since a part of a path has at most 255 bytes."""
    return f"{TEMPORARY_AFFIXES[0]}{name[:40]}.{secrets.token_hex(8)}{TEMPORARY_AFFIXES[1]}"


def open_appending(parent: int, last: str, path: Path) -> int:
    """Open a regular file without further hard links for reading and appending, creating it if necessary."""
    descriptor = os.open(last, _APPEND_FLAGS, 0o644, dir_fd=parent)
    try:
        _check_regular(descriptor, path, single_link=True)
    except StudyError:
        os.close(descriptor)
        raise
    return descriptor


def _create_temporary(parent: int, last: str, path: Path) -> tuple[str, int]:
    """Create a temporary file next to a regular file or a free name; nothing else may be replaced."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(last, dir_fd=parent, follow_symlinks=False).st_mode):
            raise _unexpected_type(parent, last, path, "a file")
    temporary = temporary_name(last)
    return temporary, os.open(temporary, CREATE_FLAGS, 0o644, dir_fd=parent)


def _check_regular(descriptor: int, path: Path, single_link: bool) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise _wrong_type_error(path, status.st_mode, "a file")
    if single_link and status.st_nlink > 1:
        raise StudyError(
            f"{str(path)!r} has {status.st_nlink} names (hard links); the others may be outside the study, so it is "
            f"neither appended to nor uploaded. Replace it with a copy: cp {path.name} copy && mv copy {path.name}"
        )


def _unexpected_type(parent: int, last: str, path: Path, expected: str) -> StudyError:
    mode = os.stat(last, dir_fd=parent, follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        return _link_error(path, os.readlink(last, dir_fd=parent))
    return _wrong_type_error(path, mode, expected)


def _link_error(path: Path, target: str = "another place") -> StudyError:
    return StudyError(
        f"{str(path)!r} is a link to {target!r}; links inside a study folder are not followed. Replace the link with a "
        "copy of its target, or remove it."
    )


def _wrong_type_error(path: Path, mode: int, expected: str) -> StudyError:
    kind = _FILE_TYPES.get(stat.S_IFMT(mode), "a file")
    return StudyError(
        f"{str(path)!r} is {kind}; {expected} is expected there. Rename or remove it and run the same command again."
    )


MAX_YAML_BYTES = 2**20
MAX_YAML_DEPTH = 50
PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")}


def parse_yaml(content: bytes) -> Any:
    """Parse the content of a YAML file, read no further than one byte beyond :data:`MAX_YAML_BYTES`.

    Raises UnicodeDecodeError, and yaml.YAMLError for invalid YAML, tags, aliases, doubled keys, deep nesting and size.
    """
    if len(content) > MAX_YAML_BYTES:
        raise yaml.YAMLError(f"it has more than {MAX_YAML_BYTES} bytes, the limit for a study")
    text = content.decode("utf-8")
    try:
        return yaml.load(text, Loader=_PlainLoader)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a name made of brackets
        raise yaml.YAMLError(f"it holds a value that is not plain ({type(error).__name__})") from None


def to_yaml(data: Any) -> str:
    """Write plain data as YAML that :func:`parse_yaml` accepts: an object used twice is written twice."""
    return str(yaml.dump(data, Dumper=_AliasFreeDumper, sort_keys=False, width=118, allow_unicode=True))


def current_spelling(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the keys of a data set specification that had other names in older versions."""
    return {"parent" if key == "source" and "parent" not in spec else str(key): value for key, value in spec.items()}


def normalized_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the keys of a data set specification that hold their default, so that versions can be compared."""
    default = ("allow_majority_positive", False)
    return {k: v for k, v in current_spelling(spec).items() if v is not None and v != [] and (k, v) != default}


class _AliasFreeDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


class _PlainLoader(yaml.SafeLoader):
    yaml_implicit_resolvers: ClassVar[dict[Any, Any]] = {  # type: ignore[misc]
        first: [(tag, form) for tag, form in resolvers if tag in PLAIN_TAGS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _yaml_error("an alias, which a study does not need", event.start_mark)
        self._depth += 1
        if self._depth > MAX_YAML_DEPTH:
            raise _yaml_error(f"more than {MAX_YAML_DEPTH} levels", event.start_mark)
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        if node.tag not in PLAIN_TAGS:
            raise _yaml_error(f"the tag {node.tag.replace('tag:yaml.org,2002:', '!!')!r}", node.start_mark)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in keys:
                raise _yaml_error(f"the key {key.value[:80]!r} twice", key.start_mark)
            keys.add(key.value)
        return super().construct_mapping(node, deep)


def _yaml_error(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, f"it holds {problem}", mark)
