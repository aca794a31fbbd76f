"""Records of a study folder about itself: its identity, and the package versions and git state of its rows.

The identity is the hash of the resolved study and of the data fingerprints at the first evaluation. It is kept in the
folder: extending a study does not change it, and a copy of the folder has the same one. Starting over
(``overwrite=true``) gives another one, which lists those that it replaced.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from getpass import getuser
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from imblab.edges import files
from imblab.edges.files import locks
from imblab.errors import DerivedFileError, StudyError, describe
from imblab.fields import Check, check_text, list_check, mapping_check, parse_json
from imblab.study import fingerprint

IDENTITY_FILE, VERSIONS_FILE, GIT_DIFF_FILE = "identity.json", "origin.json", "git.diff"
MAX_RECORDS_BYTES, MAX_IDENTITY_BYTES = 2**24, 2**20
RECORDED_PACKAGES = (
    *("imblab", "numpy", "scipy", "pandas", "scikit-learn", "imbalanced-learn", "optuna", "lightgbm", "xgboost"),
)
#: Folders that imblab writes; changes in them do not make a git tree dirty.
OUTPUT_FOLDERS = ("experiments", "mlruns")
#: Time limit of one git command; of a tree that takes longer only the commit is recorded.
MAX_GIT_SECONDS = 10
#: Settings of a git tree that are used: how its files are read; no program and no path.
GIT_SETTINGS = (
    *("filemode", "symlinks", "autocrlf", "eol", "ignorecase", "precomposeunicode"),
    *("sparsecheckout", "sparsecheckoutcone", "trustctime", "checkstat"),
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Which study a folder holds, and which ones it replaced there (16 hexadecimal digits each)."""

    now: str
    former: tuple[str, ...] = ()


def keep_identity(
    folder: Path, question: Mapping[str, Any], tables: Mapping[str, str], fresh: bool = False
) -> Identity:
    """Return the identity of the study in a folder, and write it there if it is missing.

    It is computed from the resolved study and the data fingerprints by name. With ``fresh`` the study has no evaluation
    yet, so that an identity in the folder belongs to another study. Raises StudyError for a damaged identity file.
    """
    recorded = _read_identity(folder)
    if recorded is not None and not fresh:
        return recorded
    now = fingerprint(dict(question), dict(tables))
    pattern = re.sub(r"([*?\[])", r"[\1]", folder.name) + "~*"
    replaced = [recorded, *map(_read_identity, sorted(folder.parent.glob(pattern)))]
    former = dict.fromkeys(each for old in replaced if old for each in (*old.former, old.now) if each != now)
    identity = Identity(now, tuple(former))
    if identity != recorded:
        content = json.dumps({"identity": identity.now, "former": list(identity.former)}, indent=1) + "\n"
        with suppress(StudyError, FileNotFoundError):  # a read-only folder is used as well
            files.replace(folder, IDENTITY_FILE, content.encode())
    return identity


def has_identity(folder: Path) -> bool:
    """Return whether a folder records which study it holds."""
    return files.exists(folder, IDENTITY_FILE)


def _read_identity(folder: Path) -> Identity | None:
    if not has_identity(folder):
        return None
    try:
        content = json.loads(files.read_bytes(folder, IDENTITY_FILE, max_bytes=MAX_IDENTITY_BYTES))
        identities = [content["identity"], *content["former"]]
        if all(isinstance(each, str) and re.fullmatch("[0-9a-f]{16}", each) for each in identities):
            return Identity(identities[0], tuple(identities[1:]))
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise StudyError(
        f"{str(folder / IDENTITY_FILE)!r} does not hold an identity; it has the keys 'identity' and 'former' with 16 "
        "hexadecimal digits each. Restore it, or delete it: it is computed again from the study and its rows."
    )


def record_provenance(folder: Path, diff: bool = False) -> dict[str, str]:
    """Record in a study folder which versions and git state its new rows are made with; earlier records stay.

    With ``diff`` the uncommitted changes are kept as well.
    """
    state, changes = {"version.python": platform.python_version()}, b""
    for package in RECORDED_PACKAGES:
        with suppress(PackageNotFoundError):
            state[f"version.{package}"] = version(package)
    with suppress(OSError, KeyError):  # a user without a name
        state["user"] = getuser()
    git, changes = _git_state_and_diff()
    state |= git
    earlier = read_or_set_aside(folder, VERSIONS_FILE, _read_versions)
    content = json.dumps([*(old for old in earlier if old != state), state], indent=1) + "\n"
    files.replace(folder, VERSIONS_FILE, content.encode())
    if diff and changes:
        files.replace(folder, GIT_DIFF_FILE, changes)
    return state


