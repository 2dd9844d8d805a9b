"""`python -m dnsserver` is the same program as `dnsserver`."""

import sys

from dnsserver import signals


def main() -> None:
    """Run the command line; leaves by SystemExit with its status."""
    signals.pass_over()
    if sys.argv[1:2] == ["serve"]:
        signals.end_at_once()
    from dnsserver.cli import cli  # noqa: PLC0415 - 0.1 s of imports, in which signals come as well

    cli(prog_name="dnsserver")


if __name__ == "__main__":
    main()
