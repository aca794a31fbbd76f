"""The design: every cell of a study as a table that exists before anything runs, and what cannot be asked of it.

*Inapplicable* is found here: a ratio that is already there, a k that the smallest minority cannot serve, a weight for
a learner that takes none. Such a candidate is left out and reported; it is never changed and never counted as "none".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imblab.core import calibration, estimator_specs, own_code, sampling, search, thresholds
from imblab.core.splits import RowPair
from imblab.errors import ConfigError
from imblab.study import (
    DECISION_VALUE,
    Cell,
    Choice,
    Dataset,
    Learner,
    Make,
    Measure,
    Scalar,
    Split,
    Strategy,
    Study,
    fingerprint,
)


@dataclass(frozen=True, slots=True)
class Part:
    """The class counts of one set of rows that something is fitted on.

    Attributes
    ----------
    name : str
    minority, majority : int
    """

    name: str
    minority: int
    majority: int


def expand(study: Study, plans: Mapping[str, Sequence[Split]]) -> tuple[Cell, ...]:
    """Lay out the cross product of a study: data set, learner, outer split, strategy.

    Parameters
    ----------
    study : Study
    plans : mapping of str to sequence of Split
        The outer splits by the name of the data set.

    Returns
    -------
    tuple of Cell
    """
    return tuple(
        Cell(dataset, learner, strategy, split)
        for dataset, splits in plans.items()
        for learner in study.learners
        for split in splits
        for strategy in study.strategies
    )


def address(cell: Cell, study: Study, dataset: Dataset) -> str:
    """Hash of everything that may change the row of a cell; claims and other cells stay outside.

    Parameters
    ----------
    cell : Cell
    study : Study
    dataset : Dataset

    Returns
    -------
    str
    """
    strategy, learner, protocol = cell.strategy, cell.learner, study.protocol
    asked = {
        "seed": study.seed + cell.split.repeat,
        "learner": learner.make,
        "axes": {n: a.text() for n, a in search.searched_axes(strategy, learner, study.tuning.tune_learner).items()},
        "knobs": [strategy.sampler, strategy.ratio, strategy.k, strategy.weight, strategy.threshold],
        "cuts": search.threshold_grid(strategy),
        "protocol": [protocol.outer_folds, protocol.inner_folds, protocol.inner, protocol.gap],
        "thresholds": [protocol.thresholds, protocol.threshold_measure],
        "search": [study.tuning.method, study.tuning.n_trials, study.tuning.prune],
        "primary": study.primary,
        **({"calibration": set_right} if (set_right := calibration.address_part(strategy, learner)) else {}),
        **({"scores": DECISION_VALUE} if _gives_decision_values(learner, study.tuning.tune_learner) else {}),
        "measures": [[m.name, m.function, m.needs, dict(m.parameters)] for m in study.measures],
        **({"code": code} if (code := own_code.code_names(*written(cell, study))) else {}),
    }
    return fingerprint(dataset.fingerprint, cell.split.fingerprint, asked)


def _gives_decision_values(learner: Learner, tune_learner: bool) -> bool:
    """Whether a learner may give no probabilities, as it stands or with a parameter that is searched."""
    axes = learner.space.items() if tune_learner else ()
    tuned = ({**learner.make, name: v} for name, axis in axes if isinstance(axis, Choice) for v in axis.values)
    return not all(estimator_specs.gives_probabilities(make) for make in (learner.make, *tuned))


def written(cell: Cell, study: Study) -> tuple[list[Make | None], list[str]]:
    """Return the texts of estimators, and the paths of measures and calibrations, that the row of a cell rests on."""
    return [cell.learner.make, cell.strategy.sampler], _paths(study, [cell.strategy])


def code_paths(study: Study) -> list[str]:
    """List the dotted paths of all classes and functions that a study names."""
    makes = [*(item.make for item in study.learners), *(item.sampler for item in study.strategies)]
    return own_code.code_paths(makes, _paths(study, study.strategies))


def _paths(study: Study, strategies: Iterable[Strategy]) -> list[str]:
    """The functions of measures and the classes of calibrations."""
    return [
        *(m.function for m in study.measures),
        *(s.calibration for s in strategies if calibration.is_class(s.calibration)),
    ]


def check_texts(study: Study) -> None:
    """Refuse estimators whose parameters are no text: addresses and files of a study say what was run.

    Raises
    ------
    ConfigError
        For functions and objects in the parameters of learners and samplers; all of them are named.
    """
    makes: list[tuple[str, Make | None]] = [(f"learner.{item.name}.make", item.make) for item in study.learners]
    makes += [(f"strategy.{item.name}.sampler", item.sampler) for item in study.strategies]
    found = [pair for where, make in makes for pair in _objects(make, where)]
    if found:
        listed = ", ".join(f"{where!r} is {type(value).__name__} {str(value)[:40]!r}" for where, value in found)
        raise ConfigError(
            f"{listed}; parameters of a study are numbers, texts, truth values, lists and mappings, because its files "
            "and addresses say what was run. Write an estimator as {'_target_': 'package.Class'}."
        )


def _objects(value: Any, where: str) -> list[tuple[str, Any]]:
    """Values that cannot be written as JSON, with the place where they stand."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return []
    if isinstance(value, Mapping):
        return [pair for key, item in value.items() for pair in _objects(item, f"{where}.{key}")]
    if isinstance(value, (list, tuple)):
        return [pair for i, item in enumerate(value) for pair in _objects(item, f"{where}[{i}]")]
    return [(where, value)]


