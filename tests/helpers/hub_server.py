"""A small Hugging Face hub on this machine: the routes that reading and writing repositories take, and no network."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from huggingface_hub import constants

TOKEN = "hf_of_the_tests"


@dataclass
class Repository:
    """Its commits, each all files by path; the last one is `main`."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes]) -> str:
        former = next(reversed(self.commits.values()), {})
        content = {**former, **files}
        name = hashlib.sha1(repr((sorted(content.items()), len(self.commits))).encode()).hexdigest()
        self.commits[name] = content
        return name

    def resolve(self, revision: str) -> str | None:
        if revision in self.commits:
            return revision
        return next(reversed(self.commits), None) if revision in ("main", "") else self.tags.get(revision)


@dataclass
class Hub:
    """What the server holds.

    Args:
        repositories: (`model` or `dataset`, owner/name) -> repository.
        large: sha256 -> content sent by LFS.
        asked: every request, as `GET /path`.
        fail_at: requests that begin so are answered with 500.
        wrong_card: what the hub says against a model card; empty: nothing.
    """

    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    fail_at: str = "-"
    wrong_card: str = ""
    address: str = ""

    def add(self, name: str, files: dict[str, bytes], kind: str = "model") -> Repository:
        repository = self.repositories.setdefault((kind, name), Repository())
        repository.commit(files)
        return repository

    def written(self) -> list[str]:
        """Requests that change something."""
        return [one for one in self.asked if not one.startswith(("GET", "HEAD", "POST /api/validate-yaml"))]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *args: Any) -> None:
        pass

    def _answer(self, code: int, content: Any = None, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content or {}).encode()
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    @property
    def _has_token(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _handle(self) -> None:
        body, path = self._body(), unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        if self.hub.asked[-1].startswith(self.hub.fail_at):
            return self._answer(500, {"error": "the server is ill"})
        if path.startswith(("/api/whoami-v2", "/api/repos/create")) and not self._has_token:
            return self._answer(401, {"error": "Invalid credentials"})
        if path == "/api/whoami-v2":
            return self._answer(200, {"type": "user", "name": "owner", "orgs": [{"name": "lab"}]})
        if path == "/api/validate-yaml":
            wrong = self.hub.wrong_card
            return self._answer(
                400 if wrong else 200, {"errors": [{"message": wrong}] if wrong else [], "warnings": []}
            )
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.hub.repositories[asked.get("type", "model"), name] = Repository(asked.get("visibility") == "private")
            return self._answer(200, {"url": f"{self.hub.address}/{name}", "name": name})
        if path.startswith("/lfs/"):
            self.hub.large[path.removeprefix("/lfs/")] = body
            return self._answer(200)
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.hub.address}/lfs/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            return self._answer(200, {"objects": objects})
        return self._of_repository(path, body)

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def _of_repository(self, path: str, body: bytes) -> None:
        found = re.fullmatch(r"/api/(model|dataset)s/([^/]+/[^/]+)(?:/(\w+)/(.+))?", path)
        fetched = re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if found:
            kind, name, action, revision = found[1], found[2], found[3] or "revision", found[4] or ""
        elif fetched:
            kind, name, action, revision = "dataset" if fetched[1] else "model", fetched[2], "resolve", fetched[3]
        else:
            return self._answer(404, {"error": f"no route {path}"})
        repository = self.hub.repositories.get((kind, name))
        if repository is None or (repository.private and not self._has_token):
            return self._answer(401, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        if action == "preupload":
            modes = [
                {"path": one["path"], "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                 "shouldIgnore": False, "oid": None}
                for one in json.loads(body)["files"]
            ]  # fmt: skip
            return self._answer(200, {"files": modes})
        if action == "commit":
            oid = repository.commit(self._operations(body))
            return self._answer(200, {"commitUrl": f"{self.hub.address}/{name}/commit/{oid}", "commitOid": oid})
        commit = repository.resolve(revision)
        if commit is None and not (action == "revision" and not repository.commits):
            return self._answer(404, {"error": "Invalid rev id"}, X_Error_Code="RevisionNotFound")
        files = repository.commits.get(commit or "", {})
        if action == "revision":
            siblings = [{"rfilename": one} for one in files]
            return self._answer(200, {"id": name, "sha": commit, "private": repository.private, "siblings": siblings})
        if action == "tree":
            assert parse_qs(urlsplit(self.path).query).get("recursive")
            return self._answer(200, [
                {"type": "file", "path": one, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for one, content in files.items()
            ])  # fmt: skip
        assert fetched is not None
        if fetched[4] not in files:
            return self._answer(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound")
        content = files[fetched[4]]
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        return self._answer(200, content, ETag=etag, X_Repo_Commit=str(commit), Accept_Ranges="none")

    def _operations(self, body: bytes) -> dict[str, bytes]:
        files = {}
        for line in filter(None, body.splitlines()):
            one = json.loads(line)
            if one["key"] == "file":
                files[one["value"]["path"]] = base64.b64decode(one["value"]["content"])
            elif one["key"] == "lfsFile":
                files[one["value"]["path"]] = self.hub.large[one["value"]["oid"]]
        return files


@contextmanager
def serve_hub(cache: Path) -> Iterator[Hub]:
    """Serve an empty hub, and make the hub's library take it for the real one, with a cache and a token of its own.

    Args:
        cache: a folder for what is fetched.
    """
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.address)
        patch.setenv("HF_TOKEN", TOKEN)
        patch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        try:
            yield hub
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
