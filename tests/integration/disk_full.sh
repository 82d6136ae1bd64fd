#!/usr/bin/env bash
# The disk of the data directory runs full under the whole agent: clear errors, no acknowledged write lost, and back to work.
. "$(dirname "$0")/lib.sh"
small=$work/small
mkdir "$small"
mount -t tmpfs -o size=64m tmpfs "$small" || { echo "cannot mount a tmpfs here"; failures=1; exit 1; }
pid=
trap 'finish; [ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null; umount -l "$small" 2>/dev/null; rm -rf "$work" 2>/dev/null; exit $((failures > 0))' EXIT
cat >"$work/agent.hcl" <<'HCL'
plugin "raw_exec" {
  config {
    enabled = true
  }
}
HCL
config=(-server -client -data-dir "$small/data" -bind 127.0.0.1 -config "$work/agent.hcl")
start_agent "${config[@]}"
api=$STEPPE_ADDR
# A job that runs all the while, and writes a line now and then.
cat >"$work/steady.hcl" <<HCL
job "steady" {
  group "g" {
    ephemeral_disk {
      size = 12
    }
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "i=0; while :; do echo line \$i of $work; i=\$((i+1)); sleep 0.2; done"]
      }
      logs {
        max_files     = 1
        max_file_size = 1
      }
      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
HCL
expect "a job runs before" steppe job run -detach "$work/steady.hcl"
until_text "it does" '[0-9a-f]{8}-' running_alloc steady
steady=$(running_alloc steady)
steady_pid() { pgrep -f "^/bin/sh -c i=0; while :; do echo line .i of $work" | head -n 1; }
pid=$(steady_pid)
# put NUMBER: registers job n-NUMBER, 200 kB of it, stopped from the start; notes the number when that was acknowledged.
body() { printf '{"Job":{"ID":"n-%s","Type":"batch","Stop":true,"Datacenters":["nowhere"],"Meta":{"pad":"' "$1"; head -c 200000 /dev/urandom | base64 -w 0; printf '"},"TaskGroups":[{"Name":"g","Tasks":[{"Name":"t","Driver":"raw_exec","Config":{"command":"/bin/true"}}]}]}}'; }
put() {
  body "$1" >"$work/job.json"
  code=$(curl -s -m 20 -o "$work/answer" -w '%{http_code}' -X PUT --data-binary "@$work/job.json" "$api/v1/jobs")
  [ "$code" = 200 ] && acknowledged+=("$1")
  [ "$code" = 200 ]
}
acknowledged=()
for i in 1 2 3; do put "$i" && ok "job $i is acknowledged with space" || bad "job $i is acknowledged with space: $code"; done
dd if=/dev/zero of="$small/filler" bs=64k 2>/dev/null
expect_text "the disk is full" '100%' df --output=pcent "$small"
# The log has its next segment in hand: writes go on until that is full too.
number=3
while put $((number += 1)); do [ "$number" -lt 300 ] || break; done
expect_text "a write without space is refused, with the reason and what to do" 'no space for the raft log, free some on the disk of the data directory: .*No space left on device' cat "$work/answer"
[ "$code" = 500 ] && ok "with status 500, not by a hang" || bad "with status 500, not by a hang: $code"
put $((number += 1)); expect_text "the next one too" 'no space for the raft log' cat "$work/answer"
expect_text "the command line says so" 'Error submitting job: Unexpected response code: 500 \(no space for the raft log' steppe job run -detach "$work/steady.hcl"
expect_text "reads are served" '"steady"' curl -s -m 5 "$api/v1/jobs"
expect_text "the agent is alive and says that it is not lost" '^"127' curl -s -m 5 "$api/v1/status/leader"
[ "$(steady_pid)" = "$pid" ] && ok "the running task goes on" || bad "the running task goes on"
expect_text "the log tells an operator once" '^1$' grep -c 'no space for the raft log: writes wait until there is' "$work/agent.log"

# kept LABEL: every acknowledged job is there, whole.
kept() {
  curl -s -m 5 "$api/v1/status/leader" >/dev/null || { bad "$1: no agent answers"; tail -n 5 "$work"/agent*.log; return; }
  local lost=0 n
  for n in "${acknowledged[@]}"; do [ "$(steppe operator api "/v1/job/n-$n" | jq -r '.Meta.pad | length')" = "$(((200000 + 2) / 3 * 4))" ] || { lost=$((lost + 1)); echo "lost: n-$n"; }; done
  [ "$lost" = 0 ] && [ "${#acknowledged[@]}" -gt 3 ] && ok "$1: all ${#acknowledged[@]} acknowledged jobs are there" || bad "$1: $lost of ${#acknowledged[@]} acknowledged jobs are lost"
}
kept "on the full disk"
rm "$small/filler"
again() { put $((number += 1)) && echo yes; cat "$work/answer"; }
number=1000
until_text "with space again, writes are taken without a restart" yes again
acknowledged+=("$number")
kept "with space again"

# Full again, and now the agent is killed and started on the full disk.
dd if=/dev/zero of="$small/filler" bs=64k 2>/dev/null
for i in $(seq 2000 2300); do put "$i" || break; done
expect_text "full again" 'no space for the raft log' cat "$work/answer"
kill -KILL "$agent_pid"; wait "$agent_pid" 2>/dev/null; agent_pid=
"$bin/steppe" agent -http-port "$port" "${config[@]}" >>"$work/agent2.log" 2>&1 </dev/null &
agent_pid=$!
for _ in $(seq 100); do steppe server members >/dev/null 2>&1 && break; [ -d "/proc/$agent_pid" ] || break; sleep 0.1; done
if [ -d "/proc/$agent_pid" ]; then
  ok "an agent starts on the full disk"
else
  wait "$agent_pid"; agent_pid=
  expect_text "an agent that cannot start on the full disk says why" 'No space left on device' tail -n 3 "$work/agent2.log"
fi
rm "$small/filler"
[ -n "$agent_pid" ] || start_agent "${config[@]}"
ready() { steppe node status; }
until_text "with space it is ready" 'ready' ready
kept "after kill -9 on a full disk"
[ "$(steady_pid)" = "$pid" ] && ok "the task was not restarted" || bad "the task was not restarted: $pid, $(steady_pid)"
until_text "its allocation is the same" "$steady" running_alloc steady
number=5000
until_text "writes are taken" yes again

# What a node offers of its disk is what it had when its agent started.
expect "the agent ends on SIGTERM, its task goes on" stop_agent
start_agent "${config[@]}"
[ "$(steady_pid)" = "$pid" ] && ok "the task is still the same" || bad "the task is still the same"

kept "in the end"
expect "the job is stopped" steppe job stop -purge -detach steady
until_text "its process is gone" gone sh -c "[ -d /proc/$pid ] || echo gone"
expect "the agent ends on SIGTERM" stop_agent
