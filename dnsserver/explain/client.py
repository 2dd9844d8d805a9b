"""A client as its resolver sees the world: which servers it asks, with which search list and options.

It is made from the text of a resolv.conf (resolv.conf(5)), from a namespace, or from what the spec of a pod says about
DNS. The kubelet makes the resolv.conf of a pod (Kubernetes, "DNS for Services and Pods";
`pkg/kubelet/network/dns/dns.go`).
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from dnsserver.kube.pod_dns import PodDns

MOST_NAMESERVERS = 3  # of a resolv.conf, in every C library, and of a pod
_MOST_SEARCHES, _LONGEST_SEARCH = 32, 2048  # of a pod: more is not written into its resolv.conf
_OLD_SEARCHES, _OLD_LONGEST = 6, 256  # glibc before 2.26
_KEYWORDS = frozenset(("nameserver", "search", "domain", "options", "sortlist"))
_IGNORED_SHOWN = 3  # lines
_LINE_SHOWN = 60  # letters
MUSL_LONGEST_LINE = 254  # octets of a line, beside its end, that musl does not pass over
_DEFAULT_NDOTS, _MOST_NDOTS = 1, 15
_DEFAULT_TIMEOUT, _MOST_TIMEOUT = 5, 30
_DEFAULT_ATTEMPTS, _MOST_ATTEMPTS = 2, 5
_NUMBER = re.compile(r"\d+", re.ASCII)

Here = Literal["yes", "no", "unknown"]


class Node(msgspec.Struct, frozen=True):
    """What is known of the nodes' own resolv.conf, and of this server: `own` are the addresses that clients ask.

    Of these, `service` are its Service's, which kubelets write into the resolv.conf of pods (`clusterDNS`).
    """

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    is_known: bool = False
    own: tuple[str, ...] = ()
    service: tuple[str, ...] = ()


class Client(msgspec.Struct, frozen=True):
    """Whose question it is. `here` says whether this server is asked; `hosts` are names that its /etc/hosts has.

    Texts of `search` have no dot at their end, but for the root, which is one. `search_line` is how many octets the
    line of the search list has.
    """

    who: str
    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    search_line: int = 0
    here: Here = "unknown"
    hosts: tuple[tuple[str, str], ...] = ()
    namespace: str = ""
    notes: tuple[str, ...] = ()

    @property
    def ndots(self) -> int:
        """How many dots a name has that is asked as it is first."""
        return _number(self.options, "ndots:", _DEFAULT_NDOTS, _MOST_NDOTS)

    @property
    def timeout(self) -> int:
        """How many seconds one question waits for one nameserver (glibc)."""
        return max(1, _number(self.options, "timeout:", _DEFAULT_TIMEOUT, _MOST_TIMEOUT))

    @property
    def attempts(self) -> int:
        """How often each nameserver is asked (glibc)."""
        return max(1, _number(self.options, "attempts:", _DEFAULT_ATTEMPTS, _MOST_ATTEMPTS))

    @property
    def musl_searches(self) -> bool:
        """Whether musl takes the search list: it passes over lines that are too long for it."""
        return self.search_line <= MUSL_LONGEST_LINE


def looks_like_resolv_conf(text: str) -> bool:
    """Tell whether a text may be a resolv.conf: it is empty, or has a line that resolvers know (resolv.conf(5))."""
    found = _lines(text)
    return not found or ("\0" not in text and any(line.split()[0] in _KEYWORDS for line in found))


def _lines(text: str) -> list[str]:
    """Return the lines that are neither empty nor a comment."""
    return [line for line in text.removeprefix("\ufeff").splitlines() if line.split() and line[0] not in "#;"]


def of_resolv_conf(text: str, who: str, own: Sequence[str] = ()) -> Client:
    """Return the client whose resolv.conf has this text; `own` are the addresses of this server."""
    nameservers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    line_length = 0
    ignored: list[str] = []
    for line in _lines(text):
        words = line.split()
        match words[0]:
            case "nameserver" if len(words) > 1 and _is_address(words[1]):
                nameservers.append(words[1])
            case "search":
                search, line_length = _domains(words[1:]), len(line.encode())
            case "domain":
                search, line_length = _domains(words[1:2]), len(line.encode())
            case "options":
                options += words[1:]
            case keyword if keyword == "nameserver" or keyword not in _KEYWORDS:
                ignored.append(line.strip()[:_LINE_SHOWN])
            case _:
                pass
    notes = [f'resolvers ignore the line "{line}"' for line in ignored[:_IGNORED_SHOWN]]
    if len(ignored) > _IGNORED_SHOWN:
        notes.append(f"resolvers ignore {len(ignored) - _IGNORED_SHOWN} more lines")
    if len(nameservers) > MOST_NAMESERVERS:
        notes.append(f"resolvers take the first {MOST_NAMESERVERS} of {len(nameservers)} nameservers")
    if not nameservers:
        notes.append(
            "there is no valid line `nameserver ADDRESS`: resolvers ask 127.0.0.1, the client's own machine or pod"
        )
    taken = tuple(nameservers[:MOST_NAMESERVERS]) or ("127.0.0.1",)
    made = Client(who, taken, search, tuple(options), line_length, _here(taken, own))
    return _noted(made, notes)


def of_namespace(namespace: str, domain: str, node: Node) -> Client:
    """Return a pod of a namespace as pods are by default: ClusterFirst, and nothing else said of its DNS."""
    return of_pod(PodDns(namespace=namespace), domain, node, f"a pod of the namespace {namespace} (ClusterFirst)")


def of_pod(pod: PodDns, domain: str, node: Node, who: str = "") -> Client:
    """Return a pod with the resolv.conf that a kubelet writes for it; `domain` is the cluster's, without final dot."""
    policy, notes = pod.policy, list[str]()
    if policy == "ClusterFirst" and pod.host_network:
        policy = "Default"
        notes.append(
            "hostNetwork makes ClusterFirst the same as Default: the pod asks the node's nameservers, not the"
            " cluster's. For cluster names set dnsPolicy: ClusterFirstWithHostNet"
        )
    here: Here = "yes"
    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    match policy:
        case "None":
            pass
        case "Default":
            nameservers, search, options = node.nameservers, node.search, node.options
            notes += _of_the_node(node)
        case _:
            # What a server has on loopback is its own machine's: in a pod, loopback is the pod.
            nameservers = tuple(address for address in node.service or node.own if not _is_loopback(address))
            options = ("ndots:5",)
            search = (f"{pod.namespace}.svc.{domain}", f"svc.{domain}", domain, *node.search)
    nameservers = _each_once((*nameservers, *pod.nameservers))
    search = _each_once((*search, *_domains(pod.searches)))
    options = _merged(options, pod.options)
    if policy in {"None", "Default"}:
        here = _here(nameservers, node.own) if nameservers else "unknown"
        if policy == "Default" and here == "unknown":
            here = "no"
    search, too_many = _within_limits(search)
    if too_many:
        most = f"{_MOST_SEARCHES} search domains of {_LONGEST_SEARCH} octets"
        notes.append(f"a pod has at most {most}: {too_many} left out")
    if len(nameservers) > MOST_NAMESERVERS:
        left_out = ", ".join(nameservers[MOST_NAMESERVERS:])
        notes.append(f"a pod has at most {MOST_NAMESERVERS} nameservers: {left_out} left out")
    who = who or f"pod {pod.namespace}/{pod.name} (dnsPolicy {pod.policy}{', hostNetwork' if pod.host_network else ''})"
    made = Client(
        who,
        nameservers[:MOST_NAMESERVERS],
        search,
        options,
        len(" ".join(("search", *search)).encode()) if search else 0,
        here,
        pod.hosts(domain),
        pod.namespace,
    )
    return _noted(made, notes)


