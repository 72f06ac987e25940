"""A real daemon serves a version with its stages: clients send files, and what it cannot do it refuses unseen."""

from __future__ import annotations

import http.client
import json

import msgspec
import numpy as np
import pytest
import tritonclient.http as triton

from tests.edge_runtime.conftest import MODEL, WAIT_SECONDS
from tests.edge_runtime.pictures import STAGES, answers, golden_pictures, picture_model, pixels, png
from toolkit.wire.manifest import Manifest
from toolkit.wire.stages import Stage, Stages

pytestmark = pytest.mark.broker
PATH = f"/v2/models/{MODEL}"


def made(keys, version="v1", stages=STAGES):
    def change(manifest: Manifest) -> Manifest:
        return msgspec.structs.replace(manifest, stages=stages, format=0)

    return keys.make(version, {"model.onnx": picture_model(), "golden.npz": golden_pictures()}, change=change)


def ask(client: triton.InferenceServerClient, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    sent = triton.InferInput("image", [len(data)], "UINT8")
    sent.set_data_from_numpy(np.frombuffer(data, np.uint8))
    result = client.infer(MODEL, [sent])
    return result.as_numpy("scores"), result.as_numpy("label")


def test_files_go_in_labels_come_out_and_bad_bytes_hurt_nobody(depot, device, keys, wait_until):
    device.start()
    depot.offer(made(keys))
    depot.wait_for_state("ACTIVE", "v1")
    status, described = device.get(PATH)
    described = json.loads(described)
    assert status == 200
    assert described["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1]}]
    assert [(each["name"], each["datatype"]) for each in described["outputs"]] == [
        ("scores", "FP32"),
        ("label", "INT64"),
    ]
    client = triton.InferenceServerClient(f"127.0.0.1:{device.port()}", network_timeout=WAIT_SECONDS)
    grey = pixels(3)
    for each, scores, label in zip(grey, *answers(grey), strict=True):
        got_scores, got_label = ask(client, png(each, 5))
        np.testing.assert_allclose(got_scores[0], scores, rtol=1e-5)
        assert got_label.tolist() == [label]
    with pytest.raises(
        triton.InferenceServerException, match="stage decode-image: input 'image' is neither a PNG"
    ):
        ask(client, b"GIF89a, which it does not take")
    assert ask(client, png(grey[0]))[1].shape == (1,)
    label = client.infer(MODEL, [_input(png(grey[0]))], outputs=[triton.InferRequestedOutput("label")])
    assert label.as_numpy("scores") is None
    client.close()
    assert ask_in_json(device.port(), png(grey[0]))["label"] == answers(grey)[1][:1].tolist()
    device.stop()
    device.start()  # what it remembers has its stages, too
    wait_until(lambda: device.get("/v2/health/ready")[0] == 200, "it serves again")
    assert json.loads(device.get(PATH)[1])["inputs"] == described["inputs"]
    assert device.stop() == 0


def ask_in_json(port: int, data: bytes) -> dict[str, list[float]]:
    tensor = {"name": "image", "shape": [len(data)], "datatype": "UINT8", "data": list(data)}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
    connection.request("POST", f"{PATH}/infer", json.dumps({"inputs": [tensor]}))
    response = connection.getresponse()
    given = {each["name"]: each["data"] for each in json.loads(response.read())["outputs"]}
    connection.close()
    return given


def _input(data: bytes) -> triton.InferInput:
    sent = triton.InferInput("image", [len(data)], "UINT8")
    sent.set_data_from_numpy(np.frombuffer(data, np.uint8))
    return sent


def test_a_stage_that_this_device_lacks_is_refused_before_a_chunk_is_fetched(depot, device, keys):
    device.start()
    newer = Stages(pre=STAGES.pre, post=(Stage(name="argmax", version=2, of=("scores",), into=("label",)),))
    offered = made(keys, stages=newer)
    depot.offer(offered)
    report = depot.wait_for_state("REJECTED", "v1")
    assert report.code == "unknown-stage"
    assert "argmax@2" in report.reason
    assert depot.chunks_sent(offered) == []
    unfit = made(keys, "v2", Stages(pre=(STAGES.pre[0], STAGES.pre[2]), post=STAGES.post))
    depot.offer(unfit)
    assert depot.wait_for_state("FAILED", "v2").code == "stages-unfit"
    assert device.stop() == 0
