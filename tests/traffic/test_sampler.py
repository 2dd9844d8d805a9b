"""Which packets are sampled: each with the same chance, in any order, and few enough of many."""

import random
from collections import Counter

import pytest

from dnsserver.traffic.sampler import Sample, Sampler
from dnsserver.wire.message import NXDOMAIN
from dnsserver.wire.name import from_text

MESSAGE = b"\0\1" + bytes(10) + b"\1a\0\0\1\0\1"
LONGEST = ".".join(("x" * 63, "y" * 63, "z" * 63, "w" * 61))


def message(name: str, rcode: int = 0, *, reply: bool = True) -> bytes:
    return b"\0\7" + bytes((0x81 if reply else 1, 0x80 | rcode)) + b"\0\1" + bytes(6) + from_text(name) + b"\0\1\0\1"


class Socket:
    """Packets of clients as a socket brings them: so many at once."""

    def __init__(self, sampler: Sampler) -> None:
        self.countdown = sampler.countdown()

    def batch(self, clients: list[bytes]) -> None:
        self.countdown.left -= len(clients)
        if self.countdown.left <= 0:
            self.countdown.take(len(clients), lambda index: (clients[index], MESSAGE))


def weights(samples: list[Sample]) -> Counter[bytes]:
    found = Counter[bytes]()
    for sample in samples:
        found[sample.client] += sample.weight
    return found


def test_few_packets_are_all_looked_at_whatever_comes_together() -> None:
    sampler = Sampler(random.Random(1).random)
    one, other = Socket(sampler), Socket(sampler)
    for size in (1, 3, 64, 1):
        one.batch([b"%d" % number for number in range(size)])
    other.batch([b"x"])
    assert weights(sampler.take(1.0)) == Counter([b"0"] * 4 + [b"%d" % n for n in (1, 2, *range(1, 64))] + [b"x"])
    assert sampler.take(2.0) == []


# Who sends: how many packets at once, of which client. All but the last have 10,000 of each client in the end.
MIXES = {
    "alone": [[b"a"], [b"b"]],
    "a in batches, b alone": [[b"a"] * 64, *[[b"b"]] * 64],
    "a first in each batch": [[b"a", *[b"b"] * 31], [b"a"] * 30],
    "by turns in one batch": [[b"a", b"b"] * 32],
    "as often as is sampled": [[b"a"] * 16 + [b"b"] * 16],
}


@pytest.mark.parametrize("mix", MIXES.values(), ids=MIXES.keys())
@pytest.mark.parametrize("every_batch_has_its_socket", [False, True], ids=["one socket", "a socket each"])
def test_each_packet_has_the_same_chance(mix: list[list[bytes]], every_batch_has_its_socket: bool) -> None:
    sampler = Sampler(random.Random(7).random)
    sockets = [Socket(sampler) for _ in mix]
    truth, found, now, samples = Counter[bytes](), Counter[bytes](), 0.0, 0
    for turn in range(200_000 // sum(map(len, mix))):
        for number, batch in enumerate(mix):
            sockets[number if every_batch_has_its_socket else 0].batch(batch)
            truth.update(batch)
        if turn % (20_000 // sum(map(len, mix))) == 0:
            now += 2.0  # 10,000 a second: one in 40
            taken = sampler.take(now)
            samples += len(taken)
            found += weights(taken)
    found += weights(sampler.take(now + 1))
    assert samples < 200_000 / 10
    for client, count in truth.items():
        assert abs(found[client] - count) < 4 * (count * 40) ** 0.5


@pytest.mark.parametrize(
    ("rate", "every", "least"),
    [(10, 1, 10), (200, 1, 100), (3000, 10, 150), (100_000, 333, 150)],
)  # fmt: skip
def test_the_part_that_is_looked_at_follows_the_load(rate: int, every: int, least: int) -> None:
    sampler = Sampler(random.Random(3).random)
    socket = Socket(sampler)
    for second in range(1, 6):
        for _ in range(rate):
            socket.batch([b"a"])
        samples = sampler.take(float(second))
        assert second == 1 or least <= len(samples) <= 800
    assert every / 1.6 <= sampler.every <= every * 1.6
    sampler.take(6.0)
    assert sampler.every == 1
    socket.batch([b"late"])
    assert sampler.take(7.0) == [Sample(b"late", 1, MESSAGE)]


def test_a_burst_is_thinned_out_at_once_and_counted_right() -> None:
    sampler = Sampler(random.Random(5).random)
    socket = Socket(sampler)
    sampler.take(0.0)
    for _ in range(2000):
        socket.batch([b"a"] * 64)
    samples = sampler.take(0.5)
    assert len(samples) < 256 * 8
    assert abs(weights(samples)[b"a"] - 128_000) < 128_000 / 5


@pytest.mark.parametrize("rate", [100, 3_000, 70_000])
def test_all_samples_together_weigh_what_there_was_but_for_the_last_few(rate: int) -> None:
    sampler = Sampler(random.Random(rate).random)
    sockets = [Socket(sampler) for _ in range(3)]
    found = packets = 0
    for second in range(1, 9):
        for number in range(rate // 50):
            sockets[number % 3].batch([b"a"] * 50)
            packets += 50
        samples = sampler.take(float(second))
        found += sum(sample.weight for sample in samples)
        assert 0 <= packets - found <= 20 * sampler.every
        assert min(sample.weight for sample in samples) >= 1


def test_of_a_message_no_more_is_kept_than_its_name() -> None:
    sampler = Sampler(random.Random(1).random)
    countdown = sampler.countdown()
    countdown.left -= 1
    countdown.take(1, lambda _: (b"a", bytes(4096)))
    assert len(sampler.take(1.0)[0].message) == 12 + 255


def test_it_can_be_switched_off_and_on_at_any_time() -> None:
    sampler = Sampler(random.Random(1).random)
    socket = Socket(sampler)
    for on, most in ((True, 5), (False, 0), (False, 0), (True, 5)):
        sampler.switch(on)
        for _ in range(5):
            socket.batch([b"a"])
        assert sum(weights(sampler.take(1.0)).values()) == most
        assert sampler.every == on


def test_a_socket_that_is_gone_is_forgotten() -> None:
    sampler = Sampler(random.Random(1).random)
    for _ in range(1000):
        Socket(sampler)
    socket = Socket(sampler)
    for second in range(3):
        for _ in range(5000):
            socket.batch([b"a"])
        sampler.take(float(second))
    assert sampler.every > 1


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (message("a.b"), b"\1a\1b\0"),
        (message("."), b"\0"),
        (message("A.B", reply=False), b"\1a\1b\0"),
        (message(LONGEST), from_text(LONGEST)),
        (message("a.b")[:14], None),
        (message("a.b")[:12], None),
        (b"", None),
        (message("a.b")[:4] + b"\0\0" + message("a.b")[6:], None),  # no question
        (message("a")[:12] + b"\xc0\x0c\0\1\0\1", None),
        (message("a")[:12] + b"\x3f" + b"x" * 300, None),
        (message("a")[:12] + b"\1a" * 200, None),
    ],
)
def test_names_are_read_and_what_is_none_is_not(octets: bytes, name: bytes | None) -> None:
    assert Sample(b"a", 1, octets).name == name


@pytest.mark.parametrize(
    ("octets", "rcode"),
    [(message("a"), 0), (message("a", NXDOMAIN), NXDOMAIN), (message("a", NXDOMAIN, reply=False), None), (b"", None)],
)
def test_the_rcode_is_that_of_a_reply(octets: bytes, rcode: int | None) -> None:
    assert Sample(b"a", 1, octets).rcode == rcode
