"""Differences between evaluations of a record and the same ones made again, by cause."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from imblab.result import Evaluation, plain_fields

#: Fields of an evaluation that are not a function of its study.
VOLATILE_FIELDS = ("seconds",)
#: Where a record names no processor: processors differ in the last digits of sums, powers and logarithms.
ROUNDING_TOLERANCE = 1e-10
#: The same for a score that is computed again from its counts, without a fit.
COUNT_TOLERANCE = 1e-12
#: Names of texts that a library may word differently in another version: they are not compared within a tolerance.
WORDED_FIELDS = ("notes", "error", "reason")
#: What a difference means and what to do about it, by its cause, in the order of a report.
CAUSES = {
    "missing": "The design asks for it and the ledger has no line: it was never evaluated, or its line was removed. "
    "Restore the ledger, or evaluate it: imblab run .../study.yaml.",
    "beyond": "The ledger has a line that the design does not ask for: study.yaml was changed, or the line was added. "
    "Restore both files.",
    "table": "The table has another content than the one that the evaluation rests on. Restore the table.",
    "folds": "The outer split is another one than recorded: study.yaml or the line was changed. Restore both files.",
    "code": "A class or function of the user has other code than the evaluation was made with. Restore the code.",
    "address": "The address of the line is not that of its study, table, split and code: its content was exchanged, or "
    "study.yaml was changed. Restore both files.",
    "counts": "A score is not that of its confusion counts: the line was changed. Restore the ledger.",
    "environment": "Another version or processor gives another number, beyond the tolerance. Make the recorded "
    "environment: --env.",
    "unstable": "Two fits here differ from one another: the learner, the sampler or a measure does not depend on its "
    "seed alone. Fix its random state and its number of threads.",
    "values": "Two fits here agree with one another and not with the record, and nothing that the record names "
    "differs: the ledger was changed, or imblab computes it otherwise than before. Restore the ledger.",
    "evidence": "evidence.parquet is not what the evaluations give. Remove it and run the study again, which builds it "
    "without a fit.",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """A value of a record that is not the one of now."""

    cause: str  # a key of :data:`CAUSES`
    key: str  # the address of the evaluation, or the name of a file
    field: str = ""  # dotted name of the field; empty where the evaluation as such is there or not
    #: both values as plain data; None where there is none
    recorded: Any = None
    now: Any = None


def _flat_fields(evaluation: Evaluation) -> dict[str, Any]:
    """Return the fields that are a function of the study, one value per dotted name."""
    fields = {name: value for name, value in plain_fields(evaluation).items() if name not in VOLATILE_FIELDS}
    return dict(_flat_items(fields))


def evaluation_differences(recorded: Evaluation, now: Evaluation, tolerance: float | None = None) -> list[Difference]:
    """List the fields in which two evaluations of a cell differ; the cause is ``values``.

    Parameters
    ----------
    recorded, now : Evaluation
        As the record has it and as it was made again.
    tolerance : float, optional
        How far two numbers may lie apart, relative to the larger of the recorded one and 1. Whole numbers must be
        equal, and texts that libraries word are not compared then. None compares bit for bit.

    Examples
    --------
    >>> from dataclasses import replace
    >>> row = Evaluation("d", "l", "s", 0, 0, {}, 0.5, {"mcc": 0.1}, {}, 1.0, "ok", None, "f")
    >>> moved = replace(row, scores={"mcc": 0.1 + 1e-9})
    >>> [each.field for each in evaluation_differences(row, moved)], evaluation_differences(row, moved, 1e-6)
    (['scores.mcc'], [])
    """
    return _compare_fields(recorded.key, _flat_fields(recorded), _flat_fields(now), tolerance)


def value_differences(
    key: str, recorded: Mapping[str, Any], now: Mapping[str, Any], tolerance: float | None = None
) -> list[Difference]:
    """List the values in which two mappings of plain data differ, as :func:`evaluation_differences` does.

    Examples
    --------
    >>> [each.field for each in value_differences("m", {"params": {"k": 5}}, {"params": {"k": 3}})]
    ['params.k']
    """
    return _compare_fields(key, dict(_flat_items(recorded)), dict(_flat_items(now)), tolerance)


def _compare_fields(
    key: str, before: Mapping[str, Any], after: Mapping[str, Any], tolerance: float | None
) -> list[Difference]:
    names = [name for name in dict.fromkeys((*before, *after)) if not is_equal(name, before, after, tolerance)]
    return [Difference("values", key, name, before.get(name), after.get(name)) for name in names]


def largest_difference(recorded: Evaluation, now: Evaluation) -> float:
    """Return the largest distance between two numbers of the same field; 0 where all are equal."""
    before, after = _flat_fields(recorded), _flat_fields(now)
    pairs = [(before[name], after[name]) for name in before.keys() & after.keys()]
    return max((abs(a - b) for a, b in pairs if type(a) is type(b) is float), default=0.0)


def is_equal(name: str, before: Mapping[str, Any], after: Mapping[str, Any], tolerance: float | None) -> bool:
    """Return whether a field of two records is equal, bit for bit or within a tolerance."""
    if tolerance is not None and any(part.partition("[")[0] in WORDED_FIELDS for part in name.split(".")):
        return True
    if name not in before or name not in after:
        return False
    a, b = before[name], after[name]
    if tolerance is not None and type(a) is type(b) is float:
        return abs(a - b) <= tolerance * max(1.0, abs(a))
    return repr(a) == repr(b)


def address_differences(
    evaluations: Sequence[Evaluation], addresses: Mapping[str, str], facts: Mapping[str, Mapping[str, Any]]
) -> list[Difference]:
    """Compare what lines say of themselves with what their study, tables, splits and code give now; fits nothing.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        All that the record has.
    addresses : mapping of str to str
        The address of every cell of the design.
    facts : mapping of str to mapping
        By cell: ``data_fingerprint``, ``split_fingerprint``, ``n_train``, ``n_test``, and ``code``, the hash of the
        user's code by path.
    """
    by_key = {each.key: each for each in evaluations}
    differences = [Difference("missing", key) for key in addresses if key not in by_key]
    differences += [Difference("beyond", key) for key in by_key if key not in addresses]
    for key in (key for key in by_key if key in addresses):
        differences += _line_differences(by_key[key], addresses[key], facts[key])
    return differences


def _line_differences(line: Evaluation, address: str, facts: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield the first reason why an address differs, and numbers of rows that are not those of the split."""
    pairs = [("table", "data_fingerprint"), ("folds", "split_fingerprint")]
    pairs += [("folds", name) for name in ("n_train", "n_test")]
    for cause, name in pairs:
        if getattr(line, name) != facts[name]:
            yield Difference(cause, line.key, name, getattr(line, name), facts[name])
            return
    code = {path: (line.code.get(path), facts["code"].get(path)) for path in (*line.code, *facts["code"])}
    changed = [Difference("code", line.key, f"code.{path}", *pair) for path, pair in code.items() if pair[0] != pair[1]]
    yield from changed
    if not changed and line.fingerprint != address:
        yield Difference("address", line.key, "fingerprint", line.fingerprint, address)


