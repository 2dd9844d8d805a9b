"""Addresses in order, compared with a look at all of them."""

from hypothesis import given
from hypothesis import strategies as st

from dnsserver.zone.sorted_addresses import SortedAddresses


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 255)), max_size=200), st.data())
def test_addresses_are_in_order_whatever_comes_and_goes(changes: list[tuple[bool, int]], data: st.DataObject) -> None:
    present: dict[bytes, None] = {}
    ordered = SortedAddresses(4, present)
    for is_there, number in changes:
        address = bytes((10, 0, 0, number))
        if is_there != (address in present):
            if is_there:
                present[address] = None
            else:
                del present[address]
            if ordered.in_use:
                ordered.note(address, is_there=is_there)
        if data.draw(st.integers(0, 20)) == 0:
            low, high = sorted(bytes((10, 0, 0, data.draw(st.integers(0, 255)))) for _ in range(2))
            assert ordered.has_between(low, high) == any(low <= one <= high for one in present)


def test_very_many_changes_between_two_looks_are_no_more_work_than_a_new_order() -> None:
    present = {bytes((10, 0, 0, 0)): None}
    ordered = SortedAddresses(4, present)
    assert not ordered.has_between(bytes((10, 0, 0, 1)), bytes((10, 0, 0, 255)))
    noted = 0
    for number in range(1, 200):
        present[bytes((10, 0, 0, number))] = None
        if ordered.in_use:
            ordered.note(bytes((10, 0, 0, number)), is_there=True)
            noted += 1
    assert noted < 100
    assert ordered.has_between(bytes((10, 0, 0, 199)), bytes((10, 0, 0, 199)))
    assert not ordered.has_between(bytes((10, 0, 0, 200)), bytes((10, 0, 0, 255)))
