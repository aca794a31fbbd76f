"""The rows of a query: one statement that reads, on a connection that cannot write, and no secret in a message."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pandas as pd

from imblab.edges.datasets.problems import Checks
from imblab.errors import ConfigError, DataError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Engine

#: What is no word of SQL: comments, texts, quoted names, dollar-quoted texts of PostgreSQL.
_QUOTED = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^'\\]|''|\\.)*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|(\$\w*\$).*?\1", re.DOTALL)
READS = ("SELECT", "WITH", "VALUES", "TABLE")
#: Words that change something wherever they stand; a column of that name is quoted.
CHANGES = {"INSERT", "UPDATE", "DELETE", "MERGE", "UPSERT", "INTO", "CREATE", "ALTER", "DROP", "TRUNCATE", "GRANT"}
CHANGES |= {"REVOKE", "CALL", "EXEC", "EXECUTE", "COPY", "ATTACH", "DETACH", "PRAGMA", "VACUUM", "LOCK", "COMMIT"}
#: Databases whose drivers take a number of seconds to wait for a connection.
PATIENT = ("postgresql", "mysql", "mariadb")
CONNECT_SECONDS = 10
#: Shorter texts stand in a message by chance.
MIN_SECRET_CHARACTERS = 2


def read_query(query: Any, url_env: Any, checks: Checks) -> pd.DataFrame:
    """Read the rows of a query.

    Parameters
    ----------
    query : str
        One statement that reads.
    url_env : str
        The environment variable that holds the SQLAlchemy address of the database.
    checks : Checks
        Notes a query without an order.

    Returns
    -------
    DataFrame
        Numbers, texts, flags and dates as the database holds them.

    Raises
    ------
    ConfigError, DataError
        Without user, password and other secrets of the address.
    """
    from sqlalchemy import exc

    words = _words(query, checks)
    url = _address(url_env, checks)
    if not _is_ordered(words):
        checks.note(
            "is read by a query without ORDER BY: the database may return the rows in another order next time, and "
            "then it is another data set"
        )
    try:
        engine = _engine(url)
    except (exc.NoSuchModuleError, ImportError) as error:
        package = getattr(error, "name", None) or url.drivername
        more = " Install it with: pip install 'imblab[server]'." if url.get_backend_name() == "postgresql" else ""
        raise ConfigError(
            f"data set {checks.key!r} is read from a database of the kind {url.drivername!r}, whose driver "
            f"({package}) is not installed; SQLAlchemy needs it.{more or ' Install it.'}"
        ) from None
    try:
        return _rows(engine, str(query).strip().rstrip(";"))
    except (exc.SQLAlchemyError, OSError) as error:
        found = without_secrets(str(getattr(error, "orig", None) or error), url)
        raise DataError(
            f"data set {checks.key!r} cannot be read from the database in {str(url_env)!r} "
            f"({' '.join(found.split())[:300]}); its query must run there. Correct {checks.at('query')}, or the "
            "variable."
        ) from None
    finally:
        engine.dispose()


def without_secrets(text: str, url: URL) -> str:
    """A text of a driver without what an address keeps secret, however the driver wrote it.

    Examples
    --------
    >>> from sqlalchemy import make_url
    >>> without_secrets("no user 'me' with p@ss (p%40ss)", make_url("sqlite://me:p%40ss@/x"))
    "no user '...' with ... (...)"
    """
    secrets = {str(url.password or ""), str(url.username or ""), *_values(url)}
    forms = {form for secret in secrets for form in (secret, quote(secret, safe=""), quote_plus(secret))}
    for form in sorted(forms, key=len, reverse=True):
        if len(form) >= MIN_SECRET_CHARACTERS:
            text = text.replace(form, "...")
    return text


def _values(url: URL) -> Iterable[str]:
    for value in url.query.values():
        yield from (value,) if isinstance(value, str) else value


def _words(query: Any, checks: Checks) -> str:
    """The words of a query without its texts, comments and quoted names; refused unless it only reads."""
    where = checks.at("query")
    if not isinstance(query, str) or not query.strip():
        raise ConfigError(
            f"data set {checks.key!r} has no query; the rows of a database are those of a query. Set {where}, for "
            'example "SELECT * FROM customers ORDER BY id".'
        )
    words = _QUOTED.sub(" ", query).strip().rstrip(";").strip()
    first = (re.findall(r"\w+", words) or [""])[0].upper()
    changing = sorted({word.upper() for word in re.findall(r"\w+", words)} & CHANGES)
    if first not in READS or changing or ";" in words:
        what = f"begins with {first!r}" if first not in READS else "holds a second statement"
        what = f"holds {' and '.join(changing)}" if changing else what
        raise ConfigError(
            f"data set {checks.key!r} has a query that {what}; it is one statement that reads, such as SELECT ... or "
            f"WITH ... SELECT. Correct {where}; names that look like a command are quoted."
        )
    return words


def _is_ordered(words: str) -> bool:
    """Whether the outermost statement has an order."""
    depth, outer = 0, []
    for part in re.split(r"([()])", words):
        outer += [part] if depth == 0 else []
        depth += {"(": 1, ")": -1}.get(part, 0)
    return re.search(r"\border\s+by\b", " ".join(outer), re.IGNORECASE) is not None


def _address(url_env: Any, checks: Checks) -> URL:
    from sqlalchemy import exc, make_url

    where = checks.at("url_env")
    if not isinstance(url_env, str) or not re.fullmatch(r"[A-Za-z_]\w*", url_env):
        held = "an address" if "://" in str(url_env) else "nothing that names a variable"
        raise ConfigError(
            f"'{where}' holds {held}; it is the name of an environment variable that holds the address, so that no "
            f"password stands in a study. Write for example {where}=SHOP_DB."
        )
    text = os.environ.get(url_env, "")
    try:
        if not text:
            raise exc.ArgumentError("nothing")
        url = make_url(text)
    except (exc.ArgumentError, ValueError):
        held = "is not an address that SQLAlchemy reads" if text else "is not set"
        raise ConfigError(
            f"the environment variable {url_env!r} of data set {checks.key!r} {held}; it holds the address of a "
            f"database. Set it in your shell: export {url_env}='postgresql+psycopg://user:...@host/name'."
        ) from None
    if url.host and text.partition("?")[0].count("@") > 1:  # the rest of a password would count as the host
        raise ConfigError(
            f"the environment variable {url_env!r} of data set {checks.key!r} holds an address with more than one '@'; "
            "one stands before the host, and in a user, a password or a name it is written %40. Correct the variable."
        )
    _check_file(url, url_env, checks)
    return url


def _check_file(url: URL, url_env: str, checks: Checks) -> None:
    """SQLite makes a file that is not there."""
    path = url.database or ""
    in_file = url.get_backend_name() == "sqlite" and path not in ("", ":memory:") and not path.startswith("file:")
    if in_file and not Path(path).is_file():
        raise DataError(
            f"the environment variable {url_env!r} of data set {checks.key!r} names the SQLite database {path!r}, "
            "which is not a file; a table is read from one that is there. Correct the variable."
        )


def _engine(url: URL) -> Engine:
    from sqlalchemy import create_engine

    patient = {"connect_timeout": CONNECT_SECONDS} if url.get_backend_name() in PATIENT else {}
    return create_engine(url, connect_args=patient, hide_parameters=True)


def _rows(engine: Engine, query: str) -> pd.DataFrame:
    """The rows; nothing is committed, and where the database knows how, nothing can be written."""
    kind = engine.dialect.name
    options: dict[str, Any] = {"postgresql_readonly": True} if kind == "postgresql" else {}
    # Without parameters, a driver takes a per cent sign for itself.
    with engine.connect().execution_options(no_parameters=True, **options) as connection:
        if kind == "sqlite":
            connection.exec_driver_sql("PRAGMA query_only = ON")
        elif kind in ("mysql", "mariadb"):
            connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
        found = connection.exec_driver_sql(query)
        names, rows = list(found.keys()), [tuple(row) for row in found]
    frame = pd.DataFrame(rows, columns=range(len(names)), dtype=object).infer_objects()
    return frame.set_axis(names, axis=1)
