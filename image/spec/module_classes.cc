#include "image/spec/module_classes.h"

namespace steppe::spec {
namespace {

using Patterns = std::string_view[];

constexpr Patterns kVirtio = {"virtio",         "virtio_ring",
                              "virtio_pci",     "virtio_mmio",
                              "virtio_blk",     "virtio_scsi",
                              "virtio_net",     "virtio_rng",
                              "virtio_balloon", "virtio_console",
                              "virtio_crypto",  "virtio_input",
                              "virtiofs",       "vmw_vsock_virtio_transport",
                              "qemu_fw_cfg",    "9p",
                              "9pnet_virtio",   "failover",
                              "net_failover"};
constexpr Patterns kStorage = {"nvme",      "nvme_core",  "ahci",       "libahci",      "ata_piix",   "sd_mod",
                               "sr_mod",    "cdrom",      "sg",         "sdhci",        "sdhci_pci",  "sdhci_acpi",
                               "mmc_block", "hv_storvsc", "vmw_pvscsi", "xen_blkfront", "virtio_blk", "virtio_scsi",
                               "dm_mod",    "dm_verity",  "dm_crypt"};
constexpr Patterns kStorageServer = {"megaraid_sas", "mpt3sas", "hpsa",    "smartpqi",
                                     "aacraid",      "arcmsr",  "qla2xxx", "lpfc"};
constexpr Patterns kNetCommon = {"e1000",        "e1000e",    "igb",       "igc",          "ixgbe",      "r8169",
                                 "realtek",      "8139cp",    "8139too",   "tg3",          "virtio_net", "vmxnet3",
                                 "ena",          "gve",       "hv_netvsc", "xen_netfront", "usbnet",     "r8152",
                                 "ax88179_178a", "cdc_ether", "cdc_ncm"};
constexpr Patterns kNetServer = {"bnxt_en", "i40e", "ice",   "mlx4_en", "mlx5_core",
                                 "bnx2x",   "qede", "cxgb4", "sfc",     "atlantic"};
constexpr Patterns kUsb = {"xhci_hcd",       "xhci_pci",    "ehci_hcd", "ehci_pci",  "uhci_hcd", "ohci_hcd",
                           "ohci_pci",       "usb_storage", "uas",      "usbhid",    "hid",      "hid_generic",
                           "hid_multitouch", "atkbd",       "i8042",    "usbserial", "cdc_acm",  "ftdi_sio",
                           "cp210x",         "pl2303",      "ch341"};
constexpr Patterns kFs = {"ext4",          "crc32c_generic", "crc32c_intel", "vfat",  "fat",      "nls_cp437",
                          "nls_iso8859_1", "nls_ascii",      "nls_utf8",     "isofs", "squashfs", "erofs",
                          "overlay",       "fuse",           "loop",         "zram",  "efivarfs", "dm_verity",
                          "configfs",      "autofs4",        "binfmt_misc"};
constexpr Patterns kWatchdog = {
    "iTCO_wdt",     "iTCO_vendor_support", "sp5100_tco", "wdat_wdt", "i6300esb",     "ipmi_watchdog", "ipmi_si",
    "ipmi_devintf", "ipmi_msghandler",     "hpwdt",      "softdog",  "w83627hf_wdt", "it87_wdt"};
constexpr Patterns kContainer = {"bridge",       "br_netfilter", "veth",       "8021q",          "bonding",
                                 "vxlan",        "geneve",       "macvlan",    "ipvlan",         "tun",
                                 "wireguard",    "dummy",        "ifb",        "nf_tables",      "nfnetlink",
                                 "nf_conntrack", "nf_nat",       "nft_*",      "nf_reject_ipv4", "nf_reject_ipv6",
                                 "x_tables",     "xt_addrtype",  "xt_comment", "xt_conntrack",   "xt_MASQUERADE",
                                 "xt_mark",      "xt_multiport", "xt_nat",     "xt_tcpudp",      "sch_fq",
                                 "sch_fq_codel", "sch_htb",      "sch_tbf",    "sch_ingress",    "cls_u32",
                                 "cls_bpf",      "cls_matchall", "act_mirred", "vsock",          "vsock_loopback",
                                 "tcp_diag",     "udp_diag",     "inet_diag",  "unix_diag"};
constexpr Patterns kMachine = {"efi_pstore", "dmi_sysfs",         "tpm_tis",      "tpm_crb", "rng_core", "coretemp",
                               "k10temp",    "cpufreq_*",         "intel_rapl_*", "pcspkr",  "button",   "acpi_cpufreq",
                               "hwmon",      "rtc_cmos",          "evdev",        "psmouse", "vmgenid",  "i2c_i801",
                               "i2c_piix4",  "jitterentropy_rng", "drbg"};
constexpr Patterns kXfs = {"xfs"};
constexpr Patterns kDisplay = {"virtio_gpu",     "simpledrm",        "bochs", "drm",
                               "drm_kms_helper", "drm_shmem_helper", "ast",   "mgag200"};
constexpr Patterns kCrypto = {"aesni_intel",      "sha256_ssse3", "sha512_ssse3", "ghash_clmulni_intel",
                              "crct10dif_pclmul", "crc32_pclmul", "cryptd",       "xts",
                              "gf128mul"};

constexpr ModuleClass kClasses[] = {
    {"virtio", "devices of virtual machines", kVirtio},
    {"storage", "NVMe, SATA, SD cards, disks of virtual machines, device mapper", kStorage},
    {"storage-server", "SAS and RAID controllers, Fibre Channel", kStorageServer},
    {"net-common", "network cards of desktops, small servers, clouds, and by USB", kNetCommon},
    {"net-server", "network cards of 25 Gbit/s and more", kNetServer},
    {"usb", "controllers, sticks, keyboards, serial adapters", kUsb},
    {"fs", "file systems, with loop and verity", kFs},
    {"xfs", "one more file system, five megabytes of it", kXfs},
    {"watchdog", "hardware watchdogs, and softdog for machines without one", kWatchdog},
    {"container", "bridges, tunnels, packet filter, traffic control", kContainer},
    {"machine", "firmware, sensors, TPM, clock", kMachine},
    {"display", "a console on a screen", kDisplay},
    {"crypto", "the processor's instructions for ciphers and digests", kCrypto},
};

}  // namespace

std::span<const ModuleClass> module_classes() { return kClasses; }

const ModuleClass* find_module_class(std::string_view name) {
  for (const ModuleClass& one : kClasses) {
    if (one.name == name) return &one;
  }
  return nullptr;
}

}  // namespace steppe::spec
