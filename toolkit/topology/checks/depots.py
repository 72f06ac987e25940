"""Rules about the depot and the driver of rollouts in the cluster.

Called by `load` through checks.every.
"""

from toolkit.topology.checks.broker import in_cluster
from toolkit.topology.checks.site import Site


def depots_and_drivers_are_let_in(site: Site) -> None:
    """E0908: on servers, with a certificate for a broker of ours; E0907: their secrets are there."""
    topology = site.topology
    broker = topology.broker
    for key, program in (("depot", topology.depot), ("driver", topology.driver)):
        if program is None:
            continue
        placed = site.pools().get(program.pool)
        if placed is not None and placed.tier_name == "edge":
            site.report("E0908", (key, "pool"), f"the pool '{program.pool}' has devices, not servers")
        if broker.deploy is not None and program.identity is None:
            site.report("E0908", (key,), "it has no identity for the broker", key=True)
        in_cluster(site, (key, "identity"), program.identity)
        in_cluster(site, (key, "keyring"), program.keyring)
    if topology.driver is not None:
        in_cluster(site, ("driver", "key"), topology.driver.key)
    _roads(site)
    if topology.depot is not None:
        in_cluster(site, ("registry", "credentials"), topology.registry.credentials)
    programs = [each for each in (topology.depot, topology.driver) if each is not None]
    if programs:
        in_cluster(site, ("broker", "ca"), broker.ca)
    if any(each.identity is None for each in programs):
        in_cluster(site, ("broker", "credentials"), broker.credentials)


def _roads(site: Site) -> None:
    """E0908: a second road that nobody could take, a stream that would cost more than it saves."""
    depot = site.topology.depot
    if depot is None:
        return
    if depot.http is not None:
        if not depot.http.url.startswith("https://"):
            site.report("E0908", ("depot", "http", "url"), "devices fetch over https:// only")
        if depot.http.clients is not None and depot.certificate is None:
            site.report(
                "E0908", ("depot", "http"), "the depot has no certificate to show to devices", key=True
            )
        in_cluster(site, ("depot", "http", "clients"), depot.http.clients)
        in_cluster(site, ("depot", "http", "revoked"), depot.http.revoked)
    if depot.broadcast is not None:
        if depot.replicas > 1:
            site.report(
                "E0908",
                ("depot", "broadcast"),
                f"{depot.replicas} depots share the requests, so none of them sees who waits; one streams",
            )
        if site.topology.broker.preset == "aws":
            site.report(
                "E0908", ("depot", "broadcast"), "AWS IoT Core charges each delivery, so nothing is saved"
            )
    in_cluster(site, ("depot", "certificate"), depot.certificate)
