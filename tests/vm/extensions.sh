# Sourced by tests/vm/run: machines whose image names extensions. Each is an image that steppe-image makes, with the probe in the agent's
# place, started as kernel and initrd. There is no ESP: what would lie on it lies in the root, at the same place.

# name | tags | mutant, under which it fails | time | what it shows
extensions='
extension|long|extension-unflipped|real|drivers and firmware from one that is there, one that is missing, and a block that was changed: an I/O error, no more
extension-refused|long|extension-refused-none|real|signed by somebody else, damaged, for another kernel: refused, said, and the machine goes on
'

# extension_spec FILE KEY MORE: what every spec here has.
extension_spec() {
  cat >"$1" <<HCL
image {
  version = "0.0.7"
  date    = "2026-01-02T03:04:05Z"
}
kernel {
  directory = "${3:-/}"
  classes   = ["virtio", "fs"]
  initrd    = ["loop", "squashfs", "overlay"]
}
boot {
  init  = "$build/bin/steppe-init"
  strip = true
}
sign {
  key         = "$2.key"
  certificate = "$2.crt"
}
compression {
  level = 1
  block = "128KiB"
}
HCL
}

extension_image() { "$build/bin/steppe-image" "$@" >"$work/image.out" 2>&1 || { cat "$work/image.out"; die "steppe-image $*"; }; }

# The image's root: the probe, what runs it, and the extensions that this machine has.
add_extension_root() {
  local spec=$1 variant=$2 lib
  {
    printf 'root {\n'
    printf '  file "/usr/share/steppe-vm" { content = "%s" }\n' "$variant"
    printf '  file "/usr/bin/steppe" {\n source = "%s"\n mode = "0755"\n }\n' "$build/bin/steppe-vm-probe"
    printf '  file "/usr/bin/steppe-node" {\n source = "%s"\n mode = "0755"\n strip = true\n }\n' "$build/bin/steppe-node"
    printf '  link "/lib" { target = "usr/lib" }\n  link "/lib64" { target = "usr/lib64" }\n'
    ldd "$build/bin/steppe-node" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p; s/^[[:space:]]*\(\/[^ ]*ld-linux[^ ]*\).*/\1/p' | sort -u | while read -r lib; do
      printf '  file "%s" {\n source = "%s"\n mode = "0755"\n }\n' "/usr/${lib#/}" "$lib" | sed 's|"/usr/usr/|"/usr/|'
    done
    shift 2
    while [ $# -gt 1 ]; do
      printf '  file "%s" { source = "%s" }\n' "$1" "$2"
      shift 2
    done
    printf '}\n'
  } >>"$spec"
}

name_extensions() {
  local spec=$1 file; shift
  for file in "$@"; do printf 'extension "%s" { path = "%s" }\n' "$(basename "$file" .ext)" "$file" >>"$spec"; done
}

# One whose modules, and one whose file, the probe looks for.
make_good_extensions() {
  local work=$1
  head -c 400000 /dev/urandom >"$work/pattern"
  extension_spec "$work/made.hcl" "$work/ours"
  cat >>"$work/made.hcl" <<HCL
extension "drivers" {
  modules = ["i6300esb", "dummy"]
  file "/usr/lib/firmware/steppe-vm.bin" { content = "firmware" }
}
extension "late" {
  file "/usr/share/late/first" { content = "first" }
  file "/usr/share/late/pattern" { source = "pattern" }
}
HCL
  extension_image build "$work/made.hcl" -only-extensions -o "$work"
}

# forged: named by the image, signed by somebody else. damaged: its header. other: made for the modules of another kernel, which is this one under
# another name; the builder has only its digest. In the mutant all three are good.
make_bad_extensions() {
  local work=$1 variant=$2 release other=6.0.0-other-amd64
  release=$(ls /lib/modules | tail -n 1)
  mkdir -p "$work/kernel/boot" "$work/kernel/lib/modules" "$work/made"
  [ "$variant" = extension-refused ] || other=$release
  cp "/boot/vmlinuz-$release" "$work/kernel/boot/vmlinuz-$other"
  cp -r "/lib/modules/$release" "$work/kernel/lib/modules/$other"
  extension_spec "$work/other.hcl" "$work/ours" "$work/kernel"
  printf 'extension "other" { modules = ["dummy"] }\n' >>"$work/other.hcl"
  extension_image build "$work/other.hcl" -only-extensions -o "$work/made"
  extension_spec "$work/forged.hcl" "$([ "$variant" = extension-refused ] && echo "$work/theirs" || echo "$work/ours")"
  printf 'extension "forged" {\n file "/a" { content = "a" }\n }\n' >>"$work/forged.hcl"
  extension_image build "$work/forged.hcl" -only-extensions -o "$work/made"
  extension_spec "$work/damaged.hcl" "$work/ours"
  printf 'extension "damaged" {\n file "/a" { content = "a" }\n }\n' >>"$work/damaged.hcl"
  extension_image build "$work/damaged.hcl" -only-extensions -o "$work/made"
  cp "$work/made/damaged.ext" "$work/damaged-there.ext"
  [ "$variant" != extension-refused ] || printf 'X' | dd of="$work/damaged-there.ext" bs=1 seek=40 conv=notrunc status=none
}

make_extension_machine() {
  local work=$1 variant=$2 owner there=/efi/EFI/steppe/extensions
  for owner in ours theirs; do extension_image keygen "$work/$owner" -name "$owner"; done
  extension_spec "$work/image.hcl" "$work/ours"
  case $variant in
    extension-refused*)
      make_bad_extensions "$work" "$variant"
      name_extensions "$work/image.hcl" "$work/made/forged.ext" "$work/made/damaged.ext"
      printf 'extension "other" {\n sha256 = "%s"\n size = %d\n }\n' "$(sha256sum "$work/made/other.ext" | cut -d' ' -f1)" "$(stat -c %s "$work/made/other.ext")" >>"$work/image.hcl"
      add_extension_root "$work/image.hcl" "$variant" "$there/forged.ext" "$work/made/forged.ext" "$there/damaged.ext" "$work/damaged-there.ext" "$there/other.ext" "$work/made/other.ext" ;;
    *)
      make_good_extensions "$work"
      name_extensions "$work/image.hcl" "$work/drivers.ext" "$work/late.ext"
      # The one that is late is not where a machine looks.
      add_extension_root "$work/image.hcl" "$variant" "$there/drivers.ext" "$work/drivers.ext" /usr/share/vm/late.ext "$work/late.ext" /usr/share/vm/pattern "$work/pattern" ;;
  esac
  extension_image build "$work/image.hcl" -netboot -o "$work/out"
  cp "$work/out/steppe-0.0.7-amd64.initrd" "$work/initrd"
  cp "$work/out/steppe-0.0.7-amd64.vmlinuz" "$work/kernel.program"
}

