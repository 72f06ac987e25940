#!/bin/bash
# This joins a device of the pool endoscopy to the cluster main, KubeEdge 1.23.1.
# Before: containerd with its CNI and keadm stand on the device, no kubelet runs there, and its clock is right.
# The token is a secret that is good for twelve hours; it stands in no file. Hand it over from where kubectl is:
#   scp join.sh root@endo-01:
#   kubectl --context hospital -n kubeedge get secret tokensecret -o 'jsonpath={.data.tokendata}' \
#     | base64 -d | ssh root@endo-01 bash join.sh
set -euo pipefail
NODE="$(hostname)"

stop() { echo "join: $*" >&2; exit 1; }

case "$NODE" in
endo-01|endo-02) ;;
*) stop "'$NODE' is no device of the pool endoscopy; set its host name, or render --join endoscopy/DEVICE" ;;
esac
[ "$(id -u)" = 0 ] || stop "run it as root"
if [ ! -s /etc/kubeedge/certs/server.crt ]; then
  [ -z "$(ls -A /etc/kubeedge 2>/dev/null)" ] || stop "a join broke off here; first: keadm reset --force"
  [ -S /run/containerd/containerd.sock ] || stop "containerd does not run"
  ! pgrep -x kubelet >/dev/null || stop "a kubelet runs here; EdgeCore refuses to start beside it"
  command -v keadm >/dev/null || stop "keadm is not installed"
  IFS= read -rs TOKEN || [ -n "$TOKEN" ] || stop "no token on the standard input"
  keadm join \
    --kubeedge-version=v1.23.1 \
    --cloudcore-ipport=192.0.2.10:10000 \
    --cgroupdriver=systemd \
    --remote-runtime-endpoint=unix:///run/containerd/containerd.sock \
    --labels=tiers.dev/tier=edge,tiers.dev/pool=endoscopy \
    --with-mqtt=false \
    --edgenode-name="$NODE" \
    --token="$TOKEN"
  unset TOKEN
  [ -s /etc/kubeedge/certs/server.crt ] || stop "there is no /etc/kubeedge/certs/server.crt; the token may be too old"
fi

# What keadm wrote has neither taint nor offline settings; this file has. It is put in place whole, or not at all.
install -d -m 0755 /etc/kubeedge/config
umask 077
cat > /etc/kubeedge/config/edgecore.yaml.new <<'END-OF-EDGECORE'
# edgecore.yaml of the devices of endoscopy, KubeEdge 1.23.1
# it is /etc/kubeedge/config/edgecore.yaml of a device that has joined; then: systemctl restart edgecore
# the script that joins a device and puts this file there: tiers render --join endoscopy
apiVersion: edgecore.config.kubeedge.io/v1alpha2
kind: EdgeCore
database:
  dataSource: /var/lib/kubeedge/edgecore.db
modules:
  edged:
    nodeLabels:
      tiers.dev/pool: endoscopy
      tiers.dev/tier: edge
    tailoredKubeletConfig:
      containerRuntimeEndpoint: "unix:///run/containerd/containerd.sock"
      imageServiceEndpoint: "unix:///run/containerd/containerd.sock"
      staticPodPath: /etc/kubeedge/manifests
      cgroupDriver: systemd
      registerWithTaints:
      - key: node-role.kubernetes.io/edge
        effect: NoSchedule
      featureGates:
        DisableCSIVolumePlugin: true
      evictionHard:
        memory.available: "256Mi"
        nodefs.available: "5%"
      imageGCHighThresholdPercent: 95
      imageGCLowThresholdPercent: 90
  edgeHub:
    httpServer: "https://192.0.2.10:10002"
    token: ""
    rotateCertificates: true
    websocket:
      enable: true
      server: "192.0.2.10:10000"
  eventBus:
    enable: false
    mqttMode: 2
    mqttQOS: 1
  metaManager:
    metaServer:
      enable: false
  deviceTwin:
    enable: true
  serviceBus:
    enable: false
  taskManager:
    enable: false
END-OF-EDGECORE
sync /etc/kubeedge/config/edgecore.yaml.new
mv /etc/kubeedge/config/edgecore.yaml.new /etc/kubeedge/config/edgecore.yaml
systemctl restart edgecore
echo "joined as $NODE"
