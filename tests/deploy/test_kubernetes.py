"""What the Kubernetes manifests promise, beyond what their schemas can see: times, references, ports, rights."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from tests.deploy.deployment import KUBERNETES, documents, resources, seconds, version

INTERNAL = resources("internal")
SIDECAR = resources("sidecar")
PODS = {
    "gateway": INTERNAL["Deployment", "callmode"]["spec"]["template"],
    "store": INTERNAL["StatefulSet", "callmode-store"]["spec"]["template"],
    "application": SIDECAR["Deployment", "application"]["spec"]["template"],
}
GATEWAY = PODS["gateway"]["spec"]["containers"][0]
BESIDE = PODS["application"]["spec"]["initContainers"][0]
STORE = PODS["store"]["spec"]["containers"][0]
DIRECTORIES = ["internal", "sidecar"]


def config(directory: str) -> dict:
    """Return the gateway's configuration that a directory brings along."""
    [found] = documents(KUBERNETES / directory / "config/gateway.yaml")
    return found


def containers(pod: dict) -> list[dict]:
    """Return all containers of a pod template, sidecars first."""
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


ALL_CONTAINERS = [
    pytest.param(name, container, id=f"{name}-{container['name']}")
    for name, pod in PODS.items()
    for container in containers(pod)
]


def chosen(selector: dict, labels: dict) -> bool:
    """Return whether `matchLabels` chooses what carries `labels`."""
    return selector.items() <= labels.items()


