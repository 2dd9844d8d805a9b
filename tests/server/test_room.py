"""The room of TCP clients, as a table: which client is let in, which one gives way, and how many octets are held."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.server.room import Room
from tests.reach import reached


class Tenant:
    """A connection: idle, new (has not asked yet), half (has half asked) or busy."""

    def __init__(self, room: Room, name: str, peer: bytes = b"") -> None:
        self.room, self.name = room, name
        self.has_left = False
        self.peer = peer or name[0].encode()
        self.is_new = "new" in name
        self.is_idle = self.is_new or "idle" in name
        self.is_half_asked = self.is_idle or "half" in name
        room.enter(self)

    def give_way(self) -> None:
        self.has_left = True
        self.room.leave(self)


# Room for so many; who is there, longest silent first, by client, number and state; who comes; who goes, or "" for
# nobody, or None when the newcomer is refused.
CASES = [
    (4, ["a1 idle", "b1 busy"], "c", ""),
    (4, ["a1 idle", "a2 idle"], "a", "a1 idle"),
    (4, ["a1 busy", "a2 idle", "b1 idle"], "a", "a2 idle"),
    (4, ["b1 idle", "a1 busy", "a2 busy"], "a", None),
    (4, ["b1 idle", "a1 half", "a2 busy"], "a", "a1 half"),
    (4, ["b1 idle", "a1 half", "a2 idle"], "a", "a2 idle"),
    (4, ["a1 busy", "a2 busy", "b1 half", "b2 idle"], "c", "b2 idle"),
    (4, ["a1 busy", "a2 busy", "b1 half", "b2 half"], "c", "b1 half"),
    (4, ["a1 busy", "a2 half", "b1 half", "b2 new"], "c", "a2 half"),
    (4, ["a1 new", "a2 half", "b1 half", "b2 new"], "c", "a1 new"),
    (4, ["a1 new", "a2 half", "b1 half", "b2 idle"], "c", "b2 idle"),
    (4, ["b1 busy", "a1 busy", "a2 busy", "b2 busy"], "c", "b1 busy"),
    (6, ["b1 busy", "a1 busy", "a2 busy", "a3 busy", "b2 busy", "c1 busy"], "d", "a1 busy"),
    (4, ["a1 busy", "a2 busy", "b1 busy", "c1 busy"], "d", "a1 busy"),
    (4, ["a1 busy", "a2 busy", "b1 busy", "c1 busy"], "c", None),
    (4, ["a1 busy", "b1 busy", "c1 busy", "d1 busy"], "e", None),
    (1, [], "a", ""),
    (1, ["a1 idle"], "a", "a1 idle"),
    (1, ["a1 busy"], "b", None),
]


@pytest.mark.parametrize(("places", "there", "comes", "goes"), CASES)
def test_who_gives_way(places: int, there: list[str], comes: str, goes: str | None) -> None:
    room = Room(places, 1 << 20)
    tenants = [Tenant(room, name) for name in there]
    left = len(room)
    admitted, free = room.admit(comes.encode())
    assert admitted == (goes is not None)
    assert free == (goes == "")
    assert len(room) == left - bool(goes)
    if goes:
        gone = tenants[there.index(goes)]
        assert [tenant for tenant in tenants if tenant.has_left] == [gone]


def test_who_has_many_addresses_of_one_network_keeps_nobody_out() -> None:
    def address(network: int, host: int) -> bytes:
        return bytes((0xFD, 0, 0, 0, 0, 0, 0, network, *bytes(7), host))

    room = Room(4, 1 << 20)
    tenants = [Tenant(room, f"{number} busy", address(1, number)) for number in range(4)]
    assert room.admit(address(1, 9)) == (False, False)
    assert room.admit(address(2, 1)) == (True, False)
    assert [tenant.has_left for tenant in tenants] == [True, False, False, False]


_steps = st.tuples(st.sampled_from("abc"), st.sampled_from(["idle", "half", "busy"]), st.integers(0, 900))


@given(st.lists(_steps, max_size=60), st.integers(1, 9))
def test_nothing_is_ever_exceeded_and_nothing_stays_behind(steps: list[tuple[str, str, int]], places: int) -> None:
    room = Room(places, 1000)
    entered: list[Tenant] = []
    for number, (client, state, octets) in enumerate(steps):
        if room.admit(client.encode())[0]:
            entered.append(Tenant(room, f"{client}{number} {state}"))
            room.account(entered[-1], octets, octets)
        if entered and octets % 3 == 0:
            room.account(entered[octets % len(entered)], octets, 0)
        assert len(room) <= places
        assert room.held <= 1000
        there = Counter(tenant.peer for tenant in entered if not tenant.has_left)
        assert there.total() == len(room)
        assert max(there.values(), default=0) <= room.share
    for tenant in entered:
        room.leave(tenant)
    assert (len(room), room.held, room.expected) == (0, 0, 0)
    assert len(reached(room)) == len(reached(Room(places, 1000)))


@pytest.mark.parametrize(("taken", "patience"), [(0, 1.0), (5, 1.0), (6, 0.8), (8, 0.4), (9, 0.2), (10, 0.1)])
def test_connections_may_be_silent_for_less_time_as_places_get_scarce(taken: int, patience: float) -> None:
    room = Room(10, 1000)
    for number in range(taken):
        Tenant(room, f"{'abcdefghij'[number]}{number} idle")
    assert room.patience == pytest.approx(patience)
    assert room.clients == taken


def test_the_client_with_most_octets_loses_its_largest_connection() -> None:
    room = Room(10, 1000)
    one = Tenant(room, "b1 busy")
    room.account(one, 500, 0)
    many = [Tenant(room, f"a{number} busy") for number in range(3)]
    for tenant, octets in zip(many, (150, 250, 200), strict=True):
        room.account(tenant, octets, 0)
    assert room.held == 850
    assert len(room) == 3
    room.account(one, 510, 0)
    assert (room.held, len(room)) == (860, 3)
