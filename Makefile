# glim: make | demo | test | check-long | check-neon | fuzz | bench | bench-quality | bench-onednn | bench-mtp | bench-usage | bench-grammar | style | install DESTDIR= PREFIX= | clean
#
# BUILD picks a flavour, each in its own folder: release (default, build/), werror, asan, tsan, hostile, fuzz, arm64.
#   make BUILD=asan            libglim and glim under AddressSanitizer and UBSan, in build/asan/
#   make BUILD=arm64           cross-built for AArch64 Linux, in build/arm64/; make check-neon runs its tests in qemu
# V=1 prints commands whole.
# WITH_EDIT=0 builds without libedit (chat then reads plain lines); WITH_URING=0 without liburing (threads read then);
# WITH_SSL=0 without OpenSSL (no glim verify); WITH_CURL=0 without libcurl (no verify --hub);
# WITH_SQLITE=0 without SQLite (no usage history); WITH_HTTP=0 without libmicrohttpd and inih (no glim serve);
# WITH_ZSTD=0 without zstd (no prefixes on disk, as without OpenSSL).

PREFIX  ?= /usr/local
BUILD   ?= release
WITH_EDIT ?= 1
WITH_URING ?= 1
WITH_SSL ?= 1
WITH_CURL ?= 1
WITH_SQLITE ?= 1
WITH_HTTP ?= 1
WITH_ZSTD ?= 1

VERSION := 0.1.0
ARCH    := $(shell uname -m)
CC      ?= gcc
CSTD    := -std=c11 -D_GNU_SOURCE
WARN    := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef -Wwrite-strings
HARDEN  := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIC -fvisibility=hidden
# Contracting a*b+c into one rounding would make results depend on the compiler; -ffast-math would hide NaN.
NUMERIC := -ffp-contract=off -fno-fast-math

ifeq ($(BUILD),release)
  O := build
  FLAGS := $(HARDEN)
else ifeq ($(BUILD),werror)
  # What make test builds. Without -g: linking a hundred programs with it took as long as compiling the library.
  O := build/werror
  CFLAGS ?= -O2
  FLAGS := $(HARDEN) -Werror
else ifeq ($(BUILD),asan)
  O := build/asan
  FLAGS := -fPIC -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
  LDSAN := -fsanitize=address,undefined
  UNROLLED := -O1 -g1
else ifeq ($(BUILD),tsan)
  O := build/tsan
  FLAGS := -fPIC -fsanitize=thread -fno-omit-frame-pointer
  LDSAN := -fsanitize=thread
  UNROLLED := -O1 -g1
else ifeq ($(BUILD),hostile)
  # Rare paths all the time: cache pages of two tokens, room for two experts, slots saved page by page.
  O := build/hostile
  FLAGS := $(HARDEN) -DKV_PAGE_TOK=2 -DSLOTS_MAX=2 -DSLOT_ROUND_NS=0
else ifeq ($(BUILD),fuzz)
  O := build/fuzz
  CC := clang
  FLAGS := -fPIC -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
  LDSAN := -fsanitize=address,undefined
else ifeq ($(BUILD),arm64)
  # Libraries of that architecture: tools/sysroot-arm64, without root and beside the system's own.
  O := build/arm64
  CC := aarch64-linux-gnu-gcc
  ARCH := aarch64
  WITH_EDIT := 0
  WITH_URING := 0
  WITH_SSL := 0
  WITH_CURL := 0
  WITH_SQLITE := 0
  WITH_HTTP := 0
  WITH_ZSTD := 0
  SYSROOT := build/sysroot-arm64
  FLAGS := $(HARDEN) -Werror -isystem $(SYSROOT)/usr/include
  LDSAN := -L$(SYSROOT)/usr/lib/aarch64-linux-gnu
else
  $(error BUILD=$(BUILD): expected release, werror, asan, tsan, hostile, fuzz or arm64)
endif

CFLAGS  ?= -O2 -g
LIBS    := -lxxhash -ljson-c -lpcre2-8 -lpthread -lm
CLILIBS :=
CPPFLAGS := -Iinclude -Isrc
ifneq ($(WITH_EDIT),0)
  CPPFLAGS += -DGLIM_WITH_EDIT=1
  CLILIBS += -ledit
else
  CPPFLAGS += -DGLIM_WITH_EDIT=0
endif
ifneq ($(WITH_SSL),0)
  CPPFLAGS += -DGLIM_WITH_SSL=1
  LIBS := -lcrypto $(LIBS)
else
  CPPFLAGS += -DGLIM_WITH_SSL=0
endif
ifneq ($(WITH_CURL),0)
  CPPFLAGS += -DGLIM_WITH_CURL=1
  CLILIBS += -lcurl
else
  CPPFLAGS += -DGLIM_WITH_CURL=0
endif

