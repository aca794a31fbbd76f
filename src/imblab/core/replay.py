"""What a finished study answered, asked again: nothing is decided, and whoever gives ``predict`` need not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from imblab.core import calibration, splits
from imblab.core.evaluate import FAILED_FOLD, FAILED_REFIT, Predict, Task, calibrate_prediction, validation_predictions
from imblab.core.fitting import FitFailed, FitRequest, Prediction
from imblab.core.preparation import PreparedRows
from imblab.result import Evaluation
from imblab.stats.calibration_maps import correct_prior, received_share
from imblab.study import Cell, Dataset, Scalar, Split, Study

if TYPE_CHECKING:
    from imblab.core.splits import RowPair

#: Distances that are measured at most, to say where synthetic rows fall; beyond, evenly spaced rows stand for all.
MAX_DISTANCES = 20_000_000
DISTANCE_BLOCK_SIZE = 100_000


class MissingPrediction(Exception):
    """An atom whose answer is not kept.

    Parameters
    ----------
    atom : FitRequest
    """

    def __init__(self, atom: FitRequest) -> None:
        super().__init__(atom.address)
        self.atom = atom


def lookup_only(get: Callable[[str], Prediction | None], failures: Mapping[str, str] | None = None) -> Predict:
    """A ``predict`` that looks up and never fits.

    Parameters
    ----------
    get : callable
        Gives what is known of an address, or None.
    failures : mapping of str to str, optional
        Fits that failed, by address, with the reason; see :func:`recorded_failures`.

    Returns
    -------
    callable
        Raises :class:`MissingPrediction` where nothing is known, and ``FitFailed`` where that is.
    """

    def predict(atom: FitRequest) -> Prediction:
        found = get(atom.address)
        if found is not None and len(found.values) != len(atom.rows):  # a damaged store
            found = None
        if found is None and failures is not None and atom.address in failures:
            raise FitFailed(failures[atom.address])
        if found is None:
            raise MissingPrediction(atom)
        return found

    return predict


def recorded_failures(task: Task, row: Evaluation) -> dict[str, str]:
    """Find the fits that a row records as failed: no store keeps them.

    Parameters
    ----------
    task : Task
        Of the row's cell.
    row : Evaluation

    Returns
    -------
    dict of str to str
        The reason by the address of the fit.
    """
    split, found = task.cell.split, {}
    for trial in row.trials:
        for i, pair in enumerate(task.pairs):
            reason = _text_after(trial.reason, FAILED_FOLD.format(i, "")) if trial.status == "failed" else None
            if reason is not None:
                found[task.request(trial.params, *pair).address] = reason
    reason = _text_after(row.error, FAILED_REFIT.format(""))
    if reason is not None and row.status == "failed":
        found[task.request(row.params, split.train, split.test).address] = reason
    return found


def _text_after(text: str | None, start: str) -> str | None:
    """What follows the start of a text; None where it starts otherwise."""
    return text.removeprefix(start) if text is not None and text.startswith(start) else None


def replay_tasks(
    study: Study, dataset: Dataset, plan: Sequence[Split], cells: Iterable[Cell], predict: Predict
) -> Iterator[Task]:
    """Cells of one data set with what their kernel reads.

    Parameters
    ----------
    study : Study
    dataset : Dataset
    plan : sequence of Split
        The whole plan of the data set.
    cells : iterable of Cell
    predict : callable

    Yields
    ------
    Task
    """
    known: dict[str, tuple[RowPair, ...]] = {}
    for cell in cells:
        if cell.split.fingerprint not in known:
            known[cell.split.fingerprint] = splits.inner_pairs(dataset, study.protocol, study.seed, cell.split, plan)
        yield Task(cell, study, dataset, known[cell.split.fingerprint], predict)


def outer_prediction(task: Task, row: Evaluation) -> Prediction:
    """The prediction for the test rows that a row was scored on.

    Parameters
    ----------
    task : Task
    row : Evaluation
        Of this cell, with status ``ok``.

    Returns
    -------
    Prediction
    """
    split = task.cell.split
    return calibrate_prediction(task, row.params, task.predict_rows(row.params, split.train, split.test))


def prior_corrected(task: Task, row: Evaluation, prediction: Prediction) -> np.ndarray | None:
    """The test probabilities of a row for the positive share of the training rows.

    Parameters
    ----------
    task : Task
    row : Evaluation
    prediction : Prediction
        Of :func:`outer_prediction`.

    Returns
    -------
    ndarray of shape (n_test,) or None
        None where the strategy calibrates by itself, or nobody knows what would have to be undone.
    """
    strategy, learner = task.cell.strategy, task.cell.learner
    if (
        strategy.calibration != "none"
        or calibration.prior_inapplicable_reason(strategy, learner)
        or not prediction.is_probability
    ):
        return None
    share = float(task.dataset.y[task.cell.split.train].mean())
    reached = prediction.reached
    received = received_share(reached["negative"], reached["positive"], row.params.get("weight"))
    return correct_prior(prediction.values, share, received)


def inner_predictions(task: Task, params: Mapping[str, Scalar]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Labels and predictions of the inner validation folds of one candidate.

    Parameters
    ----------
    task : Task
    params : mapping
        Flat knobs, such as those of a trial.

    Returns
    -------
    list of (y, values)
        On the scale of :meth:`imblab.core.evaluate.Task.scale`.
    """
    return validation_predictions(task, params)