def latest_provenance(folder: Path) -> dict[str, str]:
    """Return the last record of :func:`record_provenance`, empty if there is none."""
    return dict((_read_versions(folder) or ({},))[-1])


def _read_versions(folder: Path) -> tuple[dict[str, str], ...]:
    way_out = "Restore it, or run the study: the damaged file is set aside and a new one begins."
    return read_records(folder, VERSIONS_FILE, mapping_check(check_text), "versions that rows were made with", way_out)


def read_records(folder: Path, name: str, check: Check, content: str, way_out: str) -> tuple[Any, ...]:
    """Read a derived file that lists records, oldest first; DerivedFileError names the field that is damaged."""
    if not files.exists(folder, name):
        return ()
    try:
        return tuple(list_check(check)(parse_json(files.read_bytes(folder, name, max_bytes=MAX_RECORDS_BYTES)), ""))
    except (ValueError, RecursionError) as error:
        raise DerivedFileError(
            f"{str(folder / name)!r} is damaged ({describe(error)}); it lists the {content}, and no score depends on "
            f"it. {way_out}"
        ) from error


def read_or_set_aside(folder: Path, name: str, read: Callable[[Path], tuple[Any, ...]]) -> tuple[Any, ...]:
    """Read the records of a derived file; a damaged one is set aside, and a new one begins."""
    try:
        return read(folder)
    except DerivedFileError:
        files.replace(folder, f"{name}.damaged", files.read_bytes(folder, name, max_bytes=MAX_RECORDS_BYTES))
        return ()


def git_state() -> dict[str, str]:
    """Return the state of the git tree around the current directory, empty outside one; see record_provenance."""
    return _git_state_and_diff()[0]


@dataclass(frozen=True, slots=True)
class _GitTree:
    """A work tree and the two folders that git keeps for it; linked work trees share the second."""

    root: Path
    state: Path
    shared: Path


def _git_state_and_diff() -> tuple[dict[str, str], bytes]:
    """Return the state of a git tree that belongs to the user, and its uncommitted changes.

    A git tree from another person may name programs in its configuration (``core.fsmonitor``, filters,
    ``diff.external``, hooks, ``core.sshCommand``) and other places (``core.worktree``). None of them is used: git
    compares the work tree with a copy of the index, in a folder of ours whose configuration holds a few plain values
    only.
    """
    tree = _find_git_tree(Path.cwd())
    commit = tree and _read_commit(tree)
    if tree is None or not commit:
        return {}, b""
    state = {"git.commit": commit}
    try:
        with locks.scratch_folder("git") as folder:
            changes, status = _git_diff_and_status(tree, commit, folder)
    except OSError:
        return state, b""
    if changes is None or status is None:
        return state, b""
    state["git.dirty"] = str(bool(status.strip())).lower()
    return state | ({"git.diff_sha256": sha256(changes).hexdigest()} if changes else {}), changes


def _find_git_tree(start: Path) -> _GitTree | None:
    """Return the innermost git tree around a folder; None without one, or if another user owns it."""
    root = next((folder for folder in (start, *start.parents) if os.path.lexists(folder / ".git")), None)
    state = root and _git_folder(root, root / ".git")
    if root is None or state is None:
        return None
    pointer = _read_git_line(state / "commondir")
    shared = state / pointer if pointer else state
    owned = all(path.lstat().st_uid == os.geteuid() for path in (root, root / ".git", state, shared))
    return _GitTree(root, state, shared) if owned else None


def _git_folder(root: Path, entry: Path) -> Path | None:
    """Return the folder behind ``.git``: itself, or the one that its file names if that one points back."""
    if entry.is_symlink():
        return None
    if entry.is_dir():
        return entry
    pointer = _read_git_line(entry)
    if pointer is None or not pointer.startswith("gitdir: "):
        return None
    state = (root / pointer.removeprefix("gitdir: ")).resolve()
    back = _read_git_line(state / "gitdir")
    linked = back is not None and (state / back).resolve() == entry.resolve()
    inside = any(state.is_relative_to((above / ".git" / "modules").resolve()) for above in root.parents)
    return state if linked or inside else None


