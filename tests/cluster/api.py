"""A client of its own for tests: what it says about the server owes nothing to the code under test."""

from __future__ import annotations

import json
import threading
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
BUSY_READING = BUSY.new(connect=3, read=3, backoff_factor=0.5)
"""Reading means the same twice, so a connection that broke is no failure."""
NOT_ASKED = "failed calling webhook"
"""A webhook that did not answer in time: the server has done nothing then, whatever it was asked for."""
SLOW_STORE = ("etcdserver: request timed out", "etcdserver: leader changed")
"""The server does not know then what it has done; reading, merging and applying mean the same twice."""
ATTEMPTS, PAUSE_SECONDS = 5, 1.0


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
        retries = BUSY_READING if method == "GET" else BUSY
        for attempt in range(1, ATTEMPTS + 1):
            answer = self.pool.request(
                method, self.url + path, body=data, headers=headers, timeout=60.0, retries=retries
            )
            text = answer.data.decode(errors="replace")
            if answer.status < 300:
                return json.loads(text) if text.startswith("{") else text
            if attempt == ATTEMPTS or not _may_pass(method, answer.status, text):
                raise Refused(answer.status, text)
            threading.Event().wait(PAUSE_SECONDS)
        raise AssertionError("the last attempt returns or raises")

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

    def remove(self, path: str) -> None:
        """Delete what may be on its way out already, and so be gone when the request arrives."""
        try:
            self.delete(path)
        except Refused as error:
            if error.code != 404:
                raise

    def gone(self, path: str) -> bool:
        try:
            self.get(path)
        except Refused as error:
            return error.code == 404
        return False


def _may_pass(method: str, status: int, text: str) -> bool:
    twice = method in {"GET", "PATCH"}
    return status == 500 and (NOT_ASKED in text or (twice and any(each in text for each in SLOW_STORE)))
