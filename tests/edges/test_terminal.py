"""The terminal: readable at 80 columns without colour, nothing cut, nothing lost."""

import re
from dataclasses import replace
from io import StringIO
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from rich.console import Console

from imblab.analysis.results import build_result
from imblab.analysis.wording import describe_contrasts
from imblab.commands import listing, plan_text
from imblab.edges import terminal
from imblab.result import Evaluation, Trial
from imblab.study import Choice, Learner, Measure, Protocol, Strategy, Study

SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
STRATEGIES = (
    Strategy("none"),
    Strategy("threshold", threshold="tuned"),
    Strategy("class_weight", weight="balanced"),
    Strategy("smote", SMOTE, space={"ratio": Choice((0.25, 0.5, 1.0)), "k": Choice((3, 5))}),
    Strategy("smote_threshold", SMOTE, threshold="tuned", space={"ratio": Choice((0.25, 0.5, 1.0))}, k=5),
)
STUDY = Study(
    name="demo",
    seed=0,
    datasets={"yeast4": {}},
    learners=(Learner("logistic", {}), Learner("lightgbm", {})),
    strategies=STRATEGIES,
    measures=(Measure("mcc", "imblab.core.measures.mcc", "label"),),
    protocol=Protocol(),
)


def rows(study=STUDY, broken=True):
    rng = np.random.default_rng(5)
    made = []
    for learner, (i, strategy), fold in product(study.learners, enumerate(study.strategies), range(5)):
        made.append(answer("yeast4", learner.name, strategy, fold, 0.3 + 0.04 * i + rng.normal(0, 0.05), rng))
    if broken:
        reason = "k=5 needs more than 5 minority rows and the smallest inner fit fold of 'yeast4' holds 4"
        gone = {"scores": {"mcc": None}, "counts": {}, "threshold": None, "params": {}}
        gone |= {"error": reason, "status": "inapplicable"}
        made = [replace(e, **gone) if (e.learner, e.strategy) == ("lightgbm", "smote") else e for e in made]
    return made


def answer(dataset, learner, strategy, fold, score, rng):
    params = {} if strategy.sampler is None else {"ratio": float(rng.choice([0.25, 0.5, 1.0])), "k": 5}
    params |= {"weight": strategy.weight} if strategy.weight else {}
    trials = (Trial(params, 0.4, 0.5),) * (6 if strategy.sampler else 1)
    cut = 0.5 if strategy.threshold == 0.5 else round(float(rng.uniform(0.05, 0.45)), 2)
    counts = {"tn": 280, "fp": 7, "fn": 4, "tp": 6}
    return Evaluation(
        dataset, learner, strategy.name, 0, fold, params, cut, {"mcc": float(score)}, counts, 1.25, "ok", None, "f",
        split_fingerprint=str(fold), n_train=1187, n_test=297, fits=len(trials) * 3 + 1, trials=trials,
    )  # fmt: skip


def page(study=STUDY, evaluations=None, width=80):
    result = build_result(study, rows(study) if evaluations is None else evaluations)
    steps = ["imblab ui      the runs in MLflow", "experiments/demo/ledger.jsonl      every row"]
    return terminal.comparison_text(
        result.summary, result.contrasts, describe_contrasts(result.contrasts, study), study, steps, width
    )


def longest(text):
    return max(len(line) for line in text.split("\n"))


def test_a_comparison_at_80_columns(snapshot):
    text = page()
    assert longest(text) <= 80
    assert "\x1b" not in text
    assert text == snapshot


def test_a_wide_terminal_gets_the_same_tables():
    assert 80 < longest(page(width=200)) <= 120
    assert page(width=20) == page(width=80)


NAMES = st.text("abcdefghij_", min_size=1, max_size=45)


