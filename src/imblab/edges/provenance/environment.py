"""The environment of evaluations: Python, packages, processor and locale, recorded in the folder of their study.

``environment.json`` names neither a user, nor a machine, nor a path. Its packages are those that imblab and the classes
of the study need, each with its version: a lock from which the environment is made again, by uv or by pip.
"""

from __future__ import annotations

import json
import locale
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import scipy.linalg  # noqa: F401 (loads the linear algebra that threadpoolctl describes)
from threadpoolctl import threadpool_info

from imblab.edges import files
from imblab.edges.files import locks
from imblab.edges.provenance import RECORDED_PACKAGES, read_or_set_aside, read_records
from imblab.errors import StudyError, presentable
from imblab.fields import check_text, mapping_check, record_check
from imblab.study import fingerprint

ENVIRONMENT_FILE = "environment.json"
LOCALE_CATEGORIES = ("LC_CTYPE", "LC_COLLATE", "LC_NUMERIC", "LC_TIME")
#: Begins the requirement of a distribution.
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: Distributions by the package that evidence and estimator specifications name.
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "imblearn": "imbalanced-learn"}
#: Below the current directory: one environment per lock, made once.
ENVIRONMENTS = Path("mlruns/environments")
LOCK_FILE, READY_FILE = "requirements.lock", "ready"
MAX_OUTPUT_LINES = 4


@dataclass(frozen=True, slots=True)
class Environment:
    """Where evaluations were made, as far as it can change a number."""

    #: such as ``"CPython 3.11.9"`` and ``"Linux x86_64"``; empty where an older record does not say
    python: str = ""
    system: str = ""
    #: ``blas``: the libraries of linear algebra and the kind of processor that they chose; ``simd``: the extensions
    #: that numpy uses
    processor: Mapping[str, str] = field(default_factory=dict)
    locale: Mapping[str, str] = field(default_factory=dict)  # by category, and the ``encoding`` of text
    #: versions by the name of the distribution, which is in lower case with hyphens
    packages: Mapping[str, str] = field(default_factory=dict)

    def requirements(self) -> list[str]:
        """Return the lock: one pinned requirement per package, without imblab."""
        return [f"{name}=={version}" for name, version in self.packages.items() if name != "imblab"]


@dataclass(frozen=True, slots=True)
class Change:
    """What differs between the environment of a record and that of now."""

    #: {"version", "machine", "locale"}: versions of Python and packages, the system and its processor, or the locale
    kind: str
    name: str  # such as ``"numpy"``, ``"processor.blas"`` or ``"LC_NUMERIC"``
    #: both values; empty for a package that is not there
    recorded: str
    now: str


def current_environment(code_paths: Iterable[str] = ()) -> Environment:
    """Describe the environment of this process; ``code_paths`` are the classes and functions of a study."""
    roots = (*RECORDED_PACKAGES, *(distribution_name(path) for path in code_paths))
    libraries = {
        f"{each['internal_api']} {each.get('version')} {each.get('architecture') or ''}".strip()
        for each in threadpool_info()
        if each["user_api"] == "blas"
    }
    simd: Any = np.show_config(mode="dicts")
    categories = {name: locale.setlocale(getattr(locale, name)) for name in LOCALE_CATEGORIES}
    return Environment(
        f"{platform.python_implementation()} {platform.python_version()}",
        f"{platform.system()} {platform.machine()}",
        {
            "blas": ", ".join(sorted(libraries)),
            "simd": " ".join((simd or {}).get("SIMD Extensions", {}).get("found", ())),
        },
        {**categories, "encoding": sys.getdefaultencoding()},
        _versions(tuple(sorted(set(roots)))),
    )


def record_environment(folder: Path, code_paths: Iterable[str] = ()) -> Environment:
    """Record in the folder of a study the environment that its next rows are made in; earlier ones stay."""
    now = current_environment(code_paths)
    earlier = read_or_set_aside(folder, ENVIRONMENT_FILE, read_environments)
    if now not in earlier:
        content = json.dumps([asdict(each) for each in (*earlier, now)], indent=1) + "\n"
        files.replace(folder, ENVIRONMENT_FILE, content.encode())
    return now


