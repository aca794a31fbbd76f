"""What concerns several sections of a study: its measures, contrasts and grids must agree."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, product
from math import prod

from imblab.analysis.claims import isolates_resampling
from imblab.core import measures
from imblab.errors import ConfigError, combined, did_you_mean
from imblab.study import Choice, Claims, Interval, Protocol, Study

#: The largest grid that is listed before the first fit.
MAX_CANDIDATES = 1_000_000
#: The largest seed of NumPy, and random state of scikit-learn.
MAX_SEED = 2**32 - 1


def check_agreement(study: Study) -> None:
    """Check what concerns several sections of a study; raises one ConfigError for all that disagrees."""
    errors = list(_disagreements(study))
    if errors:
        raise combined(errors)


def _disagreements(study: Study) -> Iterator[ConfigError]:
    groups = (("learner", "learners"), ("strategy", "strategies"), ("measures", "measures"))
    missing = [pair for pair in groups if not getattr(study, pair[1])]
    for key, argument in missing:
        yield ConfigError(
            f"study {study.name!r} has no {key.removesuffix('s')}; a study crosses at least one of each. Choose some "
            f"with {key}=[...] ({argument} of imblab.run)."
        )
    if study.seed + study.protocol.repeats - 1 > MAX_SEED:
        yield ConfigError(
            f"'seed' is {study.seed}; repeat r is seeded with seed + r, which may be at most {MAX_SEED}. Write for "
            "example seed=0."
        )
    if missing:
        return
    yield from _measure_errors(study)
    yield from _contrast_errors(study)
    if not study.tuning.search_method.is_drawn:
        yield from _interval_errors(study)
        yield from _candidate_errors(study)


def _measure_errors(study: Study) -> Iterator[ConfigError]:
    """Yield what is wrong with the measures that tune, judge and choose thresholds."""
    names, measure = study.measure_names, study.protocol.threshold_measure
    counted = [m.name for m in study.measures if measures.is_counted(m)]
    if study.primary not in names:
        yield ConfigError(
            f"'primary' is {study.primary!r}, which is not among the measures of the study; what is tuned and judged "
            f"is measured. {did_you_mean(study.primary, names)}Add it to measures=[...], or choose one of: "
            f"{', '.join(names)}."
        )
    elif study.primary_measure.needs == "amount":
        yield ConfigError(
            f"'primary' is {study.primary!r}, which reads the amount of every row; what is tuned and judged is made of "
            "counts or ranks. Choose another primary, and strategy.<name>.threshold={cost: {fn: amount, fp: 1}} to cut "
            "where amounts cost least."
        )
    elif measure not in counted and (study.primary not in counted or measure != Protocol().threshold_measure):
        way_out = f"Choose one of: {', '.join(counted)}" if counted else "Add mcc to measures=[...]"
        yield ConfigError(
            f"'protocol.threshold_measure' is {measure!r}, which is not computed from counts, or not among the "
            "measures of the study; a tuned threshold is the best by it where the primary measure ranks rows. "
            f"{did_you_mean(measure, counted)}{way_out}."
        )
    for name in (name for name in study.claims.rope if name not in (*names, *Claims().rope)):
        yield ConfigError(
            f"'claims.rope' names {name!r}, which is not among the measures of the study; a region belongs to a "
            f"measure. {did_you_mean(name, names)}Add it to measures=[...], or choose among: {', '.join(names)}."
        )


def _contrast_errors(study: Study) -> Iterator[ConfigError]:
    """Yield contrasts that name no strategies, primary ones that break their rule, and a second spelling."""
    claims, names = study.claims, study.strategy_names
    spellings = {"contrasts": claims.contrasts, "primary": claims.primary, "secondary": claims.secondary}
    for key, pairs in spellings.items():
        for name in (n for n in chain.from_iterable(pairs or ()) if n not in names):
            yield ConfigError(
                f"'claims.{key}' names {name!r}, which is not a strategy of the study; a contrast compares two of "
                f"them. {did_you_mean(name, names)}Add it to strategy=[...], or choose among: {', '.join(names)}."
            )
    if claims.contrasts is not None and (claims.primary is not None or claims.secondary is not None):
        yield ConfigError(
            "'claims.contrasts' and 'claims.primary' or 'claims.secondary' are both set; contrasts are declared in one "
            "spelling. Leave out claims.contrasts, the older one."
        )
    for a, b in claims.primary or ():
        if {a, b} <= set(names) and not isolates_resampling(study, a, b):
            reason, way_out = (
                ("in this order", f"Write [{b}, {a}]")
                if isolates_resampling(study, b, a)
                else ("which differ in more than the sampler, or have a fixed threshold", "Move it to claims.secondary")
            )
            yield ConfigError(
                f"'claims.primary' holds [{a}, {b}], {reason}; a primary contrast compares a strategy with a sampler "
                f"and one without, both with the same weight, calibration and chosen threshold. {way_out}."
            )
    declared: dict[frozenset[str], str] = {}
    for key in ("primary", "secondary"):
        for a, b in spellings[key] or ():
            text, pair = f"'claims.{key}' holds [{a}, {b}]", frozenset((a, b))
            if pair in declared:
                yield ConfigError(
                    f"{declared[pair]}, and {text}; a contrast is declared once, since each one makes the tests of its "
                    f"family stricter. Leave it out of claims.{key}."
                )
            declared[pair] = text


def _interval_errors(study: Study) -> Iterator[ConfigError]:
    spaces = [(f"strategy.{s.name}", s.space) for s in study.strategies]
    if study.tuning.tune_learner:
        spaces += [(f"learner.{item.name}", item.space) for item in study.learners]
    for where, space in spaces:
        for name, axis in space.items():
            if isinstance(axis, Interval):
                yield ConfigError(
                    f"'{where}.space.{name}' is {axis.text()} and the search is 'grid'; a grid needs listed values. "
                    "List them with choice(...), or choose search=tpe."
                )


def _candidate_errors(study: Study) -> Iterator[ConfigError]:
    """Yield grids that are too large to be listed, which happens before the first fit."""
    for item, treatment in product(study.learners, study.strategies):
        axes = [axis for name, axis in treatment.space.items() if name != "threshold"]
        axes += item.space.values() if study.tuning.tune_learner else ()
        candidates = prod(len(axis.values) for axis in axes if isinstance(axis, Choice))
        if candidates > MAX_CANDIDATES:
            yield ConfigError(
                f"strategy {treatment.name!r} with learner {item.name!r} has a grid of {candidates} candidates; a "
                f"grid lists at most {MAX_CANDIDATES}. Shorten its spaces, or write search=tpe search.n_trials=100."
            )
