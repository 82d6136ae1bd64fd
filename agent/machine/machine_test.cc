#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "agent/machine/machine_view.h"
#include "agent/machine/slots_child.h"
#include "agent/machine/trial.h"
#include "agent/machine/uploads.h"
#include "agent/schema/machine.pb.h"
#include "init/upgrade/manifest.h"
#include "init/upgrade/sha256.h"

namespace steppe::machine_api {
namespace {

using namespace std::chrono_literals;

class Place : public testing::Test {
 protected:
  Place() {
    char name[] = "/tmp/steppe-machine-XXXXXX";
    root_ = ::mkdtemp(name);
  }
  ~Place() override { std::filesystem::remove_all(root_); }
  void put(const std::string& path, std::string_view text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path, std::ios::binary) << text;
  }
  std::string root_;
};

// ---- Uploads

std::string digest_of(std::string_view bytes) { return hex(upgrade::sha256(as_bytes(bytes))); }

TEST_F(Place, an_upload_comes_in_pieces_and_goes_on_after_a_break) {
  const std::string image(3000, 'x'), digest = digest_of(image);
  const auto piece = [&](size_t from, size_t count) { return as_bytes(std::string_view(image).substr(from, count)); };
  {
    Uploads uploads(root_ + "/upload");
    EXPECT_EQ(uploads.write(digest, 0, 3000, {}).value(), 0u) << "asks where to begin";
    EXPECT_EQ(uploads.write(digest, 0, 3000, piece(0, 1000)).value(), 1000u);
    EXPECT_EQ(uploads.write(digest, 0, 3000, piece(0, 1000)).value(), 1000u) << "said again, not written again";
    EXPECT_EQ(uploads.write(digest, 2000, 3000, piece(2000, 1000)).value(), 1000u) << "out of turn";
    EXPECT_EQ(uploads.find(digest).error().http_status(), 404);
  }
  Uploads uploads(root_ + "/upload");
  EXPECT_EQ(uploads.write(digest, 0, 3000, {}).value(), 1000u) << "another agent goes on";
  EXPECT_EQ(uploads.write(digest, 1000, 3000, piece(1000, 2000)).value(), 3000u);
  EXPECT_EQ(uploads.find(digest).value(), root_ + "/upload/" + digest);
  EXPECT_EQ(uploads.write(digest, 0, 3000, piece(0, 1000)).value(), 3000u) << "all of it is here";
  EXPECT_EQ(std::filesystem::file_size(root_ + "/upload/" + digest), 3000u);
  uploads.remove(digest);
  EXPECT_FALSE(uploads.find(digest).ok());
}

TEST_F(Place, an_upload_of_other_bytes_is_removed) {
  Uploads uploads(root_ + "/upload");
  const std::string digest = digest_of("right");
  const auto done = uploads.write(digest, 0, 5, as_bytes("wrong"));
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().http_status(), 400);
  EXPECT_TRUE(std::filesystem::is_empty(root_ + "/upload"));
  EXPECT_EQ(uploads.write(digest, 0, 5, as_bytes("right")).value(), 5u);
}

TEST_F(Place, one_image_at_a_time) {
  Uploads uploads(root_ + "/upload");
  ASSERT_TRUE(uploads.write(digest_of("first"), 0, 5, as_bytes("first")).ok());
  ASSERT_TRUE(uploads.write(digest_of("second"), 0, 6, as_bytes("sec")).ok());
  EXPECT_FALSE(uploads.find(digest_of("first")).ok());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(root_ + "/upload"), {}), 1);
}

TEST_F(Place, an_upload_that_cannot_be_meant_is_refused) {
  Uploads uploads(root_ + "/upload");
  const std::string digest = digest_of("x");
  const struct {
    std::string digest;
    uint64_t offset, size;
  } rows[] = {{"../../etc/passwd", 0, 1}, {std::string(64, 'X'), 0, 1}, {digest.substr(1), 0, 1}, {digest, 0, 0}, {digest, 0, Uploads::kMaxImage + 1}, {digest, 2, 1}, {digest, 1, 1}, {digest, UINT64_MAX, 1}};
  for (const auto& row : rows) {
    const auto done = uploads.write(row.digest, row.offset, row.size, as_bytes("x"));
    ASSERT_FALSE(done.ok()) << row.digest << " " << row.offset << " " << row.size;
    EXPECT_EQ(done.error().http_status(), 400);
  }
  EXPECT_FALSE(std::filesystem::exists(root_ + "/upload")) << "nothing was made";
  const auto large = uploads.write(digest, 0, Uploads::kMaxImage, as_bytes("x"));
  if (!large.ok()) EXPECT_EQ(large.error().http_status(), 507) << "this disk is full";
}

// ---- What the slots' program answers

