"""Many clients at once, some of which leave: every answer must be what the same request gives alone.

GLIM_TEST_LOAD_SECONDS and GLIM_TEST_LOAD_REQUESTS make it longer: both must be reached.
"""
import json
import os
import random
import re
import selectors
import socket
import time

from harness import SLOW, Server, test

AT_ONCE, LEAVING = 64, 0.1
SECONDS = float(os.environ.get("GLIM_TEST_LOAD_SECONDS", "0"))
REQUESTS = int(os.environ.get("GLIM_TEST_LOAD_REQUESTS", "200"))
# What differs between two answers to one request: names, moments, numbers that keep-alives take, and what the cache had.
CHANGING = re.compile(
    rb'"(?:id|response_id|item_id|call_id|request_id|signature|encrypted_content|obfuscation)":"[^"]*"|'
    rb'"(?:created|created_at|completed_at|sequence_number|\w+_ms|\w+_per_second|'
    rb'cached_tokens|cache_read_input_tokens|cache_creation_input_tokens|input_tokens|prompt_n|cache_n|'
    rb'draft_n|draft_n_accepted|accepted_prediction_tokens|rejected_prediction_tokens)":[0-9.e+-]+')
# What comes where nothing else has for a while: comments, events, an empty delta, spaces before an answer in one piece.
PINGS = re.compile(rb'(?:^|(?<=\n)): ping\n\n|event: (?:ping|keepalive)\ndata: [^\n]*\n\n|^ +|'
                   rb'data: [^\n]*"delta":\{\},"logprobs":null,"finish_reason":null[^\n]*\n\n')
PLACES = ("harbour", "lighthouse", "library", "market", "workshop", "station")
WEATHER = {"name": "get_weather", "description": "Weather of a city", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
PERSON = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}},
          "required": ["name", "age"], "additionalProperties": False}


def requests():
    """(path, body): all dialects, streamed and whole, greedy and drawn, short and long, alike and not."""
    preamble = "You are careful. " * 30  # several pages that requests share
    for i, place in enumerate(PLACES):
        drawn = {"temperature": 1, "seed": 7 * i, "stream": i % 2 == 1}
        said = [{"role": "user", "content": f"Tell me of the {place}."}]
        yield "/v1/chat/completions", {"messages": said, "max_tokens": 6 + 3 * i, **drawn}
        yield "/v1/chat/completions", {"messages": [{"role": "system", "content": preamble}, *said], "max_tokens": 12,
                                       "reasoning_effort": "none", **drawn}
        yield "/v1/completions", {"prompt": f"The {place} " * (1 + 20 * i), "max_tokens": 10, "logprobs": i % 3, **drawn}
        yield "/v1/completions", {"prompt": [1000 + i, 1001, 1002], "max_tokens": 8, "echo": i % 2 == 0, "n": 1 + i % 2,
                                  "temperature": 0, "stop": ["the"]}
        yield "/v1/messages", {"model": "any", "messages": said, "max_tokens": 9, "system": preamble[:100 * i],
                               "temperature": 0, "stream": i % 2 == 1}  # no seed there
        yield "/v1/responses", {"model": "any", "input": f"Where is the {place}?", "max_output_tokens": 11, "store": False,
                                "temperature": 1, "seed": i, "stream": i % 2 == 0}
    for i in range(3):
        yield "/v1/chat/completions", {
            "messages": [{"role": "user", "content": f"Weather in {PLACES[i]}?"}], "max_tokens": 40, "temperature": 1,
            "seed": i,
            "tools": [{"type": "function", "function": WEATHER}], "tool_choice": "required", "stream": i == 1}
        yield "/v1/chat/completions", {
            "messages": [{"role": "user", "content": f"Who keeps the {PLACES[i]}?"}], "max_tokens": 30, "temperature": 1,
            "seed": i, "reasoning_effort": "none", "stream": i == 2,
            "response_format": {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}}


class Client:
    """One request on a connection of its own; `body` is what came back, once it is done."""

    def __init__(self, port, kind, wire, leave_at=None):
        self.kind, self.leave_at, self.got = kind, leave_at, b""
        self.done, self.body = False, None
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120 * SLOW)
        self.socket.sendall(wire)

    def take(self):
        more = self.socket.recv(1 << 16)
        self.got += more
        if not more:
            self.body, self.done = answer_of(self.got), True
        elif self.leave_at is not None and len(self.got) >= self.leave_at:
            self.done = True
        if self.done:
            self.socket.close()


def wire_of(port, path, body):
    data = json.dumps(body).encode()
    return (f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(data)}\r\n\r\n").encode() + data


def answer_of(raw):
    head, _, rest = raw.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        body, at = [], 0
        while True:
            end = rest.index(b"\r\n", at)
            n = int(rest[at:end], 16)
            if n == 0:
                break
            body.append(rest[end + 2:end + 2 + n])
            at = end + 4 + n
        rest = b"".join(body)
    return head.split(b"\r\n")[0] + b"\n" + CHANGING.sub(b"", PINGS.sub(b"", rest))


def alone(port, wires):
    out = []
    for kind, wire in enumerate(wires):
        c = Client(port, kind, wire)
        while not c.done:
            c.take()
        out.append(c.body)
    return out


def crowd(port, wires, lone, seconds, least, rng):
    """(answers that were compared, those that differ, clients that left)"""
    compared, wrong, left = 0, [], 0
    begin = time.monotonic()
    with selectors.DefaultSelector() as clients:
        while True:
            more = compared < least or time.monotonic() < begin + seconds
            while more and len(clients.get_map()) < AT_ONCE:
                kind = rng.randrange(len(wires))
                leave = rng.randrange(2000) if rng.random() < LEAVING else None
                c = Client(port, kind, wires[kind], leave)
                clients.register(c.socket, selectors.EVENT_READ, c)
            if not clients.get_map():
                return compared, wrong, left
            for key, _ in clients.select(60 * SLOW):
                c = key.data
                c.take()
                if not c.done:
                    continue
                clients.unregister(key.fileobj)
                left += c.body is None
                compared += c.body is not None
                if c.body is not None and c.body != lone[c.kind]:
                    wrong.append((c.kind, c.body))


@test
def test_a_crowd_gets_what_each_gets_alone():
    with Server("--ctx", "1024", "--parallel", "48", "--any-model") as s:
        kinds = list(requests())
        wires = [wire_of(s.port, *k) for k in kinds]
        lone = alone(s.port, wires)
        for kind, body in zip(kinds, lone):
            assert body.startswith(b"HTTP/1.1 200 "), (kind, body)
        begin = time.monotonic()
        compared, wrong, left = crowd(s.port, wires, lone, SECONDS, REQUESTS, random.Random(1))
        if SECONDS:
            print(f"{compared:,} answers of {AT_ONCE} clients in {time.monotonic() - begin:.0f} s, {left:,} clients left, "
                  f"{len(wrong)} answers differ")
        assert not wrong, (len(wrong), kinds[wrong[0][0]], wrong[0][1], lone[wrong[0][0]])
        assert compared >= REQUESTS and left > 0
