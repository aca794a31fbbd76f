"""The composition root: one study, read aloud.

compose -> load -> plan the splits -> expand the design -> minus what is done -> run -> append -> compare.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
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
    rows = _carry_out(layout, home, _jobs(request.n_jobs), request.overwrite, quiet=as_json)
    steps = _next_steps(request.study.name)
    if request.tracking.get("enabled", True):
        steps = [*_logged(request, rows, home), *steps]
    _print_comparison(request.study, layout, rows, steps, as_json)
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
    if as_json:
        print(json.dumps(_compared(study, rows)))
    else:
        terminal.show(_comparison_text(study, rows, _next_steps(study.name)))
    return 0


def command_ui(port: int | None) -> int:
    """``imblab ui``: MLflow on this project's store, on loopback."""
    return tracking.serve(tracking.DEFAULT_URI, port, terminal.show)


def command_datasets(as_json: bool) -> int:
    """``imblab datasets``: what can be loaded."""
    rows = datasets.listing()
    print(json.dumps(rows)) if as_json else terminal.show(terminal.listing_text(rows))
    return 0
