# bash completion for glim; tests/cli holds it against glim --help.

_glim_options() {
    local talk="--system --effort --no-think --no-reasoning --max-tokens -n --temp --top-p --top-k --min-p
        --repeat-penalty --presence-penalty --frequency-penalty --seed -s"
    local opens="--model -m --threads -t --no-pin --isa --quiet -q --help -h"
    local cache="--ctx -c --ram --kv --kv-index"
    local compute="$cache --check-reads --chunk --mirror --usage --workload --latent-eps --index-norm-eps --index-rope --index-hadamard --index-always
        --mtp-prenorm --moe-by-expert --expand"
    case $1 in
    run) echo "$talk $opens $compute --mtp --tools --messages --raw --ids --print-ids --stop --ignore-eos --json" ;;
    chat) echo "$talk $opens $compute --mtp" ;;
    serve) echo "$opens $compute --mtp --host --port --api-key --api-key-file --tls-cert --tls-key --allowed-host --cors-origin
        --alias --any-model --reasoning-field --parallel --queue --queue-per-key --timeout --cache-tokens --kv-dir --kv-dir-size --kv-encrypt --slot-save-path --prompt-share --limits --config --log" ;;
    launch) echo "--url --api-key --api-key-file --alias --print --help -h" ;;
    show) echo "$opens --latent-eps --tensors --json" ;;
    plan) echo "$opens $cache --chunk --mtp --sessions --bandwidth --drive --use --hit-rate --json" ;;
    tokenize) echo "--model -m --special --json --quiet -q --help -h" ;;
    detokenize) echo "--model -m --skip-special --quiet -q --help -h" ;;
    template) echo "--model -m --ids --quiet -q --help -h" ;;
    logits) echo "$opens $compute --ids --out -o --last --mtp --decode" ;;
    ppl) echo "$opens $compute --file -f --special --decode --save-logits --against --json" ;;
    bench) echo "$opens $compute --mtp --prompt -p --tokens -n --depth -d --reps -r --drive --svg --csv --json" ;;
    doctor) echo "$opens --json" ;;
    verify) echo "--model -m --threads -t --manifest --hub --endpoint --write -w --fresh --json --quiet -q --help -h" ;;
    mirror) echo "--json --quiet -q --help -h" ;;
    version) echo "--json --help -h" ;;
    help) echo "--help -h" ;;
    esac
}

_glim() {
    local verbs="run chat serve launch show plan tokenize detokenize template logits ppl bench doctor verify mirror version help"
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]}
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "$verbs --help --version" -- "$word")
        return
    fi
    case $before in
    --effort) mapfile -t COMPREPLY < <(compgen -W "default high max off" -- "$word") ;;
    --use) mapfile -t COMPREPLY < <(compgen -W "measured uniform" -- "$word") ;;
    --kv) mapfile -t COMPREPLY < <(compgen -W "f16 bf16 f32 q8" -- "$word") ;;
    --kv-index) mapfile -t COMPREPLY < <(compgen -W "auto i8 f16" -- "$word") ;;
    --log) mapfile -t COMPREPLY < <(compgen -W "off errors requests debug" -- "$word") ;;
    --isa) mapfile -t COMPREPLY < <(compgen -W "baseline neon avx2 avx512 amx" -- "$word") ;;
    --index-rope) mapfile -t COMPREPLY < <(compgen -W "config interleaved half" -- "$word") ;;
    --expand) mapfile -t COMPREPLY < <(compgen -W "auto off all" -- "$word") ;;
    -m | --model | --tools | --messages | -o | --out | -f | --file | --save-logits | --against | --svg | --usage | --manifest | -w | --write | --config | --api-key-file | --tls-cert | --tls-key)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        ;;
    *)
        if [[ $word == -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$(_glim_options "$verb")" -- "$word")
        elif [[ $verb == help ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$word")
        elif [[ $verb == launch && $COMP_CWORD -eq 2 ]]; then
            mapfile -t COMPREPLY < <(compgen -W "claude codex opencode aider" -- "$word")
        elif [[ $before == --mtp && $verb != logits ]]; then
            mapfile -t COMPREPLY < <(compgen -W "auto off 1 2 3 4 5" -- "$word")
        elif [[ $before == --mirror || ($verb == mirror && $COMP_CWORD -gt 3) ]]; then
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -d -- "$word")
        elif [[ $verb == mirror && $COMP_CWORD -eq 2 ]]; then
            mapfile -t COMPREPLY < <(compgen -W "plan stage verify" -- "$word")
        elif [[ $before == --ids || $verb == verify || $verb == mirror ]]; then
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
        fi
        ;;
    esac
}

complete -F _glim glim
