"""Without the modules of POSIX imblab starts, lists and helps; what needs them says so."""

import subprocess
import sys

import pytest

#: Takes away what Windows does not have, before imblab is imported.
BLOCKED = """
import os, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in {"fcntl", "resource", "pwd", "grp", "termios", "posix_ipc"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules.pop(name, None)
for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_DIRECTORY"):
    delattr(os, name)
import imblab
if sys.argv[1:] == ["import"]:
    raise SystemExit(print("imblab", *(getattr(imblab, name) for name in imblab.__all__)))
from imblab.cli import main
raise SystemExit(main(sys.argv[1:]))
"""
TINY = ("name=tiny", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none]", "protocol=smoke", "tracking=none")


def call(folder, *words):
    return subprocess.run([sys.executable, "-c", BLOCKED, *words], cwd=folder, capture_output=True, text=True)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "words", [("import",), ("--help",), ("--version",), ("list", "learners"), ("list",), ("plan", *TINY)]
)
def test_commands_that_write_nothing_work(tmp_path, words):
    done = call(tmp_path, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "imblab" in done.stdout or "logistic" in done.stdout


def test_a_run_says_what_it_needs(tmp_path):
    done = call(tmp_path, "run", *TINY, "runner.n_jobs=1")
    assert done.returncode == 2
    assert "file locks" in done.stderr
    assert "WSL" in done.stderr
    assert not list(tmp_path.glob("experiments/tiny/ledger.jsonl"))
