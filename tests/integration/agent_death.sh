#!/usr/bin/env bash
# kill -9 of the agent: tasks run on, the next agent takes hold of them, and no line and no exit code is lost.
. "$(dirname "$0")/lib.sh"
config=(-server -client -data-dir "$work/data" -config "$work/agent.hcl" -bind 127.0.0.1)
cat >"$work/agent.hcl" <<'HCL'
plugin "raw_exec" {
  config {
    enabled = true
  }
}
HCL
count=${STEPPE_DEATH_TASKS:-8}
job() {
  cat <<HCL
job "count$1" {
  type = "batch"
  group "g" {
    restart {
      attempts = 0
      mode     = "fail"
    }
    reschedule {
      attempts  = 0
      unlimited = false
    }
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "i=0; while [ -e $work/go ]; do echo line \$i; i=\$((i+1)); sleep 0.02; done; echo end \$i; exit $((1 + $1))"]
      }
      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
HCL
}
touch "$work/go"  # the tasks print until it is gone
start_agent "${config[@]}"
for i in $(seq "$count"); do job "$i" >"$work/job$i.hcl"; expect "job $i is accepted" steppe job run -detach "$work/job$i.hcl"; done
for i in $(seq "$count"); do until_text "job $i runs" '[0-9a-f]{8}-' running_alloc "count$i"; done
declare -A alloc pids
for i in $(seq "$count"); do alloc[$i]=$(running_alloc "count$i"); done
task_pids() { pgrep -f "^/bin/sh -c i=0; while \[ -e $work/go" | sort | tr '\n' ' '; }
# A shell that is just forking shows twice: look again until it is as before, or for good not.
same_tasks() { for _ in $(seq 50); do [ "$(task_pids)" = "$before" ] && return 0; sleep 0.1; done; return 1; }
before=
while [ "$(wc -w <<<"$before")" != "$count" ]; do before=$(task_pids); done
kill -KILL "$agent_pid"; wait "$agent_pid" 2>/dev/null
same_tasks && ok "tasks run on without the agent" || bad "tasks run on without the agent: $before / $(task_pids)"
start_agent "${config[@]}"
same_tasks && ok "no task was started anew" || bad "no task was started anew: $before / $(task_pids)"
kill -KILL "$agent_pid"; wait "$agent_pid" 2>/dev/null
# They end while no agent is there.
rm "$work/go"
for _ in $(seq 600); do [ -z "$(task_pids)" ] && break; sleep 0.1; done
start_agent "${config[@]}"
for i in $(seq "$count"); do
  until_text "the exit code of task $i is known" "Exit Code: $((1 + i))" steppe alloc status "${alloc[$i]}"
  steppe alloc logs "${alloc[$i]}" >"$work/lines" 2>&1
  seen=$(sed -n 's/^end //p' "$work/lines")
  { seq 0 $((seen - 1)) | sed 's/^/line /'; echo "end $seen"; } >"$work/expected"
  if [ -n "$seen" ] && cmp -s "$work/expected" "$work/lines"; then ok "task $i: every line once and in order"; else bad "task $i: every line once and in order"; diff "$work/expected" "$work/lines" | head -5; fi
done
expect_text "what was acknowledged before is there" 'count1' steppe job status
expect "the agent ends on SIGTERM" stop_agent
