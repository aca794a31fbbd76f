"""Two records side by side: evaluations of one made again, by cause of the difference, and two studies compared.

Of two studies it says what differs in their questions, and gives their scores on the same folds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from imblab.analysis.outer_splits import untested_reason
from imblab.errors import StudyError, unknown
from imblab.result import Evaluation, FamilyScores, StudyResult, plain_fields
from imblab.stats.paired_tests import corrected_t
from imblab.study import Study
from imblab.text import join_words

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
#: What studies may differ in without another question.
LEFT_OUT = ("name", "claims.registered")


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

    With a tolerance, numbers may lie so far apart, relative to the larger of the recorded one and 1, whole numbers must
    be equal, and texts that libraries word are not compared. Without one, all is compared bit for bit.

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

    ``addresses`` has every cell of the design. ``facts`` are by cell: ``data_fingerprint``, ``split_fingerprint``,
    ``n_train``, ``n_test``, and ``code``, the hash of the user's code by path.
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
    """Compare the evidence of a study with the one built again, in any order, by the rows that only one of them has."""
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


class KeyDifference(NamedTuple):
    """A key of two questions with its values, mappings where a section is in one alone; None where it is not there."""

    key: str
    first: Any
    second: Any


class ScorePair(NamedTuple):
    """The mean scores of one strategy in two studies, over the folds that both scored.

    ``difference`` is the second less the first, with the corrected resampled t interval ``low`` to ``high``; NaN where
    fewer than two folds are shared, and where differences have no test. ``is_equal`` where every shared fold has the
    same score.
    """

    dataset: str
    learner: str
    strategy: str
    folds: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    is_equal: bool


@dataclass(frozen=True, slots=True)
class StudyPair:
    """Two studies side by side."""

    first: str  # names of the studies
    second: str
    measure: str  # the measure of the scores: the primary one of the first study
    differences: tuple[KeyDifference, ...]  # of their questions
    #: of what both have evaluated, in the order of the first; ``to_frame()`` has them as a table
    scores: tuple[ScorePair, ...]
    #: ``data set/learner/strategy`` that one of them has evaluated alone
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    #: why differences on a data set have no interval, by its name
    untested: Mapping[str, str] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """Return the scores, one row each."""
        return pd.DataFrame(self.scores, columns=list(ScorePair._fields))

    def to_mapping(self) -> dict[str, Any]:
        """Return plain data for JSON; a number that is not finite is None."""
        scores = [
            {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in pair._asdict().items()}
            for pair in self.scores
        ]
        return {
            "studies": [self.first, self.second],
            "measure": self.measure,
            "differences": [each._asdict() for each in self.differences],
            "scores": scores,
            "only": {self.first: list(self.only_first), self.second: list(self.only_second)},
        }


def differing_keys(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[KeyDifference, ...]:
    """Compare two questions, as in ``study.yaml``, key by key; lists are values.

    Examples
    --------
    >>> differing_keys({"name": "a", "seed": 0, "protocol": {"repeats": 1}}, {"seed": 0, "protocol": {"repeats": 5}})
    (KeyDifference(key='protocol.repeats', first=1, second=5),)
    """
    return tuple(_differences(first, second, ""))


def _differences(first: Mapping[str, Any], second: Mapping[str, Any], lead: str) -> Iterator[KeyDifference]:
    for key in {**first, **second}:
        a, b, place = first.get(key), second.get(key), f"{lead}{key}"
        if a == b or place in LEFT_OUT:
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from _differences(a, b, f"{place}.")
        else:
            yield KeyDifference(place, a, b)


def pair_studies(
    first: StudyResult,
    second: StudyResult,
    differences: tuple[KeyDifference, ...] = (),
    measure: str | None = None,
    names: tuple[str, str] | None = None,
) -> StudyPair:
    """Put two studies side by side, fold by fold; by default by the primary measure of the first.

    ``differences`` are those of their questions, ``names`` what they are called if not by their own. StudyError if
    nothing is in common, a common fold rests on other rows, or the measure is not the same in both studies.
    """
    measure, names = measure or first.study.primary, names or (first.study.name, second.study.name)
    _check_same_measure(first.study, second.study, measure, names)
    cells = [
        {(*family, strategy): scores for family, scores in result.scores.items() for strategy in scores.strategies}
        for result in (first, second)
    ]
    common = [cell for cell in cells[0] if cell in cells[1]]
    if not common:
        raise StudyError(
            f"the studies {names[0]!r} and {names[1]!r} have no data set, learner and strategy in common; scores are "
            "compared on the same folds. Compare studies of the same tables."
        )
    _check_same_folds([(cells[0][cell], cells[1][cell]) for cell in common], names)
    reasons = {d: untested_reason(first.study, d) or untested_reason(second.study, d) for d, *_ in common}
    untested = {dataset: reason for dataset, reason in reasons.items() if reason}
    alpha = first.study.claims.alpha
    pairs = [_score_pair(cell, cells[0][cell], cells[1][cell], measure, alpha) for cell in common]
    scores = tuple(each._replace(low=math.nan, high=math.nan) if each.dataset in untested else each for each in pairs)
    only_first, only_second = (
        tuple("/".join(cell) for cell in each if cell not in other) for each, other in (cells, cells[::-1])
    )
    return StudyPair(*names, measure, differences, scores, only_first, only_second, untested)


def _check_same_measure(first: Study, second: Study, name: str, names: tuple[str, str]) -> None:
    """Refuse a measure that one study lacks, and one that the studies compute in other ways."""
    computed = []
    for study, called in zip((first, second), names, strict=True):
        if name not in study.measure_names:
            raise StudyError(unknown("measure", name, study.measure_names, f"in study {called!r}"))
        computed.append(
            {m.name: (m.function, m.needs, m.greater_is_better, dict(m.parameters)) for m in study.measures}
        )
    if computed[0][name] != computed[1][name]:
        same = [each for each in computed[0] if computed[0][each] == computed[1].get(each)]
        what, values = "functions", [each[name][0] for each in computed]
        if values[0] == values[1]:
            what, values = "parameters", [str(each[name][3]) for each in computed]
        raise StudyError(
            f"measure {name!r} of the studies {names[0]!r} and {names[1]!r} has other {what} ({' and '.join(values)}); "
            f"scores are compared by one measure. Name another one with --measure ({join_words(same)}), or rescore one "
            "of the studies as the other."
        )


def _check_same_folds(families: list[tuple[FamilyScores, FamilyScores]], names: tuple[str, str]) -> None:
    """Refuse folds of one number that hold other rows, all data sets at once."""
    wrong: dict[str, str] = {}
    for a, b in families:
        for (table_a, split_a), (table_b, split_b) in _splits_of_both(a, b):
            if table_a != table_b:
                wrong[a.dataset] = "other rows in the table"
            elif split_a != split_b:
                wrong.setdefault(a.dataset, "other folds")
    if wrong:
        listed = join_words(f"{name!r} ({why})" for name, why in wrong.items())
        raise StudyError(
            f"the studies {names[0]!r} and {names[1]!r} differ in the rows of {listed}; scores are compared on the "
            "same folds of the same table. Run one of them again with the seed, protocol and tables of the other."
        )


def _splits_of_both(a: FamilyScores, b: FamilyScores) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Yield the fingerprints of table and split of every fold that both families have evaluated."""
    prints = []
    for family in (a, b):
        rows = [each for row in family.evaluations for each in row if each is not None]
        prints.append({(e.repeat, e.fold): (e.data_fingerprint, e.split_fingerprint) for e in rows})
    for fold in prints[0].keys() & prints[1].keys():
        yield prints[0][fold], prints[1][fold]


def _score_pair(cell: tuple[str, str, str], a: FamilyScores, b: FamilyScores, measure: str, alpha: float) -> ScorePair:
    strategy = cell[2]
    places = [{fold: place for place, fold in enumerate(family.folds)} for family in (a, b)]
    shared = [fold for fold in a.folds if fold in places[1]]
    row_a, row_b = a.strategies.index(strategy), b.strategies.index(strategy)
    at_a, at_b = [places[0][fold] for fold in shared], [places[1][fold] for fold in shared]
    values_a, values_b = a.values[measure][row_a, at_a], b.values[measure][row_b, at_b]
    known = np.isfinite(values_a) & np.isfinite(values_b)
    if not known.any():
        return ScorePair(*cell, 0, math.nan, math.nan, math.nan, math.nan, math.nan, is_equal=False)
    train, test = a.n_train[row_a, at_a][known], a.n_test[row_a, at_a][known]
    estimate = corrected_t(values_b[known] - values_a[known], train, test, alpha)
    first, second = float(values_a[known].mean()), float(values_b[known].mean())
    is_equal = bool((values_a[known] == values_b[known]).all())
    return ScorePair(*cell, int(known.sum()), first, second, second - first, estimate.low, estimate.high, is_equal)
