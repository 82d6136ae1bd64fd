#include "image/build/image.h"

#include <algorithm>
#include <format>

#include "image/build/extension.h"
#include "image/build/iso_image.h"
#include "image/build/package_list.h"
#include "image/fs/compression.h"
#include "image/fs/cpio.h"
#include "image/fs/pseudo.h"
#include "image/fs/tar.h"
#include "image/netboot/ipxe.h"
#include "image/sign/authenticode.h"
#include "image/spec/hardening.h"
#include "image/uki/assemble.h"
#include "init/base/text.h"
#include "init/io/path_file.h"
#include "init/upgrade/manifest.h"

namespace steppe::build {
namespace {

constexpr Bytes kMaxContent = Bytes::gib(2);

std::string table(const std::vector<Share>& shares) {
  std::string out;
  for (const Share& share : shares)
    out += std::format("\n  {:>10.2f} MiB  {}", static_cast<double>(share.bytes) / (1 << 20), share.name);
  return out;
}

void add_share(std::vector<Share>& shares, std::string name, size_t bytes) {
  shares.push_back({std::move(name), bytes});
  std::ranges::stable_sort(shares, std::greater{}, &Share::bytes);
}

// What takes room inside a tree before it is compressed: its biggest files, as a hint for who must make it smaller.
std::string biggest(const fs::Tree& tree) {
  std::vector<Share> all;
  for (const auto& [path, node] : tree.nodes()) {
    if (!node.bytes().empty()) all.push_back({"  /" + path + " (uncompressed)", node.bytes().size()});
  }
  std::ranges::stable_sort(all, std::greater{}, &Share::bytes);
  if (all.size() > 15) all.resize(15);
  return table(all);
}

Result<> check_scan(const fs::Tree& root) {
  const auto findings = rootfs::scan_root(root);
  if (findings.empty()) return {};
  std::string list;
  for (const rootfs::Finding& one : findings)
    list += std::format("\n  {:<16} /{}: {}", rootfs::finding_name(one.kind), one.path, one.detail);
  return Error(Code::kDenied,
               std::format("the host's root holds what it may not hold; remove it from the spec:{}", list));
}

// What the image says of itself. Its build id is the digest of all that runs: kernel, arguments, first archive, root.
Result<std::string> make_manifest(const spec::Spec& spec, const Kernel& kernel, const std::vector<MadeExtension>& extensions,
                                  std::string_view arguments, std::string_view head, std::string_view root) {
  upgrade::Manifest manifest{.version = spec.image.version,
                             .arch = spec.image.architecture == spec::Architecture::kAmd64 ? "x86-64" : "arm64"};
  manifest.security_version = static_cast<uint64_t>(spec.image.security_version);
  manifest.kernel = kernel.release;
  manifest.built_unix_s = static_cast<uint64_t>(spec.image.date_s);
  std::string digests = os_release(spec);
  for (const std::string_view part : {std::string_view(*kernel.program), arguments, head, root})
    digests += sign::sha256(as_bytes(part));
  manifest.build_id = upgrade::sha256(as_bytes(digests));
  for (const MadeExtension& one : extensions) manifest.extensions.push_back(one.named);
  return upgrade::encode_manifest(manifest);
}

struct Initrd {
  std::string bytes, manifest;
};
Result<Initrd> make_initrd(const spec::Spec& spec, const Kernel& kernel, const std::vector<MadeExtension>& extensions, std::string root,
                           const std::string& arguments, const Shop& shop, PartsList& parts) {
  STEPPE_TRY(std::string init, take_program(spec.boot.init, spec.boot.strip, shop).wrap("boot.init"));
  fs::Tree first, second;
  STEPPE_TRY_VOID(first.add_file("init", std::move(init), 0755));
  STEPPE_TRY_VOID(first.add_file("cmdline.default", arguments + "\n"));
  for (const char* path : {"dev", "proc", "sys", "run", "root"}) STEPPE_TRY_VOID(first.add_directory(path));
  std::string order;
  STEPPE_TRY_VOID(first.add_directory("modules"));
  for (const std::string& name : kernel.initrd) {
    STEPPE_TRY_VOID(first.add("modules/" + name + ".ko", fs::Node{.content = kernel.modules.at(name).content}));
    order += name + ".ko\n";
  }
  STEPPE_TRY_VOID(first.add_file("modules/order", order));
  const uint32_t date = static_cast<uint32_t>(spec.image.date_s);
  STEPPE_TRY(const std::string head, fs::write_cpio(first, date));
  Initrd out;
  STEPPE_TRY(out.manifest, make_manifest(spec, kernel, extensions, arguments, head, root));
  STEPPE_TRY_VOID(second.add_file("steppe.manifest", out.manifest));
  STEPPE_TRY_VOID(second.add_file("root.sqfs", std::move(root)));
  parts.add("./initrd/", first);
  parts.add("./initrd/", second);
  // The root is compressed already; what lies before it is not.
  STEPPE_TRY(out.bytes, fs::zstd(as_bytes(head), static_cast<int>(spec.compression.level)));
  out.bytes.append((4 - out.bytes.size() % 4) % 4, '\0');
  STEPPE_TRY(const std::string rest, fs::write_cpio(second, date));
  out.bytes += rest;
  return out;
}

Result<> write_extensions(const std::vector<MadeExtension>& extensions, const kernel::Beneath& directory, const Options& options,
                          Outcome& outcome) {
  for (const MadeExtension& one : extensions) {
    outcome.extensions.push_back(one.named);
    if (!one.path.empty()) outcome.extension_files[hex(one.named.digest)] = one.path;
    if (one.bytes.empty()) continue;
    const std::string name = one.named.name + ".ext";
    outcome.extension_files[hex(one.named.digest)] = options.directory + "/" + name;
    STEPPE_TRY_VOID(directory.write(name, as_bytes(one.bytes), 0644).wrap(std::format("write {}", name)));
    outcome.files.push_back(options.directory + "/" + name);
  }
  return {};
}

Result<std::string> signed_image(const spec::Spec& spec, std::string image, Outcome& outcome) {
  STEPPE_TRY(const std::optional<Signer> signer, read_signer(spec.signing));
  if (!signer) return image;
  outcome.is_signed = true;
  return sign::sign_program(as_bytes(image), signer->key, signer->certificate);
}

// The parts of an image before they become one file.
struct Parts {
  Initrd initrd;
  std::string arguments;
  Kernel kernel;
  std::vector<MadeExtension> extensions;
};

// What a build takes from, and where it notes what it took.
struct Shelf {
  Packages& packages;
  PartsList& parts;
};

Result<Parts> make_parts(const spec::Spec& spec, Shelf shelf, const Shop& shop, const Report& report,
                         Outcome& outcome) {
  Packages& packages = shelf.packages;
  Workbench& bench = shop.bench;
  const std::string& scratch = shop.scratch;
  Parts parts;
  report.step("kernel and modules");
  STEPPE_TRY(parts.kernel, take_kernel(spec, packages));
  STEPPE_TRY(const hardening::Table table, decide_hardening(spec, parts.kernel));
  STEPPE_TRY(const auto arguments, spec::merge_arguments(spec.kernel.arguments, table));
  parts.arguments = join(arguments, " ");
  std::string tasks;
  if (!spec.task_root.packages.empty()) {
    report.step("task root");
    STEPPE_TRY(const fs::Tree tree, task_root(spec, packages));
    STEPPE_TRY(tasks, make_squashfs(tree, spec.compression, spec.image.date_s, scratch, bench));
    if (tasks.size() > spec.limits.task_root.count)
      return Error(Code::kExhausted,
                   std::format("the task root takes {} bytes, limits.task_root allows {}; what is big in it:{}",
                               tasks.size(), spec.limits.task_root.count, biggest(tree)));
    add_share(outcome.shares, "task root", tasks.size());
    outcome.task_root_size = tasks.size();
    shelf.parts.add("./task-root/", tree);
  }
  STEPPE_TRY(parts.extensions, make_extensions(spec, parts.kernel, packages, shop, report));
  for (const MadeExtension& one : parts.extensions) shelf.parts.add(std::format("./extensions/{}/", one.named.name), one.tree);
  report.step("root");
  STEPPE_TRY(fs::Tree root, host_root(spec, parts.kernel, table, packages, shop));
  if (!tasks.empty()) STEPPE_TRY_VOID(root.add_file("usr/share/steppe/task-root.sqfs", std::move(tasks)));
  STEPPE_TRY(std::string squashfs, make_squashfs(root, spec.compression, spec.image.date_s, scratch, bench));
  report.step("scan of the finished root");
  STEPPE_TRY(const fs::Tree finished, read_squashfs(squashfs, kMaxContent, bench));
  if (finished.nodes().size() != root.nodes().size())
    return Error(Code::kCorrupt, "the finished root does not hold what was put into it");
  STEPPE_TRY_VOID(check_scan(finished));
  add_share(outcome.shares, "root without the task root", squashfs.size() - outcome.task_root_size);
  shelf.parts.add("./root/", root);
  const size_t root_size = squashfs.size();
  report.step("initrd");
  STEPPE_TRY(parts.initrd, make_initrd(spec, parts.kernel, parts.extensions, std::move(squashfs), parts.arguments, shop, shelf.parts));
  add_share(outcome.shares, "first process and its modules", parts.initrd.bytes.size() - root_size);
  add_share(outcome.shares, "kernel", parts.kernel.program->size());
  shelf.parts.add_file("./linux", parts.kernel.program, spec::Role::kKernel);
  outcome.kernel = parts.kernel.release;
  outcome.module_count = parts.kernel.modules.size();
  outcome.absent = parts.kernel.absent;
  return parts;
}

Result<std::string> make_image(const spec::Spec& spec, const Parts& parts, Outcome& outcome) {
  STEPPE_TRY(const std::string stub, io::read_path(spec.boot.stub, Bytes::mib(16)).wrap("boot.stub"));
  add_share(outcome.shares, "boot stub", stub.size());
  const std::string sbat = std::format("steppe,1,Steppe,{},{},-\n", spec.image.name, spec.image.version);
  std::vector<uki::Part> sections = {
      {".osrel", os_release(spec)},       {".cmdline", parts.arguments},
      {".uname", parts.kernel.release},   {".sbat", uki::merge_sbat(as_bytes(stub), sbat)},
      {".steppe", parts.initrd.manifest}, {".initrd", parts.initrd.bytes},
      {".linux", *parts.kernel.program}};
  STEPPE_TRY(std::string image, uki::assemble(as_bytes(stub), std::move(sections)));
  STEPPE_TRY(image, signed_image(spec, std::move(image), outcome));
  if (image.size() > spec.limits.image.count)
    return Error(Code::kExhausted,
                 std::format("the image takes {} bytes, limits.image allows {}; what takes the room:{}", image.size(),
                             spec.limits.image.count, table(outcome.shares)));
  return image;
}

}  // namespace

Result<std::string> make_squashfs(const fs::Tree& tree, const spec::Compression& compression, int64_t date_s,
                                  const std::string& scratch, Workbench& bench) {
  STEPPE_TRY(const kernel::Beneath directory, open_directory(scratch));
  STEPPE_TRY_VOID(directory.remove_tree("made.sqfs"));
  const std::string date = std::to_string(date_s);
  STEPPE_TRY(const std::string tar, fs::write_tar(tree, static_cast<uint32_t>(date_s)));
  STEPPE_TRY_VOID(bench.run({.program = "sqfstar",
                             .arguments = {"-comp",
                                           "zstd",
                                           "-Xcompression-level",
                                           std::to_string(compression.level),
                                           "-b",
                                           std::to_string(compression.block.count),
                                           "-mkfs-time",
                                           date,
                                           "-all-time",
                                           date,
                                           "-root-time",
                                           date,
                                           "-root-mode",
                                           "755",
                                           "-force-uid",
                                           "0",
                                           "-force-gid",
                                           "0",
                                           "-quiet",
                                           "-no-progress",
                                           scratch + "/made.sqfs"},
                             .input = tar}));
  STEPPE_TRY(std::string bytes, directory.read("made.sqfs", Bytes::gib(1)));
  STEPPE_TRY_VOID(directory.remove_tree("made.sqfs"));
  return bytes;
}

Result<fs::Tree> read_squashfs(std::string_view bytes, Bytes limit, Workbench& bench) {
  STEPPE_TRY(const std::string listing, bench.run({.program = "unsquashfs",
                                                   .arguments = {"-no-progress", "-pf", "-", "/proc/self/fd/0"},
                                                   .input = bytes,
                                                   .environment = {},
                                                   .limit = Bytes{limit.count + Bytes::mib(64).count}}));
  return fs::read_pseudo(as_bytes(listing), limit);
}

Result<Outcome> build_extensions(const spec::Spec& spec, const spec::Lock& lock, const Options& options, Store& store,
                                 Workbench& bench, const Report& report) {
  STEPPE_TRY(const kernel::Beneath directory, open_directory(options.directory));
  const std::string scratch = std::format(".{}-{}.part", spec.image.name, spec.image.version);
  Packages packages(store, lock);
  Outcome outcome;
  const auto build = [&]() -> Result<> {
    report.step("kernel and modules");
    STEPPE_TRY(const Kernel kernel, take_kernel(spec, packages));
    STEPPE_TRY(const auto made, make_extensions(spec, kernel, packages, Shop{bench, options.directory + "/" + scratch}, report));
    outcome.kernel = kernel.release;
    return write_extensions(made, directory, options, outcome);
  };
  const Result<> built = build();
  const Result<> cleaned = directory.remove_tree(scratch);
  if (!built.ok()) return built.error();
  if (!cleaned.ok()) return cleaned.error();
  return outcome;
}

namespace {
// Where results go, and what they are called: "steppe-1.2.3-amd64" and a suffix.
struct Results {
  const kernel::Beneath& directory;
  const Options& options;
  std::string stem;

