"""The counts of a run."""

import sys

from loadtest.histogram import Histogram

RCODES = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED",
    6: "YXDOMAIN", 7: "YXRRSET", 8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE",
}  # fmt: skip


class Tally:
    """The counts of one run; each reply that matched its question is counted once in `latency` and once in `flags`."""

    __slots__ = (
        "closed",
        "dropped_here",
        "flags",
        "last_reply",
        "late",
        "latency",
        "lateness",
        "lost",
        "mismatched",
        "octets",
        "reconnects",
        "refused",
        "sent",
        "unexpected",
    )  # fmt: skip

    def __init__(self) -> None:
        self.sent = 0
        self.latency = Histogram()  # from the send, or in open loop from the moment the send was due, to the reply
        self.lateness = Histogram()  # open loop: how long after it was due a question left
        self.flags = [0] * 65536  # replies by the second word of their header, in the machine's byte order
        self.octets = 0  # of replies that matched
        self.lost = 0  # given up after the time-out
        self.closed = 0  # lost with their TCP connection
        self.late = 0  # replies after the time-out
        self.unexpected = 0  # replies with an ID that nothing waited for
        self.mismatched = 0  # messages that answer another question than that of their ID, or are no replies
        self.refused = 0  # sends or receives that failed: an ICMP error came back, or no buffer was left
        self.reconnects = 0
        self.dropped_here = 0  # replies that this machine's socket buffers had no room for
        self.last_reply = 0  # on the run's clock

    @property
    def answered(self) -> int:
        """The number of questions answered in time with a matching reply."""
        return self.latency.count

    def rcodes(self) -> dict[str, int]:
        """Return the replies by rcode, the most frequent first; the rcode is the header's, without the bits in EDNS."""
        sums: dict[str, int] = {}
        for word, times in self._words():
            name = RCODES.get(word & 15, f"RCODE{word & 15}")
            sums[name] = sums.get(name, 0) + times
        return dict(sorted(sums.items(), key=lambda item: -item[1]))

    def truncated(self) -> int:
        """Return the number of replies with the flag TC."""
        return sum(times for word, times in self._words() if word & 0x0200)

    def _words(self) -> list[tuple[int, int]]:
        swap = sys.byteorder == "little"
        return [
            ((word & 0xFF) << 8 | word >> 8 if swap else word, times) for word, times in enumerate(self.flags) if times
        ]
