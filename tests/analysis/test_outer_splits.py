"""Hold-outs and predefined folds after the fits: what is complete, what is tested and by what, and how it is called."""

from dataclasses import replace

import numpy as np
import pytest

from imblab.analysis.claims import FoldSizes, plan_power
from imblab.analysis.methods import describe_methods
from imblab.analysis.outer_splits import (
    count_outer_folds,
    describe_kind,
    describe_protocol,
    describe_splits,
    untested_reason,
)
from imblab.analysis.paired import estimate_all
from imblab.analysis.results import build_result, completeness_of, within_design
from imblab.core import design
from imblab.core.forecast import shrink_study
from imblab.result import Evaluation
from imblab.stats.paired_tests import corrected_t
from imblab.stats.standard_errors import CORRECTED_T, is_simulated
from imblab.study import Dataset, Learner, Measure, Protocol, Split, Strategy, Study

FOLDED = {"folds": "site", "n_folds": 4}
MCC = Measure("mcc", "imblab.core.measures.mcc", "label", range=(-1, 1))
LOGISTIC = Learner("logistic", {"_target_": "sklearn.linear_model.LogisticRegression"}, kind="logistic")
STRATEGIES = (
    Strategy("none"),
    Strategy("threshold", threshold="tuned"),
    Strategy("smote_threshold", {"_target_": "imblearn.over_sampling.SMOTE"}, threshold="tuned"),
)


def study(protocol, **datasets):
    return Study("s", 0, datasets or {"toy": {}}, (LOGISTIC,), STRATEGIES, (MCC,), protocol)


def evaluations(asked, n_train=70, n_test=30):
    """Random scores of every cell of the design."""
    rng, made = np.random.default_rng(0), []
    for name in asked.datasets:
        for repeat in range(asked.protocol.repeats):
            for fold in range(count_outer_folds(asked, name)):
                for strategy in asked.strategy_names:
                    counts = {"tn": 15, "fp": 5, "fn": 5, "tp": 5}
                    scores = {"mcc": float(rng.normal(0.5, 0.1))}
                    facts = (name, "logistic", strategy, repeat, fold, {}, 0.5, scores, counts, 1.0, "ok", None, "f")
                    made.append(Evaluation(*facts, n_train=n_train, n_test=n_test))
    return made


def test_a_design_counts_the_folds_of_each_table():
    asked = study(Protocol(), plain={}, folded=FOLDED)
    every = evaluations(asked)
    assert len(every) == 3 * (5 + 4)
    complete = completeness_of(asked, list(asked.datasets), every)
    assert complete.is_complete
    assert complete.asked == 27
    part = completeness_of(asked, list(asked.datasets), [e for e in every if (e.dataset, e.fold) != ("folded", 3)])
    assert part.sentences()[1] == (
        "Missing: 3 evaluations: folded/logistic/none (1 of 4), folded/logistic/threshold (1 of 4), "
        "folded/logistic/smote_threshold (1 of 4)."
    )
    beyond = [replace(every[0], dataset="folded", fold=4)]
    assert within_design(asked, list(asked.datasets), [*every, *beyond]) == every
    assert completeness_of(asked, list(asked.datasets), [*every, *beyond]).beyond


def test_a_hold_out_counts_its_repeats():
    asked = study(Protocol(test_size=0.3, repeats=3))
    assert completeness_of(asked, ["toy"], []).asked == 9
    assert completeness_of(asked, ["toy"], evaluations(asked)).is_complete
    assert build_result(asked, evaluations(asked)).scores["toy", "logistic"].folds == ((0, 0), (1, 0), (2, 0))


def test_one_hold_out_has_no_test():
    asked = study(Protocol(test_size=0.3))
    close = {"none": 0.5, "threshold": 0.51, "smote_threshold": 0.515}
    result = build_result(asked, [replace(e, scores={"mcc": close[e.strategy]}) for e in evaluations(asked)])
    assert result.contrasts.verdict.unique().tolist() == ["descriptive"]
    assert result.contrasts.low.isna().all()
    assert result.contrasts["mean"].notna().all()
    assert "no test is possible, because there is one test part" in result.answer.headline
    assert any("protocol.repeats=10" in text for text in result.answer.limits)
    assert result.recommendation.overall.strategy == "none"
    assert "the region of practical equivalence" in " ".join(result.answer.recommendation)


