"""What schemathesis has to know of the server beyond docs/openapi.yaml. Read by schemathesis, not by the tests."""
import os
import re

import schemathesis

# Why a request that fits the description may be refused; any other refusal is a failure.
REASONS = "|".join((
    "integer beyond 64 bits|key holds U",  # wherever it stands in a body
    r"number \d+ is \d+\.0,",  # to a schema 3.0 is an integer, to the server no token
    "expected token ids below",  # logit_bias, and the vocabulary
    "there is no .*, which is to be called",  # tool_choice, and the names of tools
    " at #",  # a JSON schema, and what grammars are made of
    "messages: 0, expected 1",  # they were all of the system, or items that print nothing
    "a call is to be made, but no tools are given",  # those that there are the provider would run
    r"arguments: (JSON: )?(byte|expected the text)",  # JSON as text
))

EVERY = int(os.environ["GLIM_TEST_EVERY"])
tried = 0


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """The size of the vocabulary is the model's."""
    raw_schema["components"]["schemas"]["Token"]["maximum"] = int(os.environ["GLIM_TEST_VOCABULARY"]) - 1


@schemathesis.hook
def filter_case(context, case):
    """Of the requests that try every rule of the description, one of so many."""
    global tried
    if case.meta is None or case.meta.phase.name.name != "COVERAGE":
        return True
    tried += 1
    return tried % EVERY == 0


@schemathesis.hook
def before_call(context, case, kwargs):
    """Short answers: how long one may become has nothing to do with its shape."""
    body = case.body
    if not isinstance(body, dict):
        return
    for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        if type(body.get(name)) is int and body[name] > 2:
            body[name] = 2
    if case.operation.path == "/v1/chat/completions":
        body.setdefault("max_completion_tokens", 2)
    if case.operation.path == "/v1/responses":
        body.setdefault("max_output_tokens", 2)
    if case.meta and case.meta.generation.mode.is_positive:
        make_fit(body)


def make_fit(body):
    """What fields ask of each other, which their schemas do not say."""
    for name, other in (("tool_choice", "tools"), ("stream_options", "stream"), ("top_logprobs", "logprobs")):
        if not body.get(other):
            body.pop(name, None)
    if body.get("max_tokens") == 0 and "prompt" in body and not body.get("echo"):
        del body["max_tokens"]
    if body.get("store") is False:
        body.pop("background", None)
    body.pop("previous_response_id", None)  # nothing of that name is kept


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """False: no failure."""
    refused = type(failure).__name__ == "RejectedPositiveData" and response is not None and response.status_code == 400
    return not (refused and re.search(REASONS, response.text))
