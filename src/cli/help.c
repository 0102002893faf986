/* help.c - what each verb is for, and --help, made from the tables of verbs and options. */
#include <stdio.h>
#include <string.h>

#include "cli/opts.h"

static const struct verb_info verbs[VERB_COUNT] = {
    [VERB_RUN] = {"run", "[PROMPT...]", "answer one prompt",
                  "Answers PROMPT, or what standard input holds when there is none or when it is "
                  "\"-\". The answer streams to "
                  "standard output. On a terminal the model's reasoning is dimmed; elsewhere it "
                  "stands between <think> and "
                  "</think>. Ctrl-C stops the answer, keeps what was printed, and exits with 130.",
                  "  glim run \"Tell me a story about a lantern.\"\n"
                  "  glim run --no-think --temp 0 -n 40 What is 12 plus 30?\n"
                  "  glim run --system \"Answer in French.\" < question.txt\n"
                  "  glim run --tools tools.json --json \"What is the weather in Oslo?\"\n"
                  "  glim run --ids 1,2,3 --print-ids --temp 0 -n 8\n",
                  4096},
    [VERB_CHAT] = {"chat", "", "talk with the model",
                   "A conversation with line editing and history. A line that ends in a backslash "
                   "goes on; a line of three "
                   "double quotes opens a block that another one closes. Ctrl-C stops the answer, "
                   "not the program; Ctrl-D ends "
                   "it. /reset starts anew, /undo takes back the last exchange, /effort "
                   "high|max|off sets how long the model may "
                   "reason, /stats shows tokens and speed, /help lists the commands. Without a "
                   "terminal it answers the lines "
                   "of standard input one by one.",
                   "  glim chat\n"
                   "  glim chat -m GLM-5.2-Q4_K_M-00001-of-00010.gguf --ctx 32768 --effort high\n"
                   "  printf 'Hello!\\nAnd again?\\n' | glim chat --no-think\n",
                   0},
    [VERB_SERVE] =
        {"serve", "", "the model behind OpenAI's and Anthropic's APIs",
         "Listens on this machine, port 4546, and answers chat completions, completions, model "
         "lists, tokenization and more (docs/server.md), streamed or whole, for several clients at "
         "a time. SIGTERM and Ctrl-C let answers in progress finish; the second one stops at "
         "once. --config reads options from a file: a line api-key = SECRET is --api-key SECRET.",
         "  glim serve\n"
         "  glim serve -m /models/GLM-5.2 --ctx 65536 --alias glm-5.2\n"
         "  glim serve --kv-dir ~/.cache/glim-kv --kv-dir-size 50G\n"
         "  glim serve --host 0.0.0.0 --api-key-file /etc/glim/keys\n",
         0},
    [VERB_LAUNCH] =
        {"launch", "CLIENT [-- ARGUMENT...]", "a coding agent on this model",
         "Starts claude, codex, opencode or aider with the environment that points it at a running "
         "glim serve. What stands behind -- is handed to the client.",
         "  glim launch claude\n"
         "  glim launch codex -- exec \"Explain this repository.\"\n"
         "  glim launch aider --url http://gpu-box:4546 --api-key-file key\n"
         "  eval \"$(glim launch claude --print)\"\n",
         4096},
    [VERB_SHOW] =
        {"show", "", "what a model file holds",
         "Configuration, parameters by group (total, active for one token, always on), types, "
         "sizes and the indexer's "
         "schedule (f = full layer, s = shares the last full layer's choice). Reads headers only.",
         "  glim show\n"
         "  glim show -m /models/GLM-5.2 --json\n"
         "  glim show --tensors | grep ffn\n",
         0},
    [VERB_PLAN] =
        {"plan", "", "what would live where, before anything is loaded",
         "Which parts stay in memory and which are read from disk for a given memory and context, "
         "the cache's size, "
         "bytes read for one token, and the tokens a second of generation that are predicted from "
         "them. A plan that does not run says what would. It is the plan that run, chat and bench "
         "follow with the same options.",
         "  glim plan --ram 64G --ctx 32768\n"
         "  glim plan -m /models/GLM-5.2 --ram 128G --bandwidth 80 --drive 7\n",
         0},
    [VERB_TOKENIZE] = {"tokenize", "", "text to token ids",
                       "Reads text on standard input; prints one token a line, id and text. --json "
                       "prints the ids as one array. "
                       "The model may be a folder that holds only tokenizer files.",
                       "  printf 'Hello, world' | glim tokenize\n"
                       "  glim tokenize --json --special < prompt.txt\n",
                       0},
    [VERB_DETOKENIZE] = {"detokenize", "[ID...]", "token ids to text",
                         "Takes ids as arguments or on standard input, separated by spaces, commas "
                         "or new lines, in brackets or not, "
                         "and prints their bytes as they are.",
                         "  glim detokenize 9703 11 1879\n"
                         "  glim tokenize --json < text | glim detokenize\n",
                         0x10000},
    [VERB_TEMPLATE] =
        {"template", "", "messages to prompt",
         "Reads a JSON object on standard input with messages, and optionally tools and the "
         "template's own arguments "
         "(reasoning_effort, enable_thinking, clear_thinking, add_generation_prompt), and prints "
         "the prompt verbatim. "
         "--ids prints its token ids as one array; text from messages never becomes a special "
         "token.",
         "  echo '{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}' | glim template\n"
         "  glim template --ids < request.json | glim run --ids -\n",
         0},
    [VERB_LOGITS] = {"logits", "", "the model's raw scores",
                     "Runs the tokens of --ids as a prompt and writes the logits that follow each "
                     "of them to --out: raw "
                     "little-endian f32, [n, vocab], row by row.",
                     "  glim logits --ids 1,2,3 --out logits.bin\n"
                     "  glim logits --ids prompt.ids --last --out - | od -t f4 | head\n"
                     "  glim logits --ids 1,2,3 --mtp --out mtp.bin\n",
                     0},
    [VERB_PPL] = {"ppl", "", "perplexity of a text",
                  "Cuts the text's tokens into windows of --ctx tokens, each behind the model's "
                  "start tokens ([gMASK]<sop>, "
                  "where it has them) on an empty cache, and scores every token of a window but "
                  "the first. --save-logits keeps "
                  "the scores; --against compares another model, or the same at other settings, "
                  "with them. With --against the "
                  "tokens come from that file and -f is not needed.",
                  "  glim ppl -f book.txt\n"
                  "  glim ppl -f book.txt -m big.gguf --save-logits big.logits\n"
                  "  glim ppl -m small.gguf --against big.logits --json\n",
                  0},
    [VERB_BENCH] = {"bench", "", "how fast this machine runs the model",
                    "Times a prompt of random tokens and generation after it, without drafts and "
                    "with them: a row for each combination of the lists given, named as "
                    "llama-bench names them. In the same run it measures what memory and the "
                    "multiplier give at most; generation is shown as a share of the first, which a "
                    "model that fits in the processor's cache may exceed, prompts as a share of "
                    "the second. Below it stands where the time of a token goes. With --drive "
                    "experts come as late as from a drive of those numbers instead of the true "
                    "one: a simulation.",
                    "  glim bench\n"
                    "  glim bench -p 512,2048 -n 128 -d 0,8192 -r 5 -t 1,2\n"
                    "  glim bench -p 0 -n 64 --mtp off --json\n"
                    "  glim bench --ram 20G --drive 7,80 -p 0 -n 32 --mtp off\n"
                    "  glim bench --csv --svg bench.svg > bench.csv\n",
                    0},
    [VERB_DOCTOR] = {"doctor", "", "what this machine has, and which path each part will take",
                     "Names the processor, instruction set, memory, the model that would be opened "
                     "and the code path of each of "
                     "its parts, and says what stands in the way, if anything does.",
                     "  glim doctor\n"
                     "  glim doctor -m /models/GLM-5.2 --json\n",
                     0},
    [VERB_VERIFY] = {"verify", "[MODEL]", "are a model's files what was published",
                     "Reads every file of MODEL (a GGUF file with all parts of its set, or a "
                     "folder), and compares its SHA-256 with what it should be: as --manifest or "
                     "--hub says, else as the hub's own download tool left it beside the files; "
                     "git's SHA-1 for the small files that a repository holds itself. A run that "
                     "was stopped goes on where it was, file by file. Exit status: 0 all files are "
                     "as expected, 1 one is not, is missing or cannot be read, 3 none of that, but "
                     "for some file no sum is known.",
                     "  glim verify /models/GLM-5.2-FP8\n"
                     "  glim verify GLM-5.2-Q4_K_M-00001-of-00010.gguf --hub unsloth/GLM-5.2-GGUF\n"
                     "  glim verify /models/GLM-5.2 --write SHA256SUMS\n"
                     "  glim verify /models/GLM-5.2 --manifest SHA256SUMS --json\n",
                     1},
    [VERB_MIRROR] =
        {"mirror", "plan|stage|verify MODEL DIR...",
         "copies of a model on other drives, to read from all at once",
         "plan: what would be copied to each folder, what room its drive has, how fast it reads, "
         "and what all drives together give against the first. stage: copies to one folder what "
         "is missing there, goes on where an earlier run was interrupted, and overwrites nothing. "
         "verify: compares every byte. A folder is then given to the verbs that compute as "
         "--mirror DIR. A drive without a copy is measured with a file of 64 MiB that is gone "
         "afterwards.",
         "  glim mirror plan /models/GLM-5.2.gguf /mnt/b /mnt/c\n"
         "  glim mirror stage /models/GLM-5.2.gguf /mnt/b\n"
         "  glim run -m /models/GLM-5.2.gguf --ram 20G --mirror /mnt/b \"...\"\n",
         9},
    [VERB_VERSION] = {"version", "", "the program's version", "", "  glim version\n", 0},
    [VERB_HELP] = {"help", "[VERB]", "this list, or the options of a verb", "", "  glim help run\n",
                   1},
};

