"""Rescoring: bit for bit what the changed study gives from scratch, and never a fit that nobody asked for."""

import json
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import imblab
from imblab.analysis import evidence as evidences
from imblab.cli import main
from imblab.commands import python_runs
from imblab.edges import config, evidence, ledger, store
from imblab.errors import ConfigError, StudyError

BASE = (
    *("dataset=[ecoli3,yeast6]", "learner=[logistic]", "strategy=[none,threshold,class_weight,smote,smote_threshold]"),
    *("protocol=smoke", "strategy.smote.space.ratio=choice(0.25,0.5,1.0)", "strategy.smote.space.k=choice(1,3,5)"),
)
ASKED = ("name=small", *BASE)
HOME = Path("experiments") / "small"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    home = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        python_runs.run_in_folder(python_runs.compose(*ASKED))
    return home


@pytest.fixture(autouse=True)
def _here(done, tmp_path, monkeypatch):
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def answers():
    with closing(store.SqliteStore(store.DEFAULT_PATH.resolve())) as kept:
        return kept.facts()["predictions"]


def plain(folder):
    """The rows of a folder by address, but for the time they took."""
    return {row.key: replace(row, seconds=0.0) for row in ledger.read_evaluations(folder)}


def from_scratch(*changes):
    """The changed study, composed and run by itself, without the store."""
    python_runs.run_in_folder(python_runs.compose("name=scratch", *BASE, *changes), folder="scratch", store_path=None)
    return plain(Path("scratch"))


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "changes",
    [
        ["protocol.thresholds=range(0.05,1,0.05)", "measures=[mcc,f2,recall]"],
        ["protocol.thresholds=observed", "strategy.smote.calibration=prior"],
        ["primary=pr_auc"],
        ["primary=brier", "claims.rope.brier=0.001"],
        [
            "strategy.none.threshold={cost: {fn: 20, fp: 1}}",
            "strategy.smote.threshold=tuned",
            "strategy.threshold.calibration=sigmoid",
        ],
    ],
    ids=["thresholds", "observed", "ranking", "risk", "strategies"],
)
def test_it_is_what_the_changed_study_gives_from_scratch(changes):
    before = answers()
    found = python_runs.rescore("small", *changes)
    assert answers() == before  # no fit
    expected = from_scratch(*changes)
    rows = plain(found.folder)
    assert rows == {key: row for key, row in expected.items() if key not in found.missing}
    assert set(rows) | set(found.missing) == set(expected)
    again = python_runs.rescore("small", *changes, "refit=true")
    assert plain(again.folder) == expected
    assert again.missing == {}
    # A cell lacks its refit and perhaps inner fits that another cell lacks too.
    assert answers() - before <= 3 * len(found.missing)
    assert (answers() == before) == (not found.missing)


def test_where_winners_move_the_missing_refits_are_named():
    found = python_runs.rescore("small", "primary=pr_auc")
    assert found.missing
    assert f"Evaluations that need new fits: {len(found.missing)}; 'refit=true' makes them." in repr(found)
    expected = from_scratch("primary=pr_auc")
    for key, knobs in found.missing.items():
        params = expected[key].params
        assert knobs == ", ".join(f"{name}={params[name]}" for name in ("ratio", "k", "weight") if name in params)


def test_costs_and_a_prevalence_are_measures_of_their_own():
    found = python_runs.rescore("small", "costs={fn: 20, fp: 1}", "prior=0.002", "label=money").table
    n = found.tn + found.fp + found.fn + found.tp
    assert found.expected_cost.to_numpy() == pytest.approx(((20 * found.fn + found.fp) / n).to_numpy(), rel=1e-14)
    recall, alarm = found.tp / (found.tp + found.fn), found.fp / (found.fp + found.tn)
    expected = (0.002 * recall / (0.002 * recall + 0.998 * alarm)).to_numpy(dtype=float)
    assert np.allclose(found.precision_at_prevalence, expected, rtol=1e-12, equal_nan=True)
    assert len(found) == len(ledger.read_evaluations(HOME))


