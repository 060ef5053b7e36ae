#!/usr/bin/env python3
"""The check checked: each planted mistake must be found, for the right reason.

    test_check.py --envoy PATH [--crds DIR]

The mistakes are planted in copies of the repository's own files, so the untouched copy passing
(`test_untouched_files_pass`) and the planted one failing differ in the mistake only.
"""

import argparse
import json
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

import yaml

import filters
from check import ROOT, Checker
from crds import Crds
from envoy import Envoy

# The smallest module Envoy loads: a memory, proxy_abi_version_0_2_1 and proxy_on_memory_allocate.
# It accepts any configuration, so what fails here fails by the check alone; and it compiles in no time.
STUB = bytes.fromhex(
    "0061736d01000000 0109026000006001 7f017f 0303020001 0503010001"
    "073f03 066d656d6f72790200"
    "1770726f78795f6162695f76657273696f6e5f305f325f310000"
    "1870726f78795f6f6e5f6d656d6f72795f616c6c6f636174650001"
    "0a0902 02000b 040020000b"
)

WASM_PLUGIN = "envoy/istio/wasmplugin.yaml"
HOLD_FILTER = "envoy/istio/envoyfilter.hold.yaml"
LIMITS_FILTER = "envoy/istio/envoyfilter.limits.yaml"
GATEWAY = "envoy/envoy-gateway/envoyextensionpolicy.yaml"
STREAM = "envoy/envoy.stream.yaml"
HOLD = "envoy/envoy.hold.yaml"
COMPOSE = "envoy/docker-compose.yaml"
DOCKERFILE = "envoy/oci/Dockerfile"
IDP = "envoy/istio/idp.yaml"

# (file, what is replaced, by what, what the check must say). These only the CRDs can tell.
CRD_MISTAKES = [
    (WASM_PLUGIN, "phase: AUTHN", "phase: AUTN", "spec.phase: 'AUTN' is not one of"),
    (WASM_PLUGIN, "failStrategy:", "failStrateg:", "'failStrateg' was unexpected"),
    (WASM_PLUGIN, "extensions.istio.io/v1alpha1", "extensions.istio.io/v1", "no version 'v1'"),
    (WASM_PLUGIN, "  name: countersign\n", "  name: Countersign\n", "metadata.name"),
    (WASM_PLUGIN, "  url: oci:", "  uri: oci:", "'uri' was unexpected"),
    (GATEWAY, "failOpen: false", "failOpne: false", "'failOpne' was unexpected"),
    (GATEWAY, "type: Image", "type: Imag", "'Imag'"),
    (HOLD_FILTER, "operation: INSERT_FIRST", "operation: INSERT_BEFOR", "'INSERT_BEFOR' is not one of"),
    (HOLD_FILTER, "applyTo: EXTENSION_CONFIG", "applyTo: EXTENSION", "'EXTENSION' is not one of"),
    (LIMITS_FILTER, "context: SIDECAR_INBOUND", "context: INBOUND", "'INBOUND' is not one of"),
    (IDP, "mode: SIMPLE", "mode: SIMPEL", "'SIMPEL' is not one of"),
]

# These need no CRDs.
MISTAKES = [
    # Kubernetes resources
    (WASM_PLUGIN, "kind: WasmPlugin", "kind: WasmPlugn", "not a kind this check knows"),
    (WASM_PLUGIN, "failStrategy: FAIL_RELOAD", "failStrategy: FAIL_OPEN", "never fails open"),
    (WASM_PLUGIN, "failStrategy: FAIL_RELOAD", "failStrategy: FAIL_CLOSE", "no FAIL_RELOAD"),
    (WASM_PLUGIN, "host_mode: stream", "host_mode: hold", "without allow_on_headers_stop_iteration"),
    (WASM_PLUGIN, "  pluginConfig:", "  pluginConfig: {}\n  other:", "no configuration"),
    (WASM_PLUGIN, "outbound|443||idp", "outbound|80||idp", "which nothing here makes"),
    (WASM_PLUGIN, "  phase: AUTHN", "  phase: AUTHN\n  phase: STATS", "given twice"),
    (GATEWAY, "failOpen: false", "failOpen: true", "never fails open"),
    (GATEWAY, "cluster: countersign-idp }", "cluster: idp }", "which nothing here makes"),
    # What EnvoyFilter and EnvoyPatchPolicy carry
    (GATEWAY, "type: STRICT_DNS", "type: STRICT_DSN", "envoy:"),
    (GATEWAY, "match_typed_subject_alt_names", "match_typed_subject_alt_name", "envoy:"),
    (HOLD_FILTER, "            allow_on_headers_stop_iteration: true", "#", "without allow_on_headers_stop_iteration"),
    (HOLD_FILTER, "allow_on_headers_stop_iteration: true", "allow_on_header_stop_iteration: true", "envoy:"),
    (HOLD_FILTER, "failure_policy: FAIL_RELOAD", "failure_policy: FAIL_OPEN", "never fails open"),
    (HOLD_FILTER, "reload_config:", "reload_confg:", "envoy:"),
    (HOLD_FILTER, "                    timeout: 30s\n", "", "envoy:"),
    (HOLD_FILTER, "name: countersign\n        typed_config", "name: other\n        typed_config", "differ"),
    (HOLD_FILTER, '"host_mode": "hold",', '"host_mode": "hold"', "Expecting ',' delimiter"),
    (LIMITS_FILTER, "merge_slashes: true", "merge_slash: true", "envoy:"),
    (LIMITS_FILTER, "REJECT_REQUEST\n", "REJECT\n", "envoy:"),
    # Bootstraps
    (STREAM, "          stream_idle_timeout: 120s\n", "", "stream_idle_timeout is not set"),
    (STREAM, "request_timeout: 30s", "request_timeout: 0s", "request_timeout is not set"),
    (STREAM, '"127.0.0.1:3002", timeout: 0s }', '"127.0.0.1:3002" }', "the route to mcp_python has a timeout"),
    (STREAM, "normalize_path: true", "normalise_path: true", "envoy:"),
    (STREAM, "failure_policy: FAIL_RELOAD", "failure_policy: FAIL_OPEN", "never fails open"),
    (STREAM, '"cluster": "idp"', '"cluster": "ipd"', "which nothing here makes"),
    (STREAM, '"host_mode": "stream",', '"host_mode": "stream", "host_mode": "hold",', "given twice"),
    (STREAM, "protobuf.StringValue\n", "protobuf.Struct\n", "must be a"),
    (HOLD, "allow_on_headers_stop_iteration: true", "allow_on_headers_stop_iteration: false", "without allow_on"),
    (HOLD, '"host_mode": "hold"', '"host_mode": "stream"', "in host_mode stream"),
    # Containers
    (COMPOSE, "    healthcheck:", "    healtcheck:", "healtcheck"),
    (COMPOSE, "    image: envoyproxy", "    privileged: true\n    image: envoyproxy", "services.envoy: privileged"),
    (COMPOSE, "host_ip: 127.0.0.1, published", "host_ip: 0.0.0.0, published", "published beyond loopback"),
    (COMPOSE, "      read_only: true\n", "", "is writable"),
    (COMPOSE, "stat_prefix: published_mcp", "stat_prefx: published_mcp", "with envoy.hold.yaml: envoy:"),
    (COMPOSE, "        FROM python:3.11-slim", "        FROM python", "DL3006"),
    (DOCKERFILE, "COPY countersign.wasm", "COPPY countersign.wasm", "unexpected 'C'"),
]


