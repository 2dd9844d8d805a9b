"""Who answers a question, and what is kept of it: rules, the chain of sources, search lists, and finished replies.

Promises: a reply that the reply cache gives is what the server would answer now. `chain` asks the sources and `search`
completes pods' search lists; `rules` go before all sources, where there are any; `reply_cache` holds finished replies
and what they depend on, `altered` says which of them a change of the configuration alters. What the outside says comes
from `forward`.
Must not know clients, sockets, or what a Kubernetes object is.
"""
