"""Rules about models: where they run, what they fall back to, how they roll out.

Called by `load` through checks.every.
"""

from itertools import pairwise

from toolkit.topology.checks.site import Site
from toolkit.topology.findings import listed
from toolkit.topology.nodes import Path
from toolkit.topology.rollout import WaveRule
from toolkit.topology.units import WHOLE


def models_are_on_edge_pools(site: Site) -> None:
    """E0519: devices serve models; E0518: the hardware runs the model's number format."""
    pools = site.pools()
    for name, model in site.sound("models", site.topology.models):
        for position, pool in enumerate(model.pools):
            placed = pools.get(pool)
            if placed is None:
                continue
            if placed.tier_name != "edge":
                message = f"'{pool}' is in the tier {placed.tier_name}; there a service serves the model"
                site.report("E0519", ("models", name, "pools", position), message)
            elif model.precision not in placed.hardware.precisions:
                message = f"'{placed.pool.hardware}' of the pool '{pool}' has no {model.precision}"
                cure = f"use {listed(placed.hardware.precisions, 'or')}, or other hardware"
                site.report("E0518", ("models", name, "precision"), message, cure=cure)


def fallbacks_end(site: Site) -> None:
    """E0515: no circle; E0516: a fallback is on every pool of its model."""
    models = dict(site.sound("models", site.topology.models))
    in_a_circle: set[str] = set()
    for name, model in models.items():
        fallback = models.get(model.fallback or "")
        if fallback is None or model.fallback is None:
            continue
        chain = [name]
        while (after := models[chain[-1]].fallback) is not None and after in models and after not in chain:
            chain.append(after)
        if models[chain[-1]].fallback == name:
            if name not in in_a_circle:
                message = f"{' -> '.join([*chain, name])} is a circle"
                site.report("E0515", ("models", name, "fallback"), message)
            in_a_circle.update(chain)
            continue
        missing = [pool for pool in model.pools if pool not in fallback.pools]
        if missing:
            message = f"'{model.fallback}' is not on {listed(missing)}"
            site.report("E0516", ("models", name, "fallback"), message)


def offload_finds_a_service(site: Site) -> None:
    """E0517: some service on that tier serves the model."""
    if not site.shaped.is_sound("services"):
        return
    pools = site.pools()
    for name, model in site.sound("models", site.topology.models):
        tier = model.offload
        if tier is None or tier not in site.topology.tiers or not site.shaped.is_sound("tiers", tier):
            continue
        serving = [
            service
            for service in site.topology.services.values()
            if name in service.models and service.pool in pools and pools[service.pool].tier_name == tier
        ]
        if not serving:
            message = f"no service on the tier {tier} serves '{name}'"
            site.report("E0517", ("models", name, "offload"), message)


def waves_grow_to_the_end(site: Site) -> None:
    """E0513: each wave is larger; E0514: the last one is everybody. Counts and percentages compare on the fleet."""
    pools = site.pools()
    for name, model in site.sound("models", site.topology.models):
        fleet = sum(pools[pool].pool.nodes.total for pool in model.pools if pool in pools)
        waves = model.rollout.waves
        whole = [position for position, wave in enumerate(waves) if not wave.labels]
        for previous, position in pairwise(whole):
            before, here = waves[previous].share, waves[position].share
            same_kind = (before.percent is None) == (here.percent is None)
            grows = (
                here.of(WHOLE) > before.of(WHOLE)
                if same_kind or not fleet
                else here.of(fleet) >= before.of(fleet)
            )
            if not grows:
                message = f"the wave {here} is not larger than {before} before it"
                site.report("E0513", ("models", name, "rollout", "waves", position), message)
        last = waves[-1]
        if last.labels or last.share.percent is None or last.share.percent.parts_per_million != WHOLE:
            message = f"the last wave is {last.share}{' of those with labels' if last.labels else ''}"
            site.report("E0514", ("models", name, "rollout", "waves", len(waves) - 1), message)


def waves_for_labels_find_devices(site: Site) -> None:
    """E0950: some device of the model's pools carries the labels of a wave."""
    pools = site.pools()
    for name, model in site.sound("models", site.topology.models):
        placed = [pools[pool] for pool in model.pools if pool in pools]
        carried = [each.labels_of(device) for each in placed for device in each.node_names]
        rules: list[tuple[Path, WaveRule]] = [(("canary",), model.rollout.canary)]
        rules += [(("waves", position), wave) for position, wave in enumerate(model.rollout.waves)]
        for path, wave in rules:
            if wave.labels and not any(wave.labels.items() <= labels.items() for labels in carried):
                wanted = ", ".join(f"{key}={value}" for key, value in wave.labels.items())
                message = f"no device of '{name}' carries {wanted}"
                site.report("E0950", ("models", name, "rollout", *path, "labels"), message, key=True)


def rollouts_can_be_kept(site: Site) -> None:
    """E0951: a pace grows from somewhere and ends above it; E0952: a deadline leaves time for the soaks."""
    for name, model in site.sound("models", site.topology.models):
        rollout, path = model.rollout, ("models", name, "rollout")
        pace = rollout.pace
        if pace is not None and pace.per_minute is None and (pace.most is not None or pace.growth > 1):
            site.report("E0951", (*path, "pace"), "'pace' has no per_minute to begin with", key=True)
        elif pace is not None and pace.most is not None and pace.most < (pace.per_minute or 0):
            message = f"most is {pace.most:g} a minute, and it begins with {pace.per_minute:g}"
            site.report("E0951", (*path, "pace", "most"), message)
        soaks = rollout.soak.seconds * (1 + len(rollout.waves))
        if rollout.deadline is not None and rollout.deadline.seconds <= soaks:
            message = (
                f"{rollout.deadline} is over before {1 + len(rollout.waves)} soaks of {rollout.soak} are"
            )
            site.report("E0952", (*path, "deadline"), message)


def rollouts_can_stop(site: Site) -> None:
    """W0705: without a condition a bad version reaches everybody. Only for rollouts that are written out."""
    for name, model in site.sound("models", site.topology.models):
        conditions = model.rollout.abort_if
        if "rollout" in model.model_fields_set and conditions.error_rate is None and conditions.p99 is None:
            site.report(
                "W0705", ("models", name, "rollout"), f"nothing stops a rollout of '{name}'", key=True
            )
