"""Dask compared with the local pool: whole commands with two workers, in turn, and their rows.

``python benchmarks/engines.py`` runs the experiment ``smote_ratio`` with one repeat, or what words behind it ask for.
In each round both engines run it once, in a fresh folder without stored predictions; their start is included.
Efficiency is the seconds of the local pool over those of Dask.
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
    """Seconds of one command, and its rows without what may differ."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "imblab", "run", *question, "name=measured", *COMMON, *ENGINES[engine]]
        begin = time.monotonic()
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        seconds = time.monotonic() - begin
        lines = (Path(folder) / "experiments" / "measured" / "ledger.jsonl").read_text().splitlines()
        rows = [{k: v for k, v in json.loads(line).items() if k not in {"seconds", "fits_reused"}} for line in lines]
    return seconds, sorted(json.dumps(row, sort_keys=True) for row in rows)


def main():
    """Measure and print."""
    question, ratios = tuple(sys.argv[1:]) or QUESTION, []
    for _ in range(ROUNDS):
        taken = {engine: run(question, engine) for engine in ENGINES}
        (local, rows), (dask, others) = taken.values()
        assert rows == others
        ratios.append(local / dask)
        print(f"{len(rows)} equal rows: local pool {local:.1f} s, Dask {dask:.1f} s", flush=True)
    print(f"efficiency {median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f}) over {ROUNDS} rounds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
