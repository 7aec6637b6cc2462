"""The DaemonSet's containers, made by crun of the very manifests, do on a node what they promise.

Without privileges: the node's scores are set by five capabilities, by the cgroups of the node and
not of the container; pods are left alone; kills are counted. With the kernel's log: explained.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.guest import pod
from tests.guest.inside import WORK, Report, run, wait_for
from tests.guest.needs import Needs
from tests.guest.population import CGROUPS, growing, start
from tests.guest.scenarios.service import receiver
from tests.guest.warden import CONTROL

from oomwarden.errors import OomwardenError
from oomwarden.guard.control import ask
from oomwarden.incidents.listing import Filter
from oomwarden.incidents.reading import Incidents
from oomwarden.kernel.boot import read_boot

if TYPE_CHECKING:
    from collections.abc import Mapping

NEEDS = Needs(on_request=True, timeout_seconds=420, memory_mib=1536)

OURS = "/kubepods/besteffort/pod0f0b6b5c-5a32-4f6c-9a4e-6f1f2f7a3c11"
OTHER = "/kubepods/burstable/pod1a0b6b5c-5a32-4f6c-9a4e-6f1f2f7a3c12"
CONTAINER = "4be1" * 16
RUNTIMES_OWN = {"memory_lock", "priority"}
"""What the runtime grants or not, whatever the manifest says."""

FIVE = {12, 1, 19, 24, 34}
"""NET_ADMIN, DAC_OVERRIDE, SYS_PTRACE, SYS_RESOURCE, SYSLOG (linux/capability.h)."""
PORT = 9924


def scenario(report: Report) -> None:
    """The base, then the overlay."""
    if not report.check("crun is installed (apt-get install crun)", shutil.which("crun")):
        return
    root = pod.make_root()
    others = Others()
    with container(pod.pod_spec(), "guard", root) as guard:
        unprivileged(report, guard, others)
        with container(pod.pod_spec(), "metrics", root, {"NODE_IP": "127.0.0.1"}):
            serves(report)
    given_back(report, others)
    closed_device(report, root)
    spec = pod.pod_spec("with-kernel-log/kernel-log.yaml", "courier/courier.yaml")
    with receiver() as (port, heard):
        tell(spec, port)
        share(report, spec, root)
        with container(spec, "guard", root) as guard, container(spec, "courier", root) as _:
            with_kernel_log(report, guard, others)
            carried(report, heard)
    given_back(report, others)


class Others:
    """Who is on a node: its agent, a person, and a pod with a program that a rule names, too."""

    def __init__(self) -> None:
        """Start them."""
        self.kubelet = start("kubelet", cgroup=make("/kubelet.service"))
        self.person = start("editor", mib=80, cgroup=make("/user.slice/user-0.slice"))
        self.in_pod = start("etcd", cgroup=make(f"{OTHER}/{CONTAINER}"))

    def scores(self) -> tuple[int, int, int]:
        """Of the agent, the person and the pod."""
        agent, person, in_pod = (
            int(Path(f"/proc/{each.pid}/oom_score_adj").read_text())
            for each in (self.kubelet, self.person, self.in_pod)
        )
        return agent, person, in_pod


def make(path: str, **limits: str) -> Path:
    """A cgroup at that path, whose memory is counted."""
    folder = CGROUPS
    for part in Path(path).parts[1:]:
        (folder / "cgroup.subtree_control").write_text("+memory")
        folder /= part
        folder.mkdir(exist_ok=True)
    for name, value in limits.items():
        (folder / name.replace("_", ".")).write_text(value)
    return folder


def unprivileged(report: Report, guard: dict[str, Any], others: Others) -> None:
    """All but the log."""
    rights(report, "base", guard["pid"])
    senses = {each["name"]: each["works"] for each in guard["senses"]}
    lacks = {name for name, works in senses.items() if not works}
    report.equal("base: lacks the log", lacks - RUNTIMES_OWN, {"kernel_log"})
    took = wait_for(lambda: others.scores() == (-999, 300, 0), 20)
    report.check(
        "base: the node's scores are set, the pod's left", took is not None, others.scores()
    )
    kill()
    took = wait_for(lambda: kills()["unexplained"] == 1, 60)
    report.check("base: a kill is counted", took is not None, kills())


def with_kernel_log(report: Report, guard: dict[str, Any], others: Others) -> None:
    """And the log."""
    rights(report, "overlay", guard["pid"])
    senses = {each["name"]: each["works"] for each in guard["senses"]}
    lacks = {name for name, works in senses.items() if not works}
    report.equal("overlay: lacks nothing", lacks - RUNTIMES_OWN, set())
    took = wait_for(lambda: others.scores() == (-999, 300, 0), 20)
    report.check(
        "overlay: the node's scores are set, the pod's left", took is not None, others.scores()
    )
    # The kill that the base could only count is still in the log: it is found there now.
    took = wait_for(lambda: kills()["unexplained"] == 0, 30)
    report.check(
        "overlay: what was counted is explained", took is not None, ask(CONTROL, "status")["kills"]
    )
    kill()
    place = f"{OTHER}/{CONTAINER}"
    took = wait_for(lambda: [each.place for each in incidents()] == [place, place], 40)
    report.check("overlay: each kill has its pod and container", took is not None, incidents())


def kills() -> dict[str, Any]:
    """The guard's account."""
    account: dict[str, Any] = status()["kills"]
    return account


