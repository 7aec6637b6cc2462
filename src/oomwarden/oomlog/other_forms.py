"""What other killers print, version by version."""

from __future__ import annotations

import re

# --- systemd-oomd (src/oom/oomd-manager.c) ---

OOMD_KILLS = (
    # 247 to 257: the cgroup has been sent SIGKILL.
    re.compile(r"^Killed (?P<cgroup>.+?) due to (?P<why>(?:memory|swap) .+)", re.DOTALL),
    # From 258 on the killing goes on by itself, and this is the decision.
    re.compile(
        r"^Marked (?P<cgroup>.+?) for killing due to (?P<why>(?:memory|swap) .+)", re.DOTALL
    ),
)
OOMD_PID = re.compile(r"^oomd attempting to kill (?P<pid>\d{1,20}) with \w+")

# --- earlyoom (kill.c, main.c) ---

_MIB = r".*?VmRSS:? (?P<mib>\d{1,20}) MiB"
EARLYOOM_KILLS = (
    # 1.3 has no uid; from 1.8 on the points are called oom_score, and the command line follows.
    re.compile(
        r"^sending (?P<signal>SIG[A-Z]+) to process (?P<pid>\d{1,20})(?: uid (?P<uid>\d{1,20}))?"
        r' "(?P<comm>.{0,64}?)": (?:badness|oom_score) -?\d{1,20}' + _MIB
    ),
    # 1.2
    re.compile(
        r'^killing process (?P<pid>\d{1,20}) "(?P<comm>.{0,64}?)" with signal (?P<signal>\d{1,20}):'
        r" badness -?\d{1,20}" + _MIB
    ),
    # 1.0 and 1.1
    re.compile(
        r"^Killing process '?(?P<comm>.{0,64}?)'? with signal (?P<signal>\d{1,20}),"
        r" pid: (?P<pid>\d{1,20})," + _MIB
    ),
)
EARLYOOM_DRY = re.compile(r"^dryrun, not actually sending any signal")
EARLYOOM_LOW = re.compile(r"^low memory! at or below sig\w+ limits.*", re.IGNORECASE)

# --- nohang (one script); its lines are indented, and some loggers take that away ---

NOHANG_WHY = re.compile(
    r"^\s*(?P<why>(?:MemAvailable|PSI avg|MemUsedZram)\b.*(?:<=|>=|>).*threshold.*)"
)
NOHANG_VICTIM = (
    re.compile(r"^\s*PID:\s+(?P<pid>\d{1,20}), [Nn]ame: (?P<comm>.{0,64}?), (?:badness|state): "),
    re.compile(r"^New victim is cached victim (?P<pid>\d{1,20}) \((?P<comm>.*)\)$"),
)
NOHANG_SENDS = (
    # 0.2: whether it succeeded is the next line.
    re.compile(r"^\s*Sending (?P<how>SIG[A-Z]+) to the victim(?P<is_done>; total response time)?"),
    # 0.1
    re.compile(r"^\s*Send (?P<how>SIG[A-Z]+) to the victim(?P<is_done>; total response time)?"),
)
NOHANG_COMMAND = re.compile(r"^\s*(?P<is_done>Executing|Run) the command: (?P<how>.+)")
NOHANG_SENT = re.compile(r"^\s*OK; total response time: ")
NOHANG_NOT_DONE = re.compile(
    r"^(?:Selected process died before corrective action|Cannot send a signal)"
)

# --- the kubelet (pkg/kubelet/eviction/eviction_manager.go); klog puts a head before it ---

KUBELET_RESOURCE = re.compile(
    # From 1.21 on with keys and values, and a capital letter.
    r'[Ee]viction manager: must evict pod\(s\) to reclaim(?:" .*?resourceName="?| )'
    r"(?P<resource>[\w.-]+)"
)
KUBELET_EVICTED = (
    re.compile(r"eviction manager: pods (?P<pods>.+) evicted, waiting for pod to be cleaned up"),
    # From 1.21 on.
    re.compile(
        r'Eviction manager: pods evicted, waiting for pod to be cleaned up" .*?'
        r"pods=(?P<pods>\[[^\]]*\]|\"[^\"]*\")"
    ),
)

# --- systemd itself (src/core): hints, without a word on who it was ---

HINTS = (
    # From 243 on, of the kernel's killer (by memory.events).
    re.compile(
        r"^(?P<unit>\S+): (?:A process of this unit has been killed by the OOM killer\."
        r"|The kernel OOM killer killed some processes in this unit\.)"
    ),
    # 248 on.
    re.compile(
        r"^(?P<unit>\S+): systemd-oomd killed (?:\d{1,20}|some) process\(es\) in this unit\."
    ),
    re.compile(r"^(?P<unit>\S+): Failed with result 'oom-kill'\."),
)
