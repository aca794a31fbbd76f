"""Every report that is committed is what its three files give, byte for byte; the index lists the same studies."""

import subprocess
from pathlib import Path

import pytest

from imblab.commands import results
from imblab.commands.results import read_result
from imblab.edges import config, ledger, report

ROOT = Path(__file__).parents[1]


def committed():
    """The folders of studies whose report is in the repository."""
    asked = ["git", "ls-files", "experiments/*/report.html"]
    found = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    return [ROOT / Path(line).parent for line in found.stdout.splitlines()]


@pytest.mark.parametrize("home", committed(), ids=lambda home: home.name)
def test_a_committed_report_is_a_function_of_its_files(home):
    result = read_result(home, config.load_request(home / ledger.STUDY_FILE).study)
    files = report.render(results.report_data(home, result))
    assert (home / report.PAGE_FILE).read_text(encoding="utf-8") == files[report.PAGE_FILE]
    assert sum(p.stat().st_size for p in (home / report.PAGE_FILE, home / "evidence.parquet")) < 10_000_000
    assert (home / report.PAGE_FILE).stat().st_size < 5_000_000


def test_the_index_is_made_from_the_committed_studies():
    assert (ROOT / "experiments" / results.WORDS).read_text(encoding="utf-8") == results.build_index(
        ROOT / "experiments"
    )
