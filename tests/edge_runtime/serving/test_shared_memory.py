"""Tensors in shared memory: Triton's own client and module for regions, and everything that may be wrong with one."""

from __future__ import annotations

import contextlib
import os
import uuid

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException
from tritonclient.utils import shared_memory as regions

from edge_runtime.engine.choose import open_engine
from edge_runtime.serving.guard import check_exposure
from edge_runtime.serving.http import Request
from edge_runtime.serving.limits import Limits
from edge_runtime.serving.refusals import BadRequestError, RequestError
from edge_runtime.serving.shared_memory import ANY_USER, FOLDER, MOST_REGIONS, SharedMemory
from tests.contracts.engine import HeldEngine, contract_model, feed
from toolkit.errors import UsageError
from toolkit.wire.device_config import ModelConfig, ServingConfig

REGISTER = '{"key": "%s", "byte_size": %d}'


@pytest.fixture
def serving(serve, tmp_path):
    serving = serve(
        ModelConfig(name="m", max_batch=8),
        config=ServingConfig(port=0, shared_memory=True),
        limits=Limits(buffered_bytes=1_000_000),
    )
    serving.swap("m", "1", open_engine(contract_model(tmp_path / "m.onnx")))
    return serving


@pytest.fixture
def client(serving):
    with triton.InferenceServerClient(f"127.0.0.1:{serving.port}") as client:
        yield client


@pytest.fixture
def region():
    """Give a function that makes a region: region(bytes) -> (key, handle)."""
    with contextlib.ExitStack() as stack:

        def make(size):
            key = f"tiers-{uuid.uuid4().hex}"
            handle = regions.create_shared_memory_region(key, key, size)
            stack.callback(regions.destroy_shared_memory_region, handle)
            return key, handle

        yield make


def placed(name, array, key, offset=0, kind="FP32"):
    tensor = triton.InferInput(name, list(array.shape), kind)
    tensor.set_shared_memory(key, array.nbytes, offset)
    return tensor


def output(name, key, size, offset=0):
    wanted = triton.InferRequestedOutput(name)
    wanted.set_shared_memory(key, size, offset)
    return wanted


def test_tensors_go_in_and_out_by_regions(serving, client, region):
    arrays = feed(3)
    x, k = arrays["x"], arrays["k"]
    key, handle = region(1000)
    regions.set_shared_memory_region(handle, [x, k])
    client.register_system_shared_memory("all", key, 1000)
    assert client.get_system_shared_memory_status() == [
        {"name": "all", "key": key, "offset": 0, "byte_size": 1000}
    ]
    assert "system_shared_memory" in client.get_server_metadata()["extensions"]
    for turn in range(3):
        found = client.infer(
            "m",
            [placed("x", x, "all"), placed("k", k, "all", x.nbytes, "INT64")],
            outputs=[output("y", "all", x.nbytes, 500), triton.InferRequestedOutput("z")],
        )
        y = regions.get_contents_as_numpy(handle, np.float32, list(x.shape), 500)
        np.testing.assert_array_equal(y, x * 2)
        assert found.get_output("y")["parameters"]["shared_memory_offset"] == 500
        assert found.as_numpy("z") is not None
        x = x + np.float32(turn)
        regions.set_shared_memory_region(handle, [x])
    del y
    client.unregister_system_shared_memory("all")
    assert client.get_system_shared_memory_status() == []
    assert serving.server._memory.copied_bytes == 0


def test_a_region_may_begin_inside_its_file_and_leave_with_all_others(client, region):
    key, handle = region(4096)
    x = feed(1)["x"]
    regions.set_shared_memory_region(handle, [x], 256)
    client.register_system_shared_memory("a", key, 512, offset=256)
    client.register_system_shared_memory("b", f"/{key}", 100)
    assert client.get_system_shared_memory_status("a")[0]["offset"] == 256
    k = triton.InferInput("k", [1], "INT64")
    k.set_data_from_numpy(np.array([1]))
    found = client.infer("m", [placed("x", x, "a"), k])
    np.testing.assert_array_equal(found.as_numpy("y"), x * 2)
    client.unregister_system_shared_memory()
    assert client.get_system_shared_memory_status() == []
    client.unregister_system_shared_memory("a")


