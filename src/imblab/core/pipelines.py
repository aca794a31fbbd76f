"""One fit, in the one order: impute -> standardise -> sampler -> one-hot -> learner.

Imputer, scaler and encoder are fitted on real fit rows only; validation and test rows are only transformed. The steps
are applied here, because imbalanced-learn's Pipeline cannot carry ``sample_weight`` through a sampler.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import has_fit_parameter

from imblab.core import targets
from imblab.core.spaces import LEARNER
from imblab.records import Dataset, Make, Scalar, fingerprint

#: The code of "no category was ever seen here"; it becomes a constant column.
NOTHING = -1.0


class FitFailed(Exception):
    """A fit that raised; its text is the reason that a row keeps."""


@dataclass(frozen=True, slots=True, eq=False)
class Atom:
    """Fit these rows with these params, give the probabilities of those rows.

    Attributes
    ----------
    dataset : str
        Fingerprint of the table.
    fit, rows : ndarray of int64
        Rows to learn from, rows to answer for.
    learner : mapping
        With the tuned parameters merged in.
    sampler : mapping or None
        In the form that suits the table.
    knobs : mapping
        ``ratio`` and ``k`` of the sampler, where it has them.
    weight : float, "balanced" or None
    seed : int
    """

    dataset: str
    fit: np.ndarray
    rows: np.ndarray
    learner: Make
    sampler: Make | None
    knobs: Mapping[str, Scalar]
    weight: float | str | None
    seed: int

    @property
    def address(self) -> str:
        """Hash of everything that decides the answer."""
        plain = [self.dataset, self.learner, self.sampler, self.knobs, self.weight, self.seed]
        return fingerprint(plain, self.fit, self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The answer of an atom.

    Attributes
    ----------
    p : ndarray of shape (n_rows,)
        Probability of the positive class, or a decision value through a logistic where ``calibrated`` is False.
    calibrated : bool
        Whether the learner claims that ``p`` is a probability.
    reached : mapping
        ``negative`` and ``positive`` rows the learner received, and the ``sampler`` class.
    notes : tuple of str
        What went less than well.
    """

    p: np.ndarray
    calibrated: bool
    reached: Mapping[str, Any]
    notes: tuple[str, ...] = ()


class Prepared:
    """The fit rows of one part of a table, imputed and standardised once, and the way to transform other rows.

    Parameters
    ----------
    dataset : Dataset
    fit : ndarray of int64
        Row numbers.

    Attributes
    ----------
    X : ndarray of shape (n_fit, n_columns), float64, C-ordered
        Numeric columns first in file order, then categorical ones as codes.
    y : ndarray of shape (n_fit,)
    categorical : list of int
        Positions of the categorical columns in ``X``.
    notes : tuple of str
        Columns that hold no value here.
    """

    def __init__(self, dataset: Dataset, fit: np.ndarray) -> None:
        numeric, codes = matrix(dataset)
        self._numeric, self._codes = numeric, codes
        self.categorical = list(range(numeric.shape[1], numeric.shape[1] + codes.shape[1]))
        self.notes = _empty_columns(dataset, fit)
        # Without a single missing value in the table the imputer is the identity: left out.
        self._impute = (
            SimpleImputer(strategy="median", keep_empty_features=True).fit(numeric[fit])
            if np.isnan(numeric).any()
            else None
        )
        self._scale = StandardScaler().fit(self._imputed(fit)) if numeric.shape[1] else None
        self._fill = np.array([_most_frequent(column) for column in codes[fit].T])
        self.X = self._coded(fit)
        self.y = dataset.y[fit]
        self._levels = [np.unique(self.X[:, column]) for column in self.categorical]

    def transform(self, rows: np.ndarray) -> np.ndarray:
        """The rows as the learner reads them: one-hot for categories, zeros for unseen ones."""
        return self.encode(self._coded(rows))

    def encode(self, X: np.ndarray) -> np.ndarray:
        """Replace the coded columns by one column a level seen in the real fit rows."""
        if not self.categorical:
            return X
        first = self.categorical[0]
        hot = [
            (X[:, column, None] == levels).astype(np.float64)
            for column, levels in zip(self.categorical, self._levels, strict=True)
        ]
        return np.ascontiguousarray(np.hstack([X[:, :first], *hot]))

    def _imputed(self, rows: np.ndarray) -> np.ndarray:
        part = self._numeric[rows]
        return part if self._impute is None else np.asarray(self._impute.transform(part))

    def _coded(self, rows: np.ndarray) -> np.ndarray:
        parts = [] if self._scale is None else [self._scale.transform(self._imputed(rows))]
        if self.categorical:
            codes = self._codes[rows]
            parts.append(np.where(np.isnan(codes), self._fill, codes))
        return np.ascontiguousarray(np.hstack(parts), dtype=np.float64)


