#!/usr/bin/env bash
# The disk of the allocations runs full while the servers have room: starts, rotation, artifacts and templates say so, the
# agent and the running tasks live on, and all go on once there is room.
. "$(dirname "$0")/lib.sh"
allocs_dir=$work/data/alloc
mkdir -p "$allocs_dir"
mount -t tmpfs -o size=96m,nr_inodes=4096 tmpfs "$allocs_dir" || { echo "cannot mount a tmpfs here"; failures=1; exit 1; }
at_end() { umount -l "$allocs_dir" 2>/dev/null; umount -l "$work/data/client" 2>/dev/null; pkill -KILL -f "^/bin/sh -c i=0; while .*$work" 2>/dev/null; true; }
cat >"$work/agent.hcl" <<'HCL'
plugin "raw_exec" {
  config {
    enabled = true
  }
}
HCL
config=(-server -client -data-dir "$work/data" -bind 127.0.0.1 -config "$work/agent.hcl")
start_files
head -c 9000000 /dev/urandom >"$work/www/large"
(cd "$work" && mkdir tree && for i in $(seq 40); do head -c 100000 /dev/urandom >"tree/$i"; done && tar -czf www/tree.tar.gz tree && rm -r tree)
start_agent "${config[@]}"
api=$STEPPE_ADDR

# job ID TYPE BODY: a group with one task t; it tries again every second.
job() {
  cat >"$work/$1.hcl" <<HCL
job "$1" {
  type = "$2"
  group "g" {
    ephemeral_disk {
      size = 10
    }
    restart {
      attempts = 100
      interval = "10m"
      delay    = "1s"
      mode     = "delay"
    }
    reschedule {
      attempts       = 0
      interval       = "24h"
      delay          = "5s"
      delay_function = "constant"
      unlimited      = true
    }
    task "t" {
      logs {
        max_files     = 2
        max_file_size = 1
      }
      resources {
        cpu    = 20
        memory = 16
      }
      $3
    }
  }
}
HCL
  steppe job run -detach "$work/$1.hcl" >"$work/run.out" 2>&1 && ok "$1 is accepted" || { bad "$1 is accepted"; cat "$work/run.out"; }
}
allocs() { steppe operator api "/v1/job/$1/allocations"; }
events() { allocs "$1" | jq -r '.[] | .TaskStates.t.Events[]? | "\(.Type): \(.DisplayMessage)"'; }
states() { allocs "$1" | jq -r '[.[].ClientStatus] | sort | join(" ")'; }
fill() { dd if=/dev/zero of="$allocs_dir/filler" bs=16k 2>/dev/null; sync -f "$allocs_dir"; }
alive() { [ -d "/proc/$agent_pid" ] && curl -s -m 5 "$api/v1/status/leader" | grep -q '^"127' && ok "$1" || bad "$1"; }

# A task that writes 500 kB of numbered lines a second, and beside that notes on another disk how far it is.
writer='driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "i=0; while :; do n=0; while [ $n -lt 500 ]; do echo \"line $i of a task that writes a lot of lines, and each of them is about one thousand bytes long: PAD\"; i=$((i+1)); n=$((n+1)); done; echo $i >WORK/beat.new; mv WORK/beat.new WORK/beat; sleep 0.2; done"]
      }'
