"""The file ``evidence.parquet`` of a study: written in one step, the same frame giving the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from imblab.analysis.evidence import invalid_reason
from imblab.edges import files
from imblab.errors import DerivedFileError, describe
from imblab.fields import FieldError, check_text, integer_check, list_check, mapping_check, parse_json

FILE = "evidence.parquet"
#: Raised when the meaning of a row changes: files of another edition are gathered anew.
EDITION = b"1"
EDITED, FACTS = b"imblab.edition", b"imblab.facts"
_NUMBERS = ("x", "y", "z")


def write(path: Path, frame: pd.DataFrame, facts: Mapping[str, Any] | None = None) -> None:
    """Replace the file in one step.

    Parameters
    ----------
    path : Path
    frame : DataFrame
        Of :mod:`imblab.analysis.evidence`.
    facts : mapping, optional
        JSON that travels with it: ``versions`` by package, ``system``, ``git``, and ``tables``, what is known of every
        data set.
    """
    plain = pa.Table.from_pandas(frame, preserve_index=False)
    table = plain.replace_schema_metadata({EDITED: EDITION, FACTS: json.dumps(facts or {}, sort_keys=True)})
    texts = [name for name in table.column_names if name not in _NUMBERS]
    with files.open_replacement(path.parent, path.name) as stream:
        pq.write_table(
            table,
            stream,
            row_group_size=max(1, table.num_rows),
            compression="zstd",
            compression_level=19,
            use_dictionary=texts,
            column_encoding=dict.fromkeys(_NUMBERS, "BYTE_STREAM_SPLIT"),
            write_statistics=False,
        )


def read(path: Path) -> pd.DataFrame | None:
    """The frame in the file; None where there is no file, or one of another edition.

    Raises
    ------
    DerivedFileError
        If the file is damaged: what is wrong, and what makes it again.
    """
    if not files.exists(path.parent, path.name):
        return None
    try:
        with files.open_file(path.parent, path.name) as stream:
            table = pq.read_table(stream)
        if (table.schema.metadata or {}).get(EDITED) != EDITION:
            return None
        frame: pd.DataFrame = table.to_pandas()
    except (OSError, pa.ArrowException, ValueError, TypeError, KeyError) as error:
        raise _damaged(path, describe(error)) from error
    if wrong := invalid_reason(frame):
        raise _damaged(path, wrong)
    return frame


def read_facts(path: Path) -> dict[str, Any]:
    """What travels with the frame: ``versions`` and ``tables``; nothing where there is no file.

    Raises
    ------
    DerivedFileError
        If they are damaged: which field, with its value and the rule.
    """
    if not files.exists(path.parent, path.name):
        return {}
    try:
        with files.open_file(path.parent, path.name) as stream:
            known = pq.read_schema(stream).metadata or {}
        if known.get(EDITED) != EDITION:
            return {}
        found: dict[str, Any] = _FACTS(parse_json(known.get(FACTS, b"{}").decode()), "")
    except (OSError, pa.ArrowException, ValueError, RecursionError) as error:
        raise _damaged(path, f"its facts: {describe(error)}") from error
    return found


def _anything(value: Any, field: str) -> Any:
    """A fact that a newer imblab may have added."""
    return value


_TABLE = mapping_check(
    _anything,
    {
        "features": integer_check(),
        "categorical": list_check(check_text),
        "source": check_text,
        "missing": mapping_check(integer_check()),
        "cautions": list_check(check_text),
    },
)


def _described(value: Any, field: str) -> Any:
    """What is known of a table, whole."""
    found = _TABLE(value, field)
    for key in ("features", "categorical", "missing"):
        if key not in found:
            raise FieldError(f"{field}.{key}", "missing", "it is known of every table")
    return found


_FACTS = mapping_check(
    _anything,
    {
        "versions": mapping_check(check_text),
        "system": check_text,
        "git": mapping_check(check_text),
        "tables": mapping_check(_described),
    },
)


def _damaged(path: Path, what: str) -> DerivedFileError:
    return DerivedFileError(
        f"the evidence {str(path)!r} is damaged ({what}); it is made from the prediction store, and nothing rests on "
        f"it but curves, calibration and the descriptions of tables. Make it again without a fit: imblab run "
        f"{quote(str(path.parent / 'study.yaml'))}."
    )
