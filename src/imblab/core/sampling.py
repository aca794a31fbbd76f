"""Samplers on one set of fit rows, without doing again what every ratio, k and weight has in common.

imbalanced-learn's own classes do the resampling. What is taken off them changes no bit: the neighbour search is
remembered, inputs that were checked at the door are not checked again, SMOTENC's categories are decoded from a dense
matrix, and SMOTE's draw is made without the checks around it, which took longer than the draw.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, cast

import numpy as np
from imblearn.over_sampling import SMOTE
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.neighbors import KDTree, NearestNeighbors
from sklearn.preprocessing import OneHotEncoder

from imblab.core import estimator_specs, prediction_checks
from imblab.study import KNOBS, Dataset, Make, Scalar

#: Parameters of over-samplers that count neighbours; each is asked for one more, the row itself.
NEIGHBOR_PARAMETERS = ("k_neighbors", "n_neighbors", "m_neighbors")
#: Columns up to which scikit-learn searches a tree.
MAX_TREE_COLUMNS = 15
#: Rows that SMOTE makes in one go.
SMOTE_BLOCK_ROWS = 16_384
#: What the text of a SMOTE holds whose other parameters are at their defaults.
PLAIN_SMOTE_PARAMETERS = {"_target_", "sampling_strategy", "k_neighbors"}
ResampledRows = tuple[np.ndarray, np.ndarray]
NeighborLists = tuple[np.ndarray, np.ndarray]
#: A metric, and digests of the rows searched in and of the rows asked about.
Where = tuple[str, str, str]


class Resampler:
    """The resampled forms of one set of fit rows.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_columns), float64, C-ordered
        As many rows as ``y`` has, or more: what lies behind them is room for those that SMOTE makes.
    y : ndarray of shape (n_rows,)
    categorical : sequence of int
        Positions of the coded columns.
    reach : int, default=0
        The largest k that will be asked for: its neighbour lists serve every smaller one.
    """

    def __init__(self, X: np.ndarray, y: np.ndarray, categorical: Sequence[int], reach: int = 0) -> None:
        self._X, self._y, self._categorical = X[: len(y)], y, list(categorical)
        self._whole, self._labels = X, y
        self._memory = NeighborCache(reach)
        self._made: tuple[tuple[Any, ...], ResampledRows] | None = None
        self._rare: tuple[np.ndarray, str] | None = None
        self._counts = _count_classes(y)
        self._near: dict[int, np.ndarray] = {}

    def resample(self, make: Make, knobs: Mapping[str, Scalar], seed: int) -> ResampledRows:
        """The rows a learner receives.

        Parameters
        ----------
        make : mapping
            The sampler, in the form that suits the table.
        knobs : mapping
            ``ratio`` and ``k``, where it has them.
        seed : int

        Returns
        -------
        X : ndarray of shape (n_new, n_columns), float64, C-ordered
        y : ndarray of shape (n_new,)
            Both may lie in memory that the next call writes into.
        """
        key = (estimator_specs.spec_text(make), *knobs.items(), seed)
        if self._made is None or self._made[0] != key:
            # One is kept, for the weights that follow; it goes before the next is made.
            self._made = None
            self._made = key, self._resampled(make, knobs, seed)
        return self._made[1]

    def _resampled(self, make: Make, knobs: Mapping[str, Scalar], seed: int) -> ResampledRows:
        if _is_plain(estimator_specs.spec_text(make), make["_target_"], tuple(knobs)):
            made = self.smote(cast(float, knobs["ratio"]), cast(int, knobs["k"]), seed)
            if made is not None:
                return made
        # None: the text was checked when the study was read; the kernel builds what was let in there.
        values = {**knobs, "categorical": self._categorical}
        sampler = estimator_specs.build_estimator(with_knobs(make, knobs), values, allow=None, seed=seed)
        use_neighbor_cache(sampler, self._memory)
        X, y = resample_unchecked(sampler, self._X, self._y)
        return prediction_checks.check_resampled(sampler, (X, y), self._y, self._X.shape[1])

    def smote(self, ratio: float, k: int, seed: int) -> ResampledRows | None:
        """SMOTE's rows, by the draws of imbalanced-learn in their order; None where it has something to say.

        Chawla et al. 2002, *Journal of Artificial Intelligence Research* 16, 321-357.
        """
        rare, counts = self._counts
        label, wanted = _oversampling_target(rare, counts, ratio)
        if wanted <= 0 or k >= counts[label]:
            return None
        if self._rare is None:
            rows = self._X[self._y == label]
            self._rare = rows, _content_digest(rows)
        base, name = self._rare
        if k not in self._near:
            self._near[k] = self._memory.ask(base, base, k + 1, name=name)[1][:, 1:].ravel()
        near = self._near[k]
        random = _random(seed)
        drawn = random.randint(low=0, high=near.size, size=wanted)
        steps = random.uniform(size=(wanted, 1))
        X, y = self._behind(label, wanted)
        for at in range(0, wanted, SMOTE_BLOCK_ROWS):
            some = slice(at, min(at + SMOTE_BLOCK_ROWS, wanted))
            # start + steps * (end - start), in the memory of the new rows.
            start, new = base.take(drawn[some] // k, axis=0), X[len(self._y) :][some]
            np.subtract(base.take(near.take(drawn[some]), axis=0), start, out=new)
            new *= steps[some]
            new += start
        return X, y

    def _behind(self, label: int, wanted: int) -> ResampledRows:
        """The real rows with room for so many of one class behind them; the real ones are not copied again."""
        n = len(self._y) + wanted
        if len(self._whole) < n:
            self._whole = np.empty((n, self._X.shape[1]))
            self._whole[: len(self._y)] = self._X
        if len(self._labels) < len(self._whole):
            self._labels = np.full(len(self._whole), label, dtype=self._y.dtype)
            self._labels[: len(self._y)] = self._y
        return self._whole[:n], self._labels[:n]


def sampler_for_columns(sampler: Make | None, dataset: Dataset) -> Make | None:
    """The form of a sampler that suits the column types of a table.

    Parameters
    ----------
    sampler : mapping or None
    dataset : Dataset

    Returns
    -------
    mapping or None
        None where there is no sampler, or none that can read the table's categorical columns.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> toy = Dataset("toy", pd.DataFrame({"a": [1.0, 2.0]}), np.array([0, 1]), ("no", "yes"))
    >>> form({"_target_": "imblearn.over_sampling.SMOTE"}, toy)
    {'_target_': 'imblearn.over_sampling.SMOTE'}
    """
    if sampler is None:
        return None
    if not dataset.categorical:
        return {key: value for key, value in sampler.items() if key not in ("_mixed_", "_categorical_")}
    key = "_categorical_" if len(dataset.categorical) == dataset.X.shape[1] else "_mixed_"
    chosen: Make | None = sampler.get(key)
    return chosen


def max_new_rows(y: np.ndarray) -> int:
    """The most rows that an over-sampler makes: those that the rarer class has less."""
    return abs(len(y) - 2 * int(y.sum()))


def with_knobs(make: Make, knobs: Mapping[str, Scalar]) -> Make:
    """Say where the knobs of a sampler go, unless its text says so with ``$ratio`` and ``$k``.

    Examples
    --------
    >>> with_knobs({"_target_": "imblearn.over_sampling.ADASYN"}, {"ratio": 0.5, "k": 3})
    {'_target_': 'imblearn.over_sampling.ADASYN', 'sampling_strategy': '$ratio', 'n_neighbors': '$k'}
    """
    return {**make, **_knob_parameters(estimator_specs.spec_text(make), make["_target_"], tuple(knobs))}


@lru_cache(maxsize=256)
def _is_plain(written: str, target: str, knobs: tuple[str, ...]) -> bool:
    """Whether it is a SMOTE whose other parameters are at their defaults."""
    placed = json.loads(written).keys() | _knob_parameters(written, target, knobs).keys()
    return estimator_specs.resolve_class(target, allow=None) is SMOTE and placed == PLAIN_SMOTE_PARAMETERS


@lru_cache(maxsize=256)
def _knob_parameters(written: str, target: str, knobs: tuple[str, ...]) -> dict[str, str]:
    names = estimator_specs.parameter_names({"_target_": target})
    return {knob_parameter(knob, names) or knob: f"${knob}" for knob in knobs if f'"${knob}"' not in written}


def knob_parameter(knob: str, names: Container[str]) -> str | None:
    """Return the parameter that a knob of :data:`imblab.study.KNOBS` stands for; None for any other knob."""
    places = KNOBS[knob].parameters if knob in KNOBS else ()
    return next((place for place in places if place in names), places[-1] if places else None)


def use_neighbor_cache(sampler: Any, memory: NeighborCache) -> None:
    """Give an over-sampler of imbalanced-learn, or the one in a combination, neighbour lists that are remembered."""
    if not _is_from_imblearn(sampler):  # a class of other people may count on the number that it was given
        return
    for name, value in sampler.get_params(deep=False).items():
        if hasattr(value, "fit_resample"):
            use_neighbor_cache(value, memory)
        elif name in NEIGHBOR_PARAMETERS and isinstance(value, int) and sampler._sampling_type == "over-sampling":
            setattr(sampler, name, CachedNearestNeighbors(value + 1, memory))
        elif name == "categorical_encoder" and value is None and "categorical_features" in sampler.get_params(False):
            setattr(sampler, name, DenseOneHotEncoder(handle_unknown="ignore", dtype=np.float64))


def resample_unchecked(sampler: Any, X: np.ndarray, y: np.ndarray) -> ResampledRows:
    """Resample rows that were checked at the door.

    ``fit_resample`` checks its input and turns a ratio into counts, then calls ``_fit_resample``; for a float ratio the
    counts are known (design: the numerical contract, rule 5), so that the inner method is called at once. A class from
    outside imbalanced-learn is called as it asks to be, with rows of its own: it may write into them.
    """
    if not _is_from_imblearn(sampler):
        X, y = sampler.fit_resample(X.copy(), y.copy())
        return X, y
    ratio, kind = getattr(sampler, "sampling_strategy", None), getattr(sampler, "_sampling_type", None)
    if not isinstance(ratio, float) or kind not in _TARGETS or not hasattr(sampler, "_fit_resample"):
        X, y = sampler.fit_resample(X, y)
        return X, y
    rare, counts = _count_classes(y)
    label, wanted = _TARGETS[kind](rare, counts, ratio)
    if wanted <= 0 or (kind == "under-sampling" and wanted > counts[label]):
        X, y = sampler.fit_resample(X, y)  # let it say what it has to say
        return X, y
    sampler.sampling_strategy_ = {label: wanted}
    sampler.n_features_in_ = X.shape[1]
    X, y = sampler._fit_resample(X, y)[:2]
    return X, y


def _is_from_imblearn(sampler: Any) -> bool:
    """Whether a sampler's class, not only a parent of it, is one of imbalanced-learn."""
    return type(sampler).__module__.partition(".")[0] == "imblearn"


