"""Spaces: the declared order, what is fixed, what is searched, and how many candidates that makes."""

from itertools import product

import pytest
from hypothesis import given, strategies as st

from imblab.core import search
from imblab.study import Choice, Interval, Learner, Strategy

SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
values = st.lists(st.one_of(st.integers(-3, 3), st.floats(-2, 2), st.sampled_from(["a", "b"])), min_size=1, max_size=4)
axes = st.dictionaries(st.sampled_from(["ratio", "k", "weight", "learner.a", "learner.b"]), values, max_size=4)


@given(axes)
def test_a_grid_is_nested_loops_whose_last_axis_varies_fastest_and_each_candidate_once(written):
    expected = []
    for combination in product(*written.values()):
        candidate = dict(zip(written, combination, strict=True))
        if candidate not in expected:
            expected.append(candidate)
    found = search._grid_candidates({name: Choice(tuple(listed)) for name, listed in written.items()})
    assert found == expected
    assert all(list(candidate) == list(written) for candidate in found)
    assert search.grid_size({name: Choice(tuple(listed)) for name, listed in written.items()}) == len(expected)


def test_the_values_of_an_axis_come_as_written_and_the_first_of_equal_ones_stays():
    found = search._grid_candidates({"ratio": Choice((1.0, 0.5, 1.0)), "k": Choice((5, 3))})
    assert found == [{"ratio": r, "k": k} for r in (1.0, 0.5) for k in (5, 3)]
    ((one,),) = (candidate.values() for candidate in search._grid_candidates({"weight": Choice((1, 1.0))}))
    assert type(one) is int


def test_a_grid_of_nothing_is_the_one_candidate_that_is_fixed():
    assert search._grid_candidates({}) == [{}]
    assert search.grid_size({}) == 1


def test_an_interval_has_no_grid():
    continuous = {"k": Choice((3,)), "weight": Interval(1.0, 9.0)}
    assert search.grid_size(continuous) is None
    with pytest.raises(TypeError, match="'weight' is an interval"):
        search._grid_candidates(continuous)


SPACE = {"threshold": Choice((0.2, 0.4)), "weight": Choice((2,)), "k": Choice((3, 5)), "ratio": Choice((0.5,))}


@given(order=st.permutations(list(SPACE)), parameters=st.permutations(["z", "C", "a"]))
def test_axes_are_ratio_k_weight_then_learner_parameters_by_name_however_they_were_written(order, parameters):
    strategy = Strategy("s", SMOTE, space={name: SPACE[name] for name in order})
    learner = Learner("l", {}, {name: Choice((1, 2)) for name in parameters})
    assert list(search.searched_axes(strategy, learner, False)) == ["ratio", "k", "weight"]
    assert list(search.searched_axes(strategy, learner, True)) == [
        "ratio",
        "k",
        "weight",
        "learner.C",
        "learner.a",
        "learner.z",
    ]


def test_thresholds_are_no_axis_but_a_grid_of_cuts():
    strategy = Strategy("s", threshold="tuned", space={"threshold": Choice((0, 0.2, 1))})
    assert search.searched_axes(strategy, Learner("l", {}), True) == {}
    assert search.threshold_grid(strategy) == (0.0, 0.2, 1.0)
    assert all(type(cut) is float for cut in search.threshold_grid(strategy))
    assert search.threshold_grid(Strategy("s", threshold="tuned")) is None


@pytest.mark.parametrize(
    ("values", "pair"),
    [
        ((0.1, 0.3, 0.30000000000000004), (0.3, 0.30000000000000004)),
        ((0.5, 0.1, 0.5), (0.5, 0.5)),
        ((0.1, 0.1 + 9e-13), (0.1, 0.1 + 9e-13)),
        ((0, 1e-13), (0, 1e-13)),
        ((2, "balanced", "balanced"), ("balanced", "balanced")),
        ((1e6, 1e6 + 1e-7), (1e6, 1e6 + 1e-7)),
        ((10**400, 3, 10**400), (10**400, 10**400)),
        ((10**20, 10**20 + 1), None),
        ((0.1, 0.1 + 2e-12), None),
        (("1", 1, "true"), None),
        ((), None),
    ],
)
def test_a_value_is_listed_once(values, pair):
    assert search.find_repeated(values) == pair
    assert search.find_repeated(values[::-1]) == (pair and pair[::-1])


@pytest.mark.parametrize(("values", "is_one"), [((1e-13, 2e-13), False), ((0, 1e-15), False), ((0.3, 0.1 * 3), True)])
def test_a_small_parameter_is_no_copy_of_another(values, is_one):
    assert (search.find_repeated(values, absolute=False) is not None) is is_one
    assert search.find_repeated(values) is not None


@pytest.mark.parametrize("pair", list(product((True, 1, 1.0), repeat=2)))
def test_a_type_makes_no_other_value(pair):
    assert search.find_repeated(pair) == pair


def test_fixed_knobs_are_those_a_strategy_has():
    assert Strategy("none").fixed_knobs == {}
    assert Strategy("s", SMOTE, "balanced", 0.3, {"k": Choice((3,))}, ratio=0.5).fixed_knobs == {
        "ratio": 0.5,
        "weight": "balanced",
    }
    assert list(Strategy("s", SMOTE, 2, ratio=0.5, k=3).fixed_knobs) == ["ratio", "k", "weight"]


@given(
    still=st.dictionaries(st.sampled_from(["ratio", "k"]), st.integers(1, 9)),
    searched=st.dictionaries(st.sampled_from(["weight", "learner.b", "learner.a"]), st.integers(1, 9)),
)
def test_a_candidate_is_written_down_in_the_declared_order(still, searched):
    found = search._complete_params(still, searched)
    assert found == {**still, **searched}
    declared = ["ratio", "k", "weight", "learner.a", "learner.b"]
    assert list(found) == [name for name in declared if name in found]
