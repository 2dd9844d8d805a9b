"""The composition root: builds every part from the configuration, runs them in one nursery, and ends in order.

`server` builds and runs, `settings` maps the configuration onto what the parts take, `figures` collects what they tell.
Must not know how any part does its work.
"""

from dnsserver.app.server import run

__all__ = ["run"]