pad=$(head -c 900 /dev/zero | tr '\0' x)
writer=${writer//PAD/$pad}; writer=${writer//WORK/$work}
job writer service "$writer"
until_text "it writes" '^[0-9]+$' cat "$work/beat"
until_text "its allocation runs" '[0-9a-f]{8}-' running_alloc writer
writer_alloc=$(running_alloc writer)
logs=$allocs_dir/$writer_alloc/alloc/logs
last_line() { cat "$logs"/t.stdout.* 2>/dev/null | sed -n 's/^line \([0-9]*\) of a task.*x$/\1/p' | sort -n | tail -n 1; }
beyond() { [ "$(cat "$work/beat")" -gt "$1" ] && echo yes || cat "$work/beat"; }
logged_beyond() { local n; n=$(last_line); [ "${n:-0}" -gt "$1" ] && echo yes || echo "$n"; }
rotated() { ls "$logs" | sed -n 's/^t.stdout.//p' | sort -n | tail -n 1; }
until_text "its log rotates" '^([2-9]|[1-9][0-9]+)$' rotated
writer_pid=$(pgrep -f "^/bin/sh -c i=0; while .*$work" | head -n 1)

# ---- Full. The writer holds still meanwhile: each turn of its log makes room for a moment.
kill -STOP "$writer_pid"
fill
expect_text "the disk of the allocations is full" '100%' df --output=pcent "$allocs_dir"
job artifact batch "driver = \"raw_exec\"
      artifact {
        source = \"http://127.0.0.1:$((port + 1))/large\"
      }
      config {
        command = \"/bin/sh\"
        args    = [\"-c\", \"stat -c %s local/large\"]
      }"
job archive batch "driver = \"raw_exec\"
      artifact {
        source = \"http://127.0.0.1:$((port + 1))/tree.tar.gz\"
      }
      config {
        command = \"/bin/sh\"
        args    = [\"-c\", \"ls local/tree | wc -l\"]
      }"
job template batch 'driver = "raw_exec"
      template {
        data        = <<EOT
{{ env "NOMAD_JOB_NAME" }} is rendered
EOT
        destination = "local/rendered"
      }
      config {
        command = "/bin/cat"
        args    = ["local/rendered"]
      }'
until_text "the artifact's event says why" 'Failed Artifact Download: .*No space left on device' events artifact
until_text "the archive's too" 'Failed Artifact Download: .*No space left on device' events archive
until_text "the template's too" 'Task hook failed: template local/rendered: .*No space left on device' events template
until_text "they are tried again" 'Restarting: Task restarting in' events artifact
# Room enough to download the archive, not to unpack it.
truncate -s -$((6 << 20)) "$allocs_dir/filler"
until_text "one that is half unpacked when the room ends says so" 'Failed Artifact Download: http:[^ ]*tree.tar.gz: write artifact: No space left on device' events archive
kill -CONT "$writer_pid"
seen=$(cat "$work/beat")
until_text "the running task goes on, its writes wait for nobody" '^yes$' beyond $((seen + 3000))
expect_text "and is the same" "^$writer_pid\$" pgrep -f "^/bin/sh -c i=0; while .*$work"
alive "the agent is alive"
expect_text "of the archive nothing half unpacked is there" '^none$' sh -c "find '$allocs_dir' -path '*/local/*' -not -name '*rendered*' | grep . || echo none"

# Not even names left: an allocation cannot be set up.
i=0; mkdir "$allocs_dir/names"; while : 2>/dev/null >"$allocs_dir/names/$i"; do i=$((i + 1)); done 2>/dev/null
job setup batch 'driver = "raw_exec"
      config {
        command = "/bin/echo"
        args    = ["at last"]
      }'
until_text "its event says why" 'Setup Failure: .*No space left on device' events setup
until_text "its allocation has failed" '^failed' states setup
alive "the agent is still alive"
seen=$(cat "$work/beat")
until_text "the running task goes on" '^yes$' beyond $((seen + 3000))

# ---- Room
before=$(cat "$work/beat")
rm -rf "$allocs_dir/filler" "$allocs_dir/names"
until_text "the artifact comes" '^complete$' states artifact
until_text "the archive comes" '^complete$' states archive
until_text "the template is rendered" '^complete$' states template
until_text "the one that could not be set up runs in a new allocation" '^complete failed' states setup
one() { allocs "$1" | jq -r 'map(select(.ClientStatus == "complete")) | .[0].ID'; }
expect_text "whole" '^9000000$' steppe alloc logs "$(one artifact)"
expect_text "all of it" '^40$' steppe alloc logs "$(one archive)"
expect_text "with its value" '^template is rendered$' steppe alloc logs "$(one template)"
expect_text "and says what it should" '^at last$' steppe alloc logs "$(one setup)"
until_text "the running task's log goes on" '^yes$' logged_beyond "$before"
expect_text "and keeps its limit" '^[12]$' sh -c "ls '$logs' | grep -c '^t.stdout.'"
expect_text "it is the same task" "^$writer_pid\$" pgrep -f "^/bin/sh -c i=0; while .*$work"
for name in artifact archive template setup; do steppe job stop -purge -detach "$name" >/dev/null; done
expect "the writer is stopped" steppe job stop -detach writer
until_text "it ends" '^complete$' states writer
expect "the agent ends on SIGTERM" stop_agent

# ---- The client's own state without room: nothing starts that could not be found again, and what runs goes on.
mkdir -p "$work/client-state" && cp -a "$work/data/client/." "$work/client-state/"
mount -t tmpfs -o size=2m tmpfs "$work/data/client" && cp -a "$work/client-state/." "$work/data/client/"
start_agent "${config[@]}"
job before service "$writer"
until_text "a task runs before" '^running$' states before
before_pid=$(pgrep -f "^/bin/sh -c i=0; while .*$work" | head -n 1)
dd if=/dev/zero of="$work/data/client/filler" bs=4k 2>/dev/null
expect_text "the disk of the client's state is full" '100%' df --output=pcent "$work/data/client"
# A job too large for what is left of it.
cat >"$work/after.json" <<JSON
{"Job": {"ID": "after", "Type": "service", "Datacenters": ["*"], "Meta": {"pad": "$(head -c 60000 /dev/urandom | base64 -w 0)"},
  "TaskGroups": [{"Name": "g", "EphemeralDisk": {"SizeMB": 10}, "RestartPolicy": {"Attempts": 100, "Interval": 600000000000, "Delay": 1000000000, "Mode": "delay"},
    "Tasks": [{"Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/sleep", "args": ["86397"]}, "LogConfig": {"MaxFiles": 1, "MaxFileSizeMB": 1}, "Resources": {"CPU": 20, "MemoryMB": 16}}]}]}}
JSON
expect "a large job is accepted" curl -s --fail-with-body -X PUT --data-binary "@$work/after.json" "$api/v1/jobs"
until_text "that its state is not written is said" 'client state is not written, tried again until it is: .*No space left on device' cat "$work/agent.log"
until_text "what cannot be noted is not started, and says so" 'Driver Failure: client state: commit: No space left on device' events after
alive "the agent is alive"
expect_text "the task that runs goes on" "^$before_pid\$" pgrep -f "^/bin/sh -c i=0; while .*$work"
expect_text "this is said once" '^1$' grep -c 'client state is not written' "$work/agent.log"
rm "$work/data/client/filler"
until_text "with room it is written" 'client state is written again' cat "$work/agent.log"
until_text "the large job runs" '^running$' states after
sleeper() { pgrep -f '^/bin/sleep 86397'; }
until_text "with a process" '^[0-9]+$' sleeper
after_pid=$(sleeper)
# The next agent knows all that this one noted.
kill -KILL "$agent_pid"; wait "$agent_pid" 2>/dev/null
start_agent "${config[@]}"
until_text "the next agent has the task" '^running$' states before
expect_text "it is the same" "^$before_pid\$" pgrep -f "^/bin/sh -c i=0; while .*$work"
until_text "and the other one" '^running$' states after
expect_text "it is the same too" "^$after_pid\$" sleeper
expect "it is stopped" steppe job stop -purge -detach after
expect "the first too" steppe job stop -detach before
until_text "it ends" '^complete$' states before
expect "the agent ends on SIGTERM" stop_agent
