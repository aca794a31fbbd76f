"""What a study of more than two classes computes, in plain scikit-learn and imbalanced-learn.

It is to several classes what ``plain.py`` is to two, and imports nothing of imblab either: the thresholds are searched
by a loop over classes and values, every measure is scikit-learn's own.

    rows = study(X, y, learner=lambda seed: LogisticRegression(solver="newton-cholesky", random_state=seed),
                 strategy={"sampler": smote, "ratios": [0.5, 1.0], "ks": [3], "threshold": "tuned"}, seed=7)

``X`` is an array of numbers, or a DataFrame whose columns of no number type are categorical. ``y`` holds 0 for the most
frequent class of the table, then the others by falling frequency.
"""

import warnings
from itertools import product

import numpy as np
import pandas as pd
from imblearn.metrics import geometric_mean_score
from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC
from scipy.special import expit, logit
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
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
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import has_fit_parameter

TIED = 1e-12
MAX_ROUNDS = 10


def smote(ratio, k, seed, y_fit, categorical):
    """SMOTE that raises every class but the largest to int(n_max * ratio) rows; None if it would raise none.

    It has the form for the columns, of which ``categorical`` says whether they are categorical.
    """
    counts = np.bincount(y_fit)
    largest = int(counts.argmax())
    new = {c: int(counts[largest] * ratio - n) for c, n in enumerate(counts) if c != largest}
    targets = {c: int(counts[c] + n) for c, n in new.items() if n >= 1}
    if not targets or k >= min(counts[c] for c in targets):
        return None
    knobs = {"sampling_strategy": targets, "k_neighbors": k, "random_state": seed}
    if all(categorical):
        return SMOTEN(**knobs)
    if any(categorical):
        return SMOTENC(categorical_features=np.flatnonzero(categorical).tolist(), **knobs)
    return SMOTE(**knobs)


def as_matrix(X):
    """Numeric columns in file order, then categorical ones as codes of their sorted values; which are categorical."""
    X = pd.DataFrame(X)
    numeric = [c for c in X if pd.api.types.is_numeric_dtype(X[c])]
    words = [c for c in X if c not in numeric]
    orders = {c: {value: code for code, value in enumerate(sorted(X[c].dropna().unique()))} for c in words}
    columns = [X[c].astype(float) for c in numeric] + [X[c].map(orders[c]).astype(float) for c in words]
    return np.ascontiguousarray(np.column_stack(columns), dtype=np.float64), [c in words for c in [*numeric, *words]]


def fit_and_predict(table, y, fit, rows, learner, sampler, weight):
    """A model of the rows ``fit``; the columns of ``rows`` by class, and the rows of each class that it received."""
    X, categorical = table
    n_numeric = categorical.count(False)
    median = SimpleImputer(strategy="median", keep_empty_features=True)
    frequent = SimpleImputer(strategy="most_frequent", keep_empty_features=True)
    scaler, one_hot = StandardScaler(), OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    numbers, words = X[:, :n_numeric], X[:, n_numeric:]
    fit_blocks, row_blocks = [], []
    if n_numeric:
        fit_blocks.append(scaler.fit_transform(median.fit_transform(numbers[fit])))
        row_blocks.append(scaler.transform(median.transform(numbers[rows])))
    if any(categorical):
        fit_blocks.append(frequent.fit_transform(words[fit]))
        row_blocks.append(frequent.transform(words[rows]))
        one_hot.fit(fit_blocks[-1])
    X_fit, X_rows, y_fit = np.ascontiguousarray(np.hstack(fit_blocks)), np.hstack(row_blocks), y[fit]
    if sampler is not None:
        X_fit, y_fit = sampler.fit_resample(X_fit, y_fit)

    def final(part):
        blocks = [part[:, :n_numeric], one_hot.transform(part[:, n_numeric:])] if any(categorical) else [part]
        return np.ascontiguousarray(np.hstack(blocks))

    if weight is None:
        learner.fit(final(X_fit), y_fit)
    else:
        learner.fit(final(X_fit), y_fit, sample_weight=weights_of(weight, y_fit))
    assert learner.classes_.tolist() == list(range(y.max() + 1))
    method = learner.predict_proba if hasattr(learner, "predict_proba") else learner.decision_function
    return np.asarray(method(final(X_rows)), dtype=np.float64), np.bincount(y_fit).tolist()


def weights_of(weight, y):
    """``balanced``, or with ``power a`` n_c to the power -a with mean 1."""
    if weight == "balanced":
        return compute_sample_weight("balanced", y)
    return weights_by_class(weight, np.bincount(y))[y]


