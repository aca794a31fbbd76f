"""Numbers of classes, their rows in a part, and how to write that some of them become one."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from imblab.core.classes import class_rows, merged_classes, number_classes
from imblab.study import Dataset

LABELS = st.text("abc", min_size=1, max_size=3)


@given(rows=st.dictionaries(LABELS, st.integers(1, 5), min_size=2), data=st.data())
def test_classes_are_numbered_by_falling_frequency_and_ties_by_label_as_text(rows, data):
    order = number_classes(rows)
    assert sorted(order) == sorted(rows)
    for first, second in pairwise(order):
        assert rows[first] > rows[second] or (rows[first] == rows[second] and first < second)
    shuffled = dict(data.draw(st.permutations(list(rows.items()))))
    assert number_classes(shuffled) == order


def test_rows_of_a_class_that_a_part_lacks_are_zero():
    table = Dataset("toy", pd.DataFrame({"a": range(5)}), np.array([0, 0, 1, 2, 0]), ("a", "b", "c"))
    assert class_rows(table).tolist() == [3, 1, 1]
    assert class_rows(table, np.array([0, 1])).tolist() == [2, 0, 0]
    assert class_rows(table, np.array([], dtype=int)).tolist() == [0, 0, 0]


@given(
    groups=st.lists(st.sets(st.sampled_from("uvwxyz"), min_size=1), max_size=3),
    together=st.sets(st.integers(0, 9), min_size=1),
    name=st.sampled_from(["other", "a", "x"]),
)
def test_a_merge_joins_whole_classes_and_keeps_the_merges_made_already(groups, together, name):
    """Every label stays in one class: merged classes bring all labels that they stand for."""
    taken, merged = set(), {}
    for number, labels in enumerate(groups):
        if members := labels - taken:
            merged[f"group_{number}"] = tuple(sorted(members))
            taken |= members
    classes = [*merged, *sorted(set("uvwxyz") - taken), "a", "b"]
    chosen = {classes[i % len(classes)] for i in together}
    result = merged_classes(classes, merged, chosen, name)
    (new,) = {label for label, members in result.items() if members} - (set(merged) - chosen)
    assert new not in set(classes) - chosen
    assert sorted(result[new]) == sorted(label for c in chosen for label in merged.get(c, (c,)))
    assert all(result[kept] == list(merged[kept]) for kept in set(merged) - chosen)
    assert all(result[gone] == [] for gone in set(merged) & chosen - {new})


@pytest.mark.parametrize(("classes", "name"), [(["other"], "other_2"), (["other", "other_2"], "other_3")])
def test_a_label_that_is_taken_gets_a_number(classes, name):
    assert merged_classes([*classes, "x", "y"], {}, ["x", "y"]) == {name: ["x", "y"]}
