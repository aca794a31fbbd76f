"""The report in a real browser: three widths, light and dark, on paper, with scripts off; screenshots are kept."""

from pathlib import Path

import pytest

from imblab.commands import results, running
from imblab.commands.results import read_result
from imblab.edges import config, ledger, report

pytestmark = pytest.mark.browser

COMMITTED = sorted((Path(__file__).parents[2] / "experiments").glob("*/report.html"))

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
    running.run(running.compose(*QUESTION), folder=base / "seen", store_path=base / "p.sqlite")
    study = config.load_request(base / "seen" / ledger.STUDY_FILE).study
    return results.write_report(base / "seen", read_result(base / "seen", study))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "name"), [(390, "phone"), (1280, "laptop")])
def test_it_can_be_read_at_every_width(open_page, keep, page_file, width, name, scheme):
    page = open_page(page_file.as_uri(), width=width, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    keep(page, f"report-{name}-{scheme}", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(UNREADABLE) == []
    assert page.evaluate(MISPLACED) == []
    assert page.locator("#verdict table").first.is_visible()
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


def test_it_works_with_scripts_off(open_page, keep, page_file):
    page = open_page(page_file.as_uri(), width=1280, java_script_enabled=False)
    keep(page, "report-no-scripts")
    figures = page.locator("main svg.f path.line:visible")
    assert figures.count() > 20
    assert not page.locator(".threshold").first.is_visible()
    drawn = page.locator("#thresholds [data-n='smote']:visible").count()
    assert drawn > 0
    page.get_by_role("checkbox", name="smote", exact=True).uncheck()
    assert page.locator("#thresholds [data-n='smote']:visible").count() == 0
    assert page.locator("#thresholds [data-n='smote_threshold']:visible").count() == drawn
    page.get_by_role("checkbox", name="yeast4").uncheck()
    assert page.locator("#thresholds [data-n='smote_threshold']:visible").count() < drawn


def test_a_reader_moves_the_cut_and_points(open_page, keep, page_file):
    said = []
    page = open_page(page_file.as_uri(), width=1280)
    page.on("console", lambda message: said.append(message.text))
    slider = page.locator("#thresholds .threshold input")
    slider.focus()
    assert "at 0.500" in page.locator("#thresholds .read").first.inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#thresholds .threshold output").inner_text() == "0.51"
    assert all("at 0.510" in text for text in page.locator("#thresholds .read").all_inner_texts())
    figure = page.locator("#curves svg.f[data-x]").first
    figure.scroll_into_view_if_needed()
    box = figure.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    words = page.locator("#curves .read").first.inner_text()
    assert words.startswith("at 0.4")
    assert "smote" in words
    figure.focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#curves .read").first.inner_text() != words
    keep(page, "report-pointing")
    assert not said


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
@pytest.mark.parametrize("file", COMMITTED, ids=lambda file: file.parent.name)
def test_the_largest_reports_open_and_answer_a_reader(open_page, keep, file, scripts):
    """Seconds, not minutes: a script or a selector that asks for a new layout at every figure fails here."""
    page = open_page(file.as_uri(), width=1280, height=900, timeout=15_000, java_script_enabled=scripts)
    keep(page, f"{file.parent.name}-{'on' if scripts else 'off'}")
    figure = page.locator("#results svg.f").first
    row = figure.locator("g[data-s='1']")
    figure.scroll_into_view_if_needed()
    assert row.is_visible()
    page.locator("#s1").uncheck()
    row.wait_for(state="hidden", timeout=5_000)
    page.locator("#s1").check()
    row.wait_for(state="visible", timeout=5_000)
    if scripts:
        slider = page.locator("#thresholds .threshold input")
        slider.focus()
        page.keyboard.press("ArrowRight")
        page.locator("#thresholds .read", has_text="at 0.510").first.wait_for(timeout=5_000)


@pytest.mark.parametrize("file", COMMITTED, ids=lambda file: file.parent.name)
def test_the_contents_lead_to_their_sections(open_page, file):
    page = open_page(file.as_uri(), width=1280, height=900)
    for name in ("results", "curves", "calibration", "origin"):
        page.click(f"nav a[href='#{name}']")
        page.wait_for_timeout(300)
        top = page.evaluate(f"document.getElementById('{name}').getBoundingClientRect().top")
        bottom = page.evaluate("document.documentElement.scrollHeight - window.innerHeight - window.scrollY")
        assert 0 <= top < 200 or (bottom < 2 and 0 <= top < 900), (name, top)


def test_the_keyboard_reaches_everything(open_page, page_file):
    page = open_page(page_file.as_uri(), width=1280)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the verdict"
    reachable = (
        "[...document.querySelectorAll('a, input, summary, .scroll, svg.f[data-x]')].filter(e => e.checkVisibility())"
        ".every(e => e.tabIndex >= 0)"
    )
    assert page.evaluate(reachable)
    assert page.evaluate(
        "[...document.querySelectorAll('main svg.f:not(.key)')].every(s => s.getAttribute('role') === 'img')"
    )


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
