"""Proof of origin: which rows entered every step of an evaluation, checked against its folds.

The steps note their rows while the evaluation runs (:mod:`imblab.core.step_rows`). They are compared, value by value,
with the rows that the training part gives by imputer, scaler and encoder of scikit-learn and by the sampler of
imbalanced-learn, fitted on the training part alone. What was chosen (knobs, threshold, calibration) is chosen again
with other labels and other predictions of the test rows, and must not change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from imblab.core import estimator_specs, fitting, step_rows
from imblab.core.classes import class_targets
from imblab.core.evaluate import Task, evaluate_cell
from imblab.core.fitting import FitRequest, Prediction
from imblab.core.preparation import UNSEEN_CATEGORY_CODE, FeatureArrays, PreparedRows
from imblab.core.replay import find_copies
from imblab.core.sampling import DenseOneHotEncoder, with_knobs
from imblab.core.step_rows import StepRows
from imblab.errors import FitFailed, foreign_reason
from imblab.result import Evaluation

#: Values that differ by less, absolutely and relative to their size, are those of the same row.
SAME_ROW_TOLERANCE = 1e-9
#: Decimals by which rows of the table are recognised among those that entered a step.
RECOGNISED_DECIMALS = 7
#: Bytes of prepared parts cached at once; those of one part always are.
MAX_CACHED_PART_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Intrusion:
    """A step that learned from other rows than those of its part."""

    step: str  # as :mod:`imblab.core.step_rows` names it, or ``knobs``
    reason: str  # what entered, in words that follow the name of the step
    test_rows: int = 0  # rows of the outer test part among them, as far as they are recognised


@dataclass(frozen=True, slots=True)
class CellOrigins:
    """The rows that entered the steps of one evaluation, and the steps that learned from rows of other parts."""

    evaluation: Evaluation  # as it was made again
    fits: int  # whose rows were recorded
    rows: dict[str, int]  # that entered, by step, summed over fits; synthetic ones of the learner are ``synthetic``
    intrusions: tuple[Intrusion, ...]


def trace_cell(task: Task, arrays: FeatureArrays, largest_k: int = 0) -> CellOrigins:
    """Evaluate a cell, whose ``predict`` is not used, and check the rows that enter every step against its folds.

    ``largest_k`` is that of :class:`imblab.core.preparation.PreparedRows`.
    """
    tracer = _Tracer(task, arrays, largest_k)
    with step_rows.recorded_steps() as choices:
        evaluation = evaluate_cell(replace(task, predict=tracer))
    tracer.check_choices(choices)
    tracer.check_changed_test_rows(evaluation)
    return CellOrigins(evaluation, tracer.fits, dict(tracer.rows), tuple(dict.fromkeys(tracer.intrusions)))


class _Tracer:
    """Fits the requests of one evaluation, and checks the rows of every step."""

    def __init__(self, task: Task, arrays: FeatureArrays, largest_k: int) -> None:
        self.task, self.arrays, self.largest_k = task, arrays, largest_k
        self.fits, self.rows, self.intrusions = 0, Counter[str](), list[Intrusion]()
        self._predictions: dict[str, Prediction | FitFailed] = {}
        self._parts: dict[str, _Part] = {}

    def __call__(self, request: FitRequest) -> Prediction:
        """Return the prediction of a request; each is fitted and checked once."""
        if request.address not in self._predictions:
            self._predictions[request.address] = self._fit(request)
        prediction = self._predictions[request.address]
        if isinstance(prediction, FitFailed):
            raise prediction
        return prediction

    def _fit(self, request: FitRequest) -> Prediction | FitFailed:
        self._check_request(request)
        part = self._part(request)
        with step_rows.recorded_steps() as steps:
            try:
                prediction: Prediction | FitFailed = fitting.fit_predict(request, part.prepared)
            except FitFailed as error:
                return error
        self.fits += 1
        self._check_steps(request, part, [*part.noted, *steps])
        return prediction

    def _part(self, request: FitRequest) -> _Part:
        """Prepare the fit rows of a request, once for all candidates that fit them."""
        key = request.fit_fingerprint
        if key not in self._parts:
            while sum(part.plain.nbytes for part in self._parts.values()) > MAX_CACHED_PART_BYTES:
                self._parts.pop(next(iter(self._parts)))
            with step_rows.recorded_steps() as noted:
                prepared = PreparedRows(self.arrays, request.fit, self.largest_k)
            self._parts[key] = _Part(prepared, noted, _prepare_plainly(self.arrays, request.fit))
        return self._parts[key]

    def _check_request(self, request: FitRequest) -> None:
        """Check the row numbers of a request: fit rows are training rows, and none of them is predicted."""
        split = self.task.cell.split
        strange = request.fit[~np.isin(request.fit, split.train)]
        if len(strange):
            self._report("fit", f"{len(strange)} of {len(request.fit)} rows are not training rows", strange)
        if overlap := len(np.intersect1d(request.fit, request.rows)):
            self._report("fit", f"{overlap} of its rows are predicted by the same fit", request.fit[:0])

    def _report(self, step: str, reason: str, rows: np.ndarray) -> None:
        test_rows = int(np.isin(rows, self.task.cell.split.test).sum())
        self.intrusions.append(Intrusion(step, reason, test_rows))

    def _check_steps(self, request: FitRequest, part: _Part, steps: Sequence[StepRows]) -> None:
        """Compare the rows of every step with those that the fit rows give."""
        try:
            expected = self._expected_steps(request, part.plain)
        except Exception as error:  # a sampler may raise anything
            reason = f"by itself it raises {type(error).__name__}: {foreign_reason(error)}"
            self._report(step_rows.SAMPLER, reason, request.fit[:0])
            return
        noted = {each.step for each in steps}
        for step in expected.keys() - noted:
            self._report(step, "no rows were recorded", request.fit[:0])
        for each in steps:
            self.rows[each.step] += len(each.X)
            images = expected.get(each.step)
            if images is None:
                self._report(each.step, "it is not a step of this fit", request.fit[:0])
            elif reason := images.difference(each):
                self._report(each.step, reason, images.recognise(each, request.fit))
        learner = expected[step_rows.LEARNER]
        self.rows["synthetic"] += len(learner.X) - learner.n_real

    def _expected_steps(self, request: FitRequest, plain: _PlainPreparation) -> dict[str, _ExpectedRows]:
        """Return what each step should receive, by plain steps on the fit rows alone."""
        fit, y = request.fit, self.arrays.y[request.fit]
        expected = {step: _ExpectedRows(X[fit], None, X, len(fit)) for step, X in plain.steps.items()}
        X, labels, n_real = plain.table[fit], y, len(fit)
        if request.sampler is not None:
            expected[step_rows.SAMPLER] = _ExpectedRows(X, y, plain.table, len(fit))
            X, labels = _plain_resample(request, X, y, range(plain.n_numeric, X.shape[1]), self.task)
            n_real = int(find_copies(X, plain.table[fit]).sum())
        learned = _ExpectedRows(plain.encode(X), labels, plain.encode(plain.table), n_real)
        return {**expected, step_rows.LEARNER: learned}

    def check_choices(self, choices: Sequence[StepRows]) -> None:
        """Check that thresholds and calibrations were learned from the inner validation rows alone."""
        y = self.task.dataset.y
        folds = [y[validate] for _, validate in self.task.pairs]
        # A calibration is also learned without one of the folds, to predict it.
        others = [[*folds[:i], *folds[i + 1 :]] for i in range(len(folds))]
        allowed = {each.tobytes() for each in map(np.concatenate, [folds, *(some for some in others if some)])}
        for each in choices:
            self.rows[each.step] += len(each.X)
            if each.y is None or each.y.astype(y.dtype).tobytes() not in allowed:
                reason = f"its {len(each.X)} rows are not the {sum(map(len, folds))} inner validation rows"
                self._report(each.step, reason, y[:0])
        strange = [v for _, validate in self.task.pairs for v in validate[np.isin(validate, self.task.cell.split.test)]]
        if strange:
            self._report(step_rows.THRESHOLD, f"{len(strange)} validation rows are test rows", np.array(strange))

    def check_changed_test_rows(self, evaluation: Evaluation) -> None:
        """Choose again with other labels and predictions of the test rows: nothing may change."""
        task, test = self.task, self.task.cell.split.test
        y = task.dataset.y.copy()
        y[test] = (y[test] + 1) % len(task.dataset.classes)

        def changed(request: FitRequest) -> Prediction:
            prediction = self(request)
            if not np.isin(request.rows, test).any():
                return prediction
            return replace(prediction, values=np.roll(prediction.values, 1, axis=0))

        fits = self.fits
        again = evaluate_cell(replace(task, dataset=replace(task.dataset, y=y), predict=changed))
        if self.fits != fits or again.status != evaluation.status:
            self._report("knobs", "other fits are asked for where the labels of the test rows change", test[:0])
        for step, names in {"knobs": ("params", "value", "trials"), step_rows.THRESHOLD: ("threshold",)}.items():
            if any(getattr(evaluation, name) != getattr(again, name) for name in names):
                self._report(step, "it changes with the labels and predictions of the test rows", test)


@dataclass(frozen=True, slots=True, eq=False)
class _ExpectedRows:
    """The rows that a step should receive, and how every row of the table would enter it.

    ``n_real`` rows are rows of the table; the others are synthetic.
    """

    X: np.ndarray
    y: np.ndarray | None
    table: np.ndarray
    n_real: int

    def difference(self, noted: StepRows) -> str:
        """Say how the rows of a step differ from these; empty if they do not."""
        if noted.X.shape != self.X.shape:
            return f"{len(noted.X)} rows entered, and its part has {len(self.X)}"
        is_close = np.isclose(noted.X, self.X, SAME_ROW_TOLERANCE, SAME_ROW_TOLERANCE, equal_nan=True)
        is_other = ~is_close.all(axis=1)
        if is_other.any():
            return f"{int(is_other.sum())} of {len(self.X)} rows are not those that the training rows give"
        if self.y is not None and (noted.y is None or not np.array_equal(noted.y, self.y)):
            return f"labels of its {len(self.X)} rows are not those of the training rows"
        return ""

    def recognise(self, noted: StepRows, fit: np.ndarray) -> np.ndarray:
        """Return the numbers of the rows of the table, outside of the fit rows, that entered a step unchanged."""
        if noted.X.shape[1:] != self.table.shape[1:]:
            return fit[:0]
        entered, known, table = (np.round(X, RECOGNISED_DECIMALS) for X in (noted.X, self.table[fit], self.table))
        strange = entered[~find_copies(entered, known)]
        return np.setdiff1d(np.flatnonzero(find_copies(table, strange)), fit) if len(strange) else fit[:0]


@dataclass(frozen=True, slots=True, eq=False)
class _PlainPreparation:
    """The rows of a table as imputer, scaler and encoder of scikit-learn give them, fitted on the fit rows alone.

    ``steps`` hold what each of them receives, by step, for all rows of the table; ``table`` is what a sampler receives.
    """

    steps: dict[str, np.ndarray]
    table: np.ndarray
    n_numeric: int
    levels: list[np.ndarray]

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.table.nbytes + sum(X.nbytes for X in self.steps.values())

    def encode(self, X: np.ndarray) -> np.ndarray:
        """Replace coded columns by one column per level of the fit rows."""
        hot = [(X[:, self.n_numeric + i, None] == values).astype(np.float64) for i, values in enumerate(self.levels)]
        return np.hstack([X[:, : self.n_numeric], *hot])


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Fit rows as the kernel prepares them, what its steps noted meanwhile, and the same rows prepared plainly."""

    prepared: PreparedRows
    noted: list[StepRows]
    plain: _PlainPreparation


