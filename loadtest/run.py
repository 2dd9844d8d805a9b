"""The loop: asks at the wanted rate, reads the replies, and gives up on questions without one."""

import math
import sys
from collections.abc import Callable, Sequence
from time import monotonic_ns

import msgspec

from loadtest.clients import Client, Poller, clock
from loadtest.deck import Deck
from loadtest.tally import Tally

SECOND = 1_000_000_000
NEVER = sys.maxsize
_LOOK_AROUND = SECOND // 10
"""How often time-outs are looked for and clients that are short of questions refilled."""

_SPIN = 200_000
"""The end of each wait in open loop is spent polling: waking up takes up to 0.1 ms, and would count as the server's."""

_BURST = 256
"""Questions that may leave in open loop before replies are taken again, when the loop is behind."""


class Plan(msgspec.Struct, frozen=True):
    """The pace and the bounds of one run: as many questions outstanding as the clients have room for, or with a
    `rate` (a second) open loop. Sending ends after `duration` or `count` questions, whichever comes first. Times are in
    nanoseconds.
    """

    timeout: int
    duration: int | None = None
    count: int | None = None
    rate: float | None = None


class Progress(msgspec.Struct, frozen=True):
    """A look at a run that goes on: the time since its start, and what is counted so far."""

    elapsed: int
    outstanding: int
    tally: Tally


class Outcome(msgspec.Struct, frozen=True):
    """What a run gave. `elapsed` ends when sending ended or, if later, with the last reply, so that waiting for replies
    that never come does not thin the rate; `due` is the number of questions that open loop asked for, None in closed
    loop; `clock_step` is how far the clock was set in between, which falsifies the latencies of that moment.
    """

    tally: Tally
    elapsed: int
    due: int | None
    outstanding: int
    interrupted: bool
    clock_step: int


class Run:
    """One run of these clients over the deck, from `position` on, counted in `tally`; `report` hears every second."""

    def __init__(
        self,
        deck: Deck,
        clients: Sequence[Client],
        poller: Poller,
        plan: Plan,
        tally: Tally,
        report: Callable[[Progress], None] | None = None,
        position: int = 0,
    ) -> None:
        self.position = position
        """Where the next run goes on, so that a warm-up does not ask what is to be asked for the first time."""
        self._deck = deck
        self._clients = clients
        self._poller = poller
        self._plan = plan
        self._report = report
        self._tally = tally
        self._turn = 0
        self._stopped = False
        self._start = 0

    def stop(self) -> None:
        """End the run within a tenth of a second with the results so far; may be called from a signal handler."""
        self._stopped = True

    def go(self) -> Outcome:
        """Run to the plan's bounds, then until the last reply or its time-out."""
        monotonic = monotonic_ns()
        self._start = clock()
        sending_ended = self._ask_on()
        self._wait_for_the_rest()
        tally = self._tally
        return Outcome(
            tally=tally,
            elapsed=max(sending_ended, tally.last_reply) - self._start,
            due=None if self._plan.rate is None else self._due(sending_ended),
            outstanding=self._outstanding(),
            interrupted=self._stopped,
            clock_step=clock() - self._start - (monotonic_ns() - monotonic),
        )

    def _ask_on(self) -> int:
        plan, tally = self._plan, self._tally
        closed = plan.rate is None
        end = NEVER if plan.duration is None else self._start + plan.duration
        look_around = self._start
        progress = self._start + SECOND
        while True:
            now = clock()
            if now >= look_around:
                look_around = now + _LOOK_AROUND
                for client in self._clients:
                    tally.lost += client.outstanding.give_up(now - plan.timeout)
                    if closed:
                        self._refill(client)
            if now >= progress:
                progress += SECOND
                if self._report is not None:
                    self._report(Progress(now - self._start, self._outstanding(), tally))
            wait = min(look_around, end) - now
            if not closed:
                wait = min(wait, self._send_due(min(now, end - 1)))
            if self._stopped or now >= end or tally.sent == plan.count:
                return min(now, end)
            for client in self._poller.ready(wait if closed else wait - _SPIN):
                client.receive(tally)
                if closed:
                    self._refill(client)

    def _refill(self, client: Client) -> None:
        while (room := client.outstanding.room) > 0:
            if not self._ask(client, room, None, 0):
                return

    def _send_due(self, now: int) -> int:
        """Send what is due by now, and give the nanoseconds until the next is."""
        plan, tally = self._plan, self._tally
        interval = SECOND / (plan.rate or 1)
        backlog = min(self._due(now + 1) - tally.sent, _BURST)
        passed_over = 0
        while backlog > 0 and passed_over < len(self._clients):
            client = self._clients[self._turn]
            self._turn = (self._turn + 1) % len(self._clients)
            due = self._start + int(tally.sent * interval)
            late = clock() - due
            sent = self._ask(client, min(backlog, client.outstanding.room), due, int(interval))
            if sent:
                backlog -= sent
                tally.lateness.record(late, sent)
                passed_over = 0
            else:
                passed_over += 1
        return self._start + int(tally.sent * interval) - clock()

    def _due(self, moment: int) -> int:
        """Return how many questions are due before that moment."""
        due = math.ceil((moment - self._start) * (self._plan.rate or 0) / SECOND)
        return due if self._plan.count is None else min(due, self._plan.count)

    def _ask(self, client: Client, wanted: int, due: int | None, interval: int) -> int:
        tally = self._tally
        wanted = min(wanted, len(self._deck) - self.position)
        if self._plan.count is not None:
            wanted = min(wanted, self._plan.count - tally.sent)
        if wanted <= 0:
            return 0
        sent = client.send(tally, self.position, wanted, due, interval)
        self.position = (self.position + sent) % len(self._deck)
        tally.sent += sent
        return sent

    def _wait_for_the_rest(self) -> None:
        while self._outstanding() and not self._stopped:
            for client in self._poller.ready(_LOOK_AROUND):
                client.receive(self._tally)
            for client in self._clients:
                self._tally.lost += client.outstanding.give_up(clock() - self._plan.timeout)

    def _outstanding(self) -> int:
        return sum(client.outstanding.count for client in self._clients)
