"""The result of a study as Python users hold it: it shows the answer, and gives tables, figures, models and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imblab import result as records
from imblab.analysis.advice import Selection, select_strategies
from imblab.analysis.answer_page import answer_lines
from imblab.analysis.summary import COUNTS, to_frame
from imblab.commands import exporting, results, syncing
from imblab.commands.layout import lay_out
from imblab.commands.python_runs import check_path
from imblab.commands.results import RecordFiles
from imblab.commands.study_plots import StudyPlots
from imblab.edges import config, datasets, files, ledger, report, store, terminal
from imblab.edges.datasets.notation import label_text
from imblab.edges.report import ReportData
from imblab.errors import StudyError, presentable
from imblab.findings import TEXT_WIDTH
from imblab.study import Dataset, Study
from imblab.text import count_noun, join_words, to_hydra_syntax
from imblab_model import named_frame, plain_array

#: First columns of the table of scores; those of :func:`imblab.analysis.summary.summarise` follow.
SCORE_COLUMNS = ("dataset", "learner", "strategy", "mean", "sd")
#: Columns of the table of folds before the measures.
FOLD_COLUMNS = ("dataset", "learner", "strategy", "repeat", "fold", "status", "threshold")
#: Why the report of a result by another measure is exploratory.
_EXPLORED = "it is about another measure than the study claims"


class StudyResult:
    """The result of a study: :func:`imblab.run` and :func:`imblab.load` return it.

    In a notebook it shows the answer as a card, in a terminal as one screen. Nothing is fitted before ``recommended``
    is asked for.

    Parameters
    ----------
    record : imblab.result.StudyResult
        The evaluations with everything that was computed from them.
    study : Study, optional
        The question as it may be run again; read from the folder by default.
    folder : path, optional
        The folder of the study; None for a study in memory.
    data : sequence of Dataset, optional
        Its tables in memory.
    grants : sequence of str, optional
        What the study may name or read, as on the command line: ``allow=[mypackage]``, ``allow_network=true``.
    source : RecordFiles, optional
        The evidence of a study in memory.

    See Also
    --------
    imblab.compare : Two studies side by side.

    Examples
    --------
    >>> import imblab
    >>> study = imblab.compose("name=small", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,threshold]")
    >>> result = imblab.run(study, in_memory=True)
    >>> result.scores[["strategy", "mean"]].round(2).values.tolist()
    [['none', 0.5], ['threshold', 0.65]]
    >>> result.recommended.threshold_ > 0
    True
    """

    def __init__(
        self,
        record: records.StudyResult,
        study: Study | None = None,
        folder: str | Path | None = None,
        data: Sequence[Dataset] = (),
        grants: Sequence[str] = (),
        source: RecordFiles | None = None,
    ) -> None:
        self._record, self._study, self._source = record, study, source
        self._folder = None if folder is None else Path(folder)
        self._data = {table.name: table for table in data}
        self._grants = tuple(grants)
        self._models: dict[tuple[str, ...], Any] = {}

    def __repr__(self) -> str:
        return presentable("\n".join(answer_lines(self._record, TEXT_WIDTH, steps=self.next_steps)), keep="\n")

    def _repr_html_(self) -> str | None:
        if not self._record.evaluations:
            return None  # a notebook shows the text instead
        steps = [(words, code) for words, _, code in (step.partition(": ") for step in self.next_steps)]
        return report.render_card(self._report_data(), steps)

    @property
    def record(self) -> records.StudyResult:
        """The result as terminal, report and MLflow have it: evaluations, arrays of scores, contrasts and sentences."""
        return self._record

    @property
    def folder(self) -> Path | None:
        """The folder of the study; None for a study in memory."""
        return self._folder

    @property
    def study(self) -> Study:
        """The question: :func:`imblab.run` runs it again.

        Raises
        ------
        ConfigError
            If a study that was received names code, files or servers that it was not granted.
        """
        if self._study is None:
            request = config.load_request(self._require_folder("read") / ledger.STUDY_FILE, self._grants)
            request.check_sources()
            self._study = request.study
        return self._study

    @property
    def study_yaml(self) -> str:
        """The question as the file ``study.yaml``, which ``imblab run study.yaml`` asks again.

        A table that was handed over in Python stands there as ``kind: memory``, which :func:`imblab.run` takes with
        ``data=[...]`` and the command line refuses.
        """
        if self._folder is not None:
            return files.read_bytes(self._folder, ledger.STUDY_FILE).decode()
        return files.to_yaml(config.to_mapping(self._record.study))

    @property
    def datasets(self) -> tuple[str, ...]:
        """The data sets with an evaluation, in the order of the study."""
        return tuple(dict.fromkeys(dataset for dataset, _ in self._record.families))

    @property
    def is_complete(self) -> bool:
        """Whether every evaluation of the design is there; verdicts are withheld before."""
        return self._record.completeness.is_complete

    @property
    def headline(self) -> str:
        """The answer in one sentence."""
        return self._record.answer.headline

    @property
    def recommendation(self) -> tuple[str, ...]:
        """What to use, in sentences; the first may stand alone."""
        return self._record.answer.recommendation

    @property
    def next_steps(self) -> list[str]:
        """Further steps, in words and as Python."""
        if not self.is_complete:
            return ["Evaluations so far: result.folds"]
        chosen = self._record.recommendation.datasets
        name = next((name for name in self.datasets if chosen[name].label), None)
        if name is None:
            return ["Every evaluation with its error: result.to_frame()"]
        model = "recommended" if len(self.datasets) == 1 else f"recommended_for({name!r})"
        steps = [f"The fitted model: result.{model}", "Tables: result.scores"]
        kind = "gain" if self._record.answer.primary["mean"].notna().any() else "pr"
        is_drawn = kind == "gain" or self._record.recommendation.has_two_classes
        return [*steps, f"Figures: result.plot.{kind}()"] if is_drawn else steps

    @property
    def scores(self) -> pd.DataFrame:
        """Scores by data set, learner and strategy, one row each.

        ``mean`` and ``sd`` are of the primary measure over test folds. Then follow ``folds`` (of the design) and how
        many are ``ok``, ``failed``, ``inapplicable`` and ``missing``; ``gain_none`` and ``gain_threshold``, the gains
        over the two baselines, with the ends of their intervals (``_low``, ``_high``, not adjusted); ``knobs``, the
        chosen values in words; ``threshold_median``, ``threshold_low``, ``threshold_high`` over folds; ``candidates``,
        ``fits``, ``seconds``, ``remarks``; and each measure of the study with its ``_std``.
        """
        table = self._record.summary
        first = [name for name in SCORE_COLUMNS if name in table]
        return table[[*first, *(name for name in table if name not in first)]].copy()

    @property
    def contrasts(self) -> pd.DataFrame:
        """Declared contrasts ``a - b``, one row for each data set and learner, with test and verdict.

        ``mean`` is the difference, ``low`` and ``high`` its interval, ``p`` and ``p_holm`` the test before and after
        the adjustment over its ``family`` (``primary`` or ``secondary``), ``rope`` the region of practical
        equivalence, ``verdict`` is *better*, *worse*, *equivalent*, *inconclusive* or why there is none, with its
        ``reason``. All columns: :func:`imblab.analysis.compare.contrasts`.
        """
        return self._record.contrasts.copy()

    @property
    def folds(self) -> pd.DataFrame:
        """Scores of every test fold, one row for each evaluation.

        ``dataset``, ``learner``, ``strategy``, ``repeat``, ``fold``, ``status`` (``ok``, ``failed``,
        ``inapplicable``), the chosen ``threshold``, each measure of the study, and the counts ``tn fp fn tp``.
        """
        table = self.to_frame()
        measures = [name for name in self._record.study.measure_names if name in table]
        return table[[*FOLD_COLUMNS, *measures, *COUNTS]]

    def to_frame(self) -> pd.DataFrame:
        """Return everything that evaluations hold.

        Returns
        -------
        DataFrame
            One row per evaluation: coordinates, knobs, scores, counts, seconds, status and error.
        """
        return to_frame(self._record.evaluations)

    @property
    def plot(self) -> StudyPlots:
        """The figures: ``.plot.gain()``, ``.plot.pr()``, ``.plot.threshold()``, ``.plot.ratio()``."""
        return StudyPlots(self._report_data)

    @property
    def recommended(self) -> Any:
        """The recommended model, fitted on all rows, with its threshold: a scikit-learn classifier.

        It is fitted once, when it is asked for; its knobs and its threshold are chosen on all rows by the search of the
        study. ``recommended_for`` chooses among several data sets.

        Raises
        ------
        StudyError
            If the study is incomplete, has several data sets, or its table has changed.
        FitError
            If it cannot be fitted on all rows.
        """
        if len(self.datasets) > 1 and self.is_complete:
            raise StudyError(
                f"study {self._record.study.name!r} has {len(self.datasets)} data sets ({join_words(self.datasets)}); "
                f"a model is fitted on the rows of one. Choose it: result.recommended_for({self.datasets[0]!r})."
            )
        return self.recommended_for(*self.datasets[:1])

    def recommended_for(
        self, dataset: str | None = None, *, learner: str | None = None, strategy: str | None = None
    ) -> Any:
        """Return the recommended model of a data set, fitted on all of its rows; see :attr:`recommended`.

        Parameters
        ----------
        dataset : str, optional
            A data set of the study, which may be left out if it has one.
        learner, strategy : str, optional
            Others than the recommended ones; both are needed while evaluations are missing.

        Returns
        -------
        ThresholdClassifier or MulticlassThresholdClassifier
            Frozen: neither fitting nor cloning changes it. :meth:`refit` fits on other rows.
        """
        selection = self._select(dataset, learner, strategy)
        key = selection.dataset, selection.learner, selection.strategy
        if key not in self._models:
            uses_store = self._folder is not None and store.DEFAULT_PATH.exists()
            with exporting.fit_errors(selection):
                _, fitted = exporting.fit_selected(
                    self.study, self._record.evaluations, selection, uses_store, self._data
                )
            self._models[key] = fitted.estimator
        return self._models[key]

    def refit(
        self,
        X: Any = None,
        y: Any = None,
        dataset: str | None = None,
        *,
        learner: str | None = None,
        strategy: str | None = None,
    ) -> Any:
        """Fit the recommended strategy on other rows, and return the model; :attr:`recommended` stays as it is.

        Knobs and threshold are chosen anew, on the inner folds of these rows. Rows must be independent: a study with
        groups or time is run again on a table with these columns.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n_rows, n_features), optional
            The columns of the data set; those of an array by position. Without ``X`` and ``y`` the model of the table
            of the study is returned, as by :meth:`recommended_for`.
        y : array-like of shape (n_rows,), optional
            Labels, as in the table: those that the study merges or leaves out are merged and left out.
        dataset, learner, strategy : str, optional
            As for :meth:`recommended_for`.

        Raises
        ------
        StudyError
            With everything that differs from the data set: columns, labels, the number of rows.
        """
        if X is None and y is None:
            return self.recommended_for(dataset, learner=learner, strategy=strategy)
        selection = self._select(dataset, learner, strategy)
        known = exporting.layout_of_dataset(self.study, selection.dataset, self._data).datasets[selection.dataset]
        table = _like(known, X, y)
        layout = lay_out(replace(self.study, datasets={}), {table.name: table})
        with exporting.fit_errors(selection):
            return exporting.fit_on_all_rows(layout, selection, use_store=False).estimator

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report: one page with every table and figure, which needs no network.

        Parameters
        ----------
        path : path, optional
            An ``.html`` file for the page alone, or a folder, which gets figures and tables as files too. The folder
            of the study by default.

        Returns
        -------
        Path
            The page.
        """
        if path is None:
            home = self._require_folder("written", "Name a file: result.report('report.html').")
            study = self._study or config.load_request(home / ledger.STUDY_FILE, self._grants, loads_data=False).study
            return results.write_folder_report(home, study)
        check_path("path", path)
        path = Path(path)
        if path.suffix not in ("", ".html") and not path.is_dir():
            raise StudyError(
                f"{path.name!r} ends with {path.suffix!r}; a report is a page of HTML, or a folder. Name it .html, or "
                "print the page to a file of another kind with a browser."
            )
        folder = path.parent if path.suffix == ".html" else path
        rendered = report.render_files(self._report_data(needs_evidence=True))
        files.make_folder(folder.absolute())
        if path.suffix == ".html":
            page = next(parts for name, parts in rendered if name == report.PAGE_FILE)
            files.replace(folder.absolute(), path.name, b"".join(page))
            return path
        report.write_files(folder.absolute(), rendered)
        return folder / report.PAGE_FILE

    def to_mlflow(self, uri: str | None = None) -> int:
        """Fill an MLflow store from the folder of the study, as ``imblab sync`` does; repeating it changes nothing.

        Parameters
        ----------
        uri : str, optional
            The store, such as ``http://host:5000``; ``sqlite:///mlruns/mlflow.db`` by default.

        Returns
        -------
        int
            The number of runs that were written.
        """
        home = self._require_folder("logged")
        words = [*self._grants, *([] if uri is None else [f"tracking.uri={to_hydra_syntax(uri)}"])]
        request = config.load_request(home / ledger.STUDY_FILE, words, loads_data=False)
        return syncing.fill_store(home, request, terminal.print_paragraph)

    def explore(self, measure: str) -> StudyResult:
        """Return the result by another measure of the study: exploratory, without a verdict.

        Parameters
        ----------
        measure : str
            The name of a measure of the study.

        Returns
        -------
        StudyResult
            Its tables, figures and recommendation are by that measure.
        """
        explored = results.explore(self._record, measure)
        return StudyResult(explored, self._study, self._folder, tuple(self._data.values()), self._grants, self._source)

    def _select(self, dataset: str | None, learner: str | None, strategy: str | None) -> Selection:
        choice = {"dataset": dataset, "learner": learner, "strategy": strategy}
        given = {kind: name for kind, name in choice.items() if name is not None}
        names = list(dict.fromkeys(self._record.summary.dataset))
        if dataset is None and len(names) > 1:
            raise StudyError(
                f"study {self._record.study.name!r} has {len(names)} data sets ({join_words(names)}); a model is "
                "fitted on the rows of one. Name it as the first argument."
            )
        return select_strategies(self._record, given)[0]

    def _report_data(self, needs_evidence: bool = False) -> ReportData:
        source = self._evidence if needs_evidence else self._source or RecordFiles(None, {})
        is_explored = (claims := self._record.study.claims.registered) and claims.primary != self._record.study.primary
        return results.report_data(self._folder, self._record, _EXPLORED if is_explored else None, source)

    @cached_property
    def _evidence(self) -> RecordFiles:
        if self._folder is None:
            return self._source or RecordFiles(None, {})
        return results.read_record_files(self._folder, self._record.study, for_report=True)

    def _require_folder(self, act: str, hint: str = "") -> Path:
        if self._folder is None:
            raise StudyError(
                f"the result of study {self._record.study.name!r} is in memory; without a folder it cannot be {act}. "
                f"{hint or 'Run the study with imblab.run(study), which writes experiments/<name>.'}"
            )
        return self._folder


