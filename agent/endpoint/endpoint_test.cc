#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include <future>
#include <set>
#include <thread>

#include "agent/endpoint/dispatcher.h"
#include "agent/endpoint/route.h"
#include "agent/schema/rpc.pb.h"
#include "init/io/epoll_loop.h"
#include "init/io/scope.h"

namespace steppe::endpoint {
namespace {

using namespace std::chrono_literals;

// Two loops on two threads: the caller's, in the test's thread, and the handlers'.
class EndpointTest : public ::testing::Test {
 protected:
  EndpointTest() : home_(io::EpollLoop::create(1).value()), there_(io::EpollLoop::create(1).value()), thread_([this] { there_->run(); }) {}
  ~EndpointTest() override {
    there_->stop();
    thread_.join();
  }
  void run(io::Task<void> task) {
    bool finished = false;
    io::start_root(*home_, std::move(task), [&] {
      finished = true;
      home_->stop();
    });
    home_->run();
    EXPECT_TRUE(finished);
  }
  CallContext context(CertificateRole role = CertificateRole::kServer) {
    return {.home = home_.get(), .token = Secret("t"), .peer = {role, ""}, .deadline = io::Deadline::in(*home_, 10s)};
  }

  std::unique_ptr<io::EpollLoop> home_;
  std::unique_ptr<io::EpollLoop> there_;
  std::thread thread_;
};

class FixedResolver final : public Resolver {
 public:
  explicit FixedResolver(std::shared_ptr<const Identity> identity) : identity_(std::move(identity)) {}
  Outcome<std::shared_ptr<const Identity>> resolve(const Secret&) const override { return identity_; }

