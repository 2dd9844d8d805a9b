"""What a client is told about failing upstreams: which one, what it did or said, or how long it was silent.

Pure. There are few codes of reasons, because metrics count by them; only the texts say more. Texts are kept with
failures, so they are bounded here. A text for a client is cut once more, and the log has all of it.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from dnsserver.forward.outcome import UPSTREAM_REFUSED, UPSTREAM_SERVFAIL, UPSTREAM_UNREACHABLE
from dnsserver.forward.upstream import Upstream
from dnsserver.wire.extended_errors import MOST, ExtendedError, cut_text
from dnsserver.wire.message import RCODE_NAMES, REFUSED
from dnsserver.zone.record import Reason

MOST_PASSED_ON = MOST - 1  # beside one of ours
LONGEST_TEXT = 256  # octets

# Codes that speak of their sender and of who asks it (RFC 8914 section 4). From us they would mean this server and its
# clients, so they are passed on as code 0, with their name in the text.
_ABOUT_SENDER = {
    13: "Cached Error",
    14: "Not Ready",
    18: "Prohibited",
    20: "Not Authoritative",
    21: "Not Supported",
}

# In a flood of names that fail there are few reasons, each for thousands of questions that are remembered: for equal
# ones it is one value, of some 200 octets.
_SHARED: Final = 256
_shared = lru_cache(_SHARED)(Reason)


def passed_on(upstream: str, errors: Iterable[ExtendedError]) -> tuple[ExtendedError, ...]:
    """Return the text of an upstream's reply for clients, with the upstream's name, as RFC 8914 section 3 asks."""
    return tuple(_passed_on(upstream, code, text) for code, text in tuple(errors)[:MOST_PASSED_ON])


def _passed_on(upstream: str, code: int, text: str) -> ExtendedError:
    named = _ABOUT_SENDER.get(code)
    shown = ": ".join(part for part in (upstream, named, text) if part)
    return (code if named is None else 0), cut_text(shown)


def with_errors(reason: Reason, also: tuple[ExtendedError, ...]) -> Reason:
    """Return the reason with what an upstream said beside it."""
    return Reason(reason.code, reason.ede, reason.text, _few((*also, *reason.also))) if also else reason


def _few(errors: Iterable[ExtendedError]) -> tuple[ExtendedError, ...]:
    return tuple(dict.fromkeys(errors))[:MOST_PASSED_ON]


def rejected(rcode: int) -> Reason:
    """Return the reason of a reply with an rcode that says nothing about the name."""
    if rcode == REFUSED:
        return UPSTREAM_REFUSED
    return Reason(UPSTREAM_SERVFAIL.code, UPSTREAM_SERVFAIL.ede, RCODE_NAMES.get(rcode, f"RCODE {rcode}"))


def unreachable(error: OSError) -> Reason:
    """Return the reason of a query that the system does not send, or whose host says that nobody takes it."""
    text = f"unreachable: {error.strerror or error}"
    return Reason(UPSTREAM_UNREACHABLE.code, UPSTREAM_UNREACHABLE.ede, text)


def of(upstream: Upstream, reason: Reason) -> Reason:
    """Return the reason with the upstream that gave it in the text."""
    return Reason(reason.code, reason.ede, _joined([(upstream.name, _what(upstream, reason))]), reason.also)


def verdict(
    last: Reason,
    failures: Sequence[tuple[Upstream, Reason]],
    waiting: Iterable[tuple[Upstream, float, bool]],
    now: float,
) -> Reason:
    """Return why a question fails as its `last` reason does, with what all upstreams did in the text.

    `failures` are those of attempts that came to nothing; `waiting` are upstreams that have said nothing yet, with when
    they were asked and whether over a stream. Of an upstream that is in both, both are told: it may be silent over UDP
    and refuse TCP.
    """
    failed = {upstream.name: _what(upstream, reason) for upstream, reason in failures}
    said = dict(failed)
    asked: dict[str, float] = {}
    for upstream, sent, over_stream in waiting:
        asked[upstream.name] = min(sent, asked.get(upstream.name, sent))
        if over_stream and upstream.trouble is not None:
            said[upstream.name] = _what(upstream, upstream.trouble)
        else:
            silent = f"silent for {_milliseconds(now - asked[upstream.name])} ms"
            said[upstream.name] = f"{failed[upstream.name]}, and {silent}" if upstream.name in failed else silent
    also = _few(error for _, reason in failures for error in reason.also)
    return _shared(last.code, last.ede, _joined(said.items()) if said else last.text, also or last.also)


def looping(upstreams: Iterable[Upstream], reason: Reason) -> Reason:
    """Return the reason with the upstreams that all forward back."""
    return Reason(reason.code, reason.ede, _joined((upstream.name, reason.text) for upstream in upstreams))


def _what(upstream: Upstream, reason: Reason) -> str:
    return reason.text.removeprefix(f"{upstream.name}: ")


def _joined(said: Iterable[tuple[str, str]]) -> str:
    """Return in one text what the upstreams did; upstreams that did the same are named together."""
    names: dict[str, list[str]] = {}
    for name, what in said:
        names.setdefault(what, []).append(name)
    shown = "; ".join(f"{', '.join(same)}: {what}" for what, same in names.items())
    return cut_text(f"upstream {shown}", LONGEST_TEXT)


def _milliseconds(seconds: float) -> int:
    """Return a duration in milliseconds; from one second on it is rounded to 100 ms, so that there are few texts."""
    exact = max(1, round(seconds * 1000))
    return exact if exact < 1000 else round(exact, -2)
