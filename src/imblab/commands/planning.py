"""What a study would do and what it would cost, before anything runs."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from imblab.analysis import rebalancing
from imblab.commands.layout import EXPERIMENTS, Layout, lay_out, parse_request, planning_engine
from imblab.core import design, forecast, splits
from imblab.edges import config, datasets, runner, terminal
from imblab.errors import ImblabError
from imblab.overrides import to_shell
from imblab.stats import paired_tests
from imblab.study import Learner, Strategy, Study

#: Seconds that `imblab plan` spends on timing fits, beyond one a data set and learner.
PILOT_SECONDS = 0.4


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What was typed, to write it again for a smaller study.

    Attributes
    ----------
    args : tuple of str
        Hydra overrides in full, or the path of a resolved study and its overrides.
    config_dirs : tuple of Path
    """

    args: tuple[str, ...]
    config_dirs: tuple[Path, ...] = ()

    def on_file(self) -> set[str]:
        """The names of strategies and learners that a group knows."""
        return {name for group in ("strategy", "learner") for name in config.group_options(group, self.config_dirs)}

    def line(self, study: Study, smaller: Study) -> str | None:
        """The command line that runs the smaller study as it stands.

        Parameters
        ----------
        study, smaller : Study

        Returns
        -------
        str or None
            None for a resolved study, which is run as it stands, and where the line would ask something else.
        """
        if self.args and self.args[0].endswith((".yaml", ".yml")):
            return None
        changed = forecast.shrinking_overrides(study, smaller, self.on_file())
        left = {(g, n.name) for g, items in _members(study) for n in items}
        gone = {".".join(member) for member in left - {(g, n.name) for g, items in _members(smaller) for n in items}}
        keys = {arg: arg.partition("=")[0].lstrip("+~") for arg in self.args}
        words = [arg for arg, key in keys.items() if key not in changed and key.split(".")[0] != "budget"]
        words = [arg for arg in words if ".".join(keys[arg].split(".")[:2]) not in gone and keys[arg] != "name"]
        words = [f"name={_free_name(study.name)}", *words, *(f"{key}={value}" for key, value in changed.items())]
        try:
            found = parse_request(words, self.config_dirs).study
        except ImblabError:
            return None
        if config.to_mapping(replace(found, name=smaller.name)) != config.to_mapping(smaller):
            return None
        folders = [word for folder in self.config_dirs for word in ("--config-dir", str(folder))]
        return to_shell(["imblab", "run", *words, *folders])


def _members(study: Study) -> tuple[tuple[str, Sequence[Strategy | Learner]], ...]:
    return ("strategy", study.strategies), ("learner", study.learners)


def _free_name(name: str) -> str:
    """The name of a study, or a longer one where its folder asks something else already."""
    found, number = name, 1
    while (EXPERIMENTS / found / "study.yaml").exists():
        number += 1
        found = f"{name[:90]}_{number}"
    return found


def command_plan(args: Sequence[str], config_dirs: Sequence[Path], as_json: bool) -> int:
    """``imblab plan``: what a study would do, before anything runs."""
    request = parse_request(args, config_dirs, "plan")
    layout = lay_out(request.study)
    for note in () if as_json else layout.code_notes():
        terminal.print_paragraph(note)
    typed = CommandLine(tuple(datasets.expand_short_form(args, "plan")), tuple(config_dirs))
    facts = describe_plan(layout, planning_engine(request), request.minutes, typed)
    terminal.put(json.dumps(facts, indent=1)) if as_json else terminal.show(terminal.plan_text(facts))
    return 0


def describe_plan(
    layout: Layout,
    engine: runner.Engine | None = None,
    minutes: float | None = None,
    typed: CommandLine | None = None,
) -> dict[str, Any]:
    """The design of a study as plain data: cells, fits, parts, what does not apply, how wide intervals will be, cost.

    Parameters
    ----------
    layout : Layout
    engine : Engine, optional
        With what it would run; a few fits are timed if it is given, and their answers are kept.
    minutes : float, optional
        A budget: the largest smaller study that fits it is proposed where this one does not.
    typed : Typed, optional
        What was typed: the smaller study comes with its command line.

    Returns
    -------
    dict
        Fit for JSON.
    """
    study = layout.study
    found = _forecasts(layout, engine)
    return {
        "study": study.name,
        "protocol": asdict(study.protocol) | {"thresholds": len(study.protocol.thresholds)},
        "cells": len(layout.cells),
        "fits": sum(len(f.fits) for f in found),
        "spared": sum(f.asked - len(f.fits) for f in found),
        "known": sum(f.known for f in found),
        "at_most": any(f.bound for f in found),
        "datasets": [_dataset_facts(layout, name) for name in layout.datasets],
        "learners": [learner.name for learner in study.learners],
        "strategies": list(forecast.strategy_facts(study)),
        "inapplicable": forecast.summarize_inapplicable(found),
        "rebalancing": rebalancing.notes(study),
        "half_width": _half_width(layout),
        **(_describe_cost(layout, found, engine, minutes, typed) if engine else {}),
    }


