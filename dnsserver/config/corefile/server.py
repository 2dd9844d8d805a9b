"""Imports plugins about the server itself: where it listens, what it logs, and how it ends."""

from dnsserver.config.corefile.parser import Directive
from dnsserver.config.corefile.site import (
    UNKNOWN,
    Context,
    Site,
    is_address,
    seconds,
    source_of,
    source_of_line,
    whole,
)

_ADMIN = "all HTTP is served at one address, `admin`, by default [::]:8053"
_DRAIN_MIN, _DRAIN = 10.0, 25.0
_NOBODY = ("0.in-addr.arpa", "127.in-addr.arpa", "255.in-addr.arpa")


def bind(context: Context, site: Site, directive: Directive) -> None:
    """Import the addresses that a server block listens at."""
    draft, source = context.draft, source_of(directive)
    for text in directive.args:
        if is_address(text):
            continue
        what = f"write those of {text} into listen, or no client is answered there"
        if site.ports and not site.bound:
            ports = ", ".join(map(str, site.ports))
            what = f"the server listens at port {ports} of all addresses; write those of {text} into listen"
        draft.lost(source, "bind", f"{text} is not an address to listen at: {what}")
    for line in directive.lines:
        if line.words[0] != "except":
            draft.lost(source_of_line(line), f"bind {line.words[0]}", UNKNOWN)
    everywhere = [other for other in [*context.sites, *context.aside] if not other.bound]
    wide = [port for port in site.ports if any(port in other.ports for other in everywhere)]
    narrow = [port for port in site.ports if port not in wide]
    if site.bound and narrow:
        draft.extend("listen", site.listen(narrow), source, "bind")
    if site.bound and wide:
        text = "the server listens there at all addresses, for another block, and answers all names at each"
        draft.differs(source, "bind", f"port {', '.join(map(str, wide))}: {text}")


def health(context: Context, _: Site, directive: Directive) -> None:
    """Import the address of the health check, and how long the server goes on after SIGTERM."""
    draft, source = context.draft, source_of(directive)
    draft.differs(source, "health", f"{_ADMIN}: probes have to ask /healthz there, instead of /health")
    for line in directive.lines:
        place, words = source_of_line(line), line.words
        try:
            duration = seconds(words[1] if words[0] == "lameduck" and len(words) == 2 else "")
        except ValueError:
            draft.lost(place, f"health {words[0]}", UNKNOWN)
            continue
        if duration <= _DRAIN_MIN:
            text = f"it goes on for drain_min = {_DRAIN_MIN:g} seconds, and until 3 seconds pass without a question"
            draft.default(place, "health lameduck", text)
            continue
        draft.put("drain_min", min(duration, 3600.0), place, "health lameduck")
        if duration > _DRAIN:
            note = "the pod's terminationGracePeriodSeconds has to be longer"
            draft.put("drain", min(duration, 3600.0), place, "health lameduck", note)


def ready(context: Context, _: Site, directive: Directive) -> None:
    """Import the address of the readiness check."""
    source = source_of(directive)
    context.draft.differs(source, "ready", f"{_ADMIN}: probes have to ask /readyz there, instead of /ready")


def prometheus(context: Context, _: Site, directive: Directive) -> None:
    """Import the address of the metrics."""
    source = source_of(directive)
    port = (directive.args[0] if directive.args else "localhost:9153").rpartition(":")[2]
    text = f"{_ADMIN}: Prometheus has to scrape /metrics there, instead of port {port}; the manifests set admin to 9153"
    context.draft.differs(source, "prometheus", text)
    for line in directive.lines:
        place = source_of_line(line)
        context.draft.lost(place, f"prometheus {line.words[0]}", "there are no metrics of the Go run time")


def errors(context: Context, _: Site, directive: Directive) -> None:
    """Import the log of errors."""
    draft = context.draft
    draft.default(source_of(directive), "errors", "errors are logged with their reason")
    for line in directive.lines:
        place, option = source_of_line(line), line.words[0]
        if option == "consolidate":
            text = "each cause has one line a second, and the next line says how many were left out"
            draft.default(place, "errors consolidate", text)
        elif option == "stacktrace":
            draft.default(place, "errors stacktrace", "an internal error is logged with its traceback")
        else:
            draft.lost(place, f"errors {option}", UNKNOWN)


def bufsize(context: Context, _: Site, directive: Directive) -> None:
    """Import the largest reply over UDP."""
    draft, source = context.draft, source_of(directive)
    try:
        size = whole(directive.args[0]) if directive.args else 1232
    except ValueError:
        draft.lost(source, "bufsize", "is not a number: the default of 1232 octets is used")
        return
    draft.put("udp.size", min(max(size, 1232), 4096), source, "bufsize")
    if size < 1232:
        draft.differs(source, "bufsize", "replies have up to 1232 octets, which fits every network path")


def local(context: Context, site: Site, directive: Directive) -> None:
    """Import names of this machine and of networks that are nobody's, as CoreDNS answers them."""
    draft, source = context.draft, source_of(directive)
    draft.default(source, "local", "localhost and names below it are answered here (RFC 6761)")
    below = {} if site.is_root else {"below": site.zones}
    if not any(line.words[:2] == ("localhost_prefix", "off") for line in directive.lines):
        records = ["@ 604800 IN A 127.0.0.1", "@ 604800 IN AAAA ::1"]
        draft.add("answer", {"regex": r"^localhost\.[^.]", **below, "records": records}, source, "local")
    if not site.is_root:
        return
    for zone in _NOBODY:
        soa = "@ 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800"
        draft.add("answer", {"name": zone, "records": [soa, "@ 604800 IN NS localhost."]}, source, "local")
    records = ["@ 604800 IN PTR localhost."]
    draft.add("answer", {"name": "1.0.0.127.in-addr.arpa", "records": records}, source, "local")
    draft.extend("local.domains", list(_NOBODY), source, "local")


def loadbalance(context: Context, _: Site, directive: Directive) -> None:
    """Import the order of addresses."""
    draft, source = context.draft, source_of(directive)
    if directive.args[:1] == ("weighted",):
        text = "weights are not supported: addresses take turns, and each is first as often as the others"
        draft.lost(source, "loadbalance weighted", text)
    else:
        draft.default(source, "loadbalance", "addresses take turns from reply to reply")
    for line in directive.lines:
        if line.words[0] == "prefer":
            text = "no network is preferred: clients that use the first address may get another one than before"
            draft.lost(source_of_line(line), "loadbalance prefer", text)


def view(_: Context, __: Site, ___: Directive) -> None:
    """Name the condition of a server block; `sites` has taken care of the block itself."""


def header(context: Context, _: Site, directive: Directive) -> None:
    """Import flags of replies that are set by hand."""
    for line in directive.lines:
        source, words = source_of_line(line), [word.lower() for word in line.words]
        if words[0] in {"set", "clear"}:  # as up to CoreDNS 1.12.3
            words = ["response", *words]
        if words[:2] == ["response", "set"] and words[2:] == ["ra"]:
            context.draft.default(source, "header", "RA is set in every reply if there are upstreams")
        else:
            text = "flags cannot be set: AA is for the server's own data, RA if there are upstreams, RD as asked"
            context.draft.lost(source, "header", f"{text}; clients that need `{' '.join(words)}` see another flag")
