"""`python -m dnsserver` is the same program as `dnsserver`."""

import sys

from dnsserver import signals


def main() -> None:
    """Run the command line; leaves by SystemExit with its status."""
    signals.pass_over()
    take = None
    if sys.argv[1:2] == ["serve"]:
        signals.end_at_once()
        from dnsserver import start  # noqa: PLC0415 - 0.1 s of imports here and below, in which signals come as well

        take = start.read_apart()
    from dnsserver.cli import cli  # noqa: PLC0415

    cli(prog_name="dnsserver", obj=take)


if __name__ == "__main__":
    main()
