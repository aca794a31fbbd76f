"""Fit requests and their predictions: prepare -> sample -> one-hot -> fit -> predict, and which requests share a fit.

The steps are applied here, because imbalanced-learn's Pipeline cannot carry ``sample_weight`` through a sampler.
With ``protocol.inner: shared`` the model without the outer folds i and j serves both as outer fold. A booster that has
made 100 rounds can predict as it would have after 50: the file of such a learner declares how to ask it, for which
kinds of boosting that holds, and how to see that every round was made.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import InitVar, dataclass, field, replace
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_sample_weight

from imblab.core import estimator_specs, own_code, sampling, search, step_rows
from imblab.core.preparation import PreparedRows
from imblab.core.splits import InnerFolds, RowPair
from imblab.errors import FitFailed, foreign_reason
from imblab.stats.probabilities import power_weights
from imblab.study import DECISION_VALUE, Choice, Dataset, Learner, Make, Scalar, Tuning, fingerprint
from imblab.weights import BALANCED, computed_weight, weight_power

#: How far rounding may carry a probability beyond 0 and 1; it is clipped there.
ROUNDING = 1e-12
#: The time that a library puts in front of its message.
LOG_TIME = re.compile(r"^\[\d\d:\d\d:\d\d\] ")


class MissingRounds(Exception):
    """Raised if a booster stopped early: it cannot predict as after any number of rounds."""


@dataclass(frozen=True, slots=True, eq=False)
class FitRequest:
    """A request to fit some rows and to predict others; frozen, with its address computed once."""

    dataset: str  # fingerprint of the table
    #: rows to fit, rows to predict
    fit: np.ndarray
    rows: np.ndarray
    learner: Make  # estimator specification with the tuned parameters merged in
    sampler: Make | None  # in the form that suits the columns of the table
    knobs: Mapping[str, Scalar]  # searched parameters of the sampler, such as ``ratio`` and ``k``
    weight: float | str | None  # as it is computed: see :func:`imblab.weights.computed_weight`
    seed: int  # random state of sampler and learner
    fingerprints: InitVar[tuple[str, str] | None] = None
    #: of ``fit`` and ``rows``; computed unless they are passed as ``fingerprints``
    fit_fingerprint: str = field(init=False)
    rows_fingerprint: str = field(init=False)
    #: hash of everything that determines the prediction, with the versions of the libraries and the source of the
    #: user's own classes
    address: str = field(init=False)
    #: whether the address covers the code that runs; predictions are not stored otherwise
    is_storable: bool = field(init=False)

    def __post_init__(self, fingerprints: tuple[str, str] | None) -> None:
        object.__setattr__(self, "learner", estimator_specs.as_spec(self.learner))
        object.__setattr__(self, "sampler", self.sampler and estimator_specs.as_spec(self.sampler))
        fit, rows = fingerprints or (fingerprint(self.fit), fingerprint(self.rows))
        code = own_code.code_dependencies((self.learner, self.sampler))
        parts = [
            *(self.dataset, fit, rows, self.learner, self.sampler, self.knobs, self.weight, self.seed),
            estimator_specs.library_versions(self.learner),
            self.sampler and estimator_specs.library_versions(self.sampler),
            # Older stores hold these learners' decision values through a logistic: they must not be found again.
            *([] if estimator_specs.gives_probabilities(self.learner) else [DECISION_VALUE]),
            # Left out if the versions of packages determine all code.
            *([code.code, list(code.versions)] if code.code or code.versions else []),
        ]
        object.__setattr__(self, "fit_fingerprint", fit)
        object.__setattr__(self, "rows_fingerprint", rows)
        object.__setattr__(self, "address", fingerprint(parts))
        object.__setattr__(self, "is_storable", code.is_known)


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Predictions for the rows of a fit request."""

    #: (n_rows,), or (n_rows, n_classes): predicted probability of the positive class, or of each class; the decision
    #: values of a learner without probabilities
    values: np.ndarray
    is_probability: bool  # which of the two ``values`` are
    reached: Mapping[str, Any]  # see :func:`reached_counts`
    notes: tuple[str, ...] = ()  # remarks on the fit, such as missing convergence


