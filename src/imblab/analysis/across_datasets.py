"""Strategies compared over independent parent data sets, never over folds.

Data sets made from one parent data set share rows, so their scores are averaged first: parents are the units. With
fewer than six of them no test is made. A data set on which some strategy has no complete score is left out for all
strategies, and named.

Of a contrast the signed ranks decide, and the mean effect says how large it is. The effect of a unit is the mean
difference over its tasks on which both strategies are complete, its standard error the mean of theirs, missing if one
of them is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, compress
from typing import Any

import numpy as np
import pandas as pd

from imblab.analysis import paired
from imblab.analysis.claims import Pair, claimed_families, declared_contrasts, exploratory_reasons, family_names
from imblab.analysis.compare import NOT_APPLICABLE, Adjusted, adjust_families, check_identity
from imblab.result import Family, FamilyScores
from imblab.stats import ranks
from imblab.stats.paired_tests import MIN_STANDARD_ERROR, equivalence_p, mean_effect, unweighted_mean
from imblab.stats.ranks import MIN_UNITS, FriedmanTest
from imblab.study import Study
from imblab.text import count_noun, join_words

#: The parent of every data set; one that is not named is its own.
Parents = Mapping[str, str]
#: Why a test over parent data sets needs that many.
FEW_PARENTS = f"it takes {MIN_UNITS}, since even 5 differences of one sign have p = 0.062"
#: Reasons in one message; the others are counted.
MAX_LISTED_REASONS = 3
_COUNT_COLUMNS = ("parents", "wins", "ties", "losses")
_EFFECT_COLUMNS = (
    *("effect", "effect_se", "effect_low", "effect_high", "effect_deviation", "prediction_low", "prediction_high"),
    *("equivalence_low", "equivalence_high", "p_equivalence", "p_equivalence_holm", "below", "within", "above"),
)
_NUMBER_COLUMNS = ("mean", "median", "p", "p_holm", "rope", *_EFFECT_COLUMNS)
_COLUMNS = (
    *("learner", "a", "b", "measure", *_COUNT_COLUMNS, *_NUMBER_COLUMNS),
    *("verdict", "reason", "effect_reason", "family", "family_size"),
)


@dataclass(frozen=True, slots=True, eq=False)
class AcrossDatasets:
    """Comparison of the strategies of one learner over parent data sets."""

    learner: str
    measure: str
    parents: tuple[str, ...]  # the units of the ranks
    #: ``strategy``, ``mean_rank`` (1 is best, ties share), ``mean`` score over parents; best first
    rank_table: pd.DataFrame
    friedman: FriedmanTest | None  # None where there are fewer than six parents or two strategies
    #: neighbours in the rank table without a significant difference: Wilcoxon's test, Holm over all pairs
    cliques: tuple[tuple[str, ...], ...]
    #: ``learner a b measure``; ``parents`` on which both strategies are complete, ``wins ties losses`` of a over b,
    #: ``mean`` and ``median`` of a - b, ``p`` and ``p_holm`` of Wilcoxon's test; the mean ``effect`` of a
    #: random-effects model with ``effect_se``, ``effect_low`` and ``effect_high`` at 1 - alpha, ``effect_deviation``
    #: between parents, ``prediction_low`` and ``prediction_high`` for a further parent, ``equivalence_low`` and
    #: ``equivalence_high`` at 1 - 2 alpha; ``p_equivalence`` and ``p_equivalence_holm`` of two one-sided tests of the
    #: effect, within ``rope``; ``below within above``, the Bayesian signed-rank probabilities, which decide nothing;
    #: ``verdict``, ``reason``, ``family``, ``family_size``. Tests and effects are NaN below six parents, effects also
    #: where ``effect_reason`` says why.
    contrasts: pd.DataFrame
    notes: tuple[str, ...]  # what was left out, and what was not tested


def compare_over_parents(
    scores: Mapping[Family, FamilyScores], study: Study, parents: Parents, estimates: paired.Estimates | None = None
) -> list[AcrossDatasets]:
    """Compare the strategies of each learner over parent data sets; empty for fewer than two of these."""
    if len({parents.get(dataset, dataset) for dataset, _ in scores}) < 2:
        return []
    estimates = paired.estimate_all(scores, study) if estimates is None else estimates
    rank = {name: i for i, name in enumerate(study.learner_names)}
    by_learner: dict[str, list[FamilyScores]] = {}
    for each in scores.values():
        by_learner.setdefault(each.learner, []).append(each)
    return [
        _compare_learner(by_learner[learner], learner, study, parents, estimates)
        for learner in sorted(by_learner, key=lambda name: rank.get(name, len(rank)))
    ]


def dataset_means(families: Sequence[FamilyScores], study: Study) -> tuple[pd.DataFrame, dict[Pair, str]]:
    """Average the primary measure of one learner over folds.

    Returns data sets x strategies, NaN where a fold has no score, and why, by data set and strategy.
    """
    rank = {name: i for i, name in enumerate(study.strategy_names)}
    names = sorted(
        {n for each in families for n in each.strategies}, key=lambda name: (rank.get(name, len(rank)), name)
    )
    means: dict[str, dict[str, float]] = {}
    missing: dict[Pair, str] = {}
    for each in families:
        values = {name: float(np.mean(paired.strategy_scores(each, name, study.primary))) for name in names}
        means[each.dataset] = values
        for name in (n for n, value in values.items() if math.isnan(value)):
            missing[each.dataset, name] = str(paired.missing_reason(each, name, study.primary))
    return pd.DataFrame.from_dict(means, orient="index", columns=names), missing


def _compare_learner(
    families: Sequence[FamilyScores], learner: str, study: Study, parents: Parents, estimates: paired.Estimates
) -> AcrossDatasets:
    means, missing = dataset_means(families, study)
    complete, notes = _complete_block(means, missing, parents)
    notes += _merged_notes(complete, parents)
    units = average_over_parents(complete, parents)
    scores = units.to_numpy(dtype=np.float64)
    order, table = _rank_table(units, study.primary_measure.greater_is_better)
    friedman, cliques = None, list[tuple[str, ...]]()
    if len(units) >= MIN_UNITS and units.shape[1] >= 2:
        friedman = ranks.friedman(scores)
        alike = ranks.indistinct_pairs(scores[:, order], study.claims.alpha)
        bars = ranks.cliques(alike)
        cliques = [tuple(table.strategy[first : last + 1]) for first, last in bars]
        notes += _unjoined_notes(list(table.strategy), alike, bars)
    else:
        few_strategies = "there are fewer than two strategies to rank"
        notes.append(_too_few_parents_reason(len(units)) if units.shape[1] >= 2 else few_strategies)
    contrasts = _contrasts_over_parents(families, means, study, parents, estimates)
    return AcrossDatasets(
        learner, study.primary, tuple(units.index), table, friedman, tuple(cliques), contrasts, tuple(notes)
    )


def _complete_block(
    means: pd.DataFrame, missing: Mapping[Pair, str], parents: Parents
) -> tuple[pd.DataFrame, list[str]]:
    """A block of data sets and strategies without a gap, and notes on what is not in it.

    Data sets with a gap are left out, for all strategies. Where that leaves too few parents for a test, the strategies
    with a gap are left out instead, if more parents and two strategies stay.
    """
    unscored = [name for name in means.columns if means[name].isna().all()]
    kept = means.drop(columns=unscored)
    notes = list(_left_out_notes(dict.fromkeys(unscored, "any data set")))
    by_rows, by_columns = kept.dropna(), kept.dropna(axis=1)
    n_rows, n_columns = (len(average_over_parents(block, parents)) for block in (by_rows, by_columns))
    if n_rows < MIN_UNITS and n_rows < n_columns and by_columns.shape[1] >= 2:
        gaps = {name: ", ".join(kept.index[kept[name].isna()]) for name in kept.columns[kept.isna().any()]}
        return by_columns, notes + list(_left_out_notes(gaps))
    for dataset in kept.index[kept.isna().any(axis=1)]:
        why = "; ".join(missing[dataset, name] for name in kept.columns if (dataset, name) in missing)
        notes.append(f"data set {dataset!r} is left out of the ranks: {why}")
    return by_rows, notes


def _left_out_notes(gaps: Mapping[str, str]) -> Iterator[str]:
    """Strategies without a complete score, those with the same data sets missing together."""
    for datasets in dict.fromkeys(gaps.values()):
        names = [repr(name) for name, where in gaps.items() if where == datasets]
        subject = f"strategy {names[0]} is" if len(names) == 1 else f"strategies {', '.join(names)} are"
        pronoun = "it has" if len(names) == 1 else "they have"
        yield f"{subject} left out of the ranks: {pronoun} no complete score on {datasets}"


def _merged_notes(complete: pd.DataFrame, parents: Parents) -> Iterator[str]:
    names = pd.Series([str(name) for name in complete.index])
    for parent, group in names.groupby([parents.get(name, name) for name in names], sort=False):
        if len(group) > 1:
            yield f"{', '.join(group)} have one parent data set and count once, as {parent}"


def _rank_table(units: pd.DataFrame, greater_is_better: bool) -> tuple[np.ndarray, pd.DataFrame]:
    """The order of the columns from best to worst, and their mean ranks."""
    scores = units.to_numpy(dtype=np.float64)
    unranked = np.full(units.shape[1], math.nan)
    mean_ranks = ranks.rank_matrix(scores, greater_is_better).mean(axis=0) if len(units) else unranked
    order = np.argsort(mean_ranks, kind="stable")
    columns = {"strategy": np.array(units.columns)[order], "mean_rank": mean_ranks[order]}
    return order, pd.DataFrame({**columns, "mean": units.mean().to_numpy()[order]})


def _unjoined_notes(names: Sequence[str], alike: np.ndarray, bars: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Pairs without a significant difference that no bar can join."""
    for i, j in combinations(range(len(names)), 2):
        if alike[i, j] and not any(first <= i and j <= last for first, last in bars):
            pair = f"{names[i]} and {names[j]}"
            yield f"no bar joins {pair}, although their difference is not significant: strategies between them differ"


