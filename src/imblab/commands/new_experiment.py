"""``imblab new``: an experiment on a table by five questions; nothing is written before all of them are answered."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imblab.commands.layout import lay_out, parse_request
from imblab.commands.short_form import SHORT_KEYS, table_override
from imblab.edges import config, files, terminal
from imblab.edges.config.overrides import parse_overrides
from imblab.edges.config.validation import NAME_PATTERN, NAME_RULE
from imblab.edges.datasets.build import check_column_names
from imblab.edges.datasets.inspection import MAX_CLASSES, describe_targets, target_candidates
from imblab.edges.datasets.notation import TableProblems, column_named
from imblab.edges.datasets.regrouping import regroup_labels
from imblab.edges.datasets.table_files import is_table, read_table_file, table_name
from imblab.edges.files.locks import scratch_folder
from imblab.errors import ConfigError, ImblabError, StudyError, unknown
from imblab.groups import group_options
from imblab.text import join_words, to_hydra_syntax, to_shell

#: Answers that mean none of what is asked.
NEITHER = ("", "none", "neither", "no")
DEFAULT_MINUTES = "10"
MAX_MINUTES = 525_600
STRATEGIES = ("none", "threshold", "class_weight", "smote", "smote_threshold")
MEASURES = ("mcc", "pr_auc", "recall", "precision", "f1", "specificity", "balanced_accuracy", "roc_auc", "brier")
#: The two strategies that an alert budget adds: the same threshold rule without and with SMOTE.
ALERT, SMOTE_ALERT = "alert_budget", "smote_alert_budget"


@dataclass(slots=True)
class Answers:
    """The parts of an experiment, as far as they are answered."""

    path: Path = Path()
    frame: pd.DataFrame = field(default_factory=pd.DataFrame)
    target: str = ""
    labels: tuple[tuple[str, int], ...] = ()
    positive: str | None = None
    costs: dict[str, float] | None = None
    alerts: float | None = None
    minutes: float = 0.0
    keys: dict[str, Any] = field(default_factory=dict)

    def table(self) -> dict[str, Any]:
        """Return the description of the table, as an experiment has it."""
        spec: dict[str, Any] = {"path": str(self.path), "target": self.target}
        if self.positive is not None:
            spec["positive"] = self.positive
            if self.positive != self.labels[0][0]:
                spec["allow_majority_positive"] = True
        content: dict[str, Any] = {"dataset": {"table": spec}}
        _set_keys(content, self.keys)
        return spec


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its default and the reader of its answer."""

    text: str  # what is asked
    option: str  # the option of the command line that answers it
    default: str  # the answer to an empty line
    read: Callable[[str], None]  # reads an answer into the answers; raises an error of imblab where it is not one
    is_open: bool = True  # whether there is something to ask; otherwise the text is said


def command_new(options: Mapping[str, Any]) -> int:
    """``imblab new``: ask for a table, its target, its positive label, costs or an alert budget, and minutes.

    The experiment is composed and laid out before it is written; where that fails, the error has a note with the
    command that holds all answers, and the corrections.
    """
    folder = Path(options["config_dir"][0]) if options["config_dir"] else Path("conf")
    if options["name"] is not None:
        _check_name(str(options["name"]), folder)
    answers = Answers(keys=_read_keys(options["overrides"]))
    typed = {key: answers.keys.pop(f"dataset.table.{key}", options[key]) for key in ("target", "positive")}
    try:
        for make in (_ask_file, _ask_target, _ask_positive, _ask_costs, _ask_minutes):
            question = make(answers)
            _answer(question, {**options, **typed}[question.option], bool(options["yes"]), bool(options["json"]))
    except KeyboardInterrupt:
        terminal.warn("\nStopped; nothing was written.")
        return 130
    name = str(options["name"] or _free_study_name(table_name(answers.path), folder))
    text = experiment_text(name, answers)
    try:
        _check_runs(name, text)
    except ImblabError as error:
        error.add_note(_line_to_paste(options, answers, error))
        raise
    home = folder / "experiment"
    files.make_folder(home)
    files.replace(home, f"{name}.yaml", text.encode())
    words = [f"experiment={name}", "--config-dir", str(folder)]
    if options["json"]:
        terminal.put(json.dumps({"path": str(home / f"{name}.yaml"), "run": ["imblab", "run", *words]}))
    else:
        terminal.show(f"Written: {home / f'{name}.yaml'}")
        terminal.show(f"What it costs, and what fits {answers.minutes:g} min: {to_shell(['imblab', 'plan', *words])}")
        terminal.show(f"Run it: {to_shell(['imblab', 'run', *words])}")
    return 0


