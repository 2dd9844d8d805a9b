"""Which questions glibc, musl and Go ask for a name, in order, and how they read the answers.

Each is a generator: it gives what it asks, A and AAAA together, is sent what was said to that, and returns its End.
Sources: glibc 2.36 `resolv/res_query.c` and `res_send.c`, musl 1.2.3 `src/network/lookup_name.c` and `res_msend.c`,
Go 1.26 `src/net/dnsclient_unix.go`. `tests/e2e/test_explain_resolvers.py` sees what all three really ask.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Literal

import msgspec

from dnsserver.explain.client import Client
from dnsserver.wire.message import AAAA, NOERROR, NXDOMAIN, SERVFAIL, A, FormatError
from dnsserver.wire.name import ROOT, from_text

_ADDRESSES = (A, AAAA)


class Ask(msgspec.Struct, frozen=True):
    """A name as it is asked, with each of these types, and why just that."""

    name: bytes
    types: tuple[int, ...]
    why: str


class Said(msgspec.Struct, frozen=True):
    """What was said to one of the types: the rcode, None for no reply, and whether there were records of the type."""

    rcode: int | None
    found: bool = False


Ending = Literal["found", "no-data", "not-found", "failed"]


class End(msgspec.Struct, frozen=True):
    """How it ended, and in a few words why there."""

    ending: Ending
    why: str = ""


Walk = Generator[Ask, Sequence[Said], End]
Resolver = Callable[[str, Client, tuple[int, ...]], Walk]


def _dots(number: int) -> str:
    return f"{number} dot{'' if number == 1 else 's'}"


def glibc(name: str, client: Client, types: tuple[int, ...]) -> Walk:
    """Ask as glibc does: getaddrinfo for addresses, res_search for all other types."""
    if "no-aaaa" in client.options and AAAA in types:
        types = tuple(qtype for qtype in types if qtype != AAAA)
        if not types:
            return End("no-data", "the option no-aaaa leaves out AAAA")
    dots, rooted = name.count("."), name.endswith(".")
    in_turn = "single-request" in client.options or "single-request-reopen" in client.options
    first: End | None = None
    if rooted or dots >= client.ndots:
        why = "it ends with a dot" if rooted else f"it has {_dots(dots)}, and ndots is {client.ndots}: first as it is"
        first = yield from _glibc_asks(name, types, why, in_turn=in_turn)
        if first.ending == "found" or rooted:
            return first
    ended: list[End] = []
    for domain in client.search:
        ended.append((yield from _glibc_asks(_joined(name, domain), types, f"search domain {domain}", in_turn=in_turn)))
        if ended[-1].ending == "found":
            return ended[-1]
        if ended[-1].why == _GIVES_UP:
            break
    is_asked = first is not None or "." in client.search[: len(ended)]
    if not is_asked and not (not dots and ended and "no-tld-query" in client.options):
        last = yield from _glibc_asks(
            name, types, "as it is, after the search list" if ended else "as it is", in_turn=in_turn
        )
        if last.ending == "found":
            return last
        ended.append(last)
    if first is not None:
        return first
    in_list = {each.ending for each in ended[: len(client.search)] if each.why != _GIVES_UP}
    if "no-data" in in_list:
        return End("no-data")
    return End("failed") if "failed" in in_list else ended[-1]


_GIVES_UP = "the search ends at this kind of failure"


def _glibc_asks(name: str, types: tuple[int, ...], why: str, *, in_turn: bool) -> Walk:
    """Ask for one name, the types in turn or at once, and return the result."""
    wire = _wire(name)
    if wire is None:
        return End("failed", _GIVES_UP)
    said: Sequence[Said] = ()
    if in_turn:
        for qtype in types:
            said = (*said, *(yield Ask(wire, (qtype,), why)))
            if said[-1].rcode not in {NOERROR, NXDOMAIN}:
                break
    else:
        said = yield Ask(wire, types, why)
    if any(each.found for each in said):
        return End("found")
    rcodes = [each.rcode for each in said]
    if NXDOMAIN in rcodes:
        return End("not-found")
    if NOERROR in rcodes:
        return End("no-data")
    # It has asked all nameservers as often as `attempts` says by then. Only SERVFAIL has it try the next domain.
    return End("failed") if SERVFAIL in rcodes else End("failed", _GIVES_UP)


def musl(name: str, client: Client, types: tuple[int, ...]) -> Walk:
    """Ask as musl does, which is in Alpine's images."""
    dots, rooted = name.count("."), name.endswith(".")
    addresses = all(qtype in _ADDRESSES for qtype in types)
    if addresses and not rooted and dots < client.ndots and client.musl_searches:
        for domain in client.search:
            if domain == ".":
                return End(
                    "failed", "musl 1.2.3 asks a malformed question for the search domain `.`, and gets no reply"
                )
            wire = _wire(_joined(name, domain))
            if wire is None:
                continue
            ended = _musl_makes((yield Ask(wire, types, f"search domain {domain}")))
            if ended.ending != "not-found":
                return ended
    wire = _wire(name)
    if wire is None:
        return End("not-found", "it is too long")
    unsearched = ""
    if rooted:
        why = "it ends with a dot"
    elif not addresses:
        why, unsearched = "as it is", "musl uses the search list only for addresses"
    elif dots >= client.ndots:
        why = f"it has {_dots(dots)}, and ndots is {client.ndots}: only as it is"
        unsearched = "musl uses the search list only for names with fewer dots than ndots"
    else:
        why = "as it is, after the search list" if client.search and client.musl_searches else "as it is"
    ended = _musl_makes((yield Ask(wire, types, why)))
    return ended if ended.ending == "found" or ended.why else End(ended.ending, unsearched)


