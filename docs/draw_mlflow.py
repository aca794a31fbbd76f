"""Take the pictures of MLflow in the README from a committed study; ``make pictures`` does it where they are stale.

Pixels differ between browsers. ``docs/images/mlflow.json`` therefore says what the pictures show and what it was made
from; a test derives it again without a browser. To take pictures that are not stale again, delete that file.
"""

from __future__ import annotations

import hashlib
import json
import re
import runpy
import shutil
import sys
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from imblab.commands import results, syncing
from imblab.edges import config, ledger, mlflow
from imblab.edges.mlflow import views
from imblab.edges.mlflow.runs import mlflow_name
from imblab.edges.mlflow.study_runs import COLOUR_TAG
from imblab.study import Study, fingerprint

ROOT = Path(__file__).parents[1]
IMAGES = Path(__file__).with_name("images")
RECORD = IMAGES / "mlflow.json"
STUDY, WIDTH = "smote_ratio", 1440
#: How often a page is looked at until it stands still, and the milliseconds between two looks and for one step.
MAX_LOOKS, LOOK_MILLISECONDS, MAX_MILLISECONDS = 60, 3000, 600_000
#: Files of a study from which its runs are made.
SOURCES = (ledger.STUDY_FILE, ledger.LEDGER_FILE, ledger.SEARCHES_FILE, "evidence.parquet")
CONDITION = re.compile(r"tags\.`([^`]+)` (!?=) '([^']*)'")
COLUMN = re.compile(r"(metrics|params|tags)\.`(.+)`")


@dataclass(frozen=True, slots=True)
class Picture:
    """A saved view as a picture: its rows, whether its charts are shown, and what has to be drawn how often."""

    name: str
    view: views.SavedView
    rows: Sequence[mlflow.RunSpec]
    charts: bool
    height: int
    drawn: str
    times: int

    @property
    def link(self) -> str:
        """The address below that of the server; the study is the first experiment of its store."""
        return views.view_link("", "1", self.view.key, charts=self.charts)

    def describe(self) -> dict[str, Any]:
        """What the picture shows: columns, sections of charts, and hashes of the whole view and of all cells."""
        columns = [COLUMN.fullmatch(column) for column in self.view.state["selectedColumns"]]
        sections = [each["name"] for each in self.view.state["compareRunSections"] if each["display"]]
        cells = [[run.name, run.tags.get(COLOUR_TAG), *(_cell(run, *c.groups()) for c in columns)] for run in self.rows]
        shown = {"charts": sections} if self.charts else {"columns": [column[2] for column in columns]}
        hashes = {"state": fingerprint(self.view.state), "cells": fingerprint(cells)}
        return {"address": self.link, "rows": len(self.rows), **shown, **hashes}


def pictures() -> tuple[list[Picture], list[mlflow.RunSpec]]:
    """Return the pictures of the committed study, and the runs that they show, after that of the study."""
    with chdir(ROOT):
        home = ledger.EXPERIMENTS / STUDY
        study = config.load_request(home / ledger.STUDY_FILE, [], loads_data=False).study
        result = results.read_result(home, study)
        details = mlflow.RunDetails(evidence=results.read_evidence(home), search="candidates")
        runs = mlflow.describe_runs(result, ledger.read_study(home), details)
    everything = _views(result.study, runs)
    shown = {run.key for view in everything for run in _rows(view, runs)}
    runs = [run for run in runs if run.role == "study" or run.key in shown]
    answer, strategies, search = _views(result.study, runs)
    rows = [_rows(view, runs) for view in (answer, strategies, search)]
    bars = strategies.state["compareRunSections"][0]["cardHeight"]
    return [
        Picture("mlflow-answer", answer, rows[0], False, 440 + 32 * len(rows[0]), ".ag-row", len(rows[0])),
        Picture("mlflow-strategies", strategies, rows[1], True, 860 + bars, "path.js-line", 4 * len(rows[1])),
        Picture("mlflow-search", search, rows[2], True, 900, ".parcoords .dimension text.label", 3),
    ], runs


def _views(study: Study, runs: Sequence[mlflow.RunSpec]) -> tuple[views.SavedView, ...]:
    """The answer, and the strategies and the search of the first data set and learner with one."""
    logged = views.logged_runs(runs)
    saved = {view.key: view for view in views.saved_views(study, logged)}
    family = next(iter(logged.searched))
    pair = [saved.get("-".join((key, *family))) or saved[key] for key in (views.STRATEGIES_VIEW, views.SEARCH_VIEW)]
    return saved[views.ANSWER_VIEW], *pair


