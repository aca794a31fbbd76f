"""The two ways in which people answer such a question today, in plain scikit-learn, imbalanced-learn and Optuna."""

import warnings

import mlflow
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


def by_hand(X, y, learner, ratios, ks, outer, inner, seed, logs=False):
    """A loop of Optuna trials, each a cross-validation of a pipeline at the threshold .5; an MLflow run each if asked.

    Parameters and scores are logged as mappings, a call each, which is ten times faster than one by one. Without a
    number of inner folds, the inner folds are the other outer folds.
    """
    scores = []
    splits = list(StratifiedKFold(outer, shuffle=True, random_state=seed).split(X, y))
    for train, test in splits:
        if inner is None:
            pairs = [(np.setdiff1d(train, other), other) for _, other in splits if other is not test]
        else:
            folds = StratifiedKFold(inner, shuffle=True, random_state=seed)
            pairs = [(train[a], train[b]) for a, b in folds.split(X[train], y[train])]

        def objective(trial, pairs=pairs):
            ratio, k = trial.suggest_categorical("ratio", ratios), trial.suggest_categorical("k", ks)
            found = []
            for a, b in pairs:
                model = pipeline(learner, ratio, k, seed).fit(X[a], y[a])
                found.append(matthews_corrcoef(y[b], model.predict(X[b])))
            value = float(np.mean(found))
            if logs:
                with mlflow.start_run(run_name=f"trial {trial.number}"):
                    mlflow.log_params(trial.params)
                    mlflow.log_metrics({"mcc": value, "mcc_std": float(np.std(found))})
            return value

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
