"""Where a route's upstreams come from: addresses as given, hostnames looked up again and again, a resolv.conf file."""

import ipaddress
import os

import structlog
import trio

from dnsserver.resolver.resolvconf import nameservers
from dnsserver.resolver.route import Route
from dnsserver.resolver.settings import Limits, UpstreamSpec
from dnsserver.resolver.upstream import Upstream

log = structlog.get_logger(__name__)

_LOOKUP_TIME = 5.0


async def follow_upstreams(
    route: Route, limits: Limits, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Keep the route's upstreams as their source has them; started when what needs no look-up is in place."""
    settings = route.settings
    specs = settings.upstreams
    stamp = None
    if settings.resolv_conf is not None:
        stamp, specs = await _read(settings.resolv_conf, specs)
    known: dict[UpstreamSpec, tuple[str, ...]] = {}
    _apply(route, specs, known)
    task_status.started()
    while settings.resolv_conf is not None or any(not _is_address(spec.host) for spec in specs):
        for spec in specs:
            if not _is_address(spec.host):
                known[spec] = await _look_up(spec, known.get(spec, ()))
        _apply(route, specs, known)
        if settings.resolv_conf is None:
            await trio.sleep(limits.resolve_interval)
            continue
        await trio.sleep(limits.file_interval)
        if await _stamp(settings.resolv_conf) != stamp:
            stamp, specs = await _read(settings.resolv_conf, specs)
            log.info("upstreams read", file=settings.resolv_conf, upstreams=[spec.host for spec in specs])


def _apply(route: Route, specs: tuple[UpstreamSpec, ...], known: dict[UpstreamSpec, tuple[str, ...]]) -> None:
    """Bring the route's upstreams up to date; one that stays keeps all that was learnt about it."""
    present = {(upstream.spec, upstream.address[0]): upstream for upstream in route.upstreams}
    wanted = [(spec, a) for spec in specs for a in ((spec.host,) if _is_address(spec.host) else known.get(spec, ()))]
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


async def _look_up(spec: UpstreamSpec, before: tuple[str, ...]) -> tuple[str, ...]:
    """Return the addresses of a hostname as the operating system knows them, the ones from before when it does not."""
    try:
        with trio.fail_after(_LOOKUP_TIME):
            found = await trio.socket.getaddrinfo(spec.host, spec.real_port, type=trio.socket.SOCK_STREAM)
    except (OSError, trio.TooSlowError) as error:
        log.warning("upstream's name not resolved", host=spec.host, error=str(error))
        return before
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


async def _stamp(path: str) -> tuple[int, int, int] | None:
    """Return what changes when the file does; a mounted ConfigMap changes its inode."""
    try:
        status = await trio.to_thread.run_sync(os.stat, path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


async def _read(
    path: str, before: tuple[UpstreamSpec, ...]
) -> tuple[tuple[int, int, int] | None, tuple[UpstreamSpec, ...]]:
    """Return the file's stamp and nameservers, the ones from before while it cannot be read or has none."""
    stamp = await _stamp(path)
    try:
        text = await trio.Path(path).read_text(errors="replace")
    except OSError as error:
        log.warning("file with upstreams not readable", file=path, error=str(error))
        return stamp, before
    return stamp, nameservers(text) or before
