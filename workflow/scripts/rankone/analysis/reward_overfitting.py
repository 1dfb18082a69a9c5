"""Implicit reward overfitting: what an intervention takes from training problems alone.

For each arm with an intervention, against the first arm (`full`), paired by problem and
by seed:

    overfitting = [train(full) - train(arm)] - [test(full) - test(arm)]

It is above zero where the arm loses more reward on the problems that were trained on
than on others of the same distribution (`held_out`) or of another one (`shifted`). The
paper (arXiv 2605.06523) does not publish an estimator; this is ours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rankone.analysis.pairing import paired_cube
from rankone.names import MOMENT_ORDER, arm_of, groups_of_runs
from rankone.statistics.decision_rules import ControlContrast, with_controls
from rankone.statistics.intervals import (
    DRAWS,
    UNDEFINED,
    Estimate,
    least_half_width,
    percentile,
    resample,
)
from rankone.variants.grammar import parse

TRAIN = "train_probe"
TESTS = ("held_out", "shifted")
PRIMARY = "sampled"
MARGIN = 0.05  # rewards, shares of 1, that differ by less count as equal
KEY = ["arm", "step", "moment", "sampling"]
PROBE_COLUMNS = [
    *("arm", "run", "step", "moment", "sampling", "split", "n", "runs"),
    *("reward", "low", "high"),
]
OVERFITTING_COLUMNS = [
    *("arm", "recipe", "role", "step", "moment", "sampling", "test", "quantity"),
    *("n", "runs", "value", "low", "high", "verdict", "rule"),
]
SUBSTITUTION_COLUMNS = [
    *("run", "step", "moment", "norm", "norm_share", "cosine_left", "cosine_right"),
    *("exp_avg_norm", "exp_avg_sq_norm"),
]
OVERFITTING, TRAIN_LOSS, TEST_LOSS = "overfitting", "train_loss", "test_loss"
RATIO, ADVANTAGE = "generalisation_ratio", "advantage_at_equal_reward"
ArmMoment = tuple[str, int, str]  # arm, step, moment
Rewards = dict[str, np.ndarray]  # split -> (runs, moments, problems)


def role(recipe: str | None) -> str:
    """What an arm is for: reference, treatment, control, or no-op."""
    if recipe is None:
        return "reference"
    kind = parse(recipe).kind
    return "control" if kind.control else "no-op" if kind.noop else "treatment"


def shared_seeds(probes: pd.DataFrame, arms: Sequence[str]) -> list[str]:
    """Seeds that every one of these arms was run with, as in the names of runs."""
    runs = [set(probes.loc[probes["arm"] == arm, "run"]) for arm in arms]
    seeds = [
        {run.removeprefix(arm) for run in of}
        for arm, of in zip(arms, runs, strict=True)
    ]
    return sorted(set.intersection(*seeds))


def rewards(
    probes: pd.DataFrame, moments: Sequence[ArmMoment], sampling: str
) -> Rewards:
    """Mean reward of each problem at these moments, in their order.

    Of the runs with the seeds that all their arms share.
    """
    probes = probes[probes["sampling"] == sampling]
    seeds = shared_seeds(probes, sorted({arm for arm, *_ in moments}))
    keys = [[(arm + s, step, moment) for arm, step, moment in moments] for s in seeds]
    return {
        split: paired_cube(
            rows,
            keys,
            columns=["run", "step", "moment"],
            item="problem",
            value="reward",
        )
        for split, rows in probes.groupby("split")
    }


def with_rewards(probes: pd.DataFrame) -> pd.DataFrame:
    """Probe rows with the arm and the share of correct answers."""
    return probes.assign(
        arm=probes["run"].map(arm_of), reward=probes["correct"] / probes["samples"]
    )


def probe_table(probes: pd.DataFrame, seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """Mean reward of each run, and of all runs of an arm, at each moment."""
    rows = []
    for key, cell in with_rewards(probes).groupby([*KEY, "split"]):
        for label, runs in groups_of_runs(cell["run"].unique()):
            cube = paired_cube(
                cell,
                [[run] for run in runs],
                columns=["run"],
                item="problem",
                value="reward",
            )
            observed, drawn = resample([cube], np.random.default_rng(seed), draws)
            row = dict(zip([*KEY, "split"], key, strict=True)) | {"run": label}
            row |= {"n": cube.shape[2], "runs": len(runs)}
            found = percentile(observed[0, 0], drawn[0, :, 0])
            rows.append(row | found.columns("reward"))
    return pd.DataFrame(rows, columns=PROBE_COLUMNS)


def arm_moments(probes: pd.DataFrame, arm: str) -> list[ArmMoment]:
    """The moments of an arm in order; of a substitution the one after it."""
    rows = probes.loc[probes["arm"] == arm, ["step", "moment"]].drop_duplicates()
    rows = rows[rows["moment"] != "before"].sort_values("step")
    return [(arm, int(step), moment) for step, moment in rows.itertuples(index=False)]


def last_moments(probes: pd.DataFrame, arm: str) -> list[ArmMoment]:
    """The moments of an arm's last step: one, or those before and after."""
    rows = probes.loc[probes["arm"] == arm, ["step", "moment"]].drop_duplicates()
    rows = rows[rows["step"] == rows["step"].max()].sort_values("moment")
    return [(arm, int(step), moment) for step, moment in rows.itertuples(index=False)]


