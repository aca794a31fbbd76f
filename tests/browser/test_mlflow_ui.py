"""MLflow's own pages on a real study, in real Chromium: every comparison is there to be seen."""

import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from imblab.cli import main
from imblab.edges import ledger
from imblab.edges.mlflow import views

pytestmark = [pytest.mark.browser, pytest.mark.slow]

STRATEGIES = ("none", "threshold", "class_weight", "smote", "smote_threshold")
ASKED = (
    "name=seen", "dataset=[ecoli3]", "learner=[logistic]", f"strategy=[{','.join(STRATEGIES)}]", "protocol=smoke",
    "runner.n_jobs=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with a finished study and its MLflow store."""
    home = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main(["run", *ASKED]) == 0
    return home


@pytest.fixture(scope="module")
def uri(place):
    return f"sqlite:///{place}/mlruns/mlflow.db"


@pytest.fixture(scope="module")
def server(serve, uri):
    return serve(uri)


@pytest.fixture(scope="module")
def client(uri):
    return MlflowClient(uri)


@pytest.fixture(scope="module")
def experiment(client):
    return client.get_experiment_by_name("seen").experiment_id


@pytest.fixture(scope="module")
def cells(client, experiment):
    """The cell runs by strategy, the best MCC first."""
    found = client.search_runs([experiment], "tags.`imblab.role` = 'cell'", order_by=["metrics.mcc DESC"])
    assert len(found) == len(STRATEGIES)
    return {run.data.tags["imblab.strategy"]: run for run in found}


@pytest.fixture(scope="module")
def candidates(client, experiment):
    return client.search_runs([experiment], "tags.`imblab.role` = 'candidate'", max_results=1000)


def column(page, name):
    """What a column of the run table shows, from the top down."""
    cells = page.locator(f".ag-cell[col-id='{name}']")
    cells.first.wait_for()
    found = cells.evaluate_all("all => all.map(c => [c.getBoundingClientRect().y, c.innerText.trim()])")
    return [text for _, text in sorted(found)]


def numbers(page, metric):
    return [float(text) for text in column(page, f"metrics.`{metric}`")]


def card(page, title):
    """A chart, by its title."""
    found = page.get_by_test_id("experiment-view-compare-runs-card")
    return found.filter(has=page.get_by_text(title, exact=True)).first


def sections(page):
    """The headings above the charts, from the top down, without their counts."""
    heads = page.get_by_test_id("experiment-view-compare-runs-section-header")
    heads.first.wait_for()
    return [text.strip().partition("\n")[0] for text in heads.all_inner_texts()]


def inside(page, shown):
    """Whether a thing lies within the page's width."""
    box = shown.bounding_box()
    return box["x"] >= 0 and box["x"] + box["width"] <= page.viewport_size["width"]


def test_the_run_table_shows_the_scores_of_every_strategy_the_best_first(open_page, keep, server, experiment, cells):
    page = open_page(views.view_link(server, experiment, views.STRATEGIES_VIEW), width=1440, height=640)
    page.get_by_text("5 matching runs").wait_for()
    shown = numbers(page, "mcc")
    keep(page, "mlflow-table")
    assert shown == sorted(shown, reverse=True)
    for name in ("mcc", "pr_auc", "recall"):
        assert numbers(page, name) == [run.data.metrics[name] for run in cells.values()]
        head = page.locator(f".ag-header-cell[col-id='metrics.`{name}`']")
        assert head.inner_text().strip() == name
        assert inside(page, head)
    names = [text.split("\n")[-1] for text in column(page, "attributes.`Run Name`")]
    assert names == [run.info.run_name for run in cells.values()]
    assert page.get_by_text("Sort: mcc").is_visible()
    # What is not a strategy is filtered away, and no run hides behind a page.
    assert page.get_by_test_id("search-box").input_value() == "tags.`imblab.role` = 'cell'"


def test_the_answer_shows_the_recommended_strategy_with_its_verdict(open_page, keep, server, experiment, cells):
    page = open_page(views.view_link(server, experiment, views.ANSWER_VIEW), width=1440, height=600)
    page.get_by_text("1 matching run").wait_for()
    (recommended,) = [run for run in cells.values() if run.data.tags["imblab.recommended"] != "no"]
    assert column(page, "tags.`imblab.recommended`") == ["on this data set"]
    assert column(page, "tags.`imblab.verdict`") == [recommended.data.tags["imblab.verdict"]]
    assert numbers(page, "mcc") == [recommended.data.metrics["mcc"]]
    for name in ("tags.`imblab.verdict`", "metrics.`mcc`", "metrics.`mcc_ci_low`", "metrics.`mcc_ci_high`"):
        assert inside(page, page.locator(f".ag-header-cell[col-id='{name}']"))
    keep(page, "mlflow-answer")


def test_a_folded_description_on_the_landing_page_leads_to_the_answer(open_page, keep, server, client, experiment):
    page = open_page(f"{server}/#/experiments/{experiment}", width=1440, height=600)
    # MLflow shows a tip over the page at a first visit.
    page.add_locator_handler(page.get_by_role("button", name="Got it"), lambda tip: tip.click())
    headline = client.get_experiment(experiment).tags["mlflow.note.content"].split("**")[1]
    page.get_by_text(headline).first.wait_for()
    assert inside(page, page.get_by_text(headline).first)
    keep(page, "mlflow-landing")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Answer", exact=True).first.click()
    opened.value.get_by_text("1 matching run").wait_for()
    assert f"viewStateShareKey={views.ANSWER_VIEW}" in opened.value.url


def test_the_menu_of_views_leads_from_the_strategies_to_the_search(open_page, server, experiment, candidates):
    page = open_page(views.view_link(server, experiment, views.STRATEGIES_VIEW))
    page.get_by_text("5 matching runs").wait_for()
    page.get_by_test_id("saved-views-trigger").click()
    page.get_by_role("menuitem").filter(has_text="Search").first.click()
    page.get_by_text(f"{len(candidates)} matching runs").wait_for()
    assert page.get_by_test_id("search-box").input_value() == "tags.`imblab.role` = 'candidate'"
    assert f"viewStateShareKey={views.SEARCH_VIEW}" in page.url
    values = [value for text in column(page, "metrics.`inner/mcc`") if (value := text) != "-"]
    assert [float(v) for v in values] == sorted((float(v) for v in values), reverse=True)
    assert set(column(page, "params.`strategy`")) == {"class_weight", "smote", "smote_threshold"}


def test_five_strategies_stand_side_by_side_in_the_compare_view(open_page, keep, server, experiment, cells):
    page = open_page(views.view_link(server, experiment, views.STRATEGIES_VIEW), width=1700, height=1400)
    page.get_by_text("5 matching runs").wait_for()
    assert len(numbers(page, "mcc")) == 5
    for box in page.locator(".ag-row .ag-checkbox-input").all():
        box.check()
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_text("Comparing 5 Runs from 1 Experiment").wait_for()
    for run in cells.values():
        assert page.get_by_text(run.info.run_name, exact=True).first.is_visible()
    chosen = page.locator("tr").filter(has=page.locator("th", has_text="chosen.threshold"))
    shown = chosen.locator("td").all_inner_texts()
    assert sorted(shown) == sorted(run.data.params["chosen.threshold"] for run in cells.values())
    page.locator(".js-plotly-plot .parcoords, .js-plotly-plot svg").first.wait_for()
    keep(page, "mlflow-compare")
    assert sorted(compared(page, "mcc")) == sorted(f"{round(run.data.metrics['mcc'], 3):g}" for run in cells.values())


def compared(page, metric):
    """The values of a metric in the compare view, whose list draws only what is scrolled to."""
    values = page.locator(".ReactVirtualized__Grid").last
    values.scroll_into_view_if_needed()
    values.hover()
    name = page.locator(".ReactVirtualized__Grid").first.get_by_text(metric, exact=True)
    for _ in range(100):
        if name.count():
            break
        page.mouse.wheel(0, 200)
        page.wait_for_timeout(100)
    row = "all => all.map(c => [c.style.top, c.innerText])"
    top = name.evaluate("e => e.closest('[style*=top]').style.top")
    drawn = values.locator("[style*=top]").evaluate_all(row)
    return [text.strip() for place, text in drawn if place == top]


def test_threshold_curves_lie_over_one_another(open_page, keep, server, experiment, cells):
    page = open_page(views.view_link(server, experiment, views.STRATEGIES_VIEW, charts=True), width=1440, height=1120)
    page.get_by_text("5 matching runs").wait_for()
    heads = sections(page)
    assert heads[:4] == ["Scores", "Thresholds (step = threshold x 1000)", "Gains over the baselines", "Trade-offs"]
    card(page, "curve_precision").locator("path.js-line").first.wait_for()
    keep(page, "mlflow-curves")
    colours = {run.data.tags["mlflow.runColor"] for run in cells.values()}
    assert len(colours) == len(STRATEGIES)
    for title, lines in (("curve_mcc", 5), ("curve_precision vs curve_recall", 10), ("curve_precision", 5)):
        drawn = card(page, title).locator("path.js-line")
        drawn.first.wait_for()
        # MLflow draws every line once more, faint, for its smoothing.
        found = drawn.evaluate_all(
            "all => all.map(p => [getComputedStyle(p), p.getAttribute('d')])"
            ".filter(([style]) => style.strokeOpacity === '1').map(([style, d]) => [style.stroke, d])"
        )
        assert len(found) == lines, title
        assert {_hex(stroke) for stroke, _ in found} == colours
        assert all(len(re.findall(r"-?[\d.]+", path)) > 40 for _, path in found), "curves, not a few points"
    assert all(inside(page, card(page, title)) for title in ("mcc", "pr_auc", "recall", "curve_mcc"))
    # The charts that MLflow makes of every metric are closed below.
    assert page.get_by_test_id("experiment-view-compare-runs-card").count() <= 10


def test_parallel_coordinates_run_over_the_knobs_and_mcc(open_page, keep, server, experiment, candidates):
    page = open_page(views.view_link(server, experiment, views.SEARCH_VIEW, charts=True), width=1440, height=1720)
    page.get_by_text(f"{len(candidates)} matching runs").wait_for()
    plots = page.locator(".parcoords")
    plots.first.wait_for()
    page.wait_for_function("document.querySelectorAll('.parcoords .dimension text.label').length >= 5")
    keep(page, "mlflow-search")
    axes = plots.first.locator("text.label").all_text_contents()
    assert axes[:2] == ["ratio", "k"]
    assert axes[-1] == "inner/mcc"
    assert {"inner/pr_auc", "inner/recall"} <= set(axes)
    # Lines are painted on a canvas: one that is empty has one colour.
    painted = plots.first.locator("canvas.foreground").evaluate(
        "c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        " let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; }"
    )
    assert painted > 1000
    scatter = page.get_by_test_id("experiment-view-compare-runs-card").filter(has_text="weight vs. inner/mcc").first
    scatter.scroll_into_view_if_needed()
    scatter.locator(".scatterlayer .point").first.wait_for()
    assert scatter.locator(".scatterlayer .point").count() == 5


