"""Who asks what: the clients, names, missing names and slow names of the last minutes, and the failures just seen.

Promises: memory is bounded whatever is asked, and how wrong a count can be is told with it. Pure: the time comes in as
an argument, and so does what is counted; nothing here knows sockets, caches or clusters.
"""
