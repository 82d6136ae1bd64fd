# The product's image for amd64. `steppe-image lock image/steppe.hcl` pins the packages in steppe.lock, beside this file;
# `steppe-image build image/steppe.hcl -o build/image` makes the image from them.

variable "bin" {
  default = "../build/release/bin" # where the programs were built
}

image {
  name             = "steppe"
  version          = "0.1.0"
  architecture     = "amd64"
  security_version = 1
  date             = "2026-11-21T00:00:00Z"
}

kernel {
  package = "linux-image-amd64"
  classes = ["virtio", "storage", "net-common", "usb", "fs", "watchdog", "container", "machine", "crypto"]
  initrd  = ["loop", "squashfs", "overlay"]
  # panic: a machine that cannot go on starts again, so that a trial of a new image ends.
  arguments = ["console=tty0", "console=ttyS0,115200", "quiet", "panic=30"]
}

boot {
  init  = "${var.bin}/steppe-init"
  strip = true
}

root {
  file "/usr/bin/steppe" {
    source = "${var.bin}/steppe"
    mode   = "0755"
    strip  = true
  }
  file "/usr/bin/steppe-executor" {
    source = "${var.bin}/steppe-executor"
    mode   = "0755"
  }
  file "/usr/bin/steppe-node" {
    source = "${var.bin}/steppe-node"
    mode   = "0755"
    strip  = true
  }
  # DHCP, without the scripts that the package has beside it.
  package "dhcpcd-base" {
    files = ["/usr/sbin/dhcpcd"]
  }
  # What formats and checks the machine's own partitions, with its libraries; without configuration, everything is asked for by options.
  package "e2fsprogs" {
    files = ["/usr/sbin/mke2fs", "/usr/sbin/e2fsck"]
  }
  package "libext2fs2t64" {
    files = ["/usr/lib/x86_64-linux-gnu/libext2fs.so.2*", "/usr/lib/x86_64-linux-gnu/libe2p.so.2*"]
  }
  package "libcom-err2" {
    files = ["/usr/lib/x86_64-linux-gnu/libcom_err.so.2*"]
  }
  package "libblkid1" {
    files = ["/usr/lib/x86_64-linux-gnu/libblkid.so.1*"]
  }
  package "libuuid1" {
    files = ["/usr/lib/x86_64-linux-gnu/libuuid.so.1*"]
  }
  # What makes the EFI system partition when a machine is installed onto a disk.
  package "dosfstools" {
    files = ["/usr/sbin/mkfs.fat"]
  }
  # Time, by one program and no script.
  package "openntpd" {
    files = ["/usr/sbin/ntpd"]
  }
  # Once for the agent, steppe-node and dhcpcd.
  package "libssl3t64" {
    files = ["/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "/usr/lib/x86_64-linux-gnu/libssl.so.3"]
  }
  package "libzstd1" {
    files = ["/usr/lib/x86_64-linux-gnu/libzstd.so.1*"]
  }
  package "zlib1g" {
    files = ["/usr/lib/x86_64-linux-gnu/libz.so.1*"]
  }
  package "libc6" {
    files = [
      "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
      "/usr/lib/x86_64-linux-gnu/libc.so.6",
      "/usr/lib/x86_64-linux-gnu/libm.so.6",
      "/usr/lib64/ld-linux-x86-64.so.2",
    ]
  }
  link "/lib64" {
    target = "usr/lib64"
  }
  link "/lib" {
    target = "usr/lib"
  }
  bundle "/etc/ssl/certs/ca-certificates.crt" {
    package = "ca-certificates"
    files   = ["/usr/share/ca-certificates/mozilla/*.crt"]
  }
  file "/etc/passwd" {
    content = "root:x:0:0:root:/:/nonexistent\nnobody:x:65534:65534:nobody:/:/nonexistent\nntpd:x:101:65534::/run/steppe/time/empty:/nonexistent\n"
  }
  link "/etc/resolv.conf" {
    target = "../run/steppe/network/resolv.conf.d/resolv.conf"
  }
  file "/etc/group" {
    content = "root:x:0:\nnogroup:x:65534:\n"
  }
  file "/etc/services" {
    content = "ntp 123/udp\n" # ntpd asks for its port by name, and ends where nobody knows it
  }
  file "/etc/nsswitch.conf" {
    content = "passwd: files\ngroup: files\nhosts: files dns\n"
  }
}

# What tasks of the exec driver see. Debian's sort and digests would bring two megabytes of libcrypto: busybox has them, and
# ps, ip and more that would not fit otherwise.
task_root {
  packages = ["dash", "coreutils", "sed", "grep", "mawk", "tar", "gzip", "findutils", "diffutils", "hostname", "netbase", "busybox"]
  without  = ["gcc-14-base", "libssl3t64", "libzstd1", "zlib1g", "openssl-provider-legacy", "debconf", "init-system-helpers"]
  remove = [
    "/usr/share/doc*", "/usr/share/man*", "/usr/share/locale*", "/usr/share/info*", "/usr/share/lintian*", "/usr/share/bug*",
    "/usr/share/bash-completion*", "/usr/share/menu*", "/usr/share/debianutils*", "/usr/share/keyrings*", "/usr/share/perl*",
    "/usr/lib/x86_64-linux-gnu/gconv*", "/usr/lib/x86_64-linux-gnu/audit*", "/usr/lib/x86_64-linux-gnu/libmvec*",
    "/usr/lib/x86_64-linux-gnu/libnsl*", "/usr/lib/x86_64-linux-gnu/libanl*", "/usr/lib/x86_64-linux-gnu/libthread_db*",
    "/usr/lib/x86_64-linux-gnu/libnss_hesiod*", "/usr/lib/x86_64-linux-gnu/libnss_compat*", "/usr/lib/x86_64-linux-gnu/libBrokenLocale*",
    "/usr/lib/x86_64-linux-gnu/libc_malloc_debug*", "/usr/lib/x86_64-linux-gnu/libmemusage*", "/usr/lib/x86_64-linux-gnu/libpcprofile*",
    "/usr/lib/systemd*", "/usr/lib/udev*", "/usr/sbin/*", "/etc/init.d*", "/etc/rc*",
    "/usr/bin/dir", "/usr/bin/vdir", "/usr/bin/chcon", "/usr/bin/runcon", "/usr/bin/pinky", "/usr/libexec/coreutils*",
    "/usr/bin/sort", "/usr/bin/*sum",
  ]
  links = {
    "/etc/resolv.conf" = "../run/resolv.conf.d/resolv.conf" # a directory of the machine's, mounted for tasks
    "/etc/ssl/certs/ca-certificates.crt" = "../../../run/trust/ca-certificates.crt" # the same way: whom the machine trusts
    "/bin"               = "usr/bin"
    "/sbin"              = "usr/bin"
    "/usr/sbin"          = "bin" # what lies there is for a machine, not for a task
    "/lib"               = "usr/lib"
    "/lib64"             = "usr/lib64"
    "/usr/bin/awk"       = "mawk"
    "/usr/bin/nawk"      = "mawk"
    "/usr/bin/bc"        = "busybox"
    "/usr/bin/bunzip2"   = "busybox"
    "/usr/bin/bzcat"     = "busybox"
    "/usr/bin/clear"     = "busybox"
    "/usr/bin/free"      = "busybox"
    "/usr/bin/ip"        = "busybox"
    "/usr/bin/kill"      = "busybox"
    "/usr/bin/killall"   = "busybox"
    "/usr/bin/less"      = "busybox"
    "/usr/bin/md5sum"    = "busybox"
    "/usr/bin/nc"        = "busybox"
    "/usr/bin/netstat"   = "busybox"
    "/usr/bin/nslookup"  = "busybox"
    "/usr/bin/patch"     = "busybox"
    "/usr/bin/pidof"     = "busybox"
    "/usr/bin/ping"      = "busybox"
    "/usr/bin/ps"        = "busybox"
    "/usr/bin/setsid"    = "busybox"
    "/usr/bin/sha1sum"   = "busybox"
    "/usr/bin/sha256sum" = "busybox"
    "/usr/bin/sha512sum" = "busybox"
    "/usr/bin/sort"      = "busybox"
    "/usr/bin/strings"   = "busybox"
    "/usr/bin/time"      = "busybox"
    "/usr/bin/top"       = "busybox"
    "/usr/bin/unxz"      = "busybox"
    "/usr/bin/unzip"     = "busybox"
    "/usr/bin/uptime"    = "busybox"
    "/usr/bin/vi"        = "busybox"
    "/usr/bin/wget"      = "busybox"
    "/usr/bin/xxd"       = "busybox"
    "/usr/bin/xzcat"     = "busybox"
  }
}

limits {
  # To become 32MiB again: the agent has 21 MB where its own budget is 12, which is what is too much here.
  image     = "35MiB"
  task_root = "8MiB"
}
