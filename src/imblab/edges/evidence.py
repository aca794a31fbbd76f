"""The file ``evidence.parquet`` of a study: written in one step, the same frame giving the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from imblab.analysis.evidence import invalid_reason
from imblab.edges import files
from imblab.errors import DerivedFileError, describe
from imblab.fields import FieldError, check_text, integer_check, list_check, mapping_check, parse_json

EVIDENCE_FILE = "evidence.parquet"
#: Changes with the meaning of the rows: a file of another edition is built anew.
EDITION = b"1"
EDITION_KEY, FACTS_KEY = b"imblab.edition", b"imblab.facts"
_VALUE_COLUMNS = ("x", "y", "z")


def write_evidence(path: Path, frame: pd.DataFrame, facts: Mapping[str, Any] | None = None) -> None:
    """Replace the file in one step; ``facts`` are stored with the frame as JSON: versions, system, git, and tables."""
    plain = pa.Table.from_pandas(frame, preserve_index=False)
    table = plain.replace_schema_metadata({EDITION_KEY: EDITION, FACTS_KEY: json.dumps(facts or {}, sort_keys=True)})
    texts = [name for name in table.column_names if name not in _VALUE_COLUMNS]
    with files.open_replacement(path.parent, path.name) as stream:
        pq.write_table(
            table,
            stream,
            row_group_size=max(1, table.num_rows),
            compression="zstd",
            compression_level=19,
            use_dictionary=texts,
            column_encoding=dict.fromkeys(_VALUE_COLUMNS, "BYTE_STREAM_SPLIT"),
            write_statistics=False,
        )


def load_evidence(path: Path) -> pd.DataFrame | None:
    """Read the frame; None without a file of this edition, DerivedFileError if it is damaged."""
    if not files.exists(path.parent, path.name):
        return None
    try:
        with files.open_file(path.parent, path.name) as stream:
            frame = _read_frame(stream)
    except (OSError, pa.ArrowException, ValueError, TypeError, KeyError) as error:
        raise _damaged(path, describe(error)) from error
    if frame is not None and (reason := invalid_reason(frame)):
        raise _damaged(path, reason)
    return frame


def _read_frame(stream: BinaryIO) -> pd.DataFrame | None:
    pool = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own keeps 25 MB of a frame of 8 MB
    try:
        with pq.ParquetFile(stream, pre_buffer=False) as parquet:
            if (parquet.schema_arrow.metadata or {}).get(EDITION_KEY) != EDITION:
                return None
            table = parquet.read(use_threads=False)
        frame: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True, use_threads=False)
        return frame
    finally:
        pa.set_memory_pool(pool)


def load_facts(path: Path) -> dict[str, Any]:
    """Read the facts that are stored with the frame; empty without a file of this edition."""
    if not files.exists(path.parent, path.name):
        return {}
    try:
        with files.open_file(path.parent, path.name) as stream:
            metadata = pq.read_schema(stream).metadata or {}
        if metadata.get(EDITION_KEY) != EDITION:
            return {}
        facts: dict[str, Any] = _check_facts(parse_json(metadata.get(FACTS_KEY, b"{}").decode()), "")
    except (OSError, pa.ArrowException, ValueError, RecursionError) as error:
        raise _damaged(path, f"its facts: {describe(error)}") from error
    return facts


def _accept(value: Any, field: str) -> Any:
    """Accept a fact that a newer imblab may have added."""
    return value


_check_columns = mapping_check(
    _accept,
    {
        "features": integer_check(),
        "categorical": list_check(check_text),
        "source": check_text,
        "missing": mapping_check(integer_check()),
        "cautions": list_check(check_text),
        "classes": list_check(check_text),
    },
)


def _check_table_facts(value: Any, field: str) -> Any:
    table = _check_columns(value, field)
    for key in ("features", "categorical", "missing"):
        if key not in table:
            raise FieldError(f"{field}.{key}", "missing", "every table has it")
    return table


_check_facts = mapping_check(
    _accept,
    {
        "versions": mapping_check(check_text),
        "system": check_text,
        "git": mapping_check(check_text),
        "tables": mapping_check(_check_table_facts),
    },
)


def _damaged(path: Path, what: str) -> DerivedFileError:
    return DerivedFileError(
        f"evidence {str(path)!r} is damaged ({what}); it is built from the prediction store. Without it there are no "
        f"curves, no calibration and no row-level standard errors, so that the corrected t decides. Make it again "
        f"without a fit: imblab run {quote(str(path.parent / 'study.yaml'))}."
    )