def _contrasts_over_parents(
    families: Sequence[FamilyScores], means: pd.DataFrame, study: Study, parents: Parents, estimates: paired.Estimates
) -> pd.DataFrame:
    """Test every declared contrast of one learner over the parents on which both of its strategies are complete."""
    names, exploratory, alpha = family_names(study), exploratory_reasons(study), study.claims.alpha
    absent = {p for p in names if all(any(paired.not_applicable_reason(each, n) for n in p) for each in families)}
    units = {pair: _unit_effects(pair, families, means, study, parents, estimates) for pair in names}
    tests = {pair: _test_units(each, study) for pair, each in units.items()}
    p_values = {pair: (test["p"], test["p_equivalence"]) for pair, test in tests.items()}
    adjusted = adjust_families(claimed_families(study), p_values, absent)
    rows = []
    for pair in declared_contrasts(study):
        row = {"learner": families[0].learner, "a": pair[0], "b": pair[1], "measure": study.primary, **tests[pair]}
        after = Adjusted() if exploratory[pair] else adjusted.get(pair, Adjusted())
        row |= {"p_holm": after.p, "p_equivalence_holm": after.p_equivalence}
        row |= {"family": names[pair], "family_size": after.family_size}
        if pair in absent:
            row |= {"verdict": NOT_APPLICABLE, "reason": "one of the two strategies applies to none of the data sets"}
        elif exploratory[pair]:
            row |= {"verdict": "exploratory", "reason": exploratory[pair]}
        else:
            is_better = (row["ranks_above"] > 0) == study.primary_measure.greater_is_better
            row["verdict"], row["reason"] = _decide(row, is_better, alpha)
        rows.append(row)
    # As objects first: pandas would turn the None of a reason into NaN.
    table = pd.DataFrame(rows, columns=list(_COLUMNS), dtype=object)
    counts = dict.fromkeys((*_COUNT_COLUMNS, "family_size"), "int64")
    return table.astype({**dict.fromkeys(_NUMBER_COLUMNS, "float64"), **counts})


