import socket
import time

import pytest

from loadtest.deck import Deck
from loadtest.mmsg import Calls, Inbox, Outbox, available, stamp_arrivals
from loadtest.questions import Manner, Question

pytestmark = pytest.mark.skipif(not available(), reason="Linux on 64-bit machines only")


def pair() -> tuple[socket.socket, socket.socket]:
    left, right = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    right.bind(("127.0.0.1", 0))
    left.connect(right.getsockname())
    return left, right


def test_a_batch_leaves_with_its_ids_and_arrives_with_lengths_and_times() -> None:
    deck = Deck([Question(f"{'x' * n}.example", "A") for n in range(1, 6)], Manner())
    calls, outbox, inbox = Calls(), Outbox(deck), Inbox(512)
    left, right = pair()
    with left, right:
        stamp_arrivals(right)
        before = time.time_ns()
        assert calls.send(left.fileno(), outbox.number(1, 300, 3), 3) == 3
        assert calls.receive(right.fileno(), inbox.address, 64) == 3
        after = time.time_ns()
        for number in range(3):
            at = number * inbox.stride
            length = inbox.lengths[16 * number]
            assert inbox.octets[at + 2 : at + length] == deck.tails[1 + number]
            assert inbox.halves[at // 2] == 300 + number
            assert before <= inbox.times[4 * number] * 1_000_000_000 + inbox.times[4 * number + 1] <= after
        with pytest.raises(BlockingIOError):
            calls.receive(right.fileno(), inbox.address, 64)


def test_a_longer_datagram_is_cut_and_its_length_told() -> None:
    left, right = pair()
    with left, right:
        stamp_arrivals(right)
        left.send(bytes(3000))
        inbox = Inbox(512)
        assert Calls().receive(right.fileno(), inbox.address, 1) == 1
        assert inbox.lengths[0] == 3000
        assert inbox.stride == 512


def test_a_closed_port_is_an_oserror() -> None:
    left, right = pair()
    deck = Deck([Question("a", "A")], Manner())
    outbox = Outbox(deck)
    with left:
        right.close()
        left.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            Calls().send(left.fileno(), outbox.number(0, 0, 1), 1)
