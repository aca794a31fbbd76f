"""Addresses of MLflow stores: the only place that turns file paths into addresses and addresses into file paths.

SQLAlchemy reads ``%41`` in the name of a database as ``A`` and everything after a ``?`` as options. MLflow decodes the
addresses of artifacts, and creates the folder of an SQLite address as it is written. A folder called ``My%20Project``
or ``what?`` is therefore quoted here, and nowhere else.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit
from urllib.request import url2pathname

from imblab.errors import StudyError, check_password_quoting, presentable

SQLITE_PREFIX, DEFAULT_DATABASE = "sqlite:///", "mlruns/mlflow.db"
DEFAULT_URI = SQLITE_PREFIX + DEFAULT_DATABASE
#: An SQLite address as SQLAlchemy reads it: the quoted path of the database, and options.
_SQLITE_ADDRESS = re.compile(r"sqlite(?:\+\w+)?:///(?P<database>[^?]*)(?:\?(?P<options>.*))?", re.DOTALL)


def sqlite_uri(path: Path) -> str:
    """Give the address under which SQLAlchemy opens exactly the file of an absolute path.

    A path with special characters is quoted as a whole, slashes too: MLflow creates the folder of the unquoted text,
    which is then the current one and not a second ``My%2520Project``.

    Examples
    --------
    >>> sqlite_uri(Path("/data/mlflow.db")), sqlite_uri(Path("/what?/mlflow.db"))
    ('sqlite:////data/mlflow.db', 'sqlite:///%2Fwhat%3F%2Fmlflow.db')
    """
    _check_utf8(path)
    if str(path).isprintable() and not set(str(path)) & set("%?"):
        return f"{SQLITE_PREFIX}{path}"
    uri = SQLITE_PREFIX + quote(str(path), safe="")
    from sqlalchemy import make_url

    if make_url(uri).database != str(path):
        raise StudyError(
            f"the MLflow store in the folder {str(path.parent)!r} has no address; this release of SQLAlchemy reads "
            "'%' and '?' in the name of a file as something else. Install sqlalchemy>=2.1, rename the folder, or log "
            f"elsewhere with tracking.uri=..., or nowhere with tracking=none."
        )
    return uri


def file_uri(path: Path) -> str:
    """Give the address under which MLflow finds exactly this folder or file.

    Examples
    --------
    >>> file_uri(Path("/My%20Project/model"))
    'file:///My%2520Project/model'
    """
    _check_utf8(path)
    return path.absolute().as_uri()


def sqlite_path(uri: str) -> Path | None:
    """Give the absolute path of the file behind an SQLite address; None for a server, another database, or memory.

    Examples
    --------
    >>> sqlite_path("sqlite:////data/My%20Project/mlflow.db")
    PosixPath('/data/My Project/mlflow.db')
    """
    match = _SQLITE_ADDRESS.fullmatch(uri)
    name = unquote(match["database"]) if match else ""
    if match and name.startswith("file:"):
        options = parse_qs(match["options"] or "")
        if options.get("mode") == ["memory"]:
            return None
        if options.get("uri", [""])[0].lower() in ("true", "1", "yes", "on"):
            name = unquote(urlsplit(name).path)  # as SQLite reads it
    if "\0" in name:
        raise StudyError(
            f"the MLflow store {uri!r} has a null byte in its name ('%00'); the name of a file cannot hold one. "
            "Correct the address."
        )
    return None if name in ("", ":memory:") else Path(name).resolve()


def absolute_uri(uri: str) -> str:
    """Make the file of a relative SQLite address absolute; every other address stays as it is."""
    match, path = _SQLITE_ADDRESS.fullmatch(uri), sqlite_path(uri)
    if match is None or path is None or unquote(match["database"]).startswith(("/", "file:")):
        return uri
    options = f"?{match['options']}" if match["options"] else ""
    return sqlite_uri(path) + options


def is_database(uri: str) -> bool:
    """Whether the store is a database that this process opens itself."""
    return uri.split(":")[0].split("+")[0] in ("sqlite", "postgresql", "mysql", "mssql")


def artifact_folder(uri: str) -> Path:
    """The folder of artifacts: next to the SQLite file, or in the ``mlruns`` of the current directory."""
    return ((sqlite_path(uri) or Path(DEFAULT_DATABASE).resolve()).parent / "artifacts").resolve()


def file_uri_path(uri: str) -> Path:
    """The folder or file that MLflow finds under an address of :func:`file_uri`."""
    return Path(url2pathname(urlsplit(uri).path))


def check_store_uri(uri: str) -> None:
    """Refuse an address that cannot be an MLflow store, before anything is written."""
    check_password_quoting("MLflow store", uri)
    check_regular_file(sqlite_path(uri), uri)
    if (":" not in uri and uri != "databricks") or uri.startswith("file:"):
        raise StudyError(
            f"the MLflow store {uri!r} is a folder at best; MLflow keeps runs in a database or at a server. Write for "
            f"example tracking.uri={DEFAULT_URI} or tracking.uri=http://host:5000."
        )
    if is_database(uri):
        absolute_uri(uri)
        file_uri(artifact_folder(uri))


def check_regular_file(path: Path | None, uri: str) -> None:
    """Refuse a folder, a pipe or a device behind an SQLite address: a store is kept in a file."""
    if path is not None and path.exists() and not path.is_file():
        raise StudyError(
            f"the MLflow store {uri!r} is a folder, a pipe or a device; SQLite keeps runs in a file. Write for "
            f"example tracking.uri={DEFAULT_URI}."
        )


def check_servable(uri: str) -> None:
    """Refuse to serve a missing file, or a tracking server, which has its own page."""
    check_password_quoting("MLflow store", uri)
    path = sqlite_path(uri)
    if path is not None and not path.is_file():
        raise StudyError(
            f"the MLflow store {uri!r} does not exist, seen from this directory; it is created by the first study that "
            "is logged. Run one: imblab run experiment=quickstart, or name another store with --uri."
        )
    if not is_database(uri):
        raise StudyError(
            f"the MLflow store {presentable(uri)!r} is not a database; a tracking server has its own page. Open its "
            "address in a browser, or name a database with --uri."
        )


def _check_utf8(path: Path) -> None:
    try:
        os.fspath(path).encode("utf-8")
    except UnicodeEncodeError:
        raise StudyError(
            f"the MLflow store in the folder {os.fsencode(path.parent)!r} has no address; the name of a folder that "
            "holds runs is text in UTF-8. Rename the folder, or log elsewhere with tracking.uri=..., or nowhere with "
            "tracking=none."
        ) from None