def describe(shown: Sequence[Picture], runs: Sequence[mlflow.RunSpec]) -> dict[str, Any]:
    """Describe what pictures are made from and what they show: the record without the hashes of the images.

    ``answer`` is the line of the experiment's description that stands above all of them.
    """
    home = ROOT / "experiments" / STUDY
    files = {name: _digest(home / name) for name in SOURCES if (home / name).exists()}
    described = {picture.name: picture.describe() for picture in shown}
    answer = runs[0].note.partition("\n")[0]
    return {"mlflow": version("mlflow"), "study": STUDY, "files": files, "answer": answer, "pictures": described}


def image_hashes() -> dict[str, str]:
    """Return the hashes of the committed images."""
    return {path.stem: _digest(path) for path in sorted(IMAGES.glob("mlflow-*.png"))}


def draw() -> None:
    """Take the pictures again if they are stale; where there is no browser, say so and leave them alone."""
    shown, runs = pictures()
    record = describe(shown, runs)
    if RECORD.exists() and json.loads(RECORD.read_text(encoding="utf-8")) == {**record, "images": image_hashes()}:
        return
    helpers = runpy.run_path(str(ROOT / "tests" / "browser" / "conftest.py"))
    path = helpers["chromium"]()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        print(
            "The pictures of MLflow in docs/images are stale, and were left as they are: they take Chromium and "
            "playwright. Install both (apt-get install chromium; pip install playwright) and run the command again.",
            file=sys.stderr,
        )
        return
    with TemporaryDirectory() as name, sync_playwright() as driver:
        folder = Path(name)
        browser = driver.chromium.launch(executable_path=path, args=list(helpers["FLAGS"]))
        with helpers["mlflow_server"](_fill_store(folder, runs), folder) as server:
            for picture in shown:
                context, _ = helpers["open_context"](browser, WIDTH, picture.height)
                page = context.new_page()
                page.set_default_timeout(MAX_MILLISECONDS)
                page.goto(server + picture.link)
                page.locator(picture.drawn).nth(picture.times - 1).wait_for(state="attached")
                (IMAGES / f"{picture.name}.png").write_bytes(_still(page))
                context.close()
        browser.close()
    text = json.dumps({**record, "images": image_hashes()}, indent=1, ensure_ascii=False)
    RECORD.write_text(text + "\n", encoding="utf-8")


def _still(page: Any) -> bytes:
    """A picture of a page once nothing on it moves: MLflow goes on asking its server, so that it is never idle."""
    before = b""
    for _ in range(MAX_LOOKS):
        page.wait_for_timeout(LOOK_MILLISECONDS)
        now: bytes = page.screenshot(animations="disabled")
        if now == before:
            small = BytesIO()  # a page has few colours: half the bytes, and no difference that is seen
            Image.open(BytesIO(now)).convert("RGB").quantize(dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
            return small.getvalue()
        before = now
    raise SystemExit(f"{page.url} still changes after {MAX_LOOKS * LOOK_MILLISECONDS / 1000:g} s")


def _fill_store(folder: Path, runs: Sequence[mlflow.RunSpec]) -> str:
    """Write runs of the study to an MLflow store as ``imblab sync`` does, and return its address."""
    home = folder / "experiments" / STUDY
    home.mkdir(parents=True)
    for name in SOURCES:
        if (ROOT / "experiments" / STUDY / name).exists():  # older studies have no file of searches
            shutil.copy(ROOT / "experiments" / STUDY / name, home / name)
    study = config.load_request(home / ledger.STUDY_FILE, [], loads_data=False).study
    owner = syncing.experiment_owner(home, study, syncing.settle_identity(home), {})
    uri = f"sqlite:///{folder}/mlflow.db"
    mlflow.log_study(study, runs, [], home, uri, owner)
    return uri


def _rows(view: views.SavedView, runs: Sequence[mlflow.RunSpec]) -> list[mlflow.RunSpec]:
    """The runs that the filter of a view lets through."""
    conditions = CONDITION.findall(view.state["searchFilter"])

    def passes(run: mlflow.RunSpec) -> bool:
        tags = {"imblab.role": run.role, **run.tags}
        return all(name in tags and (tags[name] == value) == (sign == "=") for name, sign, value in conditions)

    return [run for run in runs if passes(run)]


def _cell(run: mlflow.RunSpec, kind: str, name: str) -> str | None:
    """What a run has in a column; numbers with the digits that do not depend on the machine."""
    if kind != "metrics":
        return {"params": run.params, "tags": run.tags}[kind].get(name)
    value = {mlflow_name(key): value for key, value, _ in run.metrics}.get(name)
    return None if value is None else f"{value:.6g}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    draw()