def _read_keys(words: Iterable[str]) -> dict[str, Any]:
    """Return the values of overrides by their dotted keys; those of a table may be typed without ``dataset.table.``."""
    full = []
    for word in words:
        key = word.removeprefix("dataset.table.").partition("=")[0]
        if not (key in SHORT_KEYS or "." in key):
            raise ConfigError(
                f"{word!r} is not a key that `imblab new` writes; these are keys of a table, such as drop=[id], and "
                "dotted keys of a study. Give it to `imblab run` instead."
            )
        full.append(table_override(word.removeprefix("dataset.table.")) if key in SHORT_KEYS else word)
    return {override.key_or_group: override.value() for override in parse_overrides(full)}


def _set_keys(content: dict[str, Any], keys: Mapping[str, Any]) -> None:
    """Set values of nested mappings by their dotted keys."""
    for key, value in keys.items():
        *parents, last = key.split(".")
        reduce(lambda node, part: node.setdefault(part, {}), parents, content)[last] = value


def _line_to_paste(options: Mapping[str, Any], answers: Answers, error: ImblabError) -> str:
    """Return a sentence with the command that holds all answers, and the corrections that the error proposes."""
    words = ["imblab", "new", str(answers.path), "--target", answers.target]
    words += ["--positive", answers.positive] if answers.positive is not None else []
    if answers.costs is not None:
        words += ["--cost", f"{_digits(answers.costs['fn'])}:{_digits(answers.costs['fp'])}"]
    words += ["--cost", _digits(answers.alerts)] if answers.alerts is not None else []
    words += ["--minutes", _digits(answers.minutes), *(["--name", options["name"]] if options["name"] else [])]
    words += [word for folder in options["config_dir"] or () for word in ("--config-dir", str(folder))]
    keys = {**answers.keys, **error.overrides}
    line = to_shell([*words, "--yes", *(f"{key}={to_hydra_syntax(value)}" for key, value in keys.items())])
    return f"Nothing was written. With these answers{' and corrections' * bool(error.overrides)}: `{line}`."


def _digits(value: float) -> str:
    """Write a number with all its digits and without an exponent, as an answer has it."""
    return np.format_float_positional(value, trim="-")


def _answer(question: Question, given: str | None, takes_default: bool, is_silent: bool) -> None:
    """Read the answer of a question from its option, its default, or standard input until one is valid."""
    if given is not None:
        question.read(given)
    elif takes_default or not question.is_open:
        question.read(question.default)
        if not is_silent:
            terminal.show(f"{question.text} {question.default}".rstrip())
    else:
        while not _is_answered(question, is_silent):
            pass


def _is_answered(question: Question, is_silent: bool) -> bool:
    """Ask on standard output, or on standard error where the output is for JSON alone."""
    say = terminal.warn if is_silent else terminal.show
    prompt = f"{question.text} [{question.default}]" if question.default else question.text
    try:
        if is_silent:
            say(prompt)
        line = input("" if is_silent else f"{prompt} ")
    except EOFError:
        raise StudyError(
            f"standard input ended at the question {question.text.splitlines()[-1]!r}; five answers make an "
            f"experiment, and nothing was written. Give the answers as options, as in --{question.option} VALUE, and "
            "--yes for the other defaults."
        ) from None
    try:
        question.read(line.strip() or question.default)
    except ImblabError as error:
        say(str(error))
        return False
    return True


