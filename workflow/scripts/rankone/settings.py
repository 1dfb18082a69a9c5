"""Sections of the config as typed objects, and a mistake in them as one sentence.

Every stage declares its sections in its own `settings.py`; `rankone.study.config` puts
them together. They are the one source of types, defaults, descriptions, the JSON schema
and the key table of config/README.md.
"""

import difflib
import re
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError, core_schema

from rankone.errors import UserError


def flaw(sentence: str) -> PydanticCustomError:
    """The error for a value; its place in the config is put before the sentence."""
    return PydanticCustomError("flaw", "{sentence}", {"sentence": sentence})


def is_none(value: object) -> bool:
    return value is None


def without_null(schema: dict) -> None:
    """Make the JSON schema of `X | None = None` that of X."""
    (found,) = (s for s in schema.pop("anyOf") if s.get("type") != "null")
    schema.pop("default")
    schema |= found


def absent(description: str, **options: Any) -> Any:
    """A key that a config may lack: None here, and no key among the plain values."""
    return Field(
        default=None,
        exclude_if=is_none,
        description=description,
        json_schema_extra=without_null,
        **options,
    )


class Section(BaseModel):
    """A section of the config: unknown keys and values of another type are refused."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        regex_engine="python-re",
    )
    # Groups of keys of which exactly one is given, whole.
    one_of: ClassVar[tuple[tuple[str, ...], ...]] = ()
    # Keys that need another one, and that one.
    needs: ClassVar[dict[str, str]] = {}

    @classmethod
    def keys(cls) -> dict[str, Any]:
        """The fields by the names that they have in a config."""
        return {field.alias or n: field for n, field in cls.model_fields.items()}

    @classmethod
    def open_keys(cls) -> set[str]:
        """Keys beside the fields, which others check."""
        return set()

    @model_validator(mode="before")
    @classmethod
    def check_keys(cls, given: Any) -> Any:
        if isinstance(given, dict):
            known = cls.keys()
            for key, value in given.items():
                if key not in known and key not in cls.open_keys():
                    raise flaw(unknown_key(str(key), list(known)))
                if value is None and key in known and known[key].exclude_if:
                    raise flaw(f"{key} is null; give a value or leave the key out.")
            check_groups(cls.one_of, set(given))
            for key, other in cls.needs.items():
                if key in given and other not in given:
                    raise flaw(f"{key} needs {other}; give both.")
        return given

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict:
        schema = handler.resolve_ref_schema(handler(core))
        schema["additionalProperties"] = False
        if cls.one_of:
            schema["oneOf"] = [{"required": list(group)} for group in cls.one_of]
        if cls.needs:
            schema["dependentRequired"] = {k: [v] for k, v in cls.needs.items()}
        return schema


def unknown_key(key: str, known: list[str]) -> str:
    """The sentence for a key that a section does not have."""
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"expected {', '.join(known)}."
    return f"{key!r} is unknown; {hint}"


def check_groups(groups: tuple[tuple[str, ...], ...], given: set[str]) -> None:
    """Refuse keys of several groups, or a part of one."""
    begun = [group for group in groups if given & set(group)]
    if groups and (len(begun) != 1 or not given.issuperset(begun[0])):
        ways = ", or ".join(" with ".join(group) for group in groups)
        found = ", ".join(sorted(given & {key for g in groups for key in g}))
        raise flaw(f"found {found or 'none of them'}; expected either {ways}.")


def distinct(values: list) -> list:
    """Refuse a list with a value that is given twice."""
    if twice := [value for value in values if values.count(value) > 1]:
        raise flaw(f"{twice[0]} is given twice; name it once.")
    return values


class Contains:
    """Refuses a list without a value."""

    def __init__(self, value: str):
        self.value = value

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        def check(values: list) -> list:
            if self.value not in values:
                raise flaw(f"{self.value} must be among them, found {values}; add it.")
            return values

        return core_schema.no_info_after_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict:
        return handler(schema) | {"contains": {"const": self.value}}


T = TypeVar("T")
Distinct = Annotated[
    list[T], AfterValidator(distinct), Field(json_schema_extra={"uniqueItems": True})
]
Count = Annotated[int, Field(ge=1)]
Steps = Annotated[Distinct[Count], Field(min_length=1)]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
# Tensors that no variant but `full` changes: the base's, or the trained ones.
Others = Literal["base", "trained"]
Repository = Annotated[str, Field(pattern=r"^[^/@]+/[^/@]+$")]

S = TypeVar("S", bound=Section)


def read_section(kind: type[S], given: Any, place: str = "") -> S:
    """A section from plain values; UserError, one sentence, for its first mistake.

    `place` is where the section is in the config.
    """
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise UserError(sentence(error.errors()[0], place)) from None


def sentence(error: Any, place: str = "") -> str:
    """One of pydantic's errors as a sentence with the key's path."""
    parts = [part for part in error["loc"] if part != "[key]"]
    path = ".".join(filter(None, [place, *map(str, parts)])) or "config"
    if error["type"] == "missing":
        return f"{path} is missing; give it."
    if error["type"] == "flaw":
        return f"{path}: {error['msg']}"
    said = re.sub(r"^(Input|String|List|Dictionary) ", "it ", error["msg"])
    return f"{path} is {error['input']!r}, but {said.removesuffix('.')}."


def plain(section: BaseModel, given: dict) -> dict:
    """The values of a section as they were given, then the defaults of all others.

    Numbers and the order of keys stay as given: Snakemake compares their text when it
    decides what to run again.
    """
    return with_defaults(given, section.model_dump(by_alias=True))


def with_defaults(given: Any, full: Any) -> Any:
    """The given values and, at every level, what `full` has besides."""
    if isinstance(given, dict) and isinstance(full, dict):
        merged = {key: with_defaults(v, full.get(key)) for key, v in given.items()}
        return merged | {key: v for key, v in full.items() if key not in given}
    if isinstance(given, list) and isinstance(full, list):
        return [with_defaults(g, f) for g, f in zip(given, full, strict=True)]
    return given
