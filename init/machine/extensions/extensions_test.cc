#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "image/sign/authenticode.h"
#include "init/base/text.h"
#include "init/machine/extensions/bring_up.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::extensions {
namespace {

namespace fs = std::filesystem;
using extension::Condition;
using extension::State;

struct Owner {
  sign::PrivateKey key;
  sign::Certificate certificate;
};
Owner owner(const std::string& name) {
  auto key = sign::PrivateKey::generate(2048);
  auto certificate = sign::Certificate::self_signed(*key, name);
  return {std::move(*key), std::move(*certificate)};
}

// What would have been done to a machine.
class NotedMounts final : public Mounts {
 public:
  Result<> mount(const kernel::Fd& file, const extension::Record& record, const std::string& target) override {
    struct stat status;
    EXPECT_EQ(::fstat(file.get(), &status), 0);
    EXPECT_EQ(static_cast<uint64_t>(status.st_size), extension::file_size(record));
    if (record.name == broken) return Error(Code::kUnsupported, "this kernel has no device mapper");
    targets.push_back(target);
    done.push_back("mount " + record.name);
    return {};
  }
  bool mounted(const std::string& target) override { return std::ranges::contains(targets, target); }
  Result<> unite(const std::vector<std::string>& directories, const std::string& target) override {
    targets.push_back(target);
    done.push_back("unite " + join(directories, ":"));
    return {};
  }
  Result<> set_firmware(const std::string& directory) override {
    done.push_back("firmware " + directory);
    return {};
  }
  std::vector<std::string> targets, done;
  std::string broken;
};

class Extensions : public testing::Test {
 protected:
  Extensions() : ours_(owner("ours")) {
    char name[] = "/tmp/steppe-extensions-XXXXXX";
    base_ = ::mkdtemp(name);
    for (const char* directory : {"run", "state", "efi"}) fs::create_directory(base_ + "/" + directory);
    places_ = {.run = base_ + "/run", .from = {base_ + "/state", base_ + "/efi", base_ + "/absent"}};
    machine_.keys.trusted = {ours_.certificate.der()};
  }
  ~Extensions() override { fs::remove_all(base_); }

  static extension::Record record(const std::string& name, uint64_t holds) {
    extension::Record out{.name = name, .version = "1", .arch = "x86-64", .holds = holds, .kernel = (holds & extension::kModules) != 0 ? "6.12.1" : ""};
    out.data_size = 2 * extension::kBlock;
    return out;
  }
  std::string file_of(const extension::Record& record, const Owner* by) {
    const std::string frame = *extension::encode_record(record);
    std::string out = *extension::encode_header(frame, by ? *sign::sign_digest(sign::sha256(as_bytes(frame)), by->key, by->certificate) : "");
    out.resize(extension::file_size(record), 'x');
    return out;
  }
  static upgrade::Extension name_of(const std::string& name, const std::string& file) {
    return {.name = name, .digest = upgrade::sha256(as_bytes(file)), .size = file.size()};
  }
  void write(const std::string& path, const std::string& bytes) { std::ofstream(base_ + "/" + path, std::ios::binary) << bytes; }
  std::vector<State> bring_up_all(std::vector<upgrade::Extension> named) {
    upgrade::Manifest manifest{.version = "1", .arch = "x86-64"};
    manifest.extensions = std::move(named);
    auto states = bring_up(manifest, machine_, places_, mounts_);
    EXPECT_TRUE(states.ok()) << states.error().message();
    const auto kept = extension::decode_states(as_bytes(*kernel::read_host_file(base_ + "/run/extensions.state")));
    EXPECT_EQ(*kept, *states) << "what is left for others is what was found";
    return *std::move(states);
  }

