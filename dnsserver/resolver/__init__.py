"""Who answers a question, and what is kept of it: the chain of sources, search lists, and finished replies.

Promises: a reply that the reply cache gives is what the server would answer now. `chain` asks the sources and `search`
completes pods' search lists; `reply_cache` holds finished replies and what they depend on. What the outside says comes
from `forward`.
Must not know clients, sockets, or what a Kubernetes object is.
"""
