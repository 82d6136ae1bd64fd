#include <algorithm>
#include <format>

#include "image/build/extension.h"
#include "image/build/image.h"
#include "image/build/inspect.h"
#include "image/cli/commands.h"
#include "image/cli/words.h"
#include "image/rootfs/scan.h"
#include "init/base/text.h"
#include "init/io/path_file.h"
#include "init/json/writer.h"

namespace steppe::cli {
namespace {

constexpr Bytes kMaxPem = Bytes::mib(1);

Result<std::string> read_file(Context& context, const std::string& path) {
  return io::read_path(build::absolute_path(path, context.working_directory), build::kMaxImageFile);
}

Result<> write_file(Context& context, const std::string& given, std::string_view bytes, mode_t mode) {
  const std::string path = build::absolute_path(given, context.working_directory);
  const size_t slash = path.rfind('/');
  STEPPE_TRY(const kernel::Beneath directory, build::open_directory(path.substr(0, slash + 1)));
  return directory.write(path.substr(slash + 1), as_bytes(bytes), mode);
}

Result<std::vector<sign::Certificate>> trusted(Context& context, const Words& words) {
  std::vector<sign::Certificate> out;
  for (const std::string& path : words.values("cert")) {
    STEPPE_TRY(const std::string pem, io::read_path(build::absolute_path(path, context.working_directory), kMaxPem));
    STEPPE_TRY(sign::Certificate certificate, sign::Certificate::parse_pem(pem, path));
    out.push_back(std::move(certificate));
  }
  if (out.empty()) return Error(Code::kInvalid, "say whom to trust with -cert FILE");
  return out;
}

void write_nodes(json::Writer& writer, const fs::Tree& tree) {
  writer.begin_array();
  for (const auto& [path, node] : tree.nodes()) {
    writer.begin_object();
    writer.key("path"), writer.text("/" + path);
    writer.key("mode"), writer.text(std::format("{:04o}", node.mode));
    if (node.kind == fs::NodeKind::kDirectory) writer.key("kind"), writer.text("directory");
    if (node.kind == fs::NodeKind::kSymlink) writer.key("target"), writer.text(node.target);
    if (node.kind == fs::NodeKind::kFile) {
      writer.key("bytes"), writer.unsigned_integer(node.bytes().size());
      writer.key("sha256"), writer.text(sign::sha256_hex(as_bytes(node.bytes())));
    }
    writer.end_object();
  }
  writer.end_array();
}

void write_manifest(json::Writer& writer, const upgrade::Manifest& manifest) {
  writer.begin_object();
  writer.key("version"), writer.text(manifest.version);
  writer.key("arch"), writer.text(manifest.arch);
  writer.key("security_version"), writer.unsigned_integer(manifest.security_version);
  writer.key("kernel"), writer.text(manifest.kernel);
  writer.key("build_id"), writer.text(hex(manifest.build_id));
  writer.key("built"), writer.text(format_rfc3339({static_cast<int64_t>(manifest.built_unix_s) * 1'000'000'000}));
  writer.key("extensions"), writer.begin_array();
  for (const upgrade::Extension& one : manifest.extensions) {
    writer.begin_object();
    writer.key("name"), writer.text(one.name);
    writer.key("sha256"), writer.text(hex(one.digest));
    writer.key("bytes"), writer.unsigned_integer(one.size);
    writer.end_object();
  }
  writer.end_array();
  writer.end_object();
}

void write_hardening(json::Writer& writer, const hardening::Table& table) {
  writer.begin_array();
  for (const hardening::Row& row : table.rows) {
    writer.begin_object();
    writer.key("kind"), writer.text(hardening::kind_name(row.kind));
    writer.key("name"), writer.text(row.name);
    writer.key("asked"), writer.text(row.asked);
    writer.key("since"), writer.text(row.since);
    writer.key("enforced"), writer.boolean(row.state == hardening::Row::State::kEnforced);
    if (row.applied) writer.key("value"), writer.text(row.value);
    if (!row.reason.empty()) writer.key("reason"), writer.text(row.reason);
    writer.end_object();
  }
  writer.end_array();
}

// enforced  sysctl kernel.sysrq  "0"
std::string hardening_text(const hardening::Table& table) {
  size_t width = 0;
  for (const hardening::Row& row : table.rows) width = std::max(width, hardening::row_name(row).size());
  std::string out = "\nhardening\n";
  for (const hardening::Row& row : table.rows) {
    const bool enforced = row.state == hardening::Row::State::kEnforced;
    const std::string value = enforced || !row.applied ? std::format("\"{}\"", row.asked) : std::format("\"{}\", has \"{}\"", row.asked, row.value);
    out += std::format("{:<8}  {:<{}}  "
        "{}{}{}\n", enforced ? "enforced" : "waived", hardening::row_name(row), width, value, enforced ? "" : ": ", row.reason);
  }
  return out;
}

std::string inspection_json(const build::Inspection& image) {
  std::string out;
  json::Writer writer(&out, json::Style::kPretty);
  writer.begin_object();
  writer.key("bytes"), writer.unsigned_integer(image.size);
  writer.key("sha256"), writer.text(image.digest);
  writer.key("signed_digest"), writer.text(image.signed_digest);
  writer.key("signers"), writer.begin_array();
  for (const sign::Signature& one : image.signers) {
    writer.begin_object();
    writer.key("subject"), writer.text(one.subject);
    writer.key("sha256"), writer.text(one.fingerprint);
    writer.end_object();
  }
  writer.end_array();
  writer.key("manifest"), write_manifest(writer, image.manifest);
  writer.key("arguments"), writer.text(image.arguments);
  writer.key("sections"), writer.begin_array();
  for (const build::SectionView& one : image.sections) {
    writer.begin_object();
    writer.key("name"), writer.text(one.name);
    writer.key("bytes"), writer.unsigned_integer(one.size);
    writer.key("sha256"), writer.text(one.digest);
    writer.end_object();
  }
  writer.end_array();
  if (image.hardening) writer.key("hardening"), write_hardening(writer, *image.hardening);
  writer.key("initrd"), write_nodes(writer, image.initrd);
  writer.key("root"), write_nodes(writer, image.root);
  writer.end_object();
  return out + "\n";
}

std::string inspection_text(const build::Inspection& image) {
  const upgrade::Manifest& manifest = image.manifest;
  std::string out = std::format(
      "version           {}\nprocessor         {}\nsecurity version  {}\nkernel            {}\nbuild id          {}\n",
      manifest.version, manifest.arch, manifest.security_version, manifest.kernel, hex(manifest.build_id));
  out += std::format("arguments         {}\nsize              {}\nsha256            {}\n", image.arguments, image.size,
                     image.digest);
  for (const sign::Signature& one : image.signers)
    out += std::format("signed by         {} ({}), not verified here\n", one.subject, one.fingerprint);
  if (image.signers.empty()) out += "signed by         nobody\n";
  for (const upgrade::Extension& one : manifest.extensions)
    out += std::format("extension         {} {}\n", one.name, hex(one.digest));
  out += "\n";
  for (const build::SectionView& one : image.sections)
    out += std::format("{:<9} {:>10}  {}\n", one.name, one.size, one.digest);
  if (image.hardening) out += hardening_text(*image.hardening);
  for (const auto& [title, tree] : {std::pair("initrd", &image.initrd), std::pair("root", &image.root)}) {
    out += std::format("\n{}\n", title);
    for (const auto& [path, node] : tree->nodes())
      out += std::format("{:04o} {:>10}  /{}{}{}\n", node.mode, node.bytes().size(), path,
                         node.target.empty() ? "" : " -> ", node.target);
  }
  return out;
}

std::string extension_json(const build::ExtensionView& view) {
  const extension::Record& record = view.header.record;
  std::string out;
  json::Writer writer(&out, json::Style::kPretty);
  writer.begin_object();
  for (const auto& [key, value] : {std::pair<std::string_view, std::string>{"name", record.name}, {"version", record.version}, {"arch", record.arch},
                                   {"holds", extension::holds_text(record.holds)}, {"kernel", record.kernel}, {"root", hex(record.root)},
                                   {"salt", hex(as_bytes(record.salt))}, {"record_sha256", hex(view.header.digest)}, {"sha256", view.digest}})
    writer.key(key), writer.text(value);
  writer.key("bytes"), writer.unsigned_integer(view.size);
  writer.key("data_bytes"), writer.unsigned_integer(record.data_size);
  writer.key("signed"), writer.boolean(!view.header.signature.empty());
  writer.key("files"), write_nodes(writer, view.tree);
  writer.end_object();
  return out + "\n";
}

std::string extension_text(const build::ExtensionView& view) {
  const extension::Record& record = view.header.record;
  std::string out = std::format("extension         {} {}\nprocessor         {}\nholds             {}\n", record.name, record.version, record.arch,
                                extension::holds_text(record.holds));
  if (!record.kernel.empty()) out += std::format("kernel            {}\n", record.kernel);
  out += std::format("root hash         {}\nsalt              {}\nsize              {} ({} of data)\nrecord            {}\nsha256            {}\n", hex(record.root),
                     hex(as_bytes(record.salt)), view.size, record.data_size, hex(view.header.digest), view.digest);
  out += std::format("signed            {}\n\n", view.header.signature.empty() ? "no" : "yes, not verified here");
  for (const auto& [path, node] : view.tree.nodes())
    out += std::format("{:04o} {:>10}  /{}{}{}\n", node.mode, node.bytes().size(), path, node.target.empty() ? "" : " -> ", node.target);
  return out;
}

int say_checks(Context& context, const std::vector<build::Check>& checks) {
  int code = 0;
  for (const build::Check& check : checks) {
    context.out(check.fault.empty() ? std::format("ok      {}\n", check.name) : std::format("FAILED  {}: {}\n", check.name, check.fault));
    if (!check.fault.empty()) code = 1;
  }
  return code;
}

}  // namespace

Result<int> inspect_command(Context& context, const std::vector<std::string>& arguments) {
  STEPPE_TRY(const Words words, Words::parse(arguments, {"json", "hardening"}, {}));
  if (words.rest().size() != 1) return Error(Code::kInvalid, "expected the path of one image");
  STEPPE_TRY(const std::string file, read_file(context, words.rest()[0]));
  STEPPE_TRY(const auto bench, build::Workbench::create());
  if (extension::looks_like_extension(as_bytes(file))) {
    STEPPE_TRY(const build::ExtensionView view, build::inspect_extension(as_bytes(file), *bench));
    context.out(words.has("json") ? extension_json(view) : extension_text(view));
    return 0;
  }
  STEPPE_TRY(const build::Inspection image, build::inspect_image(as_bytes(file), *bench));
  if (words.has("hardening")) {
    if (!image.hardening) return Error(Code::kNotFound, "the image has no hardening table");
    context.out(hardening::write_table(*image.hardening));  // what steppe-node hardening -record prints on a machine that has it all
    return 0;
  }
  context.out(words.has("json") ? inspection_json(image) : inspection_text(image));
  return 0;
}

Result<int> verify_command(Context& context, const std::vector<std::string>& arguments) {
  STEPPE_TRY(const Words words, Words::parse(arguments, {}, {"cert", "digest"}));
  if (words.rest().size() != 1) return Error(Code::kInvalid, "expected the path of one image");
  STEPPE_TRY(const auto certificates, trusted(context, words));
  STEPPE_TRY(const std::string file, read_file(context, words.rest()[0]));
  STEPPE_TRY(const auto bench, build::Workbench::create());
  if (extension::looks_like_extension(as_bytes(file))) {
    STEPPE_TRY(const build::ExtensionView view, build::inspect_extension(as_bytes(file), *bench));
    return say_checks(context, build::verify_extension(as_bytes(file), view, certificates, words.value("digest").value_or("")));
  }
  // Nothing inside is looked at before the signature holds.
  if (const auto found = sign::verify_program(as_bytes(file), certificates); !found.ok()) {
    context.out(std::format("FAILED  signature: {}\n", found.error().message()));
    return 1;
  }
  STEPPE_TRY(const build::Inspection image, build::inspect_image(as_bytes(file), *bench));
  return say_checks(context, build::verify_image(as_bytes(file), image, certificates, words.value("digest").value_or("")));
}

Result<int> diff_command(Context& context, const std::vector<std::string>& arguments) {
  STEPPE_TRY(const Words words, Words::parse(arguments, {}, {}));
  if (words.rest().size() != 2) return Error(Code::kInvalid, "expected the paths of two images");
  STEPPE_TRY(const std::string first, read_file(context, words.rest()[0]));
  STEPPE_TRY(const std::string second, read_file(context, words.rest()[1]));
  if (first == second) return 0;
  STEPPE_TRY(const auto bench, build::Workbench::create());
  STEPPE_TRY(const build::Inspection a, build::inspect_image(as_bytes(first), *bench).wrap(words.rest()[0]));
  STEPPE_TRY(const build::Inspection b, build::inspect_image(as_bytes(second), *bench).wrap(words.rest()[1]));
  for (const std::string& line : build::diff_images(a, b)) context.out(line + "\n");
  return 1;
}

Result<int> sign_command(Context& context, const std::vector<std::string>& arguments) {
  STEPPE_TRY(const Words words, Words::parse(arguments, {}, {"key", "cert", "o"}));
  if (words.rest().size() != 1 || !words.value("key") || !words.value("cert"))
    return Error(Code::kInvalid, "expected the path of one EFI program, -key FILE and -cert FILE");
  STEPPE_TRY(const std::string file, read_file(context, words.rest()[0]));
  STEPPE_TRY(const std::string key_pem,
             io::read_path(build::absolute_path(*words.value("key"), context.working_directory), kMaxPem));
  STEPPE_TRY(const std::string certificate_pem,
             io::read_path(build::absolute_path(*words.value("cert"), context.working_directory), kMaxPem));
  STEPPE_TRY(const sign::PrivateKey key, sign::PrivateKey::parse(key_pem, *words.value("key")));
  STEPPE_TRY(const sign::Certificate certificate, sign::Certificate::parse_pem(certificate_pem, *words.value("cert")));
  STEPPE_TRY(const std::string out, sign::sign_program(as_bytes(file), key, certificate).wrap(words.rest()[0]));
  const std::string path = words.value("o").value_or(words.rest()[0]);
  STEPPE_TRY_VOID(write_file(context, path, out, 0644));
  context.out(
      std::format("{}\n  sha256 {}\n  signed by {}\n", path, sign::sha256_hex(as_bytes(out)), certificate.subject()));
  return 0;
}

Result<int> keygen_command(Context& context, const std::vector<std::string>& arguments) {
  STEPPE_TRY(const Words words, Words::parse(arguments, {}, {"name", "bits"}));
  if (words.rest().size() != 1)
    return Error(Code::kInvalid, "expected the path without suffix: PATH.key and PATH.crt are made");
  STEPPE_TRY(const uint64_t bits, parse_uint(words.value("bits").value_or("2048")).wrap("-bits"));
  if (bits < 2048 || bits > 8192)
    return Error(Code::kInvalid, "-bits: expected 2048 to 8192; much firmware knows 2048 alone");
  const std::string path = build::absolute_path(words.rest()[0], context.working_directory);
  for (const char* suffix : {".key", ".crt"}) {
    if (io::kind_of_path(path + suffix) != io::PathKind::kMissing)
      return Error(Code::kExists, std::format("{}{} is there already: a key is never overwritten", path, suffix));
  }
  STEPPE_TRY(const sign::PrivateKey key, sign::PrivateKey::generate(static_cast<int>(bits)));
  STEPPE_TRY(const sign::Certificate certificate,
             sign::Certificate::self_signed(key, words.value("name").value_or("Steppe image signing")));
  STEPPE_TRY_VOID(write_file(context, path + ".key", key.pem(), 0600));
  STEPPE_TRY_VOID(write_file(context, path + ".crt", certificate.pem(), 0644));
  context.out(std::format("{0}.key  keep it secret\n{0}.crt  {1}, sha256 {2}\n", path, certificate.subject(),
                          certificate.fingerprint()));
  return 0;
}

Result<int> scan_command(Context& context, const std::vector<std::string>& arguments) {
  STEPPE_TRY(const Words words, Words::parse(arguments, {}, {}));
  if (words.rest().size() != 1) return Error(Code::kInvalid, "expected the path of one image or squashfs");
  STEPPE_TRY(const std::string file, read_file(context, words.rest()[0]));
  STEPPE_TRY(const auto bench, build::Workbench::create());
  fs::Tree root;
  if (file.starts_with("hsqs")) {
    STEPPE_TRY(root, build::read_squashfs(file, Bytes::gib(1), *bench));
  } else {
    STEPPE_TRY(build::Inspection image, build::inspect_image(as_bytes(file), *bench));
    root = std::move(image.root);
  }
  const auto findings = rootfs::scan_root(root);
  for (const rootfs::Finding& one : findings)
    context.out(std::format("{:<16} /{}: {}\n", rootfs::finding_name(one.kind), one.path, one.detail));
  context.out(std::format("{} files, {} findings\n", root.nodes().size(), findings.size()));
  return findings.empty() ? 0 : 1;
}

}  // namespace steppe::cli
