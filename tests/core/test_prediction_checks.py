"""What samplers and learners give back: numbers that measures can read, or a failed fit that says what was found."""

import numpy as np
import pandas as pd
import pytest
import sklearn.dummy
from hypothesis import given, strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.metaestimators import available_if

from imblab.core import fitting
from imblab.core.fitting import fit_predict
from imblab.core.preparation import PreparedRows
from imblab.core.sampling import UnusableOutput
from imblab.errors import FitFailed
from imblab.study import Dataset

ROWS = 10


class Fitted:
    """Whatever a fit left behind."""

    def __init__(self, classes=(0, 1)):
        if classes is not None:
            self.classes_ = np.array(classes)


def two(p):
    p = np.asarray(p)
    return np.column_stack([1 - p, p])


GOOD = np.linspace(0, 1, ROWS)


@pytest.mark.parametrize(
    "given_",
    [
        two(GOOD),
        two(GOOD).astype(np.float32),
        two(GOOD).tolist(),
        pd.DataFrame(two(GOOD)),
        np.asfortranarray(two(GOOD)),
        two(np.arange(ROWS) % 2),
        two(np.arange(ROWS) % 2).astype(bool),
        np.ma.masked_array(two(GOOD), mask=False),
    ],
)
def test_probabilities_are_the_column_of_the_positive_class(given_):
    found = fitting._check_proba(Fitted(), given_, ROWS)
    assert (found.dtype, found.shape) == (np.float64, (ROWS,))
    np.testing.assert_array_equal(found, np.asarray(given_)[:, 1].astype(np.float64))
    reversed_ = fitting._check_proba(Fitted([1, 0]), np.asarray(given_)[:, ::-1], ROWS)
    np.testing.assert_array_equal(reversed_, found)


def test_what_rounding_carried_beyond_a_probability_is_cut_off():
    p = np.array([-1e-16, 0.5, 1 + 2e-16])
    assert fitting._check_proba(Fitted(), two(p), 3).tolist() == [0.0, 0.5, 1.0]


