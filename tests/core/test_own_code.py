"""Code that no version fixes: what an address holds of it."""

import importlib
import json
import os
import py_compile
import subprocess
import sys
import textwrap
import time
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from imblab.core import estimator_specs, own_code
from imblab.core.own_code import Code, _CodeDependencies, code_of

MODEL = """
from sklearn.linear_model import LogisticRegression

class Mine(LogisticRegression):
    scale = 1.0

    def fit(self, X, y, sample_weight=None):
        return super().fit(X * 1, y, sample_weight)
"""


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    """Each test is a process of its own, as far as code is concerned."""
    monkeypatch.setattr(own_code, "_CODE_CACHE", {})
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def forget(*tops):
    """What a new process does not know."""
    own_code._CODE_CACHE.clear()
    importlib.invalidate_caches()
    for name in [n for n in sys.modules if n.partition(".")[0] in tops]:
        del sys.modules[name]


def digest(path):
    code = code_of(path)
    assert not code.unreadable
    return code.digest


@pytest.mark.parametrize(
    "path",
    [
        "sklearn.linear_model.LogisticRegression",
        "sklearn.ensemble.HistGradientBoostingClassifier",
        "imblearn.over_sampling.SMOTE",
        "imblearn.ensemble.EasyEnsembleClassifier",
        "lightgbm.LGBMClassifier",
        "xgboost.XGBClassifier",
        "sklearn.metrics.roc_auc_score",
        "imblab.core.measures.mcc",
    ],
)
def test_what_ships_has_a_version_and_no_code_in_its_address(path):
    assert code_of(path).name == ""
    assert own_code.code_dependencies([{"_target_": path}]) == _CodeDependencies({}, (), True)


