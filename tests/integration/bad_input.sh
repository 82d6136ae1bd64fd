#!/usr/bin/env bash
# Hostile and broken input through the real API: a clear answer with its place, nothing hangs, nothing stays behind.
. "$(dirname "$0")/lib.sh"
cat >"$work/agent.hcl" <<'HCL'
plugin "raw_exec" {
  config {
    enabled = true
  }
}
HCL
start_agent -server -client -data-dir "$work/data" -bind 127.0.0.1 -config "$work/agent.hcl"
api=$STEPPE_ADDR
job='{"Job":{"ID":"x","Type":"batch","Datacenters":["*"],"TaskGroups":[{"Name":"g","Tasks":[{"Name":"t","Driver":"raw_exec","Config":{"command":"/bin/true"}}]}]}}'

# refused NAME STATUS PATTERN CURL-WORDS...: answered within seconds with this status and a text that says where and why.
refused() {
  local name=$1 status=$2 pattern=$3 code; shift 3
  code=$(curl -s -m 10 -o "$work/body" -w '%{http_code}' "$@" 2>"$work/err")
  if [ "$code" = "$status" ] && { tr '\n\0' '  ' <"$work/body"; echo; } | LC_ALL=C grep -Eaq -- "$pattern"; then ok "$name"; else
    bad "$name: expected $status and \"$pattern\", got $code"; head -c 600 "$work/body"; cat "$work/err"; echo
  fi
}
# sent NAME PATTERN: standard input goes over a plain connection as it is; what comes back within 5 s matches.
sent() {
  local name=$1 pattern=$2
  exec 7<>"/dev/tcp/127.0.0.1/$port"; cat >&7
  timeout "${3:-5}" cat <&7 | tr '\r\n\0' '   ' >"$work/body"; exec 7>&- 7<&-
  if LC_ALL=C grep -Eaq -- "$pattern" "$work/body"; then ok "$name"; else bad "$name: no \"$pattern\" in the answer"; head -c 400 "$work/body"; echo; fi
}
zeros() { head -c "$1" /dev/zero | tr '\0' "$2"; }
variant() { printf %s "$job" | jq -c "$1"; }
serves() { expect_text "$1" '^"127' curl -s -m 2 "$api/v1/status/leader"; }
# Everything that input can leave behind: rows of the API, names under the data directory.
state() {
  local what
  for what in jobs evaluations allocations deployments; do steppe operator api "/v1/$what?namespace=*" | jq -S -c 'map(.ID)|sort'; done
  steppe job status
  find "$work/data" "$work" -maxdepth 6 -not -path "$work/body" -not -path "$work/err" -not -path "$work/out" -not -path "$work/in*" -not -path "$work/agent.log" | LC_ALL=C sort -u
  ls -1A / /etc
}
open_files() { ls "/proc/$agent_pid/fd" | wc -l; }
state >"$work/in.before"; before_files=$(open_files)

