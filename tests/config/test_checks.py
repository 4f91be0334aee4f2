"""Values that are right by themselves and wrong together."""

import pytest

from gateway.config import ConfigError, load

UPSTREAM = "upstream: {url: 'https://h/orchestrator_'}\n"
OWN = "upstream: {url: 'https://h/orchestrator_', bearer: tok}\n"
STORE = UPSTREAM + "keyring: k\nstore: {"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OAUTH = "oauth: {client_id: i, client_secret: s"
JOBS_API = "upstream: {url: 'https://h/orchestrator_', jobs_api: on}\n"
PROCESS = "routes:\n  - path: /a\n    upstream_mode: Jobs\n    process: P\n    folder: f\n"
ROUTE = "routes:\n  - path: /a\n    trigger: /t/f/s\n"

REFUSED = [
    (UPSTREAM + "admin: 127.0.0.1:8080\n", "admin: must be another address than listen"),
    (OWN + "listen: 0.0.0.0:80\n", "listen: is beyond loopback"),
    (OWN + "listen: '[::]:80'\n", "listen: is beyond loopback"),
    (OWN + "listen: gateway.example:80\n", "listen: is beyond loopback"),
    (UPSTREAM + "keyring: k\nstore: {url: 'redis://h', data_dir: d}\n", "store.data_dir: is for the embedded store"),
    (UPSTREAM + "store: {url: 'redis://h'}\n", "store.url: needs a keyring that all replicas share"),
    (UPSTREAM + "keyring: k\nkeyring_file: f\n", "keyring_file: says where the keyring is, and so does keyring"),
    (UPSTREAM + "store: {lease: 5s}\n", "store.timeout: must be shorter than store.lease"),
    (STORE + "password: p}\n", "store.password: is for a store.url that does not say it"),
    (STORE + "url: 'redis://u:p@h', username: v}\n", "store.username: is for a store.url that does not say it"),
    (STORE + "url: 'redis://h', sentinel_password: p}\n", "store.sentinel_password: is for a store.url with redis+s"),
    (STORE + "url: 'redis://h', ca_file: f}\n", "store.ca_file: is for TLS"),
    (STORE + "url: 'rediss://h', key_file: f}\n", "store.key_file: is the key of cert_file"),
    (STORE + "wait_replicas: 1}\n", "store.wait_replicas: is for a store.url"),
    (STORE + "url: 'redis://h', wait_replicas: 1, wait_timeout: 5s}\n", "store.wait_timeout: must be shorter than"),
    (UPSTREAM + ROUTE + "  - path: /a\n    name: b\n    trigger: /t/f/s\n", "routes[1].path: is that of routes[0] too"),
    (UPSTREAM + ROUTE + "  - path: /b\n    name: a\n    trigger: /t/f/s\n", "routes[1].name: is that of routes[0] too"),
    (UPSTREAM + "defaults: {start_retry: 2m, wait: 1m}\n", "defaults.start_retry: must not be longer than wait"),
    (UPSTREAM + ROUTE + "    start_retry: 20m\n", "routes[0].start_retry: must not be longer than wait"),
    (UPSTREAM + "defaults: {poll_floor: 20s}\n", "defaults.poll_floor: must not be longer than poll_ceiling"),
    (UPSTREAM + ROUTE + "    modes: [async]\n", "routes[0].caller_mode: is sync, which modes leaves out"),
    (UPSTREAM + ROUTE + "    track: off\n", "routes[0].track: can be off only with `caller_mode: forget`"),
    (
        UPSTREAM + ROUTE + "    track: off\n    caller_mode: forget\n    modes: [forget, sync]\n",
        "routes[0].modes: must be [forget] or left out",
    ),
    (UPSTREAM + ROUTE + "    caller_mode: callback\n", "routes[0].caller_mode: is callback, and callbacks are off"),
    (
        UPSTREAM + f"callbacks: {{secret: {SECRET}, secrets: [{SECRET}]}}\n",
        "callbacks.secret: is one, and secrets are several",
    ),
    (UPSTREAM + "defaults: {callback_url: 'https://x/y'}\n", "defaults.callback_url: names a host that"),
    (
        UPSTREAM + "callbacks: {allow: [x]}\ndefaults: {callback_url: 'http://x/y'}\n",
        "defaults.callback_url: must be https",
    ),
    (
        UPSTREAM + "callbacks: {allow: [10.0.0.0/8]}\ndefaults: {callback_url: 'https://11.1.2.3/x'}\n",
        "defaults.callback_url: names a host that",
    ),
    (
        "upstream: {url: 'https://h', " + OAUTH + "}}\nlisten: 0.0.0.0:80\n",
        "listen: is beyond loopback, and upstream.oauth would serve whoever",
    ),
    ("upstream: {url: 'https://h', bearer: b, " + OAUTH + "}}\n", "upstream.oauth: is a credential, and so is bearer"),
    (
        "upstream: {url: 'https://h', jobs_api: {bearer: b, " + OAUTH + "}}}\n",
        "upstream.jobs_api.oauth: is a credential, and so is bearer",
    ),
    (
        "upstream: {url: 'https://h', " + OAUTH + ", token_url: 'https://t', authority: 'https://a'}}\n",
        "upstream.oauth.authority: says where tokens are had, and so does token_url",
    ),
    (
        "upstream: {url: 'https://h', " + OAUTH + ", scopes: x}}\n",
        "upstream.oauth.scopes: unknown key; did you mean scope?",
    ),
    ("upstream: {url: 'https://h', oauth: {client_id: i}}\n", "upstream.oauth.client_secret: is missing. Its secret"),
    ("upstream: {url: 'https://h', jobs_api: yes}\n", "upstream.jobs_api: must be a mapping"),
    (UPSTREAM + "routes:\n  - path: /a\n", "routes[0].trigger: is missing. The trigger's path"),
    (UPSTREAM + ROUTE + "    process: P\n", "routes[0].process: is for `upstream_mode: Jobs`"),
    (UPSTREAM + ROUTE + "    correlation: id\n", "routes[0].correlation: is for finding jobs by the Jobs API"),
    (UPSTREAM + "defaults: {correlation: id}\n" + ROUTE, "defaults.correlation: is for finding jobs"),
    (UPSTREAM + PROCESS, "routes[0].upstream_mode: is Jobs; say `jobs_api: on`"),
    (JOBS_API + "defaults: {upstream_mode: Jobs}\n", "defaults.upstream_mode: is Jobs, which only routes can have"),
    (JOBS_API + ROUTE + "    upstream_mode: Jobs\n", "routes[0].upstream_mode: is Jobs, which starts a process"),
    (JOBS_API + PROCESS.replace("    folder: f\n", ""), "routes[0].folder: is missing"),
    (
        JOBS_API + PROCESS + "    release: 0d3c5b2a-1f4e-4c6d-8a9b-102132435465\n",
        "routes[0].release: says what is started, and so does process",
    ),
    (JOBS_API + ROUTE + "    trigger_id: 7f\n", "routes[0].trigger_id: must be a GUID"),
    (
        "upstream: {url: 'https://h', jobs_api: {bearer: b}}\n" + PROCESS,
        "routes[0].upstream_mode: is Jobs, which upstream.jobs_api's own credential would start for callers",
    ),
    (JOBS_API + PROCESS + "    track: off\n    caller_mode: forget\n", "routes[0].track: cannot be off in mode Jobs"),
    (UPSTREAM + "defaults: {cancel_after: 1m}\n", "defaults.cancel_after: needs a way to cancel"),
    (JOBS_API + ROUTE + "    on_disconnect: cancel\n", "routes[0].on_disconnect: needs a way to cancel"),
    (
        UPSTREAM + "defaults: {deduplicate: {window: 1s, by: [arguments]}}\n",
        "defaults.deduplicate.by: must name caller",
    ),
    (UPSTREAM + "defaults: {deduplicate: {by: [caller]}}\n", "defaults.deduplicate.window: is missing"),
]

