"""Configuration: compose a request with Hydra, and build a study from plain data."""

from imblab.edges.config.changed_questions import ChangedStudy as ChangedStudy, change_study as change_study
from imblab.edges.config.command_line import (
    GroupMember as GroupMember,
    check_sources as check_sources,
    read_group as read_group,
)
from imblab.edges.config.objects import study_of_objects as study_of_objects
from imblab.edges.config.requests import (
    DATA_DIR as DATA_DIR,
    Request as Request,
    compose_question as compose_question,
    compose_request as compose_request,
    load_request as load_request,
)
from imblab.edges.config.studies import json_schema as json_schema, parse_study as parse_study, to_mapping as to_mapping
