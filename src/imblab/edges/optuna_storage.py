"""Copies finished inner searches to an Optuna storage, where a team looks at them.

The searches themselves run in memory. The copies come from the rows of the ledger, so no result depends on them, and a
storage can be filled again at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imblab.core import search
from imblab.errors import StudyError, check_password_quoting, storage_errors
from imblab.redaction import install
from imblab.result import Evaluation, Trial
from imblab.study import COORDINATES, Axis, Choice, Study

if TYPE_CHECKING:
    import optuna

#: The attribute that marks an Optuna study as imblab's: the fingerprint of the evaluation it was copied from. It is
#: written last.
FINGERPRINT_ATTRIBUTE, STATUS_ATTRIBUTE = "imblab.fingerprint", "imblab.status"
#: Seconds after which a database server that does not answer is given up.
SERVER_TIMEOUT_SECONDS = 10
WAY_OUT = (
    "finished searches are copied there, and no result depends on it. Run the same command again later, or leave "
    "search.storage out."
)


def copy_searches(study: Study, rows: Iterable[Evaluation], storage_address: str) -> int:
    """Copy the inner searches of evaluations to a storage, one Optuna study per evaluation.

    The studies are called ``<study>/<dataset>/<learner>/<strategy>/<repeat>/<fold>``. A complete copy is left alone;
    one that was cut short, or belongs to an evaluation that was repeated since, is written again. An address without
    ``://`` is the path of a journal file. Returns the number of searches written. A study that imblab did not write is
    refused.
    """
    if "://" in storage_address:
        check_password_quoting("Optuna storage", storage_address)
    install()
    with storage_errors("Optuna storage", storage_address, WAY_OUT):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage = _open_storage(storage_address)
        copies = {s.study_name: s for s in optuna.get_all_study_summaries(storage, include_best_trial=False)}
        written = 0
        for row, axes in _searched_rows(study, rows):
            name = f"{study.name}/{row.key}"
            if name in copies and _is_complete_copy(copies[name], row):
                continue
            if name in copies:
                _delete_copy(copies[name], storage)
            _write_copy(study, row, axes, name, storage)
            written += 1
    return written


def _searched_rows(study: Study, rows: Iterable[Evaluation]) -> Iterator[tuple[Evaluation, Mapping[str, Axis]]]:
    """The evaluations in which something was searched, with the axes of the search."""
    learners = {learner.name: learner for learner in study.learners}
    strategies = {strategy.name: strategy for strategy in study.strategies}
    for row in rows:
        if row.learner in learners and row.strategy in strategies:
            axes = search.searched_axes(strategies[row.strategy], learners[row.learner], study.tuning.tune_learner)
            if axes and row.trials:
                yield row, axes


def _open_storage(storage_address: str) -> optuna.storages.BaseStorage:
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if "://" not in storage_address:
        path = Path(storage_address).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path)))
    at_server = storage_address.startswith(("postgresql", "mysql"))
    options = {"connect_args": {"connect_timeout": SERVER_TIMEOUT_SECONDS}} if at_server else None
    return RDBStorage(storage_address, options)


def _is_complete_copy(copy: optuna.study.StudySummary, row: Evaluation) -> bool:
    attributes = copy.user_attrs
    same_end = attributes.get(STATUS_ATTRIBUTE, row.status) == row.status  # a failed evaluation may have been repeated
    return attributes.get(FINGERPRINT_ATTRIBUTE) == row.fingerprint and same_end and copy.n_trials == len(row.trials)


def _delete_copy(copy: optuna.study.StudySummary, storage: optuna.storages.BaseStorage) -> None:
    """Delete a copy that is written again; a study that imblab did not write is refused."""
    import optuna

    if copy.n_trials and FINGERPRINT_ATTRIBUTE not in copy.user_attrs:
        raise StudyError(
            f"the Optuna storage holds a study {copy.study_name!r} with {copy.n_trials} trials that imblab did not "
            "write; a search is copied under the name of its evaluation. Delete or rename that study, or choose "
            "another storage."
        )
    optuna.delete_study(study_name=copy.study_name, storage=storage)


def _write_copy(
    study: Study, row: Evaluation, axes: Mapping[str, Axis], name: str, storage: optuna.storages.BaseStorage
) -> None:
    import optuna

    is_gain = study.primary_measure.greater_is_better
    copy = optuna.create_study(storage=storage, study_name=name, direction="maximize" if is_gain else "minimize")
    # An empty mark before the first trial: a copy that is cut short is known as imblab's.
    copy.set_user_attr(FINGERPRINT_ATTRIBUTE, "")
    copy.set_user_attr("imblab.primary", study.primary)
    for key in COORDINATES:
        copy.set_user_attr(f"imblab.{key}", getattr(row, key))
    copy.add_trials(_frozen_trials(row.trials, axes))
    copy.set_user_attr(STATUS_ATTRIBUTE, row.status)
    copy.set_user_attr(FINGERPRINT_ATTRIBUTE, row.fingerprint)


def _frozen_trials(trials: Sequence[Trial], axes: Mapping[str, Axis]) -> list[optuna.trial.FrozenTrial]:
    from optuna.trial import TrialState, create_trial

    distributions = {name: _distribution(axis) for name, axis in axes.items()}
    frozen = []
    for trial in trials:
        state = TrialState.PRUNED if trial.status == "pruned" else TrialState.FAIL
        if trial.status in ("ok", "repeated") and trial.value is not None:
            state = TrialState.COMPLETE
        attributes = {name: value for name, value in trial.params.items() if name not in axes}
        attributes |= {name: getattr(trial, name) for name in ("threshold", "status", "reason", "at_edge")}
        frozen.append(
            create_trial(
                state=state,
                value=trial.value if state == TrialState.COMPLETE else None,
                params={name: trial.params[name] for name in axes},
                distributions=distributions,
                user_attrs=attributes,
            )
        )
    return frozen


def _distribution(axis: Axis) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(axis, Choice):
        return CategoricalDistribution(axis.values)
    if axis.integer:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)
