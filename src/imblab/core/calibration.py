"""Calibration of a strategy: predictions become probabilities without another fit of the learner.

``prior`` corrects the predictions of each fit for the positive share that the fit received. ``sigmoid``, ``isotonic``
and the user's own classes are fitted to inner validation predictions: the map of fold j to those of the other folds,
the map of the test rows to all of them. The formulas are in :mod:`imblab.stats.calibration_maps`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.special import logit

from imblab.core import estimator_specs
from imblab.errors import FitFailed, foreign_reason
from imblab.stats.calibration_maps import CalibrationMap, correct_prior, fit_isotonic, fit_sigmoid, received_share
from imblab.stats.counts import LabelledValues
from imblab.study import Learner, Make, Strategy

#: What `Strategy.calibration` may be, in addition to the dotted path of a class; see :func:`is_class`.
CALIBRATIONS = ("none", "prior", "sigmoid", "isotonic")
#: What `Strategy.prior_correction` may be.
CORRECTIONS = ("exact", "approximate", "inapplicable")
#: Positives of the outer training part below which a calibration is not fitted.
MIN_POSITIVES = {"isotonic": 50}

#: Calibrations that are fitted to inner validation predictions.
_FITTED: dict[str, Callable[[np.ndarray, np.ndarray], CalibrationMap]] = {
    "sigmoid": fit_sigmoid,
    "isotonic": fit_isotonic,
}
_SMALLEST = np.finfo(np.float64).tiny
_LARGEST = 1 - np.finfo(np.float64).epsneg


def is_learned(kind: str) -> bool:
    """Whether a calibration is fitted to inner validation predictions."""
    return kind in _FITTED or is_class(kind)


def is_class(kind: str) -> bool:
    """Whether a calibration is the dotted path of a class with ``fit(scores, y)`` and ``predict(scores)``.

    Examples
    --------
    >>> is_class("mypkg.Platt"), is_class("sigmoid")
    (True, False)
    """
    return "." in kind


def corrects_prior(kind: str) -> bool:
    """Whether a calibration corrects the predictions of each fit for the positive share that the fit received."""
    return kind == "prior"


def correct_fit(
    proba: np.ndarray, y_fit: np.ndarray, reached: Mapping[str, Any], weight: float | str | None
) -> np.ndarray:
    """Correct the probabilities of one fit for the class counts ``reached`` by sampling and for the weight."""
    positives = int(np.sum(y_fit))
    share = received_share(len(y_fit) - positives, positives)
    return correct_prior(proba, share, received_share(reached["negative"], reached["positive"], weight))


def fit_map(kind: str, folds: Sequence[LabelledValues], seed: int = 0) -> CalibrationMap:
    """Fit one map to the labels and scores of several folds.

    ``kind`` is ``sigmoid``, ``isotonic`` or the dotted path of a class; the seed is for a class with a
    ``random_state``. Raises ``FitFailed`` if scores are too large for floats, and for any exception of a class.
    """
    y, scores = (np.concatenate(part) for part in zip(*folds, strict=True))
    if is_class(kind):
        return _fit_class(kind, scores, y, seed)
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # `apply_map` checks the result
            return _FITTED[kind](scores, y)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        raise FitFailed(f"calibration {kind!r} cannot be fitted: {error}") from error


def _fit_class(path: str, scores: np.ndarray, y: np.ndarray, seed: int) -> CalibrationMap:
    try:
        estimator = estimator_specs.build_estimator({"_target_": path}, allow=None, seed=seed)
        estimator.fit(scores.copy(), y.copy())
    except BaseException as error:  # a class may raise any exception
        reason = f"{type(error).__name__}: {foreign_reason(error)}"
        raise FitFailed(f"calibration {path!r} cannot be fitted: {reason}") from error
    return partial(_predict_by_class, estimator=estimator, path=path)


def _predict_by_class(scores: np.ndarray, *, estimator: Any, path: str) -> np.ndarray:
    try:
        proba = np.asarray(estimator.predict(scores.copy()), dtype=np.float64)
    except BaseException as error:  # a class may raise any exception
        reason = f"{type(error).__name__}: {foreign_reason(error)}"
        raise FitFailed(f"calibration {path!r} gives no probabilities: {reason}") from error
    outside = np.count_nonzero((proba < 0) | (proba > 1))
    if proba.shape != scores.shape or outside:
        what = f"{outside} outside [0, 1]" if proba.shape == scores.shape else f"the shape {proba.shape}"
        raise FitFailed(
            f"calibration {path!r} gives {what} for {len(scores)} rows; it must give one probability per row"
        )
    return proba


def apply_map(learned: CalibrationMap, kind: str, scores: np.ndarray) -> np.ndarray:
    """Turn scores into probabilities; raises ``FitFailed`` if one of them is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        proba = learned(scores)
    n_bad = np.count_nonzero(~np.isfinite(proba))
    if n_bad:
        raise FitFailed(
            f"calibration {kind!r} gives {n_bad} of {len(proba)} probabilities that are not finite, from decision "
            "values that are too large. Change the learner, or set calibration=none."
        )
    return proba


