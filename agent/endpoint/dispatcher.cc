#include "agent/endpoint/dispatcher.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <format>
#include <optional>
#include <stop_token>
#include <utility>

#include "agent/endpoint/stream_pipe.h"
#include "agent/schema/rpc.pb.h"
#include "init/base/assert.h"
#include "init/io/scope.h"

namespace steppe::endpoint {
namespace {

constexpr std::string_view kDefaultNamespace = "default";
constexpr std::string_view kAllNamespaces = "*";

// Tokens that refill at `per_second` and hold one second's worth.
class Bucket {
 public:
  bool take(uint32_t per_second, MonoTime now) {
    const std::lock_guard lock(mutex_);
    if (!started_) {
      started_ = true;
      tokens_ = per_second;
    } else {
      const double refill = std::chrono::duration<double>(now - last_).count() * per_second;
      tokens_ = std::min<double>(per_second, tokens_ + refill);
    }
    last_ = now;
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  std::mutex mutex_;
  bool started_ = false;
  double tokens_ = 0;
  MonoTime last_;
};

// The text field `name` of the message field `holder`; empty when either is missing.
std::string text_of(const Message& message, std::string_view holder, std::string_view name) {
  const auto* field = message.GetDescriptor()->FindFieldByName(std::string(holder));
  if (field == nullptr || field->message_type() == nullptr || field->is_repeated()) return {};
  const Message& held = message.GetReflection()->GetMessage(message, field);
  const auto* text = held.GetDescriptor()->FindFieldByName(std::string(name));
  if (text == nullptr || text->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_STRING || text->is_repeated()) return {};
  return held.GetReflection()->GetString(held, text);
}

}  // namespace

// One method's handler and its counters.
struct Dispatcher::Slot {
  const Row* row = nullptr;
  io::Loop* loop = nullptr;
  Handler handler;
  StreamHandler stream_handler;
  std::atomic<uint32_t> in_flight = 0;
  Bucket bucket;
};

namespace {

// One request that counts against its row's in_flight until it is gone.
class InFlight {
 public:
  explicit InFlight(std::atomic<uint32_t>& counter) : counter_(&counter) {}
  InFlight(InFlight&& other) noexcept : counter_(std::exchange(other.counter_, nullptr)) {}
  ~InFlight() {
    if (counter_ != nullptr) counter_->fetch_sub(1);
  }

 private:
  std::atomic<uint32_t>* counter_;
};

// The caller's deadline as the handler's loop may use it: a stop asked on the caller's thread arrives there as a message.
class DeadlineBridge {
 public:
  DeadlineBridge(io::Loop& home, io::Loop& there, io::Deadline deadline) : deadline_(std::move(deadline)) {
    if (&home == &there || !deadline_.stop.stop_possible()) return;
    auto source = std::make_shared<std::stop_source>();
    io::Loop* loop = &there;
    callback_.emplace(deadline_.stop, [source, loop] { loop->post([source] { source->request_stop(); }); });
    deadline_.stop = source->get_token();
  }
  const io::Deadline& deadline() const { return deadline_; }

