"""The two ways in which people answer such a question today, in plain scikit-learn, imbalanced-learn and Optuna."""

import warnings

import numpy as np
import optuna
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import make_pipeline
from sklearn.metrics import make_scorer, matthews_corrcoef
from sklearn.model_selection import GridSearchCV, StratifiedKFold, TunedThresholdClassifierCV
from sklearn.preprocessing import StandardScaler

optuna.logging.set_verbosity(optuna.logging.ERROR)


def nested(X, y, learner, ratios, ks, outer, inner, seed):
    """A search over a tuned threshold over a pipeline, nested.

    Every candidate has its threshold tuned by a cross-validation of its own, at scikit-learn's defaults (five folds,
    100 cuts). `GridSearchCV` stands for `OptunaSearchCV`, which asks for the same candidates and costs more.
    """
    scores = []
    for train, test in StratifiedKFold(outer, shuffle=True, random_state=seed).split(X, y):
        pipe = make_pipeline(StandardScaler(), SMOTE(random_state=seed), learner(seed))
        folds = StratifiedKFold(inner, shuffle=True, random_state=seed)
        scorer = make_scorer(matthews_corrcoef)
        tuned = TunedThresholdClassifierCV(pipe, scoring=scorer, random_state=seed)
        grid = {"estimator__smote__sampling_strategy": ratios, "estimator__smote__k_neighbors": ks}
        search = GridSearchCV(tuned, grid, scoring=scorer, cv=folds)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            search.fit(X[train], y[train])
            scores.append(matthews_corrcoef(y[test], search.predict(X[test])))
    return float(np.mean(scores))


def by_hand(X, y, learner, ratios, ks, outer, inner, seed):
    """A loop of Optuna trials, each a cross-validation of a pipeline at the threshold .5."""
    scores = []
    for train, test in StratifiedKFold(outer, shuffle=True, random_state=seed).split(X, y):

        def objective(trial, train=train):
            ratio, k = trial.suggest_categorical("ratio", ratios), trial.suggest_categorical("k", ks)
            found = []
            for a, b in StratifiedKFold(inner, shuffle=True, random_state=seed).split(X[train], y[train]):
                model = pipeline(learner, ratio, k, seed).fit(X[train][a], y[train][a])
                found.append(matthews_corrcoef(y[train][b], model.predict(X[train][b])))
            return float(np.mean(found))

        study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.GridSampler({"ratio": ratios, "k": ks}, seed=seed)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study.optimize(objective, n_trials=len(ratios) * len(ks))
            best = pipeline(learner, study.best_params["ratio"], study.best_params["k"], seed)
            scores.append(matthews_corrcoef(y[test], best.fit(X[train], y[train]).predict(X[test])))
    return float(np.mean(scores))


def pipeline(learner, ratio, k, seed):
    """Scaler, SMOTE, learner."""
    smote = SMOTE(sampling_strategy=ratio, k_neighbors=k, random_state=seed)
    return make_pipeline(StandardScaler(), smote, learner(seed))


def bare(X, y, learner, ratios, ks, outer, inner, seed):
    """What the learner's fits and predictions of a search need, and nothing else: the floor, timed by the caller."""
    parts = []
    for train, test in StratifiedKFold(outer, shuffle=True, random_state=seed).split(X, y):
        for a, b in StratifiedKFold(inner, shuffle=True, random_state=seed).split(X[train], y[train]):
            scaler = StandardScaler().fit(X[train][a])
            for ratio in ratios:
                for k in ks:
                    smote = SMOTE(sampling_strategy=ratio, k_neighbors=k, random_state=seed)
                    parts.append((*smote.fit_resample(scaler.transform(X[train][a]), y[train][a]), X[train][b]))
        scaler = StandardScaler().fit(X[train])
        smote = SMOTE(sampling_strategy=ratios[0], k_neighbors=ks[0], random_state=seed)
        parts.append((*smote.fit_resample(scaler.transform(X[train]), y[train]), X[test]))
    return parts
