"""The nouns of imblab: frozen, slotted dataclasses, and nothing that acts.

Records are values. Those made of plain data (:class:`Study` and below) go to JSON and back without loss;
:class:`Dataset` and :class:`Split` hold arrays and are known by their fingerprints. The nouns of the answer stand in
:mod:`imblab.result`.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from imblab.weights import BALANCED, weight_power

#: A knob or a tuned parameter: a number, a text such as ``"balanced"``, a flag.
Scalar = float | int | str | bool
#: A threshold: a number, ``"tuned"``, or one rule such as ``{"alert_rate": 0.01}``.
Threshold = float | str | Mapping[str, Any]
#: What a threshold is compared with.
PROBABILITY, DECISION_VALUE = "probability", "decision_value"
#: What a cell is addressed by; the first three name a strategy on a data set.
COORDINATES = ("dataset", "learner", "strategy", "repeat", "fold")
#: ``{"_target_": "dotted.path", "parameter": value}``.
Make = Mapping[str, Any]


def fingerprint(*parts: Any) -> str:
    """A short stable address of plain data and arrays: the first 16 hexadecimal digits of a sha256.

    Mappings are taken in sorted key order, arrays by dtype, shape and bytes.

    Examples
    --------
    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        else:
            digest.update(json.dumps(part, sort_keys=True, default=dict).encode())
        digest.update(b"\x00")
    return digest.hexdigest()[:16]


#: Levels of a categorical column; one-hot columns beyond this are a design mistake more often than an intention.
MAX_LEVELS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A table with its classes.

    Attributes
    ----------
    name : str
        As it is called in results.
    X : DataFrame of shape (n_rows, n_features)
        Features only, in file order: numeric columns as float64, categorical ones as pandas ``category`` whose
        categories are sorted.
    y : ndarray of shape (n_rows,), int64
        The class of each row. With two classes 1 is the positive one, the rarer unless another was named; with more,
        classes are numbered by falling frequency in the whole table, ties by label as text: 0 is the most frequent
        class, the last the rarest.
    classes : tuple of str
        The label of each class, as text, by its number; two or more.
    categorical : tuple of str
        Names of the categorical columns of ``X``.
    groups, time, amount, id : ndarray of shape (n_rows,) or None
        Columns that steer splits, costs or look-ups; they are not features.
    folds : ndarray of shape (n_rows,), int64, or None
        The outer fold in which each row is tested, from 0 on, where the table says so.
    fold_names : tuple of str
        The value behind each of those folds; empty without them.
    parent : str
        The parent data set; tasks that share one are not independent evidence.
    fingerprint : str
        sha256 of the content, row order included.
    notes : tuple of str
        What was decided when the table was read, such as its separator; shown with its warnings.
    rare : int or None
        Levels of a categorical column with fewer rows than this in a fit part are one level there; None keeps them.
    merged : mapping of str to tuple of str
        Labels that are one class, by the label of that class; empty if none were merged.
    dropped_classes : tuple of str
        Labels whose rows were left out.
    missing : tuple of str
        Texts and numbers, as text, that stand for a missing value in the raw table, next to the empty text.
    labels : tuple of label
        The labels of a table in memory by class, with their type; empty for files, and for labels of several types.
    """

    name: str
    X: pd.DataFrame
    y: np.ndarray
    classes: tuple[str, ...]
    categorical: tuple[str, ...] = ()
    groups: np.ndarray | None = None
    time: np.ndarray | None = None
    amount: np.ndarray | None = None
    id: np.ndarray | None = None
    parent: str = ""
    fingerprint: str = ""
    notes: tuple[str, ...] = ()
    rare: int | None = None
    merged: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dropped_classes: tuple[str, ...] = ()
    folds: np.ndarray | None = None
    fold_names: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    labels: tuple[Scalar, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """One outer split: indices, made once."""

    #: count from 0
    repeat: int
    fold: int
    #: row numbers of the table; ascending, but for time-ordered tables, where they follow the time
    train: np.ndarray
    test: np.ndarray
    fingerprint: str  # address of the two index arrays


@dataclass(frozen=True, slots=True)
class Choice:
    """An axis of listed values, searched in the order written.

    Attributes
    ----------
    values : tuple of scalar
        At least one; a grid tries them in this order.
    """

    values: tuple[Scalar, ...]

    def text(self) -> str:
        """The axis in Hydra's sweep grammar.

        Examples
        --------
        >>> Choice((0.1, 0.5)).text()
        'choice(0.1,0.5)'
        """
        return f"choice({','.join(_plain(v) for v in self.values)})"


@dataclass(frozen=True, slots=True)
class Interval:
    """A continuous or whole-numbered axis, for searches that draw.

    Attributes
    ----------
    low, high : float
        Its ends, which belong to it.
    log : bool, default=False
        Whether values are drawn on the logarithmic scale.
    integer : bool, default=False
        Whether values are whole numbers.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def text(self) -> str:
        """The axis in Hydra's sweep grammar.

        Examples
        --------
        >>> Interval(1, 50, log=True, integer=True).text()
        'tag(log,int(interval(1,50)))'
        """
        inner = f"interval({_plain(self.low)},{_plain(self.high)})"
        inner = f"int({inner})" if self.integer else inner
        return f"tag(log,{inner})" if self.log else inner


