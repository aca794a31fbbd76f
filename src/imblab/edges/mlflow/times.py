"""When runs began and ended: as long as their evaluations took, each within the run above it.

A row says how many seconds it took and not when, since the same study has the same rows at any time. Runs are laid out
as if one process had done one after the other: the study begins, its cells follow without a gap, the last one of the
study's order first, because MLflow's pages show the newest run on top.
"""

from __future__ import annotations

from collections.abc import Sequence

from imblab.edges.mlflow.values import Run


def lengths(runs: Sequence[Run]) -> dict[str, int]:
    """How long every run lasts.

    Parameters
    ----------
    runs : sequence of Run
        A run stands after the one above it.

    Returns
    -------
    dict of str to int
        Milliseconds by key: those of its rows, and at least those of the runs below it.
    """
    below: dict[str, int] = {}
    found: dict[str, int] = {}
    for run in reversed(runs):
        found[run.key] = length = max(int(1000 * run.seconds), below.get(run.key, 0))
        if run.parent is not None:
            below[run.parent] = below.get(run.parent, 0) + length
    return found


def offsets(runs: Sequence[Run]) -> dict[str, int]:
    """How long after the run above it every run begins.

    Parameters
    ----------
    runs : sequence of Run

    Returns
    -------
    dict of str to int
        Milliseconds by key. Runs below one run do not overlap, and the first of them begins last; what is left of the
        run above is spread among them, so that runs without a length have an order too.
    """
    long = lengths(runs)
    members: dict[str, list[Run]] = {}
    for run in reversed(runs):
        if run.parent is not None:
            members.setdefault(run.parent, []).append(run)
    found = {run.key: 0 for run in runs}
    for parent, family in members.items():
        spare = max(0, long.get(parent, 0) - sum(long[run.key] for run in family))
        begun = 0
        for rank, run in enumerate(family):
            found[run.key] = begun + spare * rank // len(family)
            begun += long[run.key]
    return found
