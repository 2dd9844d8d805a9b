"""An upstream that fails in the way that a name says, as a program: `python -m tests.e2e.failing PORT`."""

import socketserver
import sys
import threading

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

RECORDS = {dns.rdatatype.A: ("A", "192.0.2.1"), dns.rdatatype.AAAA: ("AAAA", "2001:db8::1")}
SOA = ["example.com.", "60", "IN", "SOA", "ns.example.com. hostmaster.example.com. 1 7200 1800 86400 60"]


def answer(wire: bytes) -> bytes | None:
    """Return the reply, None for silence. `RCODE-TYPE.example.com` fails for that type only, `RCODE` for all."""
    query = dns.message.from_wire(wire)
    question = query.question[0]
    what, _, only = question.name.to_text().lower().partition(".")[0].partition("-")
    if only and dns.rdatatype.from_text(only) != question.rdtype:
        what = "ok"
    if what == "silent":
        return None
    reply = dns.message.make_response(query, recursion_available=True)
    if what in {"ok", "nodata"}:
        found = RECORDS.get(question.rdtype) if what == "ok" else None
        if found is not None:
            reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", *found))
    else:
        reply.set_rcode(dns.rcode.from_text(what))
    if not reply.answer and reply.rcode() in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
        name, ttl, klass, type_, rdata = SOA
        reply.authority.append(dns.rrset.from_text(name, int(ttl), klass, type_, rdata))
    return reply.to_wire()


class Datagram(socketserver.BaseRequestHandler):
    """One query over UDP."""

    def handle(self) -> None:
        wire, sock = self.request
        reply = answer(wire)
        if reply is not None:
            sock.sendto(reply, self.client_address)


class Connection(socketserver.StreamRequestHandler):
    """One TCP connection."""

    def handle(self) -> None:
        while len(head := self.rfile.read(2)) == 2:
            reply = answer(self.rfile.read(int.from_bytes(head)))
            if reply is not None:
                self.wfile.write(len(reply).to_bytes(2) + reply)


def main(port: int) -> None:
    """Serve for ever."""
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    tcp = socketserver.ThreadingTCPServer(("127.0.0.1", port), Connection)
    udp = socketserver.ThreadingUDPServer(("127.0.0.1", port), Datagram)
    threading.Thread(target=tcp.serve_forever, daemon=True).start()
    sys.stdout.write("serving\n")
    sys.stdout.flush()
    udp.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
