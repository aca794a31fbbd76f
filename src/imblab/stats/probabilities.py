"""Predicted probabilities of two and of more classes: maps, corrections, scoring rules, calibration, decisions.

A map is a function of an array of scores; its keywords hold what was learned.

``y`` holds 0 and 1, ``proba`` finite values in [0, 1], both of shape (n_rows,). Undefined statistics are None, never 0.
Calibration statistics are meant for the pooled outer test rows of one repeat: a single fold holds too few positives
(Van Calster et al. 2019).

Of more classes ``y`` holds 0 .. n_classes - 1; ``proba`` and ``values`` have one column per class. Rows of ``proba``
need not sum to exactly 1; nothing is renormalised unless this is said. A ranking measure takes each class against the
rest: the indicator of the class with its own column. Undefined values are NaN.

A row is decided to be of the class with the largest ``m_c p_c``, where ``m_c = (1 - t_c) / t_c`` and t_c in (0, 1) is
the threshold of class c; ties go to the rarer class, which has the higher number. Lowering the threshold of a class
gives it rows of all others. With .5 everywhere it is the class of the largest probability.

The best thresholds are searched by coordinate ascent: one class after the other is set to the best value of a grid, the
others kept, until a round improves nothing. This finds a local optimum, but for moves between ties in the last round;
the order of the classes is fixed, so that the result does not depend on the order of rows. A threshold moves a row
into its class at most once, so that one sorted search per row and one cumulative sum count all values of the grid.

References
----------
Brier (1950), Verification of forecasts expressed in terms of probability, Monthly Weather Review 78, 1-3: of
several classes the sum over them.
Good (1952), Rational decisions, Journal of the Royal Statistical Society B 14, 107-114: the logarithmic score.
Cox (1958), Two further applications of a model for binary regression, Biometrika 45, 562-565.
Murphy (1973), Hedging and skill scores for probability forecasts, Journal of Applied Meteorology 12, 215-223.
Naeini, Cooper and Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning, AAAI, 2901-2907.
Nguyen and O'Connor (2015), Posterior calibration and exploratory analysis for natural language processing models,
EMNLP, 1587-1598: bins of equal mass.
Collins, Ogundimu and Altman (2016), Sample size considerations for the external validation of a multivariable
prognostic model, Statistics in Medicine 35, 214-226.
Van Calster et al. (2019), Calibration: the Achilles heel of predictive analytics, BMC Medicine 17:230.
Platt (1999), Probabilistic outputs for support vector machines, Advances in Large Margin Classifiers, 61-74.
Elkan (2001), The foundations of cost-sensitive learning, IJCAI, 973-978: the decision of least expected cost.
Zadrozny and Elkan (2002), Transforming classifier scores into accurate multiclass probability estimates, KDD, 694-699:
one map per class, normalised.
Saerens, Latinne and Decaestecker (2002), Adjusting the outputs of a classifier to new a priori probabilities, Neural
Computation 14, 21-41.
Lin, Lin and Weng (2007), A note on Platt's probabilistic outputs for support vector machines, Machine Learning 68,
267-276.
Dal Pozzolo, Caelen, Johnson and Bontempi (2015), Calibrating probability with undersampling for unbalanced
classification, IEEE SSCI, 159-166.
Provost and Domingos (2003), Tree induction for probability-based ranking, Machine Learning 52, 199-215: one ROC curve
per class, each against the rest.
King and Zeng (2001), Logistic regression in rare events data, Political Analysis 9, 137-163: balanced weights.
Mahajan et al. (2018), Exploring the limits of weakly supervised pretraining, ECCV: square roots of inverse counts.
Lachiche and Flach (2003), Improving accuracy and cost of two-class and multi-class probabilistic classifiers using ROC
curves, ICML, 416-423: one weight per class, found class by class.
Bourke, Deng, Scott, Schapire and Vinodchandran (2008), On reoptimizing multi-class classifiers, Machine Learning 71,
219-242: finding the best weights for a cost matrix is NP-complete, so that a local search has to do.
O'Brien, Gupta and Gray (2008), Cost-sensitive multi-class classification from probability estimates, ICML, 712-719.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from imblab.stats.counts import (
    VALUE_TOLERANCE,
    ClassCosts,
    LabelledValues,
    best_threshold_index,
    class_counts,
    confusion_matrices,
)

CalibrationMap = partial[np.ndarray]

MAX_NEWTON_STEPS = 100
#: Steps and improvements below this, relative to the parameters and the loss, end the fit of a logistic curve.
NEWTON_TOLERANCE = 1e-13
#: Lowest and highest value with more than two classes of the measures that have others then, by their functions.
CLASS_RANGES: dict[str, tuple[float, float]] = {
    "imblab.core.measures.brier": (0, 2),
    "imblab.core.measures.accuracy_baseline": (0, 1),
}
#: A measure of confusion matrices of shape (..., n_classes, n_classes), which gives their leading shape.
MatrixMeasure = Callable[[np.ndarray], np.ndarray]

MAX_ASCENT_ROUNDS = 10
START_THRESHOLD = 0.5


def correct_prior(proba: np.ndarray, share: float, received: float) -> np.ndarray:
    """Correct probabilities for the positive ``share`` of the data, where the learner received another one.

    ``p = a q / (a q + b (1 - q))`` with ``a = share / received`` and ``b = (1 - share) / (1 - received)`` (Elkan 2001,
    theorem 2; Saerens et al. 2002, equation 4); both shares lie in (0, 1). The order of rows is kept.

    Examples
    --------
    >>> correct_prior(np.array([0.0, 0.5, 1.0]), 0.01, 0.5)
    array([0.  , 0.01, 1.  ])
    """
    if share == received:  # unchanged to the last bit
        return proba
    odds = (1 - share) * received / (share * (1 - received))
    # Through the odds against, every step is monotone in floats too, which the quotient above is not.
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(1 / (1 + odds * ((1 - proba) / proba)))


def received_share(negatives: float, positives: float, weight: float | str | None = None) -> float:
    """The positive share of the rows that a learner received, from their numbers after sampling and the weight.

    ``weight`` is that of a positive relative to a negative row; ``balanced`` gives both classes the same total.

    Examples
    --------
    >>> received_share(90, 10, 9.0), received_share(90, 10, "balanced")
    (0.5, 0.5)
    """
    if weight == "balanced":
        return 0.5
    weighted = positives * float(1 if weight is None else weight)
    return float(weighted / (weighted + negatives))


def fit_sigmoid(scores: np.ndarray, y: np.ndarray) -> CalibrationMap:
    """Fit ``p = 1 / (1 + exp(-(a score + b)))`` by maximum likelihood on Platt's softened targets.

    The targets ``(n_1 + 1) / (n_1 + 2)`` of positives and ``1 / (n_0 + 2)`` of negatives keep the solution finite where
    a threshold separates the classes (Platt 1999). Newton steps to the optimum (Lin, Lin and Weng 2007), where
    scikit-learn stops at a gradient of 1e-6. Scores are finite; a constant one gives the mean target.

    Examples
    --------
    >>> fit_sigmoid(np.array([-1.0, 1.0]), np.array([0, 1]))(np.array([-1.0, 0.0, 1.0])).round(3).tolist()
    [0.333, 0.5, 0.667]
    """
    positives = int(np.sum(y))
    target = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (len(y) - positives + 2))
    centre, width = _mean_and_deviation(scores)
    slope, level = _fit_logistic((scores - centre) / width, target)
    return partial(_logistic, slope=float(slope), level=float(level), centre=centre, width=width)


def _mean_and_deviation(scores: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation, 1 in place of 0; computed on shares of the largest score where squares overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        centre, width = float(np.mean(scores)), float(np.std(scores))
    if not np.isfinite(width) or (width == 0 and scores.min() < scores.max()):
        largest = float(np.max(np.abs(scores)))
        shares = scores / largest
        centre, width = largest * float(np.mean(shares)), largest * float(np.std(shares))
    return centre, width or 1.0


def _logistic(scores: np.ndarray, *, slope: float, level: float, centre: float, width: float) -> np.ndarray:
    return np.asarray(expit(slope * ((scores - centre) / width) + level))


def _fit_logistic(x: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Fit the logistic curve ``1 / (1 + exp(-(slope x + level)))`` with the least cross-entropy to targets.

    Damped Newton steps, on standardised ``x``; if it is constant the slope is 0. Targets lie in [0, 1], their mean in
    (0, 1). There is a minimum if all lie in (0, 1), or if they are labels of two classes that no threshold separates.
    """
    design = np.column_stack([x, np.ones_like(x)])

    def loss(theta: np.ndarray) -> float:
        z = design @ theta
        return float(np.sum(np.logaddexp(0, z) - target * z))

    theta = np.array([0.0, logit(np.mean(target))])
    for _ in range(MAX_NEWTON_STEPS):
        p = expit(design @ theta)
        hessian = (design * (p * (1 - p))[:, None]).T @ design
        # Least squares, since a constant score leaves the slope open: it stays 0.
        step = np.linalg.lstsq(hessian, design.T @ (p - target), rcond=None)[0]
        before = loss(theta)
        while loss(theta - step) > before * (1 + NEWTON_TOLERANCE) and np.max(np.abs(step)) > NEWTON_TOLERANCE:
            step = step / 2
        theta = theta - step
        if np.max(np.abs(step)) <= NEWTON_TOLERANCE * max(1.0, np.max(np.abs(theta))):
            break
    return theta[0], theta[1]


