# Sourced by the integration tests: an agent of their own on a port of their own, and its end.
set -uo pipefail
bin=${STEPPE_BIN:-/src/build/release/bin}
work=$(mktemp -d /tmp/steppe-test-XXXXXX)
port=$((20000 + RANDOM % 10000 + 25000 - 20000))
agent_pid=
files_pid=
failures=0
export STEPPE_ADDR=http://127.0.0.1:$port
steppe() { "$bin/steppe" "$@"; }

start_agent() {
  "$bin/steppe" agent -http-port "$port" "$@" >>"$work/agent.log" 2>&1 </dev/null &
  agent_pid=$!
  for _ in $(seq 600); do
    steppe node status 2>/dev/null | grep -q ready && return 0
    [ -d "/proc/$agent_pid" ] || break
    sleep 0.1
  done
  echo "the agent did not come up"; cat "$work/agent.log"; exit 1
}
start_files() {
  mkdir -p "$work/www"
  busybox httpd -f -p 127.0.0.1:$((port + 1)) -h "$work/www" &
  files_pid=$!
}
stop_agent() {
  [ -n "$agent_pid" ] || return 0
  kill -TERM "$agent_pid" 2>/dev/null; wait "$agent_pid"; local code=$?
  agent_pid=
  return $code
}
finish() {
  [ -n "$files_pid" ] && kill "$files_pid" 2>/dev/null
  stop_agent
  if declare -F at_end >/dev/null; then at_end; fi
  if [ "$failures" != 0 ]; then echo "--- agent log"; tail -n ${STEPPE_TEST_LOG_LINES:-60} "$work/agent.log"; fi
  rm -rf "$work" 2>/dev/null
}
trap 'finish; exit $((failures > 0))' EXIT
trap 'failures=1; exit 1' INT TERM

ok() { printf 'ok      %s\n' "$1"; }
bad() { printf 'FAILED  %s\n' "$1"; failures=$((failures + 1)); }
# expect NAME COMMAND...: the command succeeds.
expect() { local name=$1; shift; if "$@" >"$work/out" 2>&1; then ok "$name"; else bad "$name: $*"; cat "$work/out"; fi; }
# expect_text NAME PATTERN COMMAND...: its output matches.
expect_text() { local name=$1 pattern=$2; shift 2; "$@" >"$work/out" 2>&1; if grep -Eq -- "$pattern" "$work/out"; then ok "$name"; else bad "$name: no \"$pattern\" in the output of: $*"; cat "$work/out"; fi; }
# until_text NAME PATTERN COMMAND...: it matches in the end (a minute is generous).
until_text() {
  local name=$1 pattern=$2 i; shift 2
  for i in $(seq 300); do "$@" >"$work/out" 2>&1; grep -Eq -- "$pattern" "$work/out" && { ok "$name"; return 0; }; sleep 0.2; done
  bad "$name: never \"$pattern\" in the output of: $*"; cat "$work/out"; return 1
}
running_alloc() { steppe operator api "/v1/job/$1/allocations" | jq -r 'map(select(.ClientStatus == "running" and .DesiredStatus == "run")) | .[0].ID // empty'; }
