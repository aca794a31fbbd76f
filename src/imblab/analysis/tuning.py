"""What inner tuning saw and chose, and how optimistic its scores were; evaluations are those of one strategy."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from imblab.analysis.summary import candidate_count, knob_values
from imblab.result import Evaluation
from imblab.study import Scalar, Strategy, in_declared_order
from imblab.weights import weight_power

#: Values of a knob and scores at them.
Points = tuple[list[float], list[float]]


@dataclass(frozen=True, slots=True)
class RatioLadder:
    """Strategies that differ in a fixed ratio alone."""

    first: Strategy  # the one with the lowest ratio
    by_ratio: Mapping[float, str]  # their names, by ascending ratio; two or more
    without: str  # the strategy that differs in having no sampler; empty if the study has none


def ratio_ladders(strategies: Sequence[Strategy]) -> list[RatioLadder]:
    """Find the strategies that differ in a fixed ratio alone, by their knobs.

    Examples
    --------
    >>> some = [Strategy(f"r{r}", {"_target_": "x.Sampler"}, ratio=r) for r in (0.5, 0.1)]
    >>> ladder = ratio_ladders([Strategy("none"), *some])[0]
    >>> ladder.by_ratio, ladder.without
    ({0.1: 'r0.1', 0.5: 'r0.5'}, 'none')
    """

    def rest(s: Strategy) -> Strategy:
        return replace(s, name="", label="", ratio=None)

    def bare(s: Strategy) -> Strategy:
        return replace(rest(s), sampler=None, k=None, prior_correction=None)

    fixed = [s for s in strategies if s.sampler is not None and s.ratio is not None and "ratio" not in s.space]
    groups: list[list[Strategy]] = []
    for strategy in sorted(fixed, key=lambda s: s.ratio or 0.0):
        group = next((g for g in groups if rest(g[0]) == rest(strategy)), None)
        groups.append([strategy]) if group is None else group.append(strategy)
    return [
        RatioLadder(
            group[0],
            {float(s.ratio or 0.0): s.name for s in group},
            next((s.name for s in strategies if s.sampler is None and bare(s) == bare(group[0])), ""),
        )
        for group in groups
        if len({s.ratio for s in group}) > 1
    ]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate of a search with its inner score, averaged over outer folds."""

    params: Mapping[str, Scalar]  # knobs and parameters of the learner
    value: float  # the mean
    #: whether every fold that was searched has a score: only then the mean can be compared with others
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Optimism:
    """Inner and outer score of the winners of ``n_folds`` searches."""

    inner: float
    outer: float
    n_folds: int

    @property
    def difference(self) -> float:
        """Inner minus outer."""
        return self.inner - self.outer


@dataclass(frozen=True, slots=True)
class ChosenKnob:
    """How often every value of a knob was chosen."""

    knob: str
    values: tuple[tuple[Scalar, int], ...]  # with counts, the most frequent first, ties by value
    n_folds: int  # that chose it

    @property
    def agreement(self) -> float:
        """Share of the folds that chose the most frequent value."""
        return self.values[0][1] / self.n_folds


def average_candidates(evaluations: Iterable[Evaluation]) -> list[Candidate]:
    """Average the inner score of every candidate over outer folds."""
    scores: dict[tuple[tuple[str, Scalar], ...], list[float]] = {}
    n_searched = 0
    for evaluation in evaluations:
        trials = [t for t in evaluation.trials if t.status == "ok" and t.value is not None and t.params]
        values = {tuple((n, t.params[n]) for n in in_declared_order(t.params)): t.value for t in trials}
        n_searched += bool(values)
        for params, value in values.items():
            scores.setdefault(params, []).append(float(value or 0.0))
    return [
        Candidate(dict(params), float(np.mean(values)), len(values) == n_searched) for params, values in scores.items()
    ]


