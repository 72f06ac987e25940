"""The protocol as clients see it, first of all one that is not ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from edge_runtime.engine.choose import open_engine
from tests.contracts.engine import TABLE, HeldEngine, contract_model, feed
from tests.edge_runtime.serving.conftest import request_of
from toolkit.wire.device_config import ModelConfig

DIGITS = Path(__file__).resolve().parents[3] / "examples" / "models" / "digits"
INFER = "/v2/models/m/infer"


@pytest.fixture
def serving(serve, tmp_path):
    serving = serve(ModelConfig(name="m"), ModelConfig(name="later"))
    serving.swap("m", "1.4.0", open_engine(contract_model(tmp_path / "m.onnx")))
    return serving


@pytest.fixture
def client(serving):
    client = triton.InferenceServerClient(f"127.0.0.1:{serving.port}")
    yield client
    client.close()


def triton_inputs(arrays, *, binary):
    inputs = []
    for name, array in arrays.items():
        kind = {"float32": "FP32", "int64": "INT64"}[array.dtype.name]
        tensor = triton.InferInput(name, list(array.shape), kind)
        tensor.set_data_from_numpy(array, binary_data=binary)
        inputs.append(tensor)
    return inputs


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
@pytest.mark.parametrize("version", ["", "1.4.0"])
def test_tritons_client_infers(client, binary_in, binary_out, version):
    arrays = feed(3)
    wanted = None
    if binary_out is not None:
        wanted = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in ("z", "y")]
    found = client.infer(
        "m",
        triton_inputs(arrays, binary=binary_in),
        outputs=wanted,
        model_version=version,
        request_id="a 7",
    )
    np.testing.assert_array_equal(found.as_numpy("y"), arrays["x"] * 2)
    np.testing.assert_array_equal(found.as_numpy("z"), TABLE[arrays["k"]])
    response = found.get_response()
    assert (response["model_name"], response["model_version"], response["id"]) == ("m", "1.4.0", "a 7")
    assert [each["name"] for each in response["outputs"]] == (["z", "y"] if wanted else ["y", "z"])


def test_tritons_client_asks_about_server_and_models(client):
    assert client.is_server_live()
    assert not client.is_server_ready()  # `later` has no version yet
    assert client.is_model_ready("m")
    assert client.is_model_ready("m", "1.4.0")
    assert not client.is_model_ready("m", "2")
    assert not client.is_model_ready("later")
    about = client.get_server_metadata()
    assert about["name"] == "tiers-edge"
    assert "binary_tensor_data" in about["extensions"]
    metadata = client.get_model_metadata("m")
    assert metadata["versions"] == ["1.4.0"]
    assert metadata["inputs"] == [
        {"name": "x", "datatype": "FP32", "shape": [-1, 4]},
        {"name": "k", "datatype": "INT64", "shape": [-1]},
    ]
    assert metadata["outputs"] == [
        {"name": "y", "datatype": "FP32", "shape": [-1, 4]},
        {"name": "z", "datatype": "FP32", "shape": [-1]},
    ]


def test_tritons_client_reads_our_errors(client):
    with pytest.raises(InferenceServerException, match="'k' is missing; this model takes x float32"):
        client.infer("m", triton_inputs({"x": feed(1)["x"]}, binary=True))
    with pytest.raises(InferenceServerException, match="no model is named 'q'"):
        client.infer("q", triton_inputs(feed(1), binary=True))


def test_the_server_is_ready_when_every_model_is(serving):
    assert serving.ask("GET", "/v2/health/ready")[::2] == (503, {"ready": False})
    serving.swap("later", "1", HeldEngine())
    assert serving.ask("GET", "/v2/health/ready")[::2] == (200, {"ready": True})
    assert serving.ask("GET", "/v2/health/live?why=not")[::2] == (200, {"live": True})


WRONG = {
    "unknown model": ("POST", "/v2/models/q/infer", 404, "no model is named 'q'; here are: m, later"),
    "odd name": ("POST", "/v2/models/%2e%2e%2fq/infer", 404, "no model is named '../q'"),
    "unknown version": ("POST", "/v2/models/m/versions/9/infer", 404, "served as 1.4.0, not as '9'"),
    "not ready": ("POST", "/v2/models/later/infer", 503, "later has no version loaded yet"),
    "not ready either": ("GET", "/v2/models/later/ready", 503, "later has no version loaded yet"),
    "nothing there": ("GET", "/", 404, "nothing is at '/'"),
    "nothing there either": ("GET", "/v2/models/m/fly", 404, "nothing is at"),
    "no such post": ("POST", "/v3", 404, "nothing is at"),
    "infer with GET": ("GET", INFER, 405, "use POST"),
    "health with POST": ("POST", "/v2/health/live", 405, "use GET"),
    "metrics with PUT": ("PUT", "/metrics", 405, "use GET"),
    "delete a model": ("DELETE", "/v2/models/m", 405, "use GET"),
    "empty body": ("POST", INFER, 400, "not an inference request"),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_wrong_requests_are_told_why(serving, case):
    method, path, status, message = WRONG[case]
    found, headers, document = serving.ask(method, path)
    assert found == status
    assert message in document["error"]
    assert ("Allow" in headers) == (status == 405)
    assert ("Retry-After" in headers) == (status == 503)


def test_wrong_tensors_are_told_what_was_expected(serving):
    wrong = {**feed(1), "x": np.zeros((1, 5), np.float32)}
    status, _, document = serving.ask("POST", INFER, request_of(**wrong))
    assert status == 400
    assert document["error"] == "model m: input x float32[1, 5] does not fit; expected x float32[?, 4]"


def test_compressed_bodies_are_refused(serving):
    status, _, document = serving.ask("POST", INFER, b"x", Content_Encoding="gzip")
    assert (status, "compressed" in document["error"]) == (415, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout", -1),
        ("timeout", 1.5),
        ("timeout", True),
        ("timeout", 10**13),
        ("priority", -1),
        ("priority", "1"),
    ],
)
def test_wrong_parameters_are_refused(serving, name, value):
    status, _, document = serving.ask("POST", INFER, {**request_of(**feed(1)), "parameters": {name: value}})
    assert (status, f"parameter {name} is {value!r}" in document["error"]) == (400, True)


def test_a_model_that_fails_is_a_server_error_and_counted(serving):
    status, _, document = serving.ask("POST", INFER, request_of(**{**feed(1), "k": np.array([7])}))
    assert status == 500
    assert "the model failed" in document["error"]
    assert serving.ask("POST", INFER, request_of(**feed(1)))[0] == 200
    samples = serving.scrape()
    assert samples['edge_inference_requests_total{model="m",outcome="failed",version="1.4.0"}'] == 1
    assert samples['edge_inference_requests_total{model="m",outcome="ok",version="1.4.0"}'] == 1


def test_served_digits_are_as_accurate_as_measured_at_home(serve):
    """Held-out images through HTTP in batches of eight; the score was written by the training run."""
    serving = serve(ModelConfig(name="digits"))
    serving.swap("digits", "1", open_engine(DIGITS / "v1.onnx"))
    held_out = np.load(DIGITS / "heldout.npz")
    right = 0
    with triton.InferenceServerClient(f"127.0.0.1:{serving.port}") as client:
        for start in range(0, len(held_out["images"]), 8):
            images, labels = (held_out[name][start : start + 8] for name in ("images", "labels"))
            tensor = triton.InferInput("image", list(images.shape), "FP32")
            tensor.set_data_from_numpy(images)
            logits = client.infer("digits", [tensor]).as_numpy("logits")
            right += int((logits.argmax(axis=1) == labels).sum())
    score = json.loads((DIGITS / "metrics.json").read_text())["v1"]["score"]
    assert right / len(held_out["images"]) == pytest.approx(score)
