"""The cells of a study before anything runs: their table, their addresses, and what cannot be run.

Inapplicable combinations are found here: a ratio that is already there, a k that the smallest minority cannot serve, a
weight for a learner that takes none. Such a candidate is left out and reported; it is never changed and never counted
as "none".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imblab.core import decisions, estimator_specs, own_code, sampling, search
from imblab.core.classes import CLEANING, OVER_SAMPLING, class_targets
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

#: Samplers of imbalanced-learn that measure no distances.
WITHOUT_DISTANCES = ("InstanceHardnessThreshold", "RandomOverSampler", "RandomUnderSampler")


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """Class counts of a set of rows on which something is fitted."""

    name: str  # what the rows are, for messages
    counts: tuple[int, ...]  # rows of each class
    #: the labels behind the class indices; they are named where there are more than two
    classes: tuple[str, ...] = ("negative", "positive")

    @property
    def minority(self) -> int:
        """Rows of the rarest class."""
        return min(self.counts)

    @property
    def majority(self) -> int:
        """Rows of the most frequent class."""
        return max(self.counts)

    @property
    def extremes(self) -> tuple[str, str]:
        """The labels of the rarest and of the most frequent class; of equally frequent ones the last and the first."""
        last = len(self.counts) - 1 - self.counts[::-1].index(self.minority)
        return self.classes[last], self.classes[self.counts.index(self.majority)]


def expand_cells(study: Study, plans: Mapping[str, Sequence[Split]]) -> tuple[Cell, ...]:
    """Expand a study into its cells: data set, learner, outer split, strategy, the last varying fastest."""
    return tuple(
        Cell(dataset, learner, strategy, split)
        for dataset, splits in plans.items()
        for learner in study.learners
        for split in splits
        for strategy in study.strategies
    )


def coordinates(cell: Cell) -> tuple[str, str, str, int, int]:
    """Return the place of a cell in the design, in the order of :data:`imblab.study.COORDINATES`."""
    return cell.dataset, cell.learner.name, cell.strategy.name, cell.split.repeat, cell.split.fold


def cell_address(cell: Cell, study: Study, dataset: Dataset) -> str:
    """Return the hash of everything that may change the evaluation of a cell; claims and other cells are left out."""
    strategy, learner, protocol = cell.strategy, cell.learner, study.protocol
    has_outer_folds = protocol.test_size is None and dataset.folds is None
    content = {
        "seed": study.seed + cell.split.repeat,
        "learner": learner.make,
        "axes": {n: a.text() for n, a in search.searched_axes(strategy, learner, study.tuning.tune_learner).items()},
        "knobs": [strategy.sampler, strategy.ratio, strategy.k, strategy.weight, strategy.threshold],
        "cuts": search.threshold_grid(strategy),
        "protocol": [
            *(protocol.outer_folds if has_outer_folds else None, protocol.inner_folds, protocol.inner, protocol.gap)
        ],
        "thresholds": [protocol.thresholds, protocol.threshold_measure],
        "search": [study.tuning.method, study.tuning.n_trials, study.tuning.prune],
        "primary": study.primary,
        "measures": [[m.name, m.function, m.needs, dict(m.parameters)] for m in study.measures],
    }
    # Keys that are only there where they say something, so that older addresses hold.
    optional = {
        "calibration": decisions.address_part(strategy, learner),
        "class": decisions.named_class(strategy.threshold, dataset.classes),
        "scores": DECISION_VALUE if _may_give_decision_values(learner, study.tuning.tune_learner) else None,
        "code": own_code.code_names(*specs_and_functions(cell, study)),
    }
    content |= {key: value for key, value in optional.items() if value}
    return fingerprint(dataset.fingerprint, cell.split.fingerprint, content)


def _may_give_decision_values(learner: Learner, tune_learner: bool) -> bool:
    """Return whether a learner gives no probabilities, as it stands or with a parameter that is searched."""
    axes = learner.space.items() if tune_learner else ()
    tuned = ({**learner.make, name: v} for name, axis in axes if isinstance(axis, Choice) for v in axis.values)
    return not all(estimator_specs.gives_probabilities(make) for make in (learner.make, *tuned))


def specs_and_functions(cell: Cell, study: Study) -> tuple[list[Make | None], list[str]]:
    """Return the estimator specifications, and the paths of measures and calibrations, that a cell depends on."""
    return [cell.learner.make, cell.strategy.sampler], _function_paths(study, [cell.strategy])


def named_code_paths(study: Study) -> list[str]:
    """List the dotted paths of all classes and functions that a study names."""
    makes = [*(item.make for item in study.learners), *(item.sampler for item in study.strategies)]
    return own_code.code_paths(makes, _function_paths(study, study.strategies))


def _function_paths(study: Study, strategies: Iterable[Strategy]) -> list[str]:
    return [
        *(m.function for m in study.measures),
        *(s.calibration for s in strategies if decisions.is_class(s.calibration)),
    ]


def check_plain_parameters(study: Study) -> None:
    """Refuse learners and samplers whose parameters cannot be written as JSON: a ConfigError names all of them."""
    makes: list[tuple[str, Make | None]] = [(f"learner.{item.name}.make", item.make) for item in study.learners]
    makes += [(f"strategy.{item.name}.sampler", item.sampler) for item in study.strategies]
    objects = [pair for where, make in makes for pair in _find_objects(make, where)]
    if objects:
        listed = ", ".join(f"{where!r} is {type(value).__name__} {str(value)[:40]!r}" for where, value in objects)
        raise ConfigError(
            f"{listed}; parameters of a study are numbers, texts, truth values, lists and mappings, because its files "
            "and addresses say what was run. Write an estimator as {'_target_': 'package.Class'}."
        )


def _find_objects(value: Any, where: str) -> list[tuple[str, Any]]:
    """Return the values that cannot be written as JSON, with their place."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return []
    if isinstance(value, Mapping):
        return [pair for key, item in value.items() for pair in _find_objects(item, f"{where}.{key}")]
    if isinstance(value, (list, tuple)):
        return [pair for i, item in enumerate(value) for pair in _find_objects(item, f"{where}[{i}]")]
    return [(where, value)]


