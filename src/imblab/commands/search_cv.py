"""``ImbalanceSearchCV``: the inner search of a study as an estimator of scikit-learn."""

from __future__ import annotations

import re
import threading
import time
import warnings
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state, column_or_1d, indexable
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, check_consistent_length, check_is_fitted, validate_data

from imblab.commands.estimator_records import check_flags, to_records
from imblab.core import design, model, splits, task_decisions
from imblab.core.model import CandidateScorer, StrategySearch
from imblab.core.splits import InnerFolds
from imblab.edges import datasets, runner
from imblab.edges.config.agreement import check_agreement
from imblab.edges.config.validation import ErrorCollector
from imblab.edges.datasets.notation import label_text
from imblab.edges.datasets.sources import check_same_order
from imblab.errors import ConfigError, DataError, DataValueError, FitError, FitFailed, estimator_errors, unknown
from imblab.result import Trial
from imblab.study import SEARCH_METHODS, Cell, Dataset, Protocol, Study, Tuning, in_declared_order
from imblab.text import join_words
from imblab_model import named_frame, plain_array

#: The strategies of a search by default, simpler ones first: of equal values the first is chosen.
DEFAULT_STRATEGIES = ("none", "threshold", "class_weight", "smote_threshold")
#: Inner folds of a study.
DEFAULT_INNER_FOLDS = 3
#: Rows of a class in a fit part that a study asks for.
MIN_FIT_ROWS = 2
#: Name of the table in messages, and of the columns in it that hold no feature.
TABLE, TARGET, GROUPS = "X", "y", "groups"
STATUS_WORDS = {"failed": "failed", "inapplicable": "is not applicable"}
#: Arguments of `imblab.dataset` that a message may propose, and what to do here in their place.
FOREIGN_ARGUMENTS = re.compile(r"\b(drop|id|time|groups|categorical|numeric|missing|merge|drop_classes)=")
CHANGE_X = "ImbalanceSearchCV reads X and y as they are: make that change there."
#: One search at a time fits in a process: fits share caches and record warnings, which threads would mix.
_FIT_LOCK = threading.RLock()


def _gives_probabilities(search: ImbalanceSearchCV) -> bool:
    if hasattr(search, "best_estimator_"):
        return search._scorer.is_probability
    return isinstance(search.estimator, str) or hasattr(search.estimator, "predict_proba")


