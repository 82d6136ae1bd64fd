#!/usr/bin/env bash
# What finished or unknown allocations leave behind goes away; a damaged state costs no task and never the start.
. "$(dirname "$0")/lib.sh"
config=(-server -client -data-dir "$work/data" -config "$work/agent.hcl" -bind 127.0.0.1)
cat >"$work/agent.hcl" <<'HCL'
client {
  gc_interval   = "1s"
  gc_max_allocs = 4
}
plugin "raw_exec" {
  config {
    enabled = true
  }
}
HCL
# job NAME TYPE SCRIPT
job() {
  cat >"$work/$1.hcl" <<HCL
job "$1" {
  type = "$2"
  group "g" {
    restart {
      attempts = 0
      mode     = "fail"
    }
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "$3"]
      }
      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
HCL
  steppe job run -detach "$work/$1.hcl"
}
directories() { find "$work/data/alloc" -mindepth 1 -maxdepth 1 | wc -l; }
# at_most N COMMAND: prints "yes" once the command prints no more than N.
at_most() { local n; n=$("${@:2}"); if [ "$n" -le "$1" ]; then echo "yes: $n"; else echo "no: $n"; fi; }
alloc_of() { steppe operator api "/v1/job/$1/allocations" | jq -r '.[0].ID // empty'; }
keepers() { pgrep -c -f "^sleep 98765"; }
leftover_runs() { find "$work/data/run" -mindepth 1 -maxdepth 1 | wc -l; }

start_agent "${config[@]}"
expect "a service runs" job keeper service "exec sleep 98765"
until_text "it has a process" '^1$' keepers
until_text "its allocation runs" '[0-9a-f]{8}-' running_alloc keeper
keeper=$(running_alloc keeper)
expect_text "a second agent in its directory is refused" "is in use by another agent .*process $agent_pid" timeout 30 "$bin/steppe" agent -http-port "$((port + 1))" "${config[@]}"
pid=$(pgrep -f '^sleep 98765')
for i in 1 2 3 4 5 6 7 8; do expect "batch job $i is accepted" job "batch$i" batch "echo $i"; done
for i in 1 2 3 4 5 6 7 8; do until_text "batch job $i ends" 'complete' bash -c "STEPPE_ADDR=$STEPPE_ADDR '$bin/steppe' operator api /v1/job/batch$i/allocations | jq -r '.[0].ClientStatus'"; done
until_text "no more than gc_max_allocs directories stay" '^yes' at_most 4 directories
until_text "ended tasks leave nothing in the run directory" '^yes: 1$' at_most 1 leftover_runs
expect_text "the running one is not collected" "$pid" pgrep -f '^sleep 98765'
expect "its directory is there" test -d "$work/data/alloc/$keeper/alloc"
for i in 1 2 3 4 5 6 7 8; do steppe job stop -detach -purge "batch$i" >/dev/null 2>&1; done
expect "garbage is collected" steppe system gc
until_text "of what was purged nothing stays" '^yes: 1$' at_most 1 directories
expect_text "the servers forgot it as well" '^1$' bash -c "STEPPE_ADDR=$STEPPE_ADDR '$bin/steppe' operator api /v1/allocations | jq length"

# A directory and a state file that nobody made, while no agent is there.
kill -KILL "$agent_pid"; wait "$agent_pid" 2>/dev/null
mkdir -p "$work/data/alloc/11111111-2222-3333-4444-555555555555/alloc/data" "$work/data/alloc/mine"
cp "$work/data/client/data.mdb" "$work/good.mdb"
start_agent "${config[@]}"
until_text "a directory of no allocation is removed" '^yes: 2$' at_most 2 directories
expect "what is no allocation's is left alone" test -d "$work/data/alloc/mine"
expect_text "the task was not touched" "^$pid\$" pgrep -f '^sleep 98765'

# Damage in the middle of the state: the records around it are read, the task is taken hold of.
kill -KILL "$agent_pid"; wait "$agent_pid" 2>/dev/null
size=$(stat -c %s "$work/data/client/data.mdb")
for at in $(seq 8192 4096 $((size - 1))); do printf '\377\377\377\377\377\377\377\377' | dd of="$work/data/client/data.mdb" bs=1 seek=$((at + 8)) conv=notrunc status=none; done
start_agent "${config[@]}"
expect_text "damage is said, and where the file is kept" 'client state is damaged.*data.mdb.damaged-' cat "$work/agent.log"
expect "the damaged file is kept" bash -c "ls '$work'/data/client/data.mdb.damaged-*"
expect_text "the task is still the one it was" "^$pid\$" pgrep -f '^sleep 98765'
until_text "and is taken hold of" '^\[.*"running"' bash -c "curl -s $STEPPE_ADDR/v1/job/keeper/allocations | jq -c 'map(.ClientStatus)'"

# No database at all: the servers and the executors know enough.
kill -KILL "$agent_pid"; wait "$agent_pid" 2>/dev/null
head -c 50000 /dev/urandom >"$work/data/client/data.mdb"
start_agent "${config[@]}"
expect_text "the node is the same" '^1$' bash -c "STEPPE_ADDR=$STEPPE_ADDR '$bin/steppe' operator api /v1/nodes | jq length"
expect_text "the task is the same" "^$pid\$" pgrep -f '^sleep 98765'
until_text "its exit is still waited for" '"Terminated"' bash -c "kill $pid 2>/dev/null; curl -s $STEPPE_ADDR/v1/allocation/$keeper | jq -c '[.TaskStates.t.Events[].Type]'"

# A node that lost all it knew is a new one: nobody would ever end what the old one ran.
expect "a second service runs" job second service "exec sleep 98765"
until_text "it has a process" '^1$' keepers
kill -KILL "$agent_pid"; wait "$agent_pid" 2>/dev/null
rm -r "$work/data/client"
start_agent "${config[@]}"
until_text "what the old node ran is ended" 'ended a task that an earlier agent left' cat "$work/agent.log"
until_text "nothing is left in the run directory" '^yes: 0$' at_most 0 leftover_runs
expect "the agent ends on SIGTERM" stop_agent
