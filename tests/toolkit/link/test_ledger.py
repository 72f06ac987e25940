"""The accounts of what is on its way."""

from __future__ import annotations

from toolkit.link.ledger import Ledger, Sent


def sent(payload: bytes, qos: int = 1) -> Sent:
    return Sent("t", payload, qos, retain=False)


def test_messages_that_wait_for_a_client_never_take_each_others_place() -> None:
    ledger = Ledger()
    numbers = iter(range(1, 100))
    for _ in range(3):
        ledger.send(sent(b"lost", qos=0), lambda _: next(numbers))
    ledger.send(sent(b"a"), None)
    ledger.drop_unsure()
    for payload in (b"b", b"c", b"d"):
        ledger.send(sent(payload), None)
    handed: list[bytes] = []

    def take(message: Sent) -> int:
        handed.append(message.payload)
        return next(numbers)

    ledger.resend(take)
    assert handed == [b"a", b"b", b"c", b"d"]
    assert not ledger.wait(lambda messages, size: not messages and not size, 0)
    for number in range(4, 8):
        ledger.confirm(number)
    assert ledger.wait(lambda messages, size: not messages and not size, 0)