def _ask_file(answers: Answers) -> Question:
    tables = sorted(str(path) for path in Path().iterdir() if is_table(path) and path.is_file())
    listed = f" (here: {join_words(tables)})" if tables else ""

    def read(text: str) -> None:
        if not text:
            raise ConfigError(
                f"no file is named{listed}; an experiment reads a table from a file. Write the path of a CSV, Excel or "
                "Parquet file."
            )
        path = Path(text).expanduser()
        problems = TableProblems(table_name(path), "table")
        frame = read_table_file(path, answers.table(), problems)
        check_column_names(frame, problems)
        answers.frame = frame
        answers.path = path

    return Question(f"1. Which file holds the table?{listed}", "file", tables[0] if tables else "", read)


def _ask_target(answers: Answers) -> Question:
    frame = answers.frame
    candidates = target_candidates(frame, table_name(answers.path))
    told = describe_targets(candidates, frame)

    def read(text: str) -> None:
        columns = [str(name) for name in frame.columns]
        if (text := column_named(text, columns)) not in columns:
            raise ConfigError(unknown("column", text, columns, f"in {str(answers.path)!r}"))
        same = [candidate for candidate in target_candidates(frame[[text]]) if candidate.column == text]
        if not same:
            n_values = frame.iloc[:, columns.index(text)].nunique()
            raise ConfigError(
                f"column {text!r} has {n_values} values; labels are from two to {MAX_CLASSES} values. {told}"
            )
        answers.target, answers.labels = text, _regrouped_labels(answers, text, same[0].labels)

    default = candidates[0].column if candidates else ""
    return Question(f"{told}\n2. Which column holds the labels?", "target", default, read)


def _regrouped_labels(
    answers: Answers, column: str, labels: tuple[tuple[str, int], ...]
) -> tuple[tuple[str, int], ...]:
    """Return the classes and their rows, the rarest first, once labels are merged and left out."""
    table, problems = answers.table(), TableProblems(table_name(answers.path), "table")
    regrouping = regroup_labels(column, dict(labels), table.get("merge"), table.get("drop_classes"), problems)
    problems.raise_all()
    assert regrouping is not None  # a problem was raised
    return tuple(sorted(regrouping.rows_of_classes(dict(labels)).items(), key=lambda item: item[1]))


def _ask_positive(answers: Answers) -> Question:
    labels = [label for label, _ in answers.labels]
    counted = join_words(f"{label!r} in {rows:,} rows" for label, rows in answers.labels)

    def read(text: str) -> None:
        if text not in labels:
            raise ConfigError(unknown("label", text, labels, f"in column {answers.target!r}"))
        answers.positive = text

    if len(labels) > 2:
        text = f"3. The column has {counted}: each is a class."
        return Question(text, "positive", "", _refuse_positive, is_open=False)
    return Question(f"3. The column has {counted}. Which label is the positive one?", "positive", labels[0], read)


def _refuse_positive(text: str) -> None:
    if text:
        raise ConfigError(
            f"the positive label is {text!r}, and the column has more than two labels; each of them is a class then. "
            "Leave it out."
        )


def _ask_costs(answers: Answers) -> Question:
    def read(text: str) -> None:
        word = text.replace(" ", "")
        if word.lower() in NEITHER:
            return
        if answers.positive is None:
            raise ConfigError(
                f"{text!r} is about one positive class, and the column has more than two labels; costs and alert "
                "budgets of several classes are written by hand (docs/extending.md). Leave it out."
            )
        costs = re.fullmatch(r"(\d+\.?\d*|\.\d+):(\d+\.?\d*|\.\d+)", word)
        share = re.fullmatch(r"(\d+\.?\d*|\.\d+)(%?)", word)
        if costs and float(costs[1]) > 0 and float(costs[2]) > 0:
            answers.costs = {"fn": float(costs[1]), "fp": float(costs[2])}
        elif share and 0 < float(share[1]) / (100 if share[2] else 1) < 1:
            answers.alerts = float(share[1]) / (100 if share[2] else 1)
        else:
            raise ConfigError(
                f"{text!r} is neither costs nor an alert budget; costs are those of a missed positive and of a false "
                "alarm, as in 10:1, a budget is the share of rows to call positive, as in 1%. Write one of "
                "them, or none."
            )

    if answers.positive is None:
        text = "4. Costs and alert budgets of several classes are written by hand (docs/extending.md)."
        return Question(text, "cost", "", read, is_open=False)
    text = "4. What does a missed positive cost, compared with a false alarm (10:1), or which share may be called (1%)?"
    return Question(text, "cost", "none", read)


