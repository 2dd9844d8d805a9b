"""The credentials for an API server, and when to load them again.

Credentials end: a ServiceAccount's token file is renewed by the kubelet (about every 50 minutes), an exec plugin's
token names its expiry, certificates and CAs are rotated. `Credentials.current` is asked before each request and
answers from memory unless one of those is due; `invalidate` is what a 401 or a failed TLS handshake leads to.
"""

import json
import os
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import msgspec
import trio

from dnsserver.kube import loader
from dnsserver.logger import get_logger

REREAD = 60.0  # seconds: the kubernetes package and client-go read a token file again after one minute
EARLY = 60.0  # seconds: how long before its expiry a credential is renewed
RELOAD_PAUSE = 5.0  # seconds
LOAD_TIMEOUT = 60.0  # seconds: an exec plugin that waits for somebody to log in never ends


class CredentialsError(Exception):
    """There is no way in: the kubeconfig, the ServiceAccount or an exec plugin gives nothing usable."""


class HopelessCredentialsError(CredentialsError):
    """There is no way in until a person changes something: a file or a key is missing or wrong, a plugin not there."""


class ApiEndpoint(msgspec.Struct, frozen=True):
    """Where an API server is and what it wants to see.

    `authorization` is the whole header value; `ca`, `certificate` and `key` are PEM text; `expires` is unix time;
    the files, if named, are to be read again from time to time.
    """

    server: str
    authorization: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""
    verify: bool = True
    server_name: str = ""
    proxy: str = ""
    expires: float | None = None
    token_file: str = ""
    ca_file: str = ""

    def __repr__(self) -> str:
        """Leave out the secrets, since values end up in logs and tracebacks."""
        return f"ApiEndpoint({self.server!r})"

    def tls_key(self) -> tuple[object, ...]:
        """Return what a connection depends on; when it changes, connections have to be made anew."""
        return (self.server, self.ca, self.certificate, self.key, self.verify, self.server_name, self.proxy)


Load = Callable[[], Awaitable[ApiEndpoint]]
Process = subprocess.Popen[bytes]


def from_cluster(service_account: str = "", *, loader_process: Process | None = None) -> Load:
    """Return what loads the credentials of this pod; `loader_process` is `loader.begin` of the same, for the first."""
    return _from_loader(partial(loader.begin, service_account=service_account), loader_process)


def from_kubeconfig(path: str, context: str = "", *, loader_process: Process | None = None) -> Load:
    """Return what loads those of a kubeconfig's context (default: its current one), exec plugins included."""
    return _from_loader(partial(loader.begin, path, context), loader_process)


def _from_loader(begin: Callable[[], Process], loader_process: Process | None) -> Load:
    async def load() -> ApiEndpoint:
        nonlocal loader_process
        process, loader_process = loader_process or begin(), None
        try:
            # Not trio's run_process: this one may have been started before trio was there.
            out, errors = await trio.to_thread.run_sync(
                partial(process.communicate, timeout=LOAD_TIMEOUT), abandon_on_cancel=True
            )
        except subprocess.TimeoutExpired:
            raise CredentialsError(f"loading credentials took longer than {LOAD_TIMEOUT:.0f} s") from None
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(loader.end, process)
        try:
            answer = json.loads(out)
        except ValueError:
            reason = errors.decode(errors="replace").strip()[-500:]
            raise CredentialsError(f"loading credentials failed: {reason or 'their loader ended'}") from None
        if "error" in answer:
            raise (HopelessCredentialsError if answer.get("hopeless") else CredentialsError)(answer["error"])
        return msgspec.convert(answer, ApiEndpoint)

    return load


