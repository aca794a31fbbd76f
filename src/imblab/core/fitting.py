"""One fit, in the one order: impute -> standardise -> group rare levels -> sampler -> one-hot -> learner.

Imputer, scaler, groups of levels and encoder are fitted on real fit rows only; validation and test rows are only
transformed. The steps are applied here, because imbalanced-learn's Pipeline cannot carry ``sample_weight`` through a
sampler.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sklearn import get_config, set_config
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_sample_weight

from imblab.core import estimator_specs, own_code, prediction_checks, search
from imblab.core.preparation import PreparedRows, row_digest
from imblab.core.splits import RowPair
from imblab.errors import foreign_reason
from imblab.study import DECISION_VALUE, Choice, Dataset, Learner, Make, Scalar, Tuning, fingerprint

#: The time that a library puts before what it says.
LOG_TIME = re.compile(r"^\[\d\d:\d\d:\d\d\] ")


class FitFailed(Exception):
    """A fit that raised; its text is the reason that a row keeps.

    Parameters
    ----------
    reason : str
    """


@dataclass(frozen=True, slots=True, eq=False)
class FitRequest:
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
        plain = [self.dataset, row_digest(self.fit), row_digest(self.rows), self.learner, self.sampler, self.knobs]
        named = [
            self.weight,
            self.seed,
            estimator_specs.library_versions(self.learner),
            self.sampler and estimator_specs.library_versions(self.sampler),
            # Older stores hold these learners' decision values through a logistic: no value to be found again.
            *([] if estimator_specs.gives_probabilities(self.learner) else [DECISION_VALUE]),
        ]
        rests = own_code.rests((self.learner, self.sampler))
        # Nothing of it stands in an address where the version of a package says everything.
        code = [rests.code, list(rests.versions)] if rests.code or rests.versions else []
        object.__setattr__(self, "address", fingerprint([*plain, *named, *code]))
        object.__setattr__(self, "is_storable", rests.is_known)


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


def fit_predict(atom: FitRequest, prepared: PreparedRows) -> Prediction:
    """Answer one atom.

    Parameters
    ----------
    atom : FitRequest
    prepared : PreparedRows
        Of ``atom.fit``.

    Returns
    -------
    Prediction

    Raises
    ------
    FitFailed
        Whatever the sampler or the learner raised, as a reason in one line.
    """
    return fit_predict_many(atom, [(atom, {})], prepared)[0]


#: What was said since the fit began, while somebody listens.
_RECORDED_WARNINGS: list[list[warnings.WarningMessage]] = []


@contextmanager
def recorded_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Hear the warnings of fits; inside another one, only what is said from here on.

    Around many fits it spares each of them the change of the filters, which takes as long as a draw of SMOTE.
    """
    if _RECORDED_WARNINGS:
        _RECORDED_WARNINGS[0].clear()
        yield _RECORDED_WARNINGS[0]
        return
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ConvergenceWarning)
        # LightGBM names the columns of bare arrays and then misses the names.
        warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
        _RECORDED_WARNINGS.append(said)
        try:
            yield said
        finally:
            _RECORDED_WARNINGS.clear()


class MissingRounds(Exception):
    """A booster made fewer rounds than asked: it does not know what it would have said after any number."""


def fit_predict_many(
    atom: FitRequest,
    asked: Iterable[tuple[FitRequest, Mapping[str, Any]]],
    prepared: PreparedRows,
    made: tuple[str, int] | None = None,
) -> list[Prediction]:
    """Fit one atom and answer every atom that this fit answers.

    Parameters
    ----------
    atom : FitRequest
        What is fitted.
    asked : iterable of (FitRequest, mapping)
        Atoms that differ in their rows, or in a number of rounds that the keyword arguments of ``predict_proba`` say.
    prepared : PreparedRows
        Of ``atom.fit``.
    made : (str, int), optional
        An attribute of the fitted learner and the number it must be.

    Returns
    -------
    list of Prediction

    Raises
    ------
    FitFailed
    MissingRounds
        If the attribute is another number.
    """
    with recorded_warnings() as said:
        try:
            learner, y = fit_learner(atom, prepared)
            if made and getattr(learner, made[0]) != made[1]:
                raise MissingRounds
            found = [predict_values(learner, atom.learner, prepared.transform(a.rows), stage) for a, stage in asked]
        except MissingRounds:
            raise
        except prediction_checks.UnusableOutput as error:
            raise FitFailed(str(error)) from error
        except BaseException as error:  # any library may raise anything: it becomes the row's reason
            raise FitFailed(_failure_reason(error)) from error
        unsettled = any(issubclass(w.category, ConvergenceWarning) for w in said)
    notes = (*prepared.notes, *(("the learner did not converge",) if unsettled else ()))
    reached, is_probability = _reached_counts(atom, y), estimator_specs.gives_probabilities(atom.learner)
    return [Prediction(values, is_probability, reached, notes) for values in found]