ifneq ($(WITH_HTTP),0)
  CPPFLAGS += -DGLIM_WITH_HTTP=1
  CLILIBS += -lmicrohttpd -linih
else
  CPPFLAGS += -DGLIM_WITH_HTTP=0
endif

ifneq ($(WITH_ZSTD),0)
  CPPFLAGS += -DGLIM_WITH_ZSTD=1
  LIBS := -lzstd $(LIBS)
else
  CPPFLAGS += -DGLIM_WITH_ZSTD=0
endif

# Plain C loops over independent lanes: -O3 lets the compiler keep lanes in one register.
$(O)/src/kernels/ref/%.o $(O)/src/sample/weight.o: CFLAGS += -O3

# Each level's files are compiled for that level; nothing else may call into them but through the table.
# Long functions: with checks, -O3 -g takes minutes a file.
UNROLLED ?= -O3
AVX2   := -mavx2 -mfma -mf16c
AVX512 := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mavx512vbmi $(AVX2) -mbmi -mbmi2
$(O)/src/kernels/x86/%_avx2.o: CFLAGS += $(UNROLLED) $(AVX2)
$(O)/src/kernels/x86/%_avx512.o: CFLAGS += $(UNROLLED) $(AVX512)
$(O)/src/kernels/x86/%_amx.o $(O)/tiles/src/kernels/x86/%_amx.o: CFLAGS += $(UNROLLED) $(AVX512) -mavx512bf16 -mamx-tile -mamx-bf16
$(O)/src/kernels/arm/%_neon.o: CFLAGS += $(UNROLLED)
$(O)/src/kernels/arm/%_neon_dot.o: CFLAGS += $(UNROLLED) -march=armv8.2-a+dotprod
$(O)/src/kernels/arm/%_neon_i8mm.o: CFLAGS += $(UNROLLED) -march=armv8.2-a+dotprod+i8mm

ifneq ($(WITH_URING),0)
  CPPFLAGS += -DGLIM_WITH_URING=1
  LIBS := -luring $(LIBS)
else
  CPPFLAGS += -DGLIM_WITH_URING=0
endif

ifneq ($(WITH_SQLITE),0)
  CPPFLAGS += -DGLIM_WITH_SQLITE=1
  LIBS := -lsqlite3 $(LIBS)
else
  CPPFLAGS += -DGLIM_WITH_SQLITE=0
endif

