"""The composition root: settings in, a running gateway out. Nowhere else are concrete adapters named.

    lifecycle.py  `running`, `serve`: the life of one gateway
    assembly.py   `Assembly`: its parts
    stores.py     its job store and its keyring
    workers/      several of them behind one address
    stop.py       the wish that it stop
    failures.py   what keeps it from serving

Nothing is imported here: the parent of workers needs little of it, and the command line's help none.
"""
