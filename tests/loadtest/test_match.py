import sys
from array import array

import pytest

from loadtest.deck import Deck
from loadtest.match import take
from loadtest.outstanding import Outstanding
from loadtest.questions import Manner, Question
from loadtest.tally import Tally
from tests.loadtest.servers import reply

DECK = Deck([Question("a.example", "A"), Question("b.example", "A")], Manner())


class Asked:
    def __init__(self) -> None:
        self.outstanding = Outstanding(4)
        first, _ = self.outstanding.reserve(1)
        self.outstanding.begin(first, 0, array("q", [1000]))
        self.query = first.to_bytes(2, sys.byteorder) + DECK.tails[0]
        self.tally = Tally()

    def take(self, message: bytes) -> None:
        take(message, len(message), 5000, DECK, self.outstanding, self.tally)


def test_a_reply_is_timed_once_and_again_it_is_unexpected() -> None:
    asked = Asked()
    asked.take(reply(asked.query))
    asked.take(reply(asked.query))
    assert asked.tally.answered == 1
    assert asked.tally.latency.maximum == 4000
    assert asked.tally.unexpected == 1
    assert asked.outstanding.count == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda query: query,  # an echo: QR is not set
        lambda query: query[:2] + reply(b"xx" + DECK.tails[1])[2:],
        lambda query: reply(query)[:11],
        lambda query: reply(query)[:-1],
        lambda query: reply(query)[:4] + bytes(8),  # no question, yet no error
    ],
)
def test_a_reply_to_something_else_leaves_the_question_waiting(change: object) -> None:
    asked = Asked()
    assert callable(change)
    asked.take(change(asked.query))
    assert asked.tally.mismatched == 1
    assert asked.tally.answered == 0
    assert asked.outstanding.count == 1


def test_an_error_of_a_header_alone_is_an_answer() -> None:
    asked = Asked()
    asked.take(asked.query[:2] + b"\x80\x01" + bytes(8))
    assert asked.tally.rcodes() == {"FORMERR": 1}


def test_a_reply_after_the_time_out_is_late() -> None:
    asked = Asked()
    assert asked.outstanding.give_up(2000) == 1
    asked.take(reply(asked.query))
    assert (asked.tally.late, asked.tally.answered, asked.tally.unexpected) == (1, 0, 0)
