"""Runs a program under a limit of memory that the system enforces, and tells how much it used.

A control group below our own (version 1, or 2 where it has the memory controller): all counts, the program's own memory,
page tables, and the pages of files that it read. Where there can be none, nothing is enforced and the program's private
memory is looked at often.
"""
import os
import subprocess
import threading
import time

V1, V2 = "/sys/fs/cgroup/memory", ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")


def own_groups():
    """(folder to make a group in, its version), the nearest first."""
    with open("/proc/self/cgroup", encoding="ascii") as f:
        paths = [line.rstrip("\n").split(":", 2) for line in f]
    for _, kinds, path in paths:
        if "memory" in kinds.split(","):
            yield V1 + path, 1
        elif kinds == "":
            for root in V2:
                yield root + path, 2
                yield os.path.dirname(root + path), 2  # a version 2 group with programs in it has no groups below


def read_number(path, word=None):
    """A file's number, or that behind a word at the beginning of one of its lines; 0 where there is none."""
    try:
        with open(path, encoding="ascii") as f:
            for line in f:
                parts = line.split()
                if not word or parts[0] == word:
                    return int(parts[-1 if not word else 1])
    except (OSError, ValueError):
        pass
    return 0


class Group:
    """A control group of `limit` bytes; folder is None where none can be made."""

    def __init__(self, limit):
        self.folder, self.version = None, 0
        for parent, version in own_groups():
            folder = f"{parent}/glim-{os.getpid()}-{time.monotonic_ns()}"
            try:
                os.mkdir(folder)
            except OSError:
                continue
            try:
                with open(f"{folder}/{'memory.limit_in_bytes' if version == 1 else 'memory.max'}", "w") as f:
                    f.write(str(limit))
                self.folder, self.version = folder, version
                return
            except OSError:
                os.rmdir(folder)

    def enter(self):
        """In the child, before the program begins. Should memory get short all the same, it is the one to go."""
        with open("/proc/self/oom_score_adj", "w") as f:
            f.write("1000")
        if self.folder:
            with open(f"{self.folder}/cgroup.procs", "w") as f:
                f.write("0")

    def peak(self):
        return read_number(f"{self.folder}/{'memory.max_usage_in_bytes' if self.version == 1 else 'memory.peak'}")

    def private(self, pid):
        """Memory that nothing but the program's end gives back, now."""
        if self.folder:
            return read_number(f"{self.folder}/memory.stat", "total_rss" if self.version == 1 else "anon")
        return 1024 * read_number(f"/proc/{pid}/status", "RssAnon:")

    def close(self):
        for _ in range(100):
            try:
                if self.folder:
                    os.rmdir(self.folder)
                return
            except OSError:  # its last page is still on the way out
                time.sleep(0.02)


class Used:
    """What a program did under a limit. peak: all that counted, 0 where there was no group."""

    def __init__(self, code, out, err, peak, private, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds
        self.peak, self.private = peak, private


def run(command, limit, timeout, every=0.01):
    """Runs a command that prints little. `every`: seconds between two looks at its private memory."""
    group, private, start = Group(limit), 0, time.monotonic()
    try:
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, preexec_fn=group.enter) as p:
            over = threading.Timer(timeout, p.kill)
            over.start()
            text = []
            reader = threading.Thread(target=lambda: text.extend(p.communicate()))
            reader.start()
            while reader.is_alive():
                private = max(private, group.private(p.pid))
                reader.join(every)
            over.cancel()
            return Used(p.returncode, *text, group.peak() if group.folder else 0, private, time.monotonic() - start)
    finally:
        group.close()