def _count_classes(y: np.ndarray) -> tuple[int, dict[int, int]]:
    """The rarer label and the rows of both."""
    positive = int(y.sum())
    counts = {1: positive, 0: len(y) - positive}
    return (1 if counts[1] <= counts[0] else 0), counts


def _oversampling_target(rare: int, counts: Mapping[int, int], ratio: float) -> tuple[int, int]:
    """The minority, and how many rows to make."""
    return rare, int(counts[1 - rare] * ratio - counts[rare])


def _undersampling_target(rare: int, counts: Mapping[int, int], ratio: float) -> tuple[int, int]:
    """The majority, and how many rows to keep."""
    return 1 - rare, int(counts[rare] / ratio)


_TARGETS = {"over-sampling": _oversampling_target, "under-sampling": _undersampling_target}


_RANDOM = np.random.RandomState()


def _random(seed: int) -> np.random.RandomState:
    """The generator of a seed at its first draw: seeding again takes 2 us where making one takes 100."""
    _RANDOM.seed(seed)
    return _RANDOM


class NeighborCache:
    """Neighbour lists by the content of the rows they were asked of.

    A list for the largest k holds those of every smaller k only where no two distances tie and scikit-learn would
    search in the same way for both; where they tie, that k is asked by itself.

    Parameters
    ----------
    reach : int
        The largest k that will be asked for.
    """

    def __init__(self, reach: int) -> None:
        self._reach = reach
        self._searched: dict[tuple[str, str, str, int], NeighborLists] = {}
        self._given: dict[tuple[str, str, str, int], NeighborLists] = {}
        self._ready: dict[tuple[str, str, bool], Callable[[Any, int], NeighborLists]] = {}

    def ask(self, fitted: Any, query: Any, n: int, metric: str = "minkowski", name: str = "") -> NeighborLists:
        """Distances and indices of the n nearest rows, as ``NearestNeighbors(n_neighbors=n)`` gives them.

        Parameters
        ----------
        fitted, query : array or sparse matrix of shape (n_rows, n_columns)
        n : int
        metric : str, default="minkowski"
        name : str, optional
            The digest of ``fitted``, where it is known.

        Returns
        -------
        distances, indices : ndarray of shape (n_query, n)
        """
        mine = name or _content_digest(fitted)
        where = (metric, mine, mine if query is fitted else _content_digest(query))
        if (*where, n) not in self._given:
            self._given[*where, n] = self._listed(where, fitted, query, n)
        return self._given[*where, n]

    def _listed(self, where: Where, fitted: Any, query: Any, n: int) -> NeighborLists:
        most = max(n, self._reach + 1)
        if n < most <= fitted.shape[0] and _is_few(fitted, n) == _is_few(fitted, most):
            distances, indices = self._search(where, fitted, query, most)
            if (np.diff(distances[:, : n + 1], axis=1) > 0).all():
                return distances[:, :n], indices[:, :n]
        return self._search(where, fitted, query, n)

    def _search(self, where: Where, fitted: Any, query: Any, n: int) -> NeighborLists:
        if (*where, n) not in self._searched:
            ready = (*where[:2], _is_few(fitted, n))
            if ready not in self._ready:
                self._ready[ready] = _neighbor_search(fitted, n, where[0])
            self._searched[*where, n] = self._ready[ready](query, n)
        return self._searched[*where, n]