def fit_isotonic(scores: np.ndarray, y: np.ndarray) -> CalibrationMap:
    """Fit the rising step function of least squares, linear between its steps (Zadrozny and Elkan 2002).

    scikit-learn's ``IsotonicRegression``; scores outside the fitted range get the value at the nearest end.

    Examples
    --------
    >>> fit_isotonic(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 0, 1]))(np.array([0.0, 0.25, 0.9])).tolist()
    [0.0, 0.5, 1.0]
    """
    return partial(_isotonic, learned=IsotonicRegression(out_of_bounds="clip").fit(scores, y))


def _isotonic(scores: np.ndarray, *, learned: IsotonicRegression) -> np.ndarray:
    return np.asarray(learned.predict(scores), dtype=np.float64)


#: The statistics of :func:`calibration_statistics`, in their order.
STATISTICS = (
    *("brier", "brier_skill", "log_loss", "ece", "slope", "intercept"),
    *("observed_expected", "mean_risk_ratio"),
)
#: Rows of the rarer class below which a calibration curve is not informative (Collins et al. 2016).
MIN_CLASS_ROWS = 100
N_BINS = 10
#: Probabilities of 0 and 1 have no logit and are moved inside by this much, as in the R package CalibrationCurves.
LOGIT_MARGIN = 1e-8


