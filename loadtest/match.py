"""Decides whether a reply answers its question, for one message at a time."""

import struct

from loadtest.deck import Deck
from loadtest.outstanding import Outstanding
from loadtest.tally import Tally

HEADER = 12
QR = struct.unpack("=H", b"\x80\0")[0]
"""The flag QR in the second word of a header. IDs and flags are in the machine's byte order in this package."""

_WORDS = struct.Struct("=HH")


def take(
    message: bytes | bytearray, length: int, arrival: int, deck: Deck, outstanding: Outstanding, tally: Tally
) -> None:
    """Count one reply of `length` octets; `message` has all of them, or the first ones.

    After a reply that does not match, the question still waits, as with a resolver (RFC 5452, 9.1). A reply with an
    error and without a question is accepted: servers send it when they could not read the question.
    """
    if len(message) < HEADER:
        tally.mismatched += 1
        return
    ident, word = _WORDS.unpack_from(message)
    if not outstanding.is_waiting(ident):
        if outstanding.was_given_up(ident):
            outstanding.forgive(ident)
            tally.late += 1
        else:
            tally.unexpected += 1
        return
    question = deck.questions[outstanding.asked[ident]]
    header_only = message[4:6] == b"\0\0" and message[3] & 15
    if not word & QR or not (message.startswith(question, HEADER) or header_only):
        tally.mismatched += 1
        return
    tally.latency.record(arrival - outstanding.finish(ident))
    tally.flags[word] += 1
    tally.octets += length
    tally.last_reply = arrival
