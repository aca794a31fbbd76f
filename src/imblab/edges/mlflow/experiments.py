"""Whose experiment it is: runs of a study go to an experiment of that study, and nothing of another one is touched."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from imblab.edges.mlflow.addresses import artifact_folder, brief_reason, file_uri, is_database
from imblab.edges.mlflow.runs import splits_of
from imblab.errors import StudyError
from imblab.result import Evaluation
from imblab.study import fingerprint

IDENTITY_TAG, STUDY_TAG, ROLE_TAG, STALE_TAG = "imblab.identity", "imblab.study", "imblab.role", "imblab.stale"
HOST_TAG, WRITER_TAG, USER_TAG = "imblab.host", "imblab.writer", "mlflow.user"
FINGERPRINT_TAGS = ("imblab.data_fingerprint", "imblab.split_fingerprint")
#: How often a lost race to make an experiment is tried again, and the seconds between.
MAX_ATTEMPTS, RETRY_SECONDS = 5, 0.2


@dataclass(frozen=True, slots=True, eq=False)
class ExperimentOwner:
    """The study that writes.

    Attributes
    ----------
    study : str
        Its name.
    identity : str
        Which study it is; its name does not matter.
    former : tuple of str, default=()
        The identities that it replaced: their runs are its own.
    experiment : str or None, default=None
        The name of the experiment; that of the study by default.
    ledgers : callable
        Gives the rows of the study, and those of each study that it replaced. An experiment of an older imblab, which
        names no identity, is recognised by them.
    """

    study: str
    identity: str
    former: tuple[str, ...] = ()
    experiment: str | None = None
    ledgers: Callable[[], Iterable[Sequence[Evaluation]]] = tuple

    def owns(self, identity: str | None) -> bool:
        """Whether runs with an identity are those of this study; runs of an older imblab have none."""
        return identity in (None, self.identity, *self.former)


def claim_experiment(client: Any, owner: ExperimentOwner, uri: str) -> str:
    """The id of the experiment of a study, made where there is none; a lost race to make it is won by looking again.

    Parameters
    ----------
    client : MlflowClient
    owner : Owner
    uri : str
        The address of the store.

    Returns
    -------
    str

    Raises
    ------
    StudyError
        If the experiment of that name belongs to another study, or can be neither found nor made.
    """
    from mlflow.exceptions import MlflowException

    reason = "it is MLflow's own"
    for _ in range(MAX_ATTEMPTS):
        found = _find_experiment(client, owner)
        if found is None:
            location = file_uri(artifact_folder(uri)) if is_database(uri) else None
            try:
                # With its tags in one step: a process that loses the race sees whose it is.
                tags = {IDENTITY_TAG: owner.identity, STUDY_TAG: owner.study}
                return str(client.create_experiment(_name(owner), artifact_location=location, tags=tags))
            except MlflowException as error:
                reason = brief_reason(error)
                time.sleep(RETRY_SECONDS)
                continue
        if found.experiment_id == "0":
            break
        _check_owner(client, found, owner)
        if found.lifecycle_stage != "active":
            client.restore_experiment(found.experiment_id)
        elif (found.tags.get(IDENTITY_TAG), found.tags.get(STUDY_TAG)) == (owner.identity, owner.study):
            return str(found.experiment_id)
        else:
            # Looked at once more, since somebody else may do the same at this moment.
            client.set_experiment_tag(found.experiment_id, IDENTITY_TAG, owner.identity)
            client.set_experiment_tag(found.experiment_id, STUDY_TAG, owner.study)
    raise StudyError(
        f"the MLflow experiment {_name(owner)!r} can be neither found nor made as one of imblab's ({reason}); a study "
        "logs to the experiment of its name. Look at it with `imblab ui`, or log to another one with "
        "tracking.experiment=..."
    )


def user_tags() -> dict[str, str]:
    """Whose run it is, as MLflow's own calls note it, and on which machine."""
    from mlflow.tracking.context.default_context import DefaultRunContext

    try:
        found = {str(name): str(value) for name, value in DefaultRunContext().tags().items()}
    except (KeyError, OSError):  # a user id without a name, as in a container
        found = {USER_TAG: "unknown", "mlflow.source.type": "LOCAL"}
    return {**found, HOST_TAG: socket.gethostname()}


