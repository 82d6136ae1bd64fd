#include "agent/schema/codec.h"

#include <google/protobuf/util/message_differencer.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "agent/schema/agent.pb.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/log.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/options.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/schema/rpc.pb.h"
#include "agent/schema/stats.pb.h"
#include "agent/schema/shape.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "init/base/rng.h"

namespace steppe::schema {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::util::MessageDifferencer;
using ::testing::HasSubstr;

template <class T>
T read(std::string_view text, const ReadOptions& options = {}) {
  T message;
  auto result = read_json(text, &message, options);
  EXPECT_TRUE(result.ok()) << result.error().message();
  return message;
}

template <class T>
std::string refusal(std::string_view text, const ReadOptions& options = {}) {
  T message;
  auto result = read_json(text, &message, options);
  return result.ok() ? "accepted" : result.error().message();
}

TEST(Codec, PrintsGoShapes) {
  Port port;
  port.set_label("http");
  port.set_value(8080);
  EXPECT_EQ(write_json(port), R"({"Label":"http","Value":8080,"To":0,"HostNetwork":"","IgnoreCollision":false})");

  // Pointers: absent is null, a set zero is the zero.
  EphemeralDisk disk;
  EXPECT_EQ(write_json(disk), R"({"Sticky":null,"SizeMB":null,"Migrate":null})");
  disk.set_sticky(false);
  disk.set_size_mb(0);
  EXPECT_EQ(write_json(disk), R"({"Sticky":false,"SizeMB":0,"Migrate":null})");
}

TEST(Codec, EmptyCollections) {
  // null by default, [] where the API promises a list, left out where Go omits.
  EXPECT_EQ(write_json(DNSConfig()), R"({"Servers":null,"Searches":null,"Options":null})");
  JobListReply reply;
  reply.mutable_meta()->set_index(7);
  EXPECT_EQ(write_json(reply), R"({"Index":7,"LastContact":0,"KnownLeader":false,"NextToken":"","Jobs":[]})");
  EXPECT_EQ(write_json(CSIMountOptions()), "{}");
  EXPECT_EQ(write_json(StreamFrame()), "{}");
}

TEST(Codec, MapsAreSortedAndNullable) {
  AllocatedResources resources;
  auto& lifecycles = *resources.mutable_task_lifecycles();
  lifecycles["web"];
  lifecycles["init"].set_hook("prestart");
  EXPECT_EQ(write_json(resources),
            R"({"Tasks":null,"TaskLifecycles":{"init":{"Hook":"prestart","Sidecar":false},"web":null},)"
            R"("Shared":{"Networks":null,"DiskMB":0,"Ports":null}})");
  const auto back = read<AllocatedResources>(write_json(resources));
  EXPECT_EQ(back.task_lifecycles().size(), 2u);
  EXPECT_EQ(back.task_lifecycles().at("web").hook(), "");
}

TEST(Codec, TimesAndBytes) {
  TaskState state;
  state.set_state("running");
  state.set_started_at(1'500'000'000);
  EXPECT_EQ(write_json(state),
            R"({"State":"running","Failed":false,"Restarts":0,"LastRestart":"0001-01-01T00:00:00Z",)"
            R"("StartedAt":"1970-01-01T00:00:01.5Z","FinishedAt":"0001-01-01T00:00:00Z","Events":null,"Paused":""})");
  EXPECT_TRUE(MessageDifferencer::Equals(read<TaskState>(write_json(state)), state));

  StreamFrame frame;
  frame.set_data(std::string("\0\xff", 2));
  EXPECT_EQ(write_json(frame), R"({"Data":"AP8="})");
  EXPECT_EQ(read<StreamFrame>(R"({"Data":"AP8="})").data(), std::string("\0\xff", 2));
  EXPECT_EQ(refusal<StreamFrame>(R"({"Data":"A"})").substr(0, 24), "line 1, column 9: Data: ");
}

TEST(Codec, Redacts) {
  Node node;
  node.set_secret_id("b3f1");
  EXPECT_THAT(write_json(node), HasSubstr(R"("SecretID":"")"));
  EXPECT_THAT(write_json(node), Not(HasSubstr("b3f1")));
  EXPECT_THAT(write_json(node, {.redact = false}), HasSubstr(R"("SecretID":"b3f1")"));
}

TEST(Codec, FlattensEmbeddedStructs) {
  const auto request = read<JobRegisterRequest>(
      R"({"Job":{"ID":"web"},"Region":"eu","AuthToken":"t","EnforceIndex":true,"JobModifyIndex":18446744073709551615})");
  EXPECT_EQ(request.write().region(), "eu");
  EXPECT_EQ(request.write().auth_token(), "t");
  EXPECT_EQ(request.job().id(), "web");
  EXPECT_TRUE(request.enforce_index());
  EXPECT_EQ(request.job_modify_index(), std::numeric_limits<uint64_t>::max());
}

TEST(Codec, KeysMatchInAnyCase) {
  const auto job = read<Job>(R"({"id":"a","TYPE":"batch","taskgroups":[{"name":"g","COUNT":3}],"Nonsense":{"x":[1]}})");
  EXPECT_EQ(job.id(), "a");
  EXPECT_EQ(job.type(), "batch");
  EXPECT_EQ(job.task_groups(0).count(), 3);
  EXPECT_EQ(refusal<Job>(R"({"ID":"a","Nonsense":1})", {.unknown_keys = UnknownKeys::kReject}),
            "line 1, column 11: unknown key \"Nonsense\"");
}

TEST(Codec, NullIsAbsentAndTheLastKeyCounts) {
  const auto job = read<Job>(R"({"ID":"a","Priority":null,"Update":{"Canary":1},"Update":{"MaxParallel":2},
                                 "Datacenters":["x","y"],"Datacenters":["z"],"Meta":{"a":"1","a":"2"},"Periodic":null})");
  EXPECT_FALSE(job.has_priority());
  EXPECT_FALSE(job.update().has_canary());
  EXPECT_EQ(job.update().max_parallel(), 2);
  ASSERT_EQ(job.datacenters_size(), 1);
  EXPECT_EQ(job.datacenters(0), "z");
  EXPECT_EQ(job.meta().at("a"), "2");
  EXPECT_FALSE(job.has_periodic());
  EXPECT_TRUE(MessageDifferencer::Equals(read<Job>("null"), Job()));
}

TEST(Codec, AnyJsonValue) {
  const std::string text =
      R"({"args":["-c","x"],"big":9007199254740993,"deep":{"a":[1,{"b":null}]},"flag":true,"pi":3.25,"text":"é"})";
  const auto task = read<Task>(R"({"Name":"t","Config":)" + text + "}");
  EXPECT_EQ(task.config().at("args").list().items(1).text(), "x");
  EXPECT_EQ(task.config().at("big").integer(), 9007199254740993);
  EXPECT_THAT(write_json(task), HasSubstr(R"("Config":)" + text));

  // As deep as the limit says; what is read can be parsed again from its bytes, in the deepest place it can stand in.
  const auto nested = [](size_t depth) {
    std::string value;
    for (size_t i = 0; i < depth; ++i) value += "{\"k\":";
    return R"({"TaskGroups":[{"Tasks":[{"Config":{"c":)" + value + "1" + std::string(depth, '}') + "}}]}]}";
  };
  LogPlanApply plan;
  *plan.add_allocs_updated()->mutable_job() = read<Job>(nested(kMaxValueDepth));
  EXPECT_TRUE(LogPlanApply().ParseFromString(plan.SerializeAsString()));
  EXPECT_THAT(refusal<Job>(nested(kMaxValueDepth + 1)), HasSubstr("nested deeper than the limit"));
}

TEST(Codec, ListsInMaps) {
  const auto check = read<ServiceCheck>(R"({"Header":{"B":["1","2"],"A":[]}})");
  EXPECT_EQ(check.header().at("B").items(1), "2");
  EXPECT_THAT(write_json(check), HasSubstr(R"("Header":{"A":null,"B":["1","2"]})"));
}

TEST(Codec, ErrorsNamePlaceAndPath) {
  const std::vector<std::pair<std::string, std::string>> table = {
      {"{\"Job\":{\"TaskGroups\":[{},\n{\"Count\":\"3\"}]}}",
       "line 2, column 10: Job.TaskGroups[1].Count: expected an integer, found a string"},
      {R"({"Job":{"Priority":1.5}})", "line 1, column 20: Job.Priority: expected an integer of 64 bits, found 1.5"},
      {R"({"Job":{"Priority":9223372036854775808}})",
       "line 1, column 20: Job.Priority: expected an integer of 64 bits, found 9223372036854775808"},
      {R"({"Job":{"Version":-1}})", "line 1, column 19: Job.Version: expected an integer from 0 on, found -1"},
      {R"({"Job":{"ID":7}})", "line 1, column 14: Job.ID: expected a string, found a number"},
      {R"({"Job":{"Stop":"yes"}})", "line 1, column 16: Job.Stop: expected true or false, found a string"},
      {R"({"Job":[]})", "line 1, column 8: Job: expected an object, found an array"},
      {R"({"Job":{"Meta":{"k":1}}})", "line 1, column 21: Job.Meta.k: expected a string, found a number"},
      {R"({"Job":{"Datacenters":"dc1"}})", "line 1, column 23: Job.Datacenters: expected an array, found a string"},
      {R"({"Job":{"Datacenters":["dc1",2]}})", "line 1, column 30: Job.Datacenters[1]: expected a string, found a number"},
      {R"({"Job":{"TaskGroups":[{"ShutdownDelay":"5s"}]}})",
       "line 1, column 40: Job.TaskGroups[0].ShutdownDelay: expected a duration in nanoseconds, an integer, found a string"},
      {R"({"Job":{"Meta":{"k":"v"})", "line 1, column 25: Job: expected ',' or '}' after a value, found the end of the text"},
      {R"([])", "line 1, column 1: expected an object, found an array"},
      {R"({"Job":null} x)", "line 1, column 14: expected nothing after the value, found 'x'"},
      {"", "line 1, column 1: expected a value, found the end of the text"},
  };
  for (const auto& [text, message] : table) EXPECT_EQ(refusal<JobRegisterRequest>(text), message) << text;
}

TEST(Codec, HasLimits) {
  std::string many = R"({"TaskGroups":[{})";
  for (int i = 0; i < 100; ++i) many += ",{}";
  many += "]}";
  Job job;
  EXPECT_TRUE(read_json(many, &job, {.max_objects = 102}).ok());
  auto result = read_json(many, &job, {.max_objects = 101});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), Code::kExhausted);
  EXPECT_THAT(result.error().message(), HasSubstr("TaskGroups[100]: more objects than the limit"));
  result = read_json(many, &job, {.max_bytes = 100});
  EXPECT_EQ(result.error().code(), Code::kExhausted);
  const std::string deep = R"({"X":)" + std::string(100000, '[');
  EXPECT_EQ(read_json(deep, &job).error().code(), Code::kExhausted);
}