def parts(dataset: Dataset, split: Split, pairs: Iterable[RowPair]) -> tuple[Part, ...]:
    """The sets of rows that a candidate must suit: every inner fit part and the outer training rows."""
    named = [(f"inner fit part {i}", fit) for i, (fit, _) in enumerate(pairs)]
    return tuple(_part(name, dataset.y[rows]) for name, rows in (*named, ("the outer training part", split.train)))


def barrier(strategy: Strategy, learner: Learner, dataset: Dataset, primary: Measure) -> str | None:
    """Why a strategy cannot be asked of a learner and a table at all, whatever its knobs.

    Returns
    -------
    str or None
        A reason in words; None where nothing stands in the way.
    """
    if strategy.sampler is not None and sampling.sampler_for_columns(strategy.sampler, dataset) is None:
        kind = strategy.sampler["_target_"].rsplit(".", 1)[-1]
        return f"{kind} measures distances and has no form for the categorical columns of {dataset.name!r}"
    weighs = strategy.weight is not None or "weight" in strategy.space
    if weighs and not learner.traits.takes_sample_weight:
        return f"the fit of learner {learner.name!r} takes no sample_weight"
    if thresholds.needs_amount(strategy.threshold) and dataset.amount is None:
        return f"the threshold of {strategy.name!r} costs amounts, and {dataset.name!r} has no amount column"
    asks = {f"primary {primary.name!r}": primary.needs == "probability"}
    asks |= {f"the threshold of {strategy.name!r}": thresholds.needs_probability(strategy.threshold)}
    for what in (name for name, needed in asks.items() if needed):
        if not calibration.has_probabilities(strategy, learner):
            return f"{what} needs probabilities and learner {learner.name!r} gives decision values only"
    return None


def obstacle(params: Mapping[str, Scalar], sampler: Make | None, where: Iterable[Part]) -> str | None:
    """Why a candidate does not apply to some part, or None.

    Parameters
    ----------
    params : mapping
        Flat knobs.
    sampler : mapping or None
    where : iterable of Part

    Returns
    -------
    str or None
        The first reason found, with its numbers.

    Examples
    --------
    >>> obstacle({"k": 5}, {"_target_": "imblearn.over_sampling.SMOTE"}, [Part("the outer training part", 5, 100)])
    'k=5 needs more than 5 minority rows, and the outer training part holds 5'
    >>> obstacle({"ratio": 0.1}, {"_target_": "imblearn.over_sampling.SMOTE"}, [Part("inner fit part 0", 20, 100)])
    'ratio=0.1 is at or below the ratio 0.2 (20 to 100 rows) already there in inner fit part 0'
    """
    if sampler is None:
        return None
    cls: Any = estimator_specs.resolve_class(sampler["_target_"], allow=None)
    suits = _SUITS.get(getattr(cls, "_sampling_type", ""))  # a class of one's own need not declare its type
    for part in where:
        ratio, k = params.get("ratio"), params.get("k")
        if isinstance(ratio, (int, float)) and suits is not None and not suits(part, ratio):
            there = f"{part.minority / part.majority:.3g} ({part.minority} to {part.majority} rows)"
            if ratio > part.minority / part.majority:
                return f"ratio={ratio:g} is less than one row away from the ratio {there} already there in {part.name}"
            return f"ratio={ratio:g} is at or below the ratio {there} already there in {part.name}"
        if isinstance(k, (int, float)) and k >= part.minority:
            return f"k={k} needs more than {k} minority rows, and {part.name} holds {part.minority}"
    return None


def _over(part: Part, ratio: float) -> bool:
    """imbalanced-learn makes ``int(n_majority * ratio - n_minority)`` rows and refuses to make none."""
    return int(part.majority * ratio - part.minority) >= 1


def _under(part: Part, ratio: float) -> bool:
    return int(part.minority / ratio) < part.majority


#: By the sampling type that imbalanced-learn declares; cleaning samplers have no ratio.
_SUITS: dict[str, Callable[[Part, float], bool]] = {"over-sampling": _over, "under-sampling": _under}


def _part(name: str, y: np.ndarray) -> Part:
    positive = int(y.sum())
    return Part(name, min(positive, len(y) - positive), max(positive, len(y) - positive))
