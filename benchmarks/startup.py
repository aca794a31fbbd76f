"""Start-up: whole processes of ``imblab run``, compared with bare imports of the libraries that a study needs.

``python benchmarks/startup.py`` takes some minutes. In every round each import and each command runs once in a process
of its own; a ratio is taken within a round, so that other work on the machine changes both of its seconds. The first fit
is the time from the start of the process until ``fit`` is entered, wherever that happens. Processes write their
bytecode, as installed ones do, and a first round that is not counted fills it and the caches of the disk.
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
#: Learners that write down when the first of their fits begins.
MODULE = """
import os, time
from {module} import {parent}


class Stamped(Stamp, {parent}):
    pass
"""
STAMP = """
class Stamp:
    def fit(self, X, y, sample_weight=None):
        with open(os.environ["STAMPS"], "a") as file:
            file.write(f"{time.time()}\\n")
        return super().fit(X, y, sample_weight)


"""
LEARNERS = {
    "logistic": ("sklearn.linear_model", "LogisticRegression", "{}"),
    "lightgbm": ("lightgbm", "LGBMClassifier", "{n_jobs: 1, verbosity: -1}"),
}
ONE, TWO = "runner.n_jobs=1", "runner.n_jobs=2"
#: What is measured: the command, the learner, overrides, what is timed, the libraries whose import it is divided by.
CASES = {
    "first fit, one job": ("run", "logistic", [ONE, "tracking=none"], "first fit", LIBRARIES),
    "first fit, two jobs": ("run", "logistic", [TWO, "tracking=none"], "first fit", LIBRARIES),
    "first fit, one job, LightGBM": ("run", "lightgbm", [ONE, "tracking=none"], "first fit", f"{LIBRARIES}, lightgbm"),
    "first fit, two jobs, LightGBM": ("run", "lightgbm", [TWO, "tracking=none"], "first fit", f"{LIBRARIES}, lightgbm"),
    "first fit, two jobs, MLflow": ("run", "logistic", [TWO], "first fit", LIBRARIES),
    "three fits, one job": ("run", "logistic", [ONE, "tracking=none"], "end", LIBRARIES),
    "three fits, two jobs": ("run", "logistic", [TWO, "tracking=none"], "end", LIBRARIES),
    "three fits, one job, MLflow": ("run", "logistic", [ONE], "end", f"{LIBRARIES}, mlflow"),
    "three fits, two jobs, MLflow": ("run", "logistic", [TWO], "end", f"{LIBRARIES}, mlflow"),
    "plan": ("plan", "logistic", [ONE], "end", LIBRARIES),
}


def make_place(folder):
    """Write the learners and their configuration; return the environment of the processes."""
    groups = folder / "conf" / "learner"
    groups.mkdir(parents=True)
    for name, (module, parent, parameters) in LEARNERS.items():
        text = MODULE.format(module=module, parent=parent).replace("\n\n\nclass", f"\n\n{STAMP}class")
        (folder / f"stamped_{name}.py").write_text(text)
        make = f"{{_target_: stamped_{name}.Stamped, {parameters.strip('{}')}}}"
        (groups / f"{name}_stamped.yaml").write_text(f"{name}_stamped:\n  make: {make}\n  space: {{}}\n")
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
    """The words of a case; a study of three fits."""
    name, learner, overrides, _, _ = CASES[case]
    asked = ["name=small", "dataset=[ecoli3]", f"learner=[{learner}_stamped]", "strategy=[smote]", "protocol=smoke"]
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
        "Start-up: wall seconds of whole processes, and their ratio to importing the libraries in a process of its own,",
        f"median (range) over {len(found[LIBRARIES])} rounds. The study has three fits in a fresh folder; with MLflow its",
        "database is made too.",
        "",
        "| what | s | imports | s | ratio |",
        "|---|--:|---|--:|--:|",
    ]
    for name, (*_, libraries) in CASES.items():
        ratios = [mine / bare for mine, bare in zip(found[name], found[libraries], strict=True)]
        spread = f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        times = f"{median(found[name]):.1f} | {libraries} | {median(found[libraries]):.1f}"
        lines.append(f"| {name} | {times} | {spread} x |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(measured()))
