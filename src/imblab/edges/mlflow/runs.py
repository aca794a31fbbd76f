"""What MLflow shall show of a study, as values: nothing here knows MLflow."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from imblab.analysis import compare, rebalancing, wording
from imblab.analysis.completeness import completeness_of, within_design
from imblab.analysis.results import score_arrays
from imblab.edges.mlflow import cell_runs, search_runs
from imblab.edges.palette import BASELINE_SLOTS, STRATEGY_COLOURS, colour_slots
from imblab.result import Completeness, Evaluation
from imblab.study import Study, fingerprint

#: What differs from one writing to the next though the rows are the same: left out of a run's content.
VOLATILE_METRICS = ("seconds",)
#: The tag by which MLflow colours a run in its tables and charts.
COLOUR_TAG = "mlflow.runColor"
#: The tag with the addresses of the rows of a cell, shortened: it tells whether two folders answered the same there.
ADDRESSES_TAG, MAX_ADDRESSES = "imblab.addresses", 500
#: Behind the address of a failed row: it may be tried again, with code that gives it another address.
FAILED_MARK = "!"
Family = tuple[str, str]
Rows = list[Evaluation]


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What one run shall hold.

    Attributes
    ----------
    key : str
        Its address below the study, empty for the run of the study itself.
    name : str
        As people read it.
    role : {"study", "cell", "candidate", "winner", "trial"}
    parent : str or None
        The key of the run above.
    tags, params : mapping of str to str
    metrics : tuple of (key, value, step)
    note : str
        Markdown.
    data : mapping
        ``name``, ``digest``, ``source`` and ``profile`` of the data set it used; empty for none.
    seconds : float
        What the work behind it took; MLflow shows it as the duration.
    """

    key: str
    name: str
    role: str
    parent: str | None
    tags: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[tuple[str, float, int], ...] = ()
    note: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def content(self) -> str:
        """The address of what cannot be changed in a run once it is written; tags and note can."""
        metrics = [m for m in self.metrics if m[0] not in VOLATILE_METRICS]
        return fingerprint([self.name, self.role, self.params, metrics, self.data])


@dataclass(frozen=True, slots=True, eq=False)
class RunDetails:
    """What is known of a study beside its question and its rows.

    Attributes
    ----------
    evidence : DataFrame or None
        As :mod:`imblab.analysis.evidence` builds it: threshold curves and calibration.
    inner : mapping of str to sequence of mapping
        By the key of a row, one mapping a trial: ``mcc``, ``pr_auc``, ``recall`` on the inner folds.
    origin : mapping of str to str
        Tags that say what the rows were made with.
    timed : collection of str
        The data sets whose folds follow the time.
    specs : mapping of str to mapping
        How each data set was asked for, by its name.
    search : {"candidates", "winners", "trials", "none"}
        Which runs stand below those of the cells.
    judged : bool
        Whether the verdicts are part of the notes: not while a study runs.
    """

    evidence: pd.DataFrame | None = None
    inner: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    timed: Collection[str] = ()
    specs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    search: str = "candidates"
    judged: bool = True


