"""Where the upstreams of a route come from: given addresses, hostnames that are resolved regularly, a resolv.conf."""

import ipaddress
import os
import stat
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec
import trio

from dnsserver.faults import Faults
from dnsserver.forward import resolvconf
from dnsserver.forward.route import Route
from dnsserver.forward.settings import ForwardSettings, Limits, UpstreamSpec
from dnsserver.forward.upstream import Upstream
from dnsserver.logger import get_logger
from dnsserver.pace import next_look

log = get_logger(__name__)

_LOOKUP_TIME = 5.0
_SOON = 1.0  # until a hostname is looked up again that was not found; twice as long each time
_LARGEST = 1 << 20  # octets of a file; the longest one seen had 2,000
_SHOWN = 3  # lines or options in one log line

_PENDING = "is being looked up"

_Stamp = tuple[int, int, int, int]


class Known(msgspec.Struct, frozen=True):
    """What is known of where upstreams are: the addresses of hostnames, and what files were found to say, and when."""

    hosts: dict[str, tuple[str, ...]] = {}
    troubles: dict[str, str] = {}
    files: dict[str, "FileFound"] = {}


class FileFound(msgspec.Struct, frozen=True):
    """A file of upstreams as it was at `stamp`: what it says, or why it is of no use."""

    stamp: _Stamp | None
    found: resolvconf.ResolvConf | None
    trouble: str = ""


async def look_ahead(wanted: Iterable[ForwardSettings], routes: Iterable[Route]) -> Known:
    """Find out where the upstreams of new settings are, before these are in force.

    Hostnames that are known to one of the present `routes` are not looked up again.
    """
    hosts: dict[str, tuple[str, ...]] = {}
    for upstream in (upstream for route in routes for upstream in route.upstreams):
        hosts[upstream.spec.host] = (*hosts.get(upstream.spec.host, ()), upstream.address[0])
    known = Known({host: tuple(dict.fromkeys(found)) for host, found in hosts.items()})
    unknown: dict[str, UpstreamSpec] = {}
    async with trio.open_nursery() as nursery:
        for settings in wanted:
            if settings.resolv_conf is not None:
                nursery.start_soon(_find_file, settings.resolv_conf, known.files)
            for spec in settings.upstreams:
                if not _is_address(spec.host) and spec.host not in known.hosts and spec.host not in unknown:
                    unknown[spec.host] = spec
        for spec in unknown.values():
            nursery.start_soon(_look_up, spec, known.hosts, known.troubles)
    return known


async def _find_file(path: str, files: dict[str, FileFound]) -> None:
    files[path] = await _read(path)


def apply_known(route: Route, known: Known, others: Sequence[Upstream] = ()) -> None:
    """Give a route the upstreams that its settings mean, as far as is known; those of `others` are known already."""
    path = route.settings.resolv_conf
    if path is None:
        hosts = dict.fromkeys(spec.host for spec in route.settings.upstreams if not _is_address(spec.host))
        troubles = {host: known.troubles.get(host, _PENDING) for host in hosts if host not in known.hosts}
        _apply(route, route.settings.upstreams, known.hosts, troubles, others)
    elif (file := known.files.get(path)) is not None:
        _use_file(route, path, file, others)


