"""The rules of a configuration, with the names of its hosts files, as the chain takes them."""

from collections.abc import Mapping, Sequence

from dnsserver.config import Config
from dnsserver.config.model import Hosts as HostsSettings
from dnsserver.config.rules import rule_set
from dnsserver.resolver.hosts import Hosts
from dnsserver.resolver.rules import Rules


def has_rules(config: Config) -> bool:
    """Tell whether a configuration has any rule."""
    return bool(config.rewrite or config.answer or config.hosts or config.forward)


def hosts_text(table: HostsSettings, texts: Mapping[str, str]) -> str:
    """Return all lines of a table of hosts; `texts` are those of the files, by their paths."""
    return "\n".join([*table.entries, texts[str(table.file)] if table.file is not None else ""])


def hosts_names(table: HostsSettings, text: str) -> Hosts:
    """Return a table of hosts with the names of its lines."""
    names = Hosts(
        ttl=table.ttl,
        below=[domain.wire for domain in table.below],
        authoritative_below=[domain.wire for domain in table.authoritative_below],
        reverse=table.reverse,
    )
    names.load(text)
    return names


def rules_of(config: Config, hosts: Sequence[Hosts]) -> Rules | None:
    """Return the rules with these tables of hosts, in their order; None if there are none."""
    return (Rules(rule_set(config), hosts, config.domain.wire) or None) if has_rules(config) else None
