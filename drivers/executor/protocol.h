#pragma once

#include <cstdint>

// What the executor and the agent say to each other: one frame (init/frame) per SOCK_SEQPACKET packet, one reply per
// request. The executor of an old agent is talked to by a newer one, so numbers and tags are only ever added.
namespace steppe::executor {

inline constexpr uint16_t kProtocolVersion = 1;
inline constexpr uint32_t kMaxPacket = 4096;

enum class Verb : int64_t {
  kStatus = 1,  // the reply carries two pidfds: the executor's and the task's (SCM_RIGHTS)
  kSignal = 2,  // to the task's first process
  kStop = 3,    // signal now, kill everything after grace_ms; the earlier of two deadlines holds
  kKill = 4,    // kill everything now
  kLaunch = 5,  // to an executor on standby, once: descriptors are the plan and what it inherits (SCM_RIGHTS)
};

enum RequestTag : uint16_t { kVerb = 1, kSignalNumber = 2, kGraceMs = 3 };

enum class State : int64_t { kFailed = 1, kRunning = 2, kEnding = 3 };

enum ReplyTag : uint16_t {
  kError = 1,        // errno of the request, 0: done
  kState = 2,
  kExecutorPid = 3,
  kTaskPid = 4,
  kFailedStep = 5,   // with kFailed: index in its list, operation, errno; list: 0 prelude, 1 child, 2 the executor itself
  kFailedOp = 6,
  kFailedErrno = 7,
  kFailedList = 8,
};

// The exit record: written once, synced, then the executor leaves. No record and no executor: the result is lost.
enum RecordTag : uint16_t {
  kExitCode = 1,
  kExitSignal = 2,
  kOomKilled = 3,
  kEndedAtNs = 4,  // unix time
  kUserNs = 5,
  kSystemNs = 6,
  kMaxRssKib = 7,
  kLogBytesLost = 8,  // the log directory was full or gone
  kLeftRunning = 9,   // 1: something could not be killed within the limit
};
inline constexpr uint32_t kMaxRecord = 512;

}  // namespace steppe::executor
