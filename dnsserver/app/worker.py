"""A further process that answers: `python -m dnsserver.app.worker`, started by the first one and fed through its pipe.

It has the same zone, caches and sockets; the kernel spreads the clients over the processes (SO_REUSEPORT). It lives as
long as its pipe: when the first process has gone, it ends.
"""

import os
import signal
import sys
from collections.abc import AsyncIterator

import structlog
import trio

from dnsserver.app import feed
from dnsserver.app.answering import Answering
from dnsserver.app.clock import SystemClock, now
from dnsserver.app.figures import Lag, process
from dnsserver.app.garbage import collect_seldom, spare_zone
from dnsserver.app.keeper import Keeper
from dnsserver.config import Config
from dnsserver.log import configure_logging

log = structlog.get_logger("dnsserver.worker")

_REPORT_EVERY = 0.5  # seconds


class Worker:
    """One worker, from the first frame to the last."""

    def __init__(self, config: Config) -> None:
        """Build what answers."""
        self._answering = Answering(config, now)
        self._keeper = Keeper(self._answering.cluster, self._answering.replies, self._answering.faults)
        self._lag = Lag()

    async def run(self, frames: AsyncIterator[feed.Frame], up: trio.abc.SendStream) -> None:
        """Answer until the frames end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keeper.expire)
            nursery.start_soon(self._answering.faults.keep, "metrics", self._lag.watch)
            listening = False
            async for frame in frames:
                self._take(frame)
                # Clients come only once the zone is here: before that, the other processes answer them.
                if not listening and not self._answering.cluster.missing:
                    listening = True
                    spare_zone()
                    self._answering.listen(reuse_port=True)
                    await nursery.start(self._answering.run)
                    nursery.start_soon(self._report, up)
            nursery.cancel_scope.cancel()

    def _take(self, frame: feed.Frame) -> None:
        match frame:
            case feed.Stale(reason=reason):
                self._answering.mark_stale(reason)
            case feed.Flush(name=name, below=below):
                self._answering.flush(name, below)
            case feed.Settings() | feed.Figures():
                log.error("unexpected frame", kind=type(frame).__name__)
            case event:
                self._keeper.apply(event)

    async def _report(self, up: trio.abc.SendStream) -> None:
        while True:
            await up.send_all(feed.encode(feed.Figures(process(self._answering, self._lag))))
            await trio.sleep(_REPORT_EVERY)


async def main() -> None:
    """Run on the pipes that the first process made of standard input and output."""
    down = trio.lowlevel.FdStream(os.dup(sys.stdin.fileno()))
    up = trio.lowlevel.FdStream(os.dup(sys.stdout.fileno()))
    frames = feed.frames(down)
    async for first in frames:
        assert isinstance(first, feed.Settings)  # what the first process sends first
        configure_logging(first.config.log.level, first.config.log.format)
        await Worker(first.config).run(frames, up)
        return


if __name__ == "__main__":
    # Ctrl-C and SIGTERM are for the first process, which drains and then closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    collect_seldom()
    trio.run(main, clock=SystemClock())
