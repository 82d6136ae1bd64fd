#!/usr/bin/env bash
# (long) The main job's test fails, at the right check, when seccomp, namespaces or the change of root are taken out.
set -uo pipefail
bin=${STEPPE_BIN:-/src/build/release/bin}
work=$(mktemp -d /tmp/steppe-mutants-XXXXXX)
trap 'rm -rf "$work"' EXIT
failures=0
ok() { printf 'ok      %s\n' "$1"; }
bad() { printf 'FAILED  %s\n' "$1"; failures=$((failures + 1)); }
# mutant PART CHECK: main_job.sh with the program that lacks PART fails at CHECK.
mutant() {
  local part=$1 check=$2 home=$work/$1
  if ! ninja -C "$bin/.." "steppe-without-$part" >"$work/build.log" 2>&1; then bad "the program without $part is built"; tail -n 20 "$work/build.log"; return; fi
  mkdir "$home"; cp "$bin/steppe-without-$part" "$home/steppe"; cp "$bin/steppe-executor" "$bin/hello-service" "$home/"
  if STEPPE_BIN=$home "$(dirname "$0")/main_job.sh" >"$work/$part.log" 2>&1; then bad "without $part the main job's test fails"; cat "$work/$part.log"; return; fi
  ok "without $part the main job's test fails"
  # The job itself must have run: what fails is the containment, not the start.
  for line in "ok      the service runs" "ok      its line comes back with the drawn value and its id" "FAILED  $check"; do
    if grep -qF -- "$line" "$work/$part.log"; then ok "without $part: $line"; else bad "without $part: no \"$line\""; cat "$work/$part.log"; fi
  done
}
"$(dirname "$0")/main_job.sh" >"$work/whole.log" 2>&1 && ok "with all of it the main job's test passes" || { bad "with all of it the main job's test passes"; cat "$work/whole.log"; }
mutant seccomp "it cannot gain privileges, and system calls are filtered"
mutant namespaces "the task is in a pid namespace of its own"
mutant pivot "its root is not the host's"
exit $((failures > 0))