def _neighbor_search(fitted: Any, n: int, metric: str) -> Callable[[Any, int], NeighborLists]:
    """What ``NearestNeighbors(algorithm="auto")`` searches in; where that is a tree, without the checks around it."""
    if (
        metric == "minkowski"
        and not sparse.issparse(fitted)
        and fitted.shape[1] <= MAX_TREE_COLUMNS
        and _is_few(fitted, n)
    ):
        found: Callable[[Any, int], NeighborLists] = KDTree(fitted, leaf_size=30, metric="euclidean").query
        return found
    with config_context(skip_parameter_validation=True, assume_finite=True):
        found = NearestNeighbors(n_neighbors=n, metric=metric).fit(fitted).kneighbors
    return found


def _is_few(fitted: Any, n: int) -> bool:
    """Whether ``algorithm='auto'`` may search a tree for so many; all else it looks at is the same."""
    return bool(n < fitted.shape[0] // 2)


def _content_digest(X: Any) -> str:
    made = hashlib.blake2b(str(X.shape).encode(), digest_size=16)
    for part in (X.data, X.indices, X.indptr) if sparse.issparse(X) else (X,):
        made.update(np.ascontiguousarray(part).data)
    return made.hexdigest()


class CachedNearestNeighbors(BaseEstimator):  # type: ignore[misc]
    """A ``NearestNeighbors`` that looks into a :class:`NeighborCache` before it searches.

    Parameters
    ----------
    n_neighbors : int
    memory : Memory
    metric : str, default="minkowski"
        Samplers of categories set it to ``precomputed``.
    """

    def __init__(self, n_neighbors: int, memory: NeighborCache, metric: str = "minkowski") -> None:
        self.n_neighbors, self.memory, self.metric = n_neighbors, memory, metric

    def __sklearn_clone__(self) -> CachedNearestNeighbors:
        return CachedNearestNeighbors(self.n_neighbors, self.memory, self.metric)

    def fit(self, X: Any, y: Any = None) -> CachedNearestNeighbors:
        """Remember the rows to search in."""
        self._fitted = X
        return self

    def kneighbors(self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True) -> Any:
        """The nearest rows, as scikit-learn's method of the same name."""
        if X is None:
            found = self._fresh().kneighbors(None, n_neighbors)
        else:
            found = self.memory.ask(self._fitted, X, n_neighbors or self.n_neighbors, self.metric)
        return found if return_distance else found[1]

    def kneighbors_graph(self, X: Any = None, n_neighbors: int | None = None, mode: str = "connectivity") -> Any:
        """The graph of the nearest rows, searched anew."""
        return self._fresh().kneighbors_graph(X, n_neighbors, mode)

    def _fresh(self) -> NearestNeighbors:
        return NearestNeighbors(n_neighbors=self.n_neighbors, metric=self.metric).fit(self._fitted)


class DenseOneHotEncoder(OneHotEncoder):  # type: ignore[misc]
    """A one-hot encoder that decodes a sparse matrix by way of a dense one.

    SMOTENC decodes all rows after each draw; scikit-learn does that in a Python loop over the rows of a sparse matrix,
    which took two thirds of a study of a table with 18 categorical columns.
    """

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The categories of rows that hold exactly one 1 a column."""
        dense = X.toarray() if sparse.issparse(X) else np.asarray(X)
        edges = np.cumsum([0, *(len(levels) for levels in self.categories_)])
        blocks = [dense[:, a:b] for a, b in pairwise(edges)]
        if not all((block.sum(axis=1) == 1).all() for block in blocks):
            return np.asarray(super().inverse_transform(X))
        decoded = [levels[block.argmax(axis=1)] for levels, block in zip(self.categories_, blocks, strict=True)]
        return np.column_stack(decoded)