@dataclass(frozen=True)
class Contrast:
    """Losses of reward on training and on test problems, and their difference."""

    train: Estimate
    test: Estimate
    overfitting: Estimate


def contrast(found: Rewards, test: str, seed: int, draws: int = DRAWS) -> Contrast:
    """What the second of two moments lost against the first, paired by problem."""
    strata = [found[TRAIN], found[test]]
    observed, drawn = resample(strata, np.random.default_rng(seed), draws)
    lost, losses = observed[:, 0] - observed[:, 1], drawn[..., 0] - drawn[..., 1]
    sizes = [stratum.shape[2] for stratum in strata]
    floors = [least_half_width([size]) for size in sizes]
    return Contrast(
        percentile(lost[0], losses[0], floors[0]),
        percentile(lost[1], losses[1], floors[1]),
        percentile(lost[0] - lost[1], losses[0] - losses[1], float(np.hypot(*floors))),
    )


def ratio(found: Rewards, test: str, seed: int, draws: int = DRAWS) -> Estimate | None:
    """Gain on the test problems over that on training problems, first to last moment.

    None unless the gain on training problems is above zero with its interval.
    """
    strata = [found[TRAIN], found[test]]
    observed, drawn = resample(strata, np.random.default_rng(seed), draws)
    gain, gains = observed[:, -1] - observed[:, 0], drawn[..., -1] - drawn[..., 0]
    if percentile(gain[0], gains[0]).low <= 0:
        return None
    return percentile(gain[1] / gain[0], gains[1] / np.maximum(gains[0], 1e-9))


def advantage(
    found: Rewards, cut: int, test: str, seed: int, draws: int = DRAWS
) -> Estimate | None:
    """Test reward of an arm minus the reference's at the same training reward.

    The first `cut` moments are the reference's; its curve (test against training
    reward) is interpolated, never extrapolated. The mean is over the arm's moments
    after the start that lie within it; None where there are none.
    """
    strata = [found[TRAIN], found[test]]
    observed, drawn = resample(strata, np.random.default_rng(seed), draws)
    value = mean_advantage(*observed, cut)
    if np.isnan(value):
        return None
    values = [mean_advantage(*pair, cut) for pair in drawn.swapaxes(0, 1)]
    return percentile(value, np.array(values)[~np.isnan(values)])


def mean_advantage(train: np.ndarray, test: np.ndarray, cut: int) -> float:
    """Mean height of the later points above the curve through the first `cut`."""
    order = np.argsort(train[:cut], kind="stable")
    curve = train[:cut][order], test[:cut][order]
    x, y = train[cut + 1 :], test[cut + 1 :]
    inside = (x >= curve[0][0]) & (x <= curve[0][-1])
    if not inside.any():
        return np.nan
    return float(np.mean(y[inside] - np.interp(x[inside], *curve)))


def overfitting_table(
    probes: pd.DataFrame, arms: dict[str, str | None], seed: int, draws: int = DRAWS
) -> pd.DataFrame:
    """Estimands of every arm with an intervention, at its last step.

    `arms` gives each arm's recipe, None for the first one, the reference. Verdicts are
    for overfitting in treatments.
    """
    probes = with_rewards(probes)
    rows = []
    for sampling in sorted(probes["sampling"].unique()):
        for test in sorted(set(TESTS) & set(probes["split"])):
            comparison = Comparison(probes, arms, sampling, test, seed, draws)
            for place in comparison.places():
                rows += comparison.rows(place)
    return pd.DataFrame(rows, columns=OVERFITTING_COLUMNS)


