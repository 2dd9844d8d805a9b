"""Structures and numbers of the kernel that the code has as offsets: what C compilers say of them, for each machine.

The code reads and writes them by ctypes and struct, which know no headers. A compiler knows them, also of a machine
that nothing can be run for: it takes a file only if all that is claimed in it is so.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

# Debian's packages are in CONTRIBUTING.md. musl has no headers of the kernel: those of this machine come after its own.
COMPILERS = {
    "glibc": ["gcc"],
    "musl": ["musl-gcc", "-idirafter", "/usr/include", "-idirafter", "/usr/include/x86_64-linux-gnu"],
    "arm64": ["aarch64-linux-gnu-gcc"],
}
HEADERS = """
    netinet/in.h stddef.h sys/ioctl.h sys/prctl.h sys/socket.h sys/uio.h linux/filter.h linux/if_addr.h linux/if_link.h
    linux/netfilter.h linux/netfilter/nf_tables.h linux/netfilter/nfnetlink.h linux/netlink.h linux/rtnetlink.h
"""
# server.batch, loadtest.mmsg: messages in batches, each with an address and control data.
BATCHES = """
    sizeof(struct mmsghdr) == 64
    offsetof(struct mmsghdr, msg_hdr.msg_name) == 0
    offsetof(struct mmsghdr, msg_hdr.msg_namelen) == 8
    offsetof(struct mmsghdr, msg_hdr.msg_iov) == 16
    offsetof(struct mmsghdr, msg_hdr.msg_iovlen) == 24
    offsetof(struct mmsghdr, msg_hdr.msg_control) == 32
    offsetof(struct mmsghdr, msg_hdr.msg_controllen) == 40
    offsetof(struct mmsghdr, msg_hdr.msg_flags) == 48
    offsetof(struct mmsghdr, msg_len) == 56
    sizeof(((struct mmsghdr *)0)->msg_len) == 4
    sizeof(struct iovec) == 16
    offsetof(struct iovec, iov_len) == 8
    sizeof(struct sockaddr_in) == 16
    offsetof(struct sockaddr_in, sin_port) == 2
    offsetof(struct sockaddr_in, sin_addr) == 4
    sizeof(struct sockaddr_in6) == 28
    offsetof(struct sockaddr_in6, sin6_port) == 2
    offsetof(struct sockaddr_in6, sin6_addr) == 8
    CMSG_LEN(0) == 16
    CMSG_SPACE(sizeof(struct in_pktinfo)) == 32
    offsetof(struct in_pktinfo, ipi_ifindex) == 0
    offsetof(struct in_pktinfo, ipi_spec_dst) == 4
    CMSG_SPACE(sizeof(struct in6_pktinfo)) == 40
    offsetof(struct in6_pktinfo, ipi6_addr) == 0
    offsetof(struct in6_pktinfo, ipi6_ifindex) == 16
    CMSG_SPACE(2 * sizeof(long)) == 32
    MSG_DONTWAIT == 0x40
    MSG_TRUNC == 0x20
    IP_PKTINFO == 8
"""
# server.classic_bpf, server.steering, server.last_packets: programs for the kernel.
PROGRAMS = """
    SO_ATTACH_REUSEPORT_CBPF == 51
    SO_DETACH_REUSEPORT_BPF == 68
    SO_ATTACH_FILTER == 26
    SKF_NET_OFF == -0x100000
    sizeof(struct sock_fprog) == 16
    offsetof(struct sock_fprog, filter) == 8
    sizeof(struct sock_filter) == 8
    offsetof(struct sock_filter, jt) == 2
    offsetof(struct sock_filter, jf) == 3
    offsetof(struct sock_filter, k) == 4
    (BPF_LD | BPF_W | BPF_ABS) == 0x20
    (BPF_LD | BPF_H | BPF_ABS) == 0x28
    (BPF_LD | BPF_B | BPF_ABS) == 0x30
    (BPF_MISC | BPF_TAX) == 0x07
    (BPF_ALU | BPF_XOR | BPF_X) == 0xAC
    (BPF_ALU | BPF_AND | BPF_K) == 0x54
    (BPF_ALU | BPF_MUL | BPF_K) == 0x24
    (BPF_ALU | BPF_RSH | BPF_K) == 0x74
    (BPF_ALU | BPF_MOD | BPF_K) == 0x94
    (BPF_JMP | BPF_JEQ | BPF_K) == 0x15
    (BPF_RET | BPF_K) == 0x06
