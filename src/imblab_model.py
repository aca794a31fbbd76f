"""The classes of exported models: column preparation, and a fitted classifier with its threshold or thresholds.

This module travels with every exported model and imports nothing of imblab, so a model is loaded and served without
it. Nothing here can be fitted: a model predicts as it was exported.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.metaestimators import available_if

#: The open interval of floats between 0 and 1, by its ends.
INSIDE = (np.finfo(np.float64).tiny, 1 - np.finfo(np.float64).epsneg)


def digest(value: Any) -> str:
    """Hash a category; 1, 1.0 and "1" are one category.

    A model stores its categories as hashes, so it contains no cell of its training table. A guessed value can still be
    confirmed.

    Examples
    --------
    >>> digest(1.0) == digest("1"), digest("a") == digest("b")
    (True, False)
    """
    is_whole = isinstance(value, (float, np.floating)) and float(value).is_integer()
    return hashlib.sha256(str(int(value) if is_whole else value).encode()).hexdigest()[:16]


def without_missing(column: pd.Series, markers: Sequence[str]) -> pd.Series:
    """Return a column in which empty texts, and texts and numbers that read as one of the markers, are missing.

    Examples
    --------
    >>> without_missing(pd.Series([1.0, -999.0]), ["-999", "?"]).isna().tolist()
    [False, True]
    >>> without_missing(pd.Series(["a", " ?", "", "b"]), ["?"]).isna().tolist()
    [False, True, True, False]
    """
    if is_bool_dtype(column) or is_datetime64_any_dtype(column):
        return column
    numbers = pd.to_numeric(pd.Series(markers, dtype=object), errors="coerce").dropna().tolist() if markers else []
    if is_numeric_dtype(column):
        return column.mask(column.isin(numbers)) if numbers else column
    try:
        distinct = column.dropna().unique()
    except TypeError:  # lists in cells
        return column
    texts = {text.strip() or text for text in markers} - {""}
    replaced = [
        value
        for value in distinct
        if (value == "" or value in texts or value.strip() in texts if isinstance(value, str) else value in numbers)
    ]
    return column.astype(object).mask(column.isin(replaced)) if replaced else column


def named_frame(X: Any) -> pd.DataFrame | None:
    """Return a table with named columns, of any library that converts to pandas, with texts as names; else None."""
    if isinstance(X, pd.DataFrame):
        pass
    elif hasattr(X, "to_pandas"):
        X = X.to_pandas()
    elif hasattr(X, "__arrow_c_stream__") and (read := getattr(pd.DataFrame, "from_arrow", None)):  # since pandas 3
        X = read(X)
    return X.set_axis([str(name) for name in X.columns], axis=1) if isinstance(X, pd.DataFrame) else None


def plain_array(values: Any) -> np.ndarray:
    """Return an array in which masked cells are missing values.

    Examples
    --------
    >>> plain_array(np.ma.masked_equal([[1, 2]], 2)).tolist()
    [[1.0, nan]]
    """
    if isinstance(values, np.ma.MaskedArray):
        return pd.Series(values.ravel()).to_numpy().reshape(values.shape)
    return np.asarray(values)


def _reads_as_number(value: Any) -> bool:
    try:
        return bool(np.isfinite(float(value))) or pd.isna(value)
    except (TypeError, ValueError):
        return pd.isna(value) is True


class Preparation(BaseEstimator):  # type: ignore[misc]
    """Turn named columns into the array that the learner reads: imputed, standardised, one-hot encoded.

    Parameters
    ----------
    features : sequence of str
        Names of all columns, in the order of the table.
    categorical : sequence of str
        Names of the categorical columns.
    imputer, scaler : fitted transformer or None
        Applied to the other columns; None if there are none.
    known : sequence of mapping of str to float
        For every categorical column the code of each category, by its hash.
    levels : sequence of ndarray
        For every categorical column the codes that have a column of the array.
    fill : sequence of float
        For every categorical column the code of a missing value.
    rare : sequence of (float or None), optional
        For every categorical column the code of its level "rare", which stands for each category that is not in
        ``known``; None where such a category gets zeros.
    missing : sequence of str or None
        Texts and numbers, as text, that are missing values next to the empty text. None, in models of older versions:
        the empty text is not one either.
    """

    #: Value of models that were exported before it was recorded.
    missing: Sequence[str] | None = None

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
        missing: Sequence[str] | None = None,
    ) -> None:
        self.features = features
        self.categorical = categorical
        self.imputer = imputer
        self.scaler = scaler
        self.known = known
        self.levels = levels
        self.fill = fill
        self.rare = rare
        self.missing = missing

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> Preparation:
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Prepare rows.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n_rows, n_features)
            Columns of a DataFrame (of pandas, polars, pyarrow, ...) are taken by name, in any order, and other columns
            are ignored; those of an array by position. Missing values, and what stands for them in the table, are
            imputed. Unknown categories get zeros, or count as rare if that level exists.

        Returns
        -------
        ndarray of shape (n_rows, n_columns)
            C-ordered float64.
        """
        columns = self._select_features(X)
        numeric = [name for name in self.features if name not in set(self.categorical)]
        parts = []
        if numeric:
            numbers = np.column_stack([self._read_numbers(columns[name]) for name in numeric])
            parts.append(self.scaler.transform(self.imputer.transform(numbers)))
        # Models that an older version exported have no rare levels.
        rare = getattr(self, "rare", None) or [None] * len(self.categorical)
        for name, known, levels, fill, other in zip(
            self.categorical, self.known, self.levels, self.fill, rare, strict=True
        ):
            positions, categories = pd.factorize(columns[name])
            unknown = np.nan if other is None else other
            codes = np.array([*(known.get(digest(value), unknown) for value in categories), fill])[positions]
            parts.append((codes[:, None] == np.asarray(levels)).astype(np.float64))
        return np.ascontiguousarray(np.hstack(parts))

    def _select_features(self, X: Any) -> dict[str, pd.Series]:
        """Return the features by name; what stands for a missing value is missing."""
        frame = named_frame(X)
        if frame is None:
            frame = pd.DataFrame(plain_array(X))
            if frame.shape[1] != len(self.features):
                raise ValueError(
                    f"the array has {frame.shape[1]} columns and the model reads {len(self.features)}; columns without "
                    f"names are taken by place. Give the columns {', '.join(self.features)}, in this order."
                )
            frame = frame.set_axis(list(self.features), axis=1)
        counts = Counter(frame.columns)
        for found, n in (("missing", [0]), ("there more than once", range(2, len(frame.columns) + 1))):
            if wrong := [name for name in self.features if counts[name] in n]:
                raise ValueError(
                    f"column {wrong[0]!r} is {found} ({len(wrong)} of {len(self.features)} are); the model reads its "
                    f"features by name. Give the columns {', '.join(self.features)}, each once."
                )
        columns = {name: frame[name] for name in self.features}
        if self.missing is None:
            return columns
        return {name: without_missing(column, self.missing) for name, column in columns.items()}

    def _read_numbers(self, column: pd.Series) -> np.ndarray:
        """Return a column as float64; texts are numbers here, and may read as a marker only now (-999.0)."""
        # As objects, because NumPy casts dates and complex numbers in silence.
        values = column.astype(object) if column.dtype.kind in "Mmc" else column
        try:
            numbers = pd.Series(values.to_numpy(dtype=np.float64, na_value=np.nan))
            numbers = without_missing(numbers, self.missing or ())
            wrong = column[np.isinf(numbers.to_numpy())]
        except (TypeError, ValueError):
            wrong = values[[not _reads_as_number(value) for value in values]]
        if len(wrong):
            raise ValueError(
                f"column {column.name!r} holds {wrong.iloc[0]!r} ({len(wrong)} of {len(column)} rows); the model reads "
                "finite numbers there. Give a number, or a missing value, which is imputed."
            )
        return numbers.to_numpy()


class FrozenClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """What exported classifiers share: they read named columns, and neither fitting nor cloning changes them."""

    preparation: Preparation
    calibration: Mapping[str, Any] | None
    method: Any

    @property
    def n_features_in_(self) -> int:
        """Number of columns that are read."""
        return len(self.preparation.features)

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the columns that are read."""
        return np.array(self.preparation.features, dtype=object)

    def fit(self, X: Any = None, y: Any = None) -> Any:
        """Return the model unchanged: it is frozen."""
        return self

    def scores(self, X: Any) -> np.ndarray:
        """Predict what ranks rows: the calibrated probability of the positive class, or its decision value.

        With more than two classes there is one column per class, in the order of ``labels``.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n_rows, n_features)
            See :meth:`Preparation.transform`.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_classes)
        """
        prepared = self.preparation.transform(X)
        with warnings.catch_warnings():
            # LightGBM names the columns of bare arrays and then misses the names.
            warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
            return self._calibrate(self._learner_output(prepared))

    def _learner_output(self, prepared: np.ndarray) -> np.ndarray:
        """Probabilities or decision values of prepared rows, before calibration."""
        raise NotImplementedError

    def _calibrate(self, output: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _has_decision_values(self) -> bool:
        """Whether the model gives no probabilities."""
        learned = self.calibration is not None and self.calibration["kind"] != "prior"
        return self.method == "decision_function" and not learned

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> Any:
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.categorical = tags.input_tags.string = True
        tags._skip_test = True
        return tags


class ThresholdClassifier(FrozenClassifier):
    """A fitted binary classifier with its threshold, frozen like scikit-learn's ``FrozenEstimator``.

    ``fit`` changes nothing and a clone is the model itself, so that it can stand inside scikit-learn's tools.

    Parameters
    ----------
    preparation : Preparation
        Turns rows into the array that the learner reads.
    learner : classifier
        Fitted on labels 0 and 1.
    threshold : float
        A row is called positive iff the value that ``scale`` names is at or above it.
    negative, positive : label
        The two labels, as in the table.
    calibration : mapping or None
        Turns the learner's output into probabilities: ``{"kind": "prior", "odds": ...}``, ``{"kind": "sigmoid",
        "centre": ..., "width": ..., "slope": ..., "level": ...}`` or ``{"kind": "isotonic", "learned": ...}``;
        ``log_odds`` says whether the last two read the log-odds of the learner's probability, or its output.
    method : {"predict_proba", "decision_function"} or None
        Method of the learner that is called. None, in models of older versions: ``predict_proba`` where it exists, else
        decision values through a logistic function.
    scale : {"probability", "decision_value"}
        Value that is compared with the threshold. A learner with decision values d only has the probability
        ``1 / (1 + exp(-d))``.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels, sorted as everywhere in scikit-learn: the positive one may be the first.
    threshold_ : float
        The threshold that ``predict`` uses.
    n_features_in_ : int
        Number of columns that are read.
    feature_names_in_ : ndarray of str
        Names of the columns that are read.
    """

    #: Values of models that were exported before these were recorded.
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
        """The threshold that ``predict`` uses."""
        return self.threshold

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class, in the order of ``classes_``.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n_rows, n_features)
            See :meth:`Preparation.transform`.

        Returns
        -------
        ndarray of shape (n_rows, 2)
        """
        p = self.positive_proba(X)
        columns = [1 - p, p] if self.classes_[1] == self.positive else [p, 1 - p]
        return np.column_stack(columns)

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels: positive iff the probability or decision value is at or above the threshold.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n_rows, n_features)
            See :meth:`Preparation.transform`.

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        classes = self.classes_
        is_positive = classes == self.positive
        values = self.scores(X) if self.scale == "decision_value" else self.positive_proba(X)
        return np.asarray(np.where(values >= self.threshold, classes[is_positive][0], classes[~is_positive][0]))

    def positive_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of the positive class.

        A learner with decision values d only, and no calibration, gives ``1 / (1 + exp(-d))``: a number from 0 to 1
        for a threshold, not a probability, and tied where d is large.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n_rows, n_features)
            See :meth:`Preparation.transform`.

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        scores = self.scores(X)
        return np.asarray(expit(scores)) if self._has_decision_values() else scores

    @available_if(lambda self: self._has_decision_values())  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> np.ndarray:
        """Predict decision values, which rise with the second of ``classes_``; only for models without probabilities.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n_rows, n_features)
            See :meth:`Preparation.transform`.

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        scores = self.scores(X)
        return scores if self.classes_[1] == self.positive else -scores

    def _learner_output(self, prepared: np.ndarray) -> np.ndarray:
        method = self.method or ("predict_proba" if hasattr(self.learner, "predict_proba") else None)
        column = list(getattr(self.learner, "classes_", (0, 1))).index(1)
        if method == "predict_proba":
            p = np.array(self.learner.predict_proba(prepared)[:, column], dtype=np.float64)
            return np.clip(p, 0.0, 1.0)
        values = np.asarray(self.learner.decision_function(prepared), dtype=np.float64)
        values = values if column == 1 else -values
        return values if self.method else np.asarray(expit(values))

    def _calibrate(self, output: np.ndarray) -> np.ndarray:
        calibration = self.calibration
        if calibration is None:
            return output
        if calibration["kind"] == "prior":
            with np.errstate(divide="ignore"):
                return np.asarray(1 / (1 + calibration["odds"] * ((1 - output) / output)))
        return _map_scores(_map_input(output, calibration), calibration)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


class MulticlassThresholdClassifier(FrozenClassifier):
    """A fitted classifier of more than two classes with a threshold per class, or with costs.

    ``fit`` changes nothing and a clone is the model itself, so that it can stand inside scikit-learn's tools.

    Parameters
    ----------
    preparation : Preparation
        Turns rows into the array that the learner reads.
    learner : classifier
        Fitted on the class indices 0 to n_classes - 1.
    labels : sequence of label
        The labels by class index, as in the table: the most frequent class first, the rarest last.
    thresholds : sequence of float or None
        By class index, in (0, 1). A row is decided for the class with the largest ``(1 - t) / t`` times its
        probability; ties go to the rarer class. None where costs decide.
    costs : sequence of sequence of float or None
        ``costs[i][j]`` is the cost of deciding for class j where i is true. A row is decided for the class of least
        expected cost; ties go to the rarer class.
    calibration : mapping or None
        Turns the learner's output into probabilities: ``{"kind": "prior", "factors": ...}`` with a factor per class, or
        ``{"kind": "sigmoid" or "isotonic", "log_odds": ..., "maps": ...}`` with the values of a map per class, each
        class against the rest, as in :class:`ThresholdClassifier`. Rows are normalised.
    method : {"predict_proba", "decision_function"}
        Method of the learner that is called.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted as everywhere in scikit-learn: another order than that of ``labels``.
    thresholds_ : dict of label to float
        The thresholds that ``predict`` uses; empty where costs decide.
    n_features_in_ : int
        Number of columns that are read.
    feature_names_in_ : ndarray of str
        Names of the columns that are read.
    """

    def __init__(
        self,
        preparation: Preparation,
        learner: Any,
        labels: Sequence[Any],
        thresholds: Sequence[float] | None,
        costs: Sequence[Sequence[float]] | None = None,
        calibration: Mapping[str, Any] | None = None,
        method: str = "predict_proba",
    ) -> None:
        self.preparation = preparation
        self.learner = learner
        self.labels = labels
        self.thresholds = thresholds
        self.costs = costs
        self.calibration = calibration
        self.method = method

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted."""
        return np.array(sorted(self.labels))

    @property
    def thresholds_(self) -> dict[Any, float]:
        """The thresholds that ``predict`` uses, by label."""
        return {} if self.thresholds is None else dict(zip(self.labels, self.thresholds, strict=True))

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels by the thresholds or the costs.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n_rows, n_features)
            See :meth:`Preparation.transform`.

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        values = self.scores(X)
        values = np.asarray(expit(values)) if self._has_decision_values() else values
        if self.thresholds is None:
            table = np.asarray(self.costs, dtype=np.float64)
            risks = np.zeros((len(values), table.shape[1]))
            for true in range(len(table)):  # class by class: a matrix product may round a row by its place
                risks += values[:, true, None] * table[true]
            preferred = -risks
        else:
            limits = np.asarray(self.thresholds, dtype=np.float64)
            preferred = values * ((1 - limits) / limits)
        # The last one of equals is the rarer class.
        decided = preferred.shape[1] - 1 - np.argmax(preferred[:, ::-1], axis=1)
        return np.asarray(np.array(self.labels)[decided])

    @available_if(lambda self: not self._has_decision_values())  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class, in the order of ``classes_``; only for models with probabilities.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n_rows, n_features)
            See :meth:`Preparation.transform`.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
        """
        return self._sorted_columns(self.scores(X))

    @available_if(lambda self: self._has_decision_values())  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> np.ndarray:
        """Predict a decision value per class, in the order of ``classes_``; only for models without probabilities.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n_rows, n_features)
            See :meth:`Preparation.transform`.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
        """
        return self._sorted_columns(self.scores(X))

    def _learner_output(self, prepared: np.ndarray) -> np.ndarray:
        known = list(getattr(self.learner, "classes_", range(len(self.labels))))
        columns = [known.index(index) for index in range(len(self.labels))]
        output = np.asarray(getattr(self.learner, self.method)(prepared))
        values = np.array(output[:, columns], dtype=np.float64, order="C")
        return np.clip(values, 0.0, 1.0) if self.method == "predict_proba" else values

    def _calibrate(self, output: np.ndarray) -> np.ndarray:
        calibration = self.calibration
        if calibration is None:
            return output
        if calibration["kind"] == "prior":
            return _normalise_rows(output * np.asarray(calibration["factors"]))
        scores = _map_input(output, calibration)
        maps = enumerate(calibration["maps"])
        columns = [_map_scores(scores[:, c], {**learned, "kind": calibration["kind"]}) for c, learned in maps]
        return _normalise_rows(np.column_stack(columns))

    def _sorted_columns(self, values: np.ndarray) -> np.ndarray:
        """Columns by class index in the order of ``classes_``."""
        labels = list(self.labels)
        return values[:, [labels.index(label) for label in sorted(labels)]]


def _map_input(output: np.ndarray, calibration: Mapping[str, Any]) -> np.ndarray:
    """What a calibration map reads: the log-odds of the learner's probability, or its output."""
    return np.asarray(logit(np.clip(output, *INSIDE))) if calibration["log_odds"] else output


def _map_scores(scores: np.ndarray, learned: Mapping[str, Any]) -> np.ndarray:
    """Probabilities by the sigmoid or isotonic map of one class."""
    if learned["kind"] == "sigmoid":
        standardised = (scores - learned["centre"]) / learned["width"]
        return np.asarray(expit(learned["slope"] * standardised + learned["level"]))
    return np.asarray(learned["learned"].predict(scores), dtype=np.float64)


def _normalise_rows(values: np.ndarray) -> np.ndarray:
    """Divide each row by its sum; a row that sums to 0 gets equal values."""
    totals = values.sum(axis=1, keepdims=True)
    uniform = np.full(values.shape, 1 / values.shape[1])
    return np.asarray(np.divide(values, totals, out=uniform, where=totals != 0))
