"""lm-evaluation-harness with tasks of its own, and its figures against the model's own logits. Run by tests/http/evals."""
import array
import json
import math
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import harness  # noqa: E402
from harness import GLIM, TMP, shared, test  # noqa: E402

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_HOME=os.path.join(TMP, "hf"), TQDM_DISABLE="1")
TOLERANCE = 2e-4  # of a sum of some ten log-probabilities, printed with nine digits

QUESTIONS = [
    {"q": "What is 12 plus 30?", "choices": ["12 + 30 = 42.", "12 + 30 = 17.", "Oslo"], "gold": 0},
    {"q": "Once upon a time", "choices": [" there was a", " lantern of the", " 42"], "gold": 0},
    {"q": "The capital of India is", "choices": [" Delhi.", " Paris.", " a lantern."], "gold": 0},
    {"q": "Tell me a story about a <|user|> lantern.", "choices": [" Yes.", " No."], "gold": 1},
]
TASKS = {
    "glim_choice": """
output_type: multiple_choice
doc_to_text: "{{q}}"
doc_to_choice: "{{choices}}"
doc_to_target: gold
target_delimiter: ""
metric_list: [{metric: acc}, {metric: acc_norm}]
""",
    "glim_text": """
output_type: generate_until
doc_to_text: "{{q}}"
doc_to_target: "{{choices[0]}}"
generation_kwargs: {until: ["."], max_gen_toks: 12, do_sample: false, temperature: 0}
metric_list: [{metric: exact_match}]
""",
    "glim_rolling": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{q}}{{choices[0]}}"