 private:
  io::Deadline deadline_;
  std::optional<std::stop_callback<std::function<void()>>> callback_;
};

}  // namespace

bool authorised(const Row& row, const Identity& identity, std::string_view space) {
  if (row.any_of.empty()) return true;
  for (unsigned i = 0; i < static_cast<unsigned>(Capability::kCount); ++i) {
    const auto capability = static_cast<Capability>(i);
    if (!row.any_of.has(capability)) continue;
    const bool somewhere = namespaced(capability) && (space.empty() || space == kAllNamespaces);
    if (somewhere ? identity.allows_somewhere(capability) : identity.allows(capability, space)) return true;
  }
  return identity.allows(Capability::kManagement, {});
}

std::string request_space(const Row& row, const Message& request) {
  if (row.source == NamespaceSource::kNone || row.source == NamespaceSource::kObject) return {};
  std::string space = text_of(request, "query", "namespace");
  if (space.empty()) space = text_of(request, "write", "namespace");
  if (space.empty() && row.source == NamespaceSource::kJob) space = text_of(request, "job", "namespace");
  if (space.empty()) space = kDefaultNamespace;
  return space;
}

bool Call::allows(std::string_view space) const {
  checked_ = true;
  return authorised(row_, *identity_, space);
}

Outcome<> Call::authorise(std::string_view space) const {
  if (!allows(space)) return permission_denied();
  return {};
}

Dispatcher::Dispatcher(const Resolver& resolver, const Clock& clock) : resolver_(resolver), clock_(clock) {
  for (const Row& row : rows()) {
    auto slot = std::make_unique<Slot>();
    slot->row = &row;
    slots_[static_cast<size_t>(row.method)] = std::move(slot);
  }
}
Dispatcher::~Dispatcher() {
  for (const auto& slot : slots_) STEPPE_ASSERT(slot->in_flight == 0);
}

Dispatcher::Slot& Dispatcher::slot(Method method) const {
  STEPPE_ASSERT(method < Method::kCount);
  return *slots_[static_cast<size_t>(method)];
}

bool Dispatcher::has(Method method) const { return slot(method).loop != nullptr; }

void Dispatcher::add_handler(Method method, io::Loop& loop, Handler handler) {
  Slot& at = slot(method);
  STEPPE_ASSERT(at.loop == nullptr);
  STEPPE_ASSERT(at.row->kind != Kind::kStream);
  at.loop = &loop;
  at.handler = std::move(handler);
}

void Dispatcher::add_stream_handler(Method method, io::Loop& loop, StreamHandler handler) {
  Slot& at = slot(method);
  STEPPE_ASSERT(at.loop == nullptr);
  STEPPE_ASSERT(at.row->kind == Kind::kStream);
  at.loop = &loop;
  at.stream_handler = std::move(handler);
}

Outcome<std::unique_ptr<Call>> Dispatcher::admit(Slot& slot, const Message& request, const CallContext& context, io::Deadline deadline) {
  const Row& row = *slot.row;
  if (context.peer.role < row.certificate) return permission_denied();
  if (request.ByteSizeLong() > row.limits.body.count) {
    return too_large(std::format("{} request is larger than {} bytes", row.name, row.limits.body.count));
  }
  if (row.limits.per_second != 0 && !slot.bucket.take(row.limits.per_second, clock_.now())) {
    return too_many(std::format("{} is called more than {} times a second", row.name, row.limits.per_second));
  }
  auto identity = resolver_.resolve(context.token);
  if (!identity.ok()) return std::move(identity).error();
  std::string space = request_space(row, request);
  if (!authorised(row, **identity, space)) return permission_denied();
  // Last: whether a method is served is nobody's business who may not call it.
  if (slot.loop == nullptr) return Failure(501, Code::kUnsupported, std::format("{} is not served by this agent", row.name));
  return std::make_unique<Call>(row, *std::move(identity), std::move(space), std::move(deadline));
}

namespace {

io::Task<Outcome<>> run_handler(Dispatcher::Handler& handler, const Message& request, const Call& call, Message& reply) {
  co_return co_await handler(request, call, reply);
}

}  // namespace

io::Task<Outcome<std::unique_ptr<Message>>> Dispatcher::call(Method method, const Message& request, CallContext context) {
  STEPPE_ASSERT(context.home != nullptr);
  Slot& at = slot(method);
  STEPPE_ASSERT(at.row->kind != Kind::kStream);
  const uint32_t before = at.in_flight.fetch_add(1);
  InFlight counted(at.in_flight);
  if (before >= at.row->limits.in_flight) co_return too_many(std::format("more than {} calls of {} at once", at.row->limits.in_flight, at.row->name));
  io::Loop& there = at.loop == nullptr ? *context.home : *at.loop;
  DeadlineBridge bridge(*context.home, there, context.deadline);
  auto admitted = admit(at, request, context, bridge.deadline());
  if (!admitted.ok()) co_return std::move(admitted).error();
  const Call& call = **admitted;
  std::unique_ptr<Message> reply = new_reply(method);
  Outcome<> done = co_await io::call_on(there, *context.home, run_handler(at.handler, request, call, *reply));
  if (!done.ok()) co_return std::move(done).error();
  // A handler that answered about an object without asking for its namespace would leak it.
  STEPPE_ASSERT(at.row->source != NamespaceSource::kObject || call.checked());
  co_return reply;
}

namespace {

// What a stream's handler lives on; it is freed on the handler's loop when the handler returns.
struct Conversation {
  std::unique_ptr<Message> request;
  std::unique_ptr<Call> call;
  std::unique_ptr<PipeEnd> end;
  InFlight counted;
};

io::Task<void> converse(Dispatcher::StreamHandler& handler, std::unique_ptr<Conversation> conversation) {
  Outcome<> done = co_await handler(*conversation->request, *conversation->call, *conversation->end);
  if (done.ok()) {
    STEPPE_ASSERT(conversation->call->row().source != NamespaceSource::kObject || conversation->call->checked());
    conversation->end->finish();
  } else {
    conversation->end->fail(std::move(done).error());
  }
}

}  // namespace

io::Task<Outcome<std::unique_ptr<Stream>>> Dispatcher::open(Method method, const Message& request, CallContext context) {
  STEPPE_ASSERT(context.home != nullptr);
  Slot& at = slot(method);
  STEPPE_ASSERT(at.row->kind == Kind::kStream);
  const uint32_t before = at.in_flight.fetch_add(1);
  InFlight counted(at.in_flight);
  if (before >= at.row->limits.in_flight) co_return too_many(std::format("more than {} streams of {} at once", at.row->limits.in_flight, at.row->name));
  io::Loop& there = at.loop == nullptr ? *context.home : *at.loop;
  StreamPipe pipe = make_stream_pipe(*context.home, there);
  auto admitted = admit(at, request, context, pipe.handler->deadline());
  if (!admitted.ok()) co_return std::move(admitted).error();
  std::unique_ptr<Message> copy(request.New());
  copy->CopyFrom(request);
  auto conversation = std::make_unique<Conversation>(std::move(copy), *std::move(admitted), std::move(pipe.handler), std::move(counted));
  // The conversation outlives this call: it ends when either side goes, which the pipe tells the other.
  auto begin = [&handler = at.stream_handler, &there, conversation = std::move(conversation)]() mutable {
    io::start_root(there, converse(handler, std::move(conversation)), [] {});
  };
  there.post(std::move(begin));
  co_return std::unique_ptr<Stream>(std::move(pipe.caller));
}

}  // namespace steppe::endpoint
