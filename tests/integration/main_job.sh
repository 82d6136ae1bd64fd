#!/usr/bin/env bash
# The main job end to end: a static program fetched as an artifact runs under exec; its line comes back through the API.
. "$(dirname "$0")/lib.sh"
start_files
tar -C "$bin" --mtime=@0 --owner=0 --group=0 -czf "$work/www/hello.tar.gz" hello-service
sum=$(sha256sum "$work/www/hello.tar.gz" | cut -d' ' -f1)
word=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
expect_text "a port that is none is refused" '-http-port 99999: a port is' steppe agent -dev -http-port 99999
start_agent -dev
vars=(-var "source=http://127.0.0.1:$((port + 1))/hello.tar.gz" -var "checksum=sha256:$sum" -var "word=$word")

expect_text "a plan shows what would be placed" '1 create' steppe job plan "${vars[@]}" /src/tests/data/hello.nomad.hcl
expect_text "the job is accepted and followed to its end" 'finished with status "complete"' steppe job run "${vars[@]}" /src/tests/data/hello.nomad.hcl
until_text "the service runs" '[0-9a-f]{8}-' running_alloc hello
alloc=$(running_alloc hello)
until_text "its line comes back with the drawn value and its id" "hello $word from allocation $alloc" steppe alloc logs "$alloc"
expect_text "alloc status names the task" 'Task "server" is "running"' steppe alloc status "$alloc"
expect_text "the task is in a pid namespace of its own" '^hello-service$' steppe alloc exec -i=false -t=false -task server "$alloc" /bin/cat /proc/1/comm
expect_text "it cannot gain privileges, and system calls are filtered" 'Seccomp:[[:space:]]*2' steppe alloc exec -i=false -t=false -task server "$alloc" /bin/sh -c 'grep Seccomp: /proc/1/status'
expect_text "its root is not the host's" 'no such file|No such file' steppe alloc exec -i=false -t=false -task server "$alloc" /bin/ls /src
expect_text "files of the allocation are listed" 'server/' steppe alloc fs "$alloc" /
expect_text "the node is shown" 'Eligibility *= eligible' steppe node status -self
expect_text "the API answers with an index" '^X-Nomad-Index: [0-9]+' curl -si "$STEPPE_ADDR/v1/jobs"
expect_text "a wrong checksum is a task event, not a task" 'checksum' bash -c "'$bin/steppe' job run -detach ${vars[*]/checksum=sha256:*/checksum=sha256:$(printf '%064d' 0)} <(sed 's/job \"hello\"/job \"wrong\"/' /src/tests/data/hello.nomad.hcl) >/dev/null; for i in \$(seq 100); do a=\$('$bin/steppe' operator api /v1/job/wrong/allocations | jq -r '.[0].ID // empty'); [ -n \"\$a\" ] && '$bin/steppe' alloc status \$a | grep -i checksum && break; sleep 0.2; done"
expect "the wrong job is stopped" steppe job stop -detach -purge wrong
expect "a plan of what runs already changes nothing" steppe job plan "${vars[@]}" /src/tests/data/hello.nomad.hcl
expect_text "a second version is planned as an update" 'create/destroy update|in-place update' steppe job plan "${vars[@]}" -var "word=other" /src/tests/data/hello.nomad.hcl
expect_text "the job is stopped" 'finished with status "complete"' steppe job stop hello
until_text "its allocation ends" 'complete' steppe alloc status -short "$alloc"
expect "garbage is collected" steppe system gc

