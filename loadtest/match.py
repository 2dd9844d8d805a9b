"""Decides whether a reply answers its question, for one message at a time."""

import struct

from loadtest.deck import Deck
from loadtest.outstanding import Outstanding
from loadtest.tally import Tally

HEADER = 12
QR = struct.unpack("=H", b"\x80\0")[0]
"""The flag of a reply in the second word of a header, read in the machine's byte order as IDs and flags are here."""

_WORDS = struct.Struct("=HH")


def take(
    message: bytes | bytearray, length: int, arrival: int, deck: Deck, outstanding: Outstanding, tally: Tally
) -> None:
    """Count one reply, of `length` octets, of which `message` holds the first.

    A reply that cannot be matched leaves its question waiting, as a resolver would (RFC 5452, 9.1). An error reply that
    is a header alone is taken for what it says: servers answer so when they could not read the question.
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
