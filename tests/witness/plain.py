"""What a study computes, in plain scikit-learn and imbalanced-learn.

This file imports nothing of imblab. It is the numerical contract (section 5 of the design) written down once more, as
slowly and as plainly as possible: loops over splits, candidates and inner folds, and scikit-learn's own function for
every metric. Whoever wants to know what a number in a ledger means may read it here; whoever doubts one may run it.

    rows = study(X, y, learner=lambda seed: LogisticRegression(solver="newton-cholesky", random_state=seed),
                 strategy={"sampler": smote, "ratios": [0.25, 0.5], "ks": [3, 5], "threshold": "tuned"}, seed=7)

``X`` is a DataFrame (columns of a number type are numeric, all others categorical), ``y`` an array of 0 and 1.
"""

import warnings
from fractions import Fraction
from itertools import product

import numpy as np
import pandas as pd
from imblearn.metrics import geometric_mean_score
from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC, RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
from imblearn.under_sampling.base import BaseUnderSampler
from scipy.special import expit, logit
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    fbeta_score,
    log_loss,
    matthews_corrcoef,
    precision_recall_curve,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.model_selection import PredefinedSplit, StratifiedGroupKFold, StratifiedKFold, train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import has_fit_parameter

TIED = 1e-12
HUNDREDTHS = [i / 100 for i in range(1, 100)]


# ----------------------------------------------------------------------------------------------------------- measures


def at_top_share(y, p, share):
    """Expected recall and precision when the ``share * n`` highest scores are flagged (a real number of rows).

    Rows tied at the border share what is left of the quota equally, so no order among equals is invented.
    """
    quota = share * len(y)
    border = next(t for t in np.unique(p)[::-1] if np.sum(p >= t) >= quota)
    above, at = p > border, p == border
    found = y[above].sum() + y[at].sum() * (quota - above.sum()) / at.sum()
    return found / y.sum(), found / quota


def recall_at_precision(y, p, least):
    """The highest recall among the cuts whose precision is at least ``least``; 0 if only flagging nothing would do."""
    precision, recall, _ = precision_recall_curve(y, p)
    return recall[precision >= least].max()


#: Measures of called classes: f(y, called).
LABEL = {
    "mcc": matthews_corrcoef,
    "recall": lambda y, called: recall_score(y, called, zero_division=np.nan),
    "precision": lambda y, called: precision_score(y, called, zero_division=np.nan),
    "f1": lambda y, called: f1_score(y, called, zero_division=np.nan),
    "f2": lambda y, called: fbeta_score(y, called, beta=2, zero_division=np.nan),
    "specificity": lambda y, called: recall_score(y, called, pos_label=0, zero_division=np.nan),
    "g_mean": geometric_mean_score,
    "balanced_accuracy": balanced_accuracy_score,
    "accuracy": accuracy_score,
    "accuracy_baseline": lambda y, called: max(np.mean(y == 0), np.mean(y == 1)),
}
#: Measures of rankings and probabilities: f(y, p).
SCORE = {
    "pr_auc": average_precision_score,
    "roc_auc": roc_auc_score,
    "brier": brier_score_loss,
    "log_loss": log_loss,
    "recall_at_1pct": lambda y, p: at_top_share(y, p, 0.01)[0],
    "precision_at_1pct": lambda y, p: at_top_share(y, p, 0.01)[1],
    "recall_at_precision_90": lambda y, p: recall_at_precision(y, p, 0.90),
}
LOWER_IS_BETTER = {"brier", "log_loss"}
#: What a decision value cannot give.
NEED_PROBABILITIES = {"brier", "log_loss"}


def number(value):
    """A Python float; None where the measure has no denominator."""
    return None if np.isnan(value) else float(value)


