"""Which transport a URL gets, and what is said about addresses and logins that cannot be."""

from __future__ import annotations

import pytest

from toolkit.errors import UsageError
from toolkit.sync.remotes.choose import folder_of, open_remote, open_storage
from toolkit.sync.task import Storage


def test_a_file_url_is_a_folder(tmp_path):
    remote = open_remote((tmp_path / "ä b").as_uri(), create=True)
    remote.write("refs/a", b"x")
    assert (tmp_path / "ä b/refs/a").read_bytes() == b"x"


@pytest.mark.parametrize("url", ["file:///srv/a", "file://localhost/srv/a"])
def test_the_folder_of_a_url(url):
    assert folder_of(url) == "/srv/a"


@pytest.mark.parametrize(
    "url", ["/srv/a", "file:srv", "file://elsewhere/srv", "http://host/a", "", "file://"]
)
def test_what_is_no_place_is_refused_with_the_three_that_are(url):
    with pytest.raises(UsageError) as caught:
        folder_of(url)
    assert "file:///folder, s3://bucket or sftp://host/folder" in caught.value.hint


@pytest.mark.parametrize("url", ["s3://bucket/prefix", "sftp://host/folder"])
def test_files_as_they_are_lie_only_in_folders(url):
    with pytest.raises(UsageError, match="is not a folder of this machine") as caught:
        folder_of(url)
    assert "layout: packs" in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "url",
    ["sftp://user:topsecret@host/a", "sftp://host", "sftp://host:0/a", "sftp://host:x/a", "sftp://host/a%00b",
     "sftp://host/a?b", "sftp://-oProxyCommand=x/a", "sftp://-x@host/a", "sftp://a%20b/c", "sftp:///a"],
)  # fmt: skip
def test_an_sftp_address_that_cannot_be_is_refused_before_ssh_sees_it(url):
    with pytest.raises(UsageError) as caught:
        open_remote(url)
    assert "sftp://USER@HOST:PORT/FOLDER" in caught.value.hint
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://[", "sftp://[::1/a"])
def test_what_is_no_url_at_all_is_refused(url):
    with pytest.raises(UsageError, match="is not a place for data"):
        open_remote(url)


def test_a_login_or_a_file_of_host_keys_that_is_missing_or_open_is_named(tmp_path):
    key, hosts = tmp_path / "key", tmp_path / "hosts"
    place = Storage(tier="cold", url="sftp://host/a", credentials_file=str(key), known_hosts_file=str(hosts))
    with pytest.raises(UsageError, match=f"private key {key} cannot be read: No such file"):
        open_storage(place)
    key.write_text("secret")
    key.chmod(0o640)
    with pytest.raises(UsageError, match="can be read by others") as caught:
        open_storage(place)
    assert caught.value.hint == f"chmod 600 {key}"
    key.chmod(0o600)
    with pytest.raises(UsageError, match=f"host keys {hosts} cannot be read") as caught:
        open_storage(place)
    assert "ssh-keyscan" in caught.value.hint


def test_a_file_of_authorities_that_is_missing_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"authorities .*missing cannot be read"):
        open_storage(Storage(tier="cold", url="s3://bucket", ca_file=str(tmp_path / "missing")))