def test_the_report_renders_inside_mlflow(open_page, keep, place, server, client, experiment):
    (study,) = client.search_runs([experiment], "tags.`imblab.role` = 'study'")
    assert "report.html" in {file.path for file in client.list_artifacts(study.info.run_id)}
    page = open_page(f"{server}/#/experiments/{experiment}/runs/{study.info.run_id}/artifacts/report.html")
    frame = page.frame_locator("iframe.mlflow-html-iframe")
    frame.locator("h1").first.wait_for()
    keep(page, "mlflow-report")
    said = frame.locator("body").inner_text()
    assert "seen" in said
    whole = frame.locator("body").text_content()  # with what is folded
    assert all(name in whole for name in STRATEGIES)
    best = max(_means(ledger.read_evaluations(place / "experiments/seen")).values())
    assert f"{best:.3f}" in said


def test_a_saved_view_comes_back_as_it_was_written(client, experiment):
    tags = client.get_experiment(experiment).tags
    found = {key: views.decode_view(key, value) for key, value in tags.items() if key.startswith(views.VIEW_TAG_PREFIX)}
    assert [view.key for view in found.values()] == [views.ANSWER_VIEW, views.STRATEGIES_VIEW, views.SEARCH_VIEW]
    for key, view in found.items():
        assert views.encode_view(view, 7)[0] == key
        assert views.decode_view(*views.encode_view(view, 7)) == view


