"""Several worker processes behind one address: `workers: N`.

One parent binds the ports, runs the embedded store where there is one, and serves nobody. Each worker is a whole
replica, with its own name and lease in the shared store, its own driver and its own connections to the upstream.

    parent.py      `serve`: what the workers share, put together; SIGHUP
    supervisor.py  `Supervisor`: keeps them alive, replaces, reloads, stops them
    worker.py      `Worker`: one worker process as the parent sees it, and what the two say to each other
    errand.py      what a worker is told when it starts
    dealer.py      `Dealer`: accepts callers' connections and deals them out
    channel.py     `Channel`: how a connection gets from the parent to a worker
    inbox.py       `Inbox`: the worker's side of that
    child.py       what a worker process runs
    binding.py     the ports' sockets
    cpus.py        how many workers `auto` is

The parent imports nothing that serves, which keeps it small: `child` and `inbox` are the worker's alone.
"""
