"""HOWTO.md in the demo's folder: how to start the site again and go on by hand. Written by `run`."""

from __future__ import annotations

from toolkit.demo.site import DEVICES, MODEL, Site

_PAGE = """\
# Go on by hand

The demo has ended its processes; everything they kept is here. Work in this folder:

    cd {folder}
    export PATH={programs}:$PATH
    SITE="{site}"

In three terminals, the broker, the depot that also steers, and a device:

    {broker}
    tiers depot --steer $SITE --key keys/operator.pem --keyring keys/keyring.json
    tiers-edge run --config devices/{device}/config.json

Then, in a fourth:

    tiers fleet status $SITE
    tiers rollout status $SITE
    cat {state}/serving.json
    curl -s http://127.0.0.1:PORT/v2/models/{model}
    tiers sync run demo-1 $SITE

What the demo itself typed:

{typed}
"""


def write_howto(site: Site, programs: str) -> None:
    """Write the page.

    Args:
        site: the site, its broker's command included.
        programs: folder of the commands `tiers` and `tiers-edge`.
    """
    page = _PAGE.format(
        folder=site.folder,
        programs=programs,
        site=" ".join(site.files),
        broker=" ".join(site.broker.command) if site.broker else "(no broker was started)",
        device=DEVICES[0],
        state=f"devices/{DEVICES[0]}/state",
        model=MODEL,
        typed="\n".join(f"    {command}" for command in site.commands.typed),
    )
    (site.folder / "HOWTO.md").write_text(page, encoding="utf-8")
