"""Files of credentials: each way in which they can be wrong is told with file and cure, and secrets never."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edge_runtime.serving.credentials import Credentials
from tests.cluster.certificates import Authority
from toolkit.errors import UsageError
from toolkit.wire.device_config import ServingConfig

SECRET = "k3" * 16


@pytest.fixture
def files(tmp_path):
    certificate, key = Authority(tmp_path).server("server")
    token = tmp_path / "token"
    token.write_text(f"\n{SECRET}\n\n  {SECRET[::-1]}  \n")
    return {
        "certificate_file": str(certificate),
        "key_file": str(key),
        "token_file": str(token),
        "client_ca_file": str(tmp_path / "ca.crt"),
    }


def test_right_files_are_read(files):
    credentials = Credentials(ServingConfig(**files))
    assert credentials.context is not None
    assert credentials.expires is not None
    assert credentials.opens(SECRET)
    assert credentials.opens(SECRET[::-1])
    assert not credentials.opens(SECRET[:-1])
    assert not credentials.opens("")
    assert not credentials.refresh()


def test_a_line_may_say_what_its_token_opens(files):
    admin, scraper = "a" * 20, "s" * 20
    Path(files["token_file"]).write_text(
        f"{SECRET}\nadmin,infer:{admin}\nmetrics:{scraper}\nadmin:{SECRET}\n"
    )
    credentials = Credentials(ServingConfig(**files))
    assert credentials.opens(SECRET)[1] == {"infer", "metrics", "admin"}
    assert credentials.opens(admin)[1] == {"infer", "admin"}
    assert credentials.opens(scraper)[1] == {"metrics"}
    assert credentials.opens(f"metrics:{scraper}") is None
    assert len({credentials.opens(each)[0] for each in (SECRET, admin, scraper)}) == 3
    assert scraper not in credentials.opens(scraper)[0]


def test_without_files_there_is_nothing():
    credentials = Credentials(ServingConfig())
    assert (credentials.context, credentials.expires, credentials.by_token) == (None, None, frozenset())
    assert not credentials.opens("")


@pytest.mark.parametrize("key", ["certificate_file", "key_file", "token_file", "client_ca_file"])
def test_a_missing_file_is_named_with_its_key(files, key):
    path = Path(files[key])
    path.unlink()
    with pytest.raises(UsageError, match=rf"serving\.{key} {path} cannot be read: No such file") as caught:
        Credentials(ServingConfig(**files))
    assert "readable for the user" in caught.value.hint


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("certificate_file", "no", "holds no certificate in PEM"),
        ("key_file", "no", "holds no private key in PEM"),
        ("client_ca_file", "no", "holds no certificate in PEM"),
        ("token_file", " \n\n", "holds no token"),
        ("token_file", f"{SECRET}\nshort\n", ":2: a token has 16 to 512"),
        ("token_file", f"{SECRET} {SECRET}\n", ":1: a token has"),
        ("token_file", f"root:{SECRET}", ":1: what stands before the token is no list of scopes"),
        ("token_file", f":{SECRET}", ":1: what stands before the token is no list of scopes"),
        ("token_file", "é" * 20, ":1: a token has"),
        ("token_file", "a" * 2**20 + "b", "is longer than"),
    ],
)
def test_a_file_with_something_else_is_named_and_never_shown(files, key, text, said):
    Path(files[key]).write_text(text)
    with pytest.raises(UsageError) as caught:
        Credentials(ServingConfig(**files))
    assert f"serving.{key} {files[key]}" in caught.value.message
    assert said in caught.value.message
    assert caught.value.hint
    assert SECRET not in caught.value.message


def test_a_key_of_another_certificate_is_noticed(files, tmp_path):
    _, other = Authority(tmp_path).server("other")
    with pytest.raises(UsageError, match=r"other\.key is not the key of serving\.certificate_file"):
        Credentials(ServingConfig(**(files | {"key_file": str(other)})))


def test_a_locked_key_is_refused_without_a_question(files, tmp_path):
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "pkey", "-in", files["key_file"], "-aes128", "-passout", "pass:x", "-out", str(locked)],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    with pytest.raises(UsageError, match="is locked with a password") as caught:
        Credentials(ServingConfig(**(files | {"key_file": str(locked)})))
    assert caught.value.hint.startswith("unlock it: openssl pkey")


def test_a_change_for_the_worse_is_told_once_and_the_old_stays(files):
    credentials = Credentials(ServingConfig(**files))
    Path(files["token_file"]).write_text("short")
    with pytest.raises(UsageError, match="a token has"):
        credentials.refresh()
    assert not credentials.refresh()
    assert credentials.opens(SECRET)
    Path(files["token_file"]).write_text("n" * 20)
    assert credentials.refresh()
    assert credentials.opens("n" * 20)
    assert not credentials.opens(SECRET)


def test_files_that_are_turned_between_two_looks_at_them_are_told_of_once(files):
    """A look is one call for each file, and a mounted Secret is turned at any moment."""

    class Torn(Credentials):
        turn = None

        def _look(self):
            before, turn = super()._look(), self.turn
            if turn is None:
                return before
            self.turn = None
            turn()
            return (*before[:1], *super()._look()[1:])

    def turn():
        for key in ("certificate_file", "token_file"):
            Path(files[key]).write_text("no")

    credentials = Torn(ServingConfig(**files))
    credentials.turn = turn
    said = 0
    for _ in range(5):
        try:
            assert not credentials.refresh()
        except UsageError:
            said += 1
    assert said == 1
    assert credentials.opens(SECRET)