def _ask_minutes(answers: Answers) -> Question:
    def read(text: str) -> None:
        try:
            minutes = float(text)
        except ValueError:
            minutes = 0.0
        if not 0 < minutes <= MAX_MINUTES:
            raise ConfigError(
                f"{text!r} is not a number of minutes; it is above 0 and at most {MAX_MINUTES:,}. Write for example "
                f"{DEFAULT_MINUTES}."
            )
        answers.minutes = minutes

    return Question("5. How many minutes may it take?", "minutes", DEFAULT_MINUTES, read)


def experiment_text(name: str, answers: Answers) -> str:
    """Return the file of an experiment: two baselines, class weights and SMOTE on the table, by the costs or alerts."""
    strategies, measures = [*STRATEGIES], [*MEASURES]
    content: dict[str, Any] = {"dataset": {"table": answers.table()}}
    if answers.costs is not None:
        measures.append("expected_cost")
        content["primary"] = "expected_cost"
        costs = {**answers.costs, "tp": 0, "tn": 0}
        content["measures"] = {"expected_cost": {"parameters": {"costs": costs}}}
    if answers.alerts is not None:
        content["claims"] = {"primary": [[SMOTE_ALERT, ALERT], ["smote_threshold", "threshold"]]}
        rule, shipped = {"alert_rate": answers.alerts}, {m.name: m.content for m in config.read_group("strategy")}
        content["strategy"] = {
            name: {**{key: value for key, value in shipped[like].items() if key != "label"}, "threshold": rule}
            for name, like in ((ALERT, "none"), (SMOTE_ALERT, "smote"))
        }
    content["budget"] = {"minutes": answers.minutes}
    _set_keys(content, answers.keys)
    lines = [
        "# @package _global_",
        f"# Does resampling help on {answers.path.name!r}, or would a class weight or a tuned threshold do the same?",
        *_comments(answers),
        "defaults:",
        "  - override /dataset: [table]",
        f"  - override /strategy: [{', '.join(strategies)}]",
        f"  - override /measures: [{', '.join(measures)}]",
    ]
    return "\n".join([*lines, files.to_yaml(content)])


def _comments(answers: Answers) -> Iterable[str]:
    if answers.costs is not None:
        fn, fp = answers.costs["fn"], answers.costs["fp"]
        yield f"# A missed positive costs {fn:g}, a false alarm {fp:g}: tuned thresholds minimise the expected cost."
    if answers.alerts is not None:
        budget = f"{100 * answers.alerts:g} % of the rows"
        yield f"# About {budget} are called positive, more where scores tie: {ALERT} and {SMOTE_ALERT}."
    yield f"# `imblab plan` proposes a smaller study where this one takes more than {answers.minutes:g} min."


def _check_runs(name: str, text: str) -> None:
    """Compose the experiment and lay it out, from a folder of its own that is removed."""
    with scratch_folder("new") as folder:
        (folder / "experiment").mkdir()
        (folder / "experiment" / f"{name}.yaml").write_text(text, encoding="utf-8")
        lay_out(parse_request([f"experiment={name}"], [folder]).study)


def _check_name(name: str, folder: Path) -> None:
    if not re.fullmatch(NAME_PATTERN, name):
        raise ConfigError(f"--name is {name!r}; {NAME_RULE}.")
    if name in _taken_names(folder):
        raise ConfigError(
            f"experiment or study {name!r} is there already; neither is ever replaced. Choose another --name, or "
            "remove it."
        )


def _free_study_name(stem: str, folder: Path) -> str:
    """Return the name of the table, with a number where it is taken."""
    base, taken = re.sub(r"[^A-Za-z0-9_]+", "_", stem).strip("_")[:90] or "table", _taken_names(folder)
    names = (base, *(f"{base}_{number}" for number in range(2, 10_000)))
    return next(name for name in names if name not in taken)


def _taken_names(folder: Path) -> set[str]:
    studies = {path.parent.name for path in Path("experiments").glob("*/study.yaml")}
    return studies | set(group_options("experiment", [folder]))
