"""Samplers, measures and learners of a user's own: run, scored and kept apart from those of other code."""

import contextlib
import importlib
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from joblib.externals.loky import get_reusable_executor
from mlflow.tracking import MlflowClient
from sklearn.linear_model import LogisticRegression

import imblab
from imblab import cli
from imblab.commands import exporting
from imblab.commands.layout import lay_out
from imblab.core import own_code
from imblab.edges import ledger, runner
from imblab.edges.runner import bundle_evaluator, worker
from imblab.edges.store import SqliteStore
from imblab.errors import ConfigError, FitError, StudyError
from imblab.study import Choice, Learner, Measure, Strategy

SAMPLER = """
import numpy as np
from imblearn.over_sampling import SMOTE
from sklearn.base import BaseEstimator

class Copies(BaseEstimator):
    def __init__(self, sampling_strategy=1.0, k_neighbors=5, random_state=None):
        self.sampling_strategy, self.k_neighbors, self.random_state = sampling_strategy, k_neighbors, random_state

    def fit_resample(self, X, y):
        assert isinstance(self.k_neighbors, int)
        rare = np.flatnonzero(y == 1)
        drawn = rare[np.arange(int(self.sampling_strategy * (len(y) - len(rare))) - len(rare)) % len(rare)]
        X *= 1.0
        return [*X, *X[drawn]], [*y, *y[drawn]]

class Spoiling(Copies):
    def fit_resample(self, X, y):
        X[:] = 0
        return X, y

class Quiet(SMOTE):
    def fit_resample(self, X, y):
        return X, y
"""
MEASURES = """
def net(tn, fp, fn, tp, cost=1.0):
    return tp - cost * fp

def spoiling(y, p):
    p.sort()
    y[:] = 1
    return float(p[-1])

def failing(y, p):
    if len(y) > 2:
        raise ZeroDivisionError("no rows\\nof that kind")
    return 0.5

def leaving(y, p):
    if len(y) > 2:
        raise SystemExit(3)
    return 0.5
"""


@pytest.fixture
def study():
    """A small study of one learner."""
    return imblab.compose("name=own", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none]", "protocol=smoke")


def sampled(study, name, **knobs):
    found = Strategy("own", {"_target_": f"own_samplers.{name}"}, **knobs)
    return replace(study, strategies=(*study.strategies, found))


def measured(study, *found, **changes):
    return replace(study, measures=(*study.measures, *found), **changes)


def test_a_sampler_of_ones_own_resamples(packages, study):
    packages(own_samplers=SAMPLER)
    frame = imblab.evaluate(sampled(study, "Copies", ratio=1.0, k=3))
    assert frame.status.tolist() == ["ok"] * 6
    none, own = (frame[frame.strategy == name].mcc.tolist() for name in ("none", "own"))
    assert none != own


def test_a_sampler_that_writes_into_its_rows_changes_no_other_row(packages, study):
    packages(own_samplers=SAMPLER)
    alone = imblab.evaluate(study)
    spoilt = replace(sampled(study, "Spoiling"), strategies=sampled(study, "Spoiling").strategies[::-1])
    both = imblab.evaluate(spoilt)
    assert both[both.strategy == "none"].mcc.tolist() == alone.mcc.tolist()


def test_a_child_of_smote_is_asked_by_its_own_method(packages, study):
    packages(own_samplers=SAMPLER)
    frame = imblab.evaluate(sampled(study, "Quiet", ratio=1.0, k=3))
    none, own = (frame[frame.strategy == name].mcc.tolist() for name in ("none", "own"))
    assert none == own


