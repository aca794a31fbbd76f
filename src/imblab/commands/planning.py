"""``imblab plan``: the design of a study, its fits and its cost, before anything runs."""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from imblab.analysis import claims, outer_splits
from imblab.analysis.claims import declared_contrasts, family_names
from imblab.commands import footprint, plan_text, study_records
from imblab.commands.applicability import Applicability, is_study_file
from imblab.commands.layout import Layout, lay_out, parse_request, planning_engine, without_fold_numbers
from imblab.commands.short_form import expand_short_form
from imblab.core import design, forecast, splits
from imblab.core.classes import class_rows
from imblab.core.fitting import FitRequest
from imblab.edges import config, datasets, ledger, runner, terminal
from imblab.edges.ledger import EXPERIMENTS
from imblab.errors import ImblabError
from imblab.groups import group_options
from imblab.result import Family
from imblab.stats import paired_tests
from imblab.stats.standard_errors import CORRECTED_T
from imblab.study import Dataset, Split, Study
from imblab.text import count_noun, to_shell

#: Seconds that `imblab plan` spends on timing fits, beyond one per data set and learner.
PILOT_SECONDS = 0.4


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The arguments of a command, to write it again for a smaller study."""

    args: tuple[str, ...]  # Hydra overrides in full, or the path of a resolved study and its overrides
    config_dirs: tuple[Path, ...] = ()  # folders with the user's own groups

    def on_file(self) -> set[str]:
        """Return the names of strategies and learners in groups."""
        return {name for group in ("strategy", "learner") for name in group_options(group, self.config_dirs)}

    def line(self, study: Study, smaller: Study) -> str | None:
        """Return the command line that runs the smaller study; None if there is none, or it means another study."""
        if is_study_file(self.args):
            return None
        overrides = forecast.shrinking_overrides(study, smaller, self.on_file())
        dropped = {".".join(member) for member in _member_names(study) - _member_names(smaller)}
        keys = {arg: arg.partition("=")[0].lstrip("+~") for arg in self.args}
        words = [arg for arg, key in keys.items() if key not in overrides and key.split(".")[0] != "budget"]
        words = [w for w in words if ".".join(keys[w].split(".")[:2]) not in dropped and keys[w] != "name"]
        words = [f"name={_free_name(study.name)}", *words, *(f"{key}={value}" for key, value in overrides.items())]
        try:
            parsed = parse_request(words, self.config_dirs).study
        except ImblabError:
            return None
        asked = config.to_mapping(replace(smaller, datasets=without_fold_numbers(smaller)))
        if config.to_mapping(replace(parsed, name=smaller.name)) != asked:
            return None
        folders = [word for folder in self.config_dirs for word in ("--config-dir", str(folder))]
        return to_shell(["imblab", "run", *words, *folders])


def _member_names(study: Study) -> set[tuple[str, str]]:
    """Return the group and name of each strategy and learner."""
    return {("strategy", s.name) for s in study.strategies} | {("learner", n.name) for n in study.learners}


def _free_name(name: str) -> str:
    """Return the name of a study, or a longer one if its folder holds another study already."""
    free, number = name, 1
    while (EXPERIMENTS / free / "study.yaml").exists():
        number += 1
        free = f"{name[:90]}_{number}"
    return free


def command_plan(args: Sequence[str], config_dirs: Sequence[Path], as_json: bool, full: bool = False) -> int:
    """Run ``imblab plan``; with ``full``, the details of every data set and family are printed."""
    request = parse_request(args, config_dirs, "plan")
    command_line = CommandLine(tuple(expand_short_form(args, "plan")), tuple(config_dirs))
    note = terminal.print_nothing if as_json else terminal.print_paragraph
    facts = plan_request(request, lay_out(request.study), command_line, note)
    terminal.put(json.dumps(facts, indent=1)) if as_json else terminal.show(plan_text.plan_text(facts, full=full))
    return 0


def plan_request(
    request: config.Request,
    layout: Layout,
    command_line: CommandLine | None = None,
    note: Callable[[str], None] = terminal.print_nothing,
) -> dict[str, Any]:
    """Return the plan of a request as plain data for JSON; ``note`` receives its notes before a fit is timed."""
    question = study_records.plan_question(layout, EXPERIMENTS / request.study.name, request.overwrite)
    engine = planning_engine(request)
    engine.check()
    before = [*request.notes, *layout.code_notes(), *engine.notes(), *study_records.notes_before_fits(layout, question)]
    if engine.cluster is not None and engine.cluster.address and not request.runner.get("n_jobs"):
        before.append(
            f"The time is estimated for {count_noun(engine.n_jobs, 'worker')}, as many as this machine has cores: a "
            "plan does not connect to the scheduler. Write runner.n_jobs=WORKERS for the time on more."
        )
    for text in before:
        note(text)
    facts = describe_plan(layout, engine, request.minutes, command_line)
    facts |= {"before_fits": before, "seen_before": study_records.recorded_seen(question)}
    facts["price"] |= footprint.describe_footprint(layout, request)
    return facts


def describe_plan(
    layout: Layout,
    engine: runner.Engine | None = None,
    minutes: float | None = None,
    command_line: CommandLine | None = None,
) -> dict[str, Any]:
    """Return the design of a study as plain data for JSON: cells, fits, folds, what is not applicable, cost.

    With an engine a few fits are timed, and their predictions are stored. If the study takes more than ``minutes``, the
    largest smaller one that does not is proposed, with its command line where ``command_line`` is given.
    """
    study = layout.study
    forecasts = _forecasts(layout, engine)
    applicability = Applicability(layout)
    way_out = applicability.way_out() if command_line and not is_study_file(command_line.args) else ""
    return {
        "study": study.name,
        "protocol": asdict(study.protocol) | {"thresholds": len(study.protocol.thresholds)},
        "cells": len(layout.cells),
        "fits": sum(len(f.fits) for f in forecasts),
        "reused": sum(f.predictions - len(f.fits) for f in forecasts),
        "stored": sum(f.stored for f in forecasts),
        "at_most": any(f.is_bound for f in forecasts),
        "datasets": [_dataset_facts(layout, name) for name in layout.datasets],
        "learners": [learner.name for learner in study.learners],
        "strategies": list(forecast.strategy_facts(study)),
        "inapplicable": forecast.summarize_inapplicable(forecasts),
        "without_candidate": {"sentences": applicability.sentences(), "way_out": way_out},
        "contrasts": _contrast_facts(study, forecasts),
        "rebalancing": outer_splits.rebalancing_notes(study),
        "estimator": CORRECTED_T,  # of half_width and power: row-level standard errors need predictions
        "half_width": _half_width_factors(layout),
        "measure": study.primary,
        "power": _power_facts(layout, forecasts),
        **(_describe_cost(layout, forecasts, engine, minutes, command_line) if engine else {}),
    }


def _describe_cost(
    layout: Layout,
    forecasts: Sequence[forecast.Forecast],
    engine: runner.Engine,
    minutes: float | None,
    command_line: CommandLine | None,
) -> dict[str, Any]:
    """Estimate time and memory from a few timed fits, and propose a smaller study if a budget is exceeded."""
    timings = _time_pilot_fits(layout, forecasts, engine)
    cost = forecast.estimate_cost(forecasts, timings)
    seconds = forecast.wall_seconds(cost.seconds, engine.n_jobs)
    tables = [8 * data.X.shape[0] * data.X.shape[1] for data in layout.datasets.values()]
    shares = (len(s.train) / len(layout.datasets[name].y) for name, plan in layout.plans.items() for s in plan)
    peak = forecast.peak_bytes(tables, max(shares), engine.n_jobs)
    facts = {"seconds": seconds, "n_jobs": engine.n_jobs, "bytes": peak, "untimed": list(cost.untimed)}
    if minutes is None or seconds <= 60 * minutes:
        return {"price": facts}
    # A command line cannot leave out strategies and learners without a file.
    kept = {name for _, name in _member_names(layout.study)} - command_line.on_file() if command_line else set()
    fits, smaller, seconds = _propose_smaller(layout, forecasts, timings, engine, 60 * minutes, kept)
    overrides = [f"{key}={value}" for key, value in forecast.shrinking_overrides(layout.study, smaller).items()]
    budget = {"minutes": minutes, "fits": fits, "overrides": overrides, "seconds": seconds}
    budget["line"] = command_line.line(layout.study, smaller) if command_line and overrides else None
    return {"price": facts, "budget": budget}


def _propose_smaller(
    layout: Layout,
    forecasts: Sequence[forecast.Forecast],
    timings: forecast.Timings,
    engine: runner.Engine,
    budget: float,
    kept: Collection[str],
) -> tuple[bool, Study, float]:
    """Return the first of ever smaller studies that fits a budget, or else the smallest, and its seconds."""
    study = forecast.drop_inapplicable(layout.study, forecasts)
    smaller, seconds = study, math.inf
    for smaller in chain([study], forecast.shrink_study(study, kept)):
        plans = {name: splits.plan(data, smaller.protocol, smaller.seed) for name, data in layout.datasets.items()}
        cells = design.expand_cells(smaller, plans)
        cost = forecast.estimate_cost(_forecasts(Layout(smaller, layout.datasets, plans, cells), engine), timings)
        seconds = forecast.wall_seconds(cost.seconds, engine.n_jobs)
        if seconds <= budget:
            return True, smaller, seconds
    return False, smaller, seconds


def _time_pilot_fits(layout: Layout, forecasts: Sequence[forecast.Forecast], engine: runner.Engine) -> forecast.Timings:
    """Time a fit per data set, learner and strategy until :data:`PILOT_SECONDS` are spent, and one of each pair."""
    requests, timings = _pilot_requests(forecasts), dict[tuple[str, str, str], float]()
    end = time.perf_counter() + PILOT_SECONDS
    evaluators: dict[Family, runner.BundleEvaluator] = {}

    def time_fit(family: Family, rank: int, evaluator: runner.BundleEvaluator) -> None:
        if rank < len(requests.get(family, ())):
            strategy, request = requests[family][rank]
            timings[(*family, strategy)] = evaluator.time_fit(request)

    with engine.opened_store() as opened:
        for family, evaluator in _first_evaluators(layout, opened):
            time_fit(family, 0, evaluator)
            if time.perf_counter() < end:  # otherwise its arrays are not needed any more
                evaluators[family] = evaluator
        for rank in range(1, len(layout.study.strategies)):
            for family, evaluator in evaluators.items():
                if time.perf_counter() < end:
                    time_fit(family, rank, evaluator)
    return timings


def _pilot_requests(forecasts: Sequence[forecast.Forecast]) -> dict[Family, list[tuple[str, FitRequest]]]:
    """Return one request per strategy of every data set and learner, most fits first."""
    chosen: dict[Family, list[tuple[str, FitRequest]]] = {}
    for each in forecasts:
        by_strategy: defaultdict[str, list[FitRequest]] = defaultdict(list)
        for strategy, request in each.fits.values():
            if request is not None:
                by_strategy[strategy].append(request)
        if by_strategy and (each.dataset, each.learner) not in chosen:
            ranked = sorted(by_strategy.items(), key=lambda item: -len(item[1]))
            chosen[each.dataset, each.learner] = [(name, listed[len(listed) // 2]) for name, listed in ranked]
    return chosen


def _first_evaluators(
    layout: Layout, opened: runner.PredictionStore | None
) -> Iterator[tuple[Family, runner.BundleEvaluator]]:
    """Yield the evaluator of the first bundle of every data set and learner, data set by data set."""
    context, families = None, set[Family]()
    for bundle in runner.make_bundles(layout.study, layout.plans, layout.cells):
        family = bundle.dataset, bundle.cells[0].learner.name
        if family in families:
            continue
        families.add(family)
        if context is None or context.dataset is not layout.datasets[bundle.dataset]:
            context = runner.DatasetContext.of(layout.datasets[bundle.dataset], opened)
        yield family, runner.BundleEvaluator(bundle, context)


def _forecasts(layout: Layout, engine: runner.Engine | None) -> list[forecast.Forecast]:
    """Forecast every bundle; predictions in the store need no fit.

    Requests, which hold rows, are kept for one bundle of every data set and learner: a fit of each is timed.
    """
    forecasts = []
    timed: set[Family] = set()
    context = None
    with engine.opened_store() if engine else nullcontext() as opened:
        for bundle in runner.make_bundles(layout.study, layout.plans, layout.cells):
            if context is None or context.dataset is not layout.datasets[bundle.dataset]:
                context = runner.DatasetContext(layout.datasets[bundle.dataset], None, inner_folds={})
            evaluator = runner.BundleEvaluator(bundle, context)
            tasks = [evaluator.task(cell) for cell in bundle.cells]
            get = opened.get if opened else lambda _: None
            family = bundle.dataset, bundle.cells[0].learner.name
            forecasts.append(forecast.forecast_fits(tasks, evaluator.cache.sharing, get))
            if family in timed:
                forecasts[-1].forget_requests()
            elif any(request is not None for _, request in forecasts[-1].fits.values()):
                timed.add(family)
        return forecasts


def _dataset_facts(layout: Layout, name: str) -> dict[str, Any]:
    data, plan = layout.datasets[name], layout.plans[name]
    facts = datasets.dataset_facts(data)
    folds = [_fold_facts(data, split) for split in plan]
    types = {"numeric": len(facts["numeric"]), "categorical": facts["categorical"], "missing": facts["missing"]}
    if data.rare is not None:
        types["rare"] = f"levels with fewer than {data.rare} rows in a fit part are one level there"
    return {**facts, "folds": folds, "warnings": list(layout.cautions(name)), "columns": types}


def _fold_facts(data: Dataset, split: Split) -> dict[str, Any]:
    """Return the rows of both parts: positives of two classes, a list by class of more."""
    facts: dict[str, Any] = {"repeat": split.repeat, "fold": split.fold}
    for name, rows in (("train", split.train), ("test", split.test)):
        counts = class_rows(data, rows).tolist()
        facts |= {name: len(rows)}
        facts |= {f"{name}_pos": counts[1]} if len(counts) == 2 else {f"{name}_class_rows": counts}
    return facts


def _contrast_facts(study: Study, forecasts: Sequence[forecast.Forecast]) -> list[dict[str, Any]]:
    """List the declared contrasts with their families, and on how many data sets and learners they apply."""
    applied = {(f.dataset, f.learner, name) for f in forecasts for name in f.applicable}
    places, names = {(f.dataset, f.learner) for f in forecasts}, family_names(study)
    return [
        {
            "contrast": f"{a} - {b}",
            "family": names[a, b],
            "applicable": sum((*place, a) in applied and (*place, b) in applied for place in places),
            "families": len(places),
        }
        for a, b in declared_contrasts(study)
    ]


def _power_facts(layout: Layout, forecasts: Sequence[forecast.Forecast]) -> list[dict[str, Any]]:
    """Describe what the families of every data set and learner can show."""
    applicable: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for each in forecasts:
        applicable[each.dataset, each.learner] |= each.applicable.keys()
    recorded = _recorded_scores(layout)
    sizes = {name: _fold_sizes(layout, name) for name in layout.datasets}
    return [
        asdict(family)
        for place, names in applicable.items()
        for family in claims.plan_power(layout.study, place, sizes[place[0]], names, recorded.get(place))
    ]


def _fold_sizes(layout: Layout, name: str) -> claims.FoldSizes:
    data, plan = layout.datasets[name], layout.plans[name]
    repeats = len({split.repeat for split in plan})
    train, test = (sum(len(rows) for rows in parts) for parts in ([s.train for s in plan], [s.test for s in plan]))
    minority = sum(int(class_rows(data, split.test)[1:].sum()) for split in plan) / len(plan)
    folds = (repeats, len(plan) // repeats, test / train)
    is_timed, is_predefined = data.time is not None, data.folds is not None
    return claims.FoldSizes(*folds, minority, is_timed, is_predefined, len(data.classes))


def _recorded_scores(layout: Layout) -> dict[tuple[str, str], dict[str, dict[tuple[int, int], float]]]:
    """Find scores of these very cells in the studies of this directory, by data set and learner."""
    if not any(EXPERIMENTS.glob(f"*/{ledger.LEDGER_FILE}")):
        return {}
    addresses = {c.key: design.cell_address(c, layout.study, layout.datasets[c.dataset]) for c in layout.cells}
    known = ledger.find_scores(EXPERIMENTS, set(addresses.values()), layout.study.primary)
    recorded: dict[tuple[str, str], dict[str, dict[tuple[int, int], float]]] = {}
    for cell in layout.cells:
        if addresses[cell.key] in known:
            scores = recorded.setdefault((cell.dataset, cell.learner.name), {}).setdefault(cell.strategy.name, {})
            scores[cell.split.repeat, cell.split.fold] = known[addresses[cell.key]]
    return recorded


def _half_width_factors(layout: Layout) -> dict[str, Any]:
    """Return half the width of a 95 % interval, in standard deviations of the differences over folds, by data set."""
    factors = {}
    for name, plan in layout.plans.items():
        if layout.datasets[name].time is None and len(plan) > 1:
            train, test = [len(s.train) for s in plan], [len(s.test) for s in plan]
            factors[name] = paired_tests.half_width_factor(len(plan), train, test, layout.study.claims.alpha)
    return factors
