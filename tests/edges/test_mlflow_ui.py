"""Saved views are values: they come back as they were written, fit their tag and show only what is logged."""

import json
import re
import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, strategies as st

from imblab.edges import config, palette
from imblab.edges.mlflow import study_runs, ui, views
from imblab.edges.mlflow.runs import RunSpec
from imblab.errors import StudyError

ROOT = Path(__file__).parents[2]
CELL = {
    "mcc",
    "mcc_ci_low",
    "mcc_ci_high",
    "pr_auc",
    "recall",
    "precision",
    "rank/mcc",
    "alerts_per_1000",
    "seconds",
    "fits",
    "fold/mcc",
    "pooled/mcc",
}
CURVES = {"curve_mcc", "curve_precision", "curve_recall"}
GAINS = {"gain_none/mcc", "gain_threshold/mcc"}
INNER = {"inner/mcc", "inner/pr_auc", "inner/recall", "n_chosen", "n_folds"}
METRICS = {"study": {"fits"}, "cell": CELL | CURVES | GAINS, "candidate": INNER}
SEARCHED = ("class_weight", "smote", "smote_threshold")
ONE = ("yeast4", "logistic")
LOGGED = views.LoggedRuns(METRICS, (ONE,), {ONE: SEARCHED})
FAMILIES = tuple((dataset, learner) for dataset in ("yeast4", "hypothyroid") for learner in ("logistic", "lightgbm"))


@pytest.fixture(scope="module")
def study():
    words = ["experiment=quickstart", "dataset=[yeast4,hypothyroid]", "learner=[logistic,lightgbm]"]
    return config.compose_request(words).study


class Client:
    """Of MLflow's client, what :func:`views.save` calls."""

    def __init__(self):
        self.tags, self.writes = {}, 0
        self.creation_time = 1_700_000_000_000

    def get_experiment(self, _):
        return self

    def set_experiment_tag(self, _, key, value):
        self.tags[key] = value
        self.writes += 1

    def delete_experiment_tag(self, _, key):
        del self.tags[key]


def charts(view):
    return view.state["compareRunCharts"]


def sections(view, display):
    return [s["name"] for s in view.state["compareRunSections"] if s["display"] is display]


def named(view):
    """Every metric that a view names."""
    found = {c.split("`")[1] for c in view.state["selectedColumns"] if c.startswith("metrics.")}
    for chart in charts(view):
        found |= {chart["metricKey"]} if "metricKey" in chart else set()
        found |= {*chart.get("selectedMetricKeys", ()), *chart.get("selectedMetrics", ())}
        found |= {chart[axis]["key"] for axis in ("xaxis", "yaxis") if chart.get(axis, {}).get("type") == "METRIC"}
        found |= {chart["selectedXAxisMetricKey"]} if chart.get("selectedXAxisMetricKey") else set()
    return found


def test_a_study_has_views_of_its_answer_its_strategies_and_its_search(study):
    answer, strategies, search = views.saved_views(study, LOGGED)
    assert answer.state["searchFilter"] == "tags.`imblab.role` = 'cell' AND tags.`imblab.recommended` != 'no'"
    # With a sort by the start, MLflow would show the rows below the run of the study.
    assert answer.state["orderByKey"] == "params.`dataset`"
    shown = [column.split("`")[1] for column in answer.state["selectedColumns"]]
    assert shown == [
        "imblab.recommended", "imblab.verdict", "mcc", "mcc_ci_low", "mcc_ci_high", "gain_threshold/mcc", "recall",
        "precision", "alerts_per_1000", "pr_auc",
    ]  # fmt: skip
    assert strategies.state["searchFilter"] == "tags.`imblab.role` = 'cell'"
    assert (strategies.state["orderByKey"], strategies.state["orderByAsc"]) == ("metrics.`mcc`", False)
    assert strategies.state["selectedColumns"][:2] == ["metrics.`rank/mcc`", "metrics.`mcc`"]
    assert search.state["searchFilter"].startswith("tags.`imblab.role` = 'candidate'")
    parallel = [chart for chart in charts(search) if chart["type"] == "PARALLEL"]
    # A run without a value on an axis is not drawn: knobs that are searched together share a chart, the richest first.
    assert [chart["selectedParams"] for chart in parallel] == [["ratio", "k"], ["weight"]]
    # MLflow colours lines by the last axis.
    assert all(chart["selectedMetrics"][-1] == "inner/mcc" for chart in parallel)


