"""MLflow, the picture of a study: the only package that knows it.

What to log is described as values and written in one small place. Explicit ids and batches, never the fluent state;
the ledger is the fact, so the runs of a study can be written again at any time.
"""

from imblab.edges.mlflow.addresses import DEFAULT, DEFAULT_URI, SQLITE, artifacts, check_writable, is_database
from imblab.edges.mlflow.background import Background
from imblab.edges.mlflow.cell_runs import CUTS
from imblab.edges.mlflow.client import PATIENCE
from imblab.edges.mlflow.experiments import Owner
from imblab.edges.mlflow.models import (
    ALIAS,
    CARD,
    WHOLE,
    Format,
    Model,
    Registration,
    check_place,
    format_of,
    register,
    registered_name,
    save,
)
from imblab.edges.mlflow.runs import Extras, Run, describe
from imblab.edges.mlflow.search_runs import inner_of, searches_fault, whole
from imblab.edges.mlflow.ui import serve, ui_command
from imblab.edges.mlflow.writer import File, Writer, in_folder, log, open_writer

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
