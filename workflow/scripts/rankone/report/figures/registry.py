"""All figures of a study by name, with the tables that they are drawn from."""

from collections.abc import Callable

import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from rankone.errors import UserError
from rankone.report.figures import claims, dynamics, sampling
from rankone.report.figures.interventions import (
    overfitting,
    probes,
    reward_curves,
    substitutions,
)
from rankone.report.figures.scores import (
    accuracy_by_step,
    accuracy_by_variant,
    mathematics_vs_knowledge,
    recovery,
    training,
)
from rankone.report.figures.updates import rank1_share, spectra
from rankone.report.style import STYLE
from rankone.tables_io import main_arm

# The function of each figure, and its tables.
FIGURES: dict[str, tuple[Callable[..., Figure], str]] = {
    "training": (training, "training"),
    "accuracy_by_variant": (accuracy_by_variant, "scores"),
    "accuracy_by_step": (accuracy_by_step, "scores"),
    "recovery": (recovery, "recovery"),
    "mathematics_vs_knowledge": (mathematics_vs_knowledge, "differences"),
    "rank1_share": (rank1_share, "matrices"),
    "spectra": (spectra, "spectra"),
    "probes": (probes, "probes"),
    "reward_curves": (reward_curves, "probes"),
    "overfitting": (overfitting, "overfitting"),
    "substitutions": (substitutions, "substitutions"),
    **sampling.SAMPLING_FIGURES,
    **dynamics.DYNAMICS_FIGURES,
    **claims.CLAIM_FIGURES,
}
# The others show the first arm, which has no intervention.
ALL_ARMS = frozenset(
    {"probes", "reward_curves", "overfitting", "substitutions"}
    | sampling.SAMPLING_FIGURES.keys()
    | {"claims"}
)


def draw(name: str, *tables: pd.DataFrame) -> Figure:
    """The figure of that name, from its tables in their order, in the shared style.

    Raises UserError for an unknown name.
    """
    functions = {figure: function for figure, (function, _) in FIGURES.items()}
    functions |= claims.CALIBRATION_FIGURES
    if name not in functions:
        raise UserError(f"No figure `{name}`; there are {', '.join(functions)}.")
    if name in FIGURES and name not in ALL_ARMS:
        tables = tuple(map(main_arm, tables))
    with sns.axes_style("ticks"), plt.rc_context(STYLE):
        return functions[name](*tables)
