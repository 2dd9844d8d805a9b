"""The Kubernetes API, or files that look like it, as a stream of zone events.

Promises: every object of a kind that the API holds is Put, every object gone is Removed, a full list is framed by
ListStarted and ListDone, and nothing older ever follows something newer. Reads credentials through the `kubernetes`
package in a process of its own, speaks HTTP through httpcore2, and works in steps, between which others get their turn.
Must not know answers, sockets of clients, or what a zone makes of an event.

One event's way: `api.Client.watch` reads a JSON line, `reflector.Reflector` turns it into an event and hands it to
`apply`; `objects.ObjectFiles` does the same for files. `credentials` says how to get in, `loader` is the process that
asks the `kubernetes` package, `decode` is the border where an object that makes no sense stops.
"""
