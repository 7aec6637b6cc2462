"""The manifests: valid by Kubernetes' own schema, with the rights of the service and no more."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.guest.pod import pod_spec

from oomwarden.config.load import load_config
from oomwarden.config.schema import Way

CONFIG = Path(__file__).parents[2] / "config"
KUBERNETES = CONFIG / "kubernetes"
OVERLAY = "with-kernel-log/kernel-log.yaml"
COURIER = "courier/courier.yaml"
KUSTOMIZATIONS = ("base", "with-kernel-log", "with-courier")
VERSIONS = ("1.31", "1.37")
"""The oldest that is validated, and the newest that kubernetes-validate 1.37 knows."""


def container(spec: dict[str, Any], name: str) -> dict[str, Any]:
    """One of a pod's."""
    (found,) = (each for each in spec["containers"] if each["name"] == name)
    assert isinstance(found, dict)
    return found


def capabilities_of_the_service() -> set[str]:
    """Those of oomwarden.service, which its own tests prove in real kernels."""
    unit = (CONFIG / "systemd/oomwarden.service").read_text()
    (line,) = re.findall(r"^CapabilityBoundingSet=(.+)$", unit, re.MULTILINE)
    return set(line.split())


@pytest.fixture(params=KUSTOMIZATIONS)
def rendered(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """All objects of one kustomization, as they would be applied."""
    if shutil.which("kubectl"):
        command = ["kubectl", "kustomize"]
    elif shutil.which("kustomize"):
        command = ["kustomize", "build"]
    else:
        pytest.skip("neither kubectl nor kustomize is installed")
    folder = KUBERNETES / request.param
    done = subprocess.run([*command, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_rendered_is_valid(rendered: list[dict[str, Any]], version: str) -> None:
    """By the API's own schema, in which no unknown key passes."""
    validate = pytest.importorskip(
        "kubernetes_validate", reason="install the extra 'kubernetes'"
    ).validate

    for document in rendered:
        validate(document, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_written_is_valid(version: str) -> None:
    """The files of the base by themselves, where nothing can render them."""
    validate = pytest.importorskip(
        "kubernetes_validate", reason="install the extra 'kubernetes'"
    ).validate

    files = [path for path in (KUBERNETES / "base").glob("*.yaml")
             if path.name not in {"kustomization.yaml", "kubernetes-node.yaml"}]  # fmt: skip
    for path in files:
        validate(yaml.safe_load(path.read_text()), version, strict=True)
    assert len(files) == 3


def test_a_mistake_would_be_found() -> None:
    """A check that passes everything proves nothing."""
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    wrong = yaml.safe_load((KUBERNETES / "base/daemonset.yaml").read_text())
    container(wrong["spec"]["template"]["spec"], "guard")["securityContext"]["capabilites"] = {}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_everything_that_is_named_is_there(rendered: list[dict[str, Any]]) -> None:
    """One namespace, an image, and the generated configuration by its name with the hash."""
    by_kind = {document["kind"]: document for document in rendered}
    spec = by_kind["DaemonSet"]["spec"]["template"]["spec"]
    (config,) = (v["configMap"]["name"] for v in spec["volumes"] if "configMap" in v)

    assert set(by_kind) == {"Namespace", "ResourceQuota", "ConfigMap", "DaemonSet"}
    assert {by_kind[kind]["metadata"]["namespace"] for kind in by_kind if kind != "Namespace"} \
        == {by_kind["Namespace"]["metadata"]["name"]}  # fmt: skip
    assert by_kind["ConfigMap"]["metadata"]["name"] == config
    assert re.fullmatch(r"oomwarden-\w{10}", config)
    containers = [*spec["containers"], *spec.get("initContainers", [])]
    assert {each["image"] for each in containers} == {"registry.example.com/oomwarden:0.1.0"}


def test_the_configuration_is_the_profile(rendered: list[dict[str, Any]]) -> None:
    """The very file that is tested as a profile; a courier has targets beside it."""
    (config,) = (each for each in rendered if each["kind"] == "ConfigMap")

    assert (
        config["data"].pop("50-profile.yaml")
        == (CONFIG / "profiles/kubernetes-node.yaml").read_text()
    )
    assert set(config["data"]) <= {"60-alerts.yaml"}


def test_the_profile_beside_the_manifests_is_the_profile() -> None:
    """Kustomize reads no file outside of its own folder."""
    assert (KUBERNETES / "base/kubernetes-node.yaml").read_bytes() == (
        CONFIG / "profiles/kubernetes-node.yaml"
    ).read_bytes()


def test_the_guard_has_the_capabilities_of_the_service() -> None:
    """Not one more, and not one less."""
    capabilities = container(pod_spec(), "guard")["securityContext"]["capabilities"]

    assert capabilities["drop"] == ["ALL"]
    assert {f"CAP_{name}" for name in capabilities["add"]} == capabilities_of_the_service()


def test_the_privileged_guard_gives_up_all_others_first() -> None:
    """By setpriv, before any program of ours runs; and what would contradict it is not said."""
    guard = container(pod_spec(OVERLAY), "guard")
    (bounding,) = (word for word in guard["command"] if word.startswith("--bounding-set="))
    first, *added = bounding.removeprefix("--bounding-set=").split(",")

    assert guard["command"][0] == "setpriv"
    assert guard["command"][-2:] == ["--", "oomwarden"]
    assert "--no-new-privs" in guard["command"]
    assert first == "-all"
    assert {f"CAP_{name[1:].upper()}" for name in added} == capabilities_of_the_service()
    assert guard["securityContext"] == {
        "privileged": True, "runAsUser": 0, "readOnlyRootFilesystem": True,
    }  # fmt: skip


def test_a_courier_has_a_user_of_its_own_and_no_right() -> None:
    """It sees the state, the configuration and the targets, and nothing else of the node."""
    spec = pod_spec(OVERLAY, COURIER)
    courier = container(spec, "courier")
    security = courier["securityContext"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounted = {each["mountPath"]: volumes[each["name"]] for each in courier["volumeMounts"]}

    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["runAsUser"] >= 1000
    assert security["runAsNonRoot"]
    assert not security["allowPrivilegeEscalation"]
    assert not security.get("privileged", False)
    assert [path for path, volume in mounted.items() if "hostPath" in volume] \
        == ["/var/lib/oomwarden"]  # fmt: skip
    assert {"/run/targets", "/etc/oomwarden/conf.d", "/tmp"} < set(mounted)  # noqa: S108
    assert not any("secret" in volumes[each["name"]] for name in ("guard", "metrics")
                   for each in container(spec, name)["volumeMounts"])  # fmt: skip


def test_its_targets_are_valid_and_have_no_secret_in_them(tmp_path: Path) -> None:
    """The example, as the guard reads it, over the profile."""
    drop_ins = tmp_path / "etc/oomwarden/conf.d"
    drop_ins.mkdir(parents=True)
    shutil.copy(KUBERNETES / "base/kubernetes-node.yaml", drop_ins / "50-profile.yaml")
    shutil.copy(KUBERNETES / "with-courier/alerts.yaml", drop_ins / "60-alerts.yaml")

    (target,) = load_config(root=tmp_path).require().alerts.targets

    assert (target.name, target.way) == ("ops-chat", Way.CREDENTIAL)


@pytest.mark.parametrize("patch", [None, OVERLAY])
def test_nobody_else_has_any_right(patch: str | None) -> None:
    """The container that speaks to the network can do nothing."""
    security = container(pod_spec(patch), "metrics")["securityContext"]

    assert security == {
        "runAsUser": 0, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip


def test_what_a_killed_guard_had_changed_outlives_its_pod() -> None:
    """And the node's cgroups are the node's, to be read only."""
    spec = pod_spec()
    paths = {v["name"]: v["hostPath"]["path"] for v in spec["volumes"] if "hostPath" in v}
    mounts = {each["name"]: each for each in container(spec, "guard")["volumeMounts"]}

    assert paths == {name: mounts[name]["mountPath"] for name in paths}
    assert set(paths.values()) == {"/run/oomwarden", "/var/lib/oomwarden", "/sys/fs/cgroup"}
    assert mounts["cgroup"]["readOnly"]
    assert not mounts["run"].get("readOnly")
    assert spec["hostPID"]


def test_the_image_is_made_of_what_is_there() -> None:
    """Every file that is copied exists, and the program needs no other to be built."""
    lines = (KUBERNETES / "Containerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY ") and "--from" not in line
              for word in line.split()[1:-1]]  # fmt: skip
    project = tomllib.loads((CONFIG.parent / "pyproject.toml").read_text())

    assert [name for name in copied if not (CONFIG.parent / name).exists()] == []
    assert {project["project"]["readme"], *project["project"]["license-files"], "src"} <= {*copied}
    # What a link in src leads to must come with it.
    src = CONFIG.parent / "src"
    led_to = [path.resolve() for path in src.rglob("*") if path.is_symlink()]
    assert led_to
    assert {str(path.relative_to(CONFIG.parent)) for path in led_to} <= {*copied}
