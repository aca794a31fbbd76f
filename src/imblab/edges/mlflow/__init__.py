"""MLflow, the picture of a study: the only package that knows it.

What to log is described as values and written in one small place. Explicit ids and batches, never the fluent state;
the ledger is the fact, so the runs of a study can be written again at any time.
"""

from imblab.edges.mlflow.address import DEFAULT, DEFAULT_URI, SQLITE, artifacts, check_writable, is_database
from imblab.edges.mlflow.background import Background
from imblab.edges.mlflow.client import PATIENCE
from imblab.edges.mlflow.curves import CUTS
from imblab.edges.mlflow.models import (
    CARD,
    WHOLE,
    Format,
    Model,
    check_place,
    format_of,
    registered_name,
    save,
)
from imblab.edges.mlflow.owners import Owner
from imblab.edges.mlflow.registry import ALIAS, Registration, register
from imblab.edges.mlflow.searches import inner_of, searches_fault, whole
from imblab.edges.mlflow.serving import serve, ui_command
from imblab.edges.mlflow.uploads import File, in_folder
from imblab.edges.mlflow.values import Extras, Run, describe
from imblab.edges.mlflow.writing import Writer, log, open_writer

__all__ = [
    "ALIAS",
    "CARD",
    "CUTS",
    "DEFAULT",
    "DEFAULT_URI",
    "PATIENCE",
    "SQLITE",
    "WHOLE",
    "Background",
    "Extras",
    "File",
    "Format",
    "Model",
    "Owner",
    "Registration",
    "Run",
    "Writer",
    "artifacts",
    "check_place",
    "check_writable",
    "describe",
    "format_of",
    "in_folder",
    "inner_of",
    "is_database",
    "log",
    "open_writer",
    "register",
    "registered_name",
    "save",
    "searches_fault",
    "serve",
    "ui_command",
    "whole",
]
