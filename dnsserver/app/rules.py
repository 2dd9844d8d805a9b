"""The rules of a configuration, with the names of its hosts files, as the chain takes them."""

from collections.abc import Mapping
from pathlib import Path

from dnsserver.config import Config
from dnsserver.config.files import read_text
from dnsserver.config.rules import rule_set
from dnsserver.resolver.hosts import Hosts
from dnsserver.resolver.rules import Rules

MOST_OF_HOSTS = 64 * 1024 * 1024  # octets of a hosts file


def has_rules(config: Config) -> bool:
    """Tell whether a configuration has any rule."""
    return bool(config.rewrite or config.answer or config.hosts or config.forward)


def read_hosts(config: Config) -> dict[Path, str]:
    """Return the texts of the hosts files; raises UnusableFileError for one that cannot be read."""
    return {table.file: read_text(table.file, MOST_OF_HOSTS) for table in config.hosts if table.file is not None}


def hosts(config: Config, texts: Mapping[Path, str]) -> list[Hosts]:
    """Return the tables of hosts in their order; `texts` are those of their files."""
    tables = []
    for table in config.hosts:
        names = Hosts(
            ttl=table.ttl,
            below=[domain.wire for domain in table.below],
            authoritative_below=[domain.wire for domain in table.authoritative_below],
            reverse=table.reverse,
        )
        names.load("\n".join([*table.entries, texts[table.file] if table.file is not None else ""]))
        tables.append(names)
    return tables


def rules(config: Config, texts: Mapping[Path, str]) -> Rules | None:
    """Return the rules, None if there are none."""
    return (Rules(rule_set(config), hosts(config, texts), config.domain.wire) or None) if has_rules(config) else None
