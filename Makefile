# The front door: each target calls what stands below (tools/, meson, ninja) and knows nothing itself.
#
#   make run            serve the chat at http://127.0.0.1:8080         APP=DIR serves another application
#   make test           all tests

PREFIX = /usr/local
APP = apps/chat
FUZZ_SECONDS = 60

.DEFAULT_GOAL = build
.PHONY: run build test bench fuzz nightly lint docs install clean help

run: build ## serve apps/chat at http://127.0.0.1:8080 (APP=DIR: another application)
	@exec build/silver serve $(APP)

build: ## the command at build/silver, with the programs of its children
	@tools/install-deps build
	@test -e build/build.ninja || meson setup build
	@ninja -C build command

test: ## all tests: under the sanitizers and valgrind, end to end, documentation
	@tools/install-deps test
	@tools/test

bench: build ## the benchmarks against nginx, h2o and servers of Python (QUICK=1: a short run)
	@tools/install-deps bench
	@bench/run $(if $(QUICK),--quick)
	@bench/python/run $(if $(QUICK),--quick)

fuzz: ## run each fuzzer for FUZZ_SECONDS (60)
	@tools/install-deps fuzz
	@tools/fuzz $(FUZZ_SECONDS)

nightly: build ## what takes long: 12,500 random sequences beside Storm, and each fuzzer for ten minutes
	@tools/install-deps test fuzz
	@ninja -C build tests/differential/differential
	@tests/differential/run.py --ours build/tests/differential/differential --count 10000
	@tests/differential/run.py --ours build/tests/differential/differential --count 2500 --database postgres
	@tools/fuzz 600

lint: ## formatting, layers, shell scripts
	@tools/install-deps build lint
	@tools/lint

docs: build ## the manual and the library's reference as HTML and text, in build/docs/
	@tools/install-deps docs
	@tools/docs

install: build ## into PREFIX (/usr/local), below DESTDIR if that is set
	@meson configure build -Dprefix=$(abspath $(PREFIX))
	@DESTDIR=$(abspath $(DESTDIR)) meson install -C build

clean: ## remove all that was built
	rm -rf build build-*

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
