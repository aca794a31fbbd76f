"""The inner fits of one bundle over the processes of joblib, so that scikit-learn's settings of parallelism hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import joblib
from joblib.parallel import get_active_backend

from imblab.core import design
from imblab.core.fitting import Prediction
from imblab.core.splits import InnerFolds
from imblab.edges.runner.bundle_evaluator import Bundle, BundleEvaluator, DatasetContext, can_fit_ahead, single_threaded
from imblab.study import Dataset


@dataclass(frozen=True, slots=True)
class MemoryPredictions:
    """Predictions by address, in this process only."""

    stored: dict[str, Prediction] = field(default_factory=dict)

    @property
    def is_lasting(self) -> bool:
        """Nothing is kept beyond the process."""
        return False

    def get_many(self, addresses: Sequence[str]) -> Mapping[str, Prediction]:
        """Return the predictions among many addresses."""
        return {address: self.stored[address] for address in addresses if address in self.stored}

    def put(self, predictions: Iterable[tuple[str, Prediction]]) -> None:
        """Keep predictions."""
        self.stored.update(predictions)


def evaluator_of(bundle: Bundle, dataset: Dataset, folds: InnerFolds, n_jobs: int | None) -> BundleEvaluator:
    """Return an evaluator of one outer split with given inner folds, whose inner fits are made.

    Parameters
    ----------
    bundle : Bundle
        Cells of one outer split.
    dataset : Dataset
        Its table.
    folds : InnerFolds
        Used in place of those that the protocol would make.
    n_jobs : int or None
        Processes, as in scikit-learn: None is one unless a ``joblib.parallel_config`` says otherwise, -1 all cores.
        No result depends on it. Inside a worker of joblib, and in its threads, it is one.
    """
    processes = _process_count(bundle, n_jobs)
    kept, failed = MemoryPredictions(), dict[str, str]()
    if processes > 1 and can_fit_ahead(bundle.study):
        jobs = (joblib.delayed(_fit_part)(bundle, dataset, folds, i, processes) for i in range(processes))
        for predictions, failures in joblib.Parallel(n_jobs=processes)(jobs):
            kept.put(predictions.items())
            failed |= failures
    evaluator = _make_evaluator(bundle, dataset, folds, kept, failed)
    evaluator.fit_inner_folds()
    return evaluator


def _process_count(bundle: Bundle, n_jobs: int | None) -> int:
    backend = get_active_backend()[0]
    # Fits of one process follow each other: they share caches, and record warnings.
    if getattr(backend, "nesting_level", 0) or getattr(backend, "supports_sharedmem", False):
        return 1
    if any(path.startswith("__main__.") for path in design.named_code_paths(bundle.study)):
        return 1  # a class of a notebook cell, which other processes cannot import
    return int(joblib.effective_n_jobs(n_jobs))


def _fit_part(
    bundle: Bundle, dataset: Dataset, folds: InnerFolds, part: int, parts: int
) -> tuple[dict[str, Prediction], dict[str, str]]:
    """Make one part of the inner fits; return predictions and failures by address."""
    with single_threaded(bundle.cells[0].learner):
        evaluator = _make_evaluator(bundle, dataset, folds, MemoryPredictions(), {})
        evaluator.fit_inner_folds(part, parts)
        return evaluator.cache.fetched(), evaluator.cache.temporary_failures


def _make_evaluator(
    bundle: Bundle, dataset: Dataset, folds: InnerFolds, kept: MemoryPredictions, failed: Mapping[str, str]
) -> BundleEvaluator:
    of_splits = {cell.split.fingerprint: folds for cell in bundle.cells}
    context = DatasetContext(dataset, DatasetContext.of(dataset).arrays, kept, of_splits)
    return BundleEvaluator(bundle, context, failed)
