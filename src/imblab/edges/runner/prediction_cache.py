"""Answers by address: from this process, from the store, or by a fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from imblab.core.fitting import (
    FitFailed,
    FitRequest,
    FitSharing,
    MissingRounds,
    Prediction,
    StagedRequest,
    fit_predict_many,
)
from imblab.core.preparation import FeatureArrays, PreparedRows, row_digest

PredictionOrFailure = Prediction | FitFailed
#: Bytes of prepared parts kept at once; one part always is.
MAX_PREPARED_BYTES = 256 * 2**20
#: Surrounds the fit of an address.
FitGuard = Callable[[str, Callable[[], list[Prediction]]], list[Prediction]]


def unguarded(address: str, fit: Callable[[], list[Prediction]]) -> list[Prediction]:
    """No guard."""
    return fit()


class PredictionStore(Protocol):
    """Where answers outlive a process."""

    def get(self, address: str) -> Prediction | None:
        """What is known of an address."""

    def recall(self, addresses: Sequence[str]) -> Mapping[str, Prediction]:
        """What is known of many addresses."""

    def put(self, answers: Iterable[tuple[str, Prediction]]) -> None:
        """Keep some answers."""

    def flush(self) -> None:
        """Let other processes see what was kept."""

    def prune(self) -> int:
        """Keep within the bound; how many answers went."""

    def close(self) -> None:
        """Release what is open."""


@dataclass(slots=True)
class FitCounts:
    """What was fitted and what was not.

    Attributes
    ----------
    fits : int
        Fits made.
    stored : int
        Answers that the store knew.
    """

    fits: int = 0
    stored: int = 0

    def __add__(self, other: FitCounts) -> FitCounts:
        """The sum of two tallies."""
        return FitCounts(self.fits + other.fits, self.stored + other.stored)


@dataclass(slots=True)
class PredictionCache:
    """Answers atoms of one table and learner, each fitted at most once.

    Attributes
    ----------
    table : callable or None
        Gives the arrays of the table.
    sharing : FitSharing
    reach : int
        The largest k a sampler will be asked for.
    store : PredictionStore or None
    dead : mapping of str to str
        Fits that failed in another process of this run, or with it, by address, with the reason: not tried again.
    guard : callable
        Surrounds a fit: ``guard(address, fit)``.
    """

    table: Callable[[], FeatureArrays] | None
    sharing: FitSharing
    reach: int
    store: PredictionStore | None = None
    dead: Mapping[str, str] = field(default_factory=dict)
    guard: FitGuard = unguarded
    tally: FitCounts = field(default_factory=FitCounts)
    #: Fits that failed here, by address, with the reason. Never stored: a failure is a row of its study.
    failures: dict[str, str] = field(default_factory=dict)
    spared: int = 0
    #: Of fits that were made ahead of the rows they are charged to.
    seconds: float = 0.0
    _answers: dict[str, PredictionOrFailure] = field(default_factory=dict)
    #: What the store was asked for already.
    _asked: set[str] = field(default_factory=set)
    _parts: dict[str, PreparedRows] = field(default_factory=dict)
    #: Fits that no row has been charged with yet, and their seconds.
    _new: dict[str, float] = field(default_factory=dict)

    def __call__(self, atom: FitRequest) -> Prediction:
        """The prediction of an atom.

        Raises
        ------
        FitFailed
        """
        before = self.tally.fits
        found = self.look_up(atom)
        if atom.address in self._new:
            seconds = self._new.pop(atom.address)
            # A fit made just now is in the row's own time already.
            self.seconds += seconds if self.tally.fits == before else 0.0
        else:
            self.spared += 1
        if isinstance(found, FitFailed):
            raise found
        return found

    def expect(self, ahead: Mapping[str, float]) -> None:
        """Answers that the store will hold, because they were fitted for these rows: address and seconds."""
        self._new |= ahead

    def fresh(self) -> dict[str, float]:
        """The fits that no row has been charged with yet: address and seconds."""
        return dict(self._new)

    def recall(self, addresses: Sequence[str]) -> None:
        """Ask the store about many addresses at once, before they are looked up."""
        new = [a for a in addresses if a not in self._answers]
        known = self.store.recall(new) if self.store and new else {}
        self._answers |= known
        self._asked |= set(new)
        self.tally.stored += sum(address not in self._new for address in known)

    def look_up(self, atom: FitRequest) -> PredictionOrFailure:
        """The answer of an atom, a failure included, without charging anyone."""
        address = atom.address
        if address not in self._answers and address not in self._asked:
            self.recall([address])
        found = self._answers.get(address)
        # A damaged store may hold an answer to another number of rows.
        if found is None or (isinstance(found, Prediction) and len(found.values) != len(atom.rows)):
            self._fit(atom)
        return self._answers[address]

    def _fit(self, atom: FitRequest) -> None:
        begin = time.perf_counter()
        fitted, asked = self.sharing.family(atom)
        if fitted.address in self.dead:
            self._give_up(atom, asked, self.dead[fitted.address])
            return
        made = self.sharing.made(atom) if len(asked) > 1 else None
        try:
            answers: list[PredictionOrFailure] = [
                *self.guard(fitted.address, lambda: fit_predict_many(fitted, asked, self.part(atom.fit), made))
            ]
        except MissingRounds:
            self.sharing.alone()
            self.tally.fits += 1
            self._fit(atom)
            return
        except FitFailed as error:
            answers = [FitFailed(str(error))] * len(asked)
            self.failures[fitted.address] = str(error)
        pairs = [(other.address, answer) for (other, _), answer in zip(asked, answers, strict=True)]
        if self.store and atom.is_storable:
            self.store.put((address, answer) for address, answer in pairs if isinstance(answer, Prediction))
        self._answers |= dict(pairs)
        self._new[atom.address] = time.perf_counter() - begin
        self.tally.fits += 1

    def _give_up(self, atom: FitRequest, asked: Sequence[StagedRequest], reason: str) -> None:
        """Take over that a fit failed elsewhere; it is counted here where its process could not count it."""
        self._answers |= {other.address: FitFailed(reason) for other, _ in asked}
        if not any(other.address in self._new for other, _ in asked):
            self._new[atom.address] = 0.0
            self.tally.fits += 1

    def part(self, fit: np.ndarray) -> PreparedRows:
        """The prepared rows of a fit."""
        key = row_digest(fit)
        assert self.table is not None, "a ground without a table answers nothing"
        if key not in self._parts:
            while self._parts and sum(p.X.nbytes for p in self._parts.values()) * 2 > MAX_PREPARED_BYTES:
                self._parts.pop(next(iter(self._parts)))
            self._parts[key] = PreparedRows(self.table(), fit, self.reach)
        return self._parts[key]
