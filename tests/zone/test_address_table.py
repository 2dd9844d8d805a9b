"""A table of addresses has the same content as a dict, in a fraction of its memory."""

import tracemalloc
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from dnsserver.zone.address_table import AddressTable, Holders


def _packed(text: str) -> bytes:
    return ip_address(text).packed


WEB: Holders = ((b"shop", b"web"),)
API: Holders = ((b"shop", b"api"),)
ADDRESSES = [_packed(text) for text in ("10.1.0.0", "10.1.0.1", "10.1.0.255", "10.1.1.1", "fd00::1", "::")]

RANGES = [tuple(map(_packed, bounds)) for bounds in (("10.1.0.1", "10.1.1.0"), ("::1", "fd00::1"))]
_SOME = st.sets(st.sampled_from(ADDRESSES))


@given(st.lists(st.tuples(st.sampled_from([WEB, API]), _SOME, _SOME, st.booleans())))
def test_it_says_what_a_dict_would(steps: list[tuple[Holders, set[bytes], set[bytes], bool]]) -> None:
    table, model = AddressTable(), {each: set[tuple[bytes, bytes]]() for each in ADDRESSES}
    for keys, gone, new, looked in steps:
        table.move(keys, gone, new)
        for address in gone:
            model[address].discard(keys[0])
        for address in new:
            model[address].add(keys[0])
        assert {each: set(table.get(each)) for each in ADDRESSES} == model
        assert sorted(table) == sorted(each for each in ADDRESSES if model[each])
        assert len(table) == len(list(table))
        for low, high in RANGES if looked else ():
            assert table.has_between(low, high) == any(len(x) == len(low) and low <= x <= high for x in table)


def test_an_address_takes_little_room() -> None:
    """Each network has as many addresses as a node has pods that are endpoints of services."""
    tracemalloc.start()
    table = AddressTable()
    for number in range(30_000):
        table.move(WEB, (), [(10 << 24 | number // 30 << 8 | number % 30).to_bytes(4, "big")])
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken / len(table) < 30  # octets; an entry of a dict and its key take 100
