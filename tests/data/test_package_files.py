"""Package files come from where pip would look, unbuilt, whole and checked."""

import hashlib
import io
import os
import tarfile
import threading
import zipfile
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fetch_package as script
from rankone.data import package_files as fetching
from rankone.data.benchmark import package_files
from rankone.data.package_files import (
    fetch_package,
    index_urls,
    parse_pip_config,
    require_package,
)
from rankone.data.package_index import PackageFile
from rankone.errors import UserError

WHEEL = "planted-1.2-py3-none-any.whl"
SDIST = "planted-1.2.tar.gz"


def package(kind: str, filename: str, data: bytes) -> PackageFile:
    digest = hashlib.sha256(data).hexdigest()
    return PackageFile("planted", "1.2", kind, filename, digest)


@cache
def wheel_bytes() -> bytes:
    """A wheel, the same at every call although archives record the time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("planted/data.txt", "planted " * 5000)
    return buffer.getvalue()


def sdist_bytes(setup: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        info = tarfile.TarInfo("planted-1.2/setup.py")
        info.size = len(setup)
        file.addfile(info, io.BytesIO(setup.encode()))
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def pip_alone(monkeypatch):
    """pip without the settings of the machine, and no index unless a test sets one."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetching, "PAUSE", 0.0)


@pytest.fixture
def links(tmp_path, monkeypatch):
    """A folder that pip knows as find-links."""
    folder = tmp_path / "links"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def use_index(monkeypatch, url: str) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", url)


def test_file_comes_from_find_links(links, tmp_path):
    (links / WHEEL).write_bytes(wheel_bytes())
    target = tmp_path / "made" / "package.whl"
    fetch_package(package("wheel", WHEEL, wheel_bytes()), target)
    assert target.read_bytes() == wheel_bytes()
    assert os.listdir(target.parent) == ["package.whl"]
    assert (links / WHEEL).exists(), "the user's own copy stays where it is"


def test_file_comes_from_an_index_on_disk(tmp_path, monkeypatch):
    page = tmp_path / "simple" / "planted"
    page.mkdir(parents=True)
    (page / WHEEL).write_bytes(wheel_bytes())
    (page / "index.html").write_text(f'<a href="{WHEEL}">{WHEEL}</a>')
    use_index(monkeypatch, (tmp_path / "simple").as_uri())
    fetch_package(package("wheel", WHEEL, wheel_bytes()), tmp_path / "out.whl")
    assert (tmp_path / "out.whl").read_bytes() == wheel_bytes()


def test_pip_configuration_file_is_read(tmp_path, monkeypatch):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / WHEEL).write_bytes(wheel_bytes())
    text = f"[global]\nno-index = true\nfind-links = {tmp_path}/links\n"
    (tmp_path / "pip.conf").write_text(text)
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    fetch_package(package("wheel", WHEEL, wheel_bytes()), tmp_path / "out.whl")
    assert (tmp_path / "out.whl").read_bytes() == wheel_bytes()


