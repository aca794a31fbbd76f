"""Which questions one fit answers beside its own.

With ``protocol.inner: shared`` the model without the outer folds i and j serves both as outer fold. A booster that has
made 100 rounds knows what it would have said after 50: the file of a learner that can be asked declares how, for which
kinds of boosting that is true, and how to see that every round was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from imblab.core.pipelines import Atom, digest
from imblab.core.splits import Pair
from imblab.study import Choice, Learner, Tuning

#: An atom and the keyword arguments with which ``predict_proba`` answers it.
Asked = tuple[Atom, Mapping[str, Any]]
#: What the argument is given, by the declared form.
_FORMS: dict[str, Callable[[int], Any]] = {"count": int, "range": lambda n: (0, n)}


class Sharing:
    """The fits of some bundles of one data set and learner.

    Parameters
    ----------
    learner : Learner
    tuning : Tuning
    pairs : iterable of (ndarray, ndarray)
        Every inner (fit, validate) pair that will be asked about.
    """

    def __init__(self, learner: Learner, tuning: Tuning, pairs: Iterable[Pair]) -> None:
        self._rows: dict[str, list[np.ndarray]] = {}
        for fit, validate in sorted(pairs, key=lambda pair: digest(pair[1])):
            self._rows.setdefault(digest(fit), []).append(validate)
        self._staged = learner.staged
        self._rounds = rounds(learner, tuning)
        self._known: dict[str, tuple[Atom, list[Asked]]] = {}

    def family(self, atom: Atom) -> tuple[Atom, list[Asked]]:
        """The atom to fit for an answer, and every atom that this fit answers, the given one first.

        Parameters
        ----------
        atom : Atom

        Returns
        -------
        fitted : Atom
        asked : list of (Atom, mapping)
        """
        if atom.address not in self._known:
            self._known[atom.address] = self._family(atom)
        return self._known[atom.address]

    def _family(self, atom: Atom) -> tuple[Atom, list[Asked]]:
        key = digest(atom.fit)
        if key not in self._rows or (len(self._rows[key]) == 1 and not self._rounds):
            return atom, [(atom, {})]
        mine = digest(atom.rows)
        others = [atom, *(replace(atom, rows=rows) for rows in self._rows[key] if digest(rows) != mine)]
        # One name for the fit, whichever of its questions is asked first.
        fitted = replace(atom, rows=self._rows[key][0])
        if not self._is_staged(atom):
            return fitted, [(other, {}) for other in others]
        return self._at(fitted, max(self._rounds)), [
            (self._at(other, n), self._stage(n)) for other in others for n in self._in_order(atom)
        ]

    def made(self, atom: Atom) -> tuple[str, int] | None:
        """Where a fitted learner says how many rounds it made, and how many it must be; None for no matter."""
        if not self._is_staged(atom) or "made" not in self._staged:
            return None
        return self._staged["made"], max(self._rounds)

    def alone(self) -> None:
        """Let every number of rounds be fitted by itself from now on."""
        self._rounds = ()
        self._known.clear()

    def _is_staged(self, atom: Atom) -> bool:
        """Whether later rounds leave earlier ones as they are, for the kind of boosting that is asked for."""
        kinds = self._staged.get("only", {}) if self._rounds else {}
        return bool(self._rounds) and all(atom.learner.get(name) in allowed for name, allowed in kinds.items())

    def _in_order(self, atom: Atom) -> Sequence[int]:
        own = atom.learner[self._staged["parameter"]]
        return [own, *(n for n in self._rounds if n != own)]

    def _at(self, atom: Atom, n: int) -> Atom:
        return replace(atom, learner={**atom.learner, self._staged["parameter"]: n})

    def _stage(self, n: int) -> dict[str, Any]:
        return {self._staged["argument"]: _FORMS[self._staged["form"]](n)}


def rounds(learner: Learner, tuning: Tuning) -> tuple[int, ...]:
    """The numbers of rounds of which the largest answers for all; empty where each needs a fit.

    Only a grid asks for several numbers with everything else equal.

    Examples
    --------
    >>> staged = {"parameter": "n_estimators", "argument": "num_iteration", "form": "count"}
    >>> booster = Learner("b", {}, {"n_estimators": Choice((50, 100))}, staged)
    >>> rounds(booster, Tuning("grid", tune_learner=True)), rounds(booster, Tuning("tpe", 5, tune_learner=True))
    ((50, 100), ())
    """
    if not learner.staged or not tuning.tune_learner or tuning.method != "grid":
        return ()
    axis = learner.space.get(learner.staged["parameter"])
    return tuple(int(n) for n in axis.values) if isinstance(axis, Choice) else ()
