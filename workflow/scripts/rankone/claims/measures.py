"""The claims of the papers, each with an estimate, its null, an interval and a verdict.

A claim is left out where the study has not measured it, and where its test is not
calibrated: see calibration.py. What counts is the first arm with all its runs, at the
last exported step. Rules and thresholds are in verdicts.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import pandas as pd

from rankone.analysis.scores import cells
from rankone.names import ALL_RUNS, BASE, FULL, MEAN, arm_of
from rankone.statistics import decision_rules
from rankone.statistics.decision_rules import ControlContrast, EquivalenceTest, Verdict
from rankone.statistics.equivalence import equivalence
from rankone.statistics.intervals import Estimate, Sample, paired_difference

PRS, ALPHARL, RELEX = "arXiv 2605.06523", "arXiv 2510.00553", "arXiv 2605.21468"
LINEARITY, LIMIT, PATH = "arXiv 2601.04537", "arXiv 2504.13837", "arXiv 2511.08567"
CONTROL_VARIANTS = ("without_rank1", "shrunk", "random_rank1")
HELD_OUT_CELL = ("mathematics", "problems_held_out")
KNOWLEDGE_CELL = ("knowledge", MEAN)
COLUMNS = [
    *("claim", "source", "statement", "estimator", "null", "subject"),
    *("value", "null_value", "effect", "low", "high", "n", "unit"),
    *("margin", "power", "verdict", "rule"),
    *("false_positives", "false_positives_low", "false_positives_high", "rules"),
]
Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Evidence:
    """What a study says of a claim.

    `effect` is signed so that above zero speaks for the claim; `value` and `null_value`
    are what it comes from, in their own unit. `subject` tells several of one claim
    apart, such as the arms with an intervention.
    """

    value: float
    null_value: float
    effect: Estimate
    n: int
    verdict: Verdict
    subject: str = ""


@dataclass(frozen=True)
class Claim:
    """A statement, where it comes from, how it is measured, and what could fake it."""

    name: str
    source: str
    statement: str
    estimator: str
    null: str
    unit: str
    measure: Callable[[Tables], list[Evidence]]

    @property
    def margin(self) -> float:
        """The smallest effect of interest."""
        return decision_rules.MARGINS[self.name]


# From layers


def over_layers(
    name: str,
    tables: Tables,
    *,
    table: str,
    where: Mapping[str, str],
    sign: int,
    relative: bool = False,
) -> list[Evidence]:
    """Evidence from a row of means over layers: sign times value minus null.

    `relative` divides by the null's value.
    """
    row = pooled(tables.get(table), where)
    if row is None:
        return []
    scale = sign / row["null_value"] if relative else sign
    effect = signed(row["difference"], row["low"], row["high"], scale)
    verdict = layered(
        row, decision_rules.beyond_null(effect, decision_rules.MARGINS[name])
    )
    found = row["value"], row["null_value"], effect, int(row["n"]), verdict
    return [Evidence(*found)]


def layered(row: pd.Series, verdict: Verdict) -> Verdict:
    """The verdict, unless there are too few layers for one."""
    if row["layers"] >= decision_rules.MIN_LAYERS:
        return verdict
    rule = f"{row['layers']:.0f} layers are too few, {decision_rules.MIN_LAYERS} needed"
    return Verdict(decision_rules.UNDETERMINED, rule)


def pooled(table: pd.DataFrame | None, where: Mapping[str, str]) -> pd.Series | None:
    """The row of all runs of the first arm with these values; None if there is none."""
    if table is None or table.empty:
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


def left_aligns(name: str, tables: Tables, *, kind: str) -> list[Evidence]:
    """Whether left vectors of square matrices align more than right ones."""
    table = tables.get("alignment_contrast")
    rows = [] if table is None else table.dropna(subset="z")
    if len(rows):
        rows = rows[(rows["kind"] == kind) & (rows["shape"] == "square")]
    if not len(rows):
        return []
    row = rows.iloc[0]
    effect = Estimate(row["z"], row["z_low"], row["z_high"])
    verdict = decision_rules.beyond_null(effect, decision_rules.MARGINS[name])
    return [Evidence(row["delta"], 0.0, effect, int(row["n"]), verdict)]


def beyond_walk(name: str, tables: Tables, *, statistic: str) -> list[Evidence]:
    """Whether a statistic of trajectories is above that of plain walks and of momentum.

    The effect is the distance from the range between these two nulls, zero within it.
    """
    row = pooled(tables.get("trajectory"), {"statistic": statistic})
    if row is None or pd.isna(row["value"]):
        return []
    nulls = sorted((row["null"], row["momentum"]))
    bounds = (beyond_range(row[end], *nulls) for end in ("value", "low", "high"))
    effect = Estimate(*bounds)
    verdict = layered(
        row, decision_rules.beyond_null(effect, decision_rules.MARGINS[name])
    )
    nearest = row["value"] - effect.value
    return [Evidence(row["value"], nearest, effect, int(row["n"]), verdict)]


def beyond_range(value: float, low: float, high: float) -> float:
    """How far a value is above or below a range; zero within it."""
    return float(value - min(max(value, low), high))


def predicts(tables: Tables) -> list[Evidence]:
    """Whether a line through the first coefficients predicts the later ones."""
    row = pooled(tables.get("trajectory"), {"statistic": "extrapolation_r2"})
    if row is None or pd.isna(row["value"]):
        return []
    effect = Estimate(row["value"], row["low"], row["high"])
    margin = decision_rules.MARGINS["coefficient_predicts"]
    verdict = layered(row, decision_rules.beyond_null(effect, margin))
    return [Evidence(row["value"], 0.0, effect, int(row["n"]), verdict)]


# From benchmark items


@dataclass(frozen=True)
class Scores:
    """Resampled scores of one benchmark for the base and all variants."""

    sample: Sample
    variants: list[str]
    n: int

    def has(self, *names: str) -> bool:
        """Whether all of these were evaluated."""
        return set(names) <= set(self.variants)

    def mean(self, name: str) -> float:
        """Mean score of a variant."""
        return float(self.sample.observed[self.variants.index(name)])

    def difference(self, name: str, reference: str) -> Estimate:
        """Paired difference with its 95 % interval."""
        places = map(self.variants.index, (name, reference))
        return paired_difference(self.sample, *places)

    def kept(self, name: str, reference: str, margin: float) -> EquivalenceTest:
        """Paired difference with both intervals."""
        places = map(self.variants.index, (name, reference))
        found = equivalence(self.sample, *places, margin)
        return EquivalenceTest(name, found.difference, found.estimate)


def last_scores(
    items: pd.DataFrame, arm: str, seed: int, draws: int
) -> dict[tuple[str, str], Scores]:
    """The scores of all runs of an arm at its last step, by domain and benchmark."""
    of_arm = items["run"].map(arm_of) == arm
    last = items.loc[of_arm, "step"].max()
    own = items[(items["variant"] == BASE) | (of_arm & (items["step"] == last))]
    return {
        (cell.key["domain"], cell.key["benchmark"]): Scores(
            cell.sample(seed, draws), cell.variants, cell.key["n"]
        )
        for cell in cells(own)
        if cell.key["run"] == ALL_RUNS
    }


def carries_the_gain(tables: Tables) -> list[Evidence]:
    """Whether rank 1 raises held-out accuracy, and more than every control."""
    scores = tables.get("last_scores", {}).get(HELD_OUT_CELL)
    if scores is None or not scores.has("rank1"):
        return []
    effect = scores.difference("rank1", BASE)
    controls = [
        ControlContrast(
            name, scores.difference(name, BASE), scores.difference("rank1", name)
        )
        for name in CONTROL_VARIANTS
        if scores.has(name)
    ]
    verdict = decision_rules.with_controls(effect, controls)
    return [
        Evidence(scores.mean("rank1"), scores.mean(BASE), effect, scores.n, verdict)
    ]


def keeps(
    name: str, tables: Tables, *, place: tuple[str, str], treated: str, reference: str
) -> list[Evidence]:
    """Whether a variant scores like the reference, and its controls do not."""
    scores, margin = (
        tables.get("last_scores", {}).get(place),
        decision_rules.MARGINS[name],
    )
    if scores is None or not scores.has(treated, reference):
        return []
    found = scores.kept(treated, reference, margin)
    controls = [
        scores.kept(c, reference, margin) for c in CONTROL_VARIANTS if scores.has(c)
    ]
    verdict = decision_rules.equal_with_controls(found, controls, margin)
    means = scores.mean(treated), scores.mean(reference)
    return [Evidence(*means, found.difference, scores.n, verdict)]


def implicit_overfitting(tables: Tables) -> list[Evidence]:
    """The verdicts on the arms with a substitution, just after the last one."""
    table = tables.get("overfitting")
    if table is None or table.empty:
        return []
    rows = table[
        (table["quantity"] == "overfitting")
        & (table["role"] == "treatment")
        & (table["moment"] != "before")
        & (table["sampling"] == "sampled")
        & (table["test"] == "held_out")
    ]
    return [
        Evidence(
            *(row["value"], 0.0, Estimate(row["value"], row["low"], row["high"])),
            *(row["n"], Verdict(row["verdict"], row["rule"]), row["arm"]),
        )
        for _, row in rows.iterrows()
    ]


# From samples


def pass_rises(tables: Tables) -> list[Evidence]:
    """Whether one answer of the trained model is right more often than the base's."""
    row = of_full(tables.get("pass_at_k"), lambda table: table["k"] == 1)
    return [] if row is None else [pass_evidence("pass_at_1_rises", row, 1)]


