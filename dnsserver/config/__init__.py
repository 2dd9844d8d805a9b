"""A TOML file, those that it includes, and flags over them, to one frozen Config.

Promises: a Config that exists is valid, every mistake of a file is told at once with its line, the value found and what
was expected, and what `render` prints loads back equal. Knows the syntax of addresses and names (wire), which names are
special (zone), and nothing else of the server: app maps a Config onto what the parts take.
"""

from dnsserver.config.model import Config, Route
from dnsserver.config.reader import DEFAULT_FILE, Loaded, Override, load, read
from dnsserver.config.render import order, render
from dnsserver.config.syntax import ConfigError
from dnsserver.config.values import Address, Domain, Network, ServiceName, Upstream

__all__ = [
    "DEFAULT_FILE",
    "Address",
    "Config",
    "ConfigError",
    "Domain",
    "Loaded",
    "Network",
    "Override",
    "Route",
    "ServiceName",
    "Upstream",
    "load",
    "order",
    "read",
    "render",
]
