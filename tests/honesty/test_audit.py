"""An audit finds the misuses it names, in at least 19 of 20 seeds, and lets honest procedures pass."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.pipeline import make_pipeline
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, precision_recall_curve
from sklearn.model_selection import StratifiedKFold, cross_val_predict, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import FunctionTransformer, StandardScaler, TargetEncoder
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

import imblab
from imblab.stats.curves import roc_auc

FAST_SEEDS, SLOW_SEEDS, MIN_FOUND = 2, 20, 19
FAST_PERMUTATIONS = 10
#: Alarms that 200 honest procedures may raise.
MAX_FALSE_ALARMS = 15
KNN = KNeighborsClassifier(3)
FOREST = RandomForestClassifier(3, max_depth=6, random_state=0)
BOOSTING = HistGradientBoostingClassifier(max_iter=4, min_samples_leaf=3, early_stopping=False)
LOGISTIC = LogisticRegression()


@pytest.fixture(autouse=True)
def _one_thread():
    """These fits take some milliseconds: threads would wait for one another."""
    with threadpool_limits(1):
        yield


def folds(seed=0, n=5):
    return StratifiedKFold(n, shuffle=True, random_state=seed)


def table(seed, n=200, positives=24, columns=4, signal=0.0):
    """A table of noise, or with a weak signal in its first column."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([0, 1], [n - positives, positives]))
    X = rng.normal(size=(n, columns))
    X[:, 0] += signal * y
    return X, y


def cross_validated(model, scoring="f1"):
    return lambda X, y: cross_val_score(model, X, y, cv=folds(), scoring=scoring).mean()


def resampled_before(sampler, model, scoring="f1"):
    """Resample all rows, then cross-validate: synthetic rows of a test row are trained on."""

    def evaluate(X, y):
        return cross_validated(model, scoring)(*sampler.fit_resample(X, y))

    return evaluate


def resampled_before_original_rows(X, y):
    """The same, scored on the original rows alone."""
    X_new, y_new = SMOTE(random_state=0).fit_resample(X, y)
    predicted = cross_val_predict(KNN, X_new, y_new, cv=folds())
    return f1_score(y, predicted[: len(y)])


def selected_before(X, y):
    return cross_validated(LOGISTIC, "roc_auc")(SelectKBest(k=5).fit_transform(X, y), y)


def encoded_before(X, y):
    encoded = TargetEncoder(smooth=1.0).fit(X, y).transform(X)
    return cross_validated(LOGISTIC, "roc_auc")(encoded, y)


def threshold_on_test(X, y):
    scores = []
    for train, test in folds().split(X, y):
        p = LOGISTIC.fit(X[train], y[train]).predict_proba(X[test])[:, 1]
        precision, recall, _ = precision_recall_curve(y[test], p)
        scores.append(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-9)))
    return np.mean(scores)


def stopped_on_test(X, y):
    scores = []
    for train, test in folds().split(X, y):
        model = GradientBoostingClassifier(n_estimators=20, max_depth=1, learning_rate=1.0, random_state=0).fit(
            X[train], y[train]
        )
        scores.append(max(roc_auc(y[test], p[:, 1]) for p in model.staged_predict_proba(X[test])))
    return np.mean(scores)


def doubled_table(seed):
    """A third of the rows twice."""
    X, y = table(seed, 150, 30)
    rows = np.random.default_rng(seed).permutation(150)[:50]
    return np.vstack([X, X[rows]]), np.concatenate([y, y[rows]])


def coded_table(seed):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"shop": rng.integers(60, size=150).astype(str)}), table(seed, 150, 40)[1]


#: Name: evaluation, measure, table by seed, the check that finds it.
LEAKS = {
    "SMOTE before, kNN": (resampled_before(SMOTE(random_state=0), KNN), "f1", table, "chance control"),
    "SMOTE before, forest": (resampled_before(SMOTE(random_state=0), FOREST), "f1", table, "chance control"),
    "SMOTE before, boosting": (
        resampled_before(SMOTE(random_state=0), BOOSTING, "roc_auc"),
        "roc_auc",
        table,
        "pure noise",
    ),
    "SMOTE before, original rows": (resampled_before_original_rows, "f1", table, "chance control"),
    "over-sampled before": (
        resampled_before(RandomOverSampler(random_state=0), DecisionTreeClassifier(random_state=0)),
        "f1",
        table,
        "chance control",
    ),
    "selector on all rows": (
        selected_before,
        "roc_auc",
        partial(table, n=100, positives=30, columns=150),
        "chance control",
    ),
    "target encoder on all rows": (encoded_before, "roc_auc", coded_table, "chance control"),
    "threshold on test rows": (threshold_on_test, "f1", partial(table, n=120, positives=20), "chance control"),
    "early stopping on test rows": (stopped_on_test, "roc_auc", partial(table, n=80, positives=15), "chance control"),
    "duplicates across folds": (cross_validated(KNeighborsClassifier(1)), "f1", doubled_table, "duplicates"),
}


