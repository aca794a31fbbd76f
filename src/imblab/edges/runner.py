"""Running cells: bundles of one data set, learner and split, here or in worker processes.

The only module that knows the parallel engine. Strategies of a bundle share their fits; workers compute and return
rows, the parent writes. Every fit runs on one thread, here as there, so that the number of jobs changes no bit.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import joblib
import numpy as np
from joblib.externals.loky import get_reusable_executor
from threadpoolctl import threadpool_limits

from imblab.core import splits
from imblab.core.evaluate import Task, evaluate
from imblab.core.pipelines import Atom, FitFailed, Prediction, Prepared, fit_predict
from imblab.errors import StudyError
from imblab.records import Cell, Dataset, Evaluation, Split, Study, fingerprint

#: Prepared parts kept at once: the inner fit parts and the training part of one split.
KEPT = 12


@dataclass(frozen=True, slots=True)
class Bundle:
    """Cells that share their rows and their learner, and so their fits."""

    study: Study
    dataset: str
    splits: tuple[Split, ...]
    cells: tuple[Cell, ...]


def bundles(study: Study, plans: Mapping[str, Sequence[Split]], cells: Sequence[Cell]) -> tuple[Bundle, ...]:
    """Group cells by data set, learner and outer split, in the order of the design."""
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.dataset, cell.learner.name, cell.split.fingerprint), []).append(cell)
    return tuple(Bundle(study, name, tuple(plans[name]), tuple(members)) for (name, _, _), members in groups.items())


def run(
    datasets: Mapping[str, Dataset], work: Sequence[Bundle], n_jobs: int, on_row: Callable[[Evaluation], None]
) -> None:
    """Answer every cell of every bundle.

    Parameters
    ----------
    datasets : mapping of str to Dataset
    work : sequence of Bundle
    n_jobs : int
        Worker processes; 1 runs in this process.
    on_row : callable
        Receives every row, in this process, as soon as its bundle is done.

    Raises
    ------
    StudyError
        If a worker dies; the rows that were handed over are safe.
    """
    if n_jobs == 1 or len(work) <= 1:
        for bundle in work:
            for row in answer(bundle, datasets[bundle.dataset]):
                on_row(row)
        return
    with tempfile.TemporaryDirectory(prefix="imblab-") as folder:
        paths = {name: _shipped(Path(folder), dataset) for name, dataset in datasets.items()}
        _in_workers(paths, work, min(n_jobs, len(work)), on_row)


def answer(bundle: Bundle, dataset: Dataset) -> Iterator[Evaluation]:
    """The rows of one bundle; a fit that two strategies need is done once."""
    memory = _Memory(dataset)
    with threadpool_limits(1):
        for cell in bundle.cells:
            pairs = splits.inner(dataset, bundle.study.protocol, bundle.study.seed, cell.split, bundle.splits)
            before = memory.spared
            row = evaluate(Task(cell, bundle.study, dataset, pairs, memory))
            yield replace(row, spared=memory.spared - before)


class _Memory:
    """Answers atoms, each once."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._known: dict[str, Prediction | FitFailed] = {}
        self._prepared: dict[str, Prepared] = {}
        self.spared = 0

    def __call__(self, atom: Atom) -> Prediction:
        address = atom.address
        if address in self._known:
            self.spared += 1
        else:
            self._known[address] = self._fitted(atom)
        found = self._known[address]
        if isinstance(found, FitFailed):
            raise found
        return found

    def _fitted(self, atom: Atom) -> Prediction | FitFailed:
        try:
            return fit_predict(atom, self._part(atom.fit))
        except FitFailed as error:
            return FitFailed(str(error))

    def _part(self, fit: np.ndarray) -> Prepared:
        key = fingerprint(fit)
        if key not in self._prepared:
            if len(self._prepared) >= KEPT:
                self._prepared.pop(next(iter(self._prepared)))
            self._prepared[key] = Prepared(self._dataset, fit)
        return self._prepared[key]


def _in_workers(
    paths: Mapping[str, str], work: Sequence[Bundle], n_jobs: int, on_row: Callable[[Evaluation], None]
) -> None:
    executor = get_reusable_executor(max_workers=n_jobs, timeout=60, env=_single_threaded())
    pending: set[Future[list[Evaluation]]] = {executor.submit(_answered, b, paths[b.dataset]) for b in work}
    try:
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                for row in future.result():
                    on_row(row)
    except BrokenExecutor as error:
        raise StudyError(
            f"a worker of 'runner' died ({type(error).__name__}); a study needs every row, and those already written "
            "are safe. Run the same command again to continue, with runner.n_jobs=1 if memory is short."
        ) from error
    except BaseException:
        executor.shutdown(wait=False, kill_workers=True)
        raise


def _answered(bundle: Bundle, path: str) -> list[Evaluation]:
    return list(answer(bundle, _loaded(path)))


@lru_cache(maxsize=4)
def _loaded(path: str) -> Dataset:
    dataset: Dataset = joblib.load(path, mmap_mode="r")
    return dataset


def _shipped(folder: Path, dataset: Dataset) -> str:
    """Write a table where workers can map it into memory, named by its content."""
    path = folder / f"{dataset.name}-{dataset.fingerprint[:32]}.joblib"
    if not path.exists():
        with suppress(FileExistsError):
            joblib.dump(dataset, path)
    return str(path)


def _single_threaded() -> dict[str, str]:
    return {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


def cores() -> int:
    """The processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
