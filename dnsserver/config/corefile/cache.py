"""Imports the plugin `cache`: how long answers from outside are cached."""

from dnsserver.config.corefile.draft import Source
from dnsserver.config.corefile.parser import Directive, Line
from dnsserver.config.corefile.site import UNKNOWN, Context, Site, seconds, source_of, source_of_line, whole
from dnsserver.config.corefile.zones import belonging, names

_WHAT = "cache"
_WEEK = 7 * 86_400
# Seconds that CoreDNS keeps answers, and answers that there is nothing, without a number behind `cache`.
_USUAL = {"ttl_cap": 3600, "negative_cap": 1800}
_CAPS = {"success": "ttl_cap", "denial": "negative_cap"}
_USUAL_CAPACITY = 9984
CAPPED = "the longest TTL that `cache` let clients see"
_SAID = "answers about the cluster are computed from its current state, so none is out of date"


def cache(context: Context, site: Site, directive: Directive) -> None:
    """Import the plugin. There is one cache for all names from outside: the root block's numbers count first."""
    draft, source = context.draft, source_of(directive)
    if not site.has("forward"):
        draft.default(source, _WHAT, "no answer comes from outside: the others are computed from what is there now")
        return
    ttl, arguments = _words(directive)
    caps = dict(_USUAL) if ttl is None else dict.fromkeys(_USUAL, min(ttl, _WEEK))
    sources = dict.fromkeys(caps, source)
    zones, _ = names(arguments) if arguments else (site.zones, [])
    if arguments and any(not belonging(zone, zones) for zone in site.zones):
        text = f"CoreDNS cached only answers below {', '.join(zones)}; here all answers from outside are cached"
        draft.differs(source, _WHAT, text)
    for line in directive.lines:
        option = line.words[0]
        if option in _CAPS and len(line.words) > 1:
            try:
                _bounds(context, site, line, caps, sources)
            except ValueError:
                draft.lost(source_of_line(line), f"cache {option}", "is not accepted by CoreDNS either: left out")
    for key, value in caps.items():
        _cap(context, site, key, value, sources[key])
    for line in directive.lines:
        if line.words[0] not in _CAPS:
            try:
                _option(context, site, line)
            except ValueError:
                text = UNKNOWN
                draft.lost(source_of_line(line), f"cache {line.words[0]}", text)
    if "servfail" not in {line.words[0] for line in directive.lines}:
        text = "failures are cached for 1 second, and longer while they continue (RFC 9520), instead of 5"
        draft.default(source, _WHAT, text)


def shown_ttl(site: Site, zones: list[str], ttl: int) -> int:
    """Return the TTL that clients saw of a record that a block has itself: its `cache` shortens what is longer."""
    for directive in site.block.directives:
        if directive.name != _WHAT or any(line.words[0] == "keepttl" for line in directive.lines):
            continue
        given, arguments = _words(directive)
        cap = _USUAL["ttl_cap"] if given is None else given
        uncached: list[str] = []
        for line in directive.lines:
            match line.words:
                case ["success", _, digits, *_]:
                    cap = cap if (own := _number(digits)) is None else own
                case ["disable", "success", *names_of]:
                    uncached += names(names_of)[0] or ["."]
        cached = names(arguments)[0] or ["."]
        if all(belonging(zone, cached) and not belonging(zone, uncached) for zone in zones):
            ttl = min(ttl, cap)
    return ttl


def _words(directive: Directive) -> tuple[int | None, list[str]]:
    """Return the TTL behind the plugin's name, None if there is none, and the words of its zones."""
    ttl = _number(directive.args[0]) if directive.args else None
    return ttl, list(directive.args if ttl is None else directive.args[1:])


def _number(text: str) -> int | None:
    """Return the number that a word is, None if it is none."""
    try:
        return whole(text)
    except ValueError:
        return None


def _note(site: Site) -> str:
    return "" if site.is_root else "applies to all names from outside, not only to those of this block"


