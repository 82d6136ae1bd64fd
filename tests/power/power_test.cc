#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/power/cut_states.h"
#include "tests/power/write_log.h"

namespace steppe::power {
namespace {

void put(std::string& out, uint64_t value) {
  for (int i = 0; i < 8; i++) out.push_back(static_cast<char>(value >> (8 * i)));
}
std::string super_block() {
  std::string out;
  put(out, 0x6a736677736872);
  put(out, 1);
  put(out, 0);
  out += std::string("\0\2\0\0", 4);
  out.resize(512);
  return out;
}
std::string entry(uint64_t sector, std::string data, uint64_t flags = 0) {
  std::string out;
  put(out, sector);
  put(out, data.size() / 512);
  put(out, flags);
  put(out, 0);
  out.resize(512);
  return out + data;
}
std::string sectors(size_t count, char fill) { return std::string(count * 512, fill); }

// Two writes, a flush, two more.
std::string five() {
  return super_block() + entry(0, sectors(1, 'a')) + entry(1, sectors(2, 'b')) + entry(0, "", 1) + entry(0, sectors(1, 'c')) + entry(2, sectors(1, 'd'));
}

TEST(WriteLog, reads_entries_by_the_file_s_length) {
  std::string file = five();
  Result<std::vector<LoggedWrite>> log = read_write_log(as_bytes(file));
  ASSERT_TRUE(log.ok()) << log.error().message();
  ASSERT_EQ(log->size(), 5u);
  EXPECT_EQ((*log)[1].at, 512u);
  EXPECT_EQ((*log)[1].bytes.size(), 1024u);
  EXPECT_TRUE((*log)[2].flush);
}

TEST(WriteLog, says_what_is_wrong) {
  std::string cut = five();
  cut.resize(cut.size() - 1);
  EXPECT_EQ(read_write_log(as_bytes(cut)).error().message(), "entry 4 at 4608 is cut off");
  std::string flags = super_block() + entry(0, sectors(1, 'a'), 64);
  EXPECT_EQ(read_write_log(as_bytes(flags)).error().message(), "entry 0 at 512 has flags 64");
  std::string other = sectors(1, 'x');
  EXPECT_EQ(read_write_log(as_bytes(other)).error().code(), Code::kInvalid);
}

// Every state that a disk of three sectors can be in after these writes, and no other.
TEST(CutStates, are_the_prefixes_and_the_subsets_of_what_no_flush_covers) {
  std::string file = five();
  std::vector<LoggedWrite> log = *read_write_log(as_bytes(file));
  std::string start = sectors(3, '.');
  CutDisk disk(std::as_writable_bytes(std::span(start)), log, Cache::kVolatile);
  std::set<std::string> states;
  for (const Cut& cut : cuts_of(log, 600, 7, Cache::kVolatile)) {
    Result<uint64_t> looked = disk.at(cut, [&](ByteView bytes) {
      std::string text(as_text(bytes));
      states.insert({text[0], text[512], text[1024]});
    });
    ASSERT_TRUE(looked.ok());
  }
  std::set<std::string> all = {"...", "a..", ".bb", ".b.", "..b", "ab.", "a.b", "abb", "cbb", "abd", "cbd"};
  EXPECT_EQ(states, all);
}

TEST(CutStates, a_disk_that_forgets_flushes_has_more) {
  std::string file = five();
  std::vector<LoggedWrite> log = *read_write_log(as_bytes(file));
  std::string start = sectors(3, '.');
  CutDisk disk(std::as_writable_bytes(std::span(start)), log, Cache::kNeverFlushed);
  bool lost = false;
  for (const Cut& cut : cuts_of(log, 600, 7, Cache::kNeverFlushed))
    ASSERT_TRUE(disk.at(cut, [&](ByteView bytes) { lost |= as_text(bytes)[0] == 'c' && as_text(bytes)[512] == '.'; }).ok());
  EXPECT_TRUE(lost);
}

TEST(CutStates, a_write_outside_the_disk_is_an_error) {
  std::string file = super_block() + entry(9, sectors(1, 'a'));
  std::vector<LoggedWrite> log = *read_write_log(as_bytes(file));
  std::string start = sectors(3, '.');
  CutDisk disk(std::as_writable_bytes(std::span(start)), log, Cache::kVolatile);
  EXPECT_FALSE(disk.at({1, 0}, [](ByteView) {}).ok());
}

}  // namespace
}  // namespace steppe::power
