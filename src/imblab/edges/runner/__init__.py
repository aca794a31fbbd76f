"""Running cells: bundles that share their fits, here or in worker processes; no fit is made twice."""

from imblab.edges.runner.answering import Ground, Work
from imblab.edges.runner.bundles import Bundle, bundles
from imblab.edges.runner.memory import Known, Tally
from imblab.edges.runner.pool import Engine, cores, run

__all__ = ["Bundle", "Engine", "Ground", "Known", "Tally", "Work", "bundles", "cores", "run"]
