"""Saved views of MLflow's run table with the comparisons people make.

MLflow keeps a named view of an experiment in the experiment tag ``mlflow.sharedViewState.<key>``. The format is not
documented, so nothing depends on it: views are written for the release of MLflow in which they were tested, and MLflow
shows its default table for a view that it cannot read.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from imblab.edges.mlflow.notes import NOT_RECOMMENDED, RECOMMENDED_TAG, VERDICT_TAG
from imblab.edges.mlflow.runs import RANK_PREFIX, RunSpec, distinguishing_names, mlflow_name
from imblab.result import Family
from imblab.study import Study

VIEW_TAG_PREFIX = "mlflow.sharedViewState."
#: The release of MLflow in whose pages the views were tested, and the version of the format that is written.
TESTED_RELEASE, FORMAT_VERSION = "3.17.", 2
#: Begins the keys of imblab's views, in tags and links.
KEY_PREFIX = "imblab-"
ANSWER_VIEW, STRATEGIES_VIEW, SEARCH_VIEW = f"{KEY_PREFIX}answer", f"{KEY_PREFIX}strategies", f"{KEY_PREFIX}search"
#: Names of the views in MLflow's menu; views of one data set and learner begin with these.
VIEW_NAMES = {ANSWER_VIEW: "Answer", STRATEGIES_VIEW: "Strategies", SEARCH_VIEW: "Search"}
#: Data sets and learners that have views of their own; MLflow reads all views with every page.
MAX_FAMILIES = 24
#: Begins the state of a view that is compressed.
PACKED_PREFIX = "deflate;"
SHOWN_MEASURES = ("mcc", "pr_auc", "recall", "precision")
#: Begins the keys of the recall of classes, and the rarest ones that have a column and a chart.
CLASS_RECALL, MAX_CLASS_CHARTS = "recall/class_", 3
#: Widths of columns in pixels, by name and by the kind of what is not named; a longer title makes a column wider.
RUN_NAME_COLUMN, CREATED_COLUMN = "attributes.`Run Name`", "runDateAndNestInfo"
COLUMN_WIDTHS = {RUN_NAME_COLUMN: 220, CREATED_COLUMN: 100, f"tags.`{VERDICT_TAG}`": 280, "params.`strategy`": 150}
LEAST_WIDTHS = {"metrics": 80, "params": 90, "tags": 140}
#: Heights of a chart of bars in pixels.
MIN_BARS_HEIGHT, MAX_BARS_HEIGHT = 320, 760
#: Pixels of a character of a title, and around it.
CHARACTER_WIDTH, TITLE_MARGIN = 7, 28


@dataclass(frozen=True, slots=True)
class LoggedRuns:
    """The metrics of a study's runs, and where they are; other metrics get neither column nor chart."""

    metrics: Mapping[str, Collection[str]]  # keys by the role of the runs that hold them
    families: Sequence[Family] = ()  # with a cell, in the order of the study
    searched: Mapping[Family, Sequence[str]] = field(default_factory=dict)  # strategies with candidates or winners
    classes: Mapping[Family, int] = field(default_factory=dict)  # where there are more than two

    def rarest(self, family: Family | None) -> list[str]:
        """Keys of the recall of the rarest classes, the rarest first: of a family, or of the one with most classes."""
        counts = [n for key, n in self.classes.items() if family in (None, key)]
        return [f"{CLASS_RECALL}{index}" for index in range(max(counts, default=0) - 1, 0, -1)][:MAX_CLASS_CHARTS]


@dataclass(frozen=True, slots=True)
class SavedView:
    """A saved view of the run table: its key in links, its name in the menu, and the state of MLflow's page."""

    key: str
    name: str
    state: Mapping[str, Any]


def logged_runs(runs: Sequence[RunSpec]) -> LoggedRuns:
    """Collect what the runs of a study hold."""
    metrics: dict[str, set[str]] = {}
    families: dict[Family, None] = {}
    searched: dict[Family, dict[str, None]] = {}
    classes: dict[Family, int] = {}
    for run in runs:
        metrics.setdefault(run.role, set()).update(mlflow_name(name) for name, _, _ in run.metrics)
        if run.role != "study":
            family = run.params["dataset"], run.params["learner"]
            families[family] = None
            if n_classes := len({name for name, _, _ in run.metrics if name.startswith(CLASS_RECALL)}):
                classes[family] = max(n_classes, classes.get(family, 0))
            if run.role != "cell":
                searched.setdefault(family, {})[run.params["strategy"]] = None
    return LoggedRuns(metrics, tuple(families), {family: tuple(names) for family, names in searched.items()}, classes)


