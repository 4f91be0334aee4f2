"""Files, flags and environment to settings, and the errors on the way."""

import os
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.config import Config, ConfigError, Overrides, from_flags, load
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.core.policy import Binding, Deduplicate, OnDisconnect, OnTimeout, Pace, Policy, SameCall
from gateway.store.settings import StoreSettings
from gateway.upstream.settings import JobsApiSettings, OAuthSettings, UpstreamSettings
from gateway.web.settings import Address, WebSettings
from gateway.worker.settings import WorkerSettings

UPSTREAM = "https://cloud.example/org/tenant/orchestrator_"
MINIMAL = f"upstream: {{url: '{UPSTREAM}'}}\n"
DURATION = "must be a duration: a whole number and ms, s, m, h or d, such as 250ms, 2s or 15m"
ENVIRONMENT = {"HOME": "/home/me"}


@pytest.fixture
def loaded(tmp_path):
    """Write a file and load it."""

    def write_and_load(text, environment=ENVIRONMENT, **flags) -> Config:
        path = tmp_path / "gateway.yaml"
        path.write_text(text, encoding="utf-8")
        return load(path, overrides=Overrides(**flags), environment=environment)

    return write_and_load


@pytest.fixture
def refusal(loaded):
    """Return the lines of the error that a file gets, without the directory."""

    def lines(text, environment=ENVIRONMENT, **flags) -> list[str]:
        with pytest.raises(ConfigError) as refused:
            loaded(text, environment, **flags)
        return [line.rpartition("/gateway.yaml:")[2] for line in refused.value.lines]

    return lines


def test_an_upstream_is_all_that_is_needed():
    """With one flag, everything else is the settings' own default."""
    config = from_flags(Overrides(upstream=UPSTREAM), environment=ENVIRONMENT)
    state = Path("/home/me/.local/state/callmode")
    assert config.upstream == UpstreamSettings(url=UPSTREAM)
    assert config.store == StoreSettings(data_dir=state)
    assert config.web == WebSettings(base_path="/org/tenant/orchestrator_")
    assert config.web.default_policy == Policy()
    assert config.auth.keyring_file == state / "keyring"
    assert config.worker == WorkerSettings()


def test_a_file_that_says_no_more_means_the_same(loaded):
    """A file and a flag with the same upstream are one configuration."""
    assert loaded(MINIMAL) == from_flags(Overrides(upstream=UPSTREAM), environment=ENVIRONMENT)


def test_without_an_upstream_there_is_no_gateway():
    """The error says both ways to give one."""
    with pytest.raises(ConfigError, match=r"^command line: upstream: is missing\. .*url.*--upstream"):
        from_flags(Overrides(), environment=ENVIRONMENT)


def test_callback_secrets(loaded):
    """One or several for the gateway, newest first; a route's own; defaults are every route's."""
    new, old = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    assert loaded(f"{MINIMAL}callbacks: {{secret: {new}}}\n").worker.callbacks.signing == (new,)
    config = loaded(
        f"{MINIMAL}callbacks: {{secrets: [{new}, {old}]}}\n"
        f"defaults: {{callback_secrets: [{old}]}}\n"
        f"routes:\n  - {{path: /a, trigger: /t/f/a, callback_secrets: [{new}, {old}]}}\n"
        "  - {path: /b, trigger: /t/f/b}\n"
    )
    assert config.worker.callbacks.signing == (new, old)
    assert [route.policy.callback_secrets for route in config.web.routes] == [(new, old), (old,)]