def _musl_makes(said: Sequence[Said]) -> End:
    """Return the result that musl makes of the answers for one name: the first failure decides."""
    for each in said:
        if each.rcode == NXDOMAIN:
            return End("not-found")
        if each.rcode != NOERROR:  # it waits for another reply than REFUSED or NOTIMP until its time is up
            return End("failed", "if one family fails, musl counts the whole lookup as failed, and ends the search")
    if any(each.found for each in said):
        return End("found")
    return End("no-data", "the name exists but has no addresses, and musl ends the search there")


def go(name: str, client: Client, types: tuple[int, ...]) -> Walk:
    """Ask as Go's own resolver does, which programs without cgo have."""
    dots, rooted = name.count("."), name.endswith(".")
    first = rooted or dots >= client.ndots
    listed: list[tuple[str, str]] = []
    if first:
        why = "it ends with a dot" if rooted else f"it has {_dots(dots)}, and ndots is {client.ndots}: first as it is"
        listed.append((name, why))
    if not rooted:
        listed += [(_joined(name, domain), f"search domain {domain}") for domain in client.search if domain != "."]
    if not first:
        listed.append((name, "as it is, after the search list" if client.search else "as it is"))
    ended: End | None = None
    for candidate, why in listed:
        wire = _wire(candidate)
        if wire is None:
            continue
        said = yield Ask(wire, types, why)
        if any(each.found for each in said):
            return End("found")
        rcodes = {each.rcode for each in said}
        if ended is None or candidate == name:
            ended = End("not-found" if NXDOMAIN in rcodes else "no-data" if rcodes == {NOERROR} else "failed")
    return ended or End("not-found", "it is too long")


RESOLVERS: dict[str, Resolver] = {"glibc": glibc, "musl": musl, "go": go}


def _joined(name: str, domain: str) -> str:
    return f"{name}." if domain == "." else f"{name}.{domain}."


def _wire(name: str) -> bytes | None:
    """Return a name in lower case; None if it cannot be asked: it, or one of its labels, is too long or empty."""
    try:
        wire = from_text(name if name.endswith(".") else f"{name}.").lower()
    except FormatError:
        return None
    return None if wire == ROOT else wire
