"""What an exported model is made of, beside scikit-learn and its learner.

This module travels with every exported model and imports nothing of imblab, so that a model is loaded and served
without it. It holds no way to fit: a model answers as it was exported.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.metaestimators import available_if

#: The open interval of floats between 0 and 1, by its ends.
INSIDE = (np.finfo(np.float64).tiny, 1 - np.finfo(np.float64).epsneg)


def digest(value: Any) -> str:
    """The address of a category: 1, 1.0 and "1" are one category.

    A model knows its categories by digests alone, so that no cell of the table it learned from stands in it. Whoever
    can guess a value can still find out that it was there.

    Examples
    --------
    >>> digest(1.0) == digest("1"), digest("a") == digest("b")
    (True, False)
    """
    whole = isinstance(value, (float, np.floating)) and float(value).is_integer()
    return hashlib.sha256(str(int(value) if whole else value).encode()).hexdigest()[:16]


class Preparation(BaseEstimator):  # type: ignore[misc]
    """Named columns into the array that the learner reads: imputed, standardised, one-hot.

    Parameters
    ----------
    features : sequence of str
        The columns in the order of the table.
    categorical : sequence of str
        Those that are categories.
    imputer, scaler : fitted transformer or None
        Of the other columns; None where there are none.
    known : sequence of mapping of str to float
        For every categorical column the code of each category, by its digest.
    levels : sequence of ndarray
        The codes that have a column.
    fill : sequence of float
        The code that stands for a missing value.
    rare : sequence of (float or None), optional
        For every categorical column the code of its level "rare", which stands for each level that is not in ``known``;
        None where such a level gets zeros.
    """

    def __init__(
        self,
        features: Sequence[str],
        categorical: Sequence[str],
        imputer: Any,
        scaler: Any,
        known: Sequence[Mapping[str, float]],
        levels: Sequence[np.ndarray],
        fill: Sequence[float],
        rare: Sequence[float | None] | None = None,
    ) -> None:
        self.features = features
        self.categorical = categorical
        self.imputer = imputer
        self.scaler = scaler
        self.known = known
        self.levels = levels
        self.fill = fill
        self.rare = rare

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> Preparation:
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The array of some rows.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n_rows, n_features)
            Columns of a DataFrame are taken by name, whatever their order, and others are ignored; those of an array
            by place. Missing values are imputed; categories never seen get zeros, or count as rare where some are.

        Returns
        -------
        ndarray of shape (n_rows, n_columns), float64, C-ordered
        """
        frame = self._named(X)
        numeric = [name for name in self.features if name not in set(self.categorical)]
        parts = []
        if numeric:
            numbers = np.column_stack([frame[c].to_numpy(dtype=np.float64, na_value=np.nan) for c in numeric])
            parts.append(self.scaler.transform(self.imputer.transform(numbers)))
        # A model that was exported by an older version knows of no rare levels.
        rare = getattr(self, "rare", None) or [None] * len(self.categorical)
        for name, known, levels, fill, other in zip(
            self.categorical, self.known, self.levels, self.fill, rare, strict=True
        ):
            place, found = pd.factorize(frame[name])
            unknown = np.nan if other is None else other
            codes = np.array([*(known.get(digest(value), unknown) for value in found), fill])[place]
            parts.append((codes[:, None] == np.asarray(levels)).astype(np.float64))
        return np.ascontiguousarray(np.hstack(parts))

    def _named(self, X: Any) -> pd.DataFrame:
        if isinstance(X, pd.DataFrame):
            absent = [name for name in self.features if name not in X.columns]
            if absent:
                raise ValueError(
                    f"column {absent[0]!r} is missing ({len(absent)} of {len(self.features)} are); the model reads its "
                    f"features by name. Give the columns {', '.join(self.features)}."
                )
            return X
        table = pd.DataFrame(np.asarray(X))
        if table.shape[1] != len(self.features):
            raise ValueError(
                f"the array has {table.shape[1]} columns and the model reads {len(self.features)}; columns without "
                f"names are taken by place. Give the columns {', '.join(self.features)}, in this order."
            )
        return table.set_axis(list(self.features), axis=1)


class ThresholdClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted classifier of two classes with its threshold: frozen, like scikit-learn's ``FrozenEstimator``.

    ``fit`` changes nothing and a clone is the model itself, so that it may stand inside scikit-learn's tools.

    Parameters
    ----------
    preparation : Preparation
    learner : classifier
        Fitted on labels 0 and 1.
    threshold : float
        A row is called positive iff what ``scale`` says is at or above it.
    negative, positive : label
    calibration : mapping or None
        What turns the learner's answers into probabilities: ``{"kind": "prior", "odds": ...}``, ``{"kind":
        "sigmoid", "centre": ..., "width": ..., "slope": ..., "level": ...}`` or ``{"kind": "isotonic", "learned":
        ...}``; ``log_odds`` says whether the last two read the log-odds of the learner's probability, or what the
        learner answers.
    method : {"predict_proba", "decision_function"} or None
        What the learner is asked. None, in models of before it was recorded: the first that it has, decision values
        through a logistic.
    scale : {"probability", "decision_value"}
        What the threshold is compared with; the probability of a learner with decision values d only is
        ``1 / (1 + exp(-d))``.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels, sorted as everywhere in scikit-learn: the positive one may be the first.
    threshold_ : float
    n_features_in_ : int
    feature_names_in_ : ndarray of str
    """

    #: What models hold that were written before these were recorded.
    method: str | None = None
    scale: str = "probability"

    def __init__(
        self,
        preparation: Preparation,
        learner: Any,
        threshold: float,
        negative: Any,
        positive: Any,
        calibration: Mapping[str, Any] | None = None,
        method: str | None = None,
        scale: str = "probability",
    ) -> None:
        self.preparation = preparation
        self.learner = learner
        self.threshold = threshold
        self.negative = negative
        self.positive = positive
        self.calibration = calibration
        self.method = method
        self.scale = scale

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted."""
        return np.array(sorted([self.negative, self.positive]))

    @property
    def threshold_(self) -> float:
        """The cut that ``predict`` uses."""
        return self.threshold

    @property
    def n_features_in_(self) -> int:
        """Number of columns read."""
        return len(self.preparation.features)

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the columns read."""
        return np.array(self.preparation.features, dtype=object)

    def fit(self, X: Any = None, y: Any = None) -> ThresholdClassifier:
        """Nothing: the model is frozen."""
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, in the order of ``classes_``.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows, 2)
        """
        p = self.positive_proba(X)
        columns = [1 - p, p] if self.classes_[1] == self.positive else [p, 1 - p]
        return np.column_stack(columns)

    def predict(self, X: Any) -> np.ndarray:
        """The label of each row: positive iff its probability or decision value is at or above the threshold.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        classes = self.classes_
        is_positive = classes == self.positive
        compared = self.scores(X) if self.scale == "decision_value" else self.positive_proba(X)
        called = compared >= self.threshold
        return np.asarray(np.where(called, classes[is_positive][0], classes[~is_positive][0]))

    def positive_proba(self, X: Any) -> np.ndarray:
        """The probability of the positive class.

        A learner with decision values d only, and no calibration, gives ``1 / (1 + exp(-d))``: a number from 0 to 1
        for a threshold, no probability, and tied where d is large.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows,), float64
        """
        scores = self.scores(X)
        return np.asarray(expit(scores)) if self._has_decision_values() else scores

    @available_if(lambda self: self._has_decision_values())  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> np.ndarray:
        """What ranks the rows of a model without probabilities; it rises with the second of ``classes_``.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows,), float64
        """
        scores = self.scores(X)
        return scores if self.classes_[1] == self.positive else -scores

    def scores(self, X: Any) -> np.ndarray:
        """What ranks the rows: the calibrated probability of the positive class, or its decision value.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows,), float64
        """
        prepared = self.preparation.transform(X)
        with warnings.catch_warnings():
            # LightGBM names the columns of bare arrays and then misses the names.
            warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
            return self._calibrated(self.answers(prepared))

    def answers(self, prepared: np.ndarray) -> np.ndarray:
        """What the learner says of prepared rows, before any calibration: probabilities or decision values."""
        method = self.method or ("predict_proba" if hasattr(self.learner, "predict_proba") else None)
        column = list(getattr(self.learner, "classes_", (0, 1))).index(1)
        if method == "predict_proba":
            p = np.array(self.learner.predict_proba(prepared)[:, column], dtype=np.float64)
            return np.clip(p, 0.0, 1.0)
        values = np.asarray(self.learner.decision_function(prepared), dtype=np.float64)
        values = values if column == 1 else -values
        return values if self.method else np.asarray(expit(values))

    def _has_decision_values(self) -> bool:
        """Whether no probability comes out of it."""
        learned = self.calibration is not None and self.calibration["kind"] != "prior"
        return self.method == "decision_function" and not learned

    def _calibrated(self, p: np.ndarray) -> np.ndarray:
        how = self.calibration
        if how is None:
            return p
        if how["kind"] == "prior":
            with np.errstate(divide="ignore"):
                return np.asarray(1 / (1 + how["odds"] * ((1 - p) / p)))
        score = logit(np.clip(p, *INSIDE)) if how["log_odds"] else p
        if how["kind"] == "sigmoid":
            return np.asarray(expit(how["slope"] * ((score - how["centre"]) / how["width"]) + how["level"]))
        return np.asarray(how["learned"].predict(score), dtype=np.float64)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> ThresholdClassifier:
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = tags.input_tags.categorical = tags.input_tags.string = True
        tags._skip_test = True
        return tags
