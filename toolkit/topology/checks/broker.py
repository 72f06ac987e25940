"""Rules about the broker that runs in the cluster.

Called by `load` through checks.every.
"""

from urllib.parse import urlsplit

from toolkit.link.presets import OF_BROKER, PRESETS
from toolkit.topology.checks.site import Site
from toolkit.topology.nodes import Path
from toolkit.topology.secret import SecretReference

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HERE: Path = ("broker", "deploy")


def our_broker_is_a_mosquitto(site: Site) -> None:
    """E0906: with TLS, on a server; a port of every machine only where it is asked for."""
    broker, deploy = site.topology.broker, site.topology.broker.deploy
    if deploy is None:
        return
    if not broker.url.startswith("mqtts:"):
        site.report("E0906", ("broker", "url"), f"{broker.url} has no encryption")
    if broker.preset != "mosquitto":
        site.report("E0906", ("broker", "preset"), f"a Mosquitto is not {broker.preset}")
    placed = site.pools().get(deploy.pool)
    if placed is not None and placed.tier_name == "edge":
        site.report("E0906", (*_HERE, "pool"), f"the pool '{deploy.pool}' has devices, not servers")
    if deploy.node_port is not None and deploy.expose != "node-port":
        site.report("E0206", (*_HERE, "node_port"), "node_port stands without expose: node-port", key=True)
    in_cluster(site, (*_HERE, "certificate"), deploy.certificate)
    in_cluster(site, (*_HERE, "clients"), deploy.clients)
    in_cluster(site, (*_HERE, "revoked"), deploy.revoked)


def preset_fits(site: Site) -> None:
    """E0909, W0910: a broker of a cloud takes no plain connection; Azure keeps little, and shares no subscriptions."""
    broker = site.topology.broker
    preset = PRESETS[OF_BROKER[broker.preset]]
    url = urlsplit(broker.url)
    if preset.needs_tls and url.scheme != "mqtts" and url.hostname not in LOOPBACK:  # there it is a rehearsal
        site.report("E0909", ("broker", "url"), f"{broker.preset} takes mqtts:// only")
    if not preset.shared_subscriptions:
        kept = f"{broker.preset} keeps at most {preset.max_retained_bytes} bytes of a retained document"
        site.report("W0910", ("broker", "preset"), f"{kept}, and depots cannot share requests there")


def in_cluster(site: Site, path: Path, reference: SecretReference | None) -> None:
    """E0907: report a secret that a pod shall mount and that is no Secret of the cluster."""
    if reference is not None and not reference.secret:
        kept = f"the file {reference.file}" if reference.file else f"the variable {reference.env}"
        site.report("E0907", path, f"no pod can read {kept}")