def test_imblab_ui_prints_where_the_study_is_compared_and_stays_light(open_page, port, answering, place, cells):
    command = [sys.executable, "-m", "imblab", "ui", "seen", "--port", str(port), "--no-browser"]
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            said = [process.stdout.readline() for _ in range(4)]
            assert said[0].startswith("MLflow starts on http://127.0.0.1:")
            links = dict(line.strip().split(" of seen: ") for line in said[1:])
            assert list(links) == ["Answer", "Strategies", "Search"]
            answering(links["Strategies"].partition("#")[0], process)
            page = open_page(links["Strategies"])
            page.get_by_text("5 matching runs").wait_for()
            assert numbers(page, "mcc") == [run.data.metrics["mcc"] for run in cells.values()]
            if Path("/proc/self/smaps_rollup").exists():
                weights = [_megabytes(pid) for pid in _family(process.pid)]
                print(f"imblab ui: {len(weights)} processes, {sum(weights):.0f} MB")
                assert len(weights) == 2
                assert sum(weights) < 600
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


@pytest.mark.slow
def test_five_thousand_runs_open_sorted_within_seconds(open_page, keep, serve, place, tmp_path, experiment):
    many = tmp_path / "many.db"
    with sqlite3.connect(place / "mlruns/mlflow.db") as source, sqlite3.connect(many) as target:
        source.backup(target)
        _multiply(target, 5000)
    server = serve(f"sqlite:///{many}")
    seconds = []
    for _ in range(2):  # the second profile finds a server that is warm
        began = time.monotonic()
        page = open_page(views.view_link(server, experiment, views.STRATEGIES_VIEW))
        page.get_by_text("100 matching runs").wait_for()
        shown = numbers(page, "mcc")
        seconds.append(time.monotonic() - began)
        assert shown[:3] == [4999 / 5000, 4998 / 5000, 4997 / 5000]
        assert shown == sorted(shown, reverse=True)
    print(f"5,000 runs: the table sorted by MCC after {seconds[0]:.1f} s, again after {seconds[1]:.1f} s")
    keep(page, "mlflow-5000")
    assert min(seconds) < 20


