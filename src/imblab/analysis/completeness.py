"""Completeness: how much of the design of a study is evaluated, counted from the question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product

from imblab.analysis.outer_splits import count_outer_folds
from imblab.result import Completeness, Evaluation, Place
from imblab.study import Study


def completeness_of(study: Study, datasets: Sequence[str], evaluations: Iterable[Evaluation]) -> Completeness:
    """Compare evaluations with the design of a study, whose data sets are under the names that evaluations have.

    ``datasets`` are those of its data sets that count.

    Examples
    --------
    >>> from imblab.study import Learner, Strategy
    >>> study = Study("s", 0, {}, (Learner("knn", {}),), (Strategy("none"), Strategy("smote")), ())
    >>> print(completeness_of(study, ["ecoli3"], []).sentences()[1])
    Missing: 10 evaluations: all of data set ecoli3.
    """
    names = (tuple(dict.fromkeys(datasets)), study.learner_names, study.strategy_names)
    n_folds = {name: study.protocol.repeats * count_outer_folds(study, name) for name in names[0]}
    folds: dict[Place, set[tuple[int, int]]] = {place: set() for place in product(*names)}
    beyond: Counter[Place] = Counter()
    statuses: Counter[str] = Counter()
    for each in evaluations:
        place, fold = (each.dataset, each.learner, each.strategy), (each.repeat, each.fold)
        if place not in folds or not _is_in_protocol(study, each):
            beyond[place] += 1
        elif fold not in folds[place]:
            folds[place].add(fold)
            statuses[each.status] += 1
    missing = {
        place: n_folds[place[0]] - len(known) for place, known in folds.items() if len(known) < n_folds[place[0]]
    }
    n_asked = sum(n_folds[place[0]] for place in folds)
    return Completeness(n_asked, missing, statuses["failed"], statuses["inapplicable"], dict(beyond), names, n_folds)


def within_design(study: Study, datasets: Sequence[str], evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Keep the evaluations that the design asks for, in their order."""
    names = set(datasets), set(study.learner_names), set(study.strategy_names)
    return [
        each
        for each in evaluations
        if each.dataset in names[0]
        and each.learner in names[1]
        and each.strategy in names[2]
        and _is_in_protocol(study, each)
    ]


def _is_in_protocol(study: Study, evaluation: Evaluation) -> bool:
    n_folds = count_outer_folds(study, evaluation.dataset)
    return 0 <= evaluation.repeat < study.protocol.repeats and 0 <= evaluation.fold < n_folds
