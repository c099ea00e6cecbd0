#!/usr/bin/env python3
"""Checks docker-compose.yaml, as resolved by `docker compose config --format json`, and the files that it mounts.

    compose.py --compose RESOLVED.json --binaries FOLDER --prometheus FOLDER

Writes Prometheus's files for promtool, laid out as in its container. Prints a line for each check; exits 1 if one fails.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[1]
OURS = {"sink": ("sink-connector", "SINK__", 9464), "producer": ("producer", "PRODUCER__", 9465)}
# The keys that Grafana's provisioning reads; it silently ignores others.
DATASOURCE = {
    "name", "type", "uid", "orgId", "access", "url", "user", "database", "basicAuth", "basicAuthUser", "withCredentials",
    "isDefault", "jsonData", "secureJsonData", "version", "editable",
}
PROVIDER = {
    "name", "orgId", "folder", "folderUid", "type", "disableDeletion", "updateIntervalSeconds", "allowUiUpdates", "options",
}

failed = False


def check(what: str, problems) -> None:
    global failed
    problems = list(problems)
    print("FAILED" if problems else "ok    ", what)
    for problem in problems:
        print("      ", problem)
    failed |= bool(problems)


def source(service: dict, target: str) -> pathlib.Path:
    """The file or folder of the repository that a container sees under this path."""
    for volume in service["volumes"]:
        mounted = pathlib.PurePosixPath(volume["target"])
        if volume["type"] == "bind" and (mounted == pathlib.PurePosixPath(target) or mounted in pathlib.PurePosixPath(target).parents):
            return pathlib.Path(volume["source"]) / pathlib.PurePosixPath(target).relative_to(mounted)
    raise SystemExit(f"nothing is mounted at {target}")


def images(services: dict):
    version = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    stages = re.findall(r"^FROM \S+ AS (\S+)", (ROOT / "Dockerfile").read_text(), re.M)
    for name, service in services.items():
        tag = service["image"].rpartition(":")[2]
        if name in OURS:
            if service["image"] != f"livescores/{OURS[name][0]}:{version}":
                yield f"{name}: {service['image']} is not of version {version}"
            if service["build"].get("target") not in stages:
                yield f"{name}: the Dockerfile has no stage {service['build'].get('target')}"
        elif not re.match(r"v?\d+(\.\d+)*", tag):
            yield f"{name}: {service['image']} is not pinned"


def ports(services: dict):
    for name, service in services.items():
        for port in service.get("ports", []):
            if port.get("host_ip") != "127.0.0.1":
                yield f"{name}: port {port['published']} is reachable from other machines"
        if name in OURS and OURS[name][2] not in [port["target"] for port in service["ports"]]:
            yield f"{name}: {OURS[name][2]} is not published"


def order(services: dict):
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] != "service_healthy":
                yield f"{name}: does not wait until {other} is healthy"
            if not services[other].get("healthcheck"):
                yield f"{other}: {name} waits until it is healthy, but it has no health check"
        if name in OURS and not (service.get("read_only") and service.get("cap_drop") == ["ALL"]):
            yield f"{name}: is not confined"


def mounts(services: dict, volumes: dict):
    for name, service in services.items():
        for volume in service.get("volumes", []):
            if volume["type"] == "bind":
                path = pathlib.Path(volume["source"])
                if not path.exists() or ROOT not in path.parents:
                    yield f"{name}: {path} is not in the repository"
                if not volume.get("read_only"):
                    yield f"{name}: {path} is writable"
            elif volume.get("source") not in volumes:
                yield f"{name}: {volume['target']} has no named volume"


def takes(binaries: pathlib.Path, services: dict, name: str):
    """The binary accepts its service's command and variables, and its configuration shows that they apply."""
    binary, prefix, port = OURS[name]
    service = services[name]
    command = [str(binaries / binary), *service["command"]]
    if command[-1] != "run":
        yield f"the command is {service['command']}"
    command[-1:] = ["config"] if name == "sink" else ["print", "--records", "1"]
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("SINK__", "PRODUCER__"))}
    ours = {key: value for key, value in service["environment"].items() if key.startswith(prefix)}
    if ours != service["environment"]:
        yield f"variables that {binary} does not read: {sorted(service['environment'].keys() - ours.keys())}"
    output = subprocess.run(command, cwd=ROOT, env=clean | ours, capture_output=True, text=True)
    if output.returncode != 0:
        yield f"exit code {output.returncode}: {output.stderr.strip()}"
    if environment := [key for key in ours if key.endswith("__HTTP__LISTEN")]:
        if ours[environment[0]] != f"0.0.0.0:{port}":
            yield f"{environment[0]} is {ours[environment[0]]}, which the published port does not reach"
    else:
        yield "http.listen is loopback, which the published port does not reach"
    if output.returncode == 0 and name == "sink":
        for line in (f'bootstrap_servers = "{ours["SINK__KAFKA__BOOTSTRAP_SERVERS"]}"', 'table = "ipl_livescores"', f'listen = "0.0.0.0:{port}"'):
            if line not in output.stdout:
                yield f"the configuration lacks {line}"
    # An unknown variable is rejected; otherwise the check above could never fail.
    wrong = subprocess.run(command, cwd=ROOT, env=clean | ours | {f"{prefix}KAFKA__SERVERS": "x"}, capture_output=True, text=True)
    if wrong.returncode != 2:
        yield f"with an unknown variable the exit code is {wrong.returncode}, not 2"


