"""Saved views of MLflow's run table with the comparisons people make.

MLflow keeps a named view of an experiment in the experiment tag ``mlflow.sharedViewState.<key>``. The format is not
documented, so nothing depends on it: views are written for the release of MLflow in which they were tested, and MLflow
shows its default table for a view that it cannot read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from imblab.study import Study

VIEW_TAG_PREFIX = "mlflow.sharedViewState."
#: The release of MLflow in whose pages the views were tested, and the version of the format that is written.
TESTED_RELEASE, FORMAT_VERSION = "3.17.", 1
#: Keys of the views, in tags and links.
STRATEGIES_VIEW, SEARCH_VIEW = "imblab-strategies", "imblab-search"
#: Names of the views in MLflow's menu.
VIEW_NAMES = {STRATEGIES_VIEW: "Strategies", SEARCH_VIEW: "Search"}
SHOWN_MEASURES = ("mcc", "pr_auc", "recall", "precision")
#: Keys of metrics by the role of the runs that hold them; other metrics get no column and no chart.
LoggedMetrics = Mapping[str, Collection[str]]


@dataclass(frozen=True, slots=True)
class SavedView:
    """A saved view of the run table: its key in links, its name in the menu, and the state of MLflow's page."""

    key: str
    name: str
    state: Mapping[str, Any]


def saved_views(study: Study, logged: LoggedMetrics) -> list[SavedView]:
    """The views of a study.

    :data:`STRATEGIES_VIEW` has cell runs by the primary measure, threshold curves, precision against recall and gains.
    :data:`SEARCH_VIEW` has candidates by their inner value, with parallel coordinates over the knobs; it is left out
    where no search was logged.
    """
    searched_role = next((role for role in ("candidate", "winner", "trial") if logged.get(role)), None)
    views = [_strategies_view(study, logged)]
    return views + ([_search_view(study, logged, searched_role)] if searched_role else [])


def encode_view(view: SavedView, created: int) -> tuple[str, str]:
    """Key and value of the experiment tag that holds a view; MLflow lists the newest ``created`` (ms) first.

    Examples
    --------
    >>> decode_view(*encode_view(SavedView("mine", "Mine", {"orderByAsc": False}), 0))
    SavedView(key='mine', name='Mine', state={'orderByAsc': False})
    """
    state = json.dumps(dict(view.state), separators=(",", ":"))
    envelope = {"name": view.name, "createdAt": created, "imblab": FORMAT_VERSION, "state": state}
    return VIEW_TAG_PREFIX + view.key, json.dumps(envelope, separators=(",", ":"))


def decode_view(key: str, value: str) -> SavedView:
    """Read a view from the tag that holds it."""
    envelope = json.loads(value)
    return SavedView(key.removeprefix(VIEW_TAG_PREFIX), str(envelope["name"]), json.loads(envelope["state"]))


def save_views(client: Any, experiment_id: str, study: Study, logged: LoggedMetrics) -> None:
    """Write the views of a study to its experiment, where they are missing or differ."""
    if not version("mlflow").startswith(TESTED_RELEASE):
        return
    experiment = client.get_experiment(experiment_id)
    for rank, view in enumerate(saved_views(study, logged)):
        key, value = encode_view(view, (experiment.creation_time or 0) - rank)
        if experiment.tags.get(key) != value:
            client.set_experiment_tag(experiment_id, key, value)


def view_link(server: str, experiment_id: str, key: str, charts: bool = False) -> str:
    """The address of a view, of the plain run table if ``key`` is empty; ``charts`` opens its charts.

    Examples
    --------
    >>> view_link("http://127.0.0.1:5000", "1", STRATEGIES_VIEW)
    'http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=imblab-strategies'
    """
    query = ["workflowType=machine_learning"]
    query += [f"viewStateShareKey={quote(key)}"] if key else []
    query += ["compareRunsMode=CHART"] if charts else []
    return f"{server}/#/experiments/{experiment_id}/runs?{'&'.join(query)}"


def _strategies_view(study: Study, logged: LoggedMetrics) -> SavedView:
    available, primary = logged.get("cell", ()), study.primary
    scores = list(dict.fromkeys((primary, *SHOWN_MEASURES)))
    gains = [f"gain_{baseline}/{primary}" for baseline in ("none", "threshold")]
    curves = [
        _line_chart("curve_mcc"),
        _line_chart("curve_precision", "curve_recall"),
        _line_chart("curve_precision", against="curve_recall"),
    ]
    sections = [
        _section("Scores", [_bar_chart(name) for name in scores[:3] if name in available], height=320),
        _section("Thresholds (step = threshold x 1000)", curves if "curve_mcc" in available else []),
        _section("Gains over the baselines", [_bar_chart(n) for n in gains if n in available], columns=2, height=320),
        _section("Trade-offs", [_scatter_chart("recall", "precision"), _scatter_chart("seconds", primary)], columns=2),
    ]
    metrics = (*scores, f"{primary}_ci_low", f"{primary}_ci_high", *gains, "seconds", "fits")
    columns = _columns("metrics", [name for name in metrics if name in available])
    columns += _columns("params", ("strategy", "learner", "dataset"))
    state = _page_state("cell", (primary, _is_loss(study)), columns, sections, logged)
    return SavedView(STRATEGIES_VIEW, VIEW_NAMES[STRATEGIES_VIEW], {**state, "runsHiddenMode": "FIRST_20_RUNS"})


