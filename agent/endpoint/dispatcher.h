#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>

#include "agent/endpoint/caller.h"
#include "agent/endpoint/identity.h"
#include "agent/endpoint/method.h"

namespace steppe::endpoint {

// What a handler knows of its caller.
class Call {
 public:
  Call(const Row& row, std::shared_ptr<const Identity> identity, std::string space, io::Deadline deadline)
      : row_(row), identity_(std::move(identity)), space_(std::move(space)), deadline_(std::move(deadline)) {}

  const Row& row() const { return row_; }
  const Identity& identity() const { return *identity_; }
  // The namespace that was authorised: never empty for kRequest and kJob, "*" when all were asked for; empty otherwise.
  const std::string& space() const { return space_; }
  const io::Deadline& deadline() const { return deadline_; }

  // True when the row's capabilities are held in `space`: what a list over all namespaces keeps.
  bool allows(std::string_view space) const;
  // 403 unless allows(space). A handler of a kObject row answers nothing about an object before this.
  Outcome<> authorise(std::string_view space) const;
  // There is no such object, so there is no namespace to ask in.
  void absent() const { checked_ = true; }
  bool checked() const { return checked_; }

 private:
  const Row& row_;
  std::shared_ptr<const Identity> identity_;
  std::string space_;
  io::Deadline deadline_;
  mutable bool checked_ = false;
};

// Holds the handlers of this process and calls them by the table: certificate role, limits, identity, capability, then
// the handler, on the loop it was registered with. Registration comes before the first call; calls may come from any
// loop's thread. A method without a handler answers 501.
class Dispatcher final : public Caller {
 public:
  using Handler = std::move_only_function<io::Task<Outcome<>>(const Message&, const Call&, Message&)>;
  using StreamHandler = std::move_only_function<io::Task<Outcome<>>(const Message&, const Call&, Stream&)>;

  // Everything handed in outlives the dispatcher.
  Dispatcher(const Resolver& resolver, const Clock& clock);
  ~Dispatcher() override;

  // `handler` is called as handler(request, call, reply); all three outlive its task.
  template <Method M, class F>
  void add(io::Loop& loop, F handler) {
    using Request = typename Messages<M>::Request;
    using Reply = typename Messages<M>::Reply;
    add_handler(M, loop, [handler = std::move(handler)](const Message& request, const Call& call, Message& reply) mutable -> io::Task<Outcome<>> {
      return handler(static_cast<const Request&>(request), call, static_cast<Reply&>(reply));
    });
  }
  // `handler` is called as handler(request, call, stream). What it returns ends the stream.
  template <Method M, class F>
  void add_stream(io::Loop& loop, F handler) {
    using Request = typename Messages<M>::Request;
    add_stream_handler(M, loop, [handler = std::move(handler)](const Message& request, const Call& call, Stream& stream) mutable -> io::Task<Outcome<>> {
      return handler(static_cast<const Request&>(request), call, stream);
    });
  }
  bool has(Method method) const;

  io::Task<Outcome<std::unique_ptr<Message>>> call(Method method, const Message& request, CallContext context) override;
  io::Task<Outcome<std::unique_ptr<Stream>>> open(Method method, const Message& request, CallContext context) override;
  using Caller::call;

 private:
  struct Slot;

  void add_handler(Method method, io::Loop& loop, Handler handler);
  void add_stream_handler(Method method, io::Loop& loop, StreamHandler handler);
  Slot& slot(Method method) const;
  // Everything before the handler: role, limits, identity, capability. Gives what the handler is called with.
  Outcome<std::unique_ptr<Call>> admit(Slot& slot, const Message& request, const CallContext& context, io::Deadline deadline);

  const Resolver& resolver_;
  const Clock& clock_;
  std::array<std::unique_ptr<Slot>, static_cast<size_t>(Method::kCount)> slots_;
};

// The namespace that `request` asks in, by the row's source; "" for kNone and kObject. Exposed for the matrix test.
std::string request_space(const Row& row, const Message& request);
// Whether `identity` may call `row` in `space` ("" or "*": in one namespace at least).
bool authorised(const Row& row, const Identity& identity, std::string_view space);

}  // namespace steppe::endpoint