def _prepare_plainly(arrays: FeatureArrays, fit: np.ndarray) -> _PlainPreparation:
    n_numeric, steps = arrays.numeric.shape[1], dict[str, np.ndarray]()
    numbers, codes = np.array(arrays.numeric), np.array(arrays.codes)
    if arrays.gaps[:n_numeric].any():
        steps[step_rows.IMPUTER] = numbers
        numbers = SimpleImputer(strategy="median", keep_empty_features=True).fit(numbers[fit]).transform(numbers)
    steps[step_rows.SCALER] = numbers
    if n_numeric:
        numbers = StandardScaler().fit(numbers[fit]).transform(numbers)
    if codes.shape[1]:
        steps[step_rows.CATEGORIES] = codes
        codes = np.column_stack([_filled(column, fit) for column in codes.T])
        if arrays.rare is not None:
            steps[step_rows.RARE_LEVELS] = codes
            columns = zip(codes.T, arrays.n_levels, strict=True)
            codes = np.column_stack([_with_rare_level(column, fit, arrays.rare, n) for column, n in columns])
        steps[step_rows.ENCODER] = codes
    table = np.ascontiguousarray(np.hstack([numbers, codes]))
    return _PlainPreparation(steps, table, n_numeric, [np.unique(column[fit]) for column in codes.T])


