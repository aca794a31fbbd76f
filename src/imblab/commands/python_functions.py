"""The commands ``compare``, ``plan``, ``report`` and ``export`` as functions of Python, and ``load``.

``imblab compare`` shows the answer of a study, its tables, or two studies side by side; it reads and fits nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from html import escape
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, overload

import pandas as pd

from imblab import result as records
from imblab.analysis.methods import named
from imblab.analysis.reproduction import ScorePair, StudyPair, differing_keys, pair_studies
from imblab.commands import exporting, plan_text, planning, python_runs, results
from imblab.commands.layout import Layout, expand_short_form, in_memory, lay_out, overrides_from_python, parse_request
from imblab.commands.study_result import StudyResult
from imblab.edges import config, ledger, memory, terminal
from imblab.edges.ledger import EXPERIMENTS
from imblab.errors import ConfigError, StudyError, presentable
from imblab.findings import TEXT_WIDTH
from imblab.study import Dataset, Study
from imblab.text import count_noun, format_difference, format_score, join_words, to_hydra_syntax

#: Differences of two questions that the terminal lists without ``--full``.
MAX_LISTED_KEYS = 12
#: Characters of a value of a key in the terminal.
MAX_VALUE_WIDTH = 40


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
        """Return the text of ``imblab plan``; with ``full``, the details of every data set and family."""
        notes = terminal.Page(TEXT_WIDTH)
        for note in self.facts["before_fits"]:
            notes.add(note)
        plan = plan_text.plan_text(self.facts, TEXT_WIDTH, full)
        return f"{notes.text()}\n{plan}" if self.facts["before_fits"] else plan

    @property
    def cells(self) -> pd.DataFrame:
        """The evaluations, one row each: coordinates, and the numbers of rows of the training and the test part."""
        rows = [
            (
                c.dataset,
                c.learner.name,
                c.strategy.name,
                c.split.repeat,
                c.split.fold,
                len(c.split.train),
                len(c.split.test),
            )
            for c in self._layout.cells
        ]
        names = ["dataset", "learner", "strategy", "repeat", "fold", "n_train", "n_test"]
        return pd.DataFrame(rows, columns=names)


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

    Raises
    ------
    StudyError
        If there is no such study.

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
        return compare_pair(name, other, measure, _grants(allow), Path(experiments))
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

    Examples
    --------
    >>> planned = plan("name=small", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none]", "protocol=smoke")
    >>> len(planned.cells)
    3
    """
    if len(question) == 1 and isinstance(question[0], Study):
        study = question[0]
        python_runs.check_no_overrides(study, values)
        options = {} if n_jobs is None else {"n_jobs": n_jobs}
        request = config.Request(study, options, {"enabled": False}, False, (), minutes=minutes)
        study = replace(study, datasets={**in_memory(data), **study.datasets})
        layout = lay_out(study, {table.name: table for table in data})
        return StudyPlan(layout, planning.plan_request(request, layout))
    words = overrides_from_python([_word(each) for each in question], values)
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

    Examples
    --------
    >>> export("quickstart", dataset="yeast6")  # doctest: +SKIP
    """
    choice = {"dataset": dataset, "learner": learner, "strategy": strategy}
    typed = [f"{kind}={value}" for kind, value in choice.items() if value is not None]
    typed += [f"{flag}=true" for flag, is_set in (("contains_rows", contains_rows), ("champion", champion)) if is_set]
    typed += [] if tracking_uri is None else [f"tracking.uri={to_hydra_syntax(tracking_uri)}"]
    return list(exporting.export_strategies(name, [*words, *typed], lambda _: None, Path(experiments), data))


def _word(given: str | Study) -> str:
    if isinstance(given, str):
        return given
    raise StudyError(
        f"{type(given).__name__!r} is among the words of imblab.plan; it plans one study, or what the command line is "
        "given. Pass one study alone, or texts such as 'experiment=quickstart'."
    )


def _find_folder(study: str | Path, experiments: Path) -> Path:
    """Find the folder of a study by its name, or by a path."""
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


@dataclass(frozen=True, slots=True, repr=False)
class ShownStudyPair(StudyPair):
    """Two studies side by side, which Python shows as the command line does; ``headlines`` are their answers."""

    headlines: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return presentable(pair_text(self, self.headlines, width=TEXT_WIDTH), keep="\n")


def compare_pair(name: str, other: str, measure: str | None, grants: Sequence[str], experiments: Path) -> StudyPair:
    """Put two studies of the same folds side by side; see :func:`imblab.compare`."""
    _check_two(name, other, "imblab.compare")
    first, second = (_read(each, grants, experiments) for each in (name, other))
    pair = _pair(first, second, (name, other), measure)
    values: dict[str, Any] = {field.name: getattr(pair, field.name) for field in fields(pair)}
    return ShownStudyPair(**values, headlines=(first.answer.headline, second.answer.headline))


def _check_two(name: str, other: str, place: str) -> None:
    """Refuse one study as both."""
    if name == other:
        raise ConfigError(f"{place!r} names {name!r} twice; it puts two studies side by side. Name another one.")


def command_compare(
    name: str, args: Sequence[str], as_json: bool, is_full: bool, family: str | None, measure: str | None
) -> int:
    """Run ``imblab compare``: the answer of a study, its tables, or two studies side by side."""
    others = [word for word in args if "=" not in word]
    grants = [word for word in args if "=" in word]
    if len(others) > 1:
        raise ConfigError(
            f"'imblab compare' names {len(others) + 1} studies ({join_words([name, *others])}); it shows one, or two "
            "side by side. Name at most two."
        )
    if others:
        _check_two(name, others[0], "imblab compare")
        first, second = (_read(each, grants, EXPERIMENTS, family) for each in (name, others[0]))
        return _print_pair(first, second, _pair(first, second, (name, others[0]), measure), as_json, is_full)
    home = ledger.find_study(name, EXPERIMENTS)
    request = config.load_request(home / ledger.STUDY_FILE, grants, loads_data=False)
    source = results.read_record_files(home, request.study)
    memory.trim()
    results.read_origin(home)  # says whether it is damaged
    result = results.result_of(request.study, ledger.read_evaluations(home), source=source)
    shown = [option for option, value in (("--full", is_full), ("--family", family), ("--measure", measure)) if value]
    steps = results.next_steps(result, home, request.allow, shown=shown)
    if family is not None:
        result = results.select_named_families(result, family)
    if measure is not None:
        result = results.explore(result, measure)
    results.print_result(result, steps, as_json, is_full or family is not None)
    return 0


def _read(name: str, grants: Sequence[str], experiments: Path, family: str | None = None) -> records.StudyResult:
    home = ledger.find_study(name, experiments)
    study = config.load_request(home / ledger.STUDY_FILE, grants, loads_data=False).study
    result = results.read_result(home, study)
    return result if family is None else results.select_named_families(result, family)


def _pair(
    first: records.StudyResult, second: records.StudyResult, folders: tuple[str, str], measure: str | None
) -> StudyPair:
    """Pair two studies; those of one name, as a copied folder holds, are called by their folders."""
    keys = differing_keys(*(config.to_mapping(result.study) for result in (first, second)))
    return pair_studies(first, second, keys, measure, folders if first.study.name == second.study.name else None)


def _print_pair(
    first: records.StudyResult, second: records.StudyResult, pair: StudyPair, as_json: bool, is_full: bool
) -> int:
    if as_json:
        answers = {pair.first: first.answer.to_mapping(), pair.second: second.answer.to_mapping()}
        terminal.put(json.dumps({**pair.to_mapping(), "answers": answers}))
        return 0
    limit = None if is_full else MAX_LISTED_KEYS
    terminal.show(pair_text(pair, [result.answer.headline for result in (first, second)], limit))
    return 0


def pair_text(pair: StudyPair, headlines: Sequence[str], max_keys: int | None = None, width: int | None = None) -> str:
    """Return two studies side by side as a page for the terminal.

    Parameters
    ----------
    pair : StudyPair
        See :func:`.reproduction.pair_studies`.
    headlines : sequence of str
        One of each study.
    max_keys : int, optional
        Differences of the questions to list; all by default.
    width : int, optional
        Columns; those of the terminal by default.
    """
    page, names = terminal.Page(width), (pair.first, pair.second)
    for name, headline in zip(names, headlines, strict=True):
        page.add(f"{name}: {headline}")
        page.add("")
    listed = pair.differences[:max_keys]
    count = count_noun(len(pair.differences), "key")
    page.add(f"The questions differ in {count}:" if listed else "The questions are the same.")
    page.add_table(["key", *names], [[each.key, _value(each.first), _value(each.second)] for each in listed], names)
    if len(listed) < len(pair.differences):
        page.add(f"{len(pair.differences) - len(listed)} more with --full.")
        page.add("")
    header = ["strategy", ">folds", *(f">{name}" for name in names), "difference [95 %]"]
    for (dataset, learner), scores in groupby(pair.scores, key=itemgetter(0, 1)):
        page.add(f"{dataset}, {learner}: {named(pair.measure)}, means over the folds that both have scored")
        page.add_table(header, [_score_row(each) for each in scores])
    for name, alone in zip(names, (pair.only_first, pair.only_second), strict=True):
        if alone:
            page.add(f"In {name} alone: {join_words(alone)}.")
    is_tested = not pair.untested or any(each.dataset not in pair.untested for each in pair.scores)
    intervals = "with corrected resampled t intervals that are not adjusted" if is_tested else "without intervals"
    page.add(
        f"Differences are those of {pair.second} to {pair.first}, {intervals}: no contrast between two studies was "
        "claimed before, which is why they have no verdict."
    )
    for dataset, reason in pair.untested.items():
        page.add(f"Differences on {dataset} have no interval: {reason}.")
    return page.text()


def _value(value: Any) -> str:
    """Write a value of a key; of a section that one question has alone, that it is there."""
    if isinstance(value, Mapping):
        return "as defined"
    text = terminal.format_cell(value)
    return text if len(text) <= MAX_VALUE_WIDTH else f"{text[: MAX_VALUE_WIDTH - 3]}..."


def _score_row(each: ScorePair) -> list[str]:
    interval = "" if math.isnan(each.low) else f" [{format_difference(each.low)}, {format_difference(each.high)}]"
    difference = "equal" if each.is_equal else f"{format_difference(each.difference)}{interval}"
    return [each.strategy, str(each.folds), format_score(each.first), format_score(each.second), difference]
