"""`compare`: sends the same questions to two servers, and reports each difference with the number of its correction."""

import re
import secrets
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import msgspec
import trio

from dnsserver.app.difference import CORRECTIONS, FLAGS_ALONE, Known, Said, correction, read
from dnsserver.app.questions import Question, of_cluster, of_lines
from dnsserver.app.zone_at_hand import NoZoneError, zone_of
from dnsserver.config import Address, Config
from dnsserver.wire.message import FormatError
from dnsserver.zone.cluster import Cluster

_TRIES = 3
_WAIT = 2.0  # seconds for a reply over UDP
_WAIT_TCP = 5.0
_AGAIN = 0.3  # seconds until both are asked again where they differ: data may have changed between the two questions
_TIMES = 3
_IN_FLIGHT = 64
_OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"  # EDNS: 1232 octets
_MOST_TOLD = 1000  # differences
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?P<host>\[[^\]]*\]|[^/:]+)(?::[0-9]*)?(?:/.*)?")


class CompareError(Exception):
    """There is nothing to compare; the text says why."""


class Result(msgspec.Struct):
    """How many questions were asked, what was explained by which number, and what was not."""

    asked: int = 0
    explained: Counter[int] = msgspec.field(default_factory=Counter)
    varying: int = 0
    unexplained: int = 0
    told: int = 0


def run(
    config: Config,
    server: Address,
    other: Address,
    listed: Iterable[Question],
    rate: float,
    tell: Callable[[str], None],
) -> Result:
    """Ask both servers for every name of the cluster and the listed ones; `rate` is questions a second to each.

    `tell` is given a line for each difference. Raises CompareError if the cluster cannot be read, or nobody answers.
    """
    return trio.run(_run, config, server, other, tuple(listed), rate, tell)


async def _run(
    config: Config,
    server: Address,
    other: Address,
    listed: tuple[Question, ...],
    rate: float,
    tell: Callable[[str], None],
) -> Result:
    cluster = await _cluster(config)
    questions = [*of_cluster(cluster.index, config.domain.wire, pods=config.pods != "disabled"), *listed]
    questions = list(dict.fromkeys(questions))
    known = Known(config.domain.wire, {question.name for question in questions}, config.pods == "verified")
    for address in (server, other):
        await _see_whether_there(address, questions[0], config.admin)
    result = Result()
    limit = trio.CapacityLimiter(_IN_FLIGHT)
    async with _asking(server) as ours, _asking(other) as theirs, trio.open_nursery() as nursery:
        started = trio.current_time()
        for number, question in enumerate(questions):
            await trio.sleep_until(started + number / rate)
            await limit.acquire_on_behalf_of(question)

            async def compare(question: Question = question) -> None:
                try:
                    await _compare(question, ours, theirs, known, result, tell)
                finally:
                    limit.release_on_behalf_of(question)

            nursery.start_soon(compare)
    return result


async def _cluster(config: Config) -> Cluster:
    """Return the zone, made of the objects that its source has now."""
    try:
        return await zone_of(config)
    except NoZoneError as error:
        raise CompareError(str(error)) from error


async def _see_whether_there(address: Address, question: Question, admin: Address) -> None:
    """Raise CompareError if there is no answer: otherwise every question would time out, for hours in total."""
    hint = "; this is the port of admin HTTP: give the address of DNS" if address.port == admin.port else ""
    try:
        async with _asking(address) as asking:
            said = await asking.ask(question)
    except OSError as error:
        raise CompareError(f"{address} cannot be asked: {error.strerror}{hint}") from error
    if said.rcode is None:
        raise CompareError(f"{address}: no answer over UDP after {_TRIES} questions{hint}")


async def _compare(
    question: Question, ours: "_Asking", theirs: "_Asking", known: Known, result: Result, tell: Callable[[str], None]
) -> None:
    """Ask both servers, again if they differ without a reason, and count the result."""
    result.asked += 1
    number: int | None = None
    said: list[tuple[Said, Said]] = []
    for turn in range(_TIMES):
        if turn:
            await trio.sleep(_AGAIN)
        said.append((await ours.ask(question), await theirs.ask(question)))
        number = correction(question, *said[-1], known)
        if number is not None:
            break
    if number == 0:
        return
    mine, other = said[-1]
    if number is not None:
        result.explained[number] += 1
    elif _varies(said):
        result.varying += 1
    else:
        result.unexplained += 1
    if number == FLAGS_ALONE:  # of nearly every name, where RA is what they differ in: counted, not told
        return
    result.told += 1
    if result.told <= _MOST_TOLD:
        why = f"correction {number}" if number is not None else "varies" if _varies(said) else "unexplained"
        tell(f"{question}: {why}: ours {mine}, theirs {other}")