def _read_commit(tree: _GitTree) -> str | None:
    head = _read_git_line(tree.state / "HEAD") or ""
    for _ in range(5):
        if not head.startswith("ref: "):
            return head if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", head) else None
        name = head.removeprefix("ref: ")
        if not re.fullmatch(r"refs/[^\s\x00]+", name) or ".." in name:
            return None
        loose = _read_git_line(tree.state / name) or _read_git_line(tree.shared / name)
        head = loose or _packed_commit(tree, name) or ""
    return None


def _packed_commit(tree: _GitTree, name: str) -> str | None:
    path = tree.shared / "packed-refs"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return next((line.partition(" ")[0] for line in lines if line.endswith(f" {name}")), None)


def _read_git_line(path: Path) -> str | None:
    """Return the only line of one of git's small files."""
    if not path.is_file() or path.stat().st_size > 4096:
        return None
    return path.read_text(encoding="utf-8", errors="replace").strip()


def _git_diff_and_status(tree: _GitTree, commit: str, folder: Path) -> tuple[bytes | None, bytes | None]:
    """Run ``git diff`` and ``git status`` on a work tree with a git folder of our own."""
    for name in ("objects", "refs", "info"):
        (folder / name).mkdir()
    (folder / "HEAD").write_text(f"{commit}\n")
    (folder / "config").write_text(_plain_git_config(tree, commit))
    copies = [tree.state / "index", *sorted(tree.state.glob("sharedindex.*"))]
    copies += [tree.shared / "info" / "exclude", tree.state / "info" / "sparse-checkout"]
    for path in copies:
        if path.is_file() and not path.is_symlink():
            # With its time, by which git knows the files that it has to look into.
            shutil.copy2(path, folder / ("info" if path.parent.name == "info" else ".") / path.name)
    ignore_file = _run_git(tree, folder, "config", "--global", "--path", "--get", "core.excludesFile", user_config=True)
    if ignore_file and (ignored := Path(os.fsdecode(ignore_file.strip()))).is_file():
        with (folder / "info" / "exclude").open("ab") as stream:
            stream.write(b"\n" + ignored.read_bytes())
    paths = ("--", ":/", *(f":(exclude,glob)**/{name}/**" for name in OUTPUT_FOLDERS))
    options = ("--no-ext-diff", "--no-textconv", "--ignore-submodules=all", "--no-color")
    changes = _run_git(tree, folder, "diff", *options, commit, *paths)
    return changes, _run_git(tree, folder, "status", "--porcelain", "--ignore-submodules=all", *paths)


def _plain_git_config(tree: _GitTree, commit: str) -> str:
    """Write a git configuration that names no program: only how the files of the work tree are read."""
    pattern = rf"^core\.({'|'.join(GIT_SETTINGS)})$"
    output = _run_git(tree, tree.state, "config", "--null", "--get-regexp", pattern, user_config=True) or b""
    entries = [entry.partition("\n") for entry in output.decode("utf-8", "replace").split("\0") if entry]
    settings = {name.partition(".")[2]: value for name, _, value in entries}
    lines = "".join(f"\t{name} = {value}\n" for name, value in settings.items() if re.fullmatch(r"[\w.-]*", value))
    form = "version = 1\n[extensions]\n\tobjectFormat = sha256\n" if len(commit) == 64 else "version = 0\n"
    return f"[core]\n\tbare = false\n\tfsmonitor = false\n\thooksPath = /dev/null\n{lines}\trepositoryformat{form}"


def _run_git(tree: _GitTree, git_folder: Path, *words: str, user_config: bool = False) -> bytes | None:
    """Return the output of a git command; None without git, after an error or the time limit."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {
        "GIT_DIR": str(git_folder),
        "GIT_WORK_TREE": str(tree.root),
        "GIT_OBJECT_DIRECTORY": str(tree.shared / "objects"),
    }
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "", "GIT_PAGER": "cat"}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    if not user_config:
        environment |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    try:
        process = subprocess.run(
            ["git", "--no-pager", *words],
            capture_output=True,
            timeout=MAX_GIT_SECONDS,
            check=False,
            env=environment,
            cwd=tree.root,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return process.stdout if process.returncode == 0 else None
