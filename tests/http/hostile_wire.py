"""Hostile bytes and the answers to them: a table for hostile.py.

A row is (name, what is sent, status, what the answer says). A status of 0: the connection ends without an answer. Each
is sent on a connection of its own, whose sending side is closed behind it.
"""
BODY = b'{"content":"x"}'
HOST = b"Host: localhost\r\n"
TYPE = b"Content-Type: application/json\r\n"
LENGTH = b"Content-Length: 15\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
WHOLE = b"f\r\n" + BODY + b"\r\n0\r\n\r\n"
DONE = '{"tokens":['
OK = '{"status":"ok"}'


def get(line, *headers):
    return line + b"\r\n" + HOST + b"".join(headers) + b"\r\n"


def health(*headers):
    return get(b"GET /health HTTP/1.1", *headers)


def path(p):
    return get(b"GET " + p + b" HTTP/1.1")


def host(value):
    return b"GET /health HTTP/1.1\r\nHost: " + value + b"\r\n\r\n"


def post(*headers, body=BODY):
    return b"POST /tokenize HTTP/1.1\r\n" + HOST + b"".join(headers) + b"\r\n" + body


def length(value, **kw):
    return post(TYPE, b"Content-Length:" + value + b"\r\n", **kw)


def chunks(body):
    return post(TYPE, CHUNKED, body=body)


def kind(*types):
    return post(LENGTH, *[b"Content-Type:" + t + b"\r\n" for t in types])