#: A request and the keyword arguments with which ``predict_proba`` serves it.
StagedRequest = tuple[FitRequest, Mapping[str, Any]]


def fit_request(
    dataset: Dataset,
    learner: Make,
    sampler: Make | None,
    params: Mapping[str, Scalar],
    seed: int,
    fit: np.ndarray,
    rows: np.ndarray,
    fingerprints: tuple[str, str] | None = None,
) -> FitRequest:
    """Make a request from flat params: those of the learner, the knobs of the sampler and the weight.

    ``fingerprints`` are those of ``fit`` and ``rows``, if they are known.
    """
    knobs = search.sampler_params(params)
    weight = computed_weight(params.get("weight"))
    make = with_tuned_params(learner, params)
    return FitRequest(dataset.fingerprint, fit, rows, make, sampler, knobs, weight, seed, fingerprints)


def with_tuned_params(learner: Make, params: Mapping[str, Scalar]) -> Make:
    """Merge tuned parameters into the specification of a learner.

    Examples
    --------
    >>> with_tuned_params({"_target_": "sklearn.svm.SVC"}, {"ratio": 0.5, "learner.C": 2.0})
    {'_target_': 'sklearn.svm.SVC', 'C': 2.0}
    """
    values = search.learner_params(params)
    return {**learner, **values} if values else learner


def fit_predict(request: FitRequest, prepared: PreparedRows) -> Prediction:
    """Fit one request, given the prepared rows of ``request.fit``, and predict; see :func:`fit_predict_many`."""
    return fit_predict_many(request, [(request, {})], prepared)[0]


def fit_predict_many(
    fitted: FitRequest,
    requests: Iterable[StagedRequest],
    prepared: PreparedRows,
    expected_rounds: tuple[str, int] | None = None,
) -> list[Prediction]:
    """Fit one request and predict for every request that this fit serves.

    The requests differ in the rows to predict, or in a number of rounds, for which ``predict_proba`` has keyword
    arguments. ``expected_rounds`` are an attribute of the fitted learner and the value it must have, else MissingRounds
    is raised. FitFailed is raised for any exception of the sampler or the learner, with its message in one line.
    """
    with recorded_warnings() as recorded:
        try:
            learner, y = fit_learner(fitted, prepared)
            if expected_rounds and getattr(learner, expected_rounds[0]) != expected_rounds[1]:
                raise MissingRounds
            make, n_classes = fitted.learner, len(prepared.classes)
            values = [predict_values(learner, make, prepared.transform(r.rows), s, n_classes) for r, s in requests]
        except MissingRounds:
            raise
        except sampling.UnusableOutput as error:
            raise FitFailed(str(error)) from error
        except BaseException as error:  # any library may raise anything: it becomes the evaluation's reason
            raise FitFailed(f"{type(error).__name__}: {LOG_TIME.sub('', foreign_reason(error))}") from error
        has_converged = not any(issubclass(w.category, ConvergenceWarning) for w in recorded)
    notes = (*prepared.notes, *(() if has_converged else ("the learner did not converge",)))
    reached, is_probability = reached_counts(fitted, y, n_classes), estimator_specs.gives_probabilities(make)
    return [Prediction(v, is_probability, reached, notes) for v in values]


#: The warnings since the fit began, while they are recorded.
_RECORDED_WARNINGS: list[list[warnings.WarningMessage]] = []


