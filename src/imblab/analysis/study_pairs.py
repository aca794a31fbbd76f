"""Two studies side by side: what differs in their questions, and their scores on the same folds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from imblab.analysis.outer_splits import untested_reason
from imblab.errors import StudyError, unknown
from imblab.result import FamilyScores, StudyResult
from imblab.stats.paired_tests import corrected_t
from imblab.study import Study
from imblab.text import join_words

#: What studies may differ in without another question.
LEFT_OUT = ("name", "claims.registered")


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

    #: the names of the studies
    first: str
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
    """Compare two questions key by key; lists are values.

    Parameters
    ----------
    first, second : mapping
        As in ``study.yaml``.

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
    """Put two studies side by side, fold by fold.

    Parameters
    ----------
    first, second : StudyResult
        With at least one data set, learner and strategy in common.
    differences : tuple of KeyDifference
        Of their questions; see :func:`differing_keys`.
    measure : str, optional
        A measure of both; the primary one of the first study by default.
    names : tuple of str, optional
        How to call them; by the names of the studies by default.

    Raises
    ------
    StudyError
        If a common fold rests on other rows, nothing is in common, or the measure is not the same in both studies.
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
    pairs = tuple(
        _score_pair(cell, cells[0][cell], cells[1][cell], measure, first.study.claims.alpha) for cell in common
    )
    pairs = tuple(each._replace(low=math.nan, high=math.nan) if each.dataset in untested else each for each in pairs)
    only_first, only_second = (
        tuple("/".join(cell) for cell in each if cell not in other) for each, other in (cells, cells[::-1])
    )
    return StudyPair(*names, measure, differences, pairs, only_first, only_second, untested)


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
