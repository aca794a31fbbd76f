"""What rows were made with: the state of a git tree is read, and nothing that the tree names is run."""

import os
import subprocess
from pathlib import Path

import pytest

from imblab.edges import provenance


def git(*words, cwd="."):
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    env = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *words], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A git tree with a commit, and a folder of a study in it."""
    root = tmp_path / "received"
    root.mkdir()
    monkeypatch.chdir(root)
    git("init", "-q", "-b", "main")
    Path("code.py").write_text("one = 1\n")
    Path("data.big").write_text("big\n")
    Path(".gitattributes").write_text("*.py filter=evil diff=evil merge=evil\n*.big diff=external\n")
    Path("sub").mkdir()
    Path("sub/deep.py").write_text("x\n")
    git("add", "-A")
    git("commit", "-qm", "first")
    Path("experiments/demo").mkdir(parents=True)
    return root


def test_the_commit_and_what_differs_from_it(tree):
    commit = git("rev-parse", "HEAD")
    assert provenance.git_state() == {"git.commit": commit, "git.dirty": "false"}
    Path("experiments/demo/x.txt").write_text("what a study writes")
    assert provenance.git_state()["git.dirty"] == "false"
    Path("new.py").write_text("untracked")
    assert provenance.git_state() == {"git.commit": commit, "git.dirty": "true"}
    Path("new.py").unlink()
    Path("code.py").write_text("one = 2\n")
    state = provenance.record_provenance(Path("experiments/demo"), diff=True)
    assert state["git.dirty"] == "true"
    assert len(state["git.diff_sha256"]) == 64
    assert "+one = 2" in Path("experiments/demo/git.diff").read_text()
    git("add", "-A")
    assert provenance.git_state()["git.diff_sha256"] == state["git.diff_sha256"]  # staged or not
    git("commit", "-qm", "second")
    git("pack-refs", "--all")
    git("gc", "-q")
    os.chdir("sub")
    assert provenance.git_state() == {"git.commit": git("rev-parse", "HEAD"), "git.dirty": "false"}


def test_ignored_files_make_no_tree_dirty(tree, monkeypatch):
    Path(".git/info/exclude").write_text("local.txt\n")
    Path("mine.txt").write_text("x")
    Path("local.txt").write_text("x")
    home = tree.parent / "home"
    home.mkdir()
    (home / "ignored").write_text("mine.txt\n")
    (home / ".gitconfig").write_text(f"[core]\n\texcludesFile = {home / 'ignored'}\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert provenance.git_state()["git.dirty"] == "false"


def test_linked_work_trees_detached_heads_and_submodules_have_a_state(tree):
    git("worktree", "add", "-q", "--detach", "../linked", "HEAD")
    commit = git("rev-parse", "HEAD")
    os.chdir("../linked")
    assert provenance.git_state() == {"git.commit": commit, "git.dirty": "false"}
    os.chdir("../received")
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../linked", "inner")
    os.chdir("inner")
    assert provenance.git_state() == {"git.commit": commit, "git.dirty": "false"}


@pytest.mark.parametrize("what", ["no tree", "no commit", "no git", "bare", "a pointer elsewhere", "a link elsewhere"])
def test_where_there_is_no_state_of_ones_own(tree, tmp_path, monkeypatch, what):
    place = tmp_path / "place"
    place.mkdir()
    if what == "no git":
        monkeypatch.setenv("PATH", str(place))
        assert set(provenance.git_state()) == {"git.commit"}
        return
    if what == "no commit":
        git("init", "-q", cwd=place)
    elif what == "bare":
        git("clone", "-q", "--bare", str(tree), str(place))
    elif what == "a pointer elsewhere":
        (place / ".git").write_text(f"gitdir: {tree / '.git'}\n")
    elif what == "a link elsewhere":
        (place / ".git").symlink_to(tree / ".git")
    monkeypatch.chdir(place)
    assert provenance.git_state() == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("which", [".", ".git"])
def test_a_tree_of_another_user_is_not_read(tree, which, monkeypatch):
    os.chown(which, 65534, 65534)
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("git was started"))
    assert provenance.git_state() == {}


def test_a_tree_that_takes_too_long_has_its_commit(tree, monkeypatch):
    commit = git("rev-parse", "HEAD")

    def late(*args, **kwargs):
        raise subprocess.TimeoutExpired("git", 10)

    monkeypatch.setattr(subprocess, "run", late)
    assert provenance.git_state() == {"git.commit": commit}


#: Ways in which the configuration of a git tree runs a program, as its sections.
PROGRAMS = {
    "fsmonitor": '[core]\n\tfsmonitor = "{run}"\n',
    "hooks": '[core]\n\thooksPath = "{hooks}"\n',
    "external-diff": '[diff]\n\texternal = "{run}"\n',
    "diff-driver": '[diff "evil"]\n\tcommand = "{run}"\n',
    "textconv": '[diff "evil"]\n\ttextconv = "{run}"\n\tcachetextconv = true\n',
    "filter-clean": '[filter "evil"]\n\tclean = "{run}"\n\tsmudge = "{run}"\n\trequired = true\n',
    "filter-process": '[filter "evil"]\n\tprocess = "{run}"\n',
    "pager": '[core]\n\tpager = "{run}"\n[pager]\n\tdiff = "{run}"\n\tstatus = "{run}"\n\tconfig = "{run}"\n',
    "ssh": '[core]\n\tsshCommand = "{run}"\n\tgitProxy = "{run}"\n\taskPass = "{run}"\n[remote "o"]\n\turl = ssh://h/x\n'
    "\tpromisor = true\n",
    "missing-objects": '[protocol]\n\tallow = always\n[remote "o"]\n\turl = "ext::{run}"\n\tpromisor = true\n'
    "\tpartialclonefilter = blob:none\n[extensions]\n\tpartialClone = o\n[core]\n\trepositoryformatversion = 1\n",
    "alias": '[alias]\n\tdiff = "!{run}"\n\tstatus = "!{run}"\n\tconfig = "!{run}"\n\trev-parse = "!{run}"\n',
    "included": '[include]\n\tpath = evil.inc\n[includeIf "gitdir:**"]\n\tpath = evil.inc\n[includeIf "onbranch:**"]\n'
    "\tpath = evil.inc\n",
    "signatures": '[gpg]\n\tprogram = "{run}"\n[log]\n\tshowSignature = true\n[credential]\n\thelper = "!{run}"\n',
    "editors": '[core]\n\teditor = "{run}"\n[sequence]\n\teditor = "{run}"\n[interactive]\n\tdiffFilter = "{run}"\n',
    "references": '[core]\n\talternateRefsCommand = "{run}"\n[uploadpack]\n\tpackObjectsHook = "{run}"\n',
    "values": '[core]\n\tautocrlf = "true; {run}"\n\teol = "lf\\n[core]\\n\\tfsmonitor = {run}"\n',
}


def armed(root, way, state=None):
    """Make a git tree that runs a program in one of these ways; the file that the program would make."""
    state = state or root / ".git"
    marker, program = root.parent / "marker", root.parent / "program"
    program.write_text(f"#!/bin/sh\ntouch {marker}\n")
    program.chmod(0o755)
    (root.parent / "hooks").mkdir(exist_ok=True)
    for place in (root.parent / "hooks", state / "hooks"):
        for hook in ("post-index-change", "reference-transaction", "fsmonitor-watchman", "pre-commit"):
            (place / hook).write_text(program.read_text())
            (place / hook).chmod(0o755)
    fill = {"run": str(program), "hooks": str(root.parent / "hooks")}
    text = PROGRAMS[way].format(**fill)
    (state / "evil.inc").write_text(PROGRAMS["fsmonitor"].format(**fill) + PROGRAMS["filter-clean"].format(**fill))
    with (state / "config").open("a") as stream:
        stream.write(text)
    return marker


@pytest.mark.parametrize("way", PROGRAMS)
def test_no_program_of_a_git_tree_is_run(tree, way):
    marker = armed(tree, way)
    # Changed in content, and in time alone: git must look into both.
    (tree / "code.py").write_text("one = 2\n")
    os.utime(tree / "sub" / "deep.py", (1, 1))
    os.utime(tree / "data.big", (1, 1))
    if way == "missing-objects":
        for path in (tree / ".git" / "objects").glob("??/*"):
            if subprocess.check_output(["git", "cat-file", "-t", path.parent.name + path.name], text=True) == "blob\n":
                path.unlink()
    state = provenance.record_provenance(Path("experiments/demo"), diff=True)
    assert not marker.exists()
    assert len(state["git.commit"]) == 40
    assert state.get("git.dirty", "true") == "true"
    assert ("git.dirty" in state) == (way != "missing-objects")


def test_the_ways_are_ways(tree):
    """git itself runs the program in the ways that matter, so that the test above shows something."""
    ran = set()
    for way in PROGRAMS:
        marker = armed(tree, way)
        (tree / "code.py").write_text(f"one = {len(ran) + 5}\n")
        for words in (["status"], ["diff", "HEAD"], ["-p", "diff", "HEAD"]):
            subprocess.run(["git", *words], capture_output=True, check=False)
        if marker.exists():
            ran.add(way)
            marker.unlink()
        config = (tree / ".git" / "config").read_text()
        (tree / ".git" / "config").write_text(config.replace(config[config.index(PROGRAMS[way][:6], 20) :], ""))
    assert {"fsmonitor", "external-diff", "filter-clean"} <= ran


def test_no_program_of_a_submodule_is_run(tree):
    git("clone", "-q", str(tree), "../other")
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../other", "inner")
    git("commit", "-qm", "inner")
    marker = armed(tree, "fsmonitor", tree / ".git" / "modules" / "inner")
    (tree / "inner" / "code.py").write_text("changed\n")
    assert provenance.git_state()["git.dirty"] == "false"
    assert not marker.exists()


def test_another_work_tree_that_the_configuration_names_is_not_read(tree):
    (tree.parent / "secret").write_text("precious\n")
    Path("secret").write_text("public\n")
    git("add", "-A")
    git("commit", "-qm", "a decoy")
    git("config", "core.worktree", str(tree.parent))
    assert provenance.record_provenance(Path("experiments/demo"), diff=True)["git.dirty"] == "false"
    assert not Path("experiments/demo/git.diff").exists()


def test_the_index_of_the_tree_is_left_as_it_is(tree):
    os.utime("code.py", (1, 1))
    before = {p: p.stat().st_mtime_ns for p in Path(".git").rglob("*")}
    provenance.git_state()
    assert {p: p.stat().st_mtime_ns for p in Path(".git").rglob("*")} == before
