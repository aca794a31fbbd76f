"""Figures: well-formed, the same bytes again, nothing unescaped, places that follow values, colours that are seen."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from imblab.edges import palette
from imblab.edges.figures import axes
from imblab.edges.figures.axes import STYLE, Axes, Scale, same_spans, scale_around
from imblab.edges.figures.curve_plot import ChosenThreshold, Curve, Marks, draw_curves, place_in_plot
from imblab.edges.figures.row_plot import DotRow, ForestRow, draw_forest, draw_heat_map, draw_ranks, draw_rows
from imblab.study import Choice, Strategy

HOSTILE = "</text><script>alert(1)</script>\"'&"
SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
STRATEGIES = (
    Strategy("none"),
    Strategy("threshold", threshold="tuned"),
    Strategy(HOSTILE, weight=5.0),
    Strategy("smote", SMOTE, ratio=0.4, k=5),
)
LOOKS = palette.looks_of(STRATEGIES, [s.name for s in STRATEGIES])


def every():
    """One figure of each kind, with hostile words wherever words go."""
    x = np.linspace(0, 1, 20)
    axes = Axes(*place_in_plot(Scale(0, 1, 0, 1), Scale(0, 1, 0, 1)), HOSTILE, HOSTILE)
    curve = Curve(HOSTILE, x, x**2, x**2 - 0.1, x**2 + 0.1, has_dots=True, note=HOSTILE)
    extras = Marks(
        ((0.2, HOSTILE), (0.25, "1:1")),
        ((0.5, HOSTILE),),
        diagonal=True,
        threshold=0.5,
        chosen=(ChosenThreshold(HOSTILE, 0.3, 0.2, HOSTILE),),
    )
    yield draw_curves("a", HOSTILE, HOSTILE, axes, [curve], LOOKS, extras)
    row = DotRow(HOSTILE, "smote", 0.1, -0.1, 0.3, (0.1, 0.2), 0.25)
    yield draw_rows("b", HOSTILE, HOSTILE, [row], LOOKS, HOSTILE, 0.0, 0.01)
    values = np.array([[0.1, np.nan], [0.3, 0.2]])
    yield draw_heat_map("c", HOSTILE, HOSTILE, values, [HOSTILE, "2"], ["3", HOSTILE], (HOSTILE, "k"), (1, 0))
    yield draw_ranks("d", HOSTILE, HOSTILE, [(n, i + 1.0) for i, n in enumerate(LOOKS)], [list(LOOKS)[:2]], LOOKS)


@pytest.mark.parametrize("place", range(4))
def test_every_figure_is_well_formed_and_harmless(place):
    figure, again = (list(every())[place] for _ in range(2))
    root = ET.fromstring(figure.standalone(LOOKS))
    assert not [e for e in root.iter() if e.tag.endswith("script")]
    assert figure.standalone(LOOKS) == again.standalone(LOOKS)
    assert root[0].text == HOSTILE
    ET.fromstring(figure.inline())


@settings(max_examples=50)
@given(st.floats(1e-4, 0.9), st.sampled_from(["linear", "sqrt", "log"]))
def test_places_grow_with_values_and_stay_inside(low, kind):
    scale = Scale(low, 1.0, 40.0, 340.0, kind)
    places = scale.at(np.linspace(low, 1.0, 50))
    assert (np.diff(places) > 0).all()
    assert places[[0, -1]] == pytest.approx([40, 340])
    assert scale.at(5.0) == pytest.approx(340)
    ticks = scale.ticks()
    assert all(low <= t <= 1 + 1e-9 for t in ticks)


@settings(max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30))
def test_an_axis_holds_its_values_and_has_few_ticks(values):
    scale = scale_around(values, 0.0, 300.0)
    assert scale.low <= min(values)
    assert scale.high >= max(values)
    assert 1 <= len(scale.ticks()) <= 9


def test_a_line_is_rounded_without_drift():
    x = np.arange(0, 200, 0.333)
    d = axes.line_path(x, np.zeros_like(x))
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
    assert all(contrast(colour[dark], ground) >= 3 for colour in palette.STRATEGY_COLOURS)


#: Machado, Oliveira and Fernandes (2009), severity 1: linear RGB as seen by each kind of reader.
SIMULATIONS = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
#: Linear sRGB to CIE XYZ (IEC 61966-2-1), white D65.
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)


def as_seen(colour, reader):
    """CIE Lab of a colour as a reader sees it."""
    values = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(SIMULATIONS[reader]) @ linear, 0, 1)
    t = (TO_XYZ @ seen) / TO_XYZ.sum(axis=1)
    x, y, z = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def ciede2000(first, second):
    """The colour difference of Sharma, Wu and Dalal (2005), equations 2 to 22."""
    (l1, a1, b1), (l2, a2, b2) = first, second
    c = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 0.5 * (1 - np.sqrt(c**7 / (c**7 + 25**7)))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    dh = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    mean_h = h1 + h2 if c1 * c2 == 0 else (h1 + dh / 2) % 360
    mean_l, mean_c, big_dh = (l1 + l2) / 2, (c1 + c2) / 2, 2 * np.sqrt(c1 * c2) * np.sin(np.radians(dh / 2))
    cosines = [(-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.2, 4, -63)]
    t = 1 + sum(f * np.cos(np.radians(n * mean_h + shift)) for f, n, shift in cosines)
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)
    s_c, s_h = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    turn = np.radians(60 * np.exp(-(((mean_h - 275) / 25) ** 2)))
    r_t = -np.sin(turn) * 2 * np.sqrt(mean_c**7 / (mean_c**7 + 25**7))
    light, c, h = (l2 - l1) / s_l, (c2 - c1) / s_c, big_dh / s_h
    return float(np.sqrt(light**2 + c**2 + h**2 + r_t * c * h))


@pytest.mark.parametrize(
    ("first", "second", "want"),
    [  # rows 1, 7, 14, 17, 20 and 25 of the data of Sharma, Wu and Dalal (2005)
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, -0.001, 2.49), (50, 0.0011, -2.49), 4.7461),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (58, 24, 15), 19.4535),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ],
)
def test_the_colour_difference_is_the_published_one(first, second, want):
    assert ciede2000(first, second) == pytest.approx(want, abs=1e-4)


@pytest.mark.parametrize("reader", SIMULATIONS)
@pytest.mark.parametrize("dark", [False, True])
def test_kinds_are_told_apart_by_every_reader(dark, reader):
    places = range(len(palette.STRATEGY_COLOURS))
    kinds = palette.COLOUR_KINDS
    strongest = {kind: max(i for i in places if kinds[i] == kind) for kind in palette.KINDS}
    labs = [as_seen(pair[dark], reader) for pair in palette.STRATEGY_COLOURS]
    found = {
        (i, strongest[kind]): ciede2000(labs[i], labs[strongest[kind]])
        for i in places
        for kind in palette.KINDS
        if kinds[i] != kind
    }
    safe = {*strongest.values(), *(i for i in places if kinds[i] == "smote")}
    assert min(value for (i, _), value in found.items() if i in safe) >= 15
    assert min(found.values()) >= 7


@pytest.mark.parametrize("reader", SIMULATIONS)
@pytest.mark.parametrize("dark", [False, True])
def test_the_stronger_shade_is_the_higher_ratio_for_every_reader(dark, reader):
    for kind in ("smote", "over", "under", "combination"):
        pairs = [c for c, k in zip(palette.STRATEGY_COLOURS, palette.COLOUR_KINDS, strict=True) if k == kind]
        lightness = [as_seen(pair[dark], reader)[0] for pair in pairs]
        assert (np.diff(lightness) * (1 if dark else -1) > 0).all()


UNDER, OVER, BOTH = (
    {"_target_": f"imblearn.{name}"}
    for name in ("under_sampling.NearMiss", "over_sampling.RandomOverSampler", "combine.SMOTEENN")
)


@pytest.mark.parametrize(
    ("strategy", "kind"),
    [
        (Strategy("a"), "none"),
        (Strategy("smote", threshold="tuned"), "none"),
        (Strategy("none", SMOTE, space={"ratio": Choice((0.1, 0.5))}), "smote"),
        (Strategy("a", {"_target_": "mine.MySMOTE"}), "smote"),
        (Strategy("a", OVER), "over"),
        (Strategy("a", UNDER), "under"),
        (Strategy("a", BOTH), "combination"),
        (Strategy("a", {"_target_": "mine.Sampler"}), "mixed"),
        (Strategy("a", space={"weight": Choice((2, 5))}), "weight"),
        (Strategy("a", calibration="sigmoid"), "calibration"),
        (Strategy("a", SMOTE, weight=2.0), "mixed"),
        (Strategy("a", SMOTE, calibration="prior"), "mixed"),
    ],
)
def test_the_kind_follows_the_knobs_and_never_the_name(strategy, kind):
    assert palette.kind_of(strategy) == kind
    assert palette.COLOUR_KINDS[palette.look_of(strategy).colour] == kind


def test_marker_and_shade_follow_threshold_and_ratio():
    rules = [0.5, "tuned", {"alert_rate": 0.01}, 0.3]
    assert [palette.look_of(Strategy("a", threshold=rule)).marker for rule in rules] == [0, 1, 2, 2]
    shades = [palette.look_of(Strategy("a", SMOTE, ratio=r)).colour for r in (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, None)]
    assert shades == sorted(shades)
    assert len(set(shades)) == 7
    searched = palette.look_of(Strategy("a", SMOTE, space={"ratio": Choice((0.1, 0.5))}))
    assert searched.colour == shades[-1]


def test_sixteen_strategies_of_a_study_of_ratios_look_different():
    fixed = [
        Strategy(f"{r}{t}", SMOTE, ratio=r, threshold=t) for r in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0) for t in (0.5, "tuned")
    ]
    searched = [Strategy(f"s{t}", SMOTE, threshold=t, space={"ratio": Choice((0.1, 0.5))}) for t in (0.5, "tuned")]
    strategies = [*STRATEGIES[:2], *searched, *fixed]
    looks = palette.looks_of(strategies, [s.name for s in strategies])
    assert len(set(looks.values())) == len(strategies) == 16


def test_curves_of_one_line_are_drawn_once_and_belong_to_both_strategies():
    x = np.linspace(0, 1, 5)
    axes = Axes(*place_in_plot(Scale(0, 1, 0, 1), Scale(0, 1, 0, 1)), "x", "y")
    curves = [Curve(n, x, y) for n, y in (("none", x), ("threshold", x), ("smote", x))]
    figure = draw_curves("a", "a", "a", axes, curves, LOOKS)
    groups = [e.attrib for e in ET.fromstring(figure.inline()).iter() if "data-n" in e.attrib]
    assert [(g["data-s"], g["data-n"]) for g in groups] == [("0 1", "none, threshold"), ("3", "smote")]
    assert figure.shared == ("0 1",)
    assert figure.strategies == ("none", "threshold", "smote")


def test_names_at_the_ends_of_lines_keep_apart():
    x = np.linspace(0.1, 1, 5)
    axes = Axes(*place_in_plot(Scale(0, 1, 0, 1), Scale(0, 1, 0, 1)), "x", "y")
    curves = [Curve("smote", x, 0 * x + i / 1000, has_dots=True, note=f"k {i}") for i in range(5)]
    root = ET.fromstring(draw_curves("a", "a", "a", axes, curves, LOOKS).inline())
    bases = sorted(float(e.attrib["y"]) for e in root.iter() if e.attrib.get("class") == "note")
    assert len(bases) == 5
    assert min(np.diff(bases)) >= 12
    assert bases[-1] < axes.y.start


def test_long_words_are_cut_and_kept_as_a_title():
    found = axes.label(0.0, 0.0, "a_very_long_strategy_name", 60)
    assert "<title>a_very_long_strategy_name</title>" in found
    assert axes.ELLIPSIS in found


def test_the_name_of_a_level_keeps_out_of_the_way_of_curves():
    x = np.linspace(0, 1, 50)
    axes = Axes(*place_in_plot(Scale(0, 1, 0, 1), Scale(0, 1, 0, 1)), "x", "y")

    def place(y):
        curve = Curve("smote", x, y)
        extras = Marks(y=((0.1, "chance 0.1"),))
        drawn = draw_curves("a", "a", "a", axes, [curve], LOOKS, extras).body
        return float(drawn.partition('class="note"')[0].rpartition('x="')[2].partition('"')[0])

    falling, rising = place(0.9 - 0.8 * x), place(0.1 + 0.8 * x)
    assert falling < axes.x.start + 5
    assert rising > (axes.x.start + axes.x.end) / 2


def test_a_quiet_band_waits_for_a_reader():
    x = np.linspace(0, 1, 5)
    axes = Axes(*place_in_plot(Scale(0, 1, 0, 1), Scale(0, 1, 0, 1)), "x", "y")
    curves = [Curve(n, x, x, x, x, has_quiet_band=n == "smote") for n in ("none", "smote")]
    bands = ET.fromstring(draw_curves("a", "a", "a", axes, curves, LOOKS).inline()).iter()
    shown = [e.attrib["class"].split()[0::2] for e in bands if "band" in e.attrib.get("class", "")]
    assert shown == [["band"], ["band", "more"]]
    assert "svg.f .more{display:none}" in STYLE


def forest(rows, sides=("favours a", "favours b")):
    return draw_forest("f", "t", "d", rows, LOOKS, "difference", sides, 0.02)


def test_a_forest_goes_from_the_lowest_difference_to_the_highest():
    random = np.random.default_rng(0)
    means = random.normal(0, 0.1, 12)
    rows = [ForestRow(f"d{i}", "l", "smote", m, m - 0.1, m + 0.1, "better") for i, m in enumerate(means)]
    rows.append(ForestRow("missing", "l", "smote", np.nan))
    root = ET.fromstring(forest(rows).inline())
    words = [e.text for e in root.iter() if e.tag.endswith("text") and (e.text or "").endswith(", l")]
    assert words == [f"d{i}, l" for i in np.argsort(means)]
    assert "missing" not in forest(rows).body
    whiskers = [e.attrib["d"] for e in root.iter() if e.attrib.get("class", "").startswith("whisker")]
    ends = np.array([re.findall(r"-?[\d.]+", d) for d in whiskers], dtype=float)[:, [0, 2]]
    assert np.diff(ends, axis=1) == pytest.approx(np.full((12, 1), np.diff(ends, axis=1)[0, 0]), abs=0.02)
    assert ends.min() > 0
    assert ends.max() < 600


@pytest.mark.parametrize(
    ("verdict", "hole", "point"),
    [("better", 0, 0), ("worse", 0, 0), ("equivalent", 1, 1), ("identical", 1, 1), ("inconclusive", 1, 0)],
)
def test_the_fill_of_a_marker_is_the_verdict(verdict, hole, point):
    body = forest([ForestRow("d", "l", "smote", 0.1, 0.0, 0.2, verdict)]).body
    assert (body.count(" hole"), body.count(" point")) == (hole, point)


def test_many_contrasts_share_a_line_per_data_set():
    rows = [ForestRow(f"d{i}", f"l{j}", "smote", 0.01 * i + j / 1000) for i in range(15) for j in range(3)]
    figure = forest(rows)
    assert figure.facts["rows"] == "15"
    assert figure.body.count("<title>") == 45
    assert forest(rows[:40]).facts["rows"] == "40"


def test_the_title_of_a_file_lies_over_its_background():
    for figure in every():
        drawn = [e for e in ET.fromstring(figure.standalone(LOOKS)) if e.tag.endswith(("rect", "text"))]
        assert drawn[0].tag.endswith("rect")
        assert drawn[1].attrib["class"] == "title"


def test_axes_of_one_span_hold_their_values():
    groups = [np.array([0.1, np.nan, 0.3]), np.array([0.8, 0.85]), np.array([np.nan])]
    spans = same_spans(groups)
    assert {round(high - low, 12) for low, high in spans} == {round(spans[0][1] - spans[0][0], 12)}
    for values, (low, high) in zip(groups[:2], spans, strict=False):
        assert low < np.nanmin(values)
        assert np.nanmax(values) < high


def test_the_colours_of_the_page_are_variables():
    assert palette.css_variables(dark=False).startswith("--ground:#ffffff;")


def test_lines_without_markers_are_paler_for_a_threshold_of_a_half():
    assert [palette.line_colour(palette.Look(0, marker)) for marker in (0, 1)] == ["#7f8284", "#1b1f24"]
