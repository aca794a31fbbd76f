"""Read back from MLflow: the record of a study from the artifacts of its run, and exported models.

A model in the skops format is read with the types of the packages that a study may name, and runs no code of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

import imblab_model
from imblab.edges import files
from imblab.edges.mlflow.addresses import ROLE_TAG, absolute_uri, sqlite_path
from imblab.edges.mlflow.client import get_or_none, locked_store, open_client
from imblab.edges.mlflow.models import champion_version, foreign_types
from imblab.edges.mlflow.writer import PARENT_TAG
from imblab.errors import ConfigError, StudyError, describe, presentable, unknown
from imblab.study import COORDINATES
from imblab.text import join_words

#: Files of a record that MLflow holds: the question and the ledger are needed.
REQUIRED_FILES = ("study.yaml", "ledger.jsonl")
OPTIONAL_FILES = ("searches.jsonl", "evidence.parquet", "environment.json", "identity.json")
#: Runs above another one: trial, winner, cell, study.
MAX_RUN_DEPTH = 8
RECORD_WAY_OUT = (
    "the record of a run is fetched from there. Name another one with tracking.uri=..., or reproduce the folder of the "
    "study."
)
#: Files of an exported model.
DESCRIPTION_FILE, MODEL_FILE = "MLmodel", "model.skops"
CODE_FILE, REQUIREMENTS_FILE = "code/imblab_model.py", "requirements.txt"
MAX_TEXT_BYTES = 2**22
MODEL_WAY_OUT = (
    "exported models are read from there. Correct tracking.uri=..., or export a model: imblab export <study>."
)


def fetch_record(uri: str, run_id: str, folder: Path) -> dict[str, str]:
    """Copy the record of the study of a run, or of one below it, into a folder.

    Returns the coordinates that the run stands for, by name; none for the run of a study. StudyError if there is no
    such store or run, or the run does not hold the record of a study.
    """
    _check_store_file(uri, RECORD_WAY_OUT)
    with open_client(uri, RECORD_WAY_OUT) as client:
        run = _get_run(client, run_id, uri)
        tags = {name: str(run.data.tags.get(f"imblab.{name}", "")) for name in COORDINATES}
        # Runs over several repeats or folds have no number.
        place = {n: v for n, v in tags.items() if v and (n in COORDINATES[:3] or re.fullmatch(r"\d+", v))}
        for _ in range(MAX_RUN_DEPTH):
            parent = run.data.tags.get(PARENT_TAG)
            if parent is None:
                break
            run = _get_run(client, parent, uri)
        present = {item.path for item in client.list_artifacts(run.info.run_id)}
        missing = [name for name in REQUIRED_FILES if name not in present]
        if missing:
            role = run.data.tags.get(ROLE_TAG)
            raise StudyError(
                f"run {run_id!r} of {presentable(uri)!r} has no artifact {missing[0]!r}"
                f"{f' (its role is {role!r})' if role else ''}; the run of a study holds its question and its ledger. "
                "Name the run of a study or one below it, or fill the store: imblab sync <name>."
            )
        for name in (*REQUIRED_FILES, *OPTIONAL_FILES):
            if name in present:
                copy = Path(client.download_artifacts(run.info.run_id, name, str(folder)))
                if copy != folder / name:
                    files.replace(folder, name, copy.read_bytes())
    return place


def _get_run(client: Any, run_id: str, uri: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise StudyError(
            f"run {run_id!r} is not in the MLflow store {presentable(uri)!r}; a run is found by its id in the store "
            "that holds it. Name the store with tracking.uri=..., or a study by its name: imblab list studies."
        ) from error


@dataclass(frozen=True, slots=True, eq=False)
class SavedModel:
    """An exported model in a folder."""

    source: str  # as people name it: ``models:/<name>/<version>``, or the folder
    folder: Path  # with its files
    tags: Mapping[str, str]  # what the export wrote of it: coordinates, knobs, threshold, fingerprint of the table
    form: str  # {"skops", "cloudpickle"}: how its estimator is written
    requirements: Mapping[str, str]  # versions of the packages that it was exported with
    has_same_code: bool  # whether its classes are those of this imblab


def fetch_models(uri: str, names: Sequence[str], version: str | None, folder: Path) -> list[SavedModel]:
    """Copy registered models, the served ones without a ``version``, into a folder each; unknown names are left out."""
    _check_store_file(uri, MODEL_WAY_OUT)
    models: list[SavedModel] = []
    known: list[str] = []
    with open_client(uri, MODEL_WAY_OUT) as client, locked_store(uri):
        for name in names:
            if version is None:
                registered = champion_version(client, name)
            else:
                registered = get_or_none(client.get_model_version, name, version)
                known += [str(each.version) for each in client.search_model_versions(f"name = '{name}'")]
            if registered is not None:
                from mlflow.artifacts import download_artifacts

                source = f"models:/{name}/{registered.version}"
                location = client.get_model_version_download_uri(name, registered.version)
                where = {"dst_path": str(folder / name), "tracking_uri": absolute_uri(uri)}
                copy = download_artifacts(artifact_uri=location, **where)
                models.append(read_model(Path(copy), source))
    if known and not models:
        raise StudyError(unknown("version", str(version), set(known), f"of {join_words(list(map(repr, names)))}"))
    return models


def read_model(folder: Path, source: str) -> SavedModel:
    """Read what a model says of itself; StudyError if the folder holds no model that imblab exported."""
    try:
        description = files.parse_yaml(files.read_bytes(folder, DESCRIPTION_FILE, max_bytes=MAX_TEXT_BYTES))
        tags = {str(name): str(value) for name, value in description["metadata"].items()}
        form = str(description["flavors"]["sklearn"]["serialization_format"])
        code = files.read_bytes(folder, CODE_FILE, max_bytes=MAX_TEXT_BYTES)
        lines = files.read_bytes(folder, REQUIREMENTS_FILE, max_bytes=MAX_TEXT_BYTES).decode().splitlines()
    except (yaml.YAMLError, FileNotFoundError, UnicodeDecodeError, LookupError, TypeError, AttributeError) as error:
        raise _not_exported(source, describe(error)) from error
    if missing := [name for name in ("imblab.dataset", "imblab.learner", "imblab.strategy") if name not in tags]:
        raise _not_exported(source, f"no tag {missing[0]!r}")
    pairs = (line.partition("==") for line in lines)
    requirements = {name: version for name, _, version in pairs if version}
    installed = Path(imblab_model.__file__).read_bytes()
    return SavedModel(source, folder, tags, form, requirements, sha256(code).digest() == sha256(installed).digest())


def load_estimator(model: SavedModel, packages: Sequence[str], runs_code: bool) -> Any:
    """Read the estimator of a model, built of types of some top-level packages.

    StudyError if it cannot be read, or names another type; ConfigError if it would run code, and that is not granted.
    """
    if model.form != "skops":
        if not runs_code:
            raise ConfigError(
                f"model {model.source!r} is written with {model.form}, which runs code when it is loaded; imblab loads "
                "it only if its author is trusted. Pass `runs_code=true` if you trust it."
            )
        import mlflow.sklearn

        return mlflow.sklearn.load_model(str(model.folder))
    import skops.io

    content = files.read_bytes(model.folder, MODEL_FILE)
    try:
        types = skops.io.get_untrusted_types(data=content)
        if foreign := foreign_types(types, packages):
            raise StudyError(
                f"model {model.source!r} names the type {foreign[0]!r}; a model is built of types of "
                f"{', '.join(packages)}. Grant its package with allow=[...] if you trust it."
            )
        return skops.io.loads(content, trusted=types)
    except StudyError:
        raise
    except Exception as error:  # a damaged archive may raise anything
        reason = f"{type(error).__name__}: {describe(error)}"
        text = f"model {model.source!r} cannot be read ({reason}); it is the archive that the export wrote."
        raise StudyError(f"{text} Export it again.") from error


def _not_exported(source: str, reason: str) -> StudyError:
    return StudyError(
        f"{source!r} does not hold a model that imblab exported ({reason}); it has the files {DESCRIPTION_FILE}, "
        f"{CODE_FILE} and {REQUIREMENTS_FILE}. Export one: imblab export <study>."
    )


def _check_store_file(uri: str, way_out: str) -> None:
    """Refuse an SQLite file that does not exist: reading creates none."""
    path = sqlite_path(uri)
    if path is not None and not path.is_file():
        raise StudyError(f"the MLflow store {presentable(uri)!r} does not exist, seen from this directory; {way_out}")
