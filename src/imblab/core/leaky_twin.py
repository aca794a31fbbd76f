"""The LEAKY twin of a study: its sampler before the split, as a misuse to measure. Only the audit of a study makes it.

Synthetic rows are made of all rows of the table and then dealt to the outer test parts at random, class by class; the
original rows stay in the folds of the study. Each model is scored on the resampled test part, as such work is reported,
and on the original rows of that part alone. The honest score is that of the same sampler, fitted on training rows, on
the same original test rows: it differs from the second score by the contamination alone, and the second from the first
by the changed test part alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
from scipy.special import expit

from imblab.core import design, estimator_specs, fitting, preparation
from imblab.core.classes import OVER_SAMPLING
from imblab.core.sampling import sampler_for_columns
from imblab.core.splits import repeat_seed
from imblab.core.task_decisions import ClassDecisions, decisions_between
from imblab.errors import FitFailed, foreign_reason
from imblab.study import KNOBS, Dataset, Learner, Make, Measure, Scalar, Split, Strategy

#: The ratio of the misuse where a study does not fix one, and the threshold of its scores.
FULL_BALANCE, FIXED_THRESHOLD = 1.0, 0.5
#: The mark of all names of the twin.
LEAKY = "LEAKY"


@dataclass(frozen=True, slots=True)
class OverSampler:
    """An over-sampler of a study with the knobs that the twin gives it."""

    make: Make  # its specification, as the strategy has it
    params: Mapping[str, Scalar]  # ``ratio``, and ``k`` where the study fixes it

    @property
    def label(self) -> str:
        """Its class and its knobs, for readers."""
        knobs = ", ".join(f"{name} {value:g}" for name, value in self.params.items() if isinstance(value, (int, float)))
        return f"{self.make['_target_'].rpartition('.')[2]} ({knobs})"


@dataclass(frozen=True, slots=True)
class TwinScores:
    """Scores of one outer fold, each by measure; None where a measure is undefined."""

    honest: Mapping[str, float | None]  # the sampler fitted on training rows, scored on the test rows
    LEAKY_original_rows: Mapping[str, float | None]  # the sampler fitted on all rows, scored on the same test rows
    #: the same models, scored on the test rows and the synthetic rows that were dealt to them
    LEAKY_as_reported: Mapping[str, float | None]


def over_samplers(strategies: Sequence[Strategy]) -> tuple[OverSampler, ...]:
    """List the over-samplers of strategies, each once, with the largest ratio that they fix, else 1:1.

    Examples
    --------
    >>> smote = {"_target_": "imblearn.over_sampling.SMOTE"}
    >>> strategies = [Strategy("none"), Strategy("a", smote, ratio=0.1, k=3), Strategy("b", smote, ratio=0.5, k=3)]
    >>> [sampler.label for sampler in over_samplers(strategies)]
    ['SMOTE (ratio 0.5, k 3)']
    """
    found: dict[tuple[str, Scalar | None], OverSampler] = {}
    for strategy in strategies:
        make = strategy.sampler
        if make is None or estimator_specs.sampling_type(make) != OVER_SAMPLING:
            continue
        fixed = {name: value for name, value in strategy.fixed_knobs.items() if name in ("ratio", "k")}
        if fixed.get("k") == _default_neighbors(make):
            fixed.pop("k", None)
        key = estimator_specs.spec_text(make), fixed.get("k")
        params = {"ratio": FULL_BALANCE, **fixed}
        known = found.get(key)
        if known is None or float(params["ratio"]) > float(known.params["ratio"]):
            found[key] = OverSampler(make, params)
    return tuple(found.values())


def _default_neighbors(make: Make) -> Any:
    """Return the number of neighbours that the class of a sampler takes by default; None without one."""
    cls, name = estimator_specs.resolve_class(make["_target_"], allow=None), KNOBS["k"].parameter_among
    parameter = signature(cls).parameters.get(name(estimator_specs.parameter_names(make)) or "")
    return None if parameter is None else parameter.default


def twin_problem(dataset: Dataset, sampler: OverSampler, plan: Sequence[Split]) -> str | None:
    """Return why the twin cannot be made of a table; None if it can.

    Examples
    --------
    >>> import pandas as pd
    >>> toy = Dataset("toy", pd.DataFrame({"a": [1.0]}), np.array([1]), ("no", "yes"), time=np.array([3]))
    >>> twin_problem(toy, OverSampler({}, {}), [])
    'synthetic rows have no time, so that they belong to no window'
    """
    if dataset.time is not None:
        return "synthetic rows have no time, so that they belong to no window"
    make = sampler_for_columns(sampler.make, dataset)
    if make is None:
        return "the sampler has no form for its categorical columns"
    parts = [part for split in plan for part in design.fitted_parts(dataset, split, ())]
    return design.candidate_inapplicable_reason(sampler.params, make, parts)


def leaky_twin_scores(
    dataset: Dataset,
    plan: Sequence[Split],
    learner: Learner,
    sampler: OverSampler,
    measures: Sequence[Measure],
    seed: int,
) -> Iterator[TwinScores]:
    """Yield the scores of every outer fold of one repeat, the ``plan``; the name says what it is.

    See :func:`twin_problem` for tables that cannot be used. No measure reads amounts. Rows are called positive from .5
    on. FitFailed if a fit fails, or the sampler removes rows as well, so that original rows are not told from synthetic
    ones.
    """
    state, make = repeat_seed(seed, plan[0].repeat), sampler_for_columns(sampler.make, dataset)
    assert make is not None, "twin_problem says so before"
    decisions, arrays = decisions_between(dataset.classes), preparation.feature_arrays(dataset)
    prepared = preparation.PreparedRows(arrays, np.arange(len(dataset.y)))
    X, y = _resample_all_rows(prepared, make, sampler.params, state)
    parts = _deal_rows(y[len(dataset.y) :], [len(split.test) for split in plan], len(dataset.y), state)
    X, n_classes = prepared.encode(X), len(dataset.classes)
    for i, split in enumerate(plan):
        request = fitting.fit_request(
            dataset, learner.make, make, sampler.params, state, np.asarray(split.train), np.asarray(split.test)
        )
        honest = fitting.fit_predict(request, preparation.PreparedRows(arrays, split.train))
        synthetic = len(dataset.y) + np.flatnonzero(parts == i)
        train = np.concatenate([split.train, len(dataset.y) + np.flatnonzero(parts != i)])
        with fitting.recorded_warnings():
            try:
                model = estimator_specs.build_estimator(learner.make, allow=None, seed=state).fit(X[train], y[train])
                rows = np.concatenate([split.test, synthetic])
                values = fitting.predict_values(model, learner.make, X[rows], {}, n_classes)
            except Exception as error:  # any library may raise anything
                raise FitFailed(f"{type(error).__name__}: {foreign_reason(error)}") from error
        n, scored = len(split.test), dict[str, Mapping[str, float | None]]()
        for name, labels, proba in (
            ("honest", y[split.test], honest.values),
            ("LEAKY_original_rows", y[split.test], values[:n]),
            ("LEAKY_as_reported", y[rows], values),
        ):
            scored[name] = _scores(decisions, measures, labels, proba, honest.is_probability)
        yield TwinScores(**scored)


def _resample_all_rows(
    prepared: preparation.PreparedRows, make: Make, params: Mapping[str, Scalar], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Resample all rows of a table, in the coordinates that a fit on all of them gives: the misuse itself."""
    try:
        X, y = prepared.resampler.resample(make, params, seed)
    except Exception as error:  # any library may raise anything
        raise FitFailed(f"{type(error).__name__}: {foreign_reason(error)}") from error
    n_rows = len(prepared.y)
    if len(X) < n_rows or not np.allclose(X[:n_rows], prepared.X) or not np.array_equal(y[:n_rows], prepared.y):
        raise FitFailed("the sampler removes rows as well, so that original rows are not told from synthetic ones")
    return X, y


