"""imblab: the lab bench for imbalanced classification.

Ask a question, and read its answer::

    import imblab

    study = imblab.compose("experiment=quickstart")  # as on the command line, or imblab.Study(...)
    imblab.plan(study)                # what it would do, and how long it takes; nothing runs
    result = imblab.run(study)        # shows the answer; runs what its folder lacks
    result.scores                     # tables: .scores, .contrasts, .folds
    result.plot.gain()                # figures: .gain(), .pr(), .threshold(), .ratio()
    result.recommended_for("yeast6")  # the recommended model, fitted, with its threshold
    result.report("report.html")      # the page with everything

Functions with the words of the command line:

- ``imblab.run``, ``imblab.plan``, ``imblab.evaluate``, ``imblab.compose`` ask a question;
- ``imblab.load``, ``imblab.compare``, ``imblab.report`` read the answer of a study; nothing is fitted;
- ``imblab.rescore`` asks about other thresholds, measures and costs on the same fits;
- ``imblab.export``, ``imblab.verify`` register the recommended model, and fit it again;
- ``imblab.reproduce``, ``imblab.audit``, ``imblab.audit_study`` put a study, or any evaluation, to the proof;
- ``imblab.dataset`` makes a data set from a table in memory.

Names are imported when they are used, so that ``import imblab`` and ``imblab --help`` stay quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imblab.commands.object_runs import run as run
    from imblab.commands.python_functions import (
        StudyPlan as StudyPlan,
        compare as compare,
        export as export,
        load as load,
        plan as plan,
        report as report,
    )
    from imblab.commands.python_runs import compose as compose, evaluate as evaluate, rescore as rescore
    from imblab.commands.reproducing import reproduce as reproduce
    from imblab.commands.search_cv import ImbalanceSearchCV as ImbalanceSearchCV
    from imblab.commands.study_audit import audit as audit, audit_study as audit_study
    from imblab.commands.study_result import StudyResult as StudyResult
    from imblab.commands.verifying import verify as verify
    from imblab.edges.datasets import dataset as dataset
    from imblab.findings import Audit as Audit, Finding as Finding
    from imblab.result import Evaluation as Evaluation
    from imblab.study import (
        Choice as Choice,
        Claims as Claims,
        Dataset as Dataset,
        Interval as Interval,
        Learner as Learner,
        Measure as Measure,
        Protocol as Protocol,
        Strategy as Strategy,
        Study as Study,
        Tuning as Tuning,
    )

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
    "StudyPlan": "commands.python_functions",
    "StudyResult": "commands.study_result",
    "Tuning": "study",
    "audit": "commands.study_audit",
    "audit_study": "commands.study_audit",
    "compare": "commands.python_functions",
    "compose": "commands.python_runs",
    "dataset": "edges.datasets",
    "evaluate": "commands.python_runs",
    "export": "commands.python_functions",
    "load": "commands.python_functions",
    "plan": "commands.python_functions",
    "report": "commands.python_functions",
    "reproduce": "commands.reproducing",
    "rescore": "commands.python_runs",
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
