"""Which study a folder holds: fixed at the first evaluation, the same in a copy, another one after starting over."""

import json
import shutil
from pathlib import Path

import pytest

import imblab
from imblab.commands import syncing
from imblab.edges import ledger, provenance
from imblab.errors import StudyError

ASKED = ("name=s", "dataset=[ecoli3]", "learner=[logistic]", "protocol=smoke", "strategy=[none]")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    home = tmp_path_factory.mktemp("identity")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        imblab.run(imblab.compose(*ASKED))
    return home


@pytest.fixture
def here(place, tmp_path, monkeypatch):
    """A project of one's own with that study."""
    shutil.copytree(place, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return Path("experiments/s")


def kept(folder):
    return json.loads((folder / provenance.IDENTITY_FILE).read_text(encoding="utf-8"))


def test_it_stays_when_the_study_grows_and_travels_with_a_copy(here):
    before = kept(here)
    imblab.run(imblab.compose(*ASKED[:-1], "strategy=[none,threshold]"))
    assert len({row.strategy for row in ledger.read_evaluations(here)}) == 2
    assert kept(here) == before
    assert before["former"] == []
    shutil.copytree(here, "experiments/t")
    assert syncing.settle_identity(Path("experiments/t")).now == before["identity"]


def test_other_data_and_another_question_are_other_studies(here):
    mapping, tables = ledger.read_study(here), {"ecoli3": "f1"}
    found = {
        provenance.keep_identity(Path("nowhere/s"), *asked).now
        for asked in ((mapping, tables), (mapping, {"ecoli3": "f2"}), ({**mapping, "seed": 1}, tables))
    }
    assert len(found) == 3


def test_starting_over_remembers_what_it_replaced(here):
    first = kept(here)["identity"]
    imblab.run(imblab.compose(*ASKED, "seed=1"), overwrite=True)
    second = kept(here)
    assert second["former"] == [first]
    imblab.run(imblab.compose(*ASKED, "seed=2"), overwrite=True)
    assert set(kept(here)["former"]) == {first, second["identity"]}
    # The same question once more is the same study.
    imblab.run(imblab.compose(*ASKED), overwrite=True)
    assert kept(here)["identity"] == first
    assert first not in kept(here)["former"]


def test_a_folder_of_an_older_imblab_gets_it_before_it_grows(here):
    (here / provenance.IDENTITY_FILE).unlink()
    asked = syncing.settle_identity(here)
    (here / provenance.IDENTITY_FILE).unlink()
    imblab.run(imblab.compose(*ASKED[:-1], "strategy=[none,threshold]"))
    assert kept(here)["identity"] == asked.now
    (here / provenance.IDENTITY_FILE).unlink()
    imblab.run(imblab.compose(*ASKED, "seed=1"), overwrite=True)
    assert len(kept(here)["former"]) == 1


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"identity": "x", "former": []}', '{"identity": 1, "former": []}', "\xff" * 9]
)
def test_a_file_that_holds_anything_else_is_named(here, content):
    (here / provenance.IDENTITY_FILE).write_text(content, encoding="latin-1")
    with pytest.raises(StudyError, match=r"experiments/s/identity\.json' does not hold an identity; .*Restore it, or"):
        syncing.settle_identity(here)


def test_a_link_in_its_place_is_not_followed(here):
    target = here.parent / "victim.json"
    (here / provenance.IDENTITY_FILE).rename(target)
    (here / provenance.IDENTITY_FILE).symlink_to(target.resolve())
    with pytest.raises(StudyError, match="is a link to"):
        syncing.settle_identity(here)
