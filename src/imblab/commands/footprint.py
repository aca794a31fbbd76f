"""Estimates of what a study will hold in the prediction store and in MLflow, before anything runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from itertools import groupby
from typing import Any

from imblab.commands.layout import Layout
from imblab.core import forecast, replay
from imblab.edges import config, mlflow, runner, store
from imblab.text import format_bytes


def estimate_stored_bytes(layout: Layout) -> int:
    """Estimate the bytes of all predictions of a study in the prediction store."""
    return store.stored_bytes(count_predictions(layout))


def count_predictions(layout: Layout) -> Counter[int]:
    """Count the predictions of a study by the number of their values, at most: those of first splits, multiplied."""
    predict, totals = replay.lookup_only(lambda _: None), Counter[int]()
    for name, cells in groupby(layout.cells, key=lambda cell: cell.dataset):
        data, plan = layout.datasets[name], layout.plans[name]
        first = [cell for cell in cells if cell.split is plan[0]]
        tasks = replay.replay_tasks(layout.study, data, plan, first, predict)
        for _, members in groupby(tasks, key=lambda task: task.cell.learner.name):
            for n_values, count in forecast.count_stored(list(members)).items():
                totals[n_values] += len(plan) * count
    return totals


def raise_store_limit(layout: Layout, open_store: Callable[[], runner.PredictionStore] | None) -> str | None:
    """Raise the limit of the prediction store to what a study needs, and say so; None where nothing changes."""
    needed = estimate_stored_bytes(layout) if open_store is not None else 0
    if open_store is None or needed <= store.MAX_STUDY_BYTES:
        return None
    with closing(open_store()) as opened:
        before = opened.limit()
        limit = opened.raise_limit(needed)
    return describe_limit({"bytes": needed, "limit": limit, "former_limit": before})


def describe_limit(facts: Mapping[str, Any]) -> str | None:
    """Say how the limit of the prediction store follows a study, or why it cannot; None where it stays."""
    needed, limit, former = facts["bytes"], facts["limit"], facts["former_limit"]
    if needed > limit:
        return (
            f"The predictions of the study need about {format_bytes(needed)}, and the prediction store has room for "
            f"{format_bytes(limit)} on this disk: a rescore would fit the oldest again. Free the disk, ask for fewer "
            "candidates, or keep no predictions: runner.store=false."
        )
    if limit > former:
        rise = f"rises from {format_bytes(former)} to {format_bytes(limit)}"
        return f"The limit of the prediction store {rise}, since the study needs about {format_bytes(needed)}."
    return None


def describe_footprint(layout: Layout, request: config.Request) -> dict[str, Any]:
    """Return what a study will hold, as plain data for JSON; parts that are turned off are left out."""
    facts: dict[str, Any] = {}
    if request.runner.get("store", True):
        needed, limit, size = estimate_stored_bytes(layout), store.MAX_STORE_BYTES, 0
        free = store.free_bytes(store.DEFAULT_PATH)
        if store.DEFAULT_PATH.exists():
            with closing(store.SqliteStore(store.DEFAULT_PATH.resolve())) as opened:
                limit, size = opened.limit(), opened.size()
        raised = store.raised_limit(needed, limit, size, free)
        facts["store"] = {"bytes": needed, "limit": raised, "former_limit": limit, "holds": size, "free": free}
    if request.tracking.get("enabled", True):
        study, log = layout.study, mlflow.choose_candidate_log(layout.study, str(request.tracking["search"]))
        cells = len(study.datasets) * len(study.learners) * len(study.strategies)
        below = log.n_runs if log.mode == "candidates" else 0
        facts["mlflow"] = {"runs": 1 + cells + below, "candidates": log.n_runs, "search": log.mode}
    return facts
