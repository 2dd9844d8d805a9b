"""Where a route's upstreams come from: addresses as given, hostnames looked up again and again, a resolv.conf file."""

import ipaddress
import os
import stat

import trio

from dnsserver.forward import resolvconf
from dnsserver.forward.route import Route
from dnsserver.forward.settings import Limits, UpstreamSpec
from dnsserver.forward.upstream import Upstream
from dnsserver.logger import get_logger

log = get_logger(__name__)

_LOOKUP_TIME = 5.0
_SOON = 1.0  # until a hostname is looked up again that was not found; twice as long each time
_LARGEST = 1 << 20  # octets of a file; the longest one seen had 2,000
_SHOWN = 3  # lines or options in one log line

_PENDING = "is being looked up"

_Stamp = tuple[int, int, int, int]


async def follow_upstreams(
    route: Route, limits: Limits, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Keep the route's upstreams as their source has them; started when what needs no look-up is in place."""
    if route.settings.resolv_conf is not None:
        await _follow_file(route, route.settings.resolv_conf, limits, task_status)
    else:
        await _follow_names(route, limits, task_status)


async def _follow_file(route: Route, path: str, limits: Limits, task_status: trio.TaskStatus[None]) -> None:
    stamp = await _stamp(path)
    await _read(route, path)
    task_status.started()
    while True:
        await trio.sleep(limits.file_interval)
        before, stamp = stamp, await _stamp(path)
        if stamp != before:
            await _read(route, path)


async def _follow_names(route: Route, limits: Limits, task_status: trio.TaskStatus[None]) -> None:
    specs = route.settings.upstreams
    hosts = {spec.host: spec for spec in specs if not _is_address(spec.host)}
    known: dict[str, tuple[str, ...]] = {}
    troubles = dict.fromkeys(hosts, _PENDING)
    _apply(route, specs, known, troubles)
    task_status.started()
    pause = _SOON
    while hosts:
        for spec in hosts.values():
            await _look_up(spec, known, troubles)
            _apply(route, specs, known, troubles)
        if any(host not in known for host in hosts):
            await trio.sleep(min(pause, limits.resolve_interval))
            pause *= 2
        else:
            pause = _SOON
            await trio.sleep(limits.resolve_interval)


def _apply(
    route: Route, specs: tuple[UpstreamSpec, ...], known: dict[str, tuple[str, ...]], troubles: dict[str, str]
) -> None:
    """Bring the route's upstreams up to date; one that stays keeps all that was learnt about it."""
    route.trouble = "; ".join(f"upstream {host}: {trouble}" for host, trouble in troubles.items())
    present = {(upstream.spec, upstream.address[0]): upstream for upstream in route.upstreams}
    wanted = [
        (spec, a) for spec in specs for a in ((spec.host,) if _is_address(spec.host) else known.get(spec.host, ()))
    ]
    if wanted == list(present):
        return
    settings = route.settings
    route.replace(
        [
            present.get((spec, address)) or Upstream(spec, address, settings.domain, mixed_case=settings.mixed_case)
            for spec, address in wanted
        ]
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _look_up(spec: UpstreamSpec, known: dict[str, tuple[str, ...]], troubles: dict[str, str]) -> None:
    """Note the addresses of a hostname as the operating system knows them, or what it says instead.

    Addresses from before stay then: names that the system cannot look up now have not moved.
    """
    host = spec.host
    try:
        with trio.fail_after(_LOOKUP_TIME):
            found = await trio.socket.getaddrinfo(host, spec.real_port, type=trio.socket.SOCK_STREAM)
    except trio.TooSlowError:
        trouble = f"is not resolved within {_LOOKUP_TIME:.0f} seconds"
    except OSError as error:
        trouble = f"is not resolved: {error.strerror or error}"
    except UnicodeError:
        trouble = "is not resolved: it is no hostname"
    else:
        if troubles.pop(host, _PENDING) != _PENDING:
            log.info("upstream's name resolved again", host=host)
        known[host] = tuple(dict.fromkeys(str(address[0]) for *_, address in found))
        return
    if troubles.get(host) != trouble:
        log.warning("upstream's name not resolved", host=host, error=trouble)
    troubles[host] = trouble


async def _stamp(path: str) -> _Stamp | None:
    """Return what changes when the file or who may read it does; a mounted ConfigMap changes its inode."""
    try:
        status = await trio.to_thread.run_sync(os.stat, path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size, status.st_ctime_ns


async def _read(route: Route, path: str) -> None:
    """Take the upstreams from a file; while it cannot be read or names none, those from before stay."""
    try:
        found = resolvconf.read(await trio.to_thread.run_sync(_text, path))
    except OSError as error:
        _note_trouble(route, path, f"cannot be read: {error.strerror or error}", ())
        return
    if not found.nameservers:
        _note_trouble(route, path, "has no line with a nameserver and its address", found.not_understood)
        return
    _apply(route, found.nameservers, {}, {})
    log.info("upstreams read", file=path, upstreams=[upstream.name for upstream in route.upstreams])
    if found.not_understood:
        log.warning("lines of a file of upstreams skipped", file=path, lines=list(found.not_understood[:_SHOWN]))
    if found.not_followed:
        log.info("options of a file of upstreams not followed", file=path, options=list(found.not_followed))


def _note_trouble(route: Route, path: str, why: str, odd: tuple[str, ...]) -> None:
    route.trouble = f"{path} {why}"
    in_use = [upstream.name for upstream in route.upstreams]
    log.warning("no upstreams in their file", file=path, error=why, lines=list(odd[:_SHOWN]), in_use=in_use)


def _text(path: str) -> str:
    """Return what is in a file; raises OSError, for a device or a pipe as well, without waiting for it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(None, "it is not a regular file")
        return file.read(_LARGEST).decode(errors="replace")