# --- Bodies
for length in $(seq 1 7 ${#job}); do
  curl -s -m 10 -o "$work/body" -w '%{http_code} ' -X PUT -d "${job:0:length}" "$api/v1/jobs"; head -n 1 "$work/body"; echo
done >"$work/in.cut"
expect_text "a job cut anywhere is 400, with line and column" "^$(seq 1 7 ${#job} | wc -l)\$" grep -Ec '^400 line 1, column [0-9]+: .*found the end of the text' "$work/in.cut"
refused "nothing" 400 'Request body is empty' -X PUT "$api/v1/jobs"
refused "no object" 400 'line 1, column 1: expected an object, found an array' -X PUT -d '[]' "$api/v1/jobs"
for body in '{}' '{"Job":null}'; do for path in jobs job/x/plan validate/job; do refused "no job in $body for $path" 400 '^Job must be specified *$' -X PUT -d "$body" "$api/v1/$path"; done; done
refused "a job without an id" 400 "^Job ID hasn't been provided *\$" -X PUT -d '{"Job":{"Name":"x"}}' "$api/v1/jobs"
refused "a plan without an id" 400 '^Job must have a valid ID *$' -X PUT -d '{"Job":{"Name":"x"}}' "$api/v1/job/x/plan"
refused "a number for a name" 400 'column 14: Job.ID: expected a string, found a number' -X PUT -d '{"Job":{"ID":5}}' "$api/v1/jobs"
refused "an object for a list" 400 'column 22: Job.TaskGroups: expected an array, found an object' -X PUT -d '{"Job":{"TaskGroups":{}}}' "$api/v1/jobs"
refused "a word for a number" 400 'Job.Priority: expected an integer, found a string' -X PUT -d '{"Job":{"Priority":"high"}}' "$api/v1/jobs"
refused "a number too large" 400 'Job.Priority: expected an integer of 64 bits, found 1e99' -X PUT -d '{"Job":{"Priority":1e99}}' "$api/v1/jobs"
refused "something behind the end" 400 'expected nothing after the value' -X PUT -d "$job xx" "$api/v1/jobs"
{ printf '{"Job":{"ID":"deep","TaskGroups":[{"Name":"g","Tasks":[{"Name":"t","Config":{"a":'; zeros 10000 '['; zeros 1000000 ' '; zeros 10000 ']'; printf '}}]}]}}'; } >"$work/in"
refused "1 MB of lists 10,000 deep" 400 'column [0-9]+: Job.TaskGroups\[0\].Tasks\[0\].Config.a\[0\].*nested deeper than the limit' -X PUT --data-binary "@$work/in" "$api/v1/jobs"
{ printf '{"Job":{"ID":"deep","Nonsense":'; for _ in $(seq 10000); do printf '{"%s":' "$_"; done; zeros 900000 ' '; printf 1; zeros 10000 '}'; printf '}}'; } >"$work/in"
refused "1 MB of objects 10,000 deep under a key that nobody knows" 400 'nested deeper than the limit' -X PUT --data-binary "@$work/in" "$api/v1/jobs"
head -c 100000 /dev/urandom >"$work/in"
refused "garbage" 400 'line [0-9]+, column [0-9]+: ' -X PUT --data-binary "@$work/in" "$api/v1/jobs"
{ printf '{"Job":{"ID":"big","Meta":{"a":"'; zeros 4000000 x; printf '"}}}'; } >"$work/in"
refused "a job of 4 MB" 413 'Job.Register request is larger than 3145728 bytes' -X PUT --data-binary "@$work/in" "$api/v1/jobs"
head -c 40000000 /dev/zero >"$work/in"
refused "40 MB" 413 'request body too large' -X PUT --data-binary "@$work/in" "$api/v1/jobs"
refused "40 MB in chunks" 413 'request body too large' -X PUT -H 'Transfer-Encoding: chunked' --data-binary "@$work/in" "$api/v1/jobs"

# --- Names
for name in alloc . .. .hidden 'a\nb' "$(zeros 129 n)"; do refused "a task named ${name:0:10}" 500 "Task name cannot" -X PUT -d "$(variant ".Job.TaskGroups[0].Tasks[0].Name=\"$name\"")" "$api/v1/jobs"; done
for name in ../../etc a/b 'a\\b'; do refused "a task named $name" 500 'Task name cannot include slashes' -X PUT -d "$(variant ".Job.TaskGroups[0].Tasks[0].Name=\"$name\"")" "$api/v1/jobs"; done
refused "a task's name with a NUL" 500 'Task name cannot include null bytes' -X PUT -d "$(variant '.Job.TaskGroups[0].Tasks[0].Name="a\u0000b"')" "$api/v1/jobs"
refused "a job's id with a space" 500 'Job ID contains a space' -X PUT -d "$(variant '.Job.ID="a b"')" "$api/v1/jobs"
refused "a job's id with a NUL" 500 'Job ID contains a null character' -X PUT -d "$(variant '.Job.ID="a\u0000b"')" "$api/v1/jobs"
refused "two tasks of one name" 500 "Task 2 redefines 't' from task 1" -X PUT -d "$(variant '.Job.TaskGroups[0].Tasks += .Job.TaskGroups[0].Tasks')" "$api/v1/jobs"
refused "a template that leads out" 500 'Template 1 validation failed.*destination escapes allocation directory' -X PUT -d "$(variant '.Job.TaskGroups[0].Tasks[0].Templates=[{"DestPath":"../../../../etc/x","EmbeddedTmpl":"x"}]')" "$api/v1/jobs"
refused "an artifact that leads out" 500 'Artifact 1 validation failed.*destination escapes allocation directory' -X PUT -d "$(variant '.Job.TaskGroups[0].Tasks[0].Artifacts=[{"GetterSource":"http://x/","RelativeDest":"../../../x"}]')" "$api/v1/jobs"
refused "a namespace that is not there" 500 'nonexistent namespace "\.\./x"' -X PUT -d "$(variant '.Job.Namespace="../x"')" "$api/v1/jobs"
refused "a negative count" 500 "Task group count can't be negative" -X PUT -d "$(variant '.Job.TaskGroups[0].Count=-1')" "$api/v1/jobs"
refused "a count of 100 million" 500 'greater than configured job_max_count' -X PUT -d "$(variant '.Job.TaskGroups[0].Count=100000000')" "$api/v1/jobs"
refused "negative memory" 500 'minimum MemoryMB value is 10; got -5' -X PUT -d "$(variant '.Job.TaskGroups[0].Tasks[0].Resources={"MemoryMB":-5}')" "$api/v1/jobs"
refused "another job's name in the path" 400 'Job ID does not match' -X PUT -d "$job" "$api/v1/job/y"