Axis = Choice | Interval


def _plain(value: Scalar) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class Knob:
    """Something of a strategy that can be fixed or searched."""

    name: str  # among the params of an evaluation
    #: {"sampler", "fit", "probabilities", "decision"}: where it acts. Knobs of the sampler and of the fit need a fit
    #: for each value; the others are applied to predictions.
    place: str
    parameters: tuple[str, ...] = ()  # constructor parameters of a sampler that it may stand for
    rule: str = ""  # what its values must be, as a sentence
    example: str = ""  # a value that a message may propose
    #: bounds of its numbers; ``high`` belongs to them
    low: float = 0.0
    high: float = math.inf
    includes_low: bool = False  # whether ``low`` belongs to them
    is_whole: bool = False  # whether its numbers are whole
    words: tuple[str, ...] = ()  # texts that it may be
    is_weight: bool = False  # whether it may also be a text of :func:`imblab.weights.power_weight`

    def accepts(self, value: Any) -> bool:
        """Return whether a value follows the rule.

        Examples
        --------
        >>> KNOBS["ratio"].accepts(1), KNOBS["ratio"].accepts(0), KNOBS["k"].accepts(2.5)
        (True, False, False)
        """
        if isinstance(value, str):
            return value in self.words or (self.is_weight and weight_power(value) is not None)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > sys.float_info.max:
            return False
        is_inside = self.low < value <= self.high or (self.includes_low and value == self.low)
        return is_inside and (not self.is_whole or float(value).is_integer())

    def parameter_among(self, names: Container[str]) -> str | None:
        """Return the constructor parameter that the knob stands for, given the names of all; None without one.

        Examples
        --------
        >>> KNOBS["k"].parameter_among({"k_neighbors", "kind"}), KNOBS["weight"].parameter_among({"kind"})
        ('k_neighbors', None)
        """
        last = self.parameters[-1] if self.parameters else None
        return next((name for name in self.parameters if name in names), last)


#: The knobs that every strategy may have, in the declared order. Any other parameter of a sampler's constructor is a
#: knob as soon as it has a space.
KNOBS = {
    knob.name: knob
    for knob in (
        Knob(
            "ratio",
            "sampler",
            ("sampling_strategy",),
            "a ratio lies above 0 and at most at 1 (minority to majority)",
            "0.5",
            high=1.0,
        ),
        Knob(
            "k",
            "sampler",
            ("k_neighbors", "n_neighbors"),
            "k is a whole number, at least 1",
            "5",
            low=1.0,
            includes_low=True,
            is_whole=True,
        ),
        Knob(
            "weight",
            "fit",
            (),
            "a weight is a number above 0, 'balanced', or {power: a} with a number a of at least 0",
            "10",
            words=(BALANCED,),
            is_weight=True,
        ),
        Knob("calibration", "probabilities"),
        Knob("threshold", "decision", (), "a threshold lies from 0 to 1", "0.5", high=1.0, includes_low=True),
    )
}
#: The knobs each of whose values needs a fit; they stand under these names among the params of an evaluation.
FITTED_KNOBS = tuple(knob.name for knob in KNOBS.values() if knob.place in ("sampler", "fit"))
#: Prefixes of the further knobs of the sampler and of the learner's parameters among the params of an evaluation.
SAMPLER_PREFIX, LEARNER_PREFIX = "sampler.", "learner."


def in_declared_order(names: Iterable[str]) -> list[str]:
    """Sort names of params: ratio, k, weight, the further knobs of the sampler by name, then all others by name.

    Examples
    --------
    >>> in_declared_order({"learner.C", "sampler.m_neighbors", "k", "ratio"})
    ['ratio', 'k', 'sampler.m_neighbors', 'learner.C']
    """
    position = {name: i for i, name in enumerate(FITTED_KNOBS)}
    return sorted(names, key=lambda n: (position.get(n, len(position)), not n.startswith(SAMPLER_PREFIX), n))


