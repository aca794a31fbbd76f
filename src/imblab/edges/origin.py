"""What rows were made with: package versions and the state of the git tree around the current directory."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from imblab.edges import files

FILE, DIFF = "origin.json", "git.diff"
PACKAGES = ("imblab", "numpy", "scipy", "pandas", "scikit-learn", "imbalanced-learn", "optuna", "lightgbm", "xgboost")
#: What a study writes itself makes no tree dirty.
OUTPUT = ("experiments", "mlruns")
#: Seconds that git may take; a tree that takes longer has no state.
PATIENCE = 10


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
    before = [old for old in _read(folder) if old != state]
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


def _read(folder: Path) -> list[dict[str, str]]:
    found: Any = json.loads(files.read(folder, FILE)) if files.exists(folder, FILE) else []
    return [{str(k): str(v) for k, v in state.items()} for state in found if isinstance(state, Mapping)]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git() -> tuple[dict[str, str], bytes]:
    """The commit, whether anything differs from it, and what does; nothing outside a git tree."""
    commit = _asked("rev-parse", "--verify", "HEAD")
    if commit is None:
        return {}, b""
    where = ("--", ":/", *(f":(exclude,glob)**/{name}/**" for name in OUTPUT))
    changes, status = _asked("diff", "HEAD", *where), _asked("status", "--porcelain", *where)
    if changes is None or status is None:
        return {"git.commit": commit.decode().strip()}, b""
    state = {"git.commit": commit.decode().strip(), "git.dirty": str(bool(status.strip())).lower()}
    return state | ({"git.diff_sha256": sha256(changes).hexdigest()} if changes else {}), changes


def _asked(*words: str) -> bytes | None:
    """What git says; None where there is none, or it is late."""
    quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(["git", *words], capture_output=True, timeout=PATIENCE, check=False, env=quiet)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
