# ruff: noqa: E501  # a case is one line of a table
from __future__ import annotations

import pytest

from toolkit.errors import Place, UsageError
from toolkit.topology.explain import explain


def one(loaded, path):
    (found,) = explain(loaded, path)
    return found


def line_of(text: str) -> int:
    from pathlib import Path

    lines = (Path(__file__).resolve().parents[3] / "tiers.yaml").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_a_value_has_file_line_and_meaning(hospital):
    found = one(hospital, "models.us-segmentation.rollout.canary")
    assert found.value == 2
    assert (found.place.line, found.place.column) == (line_of("canary: 2"), 15)
    assert found.about == "Devices that get a new version first."
    assert found.replaced == ()


def test_a_default_says_so(hospital):
    found = one(hospital, "models.us-segmentation-lite.rollout.soak")
    assert (found.value, found.place) == ("30m", None)


def test_an_item_of_a_list(hospital):
    found = one(hospital, "jobs.seg3d.retry.after[1]")
    assert (found.value, found.place.line) == ("exit:143", line_of("exit:143"))
    assert one(hospital, "jobs.seg3d.retry.after.1") == found


def test_a_noun_gives_every_key_with_defaults(hospital):
    found = {each.path: each for each in explain(hospital, "jobs.seg3d.retry")}
    assert set(found) == {"jobs.seg3d.retry.attempts", "jobs.seg3d.retry.after"}
    top = [each.path for each in explain(hospital, "")]
    assert {"version", "tiers", "alerts", "monitoring"} <= set(top)
    assert [each.path for each in explain(hospital, "routes")] == [
        "routes.frames", "routes.checkpoints", "routes.archive", "routes.recall", "routes.mirror",
    ]  # fmt: skip


def test_a_key_that_is_another_word_in_python(hospital):
    assert one(hospital, "routes.frames.from").value == "edge"
    assert one(hospital, "services.medical-ai.scale.gpu.in").value == "30%"


def test_one_storage_may_be_written_without_a_list(hospital):
    assert one(hospital, "tiers.hot.storage.url").value == "file:///mnt/scratch"
    assert one(hospital, "tiers.warm.storage[1].url").value == "s3://warm-b"


DEVICES = """
tiers:
  edge:
    settings: {download: 1MiB/s, report: 1m}
    pools:
      boxes:
        settings: {download: 2MiB/s, log: debug}
        devices: {box-2: {download: 3MiB/s}}
"""


def test_a_device_beats_its_pool_which_beats_its_tier(over_site):
    loaded = over_site(DEVICES)
    path = "tiers.edge.pools.boxes.devices"
    found = one(loaded, f"{path}.box-2.download")
    assert (found.value, found.place.line) == ("3MiB/s", 8)
    assert [(layer.value, layer.place.line) for layer in found.replaced] == [("2MiB/s", 7), ("1MiB/s", 4)]
    quiet = one(loaded, f"{path}.box-1.download")
    assert (quiet.value, quiet.place.line) == ("2MiB/s", 7)
    assert [layer.value for layer in quiet.replaced] == ["1MiB/s"]
    assert one(loaded, f"{path}.box-1.report").place.line == 4
    assert one(loaded, f"{path}.box-1.disk").value == "8GiB"
    assert one(loaded, "tiers.edge.pools.boxes.settings.download").replaced[0].value == "1MiB/s"


def test_what_is_explained_is_what_holds(over_site):
    loaded = over_site(DEVICES)
    placed = loaded.topology.pool("boxes")
    for device in placed.node_names:
        settings = loaded.topology.settings_of(placed, device)
        for key in type(settings).model_fields:
            found = one(loaded, f"tiers.edge.pools.boxes.devices.{device}.{key}")
            value = getattr(settings, key)
            assert found.value == (value if value is None or isinstance(value, bool) else str(value))


def test_an_overlay_names_what_it_replaced(over_site):
    found = one(
        over_site("queues: {research: {capability: {gpus: 16}}}\n"), "queues.research.capability.gpus"
    )
    assert found.place == Place("over.yaml", 1, 40)
    assert [(layer.value, layer.place.where) for layer in found.replaced] == [(12, "site.yaml")]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("modles", "there is no 'modles' in tiers.yaml; did you mean 'models'?"),
        ("models.us-segmentation.rollout.canry", "there is no 'canry' in models.us-segmentation.rollout; did you mean 'canary'?"),
        ("jobs.seg3d.retry.after[7]", "there is no '7' in jobs.seg3d.retry.after"),
        ("version.x", "there is no 'x' in version"),
        ("tiers.edge.pools.endoscopy.devices.endo-03", "there is no 'endo-03' in tiers.edge.pools.endoscopy.devices"),
        ("a..b[", "'a..b[' is not a path"),
    ],
)  # fmt: skip
def test_a_path_that_leads_nowhere_names_the_nearest_key(hospital, path, message):
    with pytest.raises(UsageError) as caught:
        explain(hospital, path)
    assert caught.value.message.startswith(message)
    assert caught.value.hint.startswith("tiers explain")
