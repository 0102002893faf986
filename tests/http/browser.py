"""The page at "/" in Chromium, driven by playwright. SHOTS=folder keeps screenshots."""
import atexit
import contextlib
import json
import os
import shutil
import threading

from playwright.sync_api import sync_playwright

from harness import SLOW, Server, shared, test

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WEATHER = json.dumps([{"type": "function", "function": {"name": "get_weather", "description": "Weather of a city",
                       "parameters": {"type": "object", "properties": {"city": {"type": "string"}},
                                      "required": ["city"]}}}])


_browser = None


def browser():
    """One for all tests; each has windows, keys and so on of its own."""
    global _browser
    if _browser is None:
        assert CHROMIUM, "no Chromium: run tools/setup on a machine that reaches Debian's packages"
        playwright = sync_playwright().start()
        _browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        atexit.register(lambda: (_browser.close(), playwright.stop()))
    return _browser


class Page:
    """A fresh window on the page of a server; leaving it checks that nothing was wrong or asked of others."""

    def __init__(self, server, errors=(), **context):
        self.server, self.allowed, self.context = server, errors, context
        self.wrong, self.foreign = [], []

    def __enter__(self):
        self.page = browser().new_context(**self.context).new_page()
        self.page.set_default_timeout(20000 * SLOW)
        own = f"http://127.0.0.1:{self.server.port}/"
        self.page.on("console", lambda m: m.type in ("error", "warning") and self.wrong.append(m.text))
        self.page.on("pageerror", lambda e: self.wrong.append(str(e)))
        self.page.on("request", lambda r: r.url.startswith((own, "data:")) or self.foreign.append(r.url))
        self.page.goto(own)
        return self

    def __exit__(self, kind, *_):
        self.page.context.close()
        if kind is None:
            wrong = [w for w in self.wrong if not any(a in w for a in self.allowed)]
            assert not wrong and not self.foreign, (wrong, self.foreign)

    def text(self, selector):
        return self.page.locator(selector).last.inner_text()

    def set(self, **fields):
        self.page.locator("#settings").evaluate("e => { e.open = true; }")
        for name, value in fields.items():
            self.page.locator("#" + name).fill(value)
        self.page.locator("#settings").evaluate("e => { e.open = false; }")

    def ask(self, text, whole=True):
        turns = self.page.locator(".turn")
        before = turns.count()
        self.page.locator("#prompt").fill(text)
        self.page.keyboard.press("Enter")
        turns.nth(before + 1).wait_for()
        if whole:
            self.done()

    def done(self):
        self.page.locator("#send").wait_for(state="visible")

    def shot(self, name):
        folder = os.environ.get("SHOTS")
        if folder:
            os.makedirs(folder, exist_ok=True)
            self.page.screenshot(path=os.path.join(folder, name + ".png"))


@test
def test_browser_chat():
    with Page(shared()) as p:
        p.set(temperature="0", max="200")
        p.ask("What is 12 plus 30?")
        want = shared().chat("What is 12 plus 30?", max_tokens=200).json["choices"][0]["message"]
        assert p.text(".turn.assistant > .text").split() == want["content"].split(), (p.text("#log"), want)
        thinking = p.page.locator(".thinking").last
        assert thinking.get_attribute("open") is None and "tokens" in thinking.inner_text(), thinking.inner_text()
        assert not p.page.locator(".thinking .text").last.is_visible()
        thinking.locator("summary").click()
        assert p.text(".thinking .text").split() == want["reasoning_content"].split()
        assert "tokens/s" in p.text(".foot p") and "from the cache" in p.text(".foot p"), p.text(".foot")
        p.ask("And 3 more?")
        assert p.page.locator(".turn").count() == 4 and p.page.get_by_role("button", name="Regenerate").count() == 1
        before = p.text(".turn.assistant > .text")
        with p.page.expect_response("**/v1/chat/completions"):
            p.page.get_by_role("button", name="Regenerate").click()
        p.done()
        assert p.page.locator(".turn").count() == 4 and p.text(".turn.assistant > .text") == before
        assert " 0 % from the cache" not in p.text(".foot p"), p.text(".foot p")
        p.page.locator("#new").click()
        assert p.page.locator(".turn").count() == 0 and p.page.locator("#empty").is_visible()


