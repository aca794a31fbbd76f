"""``imblab audit``: load what is audited and its table, and print the findings."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from imblab.commands.auditing import AuditRequest, Meter, check_request, run_audit
from imblab.commands.study_audit import choose_checks, run_study_audit
from imblab.commands.study_records import open_record, parse_tables
from imblab.core.audited_scores import AuditTable, audit_table
from imblab.edges import datasets, scripts, terminal
from imblab.edges.config.command_line import import_from_current_folder
from imblab.errors import ConfigError, DataError, foreign_reason
from imblab.findings import Audit
from imblab.text import count_noun, join_words

#: What may be audited with a table, and the other form.
FORMS, STUDY = ("script", "function", "estimator"), "study"
#: Options of the command line that a study says by itself, and those that only a study has.
OPTIONS_OF_TABLES = ("data", "target", "positive", "groups", "time", "measure", "claimed", "folds")
OPTIONS_OF_STUDIES = ("checks", "table")


def command_audit(options: Mapping[str, Any]) -> int:
    """``imblab audit``: a study; or a program, a function or an estimator on a table in a file."""
    form = _form_of(options)
    audit_form = {"script": _audit_script, STUDY: _audit_study}.get(form, partial(_audit_object, form=form))
    result = audit_form(options, Meter(says=not options["json"]))
    terminal.put(json.dumps(result.to_mapping())) if options["json"] else terminal.show(str(result))
    return result.exit_status


def _form_of(options: Mapping[str, Any]) -> str:
    """Return what is audited: ``study``, ``script``, ``function`` or ``estimator``."""
    named = [form for form in FORMS if options[form]]
    if options["name"]:
        _check_study_options(options, named)
        return STUDY
    problems = []
    if len(named) != 1:
        problems.append(
            f"'imblab audit' names {join_words(f'--{form}' for form in named) or 'nothing to audit'}; it audits one of "
            "a study, a program, a function (X, y) -> score and an estimator. Write the name of a study, --script "
            "'python evaluate.py {table}', --function mypackage.module:evaluate or --estimator "
            "mypackage.module:pipeline."
        )
    needs_table = bool(named or options["data"] or options["target"])
    for name in ("data", "target"):
        if needs_table and not options[name]:
            problems.append(
                f"'imblab audit' has no --{name}; a table and its column of labels are needed. Write --data table.csv "
                "--target COLUMN."
            )
    for name in OPTIONS_OF_STUDIES:
        if options[name]:
            problems.append(f"'--{name}' is given without a study; only the audit of a study has it. Leave it out.")
    if problems:
        raise ConfigError(*problems)
    return named[0]


def _check_study_options(options: Mapping[str, Any], named: Sequence[str]) -> None:
    """Refuse a study next to another form, and options that a study answers by itself."""
    given = [*named, *(name for name in OPTIONS_OF_TABLES if options[name] is not None)]
    if given:
        words = join_words(f"--{name}" for name in given)
        raise ConfigError(
            f"{words}: given together with the study {options['name']!r}; the record of a study says its tables, its "
            "measure and its folds. Leave it out, or leave out the name."
        )


def _audit_study(options: Mapping[str, Any], meter: Meter) -> Audit:
    """Audit a study by its record."""
    names = [name for name in (options["checks"] or "").split(",") if name.strip()]
    checks = choose_checks(names)
    with open_record(options["name"], options["overrides"], parse_tables(options["table"] or ())) as record:
        return run_study_audit(record, checks, meter, options["permutations"], options["seed"], options["chance"])


def _load_table(options: Mapping[str, Any]) -> Any:
    """Load the table of an audit as a data set."""
    keys = ("target", "positive", "groups", "time")
    spec = {"kind": "table", "path": options["data"], **{key: options[key] for key in keys if options[key] is not None}}
    return datasets.read_dataset(spec, "table")


def _request_of(subject: Any, options: Mapping[str, Any]) -> AuditRequest:
    names = ("measure", "chance", "claimed", "permutations", "seed")
    return check_request(subject, **{name: options[name] for name in names}, cv=options["folds"])


def _audit_object(options: Mapping[str, Any], meter: Meter, form: str) -> Audit:
    """Audit a function or an estimator that a module holds."""
    subject = load_subject(options[form], is_estimator=form == "estimator")
    request = _request_of(subject, options)
    data = _load_table(options)
    table = audit_table(data.X, data.y, len(data.classes) - 1, data.groups, data.time)
    return run_audit(subject, table, request, meter)


def _audit_script(options: Mapping[str, Any], meter: Meter) -> Audit:
    """Audit a program that reads a table from a file."""
    request = _request_of(lambda X, y: math.nan, options)  # stands for the program
    script = scripts.Script(options["script"], options["timeout"])
    script.words("")
    data, path = _load_table(options), Path(options["data"])
    cells, separator = datasets.read_cells(path, datasets.TableProblems(data.name, "table"))
    cells = cells.set_axis([str(name) for name in cells.columns], axis=1)
    if len(cells) != len(data.y):
        raise DataError(
            f"data set {data.name!r} has {count_noun(len(cells), 'row')}, of which {len(data.y)} have a label; a "
            "program is given all of them. Leave the other rows out of the file."
        )
    target, *kept = (
        datasets.column_named(options[role], cells.columns) for role in ("target", "groups", "time") if options[role]
    )
    X = cells.drop(columns=target)
    labels = np.array([str(label) for label in cells[target]], dtype=object)
    positive = _label_of(labels, data.y == len(data.classes) - 1)
    checked = audit_table(X, labels, positive, data.groups, data.time)
    table = AuditTable(X, labels, checked.classes, data.groups, data.time, data.X, tuple(kept))
    place = list(cells.columns).index(target)
    with scripts.script_evaluation(script, data.name, target, place, separator) as evaluate:
        return run_audit(evaluate, table, request, meter, repr(options["script"]))


def _label_of(labels: np.ndarray, is_positive: np.ndarray) -> Any:
    """Return the positive label as the file writes it."""
    return labels[np.flatnonzero(is_positive)[0]]


def load_subject(path: str, is_estimator: bool) -> Any:
    """Import an estimator or a function as ``module:name``; a module may lie in the current folder.

    Parameters
    ----------
    path : str
        Such as ``mypackage.module:pipeline``.
    is_estimator : bool
        A class, or a function without arguments, is called to give the estimator.

    Raises
    ------
    ConfigError
        If it cannot be imported.

    Examples
    --------
    >>> load_subject("sklearn.linear_model:LogisticRegression", is_estimator=True)
    LogisticRegression()
    """
    option = "--estimator" if is_estimator else "--function"
    module, _, name = path.partition(":")
    if not name:
        raise ConfigError(
            f"{option} is {path!r}; it is a module and a name in it. Write {option} mypackage.module:NAME."
        )
    import_from_current_folder([module])
    try:
        subject: Any = import_module(module)
        for part in name.split("."):
            subject = getattr(subject, part)
        if is_estimator and (isinstance(subject, type) or not hasattr(subject, "fit")):
            subject = subject()
    except Exception as error:  # the user's module may raise anything
        raise ConfigError(
            f"{option} {path!r} cannot be loaded ({type(error).__name__}: {foreign_reason(error)}); the module is "
            "imported, also from the current folder, and the name is looked up in it. Correct the path or the module."
        ) from error
    return subject
