"""A run lasts as long as its evaluations took, and lies within the run above it, whatever wrote it and when."""

from hypothesis import given, strategies as st

from imblab.edges.mlflow.runs import RunSpec, run_lengths, run_offsets

SECONDS = st.floats(0, 5000)


def tree(seconds, below):
    runs = [RunSpec("", "s", "study", None, {}, seconds=sum(seconds))]
    for i, each in enumerate(seconds):
        runs.append(RunSpec(f"c{i}", "c", "cell", "", {}, seconds=each))
        runs += [RunSpec(f"c{i}/{j}", "t", "trial", f"c{i}", {}) for j in range(below)]
    return runs


@given(st.lists(SECONDS, min_size=1, max_size=12), st.integers(0, 5))
def test_runs_fill_the_run_above_them_without_overlap(seconds, below):
    runs = tree(seconds, below)
    long, offset = run_lengths(runs), run_offsets(runs)
    assert abs(long[""] - 1000 * sum(seconds)) <= 2
    for run in runs[1:]:
        assert offset[run.key] >= 0
        assert offset[run.key] + long[run.key] <= long[run.parent]
        assert abs(long[run.key] - 1000 * run.seconds) <= 1
    starts = [offset[f"c{i}"] for i in range(len(seconds))]
    assert starts == sorted(starts, reverse=True)  # the newest on top: the order of the study
    for i in range(1, len(seconds)):
        assert offset[f"c{i}"] + long[f"c{i}"] <= offset[f"c{i - 1}"]
