"""What a study will do, counted before anything runs: candidates, fits, and what does not apply."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from imblab.core import design, pipelines, spaces
from imblab.core.splits import Pair
from imblab.records import Cell, Dataset, Make, Measure, Scalar, Study


@dataclass(frozen=True, slots=True)
class Refusal:
    """A candidate, or a whole cell, that does not apply.

    Attributes
    ----------
    dataset, learner, strategy : str
    repeat, fold : int
    params : mapping or None
        None where the strategy does not apply whatever its knobs.
    reason : str
    """

    dataset: str
    learner: str
    strategy: str
    repeat: int
    fold: int
    params: Mapping[str, Scalar] | None
    reason: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """The work behind some cells that share a data set, a learner and a split.

    Attributes
    ----------
    fits : int
        Distinct fits; an upper bound where candidates are drawn rather than listed.
    shared : int
        Fits that strategies have in common and that are therefore done once.
    refusals : tuple of Refusal
    """

    fits: int
    shared: int
    refusals: tuple[Refusal, ...]


def forecast(
    study: Study, dataset: Dataset, cells: Iterable[Cell], pairs: Sequence[Pair], primary: Measure
) -> Forecast:
    """Count the fits of cells that share a data set, a learner and a split.

    Parameters
    ----------
    study : Study
    dataset : Dataset
    cells : iterable of Cell
    pairs : sequence of (ndarray, ndarray)
        Their inner rows.
    primary : Measure

    Returns
    -------
    Forecast
    """
    known: set[tuple[str, int]] = set()
    asked, drawn, refusals = 0, 0, []
    for cell in cells:
        reason = design.barrier(cell.strategy, cell.learner, dataset, primary)
        if reason:
            refusals.append(_refusal(cell, None, reason))
            continue
        applies, refused = _candidates(study, dataset, cell, pairs)
        refusals += [_refusal(cell, params, reason) for params, reason in refused]
        if applies is None:
            drawn += (study.tuning.n_trials or 0) * len(pairs) + 1
            continue
        fits = _fits(study, dataset, cell, applies, len(pairs))
        asked += len(fits) + bool(applies)
        known |= fits
        # Which candidate is refit is known afterwards only; a lone candidate is.
        known |= (
            {(_text(dataset, cell, applies[0] if len(applies) == 1 else {"cell": cell.key}), -1)} if applies else set()
        )
    return Forecast(len(known) + drawn, asked - len(known), tuple(refusals))


def _candidates(
    study: Study, dataset: Dataset, cell: Cell, pairs: Sequence[Pair]
) -> tuple[list[dict[str, Scalar]] | None, list[tuple[dict[str, Scalar], str]]]:
    """The candidates of a grid that apply, None where they are drawn; and those that do not, with reasons."""
    searched = spaces.axes(cell.strategy, cell.learner, study.tuning.tune_learner)
    if searched and study.tuning.method != "grid":
        return None, []
    still = spaces.fixed(cell.strategy)
    where = design.parts(dataset, cell.split, pairs)
    sampler = pipelines.form(cell.strategy.sampler, dataset)
    applies, refused = [], []
    for candidate in spaces.grid(searched):
        params = spaces.complete(still, candidate)
        reason = design.obstacle(params, sampler, where)
        if reason:
            refused.append((params, reason))
        else:
            applies.append(params)
    return applies, refused


def _fits(
    study: Study, dataset: Dataset, cell: Cell, applies: Sequence[Mapping[str, Scalar]], inner: int
) -> set[tuple[str, int]]:
    """The inner fits of a cell; none where there is nothing to choose."""
    searched = spaces.axes(cell.strategy, cell.learner, study.tuning.tune_learner)
    chooses = bool(searched) or spaces.cuts(cell.strategy) is not None
    if not chooses and isinstance(cell.strategy.threshold, (int, float)):
        return set()
    return {(_text(dataset, cell, params), fold) for params in applies for fold in range(inner)}


def _text(dataset: Dataset, cell: Cell, params: Mapping[str, Scalar]) -> str:
    sampler: Make | None = pipelines.form(cell.strategy.sampler, dataset)
    return json.dumps([sampler, params], sort_keys=True, default=dict)


def _refusal(cell: Cell, params: Mapping[str, Scalar] | None, reason: str) -> Refusal:
    split = cell.split
    return Refusal(cell.dataset, cell.learner.name, cell.strategy.name, split.repeat, split.fold, params, reason)
