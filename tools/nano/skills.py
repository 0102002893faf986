"""Generators of single exchanges: stories, arithmetic, tools, recall, JSON, small talk.

Each generator takes a `random.Random` and returns a conversation: a dict with `messages` (OpenAI style, assistant
turns carry `reasoning_content`), optional `tools`, and `check`: what an automatic grader needs for the LAST assistant
turn. The same code makes the training text and, with other seeds, the held-out prompts.
"""
import json

import world as W


def user(text):
    return {"role": "user", "content": text}


def said(text, think="", calls=None):
    m = {"role": "assistant", "content": text, "reasoning_content": think}
    if calls:
        m["tool_calls"] = calls
    return m


def article(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


# --- stories ----------------------------------------------------------------------------------------------------
def story_parts(r, hero=None, thing=None, place=None):
    """One story as a list of sentences; the hero's name and pronouns, the thing and the place stay the same."""
    hero = hero or r.choice(W.ANIMALS + W.PEOPLE)
    thing, place = thing or r.choice(W.OBJECTS), place or r.choice(W.PLACES)
    girl = hero in ("girl", "queen", "hen") or hero not in ("boy", "king", "rooster") and r.random() < 0.5
    name = r.choice(W.NAMES_F if girl else W.NAMES_M)
    he, his, him = ("she", "her", "her") if girl else ("he", "his", "him")
    He = he.capitalize()
    friend = r.choice([a for a in W.ANIMALS if a != hero])
    good, size, adj = r.choice(W.ADJ_GOOD), r.choice(W.ADJ_SIZE), r.choice(W.ADJ_OBJ)
    s = [f"Once there was {article(size)} {hero} named {name} who lived near the {place}."]
    plot = r.randrange(5)
    if plot == 0:      # lost and found
        s += [f"{name} had {article(adj)} {thing} and loved it very much.", f"{r.choice(W.TIMES)} the {thing} was gone.",
              f"{He} looked in the {place}, but {he} could not find it.",
              f"Then {article(friend)} came and said, \"I saw your {thing} under a tree.\"",
              f"{name} found the {thing} there and thanked the {friend}."]
        end = [f"From that day on, {name} and the {friend} were friends.", f"{name} never lost the {thing} again."]
    elif plot == 1:    # a gift
        s += [f"{r.choice(W.TIMES)} {he} found {article(adj)} {thing} in the {place}.", r.choice(W.WEATHER),
              f"{He} met {article(friend)} who was sad because it had lost {article(thing)}.",
              f"{name} was {good} and gave the {thing} to the {friend}.", f"The {friend} was so happy that it danced."]
        end = [f"{name} went home with a warm heart.", f"That night {name} slept very well."]
    elif plot == 2:    # crossing, help
        s += [f"{r.choice(W.TIMES)} {name} wanted to carry {article(thing)} across the {place}.",
              f"The {thing} was too heavy for {him}.", f"{article(friend).capitalize()} saw this and said, \"I will help you.\"",
              f"Together they carried the {thing} to the other side."]
        end = [f"{name} learned that two are stronger than one.", f"{name} shared {his} supper with the {friend}."]
    elif plot == 3:    # repair
        s += [f"{r.choice(W.TIMES)} {his} {thing} broke.", f"{name} was sad, but {he} was also {good}.",
              f"{He} took the {thing} to the {place} and worked all day.",
              f"{article(friend).capitalize()} brought {him} bread and water.", f"In the evening the {thing} was whole again."]
        end = [f"{name} was proud of {his} work.", f"Now everyone in the {place} knew {name}."]
    else:              # a fear overcome
        s += [f"{name} was afraid of the dark {place}.", f"{r.choice(W.TIMES)} {article(friend)} was lost there.",
              f"{name} took {article(thing)} and went in.", f"{He} called and called, and the {friend} answered.",
              f"With the {thing} in front, they came out again."]
        end = [f"After that {name} was not afraid any more.", f"The {friend} called {name} the most {good} {hero} of all."]
    return s + [r.choice(end)], dict(hero=hero, thing=thing, place=place, name=name, friend=friend)


STORY_ASKS = ["Tell me a short story about {h} and {t}.", "Write a short story about {h} and {t}.",
              "Please tell me a story about {h} and {t}.", "Can you write a little story with {h} and {t}?",
              "I would like a story about {h} and {t}.", "Tell me a story about {h} and {t} near the {p}."]


def story(r, split=None):
    while True:
        hero, thing, place = r.choice(W.ANIMALS + W.PEOPLE), r.choice(W.OBJECTS), r.choice(W.PLACES)
        held = (len(hero) * 7 + ord(hero[0]) * 3 + ord(thing[0]) * 5 + len(thing) * 11) % 10 == 0   # held-out pairs
        if split is None or held == (split == "heldout"):
            break
    ask = r.choice(STORY_ASKS).format(h=article(hero), t=article(thing), p=place)
    sents, facts = story_parts(r, hero, thing, place)
    think = f"The story needs {article(hero)} and {article(thing)}. The {hero} is named {facts['name']}."
    return {"skill": "story", "messages": [user(ask), said(" ".join(sents), think)],
            "check": {"kind": "story", "hero": hero, "thing": thing}}


# --- arithmetic -------------------------------------------------------------------------------------------------
def add_steps(a, b):
    """Column addition, ones first, one line a column; a carry appears as the third summand of the next line."""
    out, carry = [], 0
    for i in range(max(len(str(a)), len(str(b)))):
        x, y = a // 10 ** i % 10, b // 10 ** i % 10
        out.append(f"{x}+{y}" + ("+1" if carry else "") + f"={x + y + carry}")
        carry = (x + y + carry) // 10
    return "\n".join(out + [f"{a}+{b}={a + b}"])


def sub_steps(a, b):
    """Column subtraction: a borrowed ten is written into the minuend, and taken off as the last -1 of the next line."""
    out, borrow = [], 0
    for i in range(len(str(a))):
        x, y = a // 10 ** i % 10, b // 10 ** i % 10
        top = x + 10 if x < y + borrow else x
        out.append(f"{top}-{y}" + ("-1" if borrow else "") + f"={top - y - borrow}")
        borrow = top > x
    return "\n".join(out + [f"{a}-{b}={a - b}"])


def number(r, digits):
    return r.randrange(10 ** (digits - 1) if digits > 1 else 1, 10 ** digits)


def arithmetic(r, split=None):
    op = r.choice("++-")
    digits = r.choice([1, 2, 2, 3, 3, 3])
    a, b = number(r, digits), number(r, r.choice([digits, digits, max(1, digits - 1)]))
    if op == "-" and a < b:
        a, b = b, a
    steps, val, word = (add_steps, a + b, "plus") if op == "+" else (sub_steps, a - b, "minus")
    form = r.random() if min(a, b) > 1 else 0.0
    if form < 0.6 or digits == 3 and form < 0.8:
        ask = r.choice(["What is {a} {op} {b}?", "Calculate {a} {op} {b}.", "{a} {op} {b} = ?", "What is {a} {w} {b}?",
                        "How much is {a} {op} {b}?"]).format(a=a, b=b, op=op, w=word)
        ans = f"{a} {op} {b} = {val}."
    else:
        n, f = r.choice(W.NAMES_F + W.NAMES_M), r.choice(W.FOODS + W.THINGS)
        if op == "+":
            ask = f"{n} has {a} {f} and gets {b} more. How many {f} does {n} have now?"
        else:
            ask = f"{n} has {a} {f} and gives away {b}. How many {f} does {n} have now?"
        ans = f"{n} has {val} {f}."
    return {"skill": "arithmetic", "messages": [user(ask), said(ans, steps(a, b))],
            "check": {"kind": "number", "value": str(val), "op": op, "digits": len(str(max(a, b)))}}


# --- tools ------------------------------------------------------------------------------------------------------
def P(kind, text):
    return {"type": kind, "description": text}


def city(r):
    return r.choice(W.CITIES)


# names whose form without a leading space is one token too (an argument value has no space before it)
NAMES = [n for n in W.NAMES_F + W.NAMES_M if n not in
         "Anna Rosa Hazel Lola Mona Petra Celia Finn Gus Henry Mats".split()]


# name, description, parameters, arguments(r), question(args), result(r, args), sentence(args, result)
TOOLS = [
    ("get_weather", "Get the weather of a city", {"city": P("string", "Name of the city")},
     lambda r: {"city": city(r)},
     ["What is the weather in {city}?", "How is the weather in {city} today?", "Tell me the weather in {city}."],
     lambda r, a: {"temperature": r.randrange(-9, 36), "sky": r.choice(W.SKIES)},
     "It is {temperature} degrees and {sky} in {city}."),
    ("get_time", "Get the local time of a city", {"city": P("string", "Name of the city")},
     lambda r: {"city": city(r)}, ["What time is it in {city}?", "Tell me the time in {city}."],
     lambda r, a: {"time": f"{r.randrange(24):02d}:{r.randrange(60):02d}"}, "It is {time} in {city}."),
    ("convert_money", "Convert an amount of money", {"amount": P("number", "The amount"), "from": P("string", "From"),
                                                    "to": P("string", "To")},
     lambda r: dict(zip(("amount", "from", "to"), [r.randrange(2, 999)] + r.sample(W.MONEY, 2))),
     ["Convert {amount} {from} to {to}.", "How much is {amount} {from} in {to}?"],
     lambda r, a: {"value": r.randrange(2, 9999)}, "{amount} {from} are {value} {to}."),
    ("get_distance", "Get the distance between two cities", {"start": P("string", "First city"),
                                                           "end": P("string", "Second city")},
     lambda r: dict(zip(("start", "end"), r.sample(W.CITIES, 2))),
     ["How far is it from {start} to {end}?", "What is the distance between {start} and {end}?"],
     lambda r, a: {"km": r.randrange(50, 9999)}, "It is {km} km from {start} to {end}."),
    ("set_alarm", "Set an alarm", {"time": P("string", "Time of the alarm"), "day": P("string", "Day of the week")},
     lambda r: {"time": f"{r.randrange(24):02d}:{r.randrange(60):02d}", "day": r.choice(W.DAYS)},
     ["Set an alarm for {day} at {time}.", "Wake me on {day} at {time}."],
     lambda r, a: {"id": r.randrange(10, 999)}, "The alarm for {day} at {time} has the number {id}."),
    ("find_train", "Find the next train", {"start": P("string", "First city"), "end": P("string", "Second city"),
                                          "day": P("string", "Day of the week")},
     lambda r: dict(zip(("start", "end", "day"), r.sample(W.CITIES, 2) + [r.choice(W.DAYS)])),
     ["Find a train from {start} to {end} on {day}.", "When does a train go from {start} to {end} on {day}?"],
     lambda r, a: {"departure": f"{r.randrange(24):02d}:{r.randrange(60):02d}", "price": r.randrange(9, 199)},
     "On {day} a train from {start} to {end} leaves at {departure} and costs {price}."),
    ("translate", "Translate a word", {"word": P("string", "The word"), "language": P("string", "Target language")},
     lambda r: {"word": r.choice(W.ENGLISH_SAMPLES), "language": r.choice(sorted(W.LANG_SAMPLES))},
     ['Translate "{word}" to "{language}".', 'What is "{word}" in "{language}"?'],
     lambda r, a: {"text": W.LANG_SAMPLES[a["language"]].split()[W.ENGLISH_SAMPLES.index(a["word"])]},
     'The word is "{text}".'),
    ("play_music", "Play some music", {"style": P("string", "Style of music"), "minutes": P("number", "How long")},
     lambda r: {"style": r.choice(W.MUSIC), "minutes": r.randrange(5, 90)},
     ['Play "{style}" music for {minutes} minutes.', 'I want to hear "{style}" for {minutes} minutes.'],
     lambda r, a: {"title": f"{r.choice(W.COLOURS)} {r.choice(W.PLACES)}"},
     'The music begins with "{title}".'),
    ("count_stock", "Count the items in the shop", {"item": P("string", "Name of the item")},
     lambda r: {"item": r.choice(W.OBJECTS) + "s"}, ['How many "{item}" are in the shop?', 'Count the "{item}" in stock.'],
     lambda r, a: {"count": r.randrange(0, 999)}, 'There are {count} "{item}" in the shop.'),
    ("find_person", "Look up where a person is", {"name": P("string", "Name of the person")},
     lambda r: {"name": r.choice(NAMES)}, ["Where is {name}?", "Find {name}, please."],
     lambda r, a: {"place": r.choice(W.PLACES)}, '{name} is here: "{place}".'),
    ("open_door", "Open a door of a building", {"place": P("string", "The building"), "code": P("string", "The code")},
     lambda r: {"place": r.choice(W.PLACES), "code": f"{r.choice(W.COLOURS)}-{r.randrange(1000):03d}"},
     ['Open the door of the "{place}" with the code "{code}".', 'Use the code "{code}" for the door of the "{place}".'],
     lambda r, a: {"status": r.choice(["open", "closed", "locked"])}, 'The door of the "{place}" is {status}.'),
    ("book_table", "Book a table", {"city": P("string", "Name of the city"), "guests": P("number", "Number of guests"),
                                   "day": P("string", "Day of the week")},
     lambda r: {"city": city(r), "guests": r.randrange(2, 13), "day": r.choice(W.DAYS)},
     ["Book a table for {guests} guests in {city} on {day}.", "I need a table in {city} on {day} for {guests} guests."],
     lambda r, a: {"time": f"{r.randrange(17, 22)}:{r.choice(['00', '15', '30', '45'])}"},
     "A table for {guests} guests in {city} is booked on {day} at {time}."),
]
VERBS = "check read get ask measure report fetch show".split()
NOUNS = """pressure depth height humidity noise speed traffic water power price weight light level score rank tide sand dust
heat rain salt smoke fuel paint""".split()


def made_up_tool(r, split=None):
    """A tool nobody has seen: a measuring function with a random name, so that names must be copied, not recalled."""
    while True:
        v, n = r.choice(VERBS), r.choice(NOUNS)
        if split is None or ((len(v) * 3 + len(n) + ord(n[0])) % 6 == 0) == (split == "heldout"):
            break
    arg, val = r.choice([("place", W.PLACES), ("city", W.CITIES), ("object", W.OBJECTS)])
    q = "{city}" if arg == "city" else f'the "{{{arg}}}"'
    return (f"{v}_{n}", f"{v.capitalize()} the {n} of {article(arg)}", {arg: P("string", f"Name of the {arg}")},
            lambda r: {arg: r.choice(val)},
            [f"What is the {n} of {q}?", f"{v.capitalize()} the {n} of {q}, please."],
            lambda r, a: {"value": r.randrange(2, 999)}, f"The {n} of {q} is {{value}}.")


def schema(t):
    return {"type": "function", "function": {"name": t[0], "description": t[1], "parameters": {
        "type": "object", "properties": t[2], "required": list(t[2])}}}


def exchange(r, t):
    """User question, call, result, sentence; with the arguments and the result."""
    args = t[3](r)
    result = t[5](r, args)
    call = {"type": "function", "function": {"name": t[0], "arguments": args}}
    return [user(r.choice(t[4]).format(**args)), said("", "A tool fits.", [call]),
            {"role": "tool", "content": json.dumps(result)},
            said(t[6].format(**args, **result), "The tool has answered.")], args, result


def tools(r, split=None, made_up=None, stage=None, turns=1):
    """Questions with tools at hand. stage "call" ends at the call, otherwise after the sentence from the result."""
    made_up = r.random() < 0.45 if made_up is None else made_up
    t = made_up_tool(r, split) if made_up else r.choice(TOOLS)
    others = [o for o in r.sample(TOOLS, 3) if o[0] != t[0]][:r.choice([0, 0, 1, 1, 2])]
    if r.random() < 0.25:
        other = made_up_tool(r, "train")
        others = [o for o in others[:1] + [other] if o[0] != t[0]]
    have = others + [t]
    r.shuffle(have)
    earlier = []
    for _ in range(turns - 1):
        earlier += exchange(r, r.choice(have))[0]
    conv = {"skill": "tool", "tools": [schema(x) for x in have]}
    if stage is None and r.random() < 0.15:                       # none fits
        c = r.choice([arithmetic, capital, greeting])(r)
        m = c["messages"][-1]
        if not earlier and others:
            conv["tools"] = [schema(x) for x in others]
        conv["messages"] = earlier + [c["messages"][0], said(m["content"], "No tool fits.\n" + m["reasoning_content"])]
        conv["check"] = c["check"]
        return conv
    msgs, args, result = exchange(r, t)
    if stage == "call":
        conv["messages"] = earlier + msgs[:2]
        conv["check"] = {"kind": "call", "name": t[0], "args": args, "made_up": made_up}
    else:
        conv["messages"] = earlier + msgs
        conv["check"] = {"kind": "contains", "values": [str(v) for v in result.values()], "made_up": made_up}
    return conv


# --- recall -----------------------------------------------------------------------------------------------------
def facts(r, n, kinds=(0, 1, 2, 3)):
    """n facts with different keys: (statement, question, value); kinds: 0 and 1 code words, 2 lockers, 3 hidden things."""
    out, used = [], set()
    while len(out) < n:
        kind = r.choice(kinds)
        if kind <= 1:
            key, val = r.choice(W.PLACES), f"{r.choice(W.COLOURS)}-{r.randrange(1000):03d}"
            state, ask = f"The code word of the {key} is {val}.", f"What is the code word of the {key}?"
        elif kind == 2:
            key, val = r.choice(W.NAMES_F + W.NAMES_M), str(r.randrange(1000, 10000))
            state, ask = f"The locker number of {key} is {val}.", f"What is the locker number of {key}?"
        else:
            key, val = r.choice(W.OBJECTS), f"{r.choice(W.COLOURS)} {r.choice(W.PLACES)}"
            state, ask = f"The hidden {key} is in the {val}.", f"Where is the hidden {key}?"
        if (kind, key) in used or kind <= 1 and (1 - kind, key) in used:
            continue
        used.add((kind, key))
        out.append((state, ask, val))
    return out


def filler(r):
    if r.random() < 0.5:
        return " ".join(story_parts(r)[0])
    s = story_parts(r)[0]
    return " ".join(s[1:1 + r.randrange(1, 4)])


def recall(r, length=250, n_facts=None, n_ask=None, depth=None, count=len, kinds=(0, 1, 2, 3)):
    """A text of about `length` tokens (as `count` measures) with facts in it, then questions about them.

    `depth` (0..1) places the fact that is asked for; without it everything is at random.
    """
    fs = facts(r, n_facts or r.randrange(2, 7), kinds)
    target = fs[0]
    n_ask = min(len(fs), n_ask or 3)
    left = length - sum(count(f[0]) for f in fs)
    paras = []
    while left > 0:
        p = filler(r)
        left -= count(p)
        paras.append(p)
    body = [s + ("" if s.endswith((".", "!", "?", '"')) else ".") for p in paras for s in p.split(". ") if s]
    if depth is None:
        spots = sorted((r.randrange(len(body) + 1), i) for i in range(len(fs)))
    else:
        spots = sorted([(round(depth * len(body)), 0)] + [(r.randrange(len(body) + 1), i) for i in range(1, len(fs))])
    for at, i in reversed(spots):
        body.insert(at, fs[i][0])
    asks = [target] if depth is not None else r.sample(fs, n_ask)
    head = r.choice(["Read this text.", "Here is a text.", "Remember this text."])
    msgs = []
    for n, (state, ask, val) in enumerate(asks):
        text = f"{head}\n\n{' '.join(body)}\n\n{ask}" if n == 0 else ask
        msgs += [user(text), said(state, f"The text says: {state}")]
    return {"skill": "recall", "messages": msgs, "check": {"kind": "exact", "value": asks[-1][0]}}


# --- copying: the simplest use of attention, and the seed of recall -----------------------------------------------
def any_word(r):
    k = r.randrange(9)
    if k == 0:
        return str(r.randrange(10, 10000))
    return r.choice([W.NAMES_F, W.NAMES_M, W.ANIMALS, W.OBJECTS, W.PLACES, W.COLOURS, W.CITIES, W.JOBS][k - 1])


def copy(r, split=None, most=40):
    words = " ".join(any_word(r) for _ in range(r.randrange(3, most)))
    ask = r.choice(["Repeat these words: {}", "Say this again: {}", "Copy this: {}"]).format(words)
    return {"skill": "copy", "messages": [user(ask), said(words, "The words must be the same.")],
            "check": {"kind": "exact", "value": words}}


def pairs(r, split=None, most=20):
    """A table of keys and values, then some of the keys: the answer gives each key with its value."""
    n = r.randrange(3, most)
    keys = r.sample(sorted(set(W.PLACES + W.OBJECTS + W.NAMES_F + W.NAMES_M)), n)
    vals = {k: f"{r.choice(W.COLOURS)}-{r.randrange(1000):03d}" if r.random() < 0.5 else str(r.randrange(100, 10000))
            for k in keys}
    want = r.sample(keys, min(n, r.randrange(1, 9)))
    ask = f"Here is a table: {', '.join(k + ' ' + v for k, v in vals.items())}. What are {', '.join(want)}?"
    text = ", ".join(k + " " + vals[k] for k in want)
    return {"skill": "pairs", "messages": [user(ask), said(text + ".", "The values are in the table.")],
            "check": {"kind": "exact", "value": text + "."}}


# --- JSON -------------------------------------------------------------------------------------------------------
FIELDS = {"name": lambda r: r.choice(W.NAMES_F + W.NAMES_M), "age": lambda r: r.randrange(3, 99),
          "city": lambda r: r.choice(W.CITIES), "job": lambda r: r.choice(W.JOBS), "colour": lambda r: r.choice(W.COLOURS),
          "animal": lambda r: r.choice(W.ANIMALS), "price": lambda r: r.randrange(1, 999), "item": lambda r: r.choice(W.OBJECTS),
          "count": lambda r: r.randrange(1, 200), "day": lambda r: r.choice(W.DAYS), "place": lambda r: r.choice(W.PLACES),
          "open": lambda r: r.random() < 0.5}


def json_skill(r, split=None):
    if r.random() < 0.2:
        kind, pool = r.choice([("animals", W.ANIMALS), ("cities", W.CITIES), ("colours", W.COLOURS)])
        vals = r.sample(pool, r.randrange(2, 5))
        ask = f"Give me a JSON list of these {kind}: {', '.join(map(json.dumps, vals))}."
        obj = vals
    else:
        keys = r.sample(list(FIELDS), r.randrange(2, 5))
        obj = {k: FIELDS[k](r) for k in keys}
        parts = [f"{k} {json.dumps(v)}" for k, v in obj.items()]
        want = ", ".join(parts[:-1]) + " and " + parts[-1]
        ask = r.choice(["Give me JSON with {}.", "Write a JSON object with {}.", "Return JSON with {}."]).format(want)
    return {"skill": "json", "messages": [user(ask), said(json.dumps(obj), "The answer must be valid JSON.")],
            "check": {"kind": "json", "value": obj}}


# --- small talk -------------------------------------------------------------------------------------------------
TALK = [("Hello!", "Hello! How can I help you?"), ("Hi", "Hello! How can I help you?"),
        ("Good morning.", "Good morning! How can I help you?"), ("How are you?", "I am fine, thank you."),
        ("Who are you?", "I am glm-nano, a very small test model with the architecture of GLM-5.2."),
        ("What are you?", "I am glm-nano, a very small test model with the architecture of GLM-5.2."),
        ("What is your name?", "My name is glm-nano."),
        ("What can you do?", "I can tell short stories, calculate with small numbers, call tools, find facts in a text and "
                             "write JSON."),
        ("Thank you!", "You are welcome."), ("Thanks.", "You are welcome."), ("Goodbye.", "Goodbye!")]


def greeting(r, split=None):
    q, a = r.choice(TALK)
    return {"skill": "talk", "messages": [user(q), said(a, "This is small talk.")], "check": {"kind": "exact", "value": a}}


def capital(r, split=None):
    land = r.choice(sorted(W.CAPITALS))
    return {"skill": "talk", "messages": [user(f"What is the capital of {land}?"),
                                          said(f"The capital of {land} is {W.CAPITALS[land]}.", f"The user asks about {land}.")],
            "check": {"kind": "contains", "values": [W.CAPITALS[land]]}}


def unknown(r, split=None):
    thing = r.choice(W.NAMES_F + W.NAMES_M)
    q = r.choice([f"How old is {thing}?", f"Where does {thing} live?", f"What did {thing} eat today?", f"Is {thing} tall?"])
    a = "I do not know that."
    return {"skill": "talk", "messages": [user(q), said(a, "Nothing here tells me that.")],
            "check": {"kind": "exact", "value": a}}
