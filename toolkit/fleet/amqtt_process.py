"""The embedded broker, run as `python -m toolkit.fleet.amqtt_process PORT` by `broker`; for demos and laptops only.

A process of its own, because a broker in a thread would share Python's lock with whoever started it. It listens on
loopback, knows nobody's name, keeps nothing on disk, and ends when its standard input does, that is, with its parent.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from amqtt.broker import Broker


async def serve(port: int) -> None:
    """Serve MQTT 3.1.1 on 127.0.0.1:port until standard input ends."""
    settings = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    broker = Broker(settings)
    await broker.start()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    await broker.shutdown()


if __name__ == "__main__":
    # amqtt tells every packet it does not like, and greets MQTT 5 with a traceback.
    logging.disable(logging.CRITICAL)
    asyncio.run(serve(int(sys.argv[1])))