def test_set_up_code_of_an_sdist_is_not_run(links, tmp_path):
    data = sdist_bytes(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (links / SDIST).write_bytes(data)
    (links / WHEEL).write_bytes(wheel_bytes())
    fetch_package(package("sdist", SDIST, data), tmp_path / "out.tar.gz")
    assert (tmp_path / "out.tar.gz").read_bytes() == data
    assert not (tmp_path / "ran").exists()


def test_other_bytes_are_refused_and_removed(links, tmp_path):
    (links / WHEEL).write_bytes(b"something else")
    target = tmp_path / "made" / "out.whl"
    with pytest.raises(UserError, match="other bytes"):
        fetch_package(package("wheel", WHEEL, wheel_bytes()), target)
    assert os.listdir(target.parent) == []


def test_a_right_file_behind_a_wrong_one_is_found(links, tmp_path, monkeypatch):
    (links / WHEEL).write_bytes(b"something else")
    other = tmp_path / "other"
    other.mkdir()
    (other / WHEEL).write_bytes(wheel_bytes())
    monkeypatch.setenv("PIP_FIND_LINKS", f"{links} {other}")
    fetch_package(package("wheel", WHEEL, wheel_bytes()), tmp_path / "out.whl")
    assert (tmp_path / "out.whl").read_bytes() == wheel_bytes()


def test_an_absent_package_names_itself_and_the_way_out(links, tmp_path):
    target = tmp_path / "out.whl"
    with pytest.raises(UserError) as error:
        fetch_package(package("wheel", WHEEL, wheel_bytes()), target)
    for words in ("wheel of planted 1.2", str(links), "by hand", str(target)):
        assert words in str(error.value)


def test_no_network_is_a_clear_error_without_the_password(tmp_path, monkeypatch):
    use_index(monkeypatch, "http://user:secret@127.0.0.1:9/simple")
    with pytest.raises(UserError, match="127.0.0.1:9/simple failed") as error:
        fetch_package(package("wheel", WHEEL, wheel_bytes()), tmp_path / "out.whl")
    assert "secret" not in str(error.value)


class Index(BaseHTTPRequestHandler):
    """A simple index whose first download breaks off halfway."""

    downloads = 0

    def do_GET(self):
        body, kind = f'<a href="/{WHEEL}">x</a>'.encode(), "text/html"
        cut = None
        if self.path.endswith(WHEEL):
            body, kind = wheel_bytes(), "application/octet-stream"
            Index.downloads += 1
            cut = len(body) // 2 if Index.downloads == 1 else None
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut])

    def log_message(self, *_):
        pass


def test_a_broken_download_is_tried_again(tmp_path, monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        use_index(monkeypatch, f"http://127.0.0.1:{server.server_port}/simple")
        fetch_package(package("wheel", WHEEL, wheel_bytes()), tmp_path / "out.whl")
        server.shutdown()
    assert (tmp_path / "out.whl").read_bytes() == wheel_bytes()
    assert Index.downloads == 2


def test_a_file_put_there_by_hand_is_kept(tmp_path):
    target = tmp_path / "out.whl"
    target.write_bytes(wheel_bytes())
    before = target.stat().st_mtime_ns
    fetch_package(package("wheel", WHEEL, wheel_bytes()), target)
    assert target.stat().st_mtime_ns == before


def test_require_package_refuses_an_absent_and_an_altered_file(tmp_path):
    wanted = package("wheel", WHEEL, wheel_bytes())
    with pytest.raises(UserError, match="There is no file"):
        require_package(tmp_path / WHEEL, wanted)
    (tmp_path / WHEEL).write_bytes(wheel_bytes() + b" ")
    with pytest.raises(UserError, match="delete it and fetch it again"):
        require_package(tmp_path / WHEEL, wanted)
    (tmp_path / WHEEL).write_bytes(wheel_bytes())
    require_package(tmp_path / WHEEL, wanted)


def test_unknown_package_names_the_known_ones(tmp_path):
    with pytest.raises(UserError, match="bigbench"):
        script.main("nothing", tmp_path / "out")


def test_environment_outranks_the_command_and_the_command_outranks_global():
    listing = (
        ":env:.index-url='from-environment'\n"
        "download.cert='from-download'\n"
        "global.cert='from-global'\n"
        "global.index-url='from-global'\n"
        "install.proxy='not ours'\n"
    )
    expected = {"index-url": "from-environment", "cert": "from-download"}
    assert parse_pip_config(listing) == expected


@given(st.dictionaries(st.sampled_from(["proxy", "find-links"]), st.text()))
def test_settings_survive_pips_way_of_printing_them(settings):
    listing = "\n".join(f"global.{key}={value!r}" for key, value in settings.items())
    assert parse_pip_config(listing) == settings


def test_an_extra_index_does_not_replace_the_default_one():
    (_, default), *rest = index_urls({"extra-index-url": "a\nb"})
    assert default.startswith("https://")
    assert rest == [("index", "a"), ("index", "b")]


def test_no_index_leaves_find_links_only():
    settings = {"no-index": "true", "find-links": "x", "extra-index-url": "y"}
    assert index_urls(settings) == [("find_links", "x")]


def test_the_table_agrees_with_itself():
    for name, file in package_files().items():
        assert name == file.name
        assert file.filename.endswith(".whl" if file.kind == "wheel" else ".tar.gz")
        assert file.version in file.filename
        assert len(bytes.fromhex(file.sha256)) == 32