@settings(max_examples=10)
@given(
    st.lists(NAMES, min_size=2, max_size=2, unique=True),
    st.sampled_from([1, 30.0, -4000, 1e6]),
    st.text("abc ", max_size=200),
)
def test_nothing_is_wider_than_80_columns_and_no_number_is_cut(names, scale, note):
    asked = replace(STUDY, strategies=(*STRATEGIES[:2], *map(Strategy, names)))
    made = [replace(e, scores={"mcc": e.scores["mcc"] * scale}, notes=(note,)) for e in rows(asked, broken=False)]
    text = page(asked, made)
    assert longest(text) <= 80
    summary = build_result(asked, made).summary
    for value in (*summary["mean"], *summary.gain_none_low.dropna(), *summary.gain_none_high.dropna()):
        assert (f"{value:z.3f}" if abs(value) < 100 else f"{value:.4g}") in text


def test_a_study_without_rows_says_so():
    assert page(evaluations=[]) == "Study 'demo' has no evaluation yet."


PLAN = {
    "study": "demo",
    "cells": 50,
    "fits": 1234,
    "datasets": [
        {
            "name": "yeast4",
            "rows": 1484,
            "features": 8,
            "positives": 51,
            "ratio": 28.098,
            "columns": {"numeric": 7, "categorical": ["sex"], "missing": 0},
            "folds": [{"train": 1187, "train_pos": 41, "test": 297, "test_pos": 10}] * 4
            + [{"train": 1188, "train_pos": 40, "test": 296, "test_pos": 11}],
            "warnings": ["'yeast4' holds 28 exact duplicates of other rows; 12 of them straddle outer folds."],
        }
    ],
    "learners": ["logistic", "lightgbm"],
    "strategies": [
        {"name": "none", "candidates": 1, "axes": {}, "weight": None, "threshold": 0.5},
        {
            "name": "smote_weight_threshold",
            "candidates": 6,
            "axes": {"ratio": "choice(0.25,0.5,1.0)", "k": "choice(3,5)"},
            "weight": "choice(1,10,100)",
            "threshold": {"alert_rate": 0.01},
        },
    ],
    "inapplicable": [
        {
            "dataset": "yeast4",
            "strategy": "smote",
            "value": "ratio=0.01, k=5",
            "reason": "ratio 0.01 is at or below the ratio 0.036 that the fit part has already",
            "folds": 5,
            "learners": ["logistic"],
        }
    ],
    "protocol": {"repeats": 1, "outer_folds": 5},
    "measure": "mcc",
    "contrasts": [{"contrast": "smote_threshold - none", "family": "secondary", "applicable": 2, "families": 2}],
    "power": [
        {
            "dataset": "yeast4",
            "learner": learner,
            "family": "secondary",
            "contrasts": 1,
            "reason": None,
            "detectable_sd": 2.523,
            "equivalence_sd": 2.4,
            "spread": {"center": center, "low": 0.05, "high": 0.15, "folds": 0},
            "detectable": 2.523 * center,
            "detectable_low": 0.126,
            "detectable_high": 0.378,
            "equivalence": 2.4 * center,
            "region": 0.02,
            "is_reached": False,
            "repeats_needed": None,
            "folds_needed": None,
            "positives_needed": 7_344,
        }
        for learner, center in (("logistic", 0.09), ("lightgbm", 0.1))
    ],
}


def test_a_plan_at_80_columns(snapshot):
    text = plan_text.plan_text(PLAN, 80)
    assert longest(text) <= 80
    assert text == snapshot


def test_a_plan_needs_no_more_than_its_counts():
    text = plan_text.plan_text({"study": "demo", "cells": 1, "fits": 2}, 80)
    assert text.startswith("Study 'demo': 1 evaluation, 2 fits.")


def test_a_listing_at_80_columns(snapshot):
    facts = {"rows": 4174, "features": 8, "positives": 32, "ratio": 129.4, "categorical": 1, "licence": "CC BY 4.0"}
    bare = [{"name": f"keel_{name}", "kind": "keel"} for name in ("ecoli_0_1_3_7_vs_2_6", "glass5") * 6]
    text = listing.data_sets_text([{"name": "abalone19", "kind": "bundled", "source": "abalone", **facts}, *bare], 80)
    assert longest(text) <= 80
    assert text == snapshot


def test_markup_and_ranges_are_left_alone():
    text = listing.data_sets_text([{"name": "[red]x[/red]", "kind": "bundled", "rows": 3}], 80)
    assert "[red]x[/red]" in text
    ranges = listing.data_sets_text([{"name": f"0.25-{i}", "kind": "many"} for i in range(60)], 80)
    assert all(re.search(rf"0\.25-{i}\b", ranges) for i in range(60))


