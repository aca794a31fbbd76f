"""Tables of a comparison as text, a header and rows of words and numbers; recall, confusion, thresholds of each class.

Any page lays the tables out. What happens to each class of a table with more than two classes is told over folds, of
the evaluations of one data set, learner and strategy; those without a confusion matrix are left out. Classes are
numbered by falling frequency, so that the last one is the rarest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from imblab.analysis.across_datasets import AcrossDatasets
from imblab.analysis.claims import PRIMARY, SECONDARY
from imblab.analysis.compare import describe_estimators, describe_verdict
from imblab.analysis.methods import gain_over, named
from imblab.analysis.outer_splits import count_outer_folds, count_test_parts
from imblab.result import Evaluation, Family, FamilyScores, StudyResult
from imblab.stats.counts import class_counts, precision, ratio, recall
from imblab.stats.standard_errors import ROW_LEVEL
from imblab.study import Study
from imblab.text import count_noun, format_difference, format_duration, format_p_value, format_score, join_words

#: What the two standard errors of contrasts of more than two classes are.
ROW_ERRORS_NOTE = (
    "SE: the standard error of the corrected t, which decides. Row-level SE: the jackknife over test rows, to compare; "
    "no simulation has shown yet that it may decide with more than two classes."
)
#: A header and its rows; a column whose name begins with ``>`` is set to the right.
TextTable = tuple[list[str], list[list[str]]]
#: Rarest classes that a line names.
MAX_NAMED_CLASSES = 5
#: Strategies that a table of classes compares, next to the recommended one.
COMPARED = ("none", "threshold")


def family_heading(rows: pd.DataFrame, study: Study) -> str:
    """Name the data set and learner of some rows of a summary, the measure and the folds."""
    dataset = rows.dataset.iloc[0]
    folds = count_test_parts(study, dataset, int(rows.folds.max()))
    repeats = study.protocol.repeats
    over = folds if repeats == 1 or count_outer_folds(study, dataset) == 1 else f"{folds} of {repeats} repeats"
    return f"{rows.dataset.iloc[0]}, {rows.learner.iloc[0]}: {named(study.primary)}, {_mean_words(rows)} over {over}"


def score_table(rows: pd.DataFrame, study: Study) -> TextTable:
    """Return mean and gains of every strategy of a data set and learner; an interval follows its gain in brackets."""
    level = f" [{percent(study)}]" if has_intervals(rows) else ""
    words = gain_over(study)
    header = ["strategy", _mean_words(rows), f"{words} none{level}", f"{words.split()[-1]} threshold{level}"]
    return header, [
        [row.strategy, _mean_and_sd(row), format_gain(row, "none"), format_gain(row, "threshold")]
        for _, row in rows.iterrows()
    ]


def has_intervals(rows: pd.DataFrame) -> bool:
    """Whether any gain of a summary has an interval; a single test part has none."""
    return bool(rows[["gain_none_low", "gain_threshold_low"]].notna().any(axis=None))


def _mean_words(rows: pd.DataFrame) -> str:
    return "mean ± sd" if rows.sd.notna().any() else "mean"


def format_gain(row: pd.Series[Any], baseline: str) -> str:
    """Return the gain of a row of a summary over a baseline, with its interval in brackets if there is one."""
    mean, low, high = (row[f"gain_{baseline}{end}"] for end in ("", "_low", "_high"))
    interval = "" if math.isnan(low) else f" [{format_difference(low)}, {format_difference(high)}]"
    return f"{format_difference(mean)}{interval}"


def choice_table(rows: pd.DataFrame) -> TextTable:
    """Return what every strategy chose, and its cost; ``rows`` as for :func:`score_table`."""
    header = ["strategy", ">cand.", ">fits", ">time", ">ok", "threshold", "knobs"]
    return header, [
        [
            *(row.strategy, str(row.candidates), str(row.fits), format_duration(row.seconds)),
            *(f"{row.ok}/{row.folds}", _threshold_range(row), row.knobs or "-"),
        ]
        for _, row in rows.iterrows()
    ]


def list_remarks(rows: pd.DataFrame) -> list[str]:
    """Return every remark once, led by the strategies it is about unless that is all of them.

    Examples
    --------
    >>> list_remarks(pd.DataFrame({"strategy": ["none", "smote"], "remarks": [("slow",), ("slow", "odd")]}))
    ['slow', 'smote: odd']
    """
    strategies: dict[str, list[str]] = {}
    for strategy, remarks in zip(rows.strategy, rows.remarks, strict=True):
        for remark in remarks:
            strategies.setdefault(remark, []).append(strategy)
    leads = {r: "" if len(names) == len(rows) else f"{', '.join(names)}: " for r, names in strategies.items()}
    return [f"{lead}{remark}" for remark, lead in leads.items()]


@dataclass(frozen=True, slots=True)
class ClassTables:
    """What tables of one data set with more than two classes and one learner show in addition."""

    recalls: TextTable  # recall by class; see :func:`recalls_text_table`
    row_errors: Mapping[tuple[str, str], float]  # standard errors of contrasts over test rows


def class_tables(result: StudyResult) -> dict[Family, ClassTables]:
    """Return what data sets with more than two classes show in addition, by data set and learner."""
    families = [family for family in result.families if family[0] in result.classes]
    return {f: ClassTables(recalls_text_table(result, f), result.row_errors.get(f, {})) for f in families}


def recalls_text_table(result: StudyResult, family: Family) -> TextTable:
    """Return the recall of each class, the rarest first, and how the last strategy differs from ``none``."""
    labels = result.classes.get(family[0])
    names, recalls = recall_table(result, family) if labels else ([], {})
    header = ["class", ">rows", *(f">{name}" for name in names), ">difference"]
    if not labels or not names:
        return header, []
    rows = mean_counts(evaluations_of(result, family, names[-1])).sum(axis=1)
    difference = recalls[names[-1]] - recalls[names[0]]
    scores = {c: [format_score(float(recalls[name][c])) for name in names] for c in reversed(range(len(labels)))}
    changes = [format_difference(float(value)) for value in difference]
    return header, [[labels[c], f"{rows[c]:.0f}", *scores[c], changes[c]] for c in scores]


def row_error_table(contrasts: pd.DataFrame, row_errors: Mapping[tuple[str, str], float]) -> TextTable:
    """Return standard errors over test rows next to those that decide; no rows where none is known."""
    header = ["contrast", ">difference", ">SE", ">row-level SE"]
    return header, [
        [f"{row.a} - {row.b}", format_difference(row["mean"]), format_score(row.se), format_score(error)]
        for _, row in contrasts.iterrows()
        if (error := row_errors.get((row.a, row.b))) is not None
    ]


def contrast_table(contrasts: pd.DataFrame, study: Study) -> TextTable:
    """Return the tests of one data set and learner; no rows where nothing was tested.

    ``detectable`` is the smallest difference that the design detects; the last three columns are the posterior
    probabilities that a - b lies below, within and above the region of practical equivalence.
    """
    header = ["contrast", ">Holm p", "verdict", ">detectable", ">P(-)", ">P(=)", ">P(+)"]
    if contrasts.p.isna().all():
        return header, []
    return header, [
        [
            *(f"{row.a} - {row.b}", format_p_value(row.p_holm), describe_verdict(row, study.claims.alpha)),
            format_score(row.detectable),
            *("-" if math.isnan(p) else f"{p:.2f}" for p in (row.below, row.within, row.above)),
        ]
        for _, row in contrasts.iterrows()
    ]


def explain_tables(
    contrasts: pd.DataFrame, study: Study, has_row_errors: bool = False, has_gains: bool = True
) -> list[str]:
    """Return how the tables of a study are read, one sentence per point; tests are explained where there are any."""
    sentences = [f"Intervals: {percent(study)}, unadjusted."] if has_gains else []
    if contrasts.p.isna().all():  # otherwise the verdicts say it
        return [*sentences, *describe_estimators(contrasts)]
    sentences.append(
        f"Holm p: adjusted over a family of contrasts of a data set and learner, alpha {study.claims.alpha:g}. "
        "detectable: the smallest difference that the design detects with 80 % power."
    )
    if has_row_errors:
        sentences.append(ROW_ERRORS_NOTE)
    rope, has_rows = contrasts.rope.iloc[0], contrasts.estimator.eq(ROW_LEVEL).any()
    if not math.isnan(rope):
        posterior = "posterior t with that standard error" if has_rows else "Bayesian correlated t"
        sentences.append(
            f"P(-), P(=), P(+): probability ({posterior}) that the difference in {named(study.primary)} lies "
            f"below, within and above ±{rope:g}; it does not decide the verdict."
        )
    return sentences


def list_families(contrasts: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """Return the primary and the secondary contrasts of a plan, one line per family, or why none is primary.

    Examples
    --------
    >>> facts = {"contrast": "smote - none", "family": "primary", "applicable": 3, "families": 4}
    >>> list_families([facts])
    ['primary: smote - none (applies to 3 of 4 data sets and learners).']
    """
    lines = []
    for family in (PRIMARY, SECONDARY) if contrasts is not None else ():
        names = []
        for facts in (each for each in contrasts or () if each["family"] == family):
            n, of = facts["applicable"], facts["families"]
            part = "" if n == of else f" (applies to {n} of {of} data sets and learners)"
            names.append(f"{facts['contrast']}{part}")
        if names:
            lines.append(f"{family}: {', '.join(names)}.")
        elif family == PRIMARY:
            lines.append(
                "no primary contrast: no strategy with a sampler has a counterpart without one that has the same "
                "weight, calibration and tuned threshold, as smote_threshold and threshold have."
            )
    return lines


def list_exploratory(contrasts: pd.DataFrame) -> list[str]:
    """Return why contrasts are exploratory, each reason once, led by its contrasts unless that is all of them."""
    exploratory = contrasts[contrasts.verdict == "exploratory"]
    return [
        f"exploratory{'' if len(rows) == len(contrasts) else f', {_pairs(rows)}'}: {reason}"
        for reason, rows in exploratory.groupby("reason", sort=False)
    ]


def rank_table(across: AcrossDatasets) -> TextTable:
    """Return mean ranks and scores over parent data sets."""
    header = ["strategy", ">mean rank", ">mean"]
    return header, [
        [row.strategy, f"{row.mean_rank:.2f}", format_score(row["mean"])] for _, row in across.rank_table.iterrows()
    ]


def across_contrast_table(across: AcrossDatasets, study: Study) -> TextTable:
    """Return the contrasts over parent data sets; ``w-t-l`` counts those that a wins, ties and loses."""
    header, alpha = ["contrast", ">parents", ">w-t-l", ">median", ">Holm p", "verdict"], study.claims.alpha
    return header, [
        [
            *(f"{row.a} - {row.b}", str(row.parents), f"{row.wins}-{row.ties}-{row.losses}"),
            *(format_difference(row["median"]), format_p_value(row.p_holm), describe_verdict(row, alpha)),
        ]
        for _, row in across.contrasts.iterrows()
    ]


def describe_rank_tests(across: AcrossDatasets) -> list[str]:
    """Return what stands under the tables over parent data sets: Friedman's test, cliques, notes."""
    sentences = []
    if across.friedman is not None:
        f = across.friedman
        corrected = f", corrected for ties {f.corrected:.2f} (p {format_p_value(f.corrected_p)})"
        ties = "" if math.isnan(f.corrected) else corrected
        sentences.append(
            f"Friedman: chi-square {f.statistic:.2f} (p {format_p_value(f.p)}){ties}; Iman-Davenport F({f.df}, "
            f"{f.df_within}) {f.f:.2f} (p {format_p_value(f.f_p)})"
        )
        cliques = "; ".join(", ".join(clique) for clique in across.cliques)
        sentences.append(f"no significant difference by Wilcoxon's test, Holm over all pairs: {cliques or 'none'}")
    return [*sentences, *across.notes, *list_exploratory(across.contrasts), *list_missing_effects(across)]