def cross_fit(kind: str, folds: Sequence[LabelledValues], seed: int = 0) -> list[LabelledValues]:
    """Map the scores of every fold, of at least two, by the map that is fitted to the others; see :func:`fit_map`.

    Folds stay as they are where nothing is fitted.
    """
    if not is_learned(kind):
        return list(folds)
    maps = [fit_map(kind, [*folds[:j], *folds[j + 1 :]], seed) for j in range(len(folds))]
    return [(y, apply_map(learned, kind, scores)) for learned, (y, scores) in zip(maps, folds, strict=True)]


def scores_for_map(values: np.ndarray, make: Make) -> np.ndarray:
    """Return what a map reads: the decision value of a learner that has one, else its probability.

    That is what scikit-learn's ``CalibratedClassifierCV`` reads. ``values`` are probabilities, or decision values of a
    learner without probabilities. Where a learner has both, the decision value is the log-odds of its probability, of
    the nearest float within (0, 1).
    """
    return np.asarray(logit(np.clip(values, _SMALLEST, _LARGEST))) if reads_log_odds(make) else values


def reads_log_odds(make: Make) -> bool:
    """Whether a calibration of a learner reads the log-odds of its probabilities."""
    return estimator_specs.gives_probabilities(make) and estimator_specs.has_method(make, "decision_function")


def has_probabilities(strategy: Strategy, learner: Learner) -> bool:
    """Whether predictions of a learner under a strategy are probabilities, and not decision values."""
    return is_learned(strategy.calibration) or learner.traits.gives_probabilities


def inapplicable_reason(strategy: Strategy, learner: Learner, positives: int) -> str | None:
    """Return why the calibration of a strategy cannot be made with the positives of an outer training part, or None.

    Examples
    --------
    >>> inapplicable_reason(Strategy("i", calibration="isotonic"), Learner("l", {}), 49)
    'calibration isotonic needs 50 training positives, and the outer training part holds 49'
    """
    kind, needed = strategy.calibration, MIN_POSITIVES.get(strategy.calibration, 0)
    if positives < needed:
        return f"calibration {kind} needs {needed} training positives, and the outer training part holds {positives}"
    return prior_inapplicable_reason(strategy, learner) if corrects_prior(kind) else None


def prior_inapplicable_reason(strategy: Strategy, learner: Learner) -> str | None:
    """Return why the prior correction cannot undo what strategy and learner do to the positive share, or None.

    Examples
    --------
    >>> from imblab.study import LearnerTraits
    >>> forest = Learner("forest", {}, traits=LearnerTraits(rebalances=True))
    >>> prior_inapplicable_reason(Strategy("none"), forest)
    "learner 'forest' rebalances the classes by itself, so that the positive share it learned from is unknown"
    """
    if learner.traits.rebalances:
        return (
            f"learner {learner.name!r} rebalances the classes by itself, so that the positive share it learned from is "
            "unknown"
        )
    if strategy.sampler is not None and strategy.prior_correction in (None, "inapplicable"):
        sampler = strategy.sampler["_target_"].rsplit(".", 1)[-1]
        return f"{sampler} chooses rows by their features, not only by their class, which no prior correction undoes"
    if not learner.traits.gives_probabilities:
        return f"the prior correction needs probabilities and learner {learner.name!r} gives decision values only"
    return None


def address_part(strategy: Strategy, learner: Learner) -> list[str | bool | None]:
    """Return what of the calibration may change an evaluation; empty without a calibration."""
    kind = strategy.calibration
    if corrects_prior(kind):
        return [kind, strategy.prior_correction, learner.traits.rebalances]
    return [kind] if is_learned(kind) else []


def approximation_note(strategy: Strategy) -> str | None:
    """Return the note on the evaluations of a strategy whose prior correction is approximate, or None."""
    if corrects_prior(strategy.calibration) and strategy.prior_correction == "approximate":
        return "the prior correction is approximate: synthetic rows move the distributions of the classes too"
    return None