BAD = {
    "negative": (two(np.append(GOOD[:-2], [-5, 5])), "2 of 10 probabilities outside 0 to 1 (lowest -5, highest 5)"),
    "a little too large": (two(np.append(GOOD[:-1], 1 + 1e-9)), "1 of 10 probabilities outside 0 to 1"),
    "complex": (two(GOOD) + 0j, "probabilities of type complex128"),
    "missing": (two(np.append(GOOD[:-3], [np.nan] * 3)), "returned 3 NaN of 10 probabilities"),
    "endless": (two(np.append(GOOD[:-2], [np.nan, np.inf])), "returned 1 NaN and 1 infinite of 10 probabilities"),
    "masked": (np.ma.masked_array(two(GOOD), mask=two(np.arange(ROWS)) == 9), "returned 1 NaN of 10 probabilities"),
    "too large for floats": (two(GOOD).astype(np.longdouble) * np.longdouble("1e400"), "infinite of 10 probabilities"),
    "one row short": (two(GOOD)[1:], "shape (9, 2) for 10 rows"),
    "one row more": (two(np.append(GOOD, 0.5)), "shape (11, 2) for 10 rows"),
    "one dimension": (GOOD, "shape (10,) for 10 rows of 2 classes; predict_proba gives shape (10, 2)"),
    "one column": (GOOD[:, None], "shape (10, 1)"),
    "three columns": (np.full((ROWS, 3), 1 / 3), "shape (10, 3)"),
    "a list a column": ([two(GOOD), two(GOOD)], "shape (2, 10, 2)"),
    "nothing": (None, "probabilities of type object"),
    "objects": (two(GOOD).astype(object), "probabilities of type object"),
    "texts": (two(GOOD).astype(str), "probabilities of type <U"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_probability_is_said(name):
    given_, said = BAD[name]
    with pytest.raises(UnusableOutput) as error:
        fitting._check_proba(Fitted(), given_, ROWS)
    text = str(error.value)
    assert text.startswith("learner 'Fitted' returned ")
    assert said in text
    assert text.endswith(", or exclude it.")
    assert "\n" not in text


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (None, "has no classes_"),
        ([0], "has the classes [0]"),
        (["0", "1"], "has the classes ['0', '1']"),
        ([0, 1, 2], "has the classes [0, 1, 2]"),
        ([[0, 1], [0, 1]], "has the classes [[0, 1], [0, 1]]"),
    ],
)
def test_columns_without_a_class_are_no_probabilities(classes, said):
    with pytest.raises(UnusableOutput) as error:
        fitting._check_proba(Fitted(classes), two(GOOD), ROWS)
    assert str(error.value).startswith(f"learner 'Fitted' {said} after a fit on the labels 0 and 1;")


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30), st.booleans())
def test_decision_values_keep_every_bit_and_rise_with_the_positive_class(d, is_short):
    d = np.clip(d, -3e38, 3e38).astype(np.float32 if is_short else np.float64)
    found = fitting._check_decision_value(Fitted(), d, len(d))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, d.astype(np.float64))
    np.testing.assert_array_equal(fitting._check_decision_value(Fitted([1, 0]), d, len(d)), -found)
    np.testing.assert_array_equal(fitting._check_decision_value(Fitted(None), d, len(d)), found)


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        (GOOD[:, None], "shape (10, 1) for 10 rows; with two classes decision_function gives shape (10,)"),
        (two(GOOD), "shape (10, 2) for 10 rows"),
        (GOOD[1:], "shape (9,) for 10 rows"),
        (np.float64(3), "shape () for 10 rows"),
        (np.append(GOOD[:-2], [np.nan, -np.inf]), "returned 1 NaN and 1 infinite of 10 decision values"),
        (GOOD + 1j, "decision values of type complex128"),
        (GOOD.astype(object), "decision values of type object"),
    ],
)
def test_what_is_no_decision_value_is_said(given_, said):
    with pytest.raises(UnusableOutput) as error:
        fitting._check_decision_value(Fitted(), given_, ROWS)
    assert str(error.value).startswith("learner 'Fitted' returned ")
    assert said in str(error.value)


# ------------------------------------------------------------------------------------------------- in a fit


Y = np.arange(40) % 3 // 2


def dataset(n=40):
    rng = np.random.default_rng(0)
    return Dataset("toy", pd.DataFrame(rng.normal(size=(n, 2))), Y, ("no", "yes"), fingerprint="toy")


class Learner(ClassifierMixin, BaseEstimator):
    """Gives what it is told to, and has ``predict_proba`` where it is told so."""

    tells = staticmethod(lambda X: two(np.full(len(X), 0.5)))
    has = True

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    @available_if(lambda self: type(self).has)
    def predict_proba(self, X):
        return type(self).tells(X)

    def decision_function(self, X):
        return type(self).tells(X)


class Sampler(BaseEstimator):
    """Returns what it is told to."""

    _sampling_type = "bypass"
    tells = staticmethod(lambda X, y: (X, y))

    def fit_resample(self, X, y):
        return type(self).tells(X, y)


@pytest.fixture(autouse=True)
def _own(monkeypatch):
    """The classes live in an allowed package for the time of a test."""
    for cls in (Learner, Sampler):
        monkeypatch.setattr(sklearn.dummy, f"Answers{cls.__name__}", cls, raising=False)
        monkeypatch.setattr(cls, "__module__", "sklearn.dummy")


def run(sampler=False, learner="AnswersLearner", **given_):
    data, fit, rows = dataset(), np.arange(30), np.arange(30, 40)
    make, text = {"_target_": f"sklearn.dummy.{learner}", **given_}, {"_target_": "sklearn.dummy.AnswersSampler"}
    request = fitting.fit_request(data, make, text if sampler else None, {}, 0, fit, rows)
    return fit_predict(request, PreparedRows(data, fit))


def raises(error):
    def tell(X):
        raise error

    return tell


