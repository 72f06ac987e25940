"""Which values the API server takes in the fields of core kinds: words, ranges, names, quantities.

Laid over the schemas of `schema_core`, which know fields and types only. Source: k8s.io/kubernetes v1.35,
pkg/apis/*/validation, and the formats of k8s.io/apimachinery (pkg/util/validation, pkg/api/resource). `x-tiers-words`
says in words what a pattern means; `schema_words` puts it into the message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

Schema = dict[str, object]
WORDS = "x-tiers-words"
"""Key of a schema that says for people what its pattern means."""

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_QUALIFIED_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_PREFIX = rf"({_LABEL}(\.{_LABEL})*/)?"
QUANTITY: Schema = {
    "type": ["string", "number", "null"],
    "pattern": r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(([KMGTPE]i)|[numkMGTPE]|([eE][+-]?[0-9]+))?$",
    WORDS: "a quantity such as 500m, 2 or 1Gi",
}
INT_OR_STRING: Schema = {"type": ["integer", "string", "null"]}
DNS_LABEL: Schema = {
    "pattern": f"^{_LABEL}$",
    WORDS: "a DNS label: at most 63 small letters, digits and -, beginning and ending with a letter or digit",
}
_PART = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN: Schema = {  # Kubernetes limits the whole (apimachinery, IsDNS1123Subdomain), not its parts as DNS does
    "pattern": rf"^{_PART}(\.{_PART})*$",
    "maxLength": 253,
    WORDS: "a DNS name: small letters, digits, - and ., each part beginning and ending with a letter or digit",
}
_SERVICE_NAME: Schema = {  # Service names became DNS labels that may begin with a digit in 1.34 behind a gate only
    "pattern": r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$",
    WORDS: "a name of a Service: at most 63 small letters, digits and -, beginning with a letter",
}
_PORT_NAME: Schema = {
    "pattern": r"^[a-z0-9-]{1,15}$",
    WORDS: "a name of a port: at most 15 small letters, digits and -",
}
_LABEL_KEY: Schema = {
    "pattern": f"^{_PREFIX}{_QUALIFIED_NAME}$",
    WORDS: "a key such as app or example.org/app: at most 63 letters, digits, -, _ and . after the prefix",
}
_ANNOTATION_KEY: Schema = {
    "pattern": rf"^({_LABEL}(\.{_LABEL})*/)?{_QUALIFIED_NAME}$",
    WORDS: _LABEL_KEY[WORDS],
}
_LABEL_VALUE: Schema = {
    "pattern": f"^({_QUALIFIED_NAME})?$",
    WORDS: "a label value: at most 63 letters, digits, -, _ and ., beginning and ending with a letter or digit",
}
_DATA_KEY: Schema = {"pattern": r"^[-._a-zA-Z0-9]{1,253}$", WORDS: "a key: letters, digits, -, _ and ."}
LABELS: Schema = {
    "propertyNames": _LABEL_KEY,
    "additionalProperties": {"type": ["string", "null"], **_LABEL_VALUE},
}
BASE64: Schema = {
    "pattern": r"^([A-Za-z0-9+/]{4}|[\r\n])*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?[\r\n]*$",
    WORDS: "base64",
}
INT32: Schema = {"minimum": -(2**31), "maximum": 2**31 - 1}

_CORE, _APPS, _BATCH, _SCALING = "core.v1.", "apps.v1.", "batch.v1.", "autoscaling.v2."
_WORDS_OF: Mapping[str, Mapping[str, str]] = {
    "core.v1.Container": {
        "imagePullPolicy": "Always IfNotPresent Never",
        "terminationMessagePolicy": "File FallbackToLogsOnError",
    },
    "core.v1.PodSpec": {
        "restartPolicy": "Always OnFailure Never",
        "dnsPolicy": "ClusterFirst ClusterFirstWithHostNet Default None",
        "preemptionPolicy": "PreemptLowerPriority Never",
    },
    "core.v1.Toleration": {
        "operator": "Exists Equal Lt Gt",
        "effect": "NoSchedule PreferNoSchedule NoExecute",
    },
    "core.v1.Taint": {"effect": "NoSchedule PreferNoSchedule NoExecute"},
    "core.v1.ContainerPort": {"protocol": "TCP UDP SCTP"},
    "core.v1.ServicePort": {"protocol": "TCP UDP SCTP"},
    "core.v1.ServiceSpec": {
        "type": "ClusterIP NodePort LoadBalancer ExternalName",
        "sessionAffinity": "None ClientIP",
        "externalTrafficPolicy": "Cluster Local",
        "internalTrafficPolicy": "Cluster Local",
    },
    "core.v1.NodeSelectorRequirement": {"operator": "In NotIn Exists DoesNotExist Gt Lt"},
    "core.v1.HostPathVolumeSource": {
        "type": "DirectoryOrCreate Directory FileOrCreate File Socket CharDevice BlockDevice"
    },
    "core.v1.SeccompProfile": {"type": "RuntimeDefault Unconfined Localhost"},
    "core.v1.HTTPGetAction": {"scheme": "HTTP HTTPS"},
    "core.v1.TopologySpreadConstraint": {"whenUnsatisfiable": "DoNotSchedule ScheduleAnyway"},
    "core.v1.ScopedResourceSelectorRequirement": {"operator": "In NotIn Exists DoesNotExist"},
    "apimachinery.pkg.apis.meta.v1.LabelSelectorRequirement": {"operator": "In NotIn Exists DoesNotExist"},
    "apps.v1.DaemonSetUpdateStrategy": {"type": "RollingUpdate OnDelete"},
    "apps.v1.DeploymentStrategy": {"type": "RollingUpdate Recreate"},
    "apps.v1.StatefulSetUpdateStrategy": {"type": "RollingUpdate OnDelete"},
    "apps.v1.StatefulSetSpec": {"podManagementPolicy": "OrderedReady Parallel"},
    "batch.v1.JobSpec": {
        "completionMode": "NonIndexed Indexed",
        "podReplacementPolicy": "TerminatingOrFailed Failed",
    },
    "batch.v1.CronJobSpec": {"concurrencyPolicy": "Allow Forbid Replace"},
    "scheduling.v1.PriorityClass": {"preemptionPolicy": "PreemptLowerPriority Never"},
    "policy.v1.PodDisruptionBudgetSpec": {"unhealthyPodEvictionPolicy": "IfHealthyBudget AlwaysAllow"},
    "autoscaling.v2.MetricSpec": {"type": "ContainerResource External Object Pods Resource"},
    "autoscaling.v2.MetricTarget": {"type": "AverageValue Utilization Value"},
    "autoscaling.v2.HPAScalingRules": {"selectPolicy": "Max Min Disabled"},
    "autoscaling.v2.HPAScalingPolicy": {"type": "Pods Percent"},
}
"""Definition → field → the words it takes, apart by spaces."""

_PORT: Schema = {"minimum": 1, "maximum": 65535}
_COUNT: Schema = {"minimum": 0}
_FIELDS: Mapping[str, Mapping[str, Schema]] = {
    "core.v1.Container": {
        "name": DNS_LABEL,
        "image": {"minLength": 1, "pattern": r"^\S+( \S+)*$", WORDS: "an image name"},
    },
    "core.v1.ContainerPort": {
        "name": _PORT_NAME,
        "containerPort": _PORT,
        "hostPort": {"minimum": 0, "maximum": 65535},
    },
    "core.v1.ServicePort": {"port": _PORT, "nodePort": {"minimum": 0, "maximum": 65535}, "name": DNS_LABEL},
    "core.v1.Volume": {"name": DNS_LABEL},
    "core.v1.VolumeMount": {"mountPath": {"minLength": 1}, "name": {"minLength": 1}},
    "core.v1.EnvVar": {"name": {"pattern": r"^[ -<>-~]+$", WORDS: "a name: printable ASCII without ="}},
    "core.v1.PodSpec": {
        "containers": {"minItems": 1},
        "nodeSelector": LABELS,
        "terminationGracePeriodSeconds": _COUNT,
        "activeDeadlineSeconds": {"minimum": 1},
        "serviceAccountName": SUBDOMAIN,
        "priorityClassName": SUBDOMAIN,
        "hostname": DNS_LABEL,
        "subdomain": DNS_LABEL,
    },
    "core.v1.Probe": dict.fromkeys(
        ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "successThreshold", "failureThreshold"),
        _COUNT,
    ),
    "core.v1.HTTPGetAction": {"path": {"minLength": 1}},
    "core.v1.Toleration": {"key": {"pattern": f"^({_PREFIX}{_QUALIFIED_NAME})?$", WORDS: _LABEL_KEY[WORDS]}},
    "core.v1.NodeSelectorRequirement": {"key": _LABEL_KEY},
    "core.v1.PreferredSchedulingTerm": {"weight": {"minimum": 1, "maximum": 100}},
    "core.v1.WeightedPodAffinityTerm": {"weight": {"minimum": 1, "maximum": 100}},
    "core.v1.TopologySpreadConstraint": {"maxSkew": {"minimum": 1}},
    "core.v1.ResourceRequirements": {
        "requests": {"propertyNames": _LABEL_KEY},
        "limits": {"propertyNames": _LABEL_KEY},
    },
    "core.v1.ServiceSpec": {"selector": LABELS},
    "core.v1.ConfigMap": {"data": {"propertyNames": _DATA_KEY}, "binaryData": {"propertyNames": _DATA_KEY}},
    "core.v1.Secret": {"data": {"propertyNames": _DATA_KEY}, "stringData": {"propertyNames": _DATA_KEY}},
    "apimachinery.pkg.apis.meta.v1.ObjectMeta": {
        "labels": LABELS,
        "annotations": {"propertyNames": _ANNOTATION_KEY},
        "namespace": DNS_LABEL,
        "finalizers": {"items": {"type": ["string", "null"], **_LABEL_KEY}},
    },
    "apimachinery.pkg.apis.meta.v1.LabelSelector": {"matchLabels": LABELS},
    "apimachinery.pkg.apis.meta.v1.LabelSelectorRequirement": {"key": _LABEL_KEY},
    "apps.v1.DaemonSetSpec": {"minReadySeconds": _COUNT, "revisionHistoryLimit": _COUNT},
    "apps.v1.DeploymentSpec": {
        "replicas": _COUNT, "minReadySeconds": _COUNT, "revisionHistoryLimit": _COUNT,
        "progressDeadlineSeconds": _COUNT,
    },
    "apps.v1.StatefulSetSpec": {"replicas": _COUNT, "minReadySeconds": _COUNT, "revisionHistoryLimit": _COUNT},
    "batch.v1.JobSpec": dict.fromkeys(
        ("parallelism", "completions", "backoffLimit", "ttlSecondsAfterFinished", "activeDeadlineSeconds"),
        _COUNT,
    ),
    "autoscaling.v2.HorizontalPodAutoscalerSpec": {"minReplicas": _COUNT, "maxReplicas": {"minimum": 1}},
    "autoscaling.v2.HPAScalingRules": {"stabilizationWindowSeconds": {"minimum": 0, "maximum": 3600}},
    "autoscaling.v2.HPAScalingPolicy": {
        "value": {"minimum": 1}, "periodSeconds": {"minimum": 1, "maximum": 1800},
    },
}  # fmt: skip
"""Definition → field → what its value must be besides its type."""

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "core.v1.PodTemplateSpec": ("spec",),
    "core.v1.PodSpec": ("containers",),
}
"""Fields that the server wants and that the schemas call optional."""
_NAMES: Mapping[str, Schema] = {"Namespace": DNS_LABEL, "Service": _SERVICE_NAME}
_ANY_NAME = frozenset({"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "APIService"})
_USER_PRIORITY: Schema = {  # what is above belongs to the two classes that the server makes itself
    "if": {"properties": {"metadata": {"properties": {"name": {"pattern": "^system-"}}}}},
    "else": {"properties": {"value": {"maximum": 1_000_000_000}}},
}
_PORTS_OF_A_SERVICE: Schema = {  # one without an address of its own may stand for names alone
    "if": {
        "properties": {
            "spec": {
                "anyOf": [
                    {"required": ["clusterIP"], "properties": {"clusterIP": {"const": "None"}}},
                    {"required": ["type"], "properties": {"type": {"const": "ExternalName"}}},
                ]
            }
        }
    },
    "else": {"properties": {"spec": {"required": ["ports"]}}},
}
_OF_KINDS: Mapping[str, Schema] = {"PriorityClass": _USER_PRIORITY, "Service": _PORTS_OF_A_SERVICE}
_PATH_SEGMENT: Schema = {"pattern": "^[^/%]+$", WORDS: "a name without / and %"}


def values_of(definition: str) -> Iterator[tuple[str, Schema]]:
    """Give field → extra keywords for a definition such as io.k8s.api.core.v1.Container."""
    short = definition.removeprefix("io.k8s.api.").removeprefix("io.k8s.")
    for field, words in _WORDS_OF.get(short, {}).items():
        yield field, {"enum": [*words.split(" "), "", None]}  # empty and null mean the default
    yield from _FIELDS.get(short, {}).items()


def required_of(definition: str) -> tuple[str, ...]:
    """Give the fields of a definition that the server wants beyond its schema."""
    return REQUIRED.get(definition.removeprefix("io.k8s.api."), ())


def whole_of(kind: str) -> Schema:
    """Give what holds for an object of a kind as a whole, beyond its fields one by one."""
    return _OF_KINDS.get(kind, {})


def name_of(kind: str) -> Schema:
    """Give what metadata.name of a kind must be."""
    return _PATH_SEGMENT if kind in _ANY_NAME else _NAMES.get(kind, SUBDOMAIN)
