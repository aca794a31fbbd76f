"""Checks of the audit of a study that fit: honest studies pass, planted faults are found, the exit status tells."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import imblab
from imblab.analysis import fit_audit_rules
from imblab.cli import main
from imblab.commands import fit_checks
from imblab.core import preparation, splits
from imblab.core.preparation import Scaling, feature_arrays
from imblab.edges import config, datasets, ledger
from imblab.findings import DECISIVE_CHECK
from imblab.stats.curves import control_chance, permute_labels
from imblab.study import Dataset

HERE = ("runner.n_jobs=1",)
ASKED = ("dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,threshold,smote]", "protocol=smoke")
HOME = Path("experiments/small")


def run_study(*words):
    assert main(["run", *words, *HERE, "tracking=none", "runner.report=false"]) == 0


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder of a finished study."""
    home = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        run_study("name=small", *ASKED)
    return home / HOME


@pytest.fixture(autouse=True)
def _here(done, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    shutil.copytree(done, HOME)


def audit(*checks, study="small", overrides=HERE, **options):
    return imblab.audit_study(study, *overrides, checks=checks, **options)


# Proof of origin


def test_the_origin_of_three_evaluations_per_data_set_and_learner_is_proved():
    result = audit("proof of origin")
    finding = result.finding("proof of origin")
    assert (finding.state, result.exit_status, result.runs) == ("passed", 0, 3)
    recorded = {row.key: row for row in ledger.read_evaluations(HOME)}
    proved = finding.details["evaluations"]
    assert len({each["key"] for each in proved}) == 3
    assert finding.details["fits"] == sum(recorded[each["key"]].fits for each in proved)
    trained = [recorded[each["key"]].n_train for each in proved]
    assert finding.details["rows"]["learner"] >= sum(trained)
    assert all(each["is_same"] and not each["intrusions"] for each in proved)
    assert audit("proof of origin", seed=1).finding("proof of origin").details != finding.details


def test_a_step_that_is_fitted_on_all_rows_fails_the_audit(monkeypatch, capsys):
    arrays = feature_arrays(datasets.read_dataset({"kind": "bundled", "table": "ecoli3"}, "ecoli3"))

    class AllRows(Scaling):
        def __init__(self, X):
            super().__init__(arrays.numeric.copy())

    monkeypatch.setattr(preparation, "Scaling", AllRows)
    assert main(["audit", "small", *HERE, "--checks", "proof-of-origin", "--json"]) == 1
    finding = json.loads(capsys.readouterr().out)["findings"][0]
    assert finding["state"] == "failed"
    assert "scaler of ecoli3/logistic" in finding["meaning"]
    assert "112 of them test rows" in finding["meaning"]


def test_another_score_in_the_record_is_a_caution():
    rows = [json.loads(line) for line in (HOME / ledger.LEDGER_FILE).read_text().splitlines()]
    for row in rows:
        row["scores"]["brier"] += 1e-9
    (HOME / ledger.LEDGER_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))
    finding = audit("proof of origin").finding("proof of origin")
    assert finding.state == "caution"
    assert "other numbers than the record" in finding.meaning


# LEAKY twin


def test_the_twin_is_information_and_marked_wherever_it_is(capsys):
    assert main(["audit", "small", *HERE, "--checks", "leaky-twin", "--json"]) == 0
    text = json.loads(capsys.readouterr().out)
    (finding,) = text["findings"]
    assert finding["check"] == "LEAKY twin"
    assert finding["state"] == "passed"
    assert finding["meaning"].startswith("LEAKY: SMOTE (ratio 1) before the split")
    (twin,) = finding["details"]["LEAKY"]
    numbers = {name for name, value in twin.items() if isinstance(value, dict)}
    assert numbers == {"honest", "LEAKY_original_rows", "LEAKY_as_reported"}
    assert finding["value"] == twin["LEAKY_as_reported"]["pr_auc"] - twin["honest"]["pr_auc"]
    assert finding["value"] > 0.1
    assert text["runs"] == 3


def test_the_twin_writes_nothing(done):
    audit("LEAKY twin")
    assert sorted(path.name for path in HOME.iterdir()) == sorted(path.name for path in done.iterdir())
    assert not Path("mlruns").exists()
    assert (HOME / ledger.LEDGER_FILE).read_bytes() == (done / ledger.LEDGER_FILE).read_bytes()


def test_a_study_without_an_over_sampler_has_no_twin():
    run_study("name=bare", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,threshold]", "protocol=smoke")
    result = audit("LEAKY twin", "over balancing", study="bare")
    assert [finding.state for finding in result.findings] == ["not made", "not made"]
    assert "no over-sampler" in result.finding("LEAKY twin").meaning
    assert result.exit_status == 2


# Chance control


