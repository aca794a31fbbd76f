"""MLflow, which shows the runs of a study: the only package that imports it.

The contents of runs are described as values and written in one place, with explicit ids and batches, never the fluent
state. The ledger is the record, so the runs of a study can be written again at any time.
"""

from imblab.edges.mlflow.addresses import DEFAULT_URI, ExperimentOwner, artifact_folder, check_store_uri, is_database
from imblab.edges.mlflow.artifacts import (
    Artifact,
    CandidateLog,
    StoredPredictions,
    candidate_tables,
    choose_candidate_log,
    folder_artifacts,
    has_all_scores,
    update_search_table,
)
from imblab.edges.mlflow.downloads import SavedModel, fetch_models, fetch_record, load_estimator, read_model
from imblab.edges.mlflow.models import (
    WHOLE_NUMBERS,
    ExportedModel,
    ModelFormat,
    check_model_folder,
    choose_format,
    model_name,
    register_model,
    save_model,
)
from imblab.edges.mlflow.runs import InnerScores, RunSpec, check_metric_names
from imblab.edges.mlflow.study_runs import RunDetails, describe_runs
from imblab.edges.mlflow.ui import serve
from imblab.edges.mlflow.writer import BackgroundWriter, RunWriter, log_study, open_writer

__all__ = [
    "DEFAULT_URI",
    "WHOLE_NUMBERS",
    "Artifact",
    "BackgroundWriter",
    "CandidateLog",
    "ExperimentOwner",
    "ExportedModel",
    "InnerScores",
    "ModelFormat",
    "RunDetails",
    "RunSpec",
    "RunWriter",
    "SavedModel",
    "StoredPredictions",
    "artifact_folder",
    "candidate_tables",
    "check_metric_names",
    "check_model_folder",
    "check_store_uri",
    "choose_candidate_log",
    "choose_format",
    "describe_runs",
    "fetch_models",
    "fetch_record",
    "folder_artifacts",
    "has_all_scores",
    "is_database",
    "load_estimator",
    "log_study",
    "model_name",
    "open_writer",
    "read_model",
    "register_model",
    "save_model",
    "serve",
    "update_search_table",
]
