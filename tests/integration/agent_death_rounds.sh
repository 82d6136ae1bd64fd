# Sourced by agent_death.sh and agent_death_long.sh: kill -9 of the agent again and again while it starts tasks, stops
# tasks, while logs rotate, while tasks end without it, while it starts itself, and at any other moment. What must hold:
# every line of every task once and in order over all rotated files, no task started twice (pid and start time), no exit
# code lost, nothing lost that was acknowledged.
#
#   ROUNDS  how many kills          TASKS  how many tasks that end while the agent is down, each with its own exit code
#   HITS    how many kills must fall inside the start of a task, the stop of a task or a rotation; more rounds are
#           added until it is reached
#   STEPPE_DEATH_SEED=N repeats the draws of a run (the machine's pace is not repeated)
. "$(dirname "$0")/lib.sh"

tag=death$$  # begins the name of each job and, by that, the first argument of each task: nobody else's are counted
seed=${STEPPE_DEATH_SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
RANDOM=$((seed % 32768))
echo "seed $((seed % 32768)): $ROUNDS kills, $TASKS tasks"
# Returns a number below $1 in `drawn`; no subshell, which would draw from a sequence of its own.
draw() { drawn=$(((RANDOM * 32768 + RANDOM) % $1)); }
exec {never}<> <(:)
pause_ms() { [ "$1" -le 0 ] || read -r -t "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))" -u "$never"; }
now() { local t=${EPOCHREALTIME/[.,]/}; ms=${t%???}; }
api() { curl -sf --max-time 10 "$STEPPE_ADDR$1"; }
say() { [ -z "${STEPPE_DEATH_VERBOSE:-}" ] || printf '        %s\n' "$*"; }

cat >"$work/agent.hcl" <<HCL
client {
  gc_max_allocs = 1000
  chroot_env = {
    "/etc" = "/etc"
    "$bin" = "/tools"
  }
}
plugin "raw_exec" {
  config {
    enabled = true
  }
}
HCL

# Called by finish(): after a failure, tasks may be left.
at_end() {
  local name pid rest
  while read -r name pid rest; do kill -KILL "$pid" 2>/dev/null; done < <(processes)
}

# ---- The agent ----

kills=0
up() {  # up: starts the agent, waits for nothing
  "$bin/steppe" agent -http-port "$port" -server -client -data-dir "$work/data" -config "$work/agent.hcl" -bind 127.0.0.1 \
    >>"$work/agent.log" 2>&1 </dev/null &
  agent_pid=$!
}
ready() {  # until the servers lead and the client has told them of its allocs
  local i
  for i in $(seq 1500); do
    curl -sf -o "$work/health" --max-time 10 "$STEPPE_ADDR/v1/agent/health" && return 0
    [ -d "/proc/$agent_pid" ] || break
    pause_ms 20
  done
  bad "the agent comes up after kill $kills"; exit 1
}
down() {  # kill -9; leaves the time in killed_ms
  now; killed_ms=$ms
  kill -KILL "$agent_pid"; wait "$agent_pid" 2>/dev/null
  agent_pid=
  kills=$((kills + 1))
}

# ---- Tasks ----

declare -A kind driver code chatty linger  # by task name
declare -A accepted                        # job run was acknowledged
declare -A ended                           # told to end, or stopped
declare -A stop_accepted alloc placed process burst_count
declare -a tasks=() counted=() stoppers=() waiting=()
task_number=0

# describe NAME: a job of one task
describe() {
  local name=$1 command="$bin/counting-service" size=60 pace=25 pad=0 type=batch policy
  [ "${driver[$name]}" = exec ] && command=/tools/counting-service
  [ "${chatty[$name]}" = yes ] && { size=200; pad=400; }
  [ "${kind[$name]}" = stop ] && type=service
  policy='restart {
      attempts = 0
      mode     = "fail"
    }'
  [ "$type" = batch ] && policy="$policy
    reschedule {
      attempts  = 0
      unlimited = false
    }"
  cat <<HCL
job "$name" {
  type = "$type"
  group "g" {
    $policy
    ephemeral_disk {
      size = $size
    }
    task "t" {
      driver       = "${driver[$name]}"
      kill_timeout = "20s"
      config {
        command = "$command"
        args    = ["$name", "${code[$name]}", "$pace", "$pad", "${linger[$name]}"]
      }
      logs {
        max_files     = $((size - 10))
        max_file_size = 1
      }
      resources {
        cpu    = 10
        memory = 10
      }
    }
  }
}
HCL
}

