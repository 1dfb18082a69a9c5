"""The section of the problem sets, by the source that they are from."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from rankone.settings import Count, Repository, Section, absent

Split = Literal["train_probe", "held_out", "shifted"]


class Sizes(Section):
    """Problems in each split."""

    train: Count = Field(description="training problems")
    train_probe: Count = Field(
        description="the first so many of `train`, as a fixed probe"
    )
    held_out: Count = Field(description="same families as `train`, other problems")
    shifted: Count = Field(description="problems of the other families")


class Problems(Section):
    """What every source of problems has; each adds keys of its own."""

    source: str | None = absent(
        "where they come from: `arithmetic`, `dataset`, or a plugin's; by default the "
        "one whose keys are given"
    )
    seed: int = Field(
        0, description="decides problems, their order and the few-shot examples"
    )
    shots: int = Field(
        1,
        ge=0,
        description="solved examples before each problem; they are in no problem set",
    )
    stop: list[str] = Field(
        [],
        description="texts of one token that end an answer to `datasets`, beside the "
        "tokenizer's own end of text",
    )
    longest: Count | None = Field(
        None,
        description="longest question of `datasets`, in characters; null for no limit",
    )
    sizes: Sizes = Field(description="problems in each split")

    @staticmethod
    def kinds() -> list[type["Problems"]]:
        """The sections of all sources."""
        from rankone.data.source import SOURCES

        return [source.settings for source in SOURCES.values()]

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict:
        if cls is Problems:
            return {"anyOf": [handler(k.__pydantic_core_schema__) for k in cls.kinds()]}
        return super().__get_pydantic_json_schema__(core_schema, handler)


class Family(Section):
    """Problems of one operation whose operands have the given numbers of digits."""

    operation: Literal["addition", "subtraction", "multiplication"] = Field(
        description="what is asked"
    )
    digits: Annotated[
        list[Annotated[int, Field(ge=1, le=4)]], Field(min_length=2, max_length=2)
    ] = Field(description="digits of the two operands")

    @property
    def name(self) -> str:
        return f"{self.operation} {self.digits[0]}x{self.digits[1]}"


Mixture = Annotated[list[Family], Field(min_length=1)]


class ArithmeticProblems(Problems):
    """Arithmetic, made from a seed."""

    mixture: Mixture = Field(
        description="families `{operation, digits: [a, b]}` of `train`, `train_probe` "
        "and `held_out`, in equal parts"
    )
    shifted_mixture: Mixture = Field(
        description="families of `shifted`; none may be in `mixture`"
    )


class Dataset(Section):
    """Rows of one split of a dataset."""

    one_of: ClassVar = (("path",), ("hub", "revision"))

    path: str | None = absent("folder, or one JSON Lines or Parquet file")
    hub: Repository | None = absent("hub repository; needs `revision`")
    revision: str | None = absent("its commit; [pin](#from-a-hub) writes it")
    name: str | None = Field(None, description="configuration, if it has several")
    split: str = Field("train", description="split of the dataset")
    question: str = Field(description="column of the question")
    answer: str = Field(
        description="column of the bare answer, in LaTeX or as a number"
    )


class Datasets(Section):
    """The datasets of a study."""

    train: Dataset = Field(description="dataset of `train`, `train_probe`, `held_out`")
    shifted: Dataset = Field(description="dataset of `shifted`")


class DatasetProblems(Problems):
    """Rows of datasets."""

    datasets: Datasets = Field(
        description="where problems come from whose answer is LaTeX in a `\\boxed{}`"
    )
    template: str = Field(
        description="the prompt of `datasets`, with `{question}` where a question "
        "goes; a chat model's markup is written out"
    )
