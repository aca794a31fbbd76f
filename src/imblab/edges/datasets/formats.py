"""The formats of tables: text files with separators, and sheets of Excel workbooks.

The encoding and the separator of a text file are detected; where two separators are possible, the user is asked.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv

from imblab.text import count_noun

#: Separators of fields, with their names.
SEPARATOR_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
#: The separator is chosen by so many bytes and records; the whole file is then read by it strictly.
SAMPLE_BYTES = 2**18
SAMPLE_RECORDS = 200
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
#: The share of NUL bytes at every second place from which on a file without a mark is UTF-16.
UTF16_NUL_SHARE = 0.4
MAX_LISTED_SHEETS = 8


class FormatError(ValueError):
    """A problem with the format of a file: the parts of a message that begins with the file.

    ``values`` are proposed for the ``option`` of the data set that solves it.
    """

    def __init__(
        self,
        finding: str,
        rule: str,
        remedy: str = "Repair the file",
        option: str | None = None,
        values: tuple[str, ...] = (),
    ) -> None:
        super().__init__(finding)
        self.finding, self.rule, self.remedy, self.option, self.values = finding, rule, remedy, option, values


@dataclass(frozen=True, slots=True)
class DelimitedText:
    """A text file as columns of texts: chunked pyarrow arrays without the header."""

    names: list[str]
    columns: list[Any]
    separator: str
    encoding: str


def read_delimited(
    data: bytes, is_tab_file: bool, separator: str | None = None, encoding: str | None = None
) -> DelimitedText:
    """Split the content of a text file into columns of texts; separator and encoding are detected unless given.

    ``is_tab_file`` says that tabs separate the fields by the ending of the file.
    """
    used_encoding = encoding or _detect_encoding(data)
    if encoding or used_encoding not in ("utf-8", "utf-8-sig"):
        data = _decode(data, used_encoding).encode()
    data = data.removeprefix(codecs.BOM_UTF8)
    first_line = data[:40].decode("utf-8", "replace").split("\n", 1)[0].rstrip("\r")
    if declared := re.fullmatch("sep=(.)", first_line, re.IGNORECASE):  # the first line of Excel's own files
        data = data.partition(b"\n")[2]
        separator = separator or declared[1]
    if not data.strip():
        raise FormatError("is empty", "a table has a header and rows")
    separator = separator or _detect_separator(data, is_tab_file)
    names, columns = _split_columns(data, separator)
    return DelimitedText(names, columns, separator, used_encoding)


def _detect_encoding(data: bytes) -> str:
    for mark, name in BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return name
    sample = data[:SAMPLE_BYTES]
    for offset, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(sample) > 3 and sample[offset::2].count(0) > UTF16_NUL_SHARE * len(sample) / 2:
            return name
    try:
        # In pieces: the text of a large file is not needed twice.
        decoder = codecs.getincrementaldecoder("utf-8")()
        for start in range(0, len(data), 2**24):
            decoder.decode(data[start : start + 2**24])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _decode(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        finding = f"cannot be read in the encoding {encoding!r}, which is not known"
        rule, remedy = "encodings are known by Python's names", "Write for example"
        raise FormatError(finding, rule, remedy, "encoding", ("cp1252", "utf-16", "latin-1")) from None
    except UnicodeError as error:
        offset = getattr(error, "start", 0)
        finding = f"is not text in {encoding!r} (byte {data[offset : offset + 1].hex() or '?'} at offset {offset})"
        rule, remedy = "a text file has one encoding", "Name it, for example"
        raise FormatError(finding, rule, remedy, "encoding", ("latin-1", "cp1250", "utf-16")) from None


def _detect_separator(data: bytes, is_tab_file: bool) -> str:
    records = {separator: _sample_records(data, separator) for separator in SEPARATOR_NAMES}
    widths = {separator: {len(record) for record in sample} for separator, sample in records.items()}
    regular = [separator for separator, lengths in widths.items() if len(lengths) == 1 and min(lengths) > 1]
    if is_tab_file and "\t" in regular:
        return "\t"
    if len(regular) > 1:
        listed = " and ".join(f"{SEPARATOR_NAMES[s]} ({min(widths[s])} columns)" for s in regular)
        values = tuple(SEPARATOR_NAMES[s] for s in regular)
        raise FormatError(f"can be split at {listed}", "a file has one separator", "Choose", "sep", values)
    # Without a regular one: the only separator that occurs in the header.
    candidates = regular or [s for s, sample in records.items() if sample and len(sample[0]) > 1]
    if len(candidates) != 1:
        header = (records[","] or [[""]])[0]
        finding = "has rows of different lengths" if candidates else f"has the one column {header[0][:80]!r}"
        guess = "blank" if " " in header[0] else "comma"
        rule = "fields are separated by a comma, semicolon, tab or bar"
        raise FormatError(finding, rule, "Repair the file, or set for example", "sep", (guess,))
    return candidates[0]


def _sample_records(data: bytes, separator: str) -> list[list[str]]:
    text = data[:SAMPLE_BYTES].decode("utf-8", "ignore")
    if len(data) > SAMPLE_BYTES:
        text = text[: text.rfind("\n") + 1] or text
    records: list[list[str]] = []
    try:
        for record in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            records += [record] if record else []
            if len(records) == SAMPLE_RECORDS:
                return records
    except csv.Error:  # a field of more than 128 kB
        return records
    # The last record may be cut within a quoted field.
    return records[:-1] if len(data) > SAMPLE_BYTES and len(records) > 1 else records


def _split_columns(data: bytes, separator: str) -> tuple[list[str], list[Any]]:
    """Return the header and the columns below it."""
    if len(separator) != 1 or separator in '"\r\n' or not separator.isascii():
        raise FormatError(f"cannot be split at {separator!r}", "a separator is one ASCII character other than a quote")
    records = _sample_records(data, separator)
    if not records:
        raise FormatError("begins with a field of more than 128 kB", "a header names columns")
    width = len(records[0])
    if width < 2:
        finding = f"has one column when it is split at {separator!r}"
        raise FormatError(finding, "a table has features and labels", "Name another separator, or none")
    # Arrow needs the end of one line at least.
    table = _parse_csv(data if b"\n" in data or b"\r" in data else data + b"\n", separator, width)
    columns = [table.column(i) for i in range(width)]
    if data.count(b'"') % 2 and any("\n" in text for column in columns for text in column[-1:].to_pylist()):
        raise FormatError("has a quoted field that does not end", "every quote is closed")
    names = [column[0].as_py() or f"Unnamed: {i}" for i, column in enumerate(columns)]
    return names, [column.slice(1) for column in columns]


def _parse_csv(data: bytes, separator: str, width: int, use_threads: bool = True) -> Any:
    """Parse a file with its header as first row; a row of another width is named by its number."""
    invalid: list[Any] = []

    def on_invalid(row: Any) -> str:
        invalid.append(row)
        return "error"

    try:
        return arrow_csv.read_csv(
            pa.BufferReader(data),
            read_options=arrow_csv.ReadOptions(autogenerate_column_names=True, use_threads=use_threads),
            # Looking for lines within quotes takes time; without a quote there are none.
            parse_options=arrow_csv.ParseOptions(
                delimiter=separator, newlines_in_values=b'"' in data, invalid_row_handler=on_invalid
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types={f"f{i}": pa.string() for i in range(width)}, strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        if not invalid:
            raise FormatError(f"cannot be split ({str(error).splitlines()[0][:120]})", "a table is text") from error
        if use_threads:  # rows are numbered only without threads
            return _parse_csv(data, separator, width, use_threads=False)
        row = invalid[0]
        place = f"row {row.number}" if row.number is not None else "a row"
        raise FormatError(
            f"has {count_noun(row.actual_columns, 'field')} in {place} and {row.expected_columns} names in its header",
            "every row has a field for each column; a field that holds the separator is quoted",
        ) from error


def read_sheet(source: Any, sheet: Any = None) -> pd.DataFrame:
    """Read a sheet of an Excel workbook with the types of its cells; its first row that is not empty is the header.

    ``sheet`` is a name, or a number counted from 1; it is needed where several sheets hold something.
    """
    from openpyxl import load_workbook

    try:
        book = load_workbook(source, read_only=True, data_only=True)
    except Exception as error:  # openpyxl may raise anything
        raise FormatError(
            f"is not a workbook that can be read ({type(error).__name__})", "an Excel file is .xlsx or .xlsm"
        ) from error
    try:
        name, cells = _select_sheet(book, sheet)
    finally:
        book.close()
    rows = _filled_rows(cells)
    if any(cell is None for row in rows for cell in row):
        _refuse_uncomputed_formulas(source, name, cells)
    header, *body = rows or [()]
    frame = pd.DataFrame(body, columns=range(len(header)), dtype=object).infer_objects()
    return frame.set_axis([str(c) if c is not None else f"Unnamed: {i}" for i, c in enumerate(header)], axis=1)


def _select_sheet(book: Any, sheet: Any) -> tuple[str, list[tuple[Any, ...]]]:
    """Return the name and the cells of the sheet that was named, or of the only one with cells."""
    names = book.sheetnames
    if sheet is not None:
        if isinstance(sheet, int) and str(sheet) not in names and 1 <= sheet <= len(names):
            sheet = names[sheet - 1]
        if str(sheet) not in names:
            values = tuple(names[:MAX_LISTED_SHEETS])
            raise FormatError(f"has no sheet {sheet!r}", "a sheet is known by its name", "Choose", "sheet", values)
        return str(sheet), _sheet_cells(book[str(sheet)])
    sheets = {name: _sheet_cells(book[name]) for name in names if hasattr(book[name], "iter_rows")}
    filled = tuple(name for name, cells in sheets.items() if _filled_rows(cells))
    if len(filled) > 1:
        values = filled[:MAX_LISTED_SHEETS]
        finding = f"has {len(filled)} sheets with cells ({', '.join(map(repr, values))})"
        raise FormatError(finding, "one of them is the table", "Choose", "sheet", values)
    if not filled:
        raise FormatError("has no sheet with cells", "a table has a header and rows")
    return filled[0], sheets[filled[0]]


def _sheet_cells(sheet: Any) -> list[tuple[Any, ...]]:
    sheet.reset_dimensions()  # some programs write a wrong size into the file
    return list(sheet.iter_rows(values_only=True))


def _filled_rows(cells: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the rows that are not empty, as wide as the last column that holds anything."""
    rows = [row for row in cells if any(cell is not None for cell in row)]
    width = max((i + 1 for row in rows for i, cell in enumerate(row) if cell is not None), default=0)
    return [tuple(row[:width]) + (None,) * (width - len(row)) for row in rows]


def _refuse_uncomputed_formulas(source: Any, name: str, cells: list[tuple[Any, ...]]) -> None:
    """Raise FormatError for a formula without a saved value, which is an empty cell to a reader of values."""
    from openpyxl import load_workbook

    if hasattr(source, "seek"):
        source.seek(0)
    book = load_workbook(source, read_only=True, data_only=False)
    try:
        formulas = _sheet_cells(book[name])
    finally:
        book.close()
    for row, texts in zip_longest(cells, formulas, fillvalue=()):
        for value, text in zip_longest(row, texts):
            if value is None and isinstance(text, str) and text.startswith("="):
                raise FormatError(
                    f"has the formula {text[:60]!r} without a value in sheet {name!r}",
                    "formulas are read by the value that Excel saved with them",
                    "Open the file in Excel and save it, or replace formulas by values",
                )
