"""The groups of the configuration: one line of help for each, and the names of their options.

Needs the standard library alone, so that the help and the completion of the command line stay quick.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

#: What is chosen from a group, in the order of a study; the help of the command line and the JSON Schema share it.
GROUP_HELP: Mapping[str, str] = {
    "experiment": "a study in one file: its data sets, learners, strategies, protocol and claims",
    "dataset": "the tables, by name; dataset=table reads a file",
    "learner": "the classifiers, by name, with what is searched of each",
    "strategy": "the treatments of imbalance, by name: sampler, weight, calibration and threshold",
    "protocol": "how evaluations are gathered: outer and inner folds, repeats, thresholds",
    "search": "how knobs are searched on the inner folds",
    "measures": "the measures, by name; the primary one is tuned and judged",
    "runner": "how fits are carried out: worker processes, time limits; changes no number",
    "tracking": "the MLflow store and how much is written to it; changes no number",
}
#: Groups of which a study holds several options, as in ``learner=[knn,svm]``; of the others one is chosen.
LISTED_GROUPS = ("dataset", "learner", "strategy", "measures")


def shipped_groups() -> Path:
    """Return the folder of the shipped groups: ``conf`` of the checkout if there is one, else of the package."""
    inside = Path(str(files("imblab"))) / "conf"
    return inside if inside.is_dir() else Path(str(files("imblab"))).parents[1] / "conf"


def group_names(config_dirs: Sequence[Path] = ()) -> set[str]:
    """Return the names of the groups."""
    return {p.name for folder in (shipped_groups(), *config_dirs) for p in folder.iterdir() if p.is_dir()}


def group_options(group: str, config_dirs: Sequence[Path] = ()) -> list[str]:
    """Return the names of the options that a group has as files.

    Examples
    --------
    >>> group_options("search")
    ['grid', 'qmc', 'random', 'tpe']
    """
    return sorted({p.stem for folder in (shipped_groups(), *config_dirs) for p in (folder / group).glob("*.yaml")})


def help_text() -> str:
    """Return the groups with one line of help each, for the end of a help page."""
    width = max(map(len, GROUP_HELP))
    lines = [f"  {name:{width}}  {text}" for name, text in GROUP_HELP.items()]
    return "\n".join(
        [
            "groups (GROUP=NAME; several of dataset, learner, strategy and measures as GROUP=[NAME,NAME]):",
            *lines,
            "`imblab list` names their options, `imblab list strategies` and so on describe them,",
            "`imblab list --schema` describes every key of a study, `imblab list run --schema` those of a run.",
        ]
    )