def test_the_nested_procedure_of_a_study_scores_at_chance():
    result = audit("chance control", permutations=6)
    finding = result.finding(DECISIVE_CHECK)
    assert (finding.state, result.exit_status, result.runs) == ("passed", 0, 6 * 3)
    assert finding.details["strategies"] == {"ecoli3/logistic": "smote"}
    control = finding.details["families"]["ecoli3/logistic"]
    assert control["runs"] == 6
    assert abs(control["mean"]) < 0.15
    assert finding.details["scores"]["ecoli3/logistic"] > 0.4


def test_the_permuted_runs_are_those_of_imblab_on_permuted_tables():
    finding = audit("chance control", permutations=2, seed=5).finding(DECISIVE_CHECK)
    data = datasets.read_dataset({"kind": "bundled", "table": "ecoli3"}, "ecoli3")
    words = ["name=small", "dataset=[]", *ASKED[1:], "strategy=[smote]"]
    study, scores = replace(config.compose_request(["dataset=[ecoli3]", *words[:1], *words[2:]]).study, datasets={}), []
    for number in range(2):
        y = permute_labels(data.y, np.random.default_rng([5, number]))
        table = replace(data, y=y, fingerprint=f"permuted {number}")
        scores.append(imblab.evaluate(study, [table]).mcc.mean())
    assert finding.details["families"]["ecoli3/logistic"]["mean"] == pytest.approx(np.mean(scores), abs=1e-12)


def test_test_rows_among_the_training_rows_raise_the_alarm(monkeypatch):
    run_study("name=near", "dataset=[ecoli3]", "learner=[decision_tree]", "strategy=[none,smote]", "protocol=smoke")
    real = splits.plan

    def leaky(dataset, protocol, seed, key=None):
        plan = real(dataset, protocol, seed, key)
        if "permutation" not in dataset.name:
            return plan
        return tuple(replace(split, train=np.arange(len(dataset.y))) for split in plan)

    monkeypatch.setattr(splits, "plan", leaky)
    result = audit("chance control", study="near", permutations=4)
    finding = result.finding(DECISIVE_CHECK)
    assert (finding.state, result.exit_status) == ("failed", 1)
    assert finding.value > 0.5
    assert "ecoli3/decision_tree" in finding.meaning


def test_a_measure_without_a_chance_level_is_replaced_or_stated():
    run_study("name=gain", *ASKED[:2], "strategy=[none,threshold]", "protocol=smoke", "primary=f2")
    finding = audit("chance control", study="gain", permutations=2).finding(DECISIVE_CHECK)
    assert finding.details["measure"] == "mcc"
    finding = audit("chance control", study="gain", permutations=2, chance=0.4).finding(DECISIVE_CHECK)
    assert finding.details["measure"] == "f2"
    assert finding.details["families"]["ecoli3/logistic"]["chance"] == pytest.approx(0.4)


def test_what_takes_too_long_is_left_out_and_named(monkeypatch):
    run_study("name=two", "dataset=[ecoli3]", "learner=[logistic,knn]", "strategy=[none]", "protocol=smoke")
    monkeypatch.setattr(fit_checks, "MAX_CHANCE_SECONDS", 0.0)
    result = audit("chance control", study="two", permutations=2)
    finding = result.finding(DECISIVE_CHECK)
    assert result.runs == 2 * 3
    assert len(finding.details["families"]) == len(finding.details["left_out"]) == 1
    assert f"Left out for their price: {finding.details['left_out'][0]}" in finding.meaning


def test_the_price_is_said_before(capsys):
    assert main(["audit", "small", *HERE, "--checks", "chance-control,proof-of-origin", "--permutations", "2"]) == 0
    assert "The audit runs 9 evaluations" in " ".join(capsys.readouterr().err.split())


def test_labels_stay_in_their_groups_and_blocks():
    rng = np.random.default_rng(0)
    y, groups = np.repeat([0, 1, 0, 0, 1, 0], 20), np.repeat(np.arange(6), 20)
    data = Dataset("toy", pd.DataFrame({"a": rng.normal(size=120)}), y, ("no", "yes"), fingerprint="x")
    free = fit_checks.permuted_dataset(data, 0, 0, 5)
    assert sorted(free.y) == sorted(y)
    assert free.name == "toy, permutation 0"
    assert free.fingerprint != data.fingerprint != fit_checks.permuted_dataset(data, 1, 0, 5).fingerprint
    grouped = fit_checks.permuted_dataset(replace(data, groups=groups), 3, 0, 5)
    assert all(len(set(grouped.y[groups == group])) == 1 for group in range(6))
    timed = fit_checks.permuted_dataset(replace(data, time=groups.astype(float)), 0, 0, 5)
    assert [timed.y[groups == group].sum() for group in range(6)] == [0, 20, 0, 0, 20, 0]


