"""Facts of a study as sentences: its outer splits, how many and how they are called; learners that rebalance.

Learners weigh or resample the classes by themselves: with them, `none` is not an untouched baseline.
"""

from __future__ import annotations

from imblab.study import Study
from imblab.text import count_noun, join_words

#: Why differences over a hold-out of one repeat have no test.
ONE_TEST_PART = "there is one test part"


def count_outer_folds(study: Study, dataset: str) -> int:
    """Count the outer folds of one repeat on a data set, by its key: of its column, one of a hold-out, or as asked.

    The number of a column is known once its table was read; ``outer_folds`` stands for it before that.

    Examples
    --------
    >>> study = Study("s", 0, {"a": {}, "b": {"folds": "site", "n_folds": 4}}, (), (), ())
    >>> count_outer_folds(study, "a"), count_outer_folds(study, "b")
    (5, 4)
    """
    predefined = study.datasets.get(dataset, {}).get("n_folds")
    return int(predefined or (1 if study.protocol.test_size is not None else study.protocol.outer_folds))


def predefined_folds(study: Study) -> frozenset[str]:
    """Return the keys of the data sets whose outer folds are those of a column."""
    return frozenset(data_sets_with(study, "folds"))


def untested_reason(study: Study, dataset: str) -> str | None:
    """Say why differences on a data set, by its key, have no test; None where they have one.

    Examples
    --------
    >>> from imblab.study import Protocol
    >>> untested_reason(Study("s", 0, {"a": {}}, (), (), (), Protocol(test_size=0.3)), "a")
    'there is one test part'
    """
    if dataset in study.time_ordered:
        return "the folds follow the time"
    return ONE_TEST_PART if study.protocol.repeats * count_outer_folds(study, dataset) == 1 else None


def describe_kind(study: Study) -> str:
    """Return by what kind of splits a study tests: ``nested cross-validation``, ``hold-out`` or ``predefined folds``.

    Examples
    --------
    >>> describe_kind(Study("s", 0, {"a": {}, "b": {"folds": "site"}}, (), (), ()))
    'nested cross-validation and predefined folds'
    """
    predefined, kinds = predefined_folds(study), []
    if not study.datasets or predefined < set(study.datasets):
        kinds.append("nested cross-validation" if study.protocol.test_size is None else "hold-out")
    return join_words([*kinds, *(["predefined folds"] if predefined else [])])


def describe_splits(study: Study) -> str:
    """Return the outer splits of a study in a few words.

    Examples
    --------
    >>> from imblab.study import Protocol
    >>> describe_splits(Study("s", 0, {}, (), (), (), Protocol(repeats=3)))
    '3 × 5-fold nested cross-validation'
    >>> describe_splits(Study("s", 0, {}, (), (), (), Protocol(test_size=0.3, repeats=10)))
    '10 × hold-out of 30 % of the rows'
    >>> describe_splits(Study("s", 0, {"b": {"folds": "site", "n_folds": 4}}, (), (), ()))
    'predefined folds (b: 4)'
    """
    protocol, predefined, parts = study.protocol, predefined_folds(study), []
    if not study.datasets or predefined < set(study.datasets):
        splits = f"{protocol.outer_folds}-fold nested cross-validation"
        if protocol.test_size is not None:
            splits = f"hold-out of {100 * protocol.test_size:g} % of the rows"
        parts.append(f"{protocol.repeats} × {splits}" if protocol.repeats > 1 else splits)
    if predefined:
        parts.append(f"predefined folds ({_count_predefined(study)})")
    return join_words(parts)


def describe_protocol(study: Study) -> str:
    """Return the repeats, outer and inner splits of a study in one short line, such as `3 x 5 outer, 3 inner folds`."""
    protocol = study.protocol
    outer = f"{protocol.outer_folds} outer"
    if protocol.test_size is not None:
        outer = f"hold-out of {protocol.test_size:g}"
    if study.datasets and predefined_folds(study) == set(study.datasets):
        outer = "predefined outer"
    inner = "shared inner folds" if protocol.inner == "shared" else f"{protocol.inner_folds} inner folds"
    return f"{protocol.repeats} x {outer}, {inner}"


