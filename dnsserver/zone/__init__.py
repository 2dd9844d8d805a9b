"""Names to answers: the in-memory zone of the cluster, which events keep up to date, and the fixed names beside it.

Promises: an answer is computed from the index when it is asked for. It says its reason, and on which keys it depends.
`apply` costs the work of one object and returns the keys that it changed. Must not know EDNS, sockets, clients, caches,
the transport of the API or the time: `now` is an argument.
"""
