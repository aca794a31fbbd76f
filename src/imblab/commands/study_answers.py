"""The answer of a study in short, kept in its folder: the list of studies and the index read it without a calculation.

``answer.json`` is derived: it holds the hashes of the files that it was made from, and counts only while they match.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from imblab import __version__
from imblab.analysis import methods
from imblab.edges import evidence, files, ledger
from imblab.result import StudyResult

ANSWER_FILE = "answer.json"
#: Files that an answer follows from.
_SOURCES = (ledger.STUDY_FILE, ledger.LEDGER_FILE, evidence.EVIDENCE_FILE)
_MAX_ANSWER_BYTES = 2**20
#: Keys of an answer, with the type that a file must have for each.
_TYPES: dict[str, type[Any]] = {
    "question": str,
    "evaluations": str,
    "n_evaluations": int,
    "is_complete": bool,
    "verdict": str,
    "recommendation": str,
    "recommended": list,
    "datasets": list,
    "learners": list,
}


def summarize_answer(result: StudyResult) -> dict[str, Any]:
    """Return the answer of a study in short, as plain data.

    ``verdict`` is the headline; ``recommendation`` the sentence that may stand alone; ``recommended`` lists the
    recommended strategy, or those of the data sets where no strategy is recommended for all of them.
    """
    study, answer, recommendation = result.study, result.answer, result.recommendation
    chosen = [recommendation.overall] if recommendation.overall.strategy else list(recommendation.datasets.values())
    return {
        "question": methods.describe_question(study),
        "evaluations": result.completeness.counted.removesuffix(" evaluations"),
        "n_evaluations": len(result.evaluations),
        "is_complete": result.completeness.is_complete,
        "verdict": answer.headline,
        "recommendation": next(iter(answer.recommendation), ""),
        "recommended": list(dict.fromkeys(each.strategy for each in chosen if each.strategy)),
        "datasets": list(dict.fromkeys(dataset for dataset, _ in result.families)),
        "learners": list(dict.fromkeys(learner for _, learner in result.families)),
    }


def write_answer(home: Path, result: StudyResult) -> dict[str, Any]:
    """Keep the answer of a study in its folder, and return it."""
    answer = summarize_answer(result)
    content = {"imblab": __version__, "made_of": hash_files(home, _SOURCES), "answer": answer}
    files.replace(home, ANSWER_FILE, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    return answer


def read_answer(home: Path) -> dict[str, Any] | None:
    """Return the answer in a folder; None where there is none, or it is damaged, of another version or outdated."""
    if not files.exists(home, ANSWER_FILE):
        return None
    try:
        content = json.loads(files.read_bytes(home, ANSWER_FILE, max_bytes=_MAX_ANSWER_BYTES))
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or content.get("imblab") != __version__:
        return None
    answer: Any = content.get("answer")
    if not (
        isinstance(answer, Mapping) and all(_has_type(answer.get(name), kind) for name, kind in _TYPES.items())
    ) or content.get("made_of") != hash_files(home, _SOURCES):
        return None
    return {name: answer[name] for name in _TYPES}


def _has_type(value: Any, kind: type[Any]) -> bool:
    return isinstance(value, kind) and (kind is not list or all(isinstance(item, str) for item in value))


def hash_files(home: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the hashes of those files of a folder that are there."""
    hashes = {}
    for name in names:
        if files.exists(home, name):
            with files.open_file(home, name) as stream:  # block by block: a ledger may have 100 MB
                hashes[name] = hashlib.file_digest(cast("Any", stream), "sha256").hexdigest()
    return hashes
