from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from edge_runtime.serving.refusals import BadRequestError, TooLongError
from edge_runtime.serving.tensors import (
    DTYPES,
    LONGEST_JSON,
    MOST_ANSWERS,
    MOST_LAYOUTS,
    InferRequest,
    WantedOutput,
    _answers,
    _layouts,
    check_wanted,
    decode_request,
    encode_response,
)

SHAPES = hn.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@st.composite
def named_arrays(draw, *, finite=False):
    """Some arrays of any of the protocol's types, with NaN and infinities unless `finite`."""
    arrays = {}
    for name in draw(st.lists(st.sampled_from("abcäß☃"), min_size=1, max_size=3, unique=True)):
        dtype = draw(st.sampled_from(list(DTYPES.values())))
        elements = None
        if dtype.kind == "f" and finite:
            elements = {"allow_nan": False, "allow_infinity": False}
        arrays[name] = draw(hn.arrays(dtype, draw(SHAPES), elements=elements))
    return arrays


def datatype(array):
    return next(name for name, dtype in DTYPES.items() if dtype == array.dtype)


def in_json(arrays, *, nested):
    return json.dumps(
        {
            "inputs": [
                {
                    "name": name,
                    "shape": array.shape,
                    "datatype": datatype(array),
                    # a scalar has no nested form of its own
                    "data": array.tolist() if nested and array.ndim else array.ravel().tolist(),
                }
                for name, array in arrays.items()
            ]
        }
    ).encode()


def in_binary(arrays):
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": name,
                    "shape": array.shape,
                    "datatype": datatype(array),
                    "parameters": {"binary_data_size": array.nbytes},
                }
                for name, array in arrays.items()
            ]
        }
    ).encode()
    return head + b"".join(array.tobytes() for array in arrays.values()), str(len(head))


def same(found, arrays):
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
        assert found[name].flags.aligned


@given(named_arrays())
def test_binary_requests_come_back_bit_for_bit(arrays):
    body, length = in_binary(arrays)
    same(decode_request(body, length)[1], arrays)
    same(decode_request(bytearray(body), length)[1], arrays)


@given(named_arrays(finite=True), st.booleans())
def test_json_requests_come_back_bit_for_bit(arrays, nested):
    same(decode_request(in_json(arrays, nested=nested), None)[1], arrays)


@given(named_arrays(), st.data())
def test_responses_carry_each_output_as_it_was_asked_for(arrays, data):
    binary = {name: data.draw(st.booleans()) or array.dtype.kind == "f" for name, array in arrays.items()}
    request = InferRequest([], id="7")
    request.outputs = [WantedOutput(name, {"binary_data": flag}) for name, flag in binary.items()]
    response = encode_response("m", "1", request, arrays)
    body = b"".join(bytes(part) for part in response.body)
    size = int(response.headers.get("Inference-Header-Content-Length", len(body)))
    document, rest = json.loads(body[:size]), body[size:]
    assert (document["model_name"], document["model_version"], document["id"]) == ("m", "1", "7")
    for tensor, (name, array) in zip(document["outputs"], arrays.items(), strict=True):
        assert (tensor["name"], tensor["datatype"], tensor["shape"]) == (
            name,
            datatype(array),
            list(array.shape),
        )
        if binary[name]:
            count = tensor["parameters"]["binary_data_size"]
            assert rest[:count] == array.tobytes()
            rest = rest[count:]
        else:
            assert np.array(tensor["data"], array.dtype).tobytes() == array.tobytes()
    assert not rest


@given(named_arrays())
def test_an_answer_in_the_form_of_an_earlier_one_is_written_as_if_it_were_the_first(arrays):
    request = InferRequest([], parameters={"binary_data_output": True})
    for _ in range(2):
        for version in ("1", "2"):
            response = encode_response("m", version, request, arrays)
            size = int(response.headers["Inference-Header-Content-Length"])
            body = b"".join(bytes(part) for part in response.body)
            document = json.loads(body[:size])
            assert (document["model_version"], body[size:]) == (
                version,
                b"".join(each.tobytes() for each in arrays.values()),
            )
            assert [(each["name"], each["datatype"], each["shape"]) for each in document["outputs"]] == [
                (name, datatype(array), list(array.shape)) for name, array in arrays.items()
            ]
        named = encode_response("m", "1", InferRequest([], "7", request.parameters), arrays)
        assert json.loads(bytes(named.body[0]))["id"] == "7"
        stood_in = encode_response("m", "1", request, arrays, "fallback")
        assert json.loads(bytes(stood_in.body[0]))["parameters"] == {"tiers_served_by": "fallback"}
    assert len(_answers) <= MOST_ANSWERS