boot_extension() {
  local work=$1
  timeout -k 5 "$deadline" qemu-system-x86_64 -accel tcg,thread=multi -smp 2 -cpu max -m 512 -nodefaults -display none -no-reboot -serial stdio \
    -kernel "$work/kernel.program" -initrd "$work/initrd" -rtc base=1970-01-02T00:00:00,clock=vm \
    -netdev user,id=net -device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci -device i6300esb \
    -append "console=ttyS0 quiet panic=-1 no_timer_check steppe.standalone" </dev/null 2>&1 | tr -d '\r' >"$work/console"
}

extension_lines() {
  printf '%s\n' '-VM bad' '+^VM done' '-Kernel panic' '-steppe: cannot boot' '+^steppe: ready' '+^steppe: unmounted [0-9]+ file systems, 0 left' '+^steppe: ending now'
  case $1 in
    extension) printf '%s\n' '+^steppe: extensions: late missing: ' '+^steppe: watchdog i6300ESB timer' '+^VM ok drivers is mounted' '+^VM ok a module of an extension, by name' \
      '+^VM ok firmware of an extension' '+^VM ok one that came late' '+^VM ok a block that was changed is an I/O error' ;;
    extension-refused) printf '%s\n' '+^steppe: extensions: damaged refused: ' '+^VM ok forged is refused' '+^VM ok damaged is refused' '+^VM ok other is refused' ;;
  esac
}

judge_extension() {
  local name=$1 console=$2 line
  extension_lines "$name" | while IFS= read -r line; do
    case $line in
      +*) grep -aqE -- "${line#+}" "$console" || printf 'no line "%s"\n' "${line#+}" ;;
      -*) ! grep -aqE -- "${line#-}" "$console" || printf 'a line "%s"\n' "${line#-}" ;;
    esac
  done
}

# One scenario, then its mutant, whose console must be found wrong for another reason than the deadline.
run_extension() {
  local row=$1 name mutant work started variant status wrong file
  name=$(field "$row" 1); mutant=$(field "$row" 3)
  for file in steppe-image steppe-init steppe-node steppe-vm-probe; do [ -x "$build/bin/$file" ] || die "$build/bin/$file is not built"; done
  started=$SECONDS
  for variant in "$name" "$mutant"; do
    work=$(mktemp -d) status=0
    make_extension_machine "$work" "$variant"
    boot_extension "$work" || status=$?
    wrong=$(judge_extension "$name" "$work/console")
    [ $status -eq 0 ] || wrong="qemu ended with $status (124: the deadline)${wrong:+; $wrong}"
    if { [ "$variant" = "$name" ] && [ -n "$wrong" ]; } || { [ "$variant" = "$mutant" ] && { [ -z "$wrong" ] || [ $status -ne 0 ]; }; }; then
      printf 'FAIL %-12s %3d s  %s: %s; the console follows\n' "$name" $((SECONDS - started)) "$variant" "${wrong:-its fault was not found}"
      tail -n 200 "$work/console"
      rm -rf "$work"
      return 1
    fi
    rm -rf "$work"
  done
  printf 'ok   %-12s %3d s  its mutant %s was found\n' "$name" $((SECONDS - started)) "$mutant"
}