ACCEPTED = [
    OWN,
    JOBS_API + PROCESS + "    cancel_after: 1m\n    on_disconnect: cancel\n",
    JOBS_API + "defaults: {correlation: id, cancel_after: 1m}\n",
    JOBS_API + "defaults: {on_disconnect: cancel}\n" + PROCESS,
    JOBS_API + "defaults: {upstream_mode: Jobs, folder: f}\nroutes:\n  - {path: /a, process: P}\n",
    "upstream: {url: 'https://h', bearer: t, jobs_api: {bearer: b}}\n" + PROCESS,
    "upstream: {url: 'https://h', jobs_api: {bearer: b}}\n" + ROUTE + "    correlation: id\n",
    OWN + "defaults: {deduplicate: {window: 1s, by: [arguments]}}\n",
    UPSTREAM + "defaults: {deduplicate: {window: 1s}}\n",
    OWN + "listen: 127.0.0.2:80\n",
    OWN + "listen: localhost:80\n",
    OWN + "listen: 0.0.0.0:80\nauth: none\n",
    UPSTREAM + "listen: 0.0.0.0:80\n",
    UPSTREAM + "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n",
    UPSTREAM + "store: {url: 'redis://h'}\nkeyring_file: f\n",
    STORE + "url: 'rediss+sentinel://h/s', password: p, sentinel_password: q, ca_file: f, wait_replicas: 1}\n",
    STORE + "url: 'rediss+cluster://u@h', password: p, cert_file: c, key_file: f}\n",
    UPSTREAM + "defaults: {wait: 10s}\n" + ROUTE,
    UPSTREAM + "defaults: {modes: [callback, sync]}\n",
    UPSTREAM + ROUTE + "    caller_mode: upstream\n    modes: [async]\n",
    UPSTREAM + ROUTE + "    caller_mode: forget\n    track: off\n    modes: [forget]\n",
    UPSTREAM + "callbacks: {allow: ['*.x.example']}\ndefaults: {callback_url: 'https://a.x.example/y'}\n",
    UPSTREAM + "callbacks: {allow: ['*.x.example:84']}\ndefaults: {callback_url: 'https://a.x.example:84/y'}\n",
    UPSTREAM + "callbacks: {allow: [10.0.0.0/8]}\ndefaults: {callback_url: 'https://resolved.later/x'}\n",
]