#: Texts of learners whose parameters scikit-learn has accepted in this process.
_ACCEPTED_SPECS: set[str] = set()


def fit_learner(atom: FitRequest, prepared: PreparedRows) -> tuple[Any, np.ndarray]:
    """The fitted learner of an atom, and the labels of the rows that it received; raises what its libraries raise.

    It is fitted without what scikit-learn checks at every fit though it cannot have changed since the first: rows are
    finite as soon as the table is, and the parameters of a learner were accepted by its first fit. A sampler works
    before that and is checked every time.
    """
    X, y = _resample(atom, prepared)
    if atom.sampler is None:
        prediction_checks.check_classes(y, "the fit part holds")
    learner, text = (
        estimator_specs.build_estimator(atom.learner, allow=None, seed=atom.seed),
        estimator_specs.spec_text(atom.learner),
    )
    before = get_config()
    set_config(assume_finite=prepared.finite, skip_parameter_validation=text in _ACCEPTED_SPECS)
    try:
        learner.fit(_read_only(prepared.encode(X)), _read_only(y), **_sample_weights(atom.weight, y))
    finally:
        set_config(**{name: before[name] for name in ("assume_finite", "skip_parameter_validation")})
    if len(_ACCEPTED_SPECS) > 10_000:
        _ACCEPTED_SPECS.clear()
    _ACCEPTED_SPECS.add(text)
    return learner, y


def fit_request(
    dataset: Dataset,
    learner: Make,
    sampler: Make | None,
    params: Mapping[str, Scalar],
    seed: int,
    fit: np.ndarray,
    rows: np.ndarray,
) -> FitRequest:
    """The atom behind flat params: what goes to the learner, what to the sampler, what is the weight."""
    knobs = search.sampler_params(params)
    weight = params.get("weight")
    assert weight is None or isinstance(weight, (int, float, str))
    return FitRequest(dataset.fingerprint, fit, rows, with_tuned_params(learner, params), sampler, knobs, weight, seed)


def with_tuned_params(learner: Make, params: Mapping[str, Scalar]) -> Make:
    """The text of a learner with the parameters that were tuned for it.

    Examples
    --------
    >>> tuned({"_target_": "sklearn.svm.SVC"}, {"ratio": 0.5, "learner.C": 2.0})
    {'_target_': 'sklearn.svm.SVC', 'C': 2.0}
    """
    values = search.learner_params(params)
    return {**learner, **values} if values else learner


def _resample(atom: FitRequest, prepared: PreparedRows) -> tuple[np.ndarray, np.ndarray]:
    if atom.sampler is None:
        return prepared.X, prepared.y
    return prepared.resampler.resample(atom.sampler, atom.knobs, atom.seed)


def _sample_weights(weight: float | str | None, y: np.ndarray) -> dict[str, np.ndarray]:
    if weight is None:
        return {}
    if weight == "balanced":
        return {"sample_weight": compute_sample_weight("balanced", y)}
    return {"sample_weight": np.where(y == 1, float(weight), 1.0)}


def _read_only(rows: np.ndarray) -> np.ndarray:
    """A view that a learner cannot write into: other fits read the same rows. scikit-learn copies where it must."""
    view = rows.view()
    view.flags.writeable = False
    return view