def test_the_rows_of_the_study_are_left_alone():
    before = {p.name: p.read_bytes() for p in HOME.iterdir() if p.is_file()}
    found = python_runs.rescore("small", "measures=[mcc,f2]", "label=mine")
    assert {p.name: p.read_bytes() for p in HOME.iterdir() if p.is_file()} == before
    assert found.folder == HOME / "rescored" / "mine"
    names = {p.name for p in found.folder.iterdir()}
    assert names == {ledger.STUDY_FILE, ledger.LEDGER_FILE, ledger.SEARCHES_FILE, evidence.EVIDENCE_FILE}
    old, new = (evidence.load_evidence(folder / evidence.EVIDENCE_FILE) for folder in (HOME, found.folder))
    # Covariances are those of the measures that were asked for.
    assert evidences.row_covariances(new, "mcc") == evidences.row_covariances(old, "mcc") != {}
    assert evidences.row_covariances(new, "pr_auc") == {}
    old, new = (frame[frame.kind != "covariance"].astype({"name": str}) for frame in (old, new))
    assert old.reset_index(drop=True).equals(new.reset_index(drop=True))


def test_twice_is_once():
    first = python_runs.rescore("small", "measures=[mcc,f2]")
    content = {p.name: p.read_bytes() for p in first.folder.iterdir()}
    assert python_runs.rescore("small", "measures=[mcc,f2]").folder == first.folder
    assert {p.name: p.read_bytes() for p in first.folder.iterdir()} == content


@pytest.mark.sampled(2)
@pytest.mark.parametrize("changes", [["measures=[mcc,f2]"], ["claims.rope.mcc=0.2"], ["primary=f2"]])
def test_whatever_is_asked_again_is_exploratory(changes, capsys):
    python_runs.rescore("small", *changes, "refit=true", "label=again")
    assert main(["compare", "small/rescored/again", "--json"]) == 0
    contrasts = json.loads(capsys.readouterr().out)["contrasts"]
    assert contrasts
    assert {c["verdict"] for c in contrasts} == {"exploratory"}
    assert {c["p_holm"] for c in contrasts} == {None}
    banner = "Everything on this page is exploratory: asked after the rows were seen."
    home = HOME / "rescored" / "again"
    assert main(["report", "small/rescored/again"]) == 0
    assert banner in (home / "report.html").read_text()
    assert banner in imblab.load("small/rescored/again").report("elsewhere.html").read_text()
    assert banner in imblab.load("small/rescored/again").report().read_text()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([], "changes nothing"),
        (["label=x"], "changes nothing"),
        (["learner.logistic.make.C=3"], "rescoring fits nothing else"),
        (["strategy.smote.k=3"], "rescoring fits nothing else"),
        (["seed=1"], "rescoring fits nothing else"),
        (["protocol.repeats=3"], "rescoring fits nothing else"),
        (["measures=mcc"], "lists no names"),
        (["measures=[mcc,f3]"], "unknown measure 'f3'"),
        (["primary=f3"], "not among the measures"),
        (["strategy.smot.threshold=0.3"], "unknown name 'smot'"),
        (["prior=2"], "prevalence is 2"),
        (["costs={fn: 1}"], "needs the keys fn and fp"),
        (["protocol.thresholds=range(0,3,1)"], "thresholds are listed numbers"),
        (["measures=[mcc]", "label=../../x"], "'label' is '../../x'"),
        (["measures=[mcc]", "refit=maybe"], "'refit' is 'maybe'"),
    ],
    ids=lambda value: str(value),
)
def test_what_cannot_be_asked_is_refused_before_anything_is_written(changes, said):
    with pytest.raises(ConfigError, match=said.replace("'", ".")):
        python_runs.rescore("small", *changes)
    assert not (HOME / "rescored").exists()