ARCHDIRS := $(if $(filter x86_64 amd64,$(ARCH)),kernels/x86) $(if $(filter aarch64 arm64,$(ARCH)),kernels/arm)
LIBDIRS := base formats kernels kernels/ref $(ARCHDIRS) weights cache model text sample engine
LIBSRC  := $(wildcard $(LIBDIRS:%=src/%/*.c))
CLISRC  := $(wildcard src/cli/*.c $(if $(filter-out 0,$(WITH_HTTP)),src/server/*.c) src/agent/*.c)
LIBOBJ  := $(LIBSRC:%.c=$(O)/%.o)
CLIOBJ  := $(CLISRC:%.c=$(O)/%.o) $(if $(filter-out 0,$(WITH_HTTP)),$(O)/src/server/page_html.o)

# One program per test file; tests/*/util_*.c are helpers linked into every test of their folder.
TESTDIRS := unit check golden api
TESTSRC  := $(wildcard $(TESTDIRS:%=tests/%/test_*.c))
TESTUTIL := $(wildcard tests/util/*.c)
TESTBIN  := $(TESTSRC:%.c=$(O)/%)
FUZZSRC  := $(wildcard tests/fuzz/fuzz_*.c)
FUZZBIN  := $(FUZZSRC:%.c=$(O)/%)
REPLAYBIN := $(FUZZSRC:tests/fuzz/fuzz_%.c=$(O)/tests/fuzz/replay_%)
FAULTSRC := $(wildcard tests/fault/test_*.c)
FAULTBIN := $(FAULTSRC:%.c=$(O)/%)

all: $(O)/glim $(O)/libglim.a $(O)/libglim.so $(O)/glim.pc

COMMA := ,
# A short line in the place of a command.
say = $(if $(filter 1,$(V)),,@printf '  %-5s%s\n' $(1) $@;)
COMPILE = $(CC) $(CSTD) $(WARN) $(NUMERIC) $(CPPFLAGS) $(CFLAGS) $(FLAGS)

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) -MMD -MP -c $< -o $@

# The web page, as C.
$(O)/src/server/page_html.c: src/server/page.html tools/embed-page
	@mkdir -p $(@D)
	$(call say,GEN)tools/embed-page $< > $@.tmp && mv $@.tmp $@

$(O)/src/server/page_html.o: $(O)/src/server/page_html.c
	$(call say,CC)$(COMPILE) -MMD -MP -c $< -o $@

$(O)/libglim.a: $(LIBOBJ)
	$(call say,AR)rm -f $@ && ar rcs $@ $^

$(O)/libglim.so: $(LIBOBJ)
	$(call say,LINK)$(CC) -shared -Wl,-soname,libglim.so.0 -Wl,-z,relro,-z,now $(LDSAN) $^ $(LIBS) $(LDFLAGS) -o $@

$(O)/glim: $(CLIOBJ) $(O)/libglim.a
	$(call say,LINK)$(CC) -pie -Wl,-z,relro,-z,now $(LDSAN) $^ $(CLILIBS) $(LIBS) $(LDFLAGS) -o $@

$(O)/glim.pc: glim.pc.in Makefile
	@mkdir -p $(@D)
	$(call say,GEN)sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS@|$(LIBS)|' $< > $@

OBJECTS_FIRST = $(filter-out %.a,$^) $(filter %.a,$^)

$(O)/tests/%: $(O)/tests/%.o $(TESTUTIL:%.c=$(O)/%.o) $(O)/libglim.a
	$(call say,LINK)$(CC) $(LDSAN) $(WRAP) $(OBJECTS_FIRST) -lcmocka $(LIBS) $(LDFLAGS) -o $@

# Rooms of the program that stand on base/ alone.
$(O)/tests/unit/test_known $(O)/tests/fuzz/replay_known build/fuzz/tests/fuzz/fuzz_known: $(O)/src/cli/known.o

# Requests of other APIs, without HTTP.
REQUESTS := fieldlist fields fault hidden turns toollist anthropic_messages anthropic_tools responses_input \
  responses_tools results
$(O)/tests/unit/test_requests $(O)/tests/fuzz/replay_requests build/fuzz/tests/fuzz/fuzz_requests: \
  $(REQUESTS:%=$(O)/src/server/%.o)

# A clock of its own.
$(O)/tests/api/test_drafts_pay: WRAP := $(patsubst %,-Wl$(COMMA)--wrap=%,now_ns session_look session_catch_up session_draft)
$(O)/tests/api/test_drafts_streamed: WRAP := $(patsubst %,-Wl$(COMMA)--wrap=%,now_ns session_look session_draft store_count)

$(O)/tests/api/test_history: WRAP := -Wl,--wrap=now_ns

# Calls to the system that fail, or are the last.
$(O)/tests/unit/test_snapshot_faults: WRAP := $(patsubst %,-Wl$(COMMA)--wrap=%,openat write fdatasync renameat unlinkat)

# A drive of its own.
$(O)/tests/api/test_bad_drive: WRAP := -Wl,--wrap=reader_open

# The amx level with its tile unit in plain C, for machines without it: these files come before the library's.
ifneq ($(filter kernels/x86,$(ARCHDIRS)),)
  TILESRC  := src/base/cpu.c src/kernels/x86/tiles_amx.c src/kernels/x86/peak_amx.c
  TILETEST := check/test_matmul check/test_kernels golden/test_forward
endif
TILEOBJ := $(TILESRC:%.c=$(O)/tiles/%.o)
TILEBIN := $(TILETEST:%=$(O)/tiles/tests/%)

$(O)/tiles/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) -DTILE_EMULATED -MMD -MP -c $< -o $@

$(TILEBIN): $(O)/tiles/tests/%: $(O)/tests/%.o $(TESTUTIL:%.c=$(O)/%.o) $(TILEOBJ) $(O)/libglim.a
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(LDSAN) $^ -lcmocka $(LIBS) $(LDFLAGS) -o $@

$(O)/tests/fault/%: $(O)/tests/fault/%.o $(TESTUTIL:%.c=$(O)/%.o) $(O)/libglim.a
	$(call say,LINK)$(CC) $(LDSAN) -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=mmap $^ -lcmocka $(LIBS) $(LDFLAGS) -o $@

# Loaded before the libraries of a running program.
STARVE := $(O)/tests/fault/starve.so
$(STARVE): tests/fault/starve.c
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(CSTD) $(WARN) -O2 -g -fPIC -shared $< -ldl -lgcc_s -o $@

$(O)/tests/fuzz/replay_%: $(O)/tests/fuzz/fuzz_%.o $(O)/tests/fuzz/replay.o $(O)/libglim.a
	$(call say,LINK)$(CC) $(LDSAN) $(OBJECTS_FIRST) $(LIBS) $(LDFLAGS) -o $@

build/fuzz/tests/fuzz/fuzz_%: build/fuzz/tests/fuzz/fuzz_%.o build/fuzz/libglim.a
	$(call say,LINK)clang -fsanitize=fuzzer,address,undefined $(OBJECTS_FIRST) $(LIBS) $(LDFLAGS) -o $@

CPPFLAGS_TESTS := -Itests
$(O)/tests/%.o: CPPFLAGS += $(CPPFLAGS_TESTS)

# What tests/structured/run and bench/grammar run.
DRIVER := $(O)/tests/structured/drive

tests: $(TESTBIN) $(TILEBIN) $(FAULTBIN) $(REPLAYBIN) $(DRIVER) $(STARVE)
fuzzers: $(FUZZBIN)

-include $(wildcard $(O)/bench/*.d) $(TILEOBJ:%.o=%.d) $(DRIVER).d $(patsubst %.c,$(O)/%.d,$(LIBSRC) $(CLISRC) $(TESTSRC) $(FAULTSRC) $(FUZZSRC) $(TESTUTIL))

setup:
	@tools/setup

setup-long: setup-neon
	@tools/setup long

setup-neon: setup
	@tools/setup neon
	@tools/sysroot-arm64

demo: setup
	@$(MAKE) --no-print-directory -j2 all
	@tools/demo

test: setup
	@tests/run test

check-long: setup-long
	@tests/run long

check-neon: setup-neon
	@tests/run neon

fuzz: setup-long
	@tests/run fuzz

bench: all
	@bench/run

# Needs numpy, gguf and torch: tools/oracle/requirements.txt.
PYTHON ?= python3
bench-quality: all
	@$(PYTHON) bench/quality $(TYPES)

# Our products of a prompt beside oneDNN's; needs libdnnl-dev, which nothing else does.
ONEDNNOBJ := $(patsubst %,$(O)/bench/%.o,gemm_onednn gemm_data onednn)
$(ONEDNNOBJ): CPPFLAGS += $(CPPFLAGS_TESTS)
$(O)/bench/onednn.o: CFLAGS += -fopenmp

$(O)/bench/gemm_onednn: $(ONEDNNOBJ) $(O)/libglim.a
	$(call say,LINK)$(CC) $^ -fopenmp -ldnnl $(LIBS) $(LDFLAGS) -o $@

bench-onednn:
	@bench/gemm-onednn

# What glim plan predicts beside what is measured, over simulated drives; MODEL has to fit into memory.
bench-streaming: all
	@bench/streaming $(MODEL)

# What drafts bring and cost, by kind of prompt.
$(O)/bench/mtp.o: CPPFLAGS += $(CPPFLAGS_TESTS)

$(O)/bench/mtp: $(O)/bench/mtp.o $(O)/libglim.a
	$(call say,LINK)$(CC) $^ $(LIBS) $(LDFLAGS) -o $@

bench-mtp:
	@bench/mtp-run

# Many answers at once without HTTP, for bench/serve.
$(O)/bench/service: $(O)/bench/service.o $(O)/libglim.a
	$(call say,LINK)$(CC) $^ $(LIBS) $(LDFLAGS) -o $@

# Which experts stay in a memory that holds some of them.
$(patsubst %,$(O)/bench/%.o,usage usage_sim): CPPFLAGS += $(CPPFLAGS_TESTS)

$(O)/bench/usage: $(O)/bench/usage.o $(O)/bench/usage_sim.o $(O)/libglim.a
	$(call say,LINK)$(CC) -Wl,--wrap=experts_begin $^ $(LIBS) $(LDFLAGS) -o $@

bench-usage: $(O)/bench/usage
	@$(O)/bench/usage >bench/results/usage.csv

# Masks of structured output.
bench-grammar:
	@bench/grammar

style:
	@tools/check-layers
	@tools/check-style

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include \
	  $(DESTDIR)$(PREFIX)/share/glim/models $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
	  $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man3 $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 755 $(O)/glim $(DESTDIR)$(PREFIX)/bin/glim
	install -m 644 $(O)/libglim.a $(DESTDIR)$(PREFIX)/lib/libglim.a
	install -m 755 $(O)/libglim.so $(DESTDIR)$(PREFIX)/lib/libglim.so.0
	ln -sf libglim.so.0 $(DESTDIR)$(PREFIX)/lib/libglim.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS@|$(LIBS)|' glim.pc.in > $(DESTDIR)$(PREFIX)/lib/pkgconfig/glim.pc
	install -m 644 include/glim.h $(DESTDIR)$(PREFIX)/include/glim.h
	install -m 644 models/glm-nano.gguf $(DESTDIR)$(PREFIX)/share/glim/models/glm-nano.gguf
	install -m 644 tools/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/glim
	sed -e 's|@PREFIX@|$(PREFIX)|' tools/glim.service.in > $(DESTDIR)$(PREFIX)/lib/systemd/system/glim.service
	install -m 644 docs/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 docs/man/*.3 $(DESTDIR)$(PREFIX)/share/man/man3

clean:
	rm -rf build

.PHONY: all tests fuzzers setup setup-long setup-neon demo test check-long check-neon fuzz bench bench-quality bench-onednn bench-mtp bench-usage bench-grammar style install clean
.SECONDARY:
