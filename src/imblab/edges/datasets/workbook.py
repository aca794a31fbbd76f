"""Sheets of an Excel workbook: cells keep the type that Excel gave them."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

import pandas as pd

from imblab.edges.datasets.delimited import FormatError

#: Sheets that a message names.
MAX_SHEETS = 8


def read_sheet(source: Any, sheet: Any = None) -> pd.DataFrame:
    """Read one sheet; its first row that is not empty is the header.

    Parameters
    ----------
    source : path or file
    sheet : str or int, optional
        A name, or a number counted from 1; needed where several sheets hold something.

    Returns
    -------
    DataFrame
        Numbers, texts, flags and dates as Excel holds them.

    Raises
    ------
    FormatError
        For a sheet that is not there or not unique, and for formulas that were never computed.
    """
    from openpyxl import load_workbook

    try:
        book = load_workbook(source, read_only=True, data_only=True)
    except Exception as error:  # the reader is another package's and may raise anything
        raise FormatError(
            f"is not a workbook that can be read ({type(error).__name__})", "an Excel file is .xlsx or .xlsm"
        ) from error
    try:
        name, cells = _chosen(book, sheet)
    finally:
        book.close()
    rows = _table(cells)
    if any(cell is None for row in rows for cell in row):
        _refuse_formulas(source, name, cells)
    header, *body = rows or [()]
    frame = pd.DataFrame(body, columns=range(len(header)), dtype=object).infer_objects()
    return frame.set_axis([str(c) if c is not None else f"Unnamed: {i}" for i, c in enumerate(header)], axis=1)


def _chosen(book: Any, sheet: Any) -> tuple[str, list[tuple[Any, ...]]]:
    names = book.sheetnames
    if sheet is not None:
        if isinstance(sheet, int) and str(sheet) not in names and 1 <= sheet <= len(names):
            sheet = names[sheet - 1]
        if str(sheet) not in names:
            raise FormatError(
                f"has no sheet {sheet!r}", "a sheet is known by its name", "Choose", "sheet", tuple(names[:MAX_SHEETS])
            )
        return str(sheet), _cells(book[str(sheet)])
    sheets = [(name, _cells(book[name])) for name in names if hasattr(book[name], "iter_rows")]
    full = [(name, cells) for name, cells in sheets if _table(cells)]
    if len(full) > 1:
        known = tuple(name for name, _ in full)
        shown = ", ".join(map(repr, known[:MAX_SHEETS]))
        raise FormatError(
            f"has {len(known)} sheets with cells ({shown})",
            "one of them is the table",
            "Choose",
            "sheet",
            known[:MAX_SHEETS],
        )
    if not full:
        raise FormatError("has no sheet with cells", "a table has a header and rows")
    return full[0]


def _cells(sheet: Any) -> list[tuple[Any, ...]]:
    sheet.reset_dimensions()  # some programs write a wrong size into the file
    return list(sheet.iter_rows(values_only=True))


def _table(cells: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows without empty ones, as wide as the last column that holds anything."""
    rows = [row for row in cells if any(cell is not None for cell in row)]
    width = max((i + 1 for row in rows for i, cell in enumerate(row) if cell is not None), default=0)
    return [tuple(row[:width]) + (None,) * (width - len(row)) for row in rows]


def _refuse_formulas(source: Any, name: str, cells: list[tuple[Any, ...]]) -> None:
    """A formula that no program has computed yet is an empty cell to a reader of values."""
    from openpyxl import load_workbook

    if hasattr(source, "seek"):
        source.seek(0)
    book = load_workbook(source, read_only=True, data_only=False)
    try:
        formulas = _cells(book[name])
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