def test_every_part_reaches_its_settings(loaded, tmp_path):
    """Each section ends in the package that declares it, in its units."""
    config = loaded("""
listen: "[::1]:8081"
admin: off
public_url: https://calls.example/base/
trusted_proxies: [10.0.0.0/8, 192.168.1.1]
drain: 5s
keyring: "k1:AAAA"
upstream: {url: https://h/orchestrator_/, bearer: tok, allowed_hosts: [Blob.example],
  connect_timeout: 1s, ca_file: ca.pem}
store: {data_dir: jobs, durability: disk, prefix: cm, lease: 20s, timeout: 1s, answer_unsaved: 50ms}
limits: {body: 64KiB, answer: 2MiB, connections: 9}
callbacks: {allow: [hooks.example], timeout: 3s, insecure: on}
webhooks: {secrets: [one, other]}
log: {format: json, level: debug}
""")
    assert (config.web.listen, config.web.admin) == (Address("::1", 8081), None)
    assert config.web.public_url == "https://calls.example/base"
    assert config.web.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("192.168.1.1"))
    assert (config.web.drain, config.web.max_body, config.web.base_path) == (5_000, 65_536, "/orchestrator_")
    assert config.upstream == UpstreamSettings(
        url="https://h/orchestrator_",
        bearer="tok",
        allowed_hosts=frozenset({"blob.example"}),
        connect_timeout=1_000,
        max_connections=9,
        max_answer=2 << 20,
        ca_file=str(tmp_path / "ca.pem"),
    )
    assert config.store == StoreSettings(
        data_dir=tmp_path / "jobs", durability="disk", prefix="cm", lease=20_000, timeout=1_000
    )
    assert config.web.hook_secrets == ("one", "other")
    assert config.worker.answer_unsaved == 50
    assert (config.worker.callbacks.allow, config.worker.callbacks.insecure) == (("hooks.example",), True)
    assert (config.auth.keyring, config.auth.keyring_file) == ("k1:AAAA", None)
    assert (config.log.format, config.log.level) == ("json", "debug")


def test_a_store_of_several_servers(loaded, tmp_path):
    """What every connection to them needs; files are relative to the configuration's own directory."""
    config = loaded(
        MINIMAL
        + """
keyring: k
store: {url: 'rediss+sentinel://a,b:1/main', username: u, password: p, sentinel_username: su, sentinel_password: sp,
  ca_file: ca.pem, cert_file: /c.pem, key_file: /k.pem, wait_replicas: 2, wait_timeout: 200ms}
"""
    )
    assert config.store == StoreSettings(
        url="rediss+sentinel://a,b:1/main",
        username="u",
        password="p",
        sentinel_username="su",
        sentinel_password="sp",
        ca_file=tmp_path / "ca.pem",
        cert_file=Path("/c.pem"),
        key_file=Path("/k.pem"),
        data_dir=config.store.data_dir,
        wait_replicas=2,
        wait_timeout=200,
    )


def test_a_route_overrides_the_defaults(loaded):
    """A route's policy is its own keys over `defaults` over the built-in ones; pass-through's is `defaults`."""
    config = loaded(
        MINIMAL
        + """
defaults: {wait: 5m, running_status: 202, typical: 3s, upstream_mode: LongPolling}
routes:
  - {path: /a/b, trigger: /t/f/s}
  - path: /c
    name: see
    trigger: /t/f/c
    methods: [POST]
    cors: ["*"]
    wait: 30s
    caller_mode: upstream
    upstream_mode: trigger
    on_timeout: cancel
    poll_ceiling: 1s
    learn: off
    modes: [async]
  - {path: /d, trigger: /t/f/d, start_retry: 0, caller_mode: forget, track: off}
"""
    )
    plain, own, untracked = config.web.routes
    built = Policy(wait=300_000, running_status=202, pace=Pace(typical=3_000), upstream_mode=UpstreamMode.LONG_POLL)
    assert config.web.default_policy == built
    assert (plain.name, plain.policy.start_retry, plain.policy.wait) == ("a/b", 60_000, 300_000)
    assert plain.methods == {"GET", "POST", "PUT", "DELETE", "PATCH"}
    assert (own.name, own.trigger, own.methods, own.cors) == ("see", "/t/f/c", {"POST"}, {"*"})
    assert own.policy == Policy(
        wait=30_000,
        running_status=202,
        pace=Pace(typical=3_000, ceiling=1_000, learn=False),
        upstream_mode=None,
        caller_mode=None,
        on_timeout=OnTimeout.CANCEL,
        allowed_modes=frozenset({CallerMode.ASYNC}),
        start_retry=30_000,
        binding=Binding(folder="f", slug="c"),
    )
    assert (untracked.policy.start_retry, untracked.policy.track) == (0, False)
    assert untracked.policy.allowed_modes == {CallerMode.FORGET}


def test_defaults_say_start_retry_for_routes_too(loaded):
    """The routes' own 60 s stand only where nobody said otherwise."""
    config = loaded(MINIMAL + "defaults: {start_retry: 7s}\nroutes: [{path: /a, trigger: /t/f/s}]\n")
    assert config.web.routes[0].policy.start_retry == config.web.default_policy.start_retry == 7_000