# --- Keys that a driver does not have
config() { variant ".Job.TaskGroups[0].Tasks[0].Driver=\"$1\" | .Job.TaskGroups[0].Tasks[0].Config=$2"; }
unknown='Task group g validation failed.*Task t validation failed.*config: driver "raw_exec" has no key "comand"; it has args, .*, command, '
refused "a key that raw_exec does not have" 500 "$unknown" -X PUT -d "$(config raw_exec '{"comand":"/bin/true"}')" "$api/v1/jobs"
expect_text "no empty line follows an error" '^0$' sh -c "tail -n 1 '$work/body' | grep -c '^\$' || true"
refused "nor in a plan" 500 "$unknown" -X PUT -d "$(config raw_exec '{"comand":"/bin/true"}')" "$api/v1/job/x/plan"
refused "validation tells it" 200 'ValidationErrors.*has no key .*comand' -X PUT -d "$(config raw_exec '{"comand":"/bin/true"}')" "$api/v1/validate/job"
refused "a key of another driver" 500 'driver "exec" has no key "denied_envvars"' -X PUT -d "$(config exec '{"command":"/bin/true","denied_envvars":[]}')" "$api/v1/jobs"
refused "two keys that are none are two errors" 500 '2 errors occurred:.*driver "mock_driver" has no key "a".*driver "mock_driver" has no key "b"' -X PUT -d "$(config mock_driver '{"run_for":"1s","b":1,"a":null}')" "$api/v1/jobs"
refused "of a driver that is not built here nothing is known" 200 '"ValidationErrors":(null|\[\])' -X PUT -d "$(config docker '{"image":"redis:7","nonsense":1}')" "$api/v1/validate/job"

# --- Job files over /v1/jobs/parse
refused "an empty job file" 400 'Job spec is empty' -X PUT -d '{"JobHCL":""}' "$api/v1/jobs/parse"
refused "a job file that is cut" 400 'input.hcl:1,10' -X PUT -d '{"JobHCL":"job \"x\" {"}' "$api/v1/jobs/parse"
{ printf '{"JobHCL":"x = '; zeros 1000000 '['; printf '"}'; } >"$work/in"
refused "1 MB of brackets in a job file" 400 'input.hcl:1,[0-9]+-[0-9]+: Nesting too deep' -X PUT --data-binary "@$work/in" "$api/v1/jobs/parse"
{ printf '{"JobHCL":"'; for _ in $(seq 10000); do printf 'a {\\n'; done; zeros 950000 ' '; printf '"}'; } >"$work/in"
refused "1 MB of blocks 10,000 deep in a job file" 400 'input.hcl:[0-9]+,[0-9]+-[0-9]+: Nesting too deep' -X PUT --data-binary "@$work/in" "$api/v1/jobs/parse"
{ printf '{"JobHCL":"job \\"x\\" { name = \\"'; for _ in $(seq 10000); do printf '${\\"'; done; zeros 900000 ' '; printf '\\"}"}'; } >"$work/in"
refused "1 MB of templates in templates in a job file" 400 'input.hcl:1,[0-9]+-[0-9]+: Nesting too deep' -X PUT --data-binary "@$work/in" "$api/v1/jobs/parse"
refused "a job file that asks for a huge string" 400 'input.hcl:[0-9]+' -X PUT -d '{"JobHCL":"job \"x\" {\n name = join(\"\", [for a in range(1000) : join(\"\", [for b in range(1000) : join(\"\", [for c in range(1000) : \"aaaaaaaaaaaaaaaa\"])])])\n}"}' "$api/v1/jobs/parse"
refused "a job file that reads the server's files" 400 'input.hcl:[0-9]+' -X PUT -d '{"JobHCL":"job \"x\" {\n name = file(\"/etc/passwd\")\n}"}' "$api/v1/jobs/parse"

