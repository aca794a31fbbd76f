"""Running cells: bundles that share their fits, here or in worker processes; no fit is made twice."""

from imblab.edges.runner.bundle_evaluator import Bundle, Ground, Work, bundles
from imblab.edges.runner.pool import Engine, cores, run
from imblab.edges.runner.prediction_cache import Known, Tally

__all__ = ["Bundle", "Engine", "Ground", "Known", "Tally", "Work", "bundles", "cores", "run"]
