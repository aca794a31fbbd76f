"""Configuration: compose a request with Hydra, and build a study from plain data."""

from imblab.edges.config.changes import ChangedStudy, change_study
from imblab.edges.config.compose import Request, compose_request, group_options, load_request
from imblab.edges.config.read import parse_study, to_mapping

__all__ = [
    "ChangedStudy",
    "Request",
    "change_study",
    "compose_request",
    "group_options",
    "load_request",
    "parse_study",
    "to_mapping",
]
