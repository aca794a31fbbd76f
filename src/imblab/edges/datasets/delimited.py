"""Text files with separators: their encoding and separator are found, said, and never guessed where two would do."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv

from imblab.edges.datasets.problems import counted

#: What may stand between fields, with its name.
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
#: So many bytes and records decide on the separator; the whole file is read by it strictly.
SAMPLE_BYTES = 2**18
SAMPLE_RECORDS = 200
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
#: The share of NUL bytes at every second place that tells UTF-16 without a mark.
WIDE = 0.4
_TELLS = re.compile(r"sep=(.)", re.IGNORECASE)


class FormatError(ValueError):
    """What is wrong with the format of a file.

    Parameters
    ----------
    found, rule, way_out : str
        The parts of a message that begins with the file.
    option : str, optional
        The key that would answer, with some ``values`` for it.
    """

    def __init__(
        self,
        found: str,
        rule: str,
        way_out: str = "Repair the file",
        option: str | None = None,
        values: tuple[str, ...] = (),
    ) -> None:
        super().__init__(found)
        self.found, self.rule, self.way_out, self.option, self.values = found, rule, way_out, option, values


@dataclass(frozen=True, slots=True)
class Text:
    """A text file as columns of texts.

    Attributes
    ----------
    names : list of str
        The header.
    columns : list of chunked pyarrow arrays of str
    separator, encoding : str
    """

    names: list[str]
    columns: list[Any]
    separator: str
    encoding: str


def read_text(data: bytes, tabs: bool, separator: str | None = None, encoding: str | None = None) -> Text:
    r"""Split a text file into columns of texts.

    Parameters
    ----------
    data : bytes
        The whole file, without compression.
    tabs : bool
        Whether the ending of the file says that tabs separate its fields.
    separator, encoding : str, optional
        Found by default.

    Returns
    -------
    Text

    Raises
    ------
    FormatError
        For an unknown encoding, for two possible separators, and for rows that do not fit the header.

    Examples
    --------
    >>> text = read_text(b"a;b\n1,5;x\n", tabs=False)
    >>> text.names, text.separator, [column.to_pylist() for column in text.columns]
    (['a', 'b'], ';', [['1,5'], ['x']])
    """
    found = encoding or _encoding(data)
    if encoding or found not in ("utf-8", "utf-8-sig"):
        data = _decoded(data, found).encode()
    data = data.removeprefix(codecs.BOM_UTF8)
    tells = _TELLS.fullmatch(data[:40].decode("utf-8", "replace").split("\n", 1)[0].rstrip("\r"))
    if tells:  # Excel's own word
        data = data.partition(b"\n")[2]
        separator = separator or tells[1]
    if not data.strip():
        raise FormatError("is empty", "a table has a header and rows")
    separator = separator or _separator(data, tabs)
    names, columns = _columns(data, separator)
    return Text(names, columns, separator, found)


def _encoding(data: bytes) -> str:
    for mark, name in BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return name
    sample = data[:SAMPLE_BYTES]
    for place, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(sample) > 3 and sample[place::2].count(0) > WIDE * len(sample) / 2:
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


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        raise FormatError(
            f"cannot be read in the encoding {encoding!r}, which is not known",
            "encodings are known by Python's names",
            "Write for example",
            "encoding",
            ("cp1252", "utf-16", "latin-1"),
        ) from None
    except UnicodeError as error:
        place = getattr(error, "start", 0)
        raise FormatError(
            f"is not text in {encoding!r} (byte {data[place : place + 1].hex() or '?'} at place {place})",
            "a text file has one encoding",
            "Name it, for example",
            "encoding",
            ("latin-1", "cp1250", "utf-16"),
        ) from None


def _separator(data: bytes, tabs: bool) -> str:
    records = {mark: _sample(data, mark) for mark in SEPARATORS}
    widths = {mark: {len(record) for record in found} for mark, found in records.items()}
    even = [mark for mark, found in widths.items() if len(found) == 1 and min(found) > 1]
    if tabs and "\t" in even:
        return "\t"
    if len(even) > 1:
        shown = " and ".join(f"{SEPARATORS[mark]} ({min(widths[mark])} columns)" for mark in even)
        raise FormatError(
            f"can be split at {shown}",
            "a file has one separator",
            "Say which:",
            "sep",
            tuple(SEPARATORS[m] for m in even),
        )
    if even:
        return even[0]
    headed = [mark for mark, found in records.items() if found and len(found[0]) > 1]
    if len(headed) != 1:
        header = (records[","] or [[""]])[0]
        what = f"has the one column {header[0][:80]!r}" if not headed else "has rows of different lengths"
        rule, guess = "fields are separated by a comma, semicolon, tab or bar", "blank" if " " in header[0] else "comma"
        raise FormatError(what, rule, "Repair the file, or say for example", "sep", (guess,))
    return headed[0]


def _sample(data: bytes, mark: str) -> list[list[str]]:
    text = data[:SAMPLE_BYTES].decode("utf-8", "ignore")
    if len(data) > SAMPLE_BYTES:
        text = text[: text.rfind("\n") + 1] or text
    found = []
    try:
        for record in csv.reader(io.StringIO(text, newline=""), delimiter=mark):
            found += [record] if record else []
            if len(found) == SAMPLE_RECORDS:
                return found
    except csv.Error:  # a field of more than 128 kB
        return found
    # The last record may be cut within a quoted field.
    return found[:-1] if len(data) > SAMPLE_BYTES and len(found) > 1 else found


def _columns(data: bytes, separator: str) -> tuple[list[str], list[Any]]:
    if len(separator) != 1 or separator in '"\r\n' or not separator.isascii():
        raise FormatError(f"cannot be split at {separator!r}", "a separator is one ASCII character other than a quote")
    records = _sample(data, separator)
    if not records:
        raise FormatError("begins with a field of more than 128 kB", "a header names columns")
    width = len(records[0])
    if width < 2:
        raise FormatError(
            f"has one column when it is split at {separator!r}",
            "a table has features and labels",
            "Name another, or none",
        )
    # Arrow needs the end of one line at least.
    table = _parsed(data if b"\n" in data or b"\r" in data else data + b"\n", separator, width, True)
    columns = [table.column(i) for i in range(width)]
    if data.count(b'"') % 2 and any("\n" in text for column in columns for text in column[-1:].to_pylist()):
        raise FormatError("has a quoted field that does not end", "every quote is closed")
    names = [column[0].as_py() for column in columns]
    names = [name if name else f"Unnamed: {i}" for i, name in enumerate(names)]
    return names, [column.slice(1) for column in columns]


def _parsed(data: bytes, separator: str, width: int, threads: bool) -> Any:
    """The file with its header as first row; a row of another width is named by its number."""
    wrong: list[Any] = []

    def on_invalid(row: Any) -> str:
        wrong.append(row)
        return "error"

    kind: Mapping[str, Any] = {f"f{i}": pa.string() for i in range(width)}
    try:
        return arrow_csv.read_csv(
            pa.BufferReader(data),
            read_options=arrow_csv.ReadOptions(autogenerate_column_names=True, use_threads=threads),
            parse_options=arrow_csv.ParseOptions(
                # Lines within quotes cost time; without a quote there is none.
                delimiter=separator,
                newlines_in_values=b'"' in data,
                invalid_row_handler=on_invalid,
            ),
            convert_options=arrow_csv.ConvertOptions(column_types=kind, strings_can_be_null=False),
        )
    except pa.ArrowInvalid as error:
        if not wrong:
            raise FormatError(f"cannot be split ({str(error).splitlines()[0][:120]})", "a table is text") from error
        if threads:  # rows are counted without threads only
            return _parsed(data, separator, width, False)
        row = wrong[0]
        where = f"row {row.number}" if row.number is not None else "a row"
        raise FormatError(
            f"has {counted(row.actual_columns, 'field')} in {where} and {row.expected_columns} names in its header",
            "every row has a field for each column; a field that holds the separator is quoted",
        ) from error
