"""What a study may name, at every depth: listed classes, parameters within bounds, learners that split nothing."""

import math
import re
import sys
import types
import warnings
from numbers import Integral
from pathlib import Path

import pytest
from imblearn.utils.testing import all_estimators as all_of_imblearn
from lightgbm import LGBMClassifier
from lightgbm.basic import _ConfigAliases
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.utils import all_estimators

from imblab.commands import python_runs
from imblab.core import admission, estimator_specs
from imblab.edges import config
from imblab.edges.config import members, parameters
from imblab.errors import ConfigError

LOGISTIC = {"_target_": "sklearn.linear_model.LogisticRegression"}
SVC = {"_target_": "sklearn.svm.SVC"}
SGD = {"_target_": "sklearn.linear_model.SGDClassifier"}
FOREST = {"_target_": "sklearn.ensemble.RandomForestClassifier"}
GRADIENT = {"_target_": "sklearn.ensemble.GradientBoostingClassifier"}
HISTOGRAMS = {"_target_": "sklearn.ensemble.HistGradientBoostingClassifier"}
NETWORK = {"_target_": "sklearn.neural_network.MLPClassifier"}
LIGHTGBM = {"_target_": "lightgbm.LGBMClassifier"}
XGBOOST = {"_target_": "xgboost.XGBClassifier"}
SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}


def of(name, **parameters):
    """A class of scikit-learn or imbalanced-learn by its last name, with parameters."""
    (path,) = (p for p in admission.ADMITTED if p.endswith(f".{name}") and p != "imblearn.base.FunctionSampler")
    return {"_target_": path, **parameters}


def listed(*estimators):
    return [[f"s{number}", estimator] for number, estimator in enumerate(estimators)]


def pipeline(*estimators, package="sklearn.pipeline", **more):
    return {"_target_": f"{package}.Pipeline", "steps": listed(*estimators), **more}


#: Ways to put a classifier inside another one.
NESTED = {
    "alone": lambda e: e,
    "bagging": lambda e: of("BaggingClassifier", estimator=e),
    "pipeline": lambda e: pipeline(of("StandardScaler"), e),
    "pipeline-of-imblearn": lambda e: pipeline(e, package="imblearn.pipeline"),
    "voting": lambda e: of("VotingClassifier", estimators=listed(LOGISTIC, e), voting="soft"),
    "one-against-rest": lambda e: of("OneVsRestClassifier", estimator=e),
    "selector": lambda e: pipeline(of("SelectFromModel", estimator=e), LOGISTIC),
    "elimination": lambda e: pipeline(of("RFE", estimator=e), LOGISTIC),
    "balanced-bagging": lambda e: of("BalancedBaggingClassifier", estimator=e),
    "union": lambda e: pipeline(
        of("FeatureUnion", transformer_list=listed(of("SelectFromModel", estimator=e))), LOGISTIC
    ),
    "four-levels": lambda e: of("BaggingClassifier", estimator=pipeline(of("AdaBoostClassifier", estimator=e))),
}


@pytest.fixture(scope="module")
def plain():
    words = ("name=x", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none]", "protocol=smoke", "measures=[mcc]")
    return config.to_mapping(python_runs.compose(*words))


@pytest.fixture
def ask(plain):
    """Reads a study with one learner, or one sampler; gives the refusal, or None."""

    def asked(make, space=None, sampler=False, allow=(), **more):
        mine = {"sampler": make, "threshold": 0.5} if sampler else {"make": make, "space": space or {}, **more}
        try:
            config.parse_study({**plain, "strategy" if sampler else "learner": {"mine": mine}}, allow)
        except ConfigError as error:
            return str(error)
        return None

    return asked


# Classes


def public():
    """The public classes of scikit-learn and imbalanced-learn by path."""
    return {admission.public_name(cls): cls for _, cls in [*all_estimators(), *all_of_imblearn()]}


def test_every_classifier_and_sampler_is_admitted():
    for path, cls in public().items():
        if issubclass(cls, ClassifierMixin) or hasattr(cls, "fit_resample"):
            assert path in admission.ADMITTED
    for path in admission.ADMITTED:
        assert issubclass(estimator_specs.resolve_class(path), BaseEstimator)