def test_flags_win_over_the_file(loaded, tmp_path, monkeypatch):
    """Each flag replaces its key; paths are relative to where the command was given."""
    monkeypatch.chdir(tmp_path)
    text = "listen: 127.0.0.1:1\nstore: {url: 'redis://h'}\nupstream: {url: 'https://file/orchestrator_', bearer: b}\n"
    config = loaded(
        text,
        upstream=UPSTREAM,
        listen="127.0.0.1:2",
        admin="off",
        public_url="https://p",
        caller_mode="async",
        data_dir=Path("jobs"),
    )
    assert (config.upstream.url, config.upstream.bearer) == (UPSTREAM, "b")
    assert (config.web.listen.port, config.web.admin, config.web.public_url) == (2, None, "https://p")
    assert config.web.default_policy.caller_mode is CallerMode.ASYNC
    assert (config.store.url, config.store.data_dir) == (None, tmp_path / "jobs")


def test_a_store_by_flag_is_instead_of_the_files(loaded):
    """`--store` makes a `data_dir` of the file not count."""
    config = loaded(MINIMAL + "keyring: k\nstore: {data_dir: /d, prefix: p}\n", store="redis://h")
    assert (config.store.url, config.store.prefix) == ("redis://h", "p")


def test_a_wrong_flag_is_named(refusal):
    """The place of an error in a flag is the flag."""
    assert refusal(MINIMAL, listen="8080", caller_mode="fax") == [
        f"--caller-mode: defaults.caller_mode: must be one of {', '.join(CallerMode)}, upstream, not 'fax'",
        "--listen: listen: must be host:port, such as 127.0.0.1:8080 or [::1]:8080, not '8080'",
    ]


def test_two_stores_by_flag_are_one_too_many():
    """`--store` and `--data-dir` exclude each other."""
    flags = Overrides(upstream=UPSTREAM, store="redis://h", data_dir=Path("d"))
    with pytest.raises(ConfigError, match=r"--data-dir: store.data_dir: .* not both"):
        from_flags(flags, environment={"CALLMODE_KEYRING": "k"})


def test_the_keyring_comes_from_the_environment_last(loaded):
    """CALLMODE_KEYRING counts where the file says neither text nor file."""
    environment = {**ENVIRONMENT, "CALLMODE_KEYRING": "from-environment"}
    assert loaded(MINIMAL, environment).auth.keyring == "from-environment"
    assert loaded(MINIMAL + "keyring: own\n", environment).auth.keyring == "own"
    filed = loaded(MINIMAL + "keyring_file: /k\n", environment).auth
    assert (filed.keyring, filed.keyring_file) == (None, Path("/k"))


