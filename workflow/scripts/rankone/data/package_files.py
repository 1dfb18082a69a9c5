"""Package files used as data: fetched unbuilt, checked by SHA-256.

A package file is taken as it is. Neither its set-up code nor its dependencies are run
or installed, so nothing that it contains is executed. Indexes, find-links, trusted
hosts, certificate and proxy are those of the user's pip.
"""

import ast
import logging
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from unearth import HashMismatchError, Link, PackageFinder, UnpackError
from unearth.auth import MultiDomainBasicAuth
from unearth.fetchers import PyPIClient
from unearth.preparer import HTTPErrors

from rankone.data.package_index import PackageFile
from rankone.errors import UserError
from rankone.files import sha256

logger = logging.getLogger(__name__)

ATTEMPTS = 3
PAUSE = 1.0  # seconds before the second attempt; twice that before the third
TIMEOUT = 30.0  # seconds without a byte, unless pip's configuration says otherwise
TRUE = {"1", "true", "yes", "on", "y", "t"}


def parse_pip_config(listing: str) -> dict[str, str]:
    """Settings of `pip config list` as pip ranks them: global, download, environment.

    Lines have the form `section.key='value'`; other sections are left out.
    """
    sections: dict[str, dict[str, str]] = {"global": {}, "download": {}, ":env:": {}}
    for line in listing.splitlines():
        key, equals, value = line.partition("=")
        section, _, name = key.strip().partition(".")
        if equals and section in sections:
            sections[section][name] = str(ast.literal_eval(value.strip()))
    return {name: text for part in sections.values() for name, text in part.items()}


def pip_settings() -> dict[str, str]:
    """The user's pip settings; empty, with a warning, where pip does not answer."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return parse_pip_config(result.stdout)
    logger.warning("pip's configuration could not be read: %s", result.stderr.strip())
    environment = os.environ.items()
    return {
        key[4:].lower().replace("_", "-"): value
        for key, value in environment
        if key.startswith("PIP_")
    }


def index_urls(settings: Mapping[str, str]) -> list[tuple[str, str]]:
    """Places to look, as ("find_links" | "index", location), the nearest first.

    The order is free to choose because a checksum decides which file is taken.
    """
    links = [os.path.expanduser(x) for x in settings.get("find-links", "").split()]
    found = [("find_links", link) for link in links]
    if settings.get("no-index", "").lower() in TRUE:
        return found
    default = PackageFinder().sources[0]["url"]
    indexes = settings.get("index-url", default).split()
    indexes += settings.get("extra-index-url", "").split()
    return found + [("index", url) for url in indexes]


def open_session(settings: Mapping[str, str], indexes: list[str]) -> PyPIClient:
    """An HTTP client with pip's certificate, proxy, time-out and trusted hosts.

    It never asks for a password: a workflow has nobody to answer.
    """
    timeout = settings.get("timeout", settings.get("default-timeout", TIMEOUT))
    cert = settings.get("cert")
    session = PyPIClient(
        trusted_hosts=settings.get("trusted-host", "").split(),
        verify=ssl.create_default_context(cafile=cert) if cert else True,
        timeout=float(timeout),
        proxy=settings.get("proxy"),
        follow_redirects=True,
    )
    session.auth = MultiDomainBasicAuth(prompting=False, index_urls=indexes)
    return session


def find_links(
    package: PackageFile, session: PyPIClient, place: tuple[str, str]
) -> list[Link]:
    """Links at one place to the very file that is wanted (by its name)."""
    kind, url = place
    finder = PackageFinder(
        session,
        index_urls=[url] if kind == "index" else [],
        find_links=[url] if kind == "find_links" else [],
        ignore_compatibility=True,
    )
    matches = finder.find_matches(f"{package.name}=={package.version}")
    return [m.link for m in matches if m.link.filename == package.filename]


def progress(package: PackageFile) -> Callable[[Link, int, int | None], None]:
    """A download reporter that logs a line for every fifth of the file."""
    logged = 0

    def report(link: Link, done: int, total: int | None) -> None:
        nonlocal logged
        fifth = 5 * done // total if total else 0
        if fifth > logged:
            logged = fifth
            megabytes = done / 1e6, total / 1e6
            logger.info("%s: %.0f of %.0f MB", package.filename, *megabytes)

    return report


def download(
    package: PackageFile, session: PyPIClient, link: Link, folder: Path
) -> Path:
    """Bring the file into `folder`; raises HashMismatchError on other bytes."""
    hashes = {"sha256": [package.sha256]}
    found = PackageFinder(session).download(link, folder, hashes, progress(package))
    return Path(shutil.copy2(found, folder)) if link.is_file else found


def fetch_from(
    place: tuple[str, str], package: PackageFile, session: PyPIClient, folder: Path
) -> Path | None:
    """The file from one place, or None if it is not there; hosts get three tries."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            links = find_links(package, session, place)
            return download(package, session, links[0], folder) if links else None
        except HTTPErrors as error:
            if attempt == ATTEMPTS:
                raise
            logger.warning("%s: %s; trying again", Link(place[1]).redacted, error)
            time.sleep(attempt * PAUSE)
    return None


def find_and_fetch(package: PackageFile, folder: Path) -> tuple[Path | None, list[str]]:
    """The file in `folder` from the first place that has it, and why others had not."""
    settings = pip_settings()
    places = index_urls(settings)
    indexes = [url for kind, url in places if kind == "index"]
    failures = []
    with open_session(settings, indexes) as session:
        for place in places:
            location = Link(place[1]).redacted
            try:
                found = fetch_from(place, package, session, folder)
            except HashMismatchError as error:
                (other,) = error.actual.values()
                failures.append(f"{location} has a file with other bytes ({other})")
            except (*HTTPErrors, UnpackError, OSError, ValueError) as error:
                failures.append(f"{location} failed ({error})")
            else:
                if found:
                    return found, failures
                failures.append(f"{location} does not have it")
    return None, failures


def fetch_package(package: PackageFile, path: str | Path) -> None:
    """Put the package file at `path`, whole and checked, or raise UserError.

    A file that is already there with the right bytes is kept. Nothing of a failed or
    wrong download is left behind.
    """
    path = Path(path)
    if path.is_file() and sha256(path) == package.sha256:
        logger.info("%s is already there", path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the last step is a rename within one file system.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fetch-") as folder:
        logger.info("fetching %s", package.filename)
        found, failures = find_and_fetch(package, Path(folder))
        if found is None:
            raise UserError(
                f"The {package.kind} of {package.name} {package.version} could not be "
                f"fetched: {'; '.join(failures) or 'pip is set to use no index'}. "
                "Check the network and `pip config list`, or put the file "
                f"{package.filename} (SHA-256 {package.sha256}) by hand at {path}."
            )
        os.replace(found, path)


def require_package(path: str | Path, package: PackageFile) -> None:
    """Raise UserError unless `path` holds exactly the package file."""
    if not Path(path).is_file():
        raise UserError(
            f"There is no file {path}: fetch {package.filename}, or put it there."
        )
    if (found := sha256(path)) != package.sha256:
        raise UserError(
            f"{path} has SHA-256 {found}, but {package.filename} has {package.sha256}: "
            "delete it and fetch it again."
        )
