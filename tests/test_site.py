"""The documentation site: its pages are complete and true, and its commands and snippets run as they stand there."""

import importlib.util
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import imblab
from imblab.cli import main
from imblab.cli.arguments import COMMANDS, parse_arguments
from imblab.stats import counts

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: Pages whose commands run one after the other in one folder, as a reader would type them.
WALK = (
    "start/index",
    "concepts/knobs",
    "concepts/verdicts",
    "concepts/power",
    "how-to/groups-and-time",
    "how-to/categorical-and-missing",
    "how-to/costs",
    "how-to/alert-budget",
    "faq",
    "reference/measures",
)
#: Commands that end with another status than 0: without a target, imblab says which columns it could be.
STATUS = {"imblab run churn.csv": 2}


@pytest.fixture(scope="module")
def site_pages():
    """The script that writes pages for Sphinx, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("site_pages", DOCS / "site_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.M | re.S)


def commands(page):
    """The commands of imblab on a page, without comments."""
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    return [" ".join(line.partition(" #")[0].split()) for line in lines if line.startswith("imblab ")]


def pages():
    """Names of the written pages; those that the build writes are not read."""
    listed = [path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")]
    written = re.compile(
        r"(_build|gallery|reference/(api|python|command-line|configuration|shipped|files)|about/(?!index))"
    )
    return sorted(name for name in listed if not written.match(name))


def test_every_page_is_in_the_contents():
    """Sphinx warns too; this says so without it."""
    named = {"index"}
    for page in pages():
        for block in blocks(page, r"\{toctree\}"):
            entries = [line for line in block.splitlines() if line.strip() and not line.startswith(":")]
            for entry in (re.sub(r".*<(.*)>", r"\1", line) for line in entries):
                named.add(entry[1:] if entry.startswith("/") else (Path(page).parent / entry).as_posix())
    assert [page for page in pages() if page not in named] == []


def anchors(path):
    """The anchors of the headings of a page, as GitHub and MyST make them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_links_of_readme_and_pages_lead_to_files_and_headings():
    sources = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(DOCS / f"{p}.md" for p in pages())]
    written_by_the_build = re.compile(
        r"docs/(gallery|about|reference/(python|command-line|configuration|shipped|files))"
    )
    lost, n_links = [], 0
    for source in sources:
        text = re.sub(r"^```.*?^```|`[^`\n]*`", "", source.read_text(encoding="utf-8"), flags=re.M | re.S)
        for target, anchor in re.findall(r"\]\((?!https?:|/)([^)#\s]*)(?:#([^)\s]*))?\)", text):
            path = (source.parent / target).resolve() if target else source
            n_links += 1
            if written_by_the_build.match(path.relative_to(ROOT).as_posix()):
                continue
            if not path.exists() or (anchor and anchor not in anchors(path)):
                lost.append(f"{source.relative_to(ROOT)}: {target}#{anchor}")
    assert n_links > 100
    assert lost == []


def test_every_command_of_the_site_can_be_parsed():
    parsed = [(page, line) for page in pages() for line in commands(page)]
    assert len(parsed) > 80
    for _, line in parsed:
        if line == "imblab --version":
            continue
        assert parse_arguments(shlex.split(line)[1:]).command in COMMANDS, line


@pytest.mark.slow
def test_studies_that_the_site_asks_of_an_experiment_are_composed():
    lines = [line for page in pages() for line in commands(page) if re.match(r"imblab (run|plan) experiment=", line)]
    asked = [line for line in lines if "mine" not in line and "claims" not in line]
    assert len(asked) > 6
    for line in asked:
        words = [word for word in shlex.split(line)[2:] if not word.startswith(("--", "runner", "overwrite"))]
        assert imblab.compose(*words).datasets, line


def test_the_page_of_measures_has_each_measure_once():
    rows = re.findall(r"^\| `(\w+)` \|", (DOCS / "reference/measures.md").read_text(encoding="utf-8"), re.M)
    assert sorted(rows) == sorted(path.stem for path in (ROOT / "conf/measures").glob("*.yaml"))