def list_missing_effects(across: AcrossDatasets) -> list[str]:
    """Return why contrasts over parent data sets have no mean effect, each reason once, led by its contrasts."""
    missing = across.contrasts[across.contrasts.effect_reason.notna()]
    return [f"{_pairs(rows)}: {reason}" for reason, rows in missing.groupby("effect_reason", sort=False)]


def percent(study: Study) -> str:
    """Return the coverage of the intervals of a study, such as ``95 %``."""
    return f"{100 * (1 - study.claims.alpha):g} %"


def _mean_and_sd(row: pd.Series[Any]) -> str:
    return format_score(row["mean"]) if math.isnan(row.sd) else f"{format_score(row['mean'])} ± {format_score(row.sd)}"


def _threshold_range(row: pd.Series[Any]) -> str:
    """The threshold used: one, or the median and the range over folds; of several classes the range over both."""
    low, middle, high = (row[f"threshold_{end}"] for end in ("low", "median", "high"))
    if math.isnan(low):
        return "-"
    if low == high:
        return f"{low:.3g}"
    between = " to " if low < 0 else "-"  # a decision value may be negative
    ends = f"{low:.3g}{between}{high:.3g}"
    return ends if math.isnan(middle) else f"{middle:.3g} ({ends})"


def _pairs(rows: pd.DataFrame) -> str:
    return ", ".join(f"{a} - {b}" for a, b in zip(rows.a, rows.b, strict=True))