def _of_the_node(node: Node) -> list[str]:
    if not node.is_known:
        return ["the content of the node's resolv.conf is not known here"]
    return ["the node's resolv.conf is taken from the node that this server runs on; another node may have another one"]


def _noted(client: Client, notes: list[str]) -> Client:
    """Return the client with the notes about its resolv.conf."""
    if not client.musl_searches:
        notes.append(
            f"musl (Alpine) ignores the search list: its line has {client.search_line} octets, more than"
            f" {MUSL_LONGEST_LINE}"
        )
    if len(client.search) > _OLD_SEARCHES or len(" ".join(client.search)) > _OLD_LONGEST:
        notes.append(
            f"glibc before 2.26 (2017) uses only the first {_OLD_SEARCHES} domains and {_OLD_LONGEST} characters of the"
            " search list"
        )
    return msgspec.structs.replace(client, notes=(*client.notes, *notes))


def _here(nameservers: Sequence[str], own: Sequence[str]) -> Here:
    """Tell whether this server is asked, as far as its addresses are known."""
    known = {_canonical(address) for address in own}
    if not known:
        return "unknown"
    return "yes" if any(_canonical(address) in known for address in nameservers) else "unknown"


def _canonical(address: str) -> str:
    return str(ipaddress.ip_address(address)) if _is_address(address) else address


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(text: str) -> bool:
    return _is_address(text) and ipaddress.ip_address(text).is_loopback


def _domains(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(word.removesuffix(".") or "." for word in words)


def _each_once(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _merged(options: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    """Return each option once by its name; of several, the last one counts."""
    return tuple({option.partition(":")[0]: option for option in (*options, *others)}.values())


def _within_limits(search: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
    """Return the search domains that a pod may have, and the number of those beyond the limits."""
    kept = search[:_MOST_SEARCHES]
    while len(" ".join(kept)) > _LONGEST_SEARCH:
        kept = kept[:-1]
    return kept, len(search) - len(kept)


def _number(options: Iterable[str], prefix: str, default: int, most: int) -> int:
    """Return the number of the last option with this prefix; as in C libraries, 0 if it has no number."""
    value = default
    for option in options:
        if option.startswith(prefix):
            found = _NUMBER.match(option[len(prefix) :])
            value = min(int(found[0][:9]), most) if found is not None else 0
    return value
