"""Logins are found where docker and podman keep them, and never shown."""

from __future__ import annotations

import base64
import json

import pytest

from toolkit.errors import UsageError
from toolkit.images.challenge import parse_challenges
from toolkit.images.credentials import Login, find_login

IDENTITY = "an identity"
KEYS = ("registry.example:5000", "https://registry.example:5000")


def written(tmp_path, document, name="config.json"):
    file = tmp_path / name
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return file


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("auths", "login"),
    [
        ({"registry.example:5000": {"auth": encoded("me:a:b")}}, Login("me", "a:b")),
        ({"https://registry.example:5000": {"auth": encoded("me:pässword")}}, Login("me", "pässword")),
        ({"registry.example:5000": {"username": "me", "password": "b"}}, Login("me", "b")),
        ({"registry.example:5000": {"auth": "", "identitytoken": IDENTITY}}, Login(identity_token=IDENTITY)),
        ({"registry.example": {"auth": encoded("me:b")}}, None),
        ({"registry.example:5000": {}}, None),
    ],
)
def test_a_file_of_docker_or_podman(tmp_path, auths, login):
    assert find_login([written(tmp_path, {"auths": auths, "other": 1})], KEYS) == login


def test_the_first_file_with_a_login_counts_and_a_missing_one_is_passed_over(tmp_path):
    first = written(tmp_path, {"auths": {"elsewhere": {"auth": encoded("x:y")}}}, "auth.json")
    second = written(tmp_path, {"auths": {KEYS[0]: {"auth": encoded("me:b")}}})
    assert find_login([tmp_path / "none", first, second], KEYS) == Login("me", "b")
    assert find_login([], KEYS) is None


@pytest.mark.parametrize(
    "document",
    ["{", '{"auths": 1}', json.dumps({"auths": {KEYS[0]: {"auth": "s3cret!!"}}}), " " * (2**20 + 1)],
)
def test_a_damaged_file_is_named_and_not_shown(tmp_path, document):
    file = written(tmp_path, document)
    with pytest.raises(UsageError) as refused:
        find_login([file], KEYS)
    assert str(file) in refused.value.message
    assert "s3cret" not in refused.value.message
    assert "docker login" in refused.value.hint


def test_a_helper_that_is_not_there_or_is_a_path_is_said(tmp_path):
    with pytest.raises(UsageError, match="docker-credential-of-nobody, which"):
        find_login([written(tmp_path, {"credHelpers": {KEYS[0]: "of-nobody"}})], KEYS)
    with pytest.raises(UsageError, match="a helper that is a path"):
        find_login([written(tmp_path, {"credsStore": "../../bin/sh"})], KEYS)


def test_a_login_is_not_shown():
    assert "hunter2" not in repr(Login("me", "hunter2", "hunter2"))


def test_a_challenge_is_taken_apart():
    text = 'Bearer realm="https://a.example/t?x=1,2",service="a \\"b\\"",scope="repository:x:pull,push", Basic realm=r'
    bearer, basic = parse_challenges(text)
    assert (bearer.scheme, basic.scheme) == ("bearer", "basic")
    assert bearer.parameters["realm"] == "https://a.example/t?x=1,2"
    assert bearer.parameters["service"] == 'a "b"'
    assert basic.parameters == {"realm": "r"}
    assert parse_challenges("") == ()
    assert [each.scheme for each in parse_challenges("Negotiate, Basic")] == ["negotiate", "basic"]
