import struct

from loadtest.tally import Tally


def word(text: bytes) -> int:
    number: int = struct.unpack("=H", text)[0]
    return number


def test_rcodes_and_truncation_are_read_from_the_flags() -> None:
    tally = Tally()
    tally.flags[word(b"\x84\x00")] = 2
    tally.flags[word(b"\x86\x80")] = 3
    tally.flags[word(b"\x81\x83")] = 7
    tally.flags[word(b"\x80\x0c")] = 1
    assert tally.rcodes() == {"NXDOMAIN": 7, "NOERROR": 5, "RCODE12": 1}
    assert tally.truncated() == 3
