"""Exported models: an MLflow model in a folder, or registered at a store with the alias of the version that is served.

The format is skops, which names its types and builds no others: those of the packages that a study may name. A learner
that skops cannot carry is written with cloudpickle, which runs code when it is loaded; the model card says so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd

import imblab_model
from imblab.edges import files
from imblab.edges.files import locks
from imblab.edges.mlflow.addresses import (
    CONTENT_TAG,
    IDENTITY_TAG,
    NOTE_TAG,
    ROLE_TAG,
    ExperimentOwner,
    claim_experiment,
    file_uri_path,
    user_tags,
)
from imblab.edges.mlflow.client import get_or_none, locked_store, open_client, quiet_environment
from imblab.errors import StudyError
from imblab.study import fingerprint
from imblab.text import join_words

CARD_FILE = "README.md"
#: Packages that every exported model needs.
REQUIRED_PACKAGES = ("mlflow", "numpy", "pandas", "scikit-learn", "scipy", "skops")
#: Trusted types outside the packages of a study: they hold values only.
VALUE_TYPES = (
    *("numpy.dtype", "collections.OrderedDict", "imblab_model.Preparation"),
    *("imblab_model.ThresholdClassifier", "imblab_model.MulticlassThresholdClassifier"),
)
#: The kind of a column of whole numbers only. MLflow takes neither 3 for a double nor 3.0 for a long, so the signature
#: leaves such a column open.
WHOLE_NUMBERS = "whole"
#: The alias of the version that is served. An export gives it to the first version, and to later ones only if asked.
CHAMPION = "champion"
#: MLflow's limit.
MAX_DESCRIPTION_CHARACTERS = 5000
REGISTRY_WAY_OUT = "exported models are registered there. Export again later, or write it to a folder with "
REGISTRY_WAY_OUT += "tracking=none."


@dataclass(frozen=True, slots=True, eq=False)
class ModelFormat:
    """How an estimator is written: "skops" with its trusted types, or "cloudpickle" and why not skops."""

    name: str
    trusted: tuple[str, ...] = ()
    reason: str | None = None
    modules: tuple[str, ...] = ()  # the user's own, which must be importable where the model is loaded

    @property
    def needs(self) -> str:
        """A sentence on the user's own modules, after a space; empty without them."""
        names = join_words([f"`{name}`" for name in self.modules])
        where = "which is not in the model: where it is loaded, the folder that holds it must be in PYTHONPATH."
        return names and f" It needs {names}, {where}"

    @property
    def sentence(self) -> str:
        """The format in one or two sentences, for people who load the model."""
        return self._how + self.needs

    @property
    def _how(self) -> str:
        if self.name == "skops":
            return (
                f"Written with skops, which builds no types but scikit-learn's and {len(self.trusted)} named ones; "
                "`code/imblab_model.py`, which travels along, is the only code that is imported from here."
            )
        return f"Written with cloudpickle, which runs code when it is loaded, since {self.reason}."


@dataclass(frozen=True, slots=True, eq=False)
class ExportedModel:
    """An estimator with everything that its users need."""

    name: str  # name of the registered model
    estimator: Any  # fitted on all rows of the data set
    form: ModelFormat  # how it is written
    columns: Mapping[str, str]  # {"double", "whole", "string", "boolean"}: kinds of the columns that it reads
    label: str  # {"long", "string", "boolean"}: kind of the labels that it predicts
    example: pd.DataFrame  # synthetic input rows
    card: str  # the model card, in Markdown
    tags: Mapping[str, str] = field(default_factory=dict)  # tags of the model and of its run
    answers: str = ""  # hash of its scores of every row of the data set

    @property
    def content(self) -> str:
        """Hash of everything that users of the model see: two exports with the same one are the same model."""
        code = Path(imblab_model.__file__).read_text(encoding="utf-8")
        visible = [self.name, dict(self.columns), self.label, self.card, dict(self.tags), self.answers]
        return fingerprint(visible, [self.form.name, list(self.form.trusted), requirements(self.form)], code)


@dataclass(frozen=True, slots=True)
class Registration:
    """The version of a model at a registry after an export, and the version that has the alias now."""

    name: str
    version: int
    is_new: bool
    champion: int | None
    sentence: str

    @property
    def source(self) -> str:
        """The address under which this version is loaded."""
        suffix = f"@{CHAMPION}" if self.champion == self.version else f"/{self.version}"
        return f"models:/{self.name}{suffix}"


