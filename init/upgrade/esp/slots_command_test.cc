#include "init/upgrade/esp/slots_command.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "image/sign/authenticode.h"
#include "image/uki/assemble.h"
#include "init/io/path_file.h"

namespace steppe::esp {
namespace {

// Our own builder's image of a version, signed by `signer`.
struct Signer {
  sign::PrivateKey key = *sign::PrivateKey::generate(2048);
  sign::Certificate certificate = *sign::Certificate::self_signed(key, "release");
};

std::string make_image(const std::string& version, const Signer& signer, uint64_t security = 1, const std::string& arch = "x86-64",
                       const std::vector<upgrade::Extension>& extensions = {}) {
  upgrade::Manifest manifest{.version = version, .arch = arch, .security_version = security, .kernel = "6.12"};
  manifest.extensions = extensions;
  const std::string stub = *io::read_path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub", Bytes::mib(8));
  const std::string kernel = *io::read_path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi", Bytes::mib(8));  // stands in for one
  auto file = uki::assemble(as_bytes(stub), {{".linux", kernel},
                                             {".initrd", std::string(3001, 'i')},
                                             {".cmdline", "quiet"},
                                             {".osrel", "ID=steppe\nIMAGE_ID=steppe\nIMAGE_VERSION=" + version + "\n"},
                                             {".steppe", *upgrade::encode_manifest(manifest)}});
  return *sign::sign_program(as_bytes(*file), signer.key, signer.certificate);
}

std::string manifest_bytes(const std::string& version) {
  return *upgrade::encode_manifest({.version = version, .arch = "x86-64", .security_version = 1, .kernel = "6.12"});
}

void put(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(file.good()) << path;
}

std::string variable(std::string_view text) {
  std::string bytes(4, '\x06');
  for (const char c : text) bytes += {c, '\0'};
  return bytes + std::string(2, '\0');
}

// A machine in a directory: an ESP (no FAT, so what a cut does to one is not here), variables, keys, the running manifest.
class SlotsTest : public testing::Test {
 protected:
  SlotsTest() {
    char name[] = "/tmp/steppe-slots-XXXXXX";
    root_ = ::mkdtemp(name);
    for (const char* part : {"/efi/EFI/Linux", "/keys", "/vars"}) std::filesystem::create_directories(root_ + part);
    put(root_ + "/keys/image.crt", signer().certificate.pem());
    places_ = {root_ + "/efi", root_ + "/manifest", root_ + "/vars", {root_ + "/absent", root_ + "/keys"}, root_ + "/lock", root_ + "/states", {root_ + "/extensions"}};
    runs("1.0");
    put(slot("steppe-1.0.efi"), make_image("1.0", signer()));
  }
  ~SlotsTest() override { std::filesystem::remove_all(root_); }

  static const Signer& signer() {
    static const Signer one;
    return one;
  }
  std::string slot(const std::string& name) const { return root_ + "/efi/EFI/Linux/" + name; }
  void runs(const std::string& version) { put(root_ + "/manifest", manifest_bytes(version)); }
  void loader(std::string_view entry, std::string_view counted) {
    put(root_ + "/vars/LoaderEntrySelected-" + std::string(kLoaderGuid), variable(entry));
    put(root_ + "/vars/LoaderBootCountPath-" + std::string(kLoaderGuid), variable(counted));
  }
  // Exit code and standard output.
  std::pair<int, std::string> run(const std::vector<std::string>& words) {
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int code = slots_command(words, places_);
    log_ = testing::internal::GetCapturedStderr();
    return {code, testing::internal::GetCapturedStdout()};
  }
  std::set<std::string> names() const {
    std::set<std::string> out;
    for (const auto& entry : std::filesystem::directory_iterator(root_ + "/efi/EFI/Linux")) {
      const std::string name = entry.path().filename();
      if (name.ends_with(".efi") || name.ends_with(".part")) out.insert(name);
    }
    return out;
  }
  using Names = std::set<std::string>;

