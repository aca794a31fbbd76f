"""The question of a study as ``study.yaml`` holds it: read, compared, and extended by what is added."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from imblab.edges import files
from imblab.edges.files import safe_yaml
from imblab.errors import StudyError

STUDY_FILE = "study.yaml"
#: Sections of the question that may grow: their members do not depend on one another.
GROWING_SECTIONS = ("dataset", "learner", "strategy")
#: The key of ``claims`` under which the folder keeps what was claimed before its first evaluation.
REGISTERED = "registered"
#: Differences that a message lists.
MAX_LISTED_DIFFERENCES = 8


def read_study(folder: Path) -> dict[str, Any]:
    """Read the resolved question of a study.

    Raises
    ------
    StudyError
        If the file is not YAML, or not a mapping.
    """
    path = str(folder / STUDY_FILE)
    way_out = "it is the question of the study. Restore it, or start over with overwrite=true."
    try:
        question = safe_yaml.parse_yaml(files.read_bytes(folder, STUDY_FILE, max_bytes=safe_yaml.MAX_YAML_BYTES + 1))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StudyError(f"{path!r} is not plain YAML ({reason}); {way_out}") from error
    if not isinstance(question, dict):
        raise StudyError(f"{path!r} is not a mapping; {way_out}")
    return question


def write_study(folder: Path, question: Mapping[str, Any]) -> None:
    """Replace ``study.yaml`` in one step, where it changes."""
    content = safe_yaml.to_yaml(dict(question)).encode()
    if not files.exists(folder, STUDY_FILE) or files.read_bytes(folder, STUDY_FILE) != content:
        files.replace(folder, STUDY_FILE, content)


def extend_question(name: str, old: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The question of a folder with evaluations after it is asked again: the old one with what the new one adds.

    Raises
    ------
    StudyError
        If the new question changes what evaluations rest on.
    """
    changed = _forbidden_changes(old, asked)
    if changed:
        more = len(changed) - MAX_LISTED_DIFFERENCES
        raise StudyError(
            f"study {name!r} asks another question than the evaluations in its folder answer: "
            f"{'; '.join(changed[:MAX_LISTED_DIFFERENCES])}{f' and {more} more' if more > 0 else ''}. Evaluations are "
            "never changed. Choose another name=..., or start over with overwrite=true (the old folder is kept aside)."
        )
    extended: dict[str, Any] = dict(asked)
    for section in GROWING_SECTIONS:
        extended[section] = {**old[section], **asked[section]}
    if REGISTERED in old["claims"]:
        extended["claims"] = {**asked["claims"], REGISTERED: old["claims"][REGISTERED]}
    repeats = max(old["protocol"]["repeats"], asked["protocol"]["repeats"])
    extended["protocol"] = {**asked["protocol"], "repeats": repeats}
    return extended


def question_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List what differs between two questions, as ``dotted.key: old -> new``.

    Examples
    --------
    >>> question_differences({"seed": 0, "primary": "mcc"}, {"seed": 1, "primary": "mcc"})
    ['seed: 0 -> 1']
    """
    before, after = dict(_flatten(old)), dict(_flatten(new))
    pairs = ((key, _as_json(before, key), _as_json(after, key)) for key in dict.fromkeys((*before, *after)))
    return [f"{key}: {was} -> {becomes}" for key, was, becomes in pairs if was != becomes]


def _forbidden_changes(old: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    before, after = _fixed_part(old, asked), _fixed_part(asked, old)
    if REGISTERED in old["claims"]:
        # Other claims are not refused later: they are compared with the record, and are exploratory.
        before["claims"] = after["claims"]
    return question_differences(before, after)


def _fixed_part(question: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """A question without what may grow: members the other does not have, the repeats, the record of claims."""
    fixed = {key: value for key, value in question.items() if key not in GROWING_SECTIONS}
    fixed["claims"] = {k: v for k, v in question["claims"].items() if k != REGISTERED}
    fixed["protocol"] = {k: v for k, v in question["protocol"].items() if k != "repeats"}
    for section in GROWING_SECTIONS:
        fixed[section] = {name: value for name, value in question[section].items() if name in other[section]}
    fixed["dataset"] = {name: safe_yaml.normalized_spec(spec) for name, spec in fixed["dataset"].items()}
    return fixed


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _as_json(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "(absent)"
