"""``imblab verify``: fit an exported model again on all rows, and compare its threshold and its predictions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imblab.analysis.advice import Selection
from imblab.analysis.reproduction import Difference, value_differences
from imblab.commands import exporting
from imblab.edges import config, datasets, ledger, mlflow, terminal
from imblab.edges.files import locks
from imblab.edges.ledger import EXPERIMENTS
from imblab.edges.provenance import environment
from imblab.errors import FitFailed, StudyError, presentable, unknown
from imblab.fields import parse_json
from imblab.result import Evaluation
from imblab.study import Dataset, Study
from imblab.text import count_noun, join_words

#: How far probabilities may lie apart where versions differ.
TOLERANCE = 1e-6
#: Keys of the command line that choose models, and one that is true or false, with its rule.
MODEL_KEYS = ("dataset", "version")
CODE_RULE = {
    "runs_code": "it says whether a model that runs code may be loaded, true or false. Write runs_code=true if you "
    "trust its author."
}
#: Parameters of an exported estimator that are compared by its scores.
FITTED_PARTS = ("preparation", "learner")


@dataclass(frozen=True, slots=True, repr=False)
class Verification:
    """Whether an exported model is the one that its study gives now."""

    model: str  # ``models:/<name>/<version>``, or a folder
    place: str  # ``dataset/learner/strategy``
    rows: int  # rows of the table whose predictions were compared
    threshold: Any  # that of the model: a number, or one per class
    versions: tuple[str, ...]  # packages whose version differs from that of the export, as ``name exported -> now``
    largest_difference: float | None  # between two scores of a row; None where the models score other rows or classes
    differences: tuple[Difference, ...]  # empty if the model is the same

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    def __repr__(self) -> str:
        return presentable(" ".join(self.sentences()))

    def sentences(self) -> list[str]:
        """Say whether the model is the same, and what differs."""
        what = f"{self.model} ({self.place})"
        versions = f" Versions, exported -> now: {join_words(self.versions)}." if self.versions else ""
        if self.is_same:
            rows = count_noun(self.rows, "row")
            how = f"within {TOLERANCE:g}" if self.largest_difference else "bit for bit"
            return [
                f"{what} is the model of its study: the same knobs and threshold, and {rows} scored the same {how}."
                f"{versions}"
            ]
        listed = "; ".join(
            f"{each.field} {json.dumps(each.recorded)} -> {json.dumps(each.now)}" for each in self.differences
        )
        return [f"{what} is not the model of its study, exported -> now: {listed}.{versions}"]


def command_verify(name: str, args: Sequence[str], as_json: bool) -> int:
    """Run ``imblab verify``; returns 0 where every model is the same, 1 where one differs."""
    verifications = verify(name, *args)
    if as_json:
        terminal.put(json.dumps([{"same": each.is_same, **asdict(each)} for each in verifications]))
    else:
        for each in verifications:
            for sentence in each.sentences():
                terminal.print_paragraph(sentence)
    return 0 if all(each.is_same for each in verifications) else 1


def verify(study: str, *overrides: str, data: Sequence[Dataset] = ()) -> list[Verification]:
    """Fit the exported models of a study again on all rows, and compare them: the same threshold and predictions.

    Parameters
    ----------
    study : str
        A folder below ``experiments``.
    *overrides : str
        ``"dataset=..."`` and ``"version=3"`` choose models (those that are served by default), ``"tracking.uri=..."``
        and ``"tracking=none"`` say where they are, ``"runs_code=true"`` loads one that runs code.
    data : sequence of Dataset, default=()
        Tables of the study that were in memory; see :func:`imblab.dataset`.

    Returns
    -------
    list of Verification
        One per model.

    Raises
    ------
    ConfigError, DataError, StudyError
        If there is no such study or model, it cannot be read, or its table has changed.

    See Also
    --------
    imblab.export : Fit and register the recommended strategies.

    Examples
    --------
    >>> verify("quickstart", "dataset=yeast6")  # doctest: +SKIP
    """
    home = ledger.find_study(study, EXPERIMENTS)
    words, flags, others = exporting.split_words(overrides, MODEL_KEYS, CODE_RULE)
    request = config.load_request(home / ledger.STUDY_FILE, others)
    rows = ledger.read_evaluations(home)
    with _models(home, request, words) as models:
        if not models:
            raise StudyError(
                f"study {study!r} has no exported model there; only a model that was exported is verified. Export it: "
                f"imblab export {study}, or say where it is with tracking.uri=... or tracking=none, and version=..."
            )
        estimators = [mlflow.load_estimator(each, request.packages, flags["runs_code"]) for each in models]
        pairs = zip(models, estimators, strict=True)
        given = {table.name: table for table in data}
        return [_verify_model(model, estimator, request, rows, given) for model, estimator in pairs]


@contextmanager
def _models(home: Path, request: config.Request, words: Mapping[str, str]) -> Iterator[list[mlflow.SavedModel]]:
    """Give the exported models of a study, of the folder or of the registry."""
    specs = request.study.datasets.items()
    known = [datasets.name_and_parent(spec, key)[0] for key, spec in specs]
    names = [name for name in known if name == words.get("dataset", name)]
    if not request.tracking.get("enabled", True):
        folders = [home / "model" / name for name in names]
        yield [mlflow.read_model(folder, str(folder)) for folder in folders if folder.is_dir()]
        return
    title = request.tracking.get("experiment") or request.study.name
    registered = [mlflow.model_name(title, name, known) for name in names]
    with locks.scratch_folder("verify") as place:
        yield mlflow.fetch_models(str(request.tracking["uri"]), registered, words.get("version"), place)


def _verify_model(
    model: mlflow.SavedModel,
    estimator: Any,
    request: config.Request,
    rows: Sequence[Evaluation],
    given: Mapping[str, Dataset],
) -> Verification:
    """Fit what a model says it is, without the prediction store, and compare."""
    selection = _selection_of(model, request.study)
    try:
        data, fitted = exporting.fit_selected(request.study, rows, selection, use_store=False, given=given)
    except FitFailed as error:
        raise StudyError(
            f"model {model.source!r} cannot be fitted again: {error}; it is compared with a fit of "
            f"{selection.key!r} on all rows. Remove the cause, or export again."
        ) from error
    versions = _changed_versions(model.requirements)
    tolerance = TOLERANCE if versions else None
    recorded: dict[str, Any] = {
        "params": _tag_value(model, "params"),
        "threshold": _tag_value(model, "threshold"),
        "data_fingerprint": model.tags.get("imblab.data_fingerprint"),
        "code": "of this imblab" if model.has_same_code else "another imblab_model.py",
        "estimator": _decision_values(estimator),
    }
    now: dict[str, Any] = {
        "params": dict(fitted.winner.params),
        "threshold": fitted.winner.threshold,
        "data_fingerprint": data.fingerprint,
        "code": "of this imblab",
        "estimator": _decision_values(fitted.estimator),
    }
    differences = value_differences(model.source, recorded, json.loads(json.dumps(now)), tolerance)
    before, after = (np.asarray(each.scores(data.X), dtype=np.float64) for each in (estimator, fitted.estimator))
    decided, again = (np.asarray(each.predict(data.X)) for each in (estimator, fitted.estimator))
    differences += _array_differences(model.source, "scores", before, after, tolerance)
    differences += _array_differences(model.source, "predictions", decided, again, None)
    largest = float(np.abs(before - after).max()) if before.shape == after.shape else None
    return Verification(
        model.source, selection.key, len(data.y), recorded["threshold"], versions, largest, tuple(differences)
    )


def _tag_value(model: mlflow.SavedModel, name: str) -> Any:
    """Return the value of a tag that holds JSON; its text where it does not."""
    text = model.tags.get(f"imblab.{name}", "null")
    try:
        return parse_json(text)
    except ValueError:
        return text


def _decision_values(estimator: Any) -> Any:
    """Return how an estimator decides, as plain data: thresholds or costs, labels, calibration."""
    params = {name: value for name, value in estimator.get_params(deep=False).items() if name not in FITTED_PARTS}
    return json.loads(json.dumps(params, default=repr))


def _selection_of(model: mlflow.SavedModel, study: Study) -> Selection:
    """Return the data set, learner and strategy that a model says it is, which the study must have."""
    dataset, learner, strategy = (model.tags[f"imblab.{kind}"] for kind in exporting.CHOICE_KEYS)
    known = {"learner": (learner, study.learner_names), "strategy": (strategy, study.strategy_names)}
    for kind, (name, names) in known.items():
        if name not in names:
            raise StudyError(unknown(kind, name, names, f"in study {study.name!r}, of model {model.source!r}"))
    return Selection(dataset, learner, strategy, "")


def _changed_versions(requirements: Mapping[str, str]) -> tuple[str, ...]:
    installed = environment.current_environment().packages
    pairs = [(name, before, installed.get(name, "not there")) for name, before in requirements.items()]
    return tuple(f"{name} {before} -> {now}" for name, before, now in pairs if before != now)


def _array_differences(
    source: str, name: str, recorded: np.ndarray, now: np.ndarray, tolerance: float | None
) -> list[Difference]:
    """Count the rows in which two models differ."""
    n = len(now)
    if recorded.shape != now.shape:
        return [Difference("values", source, name, f"shape {recorded.shape}", f"shape {now.shape}")]
    equal = recorded == now
    if tolerance is not None and recorded.dtype.kind == "f":
        equal |= np.isclose(recorded, now, rtol=tolerance, atol=tolerance)
    n_other = int((~equal).reshape(n, -1).any(axis=1).sum())
    return [Difference("values", source, name, f"{n_other} of {n} rows", "equal rows")] if n_other else []