def _deal_rows(y: np.ndarray, test_sizes: Sequence[int], n_rows: int, seed: int) -> np.ndarray:
    """Deal synthetic rows to the test parts at random, class by class, as many as the parts have of the original rows.

    Returns the test part of each row; -1 for rows of no test part: with a hold-out the table has more original rows,
    ``n_rows``, than all test parts.
    """
    generator, parts = np.random.default_rng(seed), np.full(len(y), -1)
    ends = np.cumsum(test_sizes) / n_rows
    for label in np.unique(y):
        rows = generator.permutation(np.flatnonzero(y == label))
        place = (np.arange(len(rows)) + 0.5) / len(rows)
        part = np.searchsorted(ends, place)
        parts[rows] = np.where(part < len(test_sizes), part, -1)
    return parts


def _scores(
    decisions: ClassDecisions, measures: Sequence[Measure], y: np.ndarray, values: np.ndarray, is_probability: bool
) -> Mapping[str, float | None]:
    rule: Any = decisions.resolve_rule(FIXED_THRESHOLD)
    choice = decisions.fixed_choice(rule)
    assert choice is not None, "the threshold is a number"
    compared = values if is_probability else np.asarray(expit(values))
    scored = decisions.score(measures, rule, choice.threshold, y, values, compared, is_probability, None)
    scores: Mapping[str, float | None] = scored["scores"]
    return scores