def test_more_comparisons_need_more_standard_errors():
    rng = np.random.default_rng(0)
    controls = {f"d{i}/l": control_chance(rng.normal(0, 0.1, 20), [0.0] * 20) for i in range(30)}
    controls["odd/l"] = control_chance(0.07 + 0.09 * np.tile([-1, 1], 10), [0.0] * 20)
    assert 3 < controls["odd/l"].t < fit_audit_rules._required_t(20, 31)
    several = fit_audit_rules.StudyChance("mcc", dict.fromkeys(controls, "smote"), controls, {}, 5)
    assert fit_audit_rules.study_chance_finding(several).state == "passed"
    one = {"odd/l": controls["odd/l"]}
    alone = fit_audit_rules.StudyChance("mcc", dict.fromkeys(one, "smote"), one, {}, 5)
    assert fit_audit_rules.study_chance_finding(alone).state == "failed"


def in_memory(name, n=160, positives=40, signal=0.0, seed=0, **roles):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([0, 1], [n - positives, positives]))
    X = pd.DataFrame({"a": rng.normal(size=n) + signal * y, "b": rng.normal(size=n)})
    return Dataset(name, X, y, ("no", "yes"), fingerprint=f"{name} {seed} {signal}", **roles)


def run_in_memory(name, tables, *words):
    words = (f"name={name}", "dataset=[ecoli3]", "protocol=smoke", *words)
    study = replace(config.compose_request([*words]).study, datasets={})
    imblab.run(study, data=tables, store_path=None)


@pytest.mark.slow
def test_studies_of_noise_do_not_alarm():
    tables = [in_memory(f"noise{i}", seed=i) for i in range(8)]
    run_in_memory("noise", tables, "learner=[logistic]", "strategy=[none,threshold]")
    result = audit("chance control", study="noise", data=tables)
    finding = result.finding(DECISIVE_CHECK)
    assert finding.state == "passed"
    assert len(finding.details["families"]) == 8
    assert result.runs == 20 * 8 * 3
    assert abs(finding.value) < 0.03


def test_a_time_ordered_study_is_audited_within_its_blocks():
    time = np.random.default_rng(3).permutation(400).astype(float)
    table = in_memory("timed", 400, 120, signal=2.0, time=time)
    run_in_memory("timed", [table], "learner=[logistic]", "strategy=[none,smote]")
    result = audit("proof of origin", "LEAKY twin", "chance control", study="timed", data=[table], permutations=4)
    assert [finding.state for finding in result.findings] == ["passed", "not made", "passed"]
    assert "synthetic rows have no time" in result.finding("LEAKY twin").meaning
    assert result.finding(DECISIVE_CHECK).details["scores"]["timed/logistic"] > 0.4


# Over-balancing


def test_full_balance_inflates_the_risk_and_is_a_caution():
    words = ("dataset=[yeast4]", "learner=[logistic]", "strategy=[none,smote]", "protocol=smoke")
    run_study("name=full", *words, "strategy.smote.ratio=1")
    result = audit("over-balancing", study="full")
    finding = result.finding("over-balancing")
    assert (finding.state, result.exit_status, result.runs) == ("caution", 0, 0)
    prevalence = 51 / 1484
    assert finding.value > 2
    assert finding.value == finding.details["risk_ratios"]["yeast4/logistic/smote"] < 1 / prevalence
    assert 0 < finding.details["nearer_at_balance"]["yeast4/SMOTE"] < 1
    assert finding.details["balance_costs"] == {}


def test_corrected_probabilities_and_searched_ratios_are_compared():
    words = ("dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,smote_prior]", "protocol=smoke")
    run_study("name=prior", *words)
    finding = audit("over-balancing", study="prior").finding("over-balancing")
    assert finding.state == "passed"
    assert 0.5 < finding.value < 2
    rows = [row for row in ledger.read_evaluations(Path("experiments/prior")) if row.strategy == "smote_prior"]
    by_ratio = {}
    for params in {tuple(trial.params.items()) for row in rows for trial in row.trials}:
        values = [t.value for row in rows for t in row.trials if tuple(t.params.items()) == params]
        if None not in values and len(values) == len(rows):
            by_ratio.setdefault(dict(params)["ratio"], []).append(np.mean(values))
    best = {ratio: max(values) for ratio, values in by_ratio.items()}
    cost = best[1.0] - max(best.values())
    assert finding.details["balance_costs"]["ecoli3/logistic/smote_prior"] == pytest.approx(cost)


def test_without_evidence_the_risk_is_not_known():
    (HOME / "evidence.parquet").unlink()
    finding = audit("over-balancing").finding("over-balancing")
    assert finding.state == "passed"
    assert finding.value is None
    assert "no evidence.parquet" in finding.meaning


# Several classes, categories, gaps


def test_several_classes_and_categories():
    words = ("dataset=[glass,abalone9_18]", "learner=[knn]", "strategy=[none,smote]", "protocol=smoke")
    run_study("name=mixed", *words, "strategy.smote.space.ratio=choice(0.5)", "strategy.smote.space.k=choice(1)")
    result = audit("proof of origin", "LEAKY twin", "over-balancing", study="mixed")
    states = {finding.check: finding.state for finding in result.findings}
    assert states["proof of origin"] == "passed"
    assert states["LEAKY twin"] == "passed"
    assert "glass has more" in result.finding("over-balancing").meaning