EDITS = {
    "the class": ("mypkg__model", "X * 1", "X * 0"),
    "a constant": ("mypkg__model", "scale = 1.0", "scale = 2.0"),
    "a module it imports": ("mypkg__helper", "1", "2"),
    "a module that this one imports, and that imports it": ("mypkg__deep__far", "1", "2"),
    "a module imported inside a function": ("mypkg__late", "1", "2"),
    "a module imported by its written name": ("mypkg__named", "1", "2"),
    "the package": ("mypkg/__init__", "1", "2"),
    "a package around": ("mypkg/deep/__init__", "1", "2"),
    "the parent's module, in another package": ("parents__base", "1", "2"),
    "a module that takes everything": ("mypkg__star", "1", "2"),
}
FILES = {
    "mypkg/__init__": "A = 1\n",
    "mypkg__model": "from mypkg import helper\nimport parents.base\nfrom .star import *\n"
    "def late():\n    import importlib\n    from mypkg.late import B\n    importlib.import_module('mypkg.named')\n"
    + MODEL.replace("LogisticRegression)", "parents.base.Parent)"),
    "mypkg__helper": "from .deep.far import D\nC = 1\n",
    "mypkg/deep/__init__": "E = 1\n",
    "mypkg__deep__far": "import mypkg.helper\nD = 1\n",
    "mypkg__late": "B = 1\n",
    "mypkg__named": "F = 1\n",
    "mypkg__star": "G = 1\n",
    "mypkg__unrelated": "H = 1\n",
    "parents__base": MODEL.replace("Mine", "Parent") + "I = 1\n",
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_anywhere_in_the_code_is_another_address(packages, what):
    packages(**FILES)
    before = digest("mypkg.model.Mine")
    forget("mypkg", "parents")
    assert digest("mypkg.model.Mine") == before
    name, old, new = EDITS[what]
    assert old in FILES[name]
    packages(**{name: FILES[name].replace(old, new)})
    forget("mypkg", "parents")
    assert digest("mypkg.model.Mine") != before


def test_what_is_not_imported_is_not_in_the_address(packages):
    packages(**FILES)
    before = digest("mypkg.model.Mine")
    packages(mypkg__unrelated="H = 2\n", mypkg__further="")
    forget("mypkg", "parents")
    assert digest("mypkg.model.Mine") == before


def test_a_single_module_and_the_modules_in_its_folder(packages):
    packages(lone=MODEL + "\nimport lone_helper\n", lone_helper="A = 1\n", lone_other="B = 1\n")
    before = digest("lone.Mine")
    packages(lone_other="B = 2\n")
    forget("lone", "lone_helper")
    assert digest("lone.Mine") == before
    packages(lone_helper="A = 2\n")
    forget("lone", "lone_helper")
    assert digest("lone.Mine") != before


def test_a_package_without_a_file_of_its_own(packages):
    packages(spread__inner__model="from . import helper\n" + MODEL, spread__inner__helper="A = 1\n")
    before = digest("spread.inner.model.Mine")
    packages(spread__inner__helper="A = 2\n")
    forget("spread")
    assert digest("spread.inner.model.Mine") != before


def test_the_folder_is_not_in_the_address(packages, tmp_path, monkeypatch):
    packages(mypkg__model=MODEL)
    before = digest("mypkg.model.Mine")
    forget("mypkg")
    (tmp_path / "own_code").rename(tmp_path / "moved")
    monkeypatch.syspath_prepend(str(tmp_path / "moved"))
    assert digest("mypkg.model.Mine") == before
    forget("mypkg")


def test_code_without_a_source(packages):
    folder = packages(mypkg__model="from mypkg import helper\n" + MODEL, mypkg__helper="A = 1\n")

    def compiled(name, text):
        source = folder / "mypkg" / f"{name}.py"
        source.write_text(text)
        py_compile.compile(str(source), str(source.with_suffix(".pyc")), doraise=True)
        source.unlink()

    compiled("model", "from mypkg import helper\n" + MODEL)
    compiled("helper", "A = 1\n")
    before = digest("mypkg.model.Mine")
    compiled("helper", "A = 2\n")
    forget("mypkg")
    assert digest("mypkg.model.Mine") != before


def test_functions_and_what_wraps_them(packages):
    wrapped = "import functools\nfrom mypkg.plain import net\ngain = functools.partial(net, cost=2)\n"
    packages(mypkg__plain="def net(tn, fp, fn, tp, cost=1):\n    return tp - cost * fp\n", mypkg__gains=wrapped)
    first, second = digest("mypkg.plain.net"), digest("mypkg.gains.gain")
    packages(mypkg__plain="def net(tn, fp, fn, tp, cost=1):\n    return tp - cost * fp * 2\n")
    forget("mypkg")
    assert first != digest("mypkg.plain.net")
    assert second != digest("mypkg.gains.gain")


def test_classes_at_any_depth_are_in_an_address(packages):
    packages(mypkg__model=MODEL)
    mine = {"_target_": "mypkg.model.Mine"}
    deep = {"_target_": "sklearn.ensemble.VotingClassifier", "estimators": [["a", {**mine}], ["b", {"c": mine}]]}
    assert list(own_code.code_names([deep, None], ["imblab.core.measures.mcc"])) == ["mypkg.model.Mine"]


# ------------------------------------------------------------------------------------------------------- distributions


def install(folder, name, direct_url=None, **files):
    """What an installer of wheels leaves: files, and their hashes in a RECORD."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    lines = []
    for file, text in files.items():
        path = folder.joinpath(*file.split("__")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        found = urlsafe_b64encode(sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path.relative_to(folder).as_posix()},sha256={found},{len(text)}")
    (info / "RECORD").write_text("\n".join([*lines, f"{info.name}/RECORD,,"]))
    if direct_url:
        (info / "direct_url.json").write_text(json.dumps({"url": "file:///somewhere", **direct_url}))


def test_a_version_stands_for_an_installed_distribution(packages):
    install(packages(), "bought", bought__model="from bought import helper\n" + MODEL, bought__helper="A = 1\n")
    assert code_of("bought.model.Mine") == Code(versions=(("bought", "bought-1.0"),))
    # A package that says no version of its own is named by that of its distribution.
    assert own_code.code_dependencies([{"_target_": "bought.model.Mine"}]).versions == ("bought-1.0",)
    nested = {"_target_": "sklearn.a.B", "c": {"_target_": "bought.model.Mine"}}
    assert own_code.code_dependencies([nested, None]).versions == ("bought-1.0",)


def test_a_version_that_own_code_rests_on_is_named(packages):
    install(packages(), "bought", bought__model="A = 1\n")
    packages(mypkg__model="import bought.model\n" + MODEL)
    assert own_code.code_dependencies([{"_target_": "mypkg.model.Mine"}]).versions == ("bought-1.0",)


@pytest.mark.parametrize("name", ["model", "helper"])
def test_a_patched_file_counts_as_own_code(packages, name):
    files = {"bought__model": "from bought import helper\n" + MODEL, "bought__helper": "A = 1\n"}
    folder = packages()
    install(folder, "bought", **files)
    path = folder / "bought" / f"{name}.py"
    path.write_text(path.read_text() + "# patched\n")
    before = digest("bought.model.Mine")
    assert before
    path.write_text(path.read_text() + "# once more\n")
    forget("bought")
    assert digest("bought.model.Mine") not in ("", before)


@pytest.mark.parametrize("how", [{"dir_info": {"editable": True}}, {"dir_info": {}}, {"vcs_info": {"vcs": "git"}}])
def test_a_distribution_from_a_folder_has_no_fixed_content(packages, how):
    install(packages(), "bought", how, bought__model=MODEL)
    assert digest("bought.model.Mine")


def test_a_namespace_that_distributions_share(packages):
    folder = packages()
    install(folder, "one", shared__one=MODEL)
    install(folder, "other", shared__other=MODEL)
    packages(shared__mine=MODEL)
    assert code_of("shared.one.Mine").versions == (("shared", "one-1.0"),)
    assert code_of("shared.other.Mine").digest == ""
    assert digest("shared.mine.Mine")


def test_imblab_in_a_checkout_is_known_by_its_version(packages):
    packages(mypkg__model="from imblab.core import measures\n" + MODEL)
    assert "imblab" not in dict(code_of("mypkg.model.Mine").versions)
    assert set(own_code._CODE_CACHE["mypkg.model.Mine"].modules) == {"mypkg.model"}


# ------------------------------------------------------------------------------------------------------ code that runs


def test_an_edit_that_is_not_loaded_changes_nothing_and_a_reload_does(packages):
    packages(mypkg__model=MODEL)
    before, cls = code_of("mypkg.model.Mine"), estimator_specs.resolve_class("mypkg.model.Mine", allow=None)
    packages(mypkg__model=MODEL.replace("X * 1", "X * 0"))
    assert code_of("mypkg.model.Mine") == before
    assert estimator_specs.resolve_class("mypkg.model.Mine", allow=None) is cls
    importlib.reload(sys.modules["mypkg.model"])
    assert code_of("mypkg.model.Mine").digest not in ("", before.digest)
    assert estimator_specs.resolve_class("mypkg.model.Mine", allow=None) is not cls


@pytest.mark.parametrize(("old", "new"), [("X * 1", "X * 0"), ("scale = 1.0", "scale = 2.0")])
def test_an_edit_between_the_import_and_the_first_look_is_seen(packages, old, new):
    packages(mypkg__model=MODEL)
    importlib.import_module("mypkg.model")
    packages(mypkg__model=MODEL.replace(old, new))
    code = code_of("mypkg.model.Mine")
    assert code.unreadable == "module 'mypkg.model' was changed after it was imported"
    assert code.name == code.token != ""
    importlib.reload(sys.modules["mypkg.model"])
    assert digest("mypkg.model.Mine")


def test_an_edit_of_what_leaves_no_trace_in_the_module_is_seen_by_its_compiled_file(packages, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    text = MODEL.replace("sample_weight=None", "sample_weight=None, times=1")
    path = packages(mypkg__model=text) / "mypkg" / "model.py"
    importlib.import_module("mypkg.model")
    path.write_text(text.replace("times=1", "times=2"))
    os.utime(path, (time.time() + 5, time.time() + 5))
    assert "was changed after it was imported" in code_of("mypkg.model.Mine").unreadable


def test_a_helper_that_was_loaded_anew_alone_is_seen(packages):
    packages(mypkg__model="from mypkg.helper import f\n" + MODEL, mypkg__helper="def f():\n    return 1\n")
    digest("mypkg.model.Mine")
    packages(mypkg__helper="def f():\n    return 2\n")
    importlib.reload(sys.modules["mypkg.helper"])
    assert "as it was in module 'mypkg.helper' before" in code_of("mypkg.model.Mine").unreadable
    importlib.reload(sys.modules["mypkg.model"])
    assert digest("mypkg.model.Mine")


def test_a_parent_that_was_loaded_anew_alone_is_seen(packages):
    packages(
        mypkg__model="import mypkg.base\nclass Mine(mypkg.base.Parent): pass\n", mypkg__base=MODEL + "\nParent = Mine"
    )
    digest("mypkg.model.Mine")
    importlib.reload(sys.modules["mypkg.base"])
    assert "before that was reloaded" in code_of("mypkg.model.Mine").unreadable


def test_a_module_that_is_loaded_late_is_followed(packages):
    packages(mypkg__model="def late():\n    import mypkg.late\n" + MODEL, mypkg__late="A = 1\n")
    before = digest("mypkg.model.Mine")
    packages(mypkg__late="A = 2\n")
    after = digest("mypkg.model.Mine")
    assert after != before
    importlib.import_module("mypkg.late")
    assert digest("mypkg.model.Mine") == after


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("class Mine(LogisticRegression):\n    pass", "module 'made' has no file that can be read"),
        (
            "class Mine(LogisticRegression):\n    __module__ = '__main__'",
            "it is defined in a notebook cell or a script",
        ),
    ],
)
def test_code_without_a_file_is_said(monkeypatch, code, reason):
    module = type(sys)("made")
    exec("from sklearn.linear_model import LogisticRegression\n" + code, vars(module))
    monkeypatch.setitem(sys.modules, "made", module)
    found = code_of("made.Mine")
    assert reason in found.unreadable
    assert found.digest == ""
    assert code_of("made.Mine").token == found.token
    vars(module)["Mine"] = type("Mine", (module.Mine,), {})
    assert code_of("made.Mine").token != found.token


def test_a_method_from_a_notebook_is_said(packages, monkeypatch):
    packages(mypkg__model=MODEL)
    cls = estimator_specs.resolve_class("mypkg.model.Mine", allow=None)
    space = {"__name__": "__main__"}
    exec("def fit(self, X, y):\n    return self", space)
    monkeypatch.setattr(cls, "fit", space["fit"])
    assert "it is defined in a notebook cell or a script" in code_of("mypkg.model.Mine").unreadable


def test_processes_agree_or_say_where_they_do_not(packages):
    packages(mypkg__model=MODEL, other__model=MODEL)
    seen = own_code.code_snapshot(["mypkg.model.Mine", "other.model.Mine", "sklearn.svm.SVC"])
    assert list(seen) == ["mypkg.model.Mine", "other.model.Mine"]
    packages(mypkg__model=MODEL.replace("X * 1", "X * 0"))
    forget("mypkg", "other")
    assert own_code.adopt_snapshot(seen) == ["mypkg.model.Mine"]


def test_a_path_that_cannot_be_imported_has_no_code():
    assert code_of("no_such_package.Mine") == Code()


def test_a_new_process_gives_the_same_address(packages):
    folder = packages(**FILES)
    program = "from imblab.core.own_code import code_of; print(code_of('mypkg.model.Mine').digest)"
    paths = os.pathsep.join([str(folder), str(Path(own_code.__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == digest("mypkg.model.Mine")
