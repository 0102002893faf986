"""Experts from disk, from outside: the least memory, two programs on one file, a program killed in between."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys

from harness import ROOT, TMP, glim, ok, refused, start, test

NANO = os.path.join(ROOT, "models", "glm-nano.gguf")
TEXT = ["run", "--raw", "--temp", "0", "--ignore-eos", "--ctx", "512", "--chunk", "16", "--mtp", "off"]


def least(model=NANO):
    """The bytes that the refusal names."""
    r = refused(glim(*TEXT, "-n", "4", "-m", model, "--ram", "1M", "A cat"))
    return int(re.search(r"needs at least [0-9.]+ \((\d+) bytes\)", r.err).group(1))


def text(*args, n=60, **kw):
    return ok(glim(*TEXT, "-n", str(n), *args, "A cat", **kw)).out


@test
def least_memory_to_the_byte():
    ram = least()
    assert text("-m", NANO, "--ram", str(ram)) == text("-m", NANO)
    refused(glim(*TEXT, "-n", "4", "-m", NANO, "--ram", str(ram - 1), "A cat"))


@test
def two_programs_stream_one_file():
    want, ram = text("-m", NANO), str(least())
    both = [start(*TEXT, "-n", "60", "-m", NANO, "--ram", ram, "A cat") for _ in range(2)]
    for p in both:
        out, err = p.communicate(timeout=120)
        assert p.returncode == 0, err
        assert out.decode() == want


@test
def killed_while_streaming():
    folder = os.path.join(TMP, "killed")
    os.makedirs(folder)
    model, state = os.path.join(folder, "nano.gguf"), {"XDG_STATE_HOME": os.path.join(folder, "state"),
                                                       "XDG_CACHE_HOME": os.path.join(folder, "cache")}
    shutil.copyfile(NANO, model)
    want, ram = text("-m", NANO), str(least(model))
    for length in (1, 3, 40, 200):
        p = start(*TEXT, "-n", "100000", "-m", model, "--ram", ram, "A cat", env=dict(os.environ, **state))
        assert p.stdout.read(length)
        p.send_signal(signal.SIGKILL)
        assert p.wait() == -signal.SIGKILL
        p.communicate()
        assert text("-m", model, "--ram", ram, env=state) == want
    assert os.path.getsize(model) == os.path.getsize(NANO)


@test
def chunks_by_the_drive():
    """GLM-5.2's own shapes, without weights: a slower drive wants longer chunks, a short context or little memory has
    none, and what is asked for is done."""
    folder = os.path.join(TMP, "q4")
    subprocess.run([sys.executable, os.path.join(ROOT, "tools/sparse_checkpoint.py"), "gguf", folder, "--experts", "Q4_K",
                    "--rest", "Q4_K"], check=True, stdout=subprocess.DEVNULL)
    model = os.path.join(folder, min(f for f in os.listdir(folder) if f.endswith(".gguf")))

    def chunk(*args):
        p = json.loads(ok(glim("plan", "-m", model, "-t", "64", "--isa", "baseline", "--mtp", "off", "--json", *args)).out)
        return p["chunk_tokens"], p

    ram = ["--ram", "57G"]
    chunks = [chunk(*ram, "--drive", drive)[0] for drive in ("10000", "100", "10", "1", "0.1")]
    assert chunks == sorted(chunks) and chunks[0] == 512 and chunks[-1] == 4096, chunks
    assert chunks == [chunk(*ram, "--drive", drive)[0] for drive in ("10000", "100", "10", "1", "0.1")]
    assert chunk(*ram, "--ctx", "700", "--drive", "1")[0] == 700
    assert chunk(*ram, "--chunk", "512", "--drive", "1")[0] == 512
    assert chunk("--ram", "10T")[0] == 512
    _, p = chunk(*ram, "--chunk", "1024", "--drive", "2")
    assert 0.99 < p["chunk_read_s"] / chunk(*ram, "--chunk", "1024", "--drive", "1")[1]["chunk_read_s"] / 0.5 < 1.01
    least = chunk("--ram", "1M")[1]["least_ram_bytes"]
    n, p = chunk("--ram", str(least), "--drive", "1")
    assert n == 512 and p["runs"] and p["least_ram_bytes"] == least
    shutil.rmtree(folder)
