"""One fit, in the one order: impute -> standardise -> group rare levels -> sampler -> one-hot -> learner.

Imputer, scaler, groups of levels and encoder are fitted on real fit rows only; validation and test rows are only
transformed. The steps are applied here, because imbalanced-learn's Pipeline cannot carry ``sample_weight`` through a
sampler.
"""

from __future__ import annotations

import re
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from sklearn import get_config, set_config
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import has_fit_parameter

from imblab.core import estimator_specs, own_code, prediction_checks
from imblab.core.levels import RareLevels
from imblab.core.resampling import Resampler, room
from imblab.core.scaling import Scaling
from imblab.core.spaces import LEARNER
from imblab.errors import foreign_reason
from imblab.study import DECISION_VALUE, Dataset, Make, Scalar, fingerprint

#: The code of "no category was ever seen here"; it becomes a constant column.
NOTHING = -1.0
#: The time that a library puts before what it says.
CLOCK = re.compile(r"^\[\d\d:\d\d:\d\d\] ")
#: Bytes of transformed rows beyond which they are not kept.
MOST_KEPT = 32 * 2**20


class FitFailed(Exception):
    """A fit that raised; its text is the reason that a row keeps.

    Parameters
    ----------
    reason : str
    """


@dataclass(frozen=True, slots=True, eq=False)
class Atom:
    """Fit these rows with these params, give the predictions of those rows.

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
    address : str
        Hash of everything that decides the answer, the versions of the libraries and code of the user's own included.
    is_storable : bool
        Whether the address is known to be that of the code that runs: no answer is kept otherwise.
    """

    dataset: str
    fit: np.ndarray
    rows: np.ndarray
    learner: Make
    sampler: Make | None
    knobs: Mapping[str, Scalar]
    weight: float | str | None
    seed: int
    address: str = field(init=False)
    is_storable: bool = field(init=False)

    def __post_init__(self) -> None:
        plain = [self.dataset, digest(self.fit), digest(self.rows), self.learner, self.sampler, self.knobs]
        named = [
            self.weight,
            self.seed,
            estimator_specs.versions(self.learner),
            self.sampler and estimator_specs.versions(self.sampler),
            # Older stores hold these learners' decision values through a logistic: no value to be found again.
            *([] if gives_probabilities(self.learner) else [DECISION_VALUE]),
        ]
        rests = own_code.rests((self.learner, self.sampler))
        # Nothing of it stands in an address where the version of a package says everything.
        code = [rests.code, list(rests.versions)] if rests.code or rests.versions else []
        object.__setattr__(self, "address", fingerprint([*plain, *named, *code]))
        object.__setattr__(self, "is_storable", rests.is_known)


#: Digests of index arrays by identity: they are made once, never change, and stand in many atoms.
_DIGESTS: dict[int, tuple[weakref.ref[np.ndarray], str]] = {}


def digest(rows: np.ndarray) -> str:
    """The address of an index array."""
    known = _DIGESTS.get(id(rows))
    if known is None or known[0]() is not rows:
        if len(_DIGESTS) > 10_000:
            _DIGESTS.clear()
        known = _DIGESTS[id(rows)] = weakref.ref(rows), fingerprint(rows)
    return known[1]


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The answer of an atom.

    Attributes
    ----------
    values : ndarray of shape (n_rows,)
        Predicted probability of the positive class; the decision value of a learner without probabilities.
    is_probability : bool
        Which of the two ``values`` are.
    reached : mapping
        ``negative`` and ``positive`` rows the learner received, and the ``sampler`` class.
    notes : tuple of str
        What went less than well.
    """

    values: np.ndarray
    is_probability: bool
    reached: Mapping[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The features of a data set as two float64 arrays.

    Attributes
    ----------
    numeric : ndarray of shape (n_rows, n_numeric)
        In file order; NaN where missing.
    codes : ndarray of shape (n_rows, n_categorical)
        Positions among the sorted categories of each column; NaN where missing.
    names : tuple of str
        Of the columns of ``numeric``, then of ``codes``.
    y : ndarray of shape (n_rows,)
    gaps : ndarray of shape (n_columns,), bool
        Whether a column misses a value anywhere.
    rare : int or None
        Levels with fewer fit rows than this are one level.
    n_levels : tuple of int
        Of each column of ``codes``.
    """

    numeric: np.ndarray
    codes: np.ndarray
    names: tuple[str, ...]
    y: np.ndarray
    gaps: np.ndarray
    rare: int | None = None
    n_levels: tuple[int, ...] = ()