def test_a_rescored_study_is_not_rescored():
    python_runs.rescore("small", "measures=[mcc,f2]", "label=x")
    with pytest.raises(StudyError, match=r"'small/rescored/x' is itself .* in one command: imblab rescore small"):
        python_runs.rescore("small/rescored/x", "primary=f2", "label=y")
    assert not (HOME / "rescored" / "x" / "rescored").exists()


def test_a_label_is_one_question():
    python_runs.rescore("small", "measures=[mcc,f2]", "label=x")
    with pytest.raises(StudyError, match=r"label .x. holds the answer to another question .*f1"):
        python_runs.rescore("small", "measures=[mcc,f2,f1]", "label=x")


def test_other_data_are_refused(monkeypatch):
    lay_out = python_runs.lay_out

    def changed(study, given):
        layout = lay_out(study, given)
        return replace(layout, datasets={n: replace(d, fingerprint="f" * 64) for n, d in layout.datasets.items()})

    monkeypatch.setattr(python_runs, "lay_out", changed)
    with pytest.raises(StudyError, match="'ecoli3' has changed since study 'small' was run"):
        python_runs.rescore("small", "measures=[mcc,f2]")


def test_an_empty_store_answers_nothing_and_says_so():
    store.DEFAULT_PATH.unlink()
    found = python_runs.rescore("small", "measures=[mcc,f2]")
    assert found.table.empty
    assert len(found.missing) == len(ledger.read_evaluations(HOME))


def test_the_page_fits_80_columns_and_says_what_changed(capsys):
    assert main(["rescore", "small", "primary=pr_auc", "prior=0.01"]) == 0
    page = capsys.readouterr().out
    assert max(map(len, page.splitlines())) <= 80
    words = " ".join(page.split())
    assert words.startswith("Incomplete: 18 of 30 evaluations are there.")  # the others take fits
    assert "Exploratory: study 'small' is scored again after its results were seen, without a verdict." in words
    assert '- primary: "mcc" -> "pr_auc"' in words
    assert '- measure added: precision_at_prevalence {"prevalence": 0.01}' in words
    assert "refit=true makes them" in words
    assert "imblab compare small/rescored/" in words


def test_what_it_prints_for_machines(capsys):
    assert main(["rescore", "small", "primary=pr_auc", "costs={fn: 5, fp: 1}", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["exploratory"] is True
    assert facts["answered"] + len(facts["missing"]) == len(ledger.read_evaluations(HOME))
    assert {row["measure"] for row in facts["added"]} == {"expected_cost"}
    before = {row.key: row for row in ledger.read_evaluations(HOME)}
    after = {row.key: row for row in ledger.read_evaluations(HOME / "rescored" / facts["label"])}
    for move in facts["moves"]:
        mine = [
            k
            for k, r in before.items()
            if (r.dataset, r.learner, r.strategy) == tuple(move[n] for n in ("dataset", "learner", "strategy"))
        ]
        both = [k for k in mine if k in after]
        assert (move["folds"], move["missing"]) == (len(both), len(mine) - len(both))
        assert move["winners"] == sum(before[k].params != after[k].params for k in both)
        assert move["cuts"] == sum(before[k].threshold != after[k].threshold for k in both)
        if both:
            assert move["after"] == pytest.approx(np.mean([after[k].scores["pr_auc"] for k in both]), rel=1e-12)


def test_a_changed_question_can_be_read_back():
    found = python_runs.rescore("small", "measures=[mcc,f2]")
    study = config.parse_study(ledger.read_study(found.folder))
    assert config.to_mapping(study) == ledger.read_study(found.folder)
    assert study.claims.registered.contrasts == ()


@pytest.mark.slow
def test_the_changed_question_runs_as_a_study_of_its_own():
    found = python_runs.rescore("small", "primary=pr_auc", "label=ranking", "refit=true")
    assert (
        main(["run", str(found.folder / ledger.STUDY_FILE), "tracking=none", "runner.n_jobs=1", "runner.report=false"])
        == 0
    )
    assert plain(Path("experiments") / "small.ranking") == plain(found.folder)
