"""Imports the ConfigMap of kube-dns: stub domains, upstream name servers, and its defaults."""

import json
from collections.abc import Mapping
from typing import Any

from dnsserver.config.corefile.draft import Draft, Source
from dnsserver.config.corefile.upstreams import upstream_of
from dnsserver.config.corefile.zones import zones_of

_KEYS = {"stubDomains", "upstreamNameservers", "federations"}
_TTL = 30  # of kube-dns's records, and there is no setting for it


def kube_dns(draft: Draft, name: str, data: Mapping[str, tuple[int, str]]) -> None:
    """Import its data: each key with its line and its JSON text."""
    whole = Source(name, 0, "kube-dns")
    draft.put("ttl", _TTL, whole, "kube-dns", "the TTL of kube-dns's records")
    draft.put("pods", "insecure", whole, "kube-dns", "kube-dns answers the name of a pod with the address in it")
    for key in ("stubDomains", "upstreamNameservers"):
        if key in data:
            line, text = data[key]
            source = Source(name, line, f"{key}: {' '.join(text.split())}")
            value = _value(text)
            if key == "stubDomains":
                _stub_domains(draft, value, source)
            else:
                _upstreams(draft, value, source)
    if "upstreamNameservers" not in data:
        draft.default(
            whole, "upstreamNameservers", "the servers of /etc/resolv.conf are used: the node's, with dnsPolicy Default"
        )
    if "federations" in data:
        source = Source(name, data["federations"][0], "federations")
        draft.lost(
            source, "federations", "federated Services no longer exist in Kubernetes: their names go to the upstreams"
        )
    for key in sorted(set(data) - _KEYS):
        draft.lost(Source(name, data[key][0], key), key, "is not a key that this importer knows: left out")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _stub_domains(draft: Draft, value: Any, source: Source) -> None:
    if not isinstance(value, dict):
        draft.lost(source, "stubDomains", "is not a JSON object of domains and lists of servers: left out")
        return
    for domain, servers in value.items():
        found = _servers(draft, servers, source, "stubDomains")
        try:
            (zone,) = zones_of(domain)
        except ValueError:
            draft.lost(source, "stubDomains", f"{domain[:80]} is not a domain name: left out")
            continue
        if found:
            draft.add("forward", {"domain": zone, "upstreams": found, "trusted": True}, source, "stubDomains")
        else:
            draft.lost(source, "stubDomains", f"{zone} has no servers: its names go to the other upstreams")


def _upstreams(draft: Draft, value: Any, source: Source) -> None:
    found = _servers(draft, value, source, "upstreamNameservers")
    if found:
        draft.put("upstreams", found, source, "upstreamNameservers")
    else:
        draft.lost(source, "upstreamNameservers", "has no servers: those of /etc/resolv.conf are used")


def _servers(draft: Draft, value: Any, source: Source, what: str) -> list[str]:
    if not isinstance(value, list):
        draft.lost(source, what, "expected a JSON list of servers")
        return []
    found = []
    for text in value:
        server = upstream_of(text) if isinstance(text, str) else None
        if server is None:
            draft.lost(source, what, f"{str(text)[:80]} is not a server that can be asked: left out")
        else:
            found.append(server)
    return list(dict.fromkeys(found))
