"""What happens to each class of a table with more than two classes: recall, confusion and thresholds over folds.

``evaluations`` are those of one data set, learner and strategy; those without a confusion matrix are left out. Classes
are numbered by falling frequency, so that the last one is the rarest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from imblab.result import Evaluation, Family, FamilyScores, StudyResult
from imblab.stats.counts import class_counts, precision, ratio, recall
from imblab.text import count_noun, format_difference, format_score, join_words

#: Rarest classes that a line names.
MAX_NAMED_CLASSES = 5
#: Strategies that a table of classes compares, next to the recommended one.
COMPARED = ("none", "threshold")


def class_labels(
    scores: Iterable[FamilyScores], known: Mapping[str, Sequence[str]] | None = None
) -> dict[str, tuple[str, ...]]:
    """Return the labels of data sets with more than two classes, in class order.

    Where ``known`` does not have those of all classes they are the indices.
    """
    n_classes: dict[str, int] = {}
    for each in scores:
        n_classes[each.dataset] = max(each.n_classes, n_classes.get(each.dataset, 2))
    labels = {name: tuple((known or {}).get(name, ())) for name in n_classes}
    return {
        name: labels[name] if len(labels[name]) == n else tuple(map(str, range(n)))
        for name, n in n_classes.items()
        if n > 2
    }


def mean_confusion(evaluations: Iterable[Evaluation]) -> np.ndarray:
    """Average over folds the confusion matrix whose rows sum to 1, of shape (n_classes, n_classes).

    The diagonal holds the mean recall of each class; NaN where no fold has a row of the class.

    Examples
    --------
    >>> facts = {"scores": {}, "counts": {}, "seconds": 0.1, "status": "ok", "error": None, "fingerprint": "f"}
    >>> row = Evaluation("d", "l", "s", 0, 0, {}, (0.5,) * 3, **facts, confusion=((3, 1, 0), (1, 1, 0), (0, 0, 2)))
    >>> mean_confusion([row]).tolist()
    [[0.75, 0.25, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    """
    matrices = _matrices(evaluations)
    return _mean_of_defined(ratio(matrices, matrices.sum(axis=-1, keepdims=True)))


def mean_counts(evaluations: Sequence[Evaluation]) -> np.ndarray:
    """Sum confusion matrices over the folds of a repeat and average over repeats."""
    return np.asarray(_matrices(evaluations).sum(axis=0) / len({e.repeat for e in evaluations if e.confusion}))


def class_recalls(evaluations: Iterable[Evaluation]) -> np.ndarray:
    """Average the recall of each class over folds, of shape (n_classes,)."""
    return _mean_of_defined(np.asarray(recall(*class_counts(_matrices(evaluations)))))


def class_precisions(evaluations: Iterable[Evaluation]) -> np.ndarray:
    """Average the precision of each class over the folds that decide for it, of shape (n_classes,)."""
    return _mean_of_defined(np.asarray(precision(*class_counts(_matrices(evaluations)))))


def recalls_by_ratio(evaluations: Iterable[Evaluation]) -> dict[float, np.ndarray]:
    """Return the recall of each class by chosen or fixed ratio, averaged over the folds that have it; ascending."""
    folds: dict[float, list[Evaluation]] = {}
    for e in evaluations:
        value = e.params.get("ratio")
        if e.confusion and isinstance(value, (int, float)):
            folds.setdefault(float(value), []).append(e)
    return {value: class_recalls(folds[value]) for value in sorted(folds)}


def median_thresholds(evaluations: Iterable[Evaluation]) -> tuple[float, ...]:
    """Return the median over folds of the threshold of each class; empty where folds have one for all, or none.

    Examples
    --------
    >>> facts = {"scores": {}, "counts": {}, "seconds": 0.1, "status": "ok", "error": None, "fingerprint": "f"}
    >>> median_thresholds([Evaluation("d", "l", "s", 0, i, {}, (0.5, 0.1, 0.4), **facts) for i in range(2)])
    (0.5, 0.1, 0.4)
    """
    chosen = [e.threshold for e in evaluations if e.status == "ok" and isinstance(e.threshold, tuple)]
    return tuple(np.median(chosen, axis=0).tolist()) if chosen else ()


def compared_strategies(result: StudyResult, family: Family) -> tuple[str, str]:
    """Return the baseline and the strategy whose classes are compared: ``none`` and the recommended one.

    Without ``none`` the baseline is the first strategy. Where the baseline is recommended, or nothing is, it is
    compared with the other strategy that has the best mean; a study of one strategy compares it with itself.
    """
    scores, chosen = result.scores[family], result.recommendation.families[family].strategy
    baseline = COMPARED[0] if COMPARED[0] in scores.strategies else scores.strategies[0]
    if chosen is not None and chosen != baseline:
        return baseline, chosen
    sign = 1 if result.study.primary_measure.greater_is_better else -1
    values = scores.values.get(result.study.primary)
    means = {} if values is None else dict(zip(scores.strategies, sign * values.mean(axis=1), strict=True))
    others = [name for name in scores.strategies if name != baseline and np.isfinite(means.get(name, np.nan))]
    return baseline, max(others, key=lambda name: means[name], default=baseline)


def evaluations_of(result: StudyResult, family: Family, strategy: str) -> list[Evaluation]:
    """Return the evaluations of a strategy that have a confusion matrix."""
    scores = result.scores[family]
    row = scores.evaluations[scores.strategies.index(strategy)] if strategy in scores.strategies else ()
    return [e for e in row if e is not None and e.confusion]


def recall_table(result: StudyResult, family: Family) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return the strategies that a table of recall by class compares, and their recalls.

    They are ``none``, ``threshold`` and the recommended one, as far as they have scores; the last one of the list is
    that which :func:`compared_strategies` compares with the baseline.
    """
    baseline, other = compared_strategies(result, family)
    names = dict.fromkeys((baseline, *(name for name in COMPARED if name != other), other))
    rows = {name: evaluations_of(result, family, name) for name in names}
    recalls = {name: class_recalls(items) for name, items in rows.items() if items}
    return list(recalls), recalls


def describe_recalls(result: StudyResult) -> Iterator[str]:
    """Yield one line per data set and learner: the recall of its rarest classes by the recommended strategy."""
    for family in result.recommendation.families:
        labels = result.classes.get(family[0])
        names = compared_strategies(result, family) if labels else ("", "")
        first, second = names if names[0] == result.recommendation.families[family].strategy else reversed(names)
        rows = [evaluations_of(result, family, name) for name in (first, second)] if labels else []
        if not labels or not all(rows):
            continue
        recalls = [class_recalls(items) for items in rows]
        rarest = list(reversed(range(len(labels))))[:MAX_NAMED_CLASSES]
        parts = [f"{labels[c]!r} {format_score(recalls[0][c])} ({format_score(recalls[1][c])})" for c in rarest]
        which = "Recall by class" if len(parts) == len(labels) else f"Recall of the {len(parts)} rarest classes"
        where = ", ".join(family) if len(result.study.learners) > 1 else family[0]
        yield f"{which} of {where} by `{first}` (by `{second}`): {', '.join(parts)}."


def describe_changes(labels: Sequence[str], difference: np.ndarray) -> str:
    """Say how many classes gain and lose recall, and which change most, as the end of a sentence.

    Examples
    --------
    >>> describe_changes(("a", "b", "c"), np.array([-0.1, 0.0, 0.25]))
    "finds more rows of 1 and fewer of 1 of 3 classes; recall changes most for 'c' (+0.250) and 'a' (-0.100)"
    >>> describe_changes(("a", "b", "c"), np.zeros(3))
    'finds as many rows of each of 3 classes'
    """
    gained, lost = int((difference > 0).sum()), int((difference < 0).sum())
    if not gained and not lost:
        return f"finds as many rows of each of {count_noun(len(labels), 'class', 'classes')}"
    finite = np.where(np.isfinite(difference), difference, 0.0)
    ends = dict.fromkeys((int(finite.argmax()) if gained else -1, int(finite.argmin()) if lost else -1))
    named = [f"{labels[c]!r} ({format_difference(float(difference[c]))})" for c in ends if c >= 0]
    most = f"; recall changes most for {join_words(named)}" if named else ""
    return f"finds more rows of {gained} and fewer of {lost} of {count_noun(len(labels), 'class', 'classes')}{most}"


def format_thresholds(labels: Sequence[str], thresholds: Sequence[float]) -> str:
    """Write the thresholds that differ from .5 by label, the rarest class first; at most five.

    Examples
    --------
    >>> format_thresholds(("a", "b", "c"), (0.5, 0.25, 0.1))
    "'c' 0.1, 'b' 0.25, others 0.5"
    >>> format_thresholds(("a", "b", "c"), (0.5, 0.5, 0.5))
    '0.5 for every class'
    """
    moved = [c for c in reversed(range(len(labels))) if thresholds[c] != 0.5]
    if not moved:
        return "0.5 for every class"
    parts = [f"{labels[c]!r} {thresholds[c]:.3g}" for c in moved[:MAX_NAMED_CLASSES]]
    if more := len(moved) - len(parts):
        parts.append(f"{more} more")
    return ", ".join([*parts, *(["others 0.5"] if len(moved) < len(labels) else [])])


def _matrices(evaluations: Iterable[Evaluation]) -> np.ndarray:
    return np.array([e.confusion for e in evaluations if e.confusion], dtype=np.int64)


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Average over the first axis what is defined; NaN where nothing is."""
    known = np.isfinite(values)
    return np.asarray(ratio(np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0)))