def _filled(codes: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """Fill missing codes with the most frequent one of the fit rows."""
    values = codes[fit][~np.isnan(codes[fit])]
    fill = np.bincount(values.astype(np.int64)).argmax() if len(values) else UNSEEN_CATEGORY_CODE
    return np.where(np.isnan(codes), fill, codes)


def _with_rare_level(codes: np.ndarray, fit: np.ndarray, min_rows: int, n_levels: int) -> np.ndarray:
    """Give the levels that are rare in the fit rows one code, if there are any."""
    counts = Counter(codes[fit].tolist())
    frequent = [level for level, rows in counts.items() if rows >= min_rows]
    return codes if len(frequent) == len(counts) else np.where(np.isin(codes, frequent), codes, float(n_levels))


def _plain_resample(
    request: FitRequest, X: np.ndarray, y: np.ndarray, categorical: Sequence[int], task: Task
) -> tuple[np.ndarray, np.ndarray]:
    """Resample by imbalanced-learn alone."""
    assert request.sampler is not None
    values: dict[str, Any] = {**request.knobs, "categorical": list(categorical)}
    ratio, n_classes = request.knobs.get("ratio"), len(task.dataset.classes)
    if n_classes > 2 and isinstance(ratio, (int, float)):
        counts = np.bincount(y, minlength=n_classes).tolist()
        targets = class_targets(counts, ratio, estimator_specs.sampling_type(request.sampler))
        values["ratio"] = ratio if targets is None else targets
    make = with_knobs(request.sampler, request.knobs)
    sampler = estimator_specs.build_estimator(make, values, allow=None, seed=request.seed)
    if "categorical_encoder" in sampler.get_params(deep=False):  # its own takes minutes to decode a large table
        sampler.set_params(categorical_encoder=DenseOneHotEncoder(handle_unknown="ignore", dtype=np.float64))
    X, y = sampler.fit_resample(X.copy(), y.copy())
    return np.asarray(X, dtype=np.float64), np.asarray(y)