def evidence_differences(
    recorded: pd.DataFrame, now: pd.DataFrame, name: str, tolerance: float | None = None
) -> list[Difference]:
    """Compare the evidence of a study with the one built again, in any order of its rows.

    ``name`` is that of the file; the difference counts the rows that only one of them has.
    """
    values = ["x", "y", "z"]
    places = [column for column in recorded.columns if column not in values]
    before, after = (_sorted_rows(frame, places, values) for frame in (recorded, now))
    if before.equals(after):
        return []
    if tolerance is not None and before[places].equals(after[places]):
        near = np.isclose(before[values], after[values], rtol=tolerance, atol=tolerance, equal_nan=True)
        if near.all():
            return []
    rows = [pd.util.hash_pandas_object(frame, index=False).value_counts() for frame in (before, after)]
    lost, added = (int(a.sub(b, fill_value=0).clip(lower=0).sum()) for a, b in (rows, rows[::-1]))
    return [Difference("evidence", name, "rows", f"{lost} of {len(before)}", f"{added} of {len(after)}")]


def _sorted_rows(frame: pd.DataFrame, places: list[str], values: list[str]) -> pd.DataFrame:
    """Sort evidence by its texts, not by the order in which a file first names them."""
    texts = [column for column in places if frame[column].dtype.kind not in "iuf"]
    plain = frame.astype(dict.fromkeys(texts, "object")).fillna(dict.fromkeys(texts, ""))
    return plain.sort_values([*places, *values], ignore_index=True)


def _flat_items(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values inside mappings and lists with their dotted names; empty ones as they are."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat_items(item, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, (list, tuple)) and value:
        for index, item in enumerate(value):
            yield from _flat_items(item, f"{prefix}[{index}]")
    else:
        yield prefix, value