def test_a_region_that_was_cut_off_is_an_error_and_no_crash(client, region):
    """The file gets shorter while it is registered: a mapped page would end the daemon with SIGBUS."""
    key, handle = region(65536)
    x, k = np.ones((8, 4), np.float32), np.zeros(8, np.int64)
    client.register_system_shared_memory("r", key, 65536)
    sent = triton.InferInput("k", [8], "INT64")
    sent.set_data_from_numpy(k)
    os.truncate(FOLDER / key, 100)
    with pytest.raises(InferenceServerException, match="was cut off: 100 of 128 bytes"):
        client.infer("m", [placed("x", x, "r"), sent])
    given = triton.InferInput("x", [8, 4], "FP32")
    given.set_data_from_numpy(x)
    with pytest.raises(InferenceServerException, match="was cut off: 128 bytes at 0"):
        client.infer("m", [given, sent], outputs=[output("y", "r", 128)])
    assert (FOLDER / key).stat().st_size == 100, "nothing was written behind its end"
    assert client.is_server_live()
    os.truncate(FOLDER / key, 65536)
    del handle


WRONG = {
    "a path": ("/../etc/passwd", 10, "is no name of shared memory"),
    "a hidden path": ("..", 10, "is no name of shared memory"),
    "a folder inside": ("a/b", 10, "is no name of shared memory"),
    "nothing": ("", 10, "is no name of shared memory"),
    "zero": ("a\\u0000b", 10, "is no name of shared memory"),
    "not there": ("tiers-is-not-there", 10, "No such file"),
    "no bytes": ("{key}", 0, "byte_size is at least 1"),
    "fewer than none": ("{key}", -5, "byte_size is at least 1"),
    "too many": ("{key}", 1001, "has 1000 bytes, not 1001"),
}


@pytest.fixture
def memory():
    memory = SharedMemory(100_000)
    yield memory
    memory.unregister()


@pytest.mark.parametrize("case", list(WRONG))
def test_what_is_no_region_is_not_opened(memory, region, case):
    key, size, said = WRONG[case]
    real, _ = region(1000)
    with pytest.raises(BadRequestError, match=said):
        memory.register("r", (REGISTER % (key.replace("{key}", real), size)).encode(), ANY_USER)
    assert memory.status() == []


def test_a_link_is_not_followed(memory, tmp_path):
    link, target = FOLDER / f"tiers-{uuid.uuid4().hex}", tmp_path / "secret"
    target.write_bytes(b"s" * 100)
    link.symlink_to(target)
    try:
        with pytest.raises(BadRequestError, match="cannot be opened"):
            memory.register("r", (REGISTER % (link.name, 10)).encode(), ANY_USER)
    finally:
        link.unlink()


def test_another_users_memory_is_for_its_user_alone(memory, region):
    key, _ = region(1000)
    body = (REGISTER % (key, 1000)).encode()
    if os.geteuid() == 0:
        os.chown(FOLDER / key, 12345, -1)
        for user in (ANY_USER, 54321):
            with pytest.raises(RequestError, match="belongs to another user") as caught:
                memory.register("r", body, user)
            assert caught.value.status == 403
        memory.register("r", body, 12345)
    else:
        memory.register("r", body, 12345)
    assert len(memory.status()) == 1


def test_what_does_not_lie_in_a_region_is_not_read_or_written(memory, region):
    key, _ = region(1000)
    memory.register("r", (REGISTER % (key, 500)).encode(), ANY_USER)
    for offset, size in ((0, 501), (500, 1), (-1, 1), (2**70, 1), (0, 2**70)):
        with pytest.raises(BadRequestError, match="do not lie in region"):
            memory.read("r", offset, size)
    with pytest.raises(BadRequestError, match="do not lie in region"):
        memory.write("r", 499, np.zeros(2, np.uint8))
    with pytest.raises(BadRequestError, match="no region 'q'"):
        memory.read("q", 0, 1)


def test_what_is_held_has_a_limit_that_is_given_back(memory, region):
    key, _ = region(90_000)
    memory.register("r", (REGISTER % (key, 90_000)).encode(), ANY_USER)
    with pytest.raises(RequestError, match="of 100000 bytes together"):
        memory.register("s", (REGISTER % (key, 20_000)).encode(), ANY_USER)
    lease, other = memory.lease(), memory.lease()
    place = {"shared_memory_region": "r", "shared_memory_byte_size": 60_000}
    lease.read(place, 60_000, "x")
    with pytest.raises(RequestError, match="too many bytes") as caught:
        other.read(place, 60_000, "x")
    assert (caught.value.status, caught.value.retryable) == (503, True)
    lease.release()
    lease.release()
    other.read(place, 60_000, "x")
    other.release()
    assert memory.copied_bytes == 0
    for number in range(MOST_REGIONS - 1):
        memory.register(f"{number}", (REGISTER % (key, 1)).encode(), ANY_USER)
    with pytest.raises(RequestError, match=f"at most {MOST_REGIONS} regions"):
        memory.register("more", (REGISTER % (key, 1)).encode(), ANY_USER)


