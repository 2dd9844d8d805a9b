"""Who is heavy: found only among those who send while the server is behind, and forgotten again."""

import pytest

from dnsserver.server.shares import LANES, Shares

ATTACKER, VICTIM = b"\x0a\0\0\1", b"\x0a\0\0\2"
BATCH = 64


def address(number: int, network: int = 0) -> bytes:
    return bytes((10, 1 + network)) + number.to_bytes(2)


def behind(shares: Shares, senders: list[bytes], now: float = 1.0) -> list[bytes]:
    """Have a server be behind for one window, and return whose packets get a lane since then."""
    found = []
    for start in range(0, 256, BATCH):
        batch = [senders[number % len(senders)] for number in range(start, start + BATCH)]
        found += shares.sample(batch, now + start / 100_000)
    return [heavy.address for heavy in found]


def test_one_who_floods_gets_a_lane_and_those_beside_him_stay() -> None:
    shares = Shares()
    assert behind(shares, [ATTACKER] * 30 + [VICTIM]) == [ATTACKER]
    assert [(heavy.address, heavy.bits) for heavy in shares.heavy] == [(ATTACKER, 32)]


def test_less_than_a_window_says_nothing() -> None:
    shares = Shares()
    for number in range(100):  # moments in which the server is behind, far apart
        assert not shares.sample([ATTACKER] * BATCH, 1.0 + number)


@pytest.mark.parametrize("clients", [20, 64, 500])
def test_many_who_ask_alike_are_not_heavy_by_themselves(clients: int) -> None:
    shares = Shares()
    crowd = [address(number, network=number % 100) for number in range(clients)]
    assert not set(behind(shares, crowd)) & set(crowd)


def test_sources_of_one_network_are_one_source_where_none_stands_out() -> None:
    shares = Shares()
    crowd = [address(number % 250) for number in range(250)]
    spread = [bytes((10, 200, number, 1)) for number in range(60)]
    assert behind(shares, [*crowd[:200], *spread[:56]]) == [bytes((10, 1, 0, 0))]
    assert [heavy.bits for heavy in shares.heavy] == [24]


def test_one_address_comes_before_its_network() -> None:
    shares = Shares()
    behind(shares, [ATTACKER])
    behind(shares, [ATTACKER[:3] + bytes((number,)) for number in range(2, 200)])
    assert [(heavy.address, heavy.bits) for heavy in shares.heavy] == [(ATTACKER, 32), (ATTACKER[:3] + b"\0", 24)]


def test_an_ipv6_source_is_an_address_or_64_bits() -> None:
    here = bytes.fromhex("fd0000000000000a")
    shares = Shares()
    assert behind(shares, [here + bytes(8)] * 9 + [bytes(16)]) == [here + bytes(8), bytes(16)]
    shares = Shares()
    assert behind(shares, [here + number.to_bytes(8) for number in range(256)]) == [here + bytes(8)]
    assert shares.heavy[0].bits == 64


def test_each_heavy_source_has_a_lane_of_its_own_while_there_are_some() -> None:
    shares = Shares()
    behind(shares, [address(number, network=number) for number in range(LANES)])
    assert sorted(heavy.lane for heavy in shares.heavy) == list(range(1, LANES + 1))
    behind(shares, [address(number, network=number) for number in range(2 * LANES)])
    assert sorted(heavy.lane for heavy in shares.heavy) == sorted([*range(1, LANES + 1)] * 2)


def test_a_source_is_forgotten_a_minute_after_it_stood_out() -> None:
    shares = Shares()
    behind(shares, [ATTACKER], 10.0)
    assert behind(shares, [ATTACKER], 60.0) == []  # known
    assert not shares.expire(110.0)
    assert shares.expire(121.0)
    assert not shares.heavy
    assert behind(shares, [ATTACKER], 200.0) == [ATTACKER]
    assert shares.statistics().found == 2


def test_what_is_remembered_is_bounded() -> None:
    shares = Shares()
    for number in range(1000):
        behind(shares, [address(number)], float(number) / 100)
    assert shares.statistics().heavy <= 64


def test_more_sources_of_one_network_than_there_are_lanes_are_one_source() -> None:
    shares = Shares()
    behind(shares, [address(number) for number in range(LANES)], 1.0)
    assert behind(shares, [address(100), *[VICTIM] * 9], 2.0) == [bytes((10, 1, 0, 0)), VICTIM]
    assert [heavy.bits for heavy in shares.heavy] == [32, 24]
    assert behind(shares, [address(200)], 3.0) == []
    assert shares.heavy[1].address == bytes((10, 1, 0, 0))


def test_after_a_window_without_news_the_next_one_waits() -> None:
    shares = Shares()
    behind(shares, [ATTACKER], 1.0)
    assert shares.due < 1.1
    behind(shares, [ATTACKER], 2.0)
    assert shares.due > 2.04