 private:
  std::shared_ptr<const Identity> identity_;
};

// Sets the namespace of a request's query or write.
void set_namespace(Message& request, const std::string& space) {
  for (const char* holder : {"query", "write"}) {
    const auto* field = request.GetDescriptor()->FindFieldByName(holder);
    if (field == nullptr) continue;
    Message* held = request.GetReflection()->MutableMessage(&request, field);
    held->GetReflection()->SetString(held, held->GetDescriptor()->FindFieldByName("namespace"), space);
  }
}

TEST(TableTest, NamesAreUniqueAndFindable) {
  std::set<std::string_view> names;
  for (const Row& row : rows()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_EQ(find_row(row.name), &row);
    EXPECT_NE(row.name.find('.'), std::string_view::npos) << row.name;
    EXPECT_GT(row.limits.body.count, 0U);
    EXPECT_GT(row.limits.in_flight, 0U);
  }
  EXPECT_EQ(find_row("Job.Nope"), nullptr);
}

// What a row's kind promises of its messages: a read has a query, a write has a write, a stream speaks StreamReply.
TEST(TableTest, MessagesFitTheirKind) {
  for (const Row& row : rows()) {
    const auto request = new_request(row.method);
    const auto reply = new_reply(row.method);
    if (row.kind == Kind::kRead) EXPECT_NE(request->GetDescriptor()->FindFieldByName("query"), nullptr) << row.name;
    if (row.kind == Kind::kWrite) EXPECT_NE(request->GetDescriptor()->FindFieldByName("write"), nullptr) << row.name;
    EXPECT_EQ(row.kind == Kind::kStream, reply->GetDescriptor() == schema::StreamReply::descriptor()) << row.name;
    if (row.source == NamespaceSource::kJob) EXPECT_NE(request->GetDescriptor()->FindFieldByName("job"), nullptr) << row.name;
  }
}

// Only these answer whom nobody knows.
TEST(TableTest, OpenRowsAreTheListedOnes) {
  const std::set<std::string_view> open = {"Status.Leader", "Status.Peers", "Status.Ping", "Region.List", "Agent.Health", "Agent.Metrics"};
  for (const Row& row : rows()) EXPECT_EQ(row.any_of.empty(), open.contains(row.name)) << row.name;
}

// Endpoint x identity, generated from the table: every method is called by every identity through the dispatcher, and the
// answer must be what the row alone says.
struct MatrixCase {
  const Row* row;
  std::string who;
  std::shared_ptr<const Identity> identity;
  std::string space;
  CertificateRole role;
  bool allowed;
};

std::vector<MatrixCase> matrix() {
  std::vector<MatrixCase> cases;
  for (const Row& row : rows()) {
    const bool open = row.any_of.empty();
    const bool spaced = row.source == NamespaceSource::kRequest || row.source == NamespaceSource::kJob;
    cases.push_back({&row, "management", management_identity("m"), "default", CertificateRole::kServer, true});
    cases.push_back({&row, "nobody", granted_identity("n", {}), "default", CertificateRole::kServer, open});
    for (unsigned i = 0; i < static_cast<unsigned>(Capability::kCount); ++i) {
      const auto capability = static_cast<Capability>(i);
      const bool has = row.any_of.has(capability) || capability == Capability::kManagement;
      const std::string where = namespaced(capability) ? "default" : "";
      auto identity = granted_identity("g", {{where, {capability}}});
      const std::string name(capability_name(capability));
      cases.push_back({&row, name, identity, "default", CertificateRole::kServer, open || has});
      cases.push_back({&row, name + " elsewhere", identity, "other", CertificateRole::kServer, open || (has && !(spaced && namespaced(capability)))});
      cases.push_back({&row, name + " everywhere", identity, "*", CertificateRole::kServer, open || has});
    }
    cases.push_back({&row, "client certificate", management_identity("m"), "default", CertificateRole::kClient, row.certificate <= CertificateRole::kClient});
    cases.push_back({&row, "no certificate", management_identity("m"), "default", CertificateRole::kAnyone, row.certificate == CertificateRole::kAnyone});
  }
  return cases;
}

io::Task<void> call_case(Dispatcher& dispatcher, const MatrixCase& at, CallContext context, int& mistakes) {
  const auto request = new_request(at.row->method);
  set_namespace(*request, at.space);
  // Nothing is registered: 501 is what the handler would have been reached with, 403 what stands before it.
  Outcome<> outcome;
  if (at.row->kind == Kind::kStream) {
    auto opened = co_await dispatcher.open(at.row->method, *request, std::move(context));
    if (!opened.ok()) outcome = std::move(opened).error();
  } else {
    auto reply = co_await dispatcher.call(at.row->method, *request, std::move(context));
    if (!reply.ok()) outcome = std::move(reply).error();
  }
  EXPECT_FALSE(outcome.ok());
  const int want = at.allowed ? 501 : 403;
  if (outcome.error().http_status() != want) {
    ++mistakes;
    ADD_FAILURE() << at.row->name << " by " << at.who << " in " << at.space << ": " << outcome.error().http_status() << " " << outcome.error().message();
  }
  if (!at.allowed) EXPECT_EQ(outcome.error().message(), "Permission denied");
}

TEST_F(EndpointTest, MatrixOfEveryMethodAndIdentity) {
  int mistakes = 0;
  size_t count = 0;
  for (const MatrixCase& at : matrix()) {
    FixedResolver resolver(at.identity);
    Dispatcher dispatcher(resolver, *home_);
    run(call_case(dispatcher, at, context(at.role), mistakes));
    if (mistakes > 5) break;
    ++count;
  }
  EXPECT_GT(count, rows().size() * 50);
}

io::Task<Outcome<>> get_job(const schema::JobSpecificRequest& request, const Call& call, schema::SingleJobReply& reply) {
  if (request.job_id() == "gone") co_return not_found("job");
  reply.mutable_job()->set_id(request.job_id());
  reply.mutable_job()->set_namespace_(call.space());
  co_return Outcome<>();
}

io::Task<void> check_typed_call(Dispatcher& dispatcher, CallContext context) {
  schema::JobSpecificRequest request;
  request.set_job_id("web");
  auto reply = co_await dispatcher.call<Method::kJobGetJob>(request, context);
  EXPECT_TRUE(reply.ok());
  EXPECT_EQ((*reply)->job().id(), "web");
  EXPECT_EQ((*reply)->job().namespace_(), "default");
  request.set_job_id("gone");
  reply = co_await dispatcher.call<Method::kJobGetJob>(request, context);
  EXPECT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().http_status(), 404);
  EXPECT_EQ(reply.error().message(), "job not found");
  request.set_job_id(std::string(70'000, 'x'));
  reply = co_await dispatcher.call<Method::kJobGetJob>(request, context);
  EXPECT_EQ(reply.error().http_status(), 413);
}

TEST_F(EndpointTest, TypedCallsCrossLoops) {
  const auto resolver = open_resolver();
  Dispatcher dispatcher(*resolver, *home_);
  dispatcher.add<Method::kJobGetJob>(*there_, get_job);
  EXPECT_TRUE(dispatcher.has(Method::kJobGetJob));
  run(check_typed_call(dispatcher, context()));
}

struct Sleeper {
  io::Loop* loop;
  io::Task<Outcome<>> operator()(const schema::JobSpecificRequest&, const Call& call, schema::SingleJobReply&) const {
    io::Event never(*loop);
    STEPPE_CO_TRY_VOID(co_await never.wait(call.deadline()));
    co_return Outcome<>();
  }
};
io::Task<void> stop_later(io::Loop& loop, std::stop_source& source) {
  co_await io::yield(loop);
  source.request_stop();
}
io::Task<void> check_stop(io::Loop& loop, Dispatcher& dispatcher, CallContext context) {
  std::stop_source source;
  context.deadline.stop = source.get_token();
  io::Scope scope(loop);
  scope.spawn(stop_later(loop, source));
  schema::JobSpecificRequest request;
  auto reply = co_await dispatcher.call<Method::kJobGetJob>(request, context);
  EXPECT_EQ(reply.error().code(), Code::kCancelled);
  co_await scope.join();
}
TEST_F(EndpointTest, StopOfTheCallerReachesTheHandlersLoop) {
  const auto resolver = open_resolver();
  Dispatcher dispatcher(*resolver, *home_);
  dispatcher.add<Method::kJobGetJob>(*there_, Sleeper{there_.get()});
  run(check_stop(*home_, dispatcher, context()));
}

io::Task<Outcome<>> collect_garbage(const schema::SystemRequest&, const Call&, schema::GenericReply&) { co_return Outcome<>(); }
io::Task<void> check_rate(Dispatcher& dispatcher, CallContext context) {
  schema::SystemRequest request;
  int refused = 0;
  for (int i = 0; i < 40; ++i) {
    auto reply = co_await dispatcher.call<Method::kSystemGarbageCollect>(request, context);
    if (!reply.ok()) {
      EXPECT_EQ(reply.error().http_status(), 429);
      ++refused;
    }
  }
  EXPECT_EQ(refused, 20);
}
class StillClock final : public Clock {
 public:
  MonoTime now() const override { return {1'000'000'000}; }
  WallTime wall() const override { return {}; }
};
TEST_F(EndpointTest, RatesAreLimited) {
  const auto resolver = open_resolver();
  const StillClock clock;
  Dispatcher dispatcher(*resolver, clock);
  dispatcher.add<Method::kSystemGarbageCollect>(*there_, collect_garbage);
  run(check_rate(dispatcher, context()));
}

// Counts to 100, echoing what it receives afterwards, until the caller finishes.
struct Counter {
  io::Task<Outcome<>> operator()(const schema::AllocExecRequest& request, const Call& call, Stream& stream) const {
    STEPPE_CO_TRY_VOID(call.authorise("default"));
    for (int i = 0; i < 100; ++i) {
      auto message = std::make_unique<schema::StreamReply>();
      message->set_payload(std::to_string(i));
      STEPPE_CO_TRY_VOID(co_await stream.send(std::move(message), call.deadline()));
    }
    while (true) {
      STEPPE_CO_TRY(auto message, co_await stream.receive(call.deadline()));
      if (!message) break;
      STEPPE_CO_TRY_VOID(co_await stream.send(std::move(message), call.deadline()));
    }
    if (request.alloc_id() == "bad") co_return not_found("alloc");
    co_return Outcome<>();
  }
};
io::Task<void> check_stream(Dispatcher& dispatcher, CallContext context, std::string alloc_id) {
  schema::AllocExecRequest request;
  request.set_alloc_id(alloc_id);
  auto opened = co_await dispatcher.open(Method::kAllocationsExec, request, context);
  EXPECT_TRUE(opened.ok());
  Stream& stream = **opened;
  for (int i = 0; i < 100; ++i) {
    auto message = co_await stream.receive(context.deadline);
    EXPECT_TRUE(message.ok() && *message != nullptr);
    EXPECT_EQ((*message)->payload(), std::to_string(i));
  }
  auto hello = std::make_unique<schema::StreamReply>();
  hello->set_payload("hello");
  Outcome<> sent = co_await stream.send(std::move(hello), context.deadline);
  EXPECT_TRUE(sent.ok());
  auto echo = co_await stream.receive(context.deadline);
  EXPECT_EQ((*echo)->payload(), "hello");
  stream.finish();
  auto end = co_await stream.receive(context.deadline);
  if (alloc_id == "bad") {
    EXPECT_EQ(end.error().http_status(), 404);
    end = co_await stream.receive(context.deadline);
  }
  EXPECT_TRUE(end.ok());
  EXPECT_EQ(*end, nullptr);
}
TEST_F(EndpointTest, StreamsCarryBothDirectionsAndTheEnd) {
  const auto resolver = open_resolver();
  Dispatcher dispatcher(*resolver, *home_);
  dispatcher.add_stream<Method::kAllocationsExec>(*there_, Counter{});
  run(check_stream(dispatcher, context(), "good"));
  run(check_stream(dispatcher, context(), "bad"));
  there_->stop();  // the handlers are gone before the dispatcher is
  thread_.join();
  thread_ = std::thread([this] { there_->run(); });
}

io::Task<void> abandon(Dispatcher& dispatcher, CallContext context) {
  schema::AllocExecRequest request;
  for (int i = 0; i < 20; ++i) {
    auto opened = co_await dispatcher.open(Method::kAllocationsExec, request, context);
    EXPECT_TRUE(opened.ok());
  }
}
TEST_F(EndpointTest, AbandonedStreamsEndTheirHandlers) {
  const auto resolver = open_resolver();
  Dispatcher dispatcher(*resolver, *home_);
  dispatcher.add_stream<Method::kAllocationsExec>(*there_, Counter{});
  run(abandon(dispatcher, context()));
  // Each handler needs a few turns of its loop to notice; the dispatcher asserts that none is left.
  for (int turn = 0; turn < 20; ++turn) {
    std::promise<void> turned;
    there_->post([&] { turned.set_value(); });
    turned.get_future().wait();
  }
}

// ---- Routes ----

struct RouteCase {
  Verb verb;
  std::string_view path;
  std::string_view method;  // "": bare 404; "405"; "501": not of this edition; "unserved"
  std::string_view parameter = "";
};
constexpr RouteCase kRouteCases[] = {
    {Verb::kGet, "/v1/jobs", "Job.List"},
    {Verb::kPost, "/v1/jobs", "Job.Register"},
    {Verb::kPut, "/v1/jobs", "Job.Register"},
    {Verb::kDelete, "/v1/jobs", "405"},
    {Verb::kPut, "/v1/jobs/parse", "Job.Parse"},
    {Verb::kGet, "/v1/job/web", "Job.GetJob", "web"},
    {Verb::kDelete, "/v1/job/web", "Job.Deregister", "web"},
    {Verb::kGet, "/v1/job/a/b/c", "Job.GetJob", "a/b/c"},
    {Verb::kGet, "/v1/job/a/b/allocations", "Job.Allocations", "a/b"},
    {Verb::kGet, "/v1/job/x/plan", "405", "x"},
    {Verb::kPost, "/v1/job/x/plan", "Job.Plan", "x"},
    {Verb::kPost, "/v1/job/x/periodic/force", "Periodic.Force", "x"},
    {Verb::kPut, "/v1/job/x/dispatch", "unserved"},
    {Verb::kPost, "/v1/job/a/b/dispatch/payload", "unserved"},
    {Verb::kGet, "/v1/job/x/scale", "unserved"},
    {Verb::kPut, "/v1/job/dispatch", "Job.Register", "dispatch"},
    {Verb::kGet, "/v1/job/plan", "Job.GetJob", "plan"},
    {Verb::kGet, "/v1/job/", ""},
    {Verb::kGet, "/v1/node/n1", "Node.GetNode", "n1"},
    {Verb::kGet, "/v1/node/n1/nothing", ""},
    {Verb::kPost, "/v1/node/n1/purge", "Node.Deregister", "n1"},
    {Verb::kGet, "/v1/evaluations/count", "Eval.Count"},
    {Verb::kGet, "/v1/deployment/allocations/d1", "Deployment.Allocations", "d1"},
    {Verb::kGet, "/v1/deployment/d1", "Deployment.GetDeployment", "d1"},
    {Verb::kGet, "/v1/client/fs/logs/a1", "FileSystem.Logs", "a1"},
    {Verb::kPost, "/v1/system/gc", "405"},
    {Verb::kPut, "/v1/system/gc", "System.GarbageCollect"},
    {Verb::kGet, "/v1/quotas", "501"},
    {Verb::kGet, "/v1/quota/x", "501"},
    {Verb::kGet, "/v1/nope", ""},
    {Verb::kGet, "/v1/jobsx", ""},
};
TEST(RouteTest, PathsFindTheirMethod) {
  for (const RouteCase& at : kRouteCases) {
    const RouteMatch match = match_route(at.verb, at.path);
    const std::string_view got = match.route != nullptr ? row(match.route->method).name : match.wrong_verb ? "405" : match.enterprise ? "501" : match.unserved ? "unserved" : "";
    EXPECT_EQ(got, at.method) << at.path;
    if (match.route != nullptr && !at.parameter.empty()) {
      ASSERT_EQ(match.parameters.size(), 1U) << at.path;
      EXPECT_EQ(match.parameters[0].value, at.parameter);
    }
  }
}

// Follows a dotted path of field names.
const google::protobuf::FieldDescriptor* field_at(const google::protobuf::Descriptor* type, std::string_view path) {
  const size_t dot = path.find('.');
  const auto* field = type->FindFieldByName(std::string(path.substr(0, dot)));
  if (field == nullptr || dot == std::string_view::npos) return field;
  return field->message_type() == nullptr ? nullptr : field_at(field->message_type(), path.substr(dot + 1));
}

// What a route names must exist in its method's messages, and every method but those of the node protocol has a route.
TEST(RouteTest, RoutesNameRealFields) {
  std::set<std::string_view> served;
  for (const HttpRoute& route : http_routes()) {
    const Row& at = row(route.method);
    served.insert(at.name);
    const auto request = new_request(route.method);
    const auto reply = new_reply(route.method);
    const Verb verb = route.verbs.has(Verb::kGet) ? Verb::kGet : route.verbs.has(Verb::kPut) ? Verb::kPut : Verb::kDelete;
    const RouteMatch match = match_route(verb, route.pattern);
    ASSERT_EQ(match.route, &route) << route.pattern;
    for (const Parameter& parameter : match.parameters) {
      const bool filled = request->GetDescriptor()->FindFieldByName(std::string(parameter.name)) != nullptr;
      EXPECT_TRUE(filled || !route.same.empty()) << route.pattern << " " << parameter.name;
    }
    for (const auto& [name, field] : query_fields(route)) EXPECT_NE(field_at(request->GetDescriptor(), field), nullptr) << route.pattern << " " << field;
    if (route.shape == ResponseShape::kField) EXPECT_NE(field_at(reply->GetDescriptor(), route.field), nullptr) << route.pattern;
    if (!route.same.empty()) EXPECT_NE(field_at(request->GetDescriptor(), route.same), nullptr) << route.pattern;
    const bool streams = route.shape == ResponseShape::kFrames || route.shape == ResponseShape::kBytes || route.shape == ResponseShape::kWebSocket;
    EXPECT_EQ(streams, at.kind == Kind::kStream) << route.pattern;
  }
  for (const Row& at : rows()) {
    const bool internal = at.any_of.has(Capability::kNodeSelf) || at.name == "Status.Ping";
    EXPECT_TRUE(internal || served.contains(at.name)) << at.name;
  }
}

}  // namespace
}  // namespace steppe::endpoint
