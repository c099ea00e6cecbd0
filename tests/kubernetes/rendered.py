#!/usr/bin/env python3
"""Checks the objects that the chart renders, from standard input, and writes every TOML to a folder for the binaries to check.

    helm template … -f VALUES | rendered.py --values VALUES --kubernetes 1.35 --crds FOLDER --write FOLDER

It rejects:

- duplicate keys,
- names and labels that YAML reads as numbers, booleans or null,
- objects that violate their strict JSON schema (Kubernetes' own, and those of the custom resource definitions),
- names and labels that are invalid or too long,
- two objects with the same name,
- a ConfigMap or Secret that a pod needs but that neither the release creates nor the values name, or that a hook needs before it
  is created,
- a selector that matches no pod,
- a pod that violates Pod Security "restricted", gets a token, or has no requests or memory limit.
"""

import argparse
import copy
import pathlib
import re
import sys

import jsonschema
import kubernetes_validate
import yaml

# The binaries read the certificates that a configuration names. Nobody has the key of this one.
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUF3OeNVvjCiCM14BipcbnYx0VIJYwCgYIKoZIzj0EAwIw
IjEgMB4GA1UEAwwXQSBjZXJ0aWZpY2F0ZSBmb3IgdGVzdHMwIBcNMjYxMTI5MDYy
ODEwWhgPMjEyNjExMDUwNjI4MTBaMCIxIDAeBgNVBAMMF0EgY2VydGlmaWNhdGUg
Zm9yIHRlc3RzMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8Am19IA5Bz5w7zi2
uPEQyFsLi5EVBg20mm9ySKV03Hz9q0whtbvTLnxWjdsvSSsmvAWqvZ/PGl/KQr2D
NxI7N6NTMFEwHQYDVR0OBBYEFCEZpUJPwa5BosoMBM4zc6BK9EpiMB8GA1UdIwQY
MBaAFCEZpUJPwa5BosoMBM4zc6BK9EpiMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZI
zj0EAwIDSAAwRQIhAPAi9FHnO2p0BCQJfcY1Fz1zvw9Df9Wu63rHCm3wQbLwAiAl
2EwTpe7hT3sbWd23iKynMoyjPMxGX20uv6kBsIXPOA==
-----END CERTIFICATE-----
"""
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


class Loader(yaml.SafeLoader):
    """YAML without duplicate keys."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate keys: {sorted(map(str, twice))}", node.start_mark)
        return super().construct_mapping(node, deep)


def strict(schema):
    """A CRD's schema that rejects unknown fields, where the API server would drop them."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: value if key in ("default", "enum") else strict(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        schema.pop("anyOf", None)
        schema["type"] = ["integer", "string"]
    if isinstance(schema.get("pattern"), str):
        # Go accepts flags anywhere in a pattern, Python only at the beginning.
        schema["pattern"] = schema["pattern"].replace("^(?i)", "(?i)^")
    open_ended = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(schema.get("properties"), dict) and not open_ended:
        schema["additionalProperties"] = False
    return schema


def crd_schemas(folder: pathlib.Path) -> dict:
    """The JSON schema of every CRD in the folder, by (apiVersion, kind)."""
    schemas = {}
    for file in sorted(folder.glob("*.yaml")):
        spec = yaml.safe_load(file.read_text())["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            schemas[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return schemas


def shape_error(document) -> str | None:
    """Why no further check is possible: the document is not an object, or has a name that is not text."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict) or not {"apiVersion", "kind"} <= set(document):
        return f"not an object: {str(document)[:80]!r}"
    texts = {"name": metadata.get("name"), "namespace": metadata.get("namespace", "")}
    for metadata in [metadata] + [pod[0] for pod in [pod_of(document)] if pod]:
        for field in ("labels", "annotations"):
            texts |= {f"{field}.{key}": value for key, value in (metadata.get(field) or {}).items()}
    for field, value in texts.items():
        if not isinstance(value, str):
            return f"{title(document)} has a {field} that YAML reads as {type(value).__name__}: {value}"
    return None


