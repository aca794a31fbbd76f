"""The nouns of the answer: one evaluation per cell, the trials behind it, and the result of a study.

Like those of :mod:`imblab.study` they are frozen records without effects. A :class:`StudyResult` is built once, after
the last fit, by :func:`imblab.analysis.results.build_result`; terminal, report, MLflow and Python read the same one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from itertools import product
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd

from imblab.study import PROBABILITY, Scalar, Study, fingerprint, key_of
from imblab.text import count_noun, pluralize

#: Data set and learner: the contrasts of one family are tested together.
Family = tuple[str, str]
#: Data set, learner and strategy.
Place = tuple[str, str, str]
#: The three names of a place.
PLACE_KINDS = ("data set", "learner", "strategy")
#: The threshold of two classes; those of more, by class.
ThresholdValue = float | tuple[float, ...]
#: The counts of two classes by true class, and among these by decided class.
_COUNTS_BY_CLASS = (("tn", "fp"), ("fn", "tp"))
#: Names in one list; the others are counted.
MAX_LISTED_PLACES = 4
#: Characters that a sentence shows of the reason of an evaluation without scores.
MAX_EXAMPLE_CHARACTERS = 160
#: Beginning of the error of an evaluation, if none of its candidates is applicable.
NO_CANDIDATE = "no candidate applies: "


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate of an inner search."""

    params: Mapping[str, Scalar]  # flat knobs: ``ratio``, ``k``, ``weight``, ``learner.<parameter>``
    value: float | None  # the summed-count or averaged value of the primary measure; None where there is none
    threshold: ThresholdValue | None  # the threshold at which ``value`` holds; with more than two classes one per class
    #: {"ok", "inapplicable", "failed", "repeated", "pruned"}: ``repeated`` takes its value from an equal candidate;
    #: ``pruned`` could no longer win
    status: str = "ok"
    reason: str | None = None  # why the candidate has no value; None if it has one
    #: The best threshold of each inner fold by itself: their spread shows whether a common threshold is fair. Empty
    #: with more than two classes, where the thresholds of one fold are a local optimum on very few rows.
    fold_thresholds: tuple[float, ...] = ()
    at_edge: bool = False  # whether the threshold is the first or last one that was allowed

    @property
    def single_threshold(self) -> float | None:
        """The threshold of two classes; None with more."""
        return _single(self.threshold)


