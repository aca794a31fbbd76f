"""The dictionary behind a ratio, against imbalanced-learn and its own laws."""

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st
from imblearn.over_sampling import RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
from imblearn.utils import check_sampling_strategy

from imblab.core.classes import CLEANING, OVER_SAMPLING, UNDER_SAMPLING, class_targets

COUNTS = st.lists(st.integers(1, 400), min_size=2, max_size=8)
RATIO = st.floats(0.01, 1) | st.sampled_from([0.1, 0.25, 0.5, 1.0])


@given(st.tuples(st.integers(1, 400), st.integers(1, 400)), RATIO, st.sampled_from([OVER_SAMPLING, UNDER_SAMPLING]))
def test_with_two_classes_it_is_what_imbalanced_learn_computes_from_the_float(counts, ratio, kind):
    y = np.repeat([0, 1], counts)
    targets = class_targets(counts, ratio, kind)
    try:
        theirs = check_sampling_strategy(ratio, y, kind)
    except ValueError:
        assert targets == {}
        return
    if kind == OVER_SAMPLING:
        assert targets == {c: counts[c] + n for c, n in theirs.items()}
    else:  # a class that has the asked count already is left alone
        assert targets == {c: n for c, n in theirs.items() if n < counts[c]}


@given(COUNTS, RATIO)
def test_over_sampling_raises_classes_to_the_ratio_of_the_largest(counts, ratio):
    targets, largest = class_targets(counts, ratio, OVER_SAMPLING), max(counts)
    assert [*targets] == sorted(targets)
    assert counts.index(largest) not in targets
    for c, n in enumerate(counts):
        if c in targets:
            assert n < targets[c] <= largest * ratio + 1e-9 < targets[c] + 1 + 1e-9
        elif c != counts.index(largest):
            assert n > largest * ratio - 1 - 1e-9
    # The rarest class is raised wherever any is: it says whether a ratio and a k are applicable.
    assert bool(targets) == (int(largest * ratio - min(counts)) >= 1 and counts.count(largest) < len(counts))


@given(COUNTS, RATIO)
def test_under_sampling_cuts_classes_to_the_rarest_over_the_ratio(counts, ratio):
    targets, fewest = class_targets(counts, ratio, UNDER_SAMPLING), min(counts)
    assert [*targets] == [c for c, n in enumerate(counts) if n > int(fewest / ratio)]
    assert all(n == int(fewest / ratio) >= fewest for n in targets.values())
    assert counts.index(fewest) not in targets


@given(COUNTS, RATIO)
def test_imbalanced_learn_takes_the_dictionary_and_reaches_it(counts, ratio):
    y = np.repeat(np.arange(len(counts)), counts)
    X = np.arange(float(len(y)))[:, None]
    for cls, kind in ((RandomOverSampler, OVER_SAMPLING), (RandomUnderSampler, UNDER_SAMPLING)):
        targets = class_targets(counts, ratio, kind)
        assume(targets)
        _, resampled = cls(sampling_strategy=targets, random_state=0).fit_resample(X, y)
        assert np.bincount(resampled).tolist() == [targets.get(c, n) for c, n in enumerate(counts)]


@given(COUNTS)
def test_the_ratio_1_is_imbalanced_learn_s_auto(counts):
    y = np.repeat(np.arange(len(counts)), counts)
    auto = check_sampling_strategy("auto", y, OVER_SAMPLING)
    assert class_targets(counts, 1.0, OVER_SAMPLING) == {c: counts[c] + n for c, n in auto.items() if n}


@pytest.mark.parametrize("kind", [CLEANING, "", "bypass"])
def test_other_kinds_have_no_ratio(kind):
    assert class_targets([5, 3, 1], 0.5, kind) is None