def model_name(study: str, dataset: str, datasets: Iterable[str] = ()) -> str:
    """Name the model of a study and a data set as MLflow accepts it; a digest tells apart what is written alike.

    Examples
    --------
    >>> model_name("churn-2024", "eu.west"), model_name("churn-2024", "eu.west", ["eu.west", "eu_west"])
    ('churn-2024-eu_west', 'churn-2024-eu_west-4a82f4')
    """
    written = _accepted(dataset)
    is_shared = written != dataset and any(_accepted(other) == written for other in datasets if other != dataset)
    return _accepted(f"{study}-{dataset}") + (f"-{fingerprint(dataset)[:6]}" if is_shared else "")


def _accepted(name: str) -> str:
    return re.sub(r"[^\w\-]", "_", name)


def choose_format(estimator: Any, packages: Sequence[str]) -> ModelFormat:
    """Choose the format that can carry an estimator, where types of some top-level packages are trusted."""
    import skops.io

    try:
        types = tuple(sorted(skops.io.get_untrusted_types(data=skops.io.dumps(estimator))))
    except Exception as error:  # a type of another package may raise anything
        return ModelFormat("cloudpickle", reason=f"skops cannot carry it ({type(error).__name__})")
    if foreign := foreign_types(types, packages):
        return ModelFormat("cloudpickle", reason=f"its type {foreign[0]!r} lies outside the trusted packages")
    return ModelFormat("skops", types)


def foreign_types(types: Iterable[str], packages: Sequence[str]) -> list[str]:
    """The types of a model that lie outside some top-level packages, without those of plain values."""
    return [name for name in types if name not in VALUE_TYPES and name.partition(".")[0] not in packages]


def check_model_folder(folder: Path) -> None:
    """Refuse, before any fit, a folder that MLflow cannot load from: it decodes the path of a local model twice."""
    path = str(folder.absolute())
    if unquote(path) != path:
        raise StudyError(
            f"a model in {path!r} cannot be loaded again; MLflow reads '%' with two digits in the path of a model as "
            "another character. Rename the folder, or register the model at a server with tracking.uri=http://..."
        )


def requirements(form: ModelFormat) -> list[str]:
    """The packages that a model needs, each pinned to the installed version."""
    distributions = packages_distributions()
    tops = dict.fromkeys(name.partition(".")[0] for name in form.trusted)
    provided = ("numpy", "sklearn", "imblab_model")
    learner = [distributions[top][0] for top in tops if top in distributions and top not in provided]
    pickler = ["cloudpickle"] if form.name == "cloudpickle" else []
    return [f"{name}=={version(name)}" for name in sorted({*REQUIRED_PACKAGES, *learner, *pickler})]


def save_model(model: ExportedModel, home: Path, name: str) -> None:
    """Write a model with its card into the folder ``name`` below that of its study; an older one is replaced."""
    with locks.scratch_folder("model") as place:
        _write_model(model, place / "model")
        files.replace_tree(home, name, place / "model")


def _write_model(model: ExportedModel, folder: Path, description: Any = None) -> None:
    """Write a model with its card into a new folder; ``description`` (MLflow's) says where it will be stored."""
    os.environ.update(quiet_environment())
    import mlflow.sklearn
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    columns = [ColSpec(AnyType() if kind == WHOLE_NUMBERS else kind, name) for name, kind in model.columns.items()]
    mlflow.sklearn.save_model(
        model.estimator,
        str(folder),
        mlflow_model=description,
        code_paths=[imblab_model.__file__],
        serialization_format=model.form.name,
        skops_trusted_types=list(model.form.trusted) or None,
        signature=ModelSignature(inputs=Schema(columns), outputs=Schema([ColSpec(model.label)])),
        input_example=model.example,
        pip_requirements=requirements(model.form),
        metadata=dict(model.tags),
    )
    (folder / CARD_FILE).write_text(model.card, encoding="utf-8")


