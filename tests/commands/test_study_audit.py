"""``imblab audit STUDY``: each check finds what was planted, passes on an honest table, and says why it is not made."""

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import matthews_corrcoef
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

import imblab
from imblab.cli import main
from imblab.commands import record_checks, study_audit
from imblab.commands.audited_study import FitPrice, StudyCheck
from imblab.edges import ledger
from imblab.errors import DataError, StudyError
from imblab.findings import Finding

HERE = ("runner.n_jobs=1",)
QUIET = (*HERE, "tracking=none", "runner.report=false")
ASKED = ("dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,threshold,smote_threshold]", "protocol=smoke")
NAMES = ["optimism", "threshold peeking", "duplicates", "near-duplicates", "groups", "telling columns", "time shift"]
DOCS = Path(__file__).parents[2] / "docs" / "audit.md"
#: The checks of this file; others have files of their own.
CHECKS = ["optimism", "threshold peeking", "duplicates", "groups", "telling columns", "time shift"]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder with a finished study and its prediction store."""
    home = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main(["run", "name=small", *ASKED, *QUIET]) == 0
    return home


@pytest.fixture(autouse=True)
def _here(done, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)


def audit(study="small", *words, checks=CHECKS, **options):
    return imblab.audit_study(study, *HERE, *words, checks=checks, **options)


def states(answer):
    return {finding.check: finding.state for finding in answer.findings}


def run_table(frame, *words, name="mine", learner="[knn]", strategy="[none]", protocol="smoke"):
    frame.to_csv(f"{name}.csv", index=False)
    table = ["dataset=table", f"dataset.table.path={name}.csv", "dataset.table.target=y", f"name={name}"]
    assert (
        main(["run", *table, f"learner={learner}", f"strategy={strategy}", f"protocol={protocol}", *QUIET, *words]) == 0
    )
    return name


def honest_table(n=240, seed=0, signal=1.5):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.r_[np.ones(n // 5), np.zeros(n - n // 5)]).astype(int)
    return pd.DataFrame(rng.normal(size=(n, 4)) + signal * y[:, None] * [1, 1, 0, 0], columns=list("abcd")).assign(y=y)


# The command


def test_an_honest_study_passes(capsys):
    before = {path: path.read_bytes() for path in Path("experiments/small").iterdir()}
    assert main(["audit", "small", *HERE, "--checks", ",".join(CHECKS)]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("Audit of the study small: mcc 0.")
    assert max(map(len, captured.out.splitlines())) <= 80
    assert {path: path.read_bytes() for path in Path("experiments/small").iterdir()} == before
    answer = audit()
    assert list(states(answer)) == NAMES
    assert set(states(answer).values()) == {"passed", "not made"}
    assert {name for name, state in states(answer).items() if state == "not made"} == {"groups", "time shift"}
    assert str(answer) in captured.out or answer.runs == 0


def test_output_for_machines(capsys):
    assert main(["audit", "--json", "--checks", "optimism,threshold-peeking", "small", *HERE]) == 0
    captured = capsys.readouterr()
    facts = json.loads(captured.out)
    assert captured.err == ""
    assert (facts["form"], facts["subject"], facts["measure"], facts["exit_status"]) == ("study", "small", "mcc", 0)
    assert [finding["check"] for finding in facts["findings"]] == ["optimism", "threshold peeking"]
    assert facts["score"] == pytest.approx(audit(checks=["optimism"]).score)


def test_the_commands_of_the_documentation_run(capsys):
    blocks = re.findall(r"```console\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
    commands = [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]
    commands = [words for words in commands if not words[1].startswith("--")]
    assert [words[1] for words in commands] == ["smote_ratio"] * 2 + ["experiments/smote_ratio/study.yaml"]
    for words in commands:
        small = [word.replace("smote_ratio", "small").replace("n_jobs=2", "n_jobs=1") for word in words]
        only = [] if "--checks" in small else ["--checks", ",".join(CHECKS)]
        assert main([*small, *only]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["exit_status"] == 0


@pytest.mark.parametrize("name", ["small", "experiments/small", "experiments/small/study.yaml"])
def test_a_study_is_named_as_in_reproduce(name):
    assert audit(name, checks=["groups"]).subject == "small"


def test_checks_are_made_in_their_order_whatever_the_order_of_their_names():
    assert list(states(audit(checks=["telling-columns", "optimism"]))) == ["optimism", "telling columns"]
    assert [check.name for check in study_audit.choose_checks(())] == [check.name for check in study_audit.CHECKS]
    for names in (["near-duplicates"], ["Near duplicates"], ["duplicates", "near-duplicates"]):  # one check makes both
        assert [check.name for check in study_audit.choose_checks(names)] == ["duplicates"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nope"], "unknown study 'nope' in 'experiments'. Valid studies: small."),
        (["small", "--checks", "optimsm"], "unknown check 'optimsm' in '--checks'. Did you mean 'optimism'?"),
        (["small", "--checks", "leeky"], "unknown check 'leeky' in '--checks'. Did you mean 'leaky-twin'?"),
        (["small", "--checks", "near duplicate"], "Did you mean 'near-duplicates'?"),
        (["small", "--data", "x.csv", "--folds", "3"], "--data and --folds: given together with the study 'small'"),
        (["small", "--estimator", "a:b"], "--estimator: given together with the study 'small'"),
        (
            ["--function", "a:b", "--data", "x.csv", "--target", "y", "--checks", "groups"],
            "'--checks' is given without",
        ),
        (["small", "--permutations", "1"], "permutations is 1; a mean and its error need at least 2"),
        ([], "names nothing to audit; it audits one of a study, a program"),
    ],
)
def test_what_cannot_be_asked_is_said_and_the_exit_status_is_2(capsys, words, message):
    assert main(["audit", *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_table_that_has_changed_is_refused():
    name = run_table(honest_table())
    honest_table(seed=1).to_csv("mine.csv", index=False)
    with pytest.raises(StudyError, match="has changed since study 'mine' was run"):
        audit(name)


def test_a_table_elsewhere_is_named():
    name = run_table(honest_table())
    Path("mine.csv").rename("moved.csv")
    with pytest.raises(DataError, match="is not at hand"):
        audit(name)
    assert audit(name, tables={name: "moved.csv"}, checks=["telling columns"]).exit_status == 0
    assert main(["audit", name, "--table", "mine=moved.csv", "--checks", "telling-columns"]) == 0


def test_a_study_of_a_table_in_memory_is_audited_with_the_table(capsys):
    frame = honest_table()
    data = imblab.dataset(frame, "y", name="held")
    study = imblab.compose("name=memory", *ASKED)
    imblab.run(replace(study, datasets={}), data=[data])
    assert main(["audit", "memory", *HERE]) == 2
    assert "imblab.audit_study take data=[...]" in " ".join(capsys.readouterr().err.split())
    assert audit("memory", data=[data], checks=["duplicates"]).exit_status == 0


def test_a_study_without_evaluations_is_refused():
    ledger_file = Path("experiments/small/ledger.jsonl")
    ledger_file.write_text("")
    with pytest.raises(StudyError, match=r"has no evaluation .* Run it first: imblab run"):
        audit()


def test_an_incomplete_study_is_audited_as_far_as_it_is_there(capsys):
    path = Path("experiments/small/ledger.jsonl")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:5]))
    assert main(["audit", "small", *HERE, "--checks", "optimism"]) == 0
    assert "Incomplete: 5 of 9 evaluations are there." in capsys.readouterr().err


def test_a_check_that_ends_with_an_error_is_not_made(monkeypatch, capsys):
    def fails(study):
        raise StudyError("the disk is full; it is needed. Make room.")

    def costs(study):
        return FitPrice(3, 90.0)

    def passes(study):
        for _ in range(3):
            study.meter.count("costly")
        return [Finding("costly", "passed", "All is well.")]

    checks = (StudyCheck("broken", fails), StudyCheck("costly", passes, costs))
    monkeypatch.setattr(study_audit, "CHECKS", checks)
    assert main(["audit", "small", *HERE]) == 0
    captured = capsys.readouterr()
    assert "not made  broken" in captured.out
    assert "This check ended with an error: the disk is full" in " ".join(captured.out.split())
    assert "The audit runs 3 evaluations (3 for costly), about 1.5 min at the pace of the record." in captured.err
    assert captured.out.rstrip().split("\n")[-1].startswith("2 checks: 1 not made and 1 passed. 3 evaluations in")


# Optimism


def raw_lines(name="small"):
    return [json.loads(line) for line in Path(f"experiments/{name}/ledger.jsonl").read_text().splitlines()]


def test_optimism_compares_what_the_ledger_has():
    lines = [json.loads(row.to_json()) for row in ledger.read_evaluations(Path("experiments/small"))]
    details = audit(checks=["optimism"]).findings[0].details
    for place in details["places"]:
        rows = [line for line in lines if line["strategy"] == place["strategy"]]
        assert place["claimed"] == pytest.approx(np.mean([row["value"] for row in rows]))
        assert place["nested"] == pytest.approx(np.mean([row["scores"]["mcc"] for row in rows]))
    assert {place["strategy"] for place in details["places"]} == {"threshold", "smote_threshold"}
    best = [
        max((r for r in lines if r["fold"] == f and r["value"] is not None), key=lambda r: r["value"]) for f in range(3)
    ]
    assert details["best_of_all"][0]["claimed"] == pytest.approx(np.mean([row["value"] for row in best]))
    assert details["best_of_all"][0]["nested"] == pytest.approx(np.mean([row["scores"]["mcc"] for row in best]))


def test_searches_over_noise_are_found_optimistic():
    """The error of one gap is that of few test rows; over several tables the mean gap is beyond its error."""
    frames = [honest_table(n=120, signal=0.0, seed=seed) for seed in range(6)]
    data = [imblab.dataset(f, "y", name=f"noise{i}") for i, f in enumerate(frames)]
    words = ("learner=[logistic]", "strategy=[threshold]", "protocol=smoke", "protocol.outer_folds=5")
    study = replace(imblab.compose("name=noise", "dataset=[ecoli3]", *words), datasets={})
    imblab.run(study, data=data, store_path=None)
    (finding,) = audit("noise", checks=["optimism"], data=data).findings
    assert finding.state == "caution"
    assert finding.value > 0.05
    assert "Over the data sets the gap is +0." in finding.meaning
    gaps = [place["gap"] for place in finding.details["places"]]
    assert np.mean(gaps) > 3 * np.std(gaps, ddof=1) / np.sqrt(6)
    assert "the best score of a search overstates" in finding.way_out


def test_a_study_that_searches_nothing_has_no_such_claim():
    (finding,) = audit(run_table(honest_table()), checks=["optimism"]).findings
    assert finding.state == "not made"
    assert "searches a knob or tunes a threshold" in finding.meaning


# Threshold peeking


def test_peeking_is_what_a_plain_script_would_claim():
    data = imblab.edges.datasets.read_dataset({"kind": "bundled", "table": "ecoli3"}, "ecoli3")
    X, y, claimed = data.X.to_numpy(), data.y, []
    for train, test in StratifiedKFold(3, shuffle=True, random_state=0).split(X, y):
        scaler = StandardScaler().fit(X[train])
        model = LogisticRegression(solver="newton-cholesky", random_state=0).fit(scaler.transform(X[train]), y[train])
        proba = model.predict_proba(scaler.transform(X[test]))[:, 1]
        claimed.append(max(matthews_corrcoef(y[test], proba >= i / 100) for i in range(1, 100)))
    (finding,) = audit(checks=["threshold peeking"]).findings
    (place,) = [each for each in finding.details["places"] if each["strategy"] == "threshold"]
    assert place["claimed"] == pytest.approx(np.mean(claimed))
    honest = [line["scores"]["mcc"] for line in raw_lines() if line["strategy"] == "threshold"]
    assert place["nested"] == pytest.approx(np.mean(honest))
    assert (finding.state, finding.value > 0) == ("passed", True)


@pytest.mark.parametrize(
    ("prepare", "reason", "way_out"),
    [
        (
            lambda: Path("experiments/small/evidence.parquet").unlink(),
            "has no counts of its test predictions",
            "imblab run",
        ),
        (lambda: run_table(honest_table(), name="other"), "no strategy of the study tunes its threshold", ""),
    ],
)
def test_peeking_that_cannot_be_known_is_not_made(prepare, reason, way_out):
    (finding,) = audit(prepare() or "small", checks=["threshold peeking"]).findings
    assert finding.state == "not made"
    assert reason in finding.meaning
    assert way_out in finding.way_out


def test_evidence_comes_back_by_the_way_out():
    Path("experiments/small/evidence.parquet").unlink()
    assert main(["run", "experiments/small/study.yaml", *QUIET]) == 0
    assert states(audit(checks=["threshold peeking"])) == {"threshold peeking": "passed"}


def test_peeking_with_several_classes_is_not_made():
    words = ("name=several", "dataset=[ecoli]", "learner=[logistic]", "strategy=[threshold]", "protocol=smoke")
    assert main(["run", *words, "dataset.ecoli.drop_classes=[imL,imS,omL]", *QUIET]) == 0
    answer = audit("several")
    assert "ecoli, which has more than two classes" in answer.finding("threshold peeking").meaning
    assert states(answer)["threshold peeking"] == "not made"
    assert states(answer)["duplicates"] == "passed"


# Copies


def with_copies(noise=0.0, share=0.3):
    """A table without information, of which a share of the rows are copied."""
    frame = honest_table(n=300, signal=0.0)
    copies = frame.sample(frac=share, random_state=0)
    copies[list("abcd")] += noise * np.random.default_rng(1).normal(size=(len(copies), 4))
    return pd.concat([frame, copies], ignore_index=True)


def run_copies(frame, **options):
    return run_table(frame, "learner.knn.make.n_neighbors=1", "protocol.outer_folds=5", **options)


@pytest.mark.parametrize(("noise", "check"), [(0.0, "duplicates"), (0.005, "near-duplicates")])
def test_copies_that_raise_the_score_fail(noise, check):
    answer = audit(run_copies(with_copies(noise)), checks=["duplicates"])
    other = "duplicates" if noise else "near-duplicates"
    assert states(answer) == {check: "failed", other: "passed"}
    assert answer.exit_status == 1
    (table,) = answer.finding(check).details["tables"]
    assert table["score"] > table["score_without"] + 0.2
    assert answer.finding(check).value == table["copies"]


def test_the_score_without_copies_is_that_of_a_plain_script():
    frame = with_copies()
    answer = audit(run_copies(frame), checks=["duplicates"])
    X, y, ids = frame[list("abcd")].to_numpy(), frame.y.to_numpy(), frame.groupby(list("abcd")).ngroup().to_numpy()
    pairs, n_copies = [], 0
    for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(X, y):
        scaler = StandardScaler().fit(X[train])
        model = KNeighborsClassifier(1).fit(scaler.transform(X[train]), y[train])
        called, copied = model.predict(scaler.transform(X[test])), np.isin(ids[test], ids[train])
        n_copies += copied.sum()
        pairs.append([matthews_corrcoef(y[test], called), matthews_corrcoef(y[test][~copied], called[~copied])])
    (table,) = answer.finding("duplicates").details["tables"]
    assert [table["score"], table["score_without"]] == pytest.approx(np.mean(pairs, axis=0).tolist())
    assert (table["copies"], table["tested"]) == (n_copies, len(frame))


def test_stored_predictions_are_used_and_the_rest_is_fitted(monkeypatch):
    name = run_copies(with_copies())
    stored = audit(name, checks=["duplicates"])
    fits = []
    fit = record_checks.fit_predict
    monkeypatch.setattr(record_checks, "fit_predict", lambda *parts: fits.append(parts) or fit(*parts))
    assert audit(name, checks=["duplicates"]).finding("duplicates") == stored.finding("duplicates")
    assert not fits
    size = Path("mlruns/predictions.sqlite").stat().st_size
    Path("mlruns/predictions.sqlite").unlink()
    assert audit(name, checks=["duplicates"]).finding("duplicates") == stored.finding("duplicates")
    assert len(fits) == 5
    assert size
    assert not Path("mlruns/predictions.sqlite").exists()


def test_a_class_of_copies_alone_fails():
    """The positives were copied before the split: without their copies none is left to test."""
    frame = honest_table(n=150, signal=0.0)
    frame = pd.concat([frame, *[frame[frame.y == 1]] * 3], ignore_index=True)
    (finding, _) = audit(run_copies(frame), checks=["duplicates"]).findings
    assert finding.state == "failed"
    assert "every test row of a class has a copy" in finding.meaning


def test_copies_in_one_part_by_their_group_pass():
    frame = with_copies()
    frame["person"] = frame.groupby(list("abcd")).ngroup()
    answer = audit(run_copies(frame, name="grouped"), checks=["duplicates", "groups"])
    assert states(answer)["duplicates"] == "failed"  # person was a feature
    name = run_table(frame, "dataset.table.groups=person", "learner.knn.make.n_neighbors=1", name="kept")
    answer = audit(name, checks=["duplicates", "groups"])
    assert states(answer) == {"duplicates": "passed", "near-duplicates": "passed", "groups": "passed"}


def test_contradicting_labels_are_counted():
    frame = honest_table()
    flipped = frame.iloc[:20].assign(y=1 - frame.y.iloc[:20])
    (finding, _) = audit(run_table(pd.concat([frame, flipped], ignore_index=True)), checks=["duplicates"]).findings
    assert finding.state == "caution"
    assert finding.details["tables"][0]["contradicting"] == 40
    assert "Rows with the same features and different labels: 40 in mine." in finding.meaning


# Groups, telling columns, shift


def test_a_group_on_both_sides_fails(monkeypatch):
    frame = honest_table()
    frame["person"] = np.arange(len(frame)) // 4
    name = run_table(frame, "dataset.table.groups=person")
    assert states(audit(name, checks=["groups"])) == {"groups": "passed"}
    original = study_audit.lay_out

    def broken(study, given):
        layout = original(study, given)
        splits = [replace(s, train=np.append(s.train, s.test[:1])) for s in layout.plans["mine"]]
        return replace(layout, plans={"mine": tuple(splits)})

    monkeypatch.setattr(study_audit, "lay_out", broken)
    answer = audit(name, checks=["groups"])
    assert (states(answer), answer.exit_status) == ({"groups": "failed"}, 1)


def test_a_column_that_determines_the_label_fails():
    frame = honest_table()
    frame["outcome"] = np.where(frame.y == 1, "refund", "none")
    (finding,) = audit(run_table(frame), checks=["telling columns"]).findings
    assert finding.state == "failed"
    assert "mine: 'outcome' determines the label" in finding.meaning
    frame = honest_table().assign(row=np.arange(240))
    (finding,) = audit(run_table(frame, name="numbered"), checks=["telling columns"]).findings
    assert (finding.state, finding.value) == ("caution", 1)


@pytest.mark.parametrize(("drift", "state"), [(0.0, "passed"), (0.02, "caution")])
def test_a_shift_in_time_is_found(drift, state):
    frame = honest_table(n=400)
    frame["day"] = np.arange(len(frame))
    frame["c"] += drift * frame.day
    name = run_table(frame, "dataset.table.time=day", learner="[logistic]")
    (finding,) = audit(name, checks=["time shift"]).findings
    assert finding.state == state
    assert len(finding.details["windows"]) == 3
