"""The composition root: one study, read aloud.

compose -> load -> plan the splits -> expand the design -> minus what is done -> run -> append -> compare.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imblab.analysis import compare as comparing
from imblab.analysis import intervals, table
from imblab.core import design, forecast, spaces, splits
from imblab.core.evaluate import named
from imblab.edges import config, datasets, ledger, runner, terminal, tracking
from imblab.errors import ConfigError, ImblabError
from imblab.records import Cell, Dataset, Evaluation, Split, Study

if TYPE_CHECKING:
    import pandas as pd

#: Where studies live, below the current directory.
EXPERIMENTS = Path("experiments")


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A study laid out: its tables, its splits, its cells. Nothing has been fitted.

    Attributes
    ----------
    study : Study
    datasets : mapping of str to Dataset
    plans : mapping of str to tuple of Split
    cells : tuple of Cell
    """

    study: Study
    datasets: Mapping[str, Dataset]
    plans: Mapping[str, tuple[Split, ...]]
    cells: tuple[Cell, ...]

    def addresses(self) -> dict[str, str]:
        """What the row of every cell must be addressed with."""
        return {c.key: design.address(c, self.study, self.datasets[c.dataset]) for c in self.cells}

    def cautions(self) -> list[str]:
        """What a reader should know of the tables before anything runs."""
        return [
            said
            for name, data in self.datasets.items()
            for said in (*datasets.warnings(data, self.plans[name]), *splits.cautions(data, self.plans[name]))
        ]


def compose(*overrides: str, config_dirs: Sequence[str | Path] = ()) -> Study:
    """Compose a study from the configuration, as the command line does.

    Parameters
    ----------
    *overrides : str
        Such as ``"experiment=quickstart"`` and ``"strategy.smote.space.k=choice(3,5)"``.
    config_dirs : sequence of path, default=()
        Further folders with groups and experiments.

    Returns
    -------
    Study

    Raises
    ------
    ConfigError
        For whatever cannot be asked.

    Examples
    --------
    >>> compose("experiment=quickstart").primary
    'mcc'
    """
    return _request(overrides, [Path(d) for d in config_dirs]).study


def lay_out(study: Study, given: Mapping[str, Dataset] | None = None) -> Layout:
    """Load the tables, make and check the splits, expand the design.

    Parameters
    ----------
    study : Study
    given : mapping of str to Dataset, optional
        Tables that are in memory already.

    Returns
    -------
    Layout
    """
    loaded = dict(given or {})
    for key, spec in study.datasets.items():
        data = datasets.load(spec, key)
        if data.name in loaded:
            raise ConfigError(
                f"two data sets of study {study.name!r} are called {data.name!r}; names address rows and must differ. "
                f"Name one of them with dataset.{key}.name."
            )
        loaded[data.name] = data
    plans = {name: splits.plan(data, study.protocol, study.seed) for name, data in loaded.items()}
    return Layout(study, loaded, plans, design.expand(study, plans))


def evaluate(study: Study, data: Sequence[Dataset] = (), n_jobs: int = 1) -> pd.DataFrame:
    """Answer a study in memory: records in, a tidy table out, nothing written.

    Parameters
    ----------
    study : Study
    data : sequence of Dataset, default=()
        Tables beside those that ``study.datasets`` names; see :func:`imblab.dataset`.
    n_jobs : int, default=1
        Worker processes; changes no number.

    Returns
    -------
    DataFrame
        One row a cell, one column a measure.

    Examples
    --------
    >>> study = compose("name=small", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none]", "protocol=smoke")
    >>> evaluate(study).status.unique().tolist()
    ['ok']
    """
    layout = lay_out(study, {d.name: d for d in data})
    rows: list[Evaluation] = []
    runner.run(layout.datasets, runner.bundles(study, layout.plans, layout.cells), n_jobs, rows.append)
    order = {cell.key: i for i, cell in enumerate(layout.cells)}
    return table.tidy(sorted(rows, key=lambda row: order[row.key]))


