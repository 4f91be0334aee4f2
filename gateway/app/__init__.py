"""The composition root: settings in, a running gateway out. Nowhere else are concrete adapters named.

    lifecycle.py  `running`, `serve`: the life of one gateway
    assembly.py   `Assembly`: its parts
    stores.py     its job store and its keyring
    workers/      several of them behind one address
    stop.py       the wish that it stop
    failures.py   what keeps it from serving

Nothing of them is imported here: the parent of workers needs little, and the command line's help none.
"""

import sys

if "rich" not in sys.modules:
    # Where structlog finds rich, it imports it for tracebacks that nobody here asks for: 35 ms of each start. A name
    # that is None cannot be imported (docs.python.org/3/reference/import.html, "The module cache").
    sys.modules["rich"] = None  # type: ignore[assignment]
    import structlog  # noqa: F401 - it stays imported

    del sys.modules["rich"]
