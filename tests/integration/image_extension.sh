#!/usr/bin/env bash
# Extensions by the builder: two builds are equal, the hash tree is the one that sha256sum finds, the image names what was built, and
# nothing that was changed afterwards is taken.
set -uo pipefail
bin=${STEPPE_BIN:-/src/build/release/bin}
work=$(mktemp -d /tmp/steppe-extension-XXXXXX)
failures=0
trap 'rm -rf "$work"; exit $((failures > 0))' EXIT
ok() { printf 'ok      %s\n' "$1"; }
bad() { printf 'FAILED  %s\n' "$1"; failures=$((failures + 1)); }
expect() { local name=$1; shift; if "$@" >"$work/out" 2>&1; then ok "$name"; else bad "$name: $*"; head -c 3000 "$work/out"; fi; }
refused() {
  local name=$1 pattern=$2; shift 2
  if "$@" >"$work/out" 2>&1; then bad "$name: it was accepted"; elif grep -Eq -- "$pattern" "$work/out"; then ok "$name"; else bad "$name: no \"$pattern\""; head -c 3000 "$work/out"; fi
}
image() { "$bin/steppe-image" "$@"; }

# spec FILE EXTENSIONS: an image of next to nothing, signed.
spec() {
  cat >"$1" <<HCL
image {
  version = "0.0.7"
  date    = "2026-01-02T03:04:05Z"
}
kernel {
  directory = "/"
  classes   = ["virtio"]
  initrd    = ["loop", "squashfs"]
}
boot { init = "$bin/steppe-init" }
root {
  file "/etc/one" { content = "1" }
}
sign {
  key         = "$work/ours.key"
  certificate = "$work/ours.crt"
  also_trusted = ["$work/theirs.crt"]
}
compression {
  level = 1
  block = "128KiB"
}
hardening {
  waive "kernel CONFIG_AMD_IOMMU" { reason = "the build root's kernel is one for guests" }
  waive "kernel CONFIG_HW_RANDOM_TPM" { reason = "as above" }
}
$2
HCL
}
made_here='
extension "tools" {
  version = "7-1"
  file "/usr/share/tools/a" { content = "aaaa" }
  file "/usr/share/tools/b" { source = "big" }
  link "/usr/share/tools/c" { target = "a" }
}
extension "drivers" {
  modules = ["dm_verity", "wireguard"]
}'
head -c 700000 /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 2>/dev/null >"$work/big"
for name in ours theirs; do expect "a key" image keygen "$work/$name" -name "$name"; done
spec "$work/a.hcl" "$made_here"
expect "the extensions alone" image build "$work/a.hcl" -only-extensions -o "$work/alone"
expect "with the image" sh -c "cd / && umask 077 && TZ=Asia/Tokyo '$bin/steppe-image' build '$work/a.hcl' -o '$work/both' -json >'$work/json'"
for name in tools drivers; do expect "the same $name" cmp "$work/alone/$name.ext" "$work/both/$name.ext"; done
tools=$work/both/tools.ext
expect "verify" image verify "$tools" -cert "$work/ours.crt" -digest "$(sha256sum "$tools" | cut -d' ' -f1)"
expect "and the one with modules" image verify "$work/both/drivers.ext" -cert "$work/ours.crt"
refused "another key" 'FAILED  signature: .*theirs|FAILED  signature: .*not trust' image verify "$tools" -cert "$work/theirs.crt"
expect "inspect" sh -c "'$bin/steppe-image' inspect '$work/both/drivers.ext' >'$work/inspect'"
for want in '^holds +modules' "^kernel +$(ls /lib/modules | tail -n 1 | sed "s/+/[+]/g")" '/dm-bufio.ko' '/modules.index' '^signed +yes'; do
  grep -Eq "$want" "$work/inspect" && ok "inspect shows $want" || { bad "inspect shows $want"; cat "$work/inspect"; }
done
expect "inspect as JSON" sh -c "'$bin/steppe-image' inspect -json '$tools' | jq -e '.version == \"7-1\" and .holds == \"files\" and .signed and (.files | length > 3)'"
for name in tools drivers; do
  digest=$(sha256sum "$work/both/$name.ext" | cut -d' ' -f1)
  expect "the image names $name" sh -c "'$bin/steppe-image' inspect '$work/both/steppe-0.0.7-amd64.efi' | grep -q '^extension  *$name $digest'"
  expect "and the build says it" jq -e ".extensions[] | select(.name == \"$name\") | .sha256 == \"$digest\"" "$work/json"
