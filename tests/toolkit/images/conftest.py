"""A real registry (distribution's, as Debian packs it) on a free loopback port, with tags pushed over its API."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3
import yaml

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class Registry:
    """A running registry."""

    host: str
    scheme: str
    headers: Mapping[str, str]
    pool: urllib3.PoolManager
    log: Path

    def push(self, name: str, content: str, platforms: tuple[str, ...] = ()) -> str:
        """Put a tag, `repository:tag`; with platforms an index of one image each. Give the digest that it must have."""
        repository, _, tag = name.partition(":")
        if not platforms:
            return self._manifest(repository, tag, self._image(repository, content), MANIFEST)
        parts = []
        for each in platforms:
            body = self._image(repository, f"{content} for {each}")
            digest = self._manifest(repository, f"sha256:{hashlib.sha256(body).hexdigest()}", body, MANIFEST)
            system, _, architecture = each.partition("/")
            platform = {"os": system, "architecture": architecture}
            parts.append({"mediaType": MANIFEST, "digest": digest, "size": len(body), "platform": platform})
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": parts}
        return self._manifest(repository, tag, json.dumps(index).encode(), INDEX)

    def _image(self, repository: str, content: str) -> bytes:
        config = json.dumps(
            {"architecture": "arm64", "os": "linux", "config": {}, "rootfs": {"type": "layers"}}
        )
        described = [
            {"mediaType": kind, "digest": self._blob(repository, data), "size": len(data)}
            for kind, data in (
                ("application/vnd.oci.image.config.v1+json", config.encode()),
                ("application/vnd.oci.image.layer.v1.tar", content.encode()),
            )
        ]
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described[0],
            "layers": described[1:],
        }
        return json.dumps(manifest).encode()

    def _blob(self, repository: str, data: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        begun = self._send("POST", f"/v2/{repository}/blobs/uploads/", b"", "application/octet-stream")
        place = begun.headers["Location"].partition("/v2/")[2]
        self._send("PUT", f"/v2/{place}&digest={digest}", data, "application/octet-stream")
        return digest

    def _manifest(self, repository: str, tag: str, body: bytes, kind: str) -> str:
        self._send("PUT", f"/v2/{repository}/manifests/{tag}", body, kind)
        return f"sha256:{hashlib.sha256(body).hexdigest()}"

    def _send(self, method: str, path: str, body: bytes, kind: str) -> urllib3.BaseHTTPResponse:
        answer = self.pool.request(
            method,
            f"{self.scheme}://{self.host}{path}",
            body=body,
            headers={**self.headers, "Content-Type": kind},
        )
        assert answer.status < 300, answer.data
        return answer


@pytest.fixture
def start_registry(
    require: Callable[[str], None],
    tmp_path: Path,
    free_port: Callable[[], int],
    wait_until: Callable[..., None],
) -> Iterator[Callable[..., Registry]]:
    """Give `start_registry(changes, headers, host, ca_file)`: changes are laid over the registry's configuration."""
    require("registry")
    running: list[subprocess.Popen[bytes]] = []

    def start(
        changes: dict[str, dict[str, object]] | None = None,
        headers: Mapping[str, str] | None = None,
        host: str = "",
        ca_file: str = "",
    ) -> Registry:
        host = host or f"127.0.0.1:{free_port()}"
        folder = tmp_path / f"registry-{len(running)}"
        folder.mkdir()
        changes = changes or {}
        http: dict[str, object] = {"addr": host, "secret": "of-a-test", **changes.get("http", {})}
        document = {
            "version": 0.1,
            "log": {"accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
            **changes,
            "http": http,
        }
        (folder / "config.yml").write_text(yaml.safe_dump(document))
        program = shutil.which("docker-registry") or shutil.which("registry")
        assert program is not None
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [program, "serve", str(folder / "config.yml")], stdout=log, stderr=log,
                env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
            )  # fmt: skip
        running.append(process)
        scheme = "https" if "tls" in http else "http"
        pool = urllib3.PoolManager(ca_certs=ca_file) if ca_file else urllib3.PoolManager()
        found = Registry(host, scheme, headers or {}, pool, folder / "log")

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                found.pool.request("GET", f"{scheme}://{found.host}/v2/", retries=False, timeout=2.0)
            except urllib3.exceptions.HTTPError:
                return False
            return True

        wait_until(answers, "the registry answers")
        return found

    yield start
    for process in running:
        process.terminate()
        process.wait(60)
