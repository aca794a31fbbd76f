"""Ranges of a space: the values that Python's own ``range`` lists."""

import pytest
from hypothesis import given, strategies as st

from imblab.edges.config.validation import read_axis
from imblab.errors import ConfigError

ENDS = st.integers(-50, 50)


@given(ENDS, ENDS, st.integers(-9, 9).filter(bool), st.sampled_from([1, 10]))
def test_a_range_lists_the_values_of_pythons_own(start, stop, step, divisor):
    """With tenths too: their sums are those of the written numbers."""
    text = "range({},{},{})".format(*(number if divisor == 1 else number / divisor for number in (start, stop, step)))
    values = [value if divisor == 1 else value / divisor for value in range(start, stop, step)]
    if values:
        assert list(read_axis(text, "space").values) == values
    else:
        with pytest.raises(ConfigError, match="holds no value"):
            read_axis(text, "space")


@pytest.mark.parametrize(
    ("text", "values"),
    [("range(3,1.5,-1)", (3.0, 2.0)), ("range(0,1,0.3)", (0.0, 0.3, 0.6, 0.9)), ("range(1,0,-0.5)", (1.0, 0.5))],
)
def test_a_step_need_not_divide_the_range(text, values):
    assert read_axis(text, "space").values == values
