"""The rows of a query: one statement that only reads, on a read-only connection, without secrets in messages."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from imblab.edges.datasets.notation import TableProblems
from imblab.errors import ConfigError, DataError
from imblab.redaction import without_values

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Engine

#: What is not a word of SQL: comments, texts, quoted names, dollar-quoted texts of PostgreSQL.
_NOT_WORDS = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^'\\]|''|\\.)*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|(\$\w*\$).*?\1", re.DOTALL
)
READING_COMMANDS = ("SELECT", "WITH", "VALUES", "TABLE")
#: Words that change something wherever they stand; a column of that name is quoted.
CHANGING_WORDS = {
    *("INSERT", "UPDATE", "DELETE", "MERGE", "UPSERT", "INTO", "CREATE", "ALTER", "DROP", "TRUNCATE", "GRANT"),
    *("REVOKE", "CALL", "EXEC", "EXECUTE", "COPY", "ATTACH", "DETACH", "PRAGMA", "VACUUM", "LOCK", "COMMIT"),
}
#: Databases whose drivers take a time limit for connecting.
WITH_CONNECT_TIMEOUT = ("postgresql", "mysql", "mariadb")
CONNECT_SECONDS = 10
MAX_ERROR_CHARACTERS = 300


def read_query(query: Any, url_env: Any, problems: TableProblems) -> pd.DataFrame:
    """Read the rows of a query, with numbers, texts, flags and dates as the database holds them.

    ``url_env`` names the environment variable that holds the SQLAlchemy address. Errors are ConfigError and DataError,
    without user, password and other secrets of the address.
    """
    from sqlalchemy import exc

    words = _reading_words(query, problems)
    url = _database_url(url_env, problems)
    if not _is_ordered(words):
        problems.notes.append(
            "is read by a query without ORDER BY: the database may return the rows in another order next time, and "
            "then it is another data set"
        )
    try:
        engine = _create_engine(url)
    except (exc.NoSuchModuleError, ImportError) as error:
        package = getattr(error, "name", None) or url.drivername
        command = " with: pip install 'imblab[server]'" if url.get_backend_name() == "postgresql" else ""
        raise ConfigError(
            f"data set {problems.name!r} is read from a database of the kind {url.drivername!r}, whose driver "
            f"({package}) is not installed; SQLAlchemy needs it. Install it{command}."
        ) from None
    try:
        return _fetch_rows(engine, str(query).strip().rstrip(";"))
    except (exc.SQLAlchemyError, OSError) as error:
        reason = " ".join(without_secrets(str(getattr(error, "orig", None) or error), url).split())
        raise DataError(
            f"data set {problems.name!r} cannot be read from the database in {str(url_env)!r} "
            f"({reason[:MAX_ERROR_CHARACTERS]}); its query must run there. Correct {problems.option('query')}, or the "
            "variable."
        ) from None
    finally:
        engine.dispose()


def without_secrets(text: str, url: URL) -> str:
    """Return a text of a driver without user, password and options of an address, in any quoting."""
    options = [text for value in url.query.values() for text in ((value,) if isinstance(value, str) else value)]
    return without_values(text, [str(url.password or ""), str(url.username or ""), *options])


def _reading_words(query: Any, problems: TableProblems) -> str:
    """Return a query without its texts, comments and quoted names; refused unless it only reads."""
    option = problems.option("query")
    if not isinstance(query, str) or not query.strip():
        raise ConfigError(
            f"data set {problems.name!r} has no query; the rows of a database are those of a query. Set {option}, for "
            'example "SELECT * FROM customers ORDER BY id".'
        )
    statement = _NOT_WORDS.sub(" ", query).strip().rstrip(";").strip()
    words = [word.upper() for word in re.findall(r"\w+", statement)] or [""]
    changing = sorted(CHANGING_WORDS.intersection(words))
    finding = ""
    if changing:
        finding = f"holds {' and '.join(changing)}"
    elif words[0] not in READING_COMMANDS:
        finding = f"begins with {words[0]!r}"
    elif ";" in statement:
        finding = "holds a second statement"
    if finding:
        raise ConfigError(
            f"data set {problems.name!r} has a query that {finding}; it is one statement that reads, such as SELECT "
            f"... or WITH ... SELECT. Correct {option}; names that look like a command are quoted."
        )
    return statement


def _is_ordered(statement: str) -> bool:
    """Whether the outermost statement has an order."""
    depth, outer = 0, []
    for part in re.split(r"([()])", statement):
        outer += [part] if depth == 0 else []
        depth += {"(": 1, ")": -1}.get(part, 0)
    return re.search(r"\border\s+by\b", " ".join(outer), re.IGNORECASE) is not None


def _database_url(url_env: Any, problems: TableProblems) -> URL:
    from sqlalchemy import exc, make_url

    option = problems.option("url_env")
    if not isinstance(url_env, str) or not re.fullmatch(r"[A-Za-z_]\w*", url_env):
        content = "an address" if "://" in str(url_env) else "nothing that names a variable"
        raise ConfigError(
            f"'{option}' holds {content}; it is the name of an environment variable that holds the address, so that "
            f"no password is written into a study. Write for example {option}=SHOP_DB."
        )
    variable = f"the environment variable {url_env!r} of data set {problems.name!r}"
    text = os.environ.get(url_env, "")
    try:
        url = make_url(text) if text else None
    except (exc.ArgumentError, ValueError):
        url = None
    if url is None:
        finding = "is not an address that SQLAlchemy reads" if text else "is not set"
        raise ConfigError(
            f"{variable} {finding}; it holds the address of a database. Set it in your shell: export "
            f"{url_env}='postgresql+psycopg://user:...@host/name'."
        )
    if url.host and text.partition("?")[0].count("@") > 1:  # the end of a password would count as the host
        raise ConfigError(
            f"{variable} holds an address with more than one '@'; one precedes the host, and in a user, a password or "
            "a name it is written %40. Correct the variable."
        )
    path = url.database or ""
    in_file = url.get_backend_name() == "sqlite" and path not in ("", ":memory:") and not path.startswith("file:")
    if in_file and not Path(path).is_file():  # SQLite would make it
        raise DataError(
            f"{variable} names the SQLite database {path!r}, which is not a file; a table is read from an existing "
            "one. Correct the variable."
        )
    return url


def _create_engine(url: URL) -> Engine:
    from sqlalchemy import create_engine

    options = {"connect_timeout": CONNECT_SECONDS} if url.get_backend_name() in WITH_CONNECT_TIMEOUT else {}
    return create_engine(url, connect_args=options, hide_parameters=True)


def _fetch_rows(engine: Engine, query: str) -> pd.DataFrame:
    """Return the rows; nothing is committed, and where the database has a read-only mode, nothing can be written."""
    kind = engine.dialect.name
    options: dict[str, Any] = {"postgresql_readonly": True} if kind == "postgresql" else {}
    # Without no_parameters, a driver interprets a per cent sign.
    with engine.connect().execution_options(no_parameters=True, **options) as connection:
        if kind == "sqlite":
            connection.exec_driver_sql("PRAGMA query_only = ON")
        elif kind in ("mysql", "mariadb"):
            connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
        result = connection.exec_driver_sql(query)
        names, rows = list(result.keys()), [tuple(row) for row in result]
    frame = pd.DataFrame(rows, columns=range(len(names)), dtype=object).infer_objects()
    return frame.set_axis(names, axis=1)
