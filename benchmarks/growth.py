"""Growth of the cost of a study with rows, strategies, data sets, repeats, workers and evaluations, with slopes.

``python benchmarks/growth.py`` writes ``growth.json`` and ``growth.md``, in about ten minutes on two cores; names of
axes behind it measure those alone. Each point is a study in a process of its own, which has imported everything and
started its workers. Seconds, of the clock and of processors, are those from the call to the result: tables are read,
fits made, evidence and ledger written. Memory is the most that its processes held, above what they held before. The
evaluations are rows of the committed study ``resample_or_not`` under further names of data sets, and the commands are
those of the command line.
"""

# ruff: noqa: E402 (the number of threads is read when numpy is imported)

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np
import yaml

from memory import tree, write

HERE = Path(__file__).parent
STUDY = HERE.parent / "experiments" / "resample_or_not"
#: Overrides of every study, and strategies in the order in which a longer list takes them.
BASE = ["tracking=none", "runner.report=false", "runner.n_jobs=1"]
STRATEGIES = ["none", "threshold", "class_weight", "smote", "weight_threshold", "random_over", "random_under"]
STRATEGIES += ["smote_threshold", "smote_weight_threshold", "borderline_smote", "adasyn", "smote_prior"]
STRATEGIES += ["svm_smote", "smote_tomek", "smote_enn", "near_miss"]
TABLES = ["ecoli3", "yeast4", "yeast6", "abalone9_18"]
SAMPLE_SECONDS = 0.1


def rows_case(learner, n):
    """A table of n rows and 30 columns, not resampled and with SMOTE to 1:2, in three folds."""
    overrides = ["dataset=table", "dataset.table.path=large.parquet", "dataset.table.target=target", "protocol=smoke"]
    overrides += ["strategy=[none,smote]", "strategy.smote.ratio=0.5", "strategy.smote.k=5", "strategy.smote.space={}"]
    return {"rows": n, "overrides": [f"learner=[{learner}]", *overrides]}


def small_case(strategies=STRATEGIES[:4], tables=1, repeats=1, learner="logistic", jobs=1):
    """Bundled tables of a few hundred to some thousand rows, in five folds with three inner ones."""
    overrides = [f"learner=[{learner}]", f"strategy=[{','.join(strategies)}]", "protocol=nested_5x3"]
    overrides += [f"protocol.repeats={repeats}", f"runner.n_jobs={jobs}"]
    return {"tables": tables, "overrides": overrides}


