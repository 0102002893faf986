#!/usr/bin/env python3
"""make_schema_cases.py - verdicts of jsonschema, llguidance and xgrammar on documents of many schemas.

  python3 tools/oracle/make_schema_cases.py >tests/data/schema/cases.json

Needs jsonschema (with its format extras where they are to be checked), llguidance and xgrammar, and the built
build/tests/structured/drive, whose random answers are where the documents come from: as they are, and changed in
one place (a member left out, added or of another type, an item more, a character more or less, a number beyond
its bound), which makes most of them wrong. tests/structured/run compares glim's verdicts with these.
"""
import json
import pathlib
import random
import subprocess
import sys

import jsonschema
import llguidance
import xgrammar

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "tests/data/schema/schemas.json"
DRIVE = ROOT / "build/tests/structured/drive"
ANSWERS, DOCS = 8, 16
# Why glim's verdict is another one than llguidance's (1.9.1) on some document of the schema.
DIFFERS = {
    "pattern-quote": "llguidance accepts texts that the pattern does not match",
    "number-narrow": "llguidance refuses 0.134, which is within the bounds",
    "implied-object": "properties without a type mean an object to glim",
    "ref-definitions": "llguidance refuses some escapes of two characters as three",
}
OTHERS = [None, True, 0, -7, 3.5, "", "x", "word", [], {}, [1], {"a": 1}, 10**6]


def changed(rng, doc):
    """doc with one place changed."""
    if isinstance(doc, dict) and doc and rng.random() < 0.8:
        key = rng.choice(sorted(doc))
        kind = rng.randrange(4)
        if kind == 0:
            return {k: v for k, v in doc.items() if k != key}
        if kind == 1:
            return {**doc, rng.choice(["extra", "x-y", "7", key + "a", key[:-1]]): rng.choice(OTHERS)}
        return {k: changed(rng, v) if k == key else v for k, v in doc.items()}
    if isinstance(doc, list) and rng.random() < 0.8:
        if not doc or rng.random() < 0.3:
            return [*doc, rng.choice(doc or OTHERS)]
        at = rng.randrange(len(doc))
        return doc[:at] + doc[at + 1:] if rng.random() < 0.3 else [*doc[:at], changed(rng, doc[at]), *doc[at + 1:]]
    if isinstance(doc, str) and rng.random() < 0.7:
        at = rng.randrange(len(doc) + 1)
        return rng.choice([doc[:at] + rng.choice("aZ0-\" ä.") + doc[at:], doc[:at] + doc[at + 1:], doc * 2])
    if isinstance(doc, (int, float)) and not isinstance(doc, bool) and rng.random() < 0.7:
        return rng.choice([doc + 1, doc - 1, -doc, doc * 10, doc / 4])
    return rng.choice(OTHERS)


def tokenizer():
    """llguidance's tokenizer of single bytes."""
    class Bytes:
        eos_token_id, bos_token_id = 256, None
        tokens = [bytes([i]) for i in range(256)] + [b"<eos>"]
        special_token_ids = [256]

        def __call__(self, text):
            return list(text if isinstance(text, bytes) else text.encode())
    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(Bytes()))


def guidance_accepts(tok, schema, doc):
    """True or False; None where llguidance refuses the schema."""
    grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema if schema is not True else {}))
    m = llguidance.LLMatcher(tok, grammar)
    if m.is_error():
        return None
    data = list(doc.encode())
    return m.validate_tokens(data) == len(data) and m.consume_tokens(data) and m.is_accepting()


def xgrammar_compiler():
    vocabulary = [bytes([i]) for i in range(256)] + [b"<eos>"]
    info = xgrammar.TokenizerInfo(vocabulary, vocab_type=xgrammar.VocabType.RAW, stop_token_ids=[256])
    return xgrammar.GrammarCompiler(info)


def xgrammar_accepts(compiler, schema, docs):
    """Verdicts; None where xgrammar refuses the schema."""
    try:
        compiled = compiler.compile_json_schema(json.dumps(schema if schema is not True else {}), strict_mode=False)
    except RuntimeError:
        return None
    out = []
    for doc in docs:
        m = xgrammar.GrammarMatcher(compiled)
        out.append(bool(m.accept_string(doc)) and bool(m.accept_token(256)))
    return out


def main():
    rng = random.Random(5)
    tok = tokenizer()
    compiler = xgrammar_compiler()
    schemas = json.loads(SCHEMAS.read_text())
    lines = subprocess.run([DRIVE, "walk", SCHEMAS, str(ANSWERS), "3"], capture_output=True, check=True, cwd=ROOT,
                           text=True).stdout.splitlines()
    answers = {}
    for line in map(json.loads, lines):
        if "output" in line and len(line["output"]) < 400:
            answers.setdefault(line["name"], []).append(line["output"])
    out = []
    for one in schemas:
        checker = jsonschema.Draft202012Validator(one["schema"], format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
        docs = list(dict.fromkeys(answers.get(one["name"], [])))[:5]
        for tries in range(200):
            if len(docs) >= DOCS:
                break
            doc = json.loads(rng.choice(docs)) if docs else rng.choice(OTHERS)
            text = json.dumps(changed(rng, doc), ensure_ascii=False, separators=rng.choice([(",", ":"), (", ", ": ")]))
            if text not in docs and len(text) < 400:
                docs.append(text)
        valid = [checker.is_valid(json.loads(d)) for d in docs]
        guidance = [guidance_accepts(tok, one["schema"], d) for d in docs]
        case = {**one, "docs": docs, "valid": valid, "llguidance": guidance,
                "xgrammar": xgrammar_accepts(compiler, one["schema"], docs)}
        if one["name"] in DIFFERS:
            case["differs"] = DIFFERS[one["name"]]
        out.append(case)
    print("[\n" + ",\n".join(json.dumps(x, ensure_ascii=False) for x in out) + "\n]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
