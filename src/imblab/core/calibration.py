"""The fourth knob: answers become probabilities, without a fit of the learner.

``prior`` undoes a known change of the positive share, fit by fit. ``sigmoid`` and ``isotonic`` are learned from inner
validation predictions: those of fold j from the other folds, those of the test rows from all of them. Everything here
is arrays in, arrays out; whoever evaluates a cell says which predictions.

References
----------
Platt (1999), Probabilistic outputs for support vector machines, Advances in Large Margin Classifiers, 61-74.
Elkan (2001), The foundations of cost-sensitive learning, IJCAI, 973-978.
Zadrozny and Elkan (2002), Transforming classifier scores into accurate multiclass probability estimates, KDD, 694-699.
Saerens, Latinne and Decaestecker (2002), Adjusting the outputs of a classifier to new a priori probabilities, Neural
Computation 14, 21-41.
Dal Pozzolo, Caelen, Johnson and Bontempi (2015), Calibrating probability with undersampling for unbalanced
classification, IEEE SSCI, 159-166.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.special import logit

from imblab.core import estimator_specs, fitting
from imblab.errors import foreign_reason
from imblab.stats.calibration_maps import Map, corrected, isotonic, received_share, sigmoid
from imblab.study import Learner, Make, Strategy

#: Labels and scores of some rows.
Fold = tuple[np.ndarray, np.ndarray]

#: What `Strategy.calibration` may be, in addition to the dotted path of a class; see :func:`is_class`.
KINDS = ("none", "prior", "sigmoid", "isotonic")
#: What `Strategy.prior_correction` may be.
CORRECTIONS = ("exact", "approximate", "inapplicable")
#: Positives of the outer training part without which a calibration is not learned.
LEAST = {"isotonic": 50}

_SMALLEST = np.finfo(np.float64).tiny
_LARGEST = 1 - np.finfo(np.float64).epsneg


#: Calibrations that are learned from inner validation predictions.
_LEARNED: dict[str, Callable[[np.ndarray, np.ndarray], Map]] = {"sigmoid": sigmoid, "isotonic": isotonic}
#: Calibrations that a fit decides by the rows it received.
_OWN: dict[str, Callable[[np.ndarray, float, float], np.ndarray]] = {"prior": corrected}


def is_learned(kind: str) -> bool:
    """Whether a calibration is learned from inner validation predictions."""
    return kind in _LEARNED or is_class(kind)


def is_class(kind: str) -> bool:
    """Whether a calibration is the dotted path of a class: ``fit(score, y)``, then ``predict(score)``.

    Examples
    --------
    >>> is_class("mypkg.Platt"), is_class("sigmoid")
    (True, False)
    """
    return "." in kind


def is_own(kind: str) -> bool:
    """Whether a calibration sets the answers of a fit right by the rows of that fit alone."""
    return kind in _OWN


def own(kind: str, q: np.ndarray, y: np.ndarray, reached: Mapping[str, Any], weight: float | str | None) -> np.ndarray:
    """The answers of one fit as its own rows set them right.

    Parameters
    ----------
    kind : {"prior"}
    q : ndarray
        Probabilities.
    y : ndarray of shape (n_fit,)
        Labels of the fit part.
    reached : mapping
        ``negative`` and ``positive`` rows that the learner received.
    weight : float, "balanced" or None

    Returns
    -------
    ndarray
    """
    positive = int(np.sum(y))
    share = received_share({"negative": len(y) - positive, "positive": positive}, None)
    return _OWN[kind](q, share, received_share(reached, weight))


def learn(kind: str, folds: Sequence[Fold], seed: int = 0) -> Map:
    """The map that all folds teach together.

    Parameters
    ----------
    kind : {"sigmoid", "isotonic"} or str
        Or the dotted path of a class.
    folds : sequence of (y, score)
    seed : int, default=0
        For a class with a ``random_state``.

    Returns
    -------
    callable

    Raises
    ------
    FitFailed
        If scores are too large for floats, or a class raises anything.
    """
    y, score = (np.concatenate(part) for part in zip(*folds, strict=True))
    if is_class(kind):
        return _learned_by_class(kind, score, y, seed)
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is looked at
            return _LEARNED[kind](score, y)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        raise fitting.FitFailed(f"calibration {kind!r} cannot be learned: {error}") from error


def _learned_by_class(path: str, score: np.ndarray, y: np.ndarray, seed: int) -> Map:
    try:
        made = estimator_specs.build_estimator({"_target_": path}, allow=None, seed=seed)
        made.fit(score.copy(), y.copy())
    except BaseException as error:  # a class may raise anything
        reason = f"{type(error).__name__}: {foreign_reason(error)}"
        raise fitting.FitFailed(f"calibration {path!r} cannot be learned: {reason}") from error
    return partial(_predicted, made=made, path=path)


def _predicted(s: np.ndarray, *, made: Any, path: str) -> np.ndarray:
    try:
        p = np.asarray(made.predict(s.copy()), dtype=np.float64)
    except BaseException as error:  # a class may raise anything
        reason = f"{type(error).__name__}: {foreign_reason(error)}"
        raise fitting.FitFailed(f"calibration {path!r} gives no probabilities: {reason}") from error
    outside = np.count_nonzero((p < 0) | (p > 1))
    if p.shape != s.shape or outside:
        found = f"{outside} outside [0, 1]" if p.shape == s.shape else f"the shape {p.shape}"
        raise fitting.FitFailed(
            f"calibration {path!r} gives {found} for {len(s)} rows; one probability a row is needed"
        )
    return p


def through(learned: Map, kind: str, score: np.ndarray) -> np.ndarray:
    """Turn scores into probabilities by a map that was learned.

    Parameters
    ----------
    learned : callable
        Of :func:`learn`.
    kind : {"sigmoid", "isotonic"}
    score : ndarray of shape (n_rows,)

    Returns
    -------
    ndarray of shape (n_rows,)

    Raises
    ------
    FitFailed
        If a probability is not finite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        p = learned(score)
    bad = np.count_nonzero(~np.isfinite(p))
    if bad:
        raise fitting.FitFailed(
            f"calibration {kind!r} gives {bad} of {len(p)} probabilities that are not finite, from decision values "
            "that are too large. Change the learner, or set calibration=none."
        )
    return p


