"""Envoy itself as the judge: bootstraps, and bootstraps made around what a manifest carries."""

import atexit
import base64
import copy
import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

import filters

# The module as every bootstrap of the repository names it, relative to the repository's root.
MODULE = "target/wasm32-wasip1/release/countersign.wasm"

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"

# Where a bootstrap of the repository has its certificates, and what makes some like them.
CERTIFICATES = "/etc/envoy/tls/"
MAKE_CERTIFICATES = Path(__file__).resolve().parents[2] / "examples/demo/lib/certificates.py"

# A validation compiles the module once (seconds of CPU); more than this is a hang.
TIMEOUT = 120


class Envoy:
    """An Envoy binary and the module that the filters load."""

    def __init__(self, binary: Path, module: Path):
        self._binary = binary
        self._module = module
        self._certificates = _certificates()

    def errors(self, bootstrap: str, *arguments: str) -> list[str]:
        """What `envoy --mode validate` says against a bootstrap, as YAML or JSON text."""
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
            file.write(bootstrap.replace(MODULE, str(self._module)).replace(CERTIFICATES, f"{self._certificates}/"))
            file.flush()
            command = [self._binary, "--mode", "validate", "--log-level", "error", "-c", file.name, *arguments]
            run = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, env=self._environment(bootstrap)
            )
        if run.returncode == 0:
            return []
        said = [line for line in (run.stderr + run.stdout).splitlines() if line.strip()]
        return ["envoy: " + " ".join(said[-4:])[-900:]]

    def _environment(self, bootstrap: str) -> dict[str, str]:
        """Ours, and a good value for each secret that the filters of a bootstrap read."""
        try:
            found = [filter_.config for filter_ in filters.in_envoy(yaml.safe_load(bootstrap))]
        except ValueError:
            found = []
        # A private key where one is asked for; else what is long enough for any secret.
        private_key = (self._certificates / "client.key").read_text(encoding="utf-8")
        other = base64.b64encode(bytes(range(32))).decode()
        secrets = {name: member for config in found for name, member in filters.secrets(config).items()}
        return os.environ | {name: private_key if member == "key" else other for name, member in secrets.items()}

    def resource_errors(self, document: dict) -> list[str]:
        """What Envoy says to the Envoy configuration inside an EnvoyFilter or EnvoyPatchPolicy."""
        try:
            bootstrap = bootstrap_of(document)
        except (ValueError, KeyError, TypeError) as error:
            return [f"cannot put the patches into a bootstrap: {error!r}"]
        return self.errors(json.dumps(bootstrap))


@functools.cache
def _certificates() -> Path:
    """A folder with certificates, gone with this process."""
    made = tempfile.TemporaryDirectory()
    atexit.register(made.cleanup)
    subprocess.run([sys.executable, MAKE_CERTIFICATES, made.name], check=True)
    return Path(made.name)


def bootstrap_of(document: dict) -> dict:
    """The smallest bootstrap with the Envoy configuration that an EnvoyFilter or EnvoyPatchPolicy carries.

    Raises ValueError, KeyError or TypeError where it carries something else.
    """
    build = {"EnvoyFilter": _patched_by_istio, "EnvoyPatchPolicy": _patched_by_envoy_gateway}[document["kind"]]
    return build(document["spec"])


def timeout_errors(bootstrap: dict) -> list[str]:
    """Connection managers that could keep a paused request open for ever."""
    return [
        f"{field} is not set: nothing would end a request that stays paused"
        for node in filters.dicts(bootstrap)
        if node.get("@type") == HCM
        for field in ("stream_idle_timeout", "request_timeout", "request_headers_timeout")
        if node.get(field) in (None, "0s")
    ]


def stream_errors(bootstrap: dict) -> list[str]:
    """Routes that would end an event stream by its age, which a listening client has no limit for."""
    return [
        f"the route to {action.get('cluster')} has a timeout: it ends event streams and slow tools"
        for node in filters.dicts(bootstrap)
        if isinstance(action := node.get("route"), dict)
        and (action.get("timeout") != "0s" or "max_stream_duration" in action)
    ]


def cluster_names(bootstrap: dict) -> set[str]:
    """The names of a bootstrap's clusters."""
    return {cluster["name"] for cluster in bootstrap["static_resources"].get("clusters", [])}


def _patched_by_istio(spec: dict) -> dict:
    """A bootstrap with the patches of an EnvoyFilter where istiod would put them."""
    bootstrap, listener, manager = _skeleton()
    extensions, discovered = set(), set()
    for entry in spec["configPatches"]:
        patch = entry["patch"]
        value = copy.deepcopy(patch["value"])
        match entry["applyTo"], patch["operation"]:
            case "EXTENSION_CONFIG", "ADD":
                extensions.add(value["name"])
                # As it is, for the schema; and with the module at hand, for the configuration.
                manager["http_filters"].insert(0, copy.deepcopy(value))
                value["typed_config"]["config"]["vm_config"]["code"] = {"local": {"filename": MODULE}}
                manager["http_filters"].insert(0, value)
            case "HTTP_FILTER", "INSERT_FIRST":
                discovered.add(value["name"])
                manager["http_filters"].insert(0, value)
            case "LISTENER", "MERGE":
                _merge(listener, value)
            case "NETWORK_FILTER", "MERGE":
                _merge(manager, value["typed_config"])
            case what:
                raise ValueError(f"a patch this check does not know: {what}")
    if extensions != discovered:
        raise ValueError(f"extensions {sorted(extensions)} and the filters that name them {sorted(discovered)} differ")
    return bootstrap


def _patched_by_envoy_gateway(spec: dict) -> dict:
    """A bootstrap with the clusters that an EnvoyPatchPolicy adds."""
    bootstrap, _, _ = _skeleton()
    for patch in spec["jsonPatches"]:
        operation = patch["operation"]
        if (patch["type"], operation["op"], operation["path"]) != (CLUSTER, "add", ""):
            raise ValueError(f"a patch this check does not know: {patch['type']} {operation['op']}")
        if operation["value"]["name"] != patch["name"]:
            raise ValueError(f"the patch is named {patch['name']}, its cluster {operation['value']['name']}")
        bootstrap["static_resources"]["clusters"].append(operation["value"])
    return bootstrap


def _skeleton() -> tuple[dict, dict, dict]:
    """The smallest bootstrap with a listener; returned with that listener and its connection manager."""
    manager = {
        "@type": HCM,
        "stat_prefix": "check",
        "route_config": {"virtual_hosts": [{"name": "check", "domains": ["*"]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
    }
    listener = {
        "name": "check",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 10000}},
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
    }
    bootstrap = {
        "node": {"id": "check", "cluster": "check"},
        "dynamic_resources": {
            "ads_config": {"api_type": "GRPC", "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]}
        },
        "static_resources": {
            "listeners": [listener],
            # `_` is what Istio's remote code names; its agent fetches without a cluster.
            "clusters": [{"name": "xds", "type": "STATIC"}, {"name": "_", "type": "STATIC"}],
        },
    }
    return bootstrap, listener, manager


def _merge(target: dict, patch: dict) -> None:
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value