def best_along(
    candidates: Iterable[Candidate], knob: str, by: str | None = None, greater_is_better: bool = True
) -> dict[Scalar | None, Points]:
    """Return the best mean score at every value of a knob, by the value of another; of complete candidates alone."""
    better = max if greater_is_better else min
    best: dict[Scalar | None, dict[float, float]] = {}
    for candidate in candidates:
        at = candidate.params.get(knob)
        if candidate.is_complete and isinstance(at, (int, float)) and not isinstance(at, bool):
            line = best.setdefault(candidate.params.get(by) if by else None, {})
            line[float(at)] = better(candidate.value, line.get(float(at), candidate.value))
    return {key: (sorted(line), [line[v] for v in sorted(line)]) for key, line in best.items()}


def scatter(evaluations: Iterable[Evaluation], knob: str) -> Points:
    """Return the inner scores of all candidates against one knob, not averaged over folds."""
    points = [
        (float(trial.params[knob]), trial.value)
        for evaluation in evaluations
        for trial in evaluation.trials
        if trial.status == "ok" and trial.value is not None and isinstance(trial.params.get(knob), (int, float))
    ]
    return [x for x, _ in points], [y for _, y in points]


def optimism(evaluations: Iterable[Evaluation], primary: str, pooled: Callable[..., Any] | None) -> Optimism | None:
    """Compare the inner score of the winners with the outer score of the same kind.

    ``pooled`` is the function of confusion matrices of a measure of labels: inner scores are computed from matrices
    summed over folds, so the outer ones of a repeat are summed too; a mean of fold scores would differ without any
    optimism. None for other measures, which are averaged over folds on both sides. Returns None where nothing was
    tuned.
    """
    scored = [e for e in evaluations if e.status == "ok"]
    inner = [e.value for e in scored if e.value is not None]
    if not scored or len(inner) < len(scored):
        return None
    if pooled is None:
        scores = [e.scores.get(primary) for e in scored]
        outer = float(np.mean([score for score in scores if score is not None]))
    else:
        outer = _pooled_score(scored, pooled)
    return Optimism(float(np.mean(inner)), outer, len(scored))


def chosen_knobs(evaluations: Iterable[Evaluation]) -> list[ChosenKnob]:
    """Count the chosen values of every knob; empty where there was one candidate only."""
    scored = [e for e in evaluations if e.status == "ok"]
    if max(map(candidate_count, scored), default=0) <= 1:
        return []
    knobs = []
    for knob, chosen in knob_values(scored).items():
        values = tuple(sorted(Counter(chosen).items(), key=lambda item: (-item[1], str(item[0]))))
        knobs.append(ChosenKnob(knob, values, len(scored)))
    return knobs


def received_ratio(evaluations: Sequence[Evaluation]) -> float:
    """Return positives over negatives that the learner received, weights included, averaged over folds.

    The weight ``balanced`` gives both classes the same total, which is the ratio 1; a power a gives the ratio of the
    counts to the power 1 - a. With more than two classes it is the smallest over the largest class, each with its
    weights. NaN where nothing was recorded.

    Examples
    --------
    >>> row = Evaluation("d", "l", "s", 0, 0, {"weight": 10.0}, 0.5, {}, {}, 0.1, "ok", None, "f",
    ...                  reached={"negative": 900, "positive": 30})
    >>> received_ratio([row])
    0.3333333333333333
    """
    ratios = []
    for evaluation in evaluations:
        weight, reached = evaluation.params.get("weight", 1.0), evaluation.reached
        if evaluation.status == "ok" and reached.get("classes"):
            totals = np.asarray(reached["classes"], dtype=np.float64) ** (1 - (weight_power(weight) or 0.0))
            ratios.append(float(totals.min() / totals.max()))
        elif evaluation.status == "ok" and reached.get("negative"):
            power = weight_power(weight)
            if power is None:
                ratios.append(float(weight) * reached["positive"] / reached["negative"])
            else:
                ratios.append((reached["positive"] / reached["negative"]) ** (1 - power))
    return float(np.mean(ratios)) if ratios else math.nan


def _pooled_score(evaluations: Iterable[Evaluation], function: Callable[..., Any]) -> float:
    sums: dict[int, np.ndarray] = {}
    for e in evaluations:
        sums[e.repeat] = sums.get(e.repeat, 0) + e.matrix
    by_repeat = np.stack([sums[repeat] for repeat in sorted(sums)])
    return float(np.asarray(function(by_repeat), dtype=float).mean())
