"""The guardian of a node's DNS addresses: a small process beside the server on each node, with NET_ADMIN alone.

It gives the node the addresses that pods ask, and excludes them from connection tracking. While the server does not
answer, it takes the cluster's DNS address away, so that kube-proxy leads to the central Service. If the guardian itself
dies or hangs, the kernel takes that address away, because it is given for only two seconds at a time.

`netlink` speaks to the kernel, about `addresses` and rules (`untracked`). `question` and `asker` ask the server, and
`health` judges the results. `guardian` decides. `report` is what others read about it, and `run` is the process.

It runs for years on every node, so it imports little: it takes 14 MiB. Python alone takes 9, with trio 25, with
pyroute2 33 (`/usr/bin/time -v`).
Must not know what a zone is, or who answers.
"""
