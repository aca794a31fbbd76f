"""The words of a verdict are worth what they say: error rate, coverage and power, on thousands of real fits.

Seeds are fixed, so every figure here is the same on every machine; the last two print theirs (pytest -s).
"""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

import imblab
from imblab.analysis import compare
from imblab.analysis.results import score_arrays
from imblab.core.measures import mcc
from imblab.result import Evaluation
from imblab.study import Claims, Learner, Measure, Protocol, Strategy, Study

pytestmark = pytest.mark.slow

TRIALS, SAMPLE, FOLDS = 200, 1000, 5
#: What chance allows at .025 a direction: the 99 % quantile, 11 of 200.
ALLOWED = int(binom.ppf(0.99, TRIALS, 0.025))
FIXED = ("strategy.smote.ratio=1.0", "strategy.smote.k=5", "strategy.smote_threshold.ratio=1.0")
FIXED += ("strategy.smote_threshold.k=5", "strategy.class_weight.weight=3")


@pytest.fixture(autouse=True)
def _one_thread():
    """These fits take a millisecond: threads would wait for one another."""
    with threadpool_limits(1):
        yield


def permuted(seed):
    """A table whose labels know nothing of its columns."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(["yes", "no"], [30, 90]))
    frame = pd.DataFrame(rng.normal(size=(120, 3)), columns=list("abc"))
    return imblab.dataset(frame.assign(label=labels), "label", name=f"permuted{seed}")


def as_evaluation(row):
    """The evaluation behind a row of the table that Python users get."""
    names = ("dataset", "learner", "strategy", "repeat", "fold", "params", "threshold", "seconds", "status", "error")
    names += ("fingerprint", "split_fingerprint", "n_train", "n_test")
    return Evaluation(
        **{name: row[name] for name in names}, scores={"mcc": row["mcc"], "roc_auc": row["roc_auc"]}, counts={}
    )


@pytest.mark.parametrize("primary", ["mcc", "roc_auc"])
def test_better_is_seldom_said_of_permuted_labels(primary):
    arms = "strategy=[none,threshold,class_weight,smote,smote_threshold]"
    words = (
        "name=permuted",
        "dataset=[]",
        "learner=[logistic]",
        arms,
        "protocol=smoke",
        "protocol.outer_folds=5",
        *FIXED,
    )
    study = imblab.compose(*words, "measures=[mcc,roc_auc]", f"primary={primary}")
    rows = imblab.evaluate(study, [permuted(seed) for seed in range(TRIALS)])
    assert (rows.status == "ok").all()
    found = compare.contrasts(score_arrays(study, map(as_evaluation, rows.to_dict("records"))), study)
    assert found.dataset.nunique() == TRIALS
    said = {word: found[found.verdict == word].dataset.nunique() for word in ("better", "worse")}
    print(f"\n{primary}, permuted labels: {said} of {TRIALS} families; {ALLOWED} are allowed")
    assert said["better"] <= ALLOWED
    # Without Holm, one contrast at a time.
    ahead = (found.p <= study.claims.alpha) & (found["mean"] > 0)
    alone = ahead.groupby([found.a, found.b]).sum()
    print(f"p <= .05 and above zero, without Holm: {alone.to_dict()}")
    assert (alone <= ALLOWED).all()


def judged(differences, primary, rope):
    """Verdicts on a - b by the product, one data set a sample; b scores 0."""
    study = Study(
        "words", 0, {}, (Learner("logistic", {}),), (Strategy("a"), Strategy("b")), (Measure(primary, "m", "score"),),
        Protocol(outer_folds=FOLDS), primary, claims=Claims((("a", "b"),), rope={primary: rope}),
    )  # fmt: skip
    sizes = {"n_train": SAMPLE - SAMPLE // FOLDS, "n_test": SAMPLE // FOLDS}
    rows = [
        Evaluation(
            f"sample{i}", "logistic", arm, 0, fold, {}, 0.5, {primary: float(score)}, {}, 0.0, "ok", None, "f",
            split_fingerprint=f"{i}-{fold}", **sizes,
        )
        for i, scores in enumerate(differences)
        for arm, own in (("a", scores), ("b", np.zeros(FOLDS)))
        for fold, score in enumerate(own)
    ]  # fmt: skip
    return compare.contrasts(score_arrays(study, rows), study)


def mcc_at_half(y, p):
    called = p >= 0.5
    return float(
        mcc(
            (~called & (y == 0)).sum(), (called & (y == 0)).sum(), (~called & (y == 1)).sum(), (called & (y == 1)).sum()
        )
    )


def gain(arms, X, y):
    """MCC of the first arm over the second."""
    first, second = (mcc_at_half(y, arm.predict_proba(X)[:, 1]) for arm in arms)
    return first - second


def folds(X, y, seed):
    return StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(X, y)


def test_the_corrected_interval_covers_the_true_difference():
    """Class weights against nothing: 200 samples of 1,000 rows, the truth from the 199,000 rows left over."""
    X, y = make_classification(200_000, 6, n_informative=4, weights=[0.9], flip_y=0.05, class_sep=0.7, random_state=0)
    rng = np.random.default_rng(0)
    differences, true = np.empty((TRIALS, FOLDS)), np.empty(TRIALS)
    for i in range(TRIALS):
        own = rng.choice(len(y), SAMPLE, replace=False)
        unused = np.ones(len(y), dtype=bool)
        unused[own] = False
        for j, (train, test) in enumerate(folds(X[own], y[own], i)):
            arms = [LogisticRegression(class_weight=w).fit(X[own[train]], y[own[train]]) for w in ("balanced", None)]
            differences[i, j] = gain(arms, X[own[test]], y[own[test]])
            if j == 0:
                true[i] = gain(arms, X[unused], y[unused])
    found = judged(differences, "mcc", 0.01)
    truth = true.mean()
    covered = ((found.low <= truth) & (truth <= found.high)).mean()
    naive = np.abs(differences.mean(1) - truth) <= 2.776 * differences.std(1, ddof=1) / np.sqrt(FOLDS)
    print(
        f"\ntrue difference of MCC {truth:+.3f}; corrected 95 % interval covers it in {covered:.3f} of {TRIALS} samples"
    )
    print(f"the uncorrected interval in {naive.mean():.3f}; verdicts {found.verdict.value_counts().to_dict()}")
    assert abs(truth) > 0.02
    # 95 % less three standard errors of a share of 200: coverage below is no accident.
    assert covered >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / TRIALS)
    assert found.verdict.ne("identical").all()
    wrong = "worse" if truth > 0 else "better"
    assert (found.verdict == wrong).sum() <= ALLOWED


@cache
def population(strength):
    """Labels from two columns, the second of which matters by ``strength``."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200_000, 2))
    risk = 1 / (1 + np.exp(2.4 - 1.2 * X[:, 0] - strength * X[:, 1]))
    return X, (rng.random(len(X)) < risk).astype(np.int64)


