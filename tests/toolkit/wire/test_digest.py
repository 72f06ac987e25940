"""Digests: BLAKE3 as its authors publish it, and safe as a file name."""

from __future__ import annotations

import pytest

from toolkit.errors import IntegrityError
from toolkit.wire.digest import digest_of, from_raw, parse_digest, to_raw

# From the official test vectors of BLAKE3 (test_vectors.json: input bytes 0, 1, 2, … 250, 0, …), first 32 bytes.
OFFICIAL = {
    0: "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
    1: "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
    1024: "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
}


@pytest.mark.parametrize("length", OFFICIAL)
def test_the_published_vectors(length):
    data = bytes(number % 251 for number in range(length))
    assert digest_of(data) == OFFICIAL[length]
    assert digest_of(memoryview(data)) == digest_of(bytearray(data))


def test_raw_and_text_are_two_forms_of_one_name():
    digest = digest_of(b"x")
    assert len(to_raw(digest)) == 32
    assert from_raw(to_raw(digest)) == digest
    assert from_raw(memoryview(to_raw(digest))) == digest


@pytest.mark.parametrize(
    "text", ["", "0" * 63, "0" * 65, "0" * 63 + "g", "A" * 64, "../" + "0" * 61, "0" * 64 + "\n"]
)
def test_what_could_be_no_file_name_is_no_digest(text):
    with pytest.raises(IntegrityError, match="64 lower-case hexadecimal"):
        parse_digest(text)


@pytest.mark.parametrize("raw", [b"", bytes(31), bytes(33)])
def test_other_lengths_are_refused(raw):
    with pytest.raises(IntegrityError, match="32 bytes"):
        from_raw(raw)