def cross_fitted(kind: str, folds: Sequence[Fold], seed: int = 0) -> list[Fold]:
    """Every fold through the map that the other folds teach; folds as they are where nothing is learned.

    Parameters
    ----------
    kind : str
    folds : sequence of (y, score)
        At least two.
    seed : int, default=0
        See :func:`learn`.

    Returns
    -------
    list of (y, p)
    """
    if not is_learned(kind):
        return list(folds)
    maps = [learn(kind, [*folds[:j], *folds[j + 1 :]], seed) for j in range(len(folds))]
    return [(y, through(learned, kind, s)) for learned, (y, s) in zip(maps, folds, strict=True)]


def score_of(values: np.ndarray, make: Make) -> np.ndarray:
    """What is calibrated: the decision value of a learner that has one, else its probability.

    That is what scikit-learn's ``CalibratedClassifierCV`` reads. Where a learner has both, the decision value is the
    log-odds of its probability, of the nearest float within (0, 1).

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        Predicted probabilities; decision values of a learner without probabilities.
    make : mapping
        The learner.

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    return np.asarray(logit(np.clip(values, _SMALLEST, _LARGEST))) if reads_log_odds(make) else values


def reads_log_odds(make: Make) -> bool:
    """Whether a calibration of a learner reads the log-odds of its probabilities."""
    return estimator_specs.gives_probabilities(make) and estimator_specs.has_method(make, "decision_function")


def gives_probabilities(strategy: Strategy, learner: Learner) -> bool:
    """Whether what a learner answers under a strategy claims to be a probability."""
    return is_learned(strategy.calibration) or estimator_specs.gives_probabilities(learner.make)


def obstacle(strategy: Strategy, learner: Learner, positives: int) -> str | None:
    """Why the calibration of a strategy cannot be made.

    Parameters
    ----------
    strategy : Strategy
    learner : Learner
    positives : int
        Of the outer training part.

    Returns
    -------
    str or None
        A reason in words; None where nothing stands in the way.

    Examples
    --------
    >>> obstacle(Strategy("i", calibration="isotonic"), Learner("l", {}), 49)
    'calibration isotonic needs 50 training positives, and the outer training part holds 49'
    """
    kind, least = strategy.calibration, LEAST.get(strategy.calibration, 0)
    if positives < least:
        return f"calibration {kind} needs {least} training positives, and the outer training part holds {positives}"
    return uncorrectable(strategy, learner) if is_own(kind) else None


def uncorrectable(strategy: Strategy, learner: Learner) -> str | None:
    """Why the prior correction cannot undo what a strategy and a learner do to the positive share.

    Returns
    -------
    str or None
        None where it can, exactly or approximately.

    Examples
    --------
    >>> uncorrectable(Strategy("none"), Learner("forest", {}, rebalances=True))
    "learner 'forest' rebalances the classes by itself, so that the positive share it learned from is unknown"
    """
    if learner.rebalances:
        return (
            f"learner {learner.name!r} rebalances the classes by itself, so that the positive share it learned from is "
            "unknown"
        )
    if strategy.sampler is not None and strategy.prior_correction in (None, "inapplicable"):
        kind = strategy.sampler["_target_"].rsplit(".", 1)[-1]
        return f"{kind} chooses rows by their place, not only by their class, which no prior correction undoes"
    if not estimator_specs.gives_probabilities(learner.make):
        return f"the prior correction needs probabilities and learner {learner.name!r} gives decision values only"
    return None


def shown(strategy: Strategy) -> str | None:
    """The calibration where there is one."""
    kind = strategy.calibration
    return kind if is_own(kind) or is_learned(kind) else None


def address(strategy: Strategy, learner: Learner) -> list[str | bool | None]:
    """What of the calibration may change a row; empty where there is none."""
    kind = strategy.calibration
    if is_own(kind):
        return [kind, strategy.prior_correction, learner.rebalances]
    return [kind] if is_learned(kind) else []


def remark(strategy: Strategy) -> str | None:
    """What a reader of a calibrated row should know."""
    if is_own(strategy.calibration) and strategy.prior_correction == "approximate":
        return "the prior correction is approximate: synthetic rows move the distributions of the classes too"
    return None
