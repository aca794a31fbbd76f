"""The composition root: one study, read aloud.

compose -> load -> plan the splits -> expand the design -> minus what is done -> run -> append -> compare.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imblab.analysis import compare as comparing
from imblab.analysis import table
from imblab.core import targets
from imblab.edges import config, datasets, ledger, runner, store, terminal, tracking
from imblab.errors import FitError, ImblabError
from imblab.layout import Layout, lay_out
from imblab.planning import planned
from imblab.records import Dataset, Evaluation, Study

if TYPE_CHECKING:
    import pandas as pd

#: Where studies live, below the current directory.
EXPERIMENTS = Path("experiments")


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
    runner.run(layout.datasets, runner.bundles(study, layout.plans, layout.cells), runner.Engine(n_jobs), rows.append)
    order = {cell.key: i for i, cell in enumerate(layout.cells)}
    return table.tidy(sorted(rows, key=lambda row: order[row.key]))


def run(
    study: Study,
    n_jobs: int = 1,
    folder: str | Path | None = None,
    overwrite: bool = False,
    data: Sequence[Dataset] = (),
    tracking_uri: str | None = None,
    store_path: str | Path | None = store.DEFAULT,
    fit_timeout: float | None = None,
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
    store_path : path or None
        Where answers of fits are kept for the next study; ``mlruns/predictions.sqlite`` below the current directory by
        default, nowhere if None.
    fit_timeout : float, optional
        Seconds a fit may take; a fit that takes longer is a failed candidate.

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
    engine = runner.Engine(n_jobs, _opener(store_path), fit_timeout)
    rows = _carry_out(layout, home, engine, overwrite)
    if tracking_uri:
        _log(home, tracking_uri, _packages(study))
    return table.tidy(rows)


def command_run(args: Sequence[str], config_dirs: Sequence[Path], as_json: bool) -> int:
    """``imblab run``: compose, run or resume, log, compare."""
    request = _request(args, config_dirs)
    layout = lay_out(request.study)
    home = EXPERIMENTS / request.study.name
    say: Callable[[str], None] = (lambda text: None) if as_json else terminal.say
    for note in (*request.notes, *(said for name in layout.datasets for said in layout.cautions(name))):
        say(note)
    rows = _carry_out(layout, home, _engine(request), request.overwrite, None if as_json else say, _stops(request))
    steps = _next_steps(request.study.name)
    if request.tracking.get("enabled", True):
        steps = [_logged(home, str(request.tracking["uri"]), request.allow), *steps]
    _print_comparison(request.study, rows, steps, as_json)
    return 0


def command_plan(args: Sequence[str], config_dirs: Sequence[Path], as_json: bool) -> int:
    """``imblab plan``: what a study would do, before anything runs."""
    request = _request(args, config_dirs)
    layout = lay_out(request.study)
    facts = planned(layout, _known_engine(request), request.minutes)
    print(json.dumps(facts, indent=1)) if as_json else terminal.show(terminal.plan_text(facts))
    return 0


def command_compare(name: str, args: Sequence[str], as_json: bool) -> int:
    """``imblab compare``: the table and the verdict of a study that has rows."""
    home = ledger.find(name, EXPERIMENTS)
    study = config.load(home / ledger.QUESTION, args).study
    rows = ledger.read_rows(home)
    _print_comparison(study, rows, _next_steps(study.name), as_json)
    return 0


def command_ui(uri: str | None, port: int | None) -> int:
    """``imblab ui``: MLflow on this project's store, or on another one, on loopback."""
    return tracking.serve(uri or tracking.DEFAULT_URI, port, terminal.show)


def command_store(prune: float | None, as_json: bool) -> int:
    """``imblab store``: what the prediction store holds; with a bound, less of it."""
    if not store.DEFAULT.exists():
        facts: dict[str, Any] = {"path": str(store.DEFAULT), "answers": 0, "bytes": 0}
    else:
        with closing(store.Store(store.DEFAULT.resolve())) as kept:
            gone = {} if prune is None else {"pruned": kept.prune(int(prune * 2**20))}
            facts = {**kept.facts(), "path": str(store.DEFAULT), **gone}
    print(json.dumps(facts)) if as_json else terminal.say(terminal.store_text(facts))
    return 0


def command_datasets(as_json: bool) -> int:
    """``imblab datasets``: what can be loaded."""
    rows = datasets.listing()
    print(json.dumps(rows)) if as_json else terminal.show(terminal.listing_text(rows))
    return 0


def _request(args: Sequence[str], config_dirs: Sequence[Path]) -> config.Request:
    if args and args[0].endswith((".yaml", ".yml")) and "=" not in args[0]:
        return config.load(Path(args[0]), args[1:], config_dirs)
    asked = " ".join(args)
    extra = {f"keel_{n}": {"kind": "keel", "table": n} for n in datasets.keel_names()} if "keel_" in asked else {}
    extra |= {f"zenodo_{n}": {"kind": "zenodo", "table": n} for n in datasets.zenodo_names()}
    return config.compose(args, config_dirs, extra)


