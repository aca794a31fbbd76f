"""What a study would do and what it would cost, before anything runs."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from imblab import asking
from imblab.analysis import intervals, rebalancing
from imblab.core import design, forecast, pricing, splits
from imblab.edges import datasets, runner, terminal
from imblab.layout import Layout, lay_out

#: Seconds that `imblab plan` spends on timing fits, beyond one a data set and learner.
PILOT = 0.4


def command_plan(args: Sequence[str], config_dirs: Sequence[Path], as_json: bool) -> int:
    """``imblab plan``: what a study would do, before anything runs."""
    request = asking.request(args, config_dirs, "plan")
    layout = lay_out(request.study)
    for note in () if as_json else layout.code_notes():
        terminal.say(note)
    facts = planned(layout, asking.known_engine(request), request.minutes)
    terminal.put(json.dumps(facts, indent=1)) if as_json else terminal.show(terminal.plan_text(facts))
    return 0


def planned(layout: Layout, engine: runner.Engine | None = None, minutes: float | None = None) -> dict[str, Any]:
    """The design of a study as plain data: cells, fits, parts, what does not apply, how wide intervals will be, cost.

    Parameters
    ----------
    layout : Layout
    engine : Engine, optional
        With what it would run; a few fits are timed if it is given, and their answers are kept.
    minutes : float, optional
        A budget: the largest smaller study that fits it is proposed where this one does not.

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
        "inapplicable": forecast.refusals(found),
        "rebalancing": rebalancing.notes(study),
        "half_width": _half_width(layout),
        **(_priced(layout, found, engine, minutes) if engine else {}),
    }


def _priced(
    layout: Layout, found: Sequence[forecast.Forecast], engine: runner.Engine, minutes: float | None
) -> dict[str, Any]:
    """Hours and memory, from a few fits that are timed; and what a budget would leave out."""
    timings = _pilots(layout, found, engine)
    cost = pricing.price(found, timings)
    seconds = pricing.wall_seconds(cost.seconds, engine.n_jobs)
    tables = [8 * data.X.shape[0] * data.X.shape[1] for data in layout.datasets.values()]
    peak = pricing.peak_bytes(tables, layout.study.protocol.outer_folds, engine.n_jobs)
    facts = {"seconds": seconds, "n_jobs": engine.n_jobs, "bytes": peak, "untimed": list(cost.untimed)}
    if minutes is None or seconds <= 60 * minutes:
        return {"price": facts}
    return {"price": facts, "budget": {"minutes": minutes, **_proposal(layout, timings, engine, 60 * minutes)}}


def _proposal(layout: Layout, timings: pricing.Timings, engine: runner.Engine, budget: float) -> dict[str, Any]:
    """The first of ever smaller studies that fits a budget, and the overrides that lead there."""
    overrides: dict[str, str] = {}
    seconds = math.inf
    for changed, smaller in pricing.shrink(layout.study):
        overrides |= {override.partition("=")[0]: override for override in changed}
        plans = {name: splits.plan(data, smaller.protocol, smaller.seed) for name, data in layout.datasets.items()}
        cells = design.expand(smaller, plans)
        cost = pricing.price(_forecasts(Layout(smaller, layout.datasets, plans, cells), engine), timings)
        seconds = pricing.wall_seconds(cost.seconds, engine.n_jobs)
        if seconds <= budget:
            return {"fits": True, "overrides": list(overrides.values()), "seconds": seconds}
    return {"fits": False, "overrides": list(overrides.values()), "seconds": seconds}


def _pilots(layout: Layout, found: Sequence[forecast.Forecast], engine: runner.Engine) -> pricing.Timings:
    """Seconds of one fit a data set, learner and strategy, those with most fits first, until :data:`PILOT` is spent."""
    timings: dict[tuple[str, str, str], float] = {}
    begin = time.perf_counter()
    with closing(engine.open_store()) if engine.open_store else nullcontext() as kept:
        works = _first_bundles(layout, kept)
        for rank in range(len(layout.study.strategies)):
            for (dataset, learner), work in works.items():
                fits = [f.fits for f in found if (f.dataset, f.learner) == (dataset, learner)]
                often = Counter(s for each in fits for s, atom in each.values() if atom is not None).most_common()
                if rank < len(often) and (rank == 0 or time.perf_counter() - begin < PILOT):
                    strategy = often[rank][0]
                    atoms = [atom for s, atom in fits[0].values() if s == strategy and atom is not None]
                    if atoms:
                        timings[dataset, learner, strategy] = work.timed(atoms[len(atoms) // 2])
    return timings


def _first_bundles(layout: Layout, kept: runner.Known | None) -> dict[tuple[str, str], runner.Work]:
    """The first bundle of every data set and learner, ready to fit."""
    grounds: dict[str, runner.Ground] = {}
    works: dict[tuple[str, str], runner.Work] = {}
    for bundle in runner.bundles(layout.study, layout.plans, layout.cells):
        key = bundle.dataset, bundle.cells[0].learner.name
        if key not in works:
            if bundle.dataset not in grounds:
                grounds[bundle.dataset] = runner.Ground.of(layout.datasets[bundle.dataset], kept)
            works[key] = runner.Work(bundle, grounds[bundle.dataset])
    return works


def _forecasts(layout: Layout, engine: runner.Engine | None) -> list[forecast.Forecast]:
    """What every bundle will take, beside what the store knows."""
    study, found = layout.study, []
    with closing(engine.open_store()) if engine and engine.open_store else nullcontext() as kept:
        for bundle in runner.bundles(study, layout.plans, layout.cells):
            work = runner.Work(bundle, runner.Ground(layout.datasets[bundle.dataset], None))
            tasks = [work.task(cell) for cell in bundle.cells]
            found.append(forecast.forecast(tasks, work.memory.sharing, kept.get if kept else lambda _: None))
        return found


def _dataset_facts(layout: Layout, name: str) -> dict[str, Any]:
    data, plan = layout.datasets[name], layout.plans[name]
    facts = datasets.describe(data)
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
    return {**facts, "folds": folds, "warnings": layout.cautions(name), "columns": types}


def _half_width(layout: Layout) -> dict[str, Any]:
    """Half the width of a 95 % interval, in standard deviations of the differences over folds."""
    found = {}
    for name, plan in layout.plans.items():
        if layout.datasets[name].time is None:
            train, test = [len(s.train) for s in plan], [len(s.test) for s in plan]
            found[name] = intervals.half_width_factor(len(plan), train, test, layout.study.claims.alpha)
    return found
