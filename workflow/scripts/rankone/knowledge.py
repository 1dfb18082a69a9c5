"""Knowledge that a variant keeps: equivalence, benefit and damage, forgetting and KL.

"Does not maintain other knowledge" (arXiv 2605.06523) can mean no change or damage, so
that a difference test and an equivalence test are reported together.

Sources: Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987) 657 (two one-sided tests);
Lakens, Soc. Psychol. Personal. Sci. 8 (2017) 355 (difference and equivalence together);
RL's Razor, arXiv 2509.04259 (forgetting follows the forward KL on the new task).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.stats import norm

from rankone.errors import UserError
from rankone.sampling import mcnemar
from rankone.statistics import (
    DRAWS,
    Estimate,
    Sample,
    Z,
    paired_difference,
    percentile,
    resample,
    wilson,
)

RETAINED = "retained"
DAMAGED = "damaged"
IMPROVED = "improved"
UNDETERMINED = "undetermined"

# Two one-sided tests at 5 % are a two-sided interval at 90 %.
ONE_SIDED = 0.05
BAND_POINTS = 101
LEAST_VARIANTS = 3
RESIDUAL_COLUMNS = [
    *("variant", "kl", "forgetting", "low", "high", "fitted", "leverage"),
    *("residual", "residual_low", "residual_high"),
    *("excess", "excess_low", "excess_high", "extrapolated"),
]


@dataclass(frozen=True)
class Equivalence:
    """A difference of scores against a margin.

    `estimate` has the 90 % interval of two one-sided tests at 5 %, `difference` the
    same value with the 95 % interval of the difference test.
    """

    estimate: Estimate
    difference: Estimate
    margin: float
    verdict: str
    rule: str


def equivalence(
    sample: Sample, variant: int, reference: int, margin: float
) -> Equivalence:
    """Whether a variant keeps the reference's score, within `margin` (share of 1).

    `retained` if the 90 % interval of the difference lies within the margin, also where
    the difference is clearly not zero (the rule says so). Otherwise `damaged` if the 95
    % interval is below zero or the 90 % interval below the margin, `improved` the other
    way round, else `undetermined`. Raises UserError for a margin not above zero.
    """
    if not 0 < margin <= 1:
        raise UserError(
            f"The margin of equivalence is {margin}; expected above 0 and at most 1."
        )
    difference = paired_difference(sample, variant, reference)
    estimate = _one_sided(sample, variant, reference)
    verdict, rule = _verdict(estimate, difference, margin)
    return Equivalence(estimate, difference, margin, verdict, rule)


def _one_sided(sample: Sample, variant: int, reference: int) -> Estimate:
    """paired_difference() with the interval of two one-sided tests."""
    value = float(sample.observed[variant] - sample.observed[reference])
    draws = sample.draws[:, variant] - sample.draws[:, reference]
    low, high = np.quantile(draws, [ONE_SIDED, 1 - ONE_SIDED])
    floor = sample.floor * norm.ppf(1 - ONE_SIDED) / Z
    return Estimate(
        value, float(min(low, value - floor)), float(max(high, value + floor))
    )


def _verdict(
    estimate: Estimate, difference: Estimate, margin: float
) -> tuple[str, str]:
    """Verdict and rule from the intervals at 90 % and at 95 %."""
    if -margin < estimate.low and estimate.high < margin:
        rule = f"the 90 % interval is within {margin:g} of zero"
        if not difference.includes_zero:
            side = "below" if difference.high < 0 else "above"
            rule += f", though the 95 % interval is {side} zero"
        return RETAINED, rule
    if difference.high < 0:
        return DAMAGED, "the 95 % interval is below zero"
    if estimate.high < -margin:
        return DAMAGED, f"the 90 % interval is below -{margin:g}"
    if difference.low > 0:
        return IMPROVED, "the 95 % interval is above zero"
    if estimate.low > margin:
        return IMPROVED, f"the 90 % interval is above {margin:g}"
    return UNDETERMINED, "the 95 % interval includes zero and the 90 % one is too wide"


@dataclass(frozen=True)
class Change:
    """Shares of items that a variant gained and lost, and whether they differ.

    `p` is McNemar's exact p, `n` the number of items.
    """

    gained: Estimate
    lost: Estimate
    p: float
    n: int


def benefit_and_damage(base_scores: ArrayLike, variant_scores: ArrayLike) -> Change:
    """Items whose score rose and fell; a difference of means can hide both.

    Scores (items,) in [0, 1], paired. Wilson intervals. With scores that are not only 0
    or 1 `p` is that of the exact sign test. Samples at random temperature gain and lose
    items without any change of the model; greedy answers do not.
    """
    base, variant = np.asarray(base_scores), np.asarray(variant_scores)
    if base.ndim != 1 or base.shape != variant.shape or not base.size:
        raise ValueError(f"scores: shapes {base.shape} and {variant.shape}, not paired")
    gained, lost = int((variant > base).sum()), int((variant < base).sum())
    n = len(base)
    shares = wilson(gained / n, n), wilson(lost / n, n)
    return Change(*shares, mcnemar(gained, lost), n)


@torch.no_grad()
def token_kl(base_logits: torch.Tensor, model_logits: torch.Tensor) -> torch.Tensor:
    """Forward KL(base || model) of the next token at every position, in nats.

    Logits [..., T, V] of the same shape; the result is float32 [..., T], exact over the
    vocabulary, never negative. Give logits in float32: rounding logits with a standard
    deviation of 4 to bfloat16 alone makes a KL of 3e-4 per token.

    With d = log q - log p it sums p (exp(d) - 1 - d), which equals the usual -p d
    because p and q sum to one. Its terms are of second order in d and not negative, so
    that rounding of the normalisers, of first order in the usual sum, does not matter.
    """
    if base_logits.shape != model_logits.shape:
        raise ValueError(
            f"logits: shapes {tuple(base_logits.shape)} and "
            f"{tuple(model_logits.shape)}, expected the same"
        )
    log_p = torch.log_softmax(base_logits.float(), dim=-1)
    log_q = torch.log_softmax(model_logits.float(), dim=-1)
    p, d = log_p.exp(), log_q - log_p
    # Where q is much larger than p, exp(d) can overflow while q and p do not.
    large = log_q.exp() - p - p * d
    terms = torch.where(d > 1, large, p * (torch.expm1(d) - d))
    # What the base never does costs nothing but the model's mass there.
    return torch.where(p > 0, terms, log_q.exp()).sum(dim=-1)


def sequence_kl(
    base_logits: torch.Tensor, model_logits: torch.Tensor, answer: torch.Tensor
) -> torch.Tensor:
    """Forward KL of whole answers, summed over their tokens: [B], in nats.

    Logits [B, T, V] are those that predict the tokens; `answer` [B, T] is True where
    the predicted token belongs to the answer (its end token included, prompt and
    padding not). Both models read the same tokens, sampled by the base at temperature 1
    without top-k or top-p: then the mean over answers is E[log base - log model] (arXiv
    2509.04259), with less noise than the sampled tokens' log-probabilities alone.
    """
    if answer.shape != base_logits.shape[:-1]:
        raise ValueError(
            f"answer: shape {tuple(answer.shape)}, expected "
            f"{tuple(base_logits.shape[:-1])}"
        )
    # Not a product: a position outside may be infinite.
    kl = token_kl(base_logits, model_logits)
    return torch.where(answer.bool(), kl, torch.zeros_like(kl)).sum(dim=-1)


def mean_kl(
    values: ArrayLike,
    rng: np.random.Generator,
    draws: int = DRAWS,
    prompts: Sequence[Hashable] | None = None,
) -> Estimate:
    """Mean KL over sequences (N,) with its bootstrap interval.

    With `prompts`, the prompt of each sequence, the mean is over prompts of their means
    and prompts are resampled: answers to one prompt are not independent. With few
    sequences and a long upper tail the interval's upper bound is too low.
    """
    table = pd.Series(np.asarray(values, dtype=np.float64))
    if table.empty or not np.isfinite(table).all():
        raise ValueError("KL of sequences: expected one or more finite values")
    if prompts is not None:
        table = table.groupby(np.asarray(prompts)).mean()
    observed, drawn = resample([table.to_numpy()[None, None]], rng, draws)
    return percentile(observed[0, 0], drawn[0, :, 0])


@dataclass(frozen=True)
class Points:
    """Forgetting of V variants: base score minus theirs, and their KL in nats.

    `kl` and `forgetting` are (V,), `draws` (draws, V) forgettings on resampled items,
    `floor` the least half-width of an interval of one of them.
    """

    variants: list[str]
    kl: np.ndarray
    forgetting: np.ndarray
    draws: np.ndarray
    floor: float

    def combine(self, weights: np.ndarray) -> Estimate:
        """A weighted sum (V,) of the forgettings."""
        floor = self.floor * float(np.linalg.norm(weights))
        return percentile(weights @ self.forgetting, self.draws @ weights, floor)


@dataclass(frozen=True)
class ForgettingCurve:
    """forgetting = linear * KL + quadratic * KL^2, and how far variants are from it.

    `band` has kl, value, low and high; `residuals` one row per variant
    (RESIDUAL_COLUMNS). `r2_out` is the R2 of every variant predicted from the others.
    """

    linear: Estimate
    quadratic: Estimate
    band: pd.DataFrame
    residuals: pd.DataFrame
    r2: float
    r2_out: float


def forgetting_points(
    sample: Sample, variants: Sequence[str], kl: ArrayLike, reference: int = 0
) -> Points:
    """Forgetting of all variants of a sample but the reference, the base.

    `variants` and `kl` name all V of them, the reference included.
    """
    kl = np.asarray(kl, dtype=np.float64)
    if not len(variants) == len(kl) == len(sample.observed):
        raise ValueError("variants, kl and sample: expected the same number of each")
    others = [index for index in range(len(kl)) if index != reference]
    return Points(
        [variants[index] for index in others],
        kl[others],
        sample.observed[reference] - sample.observed[others],
        sample.draws[:, [reference]] - sample.draws[:, others],
        sample.floor,
    )


def forgetting_curve(points: Points) -> ForgettingCurve:
    """Quadratic least-squares fit through the origin: no KL, no forgetting.

    `residual` is a variant's forgetting minus the curve; `excess` is the same with the
    curve of the other variants, which answers whether it forgets less at equal KL
    (below zero with its interval). It says little where `extrapolated`, that is where
    no other variant has at least its KL. All intervals are over items, and paired: they
    leave out the error of the KL and the scatter of variants around any curve, so that
    with very many items every variant departs from it.

    Raises UserError unless three variants differ in a KL above zero.
    """
    kl = points.kl
    distinct = np.unique(kl[kl > 0])
    if (
        not (np.isfinite(kl).all() and (kl >= 0).all())
        or len(distinct) < LEAST_VARIANTS
    ):
        raise UserError(
            f"Forgetting against KL needs {LEAST_VARIANTS} variants with different "
            f"finite KL above zero; found {len(distinct)} in {kl.tolist()}."
        )
    scale = kl.max()
    design = np.stack([kl / scale, (kl / scale) ** 2], axis=1)
    solve = np.linalg.pinv(design)
    linear, quadratic = solve / np.array([[scale], [scale**2]])
    residuals = _residuals(points, design @ solve)
    return ForgettingCurve(
        points.combine(linear),
        points.combine(quadratic),
        _band(points, solve),
        residuals,
        _r2(residuals["residual"], points.forgetting),
        _r2(residuals["excess"], points.forgetting),
    )


def _band(points: Points, solve: np.ndarray) -> pd.DataFrame:
    """The curve from zero to the largest KL; `solve` is the design's inverse (2, V)."""
    share = np.linspace(0, 1, BAND_POINTS)
    fitted = np.stack([share, share**2], axis=1) @ solve
    found = [points.combine(weights) for weights in fitted]
    table = pd.DataFrame(found, columns=["value", "low", "high"])
    table.insert(0, "kl", share * points.kl.max())
    return table


