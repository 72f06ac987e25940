"""Which transport a URL gets, and what is said about those that are not there."""

from __future__ import annotations

import pytest

from toolkit.errors import UsageError
from toolkit.sync.remotes.choose import folder_of, open_remote


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
def test_a_transport_that_comes_later_is_said_to(url):
    with pytest.raises(UsageError, match="between folders only") as caught:
        open_remote(url)
    assert "file:///folder" in caught.value.hint
    assert caught.value.exit_code == 2
