"""Files of a folder from somebody else: no link is followed at any depth, and a file is replaced whole or not."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imblab.edges import files
from imblab.edges.files import locks
from imblab.errors import StudyError


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("experiments/demo")
    (folder / "tables").mkdir(parents=True)
    (folder / "tables" / "a.csv").write_bytes(b"old")
    Path("victim").write_bytes(b"precious")
    return folder


def no_remains(folder):
    return not [p for p in folder.rglob("*") if p.name.endswith(files.TEMPORARY_AFFIXES[1])]


ACTS = {
    "read": lambda folder, name: files.read_bytes(folder, name),
    "replace": lambda folder, name: files.replace(folder, name, b"new"),
    "replace_all": lambda folder, name: files.replace_all(folder, [("fine.txt", [b"fi", b"ne"]), (name, [b"new"])]),
    "append": lambda folder, name: os.close(files.open_for_append(folder, name)),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("target", ["../../../victim", "nowhere", "/etc/passwd"])
def test_a_link_is_not_followed(study, act, target):
    link = study / "tables" / "a.csv"
    link.unlink()
    link.symlink_to(target)
    with pytest.raises(StudyError, match="is a link to"):
        ACTS[act](study, "tables/a.csv")
    assert Path("victim").read_bytes() == b"precious"
    assert os.readlink(link) == target
    assert not (study / "fine.txt").exists()
    assert no_remains(study)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("step", ["experiments/demo", "experiments/demo/tables"])
def test_a_folder_that_is_a_link_is_not_entered(study, act, step):
    Path(step).rename("elsewhere")
    Path(step).symlink_to(Path("elsewhere").resolve())
    with pytest.raises(StudyError, match=f"'{step}' is a link to"):
        ACTS[act](study, "tables/a.csv")
    with pytest.raises(StudyError, match="is a link to"):
        files.make_folder(study, "tables")


def test_no_link_leads_into_a_rescoring(study):
    inner = study / "rescored" / "other"
    files.make_folder(inner)
    files.replace(inner, "a.txt", b"x")
    (study / "rescored").rename("elsewhere")
    (study / "rescored").symlink_to(Path("elsewhere").resolve())
    for act in ACTS.values():
        with pytest.raises(StudyError, match="'experiments/demo/rescored' is a link to"):
            act(inner, "a.txt")


def test_the_folders_above_a_study_may_be_links(study):
    Path("experiments").rename("big disk")
    Path("experiments").symlink_to("big disk")
    files.replace(study, "tables/a.csv", b"new")
    assert files.read_bytes(study, "tables/a.csv") == b"new"
    assert files.file_names(study, "tables") == ["tables/a.csv"]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    ("put", "kind"),
    [
        (lambda path: os.mkfifo(path), "a named pipe"),
        (lambda path: path.mkdir(), r"a folder|Is a directory"),
        (lambda path: os.mknod(path, 0o20600, os.makedev(1, 3)), "a device"),
    ],
    ids=["pipe", "folder", "device"],
)
def test_what_is_no_regular_file_is_refused_and_does_not_block(study, act, put, kind):
    (study / "tables" / "a.csv").unlink()
    try:
        put(study / "tables" / "a.csv")
    except PermissionError:
        pytest.skip("devices are made by root")
    with pytest.raises(StudyError, match=kind):
        ACTS[act](study, "tables/a.csv")


def test_a_file_where_a_folder_is_expected_is_refused(study):
    (study / "figures").write_text("x")
    for act in (lambda: files.make_folder(study, "figures"), lambda: files.replace(study, "figures/a.svg", b"x")):
        with pytest.raises(StudyError, match=r"'experiments/demo/figures' is a file; a folder is expected there"):
            act()


def test_hard_links_are_neither_appended_to_nor_uploaded_and_a_replaced_file_leaves_them(study):
    os.link("victim", study / "ledger.jsonl")
    for act in (
        lambda: files.open_for_append(study, "ledger.jsonl"),
        lambda: files.read_bytes(study, "ledger.jsonl", single_link=True),
    ):
        with pytest.raises(StudyError, match=r"has 2 names \(hard links\).*cp ledger.jsonl copy"):
            act()
    files.replace(study, "ledger.jsonl", b"new")
    assert Path("victim").read_bytes() == b"precious"


def test_a_link_that_is_put_there_between_check_and_use_is_not_followed(study, monkeypatch):
    files.refuse_special_files(study, ("tables",))
    real = os.open

    def late(path, *args, **kwargs):
        if path == "a.csv" and not (study / "tables" / "a.csv").is_symlink():
            (study / "tables" / "a.csv").unlink()
            (study / "tables" / "a.csv").symlink_to(Path("victim").resolve())
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", late)
    with pytest.raises(StudyError, match="is a link"):
        files.read_bytes(study, "tables/a.csv")


def test_a_prepared_temporary_file_is_not_opened(study, monkeypatch):
    names = iter(["0" * 16, "1" * 16])
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: next(names))
    (study / "tables" / f".a.csv.{'0' * 16}.new").symlink_to(Path("victim").resolve())
    with pytest.raises(StudyError, match="cannot be written"):
        files.replace(study, "tables/a.csv", b"new")
    assert Path("victim").read_bytes() == b"precious"
    assert (study / "tables" / "a.csv").read_bytes() == b"old"


def test_names_of_temporary_files_cannot_be_foreseen(study, monkeypatch):
    seen, real = [], os.replace
    monkeypatch.setattr(os, "replace", lambda old, new, **how: (seen.append(old), real(old, new, **how)))
    for _ in range(3):
        files.replace(study, "tables/a.csv", b"new")
    assert len(set(seen)) == 3


def test_check_names_the_first_thing_that_is_no_file(study):
    files.refuse_special_files(study, ("tables",))
    (study / "tables" / "deep").mkdir()
    (study / "tables" / "deep" / "secret").symlink_to("/etc/passwd")
    (study / "mine").mkdir()
    (study / "mine" / "link").symlink_to("/etc/passwd")
    files.refuse_special_files(study)  # a folder that imblab does not use may hold anything
    with pytest.raises(StudyError, match="'experiments/demo/tables/deep/secret' is a link to '/etc/passwd'"):
        files.refuse_special_files(study, ("tables",))
    files.refuse_special_files(Path("experiments/none"))


def test_names_are_those_of_regular_files(study):
    (study / "tables" / "b.csv").symlink_to("a.csv")
    os.mkfifo(study / "tables" / "c.csv")
    (study / "tables" / "d.csv").mkdir()
    assert files.file_names(study, "tables") == ["tables/a.csv"]
    assert files.file_names(study, "figures") == []


def test_a_name_does_not_climb(study):
    with pytest.raises(StudyError, match="leads out of"):
        files.read_bytes(study, "tables/../../../victim")


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_disk_that_is_full_costs_no_byte(study, monkeypatch, fault, call):
    def fails(*_):
        raise OSError(fault, os.strerror(fault))

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", fails)
    for act in (ACTS["replace"], ACTS["replace_all"])[: 2 if call == "write" else 1]:
        with monkeypatch.context() as patch:
            if call == "write":
                patch.setattr(os, "fdopen", lambda *a: (os.close(a[0]), fails()))
            with pytest.raises(StudyError, match=os.strerror(fault)):
                act(study, "tables/a.csv")
        assert (study / "tables" / "a.csv").read_bytes() == b"old"
        assert not (study / "fine.txt").exists()
        assert no_remains(study)


def test_several_files_change_together_or_not_at_all(study):
    (study / "tables" / "z.csv").mkdir()
    with pytest.raises(StudyError, match="is a folder"):
        files.replace_all(study, [("tables/a.csv", [b"new"]), ("tables/z.csv", [b"new"])])
    assert (study / "tables" / "a.csv").read_bytes() == b"old"
    assert no_remains(study)
    files.replace_all(study, [("tables/a.csv", [b"new"]), ("tables/b.csv", [b"new"])])
    assert (study / "tables" / "a.csv").read_bytes() == b"new"


def test_what_dead_processes_left_is_swept_and_what_is_being_written_stays(study):
    stale = study / "tables" / f".a.csv.{'0' * 16}.new"
    stale.write_bytes(b"half")
    young = study / "tables" / f".b.csv.{'1' * 16}.new"
    young.write_bytes(b"half")
    os.utime(stale, (0, 0))
    mine = study / "tables" / ".mine.new"
    mine.write_bytes(b"mine")
    with files.open_replacement(study, "tables/a.csv") as stream:
        stream.write(b"new")
        files.remove_stale_files(study, "tables")
    assert not stale.exists()
    assert mine.exists()
    assert young.exists()
    assert files.read_bytes(study, "tables/a.csv") == b"new"


LOCKED = """
import sys
from pathlib import Path
from imblab.edges import files
from imblab.edges.files import locks
try:
    with locks.lock(Path("experiments/demo"), ".demo.lock", wait=False):
        print("free")