TEST(Codec, Pretty) {
  JobUILink link;
  link.set_label("a");
  EXPECT_EQ(write_json(link, {.style = json::Style::kPretty}), "{\n    \"Label\": \"a\",\n    \"Url\": \"\"\n}");
}

// ---- the whole catalogue ----

std::vector<const Descriptor*> catalogue() {
  std::vector<const Descriptor*> all;
  for (const auto* file : {Job::descriptor()->file(), Node::descriptor()->file(), Allocation::descriptor()->file(),
                           Plan::descriptor()->file(), HostStats::descriptor()->file(),
                           QueryOptions::descriptor()->file(), AgentRequest::descriptor()->file(),
                           LogNoop::descriptor()->file()}) {
    for (int i = 0; i < file->message_type_count(); ++i) all.push_back(file->message_type(i));
  }
  return all;
}

// Sets every field, with lists and maps of two; the same for the same generator state.
void fill(Message* message, SeededRng& rng, int depth) {
  const auto* reflection = message->GetReflection();
  const Descriptor* descriptor = message->GetDescriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    if (field->containing_oneof() != nullptr && !field->has_optional_keyword()) {
      if (field->name() != "text") continue;
    }
    const bool nested = field->type() == FieldDescriptor::TYPE_MESSAGE;
    // A Value always says which: none and null print the same.
    if (nested && depth == 0 && field->message_type() != Value::descriptor()) continue;
    const int rounds = field->is_repeated() ? 2 : 1;
    for (int round = 0; round < rounds; ++round) {
      const uint64_t number = 1 + rng.below(1'000'000'000);
      const std::string text = std::to_string(number) + "ü\n";
      const bool many = field->is_repeated();
      switch (field->type()) {
        case FieldDescriptor::TYPE_BOOL:
          many ? reflection->AddBool(message, field, true) : reflection->SetBool(message, field, true);
          break;
        case FieldDescriptor::TYPE_INT32: reflection->SetInt32(message, field, static_cast<int32_t>(number)); break;
        case FieldDescriptor::TYPE_UINT32: reflection->SetUInt32(message, field, static_cast<uint32_t>(number)); break;
        case FieldDescriptor::TYPE_INT64:
          many ? reflection->AddInt64(message, field, -static_cast<int64_t>(number))
               : reflection->SetInt64(message, field, static_cast<int64_t>(number));
          break;
        case FieldDescriptor::TYPE_UINT64:
          many ? reflection->AddUInt64(message, field, number) : reflection->SetUInt64(message, field, number);
          break;
        case FieldDescriptor::TYPE_DOUBLE:
          many ? reflection->AddDouble(message, field, static_cast<double>(number) / 3)
               : reflection->SetDouble(message, field, static_cast<double>(number) / 3);
          break;
        case FieldDescriptor::TYPE_STRING:
          if (field->options().GetExtension(raw_json)) {
            reflection->SetString(message, field, R"({"a":[1,2]})");
          } else if (many) {
            reflection->AddString(message, field, text);
          } else {
            reflection->SetString(message, field, text);
          }
          break;
        case FieldDescriptor::TYPE_BYTES: reflection->SetString(message, field, text); break;
        default:
          fill(many ? reflection->AddMessage(message, field) : reflection->MutableMessage(message, field), rng, depth - 1);
      }
    }
  }
}

