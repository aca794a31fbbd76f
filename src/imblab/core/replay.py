"""Replay of a finished study from stored predictions: nothing is decided and nothing needs to be fitted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from imblab.core import decisions, measures, splits
from imblab.core.evaluate import FAILED_FOLD, FAILED_REFIT, Predict, Task, calibrate_prediction, threshold_rule
from imblab.core.fitting import FitRequest, Prediction
from imblab.core.preparation import PreparedRows
from imblab.core.splits import RowPair
from imblab.errors import FitFailed
from imblab.result import Evaluation
from imblab.stats.probabilities import correct_prior
from imblab.study import Cell, Dataset, Split, Study

#: Distances that are measured at most to locate synthetic rows; beyond, evenly spaced rows represent all.
MAX_DISTANCES = 20_000_000
#: Distances that are measured together, so that they stay in a processor's cache.
DISTANCE_BLOCK_SIZE = 100_000


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
    """Score the test rows ``kept`` of an evaluation by the primary measure, at its threshold.

    The prediction is :func:`outer_prediction`. NaN where the measure is undefined, and where the kept rows lack a class
    that the test rows have.
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
    received = decisions.weighted_share(reached["negative"], reached["positive"], evaluation.params.get("weight"))
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
