"""Strategies compared over independent parent data sets, never over folds.

Data sets made from one parent data set share rows, so their scores are averaged first: parents are the units. With
fewer than six of them no test is made. A data set on which some strategy has no complete score is left out for all
strategies, and named.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from imblab.analysis import paired
from imblab.analysis.claims import Pair
from imblab.analysis.parent_contrasts import Parents, average_over_parents, contrasts_over_parents, too_few_reason
from imblab.result import Family, FamilyScores
from imblab.stats import ranks
from imblab.stats.ranks import MIN_UNITS, FriedmanTest
from imblab.study import Study


@dataclass(frozen=True, slots=True, eq=False)
class AcrossDatasets:
    """Comparison of the strategies of one learner over parent data sets.

    Attributes
    ----------
    learner, measure : str
        Names.
    parents : tuple of str
        The units of the ranks.
    rank_table : DataFrame
        ``strategy``, ``mean_rank`` (1 is best, ties share), ``mean`` score over parents; best first.
    friedman : FriedmanTest or None
        None where there are fewer than six parents or two strategies.
    cliques : tuple of tuple of str
        Neighbours in the rank table without a significant difference: Wilcoxon's test, Holm over all pairs.
    contrasts : DataFrame
        ``learner a b measure``; ``parents`` on which both strategies are complete, ``wins ties losses`` of a over b,
        ``mean`` and ``median`` of a - b, ``p`` and ``p_holm`` of Wilcoxon's test; the mean ``effect`` of a
        random-effects model with ``effect_se``, ``effect_low`` and ``effect_high`` at 1 - alpha, ``effect_deviation``
        between parents, ``prediction_low`` and ``prediction_high`` for a further parent, ``equivalence_low`` and
        ``equivalence_high`` at 1 - 2 alpha; ``p_equivalence`` and ``p_equivalence_holm`` of two one-sided tests of the
        effect, within ``rope``; ``below within above``, the Bayesian signed-rank probabilities, which decide nothing;
        ``verdict``, ``reason``, ``family``, ``family_size``. Tests and effects are NaN below six parents, effects also
        where ``effect_reason`` says why.
    notes : tuple of str
        What was left out, and what was not tested.
    """

    learner: str
    measure: str
    parents: tuple[str, ...]
    rank_table: pd.DataFrame
    friedman: FriedmanTest | None
    cliques: tuple[tuple[str, ...], ...]
    contrasts: pd.DataFrame
    notes: tuple[str, ...]


def compare_over_parents(
    scores: Mapping[Family, FamilyScores], study: Study, parents: Parents, estimates: paired.Estimates | None = None
) -> list[AcrossDatasets]:
    """Compare the strategies of each learner over parent data sets.

    Parameters
    ----------
    scores : mapping of (str, str) to FamilyScores
        By data set and learner; see :func:`imblab.analysis.results.score_arrays`.
    study : Study
        Its claims are the family of contrasts.
    parents : mapping of str to str
        The parent of every data set; one that is not named is its own.
    estimates : mapping, optional
        The estimates of :func:`imblab.analysis.paired.estimate_all`, where they are known already.

    Returns
    -------
    list of AcrossDatasets
        One per learner, in the order of the study; empty for fewer than two parents.
    """
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
    """Average the primary measure of one learner over folds, per data set and strategy.

    Returns
    -------
    means : DataFrame of shape (n_datasets, n_strategies)
        NaN where a fold has no score.
    missing : dict of (dataset, strategy) to str
        Why a mean is missing.
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
    families: Sequence[FamilyScores],
    learner: str,
    study: Study,
    parents: Parents,
    estimates: paired.Estimates,
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
        notes.append(
            too_few_reason(len(units)) if units.shape[1] >= 2 else "there are fewer than two strategies to rank"
        )
    contrasts = contrasts_over_parents(families, means, study, parents, estimates)
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
            yield (
                f"no bar joins {names[i]} and {names[j]}, although their difference is not significant: strategies "
                "between them differ"
            )
