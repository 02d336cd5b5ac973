#!/usr/bin/env python3
"""Several hosts on one machine, for tests: network, UTS, IPC, mount, PID and time namespaces.

usage: tests/cluster/hosts.py N COMMAND...    makes N hosts, runs the command on the first of them
                                              and removes all; its exit code is the command's
exit codes besides: 64 usage, 77 this machine cannot run hosts (the reason is printed)

Hosts are called node1, node2, ... Each has its own address (10.99.0.1, ...), sshd, /tmp, /dev/shm,
/run, process IDs and monotonic clock. All see the machine's other files. $HOSTS/private differs on
each host; $HOSTS/hostfile names the hosts for mpirun, with 2 slots each. `ssh node2` works through
mpirun's agent (OMPI_MCA_plm_rsh_agent) and as `ssh -F $HOSTS/ssh_config node2`.

A process without privileges on the rest of the machine holds everything: all namespaces, and with
them devices, mounts and processes, are gone when the process that created the hosts ends.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import mpirun  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SELF = os.path.abspath(__file__)
TOOLS = {"ip": "iproute2", "tc": "iproute2", "unshare": "util-linux", "nsenter": "util-linux",
         "taskset": "util-linux", "ssh": "openssh-client", "ssh-keygen": "openssh-client",
         "sshd": "openssh-server", "nft": "nftables", "mpirun": "openmpi-bin"}
HOST_NAMESPACES = ["--net", "--uts", "--ipc", "--mount", "--pid", "--time"]

# The first process of a host. Its file systems are private before anything else is mounted. Folders
# in /tmp and /dev/shm that must be visible everywhere are moved onto the private ones.
BOOT = r"""
set -e
dir=$1 name=$2 address=$3
shift 3
hostname "$name"
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd /run/kept
n=0
for kept in "$dir" "$@"; do
  case $kept in
    /tmp/* | /dev/shm/*) mkdir -p /run/kept/$n; mount --bind "$kept" /run/kept/$n ;;
  esac
  n=$((n + 1))
done
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
n=0
for kept in "$dir" "$@"; do
  if [ -d /run/kept/$n ]; then mkdir -p "$kept"; mount --move /run/kept/$n "$kept"; fi
  n=$((n + 1))
done
mount --bind "$dir/$name" "$dir/private"
mount --bind "$dir/etc_hosts" /etc/hosts
ip link set lo up
until ip link show eth0 >/dev/null 2>&1; do sleep 0.02; done
ip address add "$address/24" dev eth0
ip link set eth0 up
exec "$(command -v sshd)" -D -f "$dir/sshd_$name" -E "$dir/$name.log"
"""


class Unavailable(Exception):
    """This machine cannot run hosts, with the reason."""


def require():
    """Raises Unavailable with what is missing."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if os.geteuid() != 0:
        raise Unavailable("needs root")
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            raise Unavailable("needs Debian's %s; no %s" % (package, tool))
    trial = ("ip link add port1 type veth peer name eth0 && ip link add switch type bridge && "
             "mount -t tmpfs tmpfs /mnt && hostname trial")
    done = subprocess.run(["unshare", "--fork", *HOST_NAMESPACES, "sh", "-c", trial],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable("no namespaces: " + done.stderr.strip().replace("\n", "; "))


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def child_of(process):
    """The only child of an unshare process."""
    for _ in range(500):
        found = mpirun.children(process.pid)
        if found:
            return found[0]
        time.sleep(0.01)
    raise RuntimeError("a namespace did not start")


def command(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError("%s: %s" % (" ".join(words), done.stderr.strip()))
    return done.stdout


class Host:
    def __init__(self, hosts, number, cpus, monotonic, clock):
        self.hosts, self.number, self.cpus, self.clock = hosts, number, cpus, clock
        self.name, self.address = "node%d" % number, "10.99.0.%d" % number
        self.port = "port%d" % number  # the switch's side of its cable
        os.mkdir(os.path.join(hosts.dir, self.name))
        self.write_sshd_config()
        boot = ["unshare", "--fork", "--kill-child", *HOST_NAMESPACES,
                "--monotonic=%d" % monotonic, "bash", "-c", BOOT, "boot", hosts.dir, self.name,
                self.address, ROOT, *hosts.folders]
        self.holder = hosts.spawn(*self.pinned(boot))
        self.pid = child_of(self.holder)
        self.uts = os.readlink("/proc/%d/ns/uts" % self.pid)

    def pinned(self, words):
        return ["taskset", "--cpu-list", self.cpus, *words] if self.cpus else words

    def write_sshd_config(self):
        settings = {
            "Port": 22, "HostKey": self.hosts.dir + "/key", "UsePAM": "no", "StrictModes": "no",
            "AuthorizedKeysFile": self.hosts.dir + "/key.pub", "PermitRootLogin": "yes",
            "PidFile": "none", "MaxStartups": 100
        }
        environment = self.environment()
        if environment:
            settings["SetEnv"] = " ".join("%s=%s" % item for item in environment.items())
        with open("%s/sshd_%s" % (self.hosts.dir, self.name), "w", encoding="utf-8") as file:
            file.writelines("%s %s\n" % item for item in settings.items())

    def environment(self):
        """The kernels of OpenBLAS that the caller chose, on which the rounding of sums depends, and
        a real-time clock that is `clock` seconds ahead, by libfaketime."""
        kernels = os.environ.get("OPENBLAS_CORETYPE")
        chosen = {"OPENBLAS_CORETYPE": kernels} if kernels else {}
        if not self.clock:
            return chosen
        library = command("sh", "-c", "ls /usr/lib/*/faketime/libfaketime.so.1").split()[0]
        return {**chosen, "LD_PRELOAD": library, "FAKETIME": "+%ds" % self.clock,
                "DONT_FAKE_MONOTONIC": "1"}

    def command(self, *words, directory=ROOT):
        """The command line that runs `words` on this host."""
        enter = ["nsenter", "--target=%d" % self.pid, *HOST_NAMESPACES, "sh", "-c",
                 'cd "$0" && exec "$@"', directory, *words]
        return self.pinned(enter)

    def run(self, *words):
        return command(*self.command(*words))

    def holds(self, pid):
        """Whether a process of this machine runs on this host."""
        return os.readlink("/proc/%s/ns/uts" % pid) == self.uts

    # ---- faults --------------------------------------------------------------------------------

    def cut(self):
        """From now on packets to and from the host are lost, as if its switch had failed."""
        self.hosts.switch("ip", "link", "set", self.port, "nomaster")

    def join(self):
        self.hosts.switch("ip", "link", "set", self.port, "master", "switch")

    def kill(self):
        """Kills every process of the host at once; its kernel still answers. It cannot be used
        again."""
        os.kill(self.pid, signal.SIGKILL)

    def limit(self, rate):
        """Both directions, such as 100mbit, with a queue of a network card (1,000 packets). TCP
        fills the link until it loses packets, as Linux does by default; BBR, the default of some
        machines, leaves a third of it idle if two directions are busy at times."""
        self.run("sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno")
        bucket = ["root", "tbf", "rate", rate, "burst", "64kbit", "limit", "1500kb"]
        self.hosts.switch("tc", "qdisc", "replace", "dev", self.port, *bucket)
        self.run("tc", "qdisc", "replace", "dev", "eth0", *bucket)

    def firewall(self):
        """Lets only ssh in."""
        self.run("nft", "add table inet f; add chain inet f i "
                 "{ type filter hook input priority 0; policy drop; }; "
                 "add rule inet f i iif lo accept; "
                 "add rule inet f i ct state established accept; "
                 "add rule inet f i tcp dport 22 accept")