def test_everything_else_is_refused_with_what_would_allow_it():
    others = {path for path in public() if path not in admission.ADMITTED}
    assert "sklearn.feature_extraction.text.CountVectorizer" in others
    assert len(others) > 20
    for path in others:
        assert admission.refusal(path, ()).grants == (path,)
        assert admission.refusal(path, (path,)) is None
    for path in ("lightgbm.DaskLGBMClassifier", "xgboost.dask.DaskXGBClassifier", "xgboost.spark.SparkXGBClassifier"):
        assert admission.refusal(path, ()).grants == (path,)
    assert "xgboost.spark" not in sys.modules


def test_the_page_lists_the_classes():
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `([a-z_.]+)` \| ([A-Z][\w, ]+) \|$", page.partition("## Classes that every")[2], re.MULTILINE
    )
    assert {f"{module}.{name}" for module, names in rows for name in names.split(", ")} == admission.ADMITTED


#: What people do every day.
USUAL = {
    "scaled": pipeline(of("StandardScaler"), of("PCA", n_components=3), SVC),
    "selected": pipeline(of("SelectKBest", k=2), of("PolynomialFeatures", degree=2, interaction_only=True), LOGISTIC),
    "kernels": pipeline(of("RobustScaler"), of("Nystroem", n_components=20, kernel="rbf"), SGD),
    "bins": pipeline(of("KBinsDiscretizer", n_bins=5, encode="onehot-dense"), LOGISTIC),
    "imputed": pipeline(of("SimpleImputer", strategy="constant", fill_value=0, add_indicator=True), LOGISTIC),
    "iterative": pipeline(of("IterativeImputer", estimator=of("BayesianRidge")), LOGISTIC),
    "columns": pipeline(
        of("ColumnTransformer", transformers=[["a", of("StandardScaler"), [0, 1]]], remainder="passthrough"), LOGISTIC
    ),
    "voting": of("VotingClassifier", estimators=listed(LOGISTIC, FOREST), voting="soft", weights=[1, 2]),
    "bagging": of("BaggingClassifier", estimator=SVC, n_estimators=5, max_samples=0.8, oob_score=True),
    "boosted": of("AdaBoostClassifier", estimator=of("DecisionTreeClassifier", max_depth=2)),
    "balanced": of("BalancedBaggingClassifier", sampler=SMOTE, sampling_strategy=0.5),
    "inside": pipeline(SMOTE, LOGISTIC, package="imblearn.pipeline"),
    "network": {**NETWORK, "hidden_layer_sizes": [100, 50], "early_stopping": False, "max_iter": 500},
    "lightgbm": {**LIGHTGBM, "metric": ["auc", "binary_logloss"], "num_leaves": 63, "n_jobs": -1, "max_bin": 511},
    "constraints": {**LIGHTGBM, "monotone_constraints": [1, 0, -1], "interaction_constraints": [[0, 1], [2]]},
    "xgboost": {**XGBOOST, "tree_method": "hist", "max_depth": 6, "nthread": 2, "eval_metric": "logloss"},
    "gradient": {**GRADIENT, "subsample": 0.5, "n_iter_no_change": None},
    "weights": {**LOGISTIC, "class_weight": {0: 1, 1: 5}, "max_iter": 1_000_000},
    "process": of("GaussianProcessClassifier", n_restarts_optimizer=2),
}


@pytest.mark.parametrize("case", USUAL)
def test_what_people_do_every_day_is_admitted(case, ask):
    assert ask(USUAL[case]) is None


SAMPLERS = {
    "svm": of("SVMSMOTE", svm_estimator={**SVC, "probability": True}),
    "hardness": of("InstanceHardnessThreshold", estimator=FOREST, cv=5),
    "kmeans": of("KMeansSMOTE", kmeans_estimator=of("MiniBatchKMeans", n_clusters=8), cluster_balance_threshold=0.01),
    "enn": of("SMOTEENN", smote=SMOTE, enn=of("EditedNearestNeighbours", n_neighbors=5)),
    "counts": {**SMOTE, "sampling_strategy": {1: 200}},
    "neighbours": {**SMOTE, "k_neighbors": of("NearestNeighbors", n_neighbors=4)},
}


@pytest.mark.parametrize("case", SAMPLERS)
def test_a_sampler_works_on_real_rows_and_may_validate_on_them(case, ask):
    assert ask(SAMPLERS[case], sampler=True) is None


