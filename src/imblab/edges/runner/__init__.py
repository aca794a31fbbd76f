"""Run cells: bundles that share their fits, in this process or in workers; no fit is made twice."""

from imblab.edges.runner.bundle_evaluator import Bundle, BundleEvaluator, DatasetContext, make_bundles
from imblab.edges.runner.pool import Engine, available_cores, run
from imblab.edges.runner.prediction_cache import FitCounts, PredictionStore

__all__ = [
    "Bundle",
    "BundleEvaluator",
    "DatasetContext",
    "Engine",
    "FitCounts",
    "PredictionStore",
    "available_cores",
    "make_bundles",
    "run",
]