class Hosts:
    """Hosts 1..n. `cpus[i]`: a list for taskset; `clocks[i]`: seconds that a host's real-time clock
    is ahead; `delay` seconds each way and `loss` (a share of packets) on the cables of all hosts
    but the first. `folders` in /tmp or /dev/shm stay visible, as does the checkout."""

    def __init__(self, n, cpus=(), clocks=(), delay=0.0, loss=0.0, folders=()):
        require()
        self.dir = tempfile.mkdtemp(prefix="hourglass-hosts-")
        self.folders, self.processes = folders, []
        self.log = open(self.dir + "/log", "w", encoding="utf-8")
        os.chmod(self.dir, 0o755)
        os.mkdir(self.dir + "/private")
        command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.dir + "/key")
        self.write_files(n)
        self.center = child_of(
            self.spawn("unshare", "--fork", "--kill-child", "--net", "sleep", "infinity"))
        self.switch("ip", "link", "add", "switch", "type", "bridge")
        self.switch("ip", "link", "set", "switch", "up")
        pad = lambda values, filler: [*values, *[filler] * n]
        self.all = [Host(self, i + 1, pad(cpus, "")[i], 10000 * i, pad(clocks, 0)[i])
                    for i in range(n)]
        for host in self.all:
            if (delay or loss) and host.number > 1:
                self.connect_slowly(host, delay, loss)
            else:
                self.connect(host)
        self.await_ssh()

    def spawn(self, *words):
        process = subprocess.Popen(words, preexec_fn=die_with_parent, stdin=subprocess.DEVNULL,
                                   stderr=self.log)
        self.processes.append(process)
        return process

    def switch(self, *words):
        """Runs a command in the network namespace of the switch."""
        return command("nsenter", "--target=%d" % self.center, "--net", *words)

    def write_files(self, n):
        names = ["node%d" % (i + 1) for i in range(n)]
        texts = {
            "etc_hosts": "127.0.0.1 localhost\n" + "".join(
                "10.99.0.%d %s\n" % (i + 1, name) for i, name in enumerate(names)),
            "hostfile": "".join("%s slots=2\n" % name for name in names),
            "ssh_config": "Host *\n  User root\n  IdentityFile %s/key\n  IdentitiesOnly yes\n"
                          "  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n"
                          "  LogLevel ERROR\n" % self.dir
        }
        for name, text in texts.items():
            with open(os.path.join(self.dir, name), "w", encoding="utf-8") as file:
                file.write(text)

    def connect(self, host):
        self.switch("ip", "link", "add", host.port, "type", "veth", "peer", "name", "eth0", "netns",
                    str(host.pid))
        self.plug(host)

    def connect_slowly(self, host, delay, loss):
        self.spawn("nsenter", "--target=%d" % self.center, "--net", sys.executable, SELF, "--cable",
                   host.port, str(host.pid), str(delay), str(loss))
        for _ in range(500):
            if host.port in self.switch("ip", "-o", "link"):
                break
            time.sleep(0.01)
        self.plug(host)

    def plug(self, host):
        host.join()
        self.switch("ip", "link", "set", host.port, "up")

    def await_ssh(self):
        for host in self.all:
            for trial in range(200):
                done = subprocess.run(
                    self.all[0].command("ssh", "-F", self.dir + "/ssh_config", host.name, "true"),
                    capture_output=True, text=True)
                if done.returncode == 0:
                    break
                if trial == 199 or host.holder.poll() is not None:
                    raise RuntimeError("%s: no ssh: %s" % (host.name, done.stderr))
                time.sleep(0.05)

    def environment(self, **more):
        """The variables for mpirun on these hosts."""
        agent = "ssh -F %s/ssh_config" % self.dir
        return {
            **os.environ, **mpirun.ENVIRONMENT, "HOSTS": self.dir, "LC_ALL": "C.UTF-8",
            "OMPI_MCA_plm_rsh_agent": agent, "PRTE_MCA_plm_ssh_agent": agent,
            "OMPI_MCA_btl_tcp_if_include": "eth0", "OMPI_MCA_oob_tcp_if_include": "eth0", **more
        }

    def end(self):
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


