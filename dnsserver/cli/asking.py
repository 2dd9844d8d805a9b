"""The commands that say what a server answers, and why: a running server, or one made from objects."""

import importlib
import sys
from pathlib import Path
from typing import Any

import click

from dnsserver.cli.flags import in_flags
from dnsserver.cli.running import client, running_server
from dnsserver.start import INVALID, load

_MOST_OF_A_RESOLV_CONF = 8 * 1024  # octets: it goes into a request
_FLAGS = {"name": "NAME", "type": "--type", "pod": "--pod", "namespace": "--namespace", "resolv_conf": "--resolv-conf"}
_WAIT = 60.0  # seconds: an explanation asks upstreams

_AT_HAND = (
    click.option("--objects", metavar="PATH", help="Files of Kubernetes objects, in place of a running server."),
    click.option("--kubeconfig", metavar="FILE", help="The API server of a cluster, in place of a running server."),
    click.option("--context", metavar="NAME", help="A context of the kubeconfig."),
    click.option("--domain", metavar="NAME", help="The domain of the cluster, with --objects and --kubeconfig."),
    click.option(
        "--upstream", multiple=True, metavar="SERVER", help="With these, a server for outside names; repeatable."
    ),
)


def _at_hand(command: Any) -> Any:
    for option in reversed(_AT_HAND):
        command = option(command)
    return command


def _is_at_hand(given: dict[str, Any], server: str | None, token_file: Path | None) -> bool:
    """Tell whether objects at hand are meant, and not a running server. Raises UsageError for a flag without effect."""
    sources = [f"--{key}" for key in ("objects", "kubeconfig") if given[key] is not None]
    if sources:
        for flag, value in (("--server", server), ("--token-file", token_file)):
            if value is not None:
                raise click.UsageError(
                    f"found {flag} and {sources[0]}, expected one of them: objects at hand take the place of a running"
                    " server"
                )
        return True
    for key in ("context", "domain", "upstream"):
        if given[key] not in {None, ()}:
            raise click.UsageError(
                f"found --{key} without --objects or --kubeconfig, expected one of these as well: a running server"
                " answers by its own configuration"
            )
    return False


@click.command()
@click.argument("name")
@click.option("--type", "type_", metavar="TYPE", default="", help="A type of records.  [default: A and AAAA]")
@click.option("--pod", metavar="NS/POD", default="", help="Explain it for this pod, by its dnsPolicy and dnsConfig.")
@click.option(
    "--namespace", metavar="NS", default="", help="Explain it for a pod of this namespace.  [default: default]"
)
@click.option("--resolv-conf", type=click.Path(path_type=Path), help="Explain it for a client with this resolv.conf.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@running_server
@_at_hand
def explain(
    name: str,
    type_: str,
    pod: str,
    namespace: str,
    resolv_conf: Path | None,
    as_json: bool,
    server: str | None,
    token_file: Path | None,
    config: Path | None,
    **given: Any,
) -> None:
    """Say why NAME resolves for a client, or why not, and what to do.

    Prints which servers the client asks, each question that resolvers (glibc, musl, Go) make of the name, its answer,
    where the answer comes from, and the reason of each failure. The last line is the result. Ends with status 0 if the
    name resolves, 1 if not, 2 if that cannot be found out.

    It asks a running server. In a cluster, run it in a pod of the server:
    kubectl -n NAMESPACE exec POD -- dnsserver explain NAME
    """
    at_hand = _is_at_hand(given, server, token_file)
    wanted = {"name": name, "type": type_, "pod": pod, "namespace": namespace}
    if resolv_conf is not None:
        try:
            wanted["resolv_conf"] = resolv_conf.read_text("utf-8", "replace")[:_MOST_OF_A_RESOLV_CONF]
        except OSError as error:
            raise click.UsageError(f"{resolv_conf}: {(error.strerror or str(error)).lower()}") from error
    report = importlib.import_module("dnsserver.explain.report")
    if at_hand:
        found = _explained(wanted, config, given)
    else:
        asked = {key: value for key, value in wanted.items() if value or key in {"name", "resolv_conf"}}
        admin = importlib.import_module("dnsserver.app.admin_client")
        try:
            found = client(server, token_file, config, _WAIT).get_value("/explain", asked, report.Explanation)
        except admin.AdminError as error:
            click.echo(in_flags(str(error), _FLAGS), err=True)
            sys.exit(INVALID)
    if as_json:
        msgspec = importlib.import_module("msgspec")
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        for line in importlib.import_module("dnsserver.explain.text").lines(found):
            click.echo(line)
    sys.exit(0 if found.resolves else 1)


def _explained(wanted: dict[str, str], config: Path | None, given: dict[str, Any]) -> Any:
    """Return the explanation from the given objects; ends the program with status 2 if there is none."""
    loaded = load(config, given)
    module = importlib.import_module("dnsserver.app.explain")
    explainer = importlib.import_module("dnsserver.app.explainer")
    importlib.import_module("dnsserver.log").configure_logging("error", loaded.config.log.format)
    try:
        return module.run(loaded, explainer.Wanted(**wanted))
    except (module.ExplainError, explainer.WantedError) as error:
        click.echo(in_flags(str(error), _FLAGS), err=True)
        sys.exit(INVALID)


@click.command()
@click.argument("name", required=False, default="")
@click.option("--reverse", is_flag=True, help="Also print the reverse names of all addresses.")
@running_server
@_at_hand
def dump(
    name: str, reverse: bool, server: str | None, token_file: Path | None, config: Path | None, **given: Any
) -> None:
    """Print the records of the cluster's zone, as a zone file.

    Prints all of them, or those of NAME: a namespace, or a name and all names below it. NAME may be short, as in
    web.shop, or NAMESPACE/SERVICE, as in shop/web. It asks a running server. Ends with status 0, with 1 if there are no
    such records, and with 2 if it cannot get the zone.
    """
    admin = importlib.import_module("dnsserver.app.admin_client")
    module = importlib.import_module("dnsserver.app.dump")
    if _is_at_hand(given, server, token_file):
        loaded = load(config, given)
        importlib.import_module("dnsserver.log").configure_logging("error", loaded.config.log.format)
        found = module.run(loaded.config, name, reverse=reverse)
    else:
        query = {key: value for key, value in (("name", name), ("reverse", "1" if reverse else "")) if value}
        found = client(server, token_file, config).lines("/dump", query)
    some = False
    try:
        for line in found:
            some = some or not line.startswith(";")
            click.echo(line)
    except (module.DumpError, admin.AdminError) as error:
        click.echo(in_flags(str(error), _FLAGS), err=True)
        sys.exit(INVALID)
    sys.exit(0 if some else 1)
