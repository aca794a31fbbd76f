"""Runs as values: what one MLflow run shall hold, how long it lasts, and which evaluations a cell's run rests on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from imblab.result import Evaluation
from imblab.study import fingerprint

#: Metrics that differ between two runs of the same study, and do not belong to the content of a run.
VOLATILE_METRICS = ("seconds",)
#: Fingerprints of the evaluations of a cell, shortened, which tell whether two folders hold the same ones.
ADDRESSES_TAG, MAX_ADDRESSES = "imblab.addresses", 500
#: Follows the fingerprint of a failed evaluation: a retry with changed code has another fingerprint.
FAILED_MARK = "!"
#: Key, value and step.
Metric = tuple[str, float, int]


@dataclass(frozen=True, slots=True)
class RunSpec:
    """The intended content of one MLflow run.

    Attributes
    ----------
    key : str
        Address below the study; empty for the run of the study itself.
    name : str
        Name in MLflow's lists.
    role : {"study", "cell", "candidate", "winner", "trial"}
        Kind of run.
    parent : str or None
        Key of the run above.
    tags, params : mapping of str to str
        Tags and parameters under their names in MLflow.
    metrics : tuple of (key, value, step)
        Metrics in the order in which they are written.
    note : str
        Description in Markdown.
    data : mapping
        ``name``, ``digest``, ``source`` and ``profile`` of the data set; empty for none.
    seconds : float
        Computing time, shown as the duration of the run.
    """

    key: str
    name: str
    role: str
    parent: str | None
    tags: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    note: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def content(self) -> str:
        """Hash of everything that cannot be changed once a run is written; tags and note can."""
        metrics = [m for m in self.metrics if m[0] not in VOLATILE_METRICS]
        return fingerprint([self.name, self.role, self.params, metrics, self.data])

    def extends(self, begun: RunSpec) -> bool:
        """Whether this run holds everything of one that was begun, and perhaps more metrics."""
        same = (self.params, self.data, self.parent) == (begun.params, begun.data, begun.parent)
        return same and set(begun.metrics) <= set(self.metrics)


def run_lengths(runs: Sequence[RunSpec]) -> dict[str, int]:
    """Duration of every run in milliseconds, by key: its computing time, at least that of the runs below it.

    A run follows the one above it in ``runs``.
    """
    below: dict[str, int] = {}
    lengths: dict[str, int] = {}
    for run in reversed(runs):
        lengths[run.key] = length = max(int(1000 * run.seconds), below.get(run.key, 0))
        if run.parent is not None:
            below[run.parent] = below.get(run.parent, 0) + length
    return lengths


def run_offsets(runs: Sequence[RunSpec]) -> dict[str, int]:
    """Start of every run in milliseconds after the run above it, by key.

    Evaluations say how long they took and not when, since a study has the same ones at any time. Runs are laid out as
    if one process had done one after the other, without overlap. The first of several begins last, since MLflow shows
    the newest run on top. The remaining time of the run above is spread among them, so that runs without a length have
    an order too.
    """
    lengths = run_lengths(runs)
    siblings: dict[str, list[RunSpec]] = {}
    for run in reversed(runs):
        if run.parent is not None:
            siblings.setdefault(run.parent, []).append(run)
    offsets = {run.key: 0 for run in runs}
    for parent, members in siblings.items():
        idle = max(0, lengths.get(parent, 0) - sum(lengths[run.key] for run in members))
        elapsed = 0
        for rank, run in enumerate(members):
            offsets[run.key] = elapsed + idle * rank // len(members)
            elapsed += lengths[run.key]
    return offsets


def mlflow_name(name: str) -> str:
    """A name in the characters that MLflow accepts: letters, digits, ``_ - . / :`` and blanks."""
    return re.sub(r"[^\w\-./: ]", "_", name)


def cell_of(key: str) -> str:
    """The key of the cell that a run is, or that it belongs to."""
    return "/".join(key.split("/")[:3])


def splits_of(evaluations: Sequence[Evaluation]) -> str:
    """Hash of the outer splits that evaluations of a cell rest on."""
    return fingerprint([each.split_fingerprint for each in evaluations])


def addresses_tag(evaluations: Sequence[Evaluation]) -> str:
    """The value of :data:`ADDRESSES_TAG` for the evaluations of a cell."""
    marks = ((each, FAILED_MARK if each.status == "failed" else "") for each in evaluations[:MAX_ADDRESSES])
    return " ".join(f"{each.fingerprint[:8]}{mark}" for each, mark in marks)


def addresses_of(tags: Mapping[str, str]) -> frozenset[str]:
    """The fingerprints in the tags of a cell's run."""
    return frozenset(tags.get(ADDRESSES_TAG, "").split(" ")) - {""}


def comparable_addresses(mine: frozenset[str], theirs: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Both sets without failed evaluations that the other side lacks: there they were repeated with other code."""
    failed = [{a.removesuffix(FAILED_MARK) for a in side if a.endswith(FAILED_MARK)} for side in (mine, theirs)]
    every = [frozenset(address.removesuffix(FAILED_MARK) for address in side) for side in (mine, theirs)]
    return every[0] - (failed[0] - every[1]), every[1] - (failed[1] - every[0])
