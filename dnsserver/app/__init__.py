"""The composition root: builds every part from the configuration, runs them in one nursery, and ends in order.

`dns_service` wires what one process needs to answer, `server` is the first process (with `sync`, which follows the
cluster, and admin HTTP), `workers` and `worker` are the two ends of further processes and `worker_protocol` is the pipe
between them, `settings` maps the configuration onto what the parts take, `reload` follows the files that it comes from,
`metrics_collector` collects what they count, `clock` is what all of a process goes by. `local_data` is what is answered
besides the cluster, with the `rules`; `listeners` are the sockets; `alteration` says what a change alters in caches.
On a node, `takeover` hands sockets over from one server to the next; `node_guardian` reads what the guardian says.
`preflight` finds what is in the way of a configuration before anything is begun, `rehearsal` what would be found later.
The commands `import-corefile` and `compare` are `corefile` and `compare`; `admin_client` asks a running server.
Must not know how any part does its work.
"""

from collections.abc import Sequence
from functools import partial

from dnsserver import signals
from dnsserver.config import Loaded
from dnsserver.kube import loader


def run(loaded: Loaded, warnings: Sequence[tuple[str, str, bool]] = ()) -> int:
    """Serve until SIGTERM or SIGINT, and follow the files of `loaded`; return the exit status.

    That is 0, 1 when the server could not start, 2 for a mistake, 130 after two ^C.

    `warnings` are settings, what is to be said of them, and whether they are in force all the same: they are logged
    first. No process is left behind, whether this one could start or not.
    """
    loader_process = None
    config = loaded.config
    try:
        if config.objects is None:  # the loader of credentials works while the libraries below are imported
            with signals.held():
                loader_process = loader.begin(str(config.kubeconfig or ""), config.context or "")
                signals.end_at_once(partial(loader.end, loader_process))
        from dnsserver.app.reload import say_of_settings  # noqa: PLC0415 - likewise
        from dnsserver.app.server import serve  # noqa: PLC0415 - 0.3 s of imports

        say_of_settings(warnings)
        return serve(loaded, loader_process)
    finally:
        signals.pass_over_to_the_last()
        if loader_process is not None:
            loader.end(loader_process)