def test_measures_of_ones_own_from_python(packages, study):
    packages(own_measures=MEASURES)
    net = Measure("net", "own_measures.net", "label", parameters={"cost": 2.0})
    own = measured(study, net, Measure("spoiling", "own_measures.spoiling", "score"), primary="net")
    frame, plain = imblab.evaluate(own), imblab.evaluate(study)
    assert frame.net.tolist() == [tp - 2 * fp for tp, fp in zip(frame.tp, frame.fp, strict=True)]
    assert frame[["mcc", "pr_auc", "brier"]].equals(plain[["mcc", "pr_auc", "brier"]])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("failing", "measure 'failing' raised ZeroDivisionError: no rows"),
        ("leaving", "measure 'leaving' raised SystemExit: 3"),
    ],
)
@pytest.mark.parametrize("primary", ["own", "mcc"])
def test_a_measure_that_fails_is_a_failed_row(packages, study, name, reason, primary):
    packages(own_measures=MEASURES)
    own = Measure(name, f"own_measures.{name}", "score")
    asked = measured(
        study, own, primary=name if primary == "own" else "mcc", strategies=(Strategy("t", threshold="tuned"),)
    )
    frame = imblab.evaluate(asked)
    assert frame.status.tolist() == ["failed"] * 3
    assert all(reason in error for error in frame.error)


CALIBRATORS = """
import numpy as np
from sklearn.base import BaseEstimator
from imblab.stats.probabilities import fit_sigmoid

class Platt(BaseEstimator):
    def fit(self, score, y):
        self.map_ = fit_sigmoid(score, y)
        score[:] = 0
        return self

    def predict(self, score):
        return self.map_(score)

class Wild(Platt):
    def predict(self, score):
        return score * 0 + 2

class Short(Platt):
    def predict(self, score):
        return [0.5]

class Raising(Platt):
    def fit(self, score, y):
        raise SystemExit("no licence")
"""


def calibrated_by(study, *kinds):
    found = [Strategy(kind.rpartition(".")[2], threshold="tuned", calibration=kind) for kind in kinds]
    return replace(study, strategies=tuple(found))


def test_a_calibration_of_ones_own_is_learned_like_those_that_ship(packages, study):
    packages(own_calibrations=CALIBRATORS)
    frame = imblab.evaluate(calibrated_by(study, "sigmoid", "own_calibrations.Platt"))
    theirs, mine = (frame[frame.strategy == name] for name in ("sigmoid", "Platt"))
    for column in ("mcc", "pr_auc", "brier", "log_loss", "threshold"):
        assert mine[column].tolist() == theirs[column].tolist()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Wild", "'own_calibrations.Wild' gives 75 outside [0, 1] for 75 rows"),
        ("Short", "'own_calibrations.Short' gives the shape (1,)"),
        ("Raising", "'own_calibrations.Raising' cannot be fitted: SystemExit: no licence"),
    ],
)
def test_a_calibration_that_fails_is_a_failed_row(packages, study, name, reason):
    packages(own_calibrations=CALIBRATORS)
    frame = imblab.evaluate(calibrated_by(study, f"own_calibrations.{name}"))
    assert frame.status.tolist() == ["failed"] * 3
    assert all(reason.partition("75")[0] in error for error in frame.error)


