"""The section of variants that are written as files, and what a job gets."""

from typing import Literal

from pydantic import Field

from rankone.settings import Distinct, Others, Section
from rankone.weights.settings import Model

MergedPrecision = Literal["float32", "bfloat16", "float16"]


class Artefacts(Section):
    """Variants written as files."""

    adapters: Distinct[str] = Field(
        [], description="variants of low rank, as LoRA adapters in `results/adapters`"
    )
    models: Distinct[str] = Field(
        [], description="variants as merged Hugging Face models in `results/models`"
    )
    dtype: MergedPrecision = Field(
        "float32", description="precision of the merged models; adapters are float32"
    )


class ExportSettings(Section):
    """Everything but the variant that decides an adapter or a merged model."""

    dtype: MergedPrecision
    model: Model
    others: Others
    seed: int
