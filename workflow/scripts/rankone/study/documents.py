"""The JSON schema and the key table of config/README.md, made from the typed config.

`python -m rankone.study.documents` in the checkout writes both.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic.fields import FieldInfo

from rankone.data.settings import Problems
from rankone.files import replacing
from rankone.settings import Section
from rankone.study.config import Config

SCHEMA = Path("workflow/schemas/config.schema.yaml")
README = Path("config/README.md")
BEGIN = "<!-- made by `python -m rankone.study.documents` -->\n"
END = "<!-- end of what is made -->\n"
HEADER = "# Made by `python -m rankone.study.documents`: edit the models instead.\n"
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema_text() -> str:
    """The JSON schema of a config as YAML."""
    schema = {"$schema": DRAFT} | tidied(Config.model_json_schema(by_alias=True))
    return HEADER + yaml.safe_dump(schema, sort_keys=False, width=88)


def tidied(schema: Any, named: bool = False) -> Any:
    """A schema without the titles that pydantic adds, and with plain descriptions.

    `named` says that its keys are names of keys, not words of the schema.
    """
    if isinstance(schema, list):
        return [tidied(value) for value in schema]
    if not isinstance(schema, dict):
        return schema
    names = ("properties", "$defs")
    found = {
        key: tidied(value, named=not named and key in names)
        for key, value in schema.items()
        if named or key != "title"
    }
    if not named and isinstance(found.get("description"), str):
        found["description"] = said(found["description"])
    return found


def said(description: str) -> str:
    """A description as one sentence, its links as their texts."""
    text = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", description)
    return text[0].upper() + text[1:].removesuffix(".") + "."


def key_table() -> str:
    """Every key with its meaning and its default, as a Markdown table."""
    rows = dict(keys(Config))
    lines = [
        f"| `{name}` | {field.description} | {default_text(field)}".rstrip() + " |"
        for name, field in rows.items()
    ]
    return "\n".join(["| key | meaning | default |", "|---|---|---|", *lines, ""])


def keys(section: type[Section], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Dotted names of all keys with their fields, `*` for a name or a number.

    The keys of a section that stands in two places are named once.
    """
    known: set[type] = set()
    for name, field in section.keys().items():
        yield prefix + name, field
        for inner, many in inner_sections(field.annotation):
            if inner not in known:
                known.add(inner)
                yield from keys(inner, f"{prefix}{name}.{'*.' if many else ''}")


def inner_sections(
    annotation: Any, many: bool = False
) -> Iterator[tuple[type[Section], bool]]:
    """The sections in a type, and whether it has any number of them."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        kinds = Problems.kinds() if annotation is Problems else [annotation]
        yield from ((kind, many) for kind in kinds)
    several = getattr(annotation, "__origin__", None) in (dict, list)
    for part in get_args(annotation):
        yield from inner_sections(part, many or several)


def default_text(field: FieldInfo) -> str:
    """A default as one writes it in a config; nothing where there is none."""
    default = field.default
    if field.is_required() or field.exclude_if or isinstance(default, Section):
        return ""
    text = yaml.safe_dump(default, default_flow_style=True, width=1000)
    text = text.removesuffix("...\n").strip()
    return text if isinstance(default, int | float | None) else f"`{text}`"


def readme_text(text: str) -> str:
    """config/README.md with the present key table between its markers."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{key_table()}\n{END}{after}"


def write() -> None:
    """Write both files of the checkout."""
    texts = {
        SCHEMA: schema_text(),
        README: readme_text(README.read_text(encoding="utf-8")),
    }
    for path, text in texts.items():
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
