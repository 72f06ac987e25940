"""Tags: of a path and of the folders above it; damage is an error, because a tag may protect something."""

from __future__ import annotations

import pytest

from toolkit.errors import IntegrityError, UnsafePathError, UsageError
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.policies.tags import set_tags, tags_in, tags_of
from toolkit.sync.remotes.directory import DirectoryRemote


@pytest.fixture
def documents(tmp_path):
    return Documents(DirectoryRemote(str(tmp_path)))


def test_the_nearest_tag_counts(documents):
    set_tags(documents, b"studies", {"court": "no", "site": "north"})
    set_tags(documents, b"studies/7", {"court": "yes"})
    tags = tags_in(documents)
    assert tags_of(tags, b"studies/7/a") == {"court": "yes", "site": "north"}
    assert tags_of(tags, b"studies/8/a") == {"court": "no", "site": "north"}
    assert tags_of(tags, b"other") == {}


def test_tags_can_be_taken_away(documents):
    assert set_tags(documents, b"a", {"x": "1", "y": "2"}) == {"x": "1", "y": "2"}
    assert set_tags(documents, b"a", {"x": None, "y": "3"}) == {"y": "3"}
    assert set_tags(documents, b"a", {"y": None}) == {}
    assert tags_in(documents) == {}


def test_what_is_no_tag(documents):
    with pytest.raises(UsageError):
        set_tags(documents, b"a", {"": "x"})
    with pytest.raises(UsageError):
        set_tags(documents, b"a", {"x": "y" * 300})
    with pytest.raises(UnsafePathError):
        set_tags(documents, b"../a", {"x": "y"})


def test_a_damaged_tag_is_an_error(documents):
    set_tags(documents, b"a", {"x": "1"})
    (found,) = documents.remote.list("tags/")
    documents.remote.write(found.key, documents.remote.read(found.key)[:-2])
    with pytest.raises(IntegrityError):
        tags_in(documents)
