"""Evaluations read from the lines of a ledger: every field is checked, none is believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields as fields_of
from pathlib import Path
from shlex import quote
from typing import Any

from imblab.fields import (
    FINITE,
    MAX_COUNT,
    Check,
    FieldError,
    flag,
    loaded,
    many,
    mapping,
    name,
    nullable,
    number,
    one_of,
    record,
    scalar,
    shown,
    text,
    whole,
)
from imblab.result import Evaluation, Trial
from imblab.study import DECISION_VALUE, PROBABILITY

#: Repeats and folds that evidence can hold.
MAX_FOLD = 2**15 - 1
MAX_FITS = 2**31 - 1
#: Seconds of a row: 30 years.
MAX_SECONDS = 1e9
#: Damaged lines that a message describes, and that it removes by a command.
MAX_LISTED_LINES, MAX_SCRIPT_LINES = 5, 40
STATUSES = ("ok", "inapplicable", "failed")
TRIAL_STATUSES = (*STATUSES, "repeated", "pruned")
COUNTS = ("tn", "fp", "fn", "tp")
#: Lowest and highest score by measure; None for no bound.
Ranges = Mapping[str, tuple[float | None, float | None]]

_SCORE, _COUNT = nullable(FINITE), whole()
TRIAL: Mapping[str, Check] = {
    "params": mapping(scalar),
    "value": _SCORE,
    "threshold": _SCORE,
    "status": one_of(TRIAL_STATUSES),
    "reason": nullable(text),
    "fold_thresholds": many(FINITE),
    "at_edge": flag,
}
EVALUATION: Mapping[str, Check] = {
    "dataset": name,
    "learner": name,
    "strategy": name,
    "repeat": whole(0, MAX_FOLD),
    "fold": whole(0, MAX_FOLD),
    "params": mapping(scalar),
    "threshold": _SCORE,
    "scores": mapping(_SCORE),
    "counts": mapping(_COUNT),
    "seconds": number(0, MAX_SECONDS),
    "status": one_of(STATUSES),
    "error": nullable(text),
    "fingerprint": text,
    "data_fingerprint": text,
    "split_fingerprint": text,
    "flagged": nullable(number(0, 1)),
    "value": _SCORE,
    "n_train": _COUNT,
    "n_test": _COUNT,
    "reached": mapping(scalar, {"sampler": text, "negative": _COUNT, "positive": _COUNT}),
    "fits": whole(0, MAX_FITS),
    "spared": whole(0, MAX_FITS),
    "notes": many(text),
    "trials": many(record(TRIAL, ("params", "value", "threshold"))),
    "code": mapping(text),
    "scale": one_of((PROBABILITY, DECISION_VALUE)),
}
_REQUIRED = tuple(f.name for f in fields_of(Evaluation))[:13]
_READ = record(EVALUATION, _REQUIRED)


def read(line: str | bytes, ranges: Ranges | None = None) -> Evaluation:
    """Read one line of a ledger.

    Parameters
    ----------
    line : str or bytes
        JSON, as :meth:`imblab.result.Evaluation.to_json` writes it.
    ranges : mapping of str to (float or None, float or None), optional
        Lowest and highest score of every measure of the study; see :func:`ranges_of`.

    Returns
    -------
    Evaluation

    Raises
    ------
    FieldError
        If a field is missing or unknown, has another type, or lies outside its range.
    ValueError, RecursionError
        If the line is not JSON in UTF-8.

    Examples
    --------
    >>> row = Evaluation("toy", "knn", "none", 0, 0, {}, 0.5, {"mcc": 0.25}, {}, 1.0, "ok", None, "f")
    >>> read(row.to_json()) == row
    True
    >>> read(row.to_json().replace("0.25", "1000"), {"mcc": (-1, 1)})
    Traceback (most recent call last):
    imblab.fields.FieldError: field 'scores.mcc' is 1000; it is a finite number from -1 to 1
    """
    raw = loaded(line.decode() if isinstance(line, bytes) else line)
    checked = _READ(raw, "")
    _check_counts(checked)
    if ranges:
        _check_ranges(checked["scores"], ranges)
    trials = tuple([Trial(**each) for each in checked.get("trials", ())])
    return Evaluation(**{**checked, "trials": trials})


def read_lines(lines: Iterable[bytes], ranges: Ranges | None = None) -> tuple[dict[int, Evaluation], dict[int, str]]:
    """Read the lines of a ledger.

    Parameters
    ----------
    lines : iterable of bytes
    ranges : mapping, optional
        See :func:`read`.

    Returns
    -------
    rows, damaged : dict of int to Evaluation, dict of int to str
        By the number of the line, which counts from 1: what it holds, or what is wrong with it.
    """
    rows: dict[int, Evaluation] = {}
    damaged: dict[int, str] = {}
    for place, line in enumerate(lines, start=1):
        try:
            rows[place] = read(line, ranges)
        except FieldError as error:
            damaged[place] = str(error)
        except (ValueError, RecursionError) as error:
            damaged[place] = f"it is not JSON in UTF-8 ({type(error).__name__})"
    return rows, damaged


def damage(path: Path, damaged: Mapping[int, str], again: str) -> str:
    """What is wrong with the lines of a ledger, and how the file is mended.

    Parameters
    ----------
    path : Path
    damaged : mapping of int to str
        As :func:`read_lines` gives it; at least one.
    again : str
        The command that evaluates again what is removed.

    Returns
    -------
    str

    Examples
    --------
    >>> said = damage(Path("ledger.jsonl"), {3: "field 'fold' is null; it is a whole number"}, "imblab run s.yaml")
    >>> print(said[:79])
    'ledger.jsonl' has a damaged line 3: field 'fold' is null; it is a whole number
    """
    some = list(damaged)[:MAX_LISTED_LINES]
    told = "; ".join(f"line {place}, {damaged[place]}" for place in some)
    rest = f"; and {len(damaged) - len(some)} more lines" if len(damaged) > len(some) else ""
    what = (
        f"a damaged line {some[0]}: {damaged[some[0]]}"
        if len(damaged) == 1
        else f"{len(damaged)} damaged lines: {told}{rest}"
    )
    script = ";".join(f"{place}d" for place in list(damaged)[:MAX_SCRIPT_LINES])
    removed = f"Remove the line{'s' if len(damaged) > 1 else ''}, which sed -i {quote(script)} {quote(str(path))} does"
    way_out = removed if len(damaged) <= MAX_SCRIPT_LINES else "Restore the file, or remove these lines"
    return (
        f"{str(path)!r} has {what}. Every line is one evaluation, and every field of it is checked. {way_out}, and run "
        f"again: {again}."
    )


def ranges_of(question: Any) -> dict[str, tuple[float | None, float | None]]:
    """The ranges of the measures of a study, as far as its question has them.

    Parameters
    ----------
    question : object
        The content of a ``study.yaml``; what of it is no range is no bound here.

    Returns
    -------
    dict of str to (float or None, float or None)

    Examples
    --------
    >>> ranges_of({"measures": {"mcc": {"range": [-1, 1]}, "mine": {}}})
    {'mcc': (-1, 1), 'mine': (None, None)}
    """
    measures = question.get("measures") if isinstance(question, Mapping) else None
    found: dict[str, tuple[float | None, float | None]] = {}
    for key, measure in measures.items() if isinstance(measures, Mapping) else ():
        ends = measure.get("range") if isinstance(measure, Mapping) else None
        # Costs may be gains: the range of a measure says nothing of a matrix that somebody chose.
        parameters = measure.get("parameters") if isinstance(measure, Mapping) else None
        costly = isinstance(parameters, Mapping) and "costs" in parameters
        if isinstance(ends, (list, tuple)) and len(ends) == 2 and not costly and all(map(_is_end, ends)):
            found[str(key)] = (ends[0], ends[1])
        else:
            found[str(key)] = (None, None)
    return found


def _is_end(end: Any) -> bool:
    return end is None or (isinstance(end, (int, float)) and not isinstance(end, bool) and abs(end) <= MAX_COUNT)


def _check_ranges(scores: Mapping[str, float | None], ranges: Ranges) -> None:
    for measure, score in scores.items():
        if measure not in ranges:
            raise FieldError(f"scores.{measure}", "unknown", f"the measures of the study are {', '.join(ranges)}")
        if score is not None:
            number(*ranges[measure])(score, f"scores.{measure}")


def _check_counts(found: Mapping[str, Any]) -> None:
    """Counts of test rows add up to them, and a learner received rows of two classes."""
    counts, reached = found["counts"], found.get("reached", {})
    if counts and set(counts) != set(COUNTS):
        raise FieldError("counts", shown(counts), f"it has the keys {', '.join(COUNTS)}, or is empty")
    n_test = found.get("n_test", 0)
    if counts and n_test and sum(counts.values()) != n_test:
        raise FieldError("counts", shown(counts), f"it adds up to n_test, which is {n_test}")
    if reached and not {"negative", "positive"} <= set(reached):
        raise FieldError("reached", shown(reached), "it has the keys negative and positive, or is empty")
