"""What a blocked caller costs while nothing happens: CPU over ten idle seconds, and memory, of gateway and store.

Callers block on long jobs of the simulator that are not due to be read while the clock runs: first each on a job of
its own, then all on one job (by an Idempotency-Key). `python parked.py [CALLERS]`, 2,000 by default.
"""

import asyncio
import contextlib
import json
import sys
import tempfile
from pathlib import Path

from processes import children, cpu_seconds, free_port, memory_kib, running

IDLE = 10
CONFIG = """\
upstream: {{url: "http://127.0.0.1:{upstream}/acme/prod/orchestrator_"}}
listen: 127.0.0.1:{port}
admin: off
log: {{level: error}}
store: {{data_dir: "{directory}"}}
routes: [{{path: /job, trigger: /t/bench/async, typical: 1h, poll_ceiling: 1h}}]
"""
BODY = b'{"duration":3600}'
HEAD = "POST /job HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n{key}Content-Length: {length}\r\n\r\n"


class Parked(asyncio.Protocol):
    """A connection whose call is not to be answered; `answers` collects what came all the same."""

    def __init__(self, answers):
        self.answers = answers

    def data_received(self, data):
        """Note an answer: nothing has ended."""
        self.answers.append(data)

    def connection_lost(self, _):
        """Note a connection that was closed."""
        self.answers.append(b"")


async def park(port, callers, key):
    """Open `callers` connections and call on each; return the list of their answers, to stay empty."""
    request = HEAD.format(key=key, length=len(BODY)).encode() + BODY
    answers = []
    for _ in range(callers):
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: Parked(answers), "127.0.0.1", port)
        transport.write(request)
    return answers


async def settled(pid):
    """Wait until a process does next to nothing."""
    used = cpu_seconds(pid)
    while True:
        await asyncio.sleep(1)
        before, used = used, cpu_seconds(pid)
        if used - before < 0.03:
            return


async def measure(pids, port, callers, key):
    """Park callers and return what each process of `pids` pays: milliseconds of CPU in all, KiB of memory a caller."""
    await settled(pids["gateway"])
    empty = {name: memory_kib(pid) for name, pid in pids.items()}
    answers = await park(port, callers, key)
    await settled(pids["gateway"])
    memory = {name: memory_kib(pid) - empty[name] for name, pid in pids.items()}
    used = {name: cpu_seconds(pid) for name, pid in pids.items()}
    await asyncio.sleep(IDLE)
    used = {name: cpu_seconds(pid) - used[name] for name, pid in pids.items()}
    assert not answers, answers[0]
    costs = {name: {f"cpu_ms_in_{IDLE}_s": round(used[name] * 1000, 1)} for name in pids}
    for name, cost in costs.items():
        if callers:
            cost["kib_a_caller"] = round(memory[name] / callers, 2)
    return costs


async def fresh(callers, key):
    """Measure on processes of their own: what memory was before would hide what is added."""
    upstream, port = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = directory / "gateway.yaml"
        config.write_text(CONFIG.format(upstream=upstream, port=port, directory=directory / "data"))
        stack.enter_context(running(upstream, "-m", "gateway", "simulate", "--listen", f"127.0.0.1:{upstream}"))
        gateway = stack.enter_context(running(port, "-m", "gateway", "serve", str(config)))
        (store,) = children(gateway)
        return await measure({"gateway": gateway, "store": store}, port, callers, key)


async def main(callers):
    """Measure nobody parked, then both ways of parking."""
    print("nobody", json.dumps(await fresh(0, "")), flush=True)
    print(f"{callers} callers, each its own job", json.dumps(await fresh(callers, "")), flush=True)
    print(f"{callers} callers, one job", json.dumps(await fresh(callers, "Idempotency-Key: one\r\n")), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