# --- Where a request comes from
refused "a foreign Host" 421 'Host "evil.example" is not served here' -H 'Host: evil.example' "$api/v1/jobs"
refused "a foreign Origin" 403 'Origin "http://evil.example" may not use this API' -H 'Origin: http://evil.example' "$api/v1/jobs"
refused "a page without an origin" 403 'Origin "null" may not use' -X PUT -d "$job" -H 'Origin: null' "$api/v1/jobs"
refused "an origin that only begins like ours" 403 'may not use this API' -H "Origin: $api.evil.example" "$api/v1/jobs"

# --- Words in the query and the path
refused "an index that is none" 400 'Invalid index' "$api/v1/jobs?index=-1"
refused "a wait that is none" 400 'Invalid wait time' "$api/v1/jobs?wait=soon"
refused "a page size that is none" 400 'per_page must not be negative' "$api/v1/jobs?per_page=-1"
refused "an escape that is none" 400 'invalid URL escape "%zz"' "$api/v1/jobs?%zz"
refused "a filter" 400 'filter parameter is not supported yet' "$api/v1/jobs?filter=Name==x"
refused "a verb that nobody knows" 405 'Invalid method' -X FOO "$api/v1/jobs"
refused "a path that leads out" 404 '' --path-as-is "$api/v1/../../etc/passwd"
refused "an id that leads out" 404 '' "$api/v1/allocation/..%2f..%2fetc"
for kind in allocation:alloc evaluation:eval node:node deployment:deployment; do
  for id in zz zzz abc 12345678-1234-1234-1234-1234567890 12345678-1234-1234-1234-12345678901234; do
    refused "the ${kind%:*} $id" 400 "^${kind#*:} lookup failed: index error: UUID must be 36 characters *\$" "$api/v1/${kind%:*}/$id"
  done
  refused "a ${kind%:*} of 36 other characters" 400 "^${kind#*:} lookup failed: index error: Invalid UUID *\$" "$api/v1/${kind%:*}/zzzzzzzz-1234-1234-1234-123456789012"
  refused "a ${kind%:*} that is not there" 404 "^${kind#*:} not found *\$" "$api/v1/${kind%:*}/00000000-0000-0000-0000-000000000000"
  refused "${kind%:*}s by half a byte" 400 '^Input \(without hyphens\) must be even length *$' "$api/v1/${kind%:*}s?prefix=abc"
  refused "${kind%:*}s by what is no id" 400 '^Invalid UUID: zz *$' "$api/v1/${kind%:*}s?prefix=zz"
  refused "${kind%:*}s by more than an id" 400 '^Invalid UUID: ' "$api/v1/${kind%:*}s?prefix=12345678-1234-1234-1234-12345678901234"
  refused "${kind%:*}s by six parts" 400 '^UUID should have maximum of 4 "-"; got 5 *$' "$api/v1/${kind%:*}s?prefix=1-2-3-4-5-6"
done
for path in ls/zz stat/zz cat/zz logs/zz; do refused "files of an allocation zz: $path" 404 'alloc not found' "$api/v1/client/fs/$path?path=/&task=t&type=stdout"; done
refused "a path that nobody knows" 404 '^$' "$api/v1/nonsense"
refused "a header of 60 kB" 431 'request header too large' -H "X-Big: $(zeros 60000 x)" "$api/v1/jobs"
refused "a URL of 60 kB" 431 'request header too large' "$api/v1/jobs?prefix=$(zeros 60000 x)"
refused "2,000 words in the query" 413 'parameters' "$api/v1/jobs?$(zeros 2000 '&' | sed 's/&/a\&/g')"

