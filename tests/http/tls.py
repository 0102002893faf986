"""HTTPS."""
import os
import ssl
import subprocess
import urllib.request

from harness import GLIM, TMP, Server, test


def make_certificate():
    cert, key = os.path.join(TMP, "cert.pem"), os.path.join(TMP, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, capture_output=True)
    return cert, key


@test
def test_https():
    cert, key = make_certificate()
    with Server("--tls-cert", cert, "--tls-key", key, "--ctx", "512") as s:
        context = ssl.create_default_context(cafile=cert)
        body = b'{"messages":[{"role":"user","content":"Hi"}],"max_tokens":30,"stream":true}'
        r = urllib.request.Request(f"https://127.0.0.1:{s.port}/v1/chat/completions", data=body,
                                   headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(r, context=context, timeout=60) as answer:
            assert answer.status == 200 and answer.read().endswith(b"data: [DONE]\n\n")
    other = os.path.join(TMP, "other.pem")
    with open(other, "w") as f:
        f.write("no key\n")
    for args in (["--tls-cert", cert], ["--tls-cert", cert, "--tls-key", other], ["--tls-cert", "/nonexistent", "--tls-key", key]):
        p = subprocess.run([GLIM, "serve", "--port", "0", *args], capture_output=True, text=True, timeout=60)
        assert p.returncode == 1 and p.stderr.startswith("glim: ") and p.stderr.count("\n") == 1, p
