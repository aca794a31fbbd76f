"""The result of a study from its evaluations: completeness, scores, contrasts, summary, sentences, each made once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd

from imblab.analysis import across_datasets, compare, paired, wording
from imblab.analysis.advice import describe_choice
from imblab.analysis.answer import answer_study, name_sides, select_primary, sort_by_mean, write_headline
from imblab.analysis.claims import register_claims
from imblab.analysis.evidence import RowCovariances
from imblab.analysis.methods import named
from imblab.analysis.outer_splits import count_outer_folds
from imblab.analysis.recommendation import recommend
from imblab.analysis.summary import summarise
from imblab.analysis.text_tables import class_labels
from imblab.errors import StudyError
from imblab.result import NO_CANDIDATE, Completeness, Evaluation, Family, FamilyScores, Place, StudyResult
from imblab.study import Study, key_of
from imblab.text import capitalise


def build_result(
    study: Study,
    evaluations: Iterable[Evaluation],
    parents: Mapping[str, str] | None = None,
    completeness: Completeness | None = None,
    covariances: Mapping[Family, RowCovariances] | None = None,
    is_running: bool = False,
    classes: Mapping[str, Sequence[str]] | None = None,
    cautions: Sequence[str] = (),
) -> StudyResult:
    """Build the result of a study; verdicts are withheld until its design is complete.

    Evaluations beyond the design are counted and left out. ``completeness`` is that of the full study, where ``study``
    and ``evaluations`` are a part of it. While it ``is_running``, nothing is tested, and contrasts and summary are
    empty. ``covariances`` are those of the primary measure (:func:`imblab.analysis.evidence.row_covariances`),
    ``cautions`` what was noted on the tables. The data sets that ``parents`` does not name are their own, the classes
    of those that ``classes`` does not name go by their indices.

    StudyError if evaluations of one fold rest on different splits, or a cell has two evaluations.

    Examples
    --------
    >>> from imblab.study import Learner, Measure, Strategy
    >>> study = Study("s", 0, {"toy": {}}, (Learner("knn", {}),), (Strategy("none"),), (Measure("mcc", "", "label"),))
    >>> build_result(study, []).sentences[0]
    'Incomplete: 0 of 5 evaluations are there. No verdict before the design is complete.'
    """
    evaluations = list(evaluations)
    # A study made in Python before its tables were part of study.yaml names no data set.
    names = list(study.datasets) or list(dict.fromkeys(e.dataset for e in evaluations))
    completeness = completeness or completeness_of(study, names, evaluations)
    ordered = tuple(sort_evaluations(study, within_design(study, names, evaluations)))
    arrays, sentences, parents = score_arrays(study, ordered), completeness.sentences(), parents or {}
    scores = {} if is_running else arrays  # what is tested
    estimates = paired.estimate_all(scores, study, covariances)
    contrasts = compare.contrasts(scores, study, estimates, incomplete=completeness.reason)
    summary = summarise(scores, study, estimates)
    across: tuple[across_datasets.AcrossDatasets, ...] = ()
    if completeness.is_complete and not is_running:
        across = tuple(across_datasets.compare_over_parents(scores, study, parents, estimates))
        verdicts = wording.describe_contrasts(contrasts, study)
        verdicts += [wording.describe_across(each, study) for each in across]
        sentences = (*verdicts, *compare.describe_estimators(contrasts)) or sentences
    labels, rows = class_labels(arrays.values(), classes), paired.row_errors(scores, contrasts, covariances or {})
    advice = recommend(scores, study, contrasts, parents, across, completeness.reason, covariances, labels)
    answer = answer_study(study, contrasts, completeness, advice, across, cautions)
    return StudyResult(
        study, ordered, completeness, arrays, contrasts, summary, advice, answer, across, sentences, rows
    )


def explore_measure(result: StudyResult, measure: str, parents: Mapping[str, str] | None = None) -> StudyResult:
    """Return a result by another measure, exploratory; the recommendation stays, since it rests on the primary one."""
    if measure == result.study.primary:
        return result
    study = replace(register_claims(result.study), primary=measure)
    estimates = paired.estimate_all(result.scores, study)
    contrasts = compare.contrasts(result.scores, study, estimates, incomplete=result.completeness.reason)
    across = result.across and tuple(
        across_datasets.compare_over_parents(result.scores, study, parents or {}, estimates)
    )
    primary, claimed = select_primary(contrasts), named(result.study.primary)
    name = capitalise(named(measure))
    headline = f"{name} is exploratory: the study claims {claimed}, and {claimed} alone has verdicts."
    advice = f"The recommendation rests on {claimed}: {result.answer.recommendation[0]}"
    answer = replace(result.answer, headline=headline, recommendation=(advice,), findings=(), limits=())
    answer = replace(answer, primary=sort_by_mean(primary), sides=name_sides(primary, study))
    return replace(
        result,
        study=study,
        contrasts=contrasts,
        summary=summarise(result.scores, study, estimates),
        across=across,
        sentences=_describe_tests_of(contrasts, study, result.completeness),
        row_errors={},
        answer=answer,
    )


def select_families(result: StudyResult, families: Collection[Family]) -> StudyResult:
    """Return the part of a result that concerns some data sets and learners; nothing is tested again."""
    kept = {family: scores for family, scores in result.scores.items() if family in families}

    def part(table: pd.DataFrame) -> pd.DataFrame:
        return table.loc[[pair in kept for pair in zip(table.dataset, table.learner, strict=True)]]

    contrasts, primary = part(result.contrasts), part(result.answer.primary)
    sentences = _describe_tests_of(contrasts, result.study, result.completeness) if result.sentences else ()
    answer = replace(
        result.answer,
        headline=write_headline(primary, result.study, result.completeness, result.recommendation),
        recommendation=tuple(
            describe_choice(result.recommendation.families[f], result.study, f[0] not in result.classes) for f in kept
        ),
        findings=(),
        limits=(),
        primary=primary,
    )
    return replace(
        result,
        evaluations=tuple(e for e in result.evaluations if (e.dataset, e.learner) in kept),
        scores=kept,
        contrasts=contrasts,
        summary=part(result.summary),
        answer=answer,
        across=(),
        sentences=sentences,
    )


def _describe_tests_of(contrasts: pd.DataFrame, study: Study, completeness: Completeness) -> tuple[str, ...]:
    """The verdicts on contrasts in sentences, and which standard error they rest on; none before completion."""
    if not completeness.is_complete:
        return completeness.sentences()
    return *wording.describe_contrasts(contrasts, study), *compare.describe_estimators(contrasts)


def sort_evaluations(study: Study, evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Sort evaluations by data set, learner and strategy as in the study (others last), then by repeat and fold."""
    ranks = [
        {name: i for i, name in enumerate(names)}
        for names in (study.datasets, study.learner_names, study.strategy_names)
    ]

    def place(evaluation: Evaluation) -> tuple[tuple[int, str] | int, ...]:
        names = (evaluation.dataset, evaluation.learner, evaluation.strategy)
        ranked = ((rank.get(name, len(rank)), name) for rank, name in zip(ranks, names, strict=True))
        return (*ranked, evaluation.repeat, evaluation.fold)

    return sorted(evaluations, key=place)