def test_the_chain_that_read_a_file_is_refused_link_by_link(ask):
    chain = pipeline(
        of("KBinsDiscretizer", encode="ordinal"),
        of("OrdinalEncoder", dtype="object"),
        of("SimpleImputer", strategy="constant", fill_value="/etc/passwd", missing_values=0),
        {"_target_": "sklearn.feature_extraction.text.CountVectorizer", "input": "filename"},
        LOGISTIC,
    )
    for make in (chain, of("BaggingClassifier", estimator=chain)):
        said = ask(make)
        for link in ("steps[s1].dtype' is 'object'", "steps[s2].fill_value' is '/etc/passwd'", "text.CountVectorizer'"):
            assert link in said
    allowed = ask(chain, allow=("sklearn.feature_extraction.text.CountVectorizer",))
    assert "dtype" in allowed
    assert "CountVectorizer" not in allowed


# Parameters

#: Parameters that reach further than the rows: class, name, value, words of the refusal.
REACHING = {
    "text-in-a-text": (LIGHTGBM, "metric", "auc forcedsplits_filename=/etc/passwd", "one word"),
    "text-in-a-list": (LIGHTGBM, "metric", ["auc", "l2 machines=1"], "one word"),
    "text-with-a-tab": (LIGHTGBM, "objective", "binary\tmachines=1", "one word"),
    "text-in-a-name": (LIGHTGBM, "verbose machines", 1, "one word"),
    "text-in-a-mapping": (LIGHTGBM, "extra", {"deep": [{"er": "a b=c"}]}, "one word"),
    "text-of-xgboost": (XGBOOST, "eval_metric", "auc x=1", "one word"),
    "file": (LIGHTGBM, "forced_splits", "/etc/passwd", "reaches files"),
    "file-behind-underscores": (LIGHTGBM, "estimator__forcedsplits_filename", "/etc/passwd", "reaches files"),
    "file-in-a-mapping": (LIGHTGBM, "extra", {"forcedsplits_filename": "/etc/passwd"}, "reaches files"),
    "network": (LIGHTGBM, "mlist", "x", "reaches files or the network"),
    "more-of-xgboost": (XGBOOST, "kwargs", {"a": 1}, "a function or an object"),
    "callbacks": (XGBOOST, "callbacks", ["x"], "a function or an object"),
    "seed": (LIGHTGBM, "random_seed", 3, "one seed of the study"),
    "seed-of-xgboost": (XGBOOST, "seed", 3, "one seed of the study"),
    "seed-of-a-forest": (FOREST, "random_state", 3, "one seed of the study"),
}


@pytest.mark.parametrize("outer", NESTED)
@pytest.mark.parametrize("case", REACHING)
def test_what_reaches_further_than_the_rows_is_refused_at_every_depth(case, outer, ask):
    make, name, value, said = REACHING[case]
    assert said in ask(NESTED[outer]({**make, name: value}))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (of("FeatureAgglomeration", memory="cache"), "reaches files"),
        (of("FeatureAgglomeration", pooling_func="mean"), "a function or an object"),
        (of("OrdinalEncoder", categories=[["a"]]), "rows are numbers"),
        (of("OneHotEncoder", dtype="object"), "rows are numbers"),
        (of("SimpleImputer", missing_values="?"), "rows are numbers"),
        (of("PCA", n_components=10**9), "at most 10000"),
        (of("PolynomialFeatures", degree=10), "at most 5"),
        (of("RFE", estimator=LOGISTIC, importance_getter="__class__.__init__"), "looked up"),
        (of("ColumnTransformer", transformers=[], verbose_feature_names_out="{feature_name.__class__}"), "filled in"),
        ({"_target_": "sklearn.preprocessing.FunctionTransformer"}, "FunctionTransformer]`"),
    ],
)  # fmt: skip
def test_a_step_that_does_more_than_to_transform_numbers_is_refused(make, said, ask):
    assert said in ask(pipeline(make, LOGISTIC))


def test_a_sampler_of_a_function_is_refused(ask):
    for name in ("imblearn.FunctionSampler", "imblearn.base.FunctionSampler"):
        assert "a function or an object" in ask({"_target_": name, "func": "os.system"}, sampler=True)
    deep = of("SVMSMOTE", svm_estimator={**LIGHTGBM, "metric": "auc forcedsplits_filename=/etc/passwd"})
    assert "one word" in ask(deep, sampler=True)
    assert "one word" in ask({**SMOTE, "_mixed_": deep}, sampler=True)


