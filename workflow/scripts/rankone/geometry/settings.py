"""What a job gets that compares spectra with their nulls."""

from rankone.settings import Section


class SpectraSettings(Section):
    """Draws of each null of a spectrum, and those behind each power-law fit."""

    tail_draws: int
    fit_draws: int