def table_of(dataset: Dataset) -> Table:
    """The arrays behind a data set, made once."""
    numeric = [c for c in dataset.X.columns if c not in dataset.categorical]
    coded = [c for c in dataset.X.columns if c in dataset.categorical]
    columns = [dataset.X[c].cat.codes.to_numpy(dtype=np.float64) for c in coded]
    codes = np.column_stack(columns) if columns else np.empty((len(dataset.y), 0))
    codes[codes < 0] = np.nan
    numbers = np.empty((len(dataset.y), len(numeric)))
    for i, name in enumerate(numeric):  # column by column: no second copy of a large table
        numbers[:, i] = dataset.X[name].to_numpy(dtype=np.float64)
    gaps = np.concatenate([np.isnan(part).any(axis=0) for part in (numbers, codes)])
    n_levels = tuple(len(dataset.X[c].cat.categories) for c in coded)
    return Table(numbers, codes, (*numeric, *coded), dataset.y, gaps, dataset.rare, n_levels)


class Prepared:
    """The fit rows of one part of a table, imputed and standardised once, and the way to transform other rows.

    Parameters
    ----------
    data : Dataset or Table
    fit : ndarray of int64
        Row numbers.
    reach : int, default=0
        The largest k that a sampler will be asked for.

    Attributes
    ----------
    X : ndarray of shape (n_fit, n_columns), float64, C-ordered
        Numeric columns first in file order, then categorical ones as codes.
    y : ndarray of shape (n_fit,)
    categorical : list of int
        Positions of the categorical columns in ``X``.
    notes : tuple of str
        Columns that hold no value here.
    rare_levels : RareLevels or None
        What was learned of rare levels, where the table asks for it.
    finite : bool
        Whether every value of ``X`` is a number; then so is every value made of them.
    """

    def __init__(self, data: Dataset | Table, fit: np.ndarray, reach: int = 0) -> None:
        self._table = table = data if isinstance(data, Table) else table_of(data)
        self._first, width = table.numeric.shape[1], len(table.names)
        self.categorical = list(range(self._first, width))
        self.y = table.y[fit]
        # SMOTE puts its rows behind the real ones: no ratio copies those again.
        whole = np.empty((len(fit) + room(self.y), width))
        self.X = self._raw(fit, whole[: len(fit)])
        self.notes = self._empty()
        numeric, codes = self.X[:, : self._first], self.X[:, self._first :]
        # Without a single missing value in the table the imputer is the identity: left out.
        self._impute = (
            SimpleImputer(strategy="median", keep_empty_features=True).fit(numeric)
            if table.gaps[: self._first].any()
            else None
        )
        self._imputed(numeric)
        self._scaling = Scaling(numeric)
        self._fill = np.array([_most_frequent(column) for column in codes.T])
        self.rare_levels: RareLevels | None = None
        self._finished(self.X)
        if table.rare is not None and self.categorical:
            self.rare_levels = RareLevels(codes, table.rare, table.n_levels)
            self.rare_levels.apply(codes)
        self.finite = bool(np.isfinite(self.X).all())
        self._levels = [np.unique(self.X[:, column]) for column in self.categorical]
        self.resampler = Resampler(whole, self.y, self.categorical, reach)
        self._answered: list[tuple[np.ndarray, np.ndarray]] = []

    def transform(self, rows: np.ndarray) -> np.ndarray:
        """The rows as the learner reads them: one-hot for categories, zeros for unseen ones."""
        # The candidates of a part answer for the same rows one after the other: for two folds where both share a fit.
        for known, X in self._answered:
            if known is rows:
                return X
        X = self._raw(rows, np.empty((len(rows), self.X.shape[1])))
        self._imputed(X[:, : self._first])
        X = self.encode(self._finished(X))
        if X.nbytes < MOST_KEPT:  # large ones are made again: they would lie idle while the next candidate is fitted
            self._answered = [*self._answered[-1:], (rows, X)]
        return X

    @property
    def filled(self) -> np.ndarray:
        """The code of each coded column that a missing value becomes."""
        codes: np.ndarray = self._fill[None].copy()
        if self.rare_levels is not None:
            self.rare_levels.apply(codes)
        return codes.ravel()

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

    def _raw(self, rows: np.ndarray, into: np.ndarray) -> np.ndarray:
        """Rows of the table as they are."""
        if self.categorical:
            into[:, : self._first] = self._table.numeric.take(rows, axis=0)
            into[:, self._first :] = self._table.codes.take(rows, axis=0)
        else:  # "clip", because "raise" would make a copy first
            self._table.numeric.take(rows, axis=0, out=into, mode="clip")
        return into

    def _imputed(self, numeric: np.ndarray) -> None:
        if self._impute is not None:
            numeric[:] = self._impute.transform(numeric)

    def _finished(self, X: np.ndarray) -> np.ndarray:
        """Imputed numeric columns standardised, coded columns filled and their rare levels grouped, in place."""
        self._scaling.apply(X[:, : self._first])
        if self.categorical:
            codes = X[:, self._first :]
            np.copyto(codes, self._fill, where=np.isnan(codes))
            if self.rare_levels is not None:
                self.rare_levels.apply(codes)
        return X

    def _empty(self) -> tuple[str, ...]:
        gaps = np.flatnonzero(self._table.gaps)
        empty = [self._table.names[i] for i in gaps if np.isnan(self.X[:, i]).all()]
        return tuple(f"column {name!r} holds no value in a fit part and was filled with 0" for name in empty)


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
    return fit_answer(atom, [(atom, {})], prepared)[0]