async def follow_upstreams(
    route: Route,
    limits: Limits,
    on_new: Callable[[], None],
    known: Known | None = None,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Keep the route's upstreams as their source has them; started when what needs no look-up is in place.

    `known` has been applied to the route already. `on_new` is called when there is an upstream that was not there.
    """
    if route.settings.resolv_conf is not None:
        await _follow_file(route, route.settings.resolv_conf, limits, on_new, known, task_status)
    else:
        await _follow_names(route, limits, on_new, known or Known(), task_status)


async def _follow_file(
    route: Route,
    path: str,
    limits: Limits,
    on_new: Callable[[], None],
    known: Known | None,
    task_status: trio.TaskStatus[None],
) -> None:
    file = None if known is None else known.files.get(path)
    if file is None:
        file = await _read(path)
        _use_file(route, path, file)
    stamp = file.stamp
    task_status.started()
    while True:
        await trio.sleep_until(next_look(limits.file_interval))
        before, stamp = stamp, await _stamp(path)
        if stamp != before and _use_file(route, path, await _read(path)):
            on_new()


async def _follow_names(
    route: Route, limits: Limits, on_new: Callable[[], None], known: Known, task_status: trio.TaskStatus[None]
) -> None:
    specs = route.settings.upstreams
    hosts = {spec.host: spec for spec in specs if not _is_address(spec.host)}
    found = {host: known.hosts[host] for host in hosts if host in known.hosts}
    troubles = {host: known.troubles.get(host, _PENDING) for host in hosts if host not in found}
    _apply(route, specs, found, troubles)
    task_status.started()
    pause = _SOON
    if hosts and not troubles:
        await trio.sleep(limits.resolve_interval)
    while hosts:
        for spec in hosts.values():
            await _look_up(spec, found, troubles)
            if route.settings.upstreams != specs:  # a reload came just before this task was to be cancelled
                return
            if _apply(route, specs, found, troubles):
                on_new()
        if any(host not in found for host in hosts):
            await trio.sleep(min(pause, limits.resolve_interval))
            pause *= 2
        else:
            pause = _SOON
            await trio.sleep(limits.resolve_interval)


def _apply(
    route: Route,
    specs: tuple[UpstreamSpec, ...],
    known: Mapping[str, tuple[str, ...]],
    troubles: Mapping[str, str],
    others: Sequence[Upstream] = (),
) -> bool:
    """Update the route's upstreams, and tell whether one of them is new.

    An upstream that stays keeps everything that was learnt about it.
    """
    route.trouble = "; ".join(f"upstream {host}: {trouble}" for host, trouble in troubles.items())
    present = {(upstream.spec, upstream.address[0]): upstream for upstream in route.upstreams}
    wanted = [
        (spec, a) for spec in specs for a in ((spec.host,) if _is_address(spec.host) else known.get(spec.host, ()))
    ]
    if wanted == list(present):
        return False
    settings = route.settings
    upstreams = []
    for spec, address in wanted:
        upstream = present.get((spec, address))
        if upstream is None:
            upstream = Upstream(spec, address, settings.domain, mixed_case=settings.mixed_case)
            upstream.learn_from((*route.upstreams, *others))
        upstreams.append(upstream)
    route.replace(upstreams)
    return any(each not in present for each in wanted)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _look_up(spec: UpstreamSpec, known: dict[str, tuple[str, ...]], troubles: dict[str, str]) -> None:
    """Note the addresses of a hostname as the operating system gives them, or the error that it gives.

    After an error the earlier addresses stay: it does not mean that the host has other addresses now.
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
    """Return a value that changes when the file or its permissions change; a mounted ConfigMap gets a new inode."""
    try:
        status = await trio.to_thread.run_sync(os.stat, path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size, status.st_ctime_ns


async def _read(path: str) -> FileFound:
    """Return what a file of upstreams says, with the stamp that it had before it was read."""
    stamp = await _stamp(path)
    try:
        found = resolvconf.read(await trio.to_thread.run_sync(_text, path))
    except OSError as error:
        return FileFound(stamp, None, f"cannot be read: {error.strerror or error}")
    return FileFound(stamp, found)


def _use_file(route: Route, path: str, file: FileFound, others: Sequence[Upstream] = ()) -> bool:
    """Take the upstreams from a file, and tell whether one of them is new.

    If it cannot be read or names none, the earlier upstreams stay.
    """
    found = file.found
    if found is None:
        _note_trouble(route, path, file.trouble, ())
        return False
    if not found.nameservers:
        _note_trouble(route, path, "has no line with a nameserver and its address", found.not_understood)
        return False
    has_new = _apply(route, found.nameservers, {}, {}, others)
    log.info("upstreams read", file=path, upstreams=[upstream.name for upstream in route.upstreams])
    if found.not_understood:
        log.warning("lines of a file of upstreams skipped", file=path, lines=list(found.not_understood[:_SHOWN]))
    if found.not_followed:
        log.info("options of a file of upstreams not followed", file=path, options=list(found.not_followed))
    return has_new


def _note_trouble(route: Route, path: str, why: str, odd: tuple[str, ...]) -> None:
    route.trouble = f"{path} {why}"
    in_use = [upstream.name for upstream in route.upstreams]
    log.warning("no upstreams in their file", file=path, error=why, lines=list(odd[:_SHOWN]), in_use=in_use)


def _text(path: str) -> str:
    """Return the text of a file. Raises OSError, also for a device or a pipe, and never waits for one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(None, "it is not a regular file")
        return file.read(_LARGEST).decode(errors="replace")


class Followers:
    """The tasks that keep each route's upstreams as their source has them."""

    def __init__(self, faults: Faults, on_new: Callable[[], None]) -> None:
        """Follow nothing yet; `on_new` is called when a source has an upstream that it had not."""
        self._faults = faults
        self._on_new = on_new
        self._nursery: trio.Nursery | None = None
        self._scopes: dict[Route, tuple[object, trio.CancelScope]] = {}

    async def run(
        self,
        routes: Collection[Route],
        limits: Limits,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Follow until cancelled; started when what needs no look-up is in place."""
        async with trio.open_nursery() as nursery:
            for route in routes:
                await nursery.start(self._follow, route, limits, None)
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    def replace(self, routes: Collection[Route], limits: Limits, known: Known) -> None:
        """Follow what has another source now from there, and routes that are gone no more."""
        for route, (source, scope) in tuple(self._scopes.items()):
            if route not in routes or source != _source(route, limits):
                scope.cancel()
                del self._scopes[route]
        for route in routes:
            if route not in self._scopes and self._nursery is not None:
                self._scopes[route] = _source(route, limits), trio.CancelScope()
                self._nursery.start_soon(self._follow, route, limits, known)

    async def _follow(
        self,
        route: Route,
        limits: Limits,
        known: Known | None,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        _, scope = self._scopes.setdefault(route, (_source(route, limits), trio.CancelScope()))
        with scope:
            await self._faults.keep_started(
                "upstream-source", follow_upstreams, route, limits, self._on_new, known, task_status=task_status
            )


def _source(route: Route, limits: Limits) -> object:
    """Return the source that a follower reads."""
    settings = route.settings
    return settings.upstreams, settings.resolv_conf, limits.file_interval, limits.resolve_interval
