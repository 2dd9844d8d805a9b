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
"""Nanoseconds between two looks for time-outs, at which clients with room also get new questions in closed loop."""

_SPIN = 200_000
"""Nanoseconds at the end of each wait in open loop that are spent polling: a wake-up takes up to 0.1 ms, which would
count as the server's."""

_BURST = 256
"""The most questions that are sent in open loop before replies are read again, when the loop is behind."""


class Plan(msgspec.Struct, frozen=True):
    """The rate and the limits of one run. Without `rate` it is in closed loop: as many questions are outstanding as the
    clients have room for. With `rate`, in questions per second, it is in open loop. Sending ends after `duration` or
    after `count` questions, whichever comes first. Times are in nanoseconds.
    """

    timeout: int
    duration: int | None = None
    count: int | None = None
    rate: float | None = None


class Progress(msgspec.Struct, frozen=True):
    """The state of a run in progress: the nanoseconds since its start, and the counts so far."""

    elapsed: int
    outstanding: int
    tally: Tally


class Outcome(msgspec.Struct, frozen=True):
    """The result of a run; times are in nanoseconds. `elapsed` ends when sending ended or, if later, with the last
    reply, so that waiting for lost replies does not lower the rate. `due` is the number of questions that were due in
    open loop, None in closed loop. `clock_step` is how far the clock was set meanwhile, which makes the latencies of
    that moment wrong.
    """

    tally: Tally
    elapsed: int
    due: int | None
    outstanding: int
    interrupted: bool
    clock_step: int


class Run:
    """One run of clients over the deck, from `position` on, counted in `tally`; `report` is called each second."""

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
        """Where the next run goes on, so that the run after a warm-up begins with questions that were not asked yet."""
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
        """Send until a limit of the plan is reached, wait for the last reply or its time-out; return the outcome."""
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
        """Send the questions that are due, and return the nanoseconds until the next one is due."""
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
