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
hardening {
  waive "kernel CONFIG_AMD_IOMMU" { reason = "the build root's kernel is one for guests" }
  waive "kernel CONFIG_HW_RANDOM_TPM" { reason = "as above" }
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
expect "a build" sh -c "'$bin/steppe-image' build '$work/a.hcl' -o '$work/first' -disk 128MiB -qcow2 -iso -netboot -json >'$work/json'"
digest=$(jq -r .sha256 "$work/json")
cp "$work/a.hcl" "$work/elsewhere/a.hcl"
(cd "$work/elsewhere" && umask 077 && TZ=Asia/Tokyo HOME=/tmp LC_ALL=C.UTF-8 "$bin/steppe-image" build a.hcl -var "files=$work/elsewhere/other files" -o second -disk=128MiB -qcow2 -iso -netboot) >"$work/out" 2>&1 ||
  { bad "a build elsewhere"; cat "$work/out"; }
for name in efi spdx.json raw qcow2 iso vmlinuz initrd ipxe; do
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

expect "the qcow2 is the same disk" qemu-img compare -f raw -F qcow2 "$work/first/steppe-0.0.7-amd64.raw" "$work/first/steppe-0.0.7-amd64.qcow2"
expect "and whole" qemu-img check -f qcow2 "$work/first/steppe-0.0.7-amd64.qcow2"
for name in one two; do expect "a compressed one" image build "$work/a.hcl" -o "$work/$name" -disk 128MiB -qcow2 -compress; done
expect "is the same disk, too" qemu-img compare -f raw -F qcow2 "$work/first/steppe-0.0.7-amd64.raw" "$work/one/steppe-0.0.7-amd64.qcow2"
expect "and the same each time" cmp "$work/one/steppe-0.0.7-amd64.qcow2" "$work/two/steppe-0.0.7-amd64.qcow2"
[ "$(stat -c %s "$work/one/steppe-0.0.7-amd64.qcow2")" -lt "$(stat -c %s "$work/first/steppe-0.0.7-amd64.qcow2")" ] && ok "and smaller" || bad "and smaller"

# --- The disc: El Torito for UEFI up to the volume's end, a GPT for sticks, one file system with the image in it.
iso=$work/first/steppe-0.0.7-amd64.iso
xorriso -indev "$iso" -report_el_torito plain -report_system_area plain >"$work/iso-report" 2>&1
for want in 'El Torito boot img : +1  UEFI  y   none' 'El Torito img path : +1  /esp.img' 'GPT partition path : +2  /esp.img' "Volume id    : 'STEPPE'"; do
  grep -Eq "$want" "$work/iso-report" && ok "the disc has: $want" || { bad "the disc has: $want"; cat "$work/iso-report"; }
done
expect "sfdisk finds nothing wrong with it" sfdisk --verify "$iso"
expect "its file system comes out" sh -c "xorriso -osirrox on -indev '$iso' -extract /esp.img '$work/iso-esp' 2>/dev/null && fsck.fat -n '$work/iso-esp'"
mcopy -i "$work/iso-esp" ::/EFI/BOOT/BOOTX64.EFI "$work/from-iso"
expect "and holds the image" cmp "$work/from-iso" "$work/first/steppe-0.0.7-amd64.efi"
start=$(sed -n 's/^GPT start and size : *2 *\([0-9]*\) .*/\1/p' "$work/iso-report")
expect "at the place where its partition table has it" cmp --bytes=1048576 "$work/iso-esp" <(tail -c +$((start * 512 + 1)) "$iso")

# --- The list of what is inside, against the image itself and sha1sum.
list=$work/first/steppe-0.0.7-amd64.spdx.json
expect "the list names the image" jq -e --arg digest "$digest" '.spdxVersion == "SPDX-2.3" and .creationInfo.created == "2026-01-02T03:04:05Z" and
  (.packages[0] | .versionInfo == "0.0.7" and .checksums[0].checksumValue == $digest)' "$list"
expect "each thing in it has an id of its own, and each relation two ends" jq -e '([.SPDXID] + [.packages[].SPDXID, .files[].SPDXID]) as $ids |
  ($ids | length == (unique | length)) and ([.relationships[] | .spdxElementId, .relatedSpdxElement] | unique - $ids | length == 0) and
  ([.relationships[] | select(.relationshipType == "CONTAINS").relatedSpdxElement] | sort) == ($ids - [.SPDXID, "SPDXRef-Image"] | sort)' "$list"
expect "the verification code is over all files" test "$(jq -r '.packages[0].packageVerificationCode.packageVerificationCodeValue' "$list")" = \
  "$(jq -r '.files[].checksums[] | select(.algorithm == "SHA1").checksumValue' "$list" | LC_ALL=C sort | tr -d '\n' | sha1sum | cut -d' ' -f1)"
image inspect -json "$work/first/steppe-0.0.7-amd64.efi" | jq -r '(.root[] | select(.sha256).sha256 as $s | "\($s)  ./root\(.path)"), (.initrd[] | select(.sha256 and .path != "/root.sqfs").sha256 as $s | "\($s)  ./initrd\(.path)")' | LC_ALL=C sort >"$work/inside"
jq -r '.files[] | select(.fileName != "./linux") | "\(.checksums[1].checksumValue)  \(.fileName)"' "$list" | LC_ALL=C sort >"$work/listed"
expect "it lists what is inside, with the right digests, and nothing else" cmp "$work/inside" "$work/listed"
[ "$(wc -l <"$work/listed")" -gt 50 ] && ok "many files" || bad "many files"
expect "and the kernel" test "$(jq -r '.files[] | select(.fileName == "./linux").checksums[1].checksumValue' "$list")" = "$(sha256sum "$work/first/steppe-0.0.7-amd64.vmlinuz" | cut -d' ' -f1)"

# --- steppe image: the same program by another name, where it is.
image inspect "$work/first/steppe-0.0.7-amd64.efi" >"$work/by-name"
expect "steppe image is steppe-image" sh -c "'$bin/steppe' image inspect '$work/first/steppe-0.0.7-amd64.efi' | cmp - '$work/by-name'"
"$bin/steppe" image frobnicate >"$work/out" 2>&1; [ $? = 2 ] && grep -q 'no command "frobnicate"' "$work/out" && ok "with its words and its exit code" || bad "with its words and its exit code"
mkdir "$work/node" "$work/path"; cp "$bin/steppe" "$work/node/"
refused "on a node it says that the builder is elsewhere" 'the builder is not on this machine: there is no steppe-image beside' env PATH=/nonexistent:. "$work/node/steppe" image build x
ln -s "$bin/steppe-image" "$work/path/steppe-image"
expect "in PATH it is found" env PATH="$work/path" "$work/node/steppe" image help
(cd "$work/path" && env PATH=. "$work/node/steppe" image help) >"$work/out" 2>&1 && bad "where one stands it is not looked for" || ok "where one stands it is not looked for"

# --- Bad input.
refused "a qcow2 of no size" 'needs -disk SIZE' image build "$work/a.hcl" -qcow2 -o "$work/none"
refused "compressed what?" 'needs -qcow2' image build "$work/a.hcl" -compress -o "$work/none"
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
spec "$work/bad.hcl" 's/"console=ttyS0"/"console=ttyS0", "mitigations=off"/'
refused "an argument against the hardening table" 'kernel.arguments: "mitigations=off" contradicts the hardening table, which wants mitigations=auto' image build "$work/bad.hcl" -o "$work/none"
spec "$work/bad.hcl" '/CONFIG_AMD_IOMMU/d'
refused "a row that the kernel does not have" 'kernel CONFIG_AMD_IOMMU: enforced as "y", but kernel .* has "not set"' image build "$work/bad.hcl" -o "$work/none"
refused "an unknown variable" 'declares no variable|did you mean' image build "$work/a.hcl" -var colour=red -o "$work/none"
refused "an unknown option" 'no option -colour' image build "$work/a.hcl" -colour red
[ -z "$(ls -A "$work/none" 2>/dev/null)" ] && ok "refused builds leave nothing" || bad "refused builds leave $(ls -A "$work/none")"

# --- The scan of the host side.
planted() { spec "$work/bad.hcl" "s|source = \"\${var.files}/one\"|source = \"$2\"\nmode = \"0755\"|"; refused "$1 is found" "$3" image build "$work/bad.hcl" -o "$work/none"; }
planted "a renamed shell" /bin/busybox 'shell +/etc/one: holds what'
planted "a renamed dash" /bin/dash 'shell +/etc/one: holds what'
printf '#!/usr/bin/steppe\n' >"$work/script"
planted "a script" "$work/script" 'script +/etc/one'

# --- Planted in a finished root: all four kinds, found by the same scan.
mkdir -p "$work/plant/usr/bin"
"$bin/steppe-image" inspect "$work/first/steppe-0.0.7-amd64.efi" >"$work/inspect"
expect "the image of before is clean" image scan "$work/first/steppe-0.0.7-amd64.efi"
cp /bin/dash "$work/plant/usr/bin/sh"; cp /usr/bin/mawk "$work/plant/usr/bin/tool"
for name in up gup cap; do cp "$bin/steppe-executor" "$work/plant/usr/bin/$name"; done
chmod 755 "$work"/plant/usr/bin/*; chmod 4755 "$work/plant/usr/bin/up"; chmod 2755 "$work/plant/usr/bin/gup"
setcap cap_net_raw+ep "$work/plant/usr/bin/cap"
mksquashfs "$work/plant" "$work/plant.sqfs" -quiet -no-progress -comp zstd -Xcompression-level 1 >/dev/null 2>&1
refused "planted: a shell" 'shell +/usr/bin/sh' image scan "$work/plant.sqfs"
for want in 'interpreter +/usr/bin/tool' 'setuid +/usr/bin/up' 'setgid +/usr/bin/gup' 'file capability +/usr/bin/cap' '^[0-9]+ files, 6 findings'; do
  grep -Eq "$want" "$work/out" && ok "planted: $want" || { bad "planted: $want"; cat "$work/out"; }
done

# --- Keys and signatures: ours, read by others; others', read by us.
expect "a key" image keygen "$work/ours" -name ours
expect "another key" image keygen "$work/theirs" -name theirs
refused "a key is not overwritten" 'there already' image keygen "$work/ours"
[ "$(stat -c %a "$work/ours.key")" = 600 ] && ok "the key is secret" || bad "the key is secret"
plain=$work/first/steppe-0.0.7-amd64.efi
spec "$work/signed.hcl" "\$a sign {\nkey = \"$work/ours.key\"\ncertificate = \"$work/ours.crt\"\n}"
expect "a signed build" image build "$work/signed.hcl" -o "$work/signed" -disk 128MiB
signed=$work/signed/steppe-0.0.7-amd64.efi
spec "$work/later.hcl" "\$a sign {\ncertificate = \"$work/ours.crt\"\n}"
expect "a build to be signed elsewhere" image build "$work/later.hcl" -o "$work/later"
expect "signing it gives the same bytes" image sign "$work/later/steppe-0.0.7-amd64.efi" -key "$work/ours.key" -cert "$work/ours.crt" -o "$work/signed-later"
expect "and so they are" cmp "$signed" "$work/signed-later"
expect "verify" image verify "$signed" -cert "$work/ours.crt" -digest "$(sha256sum "$signed" | cut -d' ' -f1)"
grep -q '^ok      a node takes it' "$work/out" && ok "by a node's own code, too" || bad "by a node's own code, too"
expect "sbverify agrees" sbverify --cert "$work/ours.crt" "$signed"
refused "sbverify refuses another certificate" 'verification failed' sbverify --cert "$work/theirs.crt" "$signed"
refused "not signed" 'signature: the file is not signed' image verify "$plain" -cert "$work/ours.crt"
refused "another key" 'signature: signed by CN=ours .* which is not trusted' image verify "$signed" -cert "$work/theirs.crt"
refused "another digest" 'digest: SHA-256 is' image verify "$signed" -cert "$work/ours.crt" -digest "$(printf 0%.0s $(seq 64))"
size=$(stat -c %s "$signed")
for at in 700 100000 $((size / 2)) $((size - 3000)); do
  cp "$signed" "$work/tampered"
  printf '\x5a' | dd of="$work/tampered" bs=1 seek="$at" conv=notrunc status=none
  cmp -s "$signed" "$work/tampered" && printf '\xa5' | dd of="$work/tampered" bs=1 seek="$at" conv=notrunc status=none
  refused "a byte changed at $at" 'FAILED  signature|PE: ' image verify "$work/tampered" -cert "$work/ours.crt"
done
for cut in 100 5000 $((size / 2)) $((size - 8)); do
  head -c "$cut" "$signed" >"$work/cut"
  refused "cut after $cut" 'PE: |FAILED  signature' image verify "$work/cut" -cert "$work/ours.crt"
done
sbsign --key "$work/theirs.key" --cert "$work/theirs.crt" --output "$work/by-sbsign" "$plain" >/dev/null 2>&1
expect "a signature that sbsign made" image verify "$work/by-sbsign" -cert "$work/theirs.crt"
refused "which is not ours" 'not trusted' image verify "$work/by-sbsign" -cert "$work/ours.crt"
openssl req -quiet -new -newkey rsa:2048 -nodes -keyout "$work/leaf.key" -subj /CN=leaf -out "$work/leaf.csr" 2>/dev/null
openssl x509 -req -in "$work/leaf.csr" -CA "$work/ours.crt" -CAkey "$work/ours.key" -days 30 -out "$work/leaf.crt" 2>/dev/null
expect "a key that ours vouches for" image sign "$plain" -key "$work/leaf.key" -cert "$work/leaf.crt" -o "$work/by-leaf"
expect "is good" image verify "$work/by-leaf" -cert "$work/ours.crt"
refused "key and certificate of two people" 'not one for this key' image sign "$plain" -key "$work/leaf.key" -cert "$work/ours.crt" -o "$work/none"

# --- Looking into images.
for want in '^enforced  sysctl kernel.sysrq +"0"$' '^waived    sysctl kernel.yama.ptrace_scope +"3", has "2": ' '^waived    kernel CONFIG_AMD_IOMMU +"y": the build root' '^arguments +console=ttyS0 panic=-1 .* slab_nomerge' '^version +0.0.7' '^signed by +nobody' '^\.steppe' '/usr/lib/modules/.*/modules.index' '/root.sqfs'; do
  grep -Eq "$want" "$work/inspect" && ok "inspect shows $want" || bad "inspect shows $want"
done
expect "inspect as JSON" sh -c "'$bin/steppe-image' inspect -json '$signed' | jq -e '.manifest.version == \"0.0.7\" and .signers[0].subject == \"CN=ours\" and (.root | length > 50)'"
expect "an image does not differ from itself" image diff "$plain" "$plain"
refused "a signature differs" '^signature: not signed -> CN=ours' image diff "$plain" "$signed"
spec "$work/b.hcl"
sed -i 's|target = "one"|target = "two"|; s|0.0.7|0.0.8|' "$work/b.hcl"
expect "another build" image build "$work/b.hcl" -o "$work/third"
refused "the difference is named" 'root /etc/link: kind, owner, mode or target changed' image diff "$plain" "$work/third/steppe-0.0.8-amd64.efi"
grep -q '^version: 0.0.7 -> 0.0.8' "$work/out" && ok "and the version" || bad "and the version"
