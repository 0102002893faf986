"""Memory that runs out while a request is answered.

tests/fault/starve.c makes the n-th allocation of the server fail, n = 1, 2, ... until a request passes untouched; and
the n-th with all that follow. Each reply has to be the right answer, an error that says so, or a connection that ends
early; the server lives, and the next answer is right. Under AddressSanitizer also: nothing leaks.
GLIM_TEST_STARVE_ALL=1: every n, not some.
"""
import concurrent.futures
import contextlib
import ctypes
import http.client
import json
import mmap
import os
import threading

from harness import GLIM, SLOW, TMP, Server, sse, test

LIBRARY = os.path.join(os.path.dirname(GLIM), "tests", "fault", "starve.so")
EVERY = os.environ.get("GLIM_TEST_STARVE_ALL") == "1"
SOME = 8  # of them otherwise
FOREVER = 1 << 40
THREADS = 16


class Page(ctypes.Structure):
    """struct page of starve.c."""
    _fields_ = [("first", ctypes.c_ulong), ("many", ctypes.c_ulong), ("calls", ctypes.c_ulong),
                ("failed", ctypes.c_ulong), ("live", ctypes.c_long), ("only", ctypes.c_uint * THREADS),
                ("seen", ctypes.c_uint * THREADS), ("where", ctypes.c_char * (4096 - 40 - 8 * THREADS))]


class Starved(Server):
    """A server whose allocations can be made to fail."""

    def __init__(self, *more, headers=None):
        self.headers = headers
        assert os.path.exists(LIBRARY), f"{LIBRARY} is not built"
        path, saved = os.path.join(TMP, "starve"), os.path.join(TMP, "saved")
        os.makedirs(saved, exist_ok=True)
        with open(path, "wb") as f:
            f.write(bytes(4096))
        self.file = open(path, "r+b")
        self.page = Page.from_buffer(mmap.mmap(self.file.fileno(), 4096))
        # It stands before a sanitizer's allocator, which does not like that, and before its leak detector, which does.
        asan = "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")
        super().__init__("--ctx", "1024", "--alias", "nano", "--parallel", "4", "--slot-save-path", saved, *more,
                         before=lambda: os.environ.update(
                             LD_PRELOAD=LIBRARY, GLIM_TEST_STARVE=path, ASAN_OPTIONS=asan))

    def request(self, method, path, body=None, headers=None, **kw):
        return super().request(method, path, body, headers={**(self.headers or {}), **(headers or {})}, **kw)

    def fail(self, first, many=1):
        """From here on the first-th allocation and those after it; 0: none."""
        p = self.page
        p.first, p.calls, p.failed, p.many = 0, 0, 0, many
        p.where = b""
        p.first = first


# ---- what is asked ----

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hi \u00e9"}]}]
TOOL = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {
    "what": {"type": "string"}, "n": {"type": "integer", "minimum": 1.5, "maximum": 2e3}}, "required": ["what"]}}
SCHEMA = {"type": "object", "properties": {"a": {"enum": [1.50, None, "x"]}, "b": {"allOf": [
    {"type": "integer", "minimum": 3}, {"maximum": 8}]}}, "required": ["a"], "additionalProperties": False}
SHORT = {"temperature": 0, "seed": 3}


def chat(**more):
    return "POST", "/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 6, **SHORT, **more}


def messages(**more):
    return "POST", "/v1/messages", {"model": "nano", "max_tokens": 6, "temperature": 0, "system": "Be brief.",
                                    "messages": [{"role": "user", "content": "Hi"}], **more}


def responses(**more):
    return "POST", "/v1/responses", {"input": "Hi", "instructions": "Be brief.", "max_output_tokens": 6, "store": False,
                                     "reasoning": {"effort": "none"}, **SHORT, **more}


def completions(**more):
    return "POST", "/v1/completions", {"prompt": "Once upon", "max_tokens": 6, **SHORT, **more}


ANTHROPIC_TURNS = [{"role": "user", "content": "Look"}, {"role": "assistant", "content": [
    {"type": "thinking", "thinking": "Hm", "signature": ""}, {"type": "text", "text": "I do"},
    {"type": "tool_use", "id": "t1", "name": "look", "input": {"what": "x"}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "seen"}]}]
