"""Audits of an evaluation, of an estimator, and of a finished study, whose record is read first; ``imblab audit``."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from imblab.analysis.audit_rules import DUPLICATES
from imblab.analysis.fit_audit_rules import BALANCE
from imblab.analysis.optimism import OPTIMISM, THRESHOLD_PEEKING
from imblab.analysis.table_audit_rules import GROUPS, NEAR_DUPLICATES, TELLING_COLUMNS, TIME_SHIFT
from imblab.commands import auditing, fit_checks, record_checks, results
from imblab.commands.audited_study import AuditedStudy, FitPrice, StudyCheck
from imblab.commands.auditing import DEFAULT_PERMUTATIONS, AuditRequest, Meter
from imblab.commands.layout import check_tables, lay_out, planning_engine
from imblab.commands.study_records import StudyRecord, open_record, parse_tables
from imblab.core.audited_scores import AuditTable, audit_table
from imblab.edges import datasets, scripts, terminal
from imblab.edges.config.command_line import import_from_current_folder
from imblab.errors import ConfigError, DataError, ImblabError, foreign_reason, unknown
from imblab.findings import NOT_MADE, Audit, Finding
from imblab.study import Dataset
from imblab.text import count_noun, format_duration, join_words

CHECKS: tuple[StudyCheck, ...] = (
    *fit_checks.FIT_CHECKS,
    StudyCheck(OPTIMISM, record_checks.check_optimism),
    StudyCheck(THRESHOLD_PEEKING, record_checks.check_threshold_peeking),
    StudyCheck(DUPLICATES, record_checks.check_copies, record_checks.price_of_copies),
    StudyCheck(GROUPS, record_checks.check_groups),
    StudyCheck(TELLING_COLUMNS, record_checks.check_telling_columns),
    StudyCheck(BALANCE, record_checks.check_balance),
    StudyCheck(TIME_SHIFT, record_checks.check_time_shift),
)
#: What may be audited with a table, and the other form.
FORMS, STUDY = ("script", "function", "estimator"), "study"
#: Options of the command line that a study says by itself, and those that only a study has.
OPTIONS_OF_TABLES = ("data", "target", "positive", "groups", "time", "measure", "claimed", "folds")
OPTIONS_OF_STUDIES = ("checks", "table")


def audit(  # noqa: PLR0913 (keyword arguments of the public API)
    subject: Any,
    X: Any = None,
    y: Any = None,
    *,
    measure: str | None = None,
    cv: Any = None,
    groups: Any = None,
    time: Any = None,
    positive: Any = None,
    claimed: float | None = None,
    chance: float | None = None,
    permutations: int = DEFAULT_PERMUTATIONS,
    seed: int = 0,
) -> Audit:
    """Audit an evaluation or an estimator: leakage, chance control, duplicates, groups; or a study by its name.

    Parameters
    ----------
    subject : callable, estimator, str or path
        A whole evaluation ``(X, y) -> score`` with its own split, resampling and tuning; or an estimator of
        scikit-learn or imbalanced-learn, such as a pipeline or a search: then the auditor owns the split. Or a
        finished study, which has its own table and folds; :func:`imblab.audit_study` has more arguments.
    X : DataFrame or array-like of shape (n_rows, n_features)
        Features.
    y : array-like of shape (n_rows,)
        Labels of two or more classes.
    measure : str, optional
        The measure of the score: mcc, roc_auc, pr_auc, f1, accuracy or balanced_accuracy. For an estimator mcc by
        default; another name is possible for an evaluation with its ``chance``.
    cv : int, splitter or iterable of (train, test), optional
        The folds of an estimator: five stratified ones by default, group folds with ``groups``, growing windows with
        ``time``.
    groups, time : array-like of shape (n_rows,), optional
        Rows that belong together; when a row was recorded. Labels are then exchanged between whole groups (if each has
        one label), or within blocks of time.
    positive : label, optional
        The positive class; the rarest by default.
    claimed : float, optional
        A reported score, to be compared with the honest one of an estimator.
    chance : float, optional
        The score without information, for a measure whose chance level is not known.
    permutations : int, default=20
        Runs with permuted labels; half as many run on pure noise.
    seed : int, default=0
        Draws permutations, noise and folds.

    Returns
    -------
    Audit
        Findings, each passed, caution, failed or not made; ``print`` shows them.

    Raises
    ------
    ConfigError
        If an argument is wrong.
    DataError
        If the table cannot be audited.
    StudyError
        If the evaluation fails on the table as it is.

    See Also
    --------
    imblab.audit_study : The same for a study of imblab, with checks of its own.

    Examples
    --------
    >>> import numpy as np
    >>> from imblearn.over_sampling import RandomOverSampler
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> def evaluate(X, y):
    ...     X, y = RandomOverSampler(random_state=0).fit_resample(X, y)  # before the split
    ...     return cross_val_score(KNeighborsClassifier(1), X, y, scoring="f1").mean()
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(100, 3)), rng.permutation([0] * 90 + [1] * 10)
    >>> result = audit(evaluate, X, y, measure="f1", permutations=4)
    >>> result.finding("chance control").state, result.exit_status
    ('failed', 1)
    """
    table = {"X": X, "y": y, "measure": measure, "cv": cv, "groups": groups, "time": time, "positive": positive}
    given = [key for key, value in {**table, "claimed": claimed}.items() if value is not None]
    if isinstance(subject, (str, Path)):
        if given:
            raise ConfigError(
                f"study {str(subject)!r} is given with {join_words(f'{key}=' for key in given)}; a finished study has "
                f"its own table, folds and measure. Leave them out: imblab.audit({str(subject)!r})."
            )
        return audit_study(subject, permutations=permutations, seed=seed, chance=chance)
    if absent := [key for key in ("X", "y") if key not in given]:
        raise ConfigError(
            f"{type(subject).__name__!r} is given without {join_words(absent)}; an evaluation or an estimator is "
            "audited on a table. Call imblab.audit(subject, X, y), or imblab.audit('NAME') for a finished study."
        )
    request = auditing.check_request(subject, AuditRequest(measure or "", chance, claimed, permutations, seed, cv))
    return auditing.run_audit(subject, audit_table(X, y, positive, groups, time), request, Meter())


def audit_study(
    study: str | Path,
    *overrides: str,
    checks: Sequence[str] = (),
    permutations: int = DEFAULT_PERMUTATIONS,
    seed: int = 0,
    chance: float | None = None,
    tables: Mapping[str, str | Path] | None = None,
    data: Sequence[Dataset] = (),
) -> Audit:
    """Audit a finished study from its record, its stored predictions and fresh fits.

    Parameters
    ----------
    study : str or path
        The name of a study, its folder, its ``study.yaml`` or ``ledger.jsonl``, or the id of an MLflow run.
    *overrides : str
        Such as ``"allow=[mypkg]"``, ``"runner.n_jobs=2"``, ``"tracking.uri=http://host:5000"``.
    checks : sequence of str, default=()
        Names of checks, such as ``"optimism"``; all of them by default.
    permutations : int, default=20
        Runs with permuted labels.
    seed : int, default=0
        Of all that a check draws.
    chance : float, optional
        The score without information, for a primary measure whose chance level is not known.
    tables : mapping of str to path, optional
        Where the file of a data set is now, by its name, if it is not where the study says.
    data : sequence of Dataset, default=()
        Tables of the study that were in memory; see :func:`imblab.dataset`.

    Returns
    -------
    Audit
        Findings, each passed, caution, failed or not made; ``print`` shows them.

    Raises
    ------
    ConfigError, DataError, StudyError
        If there is no such record, no such check, or a table is not the one that the record rests on.

    See Also
    --------
    imblab.audit : The same for any estimator or evaluation.
    imblab.reproduce : Run evaluations again from the record.

    Examples
    --------
    >>> audit_study("quickstart", checks=["duplicates"]).exit_status  # doctest: +SKIP
    """
    with open_record(str(study), overrides, tables or {}) as record:
        return run_study_audit(record, choose_checks(checks), Meter(), permutations, seed, chance, data)


def choose_checks(names: Sequence[str]) -> tuple[StudyCheck, ...]:
    """Return the checks of some names, in their order; all without names. A hyphen stands for a space."""
    known = {_spell(check.name): check.name for check in CHECKS} | {_spell(NEAR_DUPLICATES): DUPLICATES}
    asked = [_spell(name) for name in names]
    problems = [_unknown_check(name, known) for name in asked if name not in known]
    if problems:
        raise ConfigError(*problems)
    chosen = {known[name] for name in asked} or set(known.values())
    return tuple(check for check in CHECKS if check.name in chosen)


def _spell(name: str) -> str:
    """Return the name of a check as it is typed: in small letters, with hyphens for spaces."""
    return name.strip().replace(" ", "-").lower()


def _unknown_check(name: str, known: Mapping[str, str]) -> str:
    """Describe an unknown check; one word of a name, misspelt, is enough to find it."""
    text = unknown("check", name, known, "in '--checks'")
    words = {word: each for each in known for word in each.split("-")}
    near = get_close_matches(name, words, n=1)
    if near and "Did you mean" not in text:
        start, _, end = text.partition(" Valid checks")
        return f"{start} Did you mean {words[near[0]]!r}? Valid checks{end}"
    return text


def run_study_audit(
    record: StudyRecord,
    checks: Sequence[StudyCheck],
    meter: Meter,
    permutations: int = DEFAULT_PERMUTATIONS,
    seed: int = 0,
    chance: float | None = None,
    data: Sequence[Dataset] = (),
) -> Audit:
    """Audit the study of a record by some checks; see :func:`audit_study`."""
    if problems := auditing.permutation_problems(permutations):
        raise ConfigError(*problems)
    layout = lay_out(record.study, {each.name: each for each in data})
    check_tables(layout, record.evaluations, layout.study.name)
    covered = {cell.key for cell in layout.cells if record.covers(cell)}
    evaluations = {each.key: each for each in record.evaluations if each.key in covered}
    result = results.result_of(layout.study, evaluations.values(), home=record.home)
    engine = planning_engine(record.request)
    study = AuditedStudy(layout, evaluations, result, record.home, engine, meter, permutations, seed, chance)
    for sentence in result.completeness.sentences() if meter.says else ():
        terminal.warn(sentence)
    findings: list[Finding] = []
    with ExitStack() as stack:
        _say_price(study, checks, stack)
        for check in checks:
            try:
                findings += tuple(check.make(study))
            except ImblabError as error:
                findings.append(Finding(check.name, NOT_MADE, f"This check ended with an error: {error}"))
    best = result.recommendation.overall.mean
    score = math.nan if best is None else best
    return Audit(layout.study.name, "study", layout.study.primary, score, tuple(findings), meter.runs, meter.seconds)


def _say_price(study: AuditedStudy, checks: Sequence[StudyCheck], stack: ExitStack) -> None:
    """Say what the checks will fit before they do, and show its progress."""
    prices = {check.name: check.price(study) for check in checks}
    total = FitPrice(*(sum(column) for column in zip(*prices.values(), strict=True))) if prices else FitPrice()
    if total.evaluations:
        parts = join_words(f"{price.evaluations:,} for {name}" for name, price in prices.items() if price.evaluations)
        seconds = format_duration(total.seconds / study.engine.n_jobs)
        counted = count_noun(total.evaluations, "evaluation")
        text = f"The audit runs {counted} ({parts}), about {seconds} at the pace of the record."
        study.meter.follow(stack, total.evaluations, text, study.engine.workers)


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
    try:
        return datasets.read_dataset(spec, "table")
    except ImblabError as error:
        as_option = partial(re.sub, rf"dataset\.table\.({'|'.join(keys)})=?", r"--\1 ")
        raise type(error)(*(as_option(text).replace("  ", " ") for text in error.problems)) from error


def _request_of(subject: Any, options: Mapping[str, Any]) -> AuditRequest:
    given = {name: options[name] for name in ("chance", "claimed", "permutations", "seed")}
    return auditing.check_request(subject, AuditRequest(options["measure"] or "", **given, cv=options["folds"]))


def _audit_object(options: Mapping[str, Any], meter: Meter, form: str) -> Audit:
    """Audit a function or an estimator that a module holds."""
    subject = load_subject(options[form], is_estimator=form == "estimator")
    request = _request_of(subject, options)
    data = _load_table(options)
    table = audit_table(data.X, data.y, len(data.classes) - 1, data.groups, data.time)
    return auditing.run_audit(subject, table, request, meter)


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
    positive = labels[np.flatnonzero(data.y == len(data.classes) - 1)[0]]  # as the file writes it
    checked = audit_table(X, labels, positive, data.groups, data.time)
    table = AuditTable(X, labels, checked.classes, data.groups, data.time, data.X, tuple(kept))
    place = list(cells.columns).index(target)
    with scripts.script_evaluation(script, data.name, target, place, separator) as evaluate:
        return auditing.run_audit(evaluate, table, request, meter, repr(options["script"]))


def load_subject(path: str, is_estimator: bool) -> Any:
    """Import an estimator, what makes one, or a function as ``module:name``, also from the current folder."""
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
