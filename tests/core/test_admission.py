"""Which fitted classes store rows: each shipped class is on one side, and those said to store none store none."""

import functools
import inspect
import io
import pickle
import warnings
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from imblearn.ensemble import BalancedBaggingClassifier, EasyEnsembleClassifier, RUSBoostClassifier
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import make_pipeline as make_sampling_pipeline
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, KernelPCA
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import KNNImputer
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid, RadiusNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)
from sklearn.semi_supervised import LabelSpreading
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from imblab.core import admission, model
from imblab.core.admission import CLASSES_WITHOUT_ROWS, row_keeper

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = (X[:, 0] + RNG.normal(size=60) > 0).astype(int)


class Hoarder(LogisticRegression):
    """Keeps its rows where no search for bits would find them."""

    def fit(self, X, y, sample_weight=None):
        self.hidden_ = {"deep": [np.asarray(X) * 3.7]}
        return super().fit(X, y)


class Sealed(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.rows_ = lambda: X
        return self


KNN, KEEPING = KNeighborsClassifier(3), "sklearn.neighbors.KNeighborsClassifier"
MADE_OF_ROWS = {
    "knn": (KNN, KEEPING),
    "scaler-knn": (make_pipeline(MinMaxScaler(), KNN), KEEPING),
    "bagging-knn": (BaggingClassifier(KNN, n_estimators=2), KEEPING),
    "scaler-svc": (make_pipeline(StandardScaler(), SVC()), "sklearn.svm.SVC"),
    "pca-svc": (make_pipeline(PCA(2), SVC()), "sklearn.svm.SVC"),
    "gaussian-process": (GaussianProcessClassifier(), "sklearn.gaussian_process.GaussianProcessClassifier"),
    "radius": (RadiusNeighborsClassifier(9), "sklearn.neighbors.RadiusNeighborsClassifier"),
    "stacking": (StackingClassifier([("a", KNN), ("b", GaussianNB())], GaussianNB()), KEEPING),
    "stacking-final": (StackingClassifier([("b", GaussianNB())], SVC()), "sklearn.svm.SVC"),
    "voting": (VotingClassifier([("a", GaussianNB()), ("b", KNN)]), KEEPING),
    "calibrated": (CalibratedClassifierCV(SVC(), cv=2), "sklearn.svm.SVC"),
    "one-versus-rest": (OneVsRestClassifier(KNN), KEEPING),
    "boosting": (AdaBoostClassifier(SVC(), n_estimators=2), "sklearn.svm.SVC"),
    "searched": (GridSearchCV(KNN, {"n_neighbors": [1, 3]}, cv=2), KEEPING),
    "fixed-threshold": (FixedThresholdClassifier(KNN), KEEPING),
    "frozen": (FrozenEstimator(KNN.fit(X, Y)), KEEPING),
    "nystroem": (make_pipeline(Nystroem(n_components=5), LinearSVC()), "sklearn.kernel_approximation.Nystroem"),
    "kernel-pca": (make_pipeline(KernelPCA(2), GaussianNB()), "sklearn.decomposition.KernelPCA"),
    "knn-imputer": (make_pipeline(KNNImputer(), GaussianNB()), "sklearn.impute.KNNImputer"),
    "union": (make_pipeline(FeatureUnion([("a", KernelPCA(2))]), GaussianNB()), "sklearn.decomposition.KernelPCA"),
    "columns": (
        make_pipeline(ColumnTransformer([("a", KNNImputer(), [0, 1])]), GaussianNB()),
        "sklearn.impute.KNNImputer",
    ),
    "spreading": (LabelSpreading(), "sklearn.semi_supervised.LabelSpreading"),
    "all-values-of-a-column": (
        make_pipeline(QuantileTransformer(n_quantiles=60), GaussianNB()),
        "sklearn.preprocessing.QuantileTransformer",
    ),
    "balanced-bagging": (BalancedBaggingClassifier(KNN, n_estimators=2), KEEPING),
    "easy-ensemble": (EasyEnsembleClassifier(2, estimator=KNN), KEEPING),
    "own": (Hoarder(), f"{__name__}.Hoarder"),
    "own-in-bagging": (BaggingClassifier(Hoarder(), n_estimators=2), f"{__name__}.Hoarder"),
    "own-that-cannot-be-written": (Sealed(), f"{__name__}.Sealed"),
    "own-function": (
        make_pipeline(FunctionTransformer(functools.partial(np.add, X[0])), GaussianNB()),
        "sklearn.preprocessing.FunctionTransformer",
    ),
}


@pytest.mark.parametrize("case", MADE_OF_ROWS)
def test_what_stores_rows_is_found_however_deep(case):
    estimator, keeper = MADE_OF_ROWS[case]
    fitted = estimator.fit(X, Y)
    model.clear_samplers(fitted) if case != "own-that-cannot-be-written" else None
    assert row_keeper(fitted) == keeper


WITHOUT = {
    "scaler": make_pipeline(StandardScaler(), PCA(2), LogisticRegression()),
    "bagging": BaggingClassifier(DecisionTreeClassifier(), n_estimators=2),
    "stacking": StackingClassifier([("a", GaussianNB()), ("b", DecisionTreeClassifier())], LogisticRegression()),
    "calibrated": CalibratedClassifierCV(DecisionTreeClassifier(), cv=2, method="isotonic"),
    "searched": GridSearchCV(LogisticRegression(), {"C": [1.0, 2.0]}, cv=2),
    "centroid": NearestCentroid(),
    "ridge": RidgeClassifierCV(),
    "sampler": make_sampling_pipeline(SMOTE(), LogisticRegression()),
    "easy-ensemble": EasyEnsembleClassifier(2),
    "rus-boost": RUSBoostClassifier(n_estimators=2),
}


@pytest.mark.parametrize("case", WITHOUT)
def test_what_stores_statistics_only_leaves(case):
    fitted = WITHOUT[case].fit(X, Y)
    model.clear_samplers(fitted)
    assert row_keeper(fitted) is None
    assert not stored_rows(fitted, X)


def test_a_fitted_sampler_stores_rows_and_a_template_none():
    fitted = SMOTE().fit(X, Y)
    fitted.fit_resample(X, Y)
    assert row_keeper(fitted) == "imblearn.over_sampling.SMOTE"
    assert row_keeper(BaggingClassifier(KNeighborsClassifier())) is None
    assert str(row_keeper(pd.DataFrame(X))).startswith("pandas.")


def stored_rows(estimator, X):
    """Rows of a table that an estimator holds to the bit: the witness against the lists."""
    arrays = []

    class Visitor(pickle.Pickler):
        def persistent_id(self, thing):
            if isinstance(thing, np.ndarray) and thing.dtype.kind == "f":
                arrays.append(thing)

    Visitor(io.BytesIO()).dump(estimator)
    flat = np.concatenate([np.ravel(array) for array in arrays] or [np.empty(0)])
    return int(np.isin(X, flat).all(axis=1).sum())


def built(path):
    """An estimator of a listed class with what it cannot do without."""
    made, name = found(path), path.rpartition(".")[2]
    needed = [p.name for p in inspect.signature(made).parameters.values() if p.default is p.empty]
    given = {
        "estimator": LogisticRegression(),
        "base_estimator": LogisticRegression(),
        "estimators": [("a", LogisticRegression()), ("b", DecisionTreeClassifier())],
        "steps": [("a", LogisticRegression())],
        "transformer_list": [("a", StandardScaler())],
        "transformers": [("a", StandardScaler(), [0])],
        "param_grid": {"C": [1.0, 2.0]},
        "param_distributions": {"C": [1.0, 2.0]},
    }
    if name == "FrozenEstimator":
        return made(LogisticRegression().fit(X, Y))
    small = {k: v for k, v in {"n_estimators": 3, "max_iter": 20}.items() if k in inspect.signature(made).parameters}
    return made(**{key: given[key] for key in needed if key in given}, **small)


@pytest.mark.sampled(27)
@pytest.mark.parametrize("path", sorted(CLASSES_WITHOUT_ROWS))
def test_a_class_that_is_said_to_store_no_row_stores_none(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = built(path)
        for rows in (X, np.abs(X)):
            try:
                fitted = estimator.fit(rows, Y[:, None] if "multioutput" in path else Y)
                break
            except ValueError:
                continue
            except TypeError:
                fitted = estimator.fit(Y)  # of labels
                break
        else:
            pytest.skip("it reads another kind of table")
    model.clear_samplers(fitted)
    assert row_keeper(fitted) is None
    assert not stored_rows(fitted, rows)


def test_every_class_that_a_study_may_name_is_judged():
    """A new class of the shipped list stores rows until somebody has looked."""
    keeping = {
        *("BisectingKMeans", "Birch", "KMeans", "MiniBatchKMeans", "CCA", "PLSCanonical", "PLSRegression", "PLSSVD"),
        *("DictionaryLearning", "MiniBatchDictionaryLearning", "KernelPCA", "GaussianProcessClassifier"),
        *("GaussianProcessRegressor", "KNNImputer", "Nystroem", "KernelRidge", "Isomap", "LocallyLinearEmbedding"),
        *("KNeighborsClassifier", "KNeighborsRegressor", "NearestNeighbors", "RadiusNeighborsClassifier"),
        *("RadiusNeighborsRegressor", "BernoulliRBM", "KernelCenterer", "OneHotEncoder", "OrdinalEncoder"),
        *("QuantileTransformer", "TargetEncoder", "LabelPropagation", "LabelSpreading", "SelfTrainingClassifier"),
        *("NuSVC", "NuSVR", "SVC", "SVR", "RandomTreesEmbedding", "KBinsDiscretizer", "SplineTransformer"),
    }
    admitted = {path for path in admission.ADMITTED if not path.startswith("imblab")}
    samplers = {
        path for path in admitted if path.split(".")[1] in ("combine", "over_sampling", "under_sampling", "base")
    }
    judged = {admission.public_name(cls) for path in admitted if (cls := found(path)) is not None}
    unjudged = (
        {path.rpartition(".")[2] for path in judged - CLASSES_WITHOUT_ROWS - samplers} - keeping - {"FunctionSampler"}
    )
    assert not unjudged


def found(path):
    module, _, name = path.rpartition(".")
    try:
        if name.startswith("Halving"):
            import_module("sklearn.experimental.enable_halving_search_cv")
        if name == "IterativeImputer":
            import_module("sklearn.experimental.enable_iterative_imputer")
        return getattr(import_module(module), name)
    except (ImportError, AttributeError):
        return None


@pytest.mark.parametrize(
    "transformer",
    [
        KBinsDiscretizer(len(X) - 1, encode="ordinal", strategy="quantile", quantile_method="linear"),
        SplineTransformer(len(X), knots="quantile"),
    ],
    ids=lambda transformer: type(transformer).__name__,
)
def test_quantiles_of_which_there_are_as_many_as_rows_are_rows(transformer):
    """The edges of the bins were all values of each column, sorted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = make_pipeline(transformer, LogisticRegression()).fit(X, Y)
    assert row_keeper(fitted) == admission.public_name(type(transformer))


def test_arrays_are_known_whatever_protocol_of_pickle_is_the_default(monkeypatch):
    """Python 3.14 writes protocol 5 by default, where an array becomes a buffer of an unknown class."""
    fitted = LogisticRegression().fit([[0.0], [1.0], [2.0]], [0, 1, 1])
    assert row_keeper(fitted) is None
    monkeypatch.setattr(admission, "VISITING_PROTOCOL", 5)
    assert row_keeper(fitted) == "pickle.PickleBuffer"
