"""A real daemon whose models an admin loads and unloads with Triton's own client."""

from __future__ import annotations

import asyncio

import msgspec
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from edge_runtime.by_hand import BusyError, ByHand
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.refusals import NotReadyError
from tests.contracts.engine import HeldEngine
from toolkit.wire.device_config import ModelConfig

pytestmark = pytest.mark.broker
ADMIN = "a" * 32
SHOWN = {"Authorization": f"Bearer {ADMIN}"}


def test_an_admin_gives_memory_back_and_takes_it_again(depot, device, keys, wait_until) -> None:
    (device.folder / "token").write_text(f"admin:{ADMIN}\n")
    serving = msgspec.structs.replace(device.config.serving, token_file="token")  # noqa: S106 -- a path
    device.config = msgspec.structs.replace(device.config, serving=serving)
    device.write_config()
    device.start()
    depot.offer(keys.model("v1"))
    depot.wait_for_state("ACTIVE", "v1")
    [model] = [each.name for each in device.config.models]
    image = triton.InferInput("image", [1, 4], "FP32")
    image.set_data_from_numpy(np.array([[1, 0, 0, 0]], np.float32))
    with triton.InferenceServerClient(f"127.0.0.1:{device.port()}") as client:
        assert client.get_model_repository_index() == [{"name": model, "state": "READY", "version": "v1"}]
        with pytest.raises(InferenceServerException, match="who asks"):
            client.unload_model(model)
        client.unload_model(model, headers=SHOWN)
        wait_until(lambda: not client.is_model_ready(model), "it has left")
        [entry] = client.get_model_repository_index()
        assert (entry["state"], entry["reason"]) == ("UNAVAILABLE", "it is loaded when somebody asks for it")
        client.unload_model(model, headers=SHOWN)
        client.load_model(model, headers=SHOWN)
        assert client.is_model_ready(model)
        client.unload_model(model, headers=SHOWN)
        answer = client.infer(model, [image])
        assert answer.get_response()["model_version"] == "v1"
        np.testing.assert_array_equal(answer.as_numpy("scores"), [[0, 1, 2]])
    assert [each.serving_version for each in depot.last.models] == ["v1"], "the fleet saw no change"


def test_what_is_not_installed_is_not_loaded_and_what_is_busy_stays() -> None:
    class Never:
        def unload(self, model: str) -> bool:
            assert model == "m"
            return False

    async def scene() -> None:
        table = ModelTable([ModelConfig(name="m")])
        by_hand = ByHand(table, lambda call: call(), Never)
        with pytest.raises(NotReadyError, match="no verified version of m is installed"):
            await by_hand.load("m")
        assert [each.state for each in by_hand.entries()] == ["UNAVAILABLE"]
        await by_hand.unload("m")
        await table.swap("m", "1", HeldEngine())
        await by_hand.load("m")
        with pytest.raises(BusyError, match="cannot leave now") as caught:
            await by_hand.unload("m")
        assert (caught.value.status, caught.value.retryable) == (409, True)
        assert table.loaded("m")
        await table.close()

    asyncio.run(scene())