def class_labels(
    scores: Iterable[FamilyScores], known: Mapping[str, Sequence[str]] | None = None
) -> dict[str, tuple[str, ...]]:
    """Return the labels of data sets with more than two classes, in class order; indices where not all are known."""
    n_classes: dict[str, int] = {}
    for each in scores:
        n_classes[each.dataset] = max(each.n_classes, n_classes.get(each.dataset, 2))
    labels = {name: tuple((known or {}).get(name, ())) for name in n_classes}
    several = {name: n for name, n in n_classes.items() if n > 2}
    return {name: labels[name] if len(labels[name]) == n else (*map(str, range(n)),) for name, n in several.items()}


def mean_confusion(evaluations: Iterable[Evaluation]) -> np.ndarray:
    """Average over folds the confusion matrix whose rows sum to 1; NaN where no fold has a row of the class.

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
    sign = result.study.primary_measure.sign
    values = scores.values.get(result.study.primary)
    means = {} if values is None else dict(zip(scores.strategies, sign * values.mean(axis=1), strict=True))
    others = [name for name in scores.strategies if name != baseline and np.isfinite(means.get(name, np.nan))]
    return baseline, max(others, key=lambda name: means[name], default=baseline)


def evaluations_of(result: StudyResult, family: Family, strategy: str) -> list[Evaluation]:
    """Return the evaluations of a strategy that have a confusion matrix."""
    return [e for e in result.scores[family].evaluations_of(strategy) if e.confusion]


def recall_table(result: StudyResult, family: Family) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return the strategies that a table of recall by class compares, the one to compare last, and their recalls."""
    baseline, other = compared_strategies(result, family)
    names = dict.fromkeys((baseline, *(name for name in COMPARED if name != other), other))
    rows = {name: evaluations_of(result, family, name) for name in names}
    recalls = {name: class_recalls(items) for name, items in rows.items() if items}
    return list(recalls), recalls


def describe_recalls(result: StudyResult) -> Iterator[str]:
    """Yield one line per data set and learner: the recall of its rarest classes by the recommended strategy."""
    for family in result.families:
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