def test_a_calibration_follows_the_rule_of_learners(packages, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packages(own_calibrations=CALIBRATORS + "class Neither(BaseEstimator): pass\n")
    words = ["name=own", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[threshold]", "protocol=smoke"]
    path = "strategy.threshold.calibration=own_calibrations.Platt"
    for text in (path, "strategy.threshold.calibration={_target_: own_calibrations.Platt}"):
        with pytest.raises(ConfigError, match=r"allow=\[own_calibrations"):
            imblab.compose(*words, text)
        own = imblab.compose(*words, text, "allow=[own_calibrations]")
        assert own.strategies[0].calibration == "own_calibrations.Platt"
    with pytest.raises(ConfigError, match="has no fit and predict"):
        imblab.compose(*words, path.replace("Platt", "Neither"), "allow=[own_calibrations]")
    imblab.run(own)
    rows = ledger.read_evaluations(Path("experiments/own"))
    assert {path for row in rows for path in row.code} == {"own_calibrations.Platt"}
    with pytest.raises(FitError, match="is a class of your own, and a model serves without its code"):
        exporting.command_export("own", ["allow=[own_calibrations]", "tracking=none"], as_json=False)
    assert not imblab.rescore("own", "primary=f1", "allow=[own_calibrations]").missing


def test_own_packages_may_stand_anywhere_in_a_study_that_is_logged(packages, study, tmp_path):
    packages(own_learners="from sklearn.linear_model import LogisticRegression\nclass Mine(LogisticRegression): pass\n")
    packages(own_measures=MEASURES)
    bagging = {"_target_": "sklearn.ensemble.BaggingClassifier", "n_estimators": 2}
    nested = Learner("bagged", {**bagging, "estimator": {"_target_": "own_learners.Mine"}})
    asked = replace(measured(study, Measure("net", "own_measures.net", "label")), learners=(nested,))
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    frame = imblab.run(asked, folder=tmp_path / "s", tracking_uri=uri, store_path=None).to_frame()
    assert frame.status.tolist() == ["ok"] * 3


def test_a_measure_from_a_file_and_from_the_command_line(packages, tmp_path):
    packages(own_measures=MEASURES)
    (tmp_path / "cfg" / "measures").mkdir(parents=True)
    (tmp_path / "cfg" / "measures" / "gain.yaml").write_text("gain: {function: own_measures.net, needs: label}\n")
    words = ["name=own", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none]", "protocol=smoke"]
    typed = "+measures.net={function: own_measures.net, needs: label, parameters: {cost: 3}}"
    allow = "allow=[own_measures]"
    own = imblab.compose(*words, "measures=[mcc,gain]", "primary=gain", typed, allow, config_dirs=[tmp_path / "cfg"])
    frame = imblab.evaluate(own)
    assert {"gain", "net"} <= set(frame.columns)
    assert frame.status.tolist() == ["ok"] * 3
    with pytest.raises(ConfigError, match=r"add `allow=\[own_measures"):
        imblab.compose(*words, typed)


# -------------------------------------------------------------------------------------------- the code in addresses

LOGIT = """
from sklearn.linear_model import LogisticRegression
from ownpkg.scale import scaled

class Logit(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        return super().fit(scaled(X), y, sample_weight)
"""
SCALE = "def scaled(X):\n    return X * 1\n"


def anew(packages, **files):
    """Edit a package and begin as a new process does, in which nothing of it is loaded."""
    packages(**files)
    own_code._CODE_CACHE.clear()
    for name in [n for n in sys.modules if n.partition(".")[0] == "ownpkg"]:
        del sys.modules[name]


@pytest.fixture
def mine(packages, study):
    """The study with a learner of the user's own, which imports a module of the same package."""
    packages(ownpkg__model=LOGIT, ownpkg__scale=SCALE)
    return replace(study, learners=(Learner("mine", {"_target_": "ownpkg.model.Logit"}),))


def fitted(monkeypatch):
    """The addresses of the fits that are made from here on."""
    found = []
    bare = bundle_evaluator.fit_predict_many
    monkeypatch.setattr(
        bundle_evaluator,
        "fit_predict_many",
        lambda request, *rest: found.append(request.address) or bare(request, *rest),
    )
    return found


def test_an_edited_class_is_fitted_anew(packages, mine, tmp_path, monkeypatch):
    store, fits = tmp_path / "p.sqlite", fitted(monkeypatch)

    def run(name):
        frame = imblab.run(replace(mine, name=name), folder=tmp_path / name, store_path=store).to_frame()
        made, fits[:] = len(fits), []
        return made, frame.mcc.tolist()

    first = run("first")
    assert first[0] == 3
    anew(packages)
    assert run("again") == (0, first[1])
    anew(packages, ownpkg__scale=SCALE.replace("* 1", "* 0"))
    assert run("edited") == (3, [0.0] * 3)
    anew(packages, ownpkg__scale=SCALE)
    assert run("restored") == (0, first[1])


def test_a_study_whose_class_was_edited_is_not_resumed(packages, mine, tmp_path):
    imblab.run(mine, folder=tmp_path / "s", store_path=None)
    anew(packages, ownpkg__scale=SCALE.replace("* 1", "* 0"))
    with pytest.raises(StudyError, match=r"3 evaluations that other code of 'ownpkg.model.Logit' made"):
        imblab.run(mine, folder=tmp_path / "s", store_path=None)
    frame = imblab.run(mine, folder=tmp_path / "s", store_path=None, overwrite=True).to_frame()
    assert frame.mcc.tolist() == [0.0] * 3


def test_a_study_whose_measure_was_edited_is_not_resumed(packages, study, tmp_path):
    packages(ownpkg__scores="def net(tn, fp, fn, tp):\n    return tp - fp\n")
    own = measured(study, Measure("net", "ownpkg.scores.net", "label"))
    imblab.run(own, folder=tmp_path / "s", store_path=None)
    anew(packages, ownpkg__scores="def net(tn, fp, fn, tp):\n    return tp - 2 * fp\n")
    with pytest.raises(StudyError, match=r"other code of 'ownpkg.scores.net' made"):
        imblab.run(own, folder=tmp_path / "s", store_path=None)


def test_code_that_is_not_known_is_said_and_not_stored(study, tmp_path, monkeypatch):
    module = type(sys)("made_up")
    exec("from sklearn.linear_model import LogisticRegression\nclass Logit(LogisticRegression): pass", vars(module))
    monkeypatch.setitem(sys.modules, "made_up", module)
    own = replace(study, learners=(Learner("mine", {"_target_": "made_up.Logit"}),))
    fits = fitted(monkeypatch)
    for name in ("one", "two"):
        with pytest.warns(UserWarning, match="'made_up.Logit': module 'made_up' has no file.*not stored"):
            imblab.run(replace(own, name=name), folder=tmp_path / name, store_path=tmp_path / "p.sqlite")
    assert len(fits) == 6
    with contextlib.closing(SqliteStore(tmp_path / "p.sqlite")) as kept:
        assert kept.facts()["predictions"] == 0


def test_a_class_of_the_script_itself_runs_in_its_process_alone(study, monkeypatch):
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "Logit", type("Logit", (LogisticRegression,), {"__module__": "__main__"}), raising=False)
    own = replace(study, learners=(Learner("mine", {"_target_": "__main__.Logit"}),))
    with pytest.warns(UserWarning, match="notebook cell or a script"):
        assert imblab.evaluate(own).status.tolist() == ["ok"] * 3
    with pytest.warns(UserWarning, match="notebook"), pytest.raises(StudyError, match="worker processes cannot import"):
        imblab.evaluate(own, n_jobs=2)


def scores_or_refusal(study):
    try:
        return imblab.evaluate(study, n_jobs=2).mcc.tolist()
    except StudyError as error:
        return str(error)


@pytest.mark.slow
def test_workers_run_the_code_of_their_parent_or_nothing(packages, mine, tmp_path):
    before = imblab.evaluate(mine, n_jobs=2)
    packages(ownpkg__scale=SCALE.replace("* 1", "* 0"))
    # What runs is what was loaded, here as there; a worker that had no job before would load the edited file.
    found = scores_or_refusal(mine)
    assert found == before.mcc.tolist() or "worker processes load other code" in found
    importlib.reload(sys.modules["ownpkg.scale"])
    importlib.reload(sys.modules["ownpkg.model"])
    assert imblab.evaluate(mine, n_jobs=2).mcc.tolist() == [0.0] * 3
    packages(ownpkg__scale=SCALE)
    get_reusable_executor(max_workers=2).shutdown(wait=True, kill_workers=True)
    with pytest.raises(StudyError, match="worker processes load other code"):
        imblab.evaluate(mine, n_jobs=2)


@pytest.mark.parametrize(("answers", "ends_well"), [([["a.B"], []], True), ([["a.B"]] * 10, False)])
def test_workers_with_other_code_are_replaced_once(study, monkeypatch, answers, ends_well):
    layout, rows, started = lay_out(study), [], []
    waiting = iter([*answers, *[[]] * 10])
    monkeypatch.setattr(worker.own_code, "adopt_snapshot", lambda code: next(waiting))
    engine = runner.Engine(2, executor=lambda n: started.append(n) or ThreadPoolExecutor(1))
    work = runner.make_bundles(study, layout.plans, layout.cells)
    if not ends_well:
        with pytest.raises(StudyError, match=r"'a\.B': worker processes load other code"):
            runner.run(layout.datasets, work, engine, [rows.append])
        return
    runner.run(layout.datasets, work, engine, [rows.append])
    assert (len(rows), len(started)) == (3, 2)


# --------------------------------------------------------------------------------------------------------- failures

BROKEN = LOGIT.replace("return super()", "raise ValueError('broken')\n        return super()")


def test_a_failure_is_no_answer_of_the_store(packages, mine, tmp_path, monkeypatch):
    """The cause may be outside any address: a licence, a file, a package."""
    packages(ownpkg__model=LOGIT.replace("return super", "import own_switch\n        return super"))
    store, fits = tmp_path / "p.sqlite", fitted(monkeypatch)
    first = imblab.run(replace(mine, name="first"), folder=tmp_path / "first", store_path=store).to_frame()
    assert first.status.tolist() == ["failed"] * 3
    assert len(fits) == 3
    monkeypatch.setitem(sys.modules, "own_switch", type(sys)("own_switch"))
    second = imblab.run(replace(mine, name="second"), folder=tmp_path / "second", store_path=store).to_frame()
    assert second.status.tolist() == ["ok"] * 3


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_fit_that_fails_is_made_once_a_bundle(packages, study, tmp_path, n_jobs):
    """Three strategies share it, and so do the jobs of a bundle."""
    packages(ownpkg__model=BROKEN, ownpkg__scale=SCALE)
    tuned = [Strategy(name, threshold=rule) for name, rule in (("a", "tuned"), ("b", {"alert_rate": 0.1}), ("c", 0.5))]
    own = replace(study, learners=(Learner("mine", {"_target_": "ownpkg.model.Logit"}),), strategies=tuple(tuned))
    layout, rows = lay_out(own), []
    engine = runner.Engine(n_jobs, partial(SqliteStore, tmp_path / "p.sqlite"))
    tally = runner.run(layout.datasets, runner.make_bundles(own, layout.plans, layout.cells), engine, [rows.append])
    assert {row.status for row in rows} == {"failed"}
    folds = own.protocol
    assert tally.fitted == folds.outer_folds * (folds.inner_folds + 1)


def test_failed_evaluations_alone_are_tried_again(packages, mine, tmp_path, monkeypatch):
    both = replace(
        mine, learners=(*mine.learners, Learner("tree", {"_target_": "sklearn.tree.DecisionTreeClassifier"}))
    )
    packages(ownpkg__model=BROKEN)
    home, fits = tmp_path / "s", fitted(monkeypatch)
    uri = f"sqlite:///{tmp_path}/mlflow.db"

    def run(**how):
        frame = imblab.run(both, folder=home, store_path=tmp_path / "p.sqlite", tracking_uri=uri, **how).to_frame()
        made, fits[:] = len(fits), []
        return made, frame.set_index("learner").status

    assert run()[0] == 6
    anew(packages, ownpkg__model=LOGIT)
    with pytest.raises(StudyError, match=r"All of them failed: try them again with runner\.retry_failed=true"):
        run()
    before = {row.key: row.to_json() for row in ledger.read_evaluations(home) if row.learner == "tree"}
    made, status = run(retry_failed=True)
    assert (made, set(status)) == (3, {"ok"})
    after = ledger.read_evaluations(home)
    assert before.items() <= {row.key: row.to_json() for row in after}.items()
    assert len((home / "ledger.jsonl").read_bytes().splitlines()) == len(after) == 6
    assert run()[0] == run(retry_failed=True)[0] == 0
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(both.name)
    found = [r for r in client.search_runs([experiment.experiment_id]) if r.data.tags.get("imblab.learner") == "mine"]
    assert [run.data.metrics["n_failed"] for run in found if "n_failed" in run.data.metrics] == [0.0]


PICKY = (
    SAMPLER
    + """
class Picky(Copies):
    def fit_resample(self, X, y):
        if self.sampling_strategy == 0.5:
            raise ValueError("not a half")
        return super().fit_resample(X, y)
"""
)


@pytest.fixture
def picky(packages, study, tmp_path, monkeypatch):
    """A study whose searches hold a candidate that fails, in the folder of a project."""
    monkeypatch.chdir(tmp_path)
    packages(ownpkg__samplers=PICKY, ownpkg__scores=MEASURES)
    searched = Strategy("own", {"_target_": "ownpkg.samplers.Picky"}, None, "tuned", {"ratio": Choice((0.5, 1.0))})
    own = measured(study, Measure("net", "ownpkg.scores.net", "label"), strategies=(searched,))
    imblab.run(own)
    return own


def test_rescoring_knows_failures_from_the_rows(picky, monkeypatch):
    fits = fitted(monkeypatch)
    found = imblab.rescore(picky.name, "primary=f1", "allow=[ownpkg]")
    assert (dict(found.missing), fits) == ({}, [])
    before, after = (ledger.read_evaluations(home) for home in (Path("experiments/own"), found.folder))
    failed = [[(t.status, t.reason) for t in row.trials if t.status == "failed"] for row in before]
    assert failed == [[("failed", "inner fold 0: ValueError: not a half")]] * 3
    assert [[(t.status, t.reason) for t in row.trials if t.status == "failed"] for row in after] == failed


@pytest.mark.parametrize("edited", ["samplers", "scores"])
def test_scores_of_other_code_are_neither_rescored_nor_exported(packages, picky, edited):
    anew(packages, **{f"ownpkg__{edited}": (PICKY if edited == "samplers" else MEASURES) + "\nA = 1\n"})
    with pytest.raises(
        StudyError, match=rf"code of 'ownpkg\.{edited}\..*' is not the one that study 'own' was run with"
    ):
        imblab.rescore(picky.name, "primary=f1", "allow=[ownpkg]")
    with pytest.raises(
        StudyError, match=rf"code of 'ownpkg\.{edited}\..*' is not the one that study 'own' was run with"
    ):
        exporting.command_export(picky.name, ["allow=[ownpkg]", "tracking=none"], as_json=False)


def test_the_end_of_a_run_and_a_comparison_name_the_way_to_try_again(packages, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    packages(ownpkg__model=BROKEN, ownpkg__scale=SCALE)
    words = [
        "name=s",
        "dataset=[ecoli3]",
        "learner=[]",
        "+learner.mine.make._target_=ownpkg.model.Logit",
        "tracking=none",
    ]
    words += ["strategy=[none]", "protocol=smoke", "runner.n_jobs=1", "runner.report=false", "allow=[ownpkg]"]

    def said(*argv):
        assert cli.main(list(argv)) == 0
        return " ".join(capsys.readouterr().out.split())

    tell = "Once the cause is removed, add runner.retry_failed=true to try them again."
    step = "Try the 3 failed evaluations again: imblab run experiments/s/study.yaml runner.retry_failed=true "
    step += "'allow=[ownpkg.model.Logit]'"
    assert {tell in text and step in text for text in (said("run", *words), said("run", *words))} == {True}
    assert step in said("compare", "s", "allow=[ownpkg]")
    again = said("compare", "s", "allow=[ownpkg.model.Logit]")
    assert "All tables: imblab compare s --full 'allow=[ownpkg.model.Logit]'" in again
    assert cli.main(["run", *words, "runner.on_error=raise", "runner.retry_failed=true"]) == 2
    assert "run again with runner.retry_failed=true" in capsys.readouterr().err
    anew(packages, ownpkg__model=LOGIT)
    whole = said("run", "experiments/s/study.yaml", "runner.retry_failed=true", *words[4:5], *words[7:])
    assert "retry_failed" not in whole
    assert "3 failed evaluations tried again" in whole


def test_parameters_that_are_no_text_are_named_all_at_once(study):
    objects = {"_target_": "sklearn.ensemble.BaggingClassifier", "estimator": LogisticRegression(), "n_jobs": [len]}
    own = replace(study, learners=(Learner("bag", objects),))
    with pytest.raises(ConfigError) as error:
        imblab.evaluate(own)
    assert "'learner.bag.make.estimator' is LogisticRegression" in str(error.value)
    assert "'learner.bag.make.n_jobs[0]'" in str(error.value)