def writer_id(folder: Path) -> str:
    """The folder and the machine that write, as an address that tells neither."""
    return fingerprint(socket.gethostname(), str(folder.resolve()))


def _name(owner: ExperimentOwner) -> str:
    return owner.experiment or owner.study


def _find_experiment(client: Any, owner: ExperimentOwner) -> Any:
    """The experiment: the one that was asked for, else that of the study's name, else one that the study has made."""
    named = client.get_experiment_by_name(_name(owner))
    if owner.experiment or (named is not None and owner.owns(named.tags.get(IDENTITY_TAG))):
        return named
    for identity in (owner.identity, *owner.former):
        for found in client.search_experiments(filter_string=f"tags.`{IDENTITY_TAG}` = '{identity}'"):
            if found.tags.get(STUDY_TAG) == owner.study:
                return found
    return named


def _check_owner(client: Any, found: Any, owner: ExperimentOwner) -> None:
    """Refuse the experiment of another study."""
    identity = found.tags.get(IDENTITY_TAG)
    if owner.owns(identity) and (identity is not None or _rows_agree(client, found, owner)):
        return
    newest = client.search_runs([found.experiment_id], f"tags.`{ROLE_TAG}` = 'study'", max_results=1)
    tags = newest[0].data.tags if newest else {}
    whose = " ".join(f"{word} {tags[name]!r}" for word, name in (("of", USER_TAG), ("on", HOST_TAG)) if name in tags)
    other = f"identity {identity!r}" if identity else "other rows, logged by an older imblab"
    free = f"{_name(owner)}-{owner.identity[:6]}"
    raise StudyError(
        f"the MLflow experiment {found.name!r} holds another study {whose}{' ' if whose else ''}({other}; this one has "
        f"{owner.identity!r}); an experiment shows one study, and nothing of another one is changed. Log this one to "
        f"another experiment: imblab sync {owner.study} tracking.experiment={free}. Or run it under another name=..."
    )


def _rows_agree(client: Any, found: Any, owner: ExperimentOwner) -> bool:
    """Whether all cells of an experiment without an identity hold rows of the study, on the same data and folds."""
    cells = [run.data.tags for run in iterate_runs(client, found.experiment_id, f"tags.`{ROLE_TAG}` = 'cell'")]
    cells = [tags for tags in cells if STALE_TAG not in tags]
    if any(not owner.owns(tags.get(IDENTITY_TAG)) for tags in cells):
        return False
    known = {one for rows in owner.ledgers() for one in _cell_states(rows)} if cells else set()
    return all((_cell_of_tags(tags), *(tags.get(name) for name in FINGERPRINT_TAGS)) in known for tags in cells)


def _cell_states(rows: Sequence[Evaluation]) -> Iterator[tuple[str, str, str]]:
    """What a cell may say of its data and folds, when it was written early or late."""
    members: dict[str, list[Evaluation]] = {}
    for row in sorted(rows, key=lambda row: (row.repeat, row.fold)):
        members.setdefault(f"{row.dataset}/{row.learner}/{row.strategy}", []).append(row)
    for key, family in members.items():
        yield from ((key, row.data_fingerprint, splits_of(family[: n + 1])) for n, row in enumerate(family))


def _cell_of_tags(tags: Mapping[str, str]) -> str:
    return "/".join(tags.get(f"imblab.{name}", "") for name in ("dataset", "learner", "strategy"))


def iterate_runs(client: Any, experiment: str, query: str = "") -> Iterator[Any]:
    """All runs of an experiment, page by page."""
    page = partial(client.search_runs, [experiment], query, max_results=1000)
    found = page()
    yield from found
    while found.token:
        found = page(page_token=found.token)
        yield from found
