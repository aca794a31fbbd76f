"""Figures of a result in Python: those of its report, one kind at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from imblab.analysis.results import select_families
from imblab.core.measures import is_counted
from imblab.edges import report
from imblab.edges.report import Drawing, ReportData
from imblab.edges.report.elements import Gallery
from imblab.errors import StudyError, unknown
from imblab.text import join_words


class StudyPlots:
    """The figures of a study: ``result.plot.gain()``, ``.pr()``, ``.threshold()`` and ``.ratio()``.

    A notebook shows what they return; ``.save("figure.svg")`` or ``.save("figure.html")`` writes it.
    """

    def __init__(self, read: Callable[[bool], ReportData]) -> None:
        self._read = read  # returns the data of the report; with True, evidence is read as well

    def __repr__(self) -> str:
        return "Figures of the study: .gain(), .pr(), .threshold(), .ratio(); each takes dataset=... and learner=..."

    def gain(self, dataset: str | None = None, learner: str | None = None) -> Drawing:
        """Draw every primary contrast with its interval, the region of practical equivalence shaded.

        Parameters
        ----------
        dataset, learner : str, optional
            Those of the study that are drawn; all by default.

        Raises
        ------
        StudyError
            If evaluations are missing, or no primary contrast has a difference.
        """
        data = self._select(dataset, learner)
        if not data.result.completeness.is_complete:
            raise StudyError(
                f"study {data.study.name!r} is incomplete: {data.result.completeness.counted} are there; gains are "
                "drawn with their verdicts, once the design is complete. Finish it with imblab.run or imblab run; "
                ".plot.pr() and .plot.threshold() draw what is there."
            )
        galleries = report.forest_gallery(data, "in result.contrasts")
        return _drawing(data, "gain", "a primary contrast whose strategies have a score", galleries)

    def pr(self, dataset: str | None = None, learner: str | None = None) -> Drawing:
        """Draw precision against recall, mean over folds, with the points at the chosen thresholds.

        Parameters
        ----------
        dataset, learner : str, optional
            Those of the study that are drawn; all by default.

        Raises
        ------
        StudyError
            If evidence is missing, or every data set has more than two classes.
        """
        data = self._select(dataset, learner, needs_evidence=True)
        return _drawing(data, "pr", "test predictions of two classes", iter([report.precision_recall_gallery(data)]))

    def threshold(self, measure: str | None = None, dataset: str | None = None, learner: str | None = None) -> Drawing:
        """Draw a measure against the decision threshold, mean over folds, with the median chosen thresholds.

        Parameters
        ----------
        measure : str, optional
            One that is computed from counts; the one that chooses thresholds by default.
        dataset, learner : str, optional
            Those of the study that are drawn; all by default.

        Raises
        ------
        StudyError
            If evidence is missing, every data set has more than two classes, or the measure is not one of counts.
        """
        data = self._select(dataset, learner, needs_evidence=True)
        names = report.counted_measures(data)  # those of the report, then all others of counts
        names += [m.name for m in data.study.measures if is_counted(m) and m.name not in names]
        if measure is not None and measure not in names:
            raise StudyError(unknown("measure", measure, names, "of counts in this study"))
        gallery = report.threshold_gallery(data, measure or names[0])
        return _drawing(data, "threshold", "test predictions of two classes", iter([gallery]))

    def ratio(self, dataset: str | None = None, learner: str | None = None) -> Drawing:
        """Draw the primary measure against the ratio of strategies that differ in it alone.

        Parameters
        ----------
        dataset, learner : str, optional
            Those of the study that are drawn; all by default.

        Raises
        ------
        StudyError
            If no two strategies differ in a fixed ratio alone.
        """
        data = self._select(dataset, learner)
        galleries = (block for block in report.ratio_section(data).blocks if isinstance(block, Gallery))
        return _drawing(data, "ratio", "two strategies that differ in a fixed ratio alone", galleries)

    def _select(self, dataset: str | None, learner: str | None, needs_evidence: bool = False) -> ReportData:
        """Return the data of the data sets and learners that are drawn; refuse curves without evidence."""
        data = self._read(needs_evidence)
        for kind, name, names in (("data set", dataset, data.datasets), ("learner", learner, data.learners)):
            if name is not None and name not in names:
                raise StudyError(unknown(kind, name, names, f"in study {data.study.name!r}"))
        if needs_evidence and data.has_two_classes and not data.evidence_index.folds:
            raise StudyError(
                f"study {data.study.name!r} has no evidence.parquet in its folder; curves are drawn from the test "
                "predictions that it holds. Run the study again with imblab.run or imblab run: it is built from the "
                "prediction store, or from further fits where that store was deleted."
            )
        chosen = [f for f in data.families if dataset in (None, f[0]) and learner in (None, f[1])]
        return data if len(chosen) == len(data.families) else replace(data, result=select_families(data.result, chosen))


def _drawing(data: ReportData, kind: str, subject: str, galleries: Iterator[Gallery]) -> Drawing:
    """Return the first gallery as a drawing; refuse one without a figure."""
    gallery = next((each for each in galleries if each.panels), None)
    if gallery is None:
        raise StudyError(
            f"study {data.study.name!r} has nothing to draw as {kind!r}: it lacks {subject}. It has the strategies "
            f"{join_words(data.strategies)}; see result.scores for their numbers."
        )
    return Drawing(gallery, data.looks, data.label_of)
