"""Finds settings of a valid configuration that cannot take effect on this machine: files, folders, zones, and others.

`serve` asks this before it opens anything, and `check` asks the same. `rehearsal` finds what `serve` would report
later.
"""

import ipaddress
import ssl
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from dnsserver.app import descriptors
from dnsserver.app.exposure import exposed
from dnsserver.config import Config, Loaded, Upstream
from dnsserver.config.files import (
    UnusableFileError,
    expect_readable_folder,
    expect_regular_file,
    expect_writable_folder,
    read_bytes,
    read_text,
    told,
)

Level = Literal["refused", "ignored", "noted"]

MOST_OF_A_ZONE = 16 * 1024 * 1024
MOST_OF_HOSTS = 64 * 1024 * 1024
_MOST_LINES = 10
_MOST_OF_A_FILE = 1024 * 1024
_THIS_MACHINE = ("127.0.0.1", "::1")
_DNS = 53
# Seconds until a probe as in manifests/ has failed twice, its EndpointSlice has changed, and kube-proxy follows it.
_PROBES_NEED = 5.0


class Finding(msgspec.Struct, frozen=True):
    """One thing about the value of a key.

    `refused`: serve ends with status 2. `ignored`: it serves without that. `noted`: it is in force, but look at it.
    """

    key: str
    text: str
    level: Level


def findings(config: Config, written: Container[str] = ()) -> list[Finding]:
    """Return what is in the way of a configuration, or without effect in it; `written` are the keys of its file."""
    return [
        *_token(config),
        *_statics(config),
        *_hosts(config),
        *_never_used(config),
        *_everywhere(config),
        *_objects(config),
        *_upstreams(config),
        *_authorities(config),
        *_state(config),
        *_node(config),
        *_open_files(config),
        *_exposed(config),
        *_drain(config, written),
        *_without_effect(config, written),
    ]


def hidden(loaded: Loaded) -> Iterator[Finding]:
    """Find what the files say in vain, as a flag goes before it."""
    for key in loaded.overrides:
        if key in loaded.written:
            source, line = loaded.written.place(key)
            yield Finding(key, f"goes before {source}:{line}: {key}, which has no effect", "noted")


def _token(config: Config) -> Iterator[Finding]:
    path = config.admin_token
    if path is None:
        return
    effect = "; until it can be read, only this machine gets more than probes and metrics"
    try:
        if not read_text(path, _MOST_OF_A_FILE).strip():
            empty = effect.replace("it can be read", "it holds a token")
            yield Finding("admin_token", f"{path}: is empty{empty}", "ignored")
    except UnusableFileError as error:
        yield Finding("admin_token", f"{path}: {error}{effect}", "ignored")


def _statics(config: Config) -> Iterator[Finding]:
    if not config.static:
        return
    from dnsserver.wire.zonefile import ZoneFileError, read_zone  # noqa: PLC0415 - dnslib: only who has a zone needs it

    origins: list[tuple[bytes, Path]] = []
    for index, file in enumerate(config.static):
        key, path = f"static[{index}]", file.path
        try:
            zone = read_zone(read_text(path, MOST_OF_A_ZONE), file.origin)
        except UnusableFileError as error:
            yield Finding(key, f"{path}: {error}", "refused")
        except ZoneFileError as error:
            for line, text in error.mistakes:
                yield Finding(key, f"{path}:{line}: {text}" if line else f"{path}: {text}", "refused")
        else:
            yield from _shadowed(config, key, path, zone[0].name, origins)
            origins.append((zone[0].name, path))


def _hosts(config: Config) -> Iterator[Finding]:
    """Find hosts files that cannot be read, and lines of hosts files that are ignored."""
    if not config.hosts:
        return
    from dnsserver.resolver.hosts import mistakes  # noqa: PLC0415 - only who has rules needs it

    for index, table in enumerate(config.hosts):
        key, path = f"hosts[{index}].file", table.file
        if path is None:
            continue
        try:
            wrong = list(mistakes(read_text(path, MOST_OF_HOSTS)))
        except UnusableFileError as error:
            yield Finding(key, f"{path}: {error}", "refused")
            continue
        for line, text in wrong[:_MOST_LINES]:
            yield Finding(key, f"{path}:{line}: {text}; the line is ignored", "ignored")
        if len(wrong) > _MOST_LINES:
            yield Finding(key, f"{path}: and {len(wrong) - _MOST_LINES} more lines that are ignored", "ignored")


def _never_used(config: Config) -> Iterator[Finding]:
    """Find rules for the same names as an earlier rule, which is used instead of them."""
    for table, rules, keys in (
        ("rewrite", config.rewrite, ("name", "prefix", "suffix", "regex", "below", "except_")),
        ("answer", config.answer, ("name", "regex", "below", "except_", "types")),
    ):
        seen: dict[tuple[object, ...], int] = {}
        for index, rule in enumerate(rules):
            names = tuple(getattr(rule, key) for key in keys)
            first = seen.setdefault(names, index)
            if first != index:
                yield Finding(f"{table}[{index}]", f"is never used: {table}[{first}] is for the same names", "ignored")


