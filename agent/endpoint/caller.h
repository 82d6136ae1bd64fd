#pragma once

#include <memory>
#include <string>
#include <utility>

#include "agent/endpoint/failure.h"
#include "agent/endpoint/method.h"
#include "init/base/secret.h"
#include "init/io/task.h"
#include "init/io/wait.h"

namespace steppe::endpoint {

// How a request reached us. In-process callers are trusted with their role as a mutually authenticated peer would be.
struct Peer {
  CertificateRole role = CertificateRole::kAnyone;
  std::string address;  // for logs; empty in process
};

// What travels beside a request. `home` is the caller's loop: the answer comes back on its thread. `deadline` bounds the
// whole call; its stop is requested on `home`. A blocking query bounds itself by its own max_query_time as well.
struct CallContext {
  io::Loop* home = nullptr;
  Secret token;
  Peer peer;
  io::Deadline deadline = {};
};

// One end of a streaming method's conversation. Used by one coroutine a direction, on the loop it was opened for.
// Messages arrive whole and in order. A bounded number waits in between: a writer ahead of its reader waits.
class Stream {
 public:
  virtual ~Stream() = default;  // closes both directions
  // Null at the orderly end. The peer's failure arrives here, once, after what it wrote before.
  virtual io::Task<Outcome<std::unique_ptr<schema::StreamReply>>> receive(io::Deadline deadline) = 0;
  // kCancelled once the peer is gone.
  virtual io::Task<Outcome<>> send(std::unique_ptr<schema::StreamReply> message, io::Deadline deadline) = 0;
  // No more is sent; the peer sees the end after what was sent.
  virtual void finish() = 0;
};

// Calls methods by their row: in process now, over RPC later. Any loop's thread.
class Caller {
 public:
  virtual ~Caller() = default;

  // `request` must be of the method's type and outlive the await.
  virtual io::Task<Outcome<std::unique_ptr<Message>>> call(Method method, const Message& request, CallContext context) = 0;
  // For rows of kind kStream. The stream belongs to context.home's thread.
  virtual io::Task<Outcome<std::unique_ptr<Stream>>> open(Method method, const Message& request, CallContext context) = 0;

  // The same, typed: caller.call<Method::kJobGetJob>(request, context) gives a SingleJobReply.
  template <Method M>
  io::Task<Outcome<std::unique_ptr<typename Messages<M>::Reply>>> call(const typename Messages<M>::Request& request, CallContext context) {
    using Reply = typename Messages<M>::Reply;
    auto reply = co_await call(M, request, std::move(context));
    if (!reply.ok()) co_return std::move(reply).error();
    co_return std::unique_ptr<Reply>(static_cast<Reply*>(reply->release()));
  }
};

}  // namespace steppe::endpoint
