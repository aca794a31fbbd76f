"""Saved views of MLflow's run table: the comparisons people make, one click from the first page.

MLflow keeps a named view of an experiment in a tag of its own, ``mlflow.sharedViewState.<key>``. The format is not
documented: nothing depends on it, it is written for the release of MLflow where it was seen to work, and a view that
is not understood leaves MLflow's own table.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NoReturn
from urllib.parse import quote

from imblab.edges.mlflow.addresses import absolute_uri, artifact_folder, check_servable, file_uri
from imblab.edges.mlflow.client import connect, locked_store, quiet_environment, store_errors
from imblab.edges.mlflow.experiments import ROLE_TAG, STUDY_TAG
from imblab.errors import StudyError, presentable
from imblab.study import Study

VIEW_TAG_PREFIX = "mlflow.sharedViewState."
#: The release of MLflow whose pages were seen to open these views, and the version of what is written.
TESTED_RELEASE, FORMAT_VERSION = "3.17.", 1
#: The keys under which views are found again: in the tag, and in links.
STRATEGIES_VIEW, SEARCH_VIEW = "imblab-strategies", "imblab-search"
#: What MLflow's menu calls them.
VIEW_NAMES = {STRATEGIES_VIEW: "Strategies", SEARCH_VIEW: "Search"}
KNOBS, SHOWN_MEASURES = ("ratio", "k", "weight", "threshold"), ("mcc", "pr_auc", "recall", "precision")
Logged = Mapping[str, Collection[str]]


@dataclass(frozen=True, slots=True)
class SavedView:
    """One saved view.

    Attributes
    ----------
    key : str
        Its address in links.
    name : str
        What the menu calls it.
    state : mapping
        Columns, sort, filter and charts, in MLflow's words.
    """

    key: str
    name: str
    state: Mapping[str, Any]


def saved_views(study: Study, logged: Logged) -> list[SavedView]:
    """The strategies side by side, and the search below them where one is logged.

    Parameters
    ----------
    study : Study
    logged : mapping of str to set of str
        The keys of metrics by the role of the runs that hold them: what is not there gets no column and no chart.

    Returns
    -------
    list of View
        :data:`STRATEGIES`: cell runs by the primary measure, threshold curves, precision against recall, gains.
        :data:`SEARCH`: candidates by their inner value, parallel coordinates over the knobs.
    """
    below = next((role for role in ("candidate", "winner", "trial") if logged.get(role)), None)
    found = [_strategies(study, logged)]
    return found + ([_search(study, logged, below)] if below else [])


def encode_view(view: SavedView, created: int) -> tuple[str, str]:
    """The tag of an experiment that holds a view.

    Parameters
    ----------
    view : View
    created : int
        Milliseconds since 1970; MLflow lists the newest first.

    Returns
    -------
    tuple of str
        Key and value.

    Examples
    --------
    >>> decode(*encode(View("mine", "Mine", {"orderByAsc": False}), 0))
    View(key='mine', name='Mine', state={'orderByAsc': False})
    """
    state = json.dumps(dict(view.state), separators=(",", ":"))
    envelope = {"name": view.name, "createdAt": created, "imblab": FORMAT_VERSION, "state": state}
    return VIEW_TAG_PREFIX + view.key, json.dumps(envelope, separators=(",", ":"))


def decode_view(key: str, value: str) -> SavedView:
    """A view from the tag that holds it; the inverse of :func:`encode`."""
    envelope = json.loads(value)
    return SavedView(key.removeprefix(VIEW_TAG_PREFIX), str(envelope["name"]), json.loads(envelope["state"]))


def save_views(client: Any, experiment: str, study: Study, logged: Logged) -> None:
    """Write the views of a study to its experiment; those that are there and the same are left alone.

    Parameters
    ----------
    client : MlflowClient
    experiment : str
        The id.
    study : Study
    logged : mapping of str to set of str
        As :func:`views` takes it.
    """
    if not version("mlflow").startswith(TESTED_RELEASE):
        return
    found = client.get_experiment(experiment)
    for rank, view in enumerate(saved_views(study, logged)):
        key, value = encode_view(view, (found.creation_time or 0) - rank)
        if found.tags.get(key) != value:
            client.set_experiment_tag(experiment, key, value)


def view_link(server: str, experiment: str, key: str, charts: bool = False) -> str:
    """The address of a view.

    Parameters
    ----------
    server : str
        Such as ``http://127.0.0.1:5000``.
    experiment : str
        The id.
    key : str
        Of the view; the plain run table if empty.
    charts : bool, default=False
        Open at the charts instead of the table.

    Examples
    --------
    >>> link("http://127.0.0.1:5000", "1", STRATEGIES)
    'http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=imblab-strategies'
    """
    asked = ["workflowType=machine_learning"]
    asked += [f"viewStateShareKey={quote(key)}"] if key else []
    asked += ["compareRunsMode=CHART"] if charts else []
    return f"{server}/#/experiments/{experiment}/runs?{'&'.join(asked)}"


def _strategies(study: Study, logged: Logged) -> SavedView:
    known, first = logged.get("cell", ()), study.primary
    scores = list(dict.fromkeys((first, *SHOWN_MEASURES)))
    gains = [f"gain_{base}/{first}" for base in ("none", "threshold")]
    curves = [
        _curve("curve_mcc"),
        _curve("curve_precision", "curve_recall"),
        _curve("curve_precision", against="curve_recall"),
    ]
    sections = [
        _section("Scores", [_bar(name) for name in scores[:3] if name in known], height=320),
        _section("Thresholds (step = threshold x 1000)", curves if "curve_mcc" in known else []),
        _section("Gains over the reference arms", [_bar(n) for n in gains if n in known], columns=2, height=320),
        _section("Trade-offs", [_scatter("recall", "precision"), _scatter("seconds", first)], columns=2),
    ]
    metrics = (*scores, f"{first}_ci_low", f"{first}_ci_high", *gains, "seconds", "fits")
    columns = _columns("metrics", [name for name in metrics if name in known])
    columns += _columns("params", ("strategy", "learner", "dataset"))
    state = _state("cell", (first, _rises(study)), columns, sections, logged)
    return SavedView(STRATEGIES_VIEW, VIEW_NAMES[STRATEGIES_VIEW], {**state, "runsHiddenMode": "FIRST_20_RUNS"})


def _search(study: Study, logged: Logged, role: str) -> SavedView:
    """Parallel coordinates leave out runs without a value on an axis, so each set of searched knobs has its chart.

    Lines are coloured by the last axis: the primary measure.
    """
    known, first = logged[role], f"inner/{study.primary}"
    scores = [name for name in dict.fromkeys((first, *(f"inner/{n}" for n in SHOWN_MEASURES))) if name in known][:3]
    searched = dict.fromkeys(tuple(k for k in KNOBS[:3] if k in s.space) for s in study.strategies)
    parallel = [
        _chart("PARALLEL", selectedParams=list(knobs), selectedMetrics=scores[::-1], showAllRuns=True)
        for knobs in sorted(searched, key=len, reverse=True)
        if knobs
    ]
    scatter = [_scatter(knob, first, "PARAM") for knob in KNOBS if any(knob in knobs for knobs in searched)]
    sections = [_section("Knobs and scores", parallel, columns=1, height=400), _section("One knob", scatter)]
    metrics = [name for name in (*scores, "n_chosen", "n_folds") if name in known]
    knobs = (*KNOBS, "calibration") if any(s.calibration != "none" for s in study.strategies) else KNOBS
    columns = [*_columns("metrics", metrics), *_columns("params", ("strategy", *knobs, "learner", "dataset"))]
    return SavedView(
        SEARCH_VIEW, VIEW_NAMES[SEARCH_VIEW], _state(role, (first, _rises(study)), columns, sections, logged)
    )


def _rises(study: Study) -> bool:
    """Whether the best value of the primary measure is the least."""
    return any(m.name == study.primary and not m.greater_is_better for m in study.measures)


def _state(
    role: str, sort: tuple[str, bool], columns: Sequence[str], sections: Sequence[Mapping[str, Any]], logged: Logged
) -> dict[str, Any]:
    """A whole state of the page; MLflow wants every field."""
    sections = [section for section in sections if section["charts"]]
    # Where MLflow puts the charts it makes of every metric: below ours, closed.
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


def _chart(kind: str, **what: Any) -> dict[str, Any]:
    return {"type": kind, "deleted": False, "isGenerated": False, "runsCountToCompare": 100, **what}


def _bar(metric: str) -> dict[str, Any]:
    return _chart("BAR", metricKey=metric)


def _curve(*metrics: str, against: str = "") -> dict[str, Any]:
    """Stepped metrics as lines, over the step or against another one."""
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


def _scatter(x: str, y: str, kind: str = "METRIC") -> dict[str, Any]:
    return _chart("SCATTER", xaxis={"key": x, "type": kind}, yaxis={"key": y, "type": "METRIC"})


def serve(uri: str, port: int | None, say: Callable[[str], None], study: str | None = None) -> NoReturn:
    """Become a server of MLflow's pages on loopback, until interrupted.

    Parameters
    ----------
    uri : str
        A database that exists.
    port : int or None
        The first free one from 5000 on by default.
    say : callable
        Receives the address, and those of the saved views of a study.
    study : str, optional
        The newest by default.

    Raises
    ------
    StudyError
        If there is no such store or study, or the port is taken.
    """
    check_servable(uri)
    chosen = _free_port(port)
    way_out = "its runs are what the page shows. Start the database, or name another store with --uri."
    with store_errors(uri, way_out), locked_store(uri):
        found = study_pages(connect(uri), f"http://127.0.0.1:{chosen}", study, presentable(uri))
    command, environment = ui_command(uri, chosen)
    say("\n".join([f"MLflow starts on http://127.0.0.1:{chosen} (Ctrl-C ends it)", *found]))
    # The server takes the place of this process, with its memory and its signals: Ctrl-C ends it with 0.
    os.execve(command[0], command, {**os.environ, **environment})


def ui_command(uri: str, port: int) -> tuple[list[str], dict[str, str]]:
    """The command and environment of a light server: one worker, no job runner, loopback only.

    Plain ``mlflow ui`` ignores ``MLFLOW_TRACKING_URI`` and starts 15 processes. The address of the store may hold a
    password, so it stands in the environment, where other users do not see it.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--artifacts-destination", file_uri(artifact_folder(uri))]
    # A line a request would bury the addresses of the views.
    command += ["--uvicorn-opts", "--log-level warning"]
    store = {"MLFLOW_BACKEND_STORE_URI": absolute_uri(uri)}
    return command, {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **store, **quiet_environment()}


