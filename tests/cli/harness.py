"""Runs the glim program and judges it from outside: output, exit code, signals, terminals."""
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(ROOT, "tests", "util"))
import cases  # noqa: E402
from cases import test  # noqa: E402,F401

GLIM = os.path.abspath(os.environ.get("GLIM", os.path.join(ROOT, "build", "glim")))
MODEL = os.environ.get("GLIM_TEST_MODEL")  # of the tests, not of the program
VERBS = "run chat serve show plan tokenize detokenize template logits ppl bench doctor verify mirror launch version help".split()
TMP = tempfile.mkdtemp(prefix="glim-cli-")
os.environ["XDG_STATE_HOME"] = os.path.join(TMP, "state")
os.environ["XDG_CACHE_HOME"] = os.path.join(TMP, "cache")
for name in ("NO_COLOR", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
    os.environ.pop(name, None)


class Result:
    def __init__(self, code, out, err):
        self.code, self.raw, self.err = code, out, err.decode("utf-8", "replace")
        self.out = out.decode("utf-8", "replace")

    def __repr__(self):
        return f"exit {self.code}, stdout {self.out[-300:]!r}, stderr {self.err[-300:]!r}"


def with_model(args):
    """-m behind the verb, when the tests run on another model than the bundled one."""
    if MODEL and args and args[0] in VERBS[:-4] and "-m" not in args:
        return [args[0], "-m", MODEL, *args[1:]]
    return list(args)


def glim(*args, stdin=b"", timeout=120, exe=None, env=None, **kw):
    if isinstance(stdin, str):
        stdin = stdin.encode()
    environ = dict(os.environ, **(env or {}))
    p = subprocess.run([exe or GLIM, *with_model(args)], input=stdin, capture_output=True, timeout=timeout,
                       env=environ, **kw)
    return Result(p.returncode, p.stdout, p.stderr)


def start(*args, **kw):
    """A running program with pipes."""
    return subprocess.Popen([GLIM, *with_model(args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **kw)


def wait_at_work(p, seconds):
    """Until a program has taken SIGINT into its own hands and used so much processor time."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with open(f"/proc/{p.pid}/status", encoding="ascii") as f:
            caught = int(re.search(r"SigCgt:\s+(\w+)", f.read()).group(1), 16)
        with open(f"/proc/{p.pid}/stat", encoding="ascii") as f:
            used = sum(map(int, f.read().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")
        if caught >> (signal.SIGINT - 1) & 1 and used >= seconds:
            return
        time.sleep(0.02)
    raise AssertionError(f"{p.args} is not at work")


def man_page(name):
    """The page as plain text: mandoc prints bold by striking a letter over itself."""
    page = subprocess.run(["mandoc", "-T", "utf8", f"docs/man/{name}"], cwd=ROOT, capture_output=True, text=True, check=True)
    return re.sub(".\b", "", page.stdout)


def ok(r):
    assert r.code == 0, r
    return r


def refused(r, code=1):
    """One line on standard error that begins with "glim: ", nothing on standard output."""
    assert r.code == code, r
    assert r.err.startswith("glim: ") and r.err.count("\n") == 1 and r.err.endswith("\n"), r
    assert r.out == "", r
    return r


class Terminal:
    """The program on a pseudo terminal."""

    def __init__(self, *args, env=None, exe=None):
        self.text = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.environ.update({"TERM": "xterm", **(env or {})})
                os.execv(exe or GLIM, [exe or GLIM, *with_model(args)])
            finally:
                os._exit(127)

    def read_until(self, what, timeout=60):
        """Reads until `what` has come; what came is returned and forgotten."""
        what = what.encode()
        end = time.monotonic() + timeout
        while what not in self.text:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"no {what!r} within {timeout} s, but {self.text[-400:]!r}")
            try:
                more = os.read(self.fd, 65536)
            except OSError:
                more = b""
            if not more:
                raise AssertionError(f"ended before {what!r}: {self.text[-400:]!r}")
            self.text += more
        at = self.text.index(what) + len(what)
        seen, self.text = self.text[:at], self.text[at:]
        return seen.decode("utf-8", "replace")

    def send(self, text):
        time.sleep(0.2)  # the prompt comes just before the terminal is ready for control characters
        os.write(self.fd, text.encode())

    def rest(self, timeout=60):
        """All up to the program's end; (exit code, text)."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            try:
                if select.select([self.fd], [], [], 0.5)[0]:
                    more = os.read(self.fd, 65536)
                    if not more:
                        break
                    self.text += more
            except OSError:
                break
        else:
            os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status), self.text.decode("utf-8", "replace")


def main():
    try:
        return cases.run()
    finally:
        shutil.rmtree(TMP, ignore_errors=True)
