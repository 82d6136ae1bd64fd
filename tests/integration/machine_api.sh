#!/usr/bin/env bash
# The machine's verbs where PID 1 is not ours: every one says so, changes nothing, and asks for the rights that it needs first.
. "$(dirname "$0")/lib.sh"

start_agent -dev
status() { curl -s -o "$work/body" -w '%{http_code}' "$@"; }
says() {
  local name=$1 want=$2 text=$3 got; shift 3
  got=$(status "$@")
  if [ "$got" = "$want" ] && grep -Fq -- "$text" "$work/body"; then ok "$name"; else bad "$name: $got $(cat "$work/body"), not $want with \"$text\""; fi
}

for what in info dmesg logs services disks mounts processes time slots; do
  says "GET $what" 501 "not an appliance node" "$STEPPE_ADDR/v1/machine/$what"
  expect_text "steppe machine $what" '^Error querying the machine: Unexpected response code: 501 \(not an appliance node: .*\)' steppe machine "$what"
done
for what in reboot poweroff bless revert; do
  says "PUT $what" 501 "not an appliance node" -X PUT "$STEPPE_ADDR/v1/machine/$what"
  expect_text "steppe machine $what" 'Unexpected response code: 501 \(not an appliance node' steppe machine "$what"
done
for what in stage try forgive; do says "PUT $what" 501 "not an appliance node" -X PUT -d '{"Version":"1","Digest":"00"}' "$STEPPE_ADDR/v1/machine/$what"; done
printf 'no image' >"$work/image"
expect_text "steppe machine stage" '^Error uploading the image: Unexpected response code: 501 \(not an appliance node' steppe machine stage "$work/image"
digest=$(sha256sum "$work/image" | cut -d' ' -f1)
says "PUT upload" 501 "not an appliance node" -X PUT --data-binary "@$work/image" "$STEPPE_ADDR/v1/machine/upload/$digest?offset=0&size=8"

# What the routes themselves refuse.
says "another verb" 405 "Invalid method" -X DELETE "$STEPPE_ADDR/v1/machine/slots"
says "a body that is missing" 400 "Request body is empty" -X PUT "$STEPPE_ADDR/v1/machine/stage"
says "an offset that is no number" 400 'Failed to parse value of "offset"' -X PUT "$STEPPE_ADDR/v1/machine/upload/$digest?offset=x"
head -c 2000000 /dev/zero >"$work/large"
says "a piece that is too large" 413 "" -X PUT --data-binary "@$work/large" "$STEPPE_ADDR/v1/machine/upload/$digest?offset=0&size=2000000"
expect_text "a file that is not there" '^Error reading the image: open .*/nothing: No such file or directory' steppe machine stage "$work/nothing"
expect_text "too many words" 'This command takes no arguments' steppe machine slots now
expect_text "the list of commands" '^ +stage +put a signed image into a slot' steppe machine -help
[ -d "/proc/$agent_pid" ] && ok "the agent runs on" || bad "the agent runs on"
