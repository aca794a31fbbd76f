"""Pack the samples of ``simulate.py`` and tabulate size, coverage, width and power of every standard error.

Writes ``samples/<kind>.parquet``, ``results.csv`` and ``rules.json``: the row-level rules that keep the bounds, which
``imblab.stats.standard_errors`` ships and a test compares.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats
from simulate import FOLDS, HERE, Scenario, scenarios

NULL = ("over", "under", "smote")
#: Bounds of an estimator that may decide: the upper Wilson bound of the pooled size and the size in any scenario at
#: .05, pooled coverage and coverage in any scenario at .95.
MAX_POOLED_SIZE, MAX_SIZE, MIN_POOLED_COVERAGE, MIN_COVERAGE = 0.06, 0.075, 0.93, 0.92
ROWS, REPEATS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0), (0.0, 0.5, 1.0, 2.0)
#: Estimators whose figures are kept for every scenario, in addition to those that decide.
SHOWN = ("plain_t", "corrected_t", "row_level 1 0", "row_level 1 1", "bootstrap", "5x2cv_F")
COLUMNS = ["n", "positives", "sample", "contrast", "measure", "folds", "effect", "s2", "w_change", "between", "truth"]
CHECKS = ["low", "high", "p_5x2"]
FUNCTIONS = {"mcc": "mcc", "pr_auc": "average_precision", "roc_auc": "roc_auc", "brier": "brier"}


def pack() -> None:
    """Move the samples of all parts into one file per kind of learner."""
    for kind in dict.fromkeys(s.kind for s in scenarios()):
        target, frames, read = HERE / "samples" / f"{kind}.parquet", [], []
        if target.exists():
            frames.append(pd.read_parquet(target))
        for path in sorted((HERE / "parts").glob(f"{kind}-*/*.parquet")):
            _, n, positives = path.parent.name.rsplit("-", 2)
            frame = pd.read_parquet(path).assign(n=np.int16(n), positives=np.int16(positives))
            frames.append(frame[frame.measure.isin(FUNCTIONS)].reindex(columns=COLUMNS + CHECKS))
            read.append(path)
        if not read:
            continue
        packed = pd.concat([frame.astype({"contrast": str, "measure": str}) for frame in frames])
        keys = ["n", "positives", "sample", "contrast", "measure", "folds"]
        packed = packed.drop_duplicates(keys).sort_values(keys, kind="stable").reset_index(drop=True)
        target.parent.mkdir(exist_ok=True)
        floats = packed.select_dtypes("float").columns
        packed = packed.astype({**dict.fromkeys(floats, "float32"), "contrast": "category", "measure": "category"})
        packed.to_parquet(target, compression="zstd", compression_level=19, index=False)
        for path in read:
            path.unlink()


def standard_errors(frame: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, float | np.ndarray]]:
    """Yield name, standard error and degrees of freedom of every estimator."""
    n_folds = int(frame.folds.iloc[0])
    n_repeats = n_folds // FOLDS
    yield "plain_t", np.sqrt(frame.s2 / n_folds), n_folds - 1
    yield "corrected_t", np.sqrt(frame.s2 * (1 / n_folds + 1 / (FOLDS - 1))), n_folds - 1
    for rows in ROWS:
        for repeats in REPEATS if n_repeats > 1 else (0.0,):
            between = frame.between / n_repeats if repeats else 0.0
            variance = rows * frame.w_change + repeats * between
            yield f"row_level {rows:g} {repeats:g}", np.sqrt(variance), frame.positives - 1


def evaluate(frame: pd.DataFrame, is_null: bool) -> Iterator[dict[str, float | str]]:
    """Yield rejections, coverage and width of every estimator in the samples of one scenario and contrast."""
    truth = 0.0 if is_null else float(frame.truth.mean())
    deviation = float(frame.effect.std(ddof=1))
    for name, se, df in standard_errors(frame):
        reach = np.asarray(stats.t.ppf(0.975, df)) * se
        yield {
            "estimator": name,
            "rejected": int((np.abs(frame.effect) > reach + 1e-9).sum()),
            "covered": int((np.abs(frame.effect - truth) <= reach + 1e-9).sum()),
            "se_over_sd": float(np.sqrt(np.mean(se**2))) / deviation if deviation else np.nan,
        }
    boot = frame[frame.low.notna()]
    if len(boot):
        yield {
            "estimator": "bootstrap",
            "rejected": int(((boot.low > 0) | (boot.high < 0)).sum()),
            "covered": int(((boot.low <= truth) & (truth <= boot.high)).sum()),
            "se_over_sd": float(np.mean(boot.high - boot.low)) / (2 * 1.96) / deviation,
            "samples": len(boot),
        }
    five = frame.p_5x2.dropna()
    if len(five):
        row = {"estimator": "5x2cv_F", "rejected": int((five < 0.05).sum()), "covered": 0, "se_over_sd": np.nan}
        yield {**row, "samples": len(five)}


def tabulate() -> pd.DataFrame:
    """Tabulate every scenario, contrast, measure, number of repeats and estimator."""
    rows = []
    for path in sorted((HERE / "samples").glob("*.parquet")):
        frame = pd.read_parquet(path).astype({"contrast": str, "measure": str})
        for key, part in frame.groupby(["contrast", "measure", "n", "positives", "folds"]):
            contrast, measure, n, positives, folds = key
            facts = {"kind": path.stem, "contrast": contrast, "measure": measure, "n": n, "positives": positives}
            facts |= {"repeats": int(folds) // FOLDS, "samples": len(part)}
            rows += [{**facts, **row} for row in evaluate(part, contrast in NULL)]
    return pd.DataFrame(rows)


def wilson(k: int, n: int) -> tuple[float, float]:
    """Wilson interval of a rate at 95 %."""
    interval = stats.binomtest(int(k), int(n)).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Pool the scenarios of each kind, measure, number of repeats and estimator."""
    rows = []
    for key, part in table.groupby(["kind", "measure", "repeats", "estimator"], sort=False):
        null, known = (part[part.contrast.isin(NULL) == flag] for flag in (True, False))
        row = dict(zip(("kind", "measure", "repeats", "estimator"), key, strict=True))
        if len(null):
            rate = null.rejected / null.samples
            low, high = wilson(null.rejected.sum(), null.samples.sum())
            row |= {"size": null.rejected.sum() / null.samples.sum(), "size_low": low, "size_high": high}
            row |= {"worst_size": rate.max(), "null_se_over_sd": null.se_over_sd.mean()}
        if len(known):
            total = known.samples.sum()
            row |= {"coverage": known.covered.sum() / total, "worst_coverage": (known.covered / known.samples).min()}
            row |= {"power": known.rejected.sum() / total, "known_se_over_sd": known.se_over_sd.mean()}
        rows.append(row)
    return pd.DataFrame(rows)


