#include "init/boot/module_index.h"

#include <fnmatch.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "init/boot/coldplug.h"

namespace steppe::boot {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(AliasMatches, table) {
  struct Row {
    const char *pattern, *text;
    bool matches;
  };
  for (const Row& row : std::initializer_list<Row>{
           {"", "", true},
           {"", "a", false},
           {"*", "", true},
           {"abc", "abc", true},
           {"abc", "abcd", false},
           {"a*c", "abbbc", true},
           {"a*c*", "abcd", true},
           {"a*b*c", "axxbyybzc", true},
           {"a*b*c", "axxcyyb", false},
           {"?", "", false},
           {"a?c", "abc", true},
           {"[0-9]x", "7x", true},
           {"[0-9]x", "ax", false},
           {"[!0-9]x", "ax", true},
           {"[]x]", "]", true},
           {"[abc", "[abc", true},
           {"[abc", "a", false},
           {"pci:v00008086d0000100Esv*sd*bc*sc*i*", "pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00", true},
           {"usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*", "usb:v0781p5567d0100dc00dsc00dp00ic08isc06ip50in00", true},
           {"usb:v045Ep028[0-9]d*", "usb:v045Ep028Ed0114", false},
       }) {
    EXPECT_EQ(alias_matches(row.pattern, row.text), row.matches) << row.pattern << " " << row.text;
  }
}

TEST(AliasMatches, agrees_with_the_c_library_on_random_patterns) {
  std::mt19937 random(1);
  int agreed_true = 0;
  for (int i = 0; i < 50'000; ++i) {
    std::string pattern, text;
    for (uint32_t n = random() % 8; n > 0; --n) pattern += "ab**?"[random() % 5];
    if (random() % 4 == 0) pattern += random() % 2 == 0 ? "[a-b]" : "[!a]";
    for (uint32_t n = random() % 10; n > 0; --n) text += "abc"[random() % 3];
    bool expected = ::fnmatch(pattern.c_str(), text.c_str(), FNM_NOESCAPE) == 0;
    agreed_true += expected;
    ASSERT_EQ(alias_matches(pattern, text), expected) << pattern << " " << text;
  }
  EXPECT_GT(agreed_true, 5'000);
}

TEST(AliasMatches, hostile_lengths_are_refused_and_work_is_bounded) {
  EXPECT_FALSE(alias_matches(std::string(1'025, '*'), ""));
  EXPECT_FALSE(alias_matches("*", std::string(1'025, 'a')));
  std::string stars;
  for (int i = 0; i < 400; ++i) stars += "*a";
  EXPECT_FALSE(alias_matches(stars + "b", std::string(1'000, 'a')));
}

constexpr const char* kIndex =
    "steppe-modules 1\n"
    "file net_failover drivers/net/net_failover.ko failover\n"
    "file failover net/core/failover.ko\n"
    "file virtio_net drivers/net/virtio_net.ko failover,net_failover\n"
    "alias fs-overlay overlay\n"
    "alias pci:v*d*sv*sd*bc01sc06i01* ahci\n"
    "alias virtio:d00000001v* virtio_net\n";

std::string sorted_index() {
  // As the builder makes it: each section in bytewise order.
  return "steppe-modules 1\n"
         "file failover net/core/failover.ko\n"
         "file i6300esb drivers/watchdog/i6300esb.ko\n"
         "file net_failover drivers/net/net_failover.ko failover\n"
         "file overlay fs/overlay.ko\n"
         "file virtio_net drivers/net/virtio_net.ko failover,net_failover,built_in\n"
         "alias fs-overlay overlay\n"
         "alias pci:v*d*sv*sd*bc01sc06i01* ahci\n"
         "alias pci:v00008086d000025ABsv*sd*bc*sc*i* i6300esb\n"
         "alias virtio:d00000001v* virtio_net\n";
}

TEST(ModuleIndex, finds_by_modalias_and_lists_dependencies_first) {
  auto index = ModuleIndex::parse(sorted_index());
  ASSERT_TRUE(index.ok()) << index.error().message();
  EXPECT_EQ(index->file_count(), 5u);
  EXPECT_EQ(index->alias_count(), 4u);
  EXPECT_THAT(index->find("virtio:d00000001v00001AF4"), ElementsAre("virtio_net"));
  EXPECT_THAT(index->find("pci:v00008086d000025ABsv00001AF4sd00001100bc08sc80i00"), ElementsAre("i6300esb"));
  EXPECT_THAT(index->find("pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01"), ElementsAre("ahci"));
  EXPECT_THAT(index->find("pci:v0000"), IsEmpty());
  EXPECT_THAT(index->find(""), IsEmpty());
  EXPECT_THAT(index->find("fs-overlay"), ElementsAre("overlay"));
  EXPECT_THAT(index->find("fs-over"), IsEmpty());
  EXPECT_THAT(index->files("virtio_net"), ElementsAre("net/core/failover.ko", "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko"));
  EXPECT_THAT(index->files("virtio-net"), testing::SizeIs(3)) << "the other sign between words";
  EXPECT_THAT(index->files("ahci"), IsEmpty());
}

TEST(ModuleIndex, refuses_what_is_not_one) {
  std::string many = "steppe-modules 1\n";
  for (const auto& [text, what] : std::initializer_list<std::pair<std::string, const char*>>{
           {"", "empty"},
           {"steppe-modules 2\n", "line 1"},
           {kIndex, "line 3: out of order"},
           {many + "file a b\nfile c /etc/passwd\n", "line 3: the path leaves"},
           {many + "file c a/../../b.ko\n", "leaves"},
           {many + "file c\n", "column"},
           {many + "alias x y\nfile a b\n", "after the aliases"},
           {many + "module a b\n", "neither"},
           {many + "file a " + std::string(1'100, 'b') + "\n", "longer"},
       }) {
    auto index = ModuleIndex::parse(text);
    ASSERT_FALSE(index.ok()) << text;
    EXPECT_THAT(index.error().message(), HasSubstr(what));
  }
}

TEST(ModuleIndex, narrowing_finds_what_matching_every_line_finds) {
  std::mt19937 random(2);
  auto word = [&](const char* letters, uint32_t most) {
    std::string out;
    for (uint32_t n = 1 + random() % most; n > 0; --n) out += letters[random() % 6];
    return out;
  };
  size_t found = 0;
  for (int round = 0; round < 60; ++round) {
    std::vector<std::string> aliases;
    for (int i = 0; i < 60; ++i) aliases.push_back("alias " + word("abc*?:", 6) + " m" + std::to_string(i));
    std::ranges::sort(aliases);
    std::string text = "steppe-modules 1\n";
    for (const std::string& line : aliases) text += line + "\n";
    auto index = ModuleIndex::parse(text);
    ASSERT_TRUE(index.ok()) << index.error().message();
    for (int i = 0; i < 60; ++i) {
      std::string modalias = word("abcabc", 6);
      std::vector<std::string> expected;
      for (const std::string& line : aliases) {
        size_t space = line.find(' ', 6);
        if (alias_matches(line.substr(6, space - 6), modalias)) expected.push_back(line.substr(space + 1));
      }
      std::vector<std::string_view> got = index->find(modalias);
      if (expected.size() >= 16) continue;
      std::ranges::sort(expected);
      std::ranges::sort(got);
      ASSERT_EQ(std::vector<std::string>(got.begin(), got.end()), expected) << modalias;
      found += got.size();
    }
  }
  EXPECT_GT(found, 1'000u);
}

TEST(Uevent, modalias_of_added_devices_only) {
  auto read = [](std::string_view text) { return uevent_modalias(as_bytes(text)); };
  using namespace std::string_view_literals;
  EXPECT_EQ(read("add@/devices/x\0ACTION=add\0SUBSYSTEM=pci\0MODALIAS=pci:v1\0SEQNUM=9\0"sv), "pci:v1");
  EXPECT_EQ(read("bind@/devices/x\0MODALIAS=pci:v1\0ACTION=bind"sv), "pci:v1");
  EXPECT_EQ(read("remove@/devices/x\0ACTION=remove\0MODALIAS=pci:v1\0"sv), "");
  EXPECT_EQ(read(""sv), "");
  EXPECT_EQ(read("\0\0\0"sv), "");
  EXPECT_EQ(read("ACTION=add\0MODALIAS=" + std::string(2'000, 'x')), "");
}

TEST(Coldplug, loads_each_file_once_dependencies_first) {
  auto index = ModuleIndex::parse(sorted_index());
  ASSERT_TRUE(index.ok());
  std::vector<std::string> loaded;
  Coldplug coldplug(*index, [&](std::string_view path) { loaded.emplace_back(path); });
  coldplug.device("virtio:d00000001v00001AF4");
  coldplug.device("virtio:d00000001v00001AF4");
  coldplug.device("virtio:d00000001v9");
  coldplug.device("usb:nothing");
  EXPECT_THAT(loaded, ElementsAre("net/core/failover.ko", "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko"));
  EXPECT_TRUE(coldplug.request("fs-overlay"));
  EXPECT_TRUE(coldplug.request("i6300esb")) << "by its own name";
  EXPECT_FALSE(coldplug.request("../../etc"));
  EXPECT_EQ(loaded.size(), 5u);
}

}  // namespace
}  // namespace steppe::boot
