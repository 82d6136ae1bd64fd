#!/usr/bin/env bash
# Every job file of tests/data on a real agent: what can run runs, what needs a missing part says so by name.
. "$(dirname "$0")/lib.sh"
data=/src/tests/data
# The machine that these files were written for: what their owners put on it, and what they say of it.
mount -t tmpfs tmpfs /opt && mkdir -p /opt/node_exporter
printf '#!/bin/sh\necho "metrics: $*"\nexec sleep 86400\n' >/opt/node_exporter/node_exporter
chmod 755 /opt/node_exporter/node_exporter
cat >"$work/agent.hcl" <<'HCL'
datacenter = "dc1"
client {
  meta {
    builder = "bench-1"
    storage = "ssd,local,nvme"
    rack    = "r1"
  }
}
HCL
start_agent -dev -config "$work/agent.hcl"
allocs() { steppe operator api "/v1/job/$(printf %s "$1" | sed 's,/,%2F,g')/allocations"; }
statuses() { allocs "$1" | jq -r '[.[].ClientStatus] | sort | join(" ")'; }
one() { allocs "$1" | jq -r '.[0].ID // empty'; }
# runs NAME: job run ends well, every group placed; its words stay in $work/NAME.out.
runs() {
  if steppe job run "$data/$1.nomad.hcl" >"$work/$1.out" 2>&1; then ok "$1 is accepted and placed"; else bad "$1 is accepted and placed"; cat "$work/$1.out"; fi
}
# waits NAME WHY: accepted, not placed (exit code 2), for the reason that is named.
waits() {
  steppe job run "$data/$1.nomad.hcl" >"$work/$1.out" 2>&1; local code=$?
  [ $code = 2 ] && ok "$1 is accepted and waits" || { bad "$1 is accepted and waits: exit code $code"; cat "$work/$1.out"; }
  expect_text "$1 says why" "$2" cat "$work/$1.out"
  local job; job=$(sed -n 's/^job "\(.*\)" {/\1/p' "$data/$1.nomad.hcl")
  expect_text "$1: job status repeats it" "$2" steppe job status "$job"
}
# exactly NAME LINE...: these lines and no others are named as not acted on.
exactly() {
  local name=$1; shift
  sed -n 's/^\* not acted on by this version: //p' "$work/$name.out" | sort >"$work/named"
  for line in "$@"; do printf '%s\n' "$line"; done | sed '/^$/d' | sort >"$work/wanted"
  if cmp -s "$work/named" "$work/wanted"; then ok "$name names what it needs that is not there"; else bad "$name names what it needs that is not there"; diff "$work/wanted" "$work/named"; fi
}

runs sidecar; exactly sidecar
until_text "sidecar: both tasks run" '^running$' statuses inventory
inventory=$(one inventory)
until_text "sidecar: the database got its template, its environment and its variables" '^database inventory 16.4 takes 40 connections$' steppe alloc logs -task database "$inventory"
until_text "sidecar: the shop was answered by the database beside it" '^the shop is a writer$' steppe alloc logs -task shop "$inventory"
expect_text "sidecar: its env file is a secret, not shown" 'Reading secret file prohibited: database/secrets/db.env' steppe alloc fs "$inventory" database/secrets/db.env

runs constraints; exactly constraints
until_text "constraints: the build is done" '^complete$' statuses compiler
until_text "constraints: by attributes of the machine and its owner's words" "^building for linux-amd64 with [0-9]+ jobs on bench-1$" steppe alloc logs "$(one compiler)"
expect_text "constraints: its result is in the allocation's directory" '^done$' steppe alloc fs "$(one compiler)" alloc/data/result

runs render-farm; exactly render-farm
until_text "render-farm: four frames are rendered" '^complete complete complete complete$' statuses render-farm
for alloc in $(allocs render-farm | jq -r '.[].ID'); do steppe alloc logs "$alloc"; done | sort >"$work/frames"
expect_text "render-farm: each frame once" '^frame 0 of frame in dc1,frame 1 of frame in dc1,frame 2 of frame in dc1,frame 3 of frame in dc1,$' tr '\n' ',' <"$work/frames"

