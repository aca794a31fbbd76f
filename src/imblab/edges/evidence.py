"""The file ``evidence.parquet`` of a study: written in one step, the same frame giving the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from imblab.edges import files
from imblab.errors import StudyError, describe

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
    with files.replacing(path.parent, path.name) as stream:
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
    StudyError
        If the file is damaged.
    """
    if not files.exists(path.parent, path.name):
        return None
    try:
        with files.opened(path.parent, path.name) as stream:
            table = pq.read_table(stream)
    except (OSError, pa.ArrowException) as error:
        raise StudyError(
            f"the evidence {str(path)!r} is damaged ({describe(error)}); it is made from the prediction "
            "store. Delete it and run the study again: no fit is made."
        ) from error
    if (table.schema.metadata or {}).get(EDITED) != EDITION:
        return None
    frame: pd.DataFrame = table.to_pandas()
    return frame


def read_facts(path: Path) -> dict[str, Any]:
    """What travels with the frame: ``versions`` and ``tables``; nothing where there is no file that can be read."""
    try:
        with files.opened(path.parent, path.name) as stream:
            known = pq.read_schema(stream).metadata or {}
        found = json.loads(known.get(FACTS, b"{}"))
    except (OSError, pa.ArrowException, ValueError):
        return {}
    return found if isinstance(found, dict) and known.get(EDITED) == EDITION else {}