class CheckTest(unittest.TestCase):
    """Runs the check on a copy of the deployment files in a scratch root."""

    binary: Path
    crds: Crds

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = Path(scratch.name)
        shutil.copytree(ROOT / "envoy", self.root / "envoy")
        (self.root / "examples/demo").mkdir(parents=True)
        module = self.root / "stub.wasm"
        module.write_bytes(STUB)
        self.envoy = Envoy(self.binary, module)

    def checker(self, crds=Crds.none(), command=None) -> Checker:
        return Checker(self.root, self.envoy, crds, self.root, command)

    def test_untouched_files_pass(self):
        checker = self.checker(self.crds)
        files = checker.files()
        self.assertGreater(len(files), 5)
        for path in files:
            with self.subTest(path=path.name):
                self.assertEqual(checker.check(path).errors, [])

    def test_mistakes_are_found(self):
        self.plant_each(MISTAKES, Crds.none())

    def test_mistakes_are_found_in_crd_fields(self):
        if not self.crds:
            self.skipTest("no CRDs at hand")
        self.plant_each(CRD_MISTAKES, self.crds)

    def test_without_crds_the_fields_are_skipped_aloud(self):
        result = self.checker().check(self.root / WASM_PLUGIN)
        self.assertEqual(result.errors, [])
        self.assertRegex(result.skipped[0], "WasmPlugin: no CRD")

    def test_a_refused_configuration_fails_its_file(self):
        self.assertEqual(self.checker(command=["true"]).check(self.root / WASM_PLUGIN).errors, [])
        self.assertRegex(self.checker(command=["false"]).check(self.root / WASM_PLUGIN).errors[0], "^configuration:")

    def test_a_configuration_that_is_not_the_one_beside_it_fails_its_file(self):
        folder = self.root / "examples/some"
        folder.mkdir()
        bootstrap = folder / "envoy.yaml"
        shutil.copy(self.root / STREAM, bootstrap)
        config = next(filters.in_envoy(yaml.safe_load(bootstrap.read_text()))).config
        (folder / "config.json").write_text(json.dumps(config))
        self.assertEqual(self.checker().check(bootstrap).errors, [])
        (folder / "config.json").write_text(json.dumps({**config, "host_mode": "hold"}))
        self.assertRegex(self.checker().check(bootstrap).errors[0], "not that of config.json beside it")

    def test_stream_and_hold_differ_in_mode_and_flag_only(self):
        stream = self.settings(STREAM)
        hold = self.settings(HOLD)
        flag = "allow_on_headers_stop_iteration: true"
        self.assertIn(flag, hold)
        hold.remove(flag)
        self.assertEqual(stream, [line.replace('"host_mode": "hold"', '"host_mode": "stream"') for line in hold])

    def settings(self, path: str) -> list[str]:
        lines = (line.strip() for line in (self.root / path).read_text().splitlines())
        return [line for line in lines if line and not line.startswith("#")]

    def plant_each(self, mistakes, crds):
        for path, right, wrong, expected in mistakes:
            with self.subTest(path=path, wrong=wrong):
                file = self.root / path
                original = file.read_text(encoding="utf-8")
                self.assertIn(right, original, "the mistake has no place to be planted")
                file.write_text(original.replace(right, wrong, 1), encoding="utf-8")
                errors = self.checker(crds).check(file).errors
                file.write_text(original, encoding="utf-8")
                self.assertIn(expected, "\n".join(errors))


def main() -> None:
    """Takes the check's own options, then hands over to unittest."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--envoy", type=Path, required=True)
    parser.add_argument("--crds", type=Path, default=ROOT / "../shared/crds")
    arguments, rest = parser.parse_known_args()
    CheckTest.binary = arguments.envoy.resolve()
    CheckTest.crds = Crds.of(arguments.crds)
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