const struct verb_info *verb_info(enum verb v) { return &verbs[v]; }

bool verb_find(const char *name, enum verb *out)
{
    for (int v = 0; v < VERB_COUNT; v++)
        if (strcmp(verbs[v].name, name) == 0) {
            *out = (enum verb)v;
            return true;
        }
    return false;
}

enum { COLUMNS = 80, HELP_COLUMN = 26 };

/* Prints words from column `at` on, broken before COLUMNS and indented. */
static void print_wrapped(const char *text, int at, int indent)
{
    while (*text) {
        const int len = (int)strcspn(text, " ");
        if (at > indent && at + 1 + len > COLUMNS) {
            printf("\n%*s", indent, "");
            at = indent;
        } else if (at > indent) {
            putchar(' ');
            at++;
        }
        printf("%.*s", len, text);
        at += len;
        text += len;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void print_option(const struct opt *p)
{
    char left[128];
    const char *const arg = p->kind == OPT_FLAG ? "" : p->arg;
    if (p->letter)
        snprintf(left, sizeof left, "  -%c, --%s %s", p->letter, p->name, arg);
    else
        snprintf(left, sizeof left, "      --%s %s", p->name, arg);
    int at = printf("%s", left);
    if (at >= HELP_COLUMN) {
        putchar('\n');
        at = 0;
    }
    printf("%*s", HELP_COLUMN - at, "");
    print_wrapped(p->help, HELP_COLUMN, HELP_COLUMN);
}

static void print_group(enum verb v, enum opt_group g)
{
    static const char *const title[GROUP_COUNT] = {"options", "sampling", "model", "advanced",
                                                   "general"};
    size_t n;
    const struct opt *const t = opt_table(&n);
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        if (t[i].group != g || !(t[i].verbs >> v & 1))
            continue;
        if (!any)
            printf("\n%s:\n", title[g]);
        any = true;
        print_option(&t[i]);
    }
}

void help_verb(enum verb v)
{
    const struct verb_info *const i = &verbs[v];
    printf("glim %s - %s\n\nusage: glim %s [OPTION...]%s%s\n", i->name, i->summary, i->name,
           *i->args ? " " : "", i->args);
    if (*i->text) {
        putchar('\n');
        print_wrapped(i->text, 0, 0);
    }
    for (int g = 0; g < GROUP_COUNT; g++)
        print_group(v, (enum opt_group)g);
    printf("\nexamples:\n%s", i->examples);
}

void help_all(void)
{
    printf("glim - run GLM-5.2 and its family on your own machine\n\nusage: glim VERB "
           "[OPTION...]\n\n");
    for (int v = 0; v < VERB_COUNT; v++)
        printf("  %-12s%s\n", verbs[v].name, verbs[v].summary);
    printf("\nglim help VERB lists a verb's options. -m PATH names the model: a GGUF file or a\n"
           "Hugging Face folder; without it the bundled model answers.\n\n"
           "  glim run \"Tell me a story about a lantern.\"\n"
           "  glim chat\n"
           "  glim show -m /models/GLM-5.2\n");
}