  std::string root_, log_;
  Places places_;
};

TEST_F(SlotsTest, a_new_image_is_staged_tried_and_blessed) {
  put(root_ + "/new", make_image("2.0", signer()));
  auto [code, out] = run({"stage", root_ + "/new"});
  EXPECT_EQ(code, 0) << out << log_;
  EXPECT_EQ(out, "{\"Summary\":\"version 2.0 staged\",\"Reboot\":\"firmware\"}\n");
  EXPECT_EQ(names(), (Names{"steppe-1.0.efi", "steppe-2.0+3.efi"}));

  // The loader counted it and it runs.
  std::filesystem::rename(slot("steppe-2.0+3.efi"), slot("steppe-2.0+2-1.efi"));
  runs("2.0");
  loader("steppe-2.0.efi", "\\EFI\\Linux\\steppe-2.0+2-1.efi");
  std::tie(code, out) = run({"list"});
  EXPECT_EQ(code, 0) << out;
  EXPECT_NE(out.find("\"File\":\"steppe-2.0+2-1.efi\",\"Version\":\"2.0\",\"State\":\"trial\",\"Running\":true,\"Next\":true,\"TriesLeft\":2"), std::string::npos) << out;
  EXPECT_NE(out.find("\"Trial\":true"), std::string::npos) << out;
  EXPECT_EQ(out.find("slots.a"), std::string::npos) << "the record is no slot";
  put(root_ + "/newer", make_image("3.0", signer()));
  EXPECT_EQ(run({"stage", root_ + "/newer"}).first, 1) << "not during a trial";
  std::tie(code, out) = run({"bless"});
  EXPECT_EQ(code, 0) << out;
  EXPECT_EQ(names(), (Names{"steppe-1.0.efi", "steppe-2.0.efi"}));
  EXPECT_NE(run({"list"}).second.find("\"SecurityFloor\":1"), std::string::npos) << "remembered";
}

TEST_F(SlotsTest, an_image_needs_its_extensions_to_be_staged_and_to_be_good) {
  const upgrade::Extension nic{.name = "nic", .digest = upgrade::sha256(as_bytes("bytes")), .size = 5};
  put(root_ + "/new", make_image("2.0", signer(), 1, "x86-64", {nic}));
  auto [code, out] = run({"stage", root_ + "/new"});
  EXPECT_EQ(code, 1);
  EXPECT_NE(out.find("\"not found\""), std::string::npos) << out;
  EXPECT_NE(out.find("extension nic"), std::string::npos) << out;
  std::filesystem::create_directories(root_ + "/extensions");
  put(root_ + "/extensions/nic.ext", "bytEs");
  std::tie(code, out) = run({"stage", root_ + "/new"});
  EXPECT_NE(out.find("\"corrupt\""), std::string::npos) << out;
  EXPECT_EQ(names(), (Names{"steppe-1.0.efi"}));
  put(root_ + "/extensions/nic.ext", "bytes");
  EXPECT_EQ(run({"stage", root_ + "/new"}).first, 0);
  EXPECT_EQ(names(), (Names{"steppe-1.0.efi", "steppe-2.0+3.efi"}));

  std::filesystem::rename(slot("steppe-2.0+3.efi"), slot("steppe-2.0+2-1.efi"));
  upgrade::Manifest running{.version = "2.0", .arch = "x86-64", .security_version = 1, .kernel = "6.12"};
  running.extensions = {nic};
  put(root_ + "/manifest", *upgrade::encode_manifest(running));
  loader("steppe-2.0.efi", "\\EFI\\Linux\\steppe-2.0+2-1.efi");
  std::tie(code, out) = run({"bless"});
  EXPECT_NE(out.find("nobody looked at the extensions"), std::string::npos) << out;
  put(root_ + "/states", extension::encode_states({{"nic", extension::Condition::kRefused, "signed by a stranger"}}));
  std::tie(code, out) = run({"bless"});
  EXPECT_EQ(code, 1);
  EXPECT_NE(out.find("not good while its extensions are not: nic refused: signed by a stranger"), std::string::npos) << out;
  EXPECT_EQ(names(), (Names{"steppe-1.0.efi", "steppe-2.0+2-1.efi"}));
  put(root_ + "/states", extension::encode_states({{"nic", extension::Condition::kMounted, "/x"}}));
  EXPECT_EQ(run({"bless"}).first, 0);
  EXPECT_EQ(names(), (Names{"steppe-1.0.efi", "steppe-2.0.efi"}));
}

TEST_F(SlotsTest, what_is_no_image_for_this_machine_is_refused_and_leaves_nothing) {
  const Signer stranger;
  const std::string good = make_image("2.0", signer());
  std::string changed = good, both = make_image("0.9", signer());
  changed[good.find("IMAGE_VERSION=2.0")] ^= 1;
  const struct {
    const char* what;
    std::string bytes, code, says;
  } rows[] = {{"tampered", changed, "corrupt", "not what was signed"},
              {"truncated", good.substr(0, good.size() / 2), "invalid", ""},
              {"empty", "", "invalid", ""},
              {"signed by a stranger", make_image("2.0", stranger), "denied", "trust"},
              {"for another architecture", make_image("2.0", signer(), 1, "arm64"), "invalid", "arm64"},
              {"older", both, "invalid", "older"},
              {"of a version that is here with other bytes", make_image("1.0", signer(), 7), "exists", "version of its own"}};
  for (const auto& row : rows) {
    put(root_ + "/new", row.bytes);
    const auto [code, out] = run({"stage", root_ + "/new"});
    EXPECT_EQ(code, 1) << row.what;
    EXPECT_NE(out.find("{\"Error\":{\"Code\":\"" + row.code + "\""), std::string::npos) << row.what << ": " << out;
    EXPECT_NE(out.find(row.says), std::string::npos) << row.what << ": " << out;
    EXPECT_EQ(names(), (Names{"steppe-1.0.efi"})) << row.what;
  }
  put(root_ + "/new", both);
  EXPECT_EQ(run({"stage", root_ + "/new", "-downgrade"}).first, 0) << "asked for as one";
  std::filesystem::remove(root_ + "/keys/image.crt");
  put(root_ + "/new", good);
  EXPECT_NE(run({"stage", root_ + "/new"}).second.find("no keys"), std::string::npos);
}

TEST_F(SlotsTest, a_security_version_never_goes_back) {
  std::filesystem::remove(slot("steppe-1.0.efi"));
  put(slot("steppe-5.0.efi"), make_image("5.0", signer(), 1));
  put(root_ + "/manifest", *upgrade::encode_manifest({.version = "5.0", .arch = "x86-64", .security_version = 1, .kernel = "6.12"}));
  loader("steppe-5.0.efi", "");
  EXPECT_EQ(run({"bless"}).first, 0);
  put(root_ + "/new", make_image("6.0", signer(), 0));
  const auto [code, out] = run({"stage", root_ + "/new"});
  EXPECT_EQ(code, 1);
  EXPECT_NE(out.find("\"denied\""), std::string::npos) << out;
  EXPECT_NE(out.find("security version"), std::string::npos) << out;
}

TEST_F(SlotsTest, a_start_repairs_what_was_left_and_says_that_it_is_a_trial) {
  put(slot("steppe-3.0.efi.part"), "half");
  put(slot("steppe-2.0+2-1.efi"), make_image("2.0", signer()));
  runs("2.0");
  EXPECT_EQ(run({"boot"}).first, 0);
  EXPECT_EQ(names(), (Names{"steppe-1.0.efi", "steppe-2.0+2-1.efi"})) << log_;
  EXPECT_NE(log_.find("this is a trial: steppe-2.0+2-1.efi"), std::string::npos) << log_;
}

TEST_F(SlotsTest, a_failed_trial_is_remembered_at_the_next_start) {
  put(slot("steppe-2.0+0-3.efi"), make_image("2.0", signer()));
  EXPECT_EQ(run({"boot"}).first, 0) << log_;
  put(root_ + "/new", make_image("2.0", signer()));
  const auto [code, out] = run({"stage", root_ + "/new"});
  EXPECT_EQ(code, 1);
  EXPECT_NE(out.find("was tried here and failed"), std::string::npos) << out;
}

TEST_F(SlotsTest, two_names_that_may_share_their_clusters_are_not_simply_removed) {
  put(slot("steppe-1.0+1-2.efi"), make_image("1.0", signer()));
  EXPECT_EQ(run({"boot"}).first, 0);
  EXPECT_EQ(names(), (Names{"steppe-1.0.efi", "steppe-1.0+1-2.efi"}));
  EXPECT_NE(log_.find("is not mounted"), std::string::npos) << "that needs the ESP taken away, and this one is a directory: " << log_;
}

TEST_F(SlotsTest, a_machine_without_slots_says_so) {
  places_.efi = root_ + "/nothing";
  const auto [code, out] = run({"list"});
  EXPECT_EQ(code, 1);
  EXPECT_NE(out.find("\"not found\""), std::string::npos) << out;
  EXPECT_NE(out.find("has no slots"), std::string::npos) << out;
  EXPECT_EQ(run({"boot"}).first, 0);
  EXPECT_NE(log_.find("[INFO] slots: this machine has no slots"), std::string::npos) << log_;
}

TEST_F(SlotsTest, words_that_it_does_not_know) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{}, {"stage"}, {"bless", "2.0"}, {"format"}, {"-efi"}, {"-what", "x", "list"}, {"list", "-downgrade"}, {"try", ""}})
    EXPECT_EQ(run(words).first, 2);
}

