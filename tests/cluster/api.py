"""A client of its own for tests: what it says about the server owes nothing to the code under test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
BUSY = urllib3.Retry(
    10,
    connect=0,
    read=0,
    other=0,
    redirect=0,
    status_forcelist=[429],
    allowed_methods=None,
    raise_on_status=False,
)
"""A server that has just got a CRD says for a second that its storage initializes; it has done nothing then."""


class Refused(Exception):  # noqa: N818
    """The server said no; `code` is the HTTP status."""

    def __init__(self, code: int, body: str) -> None:
        super().__init__(f"HTTP {code}: {body[:2000]}")
        self.code, self.body = code, body


@dataclass
class Api:
    """One user of one API server."""

    url: str
    token: str
    ca: Path

    def __post_init__(self) -> None:
        self.pool = urllib3.PoolManager(ca_certs=str(self.ca), maxsize=16, retries=BUSY)

    def request(self, method: str, path: str, body: object = None, form: str = "application/json") -> Any:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": form}
        answer = self.pool.request(method, self.url + path, body=data, headers=headers, timeout=60.0)
        if answer.status >= 300:
            raise Refused(answer.status, answer.data.decode(errors="replace"))
        return json.loads(answer.data) if answer.data.startswith(b"{") else answer.data.decode()

    def get(self, path: str) -> Any:
        return self.request("GET", path)

    def items(self, path: str) -> list[dict[str, Any]]:
        return self.get(path)["items"]

    def create(self, path: str, body: Mapping[str, object]) -> Any:
        return self.request("POST", path, body)

    def merge(self, path: str, body: Mapping[str, object], manager: str = "somebody") -> Any:
        """Change fields the way kubectl edit does: under another manager's name."""
        return self.request("PATCH", f"{path}?fieldManager={manager}", body, MERGE)

    def apply(self, path: str, body: bytes | Mapping[str, object], manager: str = "somebody") -> Any:
        return self.request("PATCH", f"{path}?fieldManager={manager}&force=true", body, APPLY)

    def delete(self, path: str) -> Any:
        return self.request("DELETE", path)

    def gone(self, path: str) -> bool:
        try:
            self.get(path)
        except Refused as error:
            return error.code == 404
        return False
