"""How claims are measured: evidence from tables and scores, one function a kind."""

from collections.abc import Callable, Mapping

import pandas as pd

from rankone.claims.claim import Claim, Evidence
from rankone.claims.study_tables import Cell, StudyTables
from rankone.names import ALL_RUNS, FULL
from rankone.statistics.decision_rules import (
    UNDETERMINED,
    Verdict,
    beyond_null,
    equal_with_controls,
)
from rankone.statistics.intervals import Estimate

CONTROL_VARIANTS = ("without_rank1", "shrunk", "random_rank1")
# With fewer layers their spread is not known well enough for a verdict.
MIN_LAYERS = 5


def only_table(claim: Claim, study: StudyTables) -> pd.DataFrame:
    """The table of a claim that needs one."""
    (name,) = claim.tables
    return study.tables[name]


# From layers


def over_layers(
    claim: Claim,
    study: StudyTables,
    *,
    where: Mapping[str, str],
    sign: int,
    relative: bool = False,
) -> list[Evidence]:
    """Evidence from a row of means over layers: sign times value minus null.

    `relative` divides by the null's value.
    """
    row = pooled(only_table(claim, study), where)
    if row is None:
        return []
    scale = sign / row["null_value"] if relative else sign
    effect = signed(row["difference"], row["low"], row["high"], scale)
    verdict = layered(row, beyond_null(effect, claim.margin))
    return [Evidence(row["value"], row["null_value"], effect, int(row["n"]), verdict)]


def layered(row: pd.Series, verdict: Verdict) -> Verdict:
    """The verdict, unless there are too few layers for one."""
    if row["layers"] >= MIN_LAYERS:
        return verdict
    rule = f"{row['layers']:.0f} layers are too few, {MIN_LAYERS} needed"
    return Verdict(UNDETERMINED, rule)


def pooled(table: pd.DataFrame, where: Mapping[str, str]) -> pd.Series | None:
    """The row of all runs with these values; None if there is none."""
    if table.empty:
        return None
    rows = table[table["run"] == ALL_RUNS]
    for column, value in where.items():
        rows = rows[rows[column] == value]
    return None if rows.empty else rows.iloc[0]


def signed(value: float, low: float, high: float, scale: float) -> Estimate:
    """An estimate times a number."""
    bounds = sorted((scale * low, scale * high))
    return Estimate(scale * value, *bounds)


# From directions and trajectories


def left_aligns(claim: Claim, study: StudyTables, *, kind: str) -> list[Evidence]:
    """Whether left vectors of square matrices align more than right ones."""
    rows = only_table(claim, study).dropna(subset="z")
    if len(rows):
        rows = rows[(rows["kind"] == kind) & (rows["shape"] == "square")]
    if not len(rows):
        return []
    row = rows.iloc[0]
    effect = Estimate(row["z"], row["z_low"], row["z_high"])
    verdict = beyond_null(effect, claim.margin)
    return [Evidence(row["delta"], 0.0, effect, int(row["n"]), verdict)]


def beyond_walk(claim: Claim, study: StudyTables, *, statistic: str) -> list[Evidence]:
    """Whether a statistic of trajectories is above that of plain walks and of momentum.

    The effect is the distance from the range between these two nulls, zero within it.
    """
    row = pooled(only_table(claim, study), {"statistic": statistic})
    if row is None or pd.isna(row["value"]):
        return []
    nulls = sorted((row["null"], row["momentum"]))
    bounds = (beyond_range(row[end], *nulls) for end in ("value", "low", "high"))
    effect = Estimate(*bounds)
    verdict = layered(row, beyond_null(effect, claim.margin))
    nearest = row["value"] - effect.value
    return [Evidence(row["value"], nearest, effect, int(row["n"]), verdict)]


def beyond_range(value: float, low: float, high: float) -> float:
    """How far a value is above or below a range; zero within it."""
    return float(value - min(max(value, low), high))


# From benchmark items


def keeps(
    claim: Claim, study: StudyTables, *, cell: Cell, treated: str, reference: str
) -> list[Evidence]:
    """Whether a variant scores like the reference, and its controls do not."""
    scores, margin = study.last_scores.get(cell), claim.margin
    if scores is None or not scores.has(treated, reference):
        return []
    found = scores.kept(treated, reference, margin)
    controls = [
        scores.kept(c, reference, margin) for c in CONTROL_VARIANTS if scores.has(c)
    ]
    verdict = equal_with_controls(found, controls, margin)
    means = scores.mean(treated), scores.mean(reference)
    return [Evidence(*means, found.difference, scores.n, verdict)]


# From samples


def of_full(table: pd.DataFrame, chosen: Callable) -> pd.Series | None:
    """The row of the first arm's full update that is chosen; None if there is none."""
    if table.empty:
        return None
    rows = table[(table["variant"] == FULL) & chosen(table)]
    rows = rows[rows["arm"] == rows["arm"].iloc[0]] if len(rows) else rows
    together = rows[rows["run"] == ALL_RUNS]
    found = together if len(together) else rows
    return found.iloc[0] if len(found) else None


def pass_evidence(claim: Claim, row: pd.Series, sign: int) -> Evidence:
    """Evidence from a difference of pass@k to the base."""
    bounds = row["difference"], row["difference_low"], row["difference_high"]
    effect = signed(*bounds, sign)
    verdict = beyond_null(effect, claim.margin)
    base = row["value"] - row["difference"]
    return Evidence(row["value"], base, effect, row["n"], verdict, f"k = {row['k']}")
