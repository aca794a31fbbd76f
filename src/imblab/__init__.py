"""imblab: the lab bench for imbalanced classification.

Names are imported when they are used, so that ``import imblab`` and ``imblab --help`` stay quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Choice": "records",
    "Claims": "records",
    "Dataset": "records",
    "Evaluation": "records",
    "Interval": "records",
    "Learner": "records",
    "Measure": "records",
    "Protocol": "records",
    "Strategy": "records",
    "Study": "records",
    "Tuning": "records",
    "compose": "app",
    "dataset": "edges.datasets",
    "evaluate": "app",
    "rescore": "rescoring",
    "run": "app",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"imblab.{_HOME[name]}"), name)
    raise AttributeError(f"module 'imblab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