# new_task KIND NAME: half of them raw_exec, half exec; every fifth is chatty enough to rotate.
new_task() {
  local name=$2
  task_number=$((task_number + 1))
  kind[$name]=$1
  driver[$name]=raw_exec; [ $((task_number % 2)) = 0 ] && driver[$name]=exec
  chatty[$name]=no; [ "$1" = count ] && [ $((task_number % 5)) -lt 2 ] && chatty[$name]=yes
  code[$name]=$task_number
  draw 300; linger[$name]=$((50 + drawn))
  burst_count[$name]=0
  describe "$name" >"$work/$name.hcl"
}

# Not acknowledged is not lost: it is asked again, and must not run twice because of that.
submit() { if steppe job run -detach "$work/$1.hcl" >"$work/out.$1" 2>&1; then accepted[$1]=yes; fi; }
stop_job() { if steppe job stop -detach "$1" >"$work/out.$1" 2>&1; then stop_accepted[$1]=yes; fi; }
start_of() { sed -n '1s/^start [^ ]* \([0-9]*\)$/\1/p' "$(logs_of "$1")/t.stdout.0" 2>/dev/null; }
logs_of() { printf '%s/data/alloc/%s/alloc/logs' "$work" "${alloc[$1]:-none}"; }
# The rotated files of a task in their order, and what they hold together.
files_of() { (cd "$(logs_of "$1")" && for file in t.stdout.*; do printf '%s\n' "${file##*.}"; done) 2>/dev/null | sort -n | sed "s|^|$(logs_of "$1")/t.stdout.|"; }
lines_of() { files_of "$1" | xargs -r cat; }

learn_allocs() {  # job -> alloc, and no job has two
  local name id made
  while read -r name id made; do
    [ -n "${kind[$name]:-}" ] || continue
    if [ -n "${alloc[$name]:-}" ] && [ "${alloc[$name]}" != "$id" ]; then
      bad "$name was placed a second time: ${alloc[$name]} and $id (kill $kills)"; steppe alloc status "${alloc[$name]}"; exit 1
    fi
    alloc[$name]=$id; placed[$name]=$made
  done < <(api /v1/allocations | jq -r '.[] | "\(.JobID) \(.ID) \(.CreateTime / 1000000 | floor)"')
}