def saved_views(study: Study, logged: LoggedRuns) -> list[SavedView]:
    """The views of a study: the answer by data set and learner, the strategies, the candidates of logged searches.

    A study of several data sets or learners has the latter two for each: colours then show strategies and knobs.
    """
    role = next((role for role in ("candidate", "winner") if logged.metrics.get(role)), "")
    views = [_answer_view(study, logged), _strategies_view(study, logged, None)]
    if len(logged.families) <= 1:
        return views + [_search_view(study, logged, role, family) for family in logged.searched]
    for family in logged.families[:MAX_FAMILIES]:
        views.append(_strategies_view(study, logged, family))
        views += [_search_view(study, logged, role, family)] if family in logged.searched else []
    return views


def encode_view(view: SavedView, created: int) -> tuple[str, str]:
    """Key and value of the experiment tag that holds a view; MLflow lists the newest ``created`` (ms) first.

    Examples
    --------
    >>> decode_view(*encode_view(SavedView("mine", "Mine", {"orderByAsc": False}), 0))
    SavedView(key='mine', name='Mine', state={'orderByAsc': False})
    """
    state = json.dumps(dict(view.state), separators=(",", ":"))
    packed = PACKED_PREFIX + b64encode(zlib.compress(state.encode("utf-8"), 9)).decode("ascii")
    envelope = {"name": view.name, "createdAt": created, "imblab": FORMAT_VERSION, "state": packed}
    return VIEW_TAG_PREFIX + view.key, json.dumps(envelope, separators=(",", ":"))


def decode_view(key: str, value: str) -> SavedView:
    """Read a view from the tag that holds it."""
    envelope = json.loads(value)
    state = zlib.decompress(b64decode(str(envelope["state"]).removeprefix(PACKED_PREFIX)))
    return SavedView(key.removeprefix(VIEW_TAG_PREFIX), str(envelope["name"]), json.loads(state))


def save_views(client: Any, experiment_id: str, study: Study, logged: LoggedRuns) -> list[SavedView]:
    """Write the views of a study to its experiment, delete former ones; none for an MLflow that was not tested."""
    if not version("mlflow").startswith(TESTED_RELEASE):
        return []
    experiment, views = client.get_experiment(experiment_id), saved_views(study, logged)
    for rank, view in enumerate(views):
        key, value = encode_view(view, (experiment.creation_time or 0) - rank)
        if experiment.tags.get(key) != value:
            client.set_experiment_tag(experiment_id, key, value)
    kept = {VIEW_TAG_PREFIX + view.key for view in views}
    for key in list(experiment.tags):
        if key.startswith(VIEW_TAG_PREFIX + KEY_PREFIX) and key not in kept:
            client.delete_experiment_tag(experiment_id, key)
    return views


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


def _answer_view(study: Study, logged: LoggedRuns) -> SavedView:
    available, primary = logged.metrics.get("cell", ()), study.primary
    gains = [name for name in (f"gain_{baseline}/{primary}" for baseline in ("threshold", "none")) if name in available]
    metrics = [primary, f"{primary}_ci_low", f"{primary}_ci_high", *gains[:1]]
    metrics += ["recall", *logged.rarest(None), "precision", "alerts_per_1000", *SHOWN_MEASURES]
    columns = _columns("tags", (RECOMMENDED_TAG, VERDICT_TAG))
    columns += _columns("metrics", [name for name in dict.fromkeys(metrics) if name in available])
    bars = [_bar_chart(name) for name in (primary, *gains[:1]) if name in available]
    sections = [
        _section("Recommended strategies", bars, columns=2, height=_bars_height(len(logged.families))),
        _section("Trade-offs", [_scatter_chart("recall", "precision")], columns=2),
    ]
    # MLflow would show rows by their start below the run of the study.
    state = _page_state("cell", ("params.`dataset`", True), columns, sections, logged)
    state["searchFilter"] += f" AND tags.`{RECOMMENDED_TAG}` != '{NOT_RECOMMENDED}'"
    return SavedView(ANSWER_VIEW, VIEW_NAMES[ANSWER_VIEW], state)