def matrix(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The features as two float64 arrays: numeric columns in file order, categorical columns as codes.

    Returns
    -------
    numeric : ndarray of shape (n_rows, n_numeric)
    codes : ndarray of shape (n_rows, n_categorical)
        Positions among the sorted categories of the table; NaN where missing.
    """
    numeric = [c for c in dataset.X.columns if c not in dataset.categorical]
    codes = [dataset.X[c].cat.codes.to_numpy(dtype=np.float64) for c in dataset.X.columns if c in dataset.categorical]
    coded = np.column_stack(codes) if codes else np.empty((len(dataset.y), 0))
    return dataset.X[numeric].to_numpy(dtype=np.float64), np.where(coded < 0, np.nan, coded)


def form(sampler: Make | None, dataset: Dataset) -> Make | None:
    """The form of a sampler that suits the column types of a table.

    Parameters
    ----------
    sampler : mapping or None
    dataset : Dataset

    Returns
    -------
    mapping or None
        None where there is no sampler, or none that can read the table's categorical columns.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> toy = Dataset("toy", pd.DataFrame({"a": [1.0, 2.0]}), np.array([0, 1]), ("no", "yes"))
    >>> form({"_target_": "imblearn.over_sampling.SMOTE"}, toy)
    {'_target_': 'imblearn.over_sampling.SMOTE'}
    """
    if sampler is None:
        return None
    if not dataset.categorical:
        return {key: value for key, value in sampler.items() if key not in ("_mixed_", "_categorical_")}
    key = "_categorical_" if len(dataset.categorical) == dataset.X.shape[1] else "_mixed_"
    chosen: Make | None = sampler.get(key)
    return chosen


def fit_predict(atom: Atom, prepared: Prepared) -> Prediction:
    """Answer one atom.

    Parameters
    ----------
    atom : Atom
    prepared : Prepared
        Of ``atom.fit``.

    Returns
    -------
    Prediction

    Raises
    ------
    FitFailed
        Whatever the sampler or the learner raised, as a reason in one line.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ConvergenceWarning)
        try:
            X, y = _resampled(atom, prepared)
            X = prepared.encode(X)
            learner = seeded(targets.build(atom.learner), atom.seed)
            learner.fit(X, y, **_weights(atom.weight, y))
            p, calibrated = _positive(learner, prepared.transform(atom.rows))
        except Exception as error:  # any library may raise anything: it becomes the row's reason
            raise FitFailed(_reason(error)) from error
    if not np.isfinite(p).all():
        raise FitFailed("the learner gave probabilities that are not finite")
    unsettled = any(issubclass(w.category, ConvergenceWarning) for w in said)
    notes = (*prepared.notes, *(("the learner did not converge",) if unsettled else ()))
    return Prediction(p, calibrated, _reached(atom, y), notes)


def atom_of(
    dataset: Dataset,
    learner: Make,
    sampler: Make | None,
    params: Mapping[str, Scalar],
    seed: int,
    fit: np.ndarray,
    rows: np.ndarray,
) -> Atom:
    """The atom behind flat params: what goes to the learner, what to the sampler, what is the weight."""
    tuned = {name.removeprefix(LEARNER): value for name, value in params.items() if name.startswith(LEARNER)}
    knobs = {name: params[name] for name in ("ratio", "k") if name in params}
    weight = params.get("weight")
    assert weight is None or isinstance(weight, (int, float, str))
    return Atom(dataset.fingerprint, fit, rows, {**learner, **tuned}, sampler, knobs, weight, seed)