def study_pages(client: Any, server: str, name: str | None, store: str) -> list[str]:
    """Where a study is compared.

    Parameters
    ----------
    client : MlflowClient
    server : str
        The address of the pages.
    name : str or None
        Of the study or its experiment; the newest if None.
    store : str
        For the message.

    Returns
    -------
    list of str
        A title and an address for each saved view, or for the plain run table where none is saved; empty where the
        store holds no study.

    Raises
    ------
    StudyError
        If no such study is logged.
    """
    experiments = {found.experiment_id: found for found in client.search_experiments(max_results=10_000)}
    asked = [key for key, found in experiments.items() if name in (None, found.name, found.tags.get(STUDY_TAG))]
    newest = {"order_by": ["attributes.start_time DESC"], "max_results": 1}
    runs = client.search_runs(asked, f"tags.`{ROLE_TAG}` = 'study'", **newest) if asked else []
    if not runs and name is not None:
        known = sorted(found.name for key, found in experiments.items() if key != "0")
        raise StudyError(
            f"there is no study {name!r} in the MLflow store {store!r}; a study is logged there when it has run. "
            f"Look at one of {known}, or run imblab run name={name} ..."
        )
    if not runs:
        return []
    found = experiments[runs[0].info.experiment_id]
    saved = [(title, key) for key, title in VIEW_NAMES.items() if VIEW_TAG_PREFIX + key in found.tags] or [("Runs", "")]
    return [f"{title} of {found.name}: {view_link(server, found.experiment_id, key)}" for title, key in saved]


def _free_port(port: int | None) -> int:
    import socket

    for candidate in (port,) if port else range(5000, 5100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", candidate)) != 0:
                return candidate
    taken = f"port {port} is" if port else "ports 5000 to 5099 are all"
    raise StudyError(f"{taken} taken; the page needs one of its own. Choose another with --port.")
