"""Configuration: compose a request with Hydra, and build a study from plain data."""

from imblab.edges.config.changed_questions import ChangedStudy, change_study
from imblab.edges.config.command_line import GroupMember, check_sources, read_group
from imblab.edges.config.objects import study_of_objects
from imblab.edges.config.requests import DATA_DIR, Request, compose_question, compose_request, load_request
from imblab.edges.config.studies import json_schema, parse_study, to_mapping

__all__ = [
    "DATA_DIR",
    "ChangedStudy",
    "GroupMember",
    "Request",
    "change_study",
    "check_sources",
    "compose_question",
    "compose_request",
    "json_schema",
    "load_request",
    "parse_study",
    "read_group",
    "study_of_objects",
    "to_mapping",
]
