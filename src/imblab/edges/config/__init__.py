"""Configuration: compose a request with Hydra, and build a study from plain data."""

from imblab.edges.config.changes import ChangedStudy, change_study
from imblab.edges.config.compose import Request, compose_request, load_request
from imblab.edges.config.grants import check_sources
from imblab.edges.config.groups import GroupMember, group_options, read_group
from imblab.edges.config.read import json_schema, parse_study, to_mapping

__all__ = [
    "ChangedStudy",
    "GroupMember",
    "Request",
    "change_study",
    "check_sources",
    "compose_request",
    "group_options",
    "json_schema",
    "load_request",
    "parse_study",
    "read_group",
    "to_mapping",
]
