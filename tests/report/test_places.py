"""Namespace, pod and container of a kill: by the cgroup path, as each runtime and driver makes it.

The paths are of the kubelet's own two drivers (pkg/kubelet/cm) under containerd and CRI-O, of
Docker and Podman beside it, and of a cluster within a container (kind).
"""

from __future__ import annotations

import pytest

from oomwarden.policy.places import container_in, pod_in, unit_in
from oomwarden.policy.rules import is_kubelets

POD = "0f0b6b5c-5a32-4f6c-9a4e-6f1f2f7a3c11"
SLICE = POD.replace("-", "_")
ID = "4be1" * 16

SYSTEMD = "/kubepods.slice/kubepods-burstable.slice"
BURSTABLE = f"{SYSTEMD}/kubepods-burstable-pod{SLICE}.slice"
IN_UNIT = f"/system.slice/containerd.service/kubepods-besteffort-pod{SLICE}.slice"
KUBELET = f"/docker/{'ab' * 32}/kubelet.slice/kubelet-kubepods.slice"
IN_PODS = {
    "containerd, systemd": f"{BURSTABLE}/cri-containerd-{ID}.scope",
    "guaranteed": f"/kubepods.slice/kubepods-pod{SLICE}.slice/cri-containerd-{ID}.scope",
    "containerd, cgroupfs": f"/kubepods/besteffort/pod{POD}/{ID}",
    "containerd, cgroupfs, version 1": f"/kubepods/burstable/pod{POD}/{ID}",
    "containerd, systemd within a unit": f"{IN_UNIT}:cri-containerd:{ID}",
    "CRI-O, systemd": f"{BURSTABLE}/crio-{ID}.scope",
    "CRI-O, cgroupfs": f"/kubepods/burstable/pod{POD}/crio-{ID}",
    "Docker, systemd": f"{BURSTABLE}/docker-{ID}.scope",
    "a cgroup of its own in the container": f"/kubepods/burstable/pod{POD}/{ID}/workers/3",
    "kind": f"{KUBELET}/kubelet-kubepods-pod{SLICE}.slice/cri-containerd-{ID}.scope",
}  # fmt: skip
OUTSIDE = {
    "Docker, systemd": (f"/system.slice/docker-{ID}.scope", ID),
    "Docker, cgroupfs": (f"/docker/{ID}", ID),
    "Podman": (f"/machine.slice/libpod-{ID}.scope/container", ID),
    "Podman of a user": (f"/user.slice/user-1000.slice/user.slice/libpod-{ID}.scope", ID),
    "a service": ("/system.slice/shop.service", None),
    "a hash that is too short": ("/docker/4be1", None),
    "nothing": ("/", None),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_PODS)
def test_a_pod_and_its_container_are_known(name: str) -> None:
    """By every runtime and driver, and such a process is the kubelet's."""
    place = IN_PODS[name]

    assert pod_in(place) == POD
    assert container_in(place) == ID
    assert is_kubelets(place)


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_container_alone_is_in_no_pod(name: str) -> None:
    """Nor is its process the kubelet's."""
    place, container = OUTSIDE[name]

    assert pod_in(place) is None
    assert container_in(place) == container
    assert not is_kubelets(place)


def test_a_pod_is_the_kubelets_wherever_it_is_seen_from() -> None:
    """Within a cgroup namespace, the part of the path that names the kubelet may be missing."""
    assert is_kubelets(f"/../../pod{POD}/{ID}")
    assert not is_kubelets("/../../podman.service")


def test_the_pod_itself_can_be_over_its_limit() -> None:
    """The cgroup that was hit is then the pod's: there is no container in it."""
    place = BURSTABLE

    assert (pod_in(place), container_in(place)) == (POD, None)


def test_a_scope_of_a_container_is_a_unit() -> None:
    """What systemd calls it; a pod by cgroupfs has none."""
    assert unit_in(IN_PODS["CRI-O, systemd"]) == f"crio-{ID}.scope"
    assert unit_in(IN_PODS["CRI-O, cgroupfs"]) is None
