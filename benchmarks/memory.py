"""Peak memory of a study of a large table, all its processes together, as a multiple of the table (Linux).

``python benchmarks/memory.py 1000000`` makes a table of so many rows and 30 columns, asks for no resampling and for
SMOTE to 1:2 with LightGBM, three outer folds, two workers, and adds up the proportional set size (pages that processes
share count once) of every process ten times a second.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from sklearn.datasets import make_classification

QUESTION = (
    "name=large",
    "dataset=table",
    "dataset.table.path=large.parquet",
    "dataset.table.target=target",
    "learner=[lightgbm]",
    "strategy=[none,smote]",
    "strategy.smote.ratio=0.5",
    "strategy.smote.k=5",
    "strategy.smote.space={}",
    "protocol=smoke",
    "tracking=none",
    "runner.report=false",
    "runner.n_jobs=2",
)


def write(rows, path):
    """A table of 30 columns with 5 % positives; its bytes as float64."""
    X, y = make_classification(rows, 30, n_informative=12, weights=[0.95], class_sep=0.8, flip_y=0.01, random_state=0)
    pd.DataFrame(X, columns=[f"x{i}" for i in range(30)]).assign(target=y).to_parquet(path)
    return X.nbytes


def tree(pid):
    """A process and all below it."""
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += tree(int(child))
    except OSError:  # it ended meanwhile
        return found
    return found


def held(pid):
    """Bytes of a process."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def watched(command, folder):
    """Seconds of a command, and the most that its processes held together, process by process."""
    begin, peak = time.monotonic(), []
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            now = [held(pid) for pid in tree(process.pid)]
            peak = max(peak, now, key=sum)
            time.sleep(0.1)
    assert process.returncode == 0
    return time.monotonic() - begin, peak


def main():
    """Measure and print."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        size = write(rows, Path(folder) / "large.parquet")
        command = [sys.executable, "-m", "imblab", "run", *QUESTION]
        seconds, peak = watched(command, folder)
    parts = " + ".join(f"{one / 2**20:.0f}" for one in peak)
    print(
        f"{rows} rows, {size / 2**20:.0f} MB: peak {sum(peak) / 2**20:.0f} MB ({parts}), {sum(peak) / size:.1f} tables"
    )
    print(f"{seconds:.0f} s on {os.cpu_count()} cores")
    return 0


if __name__ == "__main__":
    sys.exit(main())