@pytest.fixture
def refusal(tmp_path):
    """Return the lines of the error that a file gets; none when it is accepted."""

    def lines(text, environment=None):
        path = tmp_path / "gateway.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            load(path, environment=environment or {})
        except ConfigError as error:
            return error.lines
        return []

    return lines


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refused(refusal, text, message):
    """One line, naming the key to change."""
    lines = refusal(text)
    assert len(lines) == 1, lines
    assert f": {message}" in lines[0]


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted(refusal, text):
    """What goes together is not refused."""
    assert refusal(text) == []


def test_the_environment_may_hold_the_keyring(refusal):
    """CALLMODE_KEYRING is enough for a shared store; an empty one is none."""
    text = UPSTREAM + "store: {url: 'redis://h'}\n"
    assert refusal(text, {"CALLMODE_KEYRING": "k"}) == []
    assert refusal(text, {"CALLMODE_KEYRING": ""})


def test_a_fault_of_the_defaults_is_not_repeated_by_every_route(refusal):
    """Routes inherit it, and the place to mend it is one."""
    lines = refusal(UPSTREAM + "defaults: {poll_floor: 20s}\n" + ROUTE + "  - {path: /b, trigger: /t/f/s}\n")
    assert len(lines) == 1


def test_everything_that_does_not_go_together_is_said_at_once(refusal):
    """Checks do not stop at the first fault."""
    assert len(refusal(OWN + "listen: 0.0.0.0:80\nadmin: 0.0.0.0:80\nstore: {lease: 1s}\n")) == 3
