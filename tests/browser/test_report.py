"""The report in a real browser: three widths, light and dark, on paper, with scripts off; screenshots are kept."""

import re
from pathlib import Path

import pytest

import imblab
from imblab.commands import python_runs, results
from imblab.commands.results import read_result
from imblab.edges import config, ledger, report

pytestmark = pytest.mark.browser

#: The smallest first.
COMMITTED = sorted(
    (Path(__file__).parents[2] / "experiments").glob("*/report.html"), key=lambda file: file.stat().st_size
)

QUESTION = (
    "name=seen",
    "dataset=[ecoli3,yeast4]",
    "learner=[logistic]",
    "strategy=[none,threshold,class_weight,smote,smote_threshold,adasyn]",
    "protocol=smoke",
)
#: Words whose colour on their ground falls below WCAG AA: 4.5:1, large words 3:1.
UNREADABLE = """() => {
  const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const lum = ([r, g, b]) => [r, g, b].map(v => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const e of document.querySelectorAll("main *, header *, footer *, .pick *")) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || ["title", "desc"].includes(e.tagName)) continue;
    const style = getComputedStyle(e), svg = e instanceof SVGElement;
    let back = ground(e);
    const shade = e.previousElementSibling;
    if (svg && shade && shade.classList.contains("heat")) {
      const over = parse(getComputedStyle(shade).fill), a = Number(getComputedStyle(shade).fillOpacity);
      back = back.map((v, i) => v * (1 - a) + over[i] * a);
    }
    const [a, b] = [lum(parse(svg ? style.fill : style.color)), lum(back)].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24;
    if ((a + 0.05) / (b + 0.05) < (large ? 3 : 4.5)) found.push(`${e.tagName}: ${e.textContent.slice(0, 30)}`);
  }
  return found;
}"""
#: Labels that leave their drawing, or lie on one another.
MISPLACED = """() => {
  const found = [];
  for (const svg of document.querySelectorAll("main svg.f:not(.key)")) {
    if (!svg.checkVisibility()) continue;
    const box = svg.getBoundingClientRect(), words = [...svg.querySelectorAll("text")].filter(t => t.checkVisibility());
    const boxes = words.map(t => t.getBoundingClientRect());
    boxes.forEach((b, i) => {
      if (b.left < box.left - 2 || b.right > box.right + 2 || b.top < box.top - 2 || b.bottom > box.bottom + 2)
        found.push(`outside: ${svg.querySelector("title").textContent}: ${words[i].textContent}`);
      boxes.slice(i + 1).forEach((c, j) => {
        const wide = Math.min(b.right, c.right) - Math.max(b.left, c.left);
        const high = Math.min(b.bottom, c.bottom) - Math.max(b.top, c.top);
        if (wide > 1 && high > 4) found.push(`overlap: ${words[i].textContent} | ${words[i + 1 + j].textContent}`);
      });
    });
  }
  return found;
}"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """The report of a real study with an inapplicable strategy."""
    base = tmp_path_factory.mktemp("seen")
    python_runs.run_in_folder(python_runs.compose(*QUESTION), folder=base / "seen", store_path=base / "p.sqlite")
    study = config.load_request(base / "seen" / ledger.STUDY_FILE).study
    return results.write_report(base / "seen", read_result(base / "seen", study))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "name"), [(390, "phone"), (1280, "laptop")])
def test_it_can_be_read_at_every_width(open_page, keep, page_file, width, name, scheme):
    page = open_page(page_file.as_uri(), width=width, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    keep(page, f"report-{name}-{scheme}", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(UNREADABLE) == []
    assert page.evaluate(MISPLACED) == []
    assert page.locator("#results table").is_visible()
    smallest = page.evaluate(
        "Math.min(...[...document.querySelectorAll('main svg.f:not(.key) text')].filter(t => t.checkVisibility())"
        ".map(t => t.getBoundingClientRect().height))"
    )
    assert smallest >= 9


def test_it_prints(open_page, keep, page_file, tmp_path):
    page = open_page(page_file.as_uri(), width=680, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    keep(page, "report-print", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(MISPLACED) == []
    wide = "[...document.querySelectorAll('.scroll')].filter(s => s.scrollWidth > 682).length"
    assert page.evaluate(wide) == 0
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").stat().st_size > 50_000


#: Pages of a PDF, which Chromium writes one object each.
PAGES = re.compile(rb"/Type\s*/Page\b")


@pytest.mark.sampled(2)
@pytest.mark.parametrize("file", COMMITTED, ids=lambda file: file.parent.name)
def test_answer_scores_and_methods_are_printed_on_six_pages(open_page, file, tmp_path):
    page = open_page(file.as_uri(), width=680)
    page.emulate_media(media="print")
    shown = "[...document.querySelectorAll('section')].filter(s => s.checkVisibility()).map(s => s.id)"
    assert {"verdict", "results", "methods"} <= set(page.evaluate(shown)) <= {"verdict", "results", "ratio", "methods"}
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert 2 <= len(PAGES.findall((tmp_path / "report.pdf").read_bytes())) <= 6


@pytest.mark.sampled(1)
@pytest.mark.parametrize("file", COMMITTED, ids=lambda file: file.parent.name)
def test_the_first_screen_holds_the_answer_and_nothing_to_operate(open_page, keep, file):
    page = open_page(file.as_uri(), width=1280, height=900)
    keep(page, f"first-screen-{file.parent.name}")
    box = page.locator("#verdict").bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= 900
    assert page.locator("#verdict").locator("button, input, select").count() == 0
    has_primary = not imblab.load(file.parent).headline.startswith("No primary contrast")
    assert page.locator("#verdict svg.f").count() == has_primary
    assert page.locator("#verdict .tiles dt").all_inner_texts() == ["MCC", "PR-AUC", "recall", "precision"]


def test_it_works_with_scripts_off(open_page, keep, page_file):
    page = open_page(page_file.as_uri(), width=1280, java_script_enabled=False)
    keep(page, "report-no-scripts")
    figures = page.locator("main svg.f path.line:visible")
    page.locator("summary", has_text="Operating view").click()
    assert figures.count() > 20
    assert not page.locator(".threshold").first.is_visible()
    drawn = page.locator("#thresholds [data-n='smote']:visible").count()
    assert drawn > 0
    page.locator(".menu summary", has_text="Strategies").click()
    page.get_by_role("checkbox", name="SMOTE, threshold .5", exact=True).uncheck()
    assert page.locator("#thresholds [data-n='smote']:visible").count() == 0
    assert page.locator("#thresholds [data-n='smote_threshold']:visible").count() == drawn
    page.locator(".menu summary", has_text="Data sets").click()
    page.get_by_role("checkbox", name="yeast4").uncheck()
    assert page.locator("#thresholds [data-n='smote_threshold']:visible").count() < drawn


def test_an_address_opens_its_section_with_scripts_off(open_page, page_file):
    page = open_page(f"{page_file.as_uri()}#calibration", width=1280, java_script_enabled=False)
    assert page.locator("#calibration svg.f").first.is_visible()
    assert not page.locator("#optimism svg.f").first.is_visible()


def test_the_filter_is_kept_in_the_address(open_page, page_file):
    page = open_page(page_file.as_uri(), width=1280)
    page.locator(".menu summary", has_text="Strategies").click()
    page.get_by_role("button", name="only smote", exact=True).click()
    assert page.url.endswith("#s=smote")
    rows = page.locator("#results tbody tr:visible")
    assert rows.count() == 2
    page.get_by_role("button", name="none").first.click()
    assert rows.count() == 0
    page.get_by_role("button", name="all").first.click()
    assert "s=" not in page.url
    page = open_page(f"{page_file.as_uri()}#calibration&s=none,smote&d=yeast4", width=1280)
    assert page.locator("#results tbody tr:visible").count() == 2
    assert page.locator("#calibration figure svg.f").nth(1).is_visible()
    assert page.locator(".menu output").all_inner_texts() == ["2 of 6", "1 of 2"]


def test_scores_are_sorted_searched_and_copied(open_page, page_file):
    page = open_page(page_file.as_uri(), width=1280)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    rows = page.locator("#results tbody tr:visible")
    mcc = "[...document.querySelectorAll('#results tbody tr')].map(r => r.cells[3].textContent.replace('−', '-'))"
    page.locator("#results thead button", has_text="MCC").click()
    values = [float(v) for v in page.evaluate(mcc) if v != "–"]
    assert values == sorted(values, reverse=True)
    page.locator("#results thead button", has_text="MCC").click()
    values = [float(v) for v in page.evaluate(mcc) if v != "–"]
    assert values == sorted(values)
    page.locator("#results .tools input").fill("yeast4 smote_threshold")
    assert rows.count() == 1
    for name, beginning in (
        ("CSV", "data set,learner,strategy,MCC,"),
        ("Markdown", "| data set | learner | strategy | MCC |"),
        ("LaTeX", r"\begin{tabular}{lll"),
    ):
        page.locator("#results .tools button", has_text=name).click()
        page.locator("#results .tools output", has_text="1 rows copied").wait_for()
        text = page.evaluate("navigator.clipboard.readText()")
        assert text.startswith(beginning)
        assert "SMOTE, tuned threshold" in text


def test_a_strategy_stands_out_everywhere_at_once(open_page, page_file):
    page = open_page(page_file.as_uri(), width=1280)
    page.locator("summary", has_text="Operating view").click()
    page.locator("#thresholds .legend [data-s='1']").first.hover()
    faint = (
        "[...document.querySelectorAll('#thresholds svg.f g[data-s]')].every(g => (getComputedStyle(g).opacity === '1')"
    )
    assert page.evaluate(f"{faint} === g.dataset.s.split(' ').includes('1'))")


def test_a_reader_moves_the_cut_and_points(open_page, keep, page_file):
    said = []
    page = open_page(page_file.as_uri(), width=1280)
    page.on("console", lambda message: said.append(message.text))
    page.locator("summary", has_text="Operating view").click()
    page.locator("#thresholds .threshold input").focus()
    assert "at a threshold of 0.50" in page.locator("#thresholds .at caption").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#thresholds .threshold output").inner_text() == "0.51"
    assert "at a threshold of 0.51" in page.locator("#thresholds .at caption").inner_text()
    assert page.locator("#thresholds .at tbody tr").count() > 2
    page.locator("summary", has_text="ROC").click()
    figure = page.locator("#curves svg.f[data-x]").first
    figure.scroll_into_view_if_needed()
    box, height = figure.bounding_box(), page.evaluate("document.documentElement.scrollHeight")
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    words = page.locator(".tip").inner_text()
    assert words.startswith("at 0.4")
    assert "SMOTE" in words
    assert page.evaluate("document.documentElement.scrollHeight") == height
    figure.focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator(".tip").inner_text() != words
    keep(page, "report-pointing")
    page.keyboard.press("Escape")
    assert not page.locator(".tip").is_visible()
    assert not said


@pytest.mark.sampled(2)
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
@pytest.mark.parametrize("file", COMMITTED, ids=lambda file: file.parent.name)
def test_the_largest_reports_open_and_answer_a_reader(open_page, keep, file, scripts):
    """Seconds, not minutes: a script or a selector that asks for a new layout at every figure fails here."""
    page = open_page(file.as_uri(), width=1280, height=900, timeout=15_000, java_script_enabled=scripts)
    keep(page, f"{file.parent.name}-{'on' if scripts else 'off'}")
    page.locator("summary", has_text="Scores of every fold").click()
    has_figures = page.locator("#folds svg.f").count() > 0
    if has_figures:
        row = page.locator("#folds svg.f").first.locator("g[data-s='1']")
    else:  # the page would be too large with them
        assert "figures are in the folder figures/" in page.locator("#folds").inner_text()
        row = page.locator("#results tr[data-s='1']").first
    row.scroll_into_view_if_needed()
    assert row.is_visible()
    page.locator(".menu summary", has_text="Strategies").click()
    page.locator("#s1").uncheck()
    row.wait_for(state="hidden", timeout=5_000)
    page.locator("#s1").check()
    row.wait_for(state="visible", timeout=5_000)
    if page.locator("#classes").count():
        choose_classes(page)
    elif scripts and has_figures:
        page.locator("summary", has_text="Operating view").click()
        page.locator("#thresholds .threshold input").focus()
        page.keyboard.press("ArrowRight")
        page.locator("#thresholds .at caption", has_text="at a threshold of 0.51").wait_for(timeout=5_000)


def choose_classes(page):
    """One class of the first data set at a time, the rarest first; the control is no script."""
    choices = page.locator("#classes .choice").first.locator("input")
    figures = page.locator("#classes .choice ~ .grid").first.locator("figure")
    assert choices.first.is_checked()
    for i in (0, 1, choices.count() - 1):
        choices.nth(i).check()
        number = choices.nth(i).get_attribute("id").removeprefix("k")
        shown = figures.evaluate_all("all => all.filter(f => f.checkVisibility()).map(f => f.dataset.k)")
        assert set(shown) == {number}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("file", COMMITTED, ids=lambda file: file.parent.name)
def test_the_contents_lead_to_their_sections(open_page, file):
    page = open_page(file.as_uri(), width=1280, height=900)
    of_two = ("classes",) if page.locator("#classes").count() else ("curves", "calibration")
    for name in ("results", *of_two, "origin"):
        page.click(f"nav a[href='#{name}']")
        page.wait_for_timeout(300)
        top = page.evaluate(f"document.getElementById('{name}').getBoundingClientRect().top")
        bottom = page.evaluate("document.documentElement.scrollHeight - window.innerHeight - window.scrollY")
        assert 0 <= top < 200 or (bottom < 2 and 0 <= top < 900), (name, top)


def test_the_keyboard_reaches_everything(open_page, page_file):
    page = open_page(page_file.as_uri(), width=1280)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the scores"
    reachable = (
        "[...document.querySelectorAll('a, input, summary, .scroll, svg.f[data-x]')].filter(e => e.checkVisibility())"
        ".every(e => e.tabIndex >= 0)"
    )
    assert page.evaluate(reachable)
    assert page.evaluate(
        "[...document.querySelectorAll('main svg.f:not(.key)')].every(s => s.getAttribute('role') === 'img')"
    )


@pytest.mark.slow
def test_hostile_names_do_nothing(open_page, tmp_path, page_file):
    study = config.load_request(page_file.parent / ledger.STUDY_FILE).study
    data = results.report_data(page_file.parent, read_result(page_file.parent, study))
    text = report.render(data)[report.PAGE_FILE]
    attack = "&lt;/script&gt;&lt;img src=x onerror=document.title=1&gt;"
    # What an escape that failed would leave behind is stopped by the policy of the page too.
    (tmp_path / "escaped.html").write_text(text.replace(">yeast4<", f">{attack}<"), encoding="utf-8")
    (tmp_path / "raw.html").write_text(
        text.replace(
            ">yeast4<", "><img src=x onerror=\"document.title='gone'\"><script>document.title='gone'</script><"
        ),
        encoding="utf-8",
    )
    for name in ("escaped", "raw"):
        page = open_page((tmp_path / f"{name}.html").as_uri())
        assert page.title() == "seen: verdicts"
