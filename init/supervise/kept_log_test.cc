#include "init/supervise/kept_log.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace steppe::supervise {
namespace {

namespace fs = std::filesystem;

std::string content(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

struct Machine {
  Machine() {
    char name[] = "/tmp/steppe-log-XXXXXX";
    path = ::mkdtemp(name);
    fs::create_directory(path + "/state");
  }
  ~Machine() { fs::remove_all(path); }
  LogPlaces places() const { return {.memory = path + "/log/steppe", .ready = path + "/ready", .state = path + "/state", .memory_limit = 1000, .disk_limit = 3000}; }
  // As `steppe-node storage` does it.
  void bring_disk() const {
    fs::create_directory(path + "/state/log");
    std::ofstream(path + "/ready") << "";
  }
  std::string in_memory() const { return content(path + "/log/steppe/services.log"); }
  std::string on_disk() const { return content(path + "/state/log/services.log"); }
  std::string path;
};

TEST(KeptLog, ADiskGetsAllOfThisBoot) {
  Machine machine;
  KeptLog log(machine.places());
  ASSERT_TRUE(log.open());
  log.write("one\n");
  EXPECT_EQ(machine.on_disk(), "");
  EXPECT_EQ(log.keep_clock(), -1);
  machine.bring_disk();
  log.write("two\n");
  log.write("three\n");
  EXPECT_EQ(machine.in_memory(), "one\ntwo\nthree\n");
  std::string disk = machine.on_disk();
  ASSERT_TRUE(disk.starts_with("steppe-log 1 boot=")) << disk;
  EXPECT_EQ(disk.substr(disk.find('\n') + 1), "one\ntwo\nthree\n");
  EXPECT_GT(log.keep_clock(), 3'000'000);
  EXPECT_TRUE(fs::exists(machine.path + "/state/clock"));
  // The next boot goes on behind it.
  fs::remove_all(machine.path + "/log");
  KeptLog next(machine.places());
  ASSERT_TRUE(next.open());
  next.write("four\n");
  disk = machine.on_disk();
  EXPECT_NE(disk.find("three\nsteppe-log 1 boot="), std::string::npos) << disk;
  EXPECT_TRUE(disk.ends_with("\nfour\n"));
}

TEST(KeptLog, BothAreBounded) {
  Machine machine;
  KeptLog log(machine.places());
  ASSERT_TRUE(log.open());
  machine.bring_disk();
  const std::string line = std::string(99, 'x') + "\n";
  for (int i = 0; i < 200; ++i) log.write(line);
  for (const char* file : {"/log/steppe/services.log", "/log/steppe/services.log.1"}) EXPECT_LE(fs::file_size(machine.path + file), 1000U) << file;
  for (const char* file : {"/state/log/services.log", "/state/log/services.log.1"}) EXPECT_LE(fs::file_size(machine.path + file), 3000U) << file;
  EXPECT_GT(fs::file_size(machine.path + "/state/log/services.log.1"), 2800U);
}

TEST(KeptLog, AFileThatCannotBeMadeIsTriedAgain) {
  Machine machine;
  KeptLog log(machine.places());
  ASSERT_TRUE(log.open());
  machine.bring_disk();
  log.write("one\n");
  // In the way of the next file, as a full disk would be.
  fs::remove(machine.path + "/state/log/services.log");
  fs::create_directory(machine.path + "/state/log/services.log");
  fs::create_directory(machine.path + "/state/log/services.log.1");
  std::ofstream(machine.path + "/state/log/services.log.1/x") << "";
  log.write(std::string(2990, 'y'));
  fs::remove(machine.path + "/state/log/services.log");
  log.write("after\n");
  EXPECT_EQ(machine.on_disk(), "after\n") << "and no second beginning";
}

}  // namespace
}  // namespace steppe::supervise
