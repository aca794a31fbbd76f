"""The runner: bundles of cells over processes of this machine or a cluster.

Names are imported when they are used, so that worker processes can start before this process imports scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imblab.edges.runner.bundle_evaluator import (
        Bundle,
        BundleEvaluator,
        DatasetContext,
        FitCounts,
        PredictionStore,
        make_bundles,
        read_arrays,
        single_threaded,
    )
    from imblab.edges.runner.engine import MAX_JOBS, Engine, job_count, run
    from imblab.edges.runner.processes import available_cores
    from imblab.edges.runner.scheduler import Cluster
    from imblab.edges.runner.worker import evaluator_of

_MODULES = {
    "MAX_JOBS": "engine",
    "Bundle": "bundle_evaluator",
    "BundleEvaluator": "bundle_evaluator",
    "Cluster": "scheduler",
    "DatasetContext": "bundle_evaluator",
    "Engine": "engine",
    "FitCounts": "bundle_evaluator",
    "PredictionStore": "bundle_evaluator",
    "available_cores": "processes",
    "evaluator_of": "worker",
    "job_count": "engine",
    "make_bundles": "bundle_evaluator",
    "read_arrays": "bundle_evaluator",
    "run": "engine",
    "single_threaded": "bundle_evaluator",
}

__all__ = [
    "MAX_JOBS",
    "Bundle",
    "BundleEvaluator",
    "Cluster",
    "DatasetContext",
    "Engine",
    "FitCounts",
    "PredictionStore",
    "available_cores",
    "evaluator_of",
    "job_count",
    "make_bundles",
    "read_arrays",
    "run",
    "single_threaded",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"imblab.edges.runner.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'imblab.edges.runner' has no attribute {name!r}")
