"""Contrasts: every declared difference between two strategies, with its tests and its verdict.

The contrasts of one data set and learner on the primary measure form two families, primary and secondary; p-values are
adjusted within each. Strategies are compared on the same folds only: a fold that is missing in either one makes the
contrast inconclusive.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from imblab.analysis.claims import Pair, claimed_families, declared_contrasts, exploratory_reasons, family_names
from imblab.analysis.methods import named
from imblab.analysis.outer_splits import untested_reason
from imblab.analysis.paired import Estimates, corrected_t_reason, estimate_all, not_applicable_reason
from imblab.result import Family, FamilyScores
from imblab.stats.paired_tests import Estimate, benjamini_hochberg, detectable, equivalence_p, holm, posterior
from imblab.stats.standard_errors import CORRECTED_T, ROW_LEVEL
from imblab.study import Study
from imblab.text import capitalise, count_noun, join_words

#: The columns of numbers, in their order.
NUMBERS = (
    *("mean", "low", "high", "equivalence_low", "equivalence_high", "p", "p_holm", "detectable", "rope"),
    *("below", "within", "above", "se", "df", "p_equivalence", "p_equivalence_holm", "q"),
)
#: The columns that hold the result of a test or a posterior: empty before the design is complete.
TESTED = (
    *("equivalence_low", "equivalence_high", "p", "p_holm", "detectable", "below", "within", "above"),
    *("p_equivalence", "p_equivalence_holm", "q"),
)
#: The columns of names and words, and how many contrasts share the family.
_FIRST_COLUMNS, _LAST_COLUMNS = ("dataset", "learner", "a", "b", "measure", "folds"), ("verdict", "reason")
_FAMILY_COLUMNS = ("family", "family_size", "estimator", "estimator_reason")
#: Standard errors in the words of a table, and of a sentence.
ESTIMATOR_LABELS = {CORRECTED_T: "corrected t", ROW_LEVEL: "row-level"}
_ESTIMATOR_NAMES = {CORRECTED_T: "the corrected t (Nadeau and Bengio 2003)", ROW_LEVEL: "row-level standard errors"}
#: Data sets with learners that a sentence on standard errors names.
_MAX_NAMED_PAIRS = 3
#: The verdict before every evaluation of the design is there.
INCOMPLETE = "incomplete"
#: The verdict where one of the strategies cannot be applied to the data set and learner; it is in no family.
NOT_APPLICABLE = "not applicable"


def contrasts(
    scores: Mapping[Family, FamilyScores],
    study: Study,
    estimates: Estimates | None = None,
    incomplete: str | None = None,
) -> pd.DataFrame:
    """Test every declared contrast of every family.

    ``incomplete`` says why nothing has a verdict yet: means and intervals are given then, tests are not.

    The columns are ``dataset learner a b measure folds``; ``mean`` of a - b; ``low`` and ``high`` at 1 - alpha;
    ``equivalence_low`` and ``equivalence_high`` at 1 - 2 alpha, none of them adjusted; ``p``, ``p_holm`` over the
    family, NaN for what is exploratory or has no test; ``detectable``, the smallest difference the design would have
    found (80 % power, alpha divided by the size of the family); ``rope`` (NaN for a measure without one); ``below
    within above``, the posterior probabilities of :func:`.posterior`, which decide nothing; ``se`` and ``df`` of the
    estimate; ``p_equivalence`` of two one-sided tests, and adjusted by Holm over the family ``p_equivalence_holm``;
    ``q``, Benjamini and Hochberg's adjustment of ``p`` over all contrasts of the study, which decides nothing;
    ``verdict``, *better* meaning that a is better than b, whichever way the measure points; ``reason`` where the
    verdict is inconclusive, not applicable, exploratory or ``incomplete``, else None; ``family`` (``primary`` or
    ``secondary``), ``family_size`` without what is not applicable, ``estimator`` of ``se``, ``estimator_reason`` where
    it is not the one of the learner's kind, else None.
    """
    estimates = estimate_all(scores, study) if estimates is None else estimates
    claims = _Claimed.of(study)
    rows = [row for key in scores for row in _test_contrasts(scores[key], estimates[key], study, claims)]
    tested = [row for row in rows if row["verdict"] not in ("exploratory", "descriptive", NOT_APPLICABLE)]
    for row, q in zip(tested, benjamini_hochberg([row["p"] for row in tested]), strict=True):
        row["q"] = float(q)
    if incomplete:
        rows = [{**row, **dict.fromkeys(TESTED, math.nan), "verdict": INCOMPLETE, "reason": incomplete} for row in rows]
    columns = [*_FIRST_COLUMNS, *NUMBERS, *_LAST_COLUMNS, *_FAMILY_COLUMNS]
    # As objects first: pandas would turn the None of a reason into NaN.
    table = pd.DataFrame(rows, columns=columns, dtype=object)
    return table.astype({**dict.fromkeys(NUMBERS, "float64"), "folds": "int64", "family_size": "int64"})


def expected_by_chance(contrasts: pd.DataFrame, alpha: float) -> float:
    """Return how many of some contrasts would be called better or worse if no strategies differed: at most alpha each.

    Examples
    --------
    >>> round(expected_by_chance(pd.DataFrame({"p": [0.2, 0.01, math.nan], "q": [0.2, 0.02, math.nan]}), 0.05), 2)
    0.1
    """
    return alpha * int((contrasts.p.notna() & contrasts.q.notna()).sum())


def describe_verdict(row: Mapping[Any, Any] | pd.Series[Any], alpha: float) -> str:
    """Return the verdict on a contrast; with the region where a difference was shown and lies within it.

    Examples
    --------
    >>> describe_verdict({"verdict": "better", "p_equivalence_holm": 0.01, "rope": 0.02}, 0.05)
    'better by less than ±0.02'
    """
    is_small = row["verdict"] in ("better", "worse") and row["p_equivalence_holm"] <= alpha
    return f"{row['verdict']} by less than ±{row['rope']:g}" if is_small else str(row["verdict"])


def estimator_places(contrasts: pd.DataFrame) -> dict[str, str]:
    """Return where each standard error decides: learners, or data sets with learners; an empty text for everywhere.

    Examples
    --------
    >>> rows = pd.DataFrame({"dataset": "toy", "learner": ["knn", "svm"], "se": 0.1})
    >>> estimator_places(rows.assign(estimator=["row_level", "corrected_t"]))
    {'row_level': 'with knn', 'corrected_t': 'with svm'}
    """
    return {str(estimator): place for (estimator,), place in _places_by(contrasts, "estimator").items()}


def describe_estimators(contrasts: pd.DataFrame) -> list[str]:
    """Return which standard error intervals and tests rest on: one sentence for each that decides somewhere.

    Examples
    --------
    >>> facts = {"dataset": "toy", "learner": "knn", "se": 0.1, "estimator_reason": None}
    >>> describe_estimators(pd.DataFrame([{**facts, "estimator": "row_level"}]))
    ['Intervals and tests rest on row-level standard errors.']
    """
    sentences = []
    for (estimator, reason), place in _places_by(contrasts, "estimator", "estimator_reason").items():
        where = f"{capitalise(place)}, intervals" if place else "Intervals"
        why = f", because {reason}" if reason else ""
        sentences.append(f"{where} and tests rest on {_ESTIMATOR_NAMES[estimator]}{why}.")
    return sentences


def decide(
    estimate: Estimate, p_holm: float, p_equivalence: float, alpha: float, greater_is_better: bool
) -> tuple[str, str | None]:
    """Return the verdict on a contrast a - b, the first rule that holds, and the reason if it is ``inconclusive``.

    Both p-values are adjusted over the family; that of equivalence is NaN without a region.

    Examples
    --------
    >>> from imblab.stats.paired_tests import corrected_t
    >>> decide(corrected_t([0.1, 0.2, 0.15, 0.12, 0.18], 80, 20), 0.01, 1.0, 0.05, greater_is_better=True)
    ('better', None)
    """
    if estimate.reason:
        return "inconclusive", estimate.reason
    if estimate.identical:
        return "identical", None
    if p_holm <= alpha:
        return ("better" if (estimate.mean > 0) == greater_is_better else "worse"), None
    if p_equivalence <= alpha:
        return "equivalent", None
    return "inconclusive", f"Holm-adjusted p {p_holm:.3g} > {alpha:g}"


def _places_by(contrasts: pd.DataFrame, *columns: str) -> dict[tuple[Any, ...], str]:
    """Where each combination of values of some columns holds; see :func:`estimator_places`."""
    rows = contrasts[contrasts.se.notna()]
    families: dict[tuple[Any, ...], dict[tuple[str, str], None]] = {}
    for dataset, learner, *key in rows[["dataset", "learner", *columns]].itertuples(index=False, name=None):
        families.setdefault(tuple(key), {})[dataset, learner] = None
    if len(families) == 1:
        return dict.fromkeys(families, "")
    learners = {key: dict.fromkeys(learner for _, learner in members) for key, members in families.items()}
    is_by_learner = sum(map(len, learners.values())) == len({name for each in learners.values() for name in each})
    n_families = sum(map(len, families.values()))
    if is_by_learner:
        return {key: f"with {join_words(learners[key])}" for key in families}
    pairs = f"{count_noun(n_families, 'pair')} of data set and learner"
    return {
        key: f"on {join_words(f'{dataset} with {learner}' for dataset, learner in members)}"
        if len(members) <= _MAX_NAMED_PAIRS
        else f"in {len(members)} of {pairs}"
        for key, members in families.items()
    }


@dataclass(frozen=True, slots=True)
class _Claimed:
    """The contrasts of a study with their families, found once."""

    declared: tuple[Pair, ...]
    families: tuple[tuple[Pair, ...], ...]
    names: Mapping[Pair, str]
    exploratory: Mapping[Pair, str | None]

    @classmethod
    def of(cls, study: Study) -> _Claimed:
        return cls(declared_contrasts(study), claimed_families(study), family_names(study), exploratory_reasons(study))

    def reasons_of(self, scores: FamilyScores) -> dict[Pair, str]:
        """Why contrasts are not applicable to a data set and learner; without those that are."""
        names = {name for pair in self.names for name in pair}
        absent = {name: reason for name in names if (reason := not_applicable_reason(scores, name))}
        return {
            pair: "; ".join(absent[name] for name in pair if name in absent)
            for pair in self.names
            if absent.keys() & set(pair)
        }


@dataclass(frozen=True, slots=True)
class Adjusted:
    """The adjusted p-values of a contrast, and how many contrasts they are adjusted over."""

    p: float = math.nan
    p_equivalence: float = math.nan
    family_size: int = 1


def _test_contrasts(
    scores: FamilyScores, estimates: Mapping[Pair, Estimate], study: Study, claims: _Claimed
) -> Iterator[dict[str, Any]]:
    """Test the declared contrasts of one data set and learner."""
    absent, rope = claims.reasons_of(scores), study.claims.rope.get(study.primary, math.nan)
    verified = {pair: check_identity(estimates[pair], scores, pair, study) for pair in claims.names}
    p_values = {pair: (e.p, float(equivalence_p(e, rope))) for pair, e in verified.items()}
    adjusted = adjust_families(claims.families, p_values, absent)
    is_untested = untested_reason(study, scores.dataset) is not None
    for pair in claims.declared:
        e, late = verified[pair], claims.exploratory[pair]
        after = Adjusted() if late else adjusted.get(pair, Adjusted())
        row = _describe_test(e, after, study.claims.alpha, rope)
        verdict, reason = decide(
            e, after.p, after.p_equivalence, study.claims.alpha, study.primary_measure.greater_is_better
        )
        if pair in absent:
            verdict, reason = NOT_APPLICABLE, absent[pair]
        elif is_untested and not math.isnan(e.mean):
            verdict, reason = "descriptive", None
        elif late:
            verdict, reason = "exploratory", "; ".join(filter(None, (late, e.reason)))
        place = (scores.dataset, scores.learner, *pair, study.primary, len(scores.folds))
        chosen = e.estimator, corrected_t_reason(scores, e, study)
        yield {
            **dict(zip(_FIRST_COLUMNS, place, strict=True)),
            **row,
            **dict(zip(_LAST_COLUMNS, (verdict, reason), strict=True)),
            **dict(zip(_FAMILY_COLUMNS, (claims.names[pair], after.family_size, *chosen), strict=True)),
        }


def adjust_families(
    families: Iterable[Iterable[Pair]], p_values: Mapping[Pair, tuple[float, float]], absent: Container[Pair]
) -> dict[Pair, Adjusted]:
    """Adjust the p-values of difference and of equivalence within each family; what is not applicable is in none."""
    adjusted = {}
    for family in families:
        members = [pair for pair in family if pair not in absent]
        p, p_equivalence = (holm([p_values[pair][i] for pair in members]) for i in (0, 1))
        for pair, difference, equivalence in zip(members, p, p_equivalence, strict=True):
            adjusted[pair] = Adjusted(float(difference), float(equivalence), len(members))
    return adjusted


def _describe_test(e: Estimate, after: Adjusted, alpha: float, rope: float) -> dict[str, float]:
    """The numbers of one contrast; ``q`` is filled in for all contrasts together."""
    narrow, bayes = e.at(2 * alpha), posterior(e, rope)
    return {
        **{"mean": e.mean, "low": e.low, "high": e.high},
        **{"equivalence_low": narrow.low, "equivalence_high": narrow.high},
        **{"p": e.p, "p_holm": after.p, "detectable": float(detectable(e, alpha / after.family_size)), "rope": rope},
        **{"below": bayes.below, "within": bayes.within, "above": bayes.above},
        **{"se": e.se, "df": e.df if e.df else math.nan},
        "p_equivalence": float(equivalence_p(e, rope)),
        "p_equivalence_holm": after.p_equivalence,
        "q": math.nan,
    }


def check_identity(estimate: Estimate, scores: FamilyScores, pair: Pair, study: Study) -> Estimate:
    """Withhold a test where scores are equal in every fold, but the decisions are not, or no row was called positive.

    Equal values of a measure of decisions may hide unequal decisions, and strategies that call no row positive, or
    give every row the most frequent class, agree without having shown anything.
    """
    if not estimate.identical or study.primary_measure.needs != "label":
        return estimate
    first, second = (scores.evaluations[scores.strategies.index(name)] for name in pair)
    counts = [(a.matrix, b.matrix) for a, b in zip(first, second, strict=True) if a and b]
    measure = named(study.primary)
    if any(not np.array_equal(a, b) for a, b in counts):
        return Estimate.untested(0.0, f"{measure} is equal in every fold, but the confusion counts differ")
    if not any(a[:, 1:].any() for a, _ in counts):
        called = "called positive" if scores.n_classes == 2 else "given another class than the most frequent one"
        return Estimate.untested(0.0, f"{measure} is equal in every fold, since no row is {called}")
    return estimate
