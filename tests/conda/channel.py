"""Makes a local conda channel of two packages: the running Python, and its pip.

python channel.py FOLDER
"""

import hashlib
import io
import json
import platform
import sys
import sysconfig
import tarfile
from importlib.metadata import version
from pathlib import Path

from rattler import Subdir

BASE = Path(sys.base_prefix)
LIBRARY = Path(sysconfig.get_path("stdlib")).relative_to(BASE)
SKIPPED = {"site-packages", "test", "idlelib", "turtledemo", "__pycache__"}


def interpreter() -> list[Path]:
    """Files of the running Python, without packages and tests."""
    found = [
        file
        for file in (BASE / LIBRARY).rglob("*")
        if not SKIPPED.intersection(file.parts) and file.suffix != ".a"
    ]
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    programs = [BASE / "bin" / link for link in ("python", "python3", name)]
    return [*found, *(BASE / "lib").glob("libpython*"), *programs]


def pip() -> list[Path]:
    packages = BASE / LIBRARY / "site-packages"
    files = [*packages.glob("pip/**/*"), *packages.glob("pip-*/**/*")]
    return [file for file in files if "__pycache__" not in file.parts]


def add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text.encode())
    archive.addfile(entry, io.BytesIO(text.encode()))


def pack(
    folder: Path, name: str, number: str, files: list[Path], needs: list[str]
) -> tuple[str, dict]:
    """Write one package, its files under the paths that they have here.

    Its name and its entry in the channel's index.
    """
    index = {"name": name, "version": number, "build": "local_0", "build_number": 0}
    index |= {"depends": needs, "subdir": folder.name, "timestamp": 1}
    chosen = {str(f.relative_to(BASE)): f for f in files if not f.is_dir()}
    package = folder / f"{name}-{number}-local_0.tar.bz2"
    with tarfile.open(package, "w:bz2", compresslevel=1) as archive:
        for place, file in chosen.items():
            archive.add(file, place)
        add_text(archive, "info/index.json", json.dumps(index))
        add_text(archive, "info/files", "".join(f"{place}\n" for place in chosen))
    content = package.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return package.name, index | {"sha256": digest, "size": len(content)}


def write_index(folder: Path, packages: dict[str, dict]) -> None:
    index = {"info": {"subdir": folder.name}, "packages": packages}
    (folder / "repodata.json").write_text(json.dumps(index))


if __name__ == "__main__":
    channel = Path(sys.argv[1])
    own, noarch = channel / str(Subdir.current()), channel / "noarch"
    for folder in (own, noarch):
        folder.mkdir(parents=True)
    python = pack(own, "python", platform.python_version(), interpreter(), [])
    write_index(
        own, dict([python, pack(own, "pip", version("pip"), pip(), ["python"])])
    )
    write_index(noarch, {})
