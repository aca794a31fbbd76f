"""What a study of more than two classes computes, in plain scikit-learn and imbalanced-learn.

It is to several classes what ``plain.py`` is to two, and imports nothing of imblab either: the thresholds are searched
by a loop over classes and values, every measure is scikit-learn's own. Tables have numeric columns only.

    rows = study(X, y, learner=lambda seed: LogisticRegression(solver="newton-cholesky", random_state=seed),
                 strategy={"sampler": smote, "ratios": [0.5, 1.0], "ks": [3], "threshold": "tuned"}, seed=7)

``y`` holds 0 for the most frequent class of the table, then the others by falling frequency.
"""

from itertools import product

import numpy as np
from imblearn.metrics import geometric_mean_score
from imblearn.over_sampling import SMOTE
from scipy.special import expit
from sklearn.impute import SimpleImputer
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    fbeta_score,
    log_loss,
    matthews_corrcoef,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import has_fit_parameter

TIED = 1e-12
MAX_ROUNDS = 10


def smote(ratio, k, seed, y_fit):
    """SMOTE that raises every class but the largest to int(n_max * ratio) rows; None if it would raise none."""
    counts = np.bincount(y_fit)
    largest = int(counts.argmax())
    new = {c: int(counts[largest] * ratio - n) for c, n in enumerate(counts) if c != largest}
    targets = {c: int(counts[c] + n) for c, n in new.items() if n >= 1}
    if not targets or k >= min(counts[c] for c in targets):
        return None
    return SMOTE(sampling_strategy=targets, k_neighbors=k, random_state=seed)


def fit_and_predict(X, y, fit, rows, learner, sampler, weight):
    """A model of the rows ``fit``; the columns of ``rows`` by class, and the rows of each class that it received."""
    median, scaler = SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()
    X_fit = np.ascontiguousarray(scaler.fit_transform(median.fit_transform(X[fit])))
    X_rows = np.ascontiguousarray(scaler.transform(median.transform(X[rows])))
    y_fit = y[fit]
    if sampler is not None:
        X_fit, y_fit = sampler.fit_resample(X_fit, y_fit)
    if weight is None:
        learner.fit(X_fit, y_fit)
    else:
        learner.fit(X_fit, y_fit, sample_weight=weights_of(weight, y_fit))
    assert learner.classes_.tolist() == list(range(y.max() + 1))
    method = learner.predict_proba if hasattr(learner, "predict_proba") else learner.decision_function
    return np.asarray(method(X_rows), dtype=np.float64), np.bincount(y_fit).tolist()


def weights_of(weight, y):
    """``balanced``, or n_c to the power -a with mean 1."""
    if weight == "balanced":
        return compute_sample_weight("balanced", y)
    raw = np.bincount(y)[y] ** -float(weight)
    return raw / raw.mean()


# ---------------------------------------------------------------------------------------------------------- decisions


def decide(p, thresholds):
    """The class of the largest (1 - t) / t times p; of equals the last, which is the rarest."""
    weighted = p * np.array([(1 - t) / t for t in thresholds])
    return np.array([max(range(len(row)), key=lambda c: (row[c], c)) for row in weighted])


def decide_by_costs(p, costs):
    """The class of the least expected cost; of equals the last."""
    risk = p @ np.array(costs, dtype=float)
    return np.array([min(range(len(row)), key=lambda c: (row[c], -c)) for row in risk])


def best_value(values, goodness):
    """The value of the greatest goodness; of tied ones the nearest to 0.5, then the lower. None if all are None."""
    known = [(value, good) for value, good in zip(values, goodness, strict=True) if good is not None]
    if not known:
        return None
    best = max(good for _, good in known)
    tied = [value for value, good in known if good >= best - TIED]
    return min(tied, key=lambda value: (round(abs(value - 0.5), 12), value))


