"""Tables in files: which endings are known, how a file is opened, and what is said of its format."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow import feather

from imblab.edges.datasets import delimited, workbook
from imblab.edges.datasets.delimited import FormatError
from imblab.edges.datasets.inference import Reading, settle_mixed, typed_frame
from imblab.edges.datasets.notation import COMMA, POINT, Notation
from imblab.edges.datasets.problems import NEAREST, Checks, column_named, listed, missing_texts
from imblab.errors import ConfigError, DataError

#: Endings of text files, and whether they say that tabs separate the fields.
TEXT = {".csv": False, ".tsv": True, ".tab": True, ".txt": False}
EXCEL = (".xlsx", ".xlsm")
COLUMNAR = (".parquet", ".pq", ".feather", ".arrow")
PACKED: dict[str, Callable[[Any], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
#: Keys of a table in a file, in addition to its columns.
OPTIONS = ("sep", "decimal", "thousands", "encoding", "sheet")
#: Words for characters that the shell or Hydra would read themselves.
WORDS = {
    "comma": ",",
    "semicolon": ";",
    "tab": "\t",
    "\\t": "\t",
    "bar": "|",
    "pipe": "|",
    "point": ".",
    "dot": ".",
    "blank": " ",
    "space": " ",
    "apostrophe": "'",
    "none": "",
}
NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", ".": "point"}
#: A compressed file may unfold to so many bytes, or to so many times its size.
MAX_UNPACKED_BYTES = 2**31
MAX_UNPACKED_TIMES = 200


def stem(path: Path) -> str:
    """The name of a file without its endings.

    Examples
    --------
    >>> stem(Path("data/churn.CSV.gz")), stem(Path("v1.2.parquet"))
    ('churn', 'v1.2')
    """
    name = path.name
    for endings in ((*PACKED, ".zip"), (*TEXT, *EXCEL, *COLUMNAR)):
        found = next((e for e in endings if name.lower().endswith(e) and len(name) > len(e)), "")
        name = name[: len(name) - len(found)]
    return name


def is_table(path: Path) -> bool:
    """Whether the ending of a path is one that tables are read from.

    Examples
    --------
    >>> is_table(Path("data/churn.csv.gz")), is_table(Path("smote"))
    (True, False)
    """
    return _endings(path)[0] in (*TEXT, *EXCEL, *COLUMNAR)


def read_file(path: Path, spec: Mapping[str, Any], checks: Checks) -> pd.DataFrame:
    """Read the table in a file by its ending.

    Parameters
    ----------
    path : Path
        ``~`` stands for the home directory.
    spec : mapping
        The keys of :data:`OPTIONS`, ``missing`` and the roles of columns.
    checks : Checks
        Its notes say what was found out about the file.

    Returns
    -------
    DataFrame

    Raises
    ------
    ConfigError, DataError
    """
    ending, packed = _endings(path)
    where = _existing(path, checks)
    if ending not in TEXT and ending not in EXCEL and ending not in COLUMNAR:
        raise DataError(
            f"data set {checks.key!r} has the path {str(path)!r} with the ending {ending!r}; tables are read from "
            f"{', '.join((*TEXT, '.xlsx', '.parquet', '.feather'))}, also with {', '.join((*PACKED, '.zip'))}. "
            + (f"Save it as {EXCEL[0]}." if ending in (".xls", ".xlsb", ".ods") else "Convert the file.")
        )
    if ending in EXCEL and find_spec("openpyxl") is None:
        raise ConfigError(
            f"data set {checks.key!r} has the path {str(path)!r}, and the package openpyxl is not installed; it reads "
            "Excel files. Install it with: pip install 'imblab[excel]'."
        )
    separator, encoding = _character("sep", spec, checks) or None, spec.get("encoding")
    encoding = None if encoding is None else str(encoding)
    try:
        if ending in TEXT:
            text = delimited.read_text(_unpacked(where, packed), TEXT[ending], separator, encoding)
        else:
            frame = _from_cells(io.BytesIO(_unpacked(where, packed)) if packed else where, ending, spec)
    except FormatError as error:
        raise DataError(
            f"data set {checks.key!r}: the file {str(path)!r} {error.found}; {error.rule}. {_way_out(error, checks)}."
        ) from error
    except Exception as error:  # the readers are other packages' and may raise anything
        raise DataError(
            f"data set {checks.key!r}: the file {str(path)!r} cannot be read ({first_line(error)}); its ending says "
            f"that it is {ending[1:]}{' in ' + packed[1:] if packed else ''}. Repair the file or correct "
            f"{checks.at('path')}."
        ) from error
    if ending in TEXT:
        return _typed_text(text, TEXT[ending], spec, checks)
    return settled(frame, spec, checks) if ending in EXCEL else frame


def _from_cells(source: Any, ending: str, spec: Mapping[str, Any]) -> pd.DataFrame:
    """The table of a file whose cells or columns have types."""
    if ending in EXCEL:
        return workbook.read_sheet(source, spec.get("sheet"))
    # Not through pandas for feather: Arrow's own types are the same in both.
    return pd.read_parquet(source) if ending in (".parquet", ".pq") else feather.read_table(source).to_pandas()


def first_line(error: Exception) -> str:
    """What a library found, in one line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def settled(frame: pd.DataFrame, spec: Mapping[str, Any], checks: Checks) -> pd.DataFrame:
    """Columns of cells that have a type each, as a text file would be read where the types differ."""
    return settle_mixed(frame, _reading(spec, [str(name) for name in frame.columns], ",", checks), checks)