def brier(y: np.ndarray, proba: np.ndarray) -> float:
    """Mean squared difference of probability and outcome; lower is better.

    Examples
    --------
    >>> brier(np.array([0, 1]), np.array([0.5, 0.5]))
    0.25
    """
    return float(np.mean((proba - y) ** 2))


def log_loss(y: np.ndarray, proba: np.ndarray) -> float:
    """Mean negative log-likelihood, clipped by the machine epsilon as in scikit-learn; lower is better.

    Examples
    --------
    >>> round(log_loss(np.array([0, 1]), np.array([0.5, 0.5])), 6)
    0.693147
    """
    eps = np.finfo(np.float64).eps
    clipped = np.clip(proba, eps, 1 - eps)
    return float(-np.mean(np.log(np.where(y == 1, clipped, 1 - clipped))))


def calibration_statistics(y: np.ndarray, proba: np.ndarray, prevalence: float | np.ndarray) -> dict[str, float | None]:
    """Compute every calibration statistic of one set of predictions, by the names of :data:`STATISTICS`.

    ``prevalence`` is the share of positives in the training rows: the reference forecast. ``slope`` and ``intercept``
    are estimated together, ``observed_expected`` is calibration in the large, positives over summed probability. With
    fewer than 100 rows of either class ``ece``, ``slope`` and ``intercept`` are None.

    Examples
    --------
    >>> statistics = calibration_statistics(np.array([0, 0, 0, 1]), np.array([0.25, 0.25, 0.25, 0.25]), 0.25)
    >>> statistics["brier"], statistics["brier_skill"], statistics["observed_expected"], statistics["slope"]
    (0.1875, 0.0, 1.0, None)
    """
    positives, expected = float(np.sum(y)), float(np.sum(proba))
    is_informative = min(positives, len(y) - positives) >= MIN_CLASS_ROWS
    slope, intercept = _recalibration(y, proba) if is_informative else (None, None)
    values = (
        *(brier(y, proba), brier_skill(y, proba, prevalence), log_loss(y, proba)),
        *(_calibration_error(y, proba) if is_informative else None, slope, intercept),
        *(positives / expected if expected else None, expected / positives if positives else None),
    )
    return dict(zip(STATISTICS, values, strict=True))