def title(document: dict) -> str:
    return f"{document['kind']} {document['metadata'].get('name')}"


def schema_errors(document: dict, kubernetes: str, crds: dict):
    crd = crds.get((document["apiVersion"], document["kind"]))
    try:
        if crd is None:
            kubernetes_validate.validate(document, kubernetes, strict=True)
        else:
            jsonschema.validate(document, crd)
    except (kubernetes_validate.ValidationError, jsonschema.ValidationError) as error:
        yield f"at {'.'.join(str(step) for step in error.path)}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError:
        yield f"no schema for {document['apiVersion']}"


def name_errors(document: dict):
    """Rules that no schema contains: names from which others are derived, and values of labels."""
    name = document["metadata"]["name"]
    # Pods of a Job have its name in a label. A CronJob adds eleven characters to the names of its Jobs.
    longest = {"CronJob": 52, "Job": 63, "Service": 63, "Pod": 63}.get(document["kind"], 253)
    if len(name) > longest or not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        yield "has a name that is invalid or too long"
    labels = dict(document["metadata"].get("labels") or {})
    labels |= (pod_of(document)[0].get("labels") or {}) if pod_of(document) else {}
    for key, value in labels.items():
        if len(value) > 63 or not re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", value):
            yield f"has a label {key} with an invalid value: {value}"


def pod_of(document: dict):
    """Metadata and spec of the pod that the object creates, if it creates one."""
    spec = document.get("spec", {})
    if document["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    if document["kind"] == "Pod":
        return document["metadata"], spec
    template = spec.get("template") if document["kind"] in ("CronJob", "Deployment", "Job") else None
    return (template.get("metadata") or {}, template["spec"]) if template else None


def pod_errors(spec: dict):
    """Violations of Pod Security "restricted", and missing resources."""
    pod = spec.get("securityContext") or {}
    if spec.get("automountServiceAccountToken") is not False:
        yield "gets a token of the Kubernetes API"
    for flag in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(flag):
            yield f"sets {flag}"
    for volume in spec.get("volumes", []):
        if not set(volume) - {"name"} <= VOLUMES:
            yield f"volume {volume['name']} has a type that is not allowed"
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    for container in spec.get("initContainers", []) + spec["containers"]:
        own = container.get("securityContext") or {}
        name = container["name"]
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            yield f"container {name} may escalate its privileges"
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own.get("capabilities", {}).get("add"):
            yield f"container {name} keeps capabilities"
        if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True or own.get("runAsUser", pod.get("runAsUser")) == 0:
            yield f"container {name} may run as root"
        if own.get("seccompProfile", pod.get("seccompProfile", {})).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"container {name} has no seccomp profile"
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"container {name} may write to its image"
        resources = container.get("resources") or {}
        if not {"cpu", "memory"} <= set(resources.get("requests") or {}) or "memory" not in (resources.get("limits") or {}):
            yield f"container {name} has no requests or no memory limit"
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"container {name} mounts {mount['name']}, which is not a volume of the pod"


def needed(spec: dict):
    """(kind, name) of every ConfigMap and Secret that the pod needs to start."""
    for volume in spec.get("volumes", []):
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]
        for source in volume.get("projected", {}).get("sources", []):
            if "secret" in source:
                yield "Secret", source["secret"]["name"]
    for container in spec.get("initContainers", []) + spec["containers"]:
        for variable in container.get("env", []):
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                yield "Secret", reference["name"]


def order(document: dict):
    """When Helm creates the object: install hooks by weight, then the release, then test hooks by weight."""
    annotations = document["metadata"].get("annotations") or {}
    hook = annotations.get("helm.sh/hook", "")
    weight = int(annotations.get("helm.sh/hook-weight", 0))
    return (-1, weight) if "pre-install" in hook else (1, weight) if hook == "test" else (0, 0)