# pid and start time of every task process: "NAME PID TICKS"
processes() {
  local pid args stat
  while read -r pid args; do
    read -r stat 2>/dev/null <"/proc/$pid/stat" || continue
    stat=${stat##*) }
    # Field 22 of the file; the first behind the name is the third. A task that is being made still has its parent's name.
    printf '%s %s %s\n' "$(cut -d' ' -f2 <<<"$args")" "$pid" "$(cut -d' ' -f20 <<<"$stat")"
  done < <(pgrep -a -f "^[^ ]*/counting-service $tag-")
}

# The same processes as ever: one for a task that was not told to end, and the one that was seen first.
check_processes() {
  local when=$1 name pid ticks
  declare -A seen=()
  while read -r name pid ticks; do
    [ -n "${kind[$name]:-}" ] || continue
    if [ -n "${seen[$name]:-}" ]; then bad "$name runs twice $when (kill $kills): pids ${seen[$name]} and $pid"; exit 1; fi
    seen[$name]=$pid
    if [ -z "${process[$name]:-}" ]; then
      process[$name]="$pid $ticks"
    elif [ "${process[$name]}" != "$pid $ticks" ]; then
      bad "$name was restarted $when (kill $kills): pid and start time were ${process[$name]}, are $pid $ticks"; exit 1
    fi
  done < <(processes)
  for name in "${!process[@]}"; do
    if [ -z "${seen[$name]:-}" ] && [ -z "${ended[$name]:-}" ]; then bad "$name died $when (kill $kills)"; exit 1; fi
  done
}

# ---- Acknowledged writes: a writer that registers job versions until the agent is gone ----

writer_pid=
write_until_death() {
  local i
  for i in $(seq 1000); do
    curl -sf --max-time 5 -X POST "$STEPPE_ADDR/v1/jobs" -d "{\"Job\":{\"ID\":\"written-$1-$((i / 8))\",\"Name\":\"w\",\"Type\":\"batch\",\"Datacenters\":[\"*\"],
      \"Meta\":{\"n\":\"$i\"},\"TaskGroups\":[{\"Name\":\"g\",\"Count\":0,\"Tasks\":[{\"Name\":\"t\",\"Driver\":\"raw_exec\",\"Config\":{\"command\":\"/bin/true\"}}]}]}}" \
      >"$work/reply.$1" || return 0
    printf '%s %s %s\n' "written-$1-$((i / 8))" "$i" "$(jq .JobModifyIndex "$work/reply.$1")" >>"$work/acknowledged"
  done
}
start_writer() { write_until_death "$kills" & writer_pid=$!; }
end_writer() { [ -z "$writer_pid" ] || wait "$writer_pid"; writer_pid=; }

check_acknowledged() {
  [ -s "$work/acknowledged" ] || { bad "no write was acknowledged at all"; return; }
  api '/v1/jobs?meta=true' | jq -r '.[] | select(.ID | startswith("written-")) | "\(.ID) \(.Meta.n) \(.JobModifyIndex)"' >"$work/stored"
  # The newest acknowledged version of each job, or a newer one whose answer the kill cut off.
  if awk 'NR == FNR { n[$1] = $2; at[$1] = $3; next }
          !($1 in n) { print "lost: " $0; bad = 1; next }
          { want[$1] = $2; index_of[$1] = $3 }
          END { for (id in want) if (n[id] < want[id] || (n[id] == want[id] && at[id] != index_of[id])) {
                  print "lost: " id " version " want[id] " at " index_of[id] ", stored " n[id] " at " at[id]; bad = 1 }
                exit bad }' "$work/stored" "$work/acknowledged" >"$work/out"; then
    ok "$(wc -l <"$work/acknowledged") acknowledged writes are there"
  else
    bad "an acknowledged write was lost"; head -n 5 "$work/out"
  fi
}

# ---- What a kill fell into ----

declare -A aimed=() hit=()
count_hit() { hit[$1]=$((${hit[$1]:-0} + 1)); }
hits() { echo $((${hit[start]:-0} + ${hit[stop]:-0} + ${hit[rotation]:-0})); }
# Judged after the fact, from what tasks and files say of their own times: "NAME BEGUN KILLED".
declare -a to_judge_start=() to_judge_stop=()
# When a start and a stop happen after they were asked for, in ms: learnt from each, for the aim of the next.
start_from=15; start_to=150; stop_from=30
# Between $1 and $2, with a tenth of that more on both sides.
aim() { local width=$(($2 > $1 ? $2 - $1 : 1)); draw $((width * 12 / 10 + 2)); drawn=$(($1 - width / 10 + drawn)); }
learn() { local was=${!1}; printf -v "$1" %d $(((3 * was + $2) / 4)); }

# ---- The kinds of rounds. Each leaves the agent dead. ----

round_start() {
  local names=() name i
  for i in 1 2; do
    [ ${#waiting[@]} -gt 0 ] || break
    names+=("${waiting[0]}"); waiting=("${waiting[@]:1}")
  done
  # Submitted one after the other in the background, so that the kill falls anywhere in the way of either.
  now; local begun=$ms
  for name in "${names[@]}"; do (submit "$name"; [ -n "${accepted[$name]:-}" ] && touch "$work/accepted.$name") & done
  aim "$start_from" "$start_to"; pause_ms "$drawn"
  down
  wait
  for name in "${names[@]}"; do
    [ -e "$work/accepted.$name" ] && accepted[$name]=yes
    to_judge_start+=("$name $begun $killed_ms")
    say "start of $name, killed after $((killed_ms - begun)) ms, ${accepted[$name]:-not acknowledged}"
  done
}

round_stop() {
  local name=${stoppers[0]} i
  stoppers=("${stoppers[@]:1}")
  for i in $(seq 500); do [ -n "${alloc[$name]:-}" ] && [ -n "$(start_of "$name")" ] && break; learn_allocs; pause_ms 20; done
  check_processes "before its stop"
  ended[$name]=yes
  now; local begun=$ms
  (stop_job "$name"; [ -n "${stop_accepted[$name]:-}" ] && touch "$work/stopped.$name") &
  aim "$stop_from" $((stop_from + ${linger[$name]})); pause_ms "$drawn"
  down
  wait
  [ -e "$work/stopped.$name" ] && stop_accepted[$name]=yes
  to_judge_stop+=("$name $begun $killed_ms")
  say "stop of $name, killed after $((killed_ms - begun)) ms, ${stop_accepted[$name]:-not acknowledged}"
}

# A burst of six files: the kill falls between the births of the first and the last.
round_rotation() {
  local name=$1 dir before i file first=0 last=0 born
  dir=$(logs_of "$name")
  before=$(files_of "$name" | wc -l)
  touch "$dir/../burst.${burst_count[$name]}"
  burst_count[$name]=$((burst_count[$name] + 1))
  draw 30
  for i in $(seq 1000); do [ -e "$dir/t.stdout.$before" ] && break; pause_ms 1; done
  pause_ms "$((drawn / 3))"
  down
  for i in $(seq 500); do [ -e "$dir/t.stdout.$((before + 4))" ] && break; pause_ms 10; done
  while read -r file; do
    born=$(stat -c %.3W "$file"); born=${born/[.,]/}
    { [ "$first" = 0 ] || [ "$born" -lt "$first" ]; } && first=$born
    [ "$born" -gt "$last" ] && last=$born
  done < <(files_of "$name" | tail -n +$((before + 1)))
  if [ "$first" -le "$killed_ms" ] && [ "$killed_ms" -le "$last" ]; then count_hit rotation; fi
  say "rotation of $name, $((killed_ms - first)) ms after its first new file, $((last - killed_ms)) before its last"
}

# Tasks end while no agent is there.
round_exit() {
  local name i many=$1
  down
  for name in "${counted[@]}"; do
    [ "$many" -gt 0 ] || break
    [ -z "${ended[$name]:-}" ] && [ -n "${alloc[$name]:-}" ] && [ -n "${process[$name]:-}" ] || continue
    ended[$name]=yes; many=$((many - 1))
    touch "$(logs_of "$name")/../end"
    for i in $(seq 1000); do [ -d "/proc/${process[$name]% *}" ] || break; pause_ms 10; done
    [ -d "/proc/${process[$name]% *}" ] && bad "$name does not end without the agent"
  done
}

round_any() { start_writer; draw 700; pause_ms "$drawn"; down; end_writer; }

# ---- The draws ----

for i in $(seq "$TASKS"); do
  new_task count "$tag-$i"
  counted+=("$tag-$i"); waiting+=("$tag-$i")
done
plan_rounds() {  # a shuffled list in `plan`: first what starts, stops and rotates, then mostly ends
  local starts=$(((TASKS + 1) / 2)) early late i j swap
  local exits=$((ROUNDS / 10 > 0 ? ROUNDS / 10 : 1))
  exits_each=$(((TASKS + exits - 1) / exits))
  late=$((exits + ROUNDS / 5)); early=$((ROUNDS - late))
  plan=()
  for i in $(seq "$early"); do
    if [ "$i" -le "$starts" ]; then plan+=(start)
    else case $((i % 3)) in 0) plan+=(stop) ;; 1) plan+=(rotation) ;; 2) plan+=(any) ;; esac; fi
  done
  for ((i = early - 1; i > 0; --i)); do draw $((i + 1)); j=$drawn; swap=${plan[i]}; plan[i]=${plan[j]}; plan[j]=$swap; done
  local tail=()
  for i in $(seq "$late"); do
    if [ "$i" -le "$exits" ]; then tail+=(exit)
    else case $((i % 4)) in 0) tail+=(stop) ;; 1) tail+=(rotation) ;; *) tail+=(any) ;; esac; fi
  done
  for ((i = late - 1; i > 0; --i)); do draw $((i + 1)); j=$drawn; swap=${tail[i]}; tail[i]=${tail[j]}; tail[j]=$swap; done
  plan+=("${tail[@]}")
}