def seeded(estimator: Any, seed: int) -> Any:
    """Give every ``random_state`` inside an estimator the one seed."""
    names = [name for name in estimator.get_params() if name.split("__")[-1] == "random_state"]
    return estimator.set_params(**dict.fromkeys(names, seed))


def _resampled(atom: Atom, prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
    if atom.sampler is None:
        return prepared.X, prepared.y
    make = with_knobs(atom.sampler, atom.knobs)
    sampler = seeded(targets.build(make, {**atom.knobs, "categorical": prepared.categorical}), atom.seed)
    X, y = sampler.fit_resample(prepared.X, prepared.y)
    return np.ascontiguousarray(X, dtype=np.float64), y


def with_knobs(make: Make, knobs: Mapping[str, Scalar]) -> Make:
    """Say where the knobs of a sampler go, unless its text says so with ``$ratio`` and ``$k``.

    Examples
    --------
    >>> with_knobs({"_target_": "imblearn.over_sampling.ADASYN"}, {"ratio": 0.5, "k": 3})
    {'_target_': 'imblearn.over_sampling.ADASYN', 'sampling_strategy': '$ratio', 'n_neighbors': '$k'}
    """
    written = json.dumps(make, default=dict)
    known = targets.parameters(make)
    neighbours = "k_neighbors" if "k_neighbors" in known else "n_neighbors"
    places = {"ratio": "sampling_strategy", "k": neighbours}
    return {**make, **{places[knob]: f"${knob}" for knob in knobs if f'"${knob}"' not in written}}


def _weights(weight: float | str | None, y: np.ndarray) -> dict[str, np.ndarray]:
    if weight is None:
        return {}
    if weight == "balanced":
        return {"sample_weight": compute_sample_weight("balanced", y)}
    return {"sample_weight": np.where(y == 1, float(weight), 1.0)}


def _positive(learner: Any, X: np.ndarray) -> tuple[np.ndarray, bool]:
    """Probability of class 1; learners without probabilities give their decision values through a logistic."""
    with warnings.catch_warnings():
        # LightGBM names the columns of bare arrays and then misses the names.
        warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
        if not gives_probabilities(learner):
            return np.asarray(expit(learner.decision_function(X)), dtype=np.float64), False
        column = list(learner.classes_).index(1)
        return np.asarray(learner.predict_proba(X)[:, column], dtype=np.float64), True


def gives_probabilities(learner: Any) -> bool:
    """Whether a learner claims probabilities, rather than scores."""
    return hasattr(learner, "predict_proba")


def takes_weights(make: Make) -> bool:
    """Whether a learner's ``fit`` has a ``sample_weight``."""
    return bool(has_fit_parameter(targets.resolve(make["_target_"]), "sample_weight"))


def _reached(atom: Atom, y: np.ndarray) -> dict[str, Any]:
    positive = int(y.sum())
    counts: dict[str, Any] = {"negative": len(y) - positive, "positive": positive}
    return counts if atom.sampler is None else {"sampler": atom.sampler["_target_"].rsplit(".", 1)[-1], **counts}


def _most_frequent(codes: np.ndarray) -> float:
    """The most frequent code; ties go to the lowest, as in scikit-learn's SimpleImputer."""
    seen, counts = np.unique(codes[~np.isnan(codes)], return_counts=True)
    return float(seen[counts.argmax()]) if len(seen) else NOTHING


def _empty_columns(dataset: Dataset, fit: np.ndarray) -> tuple[str, ...]:
    part = dataset.X.iloc[fit]
    empty = [str(c) for c in part.columns if part[c].isna().all()]
    return tuple(f"column {name!r} holds no value in a fit part and was filled with 0" for name in empty)


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