def test_a_name_is_taken_once(memory, region):
    key, _ = region(100)
    body = (REGISTER % (key, 100)).encode()
    memory.register("r", body, ANY_USER)
    with pytest.raises(BadRequestError, match="registered already; unregister it first"):
        memory.register("r", body, ANY_USER)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"key": 1, "byte_size": 1}', b"\xff", b" " * 70_000])
def test_what_is_no_registration_is_refused(memory, body):
    with pytest.raises(BadRequestError):
        memory.register("r", body, ANY_USER)


TENSORS = {
    "data as well": ({"data": [0.0] * 4}, "in shared memory, and in the body as well"),
    "another size": (
        {"shared_memory_byte_size": 12},
        "shared_memory_byte_size is 12, but its shape takes 16",
    ),
    "no size": ({"shared_memory_byte_size": None}, "are numbers"),
    "a text as offset": ({"shared_memory_offset": "0"}, "are numbers"),
    "a number as region": ({"shared_memory_region": 7}, "are numbers"),
    "below the region": ({"shared_memory_offset": -16}, "do not lie in region"),
    "behind the region": ({"shared_memory_offset": 990}, "do not lie in region"),
    "binary as well": ({"binary_data_size": 16}, "in the body as well"),
}


@pytest.mark.parametrize("case", list(TENSORS))
def test_a_tensor_that_is_not_in_its_region_is_refused(serving, client, region, case):
    changed, said = TENSORS[case]
    key, _ = region(1000)
    client.register_system_shared_memory("r", key, 1000)
    parameters = {"shared_memory_region": "r", "shared_memory_byte_size": 16} | changed
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32"}
    if "data" in parameters:
        tensor["data"] = parameters.pop("data")
    tensor["parameters"] = {name: value for name, value in parameters.items() if value is not None}
    body = {"inputs": [tensor, {"name": "k", "shape": [1], "datatype": "INT64", "data": [0]}]}
    status, _, document = serving.ask("POST", "/v2/models/m/infer", body)
    assert (status, said in document["error"]) == (400, True), document
    assert serving.server._memory.copied_bytes == 0


def test_an_output_that_is_too_long_for_its_place_is_refused(client, region):
    key, _ = region(1000)
    client.register_system_shared_memory("r", key, 1000)
    inputs = []
    for name, array in feed(2).items():
        tensor = triton.InferInput(name, list(array.shape), "FP32" if name == "x" else "INT64")
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    with pytest.raises(InferenceServerException, match="takes 32 bytes, but shared_memory_byte_size is 31"):
        client.infer("m", inputs, outputs=[output("y", "r", 31)])


def test_a_question_under_way_keeps_what_it_read(serve, region, wait_until):
    """The client writes the next picture while the engine still has the last one."""
    serving = serve(ModelConfig(name="m", max_batch=1), config=ServingConfig(port=0, shared_memory=True))
    engine = HeldEngine()
    serving.swap("m", "1", engine)
    engine.gate.clear()
    key, handle = region(64)
    regions.set_shared_memory_region(handle, [np.full((1, 4), 1, np.float32)])
    with triton.InferenceServerClient(f"127.0.0.1:{serving.port}") as client:
        client.register_system_shared_memory("r", key, 64)
        x = triton.InferInput("x", [1, 4], "FP32")
        x.set_shared_memory("r", 16)
        k = triton.InferInput("k", [1], "INT64")
        k.set_data_from_numpy(np.array([0]))
        asked = client.async_infer("m", [x, k])
        wait_until(lambda: engine.calls, "the engine has it")
        regions.set_shared_memory_region(handle, [np.full((1, 4), 9, np.float32)])
        engine.gate.set()
        np.testing.assert_array_equal(asked.get_result().as_numpy("y"), np.full((1, 4), 2, np.float32))


def test_the_network_has_no_shared_memory(memory):
    with pytest.raises(RequestError, match="for clients of this machine") as caught:
        memory.respond("GET", ["status"], b"", None)
    assert caught.value.status == 403
    assert Request("GET", "/", {}).user is None, "nobody is local by default"
    with pytest.raises(UsageError, match=r"serving\.shared_memory is for clients of this machine"):
        check_exposure(
            ServingConfig(host="::", certificate_file="c", key_file="k", token_file="t", shared_memory=True)  # noqa: S106 -- a path
        )


@pytest.mark.parametrize("path", ["", "region", "region/r/fly", "x/r/status", "region/r/s/status"])
def test_other_paths_are_not_there(memory, path):
    assert memory.respond("GET", path.split("/"), b"", ANY_USER) is None
    assert memory.respond("POST", ["register"], b"", ANY_USER) is None, "a region has a name"


def test_the_wrong_method_is_told(memory):
    with pytest.raises(BadRequestError, match="GET"):
        memory.respond("POST", ["status"], b"", ANY_USER)
