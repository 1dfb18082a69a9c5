"""A hub in a process of its own: one model, one dataset, one commit each."""

import hashlib
import json
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Handler(BaseHTTPRequestHandler):
    """Answers what huggingface_hub asks for files in ROOT/{models,datasets}/O/N."""

    def __init__(self, root: Path, asked: list[str], *args):
        self.root, self.asked = root, asked
        super().__init__(*args)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path).strip("/")
        self.asked.append(f"{self.command} {path}")
        if path.startswith("api/"):
            parts = path.split("/")[1:]
            self.answer_api(self.root.joinpath(*parts[:3]), parts[3:])
            return
        repository, _, file = path.partition("/resolve/")
        kind = "" if repository.startswith("datasets/") else "models/"
        self.send_file(self.root / kind / repository / file.partition("/")[2])

    def answer_api(self, folder: Path, rest: list[str]) -> None:
        """Commit and files of a repository, or their tree."""
        if folder.parent.parent.parent != self.root or not folder.is_dir():
            self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        names = [str(file.relative_to(folder)) for file in files]
        found = {"id": "/".join(folder.parts[-2:]), "sha": COMMIT}
        found |= {"siblings": [{"rfilename": name} for name in names]}
        tree = [
            {"type": "file", "path": name, "oid": etag(file), "size": len(read(file))}
            for name, file in zip(names, files, strict=True)
        ]
        self.send(200, json.dumps(tree if rest[:1] == ["tree"] else found).encode())

    def send_file(self, file: Path) -> None:
        if file.is_file():
            headers = {"ETag": f'"{etag(file)}"', "X-Repo-Commit": COMMIT}
            self.send(200, read(file), headers)
        else:
            self.send(404, b"", {"X-Error-Code": "EntryNotFound"})

    def send(self, status: int, body: bytes, headers: dict | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


def read(file: Path) -> bytes:
    return file.read_bytes()


def etag(file: Path) -> str:
    return hashlib.sha1(read(file)).hexdigest()


@contextmanager
def serve(root: Path):
    """Yield the address of a hub with the files of `root`, and what it is asked."""
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, root, asked))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
