"""The runner: bundles of cells over processes of this machine or a cluster.

Names are imported when they are used, so that worker processes can start before this process imports scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imblab.edges.runner.bundle_evaluator import (
        Bundle as Bundle,
        BundleEvaluator as BundleEvaluator,
        DatasetContext as DatasetContext,
        FitCounts as FitCounts,
        PredictionStore as PredictionStore,
        make_bundles as make_bundles,
        read_arrays as read_arrays,
        single_threaded as single_threaded,
    )
    from imblab.edges.runner.engine import MAX_JOBS as MAX_JOBS, Engine as Engine, job_count as job_count, run as run
    from imblab.edges.runner.processes import available_cores as available_cores
    from imblab.edges.runner.scheduler import Cluster as Cluster
    from imblab.edges.runner.worker import evaluator_of as evaluator_of

_MODULES = {
    **dict.fromkeys(("Bundle", "BundleEvaluator", "DatasetContext", "FitCounts"), "bundle_evaluator"),
    **dict.fromkeys(("PredictionStore", "make_bundles", "read_arrays", "single_threaded"), "bundle_evaluator"),
    **dict.fromkeys(("MAX_JOBS", "Engine", "job_count", "run"), "engine"),
    **{"Cluster": "scheduler", "available_cores": "processes", "evaluator_of": "worker"},
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"imblab.edges.runner.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'imblab.edges.runner' has no attribute {name!r}")
