#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

// What the children of PID 1 ask it, and its answers. One packet each way over a Unix socket of type SOCK_SEQPACKET, which PID 1
// owns and only root of a service's cgroup may use; a connection carries one request. Each packet is one frame (init/frame/wire.h)
// of bounded size with fields of bounded size: nothing is allocated to read or to write one, and no library but libc is needed.
namespace steppe::control {

inline constexpr const char* kSocket = "/run/steppe/control";
inline constexpr size_t kMaxRequest = 512;   // bytes of a packet
inline constexpr size_t kMaxReply = 8 << 10;
inline constexpr size_t kMaxServices = 8;

// Printable ASCII, cut to its room. What is not printable becomes '?', so that no text from elsewhere drives a console.
template <size_t N>
class Text {
 public:
  Text() = default;
  template <std::convertible_to<std::string_view> T>
  Text(const T& text) {
    for (char c : std::string_view(text).substr(0, N)) bytes_[size_++] = c >= ' ' && c <= '~' ? c : '?';
  }
  std::string_view view() const { return {bytes_.data(), size_}; }
  friend bool operator==(const Text& a, const Text& b) { return a.view() == b.view(); }

 private:
  std::array<char, N> bytes_{};
  uint8_t size_ = 0;
  static_assert(N < 256);
};

// Numbers on the wire: never reused.
enum class Verb : uint8_t {
  kEnd = 1,       // take the machine down in order; `ending` and `reason` say how and why
  kState = 2,     // what runs
  kTrial = 3,     // the running image is on trial: without kBlessed within the limit the machine reboots. Repeated: nothing
  kBlessed = 4,   // it is good
};
enum class Ending : uint8_t { kReboot = 1, kPowerOff = 2 };

struct Request {
  Verb verb = Verb::kState;
  Ending ending = Ending::kReboot;
  Text<120> reason;  // of kEnd, for people; may be empty
  friend bool operator==(const Request&, const Request&) = default;
};

enum class Status : uint8_t {
  kOk = 1,
  kMalformed = 2,  // not a request that this PID 1 knows
  kEnding = 3,     // the machine goes down already
};
enum class ServiceState : uint8_t { kWaiting = 1, kStarting, kReady, kLeaving, kKilling, kBackoff, kDone, kStopping, kDown };
std::string_view state_name(ServiceState state);  // "ready"; "unknown" for a number of a newer PID 1

struct Service {
  Text<24> name;
  ServiceState state = ServiceState::kWaiting;
  int32_t pid = 0;         // of the main process; 0 when there is none
  uint64_t crashes = 0;    // since boot
  Text<64> last_end;       // "exited with 1"; empty before the first end
  Text<120> status;        // what it says of itself
  friend bool operator==(const Service&, const Service&) = default;
};
struct Reply {
  Status status = Status::kOk;
  bool trial = false;          // the running image waits for its blessing
  int64_t trial_left_s = 0;    // until the reboot, when trial
  uint8_t count = 0;
  std::array<Service, kMaxServices> services;
  friend bool operator==(const Reply&, const Reply&) = default;
};

// Into `buffer`, of kMaxRequest or kMaxReply bytes; what was used. Never empty for a buffer of that size.
std::span<const std::byte> encode(const Request& request, std::span<std::byte> buffer);
std::span<const std::byte> encode(const Reply& reply, std::span<std::byte> buffer);

// False: not one whole packet of that kind, or a field with a value that does not exist. Fields of newer versions are skipped. Pure,
// any bytes are safe.
bool decode(std::span<const std::byte> packet, Request& into);
bool decode(std::span<const std::byte> packet, Reply& into);

}  // namespace steppe::control
