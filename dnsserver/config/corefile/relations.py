"""What CoreDNS demands of several lines of one plugin together, and of words that no kind describes."""

import re
from collections.abc import Callable, Iterator

from dnsserver.config.corefile import rewrite_rule
from dnsserver.config.corefile.grammar import PLUGINS
from dnsserver.config.corefile.kinds import did_you_mean, is_type, mistake
from dnsserver.config.corefile.parser import Directive, Line, ServerBlock
from dnsserver.config.corefile.site import seconds
from dnsserver.config.corefile.zones import is_reverse, names, zones_of

_Found = Iterator[tuple[Directive | Line, str]]  # where it stands, and what is wrong
_MOST_UPSTREAMS = 15
_AT_MOST_ZERO = re.compile(r"-[0-9]+|\+?0+")
_TRANSPORTS = ("dns", "tls", "https")


def _lines(directive: Directive, option: str) -> list[Line]:
    return [line for line in directive.lines if line.words[0] == option]


def _kubernetes(directive: Directive, block: ServerBlock) -> _Found:
    zones = names(directive.args)[0] if directive.args else _zones(block)
    if not [zone for zone in zones if not is_reverse(zone)]:
        yield directive, "kubernetes: found only reverse zones, expected the cluster's domain"
    if _lines(directive, "namespaces") and (second := _lines(directive, "namespace_labels")):
        yield second[0], "kubernetes namespace_labels: found together with namespaces, expected only one of the two"
    if _lines(directive, "zonal") and (second := _lines(directive, "noendpoints")):
        yield second[0], "kubernetes noendpoints: found together with zonal, expected only one of the two"
    for line in _lines(directive, "multicluster"):
        for zone in names(line.words[1:])[0]:
            if zone not in zones:
                yield (
                    line,
                    f"kubernetes multicluster: {zone} is not one of the zones of this plugin, {', '.join(zones)}",
                )


def _zones(block: ServerBlock) -> list[str]:
    return names(block.keys)[0] or ["."]


def _forward(directive: Directive, _: ServerBlock) -> _Found:
    if len(directive.args) < 2:
        return
    if names(directive.args[:1])[1]:
        yield directive, f"forward: found {directive.args[0][:80]}, expected a domain; . is for all names"
    upstreams = directive.args[1:]
    if len(upstreams) > _MOST_UPSTREAMS:
        yield directive, f"forward: found {len(upstreams)} upstreams, expected at most {_MOST_UPSTREAMS}"
    for text in upstreams:
        scheme, separator, rest = text.rpartition("://")
        if separator and scheme not in _TRANSPORTS:
            expected = "dns://, tls:// or https://"
            yield directive, f"forward: {text[:80]}: expected {expected}{did_you_mean(scheme, _TRANSPORTS)}"
        elif scheme == "https" and "/" in rest:
            yield directive, f"forward: {text[:80]}: expected no path; /dns-query is always asked"
        elif "/" not in rest and not _is_upstream(rest):
            yield (
                directive,
                f"forward: found {text[:80] or 'an empty word'}, expected an address, a hostname or a file",
            )
    given = {line.words[0]: line for line in directive.lines if len(line.words) > 1}
    try:
        ages = [seconds(given[option].words[1]) for option in ("max_age", "expire")]
    except (KeyError, ValueError):
        ages = []
    if ages and 0 < ages[0] < ages[1]:
        yield given["max_age"], "forward max_age: expected at least the value of expire"
    for line in _lines(directive, "failover"):
        if "NOERROR" in (word.upper() for word in line.words[1:]):
            yield line, "forward failover: found NOERROR, expected rcodes of failures"
    for line in _lines(directive, "health_check"):
        rest_of_line = list(line.words[2:])
        while rest_of_line:
            word = rest_of_line.pop(0)
            if word == "domain" and rest_of_line:
                rest_of_line.pop(0)
            elif word != "no_rec":
                near = did_you_mean(word, ["no_rec", "domain"])
                yield line, f"forward health_check: found {word[:80]}, expected no_rec or domain NAME{near}"
                break


def _is_upstream(text: str) -> bool:
    """Tell whether a text is an address or a hostname, with or without a zone and a port."""
    if text.count(":") == 1 or text.startswith("["):
        text = text if text.endswith("]") else text.rpartition(":")[0]
    if not text:
        return False
    if ":" in text:
        return not mistake([text.strip("[]").partition("%")[0]], "address")
    text = text.partition("%")[0]
    try:
        zones_of(text)
    except ValueError:
        return False
    return text.replace(".", "").isdigit() is False or not mistake([text], "address")


