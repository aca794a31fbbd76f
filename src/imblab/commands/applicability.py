"""Strategies that have no applicable candidate on a data set: what is said of them before any fit, and a way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any

from imblab.analysis.claims import PRIMARY, declared_contrasts, family_names
from imblab.commands.layout import Layout
from imblab.core import design, evaluate, replay, splits
from imblab.core.evaluate import Task
from imblab.edges.config import estimators
from imblab.study import Cell, Choice, Interval, Scalar, Split, Strategy
from imblab.text import join_words, to_shell

#: Names of one kind that a sentence lists.
MAX_NAMES = 4
#: Groups of strategies and places that are named; of more, the combinations are counted.
MAX_GROUPS = 2
#: Values that are applicable wherever any is: classes of more than two take no plain weight, and 1:1 is the last ratio.
CLASS_WEIGHTS, EQUAL_CLASSES = ("power 0.5", "balanced"), 1.0


@dataclass(frozen=True)
class Applicability:
    """The strategies of a study without an applicable candidate in any fold, by data set and learner."""

    layout: Layout
    _inner_pairs: dict[tuple[str, str], splits.InnerFolds] = field(default_factory=dict, repr=False)

    @cached_property
    def inapplicable(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """Names of strategies by data set and learner; places without one are left out.

        A strategy is tried fold by fold up to the first that has a candidate. A search that learns from values lists
        none beforehand, so that only what no value could change is found for it.
        """
        names_by_place = {}
        for name, learner in product(self.layout.datasets, self.layout.study.learners):
            cells = [Cell(name, learner, each, self.layout.plans[name][0]) for each in self.layout.study.strategies]
            names = tuple(cell.strategy.name for cell in cells if not self._has_candidate(cell))
            if names:
                names_by_place[name, learner.name] = names
        return names_by_place

    def sentences(self) -> list[str]:
        """Say which strategies are not applicable where, and which primary contrasts cannot be made; often nothing."""
        if not self.inapplicable:
            return []
        groups = [f"{join_words(names, limit=MAX_NAMES)} {where}" for names, where in self._grouped()]
        text = f"No candidate is applicable of {join_words(groups)}."
        if len(groups) > MAX_GROUPS:
            study, n = self.layout.study, sum(map(len, self.inapplicable.values()))
            total = len(self.layout.datasets) * len(study.learners) * len(study.strategies)
            text = (
                f"No candidate is applicable in {n:,} of {total:,} combinations of data set, learner and strategy; "
                "`imblab plan` lists them with --full."
            )
        return [text, *self._lost_contrasts()]

    def overrides(self) -> list[str]:
        """Return overrides of spaces and knobs that make strategies applicable wherever they are not; maybe none."""
        by_name = {strategy.name: strategy for strategy in self.layout.study.strategies}
        names = dict.fromkeys(name for group in self.inapplicable.values() for name in group)
        return [word for name in names for word in self._remedy(by_name[name])]

    def way_out(self) -> str:
        """Return a sentence with the overrides, ready to be pasted; empty without one."""
        words = self.overrides()
        return f"To make them applicable, add: {to_shell(words)}" if words else ""

    def _grouped(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield strategies with the places where they are not applicable; equal places stand together."""
        n_learners = len(self.layout.study.learners)
        learners: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for (dataset, learner), names in self.inapplicable.items():
            learners.setdefault((dataset, names), []).append(learner)
        tables: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
        for (dataset, names), some in learners.items():
            tables.setdefault((names, () if len(some) == n_learners else tuple(some)), []).append(dataset)
        for (names, only), datasets in tables.items():
            where = f"on {join_words(datasets, limit=MAX_NAMES)}"
            yield names, f"{where} with {join_words(only, limit=MAX_NAMES)}" if only else where

    def _lost_contrasts(self) -> Iterator[str]:
        study = self.layout.study
        families, places = family_names(study), list(product(self.layout.datasets, (n.name for n in study.learners)))
        for a, b in (pair for pair in declared_contrasts(study) if families[pair] == PRIMARY):
            lost = [place for place in places if {a, b} & set(self.inapplicable.get(place, ()))]
            where = "" if len(lost) == len(places) else f" on {len(lost)} of {len(places)} data sets and learners"
            if lost:
                yield f"The primary contrast {a} - {b} cannot be made{where}."

    def _has_candidate(self, cell: Cell) -> bool:
        """Whether a strategy is applicable in some fold, as far as that is known before a fit."""
        return any(_is_applicable(self._task(cell, split)) for split in self.layout.plans[cell.dataset])

    def _task(self, cell: Cell, split: Split) -> Task:
        layout, data = self.layout, self.layout.datasets[cell.dataset]
        if (cell.dataset, split.fingerprint) not in self._inner_pairs:
            plan = layout.plans[cell.dataset]
            pairs = splits.inner_pairs(data, layout.study.protocol, layout.study.seed, split, plan)
            self._inner_pairs[cell.dataset, split.fingerprint] = pairs
        pairs = self._inner_pairs[cell.dataset, split.fingerprint]
        return Task(replace(cell, split=split), layout.study, data, pairs, replay.lookup_only(lambda _: None))

    def _remedy(self, strategy: Strategy) -> list[str]:
        """Return the overrides that give a strategy a candidate in every fold where it has none; empty without some."""
        learners = {learner.name: learner for learner in self.layout.study.learners}
        cells = [
            Cell(dataset, learners[learner], strategy, split)
            for (dataset, learner), names in self.inapplicable.items()
            for split in self.layout.plans[dataset]
            if strategy.name in names
        ]
        tasks = [self._task(cell, cell.split) for cell in cells]
        if any(task.inapplicable_reason for task in tasks):
            return []
        parts = [part for task in tasks for part in design.fitted_parts(task.dataset, task.cell.split, task.pairs)]
        changes = dict(_changed_knobs(strategy, parts))
        axes = {knob: Choice(values) for knob, values in changes.items() if knob in strategy.space}
        fixed: dict[str, Any] = {knob: values[-1] for knob, values in changes.items() if knob not in strategy.space}
        changed = replace(strategy, space={**strategy.space, **axes}, **fixed)
        if not changes or not all(_is_applicable(self._task(replace(c, strategy=changed), c.split)) for c in cells):
            return []
        texts = {knob: estimators.write_axis({knob: axis}).get(knob, axis.text()) for knob, axis in axes.items()}
        place = f"strategy.{strategy.name}"
        return [
            *(f"{place}.space.{knob}={text}" for knob, text in texts.items()),
            *(f"{place}.{knob}={value}" for knob, value in fixed.items()),
        ]


