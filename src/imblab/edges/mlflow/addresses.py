"""The address of an MLflow store: the one place that turns files into addresses and addresses into files.

SQLAlchemy takes ``%41`` in the name of a database for ``A`` and what follows a ``?`` for options; MLflow decodes the
addresses of artifacts, and makes the folder of an SQLite address as it is written. A folder called ``My%20Project`` or
``what?`` is therefore quoted here, and nowhere else.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit
from urllib.request import url2pathname

from imblab.errors import StudyError, describe, presentable
from imblab.redaction import ambiguity

SQLITE_PREFIX, DEFAULT_DATABASE = "sqlite:///", "mlruns/mlflow.db"
DEFAULT_URI = SQLITE_PREFIX + DEFAULT_DATABASE
#: Of what a library says.
MAX_REASON_CHARACTERS = 300
#: An SQLite address as SQLAlchemy reads it: the database, quoted, and options.
_SQLITE_ADDRESS = re.compile(r"sqlite(?:\+\w+)?:///(?P<database>[^?]*)(?:\?(?P<options>.*))?", re.DOTALL)


def sqlite_uri(path: Path) -> str:
    """The address under which SQLAlchemy opens exactly this file.

    Parameters
    ----------
    path : Path
        Absolute.

    Returns
    -------
    str
        The path as it is, where it reads as itself. Elsewhere everything is quoted, slashes too: MLflow makes the
        folder of the unquoted text, which then is the current one and not a second ``My%2520Project``.

    Raises
    ------
    StudyError
        If no address names this file.

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
    """The address under which MLflow finds exactly this folder or file; see :func:`sqlite_uri`.

    Examples
    --------
    >>> file_uri(Path("/My%20Project/model"))
    'file:///My%2520Project/model'
    """
    _check_utf8(path)
    return path.absolute().as_uri()


def sqlite_path(uri: str) -> Path | None:
    """The file behind an SQLite address, as SQLAlchemy opens it; None for a server, another database, or memory.

    Parameters
    ----------
    uri : str
        A relative file follows the current directory and is made absolute, once.

    Returns
    -------
    Path or None

    Raises
    ------
    StudyError
        If no file can have its name.

    Examples
    --------
    >>> file("sqlite:////data/My%20Project/mlflow.db")
    PosixPath('/data/My Project/mlflow.db')
    """
    found = _SQLITE_ADDRESS.fullmatch(uri)
    name = unquote(found["database"]) if found else ""
    if found and name.startswith("file:"):
        options = parse_qs(found["options"] or "")
        if options.get("mode") == ["memory"]:
            return None
        if options.get("uri", [""])[0].lower() in ("true", "1", "yes", "on"):
            name = unquote(urlsplit(name).path)  # what SQLite makes of it
    if "\0" in name:
        raise StudyError(
            f"the MLflow store {uri!r} has a null byte in its name ('%00'); no file is called so. Correct the address."
        )
    return None if name in ("", ":memory:") else Path(name).resolve()


def absolute_uri(uri: str) -> str:
    """The address with an absolute file, where it names a relative one; every other address passes as it is."""
    found, path = _SQLITE_ADDRESS.fullmatch(uri), sqlite_path(uri)
    if found is None or path is None or unquote(found["database"]).startswith(("/", "file:")):
        return uri
    options = f"?{found['options']}" if found["options"] else ""
    return sqlite_uri(path) + options


def is_database(uri: str) -> bool:
    """Whether the store is a database that this process opens itself."""
    return uri.split(":")[0].split("+")[0] in ("sqlite", "postgresql", "mysql", "mssql")


def artifact_folder(uri: str) -> Path:
    """Where the files of runs lie: beside the SQLite file, or in this directory's ``mlruns``."""
    return ((sqlite_path(uri) or Path(DEFAULT_DATABASE).resolve()).parent / "artifacts").resolve()


def file_uri_path(uri: str) -> Path:
    """The folder or file that MLflow finds under an address of :func:`file_uri`."""
    return Path(url2pathname(urlsplit(uri).path))


def check_store_uri(uri: str) -> None:
    """Refuse what can be no store before anything is written: a folder, or an address that is read otherwise.

    Raises
    ------
    StudyError
    """
    check_password_quoting(uri)
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
    """Refuse what is no regular file behind an address: it would be replaced, or what is written to it be lost.

    Parameters
    ----------
    path : Path or None
        See :func:`file`.
    uri : str
        The address, for the message.

    Raises
    ------
    StudyError
        If a folder, a pipe or a device stands there.
    """
    if path is not None and path.exists() and not path.is_file():
        raise StudyError(
            f"the MLflow store {uri!r} is a folder, a pipe or a device; SQLite keeps runs in a file. Write for "
            f"example tracking.uri={DEFAULT_URI}."
        )


def check_password_quoting(uri: str) -> None:
    """Refuse an address whose password would be taken apart, and told in pieces, by a driver.

    Raises
    ------
    StudyError
    """
    if reason := ambiguity(uri):
        raise StudyError(
            f"the MLflow store {presentable(uri)!r} has an address that cannot be used; {reason}. Quote the "
            "special characters of the password."
        )


def check_servable(uri: str) -> None:
    """Refuse what has no page of ours: a missing file, or a server."""
    check_password_quoting(uri)
    path = sqlite_path(uri)
    if path is not None and not path.is_file():
        raise StudyError(
            f"there is no MLflow store {uri!r} seen from this directory; it is made by the first study that is logged. "
            "Run one: imblab run experiment=quickstart, or name another store with --uri."
        )
    if not is_database(uri):
        raise StudyError(
            f"the MLflow store {presentable(uri)!r} is no database; a tracking server has its own page. Open its "
            "address in a browser, or name a database with --uri."
        )


def brief_reason(error: Exception) -> str:
    """The first line of an error, without secrets; only its cause where it ends with one, as in requests."""
    text, _, cause = presentable(describe(error)).rpartition(" (Caused by ")
    return f"{type(error).__name__}: {(cause.removesuffix(')') if text else cause)[:MAX_REASON_CHARACTERS]}"


def _check_utf8(path: Path) -> None:
    try:
        os.fspath(path).encode("utf-8")
    except UnicodeEncodeError:
        raise StudyError(
            f"the MLflow store in the folder {os.fsencode(path.parent)!r} has no address; the name of a folder that "
            "holds runs is text in UTF-8. Rename the folder, or log elsewhere with tracking.uri=..., or nowhere with "
            "tracking=none."
        ) from None
