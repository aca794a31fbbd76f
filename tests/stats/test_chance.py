"""Chance control: permutations, chance levels and the rule of the alarm."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from imblab.stats.curves import (
    average_precision,
    chance_level,
    control_chance,
    permute_labels,
    small_part_excess,
    time_blocks,
)

RNG = np.random.default_rng


def test_labels_are_exchanged_freely():
    y = np.repeat([0, 1], [90, 10])
    permuted = permute_labels(y, RNG(0))
    assert permuted.sum() == 10
    assert (permuted != y).any()
    assert (permute_labels(y, RNG(0)) == permuted).all()


def test_whole_units_exchange_their_labels():
    units = np.repeat(np.arange(20), 5)
    y = (units % 4 == 0).astype(int)
    permuted = permute_labels(y, RNG(1), units=units)
    assert (permuted != y).any()
    assert all(len(set(permuted[units == unit])) == 1 for unit in range(20))
    assert permuted.sum() == y.sum()
    with pytest.raises(ValueError, match="differ within a unit"):
        permute_labels(np.arange(4) % 2, RNG(0), units=np.zeros(4))


def test_labels_stay_in_their_block():
    y, blocks = np.repeat([0, 1, 0, 1], 25), np.repeat([0, 1], 50)
    permuted = permute_labels(y, RNG(2), blocks=blocks)
    assert (permuted != y).any()
    assert [permuted[blocks == block].sum() for block in (0, 1)] == [25, 25]


def test_blocks_in_time_keep_equal_times_together():
    time = np.array([5, 1, 1, 1, 3, 4, 2, 9])
    blocks = time_blocks(time, 4)
    assert len(set(blocks[1:4])) == 1
    assert blocks.max() == 3
    assert (np.diff(blocks[np.argsort(time, kind="stable")]) >= 0).all()


def test_chance_of_f1_is_that_of_calling_every_row_positive():
    y = np.repeat([0, 1], [94, 6])
    assert chance_level("f1", [94, 6]) == pytest.approx(f1_score(y, np.ones(100)))
    assert chance_level("pr_auc", [94, 6]) == 0.06
    assert chance_level("pr_auc", [50, 30, 20]) == pytest.approx(1 / 3)
    assert chance_level("f1", [50, 30, 20]) is None


def test_the_margin_of_pr_auc_allows_for_small_test_parts():
    rng = RNG(3)
    y = np.repeat([0, 1], [28, 2])
    simulated = np.mean([average_precision(y, rng.random(30)) for _ in range(4000)]) - 2 / 30
    assert small_part_excess("pr_auc", [280, 20], folds=10) == pytest.approx(simulated, abs=0.01)
    assert small_part_excess("f1", [280, 20], folds=10) == 0


def test_the_margin_of_macro_pr_auc_allows_for_small_test_parts_of_each_class():
    rng, rows = RNG(4), (20, 2, 2)
    y = np.repeat([0, 1, 2], rows)
    simulated = [np.mean([average_precision(y == c, rng.random(24)) for c in range(3)]) for _ in range(2000)]
    excess = small_part_excess("pr_auc", [100, 10, 10], folds=5)
    assert excess == pytest.approx(np.mean(simulated) - 1 / 3, abs=0.01)
    assert excess > 0.05


def test_an_alarm_needs_an_excess_and_certainty():
    rng = RNG(4)
    chance = np.full(20, 0.1)
    assert control_chance(0.2 + rng.normal(0, 0.05, 20), chance).alarms
    assert not control_chance(0.2 + rng.normal(0, 0.6, 20), chance).alarms  # by accident
    small = control_chance(0.135 + rng.normal(0, 0.01, 20), chance)
    assert (small.alarms, small.is_doubtful) == (False, True)
    wider = control_chance(0.135 + rng.normal(0, 0.01, 20), chance, allowance=0.02)
    assert (wider.alarms, wider.is_doubtful) == (False, False)
    below = control_chance(np.zeros(20), chance)
    assert (below.alarms, below.is_doubtful) == (False, False)


def test_false_alarms_are_rare():
    """MCC of an honest procedure: mean 0; sd .1 over runs with permuted labels."""
    rng = RNG(5)
    alarms = [control_chance(rng.normal(0, 0.1, 20), np.zeros(20)).alarms for _ in range(2000)]
    assert np.mean(alarms) < 0.005
