#pragma once

#include <stddef.h>
#include <stdint.h>

// The containment plan: what the executor does before it clones the task, and what the task's process does between
// clone3 and execve, as one flat block of memory. The agent builds and checks it (plan_builder.h), seals it in a memfd
// and hands it to the executor (child.h), which needs no allocation, no parsing and no path of the host to run it.
//
// The block is read by the executor program of the same build, at once; it is never stored. All references are byte
// offsets from the block's start; 0 is "none". Text ends in NUL.
namespace steppe::isolate {

inline constexpr uint32_t kPlanMagic = 0x314c5053;  // "SPL1"
inline constexpr uint32_t kPlanVersion = 3;
inline constexpr uint32_t kMaxPlanSize = 4u << 20;  // argv and env are most of it; the kernel's own limit is 2 MiB
inline constexpr uint32_t kMaxSteps = 512;
inline constexpr uint32_t kMaxInherited = 128;

enum class Op : uint16_t {
  kNone = 0,
  kSetsid,            // a session of its own: no controlling terminal
  kParentDeathSignal, // a: signal when the executor dies; cleared by the change of user, so it comes twice
  kSetNamespace,      // fd: nsfs or pidfd, a: CLONE_NEW* flags
  kUnshare,           // a: CLONE_NEW* flags
  kAttach,            // fd: detached mount, fd2: directory of the root it goes under, text: path there; "" = fd2 itself
  kMoveTree,          // text: path in the template's root, fd2+text2: target. Moves one of the template's mounts
  kMountNew,          // text: type, text2: path under fd2, a: MOUNT_ATTR_*, text3: "key=value,key=value" options
  kMask,              // text2: path under fd2, covered by what is at text under fd2; absent: fine
  kReadOnly,          // text2: path under fd2, bound over itself read-only; absent: fine
  kRemountReadOnly,   // fd: mount, a: attributes to set
  kPivot,             // fd: the new root. The old one is left behind and detached
  kChroot,            // fd: directory (only for raw trees and tests)
  kFchdir,            // fd
  kChdir,             // text
  kHostname,          // text
  kRlimit,            // a: resource, b: soft, c: hard
  kWriteFile,         // text: path, text2: content
  kSessionKeyring,    // a fresh anonymous session keyring
  kDropBounding,      // a: the capabilities to keep, as a bit mask
  kGroups,            // a: count, b: offset of uint32_t gids
  kSetGid,            // a: gid
  kSetUid,            // a: uid
  kKeepCaps,          // a: 1 or 0, PR_SET_KEEPCAPS over the change of user
  kCapset,            // a: effective = permitted, b: inheritable
  kAmbientClear,
  kAmbientRaise,      // a: bit mask
  kUmask,             // a
  kNoNewPrivs,
  kControllingTty,    // standard input becomes the session's terminal
  kSeccomp,           // a: instruction count, b: offset of sock_filter[]
  kExec,              // argv, envp and candidates of the head; the last step
};

struct Step {
  Op op = Op::kNone;
  uint16_t reserved = 0;
  int32_t fd = -1;
  int32_t fd2 = -1;
  uint32_t text = 0, text2 = 0, text3 = 0;
  uint64_t a = 0, b = 0, c = 0;
};
static_assert(sizeof(Step) == 48);

// How the executor finds everything that must die with the task.
enum class KillMode : uint32_t {
  kPidNamespace = 0,  // the task is PID 1 of its own namespace: its death is everyone's
  kCgroup = 1,        // cgroup.kill
  kDescendants = 2,   // children of the subreaper, until none is left
};

struct PlanHead {
  uint32_t magic = kPlanMagic;
  uint32_t version = kPlanVersion;
  uint32_t size = 0;
  int32_t null_fd = -1;  // /dev/null

  uint32_t prelude = 0, prelude_count = 0;  // Steps run by the executor itself before it clones
  uint32_t steps = 0, step_count = 0;       // Steps run by the child
  uint64_t clone_flags = 0;                 // CLONE_NEW*
  int32_t cgroup_fd = -1;                   // directory that the task is born into; -1: none
  KillMode kill_mode = KillMode::kDescendants;

  uint32_t argv = 0, envp = 0;  // uint64_t offsets, ended by 0; made pointers in place
  uint32_t candidates = 0;      // paths to try in order, the same form
  uint32_t title = 0;           // what the executor's argv[0] becomes; 0: as it is

  int32_t control_fd = -1;  // connected SOCK_SEQPACKET to the agent: the start report, then requests
  int32_t listen_fd = -1;   // control socket for later agents; -1: the session ends with control_fd
  int32_t record_fd = -1;   // the exit record is written here
  int32_t ended_fd = -1;    // a pipe's end that gets one byte once the record is complete; -1: none
  int32_t log_dir_fd = -1;  // -1: no capture, output goes to null_fd
  int32_t stdio_fd[3] = {-1, -1, -1};  // given descriptors; -1: null_fd, or a captured pipe for 1 and 2

  uint32_t log_name[2] = {0, 0};  // "web.stdout.", "web.stderr."
  uint32_t log_index[2] = {0, 0}; // where to go on
  uint32_t log_max_files = 10;
  uint64_t log_max_size = 10u << 20;

  uint32_t inherited = 0, inherited_count = 0;  // int32_t descriptors that the plan uses, ascending; all others close
  uint32_t sync_record = 1;                     // fsync the exit record
  uint32_t standby = 0;                         // 1: no command; after the prelude the plan with one comes over control_fd
};

}  // namespace steppe::isolate