def register_model(model: ExportedModel, owner: ExperimentOwner, uri: str, champion: bool = False) -> Registration:
    """Register a model as a new version, unless an identical one is registered, and move the alias if that is asked.

    The model is logged to the experiment of its study. The first version has the alias in any case. An experiment or a
    model of another study is refused.
    """
    with open_client(uri, REGISTRY_WAY_OUT) as client, locked_store(uri):
        versions = sorted(client.search_model_versions(f"name = '{model.name}'"), key=lambda each: int(each.version))
        _check_model_owner(versions, model, owner)
        before = champion_version(client, model.name)
        same = [each for each in versions if each.tags.get(CONTENT_TAG) == model.content and each.status == "READY"]
        number = int(same[-1].version) if same else _log_and_register(client, model, owner, uri)
        if (before is None and not versions) or (champion and (before is None or int(before.version) != number)):
            client.set_registered_model_alias(model.name, CHAMPION, str(number))
            now: int | None = number
        else:
            now = None if before is None else int(before.version)
    identical = f"Version {number} of {model.name!r} is identical; nothing new was registered."
    outcome = identical if same else f"Registered {model.name!r} version {number}."
    return Registration(model.name, number, not same, now, f"{outcome} {_alias_sentence(before, now, number)}")


def _log_and_register(client: Any, model: ExportedModel, owner: ExperimentOwner, uri: str) -> int:
    """Log the model to the experiment of its study, and register it as a new version."""
    from mlflow.models import Model as Description

    experiment = claim_experiment(client, owner, uri)
    location = client.get_experiment(experiment).artifact_location
    if location.startswith("file:"):
        check_model_folder(file_uri_path(location))
    tags = {**model.tags, IDENTITY_TAG: owner.identity, CONTENT_TAG: model.content}
    run_tags = {**user_tags(), **tags, ROLE_TAG: "model"}
    run = client.create_run(experiment, tags=run_tags, run_name=f"export {model.name}").info.run_id
    logged = client.create_logged_model(experiment, name=model.name, source_run_id=run, tags=tags)
    location, identifier = logged.artifact_location, logged.model_id
    description = Description(artifact_path=location, model_uuid=identifier, run_id=run, model_id=identifier)
    with locks.scratch_folder("model") as place:
        _write_model(model, place / "model", description)
        client.log_model_artifacts(identifier, str(place / "model"))
    client.finalize_logged_model(identifier, "READY")
    card = model.card[:MAX_DESCRIPTION_CHARACTERS]
    client.set_tag(run, NOTE_TAG, card)
    client.set_terminated(run)
    _ensure_registered_model(client, model)
    options = {"tags": tags, "description": card, "await_creation_for": 0, "model_id": identifier}
    return int(client.create_model_version(model.name, location, run, **options).version)


def _ensure_registered_model(client: Any, model: ExportedModel) -> None:
    """Create the registered model unless it exists; another process may create it at the same moment."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model.name, description=model.card.splitlines()[0].lstrip("# "))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _check_model_owner(versions: Sequence[Any], model: ExportedModel, owner: ExperimentOwner) -> None:
    """Refuse to add a version to the model of another study."""
    for each in versions:
        if not owner.owns(each.tags.get(IDENTITY_TAG)):
            raise StudyError(
                f"the registered model {model.name!r} belongs to another study (version {each.version} has identity "
                f"{each.tags[IDENTITY_TAG]!r}; this one has {owner.identity!r}); its versions are those of one study. "
                f"Export with tracking.experiment={owner.study}-{owner.identity[:6]}, which names experiment and model."
            )


def champion_version(client: Any, name: str) -> Any:
    """The version that has the alias, or None."""
    return get_or_none(client.get_model_version_by_alias, name, CHAMPION)


def _alias_sentence(before: Any, now: int | None, number: int) -> str:
    """What happened to the alias: the version that had it before, the one that has it now, and the exported one."""
    if now is None:
        return f"No version is {CHAMPION}; {CHAMPION}=true makes v{number} it."
    if before is not None:
        former = "/".join(before.tags.get(f"imblab.{name}", "?") for name in ("learner", "strategy"))
        if int(before.version) != now:
            return f"{CHAMPION}: v{before.version} -> v{now} (was {former})."
        if now != number:
            return f"{CHAMPION} stays v{now} ({former}); {CHAMPION}=true moves it to v{number}."
    return f"{CHAMPION}: v{number}."
