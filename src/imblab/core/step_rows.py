"""Record of the rows that enter every step: imputer, scaler, encoder, sampler, learner, threshold, calibration.

Each step notes its input where it learns from it. Outside of a recording that does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

#: The steps of a fit that learn from rows of the table, in their order.
IMPUTER, SCALER, CATEGORIES, RARE_LEVELS, ENCODER, SAMPLER, LEARNER = FIT_STEPS = (
    *("imputer", "scaler", "most frequent categories", "rare levels", "one-hot encoder", "sampler", "learner"),
)
#: The steps of an evaluation that learn from the predictions of inner validation rows.
THRESHOLD, CALIBRATION = CHOICE_STEPS = ("threshold", "calibration")


@dataclass(frozen=True, slots=True, eq=False)
class StepRows:
    """The rows that entered a step, as they were then."""

    step: str  # one of :data:`FIT_STEPS` or :data:`CHOICE_STEPS`
    #: (n_rows, n_columns): the values, prepared as far as the steps before do; the predictions of a step that reads
    #: these
    X: np.ndarray
    y: np.ndarray | None = None  # (n_rows,): labels, if the step reads them


#: The recordings under way; the last one receives the rows.
_RECORDINGS: list[list[StepRows]] = []


def note_rows(step: str, X: np.ndarray, y: np.ndarray | None = None) -> None:
    """Note the rows that a step learns from, as a copy; nothing outside of a recording."""
    if _RECORDINGS:
        _RECORDINGS[-1].append(StepRows(step, np.array(X), None if y is None else np.array(y)))


def note_folds(step: str, folds: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
    """Note the labels and values of several folds, in their order."""
    if _RECORDINGS:
        y, values = (np.concatenate(part) for part in zip(*folds, strict=True))
        note_rows(step, values, y)


@contextmanager
def recorded_steps() -> Iterator[list[StepRows]]:
    """Record the rows of every step in this process; a recording inside another one keeps its rows from it.

    Examples
    --------
    >>> with recorded_steps() as steps:
    ...     note_rows("scaler", np.ones((2, 1)))
    >>> [(each.step, len(each.X)) for each in steps]
    [('scaler', 2)]
    """
    steps: list[StepRows] = []
    _RECORDINGS.append(steps)
    try:
        yield steps
    finally:
        _RECORDINGS.pop()