def complete_kinds(table: pd.DataFrame) -> set[str]:
    """Kinds of which every scenario has its samples."""
    have = table[table.contrast == "under"].groupby(["kind", "n", "positives"]).samples.min()
    wanted: dict[str, list[Scenario]] = {}
    for scenario in scenarios():
        wanted.setdefault(scenario.kind, []).append(scenario)
    return {kind for kind, all_ in wanted.items() if all(have.get(tuple(s), 0) >= s.samples for s in all_)}


def decide(summary: pd.DataFrame, kinds: set[str]) -> dict[str, dict[str, list[list[float]]]]:
    """Choose the most powerful row-level rule within the bounds, by kind and measure, for one and several repeats."""
    rules: dict[str, dict[str, list[list[float]]]] = {}
    is_allowed = (summary.size_high <= MAX_POOLED_SIZE) & (summary.worst_size <= MAX_SIZE)
    is_allowed &= (summary.coverage >= MIN_POOLED_COVERAGE) & (summary.worst_coverage >= MIN_COVERAGE)
    for (kind, measure), part in summary[is_allowed].groupby(["kind", "measure"]):
        best = [part[part.repeats == n].sort_values("power", kind="stable").tail(1) for n in (1, 5)]
        names = [each.estimator.iloc[0] for each in best if len(each)]
        if kind in kinds and len(names) == 2 and all(name.startswith("row_level") for name in names):
            numbers = [[float(x) for x in name.split()[1:]] for name in names]
            rules.setdefault(str(kind), {})[FUNCTIONS[str(measure)]] = numbers
    return rules


def main() -> None:
    """Pack, tabulate and decide."""
    pack()
    table = tabulate()
    summary = summarise(table)
    kinds = complete_kinds(table)
    rules = decide(summary, kinds)
    chosen = {f"row_level {a:g} {b:g}" for by in rules.values() for both in by.values() for a, b in both}
    kept = table[table.estimator.isin(chosen.union(SHOWN))]
    kept.round(5).to_csv(HERE / "results.csv", index=False)
    summary.round(4).to_csv(HERE / "summary.csv", index=False)
    (HERE / "rules.json").write_text(json.dumps({"complete": sorted(kinds), "rules": rules}, indent=1) + "\n")
    print(f"complete: {sorted(kinds)}; rules: {rules}")
    print(
        table[table.contrast == "under"].groupby(["kind", "n", "positives"]).samples.min().unstack([1, 2]).to_string()
    )


if __name__ == "__main__":
    main()