def describe_runs(
    study: Study, rows: Sequence[Evaluation], mapping: Mapping[str, Any], extras: RunDetails | None = None
) -> list[RunSpec]:
    """The runs of a study, as values; a run stands after the one above it.

    Parameters
    ----------
    study : Study
    rows : sequence of Evaluation
    mapping : mapping
        The resolved question.
    extras : Extras, optional

    Returns
    -------
    list of Run
        One for the study; below it one a data set, learner and strategy; below each its search. ``docs/mlflow.md``
        explains every name. Undefined values are left out. There is no verdict before the design is complete: until
        then notes begin with how many of its evaluations are there, and what is missing.
    """
    extras = extras or RunDetails()
    commit = extras.origin.get("git.commit")
    origin = {**extras.origin, **({"mlflow.source.git.commit": commit} if commit else {})}
    families = _families(study, rows, list(extras.specs))
    tables = list(extras.specs) or list(dict.fromkeys(row.dataset for row in rows))
    whole = completeness_of(study, tables, rows)
    verdicts, lead = _told(study, within_design(study, tables, rows), whole, extras)
    shared = {"imblab.study": study.name, "imblab.config": fingerprint(mapping), "imblab.primary": study.primary}
    shared["imblab.complete"] = str(extras.judged and bool(rows) and whole.is_complete).lower()
    counts = {"imblab.evaluations": f"{whole.evaluated if extras.judged else 'running'} of {whole.asked}"}
    runs = [_study_run(study, rows, {**shared, **counts, **origin}, [*lead, *verdicts.values()])]
    for (dataset, learner), arms in families.items():
        shown = cell_runs.curve_metrics(extras.evidence, dataset, learner)
        for strategy, members in arms.items():
            cell = _cell_run(study, arms, strategy, {**shared, **origin}, extras, shown.get(strategy, ()))
            verdict = verdicts.get((dataset, learner), " ".join(lead))
            cell = replace(cell, note=cell_runs.cell_note(study, members, verdict, first=not whole.is_complete))
            runs += [cell, *_below(cell, study, members, extras)]
    return runs


def _families(study: Study, rows: Sequence[Evaluation], tables: Sequence[str]) -> dict[Family, dict[str, Rows]]:
    """The rows by data set and learner, then by strategy, in the order of the study."""
    ranks = [_rank(names) for names in (tables, [x.name for x in study.learners], [s.name for s in study.strategies])]

    def place(row: Evaluation) -> tuple[Any, ...]:
        named = zip(ranks, (row.dataset, row.learner, row.strategy), strict=True)
        return (*((rank.get(name, len(rank)), name) for rank, name in named), row.repeat, row.fold)

    found: dict[Family, dict[str, Rows]] = {}
    for row in sorted(rows, key=place):
        found.setdefault((row.dataset, row.learner), {}).setdefault(row.strategy, []).append(row)
    return found


def _rank(names: Sequence[str]) -> dict[str, int]:
    return {name: i for i, name in enumerate(names)}


def splits_of(members: Sequence[Evaluation]) -> str:
    """The address of the outer splits that some rows of a cell rest on."""
    return fingerprint([row.split_fingerprint for row in members])


def _told(
    study: Study, rows: Sequence[Evaluation], whole: Completeness, extras: RunDetails
) -> tuple[dict[Family, str], list[str]]:
    """The verdicts by family, and what is said before them."""
    if not extras.judged:
        return {}, [f"Running: no verdict before all {whole.asked:,} evaluations of the design are there."]
    if not whole.is_complete:
        return {}, list(whole.sentences())
    return verdict_sentences(study, rows, extras.timed), [
        *whole.sentences(),
        *map("{}.".format, rebalancing.notes(study).values()),
    ]


def verdict_sentences(study: Study, rows: Sequence[Evaluation], timed: Collection[str] = ()) -> dict[Family, str]:
    """What the evidence allows one to say, a sentence a data set and learner.

    Parameters
    ----------
    study : Study
    rows : sequence of Evaluation
    timed : collection of str, default=()

    Returns
    -------
    dict
    """
    named = replace(study, datasets={**study.datasets, **{name: {"time": True} for name in timed}})
    found = compare.contrasts(score_arrays(named, rows), named)
    families = [tuple(pair) for pair in found[["dataset", "learner"]].drop_duplicates().to_numpy().tolist()]
    return dict(zip(families, wording.describe_contrasts(found, study), strict=False)) if families else {}


def _study_run(study: Study, rows: Sequence[Evaluation], shared: Mapping[str, str], verdicts: Sequence[str]) -> RunSpec:
    protocol = study.protocol
    tags = {
        **shared,
        "imblab.seed": str(study.seed),
        "imblab.protocol": f"{protocol.repeats} x {protocol.outer_folds} outer, {protocol.inner_folds} inner folds",
        "imblab.search": study.tuning.method,
    }
    note = "\n".join(
        [f"**{study.name}**: {study.primary} by nested cross-validation", "", *(f"- {v}" for v in verdicts)]
    )
    seconds = sum(row.seconds for row in rows)
    return RunSpec("", study.name, "study", None, tags, {}, tuple(cell_runs.cost_metrics(rows)), note, seconds=seconds)


