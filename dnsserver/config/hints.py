"""Guesses what an unknown key means: a key with a new name, a misspelled key, or a key of another table."""

from typing import get_args, get_origin

import msgspec

from dnsserver.config.model import Config, Table

# What was once, and what to write instead.
_FORMER_KEYS = {
    "search.namespaces_off": (
        "this key no longer exists; use search.namespaces, the list of namespaces where completion is on"
    ),
    "reply_cache.replies": "this key no longer exists; use reply_cache.size, in octets",
    "reply_cache.missing": "this key no longer exists; use reply_cache.size, a quarter of which is for missing names",
}
_FORMER_VALUES = {
    ("ipv6", "auto"): '"auto" no longer exists; write "on", the default, or "off" to hide all AAAA records from outside'
}
# What other DNS servers and the flags call it.
_ELSEWHERE = {
    "addr": "listen",
    "address": "listen",
    "admin_listen": "admin",
    "bind": "listen",
    "cluster_domain": "domain",
    "clusterdomain": "domain",
    "forwarders": "upstreams",
    "health": "admin",
    "host": "listen",
    "kube_config": "kubeconfig",
    "log_level": "log.level",
    "loglevel": "log.level",
    "metrics": "admin",
    "nameserver": "upstreams",
    "nameservers": "upstreams",
    "port": "listen",
    "resolvers": "upstreams",
    "servers": "upstreams",
    "state_dir": "state",
    "threads": "workers",
    "zone": "domain",
    "zones": "static",
}


def unknown(key: str, path: str, known: list[str]) -> str:
    """Say what to write instead of a key that the table at `path` (empty or with its final dot) does not have."""
    former = _FORMER_KEYS.get(f"{path}{key}")
    if former:
        return former
    from difflib import get_close_matches  # noqa: PLC0415 - for who has made a mistake

    written = key.lower().replace("-", "_")
    every = _every_key(Config)
    meant = [name for name in every if name.rpartition(".")[2] == written]
    near = get_close_matches(written, known, n=1)
    if near:
        meant = meant or [f"{path}{near[0]}"]
    if not meant and written in _ELSEWHERE:
        meant = [_ELSEWHERE[written]]
    if not meant:
        last = get_close_matches(written, [name.rpartition(".")[2] for name in every], n=1, cutoff=0.75)
        meant = [name for name in every if name.rpartition(".")[2] in last]
    if meant:
        where = "; keys that belong to no table come before the first [table]" if path and "." not in meant[0] else ""
        return f"unknown key; did you mean {' or '.join(meant)}?{where}"
    place = f"the table {path.removesuffix('.')}" if path else "the file"
    return f"unknown key; the keys of {place} are {', '.join(known)}"


def former_value(key: str, value: object) -> str:
    """Say what to write instead of a value that there was once; empty if there never was."""
    return _FORMER_VALUES.get((key, value), "") if isinstance(value, str) else ""


def _every_key(table: type[Table], path: str = "") -> list[str]:
    """Return the dotted names of all keys below a table."""
    keys = []
    for field in msgspec.structs.fields(table):
        inner = get_args(field.type)[0] if get_origin(field.type) is tuple else field.type
        keys.append(f"{path}{field.encode_name}")
        if isinstance(inner, type) and issubclass(inner, Table):
            keys += _every_key(inner, f"{path}{field.name}.")
    return keys
