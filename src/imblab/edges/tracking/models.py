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
from imblab.edges.tracking.address import local
from imblab.edges.tracking.client import quiet, session
from imblab.edges.tracking.owners import Owner, claim
from imblab.errors import StudyError

CARD = "README.md"
#: The alias that the newest exported version of a model has.
ALIAS = "champion"
#: What every exported model needs.
NEEDED = ("mlflow", "numpy", "pandas", "scikit-learn", "scipy", "skops")
#: Types outside a study's packages that are trusted: they hold values only.
PLAIN = ("numpy.dtype", "collections.OrderedDict", "imblab_model.Preparation", "imblab_model.ThresholdClassifier")
#: The kind of a column that held whole numbers only: MLflow takes no 3 for a double and no 3.0 for a long, so that
#: such a column is left open.
WHOLE = "whole"
#: Characters that MLflow takes in a description.
DESCRIPTION = 5000


@dataclass(frozen=True, slots=True, eq=False)
class Format:
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
class Model:
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
    """

    name: str
    estimator: Any
    form: Format
    columns: Mapping[str, str]
    label: str
    example: pd.DataFrame
    card: str
    tags: Mapping[str, str] = field(default_factory=dict)


def registered_name(study: str, dataset: str) -> str:
    """The name of the model of a study and a data set, in characters that MLflow takes everywhere.

    Examples
    --------
    >>> registered_name("churn-2024", "eu.west")
    'churn-2024-eu_west'
    """
    return re.sub(r"[^\w\-]", "_", f"{study}-{dataset}")


def format_of(estimator: Any, packages: Sequence[str]) -> Format:
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
        return Format("cloudpickle", reason=f"skops cannot carry it ({type(error).__name__})")
    foreign = [name for name in found if name not in PLAIN and name.partition(".")[0] not in packages]
    if foreign:
        return Format("cloudpickle", reason=f"its type {foreign[0]!r} lies outside the trusted packages")
    return Format("skops", found)


def check_place(folder: Path) -> None:
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


def save(model: Model, home: Path, name: str) -> None:
    """Write an MLflow model with its card into a folder, in place of the one that was there.

    Parameters
    ----------
    model : Model
    home : Path
        The folder of the study.
    name : str
        Of the model's folder below it.
    """
    with files.scratch("model") as place:
        _save(model, place / "model")
        files.replace_tree(home, name, place / "model")


def register(model: Model, owner: Owner, uri: str) -> int:
    """Log a model below the experiment of its study, register it as a new version and move the alias to it.

    Parameters
    ----------
    model : Model
    owner : Owner
        The study.
    uri : str
        A tracking server or ``sqlite:///...``.

    Returns
    -------
    int
        The version.

    Raises
    ------
    StudyError
        If the store does not answer.
    """
    way_out = "exported models are registered there. Export again later, or write it to a folder with tracking=none."
    with session(uri, way_out) as client, files.scratch("model") as place:
        from mlflow.models import Model as Description

        number = claim(client, owner, uri)
        location = client.get_experiment(number).artifact_location
        if location.startswith("file:"):
            check_place(local(location))
        tags = {**model.tags, "imblab.role": "model"}
        run = client.create_run(number, tags=tags, run_name=f"export {model.name}").info.run_id
        logged = client.create_logged_model(number, name=model.name, source_run_id=run, tags=dict(model.tags))
        described = Description(
            artifact_path=logged.artifact_location, model_uuid=logged.model_id, run_id=run, model_id=logged.model_id
        )
        path = place / "model"
        _save(model, path, described)
        client.log_model_artifacts(logged.model_id, str(path))
        client.finalize_logged_model(logged.model_id, "READY")
        client.set_tag(run, "mlflow.note.content", model.card[:DESCRIPTION])
        client.set_terminated(run)
        _registered(client, model)
        made = client.create_model_version(
            model.name,
            logged.artifact_location,
            run,
            tags=dict(model.tags),
            description=model.card[:DESCRIPTION],
            await_creation_for=0,
            model_id=logged.model_id,
        )
        client.set_registered_model_alias(model.name, ALIAS, made.version)
        return int(made.version)


def requirements(form: Format) -> list[str]:
    """The packages that a model needs, each at the installed version."""
    known = packages_distributions()
    tops = dict.fromkeys(name.partition(".")[0] for name in form.trusted)
    learner = [known[top][0] for top in tops if top in known and top not in ("numpy", "sklearn", "imblab_model")]
    pickler = ["cloudpickle"] if form.name == "cloudpickle" else []
    return [f"{name}=={version(name)}" for name in sorted({*NEEDED, *learner, *pickler})]


def _registered(client: Any, model: Model) -> None:
    """Make the registered model where it is not there yet; somebody else may make it at the same moment."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model.name, description=model.card.splitlines()[0].lstrip("# "))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _save(model: Model, folder: Path, described: Any = None) -> None:
    os.environ.update(quiet())
    import mlflow.sklearn
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    signature = ModelSignature(
        inputs=Schema([ColSpec(AnyType() if kind == WHOLE else kind, name) for name, kind in model.columns.items()]),
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
    (folder / CARD).write_text(model.card, encoding="utf-8")
