"""Artefacts that say what they were made from: identity, and checksum of the payload.

Both stand in the metadata of safetensors and Parquet files; text stays plain, and a
manifest beside it has them. The identity of what a job makes is its rule, its settings
and the checksums of its inputs, so that a chain of artefacts is held together by
content and not by names or dates.
"""

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256 as new_sha256
from pathlib import Path
from typing import TYPE_CHECKING

from rankone.errors import UserError
from rankone.files import digest, replacing, sha256

if TYPE_CHECKING:
    import pyarrow as pa

IDENTITY, CHECKSUM = "identity", "checksum"
MANIFESTS = "manifests"  # the folder of the manifests, beside the files they are about
UNKNOWN = "0" * 64  # holds the place of a checksum until the payload is written
# What reading a damaged file raises.
DAMAGED = (ValueError, KeyError, OverflowError, MemoryError, struct.error)
CHUNK = 1 << 24  # bytes that are read together
MAKING: ContextVar[dict | None] = ContextVar("MAKING", default=None)


@contextmanager
def making(identity: dict | None) -> Iterator[None]:
    """Within the block, what is written was made from this."""
    token = MAKING.set(identity)
    try:
        yield
    finally:
        MAKING.reset(token)


def stamp(checksum: str) -> dict[str, str]:
    """Metadata of an artefact that is being written: its checksum, and its identity.

    Outside a job nothing is known of the latter.
    """
    identity = MAKING.get()
    known = {} if identity is None else {IDENTITY: json.dumps(identity, sort_keys=True)}
    return {CHECKSUM: checksum} | known


@contextmanager
def sealing(path: str | Path, metadata: Mapping) -> Iterator[tuple[Path, dict]]:
    """A temporary path and the metadata with which a safetensors file is to be written.

    Then its checksum is put into its header, and the file appears whole or not at all.
    An `identity` in `metadata` stands; without one it is that of the running job.
    """
    text = {key: str(value) for key, value in metadata.items()}
    with replacing(path) as temporary:
        yield temporary, stamp(UNKNOWN) | text
        seal(temporary)


def seal(path: Path) -> None:
    """Write the checksum of a safetensors file over the place that is held for it."""
    checksum = tensors_checksum(path)
    with open(path, "r+b") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        place = file.read(size).index(UNKNOWN.encode())
        file.seek(8 + place)
        file.write(checksum.encode())


def tensors_checksum(path: str | Path) -> str:
    """SHA-256 of a safetensors file's tensors: names, dtypes, shapes and bytes.

    Their order in the file and the metadata do not count.
    """
    total = new_sha256()
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        header.pop("__metadata__", None)
        for name, entry in sorted(header.items()):
            start, end = entry["data_offsets"]
            total.update(json.dumps([name, entry["dtype"], entry["shape"]]).encode())
            file.seek(8 + size + start)
            for first in range(start, end, CHUNK):
                total.update(file.read(min(CHUNK, end - first)))
    return total.hexdigest()


def table_checksum(table: "pa.Table") -> str:
    """SHA-256 of a table's columns, rows and types; metadata does not count."""
    import pyarrow as pa

    plain = table.replace_schema_metadata(None).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, plain.schema) as writer:
        writer.write_table(plain)
    return new_sha256(sink.getvalue()).hexdigest()


def stamped(table: "pa.Table") -> "pa.Table":
    """The table with stamp() in its metadata."""
    own = stamp(table_checksum(table)).items()
    known = table.schema.metadata or {}
    return table.replace_schema_metadata(
        known | {key.encode(): value.encode() for key, value in own}
    )


def metadata(path: str | Path) -> dict[str, str]:
    """The metadata of a safetensors or Parquet file; empty for other files."""
    path = Path(path)
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        found = pq.read_schema(path).metadata or {}
        return {
            key.decode(): value.decode("utf-8", "replace")
            for key, value in found.items()
        }
    if path.suffix != ".safetensors":
        return {}
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(size)).get("__metadata__") or {}


def origin(path: str | Path) -> dict[str, str]:
    """The metadata of a file without its own identity and checksum."""
    own = (IDENTITY, CHECKSUM)
    return {key: v for key, v in metadata(path).items() if key not in own}


def payload_checksum(path: str | Path) -> str:
    """The checksum of an artefact's payload, computed from what is in the file."""
    path = Path(path)
    if path.suffix == ".safetensors":
        return tensors_checksum(path)
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return table_checksum(pq.read_table(path))
    return sha256(path)


def check(path: str | Path) -> None:
    """Raise UserError for a file whose payload is not the one that was written.

    Text is compared with its manifest. A file without a checksum passes.
    """
    path = Path(path)
    recorded = metadata(path).get(CHECKSUM) or manifest_entry(path).get(CHECKSUM)
    if recorded and payload_checksum(path) != recorded:
        raise UserError(
            f"{path} is not what was written: its checksum differs from the recorded "
            "one. Delete it and run the same command again to make it anew."
        )


def input_checksum(path: str | Path) -> str:
    """What an input is, by content: the recorded checksum, else that of its bytes.

    Of a folder, that of all its files; the prepared model's is recorded inside it.
    """
    path = Path(path)
    if path.is_dir():
        recorded = path / MANIFESTS
        kept = recorded.rglob("*.json") if recorded.is_dir() else path.rglob("*")
        files = {str(f.relative_to(path)): sha256(f) for f in kept if f.is_file()}
        return digest(files)
    try:
        return metadata(path).get(CHECKSUM) or payload_checksum(path)
    except DAMAGED:
        return sha256(path)  # what reads it next says so


def job_identity(rule: str, settings: Mapping, inputs: Mapping[str, Iterable]) -> dict:
    """What the outputs of a job are made from.

    `settings` are its params; `inputs` are lists of paths by name.
    """
    return {
        "rule": rule,
        "settings": json.loads(json.dumps(dict(settings), default=str)),
        "inputs": {
            name: [input_checksum(path) for path in paths]
            for name, paths in inputs.items()
        },
    }


def manifest_path(path: Path, job: str) -> Path:
    """Where the manifest of a job's text files in one folder is."""
    return path.parent / MANIFESTS / f"{job}.json"


def write_manifests(job: str, outputs: Iterable[str | Path]) -> None:
    """Record checksums and identity of what cannot hold them itself.

    One manifest a folder, for text files; of a folder that is an output, inside it.
    """
    folders: dict[Path, dict[str, str]] = {}
    for path in map(Path, outputs):
        whole = path.is_dir()
        home = path if whole else path.parent
        for file in filter(Path.is_file, path.rglob("*") if whole else [path]):
            if whole or CHECKSUM not in metadata(file):
                name = str(file.relative_to(home))
                folders.setdefault(home, {})[name] = sha256(file)
    for folder, files in folders.items():
        record = {IDENTITY: MAKING.get(), "files": dict(sorted(files.items()))}
        target = manifest_path(folder / "any", job)
        with replacing(target) as temporary:
            temporary.write_text(json.dumps(record, indent=1, sort_keys=True))


def manifest_entry(path: Path) -> dict:
    """Identity and checksum that a manifest beside a file has of it; empty if none."""
    for manifest in sorted((path.parent / MANIFESTS).glob("*.json")):
        record = json.loads(manifest.read_text())
        if path.name in record["files"]:
            return {IDENTITY: record[IDENTITY], CHECKSUM: record["files"][path.name]}
    return {}