def read_environments(folder: Path) -> tuple[Environment, ...]:
    """Read the environments of a study, in the order of their first row; DerivedFileError if the file is damaged."""
    content, way_out = (
        "the environments that rows were made in",
        "Restore it; without it evaluations are compared bit for bit.",
    )
    records = read_records(folder, ENVIRONMENT_FILE, _check_environment, content, way_out)
    return tuple(Environment(**record) for record in records)


def environment_of_facts(facts: Mapping[str, Any]) -> Environment | None:
    """Return what the facts of older evidence say of the environment; None where they say nothing."""
    versions: dict[str, str] = dict(facts.get("versions", {}))
    if not versions:
        return None
    python = versions.pop("python", "")
    packages = {distribution_name(name): value for name, value in versions.items()}  # they name importable packages
    return Environment(python, facts.get("system", ""), packages=packages)


def changes(recorded: Environment, now: Environment) -> list[Change]:
    """List what differs, as far as the record says it; packages on which no number rests are left out."""
    pairs: list[tuple[str, str, str, str]] = [("machine", "system", recorded.system, now.system)]
    is_short = " " not in recorded.python  # older evidence names the version alone
    pairs.append(("version", "python", recorded.python, now.python.rpartition(" ")[2] if is_short else now.python))
    numeric = [name for name in recorded.packages if name in _numeric_packages(recorded)]
    pairs += [("version", name, recorded.packages[name], now.packages.get(name, "")) for name in numeric]
    pairs += [("machine", f"processor.{n}", value, now.processor.get(n, "")) for n, value in recorded.processor.items()]
    pairs += [("locale", name, value, now.locale.get(name, "")) for name, value in recorded.locale.items()]
    return [Change(*pair) for pair in pairs if pair[2] and pair[2] != pair[3]]


def _numeric_packages(environment: Environment) -> set[str]:
    """The packages that numbers may rest on: those that fit and score, and all that is not a dependency of imblab."""
    return {*RECORDED_PACKAGES, "xgboost-cpu"} | (set(environment.packages) - set(_versions(("imblab",))))


def distribution_name(path: str) -> str:
    """Return the distribution of the package of a dotted path; the package itself for code without one."""
    package = path.partition(".")[0]
    name = _DISTRIBUTIONS.get(package, package)
    with suppress(PackageNotFoundError):
        return _normalized(distribution(name).name)
    return _normalized(_installed_distributions().get(package, [package])[0])


_installed_distributions = cache(packages_distributions)  # takes a second


@cache
def _versions(roots: tuple[str, ...]) -> dict[str, str]:
    """The installed versions of distributions and of everything that they need, without their extras."""
    versions: dict[str, str] = {}
    waiting = [_normalized(name) for name in roots]
    while waiting:
        name = waiting.pop()
        if name in versions:
            continue
        try:
            metadata = distribution(name).metadata  # read and parsed anew each time
        except PackageNotFoundError:  # an optional package, or one of another system
            continue
        versions[name] = metadata["Version"]
        needed = [text for text in metadata.get_all("Requires-Dist") or () if "extra ==" not in text]
        waiting += [_normalized(match[0]) for text in needed if (match := _REQUIREMENT.match(text))]
    return dict(sorted(versions.items()))


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


_TEXTS = mapping_check(check_text)
_check_environment = record_check(
    {"python": check_text, "system": check_text, "processor": _TEXTS, "locale": _TEXTS, "packages": _TEXTS}, ()
)


def make_environment(python: str, requirements: Sequence[str]) -> Path:
    """Make the environment of a lock, unless it is there, and return its Python.

    uv fetches a version of Python that is missing, pip needs this Python to be it. imblab, which is not among the
    requirements, is installed from where it runs now.
    """
    home = (ENVIRONMENTS / fingerprint(python, sorted(requirements))).absolute()
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
