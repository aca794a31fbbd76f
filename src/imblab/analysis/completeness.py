"""How much of the design of a study is evaluated, and what is missing; counted from the question, not from the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product

from imblab.result import Completeness, Evaluation, Place
from imblab.study import Study


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


def within_design(study: Study, datasets: Sequence[str], rows: Iterable[Evaluation]) -> list[Evaluation]:
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