class ImbalanceSearchCV(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Choose a strategy for imbalance, its knobs and its threshold by cross-validation, and fit it on all rows.

    ``fit`` searches every strategy on the same inner folds by the rule of a study: samplers, encoders and scalers see
    fit rows only, thresholds and values come from confusion counts summed over the validation rows. The best candidate
    is fitted on all rows given, and ``predict`` applies its threshold.

    The value of the winner, ``best_score_``, is the best of many and so slightly optimistic: score the estimator
    by ``cross_validate``, which is nested cross-validation.

    Parameters
    ----------
    estimator : classifier, str or Learner
        A classifier with ``predict_proba`` or ``decision_function``, or the name of a shipped learner, such as
        ``"lightgbm"``. It receives imputed, standardised and one-hot encoded rows, and its ``random_state`` is that of
        the search. One that splits the rows it receives (early stopping, ``cv``) is refused.
    strategies : sequence of str, Strategy or sampler, default=("none", "threshold", "class_weight", "smote_threshold")
        Names of shipped strategies, records, and samplers of imbalanced-learn as objects, which get a tuned threshold.
        Of equal values the first is chosen.
    measure : str or Measure, default="mcc"
        What is maximised; names of imblab or of scikit-learn.
    cv : int, splitter or iterable, default=3
        The inner folds. A number: shuffled stratified folds, group folds where ``fit`` receives groups.
    positive : label, optional
        The positive class of two; the rarer by default.
    rare : mapping, optional
        ``{"min_rows": m}``: levels of a categorical column with fewer rows than m in a fit part become one level.
    tuning : Tuning, optional
        The search method; the full grid of every strategy by default.
    random_state : int, RandomState or None, default=0
        Everything random gets the same seed: folds, samplers, learner and search.
    n_jobs : int, optional
        Processes for the inner fits, as in scikit-learn. No result depends on it.
    refit : bool, default=True
        Whether the winner is fitted on all rows; without it nothing can be predicted.

    Attributes
    ----------
    best_estimator_ : classifier
        The fitted winner with its threshold; it predicts by itself. Only with ``refit``.
    best_strategy_ : str
        Name of the chosen strategy.
    best_params_ : dict
        Its knobs: ``ratio``, ``k``, ``weight``, ``sampler.<parameter>`` and ``learner.<parameter>``.
    best_threshold_ : float, dict or None
        The value from which a row is called positive: of its predicted probability (``1 / (1 + exp(-d))`` of a
        decision value d), or of d itself for a rule that chooses among observed values. With more than two classes one
        per label, None where costs decide.
    best_score_ : float
        The value of the winner on the inner folds; NaN where the measure is undefined.
    best_index_ : int
        Its row of ``cv_results_``.
    cv_results_ : dict of array
        One entry per candidate: ``strategy``, ``params`` and ``param_<knob>``, ``threshold``, ``value`` (the measure of
        summed counts, by which candidates are ranked), ``split<i>_test_score``, ``mean_test_score`` and
        ``std_test_score`` (the measure of each inner fold), ``rank_test_score``, ``status`` and ``reason``.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    positive_ : label
        The positive class of two; the rarest of more.
    n_features_in_, feature_names_in_ : int, ndarray of str
        Columns seen in ``fit``; names where all of them are texts.
    n_splits_ : int
        Number of inner folds.
    refit_time_ : float
        Seconds of the last fit. Only with ``refit``.

    Notes
    -----
    ``fit`` takes no ``sample_weight``: rows that a sampler makes have none, and the weight of a class is a knob. It
    requests ``groups`` by default where metadata routing is enabled.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = make_classification(400, weights=[0.9], class_sep=0.7, random_state=0)
    >>> search = ImbalanceSearchCV(LogisticRegression(), strategies=["none", "threshold"]).fit(X, y)
    >>> search.best_strategy_, search.best_threshold_
    ('threshold', 0.29)
    >>> search.predict(X[:3])
    array([0, 0, 0])
    """

    #: Where metadata routing is enabled, groups are passed to the inner folds as they are to a group splitter.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"groups": True}

    def __init__(  # noqa: PLR0913 (keyword arguments of the public API)
        self,
        estimator: Any,
        *,
        strategies: Sequence[Any] = DEFAULT_STRATEGIES,
        measure: Any = "mcc",
        cv: Any = DEFAULT_INNER_FOLDS,
        positive: Any = None,
        rare: Any = None,
        tuning: Tuning | None = None,
        random_state: Any = 0,
        n_jobs: int | None = None,
        refit: bool = True,
    ) -> None:
        self.estimator = estimator
        self.strategies = strategies
        self.measure = measure
        self.cv = cv
        self.positive = positive
        self.rare = rare
        self.tuning = tuning
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.refit = refit

    def fit(self, X: Any, y: Any, groups: Any = None) -> ImbalanceSearchCV:
        """Search every strategy, and fit the best one on all rows.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_features)
            Numbers; columns of a frame may also hold texts, categories and flags. Missing values are imputed.
        y : array-like of shape (n_rows,)
            Labels of two or more classes.
        groups : array-like of shape (n_rows,), optional
            Rows of one group stay together in the inner folds.

        Returns
        -------
        ImbalanceSearchCV
            The fitted estimator itself.

        Raises
        ------
        ValueError
            With everything that is wrong with the arguments or the table, or with the reasons if no strategy can be
            fitted. It is a ConfigError, DataError or FitError of imblab too.
        """
        with estimator_errors(), _FIT_LOCK:
            errors = ErrorCollector()
            study = errors.attempt(self._study)
            y = errors.attempt(self._labels_of, X, y, groups)
            data: Any = None if y is None else errors.attempt(self._read_table, X, y, groups)
            errors.check()
            if problems := [text for e in task_decisions.decision_problems(study, data) for text in e.problems]:
                raise ConfigError(*problems)
            self._search(study, data, self._inner_folds(study, data, (X, y, groups)))
        return self

    def _study(self) -> Study:
        """Return the study that a search answers on one outer split."""
        errors = ErrorCollector()
        records = errors.attempt(to_records, self.estimator, self.strategies, self.measure)
        errors.attempt(self._check_search)
        errors.attempt(check_flags, refit=self.refit)
        errors.check()
        learner, strategies, measures = records
        seed = self.random_state
        state = check_random_state(seed)
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            seed = state.randint(np.iinfo(np.int32).max)
        study = Study(
            "ImbalanceSearchCV",
            int(seed),
            {},
            (learner,),
            strategies,
            measures,
            Protocol(inner_folds=self.cv if _is_count(self.cv) else DEFAULT_INNER_FOLDS),
            primary=measures[0].name,
            tuning=self.tuning or Tuning(),
        )
        check_agreement(study)
        design.check_plain_parameters(study)
        return study

    def _check_search(self) -> None:
        """Refuse a search method or a number of folds that there is not."""
        if _is_count(self.cv) and self.cv < 2:
            raise ConfigError(f"'cv' is {self.cv!r}; a number of inner folds is at least 2. Write for example cv=3.")
        if not isinstance(self.tuning, (Tuning, type(None))):
            raise ConfigError(
                f"'tuning' is {self.tuning!r}; it is an imblab.Tuning, or None for the full grid. Write for example "
                "tuning=imblab.Tuning('tpe', n_trials=20)."
            )
        if self.tuning is not None and self.tuning.method not in SEARCH_METHODS:
            raise ConfigError(unknown("search method", str(self.tuning.method), SEARCH_METHODS, "in imblab.Tuning"))

    def _labels_of(self, X: Any, y: Any, groups: Any) -> np.ndarray:
        """Return the labels as an array; the checks of scikit-learn raise its errors."""
        for argument, values in (("y", y), ("groups", groups)):
            if isinstance(X, pd.DataFrame) and isinstance(values, pd.Series):
                check_same_order(values, X.index, argument)
        labels: np.ndarray = column_or_1d(y, warn=True)
        assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
        check_consistent_length(X, labels, groups)
        return labels

    def _read_table(self, X: Any, y: np.ndarray, groups: Any) -> Dataset:
        """Return the rows as a study reads them, and set what scikit-learn knows of a fitted estimator."""
        frame = self._frame(X, is_fit=True)
        self.classes_ = np.unique(y)
        roles = {TARGET: y, **({} if groups is None else {GROUPS: column_or_1d(groups)})}
        names = {role: _unused_column(role, frame.columns) for role in roles}
        table = frame.assign(**{names[role]: values for role, values in roles.items()})
        try:
            data = datasets.dataset(
                table,
                names[TARGET],
                name=TABLE,
                positive=self.positive,
                allow_majority_positive=self.positive is not None,
                groups=names.get(GROUPS),
                rare=self.rare,
            )
        except DataError as error:
            problems = [f"{text} {CHANGE_X}" if FOREIGN_ARGUMENTS.search(text) else text for text in error.problems]
            raise DataError(*problems) from error
        labels = {label_text(label): label for label in self.classes_.tolist()}
        self._labels = [labels[text] for text in data.classes]
        self.positive_ = self._labels[-1]
        self._categorical = list(data.categorical)
        return data

    def _frame(self, X: Any, is_fit: bool = False) -> pd.DataFrame:
        """Return rows as a frame whose columns are texts; the checks of scikit-learn raise its errors."""
        if not isinstance(X, pd.DataFrame) and (frame := named_frame(X)) is not None:
            X = frame
        X = plain_array(X) if isinstance(X, np.ma.MaskedArray) else X
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=is_fit, skip_check_array=True)
            names = list(map(str, X.columns))
        else:
            dtype = object if not is_fit and self._categorical else "numeric"
            X = validate_data(self, X, reset=is_fit, dtype=dtype, ensure_all_finite="allow-nan")
            X, names = pd.DataFrame(X), [f"x{i}" for i in range(X.shape[1])]
        if is_fit:
            self._columns = names
        prepared: pd.DataFrame = X.set_axis(self._columns, axis=1).reset_index(drop=True)
        return prepared

    def _inner_folds(self, study: Study, data: Dataset, given: tuple[Any, np.ndarray, Any]) -> InnerFolds:
        """Make the inner folds as a study does, or by a splitter on what was given; refuse those with too few rows."""
        if not _is_count(self.cv):
            pairs = check_cv(self.cv, given[1], classifier=True).split(*indexable(*given))
            folds = InnerFolds((np.asarray(fit, np.int64), np.asarray(validate, np.int64)) for fit, validate in pairs)
            model.check_inner_folds(data, folds, 1, "Pass another splitter as cv, or more rows of it.")
            return folds
        try:
            folds = splits.inner_pairs(data, study.protocol, study.seed, model.all_rows_split(data), ())
        except ValueError as error:
            raise DataError(
                f"'cv' is {self.cv!r}, and {len(data.y)} rows cannot be split into so many inner folds ({error}); "
                "every fold needs rows of each class. Lower cv, or pass more rows."
            ) from error
        model.check_inner_folds(data, folds, MIN_FIT_ROWS, f"Lower cv={self.cv}, or pass more rows of it.")
        return folds

    def _search(self, study: Study, data: Dataset, folds: InnerFolds) -> None:
        split, (learner,) = model.all_rows_split(data), study.learners
        cells = tuple(Cell(data.name, learner, strategy, split) for strategy in study.strategies)
        with runner.single_threaded(learner):
            bundle = runner.Bundle(study, data.name, (split,), cells)
            evaluator = runner.evaluator_of(bundle, data, folds, self.n_jobs)
            searches = [model.search_strategy(evaluator.task(cell)) for cell in cells]
            _warn_of_failures(searches)
            best = model.best_search(searches)
            if best is None or best.winner is None:
                raise FitError(
                    f"'strategies' holds {join_words([repr(each.name) for each in searches])}, none of which can be "
                    "fitted; at least one must be. Add 'none', or correct the causes.",
                    *(f"strategy {each.name!r} {STATUS_WORDS[each.status]}: {each.reason}." for each in searches),
                )
            self._set_results(searches, best, best.winner, len(folds))
            if self.refit:
                self._refit(best, best.winner)

    def _set_results(
        self, searches: Sequence[StrategySearch], best: StrategySearch, winner: Trial, n_folds: int
    ) -> None:
        self.cv_results_ = _results_table(searches, n_folds)
        trials = [trial for each in searches for trial in each.trials or (None,)]
        self.best_index_ = next(i for i, trial in enumerate(trials) if trial is winner)
        self.best_score_ = np.nan if winner.value is None else winner.value
        self.best_strategy_, self.best_params_ = best.name, dict(winner.params)
        threshold = winner.threshold
        self.best_threshold_ = (
            dict(zip(self._labels, threshold, strict=True)) if isinstance(threshold, tuple) else threshold
        )
        self.n_splits_ = n_folds

    def _refit(self, best: StrategySearch, winner: Trial) -> None:
        begin = time.perf_counter()
        try:
            self.best_estimator_ = model.fit_model(best.task, winner.params, winner.threshold, self._labels)
        except FitFailed as error:
            raise FitError(
                f"strategy {best.name!r} with {dict(winner.params)} is the best on the inner folds and cannot be "
                f"fitted on all rows: {error}. No other takes its place. Correct the cause, or leave it "
                "out of 'strategies'."
            ) from error
        self.refit_time_ = time.perf_counter() - begin
        self._scorer = CandidateScorer.of(best.task, winner)

    def _fitted(self) -> Any:
        check_is_fitted(self)
        if not hasattr(self, "best_estimator_"):
            raise AttributeError(
                "'refit' is False, so that no estimator was fitted on all rows; predictions need one. Set refit=True "
                "and fit again."
            )
        return self.best_estimator_

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels by the chosen threshold.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_features)
            Columns as in ``fit``.

        Returns
        -------
        ndarray of shape (n_rows,)
            Two classes: positive iff the predicted probability, or decision value, is at or above the threshold.
        """
        labels = self._fitted().predict(self._frame(X))
        return np.asarray(self.classes_[np.searchsorted(self.classes_, labels)])

    @available_if(_gives_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class; only where learner or calibration gives probabilities.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_features)
            Columns as in ``fit``.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            In the order of ``classes_``. The largest one is not always the predicted class: the threshold decides.
        """
        return np.asarray(self._fitted().predict_proba(self._frame(X)))

    @available_if(lambda self: not _gives_probabilities(self))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> np.ndarray:
        """Predict decision values; only where the learner gives no probabilities.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_features)
            Columns as in ``fit``.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_classes)
            Rising with the second of two classes; a column per class with more.
        """
        return np.asarray(self._fitted().decision_function(self._frame(X)))

    def score(self, X: Any, y: Any) -> float:
        """Score predictions by the measure of the search.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_features)
            Columns as in ``fit``.
        y : array-like of shape (n_rows,)
            Labels that ``fit`` saw.

        Returns
        -------
        float
            NaN where the measure is undefined, such as precision without a row called positive. A loss is negated, so
            that greater is better as everywhere in scikit-learn.
        """
        values = self._fitted().scores(self._frame(X))
        labels = column_or_1d(y)
        check_consistent_length(values, labels)
        positions = {label: i for i, label in enumerate(self._labels)}
        if unseen := sorted({repr(label) for label in labels.tolist() if label not in positions}):
            known = join_words([repr(label) for label in self.classes_.tolist()])
            raise DataValueError(
                f"'y' holds {join_words(unseen, limit=5)}; the estimator was fitted on the labels {known}. Leave those "
                "rows out, or fit on all labels."
            )
        score = self._scorer.score(np.array([positions[label] for label in labels.tolist()]), values)
        return score if self._scorer.measure.greater_is_better else -score

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.categorical = True
        return tags


def _is_count(cv: Any) -> bool:
    return isinstance(cv, (int, np.integer)) and not isinstance(cv, bool)


def _unused_column(name: str, taken: Collection[str]) -> str:
    """Return a name for a column that no feature has."""
    while name in taken:
        name += "_"
    return name


def _warn_of_failures(searches: Sequence[StrategySearch]) -> None:
    for each in searches:
        failed = [trial for trial in each.trials if trial.status == "failed"]
        if failed:
            warnings.warn(
                f"strategy {each.name!r}: {len(failed)} of {len(each.trials)} candidates failed and cannot be chosen, "
                f"the first in {failed[0].reason}. cv_results_ holds every reason.",
                FitFailedWarning,
                stacklevel=4,
            )


def _results_table(searches: Sequence[StrategySearch], n_folds: int) -> dict[str, Any]:
    """Return ``cv_results_``: one entry per candidate, one for a strategy without any."""
    rows = [(each, trial) for each in searches for trial in each.trials or (None,)]
    folds = np.array([model.fold_values(each.task, trial) for each, trial in rows]).reshape(-1, n_folds)
    knobs = in_declared_order({name for _, trial in rows if trial is not None for name in trial.params})
    params = [{} if trial is None else dict(trial.params) for _, trial in rows]
    values = np.array([np.nan if trial is None or trial.value is None else trial.value for _, trial in rows])
    signed = values if searches[0].task.primary.greater_is_better else -values
    thresholds = np.empty(len(rows), dtype=object)
    thresholds[:] = [None if trial is None else trial.threshold for _, trial in rows]
    return {
        "strategy": np.array([each.name for each, _ in rows]),
        **{f"param_{knob}": _masked([each.get(knob) for each in params]) for knob in knobs},
        "params": [{"strategy": each.name, **given} for (each, _), given in zip(rows, params, strict=True)],
        "threshold": thresholds,
        "value": values,
        **{f"split{i}_test_score": folds[:, i] for i in range(n_folds)},
        "mean_test_score": folds.mean(axis=1),
        "std_test_score": folds.std(axis=1),
        "rank_test_score": rankdata(np.where(np.isnan(signed), np.inf, -signed), method="min").astype(np.int32),
        "status": np.array([each.status if trial is None else trial.status for each, trial in rows]),
        "reason": np.array([(each.reason if trial is None else trial.reason) or "" for each, trial in rows]),
    }


def _masked(values: Sequence[Any]) -> np.ma.MaskedArray:
    table = np.ma.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        table[i] = np.ma.masked if value is None else value
    return table
