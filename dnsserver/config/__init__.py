"""Turns a TOML file, its included files, and flags, which override them, into one frozen Config.

Promises: every Config that exists is valid. Every mistake in a file is reported at once, with its line, the value found
and what was expected. What `render` prints loads back equal. This package knows the syntax of addresses and names
(wire), and which names are special (zone), but nothing else of the server: app turns a Config into what the parts take.
"""

from dnsserver.config.model import Config, Route
from dnsserver.config.reader import DEFAULT_FILE, Loaded, Override, load, read
from dnsserver.config.render import order, render
from dnsserver.config.syntax import ConfigError, Problem, in_order
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
    "Problem",
    "Route",
    "ServiceName",
    "Upstream",
    "in_order",
    "load",
    "order",
    "read",
    "render",
]
