"""The environment of evaluations: what is recorded, read back and compared."""

import json
import os
import platform
from dataclasses import asdict, replace
from getpass import getuser
from importlib.metadata import version
from pathlib import Path
from socket import gethostname

import pytest

from imblab.edges.provenance import environment
from imblab.edges.provenance.environment import Change, Environment
from imblab.errors import DerivedFileError


@pytest.fixture
def now():
    return environment.current_environment()


def test_an_environment_names_what_can_change_a_number(now):
    assert now.python == f"{platform.python_implementation()} {platform.python_version()}"
    assert set(now.processor) == {"blas", "simd"}
    assert "openblas" in now.processor["blas"] or now.processor["blas"] == ""
    assert set(now.locale) == {"LC_CTYPE", "LC_COLLATE", "LC_NUMERIC", "LC_TIME", "encoding"}
    for name in ("numpy", "scipy", "scikit-learn", "imbalanced-learn", "optuna", "mlflow", "joblib"):
        assert now.packages[name] == version(name)
    assert "pytest" not in now.packages  # no study needs it


def test_an_environment_names_neither_user_nor_machine_nor_path(now):
    text = json.dumps(asdict(now))
    assert os.sep not in text.replace("\\/", "")
    assert gethostname() not in text
    assert getuser() not in [*now.packages, *now.locale.values()]


def test_the_packages_of_classes_are_recorded_too():
    assert environment.current_environment(["pytest.Class"]).packages["pytest"] == version("pytest")
    assert "mypkg" not in environment.current_environment(["mypkg.model.Mine"]).packages


def test_a_lock_pins_every_package_but_imblab(now):
    lock = now.requirements()
    assert f"numpy=={version('numpy')}" in lock
    assert not [line for line in lock if line.startswith("imblab")]
    assert len(lock) == len(now.packages) - 1


def test_a_folder_lists_its_environments_once_each(tmp_path, now):
    assert environment.read_environments(tmp_path) == ()
    assert environment.record_environment(tmp_path) == now
    content = (tmp_path / environment.ENVIRONMENT_FILE).read_bytes()
    environment.record_environment(tmp_path)
    assert (tmp_path / environment.ENVIRONMENT_FILE).read_bytes() == content
    older = replace(now, packages={**now.packages, "numpy": "1.0"})
    (tmp_path / environment.ENVIRONMENT_FILE).write_text(json.dumps([asdict(older)]))
    environment.record_environment(tmp_path)
    assert environment.read_environments(tmp_path) == (older, now)


@pytest.mark.parametrize("content", ["{", "5", '[{"python": 3}]', '[{"user": "me"}]', "[" * 100_000])
def test_a_damaged_file_is_named_and_set_aside(tmp_path, content):
    path = tmp_path / environment.ENVIRONMENT_FILE
    path.write_text(content)
    with pytest.raises(DerivedFileError, match=r"environment\.json' is damaged"):
        environment.read_environments(tmp_path)
    now = environment.record_environment(tmp_path)
    assert environment.read_environments(tmp_path) == (now,)
    assert Path(f"{path}.damaged").read_text() == content


def test_changes_are_those_that_numbers_may_rest_on(now):
    assert environment.changes(now, now) == []
    older = replace(
        now,
        system="Linux riscv64",
        locale={**now.locale, "LC_TIME": "fr_FR"},
        packages={**now.packages, "numpy": "1.0", "rich": "1.0", "mypkg": "3"},
    )
    changes = {change.name: change for change in environment.changes(older, now)}
    assert changes == {
        "system": Change("machine", "system", "Linux riscv64", now.system),
        "numpy": Change("version", "numpy", "1.0", version("numpy")),
        "mypkg": Change("version", "mypkg", "3", ""),
        "LC_TIME": Change("locale", "LC_TIME", "fr_FR", now.locale["LC_TIME"]),
    }


def test_an_older_record_is_compared_as_far_as_it_goes(now):
    older = environment.environment_of_facts(
        {"versions": {"python": platform.python_version(), "imblearn": "0.1", "numpy": version("numpy")}}
    )
    (change,) = environment.changes(older, now)
    assert change == Change("version", "imbalanced-learn", "0.1", version("imbalanced-learn"))
    assert environment.environment_of_facts({}) is None
    assert environment.changes(Environment(), now) == []


def test_packages_of_older_evidence_are_named_by_the_distribution_that_holds_them():
    """XGBoost is installed as ``xgboost-cpu``; evidence names the package that is imported."""
    facts = {"system": "Linux x86_64", "versions": {"python": "3.11.7", "xgboost": "3.2.0", "nobody_has_it": "1"}}
    recorded = environment.environment_of_facts(facts)
    (installed,) = [name for name in ("xgboost", "xgboost-cpu") if name in recorded.packages]
    assert recorded.packages == {installed: "3.2.0", "nobody-has-it": "1"}
    assert version(installed)


def test_code_is_named_by_its_distribution():
    paths = ("sklearn.linear_model.LogisticRegression", "mypkg.Mine")
    assert [*map(environment.distribution_name, paths)] == ["scikit-learn", "mypkg"]
