"""Inner searches where a team looks at them: copied from the rows, once, and no result depends on it."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from imblab.cli import main
from imblab.commands import python_runs
from imblab.edges import config, ledger, optuna_storage
from imblab.errors import ConfigError, StudyError
from imblab.result import Evaluation, Trial
from imblab.study import Choice, Interval, Learner, Measure, Strategy, Study, Tuning

SMALL = ("name=small", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,smote]", "protocol=smoke")
RUN = ("run", *SMALL, "runner.n_jobs=1", "tracking=none")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def journal(path="searches.log"):
    return JournalStorage(JournalFileBackend(path))


def names(storage):
    return sorted(summary.study_name for summary in optuna.get_all_study_summaries(storage))


def test_the_searches_of_a_run_are_read_back_as_the_ledger_has_them(here, capsys):
    assert main([*RUN, "search.storage=team/searches.log"]) == 0
    said = capsys.readouterr()
    assert "optuna-dashboard team/searches.log" in said.out
    storage = journal("team/searches.log")
    rows = {f"small/{r.key}": r for r in ledger.read_evaluations(Path("experiments/small")) if r.strategy == "smote"}
    assert names(storage) == sorted(rows) == [f"small/ecoli3/logistic/smote/0/{fold}" for fold in range(3)]
    for name, row in rows.items():
        found = optuna.load_study(study_name=name, storage=storage)
        assert found.direction == optuna.study.StudyDirection.MAXIMIZE
        assert found.user_attrs["imblab.primary"] == "mcc"
        assert len(found.trials) == len(row.trials) == 8
        for mine, theirs in zip(row.trials, found.trials, strict=True):
            assert theirs.params == mine.params
            assert theirs.distributions["k"] == CategoricalDistribution((3, 5))
            assert theirs.user_attrs["threshold"] == mine.threshold
            if mine.status == "ok":
                assert (theirs.state, theirs.value) == (TrialState.COMPLETE, mine.value)
            else:
                assert theirs.state == TrialState.FAIL
                assert theirs.user_attrs["reason"] == mine.reason
        assert found.best_value == row.value


def rows_without_seconds(folder):
    return [replace(row, seconds=0) for row in ledger.read_evaluations(folder)]


def test_the_question_and_the_rows_do_not_know_of_the_storage(here):
    assert main([*RUN, "name=without"]) == 0
    assert main([*RUN, "name=with", "search.storage=searches.log"]) == 0
    assert rows_without_seconds(Path("experiments/with")) == rows_without_seconds(Path("experiments/without"))
    questions = [yaml.safe_load(Path(f"experiments/{n}/study.yaml").read_text()) for n in ("with", "without")]
    assert questions[0]["claims"]["registered"].pop("seen_before") == {"ecoli3": ["without"]}
    assert {**questions[0], "name": ""} == {**questions[1], "name": ""}
    for path in (p for p in Path("experiments/with").rglob("*") if p.is_file()):
        assert b"searches.log" not in path.read_bytes()
    assert "storage" not in config.to_mapping(python_runs.compose(*SMALL, "search.storage=searches.log"))["search"]


def test_a_finished_study_is_copied_by_the_same_command_or_by_its_question(here):
    assert main([*RUN]) == 0
    assert main(["run", "experiments/small/study.yaml", "tracking=none", "search.storage=searches.log"]) == 0
    assert len(names(journal())) == 3


def test_copying_twice_changes_nothing(here):
    assert main([*RUN, "search.storage=searches.log"]) == 0
    before = Path("searches.log").read_bytes()
    assert main([*RUN, "search.storage=searches.log"]) == 0
    assert Path("searches.log").read_bytes() == before


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "storage", ["postgresql://me:canary@127.0.0.1:1/runs", "nodb://me:canary@host/x", "/proc/no/x"]
)
def test_a_storage_that_does_not_answer_stops_no_study(storage, here, capsys):
    assert main([*RUN, f"search.storage={storage}"]) == 0
    said = capsys.readouterr()
    assert len(ledger.read_evaluations(Path("experiments/small"))) == 6
    assert re.search(r"^Not copied: the Optuna storage '.+' does not answer \(.+\); .+\.$", said.err, re.MULTILINE)
    assert "were not copied" in said.out
    assert "canary" not in said.out + said.err
    assert "Traceback" not in said.err
    for path in (p for p in here.rglob("*") if p.is_file()):
        assert b"canary" not in path.read_bytes()


@pytest.mark.parametrize("storage", ["3", "[a]", "{a: b}", "''"])
def test_what_is_no_address_is_refused(storage, here):
    with pytest.raises(ConfigError, match=re.escape("'search.storage' is ")):
        python_runs.compose(*SMALL, f"search.storage={storage}")


def test_a_question_names_no_storage(here):
    mapping = config.to_mapping(python_runs.compose(*SMALL))
    mapping["search"]["storage"] = "postgresql://evil/x"
    Path("study.yaml").write_text(yaml.safe_dump(mapping))
    with pytest.raises(ConfigError, match="unknown key 'storage'"):
        config.load_request(Path("study.yaml"))


# Without a study that is run

MADE = {"_target_": "sklearn.linear_model.LogisticRegression"}
SPACE = {"ratio": Interval(0.1, 1.0, log=True), "k": Interval(1, 9, integer=True)}
STUDY = Study(
    "drawn",
    0,
    {},
    (Learner("logistic", MADE, {"solver": Choice(("lbfgs", "saga"))}),),
    (Strategy("smote", MADE, weight="balanced", space=SPACE), Strategy("none")),
    (Measure("brier", "imblab.core.measures.brier", "probability", greater_is_better=False),),
    primary="brier",
    tuning=Tuning("tpe", 5, tune_learner=True),
)


def params(ratio, k, solver="saga"):
    return {"ratio": ratio, "k": k, "weight": "balanced", "learner.solver": solver}


TRIALS = (
    Trial(params(0.5, 3), 0.25, 0.4),
    Trial(params(0.5, 3), 0.25, 0.4, status="repeated"),
    Trial(params(0.1, 9), None, None, status="inapplicable", reason="k=9 needs more rows"),
    Trial(params(1.0, 1, "lbfgs"), None, None, status="failed", reason="ValueError: no"),
    Trial(params(1.0, 2, "lbfgs"), None, None, status="pruned"),
)


def row(fold=0, fingerprint="f0", trials=TRIALS, strategy="smote"):
    where = {"dataset": "d", "learner": "logistic", "strategy": strategy, "repeat": 0, "fold": fold}
    said = {"params": {}, "threshold": 0.4, "scores": {}, "counts": {}, "seconds": 0.0, "status": "ok", "error": None}
    return Evaluation(**where, **said, fingerprint=fingerprint, trials=trials)


@pytest.mark.parametrize("where", ["searches.log", "sqlite:///searches.db"])
def test_axes_states_and_fixed_knobs_are_kept(where):
    assert optuna_storage.copy_searches(STUDY, [row(), row(strategy="gone"), row(fold=1, trials=())], where) == 1
    storage = journal() if "://" not in where else optuna.storages.RDBStorage(where)
    assert names(storage) == ["drawn/d/logistic/smote/0/0"]
    found = optuna.load_study(study_name="drawn/d/logistic/smote/0/0", storage=storage)
    assert found.direction == optuna.study.StudyDirection.MINIMIZE
    states = [t.state.name for t in found.trials]
    assert states == ["COMPLETE", "COMPLETE", "FAIL", "FAIL", "PRUNED"]
    first = found.trials[0]
    assert first.distributions == {
        "ratio": FloatDistribution(0.1, 1.0, log=True),
        "k": IntDistribution(1, 9),
        "learner.solver": CategoricalDistribution(("lbfgs", "saga")),
    }
    assert first.params == {"ratio": 0.5, "k": 3, "learner.solver": "saga"}
    assert first.user_attrs["weight"] == "balanced"
    assert math.isclose(found.best_value, 0.25)
    assert {key: found.user_attrs[f"imblab.{key}"] for key in ("dataset", "repeat", "fold")} == {
        "dataset": "d", "repeat": 0, "fold": 0
    }  # fmt: skip
    assert optuna_storage.copy_searches(STUDY, [row()], where) == 0
    assert optuna_storage.copy_searches(STUDY, [row(), row(fold=1)], where) == 1


def test_a_row_that_was_answered_anew_replaces_its_search():
    optuna_storage.copy_searches(STUDY, [row()], "searches.log")
    assert optuna_storage.copy_searches(STUDY, [row(fingerprint="f1", trials=TRIALS[:3])], "searches.log") == 1
    found = optuna.load_study(study_name="drawn/d/logistic/smote/0/0", storage=journal())
    assert len(found.trials) == 3
    assert found.user_attrs["imblab.fingerprint"] == "f1"


def test_a_copy_that_was_cut_short_is_made_whole(monkeypatch):
    class Cut(Exception):
        pass

    add = optuna.Study.add_trial

    def one_only(self, trial):
        if self.trials:
            raise Cut
        add(self, trial)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "add_trial", one_only)
        with pytest.raises(StudyError, match="does not answer"):
            optuna_storage.copy_searches(STUDY, [row()], "searches.log")
    assert len(optuna.load_study(study_name="drawn/d/logistic/smote/0/0", storage=journal()).trials) == 1
    assert optuna_storage.copy_searches(STUDY, [row()], "searches.log") == 1
    assert len(optuna.load_study(study_name="drawn/d/logistic/smote/0/0", storage=journal()).trials) == 5


def test_a_study_of_somebody_else_stays():
    foreign = optuna.create_study(study_name="drawn/d/logistic/smote/0/0", storage=journal())
    foreign.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(StudyError, match="1 trials that imblab did not write"):
        optuna_storage.copy_searches(STUDY, [row()], "searches.log")
    assert len(optuna.load_study(study_name=foreign.study_name, storage=journal()).trials) == 1


def asked(board, path):
    """The answer of a WSGI application."""
    environ = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    said = []
    body = b"".join(board(environ, lambda status, *rest: said.append(status)))
    assert said == ["200 OK"]
    return json.loads(body)


def test_the_dashboard_lists_the_searches():
    from optuna_dashboard import wsgi

    optuna_storage.copy_searches(STUDY, [row(), row(fold=1)], "searches.log")
    board = wsgi(journal())
    listed = asked(board, "/api/studies")["study_summaries"]
    assert {s["study_name"] for s in listed} == {f"drawn/d/logistic/smote/0/{fold}" for fold in (0, 1)}
    assert len(asked(board, f"/api/studies/{listed[0]['study_id']}")["trials"]) == 5