#: The parameter of a class, and the largest that it takes.
SIZES = [
    (LIGHTGBM, "num_threads", 64), (LIGHTGBM, "nthread", 64), (LIGHTGBM, "n_jobs", 64), (XGBOOST, "nthread", 64),
    (FOREST, "n_jobs", 64), (FOREST, "n_estimators", 100_000), (LIGHTGBM, "num_boost_round", 100_000),
    (LIGHTGBM, "max_iter", 100_000), (HISTOGRAMS, "max_iter", 100_000), (LOGISTIC, "max_iter", 10_000_000),
    (LIGHTGBM, "num_leaf", 10_000), (FOREST, "max_leaf_nodes", 10_000), (XGBOOST, "num_parallel_tree", 10_000),
    (NETWORK, "hidden_layer_sizes", 10_000), (SVC, "cache_size", 10_000),
]  # fmt: skip


@pytest.mark.parametrize(("make", "name", "most"), SIZES)
def test_a_size_has_an_end_at_every_depth_and_in_every_space(make, name, most, ask):
    make = {**make, **({"early_stopping": False} if make is HISTOGRAMS else {})}
    assert ask({**make, name: most}) is None
    for value in (most + 1, 10**9, float(10**12), str(10**9)):
        for outer in NESTED.values():
            assert f"it takes at most {most}" in ask(outer({**make, name: value}))
    for space in (f"choice(1,{most + 1})", f"interval(1,{most + 1})", f"tag(log,interval(1,{10**9}))"):
        assert f"'learner.mine.space.{name}' is" in ask(make, {name: space})


def test_a_network_and_a_share_of_the_rows_have_an_end(ask):
    assert "weights between them" in ask({**NETWORK, "hidden_layer_sizes": [10_000, 10_000]})
    assert "100 layers" in ask({**NETWORK, "hidden_layer_sizes": [1] * 101})
    assert "at most 10," in ask({**FOREST, "max_samples": 1e6})
    assert "at most 10000000," in ask({**FOREST, "max_samples": 10**9})
    assert "at most 10000000" in ask({**SMOTE, "sampling_strategy": {1: 10**9}}, sampler=True)


def test_the_text_of_a_space_is_checked_as_well(ask):
    for space in ("choice('auc machines=1')", "choice(auc,'l2 x=1')"):
        assert "one word" in ask(LIGHTGBM, {"metric": space})
    for name in ("forcedsplits_filename", "mlist", "estimator__machines"):
        assert "reaches files" in ask(LIGHTGBM, {name: "choice(x)"})
    assert "one seed" in ask(LIGHTGBM, {"random_seed": "choice(1,2)"})


def test_all_that_is_wrong_with_a_study_is_said_at_once(ask):
    said = ask(pipeline({**FOREST, "n_jobs": 10**6, "n_estimators": 10**9}, {"_target_": "far.Off"}, LOGISTIC))
    assert said.startswith("3 problems:")
    for part in ("[s0].n_jobs' is 1000000", "[s0].n_estimators' is", "'far.Off'"):
        assert part in said


def test_a_stage_asks_a_booster_for_rounds_and_for_nothing_else(ask):
    fine = {"parameter": "n_estimators", "argument": "num_iteration", "form": "count", "made": "n_estimators_"}
    assert ask(LIGHTGBM, staged=fine) is None
    for more in ({"argument": "num_threads"}, {"argument": "x machines=1"}, {"made": "__class__"}):
        assert "how many rounds" in ask(LIGHTGBM, staged={**fine, **more})


#: Whole numbers of the listed classes that were looked at: they are compared with the rows, or count time alone.
HARMLESS = """
Cs alphas average batch_size evaluate_every init_size k k_best k_neighbors kmeans_estimator leaf_size m_neighbors
max_categories max_depth max_features max_n_alphas max_resources min_features_to_select min_frequency min_resources
min_samples_leaf min_samples_split n_candidates n_features_to_select n_nearest_features n_neighbors n_neighbors_ver3
n_nonzero_coefs n_seeds_S n_targets norm_order step subsample thresholds transform_n_nonzero_coefs validation_fraction
version cv verbose n_subsamples min_samples min_weight random_state
"""
#: Parameters for which a text is looked up among known names, or an array is meant.
LOOKED_UP = """
sampling_strategy oob_score init connectivity metric fun kernel scoring max_features optimizer weights strategy refit
feature_name_combiner importance_getter verbose_feature_names_out
"""


