"""Learners that weigh or resample the classes by themselves: with them, `none` is not an untouched baseline."""

from __future__ import annotations

from imblab.study import Study
from imblab.text import join_words


def note(study: Study, learner: str) -> str | None:
    """Say how a learner rebalances by itself, and what that does to the baseline.

    Parameters
    ----------
    study : Study
        The study that declares the learner.
    learner : str
        The name of the learner.

    Returns
    -------
    str or None
        None where it takes the classes as they are, or the study does not know it.

    Examples
    --------
    >>> from imblab.study import Learner, LearnerTraits
    >>> traits = LearnerTraits(rebalances=True, rebalanced_by=("class_weight=balanced",))
    >>> weighted = Learner("logistic", {"_target_": "a.B"}, traits=traits)
    >>> note(Study("s", 0, {}, (weighted,), (), ()), "logistic")
    "learner 'logistic' weighs or resamples the classes by itself (class_weight=balanced): no strategy with it leaves \
the classes as they are"
    """
    rebalancing = next((each for each in study.learners if each.name == learner and each.traits.rebalances), None)
    if rebalancing is None:
        return None
    how = join_words(rebalancing.traits.rebalanced_by) or str(rebalancing.make.get("_target_", "")).rpartition(".")[2]
    consequence = (
        "with it, 'none' is not an untouched baseline"
        if any(strategy.name == "none" for strategy in study.strategies)
        else "no strategy with it leaves the classes as they are"
    )
    return f"learner {learner!r} weighs or resamples the classes by itself{f' ({how})' if how else ''}: {consequence}"


def notes(study: Study) -> dict[str, str]:
    """The notes of all learners of a study that rebalance by themselves, by their names."""
    return {each.name: text for each in study.learners if (text := note(study, each.name)) is not None}
