"""A load tool for DNS servers: asks many questions at once and says how fast, how late and how well they were answered.

What it promises:

* every question is encoded before the first one is sent, so the figures are the server's and not the encoder's;
* every reply is matched by socket, ID and question; what does not match is counted and never timed;
* in closed loop (a fixed number of outstanding questions) latency is counted from the send; in open loop (a fixed rate)
  it is counted from the moment when the question was due, so a delay of the server or of this tool shows in the
  percentiles, even if it holds later questions back; the report tells how far the rate fell short;
* its own cost is in the report: processor time for each query, replies that the kernel of this machine dropped, and how
  late questions were sent.

One process, one thread, one loop (`run`): no task for each query and no object for each packet. It knows only the
address of the server under test, and shares no code with it.

A run goes through the modules like this: `cli` reads the options; `questions`, `inventory` and `mixes` give the
questions; `deck` holds them as bytes; `measure` sets up a `run`, which sends them by the clients of `udp` (with `mmsg`
if the kernel has it) or `tcp`, whose IDs are kept in `outstanding`, and whose odd replies are judged in `match`;
`tally` and `histogram` count; `report` prints, with the processor times of `cost`.
"""