def scores_of(y, values, compared, threshold, is_probability):
    """Every measure of one test part.

    ``values`` are the probabilities or decision values that rank the rows, ``compared`` what the threshold is for: a
    row is called positive iff compared >= threshold.
    """
    called = (compared >= threshold).astype(int)
    scores = {name: number(measure(y, called)) for name, measure in LABEL.items()}
    for name, measure in SCORE.items():
        known = is_probability or name not in NEED_PROBABILITIES
        scores[name] = number(measure(y, values)) if known else None
    counts = confusion_matrix(y, called, labels=[0, 1]).ravel().tolist()
    return scores, dict(zip(("tn", "fp", "fn", "tp"), counts, strict=True))


# ------------------------------------------------------------------------------------------------------------- splits


def split(rows, y, folds, seed, groups=None, time=None, gap=None):
    """[(rows to learn from, rows to judge on), ...]: the one rule for outer and for inner folds."""
    if time is not None:
        return split_by_time(rows, time, folds, gap)
    if groups is not None:
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        parts = splitter.split(rows, y[rows], groups[rows])
    else:
        splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
        parts = splitter.split(rows, y[rows])
    return [(rows[learn], rows[judge]) for learn, judge in parts]


def split_by_time(rows, time, folds, gap=None):
    """Blocks in time order; fold i learns from the blocks before block i and is judged on block i."""
    rows = rows[np.argsort(time[rows], kind="stable")]
    when = time[rows]
    strictly_before = np.array([np.sum(when < moment) for moment in when])
    block = strictly_before * (folds + 1) // len(rows)
    parts = []
    for i in range(1, folds + 1):
        learn, judge = rows[block < i], rows[block == i]
        if gap is not None:
            learn = learn[time[judge].min() - time[learn] >= gap]
        parts.append((learn, judge))
    return parts


def hold_out(y, share, seed, groups=None, time=None, gap=None):
    """One part to learn from and one to judge on."""
    rows = np.arange(len(y))
    if time is not None:
        strictly_before = np.array([np.sum(time < moment) for moment in time])
        late = strictly_before >= (1 - Fraction(str(share))) * len(y)
        order = np.argsort(time, kind="stable")
        learn, judge = order[~late[order]], order[late[order]]
        if gap is not None:
            learn = learn[time[judge].min() - time[learn] >= gap]
        return learn, judge
    if groups is not None:
        cv = StratifiedGroupKFold(max(2, round(1 / share)), shuffle=True, random_state=seed)
        return next(iter(cv.split(rows, y, groups)))
    learn, judge = train_test_split(np.arange(len(y)), test_size=share, stratify=y, random_state=seed)
    return np.sort(learn), np.sort(judge)


def split_by_column(folds):
    """The values of a column, sorted, are the folds."""
    number_of = {value: number for number, value in enumerate(sorted(set(folds)))}
    return list(PredefinedSplit([number_of[value] for value in folds]).split())


# ------------------------------------------------------------------------------------------------------------ one fit


def as_matrix(X):
    """Numeric columns in file order, then categorical ones as codes of their sorted values; how many are numeric."""
    numeric = [c for c in X if pd.api.types.is_numeric_dtype(X[c])]
    categorical = [c for c in X if c not in numeric]
    codes = {}
    for c in categorical:
        order = sorted(X[c].dropna().unique())
        codes[c] = X[c].map({value: code for code, value in enumerate(order)}).astype(float)
    columns = [X[c].astype(float) for c in numeric] + [codes[c] for c in categorical]
    return np.ascontiguousarray(np.column_stack(columns), dtype=np.float64), len(numeric)


def group_rare(fit_codes, codes, min_rows):
    """Levels with fewer fit rows than ``min_rows``, and levels no fit row has, become one level above all others.

    A column whose fit rows hold no rare level stays as it is.
    """
    grouped = codes.copy()
    for j in range(codes.shape[1]):
        rows = pd.Series(fit_codes[:, j]).value_counts()
        if (rows < min_rows).any():
            frequent = rows.index[rows >= min_rows]
            grouped[:, j] = pd.Series(codes[:, j]).where(pd.Series(codes[:, j]).isin(frequent), 1e6)
    return grouped