def _cap(context: Context, site: Site, key: str, value: int, source: Source) -> None:
    """Write the longest time that answers are kept, or report that another block has a different time."""
    draft = context.draft
    there = draft.settings.get(f"cache.{key}")
    which = "negative answers" if key == "negative_cap" else "answers"
    if there is None and not site.is_root and any(other.is_root and other.has("forward") for other in context.sites):
        text = f"{which} for {', '.join(site.zones)} are cached for their whole TTL, not for {value} seconds at most"
        draft.lost(source, _WHAT, f"{text}, as the block for all names has no `cache`: clients see a change later")
        return
    if there is None or there.value == value:
        draft.put(f"cache.{key}", value, source, _WHAT)
        return
    text = f"{which} for {', '.join(site.zones)} are cached for {there.value} seconds at most, instead of {value}"
    if there.value > value:
        draft.lost(source, _WHAT, f"{text}, as {there.sources[0].place()} says: clients see a change that much later")
    else:
        draft.differs(source, _WHAT, f"{text}, as {there.sources[0].place()} says")


def _bounds(context: Context, site: Site, line: Line, caps: dict[str, int], sources: dict[str, Source]) -> None:
    """Read `success CAPACITY [TTL [MINTTL]]`, or `denial`; raises ValueError."""
    source, option = source_of_line(line), line.words[0]
    capacity, *ttls = [whole(word) for word in line.words[1:4]]
    if capacity != _USUAL_CAPACITY:
        text = "the cache is measured in octets (cache.size, 32 MiB, about 40,000 answers), not in entries"
        context.draft.default(source, f"cache {option}", text)
    if ttls:
        caps[_CAPS[option]] = min(ttls[0], _WEEK)
        sources[_CAPS[option]] = source
    if ttls[1:]:
        key = {"success": "cache.ttl_floor", "denial": "cache.negative_floor"}[option]
        context.draft.put(key, min(ttls[1], caps[_CAPS[option]]), source, f"cache {option}", _note(site))


def _option(context: Context, site: Site, line: Line) -> None:
    """Import one line of the block; raises ValueError for a line that CoreDNS refuses as well."""
    draft, source = context.draft, source_of_line(line)
    option, arguments = line.words[0], list(line.words[1:])
    what = f"cache {option}"
    match option, arguments:
        case "disable", ["success" | "denial", *zones]:
            _disable(context, site, zones, source)
        case "prefetch", [amount, *_]:
            draft.put("cache.renew_hits", min(whole(amount), 10_000_000), source, what, _note(site))
            if len(arguments) > 1:
                draft.default(
                    source, what, "an answer that was asked for that often is renewed shortly before it expires"
                )
        case "serve_stale", [*values] if len(values) <= 5:
            draft.put(
                "cache.stale", min(seconds(values[0]) if values else 3600.0, float(_WEEK)), source, what, _note(site)
            )
            if values[1:2] == ["verify"]:
                wait = seconds(values[2]) if len(values) > 2 else 0.0
                if wait:
                    draft.put("cache.stale_wait", min(wait, 60.0), source, what, _note(site))
            elif values[1:2] in ([], ["immediate"]):
                text = "upstreams are asked first, for cache.stale_wait at most; then clients get the expired answer"
                draft.differs(source, what, text)
            else:
                raise ValueError
            if len(values) > 3 or (len(values) > 2 and values[1] == "immediate"):
                draft.default(source, what, "an expired answer is given with a TTL of 30 seconds (RFC 8767)")
        case "serve_stale_policy", ["prefer_positive"]:
            text = "clients get what the upstreams say now: an answer that is gone there is not given again"
            draft.lost(source, what, text)
        case "servfail", [duration]:
            value = seconds(duration)
            if value < 1:
                text = "failures are cached for 1 second at least (RFC 9520): a client that asks again gets the same"
                draft.differs(source, what, text)
            else:
                draft.put("cache.failure_ttl", min(value, 300.0), source, what, _note(site))
                if value > 30:
                    draft.put("cache.failure_cap", min(value, 300.0), source, what, _note(site))
        case "keepttl", []:
            text = "TTLs are always counted down: clients cache an answer no longer than its zone says"
            draft.lost(source, what, text)
        case _:
            raise ValueError


def _disable(context: Context, site: Site, arguments: list[str], source: Source) -> None:
    zones, wrong = names(arguments) if arguments else (site.zones, [])
    if wrong:
        raise ValueError
    cluster = [context.domain, "in-addr.arpa", "ip6.arpa"]
    outside = [zone for zone in zones if not belonging(zone, cluster)]
    if outside:
        text = f"answers for {', '.join(outside)} are cached for their whole TTL: clients see a change that much later"
        context.draft.lost(source, "cache disable", text)
    if len(outside) < len(zones):
        context.draft.default(source, "cache disable", _SAID)