@dataclass(frozen=True, slots=True)
class SearchMethod:
    """A way to choose candidates."""

    name: str  # as written in ``search.method``
    sentence: str  # what it does, with ``{n}`` for the number of trials
    sampler: str = ""  # a class of ``optuna.samplers``; empty for the full grid
    options: Mapping[str, Any] = field(default_factory=dict)  # parameters of the class, in addition to the seed
    is_adaptive: bool = False  # whether a candidate depends on the values of those before it

    @property
    def is_drawn(self) -> bool:
        """Whether it draws a number of candidates instead of listing all."""
        return bool(self.sampler)


#: The search methods by name; a further sampler of Optuna is one more line.
SEARCH_METHODS = {
    method.name: method
    for method in (
        SearchMethod("grid", "every candidate of the grid was tried"),
        SearchMethod("random", "{n} candidates were drawn at random", "RandomSampler"),
        SearchMethod(
            "qmc",
            "{n} candidates were drawn from a scrambled quasi-Monte Carlo sequence",
            "QMCSampler",
            {"scramble": True},
        ),
        SearchMethod(
            "tpe",
            "{n} candidates were proposed by the tree-structured Parzen estimator of Optuna (multivariate)",
            "TPESampler",
            {"multivariate": True, "n_startup_trials": 10},
            is_adaptive=True,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class LearnerTraits:
    """Traits of a learner that are known before it is fitted; found once, when it is read."""

    gives_probabilities: bool = True  # whether it predicts probabilities; one without predicts decision values
    takes_sample_weight: bool = True  # whether its ``fit`` has a ``sample_weight``
    #: whether it weighs or resamples the classes by itself, so that the positive share it learned from is unknown
    rebalances: bool = False
    #: the parameters by which it does, such as ``class_weight=balanced``, as far as its mapping names them
    rebalanced_by: tuple[str, ...] = ()
    #: How one fit with many rounds answers for fewer: ``parameter`` (the number of rounds), ``argument`` of
    #: ``predict_proba``, ``form`` (``count``: the number; ``range``: from 0 to it), ``only`` (parameters and their
    #: values with which it is so), ``made`` (the attribute that says how many rounds there are). Empty where it cannot.
    staged: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Learner:
    """A classifier family.

    Attributes
    ----------
    name : str
        As it is called in results.
    make : mapping
        ``{"_target_": "sklearn.linear_model.LogisticRegression", "max_iter": 2000}``.
    space : mapping of str to Axis
        Tuned when ``search.tune_learner`` is set.
    traits : LearnerTraits
        Completed by :func:`imblab.core.estimator_specs.with_traits`.
    label : str
        What it is, in a few words; outside every comparison and address.
    kind : str
        Which simulated standard error its contrasts may have; see :mod:`imblab.stats.standard_errors`. Outside every
        comparison and address.
    """

    name: str
    make: Make
    space: Mapping[str, Axis] = field(default_factory=dict)
    traits: LearnerTraits = field(default_factory=LearnerTraits)
    label: str = field(default="", compare=False)
    kind: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Strategy:
    """How imbalance is treated: a sampler (with its ratio and k), a weight, a calibration, a threshold.

    Attributes
    ----------
    name : str
        As it is called in results.
    sampler : mapping or None
        ``{"_target_": "imblearn.over_sampling.SMOTE"}``; the texts ``$ratio`` and ``$k`` inside stand for the knobs,
        the keys ``_mixed_`` and ``_categorical_`` hold its form for tables with some and with only categorical columns.
    weight : float, "balanced", a text such as "power 0.5", or None
        Weight of a positive relative to a negative row, for two classes; ``balanced`` gives every class the same total,
        ``power a`` weighs a row of class c by n_c^-a, the weights having mean 1: see :mod:`imblab.weights`.
    threshold : float, "tuned" or mapping
        A row is called positive iff p >= threshold.
    space : mapping of str to Axis
        The knobs that are searched: of :data:`KNOBS`, and further parameters of the sampler by their names.
    ratio : float or None
        imbalanced-learn's float ``sampling_strategy``: n_minority / n_majority afterwards.
    k : int or None
        Number of neighbours of the sampler.
    calibration : {"none", "prior", "sigmoid", "isotonic"}
        How the learner's answers become probabilities before a threshold is chosen; it takes no fit of the learner.
    prior_correction : {"exact", "approximate", "inapplicable"} or None
        Whether the ``prior`` calibration undoes what the sampler does; None without a
        sampler, or if its file does not say.
    label : str
        What it is, in a few words; outside every comparison and address.
    """

    name: str
    sampler: Make | None = None
    weight: float | str | None = None
    threshold: Threshold = 0.5
    space: Mapping[str, Axis] = field(default_factory=dict)
    ratio: float | None = None
    k: int | None = None
    calibration: str = "none"
    prior_correction: str | None = None
    label: str = field(default="", compare=False)

    @property
    def axes(self) -> dict[str, Axis]:
        """The searched knobs that need a fit, by their names among params, in the declared order."""
        axes = {k if k in FITTED_KNOBS else SAMPLER_PREFIX + k: a for k, a in self.space.items() if k != "threshold"}
        return {name: axes[name] for name in in_declared_order(axes)}

    @property
    def fixed_knobs(self) -> dict[str, Scalar]:
        """The knobs of the table that need a fit and are held fixed, in the declared order.

        Examples
        --------
        >>> Strategy("s", ratio=0.5, weight="balanced").fixed_knobs
        {'ratio': 0.5, 'weight': 'balanced'}
        """
        values = {knob: getattr(self, knob) for knob in FITTED_KNOBS if knob not in self.space}
        return {knob: value for knob, value in values.items() if value is not None}

    @property
    def knobs(self) -> dict[str, Axis | Threshold]:
        """Every searched or fixed knob: its axis or its value, in the declared order, the threshold last."""
        values: dict[str, Axis | Threshold] = {**self.fixed_knobs, **self.axes}
        values = {name: values[name] for name in in_declared_order(values)}
        return {**values, "threshold": self.space.get("threshold", self.threshold)}


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that says how good predictions are.

    Attributes
    ----------
    name : str
        As it is called in results.
    function : str
        Dotted path. Needs ``label``: ``f(tn, fp, fn, tp)`` on counts (arrays of any shape); ``amount``: ``f(y, called,
        amount)``; else ``f(y, p)``.
    needs : {"label", "probability", "score", "amount"}
        ``label``: called classes; ``score``: any ranking; ``probability``: values that claim to be probabilities;
        ``amount``: the called class and the amount of every row.
    greater_is_better : bool
        False for losses.
    range : tuple of float or None
        Lowest and highest value; None without a bound.
    reference : str
        Paper or documentation of the formula.
    parameters : mapping
        Further keyword arguments of ``function``.
    """

    name: str
    function: str
    needs: str
    greater_is_better: bool = True
    range: tuple[float | None, float | None] = (None, None)
    reference: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sign(self) -> int:
        """1 where a greater value is better, -1 for losses."""
        return 1 if self.greater_is_better else -1


@dataclass(frozen=True, slots=True)
class Protocol:
    """How evidence is gathered.

    Attributes
    ----------
    outer_folds, inner_folds, repeats : int
        Numbers of folds, at least 2, and of repeats of the outer splits, at least 1.
    inner : {"own", "shared"}
        ``shared`` takes the other outer folds as inner folds.
    thresholds : tuple of float or "observed"
        The cuts that ``tuned`` may choose from.
    threshold_measure : str
        What ``tuned`` maximises where the primary is a ranking measure.
    gap : str, float or None
        Least distance between training and test times in time-ordered studies.
    test_size : float or None
        Hold-out: the share of the rows that each repeat tests, in one test part. ``outer_folds`` is not used then.
    """

    outer_folds: int = 5
    inner_folds: int = 3
    repeats: int = 1
    inner: str = "own"
    thresholds: tuple[float, ...] | str = tuple(i / 100 for i in range(1, 100))
    threshold_measure: str = "mcc"
    gap: str | float | None = None
    test_size: float | None = None


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the inner search asks for candidates.

    Attributes
    ----------
    method : str
        A name of :data:`SEARCH_METHODS`.
    n_trials : int or None
        Number of trials; a grid has none.
    tune_learner : bool
        Whether the spaces of the learners are searched too.
    prune : bool
        Whether candidates that can neither win nor tie are dropped before their last fold; no choice changes.
    """

    method: str = "grid"
    n_trials: int | None = None
    tune_learner: bool = False
    prune: bool = False

    @property
    def search_method(self) -> SearchMethod:
        """The row of :data:`SEARCH_METHODS`."""
        return SEARCH_METHODS[self.method]


@dataclass(frozen=True, slots=True)
class Registered:
    """Record of the claims made before the first evaluation; results beyond them are exploratory."""

    primary: str  # the measure that is tuned and judged
    contrasts: tuple[tuple[str, str], ...]  # all contrasts that were claimed
    alpha: float  # family-wise error rate of the declared contrasts
    rope: Mapping[str, float]  # half-width of the region of practical equivalence by measure
    repeats: int  # repeats of the protocol
    #: Those of ``contrasts`` that form the primary family, the others the secondary one. None in records that were made
    #: when all contrasts were one family: their p-values are adjusted over all.
    primary_contrasts: tuple[tuple[str, str], ...] | None = None
    #: by data set the other studies that had evaluations on the same rows; without data sets that none had used
    seen_before: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: kind of each learner that has one, which chooses the standard error of its contrasts
    kinds: Mapping[str, str] = field(default_factory=dict)
    #: version of the table of standard errors (:mod:`imblab.stats.standard_errors`) that decides; 0 in records without
    #: one: the corrected t
    table: int = 0


@dataclass(frozen=True, slots=True)
class Claims:
    """Claims of a study, fixed before the first evaluation.

    A contrast is a pair ``(a, b)`` of strategies, read as a - b.

    Attributes
    ----------
    contrasts : tuple of (str, str) or None
        The older spelling, without ``primary`` and ``secondary``: all contrasts; those that follow the rule of
        :func:`imblab.analysis.claims.primary_contrasts` are primary, the others secondary.
    alpha : float
        Family-wise error rate of each of the two families.
    rope : mapping of str to float
        Half-width of the region of practical equivalence by measure.
    registered : Registered or None
        As the study's folder recorded it before its first evaluation; None without such a record.
    primary : tuple of (str, str) or None
        The contrasts of the headline; None for those of the rule.
    secondary : tuple of (str, str) or None
        All others; None for each strategy against ``none``.
    seen_before : tuple of str
        Names of studies that used the rows of every data set before, in addition to those of the folder.
    """

    contrasts: tuple[tuple[str, str], ...] | None = None
    alpha: float = 0.05
    rope: Mapping[str, float] = field(default_factory=lambda: {"mcc": 0.02, "pr_auc": 0.02})
    registered: Registered | None = None
    primary: tuple[tuple[str, str], ...] | None = None
    secondary: tuple[tuple[str, str], ...] | None = None
    seen_before: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Study:
    """The question: everything that may change a row or a verdict, and nothing else.

    Attributes
    ----------
    name : str
        Of its folder and of its MLflow experiment.
    seed : int
        The one seed: everything random in repeat r gets ``seed + r``.
    datasets : mapping of str to mapping
        How each data set is loaded, by its key.
    learners, strategies, measures : tuple
        In the order of the tables.
    protocol : Protocol
        Folds, repeats and thresholds.
    primary : str
        The measure that is tuned and judged.
    tuning : Tuning
        How the knobs are searched.
    claims : Claims
        What is fixed before the first evaluation.
    """

    name: str
    seed: int
    datasets: Mapping[str, Mapping[str, Any]]
    learners: tuple[Learner, ...]
    strategies: tuple[Strategy, ...]
    measures: tuple[Measure, ...]
    protocol: Protocol = field(default_factory=Protocol)
    primary: str = "mcc"
    tuning: Tuning = field(default_factory=Tuning)
    claims: Claims = field(default_factory=Claims)

    @property
    def primary_measure(self) -> Measure:
        """The measure that is tuned and judged.

        Raises ValueError if it is not among the measures.
        """
        if self.primary in self.measure_names:
            return self.measures[self.measure_names.index(self.primary)]
        raise ValueError(
            f"primary {self.primary!r} is not a measure of study {self.name!r}. Choose one of: "
            f"{', '.join(self.measure_names)}."
        )

    @property
    def learner_names(self) -> tuple[str, ...]:
        """Names of the learners in their order."""
        return tuple(learner.name for learner in self.learners)

    @property
    def strategy_names(self) -> tuple[str, ...]:
        """Names of the strategies in their order."""
        return tuple(strategy.name for strategy in self.strategies)

    @property
    def measure_names(self) -> tuple[str, ...]:
        """Names of the measures in their order."""
        return tuple(measure.name for measure in self.measures)

    @property
    def time_ordered(self) -> frozenset[str]:
        """Keys of the data sets whose folds follow the time."""
        return frozenset(key for key, spec in self.datasets.items() if spec.get("time"))


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One row of the design: a data set, a learner, a strategy, an outer split."""

    dataset: str
    learner: Learner
    strategy: Strategy
    split: Split

    @property
    def key(self) -> str:
        """The address of the cell, used everywhere."""
        return key_of(self.dataset, self.learner.name, self.strategy.name, self.split.repeat, self.split.fold)


def key_of(dataset: str, learner: str, strategy: str, repeat: int, fold: int) -> str:
    """The address of a cell from its coordinates.

    Examples
    --------
    >>> key_of("yeast4", "logistic", "smote", 0, 3)
    'yeast4/logistic/smote/0/3'
    """
    return f"{dataset}/{learner}/{strategy}/{repeat}/{fold}"
