"""The record of a study in one folder: its question, its evaluations and their searches; append-only.

``study.yaml`` is the resolved question, ``ledger.jsonl`` holds one evaluation per line, and ``searches.jsonl`` the
trials of one inner search per line, keyed by the address that the lines of the ledger carry.
"""

from imblab.edges.ledger.folder import (
    EXPERIMENTS,
    RESCORED,
    RETRY,
    Expected,
    Ledger,
    check_code,
    differing_code,
    find_study,
    open_study,
    read_evaluations,
)
from imblab.edges.ledger.lines import LEDGER_FILE, SEARCHES_FILE
from imblab.edges.ledger.question import GROWING_SECTIONS, STUDY_FILE, question_differences, read_study

__all__ = [
    "EXPERIMENTS",
    "GROWING_SECTIONS",
    "LEDGER_FILE",
    "RESCORED",
    "RETRY",
    "SEARCHES_FILE",
    "STUDY_FILE",
    "Expected",
    "Ledger",
    "check_code",
    "differing_code",
    "find_study",
    "open_study",
    "question_differences",
    "read_evaluations",
    "read_study",
]
