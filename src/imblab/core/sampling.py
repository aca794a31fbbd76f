"""Samplers on one set of fit rows: what every ratio, k and weight has in common is computed once.

imbalanced-learn's own classes do the resampling. The shortcuts change no bit: neighbour lists are cached, inputs that
were checked when the table was loaded are not checked again, SMOTENC's categories are decoded from a dense matrix, and
SMOTE's draw is made without the checks around it, which take longer than the draw.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
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

from imblab.core import estimator_specs, step_rows
from imblab.core.classes import OVER_SAMPLING, class_targets
from imblab.core.row_buffer import RowBuffer, room_for_all
from imblab.study import KNOBS, Dataset, Make, Scalar
from imblab.text import join_words

#: Parameters of over-samplers that count neighbours; each searches one more, the row itself.
NEIGHBOR_PARAMETERS = ("k_neighbors", "n_neighbors", "m_neighbors")
#: Columns up to which scikit-learn searches a tree.
MAX_TREE_COLUMNS = 15
#: Rows that SMOTE makes in one go.
SMOTE_BLOCK_ROWS = 16_384
#: Parameters in the specification of a SMOTE whose others are at their defaults.
PLAIN_SMOTE_PARAMETERS = {"_target_", "sampling_strategy", "k_neighbors"}
ResampledRows = tuple[np.ndarray, np.ndarray]
NeighborLists = tuple[np.ndarray, np.ndarray]
#: A metric, and digests of the rows searched in and of the rows searched for.
NeighborQuery = tuple[str, str, str]
#: The kinds of number that convert to float64: booleans, integers, floats.
_REAL_KINDS = "biuf"


class UnusableOutput(Exception):
    """Raised if a sampler or a learner returned what no measure can read; the message is the reason."""


class Resampler:
    """Resample one set of fit rows: C-ordered float64 ``X``, class indices ``y``.

    ``categorical`` are the positions of coded columns. The neighbour lists of ``largest_k``, the largest k that will be
    asked for, serve every smaller one. ``classes`` are the labels behind the class indices, for messages. Synthetic
    rows are written behind the real rows of the ``buffer``.
    """

    def __init__(
        self,
        X: np.ndarray,
        y: np.ndarray,
        categorical: Sequence[int],
        largest_k: int = 0,
        classes: Sequence[str] = ("negative", "positive"),
        buffer: RowBuffer | None = None,
    ) -> None:
        self._X, self._y, self._categorical, self._classes = X, y, list(categorical), tuple(classes)
        self._cache = _NeighborCache(largest_k)
        self._latest: tuple[tuple[Any, ...], ResampledRows] | None = None
        self._counts = np.bincount(y, minlength=len(classes)).tolist()
        self._class_rows: dict[int, tuple[np.ndarray, str]] = {}
        self._neighbors: dict[tuple[int, int], np.ndarray] = {}
        self._buffer = buffer

    def resample(self, make: Make, knobs: Mapping[str, Scalar], seed: int) -> ResampledRows:
        """Return rows and labels that a learner receives: the real rows that remain, followed by synthetic ones.

        ``make`` is the specification of the sampler, in the form that suits the columns.
        """
        step_rows.note_rows(step_rows.SAMPLER, self._X, self._y)
        key = (estimator_specs.spec_text(make), *knobs.items(), seed)
        if self._latest is None or self._latest[0] != key:
            # One result is kept, for the weights that follow; it goes before the next is made.
            self._latest = None
            self._latest = key, self._resample(make, knobs, seed)
        return self._latest[1]

    def _resample(self, make: Make, knobs: Mapping[str, Scalar], seed: int) -> ResampledRows:
        if _is_plain_smote(estimator_specs.spec_text(make), make["_target_"], tuple(knobs)):
            resampled = self.smote(cast(float, knobs["ratio"]), cast(int, knobs["k"]), seed)
            if resampled is not None:
                return resampled
        # None: the specification was checked when the study was read.
        values: dict[str, Any] = {**knobs, "categorical": self._categorical}
        targets = self._dictionary(make, knobs)
        if targets is not None:
            values["ratio"] = targets
        sampler = estimator_specs.build_estimator(with_knobs(make, knobs), values, allow=None, seed=seed)
        _use_neighbor_cache(sampler, self._cache)
        X, y = _resample_unchecked(sampler, self._X, self._y, targets)
        return _check_resampled(sampler, (X, y), self._y, self._X.shape[1], self._classes)

    def _dictionary(self, make: Make, knobs: Mapping[str, Scalar]) -> dict[int, int] | None:
        """Return what a ratio asks for where a float cannot say it: with more than two classes."""
        ratio = knobs.get("ratio")
        if len(self._classes) == 2 or not isinstance(ratio, (int, float)):
            return None
        targets = class_targets(self._counts, ratio, estimator_specs.sampling_type(make))
        if targets == {}:  # imbalanced-learn would return the rows as they are
            raise UnusableOutput(
                f"ratio={ratio:g} changes no class of {self._counts} rows; a ratio adds or drops at least one row. "
                "Choose another ratio."
            )
        return targets

    def smote(self, ratio: float, k: int, seed: int) -> ResampledRows | None:
        """Return SMOTE's rows, by the draws of imbalanced-learn in their order; None where it would raise or warn.

        Chawla et al. 2002, *Journal of Artificial Intelligence Research* 16, 321-357.
        """
        targets = class_targets(self._counts, ratio, OVER_SAMPLING)
        if not targets or any(k >= self._counts[label] for label in targets):
            return None
        n_new = {label: n - self._counts[label] for label, n in targets.items()}
        X, end = self._rows_with_room(sum(n_new.values())), len(self._y)
        for label, n in n_new.items():
            self._draw_smote(label, k, seed, X[end : end + n])
            end += n
        return X, np.concatenate([self._y, np.repeat(np.array([*n_new], dtype=self._y.dtype), [*n_new.values()])])

    def _draw_smote(self, label: int, k: int, seed: int, new_rows: np.ndarray) -> None:
        """Fill the new rows of a class; each class begins with the same random state, as in imbalanced-learn."""
        if label not in self._class_rows:
            rows = self._X[self._y == label]
            self._class_rows[label] = rows, _content_digest(rows)
        base, digest = self._class_rows[label]
        if (label, k) not in self._neighbors:
            self._neighbors[label, k] = self._cache.query(base, base, k + 1, digest=digest)[1][:, 1:].ravel()
        neighbors = self._neighbors[label, k]
        random, n_new = _random_state(seed), len(new_rows)
        drawn = random.randint(low=0, high=neighbors.size, size=n_new)
        steps = random.uniform(size=(n_new, 1))
        for at in range(0, n_new, SMOTE_BLOCK_ROWS):
            block = slice(at, min(at + SMOTE_BLOCK_ROWS, n_new))
            # start + steps * (end - start), in the memory of the new rows.
            start, new = base.take(drawn[block] // k, axis=0), new_rows[block]
            np.subtract(base.take(neighbors.take(drawn[block]), axis=0), start, out=new)
            new *= steps[block]
            new += start

    def _rows_with_room(self, n_new: int) -> np.ndarray:
        """Return the real rows followed by room for new ones, in memory that no earlier result uses."""
        rows = None if self._buffer is None else self._buffer.with_room(n_new)
        while rows is None:
            n_real, n_columns = self._X.shape
            self._buffer = RowBuffer(n_real, max(n_new, room_for_all(self._counts)), n_columns)
            self._buffer.real[:] = self._X
            rows = self._buffer.with_room(n_new)
        return rows


def sampler_for_columns(sampler: Make | None, dataset: Dataset) -> Make | None:
    """Return the form of a sampler that suits the column types of a table, such as SMOTENC for SMOTE.

    None without a sampler, or if it has no form that reads the table's categorical columns.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> toy = Dataset("toy", pd.DataFrame({"a": [1.0, 2.0]}), np.array([0, 1]), ("no", "yes"))
    >>> sampler_for_columns({"_target_": "imblearn.over_sampling.SMOTE"}, toy)
    {'_target_': 'imblearn.over_sampling.SMOTE'}
    """
    if sampler is None:
        return None
    if not dataset.categorical:
        return {key: value for key, value in sampler.items() if key not in ("_mixed_", "_categorical_")}
    key = "_categorical_" if len(dataset.categorical) == dataset.X.shape[1] else "_mixed_"
    form: Make | None = sampler.get(key)
    return form


def with_knobs(make: Make, knobs: Mapping[str, Scalar]) -> Make:
    """Add the parameters of a sampler that its knobs fill, unless its text names ``$ratio`` and ``$k`` itself.

    Examples
    --------
    >>> with_knobs({"_target_": "imblearn.over_sampling.ADASYN"}, {"ratio": 0.5, "k": 3})
    {'_target_': 'imblearn.over_sampling.ADASYN', 'sampling_strategy': '$ratio', 'n_neighbors': '$k'}
    """
    return {**make, **_knob_parameters(estimator_specs.spec_text(make), make["_target_"], tuple(knobs))}


@lru_cache(maxsize=256)
def _is_plain_smote(spec: str, target: str, knobs: tuple[str, ...]) -> bool:
    """Whether a specification is a SMOTE with the knobs ratio and k, whose other parameters are at their defaults."""
    if not {"ratio", "k"} <= set(knobs):  # one of them is fixed in the specification
        return False
    parameters = json.loads(spec).keys() | _knob_parameters(spec, target, knobs).keys()
    return estimator_specs.resolve_class(target, allow=None) is SMOTE and parameters == PLAIN_SMOTE_PARAMETERS


@lru_cache(maxsize=256)
def _knob_parameters(spec: str, target: str, knobs: tuple[str, ...]) -> dict[str, str]:
    names = estimator_specs.parameter_names({"_target_": target})
    placed = (knob for knob in knobs if f'"${knob}"' not in spec)
    return {(KNOBS[knob].parameter_among(names) if knob in KNOBS else None) or knob: f"${knob}" for knob in placed}


def _use_neighbor_cache(sampler: Any, cache: _NeighborCache) -> None:
    """Give an over-sampler of imbalanced-learn, or the one inside a combination, cached neighbour lists."""
    if not _is_from_imblearn(sampler):  # another class may expect the number that it was given
        return
    for name, value in sampler.get_params(deep=False).items():
        if hasattr(value, "fit_resample"):
            _use_neighbor_cache(value, cache)
        elif name in NEIGHBOR_PARAMETERS and isinstance(value, int) and sampler._sampling_type == OVER_SAMPLING:
            setattr(sampler, name, _CachedNearestNeighbors(value + 1, cache))
        elif name == "categorical_encoder" and value is None and "categorical_features" in sampler.get_params(False):
            setattr(sampler, name, DenseOneHotEncoder(handle_unknown="ignore", dtype=np.float64))


def _resample_unchecked(
    sampler: Any, X: np.ndarray, y: np.ndarray, targets: Mapping[int, int] | None = None
) -> ResampledRows:
    """Resample rows that were checked when the table was loaded.

    ``fit_resample`` checks its input and turns a ratio into counts, then calls ``_fit_resample``; for a float ratio of
    two classes, and for a dictionary of our own, ``targets``, the counts are known (design: the numerical contract,
    rule 5), so that the inner method is called at once. A class from outside imbalanced-learn is called by its public
    method, with its own copy of the rows: it may write into them.
    """
    if not _is_from_imblearn(sampler):
        X, y = sampler.fit_resample(X.copy(), y.copy())
        return X, y
    ratio, kind = getattr(sampler, "sampling_strategy", None), getattr(sampler, "_sampling_type", "")
    counts = np.bincount(y, minlength=2).tolist()
    if isinstance(ratio, float) and len(counts) == 2:
        targets = class_targets(counts, ratio, kind)
    elif ratio is not targets:
        targets = None
    if not targets or not hasattr(sampler, "_fit_resample"):
        X, y = sampler.fit_resample(X, y)  # it raises, with its own message
        return X, y
    is_over = kind == OVER_SAMPLING
    sampler.sampling_strategy_ = {label: n - counts[label] if is_over else n for label, n in targets.items()}
    sampler.n_features_in_ = X.shape[1]
    X, y = sampler._fit_resample(X, y)[:2]
    return X, y


def _is_from_imblearn(sampler: Any) -> bool:
    """Whether a sampler's class, not only a parent of it, is one of imbalanced-learn."""
    return type(sampler).__module__.partition(".")[0] == "imblearn"