def test_formulas_of_counts_are_those_of_the_package():
    """Read from the page: `2 tp / (2 tp + fp + fn)` with the products that Python needs written out."""
    text = (DOCS / "reference/measures.md").read_text(encoding="utf-8")
    tn, fp, fn, tp = 900.0, 30.0, 12.0, 58.0
    names = dict(tn=tn, fp=fp, fn=fn, tp=tp, n=tn + fp + fn + tp, sqrt=np.sqrt, min=min, max=max)
    names |= {"c_fn": 10, "c_fp": 1, "c_tp": 0, "c_tn": 0, "recall": tp / (tp + fn), "specificity": tn / (tn + fp)}
    package = {
        **{name: getattr(counts, name) for name in ("mcc", "recall", "precision", "specificity", "g_mean", "accuracy")},
        **{name: getattr(counts, name) for name in ("balanced_accuracy", "accuracy_baseline", "recall_min")},
        "f1": lambda *c: counts.f_beta(*c, beta=1.0),
        "f2": lambda *c: counts.f_beta(*c, beta=2.0),
    }
    for name, function in package.items():
        formula = re.search(rf"^\| `{name}` \| `([^`]+)`", text, re.M).group(1)
        written = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", formula).replace(")(", ") * (")
        assert eval(written, {"__builtins__": {}}, names) == pytest.approx(float(function(tn, fp, fn, tp))), name


def test_links_of_pages_lead_to_pages_of_the_site(site_pages):
    text = "[a](docs/audit.md#a-study) [b](experiments/smote_ratio/README.md) ![c](docs/nested.svg)"
    text += " [`d`](tests/x.py) [e](src/y)"
    assert site_pages.rewrite_links(text, Path()) == (
        "[a](/audit.md#a-study) [b](/gallery/smote_ratio.md) ![c](/nested.svg) `d` e (`src/y`)"
    )
    for name in ("https://x.org/a.md", "#anchor"):
        assert site_pages.rewrite_links(f"[x]({name})", Path("docs")) == f"[x]({name})"


def test_written_pages_hold_all_names(site_pages):
    reference = site_pages.reference_pages()
    for name in imblab.__all__:
        assert name.startswith("_") or f"   {name}\n" in reference["reference/python.md"] + "\n", name
    for name in COMMANDS:
        assert f"## imblab {name}\n\n```text\nusage: imblab {name} " in reference["reference/command-line.md"]
    for key in ("`protocol.outer_folds`", "`strategy.<name>.ratio`", "`claims.rope`", "`dataset.<name>.path`"):
        assert key in reference["reference/configuration.md"]
    for folder in ("learner", "strategy", "protocol"):
        for path in (ROOT / "conf" / folder).glob("*.yaml"):
            assert f"| `{path.stem}` |" in reference["reference/shipped.md"]


def test_every_committed_study_is_in_the_gallery_with_its_first_figure(site_pages):
    written = site_pages.gallery_pages()
    for path in (ROOT / "experiments").glob("*/README.md"):
        name, title = path.parent.name, path.read_text(encoding="utf-8").splitlines()[0]
        assert written[f"gallery/{name}.md"].startswith(f"{title}\n\n")
        if (path.parent / "report.html").exists():
            assert written[f"gallery/figures/{name}.svg"].startswith('<svg xmlns="http://www.w3.org/2000/svg"')
            assert "</svg>\n" in written[f"gallery/figures/{name}.svg"]
    assert site_pages.first_figure("<main>no figure</main>") is None


def test_version_and_licences_agree():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{imblab.__version__}"\n' in project
    headings = re.findall(r"^## (\d\S*) \((\d{4}-\d\d-\d\d)\)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert headings[0][0] == imblab.__version__
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert '\nversion: {}\ndate-released: "{}"\n'.format(*headings[0]) in citation
    licences = (ROOT / "src/imblab/data/LICENSES.md").read_text(encoding="utf-8")
    for path in (ROOT / "src/imblab/data").glob("*.parquet"):
        assert f"`{path.stem}`" in licences


def make_visits():
    """The second table of the pages: two visits a patient, in the order of days."""
    rng, n = np.random.default_rng(0), 400
    day = (np.datetime64("2024-01-01") + np.arange(n) // 3).astype(str)
    table = pd.DataFrame({"patient": np.arange(n) // 2, "day": day, "age": rng.integers(20, 90, n)})
    table["ward"], table["marker"] = rng.integers(1, 4, n), rng.normal(size=n).round(3)
    table["ill"] = np.where(rng.random(n) < 1 / (1 + np.exp(2 - 1.5 * table.marker)), "yes", "no")
    table.to_csv("visits.csv", index=False)


@pytest.mark.slow
def test_commands_and_snippets_of_the_pages_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    names = {}
    table, evaluated = blocks("start/index", "python")
    exec(compile(table, "start", "exec"), names)
    make_visits()
    for page in WALK:
        for line in commands(page):
            status = main(shlex.split(line)[1:])
            printed = capsys.readouterr()
            assert status == STATUS.get(line, 0), f"{page}: {line}\n{printed.out}{printed.err}"
    exec(compile(evaluated, "start", "exec"), names)
    assert set(names["scores"].strategy) == {"none", "threshold", "class_weight", "smote", "smote_threshold"}
    studies = {path.name for path in Path("experiments").iterdir()}
    assert {"churn", "churn_3", "visits", "in_order", "codes", "priced", "budget", "calibrated"} <= studies