def test_every_parameter_of_a_listed_class_was_looked_at():
    unbounded, called, free = set(), set(), set()
    for path in admission.ADMITTED:
        cls = estimator_specs.resolve_class(path)
        rules = getattr(cls, "_parameter_constraints", {})
        for name in cls._get_param_names() if rules else ():
            rule = rules.get(name)
            if rule in (None, "no_validation"):
                free.add(name)
                continue
            if any(getattr(part, "type", None) is Integral for part in rule):
                unbounded.add(name)
            if callable in rule:
                called.add(name)
    assert unbounded - {*parameters.MAX_SIZES, *HARMLESS.split()} == set()
    assert called - parameters.FUNCTION_PARAMETERS - {*LOOKED_UP.split()} == set()
    assert free <= parameters.CELL_PARAMETERS | {"dtype", "steps"}


# Splitting

STOPPING = {
    "gradient": {**GRADIENT, "n_iter_no_change": 5},
    "histograms": HISTOGRAMS,
    "histograms-on": {**HISTOGRAMS, "early_stopping": True},
    "sgd": {**SGD, "early_stopping": True},
    "perceptron": of("Perceptron", early_stopping=True),
    "network": {**NETWORK, "early_stopping": True},
    "xgboost": {**XGBOOST, "early_stopping_rounds": 5},
    "xgboost-0": {**XGBOOST, "early_stopping_rounds": 0},
    "probability": {**SVC, "probability": True},
    "probability-of-nu": of("NuSVC", probability=True),
    "logistic-cv": of("LogisticRegressionCV"),
    "ridge-cv": of("RidgeClassifierCV"),
    "ridge-cv-5": of("RidgeClassifierCV", cv=5),
    "calibrated": of("CalibratedClassifierCV", estimator=LOGISTIC),
    "calibrated-once": of("CalibratedClassifierCV", estimator=LOGISTIC, ensemble=False, cv=3),
    "stacked": of("StackingClassifier", estimators=listed(LOGISTIC)),
    "stacked-5": of("StackingClassifier", estimators=listed(LOGISTIC), final_estimator=LOGISTIC, cv=5),
    "grid": of("GridSearchCV", estimator=LOGISTIC, param_grid={"C": [1, 2]}),
    "halving": of("HalvingGridSearchCV", estimator=LOGISTIC, param_grid={"C": [1, 2]}),
    "random": of("RandomizedSearchCV", estimator=LOGISTIC, param_distributions={"C": [1, 2]}),
    "threshold": of("TunedThresholdClassifierCV", estimator=LOGISTIC),
    "target-encoder": pipeline(of("TargetEncoder"), LOGISTIC),
    "rfecv": pipeline(of("RFECV", estimator=LOGISTIC), LOGISTIC),
    "sequential": pipeline(of("SequentialFeatureSelector", estimator=LOGISTIC), LOGISTIC),
    "lasso-cv": pipeline(of("SelectFromModel", estimator=of("LassoCV")), LOGISTIC),
    "hardness": of("BalancedBaggingClassifier", sampler=of("InstanceHardnessThreshold")),
    **{
        f"lightgbm-{alias}": {**LIGHTGBM, alias: value}
        for alias, value in zip(sorted(_ConfigAliases.get("early_stopping_round")), (1, 5, "5", True, 10), strict=False)
    },
}


@pytest.mark.parametrize("outer", NESTED)
@pytest.mark.parametrize("case", STOPPING)
def test_a_learner_that_splits_its_rows_is_refused_at_every_depth(case, outer, ask):
    assert "splits the rows it receives" in ask(NESTED[outer](STOPPING[case]))


@pytest.mark.parametrize(
    "make",
    [
        {**HISTOGRAMS, "early_stopping": False},
        {**LIGHTGBM, "early_stopping_round": 0},
        {**LIGHTGBM, "early_stopping_rounds": None},
        {**SGD, "n_iter_no_change": 10},
        {**NETWORK, "n_iter_no_change": 10},
        {**FOREST, "oob_score": True},
        of("FixedThresholdClassifier", estimator=LOGISTIC),
        of("StackingClassifier", estimators=listed(LOGISTIC), final_estimator=LOGISTIC, cv="prefit"),
    ],
)
def test_a_learner_that_splits_nothing_is_admitted(make, ask):
    assert ask(make) is None


