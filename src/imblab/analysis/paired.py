"""Two arms on the same folds: a fold that is missing in either is never filled in."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from imblab.analysis.methods import named
from imblab.stats.paired_tests import Estimate, corrected_t
from imblab.study import Study

#: True, False, or the names of the data sets whose folds follow the time.
Descriptive = bool | Collection[str]
Fold = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Paired:
    """Two arms on the same folds.

    Attributes
    ----------
    differences : ndarray of shape (n_folds,)
        The first minus the second, NaN where a fold is missing in either.
    n_train, n_test : ndarray of shape (n_folds,)
    reason : str or None
        What is missing.
    """

    differences: np.ndarray
    n_train: np.ndarray
    n_test: np.ndarray
    reason: str | None


def paired(rows: pd.DataFrame, a: str, b: str, measure: str, folds: Sequence[Fold]) -> Paired:
    """The differences of two strategies, fold by fold.

    Parameters
    ----------
    rows : DataFrame
        The rows of one data set and learner.
    a, b : str
        Strategies; the differences are a - b.
    measure : str
    folds : sequence of (int, int)
        Every (repeat, fold) there should be. Nothing takes the place of one that is missing.

    Returns
    -------
    Paired
    """
    first, second = arm(rows, a, folds), arm(rows, b, folds)
    gaps = [gap(own, name, measure) for own, name in ((first, a), (second, b))]
    reason = "; ".join(dict.fromkeys(g for g in gaps if g)) or None
    differences = scores(first, measure) - scores(second, measure)
    return Paired(differences, first.n_train.to_numpy(float), first.n_test.to_numpy(float), reason)


def gap(arm: pd.DataFrame, strategy: str, measure: str) -> str | None:
    """What an arm lacks, in words; None if every fold has a score.

    Parameters
    ----------
    arm : DataFrame
        One row a fold, ``status`` NaN where there is none.
    strategy, measure : str
        For the wording.

    Returns
    -------
    str or None
    """
    lacking = arm[np.isnan(scores(arm, measure))]
    if lacking.empty:
        return None
    said = Counter("no row" if pd.isna(s) else "undefined" if s == "ok" else str(s) for s in lacking.status)
    what = ", ".join(f"{n} {word}" for word, n in said.items())
    return f"{strategy!r} has no {named(measure)} in {len(lacking)} of {len(arm)} folds: {what}"


def estimate(family: pd.DataFrame, a: str, b: str, study: Study, alpha: float, descriptive: Descriptive) -> Estimate:
    """The corrected estimate of a - b on the primary measure; the mean alone where folds follow the time.

    Parameters
    ----------
    family : DataFrame
        The rows of one data set and learner.
    a, b : str
        Strategies.
    study : Study
    alpha : float
    descriptive : bool or collection of str

    Returns
    -------
    Estimate
        Without a mean, and with the reason, where a fold is missing in either arm.
    """
    pair = paired(family, a, b, study.primary, folds_of(family, study))
    if pair.reason:
        return Estimate.untested(math.nan, pair.reason)
    if follows_time(descriptive, family):
        return Estimate.untested(float(pair.differences.mean()), "folds follow the time, so there is no test")
    return corrected_t(pair.differences, pair.n_train, pair.n_test, alpha)


def families(frame: pd.DataFrame, study: Study) -> Iterator[pd.DataFrame]:
    """The rows of every data set and learner, in the order of the study."""
    for dataset in ordered(frame.dataset, list(study.datasets)):
        rows = frame[frame.dataset == dataset]
        for learner in ordered(rows.learner, [x.name for x in study.learners]):
            yield rows[rows.learner == learner]


def ordered(found: pd.Series[Any], declared: Sequence[str]) -> list[str]:
    """Names that have rows: those the study declares in its order, then others as they appear."""
    seen = list(dict.fromkeys(found))
    return [n for n in declared if n in seen] + [n for n in seen if n not in declared]


def folds_of(family: pd.DataFrame, study: Study) -> list[Fold]:
    """Every (repeat, fold) the study asks for, and those the rows have beyond."""
    asked = {(r, f) for r in range(study.protocol.repeats) for f in range(study.protocol.outer_folds)}
    return sorted(asked | {(int(r), int(f)) for r, f in zip(family["repeat"], family.fold, strict=True)})


def follows_time(descriptive: Descriptive, family: pd.DataFrame) -> bool:
    """Whether the folds of a family follow the time."""
    return descriptive if isinstance(descriptive, bool) else family.dataset.iloc[0] in descriptive


def arm(rows: pd.DataFrame, strategy: str, folds: Sequence[Fold]) -> pd.DataFrame:
    """The rows of one strategy, one a fold in the order of ``folds``; all NaN where there is none."""
    own = rows[rows.strategy == strategy].reset_index(drop=True)
    at = {fold: i for i, fold in enumerate(zip(own["repeat"], own.fold, strict=True))}
    return own.reindex([at.get(fold, -1) for fold in folds])


def scores(arm: pd.DataFrame, measure: str) -> np.ndarray:
    """The scores of an arm; rows that are not ok have none, whatever they carry."""
    if measure not in arm:
        return np.full(len(arm), math.nan)
    return arm[measure].where(arm.status == "ok").to_numpy(dtype=float)
