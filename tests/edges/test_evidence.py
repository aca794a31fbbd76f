"""The file of the evidence: the same frame gives the same bytes, damage is named, another edition is not there."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from imblab.analysis.evidence import Part, build, empty
from imblab.edges import evidence
from imblab.errors import StudyError


def frame(n=500, seed=0):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(np.int64)
    return build([(("a", "l", "s", 0), (Part(0, y, rng.random(n), 0.3, synthetic=(0.1, 9)),), True)])


def test_it_comes_back_as_it_went(tmp_path):
    path = tmp_path / evidence.FILE
    evidence.write(path, frame(), {"versions": {"numpy": "2"}})
    pd.testing.assert_frame_equal(evidence.read(path), frame())
    assert evidence.read_facts(path) == {"versions": {"numpy": "2"}}
    assert [p.name for p in tmp_path.iterdir()] == [evidence.FILE]


def test_nothing_comes_back_as_nothing(tmp_path):
    path = tmp_path / evidence.FILE
    assert evidence.read(path) is None
    assert evidence.read_facts(path) == {}
    evidence.write(path, empty())
    assert evidence.read(path).empty


def test_the_same_frame_gives_the_same_bytes(tmp_path):
    for name, facts in (("a", {"x": 1, "y": 2}), ("b", {"y": 2, "x": 1})):
        evidence.write(tmp_path / name, frame(), facts)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_row_takes_few_bytes(tmp_path):
    """Five million bytes a study are enough for a million cuts."""
    rng = np.random.default_rng(0)
    y = (rng.random(3000) < 0.03).astype(np.int64)
    parts = [(("a", "l", f"s{i}", 0), (Part(0, y, rng.beta(1, 9, 3000), 0.03),), True) for i in range(40)]
    whole = build(parts)
    evidence.write(tmp_path / "e", whole)
    assert (tmp_path / "e").stat().st_size < 5 * len(whole)


@pytest.mark.parametrize("content", [b"", b"PAR1 no more", b"x" * 1000])
def test_damage_is_named_with_the_way_out(tmp_path, content):
    path = tmp_path / evidence.FILE
    path.write_bytes(content)
    with pytest.raises(StudyError, match=r"evidence\.parquet.* is damaged .*Delete it and run the study again"):
        evidence.read(path)
    assert evidence.read_facts(path) == {}


def test_another_edition_is_gathered_anew(tmp_path):
    path = tmp_path / evidence.FILE
    evidence.write(path, frame())
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({evidence.EDITED: b"0"}), path)
    assert evidence.read(path) is None


def test_a_file_that_cannot_be_written_says_so(tmp_path):
    path = tmp_path / "missing" / evidence.FILE
    with pytest.raises(StudyError, match=r"cannot be written .*Correct its path"):
        evidence.write(path, frame())
