"""Threads that decode a type for the first time at once do not end the process."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = '''
import sys, threading
from typing import Optional
import msgspec
from toolkit.wire.document import Document, decode_json, decode_msgpack, encode_msgpack

sys.setswitchinterval(1e-7)
KINDS = """
class Inner{n}(msgspec.Struct):
    number: "Optional[int]" = None
    lists: "list[dict[str, int]]" = []
    names: "tuple[str, ...]" = ()
class Outer{n}(Document, frozen=True, kw_only=True):
    many: "list[Inner{n}]"
    named: "dict[str, Inner{n}]"
    one: "Optional[Inner{n}]" = None
"""
INNER = '{"number":1,"lists":[{"a":1}],"names":["b"]}'
TEXT = f'{{"format":1,"many":[{INNER}],"named":{{"k":{INNER}}},"one":{INNER}}}'.encode()
PACKED = msgspec.msgpack.encode(msgspec.json.decode(TEXT))

def decode(kind, start, number):
    start.wait()
    for _ in range(3):
        if number % 2:
            decode_json(TEXT, kind, what="it")
        else:
            decode_msgpack(PACKED, kind, what="it", limit=10_000)

for n in range(150):
    exec(KINDS.format(n=n))
    start = threading.Barrier(4)
    threads = [threading.Thread(target=decode, args=(globals()[f"Outer{n}"], start, each)) for each in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
print("alive")
'''


def test_a_type_that_is_decoded_for_the_first_time_by_several_threads_at_once():
    """Without `learn` the process is dead, by SIGSEGV, after 5 to 30 of these types."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode, done.stdout.strip()) == (0, "alive"), done.stderr[-2000:]
