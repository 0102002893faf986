"""Help, options, exit codes, and streams that are closed or full."""
import json
import os
import re
import subprocess

from harness import GLIM, MODEL, ROOT, TMP, VERBS, glim, man_page, ok, refused, test, with_model


LONG = os.environ.get("GLIM_TEST_LONG")


def options_of(verb):
    """{name: (letter or None, kind of value or None)} as --help lists them."""
    found = {}
    for line in ok(glim(verb, "--help")).out.splitlines():
        m = re.match(r"^  (?:-(\w), |    )--([\w-]+)(?: (\S+))?", line)
        if m:
            found[m.group(2)] = (m.group(1), m.group(3) if len(line) < 26 or line[25] == " " else None)
    return found


@test
def test_help_of_every_verb():
    for verb in VERBS:
        r = ok(glim(verb, "--help"))
        assert r.out == ok(glim("help", verb)).out == ok(glim(verb, "-h")).out, verb
        assert f"usage: glim {verb} " in r.out and "examples:" in r.out and f"  glim {verb}" in r.out, r
        assert r.err == ""
        assert all(len(line) <= 80 or "glim" in line for line in r.out.splitlines()), r
        assert "help" in options_of(verb)


@test
def test_help_lists_every_verb():
    out = ok(glim("help")).out
    assert out == ok(glim("--help")).out == ok(glim("-h")).out
    for verb in VERBS:
        assert re.search(rf"^  {verb} ", out, re.M), verb


@test
def test_no_verb_and_unknown_verbs():
    refused(glim(), 2)
    assert "did you mean chat?" in refused(glim("chta"), 2).err
    assert "did you mean show?" in refused(glim("help", "sohw"), 2).err
    refused(glim("frobnicate"), 2)
    refused(glim("-q"), 2)
    refused(glim(""), 2)
    refused(glim("run\n\x1b[31m"), 2)


@test
def test_unknown_options():
    assert "did you mean --temp?" in refused(glim("run", "--tmep", "1", "x"), 2).err
    assert "did you mean --no-think?" in refused(glim("run", "--nothink", "x"), 2).err
    assert "glim show" in refused(glim("plan", "--tensors"), 2).err
    for bad in ("--", "-"):
        refused(glim("show", bad, "x"), 2)
    for bad in ("-Z", "-qZ", "--x" * 50, "---", "--=", "--=5", "--model\n", "--modelx=1"):
        refused(glim("show", bad), 2)


@test
def test_values_missing_or_unwanted():
    refused(glim("show", "-m"), 2)
    refused(glim("show", "--model"), 2)
    refused(glim("show", "--model="), 2)
    refused(glim("show", "--json=yes"), 2)
    refused(glim("show", "extra"), 2)
    refused(glim("version", "extra"), 2)
    refused(glim("help", "run", "chat"), 2)


BAD = {
    "N": ["", " ", "-1", "+1", "1.5", "1e3", "0x10", "ten", "1 ", " 1", "1k", "99999999999999999999999", "18446744073709551616"],
    "N,...": ["", ",", "1,", ",1", "1,,2", "1, 2", "1-2", "-1", "1.5", "1,x", "1;2", "99999999999999999999999"],
    "X": ["", " ", "nan", "inf", "-inf", "1e999", "0x1p3", "1.0.0", "1,5", "--", "one", "1e", " 1", "-101", "1e9"],
    "GB/S": ["", "nan", "0", "-1", "1e99", "fast"],
    "SIZE": ["", "0", "-1", "G", "1X", "1.5G", "20 G", "99999999999T", "KB", "1GG", "B", "iB"],
}


@test
def test_bad_values_of_every_option():
    """All of them with the first verb that has the option, one with each other: a value is read by the option alone.
    GLIM_TEST_LONG: all with every verb."""
    seen, tried = set(), 0
    for verb in VERBS:
        for name, (letter, kind) in options_of(verb).items():
            bad = BAD.get(kind) or (["", "nothing", "F16", "f16|", "|"] if kind and "|" in kind else [])
            if (name, kind) in seen and bad and not LONG:
                bad = [bad[tried % len(bad)]]
            seen.add((name, kind))
            for value in bad:
                refused(glim(verb, f"--{name}={value}"), 2)
                if letter:
                    refused(glim(verb, f"-{letter}", value), 2)
                tried += 1
    assert tried > 200, tried