@pytest.mark.parametrize(
    ("environment", "directory"),
    [
        ({"XDG_STATE_HOME": "/state", "HOME": "/h"}, "/state/callmode"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/callmode"),
        ({}, f"{Path.home()}/.local/state/callmode"),
    ],
)
def test_where_the_embedded_store_lives(loaded, environment, directory):
    """The XDG state directory, else its default under the home directory."""
    assert loaded(MINIMAL, environment).store.data_dir == Path(directory)


def test_the_process_environment_is_the_default(tmp_path, monkeypatch):
    """`load` reads the variables of its own process."""
    (tmp_path / "gateway.yaml").write_text("upstream: {url: '${env:CALLMODE_TEST_URL}'}\n", encoding="utf-8")
    monkeypatch.setitem(os.environ, "CALLMODE_TEST_URL", UPSTREAM)
    assert load(tmp_path / "gateway.yaml").upstream.url == UPSTREAM


def test_references_become_values_of_every_kind(loaded, tmp_path):
    """A number, a switch, a status and a list's item may come from outside; files lie beside the configuration."""
    (tmp_path / "token").write_text("tok\n", encoding="utf-8")
    config = loaded(
        "upstream: {url: '${env:U}', bearer: '${file:token}'}\nlimits: {connections: '${env:N}', body: '${env:N}'}\n"
        "callbacks: {insecure: '${env:B}', allow: ['${env:H}']}\ndefaults: {redirect_status: '${env:S}'}\n",
        {**ENVIRONMENT, "U": UPSTREAM, "N": "12", "B": "true", "H": "h.example", "S": "302"},
    )
    assert (config.upstream.bearer, config.upstream.max_connections, config.web.max_body) == ("tok", 12, 12)
    assert (config.worker.callbacks.insecure, config.worker.callbacks.allow) == (True, ("h.example",))
    assert config.web.default_policy.redirect_status == 302


def test_what_jobs_are_found_and_started_by(loaded):
    """A route's binding is what it says and what its trigger's path says; jobs that can be found are waited for."""
    config = loaded(
        """
upstream: {url: "https://h/o/t/orchestrator_", bearer: b, jobs_api: on}
defaults: {correlation: job}
routes:
  - {path: /a, trigger: /t/My%20Folder/a/b%20c}
  - {path: /b, trigger: /t/f/s, trigger_id: 0D3C5B2A-1f4e-4c6d-8a9b-102132435465, folder: g, reconcile_wait: 5s}
  - {path: /c, upstream_mode: Jobs, process: P, folder: Shared, idempotent: on}
  - {path: /d, upstream_mode: Jobs, release: 0d3c5b2a-1f4e-4c6d-8a9b-102132435465, trigger: /t/f/s}
"""
    )
    found, named, process, release = (route.policy for route in config.web.routes)
    assert found.binding == Binding(api=True, folder="My Folder", slug="a/b c", correlation="job")
    assert (found.binding.repeated, process.binding.repeated) == (False, True)
    assert (named.binding.folder, named.binding.trigger) == ("g", "0d3c5b2a-1f4e-4c6d-8a9b-102132435465")
    assert (found.reconcile_wait, named.reconcile_wait, config.web.default_policy.reconcile_wait) == (
        30_000,
        5_000,
        30_000,
    )
    assert (process.upstream_mode, process.binding.process, process.binding.folder) == (
        UpstreamMode.JOBS,
        "P",
        "Shared",
    )
    assert (release.binding.release, release.binding.folder) == ("0d3c5b2a-1f4e-4c6d-8a9b-102132435465", "f")
    assert config.web.routes[2].trigger is None


def test_what_a_policy_says_of_repeated_and_canceled_jobs(loaded):
    """Each key means its setting."""
    policy = loaded(
        """
upstream: {url: "https://h", jobs_api: {calls_per_minute: 7}}
defaults:
  {correlation: j, idempotent: on, coalesce: on, on_disconnect: cancel, cancel_after: 1m, kill_after: 0,
   deduplicate: {window: 30s, by: [caller]}}
"""
    ).web.default_policy
    assert (policy.idempotent, policy.coalesce, policy.on_disconnect) == (True, True, OnDisconnect.CANCEL)
    assert (policy.cancel_after, policy.kill_after) == (60_000, 0)
    assert policy.deduplicate == Deduplicate(30_000, frozenset({SameCall.CALLER}))


def test_credentials_by_oauth(loaded):
    """The upstream has one, and the Jobs API may have another."""
    upstream = loaded(
        """
upstream:
  url: https://h/o/t/orchestrator_
  oauth: {client_id: i, client_secret: s}
  jobs_api:
    oauth: {client_id: j, client_secret: t, scope: OR.Jobs, authority: "https://a/", tenant: T}
    calls_per_minute: 9
"""
    ).upstream
    assert upstream.oauth == OAuthSettings("i", "s")
    other = OAuthSettings("j", "t", scope="OR.Jobs", authority="https://a", tenant="T")
    assert upstream.jobs_api == JobsApiSettings(oauth=other, calls_per_minute=9)
    assert upstream.own_credential
    assert loaded("upstream: {url: 'https://h', jobs_api: on}\n").upstream.jobs_api == JobsApiSettings()
    assert loaded("upstream: {url: 'https://h'}\n").upstream.jobs_api is None


def test_errors_are_lines_with_place_key_fault_and_remedy(refusal):
    """Everything that is wrong, in the order of the file."""
    assert refusal("""\
listn: 127.0.0.1:8080
bearer: abc
upstream:
  url: https://h/orchestrator_
  timeout: 5s
defaults:
  listen: 127.0.0.1:80
  wait: 90
  redirect_status: 301
  track: maybe
  modes: []
routes:
  - path: /a
    upstream_mode: Polling
    methods: [POST, HEAD]
  - trigger: 7
    wait: [1s]
    cors: "*"
log: info
""") == [
        "1:1: listn: unknown key; did you mean listen?",
        "2:1: bearer: unknown key; did you mean upstream.bearer?",
        "5:3: upstream.timeout: unknown key; did you mean idle_timeout?",
        "7:3: defaults.listen: unknown key; listen belongs at the top, outside defaults",
        f"8:3: defaults.wait: {DURATION}, or 0, not 90",
        "9:3: defaults.redirect_status: must be one of 303, 302, not 301",
        "10:3: defaults.track: must be one of on, off, not 'maybe'",
        "11:3: defaults.modes: must not be empty",
        f"14:5: routes[0].upstream_mode: must be one of {', '.join(UpstreamMode)}, auto, trigger, not 'Polling'",
        "15:21: routes[0].methods[1]: must be one of GET, POST, PUT, DELETE, PATCH, not 'HEAD'",
        "16:5: routes[1].path: is missing. The gateway's path: /invoices",
        "16:5: routes[1].trigger: must be text; put it in quotes, not 7",
        f"17:5: routes[1].wait: {DURATION}, or 0",
        "18:5: routes[1].cors: must be a list, such as [a, b]",
        "19:1: log: must be a mapping of keys to values",
    ]


def test_an_unknown_key_like_no_other_gets_the_list(refusal):
    """Where nothing is close, the error says what there is."""
    assert refusal(MINIMAL + "limits: {zzz: 1}\n") == [
        "2:10: limits.zzz: unknown key; known here are body, answer, connections, held_connections"
    ]


def test_the_file_is_named_as_it_was_given(tmp_path, monkeypatch):
    """A relative path stays relative in errors, so that editors can follow it."""
    monkeypatch.chdir(tmp_path)
    Path("gateway.yaml").write_text("x: 1\n" + MINIMAL, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^gateway.yaml:1:1: x: unknown key"):
        load(Path("gateway.yaml"))


@pytest.mark.parametrize(
    "text",
    [
        "keyring: [{s}]",
        "upstream: {{url: 'https://user:{s}@h'}}",
        "upstream: {{url: 'https://h', bearer: 'a {s}'}}",
        "public_url: 'https://user:{s}@h'",
        "upstream: {{url: 'https://h/${{{s}}}'}}",
        "store: {{url: 'http://:{s}@h'}}",
        "store: {{url: 'redis://:{s}@h:x'}}",
        "store: {{url: 'redis://:{s}@[h'}}",
        "store: {{url: 'redis://:{s}@\u2100'}}",
        "store: {{password: [{s}], sentinel_password: {{{{{s}: 1}}}}}}",
        "callbacks: {{secret: {s}}}",
        "callbacks: {{secrets: [{s}]}}",
        "webhooks: {{secrets: {s}}}",
        "defaults: {{callback_secrets: [{s}]}}",
        "defaults: {{callback_url: 'ftp://h?key={s}'}}",
        "log: {{level: '${{env:S}}'}}",
        "listen: '${{env:S}}'",
        "limits: {{connections: '${{env:S}}', body: '${{env:S}}'}}",
        "upstream: '${{env:S}}'",
        "routes: '${{env:S}}'",
        "routes: [{{methods: ['${{env:S}}']}}]",
    ],
)
def test_no_error_repeats_a_secret(refusal, text):
    """Neither the value of a secret key nor anything that came from outside the file."""
    lines = refusal(text.format(s="hunter2"), {**ENVIRONMENT, "S": "hunter2"})
    assert lines
    assert "hunter2" not in "\n".join(lines)


def test_a_replica_gives_load_balancers_notice(loaded):
    """Five seconds, or as the file says; with a store of its own it is the only one, and nobody turns elsewhere."""
    shared = MINIMAL + "keyring: k\nstore: {url: 'redis://h'}\n"
    assert loaded(MINIMAL).web.drain_notice == 0
    assert loaded(shared).web.drain_notice == 5_000
    assert loaded(shared + "drain_notice: 0s\n").web.drain_notice == 0
    assert loaded(MINIMAL + "drain_notice: 1s\n").web.drain_notice == 1_000
