"""Studies run from Python: composed, evaluated in memory, or run and resumed in a folder."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imblab.analysis.claims import register_claims
from imblab.analysis.summary import to_frame
from imblab.commands import results, syncing
from imblab.commands.applicability import Applicability
from imblab.commands.evidence_builder import evidence_facts, merge_evidence
from imblab.commands.layout import Layout, in_memory, lay_out, overrides_from_python, parse_request, store_opener
from imblab.commands.running import RunOptions, asked_part, complete_study, in_design_order, progress_observers
from imblab.core import design
from imblab.core.fitting import Prediction
from imblab.edges import runner, store, terminal
from imblab.edges.ledger import EXPERIMENTS
from imblab.errors import ConfigError
from imblab.result import Evaluation, StudyResult
from imblab.study import Dataset, Study

if TYPE_CHECKING:
    import pandas as pd


def warn_caller(note: str) -> None:
    """Warn in the line of the code that called imblab."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "imblab":
        level, frame = level + 1, frame.f_back
    warnings.warn(note, UserWarning, stacklevel=level)


@dataclass(frozen=True, slots=True, eq=False)
class StudyRun:
    """The outcome of a run in Python: the study as it was asked, the one that is recorded, and evaluations."""

    layout: Layout  # the study that was asked for, with its tables
    recorded: Study  # the study that the folder records, which may be more
    evaluations: list[Evaluation]  # all of the recorded study
    home: Path | None = None  # the folder; None for a run in memory
    source: results.RecordFiles | None = None  # the evidence of a run in memory

    def to_frame(self) -> pd.DataFrame:
        """Return one row per cell of the design that was asked for."""
        return to_frame(in_design_order(self.layout, self.evaluations))

    def result(self) -> StudyResult:
        """Build the result of what was asked for."""
        result = results.result_of(self.recorded, self.evaluations, home=self.home, source=self.source)
        return result if self.home is None else asked_part(self.layout, result, self.home)


def compose(*overrides: str, config_dirs: Sequence[str | Path] = (), **values: Any) -> Study:
    """Compose a study from the configuration, as the command line does.

    Parameters
    ----------
    *overrides : str
        Such as ``"experiment=quickstart"`` and ``"strategy.smote.space.k=choice(3,5)"``; a name alone is an experiment.
    config_dirs : sequence of path, default=()
        Further folders with groups and experiments.
    **values
        Overrides as keys and values, such as ``seed=3``, ``learner=["svm"]`` and ``**{"search.n_trials": 5}``.

    Raises
    ------
    ConfigError
        For a study that cannot be run.

    Examples
    --------
    >>> compose("experiment=quickstart").primary
    'mcc'
    >>> compose("quickstart", seed=3, search="tpe", **{"search.n_trials": 5}).tuning.n_trials
    5
    """
    words = overrides_from_python(overrides, values)
    request = parse_request(words, [Path(d) for d in config_dirs])
    if request.runner.get("engine") == "dask":
        raise ConfigError(
            "'runner' is 'dask'; in Python a study runs in processes of this machine. Use `imblab run` with the same "
            "overrides, or pass runner='local' here and n_jobs to imblab.run."
        )
    return request.study


def evaluate(study: Study | str, data: Sequence[Dataset] = (), n_jobs: int = 1, **values: Any) -> pd.DataFrame:
    """Run a study in memory and return its evaluations; nothing is written.

    Parameters
    ----------
    study : Study or str
        As written in Python, or composed by :func:`imblab.compose`; or the name of an experiment.
    data : sequence of Dataset, default=()
        Tables in memory, in addition to those that ``study.datasets`` names; see :func:`imblab.dataset`.
    n_jobs : int, default=1
        Worker processes, -1 for all cores; changes no number.
    **values
        Overrides of a named experiment, as :func:`compose` takes them.

    Returns
    -------
    DataFrame
        One row per cell of the design, one column per measure.

    Warns
    -----
    UserWarning
        For code that cannot be read, and for what is doubtful in a table or its folds, as ``imblab run`` prints it.

    Examples
    --------
    >>> study = compose("name=small", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none]", "protocol=smoke")
    >>> evaluate(study).status.unique().tolist()
    ['ok']
    """
    if isinstance(study, str):
        study = compose(study, **values)
    else:
        check_no_overrides(study, values)
    return run_in_memory(study, data, n_jobs, builds_evidence=False).to_frame()