@pytest.mark.parametrize(
    ("make", "name", "space"),
    [
        (SGD, "early_stopping", "choice(true,false)"),
        ({**HISTOGRAMS, "early_stopping": False}, "early_stopping", "choice(auto,false)"),
        (GRADIENT, "n_iter_no_change", "choice(5,10)"),
        (GRADIENT, "n_iter_no_change", "interval(1,10)"),
        (LIGHTGBM, "n_iter_no_change", "choice(0,5)"),
        (LIGHTGBM, "early_stopping", "interval(0,5)"),
        (XGBOOST, "early_stopping_rounds", "choice(5)"),
        (SVC, "probability", "choice(false,true)"),
    ],
)
def test_a_space_that_switches_splitting_on_is_refused(make, name, space, ask):
    said = ask(make, {name: space})
    assert "splits the rows it receives" in said
    assert f"Set learner.mine.space.{name}=null" in said


def test_every_class_that_can_hold_rows_back_is_known():
    """By what the classes do: a fraction, a number of folds or a switch among their parameters."""
    with warnings.catch_warnings(action="ignore"):
        for path in admission.ADMITTED:
            cls = estimator_specs.resolve_class(path)
            names = set(cls._get_param_names())
            if "validation_fraction" in names:
                on = {"early_stopping": True} if "early_stopping" in names else {"n_iter_no_change": 5}
                assert splitting_names(cls(**on))
            if "cv" in names and cls.__name__ != "ClassifierChain":
                inner = {n: LogisticRegression() for n in names & {"estimator", "base_estimator"}}
                needed = {n: {} for n in names & {"param_grid", "param_distributions"}} | {
                    n: [] for n in names & {"estimators"}
                }
                assert splitting_names(cls(**inner, **needed))


def splitting_names(learner):
    try:
        members.check_splits_nothing(learner, "x")
    except ConfigError as error:
        return str(error)
    return ""


class Quiet(LogisticRegression):
    """A class of the user's own that does not tell its parameters."""

    def get_params(self, deep=True):
        raise RuntimeError("nothing to tell")


class Held(ClassifierMixin, BaseEstimator):
    def __init__(self, validation_fraction=0.1):
        self.validation_fraction = validation_fraction


class Network(ClassifierMixin, BaseEstimator):
    def __init__(
        self, validation_split=0.0, train_split=None, cv=5, text="two words = fine", data="my.csv", inner=None
    ):
        self.validation_split, self.train_split, self.cv = validation_split, train_split, cv
        self.text, self.data, self.inner = text, data, inner

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return X


def test_a_class_of_ones_own_is_judged_by_what_it_tells(monkeypatch, ask):
    module = types.ModuleType("ours")
    for cls in (
        Network,
        Held,
        type("Boosted", (GradientBoostingClassifier,), {}),
        type("Leaves", (LGBMClassifier,), {}),
    ):
        monkeypatch.setattr(cls, "__module__", "ours")
        setattr(module, cls.__name__, cls)
    monkeypatch.setitem(sys.modules, "ours", module)

    def own(name, **more):
        return ask({"_target_": f"ours.{name}", **more}, allow=("ours",)) or ""

    assert "Network splits the rows" in own("Network")
    assert "Network splits the rows" in own("Network", cv="prefit", validation_split=0.2)
    assert "SGDClassifier splits the rows" in own("Network", cv="prefit", inner={**SGD, "early_stopping": True})
    assert own("Network", cv="prefit", text="a b=c", data="other.csv") == ""
    assert splitting_names(Held())
    assert splitting_names(Held(validation_fraction=0)) == ""
    assert splitting_names(Quiet()) == ""
    assert "Boosted splits" in own("Boosted", n_iter_no_change=3)
    assert "one word" in own("Leaves", metric="auc forcedsplits_filename=/etc/passwd")
    assert "reaches files" in own("Leaves", forced_splits="/etc/passwd")


# Studies without end


def nested(levels):
    make = FOREST
    for _ in range(levels):
        make = of("BaggingClassifier", estimator=make)
    return make


def deep_list(levels):
    value = [LOGISTIC]
    for _ in range(levels):
        value = [value]
    return value


