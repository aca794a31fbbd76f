"""A model that leaves: an MLflow model in a folder, and the same registered at a store.

The format is skops, which names its types and builds no others: those of the packages a study may name. Where it
cannot carry a learner, cloudpickle does, which runs code when it is loaded; that is said. No fluent state: explicit
ids, as for runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd

import imblab_model
from imblab.edges import files
from imblab.edges.files import locks
from imblab.edges.mlflow.addresses import file_uri_path
from imblab.edges.mlflow.client import locked_store, open_client, quiet_environment
from imblab.edges.mlflow.experiments import IDENTITY_TAG, ROLE_TAG, ExperimentOwner, claim_experiment, user_tags
from imblab.errors import StudyError
from imblab.study import fingerprint

CARD_FILE = "README.md"
#: What every exported model needs.
REQUIRED_PACKAGES = ("mlflow", "numpy", "pandas", "scikit-learn", "scipy", "skops")
#: Types outside a study's packages that are trusted: they hold values only.
VALUE_TYPES = ("numpy.dtype", "collections.OrderedDict", "imblab_model.Preparation", "imblab_model.ThresholdClassifier")
#: The kind of a column that held whole numbers only: MLflow takes no 3 for a double and no 3.0 for a long, so that
#: such a column is left open.
WHOLE_NUMBERS = "whole"


@dataclass(frozen=True, slots=True, eq=False)
class ModelFormat:
    """How an estimator is written.

    Attributes
    ----------
    name : {"skops", "cloudpickle"}
    trusted : tuple of str
        The types that skops builds.
    reason : str or None
        Why it is not skops.
    """

    name: str
    trusted: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def said(self) -> str:
        """The format in one sentence for whoever loads it."""
        if self.name == "skops":
            return (
                f"Written with skops, which builds no types but scikit-learn's and {len(self.trusted)} named ones; "
                "`code/imblab_model.py`, which travels along, is the only code that is imported from here."
            )
        return f"Written with cloudpickle, which runs code when it is loaded, since {self.reason}."


@dataclass(frozen=True, slots=True, eq=False)
class ExportedModel:
    """An estimator with what its users need.

    Attributes
    ----------
    name : str
        Under which it is registered.
    estimator : ThresholdClassifier
    form : Format
    columns : mapping of str to {"double", "whole", "string", "boolean"}
        What it reads.
    label : {"long", "string", "boolean"}
        What it says.
    example : DataFrame
        Rows that nobody has.
    card : str
        Markdown.
    tags : mapping of str to str
    answers : str
        The hash of what it says of every row of its table.
    """

    name: str
    estimator: Any
    form: ModelFormat
    columns: Mapping[str, str]
    label: str
    example: pd.DataFrame
    card: str
    tags: Mapping[str, str] = field(default_factory=dict)
    answers: str = ""

    @property
    def content(self) -> str:
        """The address of everything that users of the model see: two exports with the same one are the same model."""
        code = Path(imblab_model.__file__).read_text(encoding="utf-8")
        said = [self.name, dict(self.columns), self.label, self.card, dict(self.tags), self.answers]
        return fingerprint(said, [self.form.name, list(self.form.trusted), requirements(self.form)], code)


def model_name(study: str, dataset: str) -> str:
    """The name of the model of a study and a data set, in characters that MLflow takes everywhere.

    Examples
    --------
    >>> registered_name("churn-2024", "eu.west")
    'churn-2024-eu_west'
    """
    return re.sub(r"[^\w\-]", "_", f"{study}-{dataset}")


def choose_format(estimator: Any, packages: Sequence[str]) -> ModelFormat:
    """The format that carries an estimator.

    Parameters
    ----------
    estimator : object
    packages : sequence of str
        Top packages whose types are trusted.

    Returns
    -------
    Format
    """
    import skops.io

    try:
        found = tuple(sorted(skops.io.get_untrusted_types(data=skops.io.dumps(estimator))))
    except Exception as error:  # whatever a foreign type raises, skops cannot carry it
        return ModelFormat("cloudpickle", reason=f"skops cannot carry it ({type(error).__name__})")
    foreign = [name for name in found if name not in VALUE_TYPES and name.partition(".")[0] not in packages]
    if foreign:
        return ModelFormat("cloudpickle", reason=f"its type {foreign[0]!r} lies outside the trusted packages")
    return ModelFormat("skops", found)


def check_model_folder(folder: Path) -> None:
    """Refuse a folder from which MLflow cannot load a model again, before anything is fitted.

    MLflow decodes the path of a local model a second time when it loads it.

    Parameters
    ----------
    folder : Path
        Where the model would lie.

    Raises
    ------
    StudyError
    """
    where = str(folder.absolute())
    if unquote(where) != where:
        raise StudyError(
            f"a model in {where!r} cannot be loaded again; MLflow reads '%' with two digits in the path of a model as "
            "another character. Rename the folder, or register the model at a server with tracking.uri=http://..."
        )


def save_model(model: ExportedModel, home: Path, name: str) -> None:
    """Write an MLflow model with its card into a folder, in place of the one that was there.

    Parameters
    ----------
    model : Model
    home : Path
        The folder of the study.
    name : str
        Of the model's folder below it.
    """
    with locks.scratch_folder("model") as place:
        write_model(model, place / "model")
        files.replace_tree(home, name, place / "model")


def requirements(form: ModelFormat) -> list[str]:
    """The packages that a model needs, each at the installed version."""
    known = packages_distributions()
    tops = dict.fromkeys(name.partition(".")[0] for name in form.trusted)
    learner = [known[top][0] for top in tops if top in known and top not in ("numpy", "sklearn", "imblab_model")]
    pickler = ["cloudpickle"] if form.name == "cloudpickle" else []
    return [f"{name}=={version(name)}" for name in sorted({*REQUIRED_PACKAGES, *learner, *pickler})]


def write_model(model: ExportedModel, folder: Path, described: Any = None) -> None:
    """Write an MLflow model with its card into a new folder.

    Parameters
    ----------
    model : Model
    folder : Path
    described : mlflow.models.Model, optional
        Where it will lie in a store.
    """
    os.environ.update(quiet_environment())
    import mlflow.sklearn
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    signature = ModelSignature(
        inputs=Schema(
            [ColSpec(AnyType() if kind == WHOLE_NUMBERS else kind, name) for name, kind in model.columns.items()]
        ),
        outputs=Schema([ColSpec(model.label)]),
    )
    mlflow.sklearn.save_model(
        model.estimator,
        str(folder),
        mlflow_model=described,
        code_paths=[imblab_model.__file__],
        serialization_format=model.form.name,
        skops_trusted_types=list(model.form.trusted) or None,
        signature=signature,
        input_example=model.example,
        pip_requirements=requirements(model.form),
        metadata=dict(model.tags),
    )
    (folder / CARD_FILE).write_text(model.card, encoding="utf-8")


#: The alias of the version that is served; an export gives it to the first version, later only if asked.
CHAMPION = "champion"
CONTENT = "imblab.content"
NOTE = "mlflow.note.content"
#: Characters that MLflow takes in a description.
MAX_DESCRIPTION_CHARACTERS = 5000
REGISTRY_WAY_OUT = (
    "exported models are registered there. Export again later, or write it to a folder with tracking=none."
)


@dataclass(frozen=True, slots=True)
class Registration:
    """What became of a model at a registry.

    Attributes
    ----------
    name : str
    version : int
    is_new : bool
        Whether it was registered now; an identical model has a version already.
    champion : int or None
        The version that has the alias now.
    said : str
        All of it in a sentence or two.
    """

    name: str
    version: int
    is_new: bool
    champion: int | None
    said: str

    @property
    def source(self) -> str:
        """The address under which this version is loaded."""
        return (
            f"models:/{self.name}@{CHAMPION}"
            if self.champion == self.version
            else f"models:/{self.name}/{self.version}"
        )


def register_model(model: ExportedModel, owner: ExperimentOwner, uri: str, champion: bool = False) -> Registration:
    """Register a model as a new version, unless an identical one is registered, and move the alias if that is asked.

    Parameters
    ----------
    model : Model
    owner : Owner
        The study; the model is logged to its experiment.
    uri : str
        A tracking server or ``sqlite:///...``.
    champion : bool, default=False
        Whether the alias moves to this version. The first version of a model has it in any case.

    Returns
    -------
    Registration

    Raises
    ------
    StudyError
        If the store does not answer, or experiment or model belong to another study.
    """
    with open_client(uri, REGISTRY_WAY_OUT) as client, locked_store(uri):
        known = sorted(client.search_model_versions(f"name = '{model.name}'"), key=lambda each: int(each.version))
        _check_model_owner(known, model, owner)
        before = _champion_version(client, model.name)
        same = [each for each in known if each.tags.get(CONTENT) == model.content and each.status == "READY"]
        version = int(same[-1].version) if same else _log_and_register(client, model, owner, uri)
        if (before is None and not known) or (champion and (before is None or int(before.version) != version)):
            client.set_registered_model_alias(model.name, CHAMPION, str(version))
            now: int | None = version
        else:
            now = None if before is None else int(before.version)
    said = f"Version {version} of {model.name!r} is this very model; nothing new was registered." if same else ""
    said = said or f"Registered {model.name!r} version {version}."
    return Registration(model.name, version, not same, now, f"{said} {_alias_sentence(before, now, version)}")


def _log_and_register(client: Any, model: ExportedModel, owner: ExperimentOwner, uri: str) -> int:
    """Log the model below the experiment of its study and register it."""
    from mlflow.models import Model as Description

    number = claim_experiment(client, owner, uri)
    location = client.get_experiment(number).artifact_location
    if location.startswith("file:"):
        check_model_folder(file_uri_path(location))
    tags = {**model.tags, IDENTITY_TAG: owner.identity, CONTENT: model.content}
    mine = {**user_tags(), **tags, ROLE_TAG: "model"}
    run = client.create_run(number, tags=mine, run_name=f"export {model.name}").info.run_id
    logged = client.create_logged_model(number, name=model.name, source_run_id=run, tags=tags)
    described = Description(
        artifact_path=logged.artifact_location, model_uuid=logged.model_id, run_id=run, model_id=logged.model_id
    )
    with locks.scratch_folder("model") as place:
        write_model(model, place / "model", described)
        client.log_model_artifacts(logged.model_id, str(place / "model"))
    client.finalize_logged_model(logged.model_id, "READY")
    client.set_tag(run, NOTE, model.card[:MAX_DESCRIPTION_CHARACTERS])
    client.set_terminated(run)
    _ensure_registered_model(client, model)
    made = client.create_model_version(
        model.name,
        logged.artifact_location,
        run,
        tags=tags,
        description=model.card[:MAX_DESCRIPTION_CHARACTERS],
        await_creation_for=0,
        model_id=logged.model_id,
    )
    return int(made.version)


def _ensure_registered_model(client: Any, model: ExportedModel) -> None:
    """Make the registered model where it is not there yet; somebody else may make it at the same moment."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model.name, description=model.card.splitlines()[0].lstrip("# "))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _check_model_owner(known: list[Any], model: ExportedModel, owner: ExperimentOwner) -> None:
    """Refuse to add to the models of another study."""
    for each in known:
        if not owner.owns(each.tags.get(IDENTITY_TAG)):
            raise StudyError(
                f"the registered model {model.name!r} belongs to another study (version {each.version} has identity "
                f"{each.tags[IDENTITY_TAG]!r}; this one has {owner.identity!r}); its versions are those of one study. "
                f"Export with tracking.experiment={owner.study}-{owner.identity[:6]}, which names experiment and model."
            )


def _champion_version(client: Any, name: str) -> Any:
    """The version that has the alias; None where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _alias_sentence(before: Any, now: int | None, version: int) -> str:
    """What became of the alias, in a sentence."""
    if now is None:
        return f"No version is {CHAMPION}; {CHAMPION}=true makes v{version} it."
    if before is None:
        return f"{CHAMPION}: v{version}."
    if int(before.version) != now:
        return f"{CHAMPION}: v{before.version} -> v{now} (was {_learner_and_strategy(before.tags)})."
    if now == version:
        return f"{CHAMPION}: v{version}."
    return f"{CHAMPION} stays v{now} ({_learner_and_strategy(before.tags)}); {CHAMPION}=true moves it to v{version}."


def _learner_and_strategy(tags: Mapping[str, str]) -> str:
    return "/".join(tags.get(f"imblab.{name}", "?") for name in ("learner", "strategy"))