# --- The commands of the README, in its order, as they stand there but for the port.
grep -E '^    (steppe|curl) ' /src/README.md | sed 's/ *#.*//; s/^ *//' >"$work/readme"
expect_text "the README shows how a job is written, run and stopped" '^8$' sh -c "wc -l <'$work/readme'"
while read -r -u 8 line; do
  want=0; answer=.
  case $line in
    "steppe job init "*) answer='Example job file written' ;;
    "steppe job validate "*) answer='Job validation successful' ;;
    "steppe job plan "*) want=1 answer='All tasks successfully allocated' ;;
    "steppe job run "*) answer='finished with status "complete"' ;;
    "steppe job status "*) answer='^Status +=|web' ;;
    "steppe alloc logs "*) answer='listens on [0-9]+: hello from' ;;
    "steppe job stop "*) answer='finished with status "complete"' ;;
    "curl "*) answer='"Name": "example"' ;;
    *) bad "README: nothing is known of \"$line\"" ;;
  esac
  for _ in $(seq 100); do
    (cd "$work" && PATH=$bin:$PATH bash -c "${line//4646/$port}") >"$work/out" 2>&1 </dev/null; code=$?
    # The first line of a log comes when the task has started.
    case $line in *logs*) grep -Eq -- "$answer" "$work/out" && break; sleep 0.1 ;; *) break ;; esac
  done
  if [ $code = $want ] && grep -Eq -- "$answer" "$work/out"; then ok "README: $line"; else bad "README: $line (exit code $code)"; cat "$work/out"; fi
done 8<"$work/readme"
expect_text "its words on the ports are right" 'http-port=<value>' bash -c "'$bin/steppe' agent -help 2>&1"

expect "the example without comments is written as well" steppe job init -short "$work/short.nomad.hcl"
expect_text "and is a job" 'Job validation successful' steppe job validate "$work/short.nomad.hcl"
expect_text "a file that is there stays" "Job file '.*short.nomad.hcl' already exists" steppe job init "$work/short.nomad.hcl"

# What is asked of a task right after its restart finds the new one.
expect "the service runs once more" steppe job run -detach "${vars[@]}" -var "word=again" /src/tests/data/hello.nomad.hcl
until_text "it runs" '[0-9a-f]{8}-' running_alloc hello
alloc=$(running_alloc hello)
until_text "and has begun" 'hello again' steppe alloc logs "$alloc"
for way in "" "-all-tasks" "-task=server"; do
  expect "restart ${way:-of all that runs}" steppe alloc restart $way "$alloc"
  expect "and a signal at once" steppe alloc signal -s SIGCONT "$alloc"
  expect_text "and a command inside" '^inside$' steppe alloc exec -i=false -t=false -task server "$alloc" /bin/echo inside
done
until_text "three restarts are counted" '"Restarts":3' curl -s "$STEPPE_ADDR/v1/allocation/$alloc"

# What was stopped starts as it was, and only that.
expect_text "a running job is not started" 'has not been stopped and has the following status: running' steppe job start hello
expect "it is stopped" steppe job stop -detach hello
until_text "and ends" '^Client Status += complete' steppe alloc status -short "$alloc"
expect_text "it is started again" 'finished with status "complete"' steppe job start hello
until_text "and runs" '[0-9a-f]{8}-' running_alloc hello
alloc=$(running_alloc hello)
until_text "with its word" 'hello again' steppe alloc logs "$alloc"

