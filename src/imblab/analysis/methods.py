"""The question and the methods of a study in words, from its configuration alone: a paragraph for a paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imblab.analysis.claims import pairs
from imblab.study import Axis, Choice, Measure, Strategy, Study
from imblab.text import count_noun, join_words

#: Measures whose names are more than their words.
NAMES = {"mcc": "MCC", "pr_auc": "PR-AUC", "roc_auc": "ROC-AUC", "f1": "F1", "f2": "F2", "g_mean": "G-mean"}
NAMES |= {"brier": "Brier score"}
_SEARCH = {
    "grid": "every candidate of the grid was tried",
    "random": "{n} candidates were drawn at random",
    "qmc": "{n} candidates were drawn from a scrambled quasi-Monte Carlo sequence",
    "tpe": "{n} candidates were proposed by the tree-structured Parzen estimator of Optuna (multivariate)",
}


def named(measure: str) -> str:
    """A measure as people write it.

    Examples
    --------
    >>> named("pr_auc"), named("log_loss")
    ('PR-AUC', 'log loss')
    """
    return NAMES.get(measure, measure.replace("_", " "))


def question(study: Study) -> str:
    """What was asked, in a sentence.

    Parameters
    ----------
    study : Study

    Returns
    -------
    str

    Examples
    --------
    >>> question(Study("s", 0, {"yeast4": {}}, (), (Strategy("none"), Strategy("threshold", threshold="tuned")), ()))
    'On yeast4: how do none and threshold compare by MCC?'
    """
    names = [s.name for s in study.strategies]
    where = join_words(study.datasets) or "the tables given"
    learners = f" with {join_words(n.name for n in study.learners)}" if study.learners else ""
    first = next(
        ((a, b) for a, b in pairs(study) if _sampled(study, a) and not _sampled(study, b) and b != "none"), None
    )
    if first is not None:
        return (
            f"On {where}{learners}: does resampling help by {named(study.primary)}, or does {first[1]} without it do "
            "as "
            f"well as {first[0]}, and what does either gain over doing nothing?"
        )
    return f"On {where}{learners}: how do {join_words(names)} compare by {named(study.primary)}?"


def paragraphs(study: Study, judged: bool = True) -> list[str]:
    """How the evidence was gathered and judged.

    Parameters
    ----------
    study : Study
    judged : bool, default=True
        Whether contrasts were tested: not before the design is complete.

    Returns
    -------
    list of str
        Design, strategies, tuning, scoring; statistics where contrasts were tested.
    """
    said = [_design(study), _strategies(study), _tuning(study), _scoring(study)]
    return [*said, _statistics(study)] if judged else said


def described(strategy: Strategy) -> str:
    """A strategy in words: its sampler, weight and threshold with what was searched.

    Parameters
    ----------
    strategy : Strategy

    Returns
    -------
    str

    Examples
    --------
    >>> described(Strategy("smote", {"_target_": "imblearn.over_sampling.SMOTE"}, ratio=0.5, k=5))
    'SMOTE (ratio 0.5, k 5), threshold 0.5'
    >>> described(Strategy("threshold", threshold="tuned"))
    'no resampling, tuned threshold'
    """
    parts = [_sampler(strategy)]
    if strategy.weight is not None or "weight" in strategy.space:
        parts.append(f"weight of a positive row {_knob(strategy, 'weight')}")
    parts.append(_threshold(strategy))
    if strategy.calibration != "none":
        parts.append(f"{strategy.calibration} calibration")
    return ", ".join(parts)


def _design(study: Study) -> str:
    p = study.protocol
    timed = [name for name, spec in study.datasets.items() if spec.get("time")]
    grouped = [name for name, spec in study.datasets.items() if spec.get("groups")]
    inner = (
        "The other outer folds served as inner folds"
        if p.inner == "shared"
        else f"Each outer training part was split again into {p.inner_folds} inner folds"
    )
    stratified = f", stratified and shuffled with random state {study.seed} + r in repeat r"
    shuffled = "" if len(timed) == len(study.datasets) else stratified
    repeated = f", repeated {p.repeats} times" if p.repeats > 1 else ""
    said = (
        f"The study compared {count_noun(len(study.strategies), 'strategy')} for class imbalance on "
        f"{count_noun(len(study.datasets), 'data set')} "
        f"({join_words(study.datasets)}) with {count_noun(len(study.learners), 'learner')} "
        f"({join_words(x.name for x in study.learners)}) by {p.outer_folds}-fold nested "
        f"cross-validation{repeated}{shuffled}. {inner}. All strategies saw the same folds and the same random "
        "numbers, so that their differences are paired."
    )
    if grouped:
        said += f" Rows of one group were kept in one fold ({join_words(grouped)})."
    if timed:
        said += f" Folds followed the time, each trained on the blocks before its test block ({join_words(timed)})."
    return said


def _strategies(study: Study) -> str:
    said = "; ".join(f"{s.name}: {described(s)}" for s in study.strategies)
    return (
        f"The strategies were {said}. A ratio is the number of minority rows over that of majority rows after "
        "resampling. Missing values were imputed (median, most frequent), numeric columns standardised and categorical "
        "ones one-hot encoded by transformers fitted on real training rows; samplers saw training rows only, after "
        "scaling and before one-hot encoding; validation and test rows were never resampled." + _rare_levels(study)
    )


def _rare_levels(study: Study) -> str:
    given = {name: spec.get("rare") for name, spec in study.datasets.items()}
    rules = {name: rare.get("min_rows") for name, rare in given.items() if isinstance(rare, Mapping)}
    said = join_words(f"{name}: {rows} rows" for name, rows in rules.items())
    return f" In each fit part, levels with fewer real rows than a limit were made one level ({said})." if rules else ""


def _tuning(study: Study) -> str:
    t, p = study.tuning, study.protocol
    searched = any(s.space for s in study.strategies) or t.tune_learner
    counted = _is_counted(study, study.primary)
    measure = study.primary if counted else p.threshold_measure
    cuts = "the distinct inner scores" if isinstance(p.thresholds, str) else _grid(p.thresholds)
    said = ""
    if searched:
        value = (
            "computed from confusion counts summed over the inner validation folds"
            if counted
            else "averaged over the inner validation folds"
        )
        learner = "Knobs and parameters of the learners" if t.tune_learner else "Knobs"
        said = (
            f"{learner} were chosen in each outer training part by the inner {named(study.primary)}, {value}: "
            f"{_SEARCH[t.method].format(n=t.n_trials)}. "
        )
    if any(s.threshold == "tuned" for s in study.strategies):
        said += (
            f"A tuned threshold is the one of {cuts} that maximised {named(measure)} over the summed inner counts, "
            "ties going "
            "to the value nearest 0.5. "
        )
    return said + "The chosen candidate was refitted on the whole outer training part and scored once on the test part."


def _scoring(study: Study) -> str:
    names = join_words(named(m.name) for m in study.measures if m.name != study.primary)
    return (
        f"The primary measure was {named(study.primary)}; {names or 'nothing else'} {'were' if names else 'was'} "
        "reported "
        "beside it. Scores are means over outer test folds; a measure without its denominator class is left "
        "undefined, never 0."
    )


def _statistics(study: Study) -> str:
    claims = study.claims
    asked = pairs(study)
    rope = claims.rope.get(study.primary)
    region = f" within ±{rope:g}" if rope is not None else ""
    timed = [name for name, spec in study.datasets.items() if spec.get("time")]
    contrasts = join_words(f"{a} − {b}" for a, b in asked)
    said = f"The contrasts, fixed before the first result, were {contrasts or 'none'}. "
    if timed:
        said += f"Differences on {join_words(timed)}, where folds follow the time, were described and not tested. "
    if timed and len(timed) == len(study.datasets):
        return said + "Failed and inapplicable cells were never imputed."
    said += (
        "Paired differences were judged by the corrected resampled t-test (Nadeau and Bengio 2003), two-sided p-values "
        f"adjusted by Holm's method over the contrasts of a data set and learner, at alpha {claims.alpha:g}. "
    )
    if rope is not None:
        said += (
            f"Two arms are called equivalent{region} when the corrected {100 * (1 - 2 * claims.alpha):g} % interval "
            "lies inside that region. "
        )
    return said + "Intervals are not adjusted for multiplicity. Failed and inapplicable cells were never imputed."


def _sampler(strategy: Strategy) -> str:
    if strategy.sampler is None:
        return "no resampling"
    name = str(strategy.sampler["_target_"]).rpartition(".")[2]
    knobs = [
        f"{knob} {_knob(strategy, knob)}"
        for knob in ("ratio", "k")
        if getattr(strategy, knob) is not None or knob in strategy.space
    ]
    return f"{name} ({', '.join(knobs)})" if knobs else name


def _threshold(strategy: Strategy) -> str:
    cut: Any = strategy.threshold
    if "threshold" in strategy.space:
        return f"threshold {_axis(strategy.space['threshold'])}"
    if isinstance(cut, Mapping):
        return f"threshold by {', '.join(f'{k} {v}' for k, v in cut.items())}"
    return "tuned threshold" if cut == "tuned" else f"threshold {cut:g}"


def _knob(strategy: Strategy, knob: str) -> str:
    if knob in strategy.space:
        return _axis(strategy.space[knob])
    value = getattr(strategy, knob)
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def _axis(axis: Axis) -> str:
    if isinstance(axis, Choice):
        return "of " + ", ".join(f"{v:g}" if isinstance(v, (int, float)) else str(v) for v in axis.values)
    return f"between {axis.low:g} and {axis.high:g}{' on a log scale' if axis.log else ''}"


def _grid(cuts: tuple[float, ...]) -> str:
    return (
        f"the values {cuts[0]:g} to {cuts[-1]:g} ({len(cuts)} of them)" if len(cuts) > 1 else f"the value {cuts[0]:g}"
    )


def _is_counted(study: Study, name: str) -> bool:
    found: list[Measure] = [m for m in study.measures if m.name == name]
    return bool(found) and found[0].needs == "label"


def _sampled(study: Study, name: str) -> bool:
    return any(s.name == name and s.sampler is not None for s in study.strategies)
