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
from sklearn.tree._criterion import Gini
from sklearn.tree._splitter import BestSplitter
from sklearn.tree._tree import DepthFirstTreeBuilder, Tree

Predict = Callable[[np.ndarray], np.ndarray]
Fit = Callable[[np.ndarray, np.ndarray, np.ndarray, int], Predict]

#: Neighbours of ``knn``, as in scikit-learn.
N_NEIGHBORS = 5
MAX_NEWTON_STEPS = 50
N_TREES = 50
_N_CLASSES = np.array([2], dtype=np.intp)
#: One generator, seeded anew for every tree: making one costs more than a small tree.
_RANDOM = np.random.RandomState(0)


def fit_logistic(X: np.ndarray, y: np.ndarray, copies: np.ndarray, seed: int) -> Predict:
    """Logistic regression with scikit-learn's default penalty (C = 1), by damped Newton steps to the optimum."""
    kept = copies > 0
    X, y, copies = X[kept], y[kept], copies[kept]
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


def _grow(X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, max_features: int, seed: int) -> Tree:
    """A fully grown tree by scikit-learn's builder, without the checks that take ten times as long on small tables."""
    _RANDOM.seed(seed)
    tree = Tree(X.shape[1], _N_CLASSES, 1)
    splitter = BestSplitter(Gini(1, _N_CLASSES), max_features, 1, 0.0, _RANDOM, None)
    DepthFirstTreeBuilder(splitter, 2, 1, 0.0, np.iinfo(np.int32).max, 0.0).build(tree, X, y, weight, None)
    return tree


def fit_tree(X: np.ndarray, y: np.ndarray, copies: np.ndarray, seed: int) -> Predict:
    """A decision tree with scikit-learn's defaults; a weight stands for copies of a row."""
    kept = copies > 0
    labels = y[kept].astype(np.float64)[:, None]
    tree = _grow(X[kept].astype(np.float32), labels, copies[kept], X.shape[1], seed)
    return lambda rows: np.asarray(tree.predict(rows.astype(np.float32))[:, 1])


def _repeated(y: np.ndarray, copies: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The training rows with their copies; or all rows, with weights."""
    whole = copies.astype(np.intp)
    if (whole == copies).all():
        return np.repeat(np.arange(len(y)), whole), None
    return np.arange(len(y)), copies


def fit_forest(X: np.ndarray, y: np.ndarray, copies: np.ndarray, seed: int) -> Predict:
    """A random forest of 50 trees with scikit-learn's defaults: tree by tree those of ``RandomForestClassifier``."""
    rows = np.repeat(np.arange(len(y)), copies.astype(np.intp))
    X, labels = X[rows].astype(np.float32), y[rows].astype(np.float64)[:, None]
    max_features = max(1, int(np.sqrt(X.shape[1])))
    _RANDOM.seed(seed)
    trees = []
    for tree_seed in [_RANDOM.randint(np.iinfo(np.int32).max) for _ in range(N_TREES)]:
        _RANDOM.seed(tree_seed)
        drawn = _RANDOM.randint(0, len(rows), len(rows), dtype=np.int32)
        weight = np.bincount(drawn, minlength=len(rows)).astype(np.float64)
        trees.append(_grow(X, labels, weight, max_features, tree_seed))

    def predict(new: np.ndarray) -> np.ndarray:
        new = new.astype(np.float32)
        return np.asarray(np.mean([tree.predict(new)[:, 1] for tree in trees], axis=0))

    return predict


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
