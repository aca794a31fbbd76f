"""Evaluations made again for audits: the replay of a study from stored predictions, and its LEAKY twin.

The replay decides nothing and needs no fits. The LEAKY twin puts the sampler before the split, as a misuse to measure;
only the audit of a study makes it.

Synthetic rows are made of all rows of the table and then dealt to the outer test parts at random, class by class; the
original rows stay in the folds of the study. Each model is scored on the resampled test part, as such work is reported,
and on the original rows of that part alone. The honest score is that of the same sampler, fitted on training rows, on
the same original test rows: it differs from the second score by the contamination alone, and the second from the first
by the changed test part alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
from scipy.special import expit

from imblab.core import decisions, design, estimator_specs, fitting, measures, preparation, splits
from imblab.core.classes import OVER_SAMPLING
from imblab.core.evaluate import FAILED_FOLD, FAILED_REFIT, Predict, Task, calibrate_prediction, threshold_rule
from imblab.core.fitting import FitRequest, Prediction
from imblab.core.preparation import PreparedRows
from imblab.core.sampling import sampler_for_columns
from imblab.core.splits import RowPair, repeat_seed
from imblab.core.task_decisions import ClassDecisions, decisions_between
from imblab.errors import FitFailed, foreign_reason
from imblab.result import Evaluation
from imblab.stats.probabilities import correct_prior
from imblab.study import KNOBS, Cell, Dataset, Learner, Make, Measure, Scalar, Split, Strategy, Study

#: Distances that are measured at most to locate synthetic rows; beyond, evenly spaced rows represent all.
MAX_DISTANCES = 20_000_000
#: Distances that are measured together, so that they stay in a processor's cache.
DISTANCE_BLOCK_SIZE = 100_000
#: The ratio of the misuse where a study does not fix one, and the threshold of its scores.
FULL_BALANCE, FIXED_THRESHOLD = 1.0, 0.5
#: The mark of all names of the twin.
LEAKY = "LEAKY"


class MissingPrediction(Exception):
    """Raised for a request whose prediction is not stored; it has the ``request``."""

    def __init__(self, request: FitRequest) -> None:
        super().__init__(request.address)
        self.request = request


def lookup_only(get: Callable[[str], Prediction | None], failures: Mapping[str, str] | None = None) -> Predict:
    """Make a ``predict`` that looks up and never fits.

    It raises :class:`MissingPrediction` if nothing is stored, and ``FitFailed`` for one of the ``failures``: reasons by
    address, of :func:`recorded_failures`.
    """

    def predict(request: FitRequest) -> Prediction:
        prediction = get(request.address)
        # A damaged store may hold a prediction of another number of rows.
        if prediction is not None and len(prediction.values) == len(request.rows):
            return prediction
        if failures is not None and request.address in failures:
            raise FitFailed(failures[request.address])
        raise MissingPrediction(request)

    return predict


def recorded_failures(task: Task, evaluation: Evaluation) -> dict[str, str]:
    """Find the fits that an evaluation of this cell records as failed, which no store holds.

    Returns the reasons by the addresses of the fits.
    """
    split, failures = task.cell.split, {}
    for trial in evaluation.trials:
        for i, pair in enumerate(task.pairs):
            reason = _text_after(trial.reason, FAILED_FOLD.format(i, "")) if trial.status == "failed" else None
            if reason is not None:
                failures[task.request(trial.params, *pair).address] = reason
    reason = _text_after(evaluation.error, FAILED_REFIT.format(""))
    if reason is not None and evaluation.status == "failed":
        failures[task.request(evaluation.params, split.train, split.test).address] = reason
    return failures


def _text_after(text: str | None, start: str) -> str | None:
    """Return the text after its start; None if it starts differently."""
    return text.removeprefix(start) if text is not None and text.startswith(start) else None


def replay_tasks(
    study: Study, dataset: Dataset, plan: Sequence[Split], cells: Iterable[Cell], predict: Predict
) -> Iterator[Task]:
    """Make the tasks of cells of one data set; ``plan`` holds all its outer splits."""
    pairs: dict[str, tuple[RowPair, ...]] = {}
    for cell in cells:
        key = cell.split.fingerprint
        if key not in pairs:
            pairs[key] = splits.inner_pairs(dataset, study.protocol, study.seed, cell.split, plan)
        yield Task(cell, study, dataset, pairs[key], predict)


def outer_prediction(task: Task, evaluation: Evaluation) -> Prediction:
    """Return the prediction for the test rows that an evaluation with status ``ok`` was scored on."""
    split, params = task.cell.split, evaluation.params
    return calibrate_prediction(task, params, task.predict_rows(params, split.train, split.test))


def score_test_rows(task: Task, evaluation: Evaluation, prediction: Prediction, kept: np.ndarray) -> float:
    """Score some of the test rows of an evaluation by the primary measure.

    Parameters
    ----------
    task : Task
        The cell.
    evaluation : Evaluation
        With status ``ok``; its threshold decides.
    prediction : Prediction
        Of :func:`outer_prediction`.
    kept : ndarray of shape (n_test,), bool
        Which test rows are scored.

    Returns
    -------
    float
        NaN where the measure is undefined, and where the kept rows lack a class that the test rows have.
    """
    test = task.cell.split.test
    y, values, amount = task.dataset.y[test], prediction.values[kept], task.dataset.amount
    if len(np.unique(y[kept])) < len(np.unique(y)):
        return math.nan
    compared, rule = task.compared(evaluation.params, values), threshold_rule(task)[0]
    amounts = None if amount is None else amount[test][kept]
    of_study, is_probability = [task.primary], prediction.is_probability
    try:
        scored = task.decisions.score(
            of_study, rule, evaluation.threshold, y[kept], values, compared, is_probability, amounts
        )
    except measures.MeasureFailed:
        return math.nan
    score = scored["scores"][task.primary.name]
    return math.nan if score is None else float(score)


def outer_requests(task: Task, evaluation: Evaluation) -> list[FitRequest]:
    """List the requests that :func:`outer_prediction` makes; empty for an evaluation without scores."""
    if evaluation.status != "ok":
        return []
    split = task.cell.split
    inner = task.pairs if decisions.is_learned(task.cell.strategy.calibration) else ()
    return [task.request(evaluation.params, *pair) for pair in ((split.train, split.test), *inner)]


def prior_corrected(task: Task, evaluation: Evaluation, prediction: Prediction) -> np.ndarray | None:
    """Correct test probabilities of :func:`outer_prediction` for the positive share of the training rows.

    None if the strategy calibrates by itself, or if the share that the learner received is unknown.
    """
    strategy, learner = task.cell.strategy, task.cell.learner
    is_calibrated = strategy.calibration != "none" or not prediction.is_probability
    if is_calibrated or decisions.prior_inapplicable_reason(strategy, learner):
        return None
    share, reached = float(task.dataset.y[task.cell.split.train].mean()), prediction.reached
    weight: Any = evaluation.params.get("weight")
    received = decisions.weighted_share(reached["negative"], reached["positive"], weight)
    return correct_prior(prediction.values, share, received)


def share_nearer_to_majority(request: FitRequest, prepared: PreparedRows) -> tuple[float, int] | None:
    """Return the share of synthetic rows whose nearest real row is a majority row, and the number of synthetic rows.

    Euclidean distance between the rows as the learner reads them; a tie counts for the minority. Synthetic are the
    minority rows that equal no real row: copies do not count. Beyond 20 million distances evenly spaced rows represent
    all. None without a synthetic row.
    """
    if request.sampler is None:
        return None
    X, y = prepared.resampler.resample(request.sampler, request.knobs, request.seed)
    rare = int(2 * prepared.y.sum() <= len(prepared.y))
    real = prepared.encode(prepared.X)
    return _share_nearer_to_others(prepared.encode(X[y == rare]), real, prepared.y == rare)


def shares_nearer_to_another_class(request: FitRequest, prepared: PreparedRows) -> dict[int, tuple[float, int]]:
    """Return for every class the share of its synthetic rows whose nearest real row is of another class.

    As :func:`share_nearer_to_majority`, with the number of synthetic rows; classes without one are left out.
    """
    if request.sampler is None:
        return {}
    X, y = prepared.resampler.resample(request.sampler, request.knobs, request.seed)
    real = prepared.encode(prepared.X)
    shares = {int(c): _share_nearer_to_others(prepared.encode(X[y == c]), real, prepared.y == c) for c in np.unique(y)}
    return {c: share for c, share in shares.items() if share is not None}


def _share_nearer_to_others(rows: np.ndarray, real: np.ndarray, is_same: np.ndarray) -> tuple[float, int] | None:
    """Return the share of the rows that are synthetic and nearer to a real row of another class, and their number."""
    synthetic = np.flatnonzero(~find_copies(rows, real))
    if not len(synthetic):
        return None
    sample = rows[synthetic[:: max(1, -(-len(synthetic) * len(real) // MAX_DISTANCES))]]
    same, others = (_nearest_distances(real, mask, sample) for mask in (is_same, ~is_same))
    return float(np.mean(others < same)), len(synthetic)


def find_copies(rows: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """Return which rows equal one of the originals."""
    # Equal rows have equal sums: only rows with a common sum are compared in full, without copies of a large table.
    sums, original_sums = _row_sums(rows), _row_sums(originals)
    is_copy = np.isin(sums, original_sums)
    is_copy[is_copy] = np.isin(_row_keys(rows[is_copy]), _row_keys(originals[np.isin(original_sums, sums)]))
    return is_copy


def _row_sums(X: np.ndarray) -> np.ndarray:
    """Return a weighted sum of each row, added column by column, so that the position of a row changes no bit."""
    sums = np.zeros(len(X))
    for column, weight in enumerate(np.sqrt(np.arange(2, X.shape[1] + 2))):
        sums += X[:, column] * weight
    return sums


def _row_keys(X: np.ndarray) -> np.ndarray:
    """Return one comparable value per row; zeros of either sign are equal."""
    rows = np.ascontiguousarray(X + 0.0)
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


def _nearest_distances(rows: np.ndarray, mask: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Return the distance of each query to the nearest of the masked rows, block by block.

    A matrix product finds the nearest; only its distance is measured, so that equal rows are equally far.
    """
    least, nearest = np.full(len(queries), np.inf), np.empty_like(queries)
    step = max(1, DISTANCE_BLOCK_SIZE // len(queries))
    for start in range(0, len(rows), step):
        block = rows[start : start + step][mask[start : start + step]]
        if not len(block):
            continue
        # The square of a distance without the constant of the query.
        squares = np.einsum("ij,ij->i", block, block) - 2 * queries @ block.T
        position = squares.argmin(axis=1)
        value = squares[np.arange(len(queries)), position]
        closer = value < least
        least[closer], nearest[closer] = value[closer], block[position[closer]]
    return np.asarray(np.sqrt(((queries - nearest) ** 2).sum(axis=1)))


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
    """Yield the scores of every outer fold of one repeat; its name says what it is.

    Parameters
    ----------
    dataset : Dataset
        The table; see :func:`twin_problem` for those that cannot be used.
    plan : sequence of Split
        The folds of one repeat.
    learner : Learner
        With its fixed parameters.
    sampler : OverSampler
        One of :func:`over_samplers`.
    measures : sequence of Measure
        None of them reads amounts. Rows are called positive from .5 on.
    seed : int
        Seed of the study; everything random in repeat r gets ``seed + r``.

    Raises
    ------
    FitFailed
        If a fit fails, or the sampler removes rows as well, so that original rows are not told from synthetic ones.
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