def search_address(trials: Iterable[Trial]) -> str:
    """The address of an inner search: the fingerprint of its trials, which evaluations with the same ones share."""
    return fingerprint([plain_fields(trial) for trial in trials])


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One row of the result: what one cell of the design scored.

    Attributes
    ----------
    dataset, learner, strategy : str
        Names in the study.
    repeat, fold : int
        Count from 0.
    params : mapping
        The chosen or fixed knobs, flat: ``ratio``, ``k``, ``weight`` (absent where the strategy has none) and
        ``learner.<parameter>``.
    threshold : float, tuple of float or None
        The threshold that was used; with more than two classes one per class, None if costs decide.
    scale : {"probability", "decision_value"}
        What the threshold is compared with: the predicted probability (``1 / (1 + exp(-d))`` of a learner without
        probabilities), or the decision value d itself.
    scores : mapping of str to float or None
        One value per measure, the one over all classes; None where it is undefined.
    counts : mapping
        ``tn``, ``fp``, ``fn``, ``tp`` of the test rows; empty with more than two classes.
    status : {"ok", "inapplicable", "failed"}
        Only ``ok`` evaluations have scores.
    error : str or None
        The reason for a status other than ``ok``; None otherwise.
    fingerprint : str
        Address of everything that may change the evaluation.
    data_fingerprint, split_fingerprint : str
        Of the table and of the outer split.
    flagged : float or None
        Share of the test rows that were predicted positive; None with more than two classes.
    value : float or None
        The inner value of the winner; None where nothing was searched.
    n_train, n_test : int
        Numbers of rows of the outer split.
    reached : mapping
        Rows that the learner received in the refit: ``negative`` and ``positive``, with more than two classes
        ``classes``, a tuple of the counts by class index; and ``sampler``, its class, where there is one.
    fits : int
        Fits that the evaluation rests on, whether made for it or shared with others.
    seconds : float
        Wall time.
    notes : tuple of str
        Remarks for the reader: a threshold at the edge of its grid, a column without values, ...
    trials : tuple of Trial
        The inner search; in a study's folder they stand in ``searches.jsonl``, under :func:`search_address`.
    code : mapping of str to str
        What identifies the code of the user's own classes and functions, by dotted path; see
        :mod:`imblab.core.own_code`. Empty where versions say everything.
    class_scores : mapping of str to tuple of float or None
        With more than two classes the values of a measure by class, each class against the rest; None where one is
        undefined.
    confusion : tuple of tuple of int
        With more than two classes the test rows by true class, and in each row by decided class.
    """

    dataset: str
    learner: str
    strategy: str
    repeat: int
    fold: int
    params: Mapping[str, Scalar]
    threshold: ThresholdValue | None
    scores: Mapping[str, float | None]
    counts: Mapping[str, int]
    seconds: float
    status: str
    error: str | None
    fingerprint: str
    data_fingerprint: str = ""
    split_fingerprint: str = ""
    flagged: float | None = None
    value: float | None = None
    n_train: int = 0
    n_test: int = 0
    reached: Mapping[str, Any] = field(default_factory=dict)
    fits: int = 0
    notes: tuple[str, ...] = ()
    trials: tuple[Trial, ...] = ()
    scale: str = PROBABILITY
    code: Mapping[str, str] = field(default_factory=dict)
    class_scores: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    confusion: tuple[tuple[int, ...], ...] = ()

    @property
    def key(self) -> str:
        """Address of the cell that was evaluated."""
        return key_of(self.dataset, self.learner, self.strategy, self.repeat, self.fold)

    @property
    def single_threshold(self) -> float | None:
        """The threshold of two classes; None with more."""
        return _single(self.threshold)

    @property
    def matrix(self) -> np.ndarray:
        """The test rows by true and by decided class, of shape (n_classes, n_classes); 2 x 0 where nothing was scored.

        Examples
        --------
        >>> counts = {"tn": 90, "fp": 2, "fn": 3, "tp": 5}
        >>> Evaluation("d", "l", "s", 0, 0, {}, 0.5, {}, counts, 0.1, "ok", None, "f").matrix.tolist()
        [[90, 2], [3, 5]]
        """
        if self.confusion:
            return np.array(self.confusion)
        return np.array([[self.counts[name] for name in names if name in self.counts] for names in _COUNTS_BY_CLASS])

    def to_json(self) -> str:
        """One line of JSON; :meth:`from_json` gives the equal record back.

        ``scale`` is left out where it is ``probability``, and ``code``, ``class_scores`` and ``confusion`` where they
        are empty, so that such lines read as they did before there was another.
        """
        line = plain_fields(self)
        if self.scale == PROBABILITY:
            del line["scale"]
        for name in ("code", "class_scores", "confusion"):
            if not line[name]:
                del line[name]
        return json.dumps(line, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Evaluation:
        """Return the record behind a line that :meth:`to_json` wrote.

        Parameters
        ----------
        line : str
            Of a ledger; lines of older versions are read too.

        Returns
        -------
        Evaluation
            Equal to the one that was written.
        """
        raw = json.loads(line)
        trials = tuple(Trial(**_with_tuples(trial)) for trial in raw.pop("trials", ()))
        for name in {"reached", "class_scores"} & raw.keys():
            raw[name] = _with_tuples(raw[name])
        return cls(**{**_with_tuples(raw), "trials": trials})

    @property
    def n_received(self) -> int:
        """Rows that the learner received in the refit; 0 where they were not recorded."""
        counts = self.reached.get("classes") or [self.reached.get(name, 0) for name in ("negative", "positive")]
        return int(sum(counts))


@dataclass(frozen=True, slots=True)
class Completeness:
    """How many evaluations the design of a study has, how many are there, and which are missing.

    Examples
    --------
    >>> from imblab.analysis.results import completeness_of
    >>> from imblab.study import Learner, Protocol, Strategy
    >>> study = Study("s", 0, {}, (Learner("knn", {}),), (Strategy("none"),), (), Protocol(outer_folds=3))
    >>> completeness = completeness_of(study, ["ecoli3"], [])
    >>> completeness.is_complete, completeness.evaluated, completeness.asked
    (False, 0, 3)
    """

    asked: int  # evaluations of the design: data sets x learners x strategies x repeats x outer folds
    #: how many evaluations of the design have no row, in the order of the design; those with all of them are left out
    missing: Mapping[Place, int]
    #: evaluations of the design that have a row without scores: they count as evaluated
    failed: int
    inapplicable: int
    beyond: Mapping[Place, int]  # evaluations that the design does not ask for; they are left out
    #: the data sets, learners and strategies of the design
    names: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
    folds: Mapping[str, int]  # evaluations of one learner and strategy, by data set
    #: the first place in the order of the design with an evaluation without scores, and its reason
    first_without_scores: tuple[Place, str] | None = None

    @property
    def evaluated(self) -> int:
        """Evaluations of the design that have a row."""
        return self.asked - sum(self.missing.values())

    @property
    def is_complete(self) -> bool:
        """Whether every evaluation of the design has a row."""
        return not self.missing

    @property
    def counted(self) -> str:
        """``N of M evaluations``."""
        return f"{self.evaluated:,} of {self.asked:,} evaluations"

    @property
    def reason(self) -> str | None:
        """Return the reason to withhold verdicts; None for a complete design."""
        return None if self.is_complete else f"{self.counted} are there"

    def sentences(self) -> tuple[str, ...]:
        """Say how much of the design is there, what is missing, and what lies beyond it; empty where all is there."""
        sentences: list[str] = []
        if not self.is_complete:
            sentences.append(f"Incomplete: {self.counted} are there. No verdict before the design is complete.")
            n_missing = count_noun(sum(self.missing.values()), "evaluation")
            sentences.append(f"Missing: {n_missing}: {self._summarise_missing()}.")
            sentences += self.without_scores()
        if self.beyond:
            rows = count_noun(sum(self.beyond.values()), "row is", "rows are")
            places = _list_names(["/".join(place) for place in self.beyond])
            sentences.append(f"{rows} beyond the design of study.yaml and left out: {places}.")
        return tuple(sentences)

    def without_scores(self) -> tuple[str, ...]:
        """Say how many evaluations have no scores; empty where all have."""
        counts = [(self.failed, "failed", "failed"), (self.inapplicable, "is not applicable", "are not applicable")]
        parts = " and ".join(count_noun(n, singular, plural) for n, singular, plural in counts if n)
        return (f"Evaluations without scores, which count as evaluated: {parts}.",) if parts else ()

    def first_reason(self) -> tuple[str, ...]:
        """Say why the first evaluation without scores has none; empty where all have."""
        if self.first_without_scores is None:
            return ()
        place, text = self.first_without_scores
        reason = shorten(text, MAX_EXAMPLE_CHARACTERS, placeholder=" ...")
        return (f"No scores, for example, in {'/'.join(place)}: {reason.rstrip('.')}.",)

    def _summarise_missing(self) -> str:
        """Missing data sets, learners and strategies first, then single ones; long lists end with a count."""
        remaining, parts = dict(self.missing), []
        for axis, (kind, names) in enumerate(zip(PLACE_KINDS, self.names, strict=True)):
            missing = [name for name in names if self._is_missing_everywhere(remaining, axis, name)]
            if not missing:
                continue
            remaining = {place: n for place, n in remaining.items() if place[axis] not in missing}
            kinds = f"{len(missing)} of {len(names)} {pluralize(kind)} ({_list_names(missing)})"
            parts.append(f"all of {kind} {missing[0]}" if len(missing) == 1 else f"all of {kinds}")
        if remaining:
            places = [f"{'/'.join(place)} ({n:,} of {self.folds[place[0]]:,})" for place, n in remaining.items()]
            parts.append(_list_names(places))
        return "; ".join(parts)

    def _is_missing_everywhere(self, remaining: Mapping[Place, int], axis: int, name: str) -> bool:
        places = [place for place in product(*self.names) if place[axis] == name]
        return any(place in remaining for place in places) and all(
            self.missing.get(place, 0) == self.folds[place[0]] for place in places
        )

    def to_mapping(self) -> dict[str, Any]:
        """The same as plain data, for machines."""
        return {
            "complete": self.is_complete,
            "asked": self.asked,
            "evaluated": self.evaluated,
            "failed": self.failed,
            "inapplicable": self.inapplicable,
            "missing": [_entry(place, n) for place, n in self.missing.items()],
            "beyond": [_entry(place, n) for place, n in self.beyond.items()],
        }


@dataclass(frozen=True, slots=True, eq=False)
class FamilyScores:
    """Scores of one data set and learner as arrays, strategies x folds."""

    #: names in the study
    dataset: str
    learner: str
    strategies: tuple[str, ...]  # the first axis: strategies with an evaluation, in the order of the study
    #: the second axis: ``(repeat, fold)`` in ascending order; every fold of the design
    folds: tuple[tuple[int, int], ...]
    #: (n_strategies, n_folds): by measure; NaN where the evaluation is missing, failed or inapplicable, or the score is
    #: undefined
    values: Mapping[str, np.ndarray]
    #: strategies x folds as well; None where the evaluation is missing
    evaluations: tuple[tuple[Evaluation | None, ...], ...]
    #: (n_strategies, n_folds): numbers of rows; NaN where the evaluation is missing
    n_train: np.ndarray
    n_test: np.ndarray

    def evaluations_of(self, strategy: str) -> list[Evaluation]:
        """Return the evaluations of a strategy in the order of the folds, without those that are missing."""
        row = self.evaluations[self.strategies.index(strategy)] if strategy in self.strategies else ()
        return [each for each in row if each is not None]

    @property
    def n_classes(self) -> int:
        """Number of classes of the data set; 2 where no evaluation has scores."""
        return next((len(e.matrix) for row in self.evaluations for e in row if e is not None and e.status == "ok"), 2)


@dataclass(frozen=True, slots=True)
class KnobChoice:
    """The value of a knob that most outer folds chose; ``imblab export`` chooses it once more, on all rows."""

    name: str  # as among the params of an evaluation, or ``threshold``
    #: The most frequent value; of equally frequent ones the middle one, the lower of two. The thresholds of more than
    #: two classes are medians over folds.
    value: Scalar | tuple[float, ...]
    #: how many folds chose it, of how many that have the knob
    folds: int
    of: int
    #: the range over folds; None for texts
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class RecommendedStrategy:
    """A learner and a strategy to use, on one data set or over all of them; a decision, not a verdict."""

    dataset: str | None  # None over all data sets
    #: None without a recommendation
    learner: str | None
    strategy: str | None
    reason: str | None = None  # why there is none; None where there is one
    label: str = ""  # the strategy in a few words
    #: mean of the primary measure of the recommended pair, and of the one with the best mean
    mean: float | None = None
    best: tuple[str, str] | None = None  # learner and strategy with the best mean of the candidates
    best_mean: float | None = None
    margin: float | None = None  # how far the mean may lie from the best one
    #: what the margin is: one standard error of the paired difference (the one that decides contrasts, or by name ``one
    #: standard error of the corrected t`` between learners on a data set), or ``the region of practical equivalence``
    #: in its place
    margin_source: str = ""
    #: the pairs within their margins, in declared order; simplicity decides among them
    kept: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()  # strategies that lack a score in some fold, and are not candidates
    #: strategies with a better mean than all candidates that a verdict calls worse than another one
    passed_over: tuple[str, ...] = ()
    #: means of the primary measure, MCC, PR-AUC, recall and precision, as far as the study has them
    scores: Mapping[str, float] = field(default_factory=dict)
    #: in how many folds, and of how many, a mean among them has a value, where that is not all
    incomplete: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    knobs: tuple[KnobChoice, ...] = ()  # what the folds chose; empty over several data sets
    units: int = 0  # folds, or parent data sets, that the means are over


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to use, everywhere; see :func:`imblab.analysis.recommendation.recommend`."""

    families: Mapping[Family, RecommendedStrategy]  # in the order of the study
    datasets: Mapping[str, RecommendedStrategy]  # the choice over learners
    learners: Mapping[str, RecommendedStrategy]  # the choice over data sets, learner by learner
    overall: RecommendedStrategy  # the choice over data sets and learners
    #: how much of the design is evaluated, while evaluations are missing; None for a complete design
    provisional: str | None = None
    #: the labels of data sets with more than two classes, in class order
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def has_two_classes(self) -> bool:
        """Whether a data set has two classes, so that a threshold is one number."""
        return not self.datasets.keys() <= self.classes.keys()

    def to_mapping(self) -> dict[str, Any]:
        """The same as plain data, for machines."""
        return {
            "overall": plain_fields(self.overall),
            "provisional": self.provisional,
            "datasets": [plain_fields(each) for each in self.datasets.values()],
            "learners": [plain_fields(each) for each in self.learners.values()],
            "families": [plain_fields(each) for each in self.families.values()],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The answer of a study in words, made once for terminal, report, MLflow and Python."""

    headline: str  # one sentence on the primary contrast over all data sets
    recommendation: tuple[str, ...]  # what to use, with its scores; first the sentence that may stand alone
    findings: tuple[str, ...]  # at most three further results
    limits: tuple[str, ...]  # what the data cannot tell, and what would
    #: The primary contrasts, rows of ``StudyResult.contrasts``: by mean difference from the lowest to the highest,
    #: those without one last. May be empty.
    primary: pd.DataFrame
    sides: tuple[str, str]  # what a negative and what a positive difference favours, for the ends of an axis
    missing: tuple[str, ...]  # evaluations that are missing, failed or not applicable, and what the record lacks
    checks: tuple[str, ...]  # what was checked, and what calls for caution

    def to_mapping(self) -> dict[str, Any]:
        """The sentences as plain data, for machines; the primary contrasts by their names."""
        names = ("headline", "recommendation", "findings", "limits", "sides", "missing", "checks")
        primary = [dict(row) for row in self.primary[["dataset", "learner", "a", "b"]].to_dict("records")]
        return {**{name: _plain_data(getattr(self, name)) for name in names}, "primary": primary}


@dataclass(frozen=True, slots=True, eq=False)
class StudyResult:
    """The result of a study, built once and handed to terminal, report, MLflow and Python."""

    study: Study  # the question, with what was claimed before the first evaluation
    evaluations: tuple[Evaluation, ...]  # those that the design asks for, in the order of the study
    completeness: Completeness
    scores: Mapping[Family, FamilyScores]  # in the order of the study
    #: one row per contrast of every family, with its test and verdict; see :func:`imblab.analysis.compare.contrasts`
    contrasts: pd.DataFrame
    #: one row per data set, learner and strategy; see :func:`imblab.analysis.summary.summarise`
    summary: pd.DataFrame
    recommendation: Recommendation
    answer: Answer
    #: one per learner, over parent data sets; see :mod:`imblab.analysis.across_datasets`. Empty for fewer than two
    #: parent data sets, and before the design is complete.
    across: tuple[Any, ...] = ()
    sentences: tuple[str, ...] = ()  # the verdicts in words; before the design is complete, what is missing
    #: With more than two classes the standard errors of contrasts over test rows, as far as they are known: shown next
    #: to those of the corrected t, which decide.
    row_errors: Mapping[Family, Mapping[tuple[str, str], float]] = field(default_factory=dict)

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """The labels of data sets with more than two classes, in class order."""
        return self.recommendation.classes

    @property
    def families(self) -> tuple[Family, ...]:
        """Data sets and learners with an evaluation, in the order of the study."""
        return tuple(self.scores)


def plain_fields(record: Any, without_defaults: bool = False) -> dict[str, Any]:
    """The fields of a record as plain data for JSON; without those that hold their default, where that is asked."""
    plain = {}
    for each in fields(record):
        value = getattr(record, each.name)
        default = each.default_factory() if each.default_factory is not MISSING else each.default
        if not without_defaults or value != default:
            plain[each.name] = _plain_data(value)
    return plain


def _single(threshold: ThresholdValue | None) -> float | None:
    return None if isinstance(threshold, tuple) else threshold


def _with_tuples(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Values read from JSON as a record holds them: a tuple for each list, at any depth of lists."""

    def to_tuple(value: Any) -> Any:
        return tuple(map(to_tuple, value)) if isinstance(value, list) else value

    return {key: to_tuple(value) for key, value in raw.items()}


def _plain_data(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return plain_fields(value)
    if isinstance(value, Mapping):
        return {k: _plain_data(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain_data(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


def _entry(place: Place, n: int) -> dict[str, Any]:
    return {"dataset": place[0], "learner": place[1], "strategy": place[2], "evaluations": n}


def _list_names(names: Sequence[str]) -> str:
    if len(names) <= MAX_LISTED_PLACES + 1:
        return ", ".join(names)
    return f"{', '.join(names[:MAX_LISTED_PLACES])} and {len(names) - MAX_LISTED_PLACES} more"
