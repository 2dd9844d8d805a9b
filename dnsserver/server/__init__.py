"""Sockets: packets in, replies out, over UDP and TCP, and the admin HTTP beside them.

Promises: a packet found in the reply cache is answered in its batch, without a task and without being parsed; every
other one gets a reply, or none where the RFCs want none, and no packet ends a server. Must not know what a cluster is
or where an answer comes from.
"""