def run(
    study: Study,
    n_jobs: int = 1,
    folder: str | Path | None = None,
    overwrite: bool = False,
    data: Sequence[Dataset] = (),
    tracking_uri: str | None = None,
) -> pd.DataFrame:
    """Run or resume a study in a folder.

    Parameters
    ----------
    study : Study
    n_jobs : int, default=1
    folder : path, optional
        ``experiments/<name>`` below the current directory by default.
    overwrite : bool, default=False
        Start over; the old folder is kept aside.
    data : sequence of Dataset, default=()
        Tables in memory.
    tracking_uri : str, optional
        An MLflow store; nothing is logged without it.

    Returns
    -------
    DataFrame
        One row a cell of the folder.

    Raises
    ------
    StudyError
        If the folder answers another question; what differs is named.
    """
    layout = lay_out(study, {d.name: d for d in data})
    home = Path(folder) if folder is not None else EXPERIMENTS / study.name
    rows = _carry_out(layout, home, n_jobs, overwrite, quiet=True)
    if tracking_uri:
        tracking.log(study, config.to_mapping(study), rows, home, tracking_uri)
    return table.tidy(rows)


def command_run(args: Sequence[str], config_dirs: Sequence[Path], as_json: bool) -> int:
    """``imblab run``: compose, run or resume, log, compare."""
    request = _request(args, config_dirs)
    layout = lay_out(request.study)
    home = EXPERIMENTS / request.study.name
    say: Callable[[str], None] = (lambda text: None) if as_json else terminal.show
    for note in (*request.notes, *layout.cautions()):
        say(note)
    rows = _carry_out(layout, home, _jobs(request.runner.get("n_jobs")), request.overwrite, quiet=as_json)
    steps = _next_steps(request.study.name)
    if request.tracking.get("enabled", True):
        steps = [*_logged(request, rows, home), *steps]
    _print_comparison(request.study, rows, steps, as_json)
    return 0


def command_plan(args: Sequence[str], config_dirs: Sequence[Path], as_json: bool) -> int:
    """``imblab plan``: what a study would do, before anything runs."""
    request = _request(args, config_dirs)
    layout = lay_out(request.study)
    facts = planned(layout)
    print(json.dumps(facts, indent=1)) if as_json else terminal.show(terminal.plan_text(facts))
    return 0


def command_compare(name: str, as_json: bool) -> int:
    """``imblab compare``: the table and the verdict of a study that has rows."""
    home = ledger.find(name, EXPERIMENTS)
    study = config.read(ledger.read_study(home))
    rows = ledger.read_rows(home)
    _print_comparison(study, rows, _next_steps(study.name), as_json)
    return 0


def command_ui(port: int | None) -> int:
    """``imblab ui``: MLflow on this project's store, on loopback."""
    return tracking.serve(tracking.DEFAULT_URI, port, terminal.show)


def command_datasets(as_json: bool) -> int:
    """``imblab datasets``: what can be loaded."""
    rows = datasets.listing()
    print(json.dumps(rows)) if as_json else terminal.show(terminal.listing_text(rows))
    return 0


def planned(layout: Layout) -> dict[str, Any]:
    """The design of a study as plain data: cells, fits, parts, what does not apply, how wide intervals will be.

    Parameters
    ----------
    layout : Layout

    Returns
    -------
    dict
        Fit for JSON.
    """
    study = layout.study
    found = _forecasts(layout)
    return {
        "study": study.name,
        "protocol": asdict(study.protocol) | {"thresholds": len(study.protocol.thresholds)},
        "cells": len(layout.cells),
        "fits": sum(f.fits for f in found),
        "shared": sum(f.shared for f in found),
        "datasets": [_dataset_facts(layout, name) for name in layout.datasets],
        "learners": [learner.name for learner in study.learners],
        "strategies": [_strategy_facts(study, strategy) for strategy in study.strategies],
        "inapplicable": _refusals(found),
        "half_width": _half_width(layout),
    }