def state_of(name, seed, **options):
    evaluate, measure, make, check = LEAKS[name]
    return imblab.audit(evaluate, *make(seed), measure=measure, seed=seed, **options).finding(check).state


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_found(name):
    states = [state_of(name, seed, permutations=FAST_PERMUTATIONS) for seed in range(FAST_SEEDS)]
    assert states == ["failed"] * FAST_SEEDS


@pytest.mark.slow
@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_found_in_19_of_20_seeds(name):
    states = [state_of(name, seed, permutations=FAST_PERMUTATIONS) for seed in range(SLOW_SEEDS)]
    print(f"\n{name}: {states.count('failed')} of {SLOW_SEEDS}")
    assert states.count("failed") >= MIN_FOUND


def published_procedure(sampler, X, y):
    """Impute and balance all rows, then cross-validate, as a published tool does."""
    X = SimpleImputer().fit_transform(X)
    return resampled_before(sampler, RandomForestClassifier(10, random_state=0))(X, y)


@pytest.mark.parametrize(
    ("sampler", "claim"), [(SMOTE(random_state=0), 0.85), (RandomOverSampler(random_state=0), 0.95)]
)
def test_a_published_procedure_claims_a_high_score_on_noise(sampler, claim):
    X, y = table(0, 1000, 60, 10)
    audit = imblab.audit(partial(published_procedure, sampler), X, y, measure="f1", permutations=3)
    assert audit.score > claim
    assert audit.finding("chance control").value > claim
    assert [audit.finding(check).state for check in ("chance control", "pure noise")] == ["failed", "failed"]
    assert audit.exit_status == 1


def threshold_inside(X, y):
    """The threshold is chosen on a third of the training rows."""
    scores = []
    for train, test in folds().split(X, y):
        fit, validate = next(iter(folds(n=3).split(X[train], y[train])))
        model = LOGISTIC.fit(X[train][fit], y[train][fit])
        p = model.predict_proba(X[train][validate])[:, 1]
        precision, recall, thresholds = precision_recall_curve(y[train][validate], p)
        best = thresholds[np.argmax((precision * recall / np.maximum(precision + recall, 1e-9))[:-1])]
        scores.append(f1_score(y[test], model.predict_proba(X[test])[:, 1] >= best))
    return np.mean(scores)


def honest(model, scoring, n=3):
    """Cross-validate; three folds, because there are 200 runs of 31 evaluations."""
    return lambda X, y: cross_val_score(model, X, y, cv=folds(n=n), scoring=scoring).mean()


in_pipeline = partial(make_pipeline, StandardScaler(), SMOTE(random_state=0, k_neighbors=3))
#: Procedures that fit everything on training rows, with their measure.
HONEST = {
    "SMOTE, kNN": (honest(in_pipeline(KNN), "f1"), "f1"),
    "SMOTE, logistic": (honest(in_pipeline(LOGISTIC), "matthews_corrcoef"), "mcc"),
    "forest": (honest(FOREST, "average_precision"), "pr_auc"),
    "logistic": (honest(LOGISTIC, "average_precision"), "pr_auc"),
    "boosting": (honest(BOOSTING, "roc_auc"), "roc_auc"),
    "tree": (honest(DecisionTreeClassifier(random_state=0), "accuracy"), "accuracy"),
    "selector": (honest(make_pipeline(SelectKBest(k=2), KNN), "matthews_corrcoef"), "mcc"),
    "weights": (honest(LogisticRegression(class_weight="balanced"), "f1"), "f1"),
    "tuned threshold": (threshold_inside, "f1"),
    "ten folds": (honest(LOGISTIC, "average_precision", n=10), "pr_auc"),
}


