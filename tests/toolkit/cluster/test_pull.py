"""CRDs of a cluster in a folder: all that are served, whole, and nothing whose name or size is not plain."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import urllib3

from toolkit.cli import main
from toolkit.cluster import pull as pulling
from toolkit.cluster.pull import CRDS, pull
from toolkit.cluster.request import Connection
from toolkit.errors import ClusterError, IntegrityError, UnsafePathError
from toolkit.lint.document import from_objects
from toolkit.lint.schema import schemas_from, validate
from toolkit.lint.schema_files import CACHE, MANIFEST

TIERS_YAML = Path(__file__).parents[3] / "tiers.yaml"
THING = {
    "metadata": {"name": "things.example.org"},
    "spec": {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"kind": "Thing", "plural": "things"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "description": "A thing.",
                        "properties": {"description": {"type": "string", "description": "Ours."}},
                    }
                },
            },
            {"name": "v0", "served": False, "storage": False},
        ],
    },
}


class Server(ThreadingHTTPServer):
    """An API server that has these CRDs and nothing else."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.crds: list[dict] = [THING]

    def connection(self) -> Connection:
        host = f"http://127.0.0.1:{self.server_address[1]}"
        return Connection("main", "hospital", host, urllib3.PoolManager(), dict)


class Answers(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        first = "continue=" not in query
        half = self.server.crds[:1] if first else self.server.crds[1:]
        more = {"continue": "more"} if first and len(self.server.crds) > 1 else {}
        body = {"gitVersion": "v1.35.3"} if path == "/version" else {"items": half, "metadata": more}
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def named(name: str) -> dict:
    return {**THING, "metadata": {"name": name}}


def test_served_versions_are_kept_without_descriptions(server, tmp_path):
    pulled = pull(server.connection(), tmp_path / "main")
    assert pulled.kinds == ("example.org/v1 Thing",)
    kept = json.loads((tmp_path / "main" / "things.example.org.json").read_text())
    schema = kept["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema == {"type": "object", "properties": {"description": {"type": "string"}}}
    manifest = json.loads((tmp_path / "main" / MANIFEST).read_text())
    assert (manifest["format"], manifest["cluster"], manifest["kubernetes"]) == (1, "main", "v1.35.3")
    assert schemas_from([tmp_path / "main"]).kubernetes == "v1.35.3"


def test_every_page_is_read_and_what_is_gone_is_removed(server, tmp_path):
    server.crds = [THING, named("others.example.org")]
    assert len(pull(server.connection(), tmp_path).written) == 2
    foreign = tmp_path / "notes.txt"
    foreign.write_text("mine")
    server.crds = [THING]
    again = pull(server.connection(), tmp_path)
    assert (again.written, again.removed) == ((), ("others.example.org.json",))
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        MANIFEST,
        "notes.txt",
        "things.example.org.json",
    ]


@pytest.mark.parametrize(
    "name", ["../../etc/things", "/etc/things", "a/b", "", "..", "a" * 300, "A\0b", "manifest\n"]
)
def test_a_name_that_is_no_file_name_writes_nothing(server, tmp_path, name):
    server.crds = [THING, named(name)]
    with pytest.raises(UnsafePathError) as caught:
        pull(server.connection(), tmp_path / "main")
    assert caught.value.exit_code == 6
    assert not (tmp_path / "main").exists()


def test_a_crd_beyond_all_limits_writes_nothing(server, tmp_path):
    huge = json.loads(json.dumps(THING))
    huge["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["pattern"] = "x" * pulling.LARGEST_CRD
    server.crds = [huge]
    with pytest.raises(IntegrityError, match="bytes"):
        pull(server.connection(), tmp_path / "main")
    assert not (tmp_path / "main").exists()


def test_a_folder_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "main").write_text("a file")
    with pytest.raises(ClusterError, match="main"):
        pull(server.connection(), tmp_path / "main")


def test_a_schema_that_only_go_understands_is_said_to_check_nothing(server, tmp_path):
    odd = json.loads(json.dumps(THING))
    odd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["a"] = {
        "type": "string",
        "pattern": "(",
    }
    server.crds = [odd]
    pull(server.connection(), tmp_path)
    body = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "a"}}
    told = validate(from_objects([body]), schemas_from([tmp_path]))
    assert (told.problems, told.unchecked) == ((), ("example.org/v1 Thing",))


def test_a_real_cluster_is_saved_and_lint_finds_it(plane, tmp_path, capsys):
    shutil.copy(TIERS_YAML, tmp_path)
    files = ["--file", str(tmp_path / "tiers.yaml")]
    pull_it = ["schema", "pull", *files, "--kubeconfig", str(plane.kubeconfig), "--json"]
    assert main(pull_it) == 0
    (told,) = json.loads(capsys.readouterr().out)
    installed = plane.api.items(CRDS)
    assert len(told["written"]) == len(installed) > 20
    assert told["kubernetes"] == "v1.35.3"
    assert main(["lint", *files]) == 0
    assert "no schema" not in capsys.readouterr().err
    assert main(pull_it) == 0
    assert json.loads(capsys.readouterr().out)[0]["written"] == []
    folder = tmp_path / CACHE / "main"
    sizes = sum(each.stat().st_size for each in folder.iterdir())
    assert sizes < 4 * 2**20


def test_without_rights_nothing_is_written(plane, tmp_path, capsys):
    shutil.copy(TIERS_YAML, tmp_path)
    guest = plane.write_kubeconfig("guest")
    assert main(["schema", "pull", "--file", str(tmp_path / "tiers.yaml"), "--kubeconfig", str(guest)]) == 1
    assert "forbidden" in capsys.readouterr().err
    assert not (tmp_path / CACHE).exists()