def share_nearer_to_majority(atom: FitRequest, prepared: PreparedRows) -> tuple[float, int] | None:
    """Where the rows fall that a sampler made: the share whose nearest real row is a majority row.

    Euclidean distance between the rows as the learner reads them; a tie counts for the minority. Made are the minority
    rows that equal no real row: copies are none. Beyond 20 million distances evenly spaced rows stand for all.

    Parameters
    ----------
    atom : FitRequest
    prepared : PreparedRows
        Of ``atom.fit``.

    Returns
    -------
    tuple of (float, int) or None
        The share and the number of rows made; None where none was.
    """
    if atom.sampler is None:
        return None
    X, y = prepared.resampler.resample(atom.sampler, atom.knobs, atom.seed)
    rare = int(2 * prepared.y.sum() <= len(prepared.y))
    real, candidates = prepared.encode(prepared.X), prepared.encode(X[y == rare])
    made = candidates[~_find_copies(candidates, real)]
    if not len(made):
        return None
    seen = made[:: max(1, -(-len(made) * len(real) // MAX_DISTANCES))]
    minority, majority = (_nearest_distances(real, prepared.y == label, seen) for label in (rare, 1 - rare))
    return float(np.mean(majority < minority)), len(made)


def _find_copies(asked: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Which of the rows asked about equal one of the others."""
    # Equal rows have equal sums: only what shares its sum is compared in full, which spares copies of a large table.
    mine, theirs = _row_sums(asked), _row_sums(rows)
    found = np.isin(mine, theirs)
    found[found] = np.isin(_row_keys(asked[found]), _row_keys(rows[np.isin(theirs, mine)]))
    return found


def _row_sums(X: np.ndarray) -> np.ndarray:
    """A weighted sum of each row, added column by column, so that the place of a row changes no bit."""
    found = np.zeros(len(X))
    for column, weight in enumerate(np.sqrt(np.arange(2, X.shape[1] + 2))):
        found += X[:, column] * weight
    return found


def _row_keys(X: np.ndarray) -> np.ndarray:
    """One comparable value a row; zeros of either sign are equal."""
    rows = np.ascontiguousarray(X + 0.0)
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


def _nearest_distances(rows: np.ndarray, among: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Distance to the nearest of some rows; part by part, so that products stay in a processor's cache.

    A matrix product finds the nearest; only its distance is measured, so that equal rows are equally far.
    """
    least, nearest = np.full(len(asked), np.inf), np.empty_like(asked)
    step = max(1, DISTANCE_BLOCK_SIZE // len(asked))
    for part, those in ((rows[i : i + step], among[i : i + step]) for i in range(0, len(rows), step)):
        if not those.any():
            continue
        some = part[those]
        # The square of a distance, but for that of the row asked about.
        found = np.einsum("ij,ij->i", some, some) - 2 * asked @ some.T
        at = found.argmin(axis=1)
        value = found[np.arange(len(asked)), at]
        closer = value < least
        least[closer], nearest[closer] = value[closer], some[at[closer]]
    return np.asarray(np.sqrt(((asked - nearest) ** 2).sum(axis=1)))