def weights_by_class(weight, counts):
    """The weight of a row of each class; in this order of steps, because a split of a tree hangs on the last bit."""
    relative = (counts.min() / counts) ** (1.0 if weight == "balanced" else float(weight.removeprefix("power ")))
    return relative * (counts.sum() / (counts @ relative))


# -------------------------------------------------------------------------------------------------------- calibration

#: Outer training rows of each class that a calibration needs.
NEEDED_ROWS = {"isotonic": 50}


def undo_priors(p, y_fit, received, weight):
    """Probabilities for the class shares of ``y_fit``, of a model that received other ones (Saerens et al. 2002)."""
    shares = np.bincount(y_fit) / len(y_fit)
    weighted = np.array(received, dtype=float)
    if weight is not None:
        weighted *= weights_by_class(weight, weighted)
    if np.array_equal(shares, weighted / weighted.sum()):
        return p
    return sum_to_one(p * (shares / (weighted / weighted.sum())))  # in this order: it decides which rows are tied


def sum_to_one(p):
    """Every row over its sum; a row of zeros gives all classes the same."""
    return np.array([row / row.sum() if row.sum() else np.full(len(row), 1 / len(row)) for row in p])


def platt(score, y):
    """Platt's sigmoid: an unpenalised logistic regression on softened targets, each row once a class."""
    positives, negatives = np.sum(y == 1), np.sum(y == 0)
    soft = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    middle, scale = score.mean(), score.std() or 1.0
    twice = np.concatenate([score, score])[:, None]
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-14, max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says when it cannot come closer than its tolerance
        model.fit((twice - middle) / scale, np.repeat([1, 0], len(y)), sample_weight=np.concatenate([soft, 1 - soft]))
    return lambda s: model.predict_proba((s[:, None] - middle) / scale)[:, 1]


def steps(score, y):
    """The isotonic regression that scikit-learn calibrates with."""
    return IsotonicRegression(out_of_bounds="clip").fit(score, y).predict


LEARNED = {"sigmoid": platt, "isotonic": steps}


def teach(method, folds):
    """One map per class, each class against the rest, from the rows of several folds; together they sum to 1."""
    y, score = (np.concatenate(part) for part in zip(*folds, strict=True))
    maps = [LEARNED[method](score[:, c], (y == c).astype(int)) for c in range(score.shape[1])]
    return lambda s: sum_to_one(np.column_stack([each(s[:, c]) for c, each in enumerate(maps)]))


def cross_fit(method, folds):
    """The answers of every inner fold by the maps that all other inner folds teach."""
    return [(y, teach(method, folds[:j] + folds[j + 1 :])(score)) for j, (y, score) in enumerate(folds)]


def read_by_maps(values, model):
    """What maps read: decision values where there are any; of a model with both the log-odds of its probabilities."""
    if hasattr(model, "predict_proba") and hasattr(model, "decision_function"):
        return logit(np.clip(values, np.finfo(float).tiny, np.nextafter(1, 0)))
    return values


# ---------------------------------------------------------------------------------------------------------- decisions


def decide(p, thresholds):
    """The class of the largest (1 - t) / t times p; of equals the last, which is the rarest."""
    weighted = p * np.array([(1 - t) / t for t in thresholds])
    return p.shape[1] - 1 - weighted[:, ::-1].argmax(axis=1)


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
        "recall_min": by_class["recall"].min(),
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


