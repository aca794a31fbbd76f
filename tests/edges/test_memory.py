"""Large tables lie in a file that is read where it is needed, and hold the same numbers there."""

import errno
import os
import pickle
import platform
import subprocess
import sys
import tempfile

import numpy as np
import pandas as pd
import pytest

from imblab.core.preparation import feature_arrays
from imblab.edges import datasets, memory


def mixed_frame(n=40):
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(n, 2))
    numbers[::7, 1] = np.nan
    words = pd.Categorical(rng.choice(["u", "v"], n), ["u", "v"])
    return pd.DataFrame({"a": numbers[:, 0], "word": words, "b": numbers[:, 1]})


@pytest.fixture
def all_large(monkeypatch):
    """Every table counts as large."""
    monkeypatch.setattr(memory, "LARGE_TABLE_BYTES", 0)


def test_a_small_table_stays_in_memory():
    frame = mixed_frame()
    assert memory.move_to_file(frame) is frame


def test_a_moved_table_is_equal_and_cannot_be_written(all_large):
    frame = mixed_frame()
    moved = memory.move_to_file(frame)
    pd.testing.assert_frame_equal(moved, frame)
    memory.trim()
    pd.testing.assert_frame_equal(moved, frame)
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(moved)), frame)
    with pytest.raises(ValueError, match="read-only"):
        moved["a"].to_numpy()[0] = 1.0
    changed = moved.copy()
    changed.iloc[0, 0] = 7.0
    assert moved.iloc[0, 0] == frame.iloc[0, 0] != 7.0


def test_the_numbers_of_a_moved_table_are_those_of_its_file(all_large):
    moved = memory.move_to_file(mixed_frame())
    files = [table for table in memory._TABLE_FILES if len(table) == 2 * 40 * 8]
    assert any(np.shares_memory(moved["b"].to_numpy(), np.frombuffer(table, np.float64)) for table in files)
    n_before = len(memory._TABLE_FILES)
    del moved, files
    assert len(memory._TABLE_FILES) == n_before - 1


def test_a_table_stays_in_memory_where_the_disk_is_full(all_large, monkeypatch):
    def full(**options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    frame = mixed_frame()
    assert memory.move_to_file(frame) is frame


def test_a_table_without_numbers_stays_in_memory(all_large):
    frame = mixed_frame()[["word"]]
    assert memory.move_to_file(frame) is frame


def test_a_large_table_of_a_file_is_the_same_data_set(tmp_path, monkeypatch):
    frame = mixed_frame().assign(target=np.arange(40) % 4 == 0)
    frame.to_parquet(tmp_path / "t.parquet")
    spec = {"kind": "table", "path": str(tmp_path / "t.parquet"), "target": "target"}
    plain = datasets.read_dataset(spec, "t")
    monkeypatch.setattr(memory, "LARGE_TABLE_BYTES", 0)
    large = datasets.read_dataset(spec, "t")
    assert not large.X["a"].to_numpy().flags.owndata
    pd.testing.assert_frame_equal(large.X, plain.X)
    assert large.fingerprint == plain.fingerprint
    one, other = feature_arrays(plain), feature_arrays(large)
    np.testing.assert_array_equal(one.numeric, other.numeric)
    np.testing.assert_array_equal(one.codes, other.codes)


HELD = """
import sys, numpy as np
from pathlib import Path
from imblab.edges import memory
if sys.argv[1] == "returned":
    memory.return_large_blocks()
np.ones(3 * 2**20)  # once freed, blocks of 16 MB come from the heap
blocks = [np.ones(2**21) for _ in range(10)]
del blocks[:9]  # the last one stays above the others
print(next(int(l.split()[1]) for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmRSS:")))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the GNU library's allocator")
def test_large_blocks_are_returned_when_they_are_freed():
    held = {}
    # A cluster of Dask sets one of these in this process, with which the library has returned large blocks anyway.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    for way in ("kept", "returned"):
        done = subprocess.run([sys.executable, "-c", HELD, way], capture_output=True, text=True, check=True, env=env)
        held[way] = int(done.stdout)
    assert held["returned"] < held["kept"] - 9 * 14 * 1024  # KiB; nine blocks of 16 MB


REUSED = """
import resource, sys, numpy as np
from imblab.edges import memory
if sys.argv[1] == "reused":
    memory.reuse_freed_blocks()
begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    np.ones(2**18)  # 2 MB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the GNU library's allocator")
def test_freed_blocks_serve_the_next_array_where_the_environment_says_otherwise():
    faults = {}
    env = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}  # as Dask sets it for its workers
    for way in ("returned", "reused"):
        done = subprocess.run([sys.executable, "-c", REUSED, way], capture_output=True, text=True, check=True, env=env)
        faults[way] = int(done.stdout)
    assert faults["returned"] > 49 * 2**21 / 4096 / 2  # pages of 4 KiB, should some be larger
    assert faults["reused"] < faults["returned"] / 10