def _residuals(points: Points, hat: np.ndarray) -> pd.DataFrame:
    """One row per variant; `hat` (V, V) maps forgettings to fitted ones."""
    rows = []
    for index, weights in enumerate(np.eye(len(hat)) - hat):
        own, leverage = np.eye(len(hat))[index], hat[index, index]
        row = {"variant": points.variants[index], "kl": points.kl[index]}
        row |= _columns(points.combine(own), "forgetting", "low", "high")
        row |= {"fitted": hat[index] @ points.forgetting, "leverage": leverage}
        for name, scale in (("residual", 1.0), ("excess", 1 / (1 - leverage))):
            found = points.combine(scale * weights)
            row |= _columns(found, name, f"{name}_low", f"{name}_high")
        others = np.delete(points.kl, index)
        rows.append(row | {"extrapolated": bool(points.kl[index] > others.max())})
    return pd.DataFrame(rows, columns=RESIDUAL_COLUMNS)


def _columns(estimate: Estimate, *names: str) -> dict[str, float]:
    """Value, low and high under three names."""
    bounds = estimate.value, estimate.low, estimate.high
    return dict(zip(names, bounds, strict=True))


def _r2(residuals: pd.Series, forgetting: np.ndarray) -> float:
    """Share of the variance over variants that is explained; NaN without any."""
    spread = np.square(forgetting - forgetting.mean()).sum()
    return float(1 - np.square(residuals).sum() / spread) if spread else np.nan