@test
def test_browser_effort_none_does_not_think():
    with Page(shared()) as p:
        p.set(temperature="0", max="60")
        p.page.locator("#effort").select_option("none")
        p.ask("What is 12 plus 30?")
        assert p.text(".turn.assistant > .text") and not p.page.locator(".thinking").last.is_visible()


@test
def test_browser_stop():
    s = shared()
    with Page(s) as p:
        p.set(temperature="1", max="1900")
        p.page.locator("#system").evaluate("e => { e.value = 'Talk on and on.'; }")
        p.page.route("**/v1/chat/completions", lambda r: r.continue_(post_data=json.dumps(
            {**json.loads(r.request.post_data), "logit_bias": {str(i): -100 for i in ends(s)}})))
        p.ask("Tell me a long story.", whole=False)
        p.page.locator(".foot p", has_text="about").wait_for()
        before = s.metrics()["glim_requests_stopped_total"]
        p.page.keyboard.press("Escape")
        p.done()
        assert "Stopped" in p.text(".foot p"), p.text(".foot")
        wait_until(p, lambda: s.metrics()["glim_requests_processing"] == 0)
        assert s.metrics()["glim_requests_stopped_total"] > before


def ends(s):
    """Tokens at which an answer would end."""
    names = ("<|endoftext|>", "<|user|>", "<|observation|>")
    ids = [s.post("/tokenize", {"content": n, "parse_special": True}).json["tokens"] for n in names]
    return [i[0] for i in ids if len(i) == 1]


def wait_until(p, condition):
    for _ in range(200 * SLOW):
        if condition():
            return
        p.page.wait_for_timeout(50)
    raise AssertionError("not in time")


