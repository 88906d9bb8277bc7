"""The Kubernetes manifests: valid by Kubernetes' own models, complete, without secrets, and nothing runs as root."""

import json
import shutil
import subprocess

import pytest
import yaml
from helpers import openapi
from helpers.manifests import MANIFESTS, load
from kubernetes import client

from rlready.placement.placement import parse_placement

OVERLAYS = ("base", "overlays/single-gpu", "overlays/production", "train-job", "checkpoints")
# Group and version of a kind, and the name of its model.
KINDS = {
    "v1": "V1",
    "apps/v1": "V1",
    "rbac.authorization.k8s.io/v1": "V1",
    "networking.k8s.io/v1": "V1",
    "policy/v1": "V1",
}


def list_files(overlay, part="resources"):
    """Returns the files that a kustomization names, those of the kustomizations below it included."""
    folder = (MANIFESTS / overlay).resolve()
    kustomization = load(folder / "kustomization.yaml")[0]
    files = [folder / entry["path"] for entry in kustomization.get("patches", [])] if part == "patches" else []
    for entry in kustomization["resources"]:
        if (folder / entry).is_dir():
            files += list_files(folder / entry, part)
        elif part == "resources":
            files.append(folder / entry)
    return files


def validate(document, partial=False):
    kind = KINDS[document["apiVersion"]] + document["kind"]
    return openapi.read(document, kind, client, document["metadata"]["name"], partial)


def find_pods(documents):
    """Returns (object, pod template's spec) of everything that starts pods."""
    return [(d, d["spec"]["template"]["spec"]) for d in documents if d["kind"] in ("Deployment", "StatefulSet", "Job")]


def load_beside(overlay):
    """Returns the objects that must be there before: train-job builds on the base, the others on nothing."""
    return [d for path in list_files("base") for d in load(path)] if overlay == "train-job" else []


def check(documents, beside=()):
    """Checks a complete set of objects: each by itself, and that what one names another, or `beside`, is."""
    for document in documents:
        validate(document)
    secrets = [document for path in sorted((MANIFESTS / "secrets").glob("*.yaml")) for document in load(path)]
    present = {(d["kind"], d["metadata"].get("namespace"), d["metadata"]["name"]): d for d in [*documents, *beside, *secrets]}

    def find(kind, namespace, name, key=None):
        assert (kind, namespace, name) in present, f"{kind} {namespace}/{name} is referenced and does not exist"
        found = present[kind, namespace, name]
        assert key is None or key in (found.get("data") or found.get("stringData")), f"{kind} {name} has no {key}"
        return found

    assert not any(document["kind"] == "Secret" for document in documents)  # applying again would overwrite them
    for owner, spec in find_pods(documents):
        namespace, claimed = owner["metadata"]["namespace"], owner["spec"].get("volumeClaimTemplates", [])
        account = find("ServiceAccount", namespace, spec["serviceAccountName"])
        assert account["automountServiceAccountToken"] is spec["automountServiceAccountToken"] is False
        assert owner["spec"]["selector"]["matchLabels"].items() <= owner["spec"]["template"]["metadata"]["labels"].items()
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True and context["runAsUser"] > 0
        assert context["seccompProfile"]["type"] == "RuntimeDefault"
        volumes = {volume["name"] for volume in spec["volumes"]} | {claim["metadata"]["name"] for claim in claimed}
        for volume in spec["volumes"]:
            if "configMap" in volume:
                find("ConfigMap", namespace, volume["configMap"]["name"])
            if "persistentVolumeClaim" in volume:
                find("PersistentVolumeClaim", namespace, volume["persistentVolumeClaim"]["claimName"])
        for container in spec["containers"]:
            check_container(container, volumes)
            for entry in container["env"]:
                source = entry.get("valueFrom", {})
                if "secretKeyRef" in source:
                    find("Secret", namespace, source["secretKeyRef"]["name"], source["secretKeyRef"]["key"])
                elif "configMapKeyRef" in source:
                    find("ConfigMap", namespace, source["configMapKeyRef"]["name"], source["configMapKeyRef"]["key"])
                assert source or not any(word in entry["name"] for word in ("PASSWORD", "SECRET", "TOKEN"))
    for document in documents:
        namespace = document["metadata"].get("namespace")
        if document["kind"] == "RoleBinding":
            find("Role", namespace, document["roleRef"]["name"])
            for subject in document["subjects"]:
                find("ServiceAccount", subject["namespace"], subject["name"])
        if document["kind"] == "Role":
            assert not any("*" in rule[part] for rule in document["rules"] for part in ("apiGroups", "resources", "verbs"))
        if document["kind"] in ("Service", "PodDisruptionBudget"):
            selector = document["spec"]["selector"]
            wanted = (selector.get("matchLabels") or selector).items()
            assert any(wanted <= owner["spec"]["template"]["metadata"]["labels"].items() for owner, _ in find_pods(documents))
        if document["kind"] == "StatefulSet":
            find("Service", namespace, document["spec"]["serviceName"])