def one(**changes):
    tensor = {"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2], **changes}
    return {"inputs": [{key: value for key, value in tensor.items() if value is not None}]}


def sized(count, shape, kind="FP32"):
    return one(data=None, shape=shape, datatype=kind, parameters={"binary_data_size": count})


HUGE = 1 << 39
BAD = {
    "not JSON": (b"{", "not an inference request"),
    "not UTF-8": (b'{"inputs": [{"name": "\xff"}]}', "not an inference request"),
    "no inputs": ({}, "inputs"),
    "name is a number": (one(name=5), "name"),
    "too few values": (one(data=[1]), r"has 1 values, but its shape \[2\] needs 2"),
    "too many values": (one(data=[1, 2, 3]), r"has 3 values, but its shape \[2\] needs 2"),
    "text as number": (one(data=["1", "2"]), "data must be float values"),
    "boolean as number": (one(data=[True, False]), "data must be float values"),
    "null as number": (one(data=[None, 1]), "data must be float values"),
    "fraction as integer": (one(datatype="INT32", data=[1.5, 2]), "data must be int values"),
    "number as boolean": (one(datatype="BOOL", data=[1, 0]), "data must be bool values"),
    "too large": (one(datatype="INT8", data=[1, 128]), "does not fit INT8"),
    "negative": (one(datatype="UINT8", data=[1, -1]), "does not fit UINT8"),
    "beyond half": (one(datatype="FP16", data=[1, 70000]), "does not fit FP16"),
    "beyond single": (one(data=[1, 1e39]), "does not fit FP32"),
    "ragged": (one(shape=[2, 2], data=[[1, 2], [3]]), "does not fit"),
    "other nesting": (one(shape=[2, 2], data=[[1, 2, 3, 4]]), "data has shape"),
    "deep": (
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":' + b"[" * 99999,
        "not an inference",
    ),
    "unknown datatype": (one(datatype="BF16"), "'BF16' is none of BOOL"),
    "text datatype": (one(datatype="BYTES", data=["a", "b"]), "'BYTES' is none of BOOL"),
    "negative axis": (one(shape=[-1]), "lengths, each 0 or more"),
    "huge axis": (one(shape=[1 << 62]), "lengths, each 0 or more"),
    "huge product": (one(shape=[HUGE, HUGE, HUGE], data=[]), "has 0 values"),
    "huge but empty": (one(shape=[HUGE, HUGE, HUGE, 0], data=[]), "shape"),
    "too many axes": (one(shape=[1] * 17, data=[1]), "at most 16"),
    "no data": (one(data=None), "neither data nor binary_data_size"),
    "twice": ({"inputs": one()["inputs"] * 2}, "'x' is there twice"),
    "shared memory": (one(parameters={"shared_memory_region": "r"}), "shared memory is not offered"),
    "binary without bytes": (sized(8, [2]), "needs 8 bytes, but only 0 are left"),
    "binary too small": (sized(4, [2]), r"binary_data_size is 4, but FP32\[2\] is 8 bytes"),
    "binary negative": (sized(-8, [2]), "binary_data_size is -8"),
    "binary true": (sized(True, [1], "BOOL"), "binary_data_size is True"),
    "binary text": (sized("8", [2]), "binary_data_size is '8'"),
    "binary huge": (sized(HUGE * 4, [HUGE]), "but only 0 are left"),
    "both": (one(parameters={"binary_data_size": 8}), "both data and binary_data_size"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_bad_requests_are_named(case):
    body, message = BAD[case]
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(BadRequestError, match=message) as caught:
        decode_request(body, None)
    assert len(caught.value.message) < 600


@pytest.mark.parametrize("length", ["-1", "", "x", "+1", "\u0661", "1.0", "99999", "9" * 5000])
def test_a_header_length_that_cannot_be_is_refused(length):
    with pytest.raises(BadRequestError, match="Inference-Header-Content-Length"):
        decode_request(b"{}", length)


def test_json_that_would_make_everybody_wait_is_refused_before_it_is_read():
    """Two bytes of JSON become a list of 56: memory that no limit of bodies counts."""
    body = b'{"inputs": [{"name": "x", "shape": [1, 0], "datatype": "FP32", "data": [' + b"[]," * (
        LONGEST_JSON // 3
    )
    with pytest.raises(TooLongError, match="send tensors in binary form") as caught:
        decode_request(body, None)
    assert caught.value.status == 413
    tensors = LONGEST_JSON + 8
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "shape": [tensors],
                    "datatype": "UINT8",
                    "parameters": {"binary_data_size": tensors},
                }
            ]
        }
    ).encode()
    _, found = decode_request(head + bytes(tensors), str(len(head)))
    assert found["x"].size == tensors, "binary tensors may be as long as a body"


def test_bytes_after_the_last_tensor_are_refused():
    body, length = in_binary({"x": np.ones(2, np.float32)})
    with pytest.raises(BadRequestError, match="3 bytes follow the last tensor"):
        decode_request(body + b"abc", length)


