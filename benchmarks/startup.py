"""Start-up: whole processes of ``imblab``, compared with bare imports of the libraries that a study needs.

``python benchmarks/startup.py`` takes some minutes. In every round each import and each command runs once, in a process
of its own; a ratio is taken within a round, so that other work on the machine changes both of its seconds. The first
fit is the time from the start of the process until ``fit`` is entered, in whichever process. Processes may write their
bytecode, as installed ones do; a first round that is not counted fills it and the caches of the disk.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

REPEATS = int(os.environ.get("REPEATS", "5"))
LIBRARIES = "pandas, sklearn, imblearn"
WITH_LIGHTGBM, WITH_MLFLOW = f"{LIBRARIES}, lightgbm", f"{LIBRARIES}, mlflow"
#: A learner that writes down when each of its fits begins.
MODULE = """
import os, time
from {module} import {parent}


class Stamped({parent}):
    def fit(self, X, y, sample_weight=None):
        with open(os.environ["STAMPS"], "a") as file:
            file.write(f"{{time.time()}}\\n")
        return super().fit(X, y, sample_weight)
"""
LEARNERS = {
    "logistic": ("sklearn.linear_model", "LogisticRegression", ""),
    "lightgbm": ("lightgbm", "LGBMClassifier", ", n_jobs: 1, verbosity: -1"),
}
ONE, TWO, UNLOGGED = "runner.n_jobs=1", "runner.n_jobs=2", "tracking=none"
#: What is measured: the command, the learner, overrides, what is timed, the libraries whose import it is divided by.
CASES = {
    "first fit, one job": ("run", "logistic", [ONE, UNLOGGED], "first fit", LIBRARIES),
    "first fit, two jobs": ("run", "logistic", [TWO, UNLOGGED], "first fit", LIBRARIES),
    "first fit, one job, LightGBM": ("run", "lightgbm", [ONE, UNLOGGED], "first fit", WITH_LIGHTGBM),
    "first fit, two jobs, LightGBM": ("run", "lightgbm", [TWO, UNLOGGED], "first fit", WITH_LIGHTGBM),
    "first fit, one job, MLflow": ("run", "logistic", [ONE], "first fit", LIBRARIES),
    "three fits, one job": ("run", "logistic", [ONE, UNLOGGED], "end", LIBRARIES),
    "three fits, two jobs": ("run", "logistic", [TWO, UNLOGGED], "end", LIBRARIES),
    "three fits, one job, MLflow": ("run", "logistic", [ONE], "end", WITH_MLFLOW),
    "three fits, two jobs, MLflow": ("run", "logistic", [TWO], "end", WITH_MLFLOW),
    "plan": ("plan", "logistic", [ONE], "end", LIBRARIES),
}


def make_place(folder):
    """Write the learners and their configuration; return the environment of the processes."""
    groups = folder / "conf" / "learner"
    groups.mkdir(parents=True)
    for name, (module, parent, parameters) in LEARNERS.items():
        (folder / f"stamped_{name}.py").write_text(MODULE.format(module=module, parent=parent))
        make = f"{{_target_: stamped_{name}.Stamped{parameters}}}"
        (groups / f"stamped_{name}.yaml").write_text(f"stamped_{name}:\n  make: {make}\n  space: {{}}\n")
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    changes = {"PYTHONPATH": path, "STAMPS": str(folder / "stamps"), "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | changes


def seconds(words, env, where, until_first_fit=False):
    """Wall seconds of a process, to its end or to the first fit."""
    stamps = Path(env["STAMPS"])
    stamps.unlink(missing_ok=True)
    begin = time.time()
    done = subprocess.run([sys.executable, *words], env=env, cwd=where, capture_output=True, text=True, check=False)
    end = time.time()
    assert done.returncode == 0, done.stderr
    return (min(map(float, stamps.read_text().split())) if until_first_fit else end) - begin


def command(case):
    """The words of a case: a study of three fits."""
    name, learner, overrides, _, _ = CASES[case]
    asked = ["name=small", "dataset=[ecoli3]", f"learner=[stamped_{learner}]", "strategy=[smote]", "protocol=smoke"]
    asked += ["strategy.smote.ratio=.5", "strategy.smote.k=5", f"allow=[stamped_{learner}]"]
    return ["-m", "imblab", name, *asked, *overrides, "--config-dir", "../conf"]


def measured(repeats=REPEATS):
    """Seconds of every import and every case, a list with a number per round."""
    imports = list(dict.fromkeys(case[-1] for case in CASES.values()))
    found = {name: [] for name in (*imports, *CASES)}
    with tempfile.TemporaryDirectory() as place:
        env = make_place(Path(place))
        for turn in range(repeats + 1):
            timed = {name: seconds(["-c", f"import {name}"], env, place) for name in imports}
            for name, (*_, until, _) in CASES.items():
                where = Path(place) / f"{turn} {name}"
                where.mkdir()
                timed[name] = seconds(command(name), env, where, until == "first fit")
            for name, value in timed.items() if turn else ():
                found[name].append(value)
    return found


def page(found):
    """The section that the README shows."""
    lines = [
        "Start-up: wall seconds of whole processes and, in the same round, of a process that imports the libraries",
        f"alone; their ratio is the median (range) over {len(found[LIBRARIES])} rounds. The study has three fits and a",
        "fresh folder, in which the MLflow database is made too.",
        "",
        "| what | s | imports | s | ratio |",
        "|---|--:|---|--:|--:|",
    ]
    for name, (*_, libraries) in CASES.items():
        ratios = [mine / bare for mine, bare in zip(found[name], found[libraries], strict=True)]
        spread = f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}) x"
        lines.append(
            f"| {name} | {median(found[name]):.1f} | {libraries} | {median(found[libraries]):.1f} | {spread} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(measured()))