def ascend(y, p, values, is_allowed=lambda y, decided: True):
    """Thresholds of the best MCC, class by class, from .5; None if the last ones are not allowed."""
    thresholds = [0.5] * p.shape[1]

    def good(thresholds):
        decided = decide(p, thresholds)
        return matthews_corrcoef(y, decided) if is_allowed(y, decided) else None

    best = good(thresholds)
    for _ in range(MAX_ROUNDS):
        before = best
        for c in range(len(thresholds)):
            tried = [[*thresholds[:c], value, *thresholds[c + 1 :]] for value in values]
            goodness = [good(each) for each in tried]
            value = best_value(values, goodness)
            if value is not None:
                thresholds[c], best = value, goodness[values.index(value)]
        if before is not None and best - before <= TIED:
            break
        if before is None and best is None:
            return None
    return thresholds


def allowed_by(rule):
    """What a rule asks of the decisions for one class, whose number it has."""
    ((name, bound),) = rule.items()
    function = {"min_recall": recall_score, "min_precision": precision_score}[name]

    def is_allowed(y, decided):
        is_one, is_called = (y == bound["class"]).astype(int), (decided == bound["class"]).astype(int)
        return function(is_one, is_called, zero_division=np.nan) >= bound["value"]

    return is_allowed


# ----------------------------------------------------------------------------------------------------------- measures


def specificity_by_class(y, decided, labels):
    """The share of the rows of all other classes that are not decided to be of a class."""
    return np.array([np.mean(decided[y != c] != c) for c in labels])


def scores_of(y, values, decided, is_probability):
    """Every measure of one test part, its values by class, and the confusion matrix."""
    labels = list(range(values.shape[1]))
    indicator = np.eye(len(labels), dtype=int)[y]
    by_class = {
        "recall": recall_score(y, decided, average=None, labels=labels),
        "precision": precision_score(y, decided, average=None, labels=labels, zero_division=np.nan),
        "f1": f1_score(y, decided, average=None, labels=labels),
        "f2": fbeta_score(y, decided, beta=2, average=None, labels=labels),
        "specificity": specificity_by_class(y, decided, labels),
        "pr_auc": average_precision_score(indicator, values, average=None),
        "roc_auc": roc_auc_score(indicator, values, average=None),
    }
    scores = {
        "mcc": matthews_corrcoef(y, decided),
        "recall": recall_score(y, decided, average="macro", labels=labels),
        "precision": precision_score(y, decided, average="macro", labels=labels, zero_division=0),
        "f1": f1_score(y, decided, average="macro", labels=labels),
        "f2": fbeta_score(y, decided, beta=2, average="macro", labels=labels),
        "specificity": by_class["specificity"].mean(),
        "g_mean": geometric_mean_score(y, decided, average="multiclass", labels=labels),
        "balanced_accuracy": balanced_accuracy_score(y, decided),
        "accuracy": accuracy_score(y, decided),
        "accuracy_baseline": np.bincount(y).max() / len(y),
        "pr_auc": average_precision_score(indicator, values, average="macro"),
        "roc_auc": roc_auc_score(indicator, values, average="macro"),
        "brier": np.mean(np.sum((values - indicator) ** 2, axis=1)) if is_probability else None,
        "log_loss": log_loss(y, values, labels=labels) if is_probability else None,
    }
    by_class = {name: [None if np.isnan(v) else float(v) for v in values] for name, values in by_class.items()}
    return scores, by_class, confusion_matrix(y, decided, labels=labels).tolist()


# -------------------------------------------------------------------------------------------------------------- study