def score_arrays(study: Study, evaluations: Iterable[Evaluation]) -> dict[Family, FamilyScores]:
    """Arrange evaluations as arrays, one per data set and learner, in the order of the study.

    StudyError if evaluations of one fold rest on different splits, or a cell has two evaluations.
    """
    ordered = sort_evaluations(study, evaluations)
    _check_comparable(ordered)
    families: dict[Family, dict[str, dict[tuple[int, int], Evaluation]]] = {}
    for evaluation in ordered:
        family = families.setdefault((evaluation.dataset, evaluation.learner), {})
        family.setdefault(evaluation.strategy, {})[evaluation.repeat, evaluation.fold] = evaluation
    measures = list(dict.fromkeys(name for evaluation in ordered for name in evaluation.scores))
    return {family: _family_scores(study, family, cells, measures) for family, cells in families.items()}


def _family_scores(
    study: Study, family: Family, cells: Mapping[str, Mapping[tuple[int, int], Evaluation]], measures: Sequence[str]
) -> FamilyScores:
    design = set(product(range(study.protocol.repeats), range(count_outer_folds(study, family[0]))))
    folds = tuple(sorted(design.union(*cells.values())))
    rows = tuple(tuple(by_fold.get(fold) for fold in folds) for by_fold in cells.values())
    scored = [[e.scores if e is not None and e.status == "ok" else {} for e in row] for row in rows]
    values = {m: np.array([[s.get(m) for s in row] for row in scored], dtype=np.float64) for m in measures}
    counts = [
        np.array([[None if e is None else getattr(e, name) for e in row] for row in rows], dtype=np.float64)
        for name in ("n_train", "n_test")
    ]
    return FamilyScores(*family, tuple(cells), folds, values, rows, *counts)


