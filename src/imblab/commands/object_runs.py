"""``imblab.run``: a study, or a table with learners, strategies and folds as Python objects."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import signature
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from imblab.commands import python_runs
from imblab.commands.estimator_records import check_flags
from imblab.commands.layout import KEY_PATTERN
from imblab.commands.short_form import expand_short_form, table_path
from imblab.commands.study_result import StudyResult
from imblab.core import design
from imblab.core.splitters import read_splitter
from imblab.edges import config, datasets, runner, store
from imblab.edges.config.agreement import MAX_SEED
from imblab.edges.config.validation import ErrorCollector, quote
from imblab.edges.datasets.sources import FrameWithRoles, frame_with_roles
from imblab.errors import ConfigError, DataError, unknown
from imblab.groups import group_options
from imblab.study import Dataset, Protocol, Study
from imblab.text import to_hydra_syntax

DEFAULT_NAME = "table"
#: Roles that may be given as values, and not only as a column's name.
VALUE_ROLES = ("groups", "folds", "time", "amount", "id")
#: The other arguments of :func:`imblab.dataset` that :func:`run` passes on.
TABLE_OPTIONS = (
    *("positive", "drop", "categorical", "numeric", "parent", "rare", "allow_majority_positive", "merge"),
    *("drop_classes", "missing", "time_format"),
)
#: The protocol whose numbers ``cv``, ``inner_cv`` and ``repeats`` change.
DEFAULT_PROTOCOL = "nested_5x3"
FILE_KEY = "table"


@dataclass(frozen=True, slots=True, eq=False)
class ObjectRequest:
    """A study of objects: the question, its tables in memory, and what of the objects was left out."""

    study: Study
    tables: tuple[Dataset, ...]
    notes: tuple[str, ...] = ()


def run(  # noqa: PLR0913 (keyword arguments of the public API)
    X: Any = None,
    y: Any = None,
    *,
    learners: Any = None,
    strategies: Any = None,
    measures: Any = None,
    primary: str | None = None,
    cv: Any = None,
    inner_cv: int | None = None,
    repeats: int | None = None,
    groups: Any = None,
    time: Any = None,
    positive: Any = None,
    random_state: int | None = 0,
    n_jobs: int | None = 1,
    name: str | None = None,
    folder: str | Path | None = None,
    overwrite: bool = False,
    data: Sequence[Dataset] = (),
    tracking_uri: str | None = None,
    store_path: str | Path | None = store.DEFAULT_PATH,
    fit_timeout: float | None = None,
    retry_failed: bool = False,
    in_memory: bool = False,
    progress: bool | None = None,
    **table: Any,
) -> StudyResult:
    """Run a study: of a table and of objects of scikit-learn, or one that is composed already.

    A study of objects is written only if it has a ``name`` or a ``folder``; without both it runs in memory. A study
    with a name is resumed by the same call.

    Parameters
    ----------
    X : DataFrame, array, Dataset, path, or Study
        The features: a frame of pandas, polars or another library of Arrow, an array (its columns are called x0, x1,
        ...), a table of :func:`imblab.dataset`, or the path of a file. Columns of categories and texts are categorical.
        Or a study of :func:`imblab.compose`, or the name of an experiment (``run(experiment=...)``
        too), without any argument that describes one.
    y : array-like of shape (n_rows,) or str
        The labels, or the name of their column, as ``target="left"`` too.
    learners : object, sequence or mapping, optional
        Names of ``imblab list learners``, classifiers of scikit-learn, :class:`imblab.Learner`; a mapping names them.
        ``["logistic", "lightgbm"]`` by default. Of a classifier the parameters count, not what it learned.
    strategies : object, sequence or mapping, optional
        Names of ``imblab list strategies``, samplers of imbalanced-learn, :class:`imblab.Strategy`. By default
        ``["none", "threshold", "class_weight", "smote", "smote_threshold"]``, which hold the two baselines. A sampler
        is a strategy with its ratio and k and a tuned threshold.
    measures : object, sequence or mapping, optional
        Names of ``imblab list measures`` or of the same scorers of scikit-learn, :class:`imblab.Measure`. All that
        the command line measures by default.
    primary : str, optional
        The measure that is tuned and judged: ``"mcc"`` by default, or the first of ``measures`` without it.
    cv : int, str, splitter or list of (train, test), optional
        The outer folds: a number (5 by default), the name of a protocol such as ``"holdout"``, or a splitter of
        scikit-learn. Its test parts are those of the study. They are kept row by row as predefined folds, unless
        ``random_state`` draws the same ones.
    inner_cv : int, optional
        The number of inner folds, 3 by default.
    repeats : int, optional
        Repeats of the outer folds, 1 by default; repeat r is drawn with ``random_state + r``.
    groups, time : array-like of shape (n_rows,) or str, optional
        Rows that stay together; when a row was recorded. An array, or the name of a column.
    positive : label, optional
        The positive class of two; the rarer one by default.
    random_state : int, default=0
        The one seed of the study; None is 0, so that a study can be repeated.
    n_jobs : int, default=1
        Worker processes, -1 for all cores and None for 1; changes no number.
    name : str, optional
        The name of the study and of the table.
    folder : path, optional
        Where the study is kept; ``experiments/<name>`` by default.
    overwrite : bool, default=False
        Start over; the old folder is kept under another name.
    data : sequence of Dataset, default=()
        Tables in memory of a :class:`imblab.Study`.
    tracking_uri : str, optional
        An MLflow store; nothing is logged without it.
    store_path : path or None
        Where predictions of a study that is written are kept for the next one; nowhere if None.
    fit_timeout : float, optional
        Seconds a fit may take; a fit that takes longer is a failed candidate.
    retry_failed : bool, default=False
        Whether failed evaluations of the folder are tried again and replaced.
    in_memory : bool, default=False
        Write nothing, neither folder nor predictions; what is about a folder is ignored.
    progress : bool, optional
        Whether progress is shown on standard error; by default on a terminal and in a notebook.
    **table
        Further arguments of :func:`imblab.dataset`, such as ``drop``, ``categorical`` and ``missing``.

    Returns
    -------
    StudyResult
        The answer; a notebook shows it as a card, a terminal as one screen.

    Raises
    ------
    ConfigError, DataError
        With everything that is wrong with the arguments.
    StudyError
        If the folder answers another question; what differs is named.

    Warns
    -----
    UserWarning
        For what is doubtful in the table or its folds, and for a ``random_state`` of an object that is left out.

    See Also
    --------
    imblab.ImbalanceSearchCV : Search and threshold as an estimator, without a study.
    imblab.plan : What a composed study would do, before it runs.
    imblab.load : The result of a study that was kept.

    Examples
    --------
    >>> from imblearn.over_sampling import SMOTE
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = make_classification(300, weights=[0.9], random_state=0)
    >>> strategies = ["none", "threshold", SMOTE(sampling_strategy=0.5)]
    >>> result = run(X, y, learners=LogisticRegression(), strategies=strategies, cv=3, measures=["mcc", "pr_auc"])
    """
    errors = ErrorCollector()
    X, n_jobs = table.pop("experiment", None) if X is None else X, 1 if n_jobs is None else n_jobs
    y, random_state = table.pop("target", None) if y is None else y, 0 if random_state is None else random_state
    description = {
        **{"learners": learners, "strategies": strategies, "measures": measures, "primary": primary, "cv": cv},
        **{"inner_cv": inner_cv, "repeats": repeats, "groups": groups, "time": time, "positive": positive},
        **table,
    }
    errors.attempt(lambda: runner.Engine(runner.job_count(n_jobs), None, fit_timeout))
    options: dict[str, Any] = {"overwrite": overwrite, "retry_failed": retry_failed, "tracking_uri": tracking_uri}
    errors.attempt(_check_options, folder, in_memory, progress, options)
    is_composed = isinstance(X, Study) or (isinstance(X, str) and table_path(X) is None)
    is_kept = not in_memory and (is_composed or name is not None or folder is not None)
    if is_composed:
        request = errors.attempt(_request_of_study, X, {"y": y, **description}, random_state, name, data)
    else:
        named = Path(str(folder)).name if name is None and folder is not None else name
        errors.attempt(_check_no_stray, {} if is_kept or in_memory else options, store_path, data)
        description |= {"random_state": random_state, "name": named}
        request = errors.attempt(lambda: request_of_objects(X, y, **description))
    if request is not None and is_kept and not is_composed:
        errors.attempt(_check_readable, request.study)
    errors.check()
    for note in request.notes:
        python_runs.warn_caller(note)
    common: dict[str, Any] = {"data": request.tables, "fit_timeout": fit_timeout, "progress": progress}
    if not is_kept:
        study_run = python_runs.run_in_memory(request.study, n_jobs=n_jobs, **common)
    else:
        common |= {**options, "folder": folder, "store_path": store_path}
        study_run = python_runs.run_in_folder(request.study, n_jobs, **common)
    return StudyResult(study_run.result(), study_run.layout.study, study_run.home, request.tables, (), study_run.source)


def request_of_objects(
    X: Any, y: Any = None, *, random_state: Any = 0, name: str | None = None, cv: Any = None, **description: Any
) -> ObjectRequest:
    """Build the study of a table and of objects from the arguments of :func:`run`; nothing is fitted."""
    errors, description = ErrorCollector(), {key: value for key, value in description.items() if value is not None}
    members = [description.pop(key, None) for key in ("learners", "strategies", "measures", "primary")]
    counts = {key: description.pop(key, None) for key in ("inner_cv", "repeats")}
    errors.attempt(_check_arguments, description)
    seed = errors.attempt(_checked_seed, random_state) or 0
    protocol = errors.attempt(_protocol_changes, cv, **counts) or {}
    named = errors.attempt(_checked_name, DEFAULT_NAME if name is None else name) or DEFAULT_NAME
    base = _base_question(cv, protocol, seed, named)
    table = errors.attempt(_given_table, X, y, description, named)
    if table is not None and table.data.folds is not None and cv is not None:
        table = errors.attempt(_refuse_two_folds, cv)
    study, notes = errors.attempt(config.study_of_objects, base, *members) or (None, [])
    if study is not None and table is not None and _is_splitter(cv):
        folds, table = errors.attempt(_with_splitter, cv, table, study.protocol, seed) or (study.protocol, table)
        study = replace(study, protocol=folds)
    errors.check()
    assert study is not None
    study = replace(study, datasets=table.specs)
    return ObjectRequest(study, () if table.specs else (table.data,), tuple(notes))


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """A table of :func:`run`: loaded, with its frame where it was one, or with its keys where it is a file."""

    data: Dataset
    source: FrameWithRoles | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    specs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def with_folds(self, fold_of_row: np.ndarray) -> _Table:
        """Return the table with predefined folds."""
        if self.source is None or len(self.source.frame) != len(fold_of_row):
            kind = "a file" if self.specs else "without some rows" if self.source else "a Dataset"
            raise ConfigError(
                f"'cv' is a splitter whose test parts are kept row by row, and table {self.data.name!r} is {kind}; the "
                "folds would not be part of it. Pass a frame with all its rows in its place, or write cv=5."
            )
        roles = {"y" if role == "target" else role: column for role, column in self.source.columns.items()}
        source = frame_with_roles(self.source.frame, **roles, folds=fold_of_row)
        return replace(self, data=_load_frame(source, self.data.name, self.options), source=source)


def _load_frame(source: FrameWithRoles, name: str, options: Mapping[str, Any]) -> Dataset:
    columns: dict[str, Any] = {**source.columns}
    return datasets.dataset(source.frame, name=name, **columns, **options)


def _is_splitter(cv: Any) -> bool:
    return cv is not None and not isinstance(cv, (Integral, str))


def _request_of_study(
    study: Study | str, given: Mapping[str, Any], seed: Any, name: str | None, data: Sequence[Dataset]
) -> ObjectRequest:
    """Return a composed study; arguments that would describe another one are refused."""
    if isinstance(study, str) and "." in study:
        expand_short_form([study])  # refuses the name of a file that does not exist
    if stray := [key for key, value in given.items() if value is not None] + (["random_state"] if seed != 0 else []):
        what = f"study {study.name!r}" if isinstance(study, Study) else f"the name {study!r}"
        errors = ErrorCollector()
        if isinstance(study, str):
            errors.attempt(python_runs.compose, study)
        errors.add(
            ConfigError(
                f"{what} is given with {', '.join(f'{key}=' for key in stray)}; a study says these itself. Leave them "
                "out, or pass a table as X. A name is an experiment; overrides go to imblab.compose."
            )
        )
        errors.check()
    study = python_runs.compose(study) if isinstance(study, str) else study
    name = _checked_name(study.name if name is None else name)
    return ObjectRequest(replace(study, name=name), tuple(data))


def _check_readable(study: Study) -> None:
    """Refuse to keep a study whose classes no other process can import: its folder could not be read again."""
    if local := [path for path in design.named_code_paths(study) if path.startswith("__main__.")]:
        raise ConfigError(
            f"study {study.name!r} names {', '.join(map(repr, local))}, defined in a notebook cell or a script; a "
            "study that is kept is read again by other processes. Put the class into a module of its own, or leave out "
            "name and folder."
        )


def _checked_seed(seed: Any) -> int:
    try:
        value = -1 if isinstance(seed, bool) else operator.index(seed)
    except TypeError:
        value = -1
    if not 0 <= value <= MAX_SEED:
        raise ConfigError(
            f"'random_state' is {quote(seed)}; it is a whole number from 0 to {MAX_SEED:,}, so that the study can be "
            "repeated. Write for example random_state=0."
        )
    return value


def _check_arguments(description: Mapping[str, Any]) -> None:
    """Refuse arguments that neither :func:`run` nor a table has."""
    if "target" in description:
        raise ConfigError("'target' is given in addition to 'y'; both are the labels. Leave out one.")
    valid = {*VALUE_ROLES, *TABLE_OPTIONS}
    if stray := [key for key in description if key not in valid]:
        known = {*valid, *signature(run).parameters} - {"table"}
        raise ConfigError(*(unknown("argument", key, known, "of imblab.run") for key in stray))


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not KEY_PATTERN.fullmatch(name):
        raise ConfigError(
            f"'name' is {quote(name)}; it is the name of a folder, a text: letters, digits, '_', '-', '+' and '.', "
            "beginning with a letter or digit. Write for example name='churn'."
        )
    return name


def _check_options(folder: Any, in_memory: Any, progress: Any, options: Mapping[str, Any]) -> None:
    """Refuse options of another type."""
    flags = {key: options[key] for key in ("overwrite", "retry_failed")}
    check_flags(**flags, in_memory=in_memory, progress=progress is not None and progress)
    if folder is not None:
        python_runs.check_path("folder", folder)


def _check_no_stray(options: Mapping[str, Any], store_path: Any, data: Any) -> None:
    """Refuse arguments that a study of a table would ignore: those of a folder that it has not, and other tables."""
    problems = []
    is_stored = options and store_path not in (None, store.DEFAULT_PATH)
    if stray := [key for key, value in {**options, "store_path": is_stored}.items() if value]:
        problems.append(
            f"{', '.join(map(repr, stray))} given without a name; a study without name and folder is in memory, where "
            "nothing is kept or logged. Write for example name='churn', or leave them out."
        )
    if len(data):
        problems.append(
            "'data' is given with a table; it holds the tables in memory of an imblab.Study. Leave it out: X is the "
            "table."
        )
    if problems:
        raise ConfigError(*problems)


def _refuse_two_folds(cv: Any) -> None:
    what = "a splitter" if _is_splitter(cv) else quote(cv)
    raise ConfigError(f"'cv' is {what} and 'folds' is given; both say in which part each row is tested. Leave out one.")


def _protocol_changes(cv: Any, inner_cv: Any, repeats: Any) -> dict[str, int]:
    """Return the numbers of folds and repeats that were given."""
    problems = []
    options = group_options("protocol")
    if isinstance(cv, str) and cv not in options:
        hint = f"A number of folds is written cv={cv}." if cv.isdecimal() else ""
        problems.append(unknown("protocol", cv, options, "for 'cv'", hint))
    if _is_splitter(cv) and repeats is not None:
        problems.append(
            f"'repeats' is {quote(repeats)} and 'cv' is a splitter, which says itself how often it splits. Leave "
            "repeats out, or write cv=5, repeats=10."
        )
    changes: dict[str, int] = {}
    outer = cv if isinstance(cv, Integral) else None
    for key, argument, low, value in (
        ("outer_folds", "cv", 2, outer),
        ("inner_folds", "inner_cv", 2, inner_cv),
        ("repeats", "repeats", 1, repeats),
    ):
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, Integral) or value < low:
            rule = f"it is a whole number, at least {low}"
            problems.append(f"{argument!r} is {quote(value)}; {rule}. Write for example {argument}={low + 1}.")
        else:
            changes[key] = int(value)
    if problems:
        raise ConfigError(*problems)
    return changes


def _base_question(cv: Any, changes: Mapping[str, int], seed: int, name: str) -> dict[str, Any]:
    """Compose what the command line asks by default, with the numbers of folds and repeats."""
    protocol = cv if isinstance(cv, str) and cv in group_options("protocol") else DEFAULT_PROTOCOL
    base = config.compose_question([f"name={to_hydra_syntax(name)}", f"seed={seed}", f"protocol={protocol}"])
    return {**base, "protocol": {**base["protocol"], **changes}}


def _given_table(X: Any, y: Any, description: Mapping[str, Any], name: str) -> _Table:
    """Load a table from what the caller passed as X and y, and said of it."""
    if isinstance(X, Dataset):
        if stray := [key for key, value in {"y": y, **description}.items() if value is not None]:
            raise ConfigError(
                f"data set {X.name!r} is given with {', '.join(f'{key}=' for key in stray)}; it holds its labels and "
                "roles itself. Leave them out, or pass them to imblab.dataset."
            )
        return _Table(X)
    roles = {key: description[key] for key in VALUE_ROLES if key in description}
    options = {key: description[key] for key in TABLE_OPTIONS if key in description}
    if isinstance(X, (str, Path)):
        return _read_file(str(X), {"target": y, **roles}, options)
    source = frame_with_roles(X, y, **roles)
    return _Table(_load_frame(source, name, options), source, options)


def _read_file(path: str, roles: Mapping[str, Any], options: Mapping[str, Any]) -> _Table:
    """Load a table from a file, as the short form of the command line describes it."""
    if arrays := ["y" if key == "target" else key for key, v in roles.items() if not isinstance(v, (str, type(None)))]:
        raise DataError(
            f"table {path!r} is a file, and {', '.join(map(repr, arrays))} hold values; of a file columns are named. "
            "Write for example y='left', or read the file and pass the frame."
        )
    given = {key: value for key, value in {**roles, **options}.items() if value is not None}
    plain = {key: value.item() if isinstance(value, np.generic) else value for key, value in given.items()}
    spec = {"kind": "table", "path": path, **plain}
    return _Table(datasets.read_dataset(spec, FILE_KEY, has_arguments=True), specs={FILE_KEY: spec})


def _with_splitter(cv: Any, table: _Table, protocol: Protocol, seed: int) -> tuple[Protocol, _Table]:
    """Return the protocol and the table that make the folds of a splitter."""
    labels: Any = table.data.y
    groups: Any = table.data.groups
    if table.source is not None and len(table.source.frame) == len(table.data.y):
        columns, frame = table.source.columns, table.source.frame
        labels, groups = frame[columns["target"]], frame[columns["groups"]] if "groups" in columns else None
    folds = read_splitter(cv, table.data, labels, groups, protocol, seed)
    return folds.protocol, table if folds.fold_of_row is None else table.with_folds(folds.fold_of_row)
