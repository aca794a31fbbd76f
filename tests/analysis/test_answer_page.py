"""The answer on one screen: at most 40 lines that fit the terminal, whatever was asked."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from imblab.analysis.answer_page import MAX_DATASETS, MAX_SCREEN_LINES, answer_lines
from imblab.analysis.results import build_result, explore_measure, select_families
from imblab.result import Evaluation
from imblab.study import Claims, Learner, Measure, Protocol, Strategy, Study

SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
STRATEGIES = (
    Strategy("none"),
    Strategy("threshold", threshold="tuned"),
    Strategy("smote_threshold", SMOTE, threshold="tuned", ratio=0.5, k=5),
)
MEASURES = ("mcc", "pr_auc", "recall", "precision")
STEPS = [f"Step {i}: imblab compare demo --full" for i in range(9)]


def study_of(datasets, learners, strategies=STRATEGIES, measures=MEASURES):
    return Study(
        name="demo",
        seed=0,
        datasets={name: {} for name in datasets},
        learners=tuple(Learner(name, {}) for name in learners),
        strategies=strategies,
        measures=tuple(Measure(name, f"imblab.core.measures.{name}", "label") for name in measures),
        protocol=Protocol(outer_folds=3),
        claims=Claims(rope={"mcc": 0.02}),
    )


def evaluations_of(study, scale=1.0, without=()):
    rng = np.random.default_rng(7)
    for dataset, learner, (i, strategy), fold in product(
        study.datasets, study.learners, enumerate(study.strategies), range(3)
    ):
        if (dataset, learner.name) not in without:
            scores = dict(zip(study.measure_names, scale * (0.4 + 0.05 * i + rng.normal(0, 0.03, 9)), strict=False))
            yield Evaluation(
                dataset, learner.name, strategy.name, 0, fold, {}, 0.5, scores, {}, 0.1, "ok", None, "f",
                split_fingerprint=str(fold), n_train=200, n_test=100, fits=1,
            )  # fmt: skip


def result_of(datasets, learners, scale=1.0, without=(), **parts):
    study = study_of(datasets, learners, **parts)
    return build_result(study, evaluations_of(study, scale, without))


def check(lines, width):
    assert len(lines) <= MAX_SCREEN_LINES
    assert max(map(len, lines)) <= width
    assert all(line.strip() for line, after in pairwise(lines) if not after)


def names(prefix, n):
    return [f"{prefix}_{i}_with_a_name_that_is_longer_than_a_column" for i in range(n)]


SIZES = [(1, 1), (2, 4), (4, 2), (9, 1), (3, 5), (20, 2), (21, 1), (120, 1)]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("datasets", "learners"), [*SIZES, pytest.param(200, 5, marks=pytest.mark.slow)])
def test_any_study_fits_one_screen(datasets, learners):
    result = result_of(names("data", datasets), names("learner", learners))
    for width in (60, 80, 120):
        lines = answer_lines(result, width, STEPS)
        check(lines, width)
        assert "Next steps" in lines
        assert any("MCC" in line for line in lines)
    more = datasets - MAX_DATASETS
    assert any(line.startswith(f"and {more} data set") for line in lines) == (more > 0)


NAMES = st.lists(st.text("abcdefghij_-", min_size=1, max_size=60), min_size=1, max_size=4, unique=True)
TEXTS = st.lists(st.text("abcdefgh /.", min_size=1, max_size=300).filter(str.strip), max_size=9)


@settings(max_examples=15)
@given(NAMES, NAMES, NAMES, st.sampled_from([1.0, -4000.0, 1e7]), TEXTS, st.integers(60, 120))
def test_long_names_numbers_and_steps_fit_too(datasets, learners, more, scale, steps, width):
    strategies = (*STRATEGIES, *(Strategy(f"s{name}", SMOTE, ratio=0.5, k=5) for name in more))
    result = result_of(datasets, learners, scale, strategies=strategies)
    check(answer_lines(result, width, steps), width)


def test_two_lines_for_a_data_set_and_learner(snapshot):
    result = result_of(["yeast4", "abalone19"], ["logistic", "random_forest"])
    lines = answer_lines(result, 80, STEPS[:3])
    at = next(i for i, line in enumerate(lines) if line.startswith("yeast4, logistic"))
    family = result.recommendation.families["yeast4", "logistic"]
    assert [f"{family.scores[name]:.3f}" for name in MEASURES] == lines[at].split()[-4:]
    row = result.summary[result.summary.strategy == family.strategy].iloc[0]
    assert f"{row.gain_none:+.3f} [{row.gain_none_low:+.3f}, {row.gain_none_high:+.3f}]" in lines[at + 1]
    verdict = result.answer.primary[lambda rows: (rows.dataset == "yeast4") & (rows.learner == "logistic")].verdict
    assert lines[at + 1].endswith(verdict.item())
    assert "\n".join(lines) == snapshot


@pytest.mark.parametrize("n_datasets", [1, 9])
def test_a_difference_within_the_region_is_called_small(n_datasets):
    study = study_of(names("data", n_datasets), ["logistic"])
    wave = [0.0001, -0.0001, 0.0]
    evaluations = [
        replace(e, scores={**e.scores, "mcc": 0.5 + (0.01 + wave[e.fold] if e.strategy == "smote_threshold" else 0)})
        for e in evaluations_of(study)
    ]
    lines = answer_lines(build_result(study, evaluations), 80)
    check(lines, 80)
    assert sum(line.endswith("  better by less than ±0.02") for line in lines) == n_datasets


def test_a_narrow_terminal_keeps_names_scores_and_verdicts(snapshot):
    result = result_of(["yeast4", "abalone19"], ["logistic", "random_forest"])
    assert "\n".join(answer_lines(result, 60, STEPS[:3])) == snapshot


def test_an_unfinished_study_says_so_first_and_has_no_verdict():
    lines = answer_lines(result_of(["a", "b"], ["logistic"], without=[("b", "logistic")]), 80, STEPS)
    check(lines, 80)
    assert lines[0].startswith("Incomplete: 9 of 18 evaluations are there.")
    assert "Missing: 9 evaluations: all of data set b." in lines
    assert not any(word in line for line in lines for word in ("better", "inconclusive", "equivalent"))


def test_a_study_without_evaluations():
    lines = answer_lines(build_result(study_of(["a"], ["logistic"]), []), 80, STEPS[:1])
    check(lines, 80)
    assert lines[0].startswith("Incomplete: 0 of 9 evaluations are there.")
    assert lines[-1] == f"- {STEPS[0]}"


def test_without_a_primary_contrast_there_is_no_verdict_column():
    lines = answer_lines(result_of(["a"], ["logistic"], strategies=STRATEGIES[:2]), 80)
    assert not any("erdict" in line for line in lines)
    assert any("gain over none" in line for line in lines)


def test_another_measure_is_exploratory_and_keeps_the_recommendation():
    result = result_of(["a"], ["logistic"])
    seen = explore_measure(result, "recall")
    assert set(seen.contrasts.verdict) == {"exploratory"}
    assert seen.recommendation is result.recommendation
    lines = answer_lines(seen, 80)
    assert lines[0].startswith("Recall is exploratory")
    chosen = result.recommendation.families["a", "logistic"]
    (line,) = [line for line in lines if line.startswith("a ")]
    assert line.split()[-4:] == [f"{chosen.scores[name]:.3f}" for name in ("recall", "mcc", "pr_auc", "precision")]
    row = seen.summary[seen.summary.strategy == chosen.strategy].iloc[0]
    values = result.scores["a", "logistic"].values["recall"]
    order = result.scores["a", "logistic"].strategies
    difference = (values[order.index(chosen.strategy)] - values[order.index("none")]).mean()
    assert row.gain_none == pytest.approx(difference)
    assert explore_measure(result, "mcc") is result


def test_another_measure_has_its_own_primary_contrasts_and_sides():
    study = study_of(["a"], ["logistic"])
    study = replace(study, measures=(*study.measures, Measure("brier", "m", "proba", greater_is_better=False)))
    rows = [replace(e, scores={**e.scores, "brier": 0.1 + e.fold / 100}) for e in evaluations_of(study)]
    seen = explore_measure(build_result(study, rows), "brier")
    assert set(seen.answer.primary.measure) == {"brier"}
    assert seen.answer.primary.equals(seen.contrasts[seen.contrasts.family == "primary"].sort_values("mean"))
    assert seen.answer.sides == build_result(study, rows).answer.sides[::-1]


def test_parts_and_other_measures_of_an_incomplete_study_say_what_is_missing():
    study = study_of(["a", "b"], ["logistic"])
    result = build_result(study, [*evaluations_of(study)][:-1])
    assert explore_measure(result, "recall").sentences == result.sentences
    assert select_families(result, [("a", "logistic")]).sentences == result.sentences


def test_a_part_of_a_result_keeps_its_numbers():
    result = result_of(["a", "b"], ["logistic", "knn"])
    part = select_families(result, [("b", "knn")])
    assert part.families == (("b", "knn"),)
    rows = result.contrasts[(result.contrasts.dataset == "b") & (result.contrasts.learner == "knn")]
    assert part.contrasts.equals(rows)
    assert part.answer.recommendation[0].startswith("b, knn: use ")
    verdict, estimator = part.sentences
    assert [verdict] == [text for text in result.sentences if text.startswith("b, knn: ")]
    assert estimator == "Intervals and tests rest on the corrected t (Nadeau and Bengio 2003)."


def test_a_strategy_that_does_not_score_gives_no_recommendation():
    study = study_of(["a"], ["logistic"])
    broken = [
        replace(e, status="failed", error="x", scores={}, threshold=None) if e.fold == 1 else e
        for e in evaluations_of(study)
    ]
    lines = answer_lines(build_result(study, broken), 80, STEPS)
    check(lines, 80)
    assert any("no recommendation" in line for line in lines)