def test_what_is_nested_without_end_is_refused(ask):
    assert ask(nested(3)) is None
    for make in (nested(10), nested(500), {**LOGISTIC, "l1_ratio": deep_list(3000)}):
        assert "is nested deeper than 10 estimators or 50 levels" in ask(make)
    forest = {**FOREST, "n_estimators": 10_000}
    assert ask(of("BaggingClassifier", estimator=forest, n_estimators=100)) is None
    assert "members in all" in ask(of("BaggingClassifier", estimator=forest, n_estimators=1_000))
    assert "members in all" in ask(nested(6))


@pytest.mark.parametrize("value", [10**5000, 10.0**300, math.inf], ids=["digits", "float", "inf"])
def test_a_number_of_any_length_is_compared_and_shown(value, ask):
    assert "at most 10000000" in ask({**LOGISTIC, "max_iter": value})
    assert "at most 10000" in ask({**NETWORK, "hidden_layer_sizes": [value, 3]})


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("protocol", {"repeats": 10**9}),
        ("protocol", {"outer_folds": 10**9}),
        ("protocol", {"inner_folds": 10**5000}),
        ("search", {"method": "tpe", "n_trials": 10**9}),
    ],
    ids=["repeats", "outer", "inner", "trials"],
)
def test_a_protocol_has_an_end(section, value, plain):
    with pytest.raises(ConfigError, match=r"it is a whole number of \w+ from \d to \d+"):
        config.parse_study({**plain, section: value})


def test_a_grid_has_an_end(plain):
    space = {"ratio": "range(0.001,1,0.001)", "k": "range(1,2000)"}
    wide = {"smote": {"sampler": SMOTE, "threshold": 0.5, "space": space}}
    with pytest.raises(ConfigError, match="has a grid of 1997001 candidates; a grid lists at most 1000000"):
        config.parse_study({**plain, "strategy": wide})


def test_members_multiply_under_every_name_and_in_spaces(ask):
    """10,000 trees in each of 100,000 rounds passed, and so did the rounds of a learner inside a searched ensemble."""
    boosters = {
        "forests": {"_target_": "xgboost.XGBClassifier", "n_estimators": 100_000, "num_parallel_tree": 10_000},
        "text": {"_target_": "xgboost.XGBClassifier", "n_estimators": 100_000, "num_parallel_tree": "1000"},
        "alias": of("BaggingClassifier", estimator={"_target_": "lightgbm.LGBMClassifier", "num_rounds": 100_000}),
        "rounds": of(
            "BaggingClassifier", estimator=of("HistGradientBoostingClassifier", max_iter=100_000, early_stopping=False)
        ),
    }
    boosters["alias"]["n_estimators"] = boosters["rounds"]["n_estimators"] = 100
    for name, make in boosters.items():
        assert "members in all" in ask(make), name
    forest = of("BaggingClassifier", estimator=of("RandomForestClassifier", n_estimators=10_000))
    assert "members in all" in ask(forest, {"n_estimators": "choice(10,1000)"})
    assert "members in all" in ask(forest, {"n_estimators": "interval(10,1000)"})
    assert ask(forest, {"n_estimators": "choice(10,100)"}) is None
    assert ask({"_target_": "xgboost.XGBClassifier", "n_estimators": 1_000, "num_parallel_tree": 100}) is None


def test_polynomials_of_polynomials_multiply(ask):
    """Two of degree 5 make more columns of 30 than any machine holds."""
    five = of("PolynomialFeatures", degree=5)
    assert ask(pipeline(five, LOGISTIC)) is None
    assert "degrees that multiply to 25" in ask(pipeline(five, five, LOGISTIC))
    nested = pipeline(of("PolynomialFeatures", degree=[1, 3]), pipeline(of("PolynomialFeatures"), LOGISTIC))
    assert "degrees that multiply to 6" in ask(of("BaggingClassifier", estimator=nested))
    assert ask(pipeline(of("PolynomialFeatures", degree=1), five, LOGISTIC)) is None


@pytest.mark.parametrize("wrap", ["alone", "bagging", "four-levels"])
def test_a_text_of_brackets_does_not_end_the_process(ask, wrap):
    """XGBoost reads it with a function that calls itself: 100,000 of them were a SIGSEGV of the whole process."""
    for text in ("[" * 100_000, "[[1,2],[" * 12, '{"a":' * 11):
        refusal = ask(NESTED[wrap]({"_target_": "xgboost.XGBClassifier", "interaction_constraints": text}))
        assert "brackets are nested at most 10 deep" in refusal
    assert ask({"_target_": "xgboost.XGBClassifier", "interaction_constraints": "[[0,1],[2,3]]"}) is None
