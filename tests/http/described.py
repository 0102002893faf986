"""docs/openapi.yaml names the paths that there are, with their methods; read as text, for lack of a YAML reader."""
import re

from harness import ROOT, shared, test


def described():
    """{path: methods} of docs/openapi.yaml."""
    with open(f"{ROOT}/docs/openapi.yaml") as f:
        text = f.read()
    text = text[text.index("\npaths:\n"):text.index("\ncomponents:\n")]
    out, path = {}, None
    for line in text.split("\n"):
        if m := re.fullmatch(r"  (/\S*):", line):
            path = out.setdefault(m.group(1), set())
        elif m := re.fullmatch(r"    (get|post|put|delete):", line):
            path.add(m.group(1).upper())
    return out


@test
def test_described_methods_are_the_servers():
    paths = described()
    assert len(paths) > 20, paths
    for path, methods in paths.items():
        r = shared().request("OPTIONS", re.sub(r"\{\w+\}", "x", path))
        assert r.status == 204, (path, r)
        allowed = set(r.headers["Allow"].split(", ")) - {"HEAD", "OPTIONS"}
        assert allowed == methods, (path, allowed, methods)


@test
def test_described_paths_are_all():
    with open(f"{ROOT}/src/server/route.c") as f:
        routes = set(re.findall(r'^    \{"(/[^"]*)", HTTP_', f.read(), re.M))
    with open(f"{ROOT}/docs/server.md") as f:
        table = f.read().split("## Paths")[1].split("\n## ")[0]
    with_star = {re.sub(r"\{\w+\}", "*", p) for p in described()}
    assert routes == with_star, routes ^ with_star
    listed = {re.sub(r"\{\w+\}", "*", p) for p in re.findall(r"`(/[^`]*)`", table)}
    assert routes == listed, routes ^ listed
