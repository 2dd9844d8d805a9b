"""Heavy sources: they are found only among those that send while the server is behind, and they are forgotten again."""

import pytest

from dnsserver.server.heavy import LANES, HeavySources

ATTACKER, VICTIM = b"\x0a\0\0\1", b"\x0a\0\0\2"
BATCH = 64


def address(number: int, network: int = 0) -> bytes:
    return bytes((10, 1 + network)) + number.to_bytes(2)


def behind(sources: HeavySources, senders: list[bytes], now: float = 1.0) -> list[bytes]:
    """Have a server be behind for one window, and return whose packets get a lane since then."""
    found = []
    for start in range(0, 256, BATCH):
        batch = [senders[number % len(senders)] for number in range(start, start + BATCH)]
        found += sources.sample(batch, now + start / 100_000)
    return [heavy.address for heavy in found]


def test_one_who_floods_gets_a_lane_and_those_beside_him_stay() -> None:
    sources = HeavySources()
    assert behind(sources, [ATTACKER] * 30 + [VICTIM]) == [ATTACKER]
    assert [(heavy.address, heavy.bits) for heavy in sources.heavy] == [(ATTACKER, 32)]


def test_less_than_a_window_says_nothing() -> None:
    sources = HeavySources()
    for number in range(100):  # moments in which the server is behind, far apart
        assert not sources.sample([ATTACKER] * BATCH, 1.0 + number)


@pytest.mark.parametrize("clients", [20, 64, 500])
def test_many_who_ask_alike_are_not_heavy_by_themselves(clients: int) -> None:
    sources = HeavySources()
    crowd = [address(number, network=number % 100) for number in range(clients)]
    assert not set(behind(sources, crowd)) & set(crowd)


def test_sources_of_one_network_are_one_source_where_none_stands_out() -> None:
    sources = HeavySources()
    crowd = [address(number % 250) for number in range(250)]
    spread = [bytes((10, 200, number, 1)) for number in range(60)]
    assert behind(sources, [*crowd[:200], *spread[:56]]) == [bytes((10, 1, 0, 0))]
    assert [heavy.bits for heavy in sources.heavy] == [24]


def test_one_address_comes_before_its_network() -> None:
    sources = HeavySources()
    behind(sources, [ATTACKER])
    behind(sources, [ATTACKER[:3] + bytes((number,)) for number in range(2, 200)])
    assert [(heavy.address, heavy.bits) for heavy in sources.heavy] == [(ATTACKER, 32), (ATTACKER[:3] + b"\0", 24)]


def test_an_ipv6_source_is_an_address_or_64_bits() -> None:
    here = bytes.fromhex("fd0000000000000a")
    sources = HeavySources()
    assert behind(sources, [here + bytes(8)] * 9 + [bytes(16)]) == [here + bytes(8), bytes(16)]
    sources = HeavySources()
    assert behind(sources, [here + number.to_bytes(8) for number in range(256)]) == [here + bytes(8)]
    assert sources.heavy[0].bits == 64


def test_each_heavy_source_has_a_lane_of_its_own_while_there_are_some() -> None:
    sources = HeavySources()
    behind(sources, [address(number, network=number) for number in range(LANES)])
    assert sorted(heavy.lane for heavy in sources.heavy) == list(range(1, LANES + 1))
    behind(sources, [address(number, network=number) for number in range(2 * LANES)])
    assert sorted(heavy.lane for heavy in sources.heavy) == sorted([*range(1, LANES + 1)] * 2)


def test_a_source_is_forgotten_a_minute_after_it_stood_out() -> None:
    sources = HeavySources()
    behind(sources, [ATTACKER], 10.0)
    assert behind(sources, [ATTACKER], 60.0) == []  # known
    assert not sources.expire(110.0)
    assert sources.expire(121.0)
    assert not sources.heavy
    assert behind(sources, [ATTACKER], 200.0) == [ATTACKER]
    assert sources.statistics().found == 2


def test_what_is_remembered_is_bounded() -> None:
    sources = HeavySources()
    for number in range(1000):
        behind(sources, [address(number)], float(number) / 100)
    assert sources.statistics().heavy <= 64


def test_more_sources_of_one_network_than_there_are_lanes_are_one_source() -> None:
    sources = HeavySources()
    behind(sources, [address(number) for number in range(LANES)], 1.0)
    assert behind(sources, [address(100), *[VICTIM] * 9], 2.0) == [bytes((10, 1, 0, 0)), VICTIM]
    assert [heavy.bits for heavy in sources.heavy] == [32, 24]
    assert behind(sources, [address(200)], 3.0) == []
    assert sources.heavy[1].address == bytes((10, 1, 0, 0))


def test_after_a_window_without_news_the_next_one_waits() -> None:
    sources = HeavySources()
    behind(sources, [ATTACKER], 1.0)
    assert sources.due < 1.1
    behind(sources, [ATTACKER], 2.0)
    assert sources.due > 2.04
