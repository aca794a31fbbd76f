"""Tables in files: known endings, compression, and the options for reading a file."""

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

from imblab.edges.datasets.formats import SEPARATOR_NAMES, DelimitedText, FormatError, read_delimited, read_sheet
from imblab.edges.datasets.inference import ReadingOptions, retyped_mixed_columns, typed_frame
from imblab.edges.datasets.notation import COMMA, POINT, Notation, TableProblems, as_list, column_named, missing_texts
from imblab.errors import ConfigError, DataError, short_reason

#: Endings of text files, and whether they say that tabs separate the fields.
TEXT_ENDINGS = {".csv": False, ".tsv": True, ".tab": True, ".txt": False}
EXCEL_ENDINGS = (".xlsx", ".xlsm")
COLUMNAR_ENDINGS = (".parquet", ".pq", ".feather", ".arrow")
TABLE_ENDINGS = (*TEXT_ENDINGS, *EXCEL_ENDINGS, *COLUMNAR_ENDINGS)
DECOMPRESSORS: dict[str, Callable[[Any], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
COMPRESSED_ENDINGS = (*DECOMPRESSORS, ".zip")
#: Keys of a table in a file, in addition to those of every table.
FILE_OPTIONS = ("sep", "decimal", "thousands", "encoding", "sheet")
#: Words for characters that the shell or Hydra would interpret themselves.
CHARACTER_WORDS = {
    **{"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "bar": "|", "pipe": "|", "point": ".", "dot": "."},
    **{"blank": " ", "space": " ", "apostrophe": "'", "none": ""},
}
#: A compressed file may expand to so many bytes, or to so many times its size.
MAX_UNPACKED_BYTES = 2**31
MAX_UNPACKED_TIMES = 200
MAX_LISTED_FILES = 8


def table_name(path: Path) -> str:
    """Return the name of a file without its endings."""
    name = path.name
    for endings in (COMPRESSED_ENDINGS, TABLE_ENDINGS):
        ending = next((e for e in endings if name.lower().endswith(e) and len(name) > len(e)), "")
        name = name[: len(name) - len(ending)]
    return name


def is_table(path: Path) -> bool:
    """Return whether tables are read from files with this ending."""
    return _endings(path)[0] in TABLE_ENDINGS


def read_table_file(path: Path, spec: Mapping[str, Any], problems: TableProblems) -> pd.DataFrame:
    """Read the table in a file by its ending; ``~`` stands for the home directory.

    ``spec`` holds the keys of :data:`FILE_OPTIONS`, ``missing`` and the roles of columns. What was detected is noted.
    """
    ending, compression = _endings(path)
    file = _existing_file(path, problems)
    if ending not in TABLE_ENDINGS:
        endings = ", ".join((*TEXT_ENDINGS, ".xlsx", ".parquet", ".feather"))
        raise DataError(
            f"data set {problems.name!r} has the path {str(path)!r} with the ending {ending!r}; tables are read from "
            f"{endings}, also with {', '.join(COMPRESSED_ENDINGS)}. "
            + ("Save it as .xlsx." if ending in (".xls", ".xlsb", ".ods") else "Convert the file.")
        )
    if ending in EXCEL_ENDINGS and find_spec("openpyxl") is None:
        raise ConfigError(
            f"data set {problems.name!r} has the path {str(path)!r}, and the package openpyxl is not installed; it "
            "reads Excel files. Install it with: pip install 'imblab[excel]'."
        )
    separator, encoding = _character_option("sep", spec, problems) or None, spec.get("encoding")
    encoding = None if encoding is None else str(encoding)
    try:
        if ending in TEXT_ENDINGS:
            text = read_delimited(_unpack(file, compression), TEXT_ENDINGS[ending], separator, encoding)
        else:
            source: Any = io.BytesIO(_unpack(file, compression)) if compression else file
            if ending in EXCEL_ENDINGS:
                frame = read_sheet(source, spec.get("sheet"))
            elif ending in (".parquet", ".pq"):
                frame = pd.read_parquet(source)
            else:  # not through pandas: Arrow's own types are those of Parquet
                frame = feather.read_table(source).to_pandas()
    except FormatError as error:
        values = " or ".join(problems.assign(error.option, value) for value in error.values) if error.option else ""
        raise DataError(
            f"data set {problems.name!r}: the file {str(path)!r} {error.finding}; {error.rule}. "
            f"{f'{error.remedy} {values}'.rstrip()}."
        ) from error
    except Exception as error:  # the readers are from other packages and may raise anything
        kind = f"{ending[1:]}{' in ' + compression[1:] if compression else ''}"
        raise DataError(
            f"data set {problems.name!r}: the file {str(path)!r} cannot be read "
            f"({short_reason(error, names_path=False)}); by its ending it is {kind}. Repair the "
            f"file or correct {problems.option('path')}."
        ) from error
    if ending in TEXT_ENDINGS:
        return _typed_text(text, TEXT_ENDINGS[ending], spec, problems)
    return with_one_type_per_column(frame, spec, problems) if ending in EXCEL_ENDINGS else frame


def read_cells(path: Path, problems: TableProblems) -> tuple[pd.DataFrame, str]:
    """Read the cells of a table as they are written, and the separator of its fields, a comma without text."""
    frame = read_table_file(path, {}, problems)
    ending, compression = _endings(path)
    if ending not in TEXT_ENDINGS:
        return frame, ","
    text = read_delimited(_unpack(_existing_file(path, problems), compression), TEXT_ENDINGS[ending])
    columns = [pd.Series(column.to_pylist(), dtype=object) for column in text.columns]
    return pd.concat(columns, axis=1, keys=text.names), text.separator


def with_one_type_per_column(frame: pd.DataFrame, spec: Mapping[str, Any], problems: TableProblems) -> pd.DataFrame:
    """Read columns whose cells differ in type as a text file would be read."""
    names = [str(name) for name in frame.columns]
    return retyped_mixed_columns(frame, _reading_options(spec, names, ",", problems), problems)


def _endings(path: Path) -> tuple[str, str]:
    """Return the ending of the table and that of its compression, in lower case."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSED_ENDINGS else ""
    if compression and not (suffixes and suffixes[-1] in TABLE_ENDINGS):
        return ".csv", compression  # churn.zip, churn.gz: text, as most are
    return (suffixes[-1] if suffixes else ""), compression


def _existing_file(path: Path, problems: TableProblems) -> Path:
    """Return the path of a file that exists; the error names similar files."""
    try:
        file = path.expanduser()
        if file.is_file():
            return file
        folder = file if file.is_dir() else file.parent
        entries = folder.iterdir() if folder.is_dir() else ()
        tables = sorted(p.name for p in entries if p.is_file() and table_name(p) != p.name)
    except (RuntimeError, OSError, ValueError) as error:  # no home, a name too long, a NUL in it
        raise DataError(
            f"data set {problems.name!r} has the path {str(path)[:200]!r}, which cannot be opened "
            f"({short_reason(error, names_path=False)}); a table is a file. Correct {problems.option('path')}."
        ) from None
    if folder == file:
        kind, similar = "a directory", [path / name for name in tables[:MAX_LISTED_FILES]]
    else:
        kind, similar = "not a file", [path.with_name(name) for name in get_close_matches(file.name, tables, n=3)]
    hint = f"Did you mean {' or '.join(repr(str(p)) for p in similar)}? " if similar else ""
    raise DataError(
        f"data set {problems.name!r} has the path {str(path)!r}, which is {kind}; paths are relative to the current "
        f"directory. {hint}Correct {problems.option('path')}."
    )


def _unpack(path: Path, compression: str) -> bytes:
    """Read a file, decompressed; one that expands without end is refused."""
    if not compression:
        return path.read_bytes()
    limit = max(MAX_UNPACKED_BYTES, MAX_UNPACKED_TIMES * path.stat().st_size)
    if compression != ".zip":
        with DECOMPRESSORS[compression](path) as stream:
            return _read_at_most(stream, limit)
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
        if len(names) != 1:
            listed = ", ".join(repr(n) for n in names[:5]) + (", ..." if len(names) > 5 else "")
            raise FormatError(f"holds {len(names)} files ({listed})", "a zip holds one table", "Unpack it")
        if archive.getinfo(names[0]).flag_bits & 1:
            raise FormatError("is encrypted", "a table is read without a password", "Unpack it")
        with archive.open(names[0]) as stream:
            return _read_at_most(stream, limit)


def _read_at_most(stream: Any, limit: int) -> bytes:
    content: bytes = stream.read(limit + 1)
    if len(content) > limit:
        raise FormatError(f"expands to more than {limit} bytes", "a table fits in memory", "Unpack it first")
    return content


def _typed_text(
    text: DelimitedText, is_tab_file: bool, spec: Mapping[str, Any], problems: TableProblems
) -> pd.DataFrame:
    """Return the columns of a text file with their types; what was detected is noted."""
    options = _reading_options(spec, text.names, text.separator, problems)
    detected = []
    if spec.get("sep") is None and text.separator != ("\t" if is_tab_file else ","):
        detected.append(f"separator {SEPARATOR_NAMES[text.separator]}")
    if spec.get("encoding") is None and text.encoding not in ("utf-8", "utf-8-sig"):
        # No cell is shown: notes appear in reports, which travel further than tables.
        example = next((f" (as in {name!r})" for name in text.names if not name.isascii()), "")
        detected.append(f"encoding {text.encoding}{example}")
    frame = typed_frame(text.names, text.columns, options, problems)
    if options.comma_example:
        detected.append(f"decimal comma (as in {options.comma_example})")
    if detected:
        problems.notes.insert(0, f"is read with {', '.join(detected)}, as detected in the file")
    return frame


def _reading_options(
    spec: Mapping[str, Any], names: Sequence[str], separator: str, problems: TableProblems
) -> ReadingOptions:
    roles: dict[str, str] = {}
    # The last role of a column counts.
    for role in ("numeric", "categorical", "id", "amount", "time", "folds", "groups", "target", "drop"):
        roles |= {column_named(name, names): role for name in as_list(spec.get(role))}
    return ReadingOptions(roles, missing_texts(spec.get("missing")), _notations(spec, problems), separator)


def _notations(spec: Mapping[str, Any], problems: TableProblems) -> tuple[Notation, ...]:
    decimal, thousands = (_character_option(role, spec, problems) for role in ("decimal", "thousands"))
    notations = [notation for notation in (POINT, COMMA) if decimal in (None, notation.decimal)]
    if thousands is not None:
        notations = [Notation(n.decimal, thousands) for n in notations if n.decimal != thousands]
    if not notations:
        option = "thousands" if decimal in (".", ",") else "decimal"
        raise ConfigError(
            f"'{problems.option(option)}' is {spec.get(option)!r}; decimals follow a point or a comma, and groups of "
            f"thousands are separated by another character. Write for example {problems.option('decimal')}=comma."
        )
    return tuple(notations)


def _character_option(role: str, spec: Mapping[str, Any], problems: TableProblems) -> str | None:
    value = spec.get(role)
    if value is None:
        return None
    character = CHARACTER_WORDS.get(str(value).lower(), str(value))
    if len(character) > 1:
        raise ConfigError(
            f"'{problems.option(role)}' is {value!r}; it is one character, or one of the words "
            f"{', '.join(CHARACTER_WORDS)}. Correct it, or leave it out."
        )
    return character
