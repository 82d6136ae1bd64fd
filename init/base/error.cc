#include "init/base/error.h"

#include <cerrno>
#include <cstring>

namespace steppe {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::kInvalid: return "invalid";
    case Code::kNotFound: return "not found";
    case Code::kExists: return "exists";
    case Code::kDenied: return "denied";
    case Code::kExhausted: return "exhausted";
    case Code::kUnavailable: return "unavailable";
    case Code::kTimeout: return "timeout";
    case Code::kCancelled: return "cancelled";
    case Code::kCorrupt: return "corrupt";
    case Code::kUnsupported: return "unsupported";
    case Code::kIo: return "io";
  }
  return "unknown";
}

namespace {

Code code_of_errno(int number) {
  switch (number) {
    case EACCES:
    case EPERM:
    case EROFS: return Code::kDenied;
    case ENOENT:
    case ESRCH:
    case ENOTDIR: return Code::kNotFound;
    case EEXIST: return Code::kExists;
    case ENOSPC:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EDQUOT: return Code::kExhausted;
    case ETIMEDOUT: return Code::kTimeout;
    case ENOSYS:
    case EOPNOTSUPP: return Code::kUnsupported;
    case ECANCELED: return Code::kCancelled;
    default: return Code::kIo;
  }
}

}  // namespace

Error Error::from_errno(int number, std::string_view what) {
  char buffer[128];
  const char* text = strerror_r(number, buffer, sizeof buffer);  // GNU variant: thread-safe
  std::string message(what);
  message.append(": ").append(text);
  Error error(code_of_errno(number), std::move(message));
  error.errno_ = number;
  return error;
}

Error&& Error::wrap(std::string_view frame) && {
  message_.insert(0, std::string(frame).append(": "));
  return std::move(*this);
}

Error Error::wrap(std::string_view frame) const& {
  Error copy = *this;
  return std::move(copy).wrap(frame);
}

}  // namespace steppe
