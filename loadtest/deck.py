"""All questions of a run, encoded, in the order in which they are asked."""

from collections.abc import Sequence

from loadtest.questions import Manner, Question, encode

_LEAST = 4096


class Deck:
    """The questions as bytes, by position. A batch cannot go beyond the end of the deck, so a short list is repeated:
    otherwise a file with one question could only be sent in batches of one.
    """

    __slots__ = ("different", "questions", "reply_size", "tails")

    def __init__(self, questions: Sequence[Question], manner: Manner) -> None:
        encoded = [encode(question, manner) for question in questions]
        self.different = len(encoded)
        encoded *= -(-_LEAST // len(encoded))
        self.tails = [one.tail for one in encoded]
        self.questions = [one.question for one in encoded]
        self.reply_size = max(manner.edns or 512, 512)

    def __len__(self) -> int:
        return len(self.tails)
