"""Requests as attackers, broken clients and luck write them, each with what a clean server may answer.

`test_fuzz` sends them. A case of `framing` must be refused before anything behind it is read; one of `tensors` is well
framed and says nonsense, so the connection goes on; `mutations` may be anything, and are compared with llhttp alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

BODY_LIMIT = 4000
HEAD_LIMIT = 2000
HEADERS_LIMIT = 16
INFER = b"/v2/models/m/infer"
TOKENS = ("i" * 20, "a" * 20, "m" * 20)
"""With the scopes infer, admin and metrics."""


@dataclass(frozen=True)
class Case:
    """One request, and what may come back."""

    data: bytes
    allowed: frozenset[int]
    kept: bool
    """Whether the connection goes on behind it."""


def document(x: np.ndarray, **changed: object) -> dict[str, object]:
    """Write the JSON of a good question to the model y = 2 · x."""
    tensor = {"name": "x", "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist(), **changed}
    return {"inputs": [{key: value for key, value in tensor.items() if value is not None}]}


def post(body: bytes, *headers: bytes, path: bytes = INFER) -> bytes:
    """Write a well-formed POST."""
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: here", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


GOOD = post(json.dumps(document(np.ones((1, 4), np.float32))).encode())

# ---------------------------------------------------------------- framing
short = st.binary(max_size=40)
text = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20).map(str.encode)
small = st.integers(0, 60)
CODINGS = [
    b"chunked",
    b"Chunked",
    b"\tchunked",
    b"xchunked",
    b"chunked, chunked",
    b"chunked;q=1",
    b"identity",
]
CODINGS += [b"gzip, chunked", b"chunked, gzip", b"chunked,", b"", b"'chunked'", b"chunked\x0b"]
LENGTHS = [
    b"+5",
    b"-1",
    b"0x10",
    b"5, 5",
    b"5 5",
    b"",
    b"\xd9\xa3",
    b"1e3",
    b"5;",
    b"1.0",
    b"9" * 30,
    b"5\t5",
]
LINE = b"POST " + INFER + b" HTTP/1.1"
REFUSED = frozenset({400})


def _head(line: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([line, b"Host: here", *headers]) + b"\r\n\r\n"


def _both(length: int, coding: bytes, body: bytes, first: int) -> Case:
    pair = [b"Content-Length: %d" % length, b"Transfer-Encoding: " + coding]
    chunks = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    return Case(_head(LINE, *pair[:: 1 if first else -1]) + chunks, frozenset({400, 411, 501}), kept=False)


def _coded(coding: bytes, body: bytes) -> Case:
    chunks = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    return Case(_head(LINE, b"Transfer-Encoding: " + coding) + chunks, frozenset({400, 411, 501}), kept=False)


def _lengths(one: int, two: int) -> Case:
    pair = (b"Content-Length: %d" % one, b"content-length:%d" % two)
    return Case(_head(LINE, *pair) + b"x" * one, REFUSED, kept=False)


def _length(value: bytes) -> Case:
    return Case(_head(LINE, b"Content-Length: " + value) + b"abcde", REFUSED, kept=False)


def _huge(value: int) -> Case:
    return Case(_head(LINE, b"Content-Length: %d" % value), frozenset({413}), kept=False)


def _folded(before: bytes, after: bytes, blank: bytes) -> Case:
    return Case(_head(LINE, b"X-A: " + before + b"\r\n" + blank + after), REFUSED, kept=False)


def _line_feed(at: int) -> Case:
    head = _head(LINE, b"X-A: b", b"Content-Length: 0")
    ends = [i for i in range(len(head)) if head[i : i + 2] == b"\r\n"]
    place = ends[at % len(ends)]
    return Case(head[:place] + head[place + 1 :], REFUSED, kept=False)


def _inside(noise: bytes, name: bytes, value: bytes, *, in_name: bool) -> Case:
    header = name[:1] + noise + name[1:] + b": v" if in_name else b"X-A: " + value + noise + value + b"z"
    return Case(_head(LINE, b"Content-Length: 0", header), REFUSED, kept=False)


def _blank(blank: bytes, header: bytes) -> Case:
    return Case(_head(LINE, header + blank + b": 5") + b"abcde", REFUSED, kept=False)


def _hosts(count: int) -> Case:
    lines = [LINE, *[b"Host: here"] * count, b"Content-Length: 0"]
    return Case(b"\r\n".join(lines) + b"\r\n\r\n", REFUSED, kept=False)


def _line(line: bytes) -> Case:
    return Case(_head(line), frozenset({400, 505}), kept=False)


def _expect(value: bytes) -> Case:
    return Case(
        _head(LINE, b"Content-Length: 5", b"Expect: " + value) + b"abcde", frozenset({417}), kept=False
    )


def _twice(name: bytes, one: bytes, two: bytes) -> Case:
    return Case(_head(LINE, name + b": " + one, name.lower() + b": " + two), REFUSED, kept=False)


def _long(at: int, size: int) -> Case:
    filler = b"a" * (HEAD_LIMIT + size)
    forms = (
        _head(b"GET /" + filler + b" HTTP/1.1"),
        _head(LINE, b"X-A: " + filler),
        _head(LINE, filler + b": a"),
        _head(LINE, *(b"X%d: a" % number for number in range(HEADERS_LIMIT + size % 50))),
    )
    return Case(forms[at % len(forms)], frozenset({431}), kept=False)


HOPS = [
    _head(b"GET /v2 HTTP/1.1", b"Connection: upgrade", b"Upgrade: h2c"),
    _head(b"GET /v2 HTTP/1.1", b"Upgrade: websocket", b"Connection: Upgrade"),
    _head(b"CONNECT here:80 HTTP/1.1"),
]
LINES = [b"POST /v2 HTTP/1.2", b"POST /v2 HTTP/2.0", b"POST /v2 http/1.1", b"POST /v2"]
LINES += [b"post /v2 HTTP/1.1", b"BREW /v2 HTTP/1.1", b"POST\t/v2 HTTP/1.1", b" POST /v2 HTTP/1.1"]
LINES += [b"POST /v2 HTTP/1.1 ", b"POST /v2 HTTP/1.1x", b"POST /v2 HTTP/11", b"POST /\x002 HTTP/1.1"]
SINGLE = [b"Inference-Header-Content-Length", b"Expect", b"Authorization", b"Host", b"Transfer-Encoding"]
framing = st.one_of(
    st.builds(_both, small, st.sampled_from(CODINGS), short, st.integers(0, 1)),
    st.builds(_coded, st.sampled_from(CODINGS), short),
    st.builds(_lengths, small, small),
    st.sampled_from(LENGTHS).map(_length),
    st.integers(BODY_LIMIT + 1, 2**63).map(_huge),
    st.builds(_folded, text, text, st.sampled_from([b" ", b"\t", b"  "])),
    small.map(_line_feed),
    st.builds(
        _inside, st.sampled_from([b"\0", b"\r", b"\x01", b"\x7f"]), text, text, in_name=st.just(value=False)
    ),
    st.builds(
        _inside,
        st.sampled_from([b"\0", b" ", b"(", b"@", b"\x80", b"\x7f"]),
        st.just(b"X-A"),
        text,
        in_name=st.just(value=True),
    ),
    st.builds(
        _blank, st.sampled_from([b" ", b"\t", b"  "]), st.sampled_from([b"Content-Length", b"X-A", b"Host"])
    ),
    st.sampled_from([0, 2, 3]).map(_hosts),
    st.sampled_from(LINES).map(_line),
    text.filter(lambda value: value.lower() not in (b"", b"100-continue")).map(_expect),
    st.builds(_twice, st.sampled_from(SINGLE), text, text),
    st.builds(_long, small, st.integers(1, 900)),
    st.sampled_from(HOPS).map(lambda data: Case(data, frozenset({501}), kept=False)),
)

# ---------------------------------------------------------------- tensors
number = st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.just(2**31), st.just(-1))
scalar = st.one_of(st.none(), st.booleans(), number, st.text(max_size=5))
junk = st.recursive(
    scalar,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
WRONG = frozenset({400})
kinds = st.sampled_from(
    ["FP32", "FP16", "FP64", "INT8", "UINT64", "BOOL", "BYTES", "BF16", "fp32", "", "FP128", "X" * 50]
)
PARAMETERS = [
    "timeout",
    "priority",
    "sequence_id",
    "binary_data_output",
    "classification",
    "shared_memory_region",
]


def _ask(body: object, *headers: bytes, tail: bytes = b"") -> Case:
    return Case(post(json.dumps(body).encode() + tail, *headers), WRONG, kept=True)


def _binary(size: object, tail: bytes, shape: object, kind: object, head: int) -> Case:
    """A binary tensor none of whose sizes need to fit each other; where all do, it is answered."""
    question = json.dumps(
        document(
            np.ones((1, 4), np.float32),
            data=None,
            shape=shape,
            datatype=kind,
            parameters={"binary_data_size": size},
        )
    ).encode()
    fits = (size, len(tail), shape, kind, head) == (16, 16, [1, 4], "FP32", 0)
    data = post(question + tail, b"Inference-Header-Content-Length: %d" % (len(question) + head))
    return Case(data, frozenset({200}) if fits else WRONG, kept=True)


def _nested(depth: int, opening: str, before: str) -> Case:
    body = (before + opening * depth)[: BODY_LIMIT - 1].encode()
    return Case(post(body), WRONG, kept=True)


def _near(wrong: str, by: int) -> Case:
    """Write a binary question that is right but for one thing."""
    size, tail, head, data, shape = 16, b"\0" * 16, 0, None, [1, 4]
    if wrong == "size":
        size += by
    elif wrong == "tail":
        tail = tail[:by] if by < 0 else tail + b"\0" * by
    elif wrong == "head":
        head = by
    elif wrong == "shape":
        shape = [1, 4 + by]
    elif wrong == "data":
        data = [1.0] * 4
    parameters = {"binary_data_size": size}
    if wrong == "no tensor":
        data, tail, parameters = [1.0] * 4, b"", {}
        head = abs(by)
    question = document(np.ones((1, 4), np.float32), data=data, shape=shape, parameters=parameters)
    text = json.dumps(question).encode()
    data = post(text + tail, b"Inference-Header-Content-Length: %d" % (len(text) + head))
    return Case(data, WRONG, kept=True)


def _shaped(shape: object) -> Case:
    good = shape in ([1, 4], [1.0, 4.0])
    return Case(
        _ask(document(np.ones((1, 4), np.float32), shape=shape)).data,
        frozenset({200}) if good else WRONG,
        kept=True,
    )


def _data(data: object) -> Case:
    return Case(_ask(document(np.ones((1, 4), np.float32), data=data)).data, frozenset({200, 400}), kept=True)


def _parameter(name: str, value: object, *, of_output: bool) -> Case:
    body = document(np.ones((1, 4), np.float32))
    if of_output:
        body["outputs"] = [{"name": "y", "parameters": {name: value}}]
    else:
        body["parameters"] = {name: value}
    return Case(_ask(body).data, frozenset({200, 400, 504}), kept=True)


def _doubled(count: int) -> Case:
    body = document(np.ones((1, 4), np.float32))
    body["inputs"] = body["inputs"] * count
    return _ask(body)


def _good(x: list[float], *, binary: bool) -> Case:
    array = np.array([x], np.float32)
    if not binary:
        return Case(_ask(document(array)).data, frozenset({200}), kept=True)
    question = json.dumps(document(array, data=None, parameters={"binary_data_size": 16})).encode()
    data = post(question + array.tobytes(), b"Inference-Header-Content-Length: %d" % len(question))
    return Case(data, frozenset({200}), kept=True)


def _numbers(kind: str, data: object) -> Case:
    case = _ask(document(np.ones((1, 4), np.float32), datatype=kind, data=data))
    return Case(case.data, frozenset({200, 400}), kept=True)


NUMBERS = [
    [1e39] * 4,
    [-1, 2, 3, 4],
    [300, 0, 0, 0],
    [2**64, 0, 0, 0],
    [-(2**63) - 1, 0, 0, 0],
    [1.5, 2, 3, 4],
]
NUMBERS += [
    [[1, 2], [3, 4]],
    [[1], [2, 3, 4]],
    [[[1, 2, 3, 4]]],
    [],
    [[]],
    [[1, 2, 3, 4], []],
    [True] * 4,
    [1e400] * 4,
]
NUMBERS += [[65505.0] * 4, [65520.0] * 4, [None] * 4, ["1"] * 4, 7, "1234", {"0": 1}]
axes = st.lists(st.one_of(st.integers(-5, 8), st.integers(-(2**66), 2**66)), max_size=20)
tensors = st.one_of(
    st.builds(
        _binary,
        st.one_of(st.just(16), st.integers(-20, 5000), number),
        st.one_of(st.just(b"\0" * 16), st.binary(max_size=64)),
        st.one_of(st.just([1, 4]), axes),
        st.one_of(st.just("FP32"), kinds),
        st.one_of(st.just(0), st.integers(-30, 5000)),
    ),
    st.builds(
        _nested,
        st.integers(1, BODY_LIMIT),
        st.sampled_from(["[", '{"a":']),
        st.sampled_from(["", '{"a":', '{"inputs":[', '{"inputs":[{"data":']),
    ),
    st.builds(
        _near,
        st.sampled_from(["size", "tail", "head", "shape", "data", "no tensor"]),
        st.integers(-16, 40).filter(bool),
    ),
    st.builds(_parameter, st.sampled_from(PARAMETERS[:2]), scalar, of_output=st.just(value=False)),
    st.builds(_numbers, kinds, st.sampled_from(NUMBERS)),
    st.one_of(axes, junk).map(_shaped),
    junk.map(_data),
    st.builds(_parameter, st.sampled_from(PARAMETERS), junk, of_output=st.booleans()),
    st.sampled_from([0, 2, 3]).map(_doubled),
    junk.map(_ask),
    kinds.filter(lambda kind: kind != "FP32").map(
        lambda kind: _ask(document(np.ones((1, 4), np.float32), datatype=kind))
    ),
    st.text(max_size=20)
    .filter(lambda name: name != "x")
    .map(lambda name: _ask(document(np.ones((1, 4), np.float32), name=name))),
    st.binary(min_size=1, max_size=200).map(
        lambda tail: _ask(document(np.ones((1, 4), np.float32)), tail=b"\0" + tail)
    ),
    st.builds(
        _good,
        st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=4, max_size=4),
        binary=st.booleans(),
    ),
)

# ---------------------------------------------------------------- anything
PLACES = [
    "/v2",
    "/metrics",
    "/v2/models/m",
    "/v2/models/m/infer",
    "/v2/models/m/versions/1/infer",
    "/v2/models/stats",
]
PLACES += [
    "/v2/repository/index",
    "/v2/repository/models/m/load",
    "/v2/repository/models/m/unload",
    "/v2/logging",
]
PLACES += [
    "/v2/systemsharedmemory/region/r/register",
    "/v2/systemsharedmemory/unregister",
    "/v2/trace/setting",
]
spot = st.tuples(st.integers(0, 3 * len(GOOD)), st.integers(0, 20), st.binary(max_size=20))
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: here\r\n\r\n"
FRAGMENTS = [
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b": ",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"0\r\n\r\n",
]
FRAGMENTS += [
    b"GET ",
    b"POST ",
    b"HTTP/1.1",
    b"Host: a\r\n",
    b"\0",
    b" ",
    b"\t",
    GOOD,
    LIVE,
    b"Connection: close\r\n",
]


def _damaged(spots: list[tuple[int, int, bytes]]) -> bytes:
    data = bytearray(GOOD + LIVE + GOOD)
    for at, cut, noise in spots:
        data[at : at + cut] = noise
    return bytes(data)


mutations = st.one_of(
    st.lists(spot, min_size=1, max_size=4).map(_damaged),
    st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=12)), max_size=12).map(b"".join),
    st.binary(max_size=300),
    st.lists(st.integers(BODY_LIMIT - 1000, BODY_LIMIT).map(lambda size: post(b"{" * size)), max_size=9).map(
        b"".join
    ),
)


@st.composite
def places(draw: st.DrawFn) -> tuple[str, bytes]:
    """Give the path of a question, as somebody may write it, and a body."""
    place = draw(st.sampled_from(PLACES))
    if draw(st.booleans()):
        at = draw(st.integers(0, len(place) - 1))
        place = place[:at] + f"%{ord(place[at]):02x}" + place[at + 1 :]
    place += draw(st.sampled_from(["", "", "/", "?a=b", "%00", "/..", "%2f", "//"]))
    body = draw(
        st.one_of(st.just(b""), st.binary(max_size=50), junk.map(lambda each: json.dumps(each).encode()))
    )
    return place, body


shown = st.one_of(
    st.none(),
    st.sampled_from([f"Bearer {token}".encode() for token in TOKENS]),
    st.sampled_from(
        [f"Basic {TOKENS[0]}".encode(), TOKENS[0].encode(), b"Bearer", b"bearer " + TOKENS[0][:-1].encode()]
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=30).map(
        lambda each: b"Bearer " + each.encode("latin-1")
    ),
)