def _carry_out(
    layout: Layout,
    home: Path,
    engine: runner.Engine,
    overwrite: bool,
    say: Callable[[str], None] | None = None,
    stop_at_failure: bool = False,
) -> list[Evaluation]:
    """Answer what is missing and give every row of the study, in the order of the design."""
    with ledger.open_study(home, config.to_mapping(layout.study), overwrite, layout.addresses()) as book:
        done = {row.key for row in book.rows}
        todo = [cell for cell in layout.cells if cell.key not in done]
        if say and not todo:
            say(f"Study {layout.study.name!r} is finished: all {len(layout.cells)} cells are answered.")
        elif say and done:
            say(f"{len(layout.cells) - len(todo)} of {len(layout.cells)} cells are answered; continuing.")
        with terminal.progress(len(todo), engine.n_jobs) if say and todo else nullcontext() as bar:

            def on_row(row: Evaluation) -> None:
                book.append(row)
                if stop_at_failure and row.status == "failed":
                    raise FitError(
                        f"cell {row.key!r} failed: {row.error}; runner.on_error=raise stops a study there. What is "
                        "answered is kept: mend the cause and run again, or set runner.on_error=row to go on."
                    )
                if bar is not None:
                    bar.advance(f"{row.dataset}/{row.learner}/{row.strategy}")

            tally = runner.run(layout.datasets, runner.bundles(layout.study, layout.plans, todo), engine, on_row)
        order = {cell.key: i for i, cell in enumerate(layout.cells)}
        rows = sorted((row for row in book.rows if row.key in order), key=lambda row: order[row.key])
    if say and todo:
        new = {cell.key for cell in todo}
        _account([row for row in rows if row.key in new], tally, say)
    if todo and engine.open_store is not None:
        with closing(engine.open_store()) as kept:
            kept.prune()
    return rows


def _account(rows: Sequence[Evaluation], tally: runner.Tally, say: Callable[[str], None]) -> None:
    """What was fitted and what was spared, and every distinct failure once."""
    asked = sum(row.fits for row in rows)
    say(
        f"Fits: {tally.fits} made, {max(0, asked - tally.fits)} spared: the new rows rest on {asked} answers, "
        f"{tally.stored} of them from the store."
    )
    causes = Counter(row.error or "" for row in rows if row.status == "failed")
    for cause, n in causes.most_common():
        say(f"Failed {n} times: {cause}")


def _engine(request: config.Request) -> runner.Engine:
    asked = request.runner
    kept = _opener(store.DEFAULT) if asked.get("store", True) else None
    return runner.Engine(asked.get("n_jobs") or runner.cores(), kept, asked.get("fit_timeout"))


def _known_engine(request: config.Request) -> runner.Engine:
    """The engine for a plan: it reads and feeds a store that is there, and makes none."""
    engine = _engine(request)
    return engine if store.DEFAULT.exists() else replace(engine, open_store=None)


def _opener(path: str | Path | None) -> Callable[[], runner.Known] | None:
    return None if path is None else partial(store.Store, Path(path).resolve())


def _stops(request: config.Request) -> bool:
    return bool(request.runner.get("on_error") == "raise")


def _log(home: Path, uri: str, allow: Sequence[str]) -> None:
    """Log what the folder of a study holds, which may be more than was asked for now."""
    mapping = ledger.read_study(home)
    tracking.log(config.read(mapping, allow), mapping, ledger.read_rows(home), home, uri)


def _packages(study: Study) -> tuple[str, ...]:
    """The packages a study in memory rests on: whoever made it has imported them."""
    makes = [item.make for item in study.learners] + [s.sampler for s in study.strategies if s.sampler]
    return (*targets.DEFAULT_ALLOW, *(str(make["_target_"]).partition(".")[0] for make in makes))


def _logged(home: Path, uri: str, allow: Sequence[str]) -> str:
    """Log to MLflow; a store that does not answer never stops a study."""
    try:
        _log(home, uri, allow)
    except ImblabError as error:
        print(f"Not logged: {error}", file=sys.stderr)
        return "Not logged to MLflow, see above; the same command logs again"
    return "Compare the runs in MLflow: imblab ui"


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
        "summary": json.loads(comparing.summarise(frame, study, timed).to_json(orient="records", double_precision=15)),
        "contrasts": json.loads(found.to_json(orient="records", double_precision=15)),
        "sentences": list(comparing.sentences(found, study)),
    }


def _timed(study: Study) -> set[str]:
    """The names that time-ordered data sets of a study may have."""
    timed = [(key, spec) for key, spec in study.datasets.items() if spec.get("time")]
    return {str(n) for key, spec in timed for n in (spec.get("name") or Path(str(spec.get("path") or key)).stem, key)}
