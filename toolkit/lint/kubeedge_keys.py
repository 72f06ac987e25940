"""The keys that CloudCore and EdgeCore of KubeEdge 1.23 read. Data for `kubeedge_config`, which names all others.

Source: the Go types of pkg/apis/componentconfig/{cloudcore/v1alpha1,edgecore/v1alpha2} at v1.23.1; both programs parse
without complaint about keys that they do not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Union

Keys = Mapping[str, Union["Keys", None]]
"""Key → the keys below it; None where any value may stand."""


def _open(names: str) -> dict[str, Keys | None]:
    return dict.fromkeys(names.split())


_HEAD = _open("apiVersion kind")
_TLS = "tlsCAFile tlsCertFile tlsPrivateKeyFile"
_BUFFERED = (
    "updatePodStatus updateNodeStatus queryConfigMap querySecret queryPersistentVolume queryPersistentVolumeClaim "
    "queryVolumeAttachment createNode patchNode queryNode updateNode patchPod deletePod createLease queryLease"
)

CLOUDCORE: Keys = {
    **_HEAD,
    "kubeAPIConfig": _open("master kubeConfig qps burst contentType"),
    "commonConfig": {**_open("tunnelPort"), "monitorServer": _open("bindAddress enableProfiling")},
    "featureGates": _open("requireAuthorization moduleRestart disableNodeTaskV1alpha2"),
    "modules": {
        "cloudHub": {
            **_open(
                f"enable advertiseAddress dnsNames nodeLimit keepaliveInterval writeTimeout tlsCAKeyFile {_TLS}"
            ),
            **_open("edgeCertSigningDuration tokenRefreshDuration"),
            "websocket": _open("enable address port"),
            "quic": _open("enable address port maxIncomingStreams"),
            "https": _open("enable address port"),
            "unixsocket": _open("enable address"),
            "authorization": _open("enable debug modes"),
        },
        "edgeController": {
            **_open("enable nodeUpdateFrequency"),
            "buffer": _open(
                f"processEvent podEvent configMapEvent secretEvent rulesEvent ruleEndpointsEvent {_BUFFERED} "
                "serviceAccountToken createPod certificateSigningRequest"
            ),
            "load": {
                **{f"{name}Workers": None for name in ("processEvent", *_BUFFERED.split())},
                # Three keys begin with a capital letter, and one of them has no second r; so they are in the source.
                **_open(
                    "UpdateRuleStatusWorkers ServiceAccountTokenWorkers CreatePodWorks certificateSigningRequestWorkers"
                ),
            },
        },
        "deviceController": {
            **_open("enable"),
            "buffer": _open(
                "updateDeviceTwins updateDeviceStatus deviceEvent deviceModelEvent deviceStatusEvent"
            ),
            "load": _open("updateDeviceStatusWorkers"),
        },
        "taskManager": {
            **_open("enable"),
            "buffer": _open("taskStatus taskEvent"),
            "load": _open("taskWorkers"),
        },
        "syncController": _open("enable"),
        "dynamicController": _open("enable"),
        "router": _open("enable address port restTimeout"),
        "cloudStream": _open(
            "enable streamPort tunnelPort tlsTunnelCAFile tlsTunnelCertFile tlsTunnelPrivateKeyFile "
            "tlsStreamCAFile tlsStreamCertFile tlsStreamPrivateKeyFile"
        ),
        "iptablesManager": _open("enable mode"),
    },
}

EDGECORE: Keys = {
    **_HEAD,
    **_open("featureGates edgecoreVersion"),
    "database": _open("driverName aliasName dataSource"),
    "modules": {
        "edged": {
            **_open(
                "enable reportEvent hostnameOverride nodeIP nodeLabels registerNodeNamespace podSandboxImage"
            ),
            **_open("rootDirectory registerSchedulable maxContainerCount maxPerPodContainerCount"),
            **_open("customInterfaceName tailoredKubeletConfig"),
        },
        "edgeHub": {
            **_open("enable heartbeat messageQPS messageBurst projectID httpServer token rotateCertificates"),
            **_open("tlsCaFile tlsCertFile tlsPrivateKeyFile"),
            "websocket": _open("enable server handshakeTimeout readDeadline writeDeadline"),
            "quic": _open("enable server handshakeTimeout readDeadline writeDeadline"),
        },
        "eventBus": {
            **_open("enable mqttMode mqttServerInternal mqttServerExternal mqttQOS mqttRetain"),
            **_open("mqttSessionQueueSize mqttSubClientID mqttPubClientID mqttUsername mqttPassword"),
            "eventBusTLS": _open("enable tlsMqttCAFile tlsMqttCertFile tlsMqttPrivateKeyFile"),
        },
        "metaManager": {
            **_open("enable contextSendGroup contextSendModule remoteQueryTimeout"),
            "metaServer": _open(
                "enable server dummyServer tlsCaFile tlsCertFile tlsPrivateKeyFile apiAudiences "
                "serviceAccountIssuers serviceAccountKeyFiles"
            ),
        },
        "deviceTwin": _open("enable dmiSockPath"),
        "edgeStream": _open(
            "enable server handshakeTimeout readDeadline writeDeadline tlsTunnelCAFile tlsTunnelCertFile "
            "tlsTunnelPrivateKeyFile"
        ),
        "serviceBus": _open("enable server port timeout"),
        "taskManager": _open("enable"),
        "dbTest": _open("enable"),
    },
}

MEANT = {
    "updateEdgeStatus": "updateNodeStatus and updatePodStatus",
    "queryCloudStatus": "queryNode, queryLease or queryConfigMap",
    "serviceEvent": "nothing: it left with EdgeMesh",
    "endpointsEvent": "nothing: it left with EdgeMesh",
    "queryService": "nothing: it left with EdgeMesh",
    "queryEndpoints": "nothing: it left with EdgeMesh",
    "devicePluginEnabled": "nothing: device plugins are always on",
    "gpuPluginEnabled": "nothing: the device plugin announces GPUs",
    "runtimeType": "tailoredKubeletConfig.containerRuntimeEndpoint",
    "remoteRuntimeEndpoint": "tailoredKubeletConfig.containerRuntimeEndpoint",
    "remoteImageEndpoint": "tailoredKubeletConfig.imageServiceEndpoint",
    "edgeMesh": "nothing: EdgeMesh is a program of its own",
    "UpdateDeviceStates": "updateDeviceStatus",
}
"""Keys of widely copied examples and of older versions → what stands for them today."""