class Credentials:
    """The present ApiEndpoint, renewed when it is due; `load` is asked for a new one, `wall` is the unix clock.

    `reload_pause`: an exec plugin whose tokens are refused is not run more often, in seconds.
    """

    def __init__(
        self, load: Load, *, wall: Callable[[], float] = time.time, reload_pause: float = RELOAD_PAUSE
    ) -> None:
        self._load = load
        self._wall = wall
        self._reload_pause = reload_pause
        self._endpoint: ApiEndpoint | None = None
        self._failure: CredentialsError | None = None  # the last one to load the first
        self._reported = ""
        self._loaded = -float("inf")
        self._due = float("inf")
        self._invalidated = False
        self._looks = 0  # how often `look_again` was called
        self._lock = trio.Lock()
        self._log = get_logger("dnsserver.kube")

    async def current(self) -> ApiEndpoint:
        """Return what to use now.

        Raises CredentialsError when there never was any; later failures keep the last one, which may still be good.
        """
        async with self._lock:
            endpoint, looks = self._endpoint, self._looks
            age = trio.current_time() - self._loaded
            if endpoint is None:
                if self._failure is not None and age < self._reload_pause:
                    raise self._failure
                endpoint = await self._first()
            elif endpoint.token_file:
                if not self._invalidated and age < REREAD:
                    return endpoint
                endpoint = await self._renewed(endpoint, partial(_reread, endpoint))
            else:
                due = self._invalidated or trio.current_time() > self._due
                if not due or age < self._reload_pause:
                    return endpoint
                endpoint = await self._renewed(endpoint, self._load)
                if self._reported and self._invalidated:  # it failed, and is tried again after a pause
                    self._loaded = trio.current_time()
                    return endpoint
            self._endpoint, now = endpoint, trio.current_time()
            if looks == self._looks:  # else what has changed meanwhile may not be in it
                self._loaded, self._invalidated = now, False
            self._due = now + self._lifetime(endpoint)
            return endpoint

    def _lifetime(self, endpoint: ApiEndpoint) -> float:
        """Return for how many seconds from now an endpoint is valid; to set the clock later changes nothing.

        An endpoint that has expired already is replaced after some time only: perhaps the clock is wrong. If it is not,
        the API server refuses the endpoint.
        """
        if endpoint.expires is None:
            return float("inf")
        left = endpoint.expires - self._wall() - EARLY
        return left if left > -EARLY else REREAD

    def look_again(self) -> None:
        """Have the next `current` look again at once, whatever it is known to be good for."""
        self._looks += 1
        self._loaded, self._invalidated = -float("inf"), True

    def invalidate(self, endpoint: ApiEndpoint) -> None:
        """Record that the server did not accept it (401), or was not accepted (TLS): the next `current` looks again."""
        if endpoint is self._endpoint:
            self._invalidated = True

    @property
    def server(self) -> str:
        """Return the API server's URL; empty before it is known."""
        return self._endpoint.server if self._endpoint is not None else ""

    async def _first(self) -> ApiEndpoint:
        self._failure = None
        try:
            return await self._load()
        except CredentialsError as error:
            self._failure, self._loaded = error, trio.current_time()
            raise

    async def _renewed(self, old: ApiEndpoint, renew: Load) -> ApiEndpoint:
        try:
            new = await renew()
        except (CredentialsError, OSError, ValueError) as error:
            if str(error) != self._reported:
                self._reported = str(error)
                self._log.warning("credentials not renewed, using the last ones", server=old.server, error=str(error))
            return old
        self._reported = ""
        return old if new == old else new


async def _reread(endpoint: ApiEndpoint) -> ApiEndpoint:
    """Return the endpoint with what its files say now. Raises CredentialsError for a file that is being written."""

    def read() -> tuple[str, str]:
        return Path(endpoint.token_file).read_text("ascii").strip(), Path(endpoint.ca_file).read_text("ascii")

    token, ca = await trio.to_thread.run_sync(read)
    if not token or not ca:
        raise CredentialsError(f"{endpoint.token_file} or {endpoint.ca_file} is empty")
    return msgspec.structs.replace(endpoint, authorization=f"Bearer {token}", ca=ca)


def tls_context(endpoint: ApiEndpoint) -> ssl.SSLContext:
    """Return the TLS side of an endpoint; it blocks for milliseconds: call it in a thread. Raises ssl.SSLError."""
    context = ssl.create_default_context(cadata=endpoint.ca or None)
    # Python 3.13 turned on RFC 5280 strictness, which CAs of existing clusters fail (no authority key identifier).
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not endpoint.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if endpoint.certificate:
        # load_cert_chain wants a file; this one is memory only, so that a key is never written to a disk.
        handle = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
        try:
            os.write(handle, f"{endpoint.certificate}\n{endpoint.key}\n".encode("ascii"))
            context.load_cert_chain(f"/proc/self/fd/{handle}")
        finally:
            os.close(handle)
    return context