def addresses(services: dict):
    """Hosts and ports by which the services reach each other."""
    kafka, sink, producer = services["kafka"]["environment"], services["sink"]["environment"], services["producer"]["environment"]
    advertised = dict(re.findall(r"(\w+)://([^,]*)", kafka["KAFKA_ADVERTISED_LISTENERS"]))
    listens = dict(re.findall(r"(\w+)://([^,]*)", kafka["KAFKA_LISTENERS"]))
    for name, address in (("sink", sink["SINK__KAFKA__BOOTSTRAP_SERVERS"]), ("producer", producer["PRODUCER__KAFKA__BOOTSTRAP_SERVERS"])):
        if address != advertised[kafka["KAFKA_INTER_BROKER_LISTENER_NAME"]]:
            yield f"{name}: {address} is not what Kafka advertises to containers"
    if advertised["INTERNAL"].split(":") != ["kafka", listens["INTERNAL"].strip(":")]:
        yield "kafka: the advertised address of INTERNAL is not the one that it listens on"
    published = services["kafka"]["ports"][0]
    if (str(published["target"]), published["published"]) != (listens["HOST"].strip(":"), advertised["HOST"].split(":")[1]):
        yield "kafka: the port of HOST is not the published one"
    if listens.keys() != dict(re.findall(r"(\w+):(\w+)", kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"])).keys():
        yield "kafka: a listener has no protocol"
    password = services["postgres"]["environment"]["POSTGRES_PASSWORD"]
    if sink["SINK__POSTGRES__URL"] != f"postgresql://postgres:{password}@postgres:5432/postgres":
        yield "sink: the URL does not match the service postgres"


def prometheus(service: dict, services: dict, folder: pathlib.Path):
    folder.mkdir(parents=True, exist_ok=True)
    main = source(service, "/etc/prometheus/prometheus.yml")
    shutil.copy(main, folder / "prometheus.yml")
    config = yaml.safe_load(main.read_text())
    rules = ""
    for name in config["rule_files"]:
        path = source(service, f"/etc/prometheus/{name}")
        shutil.copy(path, folder / name)
        rules += path.read_text()
    jobs = {job["job_name"]: [t for c in job["static_configs"] for t in c["targets"]] for job in config["scrape_configs"]}
    if jobs != {binary: [f"{name}:{port}"] for name, (binary, _, port) in OURS.items()}:
        yield f"the jobs are {jobs}"
    for job in jobs:
        if not re.search(rf'job=~"[^"]*{job}', rules):
            yield f"no rule knows the job {job}"
    if not services.keys() >= {target.split(":")[0] for targets in jobs.values() for target in targets}:
        yield "a target is not a service"


def grafana(service: dict, services: dict):
    data = yaml.safe_load(source(service, "/etc/grafana/provisioning/datasources/livescores.yaml").read_text())
    boards = yaml.safe_load(source(service, "/etc/grafana/provisioning/dashboards/livescores.yaml").read_text())
    for kind, entries, known in (("datasources", data, DATASOURCE), ("providers", boards, PROVIDER)):
        if entries.keys() != {"apiVersion", kind} or entries["apiVersion"] != 1:
            yield f"{kind}: keys {sorted(entries)}"
        for entry in entries[kind]:
            if unknown := entry.keys() - known:
                yield f"{kind}: Grafana would ignore {sorted(unknown)}"
    defaults = [entry for entry in data["datasources"] if entry.get("isDefault")]
    if [(entry["type"], entry["uid"], entry["url"]) for entry in defaults] != [("prometheus", "prometheus", "http://prometheus:9090")]:
        yield f"the default data source is {defaults}"
    uids = {entry["uid"] for entry in data["datasources"]}
    types = {entry["type"] for entry in data["datasources"]}
    folder = source(service, boards["providers"][0]["options"]["path"])
    files = sorted(folder.glob("*.json"))
    if not files:
        yield f"no dashboard in {folder}"
    for file in files:
        board = json.loads(file.read_text())
        variables = {v["name"]: v["query"] for v in board["templating"]["list"] if v["type"] == "datasource"}
        for uid in set(datasources(board)):
            variable = re.fullmatch(r"\$\{(\w+)\}", uid)
            if not (uid in uids or uid == "-- Grafana --" or variable and variables.get(variable[1]) in types):
                yield f"{file.name}: there is no data source {uid}"
    home = service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    if not source(service, home).exists():
        yield f"there is no {home}"


def datasources(node):
    """The uid of every data source in a dashboard."""
    if isinstance(node, dict):
        if isinstance(node.get("datasource"), dict):
            yield node["datasource"]["uid"]
        for value in node.values():
            yield from datasources(value)
    elif isinstance(node, list):
        for value in node:
            yield from datasources(value)


def main() -> int:
    arguments = argparse.ArgumentParser()
    for name in ("compose", "binaries", "prometheus"):
        arguments.add_argument(f"--{name}", type=pathlib.Path, required=True)
    given = arguments.parse_args()
    project = json.loads(given.compose.read_text())
    services = project["services"]
    check("images and build targets", images(services))
    check("ports are bound to 127.0.0.1", ports(services))
    check("start order, confinement", order(services))
    check("mounts", mounts(services, project["volumes"]))
    check("addresses between services", addresses(services))
    for name in OURS:
        check(f"{OURS[name][0]} accepts its variables and its command", takes(given.binaries.resolve(), services, name))
    check("Prometheus scrapes both, with the job names of the rules", prometheus(services["prometheus"], services, given.prometheus))
    check("Grafana's data source and dashboards", grafana(services["grafana"], services))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
