"""Real resolvers in a network namespace with a resolv.conf of its own, and a nameserver that notes what they ask it."""

import contextlib
import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

SPACE = f"dnsserver-resolving-{os.getpid()}"
_NEWNET = 0x40000000  # CLONE_NEWNET
_PATIENCE = 10.0
_RCODES = {"nxdomain": 3, "servfail": 2, "refused": 5, "notimp": 4}
C = r"""
#define _GNU_SOURCE
#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int count, char **words) {
    unsigned char answer[4096];
    struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM};
    if (unshare(CLONE_NEWUTS) || sethostname("pod", 3)) return 3;  /* glibc may take its domain as the search list */
    int type = atoi(words[2]);
    if (type) return res_search(words[1], 1, type, answer, sizeof answer) < 0;
    return getaddrinfo(words[1], "80", &hints, &found) != 0;
}
"""
GO = """
package main

import ("context"; "net"; "os")

func main() {
	resolver := &net.Resolver{PreferGo: true}
	var err error
	if os.Args[2] == "0" {
		_, err = resolver.LookupHost(context.Background(), os.Args[1])
	} else {
		_, err = resolver.LookupTXT(context.Background(), os.Args[1])
	}
	if err != nil { os.Exit(1) }
}
"""
COMPILERS = {"glibc": ("gcc", "gcc"), "musl": ("musl-gcc", "musl-tools"), "go": ("go", "golang-go")}


class Asked(NamedTuple):
    """A name, and all types that were asked for it before another name was asked."""

    name: str
    types: frozenset[str]


def built(resolver: str, folder: Path) -> list[str]:
    """Build a program that looks up a name, and return its command; it takes the name and a type, 0 for addresses."""
    if resolver == "go":
        (folder / "main.go").write_text(GO)
        command = ["go", "build", "-o", "look", "main.go"]
    else:
        (folder / "look.c").write_text(C)
        compiler = COMPILERS[resolver][0]
        command = [compiler, "-o", "look", "look.c", *(["-static"] if resolver == "musl" else ["-lresolv"])]
    environment = {**os.environ, "CGO_ENABLED": "0"}
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment, timeout=150)
    return [str(folder / "look")]


def in_space(make: Callable[[], socket.socket]) -> socket.socket:
    """Return a socket that was made in the namespace: it stays there."""
    made: list[socket.socket] = []

    def enter_and_make() -> None:
        with Path("/run/netns", SPACE).open() as space:
            assert ctypes.CDLL(None, use_errno=True).setns(space.fileno(), _NEWNET) == 0
        made.append(make())

    thread = threading.Thread(target=enter_and_make)  # a namespace is a thread's
    thread.start()
    thread.join()
    return made[0]


class Nameserver:
    """Answers each name as `says` has it: a type, `both`, `nodata`, `silent` or an rcode; other names with NXDOMAIN."""

    def __init__(self, says: Mapping[str, str]) -> None:
        self.says = says
        self.seen: list[tuple[str, str]] = []
        self._socket = in_space(lambda: _bound(socket.SOCK_DGRAM))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # it is not connected; the wait ends all the same
            self._socket.shutdown(socket.SHUT_RD)
        self._thread.join()
        self._socket.close()

    def kind(self, name: str) -> str:
        return self.says.get(name.lower(), "nxdomain")

    def _serve(self) -> None:
        while True:
            packet, peer = self._socket.recvfrom(4096)
            if not packet:
                return
            try:
                query = dns.message.from_wire(packet)
            except dns.exception.DNSException:
                continue  # what musl makes of the search domain `.`
            question = query.question[0]
            name, type_ = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
            self.seen.append((name.lower(), type_))
            reply = dns.message.make_response(query, recursion_available=True)
            kind = self.kind(name)
            if kind == "silent":
                continue
            if kind in _RCODES:
                reply.set_rcode(dns.rcode.Rcode(_RCODES[kind]))
            elif has(kind, type_):
                text = {"A": "192.0.2.1", "AAAA": "2001:db8::1", "TXT": '"x"'}[type_]
                reply.answer = [dns.rrset.from_text(question.name, 5, "IN", type_, text)]
            self._socket.sendto(reply.to_wire(), peer)

    def take(self) -> list[Asked]:
        """Return what was asked since the last time: repeated questions once, and A and AAAA together."""
        seen, self.seen = self.seen, []
        return [
            Asked(name, frozenset(type_ for _, type_ in those)) for name, those in groupby(seen, lambda one: one[0])
        ]


def has(kind: str, type_: str) -> bool:
    """Tell whether a name of a kind has records of a type."""
    return kind in {type_, "both"} or (kind == "TXT" and type_ == "TXT")


def _bound(kind: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(("127.0.0.1", 53))
    return sock


@contextlib.contextmanager
def space() -> Iterator[None]:
    """Make the namespace, and delete it after the block."""
    settings = Path("/etc/netns") / SPACE
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "resolv.conf").touch()
    subprocess.run(["ip", "netns", "add", SPACE], check=True)
    try:
        subprocess.run(["ip", "-n", SPACE, "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "-n", SPACE, "address", "add", "10.244.9.9/32", "dev", "lo"], check=True)
        yield
    finally:
        subprocess.run(["ip", "netns", "delete", SPACE], check=False)
        (settings / "resolv.conf").unlink()
        settings.rmdir()


def look_up(command: Sequence[str], resolv_conf: str, name: str, qtype: int) -> bool:
    """Let a program look up a name with a resolv.conf; return whether it was found."""
    (Path("/etc/netns") / SPACE / "resolv.conf").write_text(resolv_conf)
    inside = ["ip", "netns", "exec", SPACE, *command, name, str(qtype)]
    done = subprocess.run(inside, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode == 0
