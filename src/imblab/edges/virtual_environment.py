"""Virtual environments made from the lock of a study, by uv or by pip, and a command that is run in one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from imblab.edges.files import locks
from imblab.errors import StudyError, presentable
from imblab.study import fingerprint

#: Below the current directory: one environment per lock, made once.
ENVIRONMENTS = Path("mlruns/environments")
LOCK_FILE, READY_FILE = "requirements.lock", "ready"
#: Lines of the output of uv or pip in a message.
MAX_OUTPUT_LINES = 4


def make_environment(python: str, requirements: Sequence[str], folder: Path = ENVIRONMENTS) -> Path:
    """Make the environment of a lock, unless it is there, and return its Python.

    Parameters
    ----------
    python : str
        The version, such as ``"3.11.9"``; uv fetches it where it is missing, pip needs this Python to be it.
    requirements : sequence of str
        One pinned requirement per package, without imblab, which is installed from where it runs now.
    folder : Path
        Below which the environment gets a folder named after the lock.

    Raises
    ------
    StudyError
        If neither tool can make it; the message ends with what the tool said.
    """
    home = (folder / fingerprint(python, sorted(requirements))).absolute()
    interpreter = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    home.parent.mkdir(parents=True, exist_ok=True)
    with locks.lock(home, f".{home.name}.lock"):
        if (home / READY_FILE).exists() and interpreter.exists():
            return interpreter
        shutil.rmtree(home, ignore_errors=True)
        uv = shutil.which("uv")
        _run_tool([uv, "venv", "--python", python, str(home)] if uv else _venv_command(python, home))
        lock = home / LOCK_FILE
        lock.write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
        install = (
            [uv, "pip", "install", "--python", str(interpreter)] if uv else [str(interpreter), "-m", "pip", "install"]
        )
        _run_tool([*install, "--requirement", str(lock)])
        _run_tool([*install, "--no-deps", *_imblab_requirement()])
        (home / READY_FILE).touch()
    return interpreter


def run_in_environment(interpreter: Path, words: Sequence[str], locale: Mapping[str, str]) -> int:
    """Run ``imblab`` with some words in an environment, under the locale of the record; return its exit status."""
    variables = {**os.environ, **({"LC_CTYPE": locale["LC_CTYPE"]} if locale.get("LC_CTYPE") else {})}
    variables.pop("LC_ALL", None)  # it would hide the category
    return subprocess.run([str(interpreter), "-m", "imblab", *words], check=False, env=variables).returncode


def _venv_command(python: str, home: Path) -> list[str]:
    """Return the command of the standard library, which makes environments of its own version only."""
    current = ".".join(map(str, sys.version_info[:3]))
    if current != python:
        raise StudyError(
            f"the environment of Python {python!r} cannot be made by this Python, which is {current}; without uv an "
            "environment has the version of the Python that makes it. Install uv (https://docs.astral.sh/uv), or run "
            f"imblab with Python {python}."
        )
    return [sys.executable, "-m", "venv", str(home)]


def _imblab_requirement() -> list[str]:
    """Return how imblab is installed once more: from its source folder where it runs from one, else by its version."""
    try:
        installed = distribution("imblab")
    except PackageNotFoundError:
        return ["imblab"]
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    if "dir_info" in origin:
        return [url2pathname(urlsplit(origin["url"]).path)]
    return [f"imblab=={installed.version}"]


def _run_tool(command: Sequence[str]) -> None:
    """Run uv, venv or pip; its output goes to standard error, so that that of imblab stays as it is."""
    try:
        process = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        output, failed = process.stdout, process.returncode != 0
    except OSError as error:
        output, failed = str(error), True
    if failed:
        reason = " / ".join(line.strip() for line in output.strip().splitlines()[-MAX_OUTPUT_LINES:])
        raise StudyError(
            f"the recorded environment cannot be made: {presentable(' '.join(map(str, command[:4])))!r} ended with "
            f"{presentable(reason)!r}; every package of the lock must be installable here. Remove the cause, or "
            "reproduce without --env, which compares within the tolerance."
        )