@test
def test_good_values_reach_the_model():
    """Parsed, and then refused for the file only: exit 1, not 2."""
    for args in (["--temp", "0"], ["--temp=1e-3"], ["-n5"], ["-n", "5"], ["-s", "18446744073709551615"], ["-qn5"],
                 ["--kv", "bf16"], ["--kv", "q8"], ["--kv-index", "i8"], ["--kv-index=f16"], ["--isa", "baseline"], ["--presence-penalty", "-2"], ["--top-k=0"], ["--expand=off"],
                 ["--index-rope=half"], ["--latent-eps", "1e-6"], ["--effort", "high"], ["--system", ""]):
        r = refused(glim("run", "-m", "/nonexistent/model.gguf", *args, "x"))
        assert "/nonexistent/model.gguf" in r.err, r
    for size in ("1", "512M", "20G", "20GB", "20GiB", "64g", "1T"):
        refused(glim("plan", "-m", "/nonexistent", "--ram", size))
    assert "warp" in refused(glim("show", "--isa", "warp"), 2).err
    other = "neon" if os.uname().machine == "x86_64" else "avx2"
    assert f'isa "{other}": this machine has ' in refused(glim("show", "--isa", other)).err


@test
def test_the_last_of_equal_options_counts_and_dashes_end_them():
    r = refused(glim("run", "-m", "/a", "-m", "/nonexistent/b", "--", "--json", "-n"))
    assert "/nonexistent/b" in r.err, r


@test
def test_prompts_that_exclude_each_other():
    refused(glim("run", "--ids", "1", "x"), 2)
    refused(glim("run", "--ids", "1", "--system", "x"), 2)
    refused(glim("run", "--messages", "f", "x"), 2)
    refused(glim("run", "--raw", "--system", "s", "x"), 2)
    refused(glim("logits", "--ids", "1"), 2)
    refused(glim("logits", "--out", "f"), 2)
    refused(glim("ppl"), 2)


@test
def test_files_that_are_no_model():
    empty, text = os.path.join(TMP, "empty.gguf"), os.path.join(TMP, "text.gguf")
    open(empty, "w").close()
    with open(text, "w") as f:
        f.write("GGUF but not really\n" * 50)
    fifo, folder = os.path.join(TMP, "fifo"), os.path.join(TMP, "folder")
    os.mkfifo(fifo)
    os.mkdir(folder)
    for verb in ("show", "plan", "doctor", "bench"):
        for path in ("/nonexistent", empty, text, fifo, folder, "/dev/null", "x" * 5000, "bad\nname"):
            r = glim(verb, "-m", path)
            assert r.code == 1 and r.err.count("\n") == 1 and r.err.startswith("glim: "), (verb, path, r)
    for verb in ("tokenize", "detokenize", "template"):
        for path in ("/nonexistent", empty, text, folder):
            refused(glim(verb, "-m", path, stdin="1"))


@test
def test_version():
    r = ok(glim("version"))
    assert re.fullmatch(r"glim \d+\.\d+\.\d+\n", r.out), r
    assert r.out == ok(glim("--version")).out == ok(glim("-V")).out
    assert json.loads(ok(glim("version", "--json")).out)["version"] == r.out.split()[1]


def text_commands(long=True):
    """(arguments, standard input) of commands that print."""
    yield ["version"], b""
    yield ["help"], b""
    yield ["run", "--help"], b""
    for verb in ("show", "plan", "doctor"):
        yield [verb], b""
        yield [verb, "--json"], b""
    yield ["show", "--tensors"], b""
    yield ["tokenize"], b"Hello there"
    yield ["tokenize", "--json"], b"Hello there"
    yield ["detokenize", "40", "41"], b""
    yield ["template"], b'{"messages":[{"role":"user","content":"Hi"}]}'
    yield ["template", "--ids"], b'{"messages":[{"role":"user","content":"Hi"}]}'
    if long:
        yield ["run", "-n", "4", "Hi"], b""
        yield ["run", "-n", "4", "--json", "Hi"], b""
        yield ["run", "-n", "4", "--ids", "1,2", "--print-ids"], b""
        yield ["chat", "-n", "4"], b"Hi\n"
        yield ["logits", "--ids", "1,2,3", "--out", "-"], b""


