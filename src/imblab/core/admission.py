"""The classes of the shipped packages: which of them a study may name, and which store rows once they are fitted.

A study may come from another person. Without ``allow`` it may name the classifiers and samplers of the shipped packages
and the preprocessing classes of the two tables below; none of them opens a file or connection named by a parameter or a
row. A class of the first table stores no row of the table that it was fitted on, as was read in the source of its
library; every other class counts as storing some. Statistics of columns (means, medians, smallest and largest values)
and the thresholds of trees are not rows. All values of a column are, and so are its quantiles, of which bins and
splines may ask for as many as there are rows.
"""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from sklearn.base import BaseEstimator

from imblab.errors import ConfigError

#: The packages that ship with imblab. An entry of ``allow`` that names one as a whole adds nothing to the tables below.
SHIPPED = ("sklearn", "imblearn", "lightgbm", "xgboost", "imblab")
#: A dotted path of names, at most 200 characters long.
CLASS_PATH = re.compile(r"(?=.{3,200}$)[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
#: An entry of ``allow``: a package, a module, or the path of a class or function.
ALLOW_ENTRY = re.compile(r"(?=.{1,200}$)[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
#: Modules of a package that are not meant to be imported by its users; some change the process when they are.
INTERNAL_MODULES = {"tests", "conftest", "testing", "__main__"}


def _paths(table: str) -> frozenset[str]:
    return frozenset(f"{module}.{name}" for module, *names in map(str.split, table.splitlines()) for name in names)


#: With the next table, every classifier and sampler, and what people put in front of one. Not listed: classes that read
#: a text as the name of a file (CountVectorizer and its kin), and classes that call a function they are given.
ADMITTED_WITHOUT_ROWS = _paths("""\
sklearn.calibration CalibratedClassifierCV
sklearn.cluster FeatureAgglomeration
sklearn.compose ColumnTransformer
sklearn.decomposition FactorAnalysis FastICA IncrementalPCA LatentDirichletAllocation MiniBatchNMF MiniBatchSparsePCA
sklearn.decomposition NMF PCA SparsePCA TruncatedSVD
sklearn.discriminant_analysis LinearDiscriminantAnalysis QuadraticDiscriminantAnalysis
sklearn.dummy DummyClassifier DummyRegressor
sklearn.ensemble AdaBoostClassifier AdaBoostRegressor BaggingClassifier BaggingRegressor ExtraTreesClassifier
sklearn.ensemble ExtraTreesRegressor GradientBoostingClassifier GradientBoostingRegressor
sklearn.ensemble HistGradientBoostingClassifier HistGradientBoostingRegressor RandomForestClassifier
sklearn.ensemble RandomForestRegressor StackingClassifier VotingClassifier
sklearn.feature_selection GenericUnivariateSelect RFE RFECV SelectFdr SelectFpr SelectFromModel SelectFwe SelectKBest
sklearn.feature_selection SelectPercentile SequentialFeatureSelector VarianceThreshold
sklearn.frozen FrozenEstimator
sklearn.impute IterativeImputer MissingIndicator SimpleImputer
sklearn.kernel_approximation AdditiveChi2Sampler PolynomialCountSketch RBFSampler SkewedChi2Sampler
sklearn.linear_model ARDRegression BayesianRidge ElasticNet ElasticNetCV HuberRegressor Lars LarsCV Lasso LassoCV
sklearn.linear_model LassoLars LassoLarsCV LassoLarsIC LinearRegression LogisticRegression LogisticRegressionCV
sklearn.linear_model OrthogonalMatchingPursuit OrthogonalMatchingPursuitCV PassiveAggressiveClassifier
sklearn.linear_model PassiveAggressiveRegressor Perceptron Ridge RidgeCV RidgeClassifier RidgeClassifierCV
sklearn.linear_model SGDClassifier SGDRegressor
sklearn.model_selection FixedThresholdClassifier GridSearchCV HalvingGridSearchCV HalvingRandomSearchCV
sklearn.model_selection RandomizedSearchCV TunedThresholdClassifierCV
sklearn.multiclass OneVsOneClassifier OneVsRestClassifier OutputCodeClassifier
sklearn.multioutput ClassifierChain MultiOutputClassifier
sklearn.naive_bayes BernoulliNB CategoricalNB ComplementNB GaussianNB MultinomialNB
sklearn.neighbors NearestCentroid NeighborhoodComponentsAnalysis
sklearn.neural_network MLPClassifier MLPRegressor
sklearn.pipeline FeatureUnion Pipeline
sklearn.preprocessing Binarizer MaxAbsScaler MinMaxScaler Normalizer PolynomialFeatures PowerTransformer RobustScaler
sklearn.preprocessing StandardScaler
sklearn.random_projection GaussianRandomProjection SparseRandomProjection
sklearn.svm LinearSVC LinearSVR
sklearn.tree DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor
imblearn.ensemble BalancedBaggingClassifier BalancedRandomForestClassifier EasyEnsembleClassifier RUSBoostClassifier
imblearn.pipeline Pipeline
lightgbm LGBMClassifier LGBMRegressor
lightgbm.sklearn LGBMClassifier LGBMRegressor
xgboost XGBClassifier XGBRFClassifier XGBRFRegressor XGBRegressor
xgboost.sklearn XGBClassifier XGBRFClassifier XGBRFRegressor XGBRegressor
""")
#: Admitted classes that store rows once they are fitted, or may.
ADMITTED_WITH_ROWS = _paths("""\
sklearn.cluster Birch BisectingKMeans KMeans MiniBatchKMeans
sklearn.cross_decomposition CCA PLSCanonical PLSRegression PLSSVD
sklearn.decomposition DictionaryLearning KernelPCA MiniBatchDictionaryLearning
sklearn.ensemble RandomTreesEmbedding
sklearn.gaussian_process GaussianProcessClassifier GaussianProcessRegressor
sklearn.impute KNNImputer
sklearn.kernel_approximation Nystroem
sklearn.kernel_ridge KernelRidge
sklearn.manifold Isomap LocallyLinearEmbedding
sklearn.neighbors KNeighborsClassifier KNeighborsRegressor NearestNeighbors RadiusNeighborsClassifier
sklearn.neighbors RadiusNeighborsRegressor
sklearn.neural_network BernoulliRBM
sklearn.preprocessing KBinsDiscretizer KernelCenterer OneHotEncoder OrdinalEncoder QuantileTransformer
sklearn.preprocessing SplineTransformer TargetEncoder
sklearn.semi_supervised LabelPropagation LabelSpreading SelfTrainingClassifier
sklearn.svm NuSVC NuSVR SVC SVR
imblearn FunctionSampler
imblearn.base FunctionSampler
imblearn.combine SMOTEENN SMOTETomek
imblearn.over_sampling ADASYN BorderlineSMOTE KMeansSMOTE RandomOverSampler SMOTE SMOTEN SMOTENC SVMSMOTE
imblearn.under_sampling AllKNN ClusterCentroids CondensedNearestNeighbour EditedNearestNeighbours
imblearn.under_sampling InstanceHardnessThreshold NearMiss NeighbourhoodCleaningRule OneSidedSelection
imblearn.under_sampling RandomUnderSampler RepeatedEditedNearestNeighbours TomekLinks
""")
#: The paths of the classes that every study may name.
ADMITTED = ADMITTED_WITHOUT_ROWS | ADMITTED_WITH_ROWS
#: Every class that is known to store no row.
CLASSES_WITHOUT_ROWS = ADMITTED_WITHOUT_ROWS | _paths("""\
sklearn.isotonic IsotonicRegression
sklearn.preprocessing LabelBinarizer LabelEncoder
""")
#: What those are made of: paths of classes, and of modules with a dot at the end.
PARTS_WITHOUT_ROWS = """
builtins. collections.OrderedDict collections.defaultdict numpy. scipy.sparse.
scipy.interpolate._interpolate.interp1d scipy.interpolate._bsplines.BSpline
sklearn._loss. sklearn.calibration._CalibratedClassifier sklearn.calibration._SigmoidCalibration
sklearn.ensemble._hist_gradient_boosting.binning._BinMapper sklearn.impute._iterative._ImputerTriplet
sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor sklearn.linear_model._sgd_fast.
sklearn.metrics._scorer. sklearn.model_selection._split. sklearn.multiclass._ConstantPredictor
sklearn.neural_network._stochastic_optimizers. sklearn.tree._tree.Tree sklearn.utils._bunch.Bunch
sklearn.utils._metadata_requests. lightgbm.basic.Booster xgboost.core.Booster
"""
_PART_CLASSES = frozenset(part for part in PARTS_WITHOUT_ROWS.split() if not part.endswith("."))
_PART_MODULES = tuple(part for part in PARTS_WITHOUT_ROWS.split() if part.endswith("."))
#: With protocol 5, the default from Python 3.14 on, arrays are written as buffers, which tell nothing of their class.
VISITING_PROTOCOL = 4
#: Packages whose functions and classes are pickled by name, without anything that they hold.
PICKLED_BY_NAME = (*SHIPPED, "numpy", "scipy", "builtins", "copyreg", "collections", "_codecs", "_operator")
#: Type names of functions of Python, C and Cython.
FUNCTION_TYPES = (
    "function",
    "builtin_function_or_method",
    "cython_function_or_method",
    "ufunc",
    "_ArrayFunctionDispatcher",
)
#: Private attributes that no ``fit`` sets.
UNLEARNED_ATTRIBUTES = ("_metadata_request", "_repr_html_", "_sklearn_output_config", "_doc_link_url_param_generator")


def is_path(text: str) -> bool:
    """Return whether a study may name a dotted path: a short one, outside the internal modules of a package.

    Examples
    --------
    >>> is_path("sklearn.svm.SVC"), is_path("sklearn.conftest.SVC"), is_path("..svm.SVC")
    (True, False, False)
    """
    return bool(CLASS_PATH.fullmatch(text)) and not INTERNAL_MODULES & set(text.split("."))


def is_allowed(path: str, allow: Iterable[str]) -> bool:
    """Return whether the user's ``allow`` covers a class, function or module.

    The name of a shipped package covers nothing.

    Examples
    --------
    >>> is_allowed("mypkg.models.Mine", ["mypkg"]), is_allowed("mypkg_evil.Mine", ["mypkg"])
    (True, False)
    >>> is_allowed("sklearn.feature_extraction.text.CountVectorizer", ["sklearn"])
    False
    """
    return any(f"{path}.".startswith(f"{entry}.") for entry in allow if entry not in SHIPPED)


def public_name(cls: type) -> str:
    """Return the path under which a package offers a class: its module up to the first private part.

    Examples
    --------
    >>> from sklearn.svm import SVC
    >>> public_name(SVC)
    'sklearn.svm.SVC'
    """
    parts = cls.__module__.split(".")
    private = next((i for i, part in enumerate(parts) if part.startswith("_")), len(parts))
    return ".".join((*parts[:private], cls.__qualname__))


def refusal(path: str, allow: Sequence[str]) -> ConfigError | None:
    """Return the error for the path of a class that a study may not name, or None if it may. Imports nothing.

    The ``grants`` of the error hold what the user would have to add to ``allow``.

    Examples
    --------
    >>> refusal("sklearn.svm.SVC", ()) is None
    True
    >>> refusal("mypkg.Mine", ()).grants
    ('mypkg.Mine',)
    """
    if path in ADMITTED or (is_path(path) and is_allowed(path, allow)):
        return None
    finding, shipped = f"'_target_' is {path[:80]!r}", path.split(".")[0] in SHIPPED
    if not shipped and not is_allowed(path, allow):
        finding += f", which lies outside the allowed packages ({', '.join(dict.fromkeys((*SHIPPED, *allow)))})"
    if not is_path(path):
        rule = "a class is named by its public dotted path of at most 200 characters, outside tests"
        return ConfigError(f"{finding}; {rule}. Correct the path.")
    if shipped and (public := _public_spelling(path)):
        return ConfigError(f"{finding}; a study names a class by its public path. Write {public}.")
    if shipped and path.rpartition(".")[2][0].islower():
        return ConfigError(f"{finding}, which is not a class; only estimators and samplers are built. Name a class.")
    if shipped:
        finding += ", which is not among the classes that every study may name (docs/security.md lists them)"
    near = get_close_matches(path, sorted(ADMITTED), n=1, cutoff=0.96 if shipped else 0.9)
    if shipped and near:
        return ConfigError(f"{finding}; a study names public paths. Did you mean {near[0]!r}? Correct the path.")
    guess = f"Did you mean {near[0]!r}? If not, and you" if near else "If you"
    return ConfigError(
        f"{finding}; any other class may read files or run code. {guess} trust it and the study, add "
        f"`allow=[{path}]` on your own command line.",
        grants=(path,),
    )


def _public_spelling(path: str) -> str | None:
    """Return the admitted class that a path names by an internal module of its package."""
    root, name = path.partition(".")[0], path.rpartition(".")[2]
    matches = (other for other in sorted(ADMITTED) if other.startswith(f"{root}.") and other.endswith(f".{name}"))
    return next(matches, None)


def row_keeper(estimator: Any) -> str | None:
    """Return the path of the first class in a fitted estimator that stores rows, or may; None without one.

    Everything that pickle would write is visited, however deep.

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
    keepers: list[str] = []

    def note_keeper(item: Any) -> None:
        if not keepers and (path := _keeper_path(item)) is not None:
            keepers.append(path)

    try:
        visit_pickled(estimator, note_keeper)
    except Exception:  # an object that cannot be pickled cannot be searched
        keepers.append(public_name(type(estimator)))
    return keepers[0] if keepers else None


def visit_pickled(estimator: Any, visit: Callable[[Any], None]) -> None:
    """Visit everything that pickle would write of an estimator, however deep."""

    class Visitor(pickle.Pickler):
        def persistent_id(self, item: Any) -> None:
            visit(item)

    Visitor(io.BytesIO(), protocol=VISITING_PROTOCOL).dump(estimator)


def _keeper_path(item: Any) -> str | None:
    """Return the path of an object's class, or of a function, unless it is known to store no row."""
    cls = type(item)
    if isinstance(item, type) or cls.__name__ in FUNCTION_TYPES:
        module = getattr(item, "__module__", None) or "builtins"
        return None if module.partition(".")[0] in PICKLED_BY_NAME else f"{module}.{item.__qualname__}"
    path = f"{cls.__module__}.{cls.__qualname__}"
    if path in _PART_CLASSES or path.startswith(_PART_MODULES) or public_name(cls) in CLASSES_WITHOUT_ROWS:
        return None
    return None if _is_unfitted(item) else public_name(cls)


def _is_unfitted(item: Any) -> bool:
    """Return whether an estimator of the shipped packages is a template of others, with nothing learned in it."""
    if not isinstance(item, BaseEstimator) or type(item).__module__.partition(".")[0] not in SHIPPED:
        return False
    return not any(
        name.endswith("_") or name.startswith("_") for name in vars(item) if name not in UNLEARNED_ATTRIBUTES
    )