def fit_and_predict(matrix, n_numeric, y, fit, rows, *, learner, sampler, weight, seed, params, rare=None):
    """Fit on the rows ``fit``, give P(y = 1) of ``rows`` and the weighted positive share that the model received.

    A model without probabilities gives its decision values in their place, as they are. Everything is fitted on real
    rows of ``fit`` only.
    """
    prepared = {}  # what the fit rows and the rows to predict look like after impute and standardise
    median = SimpleImputer(strategy="median", keep_empty_features=True)
    frequent = SimpleImputer(strategy="most_frequent", keep_empty_features=True)
    scaler = StandardScaler()
    for name, part in (("fit", matrix[fit]), ("rows", matrix[rows])):
        numbers, codes = part[:, :n_numeric], part[:, n_numeric:]
        if numbers.shape[1]:
            numbers = median.fit_transform(numbers) if name == "fit" else median.transform(numbers)
            numbers = scaler.fit_transform(numbers) if name == "fit" else scaler.transform(numbers)
        if codes.shape[1]:
            codes = frequent.fit_transform(codes) if name == "fit" else frequent.transform(codes)
        prepared[name] = np.ascontiguousarray(np.hstack([numbers, codes]), dtype=np.float64)
    if rare is not None:
        fit_codes = prepared["fit"][:, n_numeric:].copy()
        for part in prepared.values():
            part[:, n_numeric:] = group_rare(fit_codes, part[:, n_numeric:], rare)

    X_fit, y_fit = prepared["fit"], y[fit]
    if sampler is not None:
        X_fit, y_fit = sampler.fit_resample(X_fit, y_fit)

    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    if matrix.shape[1] > n_numeric:
        one_hot.fit(prepared["fit"][:, n_numeric:])

    def final(part):
        if part.shape[1] == n_numeric:
            return np.ascontiguousarray(part)
        return np.ascontiguousarray(np.hstack([part[:, :n_numeric], one_hot.transform(part[:, n_numeric:])]))

    model = learner(seed).set_params(**params)
    if weight in (None, "power 0"):
        weights = np.ones(len(y_fit))
        model.fit(final(X_fit), y_fit)
    else:
        if weight in ("balanced", "power 1"):
            weights = compute_sample_weight("balanced", y_fit)
        elif isinstance(weight, str):  # "power a": n_c to the power -a, with mean 1
            weights = np.bincount(y_fit)[y_fit] ** -float(weight.removeprefix("power "))
            weights /= weights.mean()
        else:
            weights = np.where(y_fit == 1, float(weight), 1.0)
        model.fit(final(X_fit), y_fit, sample_weight=weights)
    asked = final(prepared["rows"])
    if hasattr(model, "predict_proba"):
        values = model.predict_proba(asked)[:, list(model.classes_).index(1)]
    else:
        values = model.decision_function(asked)
    return np.asarray(values, dtype=np.float64), weights[y_fit == 1].sum() / weights.sum()


# -------------------------------------------------------------------------------------------------------- calibration


def undo_prior(p, share, received):
    """Probabilities for a positive share, from those of a model that received another one (Elkan 2001)."""
    a, b = share / received, (1 - share) / (1 - received)
    # a p / (a p + b (1 - p)), written so that the log loss of a p close to 1 does not hang on the last bit
    return 1 / (1 + b / a * ((1 - p) / p))


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
#: Positives of the training part that a calibration needs.
NEEDED_POSITIVES = {"isotonic": 50}


def cross_fit(method, inner_results):
    """The answers of every inner fold by the calibration that all other inner folds teach."""
    result = []
    for i, (labels, score) in enumerate(inner_results):
        others = [pair for j, pair in enumerate(inner_results) if j != i]
        teach = LEARNED[method](np.concatenate([s for _, s in others]), np.concatenate([y for y, _ in others]))
        result.append((labels, teach(score)))
    return result


# --------------------------------------------------------------------------------------------------------- candidates


def smote(ratio, k, seed, categorical):
    """SMOTE in the form the table asks for; ``categorical`` says of every column whether it is categorical."""
    knobs = {"sampling_strategy": "auto" if ratio is None else ratio, "random_state": seed}
    knobs |= {} if k is None else {"k_neighbors": k}
    if all(categorical):
        return SMOTEN(**knobs)
    if any(categorical):
        return SMOTENC(categorical_features=np.flatnonzero(categorical).tolist(), **knobs)
    return SMOTE(**knobs)