def test_a_gateway_has_time_to_drain():
    """The grace period holds preStop, the drain and ten seconds to hand over; preStop is 5 s at least."""
    grace = PODS["gateway"]["spec"]["terminationGracePeriodSeconds"]
    before = GATEWAY["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert before >= 5
    assert grace >= before + seconds(config("internal")["drain"]) + 10


def test_a_sidecar_has_time_to_drain_after_its_application():
    """A sidecar is told to stop when the application has: the one grace period holds both, one after the other."""
    grace = PODS["application"]["spec"]["terminationGracePeriodSeconds"]
    assert grace >= 30 + seconds(config("sidecar")["drain"]) + 10
    assert "lifecycle" not in BESIDE


def test_the_sidecar_is_native():
    """An init container that always restarts, which the application waits for until it has started."""
    assert BESIDE["restartPolicy"] == "Always"
    assert BESIDE["startupProbe"]["exec"]["command"][-1].endswith("/-/readyz")


def test_a_rollout_takes_no_capacity():
    """The new gateway is ready before an old one goes, and a drained node takes one at a time."""
    spec = INTERNAL["Deployment", "callmode"]["spec"]
    assert spec["replicas"] >= 2
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert INTERNAL["PodDisruptionBudget", "callmode"]["spec"]["maxUnavailable"] < spec["replicas"]


def test_the_deployments_probes_ask_the_data_port():
    """Alive and ready are two questions, asked at the named port that the configuration listens on."""
    paths = {name: GATEWAY[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {name: probe["path"] for name, probe in paths.items()} == {
        "startupProbe": "/-/healthz",
        "livenessProbe": "/-/healthz",
        "readinessProbe": "/-/readyz",
    }
    assert {probe["port"] for probe in paths.values()} == {"http"}
    assert GATEWAY["ports"] == [{"name": "http", "containerPort": 8080}]
    assert config("internal")["listen"] == "0.0.0.0:8080"


def test_the_sidecars_probes_run_inside_the_pod():
    """The gateway listens on the pod's loopback, so its probes, and the application, go there."""
    listen = config("sidecar")["listen"]
    assert listen.startswith("127.0.0.1:")
    commands = {name: BESIDE[name]["exec"]["command"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    for name, command in commands.items():
        path = "/-/healthz" if name == "livenessProbe" else "/-/readyz"
        assert command == ["callmode", "health", "--url", f"http://{listen}{path}"]
    [application] = PODS["application"]["spec"]["containers"]
    assert application["env"] == [{"name": "ORCHESTRATOR_URL", "value": f"http://{listen}"}]


@pytest.mark.parametrize(("pod", "container"), ALL_CONTAINERS)
def test_every_container_is_held_down(pod, container):
    """Not root, nothing to gain, read-only, seccomp on, a memory limit; no token for the cluster's API."""
    spec = PODS[pod]["spec"]
    both = spec["securityContext"] | container["securityContext"]
    assert both["runAsNonRoot"] is True
    assert both["runAsUser"] > 0
    assert both["allowPrivilegeEscalation"] is False
    assert both["readOnlyRootFilesystem"] is True
    assert both["capabilities"] == {"drop": ["ALL"]}
    assert both["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["resources"]["limits"]["memory"]
    assert spec["automountServiceAccountToken"] is False


@pytest.mark.parametrize("container", [GATEWAY, BESIDE], ids=["gateway", "sidecar"])
def test_gateways_are_the_image_of_this_version(container):
    """Manifest, kustomization and project name one version, and no registry; the user is the image's."""
    assert container["image"] == f"callmode-gateway:{version()}"
    assert container["args"] == ["serve", "/etc/callmode/gateway.yaml"]


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_kustomizations_set_this_version(directory):
    """The one place to change the image says what the manifests say."""
    [kustomization] = documents(KUBERNETES / directory / "kustomization.yaml")
    assert kustomization["images"] == [{"name": "callmode-gateway", "newTag": version()}]


@pytest.mark.parametrize(("pod", "directory"), [("gateway", "internal"), ("application", "sidecar")])
def test_volumes_are_declared_and_made(pod, directory):
    """Each mount has its volume; the ConfigMap is generated; the instructions make the Secret with all its keys."""
    spec = PODS[pod]["spec"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {
        mount["name"]: mount["mountPath"]
        for container in containers(PODS[pod])
        for mount in container.get("volumeMounts", ())
    }
    assert set(mounts) == set(volumes)
    text = (KUBERNETES / directory / "kustomization.yaml").read_text()
    [kustomization] = documents(KUBERNETES / directory / "kustomization.yaml")
    [generated] = kustomization["configMapGenerator"]
    assert volumes["config"]["configMap"]["name"] == generated["name"]
    assert f"kubectl create secret generic {volumes['secrets']['secret']['secretName']} " in text
    made = set(re.findall(r"--from-(?:literal|file)=([\w-]+)=", text))
    written = (KUBERNETES / directory / "config/gateway.yaml").read_text()
    assert set(re.findall(rf"{mounts['secrets']}/([\w-]+)", written)) == made


def test_no_secret_has_a_value_here():
    """Nothing is of kind Secret, and the store's password comes from the Secret that the gateway reads."""
    assert not {kind for kind, _ in [*INTERNAL, *SIDECAR]} & {"Secret"}
    [password] = [item for item in STORE["env"] if item["name"] == "STORE_PASSWORD"]
    key = password["valueFrom"]["secretKeyRef"]
    volumes = {volume["name"]: volume for volume in PODS["gateway"]["spec"]["volumes"]}
    assert key["name"] == volumes["secrets"]["secret"]["secretName"]
    assert f"/run/secrets/callmode/{key['key']}}}@" in config("internal")["store"]["url"]


def test_secrets_are_readable_by_the_gateways_group_only():
    """The mode is octal 0440 whichever YAML reads it, and the group is the pod's."""
    volumes = {volume["name"]: volume for volume in PODS["gateway"]["spec"]["volumes"]}
    assert volumes["secrets"]["secret"]["defaultMode"] == 0o440
    assert PODS["gateway"]["spec"]["securityContext"]["fsGroup"] == 10001


def test_selectors_choose_their_pods():
    """Workloads, Services, the budget and the network policies choose the pods they are for, and ports that exist."""
    labels = {name: pod["metadata"]["labels"] for name, pod in PODS.items()}
    ports = {name: {port["name"] for c in containers(pod) for port in c.get("ports", ())} for name, pod in PODS.items()}
    for (kind, name), resource in (INTERNAL | SIDECAR).items():
        pod = {"callmode": "gateway", "callmode-store": "store", "application": "application"}[name]
        spec = resource["spec"]
        if kind == "Service":
            assert chosen(spec["selector"], labels[pod])
            assert {port["targetPort"] for port in spec["ports"]} <= ports[pod]
        elif kind == "NetworkPolicy":
            assert chosen(spec["podSelector"]["matchLabels"], labels[pod])
            assert {port["port"] for rule in spec["ingress"] for port in rule["ports"]} <= ports[pod]
        else:
            assert chosen(spec["selector"]["matchLabels"], labels[pod])
            others = [name for name in labels if name != pod]
            assert not any(chosen(spec["selector"]["matchLabels"], labels[other]) for other in others)


def test_only_gateways_reach_the_store():
    """The store's policy lets in exactly the pods that the gateway's Deployment makes."""
    [rule] = INTERNAL["NetworkPolicy", "callmode-store"]["spec"]["ingress"]
    [source] = rule["from"]
    assert source["podSelector"]["matchLabels"] == PODS["gateway"]["metadata"]["labels"]


def test_an_open_endpoint_is_fenced():
    """Without caller authentication, only pods that carry the callers' label reach the port."""
    assert config("internal")["auth"] == "none"
    [rule] = INTERNAL["NetworkPolicy", "callmode"]["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"callmode-caller": "true"}}}]


def test_urls_name_the_services():
    """The store's URL and the job links lead to Services at ports that they have."""
    for url, name in [
        (config("internal")["store"]["url"], "callmode-store"),
        (config("internal")["public_url"], "callmode"),
    ]:
        host, _, port = urlsplit(re.sub(r"\$\{[^}]+\}", "x", url)).netloc.rpartition("@")[2].partition(":")
        assert host == name
        assert int(port) in [p["port"] for p in INTERNAL["Service", name]["spec"]["ports"]]


def test_the_store_keeps_what_it_is_given():
    """Append-only on a claimed volume, no eviction, half of its memory to spare, not ready while it is loading."""
    flags = dict(zip(STORE["args"][1::2], STORE["args"][2::2], strict=True))
    assert flags["--appendonly"] == "yes"
    assert flags["--maxmemory-policy"] == "noeviction"
    assert (flags["--maxmemory"], STORE["resources"]["limits"]["memory"]) == ("256mb", "512Mi")
    assert flags["--requirepass"] == "$(STORE_PASSWORD)"
    [claim] = INTERNAL["StatefulSet", "callmode-store"]["spec"]["volumeClaimTemplates"]
    assert {"name": claim["metadata"]["name"], "mountPath": flags["--dir"]} in STORE["volumeMounts"]
    assert STORE["readinessProbe"]["exec"]["command"] == ["valkey-cli", "-e", "ping"]


def test_compose_and_kubernetes_run_one_store_image():
    """What is tried at the desk is what runs in the cluster."""
    [compose] = documents(KUBERNETES.parent / "compose.yaml")
    assert compose["services"]["store"]["image"] == STORE["image"]
