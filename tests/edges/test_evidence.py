"""The file of the evidence: the same frame gives the same bytes, damage is named, another edition is not there."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imblab.analysis import evidence as evidences
from imblab.analysis.evidence import FoldPredictions, build_frame, empty_frame
from imblab.edges import evidence
from imblab.errors import DerivedFileError, StudyError


def frame(n=500, seed=0):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(np.int64)
    return build_frame(
        [
            (
                ("a", "l", "s", 0),
                (FoldPredictions(0, y, rng.random(n), 0.3, synthetic={"nearer_to_majority": (0.1, 9)}),),
                True,
            )
        ]
    )


def test_it_comes_back_as_it_went(tmp_path):
    path = tmp_path / evidence.EVIDENCE_FILE
    evidence.write_evidence(path, frame(), {"versions": {"numpy": "2"}})
    pd.testing.assert_frame_equal(evidence.load_evidence(path), frame())
    assert evidence.load_facts(path) == {"versions": {"numpy": "2"}}
    assert [p.name for p in tmp_path.iterdir()] == [evidence.EVIDENCE_FILE]


def test_nothing_comes_back_as_nothing(tmp_path):
    path = tmp_path / evidence.EVIDENCE_FILE
    assert evidence.load_evidence(path) is None
    assert evidence.load_facts(path) == {}
    evidence.write_evidence(path, empty_frame())
    assert evidence.load_evidence(path).empty


def test_the_same_frame_gives_the_same_bytes(tmp_path):
    for name, facts in (("a", {"x": 1, "y": 2}), ("b", {"y": 2, "x": 1})):
        evidence.write_evidence(tmp_path / name, frame(), facts)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_row_takes_few_bytes(tmp_path):
    """Five million bytes a study are enough for a million cuts."""
    rng = np.random.default_rng(0)
    y = (rng.random(3000) < 0.03).astype(np.int64)
    parts = [(("a", "l", f"s{i}", 0), (FoldPredictions(0, y, rng.beta(1, 9, 3000), 0.03),), True) for i in range(40)]
    whole = build_frame(parts)
    evidence.write_evidence(tmp_path / "e", whole)
    assert (tmp_path / "e").stat().st_size < 5 * len(whole)


@pytest.mark.parametrize("content", [b"", b"PAR1 no more", b"x" * 1000])
def test_damage_is_named_with_the_way_out(tmp_path, content):
    path = tmp_path / evidence.EVIDENCE_FILE
    path.write_bytes(content)
    with pytest.raises(StudyError, match=r"evidence\.parquet.* is damaged .*Make it again without a fit: imblab run "):
        evidence.load_evidence(path)
    with pytest.raises(StudyError, match=r"is damaged \(its facts: "):
        evidence.load_facts(path)


def test_another_edition_is_gathered_anew(tmp_path):
    path = tmp_path / evidence.EVIDENCE_FILE
    evidence.write_evidence(path, frame())
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({evidence.EDITION_KEY: b"0"}), path)
    assert evidence.load_evidence(path) is None


def test_a_file_that_cannot_be_written_says_so(tmp_path):
    path = tmp_path / "missing" / evidence.EVIDENCE_FILE
    with pytest.raises(StudyError, match=r"cannot be written .*Correct its path"):
        evidence.write_evidence(path, frame())


# Columns, types and ranges


def kept(tmp_path, frame, facts=None):
    """The file as anybody may write it."""
    stamp = {evidence.EDITION_KEY: evidence.EDITION, evidence.FACTS_KEY: json.dumps({} if facts is None else facts)}
    plain = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(plain.replace_schema_metadata(stamp), tmp_path / evidence.EVIDENCE_FILE)
    return tmp_path / evidence.EVIDENCE_FILE


def good():
    """One row of every kind."""
    rows = [
        ("cut", None, 0.5, 3.0, 2.0), ("chance", "pr_auc", 0.2, np.nan, np.nan), ("bin", "0", 10.0, 1.5, 2.0),
        ("calibration", "brier", np.nan, np.nan, np.nan), ("prior", "slope", 1.5, np.nan, np.nan),
        ("synthetic", "nearer_to_majority", 0.4, 20.0, np.nan),
    ]  # fmt: skip
    made = [("toy", "knn", "none", 0, 0, *row) for row in rows]
    return evidences._with_dtypes(pd.DataFrame(made, columns=list(evidences.COLUMNS)))


def test_evidence_as_it_is_made_is_read(tmp_path):
    pd.testing.assert_frame_equal(evidence.load_evidence(kept(tmp_path, good())), good(), check_categorical=False)


ODD_COLUMNS = {
    "repeat": ["x", -1, 0.5, None],
    "fold": ["x", -2, 0.5, None],
    "kind": ["junk", 5, None],
    "dataset": [5, None],
    "strategy": [5, None],
    "name": [5],
    "x": ["x", np.inf, None],
    "y": ["x", -1.0, np.nan, 0.5],
    "z": ["x", -3.0, np.inf],
}


@pytest.mark.parametrize(("column", "value"), [(c, v) for c, values in ODD_COLUMNS.items() for v in values])
def test_a_value_of_another_type_or_range_is_named_with_its_column(tmp_path, column, value):
    frame = good().astype({column: "object"})
    frame.loc[0, column] = value
    if isinstance(value, (int, float, str)) and column not in ("repeat", "fold", "x", "y", "z"):
        frame[column] = [value] * len(frame)
    frame[column] = frame[column].infer_objects()
    try:
        path = kept(tmp_path, frame)
    except (pa.ArrowException, TypeError):  # parquet itself has one type a column
        frame[column] = [value] * len(frame)
        path = kept(tmp_path, frame)
    with pytest.raises(DerivedFileError, match=rf"is damaged \(column '{column}' .*Make it again without a fit"):
        evidence.load_evidence(path)


@pytest.mark.parametrize("column", evidences.COLUMNS)
def test_a_column_that_is_missing_is_named(tmp_path, column):
    with pytest.raises(DerivedFileError, match=f"column '{column}' is missing"):
        evidence.load_evidence(kept(tmp_path, good().drop(columns=column)))


TABLES = {"toy": {"features": 3, "categorical": ["a"], "source": "toy", "missing": {"a": 1}, "cautions": ["few"]}}
FACTS = {"versions": {"numpy": "2"}, "system": "Linux", "git": {"git.commit": "abc"}, "tables": TABLES, "novel": [1]}


def test_facts_as_they_are_made_are_read(tmp_path):
    found = evidence.load_facts(kept(tmp_path, good(), FACTS))
    assert json.loads(json.dumps(found)) == FACTS


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ([], "field '' is \\[\\]; it is a mapping"),
        ({**FACTS, "versions": 5}, "field 'versions' is 5; it is a mapping"),
        ({**FACTS, "versions": {"numpy": 2}}, "field 'versions.numpy' is 2; it is a text"),
        ({**FACTS, "system": []}, "field 'system' is \\[\\]; it is a text"),
        ({**FACTS, "git": {"git.dirty": True}}, "field 'git.git.dirty' is true; it is a text"),
        ({**FACTS, "tables": {"toy": 5}}, "field 'tables.toy' is 5; it is a mapping"),
        ({**FACTS, "tables": {"toy": {}}}, "field 'tables.toy.features' is missing"),
        ({**FACTS, "tables": {"toy": {**TABLES["toy"], "features": -1}}}, "field 'tables.toy.features' is -1"),
        ({**FACTS, "tables": {"toy": {**TABLES["toy"], "categorical": "a"}}}, "field 'tables.toy.categorical' is"),
        ({**FACTS, "tables": {"toy": {**TABLES["toy"], "missing": {"a": None}}}}, "'tables.toy.missing.a' is null"),
        ({**FACTS, "tables": {"toy": {**TABLES["toy"], "cautions": [1]}}}, r"'tables.toy.cautions\[0\]' is 1"),
    ],
)
def test_facts_of_another_type_are_named(tmp_path, facts, said):
    path = kept(tmp_path, good(), facts)
    with pytest.raises(DerivedFileError, match=said):
        evidence.load_facts(path)
    assert evidence.load_evidence(path) is not None
