"""The applications of both ports: the route tables and what hangs on them."""

from __future__ import annotations

from aiohttp import web

from gateway.store.port import StoreDown
from gateway.web import callbacks, calls, chosen, commands, dead_letters, hooks, jobs, operators
from gateway.web.gateway import GATEWAY, Gateway
from gateway.web.middlewares import MIDDLEWARES, check_hygiene, finish_headers, render_problems
from gateway.web.operators import check_operator


def data_application(gateway: Gateway) -> web.Application:
    """Return the data port's application."""
    app = web.Application(
        middlewares=MIDDLEWARES,
        client_max_size=gateway.settings.max_body,
    )
    app[GATEWAY] = gateway
    app.on_response_prepare.append(finish_headers)
    app.router.add_routes(
        [
            web.get("/-/healthz", health),
            web.get("/-/readyz", ready),
            web.options("/-/jobs/{id}{below:(/[a-z]+)?}", jobs.preflight),
            web.put("/-/jobs/{id}", chosen.put),
            web.route("*", "/-/jobs/{id}", jobs.show),
            web.route("*", "/-/jobs/{id}/poll", jobs.poll),
            web.route("*", "/-/jobs/{id}/wait", jobs.wait),
            web.route("*", "/-/jobs/{id}/result", jobs.result),
            web.route("*", "/-/jobs/{id}/events", jobs.stream),
            web.route("*", "/-/jobs/{id}/cancel", commands.cancel),
            web.route("*", "/-/jobs/{id}/resolve", commands.resolve),
            web.route("*", "/-/jobs/{id}/callbacks", callbacks.of_job),
            web.options("/-/callbacks/secret", callbacks.preflight),
            web.options("/-/callbacks/{id}/redeliver", callbacks.preflight),
            web.route("*", "/-/callbacks/secret", callbacks.secret),
            web.route("*", "/-/callbacks/{id}/redeliver", callbacks.redeliver),
            web.route("*", "/-/hooks/orchestrator", hooks.orchestrator),
            # Everything else is a call, whose path is judged as it came over the wire and not as a router decodes it.
            web.route("*", "/{path:.*}", calls.call),
        ]
    )
    return app


def admin_application(gateway: Gateway) -> web.Application:
    """Return the admin port's application."""
    app = web.Application(
        # Whatever is refused, by hygiene or for its origin, is a problem document.
        middlewares=(render_problems, check_hygiene, check_operator),
        client_max_size=gateway.settings.max_body,
    )
    app[GATEWAY] = gateway
    app.on_response_prepare.append(finish_headers)
    app.router.add_routes(
        [
            web.get("/healthz", health),
            web.get("/readyz", ready),
            web.get("/-/jobs/{id}", operators.show),
            web.post("/-/jobs/{id}/cancel", operators.cancel),
            web.post("/-/jobs/{id}/resolve", operators.resolve),
            web.get("/-/callbacks", dead_letters.show),
            web.get("/-/callbacks/secret", dead_letters.secret),
            web.post("/-/callbacks/{id}/redeliver", dead_letters.redeliver),
        ]
    )
    return app


async def health(_request: web.Request) -> web.Response:
    """Answer that the process serves."""
    return web.Response(text="ok\n")


async def ready(request: web.Request) -> web.Response:
    """Answer whether calls should be sent here: the store answers, and somebody stays."""
    gateway = request.app[GATEWAY]
    try:
        await gateway.store.ping()
        serves = gateway.leases.healthy and not gateway.drain.leaving
    except StoreDown:
        serves = False
    return web.Response(status=200 if serves else 503, text="ready\n" if serves else "not ready\n")
