"""The section of intervals and tests."""

from typing import Literal

from pydantic import Field

from rankone.settings import Distinct, Section


class Analyze(Section):
    """Intervals and tests."""

    draws: int = Field(10000, ge=100, description="bootstrap draws")
    seed: int = Field(0, description="seed of the bootstrap and of simulated nulls")
    parts: Distinct[Literal["samples", "geometry", "trajectories"]] = Field(
        ["samples", "geometry", "trajectories"],
        description="what is analysed beyond scores and rewards: `samples` (pass@k, "
        "KL, retention), `geometry` (spectra and places of the changes against their "
        "nulls), `trajectories` (alignment and linearity over the exported steps)",
    )
    tail_draws: int = Field(
        2,
        ge=2,
        description="draws of each null of a spectrum, for every matrix; their spread "
        "is pooled over matrices of a shape",
    )
    fit_draws: int = Field(
        10,
        ge=0,
        description="bootstrap draws behind the p of each power-law fit; 0 leaves it "
        "out",
    )
    margin: float = Field(
        0.05,
        gt=0,
        le=1,
        description="scores that differ by less count as kept (share of 1), in the "
        "equivalence test against the base",
    )
    null_draws: int = Field(
        40,
        ge=20,
        description="simulated trajectories behind each null of alignment and of "
        "trajectories, 20 or more",
    )
