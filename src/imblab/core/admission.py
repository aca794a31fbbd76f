"""Which classes a study may name: a list of harmless ones, and what the user's own ``allow`` adds.

A study may come from somebody else. Without ``allow`` it may name the classifiers and samplers of the shipped packages
and the preprocessing classes of the list below; none of them opens a file or connection named by a parameter or row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import lru_cache

from imblab.errors import ConfigError

#: The packages that ship with imblab. An entry of ``allow`` that names one as a whole adds nothing to the list below.
SHIPPED = ("sklearn", "imblearn", "lightgbm", "xgboost", "imblab")
#: A dotted path of names, at most 200 characters long.
PATH = re.compile(r"(?=.{3,200}$)[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
#: A package, a module, or the path of a class or function.
ENTRY = re.compile(r"(?=.{1,200}$)[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
#: Modules of a package that are not meant to be imported by its users; some change the process when they are.
INTERNAL = {"tests", "conftest", "testing", "__main__"}

#: Every classifier and sampler, and what people put in front of one; a test compares this with what the packages hold.
#: Not here: what reads text by name of a file (CountVectorizer and its kin), and what calls a function it is given.
CLASSES = """
sklearn.calibration CalibratedClassifierCV
sklearn.cluster BisectingKMeans Birch FeatureAgglomeration KMeans MiniBatchKMeans
sklearn.compose ColumnTransformer
sklearn.cross_decomposition CCA PLSCanonical PLSRegression PLSSVD
sklearn.decomposition DictionaryLearning FactorAnalysis FastICA IncrementalPCA KernelPCA LatentDirichletAllocation
sklearn.decomposition MiniBatchDictionaryLearning MiniBatchNMF MiniBatchSparsePCA NMF PCA SparsePCA TruncatedSVD
sklearn.discriminant_analysis LinearDiscriminantAnalysis QuadraticDiscriminantAnalysis
sklearn.dummy DummyClassifier DummyRegressor
sklearn.ensemble AdaBoostClassifier AdaBoostRegressor BaggingClassifier BaggingRegressor ExtraTreesClassifier
sklearn.ensemble ExtraTreesRegressor GradientBoostingClassifier GradientBoostingRegressor
sklearn.ensemble HistGradientBoostingClassifier HistGradientBoostingRegressor RandomForestClassifier
sklearn.ensemble RandomForestRegressor RandomTreesEmbedding StackingClassifier VotingClassifier
sklearn.feature_selection GenericUnivariateSelect RFE RFECV SelectFdr SelectFpr SelectFromModel SelectFwe SelectKBest
sklearn.feature_selection SelectPercentile SequentialFeatureSelector VarianceThreshold
sklearn.frozen FrozenEstimator
sklearn.gaussian_process GaussianProcessClassifier GaussianProcessRegressor
sklearn.impute IterativeImputer KNNImputer MissingIndicator SimpleImputer
sklearn.kernel_approximation AdditiveChi2Sampler Nystroem PolynomialCountSketch RBFSampler SkewedChi2Sampler
sklearn.kernel_ridge KernelRidge
sklearn.linear_model ARDRegression BayesianRidge ElasticNet ElasticNetCV HuberRegressor Lars LarsCV Lasso LassoCV
sklearn.linear_model LassoLars LassoLarsCV LassoLarsIC LinearRegression LogisticRegression LogisticRegressionCV
sklearn.linear_model OrthogonalMatchingPursuit OrthogonalMatchingPursuitCV PassiveAggressiveClassifier
sklearn.linear_model PassiveAggressiveRegressor Perceptron Ridge RidgeCV RidgeClassifier RidgeClassifierCV
sklearn.linear_model SGDClassifier SGDRegressor
sklearn.manifold Isomap LocallyLinearEmbedding
sklearn.model_selection FixedThresholdClassifier GridSearchCV HalvingGridSearchCV HalvingRandomSearchCV
sklearn.model_selection RandomizedSearchCV TunedThresholdClassifierCV
sklearn.multiclass OneVsOneClassifier OneVsRestClassifier OutputCodeClassifier
sklearn.multioutput ClassifierChain MultiOutputClassifier
sklearn.naive_bayes BernoulliNB CategoricalNB ComplementNB GaussianNB MultinomialNB
sklearn.neighbors KNeighborsClassifier KNeighborsRegressor NearestCentroid NearestNeighbors
sklearn.neighbors NeighborhoodComponentsAnalysis RadiusNeighborsClassifier RadiusNeighborsRegressor
sklearn.neural_network BernoulliRBM MLPClassifier MLPRegressor
sklearn.pipeline FeatureUnion Pipeline
sklearn.preprocessing Binarizer KBinsDiscretizer KernelCenterer MaxAbsScaler MinMaxScaler Normalizer OneHotEncoder
sklearn.preprocessing OrdinalEncoder PolynomialFeatures PowerTransformer QuantileTransformer RobustScaler
sklearn.preprocessing SplineTransformer StandardScaler TargetEncoder
sklearn.random_projection GaussianRandomProjection SparseRandomProjection
sklearn.semi_supervised LabelPropagation LabelSpreading SelfTrainingClassifier
sklearn.svm LinearSVC LinearSVR NuSVC NuSVR SVC SVR
sklearn.tree DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor
imblearn FunctionSampler
imblearn.base FunctionSampler
imblearn.combine SMOTEENN SMOTETomek
imblearn.ensemble BalancedBaggingClassifier BalancedRandomForestClassifier EasyEnsembleClassifier RUSBoostClassifier
imblearn.over_sampling ADASYN BorderlineSMOTE KMeansSMOTE RandomOverSampler SMOTE SMOTEN SMOTENC SVMSMOTE
imblearn.pipeline Pipeline
imblearn.under_sampling AllKNN ClusterCentroids CondensedNearestNeighbour EditedNearestNeighbours
imblearn.under_sampling InstanceHardnessThreshold NearMiss NeighbourhoodCleaningRule OneSidedSelection
imblearn.under_sampling RandomUnderSampler RepeatedEditedNearestNeighbours TomekLinks
lightgbm LGBMClassifier LGBMRegressor
lightgbm.sklearn LGBMClassifier LGBMRegressor
xgboost XGBClassifier XGBRFClassifier XGBRFRegressor XGBRegressor
xgboost.sklearn XGBClassifier XGBRFClassifier XGBRFRegressor XGBRegressor
"""


@lru_cache(maxsize=1)
def admitted() -> frozenset[str]:
    """The paths of the classes that every study may name.

    Examples
    --------
    >>> "sklearn.svm.SVC" in admitted(), "sklearn.feature_extraction.text.CountVectorizer" in admitted()
    (True, False)
    """
    lines = (line.split() for line in CLASSES.strip().splitlines())
    return frozenset(f"{module}.{name}" for module, *names in lines for name in names)


def is_path(text: str) -> bool:
    """Whether a text is a dotted path that a study may name: short, and to nothing that a package keeps to itself.

    Examples
    --------
    >>> is_path("sklearn.svm.SVC"), is_path("sklearn.conftest.SVC"), is_path("..svm.SVC")
    (True, False, False)
    """
    return bool(PATH.fullmatch(text)) and not INTERNAL & set(text.split("."))


def is_allowed(path: str, allow: Iterable[str]) -> bool:
    """Whether the user's ``allow`` covers a class, function or module.

    Parameters
    ----------
    path : str
        Dotted.
    allow : iterable of str
        Packages, modules and paths of classes or functions. The name of a shipped package alone covers nothing.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_allowed("mypkg.models.Mine", ["mypkg"]), is_allowed("mypkg_evil.Mine", ["mypkg"])
    (True, False)
    >>> is_allowed("sklearn.feature_extraction.text.CountVectorizer", ["sklearn"])
    False
    """
    return any(f"{path}.".startswith(f"{entry}.") for entry in allow if entry not in SHIPPED)


def public_name(cls: type) -> str:
    """The path under which a package offers a class: its module up to the first private part.

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
    """Why a study may not name a path; None where it may. Nothing is imported.

    Parameters
    ----------
    path : str
    allow : sequence of str

    Returns
    -------
    ConfigError or None
        Its ``grants`` hold what the user would have to add to ``allow``.

    Examples
    --------
    >>> refusal("sklearn.svm.SVC", ()) is None
    True
    >>> refusal("mypkg.Mine", ()).grants
    ('mypkg.Mine',)
    """
    if path in admitted() or (is_path(path) and is_allowed(path, allow)):
        return None
    says, shipped = f"'_target_' is {path[:80]!r}", path.split(".")[0] in SHIPPED
    if not shipped and not is_allowed(path, allow):
        says += f", which lies outside the allowed packages ({', '.join(dict.fromkeys((*SHIPPED, *allow)))})"
    if not is_path(path):
        rule = "a class is named by its public dotted path of at most 200 characters, outside tests"
        return ConfigError(f"{says}; {rule}. Correct the path.")
    if shipped and (public := _public_spelling(path)):
        return ConfigError(f"{says}; a study names a class by its public path. Write {public}.")
    if shipped and path.rpartition(".")[2][0].islower():
        return ConfigError(f"{says}, which is not a class; only estimators and samplers are built. Name a class.")
    if shipped:
        says += ", which is not among the classes that every study may name (docs/security.md lists them)"
    if shipped and (slip := get_close_matches(path, sorted(admitted()), n=1, cutoff=0.96)):
        return ConfigError(f"{says}; a study names classes by their public path. Write {slip[0]} if that is meant.")
    near = [] if shipped else get_close_matches(path, sorted(admitted()), n=1, cutoff=0.9)
    guess = f"Did you mean {near[0]!r}? If not, and you" if near else "If you"
    return ConfigError(
        f"{says}; any other class may read files or run code. {guess} trust it and the study, add `allow=[{path}]` "
        "on your own command line.",
        grants=(path,),
    )


def _public_spelling(path: str) -> str | None:
    """The admitted class that a path names by a module which its package keeps to itself."""
    root, name = path.partition(".")[0], path.rpartition(".")[2]
    known = (other for other in sorted(admitted()) if other.startswith(f"{root}.") and other.endswith(f".{name}"))
    return next(known, None)