def brier_skill(y: np.ndarray, proba: np.ndarray, prevalence: float | np.ndarray) -> float | None:
    """Share of the reference forecast's Brier score that is gained: ``1 - brier / brier_reference``.

    1 is perfect, 0 no better than always predicting the training prevalence, negative values are worse (Murphy 1973).
    None where the reference is perfect.

    Examples
    --------
    >>> brier_skill(np.array([0, 1]), np.array([0.0, 1.0]), 0.5)
    1.0
    """
    reference = brier(y, np.broadcast_to(prevalence, y.shape))
    return 1 - brier(y, proba) / reference if reference else None


def quantile_bins(y: np.ndarray, proba: np.ndarray, n_bins: int = N_BINS) -> list[tuple[int, int, float, int]]:
    """Count quantile bins of the probability: number of the bin from 0, rows, summed probability, positives.

    The edges are the percentiles of ``proba``, as in scikit-learn's ``calibration_curve(strategy="quantile")``: rows
    that tie share a bin, independent of their order. Empty bins are left out.

    Examples
    --------
    >>> quantile_bins(np.array([0, 0, 1, 1]), np.array([0.125, 0.25, 0.75, 1.0]), 2)
    [(0, 2, 0.375, 0), (1, 2, 1.75, 2)]
    """
    edges = np.percentile(proba, np.linspace(0, 100, n_bins + 1))
    index = np.searchsorted(edges[1:-1], proba)
    n_rows = np.bincount(index, minlength=n_bins)
    summed = np.bincount(index, weights=proba, minlength=n_bins)
    positives = np.bincount(index, weights=y, minlength=n_bins)
    return [(i, int(n_rows[i]), float(summed[i]), int(positives[i])) for i in range(n_bins) if n_rows[i]]


def _calibration_error(y: np.ndarray, proba: np.ndarray) -> float:
    """Expected calibration error over bins of equal mass: ``sum_b |positives_b - summed_b| / n``.

    0 is perfect, 1 the worst; biased upwards in small samples (Naeini et al. 2015, Nguyen and O'Connor 2015).
    """
    bins = quantile_bins(y, proba)
    return float(sum(abs(positives - summed) for _, _, summed, positives in bins) / len(y))


def _recalibration(y: np.ndarray, proba: np.ndarray) -> tuple[float | None, float | None]:
    """Slope and intercept of the recalibration ``logit P(y = 1) = intercept + slope logit proba``.

    Both at once by maximum likelihood (Cox 1958). A slope below 1 means that probabilities are too extreme, above 1
    that they are not extreme enough; with a slope of 1 an intercept below 0 means that they are too high. With another
    slope it is not calibration in the large, which compares the mean probability with the share of positives.
    Probabilities of 0 and 1 are moved inside by 1e-8. Both are None without a maximum: one class only, one probability
    only, or classes that a threshold separates.
    """
    x = logit(np.clip(proba, LOGIT_MARGIN, 1 - LOGIT_MARGIN))
    high, low = x[y == 1], x[y == 0]
    if not len(high) or not len(low) or x.min() == x.max() or high.min() >= low.max() or low.min() >= high.max():
        return None, None
    centre, width = float(x.mean()), float(x.std())
    slope, level = _fit_logistic((x - centre) / width, y)
    return float(slope / width), float(level - slope / width * centre)


