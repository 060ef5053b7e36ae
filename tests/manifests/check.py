#!/usr/bin/env python3
"""Checks every deployment file of the repository, offline: `make manifests`.

One line per file, then a line with the counts. Exits 1 when anything is wrong. What could not be
checked is said on a SKIP line and counted, and is no failure. README.md tells what is checked how.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import yaml

import containers
import filters
import strictyaml
from crds import Crds
from envoy import MODULE, Envoy, cluster_names, stream_errors, timeout_errors

ROOT = Path(__file__).resolve().parents[2]

FILES = [
    "envoy/**/*.yaml",
    "envoy/**/Dockerfile",
    "examples/**/envoy*.yaml",
    "examples/**/docker-compose*.yaml",
    "examples/**/Dockerfile",
]

# Installed packages carry files with the same names.
FOREIGN = {"node_modules", "site-packages"}


@dataclass
class Result:
    """What the check of one file found."""

    what: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


@dataclass
class Checker:
    """Checks files below `root`. Configurations are written to `extract` and given to `command`."""

    root: Path
    envoy: Envoy
    crds: Crds
    extract: Path
    command: list[str] | None

    def files(self) -> list[Path]:
        """The files there are to check."""
        found = {path for pattern in FILES for path in self.root.glob(pattern)}
        return sorted(path for path in found if not FOREIGN & set(path.parts))

    def check(self, path: Path) -> Result:
        """Everything that is known about one file's kind."""
        result = Result()
        if path.name == "Dockerfile":
            result.what.append("Dockerfile")
            result.errors += containers.dockerfile_errors(path.read_text(encoding="utf-8"))
            return result
        try:
            documents = strictyaml.load_all(path)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            result.errors.append(f"not strict YAML: {error}")
            return result
        if not documents:
            result.errors.append("the file is empty")
        for document in documents:
            match document:
                case {"static_resources": _}:
                    self._bootstrap(path, document, result)
                case {"apiVersion": _, "kind": _}:
                    self._resource(path, document, result)
                case {"services": _}:
                    self._compose(path, document, result)
                case _:
                    result.errors.append("neither a bootstrap nor a Kubernetes resource nor a compose file")
        return result

    def _bootstrap(self, path: Path, document: dict, result: Result) -> None:
        result.what.append("bootstrap")
        result.errors += self.envoy.errors(path.read_text(encoding="utf-8"))
        result.errors += timeout_errors(document)
        result.errors += stream_errors(document)
        self._filters(path, document, filters.in_envoy(document), cluster_names(document), result)

    def _resource(self, path: Path, document: dict, result: Result) -> None:
        kind = str(document["kind"])
        result.what.append(kind)
        found = self.crds.errors(document)
        if found is None:
            result.skipped.append(f"{kind}: no CRD for {document['apiVersion']} at hand, fields not checked")
        elif found:
            # Of a shape nobody promised; the rest of the check would only stumble over it.
            result.errors += found
        if not found and kind in ("EnvoyFilter", "EnvoyPatchPolicy"):
            result.errors += self.envoy.resource_errors(document)
        if not isinstance(document.get("spec"), dict):
            return
        self._filters(path, document, filters.in_resource(document), _clusters_beside(path), result)

    def _compose(self, path: Path, document: dict, result: Result) -> None:
        result.what.append("compose")
        result.errors += containers.compose_errors(path, document)
        for text in containers.inline_dockerfiles(document):
            result.errors += containers.dockerfile_errors(text)
        # What the compose file adds to the bootstraps beside it.
        for service in document["services"].values():
            command = service.get("command", [])
            if "--config-yaml" not in command:
                continue
            added = command[command.index("--config-yaml") + 1]
            for bootstrap in sorted(path.parent.glob("envoy.*.yaml")):
                found = self.envoy.errors(bootstrap.read_text(encoding="utf-8"), "--config-yaml", added)
                result.errors += [f"with {bootstrap.name}: {error}" for error in found]

    def _filters(self, path: Path, tree: dict, found, clusters: set[str], result: Result) -> None:
        try:
            found = list(found)
        except ValueError as error:
            result.errors.append(str(error))
            return
        result.errors += filters.errors(tree, found)
        for filter_ in found:
            if not isinstance(filter_.config, dict):
                continue
            result.what.append("configuration")
            for missing in sorted(filters.issuer_clusters(filter_.config) - clusters):
                result.errors.append(f"an issuer is asked through cluster {missing!r}, which nothing here makes")
            beside = path.parent / "config.json"
            if beside.exists() and json.loads(beside.read_text(encoding="utf-8")) != filter_.config:
                result.errors.append("the configuration is not that of config.json beside it")
            name = "__".join(path.relative_to(self.root).parts)
            number = result.what.count("configuration")
            result.errors += self._configuration(self.extract / f"{name}.{number}.json", filter_.config)

    def _configuration(self, file: Path, config: dict) -> list[str]:
        file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        if self.command is None:
            return []
        run = subprocess.run([*self.command, file], cwd=self.root, capture_output=True, text=True)
        return [] if run.returncode == 0 else [f"configuration: {(run.stderr + run.stdout).strip()}"]