def study(X, y, *, learner, strategy, outer_folds, inner_folds, seed, thresholds, inner="own"):
    """One data set, one learner, one strategy: a list of rows, one for each outer fold.

    Parameters
    ----------
    X, y : array of numbers or DataFrame, array of classes
    learner : callable
        ``learner(seed)`` gives a fresh estimator.
    strategy : dict
        ``sampler``: None or ``f(ratio, k, seed, y_fit, categorical)``; ``ratios``, ``ks``, ``weights``: lists;
        ``threshold``: a number, ``"tuned"``, ``{"min_recall": {"class": c, "value": v}}``, ``{"min_precision": ...}``
        or ``{"cost_optimal": matrix}``; ``calibration``: ``"prior"``, ``"sigmoid"`` or ``"isotonic"``.
    thresholds : list
        What the threshold of every class is chosen from.
    inner : {"own", "shared"}
    """
    rule, method, table = strategy.get("threshold", 0.5), strategy.get("calibration"), as_matrix(X)
    is_probability = hasattr(learner(seed), "predict_proba") or method in LEARNED
    result = []
    outer = list(StratifiedKFold(outer_folds, shuffle=True, random_state=seed).split(table[0], y))
    for fold, (train, test) in enumerate(outer):
        if inner == "shared":
            others = [outer[j][1] for j in range(outer_folds) if j != fold]
            pairs = [(train[~np.isin(train, validate)], validate) for validate in others]
        else:
            split = StratifiedKFold(inner_folds, shuffle=True, random_state=seed).split(train, y[train])
            pairs = [(train[fit], train[validate]) for fit, validate in split]
        trials = list(judged(table, y, train, pairs, learner, strategy, seed, thresholds))
        if not trials:
            result.append({"fold": fold, "status": "inapplicable"})
            continue
        best = max(-np.inf if trial["value"] is None else trial["value"] for trial in trials)
        winner = next(t for t in trials if t["value"] is None or t["value"] >= best - TIED)
        candidate = winner["candidate"]
        values, received = predict(table, y, train, test, learner, strategy, candidate, seed)
        if method in LEARNED:
            values = teach(method, winner["folds"])(values)
        decided = decided_by(rule, values if is_probability else expit(values), winner["threshold"])
        scores, by_class, confusion = scores_of(y[test], values, decided, is_probability)
        params = {n: v for n, v in zip(("ratio", "k", "weight"), candidate, strict=True) if v is not None}
        row = {
            "fold": fold,
            "status": "ok",
            "params": params,
            "threshold": winner["threshold"],
            "value": winner["value"],
        }
        result.append(row | {"received": received, "scores": scores, "class_scores": by_class, "confusion": confusion})
    return result


def predict(table, y, fit, rows, learner, strategy, candidate, seed):
    """Probabilities or decision values, or what the maps of a calibration read; the rows of each class received."""
    sampler, model = sampler_of(strategy, candidate, seed, y[fit], table[1]), learner(seed)
    values, received = fit_and_predict(table, y, fit, rows, model, sampler, candidate[2])
    if strategy.get("calibration") == "prior":
        values = undo_priors(values, y[fit], received, candidate[2])
    return read_by_maps(values, model) if strategy.get("calibration") in LEARNED else values, received


def judged(table, y, train, pairs, learner, strategy, seed, thresholds):
    """Every applicable candidate with its thresholds and its value on the inner folds; nothing to choose needs none."""
    rule, method = strategy.get("threshold", 0.5), strategy.get("calibration")
    has_probabilities = hasattr(learner(seed), "predict_proba")
    candidates = list(product(*(strategy.get(name, [None]) for name in ("ratios", "ks", "weights"))))
    is_fixed = isinstance(rule, (int, float)) or "cost_optimal" in rule
    if np.bincount(y[train]).min() < NEEDED_ROWS.get(method, 0) or (method == "prior" and not has_probabilities):
        return
    for candidate in candidates:
        parts = [y[fit] for fit, _ in pairs] + [y[train]]
        if not is_applicable(candidate, strategy, learner(seed), seed, parts, table[1]):
            continue
        if is_fixed and len(candidates) == 1 and method not in LEARNED:
            chosen = choose(rule, y, np.zeros((0, y.max() + 1)), thresholds)
            yield {"candidate": candidate, "threshold": chosen, "value": None}
            continue
        folds = [
            (y[validate], predict(table, y, fit, validate, learner, strategy, candidate, seed)[0])
            for fit, validate in pairs
        ]
        answers = cross_fit(method, folds) if method in LEARNED else folds
        y_inner, p_inner = (np.concatenate(part) for part in zip(*answers, strict=True))
        p_inner = p_inner if has_probabilities or method in LEARNED else expit(p_inner)
        chosen = choose(rule, y_inner, p_inner, thresholds)
        if chosen is not None or is_fixed:
            value = matthews_corrcoef(y_inner, decided_by(rule, p_inner, chosen))
            yield {"candidate": candidate, "threshold": chosen, "value": value, "folds": folds}


def is_applicable(candidate, strategy, model, seed, fit_labels, categorical):
    """Whether a model takes the weight, and the sampler changes every fit part and has its neighbours there."""
    if candidate[2] is not None and not has_fit_parameter(model, "sample_weight"):
        return False
    samplers = [sampler_of(strategy, candidate, seed, part, categorical) for part in fit_labels]
    return strategy.get("sampler") is None or None not in samplers


def sampler_of(strategy, candidate, seed, y_fit, categorical):
    """The sampler of a candidate for one fit part; None without one."""
    return strategy["sampler"](*candidate[:2], seed, y_fit, categorical) if strategy.get("sampler") else None


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