def scores_per_class(y: np.ndarray, values: np.ndarray, function: Callable[..., Any]) -> np.ndarray:
    """Compute a measure ``f(y, values)`` of labels 0 and 1 for each class against the rest: shape (n_classes,).

    Examples
    --------
    >>> from imblab.stats.curves import roc_auc
    >>> scores_per_class(np.array([0, 1, 2]), np.array([[0.6, 0.2, 0.2], [0.1, 0.3, 0.6], [0.3, 0.4, 0.3]]), roc_auc)
    array([1. , 0.5, 0.5])
    """
    return np.array([function((y == c).astype(np.int64), values[:, c]) for c in range(values.shape[1])], dtype=float)


def macro_of_columns(y: np.ndarray, values: np.ndarray, function: Callable[..., Any]) -> float:
    """Mean over classes of a measure of two classes; NaN if it is for one class; see :func:`scores_per_class`."""
    return float(np.mean(scores_per_class(y, values, function)))


def class_brier(y: np.ndarray, proba: np.ndarray) -> float:
    """Mean over rows of the squared differences of probability and outcome, summed over classes; lower is better.

    In [0, 2] for probabilities that sum to 1. With two classes it is twice :func:`imblab.stats.probabilities.brier`.

    Examples
    --------
    >>> class_brier(np.array([0, 1]), np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]))
    0.25
    """
    return float(np.mean(brier_losses(y, proba)))


def brier_losses(y: np.ndarray, proba: np.ndarray) -> np.ndarray:
    """Squared differences of probability and outcome, summed over classes, of shape (n_rows,)."""
    return np.asarray(np.sum((proba - np.eye(proba.shape[1])[y]) ** 2, axis=1))


def class_log_loss(y: np.ndarray, proba: np.ndarray) -> float:
    """Mean negative log-likelihood of the true class, clipped by the machine epsilon as in scikit-learn.

    Examples
    --------
    >>> round(class_log_loss(np.array([0, 1]), np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])), 6)
    0.346574
    """
    eps = np.finfo(np.float64).eps
    return float(np.mean(-np.log(np.clip(proba[np.arange(len(y)), y], eps, 1 - eps))))


