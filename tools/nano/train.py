"""Train glm-nano: dense attention first (the indexers learn by KL beside it), then with the top-64 selection applied.

  train.py --run RUNDIR --minutes 90          start, or resume from RUNDIR/last.pt
The schedule is a function of the share of the time budget that is used up, so any budget gives a finished model.
"""
import argparse
import os
import random
import signal
import sys
import time

import torch
import torch.multiprocessing as mp

import data
import skills as S
from chat import Chat, render
from model import Config, Nano, plant_induction, share_spaced
from optim import Optimizer

TOKENS = 2048                                  # per step (twice that where a row is 2048 long)
# (until this share of the time, {row length: probability}, sparse attention applied?)
PLAN = [(0.16, {256: 0.7, 512: 0.3}, False),
        (0.39, {256: 0.2, 512: 0.8}, False),
        (1.00, {256: 0.1, 512: 0.66, 1024: 0.12, 2048: 0.12}, True)]
WARM, DECAY_FROM = 0.01, 0.55


class HeadLoss(torch.autograd.Function):
    """Weighted cross entropy of hidden [N,D] against the output head, chunk by chunk, gradients made on the way."""
    @staticmethod
    def forward(ctx, h, head, target, weight):
        W = head.bfloat16()
        total = weight.sum().clamp_min(1e-6)
        dh, dW, loss = torch.empty_like(h), torch.zeros_like(head), 0.0
        for a in range(0, len(h), 512):
            x, t, w = h[a:a + 512].bfloat16(), target[a:a + 512], weight[a:a + 512] / total
            z = (x @ W.t()).float()
            lse = torch.logsumexp(z, 1)
            loss = loss + ((lse - z.gather(1, t[:, None])[:, 0]) * w).sum()
            p = torch.exp_(z.sub_(lse[:, None]))
            p.mul_(w[:, None])
            p[torch.arange(len(t)), t] -= w
            p = p.bfloat16()
            dh[a:a + 512] = (p @ W).float()
            dW += (p.t() @ x).float()
        ctx.save_for_backward(dh, dW)
        return loss

    @staticmethod
    def backward(ctx, g):
        dh, dW = ctx.saved_tensors
        return dh * g, dW * g, None, None


def losses(model, arrays, sparse, extra=True):
    """Main loss, MTP loss, indexer KL; the last two only if `extra` (they are skipped on every other dense step)."""
    tok, wgt, doc, pos = (torch.from_numpy(x) for x in arrays)
    x, d = tok[:, :-2].contiguous(), doc[:, :-2]
    same1, same2 = (doc[:, 1:-1] == d), (doc[:, 2:] == d)
    w1, w2 = wgt[:, 1:-1] * same1, wgt[:, 2:] * same2
    h, z, kl = model(x, pos[:, :-2], d, row_weight=w1 + 1e-3, sparse=sparse, kl=extra, mtp=extra)
    flat = lambda t: t.reshape(-1)
    main = HeadLoss.apply(h.flatten(0, 1), model.head, flat(tok[:, 1:-1]), flat(w1))
    if not extra:
        return main, None, None
    mtp = HeadLoss.apply(z.flatten(0, 1), model.head, flat(tok[:, 2:]), flat(w2))
    return main, mtp, sum(kl) / len(kl)