def is_study_file(args: Sequence[str]) -> bool:
    """Whether a command reads a resolved study, which takes no further overrides of its question."""
    return bool(args) and args[0].endswith((".yaml", ".yml"))


def _is_applicable(task: Task) -> bool:
    if task.inapplicable_reason:
        return False
    trials = evaluate.list_candidates(task)
    return not trials or any(trial.status == "ok" for trial in trials)


def _changed_knobs(strategy: Strategy, parts: Sequence[design.ClassCounts]) -> Iterator[tuple[str, tuple[Scalar, ...]]]:
    """Yield the knobs of which every value is refused, each with values that are not."""
    if (
        "weight" in strategy.knobs
        and all(isinstance(value, (int, float)) for value in _values(strategy.knobs["weight"]))
        and any(len(part.counts) > 2 for part in parts)
    ):
        yield "weight", CLASS_WEIGHTS
    largest = min(part.minority for part in parts) - 1
    if "k" in strategy.knobs and largest >= 1 and min(_values(strategy.knobs["k"]), default=0) > largest:
        yield "k", (largest,)
    ratios = _values(strategy.knobs.get("ratio"))
    present = max(part.minority / part.majority for part in parts)
    if (
        ratios
        and present < EQUAL_CLASSES
        and all(isinstance(ratio, (int, float)) and ratio <= present for ratio in ratios)
    ):
        yield "ratio", (EQUAL_CLASSES,)


def _values(knob: Any) -> tuple[Any, ...]:
    """Return the listed values of a knob that is searched or fixed; none of an interval."""
    if isinstance(knob, Choice):
        return knob.values
    return () if knob is None or isinstance(knob, (Interval, Mapping)) else (knob,)
