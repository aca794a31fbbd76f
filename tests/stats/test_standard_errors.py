"""The rules that ship are those that the simulation of the repository allows; its learners are scikit-learn's."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from imblab.stats import standard_errors
from imblab.stats.standard_errors import RowLevelRule
from imblab.study import fingerprint

HOME = Path(__file__).parents[2] / "experiments" / "test_size"


@pytest.fixture
def simulation(monkeypatch):
    monkeypatch.syspath_prepend(str(HOME))
    for name in ("simulate", "learners", "tabulate"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import simulate

    return simulate


def test_the_newest_rules_are_those_of_the_simulation():
    decided = json.loads((HOME / "rules.json").read_text(encoding="utf-8"))["rules"]
    simulated = {
        (kind, f"imblab.core.measures.{name}"): tuple(weights and RowLevelRule(*weights) for weights in rules)
        for kind, by_measure in decided.items()
        for name, rules in by_measure.items()
    }
    assert max(standard_errors.ROW_LEVEL_RULES) == standard_errors.TABLE_VERSION
    assert dict(standard_errors.ROW_LEVEL_RULES[standard_errors.TABLE_VERSION]) == simulated


def test_a_version_that_studies_have_recorded_never_changes():
    """Version 1 was recorded before any rule was decided; version 2 before random forests were simulated."""
    assert dict(standard_errors.ROW_LEVEL_RULES[1]) == {}
    rules = sorted(
        (kind, function, repr(pair)) for (kind, function), pair in standard_errors.ROW_LEVEL_RULES[2].items()
    )
    assert fingerprint(rules) == "f166272ea185a6c6"


def test_a_rule_is_that_of_its_version(monkeypatch):
    rules = {1: {}, 2: {("linear", "m"): (RowLevelRule(2.0), None)}}
    monkeypatch.setattr(standard_errors, "ROW_LEVEL_RULES", rules)
    found = [standard_errors.row_level_rule(version, "linear", "m", n) for version in range(4) for n in (1, 5)]
    assert found == [None] * 4 + [RowLevelRule(2.0), None] + [None] * 2


@pytest.mark.usefixtures("simulation")
def test_the_tables_of_the_documentation_are_those_of_the_simulation():
    import tabulate

    page = (HOME.parents[1] / "docs" / "statistics.md").read_text(encoding="utf-8")
    decided = json.loads((HOME / "rules.json").read_text(encoding="utf-8"))
    summary, complete = pd.read_csv(HOME / "summary.csv"), decided["complete"]
    assert "\n".join(tabulate.markdown(summary, complete, decided["rules"])) in page
    assert "\n".join(tabulate.rule_lines(decided["rules"])) in page
    assert tabulate.decide(summary, set(complete)) == decided["rules"]


@pytest.mark.slow
@pytest.mark.usefixtures("simulation")
def test_the_summary_is_that_of_the_samples():
    import tabulate

    decided = json.loads((HOME / "rules.json").read_text(encoding="utf-8"))
    table, summary = tabulate.tabulate(), pd.read_csv(HOME / "summary.csv")
    pd.testing.assert_frame_equal(tabulate.summarise(table).round(4), summary, check_dtype=False)
    assert sorted(tabulate.complete_kinds(table)) == decided["complete"]


def test_the_picture_of_the_documentation_is_that_of_the_simulation():
    pictures = runpy.run_path(str(HOME.parents[1] / "docs" / "draw_pictures.py"))
    assert pictures["STANDARD_ERRORS"].read_text(encoding="utf-8") == pictures["draw_standard_errors"]()


def test_the_learners_of_the_simulation_are_those_of_scikit_learn(simulation):
    rng = np.random.default_rng(0)
    X, y = simulation.draw(rng, 40, 160)
    new, _ = simulation.draw(rng, 40, 160)
    copies = rng.integers(1, 4, len(y)).astype(np.float64)
    rows = np.repeat(np.arange(len(y)), copies.astype(int))
    logistic = LogisticRegression(tol=1e-10, max_iter=5000).fit(X, y, sample_weight=copies)
    tree = DecisionTreeClassifier(random_state=0).fit(X, y, sample_weight=copies)
    forest = RandomForestClassifier(50, random_state=0).fit(X[rows].astype(np.float32), y[rows])
    witnesses = {
        "logistic": logistic.predict_proba(new)[:, 1],
        "knn": KNeighborsClassifier().fit(X[rows], y[rows]).predict_proba(new)[:, 1],
        "decision_tree": tree.predict_proba(new.astype(np.float32))[:, 1],
        "random_forest": forest.predict_proba(new.astype(np.float32))[:, 1],
    }
    for kind, expected in witnesses.items():
        np.testing.assert_allclose(simulation.LEARNERS[kind](X, y, copies, 0)(new), expected, atol=1e-6, err_msg=kind)


def test_a_sample_is_a_function_of_its_number(simulation):
    scenario = simulation.Scenario("logistic", 500, 50)
    first, again = (simulation.simulate_sample(scenario, 900) for _ in range(2))
    pd.testing.assert_frame_equal(pd.DataFrame(first), pd.DataFrame(again))
    assert {row["contrast"] for row in first} == {"under", "column"}
    assert {row["folds"] for row in first} == {5.0, 15.0, 25.0}
    assert all(row["w_change"] > 0 and row["s2"] > 0 for row in first)
