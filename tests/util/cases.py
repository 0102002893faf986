"""Functions that are tests, and what runs them: those whose names hold a word of the command line."""
import os
import sys
import time
import traceback

TESTS = []


def test(f):
    TESTS.append(f)
    return f


def passes(name, f):
    """A broken test is a failed one."""
    try:
        f()
        return True
    except Exception as e:
        print(f"FAIL {name}: {type(e).__name__}: {str(e)[:4000]}", flush=True)
        if os.environ.get("TRACE"):
            traceback.print_exc()
        return False


def run(last=None):
    """The exit status. last, a (name, function), comes after all of them and counts where it fails."""
    wanted = sys.argv[1:]
    results = []
    for f in TESTS:
        if wanted and not any(w in f.__name__ for w in wanted):
            continue
        began = time.monotonic()
        results.append(passes(f.__name__, f))
        took = time.monotonic() - began
        if took > 5:
            print(f"slow {f.__name__}: {took:.1f} s", flush=True)
    passed, failed = results.count(True), results.count(False)
    if last and not passes(*last):
        failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0
