"""The files of a study: its question, read, compared and extended; the lines of its ledger and of its searches."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from pathlib import Path
from shlex import quote
from sys import intern
from typing import Any, TypeVar

import yaml

from imblab import fields
from imblab.edges import files
from imblab.edges.ledger.agreement import check_class_fields, check_counts
from imblab.errors import StudyError
from imblab.result import Evaluation, Trial, plain_fields, search_address
from imblab.stats.probabilities import CLASS_RANGES
from imblab.study import DECISION_VALUE, PROBABILITY

STUDY_FILE = "study.yaml"
#: Sections of the question that may grow: their members do not depend on one another.
GROWING_SECTIONS = ("dataset", "learner", "strategy")
#: The key of ``claims`` under which the folder keeps what was claimed before its first evaluation.
REGISTERED = "registered"
#: The key of that record with the other studies that had evaluations on the same rows, by data set.
SEEN_BEFORE = "seen_before"
#: The keys of that record with the kinds of learners, and with the version of the rules that read them.
KINDS, TABLE = "kinds", "table"
MAX_LISTED_DIFFERENCES = 8


def read_study(folder: Path) -> dict[str, Any]:
    """Read the resolved question of a study; StudyError if the file is not YAML, or not a mapping."""
    path = str(folder / STUDY_FILE)
    way_out = "it is the question of the study. Restore it, or start over with overwrite=true."
    try:
        question = files.parse_yaml(files.read_bytes(folder, STUDY_FILE, max_bytes=files.MAX_YAML_BYTES + 1))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StudyError(f"{path!r} is not plain YAML ({reason}); {way_out}") from error
    if not isinstance(question, dict):
        raise StudyError(f"{path!r} is not a mapping; {way_out}")
    return question


def write_study(folder: Path, question: Mapping[str, Any]) -> None:
    """Replace ``study.yaml`` in one step, where it changes."""
    content = files.to_yaml(dict(question)).encode()
    if not files.exists(folder, STUDY_FILE) or files.read_bytes(folder, STUDY_FILE) != content:
        files.replace(folder, STUDY_FILE, content)


def extend_question(
    name: str, old: Mapping[str, Any], asked: Mapping[str, Any], evaluated: Collection[str] = ()
) -> dict[str, Any]:
    """The question of a folder with evaluations after it is asked again: the old one with what the new one adds.

    The record of claims stays; studies that had seen the rows of a data set are added where none of ``evaluated``, the
    data sets with evaluations, is that data set, and so is the kind of a learner that the old question does not have.
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
        record = old["claims"][REGISTERED]
        if record:
            record = _extend_record(record, asked["claims"].get(REGISTERED) or {}, old["learner"], evaluated)
        extended["claims"] = {**asked["claims"], REGISTERED: record}
    repeats = max(old["protocol"]["repeats"], asked["protocol"]["repeats"])
    extended["protocol"] = {**asked["protocol"], "repeats": repeats}
    return extended


def _extend_record(
    record: Mapping[str, Any], asked: Mapping[str, Any], learners: Collection[str], evaluated: Collection[str]
) -> dict[str, Any]:
    """A record of claims with what was not known when it was made: rows that were seen before, kinds of new learners.

    A record without rules for kinds stays without kinds.
    """
    seen = {dataset: studies for dataset, studies in (asked.get(SEEN_BEFORE) or {}).items() if dataset not in evaluated}
    kinds = {name: kind for name, kind in (asked.get(KINDS) or {}).items() if name not in learners}
    added = {SEEN_BEFORE: seen, KINDS: kinds if record.get(TABLE) else {}}
    merged = {key: {**values, **(record.get(key) or {})} for key, values in added.items()}
    return {**record, **{key: values for key, values in merged.items() if values}}