def predict_values(learner: Any, make: Make, X: np.ndarray, stage: Mapping[str, Any]) -> np.ndarray:
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
    UnusableOutput
        If the answer is no finite number a row, or a probability outside [0, 1].
    """
    if estimator_specs.gives_probabilities(make):
        return prediction_checks.check_proba(learner, learner.predict_proba(_read_only(X), **stage), len(X))
    return prediction_checks.check_decision_value(learner, learner.decision_function(_read_only(X)), len(X))


def _reached_counts(atom: FitRequest, y: np.ndarray) -> dict[str, Any]:
    positive = int(np.count_nonzero(y))
    counts: dict[str, Any] = {"negative": len(y) - positive, "positive": positive}
    return counts if atom.sampler is None else {"sampler": atom.sampler["_target_"].rsplit(".", 1)[-1], **counts}


def _failure_reason(error: BaseException) -> str:
    # XGBoost says when it failed: the same failure would read otherwise each time.
    return f"{type(error).__name__}: {LOG_TIME.sub('', foreign_reason(error))}"


#: An atom and the keyword arguments with which ``predict_proba`` answers it.
StagedRequest = tuple[FitRequest, Mapping[str, Any]]
#: What the argument is given, by the declared form.
_STAGE_FORMS: dict[str, Callable[[int], Any]] = {"count": int, "range": lambda n: (0, n)}


class FitSharing:
    """The fits of some bundles of one data set and learner.

    Parameters
    ----------
    learner : Learner
    tuning : Tuning
    pairs : iterable of (ndarray, ndarray)
        Every inner (fit, validate) pair that will be asked about.
    """

    def __init__(self, learner: Learner, tuning: Tuning, pairs: Iterable[RowPair]) -> None:
        self._rows: dict[str, list[np.ndarray]] = {}
        for fit, validate in sorted(pairs, key=lambda pair: row_digest(pair[1])):
            self._rows.setdefault(row_digest(fit), []).append(validate)
        self._staged = learner.staged
        self._rounds = shared_rounds(learner, tuning)
        self._known: dict[str, tuple[FitRequest, list[StagedRequest]]] = {}

    def family(self, atom: FitRequest) -> tuple[FitRequest, list[StagedRequest]]:
        """The atom to fit for an answer, and every atom that this fit answers, the given one first.

        Parameters
        ----------
        atom : FitRequest

        Returns
        -------
        fitted : FitRequest
        asked : list of (FitRequest, mapping)
        """
        if atom.address not in self._known:
            self._known[atom.address] = self._family(atom)
        return self._known[atom.address]

    def _family(self, atom: FitRequest) -> tuple[FitRequest, list[StagedRequest]]:
        key = row_digest(atom.fit)
        if key not in self._rows or (len(self._rows[key]) == 1 and not self._rounds):
            return atom, [(atom, {})]
        mine = row_digest(atom.rows)
        others = [atom, *(replace(atom, rows=rows) for rows in self._rows[key] if row_digest(rows) != mine)]
        # One name for the fit, whichever of its questions is asked first.
        fitted = replace(atom, rows=self._rows[key][0])
        if not self._is_staged(atom):
            return fitted, [(other, {}) for other in others]
        return self._at(fitted, max(self._rounds)), [
            (self._at(other, n), self._stage(n)) for other in others for n in self._in_order(atom)
        ]

    def made(self, atom: FitRequest) -> tuple[str, int] | None:
        """Where a fitted learner says how many rounds it made, and how many it must be; None for no matter."""
        if not self._is_staged(atom) or "made" not in self._staged:
            return None
        return self._staged["made"], max(self._rounds)

    def alone(self) -> None:
        """Let every number of rounds be fitted by itself from now on."""
        self._rounds = ()
        self._known.clear()

    def _is_staged(self, atom: FitRequest) -> bool:
        """Whether later rounds leave earlier ones as they are, for the kind of boosting that is asked for."""
        kinds = self._staged.get("only", {}) if self._rounds else {}
        return bool(self._rounds) and all(atom.learner.get(name) in allowed for name, allowed in kinds.items())

    def _in_order(self, atom: FitRequest) -> Sequence[int]:
        own = atom.learner[self._staged["parameter"]]
        return [own, *(n for n in self._rounds if n != own)]

    def _at(self, atom: FitRequest, n: int) -> FitRequest:
        return replace(atom, learner={**atom.learner, self._staged["parameter"]: n})

    def _stage(self, n: int) -> dict[str, Any]:
        return {self._staged["argument"]: _STAGE_FORMS[self._staged["form"]](n)}


def shared_rounds(learner: Learner, tuning: Tuning) -> tuple[int, ...]:
    """The numbers of rounds of which the largest answers for all; empty where each needs a fit.

    Only a grid asks for several numbers with everything else equal.

    Examples
    --------
    >>> staged = {"parameter": "n_estimators", "argument": "num_iteration", "form": "count"}
    >>> booster = Learner("b", {}, {"n_estimators": Choice((50, 100))}, staged)
    >>> rounds(booster, Tuning("grid", tune_learner=True)), rounds(booster, Tuning("tpe", 5, tune_learner=True))
    ((50, 100), ())
    """
    if not learner.staged or not tuning.tune_learner or tuning.search_method.is_drawn:
        return ()
    axis = learner.space.get(learner.staged["parameter"])
    return tuple(int(n) for n in axis.values) if isinstance(axis, Choice) else ()
