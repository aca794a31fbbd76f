"""What rows were made with: package versions and the state of the git tree around the current directory."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from imblab.edges import files
from imblab.errors import DerivedFileError, describe
from imblab.fields import loaded, many, mapping, text

FILE, DIFF = "origin.json", "git.diff"
#: Of the file that notes versions.
MAX_BYTES = 2**24
PACKAGES = ("imblab", "numpy", "scipy", "pandas", "scikit-learn", "imbalanced-learn", "optuna", "lightgbm", "xgboost")
#: What a study writes itself makes no tree dirty.
OUTPUT = ("experiments", "mlruns")
#: Seconds that one command of git may take; of a tree that takes longer the commit alone is known.
MAX_GIT_SECONDS = 10
#: What is taken over from the configuration of a git tree: how its files are read, no program and no path.
PLAIN: tuple[str, ...] = ("filemode", "symlinks", "autocrlf", "eol", "ignorecase", "precomposeunicode")
PLAIN += ("sparsecheckout", "sparsecheckoutcone", "trustctime", "checkstat")


def note(folder: Path, diff: bool = False) -> dict[str, str]:
    """Write beside the rows of a study what they were made with; what earlier rows were made with stays.

    Parameters
    ----------
    folder : Path
        Of the study.
    diff : bool, default=False
        Whether the changes that are not committed are kept too.

    Returns
    -------
    dict of str to str
        ``version.<package>``, and in a git tree ``git.commit``, ``git.dirty`` and ``git.diff_sha256``.
    """
    versions = {f"version.{name}": found for name in PACKAGES if (found := _version(name)) is not None}
    tree, changes = _git()
    state = {"version.python": platform.python_version(), **versions, **tree}
    before = [old for old in _kept(folder) if old != state]
    files.replace(folder, FILE, (json.dumps([*before, state], indent=1) + "\n").encode())
    if diff and changes:
        files.replace(folder, DIFF, changes)
    return state


def git() -> dict[str, str]:
    """The state of the git tree around the current directory: as in :func:`note`, empty where there is none."""
    return _git()[0]


def latest(folder: Path) -> dict[str, str]:
    """What the last rows of a study were made with; empty where nobody noted it."""
    found = _read(folder)
    return found[-1] if found else {}


def _kept(folder: Path) -> list[dict[str, str]]:
    """What earlier rows were made with; a damaged file is set aside, so that new rows are noted."""
    try:
        return _read(folder)
    except DerivedFileError:
        files.replace(folder, f"{FILE}.damaged", files.read(folder, FILE, most=MAX_BYTES))
        return []


def _read(folder: Path) -> list[dict[str, str]]:
    """What rows were made with, oldest first.

    Raises
    ------
    DerivedFileError
        If the file holds anything else.
    """
    if not files.exists(folder, FILE):
        return []
    try:
        found: tuple[dict[str, str], ...] = many(mapping(text))(loaded(files.read(folder, FILE, most=MAX_BYTES)), "")
    except (ValueError, RecursionError) as error:
        raise DerivedFileError(
            f"{str(folder / FILE)!r} is damaged ({describe(error)}); it is a list of mappings that say with which "
            "versions rows were made, and no score rests on it. Restore it, or run the study: the damaged file is set "
            "aside, and a new one begins."
        ) from error
    return list(found)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@dataclass(frozen=True, slots=True)
class _Tree:
    """A work tree of git with the two folders that git keeps of it; linked work trees share the second."""

    root: Path
    state: Path
    shared: Path


def _git() -> tuple[dict[str, str], bytes]:
    """The commit, whether anything differs from it, and what does; nothing outside a git tree of the user's own.

    A git tree from somebody else names programs in its configuration (``core.fsmonitor``, filters, ``diff.external``,
    hooks, ``core.sshCommand``) and other places (``core.worktree``). None of them is used: git compares the work tree
    with a copy of the index, in a folder of ours whose configuration holds a few plain values only.
    """
    tree = _found(Path.cwd())
    if tree is None:
        return {}, b""
    commit = _commit(tree)
    if commit is None:
        return {}, b""
    state = {"git.commit": commit}
    try:
        with files.scratch("git") as place:
            changes, status = _compared(tree, commit, place)
    except OSError:
        return state, b""
    if changes is None or status is None:
        return state, b""
    state |= {"git.dirty": str(bool(status.strip())).lower()}
    return state | ({"git.diff_sha256": sha256(changes).hexdigest()} if changes else {}), changes


def _found(start: Path) -> _Tree | None:
    """The git tree around a folder; None where there is none, or one that another user owns."""
    for root in (start, *start.parents):
        entry = root / ".git"
        if not os.path.lexists(entry):
            continue
        state = _state(root, entry)
        if state is None:
            return None
        pointer = _line(state / "commondir")
        shared = (state / pointer) if pointer else state
        return _Tree(root, state, shared) if all(map(_is_own, (root, entry, state, shared))) else None
    return None


def _state(root: Path, entry: Path) -> Path | None:
    """The folder behind ``.git``: itself, or where its file points to, if that points back."""
    if entry.is_symlink():
        return None
    if entry.is_dir():
        return entry
    pointer = _line(entry)
    if pointer is None or not pointer.startswith("gitdir: "):
        return None
    state = (root / pointer.removeprefix("gitdir: ")).resolve()
    back = _line(state / "gitdir")
    linked = back is not None and (state / back).resolve() == entry.resolve()
    inside = any(state.is_relative_to((above / ".git" / "modules").resolve()) for above in root.parents)
    return state if linked or inside else None


def _commit(tree: _Tree) -> str | None:
    """The commit that is checked out."""
    head = _line(tree.state / "HEAD") or ""
    for _ in range(5):
        if not head.startswith("ref: "):
            return head if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", head) else None
        name = head.removeprefix("ref: ")
        if not re.fullmatch(r"refs/[^\s\x00]+", name) or ".." in name:
            return None
        head = _line(tree.state / name) or _line(tree.shared / name) or _packed(tree.shared / "packed-refs", name) or ""
    return None


def _packed(path: Path, name: str) -> str | None:
    if not path.is_file():
        return None
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.endswith(f" {name}"):
            return line.split(" ")[0]
    return None


def _line(path: Path) -> str | None:
    """The only line of a small file of git's."""
    if not path.is_file() or path.stat().st_size > 4096:
        return None
    return path.read_text(encoding="utf-8", errors="replace").strip()


