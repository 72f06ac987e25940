"""Triton's own client, unchanged, on every endpoint that it knows; what is not offered is refused with the reason."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import onnx
import pytest
import tritonclient.http as triton
from onnx import TensorProto, helper
from tritonclient.http import aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from edge_runtime.engine.choose import open_engine
from edge_runtime.serving.refusals import NotReadyError
from edge_runtime.serving.repository import listed
from tests.contracts.engine import TABLE, HeldEngine, contract_model, feed, save_model
from toolkit.wire.device_config import ModelConfig, ServingConfig

ADMIN, READER = "a" * 32, "r" * 32
KINDS = [
    "BOOL",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "FP16",
    "FP32",
    "FP64",
]
ONNX = {"BOOL": "BOOL", "FP16": "FLOAT16", "FP32": "FLOAT", "FP64": "DOUBLE"}


def client_of(serving):
    return triton.InferenceServerClient(f"127.0.0.1:{serving.port}")


def tensors(arrays, *, binary=True):
    found = []
    for name, array in arrays.items():
        tensor = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array, binary_data=binary)
        found.append(tensor)
    return found


@pytest.fixture
def serving(serve, tmp_path):
    serving = serve(ModelConfig(name="m", max_batch=8), ModelConfig(name="later"))
    serving.swap("m", "1.4.0", open_engine(contract_model(tmp_path / "m.onnx")))
    return serving


@pytest.fixture
def client(serving):
    with client_of(serving) as client:
        yield client


# ---------------------------------------------------------------- infer
def echo_model(path: Path) -> Path:
    """Write a model with one input and one output of each type, which gives back what it gets."""
    kinds = {kind: getattr(TensorProto, ONNX.get(kind, kind)) for kind in KINDS}
    return save_model(
        path,
        [helper.make_node("Identity", [f"in_{kind}"], [f"out_{kind}"]) for kind in kinds],
        [(f"in_{kind}", number, ["n", 3]) for kind, number in kinds.items()],
        [(f"out_{kind}", number, ["n", 3]) for kind, number in kinds.items()],
    )


def arrays_of_each_kind():
    arrays = {}
    for kind in KINDS:
        dtype = helper.tensor_dtype_to_np_dtype(getattr(onnx.TensorProto, ONNX.get(kind, kind)))
        extremes = [False, True, True]
        if kind.startswith(("INT", "UINT")):
            extremes = [np.iinfo(dtype).min, 1, np.iinfo(dtype).max]
        elif kind.startswith("FP"):
            extremes = [np.finfo(dtype).min, 0.5, np.finfo(dtype).max]
        arrays[f"in_{kind}"] = np.array([extremes, extremes[::-1]], dtype)
    return arrays


@pytest.mark.parametrize("binary", [True, False, "mixed"])
def test_each_type_goes_there_and_back_bit_for_bit(serve, tmp_path, binary):
    serving, arrays = serve(ModelConfig(name="echo")), arrays_of_each_kind()
    serving.swap("echo", "1", open_engine(echo_model(tmp_path / "echo.onnx")))
    asked = [
        tensor
        for number, (name, array) in enumerate(arrays.items())
        for tensor in tensors({name: array}, binary=number % 2 == 0 if binary == "mixed" else binary)
    ]
    wanted = [
        triton.InferRequestedOutput(
            f"out_{kind}", binary_data=number % 3 == 0 if binary == "mixed" else binary
        )
        for number, kind in enumerate(KINDS)
    ]
    with client_of(serving) as client:
        found = client.infer("echo", asked, outputs=wanted)
    for kind in KINDS:
        np.testing.assert_array_equal(found.as_numpy(f"out_{kind}"), arrays[f"in_{kind}"], strict=True)


def test_it_infers_without_waiting_and_with_its_own_parameters(client):
    asked = client.async_infer(
        "m", tensors(feed(2)), priority=1, timeout=600_000_000, parameters={"site": "a"}
    )
    np.testing.assert_array_equal(asked.get_result().as_numpy("y"), feed(2)["x"] * 2)


def test_the_client_for_asyncio_asks_many_at_once(serving):
    async def scene():
        async with aio.InferenceServerClient(f"127.0.0.1:{serving.port}") as client:
            assert await client.is_model_ready("m")
            asked = [client.infer("m", tensors(feed(1, start)), request_id=f"{start}") for start in range(40)]
            return await asyncio.gather(*asked)

    for start, found in enumerate(asyncio.run(scene())):
        assert found.get_response()["id"] == f"{start}"
        np.testing.assert_array_equal(found.as_numpy("y"), feed(1, start)["x"] * 2)


def test_priority_and_timeout_count(serve):
    serving, engine = serve(ModelConfig(name="m", max_batch=1)), HeldEngine()
    serving.swap("m", "1", engine)
    engine.gate.clear()
    with (
        client_of(serving) as client,
        pytest.raises(InferenceServerException, match="within the request's time-out"),
    ):
        client.infer("m", tensors(feed(1)), timeout=5000)
    engine.gate.set()


def bytes_input():
    tensor = triton.InferInput("x", [1, 4], "BYTES")
    tensor.set_data_from_numpy(np.array([[b"a", b"b", b"c", b"d"]], np.object_))
    return [tensor, *tensors({"k": feed(1)["k"]})]


REFUSED = {
    "texts": (lambda: {"inputs": bytes_input()}, "datatype 'BYTES' is none of BOOL"),
    "classes": (
        lambda: {"outputs": [triton.InferRequestedOutput("y", class_count=3)]},
        "classification .* not offered",
    ),
    "gzip": (lambda: {"request_compression_algorithm": "gzip"}, "compressed bodies are not taken"),
    "deflate": (lambda: {"request_compression_algorithm": "deflate"}, "compressed bodies are not taken"),
    "other output": (lambda: {"outputs": [triton.InferRequestedOutput("q")]}, "the model gives y, z"),
    "negative timeout": (lambda: {"timeout": -1}, "not a number of microseconds"),
    "negative priority": (lambda: {"priority": -3}, "parameter priority is -3"),
    "a sequence": (lambda: {"sequence_id": 7, "sequence_start": True}, "parameter sequence_id"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_is_not_offered_is_refused_with_a_reason(client, case):
    make, said = REFUSED[case]
    with pytest.raises(InferenceServerException, match=said) as caught:
        client.infer(**{"model_name": "m", "inputs": tensors(feed(1)), **make()})
    assert caught.value.status().startswith("4")
    assert client.is_server_live(), "the connection goes on"


def test_compression_of_answers_may_be_asked_for_and_is_not_done(client):
    found = client.infer("m", tensors(feed(1)), response_compression_algorithm="gzip")
    np.testing.assert_array_equal(found.as_numpy("z"), TABLE[feed(1)["k"]])


# ---------------------------------------------------------------- about models
def test_the_configuration_is_what_perf_analyzer_reads(client):
    assert client.get_model_config("m") == client.get_model_config("m", "1.4.0")
    config = client.get_model_config("m")
    assert config["max_batch_size"] == 8
    assert config["input"] == [
        {"name": "x", "data_type": "TYPE_FP32", "dims": [4]},
        {"name": "k", "data_type": "TYPE_INT64", "dims": []},
    ]
    assert config["output"][1] == {"name": "z", "data_type": "TYPE_FP32", "dims": []}
    assert "dynamic_batching" in config
    with pytest.raises(InferenceServerException, match="no version loaded yet"):
        client.get_model_config("later")


def test_a_model_without_an_axis_for_batches_has_none(serve, tmp_path):
    serving = serve(ModelConfig(name="m"))
    path = save_model(
        tmp_path / "m.onnx",
        [helper.make_node("Identity", ["x"], ["y"])],
        [("x", TensorProto.FLOAT, [2, 3])],
        [("y", TensorProto.FLOAT, [2, 3])],
    )
    serving.swap("m", "1", open_engine(path))
    with client_of(serving) as client:
        config = client.get_model_config("m")
    assert (config["max_batch_size"], config["input"][0]["dims"]) == (0, [2, 3])
    assert "dynamic_batching" not in config


def test_statistics_count_what_was_done(client):
    for rows in (1, 1, 3):
        client.infer("m", tensors(feed(rows)))
    with pytest.raises(InferenceServerException):
        client.infer("m", tensors({"x": feed(1)["x"]}))
    [stats] = client.get_inference_statistics("m")["model_stats"]
    assert stats == client.get_inference_statistics("m", "1.4.0")["model_stats"][0]
    assert stats in client.get_inference_statistics()["model_stats"]
    assert (stats["name"], stats["version"]) == ("m", "1.4.0")
    assert (stats["inference_count"], stats["execution_count"]) == (5, 3)
    found = stats["inference_stats"]
    assert [found[each]["count"] for each in ("success", "fail", "queue", "compute_infer")] == [3, 1, 3, 3]
    assert 0 < found["compute_infer"]["ns"] <= found["success"]["ns"]
    assert [(each["batch_size"], each["compute_infer"]["count"]) for each in stats["batch_stats"]] == [
        (1, 2),
        (3, 1),
    ]
    for wrong in (("q", ""), ("m", "9"), ("later", "")):
        with pytest.raises(InferenceServerException):
            client.get_inference_statistics(*wrong)


# ---------------------------------------------------------------- repository
class Shelf:
    """What a device has installed, in front of a table: the form that the daemon gives over its Activator."""

    def __init__(self, table, installed):
        self.table, self.installed = table, installed

    def entries(self):
        return listed(self.table)

    async def load(self, name):
        if name not in self.installed:
            raise NotReadyError(f"no verified version of {name} is installed")
        version, path = self.installed[name]
        if self.table.version(name) != version:
            await self.table.swap(name, version, open_engine(path))

    async def unload(self, name):
        await self.table.withdraw(name)


@pytest.fixture
def loading(serve, tmp_path):
    """A server on loopback whose repository is on, and its tokens."""
    (tmp_path / "token").write_text(f"admin:{ADMIN}\n")
    path = contract_model(tmp_path / "m.onnx")
    return serve(
        ModelConfig(name="m"),
        ModelConfig(name="later"),
        config=ServingConfig(port=0, token_file=str(tmp_path / "token")),
        repository=lambda table: Shelf(table, {"m": ("1", path)}),
    )


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def test_the_index_lists_what_is_declared_with_its_state(serving, client):
    assert client.get_model_repository_index() == [
        {"name": "m", "version": "1.4.0", "state": "READY"},
        {"name": "later", "state": "UNAVAILABLE", "reason": "no version is loaded yet"},
    ]
    ready = serving.ask("POST", "/v2/repository/index", {"ready": True})
    assert [each["name"] for each in ready[2]] == ["m"]


def test_an_admin_loads_and_unloads_what_is_installed(loading):
    with client_of(loading) as client:
        assert not client.is_model_ready("m")
        for _ in range(2):
            client.load_model("m", headers=bearer(ADMIN))
            assert client.is_model_ready("m")
        assert client.infer("m", tensors(feed(1))).get_response()["model_version"] == "1"
        for _ in range(2):
            client.unload_model("m", headers=bearer(ADMIN))
            assert not client.is_model_ready("m")
        with pytest.raises(InferenceServerException, match="no verified version of later"):
            client.load_model("later", headers=bearer(ADMIN))
        with pytest.raises(InferenceServerException, match="no model is named 'q'"):
            client.load_model("q", headers=bearer(ADMIN))


@pytest.mark.parametrize("given", [{"config": "{}"}, {"config": "{}", "files": {}}])
def test_nothing_is_loaded_that_a_client_brings(loading, given):
    with client_of(loading) as client:
        with pytest.raises(InferenceServerException, match="loads the signed artifact"):
            client.load_model("m", headers=bearer(ADMIN), **given)
        assert not client.is_model_ready("m")


@pytest.mark.parametrize("verb", ["load", "unload", "lo%61d", "unlo%61d"])
@pytest.mark.parametrize(("shown", "status"), [({}, 401), ({"Authorization": f"Bearer {READER}"}, 401)])
def test_without_the_scope_nobody_loads_or_unloads(loading, verb, shown, status):
    loading.ask("POST", "/v2/repository/models/m/load", Authorization=f"Bearer {ADMIN}")
    found, _, document = loading.ask("POST", f"/v2/repository/models/m/{verb}", **shown)
    assert (found, bool(document["error"])) == (status, True)
    assert loading.table.version("m") == "1"


def test_without_an_admin_among_the_tokens_loading_is_off(client):
    with pytest.raises(
        InferenceServerException, match=r"off here: no line of serving\.token_file is admin:TOKEN"
    ):
        client.load_model("m")
    with pytest.raises(InferenceServerException, match="off here"):
        client.unload_model("m")


def test_where_nobody_loads_by_hand_an_admin_is_told(serve, tmp_path):
    (tmp_path / "token").write_text(f"admin,infer:{ADMIN}\n{READER}\n")
    serving = serve(ModelConfig(name="m"), config=ServingConfig(port=0, token_file=str(tmp_path / "token")))
    shown = {"Authorization": f"Bearer {ADMIN}"}
    assert serving.ask("POST", "/v2/repository/models/m/load", **shown)[0] == 501
    assert serving.ask("GET", "/v2/repository/models/m/load", **shown)[0] == 405
    assert serving.ask("POST", "/v2/repository/index", b"[]", **shown)[0] == 400
    assert serving.ask("POST", "/v2/repository/index", b" " * 70_000, **shown)[0] == 400
    reader = {"Authorization": f"Bearer {READER}"}
    status, headers, document = serving.ask("POST", "/v2/repository/models/m/load", **reader)
    assert (status, document["error"]) == (403, "this takes the scope admin, which yours has not")
    assert 'scope="admin"' in headers["WWW-Authenticate"]
    assert serving.ask("GET", "/metrics", **shown)[0] == 403


# ---------------------------------------------------------------- what is not here
ABSENT = {
    "trace settings": lambda client: client.get_trace_settings(),
    "trace settings of a model": lambda client: client.get_trace_settings("m"),
    "new trace settings": lambda client: client.update_trace_settings(settings={"trace_rate": "1"}),
    "log settings": lambda client: client.get_log_settings(),
    "new log settings": lambda client: client.update_log_settings({"log_info": True}),
    "CUDA memory": lambda client: client.get_cuda_shared_memory_status(),
    "new CUDA memory": lambda client: client.register_cuda_shared_memory("r", b"aa", 0, 64),
    "no CUDA memory": lambda client: client.unregister_cuda_shared_memory(),
    "shared memory": lambda client: client.get_system_shared_memory_status(),
    "new shared memory": lambda client: client.register_system_shared_memory("r", "/r", 64),
    "no shared memory": lambda client: client.unregister_system_shared_memory("r"),
}


@pytest.mark.parametrize("case", list(ABSENT))
def test_an_extension_that_is_not_here_says_so(client, case):
    with pytest.raises(InferenceServerException) as caught:
        ABSENT[case](client)
    assert caught.value.status() == "501"
    assert caught.value.message()
    assert client.is_server_live()