def test_several_data_sets_and_learners_have_views_of_their_own(study):
    searched = {family: SEARCHED for family in FAMILIES[1:]} | {FAMILIES[3]: ("class_weight",)}
    found = views.saved_views(study, views.LoggedRuns(METRICS, FAMILIES, searched))
    assert [view.name for view in found[:5]] == [
        "Answer",
        "Strategies",
        "Strategies: yeast4, logistic",
        "Strategies: yeast4, lightgbm",
        "Search: yeast4, lightgbm",
    ]
    assert len(found) == 2 + 4 + 3
    assert len({view.key for view in found}) == len(found)
    last = found[-1]
    conditions = last.state["searchFilter"].split(" AND ")
    assert conditions == [
        "tags.`imblab.role` = 'candidate'",
        "tags.`imblab.dataset` = 'hypothyroid'",
        "tags.`imblab.learner` = 'lightgbm'",
    ]
    # Only what was searched there has a chart.
    assert [c["selectedParams"] for c in charts(last) if c["type"] == "PARALLEL"] == [["weight"]]
    many = views.LoggedRuns(METRICS, [(f"d{i}", "logistic") for i in range(200)], {})
    assert len(views.saved_views(study, many)) == 2 + views.MAX_FAMILIES


def test_every_run_is_charted_and_every_column_has_a_width(study):
    for view in views.saved_views(study, LOGGED):
        assert view.state["runsHiddenMode"] == "SHOW_ALL"
        assert set(view.state["columnWidths"]) == set(view.state["columnOrder"])
        assert set(view.state["selectedColumns"]) < set(view.state["columnOrder"])
        assert all(width > 7 * len(c.split("`")[-2]) for c, width in view.state["columnWidths"].items() if "`" in c)


def test_only_what_is_logged_has_a_column_or_a_chart(study):
    for view, role in zip(views.saved_views(study, LOGGED), ("cell", "cell", "candidate"), strict=True):
        assert named(view) <= METRICS[role]
    bare = views.LoggedRuns({"cell": CELL, "winner": {"inner/mcc"}}, (ONE,), {ONE: SEARCHED})
    answer, strategies, search = views.saved_views(study, bare)
    assert named(answer) | named(strategies) <= CELL
    assert sections(strategies, True) == ["Scores", "Trade-offs"]
    assert search.state["searchFilter"].startswith("tags.`imblab.role` = 'winner'")
    assert named(search) == {"inner/mcc"}
    without = views.saved_views(study, views.LoggedRuns({"cell": CELL}, (ONE,)))
    assert [view.key for view in without] == [views.ANSWER_VIEW, views.STRATEGIES_VIEW]


def test_the_charts_that_mlflow_makes_of_every_metric_are_closed(study):
    _, strategies, _ = views.saved_views(study, LOGGED)
    assert set(sections(strategies, False)) == {
        "Model metrics",
        "fold",
        "pooled",
        "gain_none",
        "gain_threshold",
        "rank",
    }
    ours = sections(strategies, True)
    assert {chart["metricSectionId"] for chart in charts(strategies)} == set(ours)
    names = [section["name"] for section in strategies.state["compareRunSections"]]
    assert names[: len(ours)] == ours
    assert len({chart["uuid"] for chart in charts(strategies)}) == len(charts(strategies))


def test_a_loss_is_sorted_from_the_least():
    study = config.compose_request(["experiment=quickstart", "primary=brier"]).study
    logged = views.LoggedRuns({"cell": {"brier"}, "candidate": {"inner/brier"}}, (ONE,), {ONE: SEARCHED})
    _, strategies, search = views.saved_views(study, logged)
    assert (strategies.state["orderByKey"], strategies.state["orderByAsc"]) == ("metrics.`brier`", True)
    assert (search.state["orderByKey"], search.state["orderByAsc"]) == ("metrics.`inner/brier`", True)


def test_saving_twice_writes_once_and_the_answer_stands_first(study):
    client = Client()
    client.tags[views.VIEW_TAG_PREFIX + "imblab-search-gone"] = client.tags[views.VIEW_TAG_PREFIX + "mine"] = "{}"
    found = views.save_views(client, "1", study, LOGGED)
    assert client.writes == 3
    assert views.VIEW_TAG_PREFIX + "imblab-search-gone" not in client.tags
    assert client.tags.pop(views.VIEW_TAG_PREFIX + "mine") == "{}"
    views.save_views(client, "1", study, LOGGED)
    assert client.writes == 3
    assert all(len(value) < 20_000 for value in client.tags.values())  # MLflow's limit of an experiment tag
    created = {key: json.loads(value)["createdAt"] for key, value in client.tags.items()}
    assert max(created, key=created.get) == views.VIEW_TAG_PREFIX + views.ANSWER_VIEW
    assert [views.decode_view(key, value) for key, value in client.tags.items()] == found


def test_a_release_of_mlflow_that_was_not_seen_gets_no_view(study, monkeypatch):
    client = Client()
    monkeypatch.setattr(views, "version", lambda name: "4.0.1")
    assert views.save_views(client, "1", study, LOGGED) == []
    assert client.writes == 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.text(), st.text(), st.dictionaries(st.text(), json_values, max_size=4), st.integers(0, 2**53))
def test_whatever_a_view_holds_comes_back(key, name, state, created):
    view = views.SavedView(key, name, state)
    assert views.decode_view(*views.encode_view(view, created)) == view
    held, value = views.encode_view(view, created)
    # What MLflow's page asks of the envelope: a text, a number and a text.
    envelope = json.loads(value)
    assert held == "mlflow.sharedViewState." + key
    assert (type(envelope["name"]), type(envelope["createdAt"]), type(envelope["state"])) == (str, int, str)


