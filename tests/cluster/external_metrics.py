"""external.metrics.k8s.io in front of a real Prometheus: what prometheus-adapter serves an HPA, as small as it can be.

A name of a metric is answered with the value of one record for the labels that the HPA selects by. The API server
reaches it through an APIService, as it does every adapter.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import urllib3

GROUP = "external.metrics.k8s.io"
PLACE = f"/apis/{GROUP}/v1beta1"


class ExternalMetrics:
    """Serves on a free loopback port from the start to `stop`."""

    def __init__(self, prometheus: str, records: dict[str, str], certificate: Path, key: Path) -> None:
        """Answer for records: record -> name of the metric."""
        outer = self
        self.prometheus = prometheus
        self.records = {name: record for record, name in records.items()}
        self.asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                code, body = outer.answer(self.path)
                text = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, target: str) -> tuple[int, dict[str, object]]:
        address = urlsplit(target)
        if address.path == PLACE:
            return 200, {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": f"{GROUP}/v1beta1",
                "resources": [
                    {"name": each, "kind": "ExternalMetricValueList", "namespaced": True, "verbs": ["get"]}
                    for each in self.records
                ],
            }
        record = self.records.get(address.path.rpartition("/")[2])
        if record is None:
            return 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}
        self.asked.append(target)
        selector = parse_qs(address.query).get("labelSelector", [""])[0]
        labels = ", ".join(
            f'{name}="{value}"' for name, value in (each.split("=") for each in selector.split(","))
        )
        with urllib3.PoolManager() as pool:
            query = {"query": f"max({record}{{{labels}}})"}
            told = pool.request("GET", f"{self.prometheus}/api/v1/query", fields=query, timeout=5.0).json()
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        items = [
            {
                "metricName": self.records and address.path.rpartition("/")[2],
                "metricLabels": {},
                "timestamp": now,
                "value": f"{round(float(each['value'][1]) * 1000)}m",
            }
            for each in told["data"]["result"]
        ]
        return 200, {
            "kind": "ExternalMetricValueList",
            "apiVersion": f"{GROUP}/v1beta1",
            "metadata": {},
            "items": items,
        }


def registration(port: int) -> tuple[dict[str, object], dict[str, object]]:
    """Give the Service and the APIService that lead the API server to a port of this machine."""
    service = {
        "metadata": {"name": "metrics-adapter"},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
    }
    api = {
        "metadata": {"name": f"v1beta1.{GROUP}"},
        "spec": {
            "group": GROUP,
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"namespace": "default", "name": "metrics-adapter", "port": port},
        },
    }
    return service, api