TEST(SlotsAnswer, failures_have_the_status_that_a_client_acts_on) {
  const struct {
    const char* code;
    int status;
  } rows[] = {{"denied", 403}, {"not found", 404}, {"invalid", 400}, {"corrupt", 400}, {"exists", 409}, {"unavailable", 409}, {"exhausted", 507}, {"io", 500}, {"of a newer program", 500}};
  for (const auto& row : rows) {
    const auto answer = read_answer(std::string("{\"Error\":{\"Code\":\"") + row.code + "\",\"Message\":\"why \\u0041\"}}\n", {.code = 1});
    ASSERT_FALSE(answer.ok());
    EXPECT_EQ(answer.error().http_status(), row.status) << row.code;
    EXPECT_EQ(answer.error().message(), "why A");
  }
}

TEST(SlotsAnswer, a_program_that_dies_is_no_answer) {
  EXPECT_EQ(read_answer("{}", {.code = 0}).value(), "{}");
  EXPECT_EQ(read_answer("", {.signal = 9}).error().message(), "the program that changes the slots was killed by signal 9 and said nothing");
  for (const char* text : {"", "{", "{\"Error\":{\"Code\":\"denied\"}}", "{\"Code\":\"denied\",\"Message\":\"x\"}", "[]"}) EXPECT_EQ(read_answer(text, {.code = 2}).error().http_status(), 500) << text;
}

// ---- Trials

TEST(Trial, what_speaks_against_a_blessing) {
  const TrialFacts fine{.state_kept = true, .clock_sane = true};
  EXPECT_FALSE(what_is_missing(fine));
  TrialFacts facts = fine;
  facts.state_kept = false;
  EXPECT_TRUE(what_is_missing(facts)->contains("state partition"));
  facts = fine;
  facts.clock_sane = false;
  EXPECT_TRUE(what_is_missing(facts)->contains("clock"));
  facts = fine;
  facts.had_heartbeats = true;
  EXPECT_TRUE(what_is_missing(facts)->contains("heartbeats"));
  facts.heartbeating = true;
  EXPECT_FALSE(what_is_missing(facts));
}

TEST(Trial, is_blessed_once_it_was_fine_for_a_while) {
  TrialJudge judge;
  const TrialFacts fine{.state_kept = true, .clock_sane = true};
  const auto at = [](Duration since) { return MonoTime{} + since; };
  EXPECT_FALSE(judge.bless_now(at(0s), fine));
  EXPECT_FALSE(judge.bless_now(at(14s), fine));
  EXPECT_FALSE(judge.bless_now(at(14s), {}));
  EXPECT_FALSE(judge.bless_now(at(16s), fine)) << "it was not fine in between";
  EXPECT_FALSE(judge.bless_now(at(30s), fine));
  EXPECT_TRUE(judge.bless_now(at(31s), fine));
}

// ---- Views

TEST(Kmsg, records) {
  const auto line = parse_kmsg("30,339,5140900,-;steppe: ready; go\n SUBSYSTEM=x\n");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->level, 6);
  EXPECT_EQ(line->since_boot_us, 5140900);
  EXPECT_EQ(line->text, "steppe: ready; go");
  for (const char* text : {"", "6,1,2", "6,1;x", "a,1,2;x", "6,1,-2;x", ";"}) EXPECT_FALSE(parse_kmsg(text)) << text;
}

TEST(ProcessStats, names_may_hold_anything) {
  const auto stat = parse_process_stat("42 (a) R (b) S 7 42 42 0 -1 4194560 1 2 3 4 100 50 0 0 20 0 3 0 99 4096 11 0 0\n");
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->name, "a) R (b");
  EXPECT_EQ(stat->state, 'S');
  EXPECT_EQ(stat->parent, 7);
  EXPECT_EQ(stat->ticks, 150);
  EXPECT_EQ(stat->threads, 3);
  EXPECT_EQ(stat->resident_pages, 11);
  for (const char* text : {"", "42", "42 (x)", "42 (x) S 7", "x (x) S 7 42 42 0 -1 4194560 1 2 3 4 100 50 0 0 20 0 3 0 99 4096 11"}) EXPECT_FALSE(parse_process_stat(text)) << text;
}

TEST(LastLines, of_a_text) {
  using Lines = std::vector<std::string_view>;
  EXPECT_EQ(last_lines("a\nb\nc\n", 2, false), (Lines{"b", "c"}));
  EXPECT_EQ(last_lines("a\nb\nc", 9, false), (Lines{"a", "b", "c"}));
  EXPECT_EQ(last_lines("half\nb\n", 9, true), (Lines{"b"}));
  EXPECT_EQ(last_lines("a\n\nc\n", 9, false), (Lines{"a", "", "c"}));
  EXPECT_TRUE(last_lines("", 9, false).empty());
  EXPECT_TRUE(last_lines("half", 9, true).empty());
}