_RANDOM_STATE = np.random.RandomState()


def _random_state(seed: int) -> np.random.RandomState:
    """Return the generator of a seed at its first draw, to be used at once: reseeding takes 1 us, a new one 100 us."""
    _RANDOM_STATE.seed(seed)
    return _RANDOM_STATE


class _NeighborCache:
    """Neighbour lists, for k up to ``largest_k``, by the content of the rows searched in and searched for.

    A list for the largest k holds those of every smaller k only where no two distances tie and scikit-learn would
    search in the same way for both; where they tie, that k is searched by itself.
    """

    def __init__(self, largest_k: int) -> None:
        self._largest_k = largest_k
        self._searched: dict[tuple[str, str, str, int], NeighborLists] = {}
        self._lists: dict[tuple[str, str, str, int], NeighborLists] = {}
        self._indexes: dict[tuple[str, str, bool], Callable[[Any, int], NeighborLists]] = {}

    def query(self, fitted: Any, rows: Any, n: int, metric: str = "minkowski", digest: str = "") -> NeighborLists:
        """Return distances and indices of the n nearest rows, as ``NearestNeighbors(n_neighbors=n)`` gives them.

        ``fitted`` and ``rows`` are arrays or sparse matrices; ``digest`` is that of ``fitted``, if it is known.
        """
        fitted_digest = digest or _content_digest(fitted)
        key = (metric, fitted_digest, fitted_digest if rows is fitted else _content_digest(rows))
        if (*key, n) not in self._lists:
            self._lists[*key, n] = self._select(key, fitted, rows, n)
        return self._lists[*key, n]

    def _select(self, key: NeighborQuery, fitted: Any, rows: Any, n: int) -> NeighborLists:
        largest = max(n, self._largest_k + 1)
        if n < largest <= fitted.shape[0] and _fits_tree(fitted, n) == _fits_tree(fitted, largest):
            distances, indices = self._search(key, fitted, rows, largest)
            if (np.diff(distances[:, : n + 1], axis=1) > 0).all():
                return distances[:, :n], indices[:, :n]
        return self._search(key, fitted, rows, n)

    def _search(self, key: NeighborQuery, fitted: Any, rows: Any, n: int) -> NeighborLists:
        if (*key, n) not in self._searched:
            index_key = (*key[:2], _fits_tree(fitted, n))
            if index_key not in self._indexes:
                self._indexes[index_key] = _neighbor_search(fitted, n, key[0])
            self._searched[*key, n] = self._indexes[index_key](rows, n)
        return self._searched[*key, n]


