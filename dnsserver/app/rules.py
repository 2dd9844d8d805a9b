"""The rules of a configuration, with the names of its hosts files, for the chain.

The code that reads and applies rules is imported only if there are rules: with dnslib it takes 2 MiB.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from dnsserver.config import Config
from dnsserver.config.model import Hosts as HostsSettings
from dnsserver.resolver.hosts import Hosts
from dnsserver.wire.name import is_below

if TYPE_CHECKING:
    from dnsserver.resolver.rules import Rules


def has_rules(config: Config) -> bool:
    """Tell whether a configuration has any rule."""
    if config.rewrite or config.answer or config.hosts:
        return True
    return any(is_below(forward.domain.wire, config.domain.wire) for forward in config.forward)


def hosts_text(table: HostsSettings, texts: Mapping[str, str]) -> str:
    """Return all lines of a table of hosts; `texts` are those of the files, by their paths."""
    return "\n".join([*table.entries, texts[str(table.file)] if table.file is not None else ""])


def hosts_names(table: HostsSettings, text: str) -> Hosts:
    """Return a table of hosts with the names of its lines."""
    names = Hosts(
        ttl=table.ttl,
        below=[domain.wire for domain in table.below],
        authoritative_below=[domain.wire for domain in table.authoritative_below],
        excepted=[domain.wire for domain in table.except_],
        reverse=table.reverse,
    )
    names.load(text)
    return names


def rules_of(config: Config, hosts: Sequence[Hosts]) -> "Rules | None":
    """Return the rules with these tables of hosts, in their order; None if there are none."""
    if not has_rules(config):
        return None
    from dnsserver.config.rules import rule_set  # noqa: PLC0415 - see above
    from dnsserver.resolver.rules import Rules  # noqa: PLC0415 - likewise

    return Rules(rule_set(config), hosts, config.domain.wire)


def difference(before: "Rules | None", after: "Rules | None") -> Callable[[bytes], bool] | None:
    """Return what tells of a name whether its rules are others now, hosts apart; None if there are no rules."""
    if before is None and after is None:
        return None
    from dnsserver.resolver.rules import differ  # noqa: PLC0415 - see above

    return partial(differ, before, after)
