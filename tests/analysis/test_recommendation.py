"""The recommendation: the rule by hand, its laws, and the two committed studies by plain numpy."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings, strategies as st

from imblab.analysis import recommendation
from imblab.analysis.recommendation import knobs_in_use
from imblab.analysis.results import build_result
from imblab.commands.results import read_evidence, read_result
from imblab.edges import config, ledger
from imblab.result import Evaluation, KnobChoice
from imblab.study import Choice, Claims, Learner, Measure, Protocol, Strategy, Study

ROOT = Path(__file__).parents[2]
SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
STRATEGIES = (
    Strategy("none"),
    Strategy("threshold", threshold="tuned"),
    Strategy("class_weight", weight="balanced"),
    Strategy("smote", SMOTE, ratio=0.5, k=5),
    Strategy("smote_threshold", SMOTE, threshold="tuned", ratio=0.5, k=5),
)
WAVE = np.array([0.04, -0.02, 0.03, -0.04, -0.01])


def study(datasets=("toy",), learners=("logistic",), strategies=STRATEGIES, timed=False, higher=True, **claims):
    tables = {name: {"time": "day"} if timed else {} for name in datasets}
    measures = tuple(Measure(n, "m", "label", higher) for n in ("mcc", "recall"))
    made = tuple(Learner(name, {}) for name in learners)
    return Study("demo", 0, tables, made, strategies, measures, Protocol(), claims=Claims(**claims))


def rows(scores, dataset="toy", learner="logistic", **facts):
    """Evaluations of one data set and learner from ``{strategy: scores of five folds}``."""
    return [
        Evaluation(
            dataset, learner, name, 0, fold, facts.get("params", {}), facts.get("threshold", 0.5),
            {"mcc": value, "recall": None if value is None else value / 2}, {}, 1.0, "ok", None, "f",
            split_fingerprint=str(fold), n_train=80, n_test=20,
        )
        for name, values in scores.items()
        for fold, value in enumerate([None if math.isnan(v) else float(v) for v in values])
    ]  # fmt: skip


def recommend(scores, asked=None):
    """The recommendation of one data set and learner."""
    asked = asked or study(strategies=tuple(s for s in STRATEGIES if s.name in scores))
    return build_result(asked, rows(scores)).recommendation.families["toy", "logistic"]


def test_the_simplest_within_one_standard_error_of_the_best():
    base = np.full(5, 0.4)
    noise = {"none": 0 * WAVE, "threshold": WAVE, "class_weight": -WAVE, "smote_threshold": WAVE[::-1]}
    means = {"none": 0.2, "threshold": 0.39, "class_weight": 0.3, "smote_threshold": 0.4}
    scores = {name: base - 0.4 + means[name] + noise[name] for name in means}
    found = recommend(scores)
    difference = scores["smote_threshold"] - scores["threshold"]
    margin = math.sqrt((1 / 5 + 20 / 80) * difference.var(ddof=1))
    assert (found.strategy, found.best) == ("threshold", ("logistic", "smote_threshold"))
    assert found.margin == pytest.approx(margin, rel=1e-12)
    assert found.margin_source == "one standard error"
    assert 0.01 < margin < 0.1
    assert found.kept == (("logistic", "threshold"), ("logistic", "smote_threshold"))
    assert found.scores == pytest.approx({"mcc": 0.39, "recall": 0.195})
    assert (found.units, found.label) == (5, "Tuned threshold")
    # Beyond the margin the best itself is recommended.
    assert recommend({**scores, "threshold": scores["threshold"] - margin}).strategy == "smote_threshold"


def test_of_equally_many_knobs_the_one_without_a_sampler_then_the_better_mean_then_the_first():
    base = np.linspace(0.3, 0.5, 5)
    assert recommend({"class_weight": base + WAVE - 0.001, "smote": base}).strategy == "class_weight"
    assert recommend({"threshold": base, "class_weight": base + WAVE + 0.002}).strategy == "class_weight"
    assert recommend({"threshold": base, "class_weight": base[::-1]}).strategy == "threshold"
    assert recommend({"threshold": base, "class_weight": base}).strategy == "threshold"


@pytest.mark.parametrize(("timed", "rope"), [(True, {"mcc": 0.02}), (True, {}), (False, {"mcc": 0.02}), (False, {})])
def test_the_region_takes_the_place_of_a_standard_error(timed, rope):
    base = np.linspace(0.3, 0.5, 5)
    # A constant difference has no standard error, and neither have folds that follow the time.
    noise = WAVE / 10 if timed else 0
    scores = {"none": base, "smote": base + 0.015 + noise}
    asked = study(strategies=(STRATEGIES[0], STRATEGIES[3]), timed=timed, rope=rope)
    found = recommend(scores, asked)
    assert found.strategy == ("none" if rope else "smote")
    if rope:
        assert (found.margin, found.margin_source) == (0.02, "the region of practical equivalence")


def test_what_a_verdict_calls_worse_is_not_recommended():
    base = np.linspace(0.3, 0.5, 5)
    # Better by little, but surely: the simpler one would lie within no margin, and is called worse.
    scores = {"none": base, "smote": base + 0.03 + WAVE / 10}
    asked = study(strategies=(STRATEGIES[0], STRATEGIES[3]))
    result = build_result(asked, rows(scores))
    assert result.contrasts.verdict.tolist() == ["better"]
    found = result.recommendation.overall
    assert (found.strategy, found.kept) == ("smote", (("logistic", "smote"),))


def by_rank(n=11):
    """SMOTE is a little worse on all parents but the last, where it is far better."""
    names = [f"d{i}" for i in range(n + 1)]
    base = np.linspace(0.2, 0.4, 5)
    asked = study(names, strategies=(STRATEGIES[0], STRATEGIES[3]))
    gains = [*(-0.02 - i / 1e4 for i in range(n)), 0.7]
    evaluations = [
        row
        for name, gain in zip(names, gains, strict=True)
        for row in rows({"none": base, "smote": base + gain + WAVE}, name)
    ]
    return asked, evaluations


def test_a_better_mean_that_a_verdict_calls_worse_is_named():
    result = build_result(*by_rank())
    assert result.across[0].contrasts.verdict.tolist() == ["worse"]
    found = result.recommendation.overall
    assert (found.strategy, found.passed_over) == ("none", ("smote",))
    assert (
        "No other strategy with a score in every fold, apart from `smote`, which a verdict calls worse than another "
        "one, has a better mean MCC." in result.answer.recommendation
    )
    base = np.linspace(0.3, 0.5, 5)
    found = recommend({"none": base, "smote": base - 0.03 + WAVE / 10})
    assert (found.strategy, found.passed_over) == ("none", ())


def test_verdicts_in_a_circle_leave_no_candidate_and_say_so():
    base = np.linspace(0.3, 0.5, 5)
    asked = study(strategies=STRATEGIES[:2])
    result = build_result(asked, rows({"none": base, "threshold": base + 0.1 + WAVE / 10}))
    circle = pd.concat([result.contrasts, result.contrasts.assign(verdict="worse")])
    found = recommendation.recommend(result.scores, asked, circle).overall
    assert (found.strategy, found.reason) == (
        None,
        "verdicts call every strategy with a score in every fold worse than another one",
    )


def test_lower_is_better_for_a_loss():
    base = np.linspace(0.3, 0.5, 5)
    strategies = (STRATEGIES[0], STRATEGIES[3])
    scores = {"none": base + 0.1 - WAVE / 10, "smote": base}
    assert recommend(scores, study(strategies=strategies, higher=False)).strategy == "smote"
    assert recommend(scores, study(strategies=strategies)).strategy == "none"


def test_a_strategy_without_a_score_in_every_fold_is_no_candidate():
    base = np.linspace(0.3, 0.5, 5)
    gap = np.where(np.arange(5) == 2, math.nan, base)
    assert recommend({"none": gap + 1, "smote": base}).strategy == "smote"
    found = recommend({"none": gap, "smote": gap})
    assert found.strategy is None
    assert found.reason == (
        "no strategy has a score in every fold: 'none' has no MCC in 1 of 5 folds: 1 undefined; 'smote' has no MCC in "
        "1 of 5 folds: 1 undefined"
    )


def test_without_a_candidate_with_any_learner_the_first_reason_is_told_and_the_others_are_counted():
    learners, gap = ("logistic", "knn", "svm"), np.array([math.nan, 0.1, 0.2, 0.3, 0.4])
    asked = study(learners=learners, strategies=STRATEGIES[:1])
    folds = [(learner, np.roll(gap, i)[: 5 - i]) for i, learner in enumerate(learners)]
    found = build_result(asked, [row for name, values in folds for row in rows({"none": values}, learner=name)])
    assert found.recommendation.overall.reason == (
        "no strategy has a score in every fold: 'none' has no MCC in 1 of 5 folds: 1 undefined (logistic; nor is there "
        "one with 2 other learners)"
    )


def test_while_evaluations_are_missing_only_complete_strategies_are_recommended_and_it_says_so():
    base = np.linspace(0.3, 0.5, 5)
    asked = study(strategies=STRATEGIES[:2])
    result = build_result(asked, [*rows({"none": base}), *rows({"threshold": base + 1})[:3]])
    assert result.recommendation.overall.strategy == "none"
    assert result.recommendation.provisional == "8 of 10 evaluations are there"
    assert result.answer.recommendation[0].startswith("So far, while 8 of 10 evaluations are there: ")
    assert build_result(asked, rows({"none": base})[:3]).recommendation.overall.strategy is None


def test_over_learners_the_number_of_knobs_does_not_count():
    base = np.linspace(0.3, 0.5, 5)
    asked = study(learners=("logistic", "knn"), strategies=STRATEGIES[:3])
    # Of each learner the simplest; of both, the better mean, although it has more knobs.
    first = rows({"none": base, "threshold": base - 0.1, "class_weight": base - 0.1})
    other = {"none": base - 0.2, "threshold": base + 0.001 + WAVE, "class_weight": base - 0.1}
    found = build_result(asked, [*first, *rows(other, learner="knn")]).recommendation
    assert [each.strategy for each in found.families.values()] == ["none", "threshold"]
    assert (found.overall.learner, found.overall.strategy) == ("knn", "threshold")
    assert found.overall == found.datasets["toy"]


def test_over_data_sets_the_units_are_parents_and_strategies_complete_on_all_of_them():
    rng = np.random.default_rng(1)
    names = ("a", "b", "c1", "c2")
    asked = study(names, strategies=STRATEGIES[:3])
    table = {name: rng.normal(0.4, 0.1, (3, 5)) for name in names}
    table["a"][2] = math.nan
    evaluations = [
        row for name, block in table.items() for row in rows(dict(zip(asked.strategy_names, block, strict=True)), name)
    ]
    found = build_result(asked, evaluations, {"c1": "c", "c2": "c"}).recommendation
    means = {name: block.mean(axis=1) for name, block in table.items()}
    parents = np.array([means["a"], means["b"], (means["c1"] + means["c2"]) / 2])[:, :2]
    best = int(parents.mean(axis=0).argmax())
    d = parents[:, best] - parents[:, 1 - best]
    simple = 0 if best == 0 or d.mean() <= d.std(ddof=1) / math.sqrt(3) else 1
    assert found.overall.strategy == asked.strategy_names[simple]
    assert found.overall.best == ("logistic", asked.strategy_names[best])
    assert found.overall.mean == pytest.approx(parents[:, simple].mean())
    assert found.overall.units == 3
    assert found.overall.scores["recall"] == pytest.approx(parents[:, simple].mean() / 2)


def test_under_two_parents_the_region_decides_over_data_sets():
    base = np.linspace(0.3, 0.5, 5)
    asked = study(("a", "b"), strategies=STRATEGIES[:2], rope={"mcc": 0.02})
    scores = [{"none": base, "threshold": base + gain + WAVE / 100} for gain in (0.01, 0.025)]
    evaluations = [row for name, each in zip("ab", scores, strict=True) for row in rows(each, name)]
    found = build_result(asked, evaluations, {"a": "p", "b": "p"}).recommendation.overall
    assert found.margin_source == "the region of practical equivalence"
    assert (found.strategy, found.margin, found.units) == ("none", 0.02, 1)


def test_it_names_what_the_folds_chose_and_how_many_of_them():
    asked = study(strategies=(Strategy("smote", SMOTE, k=5, space={"ratio": Choice((0.1, 0.5))}, threshold="tuned"),))
    evaluations = [
        replace(row, params={"ratio": ratio, "k": 5, "weight": weight}, threshold=threshold)
        for row, ratio, weight, threshold in zip(
            rows({"smote": WAVE + 0.4}), (0.5, 0.1, 0.5, 0.1, 0.5), ("balanced", 2, 2, "balanced", 1),
            (0.2, 0.3, 0.1, 0.3, 0.2), strict=True,
        )
    ]  # fmt: skip
    assert build_result(asked, evaluations).recommendation.overall.knobs == (
        KnobChoice("ratio", 0.5, 3, 5, 0.1, 0.5),
        KnobChoice("k", 5, 5, 5, 5.0, 5.0),
        KnobChoice("weight", 2, 2, 5),
        KnobChoice("threshold", 0.2, 2, 5, 0.1, 0.3),
    )


@pytest.mark.parametrize(
    ("strategy", "n"),
    [
        (Strategy("s"), 0),
        (Strategy("s", threshold=0.3), 1),
        (Strategy("s", threshold={"alert_rate": 0.01}), 1),
        (Strategy("s", space={"threshold": Choice((0.2, 0.5))}), 1),
        (Strategy("s", space={"weight": Choice((2, 5))}), 1),
        (Strategy("s", SMOTE, weight=2, calibration="prior", threshold="tuned"), 4),
    ],
)
def test_knobs_in_use(strategy, n):
    assert knobs_in_use(strategy) == n


# Laws.

SCORES = st.lists(st.lists(st.integers(0, 20), min_size=5, max_size=5), min_size=5, max_size=5)


def as_scores(numbers, names=tuple(s.name for s in STRATEGIES)):
    return {name: np.array(row) / 20 for name, row in zip(names, numbers, strict=True)}


def has_ties(numbers):
    return len({sum(row) for row in numbers}) < len(numbers)


@given(SCORES, st.permutations(range(5)))
@settings(max_examples=60)
def test_it_follows_neither_names_nor_order(numbers, order):
    assume(not has_ties(numbers))
    plain = recommend(as_scores(numbers), study(contrasts=()))
    names = [f"s{i}" for i in order]
    renamed = tuple(replace(STRATEGIES[i], name=name) for i, name in zip(order, names, strict=True))
    moved = recommend(as_scores([numbers[i] for i in order], names), study(strategies=renamed, contrasts=()))
    assert STRATEGIES[int(moved.strategy[1:])].name == plain.strategy
    assert moved.mean == pytest.approx(plain.mean, abs=1e-12)


@pytest.mark.slow
@given(SCORES, st.integers(1, 40))
@settings(max_examples=60)
def test_a_constant_for_the_recommended_strategy_keeps_it(numbers, steps):
    scores = as_scores(numbers)
    found = recommend(scores)
    raised = {**scores, found.strategy: scores[found.strategy] + steps / 20}
    best = found.best[1]
    assume(best == found.strategy or raised[found.strategy].mean() < scores[best].mean() - 1e-9)
    assert recommend(raised).strategy == found.strategy


@given(SCORES)
@settings(max_examples=60)
def test_it_is_never_one_that_is_shown_worse(numbers):
    result = build_result(study(), rows(as_scores(numbers)))
    chosen = result.recommendation.overall.strategy
    table = result.contrasts
    assert not ((table.a == chosen) & (table.verdict == "worse")).any()
    assert not ((table.b == chosen) & (table.verdict == "better")).any()


# The committed studies, from their evaluations, by plain numpy.


def choose(options, n_knobs, samplers, margins, by_knobs=True):
    """The rule of the design; ``options`` is a list of mean scores, ``margins(best)`` a list."""
    best = int(np.argmax(options))
    kept = [i for i, mean in enumerate(options) if options[best] - mean <= margins(best)[i] + 1e-12]
    return min(kept, key=lambda i: (n_knobs[i] if by_knobs else 0, samplers[i], -round(options[i], 11), i))


#: Weights of the variance over test rows for MCC, and of that between repeats, by learner.
ROW_LEVEL_WEIGHTS = {"logistic": (1.25, 1), "knn": (1.5, 1), "decision_tree": (1.5, 1), "lightgbm": (1.5, 1)}


def row_level_error(d, variance, learner):
    """The standard error of a mean difference; ``d`` has an index of repeat and fold."""
    means = d.groupby(level="repeat").mean()
    rows, repeats = ROW_LEVEL_WEIGHTS[learner]
    return math.sqrt(rows * max(variance, 0) + repeats * means.var(ddof=1) / len(means))


def row_covariances(home):
    frame = read_evidence(home)
    frame = frame[(frame.kind == "covariance") & frame.name.str.startswith("mcc:")]
    places = zip(frame.dataset, frame.learner, frame.strategy, frame.name.str.removeprefix("mcc:"), strict=True)
    known = dict(zip(places, frame.x, strict=True))
    return known | {(dataset, learner, b, a): value for (dataset, learner, a, b), value in known.items()}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", ["smote_ratio", "resample_or_not"])
def test_the_committed_studies_by_hand(name):
    home = ROOT / "experiments" / name
    asked = config.load_request(home / ledger.STUDY_FILE, loads_data=False).study
    result = read_result(home, asked)
    frame = pd.DataFrame(
        (e.dataset, e.learner, e.strategy, e.repeat, e.fold, e.scores.get("mcc"), e.n_train, e.n_test)
        for e in ledger.read_evaluations(home)
    )
    frame.columns = ["dataset", "learner", "strategy", "repeat", "fold", "mcc", "n_train", "n_test"]
    n_knobs = {s.name: knobs_in_use(s) for s in asked.strategies}
    samples = {s.name: s.sampler is not None for s in asked.strategies}
    n_folds, covariances = asked.protocol.repeats * asked.protocol.outer_folds, row_covariances(home)
    chosen = {}
    for (dataset, learner), family in frame.groupby(["dataset", "learner"], sort=False):
        table = family.pivot(index=["repeat", "fold"], columns="strategy", values="mcc").reindex(columns=list(n_knobs))
        table = table.dropna(axis=1)
        ratio = family.n_test.mean() / family.n_train.mean()
        contrasts = result.contrasts[(result.contrasts.dataset == dataset) & (result.contrasts.learner == learner)]
        worse = {*contrasts[contrasts.verdict == "worse"].a, *contrasts[contrasts.verdict == "better"].b}
        names, values = zip(*((n, table[n]) for n in table if n not in worse), strict=True)

        def margins(best, place=(dataset, learner), names=names, values=values):
            def variance(a, b):
                return sum(covariances[(*place, x, y)] * s for x, y, s in ((a, a, 1), (b, b, 1), (a, b, -2)))

            pairs = zip(names, values, strict=True)
            return [row_level_error(values[best] - v, variance(names[best], n), place[1]) for n, v in pairs]

        means = [v.mean() for v in values]
        pick = choose(means, [n_knobs[n] for n in names], [samples[n] for n in names], margins)
        chosen[dataset, learner] = names[pick], values[pick].to_numpy(), ratio
        assert result.recommendation.families[dataset, learner].strategy == names[pick]
    for dataset in dict.fromkeys(d for d, _ in chosen):
        learners = [n for n in asked.learner_names if (dataset, n) in chosen]
        names, values, ratios = zip(*(chosen[dataset, n] for n in learners), strict=True)

        def margins(best, values=values, ratio=ratios[0]):
            return [math.sqrt((1 / n_folds + ratio) * (values[best] - v).var(ddof=1)) for v in values]

        means = [v.mean() for v in values]
        pick = choose(means, [0] * len(names), [samples[n] for n in names], margins, by_knobs=False)
        found = result.recommendation.datasets[dataset]
        assert (found.learner, found.strategy) == (learners[pick], names[pick])
        assert found.mean == pytest.approx(means[pick], abs=1e-12)
