// One contract, two disks: what the simulated one promises is what the kernel's does.
#include <gtest/gtest.h>

#include <optional>

#include "init/io/epoll_loop.h"
#include "init/io/posix_disk.h"
#include "init/io/scope.h"
#include "tests/sim/sim_disk.h"

namespace steppe::sim {
namespace {

using io::OpenMode;

// What the calls answer, as text, step by step.
io::Task<void> exercise(io::Directory& dir, std::vector<std::string>& log) {
  const auto say = [&log](std::string what, const Result<>& result) { log.push_back(what + ": " + (result.ok() ? "ok" : std::string(code_name(result.error().code())))); };
  const auto say_open = [&log](std::string what, const Result<std::unique_ptr<io::File>>& result) {
    log.push_back(what + ": " + (result.ok() ? "ok" : std::string(code_name(result.error().code()))));
  };
  const auto missing = co_await dir.open("a", OpenMode::kReadWrite);
  say_open("open what is not there", missing);
  const auto created = co_await dir.open("a", OpenMode::kCreateNew);
  say_open("create", created);
  if (!created.ok()) co_return;
  const auto again = co_await dir.open("a", OpenMode::kCreateNew);
  say_open("create again", again);
  io::File& file = **created;
  const Result<> wrote = co_await file.write_at(3, as_bytes("hello"));
  say("write past the end", wrote);
  const auto size = co_await file.size();
  log.push_back("size " + std::to_string(size.value_or(0)));
  std::string buffer(16, '?');
  const auto got = co_await file.read_at(0, std::as_writable_bytes(std::span(buffer)));
  log.push_back("read " + std::to_string(got.value_or(99)) + " " + hex(as_bytes(buffer)));
  const auto past = co_await file.read_at(100, std::as_writable_bytes(std::span(buffer)));
  log.push_back("read past the end " + std::to_string(past.value_or(99)));
  const Result<> both = co_await file.write_and_sync(1, as_bytes("xy"));
  say("write and sync", both);
  const Result<> cut = co_await file.truncate(4);
  say("truncate", cut);
  const Result<> grown = co_await file.allocate(10);
  say("allocate", grown);
  const Result<> kept = co_await file.allocate(2);
  say("allocate less", kept);
  const auto content = co_await io::read_file(dir, "a", {100});
  log.push_back("content " + (content.ok() ? hex(as_bytes(*content)) : "none"));
  const auto too_big = co_await io::read_file(dir, "a", {9});
  log.push_back("content over the limit " + std::string(too_big.ok() ? "ok" : code_name(too_big.error().code())));
  const Result<> replaced = co_await io::replace_file(dir, "b", "new");
  say("replace", replaced);
  const Result<> renamed = co_await dir.rename("a", "b");
  say("rename over", renamed);
  const Result<> gone = co_await dir.rename("a", "c");
  say("rename what is gone", gone);
  const Result<> still = co_await file.write_at(0, as_bytes("Z"));
  say("write after the rename", still);
  const auto moved = co_await io::read_file(dir, "b", {100});
  log.push_back("content " + (moved.ok() ? hex(as_bytes(*moved)) : "none"));
  const auto more = co_await dir.open("0", OpenMode::kCreate);
  say_open("create another", more);
  const auto listing = co_await dir.list();
  for (const auto& item : *listing) log.push_back("listed " + item.name);
  const Result<> removed = co_await dir.remove("b");
  say("remove", removed);
  const Result<> twice = co_await dir.remove("b");
  say("remove again", twice);
  const Result<> held = co_await file.write_at(0, as_bytes("kept"));
  say("write to a removed file", held);
  const Result<> synced = co_await dir.sync();
  say("sync the directory", synced);
}

TEST(DiskContract, SimulatedAndRealAnswerAlike) {
  std::vector<std::string> simulated;
  {
    SeededRng rng(1);
    SimLoop loop(rng);
    SimDisk disk(loop, rng);
    const auto directory = disk.mount();
    bool done = false;
    io::start_root(loop, exercise(*directory, simulated), [&done] { done = true; });
    ASSERT_TRUE(loop.run_until([&] { return done; }, std::chrono::minutes(1)));
  }
  for (const io::DiskCalls calls : {io::DiskCalls::kInline, io::DiskCalls::kOnPool}) {
    std::vector<std::string> real;
    auto loop = io::EpollLoop::create(1);
    ASSERT_TRUE(loop.ok());
    const std::string path = testing::TempDir() + "disk-contract-" + std::to_string(static_cast<int>(calls)) + "-" + std::to_string(io::system_rng().next());
    auto directory = io::open_posix_directory(**loop, path, calls);
    ASSERT_TRUE(directory.ok()) << directory.error().message();
    io::start_root(**loop, exercise(**directory, real), [&loop] { (*loop)->stop(); });
    (*loop)->run();
    EXPECT_EQ(simulated, real);
  }
  EXPECT_EQ(simulated.size(), 25u);
}

}  // namespace
}  // namespace steppe::sim
