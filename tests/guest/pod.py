"""Containers of a pod as a runtime makes them of a manifest: for crun, with no cluster.

What is taken from the manifest is what decides over rights: capabilities, privileges, namespaces,
mounts. What a runtime adds follows containerd's own (internal/cri/server, oci/spec.go).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from tests.guest.inside import WORK

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "config/kubernetes"

IMAGE = os.environ.get("GUEST_IMAGE")
"""The root of a built image; without one it is the checkout that runs, on this machine's files."""

MASKED = ("acpi", "asound", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list")
READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")
SECRET = WORK / "secret"
"""What a scenario has put into the Secret, with the modes that the kubelet would give it."""
KMSG = {"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o600}


def pod_spec(*patches: str | None) -> dict[str, Any]:
    """The pod of the base, with the patches of overlays and components on it."""
    spec: dict[str, Any] = _load("base/daemonset.yaml")
    for patch in patches:
        for key, value in _load(patch).items() if patch is not None else ():
            if not isinstance(value, list):
                spec[key] = value
                continue
            there = {each["name"]: each for each in spec.setdefault(key, [])}
            for change in value:
                if change["name"] in there:
                    merge(there[change["name"]], change)
                else:
                    spec[key].append(change)
    return spec


def _load(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load((KUBERNETES / name).read_text())
    template: dict[str, Any] = spec["spec"]["template"]["spec"]
    return template


def merge(into: dict[str, Any], change: Mapping[str, Any]) -> None:
    """A strategic merge, as far as it is used here: null removes, mappings merge."""
    for key, value in change.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict):
            merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def make_root() -> Path:
    """The image, or else this machine's files; what is written over them is kept in memory."""
    root, layers = WORK / "image", WORK / "layers"
    for folder in (root, layers):
        folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "layers", layers], check=True)
    for name in ("upper", "work"):
        (layers / name).mkdir()
    options = f"lowerdir={IMAGE or '/'},upperdir={layers}/upper,workdir={layers}/work"
    subprocess.run(["mount", "-t", "overlay", "-o", options, "image", root], check=True)
    return root


def bundle(spec: Mapping[str, Any], name: str, root: Path, cgroup: str,
           environment: Mapping[str, str]) -> Path:  # fmt: skip
    """Write what crun wants to know of one container."""
    containers = [*spec["containers"], *spec.get("initContainers", ())]
    (container,) = (c for c in containers if c["name"] == name)
    security = container["securityContext"]
    privileged = security.get("privileged", False)
    names = [f"CAP_{each}" for each in security.get("capabilities", {}).get("add", ())]
    if privileged:
        names = _all_capabilities()
    env = _image_environment() if IMAGE else _our_environment()
    env |= environment
    env |= {each["name"]: each["value"] for each in container.get("env", ()) if "value" in each}
    words = [*container.get("command", ["oomwarden"]), *container.get("args", ())]
    for key, value in environment.items():
        words = [word.replace(f"$({key})", value) for word in words]
    kinds = ["mount", "ipc", "uts"] + ([] if privileged else ["cgroup"])
    kinds += [] if spec.get("hostPID") else ["pid"]
    kinds += [] if spec.get("hostNetwork") else ["network"]
    document = {
        "ociVersion": "1.0.0",
        "hostname": "pod",
        "root": {"path": str(root), "readonly": security["readOnlyRootFilesystem"]},
        "process": {
            "user": {"uid": security["runAsUser"], "gid": security.get("runAsGroup", 0)},
            "args": words,
            "env": [f"{key}={value}" for key, value in env.items()],
            "cwd": "/",
            "noNewPrivileges": not security.get("allowPrivilegeEscalation", True),
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), names),
            # The kubelet's, for a pod of the node's own.
            "oomScoreAdj": -997,
        },
        "mounts": [*_own_mounts(privileged=privileged), *_volumes(spec, container), *_program()],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [{"type": kind} for kind in kinds],
            "resources": {"devices": [{"allow": privileged, "access": "rwm"}]},
            "devices": [KMSG] if privileged else [],
            "maskedPaths": [] if privileged else [f"/proc/{each}" for each in MASKED],
            "readonlyPaths": [] if privileged else [f"/proc/{each}" for each in READ_ONLY],
        },
    }
    folder = WORK / f"bundle-{name}"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(document, indent=1))
    return folder


def _our_environment() -> dict[str, str]:
    return {
        "PATH": f"{sys.prefix}/bin:/usr/bin:/usr/sbin:/bin:/sbin",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _image_environment() -> dict[str, str]:
    """What the Containerfile says by ENV; a base has the usual PATH."""
    usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    lines = (KUBERNETES / "Containerfile").read_text().splitlines()
    (said,) = (line.removeprefix("ENV ") for line in lines if line.startswith("ENV "))
    return dict(word.replace("$PATH", usual).split("=", 1) for word in said.split())


def _all_capabilities() -> list[str]:
    shown = subprocess.run(["setpriv", "--list-caps"], capture_output=True, text=True, check=True)
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    return [f"CAP_{name.upper()}" for name in shown.stdout.split()[: last + 1]]


def _mount(kind: str, to: str, *options: str, source: str | None = None) -> dict[str, Any]:
    return {"type": kind, "source": source or kind, "destination": to, "options": list(options)}


def _own_mounts(*, privileged: bool) -> list[dict[str, Any]]:
    access = "rw" if privileged else "ro"
    return [
        _mount("proc", "/proc", "nosuid", "noexec", "nodev"),
        _mount("tmpfs", "/dev", "nosuid", "strictatime", "mode=755"),
        _mount("sysfs", "/sys", "nosuid", "noexec", "nodev", access),
    ]


def _volumes(spec: Mapping[str, Any], container: Mapping[str, Any]) -> list[dict[str, Any]]:
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = []
    for each in container["volumeMounts"]:
        volume, to = volumes[each["name"]], each["mountPath"]
        access = "ro" if each.get("readOnly") else "rw"
        if "emptyDir" in volume:
            mounts.append(_mount("tmpfs", to, access, "mode=1777"))
            continue
        if "configMap" in volume:
            source = _config_map()
        elif "secret" in volume:
            source = str(SECRET)
        else:
            source = volume["hostPath"]["path"]
            if volume["hostPath"].get("type") == "DirectoryOrCreate":
                Path(source).mkdir(mode=0o755, parents=True, exist_ok=True)
        mounts.append(_mount("bind", to, "rbind", access, source=source))
    return mounts


def _config_map() -> str:
    """As the kubelet lays it out: links through a folder that is replaced as a whole."""
    folder = WORK / "configuration"
    if not folder.exists():
        (folder / "..1").mkdir(parents=True)
        profile = (KUBERNETES / "base/kubernetes-node.yaml").read_text()
        (folder / "..1/50-profile.yaml").write_text(profile)
        (folder / "..data").symlink_to("..1")
        (folder / "50-profile.yaml").symlink_to("..data/50-profile.yaml")
    return str(folder)


def _program() -> list[dict[str, Any]]:
    """The checkout and its interpreter, at their own places; an image has all that it needs."""
    if IMAGE:
        return []
    folders = {sys.prefix, str(ROOT)}
    return [_mount("bind", path, "rbind", "ro", source=path) for path in sorted(folders, key=len)]