def random_over(ratio, k, seed, categorical):
    """Copies of positives; knows no neighbours."""
    return RandomOverSampler(sampling_strategy="auto" if ratio is None else ratio, random_state=seed)


def random_under(ratio, k, seed, categorical):
    """Fewer negatives; knows no neighbours."""
    return RandomUnderSampler(sampling_strategy="auto" if ratio is None else ratio, random_state=seed)


def candidates_of(strategy, tune):
    """Every candidate, in the order ratio, k, weight, learner parameters by name; the last varies fastest."""
    names = sorted(tune)
    axes = [strategy.get("ratios", [None]), strategy.get("ks", [None]), strategy.get("weights", [None])]
    return [
        {"ratio": ratio, "k": k, "weight": weight, "params": dict(zip(names, values, strict=True))}
        for ratio, k, weight, *values in product(*axes, *(tune[name] for name in names))
    ]


def is_applicable(sampler, ratio, k, y_fit):
    """Whether a sampler can do what the knobs ask on a fit part with these labels."""
    minority, majority = sorted(np.bincount(y_fit, minlength=2).tolist())
    if k is not None and not k < minority:
        return False
    if ratio is None:
        return True
    if isinstance(sampler, BaseUnderSampler):
        return int(minority / ratio) < majority
    return int(majority * ratio - minority) >= 1


# --------------------------------------------------------------------------------------------------------- thresholds


def best_cut(cuts, goodness):
    """The cut of the greatest goodness; of tied ones (1e-12) the nearest to 0.5, then the lower."""
    known = [(cut, good) for cut, good in zip(cuts, goodness, strict=True) if good is not None]
    if not known:
        return None
    best = max(good for _, good in known)
    tied = [cut for cut, good in known if good >= best - TIED]
    return float(min(tied, key=lambda cut: (round(abs(cut - 0.5), 12), cut)))


def choose_cut(rule, y, p, measure, thresholds):
    """The threshold a rule chooses on the inner validation rows of all inner folds taken together.

    Confusion counts summed over the inner folds are the confusion counts of the concatenated rows, so ``y`` and ``p``
    are simply all validation labels and what the threshold is compared with, one fold after another.
    """
    if isinstance(rule, (int, float)):
        return float(rule)

    def value(cut):
        return number(LABEL[measure](y, (p >= cut).astype(int)))

    observed = np.unique(p).tolist()
    if rule == "tuned":
        cuts = observed if isinstance(thresholds, str) else thresholds
        return best_cut(cuts, [value(cut) for cut in cuts])
    if isinstance(rule, list):
        return best_cut(rule, [value(cut) for cut in rule])
    if "alert_rate" in rule:
        return max(cut for cut in observed if np.mean(p >= cut) >= rule["alert_rate"] - TIED)
    if "min_precision" in rule:
        cuts = [c for c in observed if precision_score(y, (p >= c).astype(int)) >= rule["min_precision"] - TIED]
        return best_cut(cuts, [value(cut) for cut in cuts])
    if "min_recall" in rule:
        cuts = [c for c in observed if recall_score(y, (p >= c).astype(int)) >= rule["min_recall"] - TIED]
        return best_cut(cuts, [value(cut) for cut in cuts])
    if "cost" in rule:
        goodness = []
        for cut in observed:
            tn, fp, fn, tp = confusion_matrix(y, (p >= cut).astype(int), labels=[0, 1]).ravel()
            cost = rule["cost"]["fn"] * fn + rule["cost"]["fp"] * fp
            goodness.append(-(cost + rule["cost"].get("tp", 0) * tp + rule["cost"].get("tn", 0) * tn))
        return best_cut(observed, goodness)
    if "cost_optimal" in rule:  # Elkan 2001
        costs = rule["cost_optimal"]
        alarm, miss = costs["fp"] - costs.get("tn", 0), costs["fn"] - costs.get("tp", 0)
        return alarm / (alarm + miss)
    raise ValueError(f"unknown threshold rule {rule!r}")


