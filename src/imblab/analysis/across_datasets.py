"""Many data sets: strategies compared over independent sources, never over folds.

Tasks made from one parent table share rows, so they are averaged first: the sources are the units. With fewer than six
of them no test is made. A task on which some arm has no complete score is left out for all arms, and named.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from imblab.analysis import paired
from imblab.analysis.claims import Pair, family, labels, pairs
from imblab.result import Family, FamilyScores
from imblab.stats import ranks
from imblab.stats.paired_tests import TIED, holm
from imblab.stats.ranks import LEAST, Friedman
from imblab.study import Study

#: Names of tasks and the parent tables they were made from.
Sources = Mapping[str, str]
_COUNTS = ("sources", "wins", "ties", "losses")
_NUMBERS = ("mean", "median", "p", "p_holm")


@dataclass(frozen=True, slots=True, eq=False)
class Across:
    """One learner over all sources.

    Attributes
    ----------
    learner, measure : str
    sources : tuple of str
        The units of the ranks.
    rank_table : DataFrame
        ``strategy``, ``mean_rank`` (1 is best, ties share), ``mean`` score over sources; best first.
    friedman : Friedman or None
        None where there are fewer than six sources or two strategies.
    cliques : tuple of tuple of str
        Neighbours in the rank table that are not told apart: Wilcoxon's test, Holm over all pairs.
    contrasts : DataFrame
        ``learner a b measure``; ``sources`` on which both arms are complete, ``wins ties losses`` of a over b, ``mean``
        and ``median`` of a - b, ``p`` and ``p_holm`` of Wilcoxon's test, ``verdict``, ``reason``.
    notes : tuple of str
        What was left out, and what was not tested.
    """

    learner: str
    measure: str
    sources: tuple[str, ...]
    rank_table: pd.DataFrame
    friedman: Friedman | None
    cliques: tuple[tuple[str, ...], ...]
    contrasts: pd.DataFrame
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Diagram:
    """A critical-difference diagram, ready to be drawn.

    Attributes
    ----------
    names : tuple of str
        Best first.
    mean_ranks : tuple of float
    cliques : tuple of tuple of str
        The strategies under every bar: neighbours that are not told apart.
    units : int
        Sources behind the ranks.
    tested : bool
        Whether bars mean anything: without a test there are none.
    notes : tuple of str
    """

    names: tuple[str, ...]
    mean_ranks: tuple[float, ...]
    cliques: tuple[tuple[str, ...], ...]
    units: int
    tested: bool
    notes: tuple[str, ...]


def across(scores: Mapping[Family, FamilyScores], study: Study, source: Sources) -> list[Across]:
    """Strategies over sources, learner by learner.

    Parameters
    ----------
    scores : mapping of (str, str) to FamilyScores
        By data set and learner; see :func:`imblab.analysis.results.score_arrays`.
    study : Study
    source : mapping of str to str
        The parent table of every data set; one that is not named is its own.

    Returns
    -------
    list of Across
        Empty where the rows come from fewer than two sources.
    """
    if len({source.get(dataset, dataset) for dataset, _ in scores}) < 2:
        return []
    late, rank = labels(study), {name: i for i, name in enumerate(study.learner_names)}
    tasks: dict[str, list[FamilyScores]] = {}
    for each in scores.values():
        tasks.setdefault(each.learner, []).append(each)
    return [
        _across(tasks[learner], learner, study, source, late)
        for learner in sorted(tasks, key=lambda name: rank.get(name, len(rank)))
    ]


def diagram(found: Across) -> Diagram:
    """The critical-difference diagram of one learner.

    Parameters
    ----------
    found : Across

    Returns
    -------
    Diagram
    """
    names, mean_ranks = (tuple(found.rank_table[column]) for column in ("strategy", "mean_rank"))
    return Diagram(names, mean_ranks, found.cliques, len(found.sources), found.friedman is not None, found.notes)


def task_means(tasks: Sequence[FamilyScores], study: Study) -> tuple[pd.DataFrame, dict[Pair, str]]:
    """The mean of the primary measure of every task and strategy, and what is missing.

    Parameters
    ----------
    tasks : sequence of FamilyScores
        Of one learner.
    study : Study

    Returns
    -------
    means : DataFrame of shape (n_datasets, n_strategies)
        NaN where a fold has no score.
    gaps : dict of (dataset, strategy) to str
        Why.
    """
    rank = {name: i for i, name in enumerate(study.strategy_names)}
    names = sorted(
        {name for task in tasks for name in task.strategies}, key=lambda name: (rank.get(name, len(rank)), name)
    )
    means: dict[str, dict[str, float]] = {}
    gaps: dict[Pair, str] = {}
    for task in tasks:
        means[task.dataset] = {
            name: float(np.mean(paired.strategy_scores(task, name, study.primary))) for name in names
        }
        lacking = [name for name in names if math.isnan(means[task.dataset][name])]
        gaps |= {(task.dataset, name): str(paired.missing_reason(task, name, study.primary)) for name in lacking}
    return pd.DataFrame.from_dict(means, orient="index", columns=names), gaps


def by_source(means: pd.DataFrame, source: Sources) -> pd.DataFrame:
    """Tasks of one parent table averaged; one row a source, in the order in which they appear.

    Examples
    --------
    >>> means = pd.DataFrame({"none": [0.2, 0.4, 0.9]}, index=["yeast4", "yeast6", "ecoli3"])
    >>> by_source(means, {"yeast4": "yeast", "yeast6": "yeast"}).none.round(3).to_dict()
    {'yeast': 0.3, 'ecoli3': 0.9}
    """
    return means.groupby([source.get(name, name) for name in means.index], sort=False).mean()


def _across(
    tasks: Sequence[FamilyScores], learner: str, study: Study, source: Sources, late: Mapping[Pair, str | None]
) -> Across:
    means, gaps = task_means(tasks, study)
    complete, left_out = _complete(means, gaps, source)
    units = by_source(complete, source)
    alpha, names = study.claims.alpha, list(units.columns)
    scores = units.to_numpy(dtype=np.float64)
    order, table = _rank_table(units, study.primary_measure.greater_is_better)
    tested = len(units) >= LEAST and len(names) >= 2
    notes = [*left_out, *_merged(complete, source)]
    cliques: tuple[tuple[str, ...], ...] = ()
    if tested:
        alike = ranks.indistinct(scores[:, order], alpha)
        bars = ranks.runs(alike)
        cliques = tuple(tuple(table.strategy[first : last + 1]) for first, last in bars)
        notes += _unjoined(list(table.strategy), alike, bars)
    else:
        notes.append(too_few(len(units)) if len(names) >= 2 else "there are no two strategies to rank")
    found = ranks.friedman(scores) if tested else None
    judged = _contrasts(means, learner, study, source, late)
    return Across(learner, study.primary, tuple(units.index), table, found, cliques, judged, tuple(notes))


def too_few(n: int) -> str:
    """Why there is no test over n sources.

    Examples
    --------
    >>> too_few(2)
    'no test over 2 sources: it takes 6, since even 5 differences of one sign have p = 0.062'
    """
    some = "1 source" if n == 1 else f"{n} sources"
    return f"no test over {some}: it takes {LEAST}, since even 5 differences of one sign have p = 0.062"


def _complete(means: pd.DataFrame, gaps: Mapping[Pair, str], source: Sources) -> tuple[pd.DataFrame, list[str]]:
    """A block of tasks and strategies without a gap, and what is not in it.

    Data sets with a gap are left out, for all strategies. Where that leaves too few sources for a test, the strategies
    with a gap are left out instead, if more sources and two strategies stay.
    """
    nowhere = [name for name in means.columns if means[name].isna().all()]
    kept = means.drop(columns=nowhere)
    said = list(_left_out(dict.fromkeys(nowhere, "any data set")))
    by_rows, by_columns = kept.dropna(), kept.dropna(axis=1)
    sources = [len(by_source(block, source)) for block in (by_rows, by_columns)]
    if sources[0] < LEAST and sources[0] < sources[1] and by_columns.shape[1] >= 2:
        lacking = {name: ", ".join(kept.index[kept[name].isna()]) for name in kept.columns[kept.isna().any()]}
        return by_columns, said + list(_left_out(lacking))
    for dataset in kept.index[kept.isna().any(axis=1)]:
        why = "; ".join(gaps[dataset, name] for name in kept.columns if (dataset, name) in gaps)
        said.append(f"data set {dataset!r} is left out of the ranks: {why}")
    return by_rows, said


def _left_out(where: Mapping[str, str]) -> Iterator[str]:
    """Strategies without a complete score, those that lack the same data sets together."""
    for place in dict.fromkeys(where.values()):
        names = [repr(name) for name, lacking in where.items() if lacking == place]
        subject, rest = (
            (f"strategy {names[0]} is", "it has")
            if len(names) == 1
            else (f"strategies {', '.join(names)} are", "they have")
        )
        yield f"{subject} left out of the ranks: {rest} no complete score on {place}"


def _merged(complete: pd.DataFrame, source: Sources) -> Iterator[str]:
    """Which tasks stand together for one source."""
    tasks: dict[str, list[str]] = {}
    for name in complete.index:
        tasks.setdefault(source.get(name, name), []).append(name)
    for parent, names in tasks.items():
        if len(names) > 1:
            yield f"{', '.join(names)} come from one table and count once, as {parent}"


def _rank_table(units: pd.DataFrame, greater_is_better: bool) -> tuple[np.ndarray, pd.DataFrame]:
    """The order of the columns from best to worst, and their mean ranks."""
    scores = units.to_numpy(dtype=np.float64)
    nothing = np.full(units.shape[1], math.nan)
    mean_ranks = ranks.rank_matrix(scores, greater_is_better).mean(axis=0) if len(units) else nothing
    order = np.argsort(mean_ranks, kind="stable")
    facts = {"strategy": np.array(units.columns)[order], "mean_rank": mean_ranks[order]}
    return order, pd.DataFrame({**facts, "mean": units.mean().to_numpy()[order]})


def _unjoined(names: Sequence[str], alike: np.ndarray, bars: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Pairs that are not told apart and that no bar can join."""
    for i, j in combinations(range(len(names)), 2):
        if alike[i, j] and not any(first <= i and j <= last for first, last in bars):
            yield f"no bar joins {names[i]} and {names[j]}, which are not told apart either: others between them are"


