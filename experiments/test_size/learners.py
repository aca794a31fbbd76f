"""The five learner kinds of the simulation, each as ``fit(X, y, copies, seed) -> predict``.

``copies`` counts how often a row is in the training set: random over-sampling repeats rows, under-sampling drops some.
Class weights are copies that are no whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable

import lightgbm
import numpy as np
from scipy.spatial import cKDTree
from scipy.special import expit
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

Predict = Callable[[np.ndarray], np.ndarray]
Fit = Callable[[np.ndarray, np.ndarray, np.ndarray, int], Predict]

#: Neighbours of ``knn``, as in scikit-learn.
N_NEIGHBORS = 5
MAX_NEWTON_STEPS = 50


def fit_logistic(X: np.ndarray, y: np.ndarray, copies: np.ndarray, seed: int) -> Predict:
    """Logistic regression with scikit-learn's default penalty (C = 1), by damped Newton steps to the optimum."""
    design = np.column_stack([np.ones(len(X)), X])
    penalty = np.ones(design.shape[1])
    penalty[0] = 0.0
    beta = np.zeros(design.shape[1])

    def loss(b: np.ndarray) -> float:
        z = design @ b
        return float(copies @ (np.logaddexp(0.0, z) - y * z) + 0.5 * penalty @ b**2)

    value = loss(beta)
    for _ in range(MAX_NEWTON_STEPS):
        p = expit(design @ beta)
        gradient = design.T @ (copies * (p - y)) + penalty * beta
        if np.abs(gradient).max() < 1e-7:
            break
        hessian = (design * (copies * p * (1 - p))[:, None]).T @ design + np.diag(penalty + 1e-12)
        step = np.linalg.solve(hessian, gradient)
        scale = 1.0
        while (new := loss(beta - scale * step)) > value + 1e-12 and scale > 1e-6:
            scale /= 2
        beta, value = beta - scale * step, new
    return lambda rows: np.asarray(expit(beta[0] + rows @ beta[1:]))


def fit_knn(X: np.ndarray, y: np.ndarray, copies: np.ndarray, seed: int) -> Predict:
    """Share of positives among the five nearest training rows; copies of a row are rows."""
    kept = copies > 0
    tree, labels, counts = cKDTree(X[kept]), y[kept].astype(np.float64), copies[kept]

    def predict(rows: np.ndarray) -> np.ndarray:
        _, near = tree.query(rows, k=min(N_NEIGHBORS, len(labels)))
        taken = np.minimum(np.cumsum(counts[near], axis=1), N_NEIGHBORS)
        used = np.diff(taken, axis=1, prepend=0)
        return np.asarray((used * labels[near]).sum(axis=1) / taken[:, -1])

    return predict


def fit_tree(X: np.ndarray, y: np.ndarray, copies: np.ndarray, seed: int) -> Predict:
    """A decision tree with scikit-learn's defaults; a weight stands for copies of a row."""
    kept = copies > 0
    tree = DecisionTreeClassifier(random_state=seed).fit(
        X[kept].astype(np.float32), y[kept], sample_weight=copies[kept], check_input=False
    )
    return lambda rows: tree.tree_.predict(rows.astype(np.float32))[:, -1 if tree.n_classes_ == 1 else 1]


def _repeated(y: np.ndarray, copies: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The training rows with their copies; or all rows, with weights."""
    whole = copies.astype(np.intp)
    if (whole == copies).all():
        return np.repeat(np.arange(len(y)), whole), None
    return np.arange(len(y)), copies


def fit_forest(X: np.ndarray, y: np.ndarray, copies: np.ndarray, seed: int) -> Predict:
    """A random forest of 50 trees."""
    rows, weight = _repeated(y, copies)
    forest = RandomForestClassifier(50, random_state=seed, n_jobs=1)
    forest.fit(X[rows].astype(np.float32), y[rows], sample_weight=weight)
    trees = [tree.tree_ for tree in forest.estimators_]
    return lambda new: np.asarray(np.mean([t.predict(new.astype(np.float32))[:, 1] for t in trees], axis=0))


def fit_lightgbm(X: np.ndarray, y: np.ndarray, copies: np.ndarray, seed: int) -> Predict:
    """Gradient boosting with 40 trees and LightGBM's defaults."""
    rows, weight = _repeated(y, copies)
    params = {"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": seed, "force_col_wise": True}
    model = lightgbm.train(params, lightgbm.Dataset(X[rows], y[rows], weight=weight), num_boost_round=40)
    return lambda new: np.asarray(model.predict(new))


LEARNERS: dict[str, Fit] = {
    "logistic": fit_logistic,
    "knn": fit_knn,
    "decision_tree": fit_tree,
    "random_forest": fit_forest,
    "lightgbm": fit_lightgbm,
}