def reference_errors(documents: list, values: str):
    made = {(document["kind"], document["metadata"]["name"]): order(document) for document in documents}
    for document in documents:
        if not (pod := pod_of(document)):
            continue
        for need in needed(pod[1]):
            if need in made:
                if made[need] > order(document) or (made[need] == order(document) and made[need] != (0, 0)):
                    yield f"{title(document)} needs {' '.join(need)} before it is created"
                # Helm deletes objects of such a hook before the release runs.
                elif made[need][0] == -1 and order(document)[0] != -1:
                    yield f"{title(document)} needs {' '.join(need)}, which is deleted after its hook"
            elif str(need[1]) not in values:
                yield f"{title(document)} needs {' '.join(need)}, which nothing creates"


def selector_errors(documents: list):
    pods = [pod_of(document)[0].get("labels") or {} for document in documents if pod_of(document)]
    for document in documents:
        spec = document.get("spec", {})
        selector = {
            "Service": lambda: {"matchLabels": spec["selector"]},
            "Deployment": lambda: spec["selector"],
            "PodDisruptionBudget": lambda: spec["selector"],
            "NetworkPolicy": lambda: spec["podSelector"],
            "PodMonitor": lambda: spec["selector"],
        }.get(document["kind"])
        if selector and not any(matches(selector(), labels) for labels in pods):
            yield f"{title(document)} selects no pod"
        if document["kind"] == "ServiceMonitor":
            services = [other["metadata"]["labels"] for other in documents if other["kind"] == "Service"]
            if not any(matches(spec["selector"], labels) for labels in services):
                yield f"{title(document)} selects no service"


def matches(selector: dict, labels: dict) -> bool:
    equal = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return equal and all(
        labels.get(expression["key"]) in expression["values"] for expression in selector.get("matchExpressions", [])
    )


def write_configurations(documents: list, folder: pathlib.Path) -> None:
    """Writes every ConfigMap with a TOML as a folder. Mount paths become paths below it; files of Secrets get
    a certificate or dummy content."""
    for document in documents:
        data = document.get("data", {})
        if document["kind"] != "ConfigMap" or not any(name.endswith(".toml") for name in data):
            continue
        place = folder / document["metadata"]["name"]
        place.mkdir(parents=True, exist_ok=True)
        for name, content in data.items():
            for secret in re.findall(r"/run/secrets/([\w./-]+)", content):
                (place / secret).parent.mkdir(parents=True, exist_ok=True)
                (place / secret).write_text(CERTIFICATE if secret.endswith((".crt", ".pem")) else "dummy\n")
            content = content.replace("/run/secrets", str(place)).replace("/etc/livescores", str(place))
            (place / name).write_text(content)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--values", type=pathlib.Path, required=True)
    arguments.add_argument("--kubernetes", required=True)
    arguments.add_argument("--crds", type=pathlib.Path, required=True)
    arguments.add_argument("--write", type=pathlib.Path, required=True)
    options = arguments.parse_args()

    try:
        documents = [document for document in yaml.load_all(sys.stdin, Loader) if document]
    except yaml.YAMLError as error:
        sys.exit(str(error))
    if shapeless := [error for document in documents if (error := shape_error(document))]:
        sys.exit("\n".join(shapeless))
    crds = crd_schemas(options.crds)
    errors = []
    for document in documents:
        wrong = schema_errors(copy.deepcopy(document), options.kubernetes, crds)
        errors += [f"{title(document)} {error}" for error in wrong]
        errors += [f"{title(document)} {error}" for error in name_errors(document)]
        if pod := pod_of(document):
            errors += [f"{title(document)}: {error}" for error in pod_errors(pod[1])]
    names = [f"{document['kind']} {document['metadata']['name']}" for document in documents]
    errors += [f"{name} exists twice" for name in sorted({name for name in names if names.count(name) > 1})]
    errors += reference_errors(documents, options.values.read_text())
    errors += selector_errors(documents)
    write_configurations(documents, options.write)
    if errors or not documents:
        sys.exit("\n".join(errors) or "no objects were rendered")
    print(f"{len(documents)} objects")


main()