def _request(args: Sequence[str], config_dirs: Sequence[Path]) -> config.Request:
    if args and args[0].endswith((".yaml", ".yml")) and "=" not in args[0]:
        return config.load(Path(args[0]), args[1:], config_dirs)
    asked = " ".join(args)
    extra = {f"keel_{n}": {"kind": "keel", "table": n} for n in datasets.keel_names()} if "keel_" in asked else {}
    extra |= {f"zenodo_{n}": {"kind": "zenodo", "table": n} for n in datasets.zenodo_names()}
    request = config.compose(args, config_dirs, extra)
    if not request.study.datasets:
        known = ", ".join(row["name"] for row in datasets.listing() if row["kind"] == "bundled")
        raise ConfigError(
            f"study {request.study.name!r} has no data set; a study needs at least one. Say dataset=[...] with one of: "
            f"{known}, or dataset=table dataset.table.path=... dataset.table.target=..."
        )
    return request


def _carry_out(layout: Layout, home: Path, n_jobs: int, overwrite: bool, quiet: bool) -> list[Evaluation]:
    """Answer what is missing and give every row of the study, in the order of the design."""
    with ledger.open_study(home, config.to_mapping(layout.study), overwrite) as book:
        book.check(layout.addresses())
        done = {row.key for row in book.rows}
        todo = [cell for cell in layout.cells if cell.key not in done]
        if not todo and not quiet:
            terminal.show(f"Study {layout.study.name!r} is finished: all {len(layout.cells)} cells are answered.")
        elif done and not quiet:
            terminal.show(f"{len(layout.cells) - len(todo)} of {len(layout.cells)} cells are answered; continuing.")
        with nullcontext() if quiet or not todo else terminal.progress(len(todo), n_jobs) as bar:

            def on_row(row: Evaluation) -> None:
                book.append(row)
                if bar is not None:
                    bar.advance(f"{row.dataset}/{row.learner}/{row.strategy}")

            runner.run(layout.datasets, runner.bundles(layout.study, layout.plans, todo), n_jobs, on_row)
        order = {cell.key: i for i, cell in enumerate(layout.cells)}
        return sorted((row for row in book.rows if row.key in order), key=lambda row: order[row.key])


def _logged(request: config.Request, rows: Sequence[Evaluation], home: Path) -> list[str]:
    """Log to MLflow; a store that does not answer never stops a study."""
    uri = str(request.tracking["uri"])
    try:
        tracking.log(request.study, config.to_mapping(request.study), rows, home, uri)
    except ImblabError as error:
        return [f"Not logged: {error}"]
    return ["Compare the runs in MLflow: imblab ui"]


def _next_steps(name: str) -> list[str]:
    home = EXPERIMENTS / name
    return [
        f"See this again: imblab compare {name}",
        f"Every row: {home / ledger.ROWS}; the question: {home / ledger.QUESTION}",
        "Change the question: imblab run experiment=... strategy.smote.space.k=... (see README.md)",
    ]


def _print_comparison(study: Study, rows: Sequence[Evaluation], steps: Sequence[str], as_json: bool) -> None:
    timed = _timed(study)
    if as_json:
        print(json.dumps(_compared(study, rows, timed)))
    else:
        terminal.show(_comparison_text(study, rows, steps, timed))


def _comparison_text(
    study: Study, rows: Sequence[Evaluation], steps: Sequence[str], timed: Collection[str] = ()
) -> str:
    frame = table.tidy(rows)
    summary = comparing.summarise(frame, study, timed)
    found = comparing.contrasts(frame, study, timed)
    return terminal.comparison(summary, found, comparing.sentences(found, study), study, steps)


