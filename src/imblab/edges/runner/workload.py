"""How long the bundles of a run will take: the longest begin first, and those that are too long come in parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from imblab.core import forecast
from imblab.edges.runner.bundle_evaluator import Bundle, can_fit_ahead

#: Parts of the remaining work that each worker should still receive, so that all end at nearly the same time.
PARTS_PER_WORKER = 8
#: Seconds of a job: a shorter one costs more than it is worth, after a longer one a killed run has lost too much.
MIN_JOB_SECONDS, MAX_JOB_SECONDS = 0.25, 2.0
#: Seconds of a fit per value of its table, before any fit was made, and of the fastest fit.
SECONDS_PER_VALUE, MIN_FIT_SECONDS = 1e-6, 0.002
#: Data set and learner, which decide how long a fit takes.
Kind = tuple[str, str]


@dataclass(slots=True)
class _Measured:
    """Fits made, and their seconds."""

    fits: float = 0.0
    seconds: float = 0.0


class Workload:
    """Estimates the seconds of bundles from those of the fits of this run so far, and chooses the next bundle.

    Parameters
    ----------
    bundles : sequence of Bundle
        All bundles of the run; their positions name them.
    sizes : mapping of str to int
        Values of the table of each data set: rows times columns.
    """

    def __init__(self, bundles: Sequence[Bundle], sizes: Mapping[str, int]) -> None:
        self._sizes, self._measured = sizes, defaultdict[Kind, _Measured](_Measured)
        self._kinds = [(bundle.dataset, bundle.cells[0].learner.name) for bundle in bundles]
        self._fits = [bundle_fits(bundle) for bundle in bundles]
        self._divisible = [can_fit_ahead(bundle.study) for bundle in bundles]
        self._waiting: dict[Kind, list[int]] = {}
        self._remaining: defaultdict[Kind, float] = defaultdict(float)
        self._begun: set[Kind] = set()
        # The heaviest of a kind is the last of its list, and of equals the first of the design.
        for group in sorted(range(len(bundles)), key=lambda group: (self._fits[group], -group)):
            self._waiting.setdefault(self._kinds[group], []).append(group)
            self._remaining[self._kinds[group]] += self._fits[group]

    def pop(self) -> int | None:
        """Take the bundle that begins next; None if all have begun.

        The longest, but one of each data set and learner before the second of any: their seconds are learnt from it.
        """
        if not self._waiting:
            return None
        kind = max(self._waiting, key=lambda kind: (kind not in self._begun, self.seconds(self._waiting[kind][-1])))
        group = self._waiting[kind].pop()
        if not self._waiting[kind]:
            del self._waiting[kind]
        self._begun.add(kind)
        return group

    def seconds(self, group: int) -> float:
        """Estimate the seconds of a bundle on one worker."""
        return self._fits[group] * self._seconds_per_fit(self._kinds[group])

    def parts(self, group: int, width: int) -> int:
        """Return the number of jobs that the inner fits of a bundle are divided into."""
        if not self._divisible[group]:
            return 1
        remaining = sum(fits * self._seconds_per_fit(kind) for kind, fits in self._remaining.items())
        longest = min(max(remaining / (PARTS_PER_WORKER * width), MIN_JOB_SECONDS), MAX_JOB_SECONDS)
        return max(1, min(ceil(self.seconds(group) / longest), int(self._fits[group])))

    def count(self, group: int, share: float, fitted: int, seconds: float) -> None:
        """Count a job that is done: its share of a bundle, the models that it fitted, its seconds."""
        kind = self._kinds[group]
        self._remaining[kind] = max(0.0, self._remaining[kind] - share * self._fits[group])
        if fitted:
            measured = self._measured[kind]
            measured.fits, measured.seconds = measured.fits + share * self._fits[group], measured.seconds + seconds

    def _seconds_per_fit(self, kind: Kind) -> float:
        """As measured; else as its learner took per value of other tables; else as all did; else a constant."""
        measured = self._measured.get(kind)
        if measured is not None and measured.fits:
            return measured.seconds / measured.fits
        size = self._sizes.get(kind[0], 1)
        for like in ([k for k in self._measured if k[1] == kind[1]], self._measured):
            values = sum(self._measured[k].fits * self._sizes.get(k[0], 1) for k in like)
            if values:
                return size * sum(self._measured[k].seconds for k in like) / values
        return max(MIN_FIT_SECONDS, size * SECONDS_PER_VALUE)


def bundle_fits(bundle: Bundle) -> float:
    """Count the fits of a bundle, roughly: strategies that differ in their threshold alone share them."""
    study, learner = bundle.study, bundle.cells[0].learner
    folds = study.protocol.outer_folds - 1 if study.protocol.inner == "shared" else study.protocol.inner_folds
    splits = {cell.split.fingerprint for cell in bundle.cells}
    inner: dict[str, int] = {}
    for strategy in {cell.strategy.name: cell.strategy for cell in bundle.cells}.values():
        key = repr((strategy.sampler, strategy.axes, strategy.fixed_knobs))
        candidates = forecast.count_candidates(study, strategy, learner)
        is_chosen = candidates > 1 or not isinstance(strategy.threshold, float)
        inner[key] = max(inner.get(key, 0), candidates * folds * is_chosen)
    return float(len(splits) * sum(fits + 1 for fits in inner.values()))