def average_over_parents(means: pd.DataFrame, parents: Parents) -> pd.DataFrame:
    """Average the data sets of each parent, in the order in which parents appear; NaN where one of them is.

    Examples
    --------
    >>> means = pd.DataFrame({"none": [0.2, 0.4, 0.9]}, index=["yeast4", "yeast6", "ecoli3"])
    >>> average_over_parents(means, {"yeast4": "yeast", "yeast6": "yeast"}).none.round(3).to_dict()
    {'yeast': 0.3, 'ecoli3': 0.9}
    """
    groups = means.groupby([parents.get(name, name) for name in means.index], sort=False)
    return groups.mean().where(groups.count().eq(groups.size(), axis=0))


def _too_few_parents_reason(n_parents: int) -> str:
    """Say why a test needs more parents."""
    parents = count_noun(n_parents, "parent data set")
    return f"no test over {parents}: {FEW_PARENTS}"


def _unit_effects(
    pair: Pair,
    families: Sequence[FamilyScores],
    means: pd.DataFrame,
    study: Study,
    parents: Parents,
    estimates: paired.Estimates,
) -> pd.DataFrame:
    """``difference``, ``se``, ``identical``, the ``reason`` for no ``se``, of each parent where both are complete."""
    if not set(pair) <= set(means.columns):
        return pd.DataFrame({"difference": [], "se": [], "identical": [], "reason": []}, dtype=float)
    complete = means[list(pair)].notna().all(axis=1).to_numpy()
    tasks, known = means.loc[complete, list(pair)], compress(families, complete)
    checked = [check_identity(estimates[each.dataset, each.learner][pair], each, pair, study) for each in known]
    tasks = tasks.assign(se=[e.se for e in checked], identical=[float(e.identical) for e in checked])
    units = average_over_parents(tasks, parents)
    reasons: dict[str, list[str]] = {}
    for name, estimate in zip(tasks.index, checked, strict=True):
        reasons.setdefault(parents.get(name, name), []).extend([estimate.reason] if estimate.reason else [])
    numbers = {"difference": units[pair[0]] - units[pair[1]], "se": units.se, "identical": units.identical == 1}
    return pd.DataFrame({**numbers, "reason": ["; ".join(dict.fromkeys(reasons[name])) for name in units.index]})


