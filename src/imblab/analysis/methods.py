"""The question and the methods of a study in words, from its configuration alone: paragraphs for a paper."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction

from imblab.analysis.claims import (
    claimed_families,
    declared_contrasts,
    describe_seen_rows,
    primary_contrasts,
    secondary_contrasts,
)
from imblab.analysis.outer_splits import data_sets_with, describe_outer_splits, untested_reason
from imblab.stats.standard_errors import CORRECTED_T, ROW_LEVEL
from imblab.study import KNOBS, SAMPLER_PREFIX, Axis, Choice, Interval, Strategy, Study, Threshold
from imblab.text import capitalise, format_knob, join_words
from imblab.weights import BALANCED, weight_power

#: Names of measures that are more than their words.
_MEASURE_LABELS = {
    **{"mcc": "MCC", "pr_auc": "PR-AUC", "roc_auc": "ROC-AUC", "f1": "F1", "f2": "F2", "g_mean": "G-mean"},
    "brier": "Brier score",
}
#: Kinds of samplers by the names of their classes; others go by the name of the class.
_SAMPLER_LABELS = {
    "RandomOverSampler": "random over-sampling",
    "RandomUnderSampler": "random under-sampling",
    "BorderlineSMOTE": "Borderline SMOTE",
    "SVMSMOTE": "SVM SMOTE",
    "KMeansSMOTE": "k-means SMOTE",
    "SMOTENC": "SMOTE",
    "SMOTEN": "SMOTE",
    "SMOTETomek": "SMOTE with Tomek links",
    "SMOTEENN": "SMOTE with edited nearest neighbours",
}
#: Tests by the name of their standard error.
_TESTS = {
    CORRECTED_T: "the corrected resampled t-test (Nadeau and Bengio 2003)",
    ROW_LEVEL: (
        "t-tests with row-level standard errors (the jackknife over test rows, Efron and Stein 1981, and the variance "
        "between repeats, with weights from a simulation of the kind of learner)"
    ),
}
#: How a label ends whose threshold is .5, and what that is with more than two classes.
_HALF, MOST_PROBABLE = ", threshold .5", "most probable class"
#: The highest denominator of a ratio that is written as 1:4 or 2:5.
_MAX_DENOMINATOR = 20


def named(measure: str) -> str:
    """Return the name of a measure as people write it.

    Examples
    --------
    >>> named("pr_auc"), named("log_loss")
    ('PR-AUC', 'log loss')
    """
    return _MEASURE_LABELS.get(measure, measure.replace("_", " "))


def describe_question(study: Study) -> str:
    """Return the question of a study in one sentence.

    Examples
    --------
    >>> strategies = (Strategy("none"), Strategy("threshold", threshold="tuned"))
    >>> describe_question(Study("s", 0, {"yeast4": {}}, (), strategies, ()))
    'On yeast4: how do none and threshold compare by MCC?'
    """
    where = join_words(study.datasets) or "the tables given"
    learners = f" with {join_words(n.name for n in study.learners)}" if study.learners else ""
    measure = named(study.primary)
    samplers = {s.name for s in study.strategies if s.sampler is not None}
    isolating = [(a, b) for a, b in declared_contrasts(study) if a in samplers and b not in samplers and b != "none"]
    if isolating:
        a, b = isolating[0]
        return (
            f"On {where}{learners}: does resampling help by {measure}, or does {b} without it do as well as {a}, and "
            "what do both gain over no treatment?"
        )
    return f"On {where}{learners}: how do {join_words(s.name for s in study.strategies)} compare by {measure}?"


def gain_over(study: Study, plural: str = "") -> str:
    """Return the words before the baseline of a difference: a gain only where a higher value is better."""
    return f"gain{plural} over" if study.primary_measure.greater_is_better else f"difference{plural} to"


def strategy_named(study: Study, name: str) -> Strategy:
    """Return a strategy of a study by its name."""
    return next(s for s in study.strategies if s.name == name)


def name_treatment(study: Study, names: Iterable[str]) -> str:
    """Return the name of the sampler that some strategies share, or *resampling*.

    Examples
    --------
    >>> strategies = (Strategy("none"), Strategy("both", {"_target_": "imblearn.over_sampling.SMOTE"}))
    >>> name_treatment(Study("s", 0, {}, (), strategies, ()), ["none", "both"])
    'SMOTE'
    """
    chosen = set(names)
    samplers = {name_sampler(s) for s in study.strategies if s.name in chosen and s.sampler is not None}
    return samplers.pop() if len(samplers) == 1 else "resampling"


def describe_methods(
    study: Study,
    judged: bool = True,
    estimators: Mapping[str, str] | None = None,
    n_classes: Mapping[str, int] | None = None,
) -> list[str]:
    """Return paragraphs on design, strategies, tuning and scoring; and on the tests, where contrasts were judged.

    ``estimators`` are those of :func:`imblab.analysis.compare.estimator_places`: the standard errors that decide, with
    their places; the corrected t by default. ``n_classes`` are the numbers of classes of data sets with more than two.
    """
    parts = (describe_outer_splits, _describe_strategies, _describe_tuning, _describe_scoring)
    paragraphs = [*(part(study) for part in parts), *([_describe_classes(n_classes)] if n_classes else [])]
    return [*paragraphs, _describe_tests(study, estimators or {CORRECTED_T: ""})] if judged else paragraphs


def _describe_strategy(strategy: Strategy) -> str:
    """Return sampler, weight, threshold and calibration of a strategy, with what was searched."""
    parts = [_describe_sampler(strategy)]
    if "weight" in strategy.knobs:
        parts.append(_describe_weight(strategy.knobs["weight"]))
    parts.append(_describe_threshold(strategy))
    if strategy.calibration != "none":
        parts.append(f"{strategy.calibration} calibration")
    return ", ".join(parts)


def short_label(strategy: Strategy, has_two_classes: bool = True) -> str:
    """Return the label of a strategy, or the same from its knobs.

    With more than two classes a threshold of .5 for each decides for the most probable one, which the label says.

    Examples
    --------
    >>> smote = {"_target_": "imblearn.over_sampling.SMOTE"}
    >>> short_label(Strategy("smote_1_threshold", smote, threshold="tuned", ratio=1.0))
    'SMOTE 1:1, tuned threshold'
    >>> short_label(Strategy("none")), short_label(Strategy("threshold", threshold="tuned"))
    ('No treatment, threshold .5', 'Tuned threshold')
    """
    text = strategy.label
    if not text:
        parts = _name_treatments(strategy)
        text = ", ".join([*(parts or ([] if _is_moved(strategy) else ["no treatment"])), _name_threshold(strategy)])
    text = capitalise(text) if not strategy.label else text
    if has_two_classes or _is_moved(strategy) or not text.endswith(_HALF):
        return text
    return f"{text.removesuffix(_HALF)}, {MOST_PROBABLE}"


def name_sampler(strategy: Strategy) -> str:
    """Return the kind of sampler of a strategy that has one, such as ``random over-sampling``.

    Examples
    --------
    >>> name_sampler(Strategy("s", {"_target_": "imblearn.over_sampling.RandomOverSampler"}))
    'random over-sampling'
    """
    assert strategy.sampler is not None
    name = str(strategy.sampler["_target_"]).rpartition(".")[2]
    return _SAMPLER_LABELS.get(name, name)


def describe_use(strategy: Strategy, without: str = "", has_two_classes: bool = True) -> str:
    """Return what someone who uses a strategy does, as the object of *use*; ``without`` names what it is to do without.

    Examples
    --------
    >>> describe_use(Strategy("threshold", threshold="tuned"), without="SMOTE")
    'a tuned threshold without SMOTE'
    >>> describe_use(Strategy("smote", {"_target_": "imblearn.over_sampling.SMOTE"}, threshold="tuned"))
    'SMOTE and a tuned threshold'
    >>> describe_use(Strategy("none"), without="resampling")
    'the classes as they are, at a threshold of .5'
    >>> describe_use(Strategy("none"), has_two_classes=False)
    'the classes as they are, and decide for the most probable one'
    """
    parts = [_with_article(text) for text in _name_treatments(strategy)]
    threshold = strategy.knobs["threshold"]
    if threshold == 0.5:
        use = f"{join_words(parts) or 'the classes as they are,'} at a threshold of .5"
        if not has_two_classes:
            use = f"{join_words(parts) or 'the classes as they are'}, and decide for the most probable one"
        return f"{use}, without {without}" if parts and without and strategy.sampler is None else use
    named_value = f"a threshold of {_format_short(threshold)}" if isinstance(threshold, (int, float)) else ""
    if threshold == "tuned" and not has_two_classes:
        named_value = "a tuned threshold per class"
    parts.append(named_value or _with_article(_name_threshold(strategy)))
    if not without or strategy.sampler is not None:
        return join_words(parts)
    return f"{join_words(parts)}{',' if len(parts) > 1 else ''} without {without}"


def _describe_strategies(study: Study) -> str:
    strategies = "; ".join(f"{s.name}: {_describe_strategy(s)}" for s in study.strategies)
    return (
        f"The strategies were {strategies}. A ratio is the number of minority rows over that of majority rows after "
        "resampling. Missing values were imputed (median, most frequent), numeric columns standardised and categorical "
        "ones one-hot encoded by transformers fitted on real training rows; samplers saw training rows only, after "
        "scaling and before one-hot encoding; validation and test rows were never resampled." + _rare_levels(study)
    )


def _rare_levels(study: Study) -> str:
    settings = {name: spec.get("rare") for name, spec in study.datasets.items()}
    limits = [f"{name}: {rare.get('min_rows')} rows" for name, rare in settings.items() if isinstance(rare, Mapping)]
    if not limits:
        return ""
    return f" In each fit part, levels with fewer real rows than a limit were made one level ({join_words(limits)})."


def _describe_tuning(study: Study) -> str:
    tuning, protocol = study.tuning, study.protocol
    is_counted, text = any(m.name == study.primary and m.needs == "label" for m in study.measures), ""
    if any(s.space for s in study.strategies) or tuning.tune_learner:
        how = "computed from confusion counts summed" if is_counted else "averaged"
        knobs = "Knobs and parameters of the learners" if tuning.tune_learner else "Knobs"
        text = (
            f"{knobs} were chosen in each outer training part by the inner {named(study.primary)}, {how} over the "
            f"inner validation folds: {tuning.search_method.sentence.format(n=tuning.n_trials)}. "
        )
    if any(s.threshold == "tuned" for s in study.strategies):
        name = study.primary if is_counted else protocol.threshold_measure
        is_loss = any(m.name == name and not m.greater_is_better for m in study.measures)
        text += (
            f"A tuned threshold is the one of {_describe_threshold_grid(study)} that "
            f"{'minimised' if is_loss else 'maximised'} {named(name)} over the summed inner counts, ties going to the "
            "value nearest 0.5. "
        )
    return f"{text}The chosen candidate was refitted on the full outer training part and scored once on the test part."


def _describe_threshold_grid(study: Study) -> str:
    values = study.protocol.thresholds
    if isinstance(values, str):
        return "the distinct inner scores"
    if len(values) == 1:
        return f"the value {values[0]:g}"
    return f"the {len(values)} values from {values[0]:g} to {values[-1]:g}"


def _describe_scoring(study: Study) -> str:
    others = [named(m.name) for m in study.measures if m.name != study.primary]
    secondary = f"; {join_words(others)} {'were' if len(others) > 1 else 'was'} reported in addition" if others else ""
    parts = "outer test folds" if study.protocol.test_size is None else "hold-outs"
    return (
        f"The primary measure was {named(study.primary)}{secondary}. Scores are means over {parts}; a measure "
        "whose denominator is 0 is left undefined, never 0."
    )


def _describe_classes(n_classes: Mapping[str, int]) -> str:
    names = join_words(f"{name}: {n}" for name, n in n_classes.items())
    return (
        f"With more than two classes ({names}) a ratio raises every smaller class to that share of the largest one, or "
        "cuts every larger one accordingly. A row is decided for the class with the largest (1 − t) / t times its "
        "probability, with one threshold t per class; tuned thresholds are chosen by coordinate ascent from .5, a "
        "local optimum. MCC is Gorodkin's (2004) R_K; ranking measures, recall, precision and F1 are means over all "
        "classes, each against the rest."
    )


def _describe_tests(study: Study, estimators: Mapping[str, str]) -> str:
    claims = study.claims
    rope = claims.rope.get(study.primary)
    timed = data_sets_with(study, "time")
    single = [name for name in study.datasets if name not in timed and untested_reason(study, name)]
    primary, secondary = (
        join_words(f"{a} − {b}" for a, b in pairs) for pairs in (primary_contrasts(study), secondary_contrasts(study))
    )
    text = (
        "Contrasts were fixed before the first evaluation. Primary, a strategy that resamples and its counterpart that "
        f"does not: {primary or 'none'}. Secondary: {secondary or 'none'}. The quantity of interest is the expected "
        f"difference in {named(study.primary)} over training sets of this size from this population. "
    )
    if seen := describe_seen_rows(study, study.datasets):
        text += f"{capitalise(seen)}, before this one was asked. "
    if timed:
        text += f"Differences on {join_words(timed)}, where folds follow time, are reported without a test. "
    if single:
        text += f"Differences on {join_words(single)}, with one test part, are reported without a test. "
    last = "Failed and inapplicable evaluations were never imputed."
    if study.datasets and len(timed) + len(single) == len(study.datasets):
        return text + last
    tests = ", and by ".join(f"{_TESTS[name]}{place and f' {place}'}" for name, place in estimators.items())
    is_one_family = len(claimed_families(study)) == 1
    families = "all contrasts" if is_one_family else "the primary contrasts, and over the secondary ones,"
    text += (
        f"Paired differences were judged by {tests}, two-sided p-values adjusted by Holm's method over {families} of "
        f"a data set and learner, at alpha {claims.alpha:g}. Contrasts with a strategy that does not apply belong to "
        "no family. "
    )
    if rope is not None:
        text += (
            f"Where no difference was shown, two strategies are called equivalent within ±{rope:g} when two one-sided "
            "tests, adjusted in the same way, show it. "
        )
    return f"{text}Intervals are not adjusted for multiplicity. {last}"


def _describe_sampler(strategy: Strategy) -> str:
    if strategy.sampler is None:
        return "no resampling"
    name = str(strategy.sampler["_target_"]).rpartition(".")[2]
    knobs = [
        f"{knob.removeprefix(SAMPLER_PREFIX)} {_format_setting(setting)}"
        for knob, setting in strategy.knobs.items()
        if knob.startswith(SAMPLER_PREFIX) or KNOBS[knob].place == "sampler"
    ]
    return f"{name} ({', '.join(knobs)})" if knobs else name


def _describe_weight(weight: Axis | Threshold) -> str:
    values = weight.values if isinstance(weight, Choice) else (weight,)
    if not any(_is_power(value) for value in values):
        return f"weight of a positive row {_format_setting(weight)}"
    return f"class weights {'' if isinstance(weight, Choice) else 'of '}{_format_setting(weight)}"


def _is_power(weight: object) -> bool:
    """Whether a weight is the text of a power."""
    return weight != BALANCED and weight_power(weight) is not None


def _describe_threshold(strategy: Strategy) -> str:
    rule = strategy.threshold
    if "threshold" in strategy.space:
        return f"threshold {_describe_axis(strategy.space['threshold'])}"
    if isinstance(rule, Mapping):
        return f"threshold by {', '.join(f'{key} {value}' for key, value in rule.items())}"
    return "tuned threshold" if rule == "tuned" else f"threshold {rule:g}"


def _format_setting(setting: Axis | Threshold) -> str:
    if isinstance(setting, Choice | Interval):
        return _describe_axis(setting)
    return f"{setting:g}" if isinstance(setting, (int, float)) else str(setting)


def _describe_axis(axis: Axis) -> str:
    if isinstance(axis, Choice):
        return "of " + ", ".join(map(format_knob, axis.values))
    return f"between {axis.low:g} and {axis.high:g}{' on a log scale' if axis.log else ''}"


def chooses_threshold(strategy: Strategy) -> bool:
    """Whether a threshold is chosen on rows: not a number, nor computed from costs alone."""
    rule = strategy.knobs["threshold"]
    return not isinstance(rule, (int, float)) and not (isinstance(rule, Mapping) and "cost_optimal" in rule)


def _is_moved(strategy: Strategy) -> bool:
    return strategy.knobs["threshold"] != 0.5


def _name_treatments(strategy: Strategy) -> list[str]:
    """Name sampler, weight and calibration, as far as a strategy has them."""
    parts = []
    if strategy.sampler is not None:
        ratio = strategy.knobs.get("ratio")
        parts.append(f"{name_sampler(strategy)}{f' {_format_ratio(ratio)}' if isinstance(ratio, (int, float)) else ''}")
    weight = strategy.knobs.get("weight")
    if weight is not None:
        kind = "tuned" if isinstance(weight, Choice | Interval) else BALANCED if weight == BALANCED else ""
        value = f"of {weight}" if _is_power(weight) else _format_setting(weight)
        parts.append(f"{kind} class weight" if kind else f"class weight {value}")
    if strategy.calibration != "none":
        name = strategy.calibration.rpartition(".")[2]
        parts.append(f"{name} {'correction' if name == 'prior' else 'calibration'}")
    return parts


def _name_threshold(strategy: Strategy) -> str:
    if "threshold" in strategy.space:
        return "tuned threshold"
    rule = strategy.threshold
    return f"threshold {_format_short(rule)}" if isinstance(rule, (int, float)) else _describe_threshold(strategy)


def _format_ratio(ratio: float) -> str:
    fraction = Fraction(ratio).limit_denominator(_MAX_DENOMINATOR)
    is_exact = math.isclose(float(fraction), ratio, rel_tol=1e-9)
    return f"{fraction.numerator}:{fraction.denominator}" if is_exact else f"ratio {_format_short(ratio)}"


def _format_short(value: float) -> str:
    return f"{value:g}".removeprefix("0") or "0"


def _with_article(text: str) -> str:
    return f"a {text}" if text.startswith(("tuned", "balanced", "class weight", "threshold")) else text