def answer(*deltas, finish="stop"):
    """A stream as the server writes it."""
    chunks = [{"choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    return "".join(f"data: {json.dumps(c)}\n\n" for c in chunks) + "data: [DONE]\n\n"


@test
def test_browser_markdown_is_text():
    said = ("# Title\n\nSome **bold**, *thin* and `code <b>`.\n\n```c\nint main(void);\n```\n\n"
            "- one\n- two\n\n1. first\n\n"
            "<img src=x onerror=alert(1)><script>alert(2)</script> [x](javascript:alert(3))")
    with Page(shared()) as p:
        p.page.route("**/v1/chat/completions", lambda r: r.fulfill(
            content_type="text/event-stream", body=answer(*({"content": c} for c in said))))
        p.ask("Hi", whole=False)
        p.done()
        box = p.page.locator(".turn.assistant > .text")
        assert box.locator("img, script, a").count() == 0 and "<img src=x onerror" in box.inner_text(), box.inner_html()
        assert [box.locator(t).inner_text() for t in ("h3", "strong", "em", "p code", "pre")] == \
            ["Title", "bold", "thin", "code <b>", "int main(void);"], box.inner_html()
        assert box.locator("ul li").count() == 2 and box.locator("ol li").count() == 1
        p.shot("markdown")


@test
def test_browser_tools():
    asked = []
    calls = answer({"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "get_weather", "arguments": ""}}]},
                   {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]},
                   {"tool_calls": [{"index": 0, "function": {"arguments": '"Oslo"}'}}]}, finish="tool_calls")

    def serve(r):
        asked.append(json.loads(r.request.post_data))
        r.fulfill(content_type="text/event-stream", body=calls if len(asked) == 1 else answer({"content": "Rain."}))

    with Page(shared()) as p:
        p.page.route("**/v1/chat/completions", serve)
        p.set(tools=WEATHER)
        p.ask("Weather in Oslo?", whole=False)
        p.done()
        assert "get_weather" in p.text(".code > div") and '"city": "Oslo"' in p.text("pre"), p.text("#log")
        p.page.get_by_label("Result of get_weather").fill("rain, 4 degrees")
        p.shot("tools")
        p.page.get_by_role("button", name="Send results").click()
        p.page.get_by_text("Rain.", exact=True).wait_for()
        assert asked[0]["tools"] == json.loads(WEATHER)
        assert [m["role"] for m in asked[1]["messages"]] == ["user", "assistant", "tool"], asked[1]
        assert asked[1]["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"city":"Oslo"}'
        assert asked[1]["messages"][2] == {"role": "tool", "tool_call_id": "call_1", "content": "rain, 4 degrees"}
        p.set(tools="{")
        p.ask("again", whole=False)
        p.page.get_by_role("alert").filter(has_text="Tools: ").wait_for()


@test
def test_browser_errors():
    with Server("--ctx", "256") as s, Page(s, errors=("status of 400", "status of 503", "ERR_FAILED")) as p:
        p.ask("long " * 400, whole=False)
        p.page.get_by_role("alert").filter(has_text="maximum context length is 256 tokens").wait_for()
        p.page.locator("#new").click()
        busy = {"error": {"message": "The queue is full", "code": "server_is_overloaded"}}
        p.page.route("**/v1/chat/completions", lambda r: r.fulfill(status=503, json=busy))
        p.ask("Hi", whole=False)
        p.page.get_by_role("alert").filter(has_text="The queue is full").wait_for()
        p.shot("error")
        p.page.unroute("**/v1/chat/completions")
        p.set(max="5")
        p.page.get_by_role("button", name="Try again").click()
        p.page.locator(".foot p", has_text="cut at the limit").wait_for()
        assert p.page.locator(".error").count() == 0 and p.page.locator(".turn").count() == 2
        p.page.route("**/v1/chat/completions", lambda r: r.fulfill(
            content_type="text/event-stream", body=answer({"content": "half"}).replace("data: [DONE]\n\n", "")))
        p.ask("Hi", whole=False)
        p.page.get_by_role("alert").filter(has_text="before it was whole").wait_for()
        assert p.text(".turn.assistant > .text") == "half"


@test
def test_browser_key():
    with Server("--api-key", "secret", "--ctx", "256") as s, Page(s, errors=("status of 401",)) as p:
        p.page.locator("#ask-key").wait_for(state="visible")
        for key in ("wrong", "secret"):
            p.page.locator("#key").fill(key)
            p.page.keyboard.press("Enter")
            p.page.locator("#ask-key").wait_for(state="hidden" if key == "secret" else "visible")
            if key == "wrong":
                p.page.get_by_text("Unknown API key").wait_for()
        p.page.locator("#model", has_text="context 256").wait_for()
        p.set(max="4")
        p.ask("Hi")
        assert p.text(".foot p").find("4 tokens") > 0, p.text("#log")
        p.page.reload()
        p.page.locator("#model", has_text="context 256").wait_for()  # kept for the tab


@test
def test_browser_keyboard_alone():
    with Page(shared()) as p:
        p.page.locator("#model", has_text="nano").wait_for()
        focus = "document.activeElement.id || document.activeElement.tagName"
        assert p.page.evaluate(focus) == "prompt"
        p.page.keyboard.type("Hello!")
        p.page.keyboard.press("Enter")
        p.page.locator(".foot p", has_text="from the cache").wait_for()
        assert p.page.evaluate(focus) == "prompt"
        seen = []
        p.page.keyboard.press("Tab")
        p.page.keyboard.press("Tab")
        assert p.page.evaluate(focus) == "send"
        p.page.evaluate("document.activeElement.blur(), document.body.focus()")
        p.page.locator("h1").click()
        while "send" not in seen:
            p.page.keyboard.press("Tab")
            seen.append(p.page.evaluate(focus))
            assert p.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", seen
        assert seen[:3] == ["tab-chat", "new", "log"] and "prompt" in seen and "SUMMARY" in seen, seen
        p.page.locator("#tab-chat").focus()
        p.page.keyboard.press("ArrowRight")
        assert p.page.evaluate(focus) == "tab-engine" and p.page.locator("#figures").is_visible()
        assert p.page.locator("[role=tab]").evaluate_all("l => l.map(e => e.ariaSelected)") == ["false", "true"]


@contextlib.contextmanager
def kept_busy(s):
    """One answer after the other, however fast the machine is."""
    end = threading.Event()
    never = {str(i): -100 for i in ends(s)}

    def ask():
        while not end.is_set():
            s.chat("Tell me a long story.", max_tokens=1900, temperature=1, logit_bias=never)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        end.set()
        asking.join()


@test
def test_browser_engine():
    s = shared()
    with Page(s, viewport={"width": 1100, "height": 900}) as p, kept_busy(s):
        p.page.locator("#tab-engine").click()
        # What is seen at one moment, for the next may be between two answers.
        p.page.wait_for_function("""() => {
            const all = [...document.querySelectorAll("figure")];
            const label = f => f && f.querySelector("svg").getAttribute("aria-label") || "";
            const speed = all.find(f => f.innerText.includes("Tokens of answers"));
            return all.length && all.every(label) && label(all[0]).includes("1 of 32 places taken") &&
                all[0].querySelectorAll(".f-answer").length == 1 &&
                all.some(f => f.innerText.includes("Each request") && f.innerText.includes("answer,")) &&
                parseFloat(label(speed).replaceAll(",", "")) > 1;
        }""")
        p.shot("engine")
        titles = p.page.locator("figcaption").all_inner_texts()
        want = {"Requests now", "Each request", "Where the time goes", "Cache of prompts", "Weights"}
        assert want <= set(titles), titles


@test
def test_browser_engine_streamed():
    """What a server that streams says, given instead of this one's."""
    at = {"wanted": 0}

    def metrics(r):
        at["wanted"] += 1000
        n = at["wanted"]
        own = r.fetch().text()
        r.fulfill(body=own + "".join(f"glim_{k} {v}\n" for k, v in {
            "experts_wanted_total": n, "experts_hit_total": n * 0.7, "expert_bytes_read_total": n * 4e6,
            "expert_wait_seconds_total": n / 2e4, "expert_room_bytes": 4e6, "always_bytes": 2e6,
            'drive_bytes_read_total{drive="0"}': n * 3e6, 'drive_bytes_read_total{drive="1"}': n * 1e6}.items()))

    with Page(shared(), viewport={"width": 1100, "height": 1100}) as p:
        p.page.route("**/metrics", metrics)
        p.page.locator("#tab-engine").click()
        p.page.wait_for_timeout(3500)
        drives = p.page.locator("figure", has_text="Experts and drives")
        assert "70 % of experts were in memory" in drives.locator("svg").get_attribute("aria-label")
        assert drives.get_by_text("drive 1: 25 %").count() == 1
        p.shot("engine-streamed")


@test
def test_browser_sizes_and_colours():
    said = ("Forty-two is **the** answer:\n\n```python\n"
            "print(12 + 30)  # a line of code that is longer than a phone is wide\n```\n"
            "\n1. Take 12.\n2. Add 30.\n\nThat is all.")
    body = answer({"reasoning_content": "The user wants a sum. "}, {"content": said})
    for scheme in ("light", "dark"):
        for width in (390, 1200):
            with Page(shared(), color_scheme=scheme, viewport={"width": width, "height": 800}) as p:
                p.page.locator("#model", has_text="nano").wait_for()
                p.page.route("**/v1/chat/completions", lambda r: r.fulfill(content_type="text/event-stream", body=body))
                p.ask("What is 12 plus 30? Show me the code, too.", whole=False)
                p.done()
                p.shot(f"chat-{scheme}-{width}")
                over = "document.documentElement.scrollWidth > innerWidth"
                assert not p.page.evaluate(over), width
                p.page.locator("#tab-engine").click()
                p.page.wait_for_timeout(1500)
                assert not p.page.evaluate(over), width
                p.shot(f"engine-{scheme}-{width}")