def candidates_case(n):
    """SMOTE with n candidates: eight ratios, and as many k as needed."""
    ratios, ks = [round(0.2 + 0.1 * i, 1) for i in range(8)], range(2, 2 + n // 8)
    case = small_case(["smote"])
    case["overrides"] += [
        f"strategy.smote.space.{k}=choice({','.join(map(str, v))})" for k, v in (("ratio", ratios), ("k", ks))
    ]
    return case


#: Points by axis: the number on the axis and its study.
AXES = {
    "rows, logistic": [(n, rows_case("logistic", n)) for n in (1_000, 10_000, 100_000, 1_000_000)],
    "rows, lightgbm": [(n, rows_case("lightgbm", n)) for n in (1_000, 10_000, 100_000, 1_000_000)],
    "candidates": [(n, candidates_case(n)) for n in (8, 16, 32, 64)],
    "strategies": [(n, small_case(STRATEGIES[:n])) for n in (2, 4, 8, 16)],
    "data sets": [(n, small_case(tables=n)) for n in (1, 2, 4, 8, 16)],
    "repeats": [(n, small_case(repeats=n)) for n in (1, 2, 4, 8, 16)],
    "workers": [(n, small_case(repeats=4, learner="lightgbm", jobs=n)) for n in (1, 2)],
}
COMMANDS = {
    "plan": ["plan", "experiments/big/study.yaml"],
    "compare": ["compare", "big"],
    "report": ["report", "big"],
    "resume": ["run", "experiments/big/study.yaml", *BASE],
    "sync": ["sync", "big"],
}
EVALUATIONS = (1_000, 10_000, 100_000)


class Watch(threading.Thread):
    """The most memory and the CPU seconds of each process of a tree."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.begin, self.latest, self.ended = pid, {}, {}, threading.Event()

    def mark(self):
        """Begin here: forget the peaks so far."""
        for pid in tree(self.pid):
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        self.look()
        self.begin, self.latest = self.latest, {}

    def run(self):
        """Look until it is told to stop; the kernel keeps peak and time between two looks."""
        while not self.ended.wait(SAMPLE_SECONDS):
            self.look()

    def look(self):
        """Read the facts of every process that there is."""
        for pid in tree(self.pid):
            # A process that has ended and waits for its parent has no memory any more.
            if (now := usage(pid)) is not None:
                self.latest[pid] = tuple(np.maximum(now, self.latest.get(pid, (0, 0))))

    def grown(self):
        """Bytes and CPU seconds beyond those of the mark, all processes together."""
        changes = [np.subtract(now, self.begin.get(pid, (0, 0))) for pid, now in self.latest.items()]
        return [float(total) for total in np.sum(changes, axis=0)]


def usage(pid):
    """Peak bytes and CPU seconds of a process; None once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    peak = next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
    return peak, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def point(case, folder):
    """Seconds and memory of one study."""
    if "rows" in case:
        write(case["rows"], Path(folder) / "large.parquet")
    command = [sys.executable, str(Path(__file__).resolve()), "--study", json.dumps(case)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, **pipes) as process:
        watch = Watch(process.pid)
        assert process.stdout.readline() == "ready\n"
        watch.mark()
        watch.start()
        process.stdin.write("go\n")
        process.stdin.flush()
        seconds, cells = json.loads(process.stdout.readline())
        watch.ended.set()
        watch.join()
        watch.look()
        process.stdin.close()
    assert process.returncode == 0
    peak, cpu = watch.grown()
    return {"seconds": seconds, "cpu": cpu, "bytes": peak, "evaluations": cells}


def run_study(case):
    """In a process of its own: import, start the workers, wait for the word, run the study."""
    import imblab
    from imblab.commands import python_runs

    study, data = composed(case, "measured"), tables(case.get("tables", 0))
    jobs = next((int(o.rpartition("=")[2]) for o in case["overrides"] if o.startswith("runner.n_jobs=")), 1)
    learner = study.learners[0].name
    warm = imblab.compose("name=warm", "dataset=[ecoli3]", f"learner=[{learner}]", "strategy=[smote]", "protocol=smoke")
    python_runs.run_in_folder(warm, jobs)
    print("ready", flush=True)
    sys.stdin.readline()
    begin = time.perf_counter()
    frame = python_runs.run_in_folder(study, jobs, data=data).to_frame()
    print(json.dumps([time.perf_counter() - begin, len(frame)]), flush=True)
    assert (frame.status == "ok").all()
    sys.stdin.readline()


def composed(case, name):
    """The study of a case; tables in memory are given when it is run."""
    import imblab

    overrides = [o for o in case["overrides"] if not o.startswith("runner.")]
    return imblab.compose(f"name={name}", *overrides, *(["dataset=[]"] if "tables" in case else []))


def tables(n):
    """Bundled tables one after the other, under names of their own; a repeated one lacks some rows: fits of equal
    tables are shared."""
    import pandas as pd

    import imblab

    folder = HERE.parent / "src" / "imblab" / "data"
    frames = [pd.read_parquet(folder / f"{name}.parquet") for name in TABLES]
    return [
        imblab.dataset(frames[i % len(TABLES)].iloc[i // len(TABLES) :], "target", name=f"table{i}") for i in range(n)
    ]


def write_large_study(evaluations, folder):
    """A committed study under further names of data sets, until it has so many evaluations."""
    from imblab.analysis import evidence as evidences
    from imblab.edges import evidence

    home = Path(folder) / "experiments" / "big"
    home.mkdir(parents=True)
    rows = [json.loads(line) for line in (STUDY / "ledger.jsonl").read_text().splitlines()]
    question = yaml.safe_load((STUDY / "study.yaml").read_text())
    names = list(question["dataset"])
    n_names = -(-evaluations * len(names) // len(rows))
    renamed = [(names[i % len(names)], f"{names[i % len(names)]}_{i // len(names)}") for i in range(n_names)]
    specs = {new: {**question["dataset"][old], "table": old, "parent": new} for old, new in renamed}
    (home / "study.yaml").write_text(yaml.safe_dump({**question, "name": "big", "dataset": specs}, sort_keys=False))
    with (home / "ledger.jsonl").open("w") as stream:
        for old, new in renamed:
            stream.writelines(f"{json.dumps({**row, 'dataset': new})}\n" for row in rows if row["dataset"] == old)
    (home / "searches.jsonl").write_bytes((STUDY / "searches.jsonl").read_bytes())
    frame, facts = evidence.load_evidence(STUDY / "evidence.parquet"), evidence.load_facts(STUDY / "evidence.parquet")
    parts = [frame[frame.dataset == old].assign(dataset=new) for old, new in renamed]
    facts = {**facts, "tables": {new: facts["tables"][old] for old, new in renamed}}
    merged = evidences.merge_frames(evidences.empty_frame(), *parts)
    evidence.write_evidence(home / "evidence.parquet", merged, facts)
    fits = sum(row["seconds"] for old, _ in renamed for row in rows if row["dataset"] == old)
    return sum(row["dataset"] == old for old, _ in renamed for row in rows), fits


def command_points(evaluations):
    """Seconds and memory of each command on a study of so many evaluations, and the bytes of its ledger."""
    with tempfile.TemporaryDirectory() as folder:
        n, fits = write_large_study(evaluations, folder)
        ledger_bytes = (Path(folder) / "experiments/big/ledger.jsonl").stat().st_size
        for name, args in COMMANDS.items():
            begin = time.perf_counter()
            with subprocess.Popen(
                [sys.executable, "-m", "imblab", *args], cwd=folder, stdout=subprocess.DEVNULL
            ) as run:
                watch = Watch(run.pid)
                watch.start()
                run.wait()
                watch.ended.set()
            assert run.returncode == 0, name
            (peak, cpu), seconds = watch.grown(), time.perf_counter() - begin
            row = {"axis": name, "n": n, "seconds": seconds, "cpu": cpu, "bytes": peak}
            yield {**row, "fits": fits, "ledger": ledger_bytes}


def slope(rows, field):
    """Slope of the logarithm of a field over that of n, by least squares, and between the last two points."""
    n, values = np.log([row["n"] for row in rows]), np.log([max(row[field], 1e-9) for row in rows])
    return float(np.polyfit(n, values, 1)[0]), float((values[-1] - values[-2]) / (n[-1] - n[-2]))


def page(rows):
    """The page of figures and slopes."""
    lines = [
        "# Growth",
        "",
        f"`python benchmarks/growth.py`, {os.cpu_count()} cores, one thread per fit. Each point is one study in a",
        "process of its own. Seconds and CPU seconds run from the call to the result, without imports and the start of",
        "workers; memory is the most that its processes hold above what they held before. A slope is that of the",
        "logarithms, over all points and between the last two: 1 is growth in proportion.",
        "",
        *table_head("axis", "n"),
    ]
    for axis in dict.fromkeys(row["axis"] for row in rows if "fits" not in row):
        lines += table_lines(axis, [row for row in rows if row["axis"] == axis])
    of_commands = [row for row in rows if "fits" in row]
    if of_commands:
        largest = max(of_commands, key=lambda row: row["n"])
        lines += [
            "",
            f"Commands on recorded studies of up to {largest['n']:,} evaluations: the rows of `resample_or_not` under",
            f"further names of data sets. The fits of the largest took {largest['fits']:,.0f} s on one core, and its",
            f"ledger has {largest['ledger'] / 1e6:.0f} MB. Seconds and memory are those of the command from its start.",
            "",
            *table_head("command", "evaluations"),
        ]
        for name in dict.fromkeys(row["axis"] for row in of_commands):
            lines += table_lines(name, [row for row in of_commands if row["axis"] == name])
    return "\n".join(lines) + "\n"


def table_head(axis, n):
    """The first two lines of a table."""
    return [f"| {axis} | {n} | s | CPU s | MB | slope of CPU s | slope of MB |", "|---|--:|--:|--:|--:|--:|--:|"]


def table_lines(axis, rows):
    """One line per point; the slopes stand in the last one."""
    lines = []
    for row in rows:
        slopes = " | "
        if row is rows[-1] and len(rows) > 1:
            slopes = " | ".join(
                "{:.2f}, {:.2f}".format(*slope(rows, field)) if all(row[field] for row in rows) else "-"
                for field in ("cpu", "bytes")
            )
        memory = f"{row['bytes'] / 2**20:.0f}" if row["bytes"] else "-"  # of a process that was seen at its end alone
        figures = f"{row['seconds']:.2f} | {row['cpu']:.2f} | {memory}"
        lines.append(f"| {axis} | {row['n']:,} | {figures} | {slopes} |")
    return lines


def main():
    """Measure, write the figures and the page."""
    if sys.argv[1:2] == ["--study"]:
        run_study(json.loads(sys.argv[2]))
        return 0
    chosen, path = sys.argv[1:], HERE / "growth.json"
    rows = json.loads(path.read_text()) if chosen and path.exists() else []
    rows = [row for row in rows if row["axis"] not in chosen and not (row.get("fits") and "evaluations" in chosen)]
    for axis, cases in AXES.items():
        for n, case in cases if not chosen or axis in chosen else ():
            with tempfile.TemporaryDirectory() as folder:
                rows.append({"axis": axis, "n": n, **point(case, folder)})
            print(json.dumps(rows[-1]), flush=True)
    for n in EVALUATIONS if not chosen or "evaluations" in chosen else ():
        for row in command_points(n):
            rows.append(row)
            print(json.dumps(row), flush=True)
    path.write_text(json.dumps(rows, indent=1) + "\n")
    (HERE / "growth.md").write_text(page(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