  std::string path(std::string_view suffix) const { return std::format("{}/{}{}", options.directory, stem, suffix); }
  Result<> write(std::string_view suffix, std::string_view bytes, Outcome& outcome) const {
    const std::string name = std::format("{}{}", stem, suffix);
    STEPPE_TRY_VOID(directory.write(name, as_bytes(bytes), 0644).wrap(std::format("write {}", name)));
    outcome.files.push_back(path(suffix));
    return {};
  }
};

Result<> write_netboot(const spec::Spec& spec, const Parts& parts, const Results& results, Outcome& outcome) {
  const std::string image = results.stem + ".efi", kernel = results.stem + ".vmlinuz",
                    initrd = results.stem + ".initrd";
  STEPPE_TRY_VOID(results.write(".vmlinuz", *parts.kernel.program, outcome));
  STEPPE_TRY_VOID(results.write(".initrd", parts.initrd.bytes, outcome));
  const std::string title = std::format("Steppe {}", spec.image.version);
  return results.write(
      ".ipxe",
      netboot::ipxe_script(
          {.title = title, .image = image, .kernel = kernel, .initrd = initrd, .arguments = parts.arguments}),
      outcome);
}

// What firmware starts from: disks and disc.
Result<> write_media(const spec::Spec& spec, const std::string& image, const Results& results, const Shop& shop,
                     const Report& report, Outcome& outcome) {
  const Options& options = results.options;
  if (options.disk_size) {
    report.step("disk image");
    const DiskContent content{outcome.image, image, outcome.extension_files};
    STEPPE_TRY_VOID(make_disk_image(spec, content, *options.disk_size, results.path(".raw"), shop.scratch, shop.bench));
    outcome.files.push_back(results.path(".raw"));
  }
  if (options.qcow2) {
    report.step("qcow2");
    STEPPE_TRY_VOID(
        make_qcow2(results.path(".raw"), results.path(".qcow2"), options.compress, shop.scratch, shop.bench));
    outcome.files.push_back(results.path(".qcow2"));
  }
  if (options.iso) {
    report.step("ISO image");
    STEPPE_TRY_VOID(make_iso_image(spec, outcome.image, image, results.path(".iso"), shop.scratch, shop.bench));
    outcome.files.push_back(results.path(".iso"));
  }
  return {};
}

Result<Outcome> build_in(const spec::Spec& spec, const spec::Lock& lock, const Results& results, const Shop& shop,
                         Store& store, const Report& report) {
  Outcome outcome;
  Packages packages(store, lock);
  PartsList list(spec, lock);
  for (size_t i = 0; i < lock.packages.size(); ++i) {
    STEPPE_TRY(const fs::Tree* tree, packages.open(lock.packages[i]));
    list.own(i, *tree);
  }
  STEPPE_TRY(const Parts parts, make_parts(spec, {packages, list}, shop, report, outcome));
  report.step("image");
  STEPPE_TRY(const std::string image, make_image(spec, parts, outcome));
  STEPPE_TRY_VOID(results.write(".efi", image, outcome));
  outcome.image = outcome.files.back();
  STEPPE_TRY_VOID(write_extensions(parts.extensions, results.directory, results.options, outcome));
  outcome.size = image.size();
  outcome.digest = sign::sha256_hex(as_bytes(image));
  STEPPE_TRY_VOID(
      results.write(".spdx.json", spdx_document(spec, results.stem + ".efi", outcome.digest, list.parts()), outcome));
  if (results.options.netboot) STEPPE_TRY_VOID(write_netboot(spec, parts, results, outcome));
  STEPPE_TRY_VOID(write_media(spec, image, results, shop, report, outcome));
  return outcome;
}
}  // namespace

Result<Outcome> build_image(const spec::Spec& spec, const spec::Lock& lock, const Options& options, Store& store,
                            Workbench& bench, const Report& report) {
  if (options.qcow2 && !options.disk_size) return Error(Code::kInvalid, "a qcow2 is a disk image: say of which size");
  STEPPE_TRY(const kernel::Beneath directory, open_directory(options.directory));
  const std::string scratch = std::format(".{}-{}.part", spec.image.name, spec.image.version);
  const Results results{
      directory, options,
      std::format("{}-{}-{}", spec.image.name, spec.image.version, spec::architecture_name(spec.image.architecture))};
  Result<Outcome> outcome = build_in(spec, lock, results, {bench, options.directory + "/" + scratch}, store, report);
  const Result<> cleaned = directory.remove_tree(scratch);
  if (outcome.ok() && !cleaned.ok()) return cleaned.error();
  return outcome;
}

}  // namespace steppe::build
