"""A server on a Unix socket: its rights, what lies in its way, who may ask what."""

from __future__ import annotations

import http.client
import json
import os
import socket
import stat

import numpy as np
import pytest

from edge_runtime.engine.choose import open_engine
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.server import Server
from edge_runtime.serving.unix_socket import LONGEST, bind
from tests.contracts.engine import scale_model
from tests.edge_runtime.serving.conftest import request_of
from toolkit.errors import TiersError, UsageError
from toolkit.wire.device_config import ModelConfig, ServingConfig

INFER = "/v2/models/m/infer"
ADMIN, READER = "a" * 32, "r" * 32
QUESTION = json.dumps(request_of(x=np.ones((1, 4), np.float32)))


class UnixConnection(http.client.HTTPConnection):
    """http.client over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(self.path))


def ask(path, method, target, body=None, **headers):
    connection = UnixConnection(path)
    try:
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir(mode=0o750)
    return folder / "serve.sock"


def served(serve, place, tmp_path, **config):
    serving = serve(ModelConfig(name="m"), config=ServingConfig(port=0, unix_socket=str(place), **config))
    serving.swap("m", "1", open_engine(scale_model(tmp_path / "m.onnx", 2)))
    return serving


def test_it_serves_beside_tcp_and_the_file_goes_with_it(serve, place, tmp_path):
    serving = served(serve, place, tmp_path)
    found = place.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o660, os.geteuid())
    status, answer = ask(place, "POST", INFER, QUESTION)
    assert (status, json.loads(answer)["outputs"][0]["data"]) == (200, [2, 2, 2, 2])
    assert serving.ask("GET", "/v2")[0] == 200
    serving.call(serving.server.stop())
    assert not place.exists()


def test_it_serves_without_tcp(serve, place, tmp_path):
    serving = served(serve, place, tmp_path, host="")
    assert serving.port == 0
    assert ask(place, "GET", "/metrics")[0] == 200
    assert ask(place, "GET", "/v2/health/live")[0] == 200


def test_with_neither_nobody_could_ask():
    with pytest.raises(UsageError, match=r"no serving\.unix_socket"):
        Server(ServingConfig(host=""), ModelTable())


def test_the_files_rights_let_in_and_an_admin_shows_his_token(serve, place, tmp_path):
    """Over TCP the same server wants the tokens."""
    (tmp_path / "token").write_text(f"{READER}\nadmin:{ADMIN}\n")
    serving = served(serve, place, tmp_path, token_file=str(tmp_path / "token"))
    assert serving.ask("GET", "/v2")[0] == 401
    assert ask(place, "POST", INFER, QUESTION)[0] == 200
    load = "/v2/repository/models/m/load"
    assert ask(place, "POST", load)[0] == 401
    assert ask(place, "POST", load, Authorization=f"Bearer {READER}")[0] == 403
    assert ask(place, "POST", load, Authorization=f"Bearer {ADMIN}")[0] == 501, "nobody loads by hand here"


def test_what_a_killed_process_left_is_taken_away(serve, place, tmp_path):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place))
    assert place.exists()
    served(serve, place, tmp_path)
    assert ask(place, "GET", "/v2")[0] == 200


def test_one_that_somebody_listens_on_stays(place):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place))
        other.listen()
        with pytest.raises(TiersError, match="somebody listens there") as caught:
            bind(str(place))
        assert caught.value.hint
    assert place.exists()


def test_a_file_in_the_way_is_kept(place):
    place.write_text("mine")
    with pytest.raises(UsageError, match="is there and is no socket"):
        bind(str(place))
    assert place.read_text() == "mine"


def test_a_link_in_the_way_is_not_followed(place):
    place.symlink_to(place.parent)
    with pytest.raises(UsageError, match="is no socket"):
        bind(str(place))


def test_a_folder_where_everybody_writes_is_refused(place):
    place.parent.chmod(0o777)
    with pytest.raises(UsageError, match="writable for everybody") as caught:
        bind(str(place))
    assert "mkdir" in caught.value.hint
    place.parent.chmod(0o1777)
    bind(str(place)).close()


def test_a_folder_that_is_not_there_is_named(place):
    place.parent.rmdir()
    with pytest.raises(UsageError, match="No such file") as caught:
        bind(str(place))
    assert str(place.parent) in caught.value.hint


def test_a_socket_of_another_user_stays(place):
    if os.geteuid():
        pytest.skip("needs hardware: only root gives files away")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place))
    os.chown(place, 12345, -1)
    with pytest.raises(UsageError, match="belongs to user 12345"):
        bind(str(place))
    os.chown(place.parent, 12345, -1)
    with pytest.raises(UsageError, match="belongs to another user"):
        bind(str(place))


def test_a_path_that_no_socket_can_have_is_refused_before_anything_is_opened():
    path = "/" + "d" * LONGEST
    with pytest.raises(UsageError, match=f"has {LONGEST + 1} bytes") as caught:
        Server(ServingConfig(unix_socket=path), ModelTable())
    assert "shorter" in caught.value.hint


def test_a_port_that_is_taken_leaves_no_socket_behind(serve, place):
    other = serve()
    with pytest.raises(TiersError, match=f"cannot serve on 127.0.0.1:{other.port}"):
        other.call(Server(ServingConfig(port=other.port, unix_socket=str(place)), ModelTable()).start())
    assert not place.exists()


def test_clients_of_the_socket_are_told_apart_by_user(serve, place, tmp_path):
    serving = served(serve, place, tmp_path, client_rate=0.001)
    assert ask(place, "GET", "/v2")[0] == 200
    assert ask(place, "GET", "/v2")[0] == 429
    assert serving.ask("GET", "/v2")[0] == 200, "who comes by TCP is another client"
