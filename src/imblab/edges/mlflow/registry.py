"""The model registry: a version for each different model, and the alias of the one that a team serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imblab.edges import files
from imblab.edges.mlflow.address import local
from imblab.edges.mlflow.client import alone, session
from imblab.edges.mlflow.models import Model, check_place, write
from imblab.edges.mlflow.owners import IDENTITY, ROLE, Owner, claim, who
from imblab.errors import StudyError

#: The alias of the version that is served; an export gives it to the first version, later only if asked.
ALIAS = "champion"
CONTENT = "imblab.content"
NOTE = "mlflow.note.content"
#: Characters that MLflow takes in a description.
MAX_DESCRIPTION = 5000
WAY_OUT = "exported models are registered there. Export again later, or write it to a folder with tracking=none."


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
            f"models:/{self.name}@{ALIAS}" if self.champion == self.version else f"models:/{self.name}/{self.version}"
        )


def register(model: Model, owner: Owner, uri: str, champion: bool = False) -> Registration:
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
    with session(uri, WAY_OUT) as client, alone(uri):
        known = sorted(client.search_model_versions(f"name = '{model.name}'"), key=lambda each: int(each.version))
        _check(known, model, owner)
        before = _champion(client, model.name)
        same = [each for each in known if each.tags.get(CONTENT) == model.content and each.status == "READY"]
        version = int(same[-1].version) if same else _registered(client, model, owner, uri)
        if (before is None and not known) or (champion and (before is None or int(before.version) != version)):
            client.set_registered_model_alias(model.name, ALIAS, str(version))
            now: int | None = version
        else:
            now = None if before is None else int(before.version)
    said = f"Version {version} of {model.name!r} is this very model; nothing new was registered." if same else ""
    said = said or f"Registered {model.name!r} version {version}."
    return Registration(model.name, version, not same, now, f"{said} {_alias(before, now, version)}")


def _registered(client: Any, model: Model, owner: Owner, uri: str) -> int:
    """Log the model below the experiment of its study and register it."""
    from mlflow.models import Model as Description

    number = claim(client, owner, uri)
    location = client.get_experiment(number).artifact_location
    if location.startswith("file:"):
        check_place(local(location))
    tags = {**model.tags, IDENTITY: owner.identity, CONTENT: model.content}
    mine = {**who(), **tags, ROLE: "model"}
    run = client.create_run(number, tags=mine, run_name=f"export {model.name}").info.run_id
    logged = client.create_logged_model(number, name=model.name, source_run_id=run, tags=tags)
    described = Description(
        artifact_path=logged.artifact_location, model_uuid=logged.model_id, run_id=run, model_id=logged.model_id
    )
    with files.scratch("model") as place:
        write(model, place / "model", described)
        client.log_model_artifacts(logged.model_id, str(place / "model"))
    client.finalize_logged_model(logged.model_id, "READY")
    client.set_tag(run, NOTE, model.card[:MAX_DESCRIPTION])
    client.set_terminated(run)
    _named(client, model)
    made = client.create_model_version(
        model.name,
        logged.artifact_location,
        run,
        tags=tags,
        description=model.card[:MAX_DESCRIPTION],
        await_creation_for=0,
        model_id=logged.model_id,
    )
    return int(made.version)


def _named(client: Any, model: Model) -> None:
    """Make the registered model where it is not there yet; somebody else may make it at the same moment."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model.name, description=model.card.splitlines()[0].lstrip("# "))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _check(known: list[Any], model: Model, owner: Owner) -> None:
    """Refuse to add to the models of another study."""
    for each in known:
        if not owner.owns(each.tags.get(IDENTITY)):
            raise StudyError(
                f"the registered model {model.name!r} belongs to another study (version {each.version} has identity "
                f"{each.tags[IDENTITY]!r}; this one has {owner.identity!r}); a model has the versions of one study. "
                f"Export with tracking.experiment={owner.study}-{owner.identity[:6]}, which names experiment and model."
            )


def _champion(client: Any, name: str) -> Any:
    """The version that has the alias; None where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, ALIAS)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _alias(before: Any, now: int | None, version: int) -> str:
    """What became of the alias, in a sentence."""
    if now is None:
        return f"No version is {ALIAS}; {ALIAS}=true makes v{version} it."
    if before is None:
        return f"{ALIAS}: v{version}."
    if int(before.version) != now:
        return f"{ALIAS}: v{before.version} -> v{now} (was {_what(before.tags)})."
    if now == version:
        return f"{ALIAS}: v{version}."
    return f"{ALIAS} stays v{now} ({_what(before.tags)}); {ALIAS}=true moves it to v{version}."


def _what(tags: Mapping[str, str]) -> str:
    return "/".join(tags.get(f"imblab.{name}", "?") for name in ("learner", "strategy"))
