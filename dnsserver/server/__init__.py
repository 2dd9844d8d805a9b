"""Sockets: packets in, replies out, over UDP and TCP, and admin HTTP beside them.

Promises: a packet whose reply is in the reply cache is answered within its batch, without a task and without being
parsed. Every other packet gets a reply, or none if the RFCs want none. No packet ends a server. Must not know what a
cluster is or where an answer comes from.
"""
