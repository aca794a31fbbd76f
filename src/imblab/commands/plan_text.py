"""Text of ``imblab plan``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imblab.analysis import text_tables
from imblab.edges import terminal
from imblab.text import count_noun, format_duration


def plan_text(plan: Mapping[str, Any], width: int | None = None) -> str:
    """Return what a study would do.

    ``plan`` holds ``study cells fits``; ``learners``, a list of names; ``datasets``, ``strategies`` and
    ``inapplicable``, lists of mappings; ``half_width``, a number by name. Keys that are absent are left out.
    """
    page = terminal.Page(width)
    page.add(f"Study {plan['study']!r}: {count_noun(plan['cells'], 'evaluation')}, {_describe_fits(plan)}.")
    page.add(f"Learners: {', '.join(plan.get('learners', ()))}")
    if "price" in plan:
        _add_price(page, plan["price"], plan.get("budget"))
    page.add("")
    for dataset in plan.get("datasets", ()):
        _add_dataset(page, dataset)
    page.add_list("Baseline", [f"{text}." for text in plan.get("rebalancing", {}).values()])
    page.add("Strategies")
    header = ["strategy", ">cand.", "weight", "threshold", "knobs"]
    page.add_table(header, map(_strategy_row, plan.get("strategies", ())))
    page.add_list("Not applicable, left out there", _list_inapplicable(plan.get("inapplicable", ())))
    page.add_list("Contrasts", text_tables.list_families(plan.get("contrasts")))
    if plan.get("half_width"):
        factors = ", ".join(f"{name} {factor:.2f}" for name, factor in plan["half_width"].items())
        page.add(
            f"Half-width of a corrected interval, in standard deviations of the differences: {factors}. "
            "nested_5x3 is for looking, repeated_5x5x3 for claims."
        )
    return page.text()


def _describe_fits(plan: Mapping[str, Any]) -> str:
    reused = [f"{plan['reused']} reused"] if plan.get("reused") else []
    reused += [f"{plan['stored']} in the store"] if plan.get("stored") else []
    fits = f"{'at most ' if plan.get('at_most') else ''}{plan['fits']} fits"
    return f"{fits} ({', '.join(reused)})" if reused else fits


def _add_price(page: terminal.Page, price: Mapping[str, Any], budget: Mapping[str, Any] | None) -> None:
    processes, memory = count_noun(price["n_jobs"], "process"), f"{price['bytes'] / 2**30:.1f} GB of memory"
    page.add(f"About {format_duration(price['seconds'])} on {processes}, {memory}, estimated from a few fits.")
    if price["untimed"]:
        page.add(f"Not timed, and not included: {', '.join(price['untimed'])}.")
    if not budget:
        return
    page.add(f"That is more than budget.minutes={budget['minutes']:g}.")
    fitting = "The largest study within it" if budget["fits"] else "The smallest study tried, which is still too large,"
    page.add_list(f"{fitting} takes {format_duration(budget['seconds'])}, with", budget["overrides"])
    if budget.get("line"):
        page.add_unbroken(f"To run it:\n{budget['line']}")
    elif budget["overrides"]:
        page.add("Change these in a copy of the file that describes the study, and run the copy.")


def _add_dataset(page: terminal.Page, dataset: Mapping[str, Any]) -> None:
    page.add(
        f"{dataset['name']}: {dataset['rows']} rows, {dataset['features']} features, {dataset['positives']} positives "
        f"(1 to {dataset['ratio']:.3g})"
    )
    for kind, columns in (dataset.get("columns") or {}).items():
        page.add(f"{kind}: {terminal.format_cell(columns)}", "  ", "    ")
    sizes = [
        tuple(fold[name] for name in ("train", "train_pos", "test", "test_pos")) for fold in dataset.get("folds", ())
    ]
    header = [">folds", ">train rows", ">positives", ">test rows", ">positives"]
    page.add_table(header, ([str(sizes.count(size)), *map(str, size)] for size in dict.fromkeys(sizes)))
    page.add_list("Note", dataset.get("warnings", ()))


def _strategy_row(facts: Mapping[str, Any]) -> terminal.TextRow:
    # A blank after a comma lets an axis wrap between its values.
    axes = terminal.format_cell(facts.get("axes")).replace(", ", ",").replace(",", ", ")
    return [*(terminal.format_cell(facts.get(name)) for name in ("name", "candidates", "weight", "threshold")), axes]


def _list_inapplicable(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line per reason: strategies and values that have the same reason stand together."""
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for facts in items:
        where = (
            str(facts.get("dataset", "")),
            terminal.format_cell(facts.get("learners")),
            terminal.format_cell(facts.get("folds")),
        )
        groups.setdefault((*where, str(facts["reason"])), []).append(facts)
    lines = []
    for (dataset, learners, folds, reason), group in groups.items():
        values = [value for name in ("strategy", "value") for value in _distinct_values(group, name)]
        lines.append(f"{', '.join([dataset, learners, *values])}: {reason} (folds: {folds})")
    return lines


def _distinct_values(group: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """The different values of a fact, the first three of many."""
    values = list(dict.fromkeys(terminal.format_cell(facts[name]) for facts in group if name in facts))
    return values if len(values) <= 4 else [*values[:3], f"{len(values) - 3} more"]
