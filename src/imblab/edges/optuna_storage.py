"""Finished inner searches, copied to an Optuna storage where a team looks at them.

The searches themselves run in memory; what is copied comes from the rows of the ledger, so no result depends on it and
a storage can be filled again at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imblab.core import search
from imblab.errors import ImblabError, StudyError, describe, presentable
from imblab.redaction import ambiguity, hiding, install
from imblab.result import Evaluation, Trial
from imblab.study import Axis, Choice, Study

if TYPE_CHECKING:
    import optuna

#: What marks a study of a storage as ours: the address of the row it was copied from, written last.
MARK = "imblab.fingerprint"
STATUS = "imblab.status"
#: Seconds after which a database server that does not answer is given up.
PATIENCE = 10
#: Of what a library says.
MAX_REASON_CHARACTERS = 300


def copy(study: Study, rows: Iterable[Evaluation], where: str) -> int:
    """Copy the inner searches of answered rows, one Optuna study a row.

    The studies are called ``<study>/<dataset>/<learner>/<strategy>/<repeat>/<fold>``. What is there already is left
    alone; what was cut short, or belongs to rows that were since answered anew, is written again.

    Parameters
    ----------
    study : Study
    rows : iterable of Evaluation
        Those in which nothing was searched are left out.
    where : str
        ``postgresql://...``, ``sqlite:///...`` or whatever SQLAlchemy reads; anything without ``://`` is the path of a
        journal file.

    Returns
    -------
    int
        How many searches were written; 0 the second time.

    Raises
    ------
    StudyError
        If the storage does not answer, or holds a study of that name that is not imblab's.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> one = Study("s", 0, {}, (), (), ())
    >>> with TemporaryDirectory() as folder:
    ...     copy(one, [], f"{folder}/searches.log")
    0
    """
    _check_address(where)
    with _answering(where):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage = _storage(where)
        known = {s.study_name: s for s in optuna.get_all_study_summaries(storage, include_best_trial=False)}
        written = 0
        for row, axes in _searched(study, rows):
            name = f"{study.name}/{row.key}"
            if name in known and _is_copy(known[name], row):
                continue
            if name in known:
                _remove(known[name], storage)
            _write(study, row, axes, name, storage)
            written += 1
    return written


def _searched(study: Study, rows: Iterable[Evaluation]) -> Iterator[tuple[Evaluation, Mapping[str, Axis]]]:
    """The rows in which something was searched, with its axes."""
    learners = {learner.name: learner for learner in study.learners}
    strategies = {strategy.name: strategy for strategy in study.strategies}
    for row in rows:
        if row.learner in learners and row.strategy in strategies:
            axes = search.searched_axes(strategies[row.strategy], learners[row.learner], study.tuning.tune_learner)
            if axes and row.trials:
                yield row, axes


def _storage(where: str) -> optuna.storages.BaseStorage:
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if "://" not in where:
        path = Path(where).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path)))
    patient = where.startswith(("postgresql", "mysql"))
    return RDBStorage(where, {"connect_args": {"connect_timeout": PATIENCE}} if patient else None)


def _is_copy(found: optuna.study.StudySummary, row: Evaluation) -> bool:
    known = found.user_attrs
    same_end = known.get(STATUS, row.status) == row.status  # a failed evaluation may have been tried again
    return known.get(MARK) == row.fingerprint and same_end and found.n_trials == len(row.trials)


def _remove(found: optuna.study.StudySummary, storage: optuna.storages.BaseStorage) -> None:
    """Make room for a search; what somebody else wrote stays."""
    import optuna

    if found.n_trials and MARK not in found.user_attrs:
        raise StudyError(
            f"the Optuna storage holds a study {found.study_name!r} with {found.n_trials} trials that imblab did not "
            "write; a search is copied under the name of its row. Delete or rename it, or choose another storage."
        )
    optuna.delete_study(study_name=found.study_name, storage=storage)


def _write(
    study: Study, row: Evaluation, axes: Mapping[str, Axis], name: str, storage: optuna.storages.BaseStorage
) -> None:
    import optuna

    primary = next(m for m in study.measures if m.name == study.primary)
    made = optuna.create_study(
        storage=storage, study_name=name, direction="maximize" if primary.greater_is_better else "minimize"
    )
    # Marked as half of a copy before the first trial, so that a copy cut short is known as ours.
    made.set_user_attr(MARK, "")
    made.set_user_attr("imblab.primary", study.primary)
    for key in ("dataset", "learner", "strategy", "repeat", "fold"):
        made.set_user_attr(f"imblab.{key}", getattr(row, key))
    made.add_trials(_trials(row.trials, axes))
    made.set_user_attr(STATUS, row.status)
    made.set_user_attr(MARK, row.fingerprint)


def _trials(trials: Sequence[Trial], axes: Mapping[str, Axis]) -> list[optuna.trial.FrozenTrial]:
    from optuna.trial import TrialState, create_trial

    distributions = {name: _distribution(axis) for name, axis in axes.items()}
    found = []
    for trial in trials:
        state = TrialState.PRUNED if trial.status == "pruned" else TrialState.FAIL
        if trial.status in ("ok", "repeated") and trial.value is not None:
            state = TrialState.COMPLETE
        said = {"threshold": trial.threshold, "status": trial.status, "reason": trial.reason, "at_edge": trial.at_edge}
        fixed = {name: value for name, value in trial.params.items() if name not in axes}
        found.append(
            create_trial(
                state=state,
                value=trial.value if state == TrialState.COMPLETE else None,
                params={name: trial.params[name] for name in axes},
                distributions=distributions,
                user_attrs={**fixed, **said},
            )
        )
    return found


def _distribution(axis: Axis) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(axis, Choice):
        return CategoricalDistribution(axis.values)
    if axis.integer:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def _check_address(where: str) -> None:
    """Refuse an address whose password would be taken apart, and told in pieces, by a driver."""
    if "://" in where and (reason := ambiguity(where)):
        raise StudyError(
            f"the Optuna storage {presentable(where)!r} has an address that cannot be used; {reason}. Quote the "
            "special characters of the password."
        )


@contextmanager
def _answering(where: str) -> Iterator[None]:
    """Whatever Optuna, a database driver or the network raises becomes one message without a password."""
    install()
    with hiding(where):
        try:
            yield
        except ImblabError:
            raise
        except Exception as error:
            line = presentable(describe(error))[:MAX_REASON_CHARACTERS]
            raise StudyError(
                f"the Optuna storage {presentable(where)!r} does not answer ({type(error).__name__}: {line}); "
                "finished searches are copied there, and no result depends on it. Run the same command again later, or "
                "leave search.storage out."
            ) from None
