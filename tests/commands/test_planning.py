"""A budget proposes what applies, keeps what the question needs, and prints a line that runs as it stands."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_info

from imblab import compose
from imblab.cli import main
from imblab.commands import planning
from imblab.commands.layout import lay_out
from imblab.core import fitting, forecast, splits
from imblab.core.evaluate import inner_requests
from imblab.edges import config, runner
from imblab.study import Choice


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(rows=90):
    rng = np.random.default_rng(0)
    words = rng.choice(["a", "b", "c"], rows)
    return pd.DataFrame(
        {"a b": rng.normal(size=rows), "c": words, "Ziel": np.where(np.arange(rows) < 27, ">50K", "no")}
    )


def plan(capsys, *words):
    assert main(["plan", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["budget"]


def names(items):
    return [item.name for item in items]


def test_the_baseline_and_what_answers_the_question_stay_to_the_last():
    every = ["none", "threshold", "smote_threshold", "class_weight", "smote", "adasyn", "random_under"]
    study = compose("name=x", "dataset=[ecoli3]", "learner=[logistic,knn]", f"strategy=[{','.join(every)}]")
    steps = list(forecast.shrink_study(study))
    left = [names(step.strategies) for step in steps]
    assert [each for i, each in enumerate(left) if i and each != left[i - 1]] == [
        every[:6], every[:5], every[:4], every[:3]
    ]  # fmt: skip
    assert names(steps[-1].learners) == ["logistic"]
    assert steps[-1].protocol.outer_folds == 3
    assert steps[0].protocol.outer_folds == 5


def test_declared_contrasts_keep_their_strategies():
    words = ("strategy=[none,threshold,smote,adasyn]", "claims.contrasts=[[adasyn,none]]")
    study = compose("name=x", "dataset=[ecoli3]", "learner=[logistic]", *words)
    assert "adasyn" in names(list(forecast.shrink_study(study))[-1].strategies)


def test_what_applies_nowhere_is_not_proposed(here, capsys):
    """ADASYN has no form for categories, k-nearest neighbours take no weights, and ratio .25 is there already."""
    table().to_parquet("t.parquet")
    words = ["t.parquet", "target=Ziel", "learner=[knn]", "protocol=smoke", "budget.minutes=0.000001"]
    words += ["strategy=[none,threshold,class_weight,smote_threshold,smote,adasyn]"]
    words += ["strategy.smote_threshold.space.ratio=choice(0.25,0.5,1.0)", "strategy.adasyn.space.k=choice(3,5)"]
    found = plan(capsys, *words)
    assert "strategy=[none,threshold,smote_threshold]" in found["overrides"]
    assert "strategy.smote_threshold.space.ratio=choice(0.5)" in found["overrides"]


def test_a_value_that_applies_in_all_folds_is_proposed_before_one_that_does_not(here, capsys):
    """Of 300 rows with 58 positives, ratio .25 is there already in two of five folds."""
    rng = np.random.default_rng(0)
    pd.DataFrame({"a": rng.normal(size=300), "y": np.arange(300) < 58}).to_parquet("t.parquet")
    words = ["t.parquet", "target=y", "learner=[logistic]", "strategy=[none,threshold,smote_threshold]"]
    study = compose(*words)
    ratios = {f: {p["ratio"] for p in found.applicable["smote_threshold"]}
              for f, found in enumerate(planning._forecasts(lay_out(study), None))}  # fmt: skip
    assert {0.25 in each for each in ratios.values()} == {True, False}
    assert (
        "strategy.smote_threshold.space.ratio=choice(0.5)"
        in plan(capsys, *words, "budget.minutes=0.000001")["overrides"]
    )


def test_a_learner_that_no_strategy_applies_to_is_left_out():
    words = ("dataset=[ecoli3]", "learner=[logistic,knn]", "strategy=[class_weight]", "protocol=smoke")
    study = compose("name=x", *words)
    found = planning._forecasts(lay_out(study), None)
    smaller = forecast.drop_inapplicable(study, found)
    assert names(smaller.learners) == ["logistic"]
    assert forecast.shrinking_overrides(study, smaller) == {"learner": "[logistic]"}


LINES = {
    "short": ["t.parquet", "target=Ziel", "positive=>50K", "drop=[a b]", "learner=[logistic]"],
    "long": ["name=t", "dataset=table", "dataset.table.path=t.parquet", "dataset.table.target=Ziel", "seed=3"],
    "own-names": ["name=t", "dataset.mine.path=t.parquet", "dataset.mine.target=Ziel", "dataset=[ecoli3]"],
    "searched": ["name=t", "dataset=[ecoli3]", "strategy.smote.space.k=choice(3,5,7)", "strategy.smote.ratio=0.5"],
    "removed-by-a-step": ["name=t", "dataset=[ecoli3]", "strategy=[none,threshold,smote_threshold,smote]",
                          "strategy.smote.k=3", "protocol=repeated_5x5x3"],
    "inline": ["name=t", "dataset=[ecoli3]", "+strategy.mine={sampler: {_target_: imblearn.over_sampling.SMOTE}, k: 3, "
               "ratio: 0.5, weight: null, threshold: 0.5, space: {}}"],
    "experiment": ["experiment=quickstart", "budget.minutes=0.00001"],
    "drawn": ["name=t", "dataset=[ecoli3]", "search=random", "search.n_trials=20"],
}  # fmt: skip


@pytest.mark.sampled(2)
@pytest.mark.parametrize("case", LINES)
def test_the_line_asks_for_the_proposed_study_and_nothing_is_left_to_add(case, capsys):
    table().to_parquet("t.parquet")
    words = [*LINES[case], "budget.minutes=0.00001"][: len(LINES[case]) + (case != "experiment")]
    found = plan(capsys, *words, *([] if any("learner" in w for w in words) else ["learner=[logistic]"]))
    program, command, *rest = shlex.split(found["line"])
    assert (program, command) == ("imblab", "run")
    assert any(word.startswith("name=") for word in rest)
    assert not any("budget" in word for word in rest)
    study = compose(*rest)
    assert main(["plan", *rest, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["strategies"]
    assert "threshold" in names(study.strategies)
    assert case == "inline" or len(study.strategies) <= 3
    assert ("mine" in names(study.strategies)) is (case == "inline")
    assert study.protocol.repeats == 1


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", ["smote_ratio", "resample_or_not", "quickstart"])
def test_every_shipped_experiment_has_a_line_for_its_smallest_form(name):
    typed = planning.CommandLine((f"experiment={name}",))
    study = compose(*typed.args)
    inline = {s.name for s in study.strategies} - typed.on_file()
    smallest = list(forecast.shrink_study(study, inline))[-1]
    line = typed.line(study, smallest)
    assert config.to_mapping(compose(*shlex.split(line)[2:])) == config.to_mapping(smallest)


def test_a_name_that_holds_another_question_is_not_proposed_again(here, capsys):
    words = ["name=t", "dataset=[ecoli3]", "learner=[logistic]", "protocol=smoke", "budget.minutes=0.00001"]
    assert shlex.split(plan(capsys, *words)["line"])[2] == "name=t"
    Path("experiments/t").mkdir(parents=True)
    Path("experiments/t/study.yaml").touch()
    assert shlex.split(plan(capsys, *words)["line"])[2] == "name=t_2"


def test_a_resolved_study_has_no_line_but_its_changes(here, capsys):
    study = compose("name=t", "dataset=[ecoli3]", "learner=[logistic]", "protocol=smoke")
    Path("study.yaml").write_text(json.dumps(config.to_mapping(study)))
    found = plan(capsys, "study.yaml", "budget.minutes=0.00001")
    assert found["line"] is None
    assert found["overrides"]


def test_folders_of_ones_own_stay_in_the_line(here, capsys):
    (here / "my conf" / "learner").mkdir(parents=True)
    (here / "my conf" / "learner" / "mine.yaml").write_text("mine: {make: {_target_: sklearn.naive_bayes.GaussianNB}}")
    words = ["name=t", "dataset=[ecoli3]", "learner=[mine,logistic]", "protocol=smoke", "budget.minutes=0.00001"]
    found = plan(capsys, *words, "--config-dir", "my conf")
    assert found["line"].endswith("--config-dir 'my conf'")
    assert main(["plan", *shlex.split(found["line"])[2:]]) == 0


def test_the_line_is_printed_unbroken(here, capsys):
    table().to_parquet("t.parquet")
    assert main(["plan", "t.parquet", "target=Ziel", "learner=[logistic]", "budget.minutes=0.00001"]) == 0
    lines = capsys.readouterr().out.splitlines()
    line = lines[lines.index("To run it:") + 1]
    assert len(line) > 120
    assert compose(*shlex.split(line)[2:]).protocol.outer_folds == 3


def test_overrides_say_what_differs():
    study = compose("name=x", "dataset=[ecoli3]", "learner=[logistic,knn]", "protocol=repeated_5x5x3")
    smote = replace(study.strategies[3], space={**study.strategies[3].space, "ratio": Choice((0.5,))})
    smaller = replace(study, strategies=(*study.strategies[:3], smote), learners=study.learners[:1])
    smaller = replace(smaller, protocol=replace(study.protocol, repeats=1))
    assert forecast.shrinking_overrides(study, smaller) == {
        "protocol.repeats": "1",
        "strategy": "[none,threshold,class_weight,smote]",
        "learner": "[logistic]",
        "strategy.smote.space.ratio": "choice(0.5)",
    }


def test_a_plan_says_what_can_be_found_and_takes_the_spread_of_evaluations_on_record(here, capsys):
    words = ["name=t", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,threshold,smote_threshold]"]
    words += ["strategy.smote_threshold.space.ratio=choice(0.5)", "strategy.smote_threshold.space.k=choice(5)"]

    def families(*changes):
        assert main(["plan", *words, *changes, "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts["estimator"] == "corrected_t"  # of the widths and of the power
        return {each["family"]: each for each in facts["power"]}

    before = families()["primary"]
    assert before["spread"]["folds"] == 0
    assert before["detectable_low"] < before["detectable"] < before["detectable_high"]
    assert main(["run", *words, "tracking=none"]) == 0
    with Path("experiments/t/ledger.jsonl").open("a") as ledger:
        ledger.write('{"fingerprint": "abc", "scores": null}\nhalf a li')
    Path("experiments/other").mkdir()
    capsys.readouterr()
    after = families("name=other_name")["primary"]
    rows = [json.loads(line) for line in Path("experiments/t/ledger.jsonl").read_text().splitlines()[:-2]]
    scores = {(r["strategy"], r["fold"]): r["scores"]["mcc"] for r in rows}
    differences = [scores["smote_threshold", f] - scores["threshold", f] for f in range(5)]
    assert after["spread"]["folds"] == 5
    assert after["spread"]["center"] == pytest.approx(np.std(differences, ddof=1))
    assert families("seed=7")["primary"]["spread"]["folds"] == 0, "other folds are not on record"


def test_the_families_of_a_plan_without_a_record_are_printed_with_full(here, capsys):
    words = ["name=t", "dataset=[ecoli3]", "learner=[logistic,knn]", "strategy=[none,threshold,class_weight]"]
    assert main(["plan", *words, "--full"]) == 0
    text = capsys.readouterr().out
    assert "Every data set, learner and family" in text
    assert "planned from the shipped studies" in text
    assert [line.split()[1] for line in text.splitlines() if line.startswith("ecoli3 ") and "secondary" in line] == [
        "logistic",
        "knn",
    ]


def test_tables_of_more_classes_are_planned_with_a_row_per_class(capsys):
    words = ["name=many", "dataset=[glass,car,ecoli3]", "learner=[logistic]", "strategy=[none,smote_threshold]"]
    assert main(["plan", *words]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 40
    rows = {tuple(line.split()) for line in text.splitlines()}
    assert ("5", "13", "10-11", "2-3") in rows
    assert ("vgood", "65", "52", "13") in rows
    assert main(["plan", *words, "--full"]) == 0
    everything = {" ".join(line.split()) for line in capsys.readouterr().out.splitlines()}
    assert main(["plan", *words, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    glass, car, _ = facts["datasets"]
    for each in (glass, car):
        for i, label in enumerate(each["classes"]):
            cells = [f"{f['train_class_rows'][i]:,} + {f['test_class_rows'][i]:,}" for f in each["folds"]]
            assert f"{label} {' '.join(cells)}" in everything
    assert dict(zip(glass["classes"], glass["class_rows"], strict=True)) == {
        "2": 76, "1": 70, "7": 29, "3": 17, "5": 13, "6": 9
    }  # fmt: skip
    assert [sum(fold["test_class_rows"][-1] for fold in facts["folds"]) for facts in (glass, car)] == [9, 65]
    assert facts["fits"] > 0


def test_the_power_of_more_classes_counts_rows_and_not_class_numbers(capsys):
    """The spread falls with the root of the rows outside the most frequent class; labels in another order are equal."""
    words = ["name=many", "dataset=[glass]", "learner=[logistic]", "strategy=[none,threshold,smote_threshold]"]
    assert main(["plan", *words, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    (primary,) = [family for family in facts["power"] if family["family"] == "primary"]
    minority = (70 + 29 + 17 + 13 + 9) / 5
    assert primary["spread"]["center"] == pytest.approx(0.25 / minority**0.5)
    assert main(["plan", *words]) == 0
    assert "minority rows" in capsys.readouterr().out


# Each thing once

WIDE = ("name=wide", "dataset=[ecoli3]", "learner=[logistic,decision_tree,knn]", "protocol=smoke")


def wide(*words):
    return lay_out(compose(*WIDE, "strategy=[none,threshold,smote,smote_threshold]", *words))


@pytest.mark.parametrize("inner", ["own", "shared"])
def test_inner_folds_are_made_once_per_outer_split_whatever_the_number_of_learners(inner, monkeypatch):
    layout = wide(f"protocol.inner={inner}")
    real, calls = splits.inner_pairs, []
    monkeypatch.setattr(splits, "inner_pairs", lambda *args: calls.append(args[3]) or real(*args))
    planning._forecasts(layout, None)
    assert len(calls) == len({id(split) for split in calls}) == 3


def test_strategies_of_a_bundle_share_their_requests(monkeypatch):
    real, made = fitting.fit_request, []
    monkeypatch.setattr(fitting, "fit_request", lambda *args: made.append(real(*args)) or made[-1])
    planning._forecasts(wide(), None)
    assert len(made) == len({request.address for request in made}) > 100


def test_values_that_are_equal_and_written_differently_keep_their_addresses():
    """Sharing them would give the second strategy the address of the first one's value, in some orders of cells."""
    layout = wide("strategy.smote.space.ratio=choice(1)", "strategy.smote_threshold.space.ratio=choice(1.0)")
    (first, *_) = runner.make_bundles(layout.study, layout.plans, layout.cells)
    evaluator = runner.BundleEvaluator(first, runner.DatasetContext(layout.datasets["ecoli3"], None))
    found = {cell.strategy.name: inner_requests(evaluator.task(cell)) for cell in first.cells}
    apart = {name: {r.address for r in requests} for name, requests in found.items()}
    alone = {}
    for cell in first.cells:
        task = runner.BundleEvaluator(first, runner.DatasetContext(layout.datasets["ecoli3"], None)).task(cell)
        alone[cell.strategy.name] = {r.address for r in inner_requests(task)}
    assert apart == alone


