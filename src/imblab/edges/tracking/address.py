"""The address of an MLflow store: what it stands for, and how it is shown without its password."""

from __future__ import annotations

import re
from pathlib import Path

from imblab.errors import StudyError

SQLITE, DEFAULT = "sqlite:///", "mlruns/mlflow.db"
DEFAULT_URI = SQLITE + DEFAULT


def file(uri: str) -> Path | None:
    """The file behind an SQLite address; a relative one follows the current directory and is made absolute, once."""
    return Path(uri.removeprefix(SQLITE)).resolve() if uri.startswith(SQLITE) else None


def resolved(uri: str) -> str:
    """The address with an absolute file, where it is one."""
    path = file(uri)
    return uri if path is None else f"{SQLITE}{path}"


def is_database(uri: str) -> bool:
    """Whether the store is a database that this process opens itself."""
    return uri.split(":")[0].split("+")[0] in ("sqlite", "postgresql", "mysql", "mssql")


def artifacts(uri: str) -> Path:
    """Where the files of runs lie: beside the SQLite file, or in this directory's ``mlruns``."""
    return ((file(uri) or Path(DEFAULT).resolve()).parent / "artifacts").resolve()


def check_writable(uri: str) -> None:
    """Refuse a folder, which MLflow no longer takes for a store."""
    if (":" not in uri and uri != "databricks") or uri.startswith("file:"):
        raise StudyError(
            f"the MLflow store {uri!r} is a folder at best; MLflow keeps runs in a database or at a server. Write for "
            f"example tracking.uri={DEFAULT_URI} or tracking.uri=http://host:5000."
        )


def check_servable(uri: str) -> None:
    """Refuse what has no page of ours: a missing file, or a server."""
    path = file(uri)
    if path is not None and not path.is_file():
        raise StudyError(
            f"there is no MLflow store {uri!r} seen from this directory; it is made by the first study that is logged. "
            "Run one: imblab run experiment=quickstart, or name another store with --uri."
        )
    if not is_database(uri):
        raise StudyError(
            f"the MLflow store {shown(uri)!r} is no database; a tracking server has its own page. Open its address in "
            "a browser, or name a database with --uri."
        )


def brief(error: Exception) -> str:
    """The first line of an error, without a password; only its cause where it ends with one, as in requests."""
    lines = str(error).splitlines() or ["no message"]
    text, _, cause = shown(lines[0]).rpartition(" (Caused by ")
    return f"{type(error).__name__}: {(cause.removesuffix(')') if text else cause)[:150]}"


def shown(text: str) -> str:
    """Text whose addresses have lost their user and password."""
    return re.sub(r"(://)[^/\s]*(?=@)|(password=)[^&\s]*", r"\1\2...", text)
