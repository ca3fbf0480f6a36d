# What a person does with this repository. CI calls the same targets.

SHELL := /bin/bash
CARGO ?= cargo
# Arguments of the demo, the benchmark, the crowd and the test suite, for example: make bench BENCH="--seconds 2 --only null"
DEMO ?=
BENCH ?=
CROWD ?=
# Seconds for each fuzzer, and which (all by default), for example: make fuzz FUZZ_SECONDS=60 FUZZ="reply commands"
FUZZ_SECONDS ?= 600
FUZZ ?=
SUITE ?=
# What the gate says on each server, and by which seed
GATE_STATEMENTS ?= 1000000
FAILOVER_ROUNDS ?= 20
STALE_SECONDS ?= 40
GATE_SEED ?= 1

# program:package pairs; a package is installed when its program is missing.
# The server comes as mariadb-server-core: mariadb-server would start a system service that nobody here needs.
PROGRAMS := cc:build-essential mariadbd:mariadb-server-core mariadb-dump:mariadb-client haproxy:haproxy sysbench:sysbench \
	strace:strace curl:curl openssl:openssl debootstrap:debootstrap go:golang-go node:nodejs npm:npm python3:python3 perl:perl \
	java:default-jre-headless
# Packages without a program: Debian's drivers (PyMySQL needs cryptography for caching_sha2_password), what makes a Python
# environment for those that come from PyPI, and a library of MariaDB's test suite.
LIBRARIES := python3-pymysql python3-cryptography python3-mysqldb python3-venv golang-github-go-sql-driver-mysql-dev \
	libmariadb-java libdbd-mariadb-perl libpcre2-posix3

.PHONY: help deps build demo test drivers lint bench bench-state bench-limits bench-split bench-shards crowd fuzz suite gate failover stale mysql-test mysql-root clean

help:
	@echo "make demo   sysbench through Athena on a throw-away MariaDB"
	@echo "make test   all tests                      make lint   formatting, clippy, the rules of the house"
	@echo "make drivers  every driver with all there is, SQLAlchemy's whole suite among it"
	@echo "make bench  Athena beside its peers        make build  target/release/athena"
	@echo "make bench-state  what it costs that clients have set something"
	@echo "make bench-limits  what limits cost, and whom"
	@echo "make bench-split   what read/write splitting costs, and where the reads go"
	@echo "make bench-shards  what sharding costs"
	@echo "make crowd  2,000 clients with states of their own on 16 links"
	@echo "make fuzz   every fuzzer for FUZZ_SECONDS (600)"
	@echo "make suite  MariaDB's own tests through Athena, all of the set"
	@echo "make failover  the primary changes under a write load, again and again"
	@echo "make stale  sessions that write and read at once, with replicas that fall behind"
	@echo "make gate   a million statements of sessions that set, read and hold all there is, compared packet by packet"
	@echo "make deps   Debian packages that are missing (the targets above call it)"
	@echo "make mysql-root  a real MySQL for the lab (root; see docs/LAB.md)"

# The folders of daemons are not in every user's PATH.
deps:
	@export PATH="$$PATH:/usr/sbin:/sbin"; missing=; \
	for pair in $(PROGRAMS); do \
		command -v "$${pair%%:*}" >/dev/null || missing="$$missing $${pair##*:}"; \
	done; \
	for package in $(LIBRARIES); do \
		[ "$$(dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null)" = installed ] || missing="$$missing $$package"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	echo "installing:$$missing"; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	if [ -n "$$sudo" ] && ! command -v sudo >/dev/null; then echo "run as root: apt-get install$$missing" >&2; exit 1; fi; \
	log=$$(mktemp); \
	for step in update "install -y --no-install-recommends$$missing"; do \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q $$step >"$$log" 2>&1 </dev/null || { cat "$$log" >&2; exit 1; }; \
	done; \
	rm -f "$$log"

build:
	$(CARGO) build --release --workspace

demo: deps build
	$(CARGO) run --release --quiet -p athena-perf --bin demo -- $(DEMO)

test: deps mysql-test
	$(CARGO) test --workspace

# All of what real drivers and clients do, also what takes many minutes.
drivers: deps
	$(CARGO) test --test drivers -- --include-ignored

lint:
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path tests/drivers/rust/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) test --test floors --test config_keys

bench: deps build
	$(CARGO) run --release --quiet -p athena-perf --bin bench -- $(BENCH)

# With an older program: make bench-state BENCH="--older /path/to/athena"
bench-state: deps build
	$(CARGO) run --release --quiet -p athena-perf --bin bench-state -- $(BENCH)

bench-limits: deps build
	$(CARGO) run --release --quiet -p athena-perf --bin bench-limits -- $(BENCH)

bench-split: deps build
	$(CARGO) run --release --quiet -p athena-perf --bin bench-split -- $(BENCH)

bench-shards: deps build
	$(CARGO) run --release --quiet -p athena-perf --bin bench-shards -- $(BENCH)

crowd: deps build
	$(CARGO) run --release --quiet -p athena-perf --bin crowd -- $(CROWD)

# The corpus that is checked in also runs with the tests.
fuzz: deps
	FUZZ_SECONDS=$(FUZZ_SECONDS) CARGO=$(CARGO) tests/fuzz/run.sh $(FUZZ)

# MariaDB's own tests through Athena, all of them; some minutes.
suite: deps mysql-test build
	$(CARGO) run --release --quiet -p athena-perf --bin suite -- run --report target/suite-report.txt $(SUITE)

# That no session sees another's state, whatever it does; some minutes. What proves the gate itself runs with the tests.
gate: deps build
	ATHENA_GATE_STATEMENTS=$(GATE_STATEMENTS) ATHENA_GATE_SEED=$(GATE_SEED) \
		$(CARGO) test --release --test gate -- --nocapture --test-threads 1

# The primary changes under a write load, twenty times for each way and each family of servers; some minutes.
failover: deps build
	ATHENA_FAILOVER_ROUNDS=$(FAILOVER_ROUNDS) $(CARGO) test --test failover -- --nocapture --test-threads 1

# No read older than what it has to find, with replicas that fall behind; what each level costs.
stale: deps build
	ATHENA_STALE_SECONDS=$(STALE_SECONDS) $(CARGO) test --test routing stale -- --nocapture --test-threads 1

mysql-test: deps
	@perf/mysql-test.sh target/mysql-test

mysql-root: deps
	perf/mysql-root.sh target/mysql-root

clean:
	$(CARGO) clean
