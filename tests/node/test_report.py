"""The report of a guardian: it is read back as it was written, and its metrics have the names of NodeLocal's."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from dnsserver.node.report import FILE, Report, clock, metrics, read, write

REPORT = Report(
    at=5.5,
    addresses={"169.254.20.10": True, "fd00::a": False},
    withheld=("fd00::a",),
    rules=True,
    answers=False,
    problems=("nftables: Operation not supported",),
    errors={"interface_add": 0, "nftables": 3},
    withdrawals=2,
    repairs=1,
)


def test_it_is_read_back(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    write(tmp_path, REPORT._replace(at=1.0))
    write(tmp_path, REPORT)
    assert read(tmp_path) == REPORT
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "dnsserver"
    write(folder, REPORT)
    assert read(folder) == REPORT


def test_what_is_no_report_is_none(tmp_path: Path) -> None:
    for text in ("", "{", "[]", '{"at": 1}', "null"):
        (tmp_path / FILE).write_text(text)
        assert read(tmp_path) is None


def test_the_clock_goes_on() -> None:
    assert 0 < clock() <= clock()


def test_the_metrics_are_in_prometheus_format() -> None:
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics(REPORT))
        for sample in family.samples
    }
    assert found == {
        ("coredns_nodecache_setup_errors_total", "interface_add"): 0,
        ("coredns_nodecache_setup_errors_total", "nftables"): 3,
        ("dnsserver_node_address", "169.254.20.10"): 1,
        ("dnsserver_node_address", "fd00::a"): 0,
        ("dnsserver_node_rules",): 1,
        ("dnsserver_node_server_answers",): 0,
        ("dnsserver_node_withdrawals_total",): 2,
        ("dnsserver_node_repairs_total",): 1,
    }