def _test_units(units: pd.DataFrame, study: Study) -> dict[str, Any]:
    """The numbers of one contrast that are not adjusted; tests and effects are NaN below six units."""
    d, alpha = units.difference.to_numpy(dtype=np.float64), study.claims.alpha
    test, rope = ranks.wilcoxon(d), study.claims.rope.get(study.primary, math.nan)
    wins, losses = (test.wins, test.losses) if study.primary_measure.greater_is_better else (test.losses, test.wins)
    mean, median = (d.mean(), np.median(d)) if d.size else (math.nan, math.nan)
    numbers = {"parents": d.size, "wins": wins, "ties": test.ties, "losses": losses, "mean": mean, "median": median}
    numbers |= {"rope": rope, "ranks_above": test.plus - test.minus, "all_identical": bool(units.identical.all())}
    numbers |= {"p": math.nan, **dict.fromkeys(_EFFECT_COLUMNS, math.nan), "effect_reason": None}
    if d.size < MIN_UNITS:
        return numbers
    effect, bayes = mean_effect(d, units.se.to_numpy(), alpha), ranks.signed_rank_posterior(d, rope)
    estimate, plain = effect.estimate, unweighted_mean(d, alpha)
    narrow = [each.at(2 * alpha) for each in (estimate, plain)]
    return numbers | {
        "p": test.p,
        "effect_reason": _no_effect_reason(units) if math.isnan(estimate.mean) else None,
        "effect": estimate.mean,
        "effect_se": estimate.se,
        "effect_low": estimate.low,
        "effect_high": estimate.high,
        "effect_deviation": effect.deviation,
        "prediction_low": effect.prediction_low,
        "prediction_high": effect.prediction_high,
        "equivalence_low": float(np.min([each.low for each in narrow])),
        "equivalence_high": float(np.max([each.high for each in narrow])),
        "p_equivalence": float(np.max([equivalence_p(each, rope) for each in (estimate, plain)])),
        "below": bayes.below,
        "within": bayes.within,
        "above": bayes.above,
    }


def _no_effect_reason(units: pd.DataFrame) -> str:
    """Say why parents have no mean effect, and what does not follow."""
    unknown = units[units.se.isna()]
    why = f"fewer than two parent data sets have a standard error above {MIN_STANDARD_ERROR:g}"
    if len(unknown):
        places = [f"{join_words(rows.index)}: {reason}" for reason, rows in unknown.groupby("reason", sort=False)]
        if len(places) > MAX_LISTED_REASONS:
            places[MAX_LISTED_REASONS:] = [count_noun(len(places) - MAX_LISTED_REASONS, "other reason")]
        verb = "has" if len(unknown) == 1 else "have"
        why = f"{len(unknown)} of {len(units)} parent data sets {verb} no standard error ({'; '.join(places)})"
    return f"equivalence was not tested, since {why}"


def _decide(row: Mapping[str, Any], is_better: bool, alpha: float) -> tuple[str, str | None]:
    n_parents, n_contrasts, p_holm = row["parents"], row["family_size"], row["p_holm"]
    if n_parents < MIN_UNITS:
        return "untested", _too_few_parents_reason(n_parents)
    if row["all_identical"]:  # means may also be equal where folds or decisions differ
        return "identical", None
    if p_holm <= alpha:
        return ("better" if is_better else "worse"), None
    if row["p_equivalence_holm"] <= alpha:
        return "equivalent", None
    smallest, limit = 2.0 ** (1 - n_parents) * n_contrasts, ""
    if smallest > alpha:
        limit = f"; {n_parents} parent data sets and {n_contrasts} contrasts cannot reach less than {smallest:.3g}"
    untested = f"; {row['effect_reason']}" if row["effect_reason"] else ""
    return "inconclusive", f"Holm-adjusted p {p_holm:.3g} > {alpha:g}{limit}{untested}"
