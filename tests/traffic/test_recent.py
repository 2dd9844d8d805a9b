"""The packets looked at last: who asks for a name, and what a client asks."""

import pytest

from dnsserver.traffic.recent import ROOM, RecentPackets
from tests.reach import octets

ONE, TWO = b"\x0a\0\0\1", b"\x0a\0\0\2"
WEB, DB = b"\3web\0", b"\2db\0"


def recent(*packets: tuple[bytes, bytes, int, float], room: int = ROOM) -> RecentPackets:
    found = RecentPackets(room)
    for packet in packets:
        found.add(*packet)
    return found


ASKED = ((ONE, WEB, 1, 0.0), (ONE, DB, 1, 50.0), (TWO, WEB, 1, 60.0), (ONE, WEB, 1, 110.0), (ONE, WEB, 1, 115.0))


@pytest.mark.parametrize(
    ("client", "minutes", "expected"),
    [
        (ONE, 1, (60.0, 2, [(WEB, 2)])),
        (ONE, 5, (120.0, 4, [(WEB, 3), (DB, 1)])),
        (TWO, 5, (120.0, 1, [(WEB, 1)])),
        (b"\x0a\0\0\3", 5, (120.0, 0, [])),
    ],
)
def test_a_client_has_the_names_that_it_asked_for(
    client: bytes, minutes: int, expected: tuple[float, int, list[tuple[bytes, int]]]
) -> None:
    top = recent(*ASKED).names(client, minutes, 10, 119.0 + (minutes > 1))
    if minutes == 1:
        assert expected[0] - 1 <= top.seconds <= expected[0]
    else:
        assert top.seconds == expected[0]
    assert (top.total, [(item.key, item.count) for item in top.items]) == expected[1:]
    assert {item.plus_minus for item in top.items} <= {0}


def test_a_name_has_the_clients_that_asked_for_it() -> None:
    found = recent(*ASKED)
    assert [(item.key, item.count) for item in found.clients(WEB, 15, 10, 120.0).items] == [(ONE, 3), (TWO, 1)]
    assert [item.key for item in found.clients(WEB, 15, 1, 120.0).items] == [ONE]


def test_before_anything_is_asked_there_is_nothing() -> None:
    top = RecentPackets().names(ONE, 1, 10, 5.0)
    assert (top.seconds, top.total, top.items) == (0.0, 0, ())


def test_of_a_sample_the_error_is_told() -> None:
    packets = [(ONE if number % 4 else TWO, WEB, 100, 1.0) for number in range(400)]
    one, two = recent(*packets).clients(WEB, 1, 10, 2.0).items
    assert (one.count, two.count) == (30_000, 10_000)
    assert 0 < one.plus_minus == two.plus_minus < 2500  # 1.96 standard deviations of 300 of 400


@pytest.mark.parametrize("name", [b"\3web\0", b"\x3f" + bytes(250) + b"\0"])
def test_only_the_last_packets_are_held_and_what_they_take_is_bounded(name: bytes) -> None:
    found = RecentPackets()
    for number in range(5000):
        own = bytes((len(name),)) + number.to_bytes(2, "big") + name[3:]
        found.add(number.to_bytes(16, "big"), own, 300 + number, 0.01 * number)
    assert found.names((0).to_bytes(16, "big"), 15, 10, 50.0).total == 0
    assert found.names((4999).to_bytes(16, "big"), 15, 10, 50.0).total == 5299
    assert 0.6 * ROOM <= octets(found) <= ROOM