@pytest.mark.parametrize(
    ("protocol", "spec"),
    [(Protocol(test_size=0.3, repeats=5), {}), (Protocol(), {"folds": "site", "n_folds": 5})],
    ids=["hold-out", "predefined"],
)
def test_the_corrected_t_decides_with_the_real_counts(protocol, spec):
    """Also where the number of folds and the kind of learner are those of the simulation."""
    asked = study(protocol, toy=spec)
    scores = build_result(asked, evaluations(asked)).scores
    names = asked.strategy_names
    covariances = {(a, b): 1e-4 if a == b else 0.0 for a in names for b in names}
    known = {("toy", "logistic"): {5: covariances}}
    estimate = estimate_all(scores, asked, known)["toy", "logistic"]["smote_threshold", "threshold"]
    values = scores["toy", "logistic"].values["mcc"]
    expected = corrected_t(values[2] - values[1], 70, 30, asked.claims.alpha)
    assert estimate == expected
    assert (estimate.estimator, estimate.df) == (CORRECTED_T, 4)
    assert is_simulated(5, 1, 20)
    plain = study(Protocol())
    other = estimate_all(build_result(plain, evaluations(plain)).scores, plain, known)
    assert other["toy", "logistic"]["smote_threshold", "threshold"].estimator != CORRECTED_T


def test_time_comes_first_among_the_reasons():
    timed = study(Protocol(test_size=0.3), toy={"time": "day"}, other={})
    assert untested_reason(timed, "toy") == "the folds follow the time"
    assert untested_reason(timed, "other") == "there is one test part"
    assert untested_reason(study(Protocol(test_size=0.3, repeats=2)), "toy") is None


def test_shared_inner_folds_have_no_number():
    assert describe_protocol(study(Protocol(repeats=2))) == "2 x 5 outer, 3 inner folds"
    assert describe_protocol(study(Protocol(outer_folds=4, inner="shared"))) == "1 x 4 outer, shared inner folds"


def test_the_methods_tell_how_rows_were_tested(snapshot):
    designs = {
        "hold-out": study(Protocol(test_size=0.25, repeats=4)),
        "groups": study(Protocol(test_size=0.25, repeats=4), toy={"groups": "team"}),
        "time": study(Protocol(test_size=0.25), toy={"time": "day"}),
        "once": study(Protocol(test_size=0.25)),
        "predefined": study(Protocol(), toy=FOLDED),
        "predefined-shared": study(Protocol(inner="shared"), toy=FOLDED),
        "mixed": study(Protocol(), toy=FOLDED, other={}),
    }
    told = {}
    for name, asked in designs.items():
        paragraphs = describe_methods(asked)
        told[name] = [describe_splits(asked), describe_kind(asked), paragraphs[0], *paragraphs[-2:]]
    assert told == snapshot


def sizes(**changes):
    return FoldSizes(**{"repeats": 3, "per_repeat": 1, "ratio": 3 / 7, "positives": 30.0} | changes)


def test_power_proposes_what_a_design_can_have():
    def needs(asked, fold_sizes):
        (family, *_) = plan_power(asked, ("toy", "logistic"), fold_sizes, asked.strategy_names)
        return family.repeats_needed, family.folds_needed, family.positives_needed

    holdout = study(Protocol(test_size=0.3, repeats=3))
    _, folds, positives = needs(holdout, sizes())
    assert folds is None
    # Of 100 positives a hold-out of .3 tests 30.
    assert positives > 100
    repeats, folds, positives = needs(study(Protocol(), toy=FOLDED), sizes(repeats=1, per_repeat=4, is_predefined=True))
    assert repeats is folds is None
    assert positives
    (family, *_) = plan_power(holdout, ("toy", "logistic"), sizes(repeats=1), holdout.strategy_names)
    assert family.reason == "no test, since there is one test part"


def test_smaller_studies_keep_a_test_and_the_folds_of_a_column():
    holdout = [each.protocol for each in shrink_study(study(Protocol(test_size=0.3, repeats=10)))]
    assert min(each.repeats for each in holdout) == 2
    assert {each.outer_folds for each in holdout} == {5}
    assert all(each.protocol.outer_folds == 5 for each in shrink_study(study(Protocol(), toy=FOLDED)))
    assert any(each.protocol.outer_folds == 3 for each in shrink_study(study(Protocol(), toy=FOLDED, other={})))


def test_an_address_knows_the_folds_that_were_drawn_alone():
    split = Split(0, 0, np.arange(6), np.arange(6, 9), "split")
    cell = design.Cell("toy", LOGISTIC, STRATEGIES[0], split)
    table = Dataset("toy", None, np.zeros(9), ("no", "yes"), fingerprint="table")
    folded = replace(table, folds=np.arange(9) % 3, fold_names=("a", "b", "c"))

    def address(data, **protocol):
        return design.cell_address(cell, study(Protocol(**protocol)), data)

    assert address(table) != address(table, outer_folds=4)
    assert address(table, test_size=0.3) == address(table, test_size=0.3, outer_folds=4)
    assert address(folded) == address(folded, outer_folds=4)
    assert address(folded) != address(folded, inner_folds=4)