def both_arms(strength, trials):
    """ROC-AUC with the second column less without it, by sample and fold, and the true difference."""
    X, y = population(strength)
    rng = np.random.default_rng(2)
    differences, true = np.empty((trials, FOLDS)), []
    for i in range(trials):
        own = rng.choice(len(y) // 2, SAMPLE, replace=False)
        for j, (train, test) in enumerate(folds(X[own], y[own], i)):
            scores = []
            for columns in ([0, 1], [0]):
                arm = LogisticRegression().fit(X[np.ix_(own[train], columns)], y[own[train]])
                scores.append(roc_auc_score(y[own[test]], X[np.ix_(own[test], columns)] @ arm.coef_[0]))
                if i < 20 and j == 0:  # the other half of the table was never drawn from
                    half = slice(len(y) // 2, None)
                    true.append(roc_auc_score(y[half], X[half, columns] @ arm.coef_[0]))
            differences[i, j] = scores[0] - scores[1]
    return differences, np.mean(true[::2]) - np.mean(true[1::2])


def test_a_difference_of_twice_the_detectable_one_is_found():
    """The strength of a column is raised until it is worth twice what the design says it can detect."""
    for strength in (1.6, 1.8, 2.0, 2.2, 2.4, 2.6):
        pilot, truth = both_arms(strength, 20)
        stated = judged(pilot, "roc_auc", 0.0).detectable.median()
        if truth >= 2 * stated:
            break
    else:
        pytest.fail("no strength reaches twice the detectable difference")
    differences, truth = both_arms(strength, TRIALS)
    found = judged(differences, "roc_auc", 0.0)
    stated = found.detectable.median()
    power = (found.verdict == "better").mean()
    print(
        f"\nplanted {truth:.3f} of ROC-AUC, stated as detectable {stated:.3f}: found in {power:.3f} of {TRIALS} samples"
    )
    assert 1.9 <= truth / stated <= 2.3
    assert power >= 0.8
