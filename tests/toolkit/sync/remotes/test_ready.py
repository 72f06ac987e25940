"""What is made ready is what would have been written, and nothing is written before it is called."""

from __future__ import annotations

import pytest

from tests.contracts.remote import MemoryRemote
from toolkit.errors import UnsafePathError
from toolkit.sync.remotes.encrypted import EncryptedRemote
from toolkit.sync.remotes.ready import made_ready
from toolkit.wire.cipher_keys import CipherKey, CipherKeys

KEYS = CipherKeys((CipherKey(bytes(32)),))


@pytest.fixture(params=["plain", "encrypted"])
def around(request):
    return (lambda inner: inner) if request.param == "plain" else (lambda inner: EncryptedRemote(inner, KEYS))


def test_it_is_written_when_it_is_called_and_not_before(around):
    remote = around(MemoryRemote())
    write = made_ready(remote, "packs/a", b"plain bytes", new=True)
    assert not remote.exists("packs/a")
    for _ in range(2):
        write()
        assert remote.read("packs/a") == b"plain bytes"
        remote.delete("packs/a")


def test_what_is_there_stays_unless_it_is_to_be_replaced(around):
    remote = around(MemoryRemote())
    remote.write("packs/a", b"old")
    made_ready(remote, "packs/a", b"new", new=True)()
    assert remote.read("packs/a") == b"old"
    made_ready(remote, "packs/a", b"new", new=False)()
    assert remote.read("packs/a") == b"new"


def test_a_key_that_cannot_be_is_refused(around):
    with pytest.raises(UnsafePathError):
        made_ready(around(MemoryRemote()), "../a", b"", new=True)()