runs node-agent; exactly node-agent 'group agent > task exporter > identity'
until_text "node-agent: a system job runs by raw_exec on the node" '^running$' statuses node-agent
until_text "node-agent: with its static port" '^metrics: --web.listen-address=[0-9.]+:9100 --path.rootfs=/$' steppe alloc logs "$(one node-agent)"

runs nightly-backup; exactly nightly-backup
expect_text "nightly-backup: nothing runs before its time" 'No allocations placed|0 +0 +0' steppe job status nightly-backup
expect "nightly-backup: it is launched now" steppe job periodic force nightly-backup
child=$(steppe operator api '/v1/jobs?prefix=nightly-backup/periodic-' | jq -r '.[0].ID // empty')
until_text "nightly-backup: the launch is done" '^complete$' statuses "$child"
expect_text "nightly-backup: job status lists the launch" "^$child +dead" steppe job status nightly-backup
until_text "nightly-backup: it wrote its file" '^backing up at ' steppe alloc fs "$(one "$child")" alloc/data/backup.log

# What needs a part that is not built: accepted and kept, and each thing named.
waits web-game 'Constraint "missing drivers": 1 node excluded by filter'
exactly web-game 'group game > task 2048 > driver = "docker"' 'group game > service'
waits database 'Constraint "missing drivers": 1 node excluded by filter'
exactly database 'group shop > task database > driver = "docker"' 'group shop > task migrate > driver = "docker"' 'group shop > task shop > driver = "docker"' \
  'group shop > task shop > service' 'group shop > network > mode = "bridge"' \
  'group shop > task database > template > {{ range $i, $s := nomadService "shop" }}' 'group shop > task database > template > {{ with nomadVar "nomad/jobs/shop" }}'
waits rolling-service 'Constraint "missing network": 1 node excluded by filter'
exactly rolling-service 'group frontend > scaling' 'group frontend > network > mode = "bridge"' 'group frontend > network > dns' 'group frontend > service' \
  'group frontend > task server > artifact > chown'
waits spread 'No nodes were eligible for evaluation'
exactly spread 'group cache > task redis > driver = "docker"'
runs dispatch
exactly dispatch 'group build > task compile > dispatch_payload' 'group build > task compile > action' 'parameterized' \
  'group build > task compile > template > {{ timestamp }}'
expect_text "dispatch: kept as a template for requests" 'Parameterized *= true' steppe job status on-demand-build
# What a server keeps of a job is a job file in JSON, and asks for nothing that its author did not ask for.
for job in inventory node-agent; do
  steppe job inspect "$job" >"$work/kept.json"
  steppe job validate -json "$work/kept.json" >"$work/kept-$job.out" 2>&1
done
expect_text "an inspected job is valid" 'Job validation successful' cat "$work/kept-inventory.out"
exactly kept-inventory
exactly kept-node-agent 'group agent > task exporter > identity'
# Every key of the language at once is no job that could run: each wrong value is named, and nothing is kept.
expect_text "everything is refused" 'Invalid job type: "type-15"' steppe job run "$data/everything.nomad.hcl"
expect_text "what was refused is not there" 'No job\(s\) with prefix or ID "id-13" found' steppe job status id-13
# hello needs values: it names each.
for name in source checksum word; do expect_text "hello asks for $name" "Unset variable \"$name\"" steppe job run "$data/hello.nomad.hcl"; done
# No job file of the folder was left out.
for file in "$data"/*.nomad.hcl; do
  name=$(basename "$file" .nomad.hcl)
  grep -Eq "^(runs|waits) $name\b|/$name\.nomad" "$0" && ok "$name was run" || bad "$name: this script does not run it"
done
expect "the agent ends on SIGTERM" stop_agent