@dataclass(frozen=True)
class Comparison:
    """One way of sampling and one set of test problems."""

    probes: pd.DataFrame
    arms: dict[str, str | None]
    sampling: str
    test: str
    seed: int
    draws: int

    @property
    def reference(self) -> str:
        """The arm without an intervention."""
        return next(iter(self.arms))

    def places(self) -> list[ArmMoment]:
        """The last moments of every other arm."""
        others = [arm for arm, recipe in self.arms.items() if recipe is not None]
        return [place for arm in others for place in last_moments(self.probes, arm)]

    def contrast(self, first: ArmMoment, second: ArmMoment) -> Contrast:
        """The second moment against the first."""
        found = rewards(self.probes, [first, second], self.sampling)
        return contrast(found, self.test, self.seed, self.draws)

    def rows(self, place: ArmMoment) -> Iterator[dict]:
        """One row a quantity for the last moment of one arm."""
        arm, step, moment = place
        cell = {"arm": arm, "recipe": self.arms[arm], "role": role(self.arms[arm])}
        cell |= {"step": step, "moment": moment, "sampling": self.sampling}
        items = self.probes.loc[self.probes["split"] == self.test, "problem"]
        cell |= {"test": self.test, "n": items.nunique()}
        cell["runs"] = len(shared_seeds(self.probes, [self.reference, arm]))
        (end,) = last_moments(self.probes, self.reference)
        found = self.contrast(end, place)
        path = [p for p in arm_moments(self.probes, arm) if p[1] < step] + [place]
        quantities = {
            TRAIN_LOSS: found.train,
            TEST_LOSS: found.test,
            OVERFITTING: found.overfitting,
            RATIO: self.ratio(path),
            ADVANTAGE: self.advantage(path),
        }
        for quantity, estimate in quantities.items():
            row = cell | {"quantity": quantity} | (estimate or UNDEFINED).columns()
            if quantity == OVERFITTING and cell["role"] == "treatment":
                row |= self.verdict(place, end, found.overfitting)
            yield row

    def ratio(self, path: list[ArmMoment]) -> Estimate | None:
        """The generalisation ratio from the start to the end of a path."""
        found = rewards(self.probes, [path[0], path[-1]], self.sampling)
        return ratio(found, self.test, self.seed, self.draws)

    def advantage(self, path: list[ArmMoment]) -> Estimate | None:
        """Advantage of a path over the reference's at equal training reward."""
        along = arm_moments(self.probes, self.reference)
        both = rewards(self.probes, [*along, *path], self.sampling)
        return advantage(both, len(along), self.test, self.seed, self.draws)

    def verdict(
        self, place: ArmMoment, end: ArmMoment, effect: Estimate
    ) -> dict[str, str]:
        """Verdict and rule: the effect beside that of every control."""
        others = [p for p in self.places() if role(self.arms[p[0]]) == "control"]
        controls = [
            ControlContrast(
                other[0],
                self.contrast(end, other).overfitting,
                self.contrast(other, place).overfitting,
            )
            for other in others
            if other[2] == place[2]
        ]
        verdict = with_controls(effect, controls, MARGIN)
        return {"verdict": verdict.label, "rule": verdict.rule}


def substitution_table(updates: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """One row per run and moment: size, shape and direction of all updates together.

    `norm` is the root of the sum of squares over the matrices, `energy_removed` the
    share of its square that a substitution takes away; the others are medians over
    matrices, of cosines over those whose direction is identifiable. `seconds` is what a
    substitution took with both measurements of the updates.
    """
    rows = []
    for key, cell in updates.groupby(["run", "step", "moment"]):
        clear = cell[cell["identifiable"].astype(bool)]
        row = dict(zip(["run", "step", "moment"], key, strict=True))
        row |= {"norm": root_sum(cell["frobenius_norm"])}
        row |= {"norm_share": cell["norm_share"].median()}
        for side in ("cosine_left", "cosine_right"):
            row[side] = clear[side].median()
        for name in ("exp_avg_norm", "exp_avg_sq_norm"):
            row[name] = root_sum(cell[name])
        rows.append(row)
    table = pd.DataFrame(rows, columns=SUBSTITUTION_COLUMNS)
    order = table["moment"].map(MOMENT_ORDER)
    table = table.assign(order=order).sort_values(["run", "step", "order"])
    table = table.drop(columns="order").reset_index(drop=True)
    before = table.groupby("run")["norm"].shift()
    removed = 1 - (table["norm"] / before) ** 2
    table["energy_removed"] = removed.where(table["moment"] == "after")
    took = metrics.set_index(["run", "step"])["substitution_seconds"]
    found = table.join(took, on=["run", "step"])["substitution_seconds"]
    return table.assign(seconds=found.where(table["moment"] == "after"))


def root_sum(values: pd.Series) -> float:
    """Root of the sum of squares."""
    return float(np.sqrt(np.square(values.astype(float)).sum(skipna=False)))