@contextmanager
def recorded_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Record the warnings of fits; nested inside another recording, only those from here on.

    A recording around many fits saves the change of filters in each, which takes as long as a draw of SMOTE.
    """
    if _RECORDED_WARNINGS:
        _RECORDED_WARNINGS[0].clear()
        yield _RECORDED_WARNINGS[0]
        return
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always", ConvergenceWarning)
        # LightGBM names the columns of bare arrays and then misses the names.
        warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
        _RECORDED_WARNINGS.append(recorded)
        try:
            yield recorded
        finally:
            _RECORDED_WARNINGS.clear()


#: Specifications of learners whose parameters scikit-learn has accepted in this process.
_ACCEPTED_SPECS: set[str] = set()


def fit_learner(request: FitRequest, prepared: PreparedRows) -> tuple[Any, np.ndarray]:
    """Sample and fit; returns the learner and the labels it received. Raises the exceptions of its libraries.

    Checks that cannot change between fits are skipped: prepared rows are known to be finite, and the parameters of a
    learner were accepted by its first fit.
    """
    if request.sampler is None:
        X, y = prepared.X, prepared.y
        sampling.check_classes(y, "the fit part holds", classes=prepared.classes)
    else:
        X, y = prepared.resampler.resample(request.sampler, request.knobs, request.seed)
    X = prepared.encode(X)
    step_rows.note_rows(step_rows.LEARNER, X, y)
    learner = estimator_specs.build_estimator(request.learner, allow=None, seed=request.seed)
    spec = estimator_specs.spec_text(request.learner)
    with config_context(assume_finite=prepared.finite, skip_parameter_validation=spec in _ACCEPTED_SPECS):
        learner.fit(_read_only(X), _read_only(y), **_sample_weights(request.weight, y))
    _ACCEPTED_SPECS.add(spec)
    return learner, y


def _sample_weights(weight: float | str | None, y: np.ndarray) -> dict[str, np.ndarray]:
    if weight is None:
        return {}
    if weight == BALANCED:
        return {"sample_weight": compute_sample_weight(BALANCED, y)}
    power = weight_power(weight)
    if power is not None:
        return {"sample_weight": power_weights(np.bincount(y), power)[y]}
    return {"sample_weight": np.where(y == 1, float(weight), 1.0)}


def _read_only(rows: np.ndarray) -> np.ndarray:
    """Return a view that a learner cannot write into: other fits read the same rows."""
    view = rows.view()
    view.flags.writeable = False
    return view


def predict_values(learner: Any, make: Make, X: np.ndarray, stage: Mapping[str, Any], n_classes: int = 2) -> np.ndarray:
    """Predict the probabilities of a learner, or the decision values of one without probabilities, as float64.

    The learner was built from ``make`` and fitted on the labels 0 to n_classes - 1; ``stage`` holds keyword arguments
    of ``predict_proba``. With two classes the values are of class 1, of shape (n_rows,), else one column per class in
    their order. UnusableOutput if the shape or the classes are others, a value is not finite, or a probability lies
    outside [0, 1].
    """
    if estimator_specs.gives_probabilities(make):
        return _check_proba(learner, learner.predict_proba(_read_only(X), **stage), len(X), n_classes)
    return _check_decision_value(learner, learner.decision_function(_read_only(X)), len(X), n_classes)


def reached_counts(request: FitRequest, y: np.ndarray, n_classes: int) -> dict[str, Any]:
    """Return how many rows of each class a learner received, as an evaluation records it.

    ``negative`` and ``positive``, with more than two classes ``classes``: a tuple of the counts by class index. In
    front of them the name of the ``sampler`` class, where there is one.
    """
    counts = np.bincount(y, minlength=n_classes).tolist()
    names: dict[str, Any] = {"classes": tuple(counts)}
    if n_classes == 2:
        names = dict(zip(("negative", "positive"), counts, strict=True))
    return names if request.sampler is None else {"sampler": request.sampler["_target_"].rsplit(".", 1)[-1], **names}


#: The value of the argument for a number of rounds, by the declared form.
_STAGE_FORMS: dict[str, Callable[[int], Any]] = {"count": int, "range": lambda n: (0, n)}


class FitSharing:
    """Find fits that can be reused: shared inner folds, and the boosting stages of grids.

    ``pairs`` are all inner (fit, validate) pairs of the bundle, ``fingerprints`` those of both parts of each, if known.
    """

    def __init__(
        self,
        learner: Learner,
        tuning: Tuning,
        pairs: Sequence[RowPair],
        fingerprints: Sequence[tuple[str, str]] | None = None,
    ) -> None:
        keys = fingerprints or InnerFolds(pairs).fingerprints
        self._rows: dict[str, dict[str, np.ndarray]] = {}
        for (fit_key, validate_key), (_, validate) in sorted(
            zip(keys, pairs, strict=True), key=lambda item: item[0][1]
        ):
            self._rows.setdefault(fit_key, {})[validate_key] = validate
        self._staged = learner.traits.staged
        self._rounds = _shared_rounds(learner, tuning)
        self._cached: dict[str, tuple[FitRequest, list[StagedRequest]]] = {}

    def fit_for(self, request: FitRequest) -> tuple[FitRequest, list[StagedRequest]]:
        """Return the request to fit, and every request that this fit serves, the given one first."""
        if request.address not in self._cached:
            self._cached[request.address] = self._fit_for(request)
        return self._cached[request.address]

    def _fit_for(self, request: FitRequest) -> tuple[FitRequest, list[StagedRequest]]:
        validate_rows = self._rows.get(request.fit_fingerprint, {})
        if not validate_rows or (len(validate_rows) == 1 and not self._rounds):
            return request, [(request, {})]
        by_rows = {
            key: request
            if key == request.rows_fingerprint
            else replace(request, rows=rows, fingerprints=(request.fit_fingerprint, key))
            for key, rows in validate_rows.items()
        }
        served = [request, *(other for key, other in by_rows.items() if key != request.rows_fingerprint)]
        # The fit has one address, whichever of its requests comes first.
        fitted = next(iter(by_rows.values()))
        if not self._is_staged(request):
            for given in served[1:]:
                others = [other for other in by_rows.values() if other is not given]
                self._cached[given.address] = fitted, [(other, {}) for other in (given, *others)]
            return fitted, [(other, {}) for other in served]
        first = request.learner[self._staged["parameter"]]
        rounds = [first, *(n for n in self._rounds if n != first)]
        return self._with_rounds(fitted, max(self._rounds)), [
            (self._with_rounds(other, n), {self._staged["argument"]: _STAGE_FORMS[self._staged["form"]](n)})
            for other in served
            for n in rounds
        ]

    def expected_rounds(self, request: FitRequest) -> tuple[str, int] | None:
        """Return the attribute of a fitted learner that counts its rounds, and their number; None for no check."""
        if not self._is_staged(request) or "made" not in self._staged:
            return None
        return self._staged["made"], max(self._rounds)

    def disable_stages(self) -> None:
        """Fit every number of rounds by itself from now on."""
        self._rounds = ()
        self._cached.clear()

    def _is_staged(self, request: FitRequest) -> bool:
        """Whether later rounds leave earlier ones as they are, for the requested kind of boosting."""
        kinds = self._staged.get("only", {}) if self._rounds else {}
        return bool(self._rounds) and all(request.learner.get(name) in allowed for name, allowed in kinds.items())

    def _with_rounds(self, request: FitRequest, n: int) -> FitRequest:
        fingerprints = request.fit_fingerprint, request.rows_fingerprint
        return replace(request, learner={**request.learner, self._staged["parameter"]: n}, fingerprints=fingerprints)


def _shared_rounds(learner: Learner, tuning: Tuning) -> tuple[int, ...]:
    """Return the numbers of rounds that one fit serves; empty if each needs its own.

    Only a grid asks for several numbers with everything else equal.
    """
    if not learner.traits.staged or not tuning.tune_learner or tuning.search_method.is_drawn:
        return ()
    axis = learner.space.get(learner.traits.staged["parameter"])
    return tuple(int(n) for n in axis.values) if isinstance(axis, Choice) else ()


def _check_proba(learner: Any, output: Any, n_rows: int, n_classes: int = 2) -> np.ndarray:
    """Return float64 probabilities from the output of ``predict_proba``: of the positive class, or of each of several.

    The order of the learner's ``classes_`` determines the columns. Values that rounding carried beyond [0, 1] by at
    most 1e-12 are clipped; rows are not renormalised. Raises UnusableOutput if the shape is not ``(n_rows, n_classes)``
    or a value is not a probability.
    """
    subject = f"learner {type(learner).__name__!r} returned"
    table = sampling.as_real_array(output, subject, "probabilities")
    if table.shape != (n_rows, n_classes):
        raise sampling.UnusableOutput(
            f"{subject} probabilities of shape {table.shape} for {n_rows} rows of {n_classes} classes; predict_proba "
            f"gives shape {(n_rows, n_classes)}. Correct its predict_proba, or exclude it."
        )
    columns = _class_columns(learner, n_classes)
    proba = _as_float64(table[:, columns[1] if n_classes == 2 else columns])
    _check_finite(proba, subject, "probabilities")
    outside = (proba < 0) | (proba > 1)
    if outside.any():
        if ((proba < -ROUNDING) | (proba > 1 + ROUNDING)).any():
            raise sampling.UnusableOutput(
                f"{subject} {np.count_nonzero(outside)} of {proba.size} probabilities outside 0 to 1 (lowest "
                f"{proba.min():g}, highest {proba.max():g}); a probability lies from 0 to 1. Correct its "
                "predict_proba, or exclude it."
            )
        proba = np.clip(proba, 0.0, 1.0)
    return proba


def _check_decision_value(learner: Any, output: Any, n_rows: int, n_classes: int = 2) -> np.ndarray:
    """Return float64 decision values that rise with their class from the output of ``decision_function``.

    With two classes they are those of the positive one: scikit-learn's rise with the second of a learner's
    ``classes_``. With more there is one column per class. Raises UnusableOutput if the shape is not ``(n_rows,)`` or
    ``(n_rows, n_classes)``, or a value is not a finite real number.
    """
    subject = f"learner {type(learner).__name__!r} returned"
    table = sampling.as_real_array(output, subject, "decision values")
    shape, count = ((n_rows,), "two") if n_classes == 2 else ((n_rows, n_classes), str(n_classes))
    if table.shape != shape:
        raise sampling.UnusableOutput(
            f"{subject} decision values of shape {table.shape} for {n_rows} rows; with {count} classes "
            f"decision_function gives shape {shape}. Correct its decision_function, or exclude it."
        )
    # Without classes_ they are taken in the order in which scikit-learn sorts them.
    is_sorted = getattr(learner, "classes_", None) is None
    columns = list(range(n_classes)) if is_sorted else _class_columns(learner, n_classes)
    values = _as_float64(table if n_classes == 2 else table[:, columns])
    _check_finite(values, subject, "decision values")
    return -values if columns == [1, 0] else values


def _as_float64(values: np.ndarray) -> np.ndarray:
    """Copy as float64; what is too large for it becomes infinite, which is refused."""
    with np.errstate(over="ignore"):
        return np.array(values, dtype=np.float64, order="C")


def _class_columns(learner: Any, n_classes: int) -> list[int]:
    """Return the position of each class among the ``classes_`` of a learner."""
    classes = getattr(learner, "classes_", None)
    labels = None if classes is None else np.asarray(classes).tolist()
    if labels is None or len(labels) != n_classes or not all(c in labels for c in range(n_classes)):
        problem = "has no classes_" if labels is None else f"has the classes {labels}"
        fitted = "0 and 1" if n_classes == 2 else f"0 to {n_classes - 1}"
        raise sampling.UnusableOutput(
            f"learner {type(learner).__name__!r} {problem} after a fit on the labels {fitted}; classes_ says which "
            "column is which. Correct its fit, or exclude it."
        )
    return [labels.index(c) for c in range(n_classes)]


def _check_finite(values: np.ndarray, subject: str, what: str) -> None:
    if np.isfinite(values).all():
        return
    n_missing, n_infinite = np.count_nonzero(np.isnan(values)), np.count_nonzero(np.isinf(values))
    counts = " and ".join(f"{n} {word}" for n, word in ((n_missing, "NaN"), (n_infinite, "infinite")) if n)
    raise sampling.UnusableOutput(
        f"{subject} {counts} of {values.size} {what}; each must be a finite number. Check its parameters, or exclude "
        "it."
    )
