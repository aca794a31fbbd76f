"""The commands ``compare``, ``plan``, ``report`` and ``export`` as functions of Python, and ``load``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any, overload

import pandas as pd

from imblab.analysis.reproduction import StudyPair
from imblab.commands import comparing, exporting, plan_text, planning, python_runs, results
from imblab.commands.estimator_records import check_flags
from imblab.commands.layout import Layout, in_memory, lay_out, parse_request
from imblab.commands.short_form import expand_short_form, overrides_from_python
from imblab.commands.study_result import StudyResult
from imblab.core.design import coordinates
from imblab.edges import config, ledger, runner, terminal
from imblab.edges.config.validation import is_finite_number, quote
from imblab.edges.ledger import EXPERIMENTS
from imblab.errors import ConfigError, StudyError
from imblab.findings import TEXT_WIDTH
from imblab.study import COORDINATES, Dataset, Study
from imblab.text import to_hydra_syntax


class StudyPlan:
    """The plan of a study, before anything runs: :func:`imblab.plan` returns it.

    Parameters
    ----------
    layout : Layout
        The study with its tables, folds and cells.
    facts : mapping
        The plan as plain data; see :func:`imblab.commands.planning.plan_request`.

    Attributes
    ----------
    study : Study
        The study that was planned.
    facts : dict
        The plan as plain data, as ``imblab plan --json`` prints it.
    """

    def __init__(self, layout: Layout, facts: dict[str, Any]) -> None:
        self._layout, self.study, self.facts = layout, layout.study, facts

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return f'<pre style="white-space:pre-wrap">{escape(self.text())}</pre>'

    def text(self, full: bool = False) -> str:
        """Return the text of ``imblab plan``.

        Parameters
        ----------
        full : bool, default=False
            Whether it has the details of every data set and family.

        Returns
        -------
        str
            At most 80 columns wide.
        """
        notes = terminal.Page(TEXT_WIDTH)
        for note in self.facts["before_fits"]:
            notes.add(note)
        plan = plan_text.plan_text(self.facts, TEXT_WIDTH, full)
        return f"{notes.text()}\n{plan}" if self.facts["before_fits"] else plan

    @property
    def cells(self) -> pd.DataFrame:
        """The evaluations, one row each: coordinates, and the numbers of rows of the training and the test part."""
        rows = [(*coordinates(c), len(c.split.train), len(c.split.test)) for c in self._layout.cells]
        return pd.DataFrame(rows, columns=[*COORDINATES, "n_train", "n_test"])


def load(
    study: str | Path,
    *words: str,
    data: Sequence[Dataset] = (),
    allow: Sequence[str] = (),
    experiments: str | Path = EXPERIMENTS,
) -> StudyResult:
    """Read the result of a study from its folder; nothing is fitted.

    Parameters
    ----------
    study : str or path
        The name of a folder below ``experiments``, or the path of one.
    *words : str
        What a received study is granted when it is fitted, as on the command line: ``"allow_network=true"``.
    data : sequence of Dataset, default=()
        Its tables in memory, for models.
    allow : sequence of str, optional
        Dotted paths of your own classes that the study names.
    experiments : path, default="experiments"
        The folder of the studies.

    Returns
    -------
    StudyResult
        As :func:`imblab.run` returned it.

    Raises
    ------
    StudyError
        If there is no such study.

    See Also
    --------
    imblab.compare : Two studies side by side.
    imblab.report : The page of a study.

    Examples
    --------
    >>> result = load("quickstart")  # doctest: +SKIP
    >>> result.headline  # doctest: +SKIP
    """
    home, grants = _find_folder(study, Path(experiments)), [*words, *_grants(allow)]
    asked = config.load_request(home / ledger.STUDY_FILE, grants, loads_data=False).study
    return StudyResult(results.read_result(home, asked), None, home, data, grants)


@overload
def compare(
    name: str,
    other: None = None,
    *,
    measure: str | None = ...,
    allow: Sequence[str] = ...,
    experiments: str | Path = ...,
) -> StudyResult: ...
@overload
def compare(
    name: str, other: str, *, measure: str | None = ..., allow: Sequence[str] = ..., experiments: str | Path = ...
) -> StudyPair: ...
def compare(
    name: str,
    other: str | None = None,
    *,
    measure: str | None = None,
    allow: Sequence[str] = (),
    experiments: str | Path = EXPERIMENTS,
) -> StudyResult | StudyPair:
    """Read the result of a study, or put two studies side by side; nothing is fitted.

    Parameters
    ----------
    name : str
        The study, a folder below ``experiments``.
    other : str, optional
        A second study of the same folds.
    measure : str, optional
        A measure of the studies; the primary one by default. Of one study it is exploratory.
    allow : sequence of str, optional
        Dotted paths of your own classes that the studies name.
    experiments : path, default="experiments"
        The folder of the studies.

    Returns
    -------
    StudyResult or StudyPair
        The result of one study, as :func:`load` gives it, or the differences of two: of their questions, and of their
        scores fold by fold.

    Raises
    ------
    StudyError
        If there is no such study, or the two rest on different folds or have nothing in common.

    See Also
    --------
    imblab.rescore : Other measures and thresholds on the same fits.

    Examples
    --------
    >>> compare("smote_ratio").headline  # doctest: +SKIP
    >>> compare("smote_ratio", "resample_or_not").differences  # doctest: +SKIP
    """
    if other is not None:
        return comparing.compare_pair(name, other, measure, _grants(allow), Path(experiments))
    result = load(name, allow=allow, experiments=experiments)
    return result if measure is None else result.explore(measure)


def plan(
    *question: str | Study,
    minutes: float | None = None,
    n_jobs: int | None = None,
    data: Sequence[Dataset] = (),
    config_dirs: Sequence[str | Path] = (),
    **values: Any,
) -> StudyPlan:
    """Say what a study would do: evaluations, fits, folds, what does not apply, what it can find, and its time.

    A few fits are timed; nothing is written.

    Parameters
    ----------
    *question : str or Study
        A study, or what would follow ``imblab plan`` on the command line: ``"experiment=quickstart"``; a name alone is
        an experiment.
    minutes : float, optional
        A budget: the largest study that fits it is proposed.
    n_jobs : int, optional
        Worker processes that the time is for; all cores by default.
    data : sequence of Dataset, default=()
        Tables in memory, of a study.
    config_dirs : sequence of path, default=()
        Further folders with groups and experiments.
    **values
        Overrides as keys and values, as :func:`imblab.compose` takes them.

    Returns
    -------
    StudyPlan
        Shown as the text of ``imblab plan``; ``cells`` is the design as a table.

    Raises
    ------
    ConfigError
        For a study that cannot be run.

    See Also
    --------
    imblab.run : Run the study that was planned.

    Examples
    --------
    >>> planned = plan("name=small", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none]", "protocol=smoke")
    >>> len(planned.cells)
    3
    """
    if len(question) == 1 and isinstance(question[0], Study):
        study = question[0]
        python_runs.check_no_overrides(study, values)
        if minutes is not None and not (is_finite_number(minutes) and minutes > 0):
            raise ConfigError(f"'minutes' is {quote(minutes)}; it is a number above 0. Write for example minutes=10.")
        options = {} if n_jobs is None else {"n_jobs": runner.Engine(runner.job_count(n_jobs)).n_jobs}
        request = config.Request(study, options, {"enabled": False}, False, (), minutes=minutes)
        study = replace(study, datasets={**in_memory(data), **study.datasets})
        layout = lay_out(study, {table.name: table for table in data})
        return StudyPlan(layout, planning.plan_request(request, layout))
    if studies := [type(each).__name__ for each in question if not isinstance(each, str)]:
        raise StudyError(
            f"{studies[0]!r} is among the words of imblab.plan; it plans one study, or what the command line is given. "
            "Pass one study alone, or texts such as 'experiment=quickstart'."
        )
    words = overrides_from_python([each for each in question if isinstance(each, str)], values)
    words += [] if minutes is None else [f"budget.minutes={minutes}"]
    words += [] if n_jobs is None else [f"runner.n_jobs={n_jobs}"]
    folders = tuple(map(Path, config_dirs))
    request = parse_request(words, folders, "plan")
    layout = lay_out(request.study)
    command_line = planning.CommandLine(tuple(expand_short_form(words, "plan")), folders)
    return StudyPlan(layout, planning.plan_request(request, layout, command_line))


def report(
    name: str | Path,
    path: str | Path | None = None,
    *,
    allow: Sequence[str] = (),
    experiments: str | Path = EXPERIMENTS,
) -> Path:
    """Write the report of a study and return the path of its page; see :meth:`StudyResult.report`.

    Parameters
    ----------
    name : str or path
        The study, as for :func:`load`.
    path : path, optional
        An ``.html`` file, or a folder; the folder of the study by default.
    allow : sequence of str, optional
        Dotted paths of your own classes that the study names.
    experiments : path, default="experiments"
        The folder of the studies.

    Returns
    -------
    Path
        Of the page: one HTML file without scripts.

    See Also
    --------
    imblab.load : The answer itself.

    Examples
    --------
    >>> report("quickstart", "report.html")  # doctest: +SKIP
    """
    return load(name, allow=allow, experiments=experiments).report(path)


def export(
    name: str,
    *words: str,
    dataset: str | None = None,
    learner: str | None = None,
    strategy: str | None = None,
    contains_rows: bool = False,
    champion: bool = False,
    tracking_uri: str | None = None,
    data: Sequence[Dataset] = (),
    experiments: str | Path = EXPERIMENTS,
) -> list[exporting.ExportedStrategy]:
    """Fit the recommended strategy of every data set on all rows, and register it at MLflow.

    Parameters
    ----------
    name : str
        The study, a folder below ``experiments``.
    *words : str
        As on the command line: ``"tracking=none"`` writes the models into the folder of the study.
    dataset, learner, strategy : str, optional
        Others than the recommended ones.
    contains_rows : bool, default=False
        Whether a model that stores training rows may be exported.
    champion : bool, default=False
        Whether the alias *champion* moves to the models.
    tracking_uri : str, optional
        The MLflow store; ``sqlite:///mlruns/mlflow.db`` by default.
    data : sequence of Dataset, default=()
        Tables of the study that were in memory; see :func:`imblab.dataset`.
    experiments : path, default="experiments"
        The folder of the studies.

    Returns
    -------
    list of ExportedStrategy
        One per data set: its ``estimator``, why it was selected, where it is, and the command that serves it.

    Raises
    ------
    StudyError
        If the study is incomplete, or a model stores training rows.
    FitError
        If a strategy cannot be fitted on all rows.

    See Also
    --------
    imblab.verify : The same predictions again from what was exported.
    imblab.StudyResult.refit : The recommended model alone, without a store.

    Examples
    --------
    >>> export("quickstart", dataset="yeast6")  # doctest: +SKIP
    """
    check_flags(contains_rows=contains_rows, champion=champion)
    choice = {"dataset": dataset, "learner": learner, "strategy": strategy}
    typed = [f"{kind}={value}" for kind, value in choice.items() if value is not None]
    typed += [f"{flag}=true" for flag, is_set in (("contains_rows", contains_rows), ("champion", champion)) if is_set]
    typed += [] if tracking_uri is None else [f"tracking.uri={to_hydra_syntax(tracking_uri)}"]
    return list(exporting.export_strategies(name, [*words, *typed], lambda _: None, Path(experiments), data))


def _find_folder(study: str | Path, experiments: Path) -> Path:
    """Find the folder of a study by its name, or by a path."""
    python_runs.check_path("study", study)
    path = Path(study)
    if isinstance(study, str) and (len(path.parts) < 2 or path.parts[1:-1] == (ledger.RESCORED,)):
        return ledger.find_study(study, experiments)
    path = path.parent if path.name == ledger.STUDY_FILE else path
    if not (path / ledger.STUDY_FILE).is_file():
        raise StudyError(
            f"{str(study)!r} is not the folder of a study; one holds study.yaml and ledger.jsonl. Correct the path, or "
            "name a study below experiments."
        )
    path = path if path.name else path.absolute()
    return ledger.find_study(path.name, path.parent)


def _grants(allow: Sequence[str]) -> list[str]:
    return [f"allow={json.dumps(list(allow))}"] if allow else []
