"""A table of addresses says what a dict would, in a fraction of its room."""

import tracemalloc
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from dnsserver.zone.address_table import AddressTable, Holders

WEB: Holders = ((b"shop", b"web"),)
API: Holders = ((b"shop", b"api"),)
ADDRESSES = [ip_address(text).packed for text in ("10.1.0.0", "10.1.0.1", "10.1.0.255", "10.1.1.1", "fd00::1", "::")]


@given(st.lists(st.tuples(st.sampled_from(ADDRESSES), st.sampled_from([WEB, API, WEB + API, ()]))))
def test_it_says_what_a_dict_would(steps: list[tuple[bytes, Holders]]) -> None:
    table, model = AddressTable(), dict[bytes, Holders]()
    for address, holders in steps:
        if address in model:
            assert table.add(address, API) == model[address]  # which changes nothing
            table.replace(address, holders)
            model[address] = holders
            if not holders:
                del model[address]
        elif holders:
            assert table.add(address, holders) == ()
            model[address] = holders
        assert sorted(table) == sorted(model)
        assert len(table) == len(model)
        assert {each: table.get(each) for each in ADDRESSES} == {each: model.get(each, ()) for each in ADDRESSES}


def test_an_address_takes_little_room() -> None:
    """As many of each network as a node has pods that services are made of."""
    tracemalloc.start()
    table = AddressTable()
    for number in range(30_000):
        table.add((10 << 24 | number // 30 << 8 | number % 30).to_bytes(4, "big"), WEB)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken / len(table) < 30  # octets; an entry of a dict and its key take 100