# --- What is no HTTP
head -c 5000 /dev/urandom | sent "random bytes" '^HTTP/1.1 400 .*malformed HTTP message'
printf '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' | sent "a TLS greeting" '^HTTP/1.1 400 '
printf 'GET /\r\n\r\n' | sent "HTTP/0.9" '^HTTP/1.1 400 '
printf 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' | sent "HTTP/2" '^HTTP/1.1 400 '
printf 'GET /v1/jobs HTTP/1.1\r\n\r\n' | sent "no Host" '^HTTP/1.1 400 .*no Host header'
printf 'GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n' | sent "two Hosts" '^HTTP/1.1 400 .*more than one Host header'
printf 'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/jobs HTTP/1.1\r\n\r\n' | sent "a length beside chunks" '^HTTP/1.1 400 [^H]*Content-Length: [0-9]+ +malformed HTTP message[^H]*$'
printf 'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello' | sent "two lengths" '^HTTP/1.1 400 '
printf 'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n' | sent "a length beyond numbers" '^HTTP/1.1 400 '
printf 'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n' | sent "a chunk without a size" '^HTTP/1.1 400 '
for i in $(seq 50); do [ "$i" = 50 ] && close=$'Connection: close\r\n' || close=; printf 'GET /v1/status/leader HTTP/1.1\r\nHost: localhost\r\nX-Number: %s\r\n%s\r\n' "$i" "$close"; done | sent "fifty requests at once" '^(HTTP/1.1 200 [^"]*"127.0.0.1:4647" *){50}$'

# --- WebSocket handshakes and frames
exec_path='/v1/client/allocation/00000000-0000-0000-0000-000000000000/exec?task=t&command=%5B%22%2Fbin%2Fsh%22%5D'
upgrade() { printf "GET $(printf %s "$exec_path" | sed 's/%/%%/g') HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: %s\r\n%s\r\n" "$1" "$2" "${3:-}"; }
key=AAAAAAAAAAAAAAAAAAAAAA==
printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$exec_path" | sent "exec without a handshake" '^HTTP/1.1 400 .*not using the websocket protocol'
upgrade $key 12 | sent "another version of WebSocket" '^HTTP/1.1 400 ' 1
upgrade short 13 | sent "a WebSocket key that is none" '^HTTP/1.1 400 ' 1
upgrade $key 13 $'Origin: http://evil.example\r\n' | sent "a foreign page's WebSocket" '^HTTP/1.1 403 '
upgrade $key 13 | sent "an allocation that is not there" '^HTTP/1.1 101 .*alloc not found'

# --- Connections that never end their request. They count for their address, whose share is 100.
half_open=()
for i in $(seq 60); do
  exec {fd}<>"/dev/tcp/127.0.0.1/$port" && half_open+=("$fd")
  case $((i % 3)) in
    0) printf 'GET /v1/jobs HTTP/1.1\r\nHost: loc' >&"$fd" ;;
    1) printf 'PUT /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{"Job":' >&"$fd" ;;
  esac
done
serves "others are served beside 60 half-open connections"
for fd in "${half_open[@]}"; do printf 'a' >&"$fd"; done 2>/dev/null
serves "and when these go on, letter by letter"
until_text "headers that do not end are cut off after their time" '^(1?[0-9]|2[0-9]|3[0-9]|40)$' sh -c "ss -tnH state established 'sport = :$port' | wc -l"
for fd in "${half_open[@]}"; do exec {fd}>&-; done
for i in $(seq 130); do exec {fd}<>"/dev/tcp/127.0.0.1/$port" && half_open[i]=$fd; done
refused "more connections than one address may have" 429 '' "$api/v1/status/leader"
for i in $(seq 130); do fd=${half_open[i]}; exec {fd}>&-; done
until_text "and when they are gone it is served again" '^"127' curl -s -m 2 "$api/v1/status/leader"

# --- Nothing of it stayed
state >"$work/in.after"
if cmp -s "$work/in.before" "$work/in.after"; then ok "no job, evaluation, allocation or file is there that was not"; else bad "something was left behind"; diff "$work/in.before" "$work/in.after"; fi
files_back() { [ "$(open_files)" -le $((before_files + 2)) ] && echo back; }
until_text "no descriptor stayed open" back files_back

