"""The peers of `ship.py` that push: paho to paho at QoS 1, 256 KiB a message, as a service would without a protocol.

As `publisher` it reads the file and keeps 20 messages on their way; as `subscriber` it takes them, and with a state
folder it puts them into the same durable sink as ours.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from benchmarks.shipping.place import FRAME_BYTES, Meter, Plan, plan_of_arguments, wait_for_go
from benchmarks.shipping.sink import Sink


def _client(name: str, port: int) -> Client:
    client = Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(20)
    client.connect("127.0.0.1", port)
    return client


def publish(plan: Plan) -> None:
    """Send the file to everybody, once the word comes."""
    client = _client("publisher", plan.port)
    client.loop_start()
    wait_for_go()
    meter = Meter()
    room = threading.Semaphore(20)
    client.on_publish = lambda *_: room.release()
    with Path(plan.folder, "model").open("rb") as file:
        while data := file.read(FRAME_BYTES):
            room.acquire()
            sent = client.publish("push", data, qos=1)
    sent.wait_for_publish()
    print(meter.told(), flush=True)
    client.disconnect()


def subscribe(plan: Plan) -> None:
    """Take the file; done when all of its bytes have come."""
    sink = Sink(plan) if plan.state else None
    client, ready, done = _client(plan.device, plan.port), threading.Event(), threading.Event()
    left = [plan.size]

    def take(_client: Client, _data: object, message: MQTTMessage) -> None:
        left[0] -= len(message.payload)
        if sink is not None:
            sink.take(message.payload)
        if left[0] <= 0:
            done.set()

    client.on_message = take
    client.on_subscribe = lambda *_: ready.set()
    client.loop_start()
    client.subscribe("push", qos=1)
    ready.wait()
    wait_for_go()
    meter = Meter()
    done.wait()
    if sink is not None:
        sink.finish()
    print(meter.told(received=plan.size), flush=True)
    client.disconnect()


if __name__ == "__main__":
    {"publisher": publish, "subscriber": subscribe}[sys.argv[1]](plan_of_arguments())