new_stopper() {
  local name=$tag-s$((${#stoppers[@]} + task_number + 1))
  new_task stop "$name"; submit "$name"; stoppers+=("$name")
}
# A chatty task that runs, into `drawn_task`; empty when there is none.
pick_chatty() {
  local name choice=()
  for name in "${counted[@]}"; do
    [ "${chatty[$name]}" = yes ] && [ -z "${ended[$name]:-}" ] && [ -n "${process[$name]:-}" ] && [ "${burst_count[$name]}" -lt 20 ] && choice+=("$name")
  done
  drawn_task=
  [ ${#choice[@]} -gt 0 ] || return 0
  draw ${#choice[@]}; drawn_task=${choice[$drawn]}
}

# Between two kills: the agent is up, or in one of five rounds killed while it is just starting.
recover_agent() {
  local name
  draw 5
  if [ "$drawn" = 0 ] && [ "$kills" -lt $((ROUNDS - 1)) ]; then
    up; draw 400; pause_ms "$drawn"; down
    aimed[own_start]=$((${aimed[own_start]:-0} + 1))
    check_processes "while the agent was starting"
  fi
  up; ready
  learn_allocs
  check_processes "after the next agent's start"
  for name in "${tasks[@]}"; do [ -n "${accepted[$name]:-}" ] || submit "$name"; done
  for name in "${!linger[@]}"; do
    [ "${kind[$name]}" = stop ] && [ -n "${ended[$name]:-}" ] && [ -z "${stop_accepted[$name]:-}" ] && stop_job "$name"
  done
}

run_round() {
  local round=$1
  case $round in
    start) [ ${#waiting[@]} -gt 0 ] || round=any ;;
    rotation) pick_chatty; [ -n "$drawn_task" ] || round=any ;;
    stop) [ ${#stoppers[@]} -gt 0 ] || new_stopper ;;
  esac
  aimed[$round]=$((${aimed[$round]:-0} + 1))
  case $round in
    start) tasks+=("${waiting[@]:0:2}"); round_start ;;
    stop) round_stop ;;
    rotation) round_rotation "$drawn_task" ;;
    exit) round_exit "$exits_each" ;;
    any) round_any ;;
  esac
  check_processes "while no agent was there"
  recover_agent
  judge
}

# From the tasks' own lines: were they being started, being stopped, when the agent died? The start of a task lasts from
# its placing to its first line, a stop from its acknowledgement (or the signal) to the task's last line.
judge() {
  local entry name begun killed at stopping again=()
  for entry in "${to_judge_start[@]}"; do
    read -r name begun killed <<<"$entry"
    at=$(start_of "$name")
    [ -n "$at" ] || { again+=("$entry"); continue; }
    if [ "${placed[$name]}" -le "$killed" ] && [ "$killed" -le $((at + 2)) ]; then count_hit start; fi
    # Only what the kill did not delay tells how long it takes.
    [ "${placed[$name]}" -le "$killed" ] && learn start_from $((placed[$name] - begun))
    [ "$at" -le "$killed" ] && learn start_to $((at - begun))
    [ "$killed" -lt "${placed[$name]}" ] && start_from=$((start_from + 5)) && start_to=$((start_to + 15))
  done
  to_judge_start=("${again[@]}"); again=()
  for entry in "${to_judge_stop[@]}"; do
    read -r name begun killed <<<"$entry"
    at=$(lines_of "$name" | sed -n 's/^end [0-9]* \([0-9]*\)$/\1/p')
    [ -n "$at" ] || { again+=("$entry"); continue; }
    stopping=$(lines_of "$name" | sed -n 's/^stopping \([0-9]*\)$/\1/p')
    if { [ -e "$work/stopped.$name" ] || [ "$stopping" -le "$killed" ]; } && [ "$killed" -le $((at + 2)) ]; then count_hit stop; fi
    [ "$stopping" -le "$killed" ] && learn stop_from $((stopping - begun))
  done
  to_judge_stop=("${again[@]}")
}

all_started() {
  local name i
  for name in "${tasks[@]}"; do
    for i in $(seq 500); do
      [ -n "${process[$name]:-}" ] && break
      pause_ms 20; learn_allocs; check_processes "while waiting for its start"
    done
    [ -n "${process[$name]:-}" ] || { bad "$name was never started"; exit 1; }
  done
}

check_task() {
  local name=$1 id=${alloc[$1]:-} expected=complete problem
  [ "${kind[$name]}" = count ] && expected=failed
  [ -n "$id" ] || { bad "$name was never placed"; return; }
  until_text "$name (${driver[$name]}): exit code ${code[$name]}" "^$expected dead ${code[$name]} 0 1\$" \
    bash -c "curl -s $STEPPE_ADDR/v1/allocation/$id | jq -r '.TaskStates.t as \$t | [\$t.Events[] | select(.Type == \"Terminated\")] as \$e | \"\(.ClientStatus) \(\$t.State) \(\$e[0].ExitCode) \(\$t.Restarts) \(\$e | length)\"'" \
    >"$work/verdict" || cat "$work/verdict"
  lines_of "$name" >"$work/lines"
  problem=$(awk -v name="$name" '
    NR == 1 { if ($1 != "start" || $2 != name) { print "the first line is: " $0; exit } next }
    $1 == "line" && !done { if ($2 != next_line) { print "line " NR " is " substr($0, 1, 40) ", expected line " next_line; exit } ++next_line; next }
    $1 == "stopping" && !done { next }
    $1 == "end" && !done { if ($2 != next_line) { print "it wrote " $2 " lines, the log has " next_line; exit } done = 1; next }
    { print "line " NR " should not be there: " substr($0, 1, 40); exit }
    END { if (!done) print "ends without its last line after line " next_line - 1 }' "$work/lines" | head -n 1)
  [ -z "$problem" ] || bad "$name: every line once and in order: $problem"
  lines_checked=$((lines_checked + $(wc -l <"$work/lines")))
  steppe alloc logs "$id" >"$work/shown" 2>"$work/out" || bad "alloc logs of $name"
  cmp -s "$work/lines" "$work/shown" || bad "$name: alloc logs shows something else than the files hold"
}

# ---- The run ----

up; ready
plan_rounds
for round in "${plan[@]}"; do run_round "$round"; done
all_started
judge
# The pace of the machine decides what is hit: more of them until it is enough.
while [ "$(hits)" -lt "$HITS" ] && [ "$kills" -lt $((ROUNDS * 2)) ]; do
  draw 2; if [ "$drawn" = 0 ]; then run_round stop; else run_round rotation; fi
done
# Whoever still runs ends now, without the agent as well.
run_round exit
while :; do
  left=0
  for name in "${counted[@]}"; do [ -n "${ended[$name]:-}" ] || left=1; done
  [ "$left" = 1 ] || break
  run_round exit
done
judge
lines_checked=0
declare -A codes_seen=()
for name in "${counted[@]}"; do check_task "$name"; codes_seen[${code[$name]}]=1; done
for name in "${!kind[@]}"; do [ "${kind[$name]}" = stop ] && [ -n "${ended[$name]:-}" ] && check_task "$name"; done
[ ${#codes_seen[@]} = "$TASKS" ] || bad "the exit codes are not distinct"
[ "$failures" != 0 ] || ok "$TASKS tasks that ended without the agent: every exit code is known, each of $lines_checked lines once and in order, none started twice"
left_in_run_dir() { find "$work/data/run" -mindepth 1 -maxdepth 1 | wc -l; }
until_text "ended tasks leave no executor and no record" '^0$' left_in_run_dir
stopped=0
for name in "${!stop_accepted[@]}"; do
  stopped=$((stopped + 1))
  [ "$(api "/v1/job/$name" | jq -r .Stop)" = true ] || bad "the acknowledged stop of $name was lost"
done
[ "$stopped" = 0 ] || ok "$stopped acknowledged stops hold"
check_acknowledged
for class in start stop rotation exit own_start any; do printf '        kills aimed at %-9s %3d%s\n' "$class" "${aimed[$class]:-0}" "${hit[$class]:+, inside one: ${hit[$class]}}"; done
if [ "$(hits)" -ge "$HITS" ]; then ok "$kills kills, $(hits) inside a start, a stop or a rotation"; else bad "only $(hits) of $kills kills fell inside a start, a stop or a rotation: $HITS are needed"; fi
expect "the agent ends on SIGTERM" stop_agent
