"""The list of rules; a rule counts when it stands here.

Called by `load` with the sound part of a site.
"""

from collections.abc import Callable

from toolkit.topology.checks import (
    agents,
    broker,
    clusters,
    flows,
    jobs,
    kubeedge,
    messages,
    models,
    overrides,
    pools,
    queues,
    routes,
    sensors,
    services,
    storages,
)
from toolkit.topology.checks.site import Site

RULES: tuple[Callable[[Site], None], ...] = (
    clusters.machines_are_in_one_cluster,
    clusters.broker_is_encrypted,
    clusters.names_leave_room,
    clusters.scheduler_is_not_beta,
    kubeedge.pulls_ahead_are_sound,
    kubeedge.upgrades_go_up,
    sensors.sensors_are_on_devices,
    sensors.sensors_have_something_to_read,
    sensors.connections_hold_no_secret,
    messages.ways_are_ones_that_exist,
    messages.topics_are_free,
    messages.sizes_are_small,
    messages.sources_differ,
    messages.losses_are_noted,
    pools.pool_names_are_unique,
    pools.pools_say_which_machines,
    pools.gpus_match_the_hardware,
    pools.shares_of_gpus_make_sense,
    pools.device_settings_have_a_device,
    pools.old_jetsons_are_noted,
    overrides.overrides_say_something,
    overrides.overrides_match_somebody,
    overrides.labels_belong_to_devices,
    queues.amounts_are_in_order,
    queues.queues_fit_their_tier,
    models.models_are_on_edge_pools,
    models.fallbacks_end,
    models.offload_finds_a_service,
    models.waves_grow_to_the_end,
    models.rollouts_can_stop,
    jobs.gangs_fit_their_pool,
    jobs.gangs_fit_their_queue,
    jobs.minimum_is_not_above_workers,
    jobs.names_are_service_names,
    jobs.retries_outlast_evictions,
    jobs.environment_holds_no_secret,
    flows.steps_wait_for_steps,
    jobs.schedules_can_be_kept,
    flows.names_of_flows_fit,
    flows.flows_stay_in_one_cluster,
    routes.ends_have_storage,
    routes.copies_have_places,
    routes.triggers_agree,
    agents.agents_stand_in_their_tier,
    agents.agents_can_log_in,
    storages.storage_classes_have_one_source,
    storages.claims_can_be_mounted,
    storages.volumes_reach_who_needs_them,
    broker.our_broker_is_a_mosquitto,
    services.services_fit_their_pool,
    services.names_are_service_names,
    services.authorities_are_secrets,
    services.replicas_are_in_order,
    services.peaks_have_a_time_zone,
    services.thresholds_do_not_swing,
    services.scaling_has_room,
    services.thresholds_can_be_measured,
    services.thresholds_can_be_passed,
    services.fewer_servers_stay_below_the_limit,
    services.what_grows_shrinks_again,
    services.autoscalers_know_their_hours,
)
"""Every rule, in the order of the file."""


def check_everything(site: Site) -> None:
    """Hold the site to every rule."""
    for rule in RULES:
        rule(site)
