"""Figures: well-formed, the same bytes again, nothing unescaped, places that follow values, colours that are seen."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imblab.edges import figures, palette
from imblab.edges.figures import svg

HOSTILE = "</text><script>alert(1)</script>\"'&"
NAMES = ["none", "threshold", HOSTILE, "smote"]


def every():
    """One figure of each kind, with hostile words wherever words go."""
    x = np.linspace(0, 1, 20)
    axes = figures.Axes(*figures.place_in_plot(figures.Scale(0, 1, 0, 1), figures.Scale(0, 1, 0, 1)), HOSTILE, HOSTILE)
    curve = figures.Curve(HOSTILE, x, x**2, x**2 - 0.1, x**2 + 0.1, has_dots=True, note=HOSTILE)
    extras = figures.Marks(((0.2, HOSTILE), (0.25, "1:1")), ((0.5, HOSTILE),), diagonal=True, threshold=0.5)
    yield figures.draw_curves("a", HOSTILE, HOSTILE, axes, [curve], NAMES, extras)
    row = figures.DotRow(HOSTILE, "smote", 0.1, -0.1, 0.3, (0.1, 0.2), 0.25)
    yield figures.draw_rows("b", HOSTILE, HOSTILE, [row], NAMES, HOSTILE, 0.0, 0.01)
    values = np.array([[0.1, np.nan], [0.3, 0.2]])
    yield figures.draw_heat_map("c", HOSTILE, HOSTILE, values, [HOSTILE, "2"], ["3", HOSTILE], (HOSTILE, "k"), (1, 0))
    yield figures.draw_ranks("d", HOSTILE, HOSTILE, [(n, i + 1.0) for i, n in enumerate(NAMES)], [NAMES[:2]], NAMES)


@pytest.mark.parametrize("place", range(4))
def test_every_figure_is_well_formed_and_harmless(place):
    figure, again = (list(every())[place] for _ in range(2))
    root = ET.fromstring(figure.standalone(NAMES))
    assert not [e for e in root.iter() if e.tag.endswith("script")]
    assert figure.standalone(NAMES) == again.standalone(NAMES)
    assert root[0].text == HOSTILE
    ET.fromstring(figure.inline())


@settings(max_examples=50)
@given(st.floats(1e-4, 0.9), st.sampled_from(["linear", "sqrt", "log"]))
def test_places_grow_with_values_and_stay_inside(low, kind):
    scale = figures.Scale(low, 1.0, 40.0, 340.0, kind)
    places = scale.at(np.linspace(low, 1.0, 50))
    assert (np.diff(places) > 0).all()
    assert places[[0, -1]] == pytest.approx([40, 340])
    assert scale.at(5.0) == pytest.approx(340)
    ticks = scale.ticks()
    assert all(low <= t <= 1 + 1e-9 for t in ticks)


@settings(max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30))
def test_an_axis_holds_its_values_and_has_few_ticks(values):
    scale = figures.scale_around(values, 0.0, 300.0)
    assert scale.low <= min(values)
    assert scale.high >= max(values)
    assert 1 <= len(scale.ticks()) <= 9


def test_a_line_is_rounded_without_drift():
    x = np.arange(0, 200, 0.333)
    d = svg.line_path(x, np.zeros_like(x))
    steps = re.findall(r"-?(?:\d+\.?\d*|\.\d+)", d)[2::2]
    assert len(steps) == len(x) - 1
    assert sum(map(float, steps)) == pytest.approx(x[-1], abs=0.06)


def contrast(a, b):
    """The ratio of WCAG 2.2."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_lines_and_words_stand_out_from_their_ground(dark):
    ground, card = (palette.PAGE_COLOURS[n][dark] for n in ("ground", "card"))
    for name in ("ink", "soft", "accent", "good", "bad"):
        assert min(contrast(palette.PAGE_COLOURS[name][dark], g) for g in (ground, card)) >= 4.5
    assert all(contrast(slot[dark], ground) >= 3 for slot in palette.STRATEGY_COLOURS)


def test_baselines_look_the_same_in_every_study_and_no_two_strategies_alike():
    names = [*(f"s{i}" for i in range(24)), "none", "threshold"]
    place = palette.colour_slots(names)
    assert (place["none"][0], place["threshold"][0]) == (0, 1)
    assert len(set(place.values())) == len(names)


def test_long_words_are_cut_and_kept_as_a_title():
    found = svg.label(0.0, 0.0, "a_very_long_strategy_name", 60)
    assert "<title>a_very_long_strategy_name</title>" in found
    assert svg.ELLIPSIS in found


def test_the_name_of_a_level_keeps_out_of_the_way_of_curves():
    x = np.linspace(0, 1, 50)
    axes = figures.Axes(*figures.place_in_plot(figures.Scale(0, 1, 0, 1), figures.Scale(0, 1, 0, 1)), "x", "y")

    def place(y):
        curve = figures.Curve("smote", x, y)
        extras = figures.Marks(y=((0.1, "chance 0.1"),))
        drawn = figures.draw_curves("a", "a", "a", axes, [curve], NAMES, extras).body
        return float(drawn.partition('class="note"')[0].rpartition('x="')[2].partition('"')[0])

    falling, rising = place(0.9 - 0.8 * x), place(0.1 + 0.8 * x)
    assert falling < axes.x.start + 5
    assert rising > (axes.x.start + axes.x.end) / 2


def test_a_quiet_band_waits_for_a_reader():
    x = np.linspace(0, 1, 5)
    axes = figures.Axes(*figures.place_in_plot(figures.Scale(0, 1, 0, 1), figures.Scale(0, 1, 0, 1)), "x", "y")
    curves = [figures.Curve(n, x, x, x, x, has_quiet_band=n == "smote") for n in ("none", "smote")]
    bands = ET.fromstring(figures.draw_curves("a", "a", "a", axes, curves, NAMES).inline()).iter()
    shown = [e.attrib["class"].split()[0::2] for e in bands if "band" in e.attrib.get("class", "")]
    assert shown == [["band"], ["band", "more"]]
    assert "svg.f .more{display:none}" in figures.STYLE
