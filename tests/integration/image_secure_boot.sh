#!/usr/bin/env bash
# (long) Secure Boot with own keys: the signed image starts; a changed one, one of another key and an unsigned one do not.
. "$(dirname "$0")/image_guest.sh"

for name in ours theirs; do "$bin/steppe-image" keygen "$work/$name" -name "$name" >/dev/null || bad "a key"; done
guid=53544550-5045-4e53-8000-000000000001
virt-fw-vars -i /usr/share/OVMF/OVMF_VARS_4M.fd -o "$work/enrolled" --set-pk $guid "$work/ours.crt" --add-kek $guid "$work/ours.crt" --add-db $guid "$work/ours.crt" --sb >"$work/out" 2>&1 ||
  { bad "keys in the firmware"; cat "$work/out"; exit 1; }
signed_by() { printf 'sign {\n  key = "%s.key"\n  certificate = "%s.crt"\n}\n' "$work/$1" "$work/$1"; }
build() { "$bin/steppe-image" build "$1" -o "$2" -disk 192MiB >"$work/out" 2>&1 || { bad "build $1"; cat "$work/out"; exit 1; }; }
secure() {
  cp "$work/enrolled" "$work/vars"
  printf '%s\n' -machine q35,smm=on -global driver=cfi.pflash01,property=secure,value=on -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.secboot.fd \
    -drive "if=pflash,format=raw,file=$work/vars" -drive "if=none,id=disk,format=raw,snapshot=on,file=$1" -device virtio-blk-pci,drive=disk,bootindex=0
}
starts() { mapfile -t words < <(secure "$2"); guest "$work/log" "${words[@]}"; until_line "$1" "$work/log" '^steppe: ready$'; }
refuses() {
  mapfile -t words < <(secure "$2"); guest "$work/log" "${words[@]}"; until_line "$1" "$work/log" '[Aa]ccess [Dd]enied|[Ss]ecurity [Vv]iolation'
  if grep -aq '^steppe: ' "$work/log"; then bad "$1: it started nevertheless"; fi
}
# put DISK FILE: in place of the image on the disk's ESP.
put() { mcopy -o -i "$1@@1048576" "$2" ::/EFI/Linux/steppe-0.0.7.efi; }

spec "$work/ours.hcl" '"loop", "squashfs", "overlay"' "$(signed_by ours)"
build "$work/ours.hcl" "$work/good"
disk=$work/good/steppe-0.0.7-amd64.raw image=$work/good/steppe-0.0.7-amd64.efi
starts "signed by the enrolled key: it starts" "$disk"

cp "$image" "$work/changed"; size=$(stat -c %s "$image")
printf 'x' | dd of="$work/changed" bs=1 seek=$((size / 2)) conv=notrunc status=none
cmp -s "$image" "$work/changed" && printf 'y' | dd of="$work/changed" bs=1 seek=$((size / 2)) conv=notrunc status=none
cp "$disk" "$work/disk"; put "$work/disk" "$work/changed"
refuses "one byte changed: it is refused" "$work/disk"

"$bin/steppe-image" sign "$image" -key "$work/theirs.key" -cert "$work/theirs.crt" -o "$work/foreign" >/dev/null || bad "a foreign signature"
put "$work/disk" "$work/foreign"
refuses "signed by another key: it is refused" "$work/disk"

spec "$work/plain.hcl" '"loop", "squashfs", "overlay"'
build "$work/plain.hcl" "$work/plain"
refuses "nothing signed, the boot loader neither: it is refused" "$work/plain/steppe-0.0.7-amd64.raw"