def _multiply(base, n):
    """Copies of the best cell run under ids of their own, whose MCC are 0/n, 1/n, ...; histories are left out."""
    (model,) = base.execute(
        "SELECT t.run_uuid FROM tags t JOIN tags r ON r.run_uuid = t.run_uuid AND r.key = 'imblab.role' "
        "AND r.value = 'cell' WHERE t.key = 'imblab.strategy' AND t.value = 'threshold'"
    ).fetchone()
    base.execute("CREATE TEMP TABLE copies AS WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c "
                 f"WHERE i < {n - 1}) SELECT i FROM c")  # fmt: skip
    for table in ("runs", "latest_metrics", "params", "tags"):
        names = [row[1] for row in base.execute(f"PRAGMA table_info({table})")]
        taken = ["printf('%032x', i)" if name == "run_uuid" else name for name in names]
        base.execute(
            f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(taken)} FROM {table}, copies "
            "WHERE run_uuid = ?",
            (model,),
        )
    base.execute(
        "UPDATE latest_metrics SET value = copies.i / CAST(? AS REAL) FROM copies "
        "WHERE key = 'mcc' AND run_uuid = printf('%032x', copies.i)",
        (n,),
    )
    base.execute("ANALYZE")
    base.commit()


def _means(rows):
    found = {}
    for row in rows:
        found.setdefault(row.strategy, []).append(row.scores["mcc"])
    return {name: sum(values) / len(values) for name, values in found.items()}


def _hex(colour):
    """`rgb(1, 2, 3)` as `#010203`."""
    return "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", colour)[:3])


def _family(pid):
    """A process and all below it."""
    found = [pid]
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += _family(int(child))
    return found


def _megabytes(pid):
    """The proportional share of memory of a process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
