#!/usr/bin/env python3
"""envoyfilter.hold.yaml on a running Envoy: whatever keeps the extension away, the listener denies.

    test_fail_closed.py --envoy PATH
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

import strictyaml
from check import ROOT
from envoy import bootstrap_of
from test_check import HOLD_FILTER, STUB

# Seconds within which Envoy starts, gives up on the extension and opens the listener.
PATIENCE = 20


class FailClosedTest(unittest.TestCase):
    """A request without any credential, and what it is answered."""

    binary: Path

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        module = self.folder / "stub.wasm"
        module.write_bytes(STUB)
        (document,) = strictyaml.load_all(ROOT / HOLD_FILTER)
        self.bootstrap = bootstrap_of(document)
        (self.listener,) = self.bootstrap["static_resources"]["listeners"]
        manager = self.listener["filter_chains"][0]["filters"][0]["typed_config"]
        # For validation the extension stands beside the filter that names it, local and remote;
        # here it has to be discovered.
        discovering, self.extension, _remote, router = manager["http_filters"]
        manager["http_filters"] = [discovering, router]
        self.discovery = discovering["config_discovery"]
        self.code = self.extension["typed_config"]["config"]["vm_config"]["code"]["local"]
        self.code["filename"] = str(module)

    def test_the_extension_that_arrives_is_in_force(self):
        # The stub lets everything through, to where no route is: the other tests can fail.
        self.assertEqual(self.answer(self.extension), 404)

    def test_an_extension_that_is_refused_denies(self):
        self.code["filename"] = "/nowhere.wasm"
        self.assertEqual(self.answer(self.extension), 500)

    def test_an_extension_that_is_missing_denies(self):
        self.extension["name"] = "another"
        self.assertEqual(self.answer(self.extension), 500)

    def test_an_extension_that_never_comes_denies(self):
        self.assertNotIn(self.discovery["config_source"]["initial_fetch_timeout"], (None, "0s"))
        self.discovery["config_source"]["initial_fetch_timeout"] = "1s"
        self.assertEqual(self.answer(None), 500)

    def answer(self, extension: dict | None) -> int:
        """The status of `GET /` where this extension, or nothing, is what discovery brings."""
        if extension:
            kind = {"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"}
            found = {"version_info": "1", "resources": [kind | extension]}
            (self.folder / "extension.json").write_text(json.dumps(found))
            self.discovery["config_source"] = {"path_config_source": {"path": str(self.folder / "extension.json")}}
            del self.bootstrap["dynamic_resources"]
        self.listener["address"]["socket_address"]["port_value"] = 0
        self.bootstrap["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}
        (self.folder / "bootstrap.json").write_text(json.dumps(self.bootstrap))
        command = [
            self.binary, "-c", self.folder / "bootstrap.json", "--concurrency", "1", "--log-level", "error",
            "--disable-hot-restart", "--admin-address-path", self.folder / "admin",
        ]  # fmt: skip
        log = (self.folder / "log").open("w")
        envoy = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            return self.poll(envoy)
        finally:
            envoy.terminate()
            envoy.wait()
            log.close()

    def poll(self, envoy: subprocess.Popen) -> int:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and envoy.poll() is None:
            time.sleep(0.1)
            try:
                admin = (self.folder / "admin").read_text()
                with urllib.request.urlopen(f"http://{admin}/listeners?format=json", timeout=2) as listeners:
                    (listener,) = json.load(listeners)["listener_statuses"]
                port = listener["local_address"]["socket_address"]["port_value"]
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as answer:
                    return answer.status
            except urllib.error.HTTPError as error:
                return error.code
            except (OSError, ValueError, KeyError):
                continue
        self.fail(f"Envoy did not answer: {(self.folder / 'log').read_text()[-600:]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--envoy", type=Path, required=True)
    arguments, rest = parser.parse_known_args()
    FailClosedTest.binary = arguments.envoy.resolve()
    unittest.main(argv=[sys.argv[0], *rest])