  std::string base_;
  Owner ours_;
  Places places_;
  ThisMachine machine_{.arch = "x86-64", .kernel = "6.12.1", .keys = {}};
  NotedMounts mounts_;
};

TEST_F(Extensions, AreMountedAndPutToUseFirmwareFirst) {
  const std::string nic = file_of(record("nic", extension::kModules | extension::kFirmware), &ours_),
                    tools = file_of(record("tools", extension::kFiles), &ours_),
                    wifi = file_of(record("wifi", extension::kFirmware), &ours_);
  write("efi/nic.ext", nic);
  write("state/" + hex(upgrade::sha256(as_bytes(tools))) + ".ext", tools);
  write("state/wifi.ext", wifi);
  const auto named = {name_of("nic", nic), name_of("tools", tools), name_of("wifi", wifi)};
  const std::string at = base_ + "/run/extensions/";
  const std::vector<State> good = {{"nic", Condition::kMounted, at + "nic"},
                                   {"tools", Condition::kMounted, at + "tools"}, {"wifi", Condition::kMounted, at + "wifi"}};
  EXPECT_EQ(bring_up_all(named), good);
  EXPECT_EQ(mounts_.done, (std::vector<std::string>{"mount nic", "mount tools", "mount wifi",
                                                    "unite " + at + "nic/usr/lib/firmware:" + at + "wifi/usr/lib/firmware:" + base_ + "/run/firmware.none",
                                                    "firmware " + base_ + "/run/firmware"}));
  EXPECT_EQ(fs::read_symlink(base_ + "/run/modules.d/nic"), at + "nic/usr/lib/modules/6.12.1");
  EXPECT_FALSE(fs::exists(fs::symlink_status(base_ + "/run/modules.d/tools")));
  EXPECT_EQ(extension::faults(good), "");
  mounts_.done.clear();
  EXPECT_EQ(bring_up_all(named), good) << "a second time";
  EXPECT_EQ(mounts_.done, (std::vector<std::string>{"firmware " + base_ + "/run/firmware"}));
}

TEST_F(Extensions, OneThatIsNotGoodKeepsNoneBack) {
  const Owner theirs = owner("theirs");
  const std::string good = file_of(record("b-good", extension::kFiles), &ours_), forged = file_of(record("c-forged", extension::kFiles), &theirs),
                    unmountable = file_of(record("d-broken", extension::kFiles), &ours_), firmware = file_of(record("a-other", extension::kModules), &ours_);
  std::string changed = file_of(record("e-changed", extension::kFiles), &ours_);
  const upgrade::Extension changed_name = name_of("e-changed", changed);
  changed[17'000] ^= 1;
  write("efi/a-other.ext", firmware);
  write("efi/b-good.ext", good);
  write("efi/c-forged.ext", forged);
  write("efi/d-broken.ext", unmountable);
  write("efi/e-changed.ext", changed);
  machine_.kernel = "6.12.2";
  mounts_.broken = "d-broken";
  upgrade::Extension gone = name_of("f-gone", "x");
  const auto states = bring_up_all({name_of("a-other", firmware), name_of("b-good", good), name_of("c-forged", forged), name_of("d-broken", unmountable),
                                    changed_name, gone});
  ASSERT_EQ(states.size(), 6U);
  const struct {
    Condition condition;
    std::string_view detail;
  } expected[] = {{Condition::kRefused, "its modules are for kernel 6.12.1, this one is 6.12.2"}, {Condition::kMounted, "/run/extensions/b-good"},
                  {Condition::kRefused, "CN=theirs"},                                            {Condition::kFailed, "no device mapper"},
                  {Condition::kRefused, "its SHA-256 is"},                                       {Condition::kMissing, "f-gone.ext"}};
  for (size_t i = 0; i < states.size(); ++i) {
    EXPECT_EQ(states[i].condition, expected[i].condition) << states[i].detail;
    EXPECT_NE(states[i].detail.find(expected[i].detail), std::string::npos) << states[i].detail;
  }
  EXPECT_EQ(mounts_.done, std::vector<std::string>{"mount b-good"});
  const std::string all = extension::faults(states);
  EXPECT_TRUE(all.starts_with("a-other refused: ")) << all;
  EXPECT_EQ(all.find("b-good"), std::string::npos) << all;
  EXPECT_EQ(*extension::read_faults(base_ + "/run/extensions.state", 6), all);
}

TEST_F(Extensions, AGoodCopyElsewhereDoes) {
  const std::string good = file_of(record("nic", extension::kFiles), &ours_);
  write("state/" + hex(upgrade::sha256(as_bytes(good))) + ".ext", good.substr(0, 5000));
  fs::create_symlink(base_ + "/efi/elsewhere", base_ + "/state/nic.ext");
  ASSERT_EQ(::mkfifo((base_ + "/efi/" + hex(upgrade::sha256(as_bytes(good))) + ".ext").c_str(), 0600), 0);
  EXPECT_EQ(extension::find_files(places_.from, name_of("nic", good)).size(), 1U) << "neither links nor pipes are files";
  EXPECT_EQ(extension::find_whole(places_.from, name_of("nic", good)).error().code(), Code::kCorrupt);
  EXPECT_EQ(extension::find_whole(places_.from, name_of("gpu", good + "x")).error().code(), Code::kNotFound);
  write("efi/nic.ext", good);
  EXPECT_TRUE(extension::find_whole(places_.from, name_of("nic", good)).ok());
  EXPECT_EQ(bring_up_all({name_of("nic", good)}), (std::vector<State>{{"nic", Condition::kMounted, base_ + "/run/extensions/nic"}}));
}

TEST(States, AreReadBackOrRefused) {
  const std::vector<State> states = {{"a", Condition::kMounted, "/x"}, {"b", Condition::kMissing, "nowhere"}};
  const std::string bytes = extension::encode_states(states);
  EXPECT_EQ(*extension::decode_states(as_bytes(bytes)), states);
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string changed = bytes;
    changed[at] ^= 1;
    EXPECT_FALSE(extension::decode_states(as_bytes(changed)).ok()) << at;
    EXPECT_FALSE(extension::decode_states(as_bytes(bytes).first(at)).ok()) << at;
  }
  EXPECT_EQ(*extension::read_faults("/nonexistent/state", 0), "");
  EXPECT_NE(*extension::read_faults("/nonexistent/state", 1), "");
}

}  // namespace
}  // namespace steppe::extensions
