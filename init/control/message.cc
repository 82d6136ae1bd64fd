#include "init/control/message.h"

#include "init/frame/frame_type.h"
#include "init/frame/wire.h"

namespace steppe::control {

namespace {

using frame::Field;
using frame::Fields;
using frame::Writer;
using Bytes = std::span<const std::byte>;

constexpr uint16_t kVersion = 1;
enum RequestTag : uint16_t { kTagVerb = 1, kTagEnding, kTagReason };
enum ReplyTag : uint16_t { kTagStatus = 1, kTagTrial, kTagTrialLeft, kTagCount };
// Service I has the tags kTagService + I * kServiceStep + one of these.
constexpr uint16_t kTagService = 256, kServiceStep = 16;
enum ServiceTag : uint16_t { kTagName = 0, kTagState, kTagPid, kTagCrashes, kTagLastEnd, kTagSays };

Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }
std::string_view text_of(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// The payload of the one frame that is the whole packet.
bool open(Bytes packet, uint16_t type, size_t limit, Bytes& payload) {
  frame::View view;
  if (packet.size() > limit || frame::parse(packet, static_cast<uint32_t>(limit), view) != frame::Status::kOk) return false;
  if (view.type != type || view.version == 0 || view.version > kVersion || view.size != packet.size()) return false;
  payload = view.payload;
  return true;
}

// A number between the first and the last of an enumeration.
template <class T>
bool read_choice(const Field& field, T first, T last, T& into) {
  const int64_t value = field.integer(-1);
  if (value < static_cast<int64_t>(first) || value > static_cast<int64_t>(last)) return false;
  into = static_cast<T>(value);
  return true;
}

bool read_service(const Field& field, uint16_t tag, Service& into) {
  switch (tag) {
    case kTagName: into.name = text_of(field.value); return true;
    case kTagState: return read_choice(field, ServiceState::kWaiting, ServiceState{255}, into.state);
    case kTagPid: into.pid = static_cast<int32_t>(field.integer()); return true;
    case kTagCrashes: into.crashes = static_cast<uint64_t>(field.integer()); return true;
    case kTagLastEnd: into.last_end = text_of(field.value); return true;
    case kTagSays: into.status = text_of(field.value); return true;
    default: return true;
  }
}

}  // namespace

std::string_view state_name(ServiceState state) {
  switch (state) {
    case ServiceState::kWaiting: return "waiting";
    case ServiceState::kStarting: return "starting";
    case ServiceState::kReady: return "ready";
    case ServiceState::kLeaving: return "leaving";
    case ServiceState::kKilling: return "killing";
    case ServiceState::kBackoff: return "backoff";
    case ServiceState::kDone: return "done";
    case ServiceState::kStopping: return "stopping";
    case ServiceState::kDown: return "down";
  }
  return "unknown";
}

Bytes encode(const Request& request, std::span<std::byte> buffer) {
  Writer writer(buffer, frame::kControlRequest, kVersion);
  writer.add_integer(kTagVerb, static_cast<int64_t>(request.verb));
  if (request.verb == Verb::kEnd) {
    writer.add_integer(kTagEnding, static_cast<int64_t>(request.ending));
    writer.add(kTagReason, bytes_of(request.reason.view()));
  }
  return writer.finish();
}

Bytes encode(const Reply& reply, std::span<std::byte> buffer) {
  Writer writer(buffer, frame::kControlReply, kVersion);
  writer.add_integer(kTagStatus, static_cast<int64_t>(reply.status));
  writer.add_integer(kTagTrial, reply.trial ? 1 : 0);
  writer.add_integer(kTagTrialLeft, reply.trial_left_s);
  writer.add_integer(kTagCount, reply.count);
  for (uint16_t i = 0; i < reply.count && i < kMaxServices; ++i) {
    const Service& service = reply.services[i];
    const auto tag = [i](ServiceTag which) { return static_cast<uint16_t>(kTagService + i * kServiceStep + which); };
    writer.add(tag(kTagName), bytes_of(service.name.view()));
    writer.add_integer(tag(kTagState), static_cast<int64_t>(service.state));
    writer.add_integer(tag(kTagPid), service.pid);
    writer.add_integer(tag(kTagCrashes), static_cast<int64_t>(service.crashes));
    writer.add(tag(kTagLastEnd), bytes_of(service.last_end.view()));
    writer.add(tag(kTagSays), bytes_of(service.status.view()));
  }
  return writer.finish();
}

bool decode(Bytes packet, Request& into) {
  Bytes payload;
  if (!open(packet, frame::kControlRequest, kMaxRequest, payload)) return false;
  Request request;
  bool verb = false, ending = false;
  Fields fields(payload);
  for (Field field; fields.next(field);) {
    switch (field.tag) {
      case kTagVerb:
        if (verb || !read_choice(field, Verb::kEnd, Verb::kBlessed, request.verb)) return false;
        verb = true;
        break;
      case kTagEnding:
        if (ending || !read_choice(field, Ending::kReboot, Ending::kPowerOff, request.ending)) return false;
        ending = true;
        break;
      case kTagReason: request.reason = text_of(field.value); break;
      default: break;
    }
  }
  // A machine is never taken down by a packet that does not say how.
  if (fields.damaged() || !verb || (request.verb == Verb::kEnd) != ending) return false;
  if (request.verb != Verb::kEnd) request.reason = {};  // means nothing there
  into = request;
  return true;
}

bool decode(Bytes packet, Reply& into) {
  Bytes payload;
  if (!open(packet, frame::kControlReply, kMaxReply, payload)) return false;
  Reply reply;
  bool status = false;
  Fields fields(payload);
  for (Field field; fields.next(field);) {
    if (field.tag >= kTagService && field.tag < kTagService + kMaxServices * kServiceStep) {
      const uint16_t at = field.tag - kTagService;
      if (!read_service(field, at % kServiceStep, reply.services[at / kServiceStep])) return false;
      continue;
    }
    switch (field.tag) {
      case kTagStatus:
        if (!read_choice(field, Status::kOk, Status::kEnding, reply.status)) return false;
        status = true;
        break;
      case kTagTrial: reply.trial = field.integer() != 0; break;
      case kTagTrialLeft: reply.trial_left_s = field.integer(); break;
      case kTagCount:
        if (field.integer(-1) < 0 || field.integer() > static_cast<int64_t>(kMaxServices)) return false;
        reply.count = static_cast<uint8_t>(field.integer());
        break;
      default: break;
    }
  }
  if (fields.damaged() || !status) return false;
  for (size_t i = reply.count; i < kMaxServices; ++i) reply.services[i] = {};
  into = reply;
  return true;
}

}  // namespace steppe::control
