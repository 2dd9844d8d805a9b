"""What a process has gathered: samples and notable replies, each once, and the number of all others."""

import random

import msgspec

from dnsserver.traffic.gathered import Gathered, Gatherer
from dnsserver.traffic.sampler import Sample, Sampler
from dnsserver.wire import message as m
from tests.traffic.seen import seen


def test_each_thing_is_gathered_once() -> None:
    sampler = Sampler(random.Random(1).random)
    gatherer = Gatherer(sampler)
    sampler.add(b"\x0a\0\0\1", b"", 1)
    failure = seen(rcode=m.SERVFAIL)
    for each in (seen(), failure, seen(seconds=0.01)):
        gatherer.see(each)
    assert gatherer.take(1.0) == Gathered((Sample(b"\x0a\0\0\1", 1, b""),), (failure,), 1, 0)
    assert gatherer.take(2.0) == Gathered()


def test_what_there_was_no_room_for_is_told_once() -> None:
    gatherer = Gatherer(Sampler(random.Random(1).random), 3)
    for _ in range(5):
        gatherer.see(seen(rcode=m.SERVFAIL))
    left_out = [gatherer.take(float(number), missed).left_out for number, missed in enumerate((10, 10, 17))]
    assert left_out == [12, 0, 7]


def test_it_can_be_sent_to_another_process() -> None:
    gathered = Gathered((Sample(b"\x0a\0\0\1", 7, b"\xff\0"),), (seen(rcode=m.SERVFAIL), seen(rcode=m.DROP)), 9, 3)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(gathered), type=Gathered) == gathered