def _address(row: Evaluation) -> str:
    return row.fingerprint[:8] + (FAILED_MARK if row.status == "failed" else "")


def _cell_run(
    study: Study,
    arms: Mapping[str, Sequence[Evaluation]],
    strategy: str,
    shared: Mapping[str, str],
    extras: RunDetails,
    shown: Sequence[tuple[str, float, int]],
) -> RunSpec:
    members = arms[strategy]
    first = members[0]
    key = f"{first.dataset}/{first.learner}/{strategy}"
    tags = {
        **shared,
        **search_runs.coordinate_tags(first),
        "imblab.data_fingerprint": first.data_fingerprint,
        "imblab.split_fingerprint": splits_of(members),
        ADDRESSES_TAG: " ".join(_address(row) for row in members[:MAX_ADDRESSES]),
        **({"imblab.rebalances": shifted} if (shifted := rebalancing.note(study, first.learner)) else {}),
        "imblab.rows": fingerprint([_content(row) for row in members]),
        COLOUR_TAG: run_colour(study, strategy),
    }
    scores = cell_runs.cell_metrics(study, arms, strategy, first.dataset in extras.timed)
    data = cell_runs.dataset_input(members, extras.specs.get(first.dataset, {}))
    seconds = sum(row.seconds for row in members)
    metrics = (*scores, *cell_runs.cost_metrics(members), *shown)
    # Lists and legends cut long names: what differs stands first.
    name = f"{strategy} ({first.dataset}, {first.learner})"
    return RunSpec(key, name, "cell", "", tags, cell_runs.cell_params(study, members), metrics, "", data, seconds)


def _below(cell: RunSpec, study: Study, members: Sequence[Evaluation], extras: RunDetails) -> list[RunSpec]:
    found = search_runs.describe_search(study, members, extras.inner, extras.search)
    kept = ("imblab.study", "imblab.dataset", "imblab.learner", "imblab.strategy", COLOUR_TAG)
    shared = {name: cell.tags[name] for name in kept}
    # No candidate chooses it, yet its scores are those after it.
    fixed = {name: cell.params[name] for name in ("calibration",) if name in cell.params}
    return [
        RunSpec(
            f"{cell.key}/{s.address}",
            s.name,
            s.role,
            cell.key,
            {**shared, **s.tags},
            {**s.params, **fixed},
            s.metrics,
            seconds=s.seconds,
        )
        for s in found
    ]


def _content(row: Evaluation) -> dict[str, Any]:
    """What a row says, but for what differs from run to run."""
    content: dict[str, Any] = json.loads(row.to_json())
    return {key: value for key, value in content.items() if key != "seconds"}


def run_colour(study: Study, strategy: str) -> str:
    """The colour of a strategy's runs: the one that it has in the report."""
    slots = colour_slots([item.name for item in study.strategies])
    return STRATEGY_COLOURS[slots.get(strategy, (len(BASELINE_SLOTS), 0))[0]][0]


def run_lengths(runs: Sequence[RunSpec]) -> dict[str, int]:
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


def run_offsets(runs: Sequence[RunSpec]) -> dict[str, int]:
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
    long = run_lengths(runs)
    members: dict[str, list[RunSpec]] = {}
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


def addresses_of(tags: Mapping[str, str]) -> frozenset[str]:
    """The addresses of the rows of a cell, as far as its tag has room for them."""
    return frozenset(tags.get(ADDRESSES_TAG, "").split(" ")) - {""}


def comparable_addresses(mine: frozenset[str], theirs: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Both without failed rows that the other side does not know: there they were tried again, with other code."""
    known = [frozenset(address.removesuffix(FAILED_MARK) for address in side) for side in (mine, theirs)]
    lost = [frozenset(a.removesuffix(FAILED_MARK) for a in side if a.endswith(FAILED_MARK)) for side in (mine, theirs)]
    return known[0] - (lost[0] - known[1]), known[1] - (lost[1] - known[0])
