"""Search: the declared order, ties, and Optuna's own samplers as witness."""

import optuna
import pytest

from imblab.core import search
from imblab.result import Trial
from imblab.study import Choice, Interval, Learner, Strategy, Tuning

AXES = {"ratio": Choice((0.1, 0.5, 1.0)), "k": Choice((3, 5)), "learner.C": Interval(0.1, 10.0, log=True)}


def judge_by(values):
    asked = []

    def judge(params):
        asked.append(dict(params))
        value = values(params)
        return Trial(params, value, 0.5) if value is not None else Trial(params, None, None, "failed", "no")

    return judge, asked


def test_grid_is_the_product_in_the_declared_order():
    strategy = Strategy("s", space={"weight": Choice((2, 1)), "ratio": Choice((0.5, 0.1)), "k": Choice((5, 3))})
    learner = Learner("l", {}, {"b": Choice((1, 2)), "a": Choice((9,))})
    axes = search.searched_axes(strategy, learner, tune_learner=True)
    assert list(axes) == ["ratio", "k", "weight", "learner.a", "learner.b"]
    rows = [tuple(c.values()) for c in search._grid_candidates(axes)]
    assert rows[0] == (0.5, 5, 2, 9, 1)
    assert rows[1] == (0.5, 5, 2, 9, 2)
    assert rows[2] == (0.5, 5, 1, 9, 1)
    assert len(rows) == len(set(rows)) == 16


def test_repeated_values_are_one_candidate():
    assert search.grid_size({"k": Choice((3, 3, 5))}) == 2
    assert search.grid_size({"k": Choice((3,)), "learner.C": Interval(0, 1)}) is None


def test_a_tie_goes_to_the_first_in_order_and_direction_counts():
    trials = [Trial({"k": 1}, 0.3, 0.5), Trial({"k": 2}, 0.7, 0.5), Trial({"k": 3}, 0.7 + 9e-13, 0.5)]
    assert search.best_trial(trials, True).params == {"k": 2}
    assert search.best_trial(trials, False).params == {"k": 1}
    assert search.best_trial([Trial({}, None, None, "failed", "x")], True) is None


@pytest.mark.parametrize(
    ("method", "sampler"),
    [
        ("random", lambda s: optuna.samplers.RandomSampler(s)),
        ("qmc", lambda s: optuna.samplers.QMCSampler(seed=s, scramble=True)),
        ("tpe", lambda s: optuna.samplers.TPESampler(seed=s, multivariate=True, n_startup_trials=10)),
    ],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_optuna_is_asked_sequentially_with_the_one_seed(method, sampler):
    def value(p):
        return p["ratio"] * 2 - abs(p["learner.C"] - 3) + p["k"]

    judge, _ = judge_by(value)
    trials = search.run_search(AXES, {"weight": 2.0}, Tuning(method, 25), 11, True, judge)
    study = optuna.create_study(direction="maximize", sampler=sampler(11))
    for trial in trials:
        asked = study.ask()
        expected = {
            "ratio": asked.suggest_categorical("ratio", (0.1, 0.5, 1.0)),
            "k": asked.suggest_categorical("k", (3, 5)),
            "weight": 2.0,
            "learner.C": asked.suggest_float("learner.C", 0.1, 10.0, log=True),
        }
        assert trial.params == expected
        study.tell(asked, value(expected))


def test_a_repeated_candidate_costs_no_judgement_and_is_never_the_first_winner():
    judge, asked = judge_by(lambda p: float(p["k"]))
    trials = search.run_search({"k": Choice((3, 5))}, {}, Tuning("tpe", 30), 0, True, judge)
    assert len(trials) == 30
    assert len(asked) == 2
    assert {t.status for t in trials} == {"ok", "repeated"}
    assert all(t.value == t.params["k"] for t in trials)
    assert search.best_trial(trials, True).params == {"k": 5}


def test_a_failed_candidate_uses_up_its_trial():
    judge, asked = judge_by(lambda p: None if p["k"] < 50 else float(p["k"]))
    trials = search.run_search({"k": Interval(1, 99, integer=True)}, {}, Tuning("random", 20), 0, True, judge)
    assert len(trials) == 20
    assert {"failed", "ok"} <= {t.status for t in trials}
    assert search.best_trial(trials, True).params["k"] >= 50
    assert all(1 <= p["k"] <= 99 and isinstance(p["k"], int) for p in asked)


def test_without_axes_there_is_one_candidate_whatever_the_method():
    judge, asked = judge_by(lambda p: 1.0)
    search.run_search({}, {"ratio": 0.5}, Tuning("tpe", 30), 0, True, judge)
    assert asked == [{"ratio": 0.5}]