def count_test_parts(study: Study, dataset: str, count: int) -> str:
    """Return a number of test parts of a data set with its noun: ``5 folds``, ``1 hold-out``."""
    is_holdout = study.protocol.test_size is not None and dataset not in predefined_folds(study)
    return count_noun(count, "hold-out" if is_holdout else "fold")


def _count_predefined(study: Study) -> str:
    names = (name for name in study.datasets if name in predefined_folds(study))
    return join_words(f"{name}: {count_outer_folds(study, name)}" for name in names)


def describe_outer_splits(study: Study) -> str:
    """Return a paragraph on strategies, tables and splits, for a paper."""
    protocol = study.protocol
    timed, grouped = data_sets_with(study, "time"), data_sets_with(study, "groups")
    is_holdout, predefined = protocol.test_size is not None, data_sets_with(study, "folds")
    inner = f"Each outer training part was split again into {protocol.inner_folds} inner folds"
    inner = "The other outer folds served as inner folds" if protocol.inner == "shared" else inner
    stratified = f", stratified and shuffled with random state {study.seed} + r in repeat r"
    shuffled = "" if len(timed) + len(predefined) == len(study.datasets) > 0 else stratified
    repeated = f", repeated {protocol.repeats} times" if protocol.repeats > 1 else ""
    splits = f"{protocol.outer_folds}-fold nested cross-validation"
    if is_holdout:
        splits = f"a hold-out of {100 * (protocol.test_size or 0):g} % of the rows"
    elif predefined and len(predefined) == len(study.datasets):
        splits = "nested cross-validation on predefined outer folds"
        inner += "" if protocol.inner == "shared" else f", stratified and shuffled with random state {study.seed}"
    text = (
        f"The study compared {count_noun(len(study.strategies), 'strategy')} for class imbalance on "
        f"{count_noun(len(study.datasets), 'data set')} ({join_words(study.datasets)}) with "
        f"{count_noun(len(study.learners), 'learner')} ({join_words(n.name for n in study.learners)}) by "
        f"{splits}{repeated}{shuffled}. {inner}. All strategies used the same {'test rows' if is_holdout else 'folds'} "
        "and the same random numbers, so that their differences are paired."
    )
    if predefined:
        text += f" The outer folds of a column of the table were used as they are ({_count_predefined(study)})."
    if grouped:
        place = "on one side of the hold-out" if is_holdout else "in one fold"
        text += f" Rows of one group were kept {place} ({join_words(grouped)})."
    if timed and is_holdout:
        text += f" The latest rows were held out, and inner folds followed time ({join_words(timed)})."
    elif timed:
        text += f" Folds followed time, each trained on the blocks before its test block ({join_words(timed)})."
    return text


def data_sets_with(study: Study, role: str) -> list[str]:
    """Return the data sets with a column of a role."""
    return [name for name, spec in study.datasets.items() if spec.get(role)]


def rebalancing_note(study: Study, learner: str) -> str | None:
    """Say how a learner rebalances by itself, and what that does to the baseline; None where it does not.

    Examples
    --------
    >>> from imblab.study import Learner, LearnerTraits
    >>> traits = LearnerTraits(rebalances=True, rebalanced_by=("class_weight=balanced",))
    >>> weighted = Learner("logistic", {"_target_": "a.B"}, traits=traits)
    >>> rebalancing_note(Study("s", 0, {}, (weighted,), (), ()), "logistic")
    "learner 'logistic' weighs or resamples the classes by itself (class_weight=balanced): no strategy with it leaves \
the classes as they are"
    """
    rebalancing = next((each for each in study.learners if each.name == learner and each.traits.rebalances), None)
    if rebalancing is None:
        return None
    how = join_words(rebalancing.traits.rebalanced_by) or str(rebalancing.make.get("_target_", "")).rpartition(".")[2]
    consequence = "no strategy with it leaves the classes as they are"
    if "none" in study.strategy_names:
        consequence = "with it, 'none' is not an untouched baseline"
    return f"learner {learner!r} weighs or resamples the classes by itself{f' ({how})' if how else ''}: {consequence}"


def rebalancing_notes(study: Study) -> dict[str, str]:
    """The notes of all learners of a study that rebalance by themselves, by their names."""
    return {each.name: text for each in study.learners if (text := rebalancing_note(study, each.name)) is not None}