def _varies(said: list[tuple[Said, Said]]) -> bool:
    """Tell whether the other server itself gives a different answer each time, as upstreams with many addresses do."""
    first = said[0][1]
    return all(a.rcode == b.rcode == first.rcode and bool(a.answer) == bool(b.answer) for a, b in said) and any(
        b.answer != first.answer for _, b in said[1:]
    )


class _Asking:
    """One server, asked over one UDP socket, and over TCP where a reply does not fit."""

    def __init__(self, address: Address, sock: trio.socket.SocketType) -> None:
        self._address = address
        self._socket = sock
        self._waiting: dict[int, tuple[Question, trio.MemorySendChannel[Said | None]]] = {}

    async def receive(self) -> None:
        """Hand each reply to the task that waits for it, until cancelled."""
        while True:
            try:
                packet = await self._socket.recv(65_535)
            except OSError:  # nobody listens there: each question finds out by itself
                await trio.sleep(0.01)
                continue
            waiting = self._waiting.get(int.from_bytes(packet[:2], "big"))
            if waiting is None:
                continue
            question, channel = waiting
            try:
                channel.send_nowait(read(packet, question))
            except (FormatError, trio.WouldBlock):
                continue

    async def ask(self, question: Question) -> Said:
        """Return what the server says."""
        for _ in range(_TRIES):
            number = secrets.randbits(16)
            while number in self._waiting:
                number = secrets.randbits(16)
            send, receive = trio.open_memory_channel[Said | None](1)
            self._waiting[number] = question, send
            try:
                with trio.move_on_after(_WAIT):
                    try:
                        await self._socket.send(_packet(number, question))
                    except OSError:
                        await trio.sleep(_WAIT)
                        continue
                    said = await receive.receive()
                    return said if said is not None else await self._over_tcp(question)
            finally:
                del self._waiting[number]
        return Said(None)

    async def _over_tcp(self, question: Question) -> Said:
        packet = _packet(secrets.randbits(16), question)
        with trio.move_on_after(_WAIT_TCP):
            try:
                async with await trio.open_tcp_stream(self._address.host, self._address.port) as stream:
                    await stream.send_all(struct.pack("!H", len(packet)) + packet)
                    data = b""
                    while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
                        more = await stream.receive_some()
                        if not more:
                            return Said(None)
                        data += more
                    return read(data[2:], question) or Said(None)
            except (OSError, FormatError):
                return Said(None)
        return Said(None)


@asynccontextmanager
async def _asking(address: Address) -> AsyncIterator[_Asking]:
    family = trio.socket.AF_INET6 if ":" in address.host else trio.socket.AF_INET
    with trio.socket.socket(family, trio.socket.SOCK_DGRAM) as sock:
        await sock.connect((address.host, address.port))
        asking = _Asking(address, sock)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asking.receive)
            yield asking
            nursery.cancel_scope.cancel()


def _packet(number: int, question: Question) -> bytes:
    header = struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 1)
    return header + question.name + struct.pack("!HH", question.type, 1) + _OPT


def summary(result: Result) -> list[str]:
    """Return the lines of the summary."""
    lines = [f"{result.asked} questions"]
    for number, count in sorted(result.explained.items()):
        lines.append(f"{count} by correction {number}: {CORRECTIONS[number]}")
    if result.varying:
        lines.append(f"{result.varying} to which the other server gives a different answer each time")
    lines.append(f"{result.unexplained} unexplained")
    return lines


def reachable(config: Config, given: str | None) -> Address:
    """Return the address of our own server: the given one, or the first of `listen`; raises ValueError."""
    if given is not None:
        return address(given)
    first = config.listen[0]
    if first.host in {"0.0.0.0", "::"}:
        return Address("127.0.0.1" if first.host == "0.0.0.0" else "::1", first.port)
    return first


def address(text: str) -> Address:
    """Read ADDR or ADDR:PORT, IPv6 in brackets where a port follows; raises ValueError that says what was expected."""
    url = _URL.fullmatch(text)
    if url is not None:
        host = url["host"]
        raise ValueError(f'found "{text}", a URL; expected the address of DNS, not of admin HTTP, as in "{host}:53"')
    for form in (text, f"[{text}]:53" if ":" in text else f"{text}:53"):
        try:
            return Address.parse(form)
        except ValueError:
            continue
    raise ValueError(f'found "{text}", expected an address of DNS, as in "10.96.0.10" or "[fd00::10]:53"')


__all__ = ["CompareError", "Result", "address", "of_lines", "reachable", "run", "summary"]