def check_no_overrides(study: Study, values: Mapping[str, Any]) -> None:
    """Refuse overrides of a study that is composed already."""
    if values:
        raise ConfigError(
            f"study {study.name!r} is given with {', '.join(f'{key}=' for key in values)}; a composed study stands as "
            "it is. Pass the overrides to imblab.compose."
        )


def run_in_memory(
    study: Study,
    data: Sequence[Dataset] = (),
    n_jobs: int = 1,
    fit_timeout: float | None = None,
    builds_evidence: bool = True,
    progress: bool | None = False,
) -> StudyRun:
    """Run a study and write nothing; parameters are those of :func:`run_in_folder`.

    Evidence is for curves, and takes the memory of all test predictions.
    """
    layout = _lay_out_with_warnings(replace(study, datasets={**in_memory(data), **study.datasets}), data)
    evaluations: list[Evaluation] = []
    kept: dict[str, Prediction] | None = {} if builds_evidence else None
    bundles = runner.make_bundles(layout.study, layout.plans, layout.cells)
    engine = runner.Engine(runner.job_count(n_jobs), None, fit_timeout)
    options = RunOptions(engine, warn_caller, shows_progress=_shows_progress(progress))
    with progress_observers(layout, layout.cells, options) as bar:
        runner.run(layout.datasets, bundles, options.engine, [evaluations.append, *bar], kept)
    source = None
    if kept is not None and (frame := merge_evidence(layout, evaluations, kept.get)) is not None:
        source = results.record_in_memory(frame, evidence_facts(layout, {}), layout.study)
    return StudyRun(layout, register_claims(layout.study), evaluations, None, source)


def run_in_folder(  # noqa: PLR0913 (those of the public API)
    study: Study,
    n_jobs: int = 1,
    folder: str | Path | None = None,
    overwrite: bool = False,
    data: Sequence[Dataset] = (),
    tracking_uri: str | None = None,
    store_path: str | Path | None = store.DEFAULT_PATH,
    fit_timeout: float | None = None,
    retry_failed: bool = False,
    progress: bool | None = None,
) -> StudyRun:
    """Run or resume a study in a folder; see :func:`imblab.run`."""
    study = replace(study, datasets={**in_memory(data), **study.datasets})
    layout = _lay_out_with_warnings(study, data)
    home = Path(folder) if folder is not None else EXPERIMENTS / study.name
    engine = runner.Engine(runner.job_count(n_jobs), store_opener(store_path), fit_timeout)
    run_options = RunOptions(engine, warn_caller, overwrite, retry_failed, shows_progress=_shows_progress(progress))
    tracking = {"enabled": bool(tracking_uri), "uri": tracking_uri, "search": "auto"}
    allow = tuple(design.named_code_paths(study))  # the caller that named these classes has let them in
    with syncing.observe_run(layout, home, tracking, run_options.engine.open_store) as tracker:
        recorded, evaluations = complete_study(layout, home, run_options, allow, tracker)
        if tracker is not None:
            tracker.completed(results.result_of(recorded, evaluations, home=home))
            tracker.finish()
    return StudyRun(layout, recorded, evaluations, home)


def _shows_progress(asked: bool | None) -> bool:
    """Whether progress is shown: as asked, else where a person reads it."""
    return terminal.is_watched() if asked is None else asked


def _lay_out_with_warnings(study: Study, data: Sequence[Dataset]) -> Layout:
    layout = lay_out(study, {d.name: d for d in data})
    for note in layout.notes():
        warn_caller(note)
    if sentences := Applicability(layout).sentences():
        warn_caller(" ".join(sentences))
    return layout
