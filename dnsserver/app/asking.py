"""Asks this server's own chain and upstreams one question like a client, and collects all about the answer.

Such a question counts for no client, reply or cache, no reply is kept for it, and no limit of a client applies to it.
If upstreams have to be asked, they are really asked: that is counted, and their answer is kept.
"""

import struct
from collections.abc import Callable, Iterator

import msgspec
import trio

from dnsserver.app.alteration import recursion
from dnsserver.app.dns_service import DnsService
from dnsserver.config import Config
from dnsserver.explain.origins import about, sources
from dnsserver.explain.report import Answered, RecordText, Source, answered
from dnsserver.forward.forwarder import Forwarder
from dnsserver.forward.outcome import Asker, Outcome, Question, Waiter
from dnsserver.resolver.chain import Chain
from dnsserver.resolver.hosts import read_line
from dnsserver.resolver.reply_cache import ReplyCache
from dnsserver.server.families import WithoutIPv6
from dnsserver.server.observer import Noted, Observer
from dnsserver.server.reply import Outside
from dnsserver.server.respond import Responder
from dnsserver.wire import message as m
from dnsserver.wire.extended_errors import read_errors
from dnsserver.wire.message import FormatError, type_name
from dnsserver.wire.name import is_below, to_text
from dnsserver.wire.presentation import answer_records, rdata_text
from dnsserver.zone.record import Answer, Reason

_PATIENCE = 15.0  # seconds for one question: the deadline of upstreams, along a chain of names
_SEARCHED = 1 << 20  # octets of a hosts file that is looked through for the line: a millisecond
_REPLIES = 1 << 20  # octets of a cache that nothing stays in
_HEADER = struct.Struct("!HHHHHH")
_OPT = struct.Struct("!BHHIH")


class _Step(msgspec.Struct, frozen=True):
    """A question to the outside that was needed, and its outcome; `seconds` is None for a cached outcome."""

    question: Question
    outcome: Outcome
    seconds: float | None


class _Watched:
    """The outside, without counting, and with a record of each step."""

    def __init__(self, forwarder: Forwarder, clock: Callable[[], float]) -> None:
        self._forwarder = forwarder
        self._clock = clock
        self.cork, self.uncork = forwarder.cork, forwarder.uncork
        self.steps: list[_Step] = []
        self.waits = False

    def answer_now(self, question: Question, now: float) -> Outcome | None:
        outcome = self._forwarder.answer_now(question, now, counts=False)
        if outcome is not None:
            self.steps.append(_Step(question, outcome, None))
        return outcome

    def start(self, question: Question, waiter: Waiter, now: float, packet: bytes = b"") -> None:
        del packet  # it came from nobody
        self.waits = True

        def note(outcome: Outcome) -> None:
            self.steps.append(_Step(question, outcome, self._clock() - now))

        self._forwarder.start(question, _Noting(waiter, note), now)

    def record_hits(self, question: Question, hits: int = 1) -> None:
        """Count nothing."""


class _Noting(msgspec.Struct, gc=False, eq=False):
    """A receiver of an outcome that also records it."""

    waiter: Waiter
    note: Callable[[Outcome], None]

    def deliver(self, outcome: Outcome) -> None:
        self.note(outcome)
        self.waiter.deliver(outcome)

    def asker(self) -> Asker:
        return self.waiter.asker()

    def give_up(self) -> None:
        self.waiter.give_up()


class _Port:
    """The port of the one packet, as over TCP: its sender, and the receiver of its reply."""

    stream = True
    waited = 0.0

    def __init__(self, replies: ReplyCache) -> None:
        self.table = replies.add_table("tcp", "ipv4")
        self.reply = b""
        self.answered = trio.Event()

    def begin_deferred(self, index: int) -> int:
        return index

    def peer_address(self, index: int) -> bytes:
        del index
        return b""

    def sender(self, index: int) -> int:
        return index

    def endpoint(self, sender: int) -> tuple[bytes, int]:
        return b"", sender

    def asker(self, client: int, identifier: bytes) -> Asker:
        del client, identifier
        return b"", None

    def send(self, wire: bytes, client: int) -> None:
        del client
        self.reply = wire
        self.answered.set()