# A deployment is led by hand: canaries, pause, resume, an end.
canary() { printf 'variable "n" {\n  type = number\n}\njob "canary" {\n  update {\n    canary           = 1\n    min_healthy_time = "0s"\n  }\n  group "g" {\n    task "t" {\n      driver = "raw_exec"\n      config {\n        command = "/bin/sleep"\n        args    = [var.n]\n      }\n    }\n  }\n}\n' >"$work/canary.hcl"; steppe job run -detach -var "n=$1" "$work/canary.hcl"; }
deployment() { steppe operator api /v1/job/canary/deployment | jq -r '.ID // empty'; }
healthy() { steppe operator api /v1/job/canary/deployment | jq -r '[.JobVersion, .Status, .TaskGroups.g.HealthyAllocs, .TaskGroups.g.Promoted] | join(" ")'; }
expect "a job with canaries runs" canary 86301
until_text "its first deployment needs no hand" '^0 successful 1 ' healthy
expect "a second version comes" canary 86302
until_text "its canary is healthy, and it waits" '^1 running 1 false' healthy
expect_text "pause" "^Deployment \"$(deployment)\" paused" steppe deployment pause "$(deployment | cut -c1-8)"
expect_text "it is paused" '^Status += paused' steppe deployment status "$(deployment)"
expect_text "resume" "^Deployment \"$(deployment)\" resumed" steppe deployment resume -detach "$(deployment)"
expect_text "a canary of another group is none" 'Error promoting deployment' steppe deployment promote -group nosuch "$(deployment)"
expect_text "promote" 'finished with status "complete"' steppe job promote canary
until_text "it is done" '^1 successful' healthy
expect "a third version comes" canary 86303
until_text "its canary is healthy as well" '^2 running 1 false' healthy
expect_text "fail" "^Deployment \"$(deployment)\" failed" steppe deployment fail -detach "$(deployment)"
expect_text "it has failed" '^Status += failed' steppe deployment status "$(deployment)"
expect_text "once only" 'Error failing deployment' steppe deployment fail "$(deployment)"
expect "the job is stopped" steppe job stop -detach -purge canary

# A drain moves a node's allocations away: here there is nowhere to go.
expect_text "a drain that asks for nothing says what there is" "Either the '-enable' or '-disable' flag must be set" steppe node drain -self
expect_text "a deadline that is none is named" 'invalid value "soon" for flag -deadline: expected a positive duration' steppe node drain -enable -deadline soon -self
expect_text "-force goes without a deadline" "can't be combined with -force" steppe node drain -enable -force -deadline 1m -self
expect_text "a drain is begun and followed to its end" 'All allocations on node "[0-9a-f-]{36}" have stopped' steppe node drain -enable -yes -deadline 1m -m "new disk" -meta ticket=7 -self; cp "$work/out" "$work/drain"
expect_text "it tells what happens" "Alloc \"$alloc\" (marked for migration|draining|status running -> complete)" cat "$work/drain"
expect_text "and that it is over" 'Drain complete for node' cat "$work/drain"
until_text "the allocation has ended" '^Client Status += complete' steppe alloc status -short "$alloc"
expect_text "the node takes none" 'Eligibility *= ineligible' steppe node status -self
expect_text "the words are kept with the drain" '"message":"new disk","ticket":"7"|"ticket":"7","message":"new disk"' curl -s "$STEPPE_ADDR/v1/node/$(steppe operator api /v1/nodes | jq -r '.[0].ID')"
expect_text "it is ended" 'drain strategy unset' steppe node drain -disable -self
expect_text "and the node takes allocations again" 'Eligibility *= eligible' steppe node status -self
expect_text "it can be taken out by hand" 'scheduling eligibility set: ineligible for scheduling' steppe node eligibility -disable -self
expect_text "and put back" 'scheduling eligibility set: eligible for scheduling' steppe node eligibility -enable -self
until_text "what was drained is placed again" '[0-9a-f]{8}-' running_alloc hello
expect "the service is stopped" steppe job stop -detach -purge hello

# A -dev agent takes its tasks with it, and leaves no folder and no control group of theirs.
expect "the job runs again" steppe job run -detach "${vars[@]}" -var "word=last" /src/tests/data/hello.nomad.hcl
until_text "it runs" '[0-9a-f]{8}-' running_alloc hello
until_text "with its word" 'hello last' steppe alloc logs "$(running_alloc hello)"
alloc=$(running_alloc hello)
data=$(steppe operator api /v1/agent/self | jq -r '.config.DataDir')
expect "its executor is there" pgrep -f "^steppe-executor: ${alloc:0:8}"
expect "the agent ends on SIGTERM" stop_agent
expect_text "its tasks ended with it" '^0$' pgrep -fc "^steppe-executor: ${alloc:0:8}"
expect_text "their folders are gone" 'No such file' ls "$data/alloc"
until_text "their control groups are gone" '^0$' bash -c "find /sys/fs/cgroup -path '*steppe.slice/$alloc*' | wc -l"