def value_of(inner_results, cut, primary):
    """What a candidate is worth: summed counts at its cut, or the mean over inner folds of a ranking measure."""
    if primary in SCORE:
        return float(np.mean([SCORE[primary](y, values) for y, values, _ in inner_results]))
    y = np.concatenate([y for y, _, _ in inner_results])
    compared = np.concatenate([compared for _, _, compared in inner_results])
    return number(LABEL[primary](y, (compared >= cut).astype(int)))


def first_best(trials, primary):
    """The first candidate whose value is within 1e-12 of the best; an undefined value loses to every number."""
    sign = -1 if primary in LOWER_IS_BETTER else 1
    worth = [-np.inf if trial["value"] is None else sign * trial["value"] for trial in trials]
    return next(trial for trial, good in zip(trials, worth, strict=True) if good >= max(worth) - TIED)


# -------------------------------------------------------------------------------------------------------------- study


def study(
    X,
    y,
    *,
    learner,
    strategy,
    outer_folds=5,
    inner_folds=3,
    repeats=1,
    seed=0,
    primary="mcc",
    threshold_measure="mcc",
    thresholds=HUNDREDTHS,
    groups=None,
    time=None,
    gap=None,
    test_size=None,
    folds=None,
    inner="own",
    tune=None,
    rare=None,
):
    """One data set, one learner, one strategy: a list of rows, one for each repeat and outer fold.

    Parameters
    ----------
    X, y : DataFrame, array of 0 and 1
    learner : callable
        ``learner(seed)`` gives a fresh estimator.
    strategy : dict
        ``sampler``: None or ``f(ratio, k, seed, categorical)`` giving a sampler (None if it has no form for the table);
        ``ratios``, ``ks``, ``weights``: lists of values, ``[None]`` where there is no such knob;
        ``threshold``: a number, a list, ``"tuned"``, ``{"alert_rate": q}``, ``{"min_precision": v}``,
        ``{"min_recall": v}``, ``{"cost": {"fn": a, "fp": b}}`` or ``{"cost_optimal": {"fn": a, "fp": b}}``;
        ``calibration``: ``"prior"``, ``"sigmoid"`` or ``"isotonic"``.
    thresholds : list or "observed"
        What ``"tuned"`` chooses from.
    groups, time, gap : array, array, difference of two times
    test_size : float
        A hold-out of that share in place of outer folds.
    folds : array
        The outer fold of every row in place of outer folds that are drawn.
    inner : {"own", "shared"}
    tune : dict of str to list
        Learner parameters that are searched.
    rare : int
        Levels of categorical columns with fewer fit rows are one level.
    """
    matrix, n_numeric = as_matrix(X)
    is_categorical = [False] * n_numeric + [True] * (matrix.shape[1] - n_numeric)
    candidates = candidates_of(strategy, tune or {})
    rule = strategy.get("threshold", 0.5)
    cut_measure = primary if primary in LABEL else threshold_measure
    if isinstance(rule, dict) and "cost_optimal" in rule:
        rule = choose_cut(rule, np.array([0]), np.array([0.0]), cut_measure, thresholds)
    method = strategy.get("calibration")
    must_search = len(candidates) > 1 or not isinstance(rule, (int, float)) or method in LEARNED
    is_probability = hasattr(learner(seed), "predict_proba") or method in LEARNED
    # Rules that look at observed scores choose one of them; all others are numbers from 0 to 1.
    is_observed = isinstance(rule, dict) or (rule == "tuned" and isinstance(thresholds, str))

    def compared(values):
        """What the threshold is compared with: probabilities, or decision values through a logistic."""
        return values if is_probability or is_observed else expit(values)

    def sampler_of(candidate, state):
        if strategy.get("sampler") is None:
            return None
        return strategy["sampler"](candidate["ratio"], candidate["k"], state, is_categorical)

    def applicable(candidate, state, fit_parts):
        if candidate["weight"] is not None and not has_fit_parameter(learner(state), "sample_weight"):
            return False
        if strategy.get("sampler") is None:
            return True
        sampler = sampler_of(candidate, state)
        if sampler is None:
            return False
        return all(is_applicable(sampler, candidate["ratio"], candidate["k"], y[fit]) for fit in fit_parts)

    def predict(candidate, state, fit, rows):
        """Probabilities or decision values, or what a calibration is learned from: decision values where there are any.

        Of a model with both they are the log-odds of its probabilities.
        """
        p, received = fit_and_predict(
            matrix,
            n_numeric,
            y,
            fit,
            rows,
            learner=learner,
            sampler=sampler_of(candidate, state),
            weight=candidate["weight"],
            seed=state,
            params=candidate["params"],
            rare=rare,
        )
        if method == "prior":
            return undo_prior(p, np.mean(y[fit]), received)
        both = hasattr(learner(state), "predict_proba") and hasattr(learner(state), "decision_function")
        if method in LEARNED and both:
            return logit(np.clip(p, np.finfo(float).tiny, np.nextafter(1, 0)))  # log-odds of 0 and 1 are endless
        return p

    result = []
    for repeat in range(repeats):
        state = seed + repeat
        if folds is not None:
            outer = split_by_column(folds)
        elif test_size is not None:
            outer = [hold_out(y, test_size, state, groups, time, gap)]
        else:
            outer = split(np.arange(len(y)), y, outer_folds, state, groups, time, gap)
        for fold, (train, test) in enumerate(outer):
            if inner == "shared":
                others = [outer[j][1] for j in range(len(outer)) if j != fold]
                pairs = [(train[~np.isin(train, validate)], validate) for validate in others]
            else:
                pairs = split(train, y, inner_folds, state, groups, time, gap)

            trials = []
            for candidate in candidates:
                if not applicable(candidate, state, [fit for fit, _ in pairs] + [train]):
                    continue
                if y[train].sum() < NEEDED_POSITIVES.get(method, 0):
                    continue
                if not must_search:
                    trials.append({"candidate": candidate, "threshold": float(rule), "value": None})
                    continue
                inner_results = [(y[validate], predict(candidate, state, fit, validate)) for fit, validate in pairs]
                taught_by = inner_results
                if method in LEARNED:
                    inner_results = cross_fit(method, inner_results)
                inner_results = [(labels, values, compared(values)) for labels, values in inner_results]
                all_y = np.concatenate([labels for labels, _, _ in inner_results])
                all_compared = np.concatenate([part for _, _, part in inner_results])
                cut = choose_cut(rule, all_y, all_compared, cut_measure, thresholds)
                if cut is not None:  # no cut meets the rule: this candidate is not applicable either
                    value = value_of(inner_results, cut, primary)
                    found = {"candidate": candidate, "threshold": cut, "value": value}
                    trials.append(found | {"taught_by": taught_by})

            row = {"repeat": repeat, "fold": fold}
            if not trials:
                nothing = {"params": {}, "threshold": None, "value": None, "scores": {}, "counts": {}}
                result.append(row | {"status": "inapplicable"} | nothing)
                continue
            winner = first_best(trials, primary)
            chosen, cut = winner["candidate"], winner["threshold"]
            p = predict(chosen, state, train, test)
            if method in LEARNED:  # by the inner predictions of the winner, all together
                labels, score = (np.concatenate(part) for part in zip(*winner["taught_by"], strict=True))
                p = LEARNED[method](score, labels)(p)
            scores, counts = scores_of(y[test], p, compared(p), cut, is_probability)
            params = {name: chosen[name] for name in ("ratio", "k", "weight") if chosen[name] is not None}
            params |= {f"learner.{name}": value for name, value in chosen["params"].items()}
            scale = "decision_value" if is_observed and not is_probability else "probability"
            row |= {"status": "ok", "params": params, "threshold": cut, "scale": scale, "value": winner["value"]}
            result.append(row | {"scores": scores, "counts": counts})
    return result