class Asking:
    """Asks one server; `place` says where a key of its configuration is written, `stale` why its zone is too old."""

    def __init__(
        self,
        dns: DnsService,
        config: Config,
        clock: Callable[[], float],
        place: Callable[[str], str],
        stale: Callable[[], Reason | None],
    ) -> None:
        """Ask nothing yet."""
        self._dns = dns
        self._config = config
        self._clock = clock
        self._place = place
        self._stale = stale

    async def ask(self, name: bytes, qtype: int, *, elsewhere: bool = False) -> Answered:
        """Return what a client gets for a lower-case name; with `elsewhere`, ask only the upstreams."""
        dns, config = self._dns, self._config
        chain = Chain([]) if elsewhere else dns.chain
        watched = _Watched(dns.forwarder, self._clock)
        outside: Outside = watched if config.ipv6 == "on" or elsewhere else WithoutIPv6(watched)
        observer = Observer(self._clock)
        observer.everything = True
        replies = ReplyCache(_REPLIES)
        responder = Responder(
            chain,
            outside,
            replies,
            self._clock,
            udp_limit=config.udp.size,
            recursion=recursion(config),
            faults=dns.faults,
            observer=observer,
        )
        responder.mark_stale(self._stale())
        answer = None if elsewhere else dns.chain.answer(name, qtype)
        here = () if answer is None else tuple(self._here(name, qtype, answer))
        port = _Port(replies)
        reply = responder.respond(_packet(name, qtype, config.udp.size), port, 0)
        if reply is None and watched.waits:
            with trio.move_on_after(_PATIENCE):
                await port.answered.wait()
            reply = port.reply or None
        noted = observer.noted or next((row[4] for row in observer.take()), None)
        whose = about(() if answer is None else answer.depends or ())
        return _read(name, qtype, reply, noted, (*here, *self._outside(watched.steps)), whose)

    def _here(self, name: bytes, qtype: int, answer: Answer) -> Iterator[Source]:
        """Yield the sources of this server itself that decide the answer for a name."""
        dns, rules = self._dns, self._dns.chain.rules
        keys = [] if rules is None or not rules.concerns(name) else rules.origin(name, qtype)
        for key in keys:
            yield self._of_rule(key, name)
        code = answer.reason.code
        if code in {"special-use-name", "local-domain"}:
            yield Source("special", "a name that is never forwarded")
        file = dns.zone_file(name)
        if file is not None and not keys:
            yield Source("zone file", f"zone file {file}", place=file)
        if code.startswith(("rule-", "hosts")):
            return
        cluster = [key for key in answer.depends or () if not (isinstance(key, tuple) and len(key) == 3)]
        found = tuple(sources(dns.cluster.index, cluster))
        yield from found
        if not found and answer.follow is None and file is None and is_below(name, self._config.domain.wire):
            yield Source("cluster", "the cluster's domain itself")
        if answer.search:
            yield Source("cluster", "completed here: [search] walks the rest of the pod's search list")

    def _of_rule(self, key: str, name: bytes) -> Source:
        """Return a setting as a source; for a table of hosts, with the file and its line."""
        kind, _, number = key.removesuffix("]").partition("[")
        text = f"[[{kind}]] number {int(number) + 1}"
        if kind == "hosts":
            file = self._config.hosts[int(number)].file
            line = None if file is None else _line_of(name, self._dns.texts.get(str(file), ""))
            text += f", file {file}{'' if line is None else f' line {line}'}" if file is not None else ""
        return Source("rule", text, place=self._place(key))

    def _outside(self, steps: list[_Step]) -> Iterator[Source]:
        """Yield the answers of the outside, as sources."""
        now = self._clock()
        for step in steps:
            outcome = step.outcome
            what = f"{to_text(step.question.name)} {type_name(step.question.type)}"
            age = max(0.0, now - outcome.stored)
            if step.seconds is not None:
                failed = outcome.reason.code if not outcome.upstream else ""
                yield Source(
                    "upstream",
                    f"{what} asked upstream now{f': {failed}' if failed else ''}",
                    upstream=outcome.upstream,
                    seconds=step.seconds,
                )
            elif outcome.reason.code == "failure-cached":
                yield Source("failure", f"{what} failed a short time ago, and is not asked again yet", age=age)
            elif outcome.reason.code == "stale":
                yield Source("cache", f"{what} from the cache, expired: no upstream answers", upstream=outcome.upstream)
            elif outcome.upstream:
                yield Source("cache", f"{what} from the cache", upstream=outcome.upstream, age=age)
            else:
                yield Source("failure", f"{what}: {outcome.reason.code}")


def _packet(name: bytes, qtype: int, size: int) -> bytes:
    """Return a query with EDNS, so that the reply says why."""
    question = name + struct.pack("!HH", qtype, m.CLASS_IN)
    return _HEADER.pack(0, m.RD, 1, 0, 0, 1) + question + _OPT.pack(0, m.OPT, size, 0, 0)


def _read(
    name: bytes,
    qtype: int,
    reply: bytes | None,
    noted: Noted | None,
    found: tuple[Source, ...],
    whose: tuple[str, str],
) -> Answered:
    """Return the content of a reply; None is no reply. `whose` are the namespace and the service that it is about."""
    text, type_ = to_text(name), type_name(qtype)
    reason = Reason("") if noted is None else noted.reason
    code = reason.code if noted is None else noted.labels[2]
    if reply is None:
        return answered(
            text, type_, None, (), found=False, code=code, text=reason.text, errors=(), sources=found, octets=0
        )
    try:
        records, position = answer_records(reply)
    except FormatError:  # as no reply of ours is
        records, position = [], m.HEADER_SIZE
    shown = tuple(
        RecordText(to_text(each.owner), type_name(each.type), each.ttl, rdata_text(each.type, each.uncompressed))
        for each in records
    )
    return answered(
        text,
        type_,
        reply[3] & 0x0F,
        shown,
        found=not reply[3] & 0x0F and any(each.type == qtype for each in records),
        code=code,
        text=reason.text,
        errors=read_errors(reply, position),
        sources=found,
        octets=len(reply),
        about=whose,
    )


def _line_of(name: bytes, text: str) -> int | None:
    """Return the line of a hosts file that has a name; None if it is not found quickly, as for reverse names."""
    if len(text) > _SEARCHED:
        return None
    wanted, lower = to_text(name).removesuffix("."), text.lower()
    position = lower.find(wanted)
    while position >= 0:
        begin, end = text.rfind("\n", 0, position) + 1, text.find("\n", position)
        try:
            if name in read_line(text[begin : end if end >= 0 else len(text)])[1]:
                return text.count("\n", 0, position) + 1
        except FormatError:
            pass
        position = lower.find(wanted, position + 1)
    return None
