"""Cache of predictions, keyed by the hash of everything that determines them: in memory, then the store, then a fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from imblab.core.fitting import (
    FitRequest,
    FitSharing,
    MissingRounds,
    Prediction,
    StagedRequest,
    fit_predict_many,
)
from imblab.core.preparation import FeatureArrays, PreparedRows
from imblab.errors import FitFailed

PredictionOrFailure = Prediction | FitFailed
#: Bytes of prepared fit rows kept at once; those of one part always are.
MAX_PREPARED_BYTES = 256 * 2**20
#: Surrounds the fit of an address.
FitGuard = Callable[[str, Callable[[], list[Prediction]]], list[Prediction]]


def unguarded(address: str, fit: Callable[[], list[Prediction]]) -> list[Prediction]:
    """Run a fit without a guard."""
    return fit()


class PredictionStore(Protocol):
    """Keeps predictions beyond the life of a process."""

    def get(self, address: str) -> Prediction | None:
        """Return the stored prediction for an address, or None."""

    def get_many(self, addresses: Sequence[str]) -> Mapping[str, Prediction]:
        """Return the stored predictions among many addresses."""

    def put(self, predictions: Iterable[tuple[str, Prediction]]) -> None:
        """Store predictions by their addresses."""

    def flush(self) -> None:
        """Make everything stored visible to other processes."""

    def prune(self) -> int:
        """Delete the oldest predictions until the store fits its size limit. Returns the number deleted."""

    def close(self) -> None:
        """Close the store."""


@dataclass(slots=True)
class FitCounts:
    """Totals of a run.

    Attributes
    ----------
    fitted : int
        Models fitted.
    from_store : int
        Predictions taken from the store.
    """

    fitted: int = 0
    from_store: int = 0

    def __add__(self, other: FitCounts) -> FitCounts:
        """Return the sum of both totals."""
        return FitCounts(self.fitted + other.fitted, self.from_store + other.from_store)


@dataclass(slots=True)
class PredictionCache:
    """Predictions of the fit requests of one table and learner; each request is fitted at most once.

    Attributes
    ----------
    arrays : callable or None
        Makes the arrays of the table; None where nothing will be fitted.
    sharing : FitSharing
        Which requests share a fit.
    largest_k : int
        The largest number of neighbours that a sampler will ask for.
    store : PredictionStore or None
        Asked after the cache; None without one.
    failed : mapping of str to str
        Fits that failed in another process of this run, by address, with the reason: they are not tried again.
    guard : callable
        Surrounds each fit: ``guard(address, fit)``.
    temporary_failures : dict of str to str
        Fits that failed here, by address, with the reason. They are never stored: a failure belongs to its study.
    seconds_ahead : float
        Seconds of fits that were made before the evaluation that asked for them first.
    """

    arrays: Callable[[], FeatureArrays] | None
    sharing: FitSharing
    largest_k: int
    store: PredictionStore | None = None
    failed: Mapping[str, str] = field(default_factory=dict)
    guard: FitGuard = unguarded
    counts: FitCounts = field(default_factory=FitCounts)
    temporary_failures: dict[str, str] = field(default_factory=dict)
    seconds_ahead: float = 0.0
    _predictions: dict[str, PredictionOrFailure] = field(default_factory=dict)
    _looked_up: set[str] = field(default_factory=set)
    _prepared: dict[str, PreparedRows] = field(default_factory=dict)
    #: Seconds of the fits that no evaluation has asked for yet, by address.
    _uncharged: dict[str, float] = field(default_factory=dict)

    def __call__(self, request: FitRequest) -> Prediction:
        """Return the prediction of a request for an evaluation; raises FitFailed for a failed fit."""
        fitted_before = self.counts.fitted
        prediction = self.get(request)
        seconds = self._uncharged.pop(request.address, 0.0)
        if self.counts.fitted == fitted_before:  # a fit made just now is within the evaluation's own time
            self.seconds_ahead += seconds
        if isinstance(prediction, FitFailed):
            raise prediction
        return prediction

    def announce(self, fitted_ahead: Mapping[str, float]) -> None:
        """Name fits that other processes made for these evaluations: their seconds by address."""
        self._uncharged |= fitted_ahead

    def new_predictions(self) -> dict[str, float]:
        """Return the seconds, by address, of the fits that no evaluation has asked for yet."""
        return dict(self._uncharged)

    def get_many(self, addresses: Sequence[str]) -> None:
        """Fetch predictions from the store in one query, before they are asked for one by one."""
        missing = [address for address in addresses if address not in self._predictions]
        stored = self.store.get_many(missing) if self.store and missing else {}
        self._predictions |= stored
        self._looked_up |= set(missing)
        self.counts.from_store += sum(address not in self._uncharged for address in stored)

    def get(self, request: FitRequest) -> PredictionOrFailure:
        """Return the prediction of a request or its failure; fits where neither is known."""
        address = request.address
        if address not in self._predictions and address not in self._looked_up:
            self.get_many([address])
        cached = self._predictions.get(address)
        # A damaged store may hold a prediction of another number of rows.
        if cached is None or (isinstance(cached, Prediction) and len(cached.values) != len(request.rows)):
            self._fit(request)
        return self._predictions[address]

    def _fit(self, request: FitRequest) -> None:
        begin = time.perf_counter()
        fitted, staged = self.sharing.fit_for(request)
        if fitted.address in self.failed:
            self._copy_failure(request, staged, self.failed[fitted.address])
            return
        rounds = self.sharing.expected_rounds(request) if len(staged) > 1 else None

        def fit() -> list[Prediction]:
            return fit_predict_many(fitted, staged, self.prepared(request), rounds)

        try:
            predictions: list[PredictionOrFailure] = [*self.guard(fitted.address, fit)]
        except MissingRounds:
            self.sharing.disable_stages()
            self.counts.fitted += 1
            self._fit(request)
            return
        except FitFailed as error:
            predictions = [FitFailed(str(error))] * len(staged)
            self.temporary_failures[fitted.address] = str(error)
        by_address = {other.address: p for (other, _), p in zip(staged, predictions, strict=True)}
        if self.store and request.is_storable:
            self.store.put((address, p) for address, p in by_address.items() if isinstance(p, Prediction))
        self._predictions |= by_address
        self._uncharged[request.address] = time.perf_counter() - begin
        self.counts.fitted += 1

    def _copy_failure(self, request: FitRequest, staged: Sequence[StagedRequest], reason: str) -> None:
        """Take over a failure from another process; count the fit here if that process could not."""
        self._predictions |= {other.address: FitFailed(reason) for other, _ in staged}
        if not any(other.address in self._uncharged for other, _ in staged):
            self._uncharged[request.address] = 0.0
            self.counts.fitted += 1

    def prepared(self, request: FitRequest) -> PreparedRows:
        """Return the prepared fit rows of a request, made once while they fit into the memory limit."""
        key = request.fit_fingerprint
        assert self.arrays is not None, "nothing can be fitted without the arrays of the table"
        if key not in self._prepared:
            while self._prepared and sum(p.X.nbytes for p in self._prepared.values()) * 2 > MAX_PREPARED_BYTES:
                self._prepared.pop(next(iter(self._prepared)))
            self._prepared[key] = PreparedRows(self.arrays(), request.fit, self.largest_k)
        return self._prepared[key]
