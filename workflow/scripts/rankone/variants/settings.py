"""The section of variants that are written as files."""

from typing import Literal

from pydantic import Field

from rankone.settings import Distinct, Section


class Artefacts(Section):
    """Variants written as files."""

    adapters: Distinct[str] = Field(
        [], description="variants of low rank, as LoRA adapters in `results/adapters`"
    )
    models: Distinct[str] = Field(
        [], description="variants as merged Hugging Face models in `results/models`"
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="precision of the merged models; adapters are float32"
    )