except locks.LockHeld as held:
    print("held by", held)
"""


def test_a_lock_names_its_holder_and_is_no_link(study):
    with locks.lock(study, ".demo.lock") as stream:
        stream.write(b"17")
        said = subprocess.run([sys.executable, "-c", LOCKED], capture_output=True, text=True, check=True).stdout
        assert said == "held by 17\n"
    said = subprocess.run([sys.executable, "-c", LOCKED], capture_output=True, text=True, check=True).stdout
    assert said == "free\n"
    lock = study.with_name(".demo.lock")
    lock.unlink()
    lock.symlink_to(Path("victim").resolve())
    with pytest.raises(StudyError, match="is a link"), locks.lock(study, ".demo.lock"):
        pass
    lock.unlink()
    os.link("victim", lock)
    with pytest.raises(StudyError, match="hard links"), locks.lock(study, ".demo.lock"):
        pass
    assert Path("victim").read_bytes() == b"precious"


def test_a_tree_is_removed_and_what_its_links_point_to_is_not(study):
    (study / "model" / "x").mkdir(parents=True)
    (study / "model" / "x" / "link").symlink_to(Path("victim").resolve())
    files.remove_tree(study, "model/x")
    assert Path("victim").exists()
    assert not (study / "model" / "x").exists()
    files.remove_tree(study, "model/x")


def test_a_tree_takes_the_place_of_another_when_it_is_whole(study, tmp_path, monkeypatch):
    source = tmp_path / "source"
    (source / "code").mkdir(parents=True)
    (source / "code" / "a.py").write_text("1")
    (source / "MLmodel").write_text("2")
    (study / "model" / "x").mkdir(parents=True)
    (study / "model" / "x" / "old").write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(StudyError, match="No space left"):
            files.replace_tree(study, "model/x", source)
    assert [p.name for p in (study / "model").rglob("*")] == ["x", "old"]
    files.replace_tree(study, "model/x", source)
    found = {p.relative_to(study / "model").as_posix() for p in (study / "model").rglob("*")}
    assert found == {"x", "x/MLmodel", "x/code", "x/code/a.py"}


def test_scratch_folders_of_killed_processes_go_with_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(locks.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(locks.tempfile, "tempdir", str(tmp_path))
    old = tmp_path / "imblab-run-abc"
    old.mkdir()
    (old / "table").write_text("rows")
    with locks.scratch_folder("run") as first, locks.scratch_folder("run") as second:
        assert not old.exists()
        assert first.exists()
        assert second.exists()
    assert not list(tmp_path.iterdir())


def test_yaml_keeps_dates_as_texts():
    assert files.parse_yaml(b"when: 2024-01-31") == {"when": "2024-01-31"}


def test_data_sets_of_older_versions_are_compared_by_the_keys_of_now():
    old = {"kind": "keel", "table": "yeast4", "source": "yeast"}
    now = {"kind": "keel", "table": "yeast4", "parent": "yeast"}
    assert files.current_spelling(old) == now
    assert files.normalized_spec({**old, "drop": [], "positive": None, "allow_majority_positive": False}) == now