TEST(Codec, EveryMessageReadsBackTheSame) {
  SeededRng rng(11);
  auto* factory = google::protobuf::MessageFactory::generated_factory();
  size_t checked = 0;
  for (const Descriptor* descriptor : catalogue()) {
    std::unique_ptr<Message> message(factory->GetPrototype(descriptor)->New());
    fill(message.get(), rng, 4);
    const std::string text = write_json(*message, {.redact = false});
    std::unique_ptr<Message> back(message->New());
    const auto result = read_json(text, back.get(), {.unknown_keys = UnknownKeys::kReject});
    ASSERT_TRUE(result.ok()) << descriptor->name() << ": " << result.error().message();
    // An unset struct that Go holds by value comes back as a set one of zeros: equivalent, not equal.
    MessageDifferencer differencer;
    differencer.set_message_field_comparison(MessageDifferencer::EQUIVALENT);
    std::string difference;
    differencer.ReportDifferencesToString(&difference);
    EXPECT_TRUE(differencer.Compare(*message, *back)) << descriptor->name() << ": " << difference;
    EXPECT_TRUE(write_json(*back, {.redact = false}) == text) << descriptor->name();
    ++checked;
  }
  EXPECT_GT(checked, 200u);
}

TEST(Codec, NoTwoFieldsOfAMessageShareAKey) {
  for (const Descriptor* descriptor : catalogue()) {
    const auto& shape = shape::shape_of(descriptor);
    for (const auto& field : shape.fields) {
      EXPECT_EQ(shape.find(field.name, SIZE_MAX), &field) << descriptor->name() << "." << field.name;
    }
  }
}

