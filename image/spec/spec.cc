#include "image/spec/spec.h"

#include <algorithm>
#include <format>

#include "image/spec/module_classes.h"
#include "image/spec/spec_reader.h"
#include "init/base/text.h"
#include "init/hcl/parser.h"

namespace steppe::spec {
namespace {

// What the functions below share: where relative paths start.
struct Place {
  std::string directory;

  void path(Body& body, std::string_view key, std::string& value) const {
    if (!body.text(key, value)) return;
    if (value.empty()) return body.bad(key, "expected a path");
    if (!value.starts_with('/')) value = std::format("{}/{}", directory, value);
  }
};

bool is_version(std::string_view text) {
  return !text.empty() && text.size() <= 64 && text[0] >= '0' && text[0] <= '9' &&
         std::ranges::all_of(text, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || std::string_view(".-~^").contains(c);
         });
}
bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 32 &&
         std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

void read_image(Body& body, Image& image) {
  if (body.text("name", image.name) && !is_name(image.name))
    body.bad("name", "expected at most 32 of a-z, 0-9 and '-'");
  if (!body.text("version", image.version))
    body.missing("version", "it is part of the file's name and orders the images of a node");
  else if (!is_version(image.version))
    body.bad("version", "expected a digit, then a-z, 0-9, '.', '-', '~' and '^', 64 at most (FAT knows no capitals)");
  size_t architecture = 0;
  body.choice("architecture", {"amd64", "arm64"}, architecture);
  image.architecture = architecture == 0 ? Architecture::kAmd64 : Architecture::kArm64;
  body.integer("security_version", image.security_version, 1, 1'000'000'000);
  body.time("date", image.date_s);
}

void read_kernel(Body& body, const Place& place, Kernel& kernel) {
  body.text("package", kernel.package);
  place.path(body, "directory", kernel.directory);
  body.text("version", kernel.version);
  if (kernel.package.empty() == kernel.directory.empty())
    body.missing("package", "either the package of the kernel or the directory of one");
  body.texts("arguments", kernel.arguments);
  for (const std::string& argument : kernel.arguments) {
    if (std::ranges::any_of(argument, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }))
      body.bad("arguments", "an argument holds a control character");
    if (argument.contains("${")) body.bad("arguments", "an argument holds \"${\", which iPXE would expand");
  }
  body.texts("classes", kernel.classes);
  for (const std::string& name : kernel.classes) {
    if (find_module_class(name) != nullptr) continue;
    std::vector<std::string_view> names;
    for (const ModuleClass& one : module_classes()) names.push_back(one.name);
    const std::string_view near = hcl::nearest_name(name, names);
    std::string all;
    for (const std::string_view one : names) all += std::format("{}{}", all.empty() ? "" : ", ", one);
    body.bad("classes", near.empty()
                            ? std::format("no module class is named \"{}\"; there are {}", name, all)
                            : std::format("no module class is named \"{}\"; did you mean \"{}\"?", name, near));
  }
  body.texts("modules", kernel.modules);
  body.texts("initrd", kernel.initrd);
}

void read_file(Body& body, const Place& place, const std::string& path, std::vector<File>& files) {
  File file{.path = path};
  place.path(body, "source", file.source);
  std::string content;
  if (body.text("content", content)) file.content = std::move(content);
  if (file.source.empty() == !file.content.has_value())
    body.missing("source", "either the path of a file or its content");
  body.mode("mode", file.mode);
  body.flag("strip", file.strip);
  files.push_back(std::move(file));
}

void read_link(Body& body, const std::string& path, std::vector<Link>& links) {
  Link link{.path = path, .target = {}};
  if (!body.text("target", link.target) || link.target.empty()) body.missing("target", "what the link leads to");
  links.push_back(std::move(link));
}

void read_package(Body& body, const std::string& name, std::vector<PackageFiles>& packages) {
  PackageFiles files{.package = name, .files = {}};
  body.texts("files", files.files);
  if (files.files.empty()) body.missing("files", "patterns of the package's paths");
  packages.push_back(std::move(files));
}

void read_root(Body& body, const Place& place, Spec& spec) {
  body.labelled("file", [&](Body& inner, const std::string& path) { read_file(inner, place, path, spec.files); });
  body.labelled("link", [&](Body& inner, const std::string& path) { read_link(inner, path, spec.links); });
  body.labelled("directory", [&](Body& inner, const std::string& path) {
    Directory directory{.path = path};
    inner.mode("mode", directory.mode);
    spec.directories.push_back(std::move(directory));
  });
  body.labelled("package", [&](Body& inner, const std::string& name) { read_package(inner, name, spec.packages); });
  body.labelled("bundle", [&](Body& inner, const std::string& path) {
    Bundle bundle{.path = path, .package = {}, .files = {}};
    if (!inner.text("package", bundle.package)) inner.missing("package", "where the files come from");
    inner.texts("files", bundle.files);
    if (bundle.files.empty()) inner.missing("files", "patterns of the package's paths");
    spec.bundles.push_back(std::move(bundle));
  });
}

void read_extension(Body& body, const Place& place, const std::string& name, Spec& spec) {
  Extension extension;
  extension.name = name;
  place.path(body, "path", extension.file);
  const bool elsewhere = body.text("sha256", extension.digest);
  if (auto bytes = unhex(extension.digest); elsewhere && (!bytes.ok() || bytes->size() != 32))
    body.bad("sha256", "expected 64 hexadecimal digits");
  int64_t size = 0;
  body.integer("size", size, 1, int64_t{1} << 41);
  if (elsewhere && size == 0) body.missing("size", "how many bytes the extension's file has");
  extension.size = static_cast<uint64_t>(size);
  extension.digest = lower(extension.digest);
  body.text("version", extension.version);
  body.texts("modules", extension.modules);
  body.labelled("package", [&](Body& inner, const std::string& label) { read_package(inner, label, extension.packages); });
  body.labelled("file", [&](Body& inner, const std::string& label) { read_file(inner, place, label, extension.files); });
  body.labelled("link", [&](Body& inner, const std::string& label) { read_link(inner, label, extension.links); });
  const bool holds = !extension.modules.empty() || !extension.packages.empty() || !extension.files.empty();
  const int ways = (holds ? 1 : 0) + (extension.file.empty() ? 0 : 1) + (elsewhere ? 1 : 0);
  if (ways != 1) body.missing("path", "one of: what it holds (modules, package, file), the path of one made elsewhere, or sha256 and size of one");
  if (!is_name(name)) body.bad("version", std::format("the name \"{}\" is not at most 32 of a-z, 0-9 and '-'", name));
  spec.extensions.push_back(std::move(extension));
}

void read_all(Body& body, const Place& place, Spec& spec) {
  bool image = false, kernel = false, boot = false;
  body.labelled("variable", [](Body& inner, const std::string&) {
    std::string value;
    inner.text("default", value);
  });
  body.block("image", [&](Body& inner) {
    image = true;
    read_image(inner, spec.image);
  });
  body.block("kernel", [&](Body& inner) {
    kernel = true;
    read_kernel(inner, place, spec.kernel);
  });
  body.block("boot", [&](Body& inner) {
    boot = true;
    place.path(inner, "init", spec.boot.init);
    if (spec.boot.init.empty()) inner.missing("init", "the program that becomes process 1");
    inner.flag("strip", spec.boot.strip);
    place.path(inner, "stub", spec.boot.stub);
    place.path(inner, "loader", spec.boot.loader);
  });
  body.block("root", [&](Body& inner) { read_root(inner, place, spec); });
  body.block("task_root", [&](Body& inner) {
    inner.texts("packages", spec.task_root.packages);
    inner.texts("without", spec.task_root.without);
    inner.texts("remove", spec.task_root.remove);
    inner.links("links", spec.task_root.links);
  });
  body.labelled("extension", [&](Body& inner, const std::string& name) { read_extension(inner, place, name, spec); });
  body.block("archive", [&](Body& inner) {
    inner.texts("components", spec.components);
    for (const std::string& one : spec.components)
      if (!is_name(one)) inner.bad("components", std::format("\"{}\" is no component of Debian's archive", one));
  });
  body.block("hardening", [&](Body& inner) {
    inner.labelled("waive", [&](Body& row, const std::string& name) {
      Waiver waiver{.row = name, .reason = {}};
      if (!row.text("reason", waiver.reason) || trim(waiver.reason).empty())
        row.missing("reason", "why this image does without the row");
      spec.waivers.push_back(std::move(waiver));
    });
  });
  body.block("sign", [&](Body& inner) {
    place.path(inner, "key", spec.signing.key);
    place.path(inner, "certificate", spec.signing.certificate);
    inner.texts("also_trusted", spec.signing.also_trusted);
    for (std::string& path : spec.signing.also_trusted)
      if (!path.starts_with('/')) path = std::format("{}/{}", place.directory, path);
    if (spec.signing.certificate.empty()) inner.missing("certificate", "whose key signs the image, here or elsewhere");
  });
  body.block("limits", [&](Body& inner) {
    inner.size("image", spec.limits.image);
    inner.size("task_root", spec.limits.task_root);
  });
  body.block("compression", [&](Body& inner) {
    inner.integer("level", spec.compression.level, 1, 22);
    inner.size("block", spec.compression.block);
    const uint64_t block = spec.compression.block.count;
    if (block < 4096 || block > 1u << 20 || (block & (block - 1)) != 0)
      inner.bad("block", "expected a power of two from 4KiB to 1MiB");
  });
  if (!image) body.missing("image", "a block with the version");
  if (!kernel) body.missing("kernel", "a block that says which");
  if (!boot) body.missing("boot", "a block with the program that becomes process 1");
}

// `var` of the spec's expressions: the defaults of its variables, and what the command line says instead.
hcl::Scope read_variables(const hcl::Body& body, const hcl::Source& source, const Variables& given,
                          hcl::Diagnostics& diagnostics) {
  static const hcl::FunctionTable kNoFunctions;
  hcl::Value::Mapping values;
  hcl::Budget budget;
  const hcl::Scope empty;
  std::vector<std::string_view> names;
  for (const hcl::Block& block : body.blocks) {
    if (block.type != "variable" || block.labels.size() != 1) continue;
    const std::string& name = block.labels[0].text;
    names.push_back(name);
    if (auto at = given.find(name); at != given.end()) {
      values[name] = hcl::Value(at->second);
    } else if (const hcl::Attribute* attribute = block.body.find("default")) {
      hcl::Evaluation evaluation{source, &empty, kNoFunctions, budget, diagnostics};
      if (auto value = hcl::evaluate(*attribute->expr, evaluation)) values[name] = *value;
    } else {
      diagnostics.error(source, block.header, "Missing value",
                        std::format("The variable has no default: say -var {}=VALUE.", name));
    }
  }
  for (const auto& [name, value] : given) {
    if (values.contains(name)) continue;
    const std::string_view near = hcl::nearest_name(name, names);
    diagnostics.error(
        "-var " + name, "Unknown variable",
        near.empty() ? "The spec declares no variable of this name." : std::format("Did you mean \"{}\"?", near));
  }
  hcl::Scope scope;
  if (auto all = hcl::Value::make_mapping(hcl::Kind::kObject, std::move(values)); all.ok())
    scope.variables["var"] = *std::move(all);
  return scope;
}

}  // namespace

std::string_view architecture_name(Architecture architecture) {
  return architecture == Architecture::kAmd64 ? "amd64" : "arm64";
}

Result<Spec> parse_spec(std::string text, const std::string& file, const Variables& variables) {
  const hcl::Source source{file, std::move(text)};
  hcl::Diagnostics diagnostics;
  const hcl::Body body = hcl::parse_body(source, diagnostics);
  const size_t slash = file.rfind('/');
  const Place place{slash == file.npos ? "." : slash == 0 ? "/" : file.substr(0, slash)};
  const hcl::Scope scope = read_variables(body, source, variables, diagnostics);
  hcl::Budget budget;
  Reading reading{source, scope, budget, diagnostics};
  Spec spec{.file = file};
  Body top(body, "", reading);
  read_all(top, place, spec);
  top.finish();
  if (diagnostics.has_errors()) return diagnostics.to_error();
  return spec;
}

}  // namespace steppe::spec
