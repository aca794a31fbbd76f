"""How much of the design of a study is evaluated, and what is missing; counted from the question, not from the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from imblab.study import Evaluation, Study

#: Names in one list; the others are counted.
MAX_LISTED_NAMES = 4
#: Data set, learner, strategy.
Place = tuple[str, str, str]
KINDS = ("data set", "learner", "strategy")


@dataclass(frozen=True, slots=True)
class Completeness:
    """How many evaluations the design of a study has, how many are there, and which are missing.

    Attributes
    ----------
    asked : int
        Evaluations of the design: data sets x learners x strategies x repeats x outer folds.
    missing : mapping of (dataset, learner, strategy) to int
        How many evaluations of the design have no row, in the order of the design; those with all of them are left out.
    failed, inapplicable : int
        Evaluations of the design that have a row without scores: they count as evaluated.
    beyond : mapping of (dataset, learner, strategy) to int
        Rows that the design does not ask for; nothing is said from them.
    names : tuple of (tuple of str, tuple of str, tuple of str)
        The data sets, learners and strategies of the design.
    folds : int
        Evaluations of one data set, learner and strategy.

    Examples
    --------
    >>> from imblab.study import Learner, Protocol, Strategy
    >>> study = Study("s", 0, {}, (Learner("knn", {}),), (Strategy("none"),), (), Protocol(outer_folds=3))
    >>> found = completeness_of(study, ["ecoli3"], [])
    >>> found.is_complete, found.evaluated, found.asked
    (False, 0, 3)
    """

    asked: int
    missing: Mapping[Place, int]
    failed: int
    inapplicable: int
    beyond: Mapping[Place, int]
    names: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
    folds: int

    @property
    def evaluated(self) -> int:
        """Evaluations of the design that have a row."""
        return self.asked - sum(self.missing.values())

    @property
    def is_complete(self) -> bool:
        """Whether every evaluation of the design has a row."""
        return not self.missing

    @property
    def counted(self) -> str:
        """``N of M evaluations``."""
        return f"{self.evaluated:,} of {self.asked:,} evaluations"

    @property
    def reason(self) -> str | None:
        """Why there is no verdict; None for a complete design."""
        return None if self.is_complete else f"{self.counted} are there"

    def sentences(self) -> tuple[str, ...]:
        """What is said before anything else: what is there, what is missing, what was not asked for.

        Returns
        -------
        tuple of str
            Empty for a complete design without a row beyond it.
        """
        said = []
        if not self.is_complete:
            said.append(f"Incomplete: {self.counted} are there. No verdict before the design is complete.")
            said.append(f"Missing: {sum(self.missing.values()):,} evaluations: {self._summary()}.")
            said += self.without_scores()
        if self.beyond:
            n = sum(self.beyond.values())
            places = _listed(["/".join(place) for place in self.beyond])
            said.append(
                f"{n:,} {'row is' if n == 1 else 'rows are'} beyond the design of study.yaml and left out: {places}."
            )
        return tuple(said)

    def without_scores(self) -> tuple[str, ...]:
        """How many evaluations have no scores, in a sentence; none where all have."""
        counts = [(self.failed, "failed", "failed"), (self.inapplicable, "is not applicable", "are not applicable")]
        told = " and ".join(f"{n:,} {one if n == 1 else many}" for n, one, many in counts if n)
        return (f"Evaluations without scores, which count as evaluated: {told}.",) if told else ()

    def _summary(self) -> str:
        """The missing evaluations, whole data sets, learners and strategies first, long lists cut with a number."""
        left, said = dict(self.missing), []
        for axis, (kind, names) in enumerate(zip(KINDS, self.names, strict=True)):
            whole = [name for name in names if self._lacks_all(left, axis, name)]
            if whole:
                left = {place: n for place, n in left.items() if place[axis] not in whole}
                plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
                said.append(
                    f"all of {kind} {whole[0]}"
                    if len(whole) == 1
                    else f"all of {len(whole)} of {len(names)} {plural} ({_listed(whole)})"
                )
        if left:
            said.append(_listed([f"{'/'.join(place)} ({n:,} of {self.folds:,})" for place, n in left.items()]))
        return "; ".join(said)

    def _lacks_all(self, left: Mapping[Place, int], axis: int, name: str) -> bool:
        """Whether everything that is not said yet of a data set, learner or strategy is missing."""
        places = [place for place in product(*self.names) if place[axis] == name]
        return any(place in left for place in places) and all(
            self.missing.get(place, 0) == self.folds for place in places
        )

    def to_mapping(self) -> dict[str, Any]:
        """The same as plain data, for machines."""
        return {
            "complete": self.is_complete,
            "asked": self.asked,
            "evaluated": self.evaluated,
            "failed": self.failed,
            "inapplicable": self.inapplicable,
            "missing": [_entry(place, n) for place, n in self.missing.items()],
            "beyond": [_entry(place, n) for place, n in self.beyond.items()],
        }


def completeness_of(study: Study, datasets: Sequence[str], rows: Iterable[Evaluation]) -> Completeness:
    """Count the evaluations of a design against rows.

    Parameters
    ----------
    study : Study
    datasets : sequence of str
        The names of its data sets, as rows have them.
    rows : iterable of Evaluation

    Returns
    -------
    Completeness

    Examples
    --------
    >>> from imblab.study import Learner, Strategy
    >>> study = Study("s", 0, {}, (Learner("knn", {}),), (Strategy("none"), Strategy("smote")), ())
    >>> print(completeness_of(study, ["ecoli3"], []).sentences()[1])
    Missing: 10 evaluations: all of data set ecoli3.
    """
    names = (
        tuple(dict.fromkeys(datasets)),
        tuple(learner.name for learner in study.learners),
        tuple(strategy.name for strategy in study.strategies),
    )
    folds = study.protocol.repeats * study.protocol.outer_folds
    there: dict[Place, set[tuple[int, int]]] = {place: set() for place in product(*names)}
    beyond: Counter[Place] = Counter()
    statuses: Counter[str] = Counter()
    for row in rows:
        place = row.dataset, row.learner, row.strategy
        if place not in there or not _is_asked(study, row):
            beyond[place] += 1
        elif (row.repeat, row.fold) not in there[place]:
            there[place].add((row.repeat, row.fold))
            statuses[row.status] += 1
    missing = {place: folds - len(found) for place, found in there.items() if len(found) < folds}
    asked = folds * len(there)
    return Completeness(asked, missing, statuses["failed"], statuses["inapplicable"], dict(beyond), names, folds)


def within(study: Study, datasets: Sequence[str], rows: Iterable[Evaluation]) -> list[Evaluation]:
    """Rows that the design asks for.

    Parameters
    ----------
    study : Study
    datasets : sequence of str
    rows : iterable of Evaluation

    Returns
    -------
    list of Evaluation
        In their order.
    """
    tables, learners = set(datasets), {learner.name for learner in study.learners}
    strategies = {strategy.name for strategy in study.strategies}
    return [
        row
        for row in rows
        if row.dataset in tables and row.learner in learners and row.strategy in strategies and _is_asked(study, row)
    ]


def _is_asked(study: Study, row: Evaluation) -> bool:
    return 0 <= row.repeat < study.protocol.repeats and 0 <= row.fold < study.protocol.outer_folds


def _entry(place: Place, n: int) -> dict[str, Any]:
    return {"dataset": place[0], "learner": place[1], "strategy": place[2], "evaluations": n}


def _listed(names: Sequence[str]) -> str:
    """Names, the first few of a long list and how many follow.

    Examples
    --------
    >>> _listed(["a", "b"]), _listed(list("abcdefg"))
    ('a, b', 'a, b, c, d and 3 more')
    """
    if len(names) <= MAX_LISTED_NAMES + 1:
        return ", ".join(names)
    return f"{', '.join(names[:MAX_LISTED_NAMES])} and {len(names) - MAX_LISTED_NAMES} more"
