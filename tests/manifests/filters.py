"""Where a file carries a Wasm filter, what its stanza must say, and the configuration inside it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

WASM = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"
STRING_VALUE = "type.googleapis.com/google.protobuf.StringValue"

FAIL_OPEN = [("failure_policy", "FAIL_OPEN"), ("fail_open", True), ("failStrategy", "FAIL_OPEN"), ("failOpen", True)]


@dataclass
class Filter:
    """One Countersign filter as some file configures it."""

    config: dict
    """The Countersign configuration document."""
    host_holds: bool
    """Whether the host was told to show the body while the headers are held."""
    reloads: bool | None
    """Whether a faulted VM is replaced; None where the platform has no such setting."""


def in_envoy(tree) -> Iterator[Filter]:
    """The filters in a piece of Envoy configuration. Raises ValueError."""
    for node in dicts(tree):
        if node.get("@type") == WASM:
            plugin = node.get("config", {})
            yield Filter(
                config=_from_any(plugin.get("configuration", {})),
                host_holds=plugin.get("allow_on_headers_stop_iteration") is True,
                reloads=plugin.get("failure_policy") == "FAIL_RELOAD",
            )


def in_resource(document: dict) -> Iterator[Filter]:
    """The filters in a Kubernetes resource. Raises ValueError."""
    spec = document.get("spec", {})
    match document.get("kind"):
        case "WasmPlugin":
            yield Filter(spec.get("pluginConfig"), False, spec.get("failStrategy") == "FAIL_RELOAD")
        case "EnvoyExtensionPolicy":
            for wasm in spec.get("wasm", []):
                yield Filter(wasm.get("config"), False, None)
        case "EnvoyFilter" | "EnvoyPatchPolicy":
            yield from in_envoy(spec)


def errors(tree, filters: list[Filter]) -> list[str]:
    """House rules that no schema knows."""
    found = []
    for node in dicts(tree):
        for field, value in FAIL_OPEN:
            if node.get(field) == value:
                found.append(f"{field}: {value}: an identity gate never fails open")
    for filter_ in filters:
        if not isinstance(filter_.config, dict) or not filter_.config:
            found.append("the filter has no configuration: it would deny everything")
            continue
        mode = filter_.config.get("host_mode", "stream")
        if mode == "hold" and not filter_.host_holds:
            found.append("host_mode hold without allow_on_headers_stop_iteration: true")
        if mode == "stream" and filter_.host_holds:
            found.append("allow_on_headers_stop_iteration: true in host_mode stream")
        if filter_.reloads is False:
            found.append("no FAIL_RELOAD: one fault would deny everything until the next configuration")
    return found


def issuer_clusters(config: dict) -> set[str]:
    """The clusters through which a configuration asks its issuers."""
    members = ("cluster", "keys_cluster")
    return {node[member] for node in dicts(config.get("issuers", {})) for member in members if member in node}


def secrets(config: dict) -> dict[str, str]:
    """The environment variables a configuration reads, each with the member that it is for."""
    found = {}
    for node in dicts(config):
        for member, value in node.items():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict) and item.keys() == {"env"}:
                    found[item["env"]] = member
    return found


def _from_any(value: dict) -> dict:
    if value.get("@type") != STRING_VALUE:
        raise ValueError(f"configuration must be a {STRING_VALUE}: Envoy hands the module anything else as protobuf")
    return json.loads(value.get("value", ""), object_pairs_hook=_no_duplicates)


def _no_duplicates(pairs: list) -> dict:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("configuration: a name is given twice")
    return document


def dicts(tree) -> Iterator[dict]:
    """Every object in a tree, outermost first."""
    if isinstance(tree, dict):
        yield tree
        for child in tree.values():
            yield from dicts(child)
    elif isinstance(tree, list):
        for child in tree:
            yield from dicts(child)
