"""The composition root: builds every part from the configuration, runs them in one nursery, and ends them in order.

`dns_service` connects what one process needs to answer. `server` is the first process, with `sync`, which follows the
cluster, and with admin HTTP. `workers` and `worker` are the two ends of further processes, and `worker_protocol` is the
pipe between them. `settings` turns the configuration into what each part takes, and `reload` follows its files.
`metrics_collector` collects the numbers of all parts, `listener_counts` those of an address. `clock` is the clock of a
process. `local_data` has the answers that do not come from the cluster, with the `rules`. `listeners` are the sockets.
`alteration` says which cached answers a change affects. On a node, `takeover` hands sockets over from one server to the
next, and `node_guardian` reads the report of the guardian. `preflight` finds what is wrong with a configuration before
anything starts, and `rehearsal` what would be found later. The commands `import-corefile` and `compare` are `corefile`
and `compare`; `admin_client` asks a running server.
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