def received_class_shares(counts: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The shares of the classes among the rows that a learner received; ``weights`` are those of :func:`power_weights`.

    Examples
    --------
    >>> received_class_shares(np.array([6, 3, 1])), received_class_shares(np.array([6, 2]), np.array([1.0, 3.0]))
    (array([0.6, 0.3, 0.1]), array([0.5, 0.5]))
    """
    weighted = np.asarray(counts, dtype=np.float64) * (1.0 if weights is None else weights)
    return np.asarray(weighted / weighted.sum())


def correct_class_priors(proba: np.ndarray, shares: np.ndarray, received: np.ndarray) -> np.ndarray:
    """Correct probabilities for the class ``shares`` of the data, where the learner received other ones.

    ``p_c = a_c q_c / sum_k a_k q_k`` with ``a_c = shares_c / received_c`` (Saerens et al. 2002, equation 4); all shares
    lie in (0, 1). Rows sum to 1; they are unchanged to the last bit where nothing was shifted. Two classes have the
    values of :func:`correct_prior`, but for rounding.

    Examples
    --------
    >>> shares, received = np.array([0.9, 0.09, 0.01]), np.full(3, 1 / 3)
    >>> correct_class_priors(np.full((1, 3), 1 / 3), shares, received).round(12)
    array([[0.9 , 0.09, 0.01]])
    """
    if np.array_equal(shares, received):
        return proba
    return _normalise_rows(proba * (np.asarray(shares, dtype=np.float64) / received))


def _normalise_rows(values: np.ndarray) -> np.ndarray:
    """Divide each row by its sum; a row that sums to 0 becomes ``1 / n_classes`` everywhere."""
    totals = values.sum(axis=1, keepdims=True)
    uniform = np.full(values.shape, 1 / values.shape[1])
    return np.asarray(np.divide(values, totals, out=uniform, where=totals != 0))


def fit_one_against_rest(
    fit: Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]], scores: np.ndarray, y: np.ndarray
) -> CalibrationMap:
    """Fit one calibration map per class, each class against the rest; their probabilities are normalised.

    ``fit(scores, y)`` is for two classes, such as :func:`fit_sigmoid`; scores and probabilities have a column per
    class.

    Examples
    --------
    >>> from imblab.stats.probabilities import fit_isotonic
    >>> scores = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]])
    >>> fit_one_against_rest(fit_isotonic, scores, np.array([0, 1, 2]))(np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.1]]))
    array([[1.        , 0.        , 0.        ],
           [0.33333333, 0.33333333, 0.33333333]])
    """
    maps = tuple(fit(scores[:, c], (y == c).astype(np.int64)) for c in range(scores.shape[1]))
    return partial(_map_columns, maps=maps)


def _map_columns(scores: np.ndarray, *, maps: Sequence[Callable[[np.ndarray], np.ndarray]]) -> np.ndarray:
    return _normalise_rows(np.column_stack([learned(scores[:, c]) for c, learned in enumerate(maps)]))


def power_weights(counts: np.ndarray, power: float) -> np.ndarray:
    """Return the weight of a row of every class: its count to the power ``-power``, with mean 1 over all rows.

    ``w_c = n n_c^-a / sum_d n_d^(1 - a)`` for n rows, n_c >= 1 of them in class c, and the power a >= 0. With a = 0
    every row weighs 1, with a = 1 every class has the same total (scikit-learn's ``balanced``), a = .5 lies between,
    and beyond 1 rare classes outweigh frequent ones. A weight below the smallest float is 0.

    Examples
    --------
    >>> power_weights(np.array([90, 10]), 1.0).tolist()
    [0.5555555555555556, 5.0]
    >>> power_weights(np.array([90, 10]), 0.5).round(3).tolist()
    [0.833, 2.5]
    """
    rows = np.asarray(counts, dtype=np.float64)
    # Relative to the rarest class no weight overflows, however large the power.
    relative = (rows.min() / rows) ** power
    return np.asarray(relative * (rows.sum() / (rows @ relative)))


def relative_weight(negatives: float, positives: float, power: float) -> float:
    """Return the weight of a positive relative to a negative row; see :func:`power_weights`.

    Examples
    --------
    >>> relative_weight(90, 10, 0.5), relative_weight(90, 10, 1)
    (3.0, 9.0)
    """
    return float((negatives / positives) ** power)


@dataclass(frozen=True, slots=True)
class ClassBound:
    """The smallest recall or precision of one class that is accepted."""

    #: ``f(tn, fp, fn, tp)``: :func:`imblab.stats.counts.recall` or :func:`imblab.stats.counts.precision`
    function: Callable[..., Any]
    class_index: int  # the class, which is taken against the rest
    value: float  # in (0, 1]

    def is_met(self, matrices: np.ndarray) -> np.ndarray:
        """Whether confusion matrices reach the value, of their leading shape; not where the function is undefined.

        Examples
        --------
        >>> from imblab.stats.counts import recall
        >>> ClassBound(recall, 1, 0.5).is_met(np.array([[[3, 0], [1, 1]], [[3, 0], [2, 0]]])).tolist()
        [True, False]
        """
        return np.asarray(self.function(*class_counts(matrices))[..., self.class_index] >= self.value)


@dataclass(frozen=True, slots=True)
class ClassThresholdChoice:
    """Thresholds of all classes and their value on the rows they were chosen on."""

    thresholds: tuple[float, ...]  # by class
    value: float  # the measure at these thresholds
    n_rounds: int  # of the search, the last one without an improvement included
    at_edge: tuple[int, ...] = ()  # classes whose threshold is the first or last value of the grid


def _class_multipliers(thresholds: Any) -> np.ndarray:
    """Factors ``(1 - t) / t`` of the probabilities, in the shape of the thresholds.

    ValueError if a threshold does not lie in (0, 1), or so near 0 that its factor is not a finite number.
    """
    thresholds = np.asarray(thresholds, dtype=np.float64)
    with np.errstate(divide="ignore", over="ignore"):
        factors = (1 - thresholds) / thresholds
    if not (np.isfinite(factors) & (factors > 0)).all():
        raise ValueError(
            f"thresholds is {thresholds.tolist()!r}; a threshold of a class must lie in (0, 1). Use for example 0.5"
        )
    return np.asarray(factors)


def repeat_threshold(threshold: float, n_classes: int) -> tuple[float, ...]:
    """Thresholds of all classes from one number: all but the most frequent class have it, which keeps .5.

    Examples
    --------
    >>> repeat_threshold(0.2, 3)
    (0.5, 0.2, 0.2)
    """
    return (START_THRESHOLD, *(float(threshold),) * (n_classes - 1))


def decide_by_thresholds(values: np.ndarray, thresholds: Any) -> np.ndarray:
    """Decide each row for the class with the largest ``(1 - t_c) / t_c`` times its value; ties to the highest class.

    ``values`` of shape (n_rows, n_classes) are at least 0: probabilities, or logistic functions of decision values.
    Thresholds of shape (..., n_classes) in (0, 1) give classes of shape (..., n_rows).

    Examples
    --------
    >>> proba = np.array([[0.5, 0.25, 0.25], [0.4, 0.3, 0.3]])
    >>> decide_by_thresholds(proba, [[0.5, 0.5, 0.5], [0.5, 0.4, 0.25]]).tolist()
    [[0, 0], [2, 2]]
    """
    return _last_argmax(values * _class_multipliers(thresholds)[..., None, :])


def decide_by_costs(proba: np.ndarray, costs: ClassCosts) -> np.ndarray:
    """Decide each row for the class j of least expected cost ``sum_i p_i costs[i][j]``; ties to the highest class.

    Examples
    --------
    >>> decide_by_costs(np.array([[0.8, 0.1, 0.1], [0.95, 0.05, 0.0]]), [[0, 1, 1], [10, 0, 1], [10, 1, 0]]).tolist()
    [2, 0]
    """
    table = np.asarray(costs, dtype=np.float64)
    risks = np.zeros((len(proba), table.shape[1]))
    for true in range(len(table)):  # class by class: a matrix product may round a row by its place
        risks += proba[:, true, None] * table[true]
    return _last_argmax(-risks)


def _sweep_class_threshold(
    y: np.ndarray, values: np.ndarray, thresholds: Any, class_index: int, grid: np.ndarray
) -> np.ndarray:
    """Confusion matrices with the threshold of one class at every value of a grid, and the others as they are.

    Those of the decisions of :func:`decide_by_thresholds`, for the cost of one. Thresholds lie in (0, 1), that of the
    swept class is not read; the grid is ascending. The shape is (n_values, n_classes, n_classes).
    """
    n_classes, n_values = values.shape[1], len(grid)
    weighted = values * _class_multipliers(thresholds)
    weighted[:, class_index] = -1.0
    other = _last_argmax(weighted)
    n_won = _count_won(values[:, class_index], weighted[np.arange(len(y)), other], class_index > other, grid)
    cells = (n_won * n_classes + np.asarray(y, dtype=np.int64)) * n_classes + other
    counted = np.bincount(cells, minlength=(n_values + 1) * n_classes * n_classes)
    # A row that the class wins at its first values only is decided for the other class from there on.
    lost = np.cumsum(counted.reshape(n_values + 1, n_classes, n_classes), axis=0)
    matrices = lost[:n_values]
    matrices[:, :, class_index] = lost[n_values].sum(axis=1) - matrices.sum(axis=2)
    return matrices


def choose_class_thresholds(
    folds: Sequence[LabelledValues],
    grid: Sequence[float],
    measure: MatrixMeasure,
    greater_is_better: bool = True,
    bound: ClassBound | None = None,
) -> ClassThresholdChoice | None:
    """Choose a threshold for every class by coordinate ascent on confusion matrices summed over folds.

    From .5 everywhere, the classes 0 .. n_classes - 1 in this order are set to the best value of the grid, until a
    round improves the measure by no more than 1e-12, ten rounds at most. Class 0 is set too, so that all others can
    move together. It is a local optimum unless the last round moved a threshold between tied values. Values within
    1e-12 of the best are tied; ties go to the threshold nearest 0.5, then to the lower one. Where the measure is
    undefined or the bound is not met, any other state is an improvement.

    Folds are pairs of true classes and of values as in :func:`decide_by_thresholds`. The grid lies in (0, 1) and holds
    0.5 (else ValueError). ``measure`` is one of confusion matrices. Every step must meet the ``bound``: a threshold
    stays where no value of the grid does. None where the bound is not met at the end, or the measure is undefined
    there.

    Examples
    --------
    >>> from imblab.stats.counts import macro_recall
    >>> y, proba = np.array([0, 0, 1, 2]), np.array([[0.9, 0.1, 0], [0.6, 0.2, 0.2], [0.6, 0.3, 0.1], [0.5, 0.2, 0.3]])
    >>> choice = choose_class_thresholds([(y, proba)], [0.1, 0.3, 0.4, 0.5, 0.6], macro_recall)
    >>> choice.thresholds, choice.value
    ((0.5, 0.3, 0.3), 1.0)
    """
    ascending = np.unique(np.asarray(grid, dtype=np.float64))
    if START_THRESHOLD not in ascending:
        raise ValueError(f"grid holds {len(ascending)} thresholds without 0.5; the search starts there. Add 0.5 to it")
    y, values = (np.concatenate(part) for part in zip(*folds, strict=True))
    thresholds = np.full(values.shape[1], START_THRESHOLD)

    def objective(matrices: np.ndarray) -> np.ndarray:
        scores = np.asarray(measure(matrices), dtype=np.float64)
        scores = scores if greater_is_better else -scores
        return scores if bound is None else np.where(bound.is_met(matrices), scores, np.nan)

    best = np.fmax(objective(_matrix_at(y, values, thresholds)), -np.inf)
    n_rounds = 0
    has_improved = True
    while has_improved and n_rounds < MAX_ASCENT_ROUNDS:
        before = best
        for c in range(len(thresholds)):
            scores = objective(_sweep_class_threshold(y, values, thresholds, c, ascending))
            index = best_threshold_index(scores, ascending)
            if index is not None:
                thresholds[c], best = ascending[index], scores[index]
        n_rounds += 1
        has_improved = best > -np.inf and best - before > VALUE_TOLERANCE
    if best == -np.inf:
        return None
    value = float(measure(_matrix_at(y, values, thresholds)))
    at_edge = np.flatnonzero(np.isin(thresholds, ascending[[0, -1]])) if len(ascending) > 1 else ()
    return ClassThresholdChoice(tuple(thresholds.tolist()), value, n_rounds, tuple(int(c) for c in at_edge))


def _matrix_at(y: np.ndarray, values: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    return confusion_matrices(y, decide_by_thresholds(values, thresholds), values.shape[1])


def _last_argmax(values: np.ndarray) -> np.ndarray:
    """Position of the largest value along the last axis, the last one of equals."""
    return np.asarray(values.shape[-1] - 1 - np.argmax(values[..., ::-1], axis=-1))


def _count_won(own: np.ndarray, rival: np.ndarray, wins_ties: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """At how many of the first values of a grid the class of ``own`` beats the best other class of each row.

    Its factor falls along the grid, and so does its product with ``own``, in floats too. A division finds the number
    but for rounding; the comparisons of the decision itself then correct it.
    """
    factors, n_values = _class_multipliers(grid), len(grid)

    def is_won(at: np.ndarray) -> np.ndarray:
        product = own * factors[at]
        return np.asarray((product > rival) | (wins_ties & (product == rival)))

    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        n_won = np.searchsorted(-factors, -(rival / own), side="right")
    n_won = np.where(own > 0, n_won, n_values * (wins_ties & (rival == 0)))
    while True:
        gains = (n_won < n_values) & is_won(np.minimum(n_won, n_values - 1))
        loses = (n_won > 0) & ~is_won(np.maximum(n_won - 1, 0))
        if not (gains | loses).any():
            return np.asarray(n_won)
        n_won = n_won + gains - loses