def _endings(path: Path) -> tuple[str, str]:
    """The ending of the table and that of its compression, in lower case."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes.pop() if suffixes and suffixes[-1] in (*PACKED, ".zip") else ""
    if packed and not (suffixes and suffixes[-1] in (*TEXT, *EXCEL, *COLUMNAR)):
        return ".csv", packed  # churn.zip, churn.gz: text, as most are
    return (suffixes[-1] if suffixes else ""), packed


def _existing(path: Path, checks: Checks) -> Path:
    try:
        where = path.expanduser()
        if where.is_file():
            return where
        folder = where.is_dir()
        place = where if folder else where.parent
        known = sorted(p.name for p in place.iterdir() if p.is_file() and stem(p) != p.name) if place.is_dir() else []
    except (RuntimeError, OSError, ValueError) as error:  # no home, a name too long, a NUL in it
        raise DataError(
            f"data set {checks.key!r} has the path {str(path)[:200]!r}, which cannot be opened ({first_line(error)}); "
            f"a table is a file. Correct {checks.at('path')}."
        ) from None
    near = known[:NEAREST] if folder else get_close_matches(where.name, known, n=3)
    hint = f"Did you mean {' or '.join(repr(str(_neighbor(path, name, folder))) for name in near)}? " if near else ""
    what = "a directory" if folder else "not a file"
    raise DataError(
        f"data set {checks.key!r} has the path {str(path)!r}, which is {what}; paths are read from the current "
        f"directory. {hint}Correct {checks.at('path')}."
    )


def _neighbor(path: Path, name: str, folder: bool) -> Path:
    return path / name if folder else path.with_name(name)


def _unpacked(path: Path, packed: str) -> bytes:
    if not packed:
        return path.read_bytes()
    most = max(MAX_UNPACKED_BYTES, MAX_UNPACKED_TIMES * path.stat().st_size)
    if packed != ".zip":
        with PACKED[packed](path) as stream:
            return _at_most(stream, most)
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
        if len(names) != 1:
            shown = ", ".join(repr(n) for n in names[:5]) + (", ..." if len(names) > 5 else "")
            raise FormatError(f"holds {len(names)} files ({shown})", "a zip holds one table", "Unpack it")
        if archive.getinfo(names[0]).flag_bits & 1:
            raise FormatError("is encrypted", "a table is read without a password", "Unpack it")
        with archive.open(names[0]) as stream:
            return _at_most(stream, most)


def _at_most(stream: Any, most: int) -> bytes:
    """The bytes of a compressed stream; a file that unfolds without end is refused."""
    found: bytes = stream.read(most + 1)
    if len(found) > most:
        raise FormatError(f"unfolds to more than {most} bytes", "a table fits in memory", "Unpack it first")
    return found


def _typed_text(text: delimited.Text, tabs: bool, spec: Mapping[str, Any], checks: Checks) -> pd.DataFrame:
    """The columns of a text file with their types; what was found out about the file is noted."""
    how = _reading(spec, text.names, text.separator, checks)
    decided = []
    if spec.get("sep") is None and text.separator != ("\t" if tabs else ","):
        decided.append(f"separator {NAMES[text.separator]}")
    if spec.get("encoding") is None and text.encoding not in ("utf-8", "utf-8-sig"):
        # No cell is shown: notes stand in reports, which travel further than tables.
        name = next((f" (as in {name!r})" for name in text.names if not name.isascii()), "")
        decided.append(f"encoding {text.encoding}{name}")
    frame = typed_frame(text.names, text.columns, how, checks)
    if how.comma:
        decided.append(f"decimal comma (as in {how.comma})")
    if decided:
        checks.notes.insert(0, f"is read with {', '.join(decided)}, as its text suggests")
    return frame


def _reading(spec: Mapping[str, Any], names: Sequence[str], separator: str, checks: Checks) -> Reading:
    missing = missing_texts(spec.get("missing"))
    return Reading(_roles(spec, names), missing, _notations(spec, checks), separator)


def _roles(spec: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    """The role of every column that has one; what is dropped has no other."""
    found: dict[str, str] = {}
    for role in ("numeric", "categorical", "id", "amount", "time", "groups", "target", "drop"):
        found |= {column_named(name, names): role for name in listed(spec.get(role))}
    return found


def _character(role: str, spec: Mapping[str, Any], checks: Checks) -> str | None:
    value = spec.get(role)
    if value is None:
        return None
    found = WORDS.get(str(value).lower(), str(value))
    if len(found) > 1:
        raise ConfigError(
            f"'{checks.at(role)}' is {value!r}; it is one character, or one of the words {', '.join(WORDS)}. Correct "
            f"it, or leave it out."
        )
    return found


def _notations(spec: Mapping[str, Any], checks: Checks) -> tuple[Notation, ...]:
    decimal, thousands = (_character(role, spec, checks) for role in ("decimal", "thousands"))
    found = [n for n in (POINT, COMMA) if decimal in (None, n.decimal)]
    if thousands is not None:
        found = [Notation(n.decimal, thousands) for n in found if n.decimal != thousands]
    if not found:
        wrong = "thousands" if decimal in (".", ",") else "decimal"
        raise ConfigError(
            f"'{checks.at(wrong)}' is {spec.get(wrong)!r}; decimals stand behind a point or a comma, and groups of "
            f"thousands behind another character. Write for example {checks.at('decimal')}=comma."
        )
    return tuple(found)


def _way_out(error: FormatError, checks: Checks) -> str:
    """The last sentence; where an option would help, the override to paste."""
    if error.option is None:
        return error.way_out
    return f"{error.way_out} {' or '.join(checks.set(error.option, value) for value in error.values)}"