def _compared(study: Study, rows: Sequence[Evaluation], timed: Collection[str] = ()) -> dict[str, Any]:
    """The comparison as plain data: NaN becomes null."""
    frame = table.tidy(rows)
    found = comparing.contrasts(frame, study, timed)
    return {
        "study": study.name,
        "primary": study.primary,
        "summary": json.loads(comparing.summarise(frame, study, timed).to_json(orient="records")),
        "contrasts": json.loads(found.to_json(orient="records")),
        "sentences": list(comparing.sentences(found, study)),
    }


def _timed(study: Study) -> set[str]:
    """The names that time-ordered data sets of a study may have."""
    timed = [(key, spec) for key, spec in study.datasets.items() if spec.get("time")]
    return {str(n) for key, spec in timed for n in (spec.get("name") or Path(str(spec.get("path") or key)).stem, key)}


def _forecasts(layout: Layout) -> list[forecast.Forecast]:
    study = layout.study
    primary = named(study.measures, study.primary)
    found = []
    for bundle in runner.bundles(study, layout.plans, layout.cells):
        data, split = layout.datasets[bundle.dataset], bundle.cells[0].split
        pairs = splits.inner(data, study.protocol, study.seed, split, bundle.splits)
        found.append(forecast.forecast(study, data, bundle.cells, pairs, primary))
    return found


def _dataset_facts(layout: Layout, name: str) -> dict[str, Any]:
    data, plan = layout.datasets[name], layout.plans[name]
    facts = datasets.describe(data)
    folds = [
        {
            "train": len(s.train),
            "train_pos": int(data.y[s.train].sum()),
            "test": len(s.test),
            "test_pos": int(data.y[s.test].sum()),
        }
        for s in plan
    ]
    said = [*datasets.warnings(data, plan), *splits.cautions(data, plan)]
    types = {"numeric": len(facts["numeric"]), "categorical": facts["categorical"], "missing": facts["missing"]}
    return {**facts, "folds": folds, "warnings": said, "columns": types}


def _strategy_facts(study: Study, strategy: Any) -> dict[str, Any]:
    sizes = []
    for learner in study.learners:
        axes = spaces.axes(strategy, learner, study.tuning.tune_learner)
        drawn = bool(axes) and study.tuning.method != "grid"
        sizes.append(study.tuning.n_trials if drawn else spaces.size(axes))
    shown = {name: axis.text() for name, axis in strategy.space.items()}
    candidates = max(size or 0 for size in sizes)
    threshold = shown.get("threshold", strategy.threshold)
    return {
        "name": strategy.name,
        "candidates": candidates,
        "axes": {**shown, **spaces.fixed(strategy)},
        "weight": shown.get("weight", strategy.weight),
        "threshold": threshold,
    }


def _refusals(found: Sequence[forecast.Forecast]) -> list[dict[str, Any]]:
    """What does not apply, one entry a cause: how many folds, of which learners."""
    causes: dict[tuple[str, str, str], list[forecast.Refusal]] = {}
    for refusal in (r for f in found for r in f.refusals):
        value = ", ".join(f"{k}={v}" for k, v in (refusal.params or {}).items()) or "any value"
        causes.setdefault((refusal.dataset, refusal.strategy, value), []).append(refusal)
    return [
        {
            "dataset": dataset,
            "strategy": strategy,
            "value": value,
            "reason": members[0].reason,
            "folds": len({(m.repeat, m.fold) for m in members}),
            "learners": sorted({m.learner for m in members}),
        }
        for (dataset, strategy, value), members in causes.items()
    ]


def _half_width(layout: Layout) -> dict[str, Any]:
    """Half the width of a 95 % interval, in standard deviations of the differences over folds."""
    found = {}
    for name, plan in layout.plans.items():
        if layout.datasets[name].time is None:
            train, test = [len(s.train) for s in plan], [len(s.test) for s in plan]
            found[name] = intervals.half_width_factor(len(plan), train, test, layout.study.claims.alpha)
    return found


def _jobs(n_jobs: int | None) -> int:
    return n_jobs or runner.cores()