#: What was said since the fit began, while somebody listens.
_SAID: list[list[warnings.WarningMessage]] = []


@contextmanager
def listening() -> Iterator[list[warnings.WarningMessage]]:
    """Hear the warnings of fits; inside another one, only what is said from here on.

    Around many fits it spares each of them the change of the filters, which takes as long as a draw of SMOTE.
    """
    if _SAID:
        _SAID[0].clear()
        yield _SAID[0]
        return
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ConvergenceWarning)
        # LightGBM names the columns of bare arrays and then misses the names.
        warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
        _SAID.append(said)
        try:
            yield said
        finally:
            _SAID.clear()


class RoundsMissing(Exception):
    """A booster made fewer rounds than asked: it does not know what it would have said after any number."""


def fit_answer(
    atom: Atom,
    asked: Iterable[tuple[Atom, Mapping[str, Any]]],
    prepared: Prepared,
    made: tuple[str, int] | None = None,
) -> list[Prediction]:
    """Fit one atom and answer every atom that this fit answers.

    Parameters
    ----------
    atom : Atom
        What is fitted.
    asked : iterable of (Atom, mapping)
        Atoms that differ in their rows, or in a number of rounds that the keyword arguments of ``predict_proba`` say.
    prepared : Prepared
        Of ``atom.fit``.
    made : (str, int), optional
        An attribute of the fitted learner and the number it must be.

    Returns
    -------
    list of Prediction

    Raises
    ------
    FitFailed
    RoundsMissing
        If the attribute is another number.
    """
    with listening() as said:
        try:
            learner, y = learned(atom, prepared)
            if made and getattr(learner, made[0]) != made[1]:
                raise RoundsMissing
            found = [predicted(learner, atom.learner, prepared.transform(a.rows), stage) for a, stage in asked]
        except RoundsMissing:
            raise
        except prediction_checks.UnusableAnswer as error:
            raise FitFailed(str(error)) from error
        except BaseException as error:  # any library may raise anything: it becomes the row's reason
            raise FitFailed(_reason(error)) from error
        unsettled = any(issubclass(w.category, ConvergenceWarning) for w in said)
    notes = (*prepared.notes, *(("the learner did not converge",) if unsettled else ()))
    reached, is_probability = _reached(atom, y), gives_probabilities(atom.learner)
    return [Prediction(values, is_probability, reached, notes) for values in found]


#: Texts of learners whose parameters scikit-learn has accepted in this process.
_ACCEPTED: set[str] = set()


