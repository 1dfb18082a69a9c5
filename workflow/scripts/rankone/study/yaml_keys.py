"""Config files as text: what their readers do not tell. For the Snakefile alone."""

from pathlib import Path

import yaml

from rankone.errors import UserError


def check_keys(file: str | Path) -> None:
    """Raise UserError for a key given twice in a YAML file: readers keep the last."""
    nodes = [yaml.compose(Path(file).read_text("utf-8"))]
    while nodes:
        node = nodes.pop()
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        keys = [key.value for key, _ in pairs if isinstance(key, yaml.ScalarNode)]
        if twice := [key for key in keys if keys.count(key) > 1]:
            line = node.start_mark.line + 1
            raise UserError(f"{file}: {twice[0]} is given twice, after line {line}.")
        nodes += [value for _, value in pairs]
        nodes += node.value if isinstance(node, yaml.SequenceNode) else ()