ROWS = [
    # the first line
    ("no version", b"GET /health\r\n\r\n", 400, "malformed"),
    ("HTTP/0.9", get(b"GET /health HTTP/0.9"), 505, "not supported"),
    ("HTTP/1.0", get(b"GET /health HTTP/1.0"), 200, OK),
    ("HTTP/1.2", get(b"GET /health HTTP/1.2"), 200, OK),
    ("HTTP/2.0", get(b"GET /health HTTP/2.0"), 505, "not supported"),
    ("HTTP/3", get(b"GET /health HTTP/3"), 400, "malformed"),
    ("HTTP/1.10", get(b"GET /health HTTP/1.10"), 400, "malformed"),
    ("HTTP/1.1x", get(b"GET /health HTTP/1.1x"), 400, "malformed"),
    ("http/1.1", get(b"GET /health http/1.1"), 400, "malformed"),
    ("HTP/1.1", get(b"GET /health HTP/1.1"), 400, "malformed"),
    ("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 505, "not supported"),
    ("TLS's hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 5 + b"\r\n\r\n", 0, ""),
    ("no request", b"", 0, ""),
    ("half a line", b"GET /hea", 0, ""),
    ("blanks", b"   \r\n\r\n", 0, ""),
    ("tabs for spaces", get(b"GET\t/health\tHTTP/1.1"), 0, ""),
    ("a space behind", get(b"GET /health HTTP/1.1 "), 400, "malformed"),
    ("empty lines before", b"\r\n" * 100 + health(), 200, OK),
    ("bare line feeds", b"GET /health HTTP/1.1\nHost: localhost\n\n", 200, OK),
    ("bare carriage returns", b"GET /health HTTP/1.1\rHost: localhost\r\r", 0, ""),
    ("PUT", get(b"PUT /health HTTP/1.1"), 405, "takes GET, HEAD, OPTIONS"),
    ("PATCH", get(b"PATCH /tokenize HTTP/1.1"), 405, "takes POST, HEAD, OPTIONS"),
    ("DELETE", get(b"DELETE /v1/models/nano HTTP/1.1"), 405, "takes GET, HEAD, OPTIONS"),
    ("TRACE", get(b"TRACE /health HTTP/1.1"), 405, "takes GET, HEAD, OPTIONS"),
    ("CONNECT", get(b"CONNECT evil.example:443 HTTP/1.1"), 404, "There is nothing at evil.example:443"),
    ("get", get(b"get /health HTTP/1.1"), 405, "takes GET, HEAD, OPTIONS"),
    ("an unknown method", get(b"FROB /tokenize HTTP/1.1"), 405, "takes POST, HEAD, OPTIONS"),
    ("a long method", get(b"A" * 9000 + b" /tokenize HTTP/1.1"), 405, "takes POST, HEAD, OPTIONS"),
    ("a 0 in the method", get(b"GE\0T /tokenize HTTP/1.1"), 405, "takes POST, HEAD, OPTIONS"),
    ("OPTIONS *", get(b"OPTIONS * HTTP/1.1"), 404, "There is nothing at *"),
    ("OPTIONS", get(b"OPTIONS /tokenize HTTP/1.1"), 204, ""),
    # paths
    ("absolute", path(b"http://evil.example/health"), 404, "There is nothing at http://evil.example/health"),
    ("a file", path(b"file:///etc/passwd"), 404, "There is nothing at"),
    ("two slashes", path(b"//health"), 404, "There is nothing at //health"),
    ("no slash", path(b"health"), 404, "There is nothing at health"),
    ("upwards", path(b"/../../etc/passwd"), 404, "There is nothing at /../../etc/passwd"),
    ("upwards from a model", path(b"/v1/models/../../etc/passwd"), 404, "model_not_found"),
    ("upwards in code", path(b"/v1/models/..%2f..%2fetc%2fpasswd"), 404, "model_not_found"),
    ("backslashes", path(b"/v1/models/..\\..\\etc"), 404, "model_not_found"),
    ("upwards from a response", path(b"/v1/responses/resp_../../../etc/passwd"), 404, "not found"),
    ("%00 behind", path(b"/health%00"), 404, "There is nothing at /health%00"),
    ("%00 within", path(b"/v1/models/%00nano"), 404, "%00nano"),
    ("%", path(b"/health%"), 404, "/health%"),
    ("%zz", path(b"/health%zz"), 404, "/health%zz"),
    ("%2", path(b"/health%2"), 404, "/health%2"),
    ("code twice", path(b"/v1%252fmodels"), 404, "/v1%2fmodels"),
    ("an overlong slash", path(b"/%c0%af"), 404, "There is nothing at /??"),
    ("a line's end in the path", path(b"/x%0d%0aSet-Cookie:%20a=b"), 404, "/x??Set-Cookie"),
    ("a line's end in the query", path(b"/health?a=%0d%0aX:%20y"), 200, OK),
    ("a terminal's code", path(b"/\x1b[31m"), 404, "/?[31m"),
    ("no UTF-8", path(b"/v1/models/\xe9"), 404, "model_not_found"),
    ("a carriage return", path(b"/hea\rlth"), 404, "/hea?lth"),
    ("8 kB", path(b"/" + b"a" * 8000), 404, "There is nothing at /aaa"),
    ("64 kB", path(b"/" + b"a" * 64000), 414, "too big"),
    ("5,000 arguments", path(b"/health?" + b"a=b&" * 5000), 0, ""),
    # Host
    ("no Host", b"GET /health HTTP/1.1\r\n\r\n", 400, "Host"),
    ("no Host in 1.0", b"GET /health HTTP/1.0\r\n\r\n", 200, OK),
    ("two Hosts", health(b"Host: evil.example\r\n"), 400, 'Header \\"Host\\": there twice'),
    ("one Host twice", health(HOST), 400, 'Header \\"Host\\": there twice'),
    ("an empty Host", host(b""), 403, "--allowed-host"),
    ("a list of Hosts", host(b"localhost, evil"), 403, "--allowed-host"),
    ("a user in Host", host(b"localhost@evil"), 403, "--allowed-host"),
    ("a path in Host", host(b"localhost/evil"), 403, "--allowed-host"),
    ("a name behind Host", host(b"localhost.evil"), 403, "--allowed-host"),
    ("a long Host", host(b"a" * 5000), 403, "--allowed-host"),
    ("a Host of bytes", host(b"\xff\xfe"), 403, "--allowed-host"),
    ("letters for a port", host(b"localhost:http"), 403, "--allowed-host"),
    # headers
    ("a space before the colon", health(b"X-A : b\r\n"), 400, "no name of a header"),
    ("a length with a space", post(b"Content-Length : 15\r\n"), 400, "no name of a header"),
    ("a name with a space", health(b"X Y: b\r\n"), 400, "no name of a header"),
    ("a name in brackets", health(b"X(Y): b\r\n"), 400, "no name of a header"),
    ("a name of bytes", health(b"X\xff: b\r\n"), 400, "no name of a header"),
    ("no colon", health(b"nonsense\r\n"), 400, "malformed"),
    ("a folded line", health(b"X-A: a\r\n b\r\n"), 200, OK),
    ("a folded first line", b"GET /health HTTP/1.1\r\n Host: localhost\r\n\r\n", 400, "Host"),
    ("a 0 in a name", health(b"X\0A: b\r\n"), 400, "malformed"),
    ("a carriage return in a value", health(b"X-A: a\rb\r\n"), 400, "a control character"),
    ("control characters", health(b"X-A: \x01\x1b\x7f\r\n"), 400, "a control character"),
    ("a value of bytes", health(b"X-A: \xe9\xff\r\n"), 200, OK),
    ("8 kB in a header", health(b"X: " + b"y" * 8000 + b"\r\n"), 200, OK),
    ("1 MB in a header", health(b"X: " + b"y" * 1_000_000 + b"\r\n"), 431, "too big"),
    ("100 headers", health(b"X: y\r\n" * 100), 200, OK),
    ("1,001 headers", health(b"X: y\r\n" * 1001), 431, "too big"),
    ("20,000 headers", health(b"X:\r\n" * 20000), 431, "too big"),
    ("headers without an end", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: y", 0, ""),
    ("a key twice", health(b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), 400, "there twice"),
    ("many ranges", get(b"GET / HTTP/1.1", b"Range: bytes=0-0," + b"1-1," * 1000 + b"2-2\r\n"), 200, "<!doctype html>"),
    ("an upgrade", health(b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMA\r\n"), 200, OK),
    ("a socket of the web", get(b"GET /v1/responses HTTP/1.1", b"Upgrade: websocket\r\nConnection: Upgrade\r\n"), 405, "takes POST"),
    # lengths
    *[(f"the length {v.decode('latin-1')}", length(v), 400, "Content-Length") for v in (
        b" +15", b" -1", b" 1 5", b"", b" 0xf", b" 15,15", b" 15, 16", b" 15.0", b" 1e1", b" \xef\xbc\x91\xef\xbc\x95")],
    ("the length 2^64", length(b" 18446744073709551616"), 413, "too large"),
    ("the length 2^64-1", length(b" 18446744073709551615"), 413, "request_too_large"),
    ("the length 2^63", length(b" 9223372036854775808"), 413, "request_too_large"),
    ("the length 0015", length(b" 0015"), 200, DONE),
    ("the same length twice", post(TYPE, LENGTH, LENGTH), 400, "there twice"),
    ("two lengths", post(TYPE, LENGTH, b"Content-Length: 20\r\n"), 400, "there twice"),
    ("two lengths, the first less", post(TYPE, b"Content-Length: 5\r\n", LENGTH), 400, "there twice"),
    ("a body that ends too soon", length(b" 100"), 0, ""),
    ("a body that goes on", length(b" 5"), 400, "invalid_json"),
    ("no length", post(TYPE, body=b""), 400, "invalid_json"),
    # codings
    ("length, then chunks", post(TYPE, LENGTH, CHUNKED, body=WHOLE), 400, "expected one of them"),
    ("chunks, then length", post(TYPE, CHUNKED, LENGTH, body=WHOLE), 400, "expected one of them"),
    ("another's request in the chunks", post(TYPE, LENGTH, CHUNKED, body=b"0\r\n\r\n" + health()), 400, "expected one of them"),
    ("chunks twice", post(TYPE, CHUNKED, CHUNKED, body=WHOLE), 400, "there twice"),
    *[(f"the coding {v.decode('latin-1')}", post(TYPE, b"Transfer-Encoding: " + v + b"\r\n", body=WHOLE), 400,
       "Transfer-Encoding") for v in (b"xchunked", b"identity", b"gzip, chunked", b"chunked, identity", b'"chunked"',
                                      b"\x0bchunked", b"chunked;q=1", b"")],
    ("CHUNKED", post(TYPE, b"Transfer-Encoding: CHUNKED\r\n", body=WHOLE), 200, DONE),
    *[(f"the chunk {v[:8].decode('latin-1')}", chunks(v + b"\r\n" + BODY + b"\r\n0\r\n\r\n"), 400, "chunked encoding")
      for v in (b"-1", b"+f", b"0xf", b" f", b"f ", b"", b"g", b"f,f")],
    ("a chunk of 2^64", chunks(b"10000000000000000\r\n" + BODY), 413, "too large"),
    ("a chunk of 2^64-1", chunks(b"ffffffffffffffff\r\n" + BODY), 0, ""),
    ("a chunk of many digits", chunks(b"0" * 5000 + WHOLE), 200, DONE),
    ("a chunk with words", chunks(b"f;x=y\r\n" + WHOLE[3:]), 200, DONE),
    ("a chunk with 1 MB of words", chunks(b"f;" + b"x" * 1_000_000 + b"\r\n" + WHOLE[3:]), 500, "Internal server error"),
    ("a chunk without an end", chunks(b"f\r\n" + BODY + b"0\r\n\r\n"), 400, "chunked encoding"),
    ("a chunk that is too short", chunks(b"5\r\n" + BODY + b"\r\n0\r\n\r\n"), 400, "chunked encoding"),
    ("no last chunk", chunks(b"f\r\n" + BODY + b"\r\n"), 0, ""),
    ("trailers", chunks(WHOLE[:-2] + b"X: y\r\n\r\n"), 200, DONE),
    ("a length in the trailers", chunks(WHOLE[:-2] + b"Content-Length: 3\r\n\r\n"), 200, DONE),
    ("100,000 trailers", chunks(WHOLE[:-2] + b"X: y\r\n" * 100_000 + b"\r\n"), 431, "too big"),
    ("chunks of one byte", chunks(b"".join(b"1\r\n%c\r\n" % c for c in BODY + b" " * 5000) + b"0\r\n\r\n"), 200, DONE),
    ("a body for GET", health(b"Content-Length: 5\r\n") + b"12345", 200, OK),
    ("an expectation", post(TYPE, LENGTH, b"Expect: 200-ok\r\n"), 200, DONE),
    # what a body is
    ("gzip", post(TYPE, LENGTH, b"Content-Encoding: gzip\r\n"), 415, "Content-Encoding"),
    ("identity and br", post(TYPE, LENGTH, b"Content-Encoding: identity, br\r\n"), 415, "Content-Encoding"),
    *[(f"the type {t.decode()}", kind(b" " + t), 415, "Content-Type") for t in (
        b"text/xml", b"", b"text/plain; application/json", b"text/plain,application/json", b"text/plain\tapplication/json",
        b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=json")],
    ("two types", kind(b" application/json", b" text/plain"), 400, "there twice"),
    # pages of others
    *[(f"a page of {o.decode()}", health(b"Origin: " + o + b"\r\n"), 403, "--cors-origin") for o in (
        b"null", b"https://evil.example", b"http://localhost@evil", b"ftp://localhost", b"evil://localhost",
        b"x://y://localhost", b"http://localhost.evil", b"")],
    ("pages of two", health(b"Origin: http://localhost\r\nOrigin: https://evil.example\r\n"), 400, "there twice"),
]