def check_container(container, volumes):
    # The image of this repository is pinned by who pushes it.
    assert "@sha256:" in container["image"] or container["image"] == "rlready-mlflow", f"{container['image']} is not pinned"
    context = container["securityContext"]
    assert context["allowPrivilegeEscalation"] is False and context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["requests"].keys() == {"cpu", "memory"} and "memory" in container["resources"]["limits"]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
    ports = {port["name"] for port in container["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe].get("httpGet", {}).get("port", next(iter(ports))) in ports
    assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_files_are_valid_and_complete(overlay):
    documents = [document for path in list_files(overlay) for document in load(path)]
    check(documents, load_beside(overlay))
    names = [(d["kind"], d["metadata"].get("namespace"), d["metadata"]["name"]) for d in documents]
    assert len(names) == len(set(names))
    for document in (document for path in list_files(overlay, "patches") for document in load(path)):
        validate(document, partial=True)
        assert (document["kind"], document["metadata"]["namespace"], document["metadata"]["name"]) in names


@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl on this machine")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_kustomize_builds_is_valid_and_complete(overlay):
    built = subprocess.run(["kubectl", "kustomize", str(MANIFESTS / overlay)], check=True, capture_output=True, text=True)
    documents = list(yaml.safe_load_all(built.stdout))
    check(documents, load_beside(overlay))
    if overlay == "base":
        assert all(d["metadata"]["labels"]["app.kubernetes.io/part-of"] == "rlready" for d in documents)


def test_every_file_is_part_of_something():
    used = {path for overlay in OVERLAYS for part in ("resources", "patches") for path in list_files(overlay, part)}
    found = {path.resolve() for path in MANIFESTS.rglob("*.yaml") if path.parent.name not in ("secrets", "plugin")}
    assert {path for path in found if path.name != "kustomization.yaml"} == used


def test_secrets_hold_no_values():
    for path in (MANIFESTS / "secrets").glob("*.yaml"):
        (secret,) = load(path)
        validate(secret)
        assert secret["kind"] == "Secret" and set(secret["stringData"].values()) == {""}


def test_the_strict_reader_refuses_what_kubernetes_would():
    (service,) = [d for d in load(MANIFESTS / "base/tracking/mlflow.yaml") if d["kind"] == "Service"]
    for change, message in (
        ({"specs": {}}, "V1Service has no specs"),
        ({"spec": {"ports": [{"name": "http"}]}}, "`port`, must not be `None`"),
        ({"spec": {"ports": [{"port": "5000"}]}}, "'5000' is not int"),
        ({"spec": {"selector": ["a"]}}, r"is not dict\(str, str\)"),
    ):
        with pytest.raises(ValueError, match=message):
            validate(service | change)


def test_the_server_takes_its_arguments_and_answers_to_its_name():
    from mlflow import environment_variables
    from mlflow.cli import server
    from mlflow.server.security_utils import is_allowed_host_header

    (deployment,) = [d for d in load(MANIFESTS / "base/tracking/mlflow.yaml") if d["kind"] == "Deployment"]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["mlflow", "server"]
    options = {option for parameter in server.params for option in parameter.opts}
    assert {argument.split("=")[0] for argument in container["args"]} <= options
    known = {parameter.envvar for parameter in server.params} | {
        value.name
        for value in vars(environment_variables).values()
        if isinstance(value, environment_variables._EnvironmentVariable)
    }
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert {name for name in environment if name.startswith("MLFLOW")} <= known
    hosts = environment["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    plugin = json.loads((MANIFESTS / "plugin/mlflow.json").read_text())["plugins"]["mlflow"]["endpoint"]
    for host in ("mlflow.rlready:5000", "localhost:5000", plugin.removeprefix("http://")):
        assert is_allowed_host_header(hosts, host)
    assert not is_allowed_host_header(hosts, "mlflow.example.com:5000")
    assert container["image"] == "rlready-mlflow"  # images/build.sh mlflow; the overlay's user says where, by digest


def test_mlflow_refuses_everyone_without_a_password_and_no_whole_namespace():
    objects = {(d["kind"], d["metadata"]["name"]): d for path in list_files("base") for d in load(path)}
    container = objects["Deployment", "mlflow"]["spec"]["template"]["spec"]["containers"][0]
    assert "--app-name=basic-auth" in container["args"]
    for entry in objects["NetworkPolicy", "mlflow"]["spec"]["ingress"][0]["from"]:
        assert entry["podSelector"], "a namespace is let in whole"


def test_the_patch_that_turns_on_kfps_plugin_is_valid():
    (patch,) = load(MANIFESTS / "plugin/ml-pipeline.yaml")
    validate(patch, partial=True)


def test_the_placement_that_the_readme_shows_names_what_the_manifests_make():
    text = (MANIFESTS / "README.md").read_text()
    shown = next(part for part in text.split("```yaml\n")[1:] if part.startswith("placement:")).split("```")[0]
    placement = parse_placement(yaml.safe_load(shown)["placement"])["sft"]
    claims = [d["metadata"]["name"] for d in load(MANIFESTS / "base/runner/hub-cache.yaml")]
    assert placement.hub_cache in claims
    secrets = {name: load(MANIFESTS / f"secrets/{name}.yaml")[0] for name in ("hub", "mlflow-account")}
    made = {secret["metadata"]["name"]: secret["stringData"].keys() for secret in secrets.values()}
    assert {name: variables.keys() for name, variables in placement.secrets.items()} == made
    plugin = json.loads((MANIFESTS / "plugin/mlflow.json").read_text())["plugins"]["mlflow"]["settings"]
    assert set(plugin["credentialSecretRef"].values()) == made["kfp-mlflow-credentials"]
    assert placement.environment == {"MLFLOW_TRACKING_URI": "http://mlflow.rlready:5000"}