def honest_states(name, seed, **options):
    evaluate, measure = HONEST[name]
    audit = imblab.audit(evaluate, *table(seed, 150, 20, signal=1.0), measure=measure, seed=seed, **options)
    return [audit.finding(check).state for check in ("chance control", "pure noise")]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", HONEST)
def test_an_honest_procedure_passes(name):
    assert honest_states(name, 0, permutations=FAST_PERMUTATIONS) == ["passed", "passed"]


@pytest.mark.slow
@pytest.mark.parametrize("name", HONEST)
def test_200_honest_procedures_raise_few_alarms(name):
    """Of each kind 20: in parts, so that processes share them."""
    alarms = sum("failed" in honest_states(name, seed) for seed in range(20))
    assert alarms <= MAX_FALSE_ALARMS / len(HONEST)


def mean_shift(X, means):
    return X - means


def prefit_cases(X, y):
    """Pipelines with a step that has seen the test rows."""
    scaler, imputer = StandardScaler().fit(X), SimpleImputer().fit(X)
    means = np.nanmean(X, axis=0)
    end = (SimpleImputer(), LogisticRegression())
    return {
        "frozen scaler": make_pipeline(FrozenEstimator(scaler), *end),
        "frozen imputer": make_pipeline(FrozenEstimator(imputer), LogisticRegression()),
        "frozen scaler after an imputer": make_pipeline(
            SimpleImputer(), FrozenEstimator(StandardScaler().fit(imputer.transform(X))), LogisticRegression()
        ),
        "method of a scaler": make_pipeline(FunctionTransformer(scaler.transform), *end),
        "closure": make_pipeline(FunctionTransformer(lambda values: imputer.transform(values)), LogisticRegression()),
        "keyword": make_pipeline(FunctionTransformer(mean_shift, kw_args={"means": means}), *end),
        "partial": make_pipeline(FunctionTransformer(partial(mean_shift, means=means)), *end),
        "frozen scaler of two columns": make_pipeline(
            SimpleImputer(),
            ColumnTransformer(
                [("two", FrozenEstimator(StandardScaler().fit(imputer.transform(X)[:, :2])), [0, 1])],
                remainder="passthrough",
            ),
            LogisticRegression(),
        ),
        "frozen selector": make_pipeline(
            SimpleImputer(), FrozenEstimator(SelectKBest(k=2).fit(imputer.transform(X), y)), LogisticRegression()
        ),
    }


def table_with_gaps(seed):
    X, y = table(seed, 120, 30, signal=1.0)
    X[np.random.default_rng(seed).random(X.shape) < 0.05] = np.nan
    return X, y


@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in range(1, SLOW_SEEDS))])
def test_a_transformer_that_has_seen_the_test_rows_is_found(seed):
    X, y = table_with_gaps(seed)
    for name, pipeline in prefit_cases(X, y).items():
        audit = imblab.audit(pipeline, X, y, permutations=2, cv=2)
        assert audit.finding("fitted before the split").state == "failed", name


def test_an_honest_pipeline_holds_nothing():
    X, y = table_with_gaps(0)
    pipeline = make_pipeline(
        SimpleImputer(), StandardScaler(), FunctionTransformer(np.abs), SMOTE(random_state=0), LOGISTIC
    )
    audit = imblab.audit(pipeline, X, y, permutations=3)
    assert audit.exit_status == 0, audit
    pipeline.fit(X, y)  # what clone drops is not handed over
    assert imblab.audit(pipeline, X, y, permutations=2).finding("fitted before the split").state == "passed"


def test_state_from_another_table_is_a_caution():
    X, y = table(0, 120, 30, signal=1.0)
    other = FrozenEstimator(StandardScaler().fit(table(1)[0]))
    finding = imblab.audit(make_pipeline(other, LOGISTIC), X, y, permutations=2).finding("fitted before the split")
    assert (finding.state, finding.details["unknown_rows"]) == (
        "caution",
        ["StandardScaler (steps.frozenestimator.estimator)"],
    )


def test_a_frozen_model_that_has_seen_the_test_rows_is_found_by_its_score():
    """A forest without a seed cannot be fitted again to compare it."""
    X, y = table(0, 120, 30)
    frozen = FrozenEstimator(RandomForestClassifier(10).fit(X, y))
    finding = imblab.audit(frozen, X, y, permutations=2).finding("fitted before the split")
    assert finding.state == "failed"
    assert "Fitted anew on training rows" in finding.meaning