# --- Names that are allowed, however they look
curl -s -X PUT -d "$(variant '.Job.ID="../../etc/x"')" "$api/v1/jobs" >/dev/null
until_text "a job named like a path runs" '"complete"' curl -s "$api/v1/job/..%2f..%2fetc%2fx/allocations"
expect_text "and is read by that name" '"ID":"../../etc/x"' curl -s --path-as-is "$api/v1/job/../../etc/x"
expect "and is stopped by it" steppe job stop -purge -detach ../../etc/x
expect_text "and made nothing of that name" '^0$' sh -c "find '$work/data' /etc -name x | wc -l"
curl -s -X PUT -d "$(variant '.Job.ID="nul" | .Job.TaskGroups[0].RestartPolicy={"Attempts":0,"Mode":"fail"} | .Job.TaskGroups[0].ReschedulePolicy={"Attempts":0,"Unlimited":false} | .Job.TaskGroups[0].Tasks[0].Env={"A":"b\u0000c"}')" "$api/v1/jobs" >/dev/null
until_text "a NUL in the environment is an error of that task" 'holds a NUL byte' sh -c "curl -s '$api/v1/allocations?task_states=true'"
expect "its job is stopped" steppe job stop -purge -detach nul

# --- What people type
says() { local name=$1 want=$2 pattern=$3 code; shift 3; "$@" >"$work/said" 2>&1 </dev/null; code=$?; if [ $code = "$want" ] && grep -Eq -- "$pattern" "$work/said"; then ok "$name"; else bad "$name: expected $want and \"$pattern\", got $code"; cat "$work/said"; fi; }
one_line() { expect_text "$1" '^1$' sh -c "grep -c '' '$work/said'"; }
for kind in "alloc status:allocation(s)" "alloc logs:allocation(s)" "alloc fs:allocation(s)" "alloc stop:allocation(s)" "alloc restart:allocation(s)" "eval status:evaluation(s)" "node status:node(s)" "deployment status:deployment(s)"; do
  for id in zz zzz abc abc- 12-345- 12345678-1234-1234-1234-1234567890 12345678-1234-1234-1234-12345678901234 1-2-3-4-5-6 00000000-0000-0000-0000-000000000000; do
    says "${kind%:*} $id" 1 "^No $(printf %s "${kind#*:}" | sed 's/[()]/\\&/g') with prefix or id \"$id\" found\$" steppe ${kind%:*} "$id"; one_line "and nothing else"
  done
  says "${kind%:*} with one letter" 1 'must contain at least two characters' steppe ${kind%:*} z
done
says "an id in capitals is found" 0 '^ID ' steppe node status -short "$(steppe operator api /v1/nodes | jq -r '.[0].ID[0:8] | ascii_upcase')"
for flag in '-n -5' '-n abc' '-c -1' '-c x' '-n 99999999999999999999' '-n='; do
  set -- $flag
  says "alloc logs $flag" 1 "^invalid value \".*\" for flag -[nc]: expected a whole number, 0 to 1000000000\$" steppe alloc logs $flag 00000000; one_line "and nothing else"
  says "alloc fs $flag" 1 "for flag -[nc]: expected a whole number" steppe alloc fs $flag 00000000
done
says "a subcommand that is none" 127 '^steppe job: no such subcommand "vaildate"; did you mean "steppe job validate"\?$' steppe job vaildate
says "with the list of what there is" 127 '^ +validate +check a job file' steppe job vaildate
says "a command that is none" 127 '^steppe: no such command "jbo"; did you mean "steppe job"\?$' steppe jbo
says "a subcommand without its group" 127 'did you mean "steppe alloc signal"' steppe signal
says "a group alone shows its list" 1 '^Usage: steppe job <subcommand>' steppe job
for file in "$bin/steppe-executor" /dev/urandom; do
  head -c 20000 "$file" >"$work/in"
  for command in validate plan run "validate -json"; do
    "$bin/steppe" job $command "$work/in" >"$work/said" 2>&1; expect_text "job $command of a program or noise: one error" "^Error getting job struct: $work/in: line [0-9]+ is not text" cat "$work/said"
    one_line "in one line"; expect_text "of text" '^0$' sh -c "LC_ALL=C grep -c '[^ -~]' '$work/said' || true"
  done
done
says "a configuration with a data directory and a role is valid" 0 '^Configuration is valid!$' steppe config validate "$work/agent.hcl" <(printf 'data_dir = "/tmp/x"\nserver {\n  enabled = true\n}\n')
mkdir "$work/in.d"; cp "$work/agent.hcl" "$work/in.d/a.hcl"; printf 'data_dir = "/tmp/x"\nclinet {\n}\n' >"$work/in.d/b.hcl"
says "a directory with a mistake in one file is not" 1 "$work/in.d/b.hcl:2,1-7: .*clinet" steppe config validate "$work/in.d"
says "without a data directory neither" 1 'data_dir' steppe config validate "$work/agent.hcl"
says "nor one that is not there" 1 'Error reading configuration: .*/nowhere' steppe config validate "$work/nowhere"
says "a machine's configuration is checked as a node does" 0 '^Configuration is valid!$' steppe machine validate <(printf 'version = 1\nidentity { hostname = "n1" }\nagent {\n  server { enabled = true }\n}\n')
says "its mistakes have places" 1 ':2,23-28: .*host name' steppe machine validate <(printf 'version = 1\nidentity { hostname = "a_b" }\n')
says "those of the agent's block, too, in the whole document" 1 ':4,3-8: .*servr' steppe machine validate <(printf 'version = 1\n\nagent {\n  servr {}\n}\n')
printf 'job "x" {\n  \033[2J = 1\n}\n' >"$work/in"
"$bin/steppe" job validate "$work/in" >"$work/said" 2>&1; expect_text "an excerpt does not drive the terminal" '^0$' sh -c "LC_ALL=C grep -c '[^ -~]' '$work/said' || true"
printf 'variable "n" {\n  type = number\n}\njob "x" {\n  priority = var.n\n  group "g" {\n    task "t" {\n      driver = "raw_exec"\n      config {\n        comand = "/bin/true"\n      }\n    }\n  }\n}\n' >"$work/in"
says "a word for a variable that is a number" 1 'Invalid value for variable; The value for n is not compatible' steppe job run -var n=abc "$work/in"
expect_text "is one error" '^1$' sh -c "grep -c '; ' '$work/said'"
for command in validate run; do says "job $command names a key that the driver does not have" 1 'driver "raw_exec" has no key "comand"; it has args' steppe job $command -var n=50 "$work/in"; done
for command in validate run; do steppe job $command -var n=50 "$work/in" >"$work/said" 2>&1; expect_text "job $command: no empty lines stand in what it says" '^0$' sh -c "grep -c '^\$' '$work/said' || true"; done
says "job plan too" 255 'driver "raw_exec" has no key "comand"; it has args' steppe job plan -var n=50 "$work/in"
expect_text "no empty lines stand in what it says" '^0$' sh -c "grep -c '^\$' '$work/said' || true"

# --- Files that a task made to trap whoever reads them
cat >"$work/trap.sh" <<'SH'
cd "$NOMAD_ALLOC_DIR/data"
ln -s /etc/passwd passwd; ln -s ../../../../../../../../etc etc; ln -s / root; ln -s self self; ln -s /dev/zero devzero
mkfifo pipe; mknod zero c 1 5; mknod loop b 7 0; truncate -s 1T sparse; mkdir closed; chmod 000 closed; echo hi >plain
ln -s "$NOMAD_SECRETS_DIR" stolen; echo secret >"$NOMAD_SECRETS_DIR/s"
touch "$(printf 'new\nline')" "$(printf '\377\376')" "$(printf '\033[2J')"
i=0; while [ $i -lt 100 ]; do mkdir d && cd d || break; i=$((i + 1)); done; cd "$NOMAD_ALLOC_DIR/data"
mkfifo ../logs/t.stdout.7; ln -s /etc/passwd ../logs/t.stderr.5
rm -rf ../tmp; ln -s /etc ../tmp
echo ready; exec sleep 86400
SH
curl -s -X PUT -d "$(variant ".Job.ID=\"trap\" | .Job.TaskGroups[0].Tasks[0].Config={command:\"/bin/sh\",args:[\"$work/trap.sh\"]}")" "$api/v1/jobs" >/dev/null
until_text "the trap is set" '[0-9a-f]{8}-' running_alloc trap
alloc=$(running_alloc trap)
until_text "by its task" 'ready' steppe alloc logs "$alloc"
fs() { printf '%s/v1/client/fs/%s/%s?path=%s' "$api" "$1" "$alloc" "$2"; }
for name in passwd etc etc/passwd root root/etc/passwd devzero stolen stolen/s ../../../../../etc/passwd ..%2f..%2f..%2fetc%2fpasswd; do
  for verb in cat ls readat stream; do refused "$verb of $name does not lead out" 403 'leads out of alloc' "$(fs $verb alloc/data/$name)"; done