def _check_comparable(evaluations: Iterable[Evaluation]) -> None:
    """Refuse different test rows under one fold number, and two evaluations of one cell."""
    seen: set[str] = set()
    first: dict[tuple[str, int, int], Evaluation] = {}
    for b in evaluations:
        a = first.setdefault((b.dataset, b.repeat, b.fold), b)
        if a.split_fingerprint != b.split_fingerprint:
            raise StudyError(
                f"fold {b.fold} of repeat {b.repeat} of {b.dataset!r} is split as {a.split_fingerprint!r} in "
                f"'{a.learner}/{a.strategy}' and as {b.split_fingerprint!r} in '{b.learner}/{b.strategy}'; only "
                "results on the same rows may be compared. Run both again in one study."
            )
        key = key_of(b.dataset, b.learner, b.strategy, b.repeat, b.fold)
        if key in seen:
            raise StudyError(f"cell {key!r} has two evaluations; a cell has one. Remove one of them.")
        seen.add(key)


def completeness_of(study: Study, datasets: Sequence[str], evaluations: Iterable[Evaluation]) -> Completeness:
    """Compare evaluations with the design of a study on those of its data sets that count.

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
    reasons: dict[Place, tuple[int, int, str]] = {}
    for each in evaluations:
        place, fold = (each.dataset, each.learner, each.strategy), (each.repeat, each.fold)
        if place not in folds or not _is_in_protocol(study, each):
            beyond[place] += 1
        elif fold not in folds[place]:
            folds[place].add(fold)
            statuses[each.status] += 1
            if each.status != "ok":
                reason = (each.error or "no reason recorded").removeprefix(NO_CANDIDATE)
                reasons[place] = min((*fold, reason), reasons.get(place, (*fold, reason)))
    missing = {place: n for place, known in folds.items() if (n := n_folds[place[0]] - len(known)) > 0}
    n_asked = sum(n_folds[place[0]] for place in folds)
    first = next(((place, reasons[place][2]) for place in folds if place in reasons), None)
    n_failed, n_inapplicable = statuses["failed"], statuses["inapplicable"]
    return Completeness(n_asked, missing, n_failed, n_inapplicable, dict(beyond), names, n_folds, first)


def within_design(study: Study, datasets: Sequence[str], evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Keep the evaluations that the design asks for, in their order."""
    places = set(product(datasets, study.learner_names, study.strategy_names))
    return [e for e in evaluations if (e.dataset, e.learner, e.strategy) in places and _is_in_protocol(study, e)]


def _is_in_protocol(study: Study, evaluation: Evaluation) -> bool:
    n_folds = count_outer_folds(study, evaluation.dataset)
    return 0 <= evaluation.repeat < study.protocol.repeats and 0 <= evaluation.fold < n_folds
