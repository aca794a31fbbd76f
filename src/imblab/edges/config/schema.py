"""JSON Schema of ``study.yaml`` and of the files of the groups, for editors that complete and check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imblab.core import decisions
from imblab.edges.config import sweeps
from imblab.edges.config.models import MeasureModel, ProtocolModel
from imblab.edges.config.read import StudyModel
from imblab.study import KNOBS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: The groups by the words of ``imblab list``.
GROUPS = {
    "learners": "learner",
    "strategies": "strategy",
    "measures": "measures",
    "datasets": "dataset",
    "protocols": "protocol",
}
_CLASS = {
    "description": "a class with its parameters: {_target_: dotted.path, parameter: value}",
    "type": ["object", "null"],
    "properties": {"_target_": {"type": "string", "description": "the dotted path of the class"}},
}
_SPACE_SCHEMA = {
    "description": f"what is searched, by name, in Hydra's sweep grammar: {sweeps.GRAMMAR}",
    "type": ["object", "null"],
    "additionalProperties": {"type": ["string", "number", "boolean", "array", "null"]},
}
_LABEL = {"description": "what it is, in a few words", "type": "string"}
LEARNER_PROPERTIES = {
    "label": _LABEL,
    "make": {**_CLASS, "type": "object", "required": ["_target_"]},
    "space": _SPACE_SCHEMA,
    "staged": {
        "description": "how one fit predicts for fewer rounds: parameter, argument, form, only, made",
        "type": ["object", "null"],
    },
    "rebalances": {"description": "whether it weighs or resamples the classes by itself", "type": "boolean"},
}
STRATEGY_PROPERTIES = {
    "label": _LABEL,
    "sampler": _CLASS,
    "prior_correction": {
        "description": "whether a prior correction undoes the sampler",
        "enum": [*decisions.CORRECTIONS, None],
    },
    "ratio": {"description": KNOBS["ratio"].rule, "type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1},
    "k": {"description": KNOBS["k"].rule, "type": ["number", "null"], "minimum": 1},
    "weight": {"description": KNOBS["weight"].rule, "type": ["number", "string", "null"]},
    "threshold": {
        "description": "a number from 0 to 1, tuned, or one rule such as {alert_rate: 0.01}",
        "type": ["number", "string", "object"],
    },
    "calibration": {
        "description": f"one of {', '.join(decisions.CALIBRATIONS)}, or the path of a class",
        "type": ["string", "object", "null"],
    },
    "space": _SPACE_SCHEMA,
}
#: Keys of the description of a data set; their values are checked when the table is read.
DATASET_KEYS = {
    "kind": "table, sql, openml, keel, zenodo or bundled",
    "name": "its name in results",
    "parent": "the parent data set: tasks that share one share rows",
    "source": "the old spelling of parent",
    "positive": "the label of the positive class; the rarest by default",
    "allow_majority_positive": "true if the more frequent class is meant to be positive",
    "target": "the column that holds the labels",
    "drop": "columns to leave out",
    "categorical": "columns of numbers that are categories",
    "numeric": "columns of text that are numbers",
    "groups": "the column whose values must not span folds",
    "time": "the column that orders the rows",
    "amount": "the column of amounts for costs",
    "id": "the column that identifies a row",
    "rare": "{min_rows: m}: levels with fewer rows in a fit part become one level",
    "missing": "texts that stand for a missing value",
    "time_format": "how times are written, such as %d/%m/%Y",
    "path": "the path of the file",
    "sep": "the separator of the fields",
    "decimal": "the decimal mark",
    "thousands": "the separator of thousands",
    "encoding": "the encoding of the file",
    "sheet": "the sheet of a workbook",
    "query": "one statement that reads, with ORDER BY",
    "url_env": "the environment variable that holds the SQLAlchemy address",
    "table": "the table of a collection",
    "data_id": "the number of the data set at OpenML",
    "version": "the version of the name at OpenML",
}


def json_schema(kind: str | None = None) -> dict[str, Any]:
    """Return the JSON Schema of the files of a group, or of ``study.yaml``.

    Parameters
    ----------
    kind : str, optional
        A key of :data:`GROUPS`; anything else is ``study.yaml``.

    Returns
    -------
    dict
        In the dialect 2020-12.

    Examples
    --------
    >>> json_schema("learners")["additionalProperties"]["$ref"]
    '#/$defs/learner'
    """
    group = GROUPS.get(kind or "")
    definitions = {
        "learner": _closed(LEARNER_PROPERTIES),
        "strategy": _closed(STRATEGY_PROPERTIES),
        "measures": MeasureModel.model_json_schema(),
        "dataset": _closed({key: {"description": text} for key, text in DATASET_KEYS.items()}),
    }
    if group == "protocol":
        schema = ProtocolModel.model_json_schema()
    elif group is not None:
        schema = {"title": group, **_members_of(group)}
    else:
        schema = StudyModel.model_json_schema()
        for name in definitions:
            schema["properties"][name] |= _members_of(name)
        definitions |= schema["$defs"]
    return {"$schema": DIALECT, **schema, "$defs": definitions}


def _closed(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _members_of(group: str) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": {"$ref": f"#/$defs/{group}"}}