def probe_set(chat, n=16, seed=4242):
    """Small held-out sets for the progress line: skill -> [(ids, flags)] where only the last answer counts."""
    out = {}
    gens = {"arith": lambda r: S.arithmetic(r), "tool": lambda r: S.tools(r, "heldout", False, "answer"),
            "call": lambda r: S.tools(r, "heldout", None, "call"), "json": S.json_skill, "copy": S.copy, "pairs": S.pairs,
            "rec200": lambda r: S.recall(r, 200, 4, depth=r.random(), count=lambda s: len(s) / 4.1),
            "rec900": lambda r: S.recall(r, 900, 6, depth=r.random(), count=lambda s: len(s) / 4.1),
            "rec2k": lambda r: S.recall(r, 1850, 6, depth=r.random(), count=lambda s: len(s) / 4.1)}
    for name, g in gens.items():
        r = random.Random(seed)
        out[name] = [chat.encode_pieces(render(g(r), thinking=i % 2 == 0 or name == "arith"))
                     for i in range(n if name != "rec2k" else n // 2)]
    return out


@torch.no_grad()
def exact_count(model, pairs, sparse):
    """Samples whose whole last answer is the argmax at every step (so greedy decoding is exact); nll sum; tokens."""
    model.eval()
    good, nll, nt = 0, 0.0, 0
    pairs = sorted(pairs, key=lambda p: len(p[0]))
    i = 0
    while i < len(pairs):
        j = min(len(pairs), i + max(1, 4096 // (len(pairs[min(len(pairs) - 1, i + 8)][0]) + 8)))
        T = max(len(p[0]) for p in pairs[i:j])
        tok, doc = torch.zeros(j - i, T, dtype=torch.long), torch.full((j - i, T), -1)
        for b, (ids, _) in enumerate(pairs[i:j]):
            tok[b, :len(ids)], doc[b, :len(ids)] = torch.tensor(ids), 0
        h, _, _ = model(tok, torch.arange(T).expand(j - i, T), doc, sparse=sparse, mtp=False)
        for b, (ids, flags) in enumerate(pairs[i:j]):
            last = len(flags)
            first = last
            while first and flags[first - 1]:
                first -= 1
            z = model.logits(h[b, first - 1:last - 1]).float()
            t = tok[b, first:last]
            good += bool((z.argmax(-1) == t).all())
            nll += torch.nn.functional.cross_entropy(z, t, reduction="sum").item()
            nt += len(t)
        i = j
    model.train()
    return good, nll, nt


class Shared:
    """What the workers share: the model itself, one gradient slot a worker, expert loads, probe sums, the clock."""

    def __init__(self, model, workers, probes):
        model.share_memory()
        self.workers = workers
        self.params = [p for p in model.parameters()]
        self.grads = [torch.zeros(sum(p.numel() for p in self.params), dtype=torch.bfloat16).share_memory_()
                      for _ in range(workers)]
        self.loads = torch.zeros(workers, len(model.blocks), model.c.experts).share_memory_()
        self.stats = torch.zeros(workers, 3, dtype=torch.float64).share_memory_()
        self.probe = torch.zeros(workers, probes, 3, dtype=torch.float64).share_memory_()
        self.clock = torch.zeros(2, dtype=torch.float64).share_memory_()             # seconds used, stop flag
        self.barrier = mp.Barrier(workers)


def owners(params, workers):
    """Parameter -> worker that updates it: the heaviest first, each to the worker with the least work so far."""
    work, out = [0.0] * workers, {}
    for p in sorted(params, key=lambda p: -p.numel()):
        w = work.index(min(work))
        cost = p.numel() * (min(p.shape[-2:]) if p.ndim > 1 and p.shape[0] < 4000 else 8)
        out[p], work[w] = w, work[w] + cost
    return out


def work(rank, a, model, sh, chat, step, seen):
    """One worker: its share of each batch, then the update of the parameters it owns."""
    torch.set_num_threads(max(1, a.threads // sh.workers))
    for L in model.blocks:
        if L.moe:
            L.load = torch.zeros(model.c.experts)              # private: every worker counts its own tokens
    own = owners(sh.params, sh.workers)
    mine = [p for p in sh.params if own[p] == rank]
    opt = Optimizer([(n, p) for n, p in model.named_parameters() if own[p] == rank], a.lr, a.lr_adam)
    last = os.path.join(a.run, "last.pt")
    state = f"{last}.opt{rank}of{sh.workers}"
    if step and os.path.exists(state):
        opt.load(torch.load(state, weights_only=False))
    where, at = {}, 0
    for p in sh.params:
        where[p], at = (at, at + p.numel()), at + p.numel()
    probes = probe_set(chat)
    stop = []
    # SIGTERM, whoever it reaches: worker 0 finishes the step, all save and leave
    signal.signal(signal.SIGTERM, (lambda *_: stop.append(1)) if rank == 0 else signal.SIG_IGN)
    if rank == 0:
        log = open(os.path.join(a.run, "log.txt"), "a", buffering=1)

    def save():
        torch.save(opt.state(), state + ".tmp")
        os.replace(state + ".tmp", state)
        if rank == 0:
            torch.save({"model": model.state_dict(), "used": float(sh.clock[0]), "step": step, "seen": seen,
                        "config": model.c.dict()}, last + ".tmp")
            os.replace(last + ".tmp", last)
    avg, mark, n_saved = None, (time.time(), seen), time.time()
    model.train()
    t0 = time.time()
    while True:
        f = float(sh.clock[0]) / (60 * a.minutes)
        if f >= 1 or sh.clock[1]:
            break
        until, lengths, sparse = next(p for p in PLAN if f < p[0])
        r = random.Random(f"{a.seed}/{step}")
        length = r.choices(list(lengths), list(lengths.values()))[0]
        rows = max(1, TOKENS // sh.workers // length)
        arrays = data.batch(a.seed, step * sh.workers + rank, rows, length, chat)
        extra = sparse or step % 2 == 0
        main_, mtp, kl = losses(model, arrays, sparse, extra)
        (main_ + 0.3 * mtp + kl if extra else main_).backward()
        sh.stats[rank, 0] = main_.item()
        if extra:
            sh.stats[rank, 1], sh.stats[rank, 2] = mtp.item(), kl.item()
        for p in sh.params:                                    # hand the others their part, keep mine exact
            if own[p] != rank and p.grad is not None:
                sh.grads[rank][where[p][0]:where[p][1]].copy_(p.grad.flatten())
                p.grad = None
        for i, L in enumerate(model.blocks):
            if L.moe:
                sh.loads[rank, i] = L.load
                L.load.zero_()
        sh.barrier.wait()
        for p in mine:
            if p.grad is None:                                 # so in every worker: this step did not use it
                continue
            for w in range(sh.workers):
                if w != rank:
                    p.grad += sh.grads[w][where[p][0]:where[p][1]].view_as(p)
            p.grad /= sh.workers
        lr = min(1.0, f / WARM + 0.02) if f < DECAY_FROM else max(0.0, (1 - f) / (1 - DECAY_FROM))
        opt.step(lr)
        step, seen = step + 1, seen + rows * length * sh.workers
        if rank == 0:
            model.update_bias(2e-3 * max(lr, 0.02), sh.loads.sum(0))
            now = sh.stats.mean(0).numpy()
            avg = now if avg is None else avg + 0.05 * (now - avg)
            if step % 50 == 0:
                rate = (seen - mark[1]) / (time.time() - mark[0])
                mark = (time.time(), seen)
                print(f"{time.strftime('%H:%M:%S')} step {step} tok {seen / 1e6:.2f}M share {f:.3f} lr {lr:.2f} len "
                      f"{length} sparse {int(sparse)} loss {avg[0]:.3f} mtp {avg[1]:.3f} kl {avg[2]:.3f} {rate:.0f} tok/s",
                      file=log)
        if step % a.probe == 0:
            sh.barrier.wait()
            for i, pairs in enumerate(probes.values()):
                sh.probe[rank, i] = torch.tensor(exact_count(model, pairs[rank::sh.workers], True), dtype=torch.float64)
            sh.barrier.wait()
            if rank == 0:
                tot = sh.probe.sum(0)
                print("  probe, sparse: exact (nll) " + "  ".join(
                    f"{k} {tot[i, 0] / len(v):.2f} ({tot[i, 1] / tot[i, 2]:.2f})" for i, (k, v) in
                    enumerate(probes.items())), file=log)
        if rank == 0:
            sh.clock[0] += time.time() - t0
            sh.clock[1] = len(stop)
            t0 = time.time()
        sh.barrier.wait()
        if time.time() - n_saved > 180:
            save()
            n_saved = time.time()
    save()
    if rank == 0:
        print(f"left at {step} steps, {seen} tokens, {float(sh.clock[0]) / 60:.1f} minutes", file=log)


def tame_malloc():
    """Restart with glibc told to keep freed memory: page faults take half of a CPU run otherwise."""
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        os.environ.update(MALLOC_MMAP_MAX_="0", MALLOC_TRIM_THRESHOLD_="17179869184", MALLOC_ARENA_MAX="1",
                          MALLOC_TOP_PAD_="268435456", GLIBC_TUNABLES="glibc.malloc.hugetlb=1")
        os.execv(sys.executable, [sys.executable] + sys.argv)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--run", required=True, help="folder for checkpoints and the log")
    ap.add_argument("--minutes", type=float, default=90)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--workers", type=int, default=2, help="processes that share a step (more than one keeps cores busy)")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--probe", type=int, default=250, help="steps between progress lines with held-out figures")
    ap.add_argument("--tokenizer", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokenizer.json"))
    ap.add_argument("--lr", type=float, default=0.005)
    ap.add_argument("--lr-adam", type=float, default=0.001)
    a = ap.parse_args()
    tame_malloc()
    os.makedirs(a.run, exist_ok=True)
    torch.set_num_threads(1)                                   # before the fork; each worker sets its own
    torch.manual_seed(a.seed)
    chat = Chat(a.tokenizer)
    model, step, seen = Nano(Config()), 0, 0
    share_spaced(model, chat.tok.get_vocab())
    plant_induction(model)
    sh = Shared(model, a.workers, len(probe_set(chat, 2)))
    last = os.path.join(a.run, "last.pt")
    if os.path.exists(last):
        s = torch.load(last, weights_only=False)
        model.load_state_dict(s["model"], strict=False)
        step, seen = s["step"], s["seen"]
        sh.clock[0] = s["used"]
    others = [mp.Process(target=work, args=(w, a, model, sh, chat, step, seen)) for w in range(1, a.workers)]
    for p in others:
        p.start()
    work(0, a, model, sh, chat, step, seen)
    for p in others:
        p.join()


if __name__ == "__main__":
    main()
