"""Who asks what: the clients, names, missing names and slow names of the last minutes, and the last failures.

Promises: memory is bounded whatever is asked, and each count comes with its possible error. Pure: the time is an
argument, and so is what is counted. Nothing here knows sockets, caches or clusters.
"""