def _contrasts(
    means: pd.DataFrame, learner: str, study: Study, source: Sources, late: Mapping[Pair, str | None]
) -> pd.DataFrame:
    claimed, asked = family(study), pairs(study)
    differences = {pair: _differences(means, pair, source) for pair in dict.fromkeys((*asked, *claimed))}
    found = {pair: ranks.wilcoxon(d) for pair, d in differences.items()}
    p = {pair: found[pair].p if d.size >= LEAST else math.nan for pair, d in differences.items()}
    adjusted = dict(zip(claimed, holm([p[pair] for pair in claimed]), strict=True))
    better = study.primary_measure.greater_is_better
    rows = []
    for a, b in asked:
        pair, d, w = (a, b), differences[a, b], found[a, b]
        p_holm = math.nan if late[pair] else float(adjusted[pair])
        wins, losses = (w.wins, w.losses) if better else (w.losses, w.wins)
        said, reason = _verdict(d, (w.plus > w.minus) == better, p_holm, study.claims.alpha, len(claimed), late[pair])
        middle = {"mean": d.mean(), "median": np.median(d)} if d.size else {"mean": math.nan, "median": math.nan}
        facts = {"learner": learner, "a": a, "b": b, "measure": study.primary, "sources": d.size}
        facts |= {"wins": wins, "ties": w.ties, "losses": losses, **middle, "p": p[pair], "p_holm": p_holm}
        rows.append({**facts, "verdict": said, "reason": reason})
    columns = ["learner", "a", "b", "measure", *_COUNTS, *_NUMBERS, "verdict", "reason"]
    frame = pd.DataFrame(rows, columns=columns, dtype=object)
    return frame.astype({**dict.fromkeys(_NUMBERS, "float64"), **dict.fromkeys(_COUNTS, "int64")})


def _differences(means: pd.DataFrame, pair: Pair, source: Sources) -> np.ndarray:
    """The first minus the second on every source that has a task on which both are complete."""
    if not set(pair) <= set(means.columns):
        return np.empty(0)
    both = by_source(means[list(pair)].dropna(), source)
    first, second = (both[name].to_numpy(dtype=np.float64) for name in pair)
    return np.asarray(first - second)


def _verdict(
    d: np.ndarray, ahead: bool, p_holm: float, alpha: float, m: int, late: str | None
) -> tuple[str, str | None]:
    if late:
        return "exploratory", late
    if d.size < LEAST:
        return "untested", too_few(d.size)
    if np.abs(d).max() <= TIED:
        return "identical", None
    if p_holm <= alpha:
        return ("better" if ahead else "worse"), None
    least = 2.0 ** (1 - d.size) * m
    beyond = f"; {d.size} sources and {m} contrasts cannot reach less than {least:.3g}" if least > alpha else ""
    return "inconclusive", f"Holm-adjusted p {p_holm:.3g} > {alpha:g}{beyond}"
