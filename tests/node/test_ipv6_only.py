"""The server and its guardian on a node that has IPv6 only, with the flags that manifests/README.md says."""

from typing import Any

from tests.node.spaces import SEPARATE, inside

PROGRAM = """
import atexit, json, subprocess, sys, time, urllib.request
import dns.message, dns.query
from dnsserver.node.addresses import Addresses
OWN, CLUSTER, HOST, folder = "fd00:20::10", "fd00:10:96::a", "fd00:7::1", sys.argv[1]
subprocess.run(["ip", "address", "delete", "127.0.0.1/8", "dev", "lo"], check=True)
subprocess.run(["ip", "address", "add", HOST + "/128", "dev", "lo"], check=True)
command = [sys.executable, "-m", "dnsserver"]
server = subprocess.Popen([*command, "serve", "--objects=zones/demo", f"--takeover={folder}/takeover",
                           f"--listen=[{OWN}]:53", f"--listen=[{CLUSTER}]:53", f"--admin=[{HOST}]:9253"])
guardian = subprocess.Popen([*command, "guard-node", OWN, f"--cluster={CLUSTER}", f"--report={folder}",
                             f"--metrics=[{HOST}]:9353"])
atexit.register(lambda: [process.kill() for process in (server, guardian)])
kernel = Addresses()
has = lambda: sorted({str(given.address) for given in kernel.all()} & {OWN, CLUSTER})
def within(seconds, wanted):
    ends = time.monotonic() + seconds
    while has() != wanted and time.monotonic() < ends:
        time.sleep(0.05)
    return has() == wanted
get = lambda port, path: urllib.request.urlopen(f"http://[{HOST}]:{port}{path}", timeout=10)
found = {"given": within(40, sorted({OWN, CLUSTER})), "answers": []}
query = dns.message.make_query("web.shop.svc.cluster.local", "AAAA")
for address in (OWN, CLUSTER):
    for ask in (dns.query.udp, dns.query.tcp):
        reply = ask(query, address, timeout=20)
        found["answers"] += [rdata.to_text() for rrset in reply.answer for rdata in rrset]
found["ready"] = get(9253, "/readyz").status
found["metrics"] = get(9353, "/metrics").read().decode()
server.kill()
found["taken"] = within(20, [OWN])
guardian.terminate()
found["ended"] = guardian.wait(60)
print(json.dumps(found))
"""


@SEPARATE
def test_a_node_with_ipv6_only_has_its_server(tmp_path: Any) -> None:
    found = inside(PROGRAM, str(tmp_path))
    assert (found["given"], found["taken"], found["ended"]) == (True, True, 0)
    assert found["answers"] == ["fd00:10:96::7014"] * 4
    assert found["ready"] == 200
    assert 'dnsserver_node_address{address="fd00:10:96::a"}' in found["metrics"]
