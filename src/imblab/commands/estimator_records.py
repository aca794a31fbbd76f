"""Records of a learner, strategies and a measure from what Python users hold: objects, names and records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imblab.core import estimator_specs
from imblab.edges.config.objects import describe_members
from imblab.edges.config.studies import READERS
from imblab.edges.config.validation import ErrorCollector, quote
from imblab.errors import ConfigError
from imblab.study import Learner, Measure, Strategy

#: The measure that thresholds are tuned for, where the measure of a search is not computed from counts.
THRESHOLD_MEASURE = "mcc"


def to_records(
    learner: Any, strategies: Any, measure: Any
) -> tuple[Learner, tuple[Strategy, ...], tuple[Measure, ...]]:
    """Convert a learner, strategies and a measure to records; one ConfigError names everything that is wrong.

    The measure comes first, then the one that thresholds are tuned for where the first ranks rows.
    """
    errors = ErrorCollector()
    learners = _read_members("learner", "learner", [learner], errors)
    measures = _read_members("measures", "measure", [measure], errors)
    named = _read_members("strategy", "strategy", errors.attempt(_checked_strategies, strategies) or (), errors)
    errors.check()
    if measures[0].name != THRESHOLD_MEASURE:
        measures += _read_members("measures", "measure", [THRESHOLD_MEASURE], errors)
    return estimator_specs.with_traits(learners[0]), tuple(named), tuple(measures)


def _read_members(group: str, noun: str, given: Any, errors: ErrorCollector) -> list[Any]:
    """Return records; one that is given already stays as it is, with what its class is known by."""
    described = describe_members(group, noun, given, errors, [], seed=0)
    items = () if isinstance(given, Mapping) else given
    records = {item.name: item for item in items if isinstance(item, (Learner, Strategy, Measure))}
    return [
        records[name] if name in records else errors.attempt(READERS[group], name, raw, None)
        for name, raw in described.items()
    ]


def _checked_strategies(strategies: Any) -> Any:
    if isinstance(strategies, (str, bytes)) or not isinstance(strategies, (Sequence, Mapping)) or not strategies:
        raise ConfigError(
            f"'strategies' is {quote(strategies)}; it is a list with at least one strategy: a name, an "
            "imblab.Strategy or a sampler; a dict gives them names. Write for example strategies=['none', 'threshold']."
        )
    return strategies


def check_flags(**flags: Any) -> None:
    """Refuse what is neither true nor false: a text such as ``"no"`` would count as true."""
    if problems := [
        f"{key!r} is {quote(value)}; it is True or False. Write for example {key}=True."
        for key, value in flags.items()
        if not isinstance(value, bool)
    ]:
        raise ConfigError(*problems)