@pytest.mark.parametrize("total", [1, 7, 50, 1234])
def test_a_log_gets_at_most_twenty_lines(total):
    out = StringIO()
    with terminal.progress(total, "2 processes", Console(file=out, force_terminal=False, width=80)) as bar:
        for i in range(total):
            bar.advance(f"yeast4/logistic/smote/0/{i}", 60.0 * (total - 1 - i))
    lines = out.getvalue().strip().split("\n")
    assert len(lines) <= 20
    assert lines[0] == f"{total:,} {'cell' if total == 1 else 'cells'} on 2 processes"
    assert lines[-1].startswith(f"{total}/{total} yeast4/logistic/smote/0/{total - 1}, ")
    assert lines[-1].endswith("about 0.0 s left")


def test_a_terminal_gets_a_bar_that_fits():
    out = StringIO()
    with terminal.progress(3, "1 process", Console(file=out, force_terminal=True, width=80, color_system=None)) as bar:
        for i in range(3):
            bar.advance(f"a_data_set_with_a_long_name/learner/strategy/0/{i}", 5400.0)
        bar.note("cell [0] failed")
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "\n", out.getvalue()).replace("\r", "\n")
    assert longest(text) <= 80
    assert "3/3" in text
    assert "1.5 h left" in text
    assert "cell [0] failed" in text


def test_what_cannot_be_encoded_does_not_stop_a_study(monkeypatch, capsys):
    terminal.show("mean ± sd")
    assert capsys.readouterr().out == "mean ± sd\n"

    class Plain(StringIO):
        encoding = "ascii"

    out = Plain()
    monkeypatch.setattr("sys.stdout", out)
    terminal.show("mean ± sd")
    assert out.getvalue() == "mean ? sd\n"


ANSWER = [
    "SMOTE was shown to help on 1 of 2 data sets.",
    "",
    "a  +0.1  better",
    "b  +0.0  1 worse of 8",
    "",
    "Next steps",
]


def on_a_terminal(monkeypatch, **variables):
    """What a terminal gets for an answer."""
    out = StringIO()
    out.isatty = lambda: True
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", out)
    terminal.show_answer(lambda width: [*ANSWER, f"{width} columns"])
    return out.getvalue()


def test_a_terminal_gets_the_headline_bold_and_verdicts_in_colour(monkeypatch):
    text = on_a_terminal(monkeypatch)
    assert text.startswith(f"\x1b[1m{ANSWER[0]}\x1b[0m\n")
    assert "\x1b[32mbetter\x1b[0m\n" in text
    assert "\x1b[31m1 worse\x1b[0m of 8\n" in text
    assert text.endswith("Next steps\n80 columns\n")
    assert "\x1b" not in text.split("\n")[-2]


def test_no_color_leaves_the_bold_headline(monkeypatch):
    text = on_a_terminal(monkeypatch, NO_COLOR="1")
    assert text.startswith(f"\x1b[1m{ANSWER[0]}\x1b[0m\n")
    assert not re.search(r"\x1b\[3\d", text)


@pytest.mark.parametrize(("columns", "width"), [("40", 60), ("60", 60), ("100", 100), ("200", 120)])
def test_an_answer_has_the_width_of_the_terminal(monkeypatch, columns, width):
    assert f"{width} columns" in on_a_terminal(monkeypatch, COLUMNS=columns)


def test_output_that_is_no_terminal_has_neither_bold_nor_colour(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    terminal.show_answer(lambda width: [*ANSWER, "\x1b[31mred"])
    assert capsys.readouterr().out == "\n".join([*ANSWER, r"\x1b[31mred", ""])


def test_the_store_is_described_in_a_sentence():
    facts = {"path": "mlruns/p.sqlite", "predictions": 2, "bytes": 3 * 2**20, "limit": 2**32, "oldest_days": 1.24}
    said = "mlruns/p.sqlite holds the predictions of 2 fits in 3.0 MB of at most 4.0 GB, the oldest 1.2 days old."
    assert terminal.store_text(facts) == said