def _like(known: Dataset, X: Any, y: Any) -> Dataset:
    """Make a data set of rows with the columns and labels of a known one; StudyError names all that differs."""
    if X is None or y is None:
        given = "y" if X is None else "X"
        raise StudyError(
            f"only {given!r} is given to refit data set {known.name!r}; a fit needs features and labels. Call "
            "result.refit(X, y), or result.refit() for the rows of the study."
        )
    names, merged = list(known.X.columns), {label for old in known.merged.values() for label in old}
    labels = np.asarray(y).ravel()
    texts = set(map(label_text, pd.unique(labels).tolist()))
    problems = []
    frame = named_frame(X)
    if frame is None:
        frame = pd.DataFrame(plain_array(X))
        if frame.shape[1] != len(names):
            problems.append(f"the array has {count_noun(frame.shape[1], 'column')} in place of {len(names)}")
        else:
            frame = frame.set_axis(names, axis=1)
    if not problems and (absent := [name for name in names if name not in frame.columns]):
        listed = join_words(absent if len(absent) < 6 else [*absent[:5], f"{len(absent) - 5} more"])
        problems.append(f"{count_noun(len(absent), 'column is', 'columns are')} missing ({listed})")
    if len(frame) != len(labels):
        problems.append(f"there are {len(frame)} rows and {len(labels)} labels")
    if further := sorted(texts - {*known.classes, *merged, *known.dropped_classes}):
        problems.append(f"labels such as {further[0]!r} are not among its classes ({join_words(known.classes)})")
    if known.groups is not None or known.time is not None:
        problems.append("its rows have groups or times, which these lack")
    if problems:
        raise StudyError(
            f"the rows to refit on are not like data set {known.name!r}: {'; '.join(problems)}. A model reads the "
            "columns and labels of its data set: give those, or run a study of the new table."
        )
    label = next(name for name in ("label", *(f"label_{i}" for i in range(len(names) + 1))) if name not in names)
    return datasets.dataset(
        frame[names].assign(**{label: labels}),
        label,
        name=known.name,
        positive=known.classes[1] if len(known.classes) == 2 else None,
        categorical=list(known.categorical),
        rare=None if known.rare is None else {"min_rows": known.rare},
        missing=known.missing,
        merge={name: [each for each in old if each in texts] for name, old in known.merged.items() if texts & {*old}},
        drop_classes=[label for label in known.dropped_classes if label in texts],
        allow_majority_positive=True,
    )
