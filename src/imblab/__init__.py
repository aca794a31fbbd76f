"""imblab: the lab bench for imbalanced classification.

Names are imported when they are used, so that ``import imblab`` and ``imblab --help`` stay quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_HOME = {
    "Audit": "findings",
    "Choice": "study",
    "Claims": "study",
    "Dataset": "study",
    "Evaluation": "result",
    "Finding": "findings",
    "ImbalanceSearchCV": "commands.search_cv",
    "Interval": "study",
    "Learner": "study",
    "Measure": "study",
    "Protocol": "study",
    "Strategy": "study",
    "Study": "study",
    "Tuning": "study",
    "audit": "commands.auditing",
    "audit_study": "commands.study_audit",
    "compare": "commands.comparing",
    "compose": "commands.running",
    "dataset": "edges.datasets",
    "evaluate": "commands.running",
    "reproduce": "commands.reproducing",
    "rescore": "commands.rescoring",
    "run": "commands.object_runs",
    "verify": "commands.verifying",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"imblab.{_HOME[name]}"), name)
    raise AttributeError(f"module 'imblab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
