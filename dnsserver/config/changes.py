"""The differences of two configurations: which part of the server uses each key, and what needs a restart. Pure."""

from typing import Any, Literal, get_origin

import msgspec

from dnsserver.config.model import Config, Table

Part = Literal[
    "restart",  # nothing follows such a key while the server runs
    "listeners",  # where it answers
    "admin",  # where HTTP is answered, and who may do what there
    "cluster",  # how names of the cluster are answered
    "local",  # what else is answered here, and how search lists are completed
    "outside",  # who is asked for all other names, and how
    "answers",  # how long answers from outside are kept, and how many
    "replies",  # how replies are written and kept
    "tcp",  # what a TCP client may take
    "clients",  # who may ask, and how much
    "selectors",  # which objects the API server is asked for
    "source",  # how the API server is followed
    "later",  # what is looked up when it is needed
    "top",  # what is counted of who asks what
    "log",
    "queries",  # which queries have a line in the log
]

# Every key, by its dotted name; an array of tables is one.
PARTS: dict[str, Part] = {
    "listen": "listeners",
    "admin": "admin",
    "admin_token": "admin",
    "domain": "restart",
    "ttl": "cluster",
    "pods": "cluster",  # but for "verified", see `_needs_restart`
    "reverse_zones": "cluster",
    "service": "cluster",
    "static": "local",
    "objects": "restart",
    "kubeconfig": "restart",
    "context": "restart",
    "upstreams": "outside",
    "ipv6": "outside",
    "workers": "restart",
    "state": "restart",
    "takeover": "restart",
    "guardian": "restart",
    "drain": "later",
    "drain_min": "later",
    "udp.size": "replies",
    "tcp.connections": "tcp",
    "tcp.idle": "tcp",
    "tcp.partial": "tcp",
    "tcp.write": "tcp",
    "tcp.backlog": "tcp",
    "tcp.buffers": "tcp",
    "tcp.in_flight": "tcp",
    "clients.allow": "clients",
    "clients.rate": "clients",
    "clients.in_flight": "clients",
    "clients.over": "clients",
    "clients.excess": "clients",
    "reply_cache.size": "replies",
    "forwarding.policy": "outside",
    "forwarding.deadline": "outside",
    "forwarding.hedge": "outside",
    "forwarding.mixed_case": "outside",
    "forwarding.authorities": "outside",
    "forwarding.trusted": "outside",
    "forwarding.in_flight": "outside",
    "forwarding.resolve_interval": "outside",
    "forwarding.file_interval": "outside",
    "forwarding.loop_retry": "outside",
    "forward": "outside",
    "rewrite": "local",
    "answer": "local",
    "hosts": "local",
    "local.domains": "local",
    "cache.size": "answers",
    "cache.ttl_cap": "answers",
    "cache.ttl_floor": "answers",
    "cache.negative_cap": "answers",
    "cache.negative_floor": "answers",
    "cache.failure_ttl": "answers",
    "cache.failure_cap": "answers",
    "cache.stale": "answers",
    "cache.stale_wait": "answers",
    "cache.renew_hits": "answers",
    "search.enabled": "local",
    "search.namespaces": "local",
    "search.node_domains": "local",
    "kubernetes.namespaces": "selectors",
    "kubernetes.labels": "selectors",
    "kubernetes.namespace_labels": "selectors",
    "kubernetes.page_size": "source",
    "kubernetes.silence": "source",
    "kubernetes.check_interval": "source",
    "kubernetes.stale_after": "later",
    "kubernetes.grace": "cluster",
    "kubernetes.snapshot_interval": "source",
    "top.sample": "top",
    "log.level": "log",
    "log.format": "log",
    "query_log": "queries",
}


class Changes(msgspec.Struct, frozen=True):
    """What a new configuration comes to: `config` is the one to put in force, `keys` what is another in it.

    The keys of `restart` differ as well; in `config` they are as they were.
    """

    config: Config
    keys: tuple[str, ...]
    restart: tuple[str, ...]

    @property
    def parts(self) -> frozenset[Part]:
        """The parts that have to follow."""
        return frozenset(PARTS[key] for key in self.keys)


def changes(old: Config, new: Config) -> Changes:
    """Return what is to become of `old`, that is in force, when the files say `new`."""
    differing = [key for key in keys() if value_of(old, key) != value_of(new, key)]
    restart = tuple(key for key in differing if _needs_restart(key, old, new))
    config = new
    for key in restart:
        config = _replaced(config, key.split("."), value_of(old, key))
    return Changes(config, tuple(key for key in differing if key not in restart), restart)


def keys(table: type[Table] = Config, path: str = "") -> list[str]:
    """Return the dotted names of all settings; an array of tables is one."""
    found = []
    for field in msgspec.structs.fields(table):
        name = f"{path}{field.name}"
        if get_origin(field.type) is None and isinstance(field.type, type) and issubclass(field.type, Table):
            found += keys(field.type, f"{name}.")
        else:
            found.append(name)
    return found


def value_of(config: Config, key: str) -> Any:
    """Return what stands at a dotted key."""
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _needs_restart(key: str, old: Config, new: Config) -> bool:
    """Tell whether a changed key needs a restart: verified pods, for example, need a list of the pods."""
    if key == "pods":
        return "verified" in {old.pods, new.pods}
    return PARTS[key] == "restart"


def _replaced(table: Any, names: list[str], value: Any) -> Any:
    """Return a table with another value at one key."""
    first, *rest = names
    inner = _replaced(getattr(table, first), rest, value) if rest else value
    return msgspec.structs.replace(table, **{first: inner})