def study(X, y, *, learner, strategy, outer_folds, inner_folds, seed, thresholds):
    """One data set, one learner, one strategy: a list of rows, one for each outer fold.

    Parameters
    ----------
    X, y : array of numbers, array of classes
    learner : callable
        ``learner(seed)`` gives a fresh estimator.
    strategy : dict
        ``sampler``: None or ``f(ratio, k, seed, y_fit)``; ``ratios``, ``ks``, ``weights``: lists of values;
        ``threshold``: a number, ``"tuned"``, ``{"min_recall": {"class": c, "value": v}}``, ``{"min_precision": ...}``
        or ``{"cost_optimal": matrix}``.
    thresholds : list
        What the threshold of every class is chosen from.
    """
    rule, is_probability = strategy.get("threshold", 0.5), hasattr(learner(seed), "predict_proba")
    result = []
    outer = StratifiedKFold(outer_folds, shuffle=True, random_state=seed).split(X, y)
    for fold, (train, test) in enumerate(outer):
        inner = StratifiedKFold(inner_folds, shuffle=True, random_state=seed).split(train, y[train])
        pairs = [(train[fit], train[validate]) for fit, validate in inner]
        trials = list(judged(X, y, train, pairs, learner, strategy, seed, thresholds))
        if not trials:
            result.append({"fold": fold, "status": "inapplicable"})
            continue
        best = max(-np.inf if value is None else value for _, _, value in trials)
        candidate, chosen, value = next(t for t in trials if t[2] is None or t[2] >= best - TIED)
        sampler = sampler_of(strategy, candidate, seed, y[train])
        values, received = fit_and_predict(X, y, train, test, learner(seed), sampler, candidate[2])
        decided = decided_by(rule, values if is_probability else expit(values), chosen)
        scores, by_class, confusion = scores_of(y[test], values, decided, is_probability)
        params = {n: v for n, v in zip(("ratio", "k", "weight"), candidate, strict=True) if v is not None}
        row = {"fold": fold, "status": "ok", "params": params, "threshold": chosen, "value": value}
        result.append(row | {"received": received, "scores": scores, "class_scores": by_class, "confusion": confusion})
    return result


def judged(X, y, train, pairs, learner, strategy, seed, thresholds):
    """Every applicable candidate with its thresholds and its value on the inner folds; nothing to choose needs none."""
    rule, is_probability = strategy.get("threshold", 0.5), hasattr(learner(seed), "predict_proba")
    candidates = list(product(*(strategy.get(name, [None]) for name in ("ratios", "ks", "weights"))))
    is_fixed = isinstance(rule, (int, float)) or "cost_optimal" in rule
    for candidate in candidates:
        if not is_applicable(candidate, strategy, learner(seed), seed, [y[fit] for fit, _ in pairs] + [y[train]]):
            continue
        if is_fixed and len(candidates) == 1:
            yield candidate, choose(rule, y, np.zeros((0, y.max() + 1)), thresholds), None
            continue
        labels, parts = [], []
        for fit, validate in pairs:
            sampler = sampler_of(strategy, candidate, seed, y[fit])
            values, _ = fit_and_predict(X, y, fit, validate, learner(seed), sampler, candidate[2])
            labels.append(y[validate])
            parts.append(values if is_probability else expit(values))
        y_inner, p_inner = np.concatenate(labels), np.concatenate(parts)
        chosen = choose(rule, y_inner, p_inner, thresholds)
        if chosen is not None or is_fixed:
            yield candidate, chosen, matthews_corrcoef(y_inner, decided_by(rule, p_inner, chosen))


def is_applicable(candidate, strategy, model, seed, fit_labels):
    """Whether a model takes the weight, and the sampler changes every fit part and has its neighbours there."""
    if candidate[2] is not None and not has_fit_parameter(model, "sample_weight"):
        return False
    has_sampler = strategy.get("sampler") is not None
    return not has_sampler or all(sampler_of(strategy, candidate, seed, part) is not None for part in fit_labels)


def sampler_of(strategy, candidate, seed, y_fit):
    """The sampler of a candidate for one fit part; None without one."""
    return strategy["sampler"](*candidate[:2], seed, y_fit) if strategy.get("sampler") else None


def choose(rule, y, p, thresholds):
    """The thresholds that a rule chooses on the rows of all inner folds; none for costs, or if none are allowed."""
    if isinstance(rule, (int, float)):
        return [0.5] + [float(rule)] * (p.shape[1] - 1)
    if rule == "tuned":
        return ascend(y, p, thresholds)
    return None if "cost_optimal" in rule else ascend(y, p, thresholds, allowed_by(rule))


def decided_by(rule, p, chosen):
    """The decided classes, by thresholds or by costs."""
    return decide_by_costs(p, rule["cost_optimal"]) if chosen is None else decide(p, chosen)
