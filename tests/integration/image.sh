#!/usr/bin/env bash
# The image builder: two builds are equal byte for byte, bad specs are refused with their place, budgets and the scan hold.
set -uo pipefail
bin=${STEPPE_BIN:-/src/build/release/bin}
work=$(mktemp -d /tmp/steppe-image-XXXXXX)
failures=0
trap 'rm -rf "$work"; exit $((failures > 0))' EXIT
ok() { printf 'ok      %s\n' "$1"; }
bad() { printf 'FAILED  %s\n' "$1"; failures=$((failures + 1)); }
expect() { local name=$1; shift; if "$@" >"$work/out" 2>&1; then ok "$name"; else bad "$name: $*"; head -c 3000 "$work/out"; fi; }
# refused NAME PATTERN COMMAND...: it fails and says so.
refused() {
  local name=$1 pattern=$2; shift 2
  if "$@" >"$work/out" 2>&1; then bad "$name: it was accepted"; elif grep -Eq -- "$pattern" "$work/out"; then ok "$name"; else bad "$name: no \"$pattern\""; head -c 3000 "$work/out"; fi
}
image() { "$bin/steppe-image" "$@"; }

# spec FILE [SED-WORDS...]: a small image over the build root's own kernel, as fast as it gets.
spec() {
  cat >"$1" <<HCL
variable "files" {
  default = "files"
}
image {
  version = "0.0.7"
  date    = "2026-01-02T03:04:05Z"
}
kernel {
  directory = "/"
  classes   = ["virtio", "fs"]
  initrd    = ["loop", "squashfs", "overlay"]
  arguments = ["console=ttyS0", "panic=-1"]
}
boot {
  init = "$bin/steppe-init"
}
root {
  file "/usr/bin/steppe-executor" {
    source = "$bin/steppe-executor"
    mode   = "0755"
  }
  file "/etc/one" {
    source = "\${var.files}/one"
  }
  file "/etc/two" {
    source = "\${var.files}/two"
  }
  link "/etc/link" {
    target = "one"
  }
}
compression {
  level = 1
  block = "128KiB"
}
HCL
  [ $# -gt 1 ] && sed -i "${@:2}" "$1"
  return 0
}
spec "$work/a.hcl"
mkdir -p "$work/files" "$work/elsewhere/other files"
echo 1 >"$work/files/one"; echo 2 >"$work/files/two"
(cd "$work/elsewhere/other files" && umask 077 && echo 2 >two && echo 1 >one && touch -d 2001-01-01 one && chmod 600 two)

# --- Two builds: other directory, time, umask, order of files, time zone and home.
expect "a build" sh -c "'$bin/steppe-image' build '$work/a.hcl' -o '$work/first' -disk 128MiB -netboot -json >'$work/json'"
digest=$(jq -r .sha256 "$work/json")
cp "$work/a.hcl" "$work/elsewhere/a.hcl"
(cd "$work/elsewhere" && umask 077 && TZ=Asia/Tokyo HOME=/tmp LC_ALL=C.UTF-8 "$bin/steppe-image" build a.hcl -var "files=$work/elsewhere/other files" -o second -disk=128MiB -netboot) >"$work/out" 2>&1 ||
  { bad "a build elsewhere"; cat "$work/out"; }
for name in efi raw vmlinuz initrd ipxe; do
  expect "the same $name" cmp "$work/first/steppe-0.0.7-amd64.$name" "$work/elsewhere/second/steppe-0.0.7-amd64.$name"
done
[ "$(sha256sum "$work/first/steppe-0.0.7-amd64.efi" | cut -d' ' -f1)" = "$digest" ] && ok "the digest is the file's" || bad "the digest is the file's ($digest)"
spec "$work/b.hcl" 's/03:04:05Z/03:04:06Z/'
expect "a build of another date" image build "$work/b.hcl" -o "$work/third"
if cmp -s "$work/first/steppe-0.0.7-amd64.efi" "$work/third/steppe-0.0.7-amd64.efi"; then bad "the date makes a difference"; else ok "the date makes a difference"; fi
[ -z "$(ls -A "$work/first" | grep part)" ] && ok "nothing is left behind" || bad "left behind: $(ls -A "$work/first")"

# --- The disk, as others read it.
expect "sfdisk finds nothing wrong" sfdisk --verify "$work/first/steppe-0.0.7-amd64.raw"
expect "fsck finds nothing wrong" sh -c "dd if='$work/first/steppe-0.0.7-amd64.raw' of='$work/esp' bs=1M skip=1 count=126 status=none && fsck.fat -n '$work/esp'"
mcopy -i "$work/esp" ::/EFI/Linux/steppe-0.0.7.efi "$work/from-esp"
expect "the disk holds the image" cmp "$work/from-esp" "$work/first/steppe-0.0.7-amd64.efi"

# --- Bad input.
spec "$work/bad.hcl" 's/classes /clases /'
refused "an unknown key, with its place" 'bad.hcl:10,3-9: Unknown key; There is no key "clases" in kernel; did you mean "classes"\?' image build "$work/bad.hcl" -o "$work/none"
spec "$work/bad.hcl" 's/"virtio", /"virtoi", /'
refused "an unknown class" 'did you mean "virtio"' image build "$work/bad.hcl" -o "$work/none"
spec "$work/bad.hcl" 's/version = "0.0.7"/version = "v7"/'
refused "a bad version" 'image.version: expected a digit' image build "$work/bad.hcl" -o "$work/none"
spec "$work/bad.hcl" 's/mode   = "0755"/mode   = "4755"/'
refused "a set-id mode" 'without set-id bits' image build "$work/bad.hcl" -o "$work/none"
spec "$work/bad.hcl" 's|/etc/link|/etc/one/x|'
refused "a file as a directory" 'etc/one is not a directory' image build "$work/bad.hcl" -o "$work/none"
spec "$work/bad.hcl" '$a limits { image = "5MiB" }'
refused "a passed budget, with a table" 'MiB  kernel' image build "$work/bad.hcl" -o "$work/none"
spec "$work/bad.hcl" 's|directory = "/"|package = "linux-image-amd64"|'
refused "no lock" 'run steppe-image lock' image build "$work/bad.hcl" -o "$work/none"
refused "an unknown variable" 'declares no variable|did you mean' image build "$work/a.hcl" -var colour=red -o "$work/none"
refused "an unknown option" 'no option -colour' image build "$work/a.hcl" -colour red
[ -z "$(ls -A "$work/none" 2>/dev/null)" ] && ok "refused builds leave nothing" || bad "refused builds leave $(ls -A "$work/none")"

# --- The scan of the host side.
planted() { spec "$work/bad.hcl" "s|source = \"\${var.files}/one\"|source = \"$2\"\nmode = \"0755\"|"; refused "$1 is found" "$3" image build "$work/bad.hcl" -o "$work/none"; }
planted "a renamed shell" /bin/busybox 'shell +/etc/one: holds what'
planted "a renamed dash" /bin/dash 'shell +/etc/one: holds what'
printf '#!/usr/bin/steppe\n' >"$work/script"
planted "a script" "$work/script" 'script +/etc/one'