@pytest.mark.parametrize(
    ("tells", "said"),
    [
        (lambda X: two(np.full(len(X), 7.0)), "learner 'Learner' returned 10 of 10 probabilities outside"),
        (lambda X: two(np.zeros(len(X) - 1)), "learner 'Learner' returned probabilities of shape (9, 2) for 10 rows"),
        (lambda X: [[1], [0, 1]], "ValueError: "),
        (
            raises(AttributeError("This 'Learner' has no attribute 'predict_proba'")),
            "AttributeError: This 'Learner' has",
        ),
    ],
)
def test_an_answer_that_cannot_be_used_is_a_failed_fit(monkeypatch, tells, said):
    monkeypatch.setattr(Learner, "tells", staticmethod(tells))
    with pytest.raises(FitFailed) as error:
        run()
    assert str(error.value).startswith(said)


LEFT = {
    "one class": (lambda X, y: (X[y == 0], y[y == 0]), "the sampler left 0 of 10 positive rows; a learner needs"),
    "the other class": (lambda X, y: (X[y == 1], y[y == 1]), "the sampler left 0 of 20 negative rows; a learner needs"),
    "nothing": (lambda X, y: (X[:0], y[:0]), "the sampler left 0 of 10 positive rows"),
    "a missing value": (lambda X, y: (np.where(X[0, 0] == X, np.nan, X), y), "1 of 60 values that are not finite"),
    "endless values": (lambda X, y: (X / 0.0, y), "60 of 60 values that are not finite"),
    "a label less": (lambda X, y: (X, y[1:]), "30 rows and labels of shape (29,)"),
    "a column of labels": (lambda X, y: (X, y[:, None]), "30 rows and labels of shape (30, 1)"),
    "another label": (lambda X, y: (X, np.where(y == 1, 2, y)), "the label 2 in 10 of 30 rows"),
    "labels between": (lambda X, y: (X, y * 0.5), "the label 0.5 in 10 of 30 rows"),
    "labels as text": (lambda X, y: (X, y.astype(str)), "labels of type <U"),
    "a missing label": (lambda X, y: (X, np.where(np.arange(30) == 3, np.nan, y)), "the label nan in 1 of 30 rows"),
    "fewer columns": (lambda X, y: (X[:, :1], y), "rows of shape (30, 1); it keeps the 2 columns it was given"),
    "one dimension": (lambda X, y: (X[:, 0], y), "rows of shape (30,)"),
    "texts": (lambda X, y: (X.astype(str), y), "rows of type <U"),
    "complex numbers": (lambda X, y: (X + 1j, y), "rows of type complex128"),
    "no labels": (lambda X, y: X, "ValueError: too many values to unpack"),
}


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.parametrize("name", LEFT)
def test_rows_that_a_learner_cannot_receive_are_a_failed_fit(monkeypatch, name):
    tells, said = LEFT[name]
    monkeypatch.setattr(Sampler, "tells", staticmethod(tells))
    with pytest.raises(FitFailed) as error:
        run(sampler=True)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "tells",
    [
        lambda X, y: (X[::-1], y[::-1]),
        lambda X, y: (X.tolist(), y.tolist()),
        lambda X, y: (pd.DataFrame(X), pd.Series(y.astype(float))),
        lambda X, y: (X.astype(np.float32), y.astype(bool)),
    ],
)
def test_rows_of_any_form_are_received(monkeypatch, tells):
    monkeypatch.setattr(Sampler, "tells", staticmethod(tells))
    assert run(sampler=True).reached == {"sampler": "AnswersSampler", "negative": 20, "positive": 10}


class Scaler(ClassifierMixin, BaseEstimator):
    """Writes into the rows that it is given."""

    def __init__(self, where="fit"):
        self.where = where

    def _write(self, X, where):
        if self.where == where:
            X *= 2

    def fit(self, X, y):
        self._write(X, "fit")
        self._write(y, "labels")
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        self._write(X, "predict")
        return two(np.full(len(X), 0.5))


