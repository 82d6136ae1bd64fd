#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace steppe {

// What a caller can act on. The text is for people; programs branch on the code only.
enum class Code : uint8_t {
  kInvalid,      // the input is wrong and will stay wrong: syntax, range, type, unknown key
  kNotFound,     // the named thing does not exist
  kExists,       // the thing exists already, or a guard (check index, CAS) does not match
  kDenied,       // permission or policy says no
  kExhausted,    // a stated limit was met: queue, body, depth, disk, quota
  kUnavailable,  // cannot be done now, may be later: no leader, peer away, shutting down
  kTimeout,      // a deadline passed
  kCancelled,    // the caller or its scope asked to stop
  kCorrupt,      // bytes that we or a peer wrote fail their checksum or their invariants
  kUnsupported,  // this machine, kernel or build cannot do it
  kIo,           // the operating system refused; sys_errno() has its number
};

// "kInvalid" -> "invalid", and so on; stable, for logs and tests.
std::string_view code_name(Code code);

// A value that says what failed, on what, and why. Each layer that passes it up may add a frame in
// front: "start task web: mount /run: Device or resource busy". Cheap to move.
class [[nodiscard]] Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  // From errno. EACCES/EPERM map to kDenied, ENOENT to kNotFound, EEXIST to kExists,
  // ENOSPC/EMFILE/ENOMEM/EDQUOT to kExhausted, ETIMEDOUT to kTimeout, ENOSYS/EOPNOTSUPP to
  // kUnsupported, all others to kIo. `what` names the call and its object: "open /etc/hosts".
  static Error from_errno(int number, std::string_view what);

  // Puts a frame in front of the message: wrap("read job file") -> "read job file: <message>".
  Error&& wrap(std::string_view frame) &&;
  Error wrap(std::string_view frame) const&;

  Code code() const { return code_; }
  int sys_errno() const { return errno_; }  // 0 when the error did not come from the kernel
  const std::string& message() const { return message_; }

 private:
  Code code_;
  int errno_ = 0;
  std::string message_;
};

}  // namespace steppe
