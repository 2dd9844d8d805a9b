"""Who may see and do what on admin HTTP: this machine, and clients with the token.

Promises: what is not open to everybody is closed. A web page of another site, open in a browser on this machine, reads
nothing here and does nothing, whatever its name resolves to.
"""

import hmac
import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from dnsserver.server.http import Request

# Envoy of Istio connects from these addresses on behalf of whoever called the pod.
_SIDECARS = {"127.0.0.6", "::6"}
# What says that somebody else's request is passed on, from this machine's address.
_PASSED_ON = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
_OWN_NAMES = {"localhost", "127.0.0.1", "::1"}
_SAME_SITE = {"", "none", "same-origin"}

_WHO = "only from this machine (kubectl port-forward), or with `Authorization: Bearer TOKEN` of the file admin_token"
_WHICH_HOST = "use localhost or the address: any other name could belong to anybody (DNS rebinding)"
_WHOSE_PAGE = "not for pages of other sites: open this address itself"


class Access:
    """Decides on requests that are not open to everybody."""

    def __init__(self, host: str = "", token: Path | None = None) -> None:
        """`host` is what admin HTTP listens on; `token` is a file with the secret, None where there is none."""
        self._names = _OWN_NAMES | {host.lower()} - {""}
        self._token = token

    def denial(self, request: Request) -> str | None:
        """Return why a request is denied and what to do about it, in one line; None if it is allowed."""
        if not _is_own_page(request):
            return _WHOSE_PAGE
        if self._has_token(request):
            return None
        if not _is_this_machine(request):
            return _WHO
        host = _host(request.headers.get("host", ""))
        return None if host in self._names or host == _plain(request.local) else _WHICH_HOST

    def _has_token(self, request: Request) -> bool:
        """Tell whether the request has the token that the file holds now: the file of a Secret changes in place."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if self._token is None or scheme.lower() != "bearer":
            return False
        try:
            wanted = self._token.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return False
        return bool(wanted) and hmac.compare_digest(given.strip().encode(), wanted.encode())


def _is_this_machine(request: Request) -> bool:
    """Tell whether the peer is a program on this machine that asks for itself.

    A peer whose address is the one that it connected to is also on this machine: with `admin = "10.0.0.5:9253"` the
    server does not listen on loopback.
    """
    client = _plain(request.client)
    if client in _SIDECARS or any(name in request.headers for name in _PASSED_ON):
        return False
    try:
        return ipaddress.ip_address(client).is_loopback or client == _plain(request.local)
    except ValueError:
        return False


def _is_own_page(request: Request) -> bool:
    """Tell whether the request is from a page of this server, or not from a browser at all.

    Browsers name the page in `Sec-Fetch-Site`, and in `Origin` if a script of the page asks (Fetch, section 3.2).
    """
    if request.headers.get("sec-fetch-site", "") not in _SAME_SITE:
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return True
    scheme, _, authority = origin.partition("://")
    return scheme in {"http", "https"} and authority.lower() == request.headers.get("host", "").lower()


def _host(header: str) -> str:
    """Return the host of a Host header, without port and brackets; "" if the header is not valid."""
    try:
        parts = urlsplit(f"//{header}")
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return ""
    return host.removesuffix(".") if parts.netloc == header and parts.username is None else ""


def _plain(address: str) -> str:
    """Return an address as text; an IPv4 address that an IPv6 socket reports is written as IPv4."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
