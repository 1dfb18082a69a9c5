"""The words of the report: sentences that the intervals allow, and tables as text."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rankone.analysis.reward_overfitting import (
    ADVANTAGE,
    OVERFITTING,
    OVERFITTING_COLUMNS,
    PRIMARY,
    PROBE_COLUMNS,
    SUBSTITUTION_COLUMNS,
    TRAIN,
)
from rankone.names import (
    ALL_RUNS,
    BASE,
    FULL,
    HELD_OUT,
    KNOWLEDGE,
    MATHEMATICS,
    MEAN,
    SHIFTED,
)
from rankone.report.figures.scores import final_step
from rankone.report.style import variant_label, variant_order
from rankone.statistics.decision_rules import (
    CONTRADICTED,
    NULL_COMPATIBLE,
    SUPPORTED,
    UNDETERMINED,
)
from rankone.statistics.intervals import DEFINED, LEVEL
from rankone.tables_io import main_arm, read_table

RANK1 = "rank1"
WITHOUT_RANK1 = "without_rank1"
RANDOM_RANK1 = "random_rank1"
ARM_TABLES = {
    "probes": PROBE_COLUMNS,
    "overfitting": OVERFITTING_COLUMNS,
    "substitutions": ["arm", *SUBSTITUTION_COLUMNS, "seconds"],
}
TEXT_WIDTH = 88
NBSP = "\N{NO-BREAK SPACE}"
NUMBER_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
HEADLINE_CELLS = {
    "held-out": (MATHEMATICS, HELD_OUT),
    "shifted": (MATHEMATICS, SHIFTED),
    "knowledge": (KNOWLEDGE, MEAN),
}
Runs = tuple[Sequence[str], Sequence[str]]  # trained here, imported


@dataclass(frozen=True)
class Results:
    """Scores of the first arm, their final step, and the rewards of all arms."""

    scores: pd.DataFrame
    differences: pd.DataFrame
    recovery: pd.DataFrame
    step: int
    probes: pd.DataFrame
    overfitting: pd.DataFrame
    substitutions: pd.DataFrame


def load_results(tables_dir: str | Path, trained: bool = True) -> Results:
    """Read the tables behind the text from their folder.

    Those that training gives are empty where no run was trained.
    """
    names = ("scores", "differences", "recovery")
    tables = [read_table(Path(tables_dir) / f"{name}.tsv") for name in names]
    scores, differences, kept = map(main_arm, tables)
    rewards = [
        read_table(Path(tables_dir) / f"{name}.tsv")
        if trained
        else pd.DataFrame(columns=columns)
        for name, columns in ARM_TABLES.items()
    ]
    return Results(scores, differences, kept, final_step(scores), *rewards)


def pick(
    table: pd.DataFrame, step: int, domain: str, benchmark: str, variant: str
) -> pd.Series | None:
    """The pooled row (the base's own for the base), or None if there is none."""
    run, step = (BASE, 0) if variant == BASE else (ALL_RUNS, step)
    rows = table[
        (table["run"] == run)
        & (table["step"] == step)
        & (table["domain"] == domain)
        & (table["benchmark"] == benchmark)
        & (table["variant"] == variant)
    ]
    return None if rows.empty else rows.iloc[0]


def count(number: int, noun: str) -> str:
    """A small number in words with its noun: `two runs`."""
    word = NUMBER_WORDS[number] if number < len(NUMBER_WORDS) else f"{number:,}"
    return f"{word} {noun}{'' if number == 1 else 's'}"


def bounds(row: pd.Series, decimals: int = 0) -> str:
    """The interval in per cent or points: `[63, 73]`."""
    low, high = (_rounded(row[name], decimals) for name in ("low", "high"))
    return f"[{low},{NBSP}{high}]"


def _rounded(share: float, decimals: int = 0, sign: str = "") -> str:
    # Adding zero turns a rounded -0 into 0.
    return f"{round(100 * share, decimals) + 0.0:{sign}.{decimals}f}"


def percent(row: pd.Series | None, column: str) -> str:
    """A share with its interval in per cent; a dash if there is none."""
    if row is None or pd.isna(row[column]):
        return "–"
    return f"{_rounded(row[column])}{NBSP}% {bounds(row)}"


def points(row: pd.Series) -> str:
    """A paired difference in percentage points with its interval."""
    return change_cell(row).replace(" ", f"{NBSP}points ", 1)


def gain_sentence(results: Results) -> str:
    """What training did to held-out accuracy, as far as its interval allows."""
    at = results.step, MATHEMATICS, HELD_OUT
    gain = pick(results.differences, *at, FULL)
    full, base = (pick(results.scores, *at, name) for name in (FULL, BASE))
    if gain is None or full is None or base is None:
        return "The full update was not evaluated on held-out problems."
    setting = f"{count(gain['runs'], 'run')}, {gain['n']:,} problems"
    change = f"from {percent(base, 'score')} to {percent(full, 'score')}"
    if gain["low"] > 0:
        verb = "raised"
    elif gain["high"] < 0:
        verb = "lowered"
    else:
        return (
            f"RLVR made no detectable difference to held-out accuracy: {points(gain)}, "
            f"{change} ({setting})."
        )
    return f"RLVR {verb} held-out accuracy {change}, {points(gain)} ({setting})."


def kept_phrase(row: pd.Series) -> str:
    """How much of the gain a variant keeps, in words that its interval allows."""
    share = percent(row, "recovery")
    if row["low"] > 0:
        return f"keeps {share} of the gain"
    if row["high"] < 0:
        return f"falls below the base ({share} of the gain)"
    return f"keeps no share of the gain that can be told from zero ({share})"


def recovery_sentence(results: Results) -> str:
    """What the rank-1 part keeps, beside its controls; empty if not evaluated."""
    at = results.step, MATHEMATICS, HELD_OUT
    variants = (RANK1, WITHOUT_RANK1, RANDOM_RANK1)
    rank1, without, random = (pick(results.recovery, *at, v) for v in variants)
    if rank1 is None:
        return ""
    if rank1["status"] != DEFINED:
        return f"What a part of the update keeps is undefined: {rank1['status']}."
    parts = [f"The rank-1 part of the updates alone {kept_phrase(rank1)}"]
    if without is not None:
        parts.append(f"what is left without it {kept_phrase(without)}")
    if random is not None:
        parts.append(f"a random rank-1 update of the same norm {kept_phrase(random)}")
    return "; ".join(parts) + "." + rank1_alone_note(rank1, without)


def rank1_alone_note(rank1: pd.Series, without: pd.Series | None) -> str:
    """A sentence on what follows from both intervals, or nothing."""
    if without is None or rank1["low"] <= 0 or without["low"] <= 0:
        return ""
    return " So the gain is not in the rank-1 part alone."


def knowledge_sentence(results: Results) -> str:
    """What happened to general knowledge; empty if it was not evaluated."""
    at = results.step, KNOWLEDGE, MEAN
    row = pick(results.differences, *at, FULL)
    if row is None:
        return ""
    if row["low"] > 0:
        verdict = "General knowledge rose"
    elif row["high"] < 0:
        verdict = "General knowledge fell"
    else:
        verdict = "No change in general knowledge was detected"
    sentence = f"{verdict} with the full update: {points(row)}"
    rank1 = pick(results.differences, *at, RANK1)
    if rank1 is not None:
        sentence += f"; with its rank-1 part alone {points(rank1)}"
    return f"{sentence} ({row['n']:,} items)."


def last_estimands(results: Results) -> pd.DataFrame:
    """Estimands just after each arm's last substitution: sampled, held-out."""
    table = results.overfitting
    return table[
        (table["moment"] != "before")
        & (table["sampling"] == PRIMARY)
        & (table["test"] == "held_out")
    ]


def overfitting_sentence(results: Results) -> str:
    """The verdict on implicit reward overfitting; empty without a rank-1 arm."""
    table = last_estimands(results)
    rows = table[(table["quantity"] == OVERFITTING) & (table["role"] == "treatment")]
    parts = [
        f"{row['verdict']} for {row['arm']} ({points_of(row)}: {row['rule']})"
        for _, row in rows.iterrows()
    ]
    if not parts:
        return ""
    return f"Implicit reward overfitting is {'; '.join(parts)}."


def points_of(row: pd.Series, unit: str = f"{NBSP}points") -> str:
    """A difference of rewards in points with its interval; a dash if undefined."""
    if pd.isna(row["value"]):
        return "–"
    return f"{_rounded(row['value'], 1, '+')}{unit} {bounds(row, 1)}"


def arm_table(results: Results) -> pd.DataFrame:
    """Rewards and estimands of each arm at its last moment, as text; may be empty."""
    table = last_estimands(results)
    probes = results.probes
    probes = probes[(probes["run"] == ALL_RUNS) & (probes["sampling"] == PRIMARY)]
    seconds = results.substitutions.groupby("arm")["seconds"].mean()
    rows = []
    for arm in table["arm"].unique():
        own = table[table["arm"] == arm].set_index("quantity")
        last = probes[(probes["arm"] == arm) & (probes["moment"] != "before")]
        last = last[last["step"] == last["step"].max()].set_index("split")
        effect, took = own.loc[OVERFITTING], seconds.get(arm)
        rows.append(
            {
                "arm": arm,
                "recipe": variant_label(effect["recipe"]),
                "training": percent(last.loc[TRAIN], "reward"),
                "held-out": percent(last.loc["held_out"], "reward"),
                "overfitting": points_of(effect, ""),
                "at equal reward": points_of(own.loc[ADVANTAGE], ""),
                "verdict": "–" if pd.isna(effect["verdict"]) else effect["verdict"],
                "seconds": "–" if pd.isna(took) else f"{took:.1f}",
            }
        )
    return pd.DataFrame(rows)


VERDICT_WORDS = {
    SUPPORTED: SUPPORTED,
    CONTRADICTED: CONTRADICTED,
    NULL_COMPATIBLE: "what the null gives as well",
    UNDETERMINED: UNDETERMINED,
}


def claims_sentence(claims: pd.DataFrame) -> str:
    """How many claims got which verdict; empty if none was tested."""
    if claims.empty:
        return ""
    counts = claims["verdict"].value_counts()
    parts = [
        f"{counts[v]} {words}" for v, words in VERDICT_WORDS.items() if v in counts
    ]
    return f"Claims of the literature tested here: {', '.join(parts)}."


def claims_rows(claims: pd.DataFrame) -> pd.DataFrame:
    """The claims as text: statement, measured against null, effect, verdict and why."""
    rows = []
    for _, row in claims.iterrows():
        subject = f" ({row['subject']})" if isinstance(row["subject"], str) else ""
        rows.append(
            {
                "claim": f"{row['statement']}{subject}. {row['source']}",
                "measured": f"{row['estimator']}: {number(row['value'])}; null "
                f"({row['null']}): {number(row['null_value'])}",
                "effect": f"{number(row['effect'], '+')} [{number(row['low'])},{NBSP}"
                f"{number(row['high'])}] {row['unit']}, n = {row['n']:,}",
                "verdict": f"{row['verdict']}: {row['rule']}{power_note(row)}"
                f"{code_note(row)}",
            }
        )
    return pd.DataFrame(rows, columns=["claim", "measured", "effect", "verdict"])


def number(value: float, sign: str = "") -> str:
    """Three significant digits."""
    return f"{value:{sign}.3g}"


def power_note(row: pd.Series) -> str:
    """The power of an undetermined verdict."""
    if row["verdict"] != UNDETERMINED:
        return ""
    return f"; power {_rounded(row['power'])} % at an effect of {row['margin']:g}"


def code_note(row: pd.Series) -> str:
    """How runs were made that the present code did not make; empty if it made all."""
    code = row.get("code")
    return f"; runs {code}" if isinstance(code, str) and code else ""


def imported_sentence(runs: Runs) -> str:
    """What is not known of imported runs; empty where all were trained here."""
    trained, imported = runs
    if not imported:
        return ""
    which = ", ".join(imported) if trained else "All runs"
    verb = "was" if trained and len(imported) == 1 else "were"
    return (
        f"{which} {verb} imported: what only a training shows (its rewards, probes and "
        "interventions) is left out."
    )


def sentences(results: Results) -> list[str]:
    """The headline, most important sentence first."""
    candidates = [
        gain_sentence(results),
        recovery_sentence(results),
        knowledge_sentence(results),
        overfitting_sentence(results),
    ]
    return [sentence for sentence in candidates if sentence]


def headline_table(results: Results) -> pd.DataFrame:
    """Scores, gain kept and paired change in knowledge of each variant, as text."""
    scores, step = results.scores, results.step
    pooled = scores[(scores["run"] == ALL_RUNS) & (scores["step"] == step)]
    rows = []
    for variant in variant_order([BASE, *pooled["variant"]]):
        change = pick(results.differences, step, KNOWLEDGE, MEAN, variant)
        cells = {
            name: percent(pick(scores, step, *cell, variant), "score")
            for name, cell in HEADLINE_CELLS.items()
        }
        rows.append(
            {
                "variant": variant_label(variant),
                "held-out": cells["held-out"],
                "gain kept": kept_cell(results, variant),
                "shifted": cells["shifted"],
                "knowledge": cells["knowledge"],
                "change in points": "–" if change is None else change_cell(change),
            }
        )
    return pd.DataFrame(rows)


def change_cell(row: pd.Series) -> str:
    """A paired difference in percentage points without its unit."""
    return f"{_rounded(row['difference'], 1, '+')} {bounds(row, 1)}"


def kept_cell(results: Results, variant: str) -> str:
    """Recovery on held-out problems; 0 and 100 % by definition for base and full."""
    row = pick(results.recovery, results.step, MATHEMATICS, HELD_OUT, variant)
    if row is not None:
        return percent(row, "recovery") if row["status"] == DEFINED else "undefined"
    gain = pick(results.differences, results.step, MATHEMATICS, HELD_OUT, FULL)
    if variant in (BASE, FULL) and gain is not None and gain["low"] > 0:
        return f"{0 if variant == BASE else 100}{NBSP}%"
    return "–"


def headline(tables_dir: str | Path, runs: Runs) -> str:
    """The headline and its table as plain text for a terminal.

    `runs` are those trained here and those imported.
    """
    results = load_results(tables_dir, bool(runs[0]))
    table = headline_table(results)
    widths = [max(len(c), *table[c].str.len()) for c in table.columns]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        for row in [tuple(table.columns), *table.itertuples(index=False)]
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    texts = [*sentences(results), *filter(None, [imported_sentence(runs)])]
    prose = [textwrap.fill(text, TEXT_WIDTH) for text in texts]
    note = (
        f"Step {results.step}. Brackets: {100 * LEVEL:.0f} % intervals. Last column: "
        "knowledge, paired with the base."
    )
    body = "\n".join(line.rstrip() for line in lines)
    return "\n\n".join([*prose, body, note]).replace(NBSP, " ") + "\n"


def benchmark_table(results: Results) -> pd.DataFrame:
    """Benchmarks with their domain, number of items, and base and final accuracy."""
    base = results.scores[
        (results.scores["run"] == BASE) & (results.scores["benchmark"] != MEAN)
    ]
    rows = []
    for row in base.sort_values(["domain", "benchmark"], ascending=[False, True]).iloc:
        at = results.step, row["domain"], row["benchmark"], FULL
        change = pick(results.differences, *at)
        rows.append(
            {
                "benchmark": row["benchmark"],
                "domain": row["domain"],
                "items": f"{row['n']:,}",
                "base": percent(row, "score"),
                "full update": percent(pick(results.scores, *at), "score"),
                "paired change": "–" if change is None else points(change),
            }
        )
    return pd.DataFrame(rows)


def sample_sizes(results: Results) -> str:
    """The numbers of runs and items behind the figures, in words."""
    parts = []
    for name, cell in HEADLINE_CELLS.items():
        row = pick(results.scores, results.step, *cell, FULL)
        if row is not None:
            parts.append(f"{row['n']:,} {name} items")
            runs = count(row["runs"], "run")
    return f"Sample: {runs}; {', '.join(parts)}." if parts else ""
