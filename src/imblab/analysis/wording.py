"""Verdicts as sentences, and what a design can detect: made here once for the terminal, the report and MLflow.

*Resampling helps* is said only of a contrast whose strategies share a moving threshold policy, a weight and a
calibration: SMOTE at .5 compared with nothing at .5 is a moved threshold in disguise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from imblab.analysis import outer_splits
from imblab.analysis.across_datasets import FEW_PARENTS, AcrossDatasets
from imblab.analysis.claims import PRIMARY, describe_seen_rows, isolates_resampling
from imblab.analysis.compare import NOT_APPLICABLE, describe_verdict, expected_by_chance
from imblab.analysis.methods import named
from imblab.analysis.outer_splits import predefined_folds, untested_reason
from imblab.analysis.text_tables import percent
from imblab.stats.paired_tests import detectable_factor
from imblab.stats.standard_errors import CORRECTED_T
from imblab.study import Study
from imblab.text import (
    capitalise,
    count_noun,
    format_difference,
    format_p_value,
    format_range,
    format_two_digits,
    join_words,
)

#: Verdicts over parent data sets that have a clause of their own.
SHOWN_OVER_PARENTS = ("better", "worse", "equivalent")
#: Verdicts that rest on a test.
DECIDED = ("better", "worse", "equivalent", "identical", "inconclusive")
#: Verdicts that settle a contrast, in the order in which they are told.
SETTLED = ("better", "worse", "equivalent", "identical")
#: Repeats from which on more of them say little new: they shuffle the same rows.
_ENOUGH_REPEATS = 5
#: Folds that stand for unlimited repeats.
_UNLIMITED_FOLDS = 10**6


def describe_contrasts(contrasts: pd.DataFrame, study: Study) -> list[str]:
    """Return one sentence per data set and learner, or one that says that the study has none."""
    if contrasts.empty:
        return [f"Study {study.name!r} has no contrast to judge: its claims hold no pair of its strategies."]
    families = contrasts.groupby(["dataset", "learner"], sort=False)
    return [
        f"{dataset}, {learner}: {'; '.join(_clauses(rows, study))}{append_seen_rows(study, [str(dataset)])}."
        for (dataset, learner), rows in families
    ]


def append_seen_rows(study: Study, datasets: Iterable[str]) -> str:
    """Return in parentheses, for the end of a sentence with a verdict, that its rows were seen before."""
    seen = describe_seen_rows(study, datasets)
    return f" ({seen})" if seen else ""


def describe_across(across: AcrossDatasets, study: Study) -> str:
    """Return one sentence on a learner over all parent data sets."""
    rows = across.contrasts
    n_parents = int(rows.parents.max()) if len(rows) else len(across.parents)
    lead = f"across {count_noun(n_parents, 'parent data set')}, {across.learner}: "
    if rows.empty:
        return f"{lead}the study has no contrast."
    if (rows.verdict == "untested").all():
        return f"{lead}no test: {FEW_PARENTS}."
    clauses = []
    for verdict, group in rows.groupby("verdict", sort=False):
        if verdict in SHOWN_OVER_PARENTS:
            clauses += [describe_shown(row, study) for row in group.to_dict("records")]
            continue
        for reason, alike in group.groupby(group.effect_reason.fillna(""), sort=False):
            pairs = [f"{r.a} - {r.b} ({_wins_and_losses(r)})" for _, r in alike.iterrows()]
            limit = f"; {reason}" if reason and verdict == "inconclusive" else ""
            clauses.append(f"{join_words(pairs)} {'is' if len(pairs) == 1 else 'are'} {verdict}{limit}")
    note = outer_splits.rebalancing_note(study, across.learner)
    return f"{lead}{', '.join(clauses)}{f'; {note}' if note else ''}{append_seen_rows(study, study.datasets)}."


def describe_shown(row: Mapping[Any, Any], study: Study) -> str:
    """Return which strategy the signed ranks favour over parent data sets, or that two are equivalent."""
    effect, low, high = "effect", "effect_low", "effect_high"
    if row["verdict"] == "equivalent":
        low, high = "equivalence_low", "equivalence_high"
        level, rope = f"{100 * (1 - 2 * study.claims.alpha):g} %", study.claims.rope[study.primary]
        text = f"{row['a']} and {row['b']} are equivalent within ±{rope:g} ("
    else:
        is_first, level = row["verdict"] == "better", percent(study)
        names = (row["a"], row["b"]) if is_first else (row["b"], row["a"])
        won = row["wins"] if is_first else row["losses"]
        size = describe_verdict(row, study.claims.alpha).partition(" by ")[2]
        text = f"the signed ranks favour {names[0]} over {names[1]}{f', by {size}' if size else ''} "
        text += f"(Holm p {format_p_value(row['p_holm'])}; it won on {won} of {row['parents']}"
        if math.isnan(row[effect]):
            return f"{text})"
        text += "; "
    numbers = [format_difference(row[name]) for name in (effect, low, high)]
    return f"{text}mean {row['a']} - {row['b']} {numbers[0]}, {level} interval {numbers[1]} to {numbers[2]})"


def _describe_missing_scores(rows: pd.DataFrame) -> list[str]:
    """Return why contrasts have no difference, each reason once with its strategies."""
    strategies: dict[str, dict[str, None]] = {}
    for _, row in rows[rows["mean"].isna()].iterrows():
        reason = str(row.reason).replace(f"{row.a!r} has ", "", 1).replace(f"{row.a!r} is ", "", 1)
        strategies.setdefault(reason, {})[str(row.a)] = None
    return [f"{join_words(map(repr, names))} cannot be compared ({reason})" for reason, names in strategies.items()]


def describe_chance(contrasts: pd.DataFrame, alpha: float) -> str:
    """Say, for the end of a sentence, how many contrasts chance alone would call better or worse; empty without a test.

    Examples
    --------
    >>> describe_chance(pd.DataFrame({"p": [0.2] * 12, "q": [0.2] * 12}), alpha=0.05)
    '; chance alone gives up to 0.6'
    """
    expected = expected_by_chance(contrasts, alpha)
    return f"; chance alone gives up to {expected:.2g}" if expected else ""


def count_verdicts(rows: pd.DataFrame, verdicts: Sequence[str], alpha: float) -> str:
    """Say how many contrasts have some verdicts, of how many, and what chance alone gives; of one contrast its verdict.

    Examples
    --------
    >>> facts = {"p": 0.1, "q": 0.1, "p_equivalence_holm": [0.5, 0.01, 0.9], "rope": 0.02}
    >>> rows = pd.DataFrame({"verdict": ["better", "better", "inconclusive"], **facts})
    >>> count_verdicts(rows, ("better", "worse"), alpha=0.05)
    'better in 1 and better by less than ±0.02 in 1 of 3 comparisons; chance alone gives up to 0.15'
    """
    words = [describe_verdict(row, alpha) for row in rows.to_dict("records")]
    if len(words) == 1:
        return words[0]
    told = sorted({word for word, verdict in zip(words, rows.verdict, strict=True) if verdict in verdicts}, key=len)
    ordered = [word for verdict in verdicts for word in told if word.startswith(verdict)]
    counts = join_words(f"{word} in {words.count(word)}" for word in ordered)
    counts = counts or f"{join_words(verdicts, 'or')} in none"
    return f"{counts} of {count_noun(len(rows), 'comparison')}{describe_chance(rows, alpha)}"


def append_counts(rows: pd.DataFrame, study: Study) -> str:
    """Return in parentheses how many of some contrasts are better or worse; empty where none rests on a test."""
    decided = rows[rows.verdict.isin(DECIDED)]
    return f" ({count_verdicts(decided, ('better', 'worse'), study.claims.alpha)})" if len(decided) else ""


def format_changes(rows: pd.DataFrame) -> str:
    """Return the lowest and the highest mean difference of some contrasts.

    Examples
    --------
    >>> format_changes(pd.DataFrame({"mean": [0.1, -0.02, 0.05]}))
    '-0.020 to +0.100'
    """
    return format_range(rows["mean"], format_difference)


def list_reasons(rows: pd.DataFrame) -> list[str]:
    """Return why contrasts have no verdict, where it is more than a p-value; each reason once."""
    compared = rows[rows["mean"].notna()]
    reasons = [r for r in compared.reason if isinstance(r, str) and not r.startswith("Holm-adjusted")]
    return [*dict.fromkeys(reasons), *_describe_missing_scores(rows)]


def describe_power(rows: pd.DataFrame, study: Study) -> Iterator[str]:
    """Yield the smallest differences that a design detects, and what it takes to detect smaller ones."""
    tested = rows[rows.detectable.notna()].sort_values("detectable", kind="stable")
    if tested.empty:
        return
    ends = [tested.iloc[0]] if len(tested) == 1 else [tested.iloc[0], tested.iloc[-1]]
    smallest = " to ".join(f"{r.detectable:.3f} ({r.dataset}, {r.learner})" for r in ends)
    detects = f"The smallest difference in {named(study.primary)} that this design detects with 80 % power is"
    yield f"{detects} {smallest}; smaller ones cannot be ruled out. {_describe_more_data(tested, study)}".rstrip()


def _clauses(rows: pd.DataFrame, study: Study) -> Iterator[str]:
    isolating = [isolates_resampling(study, a, b) for a, b in zip(rows.a, rows.b, strict=True)]
    for _, row in rows[isolating].iterrows():
        yield _resampling_clause(row, study)
    if not (rows.family == PRIMARY).any():
        yield "no primary contrast, as smote_threshold - threshold would be"
    others = rows[[not i for i in isolating]]
    for base, against in others.groupby("b", sort=False):
        yield f"compared with {base}, {_verdict_clauses(against, study.claims.alpha)}"
    absent = [repr(n) for n in ("none", "threshold") if n not in {s.name for s in study.strategies}]
    if absent:
        yield f"the study has no baseline {' and no '.join(absent)}"
    if note := outer_splits.rebalancing_note(study, str(rows.learner.iloc[0])):
        yield note


def _resampling_clause(row: pd.Series[Any], study: Study) -> str:
    without, level = f"{row.b}, its counterpart without resampling", f"{percent(study)} interval"
    difference = describe_verdict(row, study.claims.alpha).partition(" by ")[2]
    size, rope, measure = f", by {difference}" if difference else "", f"±{row.rope:g}", named(row.measure)
    clause = {
        "better": f"resampling helps: {row.a} is better than {without}{size}",
        "worse": f"resampling harms: {row.a} is worse than {without}{size}",
        "equivalent": f"resampling makes no difference that matters: {row.a} is equivalent within {rope} to {without}",
        "identical": f"resampling changes nothing: {row.a} has the same {measure} in every fold as {without}",
        "inconclusive": f"the effect of resampling is inconclusive: {row.a} compared with {without}",
        "exploratory": f"{row.a} compared with {without}, is exploratory and has no verdict: {row.reason}",
        "descriptive": f"{row.a} compared with {without}, is reported without a test, because "
        f"{untested_reason(study, row.dataset)}",
        NOT_APPLICABLE: f"{row.a} cannot be compared with {without}: {row.reason}",
    }[row.verdict]
    is_told = row.verdict in ("identical", NOT_APPLICABLE)
    is_told |= row.verdict == "exploratory" and math.isnan(row["mean"])
    return clause if is_told else f"{clause} ({_numbers(row, level)})"


def _numbers(row: pd.Series[Any], level: str) -> str:
    if math.isnan(row["mean"]):
        return str(row.reason)
    mean = f"{named(row.measure)} {format_difference(row['mean'])}"
    if math.isnan(row.p):
        return f"{mean}; {row.reason}" if row.reason else f"{mean} on average"
    p_value = f"p {format_p_value(row.p)}" if math.isnan(row.p_holm) else f"Holm p {format_p_value(row.p_holm)}"
    return f"{mean}, {level} {format_difference(row.low)} to {format_difference(row.high)}, {p_value}"


def _verdict_clauses(rows: pd.DataFrame, alpha: float) -> str:
    """Strategies by verdict, with their mean difference; those without one by what is missing."""
    clauses, compared = [], rows[rows["mean"].notna()]
    words = pd.Series([describe_verdict(row, alpha) for row in compared.to_dict("records")], compared.index, dtype=str)
    for verdict, group in compared.groupby(words, sort=False):
        names = [f"{r.a} ({format_difference(r['mean'])})" for _, r in group.iterrows()]
        clauses.append(f"{join_words(names)} {'is' if len(names) == 1 else 'are'} {verdict}")
    return ", ".join([*clauses, *_describe_missing_scores(rows)])


def _wins_and_losses(row: pd.Series[Any]) -> str:
    p_value = "" if math.isnan(row.p_holm) else f", Holm p {format_p_value(row.p_holm)}"
    return f"won {row.wins}, tied {row.ties}, lost {row.losses}{p_value}"


def _describe_more_data(tested: pd.DataFrame, study: Study) -> str:
    """What more repeats and more positives would detect.

    What more repeats do is known of the corrected t alone: its standard error holds ``1/J + n_test/n_train`` (Nadeau
    and Bengio 2003), and they lower the first part, the spread of the fold differences taken as it was seen. The
    standard error itself is taken to fall with the root of the positives.
    """
    corrected = tested[tested.estimator == CORRECTED_T]
    repeatable = corrected[~corrected.dataset.isin(predefined_folds(study))]
    sentences = [_describe_more_repeats(repeatable, study, len(repeatable) < len(tested))] if len(repeatable) else []
    times = (tested.detectable / tested.rope) ** 2
    if times.notna().all() and times.min() > 1 and (tested.rope > 0).all():
        spread = "the spread of the fold differences falls" if len(corrected) == len(tested) else "standard errors fall"
        sentences.append(
            f"Detecting ±{tested.rope.iloc[0]:g}, the smallest difference that matters, takes about "
            f"{format_range(times, format_two_digits)} times as many positives, if {spread} with the root of their "
            "number."
        )
    return " ".join(sentences)


def _describe_more_repeats(corrected: pd.DataFrame, study: Study, is_part: bool) -> str:
    """What five and unlimited repeats would detect; ``is_part`` if other contrasts have other standard errors."""
    protocol, size = study.protocol, study.protocol.test_size
    levels = study.claims.alpha / corrected.family_size
    ratio = 1 / (protocol.outer_folds - 1) if size is None else size / (1 - size)

    def factors(n_folds: Iterable[int]) -> list[float]:
        return [detectable_factor(n, ratio, level) for n, level in zip(n_folds, levels, strict=True)]

    spread = corrected.detectable / factors(map(int, corrected.folds))
    limit = format_range(spread * factors([_UNLIMITED_FOLDS] * len(corrected)))
    lead, sentences = "where the corrected t decides, " if is_part else "", []
    if protocol.repeats < _ENOUGH_REPEATS:
        n_folds = _ENOUGH_REPEATS * (protocol.outer_folds if size is None else 1)
        better = format_range(spread * factors([n_folds] * len(corrected)))
        sentences.append(f"{lead}with {_ENOUGH_REPEATS} repeats it would be {better}.")
        lead = "there, " if is_part else ""
    sentences.append(f"{lead}even unlimited repeats could not detect a difference below {limit}.")
    return " ".join(capitalise(text) for text in sentences)