def status() -> dict[str, Any]:
    """What the guard says of itself."""
    answer: dict[str, Any] = ask(CONTROL, "status")
    return answer


def kill() -> None:
    """The container of the pod is over its limit."""
    group = make(f"{OTHER}/{CONTAINER}", memory_max="16M", memory_swap_max="0")
    victim = start("glutton", score=1000, cgroup=group, then=growing(1000, 40))
    wait_for(lambda: not victim.alive(), 20)


def incidents() -> list[Any]:
    """What is stored on the node."""
    stored = Incidents("/var/lib/oomwarden/incidents.db")
    try:
        return stored.listed(Filter(boot_id=read_boot("/").id))
    finally:
        stored.close()


def rights(report: Report, note: str, pid: int) -> None:
    """Of the guard's process, as the kernel has them; raising scores puts one out of effect."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines)
    for kind in ("CapPrm", "CapBnd"):
        mask = int(status[kind], 16)
        report.equal(f"{note}: {kind}", {bit for bit in range(64) if mask >> bit & 1}, FIVE)
    report.equal(f"{note}: no new privileges", status["NoNewPrivs"], "1")
    score = Path(f"/proc/{pid}/oom_score_adj").read_text().strip()
    report.check(f"{note}: protected", int(score) <= -900, score)


def given_back(report: Report, others: Others) -> None:
    """After SIGTERM, as the kubelet sends it."""
    report.equal("scores are given back", others.scores(), (0, 0, 0))


def serves(report: Report) -> None:
    """Metrics, by a container without any right."""

    def page() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=20) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    took = wait_for(lambda: "oomwarden_up 1.0" in page(), 60)
    seen = [line for line in page().splitlines() if "kills" in line and line[0] != "#"]
    report.check("metrics are served", took is not None, seen)
    report.check("with the kills of the database", any(
        line.startswith("oomwarden_kills_total") for line in seen))  # fmt: skip


def tell(spec: dict[str, Any], port: int) -> None:
    """The targets of the example, one of which is here."""
    (volume,) = (each for each in spec["volumes"] if "secret" in each)
    pod.SECRET.mkdir()
    file = pod.SECRET / "ops-chat"
    file.write_text(f"json://127.0.0.1:{port}/\n")
    file.chmod(volume["secret"]["defaultMode"])
    alerts = (pod.KUBERNETES / "with-courier/alerts.yaml").read_text()
    (WORK / "configuration/..1/60-alerts.yaml").write_text(alerts)
    (WORK / "configuration/60-alerts.yaml").symlink_to("..data/60-alerts.yaml")


def share(report: Report, spec: Mapping[str, Any], root: Path) -> None:
    """The init container opens the folder to the group, without a right of root's."""
    done = crun(pod.bundle(spec, "share-state", root, f"{OURS}/share", {}), "share")
    said = (done.communicate(timeout=60)[0] or b"").decode()
    report.equal("courier: the state is shared", (done.returncode, said), (0, ""))
    mode = oct(Path("/var/lib/oomwarden").stat().st_mode & 0o777)
    report.equal("courier: with the group alone", mode, oct(0o770))