def _cache(directive: Directive, _: ServerBlock) -> _Found:
    if directive.args and _AT_MOST_ZERO.fullmatch(directive.args[0]):
        yield directive, f"cache: found {directive.args[0]}, expected a TTL of 1 second or more"
    policies = _lines(directive, "serve_stale_policy")
    if policies and not _lines(directive, "serve_stale"):
        yield policies[0], "cache serve_stale_policy: expected serve_stale in the same block"
    for line in policies[1:]:
        yield line, "cache serve_stale_policy: expected only once"
    for line in _lines(directive, "serve_stale"):
        if len(line.words) == 6 and line.words[2].lower() == "immediate":
            yield line, f"cache serve_stale: found {line.words[5]}, expected no more words after immediate"


def _hosts(directive: Directive, _: ServerBlock) -> _Found:
    options = PLUGINS["hosts"].options or {}
    goes_on = False
    for line in directive.lines:
        option = line.words[0]
        if option == "fallthrough":
            goes_on = True
        elif option not in options and goes_on:
            near = did_you_mean(option, list(options))
            text = f"hosts: {option[:80]} stands below fallthrough, where CoreDNS takes only options{near}"
            yield line, f"{text}{'' if near else '; expected entries above it'}"
    unsupported = _lines(directive, "fallthrough_unsupported")
    if unsupported and not goes_on:
        yield unsupported[0], "hosts fallthrough_unsupported: expected fallthrough in the same block"


def _acl(directive: Directive, _: ServerBlock) -> _Found:
    for line in directive.lines:
        section = ""
        empty = False
        for word in line.words[1:]:
            if word.lower() in {"type", "net"}:
                if empty:
                    break
                section, empty = word.lower(), True
            elif not section:
                near = did_you_mean(word, ["type", "net"])
                yield line, f"acl {line.words[0]}: found {word[:80]}, expected type or net{near}"
                break
            else:
                empty = False
                if word != "*" and section == "type" and not is_type(word):
                    yield (
                        line,
                        f"acl {line.words[0]}: found {word[:80]}, expected a record type in upper case, or *",
                    )
                elif word != "*" and section == "net" and mistake([word], "address") and mistake([word], "network"):
                    yield line, f"acl {line.words[0]}: found {word[:80]}, expected an address or network, or *"
        if empty:
            yield line, f"acl {line.words[0]}: expected something after {section}"


def _bind(directive: Directive, _: ServerBlock) -> _Found:
    for text in directive.args:
        if (":" in text or text.replace(".", "").isdigit()) and mistake([text.partition("%")[0]], "address"):
            yield directive, f"bind: found {text[:80]}, expected an IP address, or the name of an interface"


def _timeouts(directive: Directive, _: ServerBlock) -> _Found:
    if not directive.lines:
        yield directive, "timeouts: expected at least one of read, write, idle and maxtcpqueries"


def _header(directive: Directive, _: ServerBlock) -> _Found:
    if not directive.lines:
        yield directive, "header: expected at least one line such as `response set ra`"


def _transfer(directive: Directive, _: ServerBlock) -> _Found:
    if not _lines(directive, "to"):
        yield directive, "transfer: expected `to` in its block"


def _secondary(directive: Directive, _: ServerBlock) -> _Found:
    if not _lines(directive, "transfer"):
        yield directive, "secondary: expected `transfer from` in its block"


def _loadbalance(directive: Directive, _: ServerBlock) -> _Found:
    if directive.args[:1] == ("weighted",) and len(directive.args) < 2:
        yield directive, "loadbalance: expected the file with the weights after weighted"
    if directive.args[:1] == ("round_robin",) and len(directive.args) > 1:
        yield directive, "loadbalance: expected nothing after round_robin"


def _rewrite(directive: Directive, _: ServerBlock) -> _Found:
    for text in rewrite_rule.mistakes(directive):
        yield directive, text


def _tls(directive: Directive, _: ServerBlock) -> _Found:
    if len(directive.args) == 1:
        yield directive, "tls: found one word, expected a certificate and a key, or none and acme in a block"
    elif not directive.args and not any(len(line.words) > 1 for line in _lines(directive, "acme")):
        yield directive, "tls: expected a certificate and a key after it, or acme with a domain in a block"


OF_PLUGIN: dict[str, Callable[[Directive, ServerBlock], _Found]] = {
    "kubernetes": _kubernetes,
    "forward": _forward,
    "bind": _bind,
    "cache": _cache,
    "hosts": _hosts,
    "acl": _acl,
    "timeouts": _timeouts,
    "tls": _tls,
    "header": _header,
    "transfer": _transfer,
    "secondary": _secondary,
    "loadbalance": _loadbalance,
    "rewrite": _rewrite,
}
