"""Columns of the prediction store: a prediction as bytes and a line of JSON, and back."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np

from imblab import fields
from imblab.core.fitting import Prediction


def to_columns(prediction: Prediction) -> tuple[bytes, str]:
    """Return the bytes of the values and a line of JSON with everything else."""
    columns = None if prediction.values.ndim == 1 else prediction.values.shape[1]
    facts = _facts_text(prediction.is_probability, tuple(prediction.reached.items()), prediction.notes, columns)
    return np.ascontiguousarray(prediction.values, dtype="<f8").tobytes(), facts


@lru_cache(maxsize=256)
def _facts_text(
    is_probability: bool, reached: tuple[tuple[str, Any], ...], notes: tuple[str, ...], columns: int | None
) -> str:
    facts = {"calibrated": is_probability, "reached": dict(reached), "notes": list(notes)}
    return json.dumps(facts if columns is None else {**facts, "columns": columns})


_FACTS_FORMAT = fields.record_check(
    {
        "calibrated": fields.check_flag,
        "reached": fields.mapping_check(
            fields.check_scalar,
            {
                **dict.fromkeys(("negative", "positive"), fields.integer_check()),
                "classes": fields.list_check(fields.integer_check()),
            },
        ),
        "notes": fields.list_check(fields.check_text),
        # Of predictions with one column per class; those of two classes are one.
        "columns": fields.integer_check(3),
    },
    ("calibrated", "reached", "notes"),
)


@lru_cache(maxsize=256)
def _parse_facts(line: str) -> dict[str, Any] | None:
    try:
        facts: dict[str, Any] = _FACTS_FORMAT(fields.parse_json(line), "")
    except (ValueError, RecursionError):
        return None
    return facts


def from_columns(p: Any, facts_text: Any) -> Prediction | None:
    """Return the prediction in a row; None if the row is damaged."""
    if type(p) is not bytes or type(facts_text) is not str or not p or len(p) % 8:
        return None
    facts, values = _parse_facts(facts_text), np.frombuffer(p, dtype="<f8")
    if facts is None or not np.isfinite(values).all():
        return None
    if facts["calibrated"] and not (values.min() >= 0 and values.max() <= 1):
        return None
    if columns := facts.get("columns"):
        if len(values) % columns:
            return None
        values = values.reshape(-1, columns)
    return Prediction(values, facts["calibrated"], dict(facts["reached"]), facts["notes"])
