"""The installed program and library, as a distribution would ship them."""
import os
import re
import shutil
import subprocess

from harness import GLIM, MODEL, ROOT, TMP, glim, man_page, ok, refused, test

BUNDLED = os.path.join(ROOT, "models", "glm-nano.gguf")
# What is tested is what is installed, so that nothing is built for it; a library with sanitizers would need theirs.
FOLDER = os.path.dirname(GLIM)
FLAVOUR = "werror" if os.path.basename(FOLDER) == "werror" else "release"


def shell(command, **kw):
    p = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=300, **kw)
    assert p.returncode == 0, (command, p.stdout[-500:], p.stderr[-500:])
    return p.stdout


def install():
    dest = os.path.join(TMP, "dest")
    if not os.path.isdir(dest):
        shell(f"make install BUILD={FLAVOUR} DESTDIR={dest} PREFIX=/opt/glim", cwd=ROOT)
    return dest, dest + "/opt/glim"


def man_example():
    """The program that glim.3 shows."""
    page = man_page("glim.3")
    body = page[page.rindex("     #include <glim.h>"):page.rindex("SEE ALSO")]
    return "\n".join(line[5:] for line in body.splitlines())


@test
def test_install():
    if not os.path.exists(BUNDLED):
        return
    dest, prefix = install()
    for file in ("bin/glim", "lib/libglim.a", "lib/libglim.so", "lib/libglim.so.0", "include/glim.h",
                 "lib/pkgconfig/glim.pc", "share/glim/models/glm-nano.gguf", "share/man/man1/glim.1",
                 "share/man/man3/glim.3", "share/bash-completion/completions/glim"):
        assert os.path.exists(f"{prefix}/{file}"), file
    r = ok(glim("show", exe=f"{prefix}/bin/glim"))
    assert "glm-nano" in r.out
    assert "share/glim/models" in ok(glim("doctor", exe=f"{prefix}/bin/glim", cwd="/")).out
    assert dest not in open(f"{prefix}/lib/pkgconfig/glim.pc").read()


@test
def test_program_against_the_installed_library():
    if not os.path.exists(BUNDLED):
        return
    dest, prefix = install()
    source = os.path.join(TMP, "ask.c")
    with open(source, "w") as f:
        f.write(man_example())
    pc = open(f"{prefix}/lib/pkgconfig/glim.pc").read()
    flags = {m.group(1): m.group(2) for m in re.finditer(r"^([\w.]+): (.*)$", pc, re.M)}
    variables = dict(re.findall(r"^(\w+)=(.*)$", pc, re.M))

    def expand(text):
        while "${" in text:
            text = re.sub(r"\$\{(\w+)\}", lambda m: variables[m.group(1)], text)
        return text.replace("/opt/glim", prefix)
    warn = "-std=c11 -Wall -Wextra -Werror"
    shared, static = os.path.join(TMP, "ask-shared"), os.path.join(TMP, "ask-static")
    shell(f"cc {warn} {expand(flags['Cflags'])} {source} {expand(flags['Libs'])} -o {shared}")
    shell(f"cc {warn} {expand(flags['Cflags'])} {source} {prefix}/lib/libglim.a {expand(flags['Libs.private'])} -o {static}")
    model = MODEL or BUNDLED
    a = shell(f"LD_LIBRARY_PATH={prefix}/lib {shared} {model} Hello")
    assert a == shell(f"{static} {model} Hello")
    p = subprocess.run([static, "/nonexistent", "Hello"], capture_output=True, text=True)
    assert p.returncode == 1 and "/nonexistent" in p.stderr


@test
def test_header_from_cplusplus():
    if shutil.which("c++"):
        shell("printf '#include \"glim.h\"\\nint main() { return glim_version() == nullptr; }\\n' | "
              "c++ -x c++ -std=c++11 -Wall -Wextra -Iinclude -fsyntax-only -", cwd=ROOT)


@test
def test_library_exports_its_own_names_only():
    so = os.path.join(FOLDER if FLAVOUR == "werror" else os.path.join(ROOT, "build"), "libglim.so")
    if os.path.exists(so) and shutil.which("nm"):
        names = [line.split()[-1] for line in shell(f"nm -D --defined-only {so}").splitlines()]
        assert names and all(n.startswith("glim_") for n in names), [n for n in names if not n.startswith("glim_")]


@test
def test_program_through_a_link():
    if not os.path.exists(BUNDLED):
        return
    link = os.path.join(TMP, "linked-glim")
    os.symlink(GLIM, link)
    assert "glm-nano" in ok(glim("show", exe=link, cwd="/")).out


@test
def test_program_alone():
    """Without a model beside it: said plainly, and doctor still looks at the machine."""
    os.mkdir(os.path.join(TMP, "alone"))
    lone = os.path.join(TMP, "alone", "glim")
    shutil.copy2(GLIM, lone)
    p = subprocess.run([lone, "run", "Hi"], capture_output=True, text=True)
    assert p.returncode == 1 and "-m PATH" in p.stderr and p.stdout == "", p
    p = subprocess.run([lone, "doctor"], capture_output=True, text=True)
    assert p.returncode == 0 and "-m PATH" in p.stdout, p
