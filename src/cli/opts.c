/* opts.c - see opts.h: the table, and what an option is that nobody gave. */
#include "cli/opts.h"

#include <math.h>
#include <string.h>

#include "base/util.h"

#define V(x) (1u << VERB_##x)

enum {
    TALK = V(RUN) | V(CHAT),
    DRAFTS = TALK | V(BENCH) | V(SERVE),
    COMPUTE = TALK | V(LOGITS) | V(PPL) | V(BENCH) | V(SERVE),
    OPENS = COMPUTE | V(SHOW) | V(PLAN) | V(DOCTOR),
    NAMES_MODEL = OPENS | V(TOKENIZE) | V(DETOKENIZE) | V(TEMPLATE) | V(VERIFY),
    ALL_VERBS = (1u << VERB_COUNT) - 1,
};

#define AT(field) offsetof(struct opts, field)
#define MANY 1073741824.0 /* 2^30: more tokens than any model of the family takes */

static const struct opt table[] = {
    /* what to say and what to print */
    {"system", 0, OPT_TEXT, GROUP_VERB, TALK, "TEXT", 0, 0, AT(system),
     "system message before the conversation"},
    {"effort", 0, OPT_CHOICE, GROUP_VERB, TALK, "default|high|max|off", 0, 0, AT(effort),
     "how long the model may reason; off: no reasoning [as the model's template says]"},
    {"no-think", 0, OPT_FLAG, GROUP_VERB, TALK, NULL, 0, 0, AT(no_think), "same as --effort off"},
    {"no-reasoning", 0, OPT_FLAG, GROUP_VERB, TALK, NULL, 0, 0, AT(no_reasoning),
     "let the model reason, but do not print it"},
    {"tools", 0, OPT_TEXT, GROUP_VERB, V(RUN), "FILE", 0, 0, AT(tools),
     "JSON array of functions that the model may call; calls are printed, not made"},
    {"messages", 0, OPT_TEXT, GROUP_VERB, V(RUN), "FILE", 0, 0, AT(messages),
     "a conversation instead of a prompt: JSON as for glim template, or an array of messages (- = "
     "standard input)"},
    {"raw", 0, OPT_FLAG, GROUP_VERB, V(RUN), NULL, 0, 0, AT(raw),
     "continue the text itself: no chat template"},
    {"ids", 0, OPT_TEXT, GROUP_VERB, V(RUN) | V(LOGITS), "LIST", 0, 0, AT(ids),
     "token ids as they are: 1,2,3 or a file that holds them (- = standard input)"},
    {"print-ids", 0, OPT_FLAG, GROUP_VERB, V(RUN), NULL, 0, 0, AT(print_ids),
     "print the ids of the answer's tokens instead of its text"},
    {"special", 0, OPT_FLAG, GROUP_VERB, V(TOKENIZE) | V(PPL), NULL, 0, 0, AT(special),
     "match added tokens such as <|user|> in the text [they are plain text]"},
    {"skip-special", 0, OPT_FLAG, GROUP_VERB, V(DETOKENIZE), NULL, 0, 0, AT(skip_special),
     "leave out role tokens"},
    {"ids", 0, OPT_FLAG, GROUP_VERB, V(TEMPLATE), NULL, 0, 0, AT(want_ids),
     "print the prompt's token ids"},
    {"tensors", 0, OPT_FLAG, GROUP_VERB, V(SHOW), NULL, 0, 0, AT(tensors), "list every tensor"},
    {"out", 'o', OPT_TEXT, GROUP_VERB, V(LOGITS), "FILE", 0, 0, AT(out),
     "where the logits go, raw little-endian f32 (- = standard output)"},
    {"last", 0, OPT_FLAG, GROUP_VERB, V(LOGITS), NULL, 0, 0, AT(last), "only the last row"},
    {"mtp", 0, OPT_FLAG, GROUP_VERB, V(LOGITS), NULL, 0, 0, AT(mtp),
     "logits of the draft layer instead, for every token but the first: [n - 1, vocab]"},
    {"decode", 0, OPT_FLAG, GROUP_VERB, V(LOGITS) | V(PPL), NULL, 0, 0, AT(decode),
     "sum as generation does, token by token, instead of as a prompt"},
    {"file", 'f', OPT_TEXT, GROUP_VERB, V(PPL), "FILE", 0, 0, AT(file),
     "the text (- = standard input)"},
    {"save-logits", 0, OPT_TEXT, GROUP_VERB, V(PPL), "FILE", 0, 0, AT(save_logits),
     "keep the tokens and every scored row of logits for --against"},
    {"against", 0, OPT_TEXT, GROUP_VERB, V(PPL), "FILE", 0, 0, AT(against),
     "compare with logits that --save-logits kept: mean and largest KL divergence, top-1 "
     "agreement"},
    {"sessions", 0, OPT_INT, GROUP_VERB, V(PLAN), "N", 1, 65536, AT(sessions),
     "conversations at a time [1]"},
    {"bandwidth", 0, OPT_REAL, GROUP_VERB, V(PLAN), "GB/S", 0.001, 1e6, AT(ram_gb_s),
     "what generation reads of memory in a second, to predict with: GB/s of a tg row of glim bench "
     "[20]"},
    {"drive", 0, OPT_DRIVE, GROUP_VERB, V(PLAN), "GB/S[,US[,N]]", 0.001, 1e6, AT(drive),
     "drive to predict with: bandwidth, latency, reads at once [3,80,32]"},
    {"drive", 0, OPT_DRIVE, GROUP_VERB, V(BENCH), "GB/S[,US[,N]]", 0.001, 1e6, AT(drive),
     "simulate a drive: experts come as late as from one of this bandwidth, latency [80] and reads "
     "at once [32]; what is read should fit into the system's cache [the true drive]"},
    {"use", 0, OPT_CHOICE, GROUP_VERB, V(PLAN), "measured|uniform", 0, 0, AT(use),
     "how often experts are chosen: as reported for GLM-5.2, or all equally [measured]"},
    {"hit-rate", 0, OPT_REAL, GROUP_VERB, V(PLAN), "X", 0, 1, AT(hit_rate),
     "share of experts that are in memory when wanted, where glim bench has told it [by --use]"},
    {"prompt", 'p', OPT_LIST, GROUP_VERB, V(BENCH), "N,...", 0, MANY, AT(prompt_tok),
     "prompt tokens to time; 0 = no prompt [512]"},
    {"tokens", 'n', OPT_LIST, GROUP_VERB, V(BENCH), "N,...", 0, MANY, AT(decode_tok),
     "tokens to generate; 0 = none [128]"},
    {"depth", 'd', OPT_LIST, GROUP_VERB, V(BENCH), "N,...", 0, MANY, AT(depth_tok),
     "tokens in the cache before the clock starts [0]"},
    {"reps", 'r', OPT_INT, GROUP_VERB, V(BENCH), "N", 1, 1000, AT(reps),
     "times to repeat; the median is given [5]"},
    {"svg", 0, OPT_TEXT, GROUP_VERB, V(BENCH), "FILE", 0, 0, AT(svg),
     "draw the results too: shares of the machine's limits, and time by stage"},
    {"csv", 0, OPT_FLAG, GROUP_VERB, V(BENCH), NULL, 0, 0, AT(csv),
     "one line of comma-separated values a test instead of text"},
    {"manifest", 0, OPT_TEXT, GROUP_VERB, V(VERIFY), "FILE", 0, 0, AT(manifest),
     "compare with these sums, as sha256sum writes them, names relative to the model's folder "
     "[what the hub's download tool left beside the files]"},
    {"hub", 0, OPT_TEXT, GROUP_VERB, V(VERIFY), "OWNER/NAME[@REVISION]", 0, 0, AT(hub),
     "compare with the sums of this repository, asked for over the network [no network]"},
    {"endpoint", 0, OPT_TEXT, GROUP_VERB, V(VERIFY), "URL", 0, 0, AT(endpoint),
     "the server of --hub [https://huggingface.co]"},
    {"write", 'w', OPT_TEXT, GROUP_VERB, V(VERIFY), "FILE", 0, 0, AT(write),
     "write the sums found as a manifest, unless a file is wrong (- = standard output)"},
    {"fresh", 0, OPT_FLAG, GROUP_VERB, V(VERIFY), NULL, 0, 0, AT(fresh),
     "read all files, those too that an earlier run has read and that are unchanged"},

    {"host", 0, OPT_TEXT, GROUP_VERB, V(SERVE), "ADDRESS", 0, 0, AT(host),
     "address to listen on; one that others reach needs a key [127.0.0.1]"},
    {"port", 0, OPT_INT, GROUP_VERB, V(SERVE), "N", 0, 65535, AT(port),
     "port to listen on; 0 = any that is free [4546]"},
    {"api-key", 0, OPT_TEXTS, GROUP_VERB, V(SERVE), "KEY", 0, 0, AT(api_key),
     "who asks must send this key; other users of this machine see it in the process list: better "
     "--api-key-file or --config; may be given several times [no key]"},
    {"api-key-file", 0, OPT_TEXT, GROUP_VERB, V(SERVE), "FILE", 0, 0, AT(api_key_file),
     "keys, one a line"},
    {"tls-cert", 0, OPT_TEXT, GROUP_VERB, V(SERVE), "FILE", 0, 0, AT(tls_cert),
     "certificate chain (PEM) to speak HTTPS with"},
    {"tls-key", 0, OPT_TEXT, GROUP_VERB, V(SERVE), "FILE", 0, 0, AT(tls_key),
     "its private key (PEM)"},
    {"allowed-host", 0, OPT_TEXTS, GROUP_VERB, V(SERVE), "NAME", 0, 0, AT(allowed_host),
     "another name of this server, for the Host header; may be given several times [localhost and "
     "the loopback addresses; any where the server listens for others]"},
    {"cors-origin", 0, OPT_TEXTS, GROUP_VERB, V(SERVE), "ORIGIN", 0, 0, AT(cors_origin),
     "web pages that may ask, as https://chat.example; * = all; may be given several times [none]"},
    {"alias", 0, OPT_TEXT, GROUP_VERB, V(SERVE), "NAME", 0, 0, AT(alias),
     "what the model is called [its own name, made fit for paths]"},
    {"any-model", 0, OPT_FLAG, GROUP_VERB, V(SERVE), NULL, 0, 0, AT(any_model),
     "answer whatever model a request names"},
    {"reasoning-field", 0, OPT_CHOICE, GROUP_VERB, V(SERVE),
     "reasoning_content|reasoning|both|none", 0, 0, AT(reasoning_field),
     "what chat completions call the reasoning; requests may call it either [reasoning_content]"},
    {"parallel", 0, OPT_INT, GROUP_VERB, V(SERVE), "N", 1, 64, AT(parallel),
     "requests to work on at a time [32]"},
    {"queue", 0, OPT_INT, GROUP_VERB, V(SERVE), "N", 1, 65536, AT(queue),
     "requests that may wait; more are refused [256]"},
    {"queue-per-key", 0, OPT_INT, GROUP_VERB, V(SERVE), "N", 1, 65536, AT(queue_per_key),
     "of these, of one API key [half of --queue; all of it where there is one key or none]"},
    {"timeout", 0, OPT_INT, GROUP_VERB, V(SERVE), "SECONDS", 1, 31536000, AT(timeout_s),
     "most time for a request, its wait included [86400, a day]"},
    {"cache-tokens", 0, OPT_INT, GROUP_VERB, V(SERVE), "N", 1, MANY, AT(cache_tok),
     "room for tokens of running requests and kept prompts together [2 x --ctx]"},
    {"limits", 0, OPT_TEXT, GROUP_VERB, V(SERVE), "NAME=N,...", 0, 0, AT(limits),
     "of HTTP: body, bodies, output (bytes); connections, per-source (0 = none); header, upload, "
     "idle, stall (seconds) [see docs/server.md]"},
    {"prompt-share", 0, OPT_REAL, GROUP_VERB, V(SERVE), "X", 0.01, 1, AT(prompt_share),
     "share of the time for prompts while others get their answers [0.4]"},
    {"kv-dir", 0, OPT_TEXT, GROUP_VERB, V(SERVE), "DIR", 0, 0, AT(kv_dir),
     "keep prompts here too, for after a restart; a folder of your own, made if need be [memory "
     "only]"},
    {"kv-dir-size", 0, OPT_SIZE, GROUP_VERB, V(SERVE), "SIZE", 1, 1e18, AT(kv_dir_bytes),
     "room for them, as 50G; those not used for the longest time go [20 GB]"},
    {"kv-encrypt", 0, OPT_FLAG, GROUP_VERB, V(SERVE), NULL, 0, 0, AT(kv_encrypt),
     "encrypt what is kept on disk with the API key of whoever asked: no other finds or reads it"},
    {"slot-save-path", 0, OPT_TEXT, GROUP_VERB, V(SERVE), "DIR", 0, 0, AT(slot_save_path),
     "a folder for what POST /slots/N?action=save is asked to keep [none is kept]"},
    {"config", 0, OPT_TEXT, GROUP_VERB, V(SERVE), "FILE", 0, 0, AT(config),
     "options from a file, name = value; the command line counts more"},
    {"log", 0, OPT_CHOICE, GROUP_VERB, V(SERVE), "off|errors|requests|debug", 0, 0, AT(log),
     "what to say on standard error [errors]"},

    {"url", 0, OPT_TEXT, GROUP_VERB, V(LAUNCH), "URL", 0, 0, AT(url),
     "where glim serve listens [http://127.0.0.1:4546]"},
    {"api-key", 0, OPT_TEXTS, GROUP_VERB, V(LAUNCH), "KEY", 0, 0, AT(api_key),
     "the server's key; other users of this machine see it in the process list [none]"},
    {"api-key-file", 0, OPT_TEXT, GROUP_VERB, V(LAUNCH), "FILE", 0, 0, AT(api_key_file),
     "its first line is the key"},
    {"alias", 0, OPT_TEXT, GROUP_VERB, V(LAUNCH), "NAME", 0, 0, AT(alias),
     "what the server calls its model [the server is asked, also for its context]"},
    {"print", 0, OPT_FLAG, GROUP_VERB, V(LAUNCH), NULL, 0, 0, AT(print),
     "print the environment, as a shell takes it, and start nothing"},

    /* sampling */
    {"max-tokens", 'n', OPT_INT, GROUP_SAMPLING, TALK, "N", 1, MANY, AT(max_tokens),
     "stop after N tokens [when the answer ends or the context is full]"},
    {"temp", 0, OPT_REAL, GROUP_SAMPLING, TALK, "X", 0, 100, AT(temp),
     "temperature; 0 takes the likeliest token [the model's]"},
    {"top-p", 0, OPT_REAL, GROUP_SAMPLING, TALK, "X", 0, 1, AT(top_p),
     "draw from the likeliest tokens that have this much probability together [the model's]"},
    {"top-k", 0, OPT_INT, GROUP_SAMPLING, TALK, "N", 0, 4294967295.0, AT(top_k),
     "draw from the N likeliest tokens; 0 = all [the model's]"},
    {"min-p", 0, OPT_REAL, GROUP_SAMPLING, TALK, "X", 0, 1, AT(min_p),
     "leave out tokens less likely than this share of the likeliest [0]"},
    {"repeat-penalty", 0, OPT_REAL, GROUP_SAMPLING, TALK, "X", 0.01, 100, AT(repeat_penalty),
     "divide the scores of recent tokens; 1 = off [1]"},
    {"presence-penalty", 0, OPT_REAL, GROUP_SAMPLING, TALK, "X", -100, 100, AT(presence_penalty),
     "subtract from tokens that the answer has used [0]"},
    {"frequency-penalty", 0, OPT_REAL, GROUP_SAMPLING, TALK, "X", -100, 100, AT(frequency_penalty),
     "subtract for each time that the answer used a token [0]"},
    {"seed", 's', OPT_INT, GROUP_SAMPLING, TALK, "N", 0, 18446744073709551616.0, AT(seed),
     "same seed, same answer; chat adds one for each answer [0]"},
    {"stop", 0, OPT_TEXT, GROUP_SAMPLING, V(RUN), "TEXT", 0, 0, AT(stop),
     "end the answer before this text"},
    {"ignore-eos", 0, OPT_FLAG, GROUP_SAMPLING, V(RUN), NULL, 0, 0, AT(ignore_eos),
     "go on after the model's own end of answer"},

    /* the model and how it is computed */
    {"model", 'm', OPT_TEXT, GROUP_MODEL, NAMES_MODEL, "PATH", 0, 0, AT(model),
     "a GGUF file (the first of a split set) or a Hugging Face folder [the bundled model]"},
    {"threads", 't', OPT_INT, GROUP_MODEL, OPENS & ~V(BENCH), "N", 1, 4096, AT(threads),
     "compute threads [one a processor]"},
    {"threads", 't', OPT_INT, GROUP_MODEL, V(VERIFY), "N", 1, 4096, AT(threads),
     "files to read at a time [one a processor, at most 16]"},
    {"threads", 't', OPT_LIST, GROUP_MODEL, V(BENCH), "N,...", 1, 4096, AT(thread_list),
     "compute threads [one a processor]"},
    {"ctx", 'c', OPT_INT, GROUP_MODEL, V(SERVE), "N", 1, MANY, AT(ctx),
     "most tokens of one request, answer included [32768, or the model's]"},
    {"ctx", 'c', OPT_INT, GROUP_MODEL, (COMPUTE & ~V(SERVE)) | V(PLAN), "N", 1, MANY, AT(ctx),
     "room for this many tokens; ppl: the length of a window [8192; ppl 512; logits, bench: what "
     "is needed]"},
    {"ram", 0, OPT_SIZE, GROUP_MODEL, COMPUTE | V(PLAN), "SIZE", 1, 1e18, AT(ram_bytes),
     "memory for weights, cache and work, as 20G or 512M, powers of 1024; experts that do not fit "
     "are read from disk when needed [what is available, less a reserve]"},
    {"mirror", 0, OPT_TEXTS, GROUP_MODEL, COMPUTE, "DIR", 0, 0, AT(mirror),
     "copies of the model's files on another drive (glim mirror): experts are read from all drives "
     "at once; may be given several times"},
    {"usage", 0, OPT_TEXT, GROUP_MODEL, COMPUTE, "FILE", 0, 0, AT(usage),
     "where the use of streamed experts is kept across runs; off: nowhere [run, chat: usage.db in "
     "the state folder; else off]"},
    {"workload", 0, OPT_TEXT, GROUP_MODEL, COMPUTE, "NAME", 0, 0, AT(workload),
     "kind of work: each has a history of use of its own [default]"},
    {"check-reads", 0, OPT_FLAG, GROUP_MODEL, COMPUTE, NULL, 0, 0, AT(check_reads),
     "hold each expert that is read from disk against its checksum; the first run reads all of "
     "them to make these"},
    {"kv", 0, OPT_CHOICE, GROUP_MODEL, COMPUTE | V(PLAN), "f16|bf16|f32|q8", 0, 0, AT(kv),
     "type of the cache; q8 keeps 16 bits where a position is in it [f16]"},
    {"kv-index", 0, OPT_CHOICE, GROUP_MODEL, COMPUTE | V(PLAN), "auto|i8|f16", 0, 0, AT(kv_index),
     "type of the indexer's keys in it; auto: i8, but f32 with --kv f32 [auto]"},
    {"mtp", 0, OPT_CHOICE, GROUP_MODEL, DRAFTS | V(PLAN), "auto|off|1|2|3|4|5", 0, 0, AT(drafts),
     "tokens that the draft layer guesses ahead: as many as pay, none, or always so many; the "
     "answer is the same [auto]"},
    {"chunk", 0, OPT_INT, GROUP_MODEL, COMPUTE | V(PLAN), "N", 1, 65536, AT(chunk),
     "prompt tokens computed in one step, up to 4096 [512; where experts are streamed, what the "
     "drive and the threads are best with]"},
    {"no-pin", 0, OPT_FLAG, GROUP_ADVANCED, OPENS, NULL, 0, 0, AT(unpinned),
     "let the system move the threads between processors"},
    {"isa", 0, OPT_TEXT, GROUP_ADVANCED, OPENS, "LEVEL", 0, 0, AT(isa),
     "highest instruction set to use: baseline, neon, avx2, avx512 or amx [the best of this "
     "machine]"},

    /* where public implementations of the family disagree */
    {"latent-eps", 0, OPT_REAL, GROUP_ADVANCED, COMPUTE | V(SHOW), "X", 0, 1, AT(latent_eps),
     "eps of the two latent norms; 0 = the config's [0]"},
    {"index-norm-eps", 0, OPT_REAL, GROUP_ADVANCED, COMPUTE, "X", 0, 1, AT(index_norm_eps),
     "eps of the indexer's layer norm; 0 = 1e-6 [0]"},
    {"index-rope", 0, OPT_CHOICE, GROUP_ADVANCED, COMPUTE, "config|interleaved|half", 0, 0,
     AT(index_rope), "how the indexer rotates [config]"},
    {"index-hadamard", 0, OPT_FLAG, GROUP_ADVANCED, COMPUTE, NULL, 0, 0, AT(index_hadamard),
     "rotate indexer queries and keys by a Hadamard matrix"},
    {"index-always", 0, OPT_FLAG, GROUP_ADVANCED, COMPUTE, NULL, 0, 0, AT(index_always),
     "score and select even when all positions would be selected"},
    {"mtp-prenorm", 0, OPT_FLAG, GROUP_ADVANCED, COMPUTE, NULL, 0, 0, AT(mtp_prenorm),
     "give the draft layer hidden states from before the final norm"},
    {"moe-by-expert", 0, OPT_FLAG, GROUP_ADVANCED, COMPUTE, NULL, 0, 0, AT(moe_by_expert),
     "sum experts by number instead of in router order"},
    {"expand", 0, OPT_CHOICE, GROUP_ADVANCED, COMPUTE, "auto|off|all", 0, 0, AT(expand),
     "attention in un-absorbed form: prompts only, never, always [auto]"},

    /* everywhere */
    {"json", 0, OPT_FLAG, GROUP_GENERAL,
     V(RUN) | V(SHOW) | V(PLAN) | V(TOKENIZE) | V(PPL) | V(BENCH) | V(DOCTOR) | V(VERIFY)
         | V(MIRROR) | V(VERSION),
     NULL, 0, 0, AT(json), "one JSON document instead of text"},
    {"quiet", 'q', OPT_FLAG, GROUP_GENERAL, NAMES_MODEL | V(MIRROR), NULL, 0, 0, AT(quiet),
     "no progress and no statistics"},
    {"help", 'h', OPT_FLAG, GROUP_GENERAL, ALL_VERBS, NULL, 0, 0, AT(help), "this text"},
};

const struct opt *opt_table(size_t *n)
{
    *n = COUNT_OF(table);
    return table;
}

const struct opt *opt_named(enum verb v, const char *name, size_t len)
{
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (table[i].verbs >> v & 1 && strlen(table[i].name) == len
            && memcmp(table[i].name, name, len) == 0)
            return &table[i];
    return NULL;
}

const struct opt *opt_lettered(enum verb v, char letter)
{
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (table[i].verbs >> v & 1 && table[i].letter == letter)
            return &table[i];
    return NULL;
}

void opts_defaults(struct opts *o, enum verb v)
{
    *o = (struct opts){
        .verb = v,
        .top_k = OPT_UNSET,
        .port = OPT_UNSET,
        .log = 1,
        .drafts = (DRAFTS | V(PLAN)) >> v & 1 ? DRAFTS_AUTO : DRAFTS_OFF,
        .sessions = 1,
        .prompt_tok = {1, {512}},
        .decode_tok = {1, {128}},
        .depth_tok = {1, {0}},
        .reps = 5,
    };
    o->temp = o->top_p = o->min_p = o->repeat_penalty = o->presence_penalty = o->frequency_penalty =
        o->hit_rate = (double)NAN;
}
