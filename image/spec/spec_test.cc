#include <gtest/gtest.h>

#include "image/spec/lock.h"
#include "image/spec/module_classes.h"
#include "image/spec/spec.h"
#include "init/io/path_file.h"

namespace steppe::spec {
namespace {

const std::string kGood = R"(
variable "bin" { default = "out" }
image {
  version          = "1.2.3"
  security_version = 4
  date             = "1970-01-02T00:00:00Z"
}
kernel {
  package   = "linux-image-amd64"
  classes   = ["virtio"]
  arguments = ["quiet"]
}
boot { init = "${var.bin}/init" }
root {
  file "/usr/bin/x" {
    source = "/abs/x"
    mode   = "0755"
  }
  file "/etc/empty" { content = "" }
  link "/lib" { target = "usr/lib" }
  package "libc6" { files = ["/usr/lib/*/libc.so.6"] }
  bundle "/etc/ca.crt" {
    package = "ca-certificates"
    files   = ["*.crt"]
  }
}
task_root {
  packages = ["dash", "sed"]
  links    = { "/bin" = "usr/bin" }
}
extension "gpu" {
  sha256 = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"
  size   = 4096
}
extension "nic" {
  modules = ["e100"]
  package "firmware-intel-misc" { files = ["/usr/lib/firmware/e100/*"] }
  link "/usr/lib/firmware/x" { target = "y" }
}
extension "far" { path = "far.ext" }
archive { components = ["non-free-firmware"] }
limits { image = "5MiB" }
)";

TEST(Spec, ReadsEverything) {
  auto spec = parse_spec(kGood, "/specs/a.hcl", {{"bin", "/given"}});
  ASSERT_TRUE(spec.ok()) << spec.error().message();
  EXPECT_EQ(spec->image.version, "1.2.3");
  EXPECT_EQ(spec->image.date_s, 86400);
  EXPECT_EQ(spec->boot.init, "/given/init");
  EXPECT_EQ(parse_spec(kGood, "/specs/a.hcl", {})->boot.init, "/specs/out/init");
  EXPECT_EQ(spec->files[0].mode, 0755u);
  EXPECT_TRUE(spec->files[1].content && spec->files[1].content->empty());
  EXPECT_EQ(spec->limits.image, Bytes::mib(5));
  EXPECT_EQ(spec->extensions[0].digest, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
  EXPECT_FALSE(spec->extensions[0].made_here());
  EXPECT_TRUE(spec->extensions[1].made_here());
  EXPECT_EQ(spec->extensions[1].modules, TextList{"e100"});
  EXPECT_EQ(spec->extensions[1].packages[0].package, "firmware-intel-misc");
  EXPECT_EQ(spec->extensions[2].file, "/specs/far.ext");
  EXPECT_EQ(spec->components, TextList{"non-free-firmware"});
  EXPECT_EQ(spec->task_root.links.at("/bin"), "usr/bin");
}

TEST(Spec, SaysWhatIsWrongAndWhere) {
  const struct {
    std::string from, to, expected;
  } cases[] = {
      {"security_version", "security_versoin", "did you mean \"security_version\""},
      {"root {", "rot {", "Unknown block"},
      {"\"1.2.3\"", "\"V1\"", "image.version"},
      {"\"1.2.3\"", "null", "image.version must be set"},
      {"= 4\n", "= 0\n", "a whole number from 1"},
      {"\"0755\"", "\"4755\"", "octal mode"},
      {"\"0755\"", "755.5", "octal mode"},
      {"\"virtio\"", "\"virtual\"", "no module class"},
      {"\"quiet\"", "\"a\\nb\"", "control character"},
      {"[\"virtio\"]", "{}", "kernel.classes"},
      {"\"5MiB\"", "\"five\"", "a size such as"},
      {"1970-01-02T00:00:00Z", "yesterday", "a time such as"},
      {"0123456789abcdef0123456789ABCDEF", "0123", "64 hexadecimal digits"},
      {"  size   = 4096", "", "size must be set"},
      {"{ path = \"far.ext\" }", "{}", "path must be set: one of"},
      {"{ path = \"far.ext\" }", "{\n path = \"far.ext\"\n modules = [\"x\"]\n}", "path must be set: one of"},
      {"extension \"far\"", "extension \"FAR\"", "at most 32 of a-z"},
      {"[\"non-free-firmware\"]", "[\"../x\"]", "no component"},
      {"  package   = \"linux-image-amd64\"", "", "kernel.package must be set"},
      {"content = \"\"", "", "source must be set"},
      {"target = \"usr/lib\"", "", "target must be set"},
      {"boot { init", "boot { unit", "did you mean \"init\""},
      {"${var.bin}", "${var.ban}", "ban"},
  };
  for (const auto& one : cases) {
    std::string text = kGood;
    const size_t at = text.find(one.from);
    ASSERT_NE(at, text.npos) << one.from;
    text.replace(at, one.from.size(), one.to);
    auto spec = parse_spec(text, "/specs/a.hcl", {});
    ASSERT_FALSE(spec.ok()) << one.to;
    EXPECT_NE(spec.error().message().find(one.expected), std::string::npos) << one.to << ": " << spec.error().message();
    EXPECT_NE(spec.error().message().find("/specs/a.hcl:"), std::string::npos) << spec.error().message();
  }
}

TEST(Spec, RefusesUnknownVariables) {
  EXPECT_FALSE(parse_spec(kGood, "a.hcl", {{"bni", "x"}}).ok());
  EXPECT_FALSE(parse_spec("variable \"x\" {}\n" + kGood, "a.hcl", {}).ok()) << "a variable without a value";
}

TEST(Lock, ThereAndBack) {
  const Spec spec = *parse_spec(kGood, "/specs/a.hcl", {});
  const std::string digest(64, 'a');
  Lock lock{.packages = {{Role::kKernel, "linux-image-6.12", "6.12.1-1", "amd64", digest},
                         {Role::kTask, "dash", "1:0.5~x+b1", "amd64", digest}},
            .asked = wanted_packages(spec)};
  ASSERT_EQ(lock.asked.size(), 6u);
  auto back = parse_lock(write_lock(lock), "a.lock");
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(back->packages, lock.packages);
  EXPECT_TRUE(check_lock(spec, *back, "a.lock").ok());
  back->asked.pop_back();
  EXPECT_NE(check_lock(spec, *back, "a.lock").error().message().find("+firmware-intel-misc (extension)"), std::string::npos);
  EXPECT_EQ(lock_path("/specs/a.hcl"), "/specs/a.lock");
}

TEST(Lock, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(parse_lock("steppe-lock 2\n", "a.lock").error().code(), Code::kUnsupported);
  for (const char* text : {"", "nonsense\n", "steppe-lock 1\npackage\n", "steppe-lock 1\nasked moon x\n",
                           "steppe-lock 1\nasked task ../x\n", "steppe-lock 1\npackage task a 1 amd64 abc\n"}) {
    auto lock = parse_lock(text, "a.lock");
    ASSERT_FALSE(lock.ok()) << text;
    EXPECT_NE(lock.error().message().find("a.lock"), std::string::npos);
  }
}

TEST(Product, SpecAndLockBelongTogether) {
  const Spec spec = *parse_spec(*io::read_path("image/steppe.hcl", Bytes::mib(1)), "image/steppe.hcl", {});
  auto lock = parse_lock(*io::read_path("image/steppe.lock", Bytes::mib(1)), "image/steppe.lock");
  ASSERT_TRUE(lock.ok()) << lock.error().message();
  EXPECT_TRUE(check_lock(spec, *lock, "image/steppe.lock").ok());
}

TEST(Classes, HaveNamesAndPatterns) {
  for (const ModuleClass& one : module_classes()) {
    EXPECT_EQ(find_module_class(one.name), &one) << "two classes are named " << one.name;
    EXPECT_FALSE(one.patterns.empty());
  }
  EXPECT_EQ(find_module_class("none"), nullptr);
}

}  // namespace
}  // namespace steppe::spec