def _everywhere(config: Config) -> Iterator[Finding]:
    """Find regular expressions with which every name has to be compared."""
    if not config.rewrite and not config.answer:
        return
    from dnsserver.resolver.patterns import domain_of  # noqa: PLC0415 - only who has rules needs it

    rules = [(f"rewrite[{index}]", rule.regex, rule.below) for index, rule in enumerate(config.rewrite)]
    rules += [(f"answer[{index}]", rule.regex, rule.below) for index, rule in enumerate(config.answer)]
    for key, expression, below in rules:
        if expression is not None and not below and not domain_of(expression):
            text = "is compared with every name; add `below`, or a domain and `$` at its end, for fewer names"
            yield Finding(f"{key}.regex", text, "noted")


def _shadowed(
    config: Config, key: str, path: Path, origin: bytes, before: list[tuple[bytes, Path]]
) -> Iterator[Finding]:
    """Find zones and domains that answer the names of a static zone before it is asked."""
    from dnsserver.wire.name import is_below, to_text  # noqa: PLC0415 - as above

    shown = to_text(origin)
    if is_below(origin, config.domain.wire):
        yield Finding(
            key, f'{path}: {shown} lies in the cluster domain "{config.domain}", which answers first', "refused"
        )
    for other, where in before:
        if is_below(origin, other):
            yield Finding(key, f"{path}: {shown} lies in {to_text(other)} of {where}, which answers first", "refused")
    for number, forward in enumerate(config.forward):
        if is_below(forward.domain.wire, origin):
            text = f'"{forward.domain}" lies in the zone {shown} of {path}, which answers first'
            yield Finding(f"forward[{number}].domain", text, "refused")


def _upstreams(config: Config) -> Iterator[Finding]:
    for index, route in enumerate(config.routes()):
        key = f"forward[{index - 1}].upstreams" if index else "upstreams"
        for upstream in route.upstreams:
            if upstream.transport == "file":
                yield from _resolv_conf(
                    config, key, Path(upstream.host), explicit=config.upstreams != Config().upstreams
                )
            else:
                yield from _own(config, key, upstream, "")
                yield from _looks_like_file(key, upstream)


def _resolv_conf(config: Config, key: str, path: Path, *, explicit: bool) -> Iterator[Finding]:
    """Check a file of upstreams; a problem of the default file is only noted, as nobody wrote it."""
    from dnsserver.forward import resolvconf  # noqa: PLC0415 - 10 ms

    level: Level = "ignored" if explicit else "noted"
    effect = "; names outside fail until it can be read"
    try:
        found = resolvconf.read(read_bytes(path, _MOST_OF_A_FILE).decode(errors="replace"))
    except UnusableFileError as error:
        yield Finding(key, f"{path}: {error}{effect}", level)
        return
    if not found.nameservers:
        yield Finding(key, f"{path}: has no valid line `nameserver ADDRESS`; names outside fail until it has", level)
    for server in found.nameservers:
        yield from _own(config, key, Upstream(server.host), f"{path}: ")


def _looks_like_file(key: str, upstream: Upstream) -> Iterator[Finding]:
    """Find a hostname that looks like a file beside the configuration."""
    if upstream.host.endswith((".conf", ".txt", ".resolv")):
        text = f'"{upstream.host}" is taken as a hostname; for the file of that name write "./{upstream.host}"'
        yield Finding(key, text, "ignored")


def _own(config: Config, key: str, upstream: Upstream, where: str) -> Iterator[Finding]:
    """Find an upstream that is this server itself."""
    try:
        address = ipaddress.ip_address(upstream.host)
    except ValueError:
        return
    port = upstream.port or _DNS
    for listener in config.listen:
        host = ipaddress.ip_address(listener.host)
        everywhere = host.is_unspecified and host.version == address.version and address.is_loopback
        if listener.port != port or upstream.transport == "tls" or not (host == address or everywhere):
            continue
        if host == address or str(address) in _THIS_MACHINE:
            text = "is an address of this server itself: a loop, it is left out"
            yield Finding(key, f"{where}{upstream} {text}", "ignored")
        else:  # as in Docker, or of systemd-resolved
            text = "is this machine: a loop, and left out, unless another program has it"
            yield Finding(key, f"{where}{upstream} {text}", "noted")
        return


def _authorities(config: Config) -> Iterator[Finding]:
    seen: set[Path] = set()
    over_tls = [route for route in config.routes() if any(upstream.transport == "tls" for upstream in route.upstreams)]
    own = [("forwarding.authorities", config.forwarding.authorities)]
    own += [(f"forward[{number}].authorities", forward.authorities) for number, forward in enumerate(config.forward)]
    for key, path in own:
        if path is None or path in seen:
            continue
        seen.add(path)
        if problem := _pem_problem(path):
            yield Finding(key, f"{path}: {problem}", "refused")
        elif not any(route.authorities == path for route in over_tls):
            yield Finding(key, "has no effect: none of its upstreams is asked over TLS", "ignored")


