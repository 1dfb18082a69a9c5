"""What every problem source does with its splits."""

QUESTION = "{question}"


def with_probe(splits: dict[str, list[dict]], sizes: dict[str, int]) -> dict:
    """The splits and `train_probe`, the first part of `train`."""
    return splits | {"train_probe": splits["train"][: sizes["train_probe"]]}