def question_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List what differs between two questions, as ``dotted.key: old -> new``."""
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
    fixed["claims"] = {k: v for k, v in question["claims"].items() if k != REGISTERED and v is not None}
    fixed["protocol"] = {k: v for k, v in question["protocol"].items() if k != "repeats"}
    for section in GROWING_SECTIONS:
        fixed[section] = {name: value for name, value in question[section].items() if name in other[section]}
    fixed["dataset"] = {name: files.normalized_spec(spec) for name, spec in fixed["dataset"].items()}
    return fixed


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _as_json(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "(absent)"


LEDGER_FILE, SEARCHES_FILE = "ledger.jsonl", "searches.jsonl"
#: Largest number of a repeat or fold that evidence can hold.
MAX_FOLD = 2**15 - 1
MAX_FITS = 2**31 - 1
#: Seconds of an evaluation: 30 years.
MAX_SECONDS = 1e9
#: Damaged lines that a message describes, and that its command removes.
MAX_LISTED_LINES, MAX_SCRIPT_LINES = 5, 40
STATUSES = ("ok", "inapplicable", "failed")
TRIAL_STATUSES = (*STATUSES, "repeated", "pruned")
#: Lowest and highest score by measure, None for no bound; followed by those of more than two classes if they differ.
Ranges = Mapping[str, tuple[float | None, ...]]
Searches = Mapping[str, tuple[Trial, ...]]
Line = TypeVar("Line")

_SCORE, _COUNT = fields.nullable(fields.check_number), fields.integer_check()


def _check_threshold(value: Any, field: str) -> float | tuple[float, ...]:
    """Check the threshold of two classes, or the list of those of more."""
    check: fields.Check = fields.list_check(fields.number_check(0, 1)) if type(value) is list else fields.check_number
    threshold: float | tuple[float, ...] = check(value, field)
    return threshold


_THRESHOLD = fields.nullable(_check_threshold)
TRIAL_CHECKS: Mapping[str, fields.Check] = {
    "params": fields.mapping_check(fields.check_scalar),
    "value": _SCORE,
    "threshold": _THRESHOLD,
    "status": fields.choice_check(TRIAL_STATUSES),
    "reason": fields.nullable(fields.check_text),
    "fold_thresholds": fields.list_check(fields.check_number),
    "at_edge": fields.check_flag,
}
_TRIALS = fields.list_check(fields.record_check(TRIAL_CHECKS, ("params", "value", "threshold")))
EVALUATION_CHECKS: Mapping[str, fields.Check] = {
    "dataset": fields.check_name,
    "learner": fields.check_name,
    "strategy": fields.check_name,
    "repeat": fields.integer_check(0, MAX_FOLD),
    "fold": fields.integer_check(0, MAX_FOLD),
    "params": fields.mapping_check(fields.check_scalar),
    "threshold": _THRESHOLD,
    "scores": fields.mapping_check(_SCORE),
    "counts": fields.mapping_check(_COUNT),
    "seconds": fields.number_check(0, MAX_SECONDS),
    "status": fields.choice_check(STATUSES),
    "error": fields.nullable(fields.check_text),
    "fingerprint": fields.check_text,
    "data_fingerprint": fields.check_text,
    "split_fingerprint": fields.check_text,
    "flagged": fields.nullable(fields.number_check(0, 1)),
    "value": _SCORE,
    "n_train": _COUNT,
    "n_test": _COUNT,
    "reached": fields.mapping_check(
        fields.check_scalar,
        {"sampler": fields.check_text, "negative": _COUNT, "positive": _COUNT, "classes": fields.list_check(_COUNT)},
    ),
    "fits": fields.integer_check(0, MAX_FITS),
    "notes": fields.list_check(fields.check_text),
    "trials": _TRIALS,
    "scale": fields.choice_check((PROBABILITY, DECISION_VALUE)),
    "code": fields.mapping_check(fields.check_text),
    "class_scores": fields.mapping_check(fields.list_check(_SCORE)),
    "confusion": fields.list_check(fields.list_check(_COUNT)),
}
#: Fields of a line that an evaluation does not have: the address of its search, and a count of older ledgers.
LINE_CHECKS: Mapping[str, fields.Check] = {
    **EVALUATION_CHECKS,
    "search": fields.check_text,
    "spared": fields.integer_check(0, MAX_FITS),
}
#: Texts that many evaluations share; one copy of each is kept in memory.
SHARED_TEXTS = frozenset(("dataset", "learner", "strategy", "status", "data_fingerprint", "split_fingerprint", "scale"))
#: Mappings and lists that many evaluations share, and how many different ones are remembered.
SHARED_PARTS, MAX_SHARED_PARTS = frozenset(("params", "reached", "notes")), 1000
#: Fields without a default, but for `error`, which a line leaves out where there is none.
REQUIRED = tuple(f.name for f in dataclass_fields(Evaluation))[:13]
_LINE = fields.record_check(LINE_CHECKS, tuple(name for name in REQUIRED if name != "error"))
_SEARCH = fields.record_check({"search": fields.check_text, "trials": _TRIALS}, ("search", "trials"))


def write_evaluation(evaluation: Evaluation) -> str:
    """Write an evaluation as a line of the ledger: its trials are replaced by the address of their search.

    Left out are fields that hold their default, and the share of flagged rows where the counts give it.
    """
    line = plain_fields(evaluation, without_defaults=True)
    if evaluation.error is None:
        del line["error"]
    line["flagged"] = evaluation.flagged
    if evaluation.flagged == _flagged_share(line):
        del line["flagged"]
    if evaluation.trials:
        del line["trials"]
        line["search"] = search_address(evaluation.trials)
    return json.dumps(line, allow_nan=False, separators=(",", ":"))


def write_search(trials: Sequence[Trial]) -> str:
    """Write the trials of a search as a line of ``searches.jsonl``; fields that hold their default are left out."""
    line = {"search": search_address(trials), "trials": [plain_fields(t, without_defaults=True) for t in trials]}
    return json.dumps(line, allow_nan=False, separators=(",", ":"))


def read_evaluation(
    line: str | bytes,
    ranges: Ranges | None = None,
    searches: Searches | None = None,
    shared: dict[str, Any] | None = None,
) -> Evaluation:
    """Read one line of a ledger, of this form or of the one before it, which held the trials of the search.

    ``shared`` holds parts of earlier lines by their text: equal ones become one object, new ones are added. Raises
    FieldError for a field that is not valid, ValueError or RecursionError if the line is not JSON in UTF-8.
    """
    values = _LINE(fields.parse_json(line.decode() if isinstance(line, bytes) else line), "")
    check_counts(values)
    check_class_fields(values)
    if ranges:
        _check_ranges(values["scores"], ranges, is_of_classes=bool(values.get("confusion")))
        for index in range(len(values.get("confusion", ()))):
            of_class = {name: scores[index] for name, scores in values.get("class_scores", {}).items()}
            _check_ranges(of_class, ranges, is_of_classes=True)
    values.pop("spared", None)
    values.setdefault("flagged", _flagged_share(values))
    address = values.pop("search", None)
    if address is None:
        trials = values.get("trials", ())
        values["trials"] = tuple([Trial(**{**t, "params": _share(t["params"], shared)}) for t in trials])
    elif "trials" in values:
        raise fields.FieldError(
            "search", fields.quote_value(address), "a line holds its trials or the address of their search"
        )
    elif address not in (searches or {}):
        raise fields.FieldError(
            "search", fields.quote_value(address), f"it is the address of a line of {SEARCHES_FILE}"
        )
    else:
        values["trials"] = (searches or {})[address]
    for name in SHARED_TEXTS & values.keys():
        values[name] = intern(values[name])
    for name in SHARED_PARTS & values.keys():
        values[name] = _share(values[name], shared)
    return Evaluation(**{"error": None, **values})


def read_search(line: str | bytes) -> tuple[str, tuple[Trial, ...]]:
    """Read one line of ``searches.jsonl``: the address and the trials, which must belong together."""
    values = _SEARCH(fields.parse_json(line.decode() if isinstance(line, bytes) else line), "")
    trials = tuple([Trial(**trial) for trial in values["trials"]])
    if values["search"] != search_address(trials):
        raise fields.FieldError(
            "search", fields.quote_value(values["search"]), "it is the fingerprint of the trials of its line"
        )
    return values["search"], trials


def read_evaluation_lines(
    lines: Iterable[bytes], ranges: Ranges | None = None, searches: Searches | None = None
) -> tuple[dict[int, Evaluation], dict[int, str]]:
    """Read the lines of a ledger: evaluations, and what is wrong with damaged lines, by line number from 1."""
    shared: dict[str, Any] = {}
    return _read_lines(lines, lambda line: read_evaluation(line, ranges, searches, shared))


def read_search_lines(lines: Iterable[bytes]) -> tuple[dict[str, tuple[Trial, ...]], dict[int, str]]:
    """Read the lines of ``searches.jsonl``: trials by address, and what is wrong with damaged lines by line number."""
    searches, damaged = _read_lines(lines, read_search)
    return dict(searches.values()), damaged


def _read_lines(lines: Iterable[bytes], read: Callable[[bytes], Line]) -> tuple[dict[int, Line], dict[int, str]]:
    values: dict[int, Line] = {}
    damaged: dict[int, str] = {}
    for number, line in enumerate(lines, start=1):
        try:
            values[number] = read(line)
        except fields.FieldError as error:
            damaged[number] = str(error)
        except (ValueError, RecursionError) as error:
            damaged[number] = f"it is not JSON in UTF-8 ({type(error).__name__})"
    return values, damaged


def describe_damage(path: Path, damaged: Mapping[int, str]) -> str:
    """Say what is wrong with the lines of a file, by number, and how to evaluate again what is removed."""
    listed = list(damaged)[:MAX_LISTED_LINES]
    if len(damaged) == 1:
        what = f"a damaged line {listed[0]}: {damaged[listed[0]]}"
    else:
        more = f"; and {len(damaged) - len(listed)} more lines" if len(damaged) > len(listed) else ""
        what = f"{len(damaged)} damaged lines: {'; '.join(f'line {n}, {damaged[n]}' for n in listed)}{more}"
    lines = "lines" if len(damaged) > 1 else "line"
    script = ";".join(f"{number}d" for number in damaged)
    way_out = f"Remove the {lines}, which sed -i {quote(script)} {quote(str(path))} does"
    if len(damaged) > MAX_SCRIPT_LINES:
        way_out = "Restore the file, or remove these lines"
    command = f"imblab run {quote(str(path.with_name(STUDY_FILE)))}"
    return f"{str(path)!r} has {what}. Every field of every line is checked. {way_out}, and run again: {command}."


def measure_ranges(question: Any) -> dict[str, tuple[float | None, ...]]:
    """The ranges of the measures of a study, as far as its ``study.yaml`` has them; see :data:`Ranges`."""
    measures = question.get("measures") if isinstance(question, Mapping) else None
    ranges: dict[str, tuple[float | None, ...]] = {}
    for key, measure in measures.items() if isinstance(measures, Mapping) else ():
        ends = measure.get("range") if isinstance(measure, Mapping) else None
        # Costs may be gains: the range of a measure does not hold for a matrix that the user chose.
        parameters = measure.get("parameters") if isinstance(measure, Mapping) else None
        has_costs = isinstance(parameters, Mapping) and "costs" in parameters
        ranges[str(key)] = (None, None)
        if isinstance(ends, (list, tuple)) and len(ends) == 2 and all(map(_is_bound, ends)) and not has_costs:
            ranges[str(key)] = (ends[0], ends[1], *CLASS_RANGES.get(str(measure.get("function")), ()))
    return ranges


def _share(part: Any, shared: dict[str, Any] | None) -> Any:
    """Return the equal part of an earlier line in place of this one; equal in type too, as 1 and 1.0 are not."""
    if shared is None:
        return part
    text = repr(part)
    return shared.setdefault(text, part) if len(shared) < MAX_SHARED_PARTS else shared.get(text, part)


def _flagged_share(values: Mapping[str, Any]) -> float | None:
    counts, n_test = values["counts"], values.get("n_test")
    return (counts["fp"] + counts["tp"]) / n_test if counts and n_test else None


def _is_bound(end: Any) -> bool:
    return end is None or (isinstance(end, (int, float)) and not isinstance(end, bool) and abs(end) <= fields.MAX_COUNT)


def _check_ranges(scores: Mapping[str, float | None], ranges: Ranges, is_of_classes: bool) -> None:
    for measure, score in scores.items():
        if measure not in ranges:
            raise fields.FieldError(
                f"scores.{measure}", "unknown", f"the measures of the study are {', '.join(ranges)}"
            )
        low, high = ranges[measure][-2:] if is_of_classes else ranges[measure][:2]
        if score is not None and not (low is None or low <= score) & (high is None or score <= high):
            fields.number_check(low, high)(score, f"scores.{measure}")