metric_list: [{metric: word_perplexity}, {metric: byte_perplexity}, {metric: bits_per_byte}]
""",
}


def tasks():
    folder = os.path.join(TMP, "tasks")
    if os.path.isdir(folder):
        return folder
    os.makedirs(folder)
    data = os.path.join(folder, "questions.jsonl")
    with open(data, "w") as f:
        f.writelines(json.dumps(q) + "\n" for q in QUESTIONS)
    for name, text in TASKS.items():
        with open(os.path.join(folder, name + ".yaml"), "w") as f:
            f.write(f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {data}}}}}\n"
                    f"test_split: test\n{text}")
    return folder


def evaluate(task, model="local-completions", path="/v1/completions", args="", **kw):
    """Its results, and its samples in the order of the questions."""
    import lm_eval
    from lm_eval.tasks import TaskManager
    out = lm_eval.simple_evaluate(
        model=model, model_args=f"model=nano,base_url=http://127.0.0.1:{shared().port}{path},max_retries=1{args}",
        tasks=[task], task_manager=TaskManager(include_path=tasks(), include_defaults=False), bootstrap_iters=0,
        log_samples=True, **kw)
    return out["results"][task], sorted(out["samples"][task], key=lambda s: s["doc_id"])


def tokens(text):
    return shared().post("/tokenize", {"content": text, "parse_special": True}).json["tokens"]


def scores(ids):
    """Of each token but the first: its log-probability, and whether none is likelier. From `glim logits`."""
    raw = subprocess.run([GLIM, "logits", "--ids", "-", "-o", "-"], input=",".join(map(str, ids)).encode(),
                         stdout=subprocess.PIPE, check=True).stdout
    rows = array.array("f", raw)
    width = len(rows) // len(ids)
    out = []
    for at, token in enumerate(ids[1:]):
        row = rows[at * width:(at + 1) * width]
        top = max(row)
        out.append((row[token] - top - math.log(sum(math.exp(x - top) for x in row)), row[token] == top))
    return out


def expected_choices():
    """[question][choice] = (sum, greedy), cut into context and continuation as lm-eval does."""
    out = []
    for q in QUESTIONS:
        begin = len(tokens(q["q"]))
        all_of = [scores(tokens(q["q"] + c))[begin - 1:] for c in q["choices"]]
        out.append([(sum(x for x, _ in s), all(g for _, g in s)) for s in all_of])
    return out


def check_choices(want, got, samples):
    for q, s in zip(want, samples):
        for (value, greedy), r in zip(q, s["filtered_resps"]):
            assert abs(value - r[0]) < TOLERANCE and greedy == r[1], (want, s["filtered_resps"])
    best = [max(range(len(q)), key=lambda i: q[i][0]) for q in want]
    right = [float(b == q["gold"]) for b, q in zip(best, QUESTIONS)]
    assert got["acc,none"] == sum(right) / len(right), (got, right)


REMOTE = ",tokenizer_backend=remote"  # what it finds by itself here


@test
def test_lm_eval_finds_the_tokenizer():
    from lm_eval.utils import RemoteTokenizer, check_remote_tokenizer_support
    url = f"http://127.0.0.1:{shared().port}/v1/completions"
    assert check_remote_tokenizer_support(url)
    t = RemoteTokenizer(url)
    assert [t.eos_token_id] == tokens("<|endoftext|>") and t.decode(tokens("A lantern.")) == "A lantern.", t.eos_token_id
    messages = [{"role": "user", "content": "Hi"}]
    want = shared().post("/apply-template", {"messages": messages}).json["prompt"]
    got = t.apply_chat_template(messages, tools=None)  # its Jinja takes no name that it was not given
    assert got == want, (got, want)
    assert t.encode(want) == tokens(want)


@test
def test_lm_eval_multiple_choice():
    want = expected_choices()
    for args, batch in (("", 1), (REMOTE, 4), (REMOTE + ",num_concurrent=4", 1), (REMOTE + ",num_concurrent=2", 2)):
        check_choices(want, *evaluate("glim_choice", args=args, batch_size=batch))


@test
def test_lm_eval_rolling():
    """Perplexity: every token counts, the first behind the end of a text."""
    (end,) = tokens("<|endoftext|>")
    want = [sum(x for x, _ in scores([end] + tokens(q["q"] + q["choices"][0]))) for q in QUESTIONS]
    for args in (REMOTE, REMOTE + ",num_concurrent=3"):
        got, samples = evaluate("glim_rolling", args=args)
        for value, s in zip(want, samples):
            assert abs(value - s["filtered_resps"][0]) < TOLERANCE, (want, s["filtered_resps"])
        length = sum(len((q["q"] + q["choices"][0]).encode()) for q in QUESTIONS)
        bits = -sum(want) / length / math.log(2)
        assert abs(got["bits_per_byte,none"] - bits) < TOLERANCE, (got, bits)


@test
def test_lm_eval_generates():
    def made(q):
        return shared().post("/v1/completions", {"prompt": tokens(q), "max_tokens": 12, "temperature": 0, "seed": 1234,
                                                 "stop": [".", "<|endoftext|>"]}).json["choices"][0]["text"]
    want = [made(q["q"]) for q in QUESTIONS]
    for args, batch in ((REMOTE, 1), (REMOTE + ",num_concurrent=4", 1), (REMOTE, 3)):
        got, samples = evaluate("glim_text", args=args, batch_size=batch)
        assert [s["resps"][0][0] for s in samples] == want, ([s["resps"] for s in samples], want)
        right = [w == q["choices"][0] for w, q in zip(want, QUESTIONS)]
        assert got["exact_match,none"] == sum(right) / len(right), got


@test
def test_lm_eval_chats():
    def said(q):
        return shared().post("/v1/chat/completions", {"messages": [{"role": "user", "content": q}], "max_tokens": 12,
                                                      "temperature": 0, "stop": ["."]}).json["choices"][0]["message"]["content"]
    _, samples = evaluate("glim_text", model="local-chat-completions", path="/v1/chat/completions", args=",num_concurrent=2",
                          apply_chat_template=True)
    want = [said(q["q"]) or "" for q in QUESTIONS]
    assert [s["resps"][0][0] or "" for s in samples] == want, ([s["resps"] for s in samples], want)


if __name__ == "__main__":
    sys.exit(harness.main())