def _pem_problem(path: Path) -> str:
    """Return why a file does not hold certificate authorities; empty if it does."""
    try:
        text = read_bytes(path, MOST_OF_A_ZONE).decode("ascii", "replace")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except UnusableFileError as error:
        return str(error)
    except (ssl.SSLError, ValueError):
        return "has no readable certificates in PEM format"
    return ""


def _state(config: Config) -> Iterator[Finding]:
    if config.state is None:
        return
    try:
        expect_writable_folder(config.state)
    except UnusableFileError as error:
        yield Finding("state", f"{config.state}: {error}; no snapshot is kept", "ignored")


def _node(config: Config) -> Iterator[Finding]:
    for key, folder, lost in (
        ("takeover", config.takeover and config.takeover.parent, "addresses are not handed over to the next server"),
        ("guardian", config.guardian, "this server is never ready"),
    ):
        if folder is not None:
            try:
                expect_writable_folder(folder)
            except UnusableFileError as error:
                yield Finding(key, f"{folder}: {error}; {lost}", "ignored")


# What only an API server makes use of.
_OF_THE_API = ("namespaces", "labels", "namespace_labels", "page_size", "silence", "check_interval", "stale_after")


def _open_files(config: Config) -> Iterator[Finding]:
    limit, wanted = descriptors.highest_limit(), config.tcp.connections // config.workers
    places = descriptors.for_clients(config, wanted, limit)
    if places < wanted:
        why = f"{limit} open files are allowed, and {limit - places} are kept for upstreams, admin and the API"
        yield Finding("tcp.connections", f"only {places} connections at once: {why}", "noted")


def _exposed(config: Config) -> Iterator[Finding]:
    """Find listeners that anybody on the internet could use, with a forged source address, to attack others."""
    hosts = exposed(config.listen, config.clients.allow)
    if hosts:
        where = ", ".join(str(host) for host in hosts[:3]) + (", ..." if len(hosts) > 3 else "")
        text = f"allows everybody, and {where} is public: strangers can send replies to others; list your networks"
        yield Finding("clients.allow", text, "noted")


def _drain(config: Config, written: Container[str]) -> Iterator[Finding]:
    """Find a drain that ends before the clients of a Service know of it."""
    least = min(config.drain, config.drain_min)
    if config.drain_min > config.drain and "drain_min" in written:
        yield Finding("drain_min", f"has no effect above drain, {config.drain:g} s", "ignored")
    if config.objects is None and config.kubeconfig is None and least < _PROBES_NEED:
        key = "drain" if config.drain < config.drain_min else "drain_min"
        text = f"{least:g} s is too short: clients of a Service notice after about {_PROBES_NEED:g} s that a pod ends"
        yield Finding(key, text, "noted")


def _without_effect(config: Config, written: Container[str]) -> Iterator[Finding]:
    """Find settings that have no effect because of other settings."""
    default = Config()
    idle: list[tuple[str, str]] = []
    if config.objects is not None:
        idle += [(f"kubernetes.{name}", "has no effect with objects, all of which are served") for name in _OF_THE_API]
    if config.state is None:
        idle.append(("kubernetes.snapshot_interval", "has no effect without state, the folder of the snapshot"))
    clients = config.clients
    if clients.allow == default.clients.allow:
        idle.append(("clients.excess", "has no effect: allow excludes no client"))
    if not clients.rate and not clients.in_flight:
        idle.append(("clients.over", "has no effect: rate and in_flight set no limit"))
    if not any(route.upstreams for route in config.routes()):
        names = [("forwarding", name) for name in config.forwarding.__struct_fields__ if name != "authorities"]
        names += [("cache", name) for name in config.cache.__struct_fields__] + [("search", "enabled")]
        idle += [(f"{table}.{name}", "has no effect: there are no upstreams") for table, name in names]
        idle.append(("ipv6", "has no effect: there are no upstreams"))
    if not config.search.enabled and "search.enabled" not in written:  # who wrote `false` keeps the rest for later
        idle += [
            (f"search.{name}", "has no effect without `enabled = true`") for name in ("namespaces", "node_domains")
        ]
    for key, text in idle:
        if _value(config, key) != _value(default, key):
            yield Finding(key, text, "ignored")
    if not clients.allow:
        yield Finding("clients.allow", "is empty: no client gets an answer", "noted")


def _value(config: Config, key: str) -> object:
    """Return the value of a dotted key."""
    value: object = config
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _objects(config: Config) -> Iterator[Finding]:
    """Check the path of the objects; a server with a snapshot of the zone can start without them."""
    path = config.objects
    if path is None:
        return
    try:
        if path.is_dir():
            expect_readable_folder(path)
        else:
            expect_regular_file(path)
    except (UnusableFileError, OSError) as error:
        why = str(error) if isinstance(error, UnusableFileError) else told(error)
        if isinstance(error.__cause__, FileNotFoundError):
            why = "there is no such file or folder"
        yield Finding("objects", f"{path}: {why}", "refused" if config.state is None else "ignored")