def base_overtakes(tables: Tables) -> list[Evidence]:
    """Whether the base solves more than the trained model in the most answers."""
    row = of_full(tables.get("pass_at_k"), lambda table: table["k"] == table["k"].max())
    if row is None or row["k"] == 1:
        return []
    return [pass_evidence("base_overtakes", row, -1)]


def of_full(table: pd.DataFrame | None, chosen: Callable) -> pd.Series | None:
    """The row of the first arm's full update that is chosen; None if there is none."""
    if table is None or table.empty:
        return None
    rows = table[(table["variant"] == FULL) & chosen(table)]
    rows = rows[rows["arm"] == rows["arm"].iloc[0]] if len(rows) else rows
    together = rows[rows["run"] == ALL_RUNS]
    found = together if len(together) else rows
    return found.iloc[0] if len(found) else None


def pass_evidence(name: str, row: pd.Series, sign: int) -> Evidence:
    """Evidence from a difference of pass@k to the base."""
    bounds = row["difference"], row["difference_low"], row["difference_high"]
    effect = signed(*bounds, sign)
    verdict = decision_rules.beyond_null(effect, decision_rules.MARGINS[name])
    base = row["value"] - row["difference"]
    return Evidence(row["value"], base, effect, row["n"], verdict, f"k = {row['k']}")


