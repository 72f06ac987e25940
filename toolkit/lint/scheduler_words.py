"""What Volcano's scheduler reads in its configuration: names of actions, plugins, switches and arguments.

Tables for `scheduler_configuration`, from volcano-sh/volcano v1.15.1 (pkg/scheduler: actions/factory.go,
plugins/factory.go, conf/scheduler_conf.go, plugins/{nodeorder,binpack}). The scheduler's parser is not strict.
"""

from __future__ import annotations

ACTIONS = (
    "enqueue",
    "allocate",
    "backfill",
    "preempt",
    "reclaim",
    "gangpreempt",
    "gangreclaim",
    "shuffle",
)
EVICTING = frozenset({"preempt", "reclaim", "gangpreempt", "gangreclaim", "shuffle"})
"""Actions that take pods away."""
PLUGINS = (
    "binpack", "capacity", "cdp", "conformance", "deviceshare", "drf", "extender", "gang",
    "network-topology-aware", "nodegroup", "nodeorder", "numa-aware", "overcommit", "pdb", "predicates", "priority",
    "proportion", "rescheduling", "resource-strategy-fit", "resourcequota", "sla", "task-topology", "tdm", "usage",
)  # fmt: skip
DESERVING = ("capacity", "proportion")
"""Plugins that say what a queue deserves."""
TOP_KEYS = ("actions", "tiers", "configurations", "metrics")
SWITCHES = (
    "enableJobOrder", "enableHierarchy", "enableJobReady", "enableJobPipelined", "enableTaskOrder",
    "enablePreemptable", "enableReclaimable", "enablePreemptive", "enableQueueOrder", "EnabledClusterOrder",
    "enablePredicate", "enableBestNode", "enableNodeOrder", "enableTargetJob", "enableReservedNodes",
    "enableJobEnqueued", "enabledVictim", "enableJobStarving", "enabledOverused", "enabledAllocatable",
    "enabledHyperNodeOrder", "enabledSubJobReady", "enabledSubJobPipelined", "enabledSubJobOrder",
    "enabledHyperNodeGradient",
)  # fmt: skip
"""Some begin with enable, some with enabled: that is how Volcano reads them."""
PLUGIN_KEYS = ("name", "arguments", *SWITCHES)

WEIGHTS = {
    "leastrequested.weight": 1,
    "mostrequested.weight": 0,
    "nodeaffinity.weight": 2,
    "podaffinity.weight": 2,
    "balancedresource.weight": 1,
    "tainttoleration.weight": 3,
    "imagelocality.weight": 1,
    "podtopologyspread.weight": 2,
}
"""Arguments of nodeorder with what holds without them."""
SPREADING = ("leastrequested.weight", "podtopologyspread.weight")
"""Those that give the emptiest machine the most points."""
BINPACK_WEIGHT, BINPACK_RESOURCES = "binpack.weight", "binpack.resources"
BINPACK_ARGUMENTS = (BINPACK_WEIGHT, "binpack.cpu", "binpack.memory", BINPACK_RESOURCES)
ENOUGH = 5
"""So many times the weight of what spreads, binpack packed in every run that was measured."""
