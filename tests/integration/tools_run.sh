#!/usr/bin/env bash
# (long) (host) tools/run as a user types it: start, again, status, stop; the package; every command that the documents name.
set -uo pipefail
repo=$(cd "$(dirname "$0")/../.." && pwd)
cd "$repo" || exit 1
work=$(mktemp -d /tmp/steppe-tools-XXXXXX)
failures=0
ok() { printf 'ok      %s\n' "$1"; }
bad() { printf 'FAILED  %s\n' "$1"; failures=$((failures + 1)); }
says() { local name=$1 pattern=$2; shift 2; "$@" >"$work/out" 2>&1; code=$?; if grep -Eq -- "$pattern" "$work/out"; then ok "$name"; else bad "$name: no \"$pattern\" (exit code $code)"; tail -n 40 "$work/out"; fi; }
ends() { local name=$1 want=$2; [ "$code" = "$want" ] && ok "$name ends with $want" || { bad "$name ends with $want, not $code"; tail -n 40 "$work/out"; }; }

# A node of its own, beside one that a user of this checkout may have: port, folder.
export STEPPE_HTTP_PORT=$((21000 + RANDOM % 8000)) STEPPE_RUN_STATE=build/test/run-$$
state=$repo/$STEPPE_RUN_STATE
trap 'tools/run --stop >/dev/null 2>&1; rm -rf "$work" "$state"; exit $((failures > 0))' EXIT

says "a word that it does not know gets the usage" 'tools/run --status' tools/run --wrong; ends "that" 2
says "help is no error" 'tools/run --stop' tools/run --help; ends "that" 0
says "a port that is none is refused" 'STEPPE_HTTP_PORT=80x is not a port' env STEPPE_HTTP_PORT=80x tools/run; ends "that" 1
says "a port too high for the file server's is refused" 'STEPPE_HTTP_PORT=65530 is not a port' env STEPPE_HTTP_PORT=65530 tools/run; ends "that" 1
says "no agent runs before" '^agent: not running$' tools/run --status; ends "--status" 3
says "stopping nothing is fine" '^stopped$' tools/run --stop; ends "that" 0
says "tools/run ends with the job's line" '^hello [0-9a-f]{16} from allocation [0-9a-f-]{36}' tools/run; ends "tools/run" 0
cp "$work/out" "$work/first"
pid=$(cat "$state/agent.pid")
[ -d "/proc/$pid" ] && ok "its agent is the one of the pid file" || bad "its agent is the one of the pid file"
says "--status tells" "^agent: running, pid $pid, http://127.0.0.1:$STEPPE_HTTP_PORT" tools/run --status; ends "--status" 0
says "and lists the job" '^hello +service +50 +running' tools/run --status
# What it says to type next works as it stands; a log that is followed has no end of its own.
grep -E '^  tools/sdk/sdk run ' "$work/first" >"$work/next"
[ "$(wc -l <"$work/next")" = 3 ] && ok "it names three commands to go on with" || bad "it names three commands to go on with"
while read -r line; do
  case $line in *" -f "*) line="timeout 5 $line" ;; esac
  bash -c "$line" </dev/null >"$work/out" 2>&1; code=$?
  case $code in 0 | 124) [ -s "$work/out" ] && ok "works: $line" || bad "says nothing: $line" ;; *) bad "exit code $code: $line"; tail "$work/out" ;; esac
done <"$work/next"

# The port of what runs is remembered; another is not taken for it.
says "--status without the port finds it" "^agent: running, pid $pid, http://127.0.0.1:$STEPPE_HTTP_PORT" env -u STEPPE_HTTP_PORT tools/run --status; ends "that" 0
says "another port beside it is refused" "the agent of this checkout runs on port $STEPPE_HTTP_PORT" env STEPPE_HTTP_PORT=$((STEPPE_HTTP_PORT + 1)) tools/run; ends "that" 1
says "a port that is in use is refused before the build" "port $STEPPE_HTTP_PORT of 127.0.0.1, for the agent, is in use" env STEPPE_RUN_STATE="$STEPPE_RUN_STATE-other" tools/run; ends "that" 1
rm -rf "$state-other"

