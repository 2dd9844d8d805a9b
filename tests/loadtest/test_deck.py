from loadtest.deck import Deck
from loadtest.questions import Manner, Question


def test_a_short_list_is_laid_out_over_and_over() -> None:
    deck = Deck([Question("a", "A"), Question("b", "A"), Question("c", "A")], Manner())
    assert len(deck) >= 4096
    assert len(deck) % 3 == 0
    assert deck.different == 3
    assert deck.tails[3:6] == deck.tails[:3]
    assert deck.questions[4] == b"\1b\0\0\1\0\1"


def test_replies_have_the_room_that_is_asked_for() -> None:
    assert Deck([Question("a", "A")], Manner()).reply_size == 512
    assert Deck([Question("a", "A")], Manner(edns=4096)).reply_size == 4096