def likely_under_base(tables: Tables) -> list[Evidence]:
    """Whether the base finds the trained model's answers likelier than its own."""
    row = of_full(tables.get("perplexity"), lambda table: table["nll"].notna())
    if row is None:
        return []
    bounds = row["difference"], row["difference_low"], row["difference_high"]
    effect = signed(*bounds, -1)
    margin = decision_rules.MARGINS["answers_likely_under_base"]
    verdict = decision_rules.beyond_null(effect, margin)
    return [Evidence(row["nll"], row["base_nll"], effect, row["n"], verdict)]


def forgets_less(tables: Tables) -> list[Evidence]:
    """Whether rank 1 forgets less than the other variants' curve says at its KL."""
    table = tables.get("forgetting")
    rows = [] if table is None else table[table["variant"] == "rank1"]
    if not len(rows):
        return []
    row = rows.iloc[0]
    effect = signed(row["excess"], row["excess_low"], row["excess_high"], -1)
    margin = decision_rules.MARGINS["rank1_forgets_less_at_equal_kl"]
    verdict = decision_rules.beyond_null(effect, margin)
    others = row["forgetting"] - row["excess"]
    return [Evidence(row["forgetting"], others, effect, row["n"], verdict)]


# The table


def claims_table(tables: Tables, calibration: pd.DataFrame, rules: str) -> pd.DataFrame:
    """One row (COLUMNS) a claim and subject that the study measured.

    `calibration` has rows of calibration.rates(). A claim that is not in it under the
    hash `rules`, or whose rate of false verdicts is above verdicts.FALSE_POSITIVES with
    its interval, is left out.
    """
    calibrated = worst_rates(calibration[calibration["rules"] == rules])
    calibrated = calibrated[calibrated["low"] <= decision_rules.FALSE_POSITIVES]
    rows = [
        row(claim, evidence, calibrated.loc[claim.name]) | {"rules": rules}
        for claim in CLAIMS
        if claim.name in calibrated.index
        for evidence in claim.measure(tables)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def worst_rates(calibration: pd.DataFrame) -> pd.DataFrame:
    """Of each claim the scenario with the most false verdicts, by claim."""
    false = calibration[calibration["strength"] == 0].reset_index()
    worst = false.loc[false.groupby("claim")["rate"].idxmax()]
    return worst.set_index("claim")


def row(claim: Claim, evidence: Evidence, calibrated: pd.Series) -> dict:
    """One row of the claims table."""
    texts = ("source", "statement", "estimator", "null", "unit", "margin")
    found = {"claim": claim.name} | {text: getattr(claim, text) for text in texts}
    effect = evidence.effect
    found |= {"subject": evidence.subject, "value": evidence.value}
    found |= {"null_value": evidence.null_value, "effect": effect.value}
    found |= {"low": effect.low, "high": effect.high, "n": evidence.n}
    found |= {"power": decision_rules.power(effect, claim.margin)}
    found |= {"verdict": evidence.verdict.word, "rule": evidence.verdict.rule}
    found["false_positives"] = calibrated["rate"]
    found["false_positives_low"] = calibrated["low"]
    found["false_positives_high"] = calibrated["high"]
    return found


TAIL = {"statistic": "hill_alpha"}
TAILS_UNIT = "exponent of the density of eigenvalues"
WALKS = "random walks, with and without Adam's momentum"
CLAIMS = [
    Claim(
        "implicit_overfitting",
        PRS,
        "Periodic Rank-1 Substitution gives up reward on training problems alone",
        "reward lost against `full` on training problems minus that on held-out ones",
        "arms that shrink the update, replace it by a random one, or remove rank 1",
        "share of answers",
        implicit_overfitting,
    ),
    Claim(
        "rank1_carries_the_gain",
        PRS,
        "The rank-1 component carries the gain in mathematics",
        "held-out accuracy of rank 1 minus the base's",
        "the same norm in the whole update, without rank 1, in a random direction",
        "share of items",
        carries_the_gain,
    ),
    Claim(
        "rank1_rescaled_keeps_all",
        ALPHARL,
        "Rank 1, rescaled, recovers the trained model's accuracy",
        "held-out accuracy of rank 1, rescaled, minus that of the full update",
        "controls that recover it as well",
        "share of items",
        partial(
            *(keeps, "rank1_rescaled_keeps_all"),
            place=HELD_OUT_CELL,
            treated="rank1_rescaled",
            reference=FULL,
        ),
    ),
    Claim(
        "rank1_spares_knowledge",
        PRS,
        "The rank-1 component holds no other knowledge: it leaves it as it was",
        "mean knowledge score of rank 1 minus the base's",
        "controls that leave it as it was, too",
        "share of items",
        partial(
            *(keeps, "rank1_spares_knowledge"),
            place=KNOWLEDGE_CELL,
            treated="rank1",
            reference=BASE,
        ),
    ),
    Claim(
        "weights_heavy_tailed",
        PRS,
        "Singular values of trained weights are heavy-tailed",
        "Hill exponent of W_t (largest tenth of the eigenvalues), mean over matrices",
        "Gaussian noise with the same scales of rows and columns",
        TAILS_UNIT,
        partial(
            *(over_layers, "weights_heavy_tailed"),
            table="tails",
            where=TAIL | {"object": "trained", "null": "scale_matched"},
            sign=-1,
        ),
    ),
    Claim(
        "training_makes_tails",
        PRS,
        "RLVR makes the spectra of weights heavier-tailed",
        "Hill exponent of W_t, mean over matrices",
        "the base plus Gaussian noise with the norm of the update",
        TAILS_UNIT,
        partial(
            *(over_layers, "training_makes_tails"),
            table="tails",
            where=TAIL | {"object": "trained", "null": "perturbed"},
            sign=-1,
        ),
    ),
    Claim(
        "updates_heavy_tailed",
        PRS,
        "Singular values of the updates are heavy-tailed",
        "Hill exponent of W_t - W_0 (largest tenth), mean over matrices",
        "Gaussian noise with the same scales of rows and columns",
        TAILS_UNIT,
        partial(
            *(over_layers, "updates_heavy_tailed"),
            table="tails",
            where=TAIL | {"object": "update", "null": "scale_matched"},
            sign=-1,
        ),
    ),
    Claim(
        "rank1_energy_beyond_noise",
        ALPHARL,
        "The first direction stands out of the update",
        "share of the update's energy in its first triplet, mean over matrices",
        "Gaussian noise with the same scales of rows and columns",
        "share of the energy",
        partial(
            *(over_layers, "rank1_energy_beyond_noise"),
            table="tails",
            where={
                "statistic": "top_1_energy",
                "object": "update",
                "null": "scale_matched",
            },
            sign=1,
        ),
    ),
    Claim(
        "spectrum_preserved",
        PATH,
        "RLVR keeps the base's singular values",
        "drift of the singular values, mean over matrices",
        "Gaussian noise with the norm of the update",
        "share of the null",
        partial(
            *(over_layers, "spectrum_preserved"),
            table="anatomy",
            where={"statistic": "spectrum_drift", "null": "chance", "view": "float32"},
            sign=-1,
            relative=True,
        ),
    ),
    Claim(
        "off_principal",
        PATH,
        "Updates avoid the base's principal directions",
        "energy of the update in the base's leading subspaces on both sides",
        "the same update with random signs",
        "share of the null",
        partial(
            *(over_layers, "off_principal"),
            table="anatomy",
            where={"statistic": "principal_share", "null": "signs", "view": "float32"},
            sign=-1,
            relative=True,
        ),
    ),
    Claim(
        "low_magnitude_weights_change",
        PATH,
        "Small weights are the ones that change",
        "share of changed entries among the smaller half of the base's, bfloat16",
        "changes that depend only on how far an entry is from the next bfloat16 number",
        "share of entries",
        partial(
            *(over_layers, "low_magnitude_weights_change"),
            table="anatomy",
            where={
                "statistic": "low_magnitude_overlap",
                "null": "margin",
                "view": "bfloat16",
            },
            sign=1,
        ),
    ),
    Claim(
        "sparse_beyond_rounding",
        PATH,
        "Updates are sparse",
        "share of entries that are the same in bfloat16",
        "Gaussian noise with the norm of the update, rounded alike",
        "share of entries",
        partial(
            *(over_layers, "sparse_beyond_rounding"),
            table="anatomy",
            where={"statistic": "sparsity", "null": "chance", "view": "bfloat16"},
            sign=1,
        ),
    ),
    Claim(
        "striped",
        PATH,
        "Changes lie in stripes",
        "variance of the shares of changed entries over rows, over that of chance",
        "changes that depend only on how far an entry is from the next bfloat16 number",
        "index, 1 by chance",
        partial(
            *(over_layers, "striped"),
            table="anatomy",
            where={
                "statistic": "row_stripes_given_margin",
                "null": "chance",
                "view": "bfloat16",
            },
            sign=1,
        ),
    ),
    Claim(
        "same_subnetwork",
        PATH,
        "Runs with other seeds change the same entries",
        "Jaccard index of the changed entries of two runs, bfloat16",
        "changes that depend only on how far an entry is from the next bfloat16 number",
        "Jaccard index",
        partial(
            *(over_layers, "same_subnetwork"),
            table="overlap",
            where={"statistic": "jaccard", "null": "margin", "view": "bfloat16"},
            sign=1,
        ),
    ),
    Claim(
        "pass_at_1_rises",
        LIMIT,
        "RLVR makes sampling more efficient",
        "pass@1 of the full update minus the base's, paired by problem",
        "no difference",
        "share of problems",
        pass_rises,
    ),
    Claim(
        "base_overtakes",
        LIMIT,
        "With many answers the base solves more than the trained model",
        "pass@k of the base minus that of the full update at the largest k",
        "no difference",
        "share of problems",
        base_overtakes,
    ),
    Claim(
        "answers_likely_under_base",
        LIMIT,
        "The trained model's answers are ones that the base finds likely",
        "negative log-probability of its answers under the base, per token",
        "that of the base's own answers to the same problems",
        "nats per token",
        likely_under_base,
    ),
    Claim(
        "rank1_forgets_less_at_equal_kl",
        PRS,
        "Rank 1 forgets less than other changes that move the policy as far",
        "mean knowledge score that rank 1 loses against the base",
        "what the other variants lose at the same KL from the base (their curve)",
        "share of items",
        forgets_less,
    ),
    *(
        Claim(
            f"left_aligns_more_{kind}",
            PRS,
            f"Left singular vectors of rank 1 align more than right ones, {words}",
            "|cos| of the left minus of the right vectors, square matrices",
            "random walks of the same shape, momentum, drift and first triplet",
            "standard deviations of the null",
            partial(left_aligns, f"left_aligns_more_{kind}", kind=kind),
        )
        for kind, words in (
            ("adjacent", "from step to step"),
            ("to_final", "to the last step"),
            ("across_seeds", "between seeds"),
        )
    ),
    Claim(
        "trajectory_beyond_walk",
        RELEX,
        "The trajectory of a matrix has rank 1",
        "share of the first component in the energy of the updates over time",
        WALKS,
        "share of the energy",
        partial(
            *(beyond_walk, "trajectory_beyond_walk"),
            statistic="first_component_share",
        ),
    ),
    Claim(
        "coefficient_linear_beyond_walk",
        RELEX,
        "The first coefficient grows linearly",
        "R^2 of the coefficient of the first component on the step",
        WALKS,
        "R^2",
        partial(
            *(beyond_walk, "coefficient_linear_beyond_walk"), statistic="linearity_r2"
        ),
    ),
    Claim(
        "coefficient_predicts",
        RELEX,
        "A line through early steps predicts the later ones",
        "out-of-sample R^2 of the first coefficient, line from the first half",
        "the mean of the later coefficients",
        "R^2",
        predicts,
    ),
    Claim(
        "weights_linear_beyond_walk",
        LINEARITY,
        "Most weights move linearly",
        "share of weights with R^2 above 0.7 on the step",
        WALKS,
        "share of weights",
        partial(*(beyond_walk, "weights_linear_beyond_walk"), statistic="linear_share"),
    ),
]
