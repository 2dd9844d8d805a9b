"""Messages to the kernel: what is written is read back, whatever follows; and nothing that is cut short is read on."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.node.netlink import (
    DUMP,
    REQUEST,
    Message,
    Netlink,
    attribute,
    attributes,
    decoded,
    each_attribute,
    encoded,
    nested,
)

MESSAGES = st.builds(Message, st.integers(16, 65535), st.integers(0, 65535), st.binary(max_size=40))


@given(st.lists(MESSAGES, max_size=5))
def test_messages_are_read_back(messages: list[Message]) -> None:
    data = b"".join(encoded(message, number) for number, message in enumerate(messages))
    assert list(decoded(data)) == [
        (message._replace(flags=message.flags | REQUEST), number) for number, message in enumerate(messages)
    ]


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=20)), max_size=6))
def test_attributes_are_read_back_in_their_order(wanted: list[tuple[int, bytes]]) -> None:
    data = b"".join(attribute(kind, value) for kind, value in wanted)
    assert list(each_attribute(data)) == wanted
    assert attributes(nested(7, data))[7] == data


@given(st.binary(max_size=60))
def test_any_octets_come_to_an_end(data: bytes) -> None:
    list(decoded(data))
    list(each_attribute(data))


def test_the_kernel_is_asked() -> None:
    """It needs no privilege to list addresses, and says what is wrong with a request by a number."""
    kernel = Netlink(socket.NETLINK_ROUTE)
    get_address, new_address = 22, 20
    body = bytes(8)
    assert {message.kind for message in kernel.dump(Message(get_address, DUMP, body))} <= {new_address}
    with pytest.raises(OSError, match=r"\d"):
        kernel.do(Message(0x3FFF, 0x4, body))
    kernel.close()
