"""Tables from memory and from SQL: frames and arrays with their labels, and the rows of a query.

Frames of other libraries (polars, pyarrow, DuckDB) come through Arrow's stream interface, which needs none of them. A
query is one statement that only reads, on a read-only connection, without secrets in messages.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from imblab.edges.datasets.notation import TableProblems
from imblab.errors import ConfigError, DataError, ImblabError, combined, unknown
from imblab.redaction import without_values
from imblab.text import count_noun
from imblab_model import plain_array

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Engine

#: What to pass where a value is not a table.
ACCEPTED = "a frame of pandas, polars or another library of Arrow, or a dense array of rows and columns"
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


@dataclass(frozen=True, slots=True, eq=False)
class FrameWithRoles:
    """A table with the names of its columns by role."""

    frame: pd.DataFrame  # (n_rows, n_columns): features, labels and other columns; its rows are numbered from 0
    columns: Mapping[str, Any]  # the column of each role that was given: ``target``, ``groups``, ``time``


def frame_with_roles(X: Any, y: Any, **roles: Any) -> FrameWithRoles:
    """Join features, labels and further columns, arrays or names of columns in ``X``, in one frame.

    ``X`` is a frame of pandas or of a library with Arrow's stream interface, or an array, whose columns are called x0,
    x1, ...
    """
    source, index = _pandas_frame(X), X.index if isinstance(X, pd.DataFrame) else None
    if y is None:
        raise DataError(
            "'y' is not given; a study needs a label for each row. Pass the labels, or the name of their column in X."
        )
    frame, columns, errors = source.reset_index(drop=True), dict[str, str](), list[ImblabError]()
    for role, values in {"target": y, **roles}.items():
        if values is None:
            continue
        argument = "y" if role == "target" else role
        try:
            if isinstance(values, (str, Integral)):
                if argument == "y" and str(values) not in frame.columns:
                    raise DataError(unknown("column", str(values), map(str, frame.columns), "for 'y' in X"))
                columns[role] = str(values)  # another one that X has not is refused with all arguments
            else:
                name = _unused_name(getattr(values, "name", None), role, frame)
                column = _read_column(values, len(source), index, argument)
                frame = frame.copy(deep=False)
                frame[name] = column  # assign takes no column called self
                columns[role] = name
        except DataError as error:
            errors.append(error)
    if errors:
        raise combined(errors)
    return FrameWithRoles(frame, columns)


def _pandas_frame(X: Any) -> pd.DataFrame:
    """Return a table as a pandas frame whose columns are called by texts."""
    if isinstance(X, pd.DataFrame):
        return X.set_axis([str(name) for name in X.columns], axis=1)
    if hasattr(X, "toarray"):
        raise DataError(
            f"'X' is a sparse matrix ({type(X).__name__}) of the shape {X.shape}; imblab studies dense tables. Pass "
            "X.toarray() if it fits into memory."
        )
    if X is None:
        raise DataError("'X' is not given; a study is one of a table. Call imblab.run(X, y), or name an experiment.")
    try:
        if hasattr(X, "__arrow_c_stream__") and not isinstance(X, pd.Series):
            return pd.DataFrame(pa.table(X).to_pandas())
        array = plain_array(X)
    except Exception as error:  # of a foreign library
        raise DataError(
            f"'X' is of type {type(X).__name__} and cannot be read as a table ({error}); X is {ACCEPTED}. Pass one of "
            "them."
        ) from error
    if array.ndim != 2:
        shape = f" with the shape {array.shape}" if array.ndim else ""
        example = "X.collect() of a lazy frame" if hasattr(X, "collect") else "X.reshape(-1, 1) for a single feature"
        example = "X.to_frame()" if hasattr(X, "to_frame") else example
        raise DataError(
            f"'X' is of type {type(X).__name__}{shape}; X is {ACCEPTED}. Pass one of them, such as {example}."
        )
    frame = pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])
    return frame.infer_objects() if array.dtype == object else frame


def _unused_name(given: Any, role: str, frame: pd.DataFrame) -> str:
    """Return the name of a series, or else that of its role, as no column of the frame has it."""
    name = str(given) if isinstance(given, str) and given else role
    while name in frame.columns:
        name = f"{name}_"
    return name


def _read_column(values: Any, n_rows: int, index: pd.Index | None, argument: str) -> Any:
    """Return one value per row; ``index`` is that of X where it is a pandas frame."""
    if isinstance(values, pd.DataFrame) and values.shape[1] == 1:
        values = values.iloc[:, 0]
    if isinstance(values, pd.Series) and index is not None:
        check_same_order(values, index, argument)
    if hasattr(values, "to_pandas"):  # polars and pyarrow
        values = values.to_pandas()
    column: Any = values.array if isinstance(values, (pd.Series, pd.Index)) else plain_array(values)
    shape = np.shape(column)
    if len(shape) == 2 and shape[1] == 1:
        column, shape = np.ravel(column), shape[:1]
    if not shape:
        raise DataError(
            f"{argument!r} is of type {type(values).__name__}; one value per row is needed, in an array, a list or a "
            f"series. Pass for example list({argument})."
        )
    if shape != (n_rows,):
        raise DataError(
            f"{argument!r} has the shape {shape}, and X has {count_noun(n_rows, 'row')}; there is one value for "
            f"each row. Pass {argument} with the shape ({n_rows},)."
        )
    return column


def check_same_order(values: pd.Series, index: pd.Index, argument: str) -> None:
    """Refuse labels with the index of the rows in another order, or of other rows: positions would mix them up."""
    if len(values) != len(index) or values.index.equals(index):
        return
    numbered = pd.RangeIndex(len(index))
    if not (values.index.equals(numbered) or index.equals(numbered)) and not index.isin(values.index).all():
        raise DataError(
            f"{argument!r} has the index of other rows than X; rows are taken by position, which would mix them up. "
            f"Pass the same rows, or {argument}.to_numpy() if their order is that of X."
        )
    if values.index.is_unique and index.is_unique and values.index.isin(index).all():
        raise DataError(
            f"{argument!r} has the index of X in another order; rows are taken by position, which would mix them up. "
            f"Pass {argument}.loc[X.index], or reset both indexes."
        )


def read_query(query: Any, url_env: Any, problems: TableProblems) -> pd.DataFrame:
    """Read the rows of a query, with numbers, texts, flags and dates as the database holds them.

    ``url_env`` names the environment variable that holds the SQLAlchemy address; no error shows its secrets.
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