TEST(LoaderText, is_what_efivarfs_shows) {
  EXPECT_EQ(loader_text(as_bytes(variable("steppe-2.efi"))), "steppe-2.efi");
  std::string wide = variable("ab");
  wide[7] = 1;
  EXPECT_EQ(loader_text(as_bytes(wide)), "a?");
  for (const std::string& bytes : {std::string(), std::string(3, 'x'), std::string(4, '\0'), std::string(7, 'x'), variable(std::string(513, 'x'))})
    EXPECT_FALSE(loader_text(as_bytes(bytes)));
  EXPECT_TRUE(loader_text(as_bytes(variable(std::string(512, 'x')))));
}

TEST(Names, say_whether_there_is_something_to_repair) {
  const struct {
    std::vector<upgrade::DirectoryEntry> entries;
    bool wanted;
  } rows[] = {{{}, false},
              {{{"steppe-1.efi", 5, 0}, {"steppe-2+3.efi", 5, 0}, {"other.efi", 0, 0}, {"slots.a", 2048, 0}}, false},
              {{{"steppe-1.efi", 5, 0}, {"steppe-1+2-1.efi", 5, 0}}, true},
              {{{"steppe-1.efi", 5, 0}, {"STEPPE-1+2-1.EFI", 5, 0}}, true},
              {{{"steppe-1.efi", 0, 0}}, true},
              {{{"steppe-2.efi.part", 5, 0}}, true},
              {{{"steppe-1.efi", 5, 0}, {"steppe-2+0-3.efi", 5, 0}}, true},
              {{{"steppe-1.efi", 5, 0}, {"steppe-2+0-0.efi", 5, 0}}, false}};
  for (const auto& row : rows) EXPECT_EQ(needs_recovery(row.entries), row.wanted) << (row.entries.empty() ? "" : row.entries.back().name);
}

TEST(Names, say_whether_this_start_was_counted) {
  const std::vector<upgrade::DirectoryEntry> entries{{"steppe-1.efi", 5, 0}, {"steppe-2+2-1.efi", 5, 0}, {"steppe-3+3.efi", 5, 0}, {"steppe-4+0-0.efi", 5, 0}};
  EXPECT_EQ(running_trial(entries, "2"), "steppe-2+2-1.efi");
  for (const char* version : {"1", "3", "4", "5"}) EXPECT_FALSE(running_trial(entries, version)) << version;
}

}  // namespace
}  // namespace steppe::esp
