"""The metrics document comes back as it went, and what cannot be is refused."""

import msgspec
import pytest

from toolkit.errors import IntegrityError
from toolkit.wire.digest import digest_of
from toolkit.wire.job import Metrics, decode_metrics, encode_metrics

METRICS = Metrics(
    recipe="digits",
    metric="accuracy",
    score=0.985,
    loss=0.03,
    held_out=200,
    steps=1470,
    seconds=5.0,
    world_size=2,
    seed=0,
    backend="gloo",
    weights=digest_of(b"weights"),
    files={"model.onnx": digest_of(b"model")},
)


def test_what_was_written_is_read():
    assert decode_metrics(encode_metrics(METRICS), what="metrics.json") == METRICS


def test_the_bytes_are_frozen():
    """A change here is a change of format: raise the number and keep reading this one."""
    assert encode_metrics(METRICS) == (
        b'{"backend":"gloo","files":{"model.onnx":"'
        + digest_of(b"model").encode()
        + b'"},"format":1,"held_out":200,'
        b'"loss":0.03,"metric":"accuracy","recipe":"digits","resumed_at_step":0,"score":0.985,"seconds":5.0,"seed":0,'
        b'"started_from":"","steps":1470,"versions":{},"weights":"'
        + digest_of(b"weights").encode()
        + b'","world_size":2}'
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": 1.5}, "here: accuracy 1.5 is not between 0 and 1"),
        ({"weights": "abc"}, "here: weights 'abc' is not 64"),
        ({"files": {"model.onnx": "../x"}}, r"here: model.onnx '\.\./x' is not 64"),
        ({"format": 2}, "here has format 2; this version reads Metrics 1"),
        ({"surprise": 1}, "here is not a Metrics"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    document = msgspec.json.decode(encode_metrics(METRICS)) | changes
    with pytest.raises(IntegrityError, match=message):
        decode_metrics(msgspec.json.encode(document), what="here")