ITEMS = [{"role": "user", "content": "Look"},
         {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{\"what\": \"x\"}"},
         {"type": "function_call_output", "call_id": "c1", "output": "seen"}]
CALLED = [{"role": "user", "content": "Look"}, {"role": "assistant", "content": None, "tool_calls": [
    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"what\": \"x\"}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "seen"}]

KINDS = {
    # What the first request of a server leaves in its first slot.
    "save": ("POST", "/slots/0?action=save", {"filename": "a"}),
    "restore": ("POST", "/slots/1?action=restore", {"filename": "a"}),
    "chat": chat(),
    "chat stream": chat(stream=True, stream_options={"include_usage": True}),
    "chat twice": chat(n=2),
    "chat logprobs": chat(logprobs=True, top_logprobs=2),
    "chat schema": chat(response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}),
    "chat forced": chat(tools=[{"type": "function", "function": TOOL}], tool_choice="required", max_tokens=30),
    "chat forced stream": chat(tools=[{"type": "function", "function": TOOL}], tool_choice="required", max_tokens=30,
                               stream=True),
    "chat called": chat(messages=CALLED, tools=[{"type": "function", "function": TOOL}], reasoning_effort="none"),
    "completions": completions(logprobs=1, echo=True),
    "completions stream": completions(stream=True, stop=["zzz"]),
    "messages": messages(),
    "messages stream": messages(stream=True, thinking={"type": "enabled", "budget_tokens": 1024}),
    "messages called": messages(messages=ANTHROPIC_TURNS, tools=[
        {"name": "look", "input_schema": TOOL["parameters"]}, {"type": "bash_20250124", "name": "bash"}]),
    "count tokens": ("POST", "/v1/messages/count_tokens", messages()[2]),
    "responses": responses(),
    "responses stream": responses(stream=True),
    "responses called": responses(input=ITEMS, tools=[
        {"type": "namespace", "name": "eye", "tools": [{"type": "function", **TOOL}]},
        {"type": "custom", "name": "write", "format": {"type": "grammar", "syntax": "regex", "definition": "x+"}}]),
    "input tokens": ("POST", "/v1/responses/input_tokens", {"input": "Hi"}),
    "tokenize": ("POST", "/tokenize", {"prompt": "a \u00e9 text", "return_token_strs": True, "with_pieces": True}),
    "detokenize": ("POST", "/detokenize", {"tokens": [50, 60, 70]}),
    "template": ("POST", "/apply-template", {"messages": CALLED, "tools": [{"type": "function", "function": TOOL}]}),
    "models": ("GET", "/v1/models", None),
    "model": ("GET", "/v1/models/nano", None),
    "props": ("GET", "/props", None),
    "tokenizer": ("GET", "/tokenizer_info", None),
    "slots": ("GET", "/slots", None),
    "metrics": ("GET", "/metrics", None),
    "health": ("GET", "/health", None),
    "page": ("GET", "/", None),
    "erase": ("POST", "/slots/7?action=erase", {}),
    "no path": ("GET", "/nothing", None),
    "no JSON": ("POST", "/v1/messages", b"{"),
    "wrong": chat(temperature="x"),
}
PAGED = {"long": chat(messages=[{"role": "user", "content": "word " * 150}]),
         "long stream": messages(messages=[{"role": "user", "content": "tale " * 150}], stream=True)}

# ---- what comes back ----

OWN = {"id", "created", "created_at", "timings", "usage", "call_id", "item_id", "request_id", "age_ms", "id_task",
       "n_prompt_tokens", "n_prompt_tokens_cache", "n_prompt_tokens_processed", "n_decoded", "save_ms", "restore_ms", "erase_ms", "signature"}
OVERLOADED = ("server_is_overloaded", "overloaded_error")
ENDS = ("[DONE]", "message_stop", "response.completed", "response.incomplete")


def essence(v):
    """Without what differs from one request to the same again."""
    if isinstance(v, dict):
        return {k: essence(x) for k, x in v.items() if k not in OWN}
    return [essence(x) for x in v] if isinstance(v, list) else v


def is_error(v):
    """An error's JSON of any of the APIs: of a body, or of a stream's event."""
    if not isinstance(v, dict):
        return False
    error = v.get("response", v).get("error")
    return isinstance(error, dict) and bool(error["message"]) and (error.get("code") or error["type"]) in OVERLOADED


def stream_of(text):
    """(events, "whole" | "error" | "cut")."""
    events = sse(text)
    last = events[-1] if events else None
    if is_error(last):
        return events, "error"
    ended = last == "[DONE]" or isinstance(last, dict) and last.get("type") in ENDS
    return events, "whole" if ended else "cut"


def ask(s, kind):
    """(status, what): None where the connection ended early. A stream that ends as if it were whole has to be."""
    method, path, body = {**KINDS, **PAGED}[kind]
    try:
        r = s.request(method, path, body)
    except (http.client.HTTPException, OSError):
        return None
    if kind == "slots" and r.status == 200:  # what was asked before may still be at work
        return r.status, isinstance(r.json, list)
    if r.headers.get("Content-Type") != "text/event-stream":
        if "json" not in r.headers.get("Content-Type", ""):
            return r.status, len(r.text) if kind == "page" else [x.split()[0] for x in r.text.split("\n") if x[:4] == "glim"]
        return r.status, essence(r.json)
    events, end = stream_of(r.text)
    assert end != "cut", f"a stream without an end: {r.text[-300:]}"
    return (503, events[-1]) if end == "error" else (r.status, essence(events))


def judge(got, right):
    """None if it is as promised; or what is wrong."""
    if got is None or got == right:
        return None
    status, what = got
    return None if status in (503, 529) and is_error(what) else f"{status} {json.dumps(what)[:600]}"


def once(s, kind, n, many, right):
    """One request with a failing allocation: (did one fail, was it told so)."""
    s.fail(n, many)
    try:
        got = ask(s, kind)
    finally:
        s.page.first = 0
    where = s.page.where.decode()
    wrong = judge(got, right)
    assert s.process.poll() is None, f"{kind}, allocation {n} of {many}: the server is gone: {s.said()[-600:]}\n{where}"
    assert not wrong, f"{kind}, allocation {n} of {many}: {wrong}\nexpected {json.dumps(right)[:600]}\n{where}"
    return s.page.failed > 0, got is not None and got != right


def walk(s, kind, many, right, step):
    """Each step-th allocation until none is left: how many replies were errors."""
    n, errors, untouched = 1, 0, 0
    while untouched < 2:  # another thread's may have come between
        failed, told = once(s, kind, n, many, right)
        untouched = 0 if failed else untouched + 1
        errors += told
        n += step
    return errors


def sweep(s, kind, many):
    """How many replies were errors; some allocations, or more of them until there is one."""
    right = ask(s, kind)
    s.fail(0)
    assert ask(s, kind) == right, f"{kind}: {right}"
    calls = s.page.calls
    step = 1 if EVERY else max(1, calls // SOME)
    errors = walk(s, kind, many, right, step)
    while errors == 0 and step > 1:  # some may be only of what an answer can do without
        step //= 2
        errors = walk(s, kind, many, right, step)
    assert ask(s, kind) == right, f"{kind}: after that"
    return errors


@test
def test_starved_requests_are_told_so():
    with Starved() as s:
        assert s.chat("word " * 100).status == 200
        for kind in KINDS:
            told = [sweep(s, kind, many) for many in (1, FOREVER)]
            # What is closed has no connection yet; from there on there is always something to say.
            assert all(n > 0 for n in told), f"{kind}: {told} replies said that memory is out"
        assert s.chat().status == 200


@test
def test_starved_requests_with_pages_of_their_own():
    """Keys, whose pages are encrypted, kept on disk and read again."""
    key = "a-key-that-is-long-enough"
    folder = os.path.join(TMP, "starved-pages")
    with Starved("--kv-dir", folder, "--kv-encrypt", "--api-key", key, headers={"Authorization": f"Bearer {key}"}) as s:
        for kind in PAGED:
            for many in (1, FOREVER):
                assert sweep(s, kind, many) > 0, kind


def workers(s):
    """The threads that prepare answers: those that take memory for a request, but for the one of all sockets."""
    p = s.page

    def seen(ask):
        ctypes.memset(p.seen, 0, ctypes.sizeof(p.seen))
        ask()
        return {t for t in p.seen if t}
    sockets = seen(lambda: s.get("/health"))
    return seen(lambda: [ask(s, "tokenize") for _ in range(20)]) - sockets


LONG = {"prompt": "Once upon a time", "max_tokens": 300, "ignore_eos": True, "stream": True, **SHORT}


@test
def test_starved_requests_leave_streams_alone():
    """Others answer on while the threads that read requests find no memory, and not one byte of theirs differs."""
    kinds = ("chat forced", "messages called", "responses called", "template", "tokenize")
    with Starved() as s:
        alone = essence(s.events("/v1/completions", LONG))
        right = {kind: ask(s, kind) for kind in kinds}
        only = workers(s)
        assert only, "no worker takes memory"
        s.page.only[:len(only)] = sorted(only)
        done, streams, failures = threading.Event(), [], 0

        beginning = threading.Lock()  # it takes memory by the same threads

        def stream():
            while not done.is_set() or not streams:
                c = http.client.HTTPConnection(s.host, s.port, timeout=60 * SLOW)
                with contextlib.closing(c):
                    with beginning:
                        c.request("POST", "/v1/completions", json.dumps(LONG), {"Content-Type": "application/json"})
                        r = c.getresponse()
                        first = r.readline()
                    streams.append(essence(sse((first + r.read()).decode())))
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            beside = pool.submit(stream)
            try:
                for kind in kinds:
                    for n in range(1, 400 if EVERY else 60, 1 if EVERY else 5):
                        with beginning:
                            failures += once(s, kind, n, 1, right[kind])[0]
            finally:
                done.set()
            beside.result()
        assert failures > 20, failures
        assert all(x == alone for x in streams), [x for x in streams if x != alone][0]