def test_a_boolean_is_a_byte_0_or_1():
    body, length = in_binary({"x": np.array([0, 2], np.uint8).view(bool)})
    with pytest.raises(BadRequestError, match="BOOL is a byte 0 or 1"):
        decode_request(body, length)


@settings(max_examples=300)
@given(st.binary(max_size=300), st.one_of(st.none(), st.integers(0, 300).map(str)))
def test_noise_is_refused_and_never_more(body, length):
    with pytest.raises(BadRequestError):
        decode_request(body, length)


@settings(max_examples=200)
@given(named_arrays(), st.integers(0, 10**6), st.binary(max_size=8))
def test_damaged_requests_are_read_or_refused(arrays, at, noise):
    body, length = in_binary(arrays)
    damaged = bytearray(body)
    at %= len(damaged)
    damaged[at : at + len(noise)] = noise
    try:
        _, found = decode_request(damaged, length)
    except BadRequestError:
        return
    assert sum(array.nbytes for array in found.values()) <= len(damaged)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_does_not_pretend_to_carry_what_it_cannot(value):
    with pytest.raises(BadRequestError, match="ask for binary_data"):
        encode_response("m", "1", InferRequest([]), {"y": np.array([value])})


def test_unknown_or_repeated_outputs_are_refused():
    def asking(*outputs):
        return decode_request(json.dumps({**one(), "outputs": outputs}).encode(), None)[0]

    check_wanted(asking({"name": "y"}), ["y", "z"])
    with pytest.raises(BadRequestError, match="'q' is not there; the model gives y, z"):
        check_wanted(asking({"name": "q"}), ["y", "z"])
    with pytest.raises(BadRequestError, match="'y' is asked for twice"):
        check_wanted(asking({"name": "y"}, {"name": "y"}), ["y", "z"])
    with pytest.raises(BadRequestError, match="classification"):
        check_wanted(asking({"name": "y", "parameters": {"classification": 3}}), ["y"])


# ------------------------------------------------------------ requests that were read before
def again(tensors, data, times=2, **more):
    """Decode one request with binary tensors some times, and give what came of each."""
    document = {"inputs": tensors, **more}
    text = json.dumps(document).encode()
    return [decode_request(text + data, str(len(text))) for _ in range(times)]


def tensor(datatype, shape, size, name="x"):
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


@pytest.mark.parametrize("padding", range(4), ids="{} bytes off".format)
def test_a_request_that_came_before_is_read_as_the_first_time(padding):
    x, k = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([7, 8], np.int64)
    tensors = [tensor("FP32", [2, 3], x.nbytes), tensor("INT64", [2], k.nbytes, "k")]
    marks = {"parameters": {"mark": "." * padding}}
    (first, read), (second, known) = again(tensors, x.tobytes() + k.tobytes(), **marks)
    assert second is first  # it was known
    for found in (read, known):
        assert list(found) == ["x", "k"]
        np.testing.assert_array_equal(found["x"], x)
        np.testing.assert_array_equal(found["k"], k)
        assert all(array.flags.aligned for array in found.values())


def test_the_numbers_of_a_request_that_came_before_are_its_own():
    text = json.dumps({"inputs": [tensor("FP32", [2], 8)]}).encode()
    for values in ([1, 2], [3, 4], [5, 6]):
        body = text + np.array(values, np.float32).tobytes()
        assert decode_request(body, str(len(text)))[1]["x"].tolist() == values


@pytest.mark.parametrize("size", [0, 7, 9, 16])
def test_a_body_of_another_length_is_refused_though_its_json_came_before(size):
    text = json.dumps({"inputs": [tensor("FP32", [2], 8)]}).encode()
    decode_request(text + bytes(8), str(len(text)))
    with pytest.raises(BadRequestError, match="bytes"):
        decode_request(text + bytes(size), str(len(text)))


def test_a_truth_value_is_looked_at_each_time():
    text = json.dumps({"inputs": [tensor("BOOL", [2], 2)]}).encode()
    decode_request(text + b"\0\1", str(len(text)))
    with pytest.raises(BadRequestError, match="BOOL"):
        decode_request(text + b"\0\2", str(len(text)))


@pytest.mark.parametrize("length", ["٣", "-1", "1e2", " 5", "", "99999999999999999999"])
def test_a_length_that_is_none_is_none_for_what_came_before_too(length):
    with pytest.raises(BadRequestError):
        decode_request(b"{}", length)


def test_requests_with_an_id_are_not_kept_and_no_more_are_than_may_be():
    (first, _), (second, _) = again([tensor("FP32", [1], 4)], bytes(4), id="a")
    assert first is not second
    for number in range(MOST_LAYOUTS + 2):
        again([tensor("FP32", [1], 4)], bytes(4), parameters={"mark": number})
    assert len(_layouts) <= MOST_LAYOUTS