done
expect "and those that may sign extensions, too" sh -c "'$bin/steppe-image' inspect '$work/both/steppe-0.0.7-amd64.efi' | grep -q '/usr/share/steppe/extension-keys/0.crt'"
expect "the image holds the keys" sh -c "'$bin/steppe-image' inspect '$work/both/steppe-0.0.7-amd64.efi' | grep -q '/usr/share/steppe/keys/image.crt'"

expect "a disk" image build "$work/a.hcl" -disk 128MiB -o "$work/both"
expect "where a node looks" sh -c "mcopy -n -i '$work/both/steppe-0.0.7-amd64.raw@@1M' '::/EFI/steppe/extensions/$(sha256sum "$tools" | cut -d' ' -f1).ext' '$work/from-disk' && cmp '$work/from-disk' '$tools'"

# --- The root of the hash tree, by sha256sum alone: blocks of 4,096 bytes, the salt before each.
bytes() { printf '%s' "$1" | tr a-f A-F | basenc --base16 -d; }
root_of() {
  local file=$1 salt=$2 level=$work/level i blocks
  cp "$file" "$level"
  while :; do
    blocks=$(($(stat -c %s "$level") / 4096))
    : >"$level.next"
    for ((i = 0; i < blocks; i++)); do
      { bytes "$salt"; dd if="$level" bs=4096 skip="$i" count=1 status=none; } | sha256sum | cut -d' ' -f1 >"$level.digest"
      bytes "$(cat "$level.digest")" >>"$level.next"
    done
    [ "$blocks" -gt 1 ] || break
    truncate -s $((($(stat -c %s "$level.next") + 4095) / 4096 * 4096)) "$level.next"
    mv "$level.next" "$level"
  done
  cat "$level.digest"
}
"$bin/steppe-image" inspect -json "$tools" >"$work/tools.json"
data=$(jq -r .data_bytes "$work/tools.json")
tail -c +16385 "$tools" | head -c "$data" >"$work/tools.sqfs"
[ $((data / 4096)) -gt 128 ] && ok "its tree has two levels" || bad "its tree has two levels: $data bytes"
[ "$(root_of "$work/tools.sqfs" "$(jq -r .salt "$work/tools.json")")" = "$(jq -r .root "$work/tools.json")" ] && ok "the root that sha256sum finds" || bad "the root that sha256sum finds"
expect "and what unsquashfs reads" sh -c "cd '$work' && unsquashfs -q -n -d tree tools.sqfs && cmp tree/usr/share/tools/b big && [ \"\$(readlink tree/usr/share/tools/c)\" = a ]"

# --- Nothing that was changed is taken, wherever.
size=$(stat -c %s "$tools")
for at in 30 400 900 16000 $((16384 + 96)) $((16384 + data / 2)) $((16384 + data - 1)) $((16384 + data + 40)) $((size - 1)); do
  cp "$tools" "$work/changed.ext"
  printf "\\x$(printf %02x $((0x$(tail -c +$((at + 1)) "$tools" | head -c 1 | basenc --base16) ^ 1)))" | dd of="$work/changed.ext" bs=1 seek="$at" conv=notrunc status=none
  refused "a bit changed at $at" 'FAILED  (signature|hash tree)|header|its file system' image verify "$work/changed.ext" -cert "$work/ours.crt"
done
head -c $((size - 4096)) "$tools" >"$work/cut.ext"
refused "cut" 'its header tells of' image verify "$work/cut.ext" -cert "$work/ours.crt"
cat "$tools" "$tools" >"$work/twice.ext"
refused "twice" 'its header tells of' image verify "$work/twice.ext" -cert "$work/ours.crt"

# --- Made elsewhere.
spec "$work/b.hcl" "extension \"tools\" { path = \"$tools\" }"
expect "named by its file" sh -c "'$bin/steppe-image' build '$work/b.hcl' -o '$work/b' -json | jq -e '.extensions[0].sha256 == \"$(sha256sum "$tools" | cut -d' ' -f1)\"'"
[ ! -e "$work/b/tools.ext" ] && ok "which is not made again" || bad "which is not made again"
spec "$work/c.hcl" "extension \"tools\" { path = \"$work/changed.ext\" }"
refused "a changed one" 'hash tree|header' image build "$work/c.hcl" -only-extensions -o "$work/c"
spec "$work/c.hcl" "extension \"tooling\" { path = \"$tools\" }"
refused "under another name" 'calls itself "tools"' image build "$work/c.hcl" -only-extensions -o "$work/c"
spec "$work/c.hcl" 'extension "none" { modules = ["no_such_module"] }'
refused "a module that there is not" 'extension "none": .*no module "no_such_module"' image build "$work/c.hcl" -only-extensions -o "$work/c"