word=$(cat "$state/word")
says "a second tools/run goes on from there" '^hello [0-9a-f]{16} from allocation' tools/run; ends "that" 0
[ "$(cat "$state/agent.pid")" = "$pid" ] && ok "with the same agent" || bad "with the same agent"
[ "$(cat "$state/word")" != "$word" ] && ok "and a new word" || bad "and a new word"
says "one job is there" '^1$' bash -c "tools/run --status | grep -c '^hello '"

mkdir -p "$state"
says "two at once: the second says so" 'another tools/run is at work' flock "$state/lock" tools/run; ends "that" 1

# --- The package
says "tools/run --package builds it" 'dpkg-deb: building package' tools/run --package; ends "that" 0
deb=build/steppe_$(sed -n 's/^project(steppe VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)_amd64.deb
cat >"$work/package.sh" <<'IN'
set -u
deb=/src/$1 root=/tmp/root
note() { printf '%s\n' "$*"; }
mkdir -p $root/var/lib/dpkg/{info,updates,triggers} && : >$root/var/lib/dpkg/status && : >$root/var/lib/dpkg/available
# Its dependencies are those of this Debian: they count as installed.
dpkg-query -W -f '${Package}\n' >/tmp/have
for dependency in $(dpkg-deb -f $deb Depends | tr -d ' ' | sed 's/([^)]*)//g;s/,/ /g'); do grep -qx "$dependency" /tmp/have && note "dependency $dependency: there" || note "dependency $dependency: MISSING"; done
dpkg --root=$root --force-depends --force-script-chrootless -i $deb >/tmp/dpkg.log 2>&1 && note "installed" || { note "NOT installed"; cat /tmp/dpkg.log; }
for file in usr/bin/steppe usr/bin/steppe-executor usr/bin/nomad usr/lib/systemd/system/steppe.service etc/steppe.d/steppe.hcl; do [ -e $root/$file ] && note "file $file: there" || note "file $file: MISSING"; done
# The build root's dpkg leaves documents out: asked of the package itself.
dpkg-deb -c $deb | grep -q ' ./usr/share/doc/steppe/copyright$' && note "licence is in it" || note "licence is NOT in it"
[ "$(find $root/usr $root/etc ! -uid 0 | wc -l)" = 0 ] && note "all of root" || note "NOT all of root"
[ "$(find $root/usr $root/etc ! -type l -perm /022 | wc -l)" = 0 ] && note "nobody else may write" || note "somebody else MAY write"
# Every library of the program comes from a package that it depends on.
for library in $(ldd $root/usr/bin/steppe | sed -n 's/.* => \(\/[^ ]*\).*/\1/p'); do
  package=$(dpkg -S "$(readlink -f "$library")" 2>/dev/null | sed 's/:.*//' | head -n 1)
  dpkg-deb -f $deb Depends | grep -q "$package" && note "library $(basename "$library"): $package" || note "library $(basename "$library"): $package MISSING in Depends"
done
ldd $root/usr/bin/steppe-executor >/dev/null 2>&1 && note "executor is NOT static" || note "executor is static"
mkdir -p $root/lib; ln -sfn /usr/lib/systemd $root/lib/systemd 2>/dev/null
sed "s,/usr/bin/steppe,$root/usr/bin/steppe," $root/usr/lib/systemd/system/steppe.service >/tmp/steppe.service
systemd-analyze verify --man=no --recursive-errors=no /tmp/steppe.service >/tmp/verify.log 2>&1 && [ ! -s /tmp/verify.log ] && note "unit verified" || { note "unit NOT verified"; cat /tmp/verify.log; }
# The unit's own command with the package's own configuration, its data elsewhere.
$root/usr/bin/steppe agent -config $root/etc/steppe.d -data-dir /tmp/data -http-port "$2" >/tmp/agent.log 2>&1 &
pid=$!
export NOMAD_ADDR=http://127.0.0.1:$2
for _ in $(seq 100); do $root/usr/bin/nomad node status 2>/dev/null | grep -q ready && break; sleep 0.1; done
note "as nomad: $($root/usr/bin/nomad version | head -n 1)"
note "as nomad: $($root/usr/bin/nomad node status | head -n 1)"
note "as nomad: $($root/usr/bin/nomad job run 2>&1 | head -n 1)"
note "as nomad: $($root/usr/bin/nomad -help 2>&1 | head -n 1)"
cd /tmp && $root/usr/bin/nomad job init >/dev/null && $root/usr/bin/nomad job plan example.nomad.hcl | grep '^nomad job run' | sed 's/^/as nomad: /'
$root/usr/bin/nomad job run -detach example.nomad.hcl >/dev/null && for _ in $(seq 100); do $root/usr/bin/nomad job status example | grep -q ' running ' && note "as nomad: the example runs" && break; sleep 0.2; done
$root/usr/bin/nomad job stop -purge example >/dev/null; sleep 1
kill -TERM $pid; wait $pid && note "agent ended well" || { note "agent ended BADLY"; tail /tmp/agent.log; }
echo changed >>$root/etc/steppe.d/steppe.hcl
dpkg --root=$root --force-script-chrootless -r steppe >/tmp/dpkg.log 2>&1; [ -e $root/etc/steppe.d/steppe.hcl ] && [ ! -e $root/usr/bin/steppe ] && note "removed, configuration kept" || { note "NOT removed rightly"; cat /tmp/dpkg.log; }
dpkg --root=$root --force-script-chrootless -P steppe >/tmp/dpkg.log 2>&1; [ ! -e $root/etc/steppe.d/steppe.hcl ] && note "purged" || { note "NOT purged"; cat /tmp/dpkg.log; }
IN
mkdir -p "$state"; cp "$work/package.sh" "$state/package.sh"
tools/sdk/sdk run bash "/src/$STEPPE_RUN_STATE/package.sh" "$deb" $((STEPPE_HTTP_PORT + 1)) >"$work/package" 2>&1 </dev/null
cat "$work/package" | sed 's/^/        /'
grep -Eq 'MISSING|NOT|MAY|BADLY' "$work/package" && bad "nothing is wrong with the package" || ok "nothing is wrong with the package"
for line in 'dependency libc6: there' installed 'file usr/lib/systemd/system/steppe.service: there' 'unit verified' 'executor is static' 'as nomad: Nomad v2.0.6' 'as nomad: ID        Node Pool  DC   Name' \
  'as nomad: This command takes one argument: <path>' 'as nomad: Usage: nomad ' 'as nomad: nomad job run -check-index 0 example.nomad.hcl' 'as nomad: the example runs' 'agent ended well' 'removed, configuration kept' purged; do
  grep -qF -- "$line" "$work/package" && ok "package: $line" || bad "package: no \"$line\""
done
says "it has its conffile" '/etc/steppe.d/steppe.hcl' tools/sdk/sdk run dpkg-deb --info "$deb" conffiles

says "--stop stops" '^stopped$' tools/run --stop; ends "--stop" 0
[ -d "/proc/$pid" ] && bad "the agent is gone" || ok "the agent is gone"
says "and again" '^stopped$' tools/run --stop; ends "that" 0
says "--status says so" '^agent: not running$' tools/run --status; ends "it" 3
# A pid file of an agent that died is no obstacle, nor is a process that got its number since.
mkdir -p "$state"; echo $$ >"$state/agent.pid"
says "a stale pid file is not believed" '^agent: not running$' tools/run --status
says "nor its process stopped" '^stopped$' tools/run --stop

# --- An agent that was killed leaves its tasks behind, as it should: the next start and --stop know them and end them.
executors() { pgrep -fc "^steppe-executor: $1" || true; }
rm -f "$state/agent.pid"
says "tools/run starts once more" '^hello [0-9a-f]{16} from allocation' tools/run; ends "that" 0
first=$(cut -c1-8 "$state/alloc")
[ "$(executors "$first")" = 1 ] && ok "its task has an executor" || bad "its task has an executor"
kill -KILL "$(cat "$state/agent.pid")"
says "--status says that tasks were left" '^agent: not running \(tasks of one that died are left: 1; tools' tools/run --status; ends "it" 3
[ "$(executors "$first")" = 1 ] && ok "and changes nothing" || bad "and changes nothing"
says "the next start ends them" '^== ended what an agent left that died \(tasks: 1, control groups: [0-9]+\)' tools/run; ends "that" 0
[ "$(executors "$first")" = 0 ] && ok "all of them" || bad "all of them"
second=$(cut -c1-8 "$state/alloc")
[ "$second" != "$first" ] && [ "$(executors "$second")" = 1 ] && ok "and starts anew" || bad "and starts anew"
kill -KILL "$(cat "$state/agent.pid")"
says "--stop ends them too" '^ended what an agent left that died \(tasks: 1, control groups: [0-9]+\)' tools/run --stop; ends "that" 0
[ "$(executors "$second")" = 0 ] && ok "all of them" || bad "all of them"
[ "$(find /sys/fs/cgroup -path "*steppe.slice/$first*" -o -path "*steppe.slice/$second*" | wc -l)" = 0 ] && ok "and their control groups" || bad "and their control groups"
says "a second time there is nothing to say" '^stopped$' tools/run --stop; ends "that" 0
[ "$(wc -l <"$work/out")" = 1 ] && ok "and nothing is said" || bad "and nothing is said"

# --- Documents: each command in them is run here, or is what runs this.
grep -ohE '`(tools/[a-z]|\.ci/)[^`]*`|^    tools/[^#]*' README.md CONTRIBUTING.md CHANGELOG.md tests/data/README.md 2>/dev/null | sed 's/^ *//;s/`//g;s/ *$//' | sort -u >"$work/commands"
while read -r line; do
  as_run=${line//build\/release/${STEPPE_RUN_TREE:-build/release}}
  case $line in
    tools/run | "tools/run --status" | "tools/run --stop" | "tools/run --package") ok "documents: $line (above)" ;;
    "tools/run --machine") ok "documents: $line (machine_run)" ;;
    tools/test) ok "documents: $line (runs this)" ;;
    "tools/test --list") says "documents: $line" '^unit-asan$' $line ;;
    "tools/test release unit") says "documents: $line" '^release$' bash -c 'tools/test --list' ;;
    "tools/sdk/sdk run COMMAND") says "documents: $line" '^/src$' tools/sdk/sdk run pwd ;;
    "tools/sdk/sdk shell") says "documents: $line" '^inside /src$' bash -c 'echo "echo inside \$PWD" | tools/sdk/sdk shell' ;;
    "tools/sdk/sdk lock") ok "documents: $line (needs the network for minutes: not run)" ;;
    "tools/sdk/sdk run ninja -C build/release init_hcl_test") says "documents: $line" 'no work to do|Linking' $as_run ;;
    "tools/sdk/sdk run build/release/bin/init_hcl_test") says "documents: $line" 'PASSED' bash -c "tools/sdk/sdk run ninja -C '${STEPPE_RUN_TREE:-build/release}' init_hcl_test >/dev/null; $as_run" ;;
    "tools/tidy/tidy") says "documents: $line" 'nothing found' $line ;;
    tools/sdk/packages | tools/sdk/ | tools/tidy/exceptions | tools/decisions/ | tools/ | tools/sdk | tools/tidy) [ -e "$line" ] && ok "documents: $line is there" || bad "documents: $line is not there" ;;
    *) bad "documents: nothing runs \"$line\"" ;;
  esac
done <"$work/commands"
