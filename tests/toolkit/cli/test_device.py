"""`tiers device authority|request|enroll|revoke|list`, in this process, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.toolkit.render.clinic import CLINIC
from toolkit.cli import main
from toolkit.errors import GateRefusedError, UsageError
from toolkit.link.identity import request_identity

SITE = ["-f", str(CLINIC)]


@pytest.fixture
def office(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["device", "authority", str(tmp_path / "authority"), *SITE]) == 0
    assert main(["model", "keygen", str(tmp_path / "keys")]) == 0
    capsys.readouterr()
    return tmp_path


def _enroll(office: Path, *words: str) -> int:
    trust = ["--keyring", str(office / "keys/keyring.json"), "--answers", str(office / "answers")]
    return main(["device", "enroll", *words, *trust, "--authority", str(office / "authority"), *SITE])


def test_in_and_out_again(office: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("cart-1", "tiers:operator"):
        assert main(["device", "request", name, "--folder", str(office), *SITE]) == 0
    requests = [str(office / "cart-1.csr"), str(office / "tiers-operator.csr")]
    capsys.readouterr()
    assert _enroll(office, *requests, "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert [(each["name"], each["signed"]) for each in first] == [("cart-1", True), ("tiers:operator", True)]
    assert _enroll(office, *requests) == 0
    assert "as before" in capsys.readouterr().out
    answer = json.loads((office / "answers/cart-1.answer.json").read_text())
    assert answer["broker_authority"] == (office / "authority/ca.crt").read_text()
    assert [key["name"] for key in answer["keyring"]["keys"]] == ["registry", "operator"]
    authority = ["--authority", str(office / "authority"), *SITE]
    assert main(["device", "revoke", "cart-1", "--reason", "stolen", *authority]) == 0
    assert "restart it" in capsys.readouterr().err
    assert main(["device", "list", *authority, "--json"]) == 0
    states = {each["name"]: (each["state"], each["remark"]) for each in json.loads(capsys.readouterr().out)}
    assert states["cart-1"] == ("revoked", "stolen")
    assert states["cart-2"][0] == "not enrolled"
    assert states["tiers:operator"][0] == "enrolled"
    assert _enroll(office, requests[0]) == GateRefusedError.exit_code
    secret = (office / "authority/authority.key").read_text().splitlines()[1]
    shown = capsys.readouterr()
    assert secret not in shown.out + shown.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--valid", "forever"], "is not a time"),
        (["--valid", "1ms"], "cannot hold for"),
        (["--name", "cart-2"], "asks for 'cart-1'"),
        (["--broker-ca", "/nowhere"], "no certificate of an authority"),
        (["--authority", "/nowhere"], "no authority in /nowhere"),
    ],
)
def test_what_is_typed_wrong(
    office: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    request_identity("cart-1", office / "c.key", office / "c.csr")
    typed = [str(office / "c.csr"), *words]
    if "--authority" in words:
        keyring, ca = str(office / "keys/keyring.json"), str(office / "authority/ca.crt")
        code = main(["device", "enroll", *typed, "--keyring", keyring, "--broker-ca", ca, *SITE])
    else:
        code = _enroll(office, *typed)
    assert code == UsageError.exit_code
    assert says in capsys.readouterr().err


def test_a_name_that_nobody_has(office: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["device", "request", "tiers:depott", "--folder", str(office), *SITE]) == UsageError.exit_code
    assert "did you mean 'tiers:depot'" in capsys.readouterr().err
    assert list(office.glob("*.key")) == []