@test
def test_full_disk():
    with open("/dev/full", "wb") as full:
        for args, stdin in text_commands():
            p = subprocess.run([GLIM, *with_model(args)], input=stdin, stdout=full, stderr=subprocess.PIPE, timeout=60)
            assert p.returncode == 1, (args, p)
            assert p.stderr == b"glim: standard output: No space left on device\n", (args, p)
    r = glim("logits", "--ids", "1,2,3", "--out", "/dev/full")
    assert "No space left" in refused(r).err, r


@test
def test_standard_output_closed():
    for args, stdin in text_commands():
        p = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", GLIM, *with_model(args)], input=stdin,
                           stderr=subprocess.PIPE, timeout=60)
        assert p.returncode == 1 and b"Bad file descriptor" in p.stderr and p.stderr.count(b"\n") == 1, (args, p)


@test
def test_reader_that_left():
    for args, stdin in text_commands():
        r, w = os.pipe()
        os.close(r)
        p = subprocess.run([GLIM, *with_model(args)], input=stdin, stdout=w, stderr=subprocess.PIPE, timeout=60)
        os.close(w)
        assert p.returncode == 1 and p.stderr == b"", (args, p)


@test
def test_standard_input_closed():
    for args in (["run"], ["chat"], ["tokenize"], ["detokenize"], ["template"], ["ppl", "-f", "-"]):
        p = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", GLIM, *with_model(args)], capture_output=True, timeout=60)
        assert p.returncode == 1 and p.stderr.startswith(b"glim: "), (args, p)


@test
def test_standard_error_closed():
    p = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", GLIM, *with_model(["run", "-n", "4", "Hi"])],
                       capture_output=True, timeout=60)
    assert p.returncode == 0 and p.stdout, p
    p = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", GLIM, "show", "-m", "/nonexistent"], capture_output=True)
    assert p.returncode == 1 and p.stdout == b"", p


@test
def test_environment_is_not_read():
    """Names that others read as settings, and locales with other numbers and letters."""
    env = {"TEMP": "5", "PROMPT": "x", "GLIM_MODEL": "/nonexistent", "MODEL": "/nonexistent", "SEED": "7",
           "OMP_NUM_THREADS": "banana", "LC_ALL": "tr_TR.UTF-8", "LANG": "de_DE.UTF-8", "HOME": "/nonexistent"}
    args = ["run", "--ids", "1,2,3", "-n", "6", "--print-ids"]
    assert ok(glim(*args)).out == ok(glim(*args, env=env)).out
    assert ok(glim("show", "--json")).out == ok(glim("show", "--json", env=env)).out


@test
def test_manual_page_and_completion_know_every_option():
    page = man_page("glim.1")
    script = "source tools/completion.bash; for v in %s; do COMP_WORDS=(glim $v -); COMP_CWORD=2; _glim; " \
             "echo $v ${COMPREPLY[@]}; done; COMP_WORDS=(glim ''); COMP_CWORD=1; _glim; echo VERBS ${COMPREPLY[@]}"
    out = subprocess.run(["bash", "-c", script % " ".join(VERBS)], cwd=ROOT, capture_output=True, text=True).stdout
    offered = {line.split()[0]: set(line.split()[1:]) for line in out.splitlines()}
    assert offered["VERBS"] == set(VERBS) | {"--help", "--version"}, offered["VERBS"]
    everything = set()
    for verb in VERBS:
        assert re.search(rf"^     {verb}\b", page, re.M), f"glim.1 lacks {verb}"
        have = options_of(verb)
        want = {f"--{n}" for n in have} | {f"-{letter}" for letter, _ in have.values() if letter}
        assert offered[verb] == want, (verb, offered[verb] ^ want)
        everything |= want
    inside = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", page[page.index("OPTIONS"):page.index("CHAT\n")]))
    assert everything <= inside, f"glim.1 lacks {everything - inside}"
    assert inside <= everything, f"glim.1 has too much: {inside - everything}"


@test
def test_manual_pages_are_clean():
    for page in ("glim.1", "glim.3"):
        p = subprocess.run(["mandoc", "-T", "lint", f"docs/man/{page}"], cwd=ROOT, capture_output=True, text=True)
        said = [line for line in p.stdout.splitlines() if "referenced manual not found: Xr glim" not in line]
        assert not said, said