TEST(Codec, EveryLogCommandNamesItsVersionAndHasAType) {
  const auto* file = LogNoop::descriptor()->file();
  int commands = 0;
  for (int i = 0; i < file->message_type_count(); ++i) {
    const Descriptor* descriptor = file->message_type(i);
    const auto since = descriptor->options().GetExtension(log_since);
    EXPECT_EQ(since > 0, descriptor->name().starts_with("Log")) << descriptor->name();
    commands += since > 0;
  }
  EXPECT_EQ(commands, LogType_descriptor()->value_count());
}

// Cut, and changed in one byte: refused or read, never more.
TEST(Codec, SurvivesDamage) {
  SeededRng rng(3);
  Job job;
  fill(&job, rng, 1);
  const std::string text = write_json(job);
  Job out;
  for (size_t cut = 0; cut < text.size(); cut += 13) EXPECT_FALSE(read_json(text.substr(0, cut), &out).ok());
  size_t refused = 0;
  for (int round = 0; round < 1000; ++round) {
    std::string damaged = text;
    damaged[rng.below(damaged.size())] = static_cast<char>(rng.below(256));
    refused += !read_json(damaged, &out).ok();
  }
  EXPECT_GT(refused, 200u);
}

}  // namespace
}  // namespace steppe::schema
