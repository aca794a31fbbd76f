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
from imblab.edges.mlflow.client import quiet
from imblab.errors import StudyError
from imblab.study import fingerprint

CARD = "README.md"
#: What every exported model needs.
NEEDED = ("mlflow", "numpy", "pandas", "scikit-learn", "scipy", "skops")
#: Types outside a study's packages that are trusted: they hold values only.
PLAIN = ("numpy.dtype", "collections.OrderedDict", "imblab_model.Preparation", "imblab_model.ThresholdClassifier")
#: The kind of a column that held whole numbers only: MLflow takes no 3 for a double and no 3.0 for a long, so that
#: such a column is left open.
WHOLE = "whole"


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
    answers : str
        The hash of what it says of every row of its table.
    """

    name: str
    estimator: Any
    form: Format
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
        write(model, place / "model")
        files.replace_tree(home, name, place / "model")


def requirements(form: Format) -> list[str]:
    """The packages that a model needs, each at the installed version."""
    known = packages_distributions()
    tops = dict.fromkeys(name.partition(".")[0] for name in form.trusted)
    learner = [known[top][0] for top in tops if top in known and top not in ("numpy", "sklearn", "imblab_model")]
    pickler = ["cloudpickle"] if form.name == "cloudpickle" else []
    return [f"{name}=={version(name)}" for name in sorted({*NEEDED, *learner, *pickler})]


def write(model: Model, folder: Path, described: Any = None) -> None:
    """Write an MLflow model with its card into a new folder.

    Parameters
    ----------
    model : Model
    folder : Path
    described : mlflow.models.Model, optional
        Where it will lie in a store.
    """
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
