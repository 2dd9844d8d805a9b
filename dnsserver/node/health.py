"""Tells from questions over UDP and TCP whether the server answers at an address. Pure: time is an argument."""

from typing import Final

from dnsserver.node.asker import Outcome, Transport

SILENT: Final = 1.2  # seconds without an answer over UDP or TCP after which the server does not answer: it hangs
ONE_SIDED: Final = 5.0  # and without an answer over one of them, while the other works
_IN_A_ROW: Final = 3  # answers over UDP after which it answers again
_NOT_ASKED: Final = "not asked yet"


class Health:
    """What is known of one address; `answers` is the verdict, and `reason` why it is not the other one."""

    def __init__(self, transports: tuple[Transport, ...] = ("udp", "tcp"), trusted: float | None = None) -> None:
        """Know nothing yet, and say that nobody answers; or trust that somebody does, from the time `trusted` on."""
        self._last: dict[Transport, float] = dict.fromkeys(transports, float("-inf") if trusted is None else trusted)
        self._row = 0
        self._began = trusted  # when it was judged first: before that nobody asked
        self.answers = trusted is not None
        self.reason = "" if self.answers else _NOT_ASKED

    @property
    def is_undecided(self) -> bool:
        """Whether nothing is known that would tell."""
        return self.reason == _NOT_ASKED

    def note(self, transport: Transport, outcome: Outcome, now: float) -> None:
        """Take in what became of a question.

        Refused is certain, nobody has the port. Silence and wrong answers count when they last, as a packet may be lost
        and a server may be starting. A connection that was closed says nothing by itself.
        """
        self._begin(now)
        if outcome == "answered":
            self._last[transport] = now
            self._row += transport == "udp"
            if not self.answers and self._row >= _IN_A_ROW and self._is_fresh(now):
                self.answers, self.reason = True, ""
            return
        if outcome == "closed":
            return
        self._row = 0
        if outcome == "refused":
            self._fail(f"{transport} is refused")
        else:
            self.look(now, f"{transport}: {'no answer' if outcome == 'silent' else 'a wrong answer'}")

    def look(self, now: float, why: str = "no answer") -> None:
        """Judge by how long ago the last answers came."""
        began = self._begin(now)
        ages = [now - max(last, began) for last in self._last.values()]
        if min(ages) > SILENT or max(ages) > ONE_SIDED:
            self._fail(why)

    def _begin(self, now: float) -> float:
        if self._began is None:
            self._began = now
        return self._began

    def _is_fresh(self, now: float) -> bool:
        return all(now - last <= ONE_SIDED for last in self._last.values())

    def _fail(self, why: str) -> None:
        if self.answers or self.reason == _NOT_ASKED:
            self.reason = why
        self.answers = False
        self._row = 0