def _search_view(study: Study, logged: LoggedMetrics, role: str) -> SavedView:
    """Parallel coordinates leave out runs without a value on an axis: each set of searched knobs has its own chart.

    Lines are coloured by the last axis, the primary measure.
    """
    available, primary = logged[role], f"inner/{study.primary}"
    scores = [n for n in dict.fromkeys((primary, *(f"inner/{n}" for n in SHOWN_MEASURES))) if n in available][:3]
    searched = dict.fromkeys(tuple(strategy.axes) for strategy in study.strategies)
    knobs = [*dict.fromkeys(knob for names in searched for knob in names), "threshold"]
    parallel = [
        _chart("PARALLEL", selectedParams=list(names), selectedMetrics=scores[::-1], showAllRuns=True)
        for names in sorted(searched, key=len, reverse=True)
        if names
    ]
    scatter = [_scatter_chart(knob, primary, "PARAM") for knob in knobs[:-1]]
    sections = [_section("Knobs and scores", parallel, columns=1, height=400), _section("One knob", scatter)]
    knobs += ["calibration"] if any(s.calibration != "none" for s in study.strategies) else []
    metrics = [name for name in (*scores, "n_chosen", "n_folds") if name in available]
    columns = [*_columns("metrics", metrics), *_columns("params", ("strategy", *knobs, "learner", "dataset"))]
    state = _page_state(role, (primary, _is_loss(study)), columns, sections, logged)
    return SavedView(SEARCH_VIEW, VIEW_NAMES[SEARCH_VIEW], state)


def _is_loss(study: Study) -> bool:
    return not study.primary_measure.greater_is_better


def _page_state(
    role: str,
    sort: tuple[str, bool],
    columns: Sequence[str],
    sections: Sequence[Mapping[str, Any]],
    logged: LoggedMetrics,
) -> dict[str, Any]:
    """The complete state of MLflow's page, in which every field is required; ``sort`` is a metric and its direction."""
    sections = [section for section in sections if section["charts"]]
    # MLflow makes a chart of every metric; these sections come last and closed.
    prefixes = sorted({key.rpartition("/")[0] for key in logged.get(role, ())})
    folded = [_section(name or "Model metrics", display=False) for name in prefixes]
    return {
        "searchFilter": f"tags.`imblab.role` = '{role}'",
        "orderByKey": f"metrics.`{sort[0]}`",
        "orderByAsc": sort[1],
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(columns),
        "columnOrder": ["attributes.`Run Name`", *columns],
        "columnWidths": {},
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": [chart for section in sections for chart in section["charts"]],
        "compareRunSections": [{k: v for k, v in s.items() if k != "charts"} for s in (*sections, *folded)],
        "isAccordionReordered": True,
        "viewMaximized": False,
        "runListHidden": False,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _columns(kind: str, names: Sequence[str]) -> list[str]:
    return [f"{kind}.`{name}`" for name in names]


def _section(
    name: str, charts: Sequence[Mapping[str, Any]] = (), columns: int = 3, height: int = 360, display: bool = True
) -> dict[str, Any]:
    placed = [{"uuid": f"{name}-{i}", "metricSectionId": name, **chart} for i, chart in enumerate(charts)]
    section = {"uuid": name, "name": name, "display": display, "columns": columns, "cardHeight": height}
    return {**section, "isReordered": True, "deleted": False, "isGenerated": False, "charts": placed}


def _chart(kind: str, **options: Any) -> dict[str, Any]:
    return {"type": kind, "deleted": False, "isGenerated": False, "runsCountToCompare": 100, **options}


def _bar_chart(metric: str) -> dict[str, Any]:
    return _chart("BAR", metricKey=metric)


def _line_chart(*metrics: str, against: str = "") -> dict[str, Any]:
    """Stepped metrics as lines, over the step or against another metric."""
    return _chart(
        "LINE",
        metricKey=metrics[0],
        selectedMetricKeys=list(metrics),
        xAxisKey="metric" if against else "step",
        selectedXAxisMetricKey=against,
        useGlobalXaxisKey=False,
        lineSmoothness=0,
        useGlobalLineSmoothing=False,
        scaleType="linear",
        xAxisScaleType="linear",
        displayPoints=False,
        yAxisKey="metric",
        yAxisExpressions=[],
        ignoreOutliers=False,
        range={},
    )


def _scatter_chart(x: str, y: str, kind: str = "METRIC") -> dict[str, Any]:
    return _chart("SCATTER", xaxis={"key": x, "type": kind}, yaxis={"key": y, "type": "METRIC"})