def fitted_parts(dataset: Dataset, split: Split, pairs: Iterable[RowPair]) -> tuple[ClassCounts, ...]:
    """Count the classes of every inner fit part and of the outer training rows: a candidate must suit them all."""
    parts = [(f"inner fit part {i}", fit) for i, (fit, _) in enumerate(pairs)]
    return tuple(
        ClassCounts(name, tuple(np.bincount(dataset.y[rows], minlength=len(dataset.classes)).tolist()), dataset.classes)
        for name, rows in (*parts, ("the outer training part", split.train))
    )


def cell_inapplicable_reason(strategy: Strategy, learner: Learner, dataset: Dataset, primary: Measure) -> str | None:
    """Say why a strategy cannot be run with a learner and a data set, whichever its knobs; None if it can."""
    if strategy.sampler is not None and sampling.sampler_for_columns(strategy.sampler, dataset) is None:
        package, _, kind = strategy.sampler["_target_"].rpartition(".")
        measures = package.startswith("imblearn.") and kind not in WITHOUT_DISTANCES
        why = f"{kind} {'measures distances and ' if measures else ''}has no form for the categorical columns of"
        return f"{why} {dataset.name!r}"
    if "weight" in strategy.knobs and not learner.traits.takes_sample_weight:
        return f"the fit of learner {learner.name!r} takes no sample_weight"
    if decisions.needs_amount(strategy.threshold) and dataset.amount is None:
        return f"the threshold of {strategy.name!r} costs amounts, and {dataset.name!r} has no amount column"
    needs = {f"primary {primary.name!r}": primary.needs == "probability"}
    needs |= {f"the threshold of {strategy.name!r}": decisions.needs_probability(strategy.threshold)}
    for what in (name for name, needed in needs.items() if needed):
        if not decisions.has_probabilities(strategy, learner):
            return f"{what} needs probabilities and learner {learner.name!r} gives decision values only"
    return None


def candidate_inapplicable_reason(
    params: Mapping[str, Scalar], sampler: Make | None, parts: Iterable[ClassCounts]
) -> str | None:
    """Say why a candidate cannot be fitted on some part, with the numbers; None if it can.

    Examples
    --------
    >>> smote, part = {"_target_": "imblearn.over_sampling.SMOTE"}, ClassCounts("inner fit part 0", (100, 5))
    >>> candidate_inapplicable_reason({"k": 5}, smote, [part])
    'k=5 needs more than 5 minority rows, and inner fit part 0 holds 5'
    >>> candidate_inapplicable_reason({"ratio": 0.05}, smote, [part])
    'ratio=0.05 is at or below the ratio 0.05 (5 to 100 rows) already there in inner fit part 0'
    >>> part = ClassCounts("inner fit part 0", (100, 40, 5), ("cyt", "nuc", "erl"))
    >>> candidate_inapplicable_reason({"k": 5}, smote, [part])
    "k=5 needs more than 5 rows of class 'erl', and inner fit part 0 holds 5"
    >>> candidate_inapplicable_reason({"weight": 10}, None, [part])
    'a plain weight is that of a positive row, and there are 3 classes; weigh them by balanced or {power: 0.5}'
    """
    parts, weight = list(parts), params.get("weight")
    if isinstance(weight, (int, float)) and (n_classes := max(len(part.counts) for part in parts)) > 2:
        return (
            f"a plain weight is that of a positive row, and there are {n_classes} classes; weigh them by balanced or "
            "{power: 0.5}"
        )
    if sampler is None:
        return None
    kind, ratio, k = estimator_specs.sampling_type(sampler), params.get("ratio"), params.get("k")
    for part in parts:
        # None: a user's class need not declare its kind.
        targets = class_targets(part.counts, ratio, kind) if isinstance(ratio, (int, float)) else None
        if isinstance(ratio, (int, float)) and targets == {}:
            return _describe_ratio(ratio, part, kind)
        if isinstance(k, (int, float)) and k >= part.minority and _is_bounded(kind, part):
            rows = "minority rows" if len(part.counts) == 2 else f"rows of class {part.extremes[0]!r}"
            return f"k={k} needs more than {k} {rows}, and {part.name} holds {part.minority}"
    return None


def _is_bounded(kind: str, part: ClassCounts) -> bool:
    """Whether k must be below the rarest class: it is raised wherever any is, and NearMiss measures distances to it.

    Cleaning searches among all rows; with two classes the bound holds for it too.
    """
    return kind != CLEANING or len(part.counts) == 2


def _describe_ratio(ratio: float, part: ClassCounts, kind: str) -> str:
    """Say that a ratio changes no class of a part."""
    present = f"{part.minority / part.majority:.3g} ({part.minority} to {part.majority} rows)"
    if len(part.counts) > 2:
        (rarest, largest), verb = part.extremes, "adds" if kind == OVER_SAMPLING else "drops"
        return f"ratio={ratio:g} {verb} no row: the ratio of {rarest!r} to {largest!r} is {present} in {part.name}"
    if ratio > part.minority / part.majority:
        return f"ratio={ratio:g} is less than one row away from the ratio {present} already there in {part.name}"
    return f"ratio={ratio:g} is at or below the ratio {present} already there in {part.name}"