def _strategies_view(study: Study, logged: LoggedRuns, family: Family | None) -> SavedView:
    available, primary = logged.metrics.get("cell", ()), study.primary
    scores = list(dict.fromkeys((primary, *SHOWN_MEASURES)))
    gains = [f"gain_{baseline}/{primary}" for baseline in ("threshold", "none")]
    rarest = logged.rarest(family)
    height = _bars_height(len(study.strategies) * (len(logged.families) if family is None else 1))
    curves = [_line_chart("curve_mcc"), _line_chart("curve_precision", "curve_recall")]
    curves.append(_line_chart("curve_precision", against="curve_recall"))
    sections = [
        _section("Scores", [_bar_chart(name) for name in scores[:3] if name in available], height=height),
        _section("Recall of the rarest classes", [_bar_chart(name) for name in rarest], height=height),
        _section("Thresholds (step = threshold x 1000)", curves if "curve_mcc" in available else []),
        _section("Gains over the baselines", [_bar_chart(n) for n in gains if n in available], 2, height),
        _section("Trade-offs", [_scatter_chart("recall", "precision"), _scatter_chart("seconds", primary)], columns=2),
    ]
    metrics = [f"{RANK_PREFIX}{primary}", primary, f"{primary}_ci_low", f"{primary}_ci_high", *scores[1:]]
    metrics += [*rarest, "alerts_per_1000", *gains, "seconds", "fits"]
    columns = _columns("metrics", [name for name in metrics if name in available])
    columns += _columns("tags", (RECOMMENDED_TAG, VERDICT_TAG))
    state = _page_state("cell", (f"metrics.`{primary}`", _is_loss(study)), columns, sections, logged, family)
    return _view_of_family(STRATEGIES_VIEW, study, family, state)


def _search_view(study: Study, logged: LoggedRuns, role: str, family: Family) -> SavedView:
    """Parallel coordinates leave out runs without a value on an axis: each set of searched knobs has its own chart.

    Lines are coloured by the last axis, the primary measure.
    """
    available, primary = logged.metrics[role], f"inner/{study.primary}"
    scores = [n for n in dict.fromkeys((primary, *(f"inner/{n}" for n in SHOWN_MEASURES))) if n in available][:3]
    strategies = [each for each in study.strategies if each.name in logged.searched[family]]
    searched = dict.fromkeys(tuple(strategy.axes) for strategy in strategies)
    knobs = [*dict.fromkeys(knob for names in searched for knob in names), "threshold"]
    parallel = [
        _chart("PARALLEL", selectedParams=list(names), selectedMetrics=scores[::-1], showAllRuns=True)
        for names in sorted(searched, key=len, reverse=True)
        if names
    ]
    scatter = [_scatter_chart(knob, primary, "PARAM") for knob in knobs[:-1]]
    sections = [_section("Knobs and scores", parallel, columns=1, height=400), _section("One knob", scatter)]
    knobs += ["calibration"] if any(s.calibration != "none" for s in strategies) else []
    metrics = [name for name in (*scores, "n_chosen", "n_folds") if name in available]
    columns = [*_columns("params", ("strategy", *knobs)), *_columns("metrics", metrics)]
    is_only = len(logged.families) <= 1
    sort = (f"metrics.`{primary}`", _is_loss(study))
    state = _page_state(role, sort, columns, sections, logged, None if is_only else family)
    return _view_of_family(SEARCH_VIEW, study, None if is_only else family, state)


def _view_of_family(key: str, study: Study, family: Family | None, state: Mapping[str, Any]) -> SavedView:
    """Name a view after its data set and learner."""
    if family is None:
        return SavedView(key, VIEW_NAMES[key], state)
    names = ", ".join(distinguishing_names(study, *family) or family)
    return SavedView("-".join([key, *family]), f"{VIEW_NAMES[key]}: {names}", state)


def _is_loss(study: Study) -> bool:
    return not study.primary_measure.greater_is_better