def test_strategies_have_the_colours_of_the_report(study):
    names = [item.name for item in study.strategies]
    assert len(names) == 5
    colours = [study_runs.run_colour(study, name) for name in names]
    assert len(set(colours)) == len(colours)
    looks = palette.looks_of(study.strategies, names)
    assert colours == [palette.line_colour(looks[name]) for name in names]
    assert study_runs.run_colour(study, "elsewhere") in [light for light, _ in palette.STRATEGY_COLOURS]


class Store:
    """Of MLflow's client, what finding the page of a study calls: two studies, the second one newer."""

    def __init__(self, **tags):
        names = {"0": "Default", "1": "a", "2": "b"}
        self.found = [SimpleNamespace(experiment_id=key, name=name, tags=tags) for key, name in names.items()]

    def search_experiments(self, max_results):
        return self.found

    def search_runs(self, ids, wanted, order_by, max_results):
        assert wanted == "tags.`imblab.role` = 'study'"
        assert order_by == ["attributes.start_time DESC"]
        newest = [i for i in ("2", "1") if i in ids][:max_results]
        return [SimpleNamespace(info=SimpleNamespace(experiment_id=i)) for i in newest]


HERE = "http://127.0.0.1:5000"


def test_the_page_of_the_newest_study_is_found_and_that_of_a_named_one():
    saved = Store(
        **{views.VIEW_TAG_PREFIX + views.STRATEGIES_VIEW: "{}", views.VIEW_TAG_PREFIX + views.SEARCH_VIEW: "{}"}
    )
    page = f"{HERE}/#/experiments/2/runs?workflowType=machine_learning&viewStateShareKey"
    assert ui.study_pages(saved, HERE, None, "here") == [
        ("Strategies of b", f"{page}=imblab-strategies"),
        ("Search of b", f"{page}=imblab-search"),
    ]
    assert all("/experiments/1/" in link for _, link in ui.study_pages(saved, HERE, "a", "here"))
    # Views are optional: without them, the plain table.
    plain = ("Runs of a", f"{HERE}/#/experiments/1/runs?workflowType=machine_learning")
    assert ui.study_pages(Store(), HERE, "a", "here") == [plain]


def test_a_study_that_is_not_logged_is_named_with_those_that_are():
    with pytest.raises(StudyError) as caught:
        ui.study_pages(Store(), HERE, "c", "sqlite:///mlruns/mlflow.db")
    said = str(caught.value)
    assert "study 'c' is not in the MLflow store 'sqlite:///mlruns/mlflow.db'" in said
    assert "['a', 'b']" in said
    assert "imblab run name=c" in said


@pytest.mark.slow
def test_the_pictures_of_the_readme_show_the_committed_study():
    """``make pictures`` takes them again; a browser is not needed to see that they are stale."""
    drawing = runpy.run_path(str(ROOT / "docs" / "draw_mlflow.py"))
    record = json.loads(drawing["RECORD"].read_text(encoding="utf-8"))
    images = record.pop("images")
    assert images == drawing["image_hashes"]()
    now = drawing["describe"](*drawing["pictures"]())
    stale = [name for name in now if now[name] != record[name]]
    assert not stale, f"the pictures of MLflow are stale ({', '.join(stale)} changed): run make pictures"
    assert list(images) == sorted(record["pictures"])
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"docs/images/([\w-]+)\.png", readme)) == list(images)
    assert all(picture["rows"] for picture in record["pictures"].values())


def test_a_picture_is_stale_once_a_cell_or_the_view_is_another():
    drawing = runpy.run_path(str(ROOT / "docs" / "draw_mlflow.py"))
    run = RunSpec("a", "smote", "cell", "", {"imblab.verdict": "equivalent"}, metrics=(("mcc", 0.5, 0),))
    state = {"selectedColumns": ["metrics.`mcc`", "tags.`imblab.verdict`"], "compareRunSections": []}
    state["searchFilter"] = "tags.`imblab.role` = 'cell' AND tags.`imblab.verdict` != 'no'"
    view = views.SavedView("imblab-answer", "Answer", state)
    assert drawing["_rows"](view, [run, replace(run, role="study"), replace(run, tags={})]) == [run]
    picture = drawing["Picture"]("mlflow-answer", view, [run], False, 600, ".ag-row", 1)
    others = [
        replace(picture, rows=[replace(run, metrics=(("mcc", 0.6, 0),))]),
        replace(picture, rows=[replace(run, tags={"imblab.verdict": "inconclusive"})]),
        replace(picture, view=replace(view, state={**state, "orderByAsc": True})),
    ]
    assert len({json.dumps(each.describe()) for each in (picture, *others)}) == 4
    assert picture.describe()["columns"] == ["mcc", "imblab.verdict"]
    nearly = replace(picture, rows=[replace(run, metrics=(("mcc", 0.5 + 1e-12, 0),))])
    assert nearly.describe() == picture.describe()  # another machine may differ in the last digits
