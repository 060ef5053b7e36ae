"""Compose files and Dockerfiles: their own tools, and what a demo on a laptop must not do."""

import subprocess
import sys
import sysconfig
from pathlib import Path

HADOLINT = Path(sysconfig.get_path("scripts")) / "hadolint"


def compose_errors(path: Path, document: dict) -> list[str]:
    """A compose file against the compose specification and the house rules."""
    found = _run([sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)])
    for name, service in document.get("services", {}).items():
        found += [f"services.{name}: {error}" for error in _service_errors(path.parent, service)]
    return found


def dockerfile_errors(text: str) -> list[str]:
    """A Dockerfile's text against hadolint."""
    return _run([str(HADOLINT), "--no-color", "-"], text)


def inline_dockerfiles(document: dict) -> list[str]:
    """The Dockerfiles written inside a compose file, each once."""
    builds = (service.get("build", {}) for service in document.get("services", {}).values())
    return list(dict.fromkeys(build["dockerfile_inline"] for build in builds if "dockerfile_inline" in build))


def _service_errors(folder: Path, service: dict) -> list[str]:
    found = []
    if service.get("privileged"):
        found.append("privileged")
    if service.get("cap_drop") != ["ALL"]:
        found.append("cap_drop is not [ALL]")
    if "healthcheck" not in service:
        found.append("no healthcheck")
    for port in service.get("ports", []):
        if not isinstance(port, dict) or port.get("host_ip") != "127.0.0.1":
            found.append(f"port {port} is published beyond loopback")
    for volume in service.get("volumes", []):
        if not isinstance(volume, dict) or volume.get("read_only") is not True:
            found.append(f"volume {volume} is writable")
    context = service.get("build", {}).get("context")
    if context and not (folder / context).is_dir():
        found.append(f"build context {context} does not exist")
    return found


def _run(command: list[str], text: str | None = None) -> list[str]:
    run = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    if run.returncode == 0:
        return []
    return [line.strip() for line in (run.stdout + run.stderr).splitlines() if line.strip()]