def _page_state(
    role: str,
    sort: tuple[str, bool],
    columns: Sequence[str],
    sections: Sequence[Mapping[str, Any]],
    logged: LoggedRuns,
    family: Family | None = None,
) -> dict[str, Any]:
    """The complete state of MLflow's page, where every field is required; ``sort`` is a column and its direction."""
    sections = [section for section in sections if section["charts"]]
    # MLflow makes a chart of every metric; these sections come last and closed.
    prefixes = sorted({key.rpartition("/")[0] for key in logged.metrics.get(role, ())})
    folded = [_section(name or "Model metrics", display=False) for name in prefixes]
    conditions = [("role", role), *zip(("dataset", "learner"), family or (), strict=False)]
    shown = [RUN_NAME_COLUMN, *columns, CREATED_COLUMN]
    return {
        "searchFilter": " AND ".join(f"tags.`imblab.{name}` = '{value}'" for name, value in conditions),
        "orderByKey": sort[0],
        "orderByAsc": sort[1],
        **{"startTime": "ALL", "lifecycleFilter": "Active", "datasetsFilter": [], "modelVersionFilter": "All Runs"},
        "selectedColumns": list(columns),
        "columnOrder": shown,
        "columnWidths": {column: _width(column) for column in shown},
        **{"runsExpanded": {}, "runsPinned": [], "runsHidden": [], "runsVisibilityMap": {}},
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": [chart for section in sections for chart in section["charts"]],
        "compareRunSections": [{k: v for k, v in s.items() if k != "charts"} for s in (*sections, *folded)],
        **{"isAccordionReordered": True, "viewMaximized": False, "runListHidden": False},
        **{"groupBy": None, "groupsExpanded": {}, "autoRefreshEnabled": True},
        **{"useGroupedValuesInCharts": True, "hideEmptyCharts": True},
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _columns(kind: str, names: Sequence[str]) -> list[str]:
    return [f"{kind}.`{name}`" for name in names]


def _width(column: str) -> int:
    """The width of a column in pixels."""
    if column in COLUMN_WIDTHS:
        return COLUMN_WIDTHS[column]
    kind, _, name = column.partition(".")
    return max(LEAST_WIDTHS[kind], CHARACTER_WIDTH * len(name.strip("`")) + TITLE_MARGIN)


def _section(
    name: str, charts: Sequence[Mapping[str, Any]] = (), columns: int = 3, height: int = 360, display: bool = True
) -> dict[str, Any]:
    placed = [{"uuid": f"{name}-{i}", "metricSectionId": name, **chart} for i, chart in enumerate(charts)]
    section = {"uuid": name, "name": name, "display": display, "columns": columns, "cardHeight": height}
    return {**section, "isReordered": True, "deleted": False, "isGenerated": False, "charts": placed}


def _chart(kind: str, **options: Any) -> dict[str, Any]:
    return {"type": kind, "deleted": False, "isGenerated": False, "runsCountToCompare": 100, **options}


def _bars_height(bars: int) -> int:
    """The height of a chart in pixels at which its bars can be told apart."""
    return min(max(MIN_BARS_HEIGHT, 180 + 16 * bars), MAX_BARS_HEIGHT)


def _bar_chart(metric: str) -> dict[str, Any]:
    return _chart("BAR", metricKey=metric)


def _line_chart(*metrics: str, against: str = "") -> dict[str, Any]:
    """Stepped metrics as lines, over the step or against another metric."""
    options: dict[str, Any] = {"metricKey": metrics[0], "selectedMetricKeys": list(metrics)}
    options |= {"xAxisKey": "metric" if against else "step", "selectedXAxisMetricKey": against}
    options |= {"useGlobalXaxisKey": False, "lineSmoothness": 0, "useGlobalLineSmoothing": False}
    options |= {"scaleType": "linear", "xAxisScaleType": "linear", "displayPoints": False}
    options |= {"yAxisKey": "metric", "yAxisExpressions": [], "ignoreOutliers": False, "range": {}}
    return _chart("LINE", **options)


def _scatter_chart(x: str, y: str, kind: str = "METRIC") -> dict[str, Any]:
    return _chart("SCATTER", xaxis={"key": x, "type": kind}, yaxis={"key": y, "type": "METRIC"})