def _is_own(path: Path) -> bool:
    return path.lstat().st_uid == os.geteuid()


def _compared(tree: _Tree, commit: str, place: Path) -> tuple[bytes | None, bytes | None]:
    """What ``git diff`` and ``git status`` say of a work tree, asked in a folder of ours."""
    for name in ("objects", "refs", "info"):
        (place / name).mkdir()
    (place / "HEAD").write_text(f"{commit}\n")
    (place / "config").write_text(_configuration(tree, commit))
    copies = [tree.state / "index", *sorted(tree.state.glob("sharedindex.*"))]
    copies += [tree.shared / "info" / "exclude", tree.state / "info" / "sparse-checkout"]
    for source in copies:
        if source.is_file() and not source.is_symlink():
            # With its time, by which git knows the files that it has to look into.
            shutil.copy2(source, place / ("info" if source.parent.name == "info" else ".") / source.name)
    mine = _asked(tree, place, "config", "--global", "--path", "--get", "core.excludesFile", own=True)
    if mine and (ignored := Path(os.fsdecode(mine.strip()))).is_file():
        with (place / "info" / "exclude").open("ab") as stream:
            stream.write(b"\n" + ignored.read_bytes())
    where = ("--", ":/", *(f":(exclude,glob)**/{name}/**" for name in OUTPUT))
    harmless = ("--no-ext-diff", "--no-textconv", "--ignore-submodules=all", "--no-color")
    changes = _asked(tree, place, "diff", *harmless, commit, *where)
    return changes, _asked(tree, place, "status", "--porcelain", "--ignore-submodules=all", *where)


def _configuration(tree: _Tree, commit: str) -> str:
    """A configuration without a program in it: how the files of the work tree are to be read."""
    said = (
        _asked(tree, tree.state, "config", "--null", "--get-regexp", rf"^core\.({'|'.join(PLAIN)})$", own=True) or b""
    )
    kept = dict(entry.partition("\n")[::2] for entry in said.decode("utf-8", "replace").split("\0") if entry)
    core = {name.partition(".")[2]: value for name, value in kept.items() if re.fullmatch(r"[\w.-]*", value)}
    form = "version = 1\n[extensions]\n\tobjectFormat = sha256\n" if len(commit) == 64 else "version = 0\n"
    lines = "".join(f"\t{name} = {value}\n" for name, value in core.items())
    return f"[core]\n\tbare = false\n\tfsmonitor = false\n\thooksPath = /dev/null\n{lines}\trepositoryformat{form}"


def _asked(tree: _Tree, place: Path, *words: str, own: bool = False) -> bytes | None:
    """What git says of a folder, with the user's own configuration or none; None without git, or where it is late."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    fixed = {
        "GIT_DIR": str(place),
        "GIT_WORK_TREE": str(tree.root),
        "GIT_OBJECT_DIRECTORY": str(tree.shared / "objects"),
    }
    quiet = {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "", "GIT_PAGER": "cat"}
    quiet |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    alone = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    try:
        done = subprocess.run(
            ["git", "--no-pager", *words],
            capture_output=True,
            timeout=MAX_GIT_SECONDS,
            check=False,
            env={**kept, **fixed, **quiet, **({} if own else alone)},
            cwd=tree.root,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
