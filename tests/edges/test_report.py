"""The report: every number again from the stored predictions, the same bytes again, nothing unescaped, small enough."""

import csv
import hashlib
import io
import math
import re
import shutil
from collections import defaultdict
from contextlib import closing
from dataclasses import replace
from html.parser import HTMLParser
from itertools import chain
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics
from sklearn.calibration import calibration_curve

from imblab.analysis import evidence as evidences
from imblab.commands import python_runs, results
from imblab.commands.layout import lay_out
from imblab.commands.results import read_result, result_of
from imblab.core import replay
from imblab.core.evaluate import validation_predictions
from imblab.edges import config, evidence, ledger, report, store
from imblab.edges.report import elements
from imblab.edges.report.calibration import _uncorrected_reason
from imblab.edges.report.tuning import _describe_values
from imblab.study import Learner, LearnerTraits, Strategy

SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
QUESTION = (
    "name=small",
    "dataset=[ecoli3,yeast4]",
    "learner=[logistic]",
    "strategy=[none,threshold,smote,smote_threshold,adasyn]",
    "strategy.smote.space.k=choice(3,5)",
    "strategy.adasyn.space.ratio=choice(0.01)",
    "protocol=smoke",
    "protocol.repeats=2",
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A finished study in a folder, with an inapplicable strategy, its predictions beside it."""
    base = tmp_path_factory.mktemp("report")
    study = python_runs.compose(*QUESTION)
    python_runs.run_in_folder(study, folder=base / "small", store_path=base / "p.sqlite")
    home = base / "small"
    study = config.load_request(home / ledger.STUDY_FILE).study
    files = report.render(results.report_data(home, read_result(home, study)))
    return SimpleNamespace(home=home, study=study, files=files, html=files[report.PAGE_FILE], store=base / "p.sqlite")


def evidence_of(small):
    return evidence.load_evidence(small.home / evidence.EVIDENCE_FILE)


class Page(HTMLParser):
    """The words of every cell, by table; tags and attributes."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.tags, self.attributes, self.words = {}, defaultdict(int), [], []
        self._cells = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags[tag] += 1
        self.attributes += attrs
        if tag == "table":
            self._rows = self.tables.setdefault(given["data-t"], []) if "data-t" in given else []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append(given.get("title", ""))  # the words of the file, where the page shows a label
        self._cells = self._rows[-1] if tag in ("td", "th") and "title" not in given else None

    def handle_endtag(self, tag):
        self._cells = None

    def handle_data(self, data):
        self.words.append(data)
        if self._cells is not None:
            self._cells[-1] += data


def numbers(small):
    """Numbers by table, row and column: at full precision from the tables beside the page."""
    found = {}
    for section in report.build_sections(results.report_data(small.home, read_result(small.home, small.study))):
        for table in (b for b in section.blocks if isinstance(b, elements.Table)):
            columns, *rows = csv.reader(io.StringIO(small.files[f"tables/{table.name}.csv"]))
            assert columns == [name for name, _ in table.header]
            for line, row in zip(table.lines, rows, strict=True):
                for column, text, cell in zip(columns, row, line.cells, strict=True):
                    if cell.value is not None:
                        found[table.name, line.key, column] = tuple(map(float, text.split()))
    return found


# Everything again, from the predictions and from nothing that the report rests on.


def scored(measure, y, p, cut):
    _, fp, fn, tp = metrics.confusion_matrix(y, p >= cut).ravel()
    with np.errstate(invalid="ignore"):
        return {
            "mcc": lambda: metrics.matthews_corrcoef(y, p >= cut),
            "recall": lambda: tp / (tp + fn),
            "precision": lambda: tp / (tp + fp) if tp + fp else math.nan,
            "f1": lambda: 2 * tp / (2 * tp + fp + fn) if 2 * tp + fp + fn else math.nan,
            "pr_auc": lambda: metrics.average_precision_score(y, p),
            "roc_auc": lambda: metrics.roc_auc_score(y, p),
            "brier": lambda: metrics.brier_score_loss(y, p),
        }[measure]()


@pytest.fixture(scope="module")
def known(small):
    """Labels, probabilities and inner predictions of every cell, from the store."""
    layout = lay_out(small.study)
    rows = {row.key: row for row in ledger.read_evaluations(small.home)}
    found = defaultdict(list)
    with closing(store.SqliteStore(small.store)) as kept:
        predict = replay.lookup_only(kept.get)
        for name, data in layout.datasets.items():
            cells = [c for c in layout.cells if c.dataset == name and rows[c.key].status == "ok"]
            for task in replay.replay_tasks(small.study, data, layout.plans[name], cells, predict):
                row, split = rows[task.cell.key], task.cell.split
                inner = {
                    tuple(t.params.items()): validation_predictions(task, t.params)
                    for t in row.trials
                    if t.status == "ok"
                }
                y, p = data.y[split.test], replay.outer_prediction(task, row).values
                train = data.y[split.train]
                corrected = replay.prior_corrected(task, row, replay.outer_prediction(task, row))
                arm = (name, task.cell.learner.name, task.cell.strategy.name)
                found[arm].append(
                    SimpleNamespace(row=row, y=y, p=p, inner=inner, train=train, q=corrected, split=split, data=data)
                )
    return found


def mean_scores(cells, measure):
    values = np.array([scored(measure, c.y, c.p, c.row.threshold) for c in cells], dtype=float)
    return values[np.isfinite(values)]


def corrected(a, b):
    d = np.array(mean_scores(a, "mcc")) - np.array(mean_scores(b, "mcc"))
    ratio = np.mean([c.row.n_test for c in a]) / np.mean([c.row.n_train for c in a])
    return d.mean(), math.sqrt((1 / len(d) + ratio) * d.var(ddof=1)), len(d) - 1


def summed_mcc(folds, cuts):
    """The MCC of inner predictions at cuts, from counts summed over folds."""
    y, p = (np.concatenate([f[i] for f in folds]) for i in (0, 1))
    called = p[None, :] >= np.asarray(cuts)[:, None]
    tp, fp = (called & (y == 1)).sum(1), (called & (y == 0)).sum(1)
    fn, tn = (y == 1).sum() - tp, (y == 0).sum() - fp
    below = np.sqrt((tp + fp) * (tn + fn) * float((y == 1).sum()) * float((y == 0).sum()))
    return np.where(below > 0, (tp * tn - fp * fn) / np.where(below > 0, below, 1), 0.0)


def candidate(cell, strategy, params):
    cuts = np.arange(1, 100) / 100 if strategy.threshold == "tuned" else [strategy.threshold]
    return summed_mcc(cell.inner[params], cuts).max()


def expected_scores(study, known):
    found = {}
    for arm, cells in known.items():
        d, n, _ = arm
        where = ("scores", "/".join(arm))
        values = mean_scores(cells, "mcc")
        found[(*where, "mean")], found[(*where, "sd")] = (values.mean(),), (values.std(ddof=1),)
        for m in ("pr_auc", "recall", "precision", "f1", "roc_auc", "brier"):
            found[(*where, m)] = (mean_scores(cells, m).mean(),)
        for base in ("none", "threshold"):
            if base == arm[2]:
                continue
            mean, se, df = corrected(cells, known[d, n, base])
            reach = se * stats.t.ppf(0.975, df)
            found[(*where, f"gain_{base}")] = (mean,)
            found[(*where, f"gain_{base}_interval")] = (mean - reach, mean + reach)
        assert sum(len(c.y) for c in cells if c.row.repeat == 0) == len(cells[0].data.y)
    return found


def expected_differences(study, known):
    found = {}
    record = result_of(study, []).study.claims.registered
    asked, first = [(a, b) for a, b in record.contrasts], list(record.primary_contrasts)
    assert first == asked[:1]
    for d, n in dict.fromkeys(arm[:2] for arm in known):
        tested = {(a, b): corrected(known[d, n, a], known[d, n, b]) for a, b in asked if (d, n, a) in known}
        p = {pair: 2 * stats.t.sf(abs(m / se), df) for pair, (m, se, df) in tested.items()}
        holm = {}
        # What does not apply is in no family.
        families = [[pair for pair in family if pair in p] for family in (first, asked[1:])]
        for family in families:
            worst = 0.0
            for i, pair in enumerate(sorted(family, key=p.get)):
                worst = max(worst, min(1.0, (len(family) - i) * p[pair]))
                holm[pair] = worst
        for (a, b), (mean, se, df) in tested.items():
            reach = se * stats.t.ppf(0.975, df)
            law = stats.t(df, loc=mean, scale=se)
            values = {"mean": mean, "low": mean - reach, "high": mean + reach, "p": p[a, b], "p_holm": holm[a, b]}
            values |= {"below": law.cdf(-0.02), "within": law.cdf(0.02) - law.cdf(-0.02), "above": law.sf(0.02)}
            values["detectable"] = detectable(se, df, 0.05 / len(families[(a, b) not in first]))
            tables = [elements.file_name("differences", d, n)] + (["verdict"] if (a, b) == asked[0] else [])
            found |= {(t, f"{d}/{n}/{a} - {b}", k): (v,) for t in tables for k, v in values.items()}
    every = {key[:2]: v[0] for key, v in found.items() if key[2] == "p" and key[0] != "verdict"}
    q = dict(zip((row for _, row in every), stats.false_discovery_control(list(every.values())), strict=True))
    return found | {(t, row, "q"): (q[row],) for t, row, k in found if k == "p"}


def detectable(se, df, alpha):
    """By bisection on the noncentral t."""
    critical, low, high = stats.t.ppf(1 - alpha / 2, df), 0.0, 100.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if stats.nct.sf(critical, df, middle) < 0.8 else (low, middle)
    return se * middle


def expected_risks(study, known):
    found = {}
    for arm, cells in known.items():
        row = "/".join(arm)
        areas = {"pr_auc": mean_scores(cells, "pr_auc").mean(), "roc_auc": mean_scores(cells, "roc_auc").mean()}
        areas["chance"] = np.mean([shuffled(c.y, c.p) for c in cells])
        found |= {("areas", row, k): (v,) for k, v in areas.items()}
        matrices = np.array([metrics.confusion_matrix(c.y, c.p >= c.row.threshold, normalize="all") for c in cells])
        (tn, fp), (fn, tp) = 1000 * matrices.mean(axis=0)
        counted = {"tn": tn, "fp": fp, "fn": fn, "tp": tp, "alerts": tp + fp}
        counted["threshold"] = np.median([c.row.threshold for c in cells])
        found |= {("counts", row, k): (v,) for k, v in counted.items()}
        by_repeat = defaultdict(list)
        for c in cells:
            by_repeat[c.row.repeat].append(c)
        pooled = [pool(repeat) for repeat in by_repeat.values()]
        pooled = {k: np.mean([p[k] for p in pooled]) for k in pooled[0]}
        found |= {("calibration", row, k): (v,) for k, v in pooled.items() if not k.startswith("prior_")}
        if cells[0].row.params.get("ratio") is not None:
            # No row overtakes another: the PR-AUC of the corrected risks is the one of the others.
            area = np.mean([metrics.average_precision_score(c.y, c.q) for c in cells])
            both = {k: pooled[k] for name in ("brier", "log_loss", "mean_risk_ratio") for k in (name, f"prior_{name}")}
            found |= {("prior", row, k): (v,) for k, v in {"pr_auc": area, **both}.items()}
        received = [
            float(c.row.params.get("weight", 1)) * c.row.reached["positive"] / c.row.reached["negative"] for c in cells
        ]
        values = {"received": np.mean(received), "risk": found["calibration", row, "mean_risk_ratio"][0]}
        values |= {m: mean_scores(cells, m).mean() for m in ("recall", "precision")}
        found |= {("balance", row, k): (v,) for k, v in values.items()}
    return found


def pool(cells):
    y, p, base = (
        np.concatenate(parts) for parts in zip(*((c.y, c.p, [c.train.mean()] * len(c.y)) for c in cells), strict=True)
    )
    q = np.concatenate([c.q for c in cells])
    brier = metrics.brier_score_loss(y, p)
    return {
        "brier": brier,
        "brier_skill": 1 - brier / np.mean((y - base) ** 2),
        "log_loss": metrics.log_loss(y, p),
        "observed_expected": y.sum() / p.sum(),
        "mean_risk_ratio": p.sum() / y.sum(),
        "prior_brier": metrics.brier_score_loss(y, q),
        "prior_log_loss": metrics.log_loss(y, q),
        "prior_mean_risk_ratio": q.sum() / y.sum(),
    }


def shuffled(y, p):
    """Average precision of dealt labels, over every position of ties: the closed sum, by plain loops."""
    n, m = len(y), int(y.sum())
    return sum(
        (np.sum(p == t) / np.sum(p >= t)) * (1 + (np.sum(p >= t) - 1) * (m - 1) / (n - 1)) / n for t in np.unique(p)
    )


def expected_tuning(study, known):
    found = {}
    strategies = {s.name: s for s in study.strategies}
    for arm, cells in known.items():
        row, strategy = "/".join(arm), strategies[arm[2]]
        if arm[2] == "none":
            continue
        inner = np.mean([candidate(c, strategy, tuple(c.row.params.items())) for c in cells])
        outer = []
        for repeat in {c.row.repeat for c in cells}:
            own = [c for c in cells if c.row.repeat == repeat]
            y, called = (np.concatenate(v) for v in zip(*((c.y, c.p >= c.row.threshold) for c in own), strict=True))
            outer.append(metrics.matthews_corrcoef(y, called))
        values = {"inner": inner, "outer": np.mean(outer), "optimism": inner - np.mean(outer), "cells": len(cells)}
        found |= {("optimism", row, k): (v,) for k, v in values.items()}
        if strategy.space:
            found |= {("peaks", row, k): (v,) for k, v in peak(cells, strategy).items()}
            for knob in cells[0].row.params:
                chosen = [c.row.params[knob] for c in cells]
                agreement = max(chosen.count(v) for v in chosen) / len(chosen)
                found["chosen", f"{row}/{knob}", "agreement"] = (agreement,)
                found["chosen", f"{row}/{knob}", "cells"] = (len(cells),)
        cuts = [c.row.threshold for c in cells]
        if min(cuts) < max(cuts):
            for k, v in {"median": np.median(cuts), "low": min(cuts), "high": max(cuts)}.items():
                found["thresholds", row, k] = (v,)
    return found


def peak(cells, strategy):
    by_ratio = defaultdict(lambda: -math.inf)
    for params in cells[0].inner:
        if all(params in c.inner for c in cells):
            value = np.mean([candidate(c, strategy, params) for c in cells])
            by_ratio[dict(params)["ratio"]] = max(value, by_ratio[dict(params)["ratio"]])
    best = max(sorted(by_ratio), key=lambda r: by_ratio[r])
    return {"ratio": best, "value": by_ratio[best], "even": by_ratio[1.0], "loss": by_ratio[best] - by_ratio[1.0]}


def expected_record(study, known, rows):
    found = {}
    for d in dict.fromkeys(arm[0] for arm in known):
        cell = next(c for arm, cells in known.items() if arm[0] == d for c in cells)
        n, positives = len(cell.data.y), int(cell.data.y.sum())
        values = {"rows": n, "positives": positives, "share": positives / n, "odds": positives / (n - positives)}
        values |= {"features": cell.data.X.shape[1], "categorical": len(cell.data.categorical)}
        values |= {"missing": int(cell.data.X.isna().sum().sum())}
        values |= {"n_train": cell.row.n_train, "n_test": cell.row.n_test}
        found |= {("data", d, k): (v,) for k, v in values.items()}
    for arm, own in rows.items():
        row = "/".join(arm)
        values = {"fits": sum(r.fits for r in own)}
        seconds = found.get(("seconds", "/".join(arm[:2]), "seconds"), (0.0,))[0] + sum(r.seconds for r in own)
        found["seconds", "/".join(arm[:2]), "seconds"] = (seconds,)
        values["candidates"] = max(sum(t.status in ("ok", "failed", "pruned") for t in r.trials) for r in own)
        if arm in known and arm[2] != "none":
            values["gain"] = corrected(known[arm], known[(*arm[:2], "none")])[0]
        found |= {("cost", row, k): (v,) for k, v in values.items()}
    return found


def expected_ranks(known):
    found = {}
    arms = sorted({arm[2] for arm in known})
    means = {d: {s: mean_scores(known[d, "logistic", s], "mcc").mean() for s in arms} for d in ("ecoli3", "yeast4")}
    ranks = {d: dict(zip(arms, stats.rankdata([-m[s] for s in arms]), strict=True)) for d, m in means.items()}
    for s in arms:
        found["ranks-logistic", f"logistic/{s}", "mean_rank"] = (np.mean([r[s] for r in ranks.values()]),)
        found["ranks-logistic", f"logistic/{s}", "mean"] = (np.mean([m[s] for m in means.values()]),)
    return found


@pytest.mark.slow
def test_every_number_follows_from_the_stored_predictions(small, known):
    rows = defaultdict(list)
    for r in ledger.read_evaluations(small.home):
        rows[r.dataset, r.learner, r.strategy].append(r)
    expected = {
        **expected_scores(small.study, known),
        **expected_differences(small.study, known),
        **expected_risks(small.study, known),
        **expected_tuning(small.study, known),
        **expected_record(small.study, known, rows),
        **expected_ranks(known),
    }
    shown = {k: v for k, v in numbers(small).items() if v}
    # A few are counted by hand below; whatever else is shown must be known here.
    apart = {k: v for k, v in shown.items() if k[0].startswith(("across", "failures")) or k[2] == "nearer"}
    rest = {k: v for k, v in shown.items() if k not in apart}
    assert {k for k, v in expected.items() if all(map(math.isfinite, v))} - set(rest) == set()
    assert set(rest) - set(expected) == set()
    # What a design can detect is the root of an equation, which scipy finds to eight digits.
    close = {k: pytest.approx(v, rel=1e-6 if k[2] == "detectable" else 1e-9, abs=1e-10) for k, v in expected.items()}
    wrong = {k: (v, expected[k]) for k, v in rest.items() if v != close[k]}
    assert not wrong
    assert len(rest) > 300
    contrast = {k[2]: v[0] for k, v in apart.items() if k[1] == "logistic/smote_threshold - threshold"}
    gains = [
        mean_scores(known[d, "logistic", "smote_threshold"], "mcc").mean()
        - mean_scores(known[d, "logistic", "threshold"], "mcc").mean()
        for d in ("ecoli3", "yeast4")
    ]
    assert (contrast["parents"], contrast["wins"], contrast["losses"]) == (
        2,
        sum(g > 0 for g in gains),
        sum(g < 0 for g in gains),
    )
    assert contrast["mean"] == pytest.approx(np.mean(gains), rel=1e-9)
    lost = sum(r.status != "ok" for own in rows.values() for r in own)
    assert lost == sum(v[0] for k, v in apart.items() if k[0] == "failures") > 0
    assert all(0 <= v[0] <= 1 for k, v in apart.items() if k[2] == "nearer")


def test_text_is_the_number_rounded(small):
    """The page shows the tables beside it: the same rows, every number rounded, every word as it is."""
    shown, compared = Page(small.html).tables, 0
    assert {f"tables/{name}.csv" for name in shown} == {name for name in small.files if name.endswith(".csv")}
    for name, (_, *rows) in shown.items():
        _, *exact = csv.reader(io.StringIO(small.files[f"tables/{name}.csv"]))
        assert len(rows) == len(exact)
        for text, value in zip(chain(*rows), chain(*exact), strict=True):
            plain = [t.replace("−", "-").replace("\u202f", "") for t in text.split(" to ")]
            try:
                values = [float(v) for v in value.split()]
            except ValueError:
                values = []
            compared += len(values)
            if not values:
                assert value in (text, f"'{text}") or (text, value) == (elements.DASH, "")
            elif text.startswith("<"):
                assert values[0] < 0.001
            else:
                assert [float(t) for t in plain] == pytest.approx(values, abs=0.00051, rel=0.0006), (value, text)
    assert compared > 300


def places(d):
    """The places of a line: its first one, and relative steps."""
    return np.cumsum(np.array(re.findall(r"-?(?:\d+\.?\d*|\.\d+)", d), dtype=float).reshape(-1, 2), axis=0)


def test_curves_are_those_of_the_predictions(small, known):
    """The threshold curves, read back from their places as a reader's browser does."""
    figure = small.files["figures/threshold-mcc-yeast4-logistic.svg"]
    low, high, start, end = (float(v) for v in re.search(r' data-y="([^"]+) linear"', figure)[1].split())
    drawn = re.findall(r'<g data-s="[\d ]+" data-n="([\w, ]+)">.*?class="line[^"]*" d="([^"]+)"', figure)
    assert "none, threshold" in {names for names, _ in drawn}  # one line: they differ in the threshold alone
    found = [(name, d) for names, d in drawn for name in names.split(", ")]
    assert {name for name, _ in found} == {"none", "threshold", "smote", "smote_threshold"}
    for name, d in found:
        y = low + (places(d)[:, 1] - start) / (end - start) * (high - low)
        cells = known["yeast4", "logistic", name]
        want = np.mean([summed_mcc([(c.y, c.p)], np.arange(1, 100) / 100) for c in cells], axis=0)
        assert y == pytest.approx(want, abs=0.06 * (high - low) / abs(end - start))


CHANGE = {"linear": (np.asarray, np.asarray), "sqrt": (np.sqrt, np.square), "log": (np.log10, lambda v: 10.0**v)}


class Plot:
    """A figure read as a person reads it: values from places by the ticks of its axes."""

    def __init__(self, figure):
        kinds = [re.search(rf' data-{a}="[^"]* (\w+)"', figure)[1] for a in "xy"]
        rows, columns = re.findall(r'<path class="grid" d="([^"]*)"', figure)
        places = (re.findall(r"M([\d.]+) ", columns), re.findall(r"M[\d.]+ ([\d.]+)H", rows))
        words = (re.findall(r'class="axis m">([−\d.]+)<', figure), re.findall(r'class="axis e">([−\d.]+)<', figure))
        self._axes = [self._axis(*axis) for axis in zip(kinds, places, words, strict=True)]
        drawn = [
            (name, group)
            for names, group in re.findall(r'<g data-s="[\d ]+" data-n="([^"]+)">(.*?)</g>', figure)
            for name in names.split(", ")
        ]
        self.lines = {n: self._values(re.search(r'class="line[^"]*" d="([^"]+)"', g)) for n, g in drawn}
        self.dots = {n: self._values(re.search(r'class="dots[^"]*" d="([^"]+)"', g)) for n, g in drawn}
        self.uprights = [self.x(float(v)) for v in re.findall(r'<path class="mark" d="M([\d.]+) [\d.]+V', figure)]

    def x(self, place):
        return self._axes[0](place)

    def y(self, place):
        return self._axes[1](place)

    def _axis(self, kind, places, words):
        there, back = CHANGE[kind]
        values = there(np.array([float(w.replace("−", "-")) for w in words]))
        slope, start = np.polyfit(np.array(places, float), values, 1)
        assert start + slope * np.array(places, float) == pytest.approx(values, abs=abs(slope) / 10)
        return lambda place: back(start + slope * np.asarray(place))

    def _values(self, found):
        """Places of a line or of dots; values are read at half a pixel around them."""
        if found is None:
            return None
        if found[1].endswith(("h0", "l.01.01")):  # markers
            return np.array(re.findall(r"M([\d.]+) ([\d.]+)(?:h0|l\.01\.01)", found[1]), dtype=float)
        return places(found[1])

    def agrees(self, drawn, expected):
        """Whether every point lies within half a pixel of a curve that is given as a function."""
        assert len(drawn) > 1
        for px, py in drawn:
            ends = sorted((self.y(py - 0.5), self.y(py + 0.5)))
            near = expected(self.x(px + np.linspace(-0.5, 0.5, 21)))
            assert ends[0] <= np.max(near), (px, py)
            assert np.min(near) <= ends[1], (px, py)


def of_sklearn(cells, curve):
    """The mean over folds of a curve of scikit-learn, as a function."""
    folds = [curve(c.y, c.p) for c in cells]
    return lambda x: np.mean([[f(v) for v in np.atleast_1d(x)] for f in folds], axis=0)


def precision_at(y, p):
    precision, recall, _ = metrics.precision_recall_curve(y, p)
    return lambda r: precision[np.flatnonzero(recall >= min(r, 1.0) - 1e-9)[-1]]


def sensitivity_at(y, p):
    fpr, tpr, _ = metrics.roc_curve(y, p, drop_intermediate=False)
    return lambda x: np.interp(x, fpr, tpr)


@pytest.mark.parametrize(("name", "curve"), [("pr", precision_at), ("roc", sensitivity_at)])
def test_ranking_curves_are_those_of_scikit_learn(small, known, name, curve):
    plot = Plot(small.files[f"figures/{name}-yeast4-logistic.svg"])
    assert set(plot.lines) == {"none", "threshold", "smote", "smote_threshold"}
    for strategy, drawn in plot.lines.items():
        plot.agrees(drawn, of_sklearn(known["yeast4", "logistic", strategy], curve))


def test_the_response_to_the_ratio_is_that_of_the_inner_predictions(small, known):
    plot = Plot(small.files["figures/response-ratio-yeast4-logistic.svg"])
    n, positives = len(known["yeast4", "logistic", "none"][0].data.y), 51
    half = plot.x(100.5) / plot.x(100.0)
    assert plot.uprights == pytest.approx([positives / (n - positives), 1.0], rel=half - 1)
    seen = 0
    for strategy in (s for s in small.study.strategies if s.name in ("smote", "smote_threshold")):
        cells = known["yeast4", "logistic", strategy.name]
        for k in (3, 5):
            drawn = plot.dots[f"{strategy.name} k {k}"]
            asked = [params for params in cells[0].inner if dict(params)["k"] == k]
            want = {dict(a)["ratio"]: np.mean([candidate(c, strategy, a) for c in cells]) for a in asked}
            assert plot.x(drawn[:, 0]) == pytest.approx(sorted(want), rel=half - 1)
            pixel = abs(plot.y(100) - plot.y(101))
            assert plot.y(drawn[:, 1]) == pytest.approx([want[r] for r in sorted(want)], abs=pixel / 2)
            seen += len(drawn)
    assert seen == 16


def test_the_calibration_plot_is_that_of_scikit_learn(small, known):
    plot = Plot(small.files["figures/calibration-yeast4-logistic.svg"])
    assert set(plot.dots) == {"none", "threshold", "smote", "smote_threshold"}
    for strategy, drawn in plot.dots.items():
        total = defaultdict(lambda: np.zeros(3))
        for repeat in (0, 1):
            cells = [c for c in known["yeast4", "logistic", strategy] if c.row.repeat == repeat]
            y, p = (np.concatenate([getattr(c, name) for c in cells]) for name in ("y", "p"))
            bins = np.searchsorted(np.percentile(p, np.arange(10, 100, 10)), p)
            own = {b: np.array([np.sum(bins == b), p[bins == b].sum(), y[bins == b].sum()]) for b in np.unique(bins)}
            observed, risk = calibration_curve(y, p, n_bins=10, strategy="quantile")
            assert [v[1] / v[0] for v in own.values()] == pytest.approx(risk)
            assert [v[2] / v[0] for v in own.values()] == pytest.approx(observed)
            for b, v in own.items():
                total[b] += v
        want = np.array([total[b] for b in sorted(total)])
        for (px, py), (rows, risk, positives) in zip(drawn, want, strict=True):
            # Where no one of a bin is positive its dot lies on the axis.
            for read, place, value in ((plot.x, px, risk / rows), (plot.y, py, positives / rows)):
                low, high = sorted((float(read(place - 0.5)), float(read(place + 0.5))))
                assert low <= value + 1e-12
                assert value <= high or place in (40.0, 228.0)


def test_the_same_files_give_the_same_bytes_anywhere(small, tmp_path):
    copied = tmp_path / "small"
    copied.mkdir()
    for name in results.READ:
        shutil.copy(small.home / name, copied / name)
    report.write_files(copied, report.render_files(results.report_data(copied, read_result(copied, small.study))))
    again = {str(p.relative_to(copied)): p.read_bytes() for p in copied.rglob("*") if p.is_file()}
    assert {k: v.decode() for k, v in again.items() if k not in results.READ} == small.files


def test_figures_and_tables_of_an_earlier_report_go(small, tmp_path):
    report.write_files(tmp_path, [("tables/old.csv", [b"x"]), ("report.html", [b"x"])])
    (tmp_path / "tables" / "mine.txt").write_text("x")
    report.write_files(tmp_path, [(name, [text.encode()]) for name, text in small.files.items()])
    assert not (tmp_path / "tables" / "old.csv").exists()
    assert (tmp_path / "tables" / "mine.txt").exists()


def test_without_evidence_it_says_so(small, tmp_path):
    for name in (ledger.STUDY_FILE, ledger.LEDGER_FILE, ledger.SEARCHES_FILE):
        shutil.copy(small.home / name, tmp_path / name)
    files = report.render(results.report_data(tmp_path, read_result(tmp_path, small.study)))
    assert files[report.PAGE_FILE].count("This needs evidence.parquet, which is missing") == 4
    assert not [name for name in files if name.startswith(("figures/pr-", "figures/roc-", "figures/threshold-"))]
    assert "figures/response-ratio-yeast4-logistic.svg" in files


def test_no_row_is_refused(small, tmp_path):
    shutil.copy(small.home / ledger.STUDY_FILE, tmp_path / ledger.STUDY_FILE)
    with pytest.raises(results.StudyError, match=r"study 'small' has 0 of 60 evaluations in .*; a report needs one"):
        results.report_data(tmp_path, read_result(tmp_path, small.study))


def test_what_did_not_apply_is_named(small):
    failed = small.files["tables/failures.csv"].splitlines()
    assert any(line.startswith('"ecoli3, adasyn",logistic,inapplicable,') for line in failed)


def test_tables_beside_the_page(small):
    rows = list(csv.reader(io.StringIO(small.files["tables/scores.csv"])))
    assert rows[0][:5] == ["dataset", "learner", "strategy", "mean", "sd"]
    exact = numbers(small)["scores", "yeast4/logistic/smote", "mean"]
    assert float(next(r for r in rows if r[:3] == ["yeast4", "logistic", "smote"])[3]) == exact[0]
    tex = small.files["tables/scores.tex"]
    assert tex.count(r"\\") == len(rows)
    assert r"yeast4 & logistic & SMOTE, tuned threshold & " in tex
    assert r"\toprule" in tex
    header, *rows = csv.reader(io.StringIO(small.files["tables/differences-yeast4-logistic.csv"]))
    assert {row[header.index("estimator")] for row in rows if row[header.index("mean")]} == {"corrected t"}
    contrasts = section(small.files, "differences")
    assert contrasts.count("Intervals and tests rest on the corrected t (Nadeau and Bengio 2003).") == 1


HOSTILE = "</script><img src=x onerror=alert(1)>\"'&{{7*7}}"


def hostile(source, frame):
    """A source in which every name from data and configuration is an attack."""

    def renamed(frame):
        frame = frame.copy()
        for column in {"dataset", "learner", "strategy", "a", "b"} & set(frame.columns):
            frame[column] = [f"{v}{HOSTILE}" for v in frame[column]]
        return frame

    study = source.study
    study = replace(
        study,
        name=f"small{HOSTILE}",
        datasets={f"{k}{HOSTILE}": {**v, "source": HOSTILE} for k, v in study.datasets.items()},
        learners=tuple(replace(n, name=f"{n.name}{HOSTILE}") for n in study.learners),
        strategies=tuple(replace(s, name=f"{s.name}{HOSTILE}") for s in study.strategies),
    )
    rows = [
        replace(
            r,
            dataset=f"{r.dataset}{HOSTILE}",
            learner=f"{r.learner}{HOSTILE}",
            strategy=f"{r.strategy}{HOSTILE}",
            error=HOSTILE,
            notes=(HOSTILE,),
        )
        for r in source.result.evaluations
    ]
    facts = {"versions": {HOSTILE: HOSTILE}, "tables": {}}
    summary = renamed(source.result.summary)
    summary["remarks"] = [(HOSTILE,)] * len(summary)
    verdicts = {"contrasts": renamed(source.result.contrasts), "sentences": (HOSTILE,), "across": ()}
    return replace(
        source,
        result=replace(source.result, study=study, evaluations=tuple(rows), summary=summary, **verdicts),
        evidence=report.EvidenceIndex.from_frame(renamed(frame)),
        facts=facts,
        exploratory=HOSTILE,
        command=HOSTILE,
    )


def test_hostile_names_stay_words(small):
    source = results.report_data(small.home, read_result(small.home, small.study))
    files = report.render(hostile(source, evidence_of(small)))
    page = Page(files[report.PAGE_FILE])
    assert page.tags["script"] == 1
    assert page.tags["img"] == 0
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "7*7" in "".join(page.words)
    assert "49" not in "".join(w for w in page.words if "small" in w)
    for name, text in files.items():
        assert re.fullmatch(r"(report\.html|(figures|tables)/[a-z0-9_-]+\.(svg|csv|tex))", name)
        assert "<img" not in text or name.endswith((".csv", ".tex"))
        if name.endswith(".tex"):
            assert "{{7" not in "".join(line for line in text.splitlines() if not line.startswith("%"))


@pytest.mark.parametrize(
    ("strategy", "learner", "why"),
    [
        (Strategy("smote", SMOTE, prior_correction="approximate"), Learner("logistic", {}), "no probabilities"),
        (Strategy("enn", SMOTE), Learner("logistic", {}), "SMOTE chooses rows by their features"),
        (
            Strategy("enn", SMOTE, prior_correction="inapplicable"),
            Learner("x", {}),
            "SMOTE chooses rows by their features",
        ),
        (
            Strategy("class_weight", weight=9.0),
            Learner("forest", {}, traits=LearnerTraits(rebalances=True)),
            "learner 'forest' rebalances the classes by itself",
        ),
        (Strategy("isotonic", weight=9.0, calibration="isotonic"), Learner("x", {}), "calibrated already (isotonic)"),
    ],
)
def test_the_reason_against_a_correction_is_named(strategy, learner, why):
    assert _uncorrected_reason(strategy, learner).startswith(why)


def test_what_the_prior_correction_cannot_undo_is_said_and_left_blank(small):
    source = results.report_data(small.home, read_result(small.home, small.study))
    weighted = {"smote_threshold": replace(small.study.strategies[3], sampler=None, prior_correction=None, weight=9.0)}
    study = replace(small.study, strategies=tuple(weighted.get(s.name, s) for s in small.study.strategies))
    frame = evidence_of(small)
    gone = (frame.kind == "prior") & (frame.strategy == "smote")
    result = replace(source.result, study=study)
    files = report.render(replace(source, result=result, evidence=report.EvidenceIndex.from_frame(frame[~gone])))
    header, *lines = csv.reader(io.StringIO(files["tables/prior.csv"]))
    kinds = {line[0]: dict(zip(header, line, strict=True)) for line in lines}
    assert {name.split(", ")[2] for name in kinds} == {"smote", "smote_threshold"}
    assert kinds["yeast4, logistic, smote_threshold"]["correction"] == "exact"
    assert kinds["yeast4, logistic, smote"]["correction"] == "inapplicable: no probabilities"
    assert kinds["yeast4, logistic, smote"]["prior_brier"] == ""
    assert "Not applicable to smote: no probabilities." in section(files, "calibration")
    assert "approximate" not in section(files, "calibration")
    assert "approximate" in section(small.files, "calibration")


def test_verdicts_are_shown_at_a_glance_and_what_is_settled_comes_first(small):
    source = results.report_data(small.home, read_result(small.home, small.study))
    contrasts = source.result.contrasts.copy()
    settled = (contrasts.dataset == "yeast4") & (contrasts.a == "threshold")
    contrasts.loc[settled, "verdict"] = "better"
    contrasts.loc[~settled, "verdict"] = "inconclusive"
    declared = replace(small.study.claims, contrasts=tuple(dict.fromkeys(zip(contrasts.a, contrasts.b, strict=True))))
    result = replace(source.result, contrasts=contrasts, study=replace(small.study, claims=declared))
    files = report.render(replace(source, result=result))
    _, *lines = csv.reader(io.StringIO(files["tables/verdict.csv"]))
    assert len(lines) == len(contrasts)
    assert lines[0][:2] == ["yeast4, logistic: threshold − none", "better"]
    assert all(line[0].startswith("yeast4") for line in lines[: len(lines) // 2])
    header, *lines = csv.reader(io.StringIO(files["tables/verdict-threshold-none.csv"]))
    assert header == ["dataset", "logistic"]
    mean = contrasts[settled]["mean"].iloc[0]
    assert lines[1] == ["yeast4", f"better {mean:+.3f}".replace("-", "−")]
    assert lines[0][1].startswith("inconclusive ")


def test_a_difference_within_the_region_is_called_small_on_every_table(small):
    source = results.report_data(small.home, read_result(small.home, small.study))
    contrasts = source.result.contrasts.copy()
    contrasts.loc[:, ["verdict", "p_equivalence_holm", "rope"]] = ["worse", 0.01, 0.02]
    primary = source.result.answer.primary.copy()
    primary.loc[:, ["verdict", "p_equivalence_holm", "rope"]] = ["worse", 0.01, 0.02]
    result = replace(source.result, contrasts=contrasts, answer=replace(source.result.answer, primary=primary))
    files, small_one = report.render(replace(source, result=result)), "worse by less than ±0.02"
    _, *lines = csv.reader(io.StringIO(files["tables/verdict.csv"]))
    assert {line[1] for line in lines} == {small_one}
    _, *lines = csv.reader(io.StringIO(files["tables/verdict-smote_threshold-threshold.csv"]))
    assert all(re.fullmatch(r"worse [−+][\d.]+, by less than ±0\.02", line[1]) for line in lines)
    assert f"is {small_one} in 2 of 2 comparisons" in section(files, "differences")
    assert files["figures/forest.svg"].count(f", {small_one}</title>") == len(primary)
    assert not re.search(r'class="[^"]*\bhole\b', files["figures/forest.svg"])


def test_what_it_takes_to_make_it_again(small):
    source = results.report_data(small.home, read_result(small.home, small.study))

    def shown(**facts):
        files = report.render(replace(source, facts={**source.facts, **facts}))
        return dict(csv.reader(io.StringIO(files["tables/origin.csv"])))

    found = shown(system="Linux x86_64", git={"git.commit": "c0ffee", "git.dirty": "true", "git.diff_sha256": "beef"})
    assert found["command"] == "imblab run experiments/small/study.yaml"
    assert (found["system"], found["git commit"]) == ("Linux x86_64", "c0ffee")
    assert found["git tree"] == "uncommitted changes, sha256 of the diff beef"
    assert shown(git={"git.commit": "c0ffee", "git.dirty": "false"})["git tree"] == "clean"
    assert shown(git={})["git commit"].startswith("not recorded")
    for name in results.READ:
        assert found[f"sha256 of {name}"] == hashlib.sha256((small.home / name).read_bytes()).hexdigest()
    assert {"python", "imblab", "numpy", "scipy", "sklearn", "imblearn"} <= set(found)


def test_a_spreadsheet_computes_nothing():
    table = elements.Table("t", "t", elements.columns("a"), (elements.Line("k", (elements.text_cell("=1+1"),)),))
    assert elements.as_csv(table) == "a\n'=1+1\n"


def crafted(folder, study, rows):
    """The report of a ledger written by hand."""
    folder.mkdir()
    (folder / ledger.LEDGER_FILE).write_text("".join(f"{row.to_json()}\n" for row in rows), encoding="utf-8")
    return report.render(results.report_data(folder, read_result(folder, study)))


def section(files, name):
    return files[report.PAGE_FILE].partition(f'<section id="{name}"')[2].partition("</section>")[0]


def test_ranks_over_eight_tables_are_drawn_and_tested(small, tmp_path):
    tables = [f"table_{i}" for i in range(8)]
    level = {"none": 0.0, "threshold": 0.2, "smote": 0.2, "smote_threshold": 0.4}
    # SMOTE wins over the threshold on every other table.
    moved = {"smote": [0.01 * (i + 1) * (-1) ** i for i in range(8)]}
    rows = [
        replace(r, dataset=d, scores={"mcc": level[r.strategy] + moved.get(r.strategy, [0] * 8)[i]})
        for i, d in enumerate(tables)
        for r in ledger.read_evaluations(small.home)
        if r.dataset == "yeast4" and r.strategy in level
    ]  # fmt: skip
    study = replace(
        small.study,
        datasets={d: {"kind": "table", "path": f"{d}.csv", "name": d} for d in tables},
        strategies=tuple(s for s in small.study.strategies if s.name in level),
        claims=replace(small.study.claims, registered=None),
    )
    files = crafted(tmp_path / "ranks", study, rows)
    figure = files["figures/ranks-logistic.svg"]
    found = [[r.dataset, r.strategy, r.scores["mcc"]] for r in rows]
    means = pd.DataFrame(found, columns=["d", "s", "v"]).pivot_table(index="d", columns="s", values="v")
    expected = (-means).rank(axis=1).mean()
    shown = {
        name: float(rank)
        for a, b in re.findall(r">(?:([a-z_]+  [\d.]+)|([\d.]+  [a-z_]+))</text>", figure)
        for rank, name in [sorted((a or b).split())]
    }
    assert shown == pytest.approx(expected.to_dict(), abs=0.005)
    assert figure.count('class="clique"') == 1
    assert "Friedman" in section(files, "across")
    assert "Across 8 parent data sets, logistic" in section(files, "differences")
    assert (
        "Over 8 parent data sets with logistic, the signed ranks favour smote_threshold over threshold (Holm p 0.008; "
        "it won on 8 of 8)." in section(files, "verdict")
    )


def test_the_first_screen_says_that_a_recommended_sampler_was_not_shown_to_help(small, tmp_path):
    level = {"none": 0.0, "threshold": 0.2, "smote": 0.0, "smote_threshold": 0.29}
    rows = [
        replace(r, scores={"mcc": level[r.strategy] + 0.05 * (-1) ** (r.repeat + r.fold) * ("_" in r.strategy)})
        for r in ledger.read_evaluations(small.home)
        if r.strategy in level
    ]
    study = replace(
        small.study,
        strategies=tuple(s for s in small.study.strategies if s.name in level),
        claims=replace(small.study.claims, registered=None),
    )
    page = crafted(tmp_path / "caveat", study, rows)["report.html"]
    first_screen = page.partition('<section id="verdict"')[2].partition("<details>")[0]
    assert "(strategy <code>smote_threshold</code>)" in first_screen
    assert "was not shown to help on any of 2 data sets" in first_screen
    assert "No primary contrast shows that its resampling helps" in first_screen


def test_failed_fits_are_named_and_never_drawn(small, tmp_path):
    why = "every candidate failed: LinAlgError <singular>"
    rows = [
        replace(r, status="failed", error=why, scores={}, counts={}, threshold=None)
        if (r.dataset, r.strategy) == ("yeast4", "smote") and (r.repeat, r.fold) != (0, 1)
        else replace(r, status="failed", error=why, scores={}, counts={}, threshold=None)
        if (r.dataset, r.strategy) == ("ecoli3", "smote")
        else r
        for r in ledger.read_evaluations(small.home)
    ]
    files = crafted(tmp_path / "failed", small.study, rows)
    listed = files["tables/failures.csv"]
    assert '"yeast4, smote",logistic,failed,5,' in listed
    assert '"ecoli3, smote",logistic,failed,6,' in listed
    assert "LinAlgError &lt;singular&gt;" in section(files, "failures")
    lost = sum(r.status != "ok" for r in rows)
    assert f"{len(rows) - lost} of {len(rows)} evaluations have scores." in section(files, "failures")
    header, *lines = csv.reader(io.StringIO(files["tables/differences-yeast4-logistic.csv"]))
    assert next(line for line in lines if line[0] == "smote − none")[header.index("p")] == ""
    assert "smote</title>" not in files["figures/balance-recall-ecoli3-logistic.svg"]
    assert 'data-n="smote"' not in files["figures/balance-recall-ecoli3-logistic.svg"]


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    """A finished study of a table in the order of time, its knobs searched by TPE."""
    base = tmp_path_factory.mktemp("timed")
    random = np.random.default_rng(0)
    n = 800
    x, day = random.normal(size=(n, 2)), np.arange(n) // 4
    y = (x[:, 0] + random.normal(size=n) > 1.3).astype(int)
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "day": day, "y": y}).to_csv(base / "days.csv", index=False)
    study = python_runs.compose(
        *("name=timed", "dataset=table", f"dataset.table.path={base / 'days.csv'}", "dataset.table.target=y"),
        *("dataset.table.time=day", "learner=[logistic]", "strategy=[none,threshold,smote,smote_threshold]"),
        *("protocol=smoke", "search=tpe", "search.n_trials=4", "strategy.smote.space.ratio=interval(0.6,1)"),
        *("strategy.smote.space.k=choice(3,5)", "strategy.smote_threshold.space.ratio=interval(0.6,1)"),
    )
    python_runs.run_in_folder(study, folder=base / "timed", store_path=base / "p.sqlite")
    kept = config.load_request(base / "timed" / ledger.STUDY_FILE).study
    return report.render(results.report_data(base / "timed", read_result(base / "timed", kept)))


def test_folds_that_follow_the_time_are_described_only(timed):
    assert "descriptive in 1 of 1 comparison" in section(timed, "differences")
    assert "(strategy <code>" in section(timed, "verdict")
    assert "Folds followed time" in section(timed, "methods")
    assert "Differences on days, where folds follow time, are reported without a test" in section(timed, "methods")
    assert "have no interval here" in section(timed, "results")
    assert "On days with logistic: does resampling help" in timed[report.PAGE_FILE]
    header, *lines = csv.reader(io.StringIO(timed["tables/differences-days-logistic.csv"]))
    assert lines
    assert all(line[header.index("p")] == "" for line in lines)
    assert not [
        w
        for w in ("stratified and shuffled", "80 % power", "resampled t-test", "Intervals that include 0")
        if w in timed[report.PAGE_FILE]
    ]


def test_candidates_of_a_tpe_search_are_dots_that_nobody_joined(timed):
    assert "proposed by the tree-structured Parzen estimator" in section(timed, "methods")
    figure = timed["figures/response-ratio-days-logistic.svg"]
    smote = re.search(r'<g [^>]*data-n="smote">(.*?)</g>', figure)[1]
    assert len(re.findall("M", smote)) == 3 * 4
    assert 'class="line' not in smote
    assert "Each marker is one candidate in one outer fold" in section(timed, "response")
    assert not [name for name in timed if name.startswith("figures/map-") or name == "tables/peaks.csv"]


def bands(text, shown):
    """Strategies whose band is drawn at once, or waits."""
    mark = "" if shown else " more"
    found = re.findall(rf'data-n="([\w, ]+)"><path class="band p\d+{mark}"', text)
    return [name for names in found for name in names.split(", ")]


def test_bands_are_few_and_the_caption_says_which(small):
    figure = small.files["figures/pr-yeast4-logistic.svg"]
    _, *lines = csv.reader(io.StringIO(small.files["tables/scores.csv"]))
    means = {line[2]: float(line[3]) for line in lines if line[0] == "yeast4" and line[3]}
    best = max((s for s in means if s not in ("none", "threshold")), key=means.get)
    assert set(bands(figure, True)) >= {"threshold", best}
    assert set(bands(figure, False)) == set(means) - set(bands(figure, True))
    assert len(bands(figure, True)) < len(means)
    assert "Bands are drawn for threshold and for the other strategy with the best " in section(small.files, "curves")


def test_figures_of_one_family_stand_side_by_side(small, timed):
    assert section(timed, "thresholds").count('class="tile"') == 4
    assert section(timed, "curves").count('class="grid three"') == 1
    assert 'class="tile"' not in section(small.files, "thresholds")
    assert section(small.files, "thresholds").count('class="grid two"') == 5


@pytest.mark.slow
def test_sixty_families_of_fifteen_strategies_stay_small(small):
    source = results.report_data(small.home, read_result(small.home, small.study))
    arms = [s for s in source.strategies if s != "adasyn"]
    sets, learners, names = (
        [f"table_{i}" for i in range(15)],
        [f"learner_{i}" for i in range(4)],
        [f"strategy_number_{i}" for i in range(15)],
    )

    def grown(frame, names_of):
        own = frame[(frame.dataset == "yeast4")].astype({c: "object" for c in names_of})
        parts = []
        for d in sets:
            for n in learners:
                for i, s in enumerate(names):
                    part = own[own[names_of[2]] == arms[i % len(arms)]]
                    parts.append(part.assign(**dict(zip(names_of, (d, n, s), strict=True))))
        return pd.concat(parts, ignore_index=True)

    arm = ["dataset", "learner", "strategy"]
    rows = [
        replace(r, dataset=d, learner=n, strategy=s)
        for d in sets
        for n in learners
        for i, s in enumerate(names)
        for r in source.result.evaluations
        if r.dataset == "yeast4" and r.strategy == arms[i % len(arms)]
    ]
    strategies = tuple(
        replace(next(x for x in small.study.strategies if x.name == arms[i % len(arms)]), name=s)
        for i, s in enumerate(names)
    )
    contrasts = grown(source.result.contrasts.assign(strategy="none").pipe(_as_arms, arms), [*arm[:2], "a"])
    frame = grown(evidence_of(small), arm)
    big = replace(
        source,
        result=replace(
            source.result,
            study=replace(small.study, datasets={d: {} for d in sets}, strategies=strategies),
            evaluations=tuple(rows),
            summary=grown(source.result.summary, arm),
            contrasts=contrasts,
            across=(),
        ),
        evidence=report.EvidenceIndex.from_frame(evidences.merge_frames(evidences.empty_frame(), frame)),
    )
    files = report.render(big)
    page = files[report.PAGE_FILE]
    assert len([name for name in files if name.endswith(".svg")]) > 400
    assert "figures are in the folder figures/ next to this page" in page
    for vital in ("differences", "curves", "thresholds", "response"):
        assert "<figure" in page.partition(f'<section id="{vital}"')[2].partition("</section>")[0]
    assert len(page.encode()) < 5_000_000


def _as_arms(contrasts, arms):
    """One contrast an arm."""
    first = contrasts.iloc[[0]]
    return pd.concat([first.assign(a=s, dataset="yeast4") for s in arms], ignore_index=True)


def test_index_lists_the_studies_somebody_stands_by(small, tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        for file in results.READ:
            shutil.copy(small.home / file, tmp_path / name / file)
    (tmp_path / "second" / "README.md").write_text("words")
    shutil.copytree(tmp_path / "second", tmp_path / "second~1")  # set aside by overwrite=true
    text = results.build_index(tmp_path)
    assert "## second" in text
    assert "## second~1" not in text
    assert "## first" not in text
    answer = read_result(small.home, small.study).answer
    assert f"**{answer.headline} {answer.recommendation[0]}**" in text
    assert "[report.html](second/report.html)" in text


def test_evidence_that_is_kept_is_enough(small):
    """Areas from the evidence equal the scores of the ledger."""
    areas = evidences.areas(evidence.load_evidence(small.home / evidence.EVIDENCE_FILE))
    rows = {(r.dataset, r.strategy, r.repeat, r.fold): r for r in ledger.read_evaluations(small.home)}
    for r in areas.itertuples():
        assert rows[r.dataset, r.strategy, r.repeat, r.fold].scores["pr_auc"] == pytest.approx(r.pr_auc, abs=1e-12)


def test_figures_of_a_gallery_have_one_axis_that_holds_every_band(small):
    for kind in ("pr", "roc", "threshold-mcc", "threshold-precision"):
        figures = [text for name, text in small.files.items() if name.startswith(f"figures/{kind}-")]
        assert len(figures) == len(small.study.datasets) * len(small.study.learners) > 1
        axes = {re.search(r' data-y="([^"]+)"', figure)[1] for figure in figures}
        assert len(axes) == 1
        low, high, start, end = (float(v) for v in axes.pop().split()[:4])
        bands = [d for figure in figures for d in re.findall(r'class="band[^"]*" d="([^"]+)z"', figure)]
        heights = np.concatenate([places(d)[:, 1] for d in bands])
        assert low <= 0 < high <= 1
        # A band that reaches the end of the axis reaches the end of the measure.
        assert heights.min() >= end - 0.2
        assert high == 1 or heights.min() > end
        assert heights.max() <= start + 0.2


def test_chosen_thresholds_are_marked_where_the_scores_say(small):
    header, *lines = csv.reader(io.StringIO(small.files["tables/scores.csv"]))
    scores = {line[2]: dict(zip(header, line, strict=True)) for line in lines if line[0] == "yeast4"}
    found = dict(re.findall(r"<title>(\w+): (recall [^<]+)</title>", small.files["figures/pr-yeast4-logistic.svg"]))
    assert set(found) >= {"none", "threshold", "smote", "smote_threshold"}
    for name, words in found.items():
        recall, precision = (float(v) for v in re.findall(r"[\d.]+", words))
        assert recall == pytest.approx(float(scores[name]["recall"]), abs=0.00051)
        assert precision == pytest.approx(float(scores[name]["precision"]), abs=0.00051)
    curve = small.files["figures/threshold-mcc-yeast4-logistic.svg"]
    assert "<title>none: threshold 0.50</title>" in curve


def test_chosen_flags_are_words_and_numbers_are_short():
    assert _describe_values([(True, 3), (False, 2), (0.5, 1), ("rbf", 1)]) == "True × 3, False × 2, 0.5 × 1, rbf × 1"
