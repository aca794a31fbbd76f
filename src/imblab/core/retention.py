"""Which fitted classes store rows of the table that they were fitted on.

Decided by the classes of a fitted estimator and of everything in it, however deep. A class is known to store none, or
it counts as storing some: the lists name what was read in the source of its library. Statistics of columns (means,
medians, the smallest and the largest value) and the thresholds of trees are no rows; all values of a column are, and
so are its quantiles, of which bins and splines may ask for as many as there are rows.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

from sklearn.base import BaseEstimator

from imblab.core.admission import SHIPPED, public_name

#: Estimators that store no row: weights, counts, statistics of columns, thresholds, and the estimators in them.
WITHOUT_ROWS = """
sklearn.calibration CalibratedClassifierCV
sklearn.cluster FeatureAgglomeration
sklearn.compose ColumnTransformer
sklearn.decomposition FactorAnalysis FastICA IncrementalPCA LatentDirichletAllocation MiniBatchNMF MiniBatchSparsePCA
sklearn.decomposition NMF PCA SparsePCA TruncatedSVD
sklearn.discriminant_analysis LinearDiscriminantAnalysis QuadraticDiscriminantAnalysis
sklearn.dummy DummyClassifier DummyRegressor
sklearn.ensemble AdaBoostClassifier AdaBoostRegressor BaggingClassifier BaggingRegressor ExtraTreesClassifier
sklearn.ensemble ExtraTreesRegressor GradientBoostingClassifier GradientBoostingRegressor HistGradientBoostingClassifier
sklearn.ensemble HistGradientBoostingRegressor RandomForestClassifier RandomForestRegressor StackingClassifier
sklearn.ensemble VotingClassifier
sklearn.feature_selection GenericUnivariateSelect RFE RFECV SelectFdr SelectFpr SelectFromModel SelectFwe SelectKBest
sklearn.feature_selection SelectPercentile SequentialFeatureSelector VarianceThreshold
sklearn.frozen FrozenEstimator
sklearn.impute IterativeImputer MissingIndicator SimpleImputer
sklearn.isotonic IsotonicRegression
sklearn.kernel_approximation AdditiveChi2Sampler PolynomialCountSketch RBFSampler SkewedChi2Sampler
sklearn.linear_model ARDRegression BayesianRidge ElasticNet ElasticNetCV HuberRegressor Lars LarsCV Lasso LassoCV
sklearn.linear_model LassoLars LassoLarsCV LassoLarsIC LinearRegression LogisticRegression LogisticRegressionCV
sklearn.linear_model OrthogonalMatchingPursuit OrthogonalMatchingPursuitCV PassiveAggressiveClassifier
sklearn.linear_model PassiveAggressiveRegressor Perceptron Ridge RidgeCV RidgeClassifier RidgeClassifierCV SGDClassifier
sklearn.linear_model SGDRegressor
sklearn.model_selection FixedThresholdClassifier GridSearchCV HalvingGridSearchCV HalvingRandomSearchCV
sklearn.model_selection RandomizedSearchCV TunedThresholdClassifierCV
sklearn.multiclass OneVsOneClassifier OneVsRestClassifier OutputCodeClassifier
sklearn.multioutput ClassifierChain MultiOutputClassifier
sklearn.naive_bayes BernoulliNB CategoricalNB ComplementNB GaussianNB MultinomialNB
sklearn.neighbors NearestCentroid NeighborhoodComponentsAnalysis
sklearn.neural_network MLPClassifier MLPRegressor
sklearn.pipeline FeatureUnion Pipeline
sklearn.preprocessing Binarizer LabelBinarizer LabelEncoder MaxAbsScaler MinMaxScaler Normalizer
sklearn.preprocessing PolynomialFeatures PowerTransformer RobustScaler StandardScaler
sklearn.random_projection GaussianRandomProjection SparseRandomProjection
sklearn.svm LinearSVC LinearSVR
sklearn.tree DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor
imblearn.ensemble BalancedBaggingClassifier BalancedRandomForestClassifier EasyEnsembleClassifier RUSBoostClassifier
imblearn.pipeline Pipeline
lightgbm.sklearn LGBMClassifier LGBMRegressor
xgboost.sklearn XGBClassifier XGBRegressor XGBRFClassifier XGBRFRegressor
"""
#: What those are made of: paths of classes, and of modules with a dot at the end.
PARTS = """
builtins. collections.OrderedDict collections.defaultdict numpy. scipy.sparse.
scipy.interpolate._interpolate.interp1d scipy.interpolate._bsplines.BSpline
sklearn._loss. sklearn.calibration._CalibratedClassifier sklearn.calibration._SigmoidCalibration
sklearn.ensemble._hist_gradient_boosting.binning._BinMapper sklearn.impute._iterative._ImputerTriplet
sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor sklearn.linear_model._sgd_fast.
sklearn.metrics._scorer. sklearn.model_selection._split. sklearn.multiclass._ConstantPredictor
sklearn.neural_network._stochastic_optimizers. sklearn.tree._tree.Tree sklearn.utils._bunch.Bunch
sklearn.utils._metadata_requests. lightgbm.basic.Booster xgboost.core.Booster
"""
#: Packages whose functions and classes are written by name alone, without anything that they hold.
BY_NAME = (*SHIPPED, "numpy", "scipy", "builtins", "copyreg", "collections", "_codecs", "_operator")
#: The kinds of functions, of Python, of C and of Cython.
FUNCTIONS = ("function", "builtin_function_or_method", "cython_function_or_method", "ufunc", "_ArrayFunctionDispatcher")
#: Private attributes that no ``fit`` sets.
UNLEARNED = ("_metadata_request", "_repr_html_", "_sklearn_output_config", "_doc_link_url_param_generator")
_KNOWN = {f"{module}.{name}" for module, *names in map(str.split, WITHOUT_ROWS.split("\n")[1:-1]) for name in names}
_WHOLE = {part for part in PARTS.split() if not part.endswith(".")}
_BELOW = tuple(part for part in PARTS.split() if part.endswith("."))


def row_keeper(estimator: Any) -> str | None:
    """The first class in a fitted estimator that stores rows, or may.

    Parameters
    ----------
    estimator : object
        Fitted. What it holds is visited as it would be written to a file.

    Returns
    -------
    str or None
        Its dotted path; None where everything is known to store no row.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> X, y = [[0.1, 7.0], [0.2, 8.0]], [0, 1]
    >>> row_keeper(make_pipeline(MinMaxScaler(), KNeighborsClassifier(1)).fit(X, y))
    'sklearn.neighbors.KNeighborsClassifier'
    >>> row_keeper(MinMaxScaler().fit(X)) is None
    True
    """
    found: list[str] = []

    class Visitor(pickle.Pickler):
        def persistent_id(self, thing: Any) -> None:
            if not found and (name := _suspect(thing)) is not None:
                found.append(name)

    try:
        Visitor(io.BytesIO()).dump(estimator)
    except Exception:  # what cannot be written cannot be looked into
        found.append(public_name(type(estimator)))
    return found[0] if found else None


def _suspect(thing: Any) -> str | None:
    """The path of a thing's class, or of a function, that is not known to store no row."""
    kind = type(thing)
    if isinstance(thing, type) or kind.__name__ in FUNCTIONS:
        module = getattr(thing, "__module__", None) or "builtins"
        return None if module.partition(".")[0] in BY_NAME else f"{module}.{thing.__qualname__}"
    path = f"{kind.__module__}.{kind.__qualname__}"
    if path in _WHOLE or path.startswith(_BELOW) or public_name(kind) in _KNOWN or _is_unfitted(thing):
        return None
    return public_name(kind)


def _is_unfitted(thing: Any) -> bool:
    """Whether an estimator of the shipped packages is a template of others: nothing in it was learned."""
    if not isinstance(thing, BaseEstimator) or type(thing).__module__.partition(".")[0] not in SHIPPED:
        return False
    return not any(name.endswith("_") or name.startswith("_") for name in vars(thing) if name not in UNLEARNED)
