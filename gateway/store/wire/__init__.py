"""The way of a command to a Redis or Valkey server and of its reply back: one connection, which all callers share.

Commands of one turn of the event loop leave in one write, replies are handed out in the order of their commands. A
connection that each caller waits for alone costs many times the CPU, whatever the library (docs/decisions/0024).

Never imports: verbs, records, topologies. It knows what a reply is, and nothing of what is stored.
"""