# ---- a slow cable, for kernels without netem -----------------------------------------------------

def tap(name):
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, 0x400454ca, struct.pack("16sH22x", name.encode(), 0x1002))  # TAP, no header
    return file


def cable(port, pid, delay, loss):
    """Copies packets between two TAP devices, late, and drops some: one on the switch, one that
    becomes the host's eth0."""
    ends = [tap(port), tap("eth0")]
    command("ip", "link", "set", "eth0", "netns", pid)
    queue, count = [], 0
    while True:
        wait = max(0, queue[0][0] - time.monotonic()) if queue else None
        for end in select.select(ends, [], [], wait)[0]:
            packet = os.read(end, 65536)
            if random.random() >= loss:
                count += 1
                heapq.heappush(queue, (time.monotonic() + delay, count, end, packet))
        while queue and queue[0][0] <= time.monotonic():
            _, _, end, packet = heapq.heappop(queue)
            try:
                os.write(ends[1 - ends.index(end)], packet)
            except OSError:  # the other side is not up yet
                pass


def main(arguments):
    if arguments[:1] == ["--cable"]:
        die_with_parent()
        cable(arguments[1], arguments[2], float(arguments[3]), float(arguments[4]))
    if len(arguments) < 2 or not arguments[0].isdigit():
        print(__doc__, file=sys.stderr)
        return 64
    try:
        with Hosts(int(arguments[0])) as hosts:
            first = hosts.all[0]
            return subprocess.call(first.command(*arguments[1:], directory=os.getcwd()),
                                   env=hosts.environment())
    except Unavailable as reason:
        print("hosts: skipped (%s)" % reason)
        return 77


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
