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
expect_text "a second version is planned as an update" 'create/destroy update|in-place update' steppe job plan "${vars[@]}" -var "word=other" /src/tests/data/hello.nomad.hcl
expect_text "the job is stopped" 'finished with status "complete"' steppe job stop hello
until_text "its allocation ends" 'complete' steppe alloc status -short "$alloc"
expect "garbage is collected" steppe system gc

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
