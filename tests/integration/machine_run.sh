#!/usr/bin/env bash
# (long) (host) tools/run --machine as a user types it: the product's image, from its disk under UEFI firmware to the example jobs' lines.
set -uo pipefail
repo=$(cd "$(dirname "$0")/../.." && pwd)
cd "$repo" || exit 1
work=$(mktemp -d /tmp/steppe-machine-XXXXXX)
failures=0
ok() { printf 'ok      %s\n' "$1"; }
bad() { printf 'FAILED  %s\n' "$1"; failures=$((failures + 1)); }
says() { local name=$1 pattern=$2; shift 2; "$@" >"$work/out" 2>&1; code=$?; if grep -aEq -- "$pattern" "$work/out"; then ok "$name"; else bad "$name: no \"$pattern\" (exit code $code)"; tail -n 40 "$work/out"; fi; }
ends() { local name=$1 want=$2; [ "$code" = "$want" ] && ok "$name ends with $want" || { bad "$name ends with $want, not $code"; tail -n 40 "$work/out"; }; }

export STEPPE_HTTP_PORT=$((21000 + RANDOM % 8000)) STEPPE_RUN_STATE=build/test/machine-$$
state=$repo/$STEPPE_RUN_STATE
trap 'tools/run --stop >/dev/null 2>&1; rm -rf "$work" "$state"; exit $((failures > 0))' EXIT

says "the machine's console reaches ready" '^  steppe: ready$' tools/run --machine; ends "tools/run --machine" 0
for pattern in '^hello [0-9a-f]{16} from allocation [0-9a-f-]{36}' '^script [0-9a-f]{16} on node-1' '^  steppe: machine: eth0 10\.0\.2\.15/24'; do
  grep -aEq -- "$pattern" "$work/out" && ok "its output has: $pattern" || { bad "its output has: $pattern"; tail -n 40 "$work/out"; }
done
pid=$(cat "$state/machine.pid")
says "--status tells" "^machine: running, pid $pid, http://127.0.0.1:$STEPPE_HTTP_PORT" tools/run --status; ends "--status" 0
grep -Eq '^hello +service +50 +running' "$work/out" && ok "and lists the job" || bad "and lists the job"
machine() { curl -s -m 60 "http://127.0.0.1:$STEPPE_HTTP_PORT/v1/machine/$1"; }
says "the machine tells about itself" '"Name":"node-1".*"Version":"[0-9.]+"' machine info
says "about its services" '"Name":"agent","State":"ready"' machine services
says "about its disks" '"Label":"STEPPE-ESP"' machine disks
says "about its mounts" '"Target":"/","Source":"/dev/loop[0-9]+","Type":"squashfs"' machine mounts
says "about its processes" '"PID":1,"Parent":0,"Name":"(steppe-)?init"' machine processes
says "about its clock" '"OlderThanImage":false' machine time
says "its kernel's log" '"Text":"steppe: ready"' machine 'dmesg?lines=5000'
says "its services' log" 'Steppe agent started' machine 'logs?lines=5000'
says "an agent on this host beside it is refused" 'a machine of this checkout runs' tools/run; ends "that" 1
says "a second tools/run --machine goes on from there" '^script [0-9a-f]{16} on node-1' tools/run --machine; ends "that" 0
[ "$(cat "$state/machine.pid")" = "$pid" ] && ok "with the same machine" || bad "with the same machine"
says "--stop ends it" '^stopped$' tools/run --stop; ends "that" 0
[ -d "/proc/$pid" ] && bad "the machine is gone" || ok "the machine is gone"