"""
# node: netlink, addresses and rules. kube.orphan: a process that ends with its parent.
NETLINK = """
    sizeof(struct nlmsghdr) == 16
    offsetof(struct nlmsghdr, nlmsg_type) == 4
    offsetof(struct nlmsghdr, nlmsg_flags) == 6
    offsetof(struct nlmsghdr, nlmsg_seq) == 8
    sizeof(struct nlattr) == 4
    offsetof(struct nlattr, nla_type) == 2
    sizeof(struct ifaddrmsg) == 8
    offsetof(struct ifaddrmsg, ifa_index) == 4
    sizeof(struct ifinfomsg) == 16
    offsetof(struct ifinfomsg, ifi_index) == 4
    offsetof(struct ifinfomsg, ifi_flags) == 8
    sizeof(struct ifa_cacheinfo) == 16
    offsetof(struct ifa_cacheinfo, ifa_valid) == 4
    sizeof(struct nfgenmsg) == 4
    offsetof(struct nfgenmsg, res_id) == 2
    (NLM_F_REQUEST | NLM_F_ACK | NLM_F_DUMP) == 0x305
    (NLM_F_REPLACE | NLM_F_CREATE | NLM_F_APPEND) == 0xD00
    NLM_F_DUMP_INTR == 0x10
    NLMSG_ERROR == 2
    NLMSG_DONE == 3
    NLA_F_NESTED == 0x8000
    RTM_NEWLINK == 16
    RTM_DELLINK == 17
    RTM_NEWADDR == 20
    RTM_DELADDR == 21
    RTM_GETADDR == 22
    (RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR) == 0x111
    SIOCGIFFLAGS == 0x8913
    NETLINK_NETFILTER == 12
    NFNL_SUBSYS_NFTABLES == 10
    NFT_MSG_NEWRULE == 6
    NFT_META_L4PROTO == 16
    NFT_FIB_RESULT_ADDRTYPE == 3
    NFT_PAYLOAD_TRANSPORT_HEADER == 2
    PR_SET_PDEATHSIG == 1
"""


def refused(command: list[str], claims: str, folder: Path) -> str:
    """What a compiler says against claims; nothing if they are all true."""
    lines = ["#define _GNU_SOURCE", *(f"#include <{header}>" for header in HEADERS.split())]
    lines += [f'_Static_assert({line.strip()}, "claimed");' for line in claims.splitlines() if line.strip()]
    (folder / "claims.c").write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [*command, "-fsyntax-only", "claims.c"], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    return done.stderr if done.returncode else ""


@pytest.fixture(params=COMPILERS)
def compiler(request: pytest.FixtureRequest) -> list[str]:
    found = COMPILERS[request.param]
    if shutil.which(found[0]) is None:
        pytest.skip(f"needs {found[0]}")
    return found


@pytest.mark.parametrize("claims", [BATCHES, PROGRAMS, NETLINK], ids=["batches", "programs", "netlink"])
def test_structures_are_as_the_code_has_them(compiler: list[str], claims: str, tmp_path: Path) -> None:
    assert refused(compiler, claims, tmp_path) == ""


def test_a_claim_that_is_not_so_is_refused(compiler: list[str], tmp_path: Path) -> None:
    assert "claimed" in refused(compiler, "sizeof(struct mmsghdr) == 60", tmp_path)