TEST_F(Place, disks_partitions_and_what_is_mounted) {
  for (const auto& [path, text] : std::initializer_list<std::pair<const char*, const char*>>{{"/sys/block/vda/size", "2048\n"},
                                                                                              {"/sys/block/vda/removable", "0\n"},
                                                                                              {"/sys/block/vda/queue/rotational", "1\n"},
                                                                                              {"/sys/block/vda/device/model", "Disk of glass  \n"},
                                                                                              {"/sys/block/vda/vda1/partition", "1\n"},
                                                                                              {"/sys/block/vda/vda1/size", "1024\n"},
                                                                                              {"/sys/block/vda/vda1/dev", "254:1\n"},
                                                                                              {"/sys/block/vda/vda1/uevent", "MAJOR=254\nPARTNAME=STEPPE-STATE\n"},
                                                                                              {"/sys/block/loop0/size", "5000\n"},
                                                                                              {"/sys/block/sr0/size", "0\n"},
                                                                                              {"/proc/self/mountinfo", "20 1 254:1 / /state rw - ext4 /dev/vda1 rw\n21 1 0:5 / /run rw - tmpfs tmpfs rw\n"}})
    put(path, text);
  MachineView view(root_);
  schema::MachineDisksReply disks;
  ASSERT_TRUE(view.disks(disks).ok());
  ASSERT_EQ(disks.disks_size(), 1);
  EXPECT_EQ(disks.disks(0).model(), "Disk of glass");
  EXPECT_EQ(disks.disks(0).size(), 2048u * 512);
  EXPECT_TRUE(disks.disks(0).rotational());
  ASSERT_EQ(disks.disks(0).partitions_size(), 1);
  EXPECT_EQ(disks.disks(0).partitions(0).label(), "STEPPE-STATE");
  EXPECT_EQ(disks.disks(0).partitions(0).mounted_on(), "/state");
  schema::MachineMountsReply mounts;
  ASSERT_TRUE(view.mounts(mounts).ok());
  ASSERT_EQ(mounts.mounts_size(), 2);
  EXPECT_EQ(mounts.mounts(0).type(), "ext4");
  EXPECT_TRUE(view.state_is_kept().value());
  put("/proc/self/mountinfo", "20 1 0:9 / /state rw - tmpfs tmpfs rw\n");
  EXPECT_FALSE(view.state_is_kept().value()) << "there is a partition for it";
  std::filesystem::remove_all(root_ + "/sys/block/vda");
  EXPECT_TRUE(view.state_is_kept().value()) << "a machine without one";
}

TEST_F(Place, logs_go_on_in_the_older_file) {
  MachineView view(root_);
  schema::MachineLogsReply reply;
  EXPECT_EQ(view.logs(0, reply).error().code(), Code::kNotFound);
  put("/var/log/steppe/services.log", "c\nd\n");
  put("/var/log/steppe/services.log.1", "a\nb\n");
  ASSERT_TRUE(view.logs(3, reply).ok());
  EXPECT_EQ(std::vector<std::string>(reply.lines().begin(), reply.lines().end()), (std::vector<std::string>{"b", "c", "d"}));
}

TEST(View, of_the_machine_that_runs_this) {
  MachineView view("");
  schema::MachineProcessesReply processes;
  ASSERT_TRUE(view.processes(processes).ok());
  bool self = false;
  for (const auto& process : processes.processes()) self = self || (process.pid() == ::getpid() && process.memory() > 0);
  EXPECT_TRUE(self);
  schema::MachineTimeReply time;
  EXPECT_TRUE(view.time(1, time).ok());
}

TEST_F(Place, info_is_what_the_image_says_of_itself) {
  put("/proc/meminfo", "MemTotal:        1000 kB\nMemAvailable:     400 kB\n");
  put("/proc/sys/kernel/hostname", "node-1\n");
  put("/proc/uptime", "12.5 3.1\n");
  put("/run/steppe/manifest", *upgrade::encode_manifest({.version = "1.2", .arch = "x86-64", .security_version = 4, .kernel = "6.12", .built_unix_s = 99}));
  MachineView view(root_);
  schema::MachineInfoReply reply;
  ASSERT_TRUE(view.info(reply).ok());
  EXPECT_EQ(reply.name(), "node-1");
  EXPECT_EQ(reply.version(), "1.2");
  EXPECT_EQ(reply.security_version(), 4u);
  EXPECT_EQ(reply.memory_total(), 1'024'000u);
  EXPECT_EQ(reply.memory_available(), 409'600u);
  EXPECT_EQ(reply.uptime_s(), 12);
  EXPECT_EQ(view.built_unix_s(), 99);
  EXPECT_EQ(reply.last_end(), "");
  const std::pair<const char*, const char*> ends[] = {{"orderly yes\nsteppe-end 1\nending reboot\nreason 1 asked for\nwhy drained\ntime 5\n", "reboot: asked for: drained"},
                                                      {"orderly yes\nending power-off\nreason 2 power button or hypervisor\nwhy \n", "power-off: power button or hypervisor"},
                                                      {"orderly no\n", "not in order: a power cut, a crash or a reset"},
                                                      {"orderly unknown\n", ""}};
  for (const auto& [record, text] : ends) {
    put("/run/steppe/last-end", record);
    ASSERT_TRUE(view.info(reply).ok());
    EXPECT_EQ(reply.last_end(), text);
  }
}

}  // namespace
}  // namespace steppe::machine_api