done
for name in pipe zero loop; do
  refused "cat of $name does not wait" 403 'not a regular file' "$(fs cat "alloc/data/$name")"
  refused "following $name does not wait" 403 'not a regular file' "$(fs stream "alloc/data/$name")&follow=true"
  refused "stat of $name tells what it is" 200 '"FileMode":"[pD]' "$(fs stat "alloc/data/$name")"
done
refused "a link to itself" 403 'a symlink is in the way' "$(fs cat alloc/data/self)"
refused "stat of a link is of the link" 200 '"FileMode":"Lrwxrwxrwx"' "$(fs stat alloc/data/passwd)"
refused "a directory that became a link" 403 'leads out of alloc' "$(fs ls alloc/tmp)"
refused "secrets" 403 'Reading secret file prohibited' "$(fs cat t/secrets/s)"
refused "secrets the long way" 403 'Reading secret file prohibited|leads out' "$(fs cat alloc/../t/secrets/s)"
refused "a path with a NUL" 400 'holds a NUL byte' "$(fs cat %00)"
refused "no path" 400 'must provide a file name' "$(fs cat '')"
refused "a negative offset" 400 'must not be negative' "$(fs readat alloc/data/plain)&offset=-1"
refused "an offset beyond numbers" 400 'Failed to parse value of "offset"' "$(fs readat alloc/data/plain)&offset=18446744073709551615"
refused "an offset behind the end" 200 '^$' "$(fs readat alloc/data/plain)&offset=9223372036854775807&limit=9223372036854775807"
refused "an origin that is none" 400 'origin must be start or end' "$(fs stream alloc/data/plain)&origin=middle"
refused "the end of a file of 1 TB" 200 '^ *$' "$(fs readat alloc/data/sparse)&offset=1099511627700&limit=1000"
refused "logs of a task that is not there" 404 'unknown task name' "$api/v1/client/fs/logs/$alloc?task=../../x&type=stdout"
refused "logs of a kind that is not there" 400 'log type must be stdout or stderr' "$api/v1/client/fs/logs/$alloc?task=t&type=../x"
refused "logs among which a pipe lies" 200 'ready' "$api/v1/client/fs/logs/$alloc?task=t&type=stdout&plain=true"
expect_text "logs among which a link lies hold nothing of what it shows" '^0$' sh -c "curl -s -m 5 '$api/v1/client/fs/logs/$alloc?task=t&type=stderr&plain=true' | grep -c root: || true"
expect_text "names cannot drive the terminal of who lists them" '^1$' sh -c "'$bin/steppe' alloc fs $alloc alloc/data | grep -c '\\\\x1b\\[2J'"
timeout 3 curl -s "$(fs cat alloc/data/sparse)" | head -c 1000 >/dev/null
serves "a reader that leaves a file of 1 TB stops nobody"

