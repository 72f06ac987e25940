"""The pages of depot and driver: what really happened stands there, under the names that the reference lists."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from tests.cluster.certificates import Authority
from tests.toolkit.fleet import pretend
from tests.toolkit.fleet.world import running
from tests.toolkit.registry.making import Site
from toolkit.errors import UsageError
from toolkit.fleet.depot import Depot
from toolkit.fleet.exporter import DepotCollector, DriverCollector, serve_metrics
from toolkit.fleet.listen import Listen, parse_listen
from toolkit.protocol.buckets import Rate
from toolkit.protocol.supply import Limits
from toolkit.render.monitoring.series import DEPOT, DRIVER, SERIES
from toolkit.wire.frame import FrameKind
from toolkit.wire.request import runs_of

LOCAL = Listen("--metrics", "127.0.0.1", 0)
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@contextmanager
def page(*collectors: Collector, listen: Listen = LOCAL) -> Iterator[str]:
    server = serve_metrics(listen, collectors)
    try:
        yield f"{'https' if listen.encrypted else 'http'}://127.0.0.1:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()


def samples(url: str, context: ssl.SSLContext | None = None) -> Samples:
    with urllib.request.urlopen(url, timeout=60, context=context) as answer:  # noqa: S310 -- ours
        text = answer.read().decode()
    return {
        (each.name, frozenset(each.labels.items())): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def listed(source: str) -> set[tuple[str, frozenset[str]]]:
    return {(each.name, frozenset(each.labels)) for each in SERIES if each.source == source}


def shown(found: Samples) -> set[tuple[str, frozenset[str]]]:
    """Give names and labels; a counter's `_created` is the client's own."""
    return {
        (name, frozenset(key for key, _ in labels)) for name, labels in found if not name.endswith("_created")
    }


@pytest.mark.broker
def test_a_depot_shows_what_it_did(tmp_path: Path, site: Site, require, wait_until) -> None:
    require("mosquitto")
    with running("mosquitto", tmp_path, site) as world:
        artifact = site.push(version="1", width=60_000).artifact
        world.announce(artifact)
        depot = world.depot(limits=Limits(max_frame_bytes=80 * 1024, per_device=Rate(2_000_000, 1)))
        asker = world.asker()
        manifest = asker.manifest(site, artifact)
        index = asker.index(manifest, artifact)
        asker.fetch(index, artifact, list(range(manifest.chunks)))
        asker.ask("f" * 64, index_from=0)
        asker.frame(lambda frame: frame.kind is FrameKind.REFUSAL)
        wait_until(lambda: depot.counters.refused["unknown_artifact"] == 1, "the refusal is counted")
        with page(DepotCollector(depot)) as url:
            found = samples(url)
    assert shown(found) == listed(DEPOT)

    def value(name: str, **labels: str) -> float:
        return found[f"tiers_depot_{name}", frozenset(labels.items())]

    assert value("requests_total") == 3
    assert value("manifests_laid_out_total") == 1
    assert value("frames_total") == depot.counters.frames
    assert value("sent_bytes_total", road="mqtt") == depot.counters.bytes_sent > manifest.total_bytes / 2
    assert value("read_chunks_total") == manifest.chunks
    assert 0 < value("read_seconds_total") < 60
    assert value("limited_seconds_total") > 0.05
    assert value("refused_total", reason="unknown_artifact") == 1
    assert value("refused_total", reason="damaged") == 0
    assert value("connected") == 1
    assert (value("waiting_devices"), value("waiting_bytes"), value("damaged_chunks")) == (0, 0, 0)


@pytest.mark.broker
def test_who_waits_is_shown_while_it_waits(tmp_path: Path, site: Site, require, wait_until) -> None:
    require("mosquitto")
    with running("mosquitto", tmp_path, site) as world:
        artifact = site.push(version="1", width=60_000).artifact
        world.announce(artifact)
        depot = world.depot(limits=Limits(max_frame_bytes=80 * 1024, per_device=Rate(1, 1)))
        asker = world.asker()
        manifest = asker.manifest(site, artifact)
        asker.ask(artifact, runs=runs_of(list(range(manifest.chunks))))
        wait_until(lambda: depot.counters.frames > 0, "the first batch is out")
        with page(DepotCollector(depot)) as url:
            found = samples(url)
        assert found["tiers_depot_waiting_devices", frozenset()] == 1
        assert 0 < found["tiers_depot_waiting_bytes", frozenset()] < manifest.total_bytes


def test_a_registry_that_is_away_and_one_that_is_damaged_are_counted(
    tmp_path: Path, site: Site, require, wait_until
) -> None:
    require("mosquitto")
    with running("mosquitto", tmp_path, site) as world:
        artifact = site.push(version="1").artifact
        depot, asker = world.depot(), world.asker()
        registry = site.folder / "registry"
        registry.rename(site.folder / "away")
        asker.ask("f" * 64, index_from=0)
        wait_until(lambda: depot.counters.registry_errors == 1, "the absence is counted")
        (site.folder / "away").rename(registry)
        (pack,) = (registry / "packs").iterdir()
        pack.write_bytes(b"\0" * 100 + pack.read_bytes()[100:])
        world.announce(artifact)
        manifest = asker.manifest(site, artifact)
        asker.ask(artifact, runs=runs_of(list(range(manifest.chunks))))
        wait_until(lambda: depot.counters.refused["damaged"] == 1, "the damage is counted")
        with page(DepotCollector(depot)) as url:
            found = samples(url)
        assert found["tiers_depot_registry_errors_total", frozenset()] == 1
        assert found["tiers_depot_damaged_chunks", frozenset()] == 1


def test_a_driver_shows_where_its_rollouts_stand() -> None:
    world = pretend.World()
    world.add("a", "b", "c", "d")
    rollout = pretend.intent()
    first, last = rollout.spec.devices[0], rollout.spec.devices[-1]
    world.devices[last].deaf = True
    driver = world.driver()
    with page(DriverCollector(driver, clock=lambda: world.now)) as url:
        before = samples(url)
        pretend.publish(world.operator, rollout)
        world.until_quiet(driver)
        world.now += 7
        found = samples(url)
    assert before["tiers_driver_active", frozenset()] == 0
    assert shown(found) == listed(DRIVER)
    assert found["tiers_driver_term", frozenset()] == driver.term > 0
    assert found["tiers_driver_active", frozenset()] == 1
    assert found["tiers_driver_documents_written_total", frozenset()] == 4
    assert found["tiers_driver_look_age_seconds", frozenset()] == 7
    label = {("rollout", "digits-2"), ("model", "digits")}
    assert found["tiers_driver_rollout_state", frozenset({*label, ("state", "RUNNING")})] == 1
    assert found["tiers_driver_rollout_wave", frozenset({*label, ("waves", "3")})] == 3
    assert found["tiers_driver_rollout_devices", frozenset({*label, ("state", "ACTIVE")})] == 3
    assert found["tiers_driver_rollout_devices", frozenset({*label, ("state", "UNREPORTED")})] == 1
    assert found["tiers_driver_rollout_refused_devices", frozenset(label)] == 0
    assert world.devices[first].obeyed


def test_it_speaks_tls_beyond_loopback(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.server("depot")
    listen = parse_listen("--metrics", "0.0.0.0:0", certificate, key)
    driver = pretend.World().driver()
    trusting = ssl.create_default_context(cafile=str(authority.ca))
    with page(DriverCollector(driver), listen=listen) as url:
        assert samples(url, trusting)["tiers_driver_term", frozenset()] == 0
        with pytest.raises((ConnectionError, urllib.error.URLError)):
            samples(url.replace("https", "http"))


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("0.0.0.0:9109", "needs TLS"),
        ("[::]:9109", "needs TLS"),
        ("localhost:9109", "localhost"),
        ("127.0.0.1", "HOST:PORT|127.0.0.1"),
        ("127.0.0.1:70000", "no TCP port"),
        ("127.0.0.1:", "127.0.0.1"),
    ],
)
def test_what_cannot_be_listened_at(address: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        parse_listen("--metrics", address)
    assert "--metrics" in caught.value.hint


def test_half_a_certificate_and_a_taken_port_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs its key"):
        parse_listen("--metrics", "127.0.0.1:0", tmp_path / "tls.crt")
    with page() as url:
        taken = parse_listen("--metrics", url.split("/")[2])
        with pytest.raises(UsageError, match="in use"):
            serve_metrics(taken, ())


def test_the_roads_beside_mqtt_are_told_apart(tmp_path: Path, site: Site, require) -> None:
    require("mosquitto")
    with running("mosquitto", tmp_path, site) as world:
        depot: Depot = world.depot()
        depot.other_roads["http"] = lambda: 42
        with page(DepotCollector(depot)) as url:
            found = samples(url)
    assert found["tiers_depot_sent_bytes_total", frozenset({("road", "http")})] == 42
