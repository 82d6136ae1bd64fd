// The numbers that stand on disk and on the wire. wire.golden lists every field as "Message number type name"; a line of
// it may never change or go, new fields and messages are added to it. To add them: run the test with
// STEPPE_WRITE_GOLDEN=1 in the environment.
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "agent/schema/agent.pb.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/log.pb.h"
#include "agent/schema/machine.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/schema/rpc.pb.h"
#include "agent/schema/stats.pb.h"
#include "agent/schema/value.pb.h"
#include "gtest/gtest.h"

namespace steppe::schema {
namespace {

constexpr const char* kGolden = "agent/schema/wire.golden";

std::vector<std::string> lines() {
  std::vector<std::string> out;
  for (const auto* file : {Value::descriptor()->file(), Job::descriptor()->file(), Node::descriptor()->file(),
                           Allocation::descriptor()->file(), Plan::descriptor()->file(), HostStats::descriptor()->file(),
                           QueryOptions::descriptor()->file(), AgentRequest::descriptor()->file(),
                           LogNoop::descriptor()->file(), MachineRequest::descriptor()->file()}) {
    for (int i = 0; i < file->message_type_count(); ++i) {
      const auto* message = file->message_type(i);
      for (int j = 0; j < message->field_count(); ++j) {
        const auto* field = message->field(j);
        std::string type = field->type_name();
        if (field->message_type() != nullptr) type = field->message_type()->name();
        if (field->is_map()) {
          const auto* value = field->message_type()->map_value();
          type = "map<" + (value->message_type() != nullptr ? value->message_type()->name() : value->type_name()) + ">";
        } else if (field->is_repeated()) {
          type += "*";
        }
        out.push_back(message->name() + " " + std::to_string(field->number()) + " " + type + " " + field->name());
      }
    }
    for (int i = 0; i < file->enum_type_count(); ++i) {
      const auto* type = file->enum_type(i);
      for (int j = 0; j < type->value_count(); ++j) {
        out.push_back(type->name() + " " + std::to_string(type->value(j)->number()) + " " + type->value(j)->name());
      }
    }
  }
  return out;
}

TEST(Wire, NoNumberChangesItsMeaning) {
  const std::vector<std::string> now = lines();
  if (std::getenv("STEPPE_WRITE_GOLDEN") != nullptr) {
    std::ofstream file(kGolden);
    for (const std::string& line : now) file << line << "\n";
  }
  std::ifstream file(kGolden);
  ASSERT_TRUE(file.good()) << "run from the root of the sources: " << kGolden << " is not here";
  const std::set<std::string> present(now.begin(), now.end());
  std::set<std::string> golden;
  for (std::string line; std::getline(file, line);) {
    EXPECT_TRUE(present.contains(line)) << "changed or gone: " << line;
    golden.insert(line);
  }
  for (const std::string& line : now) EXPECT_TRUE(golden.contains(line)) << "not in " << kGolden << " yet: " << line;
  EXPECT_GT(golden.size(), 1000u);
}

// Bytes of a log command as the first release wrote them.
TEST(Wire, AnOldCommandStillReads) {
  const std::string bytes("\x0a\x07"
                          "default"
                          "\x12\x03"
                          "web"
                          "\x18\x07\x20\x01",
                          18);
  LogJobStability command;
  ASSERT_TRUE(command.ParseFromString(bytes));
  EXPECT_EQ(command.namespace_(), "default");
  EXPECT_EQ(command.job_id(), "web");
  EXPECT_EQ(command.job_version(), 7u);
  EXPECT_TRUE(command.stable());
  EXPECT_EQ(command.SerializeAsString(), bytes);
}

}  // namespace
}  // namespace steppe::schema