# --- Frames into a live command
exec_path="/v1/client/allocation/$alloc/exec?task=t&command=%5B%22%2Fbin%2Fsleep%22%2C%2286399%22%5D"
sleeping() { pgrep -fc '^/bin/sleep 86399'; }
{ upgrade $key 13; sleep 0.3; printf '\x81\x05hello'; } | sent "a frame without a mask ends the command" '^HTTP/1.1 101 ' 2
{ upgrade $key 13; sleep 0.3; printf '\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00'; } | sent "a frame of 2^64 bytes ends it" '^HTTP/1.1 101 ' 2
{ upgrade $key 13; sleep 0.3; printf '\xf1\x80\x00\x00\x00\x00'; } | sent "reserved bits end it" '^HTTP/1.1 101 ' 2
{ upgrade $key 13; sleep 0.3; printf '\x81\x85\x00\x00\x00\x00{"st'; } | sent "a message that is cut ends it" '^HTTP/1.1 101 ' 2
{ upgrade $key 13; sleep 0.3; printf '\x81\x83\x00\x00\x00\x00xyz'; } | sent "a message that is no JSON ends it" '^HTTP/1.1 101 ' 2
until_text "none of these commands is left" '^0$' sleeping
serves "and all others are served"

expect "the trap is stopped" steppe job stop -purge -detach trap
gone() { steppe system gc; find "$work/data/alloc" -mindepth 1 | wc -l; }
until_text "its files are all gone" '^0$' gone
expect_text "and what its links showed is not" 'root:' cat /etc/passwd
[ -d "/proc/$agent_pid" ] && ok "the agent is the one that was started" || bad "the agent is the one that was started"
expect_text "it noted no bug of its own" '^0$' sh -c "grep -c 'ASSERT\|assertion\|panic' '$work/agent.log' || true"
expect "the agent ends on SIGTERM" stop_agent