def _clusters_beside(path: Path) -> set[str]:
    """The clusters that the manifests of a folder make in its proxies."""
    names = set()
    for sibling in path.parent.glob("*.yaml"):
        for document in strictyaml.load_all(sibling):
            spec = document.get("spec", {})
            match document.get("kind"):
                case "ServiceEntry":
                    names |= {f"outbound|{port['number']}||{host}" for port in spec["ports"] for host in spec["hosts"]}
                case "EnvoyPatchPolicy":
                    names |= {patch["name"] for patch in spec["jsonPatches"]}
    return names


def main() -> int:
    """Checks all files and prints what was found."""
    arguments = _arguments()
    for path in (arguments.envoy, arguments.wasm):
        if not path.is_file():
            sys.exit(f"{path} does not exist")
    crds = Crds.of(arguments.crds)
    if not crds:
        print(f"SKIP  no CRDs in {arguments.crds}: fields of Kubernetes resources ARE NOT CHECKED (see README.md)")
    with tempfile.TemporaryDirectory() as scratch:
        extract = arguments.extract or Path(scratch)
        extract.mkdir(parents=True, exist_ok=True)
        envoy = Envoy(arguments.envoy.resolve(), arguments.wasm.resolve())
        checker = Checker(ROOT, envoy, crds, extract, arguments.check)
        files = arguments.files or checker.files()
        return _report(checker, [path.resolve() for path in files])


def _report(checker: Checker, files: list[Path]) -> int:
    counts = {"checks": 0, "failed": 0, "skipped": 0}
    for path in files:
        result = checker.check(path)
        counts["checks"] += len(result.what)
        counts["failed"] += bool(result.errors)
        counts["skipped"] += len(result.skipped)
        state = "FAIL" if result.errors else "ok  "
        print(f"{state}  {path.relative_to(checker.root)}  ({', '.join(result.what)})")
        for error in result.errors:
            print(f"      {error}")
        for skipped in result.skipped:
            print(f"SKIP  {path.relative_to(checker.root)}: {skipped}")
    print(
        f"manifests: {len(files)} files, {counts['checks']} parts,"
        f" {counts['failed']} files failed, {counts['skipped']} parts skipped"
    )
    return 1 if counts["failed"] or not files else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envoy", type=Path, required=True, help="the Envoy binary")
    parser.add_argument("--wasm", type=Path, default=ROOT / MODULE, help="the module (default: %(default)s)")
    parser.add_argument("--crds", type=Path, default=ROOT / "../shared/crds", help="a folder of CRDs")
    parser.add_argument("--extract", type=Path, help="write every Countersign configuration found into this folder")
    parser.add_argument("--check", type=shlex.split, help='run this on each of them, e.g. "countersign check"')
    parser.add_argument("files", type=Path, nargs="*", help="only these (default: all in the repository)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