def _neighbor_search(fitted: Any, n: int, metric: str) -> Callable[[Any, int], NeighborLists]:
    """Return the search that ``NearestNeighbors(algorithm="auto")`` makes; a tree without the checks around it."""
    is_narrow = not sparse.issparse(fitted) and fitted.shape[1] <= MAX_TREE_COLUMNS
    if metric == "minkowski" and is_narrow and _fits_tree(fitted, n):
        search: Callable[[Any, int], NeighborLists] = KDTree(fitted, leaf_size=30, metric="euclidean").query
        return search
    with config_context(skip_parameter_validation=True, assume_finite=True):
        search = NearestNeighbors(n_neighbors=n, metric=metric).fit(fitted).kneighbors
    return search


def _fits_tree(fitted: Any, n: int) -> bool:
    """Whether ``algorithm='auto'`` may search a tree for so many neighbours."""
    return bool(n < fitted.shape[0] // 2)


def _content_digest(X: Any) -> str:
    digest = hashlib.blake2b(str(X.shape).encode(), digest_size=16)
    for part in (X.data, X.indices, X.indptr) if sparse.issparse(X) else (X,):
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


class _CachedNearestNeighbors(BaseEstimator):  # type: ignore[misc]
    """A ``NearestNeighbors`` that looks into a :class:`_NeighborCache` of the same rows before it searches.

    ``n_neighbors`` includes the row itself; samplers of categories set ``metric`` to ``precomputed``.
    """

    def __init__(self, n_neighbors: int, cache: _NeighborCache, metric: str = "minkowski") -> None:
        self.n_neighbors, self.cache, self.metric = n_neighbors, cache, metric

    def __sklearn_clone__(self) -> _CachedNearestNeighbors:
        return _CachedNearestNeighbors(self.n_neighbors, self.cache, self.metric)

    def fit(self, X: Any, y: Any = None) -> _CachedNearestNeighbors:
        """Keep the rows to search in."""
        self._fitted = X
        return self

    def kneighbors(self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True) -> Any:
        """Return the nearest rows, as scikit-learn's method of the same name."""
        if X is None:
            lists = self._uncached().kneighbors(None, n_neighbors)
        else:
            lists = self.cache.query(self._fitted, X, n_neighbors or self.n_neighbors, self.metric)
        return lists if return_distance else lists[1]

    def kneighbors_graph(self, X: Any = None, n_neighbors: int | None = None, mode: str = "connectivity") -> Any:
        """Return the graph of the nearest rows, without the cache."""
        return self._uncached().kneighbors_graph(X, n_neighbors, mode)

    def _uncached(self) -> NearestNeighbors:
        return NearestNeighbors(n_neighbors=self.n_neighbors, metric=self.metric).fit(self._fitted)


class DenseOneHotEncoder(OneHotEncoder):  # type: ignore[misc]
    """A one-hot encoder that decodes a sparse matrix by way of a dense one.

    SMOTENC decodes all rows after each draw; scikit-learn does that in a Python loop over the rows of a sparse matrix,
    which took two thirds of a study of a table with 18 categorical columns.
    """

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Return the categories of rows with exactly one 1 per column."""
        dense = X.toarray() if sparse.issparse(X) else np.asarray(X)
        edges = np.cumsum([0, *(len(levels) for levels in self.categories_)])
        blocks = [dense[:, a:b] for a, b in pairwise(edges)]
        if not all((block.sum(axis=1) == 1).all() for block in blocks):
            return np.asarray(super().inverse_transform(X))
        decoded = [levels[block.argmax(axis=1)] for levels, block in zip(self.categories_, blocks, strict=True)]
        return np.column_stack(decoded)


def _check_resampled(
    sampler: Any,
    output: tuple[Any, Any],
    y: np.ndarray,
    n_columns: int,
    classes: Sequence[str] = ("negative", "positive"),
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows (float64, C-ordered) and labels for a learner from the output of ``fit_resample``.

    ``y`` and ``n_columns`` are those that the sampler received. Raises UnusableOutput if columns, lengths or labels do
    not fit, a value is not a finite number, or a class has no row left.
    """
    name = type(sampler).__name__
    subject, way_out = f"sampler {name!r} returned", "Correct its fit_resample, or choose another sampler."
    X, labels = as_real_array(output[0], subject, "rows"), as_real_array(output[1], subject, "labels")
    if X.ndim != 2 or X.shape[1] != n_columns:
        raise UnusableOutput(
            f"{subject} rows of shape {X.shape}; it keeps the {n_columns} columns it was given. {way_out}"
        )
    if labels.shape != (len(X),):
        raise UnusableOutput(
            f"{subject} {len(X)} rows and labels of shape {labels.shape}; each row has one label. {way_out}"
        )
    unknown = labels[(labels < 0) | ~(labels < len(classes)) | (np.floor(labels) != labels)]
    if unknown.size:
        joint = "and" if len(classes) == 2 else "to"
        raise UnusableOutput(
            f"{subject} the label {unknown[0]!s} in {unknown.size} of {len(labels)} rows; labels are 0 {joint} "
            f"{len(classes) - 1}. {way_out}"
        )
    X = np.ascontiguousarray(X, dtype=np.float64)
    n_bad = np.count_nonzero(~np.isfinite(X))
    if n_bad:
        raise UnusableOutput(f"{subject} {n_bad} of {X.size} values that are not finite; rows hold numbers. {way_out}")
    labels = labels if labels.dtype == y.dtype else labels.astype(y.dtype)
    advice = f"{name!r} dropped one: change its parameters, or choose another sampler"
    check_classes(labels, "the sampler left", y, advice, classes)
    return X, labels


def check_classes(
    labels: np.ndarray,
    subject: str,
    before: np.ndarray | None = None,
    way_out: str = "use fewer folds",
    classes: Sequence[str] = ("negative", "positive"),
) -> None:
    """Refuse labels that lack a class; ``before`` holds the labels that a sampler received.

    Raises UnusableOutput with a message of the subject, the missing classes and the way out.
    """
    counts = np.bincount(labels, minlength=len(classes))
    if counts.all():
        return
    missing = [int(label) for label in np.flatnonzero(counts == 0)]
    received = None if before is None else np.bincount(before, minlength=len(classes))
    rows = {label: "no" if received is None else f"0 of {received[label]}" for label in missing}
    if len(classes) == 2:
        label = missing[-1]
        word, rule = ("negative", "positive")[label], "rows of both classes"
        raise UnusableOutput(f"{subject} {rows[label]} {word} rows; a learner needs {rule}. {way_out}.")
    names = join_words(f"{n} rows of class {classes[label]!r}" for label, n in rows.items())
    raise UnusableOutput(f"{subject} {names}; a learner needs rows of every class. {way_out}.")


def as_real_array(output: Any, subject: str, what: str) -> np.ndarray:
    """Convert output to an array of real numbers; masked values count as missing."""
    table = np.asarray(output)
    if table.dtype.kind not in _REAL_KINDS:
        raise UnusableOutput(
            f"{subject} {what} of type {table.dtype}, where real numbers belong. Correct what it returns, or exclude "
            "it."
        )
    if np.ma.is_masked(output):
        return np.ma.filled(np.ma.asarray(output).astype(np.float64), np.nan)
    return table
