"""Curves from the evidence: precision-recall, ROC, and measures against the threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from imblab.analysis import evidence
from imblab.analysis.methods import named
from imblab.core import estimator_specs, measures
from imblab.edges.figures import Axes, Curve, Figure, Marks, Scale, draw_curves, place_in_plot
from imblab.edges.report.model import Gallery, Panel, Section, Source, Table, groups, header, num, of, slug
from imblab.stats import curves

ARM = ("dataset", "learner", "strategy")
Arm = tuple[str, str, str]
Folds = Mapping[Arm, Sequence[curves.FoldCounts]]
#: Characters that the curves of a report may take together, and that one place takes.
ROOM, PLACE = 2_400_000, 11
#: Places of a curve at most and at least.
MOST, LEAST = 99, 20
#: Where an axis of scores may end.
TOPS = (0.1, 0.2, 0.5, 1.0)
#: Arms beyond which curves are drawn without their bands.
BANDED = 240
#: Strategies up to which all bands are drawn at once; the baselines, of which one has its band.
FEW, BASELINES = 3, ("threshold", "none")
MISSING = (
    "This needs evidence.parquet, which is not here: it is written at the end of a run, from the prediction store. "
    "Run the study again where the store still has its answers; no fit is made then."
)


def by_arm(frame: pd.DataFrame | None) -> Folds:
    """The cuts of every fold by data set, learner and strategy.

    Parameters
    ----------
    frame : DataFrame or None
        Evidence.

    Returns
    -------
    mapping
    """
    found: dict[Arm, list[curves.FoldCounts]] = {}
    if frame is None:
        return found
    for (dataset, learner, strategy, _, _), counts in evidence.fold_counts(frame):
        found.setdefault((dataset, learner, strategy), []).append(counts)
    return found


def ranking(source: Source, folds: Folds) -> Section:
    """Precision-recall and ROC curves with fold bands and chance lines."""
    if not folds:
        return Section("curves", "Ranking: precision-recall and ROC", (MISSING,), (), "Curves")
    n = _places(len(folds))
    pr = [_panel(source, folds, d, learner, partial(_pr, source, n)) for d, learner in source.families]
    roc = [_panel(source, folds, d, learner, partial(_roc, source, n)) for d, learner in source.families]
    lead = (
        "How well each strategy orders the rows, whatever the threshold. Two strategies that differ in the threshold "
        "alone have the same curves. The dashed line is chance: under imbalance a random order has a precision "
        "equal to "
        "the positive share.",
    )
    note = _said_of_bands(source)
    blocks = (
        Gallery("Precision against recall", _kept(pr), True, note=note, vital=True),
        Gallery("ROC", _kept(roc), True, note=note),
        _areas(source),
    )
    return Section("curves", "Ranking: precision-recall and ROC", lead, blocks, "Curves")


def thresholds(source: Source, folds: Folds) -> Section:
    """Measures against the threshold, with a cut that a reader may move."""
    title = "What a moved threshold does"
    if not folds:
        return Section("thresholds", title, (MISSING,), (), "Thresholds")
    shown = _counted(source)
    blocks = []
    for i, name in enumerate(shown):
        drawn = [_panel(source, folds, d, learner, partial(_cut, source, name)) for d, learner in source.families]
        note = _said_of_bands(source) if i == 0 else ""
        many = i > 0 and len(source.families) > 4
        blocks.append(
            Gallery(
                f"{named(name)[0].upper()}{named(name)[1:]} against the threshold",
                _kept(drawn),
                i == 0,
                i == 0,
                note,
                folded=many,
                vital=i == 0,
            )
        )
    lead = (
        "Test scores if one cut were used for all folds: a row is called positive when its probability reaches it. "
        "These "
        "curves look at test rows and choose nothing; thresholds were chosen on inner folds.",
        *_without_probabilities(source),
    )
    return Section("thresholds", title, lead, tuple(blocks), "Thresholds")


def _without_probabilities(source: Source) -> tuple[str, ...]:
    """What the axis of thresholds is for learners that have decision values only."""
    names = [n.name for n in source.study.learners if not estimator_specs.gives_probabilities(n.make)]
    if not names:
        return ()
    return (f"Decision values d of {' and '.join(names)}, which give no probabilities, stand as 1 / (1 + exp(-d)).",)


def _counted(source: Source) -> list[str]:
    """The measures of counts that are drawn: what decides the cut, precision, recall."""
    known = {m.name: m for m in source.study.measures if measures.is_counted(m)}
    first = source.study.primary if source.study.primary in known else source.study.protocol.threshold_measure
    return [n for n in dict.fromkeys((first, "precision", "recall")) if n in known]


Draw = Callable[[str, str, dict[str, Sequence[curves.FoldCounts]]], Figure]


def _panel(source: Source, folds: Folds, dataset: str, learner: str, draw: Draw) -> Panel | None:
    own = {s: folds[dataset, learner, s] for s in source.arms(dataset, learner) if (dataset, learner, s) in folds}
    return Panel(draw(dataset, learner, own), source.picks(dataset, learner)) if own else None


def _kept(panels: Sequence[Panel | None]) -> tuple[Panel, ...]:
    return tuple(p for p in panels if p is not None)


def _pr(source: Source, n: int, dataset: str, learner: str, own: dict[str, Sequence[curves.FoldCounts]]) -> Figure:
    grid = np.linspace(0.01, 1.0, n)
    share = float(np.mean([f.positives / (f.positives + f.negatives) for folds in own.values() for f in folds]))
    found = {s: curves.mean_precision_recall(folds, grid) for s, folds in own.items()}
    axes = Axes(*place_in_plot(_unit(), _upwards(found)), "recall", "precision")
    said = f"Precision against recall of {len(own)} strategies on {dataset} with {learner}; chance is {share:.3f}."
    extras = Marks(y=((share, f"chance {share:.3f}"),))
    return _drawn(source, ("pr", dataset, learner), said, axes, found, extras)


def _roc(source: Source, n: int, dataset: str, learner: str, own: dict[str, Sequence[curves.FoldCounts]]) -> Figure:
    grid = np.linspace(0.0, 1.0, n) ** 2  # closer places where few negatives are called
    axes = Axes(*place_in_plot(_unit(), _unit()), "false positive rate", "true positive rate")
    found = {s: curves.mean_roc(folds, grid) for s, folds in own.items()}
    said = f"ROC curves of {len(own)} strategies on {dataset} with {learner}; the diagonal is chance."
    name = ("roc", dataset, learner)
    return _drawn(source, name, said, axes, found, Marks(diagonal=True))


def _cut(
    source: Source, measure: str, dataset: str, learner: str, own: dict[str, Sequence[curves.FoldCounts]]
) -> Figure:
    n = _places(len(source.families) * len(source.strategies))
    step = next(s for s in (1, 2, 4, 5) if 99 / s <= n or s == 5)
    grid = np.arange(step, 100, step) / 100
    function = measures.function_of(next(m for m in source.study.measures if m.name == measure), allow=None)
    found = {s: curves.mean_over_thresholds(folds, grid, function) for s, folds in own.items()}
    axes = Axes(*place_in_plot(_unit(), _upwards(found)), "threshold", named(measure))
    said = f"{named(measure)} against the threshold of {len(own)} strategies on {dataset} with {learner}."
    name = ("threshold", measure, dataset, learner)
    return _drawn(source, name, said, axes, found, Marks(threshold=0.5))


def _drawn(
    source: Source,
    name: tuple[str, ...],
    description: str,
    axes: Axes,
    found: Mapping[str, curves.MeanCurve],
    extras: Marks,
) -> Figure:
    *_, dataset, learner = name
    loud = _loud(source, dataset, learner, found)
    ends = {s: (b.low, b.high) if _banded(source) else (None, None) for s, b in found.items()}
    given = [
        Curve(s, b.x, b.mean, low=ends[s][0], high=ends[s][1], has_quiet_band=s not in loud) for s, b in found.items()
    ]
    return draw_curves(slug(*name), f"{dataset}, {learner}", description, axes, given, source.strategies, extras)


def _banded(source: Source) -> bool:
    return len(source.families) * len(source.strategies) <= BANDED


def _loud(source: Source, dataset: str, learner: str, found: Mapping[str, curves.MeanCurve]) -> set[str]:
    """Whose bands are drawn at once: of all where they are few, else of a baseline and of the best other arm."""
    if len(found) <= FEW:
        return set(found)
    sign = 1 if source.study.primary_measure.greater_is_better else -1
    own = of(source.summary, dataset, learner)
    means = {s: sign * float(m) for s, m in zip(own.strategy, own["mean"], strict=True) if s in found and m == m}
    others = [s for s in means if s not in BASELINES]
    # The two baselines rank the rows alike: one band tells of both.
    base = next((s for s in BASELINES if s in found), None)
    return {s for s in (base, max(others, key=lambda s: means[s], default=None)) if s is not None}


def _said_of_bands(source: Source) -> str:
    """What lines and bands are."""
    if not _banded(source):
        return "Mean over folds."
    said = "Lines are means over folds; a band spans the lowest to the highest fold."
    if len(source.strategies) <= FEW:
        return said
    return (
        f"{said} Bands are drawn for {_base(source)} and for the other arm with the best "
        f"{named(source.study.primary)}; point at a curve or a name, or pick at most {FEW} strategies, to see others."
    )


def _base(source: Source) -> str:
    return next((s for s in BASELINES if s in source.strategies), "no baseline")


def _areas(source: Source) -> Table:
    """The areas under the curves from the evidence, and what chance would have."""
    frame = source.evidence if source.evidence is not None else evidence.empty_frame()
    areas = dict(groups(evidence.areas(frame), *ARM))
    random = groups(evidence.select(frame, "chance", name="pr_auc"), *ARM)
    expected = {arm: float(own.x.mean()) for arm, own in random}
    lines_ = []
    for arm in ((d, n, s) for d, n in source.families for s in source.arms(d, n)):
        if arm in areas:
            precision, rank = (float(areas[arm][c].mean()) for c in ("pr_auc", "roc_auc"))
            lines_.append(source.line(arm, num(precision), num(expected.get(arm)), num(rank)))
    columns = header("arm", ("pr_auc", "PR-AUC"), ("chance", "PR-AUC of chance"), ("roc_auc", "ROC-AUC"))
    note = "Chance is the expected average precision of these very scores if the labels were dealt at random."
    return Table("areas", "Areas under the curves, mean over folds", columns, tuple(lines_), note)


def _places(arms: int) -> int:
    """How many places a curve may have so that all of them fit the page."""
    per_place = PLACE * (3 if arms <= BANDED else 1)
    return int(min(MOST, max(LEAST, ROOM / (max(arms, 1) * 5 * per_place))))


def _upwards(found: Mapping[str, curves.MeanCurve]) -> Scale:
    """An axis from 0, or the lowest mean below it, to the first round value above every mean."""
    means = np.concatenate([b.mean for b in found.values()])
    high = float(np.nanmax(means, initial=0.0))
    top = next((t for t in TOPS if t >= 1.05 * high), 1.0)
    return Scale(min(0.0, float(np.nanmin(means, initial=0.0))), top, 0.0, 1.0)


def _unit() -> Scale:
    return Scale(0.0, 1.0, 0.0, 1.0)