def _describe_cost(
    layout: Layout,
    found: Sequence[forecast.Forecast],
    engine: runner.Engine,
    minutes: float | None,
    typed: CommandLine | None,
) -> dict[str, Any]:
    """Hours and memory, from a few fits that are timed; and what a budget would leave out."""
    timings = _time_pilot_fits(layout, found, engine)
    cost = forecast.estimate_cost(found, timings)
    seconds = forecast.wall_seconds(cost.seconds, engine.n_jobs)
    tables = [8 * data.X.shape[0] * data.X.shape[1] for data in layout.datasets.values()]
    peak = forecast.peak_bytes(tables, layout.study.protocol.outer_folds, engine.n_jobs)
    facts = {"seconds": seconds, "n_jobs": engine.n_jobs, "bytes": peak, "untimed": list(cost.untimed)}
    if minutes is None or seconds <= 60 * minutes:
        return {"price": facts}
    kept = _without_file(layout.study, typed)
    fits, smaller, seconds = _propose_smaller(layout, found, timings, engine, 60 * minutes, kept)
    said = [f"{key}={value}" for key, value in forecast.shrinking_overrides(layout.study, smaller).items()]
    budget = {"minutes": minutes, "fits": fits, "overrides": said, "seconds": seconds}
    budget["line"] = typed.line(layout.study, smaller) if typed and said else None
    return {"price": facts, "budget": budget}


def _propose_smaller(
    layout: Layout,
    found: Sequence[forecast.Forecast],
    timings: forecast.Timings,
    engine: runner.Engine,
    budget: float,
    kept: Collection[str],
) -> tuple[bool, Study, float]:
    """The first of ever smaller studies that fits a budget, or else the smallest; none holds what does not apply."""
    study = forecast.drop_inapplicable(layout.study, found)
    smaller, seconds = study, math.inf
    for smaller in chain([study], forecast.shrink_study(study, kept)):
        plans = {name: splits.plan(data, smaller.protocol, smaller.seed) for name, data in layout.datasets.items()}
        cells = design.expand(smaller, plans)
        cost = forecast.estimate_cost(_forecasts(Layout(smaller, layout.datasets, plans, cells), engine), timings)
        seconds = forecast.wall_seconds(cost.seconds, engine.n_jobs)
        if seconds <= budget:
            return True, smaller, seconds
    return False, smaller, seconds


def _without_file(study: Study, typed: CommandLine | None) -> set[str]:
    """Strategies and learners that no file describes: a command line cannot leave them out."""
    if typed is None:
        return set()
    return {item.name for _, items in _members(study) for item in items} - typed.on_file()


def _time_pilot_fits(layout: Layout, found: Sequence[forecast.Forecast], engine: runner.Engine) -> forecast.Timings:
    """Time one fit per data set, learner and strategy, most fits first, until :data:`PILOT_SECONDS` are spent."""
    timings: dict[tuple[str, str, str], float] = {}
    begin = time.perf_counter()
    with closing(engine.open_store()) if engine.open_store else nullcontext() as kept:
        works = _first_evaluators(layout, kept)
        for rank in range(len(layout.study.strategies)):
            for (dataset, learner), work in works.items():
                fits = [f.fits for f in found if (f.dataset, f.learner) == (dataset, learner)]
                often = Counter(s for each in fits for s, atom in each.values() if atom is not None).most_common()
                if rank < len(often) and (rank == 0 or time.perf_counter() - begin < PILOT_SECONDS):
                    strategy = often[rank][0]
                    atoms = [atom for s, atom in fits[0].values() if s == strategy and atom is not None]
                    if atoms:
                        timings[dataset, learner, strategy] = work.time_fit(atoms[len(atoms) // 2])
    return timings


def _first_evaluators(
    layout: Layout, kept: runner.PredictionStore | None
) -> dict[tuple[str, str], runner.BundleEvaluator]:
    """The first bundle of every data set and learner, ready to fit."""
    grounds: dict[str, runner.DatasetContext] = {}
    works: dict[tuple[str, str], runner.BundleEvaluator] = {}
    for bundle in runner.make_bundles(layout.study, layout.plans, layout.cells):
        key = bundle.dataset, bundle.cells[0].learner.name
        if key not in works:
            if bundle.dataset not in grounds:
                grounds[bundle.dataset] = runner.DatasetContext.of(layout.datasets[bundle.dataset], kept)
            works[key] = runner.BundleEvaluator(bundle, grounds[bundle.dataset])
    return works


def _forecasts(layout: Layout, engine: runner.Engine | None) -> list[forecast.Forecast]:
    """What every bundle will take, beside what the store knows."""
    study, found = layout.study, []
    with closing(engine.open_store()) if engine and engine.open_store else nullcontext() as kept:
        for bundle in runner.make_bundles(study, layout.plans, layout.cells):
            work = runner.BundleEvaluator(bundle, runner.DatasetContext(layout.datasets[bundle.dataset], None))
            tasks = [work.task(cell) for cell in bundle.cells]
            found.append(forecast.forecast_fits(tasks, work.cache.sharing, kept.get if kept else lambda _: None))
        return found


def _dataset_facts(layout: Layout, name: str) -> dict[str, Any]:
    data, plan = layout.datasets[name], layout.plans[name]
    facts = datasets.dataset_facts(data)
    folds = [
        {
            "train": len(s.train),
            "train_pos": int(data.y[s.train].sum()),
            "test": len(s.test),
            "test_pos": int(data.y[s.test].sum()),
        }
        for s in plan
    ]
    types = {"numeric": len(facts["numeric"]), "categorical": facts["categorical"], "missing": facts["missing"]}
    if data.rare is not None:
        types["rare"] = f"levels with fewer than {data.rare} rows in a fit part are one level there"
    return {**facts, "folds": folds, "warnings": layout.cautions(name), "columns": types}


def _half_width(layout: Layout) -> dict[str, Any]:
    """Half the width of a 95 % interval, in standard deviations of the differences over folds."""
    found = {}
    for name, plan in layout.plans.items():
        if layout.datasets[name].time is None:
            train, test = [len(s.train) for s in plan], [len(s.test) for s in plan]
            found[name] = paired_tests.half_width_factor(len(plan), train, test, layout.study.claims.alpha)
    return found
