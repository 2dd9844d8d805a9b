"""The findings about a name, as values: `explain --json` prints them, and `text` shows them to people."""

from collections.abc import Iterable

import msgspec

from dnsserver.advice import advice, meaning
from dnsserver.explain.client import Client
from dnsserver.wire.extended_errors import ExtendedError
from dnsserver.wire.message import EDE, rcode_name

NO_REPLY = "no reply"
_NO_EDNS = 512  # octets of a reply over UDP to who sends no EDNS


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an answer, or a part of it, came from; `text` is for people.

    `kind` is one of cluster, rule, zone file, special, cache, upstream, failure, assumed. `age` is how many seconds ago
    an upstream said it, `seconds` how long that took.
    """

    kind: str
    text: str
    object: str = ""
    place: str = ""
    upstream: str = ""
    age: float | None = None
    seconds: float | None = None


class ToldError(msgspec.Struct, frozen=True):
    """An extended DNS error, as a client with EDNS gets it (RFC 8914)."""

    code: int
    name: str
    text: str


class RecordText(msgspec.Struct, frozen=True):
    """A record of an answer, as master files have it."""

    name: str
    type: str
    ttl: int
    data: str


class Answered(msgspec.Struct, frozen=True):
    """A question and all that is known of its answer. `rcode` is a mnemonic, or "no reply"."""

    name: str
    type: str
    rcode: str
    records: tuple[RecordText, ...] = ()
    found: bool = False
    reason: str = ""
    meaning: str = ""
    advice: str = ""
    text: str = ""
    errors: tuple[ToldError, ...] = ()
    sources: tuple[Source, ...] = ()
    octets: int = 0


class Asked(msgspec.Struct, frozen=True):
    """A name that a resolver asked, the types, why just that, and whether it brought what was wanted."""

    name: str
    types: tuple[str, ...]
    why: str
    found: bool


class Way(msgspec.Struct, frozen=True):
    """What one resolver does: all that it asks, in order, and how that ends."""

    resolver: str
    asks: tuple[Asked, ...]
    ending: str
    why: str = ""

    @property
    def found(self) -> bool:
        """Whether it finds the name."""
        return self.ending == "found"


class Explanation(msgspec.Struct, frozen=True):
    """The whole: whose question it is, what each resolver asks, what each question is answered, and the verdict.

    `tells` are name and type of the question whose answer tells most about a name that does not resolve.
    """

    name: str
    types: tuple[str, ...]
    client: Client
    ndots: int
    ways: tuple[Way, ...]
    questions: tuple[Answered, ...]
    nearest: tuple[str, ...]
    notes: tuple[str, ...]
    tells: tuple[str, str] | None
    resolves: bool
    verdict: str


def answered(
    name: str,
    type_: str,
    rcode: int | None,
    records: tuple[RecordText, ...],
    *,
    found: bool,
    code: str,
    text: str,
    errors: tuple[ExtendedError, ...],
    sources: tuple[Source, ...],
    octets: int,
    about: tuple[str, str] = ("", ""),
) -> Answered:
    """Return the description of one answer; `code` is that of its reason.

    `about` are the namespace and the service that the answer is about, where they are known.
    """
    fails = not found
    return Answered(
        name,
        type_,
        NO_REPLY if rcode is None else rcode_name(rcode),
        records,
        found,
        code,
        meaning(code) if fails else "",
        advice(code, *about) if fails else "",
        text if fails else "",
        tuple(ToldError(number, _error_name(number), said) for number, said in errors),
        sources,
        octets,
    )


def _error_name(number: int) -> str:
    try:
        return EDE(number).name.replace("_", " ").title()
    except ValueError:
        return ""


# What a search list makes of a name is hardly ever what was meant.
_UNMEANT = ("special-use-name", "not-a-cluster-name", "namespace-missing", "too-many-labels", "service-missing")
_OF_ALIASES = ("cname-loop", "cname-chain-too-long", "chain-too-long")  # reasons that are about all of them


def telling(questions: tuple[Answered, ...], name: str, meant: str = "", lost: str = "") -> Answered | None:
    """Return the answer that best explains why a name does not resolve; None if there is no such answer.

    `meant` is the question that was probably meant. `lost` is the question whose object was there a short time ago: it
    was meant without doubt, and so was a question that leads to a Service of the cluster.
    """
    failing = [each for each in questions if not each.found]
    as_it_is = f"{name.lower().removesuffix('.')}."
    has_dots = "." in as_it_is[:-1]
    is_outside = has_dots and not as_it_is.endswith(".svc.")

    def rank(answer: Answered) -> int:
        if answer.name == lost or any(source.object.startswith("Service ") for source in answer.sources):
            return -1
        if answer.rcode not in {"NOERROR", "NXDOMAIN"}:
            # It is not known whether it is there; but nobody means a name of one label outside.
            return 5 if answer.name == as_it_is and not has_dots else 0
        if answer.reason not in {*_UNMEANT, "forwarded"}:
            return 1 if answer.rcode == "NXDOMAIN" else 2
        if meant:
            return 3 if answer.name == meant else 4
        return 3 if is_outside and answer.name == as_it_is else 4

    return min(failing, key=rank, default=None)


def why_not(answer: Answered) -> str:
    """Return the reason of a failure in words."""
    if answer.reason == "forwarded":
        return "the upstream says that there is no such name"
    if answer.reason == "forwarded-no-data":
        return f"the upstream says that the name exists, but has no {answer.type}"
    return answer.text or answer.meaning or answer.rcode


def notes(client: Client, ways: tuple[Way, ...], questions: tuple[Answered, ...]) -> tuple[str, ...]:
    """Return what else is worth saying: what the search list costs, and where resolvers differ."""
    told = list(client.notes)
    way = ways[0]
    wasted = sum(len(ask.types) for ask in way.asks if not ask.found)
    if way.found and wasted:
        last = way.asks[-1]
        told.append(
            f"because of the search list, {wasted} question{'s' if wasted > 1 else ''} went before the right one:"
            f" {last.name}, with the dot at the end, takes {len(last.types)}"
        )
    elif not way.found and len(way.asks) > 1:
        total = sum(len(ask.types) for ask in way.asks)
        told.append(f"the search list turns the name into {total} questions")
    told += _differences(ways)
    by_place = {(each.name, each.type): each for each in questions}
    large = [
        each
        for ask in way.asks
        for type_ in ask.types
        if (each := by_place.get((ask.name, type_))) is not None and each.octets > _NO_EDNS
    ]
    if large and not any(option in client.options for option in ("edns0", "use-vc")):
        told.append(
            f"the answer for {large[0].name} {large[0].type} has {large[0].octets} octets: over UDP, without EDNS,"
            f" {_NO_EDNS} fit, so that the resolver asks again over TCP; musl before 1.2.4 takes what fits"
        )
    return tuple(told)


def _differences(ways: tuple[Way, ...]) -> list[str]:
    """Return sentences about resolvers whose result differs from that of the first one."""
    first = ways[0]
    return [
        f"{shown(way.resolver)} {'finds it' if way.found else 'does not find it'}, {shown(first.resolver)}"
        f" {'does' if first.found else 'does not'}{': ' if way.why else ''}{way.why}"
        for way in ways[1:]
        if way.found != first.found
    ]


def verdict(
    name: str,
    client: Client,
    ways: tuple[Way, ...],
    questions: tuple[Answered, ...],
    nearest: tuple[str, ...] = (),
    why: Answered | None = None,
) -> tuple[bool, str]:
    """Return whether the name resolves for this client, and the sentence that says so; `why` is what tells most."""
    by_place = {(each.name, each.type): each for each in questions}
    found = [way for way in ways if way.found]
    if own := _of_hosts(name, client, {each.type for each in questions}):
        return True, f"{name} resolves to {own}: the client's own /etc/hosts has it, and no question is asked"
    if len(found) == len(ways):
        last = ways[0].asks[-1]
        return True, f"{name} resolves{_as(name, last.name)} to {_records(by_place, last)}"
    because = "" if why is None else f": {why.name} {why.type}: {_alias(why)}{why_not(why)}"
    if client.here == "no":
        because += "; this client asks the node's nameservers, not the cluster's DNS"
    if found:
        last = found[0].asks[-1]
        good, bad = listed(found), listed(way for way in ways if not way.found)
        ways_why = next((way.why for way in ways if not way.found and way.why), "")
        return False, (
            f"{name} resolves with {good}{_as(name, last.name)} to {_records(by_place, last)}, but not with {bad}"
            f"{': ' if ways_why else ''}{ways_why}"
        )
    hint = f". Did you mean {nearest[0]}?" if nearest else ""
    return False, f"{name} does not resolve{because}{hint}"


def _of_hosts(name: str, client: Client, types: set[str]) -> str:
    """Return the addresses that the client's /etc/hosts has for these types.

    One is enough where both families are wanted: resolvers ask nothing then. For other types they do not look there.
    """
    found = (address for owner, address in client.hosts if owner.lower() == name.lower().removesuffix("."))
    return ", ".join(address for address in found if ("AAAA" if ":" in address else "A") in types)


def _alias(answer: Answered) -> str:
    """Return what a name is an alias of, where the reason is about that other name; otherwise ""."""
    aliases = [record.data for record in answer.records if record.type == "CNAME"]
    return f"it is an alias of {aliases[-1]}: " if aliases and answer.reason not in _OF_ALIASES else ""


def shown(resolver: str) -> str:
    """Return what a resolver is called."""
    return resolver.replace("go", "Go")


def listed(ways: Iterable[Way]) -> str:
    """Return the resolvers in a sentence."""
    *others, last = [shown(way.resolver) for way in ways]
    return f"{', '.join(others)} and {last}" if others else last


def _as(name: str, asked: str) -> str:
    return "" if asked.removesuffix(".") == name.lower().removesuffix(".") else f" as {asked}"


def _records(by_place: dict[tuple[str, str], Answered], ask: Asked) -> str:
    texts = [record.data for type_ in ask.types for record in by_place[ask.name, type_].records if record.type == type_]
    return ", ".join(texts[:4]) + (f" and {len(texts) - 4} more" if len(texts) > 4 else "")