def carried(report: Report, heard: list[dict[str, Any]]) -> None:
    """By a process of a user of its own, that has no right at all."""
    modes = {path.name: (oct(path.stat().st_mode & 0o777), path.stat().st_uid)
             for path in Path("/var/lib/oomwarden").glob("incidents.db*")}  # fmt: skip
    is_shared = all(mode == oct(0o660) for mode, _ in modes.values())
    report.check("courier: the database is shared", modes and is_shared, modes)
    told = wait_for(lambda: any("OOM kill" in each["title"] for each in heard), 90)
    report.check("courier: the kill is told", told is not None, [each["title"] for each in heard])
    texts = " ".join(each["message"] for each in heard)
    report.check("courier: with its pod", "glutton" in texts, texts[:300])
    couriers = [
        dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        for status in map(read_status, Path("/proc").glob("[0-9]*"))
        if "\nUid:\t64531\t" in status
    ]
    report.check("courier: it runs", couriers)
    for kind in ("CapEff", "CapPrm", "CapBnd"):
        report.equal(f"courier: {kind}", {int(each[kind], 16) for each in couriers}, {0})


def read_status(folder: Path) -> str:
    """Of one process; nothing where it has ended."""
    try:
        return (folder / "status").read_text()
    except OSError:
        return ""


def closed_device(report: Report, root: Path) -> None:
    """Not even a volume with the log in it opens it: why the overlay is what it is."""
    spec = pod.pod_spec()
    spec["volumes"].append({"name": "kmsg", "hostPath": {"path": "/dev/kmsg"}})
    (guard,) = (each for each in spec["containers"] if each["name"] == "guard")
    guard["volumeMounts"].append({"name": "kmsg", "mountPath": "/dev/kmsg"})
    guard["command"], guard["args"] = ["head"], ["-c1", "/dev/kmsg"]
    done = crun(pod.bundle(spec, "guard", root, f"{OURS}/closed", {}), "closed")
    said = (done.communicate(timeout=30)[0] or b"").decode()
    report.check("a volume does not open the log", "Operation not permitted" in said, said)


def crun(bundle: Path, name: str, log: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """A container in the foreground."""
    command = ["crun", "--root", str(WORK / "crun"), "--cgroup-manager", "cgroupfs", "run",
               "--bundle", str(bundle), name]  # fmt: skip
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


@contextmanager
def container(
    spec: Mapping[str, Any], name: str, root: Path, environment: Mapping[str, str] | None = None
) -> Iterator[dict[str, Any]]:
    """One of the pod's containers until SIGTERM; the guard's with its status."""
    number = len(list(WORK.glob("pod-*.log"))) + 1
    bundle = pod.bundle(spec, name, root, f"{OURS}/{name}{number}", environment or {})
    log = os.open(WORK / f"pod-{number}.log", os.O_WRONLY | os.O_CREAT)
    running = crun(bundle, f"{name}{number}", log)
    os.close(log)
    try:
        if name == "guard":
            wait_for(partial(answers, running), 90)
        yield status()
    finally:
        subprocess.run(["crun", "--root", WORK / "crun", "kill", f"{name}{number}", "TERM"],
                       check=False)  # fmt: skip
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            running.kill()


def answers(running: subprocess.Popen[bytes]) -> bool:
    """Whether the guard is up, or has given up."""
    if running.poll() is not None:
        message = f"the container ended with {running.returncode}"
        raise RuntimeError(message)
    try:
        ask(CONTROL, "status")
    except (OomwardenError, OSError):
        return False
    return True


if __name__ == "__main__":
    run(scenario)
