"""A topology → the script by which a device of a pool joins its cluster. `tiers render --join POOL[/DEVICE]` prints it.

Beside `kubeedge_config`, whose edgecore.yaml the script holds. It runs as root on the device, gets the join token from
its standard input and writes it nowhere; run again on a device that has joined, it only brings the file up to date.
keadm 1.23 takes the token as an argument alone, so it shows in the device's process list while keadm runs.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from toolkit.render.edge_lookup import edge_pool, kubeedge_of
from toolkit.render.kubeedge_config import (
    CONTAINERD,
    WEBSOCKET_PORT,
    dialled,
    edge_config,
    node_labels,
)
from toolkit.topology.topology import PlacedPool, Topology

_FOLDER = "/etc/kubeedge"
"""What keadm fills; it refuses to join where something is in it."""
_CONFIG = "/etc/kubeedge/config/edgecore.yaml"
_CERTIFICATE = "/etc/kubeedge/certs/server.crt"
_END = "END-OF-EDGECORE"
"""Line behind the file inside the script; edgecore.yaml, being YAML of one mapping, has no line without a colon."""


@dataclass(frozen=True)
class _Join:
    """What goes into the script."""

    title: str
    context: str
    host: str
    """Whom the example in the comments logs in to."""
    node: str
    """The name of the device as a word of the shell."""
    known: str
    """Pattern of `case` that the names of the pool fit."""
    apart: str
    """Case for devices that the pool's file does not fit, because they have labels of their own; or nothing."""
    pool: str
    flags: tuple[str, ...]
    """Of keadm join, each a word of the shell; without the token."""
    config: str


def join_script(topology: Topology, pool: str, device: str = "") -> str:
    """Give the script that joins one device, or any device of a pool, which then goes by its host name.

    Raises:
        UsageError: as `kubeedge_config.edge_config`.
    """
    config = edge_config(topology, pool, device)
    placed = edge_pool(topology, pool)
    cluster = topology.cluster_of(placed)
    kubeedge = kubeedge_of(topology, cluster)
    listed = ",".join(f"{key}={value}" for key, value in node_labels(placed, device).items())
    server = f"{dialled(kubeedge.addresses[0])}:{WEBSOCKET_PORT}"
    flags = (
        f"--kubeedge-version=v{kubeedge.version}",
        f"--cloudcore-ipport={server}",
        f"--cgroupdriver={kubeedge.cgroup_driver}",
        f"--remote-runtime-endpoint={CONTAINERD}",
        f"--labels={listed}",
        "--with-mqtt=false",
    )
    who = device or f"a device of the pool {pool}"
    return _script(
        _Join(
            title=f"joins {who} to the cluster {cluster}, KubeEdge {kubeedge.version}",
            context=topology.clusters[cluster].context,
            host=device or next(iter(placed.node_names), "DEVICE"),
            node=shlex.quote(device) if device else '"$(hostname)"',
            known=shlex.quote(device) if device else _pattern(placed),
            apart="" if device else _apart(placed),
            pool=pool,
            flags=tuple(shlex.quote(flag) for flag in flags),
            config=config,
        )
    )


def _pattern(placed: PlacedPool) -> str:
    """Write the names of a pool as a pattern of `case`: a count's names by their digits, others one by one."""
    names = placed.node_names
    if placed.pool.nodes.count is None:
        return "|".join(shlex.quote(name) for name in names) or "''"
    digits = len(names[0].rpartition("-")[2]) if names else 3
    return f"{shlex.quote(placed.name)}-{'[0-9]' * digits}"


def _apart(placed: PlacedPool) -> str:
    """Write the case for devices with labels of their own: they need a script with these labels."""
    names = "|".join(shlex.quote(name) for name in placed.pool.nodes.own_labels)
    say = f"'$NODE' has labels of its own; render --join {placed.name}/$NODE"
    return f'{names}) stop "{say}" ;;\n' if names else ""


def _script(join: _Join) -> str:
    flags = " \\\n".join(
        f"    {flag}" for flag in (*join.flags, '--edgenode-name="$NODE"', '--token="$TOKEN"')
    )
    return f"""#!/bin/bash
{_comment(join)}
set -euo pipefail
NODE={join.node}

stop() {{ echo "join: $*" >&2; exit 1; }}

case "$NODE" in
{join.apart}{join.known}) ;;
*) stop "'$NODE' is no device of the pool {join.pool}; set its host name, or render --join {join.pool}/DEVICE" ;;
esac
[ "$(id -u)" = 0 ] || stop "run it as root"
if [ ! -s {_CERTIFICATE} ]; then
  [ -z "$(ls -A {_FOLDER} 2>/dev/null)" ] || stop "a join broke off here; first: keadm reset --force"
  [ -S {shlex.quote(CONTAINERD.removeprefix("unix://"))} ] || stop "containerd does not run"
  ! pgrep -x kubelet >/dev/null || stop "a kubelet runs here; EdgeCore refuses to start beside it"
  command -v keadm >/dev/null || stop "keadm is not installed"
  IFS= read -rs TOKEN || [ -n "$TOKEN" ] || stop "no token on the standard input"
  keadm join \\
{flags}
  unset TOKEN
  [ -s {_CERTIFICATE} ] || stop "there is no {_CERTIFICATE}; the token may be too old"
fi

# What keadm wrote has neither taint nor offline settings; this file has. It is put in place whole, or not at all.
install -d -m 0755 {_CONFIG.rpartition("/")[0]}
umask 077
cat > {_CONFIG}.new <<'{_END}'
{join.config}{_END}
sync {_CONFIG}.new
mv {_CONFIG}.new {_CONFIG}
systemctl restart edgecore
echo "joined as $NODE"
"""


def _comment(join: _Join) -> str:
    """Say what the script does and how to hand it the token; a context may hold anything, so each line is marked."""
    text = f"""This {join.title}.
Before: containerd with its CNI and keadm stand on the device, no kubelet runs there, and its clock is right.
The token is a secret that is good for twelve hours; it stands in no file. Hand it over from where kubectl is:
  scp join.sh root@{join.host}:
  kubectl --context {shlex.quote(join.context)} -n kubeedge get secret tokensecret -o 'jsonpath={{.data.tokendata}}' \\
    | base64 -d | ssh root@{join.host} bash join.sh"""
    return "\n".join(f"# {line}" for line in text.splitlines())