def learned(atom: Atom, prepared: Prepared) -> tuple[Any, np.ndarray]:
    """The fitted learner of an atom, and the labels of the rows that it received; raises what its libraries raise.

    It is fitted without what scikit-learn checks at every fit though it cannot have changed since the first: rows are
    finite as soon as the table is, and the parameters of a learner were accepted by its first fit. A sampler works
    before that and is checked every time.
    """
    X, y = _resampled(atom, prepared)
    if atom.sampler is None:
        prediction_checks.check_classes(y, "the fit part holds")
    learner, text = (
        estimator_specs.build(atom.learner, allow=None, seed=atom.seed),
        estimator_specs.written(atom.learner),
    )
    before = get_config()
    set_config(assume_finite=prepared.finite, skip_parameter_validation=text in _ACCEPTED)
    try:
        learner.fit(_sealed(prepared.encode(X)), _sealed(y), **_weights(atom.weight, y))
    finally:
        set_config(**{name: before[name] for name in ("assume_finite", "skip_parameter_validation")})
    if len(_ACCEPTED) > 10_000:
        _ACCEPTED.clear()
    _ACCEPTED.add(text)
    return learner, y


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
    knobs = {name: params[name] for name in ("ratio", "k") if name in params}
    weight = params.get("weight")
    assert weight is None or isinstance(weight, (int, float, str))
    return Atom(dataset.fingerprint, fit, rows, tuned(learner, params), sampler, knobs, weight, seed)


def tuned(learner: Make, params: Mapping[str, Scalar]) -> Make:
    """The text of a learner with the parameters that were tuned for it.

    Examples
    --------
    >>> tuned({"_target_": "sklearn.svm.SVC"}, {"ratio": 0.5, "learner.C": 2.0})
    {'_target_': 'sklearn.svm.SVC', 'C': 2.0}
    """
    found = {name.removeprefix(LEARNER): value for name, value in params.items() if name.startswith(LEARNER)}
    return {**learner, **found} if found else learner


def _resampled(atom: Atom, prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
    if atom.sampler is None:
        return prepared.X, prepared.y
    return prepared.resampler.resample(atom.sampler, atom.knobs, atom.seed)


def _weights(weight: float | str | None, y: np.ndarray) -> dict[str, np.ndarray]:
    if weight is None:
        return {}
    if weight == "balanced":
        return {"sample_weight": compute_sample_weight("balanced", y)}
    return {"sample_weight": np.where(y == 1, float(weight), 1.0)}


def _sealed(rows: np.ndarray) -> np.ndarray:
    """A view that a learner cannot write into: other fits read the same rows. scikit-learn copies where it must."""
    view = rows.view()
    view.flags.writeable = False
    return view


def predicted(learner: Any, make: Make, X: np.ndarray, stage: Mapping[str, Any]) -> np.ndarray:
    """Predict the probability of class 1, or the decision value of a learner without probabilities.

    Parameters
    ----------
    learner : classifier
        Fitted on labels 0 and 1.
    make : mapping
        The text that it was built from.
    X : ndarray of shape (n_rows, n_columns)
    stage : mapping
        Keyword arguments of ``predict_proba``.

    Returns
    -------
    ndarray of shape (n_rows,)

    Raises
    ------
    UnusableAnswer
        If the answer is no finite number a row, or a probability outside [0, 1].
    """
    if gives_probabilities(make):
        return prediction_checks.probability(learner, learner.predict_proba(_sealed(X), **stage), len(X))
    return prediction_checks.decision_value(learner, learner.decision_function(_sealed(X)), len(X))


def gives_probabilities(make: Make) -> bool:
    """Whether a learner predicts probabilities; one without gives decision values."""
    return estimator_specs.offers(make, "predict_proba")


def takes_weights(make: Make) -> bool:
    """Whether a learner's ``fit`` has a ``sample_weight``."""
    return _takes_weights(estimator_specs.resolve(make["_target_"], allow=None))


@lru_cache(maxsize=256)
def _takes_weights(cls: type) -> bool:
    return bool(has_fit_parameter(cls, "sample_weight"))


def _reached(atom: Atom, y: np.ndarray) -> dict[str, Any]:
    positive = int(np.count_nonzero(y))
    counts: dict[str, Any] = {"negative": len(y) - positive, "positive": positive}
    return counts if atom.sampler is None else {"sampler": atom.sampler["_target_"].rsplit(".", 1)[-1], **counts}


def _most_frequent(codes: np.ndarray) -> float:
    """The most frequent code; ties go to the lowest, as in scikit-learn's SimpleImputer."""
    seen, counts = np.unique(codes[~np.isnan(codes)], return_counts=True)
    return float(seen[counts.argmax()]) if len(seen) else NOTHING


def _reason(error: BaseException) -> str:
    # XGBoost says when it failed: the same failure would read otherwise each time.
    return f"{type(error).__name__}: {CLOCK.sub('', foreign_reason(error))}"
