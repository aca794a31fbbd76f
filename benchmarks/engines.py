"""Dask compared with the local pool: whole commands with two workers, in turn, and their rows.

``python benchmarks/engines.py`` runs the experiment ``smote_ratio`` with one repeat, or what words behind it ask for.
In each round both engines run it once, in a fresh folder without stored predictions. Efficiency is the seconds of the
local pool over those of Dask: of the whole command, and from the first row on, which leaves out the start of a cluster
(the same seconds for a study of any length).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROUNDS = int(os.environ.get("REPEATS", "3"))
QUESTION = ("experiment=smote_ratio", "protocol.repeats=1")
COMMON = ("tracking=none", "runner.report=false", "runner.n_jobs=2")
ENGINES = {"local pool": (), "Dask": ("runner=dask",)}


def run(question, engine):
    """Seconds of one command and from its first row on, and its rows without what may differ."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "imblab", "run", *question, "name=measured", *COMMON, *ENGINES[engine]]
        ledger, begin, first = Path(folder) / "experiments" / "measured" / "ledger.jsonl", time.monotonic(), None
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None:
                if first is None and ledger.exists() and ledger.stat().st_size:
                    first = time.monotonic()
                time.sleep(0.05)
        end = time.monotonic()
        assert process.returncode == 0
        lines = ledger.read_text().splitlines()
        rows = [{k: v for k, v in json.loads(line).items() if k not in {"seconds", "fits_reused"}} for line in lines]
    return (end - begin, end - first), sorted(json.dumps(row, sort_keys=True) for row in rows)


def main():
    """Measure and print."""
    question, ratios = tuple(sys.argv[1:]) or QUESTION, []
    for _ in range(ROUNDS):
        (local, rows), (dask, others) = (run(question, engine) for engine in ENGINES)
        assert rows == others
        ratios.append([a / b for a, b in zip(local, dask, strict=True)])
        print(
            f"{len(rows)} equal rows: local pool {local[0]:.1f} s, from the first row {local[1]:.1f}; "
            f"Dask {dask[0]:.1f} s, from the first row {dask[1]:.1f}",
            flush=True,
        )
    for what, values in zip(("whole command", "from the first row"), zip(*ratios, strict=True), strict=True):
        print(f"efficiency, {what}: {median(values):.3f} ({min(values):.3f}-{max(values):.3f}) over {ROUNDS} rounds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
