"""What the user grants on the command line: `allow` adds, a received study connects to nothing by itself."""

import subprocess
import sys

import pytest
import yaml

from imblab import cli
from imblab.commands import python_runs
from imblab.edges import config
from imblab.edges.config import command_line
from imblab.edges.runner.processes import loky_executor
from imblab.errors import ConfigError, combined
from imblab.text import granting

SMALL = ("name=x", "dataset=[ecoli3]", "strategy=[none]", "protocol=smoke", "measures=[mcc]")
MINE = """
from sklearn.linear_model import LogisticRegression
class MyLogit(LogisticRegression):
    pass
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a module of the user's own; what it does to the path of imports is undone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "mylogits.py").write_text(MINE)
    yield tmp_path
    sys.modules.pop("mylogits", None)


OWN = (*SMALL, "learner=[]", "+learner.mine.make={_target_:mylogits.MyLogit}")


def study_file(here, study, **changes):
    path = here / "study.yaml"
    path.write_text(yaml.safe_dump({**config.to_mapping(study), **changes}))
    return path


@pytest.mark.parametrize("allow", ["mylogits", "mylogits.MyLogit", "sklearn,imblearn,lightgbm,xgboost,imblab,mylogits"])
def test_a_class_of_the_current_folder_is_imported_once_it_is_allowed(here, allow):
    with pytest.raises(ConfigError, match="outside the allowed packages") as error:
        python_runs.compose(*OWN)
    assert error.value.grants == ("mylogits.MyLogit",)
    assert "mylogits" not in sys.modules
    assert str(here) not in sys.path
    assert python_runs.compose(*OWN, f"allow=[{allow}]").learners[0].make == {"_target_": "mylogits.MyLogit"}
    assert sys.path[-1] == str(here)


def test_a_received_study_imports_nothing_from_the_current_folder_unless_that_is_allowed(here):
    path = study_file(here, python_runs.compose(*SMALL), learner={"mine": {"make": {"_target_": "mylogits.MyLogit"}}})
    with pytest.raises(ConfigError, match=r"`allow=\[mylogits\.MyLogit\]`"):
        config.load_request(path)
    assert "mylogits" not in sys.modules
    assert str(here) not in sys.path
    assert config.load_request(path, ["allow=[mylogits]"]).allow == ("mylogits",)


def test_the_current_folder_comes_last_and_only_for_what_lies_there(here):
    (here / "numpy").mkdir()
    (here / "json.py").write_text("raise SystemExit")
    before = [*sys.path]
    for allow in (["numpy"], ["json"], ["not_there"], []):
        assert command_line.parse_allow(allow) == tuple(allow)
        assert sys.path == before
    assert command_line.parse_allow(["sklearn", "imblearn", "lightgbm", "xgboost", "imblab"]) == ()


@pytest.mark.slow
def test_workers_and_every_command_know_a_class_of_the_current_folder(here):
    """The console script does not put the current folder on the path, and neither do worker processes."""
    code = "import sys; sys.path.pop(0); from imblab.cli import main; sys.exit(main(sys.argv[1:]))"

    def typed(*words):
        return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)

    done = typed("run", *OWN, "allow=[mylogits]", "runner.n_jobs=2", "tracking=none")
    assert done.returncode == 0, done.stderr
    assert '"failed"' not in (here / "experiments" / "x" / "ledger.jsonl").read_text()
    for words in (["compare", "x"], ["run", *SMALL, "learner=[logistic]", "tracking=none"]):
        refused = typed(*words)
        assert refused.returncode == 2
        assert "'allow=[mylogits.MyLogit]'`." in refused.stderr
    assert typed("compare", "x", "allow=[mylogits]").returncode == 0


@pytest.mark.parametrize("value", ["mine", {"a": 1}, [1], ["../mine"], ["mine; ls"], [""], ["a" * 300], None])
def test_what_is_no_list_of_names_is_refused(value):
    with pytest.raises(ConfigError, match=r"'allow' is .*Write for example allow=\[mypackage\]"):
        command_line.parse_allow(value)


KINDS = {"openml": "allow_network", "zenodo": "allow_network", "sql": "allow_sql"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_received_study_connects_to_nothing_unless_that_is_granted(here, kind):
    path = study_file(here, python_runs.compose(*SMALL), dataset={"far": {"kind": kind, "table": "adult"}})
    word = f"{KINDS[kind]}=true"
    with pytest.raises(ConfigError, match=f"data set 'far' of the received study.*`{word}`") as error:
        config.load_request(path)
    assert error.value.grants == (word,)
    assert config.load_request(path, [word]).study.datasets["far"]["kind"] == kind
    others = [f"{other}=true" for other in {*KINDS.values()} - {KINDS[kind]}]
    with pytest.raises(ConfigError, match="received study"):
        config.load_request(path, others)
    # What only reads rows needs no connection; the check comes before the tables are loaded.
    request = config.load_request(path, loads_data=False)
    with pytest.raises(ConfigError, match="received study"):
        request.check_sources()
    config.load_request(path, [word], loads_data=False).check_sources()


def test_ones_own_command_line_needs_no_such_word():
    assert (
        python_runs.compose(*SMALL[:1], *SMALL[2:], "dataset=[openml]", "dataset.openml.id=1").datasets["openml"]["id"]
        == 1
    )


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_command_that_is_refused_prints_the_line_to_paste(here, capsys, command):
    path = study_file(
        here,
        python_runs.compose(*SMALL),
        learner={"mine": {"make": {"_target_": "mylogits.MyLogit"}}, "odd": {"make": {"_target_": "far.Off"}}},
        dataset={"far": {"kind": "openml", "id": 1}},
        strategy={"none": {"threshold": 7}},
    )
    assert cli.main([command, str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("ConfigError: 4 problems:\n- ")
    assert f"`imblab {command} {path} 'allow=[mylogits.MyLogit,far.Off]' allow_network=true`." in said
    assert "mylogits" not in sys.modules


def test_rescoring_loads_tables_and_so_asks_too():
    mapping = config.to_mapping(python_runs.compose(*SMALL))
    mapping["dataset"] = {"far": {"kind": "openml", "id": 1}}
    with pytest.raises(ConfigError, match="`allow_network=true`"):
        config.change_study(mapping, ["primary=mcc"])
    assert config.change_study(mapping, ["primary=mcc", "allow_network=true"]).study.datasets


def test_refusals_are_joined_with_what_they_need():
    one, two = ConfigError("'a' is 1.", grants=("x.Y",)), ConfigError("'b' is 2.", grants=("x.Y", "allow_sql=true"))
    assert combined([one]) is one
    assert str(combined([one, two])) == "2 problems:\n- 'a' is 1.\n- 'b' is 2."
    assert combined([one, two]).grants == ("x.Y", "allow_sql=true")


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (["run", "s.yaml"], "imblab run s.yaml 'allow=[b.C]' allow_network=true"),
        (["run", "s", "allow=[a, d]", "allow_network=false"], "imblab run s 'allow=[a, d,b.C]' allow_network=true"),
        (["compare", "my study"], "imblab compare 'my study' 'allow=[b.C]' allow_network=true"),
    ],
)
def test_the_line_to_paste_keeps_what_was_typed(typed, line):
    assert granting(typed, ["b.C", "allow_network=true"]) == line


@pytest.mark.slow
def test_workers_that_live_on_import_from_where_their_parent_does(here):
    """A Python session runs one study, then one with a class of the current folder, on the same number of workers."""
    workers = loky_executor(2)
    assert str(here) not in workers.submit(eval, "__import__('sys').path").result()
    command_line.parse_allow(["mylogits"])
    for _ in range(2):
        assert loky_executor(2).submit(eval, "__import__('mylogits').__name__").result() == "mylogits"