@pytest.mark.parametrize("where", ["fit", "labels", "predict"])
def test_a_learner_that_writes_into_the_rows_of_all_fits_is_a_failed_fit(monkeypatch, where):
    monkeypatch.setattr(sklearn.dummy, "AnswersScaler", Scaler, raising=False)
    monkeypatch.setattr(Scaler, "__module__", "sklearn.dummy")
    with pytest.raises(FitFailed, match="read-only"):
        run(learner="AnswersScaler", where=where)


def test_scikit_learn_copies_where_it_works_in_place():
    data, fit, rows = dataset(), np.arange(30), np.arange(30, 40)
    prepared, steps = PreparedRows(data, fit), []
    for copy in (True, False):
        scaler = {"_target_": "sklearn.preprocessing.StandardScaler", "copy": copy, "with_mean": False}
        learner = {"_target_": "sklearn.linear_model.LogisticRegression", "C": 0.1}
        make = {"_target_": "sklearn.pipeline.Pipeline", "steps": [["scale", scaler], ["learn", learner]]}
        steps += [
            fit_predict(fitting.fit_request(data, make, None, {}, 0, fit, rows), prepared).values for _ in range(2)
        ]
    for found in steps[1:]:
        np.testing.assert_array_equal(found, steps[0])


def test_a_fit_part_without_positives_is_a_failed_fit():
    data = dataset()
    fit = np.flatnonzero(Y == 0)
    request = fitting.fit_request(data, {"_target_": "sklearn.dummy.AnswersLearner"}, None, {}, 0, fit, np.arange(3))
    with pytest.raises(FitFailed, match=r"^the fit part holds no positive rows; a learner needs rows of both classes"):
        fit_predict(request, PreparedRows(data, fit))


THREE = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.25, 0.5, 0.2]])


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_columns_of_several_classes_are_in_the_order_of_the_classes(order):
    """The third row sums to .95: nothing is renormalised."""
    columns = THREE[:, list(order)]
    found = fitting._check_proba(Fitted(order), np.asfortranarray(columns), 3, 3)
    np.testing.assert_array_equal(found, THREE)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(fitting._check_decision_value(Fitted(order), columns, 3, 3), THREE)
    np.testing.assert_array_equal(fitting._check_decision_value(Fitted(None), THREE, 3, 3), THREE)


@pytest.mark.parametrize(
    ("check", "classes", "output", "reason"),
    [
        (fitting._check_proba, (0, 1, 2), THREE[:, :2], "probabilities of shape (3, 2) for 3 rows of 3 classes"),
        (fitting._check_proba, (0, 1), THREE, "has the classes [0, 1] after a fit on the labels 0 to 2"),
        (fitting._check_proba, (0, 1, 3), THREE, "has the classes [0, 1, 3] after a fit on the labels 0 to 2"),
        (fitting._check_proba, (0, 1, 2), THREE + 1, "9 of 9 probabilities outside 0 to 1"),
        (fitting._check_proba, (0, 1, 2), THREE * np.nan, "9 NaN of 9 probabilities"),
        (
            fitting._check_decision_value,
            (0, 1, 2),
            THREE[:, 0],
            "decision values of shape (3,) for 3 rows; with 3 classes decision_function gives shape (3, 3)",
        ),
    ],
)
def test_other_output_of_several_classes_is_a_failed_fit(check, classes, output, reason):
    with pytest.raises(UnusableOutput) as error:
        check(Fitted(classes), output, 3, 3)
    assert reason in str(error.value)


def test_a_fit_on_three_classes_predicts_three_columns():
    y = np.repeat([0, 1, 2], [20, 12, 8])
    table = Dataset("toy", pd.DataFrame({"a": np.arange(40.0) % 7, "b": y * 1.0}), y, ("a", "b", "c"))
    fit, rows = np.arange(0, 40, 2), np.arange(1, 40, 2)
    learner = {"_target_": "sklearn.linear_model.LogisticRegression"}
    found = fit_predict(fitting.FitRequest("t", fit, rows, learner, None, {}, None, 0), PreparedRows(table, fit))
    assert (found.values.shape, found.is_probability) == ((20, 3), True)
    np.testing.assert_allclose(found.values.sum(axis=1), 1)
    assert found.reached == {"classes": (10, 6, 4)}
