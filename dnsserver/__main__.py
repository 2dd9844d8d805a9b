"""`python -m dnsserver` is the same program as `dnsserver`."""

from dnsserver.cli import cli


def main() -> None:
    """Run the command line; leaves by SystemExit with its status."""
    cli(prog_name="dnsserver")


if __name__ == "__main__":
    main()
