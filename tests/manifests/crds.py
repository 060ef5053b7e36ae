"""Kubernetes resources against the schemas of their CustomResourceDefinitions, strictly.

The API server prunes a field it does not know and says nothing; here it is an error. CEL rules
(`x-kubernetes-validations`) are not evaluated.
"""

from pathlib import Path

import jsonschema

import strictyaml

# Kinds the project's manifests may have. A kind outside this list is a typo or needs a decision;
# one inside it without a CRD in the folder is reported as skipped.
KINDS = {
    ("networking.istio.io", "EnvoyFilter"),
    ("networking.istio.io", "ServiceEntry"),
    ("networking.istio.io", "DestinationRule"),
    ("extensions.istio.io", "WasmPlugin"),
    ("gateway.envoyproxy.io", "EnvoyExtensionPolicy"),
    ("gateway.envoyproxy.io", "EnvoyPatchPolicy"),
    ("gateway.envoyproxy.io", "BackendTrafficPolicy"),
    ("gateway.envoyproxy.io", "ClientTrafficPolicy"),
}

# What a manifest written by hand says about itself; everything else in ObjectMeta is the API
# server's. Names and namespaces are DNS labels or subdomains (RFC 1123).
METADATA = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "maxLength": 253, "pattern": r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"},
        "namespace": {"type": "string", "maxLength": 63, "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


class Crds:
    """The schemas of CRDs, by group, kind and served version."""

    def __init__(self, schemas: dict):
        self._schemas = schemas

    def __len__(self) -> int:
        return len(self._schemas)

    @classmethod
    def none(cls) -> "Crds":
        """No schemas at all: kinds are known, fields are not."""
        return cls({})

    @classmethod
    def of(cls, folder: Path) -> "Crds":
        """The CRDs in the files of a folder; none where there is no such folder."""
        schemas = {}
        for path in sorted(folder.glob("*.yaml")):
            for crd in strictyaml.load_all(path):
                if crd.get("kind") != "CustomResourceDefinition":
                    continue
                spec = crd["spec"]
                schemas[spec["group"], spec["names"]["kind"]] = {
                    version["name"]: jsonschema.Draft4Validator(_resource(version["schema"]["openAPIV3Schema"]))
                    for version in spec["versions"]
                    if version["served"]
                }
        return cls(schemas)

    def errors(self, document: dict) -> list[str] | None:
        """What is wrong with a resource; None when there is no CRD for its kind."""
        group, _, version = str(document.get("apiVersion")).rpartition("/")
        kind = document.get("kind")
        if (group, kind) not in KINDS:
            return [f"{group}/{kind} is not a kind this check knows (crds.py, KINDS)"]
        versions = self._schemas.get((group, kind))
        if versions is None:
            return None
        if version not in versions:
            return [f"apiVersion: {kind} has no version {version!r} (served: {', '.join(versions)})"]
        return sorted(f"{_path(error)}: {error.message}" for error in versions[version].iter_errors(document))


def _resource(schema: dict) -> dict:
    """The schema of a whole resource: a CRD's own says little about what all kinds have."""
    resource = _strict(schema)
    resource["properties"] |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": METADATA}
    resource["required"] = ["apiVersion", "kind", "metadata", "spec"]
    return resource


def _strict(schema: dict) -> dict:
    """A structural schema as JSON Schema that refuses unknown fields.

    Draft 4, because OpenAPI 3.0 has its boolean `exclusiveMinimum`. The schemas under allOf, anyOf,
    oneOf and not are left alone: in a structural schema they only restrict what is declared beside them.
    """
    strict = dict(schema)
    if "properties" in schema:
        strict["properties"] = {name: _strict(child) for name, child in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            strict["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        strict["additionalProperties"] = _strict(schema["additionalProperties"])
    if isinstance(schema.get("items"), dict):
        strict["items"] = _strict(schema["items"])
    if schema.get("nullable") and "type" in schema:
        strict["type"] = [schema["type"], "null"]
    return strict


def _path(error: jsonschema.ValidationError) -> str:
    return ".".join(str(step) for step in error.absolute_path) or "(document)"