def test_requests_are_kept_for_one_bundle_of_every_data_set_and_learner():
    found = planning._forecasts(wide(), None)
    kept = [each for each in found if any(request is not None for _, request in each.fits.values())]
    assert [each.learner for each in kept] == ["logistic", "decision_tree", "knn"]
    assert len(found) == 9
    assert len({frozenset(strategy for strategy, _ in each.fits.values()) for each in found}) == 1


def test_a_timed_fit_has_one_thread_as_in_a_run(monkeypatch):
    layout, threads, real = wide(), set(), fitting.fit_learner

    def fit_learner(*args):
        threads.update(pool["num_threads"] for pool in threadpool_info())
        return real(*args)

    monkeypatch.setattr(fitting, "fit_learner", fit_learner)
    assert planning._time_pilot_fits(layout, planning._forecasts(layout, None), runner.Engine(1))
    assert threads == {1}


def test_a_family_is_timed_where_its_first_split_is_stored():
    layout = wide()
    found = planning._forecasts(layout, None)
    first = next(each for each in found if each.learner == "knn")
    first.fits = {address: (strategy, None) for address, (strategy, _) in first.fits.items()}
    second = [each for each in planning._forecasts(replace(layout, cells=layout.cells[-4:]), None)]
    timings = planning._time_pilot_fits(layout, [*found, *second], runner.Engine(1))
    assert {(dataset, learner) for dataset, learner, _ in timings} == {
        ("ecoli3", name) for name in ("logistic", "decision_tree", "knn")
    }
